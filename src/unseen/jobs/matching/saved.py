"""A saved matcher; it takes two pictures at once."""

from __future__ import annotations

from unseen.jobs import SavedModel

SAVED = SavedModel(
    "a matcher of pictures",
    "unseen match FIRST SECOND --matcher {folder}",
    holds=lambda names: names.get("method") in ("minima", "gim", "matcher"),
)

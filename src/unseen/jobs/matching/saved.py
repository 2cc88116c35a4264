"""A saved matcher; it takes two pictures at once."""

from __future__ import annotations

from unseen.jobs import SavedModel, names_in_state

SAVED = SavedModel(
    "a matcher of pictures",
    "unseen match FIRST SECOND --matcher {folder}",
    lambda place: names_in_state(place).get("method") in ("minima", "gim", "matcher"),
)

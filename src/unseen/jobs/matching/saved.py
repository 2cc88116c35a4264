"""A saved matcher; it takes two pictures at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unseen import methods as registry
from unseen.jobs import SavedModel


def holds(names: Mapping[str, Any]) -> bool:
    """Whether the method of a state is one of this room, or another package's that matches pictures."""
    slug = names.get("method") or ""
    if not slug or slug in registry.METHODS:
        return registry.METHODS.get(slug, "").startswith("matching.")
    if slug not in registry.slugs():
        return False
    from unseen.methods.matching.matcher import PairMatcher

    return issubclass(registry.get(slug), PairMatcher)


SAVED = SavedModel(
    "a matcher of pictures",
    "unseen match FIRST SECOND --matcher {folder}",
    holds=holds,
)

"""Pipelines over image-text pairs on disk: shard by shard, resumable, with a count for every pair that is dropped."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from unseen.curation.collection import COLUMNS, Collection, EncoderRecord, Shard, write_shard

if TYPE_CHECKING:
    from unseen.curation.accounting import Accounting
    from unseen.curation.fetch import Politeness
    from unseen.curation.pipeline import Curated, curate
    from unseen.curation.settings import Settings

_LATER = {
    "Accounting": "accounting",
    "Politeness": "fetch",
    "Curated": "pipeline",
    "curate": "pipeline",
    "Settings": "settings",
}

__all__ = [
    "COLUMNS",
    "Accounting",
    "Collection",
    "Curated",
    "EncoderRecord",
    "Politeness",
    "Settings",
    "Shard",
    "curate",
    "write_shard",
]


def __getattr__(name: str) -> Any:
    """What needs torch, imported when it is asked for."""
    if name in _LATER:
        return getattr(importlib.import_module(f"unseen.curation.{_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

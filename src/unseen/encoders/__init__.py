"""Pretrained encoders by name: samples in, features out.

>>> from unseen.encoders import get
>>> features = get("efficientnet-lite0").encode(photos)  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unseen.encoders.registry import describe, get, load, names

if TYPE_CHECKING:
    from unseen.encoders.base import Encoder, TwoTowerEncoder

__all__ = ["Encoder", "TwoTowerEncoder", "describe", "get", "load", "names"]


def __getattr__(name: str) -> Any:
    if name in {"Encoder", "TwoTowerEncoder"}:
        from unseen.encoders import base

        return getattr(base, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

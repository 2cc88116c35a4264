"""Pretrained encoders by name: samples in, features out.

>>> from unseen.encoders import get
>>> features = get("efficientnet-lite0").encode(photos)  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unseen.encoders.registry import describe, get, load, names

if TYPE_CHECKING:
    from unseen.encoders.base import Encoder
    from unseen.encoders.two_tower import TwoTowerEncoder

__all__ = ["Encoder", "TwoTowerEncoder", "describe", "get", "load", "names"]


def __getattr__(name: str) -> Any:
    if name == "Encoder":
        from unseen.encoders.base import Encoder

        return Encoder
    if name == "TwoTowerEncoder":
        from unseen.encoders.two_tower import TwoTowerEncoder

        return TwoTowerEncoder
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

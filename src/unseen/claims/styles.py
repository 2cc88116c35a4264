"""Vendors' emoji by subgroup, as features: domains with 29 classes that claims on shifts of style share."""

from __future__ import annotations

import functools

from unseen.data.domain import Domain


@functools.cache
def subgroups(style: str) -> Domain:
    """EfficientNet-Lite0's features of a vendor's emoji, (956, 1280); classes are 29 subgroups."""
    from unseen.data.sources import emoji
    from unseen.encoders import get

    return get("efficientnet-lite0").encode(emoji(style), precision="fp32")

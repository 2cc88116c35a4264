"""The encoder of a kind of samples where none is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unseen.encoders.base import Encoder

DEFAULT_ENCODER = {"image": "efficientnet-lite0", "text": "minilm"}


def encoder_of(kind: str, name: str | None, precision: str, trust: bool) -> Encoder | None:
    """The encoder that was named, or the default one of a kind; None for features that are taken as they are."""
    if kind == "features" and name is None:
        return None
    if name is None and kind not in DEFAULT_ENCODER:
        raise ValueError(f"there is no default encoder for {kind}; name one with encoder=")
    from unseen.encoders.registry import get

    return get(name or DEFAULT_ENCODER[kind], precision=precision, trust=trust)  # type: ignore[arg-type]

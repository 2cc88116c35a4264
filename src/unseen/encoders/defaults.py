"""The encoder of a kind of samples where none is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unseen.encoders.base import Encoder

DEFAULT_ENCODER = {"image": "efficientnet-lite0", "text": "minilm", "clip": "frames:efficientnet-lite0", "audio": "mel"}


SHARED_ENCODER = {"image": "lite-clip", "text": "minilm", "clip": "frames:lite-clip"}
"""Where class names must lie among the samples."""
NAMED_ENCODER = {
    "image": "open_clip:ARCHITECTURE/WEIGHTS",
    "text": "sentence-transformers:NAME",
    "clip": "frames:open_clip:ARCHITECTURE/WEIGHTS",
    "audio": "clap:laion/clap-htsat-unfused, or clap:FOLDER,",
}
"""What a user can name there; for sounds nothing else will do."""


def knows_names(name: str, kind: str) -> bool:
    """Whether an encoder reads samples of a kind and texts, so that names can lie among them; it is not loaded.

    Raises
    ------
    ValueError
        If there is no such encoder.
    """
    from unseen.encoders.registry import describe

    return {"text", kind} <= set(describe(name)["kinds"])


def why_default(kind: str) -> str:
    """A sentence on the encoder that is taken where names must lie among samples and none was named."""
    space = {
        "image": "pictures and names into one space",
        "text": "texts and names alike",
        "clip": "frames of clips and names into one space",
    }[kind]
    return (
        f"encoder: {SHARED_ENCODER[kind]}, as none was named: it reads {space}, offline; {NAMED_ENCODER[kind]} is "
        "stronger"
    )


def encoder_of(kind: str, name: str | None, precision: str, trust: bool, *, named: bool = False) -> Encoder | None:
    """The encoder that was named, or the default one of a kind; None for features that are taken as they are.

    With `named`, class names must lie among the samples.
    """
    if kind == "features" and name is None:
        return None
    default = SHARED_ENCODER if named else DEFAULT_ENCODER
    if name is None and kind not in default:
        such = ", such as clap:laion/clap-htsat-unfused or a folder that holds one" if kind == "audio" else ""
        where = " that class names can lie in" if named else ""
        raise ValueError(f"there is no default encoder for {kind}{where}; name one with encoder={such}")
    from unseen.encoders.registry import get

    return get(name or default[kind], precision=precision, trust=trust)  # type: ignore[arg-type]

"""What systems on clips need beside the words of `fit`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from unseen.data.domain import Domain
from unseen.data.pairs import Pairs
from unseen.data.samplers import steps
from unseen.methods.needs import Given, Need
from unseen.nn.operations import LEARNT, frame_operations, training_seconds
from unseen.nn.towers import VisionTower


@dataclasses.dataclass(frozen=True)
class FrameTowers(Need):
    """A `model` of two towers, whose image tower is a vision transformer of which layers can be opened."""

    first: ClassVar[bool] = True
    makes: ClassVar[tuple[str, ...]] = ("model",)

    def lacks(self, given: Given) -> str | None:
        """Return that there is no such model."""
        model = given.inputs.get("model")
        if hasattr(model, "encode_image") and image_transformer(model) is not None:
            return None
        return (
            "learns from clips by two towers, that of pictures a vision transformer: name such an encoder, as "
            "frames:open_clip:ViT-B-32 (in Python, the model is what unseen.encoders.prunable.prunable_towers makes)"
        )

    def example(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return two small towers for frames of 8 pixels."""
        return {"model": small_frame_towers()}


@dataclasses.dataclass(frozen=True)
class CaptionedTowers(FrameTowers):
    """The same `model`, and `pairs` of clips and captions where they are learnt from."""

    makes: ClassVar[tuple[str, ...]] = ("model", "pairs", "prompts")

    def example(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return two small towers, sixteen captioned clips, and two templates."""
        return {"model": small_frame_towers(), "pairs": small_captioned_clips(), "prompts": ("a {}", "{} on a wall")}


def small_captioned_clips(n: int = 16) -> Pairs:
    """Clips of four frames of 8 pixels, each with a caption of its own."""
    rng = np.random.default_rng(6)
    clips = Domain(x=rng.normal(size=(n, 4, 3, 8, 8)).astype(np.float32), kind="clip", name="clips")
    captions = np.array([f"a {'red' if i % 2 else 'blue'} thing, number {i}" for i in range(n)])
    return Pairs(clips, Domain(x=captions, kind="text", name="captions"))


@dataclasses.dataclass(frozen=True)
class PretrainedVideo(Need):
    """A `model`, where there is one, is a vision transformer over tubes of clips (`unseen.nn.video_mae`)."""

    makes: ClassVar[tuple[str, ...]] = ("model",)

    def lacks(self, given: Given) -> str | None:
        """Return nothing: it begins with fresh weights where no model is given."""
        return None

    def example(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return a small one for four frames of 8 pixels."""
        from unseen.nn.video_mae import video_encoder
        from unseen.runtime import reproducible

        with reproducible(13):
            return {"model": video_encoder(4, (8, 8), tubelet=2, patch=4, width=8, layers=1, heads=2, mlp=8)}


def small_frame_towers(dim: int = 8, side: int = 8, seed: int = 12) -> Any:
    """Two towers of a moment: a vision transformer of two layers, and a text tower that reads letters."""
    from unseen.nn.dual_encoder import Letters, dual_encoder, token_text
    from unseen.nn.prompting import pooled_text
    from unseen.nn.towers import vision_tower
    from unseen.runtime import reproducible

    with reproducible(seed):
        sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
        limits = {"vocab_size": 32, "max_position_embeddings": 32}
        text = token_text(pooled_text({"model_type": "bert", **sizes, **limits}, dim=dim))
        image = vision_tower((side, side), (4, 4), width=8, head=4, heads=(2, 2), mlp=(16, 16), dim=dim)
        return dual_encoder(image, text, Letters().to_json(), 20.0).eval()


@dataclasses.dataclass(frozen=True)
class FrameTransformer(Need):
    """A `model` that is a vision transformer, has one as its image tower, or was made of one by ZeroI2V."""

    first: ClassVar[bool] = True
    makes: ClassVar[tuple[str, ...]] = ("model",)

    def lacks(self, given: Given) -> str | None:
        """Return that there is no such model."""
        if image_transformer(given.inputs.get("model")) is not None:
            return None
        return (
            "learns from clips by a vision transformer: name such an encoder, as frames:timm:vit_small_patch16_224 "
            "(in Python, the model is what unseen.encoders.vit_towers makes)"
        )

    def example(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return a small vision transformer for frames of 8 pixels."""
        return {"model": small_frame_towers().image}


def seconds_on_frames(
    words: Mapping[str, Any], frames: int, epochs: int, batch_size: int, passes: float = LEARNT
) -> float | None:
    """About how long training an image tower on clips takes on one core, by its operations; None without either.

    Parameters
    ----------
    words : mapping
        Of `fit`: `model`, and `source` or `pairs`.
    frames, epochs, batch_size : int
    passes : float
        How many times a pass forward a step takes.
    """
    tower, clips = image_transformer(words.get("model")), words.get("source")
    if clips is None:
        clips = words.get("pairs")
    if tower is None or clips is None:
        return None
    each = frame_operations(tower) * frames * passes
    return training_seconds(each * len(clips) * epochs, epochs * steps(len(clips), batch_size))


def image_transformer(model: Any) -> VisionTower | None:
    """The vision transformer that a model is, or has as its image tower (`image`, `tower`); None if there is none."""
    candidates = (model, getattr(model, "image", None), getattr(model, "tower", None))
    return next((tower for tower in candidates if isinstance(tower, VisionTower)), None)

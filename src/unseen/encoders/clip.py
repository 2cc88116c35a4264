"""Any open_clip model as a two-tower encoder."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from unseen.data.typing import IntArray, Kind
from unseen.encoders.base import Encoder
from unseen.encoders.registry import Request, online
from unseen.encoders.states import load_state, save_state
from unseen.encoders.text import unknown_alone
from unseen.encoders.two_tower import TwoTowerEncoder
from unseen.encoders.vision import ImagePreprocess, with_options
from unseen.files import named


class ClipTokens:
    """From texts to the tokens of an open_clip model, int64 (b, context)."""

    kind: Kind = "text"

    def __init__(self, tokenizer: Any, arch: str) -> None:
        self.tokenizer = tokenizer
        self.arch = arch

    def __call__(self, samples: Sequence[Any]) -> Tensor:
        """One batch; every text has the length of the context."""
        return self.tokenizer([str(sample) for sample in samples])

    def groups(self, samples: Any) -> IntArray:
        """All texts give batches of one shape, (n,)."""
        return np.zeros(len(samples), dtype=np.int64)

    def cuts(self, samples: Sequence[Any]) -> list[bool]:
        """Which texts are longer than it reads."""
        return [len(ids) > (self.tokenizer.context_length or 77) for ids in self._whole(samples)]

    def unspelt(self, samples: Sequence[Any]) -> list[bool]:
        """Which texts are nothing to it but unknown tokens; byte pairs spell everything."""
        inner = getattr(self.tokenizer, "tokenizer", None)
        return [False] * len(samples) if inner is None else unknown_alone(inner, self._whole(samples))

    def _whole(self, samples: Sequence[Any]) -> list[list[int]]:
        """Numbers of tokens, with those that begin and end a text."""
        texts, tokenizer = [str(sample) for sample in samples], self.tokenizer
        if hasattr(tokenizer, "tokenizer"):  # one of transformers in open_clip's wrapper
            return tokenizer.tokenizer(texts, truncation=False, verbose=False)["input_ids"]
        return [[tokenizer.sot_token_id, *tokenizer.encode(text), tokenizer.eot_token_id] for text in texts]

    def to_json(self) -> dict[str, Any]:
        """Which tokenizer."""
        return {"kind": self.kind, "tokenizer": self.arch}


class ImageTower(nn.Module):
    """Pictures to unit vectors."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """Unit vectors, (b, d)."""
        return self.model.encode_image(images, normalize=True)  # type: ignore[operator]


class TextTower(ImageTower):
    """Texts to unit vectors."""

    def forward(self, tokens: Tensor) -> Tensor:
        """Unit vectors, (b, d)."""
        return self.model.encode_text(tokens, normalize=True)  # type: ignore[operator]


def photo_of(name: str, description: str | None) -> str:
    """The sentence of a class, as CLIP's authors word it, with its description behind."""
    return f"a photo of a {name}." if description is None else f"a photo of a {name}, {description}"


def build_open_clip(request: Request) -> TwoTowerEncoder:
    """Build ``open_clip:<arch>/<pretrained or local file>``; pickles load as tensors only."""
    import open_clip

    arch, _, source = request.argument.partition("/")
    if arch not in open_clip.list_models():
        raise ValueError(f"open_clip has no architecture {arch!r}; see open_clip.list_models()")
    random = request.options.get("pretrained") == "0"
    if not (source or random):
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(arch)) or "none"
        raise ValueError(f"name {request.name!r} lacks its weights: a file, or one of {tags}")
    inside = random or request.folder is not None
    path = Path(source).expanduser()
    local = bool(source) and path.is_file()
    fix, download = "give a local file: open_clip:<arch>/<file>", not (inside or local)
    fits = named(path, f"a file with weights of {arch}", "name the architecture that they are of")
    with online(request, fix, needed=download, place=source), fits if local else contextlib.nullcontext():
        model = open_clip.create_model(
            arch, None if inside else str(path) if local else source, weights_only=True, pretrained_text=False
        )
    if request.folder is not None:
        load_state(model, request.folder)
    config = open_clip.get_model_preprocess_cfg(model)
    size = config["size"]
    preprocess = ImagePreprocess(
        size=(size, size) if isinstance(size, int) else tuple(size),
        crop=1.0,
        mode="center" if config.get("resize_mode", "shortest") == "shortest" else "squash",
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        interpolation=config.get("interpolation", "bicubic"),
    )
    with online(request, "use an architecture with open_clip's own tokenizer"):
        tokenizer = open_clip.get_tokenizer(arch)
    common: dict[str, Any] = {"name": request.name, "precision": request.precision, "local": local or random}
    return TwoTowerEncoder(
        name=request.name,
        image=Encoder(module=ImageTower(model), preprocess=with_options(preprocess, request.options), **common),
        text=Encoder(module=TextTower(model), preprocess=ClipTokens(tokenizer, arch), **common),
        logit_scale=float(model.logit_scale.detach().exp()),
        template=photo_of,
        save=partial(save_state, model),
    )

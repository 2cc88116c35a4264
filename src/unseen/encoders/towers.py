"""Two towers that were trained here, as an encoder: ``towers:FOLDER``."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unseen.data.typing import IntArray, Kind
from unseen.encoders.base import Encoder
from unseen.encoders.clip import photo_of
from unseen.encoders.registry import Request
from unseen.encoders.two_tower import TwoTowerEncoder, name_and_description
from unseen.encoders.vision import ImagePreprocess, with_options
from unseen.nn.dual_encoder import NOTHING, DualEncoder
from unseen.nn.state import load_state, save_state

TOWERS = "towers"
"""The folder, inside the one that is named, with weights and how pictures are read."""
TEMPLATES = {"photo": photo_of, "name": name_and_description}
"""How a class is worded."""


class TextTokens:
    """From texts to what a text tower reads, always as long as its context, so that all batches are alike."""

    kind: Kind = "text"

    def __init__(self, towers: DualEncoder) -> None:
        self.reader = towers.reader
        text: Any = towers.text
        self.context = int(text.positions.shape[0])

    def __call__(self, samples: Sequence[Any]) -> Tensor:
        """One batch, int64 (b, context)."""
        tokens = self.reader([str(sample) for sample in samples])[:, : self.context]
        return torch.nn.functional.pad(tokens, (0, self.context - tokens.shape[1]), value=NOTHING)

    def groups(self, samples: Any) -> IntArray:
        """All texts give batches of one shape, (n,)."""
        return np.zeros(len(samples), dtype=np.int64)

    def to_json(self) -> dict[str, Any]:
        """How texts are numbered."""
        return {"kind": self.kind, **self.reader.to_json()}


class ImageSide(nn.Module):
    """Pictures to unit vectors."""

    def __init__(self, model: DualEncoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """Unit vectors, (b, d)."""
        return self.model.encode_image(images)


class TextSide(ImageSide):
    """Tokens to unit vectors."""

    def forward(self, tokens: Tensor) -> Tensor:
        """Unit vectors, (b, d)."""
        return self.model.encode_text(tokens)


def save_towers(
    folder: str | os.PathLike[str], towers: DualEncoder, preprocess: Mapping[str, Any], template: str = "photo"
) -> None:
    """Write towers, and how pictures and classes are read, to `FOLDER/towers`.

    Parameters
    ----------
    folder : path
    towers : DualEncoder
        Whose text tower numbers tokens up to a context.
    preprocess : mapping
        Of an `ImagePreprocess`, as its `to_json` tells it.
    template : {"photo", "name"}
        How a class is worded.
    """
    if template not in TEMPLATES:
        raise ValueError(f"template must be one of {', '.join(TEMPLATES)}; got {template!r}")
    about = {key: value for key, value in preprocess.items() if key != "kind"}
    save_state(Path(folder) / TOWERS, {"towers": towers, "preprocess": about, "template": template})


def build_towers(request: Request) -> TwoTowerEncoder:
    """Build ``towers:FOLDER``."""
    folder = request.folder or Path(request.argument).expanduser()
    if not (folder / TOWERS).is_dir():
        raise FileNotFoundError(f"encoder {request.name!r}: there are no towers in {str(folder)!r}")
    value = load_state(folder / TOWERS)
    try:
        towers, settings, template = value["towers"], dict(value["preprocess"]), TEMPLATES[value["template"]]
        fields: dict[str, Any] = {
            key: tuple(item) if isinstance(item, (list, tuple)) else item for key, item in settings.items()
        }
        preprocess = ImagePreprocess(**fields)
    except (KeyError, TypeError) as error:
        raise ValueError(f"{folder / TOWERS} does not hold two towers: {error}") from error
    if not isinstance(towers, DualEncoder):
        raise ValueError(f"{folder / TOWERS} holds a {type(towers).__name__}, no two towers")
    towers = towers.eval().requires_grad_(False)
    common: dict[str, Any] = {"name": request.name, "precision": request.precision, "local": True}
    return TwoTowerEncoder(
        name=request.name,
        image=Encoder(module=ImageSide(towers), preprocess=with_options(preprocess, request.options), **common),
        text=Encoder(module=TextSide(towers), preprocess=TextTokens(towers), **common),
        logit_scale=float(towers.logit_scale.detach().exp()),
        template=template,
        save=partial(save_towers, towers=towers, preprocess=preprocess.to_json(), template=value["template"]),
    )

"""A query of a picture and a text, over the vectors of a frozen encoder: what is trained, saved, and asked."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from unseen import encoders
from unseen.data.domain import Domain
from unseen.data.kinds import KINDS
from unseen.encoders import Encoder, TwoTowerEncoder
from unseen.files import loads, read_json, sentence
from unseen.methods.query_composers import Mode, QueryComposer, plain_query
from unseen.nn.state import load_state, save_state

ABOUT, METHOD, ENCODER = "compose.json", "method", "encoder"
FORMAT = 1


class Composer:
    """From a picture and a text to a unit vector in the space of an encoder's pictures.

    Whatever searches vectors of that encoder takes it: `find`, or a collection of `unseen curate` by the term
    ``Term("embedding", vector)``.

    Parameters
    ----------
    encoder : TwoTowerEncoder
    method : QueryComposer, optional
        What was trained on vectors of this encoder; without it pictures and texts are added.
    share : float in [0, 1]
        Of the text, where the two are added.
    """

    def __init__(self, encoder: Encoder, method: QueryComposer | None = None, share: float = 0.5) -> None:
        if not isinstance(encoder, TwoTowerEncoder):
            raise ValueError(
                f"encoder: {encoder.name!r} has one tower; name one of pictures and texts, such as lite-clip"
            )
        if not 0 <= share <= 1:
            raise ValueError(f"share must lie in [0, 1]; got {share!r}")
        self.encoder, self.method, self.share = encoder, method, share

    @property
    def modes(self) -> tuple[Mode, ...]:
        """Ways to ask that there are; the first is the best that is there."""
        return (*(("combiner",) if self.method is not None else ()), "sum", "image", "text")

    def vectors(
        self, images: Sequence[Any] | Domain, texts: Sequence[str], mode: Mode | None = None
    ) -> NDArray[np.float32]:
        """Unit vectors (n, d) of pictures with a text each.

        Parameters
        ----------
        images : sequence of pictures, or Domain
        texts : sequence of str
            An empty text leaves the picture alone, but for the combiner, which reads the empty text.
        mode : {"combiner", "sum", "image", "text"}, optional
        """
        if len(images) != len(texts):
            raise ValueError(f"texts must be one for each picture, {len(images)}; got {len(texts)}")
        x = self.encoder.encode_image(images)
        t = self.encoder.encode_text([str(text) for text in texts])
        return self.composed(x, t, mode, [not str(text).strip() for text in texts])

    def composed(
        self, x: NDArray[np.float32], t: NDArray[np.float32], mode: Mode | None = None, empty: Sequence[bool] = ()
    ) -> NDArray[np.float32]:
        """The same of vectors of pictures and of texts."""
        way = mode or self.modes[0]
        if way not in self.modes:
            raise ValueError(f"mode must be one of {', '.join(self.modes)}; got {way!r}")
        a, b = torch.as_tensor(x), torch.as_tensor(t)
        with torch.no_grad():
            if way == "combiner":
                assert self.method is not None
                return self.method.compose(a, b).numpy()
            query = plain_query(a, b, way, self.share)
            alone = torch.tensor([bool(e) for e in empty] or [False] * len(a))
            return torch.where(alone[:, None] & (way == "sum"), torch.nn.functional.normalize(a, dim=1), query).numpy()

    def of_one(self, x: NDArray[np.float32], t: NDArray[np.float32]) -> NDArray[np.float32]:
        """The same of one vector (d,) of a picture and one of a text, in the best way that there is."""
        return self.composed(x[None], t[None])[0]

    def save(self, folder: Path, facts: Mapping[str, Any]) -> None:
        """Write the combiner and what is told of it into a folder that is there."""
        about = {"format": FORMAT, "encoder": self.encoder.to_json(), "share": self.share, **facts}
        save_state(folder / METHOD, {"method": self.method})
        if self.encoder.local:
            self.encoder.save_weights(folder / ENCODER)
        (folder / ABOUT).write_text(json.dumps(about, indent=1))

    @classmethod
    @loads("what `unseen compose` wrote")
    def load(cls, folder: str | os.PathLike[str], *, trust: bool = False) -> Composer:
        """Read what `unseen compose` wrote.

        Raises
        ------
        ValueError
            If the folder is none of these, or its encoder is another one by now.
        """
        place = Path(folder)
        if not (place / ABOUT).is_file():
            raise ValueError(f"model: {str(folder)!r} was not written by `unseen compose`: it has no {ABOUT}")
        try:
            about = read_json(place / ABOUT)
            if about["format"] != FORMAT:
                raise ValueError(f"it is of format {about['format']!r}")
            record, share = about["encoder"], float(about["share"])
            method = load_state(place / METHOD)["method"]
            if not isinstance(method, QueryComposer) or not isinstance(record, dict) or not 0 <= share <= 1:
                raise ValueError("it holds another method, no encoder or no share from 0 to 1")
        except Exception as error:  # a file that was changed makes whatever it likes of its reader
            reason = sentence(error)
            raise ValueError(f"model: {str(folder)!r} was not written by `unseen compose`: {reason}") from error
        inside = place / ENCODER
        return cls(encoders.load(record, inside if inside.is_dir() else None, trust=trust), method, share)


def picture(file: str | os.PathLike[str]) -> Any:
    """A picture of a file, as colours."""
    from unseen.data.images import open_header
    from unseen.encoders.vision import as_image

    place = Path(file)
    if not place.is_file():
        raise ValueError(f"image: there is no file {str(file)!r}")
    try:
        with open_header(place) as opened:
            return as_image(opened.copy())
    except (OSError, ValueError) as error:
        raise ValueError(f"image: {str(file)!r} cannot be read as a picture: {error}") from error


def collection_of(collection: Any) -> Domain:
    """Pictures to search in, read where a path is given."""
    from unseen.data.loaders import samples_of

    domain = samples_of(collection)
    if domain.kind != "image" or not len(domain):
        others = {
            "audio": "; `unseen caption` describes sounds, and `unseen align` maps them into the space of texts",
            "clip": "; videos are found by a text with a model of `unseen align` and its method mug-stan",
        }
        raise ValueError(
            f"collection must hold pictures; {domain.name} holds {len(domain):,} {KINDS[domain.kind][1]}"
            f"{others.get(domain.kind, '')}"
        )
    return domain

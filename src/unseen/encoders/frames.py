"""``frames:<encoder>``: clips by the features of their frames, averaged over parts of the clip that stand side by side.

With one part a clip is the mean of its frames, whatever their order; with as many parts as frames it is all of them one
after the other; with two (the usual ones) its beginning and its end.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from unseen.data.clips import FRAMES as MIDDLES
from unseen.data.clips import SIDE, read_finely
from unseen.data.domain import Domain, Lazy
from unseen.data.segments import as_clip, segment_index
from unseen.data.typing import IntArray, Kind
from unseen.encoders.backends import Backend, Precision
from unseen.encoders.base import Encoder
from unseen.encoders.reading import read_samples
from unseen.encoders.registry import Request, build
from unseen.encoders.two_tower import TwoTowerEncoder
from unseen.encoders.vision import ImagePreprocess
from unseen.runtime import track

FRAMES, PARTS = 8, 2
"""Frames of a clip that are looked at, and parts whose means stand side by side, unless told otherwise."""
AT_ONCE = 32
"""Clips that are in memory at a time."""


@dataclasses.dataclass(frozen=True)
class ClipPreprocess:
    """From clips to a batch (b, frames, 3, h, w): frames of equal parts, each as its picture encoder takes pictures."""

    frame: Any
    frames: int
    parts: int
    kind: Kind = dataclasses.field(default="clip", init=False)

    def pictures(self, clip: Any) -> list[NDArray[np.uint8]]:
        """The chosen frames of a clip (t, 3, h, w), each (h, w, 3) bytes."""
        values = _bytes(clip)
        return [values[i].transpose(1, 2, 0) for i in segment_index(len(values), self.frames).tolist()]

    def cut(self, clip: Any) -> list[Any]:
        """All frames of a clip as batches are made of them: what takes the time is behind them."""
        every = _bytes(clip).transpose(0, 2, 3, 1)
        return [self.frame.ready(frame) for frame in every] if hasattr(self.frame, "ready") else [*every]

    def __call__(self, samples: Sequence[Any]) -> Tensor:
        """One batch."""
        return torch.stack([self.frame(self.pictures(sample)) for sample in samples])

    def groups(self, samples: Any) -> IntArray:
        """All clips give batches of one shape."""
        return np.zeros(len(samples), dtype=np.int64)

    def to_json(self) -> dict[str, Any]:
        """Frames, parts, and the preprocessing of a picture."""
        return {"frames": self.frames, "parts": self.parts, "frame": self.frame.to_json()}

    def for_others(self) -> dict[str, Any]:
        """`to_json` with what a program needs that takes the frames of a file itself.

        A file is cut into ``middles`` equal parts, and frames lie in the middle of those whose numbers, from 0 on, are
        ``chosen``; each has at most ``side`` pixels on its shorter side.
        """
        middles = max(MIDDLES, self.frames)
        record = self.to_json()
        record["frame"] |= {"colours": "RGB"}
        return record | {"middles": middles, "chosen": segment_index(middles, self.frames).tolist(), "side": SIDE}


def _bytes(clip: Any) -> NDArray[np.uint8]:
    """A clip as bytes, (t, 3, h, w)."""
    values = np.asarray(clip)
    if values.dtype != np.uint8:
        values = np.rint(255 * _unit(as_clip(clip))).astype(np.uint8)
    if values.ndim != 4 or values.shape[1] != 3:
        raise ValueError(f"a clip must be of shape (frames, 3, height, width); got {values.shape}")
    return values


def _unit(clip: Tensor) -> NDArray[np.float32]:
    """Values of a clip, found to lie in [0, 1]."""
    if not bool(((clip >= 0) & (clip <= 1)).all()):
        raise ValueError("a clip must hold bytes, or floats in [0, 1]")
    return clip.numpy()


class FramesNetwork(nn.Module):
    """From clips (b, frames, 3, h, w) to the means of their parts, (b, parts * d); of unit length with `unit`."""

    def __init__(self, network: nn.Module, parts: int, unit: bool) -> None:
        super().__init__()
        self.network, self.parts, self.unit = network, parts, unit

    def forward(self, clips: Tensor) -> Float[Tensor, "b d"]:
        """Features of clips."""
        each = self.network(clips.flatten(0, 1))
        return pooled(each.unflatten(0, (-1, clips.shape[1])), self.parts, self.unit)


def pooled(each: Float[Tensor, "b t d"], parts: int, unit: bool = False) -> Float[Tensor, "b d"]:
    """The means of consecutive parts of equal length, side by side."""
    means = torch.cat([part.mean(dim=1) for part in each.chunk(parts, dim=1)], dim=1)
    return F.normalize(means, dim=1) if unit else means


class _OfClips(Encoder):
    """What reads clips, of which it looks at `frames` frames."""

    frames: int

    def example(self, rows: int | None = None) -> Tensor:
        """A batch of meaningless clips."""
        return self.batch([np.zeros((2, 3, 8, 8), dtype=np.uint8)], rows)

    def as_read(self, domain: Domain) -> Domain:
        """Clips of files with as many frames as are looked at, where they were to be read with fewer."""
        return read_finely(domain, self.frames)


class FramesEncoder(_OfClips):
    """Clips by an encoder of pictures.

    Parameters
    ----------
    frame : Encoder
        Of pictures.
    frames : int, >= 1
        Frames of a clip that are looked at.
    parts : int
        It divides `frames`.
    unit : bool
        Whether features are of unit length, as those of two towers.
    """

    def __init__(
        self, *, name: str, frame: Encoder, frames: int = FRAMES, parts: int = PARTS, unit: bool = False
    ) -> None:
        if frame.kind != "image":
            raise ValueError(f"encoder {name!r} must look at frames by an encoder of pictures; {frame.name!r} is none")
        if frames < 1 or parts < 1 or frames % parts:
            raise ValueError(f"parts must divide frames; got {parts} and {frames}")
        self.frame, self.frames, self.parts, self.unit = frame, frames, parts, unit
        super().__init__(
            name=name,
            module=lambda: FramesNetwork(frame.module, parts, unit),
            runs=FramesNetwork(frame.running, parts, unit),
            preprocess=ClipPreprocess(frame.preprocess, frames, parts),
            batch_size=max(1, frame.batch_size // frames),
            precision=frame.precision,
            local=frame.local,
            save=lambda folder: frame.save_weights(folder / "frame"),
        )

    @cached_property
    def dim(self) -> int:
        """Numbers of a clip."""
        return self.frame.dim * self.parts

    @cached_property
    def fingerprint(self) -> str:
        """That of the picture encoder with how frames are taken."""
        spec = {"name": self.name, "frame": self.frame.fingerprint, "preprocess": self.preprocess.to_json()}
        return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()

    def backend(self, precision: Precision) -> Backend:
        """That of the picture encoder."""
        return self.frame.backend(precision)

    def compute(
        self, domain: Domain, positions: IntArray, backend: Backend, *, learn: bool = False
    ) -> NDArray[np.float32]:
        """Features of the clips at `positions`, (len(positions), width); frames are encoded as pictures are."""
        preprocess = self.preprocess
        assert isinstance(preprocess, ClipPreprocess)
        features = np.empty((len(positions), self.width), dtype=np.float32)
        starts = range(0, len(positions), AT_ONCE)
        for start in track(starts, f"encoding {domain.name} by {self.name}") if len(starts) > 1 else starts:
            part = positions[start : start + AT_ONCE]
            ids = [str(name) for name in domain.ids[part]] if domain.ids is not None else []
            read = read_samples(domain, part)
            shown = [
                picture
                for _ in track(part.tolist(), f"reading clips of {domain.name}")
                for picture in preprocess.pictures(next(read))
            ]
            names = np.array([f"{name}, frame {k + 1}" for name in ids for k in range(preprocess.frames)])
            pictures = Domain(x=Lazy(shown, _itself), kind="image", ids=names, name=f"frames of {domain.name}")
            each = self.frame.compute(pictures, np.arange(len(shown)), backend, learn=learn)
            rows = torch.from_numpy(each).view(len(part), preprocess.frames, -1)
            features[start : start + len(part)] = pooled(rows, self.parts, self.unit).numpy()
        return features


def _itself(sample: Any) -> Any:
    return sample


class FramesReader(_OfClips):
    """How clips are read, without a network: the encoder of a saved model whose method holds its network's weights.

    Parameters
    ----------
    record : mapping
        What `Encoder.to_json` told of ``frames:...``, whose preprocessing of frames is an `ImagePreprocess`.

    Raises
    ------
    ValueError
        If the record is of another encoder, or lacks a part.
    """

    def __init__(self, record: Mapping[str, Any]) -> None:
        try:
            settings = record["preprocess"]
            fields: dict[str, Any] = {
                key: tuple(v) if isinstance(v, list) else v for key, v in settings["frame"].items() if key != "kind"
            }
            preprocess = ClipPreprocess(ImagePreprocess(**fields), int(settings["frames"]), int(settings["parts"]))
            name, self._kinds = str(record["name"]), tuple(record["kinds"])
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"encoder must be what an encoder of clips wrote of itself; it lacks {error}") from error
        if "clip" not in self._kinds or preprocess.frames < 1:
            raise ValueError(f"encoder must read clips of at least one frame; got {name!r}")
        self.record, self.frames = dict(record), preprocess.frames
        super().__init__(
            name=name, module=self._none, preprocess=preprocess, batch_size=2, precision="fp32", runs=nn.Identity(),
            local=bool(record.get("local")), save=lambda folder: None,
        )  # fmt: skip

    def _none(self) -> NoReturn:
        raise ValueError(
            f"encoder {self.name!r} was saved without its network, of which the model holds what it has learnt: name "
            "the encoder that it began with"
        )

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Those of the encoder that the model began with."""
        return self._kinds

    @cached_property
    def dim(self) -> int:
        """Numbers of a clip, of the encoder that the model began with."""
        return int(self.record.get("dim", 0))

    @cached_property
    def fingerprint(self) -> str:
        """Of the encoder that the model began with."""
        return str(self.record.get("fingerprint", ""))

    def compute(
        self, domain: Domain, positions: IntArray, backend: Backend, *, learn: bool = False
    ) -> NDArray[np.float32]:
        """Refuse: there is no network."""
        self._none()

    def to_json(self) -> dict[str, Any]:
        """The record."""
        return self.record


def reader_of(encoder: Encoder) -> FramesReader | None:
    """How an encoder reads clips, for a model that needs nothing else of it; None where that is more than a record."""
    side = encoder.image if isinstance(encoder, TwoTowerEncoder) else encoder
    if isinstance(side, FramesReader):
        return side
    if not isinstance(side, FramesEncoder) or type(side.frame.preprocess) is not ImagePreprocess:
        return None
    return FramesReader(encoder.to_json())


def build_frames(request: Request) -> Encoder:
    """Build ``frames:<encoder>?frames=8&parts=2``; other options go to the encoder of pictures.

    Two towers stay two towers, whose clips are means of frames: one part.
    """
    options = {key: value for key, value in request.options.items() if key in ("frames", "parts")}
    try:
        numbers = {key: int(value) for key, value in options.items()}
    except ValueError as error:
        raise ValueError(f"name {request.name!r}: frames and parts must be whole numbers; got {options}") from error
    rest = "&".join(f"{key}={value}" for key, value in request.options.items() if key not in options)
    inner = request.argument + (f"?{rest}" if rest else "")
    folder: Path | None = request.folder
    towers = None if folder is None else folder / "towers"
    inside = None if folder is None else towers if towers is not None and towers.is_dir() else folder / "frame"
    frame = build(inner, trust=request.trust, precision=request.precision, folder=inside)
    query = "&".join(f"{key}={value}" for key, value in options.items())
    name = f"frames:{frame.name}" + (("&" if "?" in frame.name else "?") + query if query else "")  # no folder is in it
    if not isinstance(frame, TwoTowerEncoder):
        return FramesEncoder(
            name=name, frame=frame, frames=numbers.get("frames", FRAMES), parts=numbers.get("parts", PARTS)
        )
    if numbers.get("parts", 1) != 1:
        raise ValueError(f"name {request.name!r}: in the space of names a clip is one vector: parts must be 1")
    clips = FramesEncoder(name=name, frame=frame.image, unit=True, frames=numbers.get("frames", FRAMES), parts=1)
    return TwoTowerEncoder(
        name=name,
        image=clips,
        text=frame.text,
        logit_scale=frame.logit_scale,
        template=frame.template,
        save=lambda target: frame.save_weights(target / "towers"),
    )

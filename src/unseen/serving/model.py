"""`Served`: a saved model that answers many small requests."""

from __future__ import annotations

import base64
import binascii
import copy
import dataclasses
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from unseen.bundle import Bundle
from unseen.data.clips import FRAMES
from unseen.data.domain import Domain, Lazy
from unseen.data.reading import check_says
from unseen.data.typing import IntArray, Kind
from unseen.data.video import require as require_video
from unseen.encoders.backends import MOST_AT_ONCE, threads
from unseen.encoders.base import Encoder, Preprocess
from unseen.encoders.two_tower import TwoTowerEncoder
from unseen.runtime import current
from unseen.serving.clips import open_clip
from unseen.serving.limits import FILES
from unseen.serving.pictures import open_picture
from unseen.serving.sounds import example, open_sound

KINDS = {
    "image": "pictures",
    "clip": "videos",
    "audio": "sounds",
    "text": "texts",
    "features": "vectors of numbers",
    "series": "tables of series",
}
"""What is served, and what people call it."""
ROWS = 256
"""Most feature vectors that are predicted together."""
SOME = 8
"""Classes that a sentence names."""


@dataclasses.dataclass(frozen=True)
class Answer:
    """What the model says of one sample: its class, how sure it is, whether it doubts, the most probable classes."""

    name: str
    probability: float
    unknown: bool
    top: tuple[tuple[str, float], ...]


class Prepared:
    """A preprocessing whose work was done before, sample by sample; what was not is done now."""

    def __init__(self, preprocess: Preprocess) -> None:
        self.preprocess = preprocess

    @property
    def kind(self) -> Kind:
        """What the samples were."""
        return self.preprocess.kind

    def __call__(self, samples: Sequence[Any]) -> torch.Tensor:
        """One batch, (b, ...), of tensors (1, ...)."""
        if samples and isinstance(samples[0], torch.Tensor):
            return torch.cat(list(samples))
        return self.preprocess(samples)

    def groups(self, samples: Any) -> IntArray:
        """All samples give batches of one shape, (n,)."""
        return np.zeros(len(samples), dtype=np.int64)

    def to_json(self) -> dict[str, Any]:
        """What the preprocessing says of itself."""
        return self.preprocess.to_json()


class Served:
    """A saved model, ready to answer.

    Pictures are decoded and preprocessed one by one, in any thread (`prepare`), so that a waiting sample is small and
    the model's own thread (`predict`) runs the network alone; of a video the frames that are looked at are decoded
    there. A batch is padded to the next power of two instead of the encoder's full batch, as a single picture would
    else cost as much as 32; probabilities differ from those of `Bundle.predict` by rounding only.

    Parameters
    ----------
    bundle : Bundle
        Of an encoder of pictures, videos or texts, or of none (samples are features).
    max_pixels : int
        Width times height of a picture, or of a frame, that is still decoded.

    Raises
    ------
    ValueError
        If it reads samples of another kind.
    ImportError
        If it reads videos and PyAV is not installed; the message is the command that installs it.
    """

    named = ranked = True

    def __init__(self, bundle: Bundle, *, max_pixels: int) -> None:
        encoder = bundle.encoder.image if isinstance(bundle.encoder, TwoTowerEncoder) else bundle.encoder
        self.kind: str = "features" if encoder is None else encoder.kind
        if self.kind not in KINDS:
            raise ValueError(f"only models of {', '.join(KINDS.values())} can be served; this one reads {self.kind}")
        if self.kind == "clip":
            require_video()
        self.frames = max(FRAMES, getattr(encoder, "frames", 0))  # as many as a file is read with
        self.width = 0 if encoder is not None else bundle.example().shape[1]
        self.features = bundle.feature_names
        self.max_pixels = max_pixels
        self.rows = ROWS if encoder is None else encoder.batch_size
        self.preprocess = None if encoder is None or self.kind == "text" else encoder.preprocess
        if encoder is not None:
            encoder = copy.copy(encoder)
            if self.kind == "image":
                assert self.preprocess is not None
                encoder.preprocess = Prepared(self.preprocess)
        self.encoder = encoder
        self.bundle = dataclasses.replace(bundle, encoder=encoder)
        self.threads = min(threads(), MOST_AT_ONCE) if current().device == "cpu" else 1
        self._own = threading.local()
        self.flexible = type(encoder) is Encoder and not encoder.local  # a graph of the user may have a fixed batch

    def summary(self, names: bool = True) -> str:
        """What it reads and what it tells, in a sentence without a stop; with the names of some classes, or none."""
        classes = self.bundle.classes.names
        others = f" and {len(classes) - SOME} more" if len(classes) > SOME else ""
        some = f": {', '.join(classes[:SOME])}{others}" if names else ""
        return f"The model reads {KINDS[self.kind]} and tells {len(classes)} classes apart{some}"

    def about(self) -> dict[str, Any]:
        """What `/model` tells."""
        card = self.bundle.method.card
        return {
            "title": (card.summary or card.title).rstrip("."),
            "paper": card.title,
            "method": card.slug,
            "kind": self.kind,
            "classes": list(self.bundle.classes.names),
            "features": list(self.features),
            "credits": list(self.bundle.credits),
        }

    def prepare(self, sample: Any) -> Any:
        """A sample as `predict` takes it: bytes (or base64 of them) of a picture, a video or a sound, a text, or a
        vector.

        Raises
        ------
        ValueError
            If it is none; the message goes on after "sample 3 ...".
        """
        if self.kind == "text":
            check_says(sample)
            return sample
        if self.kind == "features":
            with np.errstate(over="ignore"):
                vector = np.asarray(sample, dtype=np.float32)
            if not np.isfinite(vector).all():
                raise ValueError("holds a number that is no finite float32")
            return vector
        content = sample if isinstance(sample, bytes) else from_base64(sample, self.kind)
        if self.kind == "clip":
            return open_clip(content, self.frames, self.max_pixels)
        if self.kind == "audio":
            return open_sound(content)
        assert self.preprocess is not None
        return self.preprocess([open_picture(content, self.max_pixels)])

    def predict(self, samples: Sequence[Any], top: int = 1) -> list[Answer]:
        """Answers of prepared samples, each with the `top` most probable classes; by any number of threads."""
        n, bundle = len(samples), self._bundle()
        if bundle.encoder is not None and self.flexible:
            bundle.encoder.batch_size = min(self.rows, 1 << (n - 1).bit_length())
        x: Any = Lazy(list(samples), _itself) if self.kind in FILES else np.array(samples)
        domain = Domain(x=x, kind=self.kind, name="requests")  # type: ignore[arg-type]
        table = bundle.predictions(domain, top=max(2, top), cache=False)
        names = [table[f"class_{k + 1}"].tolist() for k in range(min(top, len(self.bundle.classes)))]
        values = [table[f"probability_{k + 1}"].tolist() for k in range(len(names))]
        most = list(zip(zip(*names), zip(*values)))
        rows = zip(table["class"], table["probability"].tolist(), table["unknown"].tolist(), most)
        return [
            Answer(str(name), round(p, 6), bool(unknown), tuple((label, round(q, 6)) for label, q in zip(*ranked)))
            for name, p, unknown, ranked in rows
        ]

    def _bundle(self) -> Bundle:
        """The model with an encoder of this thread's own: the size of its batches is set for each of them."""
        if not hasattr(self._own, "bundle"):
            self._own.bundle = dataclasses.replace(self.bundle, encoder=self.encoder and self.encoder.beside())
        return self._own.bundle

    def weigh(self, sample: Any) -> float:
        """Samples of a kind take as long as each other."""
        return 0.0

    def begin(self) -> None:
        """Say what a thread of `threads` must do first: each computes by itself, and waits for no other."""
        if self.threads > 1:
            torch.set_num_threads(1)

    def warm(self) -> None:
        """Predict once for every size of a batch, so that no request waits for what is made on first use."""
        sample: Any = "warm"
        if self.kind == "features":
            sample = np.zeros(self.width, dtype=np.float32)
        elif self.kind == "clip":
            sample = np.zeros((self.frames, 3, 8, 8), dtype=np.uint8)
        elif self.kind == "audio":
            sample = open_sound(example())
        elif self.preprocess is not None:
            sample = self.preprocess([np.zeros((8, 8, 3), dtype=np.uint8)])
        n = 1
        while n <= self.rows:
            self.predict([sample] * n)
            n *= 2


def _itself(sample: Any) -> Any:
    return sample


def from_base64(text: str, kind: str) -> bytes:
    """The bytes of a sample; `ValueError` if they are no base64."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"is no base64 of a {KINDS[kind].removesuffix('s')}") from error

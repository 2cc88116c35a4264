"""A saved network that segments, asked for what is where in pictures."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from unseen.files import read_object
from unseen.jobs import Ask, Samples, SavedModel, samples_of


class Smaller(NamedTuple):
    """A picture as large as the network reads it, and width and height of what it was made of."""

    picture: Any
    width: int
    height: int


def prepared(folder: Path) -> Callable[[Any], Smaller]:
    """What makes pictures as small as the network in a folder reads them: what waits takes less memory."""
    from unseen.data.loaders.shrinking import Shrink
    from unseen.jobs.segmentation.model import MODEL

    size = read_object(folder / MODEL).get("size")
    if not isinstance(size, int) or not 8 <= size <= 8192:
        raise ValueError(f"{folder / MODEL} is damaged: size must lie in [8, 8192] pixels; got {size!r:.50}")
    shrink = Shrink(size)
    return lambda picture: Smaller(shrink(picture), picture.width, picture.height)


def opened(folder: Path) -> Ask:
    """A row per picture: the shares of its classes and their colours, the mean probability of its pixels, and its mask:
    a PNG in base64, as large as the picture, whose values number the classes, in these colours where a palette has room
    for them."""
    import numpy as np

    from unseen.data.domain import Domain
    from unseen.data.loaders.shrinking import Shrink, at_size
    from unseen.data.pixels import as_picture
    from unseen.data.tasks.base import objects
    from unseen.jobs.segmentation.model import SegmentModel
    from unseen.report.tasks import looks_of
    from unseen.report.tasks.mask import colour_of

    saved, words = SegmentModel.load(folder), looks_of("mask").words
    smaller, names = Shrink(saved.size), saved.classes.names

    def ask(pictures: Sequence[Smaller], top: int) -> list[list[dict[str, Any]]]:
        pictures = list(pictures)
        x = objects(as_picture(smaller(sent.picture)) for sent in pictures)
        domain = Domain(x=x, kind="image", task="mask", classes=saved.classes, name="pictures")
        masks, sure = saved.predict(domain)[1:]
        rows = []
        for sent, mask, probability in zip(pictures, masks, sure):
            values = np.asarray(mask)
            colours = {names[i]: "#{:02x}{:02x}{:02x}".format(*colour_of(i)) for i in np.unique(values).tolist()}
            counts = np.bincount(values.ravel(), minlength=len(names)) / values.size
            mean = round(float(probability.mean()), 6)
            rows.append(
                [
                    {
                        "answer": f"{words(mask, saved.classes)} (mean probability {mean:.2f})",
                        "shares": {name: round(float(share), 6) for name, share in zip(names, counts) if share},
                        "colours": colours,
                        "probability": mean,
                        "mask": _png(at_size(values, (sent.height, sent.width))),
                    }
                ]
            )
        return rows

    return ask


def _png(mask: Any) -> str:
    import numpy as np
    from PIL import Image

    from unseen.report.tasks.mask import colour_of

    out = io.BytesIO()
    if mask.max() < 256:
        picture = Image.fromarray(mask.astype(np.uint8))
        picture.putpalette([part for i in range(256) for part in colour_of(i)])
    else:  # more than a palette has room for
        picture = Image.fromarray(mask.astype(np.uint16))
    picture.save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()


def read(path: str) -> Samples:
    """Pictures of a folder, or one."""
    from unseen.data.loaders import load

    domain = load(path)
    if domain.kind != "image":
        raise ValueError(f"{path} must hold pictures; it holds {domain.kind}")
    return samples_of(domain)


def exported(folder: Path, file: Path) -> float:
    """Write its network as ONNX."""
    from unseen.jobs.segmentation.model import SegmentModel

    return SegmentModel.load(folder).export(file)


def offline(folder: Path) -> dict[str, Any]:
    """What a page that runs its network must know."""
    from unseen.jobs.segmentation.model import MODEL, SegmentModel
    from unseen.report.tasks.mask import OPACITY, colour_of

    saved, written = SegmentModel.load(folder), read_object(folder / MODEL)
    return {
        "method": str(written.get("method", "")),
        "classes": list(saved.classes.names),
        "colours": [colour_of(i) for i in range(len(saved.classes))],
        "opacity": OPACITY,
        "size": saved.size,
    }


SAVED = SavedModel(
    what="a network that segments",
    command="unseen segment --target PICTURES --model {folder}",
    file="segmenter.json",
    reads="image",
    tells="the class of every pixel",
    opened=opened,
    read=read,
    prepared=prepared,
    exported=exported,
    offline=offline,
)

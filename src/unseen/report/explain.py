"""Explanations as a page or a picture: what spoke for each prediction, and where, or when, it was looked for."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unseen import methods
from unseen.bundle import Bundle
from unseen.data.clips import seconds_of
from unseen.data.contact_sheet import contact_sheet
from unseen.data.domain import Domain
from unseen.data.segments import segment_index
from unseen.data.typing import FloatArray
from unseen.methods.base import Method
from unseen.methods.explanation import explaining, explains
from unseen.report.pages import HERE, image_source, render_page
from unseen.runtime import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from PIL.Image import Image

PIXELS = 320
"""Largest side of a picture on the page."""
EVEN = 3.0
"""A cell has the full colour at so many times its even share at least, and none at an even share."""
HEAT, COLD, COVER = (214, 40, 57), (0, 103, 166), (222, 142, 0)
"""Speaks for the class, against it; is covered."""
OPEN = ((0.05, "hardly anything"), (0.2, "little"), (0.5, "some of it"), (0.8, "much"), (1.01, "nearly everything"))
"""What is left open, in words, up to these uncertainties."""


class Part(NamedTuple):
    """An attribute that spoke for the class: how strongly it was found and is expected, and its heat map."""

    name: str
    found: float
    expected: float
    times: float
    heat: Image


class Map(NamedTuple):
    """A map of the whole picture: its values in cells, (h, w), what they come to in words, and its heat map.

    That of a frame says when it is shown: `seconds` of its video, and `when` in words.
    """

    name: str
    values: FloatArray
    note: str
    heat: Image
    seconds: float | None = None
    when: str = ""

    @property
    def called(self) -> str:
        """Its name, with the time of a frame."""
        return f"{self.name}, {self.when}" if self.when else self.name


class Explained(NamedTuple):
    """Everything that is said of one picture, by attributes (`parts`) or by maps; heat maps need several regions.

    Of a clip there is a map for each frame that was looked at, of one value (`by_frames`).
    """

    name: str
    prediction: str
    probability: float
    unknown: bool
    open: tuple[tuple[str, float, str], ...]
    picture: Image
    parts: tuple[Part, ...]
    cells: tuple[int, int]
    maps: tuple[Map, ...] = ()
    by_frames: bool = False


def explained(model: Bundle, samples: Domain, top: int = 5) -> list[Explained]:
    """What the model says of pictures or clips, and why.

    Pictures are shown as the encoder sees them, so that maps lie where they belong.

    Parameters
    ----------
    model : Bundle
        Of a method with the verb `explain`, or with `evidence_maps` and `occlusion_maps`, on an encoder of pictures; or
        one that reads clips, with `frame_scores`.
    samples : Domain
        Of kind image, or clip.
    top : int, >= 1
        Attributes of each picture.

    Raises
    ------
    ValueError
        If the method does not explain, or the model or the samples are no pictures (no clips).
    """
    method: Any = model.method
    if scores_frames(method):
        if not model.whole or samples.kind != "clip":
            raise ValueError(f"samples must be clips, which the model reads; {samples.name!r} holds {samples.kind}")
        return _by_frames(model, samples)
    if not explains(method) and not maps(method):
        raise ValueError(f"{method.card.slug} does not explain its predictions; these methods do: {_those()}")
    if model.encoder is None or samples.kind != "image" or model.encoder.kind != "image":
        raise ValueError(
            f"samples must be pictures, and the model read pictures; {samples.name!r} holds {samples.kind}"
        )
    if top < 1:
        raise ValueError(f"top must be at least 1; got {top}")
    return _by_attributes(model, samples, top) if explains(method) else _by_maps(model, samples)


def maps(method: Method | type[Method]) -> bool:
    """Whether a method maps what speaks for its predictions and what hides the object."""
    return all(callable(getattr(method, verb, None)) for verb in ("evidence_maps", "occlusion_maps"))


def scores_frames(method: Method | type[Method]) -> bool:
    """Whether a method says of each frame of a clip what it adds."""
    return callable(getattr(method, "frame_scores", None))


def _by_attributes(model: Bundle, samples: Domain, top: int) -> list[Explained]:
    method: Any = model.method
    explanation, table = method.explain(model.features(samples), top), model.predict(samples)
    records = []
    for i, row in enumerate(table.to_dict("records")):
        picture = _seen(model, samples.x[i])
        looked = explanation.maps[i][explanation.top[i]]
        scale = max(float(looked.max(initial=0)) * looked[0].size, EVEN)
        parts = [
            Part(explanation.names[a], float(p), float(z), float(map_.max() * map_.size), heated(picture, map_, scale))
            for a, p, z, map_ in zip(explanation.top[i], explanation.found[i], explanation.expected[i], looked)
            if p * z > 0  # the others did not speak for the class
        ]
        left = [(name, float(values[i]), words(float(values[i]))) for name, values in explanation.uncertainty.items()]
        records.append(Explained(*_said(row), tuple(left), picture, tuple(parts), (looked.shape[1], looked.shape[2])))
    return records


def _by_maps(model: Bundle, samples: Domain) -> list[Explained]:
    method: Any = model.method
    features = model.features(samples)
    table = model.predict(samples, top=2)
    records = []
    rows = zip(table.to_dict("records"), method.evidence_maps(features), method.occlusion_maps(features))
    for i, (row, evidence, occluded) in enumerate(rows):
        picture = _seen(model, samples.x[i])
        largest = max(float(np.abs(evidence).max()), 1e-12)
        speaks = f"{(evidence > 0).mean():.0%} of the cells speak for it, {(evidence < 0).mean():.0%} against"
        hidden = f"{(occluded > 0).mean():.0%} of the cells show no part of it"
        odds = np.tanh(np.maximum(occluded, 0) / 2)  # 2 p - 1, of the probability
        first = Map(
            f"{row['class_1']} rather than {row['class_2']}",
            evidence,
            speaks,
            tinted(picture, evidence / largest, HEAT, COLD),
        )
        second = Map("occluded", occluded, hidden, tinted(picture, odds, COVER))
        records.append(Explained(*_said(row), (), picture, (), (evidence.shape[0], evidence.shape[1]), (first, second)))
    return records


def _by_frames(model: Bundle, samples: Domain) -> list[Explained]:
    """What each frame that was looked at, by itself, says for the predicted class rather than for the second best."""
    method: Any = model.method
    if len(model.classes) < 2:
        raise ValueError(f"model must tell two classes apart to say what speaks for one; it has {len(model.classes)}")
    assert model.encoder is not None
    preprocess: Any = model.encoder.preprocess
    samples = model.encoder.as_read(samples)
    scores, table = method.frame_scores(model.features(samples)).numpy(), model.predict(samples, top=2)
    records = []
    for i, row in enumerate(table.to_dict("records")):
        first, second = (model.classes.index(row[key]) for key in ("class_1", "class_2"))
        apart = scores[i, :, first] - scores[i, :, second]
        read = preprocess.pictures(samples.x[i])
        chosen = segment_index(len(read), len(apart)).tolist()
        frames, times = [_enlarged(read[k]) for k in chosen], _times(samples, i, len(read), chosen)
        full = max(float(np.abs(apart).max()), 1e-12)
        maps = tuple(
            Map(
                f"frame {k + 1}", np.array([[value]]),
                f"{'for' if value > 0 else 'against'} {row['class_1']}, beside {row['class_2']}: {value:+.2f}",
                tinted(frame, np.full((2, 2), value / full / 2), HEAT, COLD),
                *time,
            )
            for k, (frame, value, time) in enumerate(zip(frames, apart, times))
        )  # fmt: skip
        sheet = contact_sheet(samples.x[i], side=PIXELS // 3)
        records.append(Explained(*_said(row), (), sheet, (), (1, len(maps)), maps, by_frames=True))
    return records


def _times(samples: Domain, i: int, read: int, chosen: Sequence[int]) -> list[tuple[float | None, str]]:
    """When the `chosen` ones of the frames that the encoder read of a clip are shown, as numbers and in words."""
    seconds = seconds_of(samples, i)
    if seconds is None:
        return [(None, "")] * len(chosen)
    shown = [seconds[k] for k in segment_index(len(seconds), read).tolist()]
    digits = 1 if len(seconds) < 2 or seconds[1] - seconds[0] >= 0.1 else 2
    return [(round(shown[k], 3), f"{shown[k]:.{digits}f} s") for k in chosen]


def _said(row: dict[Any, Any]) -> tuple[str, str, float, bool]:
    return str(row["id"]), str(row["class"]), float(row["probability"]), bool(row["unknown"])


def words(uncertainty: float) -> str:
    """How much is left open, in words."""
    return next(word for limit, word in OPEN if uncertainty < limit)


def heated(picture: Image, map_: NDArray[Any], scale: float) -> Image:
    """The picture in pale grey, coloured where a map, (h, w), is above its even share; full at `scale` even shares."""
    return tinted(picture, np.clip((map_ * map_.size - 1) / (scale - 1), 0, 1), HEAT)


def tinted(
    picture: Image,
    strength: NDArray[Any],
    above: tuple[int, int, int],
    below: tuple[int, int, int] | None = None,
) -> Image:
    """The picture in pale grey, coloured by a strength in [-1, 1] of its cells, (h, w): above 0, and below it."""
    from PIL import Image as Images

    smooth = Images.fromarray(strength.astype(np.float32)).resize(picture.size, Images.Resampling.BICUBIC)
    signed = np.clip(np.asarray(smooth), 0 if below is None else -1, 1)[:, :, None]
    grey = np.asarray(picture.convert("L"), dtype=np.float32)[:, :, None]
    colour = np.where(signed > 0, np.array(above, dtype=np.float32), np.array(below or above, dtype=np.float32))
    alpha = 0.8 * np.abs(signed)
    mixed = (1 - alpha) * (70 + 0.7 * grey) + alpha * colour
    return Images.fromarray(np.clip(mixed, 0, 255).astype(np.uint8))


def write(file: Path, records: Sequence[Explained], model: Bundle) -> None:
    """Write a page (.html) that needs nothing else, or a picture (.png), all or nothing.

    Raises
    ------
    ValueError
        If the file ends otherwise, or there is nothing to write.
    """
    if file.suffix.lower() not in (".html", ".png"):
        raise ValueError(f"out must end in .html or .png; got {str(file)!r}")
    if not records:
        raise ValueError("there is no picture to explain")
    content = _page(records, model) if file.suffix.lower() == ".html" else _figure(records)
    with replacing(file) as temporary:
        temporary.write_bytes(content)


def _those() -> str:
    those = (slug for slug in methods.slugs() if maps(methods.get(slug)) or scores_frames(methods.get(slug)))
    return ", ".join([*explaining(), *those])


def _seen(model: Bundle, sample: Any) -> Image:
    """A picture as the network gets it: resized and cut."""
    from unseen.encoders.vision import as_image

    preprocess: Any = model.encoder.preprocess if model.encoder is not None else None
    return _enlarged(preprocess.pixels(as_image(sample)))


def _enlarged(pixels: NDArray[np.uint8]) -> Image:
    """A picture with `PIXELS` on its larger side."""
    from PIL import Image as Images

    image = Images.fromarray(pixels)
    factor = PIXELS / max(image.size)
    return image.resize((max(1, round(image.width * factor)), max(1, round(image.height * factor))))


# -- the page ------------------------------------------------------------------------------------------------


def _page(records: Sequence[Explained], model: Bundle) -> bytes:
    return render_page(
        HERE / "explain.html",
        style=(HERE / "explain.css").read_text(encoding="utf-8"),
        filters={"source": _source},
        explanations=records,
        method=model.method.card,
        encoder=model.encoder.name if model.encoder is not None else "",
        classes=len(model.classes),
    )


def _source(picture: Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=88)
    return image_source(buffer.getvalue(), "jpeg")


# -- the picture ---------------------------------------------------------------------------------------------


def _figure(records: Sequence[Explained]) -> bytes:
    from matplotlib.figure import Figure

    shown = [_panels(record) for record in records]
    columns, rows = 1 + max(map(len, shown)), len(records)
    figure = Figure(figsize=(2.3 * columns, 3.25 * rows), dpi=120, facecolor="white", layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for line, record, panels in zip(axes, records, shown):
        for axis in line:
            axis.axis("off")
        _show(line[0], record.picture, f"{record.prediction}, {record.probability:.0%}", _left(record))
        for axis, panel in zip(line[1:], panels):
            _show(axis, *panel)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _panels(record: Explained) -> list[tuple[Image, str, str]]:
    """Heat maps with what stands above and below each."""
    parts = [(part, f"found {part.found:.2f}, expected {part.expected:.2f}") for part in record.parts]
    located = record.cells != (1, 1)
    return [
        *((p.heat, p.name, f"{text}\nlargest share {p.times:.1f} × even" if located else text) for p, text in parts),
        *((map_.heat, map_.called, map_.note.replace(", ", ",\n")) for map_ in record.maps if located),
    ]


def _show(axis: Axes, picture: Image, title: str, below: str) -> None:
    import textwrap

    axis.imshow(np.asarray(picture))
    axis.set_title("\n".join(textwrap.wrap(title, 24)[:2]), fontsize=10, color="#1b1d21")
    axis.text(0.5, -0.03, below, transform=axis.transAxes, ha="center", va="top", fontsize=8, color="#4a4e55")


def _left(record: Explained) -> str:
    left = [f"{name} {u:.2f}, {word}" for name, u, word in record.open]
    return "\n".join(["left open:", *left] if left else [])

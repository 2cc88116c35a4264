"""What `unseen align` tells of a model: what it was made of, and how well either side finds the other."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.pairs import Pairs
from unseen.encoders import Encoder
from unseen.evaluation.drive import HeldOut, Together, by_accuracy
from unseen.evaluation.exam import Exam
from unseen.evaluation.metrics.retrieval import both_ways
from unseen.files import check_kinds, read_json, read_plain, sentence
from unseen.strict_json import strict_json

ABOUT, PAGE = "align.json", "align.html"
"""What was learnt from and how well it went, for a later call and for people, beside the model."""
WRITTEN = ("bundle.json", "method", "encoder", ABOUT, PAGE)
FORMAT = 1
Side = Literal["left", "right"]
DRAWING = re.compile(r'<figure><img src="data:image/png;base64,([A-Za-z0-9+/=]+)"')
"""Where the matrices of cosines stand in a page."""


@dataclasses.dataclass
class Report:
    """What `unseen align` tells.

    Attributes
    ----------
    method : str
        "prefix-conditioning", "rs-m-clip", "mug-stan", or of cwcl the preset and what was set otherwise.
    encoders : dict
        The name of the encoder of each side; None of features.
    frozen : {"left", "right"}
    pairs, held_out, lacking, cut : int
        Pairs learnt from; asked about; left out for want of a side; texts longer than the context of their encoder.
    partners : float
        Pairs for each sample of the left side.
    recall : dict of arm to dict
        Both ways on held-out pairs: `there@k` (left finds right), `back@k`, `mean`.
    ranks : dict of arm to dict
        The median place of the first right answer, `there` and `back`.
    chance : dict
        The same of answers in random order.
    asked : dict of language to int
        Captions of each that were asked about, where there are several.
    languages : dict of language to dict
        The same of the arm that is saved, among the pairs of a language.
    beside : dict of arm to dict of language to float
        The mean of both ways in each language, of the arms that were trained beside.
    structure : dict of arm to float
        Pearson r of the cosines of held-out samples in the frozen space and in the new one.
    accuracy : dict of arm to dict
        Zero-shot on the labelled samples that were given: `ensemble` of templates, `name` alone; and chance.
    variant : str
        Of all but cwcl the preset and what was set otherwise.
    ridge_rows : int
        Pairs that the ridge map learnt from, drawn at random; 0 if it learnt from all, or there is none.
    examined : int
        Labelled samples that `accuracy` is of.
    known : int
        Samples of the exam that are among those that were learnt from.
    shared : int
        Held-out pairs whose right sample is, by content, also that of a pair that was learnt from.
    row_entropy : float
    monitors, history : dict
        Of the method.
    translations : dict of language to dict
        How many translations were kept, and how many dropped for which reason.
    spoken : dict of language to float
        Zero-shot accuracy of what was saved by the sentences of each language.
    kept : str
        Which towers were kept, student or teacher.
    alike : int
        Pictures that look like another one, with which they count as one.
    like_exam : int
        Pairs that were left out as their picture looks like one of the exam.
    notes : list of str
        What else a reader should know.
    fingerprints : dict of str
        Of the encoder of each side; empty where it is not known.
    """

    method: str
    encoders: dict[str, str | None]
    frozen: Side
    pairs: int
    held_out: int
    lacking: int
    cut: int
    partners: float
    prompts: tuple[str, ...]
    recall: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)
    languages: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)
    beside: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)
    structure: dict[str, float] = dataclasses.field(default_factory=dict)
    accuracy: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)
    variant: str = ""
    ridge_rows: int = 0
    known: int = 0
    shared: int = 0
    row_entropy: float = 0.0
    monitors: dict[str, float] = dataclasses.field(default_factory=dict)
    history: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    translations: dict[str, dict[str, int]] = dataclasses.field(default_factory=dict)
    spoken: dict[str, float] = dataclasses.field(default_factory=dict)
    kept: str = ""
    alike: int = 0
    like_exam: int = 0
    ranks: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)
    notes: list[str] = dataclasses.field(default_factory=list)
    fingerprints: dict[str, str] = dataclasses.field(default_factory=dict)
    chance: dict[str, float] = dataclasses.field(default_factory=dict)
    asked: dict[str, int] = dataclasses.field(default_factory=dict)
    examined: int = 0

    def begins(self) -> str:
        """What was read, in a line."""
        line = f"{self.pairs:,} pair{'s' * (self.pairs != 1)} to learn from, {self.held_out:,} held out"
        if self.lacking:
            line += (
                f"; {self.lacking:,} {'lacks a side and is' if self.lacking == 1 else 'lack a side and are'} left out"
            )
        if self.cut:
            line += f"; texts longer than the context of their encoder, and cut: {self.cut:,}"
        if self.partners > 1.005:
            line += f"; {self.partners:.2f} partners for each left sample"
            line += "" if self.method == "mug-stan" else ", of which every epoch draws one"
        if self.alike:
            line += f"; pictures that look like another one, and count as the same: {self.alike:,}"
        if self.like_exam:
            line += f"; pairs with a picture of the exam, which are left out: {self.like_exam:,}"
        return line


def variant(preset: str | None, settings: Mapping[str, Any] | None) -> str:
    """The preset of a method and what was set otherwise, in a line."""
    return ", ".join([preset or "default", *(f"{name}={value}" for name, value in (settings or {}).items())])


def examine(report: Report, truth: Exam, space: ClassSpace, said: Mapping[tuple[str, str], Any]) -> None:
    """Note how often each arm names the samples of the exam right, by arm and by what it is told of classes."""
    for (arm, prompt), figures in Together(by_accuracy)(truth, said).items():
        report.accuracy.setdefault(arm, {})[prompt] = figures["accuracy"]
    report.examined = len(truth)
    report.accuracy["chance"] = {"ensemble": 1 / len(space), "name": 1 / len(space)}


def recalled(pairs: Pairs, right: NDArray[np.bool_], said: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """How well either side of pairs that nothing was learnt from finds the other, by the scores of each arm."""
    return Together(lambda truth, scores: both_ways(scores, truth))(HeldOut(pairs, right), said)


def known_among(exam: Domain, *learnt: Domain) -> int:
    """How many samples of an exam are, by content, among those that were learnt from."""
    return int(np.isin(exam.digests(), np.concatenate([domain.digests() for domain in learnt])).sum())


def shared_among(pairs: Pairs, chosen: NDArray[np.bool_], learnt: NDArray[np.bool_] | None = None) -> int:
    """How many of the `chosen` pairs have a right sample that, by content, one of those `learnt` has (the others)."""
    right = pairs.right.digests()
    return int(np.isin(right[chosen], right[~chosen if learnt is None else learnt]).sum())


def otherwise(report: Report, prompts: tuple[str, ...]) -> Report:
    """What is still true of a model that is asked about other classes: nothing of the zero-shot accuracy."""
    recall = {name: figures for name, figures in report.recall.items() if figures}
    return dataclasses.replace(report, prompts=prompts, accuracy={}, spoken={}, known=0, recall=recall)


def drawing_of(folder: Path) -> bytes | None:
    """The picture on the page of a saved model, None if there is none."""
    try:
        drawing = DRAWING.search(read_plain(folder / PAGE))
        return base64.b64decode(drawing[1], validate=True) if drawing else None
    except (OSError, ValueError, binascii.Error):
        return None


def refuse_another(report: Report, side: str, encoder: Encoder) -> None:
    """Raise `ValueError` where what is called like the encoder of a side is another one by now."""
    if report.fingerprints.get(side, encoder.fingerprint) != encoder.fingerprint:
        raise ValueError(
            f"model: what is called {encoder.name!r} here is another encoder than that of its {side} side: classes "
            "would stand elsewhere in its space"
        )


def told_by(folder: Path) -> Report:
    """What a saved model says of how it was made; `ValueError` if it says nothing that can be read."""
    try:
        about: dict[str, Any] = read_json(folder / ABOUT)
        if about.pop("format") != FORMAT:
            raise ValueError("it is of another format")
        return check_kinds(Report(**{**about, "prompts": tuple(about["prompts"])}))
    except Exception as error:  # a file that was changed makes whatever it likes of its reader
        raise ValueError(f"model: {folder / ABOUT} does not tell how it was aligned: {sentence(error)}") from error


def written(report: Report, part: Path, picture: bytes | None = None) -> None:
    """Write it into the folder of a model, for a later call and for people."""
    from unseen.jobs.alignment import page

    record = {"format": FORMAT, **dataclasses.asdict(report)}
    (part / ABOUT).write_text(strict_json(record))
    (part / PAGE).write_bytes(page.page(report, picture))


def same(pairs: Pairs) -> Callable[[NDArray[np.intp]], NDArray[np.bool_]]:
    """What is right for some pairs: their own partner, and every one that is the same on either side."""
    numbers = [np.unique(side.digests(), return_inverse=True)[1].reshape(-1) for side in (pairs.left, pairs.right)]

    def relevant(rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        left, right = (number[rows] for number in numbers)
        return (left[:, None] == left[None, :]) | (right[:, None] == right[None, :])

    return relevant


def training_folder(out: Path) -> Path:
    """Where a training that is under way keeps its checkpoints."""
    return out.parent / f".{out.name}.training"

"""`propose`: which samples of a domain to label next, with what the models think and what it is expected to buy."""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from unseen import methods
from unseen.arguments import Check, check_arguments, whole
from unseen.bundle import Bundle
from unseen.compare.asked import GIVEN
from unseen.compare.inputs import Inputs, prepare
from unseen.compare.reading import Data
from unseen.data.class_file import class_space
from unseen.data.classes import ClassSpace
from unseen.data.clips import Segment, local, pictures_in
from unseen.data.damage import undamaged
from unseen.data.domain import Domain, Lazy
from unseen.data.feature_names import by_name
from unseen.data.typing import FloatArray, IntArray
from unseen.encoders.defaults import DEFAULT_ENCODER
from unseen.labeling.class_order import classes_to_label
from unseen.labeling.gain import Gain, expected_gain
from unseen.labeling.margin import margin
from unseen.labeling.typiclust import check_budget, typiclust
from unseen.report import words
from unseen.runtime import replacing
from unseen.spreadsheets import harmless_table
from unseen.verification import sealed

if TYPE_CHECKING:
    from unseen.encoders import Encoder

log = logging.getLogger(__name__)

USUAL = 20
"""Labels that are asked for where nobody says how many, and there are as many samples."""

CHECKS = {
    **{name: GIVEN[name] for name in ("target", "source", "classes", "encoder", "on_error", "trust")},
    "budget": whole(1).or_none(),
    "model": Check("a Bundle", lambda value: isinstance(value, Bundle)).or_none(),
    "seed": whole(0),
    "say": Check("a function that takes a line", callable),
}
"""What the arguments of `propose` must be."""


@dataclasses.dataclass(frozen=True, eq=False)
class Proposal:
    """Samples to label, the first first.

    Attributes
    ----------
    samples : Domain
        As they were read.
    covers : int array (b,)
        How many samples the cluster of each has: whom its label speaks for.
    guesses : tuple of (str or None)
        The class that the models hold most probable; None without a model.
    margins : array (b,) or None
        See `margin`.
    classes : tuple of str
        Classes to get a first label for, in order; see `classes_to_label`.
    gain : Gain or None
        None without a source that is large enough.
    """

    samples: Domain
    covers: IntArray
    guesses: tuple[str | None, ...]
    margins: FloatArray | None
    classes: tuple[str, ...]
    gain: Gain | None

    def save(self, file: str | os.PathLike[str]) -> None:
        """Write a CSV with an empty column `label`, all or nothing; filled, `unseen.load` reads it as a support."""
        import pandas as pd

        file = Path(file)
        if file.suffix.lower() != ".csv":
            raise ValueError(f"file must end in .csv; got {str(file)!r}")
        samples = self.samples
        content = {name: value for name, value in _content(samples, file).items() if name != "id"}
        if taken := sorted({"label", "guess"} & set(content)):
            raise ValueError(f"target has a column {taken[0]!r}, which the file to fill has of its own: rename it")
        columns: dict[str, Any] = {"id": samples.ids, "label": "", **content}
        columns["guess"] = ["" if guess is None else guess for guess in self.guesses]
        if samples.kind != "features":  # beside these, numbers would be taken for features
            columns["covers"] = self.covers
            if self.margins is not None:
                columns["margin"] = self.margins.round(3)
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as temporary:
            harmless_table(pd.DataFrame(columns)).to_csv(temporary, index=False)


def propose(
    target: Data,
    *,
    budget: int | None = None,
    model: Bundle | None = None,
    source: Data | None = None,
    classes: ClassSpace | str | os.PathLike[str] | None = None,
    encoder: str | None = None,
    seed: int = 0,
    on_error: str = "skip",
    trust: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Proposal:
    """Choose samples to label by TypiClust; samples with a label and verified ones are never proposed.

    Parameters
    ----------
    target : Domain or path
    budget : int, >= 1, optional
        Labels that can be paid for; `USUAL` if absent, or all samples without a label where there are fewer.
    model : Bundle, optional
        Its guesses stand beside the samples; its encoder is used.
    source : Domain or path, optional
        Labelled samples: a model of them guesses too, and the gain is estimated on them.
    classes : ClassSpace, path, or names, optional
        All classes: a class file, or names (with commas between them, or in a list), for the order of classes; needs
        `model` or `source`.
    encoder : str, optional
    seed : int, >= 0
    on_error, trust
        As in `compare`.
    say : callable, optional
        Takes what was read, in lines, before it is encoded.

    Raises
    ------
    TypeError
        If an argument is of another type.
    ValueError
        If the budget is out of range, kinds differ, or `classes` is given alone.
    """
    check_arguments(CHECKS, dict(locals()), "propose")
    budget, seed = None if budget is None else int(budget), int(seed)
    if classes is not None and model is None and source is None:
        raise ValueError("classes must come with model or source, which say what classes have labels")
    from unseen.data.loaders import samples_of

    name = encoder if encoder or model is None or model.encoder is None else model.encoder.name
    brought = None
    if source is not None:
        brought = prepare(source=source, classes=classes, encoder=name, on_error=on_error, trust=trust, say=say)
    known = brought.feature_names if brought is not None else () if model is None else model.feature_names
    like = () if model is None or brought is not None else model.sample_column
    domain = samples_of(target, on_error=on_error, features=known, like=like)
    free = int((~domain.labeled[_open(domain)]).sum())
    if budget is not None:
        check_budget(budget, free)
    tower = _tower(domain, name, model, brought, trust)
    domain = undamaged(domain, on_error)  # type: ignore[arg-type]
    out, open_ = domain.labeled, _open(domain)
    free, answered = int((~out[open_]).sum()), len(domain) - len(open_)
    also = f", and {answered:,} answered in `unseen verify`" if answered else ""
    line = f"target: {words.samples(len(domain), domain.kind)}, {int(out.sum()):,} with labels{also}"
    say(line.replace(words.SPACE, " "))
    if budget is None:
        budget = min(USUAL, free)
        if free < USUAL:
            log.warning("all %d samples without a label are to be labelled; `budget` asks for fewer", free)
    check_budget(budget, free)
    if tower is not None:
        features = tower.encode(domain)
    else:
        features = domain if brought is None else by_name(domain, brought.feature_names, "target", "the source")
    chosen = typiclust(features.x[open_], budget, labeled=out[open_], seed=seed)
    picked = open_[chosen.positions]
    guesses, margins = _opinions(model, brought, domain.take(picked), features.take(picked))
    return Proposal(
        samples=domain.take(picked),
        covers=chosen.covers,
        guesses=guesses,
        margins=margins,
        classes=tuple(classes_to_label(_labelled_classes(classes, model, brought))) if classes is not None else (),
        gain=None if brought is None or brought.source is None else expected_gain(brought.source, budget, seed=seed),
    )


def _open(domain: Domain) -> IntArray:
    """Positions of samples that nobody has verified; `ValueError` unless one of them has no label."""
    kept = sealed()
    verified = np.isin(domain.digests(), list(kept)) if kept else np.zeros(len(domain), dtype=bool)
    open_ = np.flatnonzero(~verified)
    if domain.labeled[open_].all():
        raise ValueError(
            f"target must hold samples without a label, to ask about; all {len(domain)} of {domain.name} have one "
            "(class folders are labels) or were answered in `unseen verify`; name a folder without class folders, or a "
            "table with an empty column label"
        )
    return open_


def _tower(
    domain: Domain, name: str | None, model: Bundle | None, brought: Inputs | None, trust: bool
) -> Encoder | None:
    """What makes the features to look for clusters in: the encoder of the source, of the model, or the default one."""
    if brought is not None and brought.records["source"]["kind"] != domain.kind:
        raise ValueError(
            f"source and target must be of one kind; got {brought.records['source']['kind']}, {domain.kind}"
        )
    tower = None if brought is None else brought.encoder
    if tower is None and model is not None and not model.whole:
        tower = model.encoder
    if tower is None and domain.kind == "features" and name is None:
        return None
    name = name or DEFAULT_ENCODER.get(domain.kind)
    if tower is None and name is None:
        raise ValueError(f"there is no default encoder for {domain.kind}; name one with encoder=")
    from unseen import encoders

    tower = tower or encoders.get(str(name), trust=trust)
    tower.check_kind(domain)
    return tower


def _opinions(
    model: Bundle | None, brought: Inputs | None, samples: Domain, features: Domain
) -> tuple[tuple[str | None, ...], FloatArray | None]:
    """The most probable class of each sample and its margin: of the model, of one of the source, or of both."""
    opinions: list[tuple[tuple[str, ...], torch.Tensor]] = []
    if model is not None:
        opinions.append((model.classes.names, model.predict_proba(samples)))
    if brought is not None and brought.source is not None:
        known = methods.get("source-only")().fit(source=brought.source)
        opinions.append((brought.classes.names, torch.softmax(known.decision_function(features.unlabeled()), dim=1)))
    if not opinions:
        return (None,) * len(samples), None
    names = tuple(dict.fromkeys(name for named, _ in opinions for name in named))
    if len(names) < 2:
        return (names[0],) * len(samples), None
    place = {name: i for i, name in enumerate(names)}
    onto = []
    for named, p in opinions:
        wide = np.zeros((len(samples), len(names)))
        wide[:, [place[name] for name in named]] = p.detach().numpy()
        onto.append(wide)
    best = np.mean(onto, axis=0).argmax(axis=1)
    return tuple(names[i] for i in best), margin(onto)


def _labelled_classes(classes: Any, model: Bundle | None, brought: Inputs | None) -> ClassSpace:
    """The class file with the classes that have labels as its seen ones."""
    if brought is not None:
        return brought.classes
    assert model is not None
    space = class_space(classes)
    assert space is not None
    seen = [i for i, name in enumerate(space.names) if name in set(model.classes.names)]
    if not seen:
        raise ValueError("classes must name at least one class of the model; it names none")
    return space.replace(seen=np.array(seen))


def _content(samples: Domain, file: Path) -> dict[str, Any]:
    """The columns by which the table can be read again: paths relative to it (of parts of videos with their seconds),
    texts, or features and words beside."""
    if samples.kind == "text":
        return {"text": np.asarray(list(samples.x))}
    if samples.kind == "features":
        names = samples.feature_names or tuple(f"f{i}" for i in range(samples.n_features))
        words = {name: column for name, column in samples.columns.items() if np.asarray(column).dtype.kind in "UO"}
        return {**dict(zip(names, np.asarray(samples.x).T)), **{k: v for k, v in words.items() if k not in names}}
    items = samples.x.items if isinstance(samples.x, Lazy) else []
    places = [_place(item) for item in items]
    paths = [place.path for place in places if place is not None]
    if len(paths) != len(samples) or not all(Path(path).exists() for path in paths):
        return {}
    spans = {
        "start": [place.start or "" for place in places if place is not None],
        "end": ["" if place.end is None else place.end for place in places if place is not None],
    }
    parts = {name: times for name, times in spans.items() if any(time != "" for time in times)}
    return {"path": _relative([Path(path) for path in paths], file), **parts}


def _place(item: Any) -> Segment | None:
    """The file behind a sample, the part of a video, or the folder that holds the frames of a clip and nothing else."""
    if isinstance(item, Segment):
        return item
    if isinstance(item, str):
        return Segment(item)
    if isinstance(item, tuple) and item and all(isinstance(path, str) for path in item):
        folder = Path(item[0]).parent
        if folder.is_dir() and pictures_in(local(), str(folder)) == list(item):
            return Segment(str(folder))
    return None


def _relative(paths: Sequence[Path], file: Path) -> list[str]:
    """Paths from the folder of a file on."""
    here = file.parent.resolve()
    if not all(path.resolve().is_relative_to(here) for path in paths):
        log.warning("%s does not lie above the samples, so its paths lead out of its folder", file)
        return [os.path.relpath(path.resolve(), here) for path in paths]
    return [str(path.resolve().relative_to(here)) for path in paths]

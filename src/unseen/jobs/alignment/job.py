"""`unseen align`: pairs and a frozen tower make a model whose other side lives in the same space."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from unseen.bundle import Bundle
from unseen.data.class_file import check_prompts, class_space
from unseen.data.classes import ClassSpace
from unseen.data.damage import undamaged
from unseen.data.domain import Domain
from unseen.data.loaders import samples_of
from unseen.data.pairs import Pairs
from unseen.encoders import Encoder, get
from unseen.encoders.defaults import DEFAULT_ENCODER
from unseen.encoders.two_tower import class_texts, mean_of
from unseen.encoders.unread import unread
from unseen.evaluation.exam import Exam
from unseen.evaluation.metrics.retrieval import both_ways_by_chance, structure_correlation
from unseen.files import recovered
from unseen.jobs.alignment.beside import SAVED, best_first, rows_drawn, simple_arms
from unseen.jobs.alignment.reading import (
    both_legible,
    exam_of,
    language_of,
    read,
    undamaged_pairs,
    unlike,
    unread_clips,
)
from unseen.jobs.alignment.reading import held_out as chosen_by_content
from unseen.jobs.alignment.report import (
    WRITTEN,
    Report,
    Side,
    drawing_of,
    examine,
    known_among,
    otherwise,
    recalled,
    refuse_another,
    same,
    shared_among,
    told_by,
    training_folder,
    variant,
    written,
)
from unseen.jobs.alignment.spoken import asked_otherwise
from unseen.methods.listing import kind_of, of_kind
from unseen.methods.multimodal.attached import OTHER, Attached, checked_sides
from unseen.methods.multimodal.cwcl import CWCL
from unseen.methods.multimodal.prefix_conditioning import PrefixConditioning
from unseen.methods.multimodal.rs_m_clip import RSMCLIP
from unseen.nn import parallel
from unseen.nn.state import refuse_foreign
from unseen.runtime import current, runtime

HELD_OUT = 0.1
ASKED = 2000
"""Held-out pairs that recall is measured on, the first; as many of each language."""
DRAWN = 160
"""Held-out samples whose cosines are drawn."""
DEFAULT = "cwcl"
"""The method where none is named."""
SEEN = (
    "a photo of a {}.", "a picture of a {}.", "an image of the {}.", "a drawing of a {}.", "this is a {}.", "{}.",
)  # fmt: skip
PROMPTS = {"image": SEEN, "clip": SEEN, "audio": ("{}", "{}.", "the sound of {}.", "a recording of {}.")}
"""Templates whose vectors are averaged where none are told, by what samples are: nobody photographs a sound."""
PLAIN = ("{}", "{}.", "this is {}.")
"""Those of any other samples."""


def align(
    pairs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | Pairs,
    *,
    out: str | os.PathLike[str],
    left: str | None = None,
    right: str | None = None,
    frozen: Side = "right",
    left_encoder: str | None = None,
    right_encoder: str | None = None,
    method: str | None = None,
    preset: str | None = None,
    settings: Mapping[str, Any] | None = None,
    classes: Any = None,
    prompts: Sequence[str] | None = None,
    exam: str | os.PathLike[str] | Domain | None = None,
    language: str | None = None,
    held_out: float = HELD_OUT,
    beside: bool = True,
    seed: int = 0,
    with_encoder: bool = False,
    trust: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> tuple[Bundle, Report]:
    """Learn from pairs to live in the space of a frozen tower; ask about pairs held out; save a model that predicts.

    Under a launcher of several processes (`accelerate launch`, torchrun) they train together, and the first one writes.

    Parameters
    ----------
    pairs : path, two paths, or Pairs
        See `unseen.jobs.alignment.reading.read`.
    out : path
        Folder of the model. A call that was killed goes on from its last epoch when it is made again.
    left, right : str, optional
        Columns of a table.
    frozen : {"left", "right"}
        The side whose encoder stays the space that both share.
    left_encoder, right_encoder : str, optional
        Encoders by name; efficientnet-lite0 for pictures and MiniLM for texts if absent, none for features.
    method : str, optional
        What attaches: one of `attachers`. If absent, and neither preset nor settings are given, that model is saved
        which finds most of the held-out pairs: cwcl as published, or one of those `beside`.
    preset, settings, seed
        Of the method, of cwcl if none is named: its presets are default (as published), sharpened and lit.
    classes : ClassSpace, file or names, optional
        What the model predicts; the classes of `exam`, or else the texts of pairs (the nearest one is told), if absent.
    prompts : sequence of str, optional
        Templates with {} for a class name; their vectors are averaged.
    exam : path or Domain, optional
        Labelled samples of the side that is not text: the zero-shot accuracy is told.
    language : str, optional
        The column that says which language a pair is in; recall is then told of each.
    held_out : float in (0, 1)
        Share of the left samples that is asked about and never learnt, chosen by content.
    beside : bool
        Train a ridge map and LiT beside, and tell how well they do.
    with_encoder, trust
        As in `Bundle.save` and `Bundle.load`.

    Raises
    ------
    ValueError
        If an argument cannot be, or nothing can be learnt from the pairs; before any training.
    """
    if frozen not in ("left", "right"):
        raise ValueError(f"frozen must be left or right; got {frozen!r}")
    if not 0 < held_out < 1:
        raise ValueError(f"held_out must lie in (0, 1); got {held_out!r}")
    out = Path(out)
    refuse_foreign(out, WRITTEN)
    free = method is None and preset is None and not settings
    attached = _attached(method or DEFAULT, preset, {**(settings or {}), "frozen": frozen, "random_state": seed})
    space = class_space(classes)
    check_prompts(prompts)
    with parallel.launched(current().device):
        tell = say if parallel.first() else (lambda line: None)
        taken = read(_paths(pairs), left=left, right=right) if not isinstance(pairs, Pairs) else None
        given = unlike(taken.pairs if taken else pairs)  # type: ignore[arg-type]
        towers = _towers(given, {"left": left_encoder, "right": right_encoder}, trust)
        work = Aligning(given, towers, frozen, tuple(prompts or ()))
        language_of(given, language)
        truth = samples = None
        if exam is not None:
            side = work.asked_side
            samples = samples_of(exam)
            truth = exam_of(samples, getattr(given, side).kind, space, f"the {side} side")
        if truth is not None:
            space = truth.classes
        if space is not None:
            work.need_texts()
        chosen = chosen_by_content(given, held_out)
        slug = attached.card.slug
        cut, unspelt = both_legible(given, towers)
        with _first_alone():
            whole = undamaged_pairs(given)
            if samples is not None and (kept := undamaged(samples)) is not samples:
                samples = kept
                truth = exam_of(samples, samples.kind, space, "the pairs")
        lacking, given = len(given) - len(whole) + (taken.lacking if taken else 0), whole
        work, chosen = dataclasses.replace(work, pairs=given), chosen_by_content(given, held_out)
        report = Report(
            method=variant(preset, settings) if slug == DEFAULT else slug,
            variant="" if slug == DEFAULT else variant(preset, settings),
            encoders={side: None if tower is None else tower.name for side, tower in towers.items()},
            frozen=frozen,
            pairs=int((~chosen).sum()),
            held_out=int(chosen.sum()),
            lacking=lacking,
            cut=cut,
            partners=len(given) / len(np.unique(given.left.digests())),
            prompts=work.prompts,
            notes=[*unread_clips(getattr(given, work.asked_side), samples), *unspelt],
            shared=shared_among(given, chosen),
            fingerprints={side: tower.fingerprint for side, tower in towers.items() if tower is not None},
        )
        if truth is not None:
            report.known = known_among(truth.samples, getattr(given, work.asked_side).take(np.flatnonzero(~chosen)))
        for line in [report.begins(), *unspelt]:
            tell(line)
        features = work.encoded(given)
        checked_sides(features, frozen)  # also what is held out, of which no method is told
        truth = None if truth is None else _encoded_exam(truth, work)
        learn, ask = (features.take(np.flatnonzero(which)) for which in (~chosen, chosen))
        attached.set_params(asked=work.asked)
        with runtime(folder=training_folder(out)):
            attached.fit(pairs=learn)
        arms = {SAVED: attached} | (simple_arms(attached, learn, training_folder(out)) if beside else {})
        if parallel.first():
            raw = given.take(np.flatnonzero(chosen))
            bundle = _told(arms, report, work, learn, ask, raw, space, truth, language, free)
            picture = _picture(bundle.method, ask)  # type: ignore[arg-type]
            bundle.save(out, with_encoder=with_encoder, also=WRITTEN, more=lambda part: written(report, part, picture))
            shutil.rmtree(training_folder(out), ignore_errors=True)
        parallel.wait()
        if not parallel.first():
            bundle = Bundle.load(out, trust=trust)
    return bundle, report


def ask_about(
    model: str | os.PathLike[str],
    classes: Any,
    *,
    out: str | os.PathLike[str],
    prompts: Sequence[str] | None = None,
    with_encoder: bool = False,
    trust: bool = False,
) -> Bundle:
    """A model that `align` saved, for other classes: nothing is learnt.

    Parameters
    ----------
    model : path
        A folder that `align` wrote.
    classes : ClassSpace, file or names
    out : path
        Folder of the new model; may be that of `model`.
    prompts : sequence of str, optional
        Those of the model if absent.
    """
    check_prompts(prompts)
    space = class_space(classes)
    if space is None:
        raise ValueError("classes must be named: a file, or names with commas between them")
    refuse_foreign(Path(out), WRITTEN)
    folder = recovered(model)
    bundle = Bundle.load(folder, trust=trust)
    if isinstance(bundle.method, (PrefixConditioning, RSMCLIP)) or bundle.method.card.slug == "mug-stan":
        method, templates = asked_otherwise(bundle.method, space, prompts)
        moved = dataclasses.replace(bundle, method=method, classes=method.classes_)
        report = otherwise(told_by(folder), templates)
        moved.save(out, with_encoder=with_encoder, also=WRITTEN, more=lambda part: written(report, part))
        return moved
    if not isinstance(bundle.method, Attached):
        raise ValueError(f"model: {os.fspath(model)!r} is a saved {bundle.method.card.slug}; name a folder of `align`")
    report = told_by(folder)
    side = report.frozen if bundle.method.asked == "trained" else OTHER[report.frozen]
    name = report.encoders[side]
    if name is None:
        raise ValueError("classes cannot be named: the side that would tell them holds features, not texts")
    encoder = get(name, trust=trust, precision="fp32")
    refuse_another(report, side, encoder)
    report, picture = otherwise(report, tuple(prompts or report.prompts)), drawing_of(folder)
    named = _named(bundle.method, space, report.prompts, encoder, "frozen" if side == report.frozen else "trained")
    moved = dataclasses.replace(
        bundle, method=bundle.method.adapt(classes=named), classes=named.replace(embeddings=None)
    )
    moved.save(out, with_encoder=with_encoder, also=WRITTEN, more=lambda part: written(report, part, picture))
    return moved


# -- the parts ---------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Aligning:
    """Both sides with their encoders, and which of them is frozen, asked, and names classes."""

    pairs: Pairs
    towers: Mapping[str, Encoder | None]
    frozen: str
    given_prompts: tuple[str, ...]

    @property
    def prompts(self) -> tuple[str, ...]:
        """Templates of class names: those that were given, or what fits the samples that are asked about."""
        return self.given_prompts or PROMPTS.get(getattr(self.pairs, self.asked_side).kind, PLAIN)

    @property
    def texts(self) -> str | None:
        """The side that classes can be named on: the frozen one if both hold texts."""
        for side in (self.frozen, OTHER[self.frozen]):
            if getattr(self.pairs, side).kind == "text":
                return side
        return None

    @property
    def asked(self) -> Literal["trained", "frozen"]:
        """Which side's samples are predicted: the one that does not name classes."""
        return "frozen" if self.texts == OTHER[self.frozen] else "trained"

    @property
    def asked_side(self) -> str:
        """The same as left or right."""
        return self.frozen if self.asked == "frozen" else OTHER[self.frozen]

    def need_texts(self) -> None:
        """Raise `ValueError` where no side can name classes."""
        if self.texts is None:
            raise ValueError("classes cannot be named: neither side of the pairs holds texts")

    def encoded(self, pairs: Pairs) -> Pairs:
        """Vectors of both sides; several processes on one machine share what the first has encoded."""
        sides = {}
        for side, tower in self.towers.items():
            domain: Domain = getattr(pairs, side)
            with _first_alone():
                sides[side] = domain if tower is None else tower.encode(domain, precision="fp32")
        return pairs.replace(**sides)


def _told(
    arms: dict[str, Attached], report: Report, work: Aligning, learn: Pairs, ask: Pairs, raw: Pairs,
    space: ClassSpace | None, truth: Exam | None, language: str | None, free: bool,
) -> Bundle:  # fmt: skip
    """Everything that is measured, and the model with what it predicts; which model, if it is `free`."""
    report.ridge_rows = rows_drawn(arms, learn)
    relevant, few = same(raw), slice(0, ASKED)
    right = relevant(np.arange(len(ask))[few])
    report.chance = both_ways_by_chance(right)
    for name, arm in arms.items():
        vectors = _both(arm, ask)
        scores = vectors["left"][few] @ vectors["right"][few].T
        report.recall |= recalled(ask, right, {name: scores})
        if len(scores) > 2:
            still = getattr(ask, arm.frozen).x[few]
            report.structure[name] = structure_correlation(still, vectors[OTHER[arm.frozen]][few])
    if free:
        arms = best_first(arms, report)
    method = arms[SAVED]
    if (languages := language_of(raw, language)) is not None:
        vectors = _both(method, ask)
        for spoken in np.unique(languages):
            rows = np.flatnonzero(languages == spoken)[few]
            scores = vectors["left"][rows] @ vectors["right"][rows].T
            report.languages |= recalled(ask, relevant(rows), {str(spoken): scores})
            report.asked[str(spoken)] = len(rows)
    if isinstance(method, CWCL):
        report.row_entropy, report.monitors = method.row_entropy_, dict(method.monitors_)
        report.history = {key: values.tolist() for key, values in method.history_.items()}
    names = _answers(method, learn, work) if space is None else _adapted(arms, space, work, truth, report)
    credits = tuple(dict.fromkeys((*work.pairs.left.credits, *work.pairs.right.credits)))
    return Bundle(method=arms[SAVED], classes=names, encoder=work.towers[work.asked_side], credits=credits)


def _both(arm: Attached, pairs: Pairs) -> dict[str, NDArray[np.float32]]:
    """Unit vectors of the left and of the right side."""
    return {side: arm.transform(getattr(pairs, side), _role(arm, side)).numpy() for side in ("left", "right")}


def _picture(method: Attached, ask: Pairs) -> bytes | None:
    """The cosines of some held-out samples on either side; None of fewer than three."""
    from unseen.jobs.alignment.page import matrices

    rows = np.unique(ask.left.digests(), return_index=True)[1][:DRAWN]
    if len(rows) < 3:
        return None
    few = ask.take(np.sort(rows))
    return matrices(getattr(few, method.frozen).x, method.transform(getattr(few, OTHER[method.frozen])).numpy())


def _adapted(
    arms: dict[str, Attached], space: ClassSpace, work: Aligning, truth: Exam | None, report: Report
) -> ClassSpace:
    """Every arm is told the classes; the exam says how well it knows them by name."""
    side = work.texts
    assert side is not None
    tower = work.towers[side]
    assert tower is not None
    predictions: dict[tuple[str, str], Any] = {}
    report.notes += [f"{line}." for line in unread(tower, class_texts(space, None)[0]).lines("classes")]
    for name, arm in list(arms.items()):
        role = "frozen" if side == arm.frozen else "trained"
        alone = _named(arm, space, ("{}",), tower, role)
        named = _named(arm, space, work.prompts, tower, role)
        arms[name] = arm = arm.adapt(classes=named)
        if truth is not None:
            predictions[name, "ensemble"] = arm.predict(truth.samples, named)
            predictions[name, "name"] = arm.predict(truth.samples, alone)
    if truth is not None:
        examine(report, truth, space, predictions)
    return space.replace(embeddings=None)


def _answers(method: Attached, learn: Pairs, work: Aligning) -> ClassSpace:
    """What is predicted where no classes are named: the pair whose other side is nearest, by its text or its id."""
    side = OTHER[work.asked_side]
    rows = method.answer_rows_
    assert learn.ids is not None
    ids = [str(identity) for identity in learn.ids[rows]]
    if getattr(work.pairs, side).kind != "text":
        return ClassSpace(names=tuple(ids))
    place = {str(identity): i for i, identity in enumerate(work.pairs.ids)}  # type: ignore[arg-type]
    texts = [str(getattr(work.pairs, side).x[place[identity]]).strip() for identity in ids]
    return ClassSpace(names=tuple(
        text if texts.count(text) == 1 else f"{text} ({identity})" for text, identity in zip(texts, ids)
    ))  # fmt: skip


def _named(arm: Attached, space: ClassSpace, prompts: Sequence[str], tower: Encoder, role: str) -> ClassSpace:
    """Classes with the mean over templates of their unit vectors in the shared space."""
    parts = []
    for texts in class_texts(space, prompts):
        encoded = tower.encode(Domain(x=np.array(texts, dtype=np.str_), kind="text", name="classes"), precision="fp32")
        parts.append(arm.transform(encoded, role).numpy())
    return space.replace(embeddings=mean_of(parts))


def _role(arm: Attached, side: str) -> str:
    return "frozen" if side == arm.frozen else "trained"


def attachers() -> tuple[str, ...]:
    """All methods that attach a modality to a frozen tower by pairs, by slug, those of other packages, too."""
    return of_kind(Attached, "pairs")


def _attached(slug: str, preset: str | None, settings: Mapping[str, Any]) -> Attached:
    kind = kind_of(slug, Attached, "pairs")
    presets = kind.card.presets
    if preset is not None and preset not in presets:
        raise ValueError(f"preset must be one of {', '.join(presets)}, those of {slug}; got {preset!r}")
    return kind().set_params(**{**presets[preset or next(iter(presets))], **settings})


def _paths(pairs: Any) -> list[Any]:
    return [pairs] if isinstance(pairs, (str, os.PathLike)) else list(pairs)


def _towers(pairs: Pairs, named: Mapping[str, str | None], trust: bool) -> dict[str, Encoder | None]:
    """The encoder of each side; the same one is loaded once."""
    loaded: dict[str, Encoder] = {}
    towers: dict[str, Encoder | None] = {}
    for side in ("left", "right"):
        domain: Domain = getattr(pairs, side)
        name = named[side]
        if domain.kind == "features":
            if name is not None:
                raise ValueError(f"{side}_encoder: the {side} side holds features already; got {name!r}")
            towers[side] = None
            continue
        name = name or DEFAULT_ENCODER.get(domain.kind)
        if name is None:
            raise ValueError(f"{side}_encoder must be named: none is there for {domain.kind}")
        if name not in loaded:
            loaded[name] = get(name, trust=trust, precision="fp32")
        loaded[name].check_kind(domain)
        towers[side] = loaded[name]
    return towers


def _encoded_exam(truth: Exam, work: Aligning) -> Exam:
    """The same exam on the features that the model reads."""
    tower = work.towers[work.asked_side]
    if tower is not None:
        with _first_alone():
            truth.samples = tower.encode(truth.samples, precision="fp32")
    return truth


@contextmanager
def _first_alone() -> Iterator[None]:
    """The first process does it before the others, who find what it has kept."""
    if not parallel.first():
        parallel.wait()
    yield
    if parallel.first():
        parallel.wait()

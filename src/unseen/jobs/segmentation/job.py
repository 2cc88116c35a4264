"""`unseen segment`: masks for pictures of another look, from labelled pictures and one unlabeled one."""

from __future__ import annotations

import dataclasses
import functools
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from unseen import methods as registry
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.loaders.masks import IGNORE, MaskFindings
from unseen.data.pixels import as_picture, one_size
from unseen.evaluation.drive import Together
from unseen.evaluation.exam import Exam
from unseen.evaluation.tasks import grades_of
from unseen.jobs.segmentation.choosing import SOURCE_ONLY, choose, scored_on, why
from unseen.jobs.segmentation.model import SegmentModel, Unadapted
from unseen.jobs.segmentation.reading import as_samples, first_value, names_alike, numbered, read, stored_values
from unseen.jobs.segmentation.writing import WRITTEN, asked_for, refuse_others, write_masks
from unseen.methods.base import Method, fit_words, signatures
from unseen.methods.listing import check_preset, of_kind
from unseen.methods.segmenting import SegmentingMethod
from unseen.nn.segmenters import check_network, n_outputs, segmenter, train_segmenter
from unseen.nn.state import write_folder
from unseen.nn.style import match_statistics
from unseen.runtime import reproducible, stage, stages
from unseen.strict_json import strict_json

TOLD = 5.0
"""Seconds from which on a forecast is worth a line."""
ARMS = ("source-only", "tent:statistics", "fda", "fda:colours", "classmix", "idm")
"""What is tried unless others are named: a method, or a preset of it."""
GRADES = grades_of("mask")
GIVEN = frozenset({"source", "target", "model"})
"""Words of `fit` that there are."""
HELD_OUT = 0.2
"""Share of the labelled pictures that nothing is trained on: methods are chosen by them."""
LEAST_HELD_OUT = 4


@dataclasses.dataclass(frozen=True)
class Training:
    """How the network of the source is trained, where none is given.

    Attributes
    ----------
    network : str
        ``small-unet``, ``segformer``, or a network of torchvision such as ``deeplabv3_resnet50``; fresh weights.
    steps, batch_size : int
    learning_rate : float
    """

    network: str = "small-unet"
    steps: int = 600
    batch_size: int = 16
    learning_rate: float = 2e-3


@dataclasses.dataclass(frozen=True)
class Segmentation:
    """Masks, and how they came about.

    Attributes
    ----------
    masks : array of n masks
        Of the target's pictures, by the chosen method.
    sure : array of n arrays (h, w)
        The probability of each pixel's class.
    chosen : str
    why : str
        Why this one, and what that is worth, in sentences.
    table : list of dict
        Each arm: scores without labels of the target, seconds, steps, and mIoU where the target has masks.
    method : SegmentingMethod
        The chosen one, fitted.
    classes : ClassSpace
    source, target : Domain
    findings : MaskFindings or None
        Of the source's masks.
    agreement : float
        Share of the target's pixels that all arms call the same.
    seconds : mapping of stage to seconds
    settings : mapping
    """

    masks: NDArray[Any]
    sure: NDArray[Any]
    chosen: str
    why: tuple[str, ...]
    table: list[dict[str, Any]]
    method: SegmentingMethod
    classes: ClassSpace
    source: Domain
    target: Domain
    findings: MaskFindings | None
    agreement: float
    seconds: Mapping[str, float]
    settings: Mapping[str, Any]


def segment(
    source: str | os.PathLike[str] | Domain,
    target: str | os.PathLike[str] | Domain,
    *,
    classes: ClassSpace | Sequence[str] | None = None,
    model: nn.Module | SegmentModel | str | os.PathLike[str] | None = None,
    methods: Sequence[str] = ARMS,
    shots: int = 1,
    size: int = 256,
    crop: int | None = None,
    training: Training = Training(),
    ignore: int | None = IGNORE,
    steps: int | None = None,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    say: Any = None,
    out: str | os.PathLike[str] | None = None,
) -> Segmentation:
    """Segment pictures that look unlike those that are labelled.

    A network is trained on the source (or taken), adapted in several ways to the first `shots` pictures of the target,
    and one is chosen without looking at a label of the target: by pictures of the source that were held out, given the
    look of the target. Masks of the target, if there are any, are opened once, at the end, to grade all.

    Parameters
    ----------
    source : path or Domain
        Pictures with masks, as `unseen.data.loaders.masks.load_masks` takes them.
    target : path or Domain
        One picture, or a folder; with masks in one of the same layouts, they grade what was done.
    classes : ClassSpace or sequence of names, optional
        What the values of masks index.
    model : Module, SegmentModel or path, optional
        A trained network (`unseen.nn.protocols.Segmenter`), or the folder of an earlier run, in place of training one.
    methods : sequence of str
        `source-only`, or slugs of methods with task mask, with `:PRESET` perhaps.
    shots : int
        Pictures of the target that methods adapt to.
    size : int
        Longest side to which pictures and masks are brought.
    crop : int, optional
        Side of random squares that are trained on; three quarters of `size` if absent and pictures are of
        unlike sizes.
    training : Training
    ignore : int or None
        Value of masks where nothing is known.
    steps : int, optional
        Steps of every method, so that they are compared at equal cost; their own if absent.
    settings : mapping, optional
        Hyperparameters for all methods that have them.
    seed : int
    say : callable, optional
        Gets a line of text as work goes on.
    out : path, optional
        Where `write` will write: it is looked at before the work. Nothing is written here.

    Raises
    ------
    FileExistsError
        If `out` holds other files.
    ValueError
        If an argument cannot be, the source has no masks, the model has another number of classes, or `out` holds
        another run.
    """
    say = say or (lambda line: None)
    _check(methods, shots, size, steps, settings or {})
    if model is None:
        check_network(training.network)
    asked = asked_for(
        source=source, target=target, classes=classes, model=model, methods=methods, shots=shots, size=size, crop=crop,
        training=training, ignore=ignore, steps=steps, settings=settings or {}, seed=seed,
    )  # fmt: skip
    if out is not None:
        refuse_others(out, asked)
    with stages() as seconds:
        with stage("reading"):
            known, findings = read(source, classes, size, ignore)
            if not known.labeled.any():
                raise ValueError(f"source must hold pictures with masks; {known.name} has none")
            space = known.classes if known.classes is not None else numbered(known)
            alike = names_alike(space, findings)
            new, of_target = read(target, space, size, ignore, stored_values(findings), alike)
            begin = {first_value(findings), first_value(of_target)}
            if begin == {0, 1}:  # the target's masks say that classes begin at 1
                known, findings = read(source, classes, size, ignore, stored_values(of_target))
        known = known.take(known.labeled)
        for line in () if findings is None else findings.lines():
            say(line)
        for line in () if of_target is None else of_target.notes:
            say(f"note: target: {line}")
        adapted = new.unlabeled().take(slice(0, shots))
        held_out = slice(len(adapted), None) if new.labeled[len(adapted) :].any() else slice(None)
        exam = Exam(new.take(held_out), space) if new.labeled.any() else None
        fitting, held = _split(known, seed)
        where = scored_on(fitting is not held, model is not None)
        crop = crop if crop is not None or one_size(fitting) is not None else int(0.75 * size) // 8 * 8
        network = _network(model, fitting, space, training, crop, seed, say)
        arms: dict[str, SegmentingMethod] = {}
        table: list[dict[str, Any]] = []
        row: dict[str, Any]
        looks = _in_look(held, adapted)
        predictions: dict[str, NDArray[Any]] = {}
        for name in methods:
            began = time.perf_counter()
            with stage(name):
                arms[name] = _arm(name, network, fitting, adapted, crop, steps, settings or {}, seed, say)
            took = time.perf_counter() - began
            predictions[name] = arms[name].predict(new)
            row = {"method": name, "seconds": took, "steps": _steps(arms[name])}
            row |= {"source": _miou(arms[name], held), "look": _miou(arms[name], looks)}
            table.append(row)
            say(f"{name}: {row['look']:.3f} on {where}, in the look of the target, {took:.1f} s")
        for row in table:
            others = [predictions[name] for name in methods if name != row["method"]]
            row["agreement"] = (
                float(np.mean([_alike(predictions[row["method"]], other) for other in others])) if others else 1.0
            )
        together = _all_alike(list(predictions.values()))
        chosen = choose(table)
        masks, sure = arms[chosen].predict_sure(new)
        if exam is not None:
            with stage("exam"):
                grade = Together(functools.partial(GRADES.grade, classes=space))
                graded = grade(exam, {name: masks[held_out] for name, masks in predictions.items()})
            table = [row | {"graded": graded[row["method"]]} for row in table]
    said_of = why(table, chosen, together, len(adapted), exam is not None, where, bool(held_out.start))
    about: dict[str, Any] = {
        "shots": len(adapted),
        "size": size,
        "crop": crop,
        "seed": seed,
        "training": dataclasses.asdict(training),
        "scored on": where,
        "asked": asked,
        "target": None if of_target is None else dataclasses.asdict(of_target),
    }
    return Segmentation(
        masks, sure, chosen, said_of, table, arms[chosen], space, known, new, findings, together, seconds, about
    )


# -- what comes in -----------------------------------------------------------------------------------------


def _check(methods: Sequence[str], shots: int, size: int, steps: int | None, settings: Mapping[str, Any]) -> None:
    if not methods:
        raise ValueError("methods must name one at least")
    for name in methods:
        slug, _, preset = name.partition(":")
        if slug == SOURCE_ONLY:
            continue
        if slug not in segmenters():
            raise ValueError(f"methods must give masks: {', '.join((SOURCE_ONLY, *segmenters()))}; got {slug!r}")
        if preset:
            check_preset(slug, preset, registry.get(slug).card.presets)
    slugs = {name.partition(":")[0] for name in methods} - {SOURCE_ONLY}
    for key in settings:
        if not any(key in registry.get(slug)().get_params() for slug in slugs):
            raise ValueError(f"settings: none of {', '.join(methods)} has a hyperparameter {key!r}")
    if len(set(methods)) < len(methods):
        raise ValueError(f"methods must be named once each; got {', '.join(methods)}")
    if shots < 1:
        raise ValueError(f"shots must be at least 1; got {shots}")
    if size < 16:
        raise ValueError(f"size must be at least 16 pixels; got {size}")
    if steps is not None and steps < 1:
        raise ValueError(f"steps must be at least 1; got {steps}")


def segmenters() -> tuple[str, ...]:
    """All methods that give masks and learn from what there is, by slug, those of other packages, too."""
    return tuple(slug for slug in of_kind(SegmentingMethod, "model") if _learns(registry.get(slug)))


def _learns(kind: type[Method]) -> bool:
    return kind.card.task == "mask" and any(GIVEN.issuperset(way.required) for way in signatures(kind))


def _split(known: Domain, seed: int) -> tuple[Domain, Domain]:
    """Pictures to train on, and others to choose by; of very few, all are both."""
    n = max(LEAST_HELD_OUT, round(HELD_OUT * len(known)))
    if len(known) < 3 * LEAST_HELD_OUT:
        return known, known
    order = np.random.default_rng(seed).permutation(len(known))
    return known.take(np.sort(order[n:])), known.take(np.sort(order[:n]))


def _network(
    model: Any, source: Domain, classes: ClassSpace, training: Training, crop: int | None, seed: int, say: Any
) -> nn.Module:
    if isinstance(model, (str, os.PathLike)):
        model = SegmentModel.load(model)
    if isinstance(model, SegmentModel):
        if model.classes.names != classes.names:
            raise ValueError(
                f"model has the classes {', '.join(model.classes.names)}; the source {', '.join(classes.names)}"
            )
        model = model.method.network()
    if model is not None:
        if (n := n_outputs(model)) != len(classes):
            raise ValueError(f"model scores {n} classes; the source has {len(classes)}")
        return model
    with stage("training"), reproducible(seed):
        say(f"training {training.network} on {len(source)} pictures, {training.steps} steps")
        return train_segmenter(
            segmenter(training.network, len(classes)),
            source,
            steps=training.steps,
            batch_size=training.batch_size,
            learning_rate=training.learning_rate,
            crop=crop,
        )


def _arm(
    name: str,
    network: nn.Module,
    source: Domain,
    target: Domain,
    crop: int | None,
    steps: int | None,
    settings: Mapping[str, Any],
    seed: int,
    say: Callable[[str], None],
) -> SegmentingMethod:
    slug, _, preset = name.partition(":")
    if slug == SOURCE_ONLY:
        return Unadapted().fit(model=network)
    cls: Any = registry.get(slug)
    known = cls().get_params()
    params = dict(cls.card.presets.get(preset or "default", {}))
    if steps is not None and "candidates" in known:
        params["candidates"] = steps * int(settings.get("batch_size", known["batch_size"]))
    elif steps is not None and "steps" in known and params.get("steps", 1) != 0:
        params["steps"] = steps
    params |= {"crop": crop} if "crop" in known else {}
    params |= {"side": crop} if "side" in known else {}
    params |= {key: value for key, value in settings.items() if key in known}
    words = {"source": source, "target": target, "model": network}
    given = {word: words[word] for word in GIVEN if word in fit_words(cls)}
    made = cls(random_state=seed, **params)
    expected = made.expected_seconds(given)
    if expected is not None and expected >= TOLD:
        say(f"{name}: about {expected:.0f} s on one core")
    return made.fit(**given)


# -- choosing ----------------------------------------------------------------------------------------------


def _in_look(held: Domain, shots: Domain) -> Domain:
    """Held-out pictures in the look of the target, by the statistics of two spaces: their masks are known."""
    look = [as_picture(x) for x in shots.x]
    parts = []
    for i, sample in enumerate(held.x):
        x = as_picture(sample)[None]
        space: Any = ("lab", "fourier")[i % 2]
        parts.append(match_statistics(x, look[i // 2 % len(look)], space, window=0.05)[0])
    return Domain(x=as_samples(parts), y=held.y, kind="image", task="mask", classes=held.classes, name="in the look")


def _miou(method: SegmentingMethod, domain: Domain) -> float:
    return GRADES.grade(domain.labels, method.predict(domain), domain.classes)["mIoU"]


def _alike(prediction: NDArray[Any], other: NDArray[Any]) -> float:
    return float(np.mean([np.mean(a == b) for a, b in zip(prediction, other)]))


def _all_alike(masks: Sequence[NDArray[Any]]) -> float:
    first = masks[0]
    return float(np.mean([np.mean(np.all([m[i] == first[i] for m in masks], axis=0)) for i in range(len(first))]))


def _steps(method: SegmentingMethod) -> int:
    log = vars(method).get("log_")
    if isinstance(log, Mapping):
        return int(log["steps"])
    return int(method.get_params().get("steps", 0))


# -- what goes out -----------------------------------------------------------------------------------------


def write(result: Segmentation, out: str | os.PathLike[str], command: str = "") -> Path:
    """Write report, masks, figures and the chosen model into a folder, all or nothing; another run's is refused."""
    from unseen.jobs.segmentation.page import page

    def fill(folder: Path) -> None:
        (folder / "report.html").write_bytes(page(result, command))
        (folder / "segmentation.json").write_text(strict_json(about(result)))
        write_masks(result.target, result.masks, folder / "masks")
        (folder / "model").mkdir()
        SegmentModel(result.method, result.classes, int(result.settings["size"])).write(folder / "model")

    refuse_others(out, result.settings["asked"])
    return write_folder(out, fill, also=WRITTEN)


def about(result: Segmentation) -> dict[str, Any]:
    """What is known of a run, as plain data."""
    return {
        "chosen": result.chosen,
        "why": list(result.why),
        "classes": list(result.classes.names),
        "methods": result.table,
        "agreement": result.agreement,
        "sure": float(np.mean([np.mean(sure) for sure in result.sure])),
        "source": None if result.findings is None else dataclasses.asdict(result.findings),
        "seconds": {key: round(value, 2) for key, value in result.seconds.items()},
        "settings": {key: value for key, value in result.settings.items() if key != "asked"},
        "asked": result.settings["asked"],
    }

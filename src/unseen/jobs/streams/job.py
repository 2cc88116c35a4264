"""`unseen continue`: a two-tower model learns the next tasks, and is asked about all that it knew before."""

from __future__ import annotations

import copy
import dataclasses
import functools
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from unseen import encoders
from unseen import methods as registry
from unseen.bundle import Bundle
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.encoders import Encoder, TwoTowerEncoder
from unseen.evaluation.drive import Stream, Together, by_accuracy
from unseen.evaluation.exam import Exam
from unseen.files import check_kinds, read_json, recovered, sentence
from unseen.jobs import saved_model
from unseen.jobs.streams.reading import Data, alike, check_reads, model_inputs, references
from unseen.methods.listing import of_kind
from unseen.methods.multimodal.zscl import ZSCL
from unseen.methods.tower_streams import TowerStream
from unseen.nn.state import refuse_foreign
from unseen.strict_json import strict_json

ABOUT, PAGE = "stream.json", "stream.html"
"""The stream so far, for the next call and for people, beside the model."""
WRITTEN = ("bundle.json", "method", "encoder", ABOUT, PAGE)
FORMAT = 1
ZERO_SHOT = "zero-shot"
"""The stage before any task."""
Train = Literal["auto", "heads", "all"]
DEFAULT = {"heads": "stream-ridge", "all": "zscl"}
"""The method that a stream begins with, by what trains, if none is named."""


HELD_OUT = 0.25
"""Share of each task that is asked about and never learnt, where none is told."""


@dataclasses.dataclass(frozen=True)
class Task:
    """A task of the stream: what is learnt from, and what is asked.

    `mark` is a hash of all its labelled samples, by which it is known again.
    """

    name: str
    classes: ClassSpace
    source: Domain
    exam: Domain
    mark: str


@dataclasses.dataclass
class History:
    """What is known of a stream, as it stands in `stream.json`.

    Attributes
    ----------
    encoder : str
        What the stream began with.
    train : {"heads", "all"}
    tasks : list of dict
        `name`, `classes`, `mark`, `learnt` and `exam` (samples that are asked about) of each that was named.
    rows : list of dict
        `after`, and `accuracy` by task: a stage each, of which the first is the zero-shot start.
    held_out : float
        Share of each task that is asked about and never learnt: the same in all calls.
    whole : dict of str to float
        Accuracy now among all classes that were learnt, as the saved model predicts, of each task asked about whose
        classes are among them.
    classes : int
        How many these classes are.
    method : str
        Slug of what learns.
    """

    encoder: str
    train: Literal["heads", "all"]
    tasks: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    rows: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    held_out: float = HELD_OUT
    whole: dict[str, float] = dataclasses.field(default_factory=dict)
    classes: int = 0
    method: str = "zscl"

    def task(self, name: str) -> dict[str, Any] | None:
        """What is known of a task of this name."""
        return next((task for task in self.tasks if task["name"] == name), None)

    @property
    def learnt(self) -> list[str]:
        """Names of the tasks that were learnt, in their order."""
        return [task["name"] for task in self.tasks if task["learnt"]]

    def table(self) -> tuple[list[str], list[str], NDArray[np.float64]]:
        """Stages, tasks (those learnt, in their order, then the others), and accuracies; NaN where nobody asked."""
        names = [*self.learnt, *(task["name"] for task in self.tasks if not task["learnt"])]
        cells = [[row["accuracy"].get(name, math.nan) for name in names] for row in self.rows]
        return [row["after"] for row in self.rows], names, np.array(cells, dtype=np.float64).reshape(-1, len(names))


def continue_stream(
    model: str | os.PathLike[str],
    tasks: Sequence[Data],
    *,
    out: str | os.PathLike[str],
    also: Sequence[Data] = (),
    reference: Data | None = None,
    texts: str | os.PathLike[str] | Sequence[str] | None = None,
    prompts: Sequence[str] | None = None,
    train: Train = "auto",
    method: str | None = None,
    preset: str | None = None,
    settings: Mapping[str, Any] | None = None,
    held_out: float | None = None,
    seed: int = 0,
    with_encoder: bool = False,
    trust: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> tuple[Bundle, History]:
    """Let a model learn tasks one after the other, ask it about all of them at every stage, and save it.

    Parameters
    ----------
    model : path or name
        A folder that this function wrote, or a two-tower encoder such as lite-clip, with which a stream begins.
    tasks : sequence of paths or Domain
        Labelled pictures, a task each. One that the model has learnt already, by its name and content, is asked about
        and not learnt again: how a later call sees what was forgotten.
    out : path
        Folder of the model that comes of it; it may be that of `model`. All of it is written, or nothing.
    also : sequence of paths or Domain
        Labelled pictures that are asked about and never learnt: what it could do zero-shot, and still can.
    reference : path or Domain, optional
        Pictures of many things, without labels, on which the model is held to what it said before. The pictures of each
        task itself if absent.
    texts : path or sequence of str, optional
        Sentences about many things, one in a line. Names and definitions of ImageNet's classes if absent.
    prompts : sequence of str, optional
        Templates with {} for a class name, for the tasks of this call; "a photo of a {}." if absent.
    train : {"auto", "heads", "all"}
        New last layers on frozen features, in seconds to minutes on a processor, or both towers whole, for a GPU. A
        stream stays with what it began with; "auto" begins with heads.
    method : str, optional
        Slug of a method that learns streams, one of `stream_learners`: what a stream began with, else "stream-ridge" on
        frozen features, and "zscl" where both towers train.
    preset, settings, seed
        Of the method; of zscl the preset "heads" where heads train, else "default".
    held_out : float in (0, 1), optional
        Share of each task's samples that are never learnt from and asked about, chosen by their content; a stream stays
        with what it began with, 0.25 if absent.
    with_encoder, trust
        As in `Bundle.save` and `Bundle.load`.
    say : callable (line) -> None

    Returns
    -------
    (Bundle, History)

    Raises
    ------
    ValueError
        If an argument cannot be, a task has no labels or fewer than two classes, a name stands for other samples than
        before, or nothing is left to learn.
    FileExistsError
        If `out` is a folder of other things.
    """
    if held_out is not None and not 0 < held_out < 1:
        raise ValueError(f"held_out must lie in (0, 1); got {held_out!r}")
    if train not in ("auto", "heads", "all"):
        raise ValueError(f"train must be auto, heads or all; got {train!r}")
    refuse_foreign(Path(out), WRITTEN)
    before = _saved(model, trust)
    if before is None:
        history = History(os.fspath(model), "all" if train == "all" else "heads", held_out=held_out or HELD_OUT)
    else:
        history = before[1]
        if held_out not in (None, history.held_out):
            raise ValueError(
                f"held_out: this stream holds out {history.held_out:g}, and has learnt from the rest; got {held_out:g}"
            )
        if train not in ("auto", history.train):
            raise ValueError(f"train: this stream began with {history.train}; it cannot go on with {train}")
    asked = [_task(data, history.held_out) for data in tasks]
    watched = [_task(data, history.held_out) for data in also]
    _check_names(asked, watched, history)
    new = [task for task in asked if not (history.task(task.name) or {"learnt": False})["learnt"]]
    if not new:
        raise ValueError("tasks: all of them were learnt before; name one that is new")
    for line in alike(
        [*(task["classes"] for task in history.tasks), *(task.classes.names for task in asked + watched)]
    ):
        say(line)
    learner, bundle = (
        _begin(history, method, preset, settings or {}, seed, trust)
        if before is None
        else _go_on(before[0], history, method, preset, settings or {}, seed)
    )
    history.method = learner.card.slug
    reading, every = bundle.encoder, [*asked, *watched]
    check_reads((task.source for task in every), reading, history.encoder)
    read = functools.partial(model_inputs, encoder=reading, whole=bundle.whole)
    extra: dict[str, Any] = {"prompts": prompts, **references(learner, reference, texts, read, say)}
    exams = [Exam(model_inputs(task.exam, reading, bundle.whole), task.classes) for task in every]
    drive = Stream(by_accuracy)
    _ask_the_start(bundle, history, every, exams, prompts, drive)
    for task in new:
        say(f"{task.name}: {len(task.source)} samples of {len(task.classes)} classes")
        begin = {"model": bundle.model} if "network_" not in vars(learner) else {}
        learn = {"source": model_inputs(task.source, reading, bundle.whole), **begin, **extra}
        stages = drive(learner, [{key: value for key, value in learn.items() if value is not None}], exams)
        _note(history, task, learnt=True)
        history.rows.append({"after": task.name, "accuracy": _named(every, stages.matrix[0])})
    history.whole, history.classes = _among_all(learner, every, exams), len(learner.classes_)
    credits = tuple(dict.fromkeys([*bundle.credits, *(line for task in new for line in task.source.credits)]))
    result = Bundle(method=learner, classes=learner.classes_, encoder=reading, credits=credits, whole=bundle.whole)
    result.save(out, with_encoder=with_encoder, also=WRITTEN, more=lambda part: _tell(history, part))
    return result, history


# -- what comes in -----------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Towers:
    """What a stream goes on with: the encoder before the method, and the towers that it began with."""

    encoder: Encoder
    whole: bool
    credits: tuple[str, ...] = ()
    model: Any = None


def _saved(model: str | os.PathLike[str], trust: bool) -> tuple[Bundle, History] | None:
    """A saved model with its stream; None if `model` is no folder of one."""
    folder = recovered(Path(model) / "model")
    folder = folder if (folder / "bundle.json").exists() else recovered(model)
    if not (folder / "bundle.json").exists():
        if Path(model).is_dir():
            other = saved_model(Path(model))
            held = (
                "a folder without a saved model" if other is None else f"{other[0].what}, which learns no further task"
            )
            raise ValueError(f"model: {os.fspath(model)!r} is {held}")
        return None
    bundle = Bundle.load(folder, trust=trust)
    if not isinstance(bundle.method, TowerStream):
        raise ValueError(
            f"model: {os.fspath(model)!r} is a saved {bundle.method.card.slug}, which learns no further task; begin a "
            "stream with a two-tower encoder, such as lite-clip"
        )
    try:
        record = read_json(folder / ABOUT)
        if record["format"] != FORMAT:
            raise ValueError(f"it is of format {record['format']!r}")
        if any(not {"name", "classes", "mark", "learnt", "exam"} <= set(task) for task in record["tasks"]):
            raise ValueError(
                "each task must have a name, classes, a mark, and say whether it was learnt and on how many it is asked"
            )
        held_out = float(record.get("held_out", HELD_OUT))
        whole, classes, slug = record.get("whole", {}), record.get("classes", 0), bundle.method.card.slug
        history = check_kinds(
            History(record["encoder"], record["train"], record["tasks"], record["rows"], held_out, whole, classes, slug)
        )
        if not all(isinstance(item, dict) for item in (*history.tasks, *history.rows)) or not 0 < held_out < 1:
            raise ValueError("tasks and rows must be objects, and held_out a share between 0 and 1")
        return bundle, history
    except Exception as error:  # a file that was changed makes whatever it likes of its reader
        raise ValueError(f"model: {folder / ABOUT} does not tell the stream: {sentence(error)}") from error


def stream_learners() -> tuple[str, ...]:
    """All methods that learn streams of tasks with two towers, by slug, those of other packages, too."""
    return of_kind(TowerStream, "model")


def _begin(
    history: History, method: str | None, preset: str | None, settings: Mapping[str, Any], seed: int, trust: bool
) -> tuple[TowerStream, _Towers]:
    """The method with nothing learnt yet, and the towers of an encoder by name."""
    from unseen.encoders.trainable import tower_heads, whole_towers

    slug = method or DEFAULT[history.train]
    if slug not in (known := stream_learners()):
        raise ValueError(f"method must be one of {', '.join(known)}; got {slug!r}")
    learner = _with_settings(registry.get(slug)(), history, preset, settings, seed, anew=True)  # type: ignore[arg-type]
    encoder = encoders.get(history.encoder, trust=trust, precision="fp32")
    if not isinstance(encoder, TwoTowerEncoder):
        raise ValueError(f"model: {history.encoder!r} has one tower; name a two-tower encoder, such as lite-clip, or a "
                         "folder that `unseen continue` wrote")  # fmt: skip
    if history.train == "all":
        return learner, _Towers(encoder, True, (), whole_towers(encoder))
    heads = tower_heads(encoder)
    return learner, _Towers(heads.reading, False, (), heads.towers)


def _go_on(
    bundle: Bundle, history: History, method: str | None, preset: str | None, settings: Mapping[str, Any], seed: int
) -> tuple[TowerStream, _Towers]:
    """The method of a saved model, with other settings if some are told, and the towers that it began with."""
    from unseen.encoders.trainable import attach

    learner = bundle.method
    assert isinstance(learner, TowerStream)
    assert bundle.encoder is not None
    slug = learner.card.slug
    if method not in (None, slug):
        raise ValueError(f"method: this stream began with {slug}; it cannot go on with {method}")
    attach(learner.network_, bundle.encoder)
    towers = copy.deepcopy(learner.network_)
    towers.load_state_dict(vars(learner).get("initial_", towers.state_dict()))
    return (
        _with_settings(learner, history, preset, settings, seed),
        _Towers(bundle.encoder, bundle.whole, bundle.credits, towers),
    )


def _with_settings(
    learner: TowerStream, history: History, preset: str | None, settings: Mapping[str, Any], seed: int,
    anew: bool = False,
) -> TowerStream:  # fmt: skip
    """The method with a preset on top of the one that heads or whole towers want."""
    presets, slug = learner.card.presets, learner.card.slug
    if preset is not None and preset not in presets:
        raise ValueError(f"preset must be one of {', '.join(presets)}, those of {slug}; got {preset!r}{_other(slug)}")
    if unknown := sorted(set(settings) - set(learner.get_params())):
        raise ValueError(
            f"{slug} has no parameter {unknown[0]!r}; it has {', '.join(learner.get_params())}{_other(slug)}"
        )
    base = presets.get("heads", {}) if history.train == "heads" else {}
    params = {**base, **presets.get(preset or "", {})} if preset or anew else {}
    params |= {**settings, "random_state": seed}
    return learner.set_params(**(type(learner)().get_params() if preset and not anew else {}) | params)


def _other(slug: str) -> str:
    """How to get the method that has more to set, where another one is meant."""
    return "; method=zscl has others" if slug == DEFAULT["heads"] else ""


def _task(data: Data, share: float) -> Task:
    """A task with its samples in two parts, by their content."""
    from unseen.data.loaders import samples_of

    domain = samples_of(data)
    if domain.classes is None or domain.y is None or domain.task != "class":
        raise ValueError(f"tasks: {domain.name!r} has no class names; a task is a folder of class folders, or a table")
    classes, domain = domain.classes, domain.take(domain.labeled)
    present = np.unique(domain.labels)
    if len(present) < 2:
        raise ValueError(f"tasks: {domain.name!r} must hold at least two classes; it has {len(present)}")
    exam = asked_about(domain, share)
    if not exam.any():
        raise ValueError(f"tasks: {domain.name!r} must hold two samples of a class at least; none can be held out")
    return Task(domain.name, classes, domain.take(~exam), domain.take(exam), domain.fingerprint(labels=True)[:16])


def asked_about(domain: Domain, share: float) -> NDArray[np.bool_]:
    """Which samples are held out, (n,): by their content alone, so that a later call finds the same ones.

    Of each class with two samples at least one is, and at least one is not; equal contents are on one side.
    """
    digests = domain.digests()
    place = np.array([int(digest[:12], 16) / 16**12 for digest in digests.tolist()])
    out = place < share
    for label in np.unique(domain.labels):
        members = np.flatnonzero(domain.labels == label)
        if len(np.unique(digests[members])) < 2:
            out[members] = False
        elif not out[members].any():
            out[members[place[members] == place[members].min()]] = True
        elif out[members].all():
            out[members[place[members] == place[members].max()]] = False
    return out


def _check_names(asked: Sequence[Task], watched: Sequence[Task], history: History) -> None:
    """Every name stands for one set of samples, in this call and in those before."""
    if not asked:
        raise ValueError("tasks must hold at least one folder or table of labelled pictures")
    names = [task.name for task in (*asked, *watched)]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"tasks: two are called {twice[0]!r}; the name is that of the folder or table: rename one")
    for task in (*asked, *watched):
        known = history.task(task.name)
        if known is not None and known["mark"] != task.mark:
            raise ValueError(
                f"tasks: the stream has a task {task.name!r} of other samples; rename the new one, or name the old one"
            )


# -- asking ------------------------------------------------------------------------------------------------


def _ask_the_start(
    bundle: _Towers, history: History, every: Sequence[Task], exams: Sequence[Exam], prompts: Sequence[str] | None,
    drive: Stream,
) -> None:  # fmt: skip
    """What the stream began with says of tasks that nobody asked it about: the first row of the table."""
    if not history.rows:
        history.rows.append({"after": ZERO_SHOT, "accuracy": {}})
    first = history.rows[0]["accuracy"]
    open_ones = [(task, exam) for task, exam in zip(every, exams) if task.name not in first]
    if open_ones:
        start = ZSCL(iterations=0)
        source = model_inputs(every[0].source, bundle.encoder, bundle.whole)
        start.fit(source=source, model=bundle.model, prompts=prompts)
        first |= _named([task for task, _ in open_ones], drive.row(start, [exam for _, exam in open_ones]))
    for task in every:
        _note(history, task)


def _among_all(method: TowerStream, every: Sequence[Task], exams: Sequence[Exam]) -> dict[str, float]:
    """Accuracy of each task where nobody says of which task a sample is, as for a saved model."""
    place = {name: i for i, name in enumerate(method.classes_.names)}
    ask: Any = method.predict
    accuracies: dict[str, float] = {}
    for task, exam in zip(every, exams):
        if set(task.classes.names) <= place.keys():
            number = np.full(len(place), -1)  # of a class that is none of the task's
            number[[place[name] for name in task.classes.names]] = np.arange(len(task.classes))
            predictions = {task.name: number[ask(exam.samples)]}
            accuracies |= {
                name: round(figures["accuracy"], 6)
                for name, figures in Together(by_accuracy)(exam, predictions).items()
            }
    return accuracies


def _named(tasks: Sequence[Task], figures: Sequence[float] | NDArray[np.float64]) -> dict[str, float]:
    return {task.name: round(float(figure), 6) for task, figure in zip(tasks, figures)}


def _note(history: History, task: Task, learnt: bool = False) -> None:
    """Remember a task; one that is learnt moves behind those learnt before."""
    known = history.task(task.name)
    record = {
        "name": task.name,
        "classes": list(task.classes.names),
        "mark": task.mark,
        "learnt": learnt or (known is not None and known["learnt"]),
        "exam": len(task.exam),
    }
    if known is None:
        history.tasks.append(record)
    elif learnt:
        history.tasks.remove(known)
        history.tasks.append(record)


def _tell(history: History, part: Path) -> None:
    from unseen.jobs.streams import page

    record = {"format": FORMAT, **dataclasses.asdict(history)}
    (part / ABOUT).write_text(strict_json(record))
    (part / PAGE).write_bytes(page.page(history))

"""`unseen episodes`: few-shot methods on the same seeded episodes of the user's data, with intervals."""

from __future__ import annotations

import dataclasses
import functools
import os
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unseen import methods as registry
from unseen.data.domain import Domain
from unseen.data.simulate.hard import check_hard
from unseen.encoders.defaults import encoder_of
from unseen.evaluation.drive import Episodes
from unseen.evaluation.episodes import Episode, EpisodeScores
from unseen.evaluation.rejection import OPEN
from unseen.jobs.episodes.fits import Fit, check_regions, copies_of, encoded, maker_of
from unseen.jobs.episodes.names import copies_line, few_line, never_unknown_line, unsure_lines
from unseen.jobs.episodes.pools import (
    Form,
    Given,
    Makers,
    Pool,
    SamplesRead,
    clips_for,
    learnt_fit,
    samples_read,
    share_without_labels,
    told_of,
    without_damaged,
    words_learnt_from,
)
from unseen.nn.state import refuse_foreign, write_folder
from unseen.runtime import reproducible, runtime, stage, stages, track
from unseen.strict_json import strict_json

METHODS = ("prototypes", "linear-probe")
"""What is tried unless others are named: the nearest class mean, and logistic regression."""
WRITTEN = ("episodes.csv", "report.html", "episodes.json")
"""What stands in the folder of a run."""


@dataclasses.dataclass(frozen=True)
class Graded:
    """What came of the methods.

    Attributes
    ----------
    scores : mapping of method to mapping of shots to EpisodeScores
    domain : Domain
        The samples as they were read, of the classes that episodes are of; without those of no episode.
    protocol : Episodes
    encoder : str
    base : tuple of str
        Classes that no episode is of.
    thresholds : mapping of method to mapping of shots to float
        Of open episodes: how known a sample must seem, for methods that reject nothing by themselves.
    hard, severity : str, int
        How the pictures that are asked about are hard, and in which degree; empty if they are as they are.
    asked : Domain
        The samples as they are asked about.
    example : Episode
        The first episode.
    named : mapping of method to array
        What each said of the example's queries with the most shots: positions in its classes.
    seconds : mapping of stage to seconds
    learnt : mapping of method to (str, float)
        What those that learn before all episodes have learnt from, and the seconds.
    unlabelled : int
        Samples of these classes that no episode holds.
    unread : sequence of (role, place, reason)
        Samples that could not be read, and are left out.
    too_few : mapping of class to int
        Classes that no episode asks to name, as they have only so many samples.
    never_unknown : mapping of class to int
        Classes of `unknown_data` that no episode asks about, for the same reason.
    named_classes : int
        How many classes an episode may have.
    notes : sequence of str
        What to know of the samples before their figures are read.
    """

    scores: Mapping[str, Mapping[int, EpisodeScores]]
    domain: Domain
    protocol: Episodes
    encoder: str
    base: tuple[str, ...]
    hard: str
    severity: int
    asked: Domain
    example: Episode
    named: Mapping[str, Any]
    seconds: Mapping[str, float]
    thresholds: Mapping[str, Mapping[int, float]] = dataclasses.field(default_factory=dict)
    learnt: Mapping[str, tuple[str, float]] = dataclasses.field(default_factory=dict)
    unlabelled: int = 0
    unread: Sequence[tuple[str, str, str]] = ()
    too_few: Mapping[str, int] = dataclasses.field(default_factory=dict)
    never_unknown: Mapping[str, int] = dataclasses.field(default_factory=dict)
    named_classes: int = 0
    notes: Sequence[str] = ()

    def table(self) -> list[dict[str, Any]]:
        """A row for each method and number of shots: the mean, its interval, and both beside the first method."""
        first = next(iter(self.scores.values()))
        rows = []
        for name, by_shot in self.scores.items():
            for shot, scores in by_shot.items():
                row: dict[str, Any] = {"method": name, "shots": shot, **_figures(scores, first[shot])}
                row |= {"seconds": scores.seconds}
                row |= {metric: _figures(scores.of(metric), first[shot].of(metric), metric) for metric in scores.open}
                rows.append(row)
        return rows


def _figures(scores: EpisodeScores, first: EpisodeScores, name: str = "accuracy") -> dict[str, float]:
    """A mean, which is a share, with its interval, and how far it is above the first method's, on the same episodes."""
    gain, half = scores.above(first)
    return {
        name: scores.mean,
        "low": float(np.clip(scores.mean - scores.half_width, 0, 1)),
        "high": float(np.clip(scores.mean + scores.half_width, 0, 1)),
        "gain": gain,
        "gain_low": gain - half,
        "gain_high": gain + half,
    }


def grade(
    data: str | os.PathLike[str] | Domain,
    *,
    protocol: Episodes | None = None,
    methods: Sequence[str] = METHODS,
    encoder: str | None = None,
    base: float = 0.0,
    hard: str = "",
    severity: int = 3,
    source: str | os.PathLike[str] | Domain | None = None,
    unknown_data: str | os.PathLike[str] | Domain | None = None,
    unlabelled: float | None = None,
    side: int | None = None,
    settings: Mapping[str, Any] | None = None,
    precision: str = "auto",
    trust: bool = False,
    on_error: str = "skip",
    work: str | os.PathLike[str] | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Graded:
    """Let few-shot methods name classes from a handful of samples each, all on the same episodes.

    Parameters
    ----------
    data : path or Domain
        Labelled samples, as `unseen.load` takes them.
    protocol : Episodes, optional
        Classes, labelled samples and queries of an episode, and how many there are.
    methods : sequence of str
        Slugs of methods that learn from `support`, or slug:preset; `few_shot_methods` lists them.
    encoder : str, optional
        Of samples that are no features yet.
    base : float, in [0, 1)
        Share of the classes that no episode is of: methods that read a `source`, too, get these, and thresholds of
        methods that reject nothing by themselves are tuned on them.
    hard : str
        What makes the pictures that are asked about hard, one of `unseen.data.simulate.HARD`; what is labelled stays as
        it is. Empty for none. All methods meet the same.
    severity : int
        From 1 to 5.
    source : path or Domain, optional
        Labelled samples of another domain, without the classes that episodes are of: the `source` of methods with one,
        for which the classes of `base` are then the target that they are meta-trained on.
    unknown_data : path or Domain, optional
        Labelled samples of further classes, which are those that are unknown in open episodes; without it, they are
        classes of `data` that an episode leaves.
    unlabelled : float, in [0, 1), optional
        Share of the samples of each class that no episode holds: without labels, and with a `source` those of `base`,
        too, they are the `target` of methods with one. Half if absent and there is such a method, else none.
    side : int, optional
        Pixels of a side of the clips that methods read which learn from clips themselves; as the encoder takes pictures
        if absent.
    settings : mapping, optional
        Hyperparameters, for all methods that have them.
    precision, trust, on_error
        Of encoder and loader.
    work : path, optional
        A folder where what learns before all episodes keeps its checkpoints: cut off, it goes on from there.
    say : callable
        Gets a line of text as work goes on.

    Raises
    ------
    ValueError
        If a method does not learn from a handful, or the data have fewer classes or samples than episodes ask for.
    """
    protocol = protocol or Episodes()
    there = {"target", *(["source"] if base or source is not None else []), *(["auxiliary"] if base else [])}
    makers = _makers(methods, settings or {}, there, side)
    if not 0 <= base < 1:
        raise ValueError(f"base must lie in [0, 1); got {base}")
    if hard:
        check_hard(hard, severity)
    share = share_without_labels(unlabelled, makers, there, others=base > 0 and source is not None)
    if side is not None:
        _check_side(side, makers)
    if unknown_data is not None and not protocol.unknown:
        raise ValueError("unknown_data needs unknown classes in each episode: unknown must be at least 1; got 0")
    given = Given(data, source, unknown_data, base, share, hard, severity, on_error)
    with stages() as seconds:
        with stage("reading"):
            samples = samples_read(given, protocol, makers, there, say)
        with stage("encoding"):
            tower = encoder_of(samples.domain.kind, encoder, precision, trust)
            if tower is not None:
                tower.check_kind(samples.domain)
            check_regions(makers, samples.domain, tower)
        with stage("reading"):
            samples = without_damaged(samples, protocol, makers, there)
        raw = samples.raw
        _say_drawn(samples, protocol, say)
        too_few, strangers = _too_few(samples, protocol)
        notes = _notes(raw.everything, too_few, strangers, protocol)
        for note in notes:
            say(note)
        with stage("encoding"):
            copies = copies_of(raw.set_aside if source is None else raw.source, makers, tower, protocol.seed)
        forms: dict[bool, Form] = {True: clips_for(tower, side), False: functools.partial(encoded, tower=tower)}
        pools: dict[str, Pool] = {}
        fits: dict[str, Fit] = {}
        for is_clips, form in forms.items():  # what reads clips says first that it cannot read these
            group = {name: make for name, make in makers.items() if make().card.reads_clips == is_clips}
            with stage("encoding"):
                pools |= dict.fromkeys(group, raw.brought(form, words_learnt_from(group, there))) if group else {}
            for name, make in group.items():
                with stage(name), reproducible(protocol.seed), runtime(folder=_at_work(work, tower, side)):
                    fits[name] = learnt_fit(name, make, pools[name], copies, say)
        graded = {}
        for name in makers:
            with stage(name), reproducible(protocol.seed):
                graded[name] = _graded(name, fits[name], pools[name], samples, protocol, say)
    unsure = unsure_lines({name: scores for name, (scores, _, _) in graded.items()})
    for line in unsure:
        say(f"mind: {line}")
    held = () if raw.set_aside is None or raw.set_aside.classes is None else raw.set_aside.classes.names
    return Graded(
        scores={name: scores for name, (scores, _, _) in graded.items()}, domain=raw.everything, protocol=protocol,
        encoder="" if tower is None else tower.name, base=held, hard=hard, severity=severity, asked=raw.asked,
        example=samples.drawn[0], named={name: named for name, (_, named, _) in graded.items()}, seconds=dict(seconds),
        thresholds={name: tuned for name, (_, _, tuned) in graded.items() if tuned},
        learnt={name: (told_of(fit, raw), fit.seconds) for name, fit in fits.items() if fit.learnt is not None},
        unlabelled=0 if samples.spare is None else len(samples.spare), unread=samples.lost, too_few=too_few,
        never_unknown=strangers, named_classes=len(np.unique(samples.novel.labels)) - len(too_few),
        notes=(*notes, *unsure),
    )  # fmt: skip


def _makers(
    methods: Sequence[str], settings: Mapping[str, Any], there: Collection[str], side: int | None = None
) -> Makers:
    """What makes each method, by name; `ValueError` for none, for one twice, and for a setting that none has."""
    of_clips = settings if side is None else {**settings, "side": side}  # a preset may have another one
    makers = {name: maker_of(name, of_clips if _reads_clips(name) else settings, there) for name in methods}
    if not makers or len(makers) < len(methods):
        raise ValueError(f"methods must name one at least, and each once; got {', '.join(methods) or 'none'}")
    unused = [key for key in settings if not any(key in make().get_params() for make in makers.values())]
    if unused:
        raise ValueError(f"settings: none of {', '.join(methods)} has a hyperparameter {unused[0]!r}")
    return makers


def _reads_clips(name: str) -> bool:
    slug = name.partition(":")[0]
    return slug in registry.slugs() and registry.card(slug).reads_clips


def _check_side(side: int, makers: Makers) -> None:
    """`ValueError` unless a side can be one of clips, and a method reads these."""
    if not 8 <= side <= 1024:
        raise ValueError(f"side must lie in [8, 1024] pixels; got {side}")
    if not any(make().card.reads_clips for make in makers.values()):
        raise ValueError(f"side is read by none of {', '.join(makers)}: leave it out, or name cdfsl-v, say")


def _say_drawn(samples: SamplesRead, protocol: Episodes, say: Callable[[str], None]) -> None:
    """Say of what the episodes are."""
    novel, spare = samples.novel, samples.spare
    assert novel.classes is not None
    kept = f"; {len(spare)} others are in none" if spare is not None else ""
    drawn = f"{len(samples.drawn)} episodes of {protocol.way} classes"
    say(f"{len(novel)} samples of {len(novel.classes)} classes; {drawn}{kept}")


def _too_few(samples: SamplesRead, protocol: Episodes) -> tuple[dict[str, int], dict[str, int]]:
    """Classes that no episode asks to name, and unknown ones that none asks about, with how many samples they have."""
    everything = samples.raw.everything
    assert everything.classes is not None
    names = everything.classes.names
    few = protocol.too_few(everything.labels, pool=samples.unknown)
    counts = {label: int((everything.labels == label).sum()) for label in samples.unknown or ()}
    strangers = {names[label]: n for label, n in counts.items() if n < protocol.queries}
    return {names[label]: n for label, n in few.items()}, strangers


def _notes(
    everything: Domain, too_few: Mapping[str, int], strangers: Mapping[str, int], protocol: Episodes
) -> tuple[str, ...]:
    """What to know of the samples before their figures are read, a line each."""
    lines = (
        few_line(too_few, protocol) if too_few else "",
        never_unknown_line(strangers, protocol) if strangers else "",
        copies_line(everything.digests().tolist(), everything.labels.tolist()),
    )
    return tuple(filter(None, lines))


def _graded(
    name: str, fit: Fit, pool: Pool, samples: SamplesRead, protocol: Episodes, say: Callable[[str], None]
) -> tuple[dict[int, EpisodeScores], Any, dict[int, float]]:
    """Of a method its scores by shots, what it says of the first episode's queries, and the thresholds it was given."""
    tuned = _tuned(fit, protocol, pool.set_aside, name, say)
    scores = protocol(
        fit, pool.everything, asked=pool.asked, track=functools.partial(track, label=name), pool=samples.unknown,
        thresholds=tuned or None,
    )  # fmt: skip
    return scores, _named(fit, pool.everything, pool.asked, samples.drawn[0], max(protocol.shots)), tuned


TUNED = 50
"""Episodes of set-aside classes that a threshold is tuned on."""


def _tuned(
    fit: Fit, protocol: Episodes, set_aside: Domain | None, name: str, say: Callable[[str], None]
) -> dict[int, float]:
    """The threshold of a method that rejects nothing by itself, by classes that no episode is of; nothing without."""
    if not protocol.unknown or registry.card(name.partition(":")[0]).rejects:
        return {}
    if set_aside is None:
        say(f"{name} rejects nothing: its threshold would be tuned on classes that are set aside, and there are none")
        return {}
    try:
        return dataclasses.replace(protocol, episodes=min(TUNED, protocol.episodes)).tuned(fit, set_aside)
    except ValueError as error:
        say(f"{name} rejects nothing: the classes that are set aside are too few for its threshold ({error})")
        return {}


def _named(fit: Fit, features: Domain, asked: Domain, episode: Episode, shots: int) -> Any:
    """What a method says of the queries of an episode."""
    assert features.classes is not None
    space, rows = features.classes.take(episode.classes), episode.support[:, :shots]
    y = np.repeat(np.arange(len(episode.classes)), shots)
    method = fit(features.unlabeled().take(rows.ravel()).replace(y=y, classes=space))
    return np.asarray(method.predict(asked.unlabeled().take(episode.query.ravel()).replace(classes=space)))


def _at_work(work: str | os.PathLike[str] | None, tower: Any, side: int | None) -> Path | None:
    """Where what learns before all episodes keeps its checkpoints, for samples in this form."""
    if work is None:
        return None
    return Path(work) / (str(side) if side is not None else "features" if tower is None else tower.fingerprint[:16])


def check_out(out: str | os.PathLike[str]) -> None:
    """Raise `FileExistsError`, before the long work, if the folder holds other things."""
    refuse_foreign(Path(out), WRITTEN)


def work_of(out: str | os.PathLike[str]) -> Path:
    """Where a run to this folder keeps what is under way; `write` removes it."""
    return Path(out).parent / f".{Path(out).name}.training"


def write(result: Graded, out: str | os.PathLike[str], command: str = "") -> Path:
    """Write the page, the accuracy of every episode, and the figures into a folder, all or nothing."""
    from unseen.jobs.episodes.page import page

    def fill(folder: Path) -> None:
        metrics = ("accuracy", *(OPEN if result.protocol.unknown else ()))
        lines = [
            f"{name},{shot},{i},{','.join(f'{value:.6f}' for value in values)}"
            for name, by_shot in result.scores.items()
            for shot, scores in by_shot.items()
            for i, values in enumerate(zip(*(scores.of(metric).accuracies.tolist() for metric in metrics)))
        ]
        head = ",".join(["method", "shots", "episode", *metrics])
        (folder / "episodes.csv").write_text("\n".join([head, *lines]) + "\n")
        (folder / "report.html").write_bytes(page(result, command))
        (folder / "episodes.json").write_text(strict_json(about(result)) + "\n")

    written = write_folder(out, fill)
    shutil.rmtree(work_of(out), ignore_errors=True)
    return written


def about(result: Graded) -> dict[str, Any]:
    """What is known of a run, as plain data."""
    return {
        "data": result.domain.name,
        "protocol": dataclasses.asdict(result.protocol),
        "encoder": result.encoder,
        "base_classes": list(result.base),
        "hard": result.hard,
        "severity": result.severity if result.hard else None,
        "thresholds": {
            name: {str(shot): value for shot, value in by_shot.items()} for name, by_shot in result.thresholds.items()
        },
        "learnt_from": {name: learnt_from for name, (learnt_from, _) in result.learnt.items()},
        "unlabelled": result.unlabelled,
        "unread": [list(row) for row in result.unread],
        "too_few": dict(result.too_few),
        "never_unknown": dict(result.never_unknown),
        "notes": list(result.notes),
        "methods": result.table(),
        "seconds": {key: round(value, 2) for key, value in result.seconds.items()},
    }

"""Few-shot episodes: a few classes at a time of which a handful of samples is labelled; if asked, samples of no class.

Only here truth and method meet, as in `unseen.evaluation.drive`: what is asked about comes without labels.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.arguments import Check, check_arguments, whole
from unseen.data.domain import Domain
from unseen.data.given import check_domain
from unseen.evaluation.exam import Exam
from unseen.evaluation.rejection import OPEN, Answers, answers_of, best_threshold


@dataclasses.dataclass(frozen=True, eq=False)
class Episode:
    """Rows of an episode: which classes, (way,), and the samples of each, (way, shots) and (way, queries).

    In open episodes also which classes are unknown, (u,), and the samples of each that are asked about, (u, queries).
    """

    classes: NDArray[np.int64]
    support: NDArray[np.int64]
    query: NDArray[np.int64]
    unknown: NDArray[np.int64] = dataclasses.field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    outside: NDArray[np.int64] = dataclasses.field(default_factory=lambda: np.zeros((0, 0), dtype=np.int64))

    @property
    def asked(self) -> NDArray[np.int64]:
        """All rows that are asked about, those of the classes first."""
        return np.concatenate([self.query.ravel(), self.outside.ravel()])


@dataclasses.dataclass(frozen=True, eq=False)
class EpisodeScores:
    """Accuracy of each episode, (episodes,), and the seconds of all fits; of open episodes also the figures `OPEN`.

    The accuracy is of the samples of the classes alone, named as if nothing could be rejected. `near` is the share of
    all samples whose rejection hangs on the last hundredth of a threshold, see `Answers.near`; 0 without one.
    """

    accuracies: NDArray[np.float64]
    seconds: float
    open: Mapping[str, NDArray[np.float64]] = dataclasses.field(default_factory=dict)
    near: float = 0.0

    def of(self, metric: str) -> EpisodeScores:
        """The same for another figure than the accuracy, with its mean, interval and gains."""
        return EpisodeScores(self.accuracies if metric == "accuracy" else self.open[metric], self.seconds)

    @property
    def mean(self) -> float:
        """Of all episodes."""
        return float(self.accuracies.mean())

    @property
    def half_width(self) -> float:
        """Half of the 95 % interval of the mean, over episodes; NaN of a single one."""
        n = len(self.accuracies)
        return float(1.96 * self.accuracies.std(ddof=1) / np.sqrt(n)) if n > 1 else float("nan")

    def above(self, other: EpisodeScores) -> tuple[float, float]:
        """The mean by which these are above others on the same episodes, and half of its 95 % interval."""
        return (paired := EpisodeScores(self.accuracies - other.accuracies, 0.0)).mean, paired.half_width


OF_EPISODES = {
    "way": whole(2),
    "shots": Check(
        "a tuple of different whole numbers from 1 on, such as (1, 5)",
        lambda value: isinstance(value, Sequence) and all(whole(1).fits(shot) for shot in value),
        lambda value: len(value) > 0 and min(value) >= 1 and len(set(value)) == len(value),
    ),
    "queries": whole(1),
    "episodes": whole(1),
    "seed": whole(0),
    "unknown": whole(0),
}


@dataclasses.dataclass(frozen=True)
class Episodes:
    """Few-shot episodes: N classes with K labelled samples each, and others of these classes to be named.

    The episodes depend on the labels and the seed alone, so that every method meets the same; the first are the same
    however many there are, and with fewer shots the same samples are asked about.

    Parameters
    ----------
    way : int, >= 2
        Classes of an episode.
    shots : tuple of int, >= 1
        Labelled samples of each class; one score for each number.
    queries : int, >= 1
        Samples of each class that are asked about.
    episodes : int, >= 1
    seed : int
    unknown : int, >= 0
        Further classes of an episode whose samples belong to none of the classes; `queries` of each are asked about,
        too. Nothing else changes: classes, labelled samples and queries are those of the episodes without.
    """

    way: int = 5
    shots: tuple[int, ...] = (1, 5)
    queries: int = 15
    episodes: int = 200
    seed: int = 0
    unknown: int = 0

    def __post_init__(self) -> None:
        check_arguments(OF_EPISODES, vars(self), "Episodes")

    def draw(
        self, labels: NDArray[np.integer[Any]], *, pool: Sequence[int] | None = None, known: Sequence[int] | None = None
    ) -> list[Episode]:
        """The episodes, with as many labelled samples as the most shots.

        Parameters
        ----------
        labels : int array (n,)
        pool : sequence of int, optional
            Labels that are unknown in every episode and never one of its classes; unknown classes are of these alone.
            If absent, they are drawn from the classes that an episode leaves.
        known : sequence of int, optional
            Labels that an episode may have as its classes; all that are not in `pool` if absent.

        Raises
        ------
        ValueError
            If there are fewer classes than `way` or `unknown`, or too few samples of them, or a label is in both lists.
        """
        y = np.asarray(labels)
        both = sorted(set(pool or ()) & set(known or ()))
        if both:
            raise ValueError(f"pool must hold no label that is in known; both have {', '.join(map(str, both))}")
        outsiders = np.asarray([] if pool is None else pool, dtype=np.int64)
        names, counts = self._counted(y, outsiders, known)
        if len(names) < 2:
            raise ValueError(f"an episode needs samples of two classes; there are those of {len(names)}")
        if len(names) < self.way:
            raise ValueError(f"way must be at most {len(names)}, the classes that have samples; got {self.way}")
        most = max(self.shots)
        rich = names[counts >= most + self.queries]
        if len(rich) < self.way:
            there = int(np.sort(counts)[::-1][self.way - 1])
            raise ValueError(
                f"{most} shots and {self.queries} queries need {most + self.queries} samples of each of {self.way} "
                f"classes; {len(rich)} classes have so many, {(counts >= there).sum()} have at least {there}: ask for "
                "fewer shots, queries or classes"
            )
        strangers = self._strangers(y, outsiders if pool is not None else None)
        rows = {name: np.flatnonzero(y == name) for name in np.union1d(rich, strangers).tolist()}
        episodes = []
        for i in range(self.episodes):
            rng = np.random.default_rng([self.seed, i])
            classes = rng.choice(rich, self.way, replace=False)
            drawn = np.stack([rng.permutation(rows[name])[: self.queries + most] for name in classes.tolist()])
            episode = Episode(classes, drawn[:, self.queries :], drawn[:, : self.queries])
            if self.unknown:
                unknown = rng.choice(np.setdiff1d(strangers, classes), self.unknown, replace=False)
                outside = np.stack([rng.permutation(rows[name])[: self.queries] for name in unknown.tolist()])
                episode = dataclasses.replace(episode, unknown=unknown, outside=outside)
            episodes.append(episode)
        return episodes

    def too_few(
        self, labels: NDArray[np.integer[Any]], *, pool: Sequence[int] | None = None, known: Sequence[int] | None = None
    ) -> dict[int, int]:
        """Labels that `draw` leaves out of the classes of episodes, as they have fewer samples than it asks for."""
        names, counts = self._counted(np.asarray(labels), np.asarray(pool or (), dtype=np.int64), known)
        few = counts < max(self.shots) + self.queries
        return dict(zip(names[few].tolist(), counts[few].tolist()))

    def _counted(
        self, y: NDArray[np.integer[Any]], outsiders: NDArray[np.int64], known: Sequence[int] | None
    ) -> tuple[NDArray[np.integer[Any]], NDArray[np.int64]]:
        """Labels that may be classes of an episode, and their samples."""
        usable = (y >= 0) & ~np.isin(y, outsiders) & (np.isin(y, known) if known is not None else True)
        return np.unique(y[usable], return_counts=True)

    def _strangers(self, y: NDArray[np.integer[Any]], pool: NDArray[np.int64] | None) -> NDArray[np.integer[Any]]:
        """Classes that can be unknown, found to be enough beside those of any episode."""
        if not self.unknown:
            return np.zeros(0, dtype=np.int64)
        names, counts = np.unique(y[y >= 0], return_counts=True)
        there = names[counts >= self.queries]
        there = there if pool is None else there[np.isin(there, pool)]
        spare = len(there) - (self.way if pool is None else 0)
        if spare < self.unknown:
            beside = f"beside {self.way} of an episode" if pool is None else "in the pool"
            raise ValueError(
                f"unknown must be at most {max(spare, 0)}, the classes with {self.queries} queries {beside}; got "
                f"{self.unknown}, and there are {len(there)} such classes in all: ask for fewer unknown classes, "
                "classes or queries"
            )
        return there

    def __call__(
        self,
        fit: Callable[[Domain], Any],
        domain: Domain,
        *,
        asked: Domain | None = None,
        track: Callable[[list[Episode]], Iterable[Episode]] = iter,
        pool: Sequence[int] | None = None,
        thresholds: Mapping[int, float] | None = None,
    ) -> dict[int, EpisodeScores]:
        """For each number of shots the accuracy of every episode.

        Parameters
        ----------
        fit : callable
            From the labelled samples of an episode, a `Domain` whose classes are numbered from 0, to something that has
            `predict`: from a `Domain` to an array of such numbers. An estimator of scikit-learn reads ``domain.x``.
        domain : Domain
            Labelled samples. Those that are asked about come without labels; the truth is opened once, at the end.
        asked : Domain, optional
            The same samples, in their order, as they are asked about: harder, for example. Labels that it has must be
            those of `domain`, and so must the order of ids that are the same.
        track : callable
            Goes through the episodes, and shows how far.
        pool : sequence of int, optional
            Labels of classes that are always unknown, see `draw`.
        thresholds : mapping of shots to float, optional
            How known a sample must be to be accepted, for what rejects nothing by itself; see `tuned`.
        """
        check_domain(domain, "domain")
        if asked is not None:
            _check_asked(domain, asked)
        exam = Exam(domain, domain.classes)
        samples = exam.samples if asked is None else asked.unlabeled()
        drawn = self.draw(domain.labels, pool=pool)
        by_shots, seconds = self._asked(fit, exam.samples, samples, domain, drawn, track)
        truth = exam.open()
        scores = {}
        for shot, answers in by_shots.items():
            right = [_right(episode, answer, truth) for episode, answer in zip(drawn, answers)]
            near = 0.0
            if thresholds is not None:
                near = float(np.mean([answer.near(thresholds[shot]) for answer in answers]))
                answers = [answer.above(thresholds[shot]) for answer in answers]
            figures = [answer.figures(good) for answer, good in zip(answers, right)] if self.unknown else []
            scores[shot] = EpisodeScores(
                np.array([float(good.mean()) for good in right]),
                seconds[shot],
                {name: np.array([row[name] for row in figures]) for name in (OPEN if figures else ())},
                near,
            )
        return scores

    def tuned(
        self,
        fit: Callable[[Domain], Any],
        domain: Domain,
        *,
        track: Callable[[list[Episode]], Iterable[Episode]] = iter,
    ) -> dict[int, float]:
        """For each number of shots the threshold with the best open accuracy on episodes of other classes.

        Parameters
        ----------
        fit, track
            As in `__call__`.
        domain : Domain
            Labelled samples of classes that no graded episode is of. Where they spare fewer than `unknown` classes,
            those that there are weigh as many.
        """
        enough = np.unique(domain.labels[domain.labels >= 0], return_counts=True)[1] >= self.queries
        unknown = max(1, min(self.unknown, int(enough.sum()) - self.way))
        protocol, weight = dataclasses.replace(self, unknown=unknown), self.unknown / unknown
        drawn = protocol.draw(domain.labels)
        samples = domain.unlabeled()
        by_shots, _ = protocol._asked(fit, samples, samples, domain, drawn, track)
        return {
            shot: best_threshold(answers, [_right(*both, domain.labels) for both in zip(drawn, answers)], weight)
            for shot, answers in by_shots.items()
        }

    def _asked(
        self,
        fit: Callable[[Domain], Any],
        samples: Domain,
        asked: Domain,
        domain: Domain,
        drawn: list[Episode],
        track: Callable[[list[Episode]], Iterable[Episode]],
    ) -> tuple[dict[int, list[Answers]], dict[int, float]]:
        """What is said in every episode, for each number of shots, and the seconds of the fits."""
        by_shots: dict[int, list[Answers]] = {shot: [] for shot in self.shots}
        seconds = dict.fromkeys(self.shots, 0.0)
        for episode in track(drawn):
            space = None if domain.classes is None else domain.classes.take(episode.classes)
            query = asked.take(episode.asked).replace(classes=space)
            for shot in self.shots:
                rows = episode.support[:, :shot]
                y = np.repeat(np.arange(self.way), shot)
                support = samples.take(rows.ravel()).replace(y=y, classes=space, name="support")
                started = time.perf_counter()
                method = fit(support)
                seconds[shot] += time.perf_counter() - started
                by_shots[shot].append(answers_of(method, query, support=support, scored=self.unknown > 0))
        return by_shots, seconds


def _check_asked(domain: Domain, asked: Domain) -> None:
    """Raise `ValueError` if what is asked about is not the samples of a domain in their order."""
    if len(asked) != len(domain):
        raise ValueError(f"asked must hold the {len(domain)} samples of domain; it has {len(asked)}")
    assert asked.ids is not None
    assert domain.ids is not None
    if not np.array_equal(asked.ids, domain.ids) and set(asked.ids.tolist()) == set(domain.ids.tolist()):
        first = int(np.flatnonzero(asked.ids != domain.ids)[0])
        raise ValueError(
            f"asked must have the samples of domain in their order; sample {first} is {asked.ids[first]} there and "
            f"{domain.ids[first]} in domain"
        )
    if asked.y is not None and not np.array_equal(np.asarray(asked.y), np.asarray(domain.y)):
        first = int(np.flatnonzero(np.asarray(asked.y) != np.asarray(domain.y))[0])
        raise ValueError(
            f"asked must have the labels of domain; sample {first} has {asked.labels[first]} there and "
            f"{domain.labels[first]} in domain"
        )


def _right(episode: Episode, said: Answers, truth: NDArray[Any]) -> NDArray[np.bool_]:
    """Which queries of an episode's classes are named right, rejected or not."""
    rows = episode.query.ravel()
    return np.asarray(episode.classes[said.classes[: len(rows)]] == truth[rows])


def disjoint_classes(domain: Domain, share: float, seed: int = 0) -> tuple[Domain, Domain]:
    """Samples of some classes, the `share` of them, and those of the others: no class is in both.

    Parameters
    ----------
    domain : Domain
        Labelled samples; those without a label are in neither part.
    share : float, in (0, 1)
    seed : int
    """
    if domain.classes is None or not 0 < share < 1:
        raise ValueError(f"share must lie in (0, 1), of a domain with classes; got {share}")
    names, domain = domain.classes, domain.take(domain.labeled)
    there = np.unique(domain.labels)
    n = round(share * len(there))
    if not 1 <= n < len(there):
        raise ValueError(f"share must leave classes on both sides; {share:g} of {len(there)} classes does not")
    order = np.random.default_rng(seed).permutation(there)
    parts = []
    for classes in (np.sort(order[:n]), np.sort(order[n:])):
        rows = np.flatnonzero(np.isin(domain.labels, classes))
        y = np.searchsorted(classes, domain.labels[rows])
        parts.append(domain.take(rows).replace(y=y, classes=names.take(classes)))
    return parts[0], parts[1]


def disjoint_samples(domain: Domain, share: float, seed: int = 0) -> tuple[Domain, Domain]:
    """Some samples of each class, the `share` of them (rounded down), and the others: no sample is in both.

    Parameters
    ----------
    domain : Domain
        Labelled samples; those without a label are in neither part.
    share : float, in (0, 1)
    seed : int
    """
    if not 0 < share < 1:
        raise ValueError(f"share must lie in (0, 1); got {share}")
    domain, rng = domain.take(domain.labeled), np.random.default_rng(seed)
    first, rest = [], []
    for label in np.unique(domain.labels).tolist():
        rows = rng.permutation(np.flatnonzero(domain.labels == label))
        n = int(share * len(rows))
        first.append(rows[:n])
        rest.append(rows[n:])
    return domain.take(np.sort(np.concatenate(first))), domain.take(np.sort(np.concatenate(rest)))

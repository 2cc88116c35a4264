"""Open episodes: queries of no class beside those of the classes, the same for every method."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.evaluation.episodes import Episodes
from unseen.evaluation.exam import Exam
from unseen.evaluation.rejection import Answers, answers_of, auroc, best_threshold
from unseen.methods.baselines.prototypes import Prototypes


def clouds(n_classes: int = 9, each: int = 12, apart: float = 9.0) -> Domain:
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(n_classes), each)
    x = rng.normal(size=(len(y), 10)) + apart * np.eye(n_classes, 10)[y]
    return Domain(x=x.astype(np.float32), y=y, classes=ClassSpace(names=tuple("abcdefghi"[:n_classes])))


class Means:
    """The nearest mean; how known a sample is falls with its distance, and above `limit` it is rejected."""

    def __init__(self, support: Domain, limit: float = np.inf) -> None:
        names = np.unique(support.labels)
        self.means = np.stack([support.x[support.labels == name].mean(axis=0) for name in names])
        self.limit = limit

    def decision_function(self, query: Domain) -> np.ndarray:
        return -np.linalg.norm(query.x[:, None] - self.means, axis=2)

    def uncertainty(self, query: Domain) -> np.ndarray:
        return -self.decision_function(query).max(axis=1)

    def predict(self, query: Domain) -> np.ndarray:
        scores = self.decision_function(query)
        return np.where(-scores.max(axis=1) > self.limit, -1, scores.argmax(axis=1))


@pytest.fixture(autouse=True)
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNSEEN_DATA", str(tmp_path))


def test_unknown_classes_are_none_of_the_episode_and_change_nothing_else() -> None:
    labels = clouds().labels
    closed = Episodes(way=3, shots=(1, 4), queries=5, episodes=20)
    opened = Episodes(way=3, shots=(1, 4), queries=5, episodes=20, unknown=4)
    for one, other in zip(closed.draw(labels), opened.draw(labels)):
        assert np.array_equal(one.support, other.support)
        assert np.array_equal(one.query, other.query)
        assert one.outside.size == 0
        assert not set(other.unknown.tolist()) & set(other.classes.tolist())
        assert other.outside.shape == (4, 5)
        assert (labels[other.outside] == other.unknown[:, None]).all()
        assert len(set(other.asked.tolist())) == 3 * 5 + 4 * 5
    again = opened.draw(labels)
    assert all(np.array_equal(a.outside, b.outside) for a, b in zip(again, opened.draw(labels)))


def test_a_pool_holds_all_unknown_classes_and_none_that_is_known() -> None:
    labels = clouds().labels
    for episode in Episodes(way=3, shots=(1,), queries=5, episodes=20, unknown=2).draw(labels, pool=[6, 7, 8]):
        assert set(episode.unknown.tolist()) <= {6, 7, 8}
        assert not set(episode.classes.tolist()) & {6, 7, 8}
    known = Episodes(way=3, shots=(1,), queries=5, episodes=9, unknown=2).draw(labels, pool=[6, 7], known=[0, 1, 2, 3])
    assert all(set(episode.classes.tolist()) <= {0, 1, 2, 3} for episode in known)
    with pytest.raises(ValueError, match="pool must hold no label that is in known; both have 2"):
        Episodes(way=3, shots=(1,), queries=5, unknown=1).draw(labels, pool=[2, 6], known=[0, 1, 2])


def test_more_unknown_classes_than_there_are_are_named() -> None:
    labels = clouds().labels
    with pytest.raises(
        ValueError, match=r"unknown must be at most 4, the classes with 5 queries beside 5 of an episode"
    ):
        Episodes(way=5, shots=(1,), queries=5, unknown=5).draw(labels)
    with pytest.raises(ValueError, match=r"unknown must be at most 2, the classes with 5 queries in the pool; got 3"):
        Episodes(way=5, shots=(1,), queries=5, unknown=3).draw(labels, pool=[7, 8])
    with pytest.raises(ValueError, match="unknown must be a whole number, at least 0; got -1"):
        Episodes(unknown=-1)


def test_what_lies_apart_is_told_apart_and_the_truth_is_opened_once() -> None:
    domain = clouds()
    protocol = Episodes(way=3, shots=(1, 4), queries=5, episodes=10, unknown=3)
    plain = protocol(Means, domain)
    assert Exam(domain).openings == 1
    assert plain[4].mean == 1.0
    assert plain[4].of("auroc").mean == 1.0
    assert plain[4].of("unknown_accuracy").mean == 0.0
    assert plain[4].of("open_accuracy").mean == pytest.approx(0.5)
    rejecting = protocol(lambda support: Means(support, limit=8.0), domain)
    assert rejecting[4].of("open_accuracy").mean == 1.0
    assert rejecting[4].mean == 1.0
    strict = protocol(lambda support: Means(support, limit=0.0), domain)
    assert strict[4].mean == 1.0  # the accuracy is that of the nearest class, rejected or not
    assert strict[4].of("open_accuracy").mean == pytest.approx(0.5)
    assert Episodes(way=3, shots=(4,), queries=5, episodes=3)(Means, domain)[4].open == {}


def test_a_threshold_that_was_tuned_on_other_classes_rejects() -> None:
    domain = clouds()
    known, other = domain.take(domain.labels < 6), domain.take(domain.labels >= 6)
    other = other.replace(y=other.labels - 6, classes=ClassSpace(names=("g", "h", "i")))
    protocol = Episodes(way=2, shots=(4,), queries=5, episodes=10, unknown=1)
    thresholds = protocol.tuned(Means, other)
    scores = protocol(Means, known, thresholds=thresholds)[4]
    assert scores.of("open_accuracy").mean > 0.97
    assert -12 < thresholds[4] < -2


def test_the_best_threshold_is_that_of_all_that_could_be_taken() -> None:
    rng = np.random.default_rng(0)
    answers, right = [], []
    for _ in range(5):
        scores = rng.normal(size=14) + np.repeat([1.0, 0.0], 7)
        answers.append(Answers(np.zeros(14, dtype=np.int64), np.ones(14, dtype=bool), scores))
        right.append(rng.random(7) < 0.7)

    def reached(threshold: float) -> float:
        return float(
            np.mean([one.above(threshold).figures(good)["open_accuracy"] for one, good in zip(answers, right)])
        )

    every = np.concatenate([[-np.inf, np.inf], *(one.scores for one in answers)])
    assert reached(best_threshold(answers, right)) == pytest.approx(max(reached(t) for t in every))


def test_fewer_unknown_classes_to_tune_on_weigh_as_many_as_there_will_be() -> None:
    domain = clouds(n_classes=7, apart=1.5)  # two classes to spare beside five, of five that are asked for
    protocol = Episodes(way=5, shots=(1,), queries=5, episodes=30, unknown=5)
    few = Episodes(way=5, shots=(1,), queries=5, episodes=30, unknown=2)
    assert protocol.tuned(Means, domain)[1] > few.tuned(Means, domain)[1]  # stricter: more strangers are to come
    scores = np.array([0.0, 1.0, 2.0, 0.5, 1.5])
    one = Answers(np.zeros(5, dtype=np.int64), np.ones(5, dtype=bool), scores)
    right = np.array([True, True, True])
    assert best_threshold([one], [right]) == -np.inf
    assert best_threshold([one], [right], 1.5) == 1.75


def test_equal_scores_are_accepted_together() -> None:
    one = Answers(np.zeros(4, dtype=np.int64), np.ones(4, dtype=bool), np.array([1.0, 1.0, 1.0, 0.0]))
    right = np.array([True, True])  # the third and the fourth are unknown
    assert best_threshold([one], [right]) == 0.5


def test_auroc_is_that_of_scikit_learn_with_ties() -> None:
    rng = np.random.default_rng(0)
    known, unknown = rng.integers(0, 6, 30), rng.integers(0, 4, 20)
    truth = np.repeat([1, 0], (30, 20))
    assert auroc(known, unknown) == pytest.approx(roc_auc_score(truth, np.concatenate([known, unknown])))


def test_a_method_without_any_score_is_refused_in_open_episodes() -> None:
    class Mute:
        def predict(self, query: Any) -> np.ndarray:
            return np.zeros(len(query), dtype=np.int64)

    with pytest.raises(TypeError, match="Mute has neither"):
        answers_of(Mute(), clouds())
    assert answers_of(Mute(), clouds(), scored=False).accepted.all()


def test_without_an_uncertainty_the_largest_probability_counts() -> None:
    class Sure:
        def predict(self, query: Any) -> np.ndarray:
            return np.zeros(2, dtype=np.int64)

        def predict_proba(self, query: Any) -> np.ndarray:
            return np.array([[0.9, 0.1], [0.4, 0.6]])

    assert answers_of(Sure(), clouds().take(slice(0, 2))).scores.tolist() == [0.9, 0.6]


def test_of_prototypes_the_largest_cosine_counts() -> None:
    domain = clouds(n_classes=3)
    method = Prototypes().fit(support=domain.take(np.arange(0, 36, 4)))
    scores = np.asarray(method.decision_function(domain.x))
    assert answers_of(method, domain).scores.tolist() == pytest.approx(scores.max(axis=1).tolist())


def test_of_prototypes_a_sample_is_as_known_as_its_direction_is_not_its_place_beside_the_others() -> None:
    support = Domain(
        x=np.array([[10.0, 1, 0], [10, 2, 0], [10, 0, 1], [10, 0, 2]], dtype=np.float32), y=np.array([0, 0, 1, 1]),
        classes=ClassSpace(names=("a", "b")),
    )  # fmt: skip
    query = Domain(x=np.array([[10, 1.2, 0], [-1, 3, 0]], dtype=np.float32))
    method = Prototypes().fit(support=support)
    centred = answers_of(method, query).scores
    assert centred[1] > 0.5
    means = [np.mean([row / np.linalg.norm(row) for row in support.x[rows]], axis=0) for rows in ([0, 1], [2, 3])]
    expected = [max(x @ m / np.linalg.norm(x) / np.linalg.norm(m) for m in means) for x in np.asarray(query.x)]
    asked = answers_of(method, query, support=support)
    assert asked.scores.tolist() == pytest.approx(expected)
    assert asked.scores[1] < 0.1 < 0.9 < asked.scores[0]
    assert asked.classes.tolist() == answers_of(method, query).classes.tolist()

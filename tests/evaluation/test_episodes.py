"""`Episodes`: the same episodes for every method, truth opened once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.evaluation.episodes import Episodes, EpisodeScores, disjoint_classes, disjoint_samples
from unseen.evaluation.exam import Exam


def clouds(n_classes: int = 6, each: int = 12, apart: float = 9.0) -> Domain:
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(n_classes), each)
    x = rng.normal(size=(len(y), 8)) + apart * np.eye(n_classes, 8)[y]
    return Domain(x=x.astype(np.float32), y=y, classes=ClassSpace(names=tuple("abcdefgh"[:n_classes])))


class Nearest:
    """The nearest labelled sample."""

    def __init__(self, support: Domain, seen: list[Any] | None = None) -> None:
        self.x, self.y, self.seen = support.x, support.labels, [] if seen is None else seen

    def predict(self, query: Domain) -> np.ndarray:
        assert query.y is None
        self.seen.append((self.x.copy(), query.x.copy()))
        return self.y[np.argmin(((query.x[:, None] - self.x[None]) ** 2).sum(axis=2), axis=1)]


@pytest.fixture(autouse=True)
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNSEEN_DATA", str(tmp_path))


def test_classes_that_lie_apart_are_named_and_the_truth_is_opened_once() -> None:
    domain = clouds()
    protocol = Episodes(way=3, shots=(1, 4), queries=5, episodes=20)
    scores = protocol(Nearest, domain)
    assert {shot: one.mean for shot, one in scores.items()} == {1: 1.0, 4: 1.0}
    assert Exam(domain).openings == 1
    blurred = protocol(Nearest, clouds(apart=0.0))
    assert abs(blurred[4].mean - 1 / 3) < 0.12


def test_every_method_meets_the_same_episodes_and_more_of_them_begin_alike() -> None:
    domain, seen = clouds(), [[], []]
    for part in seen:
        Episodes(way=3, shots=(2,), queries=4, episodes=5)(lambda support, part=part: Nearest(support, part), domain)
    assert all(np.array_equal(a, b) for one, other in zip(*seen) for a, b in zip(one, other))
    few, many = (Episodes(way=3, shots=(2,), queries=4, episodes=n).draw(domain.labels) for n in (3, 9))
    assert all(np.array_equal(a.support, b.support) and np.array_equal(a.query, b.query) for a, b in zip(few, many))
    one, both = (Episodes(way=3, shots=shots, queries=4, episodes=3) for shots in ((2,), (1, 2)))
    assert all(np.array_equal(a.query, b.query) for a, b in zip(one.draw(domain.labels), both.draw(domain.labels)))
    assert not np.array_equal(few[0].query, Episodes(way=3, shots=(2,), queries=4, seed=1).draw(domain.labels)[0].query)


def test_no_sample_is_both_labelled_and_asked_about_and_all_are_of_their_class() -> None:
    labels = clouds().labels
    for episode in Episodes(way=4, shots=(3, 1), queries=6, episodes=30).draw(labels):
        assert len(set(episode.classes.tolist())) == 4
        assert not set(episode.support.ravel()) & set(episode.query.ravel())
        for k, name in enumerate(episode.classes.tolist()):
            assert (labels[episode.support[k]] == name).all()
            assert (labels[episode.query[k]] == name).all()


def test_what_is_asked_about_may_be_changed_and_what_is_labelled_stays() -> None:
    domain, seen, plain = clouds(), [], []
    moved = domain.replace(x=domain.x + 100)
    protocol = Episodes(way=3, shots=(2,), queries=4, episodes=3)
    protocol(lambda support: Nearest(support, seen), domain, asked=moved)
    protocol(lambda support: Nearest(support, plain), domain)
    for (labelled, asked), (same, clean) in zip(seen, plain):
        assert np.array_equal(labelled, same)
        assert np.array_equal(asked, clean + 100)
    with pytest.raises(ValueError, match="asked must hold the 72 samples of domain; it has 71"):
        protocol(Nearest, domain, asked=moved.take(slice(0, 71)))


def test_what_is_asked_about_in_another_order_or_with_other_labels_is_refused() -> None:
    domain = clouds()
    protocol = Episodes(way=3, shots=(2,), queries=4, episodes=3)
    with pytest.raises(ValueError, match="asked must have the samples of domain in their order; sample 0 is 000071"):
        protocol(Nearest, domain, asked=domain.take(np.arange(72)[::-1]))
    with pytest.raises(ValueError, match="asked must have the labels of domain; sample"):
        protocol(Nearest, domain, asked=domain.take(np.arange(72)[::-1]).replace(ids=domain.ids))
    protocol(lambda support: Nearest(support, []), domain, asked=domain.unlabeled())


def test_more_classes_or_shots_than_there_are_are_named() -> None:
    labels = clouds().labels
    with pytest.raises(ValueError, match="way must be at most 6, the classes that have samples; got 7"):
        Episodes(way=7).draw(labels)
    with pytest.raises(ValueError, match=r"9 shots and 5 queries need 14 samples of each of 3 classes; 0 .* 6 have at"):
        Episodes(way=3, shots=(1, 9), queries=5).draw(labels)
    for wrong in ({"shots": 1}, {"shots": (1.5,)}, {"way": 2.0}):
        with pytest.raises(TypeError, match=f"{next(iter(wrong))} must be a .* got"):
            Episodes(**wrong)  # type: ignore[arg-type]
    for wrong in ({"way": 1}, {"queries": 0}, {"shots": ()}, {"shots": (1, 1)}, {"shots": (0,)}, {"episodes": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Episodes(**wrong)  # type: ignore[arg-type]


def test_the_interval_is_that_of_the_mean_and_gains_are_paired() -> None:
    values = np.array([0.2, 0.4, 0.6, 0.8])
    scores = EpisodeScores(values, 0.0)
    assert scores.mean == pytest.approx(0.5)
    assert scores.half_width == pytest.approx(1.96 * np.sqrt(0.2 / 3 / 4))
    assert EpisodeScores(values + 0.1, 0.0).above(scores) == pytest.approx((0.1, 0.0))


def test_disjoint_classes_share_none_and_keep_their_names() -> None:
    base, novel = disjoint_classes(clouds(), 0.5, seed=3)
    assert base.classes is not None
    assert novel.classes is not None
    assert set(base.classes.names) | set(novel.classes.names) == set("abcdef")
    assert len(base.classes) == len(novel.classes) == 3
    assert (np.bincount(novel.labels) == 12).all()
    with pytest.raises(ValueError, match="classes on both sides"):
        disjoint_classes(clouds(), 0.01)


def test_samples_without_a_label_are_of_no_class_that_is_set_aside() -> None:
    whole = clouds()
    some = whole.replace(y=np.where(np.arange(len(whole)) % 5 == 0, -1, whole.labels))
    parts = disjoint_classes(some, 0.5, seed=3)
    assert sum(map(len, parts)) == int(some.labeled.sum())
    assert all(part.labeled.all() for part in parts)


def test_disjoint_samples_are_a_share_of_each_class_and_share_none() -> None:
    domain = clouds(4, each=11)
    domain = domain.replace(y=np.where(np.arange(44) == 5, -1, domain.labels))
    kept_out, rest = disjoint_samples(domain, 0.3, seed=3)
    assert np.bincount(kept_out.labels).tolist() == [3, 3, 3, 3]
    assert np.bincount(rest.labels).tolist() == [7, 8, 8, 8]
    assert kept_out.ids is not None
    assert rest.ids is not None
    assert not set(kept_out.ids) & set(rest.ids)
    again, _ = disjoint_samples(domain, 0.3, seed=3)
    other, _ = disjoint_samples(domain, 0.3, seed=4)
    assert np.array_equal(again.ids, kept_out.ids)
    assert not np.array_equal(other.ids, kept_out.ids)
    for share in (0, 1):
        with pytest.raises(ValueError, match="share must lie"):
            disjoint_samples(domain, share)


def test_what_is_no_domain_and_what_names_no_classes_is_told() -> None:
    protocol, domain = Episodes(way=3, shots=(1,), queries=5, episodes=2), clouds()
    with pytest.raises(TypeError, match=r"domain must be a Domain \(unseen.load makes one .* got \[1\]"):
        protocol(Nearest, [1])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"target must be a Domain \(unseen.load makes one .* got \[1\]"):
        Exam([1])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="fit must return something with predict; got int"):
        protocol(lambda support: 3, domain)

    class Named:
        def predict(self, query: Domain) -> np.ndarray:
            return np.array(["a"] * len(query))

    with pytest.raises(TypeError, match=r"predict of a Named must give 15 whole numbers, one a sample, .* got <U1"):
        protocol(lambda support: Named(), domain)

"""Semantic deduplication, against a loop over pairs."""

from __future__ import annotations

import numpy as np
import pytest

from unseen.nn import semdedup as module
from unseen.nn.semdedup import duplicate_scores, eps_for, rough_clusters, semdedup, unique


def rows(n: int = 60, d: int = 8) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, d))
    x[n // 2 :] = x[: n // 2] + 0.02 * rng.normal(size=(n // 2, d))
    return x.astype(np.float32), np.arange(n) % 3, rng.random(n).astype(np.float32)


def by_pairs(x: np.ndarray, labels: np.ndarray, rank: np.ndarray) -> np.ndarray:
    """The same, pair by pair: `rank` says which comes first."""
    u = x / np.linalg.norm(x, axis=1, keepdims=True)
    out = np.full(len(x), -1.0)
    for i in range(len(x)):
        for j in range(len(x)):
            if labels[i] == labels[j] and rank[j] < rank[i]:
                out[i] = max(out[i], float(u[i] @ u[j]))
    return out


@pytest.mark.parametrize(("keep", "sign"), [("far", -1), ("near", 1)])
def test_scores_are_the_cosine_to_the_nearest_one_that_comes_before(
    keep: str, sign: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BLOCK", 7)
    x, labels, distances = rows()
    rank = np.argsort(np.argsort(sign * distances, kind="stable"))
    scores = duplicate_scores(x, labels, distances, keep)  # type: ignore[arg-type]
    np.testing.assert_allclose(scores, by_pairs(x, labels, rank), atol=1e-6)


def test_of_two_equal_rows_the_one_far_from_the_centroid_stays() -> None:
    x = np.array([[1.0, 0.0], [1.0, 0.001], [0.0, 1.0]])
    distances = np.array([0.1, 0.3, 0.2], dtype=np.float32)
    labels = np.zeros(3, dtype=np.int64)
    assert unique(duplicate_scores(x, labels, distances, "far"), 0.01).tolist() == [False, True, True]
    assert unique(duplicate_scores(x, labels, distances, "near"), 0.01).tolist() == [True, False, True]
    assert unique(duplicate_scores(x, labels, distances, "first"), 0.01).tolist() == [True, False, True]


def test_copies_go_and_what_is_different_stays() -> None:
    rng = np.random.default_rng(1)
    own = rng.normal(size=(200, 32))
    x = np.concatenate([own, own[:50], own[:50]])
    left = semdedup(x, 0.01)
    assert left.sum() == 200
    assert len({i % 200 if i < 200 else (i - 200) % 50 for i in np.flatnonzero(left)}) == 200


@pytest.mark.parametrize("eps", [0.0, 0.01])
def test_rows_that_are_alike_stay_unless_they_are_confirmed(eps: float) -> None:
    rng = np.random.default_rng(1)
    own = rng.normal(size=(60, 16))
    x = np.concatenate([own, own])
    kind = np.arange(120) % 60 + 1000 * (np.arange(120) >= 80)  # the last 40 are alike to others, and not the same
    left = semdedup(x, eps, same=lambda one, other: kind[one] == kind[other])
    assert left.sum() == 100
    assert left[20:60].all()
    assert left[80:].all()


def test_a_larger_eps_never_keeps_more() -> None:
    x, labels, distances = rows()
    scores = duplicate_scores(x, labels, distances)
    kept = [int(unique(scores, eps).sum()) for eps in (0.0, 0.001, 0.01, 0.1, 0.5, 2.0)]
    assert kept == sorted(kept, reverse=True)
    assert kept[-1] == 3  # the first of each cluster always stays


def test_eps_is_found_for_a_share() -> None:
    x, labels, distances = rows(600)
    scores = duplicate_scores(x, labels, distances)
    for share in (0.5, 0.8):
        assert unique(scores, eps_for(scores, share)).mean() == pytest.approx(share, abs=0.01)
    assert unique(scores, eps_for(scores, 1.0)).all()


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="eps must lie"):
        semdedup(np.ones((3, 2)), -0.1)
    with pytest.raises(ValueError, match="share"):
        eps_for(np.zeros(3), 0.0)
    assert semdedup(np.zeros((0, 4)), 0.1).shape == (0,)


def test_equal_rows_go_wherever_they_stand_and_at_zero_nothing_else_does() -> None:
    """Many clusters tear apart what is nearly equal; what is equal is found before."""
    rng = np.random.default_rng(1)
    own = rng.normal(size=(100, 4)).astype(np.float32)
    x = np.concatenate([own, own * np.float32(1.0000005), own[:30]])
    assert semdedup(x, 0.0).tolist() == [True] * 200 + [False] * 30
    assert not semdedup(np.ones((40, 3)), 0.01, n_clusters=20)[1:].any()


def test_clusters_that_are_too_large_are_split_and_equal_ones_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MEMBERS", 20)
    monkeypatch.setattr(module, "LARGEST", 50)
    x, _, _ = rows(400)
    found = rough_clusters(x, 2)
    assert np.bincount(found.labels).max() <= 50
    assert (np.bincount(found.labels) > 0).all()
    same = rough_clusters(np.ones((400, 3), dtype=np.float32), 1)
    assert np.bincount(same.labels).max() <= 50
    assert len(same.labels) == 400

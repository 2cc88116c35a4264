"""Spherical k-means: unit centroids, nearest by cosine, learnt on a part, in blocks, to the same bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from unseen.nn import spherical
from unseen.nn.spherical import Part, assign, spherical_kmeans, unit


def groups(n: int = 600, k: int = 6, d: int = 12, spread: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """Rows around k directions, of any length, and the group of each."""
    rng = np.random.default_rng(3)
    y = np.arange(n) % k
    x = np.linalg.qr(rng.normal(size=(d, d)))[0][y] + spread * rng.normal(size=(n, d))
    return (x * rng.uniform(0.1, 10, size=(n, 1))).astype(np.float32), y


def test_groups_of_directions_are_found_whatever_the_lengths() -> None:
    x, y = groups()
    found = spherical_kmeans(x, 6, restarts=3)
    for j in range(6):
        assert len(set(y[found.labels == j].tolist())) == 1


def test_centroids_are_the_unit_means_of_their_members_once_it_rests() -> None:
    x, _ = groups()
    found = spherical_kmeans(x, 6, iterations=100)
    np.testing.assert_allclose(np.linalg.norm(found.centroids, axis=1), 1, atol=1e-6)
    u = x / np.linalg.norm(x, axis=1, keepdims=True)
    for j in range(6):
        mean = u[found.labels == j].mean(axis=0)
        np.testing.assert_allclose(found.centroids[j], mean / np.linalg.norm(mean), atol=1e-3)


def test_distances_are_one_minus_the_largest_cosine() -> None:
    x, _ = groups()
    found = spherical_kmeans(x, 6)
    cosines = (x / np.linalg.norm(x, axis=1, keepdims=True)) @ found.centroids.T
    np.testing.assert_array_equal(found.labels, cosines.argmax(axis=1))
    np.testing.assert_allclose(found.distances, 1 - cosines.max(axis=1), atol=1e-6)
    assert found.distances.dtype == np.float32


def test_a_second_run_is_the_same_bits_and_another_seed_need_not_be() -> None:
    x, _ = groups(spread=1.0)
    first, second = spherical_kmeans(x, 9, random_state=4), spherical_kmeans(x, 9, random_state=4)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(first, second))
    assert spherical_kmeans(x, 9, random_state=5).centroids.tobytes() != first.centroids.tobytes()


def test_more_restarts_are_never_worse() -> None:
    x, _ = groups(spread=0.8)
    means = [spherical_kmeans(x, 12, restarts=r).distances.mean() for r in (1, 8)]
    assert means[1] <= means[0] + 1e-4


def test_blocks_change_nothing_but_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    x, _ = groups()
    whole = spherical_kmeans(x, 6)
    monkeypatch.setattr(spherical, "BLOCK", 64)
    pieces = spherical_kmeans(x, 6)
    np.testing.assert_array_equal(whole.labels, pieces.labels)
    np.testing.assert_allclose(whole.centroids, pieces.centroids, atol=1e-5)


def test_rows_on_disk_in_half_precision_and_a_part_of_rows_are_read(tmp_path: Path) -> None:
    x, _ = groups()
    np.save(tmp_path / "x.npy", x.astype(np.float16))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    index = np.arange(0, 600, 2)
    found = spherical_kmeans(Part(mapped, index), 6)
    expected = spherical_kmeans(np.asarray(mapped)[index], 6)
    np.testing.assert_array_equal(found.labels, expected.labels)


def test_learning_on_a_part_still_assigns_all() -> None:
    x, y = groups(3000)
    found = spherical_kmeans(x, 6, train_per_cluster=20)
    assert found.labels.shape == (3000,)
    assert all(len(set(y[found.labels == j].tolist())) == 1 for j in range(6))


def test_an_empty_cluster_takes_the_row_that_is_worst_represented() -> None:
    x = unit(np.array([[1.0, 0.0], [0.99, 0.1], [0.0, 1.0]], dtype=np.float32))
    start = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])  # nothing is near the second one
    centroids, _ = spherical._learn(x, start, 10)
    assert float(centroids[1] @ x[2]) == pytest.approx(1, abs=1e-6)


def test_equal_rows_and_rows_of_zeros_do_no_harm() -> None:
    same = np.ones((20, 4), dtype=np.float32)
    assert np.isfinite(spherical_kmeans(same, 3).distances).all()
    zero = np.zeros((5, 4), dtype=np.float32)
    assert (spherical_kmeans(zero, 2).distances == 1).all()


def test_ties_go_to_the_first_centroid() -> None:
    labels, _ = assign(np.array([[1.0, 1.0]]), np.array([[1.0, 0.0], [0.0, 1.0]]))
    assert labels.tolist() == [0]


def test_too_many_clusters_are_refused() -> None:
    with pytest.raises(ValueError, match=r"k must be in \[1, 5\]"):
        spherical_kmeans(np.ones((5, 2)), 6)

"""k-means against scikit-learn, and the shared one against separate runs."""

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from torch import Tensor

from unseen.nn.clustering import kmeans, kmeans_leaving_out


def blobs(k: int = 6, n: int = 40, d: int = 5, spread: float = 0.1, seed: int = 0) -> tuple[Tensor, np.ndarray]:
    """k groups of n samples around corners that lie far apart."""
    generator = torch.Generator().manual_seed(seed)
    centers = 3 * torch.nn.functional.one_hot(torch.arange(k) % d, d).float() * (1 + torch.arange(k)[:, None])
    y = torch.arange(k).repeat_interleave(n)
    return centers[y] + spread * torch.randn(k * n, d, generator=generator), y.numpy()


def inertia(x: Tensor, centroids: Tensor) -> float:
    return float(torch.cdist(x, centroids).amin(dim=1).double().square().sum())


def test_separated_blobs_are_found_as_scikit_learn_finds_them() -> None:
    x, y = blobs()
    found = kmeans(x, 6)
    reference = KMeans(6, n_init=10, random_state=0).fit(x.numpy())
    assert adjusted_rand_score(found.labels.numpy(), y) == 1
    assert found.inertia == pytest.approx(reference.inertia_, rel=1e-5)
    order = np.lexsort(reference.cluster_centers_.T)
    mine = found.centroids.numpy()
    np.testing.assert_allclose(mine[np.lexsort(mine.T)], reference.cluster_centers_[order], atol=1e-4)


def test_inertia_on_unstructured_data_is_that_of_scikit_learn_within_two_percent() -> None:
    x = torch.randn(600, 8, generator=torch.Generator().manual_seed(1))
    reference = KMeans(12, n_init=5, random_state=0).fit(x.numpy())
    found = kmeans(x, 12, restarts=5)
    assert found.inertia <= 1.02 * reference.inertia_
    assert found.inertia == pytest.approx(inertia(x, found.centroids), rel=1e-3)


def test_leaving_out_gives_the_clusters_of_the_samples_that_are_left() -> None:
    x, y = blobs(n=50)
    left_out = torch.stack([torch.nonzero(torch.as_tensor(y == c))[:, 0] for c in range(6)])
    for c, centroids in enumerate(kmeans_leaving_out(x, left_out, 5)):
        means = np.stack([x[torch.as_tensor(y == other)].mean(0).numpy() for other in range(6) if other != c])
        mine = centroids.numpy()
        np.testing.assert_allclose(mine[np.lexsort(mine.T)], means[np.lexsort(means.T)], atol=1e-4)


def test_leaving_out_is_as_good_as_a_separate_run_per_class() -> None:
    generator = torch.Generator().manual_seed(0)
    centers = torch.randn(10, 16, generator=generator)
    x = centers[torch.randint(10, (800,), generator=generator)]
    x = torch.nn.functional.normalize(x + torch.randn(800, 16, generator=generator), dim=1)
    left_out = (x @ centers.T).topk(80, dim=0).indices.T
    ratios = []
    for out, centroids in zip(left_out, kmeans_leaving_out(x, left_out, 10)):
        left = np.delete(x.numpy(), out.numpy(), axis=0)
        reference = KMeans(10, n_init=1, random_state=0).fit(left).inertia_
        ratios.append(inertia(torch.as_tensor(left), centroids) / reference)
    assert np.mean(ratios) < 1.01
    assert max(ratios) < 1.03


def test_no_centroid_stays_with_the_samples_that_were_left_out() -> None:
    x, y = blobs(k=4, n=30)
    left_out = torch.nonzero(torch.as_tensor(y == 2)).T
    (centroids,) = kmeans_leaving_out(x, left_out, 4)
    assert torch.cdist(x[left_out[0]], centroids).min() > 2


def test_the_same_arguments_give_the_same_bits_and_global_random_numbers_stay() -> None:
    x, _ = blobs(spread=2.0)
    before = torch.get_rng_state()
    first, second = (kmeans(x, 7, random_state=3) for _ in range(2))
    assert torch.equal(first.centroids, second.centroids)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(first.centroids, kmeans(x, 7, random_state=4).centroids)


def test_given_centroids_are_where_it_starts() -> None:
    x, y = blobs()
    start = torch.stack([x[torch.as_tensor(y == c)][0] for c in range(6)])
    found = kmeans(x, 6, init=start)
    np.testing.assert_array_equal(found.labels.numpy(), y)


def test_more_clusters_than_different_samples_are_no_trouble() -> None:
    x = torch.tensor([[0.0, 0.0], [0.0, 0.0], [1.0, 1.0], [1.0, 1.0]])
    found = kmeans(x, 3)
    assert found.inertia == pytest.approx(0)
    assert torch.isfinite(found.centroids).all()


@pytest.mark.parametrize("k", [0, 9])
def test_a_number_of_clusters_that_cannot_be_is_refused(k: int) -> None:
    with pytest.raises(ValueError, match=rf"k must be in \[1, 8\].*got {k}"):
        kmeans(torch.randn(8, 2), k)
    with pytest.raises(ValueError, match=rf"k must be in \[1, 8\].*got {k}"):
        next(kmeans_leaving_out(torch.randn(9, 2), torch.tensor([[0]]), k))

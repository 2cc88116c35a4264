"""GLC's pseudo-labels, steps 4 to 7, against k-means per class by scikit-learn and by faiss."""

from __future__ import annotations

import importlib.util

import numpy as np
import torch
import torch.nn.functional as F
from common import Row, in_turns, row, seconds

from unseen.methods.adaptation.glc import most_confident, n_positives, negative_similarity, positive_prototypes


def data(n: int, classes: int = 100, width: int = 256) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings around centres, and probabilities that know them fairly."""
    rng = torch.Generator().manual_seed(0)
    centres = torch.randn(classes, width, generator=rng)
    y = torch.randint(classes, (n,), generator=rng)
    z = F.normalize(centres[y] + 1.5 * torch.randn(n, width, generator=rng), dim=1)
    return z, torch.softmax(8 * z @ F.normalize(centres, dim=1).T, dim=1)


def run(sizes: tuple[int, ...] = (5_000, 20_000), classes: int = 100) -> list[Row]:
    """Seconds of the negatives of all classes; the peers do a sample of the classes and are scaled up."""
    torch.set_num_threads(1)
    rows = []
    for n in sizes:
        z, p = data(n, classes)
        positives = most_confident(p, n_positives(n, classes, 1.0))
        some = np.arange(0, classes, classes // 4)
        share = classes / len(some)
        ours = lambda: negative_similarity(z, positives, classes)
        peer = lambda: by_scikit_learn(z, positives, classes, some)
        own, slow = in_turns(ours, peer, repeats=1)
        job = f"GLC negatives, n {n}, C {classes}"
        rows.append(row(job, own, "scikit-learn k-means per class", slow * share, floor=">= 5"))
        if importlib.util.find_spec("faiss") is not None:
            fast = seconds(lambda: by_faiss(z, positives, classes, some), repeats=1, warm=0)
            rows.append(row(job, own, "faiss k-means per class", fast * share, floor=">= 1"))
        rows[-1]["same winner"] = agreement(z, positives, classes, some)
    return rows


def others(z: torch.Tensor, positives: torch.Tensor, c: int) -> np.ndarray:
    """All samples but the positives of a class."""
    keep = np.ones(len(z), dtype=bool)
    keep[positives[c].numpy()] = False
    return z.numpy()[keep]


def by_scikit_learn(z: torch.Tensor, positives: torch.Tensor, k: int, classes: np.ndarray) -> np.ndarray:
    """max_k <z, nu_ck> by KMeans of scikit-learn, one class after the other."""
    from sklearn.cluster import KMeans

    out = []
    for c in classes:
        centres = KMeans(k, n_init=1, random_state=0).fit(others(z, positives, int(c))).cluster_centers_
        centres /= np.linalg.norm(centres, axis=1, keepdims=True)
        out.append((z.numpy() @ centres.T).max(axis=1))
    return np.stack(out, axis=1)


def by_faiss(z: torch.Tensor, positives: torch.Tensor, k: int, classes: np.ndarray) -> None:
    """The same by faiss, on all points."""
    import faiss

    faiss.omp_set_num_threads(1)
    for c in classes:
        rest = others(z, positives, int(c))
        means = faiss.Kmeans(z.shape[1], k, niter=20, seed=1, max_points_per_centroid=len(rest), spherical=True)
        means.train(rest)
        z.numpy() @ means.centroids.T


def agreement(z: torch.Tensor, positives: torch.Tensor, k: int, some: np.ndarray) -> float:
    """Share of (sample, class) pairs for which one-vs-all decides as with scikit-learn's clusters."""
    similarity = (z @ positive_prototypes(z, positives).T)[:, some]
    own = negative_similarity(z, positives, k)[:, some]
    peer = torch.as_tensor(by_scikit_learn(z, positives, k, some))
    return round(float(((similarity > own) == (similarity > peer)).float().mean()), 4)

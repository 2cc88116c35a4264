"""The numbered steps of the paper as functions of arrays: souls, regularizers, synthesis, the easy part."""

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.nn.adversarial import Conditional
from unseen.nn.clustering import kmeans


def soul_samples(
    x: Float[Tensor, "n d"], y: Int[Tensor, "n"], n_classes: int, k: int = 3, random_state: int = 0
) -> Float[Tensor, "c k d"]:
    """Step 3: the means of the k clusters that k-means finds in each class, in any order of the samples."""
    souls = torch.empty(n_classes, k, x.shape[1])
    for c in range(n_classes):
        members = x[y == c]
        found, counts = torch.unique(members, dim=0, return_counts=True)
        if len(found) > k:
            ordered = found.repeat_interleave(counts, dim=0)
            found = kmeans(ordered, k, restarts=3, random_state=random_state).centroids
        souls[c, : len(found)] = found
        souls[c, len(found) :] = members.mean(dim=0)
    return souls


def nearest_soul(points: Float[Tensor, "n d"], souls: Float[Tensor, "n k d"]) -> Float[Tensor, "n"]:
    """min_j ||x_i - s_ij||^2, each point among its own souls; the gradient goes through the nearest one."""
    return (points[:, None] - souls).square().sum(dim=2).min(dim=1).values


def sample_regularizer(fake: Float[Tensor, "b d"], y: Int[Tensor, "b"], souls: Float[Tensor, "c k d"]) -> Tensor:
    """L_R1: mean over samples of the squared distance to the nearest soul of their class."""
    return nearest_soul(fake, souls[y]).mean()


def class_regularizer(fakes: Float[Tensor, "c n d"], souls: Float[Tensor, "c k d"]) -> Tensor:
    """L_R2: mean over classes of the squared distance from the fake soul, a mean, to a real one."""
    return nearest_soul(fakes.mean(dim=1), souls).mean()


@torch.no_grad()
def synthesize(
    generator: Conditional, a: Float[Tensor, "c a"], n: int
) -> tuple[Float[Tensor, "cn d"], Int[Tensor, "cn"]]:
    """Step 7: G(z, a) for n noise vectors per description, and the row of `a` that each sample is of."""
    fakes = generator(torch.randn(len(a), n, generator.given.in_features), a[:, None])
    return fakes.flatten(0, 1), torch.arange(len(a)).repeat_interleave(n)


def entropy(p: Float[Tensor, "n c"]) -> Float[Tensor, "n"]:
    """E(y) = -sum_c y_c log y_c of each row, in nats, 0 log 0 = 0."""
    return torch.special.entr(p).sum(dim=1)


def confident(p: Float[Tensor, "n c"], ratio: float) -> Bool[Tensor, "n"]:
    """Which rows are the share `ratio` of lowest entropy, to the nearest count; ties go to the first."""
    easy = torch.zeros(len(p), dtype=torch.bool)
    easy[entropy(p).argsort(stable=True)[: round(len(p) * ratio)]] = True
    return easy


def nearest(points: Float[Tensor, "n d"], references: Float[Tensor, "m d"]) -> Int[Tensor, "n"]:
    """Index of the nearest reference of each point, Euclidean, in blocks."""
    return torch.cat([torch.cdist(block, references).argmin(dim=1) for block in torch.split(points, 256)])


# -- classes -----------------------------------------------------------------------------------------------


def split_classes(
    source: Domain, classes: ClassSpace, generalized: bool
) -> tuple[Int[np.ndarray, "s"], Int[np.ndarray, "u"]]:
    """The classes with samples, and those to generate features of; both ordered by their description."""
    present = np.unique(source.labels)
    alien = np.setdiff1d(present, classes.seen)
    if len(alien):
        raise ValueError(f"source must hold seen classes only; {classes.names[alien[0]]!r} is not in classes.seen")
    if not generalized and len(classes.unseen) == 0:
        raise ValueError("classes must have unseen classes: set `seen` to those that the source has samples of")
    order = np.lexsort(descriptions(classes).numpy().T[::-1])
    made = np.setdiff1d(np.arange(len(classes)), present) if generalized else classes.unseen
    return order[np.isin(order, present)], order[np.isin(order, made)]


def descriptions(classes: ClassSpace, balanced: bool = True) -> Float[Tensor, "n a"]:
    """The attributes, else the embeddings, scaled to length sqrt(a) if `balanced`, else to length 1."""
    vectors = classes.attributes if classes.attributes is not None else classes.embeddings
    if vectors is None:
        raise ValueError("classes must have attributes or embeddings: one description vector per class")
    length = vectors.shape[1] ** 0.5 if balanced else 1.0
    return length * F.normalize(torch.as_tensor(vectors), dim=1)


def positions(y: Int[np.ndarray, "n"], among: Int[np.ndarray, "c"], n_classes: int) -> Int[Tensor, "n"]:
    """Where each label stands in `among`."""
    table = np.full(n_classes, -1, dtype=np.int64)
    table[among] = np.arange(len(among))
    return torch.as_tensor(table[y])

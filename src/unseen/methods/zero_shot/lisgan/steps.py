"""The numbered steps of the paper as functions of arrays: souls, regularizers, the easy part, descriptions."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from unseen.data.classes import ClassSpace
from unseen.nn.adversarial import Draw, Regularizer, synthesize
from unseen.nn.clustering import kmeans
from unseen.nn.unseen_classes import described

__all__ = [
    "class_regularizer",
    "confident",
    "descriptions",
    "entropy",
    "nearest",
    "nearest_soul",
    "sample_regularizer",
    "soul_regularizers",
    "soul_samples",
    "synthesize",
]


def soul_samples(
    x: Float[Tensor, "n d"], y: Int[Tensor, "n"], n_classes: int, k: int = 3, random_state: int = 0
) -> Float[Tensor, "c k d"]:
    """Step 3: the means of the k clusters that k-means finds in each class, in any order of the samples."""
    souls = torch.empty(n_classes, k, x.shape[1])
    for c in range(n_classes):
        members = x[y == c]
        centres, counts = torch.unique(members, dim=0, return_counts=True)
        if len(centres) > k:
            ordered = centres.repeat_interleave(counts, dim=0)
            centres = kmeans(ordered, k, restarts=3, random_state=random_state).centroids
        souls[c, : len(centres)] = centres
        souls[c, len(centres) :] = members.mean(dim=0)
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


class _Souls(nn.Module):
    """A weighted regularizer that knows the souls of the seen classes, (c, k, d)."""

    souls: Tensor

    def __init__(self, souls: Float[Tensor, "c k d"], weight: float) -> None:
        super().__init__()
        self.register_buffer("souls", souls)
        self.weight = weight


class _NearSamples(_Souls):
    """weight * L_R1 of a batch of generated samples."""

    def forward(self, fake: Float[Tensor, "b d"], y: Int[Tensor, " b"], draw: Draw) -> Float[Tensor, ""]:
        return self.weight * sample_regularizer(fake, y, self.souls)


class _NearMeans(_Souls):
    """weight * L_R2 of n more samples of every class."""

    def __init__(self, souls: Float[Tensor, "c k d"], weight: float, n: int) -> None:
        super().__init__(souls, weight)
        self.n = n

    def forward(self, fake: Float[Tensor, "b d"], y: Int[Tensor, " b"], draw: Draw) -> Float[Tensor, ""]:
        return self.weight * class_regularizer(draw(self.n), self.souls)


def soul_regularizers(
    souls: Float[Tensor, "c k d"], sample_souls: float, class_souls: float, n: int
) -> list[Regularizer]:
    """L_R1 and L_R2 with their weights, for `unseen.nn.adversarial.train_generator`; a weight of 0 leaves one out."""
    near: list[Regularizer] = [_NearSamples(souls, sample_souls)] if sample_souls else []
    return near + ([_NearMeans(souls, class_souls, n)] if class_souls else [])


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


def descriptions(classes: ClassSpace, balanced: bool = True) -> Float[Tensor, "n a"]:
    """The attributes, else the embeddings, scaled to length sqrt(a) if `balanced`, else to length 1."""
    vectors = described(classes)
    length = vectors.shape[1] ** 0.5 if balanced else 1.0
    return length * F.normalize(vectors, dim=1)

"""SAE: a linear map to class vectors whose transpose maps back."""

from typing import Literal, Self

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.typing import IntArray
from unseen.methods.base import Card
from unseen.methods.baselines._network import table
from unseen.methods.network import NetworkMethod
from unseen.methods.parameters import NonNegative, Positive
from unseen.nn.semantic_network import centred, normalized, semantic_network
from unseen.nn.unseen_classes import candidates, class_vectors
from unseen.validation.rehearsal import Compared, told_apart

WEIGHTS = tuple(10.0 ** (power / 2) for power in range(-6, 7))


class SAE(NetworkMethod):
    """Encode features as the vector of their class by a map whose transpose decodes them again [1].

        min_W ||X - S W||^2 + weight ||X W^T - S||^2      X: samples (n, d), S: their class vectors (n, t), W: (t, d)

    Parameters
    ----------
    weight : float, > 0, or None
        Of the encoder's error beside the decoder's; None chooses from 1e-3 to 1e3 by holding out seen classes.
    direction : {"decode", "encode"}
        Compare samples with decoded class vectors, among the features, or encoded samples with class vectors.
    generalized : bool
        Predict among all classes (GZSL) or among the unseen ones (ZSL).
    handicap : float, >= 0
        Taken from the cosine of seen classes in GZSL (calibrated stacking).
    scale : float, > 0
        Multiplies the cosine before the softmax.

    Attributes
    ----------
    weight_ : float
        The weight used.

    References
    ----------
    [1] Kodirov, Xiang, Gong, "Semantic Autoencoder for Zero-Shot Learning", CVPR 2017, eq. 4 to 7.
    """

    card = Card(
        slug="sae",
        cost=2.0,
        title="Semantic Autoencoder for Zero-Shot Learning",
        venue="CVPR 2017",
        summary="Map features to class vectors and back by one matrix, take the nearest class by cosine.",
        unseen={"classes"},
        protocols={"zsl", "gzsl"},
        presets={"default": {}, "generalized": {"generalized": True, "handicap": 0.1}},
        smoke={"weight": 1.0},
        baseline=True,
    )

    weight: Positive | None = None
    direction: Literal["decode", "encode"] = "decode"
    generalized: bool = False
    handicap: NonNegative = 0.0
    scale: Positive = 20.0

    def fit(self, *, source: Domain, classes: ClassSpace) -> Self:
        """Learn from samples of seen classes and a vector per class."""
        asked = candidates(source, classes, self.generalized)
        vectors, y = class_vectors(classes), source.labels
        x, centre = centred(normalized(table(source)))
        self.weight_ = self.weight or self._choose(x, y, vectors)
        w = autoencoder(x, vectors[y], [self.weight_])[0].float()
        if self.direction == "decode":
            w, vectors = torch.eye(x.shape[1]), vectors @ w
        network = semantic_network(x.shape[1], len(w), len(classes), scale=self.scale).set_map(centre, w, vectors)
        among, seen = (torch.as_tensor(np.isin(np.arange(len(classes)), which)) for which in (asked, y))
        self.network_ = network.allow(among, seen, self.handicap)
        return self

    def _choose(self, x: Float[Tensor, "n d"], y: Int[np.ndarray, " n"], vectors: Float[Tensor, "c t"]) -> float:
        """The weight under which held-out seen classes are told apart best, the middle one of equals; else 1."""

        def mapped(learn: IntArray, out: IntArray, held: IntArray) -> Compared:
            for w in autoencoder(x[learn], vectors[y[learn]], WEIGHTS):
                z, prototypes = x[out].double(), vectors[held].double()
                yield (z, prototypes @ w) if self.direction == "decode" else (z @ w.T, prototypes)

        scores = told_apart(y, mapped, self.random_state).sum(axis=0)
        best = np.flatnonzero(scores == scores.max(initial=0.0))
        return WEIGHTS[best[len(best) // 2]] if scores.any() else 1.0


def autoencoder(
    x: Float[Tensor, "n d"], s: Float[Tensor, "n t"], weights: tuple[float, ...] | list[float]
) -> list[Float[Tensor, "t d"]]:
    """W for each weight: the solution of ``S^T S W + weight W X^T X = (1 + weight) S^T X``, in float64.

    A Sylvester equation of two symmetric matrices: both are diagonalized once, for all weights. Directions in which
    neither samples nor class vectors vary get 0.
    """
    x, s = x.double(), s.double()
    (a, u), (b, v) = torch.linalg.eigh(s.T @ s), torch.linalg.eigh(x.T @ x)
    turned = u.T @ (s.T @ x) @ v
    maps = []
    for weight in weights:
        sums = a.clamp_min(0)[:, None] + weight * b.clamp_min(0)
        flat = sums <= 1e-10 * sums.max()
        maps.append(u @ torch.where(flat, 0.0, (1 + weight) * turned / sums.masked_fill(flat, 1.0)) @ v.T)
    return maps

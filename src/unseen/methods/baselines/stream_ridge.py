"""A stream of tasks by ridge regression on frozen features, in closed form: as if all tasks had been there at once."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.samplers import tensor
from unseen.methods.base import Card
from unseen.methods.needs import TrainableTowers
from unseen.methods.parameters import Positive
from unseen.methods.tower_streams import TowerStream
from unseen.nn.build import builder
from unseen.nn.dual_encoder import in_parts

AT_ONCE = 256
"""Samples that are in memory together, since pictures are large."""


class StreamRidge(TowerStream):
    """Keep two sums over all samples of all tasks, and solve for one linear layer on frozen features [1].

        G = sum x x',  Q = sum x y',  W = (G + penalty I)^-1 Q,

    with x a feature at unit length and a 1 behind it, and y the 1 of its class among zeros. The layer after the last
    task is the one that all tasks together would have given, in any order, so that no sample loses its say, and none is
    kept. The towers never change: a class without a sample is known by its name, as well as at the start.

    Parameters
    ----------
    penalty : float, > 0
        Of the squared weights.
    scale : float, > 0
        Multiplies the scores before the softmax.

    Attributes
    ----------
    gram_ : Tensor (d + 1, d + 1)
    sums_ : Tensor (d + 1, K)
    weights_ : Tensor (d + 1, K)
    pictures_ : bool
        Whether samples go through the image tower first.

    Notes
    -----
    `source` holds features, as encoders give them, which are read as they are, or what the image tower reads.

    References
    ----------
    [1] Zhuang et al., "ACIL: Analytic Class-Incremental Learning with Absolute Memorization and Privacy Protection",
        NeurIPS 2022, without its random layer; Hoerl and Kennard, "Ridge Regression", Technometrics 1970.
    """

    card = Card(
        slug="stream-ridge",
        cost=0.5,
        title="ACIL: Analytic Class-Incremental Learning with Absolute Memorization and Privacy Protection",
        venue="NeurIPS 2022",
        summary="Learn task after task by one ridge regression on frozen features, as if all had come at once.",
        unseen={"classes"},
        modalities={"features", "image"},
        reads={"corpus": {"text"}},
        protocols={"stream"},
        needs=(TrainableTowers(),),
        at_prediction={"scale"},
        baseline=True,
    )

    reads_references: ClassVar[bool] = False

    penalty: Positive = 0.1
    scale: Positive = 10.0

    gram_: Float[Tensor, "d d"] = dataclasses.field(init=False)
    sums_: Float[Tensor, "d k"] = dataclasses.field(init=False)
    weights_: Float[Tensor, "d k"] = dataclasses.field(init=False)
    pictures_: bool = dataclasses.field(init=False)

    def _keep(self, source: Domain) -> None:
        """Add the task to the sums, and solve anew."""
        pictures = tensor(source, slice(1)).ndim > 2
        if len(self.tasks_) > 1 and self.pictures_ != pictures:
            held, got = (("features", "pictures")[kind] for kind in (self.pictures_, pictures))
            raise ValueError(f"source must hold {held}, as the tasks before; it holds {got}")
        self.pictures_ = pictures
        place = torch.tensor([self.classes_.names.index(name) for name in self.tasks_[-1]["classes"]])
        gram, sums = torch.zeros(()), torch.zeros(())
        for start in range(0, len(source), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            x = self._features(tensor(source, part)).double()
            y = F.one_hot(place[torch.as_tensor(source.labels[part])], len(self.classes_)).double()
            gram, sums = gram + x.T @ x, sums + x.T @ y
        if len(self.tasks_) > 1:
            gram += self.gram_
            sums[:, : self.sums_.shape[1]] += self.sums_
        self.gram_, self.sums_ = gram, sums
        eye = torch.eye(len(gram), dtype=gram.dtype)
        self.weights_ = torch.linalg.solve(gram + self.penalty * eye, sums).float()

    @torch.no_grad()
    def decision_function(
        self, x: Tensor, classes: ClassSpace | None = None, prompts: Sequence[str] | None = None
    ) -> Float[Tensor, "n k"]:
        """Scores of the classes asked about, (n, k): of the layer if all of them had samples, else of their names."""
        place = {name: i for i, name in enumerate(self.classes_.names)}
        with_samples = {name for name, i in place.items() if self.sums_[-1, i] > 0}
        names = self.classes_.names if classes is None else classes.names
        if prompts is not None or (classes is not None and not set(names) <= with_samples):
            return super().decision_function(x, classes, prompts)  # by towers that never changed
        return self.scale * (self._features(x) @ self.weights_[:, [place[name] for name in names]])

    def network(self) -> nn.Module:
        """The layer on features, or on the image tower."""
        towers: Any = self.network_
        linear = unit_linear(*self.weights_.shape)
        linear.weights.copy_(self.scale * self.weights_)
        return nn.Sequential(copy.deepcopy(towers.image), linear) if self.pictures_ else linear

    def _features(self, x: Tensor) -> Float[Tensor, "n d"]:
        """Features at unit length, and a 1."""
        towers: Any = self.network_
        with torch.no_grad():
            return with_one(in_parts(towers.encode_image, x) if self.pictures_ else x)


def with_one(x: Float[Tensor, "n d"]) -> Float[Tensor, "n d1"]:
    """Rows at unit length with a 1 behind each."""
    return torch.cat([F.normalize(x.float(), dim=1), torch.ones(len(x), 1, device=x.device)], dim=1)


class UnitLinear(nn.Module):
    """Scores of a linear layer on rows at unit length, with a 1 behind them."""

    weights: Float[Tensor, "d k"]

    def __init__(self, width: int, n_classes: int) -> None:
        super().__init__()
        self.register_buffer("weights", torch.zeros(width, n_classes))

    def forward(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n k"]:
        """Scores."""
        return with_one(x) @ self.weights


@builder("unit-linear")
def unit_linear(width: int, n_classes: int) -> UnitLinear:
    """A `UnitLinear` of zeros."""
    return UnitLinear(width, n_classes)

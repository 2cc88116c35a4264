"""Two towers made small by thin layers, which keep the directions in which their outputs vary most on some pairs."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from unseen.data.pairs import Pairs
from unseen.data.samplers import tensor
from unseen.methods.base import Card
from unseen.methods.parameters import Count, NonNegative
from unseen.methods.tower_shrinkers import TowerShrinker, TowersToShrink
from unseen.nn.affinity import Distilling, Taught
from unseen.nn.build import n_parameters
from unseen.nn.dual_encoder import AT_ONCE, NOTHING, dual_encoder
from unseen.nn.low_rank import Directions, allotted, filled, floor, low_rank, measured, whole
from unseen.nn.train import DivergedError, Run, train

SIDES = ("image", "text")
RATES = tuple(1e-5 * 10 ** (i / 2) for i in range(8))
"""Learning rates that are tried, from 1e-5 to 3e-2."""
FIRST = 4
"""The first that is, and the one after it."""


class LowRank(TowerShrinker):
    """Each layer W x + b becomes P (P' W x) + c, with P the strongest principal components of its outputs [1].

    That is the product of two thin layers that is closest to the layer on what it really reads, in closed form. All
    layers share one budget: components are kept in the order of the share of their layer's variance that they carry,
    for each parameter that they cost. The student has the teacher's depth, widths and space, and then learns to mimic
    its affinities, as `tinyclip` does.

    Parameters
    ----------
    measured_on : int, >= 1
        Pairs, at most, by which the components are found.
    learning_rate : float, >= 0
        Of AdamW; 0 finds one by short trials.

    References
    ----------
    [1] Yu and Wu, "Compressing Transformers: Features Are Low-Rank, but Weights Are Not!", AAAI 2023 (atomic feature
        mimicking); the budget over layers is not theirs.
    """

    card = Card(
        slug="low-rank",
        cost=30.0,
        title="Compressing Transformers: Features Are Low-Rank, but Weights Are Not!",
        venue="AAAI 2023",
        summary="Make an image-text model small by thin layers, then mimic its affinities (`unseen shrink`).",
        unseen={"data"},
        modalities={"image"},
        protocols={"compression"},
        needs=(TowersToShrink(),),
        smoke={"size": 0.6, "steps": 2, "warm_up": 1, "learning_rate": 1e-3, "batch_size": 12},
        parts=("unseen.nn.low_rank",),
        baseline=True,
        notes=(
            "Attention that reads its weights itself (torch's own, as in CLIP's ResNets) stays whole.",
            "A table of tokens is thinned by how often the texts of the pairs have each token, and once more.",
            "With the same teacher and steps `tinyclip` was as good or better, and faster afterwards (docs/shrink.md).",
        ),
    )

    learning_rate: NonNegative = 0.0
    measured_on: Count = 4096

    def work(self, n: int) -> tuple[int, float]:
        """As all that make towers small, after components and a rate are found."""
        steps, reads = super().work(n)
        trial = 0 if self.learning_rate else 3 * self._trial
        return steps + trial, reads * (steps + trial) / steps + min(n, self.measured_on)

    @property
    def _trial(self) -> int:
        """Steps of a trial of a learning rate."""
        return min(max(self.steps // 10, 12), 60)

    def _shrunk(self, teacher: Any, pairs: Pairs, texts: Sequence[str]) -> Any:
        """Thin layers that keep what they can, then distillation."""
        known = measured(teacher, self._reading(teacher, pairs, texts))
        ranks = self._ranks(teacher, known)
        student = thinned(teacher, ranks)
        filled(student, teacher, known, ranks)
        size = n_parameters(student) / n_parameters(teacher)
        self.stages_ = ({"asked": self.size, "size": size},)
        taught = self._taught(teacher, texts)
        self._distilled("low-rank", student, taught, pairs, self.warm_up, self._rate(student, taught, pairs))
        return student

    def _reading(self, teacher: Any, pairs: Pairs, texts: Sequence[str]) -> Iterator[None]:
        """Read pairs with both towers; texts of one length together, so that nothing is read behind their ends."""
        n = min(len(pairs), self.measured_on)
        for start in range(0, n, AT_ONCE):
            teacher.encode_image(tensor(pairs.left, slice(start, min(start + AT_ONCE, n))))
            yield
        tokens: Tensor = teacher.tokenize(texts[:n])
        if tokens.is_floating_point() or tokens.ndim != 2:
            parts = list(torch.split(tokens, AT_ONCE))
        else:
            lengths = (tokens != NOTHING).sum(dim=1)
            each = sorted(set(lengths.tolist()))
            parts = [part for k in each for part in torch.split(tokens[lengths == k][:, :k], AT_ONCE)]
        for part in parts:
            teacher.encode_text(part)
            yield

    def _ranks(self, teacher: Any, known: dict[str, Directions]) -> dict[str, int]:
        """The rank of each layer that is thinned; `ValueError` names the smallest size."""
        total = n_parameters(teacher)
        rest = total - sum(whole(teacher, name) for name in known)
        most, least = int(self.size * total) - rest, sum(floor(teacher, name, basis) for name, basis in known.items())
        if most < least:
            raise ValueError(
                f"size must be at least {(rest + least) / total:.3f}, the smallest student of this model "
                f"({rest + least:,} parameters); got {self.size!r}"
            )
        return allotted(teacher, known, most)

    def _rate(self, student: Any, taught: Taught, pairs: Pairs) -> float:
        """The learning rate that was set, or the best of a few short trials.

        All begin with the student and read the same pairs. From 1e-3 and 3e-3 it goes on by threes towards the better
        one, until the loss on the pairs that come next is worse.
        """
        if self.learning_rate:
            return self.learning_rate

        @functools.cache
        def loss(i: int) -> float:
            return self._tried(RATES[i], copy.deepcopy(student), taught, pairs)

        best, way = (FIRST + 1, 1) if loss(FIRST + 1) < loss(FIRST) else (FIRST, -1)
        while 0 <= best + way < len(RATES) and loss(best + way) < loss(best):
            best += way
        return RATES[best]

    def _tried(self, rate: float, trial: Any, taught: Taught, pairs: Pairs) -> float:
        """The loss after some steps, on the pairs of the next steps; infinite where it was too much."""
        distilling, losses = Distilling(trial, taught, self._loss()), list[float]()
        adam = self._adam(trial, rate)
        trial.train().requires_grad_(True)
        asked, hold = max(self._trial // 4, 2), self._hold

        def objective(batch: Any, run: Run) -> Tensor:
            loss = distilling.losses(batch).total
            if run.step >= self._trial:
                losses.append(float(loss.detach()))
            return loss

        def pace(step: int) -> float:
            """Up, on, and 0 while it is only asked."""
            warm = max(min(self.warm_up, self._trial // 2), 1)
            return min((step + 1) / warm, 1.0) if step < self._trial else 0.0

        try:
            train(
                objective, name="low-rank-rate", nets={"trial": trial, "taught": taught}, optimizers={"adam": adam},
                schedulers={"rate": LambdaLR(adam, pace)},
                after_step=lambda run: hold(trial), batches=self._budget(self.steps, pairs)["batches"], epochs=1,
                steps_per_epoch=self._trial + asked, clip=self.clip,
            )  # fmt: skip
        except DivergedError:
            return math.inf
        return float(np.mean(losses))

    def _report(self, student: Any, teacher: Any) -> list[dict[str, Any]]:
        rows = []
        for side in SIDES:
            small, large = getattr(student, side), getattr(teacher, side)
            ranks = small.recipe.args.get("ranks", {}) if small.recipe.builder == "low-rank" else {}
            left, before = n_parameters(small), n_parameters(large)
            plan = (
                f"{len(ranks)} thin layers, of rank {min(ranks.values())} to {max(ranks.values())}"
                if ranks
                else "as it was"
            )
            rows.append({"side": side, "plan": plan, "parameters": (left, before), "ranks": ranks})
        return rows


def thinned(teacher: Any, ranks: dict[str, int]) -> Any:
    """Towers of the same make with thin layers, whose weights are fresh."""
    image, text = (_tower(getattr(teacher, side), side, ranks) for side in SIDES)
    student = dual_encoder(image, text, teacher.reader.to_json(), float(teacher.logit_scale.detach().exp()))
    student.reader = teacher.reader
    return student


def _tower(tower: nn.Module, side: str, ranks: dict[str, int]) -> nn.Module:
    tower_ranks = {name.removeprefix(f"{side}."): rank for name, rank in ranks.items() if name.startswith(f"{side}.")}
    return low_rank(copy.deepcopy(tower), tower_ranks) if tower_ranks else copy.deepcopy(tower)

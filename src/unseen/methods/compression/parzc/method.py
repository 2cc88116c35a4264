"""The method: fit the scorer on trained architectures; score, rank, and say how sure it is and which node matters."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Adam
from torch.optim.lr_scheduler import CosineAnnealingLR

from unseen.data.domain import Domain
from unseen.data.samplers import Batch, batches, steps
from unseen.methods.architecture_rankers import ArchitectureRanker, tau
from unseen.methods.base import Card
from unseen.methods.compression.parzc.network import Scorer, scorer
from unseen.methods.compression.parzc.statistics import Scale
from unseen.methods.parameters import Count, Natural, NonNegative, Positive, Within
from unseen.methods.verbs import gives
from unseen.nn.bayesian import sampling
from unseen.nn.ranking_losses import diff_kendall_loss, pairwise_loss
from unseen.nn.train import Run, train
from unseen.runtime import reproducible

Loss = Literal[
    "diffkendall", "pairwise", "pairwise+diffkendall", "mse", "mse+diffkendall", "mse+pairwise",
    "mse+pairwise+diffkendall",
]  # fmt: skip


class ParZC(ArchitectureRanker):
    """Learn from a few trained architectures how node-wise zero-cost statistics order all the others [1].

    The statistics of an untrained network, a number for each layer and proxy, go through a mixer with Bayesian layers
    (MABN), which is trained on a differentiable Kendall's tau. `source` holds a row of statistics for each trained
    architecture (proxy after proxy, `unseen.nn.zero_cost`), and what it reached as values (``task="value"``).

    Parameters
    ----------
    scale : {"proxy", "architecture", "node"}
        Every proxy standardized over the trained architectures, all its nodes together, which keeps what is large or
        small of a whole network; min-max over the nodes of each architecture and proxy, as in the official code; or
        each entry standardized by itself.
    logarithm : bool
        Take log(1 + |statistic|) first, with its sign: synflow spans decades.
    projected : int
        Width of the first linear map, a multiple of `patch`; 256 in the paper.
    patch : int
        Length of a segment of it; 16 in the paper.
    width : int
        Channels of a segment; 512 in the paper.
    depth : int
        Mixer blocks; 4 in the paper.
    dropout : float in [0, 1)
        Share of activations that the maps of a block leave out while they learn.
    rho : float
        Start of the deviation of Bayesian weights, softplus(rho); -3 in the paper's ablation.
    bayesian : bool
        Without it the Bayesian maps are plain ones: an ablation.
    token_mixing : bool
        Whether the first map of a block acts across segments, as in the paper's figure; the official code never does.
    loss : {"pairwise+diffkendall", "diffkendall", "pairwise", "mse", ...}
        What is minimized; terms are added.
    alpha : float, > 0
        Steepness of DiffKendall.
    reference_scale : bool
        DiffKendall twice as large, as in the official code, which doubles its weight in a sum.
    epochs : int
        Passes over the trained architectures.
    batch_size : int
        Architectures in a batch, 2 at least unless `loss` is "mse"; a smaller table is one batch, so that every pair
        is seen.
    learning_rate : float, > 0
        Of Adam, falling along a cosine.
    weight_decay : float, >= 0
        Of Adam, on all but rho: it would pull every deviation towards softplus(0), however sure a weight is.
    validation : float in [0, 0.5]
        Share of `source` that is held out to choose the epoch by Kendall's tau, three architectures at least; 0 takes
        the last one.
    n_samples : int, >= 0
        Draws of the weights that a score is the mean of; 0 uses the mean weights.

    References
    ----------
    [1] Dong et al., "ParZC: Parametric Zero-Cost Proxies for Efficient NAS", AAAI 2025.
    """

    card = Card(
        slug="parzc",
        title="ParZC: Parametric Zero-Cost Proxies for Efficient NAS",
        venue="AAAI 2025",
        official_code="pprp/PicoNAS",
        summary="Rank architectures without training them, from a handful of trained ones.",
        unseen={"data"},
        modalities={"features"},
        task="value",
        protocols={"nas"},
        commands=("unseen nas rank cells-digits --trained 40 --method parzc",),
        presets={
            "default": {},
            "reference": {
                "token_mixing": False,
                "scale": "architecture",
                "logarithm": False,
                "reference_scale": True,
            },
            "ablation": {"rho": -3.0},
            "paper": {"projected": 256, "patch": 16, "width": 512, "depth": 4, "learning_rate": 1e-4, "epochs": 300},
        },
        on_request={"paper"},
        smoke={"proxies": 1, "epochs": 2, "width": 8, "projected": 16, "n_samples": 3},
        parts=(
            "unseen.nn.zero_cost",
            "unseen.nn.ranking_losses",
            "unseen.nn.bayesian",
            "unseen.nn.search_spaces",
            "unseen.data.architectures",
        ),
        notes=(
            "Both feed-forward maps of a block act on channels in the official code, so segments are never mixed; "
            "here the first one mixes them, `token_mixing=False` is the code.",
            "The official code draws weights in evaluation too, so its scores are random; here a score is the mean of "
            "`n_samples` draws from a seed of their own, equal for all architectures.",
            "Statistics are standardized per proxy; the code's min-max within each architecture, which hides that one "
            "network has larger statistics than another, is `scale='architecture'`.",
            "DiffKendall is divided by the number of ordered pairs: it lies in [-1, 1]; the code's is twice that, "
            "`reference_scale=True`.",
            "A node's statistic is the sum over its weights in the tables here; the code's script for vision "
            "transformers takes the mean, `nodewise_statistics(..., reduce='mean')`.",
            "Standardized statistics are clamped to [-10, 10], which the code does not do: one odd network would "
            "otherwise move every score.",
            "Weight decay spares rho; in the code it acts on all parameters.",
            "Statistics stay in double precision until they are standardized: synflow of deep networks exceeds single. "
            "What is not finite is refused, and left out by the reader of its benchmark's files; the code takes it "
            "for 0.",
            "Values are standardized over the trained architectures, as DiffKendall depends on their scale.",
        ),
        left_out=(
            "The topology branch (PINAT, step 10), which the paper's tables of NAS-Bench-101 and 201 add: it needs "
            "graphs of operations, which statistics alone do not give.",
        ),
    )

    scale: Scale = "proxy"
    logarithm: bool = True
    projected: Count = 64
    patch: Count = 8
    width: Count = 64
    depth: Count = 2
    dropout: Annotated[float, Within(0, 1, open_high=True)] = 0.1
    rho: Annotated[float, Within(-20, 5)] = -5.0
    bayesian: bool = True
    token_mixing: bool = True
    loss: Loss = "pairwise+diffkendall"
    alpha: Positive = 0.5
    reference_scale: bool = False
    epochs: Count = 200
    batch_size: Count = 200
    learning_rate: Positive = 2e-3
    weight_decay: NonNegative = 1e-3
    validation: Annotated[float, Within(0, 0.5)] = 0.0
    n_samples: Natural = 20

    network_: Scorer = dataclasses.field(init=False)

    def fit(self, *, source: Domain) -> Self:
        """Learn from trained architectures: statistics (n, proxies * nodes), and what each reached, as values."""
        self._check_width(source)
        if self.projected % self.patch:
            raise ValueError(f"projected must be a multiple of patch, {self.patch}; got {self.projected}")
        if self.batch_size < 2 and self.loss != "mse":
            raise ValueError(f"batch_size must be at least 2 for loss={self.loss!r}, of pairs; got {self.batch_size}")
        learn, aside = self._parts(source)
        self.network_ = scorer(
            source.n_features, self.proxies, self.scale, self.logarithm, self.projected, self.patch, self.width,
            self.depth, self.dropout, self.rho, self.bayesian, self.token_mixing,
        )  # fmt: skip
        statistics = self.network_.statistics.measure(torch.as_tensor(learn.x))
        learn = learn.replace(x=statistics(torch.as_tensor(learn.x)).numpy(), y=standardized(learn.labels))
        self._train(learn, aside)
        return self

    def _parts(self, source: Domain) -> tuple[Domain, Domain | None]:
        """What to learn from, and the share that chooses the epoch."""
        n = round(self.validation * len(source))
        if not self.validation:
            return source, None
        if n < 3:  # of two there is one pair
            raise ValueError(
                f"validation must be 0 or hold out three architectures; {self.validation:g} of {len(source)} are {n}"
            )
        order = torch.randperm(len(source)).numpy()
        return source.take(order[n:]), source.take(order[:n])

    def _train(self, learn: Domain, aside: Domain | None) -> None:
        """Step 14, on standardized statistics."""
        network, per_epoch = self.network_, steps(len(learn), self.batch_size)
        adam = Adam(decayed(network, self.weight_decay), lr=self.learning_rate)
        network.train()

        def objective(batch: Batch, run: Run) -> Tensor:
            assert batch.y is not None
            return self._loss(network.mabn(batch.x), batch.y.float())

        def agreement(run: Run) -> float:
            assert aside is not None
            with sampling(network.eval(), False), torch.no_grad():
                scores = network(torch.as_tensor(aside.x).to(run.device)).cpu()
            network.train()
            return tau(scores.numpy(), aside.labels)

        train(
            objective,
            name="parzc",
            nets={"network": network},
            optimizers={"adam": adam},
            schedulers={"cosine": CosineAnnealingLR(adam, self.epochs * per_epoch)},
            batches=batches(learn, self.batch_size),
            epochs=self.epochs,
            steps_per_epoch=per_epoch,
            score=None if aside is None else agreement,
        )

    def _loss(self, scores: Tensor, values: Tensor) -> Tensor:
        """Steps 11-13: the terms that `loss` names, added."""
        terms = {
            "diffkendall": lambda: diff_kendall_loss(scores, values, self.alpha, reference_scale=self.reference_scale),
            "pairwise": lambda: pairwise_loss(scores, values),
            "mse": lambda: F.mse_loss(scores, values),
        }
        return torch.stack([terms[name]() for name in self.loss.split("+")]).sum()

    # -- what it says ------------------------------------------------------------------------------------------

    def _draws(self, x: Float[Tensor, "n d"], n_samples: int) -> Float[Tensor, "s n"]:
        """Step 9: scores under each draw of the weights, the same draws for every architecture."""
        with reproducible(self.random_state), sampling(self.network_, n_samples > 0):
            return torch.stack([self.network_(x) for _ in range(max(n_samples, 1))])

    def draws(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "s n"]:
        """Scores under each of `n_samples` draws of the weights, or by the mean weights."""
        return self._draws(x, self.n_samples).double()

    @gives("uncertainty", reads="doubles")
    def uncertainty(self, x: Float[Tensor, "n d"]) -> NDArray[np.float64]:
        """Standard deviation of each score over draws of the weights, (n,); 20 draws if `n_samples` is 0."""
        return self._draws(x, self.n_samples or 20).double().std(dim=0, correction=0).numpy()


def decayed(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Parameter groups of step 14: rho, the deviation of Bayesian weights, does not decay."""
    rho = [parameter for name, parameter in network.named_parameters() if name.endswith("rho")]
    others = [parameter for name, parameter in network.named_parameters() if not name.endswith("rho")]
    return [{"params": others, "weight_decay": weight_decay}, {"params": rho, "weight_decay": 0.0}]


def standardized(y: NDArray[np.floating]) -> NDArray[np.float64]:
    """Step 4: values of mean 0 and deviation 1 over the trained architectures."""
    y = np.asarray(y, dtype=np.float64)
    return (y - y.mean()) / max(float(y.std()), 1e-12)

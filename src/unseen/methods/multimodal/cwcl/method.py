"""CWCL: the encoder of a new modality learns the space of a frozen one, and how alike that finds its own samples."""

import copy
import logging
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal, NamedTuple, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from unseen.data.domain import Domain, Lazy
from unseen.data.pairs import Pairs
from unseen.data.samplers import steps, tensor
from unseen.methods.base import Card
from unseen.methods.multimodal.attached import AttachablePairs, Attached, Sides
from unseen.methods.multimodal.cwcl.loss import LEVEL, cwcl, in_chunks
from unseen.methods.parameters import Count, Natural, NonNegative, Positive, Unit, Within
from unseen.nn.collapse import effective_rank, mean_cosine, modality_gap
from unseen.nn.contrastive import LogitScale
from unseen.nn.dual_encoder import feature_head, perceptron
from unseen.nn.schedules import by_decay, warm_cosine
from unseen.nn.train import Run, train

log = logging.getLogger(__name__)

COLLAPSED = 0.95
"""Mean cosine of two samples above which a tower says the same of all."""
LABEL = "label"
"""The column of pairs that `weights="labels"` reads."""
WATCHED = 2048
"""Pairs whose vectors the monitors look at."""


class CWCL(Attached):
    """Attach a new modality to a frozen pretrained encoder [1].

    Pairs (u_i, v_i) of two modalities and the frozen encoder f of U teach an encoder g of V:

        L = L_CWCL(U -> V) + L_CL(V -> U)
        L_CWCL = -1/N sum_i 1/(sum_j w_ij) sum_j w_ij log softmax_j(s <p_i, q_j>),   w_ij = <p_i, p_j> / 2 + 1/2

    with p = f(u) and q = g(v) of unit length. Two samples attract as far as f finds them alike; an ordinary contrastive
    loss (LiT) pushes apart all that do not stand in one pair. The other direction stays the ordinary one, as g has no
    similarity worth anything at first. Then g lives in the space of f, and what f knows by name, g is asked about.

    The published weights have a floor: of unrelated samples the cosine is about 0, and w a half. In a batch of a few
    hundred the targets are then nearly level, and the term is label smoothing; `row_entropy_` says how level, a warning
    stands above .95 of ln N, and `weights="clipped"` with a `power` sharpens.

    Parameters
    ----------
    frozen, asked
        See `Attached`.
    weights : {"cosine", "clipped", "identity", "labels"}
        As published; max(<p_i, p_j>, 0); one pair each (LiT); or 1 where the column ``label`` of the pairs agrees.
    power : float, > 0
        Sharpens "cosine" and "clipped".
    both_sides : bool
        Weights in both directions, which is not the paper's.
    temperature : float, > 0
        1/s at first; its logarithm is learnt, and s stays below 100.
    width : int, >= 0
        Of the shared space, into which the frozen tower's vectors get a learnt linear map, too; 0 is the frozen tower's
        own space, and no map.
    several : {"left", "right", "none"}
        Pairs with the same sample on this side are one sample with several partners, of which each epoch draws one.
    hidden : int, >= 0
        Width of the hidden layer of g where no `model` is given; 0 makes it linear.
    dropout : float in [0, 1]
        Before its last layer.
    epochs : int, >= 1
    batch_size : int, >= 2
        Of one pair there is nothing to tell it from.
    learning_rate, weight_decay : float
        Of AdamW; the rate goes up in the first tenth and down by half a cosine.
    chunk : int, >= 0
        Samples that g reads at once, and rows of the logits that are held, in a larger batch whose loss stays that of
        all of it; 0 reads all.

    Attributes
    ----------
    row_entropy_ : float
        Mean entropy of the rows of targets in a batch, as a share of ln N; 0 of one pair each.
    monitors_ : dict of str to float
        `mean_cosine` and `effective_rank` of the vectors of either side (`_frozen`, `_trained`) and the distance of
        their means (`gap`), of the first pairs: what a collapse shows in.
    history_ : dict of arrays
        Of each epoch: `loss`, `there` (U -> V), `back`, `row_entropy`, `mean_cosine` of the new side, `scale`; of
        several processes all but `loss` are those of the first.
    network_, projection_, scale_, answers_, answer_rows_
        See `Attached`.

    References
    ----------
    [1] Srinivasa, Cho, Yang, Saidutta, Lee, Shen, Jin, "CWCL: Cross-Modal Transfer with Continuously Weighted
        Contrastive Loss", NeurIPS 2023.
    """

    card = Card(
        slug="cwcl",
        cost=10.0,
        title="CWCL: Cross-Modal Transfer with Continuously Weighted Contrastive Loss",
        venue="NeurIPS 2023",
        summary="Attach a new modality to a frozen encoder so that both can be used zero-shot.",
        unseen={"modalities", "classes"},
        modalities={"features", "image"},
        protocols={"closed"},
        needs=(AttachablePairs(),),
        presets={
            "default": {},
            "sharpened": {"weights": "clipped", "power": 4.0},
            "lit": {"weights": "identity"},
        },
        on_request={"sharpened", "lit"},
        smoke={"epochs": 3, "batch_size": 16, "hidden": 8, "weights": "clipped", "power": 4.0},
        distributed=True,
        commands=("unseen align pairs.csv --frozen right --out aligned",),
        parts=(
            "unseen.nn.contrastive.both_ways",
            "unseen.nn.contrastive.cosine_weights",
            "unseen.nn.collapse.effective_rank",
            "unseen.nn.parallel.gather",
            "unseen.evaluation.metrics.retrieval.both_ways",
            "unseen.evaluation.metrics.retrieval.structure_correlation",
        ),
        left_out=(
            "CC12M and YFCC15M, Common Voice, SLURP, STOP and Speech Commands with the paper's towers: none is at "
            "hand. `unseen align` reads tables and shards of them with any encoder by name.",
            "Weights by any function as a setting: a setting is a plain value; `cwcl(weights=...)` takes any table or "
            "function.",
        ),
        notes=(
            "No official code was found; an independent adoption (CellCLIP) states the same weights and the same "
            "one-sided sum.",
            "A class may also be the mean of the frozen vectors of its sentences: `adapt` takes any vectors of the "
            "shared space.",
            "The loss is the sum of both directions, not their mean.",
            "Its least value is the mean entropy of the targets, not 0.",
            "Several processes drop what one does on a CPU. On GPUs, or with `chunk`, each draws alone: there the loss "
            "curve is that of one if `dropout` is 0.",
        ),
    )

    weights: Literal["cosine", "clipped", "identity", "labels"] = "cosine"
    power: Positive = 1.0
    both_sides: bool = False
    temperature: Positive = 0.07
    width: Natural = 0
    several: Literal["left", "right", "none"] = "left"
    hidden: Natural = 512
    dropout: Unit = 0.3
    epochs: Count = 40
    batch_size: Annotated[int, Within(2)] = 256
    learning_rate: Positive = 1e-3
    weight_decay: NonNegative = 1e-2
    chunk: Natural = 0

    def fit(self, *, pairs: Pairs, model: nn.Module | None = None) -> Self:
        """Learn g from pairs.

        Parameters
        ----------
        pairs : Pairs
            One side holds vectors of the frozen tower, (n, d), encoded once; the other features, pictures as tensors or
            whatever `model` reads.
        model : Module, optional
            g as it begins, from samples of that side to d (or `width`) numbers; a copy is trained. A perceptron on
            features if absent.
        """
        sides = self._sides(pairs)
        labels = self._labels(pairs)
        dim = self.width or sides.frozen.shape[1]
        network = self._begin(sides.trained, model, dim)
        projection = perceptron((sides.frozen.shape[1], dim)) if self.width else None
        members = groups_of(pairs, self.several)
        scale = LogitScale(1 / self.temperature)
        towers = nn.ModuleDict({"network": network, "scale": scale})
        if projection is not None:
            towers["projection"] = projection
        adam = torch.optim.AdamW(by_decay(towers), lr=self.learning_rate, weight_decay=self.weight_decay)
        per_epoch = steps(len(members), self.batch_size)
        total = self.epochs * per_epoch
        objective = _Objective(self, sides, labels, network, projection, scale)
        towers.train()
        run = train(
            objective,
            name="lit" if self.weights == "identity" else "cwcl",
            nets={"towers": towers},
            optimizers={"adam": adam},
            schedulers={"rate": warm_cosine(adam, total, total // 10)},
            batches=drawn_pairs(members, self.batch_size),
            epochs=self.epochs,
            steps_per_epoch=per_epoch,
        )
        history = {key: np.array([epoch[key] for epoch in run.history]) for key in run.history[0]}
        self._settled(sides, network, projection, float(scale().detach()))
        self.history_: dict[str, NDArray[Any]] = history
        self.row_entropy_ = float(history["row_entropy"][0])
        self.monitors_ = self._monitors(sides)
        self._warn()
        return self

    # -- how it begins -------------------------------------------------------------------------------------

    def _labels(self, pairs: Pairs) -> Tensor | None:
        if self.weights != "labels":
            return None
        if (label := pairs.called(LABEL)) is None:
            present = f"there are {', '.join(pairs.columns)}" if pairs.columns else "there is no other column"
            raise ValueError(f"weights='labels' needs a column {LABEL!r} of the pairs; {present}")
        return torch.as_tensor(np.unique(pairs.columns[label], return_inverse=True)[1].reshape(-1))

    def _begin(self, trained: Domain, model: nn.Module | None, dim: int) -> nn.Module:
        """A copy of the model, or a perceptron that reads features as they are spread here."""
        if model is None:
            if isinstance(trained.x, Lazy) or trained.x.ndim != 2:
                raise ValueError(f"model is needed where the new side holds {trained.kind}, not features: (n, d)")
            network: Any = feature_head(trained.x.shape[1], dim, self.hidden, self.dropout)
            network[0].measure(tensor(trained))
        else:
            network = copy.deepcopy(model)
        with torch.no_grad():
            try:
                out = network.eval()(tensor(trained, np.arange(1)))
            except (RuntimeError, IndexError, TypeError) as error:
                raise ValueError(f"model cannot read a sample of the new side: {error}") from error
        if out.ndim != 2 or out.shape[1] != dim:
            raise ValueError(
                f"model must give {dim} numbers for a sample, as wide as the shared space; got {tuple(out.shape[1:])}"
            )
        if not any(parameter.requires_grad for parameter in network.parameters()):
            network.requires_grad_(True)
        return network

    # -- what is looked at ---------------------------------------------------------------------------------

    def _monitors(self, sides: Sides) -> dict[str, float]:
        p = self.transform(sides.frozen[:WATCHED], "frozen")
        q = self.transform(sides.trained.take(slice(0, WATCHED)), "trained")
        monitors = {"gap": modality_gap(p, q)}
        for side, vectors in (("frozen", p), ("trained", q)):
            monitors[f"mean_cosine_{side}"] = mean_cosine(vectors)
            monitors[f"effective_rank_{side}"] = effective_rank(vectors)
        return monitors

    def _warn(self) -> None:
        """Say what a reader of the loss alone would not see."""
        if self.row_entropy_ > LEVEL:
            log.warning(
                "the targets are nearly level: they call all samples of a batch nearly as alike as a sample and itself "
                "(%.3f of the largest entropy), so that they teach little but label smoothing; weights='clipped' "
                "with power=4 (the preset sharpened) tells samples apart",
                self.row_entropy_,
            )
        cosine, before = self.monitors_["mean_cosine_trained"], self.monitors_["mean_cosine_frozen"]
        if cosine > COLLAPSED and cosine > before:
            log.warning("the new side has collapsed: two of its samples have a mean cosine of %.3f", cosine)


class _Objective:
    """A step: vectors of some pairs, the frozen ones from memory, and the loss of both directions."""

    def __init__(
        self,
        method: CWCL,
        sides: Sides,
        labels: Tensor | None,
        network: nn.Module,
        projection: nn.Module | None,
        scale: LogitScale,
    ) -> None:
        self.method, self.sides, self.labels = method, sides, labels
        self.network, self.projection, self.scale = network, projection, scale
        self.table = None if isinstance(sides.trained.x, Lazy) else tensor(sides.trained)

    def __call__(self, index: Tensor, run: Run) -> Tensor:
        method, rows = self.method, index.cpu()
        u = self.sides.frozen[rows].to(run.device)
        v = (tensor(self.sides.trained, rows.numpy()) if self.table is None else self.table[rows]).to(run.device)
        q = F.normalize(in_chunks(self.network, v, method.chunk), dim=1)
        p = u if self.projection is None else self.projection(u)
        labels = None if self.labels is None else self.labels[rows].to(run.device)
        loss = cwcl(
            p, q, self.scale(), method.weights, power=method.power, labels=labels, of=u,
            both=method.both_sides, rows=method.chunk,
        )  # fmt: skip
        run.log(
            there=loss.there, back=loss.back, row_entropy=loss.row_entropy, scale=self.scale(),
            mean_cosine=mean_cosine(q.detach()),
        )  # fmt: skip
        return loss.total


class Members(NamedTuple):
    """Rows of the pairs in groups: those of group k are `rows[start[k] : start[k + 1]]`."""

    rows: Tensor
    start: Tensor

    def __len__(self) -> int:
        return len(self.start) - 1


def groups_of(pairs: Pairs, several: str) -> Members:
    """Pairs that share a sample on one side; the column ``group`` says it otherwise."""
    if (column := pairs.called("group")) is not None:
        keys = pairs.columns[column]
    elif several == "none":
        keys = np.arange(len(pairs))
    else:
        keys = getattr(pairs, several).digests()
    _, first, group = np.unique(keys, return_index=True, return_inverse=True)
    place = np.argsort(np.argsort(first))[group.reshape(-1)]  # groups in the order of their first rows
    counts = np.bincount(place)
    if len(counts) < 2:
        raise ValueError(
            "pairs must hold at least two samples that differ; all have the same "
            + (f"{several} side" if column is None else "group")
        )
    start = np.concatenate([[0], np.cumsum(counts)])
    return Members(torch.as_tensor(np.argsort(place, kind="stable")), torch.as_tensor(start))


def drawn_pairs(members: Members, size: int) -> Callable[[Any], Iterator[Tensor]]:
    """One shuffled pass over the groups per epoch, with one pair of each, drawn anew; full batches only."""
    n = len(members)
    size = min(size, n)
    counts = members.start.diff()

    def stream(run: Any) -> Iterator[Tensor]:
        order = torch.randperm(n, generator=run.generator)
        drawn = (torch.rand(n, generator=run.generator, dtype=torch.float64) * counts).long()
        chosen = members.rows[members.start[:-1] + drawn]
        for start in range(0, n - size + 1, size):
            yield chosen[order[start : start + size]]

    return stream

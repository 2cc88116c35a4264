"""Meta-DMoE: experts of source domains teach a small student, in one step, a domain that nobody has labelled."""

import copy
import dataclasses
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
from torch import Tensor, nn

from unseen.data.domain import Domain
from unseen.data.samplers import tensor
from unseen.methods.adaptation.meta_dmoe.aggregator import aggregator
from unseen.methods.adaptation.meta_dmoe.training import (
    CHUNK,
    Meta,
    Sources,
    adapted,
    erm,
    hold_out,
    meta_train,
    pretrain_aggregator,
    split_domains,
    train_experts,
)
from unseen.methods.base import Card, Method
from unseen.methods.needs import Domains
from unseen.methods.parameters import Count, NonNegative, Positive, Within
from unseen.nn.classifier import Classifier, as_classifier, mlp_classifier
from unseen.nn.train import Run


class MetaDMoE(Method):
    """Meta-distillation from a mixture of domain experts [1].

    The source is of several domains, told apart by its column `domain`: cameras, hospitals, vendors. Each group of
    domains gets an expert. A transformer makes one target of what all experts see in a sample, and a student learns
    to be moved towards such targets by one gradient step: student and aggregator are trained so that, after the step
    on unlabeled samples of a domain whose own expert is away, the student classifies other samples of that domain.
    At test time, `adapt` takes this step once for a new domain, with all experts. Predicting then costs the student
    alone. A target of several domains is adapted to as if it were one; call `adapt` for each.

    Parameters
    ----------
    n_experts : int, >= 2
        N, groups of domains; as many as there are domains if these are fewer.
    aggregator : {"transformer", "average", "max", "weighted"}
        How the experts' features become one target. The last three are the paper's ablations; `weighted` is a sum with
        learnt weights.
    heads, depth : int, >= 1
        Of the transformer; `heads` must divide the number of the student's features.
    width : int, >= 1
        d, features of a student and of experts that are made here, perceptrons on cached features.
    expert_width : int, optional
        Features of the experts if they differ; a linear map then brings them to d.
    alpha : float, >= 0
        Length of the inner step. Too long a step destroys the student: .03 suits perceptrons on cached features, 1e-3
        small convolutional networks, 3e-4 to 1e-3 the authors' ResNet-50 and DenseNet-121.
    support_size, query_size : int
        Unlabeled and labelled samples of a batch in meta-training. Of a domain, what is left after whole batches is a
        batch if it has at least `support_size` + 2 samples.
    adapt_size : int, optional
        Samples of the target that are drawn for the step; all of them if None.
    mask : bool
        Whether the expert of a batch's own group is left out, as if the domain were unseen.
    meta : bool
        Whether there is meta-training; without it a plainly trained student is distilled at test time.
    first_order : bool
        Whether the inner gradient counts as a constant. The aggregator then learns nothing in meta-training.
    expert_epochs, aggregator_epochs, student_epochs, epochs : int
        Of the experts, the aggregator by itself, the student by itself, and meta-training.
    batch_size : int, >= 2
    learning_rate : float, > 0
        Of Adam before meta-training.
    student_rate, aggregator_rate : float, > 0
        Of the two Adams of meta-training; all rates are multiplied by .96 after each epoch.
    fresh_adam : bool
        Whether both Adams forget their moments at the start of each epoch of meta-training, as in the authors' code.
    held_out : float in [0, 0.9]
        Share of every source domain that chooses epochs: of experts and student by accuracy, of meta-training by the
        accuracy after adapting to it without the expert of its group. 0 keeps the last epochs.

    Attributes
    ----------
    student_, network_ : Module
        The student as it was learnt, and the one that predicts: a copy after the inner step if there is a target.
    experts_ : tuple of Module
    aggregator_ : Module
    groups_ : dict
        Number of the expert of each source domain.
    history_ : dict
        Per epoch of meta-training `loss`, `inner_loss` and `score`, (epochs,); `student_loss` and `aggregator_loss` of
        what came before.

    References
    ----------
    [1] Zhong, Chi, Gu, Wang, Yu, Tang, "Meta-DMoE: Adapting to Domain Shift by Meta-Distillation from
        Mixture-of-Experts", NeurIPS 2022.
    """

    card = Card(
        slug="meta-dmoe",
        cost=10.0,
        title="Meta-DMoE: Adapting to Domain Shift by Meta-Distillation from Mixture-of-Experts",
        venue="NeurIPS 2022",
        official_code="n3il666/Meta-DMoE",
        summary="Adapt a small student at test time by one distillation step from aggregated domain experts.",
        unseen={"domains"},
        modalities={"features", "image"},
        protocols={"closed", "partial"},
        needs=(Domains(3),),
        smoke={
            "expert_epochs": 1,
            "aggregator_epochs": 1,
            "student_epochs": 1,
            "epochs": 1,
            "support_size": 6,
            "query_size": 4,
            "width": 8,
            "n_experts": 3,
        },
        parts=(
            "unseen.data.samplers.domain_batches",
            "unseen.methods.adaptation.meta_dmoe.distillation.inner_step",
            "unseen.methods.adaptation.meta_dmoe.aggregator.aggregator",
            "unseen.nn.classifier.mlp_classifier",
            "unseen.nn.schedules.epoch_decay",
        ),
        left_out=(
            "Regression (PovertyMap): no method here learns values, and domains that are compared hold classes.",
            "Experts that exist already: training leaves out the expert that has seen a sample's domain, and a ready "
            "network does not say which domains it has seen. Experts of another architecture than `model` are an "
            "extension that the paper has not; on cached features they may be wider than the student.",
            "The warm-up and cosine schedule of RxRx1: rates decay by .96 per epoch everywhere.",
        ),
        notes=(
            "Epochs are chosen on held-out samples of the source domains, each adapted to without the expert of its "
            "group; the authors choose by labelled samples of other domains (WILDS' validation sets), twice an epoch.",
            "Before meta-training all networks learn by Adam; a share of each domain is held out from all of them.",
            "Rates, epochs, alpha and d suit perceptrons on cached features; the paper's are in its appendix.",
            "What it gains depends on how much a plainly trained student loses (see the evidence); where a "
            "target is far from all domains of the source, or the student loses little, it gains nothing or harms. A "
            "plain network trained for as long as all of this takes was as good on digits, and 2.8 points better on "
            "letters, where one that every domain standardizes is 3.0 better.",
            "The paper trains whole networks, and so does this with a `model` that reads pictures: student and experts "
            "start as its copies, as the authors' start from ImageNet; on cached features all are perceptrons behind "
            "one encoder that stays: experts differ, and the step moves the student, in one hidden layer alone.",
        ),
    )

    n_experts: Annotated[int, Within(2)] = 4
    aggregator: Literal["transformer", "average", "max", "weighted"] = "transformer"
    heads: Count = 4
    depth: Count = 1
    width: Count = 128
    expert_width: Count | None = None
    alpha: NonNegative = 0.03
    support_size: Count = 24
    query_size: Annotated[int, Within(2)] = 16
    adapt_size: Count | None = None
    mask: bool = True
    meta: bool = True
    first_order: bool = False
    expert_epochs: Count = 12
    aggregator_epochs: Count = 12
    student_epochs: Count = 12
    epochs: Count = 20
    batch_size: Annotated[int, Within(2)] = 64
    learning_rate: Positive = 1e-3
    student_rate: Positive = 3e-4
    aggregator_rate: Positive = 1e-3
    fresh_adam: bool = True
    held_out: Annotated[float, Within(0, 0.9)] = 0.2

    student_: Any = dataclasses.field(init=False)
    network_: Any = dataclasses.field(init=False)
    aggregator_: Any = dataclasses.field(init=False)
    experts_: tuple[Any, ...] = dataclasses.field(init=False)

    def fit(self, *, source: Domain, target: Domain | None = None, model: nn.Module | None = None) -> Self:
        """Learn from labelled domains; with a target, adapt to it at once.

        Parameters
        ----------
        source : Domain
            With a column `domain` of at least three values.
        target : Domain, optional
        model : Module, optional
            A network with `embed` and `head`, or one that ends in a linear layer: student and experts start as copies.
        """
        sources = self._sources(source)
        student, expert = self._networks(source, model)
        width, expert_width = (_width(network, source) for network in (student, expert))
        n_classes = student.head(torch.zeros(1, width)).shape[1]
        mixed = aggregator(
            self.aggregator, width, [expert_width] * len(set(sources.groups.values())), self.heads, self.depth
        )
        plain: dict[str, Any] = {"rate": self.learning_rate, "size": self.batch_size}
        experts = train_experts(expert, sources, epochs=self.expert_epochs, **plain)
        alone = pretrain_aggregator(
            mixed, experts, sources, width=width, n_classes=n_classes, epochs=self.aggregator_epochs, **plain
        )
        first = erm(student, sources.learn, sources.check, name="student", epochs=self.student_epochs, **plain)
        last = meta_train(student, mixed, experts, sources, self._meta()) if self.meta else None
        self.student_, self.aggregator_ = student.eval().cpu(), mixed.eval().cpu()
        self.experts_ = tuple(expert.eval().cpu() for expert in experts)
        self.groups_ = dict(sources.groups)
        self.history_ = _history(first, alone, last)
        self.network_ = copy.deepcopy(self.student_) if target is None else self._moved(target)
        return self

    def adapt(self, *, target: Domain) -> Self:
        """Step 6: take the inner step from the learnt student to the target, with all experts; a fitted copy."""
        self.network_ = self._moved(target)
        return self

    def decision_function(self, x: Tensor) -> Tensor:
        """Logits, (n, C)."""
        return torch.cat([self.network_(x[start : start + CHUNK]) for start in range(0, len(x), CHUNK)])

    def source_decision_function(self, x: Tensor) -> Tensor:
        """Logits of samples of the source, by the student that has not been adapted, (n, C)."""
        return torch.cat([self.student_(x[start : start + CHUNK]) for start in range(0, len(x), CHUNK)])

    def network(self) -> nn.Module:
        """The student that predicts."""
        return self.network_

    # -- what the steps start from ---------------------------------------------------------------------------

    def _moved(self, target: Domain) -> Classifier:
        _check_reads(self.student_, target, "target")
        if self.adapt_size is not None and self.adapt_size < len(target):
            chosen = np.random.default_rng(self.random_state).choice(len(target), self.adapt_size, replace=False)
            target = target.take(np.sort(chosen))
        return adapted(self.student_, self.aggregator_, self.experts_, target, self.alpha)

    def _sources(self, source: Domain) -> Sources:
        rng = np.random.default_rng(self.random_state)
        groups = split_domains(source.domains, min(self.n_experts, len(source.domains)), rng)
        learn, check = hold_out(source, self.held_out, rng)
        sources = Sources(learn, check, groups)
        largest = max(np.unique(learn.columns["domain"], return_counts=True)[1].tolist())
        if self.meta and largest < self.support_size + 2:
            raise ValueError(
                f"source must have a domain with at least support_size + 2 = {self.support_size + 2} samples besides "
                f"those held out; the largest has {largest}. Lower support_size or held_out"
            )
        fewest = min(np.bincount(sources.group_of(learn)).tolist())
        if fewest < 2:
            raise ValueError(f"source must have at least 2 samples for each expert; one has {fewest}. Lower n_experts")
        return sources

    def _networks(self, source: Domain, model: nn.Module | None) -> tuple[Classifier, Classifier]:
        n_classes = len(source.classes) if source.classes is not None else int(source.labels.max()) + 1
        if model is None:
            if source.kind != "features":
                raise ValueError(f"source is of kind {source.kind!r}: give a model that reads it, or encode it first")
            widths = (self.width, self.expert_width or self.width)
            student, expert = (mlp_classifier(source.n_features, n_classes, width) for width in widths)
            return student, expert
        if self.expert_width is not None:
            raise ValueError(f"expert_width must be None where a model is given; got {self.expert_width}")
        student = as_classifier(model)
        _check_reads(student, source, "source")
        with torch.no_grad():
            n_outputs = student.eval()(tensor(source, slice(0, 1))).shape[1]
        if source.labels.max() >= n_outputs:
            raise ValueError(f"source has label {source.labels.max()}; model has outputs for {n_outputs} classes")
        return student, copy.deepcopy(student)

    def _meta(self) -> Meta:
        return Meta(
            self.alpha,
            self.support_size,
            self.query_size,
            self.student_rate,
            self.aggregator_rate,
            self.epochs,
            self.mask,
            self.first_order,
            self.fresh_adam,
        )


def _check_reads(network: Classifier, domain: Domain, name: str) -> None:
    try:
        _width(network, domain)
    except RuntimeError as error:
        raise ValueError(f"{name} does not fit the network: its samples cannot be read ({error})") from error


@torch.no_grad()
def _width(network: Classifier, domain: Domain) -> int:
    """d: features that the network has of a sample."""
    return int(copy.deepcopy(network).eval().embed(tensor(domain, slice(0, 1))).shape[1])


def _history(first: Run, alone: list[dict[str, float]], last: Run | None) -> dict[str, Any]:
    """Losses and scores, one value per epoch."""
    histories = {"student_loss": first.history, "aggregator_loss": alone}
    history = {name: np.array([row["loss"] for row in rows]) for name, rows in histories.items()}
    rows = [] if last is None else last.history
    for key in sorted({key for row in rows for key in row}):
        history[key] = np.array([row[key] for row in rows])
    return history

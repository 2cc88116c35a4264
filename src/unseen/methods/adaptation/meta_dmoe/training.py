"""Steps 1 to 5 and 7: domains in groups, one expert each, the aggregator, the student, and how all learn together."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from unseen.data.domain import Domain
from unseen.data.samplers import Batch, batches, domain_batches, domain_steps, steps, tensor
from unseen.methods.adaptation.meta_dmoe.aggregator import Aggregator, tokens
from unseen.methods.adaptation.meta_dmoe.distillation import distilled, features, inner_step
from unseen.nn.classifier import Classifier, measure_again, outputs
from unseen.nn.schedules import epoch_decay
from unseen.nn.train import Run, train

CHUNK = 256
"""Samples that are looked at together where no batch is asked for."""


class Sources(NamedTuple):
    """Labelled samples of all domains to learn from and to choose by, and which group each domain is in."""

    learn: Domain
    check: Domain
    groups: Mapping[str, int]

    def group_of(self, domain: Domain) -> NDArray[np.int64]:
        """The group, which is the number of the expert, of every sample."""
        names = domain.columns["domain"].astype(np.str_).tolist()
        return np.array([self.groups[name] for name in names], dtype=np.int64)


# -- step 1: groups of domains -------------------------------------------------------------------------------


def split_domains(names: Sequence[str], n: int, rng: np.random.Generator) -> dict[str, int]:
    """Shuffle the domains and cut them into `n` groups of equal size, up to one domain."""
    order = rng.permutation(np.array(names))
    return {str(name): i for i, group in enumerate(np.array_split(order, n)) for name in group}


def hold_out(source: Domain, share: float, rng: np.random.Generator) -> tuple[Domain, Domain]:
    """Samples to learn from, and the `share` of every domain that chooses epochs."""
    names = source.columns["domain"].astype(np.str_)
    aside = np.zeros(len(source), dtype=bool)
    for name in np.unique(names):
        members = rng.permutation(np.flatnonzero(names == name))
        aside[members[: int(share * len(members))]] = True
    return source.take(~aside), source.take(aside)


# -- steps 1 and 4: empirical risk minimization ----------------------------------------------------------------


def erm(network: Classifier, learn: Domain, check: Domain, *, name: str, epochs: int, rate: float, size: int) -> Run:
    """Train a classifier by cross entropy, in place; the epoch that is best on `check` is kept, if there is any."""
    measure_again(network, learn)
    network.train()
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)

    def objective(batch: Batch, run: Run) -> Tensor:
        assert batch.y is not None
        return F.cross_entropy(network(batch.x), batch.y)

    def score(run: Run) -> float:
        return float((outputs(network, check)[1].argmax(dim=1).numpy() == check.labels).mean())

    per_epoch = steps(len(learn), size)
    run = train(
        objective,
        name=name,
        nets={"network": network},
        optimizers={"adam": optimizer},
        schedulers={"decay": epoch_decay(optimizer, per_epoch)},
        batches=batches(learn, size),
        epochs=epochs,
        steps_per_epoch=per_epoch,
        score=score if len(check) else None,
    )
    network.eval()
    return run


def train_experts(start: Classifier, sources: Sources, *, epochs: int, rate: float, size: int) -> list[Classifier]:
    """One copy of `start` per group of domains, trained on that group alone; then frozen."""
    experts = []
    for i in sorted(set(sources.groups.values())):
        expert = copy.deepcopy(start)
        learn, check = (part.take(sources.group_of(part) == i) for part in (sources.learn, sources.check))
        erm(expert, learn, check, name=f"expert-{i}", epochs=epochs, rate=rate, size=size)
        experts.append(expert.eval().requires_grad_(False))
    return experts


# -- step 3: the aggregator by itself ---------------------------------------------------------------------------


def pretrain_aggregator(
    aggregator: Aggregator,
    experts: Sequence[Classifier],
    sources: Sources,
    *,
    width: int,
    n_classes: int,
    epochs: int,
    rate: float,
    size: int,
) -> list[dict[str, float]]:
    """Cross entropy of a normalized linear head on t, from the tokens of all experts; the head is thrown away."""
    if not any(True for _ in aggregator.parameters()):
        return []
    head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, n_classes))
    optimizer = torch.optim.Adam([*aggregator.parameters(), *head.parameters()], lr=rate)
    aggregator.train()

    def objective(batch: Batch, run: Run) -> Tensor:
        assert batch.y is not None
        return F.cross_entropy(head(aggregator(tokens(experts, aggregator, batch.x))), batch.y)

    per_epoch = steps(len(sources.learn), size)
    run = train(
        objective,
        name="aggregator",
        nets={"aggregator": aggregator, "head": head, "experts": nn.ModuleList(experts)},
        optimizers={"adam": optimizer},
        schedulers={"decay": epoch_decay(optimizer, per_epoch)},
        batches=batches(sources.learn, size),
        epochs=epochs,
        steps_per_epoch=per_epoch,
    )
    aggregator.eval()
    return run.history


# -- step 5: meta-training --------------------------------------------------------------------------------------


class Meta(NamedTuple):
    """What steps 5 and 7 are told; see `MetaDMoE`."""

    alpha: float
    support: int
    query: int
    student_rate: float
    aggregator_rate: float
    epochs: int
    mask: bool
    first_order: bool
    fresh_adam: bool


def outer_loss(
    student: Classifier,
    aggregator: Aggregator,
    experts: Sequence[Classifier],
    x: Tensor,
    y: Tensor,
    meta: Meta,
    without: int | None,
) -> tuple[Tensor, Tensor]:
    """L_out and L_in of one batch of one domain: the first samples are the support, the others the query.

    Labels of the support are not read. Gradients reach the aggregator through the inner step alone.
    """
    support, query = x[: meta.support], x[meta.support :]
    t = aggregator(tokens(experts, aggregator, support, without))
    moved, inner = inner_step(student, support, t, meta.alpha, first_order=meta.first_order)
    logits = student.head(features(student, moved, query))
    return F.cross_entropy(logits, y[meta.support :]), inner


def meta_train(
    student: Classifier, aggregator: Aggregator, experts: Sequence[Classifier], sources: Sources, meta: Meta
) -> Run:
    """Train student and aggregator so that one inner step helps on a domain whose expert is away, in place.

    All networks are in eval mode: statistics of BatchNorm stay, nothing is dropped.
    """
    groups = torch.as_tensor(sources.group_of(sources.learn))
    optimizers = {"student": torch.optim.Adam(student.parameters(), lr=meta.student_rate)}
    if any(True for _ in aggregator.parameters()):
        optimizers["aggregator"] = torch.optim.Adam(aggregator.parameters(), lr=meta.aggregator_rate)
    names = sources.learn.columns["domain"].astype(np.str_)
    size, smallest = meta.support + meta.query, meta.support + 2

    def prepare(run: Run) -> None:
        for network in (student, aggregator, *experts):
            network.eval()
        if meta.fresh_adam:
            for optimizer in optimizers.values():
                optimizer.state.clear()

    def objective(batch: Batch, run: Run) -> Tensor:
        assert batch.y is not None
        group = int(groups[batch.index[0].cpu()]) if meta.mask else None
        loss, inner = outer_loss(student, aggregator, experts, batch.x, batch.y, meta, group)
        run.log(inner_loss=inner)
        return loss

    def score(run: Run) -> float:
        return pretended_accuracy(student, aggregator, experts, sources, meta.alpha)

    per_epoch = domain_steps(names, size, smallest)
    run = train(
        objective,
        name="meta",
        nets={"student": student, "aggregator": aggregator, "experts": nn.ModuleList(experts)},
        optimizers=optimizers,
        schedulers={key: epoch_decay(optimizer, per_epoch) for key, optimizer in optimizers.items()},
        batches=domain_batches(sources.learn, names, size, smallest),
        epochs=meta.epochs,
        steps_per_epoch=per_epoch,
        before_epoch=prepare,
        score=score if len(sources.check) else None,
    )
    prepare(run)
    return run


# -- steps 6 and 7: a domain that was never seen, and one that is taken for such ------------------------------------


def adapted(
    student: Classifier,
    aggregator: Aggregator,
    experts: Sequence[Classifier],
    domain: Domain,
    alpha: float,
    without: int | None = None,
) -> Classifier:
    """A copy of the student after one inner step on all samples of `domain`, of which no label is read."""

    def pieces() -> Iterator[tuple[Tensor, Tensor]]:
        device = next(iter(student.parameters())).device
        for start in range(0, len(domain), CHUNK):
            x = tensor(domain, slice(start, start + CHUNK)).to(device)
            with torch.no_grad():
                t = aggregator(tokens(experts, aggregator, x, without))
            yield x, t

    return distilled(student, pieces(), len(domain), alpha)


def pretended_accuracy(
    student: Classifier, aggregator: Aggregator, experts: Sequence[Classifier], sources: Sources, alpha: float
) -> float:
    """Mean accuracy over the held-out parts of the source domains, each adapted to without the expert of its group."""
    names = sources.check.columns["domain"].astype(np.str_)
    accuracies = []
    for name in np.unique(names).tolist():
        part = sources.check.take(names == name)
        network = adapted(student, aggregator, experts, part, alpha, sources.groups[name])
        accuracies.append((outputs(network, part)[1].argmax(dim=1).numpy() == part.labels).mean())
    return float(np.mean(accuracies))

"""What the arms of Meta-DMoE's claim start from: experts, a student, and what is made of them; how all are scored."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unseen.claims.arms import least_seconds
from unseen.claims.base import Result
from unseen.data.domain import Domain
from unseen.data.samplers import Batch, domain_batches, domain_steps, tensor
from unseen.diagnosis.stylistic import separated
from unseen.evaluation.metrics.classification import accuracy
from unseen.methods.adaptation.meta_dmoe import training
from unseen.methods.adaptation.meta_dmoe.aggregator import Aggregator, aggregator, tokens
from unseen.methods.adaptation.meta_dmoe.distillation import distillation_loss
from unseen.methods.adaptation.meta_dmoe.training import Meta, Sources, adapted
from unseen.nn.bn_statistics import batch_norms
from unseen.nn.classifier import Classifier, outputs
from unseen.nn.schedules import epoch_decay
from unseen.nn.train import Run, train

N_EXPERTS = 4
FEW, MORE = 24, 64
"""Unlabeled samples of the unseen domain that the step is taken on."""


def small_network(width: int = 32) -> Classifier:
    """Two convolutions (16 with stride 2, 32) with BatchNorm, 32 features, a linear head, for 16 x 16 pixels."""
    layers: list[nn.Module] = []
    for inputs, channels, stride in ((1, 16, 2), (16, 32, 1)):
        convolution = nn.Conv2d(inputs, channels, 3, stride=stride, padding=1, bias=False)
        layers += [convolution, nn.BatchNorm2d(channels), nn.ReLU()]
    layers.append(nn.AvgPool2d(2))
    bottleneck = nn.Sequential(nn.Linear(32 * 4 * 4, width), nn.BatchNorm1d(width), nn.ReLU())
    return Classifier(nn.Sequential(*layers, nn.Flatten()), bottleneck, nn.Linear(width, 10))


class Start(NamedTuple):
    """Sources, frozen experts, and a student that was trained by itself."""

    sources: Sources
    experts: list[Classifier]
    student: Classifier
    meta: Meta

    def mixed(self, kind: str) -> Aggregator:
        """An aggregator, trained by itself."""
        n_classes, width = self.student.head.weight.shape  # type: ignore[misc]
        mixed = aggregator(kind, width, [width] * len(self.experts))  # type: ignore[arg-type]
        settings = dict(width=width, n_classes=n_classes, epochs=10, rate=1e-3, size=64)
        training.pretrain_aggregator(mixed, self.experts, self.sources, **settings)  # type: ignore[arg-type]
        return mixed

    def learnt(self, mixed: Aggregator, **changes: float | bool) -> Distilled:
        """Student and aggregator after meta-training of copies, with these settings changed."""
        student, mixed = copy.deepcopy(self.student), copy.deepcopy(mixed)
        meta = self.meta._replace(**changes)  # type: ignore[arg-type]
        training.meta_train(student, mixed, self.experts, self.sources, meta)
        return Distilled(self, student, mixed, meta.alpha)

    def longer(self, times: int = 1, *, statistics: bool = False, rate: float | None = None) -> Classifier:
        """The student after as many epochs of ERM as meta-training has, or `times` as many, at its rate or another.

        Batches, rates and held-out samples that choose the epoch are those of meta-training; the loss is on all samples
        of a batch. With `statistics`, BatchNorm has those of the batch, and of each held-out domain: ARM-BN.
        """
        student, meta, learn, check = copy.deepcopy(self.student), self.meta, self.sources.learn, self.sources.check
        names, size, smallest = learn.columns["domain"], meta.support + meta.query, meta.support + 2
        held = separated(check)
        optimizer = torch.optim.Adam(student.parameters(), lr=meta.student_rate if rate is None else rate)
        per_epoch = domain_steps(names, size, smallest)

        def prepare(run: Run) -> None:
            student.train(statistics)
            optimizer.state.clear()

        def objective(batch: Batch, run: Run) -> Tensor:
            assert batch.y is not None
            return F.cross_entropy(student(batch.x), batch.y)

        def score(run: Run) -> float:
            networks = [with_statistics_of(student, d) if statistics else student for d in held]
            return scored(networks, held)["accuracy"]

        train(
            objective,
            name="arm-bn" if statistics else f"erm-{times}",
            nets={"student": student},
            optimizers={"adam": optimizer},
            schedulers={"decay": epoch_decay(optimizer, per_epoch)},
            batches=domain_batches(learn, names, size, smallest),
            epochs=times * meta.epochs,
            steps_per_epoch=per_epoch,
            before_epoch=prepare,
            score=score,
        )
        return student.eval()


def begin(source: Domain, network: Classifier, meta: Meta, seed: int, epochs: int = 15) -> Start:
    """Steps 1 and 4 of the method, as `MetaDMoE.fit` takes them."""
    rng = np.random.default_rng(seed)
    groups = training.split_domains(source.domains, min(N_EXPERTS, len(source.domains)), rng)
    sources = Sources(*training.hold_out(source, 0.2, rng), groups)
    settings = dict(epochs=epochs, rate=1e-3, size=64)
    experts = training.train_experts(network, sources, **settings)  # type: ignore[arg-type]
    student = copy.deepcopy(network)
    training.erm(student, sources.learn, sources.check, name="student", **settings)  # type: ignore[arg-type]
    return Start(sources, experts, student, meta)


class Distilled(NamedTuple):
    """A student and an aggregator, and what they do on unseen domains."""

    start: Start
    student: Classifier
    mixed: Aggregator
    alpha: float

    def on(self, domains: Sequence[Domain], n: int = MORE) -> list[Classifier]:
        """A student per domain, after the step on `n` of its samples."""
        return [adapted(self.student, self.mixed, self.start.experts, first(d, n), self.alpha) for d in domains]

    @torch.no_grad()
    def distance(self, networks: Sequence[Classifier], domains: Sequence[Domain]) -> float:
        """L_in on samples that the step was not taken on, mean over domains."""
        others = [tensor(d.take(shuffled(d)[MORE : 2 * MORE])) for d in domains]
        targets = [self.mixed(tokens(self.start.experts, self.mixed, x)) for x in others]
        distances = [distillation_loss(network.embed(x), t) for network, x, t in zip(networks, others, targets)]
        return float(torch.stack(distances).mean())


def shuffled(domain: Domain) -> np.ndarray:
    """The order in which samples are shown."""
    return np.random.default_rng(0).permutation(len(domain))


def first(domain: Domain, n: int) -> Domain:
    """The samples that are shown, without labels."""
    return domain.take(np.sort(shuffled(domain)[:n])).unlabeled()


def predicted(network: Classifier, domain: Domain) -> np.ndarray:
    """The class of every sample."""
    return outputs(network, domain)[1].argmax(dim=1).numpy()


def scored(networks: Sequence[Classifier], domains: Sequence[Domain]) -> dict[str, float]:
    """Mean accuracy over domains, one network for each."""
    accuracies = [accuracy(d.labels, predicted(network, d)) for network, d in zip(networks, domains)]
    return {"accuracy": float(np.mean(accuracies))}


def vote(experts: Sequence[Classifier], domain: Domain) -> np.ndarray:
    """What all experts together say of every sample, each with its own head."""
    return sum(torch.softmax(outputs(e, domain)[1], dim=1) for e in experts).argmax(dim=1).numpy()  # type: ignore[union-attr]


def with_statistics_of(network: Classifier, domain: Domain) -> Classifier:
    """A copy whose BatchNorm layers hold the statistics of these samples."""
    network = copy.deepcopy(network).eval()
    for layer in batch_norms(network).values():
        layer.momentum = None  # type: ignore[assignment]
        layer.reset_running_stats()  # type: ignore[operator]
        layer.train()
    with torch.no_grad():
        network(tensor(domain))
    return network.eval()


def specialties(start: Start, known: Sequence[Domain]) -> Result:
    """Accuracy on new pictures of the known domains: of the own expert, the others, a student trained as they are."""
    right = np.array([[accuracy(d.labels, predicted(expert, d)) for d in known] for expert in start.experts])
    mask = np.arange(len(right))[:, None] == [start.sources.groups[d.name] for d in known]
    return {
        "own expert": {"known": float(right[mask].mean())},
        "other experts": {"known": float(right[~mask].mean())},
        "student, as long as experts": {"known": scored([start.student] * len(known), known)["accuracy"]},
    }


def seconds(predict: Callable[[Any, Domain], np.ndarray], network: Any, domains: Sequence[Domain]) -> float:
    """To predict all domains: the least of three times."""
    return least_seconds(lambda: [predict(network, domain) for domain in domains], 3)

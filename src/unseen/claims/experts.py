"""What the arms of Meta-DMoE's claim start from: experts, a student, and what is made of them; how all are scored."""

from __future__ import annotations

import copy
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unseen.claims.arms import least_seconds, timed
from unseen.claims.base import Result
from unseen.claims.letters import letters
from unseen.claims.styles import in_styles
from unseen.data.domain import Domain
from unseen.data.samplers import Batch, domain_batches, domain_steps, tensor
from unseen.diagnosis.stylistic import separated
from unseen.evaluation.metrics.classification import accuracy
from unseen.methods.adaptation.meta_dmoe import training
from unseen.methods.adaptation.meta_dmoe.aggregator import Aggregator, aggregator, tokens
from unseen.methods.adaptation.meta_dmoe.distillation import distillation_loss
from unseen.methods.adaptation.meta_dmoe.training import Meta, Sources, adapted, pretended_accuracy
from unseen.nn.bn_statistics import batch_norms
from unseen.nn.classifier import Classifier, Standardizer, outputs
from unseen.nn.logistic import fit_logistic
from unseen.nn.schedules import epoch_decay
from unseen.nn.train import Run, train
from unseen.runtime import reproducible

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


# -- beside what is simpler and sees the same: letters in ways of drawing never seen, costs and tuning equal

Model = TypeVar("Model")

META = Meta(1e-3, FEW, 16, 1e-3, 1e-3, epochs=14, mask=True, first_order=False, fresh_adam=True)
STEPS = (1e-3, 3e-3)
"""Inner steps of Meta-DMoE that are tried; held-out samples of the source choose, here and in what follows."""
RATES = (1e-3, 3e-3)
"""Rates of Adam that are tried for plain training, and for training with the statistics of each batch."""
EPOCHS: Mapping[str, int] = {"erm": 6, "arm-bn": 5}
"""Times the epochs of meta-training: what takes the processor time of all stages of Meta-DMoE.

Measured in development; the metric `processor` is the seconds of one candidate and of all that comes before it.
"""
PENALTIES = (0.01, 0.1, 1.0, 10.0)
"""Inverse strengths of the L2 penalty of logistic regression."""


def letter_domains(case: str, seed: int) -> tuple[Domain, list[Domain]]:
    """Twelve source domains, and six unseen ones of other pictures; a case is `LETTERS FAMILY`."""
    text, family = case.split()
    domain = letters(text, 10)
    return in_styles(np.asarray(domain.x)[:, 0], domain.labels, family, seed)[:2]


def run(case: str, seed: int) -> Result:
    """All arms from one start, two candidates each; all that adapt see the same samples of an unseen domain."""
    with reproducible(seed):
        source, unseen = letter_domains(case, seed)
        begun = time.process_time()
        start = begin(source, small_network(), META, seed)
        # the experts together see as many samples as the student: plain training needs half of this
        trained = time.process_time() - begun
        mixed = start.mixed("transformer")
        all_stages = time.process_time() - begun
        held = separated(start.sources.check)

        full, meta = best(
            [functools.partial(start.learnt, mixed, alpha=alpha) for alpha in STEPS],
            lambda candidate: pretended_accuracy(
                candidate.student, candidate.mixed, start.experts, start.sources, candidate.alpha
            ),
        )
        plain, erm = best(
            [functools.partial(start.longer, EPOCHS["erm"], rate=rate) for rate in RATES],
            lambda network: scored([network] * len(held), held)["accuracy"],
        )
        batch, arm_bn = best(
            [functools.partial(start.longer, EPOCHS["arm-bn"], rate=rate, statistics=True) for rate in RATES],
            lambda network: scored([with_statistics_of(network, d) for d in held], held)["accuracy"],
        )
        shown = [first(domain, MORE) for domain in unseen]
        return {
            "full": scored(full.on(unseen), unseen) | {"processor": all_stages + meta},
            "full, before the step": scored([full.student] * len(unseen), unseen),
            "nothing": scored([start.student] * len(unseen), unseen),
            "erm": scored([plain] * len(unseen), unseen) | {"processor": trained / 2 + erm},
            "erm, its statistics": scored([with_statistics_of(plain, d) for d in shown], unseen),
            "erm, standardize": {"accuracy": standardized(plain, start.sources.learn, held, shown, unseen)},
            "arm-bn": scored([with_statistics_of(batch, d) for d in shown], unseen)
            | {"processor": trained / 2 + arm_bn},
        }


def best(candidates: Sequence[Callable[[], Model]], score: Callable[[Model], float]) -> tuple[Model, float]:
    """The candidate with the best score, the earlier of equals, and the mean seconds of processor time of training."""
    models, spent = timed(lambda: [candidate() for candidate in candidates])
    return max(models, key=score), spent / len(models)


def standardized(
    network: Classifier, learn: Domain, held: Sequence[Domain], shown: Sequence[Domain], unseen: Sequence[Domain]
) -> float:
    """Accuracy of logistic regression on a network's features, which each domain standardizes with its own samples.

    The penalty is the one that is best on `held`.
    """

    def own(samples: Domain, domain: Domain) -> torch.Tensor:
        z = outputs(network, samples)[0]
        return Standardizer(z.shape[1]).measure(z)(outputs(network, domain)[0])

    known = separated(learn)
    x, y = torch.cat([own(d, d) for d in known]), np.concatenate([d.labels for d in known])
    fitted = [fit_logistic(x, y, int(y.max()) + 1, C=penalty, standardize=False) for penalty in PENALTIES]

    def graded(model: Classifier, samples: Sequence[Domain], domains: Sequence[Domain]) -> float:
        accuracies = [accuracy(d.labels, model(own(s, d)).argmax(dim=1).numpy()) for s, d in zip(samples, domains)]
        return float(np.mean(accuracies))

    return graded(max(fitted, key=lambda model: graded(model, held, held)), shown, unseen)

"""Meta-DMoE's claim: handwritten and printed digits in ways of drawing never seen, and vendors' emoji."""

from __future__ import annotations

import copy
import functools
import hashlib
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unseen.claims.base import (
    Assertion,
    Claim,
    Condition,
    Experiment,
    at_least,
    better,
    effect,
    mechanism,
    not_testable,
    paper_scale,
    promised,
    wins,
)
from unseen.claims.shifts import subgroups as features
from unseen.data.domain import Domain, concatenate
from unseen.data.samplers import Batch, domain_batches, domain_steps, tensor
from unseen.evaluation.metrics.classification import accuracy
from unseen.methods.adaptation.meta_dmoe.aggregator import Aggregator, aggregator, tokens
from unseen.methods.adaptation.meta_dmoe.distillation import distillation_loss
from unseen.methods.adaptation.meta_dmoe.training import (
    Meta,
    Sources,
    adapted,
    erm,
    hold_out,
    meta_train,
    pretended_accuracy,
    pretrain_aggregator,
    split_domains,
    train_experts,
)
from unseen.nn.bn_statistics import batch_norms
from unseen.nn.classifier import Classifier, mlp_classifier, outputs
from unseen.nn.schedules import epoch_decay
from unseen.nn.train import Run, train
from unseen.runtime import reproducible

Table = dict[str, dict[str, float]]

N_EXPERTS = 4
FEW, MORE = 24, 64
"""Unlabeled samples of the unseen domain that the step is taken on."""
ALPHAS = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
"""Steps of plain distillation, of which each cell takes the one that is best on the source."""
COST = 5
"""Epochs of ERM that cost what an epoch of meta-training and its share of all else cost.

In passes of a sample through a network, forward 1 and backward 2: ERM 3; 15 epochs of experts 45; 10 of the aggregator,
which four experts feed, 40; 14 of meta-training 118, where 24 of 40 samples pass three experts and the student twice.
"""


# -- data: digits --------------------------------------------------------------------------------------------


class Style(NamedTuple):
    """A way of drawing: turned, slanted, stretched, in white on black, pale, blurred, noisy."""

    turn: float = 0.0
    slant: float = 0.0
    stretch: float = 1.0
    inverted: bool = False
    pale: bool = False
    blur: float = 0.0
    noise: float = 0.0


INKS = (Style(), Style(inverted=True), Style(blur=1.0, noise=0.2), Style(pale=True, noise=0.1))


def inked(style: Style, ink: Style) -> Style:
    """The shape of one style in the ink of another."""
    return ink._replace(turn=style.turn, slant=style.slant, stretch=style.stretch)


def styles(family: str) -> tuple[list[Style], list[Style]]:
    """Twelve styles of source domains and six of unseen ones.

    turned FROM: every 30 degrees from FROM, unseen halfway between; inked, slanted, stretched: three or four shapes in
    three or four inks, unseen other shapes in inks mixed otherwise.
    """
    kind, *words = family.split("-")
    if kind == "turned":
        a = float(words[0])
        return [Style(turn=a + 30 * i) for i in range(12)], [Style(turn=a + 15 + 60 * i) for i in range(6)]
    shapes = {
        "inked": ([Style(turn=t) for t in (-40.0, 0.0, 40.0)], [Style(turn=t) for t in (-20.0, 20.0, 55.0)]),
        "slanted": ([Style(slant=s) for s in (-0.6, 0.0, 0.6)], [Style(slant=s) for s in (-0.3, 0.3, 0.8)]),
        "stretched": ([Style(stretch=s) for s in (0.6, 1.0, 1.5)], [Style(stretch=s) for s in (0.8, 1.25, 1.7)]),
    }
    known, unseen = shapes[kind]
    mixed = [Style(inverted=True, blur=0.7), Style(pale=True)]
    return [inked(s, ink) for s in known for ink in INKS], [inked(s, ink) for s in unseen for ink in mixed]


def drawn(images: np.ndarray, style: Style, rng: np.random.Generator) -> np.ndarray:
    """Pictures (n, 16, 16), 0 for paper and 1 for ink, in a style."""
    from scipy.ndimage import affine_transform, gaussian_filter

    a = np.deg2rad(style.turn)
    shape = np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]]) @ np.array([[1.0, 0.0], [style.slant, 1.0]])
    matrix = np.eye(3)
    matrix[1:, 1:] = np.diag([style.stretch, 1 / style.stretch]) @ shape
    centre = np.array([0.0, 7.5, 7.5])
    x = affine_transform(images, matrix, offset=centre - matrix @ centre, order=1)
    x = gaussian_filter(x, (0, style.blur, style.blur)) if style.blur else x
    x = 1 - x if style.inverted else x
    x = 0.5 * x + 0.2 if style.pale else x
    return x + rng.normal(0, style.noise, x.shape) if style.noise else x


@functools.cache
def digits(kind: str, half: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures and labels of half of the handwritten digits, or of half of the fonts of the printed ones, by a hash."""
    from unseen.data.sources import digits as read

    domain = read(kind, size=16, copies=10, flat=True)
    units = domain.columns.get("font", domain.ids)
    own = np.array([int(hashlib.sha256(str(unit).encode()).hexdigest(), 16) % 2 == half for unit in units.tolist()])  # type: ignore[union-attr]
    return np.asarray(domain.x)[own].reshape(-1, 16, 16), domain.labels[own]


def digit_domains(case: str, seed: int) -> tuple[Domain, list[Domain], list[Domain]]:
    """Source of twelve domains; of other pictures, six unseen domains and the twelve; a case is `KIND HALF FAMILY`."""
    kind, half, family = case.split()
    images, y = digits(kind, int(half))
    rng = np.random.default_rng(seed)
    parts = np.split(rng.permutation(len(y)), [2 * len(y) // 3])

    def domain(style: Style, part: int, n: int, name: str) -> Domain:
        chosen = rng.choice(parts[part], min(n, len(parts[part])), replace=False)
        x = drawn(images[chosen], style, rng)[:, None].astype(np.float32)
        return Domain(x=x, y=y[chosen], kind="image", name=name)

    known, unseen = styles(family)
    source = concatenate([domain(style, 0, 200, f"source {i}") for i, style in enumerate(known)])
    new = [domain(style, 1, 300, f"unseen {i}") for i, style in enumerate(unseen)]
    return source, new, [domain(style, 1, 300, f"source {i}") for i, style in enumerate(known)]


def small_network(width: int = 32) -> Classifier:
    """Two convolutions (16 with stride 2, 32) with BatchNorm, 32 features, a linear head, for 16 x 16 pixels."""
    layers: list[nn.Module] = []
    for inputs, channels, stride in ((1, 16, 2), (16, 32, 1)):
        convolution = nn.Conv2d(inputs, channels, 3, stride=stride, padding=1, bias=False)
        layers += [convolution, nn.BatchNorm2d(channels), nn.ReLU()]
    layers.append(nn.AvgPool2d(2))
    bottleneck = nn.Sequential(nn.Linear(32 * 4 * 4, width), nn.BatchNorm1d(width), nn.ReLU())
    return Classifier(nn.Sequential(*layers, nn.Flatten()), bottleneck, nn.Linear(width, 10))


# -- data: emoji ---------------------------------------------------------------------------------------------


VENDORS = {
    "development": ("noto", "twemoji", "openmoji", "fluent-emoji-flat", "emojione"),
    "confirmation": ("noto-v1", "fluent-emoji", "fluent-emoji-high-contrast", "emojione-v1", "emojione-monotone"),
}


def emoji_domains(case: str, seed: int) -> tuple[Domain, list[Domain]]:
    """Four vendors and a fifth; a case is `SPLIT VENDOR`."""
    split, left_out = case.split()
    known = [vendor for vendor in VENDORS[split] if vendor != left_out]
    return concatenate([features(vendor) for vendor in known]), [features(left_out)]


# -- what all arms start from ----------------------------------------------------------------------------------


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
        pretrain_aggregator(mixed, self.experts, self.sources, **settings)  # type: ignore[arg-type]
        return mixed

    def learnt(self, mixed: Aggregator, **changes: float | bool) -> Distilled:
        """Student and aggregator after meta-training of copies, with these settings changed."""
        student, mixed = copy.deepcopy(self.student), copy.deepcopy(mixed)
        meta = self.meta._replace(**changes)  # type: ignore[arg-type]
        meta_train(student, mixed, self.experts, self.sources, meta)
        return Distilled(self, student, mixed, meta.alpha)

    def longer(self, times: int = 1, *, statistics: bool = False) -> Classifier:
        """The student after as many epochs of ERM as meta-training has, or `times` as many.

        Batches, rates and held-out samples that choose the epoch are those of meta-training; the loss is on all samples
        of a batch. With `statistics`, BatchNorm has those of the batch, and of each held-out domain: ARM-BN.
        """
        student, meta, learn, check = copy.deepcopy(self.student), self.meta, self.sources.learn, self.sources.check
        names, size, smallest = learn.columns["domain"], meta.support + meta.query, meta.support + 2
        held = [check.take(check.columns["domain"] == name) for name in check.domains]
        optimizer = torch.optim.Adam(student.parameters(), lr=meta.student_rate)
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
    groups = split_domains(source.domains, min(N_EXPERTS, len(source.domains)), rng)
    sources = Sources(*hold_out(source, 0.2, rng), groups)
    settings = dict(epochs=epochs, rate=1e-3, size=64)
    experts = train_experts(network, sources, **settings)  # type: ignore[arg-type]
    student = copy.deepcopy(network)
    erm(student, sources.learn, sources.check, name="student", **settings)  # type: ignore[arg-type]
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
        found = [distillation_loss(network.embed(x), t) for network, x, t in zip(networks, others, targets)]
        return float(torch.stack(found).mean())


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
    found = [accuracy(d.labels, predicted(network, d)) for network, d in zip(networks, domains)]
    return {"accuracy": float(np.mean(found))}


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


def specialties(start: Start, known: Sequence[Domain]) -> Table:
    """Accuracy on new pictures of the known domains: of the own expert, the others, a student trained as they are."""
    right = np.array([[accuracy(d.labels, predicted(expert, d)) for d in known] for expert in start.experts])
    own = np.arange(len(right))[:, None] == [start.sources.groups[d.name] for d in known]
    return {
        "own expert": {"known": float(right[own].mean())},
        "other experts": {"known": float(right[~own].mean())},
        "student, as long as experts": {"known": scored([start.student] * len(known), known)["accuracy"]},
    }


def seconds(predict: Callable[[Any, Domain], np.ndarray], network: Any, domains: Sequence[Domain]) -> float:
    """To predict all domains: the least of three times."""
    found = []
    for _ in range(3):
        started = time.perf_counter()
        for domain in domains:
            predict(network, domain)
        found.append(time.perf_counter() - started)
    return min(found)


# -- experiments -----------------------------------------------------------------------------------------------


def run_digits(case: str, seed: int) -> Table:
    """All arms from one start."""
    meta = Meta(1e-3, FEW, 16, 1e-3, 1e-3, epochs=14, mask=True, first_order=False, fresh_adam=True)
    with reproducible(seed):
        source, unseen, known = digit_domains(case, seed)
        start = begin(source, small_network(), meta, seed)
        mixed = start.mixed("transformer")
        table, full, single = main_arms(start, mixed, unseen)
        held = {a: pretended_accuracy(single, mixed, start.experts, start.sources, a) for a in ALPHAS}
        others = {
            "no inner step": start.learnt(mixed, alpha=0.0),
            "aggregator not meta-learnt": start.learnt(mixed, aggregator_rate=0.0),
            "no mask": start.learnt(mixed, mask=False),
            "plain distillation": Distilled(start, single, mixed, max(held, key=held.__getitem__)),
            **{kind: start.learnt(start.mixed(kind)) for kind in ("average", "weighted")},
        }
        table |= {arm: scored(other.on(unseen), unseen) for arm, other in others.items()}
        table["erm, at equal cost"] = scored([start.longer(COST)] * len(unseen), unseen)
        arm_bn = start.longer(statistics=True)
        table["arm-bn"] = scored([with_statistics_of(arm_bn, first(d, MORE)) for d in unseen], unseen)
        voted = float(np.mean([accuracy(d.labels, vote(start.experts, d)) for d in unseen]))
        table["experts' vote"] = {"accuracy": voted, "seconds": seconds(vote, start.experts, unseen)}
        table["full"]["seconds"] = seconds(predicted, full.student, unseen)
        table["erm, known domains"] = scored([single] * len(known), known)
        return table | specialties(start, known)


def run_emoji(case: str, seed: int) -> Table:
    """The main arms with perceptrons on cached features."""
    meta = Meta(0.03, FEW, 16, 3e-4, 1e-3, epochs=5, mask=True, first_order=False, fresh_adam=True)
    with reproducible(seed):
        source, unseen = emoji_domains(case, seed)
        network = mlp_classifier(source.n_features, len(source.classes), 64)  # type: ignore[arg-type]
        start = begin(source, network, meta, seed, epochs=8)
        return main_arms(start, start.mixed("transformer"), unseen)[0]


def main_arms(start: Start, mixed: Aggregator, unseen: list[Domain]) -> tuple[Table, Distilled, Classifier]:
    """The method, with and without its step, and the single model."""
    full, single = start.learnt(mixed), start.longer()
    before, after = [full.student] * len(unseen), full.on(unseen)
    table = {
        "full": scored(after, unseen) | {"distance": full.distance(after, unseen)},
        "full, before the step": scored(before, unseen) | {"distance": full.distance(before, unseen)},
        "full, 24 samples": scored(full.on(unseen, FEW), unseen),
        "full, all samples": scored(full.on(unseen, len(unseen[0])), unseen),
        "erm": scored([single] * len(unseen), unseen),
    }
    if len(unseen) > 1:
        table["full, step on another domain"] = scored([*after[1:], after[0]], unseen)
    few, every, none = (table[f"full, {arm}"]["accuracy"] for arm in ("24 samples", "all samples", "before the step"))
    table["full, 24 samples"]["share_of_gain"] = (few - none) / (every - none) if every > none else 0.0
    return table, full, single


# -- the ledger --------------------------------------------------------------------------------------------------


def beats(other: str, *, by: float = 0.0, metric: str = "accuracy", lower: bool = False) -> Condition:
    """The full method is better than another arm on unseen domains."""
    return better("full", other, metric=metric, by=by, lower=lower)


# fmt: off
LEDGER: tuple[Assertion, ...] = (
    effect("digits", better("erm, known domains", "erm", "accuracy", by=0.02),
        "Domain shift is tackled: a single model does worse on unseen domains than on new samples of its own."),
    not_testable("Most methods train a single model on several domains and use it on every unseen one.",
        "It is about the state of the field in 2022."),
    effect("digits", beats("erm", by=0.01),
        "A single model for all is not optimal: Meta-DMoE is better than one with the same samples, steps and "
        "choice of the epoch."),
    effect("digits", wins("full", "erm", "accuracy", of=0.75),
        "Meta-DMoE is better than a single model of as many steps in three of four pairs of case and seed."),
    effect("digits", beats("erm, at equal cost"),
        "Meta-DMoE is better than a single model that is trained at the cost of all networks."),
    effect("digits", beats("full, step on another domain"),
        "Each target has its own specialty: a step on samples of another domain is worse than one on its own."),
    effect("digits", better("own expert", "student, as long as experts", "known"),
        "A single model learns less than all there is: each expert knows its own domains better than it does."),
    mechanism("digits", better("own expert", "other experts", "known", by=0.05),
        "Each expert is trained on other domains to maximize its specialty: it knows its own best."),
    mechanism("digits", beats("full, before the step", metric="distance", lower=True),
        "The step is knowledge distillation: after it, other samples' features are nearer to what the experts say."),
    mechanism("digits", beats("full, before the step"),
        "What the experts say supervises the student: one step without labels makes it more accurate."),
    promised("digits", better("full, 24 samples", "full, before the step", "accuracy", by=0.01),
        "A small set of unlabeled samples suffices: with 24, the student is better than without the step."),
    effect("digits", at_least("full, 24 samples", "share_of_gain", 0.5),
        "With 24 samples the step gains more than half of what it gains with all samples of the domain."),
    effect("digits", better("full, 24 samples", "erm", "accuracy"),
        "With 24 samples the adapted student is better than the single model."),
    effect("digits", beats("average"),
        "The transformer combines the experts better than their average."),
    effect("digits", beats("weighted"),
        "The experts' interconnection counts: the transformer is better than their weighted sum."),
    effect("digits", beats("aggregator not meta-learnt"),
        "Meta-learning makes the aggregator distil what helps: better than one that rests meanwhile."),
    effect("digits", beats("plain distillation"),
        "Meta-learning makes adaptation fast: better than a step of plain distillation, its length chosen on the "
        "source, from a student trained as long."),
    promised("digits", beats("no inner step"),
        "Each component counts: without the inner step it is worse."),
    effect("digits", beats("no mask"),
        "Each component counts: without leaving out the domain's own expert in training it is worse."),
    effect("digits", beats("arm-bn"),
        "Meta-DMoE is superior to ARM-BN, trained in the same batches, as long, its epoch chosen likewise."),
    effect("digits", beats("experts' vote"),
        "The student is better than all its experts together."),
    effect("digits", beats("experts' vote", metric="seconds", lower=True),
        "The student takes less time for a prediction than the experts do."),
    effect("emoji", beats("erm"),
        "Meta-DMoE is better than the single model on vendors' emoji (cached features)."),
    effect("emoji", beats("full, before the step"),
        "The step without labels makes the student more accurate on vendors' emoji (cached features)."),
    paper_scale("Better than the state of the art on WILDS (iWildCam 77.2 % accuracy, Camelyon17 91.4 %).",
        "WILDS is not at hand. With a split as a Domain with a column `domain` and a ResNet-50 as `model`: "
        "MetaDMoE(n_experts=10, heads=16, support_size=24, query_size=16, alpha=3e-4, student_rate=3e-5, "
        "aggregator_rate=1e-6, epochs=20), then adapt on the first batch of each test domain; not run."),
    not_testable("The code is public.",
        "It is at github.com/n3il666/Meta-DMoE; the card says where this one differs."),
)
# fmt: on

claim = Claim(
    slug="meta-dmoe",
    licences=(
        "Digits: Alpaydin and Kaynak, UCI, in scikit-learn",
        "Fonts: DejaVu, STIX and Computer Modern, as matplotlib ships them",
        "Emoji: Noto (Apache-2.0), Twemoji and EmojiOne 1 and 2 (CC BY 4.0), OpenMoji (CC BY-SA 4.0), Fluent (MIT)",
    ),
    experiments={
        "digits": Experiment(
            run=run_digits,
            development=("handwritten 0 turned-0", "handwritten 0 inked", "printed 0 turned-0", "printed 0 inked"),
            confirmation=(
                "handwritten 1 turned-7",
                "handwritten 1 slanted",
                "handwritten 1 stretched",
                "printed 1 slanted",
                "printed 1 stretched",
            ),
            seeds=(0, 1),
            fresh_seeds=(100, 101),
            unit="twelve known ways of drawing and six unseen ones",
        ),
        "emoji": Experiment(
            run=run_emoji,
            development=("development openmoji", "development twemoji"),
            confirmation=tuple(f"confirmation {vendor}" for vendor in VENDORS["confirmation"]),
            seeds=(0, 1),
            fresh_seeds=(100, 101),
            unit="vendor that is left out",
        ),
    },
    ledger=LEDGER,
)

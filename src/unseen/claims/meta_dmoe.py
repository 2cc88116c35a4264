"""Meta-DMoE's claim: handwritten and printed digits in ways of drawing never seen, and vendors' emoji."""

from __future__ import annotations

import copy
import functools
import hashlib
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unseen.claims.base import Assertion, Claim, Experiment, at_least, better, equals, not_worse
from unseen.claims.shifts import subgroups as features
from unseen.data.domain import Domain, concatenate
from unseen.data.samplers import Batch, domain_batches, domain_steps, tensor
from unseen.evaluation.metrics.classification import accuracy
from unseen.methods.adaptation.meta_dmoe import MetaDMoE
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
from unseen.methods.base import signatures
from unseen.nn.bn_statistics import batch_norms
from unseen.nn.classifier import Classifier, mlp_classifier, outputs
from unseen.nn.train import Run, train
from unseen.runtime import reproducible

Table = dict[str, dict[str, float]]

N_EXPERTS = 4
FEW, MORE = 24, 64
"""Unlabeled samples of the unseen domain that the step is taken on."""
ALPHAS = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
"""Steps of plain distillation, of which each cell takes the one that is best on the source."""


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
        start = float(words[0])
        return (
            [Style(turn=start + 30 * i) for i in range(12)],
            [Style(turn=start + 15 + 60 * i) for i in range(6)],
        )
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


def digit_domains(case: str, seed: int) -> tuple[Domain, list[Domain]]:
    """Source with twelve domains, and unseen domains of other pictures; a case is `KIND HALF FAMILY`."""
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
    return source, [domain(style, 1, 300, f"unseen {i}") for i, style in enumerate(unseen)]


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
    n_classes: int

    def mixed(self, kind: str) -> Aggregator:
        """An aggregator, trained by itself."""
        width = int(self.student.head.in_features)  # type: ignore[arg-type]
        mixed = aggregator(kind, width, [width] * len(self.experts))  # type: ignore[arg-type]
        settings = dict(width=width, n_classes=self.n_classes, epochs=10, rate=1e-3, size=64)
        pretrain_aggregator(mixed, self.experts, self.sources, **settings)  # type: ignore[arg-type]
        return mixed

    def learnt(self, mixed: Aggregator, **changes: float | bool) -> tuple[Classifier, Aggregator]:
        """Student and aggregator after meta-training of copies."""
        student, mixed = copy.deepcopy(self.student), copy.deepcopy(mixed)
        meta_train(student, mixed, self.experts, self.sources, self.meta._replace(**changes))  # type: ignore[arg-type]
        return student, mixed


def begin(source: Domain, network: Classifier, meta: Meta, seed: int, epochs: int = 15) -> Start:
    """Steps 1 and 4 of the method, as `MetaDMoE.fit` takes them."""
    rng = np.random.default_rng(seed)
    groups = split_domains(source.domains, min(N_EXPERTS, len(source.domains)), rng)
    sources = Sources(*hold_out(source, 0.2, rng), groups)
    settings = dict(epochs=epochs, rate=1e-3, size=64)
    experts = train_experts(network, sources, **settings)  # type: ignore[arg-type]
    student = copy.deepcopy(network)
    erm(student, sources.learn, sources.check, name="student", **settings)  # type: ignore[arg-type]
    return Start(sources, experts, student, meta, network.head.out_features)  # type: ignore[arg-type]


def predicted(network: Classifier, domain: Domain) -> np.ndarray:
    """The class of every sample."""
    return outputs(network, domain)[1].argmax(dim=1).numpy()


def first(domain: Domain, n: int) -> Domain:
    """The samples that are shown without labels; domains are shuffled."""
    order = np.random.default_rng(0).permutation(len(domain))
    return domain.take(np.sort(order[:n])).unlabeled()


def scored(networks: Sequence[Classifier], domains: Sequence[Domain]) -> dict[str, float]:
    """Mean and worst accuracy over domains, one network for each."""
    found = [accuracy(d.labels, predicted(network, d)) for network, d in zip(networks, domains)]
    return {"accuracy": float(np.mean(found)), "worst": min(found)}


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


def arm_bn(start: Start) -> Classifier:
    """A student that goes on learning, as long as in meta-training, with the statistics of each batch of one domain."""
    student = copy.deepcopy(start.student).train()
    names = start.sources.learn.columns["domain"]
    size, smallest = start.meta.support + start.meta.query, start.meta.support + 2
    optimizer = torch.optim.Adam(student.parameters(), lr=start.meta.student_rate)

    def objective(batch: Batch, run: Run) -> Tensor:
        assert batch.y is not None
        return F.cross_entropy(student(batch.x), batch.y)

    train(
        objective,
        name="arm-bn",
        nets={"student": student},
        optimizers={"adam": optimizer},
        batches=domain_batches(start.sources.learn, names, size, smallest),
        epochs=start.meta.epochs,
        steps_per_epoch=domain_steps(names, size, smallest),
    )
    return student.eval()


class Distilled(NamedTuple):
    """A student and an aggregator, and what they do on unseen domains."""

    start: Start
    student: Classifier
    mixed: Aggregator
    alpha: float

    def on(self, domains: Sequence[Domain], n: int) -> list[Classifier]:
        """A student per domain, after the step on `n` of its samples."""
        return [adapted(self.student, self.mixed, self.start.experts, first(d, n), self.alpha) for d in domains]

    def distance(self, networks: Sequence[Classifier], domains: Sequence[Domain], n: int) -> float:
        """L_in on samples that the step was not taken on, mean over domains."""
        found = []
        for network, domain in zip(networks, domains):
            order = np.random.default_rng(0).permutation(len(domain))
            x = tensor(domain.take(order[n : n + 64]))
            with torch.no_grad():
                t = self.mixed(tokens(self.start.experts, self.mixed, x))
                found.append(float(distillation_loss(network.embed(x), t)))
        return float(np.mean(found))


def plain(start: Start, mixed: Aggregator) -> Distilled:
    """No meta-training; the length of the step is the best of `ALPHAS` on held-out samples of the source."""
    held = {a: pretended_accuracy(start.student, mixed, start.experts, start.sources, a) for a in ALPHAS}
    return Distilled(start, start.student, mixed, max(held, key=held.__getitem__))


def specialties(start: Start) -> Table:
    """Accuracy on held-out samples of the source: of the own expert, of the other experts, of the single model."""
    check = start.sources.check
    right = np.stack([predicted(expert, check) == check.labels for expert in start.experts])
    own = np.arange(len(start.experts))[:, None] == start.sources.group_of(check)
    return {
        "own expert": {"source_accuracy": float(right[own].mean())},
        "other experts": {"source_accuracy": float(right[~own].mean())},
        "erm": {"source_accuracy": accuracy(check.labels, predicted(start.student, check))},
    }


def vote(start: Start, domains: Sequence[Domain]) -> dict[str, float]:
    """All experts together, each with its own head, on every sample: what the student stands in for."""
    found = []
    for domain in domains:
        p = sum(torch.softmax(outputs(expert, domain)[1], dim=1) for expert in start.experts)
        found.append(accuracy(domain.labels, p.argmax(dim=1).numpy()))  # type: ignore[union-attr]
    return {"accuracy": float(np.mean(found)), "worst": min(found)}


def costs(start: Start, full: Distilled, domain: Domain) -> dict[str, float]:
    """Seconds of one adaptation, and how many weights experts and aggregator have for one of the student."""
    started = time.perf_counter()
    full.on([domain], FEW)
    seconds = time.perf_counter() - started
    student, *others = (
        sum(p.numel() for p in network.parameters()) for network in (start.student, *start.experts, full.mixed)
    )
    return {"adaptation_seconds": seconds, "weights_of_experts": sum(others) / student}


# -- experiments -----------------------------------------------------------------------------------------------


def run_digits(case: str, seed: int) -> Table:
    """All arms from one start."""
    meta = Meta(1e-3, FEW, 16, 1e-3, 1e-3, epochs=14, mask=True, first_order=False, fresh_adam=True)
    with reproducible(seed):
        source, unseen = digit_domains(case, seed)
        start = begin(source, small_network(), meta, seed)
        table = arms(start, unseen)
        for kind in ("average", "max", "weighted"):
            other = Distilled(start, *start.learnt(start.mixed(kind)), meta.alpha)
            table[kind] = scored(other.on(unseen, MORE), unseen)
        statistics = arm_bn(start)
        table["arm-bn"] = scored([with_statistics_of(statistics, first(d, MORE)) for d in unseen], unseen)
        table["erm"]["drop"] = table["erm"]["source_accuracy"] - table["erm"]["accuracy"]
        table["erm, target statistics"] = scored(
            [with_statistics_of(start.student, first(d, MORE)) for d in unseen], unseen
        )
        return table


def run_emoji(case: str, seed: int) -> Table:
    """The same with perceptrons on cached features, without the other aggregators."""
    meta = Meta(0.03, FEW, 16, 3e-4, 1e-3, epochs=5, mask=True, first_order=False, fresh_adam=True)
    with reproducible(seed):
        source, unseen = emoji_domains(case, seed)
        network = mlp_classifier(source.n_features, len(source.classes), 64)  # type: ignore[arg-type]
        start = begin(source, network, meta, seed, epochs=8)
        return arms(start, unseen)


def arms(start: Start, unseen: list[Domain]) -> Table:
    """What both experiments ask."""
    mixed = start.mixed("transformer")
    full = Distilled(start, *start.learnt(mixed), start.meta.alpha)
    after = full.on(unseen, MORE)
    table = {
        "full": scored(after, unseen) | costs(start, full, unseen[0]),
        f"full, {FEW} samples": scored(full.on(unseen, FEW), unseen),
        "full, all samples": scored(full.on(unseen, len(unseen[0])), unseen),
        "full, before the step": scored([full.student] * len(unseen), unseen),
        "erm": scored([start.student] * len(unseen), unseen),
        "plain distillation": scored(plain(start, mixed).on(unseen, MORE), unseen),
        "experts' vote": vote(start, unseen),
    }
    for arm, networks in (("full", after), ("full, before the step", [full.student] * len(unseen))):
        table[arm]["distance"] = full.distance(networks, unseen, MORE)
    longer, _ = start.learnt(mixed, alpha=0.0)
    table["erm, trained longer"] = scored([longer] * len(unseen), unseen)
    variants: Mapping[str, Mapping[str, bool]] = {"no mask": {"mask": False}, "first order": {"first_order": True}}
    for arm, changes in variants.items():
        other = Distilled(start, *start.learnt(mixed, **changes), start.meta.alpha)
        table[arm] = scored(other.on(unseen, MORE), unseen)
        table[arm]["aggregator_moved"] = moved(mixed, other.mixed)
    table["full"]["aggregator_moved"] = moved(mixed, full.mixed)
    words = {word for way in signatures(MetaDMoE) for word in way.required}
    table["full"]["other_inputs"] = float(len(words - {"source", "target"}))
    for arm, metrics in specialties(start).items():
        table.setdefault(arm, {}).update(metrics)
    return table


def moved(before: Aggregator, after: Aggregator) -> float:
    """1 if any weight of the aggregator changed in meta-training."""
    pairs = zip(before.parameters(), after.parameters())
    return float(any(not torch.equal(a, b) for a, b in pairs))


# -- the ledger --------------------------------------------------------------------------------------------------


def digits_effect(text: str, other: str, *, by: float = 0.0, promised: bool = False) -> Assertion:
    """The full method against another arm on the unseen domains of digits."""
    return Assertion(
        text=text,
        level="effect",
        experiment="digits",
        holds=better("full", other, metric="accuracy", by=by),
        promised=promised,
    )


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
            seeds=(0,),
            fresh_seeds=(100,),
            unit="twelve known ways of drawing and six unseen ones",
        ),
        "emoji": Experiment(
            run=run_emoji,
            development=("development openmoji", "development twemoji"),
            confirmation=tuple(f"confirmation {vendor}" for vendor in VENDORS["confirmation"]),
            seeds=(0,),
            fresh_seeds=(100,),
            unit="vendor that is left out",
        ),
    },
    parts=("unseen.claims.shifts",),
    ledger=(
        Assertion(
            text="Domain shift is tackled: a single model does worse on unseen domains than on its own.",
            level="effect",
            experiment="digits",
            holds=at_least("erm", metric="drop", value=0.02),
        ),
        Assertion(
            text="Most methods train a single model on several domains and use it on every unseen one.",
            level="not testable",
            reason="It is about the state of the field in 2022.",
        ),
        digits_effect(
            "That is not optimal, since a target has its own specialty: adapting is better than the single model.",
            "erm",
            by=0.01,
            promised=True,
        ),
        Assertion(
            text="The worst of the unseen domains gains, too.",
            level="effect",
            experiment="digits",
            holds=better("full", "erm", metric="worst"),
        ),
        digits_effect(
            "Nor is it the longer training: the same without the inner step (alpha = 0) is worse.",
            "erm, trained longer",
            promised=True,
        ),
        Assertion(
            text="A single model learns less than all there is: each expert knows its own domains better than it does.",
            level="effect",
            experiment="digits",
            holds=better("own expert", "erm", metric="source_accuracy"),
        ),
        Assertion(
            text="Adaptation at test time without labels: fit and adapt need labelled sources and unlabeled samples.",
            level="mechanism",
            experiment="digits",
            holds=equals("full", metric="other_inputs", value=0),
        ),
        Assertion(
            text="It is knowledge distillation: after the step, other samples' features are nearer to their targets.",
            level="mechanism",
            experiment="digits",
            holds=better("full", "full, before the step", metric="distance", lower=True),
        ),
        Assertion(
            text="Each expert is trained on other domains to maximize its specialty: it knows its own best.",
            level="mechanism",
            experiment="digits",
            holds=better("own expert", "other experts", metric="source_accuracy", by=0.05),
        ),
        Assertion(
            text="A small set of unlabeled samples suffices: 24 do nearly what all samples of the domain do.",
            level="effect",
            experiment="digits",
            holds=not_worse("full, 24 samples", "full, all samples", metric="accuracy", within=0.02),
            promised=True,
        ),
        digits_effect("The transformer combines the experts better than their average.", "average"),
        digits_effect("The transformer combines the experts better than their maximum.", "max"),
        digits_effect("The transformer combines the experts better than a weighted sum.", "weighted"),
        Assertion(
            text="What the experts say together supervises the student: the one step makes it more accurate.",
            level="mechanism",
            experiment="digits",
            holds=better("full", "full, before the step", metric="accuracy"),
        ),
        Assertion(
            text="Meta-learning reaches the aggregator, through the inner step.",
            level="mechanism",
            experiment="digits",
            holds=equals("full", metric="aggregator_moved", value=1),
        ),
        Assertion(
            text="It does so in second order only: a first-order step leaves the aggregator as it was.",
            level="mechanism",
            experiment="digits",
            holds=equals("first order", metric="aggregator_moved", value=0),
        ),
        digits_effect("The second-order step learns more than the first-order one.", "first order", promised=True),
        digits_effect(
            "Meta-learning makes distillation positive and adaptation fast: better than plain distillation at test "
            "time, whose step is chosen on the source.",
            "plain distillation",
        ),
        digits_effect("Superior to adapting the statistics of BatchNorm (ARM-BN, trained so).", "arm-bn"),
        digits_effect("Superior to the plainly trained model with the target's statistics.", "erm, target statistics"),
        digits_effect("The student is better than all its experts together, who cost more.", "experts' vote"),
        digits_effect("Each component counts: leaving the domain's own expert out while training.", "no mask"),
        Assertion(
            text="Predicting costs the student alone: it has less than a third of the weights of what taught it.",
            level="mechanism",
            experiment="digits",
            holds=at_least("full", metric="weights_of_experts", value=3.0),
        ),
        Assertion(
            text="Better than the single model on vendors' emoji, too (cached features of a pretrained encoder).",
            level="effect",
            experiment="emoji",
            holds=better("full", "erm", metric="accuracy"),
        ),
        Assertion(
            text="Better on emoji than the same training without the inner step.",
            level="effect",
            experiment="emoji",
            holds=better("full", "erm, trained longer", metric="accuracy"),
        ),
        Assertion(
            text="Better than the state of the art on WILDS (iWildCam 77.2 % accuracy, Camelyon17 91.4 %).",
            level="paper scale",
            reason=(
                "WILDS is not at hand. With a split as a Domain with a column `domain` and a ResNet-50 as `model`: "
                "MetaDMoE(n_experts=10, heads=16, support_size=24, query_size=16, alpha=3e-4, student_rate=3e-5, "
                "aggregator_rate=1e-6, epochs=20), then adapt on the first batch of each test domain; not run."
            ),
        ),
        Assertion(
            text="The code is public.",
            level="not testable",
            reason="It is at github.com/n3il666/Meta-DMoE; the card says where this one differs.",
        ),
    ),
)

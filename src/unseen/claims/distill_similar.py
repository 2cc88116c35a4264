"""DistillWeighted's claim: a small network, few labels of one vendor's emoji, and a zoo of larger ones of other tasks;
and digits as pictures, where FixMatch has views to compare."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from scipy.stats import spearmanr
from torch import nn

from unseen.claims.base import Assertion, Claim, Experiment, at_least, at_most, better, equals
from unseen.claims.drawings import VENDORS
from unseen.claims.meta_dmoe import Style, digits, drawn
from unseen.claims.shifts import subgroups
from unseen.data.domain import Domain, concatenate
from unseen.evaluation.metrics.classification import accuracy
from unseen.methods.adaptation.distill_similar import DistillSimilar
from unseen.methods.base import Method, signatures
from unseen.methods.baselines.fixmatch import FixMatch
from unseen.nn.classifier import Classifier, feature_classifier, train_source
from unseen.nn.convnet import small_convnet
from unseen.nn.transferability import Similarity
from unseen.nn.zoo import n_parameters, rank_teachers
from unseen.runtime import reproducible

Table = dict[str, dict[str, float]]
Zoo = Mapping[str, nn.Module]
Task = tuple[Domain, Domain, Domain]
"""Few labelled samples, unlabeled ones, and these with their labels: the exam."""

METRICS: tuple[Similarity, ...] = ("parc", "leep", "h-score", "knn", "cka")
LIVING = ("people & body", "animals & nature", "food & drink", "smileys & emotion")


# -- emoji: features, 29 classes -----------------------------------------------------------------------------


def relabeled(domain: Domain, keys: Any) -> Domain:
    """The samples with the classes that `keys` tell apart."""
    return domain.replace(y=np.unique(np.asarray(keys), return_inverse=True)[1], classes=None)


def emoji_tasks(vendors: tuple[str, ...], seed: int) -> dict[str, Domain]:
    """What the sources learnt: the target's classes from two vendors, coarser ones, parts of them, and tasks that have
    little or nothing to do with them."""
    rng = np.random.default_rng(seed)
    a, b, c, d = (subgroups(vendor) for vendor in vendors)
    living = [np.isin(part.columns["group"], LIVING) for part in (c, d)]
    everyone = concatenate([a, b, c, d], name="all vendors")
    some = everyone.take(rng.permutation(len(everyone))[: len(a)])
    return {
        "subgroups a": relabeled(a, a.labels),
        "subgroups b": relabeled(b, b.labels),
        "groups c": relabeled(c, c.columns["group"]),
        "living c": relabeled(c.take(living[0]), c.labels[living[0]]),
        "things d": relabeled(d.take(~living[1]), d.labels[~living[1]]),
        "vendors": relabeled(some, some.columns["domain"]),
        "letters d": relabeled(d, [name[0] for name in d.columns["name"].tolist()]),
        "random": relabeled(b, rng.integers(0, 20, len(b))),
    }


def trained(tasks: Mapping[str, Domain], start: Any, seed: int, **settings: Any) -> Zoo:
    """The networks: no data of theirs is used from here on."""
    networks: dict[str, nn.Module] = {}
    for name, source in tasks.items():
        with reproducible(seed):
            network: Classifier = start(int(source.labels.max()) + 1)
            networks[name] = train_source(network, source, **settings)
    return networks


def few_labels(domain: Domain, shots: int, n: int, seed: int) -> Task:
    """`shots` labelled samples of each class, and at most `n` of the others."""
    order = np.random.default_rng(seed).permutation(len(domain))
    few = np.concatenate([order[domain.labels[order] == label][:shots] for label in np.unique(domain.labels)])
    others = domain.take(order[~np.isin(order, few)][:n])
    return domain.take(few), others.unlabeled(), others


def run_emoji(case: str, seed: int) -> Table:
    """All arms on one target. The case is `SPLIT STYLE`, the vendor of the target; the sources are of the others."""
    split, style = case.split()
    tasks = emoji_tasks(tuple(vendor for vendor in VENDORS[split] if vendor != style), seed)
    zoo = trained(tasks, lambda n: feature_classifier(1280, n, 256), seed, epochs=15)
    domain = subgroups(style)
    return arms(zoo, few_labels(relabeled(domain, domain.labels), 5, 1000, seed), 64, seed)


# -- digits: pictures, 10 classes ----------------------------------------------------------------------------

STYLES: Mapping[str, Style] = {
    "turned": Style(turn=25.0),
    "inverted": Style(inverted=True, blur=0.7),
    "slanted": Style(slant=0.6, noise=0.1),
    "turned back": Style(turn=-35.0, noise=0.1),
    "stretched": Style(stretch=1.5, noise=0.1),
    "slanted back": Style(slant=-0.6, blur=0.7),
    "squeezed": Style(stretch=0.7, pale=True),
    "inverted and turned": Style(inverted=True, turn=15.0, noise=0.1),
}


def as_domain(ink: np.ndarray, y: np.ndarray) -> Domain:
    """Pictures with one channel."""
    return Domain(x=ink[:, None].astype(np.float32), y=y.astype(np.int64), kind="image")


@functools.cache
def digit_zoo(half: int, seed: int) -> Zoo:
    """Networks of handwritten digits in four styles, of printed ones, of parity, and of random labels."""
    rng = np.random.default_rng(seed)
    (hand, y), (printed, z) = digits("handwritten", half), digits("printed", half)
    tasks = {name: (drawn(hand, style, rng), y) for name, style in {
        "plain": Style(), "turned": Style(turn=60.0), "inverted": Style(inverted=True), "slanted": Style(slant=1.0)
    }.items()}  # fmt: skip
    tasks |= {"printed": (printed, z), "parity": (hand, y % 2), "random": (hand, rng.integers(0, 10, len(y)))}
    chosen = {name: as_domain(*(part[:800] for part in pair)) for name, pair in tasks.items()}
    return trained(chosen, lambda n: small_convnet(n, 1, 16), seed, epochs=12, learning_rate=0.1)


def run_digits(case: str, seed: int) -> Table:
    """All arms on one target. The case is `HALF STYLE`; targets and sources are of two halves of the pictures."""
    half, style = case.split(" ", 1)
    ink, y = digits("handwritten", int(half))
    domain = as_domain(drawn(ink, STYLES[style], np.random.default_rng(seed)), y)
    return arms(digit_zoo(1 - int(half), seed), few_labels(domain, 2, 400, seed), 48, seed)


# -- arms ----------------------------------------------------------------------------------------------------


def arms(zoo: Zoo, task: Task, width: int, seed: int) -> Table:
    """Accuracy on the unlabeled samples of students that learnt in different ways, all of one size but `fine-tuned`."""
    support, unlabeled, exam = task
    ranked = rank_teachers(zoo, support, METRICS, n_dims=32).set_index("name")
    small: dict[str, Any] = {"random_state": seed, "width": width}

    def graded(method: Method) -> float:
        return accuracy(exam.labels, method.predict(exam))

    def distilled(names: Iterable[str], model: nn.Module | None = None, **settings: Any) -> DistillSimilar:
        own = {name: zoo[name] for name in names}
        return DistillSimilar(**small | settings).fit(support=support, target=unlabeled, teachers=own, model=model)

    alone = {name: graded(distilled([name], power=0.0)) for name in zoo}
    nearest = str(ranked["parc"].idxmax())
    weighted = distilled(zoo)
    found = {
        "labels alone": graded(distilled(zoo, labels=1.0)),
        "fixmatch": graded(FixMatch(**small).fit(support=support, target=unlabeled)),
        "fine-tuned": graded(distilled(zoo, model=zoo[nearest], labels=1.0)),
        "nearest": alone[nearest],
        "weighted": graded(weighted),
        "equal": graded(distilled(zoo, power=0.0)),
        "random source": float(np.mean(list(alone.values()))),
        "decoy": alone["random"],
        "worst source": min(alone.values()),
        "best source": max(alone.values()),
    }
    table = {arm: {"accuracy": value} for arm, value in found.items()}
    for metric in METRICS:
        scores = ranked[metric].loc[list(alone)].to_numpy()
        table[metric] = {"rank correlation": float(spearmanr(scores, list(alone.values())).statistic)}
    words = {word for way in signatures(DistillSimilar) for word in (*way.required, *way.optional)}
    table["weighted"] |= {
        "decoy's share": weighted.weights_["random"],
        "size": n_parameters(weighted.network_) / n_parameters(zoo[nearest]),
        "other inputs": float(len(words - {"support", "target", "teachers", "model"})),
    }
    for name, value in alone.items():
        table[f"from {name}"] = {"accuracy": value, "parc": float(ranked["parc"].loc[name])}
    return table


def effect(text: str, a: str, b: str, *, by: float = 0.0, promised: bool = False, on: str = "emoji") -> Assertion:
    """Arm `a` is more accurate than arm `b`."""
    return Assertion(
        text=text, level="effect", experiment=on, holds=better(a, b, metric="accuracy", by=by), promised=promised
    )


claim = Claim(
    slug="distill-similar",
    parts=(
        "unseen.claims.shifts",
        "unseen.claims.drawings",
        "unseen.claims.meta_dmoe",
        "unseen.methods.baselines.fixmatch",
        "unseen.nn.transferability",
        "unseen.nn.distillation",
        "unseen.nn.zoo",
        "unseen.nn.student",
    ),
    licences=(
        "Emoji: Noto (Apache-2.0), Twemoji and EmojiOne 1 and 2 (CC BY 4.0), OpenMoji (CC BY-SA 4.0), Fluent (MIT)",
        "Digits: Alpaydin and Kaynak, UCI, in scikit-learn",
        "Fonts: DejaVu, STIX and Computer Modern, as matplotlib ships them",
    ),
    experiments={
        "emoji": Experiment(
            run=run_emoji,
            development=tuple(f"development {style}" for style in VENDORS["development"]),
            confirmation=tuple(f"confirmation {style}" for style in VENDORS["confirmation"]),
            seeds=(0, 1),
            fresh_seeds=(100, 101),
            unit="style of the target",
        ),
        "digits": Experiment(
            run=run_digits,
            development=("0 turned", "0 inverted", "0 slanted"),
            confirmation=("1 turned back", "1 stretched", "1 slanted back", "1 squeezed", "1 inverted and turned"),
            seeds=(0,),
            fresh_seeds=(100,),
            unit="style of the target",
        ),
    },
    ledger=(
        Assertion(
            text="A measure of similarity picks a suitable source: the nearest is better than a source at random.",
            level="mechanism",
            experiment="emoji",
            holds=better("nearest", "random source", metric="accuracy", by=0.01),
        ),
        effect(
            "A good choice is imperative: distilling from an unsuitable source is worse than from none.",
            "labels alone",
            "decoy",
            promised=True,
        ),
        Assertion(
            text="Similarity (PARC) foretells the accuracy of distilling from a source: rank correlation >= .5.",
            level="effect",
            experiment="emoji",
            holds=at_least("parc", metric="rank correlation", value=0.5),
        ),
        effect(
            "DistillNearest is better than learning from labels alone, on features from ImageNet.",
            "nearest",
            "labels alone",
        ),
        effect(
            "A single source does not always match: DistillWeighted is better than DistillNearest.",
            "weighted",
            "nearest",
        ),
        Assertion(
            text="DistillWeighted weighs by relevance: a source of random labels gets less than an equal share.",
            level="mechanism",
            experiment="emoji",
            holds=at_most("weighted", metric="decoy's share", value=0.125),
        ),
        effect("Weights by relevance are better than equal ones.", "weighted", "equal"),
        Assertion(
            text="No source data is needed, only features and predictions of the source models.",
            level="mechanism",
            experiment="emoji",
            holds=equals("weighted", metric="other inputs", value=0.0),
        ),
        Assertion(
            text="The result is a single efficient model: less than 30 % of the numbers of a source.",
            level="mechanism",
            experiment="emoji",
            holds=at_most("weighted", metric="size", value=0.3),
        ),
        effect(
            "DistillWeighted outperforms transfer: labels alone, on features from ImageNet.", "weighted", "labels alone"
        ),
        effect("It outperforms the larger nearest source fine-tuned on the labels.", "weighted", "fine-tuned"),
        effect(
            "DistillNearest outperforms the larger nearest source fine-tuned on the labels.", "nearest", "fine-tuned"
        ),
        effect("DistillWeighted outperforms FixMatch, where views of features are noise.", "weighted", "fixmatch"),
        effect("DistillNearest outperforms FixMatch, where views of features are noise.", "nearest", "fixmatch"),
        effect(
            "It outperforms FixMatch on pictures, which has crops and changes of contrast as views.",
            "weighted",
            "fixmatch",
            on="digits",
        ),
        effect("On pictures it outperforms labels alone, from scratch.", "weighted", "labels alone", on="digits"),
        Assertion(
            text="Over 8 targets DistillWeighted gains 5.6 points on transfer from ImageNet, and 4.5 on FixMatch.",
            level="paper scale",
            reason=(
                "The 28 source models and most targets are not at hand. With a folder of saved models and folders of "
                "the target: `unseen adapt --method distill-similar --preset paper --support DIR --target DIR "
                "--teachers DIR --out MODEL`, for cached features; with networks that read pictures, "
                "`DistillSimilar(...).fit(model=a MobileNet, teachers=...)`; not run."
            ),
        ),
    ),
)

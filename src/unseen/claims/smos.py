"""SMOS's claim: a network that ImageNet taught learns emoji of some styles and meets another, drawn or in outline.

All but its last block is frozen, so that pictures go through the rest once. What stands for SuperMarioDomains, which is
not at hand, are the renditions of `unseen.data.renditions.consoles` of emoji of a vendor that is in no split.

Every arm trains for 30 epochs of 7 steps at the default rate, which moves the b of the variances by up to 1e-3 * 10 *
210, as far as the paper's 3e-5 * 10 * 5001 and more. After 20, the held-out loss of MIRO had not settled everywhere.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from torch import Tensor, nn

from unseen.claims import behaviours, worlds
from unseen.claims.base import Claim, Experiment, Result, of_both, seeds
from unseen.claims.conditions import Condition, Verdict, at_least, better, not_worse
from unseen.claims.drawings import VENDORS, by, drawn, of_half, of_split
from unseen.claims.ledger import effect, mechanism, not_testable, paper_scale, promised
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain, concatenate
from unseen.data.renditions import GENERATIONS, consoles
from unseen.data.samplers import domain_numbers, hold_out, joint_steps
from unseen.diagnosis.stylistic import Measure, frechet, icv, idd, scaled, separated
from unseen.encoders.vision import LITE0_PREPROCESS, lite0_network
from unseen.evaluation.metrics.classification import accuracy
from unseen.methods.generalization.smos import SMOS, train_precursor
from unseen.nn.classifier import Classifier
from unseen.nn.divergences import js
from unseen.nn.logistic import fit_logistic
from unseen.runtime import reproducible

SIDE = 64
ABSTRACT = ("fluent-emoji-high-contrast", "emojione-monotone")
"""Styles of one colour."""
PRECURSOR = "fxemoji"
"""The vendor of the precursor's pictures; it is in no split."""
PICTURES = 160
"""Emoji of each style."""
PAIRS = 500
DROP = "rank correlation with the drop"
NEAR_PLUS, NEAR_MINUS = "from the precursor", "from the precursor of smos-"

ARMS: Mapping[str, Mapping[str, Any]] = {
    "erm": {"teacher": "none"},
    "miro": {"teacher": "start", "divergence": "none"},
    "random teacher": {"teacher": "random"},
    "smos+": {},
    "smos-": {},
    "smos+ without F": {"divergence": "none"},
}


# -- pictures -------------------------------------------------------------------------------------------------


def outlined(pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    """Black lines on white where brightness changes, (n, 3, h, w)."""
    from scipy.ndimage import gaussian_filter

    slopes = [gaussian_filter(pictures, (0, 0, 0.7, 0.7), order=order) for order in ((0, 0, 1, 0), (0, 0, 0, 1))]
    ink = np.hypot(*slopes).max(axis=1) > 0.1
    return np.repeat(1.0 - ink[:, None], 3, axis=1).astype(np.float32)


@functools.cache
def pictures(split: str) -> dict[str, Domain]:
    """What the vendors of a split draw, as arrays (n, 3, 64, 64) in [0, 1]; classes are the groups of Unicode."""
    return {domain.name: _classed(domain, "group") for domain in drawn(split, PICTURES)}


@functools.cache
def unrendered(split: str) -> Domain:
    """Emoji that are not in a split, of a vendor that is in none; columns `group` and `subgroup`."""
    domain = by(PRECURSOR)
    return domain.take(~of_half(domain, split))


def _classed(domain: Domain, level: str) -> Domain:
    """Arrays of pictures, with the classes that a column names."""
    names, y = np.unique(domain.columns[level], return_inverse=True)
    small = [np.asarray(picture.resize((SIDE, SIDE)), dtype=np.float32) / 255 for picture in domain.x]
    x = np.stack(small).transpose(0, 3, 1, 2).astype(np.float32)
    return Domain(x=x, y=y, kind="image", classes=ClassSpace(names=tuple(names.tolist())), name=domain.name)


# -- the network ----------------------------------------------------------------------------------------------


@functools.cache
def lite0() -> nn.Module:
    """EfficientNet-Lite0 as ImageNet taught it."""
    return lite0_network().eval()


def late(n_classes: int, seed: int, *, fresh: bool = False) -> Classifier:
    """Its last block and final convolution, trainable, and a new head; `fresh` forgets their weights."""
    network: Any = copy.deepcopy(lite0())
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    backbone = nn.Sequential(network.blocks[6], nn.Sequential(network.conv_head, network.bn2), *pool)
    with reproducible(seed):
        for layer in backbone.modules() if fresh else ():
            if callable(reset := getattr(layer, "reset_parameters", None)):
                reset()
        classifier: Any = Classifier(backbone, nn.Identity(), nn.Linear(1280, n_classes))
        return classifier.to(memory_format=torch.channels_last)  # takes half the time to train


@functools.cache
def console_maps(split: str) -> Domain:
    """What the frozen blocks make of those emoji on four consoles; classes are Unicode's subgroups."""
    return maps(consoles(_classed(unrendered(split), "subgroup")))


@functools.cache
def precursor(split: str, seed: int, fresh: bool) -> Classifier:
    """Taught by the renditions: from ImageNet's weights (SMOS+), or with a last block that began anew (SMOS-)."""
    styles = console_maps(split)
    start = late(len(styles.classes or ()), seed, fresh=fresh)
    return train_precursor(start, styles, epochs=6, rest=True, seed=seed)


def maps(domain: Domain) -> Domain:
    """What the frozen blocks make of pictures, (n, 192, 2, 2)."""
    network: Any = lite0()
    mean, std = (torch.tensor(value)[:, None, None] for value in (LITE0_PREPROCESS.mean, LITE0_PREPROCESS.std))

    def frozen(x: Tensor) -> Tensor:
        return network.blocks[:6](network.bn1(network.conv_stem((x - mean) / std)))

    return domain.replace(x=in_parts(frozen, domain, 128))


@torch.no_grad()
def in_parts(function: Callable[[Tensor], Tensor], domain: Domain, size: int = 256) -> NDArray[np.float32]:
    """What a function makes of the samples of a domain, so many at a time."""
    return torch.cat([function(x) for x in torch.split(torch.as_tensor(domain.x), size)]).numpy()


@functools.cache
def seen(split: str) -> dict[str, Domain]:
    """Maps of each style of a split, and of the outlines of each in colour under `STYLE outlined`."""
    styles = dict(pictures(split))
    for name, domain in pictures(split).items():
        if name not in ABSTRACT:
            other = f"{name} outlined"
            styles[other] = domain.replace(x=outlined(domain.x), name=other)
    return {name: maps(domain) for name, domain in styles.items()}


def abstract(style: str) -> bool:
    """Whether a style has no colours."""
    return style in ABSTRACT or style.endswith(" outlined")


def vendor(style: str) -> str:
    """Who drew it."""
    return style.removesuffix(" outlined")


# -- the measures ---------------------------------------------------------------------------------------------


def measures(case: str, seed: int) -> Result:
    """How far a vendor's styles are from those of two others, in features of ImageNet, and what a classifier loses.

    The case is `SPLIT VENDOR`. The others are the two that follow, in a circle of five: each pair is in one case.
    """
    split, style = case.split(maxsplit=1)
    domains, others = seen(split), followers(split, style)
    mine, theirs = ([name for name in domains if vendor(name) in chosen] for chosen in ((style,), others))
    y, names = domains[style].labels, [*mine, *theirs]
    x = dict(zip(names, scaled(*(in_parts(late(2, 0).embed, domains[name]) for name in names))))
    options: dict[str, Any] = {"max_pairs": PAIRS, "seed": seed}
    within = {name: icv(x[name], y, **options).value for name in names}
    shuffled = shuffled_classes(y, seed)
    pairs = [*itertools.product(mine, theirs)]
    distances = {(a, b): idd(x[a], y, x[b], y, **options) for a, b in pairs}
    same, other = (
        [distances[a, b] for a, b in pairs if (abstract(a) == abstract(b)) == alike] for alike in (True, False)
    )
    drops = [drop for name in mine for drop in lost(x[name], [x[other] for other in theirs], y, seed)]
    figures = {
        "idd": [distances[pair].value for pair in pairs],
        "beyond": [distances[a, b].value - (within[a] + within[b]) / 2 for a, b in pairs],
        "frechet": [frechet(x[a], x[b]) for a, b in pairs],
    }
    table: Result = {arm: {DROP: float(spearmanr(values, drops).statistic)} for arm, values in figures.items()}
    table["idd"]["separated"] = in_order(same, other)
    for arm, kind in (("same kind", same), ("other kind", other)):
        table[arm] = {"idd": float(np.mean([measure.value for measure in kind]))}
    table["classes"] = {"icv": float(np.mean([within[name] for name in mine]))}
    table["shuffled classes"] = {"icv": float(np.mean([icv(x[name], shuffled, **options).value for name in mine]))}
    return table


def shuffled_classes(y: Any, seed: int) -> Any:
    """Classes of their sizes that mean nothing."""
    return np.random.default_rng(seed).permutation(y)


def few_pictures(split: str) -> list[Any]:
    """Some pictures of a split as arrays, and in outline, and some for the precursor: for a stamp."""
    some, other = (part.take(slice(0, 3)) for part in (drawn(split, PICTURES)[0], unrendered(split)))
    few = _classed(some, "group")
    return [few, outlined(few.x), _classed(other, "subgroup")]


def drawn_for_measures(case: str, seed: int) -> list[Any]:
    """What a cell draws."""
    split, style = case.split(maxsplit=1)
    groups = drawn(split, PICTURES)[0].columns["group"]
    return [*few_pictures(split), followers(split, style), shuffled_classes(groups, seed)]


def drawn_for_substitute(case: str, seed: int) -> list[Any]:
    """What a cell draws."""
    split = case.split()[0]
    groups = drawn(split, PICTURES)[0].columns["group"]
    return [*few_pictures(split), kept_groups(unrendered(split).columns["group"], groups)]


def kept_groups(groups: Any, known: Any) -> NDArray[np.bool_]:
    """Which pictures are of a group that the styles have."""
    return np.isin(groups.astype(np.str_), known.astype(np.str_))


def drawn_for_styles(case: str, seed: int) -> list[Any]:
    """What a cell draws."""
    split, style = case.split(maxsplit=1)
    names = [name for vendor in VENDORS[split] for name in (vendor, f"{vendor} outlined")]
    return [*few_pictures(split), learnt_and_met(names, style)]


def learnt_and_met(styles: Iterable[str], style: str) -> tuple[list[str], tuple[str, ...]]:
    """The styles that are learnt, and those without colours that are met."""
    learnt = [name for name in styles if not abstract(name) and name != style]
    return learnt, ABSTRACT if style == "abstract" else (f"{style} outlined",)


def followers(split: str, style: str) -> tuple[str, ...]:
    """The two vendors of a split that follow one."""
    circle = 2 * VENDORS[split]
    return circle[circle.index(style) + 1 :][:2]


def substitute(case: str, seed: int) -> Result:
    """A rendition beside the same pictures as they are: ICV, and IDD to the coloured styles, all of Unicode's groups.

    The case is `SPLIT GENERATION`.
    """
    split, generation = case.split(maxsplit=1)
    styles = {name: domain for name, domain in seen(split).items() if not abstract(name)}
    groups = unrendered(split).columns["group"].astype(np.str_)
    y = {name: np.array(domain.classes.names)[domain.labels] for name, domain in styles.items() if domain.classes}
    kept = kept_groups(groups, np.concatenate([*y.values()]))
    parts = {part.name: part.take(kept) for part in separated(console_maps(split))}
    domains = {"rendition": parts[generation], "unrendered": parts["full"]} | styles
    y |= dict.fromkeys(("rendition", "unrendered"), groups[kept])
    x = dict(zip(domains, scaled(*(in_parts(late(2, 0).embed, domain) for domain in domains.values()))))
    options: dict[str, Any] = {"max_pairs": PAIRS, "draws": 1, "seed": seed}
    within = {name: icv(x[name], y[name], **options).value for name in x}

    def row(name: str) -> dict[str, float]:
        others = [other for other in styles if other != name]
        between = [idd(x[name], y[name], x[other], y[other], **options).value for other in others]
        beyond = [d - (within[name] + within[other]) / 2 for d, other in zip(between, others)]
        return {"icv": within[name], "idd": float(np.mean(between)), "beyond": float(np.mean(beyond))}

    rows = {name: row(name) for name in x}
    mean = {metric: float(np.mean([rows[name][metric] for name in styles])) for metric in rows["rendition"]}
    return {"rendition": rows["rendition"], "unrendered": rows["unrendered"], "styles": mean}


def in_order(same: list[Measure], other: list[Measure]) -> float:
    """The share of pairs of styles, one of the same kind and one of the other, whose intervals are in this order."""
    return float(np.mean([a.high < b.low for a in same for b in other]))


def lost(features: NDArray[np.float32], others: list[NDArray[np.float32]], y: Any, seed: int) -> list[float]:
    """By how much a classifier of one style is worse on each other one, on emoji that it has not seen."""
    learn, rest = hold_out(y, 0.5, seed)
    network = fit_logistic(torch.as_tensor(features[learn]), y[learn], int(y.max()) + 1, C=0.1)
    with torch.no_grad():
        logits = [network(torch.as_tensor(x[rest])) for x in (features, *others)]
    known, *there = (accuracy(y[rest], scores.argmax(dim=1).numpy()) for scores in logits)
    return [known - right for right in there]


# -- training -------------------------------------------------------------------------------------------------


def leave_one_out(case: str, seed: int) -> Result:
    """Learn the coloured styles but one, and meet that one and its outlines; or all, and meet styles of one colour.

    The case is `SPLIT STYLE` or `SPLIT abstract`.
    """
    split, style = case.split(maxsplit=1)
    styles = seen(split)
    learnt, met = learnt_and_met(styles, style)
    source, lines = concatenate([styles[n] for n in learnt], name="sources"), [styles[n] for n in met]
    start = late(len(source.classes or ()), seed)
    plus, minus = (precursor(split, seed, fresh) for fresh in (False, True))
    table: Result = {"every arm": {"valley": 1.0}}
    for arm, settings in ARMS.items():
        method = SMOS(epochs=30, **settings).set_params(random_state=seed)
        teachers = {"precursor": minus if arm == "smos-" else plus}
        network: Any = method.fit(source=source, model=start, teachers=teachers).network_
        idds, beyond = distance(network, lines, source, seed)
        table[arm] = {
            "averaged": method.averaged_,
            "abstract": float(np.mean([graded(network, domain) for domain in lines])),
            NEAR_PLUS: float(np.mean([apart(network, plus, domain) for domain in lines])),
            NEAR_MINUS: float(np.mean([apart(network, minus, domain) for domain in lines])),
            "idd": idds,
            "beyond": beyond,
        }
        if style in styles:
            table[arm]["colour"] = graded(network, styles[style])
        # of a training that never settles, the last epoch alone is averaged, which is shorter than this
        table["every arm"]["valley"] *= method.averaged_ > joint_steps(domain_numbers(source), method.batch_size)
    return table


def graded(network: Classifier, domain: Domain) -> float:
    """Accuracy."""
    return accuracy(domain.labels, in_parts(network, domain).argmax(axis=1))


def apart(network: Classifier, other: Classifier, domain: Domain) -> float:
    """F of two networks, on pictures of a style."""
    a, b = (torch.as_tensor(in_parts(net.embed, domain)) for net in (network, other))
    return float(js(a, b).mean())


def distance(network: Classifier, targets: list[Domain], source: Domain, seed: int) -> tuple[float, float]:
    """IDD of styles to the sources together in what a network computes, and what is beyond ICV: means over styles."""
    base, *others = scaled(*(in_parts(network.embed, domain) for domain in (source, *targets)))
    options: dict[str, Any] = {"max_pairs": PAIRS, "draws": 1, "seed": seed}
    within = icv(base, source.labels, **options).value
    rows = []
    for x, target in zip(others, targets):
        between = idd(base, source.labels, x, target.labels, **options).value
        rows.append((between, between - (within + icv(x, target.labels, **options).value) / 2))
    idds, beyond = np.mean(rows, axis=0)
    return float(idds), float(beyond)


# -- conditions ----------------------------------------------------------------------------------------------


def surely(condition: Condition, least: float) -> Condition:
    """A condition whose interval, too, must not reach below `least`."""

    def holds(table: pd.DataFrame) -> Verdict:
        verdict = condition(table)
        held = verdict.held and verdict.low >= least
        return dataclasses.replace(verdict, held=held, told=f"{verdict.told}, and an interval from {least:g}")

    return Condition(condition.metric, f"{condition.asked}, and an interval from {least:g}", holds)


def go_together(a: str, b: str, *, less: str, more: str) -> Condition:
    """Over cases, the less arm `a` has of one metric than `b`, the more it has of another: in rank, and surely."""
    what = f"rank correlation of less {less} and more {more} of {a} against {b}"

    def holds(table: pd.DataFrame) -> Verdict:
        mean = table.groupby(["arm", "metric", "case"]).value.mean()
        x, y = (mean[b, less] - mean[a, less]).to_numpy(), (mean[a, more] - mean[b, more]).to_numpy()
        chosen = np.random.default_rng(0).integers(len(x), size=(1000, len(x)))
        drawn = [spearmanr(x[i], y[i]).statistic for i in chosen if np.ptp(x[i]) * np.ptp(y[i])]
        value, (low, high) = float(spearmanr(x, y).statistic), np.quantile(drawn, [0.025, 0.975]).tolist()
        finding = f"{what}, over {len(x)} cases: {value:+.3g} [{low:+.3g}, {high:+.3g}]; needed an interval above 0"
        return Verdict(low > 0, value, low, high, finding)

    return Condition(more, f"{what}; needed an interval above 0", holds)


def read(case: str) -> list[Domain]:
    """The drawings of a split, and those that no style of it shows, for a stamp."""
    domain = unrendered(case.split()[0])
    return [*of_split(case, "group", n=PICTURES), domain, worlds.said(domain, "group", "subgroup")]


def behaviour() -> dict[str, Any]:
    """The measures of styles on points, and pictures as consoles draw them."""
    first, other = behaviours.blobs(), behaviours.blobs(seed=7)
    a, b = scaled(first.x, other.x)
    options: dict[str, Any] = {"max_pairs": 40, "draws": 20}
    measures = [icv(a, first.labels, **options), idd(a, first.labels, b, other.labels, **options)]
    figures = [figure for measure in measures for figure in (measure.value, measure.low, measure.high)]
    rng = np.random.default_rng(0)
    pictures = Domain(x=rng.random((4, 3, 64, 64), dtype=np.float32), y=np.arange(4), kind="image")
    return {"measures": np.array([*figures, frechet(a, b)]), "renditions": consoles(pictures).x}


# fmt: off
LEDGER = (
    mechanism("measures", better("other kind", "same kind", "idd"),
        "IDD describes how similar styles are: it is less between styles of one kind, coloured or not."),
    promised("measures", at_least("idd", "separated", 0.8),
        "Styles of one kind and of the other are told apart by their intervals, in four of five comparisons."),
    mechanism("measures", better("classes", "shuffled classes", "icv", lower=True),
        "ICV describes how consistent classes are: it is less than in random classes of their sizes."),
    promised("measures", surely(at_least("idd", metric=DROP, value=0.4), 0),
        "A shift that IDD says is larger costs a classifier more accuracy: in rank, over pairs of styles."),
    effect("measures", better("idd", "frechet", DROP),
        "IDD says more of that loss than a distance of means and covariances (Fréchet)."),
    effect("substitute", better("rendition", "unrendered", "icv", lower=True),
        "The precursor's pictures have more consistent classes than the same pictures unrendered."),
    effect("substitute", better("rendition", "styles", "icv", lower=True),
        "They have more consistent classes than the coloured styles."),
    effect("substitute", better("styles", "rendition", "idd", lower=True),
        "They are dissimilar enough: further from the coloured styles than these are from each other."),
    effect("substitute", better("styles", "rendition", "beyond", lower=True),
        "Beyond the variation within classes, they are further, too."),
    mechanism("styles", at_least("every arm", "valley", 1),
        "Weights are averaged over a valley of the held-out loss, in every arm."),
    mechanism("styles", better("smos+", "erm", NEAR_PLUS, lower=True),
        "The precursor grounds the training: what the student computes is nearer to it, on a style to come."),
    mechanism("styles", better("smos-", "erm", NEAR_MINUS, lower=True),
        "A precursor whose last block did not know ImageNet grounds it, too."),
    effect("styles", better("smos+", "smos+ without F", NEAR_PLUS, lower=True),
        "The divergence F does so beside the variational term."),
    effect("styles", better("smos+", "erm", "abstract", by=0.01),
        "SMOS gains much on abstract domains, over plain training."),
    effect("styles", better("smos+", "miro", "abstract"),
        "There, it gains over MIRO, whose teacher is ImageNet's network."),
    effect("styles", better("smos+", "random teacher", "abstract"),
        "There, it gains over a teacher with random weights: what the precursor learnt counts."),
    effect("styles", better("smos+", "smos-", "abstract"),
        "A precursor that began from ImageNet is better than one that did not."),
    effect("styles", not_worse("smos+", "erm", "colour", within=0.02),
        "On the other domains it is on a par or slightly better (within two points of plain training)."),
    effect("styles", better("smos+", "erm", "idd", lower=True),
        "SMOS lessens the distance of abstract domains to the sources more than plain training does."),
    effect("styles", better("smos+", "erm", "beyond", lower=True), "It does so beyond the variation within classes."),
    effect("styles", go_together("smos+", "erm", less="idd", more="abstract"),
        "What it gains can be attributed to that: where it lessens the distance more, it gains more."),
    not_testable("Domain generalization lacks a quantitative understanding of stylistic shift, and relies on photos "
        "with weak labels (ImageNet1K), which may inflate results.",
        "It is about what others published."),
    paper_scale("SuperMarioDomains has more consistent classes than ImageNet1K, and sufficient dissimilarity to it.",
        "Neither set is at hand. With both as folders, one per domain: `unseen shift imagenet nes snes n64 wii "
        "--out shift.html`; not run."),
    paper_scale("State of the art on PACS, VLCS, OfficeHome, TerraIncognita and DomainNet.",
        "These sets are not at hand. With PACS as folders and a timm ResNet-50: `train_precursor(resnet, smd, "
        "learning_rate=1e-5, rest=True)`, then `SMOS(preset paper).fit(source=three domains joined by "
        "unseen.data.domain.concatenate, model=resnet, teachers={'precursor': ...})`; not run."),
    not_testable("The data are public.",
        "The authors' repository, fpsluozi/SMD-SMOS, names where they are; no package registry has them."),
)
COLOURED = {split: [vendor for vendor in vendors if vendor not in ABSTRACT] for split, vendors in VENDORS.items()}

claim = Claim(
    slug="smos",
    ledger=LEDGER,
    behaviour=behaviour,
    experiments={
        "measures": Experiment(
            run=measures, data=read, drawn=drawn_for_measures, unit="vendor, with two others", **of_both(VENDORS),
            **seeds(1)),
        "substitute": Experiment(
            run=substitute, data=read, drawn=drawn_for_substitute, unit="rendition",
            **of_both(name for name in GENERATIONS if name != "full"), **seeds(1)),
        "styles": Experiment(
            run=leave_one_out, data=read, drawn=drawn_for_styles, unit="set of source styles",
            **of_both(COLOURED | {"confirmation": [*COLOURED["confirmation"], "abstract"]}), **seeds(2)),
    },
    licences=(worlds.EMOJI, worlds.LITE0),
)
# fmt: on

"""The figures of zero-shot.md on Loki's temperature: fixed ones, and two rules that need no label of the target.

    python docs/loki_study.py [--features office-caltech10.npz]    the families that the choice was made on
    python docs/loki_study.py --confirm                            other emoji styles and codes, looked at once

It takes some ten minutes on two cores. The optional file holds features of photographs by domain (`amazon_plain`,
`amazon_y`, and so on for caltech10, dslr and webcam) and `classes`; any features of Office-Caltech10 will do.
"""

from __future__ import annotations

import argparse
import copy
import itertools
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import simple_icd_10_cm as icd
import torch
from torch import Tensor, nn

from unseen import encoders
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.label_metrics import EmbeddingMetric, LabelMetric, taxonomy
from unseen.data.samplers import hold_out
from unseen.data.sources import digits, emoji, in_common, stamps
from unseen.data.typing import FloatArray, IntArray
from unseen.methods.zero_shot.loki import Loki
from unseen.methods.zero_shot.loki.measures import mean_squared_distance
from unseen.nn.calibration import fit_temperature
from unseen.nn.classifier import Standardizer
from unseen.nn.logistic import fit_logistic
from unseen.validation import pretended

TEMPERATURES = (1.0, 1.4, 2.0, 3.0)
RULES = ("fitted", "class-wise")
STYLES = ("noto", "twemoji", "openmoji", "fluent-emoji-flat")
FRESH = ("noto-v1", "emojione", "fluent-emoji", "fxemoji")
CHAPTERS, OTHERS = ("9", "10"), ("11", "14")
"""Of ICD-10-CM."""
FOLDS = 3
"""Of class-wise validation: the classes that are held out are drawn anew in each."""


class Case(NamedTuple):
    """Labelled source, labelled exam, distances between all classes, those that the source may show."""

    source: tuple[FloatArray, IntArray]
    exam: tuple[FloatArray, IntArray]
    metric: LabelMetric
    seen: IntArray
    seed: int
    other: bool
    """Whether the exam is of another domain: its features are then standardized by itself, as `compare` does."""


def by_names(names: list[str]) -> EmbeddingMetric:
    """Distances between MiniLM's vectors of the names."""
    texts = Domain(x=np.array(names), kind="text", name="names")
    return EmbeddingMetric(encoders.get("minilm").encode(texts, precision="fp32").x)


def some(n: int, k: int, seed: int) -> IntArray:
    """k of n classes."""
    return np.sort(np.random.default_rng(seed).permutation(n)[:k])


def within(x: FloatArray, y: IntArray, metric: LabelMetric, seeds: int) -> Iterator[Case]:
    """Half of the classes are seen, half of the samples are the source, the others the exam."""
    for seed in range(seeds):
        half = np.random.default_rng(seed).random(len(y)) < 0.5
        seen = some(len(metric), len(metric) // 2, seed)
        yield Case((x[half], y[half]), (x[~half], y[~half]), metric, seen, seed, False)


# -- families ----------------------------------------------------------------------------------------------


def digit_cases() -> Iterator[tuple[str, Case]]:
    """Five of ten digits; distances between the class means of the other hand."""
    hands = {style: digits(style, size=8, flat=True) for style in ("handwritten", "printed")}
    for here, there in (hands.values(), reversed(hands.values())):
        means = np.stack([there.x[there.labels == c].mean(axis=0) for c in range(10)])
        metric = EmbeddingMetric(means - means.mean(axis=0), normalize=False)
        yield from (("digits", case) for case in within(here.x, here.labels, metric, 10))


def emoji_cases(styles: tuple[str, ...]) -> Iterator[tuple[str, Case]]:
    """15 of 29 subgroups, one style to another; 100 of all emoji, three styles to a fourth."""
    encoder = encoders.get("efficientnet-lite0")
    groups = [encoder.encode(emoji(style), precision="fp32") for style in styles]
    assert groups[0].classes is not None
    metric = by_names([name.replace("-", " ") for name in groups[0].classes.names])
    for (i, source), seed in itertools.product(enumerate(groups), range(2)):
        exam = groups[(i + 1) % len(groups)]
        seen = some(len(metric), 15, seed)
        yield (
            "emoji, subgroups by names",
            Case((source.x, source.labels), (exam.x, exam.labels), metric, seen, seed, True),
        )
    each = in_common(*[encoder.encode(emoji(style, level="emoji"), precision="fp32") for style in styles])
    columns, n = each[0].columns, len(each[0])
    metrics: dict[str, LabelMetric] = {
        "names": by_names(columns["name"].tolist()),
        "tree": taxonomy(list(zip(columns["group"], columns["subgroup"], columns["name"]))),
    }
    for (called, own), i, seed in itertools.product(metrics.items(), range(len(each)), range(2)):
        others = [domain for j, domain in enumerate(each) if j != i]
        x, y = np.concatenate([domain.x for domain in others]), np.tile(np.arange(n), len(others))
        yield f"emoji, each by {called}", Case((x, y), (each[i].x, np.arange(n)), own, some(n, 100, seed), seed, True)


def stamp_cases() -> Iterator[tuple[str, Case]]:
    """Photographs by folder (22) and by top folder (12); distances between names."""
    domain = encoders.get("efficientnet-lite0").encode(stamps(), precision="fp32")
    folder = domain.columns["folder"]
    photo = np.array(
        ["cartoon" not in name and not name.startswith(("symbols", "seasonal")) for name in folder.tolist()]
    )
    for called, labels in (("folders", folder), ("top folders", domain.columns["category"])):
        names, counts = np.unique(labels[photo], return_counts=True)
        names = names[counts >= 8]
        kept = photo & np.isin(labels, names)
        metric = by_names([name.rpartition("/")[2] for name in names.tolist()])
        y = np.searchsorted(names, labels[kept])
        yield from ((f"photographs of stamps, {called}", case) for case in within(domain.x[kept], y, metric, 10))


def code_cases(chapters: tuple[str, ...]) -> Iterator[tuple[str, Case]]:
    """Titles and inclusion terms of codes by category of ICD-10-CM."""
    for chapter in chapters:
        texts: dict[str, list[str]] = {}
        for code in dict.fromkeys(icd.get_descendants(chapter)):
            if icd.is_category(code) and len(code) == 3:
                below = icd.get_descendants(code)
                found = sorted(
                    {icd.get_description(c) for c in below} | {t for c in below for t in icd.get_inclusion_term(c)}
                )
                texts |= {code: found[:30]} if len(found) >= 6 else {}
        x = (
            encoders.get("minilm")
            .encode(
                Domain(x=np.array(list(itertools.chain(*texts.values()))), kind="text", name=chapter), precision="fp32"
            )
            .x
        )
        y = np.repeat(np.arange(len(texts)), [len(found) for found in texts.values()])
        metrics: dict[str, LabelMetric] = {
            "names": by_names([icd.get_description(code) for code in texts]),
            "tree": taxonomy([(icd.get_parent(code), code) for code in texts]),
        }
        for called, metric in metrics.items():
            yield from ((f"codes by {called}", case) for case in within(x, y, metric, 5))


def photograph_cases(file: str) -> Iterator[tuple[str, Case]]:
    """Office-Caltech10: five of ten classes, each domain to each other; distances between names."""
    held = np.load(file)
    metric = by_names([str(name).replace("_", " ") for name in held["classes"]])
    names = ("amazon", "caltech10", "dslr", "webcam")
    parts = {name: (held[f"{name}_plain"].astype(np.float32), held[f"{name}_y"].astype(np.int64)) for name in names}
    for (source, exam), seed in itertools.product(itertools.permutations(names, 2), range(3)):
        yield "photographs of Office-Caltech", Case(parts[source], parts[exam], metric, some(10, 5, seed), seed, True)


# -- rules -------------------------------------------------------------------------------------------------


def logits(network: nn.Module, x: FloatArray, *, own: bool = False) -> Tensor:
    """Of a classifier, whose features may be standardized by the samples themselves."""
    table = torch.as_tensor(x).float()
    if own:
        network = copy.deepcopy(network)
        network.backbone = Standardizer(table.shape[1]).measure(table)
    with torch.no_grad():
        return network(table)


def distances(z: Tensor, y: IntArray, classes: ClassSpace, temperatures: tuple[float, ...]) -> FloatArray:
    """Mean squared distance of argmax, then of Loki at each temperature."""
    p, metric = torch.softmax(z, dim=1), classes.metric
    predicted = [classes.seen[p.argmax(dim=1).numpy()]]
    predicted += [Loki(temperature=t).fit(classes=classes).predict(p) for t in temperatures]
    return np.array([mean_squared_distance(metric, y, own) for own in predicted])


def class_wise(case: Case, fit: IntArray, check: IntArray, classes: ClassSpace) -> float:
    """The temperature of least distance where some seen classes play the unseen ones, in the share of these."""
    x, y = case.source
    share, total = len(classes.unseen) / len(classes), np.zeros(len(TEMPERATURES))
    for fold in range(FOLDS):
        space, order = pretended(classes, FOLDS * case.seed + fold)
        new = np.full(len(classes), -1)
        new[order] = np.arange(len(order))
        stays = np.isin(new[y], space.seen)
        network = fit_logistic(torch.as_tensor(x[fit & stays]), new[y[fit & stays]], len(space.seen))
        kept, gone = [
            distances(logits(network, x[part]), new[y[part]], space, TEMPERATURES)
            for part in (check & stays, (new[y] >= 0) & ~stays)
        ]
        mixed = (1 - share) * kept + share * gone
        total += mixed[1:] / mixed[0]
    return TEMPERATURES[int(total.argmin())]


def improvement(case: Case) -> dict[str, float]:
    """How much less the squared distance is than argmax's, at each temperature and by each rule."""
    x, y = case.source
    classes = ClassSpace(names=tuple(map(str, range(len(case.metric)))), metric=case.metric, seen=case.seen)
    known = np.isin(y, case.seen)
    fit, check = np.zeros((2, len(y)), dtype=bool)
    fit[known], check[known] = hold_out(y[known], 0.2, case.seed)
    network = fit_logistic(torch.as_tensor(x[fit]), np.searchsorted(case.seen, y[fit]), len(case.seen))
    fitted = max(1.0, fit_temperature(logits(network, x[check]), np.searchsorted(case.seen, y[check])))
    chosen = class_wise(case, fit, check, classes)
    told = distances(
        logits(network, case.exam[0], own=case.other), case.exam[1], classes, (*TEMPERATURES, fitted, chosen)
    )
    return dict(zip((*map(str, TEMPERATURES), *RULES), (1 - told[1:] / told[0]).tolist()))


def main() -> None:
    """Print a row per family."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--features", default="")
    parser.add_argument("--confirm", action="store_true")
    told = parser.parse_args()
    torch.set_num_threads(1)
    families = [digit_cases(), stamp_cases(), code_cases(CHAPTERS), emoji_cases(STYLES)]
    if told.confirm:
        families = [code_cases(OTHERS), emoji_cases(FRESH)]
    found: dict[str, list[dict[str, float]]] = defaultdict(list)
    for name, case in itertools.chain(*families, photograph_cases(told.features) if told.features else ()):
        found[name].append(improvement(case))
    columns = (*map(str, TEMPERATURES), *RULES)
    print(f"| family | cases | {' | '.join(columns)} |\n| {'--- | ' * (2 + len(columns))}")
    for name, rows in found.items():
        means = [f"{100 * np.mean([row[column] for row in rows]):+.1f}" for column in columns]
        print(f"| {name} | {len(rows)} | {' | '.join(means)} |", flush=True)


if __name__ == "__main__":
    main()

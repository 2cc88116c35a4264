"""Few-shot fine-tuning's claim: a few labels against adaptation without, as assumed and where that breaks."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from unseen.claims import label_pools, worlds
from unseen.claims.base import Claim, Experiment, Result, seeds
from unseen.claims.conditions import at_least, at_most, better, not_worse
from unseen.claims.label_pools import MARGIN, STEPS, TWO_STAGES, Data, graded, pools, support_of, without_labels
from unseen.claims.ledger import Assertion, effect, mechanism, not_testable, paper_scale, promised
from unseen.claims.letters import FAMILIES
from unseen.claims.shifts import domains, numbered_subgroups, read, source_model, subgroups
from unseen.data.domain import Domain
from unseen.methods.adaptation.fewshot_sfda import FewShotSFDA, validation_samples
from unseen.nn.classifier import Classifier

FEW: Mapping[str, tuple[int, Mapping[str, Any]]] = {
    "lp-ft 1": (1, TWO_STAGES),
    "lp-ft 3": (3, TWO_STAGES),
    "lp-ft 5": (5, TWO_STAGES),
    "ft 3": (3, {"strategy": "ft", "steps": STEPS}),
    "lp 3": (3, {"strategy": "lp", "probe_steps": STEPS}),
    "lp-ft 3 sam": (3, {**TWO_STAGES, "rho": 0.05}),
}
"""Shots and settings."""
STYLES = ("plain", "artistic", "edges", "weather")
"""Of stamps: as they are, and in three families of changes."""
DRAWS = 3
"""Draws of the shots, of which each arm reports the mean and the deviation."""


def data(case: str, seed: int, seen: Callable[[str], Domain] = subgroups) -> Data:
    """The pools of a case of `unseen.claims.shifts`."""
    return pools(*domains(case, seed, seen), seed)


def drawn_pools(case: str, seed: int) -> list[Any]:
    """What a cell draws: the pools, and few labels, of which the first draw stands for the others."""
    pair = data(case, seed, numbered_subgroups)
    return [pair, *(support_of(pair, shots, seed, seed) for shots, _ in FEW.values())]


def run(case: str, seed: int) -> Result:
    """All arms on one pair, from one source model and on one exam; metrics are named by the pool.

    Adaptation without labels reads the pool; fine-tuning reads a few labels of the known classes, and is the same
    whatever else the pool holds.
    """
    pair = data(case, seed)
    model = source_model(pair.source, seed)
    table = without_labels(model, pair, seed)
    base = graded(model, pair.exam)
    for arm, values in fine_tuned(model, pair, seed).items():
        table[arm] = {name: float(np.mean(values)) for name in pair.pools}
        table[arm]["deviation"] = float(np.std(values, ddof=1))
        table[arm]["harm"] = float(np.mean([base - value > MARGIN for value in values]))
    return table


def fine_tuned(model: Classifier, pair: Data, seed: int) -> dict[str, list[float]]:
    """Accuracy of each arm for each draw of the shots.

    One rate serves all, as for the authors: that which the labels aside choose with one shot, at the first draw.
    """
    accuracies: dict[str, list[float]] = {arm: [] for arm in (*FEW, "lp-ft 1 last")}
    rate = None
    for draw in range(seed, seed + DRAWS):
        for arm, (shots, settings) in FEW.items():
            support = support_of(pair, shots, seed, draw)
            method = FewShotSFDA(views="same", learning_rate=rate).set_params(random_state=seed, **settings)
            fitted: Any = method.fit(model=model, support=support)
            rate = fitted.chosen_rate_
            accuracies[arm].append(graded(fitted.network_, pair.exam))
            if arm == "lp-ft 1":  # the same training with nothing aside keeps its last step
                last: Any = method.set_params(learning_rate=rate)
                last = last.fit(model=model, support=support.take(validation_samples(support, seed)[0]))
                accuracies["lp-ft 1 last"].append(graded(last.network_, pair.exam))
    return accuracies


# fmt: off
LEDGER: tuple[Assertion, ...] = (
    effect("settings", better("source", "mean unlabeled", "drop ood", by=0.01, lower=True),
        "Adaptation without labels gets worse where the target holds classes that the source has not."),
    effect("settings", better("source", "mean unlabeled", "drop shift", by=0.01, lower=True),
        "Adaptation without labels gets worse where the shares of the classes shift."),
    effect("settings", at_least("any unlabeled", "harm ood", 0.25),
        "Other classes make one of three methods worse than no adaptation, in a quarter of all runs."),
    effect("settings", at_least("any unlabeled", "harm shift", 0.25),
        "Shifted shares make one of three methods worse than no adaptation, in a quarter of all runs."),
    mechanism("settings", better("lp-ft 3", "source", "vanilla", by=0.03),
        "Three labels per class are better than the source model."),
    effect("settings", at_most("lp-ft 3", "harm", 0.0),
        "With three labels none of thirty draws on five pairs is over three points below the source model."),
    effect("settings", not_worse("lp-ft 3", "best unlabeled", "vanilla", within=0.02),
        "Where the target is as assumed, three labels are on a par with the best adaptation without labels."),
    effect("settings", better("lp-ft 3", "best unlabeled", "ood"),
        "Where other classes are there, three labels are better than the best adaptation without labels."),
    effect("settings", better("lp-ft 1", "best unlabeled", "ood"),
        "Where other classes are there, one label is better than the best adaptation without labels."),
    promised("settings", better("lp-ft 3", "best unlabeled", "shift"),
        "Where shares shift, three labels are better than the best adaptation without labels."),
    effect("settings", better("lp-ft 1", "best unlabeled", "shift"),
        "Where shares shift, one label is better than the best adaptation without labels."),
    promised("settings", better("lp-ft 1", "source", "vanilla"),
        "Fine-tuning on one label per class does not overfit: it is above the source model."),
    promised("settings", not_worse("lp-ft 1 last", "lp-ft 1", "vanilla", within=0.01),
        "With one label the last step is as good as the one that the label aside chooses."),
    effect("settings", at_most("lp-ft 3", "deviation", 0.02),
        "Which samples are drawn changes little: a deviation of at most two points with three labels."),
    effect("settings", not_worse("lp-ft 3", "ft 3", "vanilla", within=0.01),
        "The probe first, then fine-tuning, is not worse than fine-tuning alone."),
    effect("settings", better("lp-ft 3", "lp 3", "vanilla"),
        "Fine-tuning after the probe is better than the probe alone."),
    promised("settings", better("lp-ft 3", "lp-ft 1", "vanilla"), "More labels are better: three per class than one."),
    effect("settings", better("lp-ft 5", "lp-ft 3", "vanilla"), "More labels are better: five per class than three."),
    effect("settings", better("lp-ft 5", "best unlabeled", "vanilla"),
        "Where the target is as assumed, five labels are better than the best adaptation without labels."),
    effect("settings", better("lp-ft 3 sam", "lp-ft 3", "vanilla"),
        "Sharpness-aware fine-tuning is a little better than fine-tuning by Adam alone."),
    effect("pairs, fair arms", better("lp-ft 3", "logistic 3", "vanilla"),
        "Fine-tuning on three labels is better than logistic regression on frozen features of source and labels."),
    effect("pairs, fair arms", better("lp-ft 3", "logistic, support alone 3", "vanilla"),
        "Fine-tuning on three labels is better than logistic regression on frozen features of the labels alone."),
    effect("pairs, fair arms", better("lp-ft 1", "logistic 1", "vanilla"),
        "Fine-tuning on one label is better than logistic regression on frozen features of source and labels."),
    effect("pairs, fair arms", better("lp-ft 1", "logistic, support alone 1", "vanilla"),
        "Fine-tuning on one label is better than logistic regression on frozen features of the labels alone."),
    effect("pairs, fair arms", better("source", "any unlabeled", "below ood", by=0.1, lower=True),
        "With other classes, one of three methods without labels is over 3 points below doing nothing in more than "
        "a tenth of pairs."),
    effect("pairs, fair arms", better("source", "any unlabeled", "below shift", by=0.1, lower=True),
        "With shifted shares, one of three methods without labels is over 3 points below doing nothing in more than "
        "a tenth of pairs."),
    effect("pairs, fair arms", better("source", "shot", "below", by=0.1, lower=True),
        "SHOT is not safe: with either it is over 3 points below doing nothing in more than a tenth of pairs."),
    effect("pairs, fair arms", better("source", "aad", "below", by=0.1, lower=True),
        "AaD is not safe: with either it is over 3 points below doing nothing in more than a tenth of pairs."),
    effect("pairs, fair arms", better("source", "sfda2", "below", by=0.1, lower=True),
        "SF(DA)^2 is not safe: with either it is over 3 points below doing nothing in more than a tenth of pairs."),
    effect("pairs, fair arms", at_most("lp-ft 3", "below", 0.05),
        "Fine-tuning on three labels is over 3 points below doing nothing in at most one of twenty-two pairs."),
    effect("pairs, fair arms", better("lp-ft 3", "any unlabeled", "below", lower=True),
        "Fine-tuning on three labels is over 3 points below doing nothing less often than one of three methods "
        "without labels, with other classes or shifted shares."),
    not_testable("Fine-tuning on a few labels loses nothing where the rest of the target is not as assumed.",
        "It is so by construction: nothing but the labels is read, and these are of the known classes."),
    not_testable("No principled way is known to choose hyperparameters without labels.",
        "It is about the state of the field in 2023; docs/choosing.md measures ten ways on our data."),
    paper_scale("On Office-31, Office-Home, VisDA, VLCS and TerraIncognita few labels are on a par with adaptation "
        "without labels, and better where shares or classes shift.",
        "These sets are not at hand. With one as Domains of pictures, and a ResNet-50 with a bottleneck from "
        "`unseen.nn.classifier.train_source`: FewShotSFDA(preset paper).fit(model=..., support=...), the support k + 1 "
        "samples of each class drawn by `unseen.data.few_shot.few_shot_split`, beside SHOT, AaD and SFDA2(preset "
        "paper), each .fit(model=..., target=...); `unseen compare` would train on cached features; not run."),
    not_testable("The code is public.",
        "It is at github.com/daintlab/fewshot-SFDA; the card says where this one differs."),
)

claim = Claim(
    slug="fewshot-sfda",
    ledger=LEDGER,
    experiments={
        "settings": Experiment(
            run=run, data=read, drawn=drawn_pools, unit="pair of domains",
            reused=("digits 50",), **seeds(2),  # digits of development
            development=("digits 20", "digits 35", "emoji noto twemoji", "emoji fluent-emoji-flat openmoji"),
            confirmation=(
                "fonts", "digits 50", "emoji emojione noto-v1", "emoji emojione-v1 fluent-emoji",
                "emoji noto-v1 fluent-emoji-high-contrast"),
            nothing="source"),
        "pairs, fair arms": Experiment(
            run=label_pools.run, data=label_pools.read, drawn=label_pools.drawn_pools, unit="pair of domains",
            clocks=("processor",), nothing="source",
            **seeds(1),
            development=(
                "letters ABCDEFGHIJKLMN DejaVuSans STIXGeneral", "letters ABCDEFGHIJKLMN cm DejaVuSansMono",
                "emoji noto twemoji", "emoji fluent-emoji-flat openmoji"),
            confirmation=(
                *(f"letters abdefghijmnqrt {FAMILIES[i]} {FAMILIES[i - 5 + k]}" for k in (1, 2) for i in range(5)),
                *(f"stamps {source} {target}" for source, target in itertools.permutations(STYLES, 2)))),
    },
    licences=(worlds.DIGITS, worlds.STAMPS, worlds.FONTS, worlds.EMOJI),
)
# fmt: on

"""Few-shot fine-tuning's claim: a few labels against adaptation without, as assumed and where that breaks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from unseen.claims.base import Assertion, Claim, Experiment, at_least, at_most, better, not_worse
from unseen.claims.shifts import domains, source_model
from unseen.data.domain import Domain
from unseen.data.few_shot import few_shot_split, unbalanced
from unseen.evaluation.metrics.classification import accuracy, mean_class_accuracy
from unseen.methods.adaptation.fewshot_sfda import FewShotSFDA
from unseen.methods.adaptation.sfda2 import SFDA2
from unseen.methods.base import Method
from unseen.methods.baselines.aad import AaD
from unseen.methods.baselines.shot import SHOT
from unseen.nn.classifier import Classifier, outputs

Table = dict[str, dict[str, float]]

UNLABELED: Mapping[str, type[Method]] = {"shot": SHOT, "aad": AaD, "sfda2": SFDA2}
FEW: Mapping[str, tuple[int, Mapping[str, Any]]] = {
    "lp-ft 1": (1, {}),
    "lp-ft 3": (3, {}),
}
"""Shots and settings, in every setting of the target."""
ABLATIONS: Mapping[str, tuple[int, Mapping[str, Any]]] = {
    "ft 1": (1, {"strategy": "ft"}),
    "ft 3": (3, {"strategy": "ft"}),
    "lp 3": (3, {"strategy": "lp"}),
    "lp-ft 3 sam": (3, {"rho": 0.05}),
}
"""The same where the target is as assumed."""
DRAWS = 2
"""Draws of the shots, of which each arm reports the mean and the deviation."""
RATIO = 20.0
"""How much larger the largest class is than the smallest where labels shift."""


def run(case: str, seed: int) -> Table:
    """All arms in three settings on one pair of domains; metrics are named by the setting.

    `vanilla`: equal classes; `ood`: the target holds classes that the source has not; `shift`: classes that are many in
    the source are few in the target. The exam is a fifth of the target: of the known classes, and the mean accuracy
    over classes where they shift.
    """
    table: Table = {}
    for setting in ("vanilla", "ood", "shift"):
        for arm, value in measured(setting, case, seed).items():
            table.setdefault(arm, {}).update(value)
    for row in table.values():
        for setting in ("ood", "shift") if "ood gain" in row else ():
            row[f"drop {setting}"] = row["vanilla gain"] - row[f"{setting} gain"]
    arms = [arm for arm in UNLABELED if arm in table]
    for metric in ("vanilla", "ood", "shift"):
        table.setdefault("best unlabeled", {})[metric] = max(table[arm][metric] for arm in arms)
    for metric in ("drop ood", "drop shift"):
        table["best unlabeled"][metric] = min(table[arm][metric] for arm in arms)
    return table


def measured(setting: str, case: str, seed: int) -> Table:
    """Accuracy of all arms in one setting, and what each is above the source model."""
    source, target = domains(case, seed)
    known = len(np.unique(source.labels))
    if setting == "ood":
        known = round(0.7 * known)
        source = source.take(source.labels < known)
    if setting == "shift":
        source, target = unbalanced(source, RATIO, seed=seed), unbalanced(target, RATIO, reverse=True, seed=seed)
        target = target.take(np.isin(target.labels, _frequent(target, 7)))
    model = source_model(source.replace(classes=None), seed)
    split = few_shot_split(target.labels, 1, seed=seed)
    pool = np.setdiff1d(np.arange(len(target)), split.test)
    exam = target.take(split.test[target.labels[split.test] < known])
    found: dict[str, list[float]] = {"source": [graded(model, exam, setting)]}
    for arm, method in UNLABELED.items():
        fitted: Any = method().set_params(random_state=seed)
        found[arm] = [graded(fitted.fit(model=model, target=target.take(pool)).network_, exam, setting)]
    labelled = target.take(pool[target.labels[pool] < known])
    arms = FEW if setting != "vanilla" else {**FEW, **ABLATIONS}
    for arm, (shots, settings) in arms.items():
        found[arm] = [few(model, labelled, exam, shots, settings, setting, seed + 1000 * i) for i in range(DRAWS)]
    base = found["source"][0]
    rows = {}
    for arm, values in found.items():
        mean = float(np.mean(values))
        rows[arm] = {setting: mean, f"{setting} gain": mean - base, f"{setting} deviation": float(np.std(values))}
    return rows


def few(
    model: Classifier,
    labelled: Domain,
    exam: Domain,
    shots: int,
    settings: Mapping[str, Any],
    setting: str,
    seed: int,
) -> float:
    """One draw of `shots` + 1 labels of each class."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(labelled))
    own = [order[labelled.labels[order] == label][: shots + 1] for label in np.unique(labelled.labels)]
    support = labelled.take(np.sort(np.concatenate(own))).replace(classes=None)
    method = FewShotSFDA(views="same").set_params(random_state=seed, **settings).fit(model=model, support=support)
    network: Any = method.network_
    return graded(network, exam, setting)


def graded(network: Classifier, exam: Domain, setting: str) -> float:
    """Accuracy, of the mean class where labels shift."""
    predicted = outputs(network, exam)[1].argmax(dim=1).numpy()
    metric = mean_class_accuracy if setting == "shift" else accuracy
    return metric(exam.labels, predicted)


def _frequent(target: Domain, least: int) -> np.ndarray:
    labels, counts = np.unique(target.labels, return_counts=True)
    return labels[counts >= least]


claim = Claim(
    slug="fewshot-sfda",
    parts=("unseen.claims.shifts", "unseen.methods.adaptation.sfda2", "unseen.methods.baselines.aad"),
    licences=(
        "Digits: Alpaydin and Kaynak, UCI, in scikit-learn",
        "Fonts: DejaVu, STIX and Computer Modern, as matplotlib ships them",
        "Emoji: Noto (Apache-2.0), Twemoji and EmojiOne 1 and 2 (CC BY 4.0), OpenMoji (CC BY-SA 4.0), Fluent (MIT)",
    ),
    experiments={
        "settings": Experiment(
            run=run,
            development=("digits 20", "digits 35", "emoji noto twemoji", "emoji fluent-emoji-flat openmoji"),
            confirmation=(
                "fonts",
                "digits 50",
                "emoji emojione noto-v1",
                "emoji emojione-v1 fluent-emoji",
                "emoji noto-v1 fluent-emoji-high-contrast",
            ),
            seeds=(0, 1),
            fresh_seeds=(100, 101),
            unit="pair of domains",
        )
    },
    ledger=(
        Assertion(
            text="Adaptation without labels gets worse where the target holds classes that the source has not.",
            level="effect",
            experiment="settings",
            holds=at_least("best unlabeled", metric="drop ood", value=0.01),
        ),
        Assertion(
            text="It gets worse where the shares of the classes shift.",
            level="effect",
            experiment="settings",
            holds=at_least("best unlabeled", metric="drop shift", value=0.01),
        ),
        Assertion(
            text="Fine-tuning on three labels per class loses less of its gain to classes that the source has not.",
            level="effect",
            experiment="settings",
            holds=better("lp-ft 3", "best unlabeled", metric="drop ood", lower=True),
        ),
        Assertion(
            text="It loses less of its gain to a shift of the shares.",
            level="effect",
            experiment="settings",
            holds=better("lp-ft 3", "best unlabeled", metric="drop shift", lower=True),
        ),
        Assertion(
            text="Three labels per class are better than the source model, where the target is as assumed.",
            level="mechanism",
            experiment="settings",
            holds=better("lp-ft 3", "source", metric="vanilla", by=0.03),
        ),
        Assertion(
            text="... where it holds other classes, too.",
            level="mechanism",
            experiment="settings",
            holds=better("lp-ft 3", "source", metric="ood", by=0.03),
        ),
        Assertion(
            text="... and where shares shift.",
            level="mechanism",
            experiment="settings",
            holds=better("lp-ft 3", "source", metric="shift", by=0.03),
        ),
        Assertion(
            text="Where the target is as assumed, three labels are on a par with the best adaptation without labels.",
            level="effect",
            experiment="settings",
            holds=not_worse("lp-ft 3", "best unlabeled", metric="vanilla", within=0.02),
        ),
        Assertion(
            text="Where it holds other classes, three labels are better than the best adaptation without labels.",
            level="effect",
            experiment="settings",
            holds=better("lp-ft 3", "best unlabeled", metric="ood"),
        ),
        Assertion(
            text="Where shares shift, three labels are better than the best adaptation without labels.",
            level="effect",
            experiment="settings",
            holds=better("lp-ft 3", "best unlabeled", metric="shift"),
        ),
        Assertion(
            text="Fine-tuning on one label per class does not overfit: it is not below the source model.",
            level="effect",
            experiment="settings",
            holds=not_worse("lp-ft 1", "source", metric="vanilla", within=0.0),
            promised=True,
        ),
        Assertion(
            text="Which samples are drawn changes little: a deviation of at most two points with three labels.",
            level="effect",
            experiment="settings",
            holds=at_most("lp-ft 3", metric="vanilla deviation", value=0.02),
        ),
        Assertion(
            text="The probe first, then fine-tuning, is not worse than fine-tuning alone.",
            level="effect",
            experiment="settings",
            holds=not_worse("lp-ft 3", "ft 3", metric="vanilla", within=0.01),
        ),
        Assertion(
            text="Fine-tuning after the probe is better than the probe alone.",
            level="effect",
            experiment="settings",
            holds=better("lp-ft 3", "lp 3", metric="vanilla"),
        ),
        Assertion(
            text="More labels are better.",
            level="effect",
            experiment="settings",
            holds=better("lp-ft 3", "lp-ft 1", metric="vanilla"),
            promised=True,
        ),
        Assertion(
            text="Sharpness-aware fine-tuning is a little better.",
            level="effect",
            experiment="settings",
            holds=better("lp-ft 3 sam", "lp-ft 3", metric="vanilla"),
        ),
        Assertion(
            text="No principled way is known to choose hyperparameters without labels.",
            level="not testable",
            reason="It is about the state of the field in 2023; docs/choosing.md measures ten ways on our data.",
        ),
        Assertion(
            text="On Office-31, Office-Home, VisDA, VLCS and TerraIncognita the same holds.",
            level="paper scale",
            reason=(
                "These sets are not at hand. With a source model and folders of the target: "
                "`unseen compare --model source.safetensors --target DIR --support DIR --methods fewshot-sfda:paper,"
                "shot,aad,sfda2:paper`; not run."
            ),
        ),
        Assertion(
            text="The code is public.",
            level="not testable",
            reason="It is at github.com/daintlab/fewshot-SFDA; the card says where this one differs.",
        ),
    ),
)

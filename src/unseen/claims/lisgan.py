"""LisGAN's claims: emoji that it saw no drawing of, recognized from their names and keywords."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from unseen.claims import worlds
from unseen.claims.base import Claim, Experiment, Result, of_both
from unseen.claims.conditions import at_least, better, not_worse, wins
from unseen.claims.drawings import VENDORS, described, drawn, features, of_split
from unseen.claims.folds import Fold, components, fold_of, near, ridge_prototypes, roles
from unseen.claims.ledger import effect, mechanism, not_testable, paper_scale, promised
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.typing import IntArray
from unseen.evaluation.metrics.zero_shot import generalized_scores, mean_class_top1
from unseen.methods.zero_shot.lisgan import LisGAN
from unseen.methods.zero_shot.lisgan.steps import confident, nearest_soul, soul_samples

CLASSES, UNSEEN = 300, 60
CHANCE = 1 / UNSEEN
ARMS: dict[str, dict[str, Any]] = {
    "wgan": {"sample_souls": 0.0, "class_souls": 0.0},
    "tuned wgan": {"sample_souls": 0.0, "class_souls": 0.0, "classification": 0.1},
    "souls": {},
}
"""`wgan` is `souls` without souls. It recognizes more with a larger weight of the classification loss: `tuned wgan`
has the best of 0.01, 0.05, 0.1, 0.3 and 1 on the development emoji, and effects are measured against it."""
EMBEDDING = {"zsl": {"alpha": 3.0}, "gzsl": {"alpha": 0.1, "handicap": 0.1}}
"""Settings of the arm `ridge`, the best on the development emoji, as those of LisGAN are."""
SOULS = 1
"""Souls per class: a class has four drawings to learn from, so that three souls would be the drawings."""
GENERALIZED = dict(LisGAN.card.presets["generalized"])
"""Among all classes: 10 synthetic features of an unseen class stand beside 4 real ones of a seen class."""


# -- data --------------------------------------------------------------------------------------------------


def folds(split: str, fold: int) -> Fold:
    """A fifth of the classes is unseen; features have 128 principal components of the source, texts 64."""
    classes, rng = classes_of(split, fold)
    attributes = components(described(split, CLASSES), 64)
    return fold_of(features(split, CLASSES), classes.replace(attributes=attributes), rng, 128)


def classes_of(split: str, fold: int) -> tuple[ClassSpace, np.random.Generator]:
    """The classes by name, and what else is drawn from."""
    rng = np.random.default_rng(0)
    unseen = rng.permutation(CLASSES)[fold * UNSEEN : (fold + 1) * UNSEEN]
    names = tuple(drawn(split, CLASSES)[0].columns["name"].tolist())
    return ClassSpace(names=names, seen=np.setdiff1d(np.arange(CLASSES), unseen)), rng


def drawn_parts(case: str, seed: int) -> list[Any]:
    """What a cell draws: which classes are seen, and which drawings are learnt from and asked about."""
    split, fold = case.split()
    classes, rng = classes_of(split, int(fold))
    return [classes, roles(len(VENDORS[split]), classes, rng)]


# -- arms --------------------------------------------------------------------------------------------------


def ridge(
    source: Domain, classes: ClassSpace, x: NDArray[np.float32], among: IntArray, *, alpha: float, handicap: float = 0.0
) -> IntArray:
    """Nearest prototype by cosine; prototypes of `among` by ridge regression from descriptions to class means.

    The cosine with a seen class is lowered by `handicap` (calibrated stacking, Chao et al., ECCV 2016).
    """
    assert classes.attributes is not None
    a = classes.attributes / np.linalg.norm(classes.attributes, axis=1, keepdims=True)
    prototypes = ridge_prototypes(source.x, source.labels, a, classes.seen, alpha)[among]
    scores = near(x, prototypes, source.x.mean(axis=0))
    return among[(scores - handicap * np.isin(among, classes.seen)).argmax(axis=1)]


def soul_distance(method: LisGAN, real: Domain) -> float:
    """Mean squared distance, in scaled features, from generated samples of a class to its nearest real soul."""
    ids, y = np.unique(real.labels, return_inverse=True)
    scale = method.network_.backbone
    souls = soul_samples(scale(torch.as_tensor(real.x)), torch.as_tensor(y), len(ids), SOULS)
    synthetic = method.synthesize(ids, 50)
    place = torch.as_tensor(np.searchsorted(ids, synthetic.labels))
    return float(nearest_soul(scale(torch.as_tensor(synthetic.x)), souls[place]).mean())


def discrepancy(method: LisGAN, real: Domain) -> float:
    """Squared MMD between generated and real samples of the same classes, RBF kernel of median width."""
    synthetic = method.synthesize(np.unique(real.labels), 5)
    a, b = torch.as_tensor(synthetic.x), torch.as_tensor(real.x)
    scale = method.network_.backbone
    a, b = scale(a), scale(b)
    width = torch.cdist(b, b).median() ** 2
    within = [torch.exp(-(torch.cdist(u, u) ** 2) / width) for u in (a, b)]
    unbiased = sum((k.sum() - len(k)) / (len(k) * (len(k) - 1)) for k in within)
    return float(unbiased - 2 * torch.exp(-(torch.cdist(a, b) ** 2) / width).mean())


def spread(domain: Domain) -> float:
    """Mean deviation of the samples of one class."""
    return float(np.mean([domain.x[domain.y == c].std(axis=0).mean() for c in np.unique(domain.labels)]))


def run_emoji(case: str, seed: int) -> Result:
    """Ridge, conditional WGANs, with souls, with cascade, on one fold of the classes.

    `continued` is a cascade that trusts no sample: its second pass only trains longer.
    """
    split, fold = case.split()
    parts = folds(split, int(fold))
    (source, seen_test, unseen_test, classes), both = parts, parts.tests
    truth = unseen_test.labels

    zsl = ridge(source, classes, unseen_test.x, classes.unseen, **EMBEDDING["zsl"])
    gzsl = ridge(source, classes, both.x, np.arange(len(classes)), **EMBEDDING["gzsl"])
    scores = generalized_scores(both.labels, gzsl, classes.seen)
    table: Result = {"ridge": {"zsl": mean_class_top1(truth, zsl), **scores}}
    for arm, weights in ARMS.items():
        method = LisGAN(**{"random_state": seed, "souls": SOULS, **weights})
        method.fit(source=source, classes=classes)
        wide = copy.copy(method).set_params(**GENERALIZED).adapt(source=source, classes=classes)
        predicted = method.predict(unseen_test)
        table[arm] = {
            "zsl": mean_class_top1(truth, predicted),
            "accuracy": float((predicted == truth).mean()),
            "distance of seen": soul_distance(method, source),
            "distance of unseen": soul_distance(method, unseen_test),
            "discrepancy": discrepancy(method, unseen_test),
            "spread": spread(method.synthesize(classes.unseen, 50)) / spread(unseen_test),
            **generalized_scores(both.labels, wide.predict(both), classes.seen),
        }
    easy = confident(method.predict_proba(unseen_test), method.ratio).numpy()
    table["confident"] = {"accuracy": float((predicted == truth)[easy].mean())}
    for arm, ratio in (("cascade", method.ratio), ("continued", 0.0)):
        zsl, gzsl = (
            copy.copy(m).set_params(ratio=ratio).adapt(source=source, classes=classes, target=pool).transduction_
            for m, pool in ((method, unseen_test), (wide, both))
        )
        table[arm] = {"zsl": mean_class_top1(truth, zsl), **generalized_scores(both.labels, gzsl, classes.seen)}
    table["souls"]["represent"] = nearest_soul_accuracy(method, seen_test)
    return table


def nearest_soul_accuracy(method: LisGAN, test: Domain) -> float:
    """Mean per-class accuracy of giving seen drawings the class of the nearest soul, in scaled features."""
    scale = method.network_.backbone
    souls = scale(method.souls_.flatten(0, 1))
    nearest = torch.cdist(scale(torch.as_tensor(test.x)), souls).argmin(dim=1).numpy() // method.souls
    return mean_class_top1(test.labels, method.seen_[nearest])


# fmt: off
LEDGER = (
    not_testable("Earlier zero-shot learning maps features and descriptions into each other, an indirect way.",
        "A statement about other people's work; the arm `ridge` is such a method."),
    mechanism("emoji", at_least("souls", "zsl", 3 * CHANCE),
        "Features of never-seen classes are generated from noise under their description alone: a classifier on "
        "generated features recognizes real ones, at least three times as often as chance."),
    mechanism("emoji", at_least("wgan", "zsl", 2 * CHANCE),
        "A minimax game of a generator and a critic, both given the description, teaches this: without any "
        "regularizer it beats twice the chance."),
    mechanism("emoji", at_least("souls", "spread", 0.2),
        "One description gives various samples: within an unseen class, generated samples spread at least a fifth "
        "as far as real ones."),
    not_testable("The description is the soul of the generated features.",
        "A figure of speech; what is meant is the two assertions about soul samples."),
    mechanism("emoji", at_least("souls", "represent", 0.2),
        "Soul samples, here one per class, represent it: by the nearest soul alone, unknown drawings of 240 seen "
        "classes are recognized at least one time in five (chance 0.004)."),
    mechanism("emoji", wins("souls", "wgan", "distance of seen", lower=True, of=1.0),
        "Generated samples of seen classes lie nearer to the soul of their class if regularized, in all runs."),
    promised("emoji", better("souls", "tuned wgan", "distance of unseen", lower=True),
        "So do those of unseen classes, whose souls the training never saw."),
    promised("emoji", better("souls", "tuned wgan", "discrepancy", lower=True),
        "The distribution of features generated for unseen classes is nearer to the real one (MMD)."),
    promised("emoji", not_worse("souls", "tuned wgan", "zsl", within=0.005),
        "Souls cost the recognition of unseen classes at most half a point."),
    promised("emoji", wins("souls", "tuned wgan", "zsl", of=5 / 9),
        "Souls improve the recognition of unseen classes in at least five of nine runs."),
    effect("emoji", better("souls", "tuned wgan", "h"), "Souls improve recognition among seen and unseen classes (H)."),
    mechanism("emoji", wins("confident", "souls", "accuracy", of=1.0),
        "The two classifiers go from coarse to fine: predictions that the first one is sure of are right more often "
        "than all of them, in all runs."),
    effect("emoji", better("cascade", "continued", "zsl"),
        "The second classifier of the cascade improves on the first, trained as long, among unseen classes."),
    effect("emoji", better("cascade", "continued", "h"),
        "The second classifier of the cascade improves on the first, trained as long, among all classes (H)."),
    effect("emoji", better("souls", "ridge", "zsl"),
        "It outperforms learning an embedding: ridge regression from descriptions to prototypes, on unseen classes."),
    effect("emoji", better("souls", "ridge", "h"),
        "It outperforms that embedding, with calibrated stacking, among seen and unseen classes (H)."),
    paper_scale("It significantly outperforms the state of the art of 2019 on aPY, AwA, CUB, SUN and Flowers.",
        "The ResNet-101 features are not in a package. With res101.mat and att_splits.mat in DIR: data = "
        "unseen.data.loaders.matlab.load_zsl(DIR), then LisGAN(**PAPER['cub-zsl']).fit(source=data.train_seen, "
        "classes=data.classes, target=data.test_unseen)."),
)
claim = Claim(
    slug="lisgan",
    ledger=LEDGER,
    experiments={
        "emoji": Experiment(
            run=run_emoji, data=lambda case: of_split(case, "name", "keywords", n=CLASSES),
            drawn=drawn_parts, unit="fold of classes", **of_both(range(3))),
    },
    licences=(worlds.EMOJI, worlds.LITE0, worlds.MINILM),
)
# fmt: on

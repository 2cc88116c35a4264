"""CREST's claims: emoji never seen, from attributes; and mosaics of signs, where it is known what is shown where."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from unseen.claims import worlds
from unseen.claims.base import Claim, Experiment, Result, of_both, seeds
from unseen.claims.conditions import at_least, better, not_worse
from unseen.claims.drawings import of_split
from unseen.claims.emoji_regions import CLASSES, FOLDS, drawings, fold, numbered_fold
from unseen.claims.folds import Fold
from unseen.claims.ledger import Assertion, effect, mechanism, not_testable, paper_scale
from unseen.claims.pooled_scorers import PooledScorers
from unseen.claims.sign_mosaics import CELLS, SHOWN, mosaics, signs
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.typing import IntArray
from unseen.evaluation.metrics.zero_shot import generalized_scores, mean_class_top1
from unseen.evaluation.rejection import auroc
from unseen.methods.baselines.dap import DAP
from unseen.methods.baselines.describe import Describe
from unseen.methods.baselines.ridge import Ridge
from unseen.methods.checks import as_regions
from unseen.methods.zero_shot.crest import CREST

PLAIN: dict[str, Any] = {"patterns": 0, "contrast": 0.0, "semantics": 0.0}
ARMS: dict[str, dict[str, Any]] = {
    "a: VGT, softmax": {**PLAIN, "pathways": "visual", "loss": "softmax"},
    "b: VGT": {**PLAIN, "pathways": "visual"},
    "c: AGT": {**PLAIN, "pathways": "attribute"},
    "d: mean of logits": {**PLAIN, "fusion": "logits"},
    "e: Dempster": PLAIN,
    "f: bank": {"contrast": 0.0, "semantics": 0.0},
    "full": {},
}
"""The ablation table; each row has what the one before it has, from d on."""
WITHOUT: dict[str, dict[str, Any]] = {
    "no bank": {"patterns": 0},
    "no VICL": {"contrast": 0.0},
    "uniform negatives": {"negatives": "uniform"},
    "no ARISE": {"semantics": 0.0},
    "no evidence": {"loss": "softmax"},
    "one logit": {"fusion": "logits"},
}
"""The whole method, but for one part."""


# -- emoji -------------------------------------------------------------------------------------------------

TUNED: dict[str, dict[str, Any]] = {"ridge": {"hubs": False, "handicap": 0.1}, "DAP": {"C": 0.01, "handicap": 0.1}}
"""The best handicaps, and C, of a grid on the development emoji."""


def run_emoji(case: str, seed: int) -> Result:
    """Every arm of the ablation and the baselines on one fold, among unseen and among all classes."""
    given, places = fold(case)
    split = case.split()[0]
    learn: dict[str, Any] = {"source": given.source, "classes": given.classes}
    table: Result = {}
    for name, rival in (("ridge", Ridge), ("DAP", DAP)):
        wide = rival(generalized=True, **TUNED[name]).fit(**learn)
        even = rival(**{**TUNED[name], "handicap": 0.0}).fit(**learn)
        table[name] = {**recognized(wide, given), "t1": unseen_top1(even, given)}
    x, vectors = drawings(split)[1]
    unseen = given.classes.unseen
    described = ClassSpace(names=tuple(given.classes.names[c] for c in unseen), embeddings=vectors[unseen])
    near = Describe().fit(classes=described)
    table["nearest description"] = {"t1": mean_class_top1(given.unseen.labels, unseen[near.predict(x[places])])}
    for arm, changes in {**ARMS, "no VICL": WITHOUT["no VICL"]}.items():
        method = CREST(**{"random_state": seed, "generalized": True, **changes}).fit(**learn)
        table[arm] = {"t1": unseen_top1(method, given), **recognized(method, given), **certainty(method, given)}
        if arm == "full":
            table["full"] |= {"named": named(method, given)}
            table |= blind(method, given, seed) | views(method, given)
    table["chance"] = {"auroc": 0.5}
    table["all"] = {"sure": table["full"]["accuracy"]}
    texts = given.classes.replace(attributes=None, attribute_names=None, embeddings=vectors)
    method = CREST(generalized=True).set_params(random_state=seed)
    method.fit(source=given.source.replace(classes=texts), classes=texts)
    table["full, told by texts"] = {"t1": unseen_top1(method, given)}
    return table


def unseen_top1(method: Any, given: Fold) -> float:
    """Accuracy among the unseen classes, the mean over them."""
    among = method.decision_function(given.unseen)[:, given.classes.unseen].argmax(dim=1).numpy()
    return mean_class_top1(given.unseen.labels, given.classes.unseen[among])


def recognized(method: Any, given: Fold) -> dict[str, float]:
    """S, U and H among all classes."""
    truth = np.r_[given.seen.labels, given.unseen.labels]
    predicted = np.r_[method.predict(given.seen), method.predict(given.unseen)]
    return {**generalized_scores(truth, predicted, given.classes.seen), "accuracy": float((truth == predicted).mean())}


def certainty(method: CREST, given: Fold) -> dict[str, float]:
    """What the uncertainty of the fused opinion is worth, over the tests of seen and of unseen classes."""
    parts = [method.opinions(as_regions(part))["fused"].uncertainty.numpy() for part in (given.seen, given.unseen)]
    u = np.concatenate(parts)
    truth = np.r_[given.seen.labels, given.unseen.labels]
    p = torch.cat([method.predict_proba(part) for part in (given.seen, given.unseen)])
    right = p.argmax(dim=1).numpy() == truth
    return {
        "u seen": float(parts[0].mean()),
        "u unseen": float(parts[1].mean()),
        "auroc": auroc(*parts[::-1]),
        "sure": float(right[u <= np.median(u)].mean()),
    }


def named(method: CREST, given: Fold, order: IntArray | None = None) -> float:
    """How often the attribute that spoke most for a drawing's class is one that the true class has.

    With an order, the drawings' classes are another drawing's.
    """
    assert given.classes.attributes is not None
    has = given.classes.attributes[given.unseen.labels] > 0
    first = method.top_attributes(as_regions(given.unseen), 1).attributes[:, :1]
    return float(np.take_along_axis(has if order is None else has[order], first, axis=1).mean())


def blind(method: CREST, given: Fold, seed: int) -> Result:
    """The same of the attribute that most drawings of the source have, and of that of another drawing."""
    has = given.classes.attributes
    assert has is not None
    most = has[given.source.labels].sum(axis=0).argmax()
    order = np.random.default_rng(seed).permutation(len(given.unseen))
    return {
        "commonest attribute": {"named": float((has[given.unseen.labels, most] > 0).mean())},
        "another drawing": {"named": named(method, given, order)},
    }


def views(method: CREST, given: Fold) -> Result:
    """What each pathway of one model believes of unseen emoji, among these, beside both together."""
    held, unseen = method.opinions(as_regions(given.unseen)), given.classes.unseen
    believed = {name: unseen[part.belief[:, unseen].argmax(dim=1).numpy()] for name, part in held.items()}
    return {f"{name} view": {"t1": mean_class_top1(given.unseen.labels, y)} for name, y in believed.items()}


# -- mosaics -----------------------------------------------------------------------------------------------

WORLDS = ("plain", "uneven", "apart", "together", "alike")
EACH = {"many": 12, "few": 4}
"""Pictures of a seen class."""
SETTINGS: dict[str, Any] = {"epochs": 30, "learning_rate": 3e-3, "width": 64, "dropout": 0.2}
FEW: dict[str, Any] = {**SETTINGS, "learning_rate": 1e-2, "held_out": 0.0}
"""Better with four pictures of a class, on development mosaics; no better with twelve."""
RIVALS: dict[str, dict[str, Any]] = {
    "linear scorers, pooled": {"objective": "classes", "learning_rate": 3e-2, "temperature": 1.0},
    "small networks, pooled": {"width": SETTINGS["width"], "learning_rate": 3e-2, "temperature": 3.0},
}
"""Scorers of single cells with the best of two objectives, three learning rates and two temperatures on development
mosaics. Pictures of the source that are set aside cannot tell: they show the digits that were learnt from."""
OPENED = ("handwritten 0", "handwritten 1", "printed 100", "printed 101")
FRESH = ("mnist 200", "mnist 201", "capitals 202", "capitals 203", "small 204", "small 205")
"""Signs that no other experiment shows: other people's hands, and other characters."""


def located(method: CREST | PooledScorers, pictures: Domain) -> dict[str, float]:
    """The attention of each digit shown that lies on its own cell, and how often that is the cell with the most.

    `mass of the pair` is that of the digits zero and one alone.
    """
    place = pictures.columns["place"]
    maps = method.attention_maps(as_regions(pictures)).reshape(*place.shape, CELLS)
    i, digit = np.nonzero(place >= 0)
    of, cell = maps[i, digit], place[i, digit]
    mass, pointed = of[np.arange(len(of)), cell], of.argmax(axis=1) == cell
    pair = float(mass[digit < 2].mean())
    return {"mass": float(mass.mean()), "mass of the pair": pair, "pointed": float(pointed.mean())}


def judged(method: Any, given: Fold) -> dict[str, float]:
    """Accuracy among the unseen classes."""
    return {"t1": mean_class_top1(given.unseen.labels, method.predict(given.unseen))}


def learnt(given: Fold, seed: int, **changes: Any) -> CREST:
    """The method on mosaics."""
    return CREST(**{**SETTINGS, "random_state": seed, **changes}).fit(source=given.source, classes=given.classes)


def many(case: str, seed: int) -> tuple[Fold, NDArray[np.float32]]:
    """Twelve pictures of each seen class; and the cells of those of unseen ones with their pixels shuffled."""
    given = mosaics(case, "plain", EACH["many"])
    return given, np.random.default_rng(seed).permuted(given.unseen.columns["regions"], axis=2)


def few(case: str, seed: int = 0) -> dict[str, Fold]:
    """Four pictures of each seen class in every world; the seed is none of theirs."""
    return {world: mosaics(case, world, EACH["few"]) for world in WORLDS}


def run_mosaics(case: str, seed: int) -> Result:
    """Twelve pictures of each seen class: what is found where, and what is said of pictures that show nothing known."""
    given, empty = many(case, seed)
    table: Result = {
        "ridge": judged(Ridge(hubs=False).fit(source=given.source, classes=given.classes), given),
        "DAP": judged(DAP(C=1.0).fit(source=given.source, classes=given.classes), given),
        "chance": {"t1": 1 / len(given.classes.unseen), "mass": 1 / CELLS},
    }
    for arm in ("b: VGT", "c: AGT", "full"):
        method = learnt(given, seed, **ARMS[arm])
        table[arm] = {**judged(method, given), **located(method, given.unseen)}
    known, nothing = (method.opinions(as_regions(x))["fused"].uncertainty.numpy() for x in (given.unseen, empty))
    top = method.top_attributes(as_regions(given.unseen), SHOWN).attributes
    shown = given.unseen.columns["place"] >= 0
    table["full"] |= {
        "auroc": auroc(nothing, known),
        "named": float(np.take_along_axis(shown, top, axis=1).mean()),
    }
    return table


def run_mosaics_fairly(case: str, seed: int) -> Result:
    """Twelve pictures of each seen class: the whole method and rivals that see the same cells."""
    given, shuffled = many(case, seed)
    table: Result = {
        "chance": {"t1": 1 / len(given.classes.unseen), "mass": 1 / CELLS, "auroc": 0.5},
        "ridge": judged(Ridge(hubs=False).fit(source=given.source, classes=given.classes), given),
    }
    shown, empty = as_regions(given.unseen), torch.as_tensor(shuffled)
    method = learnt(given, seed)
    known, nothing = (method.opinions(x)["fused"].uncertainty.numpy() for x in (shown, empty))
    table["full"] = {**judged(method, given), **located(method, given.unseen), "auroc": auroc(nothing, known)}
    for arm, rival in rivals(given, seed).items():
        table[arm] = {**judged(rival, given), **located(rival, given.unseen)}
        if rival.objective == "attributes":  # the other objective leaves open how high all scores are
            table[arm]["auroc"] = auroc(rival.doubt(empty), rival.doubt(shown))
    return table


def run_worlds_fairly(case: str, seed: int) -> Result:
    """Four pictures of each seen class in every world: the whole method and rivals that see the same cells."""
    table: Result = {}
    for world, given in few(case).items():
        table[f"chance; {world}"] = {"t1": 1 / len(given.classes.unseen), "mass": 1 / CELLS}
        table[f"ridge; {world}"] = judged(Ridge(hubs=False).fit(source=given.source, classes=given.classes), given)
        arms: dict[str, Any] = {"full": learnt(given, seed, **FEW), **rivals(given, seed)}
        for arm, method in arms.items():
            table[f"{arm}; {world}"] = {**judged(method, given), **located(method, given.unseen)}
    return table


def rivals(given: Fold, seed: int) -> dict[str, PooledScorers]:
    """Scorers of single cells, pooled, which learn from the same cells for as long."""
    budget = {"epochs": SETTINGS["epochs"], "dropout": SETTINGS["dropout"], "random_state": seed}
    return {
        arm: PooledScorers(**budget, **settings).fit(source=given.source, classes=given.classes)
        for arm, settings in RIVALS.items()
    }


def run_worlds(case: str, seed: int) -> Result:
    """Four pictures of each seen class in every world: the ablation, and the whole method without one of its parts."""
    table: Result = {"chance": {"mass": 1 / CELLS, "mass of the pair": 1 / CELLS}}
    for world, given in few(case).items():
        for arm, changes in {**ARMS, **WITHOUT}.items():
            method = learnt(given, seed, **changes)
            table[f"{arm}; {world}"] = {**judged(method, given), **located(method, given.unseen)}
        table[f"ridge; {world}"] = judged(Ridge(hubs=False).fit(source=given.source, classes=given.classes), given)
    return table


TOLD = {
    "linear scorers, pooled": "linear scorers of single cells whose scores are pooled",
    "small networks, pooled": "small networks that score single cells, their scores pooled",
}


# fmt: off
LEDGER: tuple[Assertion, ...] = (
    mechanism("emoji", at_least("full", "t1", 0.1),
        "Novel classes are recognized by knowledge from known ones: unseen emoji, at least five times as often as "
        "chance among fifty."),
    mechanism("mosaics", at_least("full", "t1", 0.5),
        "The same for unseen sets of digits: at least half of the time, where chance is one in fifteen."),
    effect("emoji", better("full", "full, told by texts", "t1"),
        "Attributes help: better than the same method told of classes by vectors of the same keywords as texts."),
    effect("emoji", better("full", "nearest description", "t1"),
        "Better than the nearest of these texts under a small two-tower model, which learns nothing here: a weak "
        "rival, ridge regression is the strong one."),
    effect("worlds", better("ridge; apart", "ridge; together", "t1"),
        "Attributes that occur together are hard to tell apart: ridge regression on the whole picture recognizes "
        "fewer of the same unseen classes where two digits nearly always come together (in eight of ten classes)."),
    effect("worlds", better("b: VGT; apart", "b: VGT; together", "t1"), "So does a single pathway over regions."),
    effect("worlds", better("full; apart", "full; together", "t1"), "So does the whole method."),
    effect("worlds", better("b: VGT; plain", "b: VGT; uneven", "t1"),
        "So does it where the numbers of pictures differ between classes."),
    not_testable("Annotations of regions are scarce.",
        "Background. None is used here: the mosaics' places of digits are for the test alone."),
    mechanism("mosaics", at_least("full", "mass", 0.5),
        "Attributes are located without annotations of regions: of the attention of a digit that is shown, half or "
        "more lies on its own one of nine cells."),
    mechanism("mosaics", at_least("full", "pointed", 0.8),
        "The cell with the most attention is the right one at least eight times in ten."),
    mechanism("worlds", better("full; plain", "chance", "mass", by=0.1),
        "With four pictures of each class digits are still located, better than by chance by more than a tenth."),
    effect("worlds", better("full; together", "chance", "mass of the pair", by=0.1),
        "Even two digits that nearly always come together."),
    effect("emoji", better("full", "no VICL", "t1"),
        "Drawings of one emoji differ between vendors, which skews associations; visual contrast mends it."),
    effect("worlds", better("full; plain", "no VICL; plain", "t1"), "It does on mosaics."),
    effect("emoji", not_worse("e: Dempster", "b: VGT", "t1", within=0.005),
        "Both directions together are no worse than attributes that look at regions, up to half a point (emoji)."),
    effect("emoji", not_worse("e: Dempster", "c: AGT", "t1", within=0.005),
        "Nor than regions that look at attributes."),
    effect("emoji", not_worse("fused view", "visual view", "t1", within=0.005),
        "In one model, both opinions together are no worse than the visual one, up to half a point."),
    effect("emoji", not_worse("fused view", "attribute view", "t1", within=0.005), "Nor than the other one."),
    effect("emoji", better("d: mean of logits", "b: VGT", "h"), "A mean of both beats the first (H)."),
    effect("emoji", better("d: mean of logits", "c: AGT", "h"), "And the second (H)."),
    effect("emoji", better("full", "b: VGT", "h"), "The whole is better than the first alone (H, emoji)."),
    effect("emoji", better("full", "c: AGT", "h"), "And than the second alone (H, emoji)."),
    effect("mosaics", better("full", "b: VGT", "t1"), "Better than the first alone on mosaics."),
    effect("mosaics", better("full", "c: AGT", "t1"), "Better than the second alone on mosaics, the weaker of both."),
    mechanism("mosaics", at_least("full", "auroc", 0.6),
        "Evidence measures what is not known: pictures that show no digit are less certain than unseen classes."),
    mechanism("emoji", better("full", "chance", "auroc"),
        "Unseen emoji are less certain than seen ones, more often than not."),
    effect("emoji", at_least("full", "auroc", 0.6), "In six pairs of ten."),
    mechanism("emoji", better("full", "all", "sure"),
        "The half that is most certain is recognized more often than all are."),
    effect("emoji", better("full", "all", "sure", by=0.05), "By five points."),
    effect("emoji", better("b: VGT", "a: VGT, softmax", "auroc"),
        "Evidence tells unseen from seen better than the entropy of the same pathway under a softmax does."),
    effect("worlds", better("full; alike", "no evidence; alike", "t1"),
        "Evidence makes it resilient against hard negatives: where each class differs from nine others of nineteen "
        "in one digit, it is better than a softmax."),
    effect("worlds", better("full; alike", "uniform negatives; alike", "t1"),
        "Negatives that count by certainty are better there than equal ones."),
    *(effect("worlds", better(f"full; {world}", f"{part}; {world}", "t1"), f"{text} {where}.")
      for part, text in (
          ("no evidence", "Evidence beats a softmax"),
          ("one logit", "Fusion of opinions beats the mean of the logits"),
          ("b: VGT", "Two pathways are more robust than the first"))
      for world, where in (
          ("together", "where two digits nearly always come together"), ("uneven", "where classes are uneven"))),
    effect("worlds", better("full; together", "ridge; together", "t1", by=0.1),
        "Regions and attributes are tied: under co-occurrence it beats ridge regression, which sees the mean of the "
        "cells alone, by ten points."),
    effect("worlds", better("full; uneven", "ridge; uneven", "t1", by=0.1), "And under imbalance."),
    effect("emoji", better("e: Dempster", "d: mean of logits", "h"),
        "Fusion by uncertainty refines what is inferred: Dempster's rule beats the mean of the logits (H, emoji)."),
    effect("emoji", better("b: VGT", "a: VGT, softmax", "h"),
        "The ablation: evidence beats a softmax in one pathway (H, emoji)."),
    effect("emoji", better("f: bank", "e: Dempster", "h"), "The bank with L_DIGS adds (H, emoji)."),
    effect("emoji", better("full", "f: bank", "h"), "L_VICL and L_ARISE add (H, emoji)."),
    effect("worlds", better("full; plain", "no bank; plain", "t1"), "The bank with L_DIGS adds (mosaics)."),
    effect("worlds", better("full; plain", "no ARISE; plain", "t1"), "L_ARISE adds (mosaics)."),
    effect("mosaics", better("full", "ridge", "t1", by=0.1),
        "Where attributes have places, it is more than ten points above ridge regression, which sees the mean of "
        "the cells alone (mosaics)."),
    effect("mosaics", better("full", "DAP", "t1", by=0.1),
        "And above a classifier for each attribute, which sees no more."),
    effect("emoji", better("full", "ridge", "t1"), "It beats ridge regression among unseen emoji."),
    effect("emoji", better("full", "DAP", "t1"), "It beats a classifier for each attribute there."),
    effect("emoji", better("full", "ridge", "h"), "It beats ridge regression among all emoji (H)."),
    effect("emoji", better("full", "DAP", "h"), "It beats a classifier for each attribute there (H)."),
    paper_scale("It is effective on several data sets: CUB, SUN and AwA2.",
        "Their pictures are in no package. With regions of ResNet-101, 14 x 14 at 448 pixels, as the column "
        "`regions`, the attributes of att_splits.mat and the preset `paper`, fit(source=train_seen, "
        "classes=classes) does it; unseen.data.loaders.matlab.load_zsl reads the splits."),
    mechanism("mosaics", at_least("full", "named", 0.7),
        "It explains: of the three attributes that speak most for a class, at least seven in ten are digits that "
        "the picture shows (by chance three in ten)."),
    mechanism("emoji", better("full", "commonest attribute", "named", by=0.1),
        "The attribute that speaks most for the class of an unseen emoji is one that this emoji has, more often by "
        "ten points or more than the attribute that most emoji have."),
    mechanism("emoji", better("full", "another drawing", "named", by=0.1),
        "And more often than the attribute that speaks for another drawing."),
    not_testable("Code and data are available.",
        "A pointer; the repository holds the preparation of features and no training, see the card."),
    *(effect("mosaics, fair arms", better("full", rival, "t1"),
        f"It is effective where attributes have places: with twelve pictures of each class it beats {text}.")
      for rival, text in TOLD.items()),
    *(effect("worlds, fair arms", better(f"full; {world}", f"{rival}; {world}", "t1"),
        f"With four pictures of each class it beats {text}, {where}.")
      for world, where in (
          ("plain", "classes being even and drawn at random"), ("together", "two digits nearly always coming together"),
          ("uneven", "classes being uneven"), ("alike", "classes differing in one sign"))
      for rival, text in TOLD.items()),
    effect("mosaics, fair arms", better("small networks, pooled", "full", "t1"),
        "A limit: small networks on single cells, their scores pooled, recognize more unseen classes than the whole "
        "method, with twelve pictures of each class."),
    effect("worlds, fair arms", better("small networks, pooled; plain", "full; plain", "t1", by=0.05),
        "A limit: with four pictures of each class they recognize more by five points."),
    effect("mosaics, fair arms", better("full", "small networks, pooled", "mass"),
        "Attention locates attributes better than the share of each cell in the pooled score does."),
    effect("mosaics, fair arms", better("full", "small networks, pooled", "auroc"),
        "Its uncertainty tells pictures that show nothing known from others better than the likelihood of the "
        "pooled scores does."),
)

SIGNS: dict[str, Any] = {
    "data": lambda case: [signs(case.split()[0])],
    "development": tuple(f"handwritten {number}" for number in range(5)),
    "confirmation": tuple(f"printed {number}" for number in range(100, 105)), "unit": "split of the sets"}
MORE_SIGNS: dict[str, Any] = {
    **SIGNS, "development": OPENED, "confirmation": FRESH, "unit": "signs and split of the sets"}

claim = Claim(
    slug="crest",
    ledger=LEDGER,
    experiments={
        "emoji": Experiment(
            run=run_emoji, data=lambda case: of_split(case, "name", "keywords", "subgroup", n=CLASSES),
            drawn=numbered_fold, unit="fold of classes", **of_both(range(FOLDS)), **seeds(1)),
        "mosaics": Experiment(run=run_mosaics, drawn=many, **SIGNS, **seeds(2)),
        "worlds": Experiment(run=run_worlds, drawn=few, **SIGNS, **seeds(1)),
        "mosaics, fair arms": Experiment(run=run_mosaics_fairly, drawn=many, **MORE_SIGNS, **seeds(2, first=200)),
        "worlds, fair arms": Experiment(run=run_worlds_fairly, drawn=few, **MORE_SIGNS, **seeds(1, first=200)),
    },
    licences=(
        worlds.EMOJI, worlds.DIGITS, worlds.FONTS, worlds.LITE0, "lite-clip and wordllama: MIT", worlds.MNIST),
)
# fmt: on

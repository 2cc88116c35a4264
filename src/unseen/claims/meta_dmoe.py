"""Meta-DMoE's claim: digits and letters in ways of drawing never seen, and vendors' emoji."""

from __future__ import annotations

import functools

import numpy as np

from unseen.claims import experts, worlds
from unseen.claims.base import Claim, Experiment, Result, of_both, seeds
from unseen.claims.conditions import Condition, at_least, better, wins
from unseen.claims.drawings import VENDORS, of_vendors
from unseen.claims.experts import FEW, META, MORE, Distilled, Start, scored
from unseen.claims.ledger import Assertion, effect, mechanism, not_testable, paper_scale
from unseen.claims.letters import letters
from unseen.claims.shifts import subgroups as features
from unseen.claims.styles import in_styles
from unseen.data.domain import Domain, concatenate
from unseen.evaluation.metrics.classification import accuracy
from unseen.methods.adaptation.meta_dmoe.aggregator import Aggregator
from unseen.methods.adaptation.meta_dmoe.training import Meta, pretended_accuracy
from unseen.nn.classifier import Classifier, mlp_classifier
from unseen.runtime import reproducible

ALPHAS = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
"""Steps of plain distillation, of which each cell takes the one that is best on the source."""
COST = 5
"""Epochs of ERM that cost what an epoch of meta-training and its share of all else cost.

In passes of a sample through a network, forward 1 and backward 2: ERM 3; 15 epochs of experts 45; 10 of the aggregator,
which four experts feed, 40; 14 of meta-training 118, where 24 of 40 samples pass three experts and the student twice.
"""


# -- data ----------------------------------------------------------------------------------------------------


@functools.cache
def digits(kind: str, half: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures and labels of half of the handwritten digits, or of half of the fonts of the printed ones, by a hash."""
    domain = worlds.digits(kind, 16, 10)
    units = domain.columns.get("font", domain.ids)
    mask = np.array([worlds.hashed(str(unit)) % 2 == half for unit in units.tolist()])  # type: ignore[union-attr]
    return np.asarray(domain.x)[mask].reshape(-1, 16, 16), domain.labels[mask]


def digit_domains(case: str, seed: int) -> tuple[Domain, list[Domain], list[Domain]]:
    """Source of twelve domains; of other pictures, six unseen domains and the twelve; a case is `KIND HALF FAMILY`."""
    kind, half, family = case.split()
    return in_styles(*digits(kind, int(half)), family, seed)


# -- experiments -----------------------------------------------------------------------------------------------


def run_digits(case: str, seed: int) -> Result:
    """All arms from one start."""
    with reproducible(seed):
        source, unseen, known = digit_domains(case, seed)
        start = experts.begin(source, experts.small_network(), META, seed)
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
        table["arm-bn"] = scored([experts.with_statistics_of(arm_bn, experts.first(d, MORE)) for d in unseen], unseen)
        voted = float(np.mean([accuracy(d.labels, experts.vote(start.experts, d)) for d in unseen]))
        table["experts' vote"] = {"accuracy": voted, "seconds": experts.seconds(experts.vote, start.experts, unseen)}
        table["full"]["seconds"] = experts.seconds(experts.predicted, full.student, unseen)
        table["erm, known domains"] = scored([single] * len(known), known)
        return table | experts.specialties(start, known)


def run_emoji(case: str, seed: int) -> Result:
    """The main arms with perceptrons on cached features of four vendors, and a fifth; a case is `SPLIT VENDOR`."""
    split, left_out = case.split()
    source = concatenate([features(vendor) for vendor in VENDORS[split] if vendor != left_out])
    meta = Meta(0.03, FEW, 16, 3e-4, 1e-3, epochs=5, mask=True, first_order=False, fresh_adam=True)
    with reproducible(seed):
        network = mlp_classifier(source.n_features, len(source.classes), 64)  # type: ignore[arg-type]
        start = experts.begin(source, network, meta, seed, epochs=8)
        return main_arms(start, start.mixed("transformer"), [features(left_out)])[0]


def main_arms(start: Start, mixed: Aggregator, unseen: list[Domain]) -> tuple[Result, Distilled, Classifier]:
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
        "What the experts say supervises the student: one step without labels makes the student of meta-training "
        "more accurate than the same student before it."),
    effect("digits", better("full, 24 samples", "full, before the step", "accuracy", by=0.01),
        "A small set of unlabeled samples suffices for the step: after one on 24, the student of meta-training is "
        "better than the same student before it."),
    effect("digits", at_least("full, 24 samples", "share_of_gain", 0.5),
        "With 24 samples the step gains more than half of what it gains with all samples of the domain."),
    effect("digits", better("full, 24 samples", "erm", "accuracy"),
        "With 24 samples the adapted student is better than the single model."),
    effect("digits", beats("average"), "The transformer combines the experts better than their average."),
    effect("digits", beats("weighted"),
        "The experts' interconnection counts: the transformer is better than their weighted sum."),
    effect("digits", beats("aggregator not meta-learnt"),
        "Meta-learning makes the aggregator distil what helps: better than one that rests meanwhile."),
    effect("digits", beats("plain distillation"),
        "Meta-learning makes adaptation fast: better than a step of plain distillation, its length chosen on the "
        "source, from a student trained as long."),
    effect("digits", beats("no inner step"), "Each component counts: without the inner step it is worse."),
    effect("digits", beats("no mask"),
        "Each component counts: without leaving out the domain's own expert in training it is worse."),
    effect("digits", beats("arm-bn"),
        "Meta-DMoE is superior to ARM-BN, trained in the same batches, as long, its epoch chosen likewise."),
    effect("digits", beats("experts' vote"), "The student is better than all its experts together."),
    effect("digits", beats("experts' vote", metric="seconds", lower=True),
        "The student takes less time for a prediction than the experts do."),
    effect("emoji", beats("erm"), "Meta-DMoE is better than the single model on vendors' emoji (cached features)."),
    effect("emoji", beats("full, before the step"),
        "The step without labels makes the student more accurate on vendors' emoji (cached features)."),
    mechanism("letters, fair arms", beats("full, before the step"),
        "On letters, one step without labels makes the student of meta-training more accurate than the same student "
        "before it."),
    effect("letters, fair arms", beats("erm"),
        "Meta-DMoE is better than plain training in as much processor time as all its stages take, with a rate that "
        "held-out source samples choose, as they choose the step."),
    effect("letters, fair arms", beats("arm-bn"),
        "Meta-DMoE is better than training with the statistics of each batch and predicting with those of the "
        "unseen domain's samples (ARM-BN), in as much processor time, with a rate that is chosen likewise."),
    effect("letters, fair arms", beats("erm, standardize"),
        "Meta-DMoE is better than logistic regression on the plain network's features, which every domain "
        "standardizes with its own samples."),
    paper_scale("Better than the state of the art on WILDS (iWildCam 77.2 % accuracy, Camelyon17 91.4 %).",
        "WILDS is not at hand. With a split as a Domain with a column `domain` and a ResNet-50 as `model`: "
        "MetaDMoE(n_experts=10, heads=16, support_size=24, query_size=16, alpha=3e-4, student_rate=3e-5, "
        "aggregator_rate=1e-6, epochs=20), then adapt on the first batch of each test domain; not run."),
    not_testable("The code is public.", "It is at github.com/n3il666/Meta-DMoE; the card says where this one differs."),
)

LEFT_OUT = {"development": ("openmoji", "twemoji"), "confirmation": VENDORS["confirmation"]}
FAMILIES = {"aefghijklm": ("turned-7", "slanted", "stretched", "inked"),
            "KLPQRSTUVY": ("turned-15", "slanted", "stretched", "inked")}

claim = Claim(
    slug="meta-dmoe",
    ledger=LEDGER,
    experiments={
        "digits": Experiment(
            run=run_digits, data=lambda case: [worlds.digits(case.split()[0], 16, 10)],
            drawn=digit_domains,
            development=("handwritten 0 turned-0", "handwritten 0 inked", "printed 0 turned-0", "printed 0 inked"),
            confirmation=(
                "handwritten 1 turned-7", "handwritten 1 slanted", "handwritten 1 stretched", "printed 1 slanted",
                "printed 1 stretched"),
            unit="twelve known ways of drawing and six unseen ones", clocks=("seconds",), **seeds(2)),
        "emoji": Experiment(
            run=run_emoji, data=lambda case: of_vendors(VENDORS[case.split()[0]], level="subgroup"),
            drawn="the drawings of all vendors of the split, whole: one is left out",
            unit="vendor that is left out", **of_both(LEFT_OUT), **seeds(2)),
        "letters, fair arms": Experiment(
            run=experts.run, data=lambda case: [letters(case.split()[0], 10)], drawn=experts.letter_domains,
            development=("ABCDEFGHIJ turned-0", "ABCDEFGHIJ inked"),
            confirmation=tuple(f"{text} {family}" for text, families in FAMILIES.items() for family in families),
            unit="ten letters, drawn in twelve known ways and six unseen ones", clocks=("processor",),
            nothing="nothing", **seeds(1)),
    },
    licences=(worlds.DIGITS, worlds.FONTS, worlds.EMOJI),
)
# fmt: on

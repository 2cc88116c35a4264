"""TRAM's claim: a network that knows some styles of emoji is fine-tuned on one more, and meets unseen ones.

Then data of several kinds, where the network as it was given is an arm, too, and so are its weights averaged with
those of plain fine-tuning; and what a step costs.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from unseen.claims.arms import parted, timed
from unseen.claims.base import Claim, Experiment, Result, of_both, seeds
from unseen.claims.conditions import at_most, beats_all, better, not_worse
from unseen.claims.drawings import VENDORS, of_vendors
from unseen.claims.ledger import Assertion, effect, mechanism, not_testable, paper_scale, promised
from unseen.claims.shifts import graded, numbered_subgroups, subgroups
from unseen.claims.unlike import (
    CREDITS,
    KINDS,
    STYLES,
    cases,
    epochs_of,
    numbered,
    of_case,
    read,
    small_classifier,
)
from unseen.data.domain import Domain, concatenate
from unseen.data.samplers import steps
from unseen.methods.generalization.tram import TRAM
from unseen.nn.classifier import Classifier
from unseen.nn.divergences import divergence
from unseen.nn.sharpness import SharpnessAware
from unseen.runtime import runtime

RADII = (0.01, 0.02, 0.05, 0.1)
"""Of SAM and its kin, chosen among on source samples set aside, as TRAM needs no such choice."""
ETAS = (1.0, 1e4, 1e6)
"""Of Fisher SAM's geometry: as published, where it is all but SAM's, and where squared gradients come to count."""
PENALTIES = (0.1, 1.0, 10.0)
"""Weights of the penalties, chosen in the same way."""

TUNED: Mapping[str, tuple[Mapping[str, Any], ...]] = {
    "tram": ({},),
    "tram pretrained": ({"reference": "pretrained"},),
    "tram average": ({"reference": "average"},),
    "tram noise": ({"reference": "noise"},),
    "adam": ({"ascent": "none"},),
    "sam": tuple({"ascent": "constant", "rho": rho} for rho in RADII),
    "asam": tuple({"ascent": "constant", "geometry": "adaptive", "rho": 10 * rho} for rho in RADII),
    "fisher sam": tuple(
        {"ascent": "constant", "geometry": "fisher", "rho": rho, "eta": eta} for rho in RADII for eta in ETAS
    ),
    "tram fisher": tuple({"geometry": "fisher", "eta": eta} for eta in ETAS),
    "penalty pretrained": tuple({"ascent": "none", "reference": "pretrained", "penalty": w} for w in PENALTIES),
    "penalty average": tuple({"ascent": "none", "reference": "average", "penalty": w} for w in PENALTIES),
    "penalty previous": tuple({"ascent": "none", "penalty": w} for w in PENALTIES),
    "penalty noise": tuple(
        {"ascent": "none", "reference": "noise", "kind": "symmetric-kl", "penalty": w} for w in PENALTIES
    ),
}
"""Settings of `TRAM` that each arm chooses among: TRAM and Adam have nothing to choose; SAM, ASAM, Fisher SAM and the
penalties, of which the average is MESA's and noise like R3F's, have a number."""

RATES = (1e-4, 3e-4, 1e-3)
"""Learning rates of every fair arm: how far a network leaves what it was hangs on them more than on anything else."""
FAIR: Mapping[str, tuple[Mapping[str, Any], ...]] = {
    "adam": tuple({"ascent": "none", "weight_decay": decay} for decay in (0.0, 0.01)),
    "sam": tuple({"ascent": "constant", "rho": rho} for rho in (0.02, 0.1)),
    "tram": tuple({"scale": scale} for scale in (1.0, 10.0)),
    "tram pretrained": tuple({"reference": "pretrained", "scale": scale} for scale in (0.1, 1.0)),
    "penalty pretrained": tuple({"ascent": "none", "reference": "pretrained", "penalty": w} for w in (1.0, 10.0)),
    "penalty average": tuple({"ascent": "none", "reference": "average", "penalty": w} for w in (1.0, 10.0)),
}
"""Arms that each choose one of two settings and one of the rates, on the same source samples set aside."""
SIMPLE = ("untouched", "halfway", "adam", "sam", "penalty pretrained", "penalty average")
"""What TRAM competes with: the network as given, its mean with Adam's, and what else sees the same samples."""
STEPS = {"given": 300, "arm": 150, "timed": 200}
"""Of training, at least."""
ROUNDS = 5
"""In each of which SAM and TRAM are timed, one after the other."""


def styles_of(
    case: str, seed: int, seen: Callable[[str], Domain] = subgroups
) -> tuple[Domain, Domain, Domain, list[Domain]]:
    """What the network knows, what it is fine-tuned on, what of that is set aside, and the styles to come."""
    split, style = case.split()
    vendors = VENDORS[split]
    place = vendors.index(style)
    order = [*vendors[place + 1 :], *vendors[:place]]
    known = concatenate([seen(vendor) for vendor in order[:2]], name="known")
    return known, *parted(seen(style), 0.2, seed), [seen(vendor) for vendor in order[2:]]


def run(case: str, seed: int) -> Result:
    """All arms on one style. The case is `SPLIT STYLE`; two vendors after it are known, the two others are to come."""
    known, learn, aside, targets = styles_of(case, seed)
    model = small_classifier(known, 15, seed)
    table = {"given": grades(model, model, aside, targets)}
    hardest = int(np.argmin([graded(model, target) for target in targets]))

    def trained(settings: Mapping[str, Any]) -> dict[str, float]:
        method: Any = TRAM().set_params(epochs=15, random_state=seed, **settings).fit(source=learn, model=model)
        row = grades(method.network_, model, aside, targets)
        return {**row, "hard_less_mean": graded(method.network_, targets[hardest]) - row["out_of_domain"]}

    for arm, choices in TUNED.items():
        table[arm] = max(map(trained, choices), key=lambda row: row["in_domain"])
    return table


def fair_arms(case: str, seed: int) -> Result:
    """A style of a kind of `unseen.claims.unlike`; of those after it the first are known, the others are to come."""
    model, learn, aside, targets = fine_tuning(case, seed)
    epochs = epochs_of(learn, STEPS["arm"], 15)

    def trained(settings: Mapping[str, Any]) -> tuple[dict[str, float], nn.Module]:
        network: Any = TRAM().set_params(epochs=epochs, random_state=seed, **settings).fit(source=learn, model=model)
        return grades(network.network_, model, aside, targets), network.network_

    table, networks = {"untouched": grades(model, model, aside, targets)}, {}
    for arm, choices in FAIR.items():
        tried = [trained({**settings, "learning_rate": rate}) for settings in choices for rate in RATES]
        table[arm], networks[arm] = max(tried, key=lambda pair: pair[0]["in_domain"])
    table["halfway"] = grades(halfway(model, networks["adam"]), model, aside, targets)
    return table


def fine_tuning(case: str, seed: int) -> tuple[Classifier, Domain, Domain, list[Domain]]:
    """The network that is given, what it is fine-tuned on, what of that is set aside, and the styles to come."""
    known, learn, aside, targets = kinds_of(case, seed)
    model = small_classifier(known, epochs_of(known, STEPS["given"], 15), seed)
    return model, learn, aside, targets


def kinds_of(
    case: str, seed: int, seen: Callable[[Domain], Domain] | None = None
) -> tuple[Domain, Domain, Domain, list[Domain]]:
    """As `styles_of`, of a kind of `unseen.claims.unlike`."""
    style, others = of_case(case) if seen is None else of_case(case, seen)
    n_known = len(others) // 2
    known = concatenate(others[:n_known], name="known")
    return known, *parted(style, 0.2, seed), others[n_known:]


def timed_case(kind: str) -> str:
    """The style of a kind with which steps are timed."""
    return f"{kind}: {STYLES[kind][0]}"


def halfway(a: nn.Module, b: nn.Module) -> nn.Module:
    """A network whose weights are the mean of two, as in Wortsman et al., "Robust fine-tuning of zero-shot models"."""
    network, other = copy.deepcopy(a), b.state_dict()
    network.load_state_dict(
        {
            name: (value + other[name]) / 2 if value.is_floating_point() else value
            for name, value in a.state_dict().items()
        }
    )
    return network


def processor_time(case: str, seed: int) -> Result:
    """Processor time of a step of SAM and of TRAM, in one thread: medians of rounds. The case is a kind of data."""
    model, learn, _, _ = fine_tuning(timed_case(case), seed)
    epochs = epochs_of(learn, STEPS["timed"], 1)
    arms: dict[str, dict[str, Any]] = {"sam": {"ascent": "constant", "rho": 0.05}, "tram": {}}
    spent: dict[str, list[float]] = {arm: [] for arm in arms}
    with runtime(threads=1):
        for arm, settings in ROUNDS * [*arms.items()]:
            method = TRAM().set_params(epochs=epochs, random_state=seed, **settings)
            seconds = timed(functools.partial(method.fit, source=learn, model=model))[1]
            spent[arm].append(seconds / (epochs * steps(len(learn), 64)))
    table = {arm: {"milliseconds": 1000 * float(np.median(seconds))} for arm, seconds in spent.items()}
    table["tram"]["cost"] = float(np.median(np.divide(spent["tram"], spent["sam"])))
    return table


def grades(network: nn.Module, model: nn.Module, aside: Domain, targets: list[Domain]) -> dict[str, float]:
    """Accuracy at home and on the styles to come, sharpness at home, and how far the function moved on those styles."""
    x = torch.cat([torch.as_tensor(target.x) for target in targets])
    with torch.no_grad():
        moved = float(divergence(model(x), network(x)))
    return {
        "in_domain": graded(network, aside),
        "out_of_domain": float(np.mean([graded(network, target) for target in targets])),
        "moved": moved,
        "sharpness": sharpness(network, aside),
    }


def sharpness(network: nn.Module, domain: Domain) -> float:
    """By how much the loss rises at the worst point, to first order, of a ball of radius .05 around the weights."""
    x, y = torch.as_tensor(domain.x), torch.as_tensor(domain.labels)
    optimizer = SharpnessAware(network.parameters(), torch.optim.SGD, lr=0.0, radius=0.05)
    optimizer.zero_grad()
    loss = F.cross_entropy(network(x), y)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.first_step()
    with torch.no_grad():
        higher = F.cross_entropy(network(x), y)
    optimizer.second_step()
    optimizer.zero_grad()
    return float(higher - loss.detach())


OUT = "out_of_domain"
KIND_ARMS, COST = "fine-tuning, fair arms", "processor time of a step"

# fmt: off
LEDGER: tuple[Assertion, ...] = (
    effect("styles", better("sam", "adam", OUT),
        "SAM reports better generalization to other domains by less curvature of the loss in the weights."),
    mechanism("styles", better("sam", "adam", "sharpness", lower=True), "SAM lowers the sharpness of the loss."),
    mechanism("styles", better("penalty pretrained", "adam", "moved", lower=True),
        "In fine-tuning, generalization depends on keeping the pretrained function: a trust region keeps it."),
    effect("styles", better("penalty pretrained", "adam", OUT),
        "Keeping the pretrained function helps on other domains (the penalty towards it, against Adam)."),
    effect("styles", better("tram", "adam", "sharpness", lower=True),
        "TRAM fine-tunes for low sharpness of the weights: flatter minima than Adam's."),
    effect("styles", better("tram pretrained", "adam", "sharpness", lower=True),
        "TRAM whose radius is the distance from the pretrained function ends in flatter minima than Adam."),
    effect("styles", better("tram", "sam", "moved", lower=True),
        "TRAM keeps more of the pretrained function than SAM."),
    effect("styles", not_worse("tram", "adam", OUT, within=0.01), "TRAM is within a point of Adam on other domains."),
    effect("styles", not_worse("tram", "sam", OUT, within=0.01),
        "TRAM is within a point of tuned SAM on other domains."),
    effect("styles", not_worse("tram", "given", OUT, within=0.01),
        "TRAM is within a point of the network as it was given, on other domains."),
    effect("styles", better("tram", "sam", OUT),
        "TRAM outperforms sharpness-aware optimization (SAM, its radius chosen on the source)."),
    effect("styles", better("tram", "asam", OUT), "TRAM outperforms ASAM, chosen likewise."),
    effect("styles", better("tram", "fisher sam", OUT), "TRAM outperforms Fisher SAM, chosen likewise."),
    effect("styles", better("tram", "penalty previous", OUT),
        "TRAM outperforms trust-region penalties (towards the previous step)."),
    effect("styles", better("tram", "penalty average", OUT),
        "TRAM outperforms trust-region penalties (MESA: towards a moving average)."),
    effect("styles", better("tram", "penalty noise", OUT),
        "TRAM outperforms trust-region penalties (noise on the input, as R3F)."),
    effect("styles", better("tram pretrained", "penalty pretrained", OUT),
        "TRAM from the pretrained function outperforms the penalty towards it."),
    effect("styles", better("tram noise", "sam", OUT), "TRAM by noise on the input outperforms SAM."),
    effect("styles", better("tram average", "sam", OUT), "TRAM from the moving average outperforms SAM."),
    effect("styles", better("tram fisher", "fisher sam", OUT), "TRAM-Fisher outperforms Fisher SAM."),
    effect("styles", better("tram", "sam", "hard_less_mean"),
        "It is most ahead on hard transfer: more on the style on which the given one is worst than on both."),
    promised(KIND_ARMS, not_worse("tram", "untouched", OUT, within=0.01),
        "On the mean TRAM does no harm: within a point of the network that it was given, on domains to come."),
    promised(KIND_ARMS, not_worse("tram", "adam", OUT, within=0.01),
        "On the mean TRAM does no harm: within a point of Adam that is tuned as much, on domains to come."),
    effect(KIND_ARMS, not_worse("tram", "halfway", OUT, within=0.01),
        "TRAM is within a point of the mean of the given weights and Adam's, on domains to come."),
    effect(KIND_ARMS, better("tram", "adam", OUT), "TRAM outperforms Adam where both choose their rate."),
    effect(KIND_ARMS, better("tram", "sam", OUT), "TRAM outperforms SAM where both choose their rate."),
    effect(KIND_ARMS, better("tram", "penalty average", OUT),
        "TRAM outperforms a penalty towards a moving average where both choose their rate."),
    effect(KIND_ARMS, beats_all("tram", SIMPLE, OUT),
        "TRAM outperforms whatever is best among what is simpler and sees the same samples."),
    effect(KIND_ARMS, better("tram", "sam", "sharpness", lower=True),
        "TRAM ends in flatter minima than SAM where both choose their rate."),
    effect(KIND_ARMS, better("halfway", "untouched", OUT),
        "Keeping half of the given weights helps on domains to come: more than not to fine-tune."),
    promised(COST, at_most("tram", "cost", 1.5),
        "TRAM costs little more than SAM: at most half as much again of the processor's time."),
    paper_scale("Better than SAM and trust regions on cross-dataset vision, language models, cross-lingual transfer.",
        "ViT-B/16, GPT-2 on M2D2 and XLM-R on XNLI are not at hand. With a folder of pictures and a timm ViT: "
        "TRAM(preset paper).fit(source=..., model=...); for language models call unseen.nn.TRAM in a loop of your "
        "own, with unseen.nn.TrustRegion(network, scale=100) and the mask of padding; not run."),
    not_testable("A new standard in fine-tuning of models that generalize over domains.",
        "It is about the state of the field in 2024."),
)

UNIT = "style that is fine-tuned on"

claim = Claim(
    slug="tram",
    ledger=LEDGER,
    experiments={
        "styles": Experiment(
            run=run, data=lambda case: of_vendors(VENDORS[case.split()[0]], level="subgroup"),
            drawn=functools.partial(styles_of, seen=numbered_subgroups), unit=UNIT,
            nothing="given", clocks=("seconds", "cost"), **of_both(VENDORS), **seeds(2)),
        KIND_ARMS: Experiment(
            run=fair_arms, data=read, drawn=functools.partial(kinds_of, seen=numbered),
            development=cases("development"), confirmation=cases("confirmation"), unit=UNIT,
            nothing="untouched", **seeds(1, 2, first=200)),
        COST: Experiment(
            run=processor_time, data=read,
            drawn=lambda kind, seed: kinds_of(timed_case(kind), seed, numbered), development=KINDS["development"],
            confirmation=KINDS["confirmation"],
            unit="kind of data", clocks=("milliseconds", "cost"), **seeds(1, first=200)),
    },
    licences=CREDITS,
)
# fmt: on

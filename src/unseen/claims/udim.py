"""UDIM's claim: a network learns emoji of one vendor, or of four, and meets other vendors' that it never saw.

Then data of several kinds, where SAM learns the samples that UDIM crafts as plain data: what is left of UDIM's gain is
the inconsistency's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from unseen.claims.arms import parted
from unseen.claims.base import Claim, Experiment, Result, of_both, seeds
from unseen.claims.conditions import better, not_worse, wins
from unseen.claims.drawings import VENDORS, of_vendors
from unseen.claims.ledger import Assertion, effect, mechanism, not_testable, paper_scale, promised
from unseen.claims.shifts import graded, numbered_subgroups, subgroups
from unseen.claims.unlike import CREDITS, cases, epochs_of, numbered, of_case, read, small_classifier, spread
from unseen.data.domain import Domain, concatenate
from unseen.methods.generalization.udim import UDIM, craft_inputs
from unseen.nn.classifier import Classifier
from unseen.nn.sharpness import SAM

ARMS: Mapping[str, Mapping[str, Any]] = {
    "erm": {"around": "erm", "weight": 0.0},
    "asam": {"around": "asam", "weight": 0.0, "rho": 0.5},
    "sagm": {"around": "sagm", "weight": 0.0},
    "udim": {},
    "udim around asam": {"around": "asam", "rho": 0.5},
    "udim around sagm": {"around": "sagm"},
    "variance only": {"norm_term": False},
    "norm only": {"variance_term": False},
    "nothing crafted": {"perturb": "none"},
}


RADII = (0.02, 0.05, 0.2)
"""Of SAM, chosen among on source samples set aside; UDIM keeps its default, but where arms are fair."""
DECAYS = (1e-4, 1e-2, 1e-1)
"""Of the weights in plain training, which has no radius: as many to choose among, where arms are fair."""

CONTROL = "sam, crafted samples as data"
FAIR: Mapping[str, Mapping[str, Any]] = {
    "sam": {"weight": 0.0},
    CONTROL: {"weight": 0.0, "learn_crafted": True},
    "udim": {},
    "variance only": {"norm_term": False},
    "norm only": {"variance_term": False},
    "udim, crafted samples as data": {"learn_crafted": True},
}
"""Arms that choose among the same radii of SAM, on the same source samples set aside, and craft as far."""
SHARE = 1 / 13
"""How far is crafted, of the spread of the source: the spread of features of emoji, where the default is 1, is 13."""
STEPS = {"start": 30, "arm": 100}
"""Of training, at least."""


Seen = Callable[[str], Domain]
Given = tuple[Domain, list[Domain]]
"""The source, and the styles to come."""


def one_and_others(case: str, seen: Seen = subgroups) -> Given:
    """One style, and the four others of the same split. The case is `SPLIT STYLE`."""
    split, style = case.split()
    return seen(style), [seen(vendor) for vendor in VENDORS[split] if vendor != style]


def others_and_one(case: str, seen: Seen = subgroups) -> Given:
    """Four styles, and the fifth. The case is `SPLIT STYLE`, the style to come."""
    split, style = case.split()
    return concatenate([seen(vendor) for vendor in VENDORS[split] if vendor != style], name="sources"), [seen(style)]


def drawn_parts(given: Given, seed: int) -> list[Any]:
    """What a cell draws: what is learnt, what is set aside, and the styles to come."""
    source, targets = given
    return [*parted(source, 0.2, seed), targets]


def one_source(case: str, seed: int) -> Result:
    """Learn one style, meet the others."""
    return measured(*one_and_others(case), ARMS, seed)


def several_sources(case: str, seed: int) -> Result:
    """Learn four styles, meet the fifth."""
    arms = {"udim": ARMS["udim"], "udim, domains pooled": {"domain_wise": False}}
    return measured(*others_and_one(case), arms, seed)


def measured(source: Domain, targets: list[Domain], arms: Mapping[str, Mapping[str, Any]], seed: int) -> Result:
    """All arms from one start: features as they are, a bottleneck and a head that saw the source for three epochs."""
    learn, aside, targets = drawn_parts((source, targets), seed)
    start = small_classifier(learn, 3, seed)

    def trained(settings: Mapping[str, Any]) -> dict[str, float]:
        method = UDIM(epochs=10).set_params(random_state=seed, **settings).fit(source=learn, model=start)
        network: Any = method.network_
        return grades(network, aside, targets, seed)

    tried = [trained({"weight": 0.0, "rho": rho}) for rho in RADII]
    return {"sam": max(tried, key=lambda row: row["source"]), **{arm: trained(s) for arm, s in arms.items()}}


def fair_arms(case: str, seed: int) -> Result:
    """Learn one style of a kind of `unseen.claims.unlike`, meet the others. Each arm has as many steps and choices."""
    learn, aside, targets = drawn_parts(of_case(case), seed)
    radius = SHARE * spread(learn.x)
    start = small_classifier(learn, epochs_of(learn, STEPS["start"], 3), seed)
    shared = {"epochs": epochs_of(learn, STEPS["arm"], 10), "radius": radius, "random_state": seed}

    def trained(settings: Mapping[str, Any]) -> dict[str, float]:
        network: Any = UDIM().set_params(**{**shared, **settings}).fit(source=learn, model=start).network_
        return grades(network, aside, targets, seed, radius)

    def chosen(tried: Iterable[Mapping[str, Any]]) -> dict[str, float]:
        return max([trained(settings) for settings in tried], key=lambda row: row["source"])

    table = {"start": grades(start, aside, targets, seed, radius)}
    table["erm"] = chosen({**ARMS["erm"], "weight_decay": decay} for decay in DECAYS)
    return table | {arm: chosen({**settings, "rho": rho} for rho in RADII) for arm, settings in FAIR.items()}


def grades(
    network: Classifier, aside: Domain, targets: list[Domain], seed: int, radius: float = 1.0
) -> dict[str, float]:
    """Accuracy on what is to come and on what was set aside, and how far the losses of both kinds differ."""
    accuracies = [graded(network, target) for target in targets]
    return {
        "targets": float(np.mean(accuracies)),
        "worst_target": float(np.min(accuracies)),
        "source": graded(network, aside),
        "inconsistency": gap(network, aside, seed, radius=radius),
    }


def gap(network: Classifier, domain: Domain, seed: int, radius: float = 1.0) -> float:
    """Mean |L_T - L_S| at weights around theta, T crafted from source samples that no arm learnt from.

    The weights are the worst of a ball of radius .05 to first order (SAM's), and four drawn on its surface.
    """
    x, y = torch.as_tensor(domain.x), torch.as_tensor(domain.labels)
    for parameter in network.parameters():
        parameter.requires_grad_(parameter.is_floating_point())
    crafted = craft_inputs(network, x, y, rho=0.05, radius=radius)
    optimizer = SAM(network.parameters(), torch.optim.SGD, lr=0.0, rho=0.05)
    gaps = []
    for draw in range(5):
        optimizer.zero_grad()
        F.cross_entropy(network(x), y).backward()  # type: ignore[no-untyped-call]
        if draw:
            noise = torch.Generator().manual_seed(1000 * seed + draw)
            for parameter in (p for p in network.parameters() if p.grad is not None):  # a random direction, instead
                parameter.grad = torch.randn(parameter.shape, generator=noise)
        optimizer.first_step()
        with torch.no_grad():
            gaps.append(float((F.cross_entropy(network(crafted), y) - F.cross_entropy(network(x), y)).abs()))
        optimizer.second_step()
    return float(np.mean(gaps))


KIND_ARMS = "one source, fair arms"

# fmt: off
LEDGER: tuple[Assertion, ...] = (
    effect("one source", better("sam", "erm", "targets"),
        "SAM lessens overfitting to one domain: better than plain training on domains to come."),
    mechanism("one source", better("udim", "sam", "inconsistency", lower=True),
        "UDIM lessens the inconsistency of the losses on source and unknown domains, around the solution."),
    mechanism("one source", not_worse("udim", "erm", "source", within=0.015),
        "UDIM does not lose the source: within a point and a half of plain training."),
    mechanism("one source", better("udim", "nothing crafted", "inconsistency", lower=True),
        "Unknown domains are made by perturbing the source: without crafting, the inconsistency stays higher."),
    effect("one source", better("variance only", "sam", "inconsistency", lower=True),
        "The alignment of the variances lessens the inconsistency by itself."),
    effect("one source", better("norm only", "sam", "inconsistency", lower=True),
        "The gradients' length on the crafted domain, made small, lessens the inconsistency by itself."),
    effect("one source", not_worse("udim", "sam", "targets", within=0.01),
        "UDIM is within a point of SAM, which sees nothing crafted, on domains to come."),
    effect("one source", better("udim", "sam", "targets"),
        "UDIM outperforms SAM, which sees nothing crafted, from one source, the most restrictive case."),
    effect("one source", better("udim around asam", "asam", "targets"), "UDIM put around ASAM is better than ASAM."),
    effect("one source", better("udim around sagm", "sagm", "targets"), "UDIM put around SAGM is better than SAGM."),
    effect("one source", better("udim", "sam", "worst_target"), "UDIM outperforms SAM on the worst target."),
    effect("several sources", better("udim", "sam", "targets"),
        "UDIM outperforms SAM where several sources are known."),
    effect("one source", wins("udim", "sam", "targets", of=0.8),
        "UDIM's gain on SAM is consistent where but one source is known: in four of five cells."),
    effect("several sources", better("udim", "udim, domains pooled", "targets"),
        "Of several sources, comparing each with its own crafted domain is better than all together."),
    promised(KIND_ARMS, not_worse("udim", "start", "targets", within=0.01),
        "UDIM does no harm: within a point of the network that it starts from, on domains to come."),
    promised(KIND_ARMS, not_worse("udim", "erm", "targets", within=0.01),
        "UDIM does no harm: within a point of plain training, on domains to come."),
    effect(KIND_ARMS, better("udim", CONTROL, "targets"),
        "UDIM outperforms SAM that learns the same crafted samples as data."),
    effect(KIND_ARMS, not_worse("udim", CONTROL, "targets", within=0.01),
        "UDIM is within a point of SAM that learns the same crafted samples as data."),
    effect(KIND_ARMS, better("udim", CONTROL, "inconsistency", lower=True),
        "UDIM lessens the inconsistency more than SAM that learns the same crafted samples as data."),
    effect(KIND_ARMS, better("udim, crafted samples as data", CONTROL, "targets"),
        "The inconsistency adds to crafted samples that are learnt as data."),
    effect(KIND_ARMS, better(CONTROL, "sam", "targets"),
        "What is crafted helps by itself: SAM that learns it as data is better than SAM."),
    effect(KIND_ARMS, better("udim", "sam", "targets"),
        "UDIM outperforms SAM, which sees nothing crafted, on fonts, makers, titles and seasons to come."),
    effect(KIND_ARMS, better("udim", "variance only", "targets"),
        "The gradients' length on the crafted domain earns its place: UDIM with it is better than without."),
    effect(KIND_ARMS, better("udim", "norm only", "targets"),
        "The alignment of the variances earns its place: UDIM with it is better than without."),
    not_testable("SAM and the inconsistency together bound the loss on the target.",
        "It is a theorem (the paper's Theorem 3.2 and appendix), not a measurement."),
    paper_scale("Better than SAM variants on CIFAR-10-C, PACS, VLCS, OfficeHome and DomainNet.",
        "These sets are not at hand. With PACS as folders, one per domain, and a timm ResNet: `UDIM(preset "
        "paper).fit(source=three domains joined by unseen.data.domain.concatenate, model=...)`, 5,000 steps; not run."),
    not_testable("The code is public.", "It is at github.com/SJShin-AI/UDIM; the card says where this one differs."),
)

EMOJI: Mapping[str, Any] = {
    "data": lambda case: of_vendors(VENDORS[case.split()[0]], level="subgroup"),
    "unit": "style that is learnt, or left out", **of_both(VENDORS), **seeds(2, 1)}

claim = Claim(
    slug="udim",
    ledger=LEDGER,
    experiments={
        "one source": Experiment(
            run=one_source, drawn=lambda case, seed: drawn_parts(one_and_others(case, numbered_subgroups), seed),
            **EMOJI),
        "several sources": Experiment(
            run=several_sources, drawn=lambda case, seed: drawn_parts(others_and_one(case, numbered_subgroups), seed),
            **EMOJI),
        KIND_ARMS: Experiment(
            run=fair_arms, data=read, drawn=lambda case, seed: drawn_parts(of_case(case, numbered), seed),
            development=cases("development"), confirmation=cases("confirmation"),
            unit="style that is learnt", nothing="start", **seeds(1, 2, first=200)),
    },
    licences=CREDITS,
)
# fmt: on

"""UDIM's claim: a network learns emoji of one vendor, or of four, and meets other vendors' that it never saw."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unseen.claims.base import (
    Assertion,
    Claim,
    Experiment,
    better,
    effect,
    mechanism,
    not_testable,
    not_worse,
    paper_scale,
    promised,
    wins,
)
from unseen.claims.drawings import VENDORS
from unseen.claims.shifts import subgroups
from unseen.data.domain import Domain, concatenate
from unseen.data.samplers import hold_out
from unseen.evaluation.metrics.classification import accuracy
from unseen.methods.generalization.udim import UDIM, craft_inputs
from unseen.nn.classifier import Classifier, feature_classifier, train_source
from unseen.nn.sharpness import SAM
from unseen.runtime import reproducible

Table = dict[str, dict[str, float]]

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
"""Of SAM, chosen among on source samples set aside; UDIM keeps its default."""


def one_source(case: str, seed: int) -> Table:
    """Learn one style, meet the four others of the same split. The case is `SPLIT STYLE`."""
    split, style = case.split()
    targets = [subgroups(vendor) for vendor in VENDORS[split] if vendor != style]
    return measured(subgroups(style), targets, ARMS, seed)


def several_sources(case: str, seed: int) -> Table:
    """Learn four styles, meet the fifth. The case is `SPLIT STYLE`, the style to come."""
    split, style = case.split()
    source = concatenate([subgroups(vendor) for vendor in VENDORS[split] if vendor != style], name="sources")
    arms = {"udim": ARMS["udim"], "udim, domains pooled": {"domain_wise": False}}
    return measured(source, [subgroups(style)], arms, seed)


def measured(source: Domain, targets: list[Domain], arms: Mapping[str, Mapping[str, Any]], seed: int) -> Table:
    """All arms from one start: features as they are, a bottleneck and a head that saw the source for three epochs."""
    learn, aside = (source.take(part) for part in hold_out(source.labels, 0.2, seed))
    with reproducible(seed):
        start = train_source(feature_classifier(source.n_features, 29, 128), learn, epochs=3)

    def trained(settings: Mapping[str, Any]) -> dict[str, float]:
        method = UDIM(epochs=10).set_params(random_state=seed, **settings).fit(source=learn, model=start)
        network: Any = method.network_
        accuracies = [graded(network, target) for target in targets]
        return {
            "targets": float(np.mean(accuracies)),
            "worst_target": float(np.min(accuracies)),
            "source": graded(network, aside),
            "inconsistency": gap(network, aside, seed),
        }

    tried = [trained({"weight": 0.0, "rho": rho}) for rho in RADII]
    return {"sam": max(tried, key=lambda row: row["source"]), **{arm: trained(s) for arm, s in arms.items()}}


def graded(network: nn.Module, domain: Domain) -> float:
    """Accuracy."""
    with torch.no_grad():
        return accuracy(domain.labels, network(torch.as_tensor(domain.x)).argmax(dim=1).numpy())


def gap(network: Classifier, domain: Domain, seed: int, rho: float = 0.05, draws: int = 4) -> float:
    """Mean |L_T - L_S| at weights around theta, T crafted from source samples that no arm learnt from.

    The weights are the worst of a ball of radius `rho` to first order (SAM's), and some drawn on its surface.
    """
    x, y = torch.as_tensor(domain.x), torch.as_tensor(domain.labels)
    for parameter in network.parameters():
        parameter.requires_grad_(parameter.is_floating_point())
    crafted = craft_inputs(network, x, y, rho=rho, radius=1.0)
    optimizer = SAM(network.parameters(), torch.optim.SGD, lr=0.0, rho=rho)
    found = []
    for draw in range(draws + 1):
        optimizer.zero_grad()
        F.cross_entropy(network(x), y).backward()  # type: ignore[no-untyped-call]
        if draw:
            _replace_by_noise(optimizer, torch.Generator().manual_seed(1000 * seed + draw))
        optimizer.first_step()
        with torch.no_grad():
            found.append(float((F.cross_entropy(network(crafted), y) - F.cross_entropy(network(x), y)).abs()))
        optimizer.second_step()
    return float(np.mean(found))


def _replace_by_noise(optimizer: SAM, generator: torch.Generator) -> None:
    """Gradients become a random direction, so that the probe goes there."""
    parameters: list[Tensor] = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    for p in parameters:
        p.grad = torch.randn(p.shape, generator=generator)


def experiment(run: Any) -> Experiment:
    """The cases are the same for both."""
    return Experiment(
        run=run,
        development=tuple(f"development {style}" for style in VENDORS["development"]),
        confirmation=tuple(f"confirmation {style}" for style in VENDORS["confirmation"]),
        seeds=(0, 1),
        fresh_seeds=(100,),
        unit="style that is learnt, or left out",
    )


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
    promised("one source", not_worse("udim", "sam", "targets", within=0.01),
        "UDIM does no harm on domains to come (within a point of SAM)."),
    promised("one source", better("udim", "sam", "targets"),
        "UDIM outperforms SAM from one source, the most restrictive case."),
    effect("one source", better("udim around asam", "asam", "targets"),
        "UDIM put around ASAM is better than ASAM."),
    effect("one source", better("udim around sagm", "sagm", "targets"),
        "UDIM put around SAGM is better than SAGM."),
    effect("one source", better("udim", "sam", "worst_target"),
        "UDIM outperforms SAM on the worst target."),
    effect("several sources", better("udim", "sam", "targets"),
        "UDIM outperforms SAM where several sources are known."),
    effect("one source", wins("udim", "sam", "targets", of=0.8),
        "UDIM's gain on SAM is consistent where but one source is known: in four of five cells."),
    effect("several sources", better("udim", "udim, domains pooled", "targets"),
        "Of several sources, comparing each with its own crafted domain is better than all together."),
    not_testable("SAM and the inconsistency together bound the loss on the target.",
        "It is a theorem (the paper's Theorem 3.2 and appendix), not a measurement."),
    paper_scale("Better than SAM variants on CIFAR-10-C, PACS, VLCS, OfficeHome and DomainNet.",
        "These sets are not at hand. With PACS as folders, one per domain, and a timm ResNet: `UDIM(preset "
        "paper).fit(source=three domains joined by unseen.data.domain.concatenate, model=...)`, 5,000 steps; not "
        "run."),
    not_testable("The code is public.",
        "It is at github.com/SJShin-AI/UDIM; the card says where this one differs."),
)
# fmt: on

claim = Claim(
    slug="udim",
    licences=(
        "Emoji: Noto (Apache-2.0), Twemoji and EmojiOne 1 and 2 (CC BY 4.0), OpenMoji (CC BY-SA 4.0), Fluent (MIT)",
    ),
    experiments={"one source": experiment(one_source), "several sources": experiment(several_sources)},
    ledger=LEDGER,
)

"""Meta-DMoE beside what is simpler and sees the same: letters in ways of drawing never seen, costs and tuning equal."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np
import torch

from unseen.claims.arms import timed
from unseen.claims.base import Result
from unseen.claims.experts import FEW, MORE, begin, first, scored, small_network, with_statistics_of
from unseen.claims.letters import letters
from unseen.claims.styles import in_styles
from unseen.data.domain import Domain
from unseen.diagnosis.stylistic import separated
from unseen.evaluation.metrics.classification import accuracy
from unseen.methods.adaptation.meta_dmoe.training import Meta, pretended_accuracy
from unseen.nn.classifier import Classifier, Standardizer, outputs
from unseen.nn.logistic import fit_logistic
from unseen.runtime import reproducible

Model = TypeVar("Model")

META = Meta(1e-3, FEW, 16, 1e-3, 1e-3, epochs=14, mask=True, first_order=False, fresh_adam=True)
STEPS = (1e-3, 3e-3)
"""Inner steps of Meta-DMoE that are tried; held-out samples of the source choose, here and in what follows."""
RATES = (1e-3, 3e-3)
"""Rates of Adam that are tried for plain training, and for training with the statistics of each batch."""
EPOCHS: Mapping[str, int] = {"erm": 6, "arm-bn": 5}
"""Times the epochs of meta-training: what takes the processor time of all stages of Meta-DMoE.

Measured in development; the metric `processor` is the seconds of one candidate and of all that comes before it.
"""
PENALTIES = (0.01, 0.1, 1.0, 10.0)
"""Inverse strengths of the L2 penalty of logistic regression."""


def letter_domains(case: str, seed: int) -> tuple[Domain, list[Domain]]:
    """Twelve source domains, and six unseen ones of other pictures; a case is `LETTERS FAMILY`."""
    text, family = case.split()
    domain = letters(text, 10)
    return in_styles(np.asarray(domain.x)[:, 0], domain.labels, family, seed)[:2]


def run(case: str, seed: int) -> Result:
    """All arms from one start, two candidates each; all that adapt see the same samples of an unseen domain."""
    with reproducible(seed):
        source, unseen = letter_domains(case, seed)
        begun = time.process_time()
        start = begin(source, small_network(), META, seed)
        # the experts together see as many samples as the student: plain training needs half of this
        trained = time.process_time() - begun
        mixed = start.mixed("transformer")
        all_stages = time.process_time() - begun
        held = separated(start.sources.check)

        full, meta = best(
            [functools.partial(start.learnt, mixed, alpha=alpha) for alpha in STEPS],
            lambda candidate: pretended_accuracy(
                candidate.student, candidate.mixed, start.experts, start.sources, candidate.alpha
            ),
        )
        plain, erm = best(
            [functools.partial(start.longer, EPOCHS["erm"], rate=rate) for rate in RATES],
            lambda network: scored([network] * len(held), held)["accuracy"],
        )
        batch, arm_bn = best(
            [functools.partial(start.longer, EPOCHS["arm-bn"], rate=rate, statistics=True) for rate in RATES],
            lambda network: scored([with_statistics_of(network, d) for d in held], held)["accuracy"],
        )
        shown = [first(domain, MORE) for domain in unseen]
        return {
            "full": scored(full.on(unseen), unseen) | {"processor": all_stages + meta},
            "full, before the step": scored([full.student] * len(unseen), unseen),
            "nothing": scored([start.student] * len(unseen), unseen),
            "erm": scored([plain] * len(unseen), unseen) | {"processor": trained / 2 + erm},
            "erm, its statistics": scored([with_statistics_of(plain, d) for d in shown], unseen),
            "erm, standardize": {"accuracy": standardized(plain, start.sources.learn, held, shown, unseen)},
            "arm-bn": scored([with_statistics_of(batch, d) for d in shown], unseen)
            | {"processor": trained / 2 + arm_bn},
        }


def best(candidates: Sequence[Callable[[], Model]], score: Callable[[Model], float]) -> tuple[Model, float]:
    """The candidate with the best score, the earlier of equals, and the mean seconds of processor time of training."""
    models, spent = timed(lambda: [candidate() for candidate in candidates])
    return max(models, key=score), spent / len(models)


def standardized(
    network: Classifier, learn: Domain, held: Sequence[Domain], shown: Sequence[Domain], unseen: Sequence[Domain]
) -> float:
    """Accuracy of logistic regression on a network's features, which each domain standardizes with its own samples.

    The penalty is the one that is best on `held`.
    """

    def own(samples: Domain, domain: Domain) -> torch.Tensor:
        z = outputs(network, samples)[0]
        return Standardizer(z.shape[1]).measure(z)(outputs(network, domain)[0])

    known = separated(learn)
    x, y = torch.cat([own(d, d) for d in known]), np.concatenate([d.labels for d in known])
    fitted = [fit_logistic(x, y, int(y.max()) + 1, C=penalty, standardize=False) for penalty in PENALTIES]

    def graded(model: Classifier, samples: Sequence[Domain], domains: Sequence[Domain]) -> float:
        accuracies = [accuracy(d.labels, model(own(s, d)).argmax(dim=1).numpy()) for s, d in zip(samples, domains)]
        return float(np.mean(accuracies))

    return graded(max(fitted, key=lambda model: graded(model, held, held)), shown, unseen)

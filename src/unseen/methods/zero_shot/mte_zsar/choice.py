"""Step 10: penalties and the number of latent tasks by cross-validation over seen classes, never over samples."""

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from unseen.data.typing import IntArray
from unseen.methods.zero_shot.mte_zsar.regressors import Factors, Moments, latent_prototypes, moments
from unseen.validation.rehearsal import Compared, told_apart

PENALTIES = tuple(10.0 ** (power / 2) for power in range(-10, -1))
"""Features of unit length have second moments of trace at most 1: from 1e-5 to 0.1 there is all and nothing."""
SHARES = (1.0, 0.5, 0.25)
"""Numbers of tasks that are tried, as shares of the rank that a map can have."""
ROUGH = 1e-4
"""Relative decrease at which the alternation stops while settings are compared."""


class Setting(NamedTuple):
    """What is chosen: k, lambda_S and lambda_A."""

    tasks: int
    penalty_s: float
    penalty_a: float


def settings(
    rank: int, tasks: int | None, penalty_s: float | None, penalty_a: float | None, *, tied: bool = True
) -> list[Setting]:
    """All settings to try, larger penalties first; two penalties that are both to be chosen are equal if `tied`."""
    numbers = [tasks] if tasks else sorted({max(1, round(share * rank)) for share in SHARES}, reverse=True)
    of_s, of_a = ([value] if value else list(PENALTIES[::-1]) for value in (penalty_s, penalty_a))
    pairs = zip(of_s, of_a) if tied and len(of_s) == len(of_a) else itertools.product(of_s, of_a)
    return [Setting(k, *pair) for (pair, k) in itertools.product(pairs, numbers)]


def cross_validate(
    tried: Sequence[Setting],
    regress: Callable[[Moments, Setting, float], Factors],
    x: Float[Tensor, "n d"],
    y: Int[np.ndarray, " n"],
    vectors: Float[Tensor, "c t"],
    weights: Float[Tensor, " n"],
    *,
    latent: bool,
    random_state: int = 0,
) -> tuple[Setting, dict[Setting, float]]:
    """The setting under which held-out classes are told apart best, the first of equals, and the score of each.

    Weights tell what is learnt from; every held-out class has the same say.

    Parameters
    ----------
    tried : sequence of Setting
    regress : callable
        From moments, a setting and a tolerance to a map.
    x, y, weights : (n, d), (n,) and (n,)
        All training samples.
    vectors : Tensor (c, t)
        Of all classes.
    latent : bool
        Whether classes are compared among the latent tasks or as class vectors.
    """

    def mapped(learn: IntArray, out: IntArray, held: IntArray) -> Compared:
        m = moments(x[learn], vectors[y[learn]], weights[learn] / weights[learn].mean())
        for setting in tried:
            yield matched(regress(m, setting, ROUGH), x[out], vectors[held], setting, latent)

    if len(tried) == 1 or not len(hits := told_apart(y, mapped, random_state)):
        return tried[len(tried) // 2], dict.fromkeys(tried, 0.0)
    scores = dict(zip(tried, (hits / len(hits)).sum(axis=0).tolist()))
    return max(scores, key=scores.__getitem__), scores


def matched(
    factors: Factors, x: Float[Tensor, "n d"], vectors: Float[Tensor, "c t"], setting: Setting, latent: bool
) -> tuple[Float[Tensor, "n q"], Float[Tensor, "c q"]]:
    """Samples and classes in the space in which they are compared: A x and p_c, or S A x and z_c."""
    codes = x.double() @ factors.a.T
    if latent:
        return codes, latent_prototypes(factors.s, vectors, setting.penalty_s)
    return codes @ factors.s.T, vectors.double()

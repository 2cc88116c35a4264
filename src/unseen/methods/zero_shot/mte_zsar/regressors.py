"""Steps 3, 4 and 6: linear maps from features to class vectors, in closed forms; samples may have weights.

All of them need the weighted second moments of features and class vectors only. Penalties on the map do not change when
the features are rotated, so each problem is solved in the basis in which the moments of the features are diagonal. That
basis has as many vectors as there are features or samples, whichever are fewer: the primal and the dual form in one.
"""

import dataclasses
from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


@dataclasses.dataclass(frozen=True, eq=False)
class Moments:
    """What the regressors read of n weighted samples.

    Attributes
    ----------
    basis : Tensor (d, r)
        Orthonormal V with X Omega X^T / n = V diag(g) V^T, r the number of g above rounding.
    g : Tensor (r,)
    cross : Tensor (r, t)
        V^T X Omega Z^T / n.
    words : Tensor (t, t)
        Z Omega Z^T / n.
    """

    basis: Float[Tensor, "d r"]
    g: Float[Tensor, " r"]
    cross: Float[Tensor, "r t"]
    words: Float[Tensor, "t t"]


@dataclasses.dataclass(frozen=True, eq=False)
class Factors:
    """The map S A from features to class vectors, by way of k latent tasks.

    Attributes
    ----------
    s : Tensor (t, k)
    a : Tensor (k, d)
    history : tuple of float
        The objective after every half step; empty for closed forms.
    """

    s: Float[Tensor, "t k"]
    a: Float[Tensor, "k d"]
    history: tuple[float, ...] = ()


def moments(x: Float[Tensor, "n d"], z: Float[Tensor, "n t"], weights: Float[Tensor, " n"] | None = None) -> Moments:
    """Second moments in float64; a weight counts a sample so many times, and n stays the number of samples."""
    x, z = x.double(), z.double()
    if weights is not None:
        root = weights.double().sqrt()[:, None]
        x, z = root * x, root * z
    n, d = x.shape
    g, basis = torch.linalg.eigh((x.T @ x if d <= n else x @ x.T) / n)
    kept = g > 1e-12 * g[-1]
    g, basis = g[kept], basis[:, kept]
    if d > n:
        basis = x.T @ basis / (n * g).sqrt()
    return Moments(basis, g, basis.T @ (x.T @ z) / n, z.T @ z / n)


# -- step 3 and step 4a ------------------------------------------------------------------------------------


def ridge(m: Moments, penalty: float) -> Factors:
    """RR: min_W 1/n ||Z - W X||^2 + penalty ||W||^2; every class vector's entry is a latent task of its own."""
    return _direct(m, m.cross / (m.g + penalty)[:, None])


def rmtl(m: Moments, penalty_shared: float, penalty_own: float) -> Factors:
    """RMTL: w_t = w_0 + v_t with the penalty ``penalty_shared ||w_0||^2 + penalty_own sum_t ||v_t||^2``.

    With w_0 at its best, ``penalty_own w / (penalty_shared / T + penalty_own)`` for the mean w of the T rows, what is
    left is ridge regression with two penalties: `penalty_own` for what differs between the tasks, a smaller one for
    what they have in common.
    """
    t = m.cross.shape[1]
    common = m.cross.mean(dim=1, keepdim=True).expand_as(m.cross)
    shrunk = penalty_shared * penalty_own / (penalty_shared + penalty_own * t)
    w = common / (m.g + shrunk)[:, None] + (m.cross - common) / (m.g + penalty_own)[:, None]
    return _direct(m, w)


def _direct(m: Moments, w: Float[Tensor, "r t"]) -> Factors:
    return Factors(torch.eye(w.shape[1], dtype=w.dtype), (m.basis @ w).T)


# -- steps 4b and 4c ---------------------------------------------------------------------------------------


def mte(
    m: Moments, tasks: int, penalty_s: float, penalty_a: float, *, iterations: int = 50, tolerance: float = 1e-5
) -> Factors:
    """MTE: min_{S,A} 1/n ||Z - S A X||^2 + penalty_s ||S||^2 + penalty_a ||A||^2, alternating closed forms."""

    def s_step(s: Tensor, a: Tensor) -> Tensor:
        latent = (a * m.g) @ a.T  # H Omega H^T / n
        return torch.linalg.solve(latent + penalty_s * torch.eye(len(a), dtype=a.dtype), a @ m.cross).T

    return _alternate(m, tasks, s_step, lambda s: penalty_s * float(s.square().sum()), penalty_a, iterations, tolerance)


def gomtl(
    m: Moments, tasks: int, penalty_s: float, penalty_a: float, *, iterations: int = 50, tolerance: float = 1e-5
) -> Factors:
    """GOMTL: min_{S,A} 1/n ||Z - S A X||^2 + penalty_s ||S||_1 + penalty_a ||A||^2, alternating lasso and ridge.

    A round takes ten proximal steps of the lasso, not its solution.
    """

    def s_step(s: Tensor, a: Tensor) -> Tensor:
        return lasso(s, (a * m.g) @ a.T, (a @ m.cross).T, penalty_s)

    return _alternate(m, tasks, s_step, lambda s: penalty_s * float(s.abs().sum()), penalty_a, iterations, tolerance)


def lasso(
    s: Float[Tensor, "t k"], gram: Float[Tensor, "k k"], cross: Float[Tensor, "t k"], penalty: float, steps: int = 10
) -> Float[Tensor, "t k"]:
    """Proximal gradient steps on ``tr(S G S^T) - 2 tr(S C^T) + penalty ||S||_1`` from `s` on; none increases it."""
    steepest = float(torch.linalg.matrix_norm(gram, 2))
    if steepest == 0:  # A is 0
        return torch.zeros_like(s)
    for _ in range(steps):
        s = F.softshrink(s + (cross - s @ gram) / steepest, penalty / (2 * steepest))
    return s


def a_step(m: Moments, s: Float[Tensor, "t k"], penalty: float) -> Float[Tensor, "k r"]:
    """Solve S^T S A X X^T / n + penalty A = S^T Z X^T / n for A, in the basis of the moments."""
    sigma, u = torch.linalg.eigh(s.T @ s)
    return u @ ((u.T @ (m.cross @ s).T) / (sigma.clamp_min(0)[:, None] * m.g + penalty))


def fit_of(m: Moments, s: Float[Tensor, "t k"], a: Float[Tensor, "k r"]) -> float:
    """1/n ||Z - S A X||^2, from the moments."""
    return float(m.words.trace() - 2 * ((m.cross @ s).T * a).sum() + ((s.T @ s) * ((a * m.g) @ a.T)).sum())


def _alternate(
    m: Moments,
    tasks: int,
    s_step: Callable[[Tensor, Tensor], Tensor],
    size_of_s: Callable[[Tensor], float],
    penalty_a: float,
    iterations: int,
    tolerance: float,
) -> Factors:
    """From the first left singular vectors of Z on, until both half steps together gain less than `tolerance`."""

    def objective(s: Tensor, a: Tensor) -> float:
        return fit_of(m, s, a) + size_of_s(s) + penalty_a * float(a.square().sum())

    values, vectors = torch.linalg.eigh(m.words)
    tasks = min(tasks, int((values > 1e-10 * values[-1]).sum()), len(m.g))
    s = vectors.flip(1)[:, :tasks]
    history: list[float] = []
    for _ in range(iterations):
        a = a_step(m, s, penalty_a)
        history.append(objective(s, a))
        s = s_step(s, a)
        history.append(objective(s, a))
        if len(history) > 2 and history[-3] - history[-1] <= tolerance * history[-3]:
            break
    return Factors(s, a @ m.basis.T, tuple(history))


# -- step 4d -----------------------------------------------------------------------------------------------


def latent_prototypes(s: Float[Tensor, "t k"], z: Float[Tensor, "c t"], penalty: float) -> Float[Tensor, "c k"]:
    """argmin_p ||z_c - S p||^2 + penalty ||p||^2 of every class vector: where it lies among the latent tasks."""
    return torch.linalg.solve(s.T @ s + penalty * torch.eye(s.shape[1], dtype=s.dtype), s.T @ z.to(s).T).T

"""Step 5: weights of training samples by their relevance to the target, estimated by KLIEP."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from unseen.nn.density_ratio import kliep

Mode = Literal["none", "visual", "category", "full"]


def relevance(
    mode: Mode,
    x: Float[Tensor, "n d"],
    z: Float[Tensor, "n t"],
    pool: Float[Tensor, "m d"] | None,
    prototypes: Float[Tensor, "u t"],
    *,
    centres: int = 200,
    random_state: int = 0,
) -> Float[Tensor, " n"]:
    """Weights omega of mean 1 over all training samples together, (n,).

    Parameters
    ----------
    mode : {"none", "visual", "category", "full"}
        Uniform; by the features of the pool; by the vectors of the classes in question; by the product of both.
    x, z : Tensor (n, d) and (n, t)
        Features and class vectors of the training samples, of all data sets.
    pool : Tensor (m, d), optional
        Unlabelled features of the target. Without them `full` is `category`.
    prototypes : Tensor (u, t)
        Vectors of the classes in question.
    centres : int
        Most centres of the kernels by which `unseen.nn.density_ratio.kliep` models the ratio.
    random_state : int
        Of the draw of centres.

    Raises
    ------
    ValueError
        If `mode` is "visual" and there is no pool.
    """
    if mode == "visual" and pool is None:
        raise ValueError("weights must not be 'visual' without a `target`, whose features it reads")
    weights = torch.ones(len(x), dtype=torch.float64)
    pairs = {"visual": (pool, x), "category": (prototypes, z)}
    for part, (test, train) in pairs.items():
        if mode in (part, "full") and test is not None:
            ratio = kliep(test, train, centres=centres, random_state=random_state)
            weights = weights * ratio(train).clamp_min(1e-9)  # a product of zeros would leave no sample
    return weights / weights.mean()

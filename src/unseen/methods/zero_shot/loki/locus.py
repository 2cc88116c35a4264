"""The locus: which classes Loki can ever predict from some observed ones, and which to label next.

Pi(Lambda) is the union of the Fréchet means over all weights on the observed classes Lambda; Lambda is a
locus cover if that is every class [1, section 3].

References
----------
[1] Roberts et al., "Geometry-Aware Adaptation for Pretrained Models", NeurIPS 2023.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from unseen.data.label_metrics import CompleteMetric, LabelMetric, TreeMetric
from unseen.data.typing import IntArray

TOLERANCE = 1e-7
"""Costs that differ by less than this share of the largest are equal."""


# -- the locus ---------------------------------------------------------------------------------------------


def locus(
    metric: LabelMetric, observed: IntArray, how: Literal["auto", "tree", "pairs", "exact"] = "auto"
) -> Bool[np.ndarray, "n"]:
    """Which classes are a Fréchet mean of the observed ones for some weights.

    Parameters
    ----------
    metric : LabelMetric
    observed : int array (K,)
    how : {"auto", "tree", "pairs", "exact"}
        "tree" unites shortest paths (a tree whose nodes are all classes); "pairs" weighs two observed classes
        at a time, which is the whole locus of a pairwise decomposable metric, else a part of it; "exact" adds
        linear programs for what the pairs leave open. "auto" takes the paths, or is exact.
    """
    observed = _checked(metric, observed)
    if how not in ("auto", "tree", "pairs", "exact"):
        raise ValueError(f"how must be 'auto', 'tree', 'pairs' or 'exact'; got {how!r}")
    if how == "tree" or (how == "auto" and isinstance(metric, TreeMetric) and metric.complete):
        if not isinstance(metric, TreeMetric):
            raise TypeError(f"how='tree' needs a TreeMetric; got {type(metric).__name__}")
        return tree_locus(metric, observed)
    if how == "auto" and isinstance(metric, CompleteMetric):
        return _mask(len(metric), observed)
    squared = metric.rows(observed) ** 2
    inside = pair_locus(squared, observed)
    if how != "pairs":
        for y in np.flatnonzero(~inside):
            inside[y] = is_frechet_mean(squared, int(y))
    return inside


def tree_locus(tree: TreeMetric, observed: IntArray) -> Bool[np.ndarray, "n"]:
    """All classes on paths between observed ones (the Steiner subtree); all nodes are classes."""
    if not tree.complete:
        raise ValueError("tree must have a class at every node; use how='exact' where inner nodes are no classes")
    below = np.zeros(len(tree.parents), dtype=np.int64)
    below[tree.nodes[observed]] = 1
    for level in tree.levels[:0:-1]:
        np.add.at(below, tree.parents[level], below[level])
    inside = (below > 0) & (below < len(observed))
    downward = np.concatenate(tree.levels)
    inside[downward[below[downward] == len(observed)][-1]] = True  # where all paths meet
    return inside[tree.nodes]


def pair_locus(squared: Float[np.ndarray, "k n"], observed: IntArray) -> Bool[np.ndarray, "n"]:
    """Union of the loci of all pairs of observed classes, from their squared distances to all classes."""
    inside = _mask(squared.shape[1], observed)
    for i in range(len(squared)):
        for j in range(i):
            inside |= pair_means(squared[i], squared[j])
    return inside


def pair_means(a: Float[np.ndarray, "n"], b: Float[np.ndarray, "n"]) -> Bool[np.ndarray, "n"]:
    """Which of the lines f_y(w) = w a_y + (1 - w) b_y touch the lower envelope of all somewhere in [0, 1]."""
    hull = _lower_left_hull(a, b)
    right, down = np.diff(a[hull]), -np.diff(b[hull])
    w = np.concatenate([[0.0, 1.0], down / (right + down)])  # ends, and where neighbours of the envelope meet
    inside = np.zeros(len(a), dtype=bool)
    scale = TOLERANCE * max(a.max(), b.max())
    for weight in w:
        cost = weight * a + (1 - weight) * b
        inside |= cost <= cost.min() + scale
    return inside


def is_frechet_mean(squared: Float[np.ndarray, "k n"], y: int) -> bool:
    """Whether weights p with sum_k p_k (d2[k, y] - d2[k, z]) <= 0 for all z exist, by a linear program."""
    from scipy.optimize import linprog

    scale = squared.max() or 1.0
    excess = (squared[:, [y]] - squared).T / scale  # (N, K)
    k = len(squared)
    solved = linprog(  # least t with excess @ p <= t; t = 0 is reached by z = y
        c=np.r_[np.zeros(k), 1.0],
        A_ub=np.c_[excess, -np.ones(len(excess))],
        b_ub=np.zeros(len(excess)),
        A_eq=np.r_[np.ones(k), 0.0][None],
        b_eq=[1.0],
        bounds=[(0, 1)] * k + [(0, None)],
    )
    if solved.fun is None:
        raise ArithmeticError(f"the linear program of class {y} was not solved: {solved.message}")
    return bool(solved.fun <= TOLERANCE)


def is_cover(metric: LabelMetric, observed: IntArray) -> bool:
    """Whether every class can be predicted from the observed ones: Pi(Lambda) = Y."""
    return bool(locus(metric, observed).all())


def minimum_cover(metric: LabelMetric) -> NDArray[np.int64]:
    """The fewest classes from which all can be predicted: the leaves of a tree, all of a complete graph.

    Raises
    ------
    ValueError
        For other metrics, for which no such rule is known; there, `active_classes` finds some cover.
    """
    if isinstance(metric, CompleteMetric):
        return np.arange(len(metric))
    if not isinstance(metric, TreeMetric) or not metric.complete:
        raise ValueError("metric must be complete, or a tree with a class at every node; see active_classes")
    root = metric.levels[0]
    degree = np.bincount(metric.parents[metric.parents >= 0], minlength=len(metric.parents)) + 1
    degree[root] -= 1
    return np.flatnonzero(degree[metric.nodes] <= 1)


def diameter(metric: LabelMetric, block: int = 256) -> float:
    """The largest distance between two classes; two sweeps in a tree, else all rows, `block` at a time."""
    if isinstance(metric, TreeMetric):
        end = int(metric.rows(np.array([0]))[0].argmax())
        return float(metric.rows(np.array([end])).max())
    starts = range(0, len(metric), block)
    return max(float(metric.rows(np.arange(s, min(s + block, len(metric)))).max()) for s in starts)


# -- which class to label next -----------------------------------------------------------------------------

Choice = Callable[[NDArray[np.bool_]], int]


def next_class(metric: LabelMetric, observed: IntArray) -> int:
    """The class farthest from the locus: argmax_v min_{u in Pi} d(u, v); lowest index at a tie.

    In a tree no other class makes the locus grow more: it gains one class per step of that distance.

    Raises
    ------
    ValueError
        If the locus already holds every class.
    """
    inside = locus(metric, observed)
    if inside.all():
        raise ValueError("observed must leave classes outside its locus; all can be predicted already")
    return int(np.where(inside, -1.0, _gap(metric, np.flatnonzero(inside))).argmax())


def active_classes(metric: LabelMetric, observed: IntArray) -> NDArray[np.int64]:
    """Classes to label, in order, each the `next_class`, until all can be predicted."""
    gap = np.full(len(metric), np.inf)

    def farthest(inside: NDArray[np.bool_]) -> int:
        entered = np.flatnonzero(inside & (gap > 0))  # rows of distances are needed once per class
        np.minimum(gap, _gap(metric, entered), out=gap)
        return int(np.where(inside, -1.0, gap).argmax())

    return _until_covered(metric, observed, farthest)


def random_classes(metric: LabelMetric, observed: IntArray, rng: np.random.Generator) -> NDArray[np.int64]:
    """The baseline of `active_classes`: a random class outside the locus each time."""
    return _until_covered(metric, observed, lambda inside: int(rng.choice(np.flatnonzero(~inside))))


def _until_covered(metric: LabelMetric, observed: IntArray, choose: Choice) -> NDArray[np.int64]:
    have, chosen = list(_checked(metric, observed)), []
    while not (inside := locus(metric, np.array(have))).all():
        chosen.append(choose(inside))
        have.append(chosen[-1])
    return np.array(chosen, dtype=np.int64)


def _gap(metric: LabelMetric, index: IntArray, block: int = 256) -> Float[np.ndarray, "n"]:
    """Distance of every class to the nearest of those at `index`, `block` rows at a time."""
    least = np.full(len(metric), np.inf)
    for start in range(0, len(index), block):
        least = np.minimum(least, metric.rows(index[start : start + block]).min(axis=0))
    return least


# -- small helpers -----------------------------------------------------------------------------------------


def _checked(metric: LabelMetric, observed: IntArray) -> NDArray[np.int64]:
    observed = np.asarray(observed, dtype=np.int64).reshape(-1)
    if not len(observed) or observed.min() < 0 or observed.max() >= len(metric):
        raise ValueError(f"observed must hold at least one class, all in [0, {len(metric)}); got {observed}")
    if len(np.unique(observed)) != len(observed):
        raise ValueError("observed must not repeat a class")
    return observed


def _mask(n: int, index: IntArray) -> NDArray[np.bool_]:
    mask = np.zeros(n, dtype=bool)
    mask[index] = True
    return mask


def _lower_left_hull(a: NDArray, b: NDArray) -> NDArray[np.intp]:
    """Corners of the convex hull of the points (a, b) that non-negative weights minimise, by rising a."""
    order = np.lexsort((b, a))
    best = np.minimum.accumulate(b[order])
    front = order[np.r_[True, b[order][1:] < best[:-1]]]  # nothing is better in both
    hull: list[int] = []
    for c in front.tolist():
        while len(hull) > 1 and _turns_right(a, b, hull[-2], hull[-1], c):
            hull.pop()
        hull.append(c)
    return np.array(hull)


def _turns_right(a: NDArray, b: NDArray, p: int, q: int, r: int) -> bool:
    """Whether q lies on or above the line from p to r."""
    return bool((a[q] - a[p]) * (b[r] - b[p]) - (b[q] - b[p]) * (a[r] - a[p]) <= 0)

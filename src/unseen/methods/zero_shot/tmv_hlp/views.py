"""Steps 1 to 3: what is known of classes, regressors onto it, moved prototypes, and views in one embedding."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.label_metrics import CompleteMetric, EmbeddingMetric, LabelMetric
from unseen.methods.zero_shot.tmv_hlp.cca import multiview_cca
from unseen.nn.build import builder
from unseen.nn.semantic import cosines, ridge

log = logging.getLogger(__name__)

FEATURES = "features"
"""The view of the samples themselves; the others are named by what of the classes they are."""

MOST = 4000
"""Classes of which all distances are scaled; more would need too much memory."""


# -- classes -----------------------------------------------------------------------------------------------


def candidate_classes(
    source: Domain, classes: ClassSpace, support: Domain | None, generalized: bool, prototypes: bool
) -> Int[np.ndarray, " c"]:
    """The classes that a sample of the pool can be of, ascending.

    The unseen ones and those of the support; all if `generalized`; without prototypes those of the support alone.
    """
    alien = np.setdiff1d(source.labels, classes.seen)
    if len(alien):
        raise ValueError(f"source must hold seen classes only; {classes.names[alien[0]]!r} is not in classes.seen")
    shown = np.zeros(0, dtype=np.int64) if support is None else np.unique(support.labels)
    if not prototypes:
        if support is None:
            raise ValueError("support must be given with prototypes=False: there is no other labelled node")
        return shown
    chosen = np.arange(len(classes)) if generalized else np.union1d(classes.unseen, shown)
    if len(chosen) < 2:
        raise ValueError(
            f"classes must have at least two unseen classes (or support, or generalized=True); {len(chosen)} can be "
            "predicted. Set `seen` to those that the source has samples of"
        )
    return chosen


def class_vectors(
    classes: ClassSpace, candidates: Int[np.ndarray, " c"], known: Int[np.ndarray, " k"]
) -> tuple[dict[str, Float[Tensor, "n _"]], dict[str, Bool[np.ndarray, " _"]]]:
    """Every space in which the classes have vectors: attributes, embeddings, and coordinates of a tree or graph.

    Columns that are equal for all `known` classes, those of the source, are left out, as nothing can be learnt of them;
    second come those kept.
    """
    vectors = {name: getattr(classes, name) for name in ("attributes", "embeddings")}
    if not isinstance(classes.metric, (CompleteMetric, EmbeddingMetric)):
        if len(classes) <= MOST:
            vectors["metric"] = coordinates(classes.metric)
        else:
            log.info("the distances of %d classes are no view: of more than %d they are not scaled", len(classes), MOST)
    spaces = {name: torch.as_tensor(value).double() for name, value in vectors.items() if value is not None}
    kept = {}
    if not spaces:
        raise ValueError(f"classes must have attributes, embeddings, or, up to {MOST} classes, distances as metric")
    for name, value in spaces.items():
        varies = value[known].std(dim=0, unbiased=False) > 0
        if not varies.any():
            raise ValueError(f"classes must differ in their {name}; those of all classes of the source are equal")
        if not varies.all():
            log.info(
                "%d columns of %s are equal for all classes of the source and left out", int((~varies).sum()), name
            )
        empty = candidates[(value[candidates] == 0).all(dim=1).numpy()]
        if name != "metric" and len(empty):
            named = ", ".join(repr(classes.names[c]) for c in empty[:3])
            raise ValueError(f"classes must all have {name}; those of {len(empty)} classes are all 0: {named}")
        spaces[name], kept[name] = value[:, varies], varies.numpy()
    return spaces, kept


def check_distinct(
    classes: ClassSpace, candidates: Int[np.ndarray, " c"], spaces: Mapping[str, Float[Tensor, "n _"]]
) -> None:
    """Warn of candidates with the same vectors in every space, which nothing tells apart; raise if all are the same."""
    vectors = np.hstack([value[candidates].numpy() for value in spaces.values()])
    _, first, inverse = np.unique(vectors, axis=0, return_index=True, return_inverse=True)
    twin = first[inverse.ravel()]
    alike = np.flatnonzero(twin != np.arange(len(candidates)))
    if len(alike):
        a, b = classes.names[candidates[twin[alike[0]]]], classes.names[candidates[alike[0]]]
        twins = f"{a!r} and {b!r} have the same {' and '.join(spaces)}, columns left out aside"
        if len(first) == 1:
            raise ValueError(f"classes must have vectors that differ between those to be predicted; {twins}")
        log.warning("%d classes cannot be told from others, such as these: %s", len(alike), twins)


def coordinates(metric: LabelMetric, most: int = 100) -> Float[np.ndarray, "n d"]:
    """Points whose distances are nearest to those of a metric: classical scaling, at most `most` dimensions."""
    squared = np.square(metric.rows(np.arange(len(metric))).astype(np.float64))
    squared = squared - squared.mean(axis=0)
    values, vectors = np.linalg.eigh(-(squared - squared.mean(axis=1, keepdims=True)) / 2)
    kept = np.flatnonzero(values > 1e-9 * values.max())[::-1][:most]
    return vectors[:, kept] * np.sqrt(values[kept])


# -- views -------------------------------------------------------------------------------------------------


class View(nn.Module):
    """One view: samples to its vectors, and vectors to the joint embedding.

    `vectors` standardizes samples (`location`, `scale`) and, if it `projects`, maps them into the space of class
    vectors by `weight` and `bias`, through a sigmoid if attributes are `binary`. `image` centres vectors on the pool's
    mean (`centre`) and maps them by `matrix`; `embed` brings that to unit length.
    """

    location: Tensor
    scale: Tensor
    weight: Tensor
    bias: Tensor
    centre: Tensor
    matrix: Tensor

    def __init__(self, d: int, t: int, joint: int, projects: bool, binary: bool) -> None:
        super().__init__()
        self.projects, self.binary = projects, binary
        shapes: dict[str, tuple[int, ...]] = {"location": (d,), "scale": (d,), "centre": (t,), "matrix": (t, joint)}
        if projects:
            shapes |= {"weight": (d, t), "bias": (t,)}
        for name, shape in shapes.items():
            self.register_buffer(name, torch.zeros(shape, dtype=torch.float64))

    def vectors(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n t"]:
        """Samples in this view."""
        v = (x.double() - self.location) / self.scale
        if not self.projects:
            return v
        v = v @ self.weight + self.bias
        return torch.sigmoid(v) if self.binary else v

    def image(self, v: Float[Tensor, "n t"]) -> Float[Tensor, "n j"]:
        """Vectors of this view in the joint embedding, of any length."""
        return (v.double() - self.centre) @ self.matrix

    def embed(self, v: Float[Tensor, "n t"]) -> Float[Tensor, "n j"]:
        """Vectors of this view on the unit sphere of the joint embedding."""
        return F.normalize(self.image(v), dim=1)


@builder("tmv-view")
def view(d: int, t: int, joint: int, projects: bool, binary: bool) -> View:
    """A `View` of zeros."""
    return View(d, t, joint, projects, binary)


def spread(x: Float[Tensor, "n d"]) -> tuple[Tensor, Tensor]:
    """Mean and deviation of every column; a constant one has deviation 1."""
    deviation, mean = torch.std_mean(x, dim=0, unbiased=False)
    return mean, torch.where(deviation > 1e-6 * mean.abs(), deviation, torch.ones_like(deviation))


def feature_view(pool: Float[Tensor, "n d"]) -> View:
    """The samples, standardized by the pool itself."""
    d = pool.shape[1]
    result = view(d, d, 0, projects=False, binary=False)
    result.location, result.scale = spread(pool)
    return result


def semantic_view(x: Float[Tensor, "n d"], z: Float[Tensor, "n t"], penalty: float) -> View:
    """Step 1: learn from the source to map samples into a space of class vectors.

    Ridge regression; of binary attributes logistic regression each, which gives probabilities.
    """
    d, t = x.shape[1], z.shape[1]
    binary = bool(((z == 0) | (z == 1)).all())
    result = view(d, t, 0, projects=True, binary=binary)
    result.location, result.scale = spread(x)
    x = (x - result.location) / result.scale
    if binary:
        result.weight, result.bias = attribute_regressions(x, z, penalty)
    else:
        result.bias = z.mean(dim=0)
        result.weight = ridge(x, z - result.bias, penalty)
    return result


def attribute_regressions(
    x: Float[Tensor, "n d"], z: Float[Tensor, "n t"], penalty: float
) -> tuple[Float[Tensor, "d t"], Float[Tensor, " t"]]:
    """Weights and biases of one logistic regression per attribute: mean log loss + penalty ||w||^2 / 2."""
    from sklearn.linear_model import LogisticRegression

    fits = [LogisticRegression(C=1 / (penalty * len(x)), max_iter=1000).fit(x.numpy(), a) for a in z.T.numpy()]
    weights, biases = np.concatenate([fit.coef_ for fit in fits]), np.concatenate([fit.intercept_ for fit in fits])
    return torch.as_tensor(weights.T.copy()), torch.as_tensor(biases)


def moved_prototypes(v: Float[Tensor, "n t"], z: Float[Tensor, "c t"], k: int | None) -> Float[Tensor, "c t"]:
    """Step 2: each prototype at the mean of the k projected samples nearest to it by cosine; 0 leaves it where it is.

    None is the rule of thumb: 8% of the pool, at most a class's share of it, at least one sample.
    """
    if k is None:
        k = max(1, min(round(0.08 * len(v)), len(v) // len(z)))
    return v[cosines(v, z).topk(min(k, len(v)), dim=0).indices].mean(dim=0) if k else z


def principal(v: Float[Tensor, "n t"], most: int) -> Float[Tensor, "t p"]:
    """The directions of a centred view that vary, at most the `most` first, over its mean deviation along them."""
    tall = len(v) >= v.shape[1]
    values, vectors = torch.linalg.eigh(v.T @ v if tall else v @ v.T)
    kept = (values > 1e-9 * values[-1]).nonzero()[:, 0].flip(0)[:most]
    length, vectors = values[kept], vectors[:, kept]
    directions = vectors if tall else v.T @ vectors / length.sqrt()
    return directions / (length.mean() / (len(v) - 1)).sqrt()


def align(
    views: Mapping[str, View], pool: Float[Tensor, "n d"], components: int, power: float, regularization: float
) -> dict[str, View]:
    """Step 3: the views with `centre` and `matrix` from canonical correlations over the pool.

    Psi^i = v_i W_i diag(mu)^power: directions that more views share count for more. A pool too small for its components
    is warned of.
    """
    centred, centres = {}, {}
    for name, original in views.items():
        v = original.vectors(pool)
        centres[name] = v.mean(dim=0)
        centred[name] = v - centres[name]
        if not centred[name].any():
            raise ValueError(f"target must hold samples that differ; the view {name!r} of all of them is the same")
    bases = {name: principal(v, components) for name, v in centred.items()}
    width = sum(basis.shape[1] for basis in bases.values())
    if len(pool) < 2 * width and regularization < 0.1:
        log.warning(
            "%d samples are few for correlations of %d components, which need %d; set regularization to 0.1 or more",
            len(pool), width, 2 * width,
        )  # fmt: skip
    joint = multiview_cca([v @ bases[name] for name, v in centred.items()], regularization)
    aligned = {}
    for (name, original), directions in zip(views.items(), joint.directions):
        matrix = bases[name] @ directions * joint.eigenvalues**power
        d, (t, columns) = len(original.location), matrix.shape
        aligned[name] = view(d, t, columns, projects=original.projects, binary=original.binary)
        aligned[name].load_state_dict(original.state_dict() | {"centre": centres[name], "matrix": matrix})
    return aligned

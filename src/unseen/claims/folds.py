"""Drawings of classes of which some are unseen, for claims of zero-shot recognition; prototypes by ridge regression."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.typing import FloatArray, IntArray

Mask = NDArray[np.bool_]


class Fold(NamedTuple):
    """Samples to learn from, others of seen and of unseen classes to recognize, and the classes."""

    source: Domain
    seen: Domain
    unseen: Domain
    classes: ClassSpace

    @property
    def tests(self) -> Domain:
        """The samples of seen classes, then those of unseen ones, without more."""
        parts = self.seen, self.unseen
        return Domain(x=np.concatenate([part.x for part in parts]), y=np.concatenate([part.labels for part in parts]))


def roles(n_vendors: int, classes: ClassSpace, rng: np.random.Generator) -> tuple[Mask, Mask, Mask]:
    """Which drawings of all classes, vendor after vendor, are learnt from, which test seen classes, which unseen ones.

    Of every seen class one vendor's drawing, another one from class to class, is for the test.
    """
    vendor, y = np.indices((n_vendors, len(classes))).reshape(2, -1)
    aside, new = vendor == rng.integers(n_vendors, size=len(classes))[y], np.isin(y, classes.unseen)
    return ~new & ~aside, ~new & aside, new


def components(x: FloatArray, width: int, learnt: Mask | None = None) -> FloatArray:
    """Principal components of rows; of those that are learnt from where a mask says which, in single precision."""
    from sklearn.decomposition import PCA

    axes = PCA(width, random_state=0)
    return axes.fit_transform(x) if learnt is None else axes.fit(x[learnt]).transform(x).astype(np.float32)


def fold_of(x: NDArray[np.float32], classes: ClassSpace, rng: np.random.Generator, width: int) -> Fold:
    """The fold of features (vendors, classes, d), which become `width` principal components of what is learnt from."""
    masks = roles(len(x), classes, rng)
    flat, y = x.reshape(-1, x.shape[2]), np.tile(np.arange(x.shape[1]), len(x))
    whole = Domain(x=components(flat, width, masks[0]), y=y, classes=classes)
    source, known, new = (whole.take(mask) for mask in masks)
    return Fold(source, known, new, classes)


def ridge_prototypes(x: FloatArray, y: IntArray, attributes: FloatArray, seen: IntArray, alpha: float) -> FloatArray:
    """Ridge regression from the vectors of seen classes to the means of their samples: a prototype of every class."""
    from sklearn.linear_model import Ridge

    means = np.stack([x[y == c].mean(axis=0) for c in seen])
    return Ridge(alpha=alpha).fit(attributes[seen], means).predict(attributes)


def near(x: FloatArray, prototypes: FloatArray, centre: FloatArray) -> FloatArray:
    """Cosines of samples with prototypes around a centre, (n, k)."""
    u, v = (z / np.linalg.norm(z, axis=1, keepdims=True) for z in (x - centre, prototypes - centre))
    return u @ v.T

"""What zero-shot methods ask first: a vector per class, the classes in question, their order."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain


def described(classes: ClassSpace) -> Float[Tensor, "c t"]:
    """The attributes of the classes, else their embeddings, as they are.

    Raises
    ------
    ValueError
        If the classes have neither.
    """
    vectors = classes.attributes if classes.attributes is not None else classes.embeddings
    if vectors is None:
        raise ValueError("classes must have attributes or embeddings: one vector per class; they have neither")
    return torch.as_tensor(vectors)


def class_vectors(classes: ClassSpace) -> Float[Tensor, "c t"]:
    """`described` at unit length.

    Raises
    ------
    ValueError
        If a vector is 0: nothing is said of that class.
    """
    vectors = described(classes)
    empty = torch.nonzero(vectors.norm(dim=1) == 0).flatten().tolist()
    if empty:
        detail = f"{len(empty)} of {len(classes)} vectors are 0, such as that of {classes.names[empty[0]]!r}"
        raise ValueError(f"classes must say something of every class; {detail}")
    return F.normalize(vectors, dim=1)


def candidates(source: Domain, classes: ClassSpace, generalized: bool) -> Int[np.ndarray, " k"]:
    """The classes in question, ascending: the unseen ones, and in generalized recognition those of the source, too.

    Raises
    ------
    ValueError
        If the source holds a class that is not seen, or there is no unseen class.
    """
    present = seen_classes(source, classes)
    if len(classes.unseen) == 0:
        raise ValueError("classes must have unseen classes: set `seen` to those that there are labelled samples of")
    return np.union1d(present, classes.unseen) if generalized else classes.unseen


def seen_classes(source: Domain, classes: ClassSpace) -> Int[np.ndarray, " k"]:
    """The classes that the source has samples of, ascending; `ValueError` if one of them is not seen."""
    present = np.unique(source.labels)
    alien = np.setdiff1d(present, classes.seen)
    if len(alien):
        raise ValueError(f"source must hold seen classes only; {classes.names[alien[0]]!r} is not in classes.seen")
    return present


def split_classes(
    source: Domain, classes: ClassSpace, vectors: Float[Tensor, "c t"], generalized: bool
) -> tuple[Int[np.ndarray, " s"], Int[np.ndarray, " u"]]:
    """The classes with samples, and those to generate samples of: the unseen ones, or all without samples.

    Both are ordered by their `vectors`, so that renumbering the classes changes nothing else.

    Raises
    ------
    ValueError
        If the source holds a class that is not seen, or there is none to generate samples of.
    """
    present = seen_classes(source, classes)
    if not generalized:
        candidates(source, classes, generalized)
    order = np.lexsort(vectors.numpy().T[::-1])
    unseen = np.setdiff1d(np.arange(len(classes)), present) if generalized else classes.unseen
    return order[np.isin(order, present)], order[np.isin(order, unseen)]


def positions(y: Int[np.ndarray, " n"], among: Int[np.ndarray, " c"], n_classes: int) -> Int[Tensor, " n"]:
    """Where each label stands in `among`; -1 if it does not."""
    table = np.full(n_classes, -1, dtype=np.int64)
    table[among] = np.arange(len(among))
    return torch.as_tensor(table[y])


def mean_of_classes(y: Int[Tensor, " n"], predicted: Int[Tensor, " n"]) -> float:
    """The mean over the classes in `y` of the share of their samples that are predicted right."""
    _, place, count = torch.unique(y, return_inverse=True, return_counts=True)
    right = torch.zeros(len(count), dtype=torch.float64).index_add_(0, place, (y == predicted).double())
    return float((right / count).mean())

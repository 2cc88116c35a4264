"""Compositions: classes that are pairs of an attribute and an object, such as a wet dog."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np

from unseen.data.classes import ClassSpace
from unseen.data.typing import FloatArray, IntArray

ATTRIBUTE, OBJECT = "attribute: ", "object: "
"""What the names of the two groups of columns in `ClassSpace.attributes` begin with."""


class Primitives(NamedTuple):
    """What N compositions are made of.

    Attributes
    ----------
    attributes, objects : tuples of A and of O strings
    attribute, object : int arrays (N,)
        Of each composition.
    attribute_vectors, object_vectors : arrays (A, D) and (O, D), or None
        Word vectors.
    """

    attributes: tuple[str, ...]
    objects: tuple[str, ...]
    attribute: IntArray
    object: IntArray
    attribute_vectors: FloatArray | None
    object_vectors: FloatArray | None


def compositions(
    pairs: Sequence[tuple[str, str]],
    *,
    names: Sequence[str] | None = None,
    vectors: Mapping[str, FloatArray] | None = None,
    seen: Iterable[int] | None = None,
) -> ClassSpace:
    """The classes of some pairs of an attribute and an object.

    Parameters
    ----------
    pairs : sequence of (attribute, object)
    names : sequence of str, optional
        Of the classes; "attribute object" each if absent.
    vectors : mapping from each word to its vector (D,), optional
        They become the embedding of a class, one after the other, (2 D,).
    seen : iterable of int, optional
        Pairs with labelled samples; all if absent.

    Returns
    -------
    ClassSpace
        `attributes` marks the attribute and the object of each class; their columns are named ``"attribute: wet"`` and
        ``"object: dog"``.

    Raises
    ------
    ValueError
        If a pair stands twice, or a word has no vector.
    """
    pairs = [(str(a), str(o)) for a, o in pairs]
    if not pairs:
        raise ValueError("pairs must hold at least one attribute and object; it is empty")
    if len(set(pairs)) != len(pairs):
        twice = next(pair for pair in pairs if pairs.count(pair) > 1)
        raise ValueError(f"pairs must be unique; {twice} stands twice")
    attributes, objects = (list(dict.fromkeys(words)) for words in zip(*pairs))
    marks = np.zeros((len(pairs), len(attributes) + len(objects)), dtype=np.float32)
    rows = np.arange(len(pairs))
    for words, offset, k in ((attributes, 0, 0), (objects, len(attributes), 1)):
        place = {word: offset + i for i, word in enumerate(words)}
        marks[rows, [place[pair[k]] for pair in pairs]] = 1
    embeddings = None
    if vectors is not None:
        missing = [word for word in (*attributes, *objects) if word not in vectors]
        if missing:
            raise ValueError(f"vectors must have every attribute and object; {missing[0]!r} has none")
        widths = {len(vectors[word]) for word in (*attributes, *objects)}
        if len(widths) > 1:
            raise ValueError(f"vectors must all have one width; got {sorted(widths)}")
        embeddings = np.stack([np.concatenate([vectors[a], vectors[o]]) for a, o in pairs])
    return ClassSpace(
        names=tuple(names) if names is not None else tuple(f"{a} {o}" for a, o in pairs),
        attributes=marks,
        attribute_names=tuple([ATTRIBUTE + a for a in attributes] + [OBJECT + o for o in objects]),
        embeddings=embeddings,
        seen=None if seen is None else list(seen),
    )


def composed(classes: ClassSpace) -> bool:
    """Whether the classes are pairs of an attribute and an object."""
    names = classes.attribute_names or ()
    return bool(names) and all(name.startswith((ATTRIBUTE, OBJECT)) for name in names)


def primitives(classes: ClassSpace) -> Primitives:
    """What the classes are made of; words of which no class is made are left out.

    Raises
    ------
    ValueError
        If they are no compositions: each must have one attribute and one object.
    """
    if not composed(classes) or classes.attributes is None or classes.attribute_names is None:
        raise ValueError(
            "classes must be pairs of an attribute and an object: a class file with the columns attribute and object, "
            "or `unseen.data.compositions.compositions`"
        )
    groups: list[tuple[tuple[str, ...], IntArray]] = []
    for mark, kind in ((ATTRIBUTE, "attribute"), (OBJECT, "object")):
        columns = [k for k, name in enumerate(classes.attribute_names) if name.startswith(mark)]
        marks = classes.attributes[:, columns] != 0
        wrong = np.flatnonzero(marks.sum(axis=1) != 1)
        if len(wrong):
            raise ValueError(f"each class must have one {kind}; {classes.names[int(wrong[0])]!r} does not")
        used, index = np.unique(marks.argmax(axis=1), return_inverse=True)
        groups.append((tuple(classes.attribute_names[columns[k]].removeprefix(mark) for k in used), index))
    (attributes, attribute), (objects, object_) = groups
    vectors = _halves(classes.embeddings, attribute, object_)
    return Primitives(attributes, objects, attribute, object_, *vectors)


def _halves(
    embeddings: FloatArray | None, attribute: IntArray, object_: IntArray
) -> tuple[FloatArray | None, FloatArray | None]:
    """The word vectors that embeddings are put together from; none if they are not, such as those of whole names."""
    if embeddings is None or embeddings.shape[1] % 2:
        return None, None
    parts = []
    for index, half in zip((attribute, object_), np.split(embeddings, 2, axis=1)):
        vectors = half[np.unique(index, return_index=True)[1]]
        if not np.array_equal(vectors[index], half):
            return None, None
        parts.append(vectors)
    return parts[0], parts[1]


def with_vectors(classes: ClassSpace, vectors: Mapping[str, FloatArray]) -> ClassSpace:
    """Compositions with the vectors of their words as embeddings; see `compositions`."""
    known = primitives(classes)
    pairs = [(known.attributes[a], known.objects[o]) for a, o in zip(known.attribute, known.object)]
    return classes.replace(embeddings=compositions(pairs, vectors=vectors).embeddings)


def open_world(classes: ClassSpace) -> ClassSpace:
    """All pairs of the attributes and objects of `classes`, those of `classes` first; `seen` stays."""
    known = primitives(classes)
    have = list(zip(known.attribute.tolist(), known.object.tolist()))
    there = set(have)
    pairs = np.array(have + [pair for pair in product(*map(range, map(len, known[:2]))) if pair not in there])
    attribute, object_ = pairs.T
    more = [(known.attributes[a], known.objects[o]) for a, o in pairs]
    space = compositions(
        more, names=[*classes.names, *(f"{a} {o}" for a, o in more[len(have) :])], seen=classes.seen.tolist()
    )
    if known.attribute_vectors is None or known.object_vectors is None:
        return space
    return space.replace(embeddings=np.hstack([known.attribute_vectors[attribute], known.object_vectors[object_]]))

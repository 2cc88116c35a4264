"""What is missing in what is said of classes, counted: before any method has to make do without it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unseen.data.classes import ClassSpace


def gaps(classes: ClassSpace) -> tuple[str, ...]:
    """A sentence for each gap, with its count, an example, and what is done about it.

    - classes without a description, where others have one: the name stands for it;
    - attributes that are the same for all classes, or for all seen ones;
    - classes whose attributes are all 0: methods that need a vector per class refuse them;
    - classes of which exactly the same is said.
    """
    sentences = []
    if classes.descriptions is not None:
        silent = [name for name, text in zip(classes.names, classes.descriptions) if not text.strip()]
        if silent:
            sentences.append(f"{_some(silent, len(classes), 'classes')} have no description: the name stands for it")
    if classes.attributes is not None:
        sentences += _of_attributes(classes, classes.attributes)
    if alike := _alike(classes):
        some = _some(alike, len(classes), "classes")
        sentences.append(f"{some} are described as another one is: nothing tells them apart")
    return tuple(sentences)


def _of_attributes(classes: ClassSpace, attributes: np.ndarray) -> list[str]:
    names = classes.attribute_names or tuple(f"column {i + 1}" for i in range(attributes.shape[1]))
    sentences = []
    constant = np.ptp(attributes, axis=0) == 0
    if constant.any():
        which = [names[i] for i in np.flatnonzero(constant)]
        sentences.append(f"{_some(which, len(names), 'attributes')} are the same for all classes: they tell none apart")
    if len(classes.unseen) and len(classes.seen):
        never = ~constant & (np.ptp(attributes[classes.seen], axis=0) == 0)
        if never.any():
            some = _some([names[i] for i in np.flatnonzero(never)], len(names), "attributes")
            sentences.append(f"{some} are the same for all seen classes: no sample shows what they mean")
    empty = ~attributes.any(axis=1)
    if empty.any():
        which = [classes.names[i] for i in np.flatnonzero(empty)]
        sentences.append(
            f"{_some(which, len(classes), 'classes')} have no attribute: methods that need some refuse them"
        )
    return sentences


def _alike(classes: ClassSpace) -> list[str]:
    """Classes of which exactly the same is said as of one before them."""
    columns: list[Sequence[object]] = [
        [row.tobytes() for row in part] for part in (classes.attributes, classes.embeddings) if part is not None
    ]
    if classes.descriptions is not None and any(classes.descriptions):
        columns.append(classes.texts)
    if not columns:
        return []
    before: set[tuple[object, ...]] = set()
    again = []
    for name, *parts in zip(classes.names, *columns):
        if tuple(parts) in before:
            again.append(name)
        before.add(tuple(parts))
    return again


def _some(which: Sequence[str], of: int, what: str) -> str:
    return f"{len(which)} of {of} {what}, such as {which[0]!r},"

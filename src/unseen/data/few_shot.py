"""Few labelled samples of a target by the protocol of source-free few-shot studies, and unbalanced classes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.typing import IntArray


class FewShotSplit(NamedTuple):
    """Positions of the shots, of one further sample per class to validate by, and of the test samples."""

    train: IntArray
    validation: IntArray
    test: IntArray


def few_shot_split(
    y: IntArray,
    shots: int,
    *,
    seed: int,
    draw: int | None = None,
    test: float = 0.2,
    classes: ClassSpace | None = None,
) -> FewShotSplit:
    """Hold out a stratified part as the test, and draw `shots` + 1 of each class from the rest.

    Parameters
    ----------
    y : int array (n,)
        Labels.
    shots : int, >= 1
        Samples of each class to learn from; the support of `FewShotSFDA` is these and the validation samples together.
    seed : int
        Of the test part, and of the draw unless `draw` is given.
    draw : int, optional
        Seed of the draw alone: several draws for one test part.
    test : float in (0, 1)
        Share of the test part.
    classes : ClassSpace, optional
        Names the classes in errors.

    Raises
    ------
    ValueError
        If a class has too few samples.

    Source: Lee et al., "Few-shot Fine-tuning is All You Need for Source-free Domain Adaptation", 2023, section 4.1.
    """
    y = np.asarray(y)
    if shots < 1 or not 0 < test < 1:
        raise ValueError(f"shots must be at least 1 and test in (0, 1); got {shots} and {test}")
    if len(y) and y.min() < 0:
        raise ValueError("y must hold labels only; it holds -1, which is no label")
    labels, counts = np.unique(y, return_counts=True)
    fewest = int(counts.min()) if len(counts) else 0
    if fewest < shots + 2 or round(test * len(y)) < len(labels):
        smallest = f" ({classes.names[labels[counts.argmin()]]!r})" if classes is not None and len(labels) else ""
        raise ValueError(
            f"y must have {shots + 2} samples of each class, and a test sample of each; the smallest{smallest} has "
            f"{fewest}, and {test:g} of {len(y)} samples are {round(test * len(y))} for {len(labels)} classes"
        )
    from sklearn.model_selection import train_test_split

    rest, held = train_test_split(np.arange(len(y)), test_size=test, random_state=seed, stratify=y)
    rng = np.random.default_rng(seed if draw is None else draw)
    train, validation = [], []
    for label in labels:
        members = rng.permutation(np.sort(rest[y[rest] == label]))
        if len(members) < shots + 1:
            name = label if classes is None else repr(classes.names[label])
            raise ValueError(f"class {name} has {len(members)} samples outside the test; {shots + 1} are needed")
        train.append(members[:shots])
        validation.append(members[-1:])
    return FewShotSplit(np.concatenate(train), np.concatenate(validation), np.sort(held))


def unbalanced(domain: Domain, ratio: float, *, reverse: bool = False, seed: int = 0) -> Domain:
    """A part of a labelled domain whose classes shrink from the first to the last, by powers up to `ratio`.

    The source in one order and the target in the other (`reverse`) is the setting of a reversely unbalanced source and
    an unbalanced target (RSUT).

    Parameters
    ----------
    ratio : float, >= 1
        How many times the largest class is larger than the smallest.
    reverse : bool
        The last class is the largest.

    Source: Tan, Peng, Saenko, "Class-imbalanced Domain Adaptation: An Empirical Odyssey", ECCV Workshops 2020, 4.1.
    """
    if ratio < 1:
        raise ValueError(f"ratio must be at least 1; got {ratio}")
    labels = np.unique(domain.labels)
    most = min(int((domain.labels == label).sum()) for label in labels)
    rng = np.random.default_rng(seed)
    kept = []
    for place, label in enumerate(labels[::-1] if reverse else labels):
        n = max(1, round(most * ratio ** (-place / max(len(labels) - 1, 1))))
        kept.append(rng.permutation(np.flatnonzero(domain.labels == label))[:n])
    return domain.take(np.sort(np.concatenate(kept)))

"""Crafted validation: accuracy on copies of source pictures that were changed on purpose (WACV 2025).

Where the target is unknown, nothing of it can choose a model. Held-out source pictures, changed in ten families, can:
as long as no family was in training. Two folds of families keep the two apart.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from unseen.data.shifts import FAMILIES, FOLDS, check_families, craft

log = logging.getLogger(__name__)

Predict = Callable[[NDArray[Any]], NDArray[Any]]
"""(n, c, h, w) pictures in [0, 1] -> (n,) predicted classes."""

Criterion = Literal["VS", "VA", "VA_cv"]


@dataclasses.dataclass(frozen=True)
class CraftedScore:
    """Accuracy of one model on the copies of each family.

    Attributes
    ----------
    families : {family: accuracy in [0, 1]}
    leaked : tuple of str
        Families that the model was trained with: its score of these tells nothing of unseen domains.
    """

    families: Mapping[str, float]
    leaked: tuple[str, ...] = ()

    @property
    def mean(self) -> float:
        """V_A: the mean over the families, each of equal weight; unchanged pictures do not enter."""
        return float(np.mean(list(self.families.values())))


def crafted_validation(
    predict: Predict,
    pictures: Float[np.ndarray, "n c h w"],
    labels: Int[np.ndarray, " n"],
    families: Sequence[str] = tuple(FAMILIES),
    *,
    trained_with: Sequence[str] = (),
    allow_leak: bool = False,
    random_state: int = 0,
    strength: float = 1.0,
    copies: Mapping[str, NDArray[Any]] | None = None,
) -> CraftedScore:
    """Accuracy of a model on copies of labelled source pictures, by family.

    Parameters
    ----------
    predict : callable (n, c, h, w) -> (n,)
        The model's predicted classes; it gets all copies of one family at once.
    pictures : array of shape (n, c, h, w)
        Source pictures that the model was not trained on, in [0, 1]; c is 1 or 3.
    labels : int array (n,)
    families : sequence of str
        Families to score; all ten by default.
    trained_with : sequence of str
        Families that the model has seen in training.
    allow_leak : bool
        Score families of `trained_with` all the same; the score is then marked as leaked, and `select` refuses it.
    random_state, strength
        As in `unseen.data.shifts.craft`.
    copies : {family: array (n, c, h, w)}, optional
        The copies, from `crafted_copies`, so that they are made once for many models.

    Source: Efthymiadis, Tolias, Chum, "Crafting Distribution Shifts for Validation and Training in Single Source Domain
    Generalization", WACV 2025, section 3.

    Raises
    ------
    ValueError
        If a family was trained with, is none, or lengths differ.
    """
    chosen, seen = check_families(families), check_families(trained_with)
    if len(pictures) != len(labels) or not len(labels) or not chosen:
        detail = f"got {len(pictures)} and {len(labels)}, and {len(chosen)} families"
        raise ValueError(f"pictures and labels must be of one length, at least 1, and families not empty; {detail}")
    leaked = tuple(family for family in chosen if family in seen)
    if leaked and not allow_leak:
        detail = "score it on others, or on folds with `kfold_select`"
        raise ValueError(f"families must not hold what the model was trained with ({', '.join(leaked)}); {detail}")
    missing = [] if copies is None else [family for family in chosen if family not in copies]
    if missing:
        raise ValueError(f"copies must hold all families that are scored; {', '.join(missing)} are missing")
    scores = {}
    for family in chosen:
        changed = craft(pictures, family, random_state, strength=strength) if copies is None else copies[family]
        scores[family] = _accuracy(predict(changed), labels)
    return CraftedScore(scores, leaked)


def crafted_copies(
    pictures: Float[np.ndarray, "n c h w"],
    families: Sequence[str] = tuple(FAMILIES),
    *,
    random_state: int = 0,
    strength: float = 1.0,
) -> dict[str, NDArray[Any]]:
    """The fixed copies of pictures in [0, 1], an array (n, c, h, w) for each family."""
    return {f: craft(pictures, f, random_state, strength=strength) for f in check_families(families)}


def _accuracy(predicted: NDArray[Any], labels: NDArray[np.integer]) -> float:
    if np.shape(predicted) != np.shape(labels):
        raise ValueError(f"predict must give one class for each of {len(labels)} pictures; got {np.shape(predicted)}")
    return float(np.mean(np.asarray(predicted) == labels))


# -- choosing ----------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Scored:
    """What is known of one configuration without a target.

    Attributes
    ----------
    configuration : object
        As it stands in the grid; what it is ordered by, where several tie.
    folds : tuple of CraftedScore
        One for each fold: of the model that was trained with the other families.
    standard : float
        V_S: accuracy of the model with all families on unchanged pictures; NaN if it was not asked for.
    final : CraftedScore or None
        V_A of one model, for all families: leaked where it was trained with some.
    failed : bool
        Whether a training diverged; the accuracies that it would have given are those of chance.
    """

    configuration: Any
    folds: tuple[CraftedScore, ...] = ()
    standard: float = float("nan")
    final: CraftedScore | None = None
    failed: bool = False

    @property
    def crossed(self) -> float:
        """V_A,cv: the mean over all families, each from the model that was not trained with it."""
        return float(np.mean([score for fold in self.folds for score in fold.families.values()]))

    def value(self, criterion: Criterion) -> float:
        """The value of a criterion; `ValueError` if it would tell nothing, or was not measured."""
        if criterion == "VS":
            return self.standard
        if criterion == "VA_cv":
            if not self.folds:
                raise ValueError("criterion VA_cv needs folds; kfold_select measures them")
            leaked = {family for fold in self.folds for family in fold.leaked}
            if leaked:
                raise ValueError(f"criterion VA_cv is biased here: a fold was trained with {', '.join(sorted(leaked))}")
            return self.crossed
        if criterion != "VA":
            raise ValueError(f"criterion must be one of 'VS', 'VA', 'VA_cv'; got {criterion!r}")
        if self.final is None:
            raise ValueError("criterion VA needs a score of one model on all families")
        if self.final.leaked:
            detail = f"the model was trained with {', '.join(self.final.leaked)}"
            raise ValueError(f"criterion VA is biased here: {detail}; use VA_cv")
        return self.final.mean


Train = Callable[[Any, tuple[str, ...]], Predict]
"""(configuration, families to train with beside the originals) -> the trained model's predictions."""


def kfold_select(
    train: Train,
    grid: Sequence[Any],
    pictures: Float[np.ndarray, "n c h w"],
    labels: Int[np.ndarray, " n"],
    *,
    folds: Sequence[Sequence[str]] = FOLDS,
    augmented: Callable[[Any], bool] = lambda configuration: True,
    standard: bool = False,
    random_state: int = 0,
    strength: float = 1.0,
    copies: Mapping[str, NDArray[Any]] | None = None,
) -> tuple[Scored, ...]:
    """Score configurations by families of copies that their training has not seen.

    For every fold a model is trained with the originals and the families of all other folds, and scored on the copies
    of this fold. A configuration that trains with no family is one model, scored on all of them. `select` then chooses.
    The final model, with all families, is trained with what was chosen; its own V_A tells nothing.

    Parameters
    ----------
    train : callable (configuration, families) -> predict
        Trains a model and returns its predictions, (n, c, h, w) in [0, 1] to (n,). A training that raises
        `ArithmeticError`, as `unseen.nn.train` does where a loss is no number, counts as failed: what it would have
        told is chance, and the other trainings of the configuration keep their scores.
    grid : sequence of configurations
        Anything that `train` understands.
    pictures, labels : (n, c, h, w), (n,)
        Labelled source pictures that no model is trained on.
    folds : sequence of sequences of families
        At least two; no family may stand in two of them.
    augmented : callable configuration -> bool
        Whether a configuration trains with copies at all.
    standard : bool
        Also measure V_S, on the model with all families, which costs one more training.
    random_state, strength, copies
        As in `crafted_validation`; the copies are made once.

    Source: section 3.3 of the paper (k-fold over augmentation types).
    """
    parts = tuple(check_families(fold) for fold in folds)
    everything = check_families(family for fold in parts for family in fold)
    if len(parts) < 2 or not all(parts):
        raise ValueError(f"folds must be at least two, none of them empty; got {parts}")
    if not grid:
        raise ValueError("grid must hold at least one configuration")
    if copies is None:
        copies = crafted_copies(pictures, everything, random_state=random_state, strength=strength)
    score = functools.partial(_scored, train, parts=parts, pictures=pictures, labels=labels, copies=copies)
    return tuple(score(configuration, augmented(configuration), standard) for configuration in grid)


def _scored(
    train: Train,
    configuration: Any,
    augmented: bool,
    standard: bool,
    *,
    parts: tuple[tuple[str, ...], ...],
    pictures: NDArray[Any],
    labels: NDArray[np.integer],
    copies: Mapping[str, NDArray[Any]],
) -> Scored:
    """The fold scores and V_S of one configuration; what a training that diverged would have told is chance."""
    every = tuple(family for fold in parts for family in fold)
    chance = 1 / len(np.unique(labels))
    diverged: list[tuple[str, ...]] = []

    def trained(families: tuple[str, ...]) -> Predict | None:
        try:
            return train(configuration, families)
        except ArithmeticError as error:
            log.info("configuration %s failed with %s: %s", configuration, ", ".join(families) or "no family", error)
            diverged.append(families)
            return None

    def on_copies(predict: Predict | None, fold: tuple[str, ...], others: tuple[str, ...]) -> CraftedScore:
        if predict is None:
            return CraftedScore(dict.fromkeys(fold, chance))
        return crafted_validation(predict, pictures, labels, fold, trained_with=others, copies=copies)

    def on_originals(predict: Predict | None) -> float:
        return chance if predict is None else _accuracy(predict(pictures), labels)

    if not augmented:
        predict = trained(())
        scores = tuple(on_copies(predict, fold, ()) for fold in parts)
        value = on_originals(predict) if standard else np.nan
        final = CraftedScore({family: score for fold in scores for family, score in fold.families.items()})
        return Scored(configuration, scores, value, final, failed=bool(diverged))
    others = [tuple(family for family in every if family not in fold) for fold in parts]
    scores = tuple(on_copies(trained(rest), fold, rest) for fold, rest in zip(parts, others))
    value = on_originals(trained(every)) if standard else np.nan
    return Scored(configuration, scores, value, failed=bool(diverged))


def select(scored: Sequence[Scored], criterion: Criterion = "VA_cv", order: Callable[[Any], Any] | None = None) -> int:
    """Where the best configuration stands in `scored`; of several equal ones the middle one in their order.

    Parameters
    ----------
    scored : sequence of Scored
    criterion : {"VS", "VA", "VA_cv"}
    order : callable configuration -> key, optional
        What equal configurations are sorted by, such as (learning rate, weight); their order in `scored` if absent.

    Raises
    ------
    ValueError
        If nothing was scored, no value is finite, or the criterion is biased: V_A of a model that was trained with one
        of the families.
    """
    return middle_of_the_best(
        [entry.value(criterion) for entry in scored],
        None if order is None else [order(entry.configuration) for entry in scored],
    )


def middle_of_the_best(values: Sequence[float], keys: Sequence[Any] | None = None) -> int:
    """Where the largest value stands; of m equal ones that at place (m - 1) // 2 once they are sorted by `keys`.

    That is the middle one, and of an even number the first of the two in the middle. Values that are not finite never
    win.
    """
    finite = np.array([value if np.isfinite(value) else -np.inf for value in values], dtype=float)
    if not len(finite) or not np.isfinite(finite).any():
        raise ValueError(f"values must hold a finite one; got {list(values)}")
    if keys is not None and len(keys) != len(values):
        raise ValueError(f"keys must be as many as values; got {len(keys)} and {len(values)}")
    tied = np.flatnonzero(finite >= finite.max() - 1e-12).tolist()
    tied.sort(key=lambda place: place if keys is None else keys[place])
    return tied[(len(tied) - 1) // 2]

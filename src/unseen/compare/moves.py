"""`move`: a saved model goes on to another target, by its method's own second step."""

from __future__ import annotations

import dataclasses
import inspect
import os
from typing import Any

from unseen import methods
from unseen.bundle import Bundle
from unseen.compare.inputs import Data
from unseen.data.domain import Domain
from unseen.methods.base import Method
from unseen.methods.vocabulary import signature_of


def moves(method: type[Method]) -> bool:
    """Whether a fitted method adapts to another target by unlabeled samples of it alone, in a cheap second step."""
    step: Any = getattr(method, "adapt", None)
    return step is not None and signature_of(inspect.unwrap(step)).required == ("target",)


def move(
    model: Bundle,
    target: Data,
    *,
    out: str | os.PathLike[str] | None = None,
    with_encoder: bool = False,
    on_error: str = "skip",
) -> Bundle:
    """Adapt a saved model to another target, without what it was fitted on; labels in the target are never used.

    Temperature and threshold stay those of the model.

    Parameters
    ----------
    model : Bundle
        Of a method with the verb `adapt` for a target, such as meta-dmoe; it stays as it is.
    target : Domain or path
        A few unlabeled samples, or many.
    out : path, optional
        Where to save the adapted model.
    with_encoder : bool
        Put the encoder's weights into it.
    on_error : {"skip", "fail"}
        What to do with samples that cannot be read.

    Raises
    ------
    ValueError
        If the method of the model has no such step.
    """
    method: Any = model.method
    if not moves(type(method)):
        those = ", ".join(slug for slug in methods.slugs() if moves(methods.get(slug)))
        raise ValueError(
            f"model must be of a method that adapts to another target by itself ({those}); it is a saved "
            f"{method.card.slug}: name the method to fit"
        )
    moved = dataclasses.replace(model, method=method.adapt(target=model.features(_read(target, on_error)).unlabeled()))
    if out is not None:
        moved.save(out, with_encoder=with_encoder)
    return moved


def _read(target: Data, on_error: str) -> Domain:
    from unseen.data.loaders import load

    return target if isinstance(target, Domain) else load(target, on_error=on_error)  # type: ignore[arg-type]

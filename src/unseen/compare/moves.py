"""`move`: a saved model goes on by its method's own second step: to another target, other names, another handful."""

from __future__ import annotations

import dataclasses
import inspect
import os
from typing import Any

from unseen import methods
from unseen.bundle import Bundle
from unseen.compare.checks import check_saved_to, labeled_samples
from unseen.compare.reading import Data, Names
from unseen.data.class_file import class_space
from unseen.methods.base import Method
from unseen.methods.vocabulary import signature_of
from unseen.verification.seals import without_sealed

STEPS = {
    "target": "unlabeled samples of another target",
    "classes": "other classes, by their names",
    "support": "other classes, by a handful of labelled samples",
}
"""What a saved model can go on to, by the word of `adapt` that asks for it."""


def moves(method: type[Method], word: str = "target") -> bool:
    """Whether a fitted method goes on by `word` of `STEPS` alone, in a cheap second step."""
    step: Any = getattr(method, "adapt", None)
    return step is not None and signature_of(inspect.unwrap(step)).required == (word,)


def move(
    model: Bundle,
    target: Data | None = None,
    *,
    classes: Names | None = None,
    support: Data | None = None,
    out: str | os.PathLike[str] | None = None,
    with_encoder: bool = False,
    on_error: str = "skip",
) -> Bundle:
    """Let a saved model go on, without what it was fitted on; it stays as it is. Labels in a target are never used.

    Temperature and threshold stay those of the model. One of `target`, `classes` and `support` must be given.

    Parameters
    ----------
    model : Bundle
        Of a method with the verb `adapt` for what is given.
    target : Domain or path, optional
        A few unlabeled samples, or many (meta-dmoe).
    classes : ClassSpace, class file or names, optional
        Other classes to predict, which need no more than a name (x-clip, mug-stan).
    support : Domain or path, optional
        A handful of labelled samples of other classes (cdfsl-v, dafosnet).
    out : path, optional
        Where to save the adapted model.
    with_encoder : bool
        Put the encoder's weights into it.
    on_error : {"skip", "fail"}
        What to do with samples that cannot be read.

    Raises
    ------
    ValueError
        If the method of the model has no such step, or not exactly one thing is given.
    """
    from unseen.data.loaders import samples_of

    inputs = {"target": target, "classes": classes, "support": support}
    words = [word for word, value in inputs.items() if value is not None]
    if len(words) != 1:
        steps = "; ".join(f"{word}: {meaning}" for word, meaning in STEPS.items())
        raise ValueError(f"one of {', '.join(STEPS)} must be given, got {', '.join(words) or 'none'} ({steps})")
    method: Any = model.method
    if not moves(type(method), words[0]):
        those = ", ".join(slug for slug in methods.slugs() if moves(methods.get(slug), words[0]))
        raise ValueError(
            f"model must be of a method that goes on to {STEPS[words[0]]} ({those}); it is a saved "
            f"{method.card.slug}: name the method to fit"
        )
    if out is not None:
        check_saved_to(out)
    if classes is not None:
        known = class_space(classes)
        assert known is not None
        try:
            moved = dataclasses.replace(model, method=method.adapt(classes=known), classes=known)
        except ValueError as error:
            hint = f"; {method.card.commands[0]} names those of what it wrote" if method.card.commands else ""
            raise ValueError(f"{method.card.slug} cannot name these classes: {error}{hint}") from error
    elif support is not None:
        samples = samples_of(support, on_error=on_error, features=model.feature_names, like=model.sample_column)
        few = without_sealed("support", labeled_samples("support", samples))
        if few.classes is None:
            raise ValueError("support must have classes with names: class folders, or a column of labels")
        moved = dataclasses.replace(model, method=method.adapt(support=model.features(few)), classes=few.classes)
    else:
        assert target is not None
        samples = samples_of(target, on_error=on_error, features=model.feature_names, like=model.sample_column)
        moved = dataclasses.replace(model, method=method.adapt(target=model.features(samples).unlabeled()))
    if out is not None:
        moved.save(out, with_encoder=with_encoder)
    return moved

"""A trained model in the place of labelled data: its network, its classes in their order, and what it reads."""

from __future__ import annotations

import copy
import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from unseen.bundle import Bundle
from unseen.compare.names import some
from unseen.compare.spaces import classes_of, has_labels
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.nn.state import pack

if TYPE_CHECKING:
    from unseen.encoders import Encoder


@dataclasses.dataclass(frozen=True)
class GivenModel:
    """What a user gave as `model`.

    Attributes
    ----------
    network : Module
    classes : ClassSpace or None
        Of its outputs, in their order; None where a bare network was given without names.
    saved : bool
        Whether it came with its encoder.
    encoder : Encoder or None
        The one that it reads, of a saved model; None where it reads features.
    sample_column : ("text" or "path", name), or ()
        Where a saved model's samples stood in a table (`Bundle.sample_column`).
    """

    network: Any
    classes: ClassSpace | None
    saved: bool = False
    encoder: Encoder | None = None
    sample_column: tuple[str, ...] = ()

    def space(self, read: dict[str, Domain], labeled: Sequence[str]) -> ClassSpace:
        """Its classes, all of which it knows.

        Raises
        ------
        ValueError
            If labelled data hold a class that it has no output for, or names and outputs are not as many.
        """
        assert self.classes is not None
        outputs = getattr(getattr(self.network, "head", self.network), "out_features", len(self.classes))
        if outputs != len(self.classes):
            raise ValueError(_unnamed(outputs, len(self.classes)))
        for name in labeled:
            if has_labels(read, name):
                known = set(self.classes.names)
                strange = [class_name for class_name in classes_of(read, name).names if class_name not in known]
                if strange:
                    raise ValueError(
                        f"{name} has classes that the model does not know: {some(strange)}; it knows "
                        f"{some(self.classes.names, 5)}. Leave the model out, or these classes"
                    )
        return self.classes.replace(seen=None)

    def check_outputs(self, features: Domain, known: ClassSpace) -> None:
        """Push a row through a bare network; a saved model knows its classes.

        Parameters
        ----------
        features : Domain
            A table like that which the network will read.
        known : ClassSpace
            The classes that can be predicted.

        Raises
        ------
        ValueError
            If it does not read such a row, gives no row of scores, or more or fewer than there are classes.
        """
        if self.saved or not len(features):
            return
        row = torch.as_tensor(np.array(features.x[:1], dtype=np.float32))
        probe = copy.deepcopy(self.network).cpu().eval()
        try:
            with torch.no_grad():
                scores = probe(row)
        except RuntimeError as error:
            raise ValueError(f"model cannot read a row of {row.shape[1]} features: {error}") from error
        if not isinstance(scores, torch.Tensor) or scores.ndim != 2 or len(scores) != 1:
            shape = tuple(scores.shape) if isinstance(scores, torch.Tensor) else type(scores).__name__
            raise ValueError(f"model must give scores of shape (n, classes); for one sample it gives {shape}")
        if scores.shape[1] not in (len(known), len(known.seen)):
            if self.classes is not None:
                raise ValueError(_unnamed(scores.shape[1], len(self.classes)))
            raise ValueError(
                f"model has {scores.shape[1]} outputs, and the labelled data {len(known.seen)} classes "
                f"({some(known.take(known.seen).names, 5)}): a class must stand for each output"
            )


def _unnamed(outputs: int, names: int) -> str:
    return f"classes must name each of the model's {outputs} outputs; got {names} names"


def why_unsaved(value: Any) -> str:
    """Why a network, or a method that holds one, cannot be saved; empty where it can be."""
    try:
        pack(value, {})
    except TypeError as error:
        return str(error)
    return ""


def check_can_be_saved(model: Any) -> None:
    """`ValueError` if a model that is given cannot be saved, so that what is made of it could not be either."""
    if isinstance(model, Bundle):
        model = model.reader()
    if isinstance(model, nn.Module) and (why := why_unsaved(model)):
        raise ValueError(f"model: {why}; or leave out `out`, and keep what comes back")


def given_model(
    model: Any, classes: ClassSpace | None, encoder: str | None, *, trust: bool = False
) -> GivenModel | None:
    """What stands in `model`: a saved model, its folder, or a network whose classes are named if no sample has a label.

    Raises
    ------
    ValueError
        If a saved model reads pictures as a whole, an encoder is named beside it, or `classes` are not its own.
    """
    if model is None:
        return None
    if isinstance(model, (str, os.PathLike)):
        inside = Path(model) / "model"
        model = Bundle.load(inside if (inside / "bundle.json").exists() else model, trust=trust)
    if not isinstance(model, Bundle):
        return GivenModel(model, classes)
    if model.whole:
        raise ValueError("model reads samples as a whole, without features, such as a quantized one: nothing adapts it")
    if encoder is not None:
        reads = "features as they are" if model.encoder is None else f"features of {model.encoder.name}"
        raise ValueError(f"encoder must be left out beside a saved model, which reads {reads}; got {encoder!r}")
    if classes is not None and set(classes.names) != set(model.classes.names):
        raise ValueError(f"classes must be those of the model, {some(model.classes.names, 5)}, or left out")
    space = model.classes if classes is None else classes.take([classes.index(name) for name in model.classes.names])
    return GivenModel(model.reader(), space, True, model.encoder, model.sample_column)

"""Tables among what a user brings: features that mean the same are called the same; what is said of columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from unseen.data.domain import Domain
from unseen.data.feature_names import alike, coarse, listed
from unseen.data.loaders.common import LABEL_COLUMNS


def alike_tables(read: Mapping[str, Domain], model: Any = None, teachers: Any = None) -> dict[str, Domain]:
    """What was read, with the features of tables in one order: that of saved networks, else that of the first table.

    Parameters
    ----------
    read : mapping of role to Domain
    model, teachers : Module, mapping of name to Module
        Networks of saved models carry what they read as `feature_names` (`unseen.bundle.read_zoo`).

    Raises
    ------
    ValueError
        If a table lacks features of another, or networks read other features than each other.
    """
    networks = {"the model": model, **{f"the teacher {name!r}": network for name, network in (teachers or {}).items()}}
    named = {whose: tuple(getattr(network, "feature_names", ())) for whose, network in networks.items()}
    named = {whose: names for whose, names in named.items() if names}
    first = next(iter(named.items()), None)
    for whose, names in named.items():
        if first is not None and names != first[1]:
            raise ValueError(
                "model and teachers must read the same features in the same order; "
                f"{first[0]} reads {listed(first[1])}, {whose} reads {listed(names)}"
            )
    return {role: _with_cautions(domain) for role, domain in alike(read, *([] if first is None else [first])).items()}


def _with_cautions(domain: Domain) -> Domain:
    """A table in double precision with what is lost of it in its notes; loaders say it of what they read."""
    if domain.kind != "features" or not isinstance(domain.x, np.ndarray) or domain.x.dtype == np.float32:
        return domain
    lines = coarse(domain.x, domain.feature_names) if domain.x.ndim == 2 else ()
    return domain.replace(notes=(*domain.notes, *lines)) if lines else domain


def column_of_labels(domain: Domain) -> str:
    """What a column of labels must be called; of a table also what its columns are called."""
    names = ", ".join(LABEL_COLUMNS[:-1]) + f" or {LABEL_COLUMNS[-1]}"
    columns = [*domain.columns, *domain.feature_names]
    if not columns:
        return f"a column of labels, called {names}"
    return (
        f"a column of labels, called {names} (its columns are: {listed(columns)}; FILE?label=COLUMN, "
        "or labels_column= of unseen.load, names it)"
    )

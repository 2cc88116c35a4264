"""Samples as a caller has them: a `Domain`, a path, a data frame or an array; and what takes a `Domain` alone."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from unseen.arguments import Check, are_texts, check_arguments, is_frame, is_path
from unseen.data.domain import Domain
from unseen.data.typing import IntArray, Kind

if TYPE_CHECKING:
    import pandas as pd

Samples: TypeAlias = "Domain | str | os.PathLike[str] | pd.DataFrame | NDArray[Any] | Sequence[Any]"
"""What a saved model can be asked about."""


def _is_array(value: Any) -> bool:
    return isinstance(value, (np.ndarray, list, tuple)) or type(value).__module__.partition(".")[0] == "torch"


SAMPLES = {
    "samples": Check(
        "a Domain, a path, a pandas.DataFrame or an array",
        lambda value: isinstance(value, Domain) or is_path(value) or is_frame(value) or _is_array(value),
    )
}


def domain_of(samples: Any, kind: Kind = "features", features: Sequence[str] = ()) -> Domain:
    """The samples as a `Domain`: of an array they are of `kind`, what `unseen.load` reads tells its kind itself.

    Parameters
    ----------
    samples : Domain, path, pandas.DataFrame or array
    kind : str
        What an array, a list or a tensor holds; a list of texts holds texts.
    features : sequence of str
        Columns of a table that are features, however they are called.

    Raises
    ------
    TypeError
        If it is none of these.
    """
    if isinstance(samples, Domain):
        return samples
    check_arguments(SAMPLES, {"samples": samples}, "predict")
    if is_path(samples) or is_frame(samples):
        from unseen.data.loaders import load

        return load(samples, features=features)
    texts = not isinstance(samples, np.ndarray) and len(samples) and are_texts(samples)
    return Domain(x=samples, kind="text" if texts else kind, name="samples")


def domain_of_frame(frame: pd.DataFrame, features: Sequence[str] = ()) -> tuple[Domain, IntArray]:
    """What `unseen.load` reads of a data frame, and the rows that these samples are: some may be unreadable."""
    from unseen.data.loaders import load

    there = {str(name) for name in frame.columns}
    letters = itertools.product(*zip("index", "INDEX"))  # a column of this name is no feature, in any case
    column = next(name for name in map("".join, letters) if name not in there)
    domain = load(frame.assign(**{column: np.arange(len(frame))}), features=features)
    rows = np.asarray(domain.columns[column], dtype=np.int64)
    return domain.replace(columns={key: value for key, value in domain.columns.items() if key != column}), rows


def check_domain(samples: Any, name: str) -> None:
    """`TypeError` for what is no `Domain`, with what makes one of it."""
    if not isinstance(samples, Domain):
        how = "unseen.load makes one of a path or a pandas.DataFrame, Domain(x=..., y=...) of arrays"
        check_arguments({name: Check(f"a Domain ({how})", lambda value: False)}, {name: samples}, name)

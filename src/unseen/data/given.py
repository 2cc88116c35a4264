"""Samples as a caller has them: a `Domain`, a path, a data frame or an array; and what takes a `Domain` alone."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from unseen.arguments import Check, are_texts, check_arguments, is_frame, is_path, way_out
from unseen.data.damage import undamaged
from unseen.data.domain import Domain, Lazy, concatenate
from unseen.data.loaders.common import unique_ids
from unseen.data.samples import as_samples
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
        advice=lambda value: ": [image] is a list of one picture" if hasattr(value, "getbands") else way_out(value),
    )
}


def domain_of(samples: Any, kind: Kind = "features", features: Sequence[str] = (), like: Sequence[str] = ()) -> Domain:
    """The samples as a `Domain`: of an array they are of `kind`, what `unseen.load` reads tells its kind itself.

    Clips of files that are damaged inside are left out, as what cannot be read is.

    Parameters
    ----------
    samples : Domain, path, pandas.DataFrame or array
        Of a list of `pathlib.Path` all files are read; one of texts holds texts.
    kind : str
        What an array, a list or a tensor holds.
    features : sequence of str
        Columns of a table that are features, however they are called.
    like : ("text" or "path", name)
        Where samples stand in a table that has such a column, as in `unseen.load`.

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

        return undamaged(load(samples, features=features, like=like))
    several = isinstance(samples, (list, tuple)) and len(samples) > 0
    if several and all(isinstance(path, os.PathLike) for path in samples):
        return undamaged(_of_files(samples, features, like))
    if several and are_texts(samples):
        if kind != "text" and all(map(_names_a_file, samples)):
            raise TypeError(
                f"samples: the model reads {kind}, and texts in a list are no paths; got {str(samples[0])!r}: give "
                "[pathlib.Path(path) for path in samples], or one path (of a file, a folder or a table)"
            )
        kind = "text"
    return Domain(x=as_samples(samples, kind, called="samples"), kind=kind, name="samples")


def _names_a_file(text: str) -> bool:
    from unseen.data.loaders import is_known

    try:
        return is_known(Path(text).suffix.lower()) or Path(text).exists()
    except (OSError, ValueError):  # a long text
        return False


def _of_files(paths: Sequence[os.PathLike[str]], features: Sequence[str], like: Sequence[str]) -> Domain:
    """The samples of several files, which are called by their paths; labels are not read."""
    from unseen.data.loaders import load

    parts = [load(path, features=features, like=like).replace(y=None, classes=None) for path in paths]
    ids = [
        os.fspath(path) if len(part) == 1 else f"{os.fspath(path)}/{identity}"
        for path, part in zip(paths, parts)
        for identity in (() if part.ids is None else part.ids)
    ]
    kinds = sorted({part.kind for part in parts})
    if len(kinds) > 1:
        raise ValueError(f"samples must be of one kind; these files hold {' and '.join(kinds)}")
    if not all(isinstance(part.x, Lazy) for part in parts):
        return concatenate(parts, "samples").replace(ids=unique_ids(ids))
    items = [(part.x, i) for part in parts for i in range(len(part))]
    x = Lazy(items, lambda item: item[0][item[1]], lambda item: item[0].digest(item[1]))
    skipped = tuple(entry for part in parts for entry in part.skipped)
    return Domain(x=x, kind=kinds[0], ids=unique_ids(ids), name="samples", skipped=skipped)


def domain_of_frame(
    frame: pd.DataFrame, features: Sequence[str] = (), like: Sequence[str] = ()
) -> tuple[Domain, IntArray]:
    """What `unseen.load` reads of a data frame, and the rows that these samples are: some may be unreadable."""
    from unseen.data.loaders import load

    there = {str(name) for name in frame.columns}
    letters = itertools.product(*zip("index", "INDEX"))  # a column of this name is no feature, in any case
    column = next(name for name in map("".join, letters) if name not in there)
    domain = load(frame.assign(**{column: np.arange(len(frame))}), features=features, like=like)
    rows = np.asarray(domain.columns[column], dtype=np.int64)
    return domain.replace(columns={key: value for key, value in domain.columns.items() if key != column}), rows


def check_domain(samples: Any, name: str) -> None:
    """`TypeError` for what is no `Domain`, with what makes one of it."""
    if not isinstance(samples, Domain):
        how = "unseen.load makes one of a path or a pandas.DataFrame, Domain(x=..., y=...) of arrays"
        check_arguments({name: Check(f"a Domain ({how})", lambda value: False)}, {name: samples}, name)

"""Write features as a table that `load` reads back."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from unseen.data.domain import Domain
from unseen.data.loaders.common import ID_COLUMNS, LABEL_COLUMNS, PATH_COLUMNS, TEXT_COLUMNS
from unseen.data.loaders.table import NO_FEATURES
from unseen.runtime import replacing
from unseen.spreadsheets import harmless_table

RESERVED = NO_FEATURES | {*ID_COLUMNS, *LABEL_COLUMNS, *PATH_COLUMNS, *TEXT_COLUMNS}
"""Names that `load` reads as something else than features."""


ENDINGS = (".parquet", ".csv", ".npz")


def save_features(features: Domain, file: str | os.PathLike[str]) -> None:
    """Write a domain of features as Parquet or CSV (columns id, label, and features by their names, or f0, f1, ...), or
    as `.npz`, all or nothing.

    Raises
    ------
    ValueError
        If the ending of `file` is none of `ENDINGS`, or the domain does not hold a table of features.
    """
    import pandas as pd

    target = Path(file)
    suffix = target.suffix.lower()
    if suffix not in ENDINGS:
        raise ValueError(f"file must end in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}; got {str(file)!r}")
    width = features.n_features
    names = None
    if features.y is not None:
        known = features.classes.names if features.classes is not None else tuple(map(str, range(features.y.max() + 1)))
        names = np.array([*known, ""], dtype=np.str_)[features.y]
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as temporary:
        if suffix == ".npz":
            arrays = {"x": features.x, "ids": features.ids} | ({} if names is None else {"y": names})
            np.savez(temporary, **arrays)
            return
        names_of = list(features.feature_names)
        if not names_of or RESERVED & {name.casefold() for name in names_of}:  # would be read back as something else
            names_of = [f"f{i}" for i in range(width)]
        table = pd.DataFrame(features.x, columns=names_of)
        table.insert(0, "id", features.ids)
        if names is not None:
            table["label"] = names
        write = table.to_parquet if suffix == ".parquet" else harmless_table(table).to_csv
        write(temporary, index=False)

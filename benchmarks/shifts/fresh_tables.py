"""Tables that nobody had opened when the care for a user's own features was made: they confirm once, and teach nothing.

Penguins of either sex and of two years, regions of outdoor pictures from above and below and from left and right,
hearts by sex and by age, tumours by one of their measurements, pages of the web by their age. Each is cut by a column
that is left out, both ways.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from shifts.case import Case, itemized, thinned
from shifts.pictures import both_ways
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.sources.pypi import fetch_wheel, read_member

PINS = {
    "palmerpenguins": {
        "version": "0.1.6",
        "file": "palmerpenguins-0.1.6-py3-none-any.whl",
        "sha256": "5c3be9af84dd703a25f1aaeadeac6ac770cfd38c1620d00089f581c023129ee0",
    },
    "river": {
        "version": "0.26.1",
        "file": "river-0.26.1-cp311-cp311-manylinux_2_28_x86_64.whl",
        "sha256": "6a11e1a9749beec3ea138efeb0205b2c5cea8d424e9deee306c8980faec01bef",
    },
    "orange3": {
        "version": "3.40.0",
        "file": "orange3-3.40.0-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl",
        "sha256": "1c24dc6df818be26710d6d8d7595a8a50682e3c99e6e3bdabe14591e26f5a85b",
    },
}
TABLE = ("table",)
EACH, FEWEST = 60, 4
"""Samples of a class at most, and on either side at least."""


def penguins() -> Iterator[Case]:
    """Three species by four measurements: females against males, one year against another."""
    frame = pd.read_csv(_open("palmerpenguins", "palmerpenguins/data/penguins.csv")).dropna()
    numbers = ["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"]
    for column, values in (("sex", ("female", "male")), ("year", (2007, 2009))):
        parts = [frame[column].to_numpy() == value for value in values]
        yield from _cut("penguins", frame, numbers, "species", parts, [f"{column} {value}" for value in values])


def regions() -> Iterator[Case]:
    """Seven surfaces by colours and edges of small regions: above against below in the picture, left against right."""
    packed = zipfile.ZipFile(_open("river", "river/datasets/segment.csv.zip"))
    frame = pd.read_csv(packed.open(packed.namelist()[0]))
    places = ["region-centroid-col", "region-centroid-row"]
    numbers = [name for name in frame.columns if name not in (*places, "category")]
    for column in places:
        yield from _halves("regions", frame, numbers, "category", column)


def clinics() -> Iterator[Case]:
    """Narrowed vessels of the heart by sex and by age; tumours by how thick their clumps are."""
    heart = pd.read_csv(
        _open("orange3", "Orange/datasets/heart_disease.tab"), sep="\t", skiprows=[1, 2], na_values="?"
    ).dropna()
    numbers = ["age", "rest SBP", "cholesterol", "max HR", "ST by exercise", "major vessels colored"]
    parts = [heart["gender"].to_numpy() == value for value in ("female", "male")]
    yield from _cut("clinics", heart, numbers, "diameter narrowing", parts, ["hearts female", "hearts male"])
    yield from _halves("clinics", heart, numbers[1:], "diameter narrowing", "age")
    file = _open("orange3", "Orange/tests/datasets/breast-cancer-wisconsin.tab")
    cells = pd.read_csv(file, sep="\t", skiprows=[1, 2], na_values="?").dropna()
    numbers = [name for name in cells.columns if name != "type"]
    yield from _halves(
        "clinics", cells, [name for name in numbers if name != "Clump thickness"], "type", "Clump thickness"
    )


def pages() -> Iterator[Case]:
    """Pages of the web that are traps or not, by what they do: young ones against old ones, known against others."""
    frame = pd.read_csv(_open("river", "river/datasets/phishing.csv.gz"), compression="gzip")
    numbers = [name for name in frame.columns if name != "is_phishing"]
    for column in ("age_of_domain", "is_popular"):
        values = frame[column].to_numpy()
        parts = [values == values.min(), values == values.max()]
        rest = [name for name in numbers if name != column]
        yield from _cut("pages", frame, rest, "is_phishing", parts, [f"{column} least", f"{column} most"])


def _open(package: str, member: str) -> io.BytesIO:
    return io.BytesIO(read_member(fetch_wheel(package, PINS[package]), member))


def _halves(family: str, frame: pd.DataFrame, numbers: Sequence[str], label: str, column: str) -> Iterator[Case]:
    """Below and above the median of a column that is left out."""
    values = frame[column].to_numpy()
    below = values < np.median(values)
    yield from _cut(family, frame, numbers, label, [below, ~below], [f"{column} below", f"{column} above"])


def _cut(
    family: str, frame: pd.DataFrame, numbers: Sequence[str], label: str, parts: Sequence[NDArray[np.bool_]],
    names: Sequence[str],
) -> Iterator[Case]:  # fmt: skip
    """Two parts of a table, both ways: classes that both have, what stands twice once, at most `EACH` of a class."""
    kinds = [str(kind) for kind in sorted(frame[label].unique())]
    y = frame[label].astype(str).map(kinds.index).to_numpy()
    common = [k for k in range(len(kinds)) if all((y[part] == k).sum() >= FEWEST for part in parts)]
    rows = np.isin(y, common)
    x = frame[list(numbers)].to_numpy(dtype=np.float32)[rows]
    space = ClassSpace(names=tuple(kinds[k] for k in common))
    whole = itemized(Domain(x=x, y=np.searchsorted(common, y[rows]), classes=space, name=label))
    first = np.isin(np.arange(len(whole)), np.unique(whole.digests(), return_index=True)[1])
    sides = [
        thinned(whole.take(np.flatnonzero(first & part[rows])).replace(name=name), EACH)
        for part, name in zip(parts, names)
    ]
    yield from both_ways(family, sides[0], sides[1], TABLE)

"""The cases of the benchmark: made once, kept as features, read back by name.

    python benchmarks/shifts/cases.py --list      family, case, samples, classes and tags
    python benchmarks/shifts/cases.py --make      what is not in the cache yet; it goes on where it stopped
    python benchmarks/shifts/cases.py --scores    accuracy of logistic regression of the source on each target

`--data` is a folder with shift-features, da-features, mnist-test, fsdd and abstrct (default: UNSEEN_DATA, else
shared/data beside the checkout); a family whose data are not at hand is left out, with the reason. Pictures come from
pinned packages of npm and Debian. `--families` names some of them. Features lie below `--cache` (default: UNSEEN_CACHE,
else the user's cache folder).

In Python::

    sys.path.insert(0, "benchmarks")
    from shifts.cases import load, names

    case = load(names("emoji-styles")[0])
    case.source.x, case.source.labels, case.target.columns["view"]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from shifts import fresh, fresh_tables, large, pictures, pixels, tables
from shifts.case import Case
from shifts.views import first_view, second_view
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.sources import SourceUnavailable
from unseen.data.sources.npm import write_json
from unseen.runtime import cache_folder, replacing

Family = Callable[[Path], Iterator[Case]]
ENCODED = ("image", "text")

FAMILIES: dict[str, Family] = {
    "emoji-styles": lambda data: pictures.emoji_styles(),
    "emoji-disjoint": lambda data: pictures.emoji_disjoint(),
    "emoji-groups": lambda data: pictures.emoji_groups(),
    "photo-to-drawing": lambda data: pictures.photo_to_drawing(),
    "furniture": lambda data: pictures.furniture_makers(),
    "office-caltech": tables.office_caltech,
    "corruptions": lambda data: pictures.corruptions(),
    "edges-and-pencil": lambda data: pictures.edges_and_pencil(),
    "digits-pixels": pixels.digit_pixels,
    "digits-encoded": pixels.digit_pictures,
    "fonts-pixels": lambda data: pixels.font_pixels(),
    "fonts-encoded": lambda data: pixels.font_pictures(),
    "fashion-pixels": lambda data: pixels.fashion_pixels(),
    "fashion-encoded": lambda data: pixels.fashion_pictures(),
    "speakers": tables.speakers,
    "genres": tables.genres,
    "diseases": tables.diseases,
    "languages": tables.languages,
    "spam": tables.spam,
    "tables": lambda data: tables.cut_tables(),
    "sensors": lambda data: tables.drifted_tables(),
    "shares": lambda data: tables.tables_of_other_shares(),
    "office-caltech-surf": tables.office_caltech_words,
}
"""Each family's cases, from the folder of data to raw domains: pictures and texts that are not encoded yet."""

FRESH: dict[str, Family] = {
    "icons": lambda data: fresh.icons(),
    "dictionary": lambda data: fresh.dictionary(),
    "codes": lambda data: fresh.diseases_of_codes(),
    "findings": lambda data: fresh.findings(),
}
"""Families that confirm what was learnt from the others; nothing is learnt from them."""

FRESH_TABLES: dict[str, Family] = {
    "penguins": lambda data: fresh_tables.penguins(),
    "regions": lambda data: fresh_tables.regions(),
    "clinics": lambda data: fresh_tables.clinics(),
    "pages": lambda data: fresh_tables.pages(),
}
"""Tables that confirm the care for features of a user's own, which was made anew after `FRESH` had been opened."""

LARGE: dict[str, Family] = {
    "emoji-large": lambda data: large.emoji_subgroups(),
    "icons-large": lambda data: large.icons(),
    "fashion-large": lambda data: large.clothes_of_the_encoder(),
    "digits-large": large.digits_of_the_encoder,
    "fonts-large": lambda data: large.characters(),
    "words-large": lambda data: large.words(),
    "pixels-large": large.small_pictures,
}
"""Up to 4,000 samples a side and 62 classes of the same kinds of data: whether what was learnt holds there."""


def every() -> dict[str, Family]:
    """All families, those that teach first."""
    return {**FAMILIES, **FRESH, **FRESH_TABLES, **LARGE}


def data_folder() -> Path:
    """Where data lie that no package has: UNSEEN_DATA, else shared/data in a folder above this file."""
    above = (folder / "shared" / "data" for folder in Path(__file__).resolve().parents)
    return Path(os.environ.get("UNSEEN_DATA") or next((path for path in above if path.is_dir()), "shared/data"))


# -- the cache ---------------------------------------------------------------------------------------------


def root_of(cache: Path | None) -> Path:
    """Where cases and features are kept."""
    return (cache or cache_folder()) / "shifts"


def names(family: str | None = None, *, cache: Path | None = None) -> list[str]:
    """Names of the cases that are made, in the order of the families; of one family if it is named."""
    kept = [json.loads(file.read_text(encoding="utf-8")) for file in root_of(cache).glob("cases/*.json")]
    order = list(every())
    kept = [record for record in kept if record["family"] in order]  # another version may have made others
    kept.sort(key=lambda record: (order.index(record["family"]), record["place"]))
    return [record["name"] for record in kept if family in (None, record["family"])]


def load(name: str, *, cache: Path | None = None) -> Case:
    """A case as features: `x` as `compare` would take them, the second view, if there is one, in the column `view`.

    Raises
    ------
    FileNotFoundError
        If it is not made.
    """
    file = root_of(cache) / "cases" / f"{name}.json"
    if not file.exists():
        raise FileNotFoundError(f"case {name!r} is not in {file.parent}: run python benchmarks/shifts/cases.py --make")
    record = json.loads(file.read_text(encoding="utf-8"))
    space = ClassSpace(names=tuple(record["classes"]), seen=np.array(record["seen"]))
    sides = []
    for about in (record["source"], record["target"]):
        with np.load(root_of(cache) / "domains" / f"{about['key']}.npz") as kept:
            views = {key: kept[key].astype(np.float32) for key in kept}
        columns: dict[str, Any] = {"item": np.array(about["items"], dtype=np.str_)}
        if "view" in views:
            columns["view"] = views["view"]
        y = np.array(about["y"], dtype=np.int64)
        sides.append(Domain(x=views["x"], y=y, classes=space, columns=columns, name=about["name"]))
    return Case(record["family"], sides[0], sides[1], tuple(record["tags"]), record["variant"])


def make(
    families: Sequence[str] = tuple(FAMILIES), *, data: Path | None = None, cache: Path | None = None
) -> dict[str, str]:
    """Make what is not in the cache, case by case; returns why families were left out, by name."""
    left_out = {}
    for family in families:
        started, n, new, made = time.process_time(), 0, 0, []
        try:
            for place, case in enumerate(every()[family](data or data_folder())):
                case.check()
                new += keep(case, place, cache)
                made.append(case.name)
                n += 1
        except (SourceUnavailable, FileNotFoundError) as error:
            left_out[family] = str(error)
            print(f"{family} is left out after {n} cases: {error}", flush=True)
            continue
        if len(set(made)) != len(made):
            raise ValueError(f"{family}: {max(made, key=made.count)} stands twice")
        for name in set(names(family, cache=cache)) - set(made):
            (root_of(cache) / "cases" / f"{name}.json").unlink()
        print(f"{family}: {n} cases, {new} new, {time.process_time() - started:.0f} s of CPU", flush=True)
    return left_out


def keep(case: Case, place: int, cache: Path | None = None) -> bool:
    """Put a case into the cache, its domains first; False if it was there."""
    sides = {}
    for role, domain in (("source", case.source), ("target", case.target)):
        y, items = domain.labels.tolist(), domain.columns["item"].tolist()
        sides[role] = {"name": domain.name, "key": key_of(domain), "y": y, "items": items}
    assert case.source.classes is not None
    space = {"classes": list(case.source.classes.names), "seen": case.source.classes.seen.tolist()}
    about = {"name": case.name, "family": case.family, "place": place, "variant": case.variant, "tags": list(case.tags)}
    record = {**about, **space, **sides}
    file = root_of(cache) / "cases" / f"{case.name}.json"
    known = file.exists() and json.loads(file.read_text(encoding="utf-8")) == record
    there = all((root_of(cache) / "domains" / f"{about['key']}.npz").exists() for about in sides.values())
    if known and there:
        return False
    for domain in (case.source, case.target):
        keep_domain(domain, cache)
    write_json(file, record)
    return True


def key_of(domain: Domain) -> str:
    """What names the features of a domain: the content of its samples in their order."""
    digest = hashlib.sha256(f"1 {domain.kind} {'view' in domain.columns}".encode())
    for content in domain.digests().tolist():
        digest.update(content.encode())
    return digest.hexdigest()[:32]


def keep_domain(domain: Domain, cache: Path | None = None) -> None:
    """Write the features of a domain, and for pictures the second view, unless they are there."""
    file = root_of(cache) / "domains" / f"{key_of(domain)}.npz"
    if file.exists():
        return
    views = {"x": first_view(domain)}
    if "view" in domain.columns:
        views["view"] = domain.columns["view"]
    elif domain.kind == "image":
        views["view"] = second_view(domain)
    short = domain.kind in ENCODED or "view" in views
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as part:
        np.savez(part, **{key: view.astype(np.float16 if short else np.float32) for key, view in views.items()})


# -- what they look like -----------------------------------------------------------------------------------


def scores(case: Case) -> dict[str, float]:
    """Accuracy of the source's logistic regression on target samples of its classes: by view and by standardization."""
    views = {"plain": (case.source.x, case.target.x)}
    if "view" in case.target.columns:
        own = (case.source.columns["view"], case.target.columns["view"])
        views["both"] = tuple(np.hstack(pair) for pair in zip(views["plain"], own))  # type: ignore[assignment]
    truth, known = case.target.labels, case.shared
    accuracies = {}
    for view, (learn, ask) in views.items():
        for way, of in (("source", learn), ("domain", ask)):
            predicted = logistic(standardized(learn, learn), case.source.labels, standardized(ask, of))
            accuracies[f"{view}, by {way}"] = float((predicted == truth)[known].mean())
    return accuracies


def standardized(x: NDArray[np.float32], of: NDArray[np.float32]) -> NDArray[np.float32]:
    """Columns less the mean of others, over their deviation; a constant column is only moved."""
    deviation = of.std(axis=0)
    return (x - of.mean(axis=0)) / np.where(deviation > 1e-6, deviation, 1)


def logistic(x: NDArray[np.float32], y: NDArray[np.int64], ask: NDArray[np.float32], c: float = 0.01) -> NDArray[Any]:
    """Labels of `ask` by logistic regression with a penalty of 1 / c, fitted in the span of the samples."""
    from sklearn.linear_model import LogisticRegression

    _, _, axes = np.linalg.svd(x, full_matrices=False)
    return LogisticRegression(C=c, max_iter=1000).fit(x @ axes.T, y).predict(ask @ axes.T)


def listing(families: Sequence[str], data: Path, cache: Path | None) -> Iterator[tuple[str, ...]]:
    """Family, case, samples, classes and tags; from the cache, and of families that are not there from their data."""
    for family in families:
        known = names(family, cache=cache)
        try:
            for case in (load(name, cache=cache) for name in known) if known else every()[family](data):
                classes = f"{len(np.unique(case.source.labels))}/{len(np.unique(case.target.labels))}"
                samples = f"{len(case.source)}/{len(case.target)}"
                views = ("view",) if known and "view" in case.target.columns else ()
                yield family, case.name.removeprefix(f"{family}--"), samples, classes, " ".join((*case.tags, *views))
        except (SourceUnavailable, FileNotFoundError) as error:
            print(f"{family} is left out: {error}")


def show(rows: Sequence[Sequence[str]]) -> None:
    """Print rows as a table of markdown."""
    print("\n".join(f"| {' | '.join(row)} |" for row in (rows[0], ["---"] * len(rows[0]), *rows[1:])))


def score_table(families: Sequence[str], cache: Path | None) -> list[tuple[str, ...]]:
    """A row for each case that is made; figures are kept beside the cases."""
    columns = ("plain, by source", "plain, by domain", "both, by source", "both, by domain")
    rows: list[tuple[str, ...]] = [("family", "case", "samples", "classes", "tags", *columns)]
    for row in listing(families, data_folder(), cache):
        name = f"{row[0]}--{row[1]}"
        made, file = root_of(cache) / "cases" / f"{name}.json", root_of(cache) / "scores" / f"{name}.json"
        if not made.exists():
            continue
        if not file.exists() or file.stat().st_mtime < made.stat().st_mtime:
            write_json(file, scores(load(name, cache=cache)))
        kept = json.loads(file.read_text(encoding="utf-8"))
        rows.append((*row, *(f"{kept[column]:.3f}" if column in kept else "" for column in columns)))
    return rows


def main() -> None:
    """Make, list or score."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for flag in ("list", "make", "scores"):
        parser.add_argument(f"--{flag}", action="store_true")
    parser.add_argument("--families", nargs="+", choices=list(every()), default=list(FAMILIES))
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--cache", type=Path)
    given = parser.parse_args()
    if not (given.list or given.make or given.scores):
        parser.error("one of --list, --make and --scores is needed")
    if given.make:
        make(given.families, data=given.data, cache=given.cache)
    if given.list:
        show([("family", "case", "samples", "classes", "tags"), *listing(given.families, given.data, given.cache)])
    if given.scores:
        show(score_table(given.families, given.cache))


if __name__ == "__main__":
    import torch

    torch.set_num_threads(1)
    main()

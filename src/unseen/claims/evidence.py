"""Evidence: what claims showed, kept as files that are written once, and what of it still stands.

Beside each other in a folder lie, for a system,

- records ``SLUG.json``, ``SLUG.2.json``, ...: confirmations, each on cases that none before it had opened;
- ``SLUG.log.jsonl``: a line for each later look at them (`replay`, `check`, `accept`);
- ``SLUG.stamp.json``: what the system gave when it was last confirmed, replayed or checked, by type of processor.
"""

from __future__ import annotations

import dataclasses
import datetime
import importlib.metadata
import json
import os
import platform
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from unseen import claims
from unseen.claims.base import COLUMNS, Claim, Split
from unseen.claims.conditions import Verdict
from unseen.claims.ledger import Assertion
from unseen.claims.stamps import (
    data_of,
    moved_parts,
    on_other_data,
    processor,
    read_before,
    read_stamp,
    read_stamps,
    stamp_of,
    write_stamp,
)
from unseen.claims.standing import newest, otherwise, standing_word, word_of, worded
from unseen.data.sources.undrawn import undrawn
from unseen.runtime import current, runtime
from unseen.scale import Engine, each

PACKAGES = ("unseen", "torch", "numpy", "scikit-learn", "timm")
FOLDER = Path("docs/evidence")

# -- records -----------------------------------------------------------------------------------------------


def evidence_files(folder: Path, slug: str) -> list[Path]:
    """The records of a system, oldest first."""
    first = folder / f"{slug}.json"
    later = sorted(folder.glob(f"{slug}.[0-9]*.json"), key=lambda file: int(file.suffixes[-2][1:]))
    return ([first] if first.exists() else []) + later


def read_records(folder: Path, slug: str) -> list[dict[str, Any]]:
    """The records of a system, oldest first; `ValueError` if one is damaged."""
    records = []
    for file in evidence_files(folder, slug):
        try:
            records.append(json.loads(file.read_text(encoding="utf-8")))
        except ValueError as error:
            raise ValueError(f"the record {file.name} is damaged: {error}") from error
    return records


def _recorded(folder: Path, slug: str) -> list[dict[str, Any]]:
    if not (records := read_records(folder, slug)):
        raise ValueError(f"there is no evidence for {slug} in {folder}; record it with --confirm")
    return records


def read_log(folder: Path, slug: str) -> list[dict[str, Any]]:
    """The later looks at the records of a system, oldest first."""
    file = folder / f"{slug}.log.jsonl"
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []


def unopened(claim: Claim, records: Iterable[Mapping[str, Any]]) -> list[str]:
    """Experiments of which no confirmation case has been opened by a record, nor is a development case."""
    opened = {case for record in records for cases in record["cases"].values() for case in cases}
    known = {case for experiment in claim.experiments.values() for case in experiment.development}
    return [
        name for name, experiment in claim.experiments.items() if not (opened | known) & set(experiment.confirmation)
    ]


def to_text(record: Mapping[str, Any]) -> str:
    """A record as JSON with a line for each field, each assertion and each row of figures."""
    fields = []
    for key, value in record.items():
        lines = [json.dumps(item, ensure_ascii=False) for item in value] if key in ("ledger", "rows") else None
        inside = json.dumps(value, ensure_ascii=False) if lines is None else "[\n" + ",\n".join(lines) + "\n]"
        fields.append(f"{json.dumps(key)}: {inside}")
    return "{\n" + ",\n".join(fields) + "\n}\n"


def _write(folder: Path, slug: str, record: Mapping[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    have = len(evidence_files(folder, slug))
    file = folder / (f"{slug}.json" if not have else f"{slug}.{have + 1}.json")
    temporary = file.with_name(f".{file.name}.tmp")
    temporary.write_text(to_text(record), encoding="utf-8")
    os.link(temporary, file)  # fails if another confirmation was faster: nothing is overwritten
    temporary.unlink()


def _append(folder: Path, slug: str, line: Mapping[str, Any]) -> None:
    with (folder / f"{slug}.log.jsonl").open("a", encoding="utf-8") as file:
        entry = {"date": _today(), "processor": processor(), "threads": current().threads, **line}
        file.write(json.dumps(entry, ensure_ascii=False) + "\n")


def _today() -> str:
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def _record(claim: Claim, split: Split, table: pd.DataFrame, seconds: float) -> dict[str, Any]:
    return {
        "slug": claim.slug,
        "split": split,
        "date": _today(),
        "command": f"unseen reproduce {claim.slug}" + (" --check" if split == "confirmation" else ""),
        "seeds": sorted(int(seed) for seed in table.seed.unique()),
        "cases": {name: sorted(group.case.unique()) for name, group in table.groupby("experiment")},
        "seconds": round(seconds, 1),
        "versions": {name: _version(name) for name in PACKAGES} | {"python": platform.python_version()},
        "machine": processor(),
        "threads": current().threads,
        "licences": list(claim.licences),
        "ledger": [_line(assertion, verdict) for assertion, verdict in claim.judge(table)],
        "rows": [
            [experiment, case, int(seed), arm, metric, float(f"{value:.6g}")]
            for experiment, case, seed, arm, metric, value in table[list(COLUMNS)].to_numpy().tolist()
        ],
    }


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def _line(assertion: Assertion, verdict: Verdict | None) -> dict[str, Any]:
    numbers = None if verdict is None else [float(f"{v:.6g}") for v in (verdict.value, verdict.low, verdict.high)]
    return {
        "text": assertion.text,
        "level": assertion.level,
        "promised": assertion.must_hold,
        "experiment": assertion.experiment,
        "asked": assertion.asked,
        "verdict": standing_word(assertion, verdict),
        "numbers": numbers,
        "told": assertion.reason if verdict is None else verdict.told,
        "reason": assertion.reason,
    }


# -- running claims ----------------------------------------------------------------------------------------


def reproduce(slug: str, *, quick: bool = False, check: bool = False, folder: Path = FOLDER) -> dict[str, Any]:
    """Run the claim of a system and judge it.

    Parameters
    ----------
    slug : str
    quick : bool
        One seed.
    check : bool
        Run the confirmation cases again and compare the verdicts with those that stand; the log gets a line and, with
        all seeds and no verdict changed, this type of processor a stamp. Without it the development cases run, and
        nothing is written.
    folder : Path
        Where evidence lies.

    Returns
    -------
    dict
        The figures as in a record; `good` tells whether all that must hold held, and `changed` (with `check`) which
        assertions have another verdict than the one that stands, `otherwise` those of which it was known that they have
        it on this type of processor.
    """
    claim = claims.get(slug)
    before = {}
    if check:
        records = _recorded(folder, slug)
        before = {
            _key(assertion): standing_word(assertion, verdict)
            for assertion, verdict in zip(claim.ledger, newest(claim, records))
        }
    split: Split = "confirmation" if check else "development"
    started = time.process_time()
    table = claim.measure(split, quick=quick)
    record = _record(claim, split, table, time.process_time() - started)
    judged = claim.judge(table)
    measured = set(table.experiment)
    record["good"] = all(
        verdict is not None and verdict.held  # without the figures that it asks for it held nothing
        for assertion, verdict in judged
        if assertion.must_hold and assertion.experiment in measured
    )
    if check:
        other = [
            assertion.text for assertion, verdict in judged if verdict and before[_key(assertion)] != word_of(verdict)
        ]
        record["changed"], record["otherwise"] = _not_known_here(other, slug, folder)
        record["good"] = record["good"] and not record["changed"]
        line = {"look": "check", "records": len(records), "seeds": record["seeds"], "flipped": record["changed"]}
        _append(folder, slug, line | ({"otherwise": record["otherwise"]} if record["otherwise"] else {}))
        if not record["changed"] and not quick:
            write_stamp(folder, slug, stamp_of(slug))
    return record


def confirm(slug: str, *, folder: Path = FOLDER) -> dict[str, Any]:
    """Run the experiments whose confirmation cases nobody has opened, once, and record what was found.

    Raises
    ------
    ValueError
        If every confirmation case of the system has been opened: what is looked at twice confirms nothing.
    """
    claim = claims.get(slug)
    records = read_records(folder, slug)
    names = unopened(claim, records)
    if not names:
        raise ValueError(
            f"the confirmation cases of {slug} have been opened ({len(records)} records): a changed assertion needs an "
            "experiment with cases that nobody has looked at; --check runs the opened ones again"
        )
    opened = [*read_stamps(folder, slug).values(), *(record.get("data", {}) for record in records)]
    for name in names:
        if again := read_before(claim, name, opened):
            raise ValueError(
                f"{slug}: cases {', '.join(again)} of {name!r} read samples of an opened case or of development: "
                "`reused` of the experiment names such cases; `halves` says that no sample is asked about twice"
            )
    started = time.process_time()
    table = claim.measure("confirmation", only=names)
    record = _record(claim, "confirmation", table, time.process_time() - started)
    record["data"] = data_of(claim, names)  # stamps forget cases that a claim has no more
    record["ledger"] = [line for line in record["ledger"] if line["experiment"] in names or not line["experiment"]]
    record["good"] = all(line["verdict"] == "held" for line in record["ledger"] if line["promised"])
    _write(folder, slug, {key: value for key, value in record.items() if key != "good"})
    write_stamp(folder, slug, stamp_of(slug))
    return record


def replay(slug: str, *, folder: Path = FOLDER) -> dict[str, Any]:
    """Run one recorded cell of every experiment again, and tell the largest difference; the log gets a line.

    The figures of the cell take the place of the recorded ones and everything is judged anew: what then has another
    verdict has flipped, and the evidence is stale until it is mended, checked or confirmed on other cases. A verdict
    that rounding decided (`Verdict.edge`) is a coin toss: that it fell otherwise is told, and says nothing. Nor do
    figures on other data than wherever the evidence was stamped.

    A cell has as many threads as its record says; the oldest say nothing, and are run again on the runtime's.

    Returns
    -------
    dict
        `difference` (the largest one of figures that are no clocks), `where`, `flipped` (assertions), `edge` (those
        whose recorded verdict rounding had decided, and that now have another), `cells`, and if there are any
        `otherwise`, assertions known to have the other verdict on this type of processor (`accept`), and `other data`,
        the experiments whose cell read other data than was recorded with.
    """
    claim = claims.get(slug)
    records = _recorded(folder, slug)
    last = {name: record for record in records for name in record["cases"] if name in claim.experiments}
    before = newest(claim, records)
    difference, where, cells, replayed, of = 0.0, "", [], [], {}
    for name, record in last.items():
        rows = [row for row in record["rows"] if row[0] == name]
        case, seed = rows[0][1], rows[0][2]
        of[name] = case
        with runtime(threads=record.get("threads") or current().threads):
            measured = {(row["arm"], row["metric"]): row["value"] for row in claim.cell(name, case, seed)}
        cells.append(f"{name}: {case}, seed {seed}")
        clocks = claim.experiments[name].clocks
        for row in rows:
            _, at, drawn, arm, metric, value = row
            if (at, drawn) == (case, seed) and (arm, metric) in measured:
                gap = 0.0 if metric in clocks else _gap(value, measured[arm, metric])
                if gap > difference:
                    difference, where = gap, f"{metric} of {arm}, {cells[-1]}"
                row = [*row[:5], value if metric in clocks else measured[arm, metric]]
            replayed.append(row)
    again = {"cases": {name: record["cases"][name] for name, record in last.items()}, "rows": replayed}
    other = [
        (assertion, then)
        for assertion, then, now in zip(claim.ledger, before, newest(claim, [again]))
        if standing_word(assertion, then) != standing_word(assertion, now)
    ]
    elsewhere = on_other_data(folder, slug, of)
    tossed = [assertion for assertion, then in other if then is not None and then.edge]
    edge = sorted(assertion.text for assertion in tossed)
    flipped, known = _not_known_here(
        (changed.text for changed, _ in other if changed not in tossed and changed.experiment not in elsewhere),
        slug,
        folder,
    )
    line = {"difference": float(f"{difference:.3g}"), "where": where, "flipped": flipped, "edge": edge, "cells": cells}
    line |= {"otherwise": known} if known else {}
    line |= {"other data": elsewhere} if elsewhere else {}
    _append(folder, slug, {"look": "replay", "records": len(records), **line})
    if not flipped:
        recorded = read_stamp(folder, slug) or {}
        others = tuple(f"{what} {name}: " for name in elsewhere for what in ("data", "drawn"))
        today = {part: value for part, value in stamp_of(slug).items() if not part.startswith(others)}
        write_stamp(folder, slug, today | {part: value for part, value in recorded.items() if part.startswith(others)})
    return line


def _not_known_here(texts: Iterable[str], slug: str, folder: Path) -> tuple[list[str], list[str]]:
    """Of assertions with another verdict those of which it is news, and those known to have it on this processor."""
    known = otherwise(read_log(folder, slug))
    both: tuple[list[str], list[str]] = ([], [])
    for text in sorted(texts):
        both[processor() in known.get(text, ())].append(text)
    return both


def _gap(value: float, other: float) -> float:
    if np.isnan(value) and np.isnan(other):
        return 0.0
    return float("inf") if np.isnan(value) or np.isnan(other) else abs(value - float(f"{other:.6g}"))


def accept(slug: str, why: str, *, folder: Path = FOLDER) -> list[dict[str, str]]:
    """Write down that recorded figures have another verdict by today's conditions, or that the cases have one on this
    type of processor, and why; what flipped is returned.

    A network that is trained on another type of processor is another network. What the last look, of this type, found
    to be otherwise than recorded on another one is from that day told beside the row, and stale no more; what must hold
    is, as it does not hold there.

    Assertions that no record has in their words are written down as well: from that day they are in the ledger. So are
    parts that the stamp never looked at (`with_more_parts`): this type of processor's has them from that day on.
    """
    flipped, since = flips(slug, folder=folder), undated(slug, folder=folder)
    here, settled = _otherwise_here(slug, folder)
    stamp, added = (stamp_of(slug), ()) if settled else with_more_parts(slug, folder=folder)
    if flipped or here or since or added:
        line: dict[str, Any] = {"look": "accept", "why": why, "verdicts": flipped, "flipped": []}
        line |= {"otherwise": [flip["text"] for flip in here]} if here else {}
        line |= {"worded": since} if since else {}
        _append(folder, slug, line | ({"stamped": list(added)} if added else {}))
    if added or settled:
        write_stamp(folder, slug, stamp)
    return flipped + here


def _otherwise_here(slug: str, folder: Path) -> tuple[list[dict[str, str]], bool]:
    """What the last look found to be otherwise on this type of processor than recorded on another, but for what must
    hold; and whether nothing that it found is left then."""
    claim, records = claims.get(slug), read_records(folder, slug)
    look = _last_look(folder, slug, len(records))
    fell = look["flipped"] if look.get("processor") == processor() else ()
    made_on = {name: record.get("machine") for record in records for name in record["cases"]}
    here = [
        {**dict(zip(KEY, _key(assertion))), "was": word_of(verdict), "now": "not held" if verdict.held else "held"}
        for assertion, verdict in zip(claim.ledger, newest(claim, records))
        if assertion.text in fell and verdict is not None and not assertion.must_hold
        and made_on[assertion.experiment] not in (None, processor())
    ]  # fmt: skip
    return here, bool(here) and len(here) == len(fell)


def _last_look(folder: Path, slug: str, records: int) -> Mapping[str, Any]:
    """The last replay or check, if it was of the newest record; empty else."""
    looks = [line for line in read_log(folder, slug) if line["look"] in ("replay", "check")]
    return looks[-1] if looks and looks[-1].get("records", records) == records else {}


def with_more_parts(slug: str, *, folder: Path = FOLDER) -> tuple[dict[str, str], tuple[str, ...]]:
    """This type of processor's stamp with those parts of today's that it never looked at, and these.

    Without a stamp of its own, one of another type that today's equals is as good. Nothing is added where any other
    part moved, or nothing is recorded: what is not what it was is to be replayed first.
    """
    stamps = read_stamps(folder, slug)
    if not stamps:
        return {}, ()
    today = _stamp_now(slug)
    here = stamps.get(processor())
    alike = [stamp for stamp in (stamps.values() if here is None else (here,)) if not moved_parts(stamp, today)]
    return ((here or {}) | today, tuple(sorted(today.keys() - alike[0].keys()))) if alike else ({}, ())


def undated(slug: str, *, folder: Path = FOLDER) -> list[dict[str, str]]:
    """Assertions that neither a record nor a line of the log has in their words: text, and what is asked."""
    records = read_records(folder, slug)
    known = {(line["text"], line["asked"]) for record in records for line in record["ledger"]}
    known |= worded(read_log(folder, slug)).keys()
    return [
        {"text": assertion.text, "asked": assertion.asked}
        for assertion in claims.get(slug).ledger
        if records and (assertion.text, assertion.asked) not in known
    ]


def flips(
    slug: str, *, folder: Path = FOLDER, verdicts: Sequence[Verdict | None] | None = None
) -> list[dict[str, str]]:
    """Assertions to which today's condition gives another verdict than the one that was last written down.

    `verdicts` are those of `newest`, where they are at hand.
    """
    records, log = read_records(folder, slug), read_log(folder, slug)
    written: dict[tuple[str, ...], str] = {}
    for record in records:
        written |= {tuple(line[part] for part in KEY): line["verdict"] for line in record["ledger"]}
    for line in log:
        written |= {tuple(flip[part] for part in KEY): flip["now"] for flip in line.get("verdicts", ())}
    flipped = []
    claim = claims.get(slug)
    for assertion, verdict in zip(claim.ledger, newest(claim, records) if verdicts is None else verdicts):
        key = _key(assertion)
        if verdict is not None and written.get(key, word_of(verdict)) != word_of(verdict):
            flipped.append({**dict(zip(KEY, key)), "was": written[key], "now": word_of(verdict)})
    return flipped


KEY = ("text", "asked", "experiment")
"""What makes two assertions one."""


def _key(assertion: Assertion) -> tuple[str, str, str]:
    return assertion.text, assertion.asked, assertion.experiment


# -- fresh, moved, stale -----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Freshness:
    """Whether evidence still tells of what is there.

    `word` is "fresh" (the system gives what it gave), "moved" (it gives something else: replay it), "stale" (a verdict
    flipped, and nothing was confirmed on other cases since), "unstamped" (this type of processor has no stamp yet, and
    gives something else than those that have) or "none" (no record); `parts` says what moved or flipped.
    """

    word: str
    parts: tuple[str, ...] = ()


def freshness(
    slug: str, *, folder: Path = FOLDER, stamp: Mapping[str, str] | None = None,
    verdicts: Sequence[Verdict | None] | None = None,
) -> Freshness:  # fmt: skip
    """Whether the evidence of a system is fresh; with a `stamp` of today also whether it moved.

    `verdicts` are those of `newest`, where they are at hand.
    """
    records = len(evidence_files(folder, slug))
    if not records:
        return Freshness("none")
    flipped = tuple(flip["text"] for flip in flips(slug, folder=folder, verdicts=verdicts))
    look, known = _last_look(folder, slug, records), otherwise(read_log(folder, slug))
    flipped += tuple(text for text in look.get("flipped", ()) if look.get("processor") not in known.get(text, ()))
    if flipped:
        return Freshness("stale", flipped)
    recorded = read_stamp(folder, slug)
    if recorded is None:  # an equal stamp of another type of processor is as good
        alike = stamp is not None and any(not moved_parts(other, stamp) for other in read_stamps(folder, slug).values())
        return Freshness("fresh" if alike else "unstamped")
    parts = () if stamp is None else moved_parts(recorded, stamp)
    return Freshness("moved" if parts else "fresh", parts)


def summary(slugs: Sequence[str], *, folder: Path = FOLDER) -> Iterator[Freshness]:
    """The freshness of systems, in their order; those that a stamp can tell of are stamped now, on all cores."""
    yield from each(_stamped_now, slugs, folder, engine=Engine(workers=0), label="looking at systems")


def _stamped_now(folder: Path, slug: str) -> Freshness:
    fresh = freshness(slug, folder=folder)
    tells = fresh.word in ("fresh", "unstamped") and read_stamps(folder, slug)
    return freshness(slug, folder=folder, stamp=_stamp_now(slug)) if tells else fresh


def _stamp_now(slug: str) -> dict[str, str]:
    """The stamp of today, for which as few pictures are drawn as will tell it."""
    with undrawn():
        return stamp_of(slug)

"""Runs side by side: their candidates, what differs between them, and whether their figures can be compared."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from markupsafe import Markup

from unseen.files import read_json, read_object
from unseen.report import words
from unseen.web.markup import heading, items, joined, paragraph, table
from unseen.web.shelf import RUN

Results = Mapping[str, Any]

READ = ("given", "classes", "labels", "seeds", "exam", "references", "candidates", "left_out", "leakage", "chosen")
"""What a page takes from `results.json`."""


def read(folder: Path) -> Results:
    """The results of a run.

    Raises
    ------
    ValueError
        If there are none, they are damaged, or of a schema that this version does not read.
    """
    try:
        results = read_object(folder / RUN)
    except (OSError, ValueError) as error:
        raise ValueError(f"the run {folder.name} cannot be read: {type(error).__name__}") from error
    words.check(results)
    if missing := [key for key in READ if key not in results]:
        raise ValueError(f"the run {folder.name} lacks {', '.join(missing)} in its results")
    return results


def is_compared(folder: Path) -> bool:
    """Whether a run is one of `unseen compare`, or too damaged to tell; other commands write results, too."""
    try:
        return _has_schema(folder, (folder / RUN).stat().st_mtime_ns)
    except (OSError, ValueError):
        return True


@functools.lru_cache(500)
def _has_schema(folder: Path, _: int) -> bool:
    results = read_json(folder / RUN)
    return not isinstance(results, Mapping) or not results or "schema" in results


def page(runs: Mapping[str, Results]) -> Markup:
    """One run or several, by their names: a picture, what differs, candidates, what each says."""
    parts = []
    if len(runs) > 1:
        first, *others = runs.items()
        for name, results in others:
            parts += [paragraph(f"{first[0]} and {name}: {why}", "notice") for why in apart(first[1], results)]
    parts.append(pictures(runs))
    parts.append(overview(runs))
    if len(runs) > 1:
        changed = differences(list(runs.values()))
        body = table(["", *runs], changed) if changed else paragraph("Nothing but chance and time.")
        parts += [heading("What differs"), body]
    parts += [heading("Candidates"), candidates(runs), paragraph(LEGEND, "quiet")]
    for name, results in runs.items():
        parts += [heading(name), items(summary(results))]
    return joined(parts)


def summary(results: Results) -> list[str]:
    """What a run found, in sentences: the answer first."""
    lines = words.summary(results)
    return [line for line in lines if not line.startswith(("exam, ", "left out: "))]


# -- the figure of a run -----------------------------------------------------------------------------------


class Figure(NamedTuple):
    """How often a run's choice is right, as a share in [0, 1]: measured by labels, or estimated without any."""

    value: float
    low: float
    high: float
    measured: bool
    floor: float | None
    metric: str


def figure(results: Results) -> Figure | None:
    """The figure of a run; None if nothing tells."""
    verdict = words.verdict(results)
    if verdict is not None and not verdict.is_defined:
        return None
    if verdict is not None:
        seeds = verdict.spread["per_seed"]
        metric = words.metric_label(verdict.metric)
        return Figure(verdict.spread["mean"], min(seeds), max(seeds), True, verdict.floor, metric)
    if estimate := results.get("estimate"):
        low, high = estimate["interval"]
        return Figure(estimate["accuracy"], low, high, False, None, "accuracy")
    return None


def pictures(runs: Mapping[str, Results]) -> Markup:
    """A line for each run on one scale from 0 to 100 %: the figure, its interval, and what doing nothing reaches."""
    rows, kinds = [], set()
    for name, results in runs.items():
        share = figure(results)
        if share is None:
            rows.append(Markup("<span><bdi>{}</bdi></span><span></span><span>not known</span>").format(name))
            continue
        kinds |= {"measured" if share.measured else "estimated", "floor" if share.floor is not None else "",
                  "interval" if share.high - share.low > 0.001 else ""}  # fmt: skip
        rows.append(
            Markup('<span><bdi>{}</bdi></span>{}<span class="figure">{}</span>').format(
                name, _drawn(share), _said(share)
            )
        )
    legend = [
        ("measured", "Dot: graded by labels, which had no part in the choice"),
        ("estimated", "Ring: an estimate without labels"),
        ("interval", "Band: over seeds, or where the estimate may lie"),
        ("floor", "Line: without adaptation"),
    ]
    key = ". ".join(text for kind, text in legend if kind in kinds)
    return Markup('<div class="shares">{}</div>{}').format(
        joined(rows), paragraph(f"0 to 100 %. {key}." if key else "", "quiet")
    )


def _drawn(figure: Figure) -> Markup:
    at = {
        key: f"{100 * value:.2f}%" for key, value in (("x", figure.value), ("low", figure.low), ("high", figure.high))
    }
    floor = ""
    if figure.floor is not None:
        floor = Markup('<line class="leader floor" x1="{0}" x2="{0}" y1="2" y2="20"/>').format(
            f"{100 * figure.floor:.2f}%"
        )
    style = "dot chosen" if figure.measured else "ring"
    return Markup(
        '<svg role="img" aria-label="{}"><rect class="track" width="100%" y="7" height="8" rx="4"/>'
        '<line class="interval" x1="{}" x2="{}" y1="11" y2="11"/>{}<circle class="{}" cx="{}" cy="11" r="6"/></svg>'
    ).format(_said(figure), at["low"], at["high"], floor, style, at["x"])


def _said(figure: Figure) -> str:
    metric = "" if figure.metric == "accuracy" else f" {figure.metric}"
    return f"{'' if figure.measured else 'about '}{words.percent(figure.value)}{metric}"


def overview(runs: Mapping[str, Results]) -> Markup:
    """What each run chose and reached, a line each."""
    rows = []
    for name, results in runs.items():
        share = figure(results)
        floor = "–" if share is None or share.floor is None else words.percent(share.floor)
        between = (
            "–" if share is None or share.measured else f"{words.percent(share.low)} to {words.percent(share.high)}"
        )
        took = words.seconds(sum(row["seconds"] for row in results["candidates"]))
        reached = "not known" if share is None else _said(share)
        rows.append([name, results["chosen"]["name"], reached, between, floor, took])
    header = ["run", "chosen", "reached", "estimated between", "without adaptation", "time of all methods"]
    return table(header, rows, numbers=(2, 3, 4, 5))


def brief(folder: Path) -> str:
    """What a list of runs says of one."""
    try:
        stat = (folder / RUN).stat()
        return _brief(folder, stat.st_mtime_ns)
    except (OSError, ValueError) as error:
        return str(error)


@functools.lru_cache(500)
def _brief(folder: Path, _: int) -> str:
    results = read(folder)
    share = figure(results)
    data = ", ".join(f"{part['name']} ({words.count(part['samples'], 'sample')})" for part in results["given"].values())
    right = " right" if share is not None and share.metric == "accuracy" else ""
    reached = "no label to tell how often it is right" if share is None else f"{_said(share)}{right}"
    return f"{reached}, with {results['chosen']['name']}. {data}"


LEGEND = (
    "A star marks what was chosen. The score without labels, in [0, 1], is a place among the candidates of one run: no "
    "accuracy, and nothing across runs. Other columns are what their titles say. After ± stands the standard deviation "
    "over seeds."
)


# -- what differs ------------------------------------------------------------------------------------------


def differences(runs: Sequence[Results]) -> list[list[str]]:
    """What differs in data and settings: a name and what it is in each run."""
    facts = [_facts(results) for results in runs]
    if (
        len({(results.get("encoder") or {}).get("fingerprint") for results in runs}) == 1
        and len({str((results.get("settings") or {}).get("precision")) for results in runs}) == 1
    ):  # else the same samples have other features
        for known, results in zip(facts, runs):
            hashes = (results.get("config") or {}).get("data") or {}
            known |= {f"{role}, read with its labels": mark[:8] for role, mark in hashes.items()}
    names = dict.fromkeys(name for known in facts for name in known)
    rows = [[name, *(known.get(name, "–") for known in facts)] for name in names]
    return [row for row in rows if len(set(row[1:])) > 1]


def _facts(results: Results) -> dict[str, str]:
    """What a run was made from and how, in short texts by name."""
    config = results.get("config") or {}
    hashes = _contents(config)
    facts = {}
    for role, part in results["given"].items():
        mark = f", {hashes[role][:8]}" if role in hashes else ""
        facts[role] = f"{part['name']}, {words.count(part['samples'], 'sample')}{mark}"
    for role in hashes.keys() - facts.keys():
        facts[role] = hashes[role][:8]
    encoder, protocol = results.get("encoder"), results.get("protocol")
    facts["encoder"] = encoder["name"] if encoder else "none"
    facts["classes"] = _classes(results["classes"])
    facts["graded as"] = protocol["name"] if protocol else "not graded: no labels"
    facts["labels"] = str(results["labels"])
    facts["seeds"] = str(results["seeds"])
    facts |= {
        f"labels that graded, {part}": f"{exam['hash']}, {exam['samples']} samples"
        for part, exam in results["exam"].items()
    }
    facts |= {key: str(value) for key, value in (results.get("settings") or {}).items()}
    facts["unseen"] = str(results.get("unseen", "–"))
    return facts | {key: str(value) for key, value in (results.get("versions") or {}).items()}


def _contents(config: Mapping[str, Any]) -> Mapping[str, str]:
    """A digest of the samples that were given as each role, before an encoder read them; of features in older runs."""
    given = config.get("given") or config.get("data") or {}
    return {role.replace("_", " "): mark for role, mark in given.items()}


def _classes(names: list[str], most: int = 6) -> str:
    listed = ", ".join(names[:most])
    return f"{len(names)}: {listed}{', …' if len(names) > most else ''}"


def apart(a: Results, b: Results) -> list[str]:
    """Why the figures of two runs cannot be compared, in sentences; none if they can."""
    reasons = []
    if list(a["classes"]) != list(b["classes"]):
        only = [len(set(x["classes"]) - set(y["classes"])) for x, y in ((a, b), (b, a))]
        reasons.append(f"the classes differ ({only[0]} only in the first, {only[1]} only in the second)")
    if bool(a["exam"]) != bool(b["exam"]):
        reasons.append("only one of them has labels to grade by")
    elif a["exam"] and _graded(a) != _graded(b):
        reasons.append("they were graded on other samples or labels")
    elif not a["exam"] and _target(a) != _target(b):
        reasons.append("the target differs")
    if a["exam"] and b["exam"] and a["references"]["metric"] != b["references"]["metric"]:
        metrics = [words.metric_label(results["references"]["metric"]) for results in (a, b)]
        reasons.append(f"one is graded by {metrics[0]}, the other by {metrics[1]}")
    return [f"The figures cannot be compared: {'; '.join(reasons)}."] if reasons else []


def _graded(results: Results) -> dict[str, str]:
    return {part: exam["hash"] for part, exam in results["exam"].items()}


def _target(results: Results) -> Any:
    return _contents(results.get("config") or {}).get("target")


# -- candidates --------------------------------------------------------------------------------------------


def candidates(runs: Mapping[str, Results]) -> Markup:
    """A row per candidate of any run; a column of what changed if there are two that can be compared."""
    tables = [{row["name"]: row for row in results["candidates"]} for results in runs.values()]
    columns = [_columns(results, len(runs) == 1) for results in runs.values()]
    names = dict.fromkeys(name for by_name in tables for name in by_name)
    compared = _compared([*runs.values()])
    header = ["candidate", *(title for titles in columns for title in titles)]
    groups: list[tuple[Any, int]] = [("", 1), *((name, len(titles)) for name, titles in zip(runs, columns))]
    if compared:
        header.append(f"{words.metric_label(compared)}, points")
        groups.append(("second minus first", 1))
    rows = []
    for name in names:
        cells: list[Any] = [name]
        for by_name, results in zip(tables, runs.values()):
            cells += _cells(by_name.get(name), results, len(runs) == 1)
        if compared:
            means = [_mean(by_name.get(name), compared) for by_name in tables]
            known = [mean for mean in means if mean is not None]
            cells.append(f"{100 * (known[1] - known[0]):+.1f}" if len(known) == 2 else "–")
        rows.append(cells)
    return table(header, rows, numbers=range(1, len(header)), groups=groups)


def _compared(runs: list[Results]) -> str | None:
    """The metric by which two runs can be compared."""
    if len(runs) != 2 or apart(*runs) or "adapted" not in runs[0]["exam"]:
        return None
    return str(runs[0]["references"]["metric"])


PARTS = {"adapted": "your data", "held out": "data kept aside"}
"""What candidates are graded on, in the words of a user."""


def _columns(results: Results, alone: bool) -> list[str]:
    """Titles of the columns of a run: beside others only what can be told in one figure."""
    metric = words.metric_label(results["references"]["metric"]) if results["exam"] else ""
    graded = [f"{metric}, %, {PARTS.get(part, part)}" for part in results["exam"]]
    decided = [words.score_label(v) for v in _decided(results)]
    if alone:
        return [*graded, *decided, "score without labels", "time"]
    return graded[:1] or decided[:1] or ["score without labels"]


def _decided(results: Results) -> list[str]:
    """The score by which a run without a grade chose, which its reason quotes; none where several did."""
    by = results["chosen"].get("by", ())
    return [] if results["exam"] or results["chosen"].get("alike") or len(by) != 1 else list(by)


def _cells(row: Mapping[str, Any] | None, results: Results, alone: bool) -> list[str]:
    titles = _columns(results, alone)
    if row is None:
        return ["–"] * len(titles)
    cells = []
    for part in results["exam"]:
        spread = row["metrics"][part][results["references"]["metric"]]
        cells.append(f"{words.share(spread['mean'])} {words.deviation(spread)}".strip())
    for validator in _decided(results):
        score = (row.get("validators") or {}).get(validator)
        cells.append("–" if score is None else _score(score["mean"], validator))
    cells += [words.number(row["vote"], 2), words.seconds(row["seconds"])]
    if row["chosen"]:
        cells[0] = f"★ {cells[0]}"
    return cells[: len(titles)]


def _score(value: float, validator: str) -> str:
    """A score as the reason of a run writes it: as a share where it is one."""
    share = validator != "information maximization" and 0 <= value <= 1
    return f"{100 * value:.1f} %" if share else f"{value:.3f}"


def _mean(row: Mapping[str, Any] | None, metric: str) -> float | None:
    return None if row is None else row["metrics"]["adapted"][metric]["mean"]

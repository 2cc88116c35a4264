"""Two runs side by side: their candidates, what differs between them, and whether their figures can be compared."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

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
        results = json.loads((folder / RUN).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"the run {folder.name} cannot be read: {type(error).__name__}") from error
    words.check(results)
    if missing := [key for key in READ if key not in results]:
        raise ValueError(f"the run {folder.name} lacks {', '.join(missing)} in its results")
    return results


def page(runs: Mapping[str, Results]) -> Markup:
    """One run, or two, by their names."""
    parts = []
    if len(runs) == 2:
        (first, a), (second, b) = runs.items()
        parts = [paragraph(why, "notice") for why in apart(a, b)]
        changed = differences(a, b)
        parts.append(heading("What differs"))
        parts.append(table(["", first, second], changed) if changed else paragraph("Nothing but chance and time."))
    parts += [heading("Candidates"), candidates(runs), paragraph(LEGEND, "quiet")]
    for name, results in runs.items():
        parts += [heading(name), items(words.summary(results))]
    return joined(parts)


LEGEND = (
    "A star marks what was chosen. The score without labels, in [0, 1], ranks the candidates of one run: beside a "
    "consensus, on how much of the target a candidate says the same. It says nothing across runs. After ± stands the "
    "standard deviation over seeds."
)


# -- what differs ------------------------------------------------------------------------------------------


def differences(a: Results, b: Results) -> list[list[str]]:
    """What differs in data and settings: a name and what it is in either run."""
    facts = [_facts(results) for results in (a, b)]
    names = dict.fromkeys([*facts[0], *facts[1]])
    rows = [[name, facts[0].get(name, "–"), facts[1].get(name, "–")] for name in names]
    return [row for row in rows if row[1] != row[2]]


def _facts(results: Results) -> dict[str, str]:
    """What a run was made from and how, in short texts by name."""
    config = results.get("config") or {}
    hashes = config.get("data") or {}
    facts = {}
    for role, told in results["given"].items():
        mark = f", {hashes[role][:8]}" if role in hashes else ""
        facts[role] = f"{told['name']}, {words.count(told['samples'], 'sample')}{mark}"
    for role in hashes.keys() - facts.keys():
        facts[role] = hashes[role][:8]
    encoder, protocol = results.get("encoder"), results.get("protocol")
    facts["encoder"] = encoder["name"] if encoder else "none"
    facts["classes"] = _classes(results["classes"])
    facts["protocol"] = protocol["name"] if protocol else "none: no label to grade by"
    facts["labels"] = str(results["labels"])
    facts["seeds"] = str(results["seeds"])
    facts |= {f"exam, {part}": f"{exam['hash']}, {exam['samples']} samples" for part, exam in results["exam"].items()}
    facts |= {key: str(value) for key, value in (results.get("settings") or {}).items()}
    facts["unseen"] = str(results.get("unseen", "–"))
    return facts | {key: str(value) for key, value in (results.get("versions") or {}).items()}


def _classes(names: list[str], most: int = 6) -> str:
    told = ", ".join(names[:most])
    return f"{len(names)}: {told}{', …' if len(names) > most else ''}"


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
    return ((results.get("config") or {}).get("data") or {}).get("target")


# -- candidates --------------------------------------------------------------------------------------------


def candidates(runs: Mapping[str, Results]) -> Markup:
    """A row per candidate of any run; a column of what changed if there are two that can be compared."""
    tables = [{row["name"]: row for row in results["candidates"]} for results in runs.values()]
    columns = [_columns(results) for results in runs.values()]
    names = dict.fromkeys(name for found in tables for name in found)
    compared = _compared([*runs.values()])
    header = ["candidate", *(title for titles in columns for title in titles)]
    groups: list[tuple[Any, int]] = [("", 1), *((name, len(titles)) for name, titles in zip(runs, columns))]
    if compared:
        header.append(f"{words.metric_label(compared)}, points")
        groups.append(("second minus first", 1))
    rows = []
    for name in names:
        cells: list[Any] = [name]
        for found, results in zip(tables, runs.values()):
            cells += _cells(found.get(name), results)
        if compared:
            means = [_mean(found.get(name), compared) for found in tables]
            known = [mean for mean in means if mean is not None]
            cells.append(f"{100 * (known[1] - known[0]):+.1f}" if len(known) == 2 else "–")
        rows.append(cells)
    return table(header, rows, numbers=range(1, len(header)), groups=groups)


def _compared(runs: list[Results]) -> str | None:
    """The metric by which two runs can be compared."""
    if len(runs) < 2 or apart(*runs) or "adapted" not in runs[0]["exam"]:
        return None
    return str(runs[0]["references"]["metric"])


def _columns(results: Results) -> list[str]:
    metric = words.metric_label(results["references"]["metric"]) if results["exam"] else ""
    return [*(f"{metric}, %, {part}" for part in results["exam"]), "score without labels", "time"]


def _cells(row: Mapping[str, Any] | None, results: Results) -> list[str]:
    if row is None:
        return ["–"] * len(_columns(results))
    cells = []
    for i, part in enumerate(results["exam"]):
        spread = row["metrics"][part][results["references"]["metric"]]
        star = "★ " if row["chosen"] and i == 0 else ""
        cells.append(f"{star}{words.share(spread['mean'])} {words.deviation(spread)}".strip())
    star = "★ " if row["chosen"] and not cells else ""
    return [*cells, star + words.number(row["vote"], 2), words.seconds(row["seconds"])]


def _mean(row: Mapping[str, Any] | None, metric: str) -> float | None:
    return None if row is None else row["metrics"]["adapted"][metric]["mean"]

"""Figures in words, and the terminal's lines and table."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from rich.console import Console

from unseen.report import details, render, rich_table, summary, words
from unseen.report.plots import bars, scatter
from unseen.report.sealing import sealing


def _results(fake: ModuleType, folder: Path, **case: Any) -> dict[str, Any]:
    return json.loads((fake.write_fake_run(folder / "run", **case) / "results.json").read_text())


def _printed(results: dict[str, Any]) -> str:
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(rich_table(results))
    return console.export_text()


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.0123, "0.01 s"), (3.21, "3.2 s"), (41.2, "41 s"), (200, "3 min 20 s"), (3900, "1 h 05 min")],
)
def test_durations_have_the_units_people_use(value: float, said: str) -> None:
    assert words.seconds(value).replace(words.SPACE, " ") == said


def test_figures_that_are_not_finite_are_dashes() -> None:
    assert [words.number(v) for v in (None, math.nan, math.inf)] == ["–"] * 3
    assert words.share(math.nan) == "–"


def test_summary_says_the_choice_and_what_stands_beside_it(fake: ModuleType, tmp_path: Path) -> None:
    results = _results(fake, tmp_path)
    lines = summary(results)
    row = results["candidates"][0]["metrics"]["adapted"]["accuracy"]
    floor = results["references"]["source_only"]["adapted"]
    assert lines[0].startswith(f"glc is right on {100 * row['mean']:.1f} ± {100 * row['std']:.1f} % of the target")
    assert f"beside {100 * floor:.1f} % without adaptation" in lines[0]
    assert len(lines) == 3
    rest = details(results)
    assert "12.5 % by guessing" in "".join(rest)
    assert f"The choice is {100 * (row['mean'] - floor):.1f} points above doing nothing (source-only)." in rest
    assert sum("lisgan" in line for line in rest) == 1
    assert not set(rest) & set(lines)
    assert not any(words.SPACE in line for line in lines)


@pytest.mark.parametrize(
    ("interval", "guess", "near"),
    [((0.446, 0.864), 0.5, False), ((0.44, 0.6), 0.5, True), ((0.05, 0.25), 0.1, True), ((0.05, 0.55), 0.1, False)],
)
def test_an_estimate_is_near_guessing_where_most_of_its_interval_is(
    fake: ModuleType, tmp_path: Path, interval: tuple[float, float], guess: float, near: bool
) -> None:
    results = _results(fake, tmp_path, labels=False, n_classes=round(1 / guess))
    results["estimate"] = {**_ESTIMATE, "accuracy": sum(interval) / 2, "interval": list(interval)}
    assert ("hardly better than guessing" in summary(results)[0]) == near


_ESTIMATE = {"coverage": {"nominal": 0.87, "measured": 0.87}, "unanimous": 0.6, "labels": 0}


def test_harm_is_named(fake: ModuleType, tmp_path: Path) -> None:
    results = _results(fake, tmp_path)
    results["references"]["source_only"]["adapted"] = (
        results["candidates"][0]["metrics"]["adapted"]["accuracy"]["mean"] + 0.05
    )
    assert "The choice is 5.0 points below doing nothing (source-only). Adapting did harm here." in summary(results)


def test_a_candidate_that_is_better_by_the_labels_is_named(fake: ModuleType, tmp_path: Path) -> None:
    results = _results(fake, tmp_path)
    mine = results["candidates"][0]["metrics"]["adapted"]["accuracy"]["mean"]
    results["candidates"][3]["metrics"]["adapted"]["accuracy"]["mean"] = mine + 0.1
    assert any("prototypes turns out 10.0 points better" in line for line in summary(results))
    alone = {name: value for name, value in results["given"].items() if name != "support"}
    sealed = {**results, "given": alone, "labels": "exam"}
    assert any("did not see the target's labels; now" in line for line in summary(sealed))
    for shown in ({"given": {**alone, "support": "a"}, "labels": "exam"}, {"given": alone, "labels": "split:0.5"}):
        assert any("did not see the labels that grade; now" in line for line in summary({**results, **shown}))
    results["candidates"][3]["metrics"]["adapted"]["accuracy"]["mean"] = mine + 1e-16 * 4
    assert results["candidates"][3]["metrics"]["adapted"]["accuracy"]["mean"] > mine
    assert any("no other candidate is better" in line for line in summary(results))


def test_without_labels_the_summary_has_no_figure_of_quality(fake: ModuleType, tmp_path: Path) -> None:
    lines = summary(_results(fake, tmp_path, labels=False))
    assert "nothing here tells" in lines[2]
    assert "%" not in "".join(lines)


def test_a_class_that_is_named_for_most_samples_is_told(fake: ModuleType, tmp_path: Path) -> None:
    results = _results(fake, tmp_path)
    names = results["classes"]
    flat = {"class": names[0], "share": 0.75}
    told = [line for line in summary({**results, "most_named": flat}) if f"are called {names[0]!r}, of" in line]
    assert len(names) >= 4
    assert len(told) == 1
    assert told[0].startswith("75")
    assert not any("are called" in line for line in summary({**results, "most_named": {**flat, "share": 0.4}}))
    few = {**results, "most_named": flat, "classes": names[:2]}
    assert not any("are called" in line for line in summary(few))


@pytest.mark.parametrize(
    ("by", "alike", "told"),
    [
        (["labels right"], True, "What decided: right on labels of the support, of those that learnt from none."),
        ([], True, "it did not decide. None of these scores decided"),
        (["reverse validation"], False, "one that is not clearly better than source-only has 0. What decided: source"),
        (["support validation"], False, "names. What decided: right on labels of the support held out."),
    ],
)
def test_the_note_on_scores_names_what_decided(
    fake: ModuleType, tmp_path: Path, by: list[str], alike: bool, told: str
) -> None:
    results = _results(fake, tmp_path)
    assert "decided" not in words.score_told(results)  # a run of before it was kept
    results["chosen"] |= {"by": by, "alike": alike}
    assert told in words.score_told(results)
    assert ("says the same of" in words.score_told(results)) is alike


def test_leakage_is_in_the_summary(fake: ModuleType, tmp_path: Path) -> None:
    assert any(line.startswith("Leakage: 2 of") for line in summary(_results(fake, tmp_path, protocol="open")))


def test_nan_scores_neither_stop_nor_win(fake: ModuleType, tmp_path: Path) -> None:
    results = _results(fake, tmp_path, protocol="open")
    results["candidates"][1]["metrics"]["adapted"]["h_score"]["mean"] = math.nan
    assert summary(results)
    assert "–" in _printed(results)


@pytest.mark.parametrize("absent", [None, math.nan])
def test_a_metric_that_is_not_defined_on_the_target_is_no_figure_and_the_reason_is_told(
    fake: ModuleType, tmp_path: Path, absent: float | None
) -> None:
    results = _results(fake, tmp_path, protocol="open")
    for row in results["candidates"]:
        for metrics in row["metrics"].values():
            for name in ("h_score", "unknown_accuracy"):
                metrics[name] = {"mean": absent, "std": absent, "worst": absent, "per_seed": [absent] * 3}
    results["references"]["source_only"] = dict.fromkeys(results["exam"], absent)
    (tmp_path / "run" / "results.json").write_text(json.dumps(results))
    page = render(tmp_path / "run").read_text()
    lines = summary(results)
    assert "not defined on this target: no sample that grades is of an unknown class. On known classes" in lines[0]
    assert "turns out" not in "".join([page, *lines, *details(results)])
    assert "– %" not in "".join([*lines, *words.beside(results)]).replace(words.SPACE, " ")
    assert "not defined on this target" in page.replace("&nbsp;", " ")
    assert scatter(results) is None
    assert bars(results)["rows"]
    assert "–" in _printed(results)


def test_a_score_that_can_exceed_one_says_so() -> None:
    assert "may exceed 1" in words.score_label("embedded validation")


@pytest.mark.parametrize("labels", ["support", "split:0.5"])
def test_labels_given_for_learning_are_said_to_be(fake: ModuleType, tmp_path: Path, labels: str) -> None:
    results = _results(fake, tmp_path) | {"labels": labels}
    assert "By request" in sealing(results)[0]


def test_table_has_a_row_per_candidate_and_marks_the_chosen(fake: ModuleType, tmp_path: Path) -> None:
    results = _results(fake, tmp_path)
    text = _printed(results)
    for row in results["candidates"]:
        assert row["name"] in text
    assert "* glc" in text
    assert text.count("*") == 1
    assert "worst" in text


def test_table_shows_names_as_they_are(fake: ModuleType, tmp_path: Path) -> None:
    results = _results(fake, tmp_path, labels=False)
    results["candidates"][2]["name"] = "[red]coral[/red]"
    text = _printed(results)
    assert "[red]coral[/red]" in text
    assert "without labels" in text
    assert "%" not in text


@pytest.mark.parametrize("function", [summary, details, rich_table])
def test_another_schema_is_refused(function: Any) -> None:
    with pytest.raises(ValueError, match="schema 1"):
        function({"schema": 7})

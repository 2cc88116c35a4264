"""What the pages say, without a browser: lists of folders, what fits, ledgers, runs side by side, one sample."""

from __future__ import annotations

import copy
import dataclasses
import io
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import unseen
from unseen import claims
from unseen.bundle import Bundle
from unseen.claims.standing import Standing
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.jobs.forecasting.saved import example
from unseen.methods import get
from unseen.serving.limits import Limits
from unseen.serving.model import Answer
from unseen.web import answers, evidence, fit, markup, pages, runs, trial
from unseen.web.pages import Shown
from unseen.web.shelf import MODEL, RUN, pick, shelf

NASTY = "<img src=x onerror=alert(1)>"
Results = Callable[..., dict[str, Any]]


# -- lists of folders --------------------------------------------------------------------------------------


def written(folder: Path, mark: str, age: int = 0) -> Path:
    folder.mkdir(parents=True)
    (folder / mark).write_text("{}")
    os.utime(folder / mark, (1000 - age, 1000 - age))
    return folder


def test_a_shelf_holds_what_lies_below_newest_first_and_follows_no_link(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    old, new = written(root / "a" / "old", RUN, age=5), written(root / NASTY, RUN)
    written(root / ".hidden", RUN)
    outside = written(tmp_path / "outside", RUN)
    (root / "linked").symlink_to(outside)
    (root / "half").mkdir()
    (root / "half" / RUN).symlink_to(outside / RUN)
    assert list(shelf([root], RUN).items()) == [(f"runs/{NASTY}", new), ("runs/a/old", old)]
    assert shelf([root, root / "a"], RUN).keys() == {f"runs/{NASTY}", "runs/a/old"}
    assert shelf([tmp_path / "absent"], RUN) == {}
    assert list(shelf([old], RUN).values()) == [old]


def test_two_folders_of_one_name_stay_apart(tmp_path: Path) -> None:
    a, b = (written(tmp_path / side / "runs" / "x", RUN, age) for side, age in (("a", 0), ("b", 1)))
    assert shelf([a.parent, b.parent], RUN) == {"runs/x": a, "runs/x (2)": b}


def test_names_that_are_not_on_the_list_and_folders_with_links_are_refused(tmp_path: Path) -> None:
    model = written(tmp_path / "models" / "m", MODEL)
    found = shelf([tmp_path / "models"], MODEL)
    assert pick(found, "models/m", "model") == model
    for name in ("../m", str(model), "", None, ["models/m"]):
        with pytest.raises(ValueError, match="model must be one of the list"):
            pick(found, name, "model")
    (model / "method").symlink_to("/etc")
    with pytest.raises(ValueError, match="holds a link"):
        pick(found, "models/m", "model")


# -- what fits ---------------------------------------------------------------------------------------------


def methods_of(page: str) -> tuple[set[str], set[str]]:
    """Slugs of those that fit, and of those that do not."""
    yes, _, no = page.partition("What does not fit, and why")
    return tuple(set(re.findall(r'system=([\w-]+)"', part)) for part in (yes, no))  # type: ignore[return-value]


def test_source_and_target_fit_adaptation_and_not_what_needs_support() -> None:
    yes, no = methods_of(fit.page(["source", "target"]))
    assert {"source-only", "coral", "glc", "shot"} <= yes
    assert {"linear-probe", "lisgan"} <= no
    assert not yes & no


def test_new_classes_and_a_two_tower_encoder_are_asked_for() -> None:
    words = ["source", "classes"]
    assert "lisgan" in methods_of(fit.page(words))[1]
    assert "lisgan" in methods_of(fit.page(words, new_classes=True))[0]
    assert "describe" in methods_of(fit.page(words))[1]
    assert "describe" in methods_of(fit.page(words, tower=True))[0]
    assert "describe" in methods_of(fit.page(words, "features", tower=True))[1]


@pytest.mark.parametrize(
    ("words", "kind", "tower", "expected"),
    [
        (["target", "source"], "image", False, "unseen compare --source photos --target sketches --out runs/mine"),
        (["support"], "text", True, "unseen compare --support few --encoder lite-clip --out runs/mine"),
        (["source"], "audio", True, "unseen compare --source photos --encoder clap:NAME --out runs/mine"),
        (["source"], "node", True, "unseen compare --source photos --encoder ENCODER --out runs/mine"),
        (["target", "model"], "image", False, ""),
    ],
)
def test_the_command_names_what_is_there(words: list[str], kind: str, tower: bool, expected: str) -> None:
    assert fit.command(words, kind, tower=tower) == expected


def test_nothing_ticked_and_nothing_labelled_say_what_to_do() -> None:
    assert "What to try first appears here" in fit.page([])
    assert "unseen needs labelled examples" in fit.page(["target", "model"])
    assert "unseen quantize" in fit.page(["model"])
    with pytest.raises(ValueError, match=r"words must be of .*'corpus'"):
        fit.situation(["corpus"])
    with pytest.raises(ValueError, match="kind must be one of"):
        fit.situation(["source"], "<b>")
    assert "kind must be one of" in fit.whole(["source"], "<b>")


def test_the_first_three_are_those_of_the_library_in_its_order() -> None:
    rows = unseen.recommend(fit.situation(["source", "target"]), kind="image")
    first = re.findall(r"<li>.*?<code>([\w:-]+)</code>", str(fit.page(["source", "target"])))
    assert first == [row.name for row in rows if row.fits][:3]
    named = unseen.recommend(fit.situation(["target", "classes"]))
    assert any(row.fits and row.slug == "describe" for row in named)


def test_what_did_worse_than_doing_nothing_is_not_to_be_tried_first() -> None:
    page = str(fit.page(["source", "target"], "features"))
    first = re.findall(r"<li>.*?<code>([\w:-]+)</code>", page)
    assert first == ["source-only"]
    assert "On recorded data like yours nothing gained over doing nothing" in page
    assert "points below doing nothing" in page.partition("What else fits")[2]
    assert "nothing gained" not in fit.page(["source", "target"], "audio")


# -- evidence ----------------------------------------------------------------------------------------------


def record(slug: str) -> dict[str, Any]:
    """A record in which every assertion but the first held, whatever the figures."""
    ledger = claims.get(slug).ledger
    lines = [
        {"text": one.text, "asked": one.holds.asked if one.holds else "", "experiment": one.experiment,
         "verdict": "held", "told": "+1"}
        for one in ledger
    ]  # fmt: skip
    return {
        "ledger": lines, "date": "2026-01-01", "split": "confirmation", "seeds": [100], "seconds": 3.0,
        "cases": {"e": []}, "machine": "x86_64", "versions": {"torch": "2"}, "command": f"reproduce {slug} --check",
        "rows": [["e", "case", 100, "arm", "accuracy", 0.25], ["e", "other", 100, "arm", "accuracy", 0.75]],
    }  # fmt: skip


def test_the_ledger_shows_every_assertion_and_what_did_not_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "loki.json").write_text(json.dumps(record("loki")))
    judged = [
        Standing(one, "held" if i else "not held", "+1" if i else f"-1 {NASTY}", (0.0, 0.0, 0.0), "explored")
        for i, one in enumerate(claims.get("loki").ledger)
    ]
    judged[1] = dataclasses.replace(judged[1], elsewhere=("another processor",))
    monkeypatch.setattr(evidence, "standings", lambda claim, records, log: judged)
    page = evidence.page("loki", tmp_path)
    n = len(claims.get("loki").ledger)
    assert page.count('<span class="verdict held">✓ held</span>') == n - 1 + 1  # the rows and the count above them
    assert page.count('<span class="verdict not-held">✗ not held</span>') == 1 + 1
    for assertion in claims.get("loki").ledger:
        assert markup.joined([assertion.text]) in page
    assert "On processors of type another processor: not held" in page
    assert NASTY not in page
    assert evidence.EXPLORED.split(".")[0] in page
    assert ">0.5</td>" in page  # the mean of both cases


def test_every_system_that_ships_has_a_line() -> None:
    assert len(evidence.shipped()) >= 30
    page = evidence.overview()
    for slug in evidence.shipped():
        assert f"/evidence?system={slug}" in page


@pytest.mark.slow
def test_what_ships_is_what_the_records_say() -> None:
    """After evidence was recorded, `make docs` writes it anew."""
    folder = Path(__file__).resolve().parents[2] / "docs" / "evidence"
    assert evidence.shipped() == {slug: evidence.summary(slug, folder) for slug in claims.slugs()}


def test_evidence_that_is_absent_or_damaged_is_said_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in (None, tmp_path, tmp_path / "absent"):  # what ships is shown then
        assert '<span class="verdict held">' in evidence.page("loki", folder)
    monkeypatch.setattr(evidence, "shipped", dict)
    assert "There is no record of it" in evidence.page("loki", tmp_path)
    assert "no claims of its own" in evidence.page("coral", tmp_path)
    (tmp_path / "loki.json").write_text("{")
    with pytest.raises(ValueError, match=r"loki\.json is damaged"):
        evidence.page("loki", tmp_path)
    with pytest.raises(ValueError, match="system must be one of"):
        evidence.page("../loki", tmp_path)


# -- two runs ----------------------------------------------------------------------------------------------


def test_equal_runs_are_compared_figure_by_figure(results: Results) -> None:
    second = copy.deepcopy(results())
    second["candidates"][0]["metrics"]["adapted"]["accuracy"]["mean"] = 0.655
    page = runs.page({"a": results(), "b": second})
    assert "Nothing but chance and time" in page
    assert "cannot be compared" not in page
    assert ">+5.5</td>" in page
    assert "★ 60.0 ± 1.0" in page.replace("\N{NO-BREAK SPACE}", " ")
    assert "coral" in page


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"classes": ["ant", "bee", "cat"]}, "the classes differ (1 only in the first, 2 only in the second)"),
        ({"exam": {"adapted": {"samples": 9, "hash": "bb", "openings": 1}}}, "graded on other samples or labels"),
    ],
)
def test_runs_of_other_data_or_classes_carry_a_warning_and_no_difference(
    results: Results, changes: dict[str, Any], why: str
) -> None:
    page = runs.page({"a": results(), "b": results(**changes)})
    assert why in page
    assert "second minus first" not in page


def test_three_runs_stand_on_one_scale(results: Results) -> None:
    blind = results(exam={}, references={}, protocol=None)
    blind["estimate"] = {
        "accuracy": 0.7,
        "interval": [0.5, 0.9],
        "unanimous": 0.3,
        "labels": 0,
        "coverage": {"measured": 0.9},
    }
    for row in blind["candidates"]:
        row["metrics"] = {}
    page = str(runs.page({"a": results(), "b": results(), "c": blind}))
    assert page.count('class="dot chosen"') == 2
    assert 'class="ring" cx="70.00%"' in page
    assert 'x1="50.00%" x2="90.00%"' in page
    assert "a and c: The figures cannot be compared: only one of them has labels" in page
    assert "a and b:" not in page


def test_a_run_without_labels_has_votes_and_no_accuracy(results: Results) -> None:
    blind = results(exam={}, references={}, protocol=None)
    for row in blind["candidates"]:
        row["metrics"] = {}
    page = runs.page({"a": results(), "b": blind})
    assert "only one of them has labels" in page
    assert "★ 1.00" in page


def test_one_folder_is_the_same_one_whatever_reads_it(results: Results) -> None:
    """Digests of features change with the precision of the encoder; those of the files do not."""
    config = {"given": {"source": "f" * 16, "target": "g" * 16}}
    exact = results(config=config | {"data": {"source": "1" * 16, "target": "2" * 16}}, settings={"precision": "fp32"})
    rounded = results(
        config=config | {"data": {"source": "3" * 16, "target": "4" * 16}}, settings={"precision": "auto"}
    )
    assert runs.differences([exact, rounded]) == [["precision", "fp32", "auto"]]
    blind = [{**run, "exam": {}, "references": {}, "protocol": None} for run in (exact, rounded)]
    assert runs.apart(*blind) == []
    other = results(
        config={**exact["config"], "data": {"source": "9" * 16, "target": "2" * 16}}, settings={"precision": "fp32"}
    )
    assert runs.differences([exact, other]) == [["source, read with its labels", "1" * 8, "9" * 8]]


def test_the_table_shows_the_figure_that_the_reason_quotes(results: Results) -> None:
    blind = results(exam={}, references={}, protocol=None)
    blind["chosen"] = {"name": "coral", "why": "coral was chosen by it (91.7 %).", "by": ["crafted validation"]}
    blind["given"] = {"source": {"name": "photos", "samples": 9}}
    for row in blind["candidates"]:
        row["metrics"], row["validators"] = {}, {"crafted validation": {"mean": 0.9166666}}
    page = runs.page({"a": blind, "b": blind})
    assert "★ 91.7 %" in page
    assert "no data of yours was given to grade it by" in page
    alone = runs.page({"a": blind})
    assert "91.7 %" in alone
    assert "score without labels" in alone


def test_names_in_runs_are_text(results: Results) -> None:
    page = runs.page({NASTY: results(), "b": results(given={"source": {"name": NASTY, "samples": 1}})})
    assert "<img" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page


def test_a_run_that_cannot_be_read_is_a_sentence_without_its_path(results: Results, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"the run {tmp_path.name} cannot be read: FileNotFoundError"):
        runs.read(tmp_path)
    (tmp_path / RUN).write_text(json.dumps({"schema": 1, "given": {}}))
    with pytest.raises(ValueError, match="lacks classes, labels"):
        runs.read(tmp_path)
    (tmp_path / RUN).write_text(json.dumps(results()))
    assert runs.read(tmp_path) == results()


# -- a model on a sample -----------------------------------------------------------------------------------


@pytest.fixture
def vectors(tmp_path: Path) -> Path:
    """A saved model of 3 features and 3 classes."""
    classes = ClassSpace(names=("ant", "bee", NASTY))
    y = np.arange(60) % 3
    x = (np.eye(3)[y] * 4 + np.random.default_rng(0).normal(size=(60, 3))).astype("float32")
    method = get("source-only")().fit(source=Domain(x=x, y=y, classes=classes))
    return Bundle(method=method, classes=classes, threshold=0.9).save(tmp_path / "model")


def test_a_model_is_read_once_until_it_is_written_anew(vectors: Path) -> None:
    models = trial.Models(Limits())
    first = models.open(vectors)
    assert models.open(vectors) is first
    os.utime(vectors / MODEL, (5, 5))
    assert models.open(vectors) is not first


def test_a_vector_gets_its_classes_and_a_wrong_one_a_sentence(vectors: Path) -> None:
    models = trial.Models(Limits())
    answer = models.answer(vectors, "0, 0 4")
    assert (answer.name, len(answer.top)) == (NASTY, 3)
    for wrong, why in (
        ("1 2", "3 numbers; it has 2"),
        ("a b c", "^'a' is no number: give numbers with commas or spaces between$"),
        ("1,5;2,3", "^'5;2' is no number"),
        ("1 2 nan", "no finite"),
    ):
        with pytest.raises(ValueError, match=why):
            models.answer(vectors, wrong)
    with pytest.raises(ValueError, match="must have 3 numbers"):
        models.answer(vectors, "1 2 3" + " " * 10**6)
    with pytest.raises(ValueError, match="the model reads features"):
        models.answer(vectors, b"png")


def test_bars_doubts_and_names_are_shown_as_text() -> None:
    page = answers.told(Answer(NASTY, 0.5, True, ((NASTY, 0.5), ("bee", 0.25))))
    assert "Not sure: it may be none of these" in page
    assert "<img" not in page
    assert '<meter min="0" max="1" value="0.2500">' in page
    assert "Not sure" not in answers.told(Answer("bee", 1.0, False, (("bee", 1.0),)))


# -- models that name no classes ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from saved_kinds import forecaster, matcher, ranker, segmenter, tagger

    home = tmp_path_factory.mktemp("rooms")
    for make in (forecaster, matcher, ranker, segmenter, tagger):
        make(home)
    return home


def test_models_that_answer_about_one_sample_are_on_the_list_and_others_are_not(rooms: Path) -> None:
    shown = Shown(runs=rooms / "none", models=rooms, evidence=None, limits=Limits(), trust=False)
    assert {folder.name for folder in shown.saved().values()} == {"forecaster", "ranker", "segmenter", "tagger"}


@pytest.mark.parametrize(
    ("name", "kind", "sample", "said"),
    [
        ("tagger", "text", "because the risk rises .", ["<li>"]),
        ("ranker", "text", "cat 1", ["<li>1. ", "<li>2. "]),
        ("segmenter", "image", "png", ['<img class="mask"', 'fill="#']),
        (
            "forecaster",
            "series",
            "csv",
            ["y0: 4 points", '<polygon class="band"', "<summary>Numbers</summary>"],
        ),
    ],
)
def test_what_names_no_classes_is_tried_in_its_own_way(
    name: str, kind: str, sample: str, said: list[str], rooms: Path
) -> None:
    made: dict[str, bytes | str] = {"csv": example(rooms / "forecaster"), "png": white()}
    shown = Shown(runs=rooms / "none", models=rooms, evidence=None, limits=Limits(), trust=False)
    chosen = next(key for key, folder in shown.saved().items() if folder.name == name)
    about, served = shown.model(chosen)
    assert served is not None
    assert served.kind == kind
    assert "The model, a " in about
    answer = shown.answer(chosen, made.get(sample, sample))
    assert all(word in answer for word in said), answer
    assert "notice" not in answer
    wrong = shown.answer(chosen, b"\xff\xfe" if kind in ("image", "series") else "")
    assert ("notice" in wrong) is (kind in ("image", "series"))
    if kind == "text":
        assert "the field has no text: write or paste one to try" in shown.answer(chosen, "  ")


def test_results_of_other_commands_are_no_runs_and_a_broken_run_leaves_the_others(
    tmp_path: Path, results: Callable[..., dict[str, Any]]
) -> None:
    for name, content in {"good": results(), "nodes": {"nodes": 9, "classes": ["a"]}, "old": results(schema=0)}.items():
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / RUN).write_text(json.dumps(content))
    shown = Shown(runs=tmp_path / "runs", models=tmp_path, evidence=None, limits=Limits(), trust=False)
    assert shown.runs().keys() == {"runs/good", "runs/old"}
    page = shown.compared(["runs/old", "runs/good"])
    assert "runs/old is left out: results must have schema 1" in page
    assert "It was the best" in page
    assert "is left out" in shown.compared(["runs/old"])


def test_commands_in_sentences_are_set_as_commands() -> None:
    lines = ["It is done.", f"`unseen verify` measures it. {NASTY}", "And `this`.", "`unseen label` says which."]
    nothing = dict.fromkeys(("job", "problem", "picture", "report", "model", "advice"), "")
    page = pages.filled("run.html", name="a", summary=lines, **nothing)
    for command in ("unseen verify", "this", "unseen label"):
        assert f"<code>{command}</code>" in page
    assert "`" not in page
    assert NASTY not in page
    assert markup.paragraph("see `unseen methods`") == '<p class="">see <code>unseen methods</code></p>'
    assert "<code>b</code>" in markup.items(["a `b`"])


def test_cells_of_runs_take_no_place_of_a_model_on_the_list(rooms: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("unseen.web.shelf.MOST", 3)
    shutil.copytree(rooms / "tagger", tmp_path / "old")
    for i in range(4):
        cell = written(tmp_path / f"run{i}" / "cells" / "a", "state.json")
        (cell.parents[1] / RUN).write_text("{}")
        (tmp_path / f"run{i}" / "state.json").write_text("{}")
    os.utime(tmp_path / "old" / "tagger.json", (1, 1))
    shown = Shown(runs=tmp_path / "none", models=tmp_path, evidence=None, limits=Limits(), trust=False)
    assert [folder.name for folder in shown.saved().values()] == ["old"]


def test_a_line_of_a_model_is_shown_as_text() -> None:
    page = answers.told([{"answer": NASTY, "mask": "aGk=", "colours": {NASTY: NASTY}}])
    assert NASTY not in page
    told = {"answer": NASTY, "series": NASTY, "channel": NASTY, "time": NASTY, "forecast": 1.0, "low": None}
    page = answers.told([told, told | {"series": "b"}])
    assert NASTY not in page
    assert "&lt;img" in page


def white() -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (40, 40), "white").save(content, "PNG")
    return content.getvalue()

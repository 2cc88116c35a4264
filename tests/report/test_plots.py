"""The geometry of the charts, by hand."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, strategies

from unseen.report import plots


def _results(fake: ModuleType, folder: Path, **case: Any) -> dict[str, Any]:
    return json.loads((fake.write_fake_run(folder / "run", **case) / "results.json").read_text())


def _predictions(rows: list[tuple[str | None, str | None]]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"id": str(i), "part": "adapted", "truth": t, "prediction": p, "probability": 0.5}
            for i, (t, p) in enumerate(rows)
        ]
    )


def test_ticks_are_round_and_few() -> None:
    assert plots.ticks(1.0) == [0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert plots.ticks(0.3) == [0, 0.1, 0.2, 0.3]


@given(strategies.floats(0.1, 1.0))
def test_ticks_stay_on_the_axis(upper: float) -> None:
    places = plots.ticks(upper)
    assert 2 <= len(places) <= 6
    assert 0 == places[0] < places[-1] <= upper + 1e-6


@given(strategies.lists(strategies.floats(0, 1), min_size=1, max_size=20))
def test_the_axis_holds_every_value(values: list[float]) -> None:
    bottom, top, step = plots._span(values)
    assert 0 <= bottom <= min(values)
    assert max(values) <= top + 1e-9
    assert top - bottom >= step - 1e-9
    assert plots.reach(values) >= max(values)


@pytest.mark.parametrize("x", [0.0, 0.05, 0.21, 0.5, 0.69, 0.763, 0.79, 0.95, 1.0])
def test_the_longest_label_stays_on_the_page_of_a_phone(x: float) -> None:
    [mark] = plots._tiers([{"label": "ceiling (learnt the labels) 76.3 %", "x": x}])
    width = 217 / 355  # of a page of 390 pixels, as Chromium draws it; the margins are 17 wide
    left = x - {"start": 0, "middle": width / 2, "end": width}[mark["anchor"]]
    assert -17 / 355 < left < left + width < 1 + 17 / 355


@given(strategies.lists(strategies.floats(0, 1), min_size=1, max_size=3))
def test_labels_on_the_scale_never_meet(places: list[float]) -> None:
    marks = plots._tiers([{"label": "source-only 43.6 %", "x": x} for x in places])
    spans = []
    for mark in marks:
        width = plots._width(mark["label"]) / plots._NARROW
        left = mark["x"] - {"start": 0, "middle": width / 2, "end": width}[mark["anchor"]]
        spans.append((mark["tier"], left, left + width))
    for i, a in enumerate(spans):
        for b in spans[:i]:
            assert a[0] != b[0] or a[1] > b[2] or b[1] > a[2]


def test_a_bar_ends_at_the_mean_and_its_whisker_is_the_recorded_interval(fake: ModuleType, tmp_path: Path) -> None:
    results = _results(fake, tmp_path)
    drawn = plots.bars(results)
    upper = drawn["ticks"][1]["label"]  # the label of the second tick is where it stands, in per cent
    scale = float(upper) / 100 / drawn["ticks"][1]["x"]
    spread = results["candidates"][2]["metrics"]["adapted"]["accuracy"]
    assert drawn["rows"][2]["adapted"]["mean"] * scale == pytest.approx(spread["mean"])
    assert [w * scale for w in drawn["rows"][2]["adapted"]["whisker"]] == pytest.approx(spread["interval"])
    assert {r["kind"]: r["x"] * scale for r in drawn["references"]}["ceiling"] == pytest.approx(0.81)


def test_without_labels_bars_are_votes(fake: ModuleType, tmp_path: Path) -> None:
    drawn = plots.bars(_results(fake, tmp_path, labels=False))
    assert drawn["label"] == "score without labels"
    assert [row["adapted"]["mean"] for row in drawn["rows"]][:1] == [1.0]
    assert drawn["references"] == []


def test_scatter_labels_meet_no_dot_and_stay_inside(fake: ModuleType, tmp_path: Path) -> None:
    drawn = plots.scatter(_results(fake, tmp_path))
    assert drawn is not None
    assert all(0 <= dot["x"] <= 1 and 0 <= dot["y"] <= 1 for dot in drawn["dots"])
    chosen = next(dot for dot in drawn["dots"] if dot["row"]["chosen"])
    assert chosen["label"] is not None
    assert plots.scatter(_results(fake, tmp_path / "one", candidates=1)) is None


def test_confusions_are_counted_and_sorted() -> None:
    rows = plots.folded(_predictions([("a", "a"), ("a", "b"), ("a", "b"), ("b", "a"), ("b", "b")]), ["a", "b", "c"])
    found = plots.confusion(rows, ["a", "b", "c"])
    assert found is not None
    assert found["names"] == ["a", "b"]
    assert found["wrong"] == 3
    assert found["top"] == [
        {"truth": "a", "prediction": "b", "count": 2, "of": 3},
        {"truth": "b", "prediction": "a", "count": 1, "of": 2},
    ]
    assert len(found["matrix"]["cells"]) == 4


def test_classes_that_no_model_knows_are_one_and_rejection_of_them_is_right() -> None:
    rows = plots.folded(_predictions([("x", None), ("y", "a"), ("a", None), ("a", "a")]), ["a"])
    assert rows["right"].tolist() == [True, False, False, True]
    table = plots.per_class(rows)
    assert [(row["name"], row["right"], row["samples"]) for row in table] == [
        (plots.UNKNOWN, 1, 2),
        ("a", 1, 2),
    ]
    assert table[0]["mistake"] == {"name": "a", "count": 1}


def test_samples_without_truth_are_left_out_of_the_grading() -> None:
    assert plots.confusion(plots.folded(_predictions([(None, "a")]), ["a"]), ["a"]) is None


def test_the_hardest_class_is_first() -> None:
    rows = plots.folded(_predictions([("a", "a"), ("b", "a"), ("c", "c"), ("c", "a")]), ["a", "b", "c"])
    assert [row["name"] for row in plots.per_class(rows)] == ["b", "c", "a"]


def test_many_classes_have_a_matrix_without_names_and_very_many_none() -> None:
    names = [str(i) for i in range(300)]
    rows = plots.folded(_predictions([(name, name) for name in names[:60]]), names)
    found = plots.confusion(rows, names)
    assert found is not None
    assert found["matrix"]["labels"] == []
    found = plots.confusion(plots.folded(_predictions([(name, name) for name in names]), names), names)
    assert found is not None
    assert found["matrix"] is None


def test_predicted_shares_sum_to_one() -> None:
    table = plots.predicted(_predictions([(None, "a"), (None, "a"), (None, None), (None, "b")]))
    assert table[0]["name"] == "a"
    assert sum(row["share"] for row in table) == pytest.approx(1)
    assert {row["name"] for row in table} == {"a", "b", plots.UNKNOWN}


def test_maps_keep_every_sample_inside_and_distances_alike(fake: ModuleType, tmp_path: Path) -> None:
    folder = fake.write_fake_run(tmp_path / "run")
    places = pd.read_parquet(folder / "map.parquet")
    drawn = plots.maps(places)
    assert drawn is not None
    for stage in drawn["stages"]:
        paths = stage["paths"]
        assert sum(path["d"].count("M") for path in paths) == 800
        numbers = [
            float(v)
            for path in paths
            if path["domain"] == "target"
            for v in path["d"][1:-2].replace("h0M", " ").split()
        ]
        assert 0 < min(numbers) < max(numbers) < plots.SIDE
    assert len(drawn["legend"]) == plots.COLOURS
    assert drawn["classes"] == 8


def test_a_map_of_one_place_does_not_divide_by_zero() -> None:
    row = {"stage": "before", "x": 3.0, "y": 3.0, "domain": "target", "class": ""}
    drawn = plots.maps(pd.DataFrame([row, row]))
    assert drawn is not None
    assert drawn["stages"][0]["paths"][0]["d"] == "M200.0 200.0h0M200.0 200.0h0"

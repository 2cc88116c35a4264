"""The studies behind defaults: their pages are made from their figures, and constants are theirs."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest

from unseen.compare import estimate
from unseen.compare.choice import GOOD_ENOUGH, SPREADS
from unseen.compare.consensus import FEWEST_LABELS
from unseen.validation.choice import SPREAD

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


@pytest.fixture
def study(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("shifts.study")


@pytest.fixture(scope="module")
def rows():
    return json.loads((DOCS / "choosing.json").read_text())


@pytest.fixture(scope="module")
def fresh():
    return json.loads((DOCS / "choosing-fresh.json").read_text())


@pytest.mark.slow
def test_the_pages_have_the_tables_of_the_figures(study, rows, fresh):
    page, behind = ((DOCS / name).read_text() for name in ("choosing.md", "choosing-study.md"))
    confirming = json.loads((DOCS / "choosing-fresh-tables.json").read_text())
    large = json.loads((DOCS / "choosing-large.json").read_text())
    for name, table in study.tables(rows, fresh, confirming, large).items():
        assert f"<!-- {name} -->\n{table}\n<!-- end -->" in page + behind, name


def test_means_of_what_was_opened_once_are_those_of_its_families(study):
    page, behind = ((DOCS / name).read_text() for name in ("choosing.md", "choosing-study.md"))
    told = study.opened_once(behind)
    assert study.table_in(page, "opened once") == told
    assert len(told.splitlines()) == 2 + len(study.OPENED)
    assert "| encoded data, 4 families | 17 | 0.453 |" in told


def test_the_estimate_is_the_measured_one(study, rows, fresh):
    fit = study.estimates([*rows, *fresh])
    assert fit["start"] == pytest.approx(estimate.AT_NOTHING, abs=1e-3)
    assert fit["slope"] == pytest.approx(estimate.SLOPE, abs=1e-3)
    for kind in (True, False):
        assert fit["errors"][kind] == pytest.approx(estimate.ERRORS[kind], abs=1e-3)
        assert fit["measured"][kind] == pytest.approx(estimate.MEASURED[kind], abs=0.005)
        assert fit["measured"][kind] >= 0.8


def test_the_spread_of_reverse_validation_is_the_measured_one(study, rows, fresh):
    for validator, believed in SPREADS.items():
        assert study.spreads([*rows, *fresh], validator)[0] == pytest.approx(believed, abs=0.005)
    assert max(SPREADS.values()) == SPREAD


def test_the_spread_by_hand(study):
    row = made("a", {"source-only": 0.5, "coral": 0.7, "consensus": 0.9}, right=0.8)  # off by .3 and .1
    assert study.spreads([row, row], "source validation") == pytest.approx((0.05**0.5, 0.1))


def test_care_is_that_of_nearly_every_part_of_the_families(study, rows):
    found = study.threshold_left_out(rows)
    assert len(found) == 23
    assert np.mean([value == GOOD_ENOUGH for value in found.values()]) > 0.8


def test_how_few_labels_are_too_few_is_that_of_nearly_every_part_of_the_families(study, rows):
    found = study.fewest_left_out(rows)
    assert np.mean([value == FEWEST_LABELS for value in found.values()]) > 0.9
    have = study.shown_with(rows, "1")
    nothing = np.array([study.without_labels(row, "1") for row in have])
    every = np.array([study.with_labels(row, "1", 0) for row in have])
    ours = np.array([study.with_labels(row, "1", found[row["family"]]) for row in have])
    assert study.mean(have, ours) > study.mean(have, every)
    assert study.mean(have, ours < nothing - study.HARM) < 0.75 * study.mean(have, every < nothing - study.HARM)


def test_a_handful_of_labels_by_hand(study):
    row = made("a", {"source-only": 0.5, "consensus": 0.6}, tags=("pictures",))
    row["shown"] = {"3": {"source-only": 0.5, "consensus": 0.7, "consensus without labels": 0.6}}
    assert study.with_labels(row, "3") == 0.6  # two classes: six labels
    assert study.with_labels(row | {"classes": 3}, "3") == 0.7
    assert study.with_labels(row | {"tags": ["table"]}, "3") == 0.7


def test_what_compare_does_harms_in_less_than_one_of_twenty(study, rows):
    floor = np.array([study.accuracy(row, study.NOTHING) for row in rows])
    reached = np.array([study.accuracy(row, study.careful(row, GOOD_ENOUGH)) for row in rows])
    assert study.mean(rows, reached < floor - study.HARM) < 0.05


def made(family, accuracies, right=0.9, sure=0.5, tags=("table",)):
    candidates = {key: {"accuracy": value, "source validation": right} for key, value in accuracies.items()}
    about = {"family": family, "tags": list(tags), "classes": 2, "unanimous": 0.25, "sure": sure}
    return about | {"candidates": candidates}


def test_a_family_counts_once_however_many_cases_it_has(study):
    rows = [{"family": "a"}, {"family": "a"}, {"family": "b"}]
    assert study.mean(rows, [0.0, 1.0, 1.0]) == pytest.approx(0.75)


def test_the_rule_by_hand(study):
    accuracies = {"source-only": 0.5, "coral": 0.7, "consensus": 0.6}
    assert study.careful(made("a", accuracies, sure=0.8), 0.8) == "source-only"
    assert study.careful(made("a", accuracies, sure=0.6), 0.8) == "consensus"
    assert study.careful(made("a", accuracies, right=0.6, sure=0.9), 0.8) == "consensus"
    assert study.careful(made("a", accuracies, sure=0.9, tags=("pictures",)), 0.8) == "consensus"
    assert study.singles(made("a", accuracies)) == ["source-only", "coral"]


@pytest.mark.parametrize(("name", "page"), [("toolbox", "adaptation.md"), ("generalization", "unseen-domains.md")])
def test_pages_have_the_tables_of_what_was_run(monkeypatch, name, page):
    monkeypatch.syspath_prepend(str(DOCS))
    module = importlib.import_module(f"{name}_study")
    table = module.table(json.loads(module.FILE.read_text()))
    assert f"<!-- {name} -->\n{table}\n<!-- end -->" in (DOCS / page).read_text()


def test_what_few_labels_are_worth_is_told_by_its_figures(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS.parent / "benchmarks"))
    from shifts import few_labels_tables as study

    rows = json.loads((DOCS / "few-labels.json").read_text())
    page = (DOCS / "choosing-study.md").read_text()
    for name, table in study.tables(rows).items():
        assert f"<!-- {name} -->\n{table}\n<!-- end -->" in page, name
    learnt = [row for row in rows if row["family"] in study.LEARNT_ON]
    fresh = [row for row in rows if row["family"] in study.KEPT_BACK]
    for part in (learnt, fresh):  # the choice that was, and plain logistic regression, are below what is done now
        reached = {name: sum(study.means(part, rule).values()) for name, rule in study.RULES.items()}
        now = next(value for name, value in reached.items() if name.startswith("**"))
        assert all(now >= value for value in reached.values())


def test_few_labels_choose_by_hand(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS.parent / "benchmarks"))
    from shifts.few_labels_tables import by_labels

    row = {"accuracy": {"a": 0.5, "b": 0.7}, "left out": {"a": 0.5, "b": 0.6}, "graded": 25}
    assert by_labels(("a", "b"))(row) == 0.7
    assert by_labels(("a", "b"), "a", 1.0)(row) == 0.5  # 0.1 is one standard error of 0.5 on 25 labels
    assert by_labels(("a", "b"), "a", 0.9)(row) == 0.7
    assert by_labels(("a", "b"))({**row, "left out": {}}) == 0.5


def test_intervals_of_pairs_are_over_styles(monkeypatch):
    """Pairs that a style decides are no 20 units: the interval is as wide as that of a few styles."""
    monkeypatch.syspath_prepend(str(DOCS))
    module = importlib.import_module("toolbox_study")
    gains = {(a, b): float(b == "c") for a in "abcde" for b in "abcde" if a != b}
    low, high = module.over_styles(gains)
    assert low == 0
    assert high > 0.4
    assert module.over_styles({("all", "the", "others", b): float(b == "c") for b in "abcde"})[0] == 0

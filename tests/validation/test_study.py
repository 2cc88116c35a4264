"""The study behind the default choice: its page is made from its figures, and its constants are theirs."""

import importlib.util
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from unseen.compare.estimate import ERROR, MEASURED

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def study():
    spec = importlib.util.spec_from_file_location("choice_study", DOCS / "choice_study.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["choice_study"] = module  # its dataclass looks itself up there
    spec.loader.exec_module(module)
    yield module
    del sys.modules["choice_study"]


@pytest.fixture(scope="module")
def cases():
    return json.loads((DOCS / "choice_study.json").read_text())


@pytest.mark.slow
def test_the_page_has_the_tables_of_the_figures(study, cases):
    page = (DOCS / "choosing.md").read_text()
    for name, table in study.tables(cases).items():
        assert f"<!-- {name} -->\n{table}\n<!-- end -->" in page, name


@pytest.mark.parametrize(("name", "page"), [("toolbox", "adaptation.md"), ("generalization", "unseen-domains.md")])
def test_pages_have_the_tables_of_what_was_run(monkeypatch, name, page):
    monkeypatch.syspath_prepend(str(DOCS))
    module = importlib.import_module(f"{name}_study")
    table = module.table(json.loads(module.FILE.read_text()))
    assert f"<!-- {name} -->\n{table}\n<!-- end -->" in (DOCS / page).read_text()


def test_intervals_of_pairs_are_over_styles(monkeypatch):
    """Pairs that a style decides are no 20 units: the interval is as wide as that of a few styles."""
    monkeypatch.syspath_prepend(str(DOCS))
    module = importlib.import_module("toolbox_study")
    gains = {(a, b): float(b == "c") for a in "abcde" for b in "abcde" if a != b}
    low, high = module.over_styles(gains)
    assert low == 0
    assert high > 0.4
    assert module.over_styles({("all", "the", "others", b): float(b == "c") for b in "abcde"})[0] == 0


def test_the_error_of_the_interval_is_the_measured_one(study, cases):
    seen = [case for case in cases if case["part"] in ("emoji styles", *study.TABLES)]
    assert len(seen) == 36
    off = np.abs(study.errors(seen, only_chosen=True)[study.ESTIMATE])
    assert np.quantile(off, 0.9, method="higher") == pytest.approx(ERROR, abs=0.001)


def test_the_measured_coverage_is_that_of_the_other_cases(study, cases):
    rest = [case for case in cases if case["part"] not in ("emoji styles", *study.TABLES)]
    assert len(rest) == 88
    assert study.coverage(rest, only_chosen=True) == pytest.approx(MEASURED, abs=0.005)


def test_the_harm_that_the_page_tells_is_that_of_all_cases_without_a_part_in_the_design(study, cases):
    own = [case for case in cases if case["part"] not in ("emoji styles", *study.TABLES)]
    found = [study.judged(own, rule) for rule in list(study.rules().values())[:3]]
    assert len(own) == 88
    assert [round(got["harm"] * 88) for got in found] == [0, 5, 0]
    assert [round(100 * got["gain"], 1) for got in found] == [10.2, 10.2, 6.6]
    page = (DOCS / "choosing.md").read_text()
    assert "the default harms none and gains 10.2 points over `source-only`" in page
    assert "Without care it would harm 5 (6 %) and gain 10.2; with care everywhere none and 6.6." in page


def test_regret_and_harm_by_hand(study):
    scores = {"source-only": (0.5, 1.0), "a": (0.7, 2.0), "b": (0.4, 3.0)}
    case = {
        "part": "by hand",
        "samples": {"source": 10, "exam": 8},
        "learns back": study.NEIGHBOURS,
        "candidates": {
            n: {"accuracy": a, "validators": {study.NEIGHBOURS: v, study.REVERSE: 0.0}} for n, (a, v) in scores.items()
        },
    }
    got = study.judged([case], lambda v, n, encoded: v[study.BACK])
    assert got["regret"] == pytest.approx(0.3)
    assert got["worst"] == pytest.approx(-0.1)
    assert got["harm"] == 1
    assert study.judged([case], None)["accuracy"] == 0.7


def test_rounds_have_each_domain_once_as_source_and_once_as_target(study):
    found = study.pairs("by hand", [SimpleNamespace(name=name) for name in "abcde"])
    assert len(found) == len({case.name for case in found}) == 20
    for start in range(0, 20, 5):
        one = found[start : start + 5]
        assert {case.source.name for case in one} == {case.target.name for case in one} == set("abcde")


def test_rank_correlation_by_hand(study):
    def case(scores, accuracies):
        rows = {i: {"accuracy": a, "validators": {"v": s}} for i, (s, a) in enumerate(zip(scores, accuracies))}
        return {"candidates": rows}

    same, reverse = case((1, 2, 3), (0.1, 0.5, 0.6)), case((3, 2, 1), (0.1, 0.5, 0.6))
    half = case((1, 3, 2), (0.1, 0.5, 0.6))
    assert study.ranked([same], "v") == pytest.approx(1)
    assert study.ranked([same, reverse], "v") == pytest.approx(0)
    assert study.ranked([half], "v") == pytest.approx(0.5)  # 1 - 6 * 2 / (3 * 8)


def test_crafted_validation_stands_for_every_candidate_of_a_case_or_for_none(study, cases):
    asked = [case for case in cases if any(study.CRAFTED in row["validators"] for row in case["candidates"].values())]
    assert asked
    assert all(study.has_crafted(case) and case["part"] in study.CRAFTED_PARTS for case in asked)

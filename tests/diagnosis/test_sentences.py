"""What the diagnosis says of methods, and which class shares it shows, against the recorded benchmark."""

import importlib.util
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture(scope="module")
def study():
    spec = importlib.util.spec_from_file_location("diagnosis_study", DOCS / "diagnosis_study.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def gains(study):
    return study.gains()


def test_the_page_has_the_tables_of_the_study(study):
    page = (DOCS / "trust.md").read_text(encoding="utf-8")
    for table in (study.table_of_gains(), study.table_of_shares()):
        assert "\n".join(table) in page


def test_doing_nothing_is_hard_to_beat_where_nothing_tells_the_domains_apart(study, gains):
    assert max(gains["told apart: AUC below 0.6"][method][0] for method in study.METHODS) < 0


def test_single_methods_lose_more_often_than_they_gain_where_domains_differ_in_part(study, gains):
    found = gains["told apart: AUC 0.6 to 0.9"]
    assert all(found[method][0] < 0 and found[method][1] > 0.5 for method in study.METHODS)


def test_methods_gain_more_often_than_they_lose_where_nearly_every_sample_shows_its_side(study, gains):
    found = gains["told apart: AUC 0.9 and more"]
    assert all(found[method][0] > 0 and found[method][1] < 0.5 for method in study.METHODS)


@pytest.mark.parametrize("method", ["standardize", "coral"])
def test_aligning_averages_gains_where_the_average_moves_far_and_where_it_wins_neighbours_back(gains, method):
    assert gains["the average moves by half and more"][method][0] > 0.03
    assert abs(gains["the average moves by less than half"][method][0]) < 0.01
    mean, lost = gains["aligning wins neighbours back"][method]
    assert mean > 0.03
    assert lost < 0.25
    mean, lost = gains["neighbours as in the source"][method]
    assert mean < 0
    assert lost > 0.35


def test_no_method_mends_reliably_what_aligning_does_not(study, gains):
    found = gains["neighbours are lost, aligning does not help"]
    assert all(found[method][1] > 0.35 for method in study.METHODS)


def test_the_choice_gains_whatever_is_said(gains):
    assert all(
        found["what compare chooses"][0] > 0 and found["what compare chooses"][1] <= 0.06 for found in gains.values()
    )

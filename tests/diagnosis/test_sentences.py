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


def test_the_page_has_the_tables_of_the_study(study):
    page = (DOCS / "trust.md").read_text(encoding="utf-8")
    for table in (study.table_of_gains(), study.table_of_shares()):
        assert "\n".join(table) in page


@pytest.fixture(scope="module")
def left_out(study):
    """The gains with each family left out in its turn, and with all."""
    families = sorted({family for family, _ in study.pairs()})
    return [
        {sentence: gain.by_method for sentence, gain in study.gains(family).items()} for family in (None, *families)
    ]


def test_doing_nothing_is_hard_to_beat_where_nothing_tells_the_domains_apart(study, left_out):
    for gains in left_out:
        assert max(gains["told apart: AUC below 0.6"][method][0] for method in study.METHODS) < 0.01


def test_no_single_method_gains_in_the_mean_where_domains_differ_in_part(study, left_out):
    for gains in left_out:
        assert max(gains["told apart: AUC 0.6 to 0.9"][method][0] for method in study.METHODS) < 0


def test_methods_gain_more_often_than_they_lose_where_nearly_every_sample_shows_its_side(study, left_out):
    for gains in left_out:
        found = gains["told apart: AUC 0.9 and more"]
        assert all(found[method][0] > 0 and found[method][1] < 0.4 for method in study.METHODS)


@pytest.mark.parametrize("method", ["standardize", "coral"])
def test_aligning_gains_where_the_average_moves_far_and_where_it_wins_neighbours_back(left_out, method):
    for gains in left_out:
        assert gains["the average moves by half and more"][method][0] > 0.03
        assert gains["the average moves by less than half"][method][0] < 0.03
        assert gains["aligning wins neighbours back"][method][0] > 0.02
        assert gains["neighbours as in the source"][method][0] < 0.01


def test_the_choice_gains_whatever_is_said_but_where_there_is_nothing_to_gain_by_one_family_alone(left_out):
    for gains in left_out:
        found = {sentence: row["what compare chooses"][0] for sentence, row in gains.items()}
        assert found.pop("told apart: AUC below 0.6") >= 0
        assert min(found.values()) > 0.01
    whole = [row["what compare chooses"] for row in left_out[0].values()]
    assert all(mean > 0 and lost <= 0.06 for mean, lost in whole)

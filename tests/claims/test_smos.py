"""SMOS's claim: outlines, kinds of styles, cases that share nothing, and conditions whose intervals count."""

import itertools

import numpy as np
import pandas as pd
import pytest

from unseen.claims.conditions import at_least
from unseen.claims.drawings import VENDORS
from unseen.claims.smos import (
    ABSTRACT,
    PRECURSOR,
    abstract,
    claim,
    followers,
    go_together,
    in_order,
    outlined,
    surely,
    vendor,
)
from unseen.diagnosis.stylistic import Measure


def measure(value: float) -> Measure:
    return Measure(value, value - 0.1, value + 0.1, {}, (), True, 1)


def test_outlines_are_black_on_white_where_brightness_changes() -> None:
    picture = np.ones((1, 3, 32, 32), dtype=np.float32)
    picture[:, 0, 8:24, 8:24] = 0.2
    lines = outlined(picture)
    assert set(np.unique(lines)) == {0, 1}
    assert not lines[0, :, 8, 10:20].any()
    assert lines[0, :, 12:20, 12:20].all()
    assert outlined(np.full((1, 3, 32, 32), 0.4, dtype=np.float32)).all()


def test_no_vendor_is_in_two_splits_or_the_precursors() -> None:
    assert not {*VENDORS["development"]} & {*VENDORS["confirmation"]}
    assert PRECURSOR not in {*VENDORS["development"], *VENDORS["confirmation"]}
    assert {*ABSTRACT} <= {*VENDORS["confirmation"]}


@pytest.mark.parametrize("name", ["measures", "styles"])
def test_cases_of_the_confirmation_are_of_other_vendors(name: str) -> None:
    experiment = claim.experiments[name]
    splits = experiment.development, experiment.confirmation
    known, new = ({vendor(case.split(maxsplit=1)[1]) for case in cases} for cases in splits)
    assert not known & new
    assert len(experiment.confirmation) >= 4
    for cases in splits:
        assert len(cases) == len(set(cases)) == len({vendor(case) for case in cases})


def test_outlines_and_styles_of_one_colour_are_abstract() -> None:
    assert abstract("noto outlined")
    assert abstract("emojione-monotone")
    assert not abstract("noto")
    assert vendor("noto outlined") == vendor("noto") == "noto"


def test_pairs_are_in_order_where_intervals_do_not_meet() -> None:
    assert in_order([measure(0.2), measure(0.5)], [measure(0.6)]) == 0.5


@pytest.mark.parametrize("split", VENDORS)
def test_each_pair_of_vendors_is_in_one_case(split: str) -> None:
    pairs = [frozenset((own, other)) for own in VENDORS[split] for other in followers(split, own)]
    assert sorted(map(sorted, pairs)) == sorted(map(sorted, itertools.combinations(VENDORS[split], 2)))


def table(a: list[float], b: list[float]) -> pd.DataFrame:
    """Arm x has less of `far` than y by `a`, and more of `right` by `b`, case by case."""
    rows = [
        {"case": str(i), "arm": arm, "metric": metric, "value": value}
        for i, (less, more) in enumerate(zip(a, b))
        for arm, metric, value in (("x", "far", -less), ("y", "far", 0), ("x", "right", more), ("y", "right", 0))
    ]
    return pd.DataFrame(rows)


def test_less_of_one_goes_with_more_of_another_where_ranks_agree() -> None:
    condition = go_together("x", "y", less="far", more="right")
    found = condition(table([0.1, 0.2, 0.3, 0.4], [1, 2, 4, 8]))
    assert found.held
    assert found.value == pytest.approx(1)
    assert not condition(table([0.1, 0.2, 0.3, 0.4], [8, 4, 2, 1])).held
    mixed = condition(table([0.1, 0.2, 0.3, 0.4, 0.5], [1, 4, 2, 5, 3]))
    assert mixed.low <= mixed.value <= mixed.high
    assert not mixed.held


def test_a_mean_that_holds_does_not_do_where_its_interval_does_not() -> None:
    cells = table([0, 0, 0, 0], [0.9, 0.9, 0.9, 0.1])
    plain = at_least("x", metric="right", value=0.6)
    assert plain(cells).held
    assert not surely(plain, 0.6)(cells).held
    assert surely(plain, 0.1)(cells).held
    assert not surely(at_least("x", metric="right", value=0.8), 0.1)(cells).held

"""The data of SMOS's claim: outlines, kinds of styles, and that the substitute shares nothing with a split."""

import numpy as np
import pytest

from unseen.claims.drawings import VENDORS
from unseen.claims.smos import ABSTRACT, PRECURSOR, abstract, claim, in_order, outlined, vendor
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
    assert len(experiment.confirmation) >= 5
    assert len(experiment.development) == len(set(experiment.development))


def test_outlines_and_styles_of_one_colour_are_abstract() -> None:
    assert abstract("noto outlined")
    assert abstract("emojione-monotone")
    assert not abstract("noto")
    assert vendor("noto outlined") == vendor("noto") == "noto"


def test_pairs_are_in_order_where_intervals_do_not_meet() -> None:
    assert in_order([measure(0.2), measure(0.5)], [measure(0.6)]) == 0.5

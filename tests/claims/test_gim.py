"""GIM's claim: labels of a pixel count once, unlike photographs come from the same split, cases are apart."""

import numpy as np
import pytest

pytest.importorskip("cv2", reason="matching needs OpenCV")

from unseen.claims import gim


def test_labels_of_one_pixel_count_once_wherever_they_go() -> None:
    rows = np.array([[10.2, 5.1, 0, 0], [9.8, 4.9, 7, 7], [10.6, 5, 0, 0], [10, 6, 0, 0]])
    assert gim.distinct(rows) == 3
    assert gim.distinct(np.zeros((0, 4))) == 0


def test_no_photograph_of_a_case_is_learnt_from_and_splits_share_none() -> None:
    development, confirmation = (set(gim.CASES[split]) for split in ("development", "confirmation"))
    assert not development & confirmation
    assert not {name.partition("/")[0] for name in development | confirmation} & {
        name.partition("/")[0] for name in gim.OVER
    }


@pytest.mark.parametrize("split", ["development", "confirmation"])
def test_what_does_not_belong_together_is_of_the_same_split(split: str) -> None:
    for case in gim.CASES[split]:
        assert set(gim.unlike(case)) == set(gim.CASES[split]) - {case}


def test_arms_that_learn_differ_in_one_thing_each_and_take_the_same_steps() -> None:
    assert all("steps" not in settings for settings in gim.ARMS.values())
    made = {name: gim.GIM(**{**gim.SETTINGS, **settings}) for name, settings in gim.ARMS.items()}
    assert {method.steps for method in made.values()} == {200}
    assert {method.light for name, method in made.items() if name != "no augmentation"} == {"dark"}

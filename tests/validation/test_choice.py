"""The default choice: weights of a few labels, and source-only in doubt."""

import pytest

from unseen.validation import weigh, without_doubt
from unseen.validation.choice import SPREAD


def test_a_candidate_must_beat_the_floor_by_two_standard_errors():
    scores = {"source-only": 0.5, "a": 0.59, "b": 0.63, "c": 0.61}  # 100 samples: 0.05 each
    assert without_doubt(scores, 100) == pytest.approx({"source-only": 1 / 3, "a": 0.0, "b": 1.0, "c": 2 / 3})


def test_more_samples_leave_less_doubt():
    scores = {"source-only": 0.5, "a": 0.52}
    assert without_doubt(scores, 100)["a"] == 0
    assert without_doubt(scores, 4000)["a"] == 1
    assert without_doubt(scores, 1000, errors=1)["a"] == 1


def test_without_a_floor_the_largest_has_the_largest_vote():
    assert without_doubt({"a": 0.1, "b": 0.2}, 10) == {"a": 0.5, "b": 1.0}


def test_a_score_that_is_not_finite_is_never_chosen():
    assert without_doubt({"a": float("nan"), "source-only": 0.2}, 10) == {"a": 0.0, "source-only": 1.0}


def test_a_candidate_that_is_worse_in_what_must_be_kept_is_left_out():
    scores, keep = {"source-only": 0.5, "a": 0.9, "b": 0.8}, {"source-only": 0.7, "a": 0.6, "b": 0.7}
    assert without_doubt(scores, 100, keep=keep) == {"source-only": 0.5, "a": 0.0, "b": 1.0}
    keep["b"] = float("nan")
    assert without_doubt(scores, 100, keep=keep) == {"source-only": 1.0, "a": 0.0, "b": 0.0}
    assert without_doubt({"a": 0.1, "b": 0.2}, 10, keep={"a": 1.0, "b": 0.0})["b"] == 1.0  # there is no floor


@pytest.mark.parametrize("spread", [SPREAD, 0.05])
def test_weights_are_inverse_variances(spread):
    n = 40
    share = spread**-2 / (spread**-2 + n / (0.6 * 0.4))
    assert weigh({"a": 0.5}, {"a": 0.6}, n, spread)["a"] == pytest.approx(share * 0.5 + (1 - share) * 0.6)


def test_two_labels_change_little_and_many_decide():
    reverse, support = {"a": 0.6, "b": 0.5}, {"a": 0.4, "b": 0.8}
    few, many = weigh(reverse, support, 1), weigh(reverse, support, 500)
    assert few["a"] > few["b"]
    assert many["b"] > many["a"]
    assert few["a"] == pytest.approx(0.6, abs=0.03)


@pytest.mark.parametrize("right", [0.36, 0.5, 0.68, 0.9])
def test_35_labels_win_over_a_validator(right):
    """Whatever reverse validation says, they have two thirds of the weight at least."""
    for said in (0.0, 1.0):
        weighed = weigh({"a": said}, {"a": right}, 35)["a"]
        assert abs(weighed - right) < abs(said - right) / 3


def test_35_labels_win_where_reverse_validation_is_saturated():
    """As on private pictures, where `coral` was kept at .36 over what reached .68."""
    weighed = weigh({"coral": 0.96, "fewshot-sfda": 0.93}, {"coral": 0.36, "fewshot-sfda": 0.68}, 35)
    assert weighed["fewshot-sfda"] > weighed["coral"] + 0.2


def test_all_right_on_a_few_labels_is_not_taken_for_certain():
    assert weigh({"a": 0.5}, {"a": 1.0}, 3)["a"] < 0.8


def test_two_estimates_must_both_be_clear_and_the_first_ranks():
    scores, also = (
        {"source-only": 0.5, "a": 0.9, "b": 0.8, "c": 0.7},
        {"source-only": 0.5, "a": 0.59, "b": 0.61, "c": 0.9},
    )
    assert without_doubt(scores, 100, also=also) == pytest.approx(
        {"source-only": 1 / 3, "a": 0.0, "b": 1.0, "c": 2 / 3}
    )


@pytest.mark.parametrize(("call", "told"), [
    (lambda: weigh({"a": 1.0}, {"b": 1.0}, 3), "same candidates"),
    (lambda: weigh({"a": 1.0}, {"a": 1.0}, 0), "labels must be"),
    (lambda: weigh({"a": 1.0}, {"a": 1.0}, 3, 0.0), "spread must be"),
    (lambda: without_doubt({}, 3), "must not be empty"),
    (lambda: without_doubt({"a": 1.0}, 0), "must not be empty"),
    (lambda: without_doubt({"a": 1.0}, 3, keep={"b": 1.0}), "same candidates"),
    (lambda: without_doubt({"a": 1.0}, 3, also={"b": 1.0}), "also must score the same candidates"),
])  # fmt: skip
def test_mistakes_are_named(call, told):
    with pytest.raises(ValueError, match=told):
        call()

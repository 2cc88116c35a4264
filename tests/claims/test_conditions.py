"""Conditions on tables of arms x cases x seeds: what holds, what does not, and what cannot be judged."""

import dataclasses

import pandas as pd
import pytest

from unseen.claims.base import Claim, Experiment
from unseen.claims.conditions import at_least, at_most, beats_all, better, equals, interval, joined, not_worse, wins
from unseen.claims.ledger import Assertion


def table(**arms):
    """One metric; `arms` maps a name to the values of its cases."""
    rows = [
        dict(experiment="e", case=f"case {i}", seed=0, arm=arm, metric="accuracy", value=value, seconds=0.0)
        for arm, values in arms.items()
        for i, value in enumerate(values)
    ]
    return pd.DataFrame(rows)


def test_a_steady_gain_is_better():
    verdict = better("a", "b", metric="accuracy")(table(a=[0.6, 0.7, 0.8], b=[0.5, 0.6, 0.7]))
    assert verdict.held
    assert verdict.value == pytest.approx(0.1)


def test_a_gain_whose_interval_reaches_zero_is_no_gain():
    verdict = better("a", "b", metric="accuracy")(table(a=[0.9, 0.5, 0.4], b=[0.5, 0.6, 0.45]))
    assert verdict.value > 0
    assert verdict.low < 0
    assert not verdict.held


def test_a_gain_below_the_margin_is_not_enough():
    arms = table(a=[0.6, 0.6], b=[0.57, 0.57])
    assert better("a", "b", metric="accuracy", by=0.02)(arms).held
    assert not better("a", "b", metric="accuracy", by=0.05)(arms).held


def test_a_rival_that_is_worse_than_what_learns_nothing_is_said_to_be():
    arms = table(a=[0.6, 0.7], b=[0.5, 0.5], nothing=[0.55, 0.55])
    experiment = Experiment(run=lambda case, seed: {}, development=(), confirmation=("case 0",), nothing="nothing")

    def told(condition, of=experiment, arms_of=arms):
        row = Assertion(text="t", level="effect", experiment="e", holds=condition)
        return Claim(slug="loki", ledger=(row,), experiments={"e": of}).judge(arms_of)[0][1].told

    assert told(better("a", "b", "accuracy")).endswith("; but b is worse by 0.05 than nothing, which learns nothing")
    low = told(better("a", "b", "accuracy"), arms_of=table(a=[0.52, 0.52], b=[0.5, 0.5], nothing=[0.55, 0.55]))
    assert low.endswith("which learns nothing, and a is not shown to be better than that")
    assert "learns nothing" not in told(better("a", "nothing", "accuracy"))
    assert "learns nothing" not in told(better("b", "a", "accuracy", lower=True))
    assert "learns nothing" not in told(better("a", "b", "accuracy"), dataclasses.replace(experiment, nothing=""))
    won = told(wins("a", "b", "accuracy", of=0.5))
    assert won.endswith("; but b is worse by 0.05 than nothing, which learns nothing")
    both = told(joined(better("a", "b", "accuracy"), at_least("a", "accuracy", 0.5)))
    assert both.endswith("needed >= 0.5; but b is worse by 0.05 than nothing, which learns nothing")
    arms = table(a=[0.52, 0.52], b=[0.5, 0.3], c=[0.3, 0.5], nothing=[0.55, 0.55])
    best = told(beats_all("a", ("b", "c"), "accuracy"), arms_of=arms)
    assert best.endswith(
        "; but the best of b, c is worse by 0.05 than nothing, which learns nothing, and a is not shown to be better "
        "than that"
    )
    assert "learns nothing" not in told(beats_all("a", ("b", "nothing"), "accuracy"), arms_of=arms)


def test_not_worse_asks_its_interval_too():
    arms = table(a=[0.6, 0.6, 0.6, 0.4], b=[0.5, 0.5, 0.5, 0.5])
    verdict = not_worse("a", "b", metric="accuracy", within=0.02)(arms)
    assert verdict.value > 0
    assert not verdict.held


def test_of_up_to_three_cases_each_is_told_and_must_do():
    verdict = better("a", "b", metric="accuracy")(table(a=[0.6, 0.7, 0.8], b=[0.5, 0.6, 0.7]))
    assert "(each case: +0.1, +0.1, +0.1)" in verdict.told
    assert "[" not in verdict.told


def test_the_best_of_others_may_be_another_one_in_each_case():
    arms = table(a=[0.6, 0.6], b=[0.5, 0.7], c=[0.7, 0.5])
    assert better("a", "b", "accuracy").rule(arms).value == pytest.approx(0)
    assert beats_all("a", ("b", "c"), "accuracy")(arms).value == pytest.approx(-0.1)
    with pytest.raises(ValueError, match="no metric 'accuracy' of arm 'd'"):
        beats_all("a", ("b", "d"), "accuracy")(arms)


def test_conditions_that_ask_the_same_have_the_same_words():
    assert better("a", "b", "m", by=0.1).asked == better("a", "b", metric="m", by=0.1).asked
    asked = [
        better("a", "b", "m"),
        better("a", "b", "m", by=0.1),
        better("b", "a", "m"),
        not_worse("a", "b", "m", within=0.1),
    ]
    assert len({condition.asked for condition in asked}) == len(asked)


def test_one_case_says_that_it_is_one():
    assert "one case: case 0" in better("a", "b", metric="accuracy")(table(a=[0.6], b=[0.5])).told


def test_lower_turns_the_sign():
    arms = table(a=[1.0, 1.1], b=[2.0, 2.1])
    assert better("a", "b", metric="accuracy", lower=True)(arms).held
    assert not better("a", "b", metric="accuracy")(arms).held


def test_not_worse_allows_what_is_within():
    arms = table(a=[0.48, 0.5], b=[0.5, 0.5])
    assert not_worse("a", "b", metric="accuracy", within=0.02)(arms).held
    assert not not_worse("a", "b", metric="accuracy", within=0.005)(arms).held


def test_at_least_reads_the_mean_over_cases():
    assert at_least("a", metric="accuracy", value=0.5)(table(a=[0.4, 0.6])).held
    assert not at_least("a", metric="accuracy", value=0.51)(table(a=[0.4, 0.6])).held


def test_wins_counts_cells():
    arms = table(a=[1, 1, 1, 0], b=[0, 0, 0, 1])
    assert wins("a", "b", metric="accuracy", of=0.75)(arms).held
    assert not wins("a", "b", metric="accuracy", of=0.8)(arms).held


def test_equals_looks_at_the_worst_cell():
    assert not equals("a", metric="accuracy", value=1.0)(table(a=[1.0, 1.0, 0.99])).held
    assert equals("a", metric="accuracy", value=1.0, tolerance=0.02)(table(a=[1.0, 1.0, 0.99])).held


def test_the_interval_holds_the_mean_and_narrows_with_cases():
    low, high = interval([0.0, 1.0] * 5)
    assert low < 0.5 < high
    narrow = interval([0.0, 1.0] * 50)
    assert narrow[1] - narrow[0] < high - low


def test_a_missing_arm_is_named():
    with pytest.raises(ValueError, match="no metric 'accuracy' of arm 'c'"):
        better("a", "c", metric="accuracy")(table(a=[1.0]))


def test_an_assertion_without_what_its_level_asks_for_is_refused():
    with pytest.raises(ValueError, match="needs an experiment"):
        Assertion(text="t", level="mechanism")
    with pytest.raises(ValueError, match="needs a reason"):
        Assertion(text="t", level="not testable")


def test_a_claim_measures_every_cell_of_a_split():
    seen = []

    def run(case, seed):
        seen.append((case, seed))
        return {"a": {"accuracy": 1.0}}

    experiment = Experiment(run=run, development=("x", "y"), confirmation=("z",), seeds=(0, 1), fresh_seeds=(9,))
    claim = Claim(slug="s", ledger=(), experiments={"e": experiment})
    claim.measure()
    assert seen == [("x", 0), ("x", 1), ("y", 0), ("y", 1)]
    seen.clear()
    frame = claim.measure("confirmation")
    assert seen == [("z", 9)]
    assert set(frame.columns) >= {"experiment", "case", "seed", "arm", "metric", "value"}
    seen.clear()
    claim.measure(quick=True)
    assert seen == [("x", 0), ("y", 0)]


@pytest.mark.parametrize(
    "condition",
    [
        better("a", "b", metric="accuracy"),
        not_worse("a", "b", metric="accuracy", within=1.0),
        at_least("a", metric="accuracy", value=0.1),
        at_most("a", metric="accuracy", value=2.0),
        wins("a", "b", metric="accuracy", of=0.1),
        equals("a", metric="accuracy", value=0.9, tolerance=0.1),
    ],
)
def test_a_cell_without_a_number_holds_nothing(condition):
    whole = table(a=[0.9, 0.9, 0.9], b=[0.5, 0.5, 0.5])
    assert condition(whole).held
    verdict = condition(table(a=[0.9, float("nan"), 0.9], b=[0.5, 0.5, 0.5]))
    assert not verdict.held
    assert "accuracy of a is no number in case case 1, seed 0" in verdict.told


def test_joined_conditions_hold_only_together():
    arms = table(a=[0.6, 0.7], b=[0.5, 0.6], c=[0.9, 0.9])
    good, bad = better("a", "b", metric="accuracy"), not_worse("a", "c", metric="accuracy", within=0.01)
    assert joined(good, good)(arms).held
    verdict = joined(good, bad)(arms)
    assert not verdict.held
    assert verdict.value == pytest.approx(0.1)
    assert good(arms).told in verdict.told
    assert bad(arms).told in verdict.told

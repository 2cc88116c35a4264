"""Crafted validation and k-fold selection, against values by hand."""

import numpy as np
import pytest

from unseen.data.shifts import FAMILIES, FOLDS, craft
from unseen.evaluation.metrics.selection import correlation, selection_regret, selection_table
from unseen.validation import (
    CraftedScore,
    Scored,
    crafted_copies,
    crafted_validation,
    kfold_select,
    middle_of_the_best,
    select,
)

RNG = np.random.default_rng(0)
X = RNG.random((6, 3, 16, 16)).astype(np.float32)
Y = np.array([0, 1, 0, 1, 0, 1])


def always(label):
    return lambda x: np.full(len(x), label)


def test_v_a_is_the_mean_of_the_scores_per_family_and_leaves_the_unchanged_pictures_out():
    seen = []

    def predict(x):
        seen.append(x)
        return Y if len(seen) % 2 else 1 - Y

    score = crafted_validation(predict, X, Y)
    assert list(score.families) == list(FAMILIES)
    assert list(score.families.values()) == [1, 0] * 5
    assert score.mean == pytest.approx(np.mean(list(score.families.values())))
    assert len(seen) == 10
    assert not any(np.array_equal(x, X) for x in seen)
    np.testing.assert_array_equal(seen[2], craft(X, "blur"))


def test_copies_made_before_are_used():
    copies = crafted_copies(X, ("blur",))
    seen = []
    crafted_validation(lambda x: seen.append(x) or Y, X, Y, ("blur",), copies=copies)
    assert seen[0] is copies["blur"]


def test_a_family_of_the_training_is_refused_unless_a_leak_is_allowed():
    with pytest.raises(ValueError, match=r"trained with \(blur\)"):
        crafted_validation(always(0), X, Y, trained_with=("blur",))
    score = crafted_validation(always(0), X, Y, trained_with=("blur",), allow_leak=True)
    assert score.leaked == ("blur",)
    with pytest.raises(ValueError, match="biased"):
        select([Scored("a", final=score)], "VA")


def recorder(log, fail=()):
    """A training that says what it was asked for; a model is right on the families that it has not seen, if "good"."""

    def train(configuration, families):
        log.append((configuration, families))
        if configuration in fail:
            raise FloatingPointError("the loss became nan")
        return lambda x: Y if configuration == "good" else np.zeros(len(x), dtype=int)

    return train


def test_no_family_of_the_training_of_a_fold_is_in_its_score():
    log = []
    (scored,) = kfold_select(recorder(log), ["good"], X, Y, standard=True)
    assert [families for _, families in log] == [FOLDS[1], FOLDS[0], tuple(FAMILIES)]
    for fold, (_, families) in zip(scored.folds, log):
        assert not set(fold.families) & set(families)
    assert {family for fold in scored.folds for family in fold.families} == set(FAMILIES)
    assert scored.crossed == 1
    assert scored.standard == 1


def test_a_configuration_without_copies_is_trained_once_and_scored_on_all_families():
    log = []
    (scored,) = kfold_select(recorder(log), ["bad"], X, Y, standard=True, augmented=lambda configuration: False)
    assert log == [("bad", ())]
    assert scored.value("VA") == scored.crossed == 0.5
    assert not scored.final.leaked


def test_a_training_that_diverges_counts_as_chance_and_the_grid_goes_on():
    scored = kfold_select(recorder([], fail=("worst",)), ["worst", "good"], X, Y, standard=True)
    assert [one.failed for one in scored] == [True, False]
    assert scored[0].crossed == scored[0].standard == 0.5
    assert select(scored) == 1


def test_what_diverges_in_a_fold_costs_that_fold_and_nothing_else():
    def train(configuration, families):
        if families == FOLDS[1]:  # what the first fold is scored with
            raise FloatingPointError("the loss became nan")
        return lambda x: Y

    (scored,) = kfold_select(train, ["good"], X, Y, standard=True)
    assert scored.failed
    assert set(scored.folds[0].families.values()) == {0.5}
    assert set(scored.folds[1].families.values()) == {1.0}
    assert scored.standard == 1


def test_copies_that_lack_a_family_are_named():
    with pytest.raises(ValueError, match="copies must hold all families that are scored; color are missing"):
        crafted_validation(lambda x: Y, X, Y, ("blur", "color"), copies={"blur": X})


def test_a_fold_that_was_trained_with_its_family_is_refused():
    fold = CraftedScore({"blur": 0.9}, leaked=("blur",))
    with pytest.raises(ValueError, match="a fold was trained with blur"):
        Scored("a", (fold,)).value("VA_cv")


def test_other_folds_can_be_asked_for():
    log = []
    folds = (("blur",), ("color", "weather"), ("edges",))
    (scored,) = kfold_select(recorder(log), ["bad"], X, Y, folds=folds)
    assert [families for _, families in log] == [("color", "weather", "edges"), ("blur", "edges"), folds[0] + folds[1]]
    assert len(scored.folds) == 3
    with pytest.raises(ValueError, match="differ"):
        kfold_select(recorder(log), ["bad"], X, Y, folds=(("blur",), ("blur",)))
    with pytest.raises(ValueError, match="two"):
        kfold_select(recorder(log), ["bad"], X, Y, folds=(("blur",),))


def test_of_equal_configurations_the_middle_one_in_sorted_order_is_chosen():
    assert middle_of_the_best([0.5, 0.9, 0.9, 0.9, 0.1]) == 2
    assert middle_of_the_best([0.9, 0.9, 0.9], keys=[(0.1, 1), (0.3, 0), (0.2, 0)]) == 2
    assert middle_of_the_best([float("nan"), 0.2, 0.1]) == 1
    score = CraftedScore({"blur": 0.5})
    grid = [Scored((lr, w), folds=(score,)) for lr, w in ((3, 0), (1, 1), (2, 1), (1, 0), (3, 1))]
    assert grid[select(grid, order=lambda c: c)].configuration == (2, 1)
    with pytest.raises(ValueError, match="finite"):
        middle_of_the_best([float("nan")])


@pytest.mark.parametrize("m", [2, 4, 6, 10])
def test_the_middle_of_an_even_number_of_ties_is_the_first_of_the_two_in_the_middle(m):
    assert middle_of_the_best([0.1, *[0.9] * m]) == 1 + m // 2 - 1
    keys = np.random.default_rng(m).permutation(m).tolist()
    assert keys[middle_of_the_best([0.9] * m, keys)] == m // 2 - 1
    score = CraftedScore({"blur": 0.5})
    grid = [Scored((key, 1), folds=(score,)) for key in keys]
    assert grid[select(grid, order=lambda c: c)].configuration == (m // 2 - 1, 1)


def test_each_criterion_reads_its_own_value():
    one = Scored("a", (CraftedScore({"blur": 0.2, "color": 0.4}), CraftedScore({"edges": 0.9})), standard=0.7)
    assert one.value("VS") == 0.7
    assert one.value("VA_cv") == pytest.approx(0.5)
    with pytest.raises(ValueError, match="VA needs"):
        one.value("VA")
    with pytest.raises(ValueError, match="folds"):
        Scored("a").value("VA_cv")
    with pytest.raises(ValueError, match="criterion"):
        one.value("oracle")


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="one length"):
        crafted_validation(always(0), X, Y[:3])
    with pytest.raises(ValueError, match="one class for each"):
        crafted_validation(lambda x: np.zeros(2), X, Y, ("blur",))
    with pytest.raises(ValueError, match="grid"):
        kfold_select(recorder([]), [], X, Y)


def test_correlation_and_regret_by_hand():
    found = correlation([1, 2, 3, 4], [0.1, 0.2, 0.4, 0.3])
    assert found.spearman == pytest.approx(0.8)
    assert found.pearson == pytest.approx(np.corrcoef([1, 2, 3, 4], [0.1, 0.2, 0.4, 0.3])[0, 1])
    assert found.spearman_interval[0] <= found.spearman <= found.spearman_interval[1]
    assert correlation([1, 1, 1], [1, 2, 3]).spearman == 0
    assert selection_regret([1, 2, 3, 4], [0.1, 0.2, 0.4, 0.3]) == pytest.approx(0.1)
    table = selection_table({"VS": [4, 3, 2, 1], "VA_cv": [1, 2, 4, 3]}, [0.1, 0.2, 0.4, 0.3])
    assert table.regret.round(3).tolist() == [0.3, 0.0]
    with pytest.raises(ValueError, match="length"):
        correlation([1, 2], [1, 2])

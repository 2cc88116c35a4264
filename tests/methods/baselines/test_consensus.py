"""Consensus: it says what the opinions say, for samples that nobody was asked about, and labels join it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import unseen
from unseen import catalogue
from unseen.compare import consensus as made_of
from unseen.compare.inputs import prepare
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.methods.baselines import consensus
from unseen.methods.baselines.consensus import OPINIONS, Consensus

CLASSES = ClassSpace(names=("a", "b", "c"))


def domain(n: int = 90, shift: float = 0.0, seed: int = 0) -> Domain:
    y = np.arange(n) % 3
    x = 3 * np.eye(6)[y] + np.random.default_rng(seed).standard_normal((n, 6)) + shift
    return Domain(x=x.astype(np.float32), y=y, classes=CLASSES)


def asked(target: Domain, labels: np.ndarray, sure: float = 0.9) -> Domain:
    p = np.full((len(target), 3), (1 - sure) / 2, dtype=np.float32)
    p[np.arange(len(target)), labels] = sure
    return target.unlabeled().replace(columns={OPINIONS: p})


def test_it_learns_what_the_opinions_say_even_against_the_source():
    target = domain(shift=2.0, seed=1)
    turned = (target.labels + 1) % 3
    model = Consensus(C=10.0).fit(source=domain(), target=asked(target, turned))
    fresh = domain(shift=2.0, seed=2)
    right = Consensus().fit(source=domain(), target=asked(target, target.labels))
    assert (right.predict(fresh) == fresh.labels).mean() > 0.9
    assert (model.predict(target) == turned).mean() > (right.predict(target) == turned).mean() + 0.3


def test_labels_of_the_support_are_heard_beside_wrong_opinions():
    target, support = domain(shift=2.0, seed=1), domain(30, shift=2.0, seed=3)
    wrong = asked(target, np.zeros(len(target), dtype=np.int64), sure=0.5)
    without = Consensus().fit(source=domain(), target=wrong)
    told = Consensus().fit(source=domain(), target=wrong, support=support)
    fresh = domain(shift=2.0, seed=2)
    assert (told.predict(fresh) == fresh.labels).mean() > (without.predict(fresh) == fresh.labels).mean() + 0.2


def test_a_support_of_one_class_is_learnt_from_as_far_as_it_goes():
    target = domain(shift=2.0, seed=1)
    alone = domain(30, shift=2.0, seed=3)
    alone = alone.take(alone.labels == 0)
    model = Consensus().fit(source=domain(), target=asked(target, target.labels), support=alone)
    assert (model.predict(target) == target.labels).mean() > 0.9


@pytest.mark.parametrize("shape", [None, (90, 2), (89, 3)])
def test_opinions_must_be_there_and_fit(shape):
    target = domain(seed=1).unlabeled()
    if shape == (89, 3):
        with pytest.raises(ValueError, match="opinions"):
            target.replace(columns={OPINIONS: np.ones(shape)})
        return
    if shape:
        target = target.replace(columns={OPINIONS: np.ones(shape)})
    with pytest.raises(ValueError, match=r"target must have the column 'opinions'.*\(90, 3\)"):
        Consensus().fit(source=domain(), target=target)


def test_both_views_count_twice_and_propagate_twice_that():
    pairs = [
        ("standardize", "default"), ("standardize", "views"), ("coral", "views"), ("propagate", "default"),
        ("propagate", "views"), ("propagate", "shares"), ("glc", "default"), ("source-only", "default"),
    ]  # fmt: skip
    assert made_of.members(pairs) == {
        ("standardize", "default"): 1, ("standardize", "views"): 2, ("coral", "views"): 2,
        ("propagate", "default"): 2, ("propagate", "views"): 4,
    }  # fmt: skip
    plain = [pair for pair in pairs if pair[1] != "views"] + [("aad", "default")]
    assert made_of.members(plain) == {(slug, "default"): 1 for slug in ("standardize", "propagate", "aad")}
    assert made_of.members(plain[:2]) == {}  # two methods have no majority


def test_there_is_none_for_classes_without_samples_or_for_a_model_of_the_users():
    pairs = [("standardize", "default"), ("coral", "default"), ("ot", "default")]
    inputs = prepare(source=domain(), target=domain(shift=1.0, seed=1))
    assert made_of.pair_of(pairs, inputs) == ("consensus", "default")
    assert made_of.pair_of(pairs[:2], inputs) is None
    given = prepare(source=domain(), target=domain(shift=1.0, seed=1), model=torch.nn.Linear(6, 3))
    assert made_of.pair_of(pairs, given) is None


def digits(labels: int, target: int) -> tuple[Domain, Domain]:
    """So many labels of each written digit, and so many samples without."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    shown = np.concatenate([order[y[order] == c][:labels] for c in range(10)])
    rest = np.setdiff1d(order, shown, assume_unique=True)[:target]
    space = ClassSpace(names=tuple("0123456789"))
    return tuple(Domain(x=x[part].astype(np.float32), y=y[part], classes=space) for part in (shown, rest))


def test_without_a_source_labels_and_their_neighbours_are_better_than_labels_alone():
    """On the samples that it was fitted on, and on single ones that it has not seen."""
    support, target = digits(labels=1, target=700)
    asked_of, fresh = target.take(np.arange(500)), target.take(np.arange(500, 700))
    model = Consensus().fit(support=support, target=asked_of.unlabeled())
    probe = catalogue.make("linear-probe").fit(support=support)
    for part in (asked_of, fresh):
        assert (model.predict(part) == part.labels).mean() > (probe.predict(part) == part.labels).mean() + 0.03


def test_a_class_without_a_label_in_the_support_is_not_predicted():
    support = domain(12, seed=3)
    model = Consensus().fit(support=support.take(support.labels < 2), target=domain(seed=1).unlabeled())
    assert set(model.predict(domain(seed=2)).tolist()) == {0, 1}


def test_of_a_large_target_a_part_is_learnt_from(monkeypatch):
    monkeypatch.setattr(consensus, "MOST", 30)
    support, target = domain(12, seed=3), domain(900, seed=1)
    few = Consensus().fit(support=support, target=target.unlabeled())
    part = target.take(target.unlabeled().canonical_order()[np.linspace(0, 899, 30).astype(int)])
    same = Consensus().fit(support=support, target=part.unlabeled())
    assert torch.equal(few.decision_function(target), same.decision_function(target))


def test_without_a_source_it_needs_labels_of_two_classes_and_a_target():
    support, target = domain(30, seed=3), domain(seed=1).unlabeled()
    assert made_of.pair_of([], prepare(support=support, target=target)) == ("consensus", "default")
    assert made_of.pair_of([], prepare(support=support)) is None
    given = prepare(support=support, target=target, model=torch.nn.Linear(6, 3))
    assert made_of.pair_of([], given) is None
    taught = prepare(support=support, target=target, teachers={"a": torch.nn.Linear(6, 3)})
    assert made_of.pair_of([], taught) is None


def cell(labels: list[int]) -> dict:
    return {"adapted": {"raw": torch.nn.functional.one_hot(torch.tensor(labels), 3).float() * 0.8 + 0.1}}


def test_unanimous_is_the_share_on_which_all_methods_agree():
    cells = {
        ("standardize", "default"): [cell([0, 1, 2, 0])],
        ("coral", "default"): [cell([0, 1, 1, 0])],
        ("ot", "default"): [cell([0, 1, 2, 1])],
        ("glc", "default"): [cell([2, 2, 0, 2])],  # is not heard
    }
    assert made_of.unanimous(cells) == pytest.approx(0.5)
    assert made_of.unanimous({pair: cells[pair] for pair in list(cells)[:2]}) is None


def test_it_is_no_method_to_run_by_itself():
    with pytest.raises(ValueError, match="made of several methods; compare runs and saves it"):
        unseen.adapt(method="consensus", source=domain(), target=domain(seed=1))
    given = prepare(source=domain(), target=domain(shift=1.0, seed=1)).given(domain(), 0)
    assert all(slug != "consensus" for slug, _ in catalogue.candidates(given)[0])

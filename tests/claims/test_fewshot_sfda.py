"""Few-shot fine-tuning's claim: its pools differ in one thing each, and none holds a sample of the exam."""

import numpy as np
import pytest
import torch

from unseen.claims import label_pools
from unseen.claims.fewshot_sfda import claim, data
from unseen.claims.label_pools import RAREST, below, logistic, logistic_alone, one_of_each
from unseen.data.domain import Domain


def test_pools_differ_from_their_controls_in_one_thing():
    pair = data("digits 20", 0)
    ids = {name: set(pool.ids.tolist()) for name, pool in pair.pools.items()}
    counts = {name: np.bincount(pool.labels) for name, pool in pair.pools.items()}
    other = set(pair.target.ids[pair.target.labels >= pair.known].tolist())
    assert not any(set(pair.exam.ids.tolist()) & pool for pool in ids.values())
    assert ids["vanilla"] == ids["ood"] - other
    assert ids["ood"] & other
    assert len(ids["even"]) == len(ids["shift"])
    assert np.ptp(counts["even"]) <= 1
    assert counts["shift"].min() == RAREST
    assert np.array_equal(np.unique(pair.source.labels), np.unique(pair.exam.labels))


# -- fair arms -----------------------------------------------------------------------------------------------------


def test_pairs_of_the_confirmation_share_no_picture_with_development():
    experiment = claim.experiments["pairs, fair arms"]
    seen, fresh = experiment.development, experiment.confirmation
    assert len(set(fresh)) == 22
    texts = [{case.split()[1] for case in part if case.startswith("letters")} for part in (seen, fresh)]
    letters = [{letter for text in part for letter in text} for part in texts]
    assert not letters[0] & letters[1]
    assert not any(case.startswith("stamps") for case in seen)
    assert not any(case.startswith("emoji") for case in fresh)


def test_worse_than_nothing_by_more_than_the_margin_counts_where_assumptions_break():
    source = {"vanilla": 0.5, "ood": 0.5, "shift": 0.5}
    assert below({"vanilla": 0.4, "ood": 0.48, "shift": 0.5}, source)["below"] == 0
    assert below({"vanilla": 0.5, "ood": 0.5, "shift": 0.4}, source) == {
        "below vanilla": 0, "below ood": 0, "below shift": 1, "below": 1,
    }  # fmt: skip


def test_folds_hold_one_sample_of_each_class():
    y = np.array([2, 0, 0, 1, 2, 1])
    assert [sorted(y[fold].tolist()) for fold in one_of_each(y)] == [[0, 1, 2], [0, 1, 2]]


def line(shift: float, each: int, seed: int) -> Domain:
    """Two classes on a line, at -1 and 1, moved by `shift`."""
    y = np.repeat([0, 1], each)
    noise = np.random.default_rng(seed).normal(0, 0.1, len(y))
    return Domain(x=(2.0 * y - 1 + shift + noise)[:, None].astype(np.float32), y=y)


def test_the_support_weighs_as_much_as_it_is_right_to():
    source, support, exam = line(0, 50, 0), line(4, 2, 1), line(4, 50, 2)  # all of the target is beyond class 1
    model = torch.nn.Identity()
    for arm in (logistic, logistic_alone):
        network = arm(model, source, support, 0)
        right = (network(torch.as_tensor(exam.x)).argmax(dim=1).numpy() == exam.labels).mean()
        assert right == (1.0 if arm is logistic_alone else pytest.approx(0.5))
    mild = line(0.3, 50, 2)
    network = logistic(model, source, line(0.3, 2, 1), 0)
    assert (network(torch.as_tensor(mild.x)).argmax(dim=1).numpy() == mild.labels).all()


def test_halves_of_stamps_share_no_picture(monkeypatch: pytest.MonkeyPatch):
    y = np.repeat(np.arange(3), 10)
    everything = Domain(x=np.zeros((30, 2), dtype=np.float32), y=y, ids=np.array([f"{i}" for i in range(30)]))
    monkeypatch.setattr(label_pools, "crafted_stamps", lambda style: everything.replace(name=style))
    source, target = label_pools.domains("stamps plain edges")
    assert not set(source.ids.tolist()) & set(target.ids.tolist())
    assert (source.name, target.name) == ("plain", "edges")
    assert np.bincount(source.labels).tolist() == np.bincount(target.labels).tolist() == [5, 5, 5]

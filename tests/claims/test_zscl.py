"""The streams of ZSCL's claim: splits share nothing that is looked at, tasks are unlike, figures come of one matrix."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
import torch

from unseen.claims import task_streams
from unseen.claims import zscl as claim_of_zscl
from unseen.claims.task_streams import GROUPS, ORDERS, REFERENCES, STAMPS, TAUGHT, References, Task
from unseen.claims.zscl import ARMS, BUDGET, claim, streamed
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.methods.multimodal.zscl import ZSCL
from unseen.nn.small_towers import small_dual_encoder


def test_splits_share_no_vendor_no_group_and_no_stamps() -> None:
    known, fresh = (
        {vendor for vendor, _ in (*GROUPS[split].values(), REFERENCES[split])}
        for split in ("development", "confirmation")
    )
    assert not known & fresh
    assert not set(TAUGHT) & (known | fresh)
    groups = [{group for _, own in GROUPS[split].values() for group in own} for split in GROUPS]
    assert not groups[0] & groups[1]
    assert not set(STAMPS["development"]) & set(STAMPS["confirmation"])


@pytest.mark.parametrize("split", ORDERS)
def test_every_order_has_each_task_once_and_references_are_of_other_groups(split: str) -> None:
    orders = ORDERS[split]
    assert len({tuple(sorted(order)) for order in orders}) == 1
    assert all(len(set(order)) == len(order) >= 5 for order in orders)
    assert len(set(orders)) == len(orders)
    used = {group for _, own in GROUPS[split].values() for group in own}
    assert not used & set(REFERENCES[split][1])


def test_cases_of_the_splits_differ() -> None:
    for experiment in claim.experiments.values():
        assert not set(experiment.development) & set(experiment.confirmation)
        assert all(case.startswith("confirmation ") for case in experiment.confirmation)


def test_all_arms_see_the_same_and_have_the_same_budget() -> None:
    names = set(ZSCL().get_params())
    for settings in ARMS.values():
        assert set(settings) <= names
        assert not {"learning_rate", "batch_size"} & set(settings)
    assert {"zero-shot", "fine-tuning", "wise-ft", "lwf", "lwf-vr", "icarl", "zscl", "zscl*"} <= set(ARMS)


def _task(name: str, seed: int) -> Task:
    rng = np.random.default_rng(len(name))
    classes = ClassSpace(names=(f"{name} a", f"{name} b"))
    parts = [
        Domain(x=rng.normal(size=(20, 16)).astype(np.float32), y=np.arange(20) % 2, classes=classes, name=name)
        for _ in range(2)
    ]
    return Task(name, *parts, ("a {}.",))  # type: ignore[arg-type]


def test_a_cell_has_every_arm_and_doing_nothing_does_not_move() -> None:
    rng = np.random.default_rng(0)
    pictures = [Domain(x=rng.normal(size=(20, 16)).astype(np.float32)) for _ in range(2)]
    held = References(*pictures, Domain(x=np.array(["a hat", "the sea"]), kind="text"))  # type: ignore[arg-type]
    few = {name: ARMS[name] for name in ("zero-shot", "fine-tuning", "noise as references", "zscl")}
    with (
        mock.patch.object(claim_of_zscl, "ARMS", few),
        mock.patch.object(task_streams, "ORDERS", {"development": (("first", "next", "later"),)}),
        mock.patch.object(task_streams, "task", lambda split, name, seed: _task(name, seed)),
        mock.patch.object(task_streams, "references", return_value=held),
        mock.patch.object(task_streams, "small_towers", small_dual_encoder),
        mock.patch.dict(BUDGET, {"iterations": 2, "warm_up": 1, "average_every": 1}),  # type: ignore[arg-type]
    ):
        table = streamed("development 1", 0)
    assert set(few) | {"linear probe"} == set(table)
    zero = table["zero-shot"]
    assert zero["moved"] == zero["forgetting"] == 0
    assert zero["drift"] == pytest.approx(0, abs=1e-5)
    assert zero["average"] == pytest.approx(zero["last"])
    assert table["linear probe"]["transfer"] == pytest.approx(zero["transfer"])
    assert table["fine-tuning"]["moved"] > 0


def test_noise_has_the_moments_of_the_pictures_and_nothing_else() -> None:
    x = torch.randn(500, 3).numpy() * 2 + 1
    noise = task_streams.no_pictures(Domain(x=x), 0)
    np.testing.assert_allclose(noise.x.mean(axis=0), x.mean(axis=0), atol=0.4)
    np.testing.assert_allclose(noise.x.std(axis=0), x.std(axis=0), atol=0.4)

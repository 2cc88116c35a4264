"""Baselines of segmentation: what each changes and what it leaves."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unseen.data.domain import Domain
from unseen.data.tasks.base import objects
from unseen.methods.baselines.classmix import ClassMix
from unseen.methods.baselines.fda import FDA, robust_entropy
from unseen.methods.baselines.tent import TENT
from unseen.nn.bn_statistics import batch_norms
from unseen.nn.segmenters import SegmentationNetwork, small_unet
from unseen.runtime import reproducible


def pictures(n: int, seed: int, shift: float = 0.0) -> Domain:
    rng = np.random.default_rng(seed)
    x = np.clip(rng.random((n, 3, 16, 16)) * 0.5 + shift, 0, 1).astype(np.float32)
    return Domain(x=x, y=objects(rng.integers(0, 3, (n, 16, 16))), kind="image", task="mask")


def network() -> torch.nn.Module:
    with reproducible(0):
        return small_unet(3, width=6, depth=2).eval()


def test_statistics_are_those_of_the_target_and_nothing_else_changes() -> None:
    model, target = network(), pictures(4, 0, 0.4)
    found = TENT(steps=0, batch_size=64).fit(target=target, model=model).network_
    for key, value in found.state_dict().items():
        if "running" not in key and "num_batches" not in key:
            assert torch.equal(value, model.state_dict()[key]), key
    first = next(iter(batch_norms(found).values()))
    with torch.no_grad():
        z = model.body.stem[0](torch.as_tensor(target.x))  # type: ignore[union-attr,index,operator]
    # crops of four pictures, 256 of them: within a twentieth of a deviation
    apart = (first.running_mean - z.mean(dim=(0, 2, 3))).abs() / z.std(dim=(0, 2, 3))  # type: ignore[operator]
    assert float(apart.max()) < 0.2


def test_tent_trains_scales_and_offsets_of_batch_norm_alone() -> None:
    model = network()
    found = TENT(steps=3).fit(target=pictures(2, 0), model=model).network_
    norms = {f"{name}.{leaf}" for name in batch_norms(model) for leaf in ("weight", "bias")}
    changed = {key for key, value in found.named_parameters() if not torch.equal(value, model.get_parameter(key))}
    assert changed
    assert changed <= norms
    bare = SegmentationNetwork(torch.nn.Conv2d(3, 4, 1), torch.nn.Conv2d(4, 3, 1), None)
    with pytest.raises(ValueError, match="model must have BatchNorm"):
        TENT().fit(target=pictures(1, 0), model=bare)


def test_robust_entropy_is_one_for_a_uniform_prediction_and_counts_sure_pixels_little() -> None:
    assert float(robust_entropy(torch.zeros(1, 4, 2, 2))) == pytest.approx(1, abs=1e-4)
    sure = torch.zeros(1, 4, 2, 2)
    sure[:, 0] = 50
    assert float(robust_entropy(sure)) < 1e-10


@pytest.mark.parametrize("method", [FDA(steps=7, batch_size=4), ClassMix(steps=7, batch_size=4)])
def test_pictures_of_unlike_sizes_need_a_crop(method: FDA | ClassMix) -> None:
    rng = np.random.default_rng(0)
    sizes = [(16, 24), (20, 16), (16, 16), (30, 18)]
    source = Domain(
        x=objects(rng.random((3, *size)).astype(np.float32) for size in sizes),
        y=objects(rng.integers(0, 3, size) for size in sizes), kind="image", task="mask",
    )  # fmt: skip
    with pytest.raises(ValueError, match="tell a crop"):
        method.fit(source=source, target=pictures(1, 0), model=network())
    fitted = method.set_params(crop=16).fit(source=source, target=pictures(1, 0), model=network())
    assert [mask.shape for mask in fitted.predict(source)] == sizes

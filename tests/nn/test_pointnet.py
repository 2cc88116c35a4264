"""PointNet: order and repetition of points do not matter; it is built again from its recipe."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unseen.nn.build import Recipe, rebuild, recipe_of
from unseen.nn.pointnet import pointnet


def cloud(seed: int = 0, n: int = 3, p: int = 20) -> torch.Tensor:
    return torch.randn(n, p, 3, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_the_order_of_points_and_points_given_twice_do_not_matter(seed: int) -> None:
    network, x = pointnet(4, (8, 16), 5).eval(), cloud(seed)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(seed))
    expected = network(x)
    torch.testing.assert_close(network(x[:, order]), expected)
    torch.testing.assert_close(network(torch.cat([x, x[:, :7]], dim=1)), expected)


def test_any_number_of_points_gives_one_row_of_logits() -> None:
    network = pointnet(4, (8, 16), 5).eval()
    for p in (1, 5, 400):
        assert network(cloud(p=p)).shape == (3, 4)
        assert network.embed(cloud(p=p)).shape == (3, 5)
    assert isinstance(network.head, torch.nn.Linear)


def test_features_are_the_largest_of_each_point_alone() -> None:
    network, x = pointnet(4, (8, 16), 5).eval(), cloud(p=6)
    alone = torch.stack([network.backbone(x[:, i : i + 1]) for i in range(6)], dim=1)
    torch.testing.assert_close(network.backbone(x), alone.amax(dim=1))


def test_it_is_built_again_from_json() -> None:
    network = pointnet(4, (8, 16), 5)
    again = rebuild(Recipe.from_json(recipe_of(network).to_json()))
    again.load_state_dict(network.state_dict())
    torch.testing.assert_close(again.eval()(cloud()), network.eval()(cloud()))


def test_bad_shapes_and_sizes_are_named() -> None:
    for x in (torch.zeros(2, 3), torch.zeros(2, 5, 4)):
        with pytest.raises(RuntimeError, match=r"clouds of points have the shape \(b, p, 3\)"):
            pointnet(2)(x)
    for wrong in ({"widths": ()}, {"widths": (0,)}, {"bottleneck": 0}, {"n_classes": 0}):
        with pytest.raises(ValueError, match="must be at least 1"):
            pointnet(**{"n_classes": 2, **wrong})

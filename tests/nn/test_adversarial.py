"""The WGAN-GP parts against values by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from unseen.nn.adversarial import (
    Conditional,
    conditional_critic,
    conditional_generator,
    critic_loss,
    fresh_batches,
    gradient_penalty,
)
from unseen.nn.build import rebuild, recipe_of
from unseen.nn.train import Run


class LinearCritic(nn.Module):
    """D(x, a) = w.x"""

    def __init__(self, w: torch.Tensor) -> None:
        super().__init__()
        self.w = nn.Parameter(w)

    def forward(self, x: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
        return (x @ self.w)[:, None]


@pytest.mark.parametrize("w", [[3.0, 4.0], [0.6, 0.8], [0.1, 0.0]])
def test_penalty_of_a_linear_critic_is_ten_times_the_squared_excess_of_its_norm(w: list[float]) -> None:
    critic = LinearCritic(torch.tensor(w))
    real, fake, a = torch.randn(7, 2), torch.randn(7, 2), torch.randn(7, 3)
    expected = 10 * (math.hypot(*w) - 1) ** 2
    assert float(10 * gradient_penalty(critic, real, fake, a)) == pytest.approx(expected, abs=1e-5)
    gap = float((fake @ critic.w).mean() - (real @ critic.w).mean())
    assert float(critic_loss(critic, real, fake, a)) == pytest.approx(gap + expected, abs=1e-4)


def test_penalty_trains_the_critic_and_leaves_the_samples_alone() -> None:
    critic = LinearCritic(torch.tensor([3.0, 4.0]))
    real = torch.randn(5, 2, requires_grad=True)
    gradient_penalty(critic, real, torch.randn(5, 2), torch.zeros(5, 1)).backward()
    assert real.grad is None
    assert critic.w.grad is not None
    # d/dw (|w| - 1)^2 = 2 (|w| - 1) w / |w|
    torch.testing.assert_close(critic.w.grad, torch.tensor([4.8, 6.4]))


def test_conditional_is_a_layer_over_the_concatenation() -> None:
    net = Conditional(3, 2, 5, nn.Linear(5, 4))
    x, a = torch.randn(6, 3), torch.randn(6, 2)
    joint = torch.cat([net.given.weight, net.condition.weight], dim=1)
    hidden = torch.cat([x, a], dim=1) @ joint.T + net.given.bias
    torch.testing.assert_close(net(x, a), net.out(nn.functional.leaky_relu(hidden, 0.2)))


def test_leading_axes_broadcast() -> None:
    net = conditional_generator(4, 2, 3, hidden=5)
    z, a = torch.randn(6, 7, 3), torch.randn(6, 2)
    flat = net(z.flatten(0, 1), a.repeat_interleave(7, dim=0))
    torch.testing.assert_close(net(z, a[:, None]).flatten(0, 1), flat)


def test_weights_start_normal_with_deviation_002_and_bias_0_and_features_are_not_negative() -> None:
    net = conditional_generator(50, 40, 40, hidden=300)
    for name, p in net.named_parameters():
        if name.endswith("bias"):
            assert not p.any()
        else:
            assert float(p.std()) == pytest.approx(0.02, rel=0.1)
    assert (net(torch.randn(9, 40), torch.randn(9, 40)) >= 0).all()
    assert isinstance(net.out[1], nn.ReLU)


def test_networks_are_built_again_from_their_recipe() -> None:
    for net in (conditional_generator(4, 2, 3, hidden=5), conditional_critic(4, 2, hidden=5)):
        again = rebuild(recipe_of(net))
        assert [p.shape for p in again.parameters()] == [p.shape for p in net.parameters()]


def test_fresh_batches_draw_without_repeats_inside_and_anew_for_every_batch() -> None:
    x, y = torch.arange(10.0)[:, None], torch.arange(10)
    stream = fresh_batches(x, y, 6)(Run("s", {}, {}, 1, None))
    drawn = [next(stream) for _ in range(20)]
    assert all(len(b.index.unique()) == 6 for b in drawn)
    assert all((b.x[:, 0] == b.y).all() and (b.y == b.index).all() for b in drawn)
    assert len({tuple(b.index.tolist()) for b in drawn}) > 15

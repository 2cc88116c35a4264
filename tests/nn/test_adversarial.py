"""The WGAN-GP parts against values by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from unseen.nn.adversarial import (
    Conditional,
    Pivot,
    behind_real,
    conditional_critic,
    conditional_generator,
    critic_loss,
    fresh_batches,
    gradient_penalty,
    synthesize,
    train_generator,
)
from unseen.nn.build import rebuild, recipe_of
from unseen.nn.train import Run
from unseen.runtime import reproducible


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


# -- training ----------------------------------------------------------------------------------------------


def trained(regularizers: tuple[nn.Module, ...] = (), epochs: int = 2) -> Conditional:
    rng = torch.Generator().manual_seed(0)
    x, y, a = torch.rand(30, 6, generator=rng), torch.arange(30) % 3, torch.randn(3, 4, generator=rng)
    with reproducible(1):
        head = nn.Linear(6, 3)
        settings = {"n_noise": 5, "hidden": 7, "batch_size": 8, "epochs": epochs, "learning_rate": 1e-2}
        return train_generator(x, y, a, head, name="g", regularizers=regularizers, **settings)


def test_the_pivot_is_the_squared_distance_of_means_over_classes() -> None:
    pivot = Pivot(torch.tensor([[0.0, 0], [1, 1]]), weight=0.5, n=4)
    asked = []

    def draw(n: int) -> torch.Tensor:
        asked.append(n)
        return torch.tensor([[1.0, 0], [4, 1]])[:, None].expand(2, n, 2)

    assert float(pivot(torch.zeros(3, 2), torch.zeros(3, dtype=torch.long), draw)) == 0.5 * (1 + 9) / 2
    assert asked == [4]


class Note(nn.Module):
    """Adds nothing, and notes what it was given."""

    def forward(self, fake: torch.Tensor, y: torch.Tensor, draw: object) -> torch.Tensor:
        assert callable(draw)
        self.seen = fake.shape, y.shape, draw(3).shape
        return 0 * fake.sum()


def test_regularizers_get_generated_samples_their_classes_and_as_many_of_every_class_as_they_draw() -> None:
    note = Note()
    trained((note,))
    assert note.seen == ((8, 6), (8,), (3, 3, 6))


def test_a_pivot_brings_generated_means_near_to_real_ones() -> None:
    means = torch.rand(3, 6)

    def gap(net: Conditional) -> float:
        with reproducible(0):
            rng = torch.Generator().manual_seed(0)
            torch.rand(30, 6, generator=rng)
            made, y = synthesize(net, torch.randn(3, 4, generator=rng), 50)
        return float(torch.stack([(made[y == c].mean(dim=0) - means[c]).norm() for c in range(3)]).mean())

    assert gap(trained((Pivot(means, 10.0, 5),), epochs=20)) < 0.5 * gap(trained((), epochs=20))


def test_training_is_deterministic_and_noise_may_be_of_any_width() -> None:
    a, b = trained(), trained()
    assert a.given.in_features == 5
    for mine, theirs in zip(a.parameters(), b.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_generated_samples_stand_behind_real_ones_with_labels_of_their_own() -> None:
    x, y = behind_real(torch.zeros(2, 3), torch.tensor([1, 0]), torch.ones(3, 3), torch.tensor([0, 0, 1]), 2)
    assert y.tolist() == [1, 0, 2, 2, 3]
    assert x[:, 0].tolist() == [0, 0, 1, 1, 1]

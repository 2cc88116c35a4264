"""Conditional Wasserstein GANs with a gradient penalty: networks and the critic's loss."""

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unseen.data.samplers import Batch
from unseen.nn.build import builder


class Conditional(nn.Module):
    """One hidden layer over an input and its condition: out(LeakyReLU(W x + V a + b)).

    The same function as a layer over the concatenated (x, a). Leading axes broadcast, so many inputs of one
    condition, (c, n, d) with (c, 1, a), pay for it once.
    """

    def __init__(self, n_inputs: int, n_condition: int, hidden: int, out: nn.Module) -> None:
        super().__init__()
        self.given = nn.Linear(n_inputs, hidden)
        self.condition = nn.Linear(n_condition, hidden, bias=False)
        self.activation = nn.LeakyReLU(0.2)
        self.out = out
        self.apply(normal_init)

    def forward(self, x: Float[Tensor, "*b d"], a: Float[Tensor, "*#b a"]) -> Float[Tensor, "*b o"]:
        """Outputs for inputs `x` under conditions `a`."""
        return self.out(self.activation(self.given(x) + self.condition(a)))


def normal_init(module: nn.Module, std: float = 0.02) -> None:
    """Weights of a linear layer from N(0, std), bias 0; for `Module.apply`."""
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, 0.0, std)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


@builder("conditional-generator")
def conditional_generator(n_features: int, n_condition: int, n_noise: int, hidden: int) -> Conditional:
    """G(z, a): from noise and a condition to non-negative features, (b, n_features)."""
    return Conditional(n_noise, n_condition, hidden, nn.Sequential(nn.Linear(hidden, n_features), nn.ReLU()))


@builder("conditional-critic")
def conditional_critic(n_features: int, n_condition: int, hidden: int) -> Conditional:
    """D(x, a): from features and a condition to one score, (b, 1)."""
    return Conditional(n_features, n_condition, hidden, nn.Linear(hidden, 1))


def critic_loss(
    critic: nn.Module,
    real: Float[Tensor, "b d"],
    fake: Float[Tensor, "b d"],
    a: Float[Tensor, "b a"],
    *,
    penalty: float = 10.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """-E[D(x, a)] + E[D(x~, a)] + penalty E[(||grad D(x^, a)|| - 1)^2] (Gulrajani et al. 2017, eq. 3)."""
    gap = critic(fake, a).mean() - critic(real, a).mean()
    return gap + penalty * gradient_penalty(critic, real, fake, a, generator=generator)


def gradient_penalty(
    critic: nn.Module,
    real: Float[Tensor, "b d"],
    fake: Float[Tensor, "b d"],
    a: Float[Tensor, "b a"],
    *,
    generator: torch.Generator | None = None,
) -> Tensor:
    """E[(||grad D(x^, a)||_2 - 1)^2] with x^ = alpha x + (1 - alpha) x~, one alpha in [0, 1) per sample."""
    alpha = torch.rand(len(real), 1, generator=generator).to(real)
    mixed = (alpha * real + (1 - alpha) * fake).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(mixed, a).sum(), mixed, create_graph=True)
    return ((gradient.norm(dim=1) - 1) ** 2).mean()


def fresh_batches(x: Float[Tensor, "n d"], y: Int[Tensor, "n"], size: int) -> Callable[..., Iterator[Batch]]:
    """Batches without end for `nn.train.train`, each the head of a fresh permutation of all samples."""
    size = min(size, len(x))

    def stream(run: object) -> Iterator[Batch]:
        while True:
            index = torch.randperm(len(x), generator=run.generator)[:size]  # type: ignore[attr-defined]
            yield Batch(x[index], y[index], index)

    return stream

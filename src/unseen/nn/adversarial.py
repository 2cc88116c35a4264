"""Conditional Wasserstein GANs with a gradient penalty: networks, losses, training, and what they generate."""

from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from unseen.data.samplers import Batch
from unseen.nn.build import builder
from unseen.nn.train import Run, train


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


Critic = Callable[[Tensor, Tensor], Tensor]
"""D(x, a): a score for each sample under its condition."""


def critic_loss(
    critic: Critic,
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
    critic: Critic,
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


# -- training ----------------------------------------------------------------------------------------------

Draw = Callable[[int], Tensor]
"""Gives n generated samples of every class that is trained on, (c, n, d)."""

Regularizer = nn.Module
"""Called with generated samples (b, d), their classes (b,) and a `Draw`; what it gives is added to the loss."""


class Pivot(nn.Module):
    """weight * mean over classes of ||mean of n generated samples - mean of the real ones||^2 (Zhu et al. 2018)."""

    means: Tensor

    def __init__(self, means: Float[Tensor, "c d"], weight: float, n: int) -> None:
        super().__init__()
        self.register_buffer("means", means)
        self.weight, self.n = weight, n

    def forward(self, fake: Float[Tensor, "b d"], y: Int[Tensor, " b"], draw: Draw) -> Float[Tensor, ""]:
        """Only what `draw` gives counts."""
        return self.weight * (draw(self.n).mean(dim=1) - self.means).square().sum(dim=1).mean()


class _Conditions(nn.Module):
    """The condition of every class that is trained on, (c, a)."""

    a: Tensor

    def __init__(self, a: Float[Tensor, "c a"]) -> None:
        super().__init__()
        self.register_buffer("a", a)


def train_generator(
    x: Float[Tensor, "n d"],
    y: Int[Tensor, "n"],
    a: Float[Tensor, "c a"],
    seen_head: nn.Linear,
    *,
    name: str,
    n_noise: int,
    hidden: int,
    classification: float = 0.01,
    regularizers: Sequence[Regularizer] = (),
    critic_steps: int = 5,
    batch_size: int = 64,
    penalty: float = 10.0,
    learning_rate: float = 1e-4,
    epochs: int = 30,
) -> Conditional:
    """Learn to generate the features of classes from noise and their conditions (f-CLSWGAN, Xian et al. 2018).

    L_D is `critic_loss`; L_G = -E[D(x~, a)] + classification * NLL of `seen_head` + the regularizers. Each generator
    step follows `critic_steps` of the critic, on the last of their batches.

    Parameters
    ----------
    x, y : Tensor (n, d) and (n,)
        Features, not negative, and rows of `a`.
    a : Tensor (c, a)
        The condition of each class.
    seen_head : Linear
        A trained classifier of the classes, which stays as it is.
    name : str
        Of the stage.
    n_noise, hidden : int
        Values of the noise; hidden width of both networks.
    classification : float
    regularizers : sequence of `Regularizer`
    critic_steps, batch_size : int
    penalty : float
        Weight of the gradient penalty.
    learning_rate : float
        Of Adam with beta1 = 0.5.
    epochs : int
    """
    (_, d), (_, n_condition) = x.shape, a.shape
    generator = conditional_generator(d, n_condition, n_noise=n_noise, hidden=hidden)
    critic = conditional_critic(d, n_condition, hidden)
    known = _Conditions(a)

    def adam(net: nn.Module) -> torch.optim.Adam:
        return torch.optim.Adam(net.parameters(), lr=learning_rate, betas=(0.5, 0.999), fused=True)

    def noise(run: Run, *shape: int) -> Tensor:
        return torch.randn(*shape, n_noise, generator=run.generator).to(run.device)

    def generator_loss(y: Tensor, run: Run) -> Tensor:
        fake = generator(noise(run, len(y)), known.a[y])
        loss = -critic(fake, known.a[y]).mean()
        loss = loss + classification * F.cross_entropy(seen_head(fake), y)
        for regularizer in regularizers:
            draw = lambda n: generator(noise(run, len(known.a), n), known.a[:, None])
            loss = loss + regularizer(fake, y, draw)
        return loss

    def objective(batch: Batch, run: Run) -> None:
        assert batch.y is not None
        a = known.a[batch.y]
        with torch.no_grad():
            fake = generator(noise(run, len(a)), a)
        loss = critic_loss(critic, batch.x, fake, a, penalty=penalty, generator=run.generator)
        run.log(critic=run.descend(loss, "critic"))
        if run.step % critic_steps == critic_steps - 1:
            run.log(generator=run.descend(generator_loss(batch.y, run), "generator"))

    train(
        objective,
        name=name,
        nets={
            "generator": generator,
            "critic": critic,
            "known": known,
            "seen": seen_head,
            **{f"regularizer {i}": net for i, net in enumerate(regularizers)},
        },
        optimizers={"critic": adam(critic), "generator": adam(generator)},
        batches=fresh_batches(x, y, batch_size),
        epochs=epochs,
        steps_per_epoch=critic_steps * -(-len(x) // batch_size),
    )
    seen_head.cpu()
    return generator.cpu().eval()


# -- what it generates -------------------------------------------------------------------------------------


@torch.no_grad()
def synthesize(
    generator: Conditional, a: Float[Tensor, "c a"], n: int
) -> tuple[Float[Tensor, "cn d"], Int[Tensor, "cn"]]:
    """G(z, a) for n noise vectors per condition, and the row of `a` that each sample is of."""
    fakes = generator(torch.randn(len(a), n, generator.given.in_features), a[:, None])
    return fakes.flatten(0, 1), torch.arange(len(a)).repeat_interleave(n)


def behind_real(
    x: Float[Tensor, "n d"], y: Int[Tensor, "n"], fake: Float[Tensor, "m d"], label: Int[Tensor, "m"], n_seen: int
) -> tuple[Float[Tensor, "nm d"], Int[Tensor, "nm"]]:
    """Real samples of `n_seen` classes and generated ones of others, whose labels go on after them."""
    return torch.cat([x, fake]), torch.cat([y, label + n_seen])

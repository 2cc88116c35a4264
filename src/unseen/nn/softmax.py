"""Linear softmax classifiers that are trained by steps, so that training can go on later."""

from typing import Self

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from unseen.data.domain import Domain
from unseen.data.samplers import Batch, batches, steps
from unseen.nn.adversarial import normal_init
from unseen.nn.build import builder
from unseen.nn.classifier import Classifier
from unseen.nn.train import Run, train

NEVER = -1e4
"""The score of a class that is never predicted."""


class MinMaxScale(nn.Module):
    """x -> (x - low) / span, per feature: buffers of shape (d,)."""

    low: Tensor
    span: Tensor

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.register_buffer("low", torch.zeros(n_features))
        self.register_buffer("span", torch.ones(n_features))

    def measure(self, x: Float[Tensor, "n d"]) -> Self:
        """Take least value and range from `x`, which then lies in [0, 1]; a constant feature keeps span 1."""
        span = x.amax(dim=0) - x.amin(dim=0)
        self.low, self.span = x.amin(dim=0), torch.where(span > 0, span, torch.ones_like(span))
        return self

    def forward(self, x: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
        """Scaled features; values beyond the measured range leave [0, 1]."""
        return (x - self.low) / self.span

    def inverse(self, scaled: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
        """Features in their own units."""
        return scaled * self.span + self.low


@builder("scaled-softmax")
def scaled_softmax(n_features: int, n_classes: int) -> Classifier:
    """Min-max scaling and a linear head."""
    return Classifier(MinMaxScale(n_features), nn.Identity(), nn.Linear(n_features, n_classes))


class Softmax:
    """A linear softmax classifier with its optimizer: `train` may be called again and goes on.

    Parameters
    ----------
    n_features, n_classes : int
    learning_rate, beta1 : float
        Of Adam.

    Attributes
    ----------
    head : nn.Linear
        Weights from N(0, 0.02), bias 0.
    """

    def __init__(self, n_features: int, n_classes: int, *, learning_rate: float = 1e-3, beta1: float = 0.5) -> None:
        self.head = nn.Linear(n_features, n_classes)
        normal_init(self.head)
        self.adam = torch.optim.Adam(self.head.parameters(), lr=learning_rate, betas=(beta1, 0.999), fused=True)

    def train(self, x: Float[Tensor, "n d"], y: Int[Tensor, "n"], *, name: str, epochs: int, batch_size: int) -> Self:
        """Minimize cross entropy for some passes over (x, y); `name` is the stage's."""

        def objective(batch: Batch, run: Run) -> Tensor:
            assert batch.y is not None
            return F.cross_entropy(self.head(batch.x), batch.y)

        train(
            objective,
            name=name,
            nets={"head": self.head},
            optimizers={"adam": self.adam},
            batches=batches(Domain(x=x.numpy(), y=y.numpy()), batch_size, drop_last=False),
            epochs=epochs,
            steps_per_epoch=steps(len(x), batch_size, drop_last=False),
        )
        self.head.cpu()
        return self

    @torch.no_grad()
    def probabilities(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n c"]:
        """Class probabilities of samples, rows sum to 1."""
        return torch.softmax(self.head(x), dim=1)


@torch.no_grad()
def over_all_classes(head: nn.Linear, scale: MinMaxScale, classes: Int[Tensor, "c"], n_classes: int) -> Classifier:
    """`head` over some `classes`, with its scaling, over all `n_classes`; the others score `NEVER`."""
    weight = torch.zeros(n_classes, head.in_features).index_copy(0, classes, head.weight)
    bias = torch.full((n_classes,), NEVER).index_copy(0, classes, head.bias)
    network = scaled_softmax(head.in_features, n_classes)
    state = {"backbone.low": scale.low, "backbone.span": scale.span, "head.weight": weight, "head.bias": bias}
    network.load_state_dict(state)
    return network.eval()

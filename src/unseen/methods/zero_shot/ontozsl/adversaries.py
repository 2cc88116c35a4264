"""Steps 10 to 12: generator and critic of features of pairs, and what they are asked beside the Wasserstein game."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from unseen.nn.adversarial import critic_loss
from unseen.nn.build import builder


@builder("relation-generator")
def relation_generator(n_inputs: int, hidden: int, n_features: int) -> nn.Sequential:
    """Step 10: two layers of spectral norm 1 and a LayerNorm, from [z || o] to a feature; nothing else between."""
    first, second = spectral_norm(nn.Linear(n_inputs, hidden)), spectral_norm(nn.Linear(hidden, n_features))
    return nn.Sequential(first, second, nn.LayerNorm(n_features))


class RelationCritic(nn.Module):
    """Step 10: v(x) = LayerNorm(LeakyReLU(W x)) with W of spectral norm 1; D(x) is a linear map of v."""

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.middle = spectral_norm(nn.Linear(n_features, n_features))
        self.norm = nn.LayerNorm(n_features)
        self.decision = spectral_norm(nn.Linear(n_features, 1))

    def view(self, x: Float[Tensor, "*b f"]) -> Float[Tensor, "*b f"]:
        """v(x)."""
        return self.norm(F.leaky_relu(self.middle(x)))

    def forward(self, x: Float[Tensor, "*b f"]) -> Float[Tensor, "*b 1"]:
        """D(x)."""
        return self.decision(self.view(x))


@builder("relation-critic")
def relation_critic(n_features: int) -> RelationCritic:
    """A `RelationCritic` that has learnt nothing yet."""
    return RelationCritic(n_features)


def class_matching(
    critic: RelationCritic, x: Float[Tensor, "b f"], wrong: Float[Tensor, "b f"], y: Int[Tensor, " b"],
    centroids: Float[Tensor, "c f"], margin: float,
) -> Float[Tensor, ""]:  # fmt: skip
    """mean max(0, margin - c_y(x) + c_y(x')), c_y(x) = v(x) . v(centroid of y)."""
    anchor = critic.view(centroids)[y]
    right, other = ((critic.view(some) * anchor).sum(dim=1) for some in (x, wrong))
    return F.relu(margin - right + other).mean()


def pivot(fake: Float[Tensor, "b f"], y: Int[Tensor, " b"], centroids: Float[Tensor, "c f"]) -> Float[Tensor, ""]:
    """Mean over the relations in a batch of ||mean of what is generated - centroid||, not squared."""
    present = torch.unique(y)
    means = torch.stack([fake[y == r].mean(dim=0) for r in present])
    return (means - centroids[present]).norm(dim=1).mean()


def critic_total(
    critic: RelationCritic, real: Float[Tensor, "b f"], fake: Float[Tensor, "b f"], wrong: Float[Tensor, "b f"],
    y: Int[Tensor, " b"], centroids: Float[Tensor, "c f"], *, penalty: float, matching: float, margin: float,
    generator: torch.Generator,
) -> Float[Tensor, ""]:  # fmt: skip
    """Step 11: -D(real) + D(fake), the gradient penalty, and half the hinges of real and of generated features."""
    game = critic_loss(lambda x, a: critic(x), real, fake, real, penalty=penalty, generator=generator)
    hinges = [class_matching(critic, some, wrong, y, centroids, margin) for some in (real, fake)]
    return game + matching * (0.5 * hinges[0] + 0.5 * hinges[1])


def generator_total(
    critic: RelationCritic, fake: Float[Tensor, "b f"], wrong: Float[Tensor, "b f"], y: Int[Tensor, " b"],
    centroids: Float[Tensor, "c f"], *, matching: float, margin: float, pivot_weight: float,
) -> Float[Tensor, ""]:  # fmt: skip
    """Step 12: -D(fake), the hinge of generated features, and their distance from the centroids."""
    hinge = class_matching(critic, fake, wrong, y, centroids, margin)
    return -critic(fake).mean() + matching * hinge + pivot_weight * pivot(fake, y, centroids)

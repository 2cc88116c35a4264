"""OS-OSP: more of the pairs that are hard, put together from pictures of other pairs."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn


def hardness(accuracy: Float[Tensor, " p"]) -> Float[Tensor, " p"]:
    """How often each pair is drawn: softmax(1 - accuracy)."""
    return torch.softmax(1 - accuracy, dim=0)


class Accuracy(nn.Module):
    """The training accuracy of every pair in the last epoch that had it; 0 before. Buffers of a checkpoint."""

    last: Tensor
    right: Tensor
    count: Tensor

    def __init__(self, n_pairs: int) -> None:
        super().__init__()
        for name in ("last", "right", "count"):
            self.register_buffer(name, torch.zeros(n_pairs))

    @torch.no_grad()
    def note(self, scores: Float[Tensor, "b p"], y: Int[Tensor, " b"]) -> None:
        """Count which samples of a batch are right."""
        self.count += torch.bincount(y, minlength=len(self.count))
        self.right += torch.bincount(y, weights=(scores.argmax(dim=1) == y).float(), minlength=len(self.count))

    def close(self) -> None:
        """The end of an epoch."""
        self.last = torch.where(self.count > 0, self.right / self.count.clamp_min(1), self.last)
        self.right, self.count = torch.zeros_like(self.right), torch.zeros_like(self.count)


class Recombined(NamedTuple):
    """Pictures to take the attribute and the object from, and the pair that they make, (b,) each."""

    of_attribute: Int[Tensor, " b"]
    of_object: Int[Tensor, " b"]
    pair: Int[Tensor, " b"]


class Recombination(nn.Module):
    """Which pictures stand in for the attribute and for the object of a pair [1, section 3.4].

    For a pair (a, o) the object comes from any picture of o. The attribute comes from a picture of a on an object
    that is drawn by softmax(similarity to o / temperature) among the objects that are seen with a: a similar object
    shows the attribute alike.

    Parameters
    ----------
    pairs : Tensor (p, 2)
        Attribute and object of the pairs that have samples.
    y : Tensor (n,)
        The pair of each sample.
    similarity : Tensor (n_objects, n_objects) or None
        Of objects; None draws the picture of the attribute among all that have it.
    temperature : float, > 0
    """

    attribute_from: Tensor
    object_from: Tensor
    order: Tensor
    start: Tensor
    count: Tensor

    def __init__(
        self,
        pairs: Int[Tensor, "p 2"],
        y: Int[Tensor, " n"],
        similarity: Float[Tensor, "o o"] | None,
        temperature: float = 1.0,
    ) -> None:
        super().__init__()
        a, o = pairs.T
        count = torch.bincount(y, minlength=len(pairs))
        if similarity is None:
            weight = count.float().expand(len(pairs), -1)
        else:
            weight = torch.softmax(similarity[o][:, o] / temperature, dim=1)  # one pair for each object seen with a
        self.register_buffer("attribute_from", weight * (a[:, None] == a))
        self.register_buffer("object_from", count.float() * (o[:, None] == o))
        self.register_buffer("order", torch.argsort(y, stable=True))
        self.register_buffer("start", torch.cumsum(count, 0) - count)
        self.register_buffer("count", count)

    def draw(self, accuracy: Float[Tensor, " p"], n: int, generator: torch.Generator) -> Recombined:
        """`n` pairs, the hard ones more often, and the pictures to make them of."""
        pair = torch.multinomial(hardness(accuracy).cpu(), n, replacement=True, generator=generator)
        of_attribute, of_object = (
            self._picture(weights[pair.to(weights.device)], generator)
            for weights in (self.attribute_from, self.object_from)
        )
        return Recombined(of_attribute, of_object, pair.to(self.order.device))

    def _picture(self, weights: Float[Tensor, "b p"], generator: torch.Generator) -> Int[Tensor, " b"]:
        """A random sample of a random pair each."""
        of = torch.multinomial(weights.cpu(), 1, generator=generator)[:, 0].to(self.order.device)
        place = (torch.rand(len(of), generator=generator).to(self.order.device) * self.count[of]).long()
        return self.order[self.start[of] + place]


def object_similarity(words: Float[Tensor, "o d"]) -> Float[Tensor, "o o"]:
    """Cosines of the objects' word vectors."""
    unit = F.normalize(words, dim=1)
    return unit @ unit.T

"""A conditional random field over a chain: the likelihood of tags, the best ones, and how sure each is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn

NEVER = -1e4
"""The score of what cannot follow."""


class ChainCRF(nn.Module):
    """Scores of tags that follow each other, of the first and of the last.

    Parameters
    ----------
    n : int, > 0
        Tags.
    """

    def __init__(self, n: int) -> None:
        super().__init__()
        self.transitions = nn.Parameter(torch.zeros(n, n))
        self.start = nn.Parameter(torch.zeros(n))
        self.end = nn.Parameter(torch.zeros(n))

    def score(
        self, emissions: Float[Tensor, "b t n"], tags: Int[Tensor, "b t"], mask: Bool[Tensor, "b t"]
    ) -> Float[Tensor, "b"]:
        """The score of these tags; `mask` is True where there is a token, from the first on."""
        emitted = emissions.gather(2, tags[..., None])[..., 0] * mask
        steps = self.transitions[tags[:, :-1], tags[:, 1:]] * mask[:, 1:]
        last = tags.gather(1, mask.sum(dim=1, keepdim=True) - 1)[:, 0]
        return emitted.sum(dim=1) + steps.sum(dim=1) + self.start[tags[:, 0]] + self.end[last]

    def log_partition(self, emissions: Float[Tensor, "b t n"], mask: Bool[Tensor, "b t"]) -> Float[Tensor, "b"]:
        """The logarithm of the sum over all tags, by the forward algorithm."""
        alpha = self.start + emissions[:, 0]
        for t in range(1, emissions.shape[1]):
            step = torch.logsumexp(alpha[:, :, None] + self.transitions, dim=1) + emissions[:, t]
            alpha = torch.where(mask[:, t, None], step, alpha)
        return torch.logsumexp(alpha + self.end, dim=1)

    def loss(
        self, emissions: Float[Tensor, "b t n"], tags: Int[Tensor, "b t"], mask: Bool[Tensor, "b t"]
    ) -> Float[Tensor, ""]:
        """The negative log-likelihood, the mean over sentences."""
        return (self.log_partition(emissions, mask) - self.score(emissions, tags, mask)).mean()

    def viterbi(self, emissions: Float[Tensor, "t n"], allowed: Bool[Tensor, "n n"] | None = None) -> list[int]:
        """The best tags of one sentence; with `allowed`, of those whose steps are."""
        steps, start, end, rows = self._numbers(emissions)
        if allowed is not None:
            steps = np.where(allowed.numpy(), steps, NEVER)
        delta, back = start + rows[0], []
        for row in rows[1:]:
            table = delta[:, None] + steps
            where = table.argmax(axis=0)
            delta = table[where, np.arange(len(where))] + row
            back.append(where)
        tags = [int((delta + end).argmax())]
        for where in reversed(back):
            tags.append(int(where[tags[-1]]))
        return tags[::-1]

    def marginals(self, emissions: Float[Tensor, "t n"]) -> Float[Tensor, "t n"]:
        """How sure each tag of each token of one sentence is, by forward and backward sums."""
        steps, start, end, rows = self._numbers(emissions)
        forward, backward = [start + rows[0]], [end]
        for row in rows[1:]:
            forward.append(np.logaddexp.reduce(forward[-1][:, None] + steps, axis=0) + row)
        for row in rows[:0:-1]:
            backward.append(np.logaddexp.reduce(steps + (row + backward[-1])[None], axis=1))
        return torch.softmax(torch.as_tensor(np.array(forward) + np.array(backward[::-1])), dim=1).float()

    def _numbers(self, emissions: Tensor) -> tuple[NDArray[Any], ...]:
        """Steps, start, end and emissions as arrays in double precision: a sentence is too small for tensors."""
        parts = (self.transitions, self.start, self.end, emissions)
        return tuple(part.detach().cpu().double().numpy() for part in parts)


def bio_steps(tags: Sequence[str]) -> tuple[Bool[Tensor, "n n"], Bool[Tensor, "n"]]:
    """Which tag may follow which, and which may be the first: an I needs a B or an I of its class before it."""
    inside = [tag[2:] if tag.startswith("I-") else None for tag in tags]
    of_class = [tag[2:] if tag[:2] in ("B-", "I-") else None for tag in tags]
    allowed = torch.tensor([[label is None or before == label for label in inside] for before in of_class])
    return allowed, torch.tensor([label is None for label in inside])

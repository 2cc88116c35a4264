"""The combiner: one vector of a picture and of what shall count of it, or change (spec steps 7 and 8)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from unseen.nn.build import builder


class Combiner(nn.Module):
    """q = normalize(W_o c + lambda t + (1 - lambda) x), with c and lambda from both [1].

        a = drop(relu(W_t t)),  b = drop(relu(W_i x)),  c = drop(relu(W_c [a; b])),
        lambda = sigmoid(w drop(relu(W_l [a; b]))).

    x and t are what the towers give before they are brought to unit length.

    Parameters
    ----------
    dim : int
        d, of both vectors.
    project, hidden : int
        Widths of a and b, and of c.
    dropout : float in [0, 1)

    References
    ----------
    [1] Baldrati et al., "Conditioned and Composed Image Retrieval Combining and Partially Fine-Tuning CLIP-based
        Features", CVPR workshops 2022; the combiner of GeneCIS.
    """

    def __init__(self, dim: int, project: int = 2560, hidden: int = 5120, dropout: float = 0.5) -> None:
        super().__init__()
        self.of_text, self.of_image = nn.Linear(dim, project), nn.Linear(dim, project)
        self.combined, self.output = nn.Linear(2 * project, hidden), nn.Linear(hidden, dim)
        self.scale, self.scalar = nn.Linear(2 * project, hidden), nn.Linear(hidden, 1)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "b d"], t: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
        """Unit vectors of pictures x under texts t."""
        both = torch.cat([self.drop(F.relu(self.of_text(t))), self.drop(F.relu(self.of_image(x)))], dim=1)
        c = self.drop(F.relu(self.combined(both)))
        share = torch.sigmoid(self.scalar(self.drop(F.relu(self.scale(both)))))
        return F.normalize(self.output(c) + share * t + (1 - share) * x, dim=1)


@builder("combiner")
def combiner(dim: int, project: int = 2560, hidden: int = 5120, dropout: float = 0.5) -> Combiner:
    """A `Combiner` with fresh weights."""
    return Combiner(dim, project, hidden, dropout)

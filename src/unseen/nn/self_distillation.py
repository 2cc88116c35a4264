"""Local-to-global self-distillation: what a network says of a part of a picture follows what its own average says.

    P_t = softmax((h_t(g_t(x')) - c) / tau_t),   P_s = softmax(h_s(g_s(x)) / tau_s),
    L = mean of -sum_k P_t log P_s over a teacher's view x' and a student's view x of one picture that are not the same

The teacher (g_t, h_t) is the exponential moving average of the student (`unseen.nn.averaging.follow`), it sees large
boxes alone and gets no gradient; the centre c, a moving mean of its logits, keeps one output from winning, the low
temperature tau_t keeps all from being equal [1].

References
----------
[1] Caron et al., "Emerging Properties in Self-Supervised Vision Transformers", ICCV 2021.
[2] Naeem et al., "SILC: Improving Vision Language Pretraining with Self-Distillation", ECCV 2024.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


def distillation_loss(
    teacher: Sequence[Float[Tensor, "b k"]],
    student: Sequence[Float[Tensor, "b k"]],
    centre: Float[Tensor, " k"],
    tau_teacher: float,
    tau_student: float,
) -> Float[Tensor, ""]:
    """The mean of cross-entropies over `view_pairs`; the first views of the student are those of the teacher.

    Parameters
    ----------
    teacher, student : sequences of Tensor (b, k)
        Logits of each view; no gradient flows into those of the teacher.
    """
    targets = [outputs(logits.detach(), centre, tau_teacher) for logits in teacher]
    guesses = [(logits / tau_student).log_softmax(dim=1) for logits in student]
    terms = [-(targets[t] * guesses[s]).sum(dim=1).mean() for t, s in view_pairs(len(teacher), len(student))]
    return torch.stack(terms).mean()


def view_pairs(n_teacher: int, n_student: int) -> list[tuple[int, int]]:
    """Views of teacher and student that are compared: all, but none with itself; n_teacher n_student - n_teacher.

    Raises
    ------
    ValueError
        If the student sees nothing but the one view of the teacher.
    """
    pairs = [(t, s) for t in range(n_teacher) for s in range(n_student) if t != s]
    if not pairs:
        raise ValueError(f"there must be a view beside that of the teacher; got {n_student}")
    return pairs


def moved_centre(
    centre: Float[Tensor, " k"], teacher: Sequence[Float[Tensor, "b k"]], momentum: float
) -> Float[Tensor, " k"]:
    """m c + (1 - m) times the mean of the teacher's logits over views and samples."""
    return momentum * centre + (1 - momentum) * torch.cat(list(teacher)).detach().mean(dim=0)


def warmed(start: float, end: float, progress: float, share: float) -> float:
    """A temperature that goes in a line from `start` to `end` in the first `share` of a training, and stays."""
    return end if share <= 0 or progress >= share else start + (end - start) * progress / share


class Projector(nn.Module):
    """From an embedding to K logits: three layers, a bottleneck of unit length, and K unit directions.

    Parameters
    ----------
    into : int
        Of the embedding, of unit length.
    hidden, bottleneck, out : int
        Units of the inner layers, of the bottleneck, and K.
    """

    def __init__(self, into: int, hidden: int, bottleneck: int, out: int) -> None:
        super().__init__()
        self.into = into
        self.layers = nn.Sequential(
            nn.Linear(into, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, bottleneck)
        )
        self.last = nn.Parameter(torch.empty(out, bottleneck))
        nn.init.trunc_normal_(self.last, std=0.02)
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=into**-0.5 if layer.in_features == into else 0.05)
                nn.init.zeros_(layer.bias)

    def forward(self, z: Float[Tensor, "b d"]) -> Float[Tensor, "b k"]:
        """Cosines with the K directions: the weights of the last layer are normed, their length is 1."""
        x = F.normalize(self.layers(z * math.sqrt(self.into)), dim=1)
        return F.linear(x, F.normalize(self.last, dim=1))


def outputs(logits: Float[Tensor, "n k"], centre: Float[Tensor, " k"], tau: float) -> Float[Tensor, "n k"]:
    """P_t: what a teacher says of each sample."""
    return ((logits - centre) / tau).softmax(dim=1)


def share_of_largest(p: Float[Tensor, " k"]) -> float:
    """Entropy of a distribution as a share of ln K."""
    return min(float(torch.special.entr(p).sum()) / math.log(max(len(p), 2)), 1.0)


def output_entropy(logits: Float[Tensor, "n k"], centre: Float[Tensor, " k"], tau: float) -> float:
    """Entropy of the mean of a teacher's outputs over samples, as a share of ln K: 0 where all are one output.

    Of n < K samples with one output each it is at most ln n / ln K; it is 1 where all outputs are alike, which
    `certainty` tells from a teacher that gives each sample its own.
    """
    return share_of_largest(outputs(logits, centre, tau).mean(dim=0))


def certainty(logits: Float[Tensor, "n k"], centre: Float[Tensor, " k"], tau: float) -> float:
    """One less the mean entropy of a teacher's outputs, as a share of ln K: 0 where a sample has all outputs alike."""
    shares = outputs(logits, centre, tau)
    return 1 - float(torch.special.entr(shares).sum(dim=1).mean()) / math.log(max(logits.shape[1], 2))

"""Distillation in feature space: similarities of a picture to sentences, of a sentence to pictures."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from unseen.nn.distillation import soft_cross_entropy

DIAGONAL = -1e4
"""What stands for the similarity of a picture to itself."""


def distill(teacher: Float[Tensor, "b m"], student: Float[Tensor, "b m"], temperature: float) -> Float[Tensor, ""]:
    """T^2 times the mean over rows of CE(softmax(teacher / T), softmax(student / T)).

    It differs from T^2 KL by the teacher's entropy, which no weight of the student changes.
    """
    return temperature**2 * soft_cross_entropy(teacher, student, temperature)


def among_pictures(z0: Float[Tensor, "b d"], z: Float[Tensor, "b d"], scale: Tensor, temperature: float) -> Tensor:
    """The same for pictures among the others of their batch; that of a picture to itself does not count."""
    mask = DIAGONAL * torch.eye(len(z), device=z.device)
    return distill(scale * z0 @ z0.T + mask, scale * z @ z.T + mask, temperature)

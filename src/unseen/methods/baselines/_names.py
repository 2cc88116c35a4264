"""What is learnt from class names alone: a vector for each, samples assigned to them, and vectors moved to samples."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from unseen.data.classes import ClassSpace
from unseen.methods.baselines.prototypes import CosineHead, cosine_head


def name_head(classes: ClassSpace, scale: float) -> CosineHead:
    """`scale` times the cosine with the embedding of each class.

    Raises
    ------
    ValueError
        If the classes have no embeddings.
    """
    if classes.embeddings is None:
        raise ValueError("classes must have embeddings; encode their descriptions with a two-tower encoder")
    head = cosine_head(classes.embeddings.shape[1], len(classes), scale)
    head.weight = F.normalize(torch.as_tensor(classes.embeddings), dim=1)
    return head


def assigned(scores: Float[Tensor, "m c"], sharpness: float) -> Float[Tensor, "m c"]:
    """Probabilities by a softmax whose scale is `sharpness` over the deviation of the scores, each class centred.

    So they are as sharp for an encoder whose cosines lie close together as for one whose cosines do not.
    """
    deviation = (scores - scores.mean(dim=0)).square().mean().sqrt()
    return torch.softmax(sharpness * scores / deviation.clamp_min(1e-6), dim=1)


def moved(
    names: Float[Tensor, "c d"], x: Float[Tensor, "m d"], p: Float[Tensor, "m c"], anchor: float
) -> Float[Tensor, "c d"]:
    """Unit vectors between each name and the mean of the samples that are assigned to it; `anchor` 1 is the name.

    A class without samples stays at its name.
    """
    means = F.normalize(p.T @ x, dim=1)
    return F.normalize(anchor * names + (1 - anchor) * means, dim=1).where(p.sum(dim=0)[:, None] > 0, names)

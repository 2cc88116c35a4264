"""Simple rivals of TMV-HLP: prototypes that move in both spaces of class vectors at once, and scores that spread."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from unseen.claims.drawings import drawn, first_by_hash, pictured
from unseen.data.domain import Domain
from unseen.data.sources import emoji, in_common
from unseen.methods.zero_shot.tmv_hlp.views import moved_prototypes
from unseen.nn.graphs import neighbour_graph, propagate
from unseen.nn.semantic import cosines, hub_norms

VENDORS = ("noto", "twemoji", "openmoji", "fluent-emoji", "emojione")
"""Who draws the emoji that no other experiment shows."""
SHARPNESS, NEIGHBOURS, ALPHA = 10.0, 5, 0.8
"""Of `spread`: the best of two, three and three that were tried on the ten opened folds."""


def unopened(n: int) -> tuple[Domain, ...]:
    """n emoji, no symbols, as five vendors draw them, without the n of each half of `unseen.claims.drawings`.

    They are those with the smallest hashes.
    """
    opened = {code for half in ("development", "confirmation") for code in drawn(half, n)[0].columns["emoji"].tolist()}
    styles = in_common(*(emoji(vendor, level="emoji") for vendor in VENDORS))
    fresh = np.array([code not in opened for code in styles[0].columns["emoji"].tolist()])
    return tuple(style.take(first_by_hash(styles[0], fresh & pictured(styles[0]), n)) for style in styles)


def joined(spaces: Sequence[Float[Tensor, "n _"]]) -> Float[Tensor, "n d"]:
    """Vectors in several spaces as vectors in one, in which each counts alike."""
    return torch.cat([F.normalize(space, dim=1) for space in spaces], dim=1)


class SelfTrained:
    """Prototypes moved once in one space, and the pool's scores, by which later samples are freed of hubs, too."""

    def __init__(self, pool: Float[Tensor, "n t"], prototypes: Float[Tensor, "c t"], k: int | None = None) -> None:
        self.prototypes = moved_prototypes(pool, prototypes, k)
        self.similar = cosines(pool, self.prototypes)
        self.norms = hub_norms(self.similar + 1)

    def scores(self, samples: Float[Tensor, "m t"]) -> Float[Tensor, "m c"]:
        """Similarities, hubs held down as in the pool."""
        return (cosines(samples, self.prototypes) + 1) / self.norms

    def spread(self, pictures: Float[Tensor, "n d"]) -> Float[np.ndarray, "n c"]:
        """The pool's scores, made equally large classes, spread over the graph of the nearest pictures."""
        logits = self.similar * SHARPNESS
        share = torch.softmax(logits, dim=1).mean(dim=0)
        labels = torch.softmax(logits - share.log(), dim=1).numpy()
        scaled = (pictures - pictures.mean(dim=0)) / (pictures.std(dim=0) + 1e-6)
        graph = neighbour_graph(F.normalize(scaled, dim=1), np.full(len(pictures), NEIGHBOURS))
        return propagate(functools.partial(graph.__matmul__), labels, ALPHA)

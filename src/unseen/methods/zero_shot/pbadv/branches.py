"""The networks: four branches over features, and the words of attributes and objects that they are compared with."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from unseen.nn.build import builder

WIDTH_OF_WORDS = 300
"""Of the trainable word vectors where none are given."""


class Outputs(NamedTuple):
    """What the branches make of a batch: the primitives' features and cosines with all pairs, attributes, objects.

    A branch that is switched off gives None.
    """

    f_attribute: Float[Tensor, "b d"]
    f_object: Float[Tensor, "b d"]
    pair: Float[Tensor, "b p"] | None
    composed: Float[Tensor, "b p"] | None
    attribute: Float[Tensor, "b a"]
    object: Float[Tensor, "b o"]


class Branches(nn.Module):
    """Cosine heads of the pair, of its two primitives, and of the primitives put together again [1, section 3.2].

    Parameters
    ----------
    n_features, n_attributes, n_objects, n_pairs : int
    embedding, hidden : int
        Widths of the space of cosines (e), and of the hidden layers; the first of the pair branch has half of it.
    words : int
        Width of the word vectors, which are trained too.
    dropout : float
        After hidden layers of the pair branch and of the disentanglers; three fifths of it in the composing branch.
    pairs : bool
        Whether there are the pair and the composing branch; without them a pair's score is that of its primitives.
    primitives : bool
        Whether the score has the primitives' and the composing branch; without them it is the pair branch's.

    Attributes
    ----------
    of_pairs : int64 Tensor (p, 2)
        Attribute and object of every pair: a buffer.
    """

    of_pairs: Tensor

    def __init__(
        self, n_features: int, n_attributes: int, n_objects: int, n_pairs: int, *, embedding: int, hidden: int,
        words: int, dropout: float, pairs: bool, primitives: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        d, e = n_features, embedding
        self.n_features = d
        self.pairs, self.primitives = pairs, primitives
        self.phi_pair = nn.Sequential(
            *_hidden(d, hidden // 2, dropout), *_hidden(hidden // 2, hidden, dropout), nn.Linear(hidden, e), nn.ReLU()
        )
        self.attribute = nn.Sequential(*_hidden(d, hidden, dropout), nn.Linear(hidden, d), nn.ReLU())
        self.object = nn.Sequential(*_hidden(d, hidden, dropout), nn.Linear(hidden, d), nn.ReLU())
        self.phi_attribute = nn.Sequential(nn.Linear(d, e), nn.ReLU())
        self.phi_object = nn.Sequential(nn.Linear(d, e), nn.ReLU())
        self.phi_composed = nn.Sequential(
            nn.Linear(2 * d, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Dropout(0.6 * dropout), nn.Linear(hidden, e)
        )
        self.attribute_words = nn.Parameter(torch.randn(n_attributes, words))
        self.object_words = nn.Parameter(torch.randn(n_objects, words))
        self.psi_attribute = nn.Sequential(nn.Linear(words, e), nn.ReLU())
        self.psi_object = nn.Sequential(nn.Linear(words, e), nn.ReLU())
        self.psi_pair = nn.Sequential(nn.Linear(2 * words, e), nn.ReLU())
        self.register_buffer("of_pairs", torch.zeros(n_pairs, 2, dtype=torch.long))

    def outputs(self, x: Float[Tensor, "b d"], pairs: Int[Tensor, "p 2"] | None = None) -> Outputs:
        """Everything about a batch; `pairs` are those that are scored, all if absent."""
        f_a, f_o = self.attribute(x), self.object(x)
        pair = cosine(self.phi_pair(x), self.pair_words(pairs)) if self.pairs else None
        composed = self.composed(f_a, f_o, pairs) if self.pairs and self.primitives else None
        return Outputs(f_a, f_o, pair, composed, self.attribute_head(f_a), self.object_head(f_o))

    def attribute_head(self, f_a: Float[Tensor, "b d"]) -> Float[Tensor, "b a"]:
        """Cosines of an attribute's features with the attributes' words."""
        return cosine(self.phi_attribute(f_a), self.psi_attribute(self.attribute_words))

    def object_head(self, f_o: Float[Tensor, "b d"]) -> Float[Tensor, "b o"]:
        """Cosines of an object's features with the objects' words."""
        return cosine(self.phi_object(f_o), self.psi_object(self.object_words))

    def composed(
        self, f_a: Float[Tensor, "b d"], f_o: Float[Tensor, "b d"], pairs: Int[Tensor, "p 2"] | None = None
    ) -> Float[Tensor, "b p"]:
        """Cosines of two primitives, put together, with pairs."""
        return cosine(self.together(f_a, f_o), self.pair_words(pairs))

    def together(self, f_a: Float[Tensor, "b d"], f_o: Float[Tensor, "b d"]) -> Float[Tensor, "b e"]:
        """phi_cp: two primitives as one embedding."""
        return self.phi_composed(F.normalize(torch.cat([f_a, f_o], dim=1), dim=1))

    def pair_words(self, pairs: Int[Tensor, "p 2"] | None = None) -> Float[Tensor, "p e"]:
        """What pairs are called, in the space of cosines; all of them if none are named."""
        a, o = (self.of_pairs if pairs is None else pairs).T
        return self.psi_pair(torch.cat([self.attribute_words[a], self.object_words[o]], dim=1))

    def forward(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b p"]:
        """The score of every pair: the sum of its cosines in all branches, unit weights."""
        out = self.outputs(x)
        a, o = self.of_pairs.T
        parts = [part for part in (out.pair, out.composed) if part is not None]
        if self.primitives:
            parts += [out.attribute[:, a], out.object[:, o]]
        return torch.stack(parts).sum(dim=0)


def cosine(z: Float[Tensor, "b e"], words: Float[Tensor, "c e"]) -> Float[Tensor, "b c"]:
    """Cosine of each sample with each word."""
    return F.normalize(z, dim=1) @ F.normalize(words, dim=1).T


def _hidden(width: int, out: int, dropout: float) -> list[nn.Module]:
    return [nn.Linear(width, out), nn.LayerNorm(out), nn.ReLU(), nn.Dropout(dropout)]


@contextlib.contextmanager
def at_rest(network: nn.Module) -> Iterator[None]:
    """Evaluation mode for the block: no dropout, no new statistics."""
    training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(training)


@builder("pbadv-branches")
def branches(
    n_features: int, n_attributes: int, n_objects: int, n_pairs: int, embedding: int, hidden: int, words: int,
    dropout: float, pairs: bool, primitives: bool,
) -> Branches:  # fmt: skip
    """`Branches` with fresh weights."""
    return Branches(
        n_features, n_attributes, n_objects, n_pairs, embedding=embedding, hidden=hidden, words=words, dropout=dropout,
        pairs=pairs, primitives=primitives,
    )  # fmt: skip

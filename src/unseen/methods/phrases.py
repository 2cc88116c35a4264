"""What maps phrases to the nodes of a taxonomy: how nodes are ranked, and whose vectors phrases have."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from unseen.data.typing import IntArray
from unseen.data.words import WordVectors
from unseen.methods.base import Method
from unseen.methods.verbs import gives


class Ranked(NamedTuple):
    """The nodes nearest to each phrase, the nearest first.

    Attributes
    ----------
    nodes : int array (n, k)
        Class indices; `UNKNOWN` for a phrase that nothing is known of.
    scores : float array (n, k)
        At most 1; what they mean is the method's.
    """

    nodes: NDArray[np.int64]
    scores: NDArray[np.float32]


class PhraseMapper(Method):
    """What all methods have that map phrases to nodes: `fit` takes phrases labelled with nodes, classes and words.

    `unseen map` takes any subclass, those of other packages, too.
    """

    reads_whole: ClassVar[bool] = False
    """Whether vectors of whole phrases suit it better than vectors of words, where nobody says which."""

    words_: WordVectors = dataclasses.field(init=False)
    skipped_: int = dataclasses.field(init=False)
    left_out_: int = dataclasses.field(init=False)

    def reading(self, words: WordVectors) -> Self:
        """A copy that has vectors for other phrases or words."""
        other = copy.copy(self)
        other.words_ = words
        return other

    @gives("features", reads="text")
    def transform(self, x: Any) -> Float[Tensor, "n d"]:
        """A vector of each phrase, (n, d), of unit length; zeros where nothing is known of it."""
        raise TypeError(f"{type(self).__name__} has no vectors of phrases")

    @gives("ranking", reads="text")
    def rank(self, x: Any, k: int = 10, within: Any = None) -> Ranked:
        """The k nearest nodes of each phrase.

        Parameters
        ----------
        x : n phrases
        k : int, >= 1
            At most as many as there are candidates.
        within : int array, optional
            The nodes that compete, such as a `Taxonomy.subtree`; all of them if absent.
        """
        raise TypeError(f"{type(self).__name__} ranks no nodes")

    def predict(self, x: Any) -> NDArray[np.int64]:
        """The nearest node of each phrase, (n,); `UNKNOWN` where nothing is known of it."""
        return self.rank(x, 1).nodes[:, 0]


def competing(within: Any, n_nodes: int, k: int) -> IntArray:
    """The nodes that compete, ascending and each once; all if `within` is None.

    Raises
    ------
    ValueError
        If k is less than 1, or `within` holds no node, or what is none.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1; got {k}")
    candidates = np.arange(n_nodes) if within is None else np.unique(np.asarray(within))
    if len(candidates) and candidates.dtype.kind not in "iu":
        raise ValueError(f"within must hold indices of nodes, integers; got {candidates.dtype}")
    if not len(candidates) or candidates[0] < 0 or candidates[-1] >= n_nodes:
        raise ValueError(f"within must hold nodes in [0, {n_nodes}), at least one; got {len(candidates)}")
    return candidates

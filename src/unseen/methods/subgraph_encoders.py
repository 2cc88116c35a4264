"""What encodes subgraphs into the space of a sentence encoder: what all such methods share."""

from __future__ import annotations

import dataclasses
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from unseen.data.classes import ClassSpace
from unseen.methods.base import Method
from unseen.methods.checks import as_subgraphs
from unseen.methods.verbs import gives


class SubgraphEncoder(Method):
    """What all methods have that know nodes by sentences; `unseen nodes` takes any subclass, also a plug-in's.

    `fit` takes `pairs` of subgraphs and the vectors of their summaries, and learns `answers_`. A subclass encodes in
    `transform`; where its `adapt` names a `support`, it is given the few labelled subgraphs that there are.

    Attributes
    ----------
    scale_ : float
        Factor of cosines.
    answers_ : Tensor (k, d)
        Unit vectors of what can be predicted: the classes that `adapt` named, or summaries of the pairs.
    prompt_, prompt_scores_ : Tensor (t, n_features), and tuple of float
        What `adapt` learnt from labels, and what held-out ones said of it; absent where a method learns none.
    """

    scale_: float = dataclasses.field(init=False)
    answers_: Tensor = dataclasses.field(init=False)
    prompt_: Tensor = dataclasses.field(init=False)
    prompt_scores_: tuple[float, ...] = dataclasses.field(init=False)

    def adapt(self, *, classes: ClassSpace) -> Self:
        """Name the classes of another graph, with embeddings (k, d) of a sentence about each."""
        self.answers_ = self.named(classes)
        return self

    def named(self, classes: ClassSpace) -> Float[Tensor, "k d"]:
        """Unit vectors of classes; `ValueError` unless they carry embeddings as wide as `answers_`, none of them 0."""
        dim = self.answers_.shape[1]
        if classes.embeddings is None or classes.embeddings.shape[1] != dim:
            got = "none" if classes.embeddings is None else str(classes.embeddings.shape[1])
            raise ValueError(f"classes must carry embeddings of {dim} dimensions, of a sentence about each; got {got}")
        vectors = torch.as_tensor(np.asarray(classes.embeddings, dtype=np.float32))
        empty = (~(vectors.norm(dim=1) > 0)).nonzero()[:, 0].tolist()
        if empty:
            raise ValueError(f"classes must carry embeddings that are not 0; that of {classes.names[empty[0]]!r} is")
        return F.normalize(vectors, dim=1)

    @gives("features", reads="subgraphs")
    def transform(self, x: Any) -> Float[Tensor, "n d"]:
        """Unit vectors of subgraphs in the space of the sentence encoder, (n, d)."""
        raise TypeError(f"{type(self).__name__} encodes no subgraphs")

    @gives("scores", reads="subgraphs")
    def decision_function(self, x: Any) -> Float[Tensor, "n k"]:
        """s <z, t_c>, (n, k): the classes that `adapt` named, or summaries of the pairs."""
        return self.scale_ * self.transform(x) @ self.answers_.T

    @gives("probabilities", reads="subgraphs")
    def predict_proba(self, x: Any) -> Float[Tensor, "n k"]:
        """Probabilities of the classes, (n, k)."""
        return torch.softmax(self.decision_function(x), dim=1)

    @gives("classes", reads="subgraphs")
    def predict(self, x: Any) -> NDArray[np.int64]:
        """Index of the class whose sentence is nearest, (n,)."""
        return self.decision_function(x).argmax(dim=1).numpy()

    @gives("scores", reads="subgraphs")
    def link_scores(self, x: Any, others: Any) -> Float[Tensor, "n"]:
        """How likely the roots of `x` and `others`, row by row, are linked: the cosine of their subgraphs."""
        batch = as_subgraphs(others, vars(self).get("n_features_in_"))
        if len(batch.roots) != len(x.roots):
            raise ValueError(f"others must hold {len(x.roots)} subgraphs, one for each of x; got {len(batch.roots)}")
        return (self.transform(x) * self.transform(batch)).sum(dim=1)

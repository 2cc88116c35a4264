"""What chooses samples to train on: filter, deduplicate and cluster once, then keep any number of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, ClassVar, Self

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from unseen.data.domain import Domain
from unseen.methods.base import Method, NotFittedError
from unseen.methods.parameters import Count, Natural, Within
from unseen.nn.concepts.concepts import MEMBER, Concepts, find_concepts
from unseen.nn.concepts.selection import Pick, Selection, number
from unseen.nn.rows import SHORTEST, Rows, unit
from unseen.nn.semdedup import Same

GROUPS = "Samples that are alike form a group, a concept."
"""How explanations begin."""


class Pruner(Method):
    """What all methods have that choose samples to train on; `unseen prune` takes any subclass, also a plug-in's.

    A subclass says in `choose` which members of the concepts are kept, perhaps in `inside` how they are ordered within
    one, and in `reasons` and `explanation` what a report says of it.

    `target` holds one embedding of each sample; its column ``similarity``, if there is one, is the cosine of picture
    and caption. `fit` filters by it, drops near-duplicates, and clusters; `transduction_` then says of every sample
    whether it is kept (1) or not (0), and `select` chooses any other number without clustering again. A sample whose
    embedding has no direction (zeros, or too long for float32) is never kept.

    Parameters
    ----------
    keep : float in (0, 1]
        Share of the samples that `transduction_` and `predict` keep; of what is left after filter and deduplication
        all, if that is less.
    n_clusters : int, >= 0
        Concepts; 0 takes the square root of half the number of samples, 500 at most.
    quality : float in (0, 1]
        Share with the largest similarity that stays before all else; without a column ``similarity`` all do.
    dedup : float in [0, 2] or None
        Of samples of a cluster whose cosine is above 1 - dedup, one stays; 0 drops exact copies only, None nothing. How
        near duplicates are depends on the encoder.
    restarts : int, >= 0
        Of k-means; 0 takes ten where at most 20,000 samples are learnt from, else one.
    iterations : int, >= 1
        Of each restart, at most.
    train_per_cluster : int, >= 1
        Samples per concept that k-means learns from.
    """

    of_target: ClassVar[tuple[str, ...]] = ("transduction_", "clusters_", "distances_", "fates_", "similarity_")

    keep: Annotated[float, Within(0, 1, open_low=True)] = 0.3
    n_clusters: Natural = 0
    quality: Annotated[float, Within(0, 1, open_low=True)] = 1.0
    dedup: Annotated[float, Within(0, 2)] | None = None
    restarts: Natural = 0
    iterations: Count = 25
    train_per_cluster: Count = 256

    # -- what a subclass says ----------------------------------------------------------------------------------

    def choose(self, concepts: Concepts, n: int) -> Selection:
        """Choose n members of the concepts; `Concepts.chosen` makes a `Selection` of positions."""
        raise TypeError(f"{type(self).__name__} chooses no samples")

    @property
    def inside(self) -> Pick:
        """Which members of a concept are kept first; "random" has no rule for samples that were not seen."""
        return "random"

    @property
    def reads_similarity(self) -> bool:
        """Whether every sample must have a similarity of picture and caption."""
        return self.quality < 1

    def check(self, names: Iterable[str]) -> None:
        """`ValueError` if one of the hyperparameters that were told changes nothing beside the others."""

    @property
    def reasons(self) -> tuple[str, str]:
        """Why samples are kept, and why those are not that could have been, in a few words each."""
        return f"chosen by {self.card.slug}", "not chosen"

    @property
    def explanation(self) -> str:
        """How samples are chosen, in a few sentences."""
        return self.card.summary

    # -- learning ------------------------------------------------------------------------------------------

    def fit(self, *, target: Domain) -> Self:
        """Filter, deduplicate, cluster, and keep the share `keep`."""
        similarity = target.columns.get("similarity")
        scores = similarity is not None and similarity.ndim == 1 and similarity.dtype.kind == "f"
        concepts = self.find(target.x, similarity if scores else None)
        self.centroids_, self.clusters_ = concepts.centroids, concepts.labels
        self.distances_, self.fates_ = concepts.distances, concepts.fates
        self.similarity_ = np.zeros(len(target)) if concepts.similarity is None else concepts.similarity
        chosen = self.choose(concepts, min(number(self.keep, len(target)), len(concepts.members)))
        self.complexity_, self.temperature_ = chosen.complexity, chosen.temperature
        self.budgets_ = chosen.budgets
        self.cuts_ = self._cuts(chosen)
        self.transduction_ = chosen.mask.astype(np.int64)
        return self

    def find(self, x: Rows, similarity: Float[np.ndarray, " n"] | None = None, *, same: Same | None = None) -> Concepts:
        """The concepts of samples, (n, d), which may stay on disk; see `find_concepts`."""
        return find_concepts(
            x,
            similarity=similarity,
            quality=self.quality,
            dedup=self.dedup,
            n_clusters=self.n_clusters,
            restarts=self.restarts,
            iterations=self.iterations,
            train_per_cluster=self.train_per_cluster,
            random_state=self.random_state,
            same=same,
        )

    # -- choosing ------------------------------------------------------------------------------------------

    def select(self, n: int | None = None, *, fraction: float | None = None) -> Selection:
        """Choose n samples of the target, or a fraction of them, without clustering again.

        Parameters
        ----------
        n : int
        fraction : float in (0, 1]
            Of all samples of the target. One of the two is given.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If both or none is given, or more is asked for than filter and deduplication leave.
        """
        if not self.fitted:
            raise NotFittedError(f"this {type(self).__name__} has not been fitted; call fit first")
        if (n is None) == (fraction is None):
            raise ValueError(f"give either n or fraction; got n={n!r} and fraction={fraction!r}")
        if fraction is not None:
            if not 0 < fraction <= 1:
                raise ValueError(f"fraction must lie in (0, 1]; got {fraction!r}")
            n = number(fraction, len(self.clusters_), "fraction")
        assert n is not None
        concepts = Concepts(self.centroids_, self.clusters_, self.distances_, self.fates_, self.similarity_)
        return self.choose(concepts, n)

    def decision_function(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n 2"]:
        """How far each sample is on the side of being dropped, and of being kept, (n, 2); larger is nearer.

        The second is its distance to the centroid of its concept less the cut there; without a rule for new
        samples (`inside` is "random") every concept of which something is kept keeps all.
        """
        cosines, concept = (unit(x) @ torch.as_tensor(self.centroids_).T).max(dim=1)
        beyond = torch.as_tensor(self.cuts_).float()
        distance = 1 - cosines
        margin = beyond[concept] - distance if self.inside == "easiest" else distance - beyond[concept]
        lengths = x.detach().float().norm(dim=1)
        margin = torch.where(lengths.isfinite() & (lengths > SHORTEST), margin, torch.full_like(margin, -2.0))
        return torch.stack([-margin, margin], dim=1)

    def _cuts(self, chosen: Selection) -> NDArray[np.float64]:
        """Of each concept the distance between the last sample that is kept and the first that is not, (k,)."""
        everything = -1.0 if self.inside != "easiest" else 3.0  # distances lie in [0, 2]
        cuts = np.where(chosen.budgets > 0, everything, 2.0 - everything)
        if self.inside == "random":
            return cuts
        sign = -1.0 if self.inside == "easiest" else 1.0
        value = sign * self.distances_.astype(np.float64)
        last, first = np.full(len(cuts), np.inf), np.full(len(cuts), -np.inf)
        out = np.flatnonzero((self.fates_ == MEMBER) & ~chosen.mask)
        np.minimum.at(last, self.clusters_[chosen.indices], value[chosen.indices])
        np.maximum.at(first, self.clusters_[out], value[out])
        some = (chosen.budgets > 0) & (chosen.budgets < chosen.sizes)
        cuts[some] = sign * (last[some] + first[some]) / 2
        return cuts

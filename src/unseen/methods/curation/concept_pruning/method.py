"""Density-based pruning as a method: fit once on embeddings, then choose any number of them."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from unseen.data.domain import Domain
from unseen.methods.base import Card, Method, NotFittedError
from unseen.methods.curation.concept_pruning.budgets import Measure
from unseen.methods.curation.concept_pruning.concepts import MEMBER, Concepts, find_concepts
from unseen.methods.curation.concept_pruning.selection import Pick, Selection, number
from unseen.methods.parameters import Count, Natural, Positive, Unit, Within
from unseen.nn.rows import SHORTEST, unit


class ConceptPruning(Method):
    """Choose which image-text pairs to train on, with a budget for each concept set by its complexity [1].

    `target` holds one embedding of each sample, best of a self-supervised image encoder; its column ``similarity``, if
    there is one, is the cosine of picture and caption. `fit` filters by it, drops near-duplicates, and clusters;
    `transduction_` then says of every sample whether it is kept (1) or not (0), and `select` chooses any other number
    without clustering again. A sample that was not seen is kept if it is as far from its concept's centroid as
    those are that are kept. One whose embedding has no direction (zeros, or too long for float32) is never kept.

    Parameters
    ----------
    keep : float in (0, 1]
        Share of the samples that `transduction_` and `predict` keep; of what is left after filter and deduplication
        all, if that is less.
    n_clusters : int, >= 0
        Concepts; 0 takes the square root of half the number of samples, 500 at most. The paper has 500 for 280 million
        samples, 100 for DataComp Medium.
    neighbours : int, >= 1
        Nearest other centroids whose mean distance is d_inter; 20 in the paper.
    temperature : float, > 0, or "auto"
        Divides the complexity in the softmax; 0.1 in the paper. "auto" takes that at which 0.7 of the concepts carry
        the budget (by the entropy), whatever the scale of the distances.
    floor : float in [0, 1]
        Each concept keeps at least this share of an equal budget, as in the official code (0.5 there), and at least
        one sample, as in the paper.
    pick : {"hardest", "easiest", "random"}
        What is kept inside a concept: what is farthest from its centroid, nearest, or any.
    measure : {"both", "intra", "inter"}
        What complexity is: d_intra d_inter, or one of the two alone (an ablation).
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

    References
    ----------
    [1] Abbas et al., "Effective pruning of web-scale datasets based on complexity of concept clusters", ICLR 2024.
    """

    card = Card(
        slug="concept-pruning",
        title="Effective pruning of web-scale datasets based on complexity of concept clusters",
        venue="ICLR 2024",
        official_code="amro-kamal/effective_pruning",
        summary="Choose which image-text pairs to train on, with a budget per concept set by its complexity.",
        unseen={"data"},
        modalities={"features"},
        protocols={"curation"},
        presets={
            "default": {},
            "paper": {"temperature": 0.1, "n_clusters": 500},
            "datacomp": {"temperature": 0.1, "n_clusters": 100},
            "code": {"temperature": 0.5, "floor": 0.5, "n_clusters": 500},
        },
        on_request={"paper", "datacomp", "code"},
        smoke={"restarts": 1},
        target_columns=("similarity",),
        parts=(
            "unseen.nn.spherical",
            "unseen.nn.semdedup",
            "unseen.nn.box_simplex",
            "unseen.curation.uids",
            "unseen.jobs.pruning.job",
        ),
        notes=(
            "The quadratic programme is solved exactly by sorting where its solution bends; the official code calls "
            "OSQP and rounds, so its sum may be off by a few. Here whole budgets sum to what was asked for.",
            "The argument of the official code that is named a pruning ratio is the fraction that is kept; here it is "
            "`keep`.",
            "`temperature='auto'` is ours: softmax over untempered complexities of 0.01 to 0.3 is nearly uniform.",
            "Deduplication is one pass, as in SemDeDup's code: a sample goes if one before it, farther from the "
            "centroid, is nearly equal, also where that one went itself; of equal ones the first stays. Its clusters "
            "are its own, one for every 1,000 samples at least; one of more than 4,000 is split.",
            "d_inter leaves the centroid itself out by its index, not by dropping the first hit of a search.",
            "With fewer samples to keep than concepts the lower bound is 0.",
        ),
        left_out=(
            "Training OpenCLIP on the survivors (step 11): `unseen prune` writes the keys for any loader; the claim "
            "trains a small two-tower model on kept, random and all pairs.",
            "The embedding (step 3) is of any encoder of `unseen encoders`; DINOv2-L/14 comes as `timm:...` or "
            "`hub:...` where its weights can be had.",
        ),
        cost=0.5,
    )
    of_target: ClassVar[tuple[str, ...]] = ("transduction_", "clusters_", "distances_", "fates_", "similarity_")

    keep: Annotated[float, Within(0, 1, open_low=True)] = 0.3
    n_clusters: Natural = 0
    neighbours: Count = 20
    temperature: Positive | Literal["auto"] = "auto"
    floor: Unit = 0.0
    pick: Pick = "hardest"
    measure: Measure = "both"
    quality: Annotated[float, Within(0, 1, open_low=True)] = 1.0
    dedup: Annotated[float, Within(0, 2)] | None = None
    restarts: Natural = 0
    iterations: Count = 25
    train_per_cluster: Count = 256

    def fit(self, *, target: Domain) -> Self:
        """Filter, deduplicate, cluster (steps 1 to 4), and keep the share `keep`."""
        similarity = target.columns.get("similarity")
        scores = similarity is not None and similarity.ndim == 1 and similarity.dtype.kind == "f"
        found = find_concepts(
            target.x,
            similarity=similarity if scores else None,
            quality=self.quality,
            dedup=self.dedup,
            n_clusters=self.n_clusters,
            restarts=self.restarts,
            iterations=self.iterations,
            train_per_cluster=self.train_per_cluster,
            random_state=self.random_state,
        )
        self.centroids_, self.clusters_ = found.centroids, found.labels
        self.distances_, self.fates_ = found.distances, found.fates
        self.similarity_ = np.zeros(len(target)) if found.similarity is None else found.similarity
        chosen = self._chosen(min(number(self.keep, len(target)), len(found.members)))
        self.complexity_, self.temperature_ = chosen.complexity, chosen.temperature
        self.budgets_ = chosen.budgets
        self.cuts_ = self._cuts(chosen)
        self.transduction_ = chosen.mask.astype(np.int64)
        return self

    def select(self, n: int | None = None, *, fraction: float | None = None) -> Selection:
        """Choose n samples of the target, or a fraction of them, without clustering again (steps 5 to 10).

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
            raise NotFittedError("this ConceptPruning has not been fitted; call fit first")
        if (n is None) == (fraction is None):
            raise ValueError(f"give either n or fraction; got n={n!r} and fraction={fraction!r}")
        if fraction is not None:
            if not 0 < fraction <= 1:
                raise ValueError(f"fraction must lie in (0, 1]; got {fraction!r}")
            n = number(fraction, len(self.clusters_), "fraction")
        assert n is not None
        return self._chosen(n)

    def decision_function(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n 2"]:
        """How far each sample is on the side of being dropped, and of being kept, (n, 2); larger is nearer.

        The second is its distance to the centroid of its concept less the cut there; without a rule for new
        samples (``pick="random"``) every concept with a budget keeps all.
        """
        cosines, concept = (unit(x) @ torch.as_tensor(self.centroids_).T).max(dim=1)
        beyond = torch.as_tensor(self.cuts_).float()
        distance = 1 - cosines
        margin = beyond[concept] - distance if self.pick == "easiest" else distance - beyond[concept]
        lengths = x.detach().float().norm(dim=1)
        margin = torch.where(lengths.isfinite() & (lengths > SHORTEST), margin, torch.full_like(margin, -2.0))
        return torch.stack([-margin, margin], dim=1)

    def _concepts(self) -> Concepts:
        return Concepts(self.centroids_, self.clusters_, self.distances_, self.fates_, self.similarity_)

    def _chosen(self, n: int) -> Selection:
        return self._concepts().select(
            n,
            temperature=self.temperature,
            neighbours=self.neighbours,
            floor=self.floor,
            pick=self.pick,
            measure=self.measure,
            random_state=self.random_state,
        )

    def _cuts(self, chosen: Selection) -> NDArray[np.float64]:
        """Of each concept the distance between the last sample that is kept and the first that is not, (k,)."""
        everything = -1.0 if self.pick != "easiest" else 3.0  # distances lie in [0, 2]
        cuts = np.where(chosen.budgets > 0, everything, 2.0 - everything)
        if self.pick == "random":
            return cuts
        sign = -1.0 if self.pick == "easiest" else 1.0
        value = sign * self.distances_.astype(np.float64)
        last, first = np.full(len(cuts), np.inf), np.full(len(cuts), -np.inf)
        out = np.flatnonzero((self.fates_ == MEMBER) & ~chosen.mask)
        np.minimum.at(last, self.clusters_[chosen.indices], value[chosen.indices])
        np.maximum.at(first, self.clusters_[out], value[out])
        some = (chosen.budgets > 0) & (chosen.budgets < chosen.sizes)
        cuts[some] = sign * (last[some] + first[some]) / 2
        return cuts

"""Density-based pruning: which image-text pairs to train on, with a budget per concept set by its complexity."""

from __future__ import annotations

from typing import Literal

from unseen.methods.base import Card
from unseen.methods.parameters import Count, Positive, Unit
from unseen.methods.pruners import GROUPS, Pruner
from unseen.nn.concepts import Concepts, Selection
from unseen.nn.concepts.budgets import Measure
from unseen.nn.concepts.selection import Pick

PICKED = {
    "hardest": "Inside a concept the samples farthest from its middle are kept first.",
    "easiest": "Inside a concept the samples nearest to its middle are kept first (the paper keeps the farthest).",
    "random": "Inside a concept samples are kept at random (the paper keeps those farthest from its middle).",
}


class ConceptPruning(Pruner):
    """Choose which image-text pairs to train on, with a budget for each concept set by its complexity [1].

    `target` holds one embedding of each sample, best of a self-supervised image encoder. `Pruner` says how samples are
    filtered, deduplicated and clustered first; the paper has 500 concepts for 280 million samples, 100 for DataComp
    Medium.
    A sample that was not seen is kept if it is as far from its concept's centroid as those are that are kept.

    Parameters
    ----------
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
            "unseen.nn.concepts",
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
    neighbours: Count = 20
    temperature: Positive | Literal["auto"] = "auto"
    floor: Unit = 0.0
    pick: Pick = "hardest"
    measure: Measure = "both"

    def choose(self, concepts: Concepts, n: int) -> Selection:
        """Steps 5 to 10: complexity, budgets, and the first members of each concept."""
        return concepts.select(
            n,
            temperature=self.temperature,
            neighbours=self.neighbours,
            floor=self.floor,
            pick=self.pick,
            measure=self.measure,
            random_state=self.random_state,
        )

    @property
    def inside(self) -> Pick:
        """As `pick`."""
        return self.pick

    @property
    def reasons(self) -> tuple[str, str]:
        """Kept by `pick`; dropped by the budget."""
        return f"{self.pick} of its concept", "budget"

    @property
    def explanation(self) -> str:
        """What complexity is, and what stays inside a concept."""
        return (
            f"{GROUPS} Its complexity is how far its samples lie from its middle, times how far that lies from the "
            f"middle of other groups; a complex concept may keep more. {PICKED[self.pick]}"
        )

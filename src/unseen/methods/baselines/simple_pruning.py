"""Which samples to train on by one simple rule: equally many of each concept, the least prototypical ones, or any."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from unseen.methods.base import Card
from unseen.methods.parameters import Unit
from unseen.methods.pruners import GROUPS, Pruner
from unseen.nn.concepts import USES, Concepts, Selection
from unseen.nn.concepts.selection import Pick


class SimplePruning(Pruner):
    """Keep the samples that one rule puts first, after the same filter, deduplication and clustering [1].

    Parameters
    ----------
    rule : {"uniform", "ssp", "random", "similarity"}
        "uniform" gives all concepts the same budget, as far as they have members; "ssp" keeps the samples farthest from
        the centroid of their concept, whatever the concept; "random" draws; "similarity" takes the largest of the
        column ``similarity``, which every sample must have.
    pick : {"auto", "hardest", "easiest", "random"}
        Of uniform and ssp, what stays first: what is farthest from its centroid, nearest, or any (uniform alone).
        "auto" is "random" for uniform and "hardest" for ssp.
    floor : float in [0, 1]
        Of ssp: each concept keeps at least this share of an equal budget first, and one sample; 0.5 is the class
        balance of its paper, 0 is without.

    References
    ----------
    [1] Sorscher et al., "Beyond neural scaling laws: beating power law scaling via data pruning", NeurIPS 2022 (ssp).
    """

    card = Card(
        slug="simple-pruning",
        title="Beyond neural scaling laws: beating power law scaling via data pruning",
        venue="NeurIPS 2022",
        summary="Choose which samples to train on by one rule: the least prototypical ones, equal budgets, or any.",
        unseen={"data"},
        modalities={"features"},
        protocols={"curation"},
        smoke={"restarts": 1},
        target_columns=("similarity",),
        parts=("unseen.nn.concepts", "unseen.jobs.pruning.job"),
        baseline=True,
        notes=(
            "On development pools of its claim `concept-pruning` was better where copies stayed; this one, by equal "
            "budgets at random, after deduplication, the more so the less was kept (docs/prune.md).",
            "The paper keeps the hardest samples of all; equal budgets at random are stratified sampling by clusters.",
        ),
        cost=0.5,
    )

    rule: Literal["uniform", "ssp", "random", "similarity"] = "uniform"
    pick: Pick | Literal["auto"] = "auto"
    floor: Unit = 0.5

    def choose(self, concepts: Concepts, n: int) -> Selection:
        """The n members that the rule puts first."""
        options = {"floor": self.floor, "pick": self.inside}
        used = {name: value for name, value in options.items() if name in USES[self.rule]}
        return concepts.select(n, rule=self.rule, random_state=self.random_state, **used)  # type: ignore[arg-type]

    def check(self, names: Iterable[str]) -> None:
        """`ValueError` for `floor` or `pick` where the rule has no use for it."""
        for name in names:
            if name in ("floor", "pick") and name not in USES[self.rule]:
                others = " or ".join(rule for rule in ("ssp", "uniform") if name in USES[rule])
                raise ValueError(f"{name} has no effect with rule={self.rule!r}, only with {others}; leave it out")
        if self.rule == "ssp" and self.pick == "random":
            raise ValueError("pick must be hardest or easiest with rule='ssp'; at random is rule='random'")

    @property
    def inside(self) -> Pick:
        """What stays first of a concept; "random", too, for rules that look at no distance."""
        if "pick" not in USES[self.rule]:
            return "random"
        return self.pick if self.pick != "auto" else "hardest" if self.rule == "ssp" else "random"

    @property
    def reads_similarity(self) -> bool:
        """Of the quality filter, and of the rule."""
        return self.quality < 1 or self.rule == "similarity"

    @property
    def reasons(self) -> tuple[str, str]:
        """In the words of the rule."""
        return {
            "ssp": (f"{self.inside} of all", "hard" if self.inside == "easiest" else "prototypical"),
            "uniform": (f"{self.inside} of its concept", "budget"),
            "random": ("drawn at random", "not drawn"),
            "similarity": ("most similar caption", "less similar"),
        }[self.rule]

    @property
    def explanation(self) -> str:
        """The rule in a few sentences."""
        if self.rule == "ssp":
            side = "nearest to" if self.inside == "easiest" else "farthest from"
            least = f" Each concept keeps at least {self.floor:g} of an equal budget first." if self.floor else ""
            return f"{GROUPS} The samples {side} the middle of their group are kept, whatever their concept.{least}"
        if self.rule == "uniform":
            first = {"hardest": "those farthest from its middle first", "easiest": "those nearest to its middle first"}
            inside = first.get(self.inside, "any of them")
            return f"{GROUPS} All concepts may keep the same number, as far as they have members, {inside}."
        how = "at random" if self.rule == "random" else "by the similarity of caption and picture"
        return f"Samples are kept {how}. {GROUPS} Concepts are shown here; they play no part in the choice."

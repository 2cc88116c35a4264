"""Tags of pictures: probabilities by any tagger or two-tower encoder, kept once."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.data.typing import FloatArray
from unseen.methods.curation.concept_frequency.index import ConceptIndex, lemmas_of, of_lists


@dataclasses.dataclass(frozen=True, eq=False)
class TagTable:
    """Tag probabilities of pictures, kept once and cut where they are asked (spec step 17).

    Attributes
    ----------
    concepts : tuple of C str
    n : int
        Pictures.
    rows, columns : arrays (k,)
        Picture and concept of every probability that is kept.
    values : array (k,)
        The probabilities, at least `floor`.
    floor : float
        Smaller ones were not kept.
    """

    concepts: tuple[str, ...]
    n: int
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    values: NDArray[np.float32]
    floor: float = 0.0

    @classmethod
    def from_probabilities(cls, probabilities: FloatArray, concepts: Sequence[str], floor: float = 0.3) -> TagTable:
        """Keep what is at least `floor` of probabilities (n, C), by any tagger or two-tower encoder.

        Raises
        ------
        ValueError
            If the shape does not fit the concepts, or a value is no probability.
        """
        table = np.asarray(probabilities, dtype=np.float32)
        if table.ndim != 2 or table.shape[1] != len(concepts):
            raise ValueError(
                f"probabilities must be of shape (n, {len(concepts)}), a column per concept; got {table.shape}"
            )
        if not (np.isfinite(table).all() and table.min(initial=0) >= 0 and table.max(initial=0) <= 1 + 1e-6):
            raise ValueError("probabilities must be finite and lie in [0, 1]")
        rows, columns = np.nonzero(table >= floor)
        return cls(tuple(concepts), len(table), rows, columns, table[rows, columns], floor)

    @classmethod
    def joined(cls, parts: Sequence[TagTable]) -> TagTable:
        """Tables of pictures that follow each other, as one."""
        if not parts or len({(part.concepts, part.floor) for part in parts}) != 1:
            raise ValueError("parts must be tables of the same concepts and floor")
        starts = np.cumsum([0, *(part.n for part in parts)])
        rows = np.concatenate([part.rows + start for part, start in zip(parts, starts)])
        columns, values = (np.concatenate([getattr(part, name) for part in parts]) for name in ("columns", "values"))
        return cls(parts[0].concepts, int(starts[-1]), rows, columns, values, parts[0].floor)

    def at(self, threshold: float = 0.7, *, lemmas: str = "rules") -> ConceptIndex:
        """The index of pictures whose probability is at least `threshold`, in (0, 1]; the paper takes 0.5 to 0.7.

        Raises
        ------
        ValueError
            If probabilities that small were not kept.
        """
        if not max(self.floor, 1e-12) <= threshold <= 1:
            raise ValueError(f"threshold must lie in ({self.floor:g}, 1]; got {threshold}")
        kept = self.values >= threshold
        columns, rows = self.columns[kept], self.rows[kept]
        order = np.lexsort((rows, columns))
        cuts = np.searchsorted(columns[order], np.arange(len(self.concepts) + 1))
        held: dict[str, Any] = {}
        for k, concept in enumerate(self.concepts):
            key, pictures = " ".join(lemmas_of(concept, lemmas)), rows[order[cuts[k] : cuts[k + 1]]]
            held[key] = np.union1d(held[key], pictures) if key in held else np.unique(pictures)
        return of_lists(held, self.n, lemmas)

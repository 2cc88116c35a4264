"""A long-tailed test set of a user's rarest concepts for `unseen concepts --long-tail`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from unseen.data.domain import Domain
from unseen.jobs.concepts.pictures import load_pictures
from unseen.methods.curation.concept_frequency import LongTailSet, build_long_tail_set, lemmas_of, rare_concepts

if TYPE_CHECKING:
    from unseen.encoders.two_tower import TwoTowerEncoder
    from unseen.jobs.concepts.job import Concepts


def read_candidates(folder: str | os.PathLike[str]) -> Domain:
    """Candidates in class folders; unreadable ones are in `Domain.skipped`.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such folder, or it has no class folders of pictures.
    """
    pictures = load_pictures(folder, "candidates")
    if pictures.classes is None or pictures.y is None:
        raise ValueError(f"candidates must be a folder of class folders; {folder} has none")
    return pictures


def _folder_of(concept: str, folders: Sequence[str], lemmas: str) -> str | None:
    """The folder that is called as a concept is: exactly, else by its lemmas; two such are refused."""
    if concept in folders:
        return concept
    wanted = lemmas_of(concept, lemmas)
    matches = [folder for folder in folders if lemmas_of(folder, lemmas) == wanted]
    if len(matches) > 1:
        raise ValueError(f"candidates has several folders for {concept!r}: {', '.join(matches)}; make them one")
    return matches[0] if matches else None


def long_tail_set(
    analysis: Concepts,
    candidates: str | os.PathLike[str] | Domain,
    *,
    rarest: int = 290,
    per_class: int = 450,
    bits: int = 10,
    encoder: TwoTowerEncoder | None = None,
    outlier_below: float = 0.0,
    seed: int = 0,
) -> LongTailSet:
    """Clean and balance a user's candidates for the rarest concepts, in the manner of Let it Wag!

    Parameters
    ----------
    analysis : Concepts
    candidates : path or Domain
        Folder of class folders that are called as concepts are, or what `read_candidates` gave for it.
    rarest, per_class, bits : int
        Rarest concepts, with or without a folder, pictures of each, and bits in which a near duplicate differs at most.
    encoder : TwoTowerEncoder, optional
        Says what is an outlier: a picture whose own class has a probability below `outlier_below`.
    """
    pictures = candidates if isinstance(candidates, Domain) else read_candidates(candidates)
    assert pictures.classes is not None
    assert pictures.y is not None
    lemmas = analysis.facts["lemmas"]
    order = rare_concepts(analysis.concepts, analysis.counts)[:rarest]
    rare = [
        folder
        for i in order
        if (folder := _folder_of(analysis.concepts[i], pictures.classes.names, lemmas)) is not None
    ]
    if not rare:
        raise ValueError(
            f"no folder of `candidates` is called as one of the {len(order)} rarest concepts that occur; folders are "
            f"{', '.join(pictures.classes.names[:5])}, concepts {', '.join(analysis.concepts[i] for i in order[:5])}"
        )
    probability = None
    if encoder is not None and outlier_below > 0:
        every = encoder.classify(encoder.encode(pictures), pictures.classes)
        probability = every[np.arange(len(pictures)), np.maximum(pictures.y, 0)]
    return build_long_tail_set(
        pictures, per_class, bits, rare=tuple(dict.fromkeys(rare)), own_probability=probability,
        outlier_below=outlier_below, seed=seed,
    )  # fmt: skip

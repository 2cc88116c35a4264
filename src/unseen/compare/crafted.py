"""Crafted copies of source pictures as features: what tells candidates apart where nothing of a target is at hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Int

from unseen.compare.cells import split_source
from unseen.compare.inputs import Inputs
from unseen.data.domain import Domain
from unseen.data.shifts import FAMILIES
from unseen.validation import crafted_copies

if TYPE_CHECKING:
    from unseen.encoders import Encoder

MOST = 60
"""Pictures of a seed that are copied, once in each family."""


def crafted_checks(inputs: Inputs, seeds: int, asked: bool | None = None) -> dict[int, Domain]:
    """For each seed the copies of held-out source pictures in all families, as features with a column `family`.

    Parameters
    ----------
    inputs : Inputs
    seeds : int
    asked : bool, optional
        Whether to make them; if None, where there are pictures, and neither a target, a support nor a class to be
        held out tells candidates apart.

    Raises
    ------
    ValueError
        If they are asked for, and the source does not hold pictures.
    """
    raw = inputs.raw.get("source")
    possible = raw is not None and raw.kind == "image" and inputs.encoder is not None
    if asked and not possible:
        reason = "there is none" if raw is None else f"it holds {raw.kind}"
        raise ValueError(f"crafted=True needs a source of pictures, which an encoder reads; {reason}")
    if not (possible and (_decide(inputs) if asked is None else asked)):
        return {}
    assert inputs.source is not None
    assert inputs.encoder is not None
    return {seed: held_out_copies(inputs.source, inputs.raw["source"], seed, inputs.encoder) for seed in range(seeds)}


def _decide(inputs: Inputs) -> bool:
    """Whether nothing else that `choose` asks first is at hand."""
    return inputs.target is None and inputs.support is None and not len(inputs.classes.unseen)


def held_out_copies(source: Domain, pictures: Domain, seed: int, encoder: Encoder) -> Domain:
    """Features of copies of at most `MOST` of the source's pictures that the fits of a seed do not learn from.

    Parameters
    ----------
    source : Domain
        Labelled, as the fits learn from it.
    pictures : Domain
        Its pictures, in its order.
    seed : int
        Of the fits, which says what they hold out.
    encoder : Encoder
        Reads pictures.

    Returns
    -------
    Domain
        Features, with a column `family`; labels index the classes of `source`.
    """
    aside = np.flatnonzero(split_source(source, seed)[1])
    aside = np.sort(np.random.default_rng(seed).permutation(aside)[:MOST])
    height, width = encoder.example().shape[-2:]
    copies = copies_of([pictures.x[i] for i in aside.tolist()], source.labels[aside], (height, width))
    return encoder.encode(copies.replace(classes=source.classes))


def copies_of(pictures: Sequence[Any], y: Int[np.ndarray, " n"], size: tuple[int, int]) -> Domain:
    """A copy of every picture, first brought to `size` (height, width), in each family; a column `family` tells it."""
    from unseen.encoders.vision import as_image

    resized = np.stack([np.asarray(as_image(picture).resize(size[::-1])) for picture in pictures])
    copies = crafted_copies(resized.transpose(0, 3, 1, 2))
    x = np.concatenate([copy.transpose(0, 2, 3, 1) for copy in copies.values()])
    family = np.repeat(np.array(tuple(FAMILIES)), len(pictures))
    return Domain(x=x, y=np.tile(y, len(copies)), kind="image", columns={"family": family}, name="crafted")

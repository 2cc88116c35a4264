"""Crafted copies of source pictures as features: what tells candidates apart where nothing of a target is at hand."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unseen.compare.cells import split_source
from unseen.compare.inputs import Inputs
from unseen.data.domain import Domain
from unseen.data.shifts import FAMILIES
from unseen.validation import crafted_copies

MOST = 60
"""Pictures of a seed that are copied, once in each family."""


def crafted_checks(inputs: Inputs, seeds: int, asked: bool | None = None) -> dict[int, Domain]:
    """For each seed the copies of held-out source pictures in all families, as features with a column `family`.

    Parameters
    ----------
    inputs : Inputs
    seeds : int
    asked : bool, optional
        Whether to make them; if None, where there are pictures, and no target to tell candidates apart.

    Raises
    ------
    ValueError
        If they are asked for, and the source does not hold pictures.
    """
    raw = inputs.raw.get("source")
    possible = raw is not None and raw.kind == "image" and inputs.encoder is not None
    if asked and not possible:
        told = "there is none" if raw is None else f"it holds {raw.kind}"
        raise ValueError(f"crafted=True needs a source of pictures, which an encoder reads; {told}")
    if not (possible and (inputs.target is None if asked is None else asked)):
        return {}
    return {seed: _check(inputs, seed) for seed in range(seeds)}


def _check(inputs: Inputs, seed: int) -> Domain:
    """Copies of at most `MOST` of the pictures that the fits of a seed do not learn from."""
    assert inputs.source is not None
    assert inputs.encoder is not None
    aside = np.flatnonzero(split_source(inputs.source, seed)[1])
    aside = np.sort(np.random.default_rng(seed).permutation(aside)[:MOST])
    copies = crafted_copies(_pictures(inputs.raw["source"], aside, *inputs.encoder.example().shape[-2:]))
    x = np.concatenate([made.transpose(0, 2, 3, 1) for made in copies.values()])
    family = np.repeat(np.array(tuple(FAMILIES)), len(aside))
    y = np.tile(inputs.source.labels[aside], len(copies))
    made = Domain(x=x, y=y, kind="image", classes=inputs.source.classes, columns={"family": family}, name="crafted")
    return inputs.encoder.encode(made)


def _pictures(source: Domain, index: NDArray[np.int64], height: int, width: int) -> NDArray[np.uint8]:
    """Pictures of one size, (n, 3, h, w): as large as the encoder sees them."""
    from unseen.encoders.vision import as_image

    resized = [np.asarray(as_image(source.x[i]).resize((width, height))) for i in index.tolist()]
    return np.stack(resized).transpose(0, 3, 1, 2)

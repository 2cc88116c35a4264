"""How far predictions on this machine are from those of an exported file, where an encoder runs in bfloat16."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import numpy as np
import torch

from unseen.bundle import Bundle
from unseen.data.domain import Domain
from unseen.encoders.base import Encoder
from unseen.encoders.two_tower import TwoTowerEncoder

SAMPLES = 16
"""Meaningless samples that are predicted twice."""


def bfloat16_difference(bundle: Bundle, n: int = SAMPLES) -> float | None:
    """The largest difference of a probability between the model as it runs here and in float32, as it is exported.

    Parameters
    ----------
    bundle : Bundle
    n : int, >= 1
        Meaningless pictures or texts that both predict.

    Returns
    -------
    float or None
        None where the encoder runs in float32 here or there is none; NaN where no samples are made up for its kind.
    """
    encoder = bundle.encoder.image if isinstance(bundle.encoder, TwoTowerEncoder) else bundle.encoder
    if encoder is None or bundle.whole or encoder.backend(encoder.precision) != "torch-bf16":
        return None
    samples = _meaningless(encoder, n)
    if samples is None:
        return float("nan")
    exact = copy.copy(encoder)
    exact.precision = "fp32"
    here, there = (_probabilities(dataclasses.replace(bundle, encoder=used), samples) for used in (encoder, exact))
    return float((here - there).abs().max())


def _probabilities(bundle: Bundle, samples: Domain) -> torch.Tensor:
    scores = bundle.method.decision_function(bundle.features(samples, cache=False)) / bundle.temperature
    return torch.softmax(scores.float(), dim=1)


def _meaningless(encoder: Encoder, n: int) -> Domain | None:
    """Random patches of colour from 2 x 2 to 32 x 32, or random words; None for another kind."""
    rng = np.random.default_rng(0)
    x: Any
    if encoder.kind == "image":
        x = [_patches(rng, 2 ** (1 + k % 5)) for k in range(n)]
    elif encoder.kind == "text":
        letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
        x = [" ".join("".join(rng.choice(letters, 5)) for _ in range(1 + k % 12)) for k in range(n)]
    else:
        return None
    return Domain(x=x, kind=encoder.kind, name="meaningless samples")


def _patches(rng: np.random.Generator, side: int) -> np.ndarray:
    patches = rng.integers(256, size=(side, side, 3), dtype=np.uint8)
    return patches.repeat(256 // side, axis=0).repeat(256 // side, axis=1)

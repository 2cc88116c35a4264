"""Features of a domain: by the encoder as it is, and by its network on the domain's own statistics."""

from __future__ import annotations

import copy

import numpy as np
import torch
from numpy.typing import NDArray

from unseen import encoders
from unseen.data.domain import Domain
from unseen.encoders.defaults import DEFAULT_ENCODER
from unseen.nn.bn_statistics import batch_norms

BATCH = 128
"""Pictures that are normalized together, at most."""


def first_view(domain: Domain) -> NDArray[np.float32]:
    """Features of the default encoder for pictures and texts, as `compare` takes them; features as they are."""
    if domain.kind not in DEFAULT_ENCODER:
        return np.asarray(domain.x, dtype=np.float32)
    return encoders.get(DEFAULT_ENCODER[domain.kind]).encode(domain).x


def second_view(domain: Domain, batch: int = BATCH) -> NDArray[np.float32]:
    """Features of the encoder for pictures whose BatchNorm layers have the statistics of this domain.

    The pictures go through the network twice, in batches by content: first with the statistics of each batch, whose
    mean over the batches is kept; then with these, so that no feature depends on a batch. In float32: rounding grows
    where a channel hardly varies, and features in bfloat16 have a mean cosine to these of 0.94 to 0.98.

    Parameters
    ----------
    domain : Domain
        Of pictures.
    batch : int
        Pictures of a batch at most; batches are as large as each other.

    Returns
    -------
    array (n, d)
    """
    encoder = encoders.get(DEFAULT_ENCODER["image"])
    network = copy.deepcopy(encoder.module).eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    order = np.argsort(domain.digests(), kind="stable")
    pieces = np.array_split(order, -(-len(order) // batch))
    pictures = [encoder.preprocess([domain.x[int(i)] for i in piece]) for piece in pieces]
    layers = batch_norms(network).values()
    for layer in layers:
        layer.reset_running_stats()  # type: ignore[operator]
        layer.momentum = None  # type: ignore[assignment]
        layer.train()
    features = np.empty((len(order), encoder.dim), dtype=np.float32)
    with torch.no_grad():
        for images in pictures:
            network(images)
        for layer in layers:
            layer.eval()
        for piece, images in zip(pieces, pictures):
            features[piece] = network(images).numpy()
    return features

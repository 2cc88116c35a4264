"""What methods share that give every pixel a class."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from unseen.data.domain import Domain
from unseen.data.pixels import one_size
from unseen.data.tasks.base import objects
from unseen.methods.base import Method
from unseen.methods.verbs import gives
from unseen.nn.segmenters import SegmentationNetwork, as_segmenter, n_outputs

_AT_ONCE = 16


class SegmentingMethod(Method):
    """A method whose prediction is the likeliest class of every pixel by the fitted network `network_`."""

    network_: nn.Module = dataclasses.field(init=False)

    def decision_function(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k h w"]:
        """Scores of the classes of every pixel, of pictures of one size."""
        return torch.cat([self.network_(part) for part in torch.split(x, _AT_ONCE)])

    @gives("masks", reads="pictures")
    def predict(self, x: Any) -> NDArray[Any]:
        """The class of every pixel: an array of n masks, each (h, w), int64."""
        return objects(mask for mask, _ in self._each(x))

    @gives("masks and probabilities", reads="pictures")
    def predict_sure(self, x: Any) -> tuple[NDArray[Any], NDArray[Any]]:
        """The class of every pixel, and its probability: two arrays of n arrays (h, w)."""
        both = self._each(x)
        return objects(mask for mask, _ in both), objects(sure for _, sure in both)

    def _each(self, x: Sequence[Tensor]) -> list[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Masks and probabilities, pictures of one size together."""
        results: dict[int, Any] = {}
        for size in dict.fromkeys(picture.shape for picture in x):
            places = [i for i, picture in enumerate(x) if picture.shape == size]
            for start in range(0, len(places), _AT_ONCE):
                part = places[start : start + _AT_ONCE]
                p, y = torch.softmax(self.network_(torch.stack([x[i] for i in part])), dim=1).max(dim=1)
                results |= {i: (y[k].numpy(), p[k].numpy()) for k, i in enumerate(part)}
        return [results[i] for i in range(len(x))]

    def network(self) -> nn.Module:
        """The fitted network."""
        return self.network_


def check_crop(source: Domain, crop: int | None) -> None:
    """Raise `ValueError` if pictures of unlike sizes shall be batched whole."""
    if crop is None and one_size(source) is None:
        raise ValueError("source holds pictures of unlike sizes; tell a crop, the side of random squares of them")


def checked_model(model: nn.Module, source: Domain | None = None) -> SegmentationNetwork:
    """A trainable copy of a network that scores the classes of pixels.

    Raises
    ------
    ValueError
        If it has no `embed` and `head`, or `source` has a class that it has no output for.
    """
    try:
        network = as_segmenter(model)
    except TypeError as error:
        raise ValueError(str(error)) from error
    if source is not None:
        highest = max(int(np.max(mask)) for mask in source.labels)
        n = n_outputs(network)
        if highest >= n:
            raise ValueError(f"source has label {highest}; the model has outputs for {n} classes")
    return network

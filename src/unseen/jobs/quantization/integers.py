"""A quantized model as ONNX that computes in 8-bit integers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from unseen.bundle import Bundle, Whole
from unseen.nn.integer import IntegerFile, export_integers, plain_network, weights_of
from unseen.nn.quantizers import FLOAT, QuantizedNetwork, frozen_copy

if TYPE_CHECKING:
    from unseen.encoders import Encoder


def export_model(bundle: Bundle, file: str | os.PathLike[str], *, network: nn.Module | None = None) -> IntegerFile:
    """Write a quantized model as ONNX that computes in 8-bit integers, ranges from the pictures it was made with.

    Parameters
    ----------
    bundle : Bundle
    file : path
    network : Module, optional
        The float network: weights of 8 bits are then rounded once, and biases make up for coarser ones.

    Returns
    -------
    IntegerFile
        Logits of the file beside those of `network`, or of the simulated network if it is not given, and its speed
        beside that of the same network in floats.

    Raises
    ------
    ValueError
        If the model is not quantized, holds no distilled pictures, or all its layers are float.
    """
    pictures, small = vars(bundle.method).get("distilled_"), bundle.logits()
    if pictures is None or not isinstance(small, QuantizedNetwork):
        reason = f"{bundle.method.card.slug} has none"
        raise ValueError(f"integers need a quantized model with distilled pictures (zeroq, genie); {reason}")
    plain, exact = plain_network(small), None
    reference: nn.Module = small
    floats = [name for name in weights_of(plain) if small.weight_bits.get(name, FLOAT) == FLOAT]
    if len(floats) == len(weights_of(plain)):
        raise ValueError("integers need layers of 8 bits or fewer; all weights of this model are float")
    if network is not None:
        reference = frozen_copy(network)
        exact = weights_of(reference)
        for name, layer in plain.named_modules():
            if small.weight_bits.get(name) == 8:
                layer.weight.data = exact[name].clone()
    return export_integers(
        Whole(plain, bundle.temperature),
        bundle.example(),
        pictures,
        file,
        weights=exact and {f"scores.{name}": weight for name, weight in exact.items()},
        reference=Whole(reference, bundle.temperature),
        exclude=[f"scores.{name}" for name in floats],
        input_range=_input_range(bundle.encoder),
        output="probabilities",
        timed=True,
        metadata=bundle.onnx_metadata(),
    )


class InIntegers(nn.Module):
    """A file that `export_model` wrote, as a network that gives logarithms of probabilities."""

    def __init__(self, file: str | os.PathLike[str]) -> None:
        import onnxruntime

        super().__init__()
        self.session = onnxruntime.InferenceSession(os.fspath(file), providers=["CPUExecutionProvider"])

    def forward(self, x: Tensor) -> Tensor:
        """Of pictures as the network reads them, (b, c, h, w)."""
        probabilities = torch.as_tensor(self.session.run(None, {"x": x.numpy()})[0])
        return probabilities.clamp_min(torch.finfo(torch.float32).tiny).log()


def _input_range(encoder: Encoder | None) -> tuple[float, float] | None:
    """The least and largest number of a normalized picture, if that is what is read."""
    mean, std = (getattr(getattr(encoder, "preprocess", None), name, None) for name in ("mean", "std"))
    if not mean or not std:
        return None
    return min(-m / s for m, s in zip(mean, std)), max((1 - m) / s for m, s in zip(mean, std))

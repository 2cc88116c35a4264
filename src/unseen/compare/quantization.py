"""`unseen quantize`: a saved model, or a network by name, made small without data."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

from unseen import methods
from unseen.bundle import Bundle
from unseen.data.classes import ClassSpace
from unseen.methods.fixed import fixed


def quantize(
    model: str | os.PathLike[str] | Bundle,
    *,
    out: str | os.PathLike[str] | None = None,
    method: str = "zeroq",
    bits: str = "8/8",
    size: str | None = None,
    settings: dict[str, Any] | None = None,
    seed: int = 0,
    trust: bool = False,
) -> tuple[Bundle, dict[str, Any]]:
    """Quantize a network with BatchNorm; nothing but the network is used.

    Parameters
    ----------
    model : path, Bundle or name
        A folder that `unseen adapt` or `compare` saved, or the name of an encoder with a classifier of its own
        (efficientnet-lite0, timm:NAME).
    out : path, optional
        Where to save the quantized model, which loads and predicts like any other.
    method : str
        zeroq or dfq.
    bits : str
        Weight/activation bits, such as 8/8.
    size : str, optional
        Megabytes of weights, such as 3MB: bits of each layer are chosen (zeroq).
    settings, seed
        Hyperparameters and seed of the method.
    trust : bool
        As in `unseen.encoders.get`.

    Returns
    -------
    (Bundle, dict)
        The quantized model and what is known of it: sizes, seconds, agreement on distilled pictures.
    """
    if "quantization" not in methods.get(method).card.protocols:
        raise ValueError(f"method must quantize: zeroq or dfq; got {method!r}")
    wanted = {**_bits(bits), **_size(size, method), **(settings or {})}
    if size is not None and not bits.startswith("8/"):
        raise ValueError(f"size={size!r} chooses the bits of the weights; bits must be 8/ACTIVATIONS; got {bits!r}")
    make: Any = methods.get(method)
    quantizer = make(random_state=seed, **wanted)
    bundle = model if isinstance(model, Bundle) else _open(os.fspath(model), trust)
    network = bundle.logits()
    if method == "zeroq" and "shape" not in wanted:
        quantizer.set_params(shape=tuple(bundle.example().shape[1:]))
    started = time.perf_counter()
    quantizer.fit(model=network)
    small = Bundle(
        method=quantizer,
        classes=bundle.classes,
        encoder=bundle.encoder,
        temperature=bundle.temperature,
        threshold=bundle.threshold,
        credits=bundle.credits,
        whole=True,
    )
    about = _about(network, quantizer, time.perf_counter() - started)
    if out is not None:
        small.save(out)
        about["folder"] = str(out)
    return small, about


def _open(model: str, trust: bool) -> Bundle:
    folder = Path(model) / "model" if (Path(model) / "model" / "bundle.json").exists() else Path(model)
    if folder.is_dir():
        return Bundle.load(folder, trust=trust)
    return _with_own_classifier(model, trust)


def _with_own_classifier(name: str, trust: bool) -> Bundle:
    """The network behind an encoder, with its own classes, as a bundle."""
    from unseen import encoders

    encoder = encoders.get(name, trust=trust)
    network = getattr(encoder.module, "network", None)
    if not isinstance(network, nn.Module):
        raise ValueError(f"model: {name!r} has no classifier of its own; give a saved model or timm:NAME")
    n = int(network(encoder.example()[:1]).shape[1])
    return Bundle(method=fixed(network), classes=ClassSpace(names=_imagenet(n)), encoder=encoder, whole=True)


def _imagenet(n: int) -> tuple[str, ...]:
    if n != 1000:
        return tuple(f"class {i}" for i in range(n))
    from timm.data import ImageNetInfo

    info = ImageNetInfo()
    return tuple(f"{info.index_to_description(i)} ({info.index_to_label_name(i)})" for i in range(n))


def _bits(bits: str) -> dict[str, int]:
    match = re.fullmatch(r"(\d+)/(\d+)", bits)
    if match is None:
        raise ValueError(f"bits must be WEIGHTS/ACTIVATIONS, such as 8/8; got {bits!r}")
    return {"weight_bits": int(match[1]), "activation_bits": int(match[2])}


def _size(size: str | None, method: str) -> dict[str, Any]:
    if size is None:
        return {}
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(?:MB)?\s*", size, re.IGNORECASE)
    if match is None or method != "zeroq":
        raise ValueError(f"size must be megabytes, such as 3MB, for zeroq; got {size!r} for {method}")
    return {"precision": "mixed", "budget_mb": float(match[1])}


@torch.no_grad()
def _about(network: nn.Module, quantizer: Any, seconds: float) -> dict[str, Any]:
    whole = sum(p.numel() for p in network.parameters()) * 4 / 2**20
    about: dict[str, Any] = {
        "method": repr(quantizer),
        "weights before": f"{whole:.2f} MB",
        "weights after": f"{quantizer.network_.megabytes:.2f} MB",
        "seconds": round(seconds, 1),
    }
    x = vars(quantizer).get("distilled_")
    if x is not None:
        p, q = (torch.softmax(net(x), dim=1) for net in (network.eval(), quantizer.network()))
        about["agreement on distilled pictures"] = f"{(p.argmax(1) == q.argmax(1)).float().mean():.3f} of {len(x)}"
        about["divergence on distilled pictures"] = f"{(p * (p / (q + 1e-9) + 1e-9).log()).sum(1).mean():.4f} nats"
    return about

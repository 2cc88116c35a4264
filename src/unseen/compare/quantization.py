"""`unseen quantize`: a saved model, or a network by name, made small without data."""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unseen import methods
from unseen.bundle import Bundle
from unseen.compare.networks import classifier
from unseen.data.domain import Domain
from unseen.evaluation.metrics.agreement import top1_agreement
from unseen.methods.base import Method, signatures
from unseen.nn.quantizers import outputs
from unseen.nn.state import digest
from unseen.runtime import stage, stages

ABOUT = "quantization.json"
"""What is known of a quantized model, beside it."""

_PROTOCOL = "quantization"


def quantize(
    model: str | os.PathLike[str] | Bundle | None = None,
    *,
    out: str | os.PathLike[str] | None = None,
    method: str = "zeroq",
    bits: str | None = None,
    size: str | None = None,
    pictures: str | os.PathLike[str] | Domain | None = None,
    data: str | os.PathLike[str] | Domain | None = None,
    again: str | os.PathLike[str] | None = None,
    onnx: str | os.PathLike[str] | None = None,
    settings: dict[str, Any] | None = None,
    seed: int = 0,
    trust: bool = False,
) -> tuple[Bundle, dict[str, Any]]:
    """Quantize a network with BatchNorm; nothing but the network is used.

    Parameters
    ----------
    model : path, Bundle or name
        A folder that `unseen adapt` or `compare` saved, or a network by name: timm:NAME, torchvision:NAME (see
        `unseen.compare.networks`) or efficientnet-lite0. May be left out with `again`.
    out : path, optional
        Where to save the quantized model, which loads and predicts like any other; beside it stand `report.html` and
        `quantization.json`.
    method : str
        One whose card has the protocol `quantization`.
    bits : str, optional
        Weight/activation bits; 8/8 if absent.
    size : str, optional
        Megabytes of weights, such as 3MB: bits of each layer are chosen, by a method with a `budget_mb`.
    pictures : path or Domain, optional
        A few real pictures, without labels, that the method measures on instead of pictures that it distils.
    data : path or Domain, optional
        Pictures to compare both networks on, labelled or not. Nothing is learnt from them.
    again : path, optional
        A folder that this function wrote: other bits or another size on the pictures that were distilled then.
    onnx : path, optional
        Also write ONNX that computes in 8-bit integers.
    settings, seed
        Hyperparameters and seed of the method.
    trust : bool
        As in `unseen.encoders.get`.

    Returns
    -------
    (Bundle, dict)
        The quantized model and what is known of it: sizes, seconds of each stage, agreement with the float network.

    Raises
    ------
    ValueError
        If an argument cannot be, the network has no BatchNorm or is quantized already, a budget is below the smallest
        size, or `again` was made from another network.
    """
    read = None if bits is None else _bits(bits)
    budget = None if size is None else _megabytes(size)
    if budget is not None and read is not None and read["weight_bits"] != 8:
        raise ValueError(f"size={size!r} chooses the bits of the weights; bits must be 8/ACTIVATIONS; got {bits!r}")
    if again is not None and pictures is not None:
        raise ValueError("again goes on with the pictures that were distilled then; it takes no others")
    if again is not None and settings:
        raise ValueError(f"again goes on with the settings of {again}; got {sorted(settings)} beside it")
    before = None if again is None else _Before.read(again, trust)
    name = os.fspath(before.model if model is None and before is not None else _named(model))
    quantizer = _quantizer(method, read or _bits("8/8"), budget, settings or {}, seed) if before is None else None
    bundle = model if isinstance(model, Bundle) else _open(name, trust)
    network = _float(bundle, name)
    real, shown = _load(pictures, bundle), _load(data, bundle)
    mark = digest(network.state_dict())
    with stages() as seconds:
        if before is not None:
            quantizer = before.at(network, mark, read or {}, budget)
        else:
            assert quantizer is not None
            _fit(quantizer, network, bundle, real)
        small = Bundle(
            method=quantizer,
            classes=bundle.classes,
            encoder=bundle.encoder,
            temperature=bundle.temperature,
            threshold=bundle.threshold,
            credits=bundle.credits,
            whole=True,
        )
        about = {"model": name, "network": mark, **_sizes(network, quantizer)}
        with stage("comparison"):
            about |= _on_distilled(network, quantizer)
            if shown is not None:
                about |= _on_data(bundle, small, shown)
        if onnx is not None:
            with stage("ONNX"):
                about |= _integers(small, network, onnx)
    about["seconds"] = {key: round(value, 2) for key, value in seconds.items()}
    if out is not None:
        _save(small, about, Path(out))
    return small, about


# -- what comes in -----------------------------------------------------------------------------------------


def quantizers() -> tuple[str, ...]:
    """All methods that quantize, by slug."""
    return tuple(slug for slug in methods.slugs() if _PROTOCOL in methods.get(slug).card.protocols)


def _quantizer(slug: str, bits: dict[str, int], budget: float | None, settings: dict[str, Any], seed: int) -> Method:
    """The method with what it is told; `ValueError` if it cannot be told so."""
    if slug not in quantizers():
        raise ValueError(f"method must quantize: {' or '.join(quantizers())}; got {slug!r}")
    make: Any = methods.get(slug)
    known = make().get_params()
    told: dict[str, Any] = {**bits, **settings}
    if budget is not None:
        if "budget_mb" not in known:
            raise ValueError(f"size needs a method that chooses bits layer by layer, such as zeroq; got {slug}")
        told = {"precision": "mixed", "budget_mb": budget, **told}
    for key in set(told) - set(known):
        raise ValueError(f"{slug} has no parameter {key!r}; it has {', '.join(known)}")
    return make(random_state=seed, **told)


def _fit(quantizer: Method, network: nn.Module, bundle: Bundle, pictures: Domain | None) -> None:
    """Fit; where a method wants the shape of a picture and was not told, it is the model's."""
    if quantizer.get_params().get("shape", ()) is None:
        quantizer.set_params(shape=tuple(bundle.example().shape[1:]))
    if pictures is None:
        quantizer.fit(model=network)
        return
    if not any("target" in way.optional for way in signatures(type(quantizer))):
        raise ValueError(f"pictures: {quantizer.card.slug} takes none")
    if not len(pictures):
        raise ValueError(f"pictures: there is none in {pictures.name}")
    quantizer.fit(model=network, target=Domain(x=_tensors(bundle, pictures).numpy(), kind="image"))


def _named(model: Any) -> str:
    if model is None:
        raise ValueError("name a model, or with `again` the folder of one that was quantized before")
    return "a bundle" if isinstance(model, Bundle) else os.fspath(model)


def _float(bundle: Bundle, name: str) -> nn.Module:
    network = bundle.logits()
    if not any(isinstance(module, nn.Conv2d) for module in network.modules()):
        raise ValueError(f"model must be a network of convolutions that reads pictures; {name} is none")
    return network


def _open(model: str, trust: bool) -> Bundle:
    folder = Path(model) / "model" if (Path(model) / "model" / "bundle.json").exists() else Path(model)
    if folder.is_dir():
        return Bundle.load(folder, trust=trust)
    return classifier(model, trust=trust)


def _bits(bits: str) -> dict[str, int]:
    match = re.fullmatch(r"(\d+)/(\d+)", bits)
    if match is None or not all(2 <= int(k) <= 8 or int(k) == 32 for k in match.groups()):
        raise ValueError(
            f"bits must be WEIGHTS/ACTIVATIONS, each from 2 to 8 or 32 for float, such as 8/8; got {bits!r}"
        )
    return {"weight_bits": int(match[1]), "activation_bits": int(match[2])}


def _megabytes(size: str) -> float:
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(?:MB)?\s*", size, re.IGNORECASE)
    if match is None or float(match[1]) <= 0:
        raise ValueError(f"size must be megabytes, such as 3MB; got {size!r}")
    return float(match[1])


def _load(data: Any, bundle: Bundle) -> Domain | None:
    if data is None or isinstance(data, Domain):
        return data
    from unseen.data.loaders import load

    domain = load(data, on_error="skip")
    if bundle.encoder is not None:
        bundle.encoder.check_kind(domain)
    return domain


# -- once more ---------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Before:
    """A model that was quantized before: its method, and the network it was made from by name and digest."""

    folder: Path
    method: Method
    model: str
    network: str

    @classmethod
    def read(cls, folder: str | os.PathLike[str], trust: bool) -> _Before:
        folder = Path(folder)
        try:
            about = json.loads((folder / ABOUT).read_text())
            model, network = str(about["model"]), str(about["network"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{folder} was not written by `unseen quantize`: {error}") from error
        return cls(folder, Bundle.load(folder, trust=trust).method, model, network)

    def at(self, network: nn.Module, mark: str, bits: dict[str, int], budget: float | None) -> Method:
        """The method at another point."""
        if mark != self.network:
            raise ValueError(f"{self.folder} was made from {self.model} with other weights; name the model it is of")
        move: Any = getattr(self.method, "at", None)
        if move is None:
            raise ValueError(f"{self.method.card.slug} cannot take other bits without being fitted anew")
        told: dict[str, Any] = dict(bits)
        if budget is not None:
            told.pop("weight_bits", None)
            told["budget_mb"] = budget
        if not told:
            raise ValueError("say which other bits or size it shall have")
        unknown = set(told) - set(inspect.signature(move).parameters)
        if unknown:
            raise ValueError(f"{self.method.card.slug} cannot change {', '.join(sorted(unknown))} afterwards")
        return move(network, **told)


# -- what is told ------------------------------------------------------------------------------------------


def _sizes(network: nn.Module, quantizer: Any) -> dict[str, Any]:
    whole = sum(p.numel() for p in network.parameters()) * 4 / 2**20
    weights = list(vars(quantizer).get("bits_", {}).values())
    told = f" ({min(weights)} to {max(weights)} bits)" if weights else ""
    return {
        "method": repr(quantizer),
        "weights before": f"{whole:.2f} MB",
        "weights after": f"{quantizer.megabytes_:.2f} MB{told}",
    }


@torch.no_grad()
def _on_distilled(network: nn.Module, quantizer: Any) -> dict[str, Any]:
    x = vars(quantizer).get("distilled_")
    if x is None:
        return {}
    exact, got = outputs(network.eval(), x), outputs(quantizer.network(), x)
    return {
        "agreement on distilled pictures": f"{top1_agreement(exact, got):.3f} of {len(x)}",
        "divergence on distilled pictures": f"{_divergence(exact, got):.4f} nats",
    }


def _on_data(exact: Bundle, small: Bundle, pictures: Domain) -> dict[str, Any]:
    """Agreement with the float network; also the accuracy of both where labels name classes of the model."""
    if not len(pictures):
        raise ValueError(f"data: there is no picture in {pictures.name}")
    x = _tensors(exact, pictures)
    with torch.no_grad():
        floats, rounded = outputs(exact.logits().eval(), x), outputs(small.logits(), x)
    about: dict[str, Any] = {
        "agreement on data": f"{top1_agreement(floats, rounded):.3f} of {len(x)}",
        "divergence on data": f"{_divergence(floats, rounded):.4f} nats",
    }
    if pictures.y is None or pictures.classes is None:
        return about
    place = {name: i for i, name in enumerate(exact.classes.names)}
    known = [i for i, y in enumerate(pictures.y) if y >= 0 and pictures.classes.names[y] in place]
    if not known:
        return {**about, "accuracy on data": "not known: no label names a class of the model"}
    truth = torch.tensor([place[pictures.classes.names[pictures.y[i]]] for i in known])
    right = [top1_agreement(truth, scores[known]) for scores in (floats, rounded)]
    return {**about, "accuracy on data": f"float {right[0]:.3f}, quantized {right[1]:.3f} of {len(known)}"}


def _tensors(bundle: Bundle, pictures: Domain) -> Tensor:
    """Pictures as the network reads them."""
    x = pictures.x if bundle.encoder is None else bundle.features(pictures).x
    return torch.as_tensor(x, dtype=torch.float32)


def _divergence(exact: Tensor, got: Tensor) -> float:
    log_p, log_q = exact.double().log_softmax(dim=1), got.double().log_softmax(dim=1)
    return float((log_p.exp() * (log_p - log_q)).sum(dim=1).mean())


def _integers(small: Bundle, network: nn.Module, file: str | os.PathLike[str]) -> dict[str, Any]:
    told = small.export_integers(file, network=network)
    return {
        "ONNX": f"{told.megabytes:.2f} MB in integers, {told.float_megabytes:.2f} MB in floats",
        "ONNX against float": f"cosine {told.cosine:.4f}, agreement {told.agreement:.3f} on distilled pictures",
    }


def _save(small: Bundle, about: dict[str, Any], out: Path) -> None:
    from unseen.report import quantization as report

    small.save(out)
    about["folder"] = str(out)
    for name, text in ((ABOUT, json.dumps(about, indent=1)), ("report.html", report.page(small, about))):
        temporary = out / f".{name}.tmp"
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(out / name)

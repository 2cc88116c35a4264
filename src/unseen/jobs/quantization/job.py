"""`unseen quantize`: a saved model, or a network by name, made small without data."""

from __future__ import annotations

import dataclasses
import importlib.util
import inspect
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unseen import methods
from unseen.bundle import Bundle
from unseen.data.domain import Domain
from unseen.evaluation.drive import HeldOut, Together
from unseen.evaluation.metrics.agreement import top1_agreement
from unseen.files import read_json
from unseen.jobs.quantization.integers import InIntegers, export_model
from unseen.jobs.quantization.networks import WANTED, check_lasts, check_reads_pictures, classifier, refuse_towers
from unseen.methods.base import Method, fit_words
from unseen.methods.listing import check_preset
from unseen.nn.build import joined
from unseen.nn.classifier import without_classifier
from unseen.nn.divergences import exact_kl
from unseen.nn.quantizers import FLOAT, MEGABYTE, QuantizedNetwork, frozen_copy, outputs, quantizable
from unseen.nn.state import digest, refuse_foreign
from unseen.runtime import replacing, stage, stages
from unseen.strict_json import strict_json

ABOUT, PAGE = "quantization.json", "report.html"
WRITTEN = ("bundle.json", "method", "encoder", ABOUT, PAGE)
"""What is known of a quantized model, beside it."""
BATCH = 64
"""Pictures that are preprocessed at a time."""

_PROTOCOL = "quantization"
_AGAIN = "again"


def quantize(
    model: str | os.PathLike[str] | Bundle | None = None,
    *,
    out: str | os.PathLike[str] | None = None,
    method: str | None = None,
    preset: str | None = None,
    bits: str | None = None,
    size: str | None = None,
    pictures: str | os.PathLike[str] | Domain | None = None,
    data: str | os.PathLike[str] | Domain | None = None,
    again: str | os.PathLike[str] | None = None,
    onnx: str | os.PathLike[str] | None = None,
    settings: dict[str, Any] | None = None,
    seed: int | None = None,
    trust: bool = False,
) -> tuple[Bundle, dict[str, Any]]:
    """Quantize a network with BatchNorm; nothing but the network is used.

    Parameters
    ----------
    model : path, Bundle or name
        A folder that `unseen adapt` or `compare` saved, or a network by name: timm:NAME, torchvision:NAME (see
        `unseen.jobs.quantization.networks`) or efficientnet-lite0. May be left out with `again`.
    out : path, optional
        Where to save the quantized model, which loads and predicts like any other; beside it stand `report.html` and
        `quantization.json`.
    method : str, optional
        One whose card has the protocol `quantization`; zeroq if absent.
    preset : str, optional
        Of the method's card, such as cpu: what is told beside it goes before.
    bits : str, optional
        Weight/activation bits, such as 8/8; the method's own if absent.
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
        Hyperparameters and seed of the method; 0 if absent.
    trust : bool
        As in `unseen.encoders.get`.

    Returns
    -------
    (Bundle, dict)
        The quantized model and what is known of it in numbers: sizes, seconds of each stage, agreement with the float
        network; `unseen.jobs.quantization.page.facts` puts them into words.

    Raises
    ------
    ValueError
        If an argument cannot be or another one makes it pointless, the network has no BatchNorm or is quantized
        already, a budget is below the smallest size, or `again` was made from another network; if `out` is `again`, or
        holds a model that was quantized otherwise.
    FileExistsError
        If `out` is a folder of other things, such as a model that was not quantized.
    ImportError
        If `onnx` needs packages that are not installed.
    """
    read = None if bits is None else _bits(bits)
    budget = None if size is None else _megabytes(size)
    if budget is not None and read is not None and read["weight_bits"] != 8:
        raise ValueError(f"size={size!r} chooses the bits of the weights; bits must be 8/ACTIVATIONS; got {bits!r}")
    if again is not None and pictures is not None:
        raise ValueError(f"{_AGAIN} goes on with the pictures that were distilled then; it takes no others")
    if again is not None and (settings or seed is not None or preset is not None):
        extra = sorted(settings or ()) or (f"seed {seed}" if preset is None else f"preset {preset!r}")
        raise ValueError(f"{_AGAIN} goes on with the settings of {again}; got {extra} beside it")
    before = None if again is None else _Before.read(again, trust)
    if before is not None and method not in (None, before.method.card.slug):
        raise ValueError(f"{_AGAIN} goes on with {before.method.card.slug}, which made {again}; got method {method!r}")
    name = os.fspath(before.model if model is None and before is not None else _named(model))
    refuse_towers(name)
    quantizer = (
        _quantizer(method or "zeroq", preset, read, budget, settings or {}, seed or 0) if before is None else None
    )
    if out is not None:
        _refuse_other_models(Path(out))
        if again is not None and Path(out).resolve() == Path(again).resolve():
            raise ValueError(f"out must be another folder than `{_AGAIN}`, which would be lost; got {os.fspath(out)!r}")
    if onnx is not None:
        _check_onnx(Path(onnx), quantizer if before is None else before.method, pictures is not None)
    bundle = _opened(model, name, trust) if model is not None or before is None else before.opened(trust)
    network = _float(bundle, name)
    if out is not None:
        check_lasts(bundle, network, name)
    real, shown = _load(pictures, bundle), _load(data, bundle)
    mark = digest(network.state_dict())
    made_by: Any = quantizer if before is None else before.method
    origin = pictures.name if isinstance(pictures, Domain) else pictures and _lasting(os.fspath(pictures))
    asked = {"network": mark, "method": repr(made_by), "bits": bits, "size": size, "pictures": origin}
    if out is not None:
        _check_same(Path(out), asked)
    with stages() as seconds:
        if before is not None:
            quantizer = before.at(network, mark, {} if read is None else read, budget)
        else:
            assert quantizer is not None
            _fit(quantizer, network, bundle, real)
        small = dataclasses.replace(bundle, method=quantizer, whole=True)
        about = {"model": _lasting(name), "network": mark, "method": repr(quantizer), **_sizes(network, quantizer)}
        about["asked"] = asked
        with stage("comparison"):
            about |= _on_distilled(network, quantizer)
            if shown is not None:
                about["data"] = _on_data(bundle, network, quantizer.network(), shown)
        _end(seconds, about)
        if out is not None:
            _save(small, about, Path(out))
        if onnx is not None:
            with stage("ONNX"):
                integers = export_model(small, onnx, network=network)
            about["onnx"] = {"file": os.fspath(onnx), **integers._asdict()}
            if shown is not None:
                about["onnx"]["data"] = _on_data(bundle, network, InIntegers(onnx), shown)
            _end(seconds, about)
            if out is not None:
                _tell(small, about, Path(out))
    return small, about


def _end(seconds: Mapping[str, float], about: dict[str, Any]) -> None:
    about["seconds"] = {key: round(value, 2) for key, value in seconds.items()}


# -- what comes in -----------------------------------------------------------------------------------------


def quantizers() -> tuple[str, ...]:
    """All methods that quantize, by slug."""
    return tuple(slug for slug in methods.slugs() if _PROTOCOL in methods.get(slug).card.protocols)


def _quantizer(
    slug: str,
    preset: str | None,
    bits: dict[str, int] | None,
    budget: float | None,
    settings: dict[str, Any],
    seed: int,
) -> Method:
    """The method with what it is told; `ValueError` if it cannot be told so, or a part of it would change nothing."""
    if slug not in quantizers():
        raise ValueError(f"method must quantize: {' or '.join(quantizers())}; got {slug!r}")
    make: Any = methods.get(slug)
    known = make().get_params()
    _check_settings(bits, budget, settings)
    if preset is not None:
        check_preset(slug, preset, make.card.presets)
    params: dict[str, Any] = {**make.card.presets.get(preset, {}), **(bits or {}), **settings}
    if budget is not None:
        if "budget_mb" not in known:
            raise ValueError(f"size needs a method that chooses bits layer by layer, such as zeroq; got {slug}")
        params = {"precision": "mixed", "budget_mb": budget, **params}
    for key in set(params) - set(known):
        raise ValueError(f"{slug} has no parameter {key!r}; it has {', '.join(known)}")
    return make(random_state=seed, **params)


def _check_settings(bits: dict[str, int] | None, budget: float | None, settings: Mapping[str, Any]) -> None:
    """Raise `ValueError` where one of two arguments would silently win."""
    mixed = budget is not None or settings.get("precision") == "mixed"
    if bits is not None and (twice := sorted(set(bits) & set(settings))):
        raise ValueError(f"bits says it already; leave out {twice} of the settings")
    if budget is not None and (twice := sorted({"budget_mb", "average_bits"} & set(settings))):
        raise ValueError(f"size says it already; leave out {twice} of the settings")
    if budget is not None and settings.get("precision", "mixed") != "mixed":
        raise ValueError(f"size is for precision='mixed'; got {settings['precision']!r}")
    if mixed and {**(bits or {}), **settings}.get("weight_bits", 8) != 8:
        raise ValueError(
            "mixed precision chooses the bits of the weights from `bits` of the settings; say 8/ACTIVATIONS"
        )
    if not mixed and (idle := sorted({"average_bits", "budget_mb", "allocation"} & set(settings))):
        raise ValueError(f"{idle} of the settings are for precision='mixed', or size")


def _refuse_other_models(out: Path) -> None:
    """Raise `FileExistsError` where a folder holds anything but a quantized model, such as one that was not."""
    refuse_foreign(out, WRITTEN)
    if (out / "bundle.json").exists() and not (out / ABOUT).exists():
        raise FileExistsError(f"{out} holds a model that was not quantized, which would be lost; name another folder")


def _check_same(out: Path, asked: Mapping[str, Any]) -> None:
    """Raise `ValueError`, before the long work, if a folder holds a model that was quantized otherwise."""
    if not (out / ABOUT).exists():
        return
    try:
        other = dict(read_json(out / ABOUT)["asked"])
    except (OSError, ValueError, KeyError, TypeError):  # damaged, or of an earlier version
        other = {}
    differ = [key for key, value in asked.items() if key not in other or other[key] != value]
    if differ:
        difference = (
            f" (of other {', '.join(differ)})"
            if other
            else ", or one of an earlier version, which does not say how it was made"
        )
        raise ValueError(f"out: {out} holds another quantized model{difference}; choose another folder or remove it")


def _check_onnx(file: Path, quantizer: Any, real: bool) -> None:
    """Raise, before the long work, if no ONNX file in integers can come of it."""
    distilled = quantizer.get_params().get("data", "gaussian") != "gaussian" and not real
    if not (hasattr(quantizer, "distilled_") or distilled):
        maker = f"{quantizer.card.slug}{' on real pictures' if real else ''}"
        raise ValueError(f"onnx needs distilled pictures, as of zeroq with data='distilled'; {maker} has none")
    for package in ("onnx", "onnxruntime", "onnxscript"):
        if importlib.util.find_spec(package) is None:
            raise ImportError(f"onnx needs: pip install {package}")
    above = next(folder for folder in file.absolute().parents if folder.exists())
    if file.is_dir() or not above.is_dir() or not os.access(above, os.W_OK):
        raise ValueError(f"onnx must be a file that can be written; got {str(file)!r}")


def _fit(quantizer: Method, network: nn.Module, bundle: Bundle, pictures: Domain | None) -> None:
    """Fit; where a method wants the shape of a picture and was not told, it is the model's."""
    if quantizer.get_params().get("shape", ()) is None:
        quantizer.set_params(shape=tuple(bundle.example().shape[1:]))
    if pictures is None:
        quantizer.fit(model=network)
        return
    if "target" not in fit_words(type(quantizer)):
        raise ValueError(f"pictures: {quantizer.card.slug} takes none")
    if not len(pictures):
        raise ValueError(f"pictures: there is none in {pictures.name}")
    x = torch.cat(list(_batches(bundle, pictures)))
    quantizer.fit(model=network, target=Domain(x=x.numpy(), kind="image"))


def _named(model: Any) -> str:
    if model is None:
        raise ValueError(f"name a model, or with {_AGAIN} the folder of one that was quantized before")
    return "a bundle" if isinstance(model, Bundle) else os.fspath(model)


def _float(bundle: Bundle, name: str) -> nn.Module:
    check_reads_pictures(bundle.encoder, name)
    alone = bundle.encoder is None or bundle.whole
    network = frozen_copy(bundle.logits() if alone else joined(_reading(bundle), bundle.method.network()))
    if not any(isinstance(module, nn.Conv2d) for module in network.modules()):
        raise ValueError(f"{WANTED}; {name} is none")
    return network


def _reading(bundle: Bundle) -> nn.Module:
    """The network before the method, without a classifier that it had for other classes."""
    assert bundle.encoder is not None
    return without_classifier(bundle.encoder.reading(bundle.method.reads_regions))


def _opened(model: Any, name: str, trust: bool) -> Bundle:
    return model if isinstance(model, Bundle) else _open(name, trust)


def _lasting(name: str) -> str:
    """The name of a model with the path in it, if there is one, from the root: it is read again from elsewhere."""
    if Path(name).exists():
        return str(Path(name).resolve())
    base, question, query = name.partition("?")
    head, at, path = base.partition("@")
    return f"{head}{at}{Path(path).expanduser().resolve() if at else ''}{question}{query}"


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

    domain = bundle.aligned(load(data, on_error="skip", features=bundle.feature_names, like=bundle.sample_column))
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
            about = read_json(folder / ABOUT)
            model, network = str(about["model"]), str(about["network"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{folder} was not written by `unseen quantize`: {error}") from error
        return cls(folder, Bundle.load(folder, trust=trust).method, model, network)

    def opened(self, trust: bool) -> Bundle:
        """The float model that it was made from, by the name that it had."""
        try:
            return _open(self.model, trust)
        except (OSError, ValueError) as error:
            reason = f"{self.folder} was made from {self.model!r}, which cannot be read: {error}"
            raise ValueError(f"{reason}; name the model first") from error

    def at(self, network: nn.Module, mark: str, bits: dict[str, int], budget: float | None) -> Method:
        """The method at another point."""
        if mark != self.network:
            raise ValueError(f"{self.folder} was made from {self.model} with other weights; name the model it is of")
        move: Any = getattr(self.method, "at", None)
        if move is None:
            raise ValueError(f"{self.method.card.slug} cannot take other bits without being fitted anew")
        changes: dict[str, Any] = dict(bits)
        if budget is not None:
            changes.pop("weight_bits", None)
            changes["budget_mb"] = budget
        if not changes:
            raise ValueError("say which other bits or size it shall have")
        unknown = set(changes) - set(inspect.signature(move).parameters)
        if unknown:
            raise ValueError(f"{self.method.card.slug} cannot change {', '.join(sorted(unknown))} afterwards")
        return move(network, **changes)


# -- what is told ------------------------------------------------------------------------------------------


def _sizes(network: nn.Module, quantizer: Any) -> dict[str, Any]:
    """Megabytes of all parameters, those that stay float with 32 bits each, and bits of all layers."""
    small = quantizer.network()
    if not isinstance(small, QuantizedNetwork):
        wanted = "as `network()` a network that unseen.nn.quantizers.quantized makes"
        raise TypeError(f"{quantizer.card.slug} must give {wanted}; it gave a {type(small).__name__}")
    floats = _floats(small)
    layers = [small.weight_bits.get(name, FLOAT) for name in quantizable(network)]
    return {
        "megabytes": {
            "before": sum(value.numel() for value in network.parameters()) * FLOAT / MEGABYTE,
            "after": small.megabytes + sum(floats.values()),
            "quantized": small.megabytes,
            "float": floats,
        },
        "bits": {"least": min(layers), "most": max(layers)},
    }


def _floats(small: QuantizedNetwork) -> dict[str, float]:
    """Megabytes of parameters that stay float, by what they are, the most first."""
    sizes: dict[str, float] = {}
    for name, value in small.floats.items():
        owner, _, leaf = name.rpartition(".")
        kind = type(small.network.get_submodule(owner)).__name__
        part = f"{leaf} of {kind}" if value.ndim > 1 else "biases and norms"
        sizes[part] = sizes.get(part, 0) + value.numel() * FLOAT / MEGABYTE
    return dict(sorted(sizes.items(), key=lambda item: -item[1]))


@torch.no_grad()
def _on_distilled(network: nn.Module, quantizer: Any) -> dict[str, Any]:
    x = vars(quantizer).get("distilled_")
    if x is None:
        return {}
    losses = np.atleast_2d(quantizer.losses_).mean(axis=0)  # of a method with a row for each batch
    return {
        "distilled": _apart(outputs(network, x), outputs(quantizer.network(), x)),
        "mismatch": {"first": float(losses[0]), "last": float(losses[-1]), "steps": len(losses)},
    }


def _apart(exact: Tensor, got: Tensor) -> dict[str, Any]:
    """How far two networks are apart, divergence in nats."""
    return {
        "pictures": len(exact),
        "agreement": top1_agreement(exact, got),
        "divergence": max(float(exact_kl(exact, got).mean()), 0.0),  # rounding may leave it below
    }


@torch.no_grad()
def _on_data(bundle: Bundle, network: nn.Module, rounded: nn.Module, pictures: Domain) -> dict[str, Any]:
    """Agreement with the float network; also the accuracy of both where labels name classes of the model."""
    if not len(pictures):
        raise ValueError(f"data: there is no picture in {pictures.name}")
    both = [(outputs(network, x), outputs(rounded, x)) for x in _batches(bundle, pictures)]
    exact, got = (torch.cat(scores) for scores in zip(*both))
    about = _apart(exact, got)
    if pictures.y is None or pictures.classes is None:
        return about
    place = {name: i for i, name in enumerate(bundle.classes.names)}
    known = [i for i, y in enumerate(pictures.y) if y >= 0 and pictures.classes.names[y] in place]
    about["labelled"] = len(known)
    if known:
        truth = torch.tensor([place[pictures.classes.names[pictures.y[i]]] for i in known])
        about["accuracy"] = Together(top1_agreement)(
            HeldOut(pictures, truth), {"float": exact[known], "quantized": got[known]}
        )
    return about


def _batches(bundle: Bundle, pictures: Domain) -> Iterator[Tensor]:
    """Pictures as the whole network reads them, some at a time."""
    for part in pictures.batches(BATCH):
        x = part.x if bundle.encoder is None else bundle.encoder.preprocess(list(part.x))
        yield torch.as_tensor(x, dtype=torch.float32)


def _save(small: Bundle, about: dict[str, Any], out: Path) -> None:
    """The model first, so that its size is known, then what is told of it."""
    about["folder"] = str(out)

    def tell(part: Path) -> None:
        there = sum(file.stat().st_size for file in part.rglob("*") if file.is_file())
        about["megabytes"]["folder"] = there * 8 / MEGABYTE
        _tell(small, about, part)

    small.save(out, also=WRITTEN, more=tell)


def _tell(small: Bundle, about: dict[str, Any], out: Path) -> None:
    from unseen.jobs.quantization import page as report

    for name, content in ((ABOUT, strict_json(about).encode()), (PAGE, report.page(small, about))):
        with replacing(out / name) as temporary:
            temporary.write_bytes(content)

"""Classifiers by name, whole: timm:NAME, torchvision:NAME, and encoders that have one, as models that can be saved."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import torch
from torch import nn

from unseen import encoders
from unseen.bundle import Bundle
from unseen.data.classes import ClassSpace
from unseen.data.kinds import KINDS
from unseen.encoders import Encoder
from unseen.encoders.registry import Request, online
from unseen.encoders.towers import TOWERS
from unseen.encoders.two_tower import TwoTowerEncoder
from unseen.files import named
from unseen.methods.fixed import fixed
from unseen.nn.build import AUXILIARY, recipe_of, timm_network, torchvision_network

FORMS = "timm:NAME, torchvision:NAME (each with @CHECKPOINT or ?pretrained=0 behind it) or efficientnet-lite0"

WANTED = "model must be a network of convolutions that reads pictures"


TWO_TOWERS = ("towers", "open_clip", "lite-clip")
"""Beginnings of the names of encoders that are two towers."""


def refuse_towers(name: str) -> None:
    """`ValueError`, before anything is loaded, for two towers, which have no classes; and what to do instead."""
    towers = (Path(name) / TOWERS).is_dir()
    if towers or (not Path(name).is_dir() and name.partition("?")[0].partition(":")[0] in TWO_TOWERS):
        said = f"{WANTED} and names classes: the folder of a saved model, {FORMS}. {name!r} is two towers"
        command = f"`unseen shrink {'towers:' * towers}{name} PAIRS --size .5 --out small` makes them smaller"
        alone = "quantize efficientnet-lite0, by which it sees, or make a model of yours with that encoder"
        raise ValueError(f"{said}, for pictures and for texts: {alone if name.startswith('lite-clip') else command}")


def check_lasts(bundle: Bundle, network: nn.Module, name: str) -> None:
    """`ValueError` where what would be made of a model could not be saved, as nobody can build it again."""
    try:
        recipe_of(network).to_json()
    except TypeError as error:
        its = bundle.encoder
        if isinstance(its, TwoTowerEncoder) and not bundle.whole:
            raise ValueError(
                f"{WANTED}; {name} reads them by one of the two towers of {its.name!r}, which cannot be saved in fewer "
                "bits: make the model again with an encoder of one tower, such as efficientnet-lite0 or timm:NAME, or "
                "with towers that `unseen shrink` made smaller"
            ) from error
        raise ValueError(f"model: {name} cannot be saved in fewer bits: {error}") from error


def check_reads_pictures(encoder: Encoder | None, name: str) -> None:
    """`ValueError` where a model reads other samples, though a network of pictures may look at their frames."""
    reads = "image" if encoder is None else encoder.kind
    if reads != "image":
        raise ValueError(f"{WANTED}; {name} reads {KINDS.get(reads, (reads, reads))[1]}")


def classifier(name: str, *, trust: bool = False) -> Bundle:
    """A network with its own classes.

    Parameters
    ----------
    name : str
        ``timm:NAME`` or ``torchvision:NAME`` with published weights; with ``@FILE`` those of a checkpoint, whose last
        layer says how many classes there are, with ``?pretrained=0`` random ones, always the same. ``size=N`` is the
        side of a picture. Or an encoder with a classifier of its own.
    trust : bool
        As in `unseen.encoders.get`.

    Raises
    ------
    ValueError
        If there is no such network, or it has no classifier.
    ConnectionError
        If weights would have to be downloaded and cannot be.
    """
    base, _, query = name.partition("?")
    scheme, _, argument = base.partition(":")
    makers = {"timm": _of_timm, "torchvision": _of_torchvision}
    if scheme not in makers:
        return _of_encoder(name, trust)
    options = dict(parse_qsl(query))
    unknown = set(options) - {"pretrained", "size"}
    if unknown:
        raise ValueError(f"{name!r}: there is no option {min(unknown)!r}; there are: pretrained, size")
    architecture, _, path = argument.partition("@")
    network, pixels = makers[scheme](architecture, path, options.get("pretrained") != "0")
    if "size" in options:
        pixels["size"] = options["size"]
    encoder = encoders.get("pixels?" + urlencode(pixels, safe=",.x"))
    network.eval().requires_grad_(False)
    with torch.no_grad():
        n = int(network(encoder.example()[:1]).shape[1])
    return Bundle(method=fixed(network), classes=ClassSpace(names=imagenet(n)), encoder=encoder, whole=True)


def _of_encoder(name: str, trust: bool) -> Bundle:
    """The network behind an encoder, with its own classes."""
    try:
        encoder = encoders.get(name, trust=trust)
    except ValueError as error:
        raise ValueError(f"model must be the folder of a saved model, {FORMS}: {error}") from error
    network = getattr(encoder.module, "network", None)
    if not isinstance(network, nn.Module):
        raise ValueError(f"model: {name!r} has no classifier of its own; give a saved model, {FORMS}")
    n = int(network(encoder.example()[:1]).shape[1])
    return Bundle(method=fixed(network), classes=ClassSpace(names=imagenet(n)), encoder=encoder, whole=True)


def _of_timm(name: str, path: str, pretrained: bool) -> tuple[nn.Module, dict[str, str]]:
    import timm

    network = _trained(path, functools.partial(timm_network, name))
    if not path and pretrained:
        fix = "give a local checkpoint: timm:<name>@<file.safetensors>"
        with online(Request(name=f"timm:{name}"), fix, role="model"):
            network.load_state_dict(timm.create_model(name, pretrained=True).state_dict())
    config = timm.data.resolve_data_config({}, model=network)
    return network, {
        "size": "x".join(map(str, config["input_size"][1:])),
        "crop": str(config["crop_pct"]),
        "mean": ",".join(map(str, config["mean"])),
        "std": ",".join(map(str, config["std"])),
        "interpolation": config["interpolation"] if config["interpolation"] != "random" else "bicubic",
    }


def _of_torchvision(name: str, path: str, pretrained: bool) -> tuple[nn.Module, dict[str, str]]:
    import torchvision

    if name not in torchvision.models.list_models(module=torchvision.models):
        raise ValueError(f"torchvision has no classifier {name!r}; there are names such as resnet18")
    trained = bool(path) or pretrained
    build = functools.partial(torchvision_network, name, auxiliary=False, transform_input=trained)
    network = _trained(path, build)
    weights = torchvision.models.get_model_weights(name).DEFAULT
    if not path and pretrained:
        fix = "give a local checkpoint: torchvision:<name>@<file>"
        with online(Request(name=f"torchvision:{name}"), fix, role="model"):
            network.load_state_dict(_without_auxiliary(network, weights.get_state_dict(progress=False)))
    transforms: Any = weights.transforms()
    return network, {
        "size": str(transforms.crop_size[0]),
        "crop": f"{transforms.crop_size[0] / transforms.resize_size[0]:.4f}",
        "mean": ",".join(map(str, transforms.mean)),
        "std": ",".join(map(str, transforms.std)),
        "interpolation": str(transforms.interpolation.value),
    }


def _trained(path: str, build: Callable[..., nn.Module]) -> nn.Module:
    """A network with the weights and as many classes as a checkpoint, or with random weights, always the same."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build()
        if not path:
            return network
        state = _without_auxiliary(network, _checkpoint(path))
        classes = _classes(network.state_dict(), state)
        if classes is not None:
            network = build(num_classes=classes)
    misfit = f"checkpoint {Path(path).name!r} does not fit the network: "
    for key, value in network.state_dict().items():
        if key in state and state[key].shape != value.shape:
            raise ValueError(f"{misfit}{key!r} has the shape {tuple(state[key].shape)}, not {tuple(value.shape)}")
    missing, further = network.load_state_dict(state, strict=False)
    for keys, verb in ((missing, "lacks"), (further, "has also")):
        if keys:
            others = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            raise ValueError(f"{misfit}it {verb} {keys[0]!r}{others}")
    return network


def _classes(fresh: Mapping[str, torch.Tensor], state: Mapping[str, torch.Tensor]) -> int | None:
    """How many classes a checkpoint has, where tensors of all 1,000 classes are those in which it is another one."""
    shapes = [(tuple(fresh[key].shape), tuple(state[key].shape)) for key in fresh if key in state]
    apart = [(its, stored) for its, stored in shapes if its != stored]
    counts = {stored[:1] for _, stored in apart}
    if len(counts) != 1 or any(its[:1] != (1000,) or its[1:] != stored[1:] for its, stored in apart):
        return None
    return int(counts.pop()[0])


def _without_auxiliary(network: nn.Module, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors without those of heads for training that the network was built without."""
    gone = {head for head in AUXILIARY if getattr(network, head, None) is None}
    return {key: value for key, value in state.items() if key.partition(".")[0] not in gone}


def _checkpoint(path: str) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint by their names, of safetensors or torch's."""
    file = Path(path).expanduser()
    if not file.is_file():
        raise FileNotFoundError(f"there is no checkpoint {path!r}")
    with named(file, "a checkpoint of weights", "write it with torch.save(network.state_dict(), FILE)"):
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            state: Any = load_file(file)
        else:
            state = torch.load(file, map_location="cpu", weights_only=True)
        state = _unwrapped(state)
        if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
            raise ValueError(f"{file.name} holds no state_dict: tensors by their names")
    return state


def _unwrapped(state: Any) -> Any:
    """The tensors of a checkpoint of a training, as frameworks nest them and call them."""
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    for prefix in ("module.", "model."):
        if isinstance(state, dict) and state and all(str(key).startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def imagenet(n: int) -> tuple[str, ...]:
    """Names of ImageNet's 1,000 classes, or of `n` others."""
    if n != 1000:
        return tuple(f"class {i}" for i in range(n))
    from timm.data import ImageNetInfo

    info = ImageNetInfo()
    return tuple(f"{info.index_to_description(i)} ({info.index_to_label_name(i)})" for i in range(n))

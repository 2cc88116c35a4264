"""Networks that can be built again from JSON: a registered builder and its arguments."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from torch import nn

from unseen.nn.builders import HOMES

_UNKNOWN = (
    "a {} cannot be built again from JSON; make it in a function decorated with `unseen.nn.build.builder`, "
    "or use a timm network"
)

_BUILDERS: dict[str, Callable[..., nn.Module]] = {}
F = TypeVar("F", bound=Callable[..., nn.Module])


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The name of a builder and its arguments, in which networks stand as recipes of their own."""

    builder: str
    args: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return the recipe as JSON-able data; the module of the builder is told for people, and never imported."""
        return {
            "builder": self.builder,
            "module": _BUILDERS[self.builder].__module__,
            "args": {key: _to_json(value) for key, value in self.args.items()},
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Recipe:
        """Inverse of `to_json`."""
        if (
            not isinstance(data, dict)
            or set(data) != {"builder", "module", "args"}
            or not isinstance(data["args"], dict)
            or not isinstance(data["builder"], str)
        ):
            raise ValueError("not the recipe of a network")
        _meet(data["builder"])
        return cls(data["builder"], {key: _from_json(value) for key, value in data["args"].items()})


def _meet(name: str) -> None:
    """Import the module that the list of builders has for a name; a file never names what is imported."""
    if name not in _BUILDERS and name in HOMES:
        importlib.import_module(f"unseen.{HOMES[name]}")


def _to_json(value: Any) -> Any:
    if isinstance(value, type):
        raise TypeError(_UNKNOWN.format(value.__name__))
    if isinstance(value, Recipe):
        return {"$network": value.to_json()}
    if isinstance(value, (tuple, list)):
        return [_to_json(item) for item in value]
    if isinstance(value, dict):
        return {key: _to_json(item) for key, item in value.items()}
    return value


def _from_json(value: Any) -> Any:
    if isinstance(value, dict) and set(value) == {"$network"}:
        return Recipe.from_json(value["$network"])
    if isinstance(value, list):
        return tuple(_from_json(item) for item in value)
    if isinstance(value, dict):
        return {key: _from_json(item) for key, item in value.items()}
    return value


def builder(name: str) -> Callable[[F], F]:
    """Register a function that makes a network from JSON-able arguments (and networks made likewise).

    What it returns carries its recipe, so that it can be saved with safetensors and JSON and built again.
    """

    def register(function: F) -> F:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def build(*args: Any, **kwargs: Any) -> nn.Module:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            recipe = Recipe(name, {key: _frozen(value) for key, value in bound.arguments.items()})
            network = function(*args, **kwargs)
            network.recipe = recipe  # type: ignore[assignment]
            return network

        _BUILDERS[name] = build
        return build  # type: ignore[return-value]

    return register


def _frozen(value: Any) -> Any:
    """The recipe of a network before its builder changes it; one that has none is reported when it is saved."""
    if not isinstance(value, nn.Module):
        return value
    try:
        return recipe_of(value)
    except TypeError:
        return type(value)


def recipe_of(network: nn.Module) -> Recipe:
    """Return how to build `network` again; `TypeError` if nobody knows.

    timm networks know it by themselves, all others through `builder`.
    """
    recipe = getattr(network, "recipe", None)
    if isinstance(recipe, Recipe):
        return recipe
    config = getattr(network, "pretrained_cfg", None)
    if config and config.get("architecture") and hasattr(network, "num_classes"):
        args = {"name": config["architecture"], "num_classes": int(network.num_classes)}  # type: ignore[arg-type]
        first = config.get("first_conv")
        if isinstance(first, str) and isinstance(conv := network.get_submodule(first), nn.Conv2d):
            args["in_chans"] = conv.in_channels
        return Recipe("timm", args)
    raise TypeError(_UNKNOWN.format(type(network).__name__))


def rebuild(recipe: Recipe) -> nn.Module:
    """Build the network of a recipe, with fresh weights; `ValueError` if its builder or an argument is unknown."""
    if recipe.builder not in _BUILDERS:
        raise ValueError(f"no builder of networks is called {recipe.builder!r}; import the module that registers it")
    args = {k: rebuild(v) if isinstance(v, Recipe) else v for k, v in recipe.args.items()}
    return _BUILDERS[recipe.builder](**args)


def n_parameters(network: nn.Module) -> int:
    """How many numbers a network holds that can be trained."""
    return sum(p.numel() for p in network.parameters())


@builder("timm")
def timm_network(name: str, num_classes: int = 1000, in_chans: int = 3) -> nn.Module:
    """A timm network with fresh weights; only names that timm has itself, nothing is fetched."""
    import timm

    if not timm.is_model(name) or ":" in name:
        raise ValueError(f"timm has no network called {name!r}")
    return timm.create_model(name, pretrained=False, num_classes=num_classes, in_chans=in_chans)


AUXILIARY = ("aux1", "aux2", "AuxLogits")
"""Heads of torchvision's GoogLeNet and Inception that a loss in training reads."""


@builder("torchvision")
def torchvision_network(
    name: str,
    num_classes: int = 1000,
    *,
    frozen: bool = False,
    auxiliary: bool = True,
    transform_input: bool = False,
) -> nn.Module:
    """A torchvision classifier or detector with fresh weights, such as ``retinanet_resnet50_fpn`` with 91 classes.

    `frozen` puts FrozenBatchNorm2d in the place of BatchNorm2d: the published weights of detectors are stored for it.
    Without `auxiliary`, GoogLeNet and Inception have no heads that only training runs; with `transform_input` these two
    turn pictures that were normalized as ImageNet's into what their published weights read.
    """
    import torchvision
    from torchvision.ops import FrozenBatchNorm2d

    if name not in torchvision.models.list_models():
        raise ValueError(f"torchvision has no network called {name!r}")
    detector = name in torchvision.models.list_models(module=torchvision.models.detection)
    backbone = {"weights_backbone": None} if detector else {}
    network = torchvision.models.get_model(name, weights=None, num_classes=num_classes, **backbone)
    for head in () if auxiliary else AUXILIARY:
        if getattr(network, head, None) is not None:
            setattr(network, head, None)
            network.aux_logits = False
    if transform_input and hasattr(network, "transform_input"):
        network.transform_input = True
    for parent in [*network.modules()] if frozen else ():
        for key, layer in parent.named_children():
            if isinstance(layer, nn.BatchNorm2d):
                setattr(parent, key, FrozenBatchNorm2d(layer.num_features, eps=layer.eps))
    return network


@builder("joined")
def joined(first: nn.Module, second: nn.Module) -> nn.Module:
    """One network after the other."""
    return nn.Sequential(first, second)

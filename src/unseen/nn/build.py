"""Networks that can be built again from JSON: a registered builder and its arguments."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from torch import nn

_BUILDERS: dict[str, Callable[..., nn.Module]] = {}
F = TypeVar("F", bound=Callable[..., nn.Module])


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The name of a builder and its arguments; arguments may be networks with recipes of their own."""

    builder: str
    args: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return the recipe as JSON-able data."""
        return {"builder": self.builder, "args": {key: _to_json(value) for key, value in self.args.items()}}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Recipe:
        """Inverse of `to_json`."""
        if not isinstance(data, dict) or set(data) != {"builder", "args"} or not isinstance(data["args"], dict):
            raise ValueError("not the recipe of a network")
        return cls(data["builder"], {key: _from_json(value) for key, value in data["args"].items()})


def _to_json(value: Any) -> Any:
    if isinstance(value, nn.Module):
        return {"$network": recipe_of(value).to_json()}
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
            network = function(*args, **kwargs)
            network.recipe = Recipe(name, dict(bound.arguments))  # type: ignore[assignment]
            return network

        _BUILDERS[name] = build
        return build  # type: ignore[return-value]

    return register


def recipe_of(network: nn.Module) -> Recipe:
    """Return how to build `network` again; `TypeError` if nobody knows.

    timm networks know it by themselves, all others through `builder`.
    """
    recipe = getattr(network, "recipe", None)
    if isinstance(recipe, Recipe):
        return recipe
    config = getattr(network, "pretrained_cfg", None)
    if config and config.get("architecture") and hasattr(network, "num_classes"):
        return Recipe("timm", {"name": config["architecture"], "num_classes": int(network.num_classes)})
    raise TypeError(
        f"a {type(network).__name__} cannot be built again from JSON; make it in a function decorated with "
        "`unseen.nn.build.builder`, or use a timm network"
    )


def rebuild(recipe: Recipe) -> nn.Module:
    """Build the network of a recipe, with fresh weights."""
    if recipe.builder not in _BUILDERS:
        raise ValueError(f"no builder of networks is called {recipe.builder!r}; import the module that registers it")
    args = {k: rebuild(v) if isinstance(v, Recipe) else v for k, v in recipe.args.items()}
    return _BUILDERS[recipe.builder](**args)


@builder("timm")
def timm_network(name: str, num_classes: int = 1000) -> nn.Module:
    """A timm network with fresh weights."""
    import timm

    return timm.create_model(name, pretrained=False, num_classes=num_classes)

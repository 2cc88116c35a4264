"""GENIE-M: each unit of the network learns to give what its float counterpart gives (steps 13-16)."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call
from torch.optim import Adam
from torch.optim.lr_scheduler import CosineAnnealingLR

from unseen.methods.compression.genie.rounding import SoftRounding, beta, regularizer
from unseen.methods.compression.genie.units import Plan, Unit
from unseen.nn.learned_quantizers import quantize_input
from unseen.nn.network_io import Output
from unseen.nn.train import Run, train
from unseen.runtime import current

Rounding = Literal["genie", "adaround", "nearest"]
Drop = Literal["qdrop", "none"]
SAVED_EVERY = 50
"""Steps between checkpoints."""
KEPT = 0.5
"""The share of float values where quantization is dropped at random."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a unit learns; rates are those of Adam."""

    iterations: int
    batch_size: int
    rounding: Rounding
    drop: Drop
    penalty: float
    rounding_rate: float
    weight_step_rate: float
    activation_step_rate: float


class Call(NamedTuple):
    """One call of a unit: what it reads in the quantized network and in the float one, and what it then gives."""

    x_quantized: Tensor
    x: Tensor
    y: Tensor


# -- step 13: what a unit reads and gives ------------------------------------------------------------------


class _ReachedError(Exception):
    """A forward pass has come as far as it has to."""


@torch.no_grad()
def read(network: nn.Module, unit: Unit, x: Float[Tensor, "n ..."], output: Output, size: int) -> list[list[Tensor]]:
    """Inputs and outputs of each call of a unit, on the CPU; the forward pass ends behind the last one."""
    device = torch.device(current().device)
    pending: list[Tensor] = []
    seen: list[tuple[Tensor, Tensor]] = []

    def keep_input(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        pending.append(inputs[0].to("cpu", copy=True))  # it may be changed in place, as what is given may be later

    def keep(_: nn.Module, inputs: tuple[Tensor, ...], y: Tensor) -> None:
        seen.append((pending.pop(), y.to("cpu", copy=True)))
        if len(seen) % unit.calls == 0:
            raise _ReachedError

    module = network.get_submodule(unit.name)
    handles = [module.register_forward_pre_hook(keep_input, prepend=True), module.register_forward_hook(keep)]
    try:
        for batch in torch.split(x, size):
            with contextlib.suppress(_ReachedError):
                output(network, batch.to(device).contiguous(memory_format=torch.channels_last))
    finally:
        for handle in handles:
            handle.remove()
    return [[torch.cat(parts) for parts in zip(*seen[i :: unit.calls])] for i in range(unit.calls)]


# -- step 14: the objective --------------------------------------------------------------------------------


def mixed(x_quantized: Float[Tensor, "*n"], x: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Each value from one or the other, with equal chances."""
    return torch.where(torch.rand_like(x) < KEPT, x, x_quantized)


def gap(module: nn.Module, got: Tensor, wanted: Tensor) -> Float[Tensor, ""]:
    """||got - wanted||^2 over channels, mean over samples and positions."""
    channels = -1 if isinstance(module, nn.Linear) else 1
    return (got - wanted).square().sum(dim=channels).mean()


class Learner(nn.Module):
    """A unit with its soft weights and the quantizers of its inputs, all that is learnt of it."""

    def __init__(self, module: nn.Module, unit: Unit, weight_bits: dict[str, int]) -> None:
        super().__init__()
        self.weights = nn.ModuleDict()
        self.module: Callable[[], nn.Module] = lambda: module  # it is frozen: not a part of this one
        for name in unit.layers:
            if name in weight_bits:
                layer: Any = module.get_submodule(_inside(name, unit))
                self.weights[_key(_inside(name, unit))] = SoftRounding(layer, weight_bits[name])
        self.inputs = nn.ModuleList(
            quantize_input(module.get_submodule(_inside(name, unit)), bits) for name, bits in unit.inputs.items()
        )

    def forward(self, x: Tensor, hard: bool = False) -> Tensor:
        """What the unit makes of `x`."""
        weights = {
            f"{_name(key)}weight": rounding.hard() if hard else rounding()  # type: ignore[operator]
            for key, rounding in self.weights.items()
        }
        result: Tensor = functional_call(self.module(), weights, (x,))
        return result

    def drop(self, kept: float) -> None:
        """Let a share of the values that enter quantizers stay float."""
        for quantizer in self.inputs:
            quantizer.kept = kept  # type: ignore[assignment]

    @torch.no_grad()
    def start(self, x: Tensor) -> None:
        """Search the steps of inputs on a first batch."""
        for quantizer in self.inputs:
            quantizer.observing = True  # type: ignore[assignment]
        self(x)

    def regularizer(self, exponent: float) -> Tensor:
        """R of all weights."""
        roundings: list[Any] = list(self.weights.values())
        return torch.stack([regularizer(rounding.rounding(), exponent) for rounding in roundings]).sum()

    def optimizers(self, recipe: Recipe) -> tuple[dict[str, Any], dict[str, Any]]:
        """Step 15: Adam on V at a constant rate, Adam on the steps at a rate that falls to 0 by a cosine."""
        soft: list[Any] = list(self.weights.values())
        rounded: list[Any] = list(self.inputs)
        optimizers: dict[str, Any] = {}
        if recipe.rounding != "nearest" and soft:
            optimizers["rounding"] = Adam([rounding.v for rounding in soft], lr=recipe.rounding_rate)
        groups = [{"params": [quantizer.step for quantizer in rounded], "lr": recipe.activation_step_rate}]
        if recipe.rounding == "genie":
            groups.append({"params": [rounding.step for rounding in soft], "lr": recipe.weight_step_rate})
        groups = [group for group in groups if group["params"]]
        if groups:
            optimizers["steps"] = Adam(groups)
        return optimizers, {
            name: CosineAnnealingLR(adam, recipe.iterations) for name, adam in optimizers.items() if name == "steps"
        }

    def keep(self) -> None:
        """Step 16: hard rounding from now on, as integer codes; quantization is dropped no more."""
        self.drop(0.0)
        for key, rounding in self.weights.items():
            rounding.keep(self.module().get_submodule(_name(key)[:-1]))  # type: ignore[operator]


def _inside(name: str, unit: Unit) -> str:
    return name[len(unit.name) + 1 :]


def _key(name: str) -> str:
    return name.replace(".", "/") or "/"


def _name(key: str) -> str:
    return "" if key == "/" else key.replace("/", ".") + "."


# -- steps 13-16: one unit, and all of them ----------------------------------------------------------------


@torch.no_grad()
def error(learner: Learner, calls: list[Call], size: int) -> float:
    """How far the hard unit is from the float one, on what it reads in the quantized network."""
    device = torch.device(current().device)
    total = 0.0
    for call in calls:
        for x, y in zip(torch.split(call.x_quantized, size), torch.split(call.y, size)):
            got = learner(x.to(device), hard=True)
            total += float(gap(learner.module(), got, y.to(device))) * len(x) / len(call.y)
    return total / len(calls)


def _batches(calls: list[Call], size: int) -> Callable[[Run], Iterator[list[Call]]]:
    """Random minibatches of all calls, pass after pass."""
    n = len(calls[0].x)
    size = min(size, n)

    def stream(run: Run) -> Iterator[list[Call]]:
        while True:
            for index in torch.split(torch.randperm(n, generator=run.generator), size):
                if len(index) == size:
                    yield [Call(*(part[index] for part in call)) for call in calls]

    return stream


def learn(learner: Learner, calls: list[Call], recipe: Recipe, name: str) -> None:
    """Minimize ||unit(x) - y||^2 + lambda R over V, weight steps and activation steps of one unit."""
    optimizers, schedulers = learner.optimizers(recipe)
    if not optimizers or not recipe.iterations:
        return
    learner.drop(KEPT if recipe.drop == "qdrop" else 0.0)

    def objective(batch: list[Call], run: Run) -> Tensor:
        losses = []
        for call in batch:
            x = mixed(call.x_quantized, call.x) if recipe.drop == "qdrop" else call.x_quantized
            losses.append(gap(learner.module(), learner(x, hard=recipe.rounding == "nearest"), call.y))
        loss = torch.stack(losses).mean()
        exponent = beta(run.step / recipe.iterations)
        if exponent is not None and "rounding" in optimizers:
            loss = loss + recipe.penalty * learner.regularizer(exponent)
        if run.step + 1 == recipe.iterations:
            run.stop()
        return loss

    train(
        objective,
        name=name,
        nets={"unit": learner},
        optimizers=optimizers,
        schedulers=schedulers,
        batches=_batches(calls, recipe.batch_size),
        epochs=-(-recipe.iterations // SAVED_EVERY),
        steps_per_epoch=SAVED_EVERY,
    )
    learner.drop(0.0)


def reconstruct(
    teacher: nn.Module,
    student: nn.Module,
    plan: Plan,
    x: Float[Tensor, "n ..."],
    output: Output,
    recipe: Recipe,
    size: int = 32,
) -> tuple[list[float], list[float]]:
    """Quantize `student`, in place, unit by unit, on what all units before, quantized already, make of `x`.

    Parameters
    ----------
    teacher, student : Module
        The float network, and a copy of it.
    plan : Plan
    x : Tensor (n, ...)
        Calibration samples.
    output : callable
        How the networks read a batch.
    recipe : Recipe
    size : int
        Samples at a time where nothing is learnt.

    Returns
    -------
    two lists of float
        Per unit the mean squared gap to the float unit with weights rounded to nearest and steps as they were
        searched for, and with what was learnt.
    """
    before, after = [], []
    for number, unit in enumerate(plan.units):
        expected = read(teacher, unit, x, output, size)
        actual = read(student, unit, x, output, size)
        calls = [Call(mine[0], theirs[0], theirs[1]) for mine, theirs in zip(actual, expected)]
        module = student.get_submodule(unit.name)
        learner = Learner(module, unit, plan.weight_bits)
        device = torch.device(current().device)
        learner.to(device).start(calls[0].x_quantized[: recipe.batch_size].to(device))
        before.append(error(learner, calls, size))
        learn(learner, calls, recipe, f"reconstruction-{number:03d}")
        after.append(error(learner, calls, size) if recipe.iterations else before[-1])
        learner.keep()
    for name in plan.weight_bits.keys() - {name for unit in plan.units for name in unit.layers}:
        layer: Any = student.get_submodule(name)  # no forward pass calls it: its searched step is all there is
        SoftRounding(layer, plan.weight_bits[name]).keep(layer)
    return before, after

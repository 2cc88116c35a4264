"""The training loop, the only one: objectives in, checkpoints and a history out."""

from __future__ import annotations

import itertools
import logging
import math
import random
import shutil
import time
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from unseen.nn import parallel
from unseen.nn.state import digest, load_state, save_state
from unseen.runtime import current, track

log = logging.getLogger(__name__)

Loss = Tensor | Callable[[], Tensor]


class DivergedError(ArithmeticError):
    """A loss became infinite or not a number; the message names stage, epoch and step."""


class Run:
    """One stage of training, as its objective and its hooks see it.

    Attributes
    ----------
    epoch, step : int
        Epochs finished before this one; steps taken since the start.
    progress : float
        Share of all steps taken, in [0, 1].
    generator : torch.Generator
        The stage's own random numbers (CPU), part of its checkpoints.
    device : torch.device
        Where the networks are; batches are there too.
    history : list of dict
        Per finished epoch, the mean of every value that was logged.
    """

    def __init__(
        self,
        name: str,
        nets: Mapping[str, nn.Module],
        optimizers: Mapping[str, Optimizer],
        total_steps: int,
        clip: float | None,
    ) -> None:
        self.name = name
        self.nets = dict(nets)
        self.optimizers = dict(optimizers)
        self.clip = clip
        self.epoch = 0
        self.step = 0
        self.stopped = False
        self.best: float | None = None
        self.best_epoch = -1
        self.device = torch.device(current().device)
        self.generator = torch.Generator().manual_seed((torch.initial_seed() + zlib.crc32(name.encode())) % 2**63)
        self.history: list[dict[str, float]] = []
        self._weight = 1.0
        self._total = max(total_steps, 1)
        self._logged: dict[str, list[Tensor]] = defaultdict(list)
        self._weights: dict[str, list[float]] = defaultdict(list)

    @property
    def progress(self) -> float:
        """Share of all steps taken, in [0, 1]."""
        return min(self.step / self._total, 1.0)

    def log(self, **values: Tensor | float) -> None:
        """Note values of this step; `history` keeps their mean per epoch, over all processes."""
        for key, value in values.items():
            self._logged[key].append(torch.as_tensor(value).detach().cpu().double())
            self._weights[key].append(self._weight)

    def stop(self) -> None:
        """End the stage after this step."""
        self.stopped = True

    def descend(self, loss: Loss, *names: str) -> Tensor:
        """Zero, go backward into the parameters of the named optimizers only, clip, step; return the loss.

        Parameters
        ----------
        loss : Tensor or callable
            A scalar, or a closure that computes it (for optimizers that evaluate it more than once).
        *names : str
            Optimizers that take the step, all of them if none is named. A closure takes one.

        Raises
        ------
        DivergedError
            If the loss is not finite; no step is taken then.
        """
        optimizers = [self.optimizers[name] for name in names or self.optimizers]
        parameters = _parameters(optimizers)
        if not parameters:
            raise ValueError(
                f"stage {self.name!r}: {', '.join(names) or 'every optimizer'} has nothing that requires a gradient"
            )

        @torch.enable_grad()
        def backward() -> Tensor:
            for optimizer in optimizers:
                optimizer.zero_grad(set_to_none=True)
            value = loss() if callable(loss) else loss
            local, together = value, parallel.world() > 1
            if together:
                local = value * self._weight
                value = local.detach().clone()
                parallel.average([value])
            if not math.isfinite(value.item()):
                where = f"stage {self.name!r}, epoch {self.epoch}, step {self.step}"
                raise DivergedError(f"the loss became {value.item()} in {where}; a smaller learning rate may help")
            local.backward(inputs=parameters)  # type: ignore[no-untyped-call]
            if together:
                parallel.average([parameter.grad for parameter in parameters if parameter.grad is not None])
            if self.clip is not None:
                nn.utils.clip_grad_norm_(parameters, self.clip)
            return value

        if callable(loss):
            if len(optimizers) != 1:
                raise ValueError(f"a closure is for one optimizer; got {len(optimizers)}")
            value = torch.as_tensor(optimizers[0].step(backward))  # type: ignore[arg-type]
        else:
            value = backward()
            for optimizer in optimizers:
                optimizer.step()
        return value.detach()

    def _close_epoch(self) -> None:
        means = {key: float(torch.stack(values).mean()) for key, values in self._logged.items()}
        if parallel.world() > 1 and parallel.alike(zlib.crc32(repr(sorted(means)).encode())) and means:
            sums = torch.tensor(
                [
                    [sum(weight * float(value) for weight, value in zip(weights, values)), sum(weights)]
                    for weights, values in ((self._weights[key], self._logged[key]) for key in sorted(means))
                ],
                dtype=torch.float64, device=self.device,
            )  # fmt: skip
            parallel.average([sums])
            means |= dict(zip(sorted(means), (sums[:, 0] / sums[:, 1]).tolist()))
        self.history.append(means)
        self._logged.clear()
        self._weights.clear()
        self.epoch += 1


def train(
    objective: Callable[[Any, Run], Tensor | None],
    *,
    name: str,
    nets: Mapping[str, nn.Module],
    optimizers: Mapping[str, Optimizer],
    batches: Callable[[Run], Iterable[Any]] | None,
    epochs: int,
    steps_per_epoch: int,
    schedulers: Mapping[str, Any] | None = None,
    before_epoch: Callable[[Run], None] | None = None,
    after_step: Callable[[Run], None] | None = None,
    after_epoch: Callable[[Run], None] | None = None,
    score: Callable[[Run], float] | None = None,
    patience: int | None = None,
    clip: float | None = None,
) -> Run:
    """Train one stage of a method; killed at any moment, it goes on from its last checkpoint to identical bits.

    Where `torch.distributed` is initialized, each process takes its part of every batch and gradients are averaged; see
    `unseen.nn.parallel`.

    Parameters
    ----------
    objective : callable (batch, run) -> loss or None
        Returns a scalar loss, on which all optimizers step, or calls `run.descend` itself and returns None.
    name : str
        Name of the stage; its checkpoints lie in the runtime's folder under it, each of them after an epoch and at
        least `SELDOM` seconds of work. A stage whose last epoch is among them is skipped.
    nets : mapping of name to Module
        Everything that changes in training, and every frozen network that is not itself an input.
    optimizers : mapping of name to Optimizer
    batches : callable (run) -> iterable of batches, or None
        None reads nothing: the objective gets None as its batch (inputs or latents are optimized).
    epochs, steps_per_epoch : int, >= 1
        An epoch ends after `steps_per_epoch` batches, or earlier when `batches` has no more.
    schedulers : mapping of name to learning rate scheduler
        Stepped after every step; `ReduceLROnPlateau` gets the last loss.
    before_epoch, after_step, after_epoch : callable (run) -> None
    score : callable (run) -> float
        Larger is better, from visible data only. The networks of the best epoch are kept.
    patience : int, optional
        Stop after so many epochs without a better score.
    clip : float, optional
        Largest norm of a gradient.

    Returns
    -------
    Run
        With `history`, and the nets changed in place, on the runtime's device.

    Raises
    ------
    DivergedError
        If a loss is not finite.
    ValueError
        If there is no batch, or the folder holds a damaged checkpoint or one of another start (other data,
        networks, seed or settings).
    OSError
        If a checkpoint cannot be written; none is left half-written.
    """
    if epochs < 1 or steps_per_epoch < 1:
        raise ValueError(f"epochs and steps_per_epoch must be at least 1; got {epochs} and {steps_per_epoch}")
    if patience is not None and score is None:
        raise ValueError("patience needs a score")
    schedulers = dict(schedulers or {})
    run = Run(name, nets, optimizers, epochs * steps_per_epoch, clip)
    for net in run.nets.values():
        net.to(run.device)
    for optimizer in run.optimizers.values():
        optimizer._opt_called = True  # type: ignore[attr-defined]  # resting in the first steps is no mistake
    checkpoint = _Checkpoint(run, schedulers, (epochs, steps_per_epoch, clip, patience, sorted(schedulers)))
    if checkpoint.restore():
        return run
    remaining = range(run.epoch, epochs)
    for _ in track(remaining, name) if epochs > 1 else remaining:
        if run.stopped:
            break
        if before_epoch is not None:
            before_epoch(run)
        taken = 0
        stream = itertools.repeat(None) if batches is None else batches(run)
        steps = range(steps_per_epoch)
        for _, batch in zip(track(steps, name) if epochs == 1 else steps, stream):  # what is one epoch is told by steps
            with parallel.as_one(batch):
                with torch.autocast(run.device.type, torch.bfloat16, enabled=current().precision == "bf16"):
                    if parallel.world() > 1:
                        batch, run._weight = parallel.part(batch)
                    loss = objective(_to_device(batch, run.device), run)
                if loss is not None:
                    loss = run.descend(loss)
                    run.log(loss=loss)
            _step_schedulers(schedulers, run, loss)
            run.step += 1
            taken += 1
            if after_step is not None:
                after_step(run)
            if run.stopped:
                break
        if not taken:
            raise ValueError(f"stage {name!r}: there is no batch; is batch_size larger than the number of samples?")
        run._close_epoch()
        if after_epoch is not None:
            after_epoch(run)
        if score is not None:
            checkpoint.keep_best(score(run))
            if patience is not None and run.epoch - 1 - run.best_epoch >= patience:
                run.stop()
        if checkpoint.is_due():
            checkpoint.write(finished=run.stopped or run.epoch == epochs)
    checkpoint.restore_best()
    return run


def _step_schedulers(schedulers: Mapping[str, Any], run: Run, loss: Tensor | None) -> None:
    for scheduler in schedulers.values():
        if isinstance(scheduler, ReduceLROnPlateau):
            values = run._logged.get("loss")
            if loss is None and not values:
                raise ValueError("ReduceLROnPlateau needs the loss: return it, or call run.log(loss=...)")
            scheduler.step(float(loss if loss is not None else values[-1]))  # type: ignore[index]
        else:
            scheduler.step()


def _parameters(optimizers: Iterable[Optimizer]) -> list[Tensor]:
    """All parameters of some optimizers, each once."""
    groups = (group["params"] for optimizer in optimizers for group in optimizer.param_groups)
    return list({id(p): p for group in groups for p in group if p.requires_grad}.values())


def _to_device(batch: Any, device: torch.device) -> Any:
    if device.type == "cpu" or batch is None:
        return batch
    if isinstance(batch, Tensor):
        return batch.to(device)
    if isinstance(batch, dict):
        return {key: _to_device(value, device) for key, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(_to_device(value, device) for value in batch))
    if isinstance(batch, (tuple, list)):
        return type(batch)(_to_device(value, device) for value in batch)
    return batch


SELDOM = 2.0
"""Seconds of work that a checkpoint must be worth: of a training of half a second, writing them was a fifth."""


class _Checkpoint:
    """Networks, optimizers, schedulers and random states of a run, one folder per epoch, the newest kept."""

    def __init__(self, run: Run, schedulers: Mapping[str, Any], budget: tuple[Any, ...]) -> None:
        self.run = run
        self.schedulers = schedulers
        self.epochs = budget[0]
        folder = current().folder
        self.folder = None if folder is None else Path(folder) / run.name
        self.start = self._start(budget) if self.folder is not None else ""
        self.best_nets: dict[str, Any] | None = None
        self.written = time.monotonic()

    def _start(self, budget: tuple[Any, ...]) -> str:
        """A hash of the work, the settings and the untrained networks: a checkpoint belongs to one start only."""
        optimizers = {
            name: (type(optimizer).__name__, optimizer.state_dict()["param_groups"])
            for name, optimizer in self.run.optimizers.items()
        }
        return digest((current().work, torch.initial_seed(), budget, optimizers, self._nets()))

    def _nets(self) -> dict[str, Any]:
        return {name: dict(net.state_dict()) for name, net in self.run.nets.items()}

    def keep_best(self, score: float) -> None:
        """Remember the networks if `score` is the best so far."""
        self.run.history[-1]["score"] = score
        if not math.isnan(score) and (self.run.best is None or score > self.run.best):
            self.run.best, self.run.best_epoch = score, self.run.epoch - 1
            self.best_nets = {
                name: {key: tensor.detach().clone() for key, tensor in net.items()}
                for name, net in self._nets().items()
            }

    def restore_best(self) -> None:
        """Put the networks of the best epoch back, if there was a score."""
        if self.best_nets is not None:
            for name, net in self.run.nets.items():
                net.load_state_dict(self.best_nets[name])

    def is_due(self) -> bool:
        """Whether there is work to lose; several processes, whose clocks differ, write every epoch."""
        return parallel.world() > 1 or time.monotonic() - self.written >= SELDOM

    def write(self, *, finished: bool) -> None:
        """Write the checkpoint of this epoch, then remove the older ones and what killed runs left half-written."""
        if self.folder is None:
            return
        run = self.run
        value = {
            "start": self.start,
            "finished": finished,
            "epoch": run.epoch,
            "step": run.step,
            "stopped": run.stopped,
            "best": run.best,
            "best_epoch": run.best_epoch,
            "best_nets": self.best_nets,
            "history": run.history,
            "nets": self._nets(),
            "modes": {name: [m.training for m in net.modules()] for name, net in run.nets.items()},
            "optimizers": {name: optimizer.state_dict() for name, optimizer in run.optimizers.items()},
            "schedulers": {name: _plain(s.state_dict()) for name, s in self.schedulers.items()},
            "random": _random_states(run.generator),
        }
        if parallel.first():
            newest = save_state(self.folder / f"epoch-{run.epoch:06d}", value)
            for old in (*self.folder.glob("epoch-*"), *self.folder.glob(".epoch-*")):
                if old != newest:
                    shutil.rmtree(old, ignore_errors=True)
        parallel.wait()
        self.written = time.monotonic()

    def restore(self) -> bool:
        """Load the newest checkpoint; True if the stage was finished."""
        if self.folder is None or not self.folder.is_dir():
            return False
        checkpoints = sorted(self.folder.glob("epoch-*"))
        if not checkpoints:
            return False
        value = load_state(checkpoints[-1])
        if value["start"] != self.start:
            raise ValueError(
                f"{self.folder} holds a checkpoint of another start (other data, seed or settings); "
                "remove it or use another folder"
            )
        run = self.run
        run.epoch, run.step, run.stopped = value["epoch"], value["step"], value["stopped"]
        run.best, run.best_epoch, run.history = value["best"], value["best_epoch"], value["history"]
        self.best_nets = value["best_nets"]
        for name, net in run.nets.items():
            net.load_state_dict(value["nets"][name])
            for module, mode in zip(net.modules(), value["modes"][name]):
                module.training = mode
        for name, optimizer in run.optimizers.items():
            optimizer.load_state_dict(value["optimizers"][name])
        for name, scheduler in self.schedulers.items():
            scheduler.load_state_dict(value["schedulers"][name])
        _set_random_states(run.generator, value["random"])
        if value["finished"]:
            log.info("%s: finished after epoch %d", run.name, run.epoch)
            self.restore_best()
        else:
            log.warning(
                "%s goes on from epoch %d of %d, step %d, where an earlier call was stopped",
                run.name,
                run.epoch,
                self.epochs,
                run.step,
            )
        return bool(value["finished"])


def _plain(state: dict[str, Any]) -> dict[str, Any]:
    """A scheduler's state without the functions that some of them hold."""
    return {key: value for key, value in state.items() if not callable(value) and not _holds_callables(value)}


def _holds_callables(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and any(callable(item) for item in value)


def _random_states(generator: torch.Generator) -> dict[str, Any]:
    return {
        "torch": torch.get_rng_state(),
        "generator": generator.get_state(),
        "numpy": np.random.get_state(),
        "python": random.getstate(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def _set_random_states(generator: torch.Generator, states: dict[str, Any]) -> None:
    torch.set_rng_state(states["torch"])
    generator.set_state(states["generator"])
    np.random.set_state(states["numpy"])
    random.setstate(states["python"])
    if states["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(states["cuda"])

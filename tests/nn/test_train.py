"""The training loop: six kinds of training, each interrupted and resumed to identical bits, and its edges."""

from __future__ import annotations

import errno
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, OneCycleLR, ReduceLROnPlateau, StepLR

import unseen.nn.train as training
from unseen.data.domain import Domain
from unseen.data.samplers import batches
from unseen.nn import state
from unseen.nn.train import DivergedError, Run, train
from unseen.runtime import identified, reproducible, runtime

Setup = Callable[[int], dict[str, Any]]


class Killed(BaseException):
    """Stands for a kill inside the process: nothing may catch it."""


class SAM(torch.optim.Optimizer):
    """The smallest sharpness-aware optimizer: climb by rho, take the gradient there, come back, descend."""

    def __init__(self, params: Any, lr: float, rho: float = 0.05) -> None:
        super().__init__(params, {"lr": lr, "rho": rho})

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor]) -> Tensor:  # type: ignore[override]
        loss = closure()
        pairs = [(p, g) for g in self.param_groups for p in g["params"] if p.grad is not None]
        norm = torch.stack([p.grad.norm() for p, _ in pairs]).norm()
        climbs = [g["rho"] * p.grad / norm for p, g in pairs]
        for (p, _), climb in zip(pairs, climbs):
            p.add_(climb)
        closure()
        for (p, g), climb in zip(pairs, climbs):
            p.sub_(climb).sub_(g["lr"] * p.grad)
        return loss


def mlp(*widths: int, dropout: float = 0.0) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a, b in zip(widths, widths[1:]):
        layers += [nn.Linear(a, b), nn.Tanh(), nn.Dropout(dropout)]
    return nn.Sequential(*layers[:-2])


def blobs(n: int = 24, d: int = 4, classes: int = 3) -> Domain:
    rng = np.random.default_rng(5)
    y = np.arange(n) % classes
    return Domain(x=(rng.normal(size=(n, d)) + y[:, None]).astype(np.float32), y=y)


# -- the six kinds -----------------------------------------------------------------------------------------


def gan(epochs: int) -> dict[str, Any]:
    """Five steps of the critic for one of the generator, each with its own optimizer and schedule."""
    data = blobs()
    nets = {"critic": mlp(4, 8, 1), "generator": mlp(2, 8, 4)}
    critic = torch.optim.Adam(nets["critic"].parameters(), lr=1e-2, betas=(0.5, 0.9))
    generator = torch.optim.RMSprop(nets["generator"].parameters(), lr=1e-2)

    def objective(batch: Any, run: Run) -> None:
        fake = nets["generator"](torch.randn(len(batch.x), 2, generator=run.generator))
        loss = nets["critic"](fake.detach()).mean() - nets["critic"](batch.x).mean()
        run.log(critic=run.descend(loss, "critic"))
        if run.step % 5 == 4:
            run.log(generator=run.descend(-nets["critic"](fake).mean(), "generator"))

    return dict(
        objective=objective,
        nets=nets,
        optimizers={"critic": critic, "generator": generator},
        schedulers={"a": StepLR(critic, 7), "b": CosineAnnealingLR(generator, 50)},
        batches=batches(data, 4),
        epochs=epochs,
        steps_per_epoch=6,
    )


def sharpness_aware(epochs: int) -> dict[str, Any]:
    """A closure that the optimizer calls twice in a step, with dropout from the global generator."""
    net = mlp(4, 8, 3, dropout=0.2)

    def objective(batch: Any, run: Run) -> None:
        run.log(loss=run.descend(lambda: F.cross_entropy(net(batch.x), batch.y), "sam"))

    return dict(
        objective=objective,
        nets={"net": net},
        optimizers={"sam": SAM(net.parameters(), 0.05)},
        batches=batches(blobs(), 8),
        epochs=epochs,
        steps_per_epoch=3,
        clip=1.0,
    )


def second_order(epochs: int) -> dict[str, Any]:
    """The gradient through one inner step (MAML), by torch.func."""
    net = mlp(4, 6, 3)
    adam = torch.optim.AdamW(net.parameters(), lr=1e-2)

    def objective(batch: Any, run: Run) -> Tensor:
        def inner(weights: dict[str, Tensor]) -> Tensor:
            return F.cross_entropy(torch.func.functional_call(net, weights, batch.x[:4]), batch.y[:4])

        weights = dict(net.named_parameters())
        gradients = torch.func.grad(inner)(weights)
        moved = {key: weight - 0.1 * gradients[key] for key, weight in weights.items()}
        return F.cross_entropy(torch.func.functional_call(net, moved, batch.x[4:]), batch.y[4:])

    return dict(
        objective=objective,
        nets={"net": net},
        optimizers={"adam": adam},
        schedulers={"cycle": OneCycleLR(adam, 0.05, total_steps=3 * epochs + 1)},
        batches=batches(blobs(), 8),
        epochs=epochs,
        steps_per_epoch=3,
    )


def indexed_bank(epochs: int) -> dict[str, Any]:
    """A bank of embeddings by sample, renewed in a full pass before every epoch; the best epoch is kept."""
    data = blobs()
    net = mlp(4, 5, dropout=0.1)
    bank = nn.Module()
    bank.register_buffer("z", torch.zeros(len(data), 5))

    def renew(run: Run) -> None:
        net.eval()
        with torch.no_grad():
            bank.z = F.normalize(net(torch.as_tensor(data.x)), dim=1)
        net.train()

    def objective(batch: Any, run: Run) -> Tensor:
        z = F.normalize(net(batch.x), dim=1)
        noise = float(np.random.normal(0, 1e-3)) + random.uniform(0, 1e-3)  # the global generators count too
        loss = F.cross_entropy(z @ bank.z.T / 0.1, batch.index) + noise * z.square().sum()
        bank.z = bank.z.index_copy(0, batch.index, z.detach())
        return loss

    return dict(
        objective=objective,
        nets={"net": net, "bank": bank},
        optimizers={"sgd": torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, nesterov=True)},
        batches=batches(data, 8),
        epochs=epochs,
        steps_per_epoch=3,
        before_epoch=renew,
        score=lambda run: -abs(run.history[-1]["loss"] - 2.3),
    )


class Inputs(nn.Module):
    """Images that are learnt."""

    def __init__(self) -> None:
        super().__init__()
        self.x = nn.Parameter(torch.randn(4, 3, 6, 6))


def learned_inputs(epochs: int) -> dict[str, Any]:
    """Inputs whose statistics in a frozen network match its BatchNorm; nothing is read."""
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).eval().requires_grad_(False)
    net[1].running_mean.fill_(0.5)
    images = Inputs()
    adam = torch.optim.Adam(images.parameters(), lr=0.1)

    def objective(batch: None, run: Run) -> Tensor:
        assert batch is None
        z = net[0](images.x)
        return F.mse_loss(z.mean(dim=(0, 2, 3)), net[1].running_mean) + (z.std(dim=(0, 2, 3)) - 1).square().sum()

    return dict(
        objective=objective,
        nets={"images": images, "net": net},
        optimizers={"adam": adam},
        schedulers={"plateau": ReduceLROnPlateau(adam, patience=2, factor=0.7)},
        batches=None,
        epochs=epochs,
        steps_per_epoch=4,
    )


def two_optimizers(epochs: int) -> dict[str, Any]:
    """One loss, one backward, two optimizers, and a teacher that follows as a moving average."""
    nets = {"student": mlp(4, 6, dropout=0.1), "experts": mlp(6, 3), "teacher": mlp(4, 6)}
    optimizers = {
        "student": torch.optim.SGD(nets["student"].parameters(), lr=0.1, momentum=0.9),
        "experts": torch.optim.Adagrad(nets["experts"].parameters(), lr=0.1),
    }
    decay = LambdaLR(optimizers["student"], lambda step: 1 / (1 + step))

    def objective(batch: Any, run: Run) -> None:
        z = nets["student"](batch.x)
        loss = F.cross_entropy(nets["experts"](z), batch.y) + (1 - run.progress) * F.mse_loss(
            z, nets["teacher"](batch.x).detach()
        )
        run.log(loss=run.descend(loss, "student", "experts"))

    @torch.no_grad()
    def follow(run: Run) -> None:
        pairs = zip(nets["teacher"].parameters(), nets["student"].parameters())
        for slow, fast in pairs:
            slow.lerp_(fast, 0.1)

    return dict(
        objective=objective,
        nets=nets,
        optimizers=optimizers,
        schedulers={"decay": decay},
        batches=batches(blobs(), 8),
        epochs=epochs,
        steps_per_epoch=3,
        after_step=follow,
    )


KINDS = (gan, sharpness_aware, second_order, indexed_bank, learned_inputs, two_optimizers)


def perform(setup: Setup, epochs: int, **changes: Any) -> tuple[Run, dict[str, Any]]:
    """Build everything anew from seed 0 and train."""
    with reproducible(0):
        settings = setup(epochs)
        for hook, extra in changes.items():
            own = settings.get(hook)
            settings[hook] = extra if own is None or not callable(extra) else _both(own, extra)
        run = train(settings.pop("objective"), name="stage", **settings)
        return run, {"random": torch.rand(2).tolist() + [np.random.rand(), random.random()]}


def _both(first: Callable[[Run], None], second: Callable[[Run], None]) -> Callable[[Run], None]:
    def hook(run: Run) -> None:
        first(run)
        second(run)

    return hook


def outcome(result: tuple[Run, dict[str, Any]]) -> dict[str, Any]:
    """All that training leaves, as plain values that compare bit for bit."""
    run, rest = result
    tensors = {
        f"{name}.{key}": value.numpy().tobytes()
        for name, net in run.nets.items()
        for key, value in net.state_dict().items()
    }
    counts = (run.epoch, run.step, run.best, run.best_epoch, run.stopped)
    return {"tensors": tensors, "history": run.history, "counts": counts, **rest}


@pytest.mark.parametrize("setup", KINDS, ids=lambda f: f.__name__)
def test_killed_at_random_moments_training_resumes_to_identical_bits(setup: Setup, tmp_path: Path) -> None:
    expected = outcome(perform(setup, 5))
    rng = random.Random(setup.__name__)
    kills = 0

    def killer(hook: str) -> Callable[[Run], None]:
        left = rng.randint(1, 7 if hook == "after_step" else 2)

        def maybe(run: Run) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise Killed

        return maybe

    with runtime(folder=tmp_path):
        while True:
            hook = rng.choice(("before_epoch", "after_step", "after_step", "after_epoch")) if kills < 12 else None
            try:
                result = perform(setup, 5, **({hook: killer(hook)} if hook else {}))
                break
            except Killed:
                kills += 1
    assert kills >= 3
    assert outcome(result) == expected


@pytest.mark.parametrize("setup", KINDS, ids=lambda f: f.__name__)
def test_a_finished_stage_is_skipped_and_leaves_the_same_bits(setup: Setup, tmp_path: Path) -> None:
    def refuse(batch: Any, run: Run) -> Tensor:
        raise AssertionError("the objective was called")

    with runtime(folder=tmp_path):
        expected = outcome(perform(setup, 3))
        settings = {"objective": refuse}
        with reproducible(0):
            settings = {**setup(3), **settings}
            run = train(settings.pop("objective"), name="stage", **settings)
            rest = {"random": torch.rand(2).tolist() + [np.random.rand(), random.random()]}
    assert outcome((run, rest)) == expected


def test_the_same_bits_with_and_without_checkpoints(tmp_path: Path) -> None:
    expected = outcome(perform(gan, 3))
    with runtime(folder=tmp_path):
        assert outcome(perform(gan, 3)) == expected
    assert [f.name for f in (tmp_path / "stage").iterdir()] == ["epoch-000003"]


def test_little_work_leaves_no_checkpoint_and_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = outcome(perform(gan, 3))
    monkeypatch.setattr(training, "SELDOM", 60.0)
    with runtime(folder=tmp_path):
        assert outcome(perform(gan, 3)) == expected
    assert not (tmp_path / "stage").exists()


def test_what_follows_the_last_checkpoint_is_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = outcome(perform(gan, 5))
    epochs = []

    def third_alone(run: Run) -> None:
        epochs.append(run.epoch)
        monkeypatch.setattr(training, "SELDOM", 0.0 if run.epoch == 3 else 60.0)

    with runtime(folder=tmp_path):
        assert outcome(perform(gan, 5, after_epoch=third_alone)) == expected
        assert [f.name for f in (tmp_path / "stage").iterdir()] == ["epoch-000003"]
        assert outcome(perform(gan, 5, after_epoch=third_alone)) == expected
    assert epochs == [1, 2, 3, 4, 5, 4, 5]


def test_training_learns() -> None:
    run, _ = perform(sharpness_aware, 30)
    assert run.history[-1]["loss"] < 0.6 * run.history[0]["loss"]


# -- a real kill -------------------------------------------------------------------------------------------


def _victim(folder: Path) -> None:
    """Train in this process and write what came out: what the parent kills."""

    def ready(run: Run) -> None:
        sys.stdout.write("ready\n")
        sys.stdout.flush()

    told: list[bool] = []

    def once(run: Run) -> None:
        if not told:
            told.append(True)
            ready(run)

    training.SELDOM = 0.0
    with runtime(folder=folder):
        result = outcome(perform(two_optimizers, 600, before_epoch=once))
    result["tensors"] = {key: value.hex() for key, value in result["tensors"].items()}
    state.save_state(folder / "result", result)


@pytest.mark.slow
def test_killed_twenty_times_by_the_system_training_resumes_to_identical_bits(tmp_path: Path) -> None:
    expected = outcome(perform(two_optimizers, 600))
    rng = random.Random(0)
    kills = 0
    while not (tmp_path / "result").exists():
        child = subprocess.Popen([sys.executable, __file__, str(tmp_path)], stdout=subprocess.PIPE)
        assert child.stdout is not None
        if child.stdout.readline() and kills < 20:
            time.sleep(rng.uniform(0, 0.15))
            child.send_signal(signal.SIGKILL)
        code = child.wait()
        child.stdout.close()
        assert code in (0, -signal.SIGKILL)
        kills += code != 0
    assert kills == 20
    result = state.load_state(tmp_path / "result")
    assert result["tensors"] == {key: value.hex() for key, value in expected["tensors"].items()}
    assert (result["history"], result["random"]) == (expected["history"], expected["random"])
    assert [f.name for f in (tmp_path / "stage").iterdir()] == ["epoch-000600"]


# -- checkpoints of others, damaged, and not written -------------------------------------------------------


def _another_seed(epochs: int) -> dict[str, Any]:
    torch.manual_seed(1)
    return gan(epochs)


def _another_rate(epochs: int) -> dict[str, Any]:
    settings = gan(epochs)
    settings["optimizers"]["critic"] = torch.optim.Adam(settings["nets"]["critic"].parameters(), lr=0.5)
    return settings


@pytest.mark.parametrize(("setup", "epochs"), [(_another_seed, 2), (_another_rate, 2), (gan, 3), (two_optimizers, 2)])
def test_a_checkpoint_of_another_start_is_refused(setup: Setup, epochs: int, tmp_path: Path) -> None:
    with runtime(folder=tmp_path):
        perform(gan, 2)
        with pytest.raises(ValueError, match="checkpoint of another start"):
            perform(setup, epochs)


def test_a_checkpoint_of_other_work_is_refused(tmp_path: Path) -> None:
    with runtime(folder=tmp_path):
        with identified("these data"):
            perform(gan, 2)
        with identified("other data"), pytest.raises(ValueError, match="checkpoint of another start"):
            perform(gan, 2)


@pytest.mark.parametrize("damage", ["cut", "flip", "json", "missing"])
def test_a_damaged_checkpoint_is_never_loaded(damage: str, tmp_path: Path) -> None:
    with runtime(folder=tmp_path):
        perform(gan, 2)
        folder = tmp_path / "stage" / "epoch-000002"
        tensors, data = folder / "state.safetensors", folder / "state.json"
        content = tensors.read_bytes()
        if damage == "cut":
            tensors.write_bytes(content[: len(content) // 2])
        elif damage == "flip":
            tensors.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        elif damage == "json":
            data.write_text(data.read_text()[:-20])
        else:
            tensors.unlink()
        with pytest.raises(ValueError, match="epoch-000002"):
            perform(gan, 2)


def test_what_a_kill_left_half_written_is_ignored_and_removed(tmp_path: Path) -> None:
    expected = outcome(perform(gan, 3))
    half = tmp_path / "stage" / ".epoch-000002.partial-12345678"
    half.mkdir(parents=True)
    (half / "state.json").write_text("{")
    with runtime(folder=tmp_path):
        assert outcome(perform(gan, 3)) == expected
    assert [f.name for f in (tmp_path / "stage").iterdir()] == ["epoch-000003"]


def test_a_full_disk_is_told_and_leaves_the_last_whole_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = outcome(perform(gan, 3))
    real = state.save_file
    written = []

    def full(tensors: Any, file: Path) -> None:
        written.append(file)
        if len(written) == 2:
            file.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        real(tensors, file)

    monkeypatch.setattr(state, "save_file", full)
    with runtime(folder=tmp_path):
        with pytest.raises(OSError, match=r"epoch-000002 could not be written: .*No space left") as caught:
            perform(gan, 3)
        assert caught.value.errno == errno.ENOSPC
        assert [f.name for f in (tmp_path / "stage").iterdir()] == ["epoch-000001"]
        assert outcome(perform(gan, 3)) == expected  # once there is space again


def test_a_disk_that_is_really_full_is_told(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small disk can be mounted by root only")
    try:
        with (
            runtime(folder=disk),
            pytest.raises(OSError, match=r"epoch-\d+ could not be written.*[Nn]o space"),
        ):
            perform(gan, 3)
        names = [f.name for f in disk.glob("stage/*")]
        assert not [name for name in names if "partial" in name]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    with runtime(folder=file), pytest.raises(OSError, match="epoch-000001 could not be written"):
        perform(gan, 2)
    assert file.read_text() == "mine"


def test_a_read_only_folder_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.mkdir

    def refuse(self: Path, *args: Any, **kwargs: Any) -> None:
        if "partial" in self.name:
            raise PermissionError(errno.EACCES, "Permission denied")
        real(self, *args, **kwargs)

    monkeypatch.setattr(Path, "mkdir", refuse)
    with runtime(folder=tmp_path), pytest.raises(OSError, match=r"could not be written: .*Permission denied"):
        perform(gan, 2)
    assert list((tmp_path / "stage").iterdir()) == []


# -- what the loop does ------------------------------------------------------------------------------------


def linear_problem(**changes: Any) -> tuple[nn.Linear, dict[str, Any]]:
    """Two optimizers on one linear layer, and a step on a constant batch."""
    net = nn.Linear(2, 1)
    settings: dict[str, Any] = dict(
        name="linear",
        nets={"net": net},
        optimizers={"w": torch.optim.SGD([net.weight], lr=0.1), "b": torch.optim.SGD([net.bias], lr=0.1)},
        batches=None,
        epochs=2,
        steps_per_epoch=3,
    )
    return net, settings | changes


def test_a_gradient_goes_only_into_the_parameters_of_the_named_optimizer() -> None:
    net, settings = linear_problem(epochs=1, steps_per_epoch=1)
    weight, bias = net.weight.detach().clone(), net.bias.detach().clone()

    def objective(batch: None, run: Run) -> None:
        run.descend(net(torch.ones(1, 2)).sum(), "w")
        assert net.bias.grad is None

    train(objective, **settings)
    assert torch.allclose(net.weight, weight - 0.1)
    assert torch.equal(net.bias, bias)


def test_a_returned_loss_steps_all_optimizers_and_is_logged() -> None:
    net, settings = linear_problem(epochs=1, steps_per_epoch=2)
    weight, bias = net.weight.detach().clone(), net.bias.detach().clone()
    run = train(lambda batch, run: net(torch.ones(1, 2)).sum(), **settings)
    assert torch.allclose(net.weight, weight - 0.2)
    assert torch.allclose(net.bias, bias - 0.2)
    first = float(weight.sum() + bias)
    assert run.history == [{"loss": pytest.approx(first - 0.15, abs=1e-6)}]  # the second loss is 0.3 lower


def test_clip_bounds_the_norm_of_all_gradients_together() -> None:
    net, settings = linear_problem(epochs=1, steps_per_epoch=1, clip=0.5)
    before = torch.cat([p.detach().flatten().clone() for p in net.parameters()])
    train(lambda batch, run: 100 * net(torch.ones(1, 2)).sum(), **settings)
    after = torch.cat([p.detach().flatten() for p in net.parameters()])
    assert float((after - before).norm()) == pytest.approx(0.1 * 0.5, rel=1e-4)


@pytest.mark.parametrize("closure", [False, True])
def test_a_loss_that_is_not_finite_stops_before_the_step_and_says_where(closure: bool) -> None:
    net, settings = linear_problem()
    seen = []

    def objective(batch: None, run: Run) -> None:
        bad = float("nan") if run.step == 4 else 1.0
        seen.append(net.weight.detach().clone())
        loss = net(torch.ones(1, 2)).sum() * bad
        run.descend((lambda: net(torch.ones(1, 2)).sum() * bad) if closure else loss, "w")

    with pytest.raises(DivergedError, match="nan in stage 'linear', epoch 1, step 4"):
        train(objective, **settings)
    assert torch.equal(net.weight, seen[-1])


def test_a_closure_is_for_one_optimizer() -> None:
    net, settings = linear_problem()
    with pytest.raises(ValueError, match="one optimizer; got 2"):
        train(lambda batch, run: run.descend(lambda: net(torch.ones(1, 2)).sum()), **settings)


def test_an_optimizer_without_anything_to_train_is_told() -> None:
    net, settings = linear_problem()
    net.requires_grad_(False)
    with pytest.raises(ValueError, match="'linear': w has nothing"):
        train(lambda batch, run: run.descend(net(torch.ones(1, 2)).sum(), "w"), **settings)


def test_progress_epoch_and_step_count_from_zero_to_one() -> None:
    net, settings = linear_problem()
    seen = []
    ends = []

    def objective(batch: None, run: Run) -> Tensor:
        seen.append((run.epoch, run.step, run.progress))
        return net(torch.ones(1, 2)).sum()

    run = train(objective, **settings, after_epoch=lambda run: ends.append((run.epoch, len(run.history))))
    assert seen == [(i // 3, i, i / 6) for i in range(6)]
    assert ends == [(1, 1), (2, 2)]
    assert run.progress == 1.0


def test_the_networks_of_the_best_epoch_are_kept_and_patience_ends_the_stage() -> None:
    net, settings = linear_problem(epochs=10, patience=2)
    weights = []

    def score(run: Run) -> float:
        weights.append(net.weight.detach().clone())
        return [0.1, 0.5, float("nan"), 0.5, 0.9][run.epoch - 1]

    run = train(lambda batch, run: net(torch.ones(1, 2)).sum(), **settings, score=score)
    assert (run.epoch, run.best, run.best_epoch) == (4, 0.5, 1)  # not better for two epochs after the second
    assert torch.equal(net.weight, weights[1])
    assert run.history[1]["score"] == 0.5


def test_a_score_that_begins_with_nan_does_not_hide_later_ones() -> None:
    net, settings = linear_problem()
    run = train(
        lambda batch, run: net(torch.ones(1, 2)).sum(),
        **settings,
        score=lambda run: float("nan") if run.epoch == 1 else 0.0,
    )
    assert (run.best, run.best_epoch) == (0.0, 1)


def test_schedulers_step_after_every_step() -> None:
    net, settings = linear_problem()
    rates = []
    schedule = LambdaLR(settings["optimizers"]["w"], lambda step: 0.5**step)

    def objective(batch: None, run: Run) -> Tensor:
        rates.append(settings["optimizers"]["w"].param_groups[0]["lr"])
        return net(torch.ones(1, 2)).sum()

    train(objective, **settings, schedulers={"half": schedule})
    assert rates == pytest.approx([0.1 * 0.5**k for k in range(6)])


def test_reduce_on_plateau_reads_the_last_loss() -> None:
    net, settings = linear_problem(epochs=1, steps_per_epoch=5)
    optimizer = settings["optimizers"]["w"]
    plateau = ReduceLROnPlateau(optimizer, factor=0.1, patience=1)
    train(lambda batch, run: 0 * net(torch.ones(1, 2)).sum() + 1, **settings, schedulers={"p": plateau})
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1 * 0.1**2)  # worse at steps 3 and 5

    net, settings = linear_problem()
    plateau = ReduceLROnPlateau(settings["optimizers"]["w"])
    with pytest.raises(ValueError, match="ReduceLROnPlateau needs the loss"):
        train(
            lambda batch, run: run.descend(net(torch.ones(1, 2)).sum(), "w") and None,
            **settings,
            schedulers={"p": plateau},
        )


def test_a_scheduler_whose_optimizer_rests_does_not_warn(recwarn: pytest.WarningsRecorder) -> None:
    perform(gan, 1)
    assert [str(w.message) for w in recwarn] == []


def test_an_epoch_ends_where_its_batches_end() -> None:
    net, settings = linear_problem(epochs=2, steps_per_epoch=10)

    def three(run: Run) -> Iterator[Tensor]:
        yield from torch.ones(3, 1, 2)

    run = train(lambda batch, run: net(batch).sum(), **settings | {"batches": three})
    assert (run.epoch, run.step) == (2, 6)


def test_no_batch_at_all_is_told() -> None:
    net, settings = linear_problem(batches=lambda run: iter(()))
    with pytest.raises(ValueError, match="stage 'linear': there is no batch"):
        train(lambda batch, run: net(batch).sum(), **settings)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"epochs": 0}, "epochs"),
        ({"steps_per_epoch": 0}, "steps_per_epoch"),
        ({"patience": 1}, "patience needs"),
    ],
)
def test_bad_settings_are_named(change: dict[str, Any], match: str) -> None:
    net, settings = linear_problem(**change)
    with pytest.raises(ValueError, match=match):
        train(lambda batch, run: net(torch.ones(1, 2)).sum(), **settings)


def test_stop_ends_the_stage_after_its_step() -> None:
    net, settings = linear_problem(epochs=5)
    run = train(
        lambda batch, run: net(torch.ones(1, 2)).sum(),
        **settings,
        after_step=lambda run: run.stop() if run.step == 4 else None,
    )
    assert (run.epoch, run.step, run.stopped) == (2, 4, True)


def test_modes_of_the_networks_survive_a_resume(tmp_path: Path) -> None:
    def setup(epochs: int) -> dict[str, Any]:
        settings = two_optimizers(epochs)
        settings["before_epoch"] = lambda run: run.nets["teacher"].eval()
        return settings

    with runtime(folder=tmp_path):
        perform(setup, 2)
        run, _ = perform(setup, 2)
    assert not run.nets["teacher"].training
    assert run.nets["student"].training


if __name__ == "__main__":
    _victim(Path(sys.argv[1]))


# -- progress ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("epochs", "steps", "told"), [(1, 4, [1, 2, 3]), (3, 2, [1, 2])])
def test_a_training_of_one_epoch_tells_how_far_it_is_by_its_steps(
    epochs: int, steps: int, told: list[int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("unseen.runtime.FIRST_LINE", -1.0)
    monkeypatch.setattr("unseen.runtime.NEXT_LINE", 0.0)
    net = nn.Linear(2, 1)
    drawn: list[int] = []

    def stream(run: Run) -> Iterator[Tensor]:
        for i in range(100):
            drawn.append(i)
            yield torch.ones(3, 2)

    with runtime(progress=True):
        run = train(
            lambda x, run: net(x).mean(), name="long", nets={"net": net},
            optimizers={"sgd": torch.optim.SGD(net.parameters(), 0.1)}, batches=stream, epochs=epochs,
            steps_per_epoch=steps,
        )  # fmt: skip
    assert run.step == epochs * steps == len(drawn)  # nothing is drawn beyond what is asked for
    lines = capsys.readouterr().err.splitlines()
    assert [int(line.split()[1]) for line in lines] == [0, *told]
    assert all(line.startswith("long: ") and f" of {epochs if epochs > 1 else steps}," in line for line in lines)

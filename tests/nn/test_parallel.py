"""Two processes with gloo: the loss curve of one, refused where a method does not allow it."""

import json
import os
import socket
import subprocess
import sys

import pytest
import torch

from unseen.nn import parallel
from unseen.runtime import leads

WORKER = """
import json, sys
import torch
from torch import distributed, nn

from unseen.nn.train import train

rank, world, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
torch.set_num_threads(1)
if world > 1:
    distributed.init_process_group("gloo", rank=rank, world_size=world)
torch.manual_seed(0)
network = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
x = torch.randn(60, 6)
y = x[:, :3].argmax(dim=1)


def batches(run):
    order = torch.randperm(60, generator=run.generator)
    return ((x[i], y[i]) for i in order.split(7))


def objective(batch, run):
    return nn.functional.cross_entropy(network(batch[0]), batch[1])


import unseen

with unseen.runtime(folder=folder):
    run = train(
        objective, name="t", nets={"n": network}, batches=batches, epochs=4, steps_per_epoch=9, clip=1.0,
        optimizers={"sgd": torch.optim.SGD(network.parameters(), lr=0.3, momentum=0.9)},
    )
if rank == 0:
    print(json.dumps({"loss": [e["loss"] for e in run.history], "weight": network[0].weight.tolist()}))
if world > 1:
    try:
        from unseen.methods import SHOT
        SHOT().fit(model=network, target=None)
    except ValueError as error:
        assert "trains in one process" in str(error)
    else:
        raise SystemExit("SHOT was not refused")
    distributed.destroy_process_group()
"""


def curves(world, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    folder = str(tmp_path / f"world{world}")
    jobs = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(rank), str(world), folder],
            env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for rank in range(world)
    ]  # fmt: skip
    done = [job.communicate(timeout=120) for job in jobs]
    assert all(job.returncode == 0 for job in jobs), done
    return json.loads(done[0][0])


@pytest.mark.slow
def test_two_processes_have_the_loss_curve_of_one(tmp_path):
    one, two = curves(1, tmp_path), curves(2, tmp_path)
    assert two["loss"] == pytest.approx(one["loss"], abs=1e-6)
    assert one["loss"][-1] < one["loss"][0]
    torch.testing.assert_close(torch.tensor(one["weight"]), torch.tensor(two["weight"]), atol=1e-5, rtol=1e-5)
    checkpoints = [file.name for file in (tmp_path / "world2" / "t").iterdir()]
    assert checkpoints == ["epoch-000004"]


def test_alone_there_is_one_process_and_it_writes():
    assert parallel.world() == 1
    assert parallel.first()
    parallel.wait()


@pytest.fixture
def two(monkeypatch):
    monkeypatch.setattr(parallel, "world", lambda: 2)
    monkeypatch.setattr(parallel.distributed, "get_rank", lambda: 1)


def test_each_process_takes_its_part_and_weights_make_means(two):
    (x, extra), weight = parallel.part((torch.arange(5), {"y": torch.arange(5) * 10}))
    assert x.tolist() == [1, 3]
    assert extra["y"].tolist() == [10, 30]
    assert weight == pytest.approx(2 * 2 / 5)


@pytest.mark.parametrize("batch", [torch.zeros(1), None, (torch.zeros(2), torch.zeros(3))])
def test_what_cannot_be_divided_is_refused(two, batch):
    with pytest.raises(ValueError, match=r"cannot be divided|one length"):
        parallel.part(batch)


def test_alone_rows_are_gathered_as_they_are_and_nothing_is_joined(monkeypatch):
    rows = torch.randn(3, 2, requires_grad=True)
    assert parallel.gather(rows) is rows
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.delenv("RANK", raising=False)
    with parallel.launched():
        assert parallel.world() == 1
    assert leads()
    monkeypatch.setenv("RANK", "1")
    assert leads()  # a rank of nothing: there is one process
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert not leads()
    assert parallel.first()  # what trains alone writes


def test_on_gpus_no_operation_passes_through_python(monkeypatch):
    monkeypatch.setattr(parallel, "world", lambda: 2)
    monkeypatch.setattr(parallel.distributed, "get_rank", lambda: 0)
    for backend, shares in (("nccl", False), ("gloo", True)):
        monkeypatch.setattr(parallel.distributed, "get_backend", lambda name=backend: name)
        assert isinstance(parallel.as_one(torch.zeros(4, 2)), parallel.TorchDispatchMode) is shares

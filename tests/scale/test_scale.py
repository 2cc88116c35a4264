"""One map, here and on Ray: the same results in the same order, whatever dies on the way."""

import os
import time
import uuid
from pathlib import Path

import numpy as np
import pytest
import torch

import unseen
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.nn.state import digest
from unseen.scale import Engine, each


def scaled(shared, item):
    return shared * item


def refuse(shared, item):
    raise ValueError(f"item {item} is odd")


def threads(shared, item):
    from unseen.runtime import current

    return current().threads, current().progress


class Unpacked:
    """Leaves a file in a folder each time that it comes out of a pickle."""

    def __init__(self, folder):
        self.folder = folder

    def __setstate__(self, state):
        vars(self).update(state)
        (Path(self.folder) / uuid.uuid4().hex).write_text("")


def worker(shared, item):
    return os.getpid()


def die_once(folder, item):
    """The first worker that comes to item 2 is killed in the middle of it."""
    mark = Path(folder) / "died"
    if item == 2 and not mark.exists():
        mark.write_text("")
        os.kill(os.getpid(), 9)
    return item**2


def slow_where(folder, item):
    """Say on which machine the item runs, take a while, and say that it is done."""
    import ray

    (Path(folder) / f"{item}-{ray.get_runtime_context().get_node_id()}").write_text("")
    time.sleep(4)
    return item


@pytest.fixture(scope="module")
def ray_here():
    ray = pytest.importorskip("ray", reason="needs pip install 'unseen[scale]'")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield Engine(name="ray")
    ray.shutdown()


def data(shift, seed, labels=True):
    rng = np.random.default_rng(seed)
    y = np.arange(120) % 3
    x = (np.eye(6)[y] * 3 + rng.normal(size=(120, 6)) + shift).astype("float32")
    return Domain(x=x, y=y if labels else None, classes=ClassSpace(names=("a", "b", "c")), name=f"d{seed}")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"name": "dask"}, "engine must be one of"),
        ({"address": "auto"}, "is for engine 'ray'"),
        ({"name": "ray", "cpus": -1}, "cpus must be"),
        ({"name": "ray", "retries": -1}, "retries must be"),
    ],
)
def test_settings_are_checked(settings, told):
    with pytest.raises(ValueError, match=told):
        Engine(**settings)


def test_here_items_are_done_in_their_order():
    assert list(each(scaled, [3, 1, 2], 10)) == [30, 10, 20]


def test_two_jobs_in_one_run_folder_are_told_apart(tmp_path):
    from unseen.compare.fits import alone_in

    with alone_in(tmp_path), pytest.raises(ValueError, match="another job is at work"), alone_in(tmp_path):
        pass
    with alone_in(tmp_path):
        pass


@pytest.mark.slow
def test_on_ray_the_results_come_in_the_order_of_the_items(ray_here):
    assert list(each(scaled, list(range(20)), 10, engine=ray_here)) == [10 * i for i in range(20)]


@pytest.mark.slow
def test_on_ray_a_worker_unpacks_what_items_share_once(ray_here, tmp_path):
    workers = set(each(worker, list(range(12)), Unpacked(str(tmp_path)), engine=ray_here))
    assert len(list(tmp_path.iterdir())) == len(workers)


@pytest.mark.slow
def test_on_ray_the_settings_are_the_callers(ray_here):
    with unseen.runtime(threads=2, progress=True):
        assert list(each(threads, [1], None, engine=ray_here)) == [(2, False)]


@pytest.mark.slow
def test_an_error_of_the_work_keeps_its_type_and_words(ray_here):
    with pytest.raises(ValueError, match="item 1 is odd"):
        list(each(refuse, [1], None, engine=ray_here))


@pytest.mark.slow
def test_an_item_whose_worker_is_killed_is_done_again(ray_here, tmp_path):
    assert list(each(die_once, [1, 2, 3], str(tmp_path), engine=ray_here)) == [1, 4, 9]
    assert (tmp_path / "died").exists()


@pytest.mark.slow
def test_compare_on_ray_gives_the_bits_of_one_process(ray_here, tmp_path, monkeypatch):
    monkeypatch.setenv("UNSEEN_DATA", str(tmp_path / "data"))
    methods = "source-only,coral,shot,glc:default,glc:no-rejection"
    inputs = dict(source=data(0, 0), target=data(1, 1), methods=methods, seeds=2)
    here = unseen.compare(**inputs, out=tmp_path / "here")
    there = unseen.compare(**inputs, out=tmp_path / "there", engine=ray_here)
    assert here.chosen == there.chosen
    assert digest(here.bundle.method.fitted) == digest(there.bundle.method.fitted)
    for a, b in zip(here.results["candidates"], there.results["candidates"]):
        assert (a["name"], a["metrics"], a["validators"]) == (b["name"], b["metrics"], b["validators"])
    assert there.results["settings"]["engine"] == "ray"
    x = data(1, 1).x
    assert torch.equal(here.bundle.scores(Domain(x=x)), there.bundle.scores(Domain(x=x)))


@pytest.mark.slow
def test_a_run_begun_on_ray_is_resumed_in_one_process_in_another_folder(ray_here, tmp_path, monkeypatch):
    import shutil

    monkeypatch.setenv("UNSEEN_DATA", str(tmp_path / "data"))
    inputs = dict(source=data(0, 0), target=data(1, 1), methods="source-only,coral", seeds=2)
    unseen.compare(**inputs, out=tmp_path / "first", engine=ray_here)
    shutil.copytree(tmp_path / "first", tmp_path / "elsewhere")
    monkeypatch.setattr("unseen.compare.cells.Fits.fit", None)  # nothing is fitted again
    again = unseen.compare(**inputs, out=tmp_path / "elsewhere")
    assert again.chosen


@pytest.mark.slow
def test_a_machine_that_is_lost_takes_no_item_with_it(tmp_path):
    ray = pytest.importorskip("ray", reason="needs pip install 'unseen[scale]'")
    from ray.cluster_utils import Cluster

    if ray.is_initialized():
        ray.shutdown()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        second = cluster.add_node(num_cpus=1)
        ray.init(address=cluster.address, log_to_driver=False)
        cluster.wait_for_nodes()
        results = each(slow_where, [0, 1, 2, 3], str(tmp_path), engine=Engine(name="ray"))
        first = next(results)
        names = [file.name.split("-")[1] for file in tmp_path.iterdir()]
        assert len(set(names)) == 2, "both machines should have been at work"
        cluster.remove_node(second, allow_graceful=False)
        assert [first, *results] == [0, 1, 2, 3]
    finally:
        ray.shutdown()
        cluster.shutdown()

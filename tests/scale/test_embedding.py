"""Encoding on Ray: the bits of one process, whatever dies on the way."""

import copy
import logging
import os
import pickle
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import unseen
from unseen.data.domain import Domain, Lazy
from unseen.data.images import are_files, with_contents
from unseen.encoders import distributed, get
from unseen.encoders.cache import FeatureStore
from unseen.scale import Engine
from unseen.scale.actors import places

TINY = "timm:test_resnet?pretrained=0&size=32"


@pytest.fixture(scope="module")
def ray_here():
    ray = pytest.importorskip("ray", reason="needs pip install 'unseen[scale]'")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield Engine(name="ray")
    ray.shutdown()


@pytest.fixture(scope="module")
def encoder():
    found = get(TINY, precision="fp32")
    found.batch_size = 4
    return found


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Twenty-five pictures in files, and a cache of their own."""
    monkeypatch.setenv("UNSEEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(distributed, "BATCHES", 2)
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(25):
        Image.fromarray(rng.integers(0, 256, (40, 36, 3), dtype=np.uint8)).save(folder / f"{i:02d}.png")
    return unseen.load(folder)


def slowly(read, mark: Path, dies: bool):
    """Read; the first worker that comes here is killed, or every worker refuses."""

    def instead(item):
        if dies and not mark.exists():
            mark.write_text("")
            os.kill(os.getpid(), 9)
        if not dies:
            raise OSError("the disk is gone")
        return read(item)

    return instead


@pytest.mark.parametrize(
    ("engine", "resources", "expected"),
    [
        (Engine(name="ray"), {"CPU": 6.0}, 6),
        (Engine(name="ray", cpus=4), {"CPU": 6.0}, 1),
        (Engine(name="ray", cpus=8), {"CPU": 6.0}, 1),
        (Engine(name="ray", cpus=1, gpus=0.5), {"CPU": 16.0, "GPU": 2.0}, 4),
        (Engine(name="ray", cpus=0), {"CPU": 6.0}, 1),
    ],
)
def test_as_many_actors_as_fit(engine, resources, expected):
    assert places(engine, resources) == expected


def test_contents_stand_for_files_that_nobody_else_sees(photos):
    carried = with_contents(photos.x)
    assert are_files(photos.x)
    assert are_files(photos.take([3, 1]).x)
    assert not are_files(carried)
    for name in photos.x.items:
        Path(name).unlink()
    assert carried[7].size == (36, 40)


@pytest.mark.slow
@pytest.mark.parametrize("shared", [True, False])
def test_features_are_the_bits_of_one_process(ray_here, encoder, photos, shared, monkeypatch):
    if not shared:
        monkeypatch.setattr(distributed, "_reads", lambda sample: False)
        monkeypatch.setattr(distributed, "CARRIED", 4)
    here = encoder.encode(photos, cache=False).x
    assert np.array_equal(encoder.encode(photos, cache=False, engine=ray_here).x, here)


@pytest.mark.slow
def test_arrays_travel_and_an_encoder_that_cannot_encodes_here(ray_here, encoder, caplog):
    pixels = Domain(x=np.random.default_rng(0).integers(0, 256, (9, 40, 36, 3), dtype=np.uint8), kind="image")
    here = encoder.encode(pixels, cache=False).x
    assert np.array_equal(encoder.encode(pixels, cache=False, engine=ray_here).x, here)
    held = copy.copy(encoder)
    held.held = threading.Lock()
    with caplog.at_level(logging.WARNING, "unseen"):
        assert np.array_equal(held.encode(pixels, cache=False, engine=ray_here).x, here)
    assert "cannot travel" in caplog.text


@pytest.mark.slow
def test_a_killed_worker_takes_no_feature_with_it(ray_here, encoder, photos, tmp_path):
    mark = tmp_path / "died"
    mortal = photos.replace(x=Lazy(photos.x.items, slowly(photos.x.read, mark, dies=True), photos.x._digest))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distributed, "are_files", lambda samples: True)
        there = encoder.encode(mortal, cache=False, engine=ray_here).x
    assert mark.exists()
    assert np.array_equal(there, encoder.encode(photos, cache=False).x)


@pytest.mark.slow
def test_only_what_is_missing_is_encoded_again(ray_here, encoder, photos, tmp_path):
    encoder.encode(photos.take(slice(0, 20)), engine=ray_here)
    gone = Lazy(photos.x.items[:20], slowly(photos.x.read, tmp_path, dies=False), photos.x._digest)
    half = photos.replace(x=gone + photos.x[20:])
    assert np.array_equal(encoder.encode(half, engine=ray_here).x, encoder.encode(photos, cache=False).x)


@pytest.mark.slow
def test_a_run_that_is_cut_off_goes_on_where_it_was(ray_here, encoder, photos, monkeypatch):
    monkeypatch.setattr(distributed, "FLUSH", 1)
    add, compute, again = FeatureStore.add, encoder.compute, []

    def once(store, digests, features):
        add(store, digests, features)
        raise KeyboardInterrupt

    def noted(domain, positions, backend, **options):
        again.extend(positions)
        return compute(domain, positions, backend, **options)

    monkeypatch.setattr(FeatureStore, "add", once)
    with pytest.raises(KeyboardInterrupt):
        encoder.encode(photos, engine=ray_here)
    monkeypatch.setattr(FeatureStore, "add", add)
    monkeypatch.setattr(encoder, "compute", noted)
    features = encoder.encode(photos).x
    assert 0 < len(again) < len(photos)
    monkeypatch.undo()
    assert np.array_equal(features, encoder.encode(photos, cache=False).x)


@pytest.mark.slow
@pytest.mark.parametrize("there", [True, False])
def test_a_sample_that_cannot_be_read_is_named(ray_here, encoder, photos, tmp_path, monkeypatch, there):
    monkeypatch.setattr(distributed, "are_files", lambda samples: there)
    bad = Lazy(photos.x.items[24:], slowly(photos.x.read, tmp_path, dies=False), photos.x._digest)
    with pytest.raises(OSError, match="the disk is gone") as caught:
        encoder.encode(photos.replace(x=photos.x[:24] + bad), cache=False, engine=ray_here)
    assert any("24.png" in note for note in caught.value.__notes__)


@pytest.mark.slow
def test_compare_encodes_on_ray(ray_here, encoder, photos, tmp_path, monkeypatch):
    monkeypatch.setenv("UNSEEN_DATA", str(tmp_path / "data"))
    monkeypatch.setattr("unseen.encoders.registry.get", lambda *_, **__: encoder)
    source = photos.take(slice(0, 15)).with_labels(np.arange(15) % 2, unseen.ClassSpace(names=("a", "b")))
    target = photos.take(slice(15, 25)).unlabeled()
    inputs = dict(source=source, target=target, encoder=encoder.name, methods="source-only", seeds=1)
    there = unseen.compare(**inputs, precision="fp32", engine=ray_here)
    here = unseen.compare(**inputs, precision="fp32")
    assert there.results["candidates"][0]["validators"] == here.results["candidates"][0]["validators"]


def test_texts_travel_to_other_processes_and_give_the_same_bits():
    encoder = pickle.loads(pickle.dumps(get("minilm")))
    domain = Domain(x=np.array(["a wet dog", "an old car, in the rain"]), kind="text", name="t")
    features = get("minilm").encode(domain, cache=False).x
    np.testing.assert_array_equal(encoder.encode(domain, cache=False).x, features)

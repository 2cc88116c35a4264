"""Every kind of saved model beside the bundle, changed by hand with its digests made right: a sentence, no more."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import unseen
from saved_kinds import SAVED, Kind, captioner, composer, forecaster, head, mapper, method, quantized, ranker, segmenter
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.nn.bounded import Bounded
from unseen.nn.builders import HOMES
from unseen.nn.state import _chunks, _sha256, load_state, save_state

PROMISED = (ValueError, ImportError, PermissionError, ConnectionError)
ODD: tuple[Any, ...] = (
    *(None, -1, 0, 10**30, 1e308, "x", "", [], {}, [[]], True, {"$": "dict"}, {"$": "nobody"}),
    *({"$": "tensor", "key": "no"}, {"$": "float", "value": "nan"}, "../../etc/passwd", 2**40),
)
FOR_PEOPLE = ("segmenter.json",)
"""Files that are not read here: what they say stands in the state, too."""
CHANGES = 120
"""Of each file of a kind, drawn by a seed."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kinds")


def aligned(home: Path) -> Kind:
    import dataclasses

    from unseen.jobs.alignment.report import ABOUT, FORMAT, Report, told_by

    (home / "aligned").mkdir()
    told = Report("cwcl", {"left": "lite-clip", "right": None}, "left", 40, 10, 0, 0, 1.0, ("a photo of {}",))
    (home / "aligned" / ABOUT).write_text(json.dumps({"format": FORMAT, **dataclasses.asdict(told)}))
    return home / "aligned", told_by


def streamed(home: Path) -> Kind:
    from unseen.jobs.streams.job import _saved, continue_stream

    x, y = np.random.default_rng(0).integers(0, 255, (8, 20, 20, 3), dtype=np.uint8), np.arange(8) % 2
    task = Domain(x=x, y=y, kind="image", classes=ClassSpace(names=("cat", "dog")), name="t")
    quick = {"iterations": 2, "batch_size": 2}
    texts = ["a cat", "a dog", "a tree"]
    continue_stream("lite-clip", [task], out=home / "stream", texts=texts, method="zscl", settings=quick)
    return home / "stream", lambda folder: _saved(folder, False)


def of_nodes(home: Path) -> Kind:
    from unseen.jobs.nodes.job import READ, _reading

    (home / "nodes" / "model").mkdir(parents=True)
    (home / "nodes" / READ).write_text(json.dumps({"encoder": "minilm", "sampling": {"steps": 8}}))
    return home / "nodes", lambda folder: _reading(folder, None, None)


def quantized_before(home: Path) -> Kind:
    from unseen.jobs.quantization.job import ABOUT, _Before

    place = shutil.copytree(SAVED / "quantized", home / "before")
    (place / ABOUT).write_text(json.dumps({"model": "m", "network": "ab", "bits": "8/8"}))
    return place, lambda folder: _Before.read(folder, False)


KINDS = (
    *(aligned, captioner, composer, forecaster, head, mapper, method, of_nodes, quantized, quantized_before, ranker),
    *(segmenter, streamed),
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all parts of a JSON value; of a long list those of its first ones."""
    items = value.items() if isinstance(value, dict) else enumerate(value[:4]) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """A copy with another value in one place, or without it."""
    value = json.loads(json.dumps(value))
    inner = value
    for key in path[:-1]:
        inner = inner[key]
    if new is KeyError:
        del inner[path[-1]]
    else:
        inner[path[-1]] = new
    return value


def write(file: Path, value: Any, path: tuple[Any, ...], new: Any) -> None:
    """A file with one change; a state keeps a digest that is right."""
    if file.name == "state.json":
        inner = changed(value["value"], path, new)
        value = {**value, "value": inner, "sha256": _sha256(inner, _chunks(file.with_suffix(".safetensors")))}
    else:
        value = changed(value, path, new)
    file.write_text(json.dumps(value))


LONGEST = {captioner: [pytest.mark.slow], streamed: [pytest.mark.slow]}
"""What takes minutes."""


@pytest.mark.parametrize("make", [pytest.param(make, marks=LONGEST.get(make, ()), id=make.__name__) for make in KINDS])
def test_no_change_of_a_saved_kind_raises_what_is_not_promised(
    make: Callable[[Path], Kind], home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNSEEN_CACHE", str(home / "cache"))
    monkeypatch.setenv("UNSEEN_DATA", str(home / "data"))
    right, load = make(home)
    folder = shutil.copytree(right, tmp_path / "changed", ignore=shutil.ignore_patterns("*.html"))
    load(folder)
    wrong, n, rng = [], 0, random.Random(0)
    for file in sorted(folder.rglob("*.json")):
        if file.name in FOR_PEOPLE:
            continue
        text = file.read_text()
        value = json.loads(text)
        every = [(path, new) for path in places(value.get("value", value)) for new in (KeyError, *ODD)]
        for path, new in rng.sample(every, min(CHANGES, len(every))):
            write(file, value, path, new)
            n += 1
            try:
                load(folder)
            except PROMISED as error:
                if folder.name not in str(error) and not isinstance(error, (ImportError, PermissionError)):
                    wrong.append((file.name, path, new, f"unnamed: {error}"))
            except Exception as error:
                wrong.append((file.name, path, new, f"{type(error).__name__}: {error}"))
        for content in ("", "[" * 100_000, "{}", "[]", "\xff"):
            file.write_text(content, encoding="latin-1")
            with pytest.raises(PROMISED, match="changed"):
                load(folder)
        file.write_text(text)
    assert n > 20
    assert wrong == []


@pytest.mark.parametrize("content", ["{}", "[]", '{"size": 1}', '{"size": true}', '{"size": 1e9}', '{"size": "x"}'])
def test_a_changed_size_of_pictures_is_named_before_a_network_is_opened(content: str, tmp_path: Path) -> None:
    folder, _ = segmenter(tmp_path)
    (folder / "segmenter.json").write_text(content)
    with pytest.raises(ValueError, match=r"segmenter\.json"):
        unseen.load_model(folder)


# -- networks --------------------------------------------------------------------------------------------------

BUILD = """
import inspect, importlib, json, logging, os, random, resource, signal, sys, warnings
from pathlib import Path
import torch
from unseen.nn.build import _BUILDERS
from unseen.nn.bounded import Bounded
from unseen.nn.builders import HOMES
from unseen.nn.state import _sha256, load_state, save_state

warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)
torch.set_num_threads(1)
folder, names = Path(sys.argv[1]), sys.argv[2:]
ODD = (None, -1, 0, 1, 2, 3, 10**5, 10**9, 10**30, 1e308, 0.5, "x", "", [], [2, 3], [10**6, 10**6], {}, {"a": 1}, True)

class Hung(BaseException):
    pass

def hung(*_):
    raise Hung

signal.signal(signal.SIGPROF, hung)
for name in names:
    importlib.import_module(f"unseen.{HOMES[name]}")
save_state(folder / "m", {"network": 1})
file = folder / "m" / "state.json"
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 6 * 2**30,) * 2)
for name in names:
    print("begin", name, flush=True)
    parameters = inspect.signature(_BUILDERS[name]).parameters
    for number in range(16):
        rng = random.Random(f"{name} {number}")
        args = {
            key: {"$network": {"builder": "linear", "module": "", "args": {"in_features": 4, "out_features": 2}}}
            if "Module" in str(parameter.annotation) and rng.random() < 0.8 else rng.choice(ODD)
            for key, parameter in parameters.items()
            if parameter.default is inspect.Parameter.empty or rng.random() < 0.3
        }
        recipe = {"builder": name, "module": "", "args": args}
        network = {"$": "network", "recipe": recipe, "state": {"$": "dict", "keys": [], "items": []}}
        value = {"$": "dict", "keys": ["network"], "items": [network]}
        chunks = [(folder / "m" / "state.safetensors").read_bytes()]
        file.write_text(json.dumps({"format": 1, "sha256": _sha256(value, chunks), "value": value}))
        signal.setitimer(signal.ITIMER_PROF, 8)
        try:
            load_state(folder / "m")
        except Hung:
            print("wrong", name, "hangs with", json.dumps(args)[:300], flush=True)
        except ValueError as error:
            if str(folder / "m") not in str(error):
                print("wrong", name, "does not name the folder:", error, flush=True)
        except BaseException as error:
            print("wrong", name, type(error).__name__, error, json.dumps(args)[:300], flush=True)
        signal.setitimer(signal.ITIMER_PROF, 0)
print("done", flush=True)
"""


def test_no_builder_of_networks_dies_hangs_or_takes_memory_of_what_a_file_says(tmp_path: Path) -> None:
    """All builders of the list, sixteen draws of odd arguments each; after one that ends the process, it goes on."""
    names = [name for name in sorted(HOMES) if name != "contract-convnet"]
    wrong: list[str] = []
    while names:
        run = [sys.executable, "-c", BUILD, str(tmp_path), *names]
        found = subprocess.run(run, capture_output=True, text=True)
        lines = found.stdout.splitlines()
        wrong += [line for line in lines if line.startswith("wrong")]
        if lines and lines[-1] == "done":
            break
        begun = [line.split(" ", 1)[1] for line in lines if line.startswith("begin")]
        assert begun, found.stderr[-2000:]
        wrong.append(f"{begun[-1]} ends the process: {found.returncode} {found.stderr[-300:]}")
        names = names[names.index(begun[-1]) + 1 :]
    assert wrong == []


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Linear(10**6, 10**6),
        lambda: nn.Embedding(10**12, 1),
        lambda: torch.arange(10**12),
        lambda: torch.eye(10**6),
        lambda: torch.zeros(1).repeat(10**12),
        lambda: torch.normal(0.0, 1.0, (10**6, 10**6)),
        lambda: torch.zeros(4).new_zeros((10**6, 10**6)),
        lambda: [torch.zeros(1) for _ in range(10**6)],
    ],
)
def test_a_tensor_that_is_larger_than_what_was_saved_is_not_made(make: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="more memory than the tensors that were saved"), Bounded([]):
        make()


def test_a_saved_network_that_tells_larger_layers_is_refused_by_what_it_tells(tmp_path: Path) -> None:
    from unseen.nn.classifier import linear

    save_state(tmp_path / "m", {"network": linear(4, 2)})
    file = tmp_path / "m" / "state.json"
    state = json.loads(file.read_text())
    recipe = next(item for item in state["value"]["items"] if item["$"] == "network")["recipe"]
    key = next(key for key, value in recipe["args"].items() if value == 4)
    recipe["args"][key] = 10**11
    state["sha256"] = _sha256(state["value"], _chunks(file.with_suffix(".safetensors")))
    file.write_text(json.dumps(state))
    with pytest.raises(ValueError, match=r"m is not a complete saved state: its network asks for much more memory"):
        load_state(tmp_path / "m")

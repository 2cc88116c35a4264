"""Saved models that somebody changed by hand, with the digest made right again: refused by what `load` promises."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import unseen
from unseen.bundle import Bundle
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.nn.state import _chunks, _sha256

PROMISED = (ValueError, ImportError, PermissionError, ConnectionError)
ODD = (
    None,
    -1,
    10**30,
    1e308,
    "x",
    "",
    [],
    {},
    [[]],
    {"$": "dict"},
    {"$": "nobody"},
    {"$": "tensor", "key": "no"},
    True,
)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    x = (np.eye(6)[y] * 5 + rng.normal(size=(60, 6))).astype("float32")
    domain = Domain(x=x, y=y, classes=ClassSpace(names=("ant", "bee", "cat")), name="f")
    place = tmp_path_factory.mktemp("saved") / "m"
    unseen.adapt(method="linear-probe", source=domain, support=domain, out=place)
    return place


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all parts of a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value[:3]) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    value = copy.deepcopy(value)
    inner = value
    for key in path[:-1]:
        inner = inner[key]
    if new is KeyError:
        del inner[path[-1]]
    else:
        inner[path[-1]] = new
    return value


def told(folder: Path) -> str:
    """What loading it and predicting with it raises, if that was not promised."""
    try:
        Bundle.load(folder)
    except PROMISED as error:
        return "" if str(folder) in str(error) or isinstance(error, ImportError) else f"unnamed {error}"
    except Exception as error:
        return f"{type(error).__name__} {error}"
    return ""


def test_no_change_of_bundle_json_raises_what_is_not_promised(saved: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(saved, tmp_path / "m")
    about = json.loads((folder / "bundle.json").read_text())
    wrong = []
    for path in places(about):
        for new in (KeyError, *ODD):
            (folder / "bundle.json").write_text(json.dumps(changed(about, path, new)))
            if what := told(folder):
                wrong.append((path, new, what))
    assert wrong == []


def test_no_change_of_the_state_raises_what_is_not_promised(saved: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(saved, tmp_path / "m")
    file = folder / "method" / "state.json"
    state = json.loads(file.read_text())
    wrong, n = [], 0
    for path in places(state["value"]):
        for new in (KeyError, *ODD):
            value = changed(state["value"], path, new)
            digest = _sha256(value, _chunks(folder / "method" / "state.safetensors"))
            file.write_text(json.dumps({**state, "value": value, "sha256": digest}))
            n += 1
            if what := told(folder):
                wrong.append((path, new, what))
    assert n > 500
    assert wrong == []


@pytest.mark.parametrize("value", ["Infinity", "1e999", "NaN", "-1", "0", "true", '"1"', "null"])
@pytest.mark.parametrize("key", ["temperature", "threshold"])
def test_temperature_and_threshold_are_finite_and_positive(key: str, value: str, saved: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(saved, tmp_path / "m")
    about = json.loads((folder / "bundle.json").read_text())
    text = json.dumps({**about, key: "HERE"}).replace('"HERE"', value)
    (folder / "bundle.json").write_text(text)
    with pytest.raises(ValueError, match=f"{key} must be a (positive number|number of at least 1e-06) that is finite"):
        Bundle.load(folder)


@pytest.mark.parametrize("gone", ["bundle.json", "method", "method/state.json", "method/state.safetensors"])
def test_what_is_missing_is_a_value_error(gone: str, saved: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(saved, tmp_path / "m")
    if (folder / gone).is_dir():
        shutil.rmtree(folder / gone)
    else:
        (folder / gone).unlink()
        (folder / gone).mkdir()
    with pytest.raises(ValueError, match="m"):
        Bundle.load(folder)

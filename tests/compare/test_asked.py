"""What `compare`, `adapt` and `load` are asked: a wrong argument is named with its value before any work."""

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import unseen
from unseen.compare import inputs as inputs_
from unseen.compare.asked import OF_ADAPT, OF_COMPARE, check_types, parse_budget
from unseen.compare.candidates import _within, plan
from unseen.compare.inputs import prepare
from unseen.compare.job import adapt, compare
from unseen.compare.moves import move
from unseen.data.class_file import class_space
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.loaders import CHECKS, load
from unseen.scale import Engine

ALONE = Engine(workers=1)


def domain(seed: int = 0, n: int = 60) -> Domain:
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    x = rng.normal(size=(n, 8)).astype("float32") + 3 * np.eye(8, dtype="float32")[y]
    return Domain(x=x, y=y, classes=ClassSpace(names=("a", "b", "c")), name="d")


BOTH: dict[str, Any] = {"source": domain(), "target": domain(1)}


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is read and nothing is fitted."""

    def work(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("work has begun")

    monkeypatch.setattr(inputs_, "read_roles", work)


OF_BOTH = [
    ({"source": 5}, "source must be a Domain, a path or a pandas.DataFrame, or None; got 5"),
    ({"support": [[1, 2]]}, r"support must be a Domain, .*; got \[\[1, 2\]\]"),
    (
        {"classes": [1, None]},
        r"classes must be a ClassSpace, a file, or a list of names, or None; got \[1, None\]",
    ),
    ({"prompts": "a {}"}, "prompts must be a list of sentences, or None; got 'a {}'"),
    ({"ontology": 5}, "ontology must be an Ontology or a path, or None; got 5"),
    ({"taxonomy": 5}, "taxonomy must be a Taxonomy or the name of one, or None; got 5"),
    ({"teachers": [5]}, r"teachers must be a mapping of names to torch Modules, or None; got \[5\]"),
    ({"model": 5}, "model must be a Bundle, the folder of one, or a torch Module, or None; got 5"),
    ({"encoder": 5}, "encoder must be the name of an encoder, or None; got 5"),
    ({"labels": None}, "labels must be exam, support or split:SHARE; got None"),
    ({"labels": 0.5}, "labels must be exam, support or split:SHARE; got 0.5"),
    ({"out": 5}, "out must be a path, or None; got 5"),
    ({"engine": "ray"}, r"engine must be an unseen.scale.Engine, such as .*; got 'ray'"),
    ({"trust": "no"}, "trust must be True or False; got 'no'"),
    ({"refit": 1}, "refit must be True or False; got 1"),
    ({"on_error": 1}, "on_error must be skip or fail; got 1"),
    ({"precision": 32}, "precision must be auto or fp32; got 32"),
]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        *OF_BOTH,
        ({"seeds": 1.5}, "seeds must be a whole number, at least 1; got 1.5"),
        ({"seeds": "3"}, "seeds must be a whole number, at least 1; got '3'"),
        ({"seeds": True}, "seeds must be a whole number, at least 1; got True"),
        ({"budget": [3]}, r"budget must be seconds, or a time such as 90s, 10m or 2h, or None; got \[3\]"),
        ({"methods": None}, "methods must be 'auto', 'all' or names of methods; got None"),
        ({"methods": [5]}, r"methods must be 'auto', 'all' or names of methods; got \[5\]"),
        ({"protocol": 5}, "protocol must be a text; got 5"),
        ({"pictures": "no"}, "pictures must be True or False; got 'no'"),
        ({"careful": "no"}, "careful must be True or False, or None; got 'no'"),
        ({"crafted": 0}, "crafted must be True or False, or None; got 0"),
        ({"say": "x"}, "say must be a function that takes a line; got 'x'"),
    ],
)
def test_a_wrong_argument_of_compare_is_named_before_any_work(idle: None, wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        unseen.compare(**{**BOTH, **wrong})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        *OF_BOTH,
        ({"method": None}, "method must be the name of a method; got None"),
        ({"settings": 5}, "settings must be a mapping of names to values, or None; got 5"),
        ({"preset": 5}, "preset must be a text; got 5"),
        ({"seed": "a"}, "seed must be a whole number, at least 0; got 'a'"),
        ({"seeds": 3}, "adapt has no argument seeds, got seeds=3; did you mean seed"),
        ({"methods": "coral"}, "adapt has no argument methods, got methods='coral'; did you mean method"),
    ],
)
def test_a_wrong_argument_of_adapt_is_named_before_any_work(idle: None, wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        adapt(**{"method": "coral", **BOTH, **wrong})


def test_a_seed_below_zero_is_named() -> None:
    with pytest.raises(ValueError, match="seed must be a whole number, at least 0; got -1"):
        adapt(method="coral", **BOTH, seed=-1)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"frames": "8"}, "frames must be a whole number, at least 2; got '8'"),
        ({"check": "no"}, "check must be True or False; got 'no'"),
        ({"name": 5}, "name must be a text, or None; got 5"),
        ({"labels_column": 0.5}, "labels_column must be the name of a column, or None; got 0.5"),
        ({"features": "age"}, "features must be a list of names of columns; got 'age'"),
    ],
)
def test_a_wrong_argument_of_load_is_named_before_anything_is_read(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        load("nowhere", **wrong)


def test_every_argument_has_a_check() -> None:
    parameters = {function: set(inspect.signature(function).parameters) for function in (compare, adapt, load, prepare)}
    assert parameters[compare] == set(OF_COMPARE)
    inside = {"distinct", "before_encoding", "say", "graded", "encoded"}
    assert parameters[adapt] - {"inputs"} | parameters[prepare] - inside == set(OF_ADAPT)
    assert parameters[load] - {"path", "classes", "on_error"} == set(CHECKS)


def test_what_is_given_without_a_name_is_told_how_to_name_it() -> None:
    with pytest.raises(TypeError, match=r"by name, compare\(source=..., target=...\); got 'src' without one"):
        unseen.compare("src", "tgt")


@pytest.mark.parametrize("budget", [-3, 0, 0.0, float("nan"), "0", "0m"])
def test_a_budget_of_no_time_is_refused(idle: None, budget: Any) -> None:
    with pytest.raises(ValueError, match=f"budget must be more than no time; got {budget!r}"):
        unseen.compare(**BOTH, budget=budget)
    assert parse_budget(np.float32(2)) == 2


# -- where the model is written ----------------------------------------------------------------------------


def test_adapt_looks_at_the_place_of_the_model_before_the_fit(idle: None, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ValueError, match=r"out must be a folder; .*file is a file"):
        adapt(method="coral", **BOTH, out=tmp_path / "file")
    with pytest.raises(FileExistsError, match=r"out: .* holds other files, such as 'file', which would be lost"):
        adapt(method="coral", **BOTH, out=tmp_path)
    (tmp_path / "there").symlink_to(tmp_path / "back")
    (tmp_path / "back").symlink_to(tmp_path / "there")
    for place in ("there", "there/model"):
        with pytest.raises(ValueError, match=r"out: .* cannot be written, as .*there is a link that leads to nothing"):
            adapt(method="coral", **BOTH, out=tmp_path / place)
    with pytest.raises(ValueError, match=r"out must be a path, which has no zero byte; got '.*a\\x00b'"):
        adapt(method="coral", **BOTH, out=tmp_path / "a\0b")


def test_a_model_is_written_over_by_one_of_its_kind(tmp_path: Path) -> None:
    for _ in range(2):
        adapt(method="source-only", **BOTH, refit=False, out=tmp_path / "model")
    assert (tmp_path / "model" / "bundle.json").exists()


def test_a_move_looks_at_the_place_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("mine")
    saved = adapt(method="source-only", **BOTH, refit=False)
    monkeypatch.setattr("unseen.compare.moves.moves", lambda method, word: True)
    with pytest.raises(FileExistsError, match=r"out: .* holds other files"):
        move(saved, target=domain(2), out=tmp_path)


def test_adapt_calls_the_argument_of_a_method_that_cannot_run_by_its_name() -> None:
    with pytest.raises(ValueError, match=r"^method: coral cannot run here: it needs target"):
        adapt(method="coral", source=domain())
    with pytest.raises(ValueError, match=r"^method: x-clip learns from clips"):
        adapt(method="x-clip", **BOTH)


# -- what a budget leaves out ------------------------------------------------------------------------------


def test_a_line_before_the_work_names_what_the_budget_leaves_out() -> None:
    todo = plan(prepare(**BOTH), "source-only,standardize,shot", seeds=3, budget=1e-3)
    cost = plan(prepare(**BOTH), "source-only,standardize,shot", seeds=3).seconds["shot"]
    assert todo.lines()[1] == f"left out, as the budget is too small: shot ({cost:.0f} s)"
    assert not any("left out" in line for line in plan(prepare(**BOTH), "source-only,shot", budget="1h").lines())


def test_of_a_named_method_the_default_is_the_last_that_a_budget_leaves_out() -> None:
    methods = "source-only,coral,glc,standardize"
    cost = sum(plan(prepare(**BOTH), "source-only,coral,glc:default,standardize", seeds=1).seconds.values())
    kept = plan(prepare(**BOTH), methods, seeds=1, budget=1.1 * cost)
    assert "glc" in kept.names()
    assert {"glc:paper", "glc:global"} <= set(kept.over_budget)


def test_a_default_that_is_over_the_budget_by_itself_goes_first() -> None:
    dear, cheap = ("glc", "default"), ("glc", "paper")
    seconds = {"source-only": 0.0, "glc": 9.0, "glc:paper": 3.0}
    groups = [[("source-only", "default")], [dear], [cheap]]
    assert _within(5, groups, seconds, named=True) == [groups[0], [cheap]]
    assert _within(10, groups, seconds, named=True) == [groups[0], [dear]]
    assert _within(10, groups, seconds, named=False) == [groups[0], [cheap]]


@pytest.mark.parametrize("kept", [list, tuple, np.array, pd.Series])
def test_names_of_classes_stand_in_any_row(kept):
    check_types("compare", classes=kept(["a", "b"]))
    assert class_space(kept([1, 2])).names == ("1", "2")


# -- arguments of NumPy ------------------------------------------------------------------------------------


def test_numbers_and_names_of_numpy_are_arguments_as_those_of_python_are(tmp_path: Path) -> None:
    plain: dict[str, Any] = {"methods": ["source-only", "standardize"], "seeds": 1}
    methods = np.array(plain["methods"])
    several = {"refit": np.False_, "careful": np.True_, "pictures": np.False_, "budget": np.float32(1e6)}
    run = compare(**BOTH, methods=methods, seeds=np.int64(1), out=tmp_path / "run", engine=ALONE, **several)
    assert (tmp_path / "run" / "results.json").exists()
    again = compare(**BOTH, **plain, refit=False, careful=True, out=tmp_path / "run", engine=ALONE)
    assert again.results["config"] == run.results["config"]


def test_numbers_of_numpy_are_settings(tmp_path: Path) -> None:
    given = {"method": np.str_("source-only"), "seed": np.int64(1), "settings": {"C": np.float32(0.5)}}
    saved = adapt(**BOTH, **given, refit=np.False_, out=tmp_path / "model")
    assert saved.method.get_params() == {"random_state": 1, "C": 0.5}
    plain = adapt(**BOTH, method="source-only", seed=1, settings={"C": 0.5}, refit=False)
    assert np.array_equal(saved.predict_proba(BOTH["target"]), plain.predict_proba(BOTH["target"]))
    assert unseen.Bundle.load(tmp_path / "model").method.get_params()["C"] == 0.5

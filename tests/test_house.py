"""The rules of the house: what code may say where, what may import what, and that every system keeps its word."""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.util
import inspect
import os
import pkgutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

import unseen
import unseen.claims
from unseen.methods import METHODS, SYSTEMS, home

ROOT = Path(__file__).resolve().parents[1]
SRC = ROOT / "src" / "unseen"
FILES = sorted(SRC.rglob("*.py"))
METHOD_FILES = sorted((SRC / "methods").rglob("*.py"))


Rule = Callable[[Path], Iterable[str]]
"""What is wrong with a file, thing by thing."""


@functools.cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(), file.name)


@pytest.fixture(scope="module", autouse=True)
def _parsed() -> None:
    """Read and parse every file once, before the first rule."""
    for file in FILES:
        tree(file)


def wrong(rule: Rule, files: Iterable[Path] = FILES) -> list[str]:
    """What a rule has against files, each with its file."""
    return [f"{relative(file)}: {told}" for file in files for told in rule(file)]


def dotted(node: ast.AST) -> str:
    """`a.b.c` of a name or an attribute; what is computed stands as a question mark."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def calls(file: Path) -> Iterator[tuple[ast.Call, str]]:
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Call):
            yield node, dotted(node.func)


def keyword(call: ast.Call, name: str) -> object:
    """The constant value of a keyword argument, or None."""
    found = next((k.value for k in call.keywords if k.arg == name), None)
    return found.value if isinstance(found, ast.Constant) else None


def relative(file: Path) -> str:
    return str(file.relative_to(SRC))


# -- syntax trees ------------------------------------------------------------------------------------------

LOOP = {"backward", "step", "manual_seed", "cuda", "seed", "DataLoader", "tqdm", "print", "track", "zero_grad"}


def loop_code(file: Path) -> list[str]:
    """Calls, attributes and imports that belong to the loop, to seeds, devices or progress."""
    found = [f"{name}(" for _, name in calls(file) if name.rpartition(".")[2] in LOOP]
    for node in ast.walk(tree(file)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [alias.name for alias in node.names]
            found += [f"import {name}" for name in (*names, getattr(node, "module", "") or "") if "tqdm" in name]
        if isinstance(node, ast.keyword) and node.arg == "device" and isinstance(node.value, ast.Constant):
            found.append("device=")
    return found


def test_methods_hold_no_loop_seed_device_or_progress_code() -> None:
    assert wrong(loop_code, METHOD_FILES) == []


def test_the_search_for_loop_code_finds_it(tmp_path: Path) -> None:
    file = tmp_path / "method.py"
    file.write_text(
        "from tqdm import tqdm\nfor x in tqdm(y):\n  loss.backward(); optimizer.step()\n"
        "torch.manual_seed(0); net.cuda(); DataLoader(d); print(x); torch.ones(3, device='cuda')\n"
    )
    expected = "tqdm( loss.backward( optimizer.step( torch.manual_seed( net.cuda( DataLoader( print( device="
    assert sorted(loop_code(file)) == sorted([*expected.split(), "import tqdm", "import tqdm"])


def danger(file: Path) -> Iterator[str]:
    """What is unpickled, run in a shell, or swallowed."""
    for call, name in calls(file):
        if name == "torch.load" and keyword(call, "weights_only") is not True:
            yield f"line {call.lineno}: torch.load without weights_only=True"
        if name in ("np.load", "numpy.load") and keyword(call, "allow_pickle") is True:
            yield f"line {call.lineno}: np.load with pickle"
        if keyword(call, "shell") is True:
            yield f"line {call.lineno}: shell=True"
        if name in ("eval", "exec", "os.system", "os.popen"):
            yield f"line {call.lineno}: {name}("
    for node in ast.walk(tree(file)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = {alias.name for alias in node.names} | {getattr(node, "module", None)}
            if names & {"pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}:
                yield f"line {node.lineno}: imports what unpickles"
        if isinstance(node, ast.ExceptHandler):
            if node.type is None:
                yield f"line {node.lineno}: bare except"
            elif isinstance(node.body[0], ast.Pass) and dotted(node.type) in ("Exception", "BaseException"):
                yield f"line {node.lineno}: an error is swallowed"


def test_nothing_is_unpickled_run_in_a_shell_or_swallowed() -> None:
    assert wrong(danger) == []


def test_the_search_for_danger_finds_it(tmp_path: Path) -> None:
    file = tmp_path / "method.py"
    file.write_text(
        "import pickle\ntorch.load(f)\nnp.load(f, allow_pickle=True)\nrun(c, shell=True)\neval(s)\n"
        "try:\n  a()\nexcept Exception:\n  pass\ntry:\n  a()\nexcept:\n  b()\n"
    )
    assert len(list(danger(file))) == 7


def test_only_the_command_line_prints() -> None:
    files = [file for file in FILES if relative(file) not in ("cli.py", "__main__.py")]
    assert wrong(lambda file: (name for _, name in calls(file) if name == "print"), files) == []


def test_every_file_says_what_it_is_and_names_no_place_of_this_machine() -> None:
    def silent(file: Path) -> Iterator[str]:
        text = file.read_text()
        if text and not ast.get_docstring(tree(file)):
            yield "no docstring"
        yield from (word for word in ("/work/", "../shared", "/root/", "/home/") if word in text)

    assert wrong(silent) == []


SHAPED = ("Float", "Int", "Int64", "Bool", "UInt8", "Shaped")


def test_shapes_are_strings() -> None:
    """`Float[Tensor, n]` checks nothing; ruff's UP037 makes it of `"n"`, but not of `" n"`."""

    def bare(file: Path) -> Iterator[str]:
        for node in ast.walk(tree(file)):
            if isinstance(node, ast.Subscript) and dotted(node.value) in SHAPED:
                named = isinstance(node.slice, ast.Tuple) and isinstance(node.slice.elts[1], ast.Constant)
                if not named:
                    yield f"line {node.lineno}"

    assert wrong(bare) == []


def test_nothing_is_left_to_do() -> None:
    words = ("TODO", "FIXME", "XXX", "raise NotImplementedError")
    assert wrong(lambda file: [word for word in words if word in file.read_text()]) == []


# -- imports -----------------------------------------------------------------------------------------------


def test_imports_run_downward_only() -> None:
    pytest.importorskip("importlinter", reason="the import contract needs `pip install import-linter`")
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    env = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    found = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout[-3000:] + found.stderr[-1000:]


def test_there_is_no_circle_of_imports() -> None:
    """Imports in functions count, those for type checkers alone do not."""
    grimp = pytest.importorskip("grimp", reason="the import graph needs `pip install import-linter`")
    import networkx as nx

    graph = grimp.build_graph("unseen", cache_dir=None, exclude_type_checking_imports=True)
    edges = [(name, other) for name in graph.modules for other in graph.find_modules_directly_imported_by(name)]
    assert [sorted(c) for c in nx.strongly_connected_components(nx.DiGraph(edges)) if len(c) > 1] == []


def test_the_import_contract_covers_every_room_and_every_module() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = {name.strip() for c in contracts for layer in c.get("layers", ()) for name in layer.split("|")}
    there = {
        p.stem if p.is_file() else p.name for p in SRC.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()
    }
    assert there - {"__init__", "__main__"} <= layers
    rooms = {p.name for p in (SRC / "methods").iterdir() if (p / "__init__.py").exists()}
    apart = {module for contract in contracts for module in contract.get("modules", ())}
    assert apart == {"unseen.jobs.*", *(f"unseen.methods.{room}" for room in rooms)}


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith(("COV", "PYTEST"))}
    env["PYTHONPATH"] = str(ROOT / "src")
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=env, cwd=ROOT)


def test_importing_the_front_door_is_quick_and_touches_nothing_heavy() -> None:
    code = (
        "import sys, time; before = set(sys.modules); t = time.perf_counter(); import unseen; "
        "print(time.perf_counter() - t, *sorted({m.split('.')[0] for m in set(sys.modules) - before}))"
    )
    runs = [python("-c", code) for _ in range(3)]
    assert all(run.returncode == 0 for run in runs), runs[0].stderr
    seconds = min(float(run.stdout.split()[0]) for run in runs)
    modules = set(runs[0].stdout.split()[1:])
    assert not modules & {"torch", "sklearn", "numpy", "pandas", "timm", "transformers", "matplotlib", "PIL"}
    assert seconds < 0.3


def test_the_front_door_is_silent_under_all_warnings_as_errors() -> None:
    found = python("-W", "error", "-c", "import unseen")
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


def test_everything_on_the_front_door_is_there() -> None:
    import unseen

    for name in unseen.__all__:
        assert getattr(unseen, name) is not None, name
    with pytest.raises(AttributeError, match="banana"):
        unseen.banana  # noqa: B018
    assert set(unseen.__all__) <= set(dir(unseen))


# -- methods and systems -----------------------------------------------------------------------------------


def test_a_method_is_found_by_slug_and_by_name_and_a_wrong_slug_has_a_hint() -> None:
    methods = importlib.import_module("unseen.methods")
    assert methods.get("coral") is methods.CORAL
    with pytest.raises(ValueError, match="did you mean 'coral'"):
        methods.get("corral")
    with pytest.raises(ValueError, match="no method is called 'xyzzy'; there are"):
        methods.get("xyzzy")
    with pytest.raises(AttributeError, match="Banana"):
        methods.Banana  # noqa: B018
    assert {"get", "METHODS", "CORAL"} <= set(dir(methods))


def test_looking_at_the_table_of_methods_imports_none_of_them() -> None:
    found = python("-c", "import sys, unseen.methods as m; m.METHODS; print('torch' in sys.modules)")
    assert found.stdout == "False\n", found.stderr


def test_what_an_arm_of_a_claim_replaces_is_still_there() -> None:
    replaced = []
    for module in pkgutil.walk_packages(unseen.claims.__path__, "unseen.claims."):
        for cls in vars(importlib.import_module(module.name)).values():
            if not isinstance(cls, type) or cls.__module__ != module.name or not issubclass(cls, unseen.Method):
                continue
            hooks = [name for name in vars(cls) if name.startswith("_") and not name.startswith(("__", "_abc"))]
            replaced += [f"{module.name}: {cls.__name__}.{name}" for name in hooks if not hasattr(cls.__base__, name)]
    assert replaced == []


@pytest.mark.parametrize("slug", [*METHODS, *SYSTEMS])
def test_a_system_has_a_claim_a_test_and_parts_that_exist(slug: str) -> None:
    cls = home(slug)
    if cls.card.baseline:
        pytest.skip("a baseline needs no claim")
    assert importlib.util.find_spec(f"unseen.claims.{slug.replace('-', '_')}"), f"no claim for {slug}"
    place = Path(inspect.getfile(cls)).relative_to(SRC / "methods")
    room, name = place.parts[0], slug.replace("-", "_")
    found = [
        *(ROOT / "tests" / "methods" / room).rglob(f"test_{name}*.py"),
        *(ROOT / "tests/methods" / room / name).glob("test_*.py"),
    ]
    assert found, f"no test of {slug} under tests/methods/{room}"
    for part in cls.card.parts:
        module, _, attribute = part.rpartition(".")
        assert (
            importlib.util.find_spec(part) if _is_module(part) else hasattr(importlib.import_module(module), attribute)
        )


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def test_a_method_file_is_short_enough_to_read() -> None:
    assert [relative(file) for file in METHOD_FILES if len(file.read_text().splitlines()) > 480] == []


# -- jobs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("room", sorted(p.parent for p in (SRC / "jobs").glob("*/__init__.py")), ids=lambda p: p.name)
def test_a_room_of_jobs_has_a_job_a_command_and_a_docstring(room: Path) -> None:
    assert {"job.py", "command.py"} <= {file.name for file in room.iterdir()}
    assert all(file.stem == "page" for file in room.iterdir() if file.suffix in (".html", ".css"))


# -- pages ---------------------------------------------------------------------------------------------------


def test_every_page_stands_in_the_one_shell() -> None:
    heads = [relative(file) for file in sorted(SRC.rglob("*.html")) if "<!doctype" in file.read_text().lower()]
    assert heads == ["report/frame.html"]


# -- truth -------------------------------------------------------------------------------------------------


OTHER_OPEN = {"data/video.py": "a film", "methods/compression/tinyclip/gates.py": "masks of a network"}
"""What else has an `open` without arguments."""
NO_TRUTH = {
    "concepts": "counts concepts, and predicts the scores of those that have none",
    "pruning": "chooses samples: nobody knows which are right",
}
"""Rooms of jobs that grade nothing."""


def openings(file: Path) -> Iterator[str]:
    """Where an exam is opened: `open` of something, without arguments."""
    for call, name in calls(file):
        if name.endswith(".open") and not call.args and not call.keywords:
            yield f"line {call.lineno}: {name}()"


def test_an_exam_is_opened_only_where_protocols_drive() -> None:
    away = [file for file in FILES if not relative(file).startswith("evaluation/") and relative(file) not in OTHER_OPEN]
    assert wrong(openings, away) == []
    assert len(wrong(openings, [SRC / "evaluation" / "drive.py"])) >= 4


@pytest.mark.parametrize("room", sorted(p.parent for p in (SRC / "jobs").glob("*/__init__.py")), ids=lambda p: p.name)
def test_a_room_of_jobs_grades_through_drive(room: Path) -> None:
    modules = {node.module or "" for file in room.glob("*.py") for node in ast.walk(tree(file))
               if isinstance(node, ast.ImportFrom)}  # fmt: skip
    if room.name in NO_TRUTH:
        assert not [module for module in modules if module.startswith("unseen.evaluation")]
    else:
        assert "unseen.evaluation.drive" in modules


# -- names -------------------------------------------------------------------------------------------------


NAMELESS = {"one", "found", "told", "own"}
"""What many things could be called: a reader cannot search for it."""
LEFT = 10
"""So many are left, all of them fields (there were 2,359 variables and 250 parameters): what files, checkpoints and
JSON call so, and the two `found` that one of these is read from. It goes down."""


def nameless(file: Path) -> list[str]:
    """Variables, fields and parameters that are called by a word which says nothing of what they hold."""
    names = [(node.lineno, node.arg) for node in ast.walk(tree(file)) if isinstance(node, ast.arg)]
    names += [
        (node.lineno, node.id)
        for node in ast.walk(tree(file))
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    ]
    return [f"line {line}: {name}" for line, name in sorted(names) if name in NAMELESS]


def test_variables_are_called_by_what_they_hold() -> None:
    assert len(wrong(nameless)) <= LEFT


def test_the_search_for_nameless_variables_finds_them(tmp_path: Path) -> None:
    (tmp_path / "file.py").write_text(
        "found = [one for one in rows]\ntold: int = found[0]\nfor row in own: row.one = 1\n"
        "def f(own, *one, **told): pass\ng = lambda found: f(own=found)\nasync def h(*, one=1): pass\n"
    )
    lines = [line.rpartition(" ")[2] for line in nameless(tmp_path / "file.py")]
    assert lines == ["found", "one", "told", "one", "own", "told", "found", "one"]

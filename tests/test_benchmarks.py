"""Benchmarks and the programs beside the docs are run by hand: what they take of the house must be there."""

import ast
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROGRAMS = sorted([*ROOT.glob("benchmarks/**/*.py"), *ROOT.glob("docs/*.py")])


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_imported_is_there(program):
    missing = []
    for node in ast.walk(ast.parse(program.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "unseen":
            missing += [f"{node.module}.{alias.name}" for alias in node.names if not _there(node.module, alias.name)]
    assert not missing


def _there(module, name):
    try:
        return hasattr(importlib.import_module(module), name) or bool(importlib.import_module(f"{module}.{name}"))
    except ModuleNotFoundError:
        return False


ROOMS = ["align", "caption", "compose", "episodes", "match", "nodes", "rank", "segment", "shrink"]


@pytest.mark.slow
@pytest.mark.parametrize("room", ROOMS)
def test_what_is_killed_of_a_room_is_written_and_read_where_nobody_kills(room, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    rooms = importlib.import_module("kills_rooms").rooms()
    assert sorted(rooms) == ROOMS
    (tmp_path / "of").mkdir()
    name, write, read = rooms[room](tmp_path / "of")
    for which in (0, 1):
        write(tmp_path / name, which)
        assert read(tmp_path / name)

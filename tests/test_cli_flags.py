"""Arguments of the library, in flags of the command that was asked."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from unseen import cli
from unseen.console import asked, in_flags

PACKAGE = Path(cli.__file__).parents[1]


@pytest.mark.parametrize(
    ("command", "said", "spelt"),
    [
        ("compare", "seeds must be at least 1, got 0", "--seeds must be at least 1, got 0"),
        ("compare", "source or support must be given, or names", "--source or --support must be given, or names"),
        ("compare", "source: path 'x' does not exist", "--source: path 'x' does not exist"),
        ("compare", "say trust=True", "say --trust"),
        ("compare", "without that care (careful=False) it is coral", "without that care (--no-careful) it is coral"),
        ("compare", "give names (classes='cat,dog' or a file)", "give names (classes='cat,dog' or a file)"),
        ("compare", "methods='all' runs it, too", "--methods 'all' runs it, too"),
        ("compare", "describe the target's with classes=", "describe the target's with --classes"),
        ("predict", "source must have labels", "source must have labels"),
        ("forecast", "name others by `columns`, or day_first=True", "name others by --columns, or --day-first"),
        ("quantize", "again must be a folder", "--from must be a folder"),
        ("concepts", "`per_class` is too large", "--per-class is too large"),
        ("prune", "keep=5 is more than there are", "--keep 5 is more than there are"),
        ("compare", "a == b, f(x=1) and epochs=3 stay", "a == b, f(x=1) and epochs=3 stay"),
    ],
)  # fmt: skip
def test_a_text_of_the_library_is_told_in_flags(command: str, said: str, spelt: str) -> None:
    assert in_flags(said, asked((command,)), error=True) == spelt


def test_only_errors_have_flags_at_their_beginning() -> None:
    assert in_flags("source: 185 pictures of 8 classes", asked(("compare",))) == "source: 185 pictures of 8 classes"


def test_the_command_is_found_behind_options_and_in_groups() -> None:
    assert asked(("--threads", "2", "compare", "--source", "x")).name == "compare"
    assert asked(("nas", "rank", "cells")).name == "rank"
    assert asked(()).name == asked(("nothing",)).name


def test_errors_of_the_library_name_arguments() -> None:
    """No text that is raised below the command line names a flag; whole commands (`unseen index DATA --side`) may."""
    found = []
    for file in PACKAGE.rglob("*.py"):
        place = file.relative_to(PACKAGE).as_posix()
        if place.startswith(("cli/", "web/", "claims/")) or place.endswith("command.py") or place == "console.py":
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Raise) and node.exc is not None:
                values = [n.value for n in ast.walk(node.exc) if isinstance(n, ast.Constant)]
                texts = [value for value in values if isinstance(value, str)]
                said = " ".join(texts)
                if " --" in f" {said}".replace("(--", " --") and "unseen " not in said and "pip " not in said:
                    found.append(f"{place}:{node.lineno}: {said}")
    assert found == []

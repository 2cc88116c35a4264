"""Help that teaches: examples first, what is rarely needed behind, one word for one thing over all commands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from unseen.cli import app
from unseen.cli.panels import COMMANDS, OPTIONS, laid_out


def commands(node: Any = None, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every command with its path."""
    node = node or typer.main.get_command(app)
    for name, command in getattr(node, "commands", {}).items():
        yield from commands(command, f"{path} {name}".strip())
    if not hasattr(node, "commands"):
        yield path, node


def helped(*arguments: str, columns: str = "100") -> str:
    return CliRunner().invoke(app, [*arguments, "--help"], env={"COLUMNS": columns, "TERMINAL_WIDTH": columns}).output


def test_the_first_screen_of_compare_teaches_and_rare_options_stand_behind() -> None:
    said = helped("compare")
    first = said.splitlines()[:45]
    shown = "\n".join(first)
    for needed in (
        "Two folders:",
        "Names alone:",
        *(f"--{name}" for name in ["source", "target", "classes", "out", "seeds"]),
    ):
        assert needed in shown, said
    at = [said.index(title) for title in OPTIONS if title in said]
    assert at == sorted(at)
    assert len(at) == 3
    assert said.index("--out") < at[0] < said.index("--prompt") < said.index("--protocol") < said.index("--ray-address")
    assert said.index("unseen compare --source") < said.index("What they say of the target")  # examples, then words
    assert len(helped("compare", columns="80").splitlines()) < 110  # it was 150


def test_types_that_go_without_saying_are_left_out() -> None:
    said = helped("compare")
    assert "<str>" not in said
    assert "<bool>" not in said
    assert re.search(r"--seeds +N \[x>=1\]", said)


def test_examples_come_first_line_by_line_and_other_lines_are_joined() -> None:
    text = "What it does.\n\nA word\nmore.\n\nExample:  unseen x --a b\n\nthen:     unseen y"
    assert laid_out(text) == "What it does.\n\nExample:  unseen x --a b\nthen:     unseen y\n\nA word more."


def test_every_option_and_command_that_a_panel_names_is_there() -> None:
    options = {one.name for _, command in commands() for one in command.params}
    assert set(" ".join(OPTIONS.values()).split()) <= options
    names = {path.split()[0] for path, _ in commands()}
    assert set(" ".join(COMMANDS.values()).split()) <= names


@pytest.mark.parametrize(
    ("path", "command"), list(commands()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_seed_is_a_number_and_seeds_are_how_many(path: str, command: Any) -> None:
    for option in command.params:
        flags = [flag for flag in option.opts if "seed" in flag]
        assert not flags or flags in (["--seed"], ["--seeds"]), f"{path}: {flags}"
        if flags == ["--seeds"]:
            assert (option.help or "").startswith("How many seeds"), path
        if flags == ["--seed"]:
            assert option.default in (0, None, 2026), path

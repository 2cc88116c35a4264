"""Help that teaches: examples first, what is rarely needed behind, one word for one thing over all commands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from unseen.cli import app
from unseen.cli.panels import COMMANDS, NEEDED, OPTIONS, flags_of_examples, laid_out
from unseen.console import settings_of


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


def test_each_example_has_a_line_of_its_own_though_none_is_empty_between_them() -> None:
    text = "What it does.\n\nExample:  unseen x --a b\nExample:  unseen y\n\nMore."
    assert laid_out(text) == "What it does.\n\nExample:  unseen x --a b\nExample:  unseen y\n\nMore."
    assert re.search(r"Example: +unseen predict forecast demand-may.csv --csv may.csv", helped("forecast"))


@pytest.mark.parametrize(
    ("path", "command"), list(commands()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_what_an_example_uses_does_not_stand_among_what_is_rarely_needed(path: str, command: Any) -> None:
    used = flags_of_examples(command.help or "")
    shown = command.get_params(typer.Context(command))
    behind = {flag for one in shown if getattr(one, "rich_help_panel", None) in OPTIONS for flag in one.opts}
    assert not used & behind, path


@pytest.mark.parametrize(
    ("path", "flags"),
    [
        ("shrink", ["--size"]), ("quantize", ["--size", "--pictures"]), ("align", ["--languages"]),
        ("caption", ["--labels", "--model"]), ("rank", ["--model"]), ("match learn", ["--model"]),
        ("nas rank", ["--size"]), ("segment", ["--model", "--size"]), ("nodes", ["--model", "--pretrain"]),
    ],
)  # fmt: skip
def test_an_option_that_is_only_called_as_a_rare_one_of_other_commands_stands_in_front(
    path: str, flags: list[str]
) -> None:
    front = helped(*path.split()).split("Rarely needed")[0]
    assert all(re.search(rf"{flag} ", front) for flag in flags), front


def test_every_exception_is_of_a_command_that_has_the_option() -> None:
    known = {(one.name, path.split()[-1]) for path, command in commands() for one in command.params}
    assert {(name, command) for name, those in NEEDED.items() for command in those.split()} <= known


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


def test_what_has_an_option_of_its_own_is_no_setting() -> None:
    for pairs, flags in ((["random_state=3"], {}), (["epochs=2", "beam=4"], {"beam": "--beam"})):
        with pytest.raises(ValueError, match=r"--set does not take (random_state; say --seed|beam; say --beam)"):
            settings_of(pairs, **flags)
    assert settings_of(["random_state=3", "sizes=[1, 2]"], random_state="") == {"random_state": 3, "sizes": (1, 2)}
    without = {
        path for path, command in commands() if {"settings", "seed"} & {p.name for p in command.params} == {"settings"}
    }
    assert without == {"annotate", "tag project"}

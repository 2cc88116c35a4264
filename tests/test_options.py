"""Options that go together are one argument of a command."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

import unseen.cli  # noqa: F401 - registers the commands
from unseen import options
from unseen.console import app


@dataclasses.dataclass(frozen=True, kw_only=True)
class Size:
    width: Annotated[int, typer.Option(help="How wide.", min=1)] = 3
    heights: Annotated[list[int] | None, typer.Option("--height", help="How high.")] = None


def area(*, name: Annotated[str, typer.Argument(help="What.")], size: Size, unit: str = "m") -> None:
    """Print it."""
    typer.echo(f"{name} {size.width * sum(size.heights or [1])} {unit}")


def made() -> typer.Typer:
    small = typer.Typer()
    small.command()(options.spread(area))
    return small


def test_each_field_is_an_option_with_its_flag_its_check_and_its_help() -> None:
    run = CliRunner()
    assert run.invoke(made(), ["field"]).output == "field 3 m\n"
    given = ["--height", "2", "--height", "4", "--width", "5", "--unit", "cm", "field"]
    assert run.invoke(made(), given).output == "field 30 cm\n"
    refused = run.invoke(made(), ["field", "--width", "0"])
    assert refused.exit_code == 2
    assert "--width" in refused.output
    assert "How wide." in run.invoke(made(), ["--help"]).output


def test_a_program_may_call_it_too(capsys: pytest.CaptureFixture[str]) -> None:
    options.spread(area)("field", heights=[2], unit="km")
    assert capsys.readouterr().out == "field 6 km\n"


def test_options_stand_where_their_group_stood() -> None:
    assert list(inspect.signature(options.spread(area)).parameters) == ["name", "width", "heights", "unit"]


def test_what_a_user_has_is_said_in_the_same_words_to_compare_and_adapt() -> None:
    commands = {command.name: command.callback for command in app.registered_commands}
    for name in ("compare", "adapt"):
        taken = inspect.signature(commands[name]).parameters  # type: ignore[arg-type]
        for field in dataclasses.fields(options.Given):
            assert taken[field.name].default == field.default

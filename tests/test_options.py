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


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["find", "photos", "--text", "a", "--text", "b"], "--text was given twice; the last counts, 'b'"),
        (["find", "photos", "--top=1", "--top", "2", "--top", "3"], "--top was given 3 times; the last counts, '3'"),
        (
            ["compare", "--careful", "--no-careful"],
            "--careful and --no-careful were both given; the last counts, --no-careful",
        ),
        (["compare", "--no-careful", "--careful"], "both given; the last counts, --careful"),
        (["match", "learn", "a.mp4", "--model", "x", "--model", "y"], "--model was given twice; the last counts, 'y'"),
        (["--threads", "2", "--threads", "3", "encoders"], "--threads was given twice"),
    ],
)
def test_of_an_option_that_may_stand_once_the_last_does_not_win_without_a_word(given: list[str], said: str) -> None:
    run = CliRunner().invoke(app, given)
    assert said in run.stderr
    assert run.stderr.startswith("note: ")


def test_an_option_given_twice_with_one_value_or_that_may_be_repeated_is_no_mistake() -> None:
    run = CliRunner()
    assert "'nowhere' does not exist" in str(run.invoke(app, ["find", "nowhere", *["--text", "a"] * 2]).exception)
    twice = run.invoke(app, ["compare", "--target", "nowhere", "--prompt", "a {}", "--prompt", "the {}"])
    assert "given twice" not in twice.output
    assert run.invoke(app, ["find", "--text", "a", "--text", "b", "--help"]).exit_code == 0

"""The commands' common ground: the application, how things are said, what arguments are called on the command line."""

from __future__ import annotations

import copy
import functools
import json
import re
import shlex
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
import typer.core

from unseen.runtime import leads, replacing
from unseen.spreadsheets import harmless_table, has_formulas
from unseen.strict_json import strict_json

if TYPE_CHECKING:
    import pandas as pd

F = TypeVar("F", bound=Callable[..., Any])


COMMANDS: list[Any] = []
"""All commands of typer's, also those that are left out while the one that is asked for is built alone."""
FEW = 3
"""Commands that have an option, up to which whoever gave it to another one is told of them."""


def _commands_with(flag: str) -> list[str]:
    """The commands that have an option which another one lacks; none where it is the option of many."""
    whole = typer.Typer()
    whole.registered_commands = COMMANDS
    known: Mapping[str, Any] = typer.main.get_group(whole).commands
    names = [name for name, command in known.items() if any(flag in param.opts for param in command.params)]
    return names if len(names) <= FEW else []


class OnceEach:
    """A command that tells where an option which may stand once stands twice: the last counts, as in any shell."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments; help that is asked for, and values that cannot be, are answered first."""
        given = list(args)
        try:
            rest: list[str] = super().parse_args(ctx, args)  # type: ignore[misc]
        except Exception as error:
            if type(error).__name__ == "NoSuchOption" and (others := _commands_with(str(vars(error)["option_name"]))):
                commands = " and ".join(f"`unseen {name}`" for name in others)
                said = str(vars(error)["message"]).removesuffix(".")
                vars(error)["message"] = f"{said}; {commands} {'has' if len(others) == 1 else 'have'} it"
            raise
        if not ctx.resilient_parsing and leads():
            for line in self._repeated(ctx, given):
                say(f"note: {line}")
        return rest

    def _repeated(self, ctx: Any, args: list[str]) -> list[str]:
        """Which options were given with unlike values, in sentences."""
        command: Any = self
        parser = command.make_parser(ctx)
        once = {
            option.name: option
            for option in command.get_params(ctx)
            if option.param_type_name == "option" and not (option.multiple or option.count)
        }
        for option in once.values():
            listing = copy.copy(option)
            listing.multiple = True
            listing.add_to_parser(parser, ctx)
        values, _, _ = parser.parse_args(args=list(args))
        lines = []
        for name, option in once.items():
            unlike = list(dict.fromkeys(values.get(name) or ()))
            if len(unlike) < 2:
                continue
            if option.is_flag:
                yes, no = option.opts[0], option.secondary_opts[0]
                lines.append(f"{yes} and {no} were both given; the last counts, {yes if values[name][-1] else no}")
            else:
                times = "twice" if len(values[name]) == 2 else f"{len(values[name])} times"
                lines.append(f"{max(option.opts, key=len)} was given {times}; the last counts, {values[name][-1]!r}")
        return lines


class Whole(OnceEach, typer.core.TyperGroup):
    """The command line: of what stands before the name of a command the same holds."""


app = typer.Typer(
    name="unseen",
    cls=Whole,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Adapt pretrained models to classes, domains and modalities they have never seen, and see whether it worked."
    "\n\n"
    "Start here:  [bold]unseen demo[/bold]   then, on your own folders:  "
    "[bold]unseen compare --source photos --target sketches --out run[/bold]",
)


@app.callback()
def settings_of_all_commands(
    context: typer.Context,
    threads: Annotated[
        int,
        typer.Option(
            envvar="UNSEEN_THREADS",
            min=1,
            help="Threads of every fit. More are faster; results are equal bits only for equal numbers.",
        ),
    ] = 1,
    device: Annotated[str | None, typer.Option(envvar="UNSEEN_DEVICE", help="cpu, cuda, cuda:1, ...")] = None,
) -> None:
    """Say how every command runs."""
    from unseen.runtime import runtime

    context.with_resource(runtime(threads=threads, device=device, progress=True))


class Usual(typer.core.TyperGroup):
    """A group whose first command is meant where the first word names none of them: its name may be left out."""

    @property
    def usual(self) -> str:
        """The name of that command."""
        return next(iter(self.commands))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the name of the usual command first, where no command is named and no help is asked for."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = [self.usual, *args]
        return super().parse_args(ctx, args)


data_app = typer.Typer(no_args_is_help=True, help="Data that packages ship: list, look up, get.")
app.add_typer(data_app, name="data")
new_app = typer.Typer(no_args_is_help=True, help="Write a package with a method of your own.")
app.add_typer(new_app, name="new")


def say(line: str) -> None:
    """Print a line beside the answer: what is going on, where something lies."""
    typer.echo(in_flags_here(line), err=True)


def tell(line: str = "") -> None:
    """Print a line of an answer; in a terminal it breaks between words."""
    line = in_flags_here(line)
    if line and sys.stdout.isatty():
        width = max(40, shutil.get_terminal_size().columns)
        line = textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False)
    typer.echo(line)


def in_flags_here(line: str) -> str:
    """A line with the flags of the command that is running."""
    return in_flags(line, asked(tuple(sys.argv[1:])))


# -- arguments of the library, in flags of the command ------------------------------------------------------


LEADING = re.compile(
    r"^(?P<names>\w+(?:(?:, | or | and )\w+)*)"
    r"(?=:| must\b| cannot\b| is for\b| has\b| names\b| takes\b| needs\b| goes\b)"
)
GIVEN = re.compile(
    r"(?P<said>(?<![\w=])(?:'[^']*'|\"[^\"]*\"))"
    r"|(?<![\w.(?&])(?P<name>[a-z][a-z_]*)=(?P<value>'[^']*'|\"[^\"]*\"|[\w.:/\[\]+-]+|)(?!=)"
)
"""An argument with its value, or what somebody said, in quotes: that stays."""
QUOTED = re.compile(r"`(?P<name>[a-z][a-z_]*)`")
IN_BRACKETS = re.compile(r"\((?P<name>[a-z][a-z_]*)=(?P<value>[\w.:'/-]*)\)")


def flags_of(command: Any) -> dict[str, tuple[str, str]]:
    """For each option of a command its flag, and the one that switches it off (or an empty text), by argument."""
    flags = {}
    for parameter in command.params:
        if parameter.param_type_name == "option" and parameter.name:
            spellings = [name for name in parameter.opts if name.startswith("--")] or parameter.opts
            off = parameter.secondary_opts[0] if parameter.secondary_opts else ""
            flags[parameter.name] = max(spellings, key=len), off
    return flags


def in_flags(text: str, command: Any, *, error: bool = False) -> str:
    """A text of the library with the command's flags in the place of arguments; other words stay as they are.

    ``classes='cat,dog'`` becomes ``--classes 'cat,dog'``, ``careful=False`` ``--no-careful``, ``trust=True`` and
    ``trust=`` ``--trust``, and a name in backticks its flag. In an error, arguments at its beginning are flags, too.
    What stands in quotes is repeated as it was given, and so are the options of a name, ``lite?size=64&crop=1``.
    """
    flags = flags_of(command)

    def given(match: re.Match[str]) -> str:
        return match[0] if match["said"] else _spelt(flags, match["name"], match["value"]) or match[0]

    def bracketed(match: re.Match[str]) -> str:
        spelt = _spelt(flags, match["name"], match["value"])
        return f"({spelt})" if spelt else match[0]

    def quoted(match: re.Match[str]) -> str:
        return flags[match["name"]][0] if match["name"] in flags else match[0]

    text = QUOTED.sub(quoted, GIVEN.sub(given, IN_BRACKETS.sub(bracketed, text)))
    if error and (leading := LEADING.match(text)):
        names = leading["names"]
        parts = re.split(r"(, | or | and )", names)
        if all(part in flags for part in parts[::2]):
            spelt = "".join(flags[part][0] if i % 2 == 0 else part for i, part in enumerate(parts))
            text = spelt + text[len(names) :]
    return text


def _spelt(flags: Mapping[str, tuple[str, str]], name: str, value: str) -> str:
    """An argument with its value on the command line; empty if it is no option."""
    if name not in flags:
        return ""
    flag, off = flags[name]
    if value == "False" and off:
        return off
    return flag if value in ("", "True") else f"{flag} {value}"


@functools.lru_cache(maxsize=1)
def asked(arguments: tuple[str, ...]) -> Any:
    """The command that these arguments ask for, in whatever group it stands; the whole if they ask for none."""
    command: Any = typer.main.get_command(app)
    for word in arguments:
        if not hasattr(command, "commands"):
            break
        command = command.commands.get(word, command)
    return command.commands[command.usual] if isinstance(command, Usual) else command


# -- what commands take and write ---------------------------------------------------------------------------


def told(context: typer.Context, names: Sequence[str]) -> list[str]:
    """Those of these options that the user gave, as they are spelt."""
    spelt = {parameter.name: parameter.opts[0] for parameter in context.command.params}
    sources = {name: context.get_parameter_source(name) for name in names}
    return [spelt[name] for name, source in sources.items() if source is not None and source.name != "DEFAULT"]


def write_csv(file: Path, table: pd.DataFrame) -> None:
    """Write a table for spreadsheets, all or nothing: what they would run as a formula stands behind an apostrophe."""
    with replacing(file) as temporary:
        harmless_table(table).to_csv(temporary, index=False)
    if has_formulas(table):
        say(
            f"{file}: cells that begin as formulas do have an apostrophe before them, so that no spreadsheet runs "
            "them; what is read here loses it again"
        )


def check_ending(name: str, file: Path | None, *endings: str) -> None:
    """`ValueError` if a file to write is a folder, or has another ending than these, where some are named."""
    if file is not None and endings and file.suffix.lower() not in endings:
        *others, last = endings
        choices = f"{', '.join(others)} or {last}" if others else last
        raise ValueError(f"{name} must end in {choices}; got {str(file)!r}")
    if file is not None and file.is_dir():
        raise ValueError(f"{name} must be a file; {str(file)!r} is a folder")


def check_written(name: str, file: Path | None, *endings: str) -> None:
    """`ValueError` if a file to write has another ending than these, where some are named, or no folder to lie in."""
    check_ending(name, file, *endings)
    if file is not None and not file.parent.is_dir():
        raise ValueError(f"{name}: there is no folder {str(file.parent)!r}")


def check_apart(read: Iterable[str | Path | None], **written: Path | None) -> None:
    """`ValueError` if a file to write is one of those that are read: it would be lost."""
    paths = [path for item in read if item is not None for path in (str(item), str(item).partition(":")[2]) if path]
    for name, file in written.items():
        if file is not None and any(_same(file, path) for path in paths):
            raise ValueError(f"{name}: {str(file)!r} is what is read; name another file")


def check_outside(model: str | Path | None, **written: Path | None) -> None:
    """`ValueError` if a file to write lies in the folder of a saved model that is read, or of its run: they would not
    be what they were."""
    if model is None or not Path(model).is_dir():
        return
    home = Path(model).resolve()
    home = home.parent if home.name == "model" and (home.parent / "results.json").is_file() else home
    for name, file in written.items():
        if file is not None and home in file.resolve().parents:
            raise ValueError(f"{name}: {str(file)!r} lies in {str(model)!r}, which is read; name a file elsewhere")


def _same(file: Path, path: str) -> bool:
    """Whether a path leads to a file; not where one of them is not there, or is no path at all."""
    try:
        return file.samefile(path)
    except (OSError, ValueError):
        return False


def dump(value: Any) -> None:
    typer.echo(strict_json(value, default=str))


def resumes(command: F) -> F:
    """Mark a command that goes on from where it was stopped when it is given again."""
    command.resumes = True  # type: ignore[attr-defined]
    return command


def command_line() -> str:
    return shlex.join(["unseen", *sys.argv[1:]])


def settings_of(pairs: Sequence[str] | None, /, *, random_state: str = "--seed", **flags: str) -> dict[str, Any]:
    """Hyperparameters from name=value; values are JSON where they can be.

    Those that have a flag of their own (``beam="--beam"``) are refused, `random_state` always but where that is "".
    """
    settings: dict[str, Any] = {}
    flags |= {"random_state": random_state}
    for pair in pairs or ():
        key, sign, value = pair.partition("=")
        if not sign or not key:
            raise ValueError(f"--set takes name=value; got {pair!r}")
        if flags.get(key):
            raise ValueError(f"--set does not take {key}; say {flags[key]}")
        try:
            read = json.loads(value)
        except ValueError:
            read = value
        settings[key] = tuple(read) if isinstance(read, list) else read
    return settings

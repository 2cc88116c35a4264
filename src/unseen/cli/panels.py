"""How help is laid out: commands by what they are for, examples first, options that are rarely needed by themselves."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any

import typer
from typer.core import TyperCommand

from unseen.console import OnceEach, app

COMMANDS = {
    "Look at what you have": "recommend methods words diagnose shift embed encoders data",
    "Adapt, and compare": "demo compare adapt continue align label",
    "Use a model, and check it": "predict explain verify report web",
    "Make it small, and serve it": "quantize shrink export serve",
    "Other tasks": "map annotate caption complete nodes episodes forecast match rank segment tag nas",
    "Image-text data": "curate index explore find compose prune head concepts",
    "Evidence, and methods of your own": "reproduce new",
}
REST = "Other tasks"
"""The panel of commands that no panel names."""

OPTIONS = {
    "Rarely needed: what else is known": "prompts ontology taxonomy model teachers bench subject attribute pretrain",
    "Rarely needed: how it is chosen and graded": "protocol careful crafted refit labels",
    "Rarely needed: which pictures are kept": "rules near languages multilingual_encoder resize size min_bytes "
    "min_size max_aspect_ratio",
    "Rarely needed: downloads": "timeout max_bytes per_host delay ignore_opt_out allow_host block_host base_url",
    "Rarely needed: how it runs and what is kept": "seed preset on_error precision trust pictures bundle verbose "
    "as_json engine address ray_address cpus_per_fit gpus_per_fit shard_size memory cache stages",
}
"""Options that stand behind the others, by their arguments, where a command has many and no example of it uses them."""

NEEDED = {
    "model": "caption explore forecast learn map nodes pictures rank segment",
    "taxonomy": "map",
    "pretrain": "nodes",
    "labels": "caption",
    "languages": "align",
    "size": "quantize rank segment shrink",
    "pictures": "quantize",
}
"""Commands (`rank` is that of `nas`, too) in which an option of such a name is another one, and stands in front."""

MANY = 14
"""Options from which on those rarely needed stand by themselves."""

VALUES = {
    **dict.fromkeys(("text", "str", "boolean", "bool", "list[str]"), ""),
    **dict.fromkeys(("integer", "int", "int range", "integer range"), "N"),
    **dict.fromkeys(("float", "float range"), "X"),
    "path": "PATH",
}
"""How the values of an option are called, by their type; what is plain goes without saying."""

PANEL = {name: title for title, names in OPTIONS.items() for name in names.split()}
EXAMPLE = re.compile(r"(Example\b|[^\n.]{0,40}:\s+unseen |unseen )")
FLAG = re.compile(r"(?<!\S)--?[A-Za-z][\w-]*")


class Grouped(OnceEach, TyperCommand):
    """A command whose help shows what is needed most first, and which says that it was stopped."""

    def invoke(self, ctx: Any) -> Any:
        """Run it; Ctrl+C is answered with a line, and with the exit code 130."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            goes_on = getattr(self.callback, "resumes", False)
            typer.echo("stopped; the same command goes on from here" if goes_on else "stopped", err=True)
            raise typer.Exit(130) from None

    def get_params(self, ctx: Any) -> list[Any]:
        """The arguments and options, each with the panel that it stands in."""
        params: list[Any] = super().get_params(ctx)
        options = [param for param in params if param.param_type_name == "option"]
        for option in options:
            if option.metavar is None:
                option.metavar = VALUES.get(_type_of(option))
        if len(params) >= MANY:
            used = flags_of_examples(self.help or "")
            for option in options:
                stays = self.name in NEEDED.get(option.name or "", "").split() or not used.isdisjoint(option.opts)
                if not option.required and not stays:
                    option.rich_help_panel = getattr(option, "rich_help_panel", None) or PANEL.get(option.name or "")
            order = {title: i for i, title in enumerate(OPTIONS)}
            params.sort(key=lambda param: order.get(getattr(param, "rich_help_panel", None) or "", -1))
        return params


def flags_of_examples(laid: str) -> set[str]:
    """Options that the examples of a help text use, as `laid_out` gives it."""
    return {flag for line in laid.splitlines() if EXAMPLE.match(line) for flag in FLAG.findall(line)}


def _type_of(option: Any) -> str:
    """What its values are called, by typer itself or, in earlier versions, by click."""
    if hasattr(option, "bare_type"):
        return str(option.bare_type()).lower()
    return str(getattr(option.type, "name", "")).lower()


def arrange(panels: Mapping[str, str] = COMMANDS, rest: str = REST) -> None:
    """Show commands and groups by panels, in the order given, each with its examples before its explanations.

    What no panel names stands in the panel `rest`, after what stands there.
    """
    panel = {name: title for title, names in panels.items() for name in names.split()}
    titles, order = list(panels), list(panel)
    known: Any
    for known in (app.registered_commands, app.registered_groups):
        for info in known:
            info.name = info.name or info.callback.__name__
            info.rich_help_panel = panel.get(info.name, rest)
        known.sort(
            key=lambda info: (
                titles.index(info.rich_help_panel),
                order.index(info.name) if info.name in panel else len(order),
            )
        )
    for part in (app, *(group.typer_instance for group in app.registered_groups)):
        for command in part.registered_commands if part is not None else ():
            command.help = laid_out(inspect.getdoc(command.callback) or "")
            command.cls = Grouped


def laid_out(text: str) -> str:
    """A docstring as help: its first paragraph, the examples line by line, what is explained; lines are joined."""
    parts = re.sub(r"\n+(?=Example:)", "\n\n", text.strip()).split("\n\n")
    first, *others = [" ".join(part.split("\n")) for part in parts]
    examples = [part for part in others if EXAMPLE.match(part)]
    return "\n\n".join([first, *(["\n".join(examples)] if examples else []), *(p for p in others if p not in examples)])

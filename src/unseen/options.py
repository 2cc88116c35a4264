"""Options and arguments that several commands have: each stands once, with its type, its flag and its help.

What a command alone has, or says in words of its own, it declares itself. Options that go together are a dataclass,
which a command takes as one argument (`spread`).
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer


def spread(command: Callable[..., None]) -> Callable[..., None]:
    """Let an argument of a command that is a dataclass stand for options: one for each of its fields."""
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if dataclasses.is_dataclass(hint)}
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        if name in groups:
            parameters += inspect.signature(groups[name], eval_str=True).parameters.values()
        else:
            parameters.append(parameter.replace(annotation=hints[name]))

    @functools.wraps(command)
    def run(*first: Any, **values: Any) -> None:
        usual = {
            parameter.name: parameter.default for parameter in parameters if parameter.default is not parameter.empty
        }
        values = usual | dict(zip((parameter.name for parameter in parameters), first)) | values
        for name, group in groups.items():
            values[name] = group(**{field.name: values.pop(field.name) for field in dataclasses.fields(group)})
        command(**values)

    parameters = [parameter.replace(kind=parameter.KEYWORD_ONLY) for parameter in parameters]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


# -- what is read -------------------------------------------------------------------------------------------

Source = Annotated[str | None, typer.Option(help="Labelled data: folder of class folders, table, arrays, shards.")]
Target = Annotated[str | None, typer.Option(help="Data to work on. Labels in it are put away, and grade at the end.")]
Support = Annotated[str | None, typer.Option(help="A few labelled samples of the target.")]
Labels = Annotated[
    str,
    typer.Option(
        help="What labels in --target are for: exam (they grade at the end), support (they are learnt from), "
        "or split:0.5 (a part of each)."
    ),
]
Classes = Annotated[
    str | None,
    typer.Option(
        help="Class file (CSV or JSON: name, description, parent, attributes; or a name a line), or names with commas. "
        "Where nothing is labelled, names alone decide (zero-shot)."
    ),
]
Prompts = Annotated[
    list[str] | None, typer.Option("--prompt", help="Sentence for names, such as 'a photo of a {}.'; may be repeated.")
]
Ontology = Annotated[
    str | None, typer.Option(help="What relates the classes: triples (.tsv, .csv) or RDF (.ttl, .owl).")
]
Taxonomy = Annotated[
    str | None, typer.Option(help="Where the classes stand, by name: wordnet, hpo, obo:FILE, owl:FILE, csv:FILE, ...")
]
Model = Annotated[str | None, typer.Option(help="Folder of a saved model (or of a run) whose classifier is adapted.")]
Teachers = Annotated[str | None, typer.Option(help="Folder of saved models to distil from, of any classes.")]
OnError = Annotated[str, typer.Option(help="Unreadable samples: skip (and name them) or fail.")]
SavedModel = Annotated[Path, typer.Argument(help="Folder of a saved model (or of a run).")]

# -- what works on it ---------------------------------------------------------------------------------------

Encoder = Annotated[str | None, typer.Option(help="Pretrained encoder; `unseen encoders` lists them.")]
Precision = Annotated[str, typer.Option(help="Of the frozen encoder: auto (fastest here) or fp32 (reference).")]
Trust = Annotated[bool, typer.Option("--trust", help="Load encoders that can run code (TorchScript, custom ONNX).")]
Settings = Annotated[list[str] | None, typer.Option("--set", help="Hyperparameter as name=value.")]
Seed = Annotated[int, typer.Option(help="Seed of all that is random.", min=0)]
OptionalSeed = Annotated[int | None, typer.Option(help="Seed of all that is random; 0 if absent.", min=0)]
"""For commands that must know whether one was named."""


def hyperparameter(of: str) -> Any:
    """`--set` of a command that always runs the same method: `Annotated[list[str] | None, hyperparameter("zscl")]`."""
    return typer.Option("--set", help=f"Hyperparameter of {of} as name=value.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Given:
    """What a user has, in the words of `compare` and `adapt`."""

    source: Source = None
    target: Target = None
    support: Support = None
    classes: Classes = None
    prompts: Prompts = None
    ontology: Ontology = None
    taxonomy: Taxonomy = None
    model: Model = None
    teachers: Teachers = None
    encoder: Encoder = None
    labels: Labels = "exam"
    on_error: OnError = "skip"
    precision: Precision = "auto"
    trust: Trust = False


# -- what is written and printed ----------------------------------------------------------------------------

OutFolder = Annotated[Path, typer.Option(help="Folder to write.")]
OutPage = Annotated[Path, typer.Option(help="Page to write.")]
OutTable = Annotated[Path, typer.Option(help="Table to write (.csv).")]
WithEncoder = Annotated[bool, typer.Option("--bundle", help="Put the encoder's weights into the model folder.")]
Verbose = Annotated[bool, typer.Option("--verbose", help="Print all that the report says, not the answer alone.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

# -- where it runs ------------------------------------------------------------------------------------------

Address = Annotated[str | None, typer.Option(help="Of a running Ray cluster; Ray starts here if absent.")]
Memory = Annotated[str, typer.Option(help="What an index may take, such as 300MB or 2GiB.")]
Host = Annotated[str, typer.Option(help="Address to listen on; any but this machine's own needs a token.")]
Port = Annotated[int, typer.Option(help="Port; 0 takes a free one.", min=0, max=65535)]


def token(what: str) -> Any:
    """`--token` of a server, and what it is there: `Annotated[str | None, token("The password for a browser")]`."""
    return typer.Option(envvar="UNSEEN_TOKEN", help=f"{what}; better as a variable.")

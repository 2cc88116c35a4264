"""Options and arguments that several commands have: each stands once, with its type, its flag and its help.

What a command alone has, or says in words of its own, it declares itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

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

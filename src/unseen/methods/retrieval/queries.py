"""Queries that a language model writes for documents: prompts with examples, and what is made of what comes back."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unseen.nn.protocols import Writer

EXAMPLES = (
    (
        "The kettle's base must stay dry. If the switch does not click off after boiling, descale the kettle with "
        "vinegar and water, and check that the lid is fully closed.",
        "kettle does not switch off",
    ),
    (
        "Red squirrels build their nests, called dreys, in the forks of tall conifers, lined with moss and dry grass. "
        "They do not hibernate, but stay in the drey for days in bad weather.",
        "where do red squirrels sleep",
    ),
    (
        "Employees who travel between two sites of the company on one day may claim the distance driven, less their "
        "usual way home, within three months of the journey.",
        "claiming mileage between offices",
    ),
)
"""Document and query, of no particular domain: for prompts where a user has none of the collection's own."""

CUTS = ("Answer:", "Explanation:", "Note:", "Document:", "Relevant Query:", "This query", "The query", "(Note")
"""Where a text ends that goes on after its query; besides at the next example."""

LONG = 20
"""Words of a query that repeats its document from which on it is none."""


class Query(NamedTuple):
    """What was made of a text: a query, or why there is none."""

    text: str
    flaw: str


def write_queries(
    documents: NDArray[Any],
    writer: Writer,
    examples: Sequence[tuple[str, str]],
    *,
    words: int = 512,
    tokens: int = 64,
    ascii_only: bool = True,
) -> tuple[NDArray[Any], NDArray[Any]]:
    """A query for each document, and what is wrong with it, (n,) both; empty where nothing is.

    Of a document its first `words` are read, and a query has `tokens` at most. `ValueError` if none can be used.
    """
    short = [first_words(str(text), words) for text in documents]
    prompts = [prompt_of(text, examples) for text in short]
    written = writer.write(prompts, longest=tokens)
    judged = [
        judge(clean(text, prompt), document, examples, ascii_only=ascii_only)
        for text, prompt, document in zip(written, prompts, short)
    ]
    queries, flaws = (np.array([getattr(query, name) for query in judged], dtype=np.str_) for name in ("text", "flaw"))
    if (flaws != "").all():
        raise ValueError(
            f"writer {writer.name!r} wrote no query that can be used for {len(judged)} documents; the first was "
            f"{written[0]!r:.80} ({flaws[0]})"
        )
    return queries, flaws


def first_words(text: str, n: int) -> str:
    """The first n words of a text."""
    return " ".join(text.split()[:n])


def prompt_of(document: str, examples: Sequence[tuple[str, str]]) -> str:
    """Step 9: numbered examples of a document with its query, then the document with an empty one."""
    shots = [
        f"Example {i}:\nDocument: {text}\nRelevant Query: {query}\n\n" for i, (text, query) in enumerate(examples, 1)
    ]
    return "".join(shots) + f"Example {len(examples) + 1}:\nDocument: {document}\nRelevant Query:"


def clean(text: str, prompt: str = "", cuts: Sequence[str] = CUTS) -> str:
    """Step 10: the query in a text: without the prompt, up to what follows it, its first line, up to the first "?"."""
    if prompt and text.startswith(prompt):
        text = text[len(prompt) :]
    example = re.search(r"Example \d+:", text)
    text = text[: example.start()] if example else text
    for cut in cuts:
        text = text.partition(cut)[0]
    lines = text.strip().splitlines()
    query = lines[0].partition("?")[0].strip() if lines else ""
    return query.strip("\"'`*“”").strip()


def judge(query: str, document: str, examples: Sequence[tuple[str, str]], *, ascii_only: bool) -> Query:
    """A query that can be used, or its flaw: ``empty``, ``not ascii``, ``of an example`` or ``of the document``."""
    words = query.lower().split()
    flaw = ""
    if not any(character.isalnum() for character in query):
        flaw = "empty"
    elif ascii_only and not query.isascii():
        flaw = "not ascii"
    elif any(words == shown.lower().split() for _, shown in examples):
        flaw = "of an example"
    elif len(words) >= LONG and " ".join(words) in " ".join(document.lower().split()):
        flaw = "of the document"
    return Query("" if flaw else query, flaw)

"""Summaries of subgraphs: by a language model that is told the subgraph, or by extraction (step 2)."""

from __future__ import annotations

import functools
import json
import logging
import math
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.data.text_graphs import Neighbourhoods, TextAttributedGraph, neighbourhoods
from unseen.data.typing import IntArray
from unseen.files import read_plain, reads
from unseen.runtime import replacing

log = logging.getLogger(__name__)

Summarizer = Callable[[Sequence[str]], Sequence[str]]
"""A language model: from prompts to a summary each."""

TERMS, RELATED = 5, 2
"""Terms and neighbours that an extracted summary names."""
SHOWN = 48
"""Characters of a text that stand for a node without a name."""
LONGEST = 600
"""Characters of a node's text in a prompt."""
NODES = 40
"""Nodes of a subgraph in a prompt; the root is the first."""
_COMMON = (
    "a about after all also an and any are as at be been being between both but by can could do does each for from "
    "had has have he her his how i if in into is it its itself may more most no not of on one only or other our out "
    "over per same she should so some such than that the their them then there these they this those through to too "
    "under up use used uses using very was we were what when where which while who will with within without would "
    "you your"
)
STOP = frozenset(_COMMON.split())
"""Words that tell nothing of what a text is about."""
INSTRUCTION = (
    "Below is a part of a graph: its nodes with what they say, and its edges. Node {root} is the centre. Summarize "
    "what this part is about, then say what its context tells of the centre. Do not name a category for it."
)


def summarize(
    graph: TextAttributedGraph, places: Neighbourhoods, summarizer: Summarizer | None = None, *,
    banned: Iterable[str] = (),
) -> NDArray[Any]:  # fmt: skip
    """A text for every subgraph.

    Parameters
    ----------
    graph : TextAttributedGraph
    places : Neighbourhoods
        Subgraphs of it.
    summarizer : callable, optional
        Gets all prompts (`prompts_for`) and gives a summary for each. Without one a summary is extracted: the name in
        the centre, the terms that tell the neighbourhood from the others (TF-IDF over these subgraphs' nodes alone),
        and the two neighbours with the most edges in it.
    banned : strings
        Words that must not stand in a summary, with their inflections: those of the labels of the source.

    Raises
    ------
    ValueError
        If the summarizer gives another number of texts, or an empty one.
    """
    hide = without_words(banned)
    if summarizer is None:
        return np.array([hide(text) for text in _extracted(graph, places, banned)], dtype=np.str_)
    texts = [str(text).strip() for text in summarizer(prompts_for(graph, places))]
    if len(texts) != len(places):
        raise ValueError(f"summarizer must give {len(places)} texts, one for each prompt; it gave {len(texts)}")
    empty = [i for i, text in enumerate(texts) if not text]
    if empty:
        raise ValueError(f"summarizer must give a text for every prompt; {len(empty)} are empty, the first {empty[0]}")
    return np.array([hide(text) for text in texts], dtype=np.str_)


# -- by a language model -----------------------------------------------------------------------------------


def prompts_for(graph: TextAttributedGraph, places: Neighbourhoods, instruction: str = INSTRUCTION) -> list[str]:
    """What a language model is asked: the instruction, and the subgraph as GraphML-like text."""
    return [f"{instruction.format(root=0)}\n\n{serialized(graph, *places.of(i))}\n" for i in range(len(places))]


def serialized(graph: TextAttributedGraph, nodes: IntArray, edges: IntArray) -> str:
    """A subgraph as text: its first nodes with names and texts, and the edges among them."""
    lines = [
        f'<node id="{i}" name={_quoted(graph.names[node])}>{_escaped(graph.texts[node][:LONGEST])}</node>'
        for i, node in enumerate(nodes[:NODES].tolist())
    ]
    lines += [f'<edge source="{a}" target="{b}"/>' for a, b in edges.tolist() if a != b and max(a, b) < NODES]
    return "\n".join(["<graph>", *lines, "</graph>"])


def _escaped(text: str) -> str:
    return str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _quoted(text: str) -> str:
    return '"' + _escaped(text).replace('"', "&quot;") + '"'


# -- by extraction -----------------------------------------------------------------------------------------


def _extracted(graph: TextAttributedGraph, places: Neighbourhoods, banned: Iterable[str]) -> list[str]:
    used = np.unique(places.nodes)
    never = stems(banned)
    terms = {node: [t for t in terms_of(graph.texts[node]) if stem(t) not in never] for node in used.tolist()}
    counts = Counter(term for words in terms.values() for term in set(words))
    weight = {term: math.log((1 + len(used)) / (1 + n)) + 1 for term, n in counts.items()}
    out = []
    for i in range(len(places)):
        nodes, edges = places.of(i)
        often = Counter(term for node in nodes.tolist() for term in terms[node])
        best = sorted(often, key=lambda term: (-often[term] * weight[term], term))[:TERMS]
        sentences = [f"This group is centred on {title(graph, int(nodes[0]))}."]
        if best:
            sentences.append(f"It deals with {', '.join(best)}.")
        degrees = np.bincount(edges.ravel(), minlength=len(nodes))
        near = sorted(range(1, len(nodes)), key=lambda j: (-degrees[j], nodes[j]))[:RELATED]
        if near:
            sentences.append(f"Related items: {'; '.join(title(graph, int(nodes[j])) for j in near)}.")
        out.append(" ".join(sentences))
    return out


def title(graph: TextAttributedGraph, node: int) -> str:
    """What a node is called in a summary: its name and the beginning of its text; a number is no name."""
    name, text = str(graph.names[node]), " ".join(str(graph.texts[node]).split())
    if name == str(node):
        return text[:SHOWN].strip() or f"node {node}"
    text = text.removeprefix(name).lstrip(" :.,-")
    return f"{name}, {text[: 2 * SHOWN].strip()}" if text else name


def terms_of(text: str) -> list[str]:
    """The words of a text that may tell something, in lower case."""
    return [word for word in re.findall(r"[a-z][a-z0-9+]{2,}", str(text).lower()) if word not in STOP]


@functools.lru_cache(maxsize=1 << 17)
def stem(word: str) -> str:
    """A word without the commonest endings of English, for finding its inflections."""
    word = word.lower()
    for end in (
        "ically",
        "ments",
        "ment",
        "ional",
        "ings",
        "ing",
        "ics",
        "ical",
        "ers",
        "ies",
        "ed",
        "es",
        "er",
        "s",
        "y",
    ):
        if word.endswith(end) and len(word) - len(end) >= 3:
            word = word[: -len(end)]
            break
    return word[:-1] if word.endswith("e") and len(word) > 3 else word


def stems(words: Iterable[str]) -> frozenset[str]:
    """Stems of all words in some labels."""
    return frozenset(stem(word) for label in words for word in re.findall(r"[a-z0-9+]+", str(label).lower()))


def without_words(banned: Iterable[str]) -> Callable[[str], str]:
    """A function that takes banned words and their inflections out of a text (a label must not be told)."""
    never = stems(banned)
    if not never:
        return lambda text: text

    def hide(text: str) -> str:
        kept = re.sub(r"[A-Za-z0-9+]+", lambda match: "" if stem(match[0]) in never else match[0], text)
        return re.sub(r"\s+([.,;:])", r"\1", re.sub(r"\s{2,}", " ", kept)).strip()

    return hide


# -- kept --------------------------------------------------------------------------------------------------


def write_summaries(
    path: str | os.PathLike[str], graph: TextAttributedGraph, places: Neighbourhoods, summaries: Sequence[str]
) -> None:
    """Write `{id, graph, summary}` in each line: the root, its subgraph by numbers of nodes, and its text."""
    if len(summaries) != len(places):
        raise ValueError(f"summaries must be {len(places)} texts, one for each subgraph; got {len(summaries)}")
    lines = []
    for i, summary in enumerate(summaries):
        nodes, edges = places.of(i)
        subgraph = {"nodes": nodes.tolist(), "edges": edges.tolist()}
        lines.append(json.dumps({"id": str(graph.names[nodes[0]]), "graph": subgraph, "summary": str(summary)}))
    with replacing(path) as part:
        part.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


@reads("a file of summaries", "write {id, graph, summary} in each line")
def read_summaries(path: str | os.PathLike[str], graph: TextAttributedGraph) -> tuple[Neighbourhoods, NDArray[Any]]:
    """Subgraphs and summaries that `write_summaries`, or another program, wrote for this graph.

    Raises
    ------
    ValueError
        With the line, if one is no such object, is of another graph, or has an empty summary.
    """
    parts, texts = [], []
    for row, line in enumerate(read_plain(path).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            nodes, edges = (np.asarray(record["graph"][key], dtype=np.int64) for key in ("nodes", "edges"))
            edges = edges.reshape(-1, 2)
            text, root = str(record["summary"]).strip(), str(record["id"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"line {row} is no object with id, graph and summary: {error}") from error
        if not len(nodes) or nodes.min() < 0 or nodes.max() >= len(graph) or len(np.unique(nodes)) < len(nodes):
            raise ValueError(f"line {row}: nodes must be different ones in [0, {len(graph)})")
        if str(graph.names[nodes[0]]) != root:
            raise ValueError(f"line {row}: its root {root!r} is not the first of its nodes: it is of another graph")
        if len(edges) and (edges.min() < 0 or edges.max() >= len(nodes)):
            raise ValueError(f"line {row}: edges must name positions in [0, {len(nodes)})")
        if not text:
            raise ValueError(f"line {row}: its summary is empty")
        parts.append((nodes, edges))
        texts.append(text)
    if not parts:
        raise ValueError("there is no summary in it")
    return neighbourhoods(parts), np.array(texts, dtype=np.str_)

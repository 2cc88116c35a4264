"""Phrases mapped to a taxonomy, as one job: learn from its names and the user's pairs, rank, tell the path."""

from __future__ import annotations

import copy
import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unseen.data.domain import Domain
from unseen.data.loaders.common import TEXT_COLUMNS, find_column, locate
from unseen.data.loaders.table import as_texts, read_frame
from unseen.data.reading import read_bytes
from unseen.data.taxonomies import Taxonomy
from unseen.data.words import WordVectors, fasttext, read_vectors, sentences, wordllama, words_of
from unseen.files import loads, reads
from unseen.methods.base import UNKNOWN
from unseen.methods.zero_shot.text2node import Text2Node
from unseen.nn.state import load_state, save_state
from unseen.runtime import track

if TYPE_CHECKING:
    import pandas as pd

PHRASE_COLUMNS = ("phrase", "phrases", "term", "description", *TEXT_COLUMNS, "name")
NODE_COLUMNS = ("node", "code", "concept", "class", "label", "id")
TEXT_ENCODERS = ("minilm", "sentence-transformers")
"""What the names of encoders of whole phrases begin with."""
AT_ONCE = 2048
"""Phrases between two steps of the progress bar."""


@dataclasses.dataclass(frozen=True)
class Mapper:
    """A fitted `Text2Node` with the taxonomy that it maps to.

    Attributes
    ----------
    method : Text2Node
    taxonomy : Taxonomy
    encoder : str
        Name of the sentence encoder whose vector a phrase has, as one word; empty if words have vectors.
    """

    method: Text2Node
    taxonomy: Taxonomy
    encoder: str = ""

    def map(self, phrases: Sequence[str], *, k: int = 5, below: str | None = None) -> pd.DataFrame:
        """The k nearest nodes of each phrase.

        Parameters
        ----------
        phrases : n strings
        k : int, >= 1
            Of fewer nodes all are ranked.
        below : str, optional
            Identifier of a node: only it and the nodes below it compete.

        Returns
        -------
        DataFrame
            Columns phrase, rank (from 1), node, name, score (cosine) and path (from the node to the root, by names); a
            phrase without a known word has one row, without a node; None and NaN are empty phrases.

        Raises
        ------
        TypeError
            If `phrases` is one string.
        ValueError
            If there is no phrase, or no node is called as `below`.
        """
        import pandas as pd

        classes = self.taxonomy.classes
        within = None if below is None else self.taxonomy.subtree(classes.index(below))
        rows: list[tuple[Any, ...]] = []
        for part in self._parts(phrases):
            found = self._reading(part).rank(part, k, within)
            for phrase, nodes, scores in zip(part.tolist(), found.nodes.tolist(), found.scores.tolist()):
                if nodes[0] == UNKNOWN:
                    rows.append((phrase, 1, "", "", float("nan"), ""))
                    continue
                for rank, (node, score) in enumerate(zip(nodes, scores), 1):
                    path = " > ".join(classes.texts[i] for i in self.taxonomy.path(node))
                    rows.append((phrase, rank, classes.names[node], classes.texts[node], round(score, 4), path))
        return pd.DataFrame(rows, columns=["phrase", "rank", "node", "name", "score", "path"])

    def vectors(self, phrases: Sequence[str]) -> NDArray[np.float32]:
        """f(phrase), (n, dim), of unit length: features for a model of your own; zeros where no word is known."""
        return np.concatenate([self._reading(part).transform(part).numpy() for part in self._parts(phrases)])

    def _reading(self, part: NDArray[Any]) -> Text2Node:
        """The method with vectors for these phrases."""
        if not self.encoder:
            return self.method
        method = copy.copy(self.method)
        method.words_ = sentence_vectors(part.tolist(), self.encoder)
        return method

    def _parts(self, phrases: Sequence[str]) -> Any:
        import pandas as pd

        if isinstance(phrases, str):
            raise TypeError(f"phrases must be a list of strings; got one string: {phrases!r:.60}")
        if not len(phrases):
            raise ValueError("phrases must hold at least one; it is empty")
        texts = as_texts(pd.Series(phrases, dtype=object))
        starts = range(0, len(texts), AT_ONCE)
        return (texts[start : start + AT_ONCE] for start in track(starts, "phrases"))

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write method and taxonomy to a folder, JSON and safetensors, all or nothing."""
        taxonomy = self.taxonomy
        value = {
            "classes": taxonomy.classes,
            "starts": taxonomy.starts,
            "above": taxonomy.above,
            "name": taxonomy.phrases.name,
            "credits": taxonomy.phrases.credits,
            "method": self.method,
            "encoder": self.encoder,
        }
        return save_state(folder, value)

    @classmethod
    @loads("a saved mapper")
    def load(cls, folder: str | os.PathLike[str]) -> Mapper:
        """Read what `save` wrote; the phrases that it learned from are not in it."""
        value = load_state(folder)
        if not isinstance(value, dict) or "above" not in value:
            raise ValueError(f"{os.fspath(folder)} holds no mapper of phrases to a taxonomy")
        none = Domain(
            x=np.array([], dtype=np.str_), y=np.array([], dtype=np.int64), kind="text", classes=value["classes"],
            name=value["name"], credits=value["credits"],
        )  # fmt: skip
        taxonomy = Taxonomy(value["classes"], value["starts"], value["above"], none)
        return cls(value["method"], taxonomy, value.get("encoder", ""))


def learn(taxonomy: Taxonomy, pairs: Domain | None = None, *, words: str = "wordllama", **settings: Any) -> Mapper:
    """Learn to map phrases to a taxonomy.

    Parameters
    ----------
    taxonomy : Taxonomy
        Its names and synonyms are learned from.
    pairs : Domain, optional
        Further phrases, labelled with its nodes (`read_pairs`).
    words : str
        ``wordllama``; ``fasttext``, trained on the phrases; a file of vectors in the format of GloVe or FastText; or a
        text encoder, such as ``minilm``, whose vector of a whole phrase stands for its words.
    settings
        Hyperparameters of `Text2Node`; with a text encoder those of its preset ``cnn`` unless told otherwise.
    """
    phrases = taxonomy.phrases
    if pairs is not None:
        phrases = Domain(
            x=np.concatenate([phrases.x, pairs.x]), y=np.concatenate([phrases.labels, pairs.labels]), kind="text",
            classes=taxonomy.classes, name=phrases.name,
        )  # fmt: skip
    texts = phrases.x.tolist()
    if _is_encoder(words):
        method = Text2Node(**{**Text2Node.card.presets["cnn"], **settings})
        method.fit(source=phrases, classes=taxonomy.classes, encoder=sentence_vectors(texts, words))
        method.words_ = sentence_vectors(texts[:1], words)  # the others need not be kept: phrases are encoded anew
        return Mapper(method, taxonomy, words)
    return Mapper(
        Text2Node(**settings).fit(source=phrases, classes=taxonomy.classes, encoder=_words(words, texts)), taxonomy
    )


def _is_encoder(name: str) -> bool:
    return (
        name not in ("wordllama", "fasttext") and not Path(name).is_file() and name.partition(":")[0] in TEXT_ENCODERS
    )


def _words(name: str, texts: Sequence[str]) -> WordVectors:
    if name == "wordllama":
        return wordllama()
    if name == "fasttext":
        return fasttext(texts)
    if not Path(name).is_file():
        raise ValueError(
            f"words must be wordllama, fasttext, a text encoder such as minilm, or a file of word vectors; got {name!r}"
        )
    return read_vectors(name, keep={word for text in texts for word in words_of(text)})


def sentence_vectors(texts: Sequence[str], encoder: str) -> WordVectors:
    """The vectors that an encoder gives whole texts; an empty text has none."""
    from unseen import encoders

    some = [text for text in texts if text.strip()] or ["?"]
    vectors = encoders.get(encoder).encode(Domain(x=np.array(some, dtype=np.str_), kind="text", name="phrases")).x
    return sentences(some, vectors, encoder)


@reads("a list of phrases", "write a phrase in each line, or a CSV with the column phrase")
def read_phrases(path: str | os.PathLike[str], column: str | None = None) -> list[str]:
    """The phrases of a table (CSV, TSV, Parquet, JSON lines) or of a text file with one in each line.

    Raises
    ------
    ValueError
        If no column holds them, there is none, or a text file is not in UTF-8.
    """
    fs, file = locate(path)
    if file.lower().endswith(".txt"):
        try:
            lines = read_bytes(fs, file).decode("utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise ValueError(f"{file} must be in UTF-8: {error}") from error
        phrases = [line.strip() for line in lines if line.strip()]
    else:
        frame = read_frame(fs, file, [column or "", *PHRASE_COLUMNS])
        phrases = as_texts(frame[_column(frame, column, "column", PHRASE_COLUMNS, file)]).tolist()
    if not phrases:
        raise ValueError(f"{file}: there is no phrase")
    return phrases


@reads("a table of phrases and nodes", "write a CSV with the columns phrase and node")
def read_pairs(path: str | os.PathLike[str], taxonomy: Taxonomy) -> Domain:
    """Phrases with the identifiers of their nodes, from the columns ``phrase`` and ``node`` of a table.

    Raises
    ------
    ValueError
        If a column is missing, or a node is not in the taxonomy: its row is told.
    """
    fs, file = locate(path)
    frame = read_frame(fs, file, [*PHRASE_COLUMNS, *NODE_COLUMNS])
    phrases = as_texts(frame[_column(frame, None, "phrase", PHRASE_COLUMNS, file)])
    nodes = as_texts(frame[_column(frame, None, "node", NODE_COLUMNS, file)])
    y = np.empty(len(nodes), dtype=np.int64)
    for row, node in enumerate(nodes.tolist()):
        try:
            y[row] = taxonomy.classes.index(node.strip())
        except ValueError as error:
            raise ValueError(f"{file}, row {row + 1}: {error}") from error
    return Domain(x=phrases, y=y, kind="text", classes=taxonomy.classes, name="pairs")


def _column(frame: pd.DataFrame, wanted: str | None, argument: str, usual: Sequence[str], file: str) -> str:
    headers = list(frame.columns)
    found = find_column(headers, wanted, argument, usual) or (headers[0] if len(headers) == 1 else None)
    if found is None:
        raise ValueError(f"{file}: there is no column {usual[0]!r}. The columns are: {', '.join(headers)}")
    return found

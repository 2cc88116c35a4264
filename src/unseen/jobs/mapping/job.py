"""Phrases mapped to a taxonomy, as one job: learn its names and the user's pairs, check, rank, tell the path."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unseen import methods
from unseen.data.domain import Domain
from unseen.data.loaders.common import TEXT_COLUMNS, find_column, locate
from unseen.data.loaders.table import as_texts, read_frame
from unseen.data.reading import read_bytes
from unseen.data.taxonomies import Taxonomy
from unseen.data.typing import IntArray
from unseen.data.words import WordVectors, fasttext, read_vectors, sentences, wordllama, words_of
from unseen.evaluation.drive import HeldOut, Together
from unseen.evaluation.metrics.taxonomy import hit_at, hops, mean_reciprocal_rank
from unseen.files import loads, reads
from unseen.methods.base import UNKNOWN
from unseen.methods.listing import of_kind
from unseen.methods.phrases import PhraseMapper, Ranked
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
WHOLE, WORDS = "minilm", "wordllama"
"""Whose vectors phrases have, by what suits a method, if nobody says."""
DEFAULT = "nearest-name"
"""The method, if none is named: it learns nothing and takes seconds."""
ASKED, FEWEST_ASKED, FIRST = 500, 5, 10
"""Phrases that a check asks about, at most and at least, and how many answers it looks at."""
BANDS, FEWEST_IN_BAND = 4, 20
"""How many bands of scores a check tells apart, at most, and how many phrases are in each, at least."""


@dataclasses.dataclass(frozen=True)
class Mapper:
    """A fitted method with the taxonomy that it maps to.

    Attributes
    ----------
    method : PhraseMapper
    taxonomy : Taxonomy
    encoder : str
        Name of the sentence encoder whose vector a phrase has, as one word; empty if words have vectors.
    source : str
        How the taxonomy was named, as `unseen.data.taxonomies.load` takes it; empty where it was not.
    """

    method: PhraseMapper
    taxonomy: Taxonomy
    encoder: str = ""
    source: str = ""

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
            Columns phrase, rank (from 1), node, name, score (a cosine) and path (from the node to the root, by names);
            a phrase of which nothing is known has one row, without a node; None and NaN are empty phrases.

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
            ranking = self._reading(part).rank(part, k, within)
            for phrase, nodes, scores in zip(part.tolist(), ranking.nodes.tolist(), ranking.scores.tolist()):
                if nodes[0] == UNKNOWN:
                    rows.append((phrase, 1, "", "", float("nan"), ""))
                    continue
                for rank, (node, score) in enumerate(zip(nodes, scores), 1):
                    if node == UNKNOWN:
                        break
                    path = " > ".join(classes.texts[i] for i in self.taxonomy.path(node))
                    rows.append((phrase, rank, classes.names[node], classes.texts[node], round(score, 4), path))
        return pd.DataFrame(rows, columns=["phrase", "rank", "node", "name", "score", "path"])

    def nodes(self, phrases: Sequence[str], k: int = 1) -> NDArray[np.int64]:
        """Indices of the k nearest nodes, (n, k); -1 where nothing is known of a phrase."""
        return self.ranked(phrases, k).nodes

    def ranked(self, phrases: Sequence[str], k: int = 1) -> Ranked:
        """The k nearest nodes with their scores."""
        parts = [self._reading(part).rank(part, k) for part in self._parts(phrases)]
        return Ranked(*(np.concatenate(column) for column in zip(*parts)))

    def vectors(self, phrases: Sequence[str]) -> NDArray[np.float32]:
        """f(phrase), (n, dim), of unit length: features for a model of your own; zeros where no word is known."""
        return np.concatenate([self._reading(part).transform(part).numpy() for part in self._parts(phrases)])

    def _reading(self, part: NDArray[Any]) -> PhraseMapper:
        """The method with vectors for these phrases."""
        return self.method.reading(sentence_vectors(part.tolist(), self.encoder)) if self.encoder else self.method

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
            "source": self.source,
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
        return cls(value["method"], taxonomy, value.get("encoder", ""), value.get("source", ""))


def learn(
    taxonomy: Taxonomy, pairs: Domain | None = None, *, method: str = DEFAULT, words: str | None = None, **settings: Any
) -> Mapper:
    """Learn to map phrases to a taxonomy.

    Parameters
    ----------
    taxonomy : Taxonomy
        Its names and synonyms are learned from.
    pairs : Domain, optional
        Further phrases, labelled with its nodes (`read_pairs`).
    method : str
        Slug of a method that maps phrases, one of `mappers`.
    words : str, optional
        ``wordllama``; ``fasttext``, trained on the phrases; a file of vectors in the format of GloVe or FastText; or a
        text encoder, such as ``minilm``, whose vector of a whole phrase stands for its words. What suits the method if
        absent.
    settings
        Hyperparameters of the method; of `Text2Node` with a text encoder those of its preset ``cnn`` unless told
        otherwise.

    Raises
    ------
    ValueError
        If the method maps no phrases, or has no such hyperparameter.
    """
    cls = mapper_of(method)
    words = words or (WHOLE if cls.reads_whole else WORDS)
    phrases = taxonomy.phrases if pairs is None else _joined(taxonomy, pairs)
    texts = phrases.x.tolist()
    if _is_encoder(words):
        learnt = cls(**{**cls.card.presets.get("cnn", {}), **settings})
        learnt.fit(source=phrases, classes=taxonomy.classes, encoder=sentence_vectors(texts, words))
        # the vectors of the phrases need not be kept: others are encoded anew
        return Mapper(learnt.reading(sentence_vectors(texts[:1], words)), taxonomy, words)
    learnt = cls(**settings)
    learnt.fit(source=phrases, classes=taxonomy.classes, encoder=_words(words, texts))
    return Mapper(learnt, taxonomy)


def mapper_of(slug: str) -> type[PhraseMapper]:
    """The method of this name.

    Raises
    ------
    ValueError
        If there is none that maps phrases.
    """
    if slug not in methods.slugs() or not issubclass(cls := methods.get(slug), PhraseMapper):
        raise ValueError(f"methods must be some of {', '.join(mappers())}; got {slug!r}")
    return cls


def mappers() -> tuple[str, ...]:
    """All methods that map phrases, by slug, those of other packages, too."""
    return of_kind(PhraseMapper, "classes")


def _joined(taxonomy: Taxonomy, pairs: Domain) -> Domain:
    """Names and pairs as phrases with their nodes."""
    phrases = taxonomy.phrases
    return Domain(
        x=np.concatenate([phrases.x, pairs.x]), y=np.concatenate([phrases.labels, pairs.labels]), kind="text",
        classes=taxonomy.classes, name=phrases.name, credits=phrases.credits,
    )  # fmt: skip


# -- the exam on what is known -----------------------------------------------------------------------------


class Band(NamedTuple):
    """Phrases of a check whose first answer has a score from `low` to `high`: how many, and how many are right."""

    low: float
    high: float
    n: int
    right: int


@dataclasses.dataclass(frozen=True)
class Check:
    """How often phrases found their nodes that were taken away first.

    Attributes
    ----------
    asked : str
        What they were, in words.
    n : int
    figures : dict of slug to dict
        Of each method ``first`` and ``among ten``, the shares whose node was the first answer and one of the first ten;
        ``mrr``, the mean of 1 / rank; and ``hops``, the mean distance of the first answer.
    bands : dict of slug to tuple of Band
        Of each method, from the lowest score to the highest; empty where there are few phrases.
    """

    asked: str
    n: int
    figures: Mapping[str, Mapping[str, float]]
    bands: Mapping[str, tuple[Band, ...]] = dataclasses.field(default_factory=dict)

    @property
    def best(self) -> str:
        """The method with the largest ``mrr``, the first of several."""
        return max(self.figures, key=lambda slug: self.figures[slug]["mrr"])


def check(
    taxonomy: Taxonomy, pairs: Domain | None = None, *, of: Sequence[str] = (DEFAULT,), words: str | None = None,
    say: Callable[[str], None] = lambda line: None, random_state: int = 0, **settings: Any,
) -> Check | None:  # fmt: skip
    """Take away some phrases whose nodes are known, learn from the others, and ask each method for the nodes.

    A fifth of the pairs where there are 25; else synonyms, of nodes that keep another name; at most `ASKED`. What
    stands twice, or is a pair and a name, is not asked for: one of them would give the answer away.

    Parameters
    ----------
    taxonomy, pairs, words, settings
        As for `learn`.
    of : strings
        Slugs of methods; a single one takes the `settings`.
    say : callable
        Is told which method is tried.
    random_state : int

    Returns
    -------
    Check or None
        None where fewer than five phrases could be asked about.
    """
    order = np.random.default_rng(random_state).permutation
    names, pair_texts = taxonomy.phrases, [] if pairs is None else pairs.x.tolist()
    spare = np.array([], dtype=np.int64) if pairs is None else _alone(pair_texts, names.x.tolist())
    kept = pairs
    if pairs is not None and len(spare) >= 5 * FEWEST_ASKED:
        gone = np.sort(order(spare)[: min(ASKED, len(spare) // 5)])
        queries, kind = pairs.take(gone), "a fifth of the pairs"
        kept = pairs.take(np.setdiff1d(np.arange(len(pairs)), gone))
    else:
        gone = np.sort(order(np.setdiff1d(_alone(names.x.tolist(), pair_texts), _first_names(names)))[:ASKED])
        queries, kind = names.take(gone), "synonyms"
        taxonomy = dataclasses.replace(taxonomy, phrases=names.take(np.setdiff1d(np.arange(len(names)), gone)))
    if len(queries) < FEWEST_ASKED:
        return None
    metric = taxonomy.classes.metric
    assert metric is not None

    def ranked(slug: str, phrases: Any) -> Ranked:
        say(f"check: {slug} is asked for the nodes of {len(phrases)} phrases that it does not know")
        params = settings if len(of) == 1 else {}
        mapper = learn(taxonomy, kept, method=slug, words=words, random_state=random_state, **params)
        nodes, nearest = np.full((len(phrases), FIRST), UNKNOWN), mapper.ranked(phrases, FIRST)
        nodes[:, : nearest.nodes.shape[1]] = nearest.nodes
        return Ranked(nodes, nearest.scores)

    def grade(truth: IntArray, ranked: Ranked) -> tuple[dict[str, float], tuple[Band, ...]]:
        nodes, answered = ranked.nodes, ranked.nodes[:, 0] != UNKNOWN
        right = nodes[:, 0] == truth
        return {
            "first": hit_at(truth, nodes, 1), "among ten": hit_at(truth, nodes, FIRST),
            "mrr": mean_reciprocal_rank(truth, nodes), "hops": float(hops(truth, nodes[:, 0], metric).mean()),
        }, _bands(ranked.scores[answered, 0], right[answered])  # fmt: skip

    held_out = HeldOut(queries.x, queries.labels)
    graded = Together(grade)(held_out, {slug: partial(ranked, slug) for slug in of})
    figures, bands = ({slug: both[i] for slug, both in graded.items()} for i in (0, 1))
    return Check(kind, len(queries), figures, bands)  # type: ignore[arg-type]


def _bands(scores: NDArray[Any], right: NDArray[np.bool_]) -> tuple[Band, ...]:
    """As many phrases with low scores as with high ones; a score is in one band alone."""
    parts = min(BANDS, len(scores) // FEWEST_IN_BAND)
    if parts < 2:
        return ()
    lows = np.unique(np.sort(scores)[np.arange(parts) * len(scores) // parts])
    places = np.searchsorted(lows, scores, side="right") - 1
    return tuple(
        Band(float(scores[of_it].min()), float(scores[of_it].max()), int(of_it.sum()), int(right[of_it].sum()))
        for of_it in (places == i for i in range(len(lows)))
    )


def _first_names(phrases: Domain) -> IntArray:
    """The first phrase of each node."""
    return np.unique(phrases.labels, return_index=True)[1]


def _alone(texts: Sequence[str], others: Sequence[str]) -> IntArray:
    """Which texts have words that no second text, and none of the others, has in this order."""
    keys = [words_key(text) for text in texts]
    counts = Counter(keys) + Counter(map(words_key, others))
    return np.flatnonzero([counts[key] == 1 for key in keys])


def words_key(text: str) -> str:
    """The words of a phrase, in their order: what makes two phrases one."""
    return " ".join(words_of(text)) or text


# -- whose vectors -----------------------------------------------------------------------------------------


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
    name = find_column(headers, wanted, argument, usual) or (headers[0] if len(headers) == 1 else None)
    if name is None:
        raise ValueError(f"{file}: there is no column {usual[0]!r}. The columns are: {', '.join(headers)}")
    return name

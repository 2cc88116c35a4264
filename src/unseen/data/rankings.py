"""Rankings of documents, and the files of retrieval: corpora, queries, judgements and runs."""

from __future__ import annotations

import csv
import io
import json
import logging
import os
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unseen.data.domain import Domain, Skipped
from unseen.data.loaders.common import ID_COLUMNS, TEXT_COLUMNS, find_column, locate
from unseen.data.loaders.table import as_texts, read_frame
from unseen.data.reading import natural_key, read_bytes
from unseen.data.tasks.base import objects, text_array
from unseen.files import is_hidden, reads, walk
from unseen.runtime import replacing
from unseen.spreadsheets import harmless

log = logging.getLogger(__name__)

DOCUMENT_ID_COLUMNS = ("_id", "doc_id", "docid", "document_id", "corpus-id", "pid", *ID_COLUMNS)
QUERY_ID_COLUMNS = ("_id", "query_id", "query-id", "qid", *ID_COLUMNS)
DOCUMENT_COLUMNS = ("text", "document", "body", "abstract", "contents", "passage", *TEXT_COLUMNS)
QUERY_COLUMNS = ("query", "question", "text", "title", *TEXT_COLUMNS)
GRADE_COLUMNS = ("score", "relevance", "grade", "rel", "label")
TEXT_SUFFIXES = (".txt", ".md", ".rst", ".text")
LONGEST_FILE = 1 << 20
"""Bytes of a text file of a folder that are read: a ranker reads the beginning of a document."""
NOTHING = -1
"""In the place of a document where fewer were found."""


class Ranking(NamedTuple):
    """The first documents for each query, the best first.

    Attributes
    ----------
    documents : int array (n, k)
        Places in the corpus; `NOTHING` behind the last one that was found.
    scores : float array (n, k)
        Larger is better, comparable within a query; 0 where there is no document.
    """

    documents: NDArray[np.int64]
    scores: NDArray[np.float32]

    def first(self, k: int) -> Ranking:
        """The first k documents of each query, at most."""
        return Ranking(self.documents[:, :k], self.scores[:, :k])


def ranking_of(documents: Sequence[Sequence[int]], scores: Sequence[Sequence[float]], k: int) -> Ranking:
    """A `Ranking` (n, k) of lists of unlike lengths, of which the first k are taken."""
    places = np.full((len(documents), k), NOTHING, dtype=np.int64)
    values = np.zeros((len(documents), k), dtype=np.float32)
    for row, (row_documents, row_scores) in enumerate(zip(documents, scores)):
        n = min(k, len(row_documents))
        places[row, :n], values[row, :n] = row_documents[:n], row_scores[:n]
    return Ranking(places, values)


def best_first(
    documents: NDArray[np.int64], scores: NDArray[Any], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The k documents of the largest scores; of equal scores the one that stood before."""
    order = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")[:k]
    return documents[order], np.asarray(scores)[order].astype(np.float32)


def reciprocal_rank_fusion(rankings: Sequence[Ranking], k: int, constant: float = 60.0) -> Ranking:
    """One ranking of several of the same queries: a document's score is the sum of 1 / (constant + rank).

    References
    ----------
    Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion outperforms Condorcet and individual rank learning methods",
    SIGIR 2009.
    """
    documents, scores = [], []
    for rows in zip(*(ranking.documents for ranking in rankings)):
        total: dict[int, float] = {}
        for row in rows:
            for rank, document in enumerate(row[row != NOTHING].tolist(), 1):
                total[document] = total.get(document, 0.0) + 1 / (constant + rank)
        ranked, values = best_first(np.array([*total], dtype=np.int64), np.array([*total.values()]), k)
        documents.append(ranked.tolist())
        scores.append(values.tolist())
    return ranking_of(documents, scores, k)


# -- reading -----------------------------------------------------------------------------------------------


@reads("a corpus", "give a folder of texts, a .txt with one a line, a table with a column text, or a folder of BEIR")
def read_corpus(path: str | os.PathLike[str], *, column: str | None = None) -> Domain:
    """Documents as texts: a folder of text files, a file of lines, a table (CSV, TSV, Parquet, JSON lines), or BEIR's.

    A ``.txt`` has a document in each line. What has no letter, digit or sign cannot be searched for: it is left out and
    listed in `Domain.skipped`. A column ``title`` is put before the text. Ids are those of the table (what has
    none is called by its row), the names of the files, the numbers of the lines of a ``.txt``, or the numbers of the
    documents.

    Raises
    ------
    ValueError
        If there is no document, an id stands twice, no column holds the texts, or a column is named of a ``.txt``.
    """
    folder = Path(os.fspath(path))
    if folder.is_dir():
        beir = folder / "corpus.jsonl"
        if not beir.exists():
            return _folder(folder)
        path = beir
    fs, file = locate(path)
    if file.lower().endswith(".txt"):
        return _lines(fs, file, column, "documents")
    known = [column or "", "title", *DOCUMENT_ID_COLUMNS, *DOCUMENT_COLUMNS]
    frame = read_frame(fs, file, known)
    texts = as_texts(frame[_column(frame, column, DOCUMENT_COLUMNS, file)])
    if column is None and "title" in frame.columns:
        titles = as_texts(frame["title"])
        texts = text_array(". ".join(filter(None, (a.strip(), b.strip()))) for a, b in zip(titles, texts))
    return _domain(texts, frame, DOCUMENT_ID_COLUMNS, file, "documents")


@reads("a list of queries", "write a query in each line, or a table with the columns id and query")
def read_queries(path: str | os.PathLike[str], *, column: str | None = None) -> Domain:
    """Queries as texts: a text file with one in each line, called by the number of the line, a table, or a folder of
    BEIR. A query without a letter, digit or sign asks nothing: it is left out, and listed in `Domain.skipped`.

    Raises
    ------
    ValueError
        If there is no query, an id stands twice, no column holds the queries, or a column is named of a ``.txt``.
    """
    folder = Path(os.fspath(path))
    if folder.is_dir():
        path = folder / "queries.jsonl"
        if not Path(path).exists():
            raise FileNotFoundError(f"{folder} has no queries.jsonl")
    fs, file = locate(path)
    if file.lower().endswith(".txt"):
        return _lines(fs, file, column, "queries")
    frame = read_frame(fs, file, [column or "", *QUERY_ID_COLUMNS, *QUERY_COLUMNS])
    return _domain(
        as_texts(frame[_column(frame, column, QUERY_COLUMNS, file)]), frame, QUERY_ID_COLUMNS, file, "queries"
    )


@reads("a table of judgements", "write the columns query-id, corpus-id and score, or TREC's four columns")
def read_judgements(path: str | os.PathLike[str], queries: Domain, corpus: Domain) -> Domain:
    """The queries with what is relevant to each: labels of the task ``ranking``.

    Parameters
    ----------
    path : path
        A table with a header and the columns ``query-id``, ``corpus-id`` and ``score`` (BEIR), or lines
        ``query 0 document grade`` (TREC).
    queries, corpus : Domain
        Whose ids the judgements name; files of a folder without their endings, too, where no two are alike without.
        Those of queries that are not asked are counted in a warning and passed over, as are those of documents that
        were left out.

    Raises
    ------
    ValueError
        If a judged document is not in the corpus, a grade is no integer, or no query has a relevant document.
    """
    fs, file = locate(path)
    place = {str(name): i for i, name in enumerate(np.asarray(corpus.ids).tolist())}
    query_rows = {str(name): i for i, name in enumerate(np.asarray(queries.ids).tolist())}
    rows: list[dict[int, int]] = [{} for _ in query_rows]
    gone = {skipped.where.removeprefix("line ") for skipped in corpus.skipped}
    files = _by_stems([*place, *gone])
    judged = [
        (query, name if name in place or name in gone else files.get(name, name), grade)
        for query, name, grade in _judged(read_bytes(fs, file).decode("utf-8-sig"), file)
    ]
    _tell_passed_over(file, "queries that are not asked", [query for query, _, _ in judged if query not in query_rows])
    _tell_passed_over(file, "documents that were left out", [name for _, name, _ in judged if name in gone])
    for number, (query, document, grade) in enumerate(judged, 1):
        if query not in query_rows or document in gone:
            continue
        if document not in place:
            such = next(iter(place))
            raise ValueError(
                f"{file}, judgement {number}: there is no document {document!r} in the corpus, whose ids are such as "
                f"{such!r}"
            )
        try:
            if not float(grade).is_integer():
                raise ValueError
            rows[query_rows[query]][place[document]] = max(int(float(grade)), 0)
        except ValueError as error:
            raise ValueError(f"{file}, judgement {number}: the grade must be an integer; got {grade!r}") from error
    labels = objects(np.array([*row.items()], dtype=np.int64).reshape(-1, 2) if row else None for row in rows)
    labelled = queries.replace(y=labels, task="ranking", classes=None)
    if not labelled.labeled.any():
        raise ValueError(f"{file}: no query has a relevant document; its ids must be those of the queries")
    return labelled


def _by_stems(names: Sequence[str]) -> dict[str, str]:
    """Names of text files by what they are without their endings; nothing unless all are such and unlike without."""
    stems = {name.removesuffix(Path(name).suffix): name for name in names}
    are_files = all(name.lower().endswith(TEXT_SUFFIXES) for name in names)
    return stems if are_files and len(stems) == len(names) else {}


def _tell_passed_over(file: str, what: str, names: Sequence[str]) -> None:
    """Warn how many judgements are of something that is not there."""
    if names:
        are = "judgement is" if len(names) == 1 else "judgements are"
        log.warning("%s: %s %s of %s, such as %r", file, f"{len(names):,}", are, what, names[0])


def _judged(text: str, file: str) -> list[tuple[str, str, str]]:
    """Query, document and grade of each line."""
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        return []
    mark = "\t" if "\t" in lines[0] else "," if "," in lines[0] else None
    cells = [row.split() if mark is None else next(csv.reader([row], delimiter=mark)) for row in lines]
    header = [name.strip().casefold() for name in cells[0]]
    columns = [
        next((header.index(name) for name in usual if name in header), -1)
        for usual in (
            ("query-id", "query_id", "qid", "query"),
            ("corpus-id", "doc_id", "docid", "document_id", "document"),
            GRADE_COLUMNS,
        )
    ]
    if min(columns) >= 0:
        cells, (a, b, c) = cells[1:], columns
    else:
        a, b, c = (0, 2, 3) if len(cells[0]) == 4 else (0, 1, 2)  # TREC's second column says nothing
    short = next((i for i, row in enumerate(cells, 1) if len(row) <= max(a, b, c)), None)
    if short is not None:
        raise ValueError(f"{file}, line {short}: a query, a document and a grade must stand in it")
    return [(row[a].strip(), row[b].strip(), row[c].strip()) for row in cells]


def _folder(folder: Path) -> Domain:
    """Every text file below a folder is a document, called by its path."""
    names = walk(folder, ignore=is_hidden).files
    files = sorted(
        (file for name in names if (file := folder / name).suffix.lower() in TEXT_SUFFIXES),
        key=lambda file: natural_key(str(file.relative_to(folder))),
    )
    if not files:
        raise ValueError(f"{folder} has no file that ends in {', '.join(TEXT_SUFFIXES)}, and no corpus.jsonl")
    texts = []
    for file in files:
        with file.open("rb") as stream:
            texts.append(stream.read(LONGEST_FILE).decode("utf-8", "replace").strip())
    ids = np.array([str(file.relative_to(folder)) for file in files], dtype=np.str_)
    return _searchable(text_array(texts), ids, str(folder), "documents").replace(name=folder.name)


def _lines(fs: Any, file: str, column: str | None, what: str) -> Domain:
    """A text in each line, called by the number of its line."""
    if column is not None:
        raise ValueError(
            f"column must be absent: {file} has one of the {what} in each line, no columns; got {column!r}"
        )
    text = read_bytes(fs, file).decode("utf-8-sig")
    lines = [line.strip() for line in io.StringIO(text, newline=None)]
    ids = np.array([str(i) for i in range(1, len(lines) + 1)], dtype=np.str_)
    return _searchable(text_array(lines), ids, file, what, "line ")


def _column(frame: Any, wanted: str | None, usual: Sequence[str], file: str) -> str:
    headers = [str(header) for header in frame.columns]
    chosen = find_column(headers, wanted, "column", usual) or (headers[0] if len(headers) == 1 else None)
    if chosen is None:
        raise ValueError(f"{file}: there is no column {usual[0]!r}. The columns are: {', '.join(headers)}")
    return chosen


def _domain(texts: NDArray[Any], frame: Any, usual: Sequence[str], file: str, what: str) -> Domain:
    column = None if frame is None else find_column([str(header) for header in frame.columns], None, "id", usual)
    numbers = np.array([str(i) for i in range(1, len(texts) + 1)], dtype=np.str_)
    ids = numbers if column is None else _named(as_texts(frame[column]), file, what)
    values, counts = np.unique(ids, return_counts=True)
    if (counts > 1).any():
        raise ValueError(f"{file}: the id {str(values[counts.argmax()])!r} stands {counts.max()} times")
    return _searchable(texts, ids, file, what)


def _named(ids: NDArray[Any], file: str, what: str) -> NDArray[Any]:
    """Ids of a column: what has none is called by its row, counted from 1; all are where there is no id at all."""
    without = [i for i, name in enumerate(ids.tolist()) if not name.strip()]
    if len(without) == len(ids):
        return np.array([str(i) for i in range(1, len(ids) + 1)], dtype=np.str_)
    if without:
        lacks = (
            "has no id, and is called by its row" if len(without) == 1 else "have no id, and are called by their rows"
        )
        such = f"row {without[0] + 1}"
        log.warning("%s: %d of %d %s %s, such as %r", file, len(without), len(ids), what, lacks, such)
    return text_array(f"row {i}" if not name.strip() else name for i, name in enumerate(ids.tolist(), 1))


def _searchable(texts: NDArray[Any], ids: NDArray[Any], file: str, what: str, called: str = "") -> Domain:
    """The texts that have a letter, a digit or a sign, such as an emoji; the others are skipped."""
    there = np.array([any(unicodedata.category(letter)[0] in "LNS" for letter in text) for text in texts], dtype=bool)
    if not there.any():
        raise ValueError(f"{file}: there are no {what}" + (" with a letter, digit or sign" if len(texts) else ""))
    skipped = tuple(Skipped(f"{called}{name}", "it has no letter, digit or sign") for name in ids[~there].tolist())
    return Domain(x=texts[there], kind="text", ids=ids[there], name=Path(file).stem, skipped=skipped)


# -- writing -----------------------------------------------------------------------------------------------


def write_run(
    path: str | os.PathLike[str], ranking: Ranking, queries: Domain, corpus: Domain, *, tag: str = "unseen"
) -> Path:
    """Write a ranking as a run: CSV (query, rank, document, score) if the name ends so, else TREC's six columns.

    What reads TREC's columns orders by the score, and equal ones by name: there, a score that is not below the one
    before is written as the next number below it.
    """
    file = Path(path)
    if not file.parent.is_dir():
        raise ValueError(f"run: there is no folder {str(file.parent)!r}")
    assert queries.ids is not None
    assert corpus.ids is not None
    out = io.StringIO()
    table = file.suffix.lower() == ".csv"
    writer = csv.writer(out, lineterminator="\n")
    if table:
        writer.writerow(["query", "rank", "document", "score"])
    for query, documents, scores in zip(queries.ids.tolist(), ranking.documents.tolist(), ranking.scores.tolist()):
        before = np.float32(np.inf)
        for rank, (document, score) in enumerate(zip(documents, scores), 1):
            if document == NOTHING:
                break
            lower = np.nextafter(before, np.float32(-np.inf))
            before = np.float32(score) if -np.inf < score < lower else lower  # what is no number follows the last one
            name = str(corpus.ids[document])
            if table:
                writer.writerow([harmless(query), rank, harmless(name), f"{score:.6g}"])
            else:
                out.write(f"{_word(query)} Q0 {_word(name)} {rank} {before!s} {tag}\n")
    with replacing(file) as temporary:
        temporary.write_text(out.getvalue(), encoding="utf-8")
    return file


def _word(name: str) -> str:
    """An id as a run has it: without spaces."""
    return "_".join(name.split()) or "_"


def to_jsonl(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as lines of JSON."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)

"""Texts with marked spans: CoNLL, brat, JSON lines, spaCy's DocBin, and plain texts without any."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain, Skipped
from unseen.data.loaders.conll import (
    LABELS,
    RANGE,
    TAG,
    cells_of,
    is_comment,
    is_tagged,
    looks_tagged,
    tag_column,
    token_column,
)
from unseen.data.reading import natural_key
from unseen.data.tagged import character, crossing, cut, overlapping, pieces, rows_of, runs_of, tags_of, words
from unseen.data.tasks.base import objects, text_array
from unseen.files import check_plain, is_hidden, reads, walk

FORMATS = {".conll": "conll", ".tsv": "conll", ".bio": "conll", ".iob": "conll", ".jsonl": "jsonl", ".json": "jsonl",
           ".ndjson": "jsonl", ".ann": "brat", ".spacy": "docbin", ".txt": "text"}  # fmt: skip
SPACY = 'spaCy\'s DocBin needs: pip install "unseen[docbin]"'
_BEGINS = r"(?=[^\W\d_a-zß-öø-ÿ]|[\"'“«(\[¿¡])"
_CLOSES = r"[\"'”»)\]]"
_BETWEEN = re.compile(
    rf"(?:(?<=[.!?।॥؟۔])|(?<=[.!?]{_CLOSES})|(?<=[.!?]{_CLOSES}{_CLOSES}))\s+{_BEGINS}|(?<=[。！？])(?![。！？」』”])\s*"
    r"|(?<!\s)\s*\n\s*"
)
_TITLE = re.compile(
    r"\b(?:[Dd]rs?|Mrs?|Ms|Mmes?|Mlle|[Pp]rof|Ste?|Sv|Sra?|Srta|Dra|Jr|Sig|Dott|Hr|Fr|Nr|Núm|Figs?|Abb|Tab|Eq|Vol|Bd|Mt|Gen|Col"
    r"|Capt|Lt|Sgt|Rev|Hon|Gov|Sen|Rep|Ing|Mag|Dipl|vs|al|cf|vgl|z\. ?B|d\. ?h|bzw|ca|e\.g|i\.e)\.$"
)
_INITIAL = re.compile(r"(?:^|\.\s?|\b[^\W\d_a-z][^\W\d_]+\s)[^\W\d_a-z]\.$")
_OPENER = re.compile(
    r"(?:The|An?|It|He|She|We|They|I|This|These|Those|That|There|Then|In|On|At|By|For|From|If|As|But|And|Or|So|However|After|Before"
    r"|When|While|No|All|Both|Each|Der|Die|Das|Es|Er|Sie|Wir|Ein|Eine|Im|Am|Le|La|Les|Il|Elle|El|Los|Las|Un|Una|Lo|Gli)\b"
)
"""Words by which sentences often begin, and no names."""

Span = tuple[int, int, str]


@dataclasses.dataclass(frozen=True)
class Marks:
    """What a file held.

    Attributes
    ----------
    domain : Domain
        A text for each sentence, of the task spans, in characters. Its ids are numbers of sentences in the file, those
        that were left out counted, too (a text that cannot be read is one);
        columns ``document`` (its name, else that of the file, with a number behind it where a file holds several texts
        without lines), ``line`` (0 where texts have none) and ``begin`` (where in the document, or in the line, the
        sentence begins).
    format : str
    counts : Counter
        By what was found: ``sentences``, ``spans``, ``left out`` sentences, and all that was odd.
    """

    domain: Domain
    format: str
    counts: Counter[str]


@dataclasses.dataclass(frozen=True)
class _Sentence:
    number: int
    text: str
    spans: tuple[Span, ...] | None
    document: str = ""
    begin: int = 0
    line: int = 0


@reads("a file of texts with marked spans", "write it as CoNLL, brat, or JSON lines with text and spans")
def read_marked(
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    classes: ClassSpace | Sequence[str] | None = None,
    split: bool = True,
) -> Marks:
    """Read texts with marked spans.

    Parameters
    ----------
    path : path
        A file, or a folder of brat's ``.txt`` and ``.ann``, with those below it.
    format : {"conll", "brat", "jsonl", "docbin", "text"}, optional
        By the ending of its name if absent: a folder is brat's, and so is a text beside which an ``.ann`` lies.
    classes : ClassSpace or names, optional
        The classes; those found, in natural order, if absent.
    split : bool
        Whether texts of several sentences are cut into these, never inside a span. Without it texts stay as they stand
        in the file, and an empty line of a plain text is an empty text that counts; with it, it parts two texts.

    Raises
    ------
    ValueError
        If there is no sentence in it, a class is none of `classes`, or it is of no format that is known.
    ImportError
        If it is a DocBin and spaCy is not installed.
    """
    place = Path(path)
    form = format or _format_of(place)
    if form not in _READERS:
        raise ValueError(f"format must be one of {', '.join(_READERS)}; got {form!r}")
    counts: Counter[str] = Counter()
    skipped: list[Skipped] = []
    sentences = list(_READERS[form](place, counts, skipped))
    if split and form in ("brat", "jsonl", "text", "docbin"):
        counts["spans over what looks like the end of a sentence"] += sum(map(_over_ends, sentences))
        sentences = list(_parted(sentences, lines=form == "text"))
    if not sentences:
        hint = f"; {len(skipped)} lines are invalid, such as {skipped[0].where}: {skipped[0].why}" if skipped else ""
        raise ValueError(f"{str(place)!r} holds no sentence{hint}")
    return Marks(_domain(place, sentences, classes, counts, skipped), form, counts)


def _format_of(place: Path) -> str:
    if place.is_dir():
        return "brat"
    form = FORMATS.get(place.suffix.lower())
    if form is None:
        raise ValueError(f"format: {str(place)!r} ends in none of {', '.join(FORMATS)}; say its format")
    return "brat" if form == "text" and place.with_suffix(".ann").exists() else form


def _domain(
    place: Path,
    sentences: Sequence[_Sentence],
    classes: ClassSpace | Sequence[str] | None,
    counts: Counter[str],
    skipped: list[Skipped],
) -> Domain:
    labels = sorted({span[2] for sentence in sentences for span in sentence.spans or ()}, key=natural_key)
    if isinstance(classes, ClassSpace) or not (classes or labels):
        space = classes if isinstance(classes, ClassSpace) else None
    else:
        space = ClassSpace(names=tuple(classes or labels))
    names = () if space is None else space.names
    if strange := [label for label in labels if label not in names]:
        raise ValueError(f"{str(place)!r} marks spans of {strange[0]!r}, which is none of {', '.join(names)}")
    index = {name: i for i, name in enumerate(names)}
    y = []
    for sentence in sentences:
        rows = sorted({(a, b, index[label]) for a, b, label in sentence.spans or ()})
        table = np.array(rows, dtype=np.int64).reshape(-1, 3)
        y.append(None if sentence.spans is None else table)
        counts["spans"] += len(rows)
        counts["spans that cross words"] += crossing(pieces(sentence.text), table) if rows else 0
        counts["overlapping spans"] += overlapping(table)
    counts["sentences"] += len(sentences)
    counts["empty sentences"] += sum(not sentence.text.strip() for sentence in sentences)
    known = any(spans is not None for spans in y)
    return Domain(
        x=text_array(sentence.text for sentence in sentences),
        y=objects(y) if known else None,
        kind="text",
        task="spans",
        classes=space,
        ids=np.array([f"{sentence.number:06d}" for sentence in sentences], dtype=np.str_),
        columns={
            "document": np.array([sentence.document or place.name for sentence in sentences], dtype=np.str_),
            "line": np.array([sentence.line for sentence in sentences], dtype=np.int64),
            "begin": np.array([sentence.begin for sentence in sentences], dtype=np.int64),
        },
        name=place.stem or place.name,
        skipped=tuple(skipped),
    )


# -- CoNLL -------------------------------------------------------------------------------------------------


def _conll(place: Path, counts: Counter[str], skipped: list[Skipped]) -> Iterator[_Sentence]:
    lines = place.read_bytes().split(b"\n")
    rows = [cells_of(text) for raw in lines[:5000] if (text := raw.decode("utf-8", "replace")).strip()]
    usual = Counter(len(cells) for cells in rows if not cells[0].startswith("#")).most_common(1)
    width = usual[0][0] if usual else 0
    rows = [cells for cells in rows if not is_comment(cells, width)]
    single = [cells for cells in rows if not RANGE.fullmatch(cells[0])]
    word_column = token_column(single)
    column = tag_column(single if word_column else rows)
    if column is None and (other := looks_tagged(single if word_column else rows)) is not None:
        where = f"column {other[0] + 1}"
        skipped.append(Skipped(where, f"its labels are not read, each of which {LABELS}: {other[1]!r:.40}"))
        counts["columns with labels of no known scheme"] += 1
    tokens: list[str] = []
    tags: list[str] = []
    number, first, bad, begun = 0, 0, False, False
    for at, raw in enumerate([*lines, b""], 1):
        raw = raw.rstrip(b"\r").removeprefix(b"\xef\xbb\xbf" if at == 1 else b"")
        if not raw.strip():
            if begun and not bad and tokens:
                yield _from_tokens(number, tokens, tags if column is not None else None, line=first)
            counts["left out"] += begun and bad
            number += begun
            tokens, tags, bad, begun = [], [], False, False
            continue
        first = first if begun else at
        try:
            line = raw.decode("utf-8")
        except UnicodeDecodeError:
            skipped.append(Skipped(f"line {at}", "it is no UTF-8"))
            counts["lines that are no UTF-8"] += 1
            bad = begun = True
            continue
        cells = cells_of(line)
        if cells[0] == "-DOCSTART-" or is_comment(cells, width) or (word_column and RANGE.fullmatch(cells[0])):
            continue
        begun = True
        if column is not None and not is_tagged(cells, column):
            labelled = len(cells) > column and cells[0] != ""
            why = f"its label {LABELS}" if labelled else "it has no label"
            skipped.append(Skipped(f"line {at}", f"{why}: {line.strip()!r:.40}"))
            counts["lines with a label of no known scheme" if labelled else "lines without a label"] += 1
            bad = True
            continue
        if len(cells) <= word_column:
            skipped.append(Skipped(f"line {at}", f"it has no word behind its number: {line.strip()!r:.40}"))
            counts["lines without a word"] += 1
            bad = True
            continue
        tokens.append(cells[word_column])
        tags.append(_plain(cells[column]) if column is not None else "O")


def _plain(tag: str) -> str:
    """A tag of any scheme as BIO."""
    return {"E": "I", "L": "I", "S": "B", "U": "B"}.get(tag[0], tag[0]) + tag[1:]


def _from_tokens(
    number: int, tokens: Sequence[str], tags: Sequence[str] | None, document: str = "", line: int = 0
) -> _Sentence:
    tokens = [re.sub(r"\s", "_", token) or "_" for token in tokens]
    text = " ".join(tokens)
    if tags is None:
        return _Sentence(number, text, None, document, line=line)
    runs, places = runs_of(tags), words(text)
    names = sorted({run.label for run in runs})
    rows = rows_of(runs, places, names).tolist()
    return _Sentence(number, text, tuple((a, b, names[k]) for a, b, k in rows), document, line=line)


# -- brat, JSON lines, DocBin, plain texts -----------------------------------------------------------------


def _brat(place: Path, counts: Counter[str], skipped: list[Skipped]) -> Iterator[_Sentence]:
    files = {place.stem + ".txt": place.with_suffix(".txt")}
    if place.is_dir():  # with all below it, as annotators keep a folder each
        below = walk(place, ignore=is_hidden)
        skipped += [Skipped(*refused) for refused in below.refused]
        files = {name: place / name for name in sorted(below.files, key=natural_key) if name.endswith(".txt")}
    for number, (name, file) in enumerate(files.items()):
        text = _text(file, skipped, counts, name)
        if text is None:
            continue
        notes = file.with_suffix(".ann")
        check_plain(notes)
        spans: list[Span] = []
        for at, line in enumerate(
            notes.read_bytes().decode("utf-8", "replace").splitlines() if notes.exists() else (), 1
        ):
            if not line.startswith("T"):
                counts["annotations that are no span"] += bool(line.strip())
                continue
            where = f"{name.removesuffix('.txt')}.ann, line {at}"
            match = re.fullmatch(r"T\S*\t(\S+) ([\d ;]+)\t?(.*)", line)
            numbers = [int(n) for n in re.findall(r"\d+", match[2])] if match else []
            if match is None or len(numbers) < 2 or not 0 <= numbers[0] < numbers[-1] <= len(text):
                skipped.append(Skipped(where, "it is no span of the text"))
                counts["invalid spans"] += 1
                continue
            counts["spans in parts, made one"] += len(numbers) > 2
            if len(numbers) == 2 and match[3] and " ".join(match[3].split()) != " ".join(text[slice(*numbers)].split()):
                skipped.append(Skipped(where, f"the text there is {text[slice(*numbers)]!r:.40}, not {match[3]!r:.40}"))
                counts["invalid spans"] += 1
                continue
            spans.append((numbers[0], numbers[-1], match[1]))
        yield _Sentence(number, text, tuple(spans) if notes.exists() else None, name)


def _text(file: Path, skipped: list[Skipped], counts: Counter[str], name: str) -> str | None:
    check_plain(file)
    try:
        return file.read_bytes().decode("utf-8").replace("\r\n", "\n").removeprefix("\ufeff")
    except UnicodeDecodeError:
        skipped.append(Skipped(name, "it is no UTF-8"))
        counts["left out"] += 1
        return None


def _jsonl(place: Path, counts: Counter[str], skipped: list[Skipped]) -> Iterator[_Sentence]:
    raw = place.read_bytes()
    records: list[Any] = [*enumerate(raw.split(b"\n"), 1)]
    lines = True
    if place.suffix.lower() == ".json" and raw.lstrip().startswith(b"["):
        records, lines = [(i, json.dumps(entry).encode()) for i, entry in enumerate(json.loads(raw), 1)], False
    number = -1
    for at, line in records:
        if not line.strip():
            continue
        number += 1
        try:
            record = json.loads(line.decode("utf-8"))
            sentence = _record(number, record)
        except UnicodeDecodeError:
            skipped.append(Skipped(f"line {at}", "it is no UTF-8"))
        except (ValueError, KeyError, TypeError, IndexError) as error:
            skipped.append(Skipped(f"line {at}", f"it is no text with spans: {error}"))
        else:
            document = sentence.document or ("" if lines else f"{place.name}:{at}")
            yield dataclasses.replace(sentence, document=document, line=at if lines else 0)
            continue
        counts["left out"] += 1


def _record(number: int, record: Any) -> _Sentence:
    if not isinstance(record, dict):
        raise TypeError(f"it is a {type(record).__name__}")
    name = str(record.get("document", record.get("id", "")))
    if "text" not in record and "tokens" in record:
        tokens = [token["text"] if isinstance(token, dict) else str(token) for token in record["tokens"]]
        tags = next((record[key] for key in ("tags", "ner_tags", "labels") if key in record), None)
        if tags is not None and (len(tags) != len(tokens) or not all(TAG.fullmatch(str(tag)) for tag in tags)):
            raise ValueError("tags must be as many as tokens, each O, B-... or I-...")
        return _from_tokens(number, tokens, None if tags is None else [_plain(str(tag)) for tag in tags], name)
    text = record["text"]
    if not isinstance(text, str):
        raise TypeError(f"text is {text!r:.40}")
    marked = next((record[key] for key in ("spans", "entities", "label", "labels") if key in record), None)
    if marked is None:
        return _Sentence(number, text, None, name)
    spans = []
    for span in marked:
        cells = (span["start"], span["end"], span["label"]) if isinstance(span, dict) else tuple(span)
        start, stop, label = character(cells[0]), character(cells[1]), str(cells[2])
        if not isinstance(cells[2], (str, int)) or not label.strip():
            raise ValueError(f"the class of a span must be a word; got {cells[2]!r:.40}")
        if not 0 <= start < stop <= len(text):
            raise ValueError(f"a span must lie in its text of {len(text)} characters; got {start} to {stop}")
        spans.append((start, stop, label))
    return _Sentence(number, text, tuple(spans), name)


def _docbin(place: Path, counts: Counter[str], skipped: list[Skipped]) -> Iterator[_Sentence]:
    try:
        import spacy
        from spacy.tokens import DocBin
    except ImportError as error:
        raise ImportError(SPACY) from error
    try:
        docs = list(DocBin().from_bytes(place.read_bytes()).get_docs(spacy.blank("xx").vocab))
    except Exception as error:  # of zlib, of msgpack, of spaCy: it is no DocBin
        raise ValueError(f"it is no DocBin: {error}") from error
    for number, doc in enumerate(docs):
        spans = {(span.start_char, span.end_char, span.label_) for span in doc.ents}
        spans |= {(span.start_char, span.end_char, span.label_) for group in doc.spans.values() for span in group}
        known = bool(doc.spans) or doc.has_annotation("ENT_IOB")  # a text in which nobody looked for any says nothing
        yield _Sentence(number, doc.text, tuple(sorted(spans)) if known else None, f"{place.name}:{number + 1}")


def _plain_text(place: Path, counts: Counter[str], skipped: list[Skipped]) -> Iterator[_Sentence]:
    lines = place.read_bytes().split(b"\n")
    for number, raw in enumerate(lines if lines[-1].strip() else lines[:-1]):
        try:
            line = raw.decode("utf-8").removeprefix("\ufeff").removesuffix("\r")
        except UnicodeDecodeError:
            skipped.append(Skipped(f"line {number + 1}", "it is no UTF-8"))
            counts["left out"] += 1
            continue
        yield _Sentence(number, line, None, line=number + 1)


_READERS = {"conll": _conll, "brat": _brat, "jsonl": _jsonl, "docbin": _docbin, "text": _plain_text}


def _parted(texts: Sequence[_Sentence], *, lines: bool) -> Iterator[_Sentence]:
    """The sentences of texts, with their numbers: those of the texts while none is cut, and holes stay.

    Of plain `lines` the empty ones are no texts; elsewhere a text without a word is an empty sentence.
    """
    more = 0
    for sentence in texts:
        parts = list(_sentences(sentence)) or ([] if lines else [sentence])
        yield from (dataclasses.replace(part, number=sentence.number + more + k) for k, part in enumerate(parts))
        more += len(parts) - 1


def _sentences(sentence: _Sentence) -> Iterator[_Sentence]:
    """The sentences of a text, with their spans."""
    for begin, end in sentence_ends(sentence.text, [(a, b) for a, b, _ in sentence.spans or ()]):
        within = [
            (max(a, begin) - begin, min(b, end) - begin, c) for a, b, c in sentence.spans or () if a < end and b > begin
        ]
        spans = None if sentence.spans is None else tuple(within)
        yield dataclasses.replace(sentence, text=sentence.text[begin:end], spans=spans, begin=begin)


def sentence_ends(text: str, uncut: Sequence[tuple[int, int]] = ()) -> Iterator[tuple[int, int]]:
    """Where each sentence of a text begins and ends, without white space around it.

    A sentence ends at a sign that ends one, or with its line, but nowhere inside a stretch that stays `uncut`.
    """
    cuts = [m for m in _cuts(text) if not any(a < m.end() and m.start() < b for a, b in uncut)]
    starts, stops = [0, *(m.end() for m in cuts)], [*(m.start() for m in cuts), len(text)]
    for start, stop in zip(starts, stops):
        if sentence := text[start:stop].strip():
            begin = text.index(sentence, start)
            yield begin, begin + len(sentence)


def _cuts(text: str) -> list[re.Match[str]]:
    """What looks like the end of a sentence, with the white space behind it.

    None is behind what is often met before a full stop within one: a title, the number of a figure, an initial before
    a name.
    """
    return [m for m in _BETWEEN.finditer(text) if "\n" in m.group() or not _goes_on(text, m)]


def _goes_on(text: str, match: re.Match[str]) -> bool:
    start = max(0, match.start() - 24)
    before = (" " if start else "") + text[start : match.start()]  # so that ^ is the beginning of the text
    if _TITLE.search(before):
        return True
    return _INITIAL.search(before) is not None and _OPENER.match(text, match.end()) is None


def _over_ends(sentence: _Sentence) -> int:
    """How many spans of a text would be cut if nobody knew of them."""
    cuts = _cuts(sentence.text) if sentence.spans else ()
    return sum(any(a < m.end() and m.start() < b for m in cuts) for a, b, _ in sentence.spans or ())


# -- writing -----------------------------------------------------------------------------------------------


def conll_lines(domain: Domain, *, words_alone: bool = False) -> Iterator[str]:
    """The lines of a domain of spans as CoNLL: a token and its tag, an empty line behind each sentence.

    Tokens are words and signs, each sign by itself; with `words_alone` what white space parts. A span that begins
    inside one takes it whole.
    """
    names = () if domain.classes is None else domain.classes.names
    for text, rows in zip(domain.x.tolist(), domain.labels):
        places = words(text) if words_alone else pieces(text)
        for token, tag in zip(cut(text, places), tags_of(places, rows, names)):
            yield f"{token}\t{tag}"
        yield ""


def json_lines(domain: Domain, more: Sequence[dict[str, Any]] | None = None) -> Iterator[str]:
    """The lines of a domain of spans as JSON: text and spans, and what `more` says of each."""
    names = () if domain.classes is None else domain.classes.names
    for i, (text, rows) in enumerate(zip(domain.x.tolist(), domain.labels)):
        spans = [{"start": a, "end": b, "label": names[k]} for a, b, k in np.asarray(rows).tolist()]
        yield json.dumps({"text": text, "spans": spans, **(more[i] if more else {})}, ensure_ascii=False)

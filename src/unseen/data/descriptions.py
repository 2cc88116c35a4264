"""`DescriptionBank`: several sentences per class, where each is from, and how they are made ready for a text tower."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, Literal, NamedTuple

import numpy as np

from unseen.data.classes import ClassSpace
from unseen.data.reading import read_bytes
from unseen.data.taxonomies.base import Taxonomy
from unseen.data.typing import IntArray
from unseen.files import reads

Rule = Literal["plain", "two-words", "inaturalist"]
"""How `DescriptionBank.clean` makes sentences alike."""

DESCRIBED, VISUAL, LOCATION, TAXONOMY = "description", "visual", "location", "taxonomy"
"""Where sentences may be from; any other word does as well."""

QUESTIONS: Mapping[str, str] = {
    VISUAL: (
        "List, as completely as you can, the characteristics by which a {name} ({kind}) can be told in a photo. Write "
        'each as one sentence in a line of its own, of the form "A {kind} with ...", without saying {name}.'
    ),
    LOCATION: (
        "Where can a {name} ({kind}) be found: habitats, regions, surroundings? Write one sentence in each line, each "
        'beginning with "A {kind}", without saying {name}.'
    ),
}
"""What a language model may be asked for, by source; at temperature 0, where there is one."""

_ENDS = re.compile(r"\n|(?<=[.!?])\s+|;\s")
_BULLET = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s+")
_ARTICLE = re.compile(r"^(?:an?|the)\s+", re.IGNORECASE)
_QUOTES = "\"'“”‘’`"


class Sentence(NamedTuple):
    """A sentence of a class, and what it is from; `cut` if its first words were dropped, so that a name goes before."""

    text: str
    source: str = DESCRIBED
    cut: bool = False


class Sentences(NamedTuple):
    """All sentences of some classes: each different text once, and which classes it is of.

    Attributes
    ----------
    texts : tuple of m strings
    rows, columns : arrays (e,)
        Class `rows[i]` has text `columns[i]`; ordered by class. Two classes may have one text.
    """

    texts: tuple[str, ...]
    rows: IntArray
    columns: IntArray


@dataclasses.dataclass(frozen=True)
class DescriptionBank:
    """Bags of sentences by the name of a class.

    Parameters
    ----------
    bags : mapping of name to sentences
        Sentences are `Sentence`s or strings, or a mapping from a source to strings.

    Raises
    ------
    TypeError
        If a bag holds something else than texts.
    """

    bags: Mapping[str, Any]

    def __post_init__(self) -> None:
        bags = {str(name): tuple(dict.fromkeys(_sentences(name, bag))) for name, bag in self.bags.items()}
        object.__setattr__(self, "bags", bags)

    def __len__(self) -> int:
        return len(self.bags)

    def __repr__(self) -> str:
        counts = [len(bag) for bag in self.bags.values()] or [0]
        return f"DescriptionBank({len(self)} classes, {min(counts)} to {max(counts)} sentences)"

    def __getitem__(self, name: str) -> tuple[Sentence, ...]:
        """The bag of a class, empty if nothing is said of it."""
        return self.bags.get(name, ())

    @property
    def sources(self) -> tuple[str, ...]:
        """What sentences are from, in the order in which it first occurs."""
        return tuple(dict.fromkeys(sentence.source for bag in self.bags.values() for sentence in bag))

    # -- where sentences come from -------------------------------------------------------------------------

    @classmethod
    def of_classes(cls, classes: ClassSpace, source: str = DESCRIBED) -> DescriptionBank:
        """What `classes.descriptions` say, cut into sentences: at line ends, semicolons, and after full stops."""
        texts = classes.descriptions or ("",) * len(classes)
        return cls({name: [Sentence(part, source) for part in split(text)] for name, text in zip(classes.names, texts)})

    @classmethod
    def of_records(
        cls,
        records: Iterable[Mapping[str, Any]],
        *,
        name: str = "name",
        sentence: str = "sentence",
        source: str = "source",
    ) -> DescriptionBank:
        """Rows of a table: a class, a sentence (or several in one text), and perhaps what it is from.

        Raises
        ------
        ValueError
            If there is no row, or one lacks a name; the row is named.
        """
        bags: dict[str, list[Sentence]] = {}
        for i, row in enumerate(records):
            called, value = str(row.get(name) or "").strip(), row.get(sentence)
            if not called:
                raise ValueError(f"records must have a {name!r}; row {i + 1} has none, only {sorted(map(str, row))}")
            bag = bags.setdefault(called, [])
            bag += [Sentence(part, str(row.get(source) or DESCRIBED)) for part in split(_said(value))]
        if not bags:
            raise ValueError("records must hold at least one row; there is none")
        return cls(bags)

    @classmethod
    def read(
        cls, path: str | os.PathLike[str], *, name: str = "name", sentence: str = "sentence", source: str = "source"
    ) -> DescriptionBank:
        """Read a table of sentences: CSV, TSV, Parquet or JSON lines, or a JSON mapping from name to sentences.

        Raises
        ------
        ValueError
            If the file is of another kind, or lacks a column.
        """
        return _bank_of_table(path, {"name": name, "sentence": sentence, "source": source})

    @classmethod
    def of_taxonomy(cls, classes: ClassSpace, taxonomy: Taxonomy) -> DescriptionBank:
        """WordNet's glosses, or what another taxonomy says: definitions, synonyms, and what is right above each class.

        A class that the taxonomy lacks has an empty bag.
        """
        from unseen.data.taxonomies.senses import senses

        terms = [concept or name for concept, name in zip(classes.concepts or ("",) * len(classes), classes.names)]
        bags: dict[str, list[Sentence]] = {}
        phrases: dict[int, list[str]] = {}
        nodes = senses(terms, taxonomy, classes.descriptions).tolist()
        wanted = {node for node in nodes if node >= 0}
        for text, label in zip(taxonomy.phrases.x, taxonomy.phrases.labels.tolist()):
            if label in wanted:
                phrases.setdefault(label, []).append(str(text))
        for name, node in zip(classes.names, nodes):
            bag = bags.setdefault(name, [])
            if node < 0:
                continue
            if taxonomy.definitions is not None:
                bag += [Sentence(part, "gloss") for part in split(taxonomy.definitions[node])]
            others = [text for text in phrases.get(node, ()) if text.casefold() != name.casefold()]
            bag += [Sentence(f", also called {text.replace('_', ' ')}", TAXONOMY, True) for text in others]
            above = [taxonomy.classes.texts[parent] for parent in taxonomy.parents(node).tolist()]
            bag += [Sentence(f", a kind of {text.replace('_', ' ')}", TAXONOMY, True) for text in above]
        return cls(bags)

    @classmethod
    def of_ranks(cls, ranks: Mapping[str, Mapping[str, str]]) -> DescriptionBank:
        """Taxonomic sentences: of each class its `scientific name`, `family`, `order`, as far as they are given."""
        forms = {
            "scientific name": ", with scientific name {}",
            "family": ", with family name {}",
            "order": ", of the order {}",
        }
        bags: dict[str, list[Sentence]] = {}
        for name, known in ranks.items():
            strange = sorted(set(known) - set(forms))
            if strange:
                raise ValueError(f"ranks must be of {', '.join(forms)}; those of {name!r} have {strange[0]!r}")
            bags[name] = [Sentence(forms[rank].format(value), TAXONOMY, True) for rank, value in known.items() if value]
        return cls(bags)

    @classmethod
    def asked(
        cls,
        names: Sequence[str],
        writer: Callable[[str], str],
        *,
        kind: str = "thing",
        sources: Sequence[str] = (VISUAL, LOCATION),
    ) -> DescriptionBank:
        """What a language model says of each class, by `QUESTIONS`; a line each.

        Parameters
        ----------
        names : sequence of str
        writer : callable (question) -> text
            At temperature 0, so that it says the same again.
        kind : str
            What all of them are, such as ``bird``.
        sources : sequence of str
            Of `QUESTIONS`.
        """
        for source in sources:
            if source not in QUESTIONS:
                raise ValueError(f"sources must be of {', '.join(QUESTIONS)}; got {source!r}")
        return cls(
            {
                name: [
                    Sentence(line.strip(), source)
                    for source in sources
                    for line in writer(QUESTIONS[source].format(name=name, kind=kind)).splitlines()
                    if line.strip()
                ]
                for name in names
            }
        )

    def joined(self, *others: DescriptionBank) -> DescriptionBank:
        """The bags of several banks together: what one says of a class after what the other says."""
        banks = (self, *others)
        names = dict.fromkeys(name for bank in banks for name in bank.bags)
        return DescriptionBank({name: [s for bank in banks for s in bank[name]] for name in names})

    # -- how they are made ready ---------------------------------------------------------------------------

    def clean(self, rule: Rule = "plain") -> DescriptionBank:
        """Bullets, quotes and the last full stop go; so do sentences of which nothing is left.

        Parameters
        ----------
        rule : {"plain", "two-words", "inaturalist"}
            "two-words" drops the first two words ("A bird"), which all sentences of `asked` begin with, so that the
            template takes their place. "inaturalist" drops a leading article, makes the next letter small, and drops
            sentences of the source `visual` that say "scientific name".
        """
        if rule not in ("plain", "two-words", "inaturalist"):
            raise ValueError(f"rule must be plain, two-words or inaturalist; got {rule!r}")
        return DescriptionBank({name: _kept(_clean(s, rule) for s in bag) for name, bag in self.bags.items()})

    def only(self, *sources: str) -> DescriptionBank:
        """The sentences from some sources.

        Raises
        ------
        ValueError
            If no sentence is from one of them.
        """
        for source in sources:
            if source not in self.sources:
                raise ValueError(f"sources must be of {', '.join(self.sources)}; got {source!r}")
        return DescriptionBank({name: [s for s in bag if s.source in sources] for name, bag in self.bags.items()})

    def shuffled(self, seed: int = 0) -> DescriptionBank:
        """The bags dealt to other classes: a control in which names stay right and nothing else is.

        No class keeps its own bag, if there are two or more. A sentence that says the name of its class says that of
        the class to which it is dealt.
        """
        names = sorted(self.bags)
        order = np.random.default_rng(seed).permutation(len(names))
        turned = np.empty_like(order)
        turned[order] = np.roll(order, 1)  # one cycle through all
        return DescriptionBank({name: _renamed(self.bags[names[turned[i]]], names[turned[i]], name)
                                for i, name in enumerate(names)})  # fmt: skip

    def without_names(self) -> DescriptionBank:
        """The same with the name of its class taken out of each sentence: a control."""
        bags = {}
        for name, bag in self.bags.items():
            pattern = _said_name(name)
            bags[name] = _kept(s._replace(text=" ".join(pattern.sub("", s.text).split())) for s in bag)
        return DescriptionBank(bags)

    def sample(self, name: str, generator: np.random.Generator) -> Sentence:
        """A sentence of a class, each as likely; `ValueError` if there is none."""
        bag = self[name]
        if not bag:
            raise ValueError(f"name must be a class with a sentence; {name!r} has none")
        return bag[int(generator.integers(len(bag)))]

    def sentences(self, names: Sequence[str], template: str, *, named: bool = True) -> Sentences:
        """All sentences of some classes as a text tower reads them; a class without one has its template alone.

        Parameters
        ----------
        names : sequence of str
        template : str
            With one place {} for the name, such as ``"a photo of a {} bird"``; the sentence goes after it.
        named : bool
            Whether the template goes before each sentence, so that every one says the name.
        """
        check_template(template)
        columns: dict[str, int] = {}
        rows, places = [], []
        for i, name in enumerate(names):
            texts = dict.fromkeys(_written(template, name, s, named) for s in self[name])
            for text in texts or (template_of(template, name),):
                rows.append(i)
                places.append(columns.setdefault(text, len(columns)))
        return Sentences(tuple(columns), np.array(rows, dtype=np.int64), np.array(places, dtype=np.int64))

    def lacking(self, names: Sequence[str]) -> list[str]:
        """Of some classes those without a sentence."""
        return [name for name in names if not self[name]]


@reads("a table of sentences", "write a CSV with the columns name and sentence")
def _bank_of_table(path: str | os.PathLike[str], columns: Mapping[str, str]) -> DescriptionBank:
    from unseen.data.loaders.common import locate
    from unseen.data.loaders.table import TABLE_SUFFIXES, read_frame

    suffix = PurePosixPath(os.fspath(path)).suffix.lower()
    if suffix not in (".json", *TABLE_SUFFIXES):
        raise ValueError(f"a table of sentences ends in .csv, .tsv, .parquet, .json or .jsonl; got {os.fspath(path)!r}")
    fs, file = locate(path)
    if suffix == ".json":
        content = json.loads(read_bytes(fs, file))
        return (
            DescriptionBank(content) if isinstance(content, Mapping) else DescriptionBank.of_records(content, **columns)
        )
    table = read_frame(fs, file, [*columns.values()])
    for column in (columns["name"], columns["sentence"]):
        if column not in table.columns:
            have = ", ".join(map(str, table.columns))
            raise ValueError(f"{os.fspath(path)}: there is no column {column!r}. The columns are: {have}")
    return DescriptionBank.of_records(table.to_dict("records"), **columns)  # type: ignore[arg-type]


def _said_name(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(name.replace('_', ' '))}(?!\w)", re.IGNORECASE)


def _renamed(bag: Iterable[Sentence], old: str, new: str) -> list[Sentence]:
    """Sentences of a class as if said of another."""
    pattern, replacement = _said_name(old), new.replace("_", " ")
    return [sentence._replace(text=pattern.sub(lambda _: replacement, sentence.text)) for sentence in bag]


def check_template(template: str) -> None:
    """`ValueError` unless there is one place for the name."""
    if template.count("{}") != 1:
        raise ValueError(f"template must have one place {{}} for the name of the class; got {template!r}")


def template_of(template: str, name: str) -> str:
    """The template with a name in its place, underscores as spaces."""
    return template.replace("{}", name.replace("_", " "))


def split(text: str) -> list[str]:
    """The sentences of a text: it is cut at line ends, at semicolons, and after full stops."""
    return [part.strip() for part in _ENDS.split(text) if part.strip()]


def _said(value: Any) -> str:
    """A cell of a table as a text; a number that is none says nothing."""
    return "" if value is None or value != value else str(value)


def _sentences(name: Any, bag: Any) -> Iterable[Sentence]:
    if isinstance(bag, Mapping):
        return [Sentence(_text(name, text), str(source)) for source, texts in bag.items() for text in _listed(texts)]
    return [item if isinstance(item, Sentence) else Sentence(_text(name, item)) for item in _listed(bag)]


def _listed(texts: Any) -> Sequence[Any]:
    return split(texts) if isinstance(texts, str) else list(texts)


def _text(name: Any, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"bags must hold texts; that of {name!r} holds {value!r:.60}")
    return value


def _kept(bag: Iterable[Sentence | None]) -> list[Sentence]:
    return [sentence for sentence in bag if sentence is not None and sentence.text.strip(" ,.")]


def _clean(sentence: Sentence, rule: Rule) -> Sentence | None:
    text = _BULLET.sub("", sentence.text).strip().strip(_QUOTES).strip()
    text = text.removesuffix(".").rstrip()
    if sentence.cut:
        return sentence._replace(text=text)
    if rule == "inaturalist":
        if sentence.source == VISUAL and "scientific name" in text.casefold():
            return None
        bare = _ARTICLE.sub("", text)
        return sentence._replace(text=bare[:1].lower() + bare[1:] if bare != text else text)
    if rule == "two-words":
        rest = text.split(maxsplit=2)
        return sentence._replace(text=rest[2], cut=True) if len(rest) == 3 else None
    return sentence._replace(text=_ARTICLE.sub(lambda article: article[0].lower(), text))


def _written(template: str, name: str, sentence: Sentence, named: bool) -> str:
    """Template and sentence: what was cut goes on from the name, what stands by itself is set off."""
    text = sentence.text.lstrip(" ,") if not named else sentence.text
    if not named:
        return text
    start = template_of(template, name).rstrip(" .")
    if text.startswith(","):
        return f"{start}{text}"
    return f"{start} {text}" if sentence.cut else f"{start}, {text}"

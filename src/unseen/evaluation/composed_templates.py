"""Templates of conditional similarity, from any table of attributes (GeneCIS, steps 15 and 16).

Four kinds: a text names what of the reference counts (focus) or how it changes (change), and it is an attribute of the
subject or another object beside it. Each gallery has one right answer and distractors for both shortcuts: pictures that
fit the reference and not the text, and pictures that fit the text and not the reference.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["focus-attribute", "change-attribute", "focus-object", "change-object"]
KINDS: tuple[Kind, ...] = ("focus-attribute", "change-attribute", "focus-object", "change-object")


@dataclasses.dataclass(frozen=True)
class Template:
    """One question: which of the gallery is like the reference, with respect to a text?

    Parameters
    ----------
    kind : str
    reference, target : int
        Positions in the collection.
    condition : str
    distractors : tuple of int
        The rest of the gallery.

    Raises
    ------
    ValueError
        If the target is the reference or a distractor, or there is no distractor.
    """

    kind: str
    reference: int
    condition: str
    target: int
    distractors: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.distractors:
            raise ValueError("distractors must hold at least one picture; there is none")
        if self.target == self.reference:
            raise ValueError(f"target must be another picture than the reference; both are {self.target}")
        if self.target in self.distractors or self.reference in self.distractors:
            raise ValueError("distractors must hold neither the target nor the reference")

    @property
    def gallery(self) -> tuple[int, ...]:
        """The target, then the distractors."""
        return (self.target, *self.distractors)


def build_templates(
    table: Mapping[str, Sequence[Any] | NDArray[Any]],
    *,
    subject: str,
    attributes: Sequence[str] = (),
    objects: Sequence[str] = (),
    words: Mapping[str, str] | None = None,
    kinds: Sequence[Kind] = KINDS,
    n: int = 200,
    gallery: int = 10,
    seed: int = 0,
) -> list[Template]:
    """Templates of a collection of which a table tells what is on each picture.

    Parameters
    ----------
    table : mapping of column to n values
        Such as a data frame; an empty value says that there is none.
    subject : str
        The column of what a picture is of.
    attributes : sequence of str
        Columns of what it is like: conditions of the two kinds of attributes name a column (focus) or a value (change).
        The focus needs two: of one, every question would have the same text, and nobody would have to read it.
    objects : sequence of str
        Columns of what is there: conditions name a value. What a picture shares with another beside the object that is
        named is the value of the first of `attributes`, its context, or the subject where there is none. With two
        columns (the subject may be one of them), the distractors of the focus have the reference's other object in its
        context, and only the text says which of the two is meant; with one, who knows the columns needs no text.
    words : mapping, optional
        How a column is named, or put before its values, in a condition: {"colour": "on"} makes "on red"; a value alone
        if absent.
    n : int, >= 1
        Templates of each kind; fewer where the table has no more.
    gallery : int, >= 3
        Pictures to choose from; half of the distractors fit the reference, half the text.
    seed : int

    Raises
    ------
    ValueError
        If a column is missing, there are too few for a kind, or no template of a kind can be made.
    """
    columns = {key: np.asarray(values).astype(str) for key, values in table.items()}
    for name in (subject, *attributes, *objects):
        if name not in columns:
            raise ValueError(f"table has no column {name!r}; it has {', '.join(columns)}")
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise ValueError(f"kinds must be of {', '.join(KINDS)}; got {unknown[0]!r}")
    if gallery < 3 or n < 1:
        raise ValueError(f"gallery must be at least 3 and n at least 1; got {gallery} and {n}")
    templates: list[Template] = []
    for number, kind in enumerate(kinds):
        named = attributes if kind.endswith("attribute") else objects
        if not named:
            raise ValueError(f"{kind} needs columns of {'attributes' if kind.endswith('attribute') else 'objects'}")
        if kind == "focus-attribute" and len(set(attributes)) < 2:
            raise ValueError(
                f"focus-attribute needs two attributes, or all its questions have one text; got {', '.join(attributes)}"
            )
        rng = np.random.default_rng((seed, number))
        builder = _Builder(columns, subject, tuple(attributes), tuple(objects), words or {}, gallery, rng)
        of_kind = builder.build(kind, named, n)
        if not of_kind:
            raise ValueError(f"table: no template of {kind} can be made; too few pictures share a value and differ in "
                             "another")  # fmt: skip
        templates += of_kind
    return templates


class _Builder:
    """Draws templates of a kind; what fits is looked up by values."""

    def __init__(
        self,
        columns: Mapping[str, NDArray[np.str_]],
        subject: str,
        attributes: tuple[str, ...],
        objects: tuple[str, ...],
        words: Mapping[str, str],
        gallery: int,
        rng: np.random.Generator,
    ) -> None:
        self.columns, self.subject, self.attributes, self.objects = columns, subject, attributes, objects
        self.words, self.size, self.rng = words, gallery, rng
        self.at: dict[tuple[str, str], set[int]] = defaultdict(set)
        for name, values in columns.items():
            for i, value in enumerate(values.tolist()):
                if value:
                    self.at[name, value].add(i)
        self.everything = set(range(len(columns[subject])))

    def build(self, kind: Kind, named: Sequence[str], n: int) -> list[Template]:
        """At most n templates, from references in random order."""
        templates: list[Template] = []
        order = self.rng.permutation(len(self.everything)).tolist()
        for turn in range(max(1, -(-4 * n // max(len(order), 1)))):
            for reference in order:
                if len(templates) == n:
                    return templates
                name = named[(reference + turn) % len(named)]
                template = self._one(kind, reference, name)
                if template is not None and template not in templates:
                    templates.append(template)
        return templates

    def _one(self, kind: Kind, reference: int, name: str) -> Template | None:
        value = str(self.columns[name][reference])
        if kind.startswith("focus") and not value:
            return None
        if kind == "focus-attribute":
            # another subject with the same value: neither the subject nor another attribute gives it away
            like, fits = self._sharing(reference, self.subject), self.at[name, value]
            others = self._sharing_any(reference, [other for other in self.attributes if other != name])
            right, condition = fits - like - others, self.words.get(f"{name}?", name)
            return self._drawn(kind, reference, condition, right, like - fits, others - like - fits)
        context = self.attributes[0] if kind.endswith("object") and self.attributes else self.subject
        like = self._sharing(reference, context)
        wanted = value if kind.startswith("focus") else self._another(like, name, value)
        if not wanted:
            return None
        fits = self.at[name, wanted]
        condition = f"{self.words.get(name, '')} {wanted}".strip()
        if kind != "focus-object":
            return self._drawn(kind, reference, condition, like & fits, like - fits, fits - like)
        # the same place with the object that is named and without the other: who looks for what is most like the
        # reference, or for the other object, finds what has not the one that is named
        others = self._sharing_any(reference, [other for other in self.objects if other not in (name, context)])
        return self._drawn(kind, reference, condition, (like & fits) - others, like - fits, fits - like, nearest=True)

    def _sharing_any(self, reference: int, names: Sequence[str]) -> set[int]:
        return set[int]().union(*(self._sharing(reference, name) for name in names))

    def _sharing(self, reference: int, name: str) -> set[int]:
        return self.at[name, str(self.columns[name][reference])]

    def _another(self, like: set[int], name: str, value: str) -> str:
        """A value that something like the reference has, and the reference has not."""
        values = sorted({str(self.columns[name][i]) for i in like} - {value, ""})
        return values[int(self.rng.integers(len(values)))] if values else ""

    def _drawn(
        self,
        kind: Kind,
        reference: int,
        condition: str,
        right: set[int],
        keeps: set[int],
        obeys: set[int],
        nearest: bool = False,
    ) -> Template | None:
        """A template of those that may be right, that fit the reference alone (`nearest`: the likest), or the text."""
        half = (self.size - 1) // 2
        right, keeps, obeys = (part - {reference} for part in (right, keeps, obeys))
        if not right or len(keeps) < half or len(obeys - keeps) < self.size - 1 - half:
            return None
        target = self._some(right, 1)
        first = self._likest(reference, keeps, half) if nearest else self._some(keeps, half)
        second = self._some(obeys - keeps, self.size - 1 - half)
        return Template(kind, reference, condition, target[0], (*first, *second))

    def _likest(self, reference: int, pool: set[int], k: int) -> tuple[int, ...]:
        """Those that share most columns with the reference, objects before attributes; by lot among equals."""
        at = self._some(pool, len(pool))
        weights = dict.fromkeys((self.subject, *self.attributes), 1)
        weights |= dict.fromkeys(self.objects, len(self.columns))
        shared = {i: sum(w for name, w in weights.items() if i in self._sharing(reference, name)) for i in at}
        return tuple(sorted(at, key=lambda i: -shared[i])[:k])

    def _some(self, pool: set[int], k: int) -> tuple[int, ...]:
        members = sorted(pool)
        return tuple(members[i] for i in self.rng.permutation(len(members))[:k].tolist())

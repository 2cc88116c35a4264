"""What the catalogue says in a line of each system, from a file: no method is imported for it, nor torch.

`python docs/generate.py` writes the file from the cards (``methods/built.json``); a test tells when they differ.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence
from importlib import resources
from typing import Any, TypeVar

from unseen import plugins
from unseen.methods import METHODS, SYSTEMS, get, slugs

Kind = TypeVar("Kind")

FILE = "built.json"

DEFAULT = "default"
"""The preset that every method has."""

COMPOSED = "composed"
"""Kind of what is made of other methods and stands in no list."""


@dataclasses.dataclass(frozen=True)
class Line:
    """A system: `needs` are the words of `fit` that each way to fit it requires; one to come is of kind "planned".

    `presets` are there where it has others than the default.
    """

    slug: str
    title: str
    venue: str
    room: str
    summary: str
    kind: str = "planned"
    needs: tuple[tuple[str, ...], ...] = ()
    presets: tuple[str, ...] = ()

    @property
    def built(self) -> bool:
        """Whether it is there."""
        return self.kind != "planned"

    def told(self) -> str:
        """What it needs, in words."""
        ways = " | ".join("+".join(way) for way in self.needs)
        return ways or (f"a {self.kind}" if self.built else self.kind)


def lines() -> tuple[Line, ...] | None:
    """All systems, built ones first; None where other packages add methods, or some are newer than the file."""
    built = [
        Line(**{**row, "needs": tuple(map(tuple, row.get("needs", ()))), "presets": tuple(row.get("presets", ()))})
        for row in _rows(FILE)
    ]
    have = {line.slug for line in built}
    if plugins.found("methods") or have != {*METHODS, *SYSTEMS}:
        return None
    built = [line for line in built if line.kind != COMPOSED]
    return (*built, *(Line(**row) for row in _rows("systems.json") if row["slug"] not in have))


def reading(word: str) -> tuple[str, ...]:
    """Slugs of the methods of this package that need `word` of `fit`, and of those that are newer than the file."""
    needed = {row["slug"]: {name for way in row.get("needs", ()) for name in way} for row in _rows(FILE)}
    return tuple(slug for slug in METHODS if word in needed.get(slug, {word}))


def presets_of(slug: str) -> tuple[str, ...] | None:
    """The presets of a method of this package; None of others, and of those that are newer than the file."""
    row = next((row for row in _rows(FILE) if row["slug"] == slug), None)
    return None if row is None or slug not in METHODS else tuple(row.get("presets", (DEFAULT,)))


def check_preset(slug: str, preset: str, presets: Iterable[str], argument: str = "") -> None:
    """`ValueError` if a method has no such preset; `argument` is what named it."""
    have = tuple(presets)
    if preset not in have:
        raise ValueError(f"{argument and f'{argument}: '}{slug} has the presets {', '.join(have)}; got {preset!r}")


def with_foreign(word: str) -> tuple[str, ...]:
    """The same, and all methods of other packages, of which only their classes tell."""
    known = reading(word)
    return tuple(slug for slug in slugs() if slug in known or slug not in METHODS)


def of_kind(base: type[Kind], word: str) -> tuple[str, ...]:
    """Slugs of the methods that are subclasses of `base`, which all need `word` of `fit`; also of other packages."""
    return tuple(slug for slug in with_foreign(word) if issubclass(get(slug), base))


def kind_of(slug: str, base: type[Kind], word: str) -> type[Kind]:
    """The class of a method that is a subclass of `base`; `ValueError` lists those that are (`of_kind`)."""
    kind: Any = get(slug) if slug in slugs() else None
    if kind is None or not issubclass(kind, base):
        raise ValueError(f"method must be one of {', '.join(of_kind(base, word))}; got {slug!r}")
    return kind


def search(text: str = "", given: Iterable[str] | None = None) -> tuple[Line, ...] | None:
    """What `unseen.catalogue.search` finds, as lines; None where that must be asked."""
    listed, have = lines(), None if given is None else set(given)
    if listed is None or (have is not None and not have <= _words(listed)):
        return None
    words = text.casefold().split()
    kept = [
        line
        for line in listed
        if all(word in f"{line.slug} {line.title} {line.summary} {line.room}".casefold() for word in words)
    ]
    if have is not None:
        have |= {"model"} if "source" in have else set()
        kept = [line for line in kept if any(set(way) <= have for way in line.needs)]
    return tuple(kept)


def _words(listed: Sequence[Line]) -> set[str]:
    return {word for line in listed for way in line.needs for word in way}


def _rows(name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(
        resources.files("unseen.methods").joinpath(name).read_text(encoding="utf-8")
    )
    return rows

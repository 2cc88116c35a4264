"""XML of others: entities may abbreviate addresses, as ontologies do; none may name another, a file, or much text."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING
from xml.parsers import expat

if TYPE_CHECKING:
    from xml.parsers.expat import XMLParserType

LONGEST, MOST = 512, 1_000
"""Characters of an entity, and how many a file may declare."""
GROWTH = 2**18
"""Characters by which entities may lengthen all texts of a file: readers put a text together anew at each of them."""


LINE = 2**18
"""Bytes of a triple in N-Triples: their reader looks at a line anew with every two thousand."""


def check_lines(file: Path) -> None:
    """Raise `ValueError` if a line of N-Triples is so long that reading it takes the square of its length."""
    with file.open("rb") as stream:
        for number, line in enumerate(iter(lambda: stream.readline(LINE), b""), 1):
            if len(line) == LINE:
                raise ValueError(f"its line {number} has more than {LINE:,} bytes; write it as Turtle (.ttl)")


class _Declared(Exception):  # noqa: N818
    """The declarations are over: nothing behind them is read."""


def check_entities(file: Path) -> None:
    """Raise `ValueError` if expanding the entities of an XML file could take other files, or much time or memory.

    Nothing is expanded but addresses, and what stands behind the declarations is read only if there are any.
    """
    if longer := _declared(file):
        _check_uses(file, longer)


def _declared(file: Path) -> dict[str, int]:
    """References to the entities that are declared before the first element, and how much longer each is made."""
    longer: dict[str, int] = {}
    parser = expat.ParserCreate()
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    seen = 0

    def declared(name: str, parameter: bool, value: str | None, *where: str | None) -> None:
        nonlocal seen
        seen += 1
        subject = f"its entity {name[:50]!r}"
        if parameter or value is None or any(where[1:3]):
            raise ValueError(
                f"{subject} stands for other declarations or another file, which is not read; write it out"
            )
        if re.search("&(?!#)", value) or len(value) > LONGEST or seen > MOST:
            raise ValueError(
                f"{subject} stands for other entities or for much text, which is not expanded; write it out"
            )
        longer[f"&{name};"] = len(value) - len(name) - 2

    def begun(*_: object) -> None:
        raise _Declared

    parser.EntityDeclHandler = declared
    parser.StartElementHandler = begun
    _parse(parser, file)
    return {reference: growth for reference, growth in longer.items() if growth > 0}


def _check_uses(file: Path, longer: dict[str, int]) -> None:
    """Raise `ValueError` if entities make the texts of a file much longer."""
    parser = expat.ParserCreate()
    grown = 0

    def passed(text: str) -> None:
        nonlocal grown
        grown += longer.get(text, 0)
        if grown > GROWTH:
            raise ValueError(f"its entity {text[1:51]!r} makes texts much longer, which is not expanded; write it out")

    parser.DefaultHandler = passed  # which gets references as they stand
    _parse(parser, file)


def _parse(parser: XMLParserType, file: Path) -> None:
    with file.open("rb") as stream:
        try:
            while part := stream.read(2**16):
                parser.Parse(part, False)
        except (_Declared, expat.ExpatError):  # what is no XML is told by whoever reads all of it
            return

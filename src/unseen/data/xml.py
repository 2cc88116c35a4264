"""XML of others: entities may abbreviate addresses, as ontologies do; none may name another, a file, or much text."""

from __future__ import annotations

import re
from pathlib import Path
from xml.parsers import expat

LONGEST, MOST = 512, 1_000
"""Characters of an entity, and how many a file may declare."""


class _Declared(Exception):  # noqa: N818
    """The declarations are over: nothing behind them is read."""


def check_entities(file: Path) -> None:
    """Raise `ValueError` if expanding the entities of an XML file could take other files, or much time or memory.

    Only what stands before the first element is read, and nothing is expanded.
    """
    parser = expat.ParserCreate()
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    seen = 0

    def declared(name: str, parameter: bool, value: str | None, *where: str | None) -> None:
        nonlocal seen
        seen += 1
        told = f"its entity {name[:50]!r}"
        if parameter or value is None or any(where[1:3]):
            raise ValueError(f"{told} stands for other declarations or another file, which is not read; write it out")
        if re.search("&(?!#)", value) or len(value) > LONGEST or seen > MOST:
            raise ValueError(f"{told} stands for other entities or for much text, which is not expanded; write it out")

    def begun(*_: object) -> None:
        raise _Declared

    parser.EntityDeclHandler = declared
    parser.StartElementHandler = begun
    with file.open("rb") as stream:
        try:
            while part := stream.read(2**16):
                parser.Parse(part, False)
        except (_Declared, expat.ExpatError):  # what is no XML is told by whoever reads all of it
            return

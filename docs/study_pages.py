"""What the studies of this folder share: tables, and their places in pages."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def put(page: str, tables: Mapping[str, str]) -> None:
    """Put tables between their marks into a page."""
    file = DOCS / page
    text = file.read_text(encoding="utf-8")
    for name, told in tables.items():
        head, rest = text.split(f"<!-- {name} -->\n")
        text = f"{head}<!-- {name} -->\n{told}\n<!-- end -->" + rest.split("<!-- end -->", 1)[1]
    replaced(file, text)


def rows_text(rows: Sequence[Any]) -> str:
    """JSON with a row in each line."""
    return "[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n]\n"


def replaced(file: Path, text: str) -> None:
    """Write another name first, then rename."""
    temporary = file.with_name(f".{file.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(file)

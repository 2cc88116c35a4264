"""The page `/docs`: what OpenAPI says, for people, without a script or an outside request."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

FOLDER = Path(__file__).parent


def environment() -> jinja2.Environment:
    """Templates of this folder, with everything escaped."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def style() -> str:
    """The style of both pages of this folder."""
    return (FOLDER / "style.css").read_text(encoding="utf-8")


def source_hash(text: str) -> str:
    """An inline style or script as a content security policy names it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def manual(openapi: Mapping[str, Any]) -> tuple[str, str]:
    """Return the page and its content security policy, which allows the style and nothing else."""
    css = style()
    operations = [
        {
            "verb": verb.upper(),
            "path": path,
            "summary": told["summary"],
            "guarded": bool(told.get("security")),
            "parameters": told.get("parameters", []),
            "bodies": [
                (kind, json.dumps(body["schema"], indent=1))
                for kind, body in told.get("requestBody", {}).get("content", {}).items()
            ],
            "answers": [(code, answer["description"]) for code, answer in told["responses"].items()],
        }
        for path, verbs in openapi["paths"].items()
        for verb, told in verbs.items()
    ]
    page = environment().get_template("manual.html").render(style=css, info=openapi["info"], operations=operations)
    return page, f"default-src 'none'; style-src {source_hash(css)}; base-uri 'none'; form-action 'none'"

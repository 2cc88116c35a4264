"""The page `/docs`: what OpenAPI says, for people, without a script or an outside request."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unseen.report.pages import CONTROLS, source_hash, stylesheet, templates

FOLDER = Path(__file__).parent


def style() -> str:
    """The style of the pages of this folder."""
    return stylesheet(CONTROLS, FOLDER / "style.css")


def manual(openapi: Mapping[str, Any], *, curl: str, field: str) -> tuple[str, str]:
    """Return the page and its content security policy, which allows the style and nothing else.

    Parameters
    ----------
    openapi : mapping
        What the application says of itself.
    curl, field : str
        A command that asks it, and the field that holds the samples.
    """
    css = style()
    operations = [
        {
            "verb": verb.upper(),
            "path": path,
            "summary": operation["summary"],
            "guarded": bool(operation.get("security")),
            "parameters": operation.get("parameters", []),
            "bodies": [
                (kind, json.dumps(body["schema"], indent=1))
                for kind, body in operation.get("requestBody", {}).get("content", {}).items()
            ],
            "answers": [(code, answer["description"]) for code, answer in operation["responses"].items()],
        }
        for path, verbs in openapi["paths"].items()
        for verb, operation in verbs.items()
    ]
    page = (
        templates(FOLDER)
        .get_template("manual.html")
        .render(style=css, policy="", info=openapi["info"], operations=operations, curl=curl, field=field)
    )
    return page, f"default-src 'none'; style-src {source_hash(css)}; base-uri 'none'; form-action 'none'"

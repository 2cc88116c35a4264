"""What a page says, and whether a browser shows it without a word, a request or a column beyond the screen."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any


def text_of(file: Path) -> str:
    """The text of a page, without its style and marks."""
    body = file.read_text(encoding="utf-8").partition("</style>")[2]
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def check_in_browser(browser: Any, file: Path) -> None:
    """A page opens offline, says nothing, asks for nothing and fits, on a wide bright screen and on a dark phone."""
    for width, scheme in ((1200, "light"), (390, "dark")):
        context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme, offline=True)
        said: list[str] = []
        asked: list[str] = []
        try:
            page = context.new_page()
            page.on("console", lambda message, said=said: said.append(message.text))
            page.on("pageerror", lambda error, said=said: said.append(str(error)))
            page.on("dialog", lambda dialog, said=said: (said.append(dialog.message), dialog.dismiss()))
            page.on("request", lambda request, asked=asked: asked.append(request.url))
            page.goto(file.as_uri())
            assert said == []
            assert [url for url in asked if not url.startswith("data:")] == [file.as_uri()]
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            background = page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert (sum(int(value) for value in background[4:-1].split(",")) < 300) == (scheme == "dark")
        finally:
            context.close()

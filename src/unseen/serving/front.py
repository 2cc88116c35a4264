"""The page `/`: a form to try the model, and a line for a terminal that does the same."""

from __future__ import annotations

import io
import json
import re
from functools import cache

from unseen.report.pages import source_hash, templates
from unseen.serving.headers import policy
from unseen.serving.limits import MAX_TEXT
from unseen.serving.manual import FOLDER, style
from unseen.serving.mistakes import FIELD
from unseen.serving.model import Served
from unseen.serving.rows import ServedRows

TOP = 5
"""Classes that the page names."""


EXAMPLES = {
    "image": ("example.png", "picture.jpg"),
    "clip": ("example.mp4", "video.mp4"),
    "audio": ("example.wav", "sound.wav"),
    "series": ("example.csv", "series.csv"),
}
"""What is there to try it with, and what a file of one's own might be called."""

_ADDRESS = re.compile(r"[A-Za-z0-9.-]{1,253}(:\d{1,5})?|\[[0-9a-fA-F:.]+\](:\d{1,5})?")


def front(served: Served | ServedRows, host: str, *, guarded: bool, scheme: str = "http") -> tuple[str, str]:
    """Return the page and its content security policy.

    Parameters
    ----------
    served : Served or ServedRows
    host : str
        As the browser names this server; the command line that is shown asks the same.
    guarded : bool
        Whether a token is needed. The names of classes and features are then not on the page.
    scheme : {"http", "https"}
    """
    url = address(host, scheme)
    css, script = style(), "".join((FOLDER / name).read_text(encoding="utf-8") for name in ("drop.js", "front.js"))
    curl, curl_with_file = lines(served, url, guarded=guarded)
    page = (
        templates(FOLDER)
        .get_template("front.html")
        .render(
            style=css,
            policy="",
            script=script,
            summary=served.summary(names=not guarded),
            about={
                "kind": served.kind,
                "width": served.width,
                "top": TOP,
                "guarded": guarded,
                "named": served.named,
            },
            longest=MAX_TEXT,
            features=() if guarded else served.features,
            curl=curl,
            curl_with_file=curl_with_file,
        )
    )
    return page, policy(
        script_src=source_hash(script),
        style_src=source_hash(css),
        img_src="blob: data:",
        media_src="blob:",
        connect_src="'self'",
    )


def address(host: str, scheme: str = "http") -> str:
    """The address of this server as it was asked by; what is none is not repeated."""
    return f"{scheme}://{host if _ADDRESS.fullmatch(host) else 'localhost'}"


def lines(served: Served | ServedRows, url: str, *, guarded: bool) -> tuple[str, str]:
    """A command that works where it is pasted, and where a sample is a file one with a file to be named."""
    token = ' -H "Authorization: Bearer $UNSEEN_TOKEN"' if guarded else ""
    target = f'"{url}/predict{"?top=3" if served.ranked else ""}"'
    if served.kind in EXAMPLES:
        send, (shipped, file) = f"curl{token} -F {FIELD}=@{{}} {target}", EXAMPLES[served.kind]
        asks = token if served.kind == "series" else ""
        return f"curl -s{asks} {url}/{shipped} | {send.format('-')}", send.format(file)
    sample: object = "a text" if served.kind == "text" else [0] * served.width
    body = json.dumps({FIELD: [sample]}, separators=(",", ":"))
    return f"curl{token} -H \"Content-Type: application/json\" -d '{body}' {target}", ""


@cache
def example() -> bytes:
    """A small picture to try the server with: a disc, as PNG."""
    from PIL import Image, ImageDraw

    picture = Image.new("RGB", (96, 96), (236, 231, 220))
    ImageDraw.Draw(picture).ellipse((18, 18, 78, 78), fill=(196, 64, 48))
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()

"""The one shell of all pages that are one file, `frame.html`: head, style, and a policy of what they may do."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jinja2

HERE = Path(__file__).parent

FIGURES = """figure img { max-width: 100%; background: #fff; }
@media screen and (prefers-color-scheme: dark) {
  figure.chart:not(.photo) img { filter: invert(0.91) hue-rotate(180deg); }
}
"""
"""The style of drawn pictures. Those with words in them (`class="chart"`) turn dark with the page, but for those that
show a photo (`class="chart photo"`), and keep the size at which they can be read: on a phone a narrower drawing takes
the place of the wide one (`chart` of `drawn.html`), or it scrolls by itself."""


def stylesheet(*files: Path) -> str:
    """The look of all pages of the project, colours of light and dark and type first, then these files of a page."""
    return "".join(file.read_text(encoding="utf-8") for file in (HERE / "tokens.css", *files))


CONTROLS = HERE / "controls.css"
"""Fields, buttons, a place to drop a file and bars of answers: the look of pages that ask for something."""


def source_hash(text: str) -> str:
    """An inline style or script as a content security policy names it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def render_page(
    template: str | Path,
    *,
    style: str = "",
    filters: Mapping[str, Callable[..., Any]] | None = None,
    plays: bool = False,
    **values: Any,
) -> bytes:
    """Fill a template that extends `frame.html` and return a page that needs nothing else.

    Everything from `values` is text in it, never markup. Its content security policy allows its style and pictures that
    stand in it, and neither scripts nor requests.

    Parameters
    ----------
    template : path
        Fills the blocks `title` and `main`; what it includes is looked for beside it, then here.
    style : str
        Follows the style of all pages.
    filters : mapping of name to function
        What the template calls.
    plays : bool
        Whether sounds stand in it, too.
    values
        What the template shows.
    """
    template = Path(template)
    style = stylesheet(HERE / "style.css") + style
    environment = templates(template.parent)
    environment.filters.update(filters or {})
    media = "media-src data:; " if plays else ""
    page = environment.get_template(template.name).render(
        policy=f"default-src 'none'; img-src data:; {media}style-src {source_hash(style)}; form-action 'none'",
        style=style,
        **values,
    )
    return page.encode("utf-8", "replace")


def templates(folder: Path) -> jinja2.Environment:
    """Templates of a folder, which extend `frame.html`: values are text, a misspelt one is an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader([folder, HERE]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=with_commands,
    )
    environment.filters.update({"flags": whole_flags, "at": place})
    return environment


def place(share: float) -> str:
    """A place in a drawing, as a share of its width or height, in the form that SVG takes."""
    return f"{100 * share:.2f}%"


def whole_flags(command: str) -> Any:
    """A command as text of a page in which no flag breaks between its hyphens; what is copied is the command."""
    from markupsafe import Markup, escape

    parts = re.split(r"(?<!\S)(--?[a-z][a-z-]*)", command)
    return Markup("").join(
        Markup('<span class="flag">{}</span>').format(part) if i % 2 else escape(part) for i, part in enumerate(parts)
    )


def with_commands(value: Any) -> Any:
    """A text in which commands between backticks are set as commands; anything else as it is."""
    from markupsafe import Markup, escape

    if not isinstance(value, str) or isinstance(value, Markup) or "`" not in value:
        return value
    parts = re.split(r"`([^`]+)`", value)
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if i % 2 else escape(part) for i, part in enumerate(parts)
    )


def image_source(content: bytes, kind: str = "png") -> str:
    """Return the content of a PNG or JPEG file as an image stands in a page."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def sound_source(content: bytes) -> str:
    """Return the content of a WAV file as an audio player in a page takes it."""
    return f"data:audio/wav;base64,{base64.b64encode(content).decode()}"

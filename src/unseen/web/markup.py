"""Small pieces of HTML; whatever they are given stands in them as text, what is between backticks as a command."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from markupsafe import Markup

from unseen.report.pages import with_commands


def joined(parts: Iterable[Any]) -> Markup:
    """The parts one after another; what is no `Markup` is escaped."""
    return Markup("").join(parts)


def paragraph(text: Any, kind: str = "") -> Markup:
    """A paragraph; `kind` is "", "quiet" or "notice"."""
    return Markup('<p class="{}">{}</p>').format(kind, with_commands(text))


def heading(text: Any) -> Markup:
    """A heading inside a tab."""
    return Markup("<h3>{}</h3>").format(text)


def items(texts: Iterable[Any]) -> Markup:
    """A list; nothing for none."""
    body = joined(Markup("<li>{}</li>").format(with_commands(text)) for text in texts)
    return Markup("<ul>{}</ul>").format(body) if body else Markup("")


def folded(summary: Any, body: Markup) -> Markup:
    """What is seen after a click or Enter."""
    return Markup("<details><summary>{}</summary>{}</details>").format(summary, body)


def code(text: Any) -> Markup:
    """A command or a name, as it is typed."""
    return Markup("<code>{}</code>").format(text)


def facts(pairs: Iterable[tuple[Any, Any]]) -> Markup:
    """Names, each with what it is."""
    body = joined(Markup("<dt>{}</dt><dd>{}</dd>").format(*pair) for pair in pairs)
    return Markup("<dl>{}</dl>").format(body)


def table(
    header: Sequence[Any],
    rows: Iterable[Sequence[Any]],
    *,
    numbers: Iterable[int] = (),
    groups: Sequence[tuple[Any, int]] = (),
) -> Markup:
    """A table; where the page is narrow, one of figures scrolls by itself, and one of texts is set line by line.

    Parameters
    ----------
    header : sequence of (N,)
    rows : of N cells each
        The first cell of a row is its head.
    numbers : indices in [0, N)
        Columns of figures.
    groups : sequence of (title, columns)
        A line above the header.
    """
    right = set(numbers)
    styles = ["n" if i in right else "" for i in range(len(header))]

    def line(cells: Sequence[Any]) -> Markup:
        first = Markup('<th class="{}" scope="row">{}</th>').format(styles[0], cells[0])
        rest = joined(
            Markup('<td class="{}" data-name="{}">{}</td>').format(*cell)
            for cell in zip(styles[1:], header[1:], cells[1:])
        )
        return first + rest

    top = joined(Markup('<th colspan="{}" scope="colgroup">{}</th>').format(span, title) for title, span in groups)
    names = joined(Markup('<th class="{}" scope="col">{}</th>').format(*pair) for pair in zip(styles, header))
    body = joined(Markup("<tr>{}</tr>").format(line(row)) for row in rows)
    return Markup(
        '<div class="scroll" tabindex="0" role="region" aria-label="table"><table class="{}">'
        "<thead>{}<tr>{}</tr></thead><tbody>{}</tbody></table></div>"
    ).format(
        "figures" if right else "texts", Markup('<tr class="groups">{}</tr>').format(top) if groups else "", names, body
    )

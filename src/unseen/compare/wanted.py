"""What is refused of methods that are named, before anything is encoded."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from unseen import methods as methods_
from unseen.compare.consensus import SLUG
from unseen.methods.base import signatures
from unseen.methods.listing import check_preset

COMMANDS = {
    "mask": "segment",
    "matches": "match",
    "ranking": "rank",
    "series": "forecast",
    "spans": "tag",
    "text": "caption",
    "value": "nas rank",
}
"""What of the command line runs methods of other tasks than classes."""


def check_wanted(wanted: Sequence[str], words: Collection[str], argument: str = "methods") -> None:
    """`ValueError` for what cannot run, before anything is encoded.

    That is a preset that is not there, a method of another task than classes, and one that needs what is not given.

    `words` are those of `fit` that are given, or may come of what is; `argument` is what named the methods.
    """
    for name_ in wanted:
        slug, _, preset = name_.partition(":")
        method = methods_.get(slug)
        if preset:
            check_preset(slug, preset, method.card.presets, argument)
        if method.card.task != "class":
            command = COMMANDS.get(method.card.task)
            hint = f": `unseen {command}` runs it" if command else ""
            raise ValueError(f"{argument}: {slug} cannot run here: it is for another task, {method.card.task}{hint}")
        missing = [sorted(set(way.required) - {*words, "encoder"}) for way in signatures(method)]  # it may be derived
        if slug != SLUG and missing and all(missing):
            fewest = min(missing, key=len)
            raise ValueError(f"{argument}: {slug} cannot run here: it needs {' and '.join(fewest)}")

"""Commands to a home with their intents: sentences by the templates of Home Assistant, as its wheel carries them."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.sources.pypi import fetch_wheel, read_member

PACKAGE = "home-assistant-intents"
PIN = {
    "version": "2026.11.25",
    "file": "home_assistant_intents-2026.11.25-py3-none-any.whl",
    "sha256": "1eaf08165e1adfb1ca8a836081a46fd97433ed620ba32cba71972e35575140a5",
}
CREDIT = "Templates of home-assistant-intents by the Home Assistant authors (Apache-2.0)"
FILLED: Mapping[str, tuple[str, ...]] = {
    "area": ("kitchen", "bedroom", "living room", "garage", "office", "hallway", "bathroom", "attic"),
    "floor": ("first", "second", "ground", "upper"),
    "message": ("dinner is ready", "we are leaving", "the guests are here", "time for school", "come downstairs"),
    "search_query": ("jazz", "the beatles", "some rock music", "the daily news", "classical piano", "bob dylan"),
    "shopping_list_item": ("milk", "bread", "eggs", "apples", "coffee", "butter", "rice", "tomatoes"),
    "timer_command": ("open the garage door", "turn off the lights", "lock the front door", "start the fan"),
    "timer_name": ("pizza", "laundry", "tea", "homework", "bread"),
    "todo_list_item": ("call the bank", "water the plants", "pay the rent", "wash the car", "buy a gift"),
    "zone": ("home", "work", "school", "the office"),
}
"""What is said where the templates leave open what a user of Home Assistant would name: written for this library."""
NAMED: Mapping[str, tuple[str, ...]] = {
    "climate": ("thermostat", "heater"),
    "cover": ("left curtain", "garage door", "window blind"),
    "fan": ("ceiling fan", "desk fan"),
    "lawn_mower": ("robot mower", "lawn mower"),
    "light": ("ceiling light", "desk lamp", "night light", "porch light"),
    "lock": ("front door", "back door"),
    "media_player": ("television", "stereo", "radio", "speaker"),
    "person": ("alice", "robert"),
    "scene": ("party time", "movie night"),
    "todo": ("work", "chores", "holiday"),
    "vacuum": ("robot vacuum", "hoover"),
    "valve": ("water valve", "sprinkler valve"),
    "weather": ("london", "paris", "new york"),
}
"""Names of devices and the like, by the first domain that a template asks for."""
OTHER = ("outdoor sensor", "coffee machine", "front gate")
DRAWS = 40
"""Times as many as wanted that are drawn before an intent counts as one that has too few sentences."""


def commands(each: int = 36) -> Domain:
    """Return `each` different sentences of every intent that has so many, drawn from its templates.

    Always the same ones. Which words stand in open slots (`FILLED`, `NAMED`) is this library's; all else is the
    package's. Intents are called as there, in words: HassCancelAllTimers is "cancel all timers".

    Returns
    -------
    Domain
        Texts with their intents as labels, those of an intent one after another.

    Raises
    ------
    ValueError
        If no intent has so many.
    SourceUnavailable
        If pip or the network is missing.
    """
    if each < 1:
        raise ValueError(f"each must be at least 1; got {each}")
    grammar = _grammar()
    sentences = {intent: _drawn(grammar, intent, each) for intent in sorted(grammar["intents"])}
    kept = {intent: texts for intent, texts in sentences.items() if len(texts) == each}
    if not kept:
        raise ValueError(f"each: no intent has {each} sentences")
    return Domain(
        x=np.array([text for texts in kept.values() for text in texts], dtype=np.str_),
        y=np.repeat(np.arange(len(kept)), each),
        kind="text",
        classes=ClassSpace(names=tuple(_in_words(intent) for intent in kept)),
        name="commands to a home",
        credits=(CREDIT,),
    )


def _in_words(intent: str) -> str:
    return " ".join(re.findall(r"[A-Z][a-z]*", intent.removeprefix("Hass"))).lower()


@functools.cache
def _grammar() -> dict[str, Any]:
    return json.loads(read_member(fetch_wheel(PACKAGE, PIN), "home_assistant_intents/data/en.json"))


def _drawn(grammar: Mapping[str, Any], intent: str, each: int) -> list[str]:
    """Different sentences of an intent, at most `each`: of a block of its templates one, said in one way."""
    rng = np.random.default_rng([len(intent), *intent.encode()])
    blocks = grammar["intents"][intent]["data"]
    texts: dict[str, None] = {}
    for _ in range(DRAWS * each):
        block = blocks[rng.integers(len(blocks))]
        template = block["sentences"][rng.integers(len(block["sentences"]))]
        domain = block.get("requires_context", {}).get("domain")
        names = NAMED.get(domain[0] if isinstance(domain, list) else str(domain), OTHER)
        texts[" ".join(Template(grammar, names, rng).said(template).split())] = None
        if len(texts) == each:
            break
    return list(texts)


class Template:
    """One way to say a template: [optional], (one|of|these), (all;of;these in any order), <rule>, {list:slot}.

    Parameters
    ----------
    grammar : mapping
        With ``expansion_rules`` and ``lists``.
    names : tuple of str
        For the slot ``name``.
    rng : numpy.random.Generator
    """

    def __init__(self, grammar: Mapping[str, Any], names: tuple[str, ...], rng: np.random.Generator) -> None:
        self.grammar, self.names, self.rng = grammar, names, rng

    def said(self, template: str) -> str:
        """The template with every choice made by chance."""
        return self._choices(template, 0, "")[0]

    def _choices(self, text: str, at: int, close: str) -> tuple[str, int]:
        """What is said from `at` to where `close` stands, and that place."""
        parts, marks = [""], set()
        while at < len(text) and text[at] not in ")]":
            mark = text[at]
            if mark in "([":
                inner, at = self._choices(text, at + 1, ")" if mark == "(" else "]")
                parts[-1] += inner if mark == "(" or self.rng.random() < 0.5 else ""
            elif mark in "<{":
                end = text.index(">" if mark == "<" else "}", at)
                parts[-1] += self._filled(mark, text[at + 1 : end])
                at = end
            elif mark in "|;":
                marks.add(mark)
                parts.append("")
            else:
                parts[-1] += mark
            at += 1
        if text[at : at + 1] != close:
            raise ValueError(f"a template is not closed or opened: {text!r}")
        if ";" in marks:
            return " ".join(parts[i] for i in self.rng.permutation(len(parts))), at
        return self._one(parts), at

    def _filled(self, mark: str, name: str) -> str:
        if mark == "<":
            return self.said(self.grammar["expansion_rules"][name])
        slot = name.partition(":")[0]
        values = self.names if slot == "name" else FILLED.get(slot)
        if values is not None:
            return self._one(values)
        entry = self.grammar["lists"][slot]
        if "values" in entry:
            value = self._one(entry["values"])
            return self.said(value["in"] if isinstance(value, Mapping) else value)
        steps = range(entry["range"]["from"], entry["range"]["to"] + 1, entry["range"].get("step", 1))
        return str(self._one(steps))

    def _one(self, values: Any) -> Any:
        return values[int(self.rng.integers(len(values)))]

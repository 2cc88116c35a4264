"""A graph of places, languages, scripts, currencies and zones of time: what Unicode's CLDR says of locales."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator
from typing import Any

from unseen.data.sources.graphs import Graph, graph
from unseen.data.sources.npm import fetch, read_members

PACKAGE = "cldr-core"
PIN = {"version": "48.2.0", "sha256": "5310e0c7a06c1feb83dc8e54c8584bbe0b9c2ea8320172a18d541986b124585d"}
CREDIT = "CLDR 48.2, Unicode, Inc. (Unicode License V3), by the npm package cldr-core"
FILES = (
    "calendarPreferenceData", "currencyData", "languageData", "languageGroups", "languageMatching", "likelySubtags",
    "metaZones", "plurals", "ordinals", "territoryContainment", "territoryInfo", "timeData", "weekData", "windowsZones",
)  # fmt: skip
OFFICIAL = {
    "official": "official_language",
    "de_facto_official": "de_facto_official_language",
    "official_regional": "regional_official_language",
}
FEWEST = 2
"""Triples that an entity stands in at the least."""

Row = tuple[str, str, str]


@functools.cache
def cldr() -> Graph:
    """Triples of 29 relations; entities are called by what they are and their code, such as ``territory:DE``."""
    names = [f"supplemental/{name}.json" for name in FILES]
    read = read_members(fetch(PACKAGE, PIN, instead="see unseen.data.sources.graphs"), [*names, "scriptMetadata.json"])
    files = {name: read[path]["supplemental"] for name, path in zip(FILES, names)}
    rows = list(dict.fromkeys(_rows(files, read["scriptMetadata.json"]["scriptMetadata"])))
    return graph(_kept(rows), name="cldr", credits=(CREDIT,))


def _kept(rows: list[Row]) -> list[Row]:
    """The rows whose ends stand in enough of them, counted again until none is dropped."""
    while True:
        count = Counter(end for head, _, tail in rows for end in (head, tail))
        kept = [row for row in rows if min(count[row[0]], count[row[2]]) >= FEWEST]
        if len(kept) == len(rows):
            return rows
        rows = kept


def _rows(files: dict[str, Any], scripts: dict[str, Any]) -> Iterator[Row]:
    territories = files["territoryInfo"]["territoryInfo"]
    spoken = {name.partition("_")[0] for of in territories.values() for name in of.get("languagePopulation", {})}
    yield from _territories(files, territories)
    yield from (row for row in _languages(files) if all(_spoken(end, spoken) for end in (row[0], row[2])))
    yield from _zones(files)
    for code, about in scripts.items():
        for key, relation, kind in (
            ("originCountry", "origin_of_script", "territory"),
            ("likelyLanguage", "likely_language_of_script", "language"),
        ):
            if about[key] not in ("", "n/a", "und", "ZZ"):
                yield f"script:{code}", relation, f"{kind}:{about[key]}"


def _territories(files: dict[str, Any], territories: dict[str, Any]) -> Iterator[Row]:
    for code, about in territories.items():
        for language, of in about.get("languagePopulation", {}).items():
            relation = OFFICIAL.get(of.get("_officialStatus"), "spoken_language")
            yield f"territory:{code}", relation, f"language:{language.partition('_')[0]}"
    for code, used in files["currencyData"]["currencyData"]["region"].items():
        for entry in used:
            ((currency, of),) = entry.items()
            if of.get("_tender") != "false":
                yield f"territory:{code}", "former_currency" if "_to" in of else "currency", f"currency:{currency}"
    for code, calendars in files["calendarPreferenceData"]["calendarPreferenceData"].items():
        for place, calendar in enumerate(calendars):
            yield f"territory:{code}", "other_calendar" if place else "calendar", f"calendar:{calendar}"
    for key, of in files["territoryContainment"]["territoryContainment"].items():
        code, _, status = key.partition("-status-")
        relation = "contains" if not status and "_grouping" not in of else "grouping_contains"
        for part in of["_contains"] if status != "deprecated" else ():
            yield f"territory:{code}", relation, f"territory:{part}"
    for code, hours in files["timeData"]["timeData"].items():
        if "_" not in code:
            yield f"territory:{code}", "preferred_hours", f"hours:{hours['_preferred']}"
            for other in hours["_allowed"].split():
                yield f"territory:{code}", "allowed_hours", f"hours:{other}"
    for key, relation in (("firstDay", "first_day"), ("weekendStart", "weekend_start"), ("weekendEnd", "weekend_end")):
        for code, day in files["weekData"]["weekData"][key].items():
            if "-alt-" not in code:
                yield f"territory:{code}", relation, f"day:{day}"


def _spoken(end: str, spoken: set[str]) -> bool:
    """Whether it is no language, or one that some territory's people speak."""
    kind, _, code = end.partition(":")
    return kind != "language" or code in spoken


def _languages(files: dict[str, Any]) -> Iterator[Row]:
    for key, of in files["languageData"]["languageData"].items():
        code, _, second = key.partition("-alt-")
        for script in of.get("_scripts", ()):
            yield f"language:{code}", "secondary_script" if second else "script", f"script:{script}"
    for code, likely in files["likelySubtags"]["likelySubtags"].items():
        if "-" not in code and code != "und":
            yield f"language:{code}", "likely_territory", f"territory:{likely.split('-')[-1]}"
    for family, members in files["languageGroups"]["languageGroups"].items():
        for code in members.split():
            kind = "family" if code in files["languageGroups"]["languageGroups"] else "language"
            yield f"family:{family}", "family_holds", f"{kind}:{code}"
    for match in files["languageMatching"]["languageMatching"]["written-new"]["languageMatch"]:
        ends = match["_desired"], match["_supported"]
        if all(end.isalpha() for end in ends):
            yield f"language:{ends[0]}", "understands", f"language:{ends[1]}"
    for name, relation in (("plurals", "plural_form"), ("ordinals", "ordinal_form")):
        (rules,) = (value for key, value in files[name].items() if key.startswith("plurals-type"))
        for code, forms in rules.items():
            for form in forms:
                yield f"language:{code}", relation, f"form:{form.rpartition('-')[2]}"


def _zones(files: dict[str, Any]) -> Iterator[Row]:
    for entry in files["windowsZones"]["windowsZones"]["mapTimezones"]:
        of = entry["mapZone"]
        for zone in of["_type"].split():
            if of["_territory"] not in ("001", "ZZ"):
                yield f"territory:{of['_territory']}", "zone", f"zone:{zone}"
            yield f"zone:{zone}", "zone_in_windows", f"windows:{of['_other']}"
    for zone, periods in _leaves(files["metaZones"]["metaZones"]["metazoneInfo"]["timezone"]):
        for period in periods:
            of = period["usesMetazone"]
            yield f"zone:{zone}", "former_common_time" if "_to" in of else "common_time", f"time:{of['_mzone']}"
    for entry in files["metaZones"]["metaZones"]["metazones"]:
        of = entry["mapZone"]
        if of["_territory"] == "001":
            yield f"time:{of['_other']}", "main_zone", f"zone:{of['_type']}"


def _leaves(tree: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """The lists of nested mappings, by the names on the way to them."""
    if isinstance(tree, list):
        yield "/".join(path), tree
    else:
        for name, below in tree.items():
            yield from _leaves(below, (*path, name))

"""Schemas of the relations of small knowledge graphs, written down by hand: what an ontology editor would say.

What is computed, domains and ranges, comes from the triples of relations that are learnt from. A relation of the exam
has its name, its gloss and its place among the others, and neither domain nor range.
"""

from __future__ import annotations

import numpy as np

from unseen.data.ontologies import schema
from unseen.data.ontology import Ontology
from unseen.data.sources.graphs import Graph

TYPES = (
    "organism", "anatomical_structure", "manufactured_object", "substance", "idea_or_concept", "finding",
    "organism_attribute", "intellectual_product", "occupation_or_discipline", "organization", "group", "behavior",
    "occupational_activity", "physiologic_function", "pathologic_function", "phenomenon_or_process", "activity",
    "entity", "event",
)  # fmt: skip
"""Coarse types of the entities of UMLS, which are semantic types themselves."""

UMLS = {
    "associated_with": {"": "has something to do with"},
    "physically_related_to": {
        "": "related by physical matter",
        "part_of": "is a portion of a larger body or whole",
        "consists_of": "is made of some material or substance",
        "contains": "holds a fluid or substance inside",
        "connected_to": "is attached to another body part",
        "interconnects": "links two or more body parts together",
        "ingredient_of": "is a substance mixed into a preparation or drug",
    },
    "spatially_related_to": {
        "": "related by place or region",
        "location_of": "is the place or site where something is or happens",
        "adjacent_to": "lies next to another body part",
        "surrounds": "encloses another structure on all sides",
    },
    "temporally_related_to": {
        "": "related by time",
        "co-occurs_with": "happens at the same time together with",
        "precedes": "happens earlier in time than",
    },
    "functionally_related_to": {
        "": "related by carrying out a function or activity",
        "affects": "changes or influences the state of something",
        "manages": "administers the care of a person or group",
        "treats": "applies a remedy to cure a disease",
        "disrupts": "changes a function or structure with a bad effect",
        "complicates": "makes a disease or condition more severe",
        "interacts_with": "acts and works together with another substance or organism",
        "prevents": "stops a disease or condition from happening",
        "produces": "brings forth or creates a substance or product",
        "causes": "brings about a disease, injury or condition",
        "performs": "carries out or accomplishes an activity",
        "carries_out": "executes a procedure or activity as an organization or person",
        "exhibits": "shows a behavior or activity",
        "practices": "performs an occupation habitually",
        "occurs_in": "happens under given conditions or in a group of people",
        "process_of": "is a function or process of an organism or body",
        "uses": "employs a device or substance in an activity",
        "manifestation_of": "is an observable sign of a process or disease",
        "indicates": "gives evidence for the presence of a disease or process",
        "result_of": "is a consequence or effect of a process or activity",
    },
    "conceptually_related_to": {
        "": "related by an abstract idea or thought",
        "evaluation_of": "is a judgment of the value of an attribute or process",
        "degree_of": "is the relative intensity of a quality or process",
        "analyzes": "studies or examines a substance by a method",
        "assesses_effect_of": "examines what a substance or activity leads to",
        "measurement_of": "is a quantity that measuring determined",
        "measures": "finds out the quantity or degree of a substance or attribute",
        "diagnoses": "identifies the nature of a disease",
        "property_of": "is a characteristic or quality of",
        "derivative_of": "is a substance made from another substance",
        "developmental_form_of": "is an earlier stage in the growth of a body part",
        "method_of": "is the manner of performing a procedure or activity",
        "conceptual_part_of": "is a portion of a larger whole in thought",
        "issue_in": "is a topic of study or debate in a discipline or occupation",
    },
}
"""The relations of the UMLS Semantic Network under its five groups, each with a gloss in our own words."""

NARROWER = {
    "affects": ("manages", "treats", "disrupts", "complicates", "interacts_with", "prevents"),
    "brings_about": ("produces", "causes"),
    "performs": ("carries_out", "exhibits", "practices"),
    "occurs_in": ("process_of",),
    "analyzes": ("assesses_effect_of",),
}
"""Which relations of the Semantic Network stand under another one of a group."""

NATIONS = {
    "trade and culture": {
        "exports3": "exports of goods, high", "relexports": "relative exports of goods",
        "exportbooks": "export of books", "relexportbooks": "relative export of books",
        "booktranslations": "translations of books", "relbooktranslations": "relative translations of books",
        "economicaid": "economic aid", "releconomicaid": "relative economic aid",
    },
    "diplomacy": {
        "embassy": "has an embassy in the country", "reldiplomacy": "relative diplomacy",
        "officialvisits": "official visits of politicians", "expeldiplomats": "expels diplomats",
        "severdiplomatic": "severs diplomatic relations", "unoffialacts": "unofficial acts of citizens",
    },
    "alliance": {
        "commonbloc0": "opposed blocs", "commonbloc1": "different or neutral blocs", "commonbloc2": "common bloc",
        "blockpositionindex": "position index of blocs", "militaryalliance": "military alliance",
        "timesinceally": "time since the countries were allies", "treaties": "treaties signed",
        "reltreaties": "relative number of treaties signed", "independence": "independence of the country",
        "dependent": "was dependent on the country",
    },
    "common organizations": {
        "intergovorgs": "common intergovernmental organizations",
        "relintergovorgs": "relative number of common intergovernmental organizations",
        "intergovorgs3": "many common intergovernmental organizations",
        "ngo": "common nongovernmental organizations",
        "relngo": "relative number of common nongovernmental organizations",
        "ngoorgs3": "many common nongovernmental organizations", "conferences": "common conferences",
        "weightedunvote": "votes alike in the United Nations, weighted",
        "unweightedunvote": "votes alike in the United Nations",
    },
    "travel of people": {
        "tourism": "tourists", "reltourism": "relative number of tourists", "tourism3": "many tourists",
        "students": "foreign students", "relstudents": "relative number of foreign students",
        "emigrants3": "many emigrants", "eemigrants": "emigrants", "relemigrants": "relative number of emigrants",
    },
    "conflict": {
        "negativebehavior": "negative behavior", "negativecomm": "negative communication",
        "accusation": "accusation", "pprotests": "protests", "warning": "warning or threat",
        "violentactions": "violent actions", "militaryactions": "military actions", "duration": "duration of violence",
        "boycottembargo": "boycott or embargo", "attackembassy": "attack on the embassy", "aidenemy": "aids an enemy",
        "lostterritory": "lost territory in war", "timesincewar": "time since the countries were at war",
        "nonviolentbehavior": "negative behavior without violence",
    },
}  # fmt: skip
"""The relations of Nations by topic, with their names as words."""


CLDR = {
    "language of a territory": {
        "official_language": "a language that the law of a territory makes official",
        "de_facto_official_language": "a language that a territory's government uses as if it were official",
        "regional_official_language": "a language that is official in a part of a territory",
        "spoken_language": "a language that people of a territory speak, without official status",
    },
    "place of a language or script": {
        "likely_territory": "the territory where a language is most likely spoken",
        "origin_of_script": "the territory where a script comes from",
    },
    "script of a language": {
        "script": "the script that a language is usually written in",
        "secondary_script": "another script that a language is sometimes written in",
        "likely_language_of_script": "the language that is most likely written in a script",
    },
    "kinship of languages": {
        "family_holds": "a family of languages contains a language or a narrower family",
        "understands": "speakers of a language read another language instead",
    },
    "grammar of numbers in a language": {
        "plural_form": "a form that nouns of a language take with a cardinal number, such as one or many",
        "ordinal_form": "a form that ordinal numbers of a language take, such as first or second",
    },
    "money of a territory": {
        "currency": "the currency that is money in a territory today",
        "former_currency": "a currency that was money in a territory in the past",
    },
    "parts of the world": {
        "contains": "a continent or region of the world contains a territory",
        "grouping_contains": "a union or organization of countries has a territory as its member",
    },
    "time of a place": {
        "zone": "a time zone that is in a territory",
        "zone_in_windows": "the name of a time zone in the Windows system",
        "common_time": "the common time that clocks of a time zone show today",
        "former_common_time": "a common time that clocks of a time zone showed in the past",
        "main_zone": "the time zone that stands for a common time",
    },
    "calendar of a territory": {
        "calendar": "the calendar that a territory prefers",
        "other_calendar": "another calendar that is used in a territory",
        "first_day": "the day on which the week begins in a territory",
        "weekend_start": "the day on which the weekend begins in a territory",
        "weekend_end": "the day on which the weekend ends in a territory",
        "preferred_hours": "how a territory prefers to write the hours of the day, with 12 or 24",
        "allowed_hours": "how the hours of the day may be written in a territory, with 12 or 24",
    },
}
"""What CLDR says of locales, by topic, each with a gloss in our own words."""


def schema_of(known: Graph) -> Ontology:
    """The schema of one of the graphs by name, from what is `known`: all entities, triples of training relations alone.

    domain and range are the types of the heads and of the tails of a relation's triples: a relation without a triple
    has none. Nothing else is read from triples but the types of UMLS, by isa, which is always a training relation.
    """
    return _SCHEMAS[known.pairs.name](known)


def types_of(known: Graph) -> np.ndarray:
    """The type of each entity: in UMLS by isa, in CLDR by what its code stands for; in Nations all are countries."""
    if known.pairs.name == "umls":
        types = _narrowest(known, itself=True)
        return np.array([types.get(name, "entity") for name in known.entities])
    return np.array([name.partition(":")[0] if ":" in name else "country" for name in known.entities])


def _ends(known: Graph) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """domain and range of the relations that have triples."""
    types, triples = types_of(known), known.triples
    domain, range_ = (
        {
            known.relations.names[r]: sorted({f"type {types[i]}" for i in triples[triples[:, 1] == r, column]})
            for r in np.unique(triples[:, 1])
        }
        for column in (0, 2)
    )
    return domain, range_


def umls_schema(known: Graph) -> Ontology:
    """subPropertyOf and glosses by hand; domain and range, coarse types, of the training relations."""
    broader: dict[str, list[str]] = {}
    texts: dict[str, str] = {}
    for group, members in UMLS.items():
        texts[group] = f"{group.replace('_', ' ')}: {members['']}"
        if group != "associated_with":
            broader[group] = ["associated_with"]
        for name, gloss in members.items():
            if name:
                broader[name], texts[name] = [group], f"{name.replace('_', ' ')}: {gloss}"
    broader["brings_about"] = ["functionally_related_to"]
    for name, narrower in NARROWER.items():
        broader |= {member: [name] for member in narrower}
    domain, range_ = _ends(known)
    wider = _narrowest(known)
    above = {f"type {name}": [f"type {wider[name]}"] for name in TYPES if name in wider}
    names = {f"type {name}": name.replace("_", " ") for name in TYPES}
    texts |= {"isa": "isa: is a kind of a wider type"}
    return schema(known.relations.names, domain=domain, range=range_, broader=broader, types=above, texts=texts | names)


def _narrowest(graph: Graph, *, itself: bool = False) -> dict[str, str]:
    """The narrowest of `TYPES` above each entity that has one, by isa; at or above it if `itself`."""
    isa, names = graph.relations.index("isa"), graph.entities
    above: dict[str, set[str]] = {name: {name} if itself else set() for name in names}
    for head, relation, tail in graph.triples.tolist():
        if relation == isa:
            above[names[head]].add(names[tail])
    held = {name: [t for t in TYPES if t in wider] for name, wider in above.items()}
    return {name: max(types, key=lambda t: len(above[t])) for name, types in held.items() if types}


def nations_schema(known: Graph) -> Ontology:
    """subPropertyOf a topic, and of what kind a measure is: from names alone, no triple is read."""
    broader: dict[str, list[str]] = {}
    texts: dict[str, str] = {}
    for topic, members in NATIONS.items():
        for name, text in members.items():
            kind = ["relative measure"] if name.startswith("rel") else ["high count"] if name.endswith("3") else []
            broader[name], texts[name] = [topic, *kind], text
        broader[topic] = ["relation of countries"]
    return schema(known.relations.names, broader=broader, texts=texts)


def cldr_schema(known: Graph) -> Ontology:
    """subPropertyOf a topic and glosses by hand; domain and range of the training relations."""
    broader: dict[str, list[str]] = {}
    texts: dict[str, str] = {}
    for topic, members in CLDR.items():
        broader[topic] = ["relation of locales"]
        for name, gloss in members.items():
            broader[name], texts[name] = [topic], f"{name.replace('_', ' ')}: {gloss}"
    domain, range_ = _ends(known)
    types = {f"type {kind}": kind for kind in np.unique(types_of(known)).tolist()}
    return schema(known.relations.names, domain=domain, range=range_, broader=broader, texts=texts | types)


_SCHEMAS = {"umls": umls_schema, "nations": nations_schema, "cldr": cldr_schema}

"""Taxonomies from where people have them: each is one function that gives classes with a distance, and phrases."""

from __future__ import annotations

from collections.abc import Callable

from unseen.data.taxonomies.base import Taxonomy, build, find, hold_out
from unseen.data.taxonomies.obo import obo, owl
from unseen.data.taxonomies.packaged import hpo, icd9_titles, icd10cm
from unseen.data.taxonomies.placing import place
from unseen.data.taxonomies.rf2 import rf2
from unseen.data.taxonomies.senses import senses
from unseen.data.taxonomies.table import table
from unseen.data.taxonomies.wordnet import noun_graph, wordnet

__all__ = [
    "FORMS",
    "Taxonomy",
    "build",
    "find",
    "hold_out",
    "hpo",
    "icd9_titles",
    "icd10cm",
    "load",
    "noun_graph",
    "obo",
    "owl",
    "place",
    "rf2",
    "senses",
    "table",
    "wordnet",
]

FORMS = (
    "icd10cm",
    "icd10cm:9,10",
    "hpo",
    "wordnet",
    "wordnet:FOLDER",
    "obo:FILE",
    "owl:FILE",
    "rf2:FOLDER",
    "csv:FILE",
)
"""How `load` is told which taxonomy is meant."""

_FILES: dict[str, Callable[[str], Taxonomy]] = {"obo": obo, "owl": owl, "rf2": rf2, "csv": table, "wordnet": wordnet}


def load(name: str) -> Taxonomy:
    """A taxonomy by its name, one of `FORMS`.

    Raises
    ------
    ValueError
        If the name has no such form.
    FileNotFoundError
        If there is no such file or folder.
    """
    form, _, where = name.partition(":")
    if form == "icd10cm":
        return icd10cm([part.strip() for part in where.split(",") if part.strip()])
    if form in ("hpo", "wordnet") and not where:
        return hpo() if form == "hpo" else wordnet()
    if form in _FILES and where:
        return _FILES[form](where)
    raise ValueError(f"taxonomy must be {', '.join(FORMS[:-1])} or {FORMS[-1]}; got {name!r}")

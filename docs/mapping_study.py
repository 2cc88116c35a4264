"""How often `unseen map` finds the right concept: titles of ICD-9-CM, and their short forms, in chapters of ICD-10-CM.

    python docs/mapping_study.py 9,10 4,6,13                        two sets of chapters
    python docs/mapping_study.py hpo:HP:0001626 wordnet:bird.n.01   synonyms of what is below a concept, taken away

Rows: vectors of words (wordllama) and of whole phrases (MiniLM) alone, with trigrams of letters beside them (what
`unseen map` does), and text2node. The table stands in docs/taxonomies.md.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from unseen.data.taxonomies import Taxonomy, build, icd9_titles, icd10cm, load
from unseen.evaluation.metrics.taxonomy import hit_at, hops, mean_reciprocal_rank
from unseen.jobs.mapping.job import check, learn

ARMS: dict[str, dict[str, Any]] = {
    "names, vectors of words": {"method": "nearest-name", "words": "wordllama", "letters": 0.0},
    "names, vectors of whole phrases": {"method": "nearest-name", "letters": 0.0},
    "nearest-name": {"method": "nearest-name"},
    "text2node": {"method": "text2node"},
    "text2node, vectors of whole phrases": {"method": "text2node", "words": "minilm"},
}


def rows(chapters: str) -> Iterator[str]:
    """A line of the table for each arm and both kinds of titles."""
    tree = icd10cm(tuple(chapters.split(",")))
    titles = icd9_titles(tree)
    asked = {"titles": titles.x.tolist(), "short titles": [str(text) for text in titles.columns["short"]]}
    metric = tree.classes.metric
    assert metric is not None
    print(f"chapters {chapters}: {len(tree)} nodes, {len(titles)} titles", flush=True)
    for arm, settings in ARMS.items():
        mapper = learn(tree, **settings)
        for name, texts in asked.items():
            found = mapper.nodes(texts, 10)
            far = hops(titles.labels, found[:, 0], metric).mean()
            figures = [hit_at(titles.labels, found, 1), hit_at(titles.labels, found, 10)]
            figures.append(mean_reciprocal_rank(titles.labels, found))
            yield f"| {chapters} | {name} | {arm} | {' | '.join(f'{f:.2f}' for f in figures)} | {far:.1f} |"


def below(name: str, node: str) -> Taxonomy:
    """A concept of a taxonomy and all that is below it, as a taxonomy."""
    whole = load(name)
    kept = whole.subtree(whole.classes.index(node))
    names, inside = whole.classes.names, set(kept.tolist())
    place = {old: new for new, old in enumerate(kept.tolist())}
    above = [[names[p] for p in whole.parents(old).tolist() if p in inside] for old in kept.tolist()]
    phrases = [
        (place[y], text) for y, text in zip(whole.phrases.labels.tolist(), whole.phrases.x.tolist()) if y in place
    ]
    texts = [whole.classes.texts[old] for old in kept.tolist()]
    return build([names[old] for old in kept.tolist()], above, texts, phrases, name=f"{name} below {node}")


def rows_of_synonyms(name: str, node: str) -> Iterator[str]:
    """A line of the table for each arm: synonyms that were taken away, asked for."""
    tree = below(name, node)
    print(f"{name} below {node}: {len(tree)} nodes, {len(tree.phrases)} phrases", flush=True)
    for arm, settings in ARMS.items():
        others = {key: value for key, value in settings.items() if key != "method"}
        found = check(tree, of=(settings["method"],), **others)
        assert found is not None
        own = found.figures[settings["method"]]
        figures = " | ".join(f"{own[key]:.2f}" for key in ("first", "among ten", "mrr"))
        yield f"| {name}:{node} | {found.n} {found.asked} | {arm} | {figures} | {own['hops']:.1f} |"


if __name__ == "__main__":
    print("| chapters | asked | method | first | among ten | MRR | steps |\n|---|---|---|---|---|---|---|")
    for given in sys.argv[1:] or ["9,10"]:
        name, _, node = given.partition(":")
        for line in rows_of_synonyms(name, node) if node else rows(given):
            print(line, flush=True)

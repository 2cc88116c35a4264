"""How often `unseen map` finds the right concept: titles of ICD-9-CM, and their short forms, in chapters of ICD-10-CM.

    python docs/mapping_study.py 9,10 4,6,13      two sets of chapters

Rows: vectors of words (wordllama) and of whole phrases (MiniLM) alone, with trigrams of letters beside them (what
`unseen map` does), and text2node. The table stands in docs/taxonomies.md.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from unseen.data.taxonomies import icd9_titles, icd10cm
from unseen.evaluation.metrics.taxonomy import hit_at, hops, mean_reciprocal_rank
from unseen.jobs.mapping.job import learn

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


if __name__ == "__main__":
    print("| chapters | asked | method | first | among ten | MRR | steps |\n|---|---|---|---|---|---|---|")
    for given in sys.argv[1:] or ["9,10"]:
        for line in rows(given):
            print(line, flush=True)

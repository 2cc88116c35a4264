"""Nouns of WordNet by kind, told by their words or by what defines them: two domains of texts that claims share."""

from __future__ import annotations

import functools

import numpy as np

from unseen.claims import worlds
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.taxonomies import wordnet

KINDS, EACH = 40, 30
SIZES = (60, 160)
"""Fewest and most nouns below what counts as a kind."""
FORMS = ("definitions", "words")


_tree = functools.cache(wordnet)


@functools.cache
def nouns(form: str) -> Domain:
    """Texts of `EACH` nouns of each of `KINDS` kinds, such as "rodent" or "musical_instrument".

    Kinds are synsets with a number of nouns below them in `SIZES`, none below another, the first by a hash of their
    names; a noun that is of two kinds, or is told in fewer than two words by its definition, is of none.
    """
    if form not in FORMS:
        raise ValueError(f"form must be of {', '.join(FORMS)}; got {form!r}")
    tree = _tree()
    named, defined = tree.classes.names, tree.definitions or ()
    fitting = {int(i) for i in np.flatnonzero((tree.sizes >= SIZES[0]) & (tree.sizes <= SIZES[1]))}
    kinds = sorted(
        (i for i in fitting if not fitting & (tree.ancestors(i) - {i})), key=lambda i: worlds.hashed(named[i])
    )[:KINDS]
    below = [[int(node) for node in tree.subtree(kind) if int(node) != kind] for kind in kinds]
    often = np.bincount(np.concatenate(below), minlength=len(named))
    words: dict[int, str] = {}
    for text, node in zip(tree.phrases.x.tolist(), tree.phrases.labels.tolist()):
        words[node] = f"{words[node]}, {text}" if node in words else text
    texts: list[str] = []
    labels: list[int] = []
    for label, nodes in enumerate(below):
        alone = [node for node in nodes if often[node] == 1 and " " in defined[node]]
        kept = sorted(alone, key=lambda node: worlds.hashed(named[node]))[:EACH]
        texts += [defined[node] if form == "definitions" else words[node] for node in kept]
        labels += [label] * len(kept)
    return Domain(
        x=np.array(texts), y=np.array(labels), kind="text", name=form,
        classes=ClassSpace(names=tuple(named[kind] for kind in kinds)),
    )  # fmt: skip

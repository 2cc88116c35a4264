"""Which of several nodes of one name a class is: by its description, and by where the other classes of the list lie."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from unseen.data.taxonomies.base import Taxonomy, candidates
from unseen.data.typing import FloatArray, IntArray

RANK, SMALLEST, DESCRIBED = 0.5, 0.006, 10.0
"""Chosen on ImageNet and CIFAR-100: how much a sense's rank counts, the share of the taxonomy that is added to the size
of what is above a sense, and how much its description counts. Without `SMALLEST` a handful of pelts, which lie in a
small corner of WordNet, draws all animals of a list to their furs.
"""

_WORD = re.compile(r"[^\W\d_]{3,}")


def senses(names: Sequence[str], taxonomy: Taxonomy, descriptions: Sequence[str] | None = None) -> IntArray:
    """The node of each name, (n,); -1 where there is none. Of several nodes of one name the likeliest counts.

    Three things are weighed: which sense comes first in the taxonomy (WordNet's most frequent); how many words the
    description shares with the node's definition, its names, and the names of all nodes above it (Lesk's rule [1],
    rare words count more); and how many other classes lie below the nodes above it, by how large these are.

    Parameters
    ----------
    names : n strings
        Identifiers, names or synonyms.
    taxonomy : Taxonomy
    descriptions : n strings, optional
        Empty where nothing is said.

    References
    ----------
    [1] Lesk, "Automatic sense disambiguation using machine readable dictionaries", SIGDOC 1986; with the words of the
        nodes above as Banerjee and Pedersen, "Extended Gloss Overlaps", IJCAI 2003.
    """
    options = candidates(names, taxonomy)
    open_ = [i for i, nodes in enumerate(options) if len(nodes) > 1]
    chosen = np.array([nodes[0] if nodes else -1 for nodes in options], dtype=np.int64)
    if not open_:
        return chosen
    score: dict[int, FloatArray] = {i: -RANK * np.log(np.arange(1, len(options[i]) + 1)) for i in open_}
    if descriptions is not None and any(descriptions[i] for i in open_):
        words = _Words(taxonomy)
        for i in open_:
            score[i] = score[i] + DESCRIBED * np.array([words.alike(descriptions[i], n, names[i]) for n in options[i]])
    for i, shared in _shared(options, score, taxonomy).items():
        chosen[i] = options[i][int((score[i] + np.log(shared)).argmax())]
    return chosen


def _shared(
    candidates: Sequence[Sequence[int]], score: dict[int, FloatArray], taxonomy: Taxonomy
) -> dict[int, FloatArray]:
    """How much of the other classes lies below the nodes above each candidate of a name with several.

    A name with several counts for each of its candidates by how likely that is so far. A node counts for one class
    only, as classes are different nodes.
    """
    size = taxonomy.sizes / len(taxonomy) + SMALLEST
    weight = {i: np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum() for i, scores in score.items()}
    at: dict[int, float] = defaultdict(float)
    below: dict[int, float] = defaultdict(float)
    for i, nodes in enumerate(candidates):
        for node, share in zip(nodes, weight.get(i, np.ones(len(nodes))).tolist()):
            at[node] += share
            for up in taxonomy.ancestors(node):
                below[up] += share
    out: dict[int, FloatArray] = {}
    for i, weights in weight.items():
        mine: dict[int, float] = defaultdict(float)
        for node, share in zip(candidates[i], weights.tolist()):
            for up in taxonomy.ancestors(node):
                mine[up] += share
        out[i] = np.array([
            sum(max(below[up] - mine[up] - (at[node] - share), 0.0) / size[up] for up in taxonomy.ancestors(node))
            for node, share in zip(candidates[i], weights.tolist())
        ]) + 1e-9  # fmt: skip
    return out


class _Words:
    """Words of nodes, and how rare each is in the taxonomy."""

    def __init__(self, taxonomy: Taxonomy) -> None:
        self.taxonomy = taxonomy
        self.names: list[list[str]] = [[] for _ in range(len(taxonomy))]
        for text, node in zip(taxonomy.phrases.x.tolist(), taxonomy.phrases.labels.tolist()):
            self.names[node].append(text)
        self.definitions = taxonomy.definitions or taxonomy.classes.texts
        counts: Counter[str] = Counter()
        for names, definition in zip(self.names, self.definitions):
            counts.update(_words(" ".join([definition, *names])))
        self.found = counts

    def alike(self, description: str, node: int, name: str) -> float:
        """Cosine of the words of a description and of a node, in [0, 1]; those of the name itself tell nothing."""
        above = [text for up in self.taxonomy.ancestors(node) for text in self.names[up]]
        name_words, wanted = _words(name), _words(description)
        wanted, node_words = wanted - name_words, _words(" ".join([self.definitions[node], *above])) - name_words
        if not wanted or not node_words:
            return 0.0
        return self._square(wanted & node_words) / (self._square(wanted) * self._square(node_words)) ** 0.5

    def _square(self, words: set[str]) -> float:
        n = len(self.taxonomy) + 1
        return sum(float(np.log(n / (self.found[word] + 1))) ** 2 for word in sorted(words))


def _words(text: str) -> set[str]:
    """Words of three letters or more, in lower case and the singular."""
    return {_singular(word) for word in _WORD.findall(text.casefold())}


def _singular(word: str) -> str:
    if len(word) < 5 or word.endswith("ss"):
        return word
    return word[:-3] + "y" if word.endswith("ies") else word[:-2] if word.endswith("es") else word.removesuffix("s")

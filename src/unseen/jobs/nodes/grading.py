"""How well classes and links of nodes are told, beside the simple ways."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from unseen.data.classes import ClassSpace
from unseen.data.domain import UNLABELED, Domain
from unseen.data.rows import unit_rows
from unseen.data.text_graphs import (
    Neighbourhoods,
    TextAttributedGraph,
)
from unseen.evaluation.drive import HeldOut, Together
from unseen.evaluation.metrics.classification import accuracy, wilson_interval
from unseen.jobs.nodes.links import AT_ONCE, cosines, link_scores
from unseen.methods.subgraph_encoders import SubgraphEncoder
from unseen.nn.logistic import fit_logistic
from unseen.runtime import track

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")
SURE = 0.01
"""Of a sign test: small, since it is the best of several arms that is tested."""
SCALE = 20.0
"""Factor of cosines before a softmax, for arms that learn none."""


def asked_in_parts(method: SubgraphEncoder, domain: Domain) -> NDArray[np.float32]:
    """Scores of all nodes, (n, k)."""
    return _in_parts(method.decision_function, domain)


def vectors_of(
    arm: str, method: SubgraphEncoder, domain: Domain, x: NDArray[np.float32], near: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Unit vectors of all nodes as an arm reads them, (n, d), of its text and neighbours where it has none of its own;
    NaN of a node of which nothing is known."""
    if arm == method.card.slug:
        vectors = _in_parts(method.transform, domain)
        vectors[(x == 0).all(axis=1) & (near == 0).all(axis=1)] = 0
    else:
        texts, around = unit_rows(x), unit_rows(near)
        vectors = {"own text": texts, "neighbours": around}.get(arm, unit_rows(texts + around))
    vectors = np.array(vectors, dtype=np.float32)
    vectors[(vectors == 0).all(axis=1)] = np.nan
    return vectors


def _in_parts(ask: Callable[[Domain], Any], domain: Domain) -> NDArray[np.float32]:
    starts = range(0, len(domain), AT_ONCE)
    return np.concatenate([ask(domain.take(slice(i, i + AT_ONCE))).numpy() for i in track(starts, "nodes")])


def simple_arms(
    x: NDArray[np.float32], near: NDArray[np.float32], classes: ClassSpace, graph: TextAttributedGraph,
    support: NDArray[np.int64], seed: int,
) -> dict[str, NDArray[np.float32]]:  # fmt: skip
    """Scores of what learns nothing, and of logistic regression on the labels where there are some."""
    assert classes.embeddings is not None
    w = SCALE * unit_rows(classes.embeddings).T
    arms = {
        "own text": unit_rows(x) @ w,
        "neighbours": unit_rows(near) @ w,
        "own and neighbours": unit_rows(unit_rows(x) + unit_rows(near)) @ w,
    }
    if len(support):
        import torch

        assert graph.labels is not None
        both = np.concatenate([x, near], axis=1)
        y = graph.labels[support]
        present, place = np.unique(y, return_inverse=True)
        head = fit_logistic(torch.as_tensor(both[support]), place, len(present), C=10.0, standardize="moderated")
        with torch.no_grad():
            logits = head(torch.as_tensor(both)).numpy()
        arms["logistic regression"] = np.full((len(x), len(classes)), -1e4, dtype=np.float32)
        arms["logistic regression"][:, present] = logits
    return arms


def unknown(scores: Mapping[str, NDArray[np.float32]], graph: TextAttributedGraph, say: Callable[[str], None]) -> None:
    """Level the scores of nodes of which nothing is known, neither a text nor a neighbour: no arm names them."""
    silent = np.array([not str(text).strip() for text in graph.texts]) & (graph.degrees == 0)
    if n := int(silent.sum()):
        say(f"nodes with neither a text nor a neighbour, which get no class: {n:,}, such as {graph.names[silent][0]}")
    for values in scores.values():
        values[silent] = 0


def said_by(scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """The class of largest score, (n,); -1 where all are the same, as of a text or neighbours that are not there."""
    return np.where(np.ptp(scores, axis=1) > 0, scores.argmax(axis=1), UNLABELED)


def grades_of(
    scores: Mapping[str, NDArray[np.float32]], graph: TextAttributedGraph, support: NDArray[np.int64]
) -> dict[str, dict[str, Any]]:
    """Accuracy, with its interval of 95 %, and macro-F1 of every arm on nodes whose labels nobody learnt from.

    No class is a wrong one.
    """

    def figures(truth: NDArray[np.int64], guess: NDArray[np.int64]) -> dict[str, Any]:
        from sklearn.metrics import f1_score

        right = accuracy(truth, guess)
        return {
            "accuracy": right,
            "interval": list(wilson_interval(right, len(truth))),
            "macro_f1": float(f1_score(truth, guess, average="macro", labels=np.unique(truth), zero_division=0)),
            "n": len(truth),
        }

    return _graded(figures, scores, graph, support)


def chosen_of(scores: Mapping[str, NDArray[np.float32]], graph: TextAttributedGraph, support: NDArray[np.int64]) -> str:
    """Whose classes are written: the best arm's, if it is surely right on more labels than the first.

    Of the nodes that one of the two is right on and the other is not, so many must speak for it as chance gives in
    `SURE` of cases (a sign test). Without labels it is the first arm.
    """
    from scipy.stats import binomtest

    first = next(iter(scores))
    right = _graded(lambda truth, guess: guess == truth, scores, graph, support)
    if not right:
        return first
    best = max(right, key=lambda name: right[name].mean())
    better, worse = int((right[best] & ~right[first]).sum()), int((right[first] & ~right[best]).sum())
    if not better:
        return first
    return best if binomtest(better, better + worse, alternative="greater").pvalue < SURE else first


def _graded(
    grade: Callable[[NDArray[np.int64], NDArray[np.int64]], T], scores: Mapping[str, NDArray[np.float32]],
    graph: TextAttributedGraph, support: NDArray[np.int64],
) -> dict[str, T]:  # fmt: skip
    """What comes of every arm on nodes whose labels nobody learnt from; empty without such."""
    rows = rows_to_grade(graph, support)
    if not len(rows):
        return {}
    assert graph.labels is not None
    labels = graph.labels
    said = {name: said_by(values[rows]) for name, values in scores.items()}
    return Together(grade)(HeldOut(rows, labels[rows]), said)


def rows_to_grade(graph: TextAttributedGraph, support: NDArray[np.int64]) -> NDArray[np.int64]:
    """The nodes with labels that nobody learnt from."""
    known = np.empty(0, dtype=np.int64) if graph.labels is None else np.flatnonzero(graph.labels >= 0)
    return np.setdiff1d(known, support)


def by_class(
    said: NDArray[np.int64], graph: TextAttributedGraph, space: ClassSpace, support: NDArray[np.int64]
) -> dict[str, dict[str, int]]:
    """Of each class how many nodes are called so, how many have the label that grades, and how many of these are right.

    Parameters
    ----------
    said : int array (n,)
        The class of every node, -1 for none.
    """
    rows = rows_to_grade(graph, support)
    labels = np.full(len(graph), UNLABELED) if graph.labels is None else graph.labels
    right = rows[said[rows] == labels[rows]]
    counts = {"named": said, "labelled": labels[rows], "right": labels[right]}
    each = {what: np.bincount(places[places >= 0], minlength=len(space)) for what, places in counts.items()}
    return {name: {what: int(n[c]) for what, n in each.items()} for c, name in enumerate(space.names)}


def answer_in_lines(graded: Mapping[str, Mapping[str, Any]], chosen: str) -> list[str]:
    """The arms by accuracy, and whose classes are written; the first arm is the method's."""
    if not graded:
        return ["no labels are left to grade by: look at some rows of nodes.csv"]
    order = sorted(graded, key=lambda name: -graded[name]["accuracy"])
    lines = [f"of {graded[order[0]]['n']:,} labelled nodes right (macro-F1):"]
    lines += [f"  {name}: {graded[name]['accuracy']:.1%} ({graded[name]['macro_f1']:.3f})" for name in order]
    if chosen != next(iter(graded)):
        lines.append(f"the classes in nodes.csv are those of {chosen}, which needs no graph encoder")
    elif order[0] != chosen:
        lines.append(f"{order[0]} is right on a few more, too few to be sure of: the classes are those of {chosen}")
    return lines


def table_of_nodes(
    graph: TextAttributedGraph, space: ClassSpace, answer: NDArray[np.float32], text_scores: NDArray[np.float32]
) -> pd.DataFrame:
    """A row for each node, with the class of largest score and its probability by a softmax of the scores.

    The class is empty where the scores say nothing.
    """
    import pandas as pd

    names = np.array((*space.names, ""))  # the last is what -1 is called
    p = np.exp(answer - answer.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    return pd.DataFrame({
        "node": graph.names, "class": names[said_by(answer)], "probability": p.max(axis=1).round(4),
        "by_text": names[said_by(text_scores)], "neighbours": graph.degrees,
    })  # fmt: skip


def scored_links(
    method: SubgraphEncoder, asked: NDArray[np.int64] | None, graph: TextAttributedGraph, places: Neighbourhoods,
    x: NDArray[np.float32], domain: Domain,
) -> pd.DataFrame | None:  # fmt: skip
    if asked is None:
        return None
    import pandas as pd

    score = link_scores(method, domain, asked)
    return pd.DataFrame({
        "source": graph.names[asked[:, 0]], "target": graph.names[asked[:, 1]], "score": score.round(4),
        "text": cosines(x, asked).round(4),
    })  # fmt: skip

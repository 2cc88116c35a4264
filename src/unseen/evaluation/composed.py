"""How well pictures are found by a picture and a text: in galleries of templates, and in a whole collection (GeneCIS,
steps 11 and 13)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.evaluation.composed_templates import Template
from unseen.evaluation.metrics.retrieval import recall_at

Embed = Callable[[Sequence[int], Sequence[str]], NDArray[np.floating]]
"""From positions of references and their conditions to unit vectors of queries, (n, d)."""
KS = (1, 2, 3)
MASKED = -1e5
"""Score of the reference in a whole collection."""


def evaluate_templates(
    embed: Embed,
    gallery: NDArray[np.floating],
    templates: Sequence[Template],
    ks: Sequence[int] = KS,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Recall of each kind of template and their mean, with an interval over templates.

    Parameters
    ----------
    embed : callable (references, conditions) -> (n, d)
    gallery : array (N, d)
        Unit vectors of all pictures, each computed once, by position.
    templates : sequence of Template
    ks : sequence of int
    resamples : int
        Of the bootstrap.

    Returns
    -------
    dict
        `kinds`: recall by k for each kind, with `chance` at 1; `recall`: the mean of recall@1 over kinds, the headline;
        `chance`: what guessing has of it; `interval`: its 95 % interval; `n`: templates. A target that scores as a
        distractor stands behind it.

    Raises
    ------
    ValueError
        If there is no template, or a score is not finite.
    """
    if not templates:
        raise ValueError("templates must hold at least one; there is none")
    queries = np.asarray(embed([t.reference for t in templates], [t.condition for t in templates]))
    places = np.array([_place(query, gallery, template) for query, template in zip(queries, templates)])
    kinds = np.array([template.kind for template in templates])
    sizes = np.array([len(template.gallery) for template in templates])
    names = list(dict.fromkeys(kinds.tolist()))
    table = {
        name: {f"recall@{k}": float((places[kinds == name] < k).mean()) for k in ks}
        | {"chance": float((1 / sizes[kinds == name]).mean()), "n": int((kinds == name).sum())}
        for name in names
    }
    hits = [(places[kinds == name] < 1).astype(float) for name in names]
    rng = np.random.default_rng(seed)
    drawn = [
        np.mean([of_kind[rng.integers(len(of_kind), size=len(of_kind))].mean() for of_kind in hits])
        for _ in range(resamples)
    ]
    low, high = np.quantile(drawn, (0.025, 0.975)) if resamples else (np.nan, np.nan)
    return {
        "kinds": table,
        "recall": float(np.mean([of_kind.mean() for of_kind in hits])),
        "chance": float(np.mean([row["chance"] for row in table.values()])),
        "interval": (float(low), float(high)),
        "n": len(templates),
    }


def _place(query: NDArray[Any], gallery: NDArray[Any], template: Template) -> int:
    """How many distractors score at least as much as the target."""
    scores = gallery[list(template.gallery)] @ query
    if not np.isfinite(scores).all():
        raise ValueError(f"embed and gallery must give finite scores; those of reference {template.reference} are not")
    return int((scores[1:] >= scores[0]).sum())


def evaluate_global(
    queries: NDArray[np.floating],
    references: Sequence[int],
    relevant: Sequence[Sequence[int]],
    gallery: NDArray[np.floating],
    ks: Sequence[int] = (1, 5, 10),
) -> dict[int, float]:
    """Recall in a whole collection: any relevant picture among the first k counts, the reference itself does not.

    Parameters
    ----------
    queries : array (n, d)
    references : sequence of int
        Position of each query's picture in the gallery.
    relevant : sequence of sequences of int
        Right answers of each query, at least one, without the reference.
    gallery : array (N, d)
    """
    scores = np.asarray(queries, dtype=np.float64) @ np.asarray(gallery, dtype=np.float64).T
    right = np.zeros(scores.shape, dtype=bool)
    for i, (reference, answers) in enumerate(zip(references, relevant, strict=True)):
        if reference in answers:
            raise ValueError(f"relevant must not hold the reference; query {i} does")
        scores[i, reference] = MASKED
        right[i, list(answers)] = True
    return recall_at(scores, right, ks)

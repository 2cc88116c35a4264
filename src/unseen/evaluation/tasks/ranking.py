"""How rankings are graded: nDCG@10, recall@100 and the reciprocal rank, by ir_measures."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.data.classes import ClassSpace
from unseen.data.rankings import NOTHING, Ranking
from unseen.data.tasks import task_of
from unseen.data.typing import FloatArray
from unseen.evaluation.tasks.base import Grades

NEEDED = 'the metrics of rankings need: pip install "unseen[retrieval]"'
MEASURES = {"ndcg@10": "nDCG@10", "recall@100": "R@100", "mrr@10": "RR@10"}
"""What ir_measures calls each figure."""


class _Ranking(Grades):
    task = "ranking"
    headline = "ndcg@10"
    meaning = "nDCG@10 is 1 where the relevant documents stand first, and less the later in the first ten they stand."

    def grade(self, truth: NDArray[Any], prediction: Any, classes: ClassSpace | None = None) -> dict[str, float]:
        """The mean over queries of each of `MEASURES`."""
        figures = per_query(truth, prediction)
        return {name: float(np.nanmean(values)) for name, values in figures.items()}

    def each(self, truth: NDArray[Any], prediction: Any, classes: ClassSpace | None = None) -> FloatArray:
        """nDCG@10 of every query, (n,), NaN where nothing is known to be relevant."""
        return per_query(truth, prediction)[self.headline]


def per_query(truth: NDArray[Any], prediction: Any) -> dict[str, FloatArray]:
    """Each of `MEASURES` of every query, (n,); NaN where nothing is known to be relevant.

    Parameters
    ----------
    truth : array of n labels of the task ``ranking``
    prediction : Ranking, or int array (n, k)
        Places in the corpus, the best first; the order counts, not the scores.

    Raises
    ------
    ValueError
        If lengths differ, or nothing is relevant to any query.
    ImportError
        If ir_measures is not installed; the message is the command that does it.
    """
    documents = np.asarray(prediction.documents if isinstance(prediction, Ranking) else prediction)
    if documents.ndim != 2 or len(documents) != len(truth):
        raise ValueError(
            f"prediction must be of {len(truth)} queries and documents, (n, k); got shape {documents.shape}"
        )
    known = np.flatnonzero(task_of("ranking").labeled(truth))
    if not len(known):
        raise ValueError("truth must say of one query at least what is relevant to it")
    try:
        import ir_measures
    except ImportError as error:
        raise ImportError(NEEDED) from error
    judged = {str(i): {str(d): int(grade) for d, grade in np.asarray(truth[i]).tolist()} for i in known}
    run: dict[str, dict[str, float]] = {}
    for i in known:
        ranked = [d for d in documents[i].tolist() if d != NOTHING]
        run[str(i)] = {str(d): float(-rank) for rank, d in enumerate(ranked)}  # equal scores would be ordered by name
    measures = {ir_measures.parse_measure(measure): name for name, measure in MEASURES.items()}
    out = {name: np.full(len(truth), np.nan) for name in MEASURES}
    for values in out.values():
        values[known] = 0.0
    for metric in ir_measures.iter_calc([*measures], judged, {q: scores for q, scores in run.items() if scores}):
        out[measures[metric.measure]][int(metric.query_id)] = metric.value
    return out


GRADES = _Ranking()

"""Steps D and E of DUQGen: hard negatives, and a ranker tuned on queries with their documents."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from unseen.data.rankings import NOTHING
from unseen.data.typing import IntArray
from unseen.nn.rankers import Embedder
from unseen.nn.train import Run, train

BOTTOM = 8
"""Of the documents found for a query the last so many are looked at for negatives."""


class Triples(NamedTuple):
    """Queries (n,), the place of the document that each was written for, (n,), and of its negatives, (n, m)."""

    queries: NDArray[Any]
    positive: IntArray
    negatives: IntArray


def bottom_negatives(retrieved: IntArray, positive: IntArray, n: int, texts: Sequence[str] | NDArray[Any]) -> IntArray:
    """Step 11: of the last `BOTTOM` documents found, (q, depth), the first n with a text, never the positive, (q, n).

    They are near in topic and hardly relevant. Where fewer than n are left, those before them are taken, from the last
    one upwards; a query for which nothing else was found has `NOTHING`.
    """
    out = np.full((len(retrieved), n), NOTHING, dtype=np.int64)
    for row, (documents, relevant) in enumerate(zip(retrieved.tolist(), positive.tolist())):
        there = [d for d in documents if d not in (relevant, NOTHING) and str(texts[d]).strip()]
        last = [d for d in documents if d != NOTHING][-BOTTOM:]
        bottom = [d for d in there if d in last]
        rest = [d for d in reversed(there) if d not in last]
        chosen = (bottom + rest)[:n]
        out[row, : len(chosen)] = chosen
    return out


def pointwise(scores: Float[Tensor, "b m"], there: Tensor) -> Float[Tensor, ""]:
    """Step 12: binary cross-entropy of "true" for the first column, "false" for the others that are there."""
    target = torch.zeros_like(scores)
    target[:, 0] = 1
    return (
        F.binary_cross_entropy_with_logits(scores, target, weight=there.to(scores.dtype), reduction="sum") / there.sum()
    )


def pairwise(scores: Float[Tensor, "b m"], there: Tensor) -> Float[Tensor, ""]:
    """Step 13: of each triple, minus the log-softmax of the positive over the two documents."""
    losses = F.softplus(scores[:, 1:] - scores[:, :1])
    return (losses * there[:, 1:]).sum() / there[:, 1:].sum().clamp(min=1)


def listwise(scores: Float[Tensor, "b m"], there: Tensor) -> Float[Tensor, ""]:
    """Minus the log-softmax of the positive over all documents of its query."""
    return -torch.log_softmax(scores.masked_fill(~there, -torch.inf), dim=1)[:, 0].mean()


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "pointwise": pointwise,
    "pairwise": pairwise,
    "listwise": listwise,
}


def tune(
    model: nn.Module,
    triples: Triples,
    texts: NDArray[Any],
    *,
    loss: str,
    optimizer: torch.optim.Optimizer,
    warmup: float,
    batch_size: int,
    epochs: int,
) -> Run:
    """Step E: `model.score` learns to tell the document of each query from its negatives.

    With the loss ``contrastive`` all other documents of a batch are negatives, too.
    """
    steps = -(-len(triples.queries) // batch_size)
    warm = max(1, round(warmup * steps * epochs))

    def objective(index: Tensor, run: Run) -> Tensor:
        queries, positive, negatives = (column[index.cpu().numpy()] for column in triples)
        if loss == "contrastive":
            return contrastive(model, queries, positive, negatives, texts)
        documents = np.concatenate([positive[:, None], negatives], axis=1)
        there = torch.as_tensor(documents != NOTHING, device=run.device)
        rows = np.nonzero(documents != NOTHING)
        values = model.score(queries[rows[0]].tolist(), texts[documents[rows]].tolist())  # type: ignore[operator]
        scores = values.new_zeros(documents.shape).masked_scatter(there, values)
        return LOSSES[loss](scores, there)

    def batches(run: Run) -> Iterator[Tensor]:
        yield from torch.split(torch.randperm(len(triples.queries), generator=run.generator), batch_size)

    return train(
        objective,
        name="duqgen",
        nets={"ranker": model},
        optimizers={"ranker": optimizer},
        schedulers={
            "warmup": torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / warm)),
        },
        batches=batches,
        epochs=epochs,
        steps_per_epoch=steps,
    )


def contrastive(
    model: nn.Module, queries: NDArray[Any], positive: IntArray, negatives: IntArray, texts: NDArray[Any]
) -> Tensor:
    """Minus the log-softmax of the positive over all documents of the batch, the negatives of all queries too."""
    documents = np.unique(np.concatenate([positive, negatives[negatives != NOTHING]]))
    n, m = len(queries), len(documents)
    if isinstance(model, Embedder):  # every text is read once
        left = getattr(model, "embed_queries", model.embed)(queries.tolist())
        scores = model.logits(left @ model.embed(texts[documents].tolist()).T)
    else:
        scores = model.score(np.repeat(queries, m).tolist(), np.tile(texts[documents], n).tolist()).view(n, m)  # type: ignore[operator]
    return F.cross_entropy(scores, torch.as_tensor(np.searchsorted(documents, positive), device=scores.device))

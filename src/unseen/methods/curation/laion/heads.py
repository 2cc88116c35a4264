"""Steps 14-17 of LAION-5B: scores from small heads over frozen embeddings, learnt from a few labels.

Unsafe pictures, watermarks, toxic captions (over embeddings of texts) and aesthetics are four of them; any other score
that can be labelled is a head, too.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from unseen.data.domain import Domain
from unseen.data.rows import unit_rows
from unseen.data.samplers import Batch, batches, steps
from unseen.data.typing import FloatArray, IntArray
from unseen.files import check_kinds, loads
from unseen.nn.build import builder
from unseen.nn.classifier import Standardizer, linear
from unseen.nn.logistic import fit_logistic
from unseen.nn.schedules import warm_cosine
from unseen.nn.state import load_state, save_state
from unseen.nn.train import Run, train
from unseen.runtime import reproducible, without_checkpoints
from unseen.validation.rehearsal import told_by_others

Side = Literal["image", "text"]
Kind = Literal["linear", "mlp", "value"]

WIDTHS, DROPOUT = (625, 256), 0.3
"""Of the paper's watermark classifier, behind its body."""


@dataclasses.dataclass(frozen=True)
class Preset:
    """What the paper says of a head: which side it reads, and the score from which a pair is flagged."""

    side: Side
    threshold: float


PRESETS: Mapping[str, Preset] = {
    "unsafe": Preset("image", 0.5),
    "watermark": Preset("image", 0.8),
    "toxicity": Preset("text", 0.5),
    "aesthetic": Preset("image", 5.0),
}
"""The four heads of LAION-5B; an aesthetic score is a rating, and a pair is good from the threshold on."""

AESTHETIC_SUBSETS = (4.5, 4.75, 5.0, 6.0, 6.25, 6.5)
"""Thresholds of LAION-Aesthetics' subsets, of 1.2 billion to 625 thousand pairs."""

COLUMNS: Mapping[str, str] = {"unsafe": "punsafe", "watermark": "pwatermark"}
"""The columns of LAION-5B's tables for scores that have another name there."""


class Perceptron(nn.Module):
    """Standardization, then Linear, ReLU and dropout per width, then one linear layer."""

    def __init__(self, n_features: int, n_out: int, widths: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.scaler = Standardizer(n_features)
        sizes = [n_features, *widths]
        hidden = [
            layer for a, b in zip(sizes, sizes[1:]) for layer in (nn.Linear(a, b), nn.ReLU(), nn.Dropout(dropout))
        ]
        self.layers = nn.Sequential(*hidden, nn.Linear(sizes[-1], n_out))

    def forward(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b c"]:
        """Logits."""
        return self.layers(self.scaler(x))


@builder("score-head")
def perceptron(n_features: int, n_out: int, widths: Sequence[int] = WIDTHS, dropout: float = DROPOUT) -> Perceptron:
    """A `Perceptron`."""
    return Perceptron(n_features, n_out, widths, dropout)


@dataclasses.dataclass(frozen=True, eq=False)
class Head:
    """A score of pairs from one side's embedding.

    Attributes
    ----------
    name : str
    side : {"image", "text"}
        Which embedding it reads.
    kind : {"linear", "mlp", "value"}
        Logistic regression, a perceptron, or linear regression.
    threshold : float
        Score above which a pair is flagged.
    network : nn.Module
        From unit vectors to two logits, or to one value.
    encoder : mapping
        ``name``, ``fingerprint`` and ``dim`` of the encoder that it was learnt on.
    told : mapping
        What was measured when it was learnt.
    """

    name: str
    side: Side
    kind: Kind
    threshold: float
    network: nn.Module
    encoder: Mapping[str, Any]
    told: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def column(self) -> str:
        """The column that its scores go to."""
        return COLUMNS.get(self.name, self.name)

    def score(self, vectors: FloatArray) -> NDArray[np.float32]:
        """Probability of the flagged class, or the value, (n,), of embeddings of any length, (n, d)."""
        x = torch.from_numpy(unit_rows(vectors))
        with torch.no_grad():
            output = self.network(x)
        return (output[:, 0] if self.kind == "value" else output.softmax(dim=1)[:, 1]).float().numpy()

    def require(self, fingerprint: str, dim: int) -> None:
        """Raise `ValueError` unless embeddings come from the encoder that the head was learnt on."""
        if (fingerprint, dim) != (self.encoder["fingerprint"], self.encoder["dim"]):
            raise ValueError(
                f"head {self.name!r} was learnt on embeddings of {self.encoder['name']!r} ({self.encoder['dim']} "
                f"wide); these are of another encoder ({dim} wide): train it again with `unseen head train`"
            )

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write it as JSON and safetensors, all or nothing."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        save_state(folder, {**fields, "encoder": dict(self.encoder), "told": dict(self.told)})

    @classmethod
    @loads("a saved head")
    def load(cls, folder: str | os.PathLike[str]) -> Head:
        """Read what `save` wrote; `ValueError` if it is damaged or no head."""
        value = load_state(folder)
        names = {field.name for field in dataclasses.fields(cls)}
        if not isinstance(value, dict) or set(value) != names:
            raise ValueError(f"{Path(folder)} holds no head of `unseen head train`")
        head = check_kinds(cls(**value))
        if not isinstance(head.network, nn.Module) or not {"name", "fingerprint", "dim"} <= set(head.encoder):
            raise ValueError(f"{Path(folder)} must hold a network, and name the encoder that it was learnt on")
        return head


def train_head(
    vectors: FloatArray,
    labels: NDArray[Any],
    *,
    name: str,
    encoder: Mapping[str, Any],
    side: Side | None = None,
    kind: Kind = "linear",
    threshold: float | None = None,
    C: float = 1.0,
    epochs: int = 30,
    folds: int = 5,
    seed: int = 0,
) -> Head:
    """Learn a head from a few labels; what it is worth is measured by cross-validation and kept in `told`.

    Parameters
    ----------
    vectors : array (n, d)
        Embeddings of pictures or captions.
    labels : array (n,)
        0 or 1 (1 is flagged); numbers for ``kind="value"``.
    name : str
        A name in `PRESETS` brings its side and threshold.
    encoder : mapping
        ``name``, ``fingerprint`` and ``dim`` of what made the embeddings.
    side : {"image", "text"}, optional
    kind : {"linear", "mlp", "value"}
        Logistic regression; the paper's layers of 625 and 256; ridge regression.
    threshold : float, optional
        0.5 where nothing else is known.
    C : float, > 0
        Inverse strength of the penalty of ``linear`` and ``value``.
    epochs : int, >= 1
        Of ``mlp``.
    folds : int, >= 0
        Of the cross-validation; none below 2.
    seed : int

    Raises
    ------
    ValueError
        If labels and vectors do not fit, or the labels hold one class only.
    """
    if kind not in get_args(Kind):
        raise ValueError(f"kind must be one of {', '.join(get_args(Kind))}; got {kind!r}")
    if not (C > 0 and epochs >= 1):
        raise ValueError(f"C must be > 0 and epochs at least 1; got {C} and {epochs}")
    x, y = unit_rows(vectors), np.asarray(labels)
    if x.ndim != 2 or len(x) != len(y) or not np.isfinite(x).all() or x.shape[1] != encoder["dim"]:
        raise ValueError(f"vectors must be finite, of shape ({len(y)}, {encoder['dim']}); got shape {x.shape}")
    y = y.astype(np.float32 if kind == "value" else np.int64)
    if kind != "value" and set(np.unique(y).tolist()) != {0, 1}:
        raise ValueError(f"labels must hold 0 and 1, both of them; got {np.unique(y).tolist()[:5]}")
    if kind == "value" and (len(y) < 2 or not np.isfinite(y).all()):
        raise ValueError("labels of a value must be at least two finite numbers")
    preset = PRESETS.get(name, Preset(side or "image", 0.5))
    with reproducible(seed), without_checkpoints():
        network = _fit(x, y, kind, C, epochs)
        measured = {"n": len(y), **_validated(x, y, kind, C, epochs, folds, seed)}
    return Head(
        name,
        side or preset.side,
        kind,
        preset.threshold if threshold is None else threshold,
        network,
        {key: encoder[key] for key in ("name", "fingerprint", "dim")},
        measured,
    )


def _fit(x: FloatArray, y: NDArray[Any], kind: Kind, C: float, epochs: int) -> nn.Module:
    if kind == "value":
        return _ridge(x, y, C)
    if kind == "linear":
        return fit_logistic(torch.from_numpy(x), y, 2, C=C)
    network = perceptron(x.shape[1], 2)
    network.scaler.measure(torch.from_numpy(x), floor=0.1)
    adam = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=1e-2)
    per_epoch = steps(len(x), 64)

    def objective(batch: Batch, run: Run) -> Tensor:
        assert batch.y is not None
        return F.cross_entropy(network(batch.x), batch.y)

    train(
        objective,
        name="score-head",
        nets={"head": network},
        optimizers={"adam": adam},
        schedulers={"rate": warm_cosine(adam, epochs * per_epoch, per_epoch)},
        batches=batches(Domain(x=x, y=y, kind="features", classes=_binary()), 64),
        epochs=epochs,
        steps_per_epoch=per_epoch,
    )
    return network.eval()


def _ridge(x: FloatArray, y: NDArray[Any], C: float) -> nn.Module:
    """Linear regression with a penalty, on standardized features."""
    from sklearn.linear_model import Ridge

    network = linear(x.shape[1], 1)
    network.backbone.measure(torch.from_numpy(x))  # type: ignore[operator]
    model = Ridge(alpha=1 / C).fit(network.backbone(torch.from_numpy(x)).numpy(), y)
    with torch.no_grad():
        network.head.weight.copy_(torch.as_tensor(model.coef_, dtype=torch.float32)[None])  # type: ignore[operator]
        network.head.bias.fill_(float(model.intercept_))  # type: ignore[operator]
    return network.eval()


def _binary() -> Any:
    from unseen.data.classes import ClassSpace

    return ClassSpace(names=("plain", "flagged"))


def _validated(
    x: FloatArray, y: NDArray[Any], kind: Kind, C: float, epochs: int, folds: int, seed: int
) -> dict[str, float]:
    """AUC and balanced accuracy, or correlation and mean absolute error, on folds that were left out."""
    from scipy.stats import spearmanr
    from sklearn.metrics import balanced_accuracy_score, roc_auc_score
    from sklearn.model_selection import KFold, StratifiedKFold

    most = len(y) if kind == "value" else int(np.bincount(y).min())
    folds = min(folds, most)
    if folds < 2:
        return {}
    splitter = (KFold if kind == "value" else StratifiedKFold)(folds, shuffle=True, random_state=seed)

    def scored(rest: IntArray, part: IntArray) -> FloatArray:
        output = _fit(x[rest], y[rest], kind, C, epochs)(torch.from_numpy(x[part])).detach()
        return (output[:, 0] if kind == "value" else output.softmax(dim=1)[:, 1]).numpy()

    scores = told_by_others(len(y), [held for _, held in splitter.split(x, y)], scored)
    if kind == "value":
        return {"spearman": float(spearmanr(scores, y).statistic), "mae": float(np.abs(scores - y).mean())}
    return {
        "auc": float(roc_auc_score(y, scores)),
        "balanced_accuracy": float(balanced_accuracy_score(y, scores > 0.5)),
    }


def propose(
    vectors: FloatArray, queries: FloatArray, *, each: int = 50, others: int = 0, seed: int = 0
) -> list[tuple[int, int]]:
    """Rows to label for a training set, the paper's way: what is nearest to prompts, and some drawn at random.

    Parameters
    ----------
    vectors : array (n, d)
        Embeddings of the collection.
    queries : array (q, d)
        Embeddings of prompts, such as "a picture with a watermark".
    each : int, >= 1
        Rows per query.
    others : int, >= 0
        Rows at random beside them: what a head must learn to leave alone.
    seed : int

    Returns
    -------
    list of (row, query)
        Each row once, best first query by query; query is -1 for rows at random.
    """
    if each < 1 or others < 0:
        raise ValueError(f"each must be at least 1 and others at least 0; got {each} and {others}")
    cosines = unit_rows(queries) @ unit_rows(vectors).T
    chosen: dict[int, int] = {}
    for query, row in enumerate(cosines):
        for i in np.argsort(-row, kind="stable")[:each].tolist():
            chosen.setdefault(i, query)
    rest = np.setdiff1d(np.arange(len(vectors)), list(chosen))
    drawn = np.random.default_rng(seed).permutation(rest)[:others]
    return [*chosen.items(), *((int(i), -1) for i in drawn)]

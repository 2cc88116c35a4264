"""Heads of LAION-5B's claim that score pairs for watermarks, safety and toxicity, learnt on one vendor."""

from __future__ import annotations

import functools
import warnings

import numpy as np

from unseen.claims import small_web
from unseen.claims.base import Result
from unseen.claims.drawings import by
from unseen.methods.curation.laion.heads import Head, train_head
from unseen.runtime import without_checkpoints

THIRD, SIXTH = 3, 6

STAND_INS = {"unsafe": ("animal",), "toxicity": ("face-concerned", "face-negative", "face-unwell")}
"""Subgroups that stand in for what nobody wants to draw: unsafe pictures, and toxic captions."""


@without_checkpoints()
def run_scores(case: str, seed: int) -> Result:
    """Heads learnt on one vendor's pictures, asked about another's."""
    from sklearn.metrics import balanced_accuracy_score, roc_auc_score

    out: Result = {}
    for name in ("watermark", *STAND_INS):
        head = head_for(name, seed)
        other, truth = _labelled(name, case, seed)
        scores = head.score(other)
        out[name] = {
            "AUC": float(roc_auc_score(truth, scores)),
            "balanced accuracy": float(balanced_accuracy_score(truth, scores > head.threshold)),
            "flagged of those to flag": float((scores > head.threshold)[truth == 1].mean()),
        }
    return out


def head_for(name: str, seed: int) -> Head:
    """A head learnt from 400 labels, at most, of the first of the encoder's vendors."""
    encoder = small_web.encoder()
    about = {"name": encoder.name, "fingerprint": encoder.fingerprint, "dim": encoder.dim}
    x, y = _labelled(name, small_web.VENDORS[0], seed)
    few = np.random.default_rng(seed).permutation(len(y))[:400]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of constant features
        return train_head(x[few], y[few], name=name, encoder=about, seed=seed, folds=0)


def _labelled(name: str, style: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings of every third emoji of a vendor, or of every sixth without and with a watermark; labels of a head."""
    if name == "watermark":
        plain, marked = (_image_vectors(style, watermark, SIXTH) for watermark in (False, True))
        return np.concatenate([plain, marked]), np.repeat([0, 1], len(plain))
    groups = by(style).columns["subgroup"].tolist()[::THIRD]
    y = np.array([group.startswith(STAND_INS[name]) for group in groups], dtype=np.int64)
    if name == "unsafe":
        return _image_vectors(style, False, THIRD), y
    rng = np.random.default_rng(seed)
    captions = [str(rng.choice(list(thing.captions.values()))) for thing in small_web.things(style)[::THIRD]]
    return small_web.encoder().encode_text(captions), y


@functools.cache
def _image_vectors(style: str, watermark: bool, step: int) -> np.ndarray:
    return small_web.image_vectors(small_web.features_of(*small_web.drawn(style, watermark=watermark, step=step)))

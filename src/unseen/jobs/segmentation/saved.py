"""A saved network that segments, asked for what is in pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unseen.jobs import SavedModel


def answers(folder: Path, inputs: Sequence[str], top: int) -> list[dict[str, Any]]:
    """A row per picture: the shares of its classes, and the mean probability of its pixels; `top` has no say."""
    import numpy as np

    from unseen.jobs.segmentation.model import SegmentModel
    from unseen.report.tasks import looks_of

    saved, words = SegmentModel.load(folder), looks_of("mask").words
    rows = []
    for path in inputs:
        domain, masks, sure = saved.predict(path)
        ids = range(len(domain)) if domain.ids is None else domain.ids.tolist()
        for identity, mask, probability in zip(ids, masks, sure):
            n = np.bincount(np.asarray(mask).ravel(), minlength=len(saved.classes)) / np.asarray(mask).size
            shares = {name: round(float(share), 6) for name, share in zip(saved.classes.names, n) if share}
            mean = round(float(probability.mean()), 6)
            told = f"{words(mask, saved.classes)} (mean probability {mean:.2f})"
            rows.append({"id": identity, "answer": told, "shares": shares, "probability": mean})
    return rows


SAVED = SavedModel(
    "a network that segments",
    "unseen segment --target PICTURES --model {folder}",
    lambda place: (place / "segmenter.json").is_file(),
    answers,
)

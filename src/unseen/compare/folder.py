"""The run folder: everything that the report needs, in files that others can read."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unseen.bundle import Bundle
from unseen.compare.cells import PARTS
from unseen.compare.given_model import why_unsaved
from unseen.compare.inputs import Inputs
from unseen.compare.validators import Cell
from unseen.data.domain import Domain
from unseen.runtime import limited_threads, replacing
from unseen.strict_json import strict_json

MAP_SAMPLES = 600
MAP_STEPS = 500
"""Of t-SNE, from principal components on; twice as many take twice as long and show the same groups."""

PICTURES = 24


def write_run(
    folder: Path,
    results: dict[str, Any],
    inputs: Inputs,
    chosen: Cell,
    bundle: Bundle,
    *,
    pictures: bool,
    with_encoder: bool,
) -> None:
    """Write `results.json`, `results.parquet`, `predictions.parquet`, `map.parquet`, `pictures.parquet`, the model,
    `learned.txt` (digests of the labelled samples, which `unseen verify` does not ask about) and `report.html`.

    There is no model where its network cannot be built again.

    Each file is written under another name first, then renamed.
    """
    import pandas as pd

    from unseen.report import render

    if not why_unsaved(bundle.method):
        bundle.save(folder / "model", with_encoder=with_encoder)
    _write(folder / "results.json", strict_json(results, default=_plain).encode())
    learned = [d for role in ("source", "support") if role in inputs.raw for d in inputs.raw[role].digests()]
    _write(folder / "learned.txt", "\n".join(learned).encode())
    _table(folder / "results.parquet", pd.DataFrame(_flat(results)))
    predictions = pd.DataFrame(_predictions(inputs, chosen, results))
    _table(folder / "predictions.parquet", predictions)
    _table(folder / "map.parquet", pd.DataFrame(_map(inputs, chosen, results)))
    shown = _pictures(inputs, predictions, results["new_classes"]) if pictures else []
    _table(folder / "pictures.parquet", pd.DataFrame(shown, columns=["id", "part", "jpeg"]))
    render(folder)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (np.ndarray, tuple, set, frozenset)):
        return list(value)
    raise TypeError(f"cannot write a {type(value).__name__} to results.json")


def _write(file: Path, content: bytes) -> None:
    with replacing(file) as temporary:
        temporary.write_bytes(content)


def _table(file: Path, table: Any) -> None:
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    _write(file, buffer.getvalue())


def _flat(results: dict[str, Any]) -> list[dict[str, Any]]:
    """A row per candidate, part, metric and seed; validators are metrics of the part `label-free`."""
    rows = []
    for row in results["candidates"]:
        groups = {**row["metrics"], "label-free": row["validators"]}
        for part, metrics in groups.items():
            for metric, spread in metrics.items():
                rows += [
                    {"candidate": row["name"], "part": part, "metric": metric, "seed": seed, "value": value}
                    for seed, value in enumerate(spread["per_seed"])
                ]
    return rows


def _predictions(inputs: Inputs, cell: Cell, results: dict[str, Any]) -> list[dict[str, Any]]:
    """Truth and prediction of the chosen model, as it is saved, for every target sample, and how sure it is of that.

    `pool` is what a method said of the pool of its fit together, where it did: what its candidate was graded by. Both
    are of the known classes alone unless the headline asks for unknown ones.
    """
    rows = []
    names = inputs.classes.names
    protocol = results["protocol"]
    kind = "rejecting" if protocol and protocol["headline"] == "h_score" else "prediction"
    for part, name in PARTS.items():
        if name not in inputs.raw or part not in cell:
            continue
        domain, outputs = inputs.raw[name], cell[part]
        everything = domain.classes.names if domain.classes is not None else ()
        truth = domain.y if domain.y is not None else np.full(len(domain), -1)
        predicted, best = outputs[kind], outputs["p"].argmax(dim=1).numpy()
        p = outputs["p"].numpy()[np.arange(len(predicted)), np.where(predicted >= 0, predicted, best)]
        together = outputs["together"][kind] if "together" in outputs else None
        for i, (id_, t, q) in enumerate(zip(domain.ids, truth, predicted)):  # type: ignore[arg-type]
            row = {
                "id": str(id_),
                "part": part,
                "truth": everything[t] if t >= 0 else None,
                "prediction": names[q] if q >= 0 else None,
                "probability": float(p[i]),
            }
            rows.append(row if together is None else {**row, "pool": names[together[i]] if together[i] >= 0 else None})
    return rows


def _map(inputs: Inputs, cell: Cell, results: dict[str, Any]) -> list[dict[str, Any]]:
    """Two-dimensional places of source and target samples: features as given, and scores of the chosen model."""
    domains = {role: d for role, d in (("source", inputs.source), ("target", inputs.target)) if d is not None}
    if not domains:
        return []
    picked = {
        role: np.linspace(0, len(d) - 1, min(len(d), MAP_SAMPLES // 2)).astype(int) for role, d in domains.items()
    }
    plain = (inputs.one_view or inputs) if inputs.whole else inputs
    parts = {role: domains[role].take(index) for role, index in picked.items()}
    read = {role: getattr(plain, role).take(index) for role, index in picked.items()}
    seen = {
        "before": np.concatenate([_as_given(part) for part in read.values()]),
        "after": np.concatenate([_as_seen(cell["method"], part) for part in parts.values()]),
    }
    if len(seen["before"]) < 10:
        return []
    roles = np.concatenate([np.repeat(role, len(d)) for role, d in parts.items()])
    labels = np.concatenate([_labels(inputs, role, picked[role]) for role in parts])
    with ThreadPoolExecutor(len(seen), "unseen-map") as pool:  # scikit-learn's loops hold no lock
        places = dict(zip(seen, pool.map(_places, seen.values())))
    return [
        {"stage": stage, "x": float(a), "y": float(b), "domain": str(role), "class": label}
        for stage in seen
        for (a, b), role, label in zip(places[stage], roles, labels)
    ]


def _places(x: np.ndarray) -> np.ndarray:
    """Samples in the plane, (n, 2): t-SNE of their first principal components, on one thread."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    with limited_threads():
        x = PCA(min(50, *x.shape), random_state=0).fit_transform(x)
        x = x if x.shape[1] > 1 else np.column_stack([x, np.zeros(len(x))])  # one feature is a line in the plane
        near = min(30, (len(x) - 1) / 3)
        return TSNE(perplexity=near, init="pca", max_iter=MAP_STEPS, random_state=0).fit_transform(x)


def _as_given(domain: Domain) -> np.ndarray:
    return np.asarray(domain.x, dtype=np.float32)


@torch.no_grad()
def _as_seen(method: Any, domain: Domain) -> np.ndarray:
    """The scores of the chosen model, centred per sample: where it sees the samples."""
    scores = torch.log_softmax(method.decision_function(domain).float(), dim=1)
    return (scores - scores.mean(dim=1, keepdim=True)).clamp_min(-30).numpy()


def _labels(inputs: Inputs, role: str, index: np.ndarray) -> np.ndarray:
    domain = inputs.raw[role]
    if domain.y is None or domain.classes is None:
        return np.full(len(index), "", dtype=object)
    names = np.array([*domain.classes.names, ""], dtype=object)
    return names[domain.y[index]]


NEW_CLASS = "new class"
"""The part under which `pictures.parquet` keeps samples that were taken for a class never seen."""


def _pictures(inputs: Inputs, predictions: Any, new: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Re-encoded thumbnails of target samples that the chosen model got right, got wrong, and took for new classes.

    Of clips they are contact sheets.
    """
    if "target" not in inputs.raw or inputs.raw["target"].kind not in ("image", "clip"):
        return []
    domain = inputs.raw["target"]
    rows = predictions[predictions.part == "adapted"].reset_index(drop=True)
    rejected = rows.prediction.isna() & rows.truth.notna() & ~rows.truth.isin(inputs.classes.names)
    right = rows.index[(rows.truth == rows.prediction) | rejected] if rows.truth.notna().any() else rows.index
    wrong = rows.index.difference(right)
    rng = np.random.default_rng(0)
    chosen = [i for side in (right, wrong) for i in rng.permutation(side)[: PICTURES // 2]]
    assert domain.ids is not None
    wanted = {id_ for row in new for id_ in row["surest"]}
    places = [(int(i), "adapted") for i in chosen]
    places += [(i, NEW_CLASS) for i, id_ in enumerate(domain.ids.tolist()) if str(id_) in wanted]
    films = domain.kind == "clip"
    return [{"id": str(domain.ids[i]), "part": part, "jpeg": _jpeg(domain.x[i], films)} for i, part in places]


def _jpeg(sample: Any, is_clip: bool) -> bytes:
    from unseen.data.contact_sheet import contact_sheet
    from unseen.data.images import thumbnail

    return thumbnail(contact_sheet(sample), 168) if is_clip else thumbnail(sample, 112)

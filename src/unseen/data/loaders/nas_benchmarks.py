"""Read the usual files of architecture benchmarks: NAS-Bench-Suite-Zero, NDS, NAS-Bench-201. Never by pickle."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.data.architectures import ArchitectureTable, check_proxies, read_table
from unseen.data.delimited import read_delimited
from unseen.files import reads

log = logging.getLogger(__name__)

ACCURACY = "val_accuracy"
PROXIES = ("grad_norm", "snip", "synflow")
"""What the paper reads."""


@reads(
    "a file of a benchmark of architectures", "get it anew, or write a CSV with the columns architecture and accuracy"
)
def read_architectures(
    file: str | os.PathLike[str], data: str | None = None, *, proxies: Sequence[str] | None = None
) -> ArchitectureTable:
    """Read a table of architectures, whatever wrote it.

    Parameters
    ----------
    file : path
        ``.parquet`` of `unseen nas table`; ``.csv`` with the columns architecture and accuracy; ``zc_*.json`` of
        NAS-Bench-Suite-Zero (101, 201, 301, TransNAS), whose proxies are scores of whole networks or, in its layer-wise
        form, lists over layers; ``.json`` of NDS, which has accuracies and no statistics; ``.pth`` of NAS-Bench-201, if
        torch reads it without pickle.
    data : str, optional
        Which data set of a file that holds several, such as ``cifar10``; the first one if absent.
    proxies : sequence of str, optional
        Which statistics to read, in this order. If absent, those of a table of ours, and of NAS-Bench-Suite-Zero
        grad_norm, snip and synflow, as far as the file has them, or all if it has none of them.

    Raises
    ------
    ValueError
        If the file is none of these, or has no such data set, or lacks a proxy.
    """
    path = Path(file)
    if not path.is_file():
        raise ValueError(f"there is no file {os.fspath(file)!r}")
    table = _table_of(path, data, proxies)
    return table if proxies is None else table.with_proxies(proxies)


def _table_of(path: Path, data: str | None, proxies: Sequence[str] | None) -> ArchitectureTable:
    if path.suffix == ".parquet":
        _holds_one(path, data)
        return read_table(path)
    if path.suffix == ".csv":
        _holds_one(path, data)
        return _csv(path)
    if path.suffix == ".pth":
        return nas_bench_201(path, data)
    if path.suffix == ".tfrecord":
        hint = "take zc_nasbench101.json of NAS-Bench-Suite-Zero, which has statistics of its networks, too"
        raise ValueError(f"file: {path} of NAS-Bench-101 needs TensorFlow and has accuracies alone; {hint}")
    if path.suffix != ".json":
        raise ValueError(f"file must end in .parquet, .csv, .json or .pth; got {str(path)!r}")
    try:
        value = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    entries = value.get("top", []) + value.get("mid", []) if isinstance(value, dict) and "top" in value else value
    if isinstance(entries, list) and entries and isinstance(entries[0], dict) and "test_ep_top1" in entries[0]:
        _holds_one(path, data)
        return nds(entries, path.stem)
    if isinstance(value, dict):
        return suite_zero(value, path.stem, data, proxies)
    raise ValueError(f"{path} is neither a file of NDS nor of NAS-Bench-Suite-Zero")


def _holds_one(path: Path, data: str | None) -> None:
    if data is not None:
        raise ValueError(f"data names a data set in a file of several; {path} is of one; got {data!r}")


def _csv(path: Path) -> ArchitectureTable:
    import pandas as pd

    with path.open("rb") as file:
        table = read_delimited(file, ".csv")
    missing = {"architecture", "accuracy"} - set(table.columns)
    if missing:
        raise ValueError(
            f"{path} must have the columns architecture and accuracy; it lacks {', '.join(sorted(missing))}"
        )
    accuracy = pd.to_numeric(table.accuracy, errors="coerce").to_numpy(dtype=float)
    unfinished = table.architecture[~np.isfinite(accuracy)].astype(str).tolist()
    if unfinished:
        raise ValueError(f"{path}: accuracy must be a number; that of {unfinished[0]!r} is none")
    return plain_table(path.stem, table.architecture.astype(str).tolist(), accuracy)


def plain_table(
    name: str, architectures: list[str], accuracy: NDArray[Any], parameters: NDArray[Any] | None = None, **fields: Any
) -> ArchitectureTable:
    """A table of one accuracy per architecture; percentages become shares."""
    accuracy = np.asarray(accuracy, dtype=float)
    if np.nanmax(accuracy, initial=0) > 1.5:
        accuracy = accuracy / 100
    n = len(architectures)
    return ArchitectureTable(
        name=name,
        architectures=tuple(architectures),
        accuracy=accuracy[:, None],
        parameters=np.zeros(n, dtype=np.int64) if parameters is None else np.asarray(parameters).astype(np.int64),
        seconds=np.full(n, np.nan),
        **fields,
    )


def suite_zero(
    value: Mapping[str, Any], name: str, data: str | None = None, proxies: Sequence[str] | None = None
) -> ArchitectureTable:
    """NAS-Bench-Suite-Zero: data set -> architecture -> proxy -> score, and `val_accuracy` beside the proxies.

    `proxies` are grad_norm, snip and synflow if absent, as far as the file has them, or all if it has none of them. One
    that is missing for an architecture is 0; lists over layers are padded with zeros. Architectures with a statistic
    that is not finite are left out: a warning says so, and ``about["not finite"]`` counts what was not by proxy
    (ParZC's own code takes it for 0). `params`, which the files count among the proxies, are the parameters, whatever
    is chosen.

    Raises
    ------
    ValueError
        If the file is none of these, `data` or `proxies` are not in it, or every architecture is left out.
    """
    data = data or next(iter(value), "")
    if data not in value or not isinstance(value[data], dict) or not value[data]:
        raise ValueError(f"data must be one of {', '.join(map(str, value)) or 'none'}, in {name}; got {data!r}")
    entries: Mapping[str, Any] = {key: entry for key, entry in value[data].items() if isinstance(entry, dict)}
    known = {key: entry for key, entry in entries.items() if isinstance(entry.get(ACCURACY), (int, float))}
    if not known:
        raise ValueError(f"{name}: no architecture of {data!r} has {ACCURACY}; this is no file of NAS-Bench-Suite-Zero")
    there = sorted({proxy for entry in known.values() for proxy, score in entry.items() if isinstance(score, dict)})
    if proxies is None:
        proxies = [proxy for proxy in PROXIES if proxy in there] or there
    else:
        check_proxies(proxies, there, name)
    scores = {key: [_scores(entry.get(proxy)) for proxy in proxies] for key, entry in known.items()}
    width = max((len(layers) for row in scores.values() for layers in row), default=1)
    statistics = np.zeros((len(known), len(proxies), width))
    for i, row in enumerate(scores.values()):
        for j, layers in enumerate(row):
            statistics[i, j, : len(layers)] = layers
    lost = ~np.isfinite(statistics)
    about = {"not finite": dict(zip(proxies, lost.sum(axis=(0, 2)).tolist()))} if lost.any() else {}
    if about:
        whole = np.asarray(~lost.any(axis=(1, 2)))
        _left_out(name, about["not finite"], int((~whole).sum()), len(known))
        known = {key: entry for (key, entry), kept in zip(known.items(), whole.tolist()) if kept}
        statistics = statistics[whole]
    counts = np.array([sum(_scores(entry.get("params"))) for entry in known.values()])
    if unknown := int((~np.isfinite(counts)).sum()):
        log.warning("%s: no number of parameters is known of %d architectures; they are told as 0", name, unknown)
    return plain_table(
        f"{name}/{data}",
        list(known),
        np.array([entry[ACCURACY] for entry in known.values()]),
        np.nan_to_num(counts, nan=0.0, posinf=0.0, neginf=0.0),
        proxies=tuple(proxies),
        nodes=("network",) if width == 1 else tuple(f"layer{i}" for i in range(width)),
        statistics=statistics.reshape(1, len(known), -1),
        about=about,
    )


def _left_out(name: str, counts: Mapping[str, int], architectures: int, n: int) -> None:
    lost = ", ".join(f"{count} of {proxy}" for proxy, count in counts.items() if count)
    if architectures == n:
        raise ValueError(
            f"{name}: every architecture has a statistic that is not finite ({lost}); name other `proxies`"
        )
    log.warning(
        "%s: %d of %d architectures are left out, statistics that are not finite: %s", name, architectures, n, lost
    )


def _scores(record: Any) -> list[float]:
    """The score of a proxy, or its scores over layers."""
    score = record.get("score") if isinstance(record, dict) else None
    if isinstance(score, list):
        return [float(value) if isinstance(value, (int, float)) else 0.0 for value in score] or [0.0]
    return [float(score)] if isinstance(score, (int, float)) else [0.0]


def nds(entries: list[dict[str, Any]], name: str) -> ArchitectureTable:
    """NDS: a list of trainings, each with its network and the test error, in percent, of every epoch."""
    texts, accuracy, parameters = [], [], []
    for i, entry in enumerate(entries):
        if not isinstance(entry, dict) or "net" not in entry or not entry.get("test_ep_top1"):
            raise ValueError(f"{name}: entry {i} must have net and test_ep_top1")
        texts.append(f"{i}:{json.dumps(entry['net'], sort_keys=True)}")
        accuracy.append((100 - float(entry["test_ep_top1"][-1])) / 100)
        parameters.append(int(entry.get("params") or 0))
    return plain_table(name, texts, np.array(accuracy), np.array(parameters))


def nas_bench_201(path: Path, data: str | None = None) -> ArchitectureTable:
    """The `.pth` of NAS-Bench-201: the last evaluation of `data` (cifar10-valid if absent), mean over its seeds.

    Raises
    ------
    ValueError
        If torch cannot read it with ``weights_only=True``; convert it to CSV (architecture, accuracy) with its own
        library then.
    """
    import torch

    data = data or "cifar10-valid"
    try:
        value = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch names its refusals by several types
        hint = "write its accuracies as CSV (columns architecture, accuracy) with the library that it belongs to"
        raise ValueError(f"{path} cannot be read without running what is in it; {hint}") from error
    try:
        texts = list(value["meta_archs"])
        accuracy = [_last_accuracy(value["arch2infos"][i], data) for i in range(len(texts))]
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise ValueError(f"{path} is not a file of NAS-Bench-201, or has no {data!r}: {error!r}") from error
    return plain_table(f"{path.stem}/{data}", texts, np.array(accuracy))


def _last_accuracy(info: Mapping[str, Any], data: str) -> float:
    """Mean over seeds of the accuracy at the last epoch that was evaluated."""
    results = (info.get("full") or info)["all_results"]
    accuracies = []
    for (name, _seed), result in results.items():
        if name != data:
            continue
        evaluated = result["eval_acc1es"]
        last = max(evaluated, key=lambda name: int(str(name).rpartition("@")[2] or 0))
        accuracies.append(float(evaluated[last]))
    if not accuracies:
        raise KeyError(data)
    return float(np.mean(accuracies))

"""`ArchitectureTable`: architectures of a search space, what they reached in training, and their statistics."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from unseen.data.domain import Domain
from unseen.files import reads
from unseen.runtime import replacing


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ArchitectureTable:
    """What is known of some architectures.

    Attributes
    ----------
    name : str
        Search space and data.
    architectures : tuple of n str
    accuracy : (n, seeds)
        Of the trained networks on held-out samples, in [0, 1]; NaN where a training is missing.
    parameters : (n,)
        Weights of each network; 0 where unknown.
    seconds : (n,)
        Of one training, the mean over seeds; NaN where unknown.
    proxies, nodes : tuple of str
        What was measured of the untrained networks, and where.
    statistics : (inits, n, proxies * nodes)
        Proxy after proxy, zero where a network lacks the node. `inits` may be 0.
    about : mapping
        How the table was made, as JSON.
    """

    name: str
    architectures: tuple[str, ...]
    accuracy: Float[np.ndarray, "n seeds"]
    parameters: Int[np.ndarray, "n"]
    seconds: Float[np.ndarray, "n"]
    proxies: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
    statistics: Float[np.ndarray, "inits n d"] = dataclasses.field(default_factory=lambda: np.zeros((0, 0, 0)))
    about: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.architectures)
        if len(set(self.architectures)) != n:
            raise ValueError(f"{self.name}: architectures must be different; {n - len(set(self.architectures))} repeat")
        for key in ("accuracy", "parameters", "seconds"):
            if len(getattr(self, key)) != n:
                raise ValueError(f"{self.name}: {key} has {len(getattr(self, key))} rows, there are {n} architectures")
        if len(self.statistics) and self.statistics.shape[1:] != (n, len(self.proxies) * len(self.nodes)):
            expected = f"(inits, {n}, {len(self.proxies)} proxies x {len(self.nodes)} nodes)"
            raise ValueError(f"{self.name}: statistics must be of shape {expected}; got {self.statistics.shape}")

    def __len__(self) -> int:
        return len(self.architectures)

    def __repr__(self) -> str:
        inits, seeds = len(self.statistics), self.accuracy.shape[1]
        return f"ArchitectureTable({self.name!r}, {len(self)} architectures, {seeds} trainings each, {inits} inits)"

    def features(self, init: int | None = None) -> Float[np.ndarray, "n d"]:
        """Statistics of one init, or the mean over all, (n, proxies * nodes)."""
        if not len(self.statistics):
            raise ValueError(f"{self.name} has no statistics")
        if init is not None and not 0 <= init < len(self.statistics):
            raise ValueError(f"init must lie in [0, {len(self.statistics)}); got {init}")
        return self.statistics.mean(axis=0) if init is None else self.statistics[init]

    def totals(self, init: int | None = None) -> dict[str, NDArray[np.floating[Any]]]:
        """The usual global proxies: the sum over nodes of each one, (n,)."""
        per_node = self.features(init).reshape(len(self), len(self.proxies), -1)
        return {proxy: per_node[:, i].sum(axis=1) for i, proxy in enumerate(self.proxies)}

    def domain(self, init: int | None = None) -> Domain:
        """Statistics as features and the mean accuracy over seeds as values; what has none is left out."""
        y = np.array([np.nanmean(row) if np.isfinite(row).any() else np.nan for row in self.accuracy])
        domain = Domain(
            x=narrowed(self.features(init)),
            y=y,
            task="value",
            ids=np.array(self.architectures),
            columns={"parameters": self.parameters},
            name=self.name,
        )
        return domain.take(np.isfinite(y))

    def take(self, index: Any) -> ArchitectureTable:
        """The architectures at `index`, in that order."""
        positions = np.arange(len(self))[index]
        return dataclasses.replace(
            self,
            architectures=tuple(self.architectures[i] for i in positions),
            accuracy=self.accuracy[positions],
            parameters=self.parameters[positions],
            seconds=self.seconds[positions],
            statistics=self.statistics[:, positions] if len(self.statistics) else self.statistics,
        )

    def with_proxies(self, proxies: Sequence[str]) -> ArchitectureTable:
        """The table with some of its proxies, in that order; `ValueError` if it lacks one, or none is named."""
        check_proxies(proxies, self.proxies, self.name)
        m = len(self.nodes)
        columns = [self.proxies.index(proxy) * m + node for proxy in proxies for node in range(m)]
        statistics = self.statistics[:, :, columns] if len(self.statistics) else self.statistics
        return dataclasses.replace(self, proxies=tuple(proxies), statistics=statistics)

    def save(self, file: str | os.PathLike[str]) -> None:
        """Write one Parquet file, all or nothing."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        statistics = narrowed(self.statistics)
        columns: dict[str, Any] = {
            "architecture": pa.array(self.architectures),
            "parameters": pa.array(self.parameters.astype(np.int64)),
            "seconds": pa.array(self.seconds.astype(np.float32)),
        }
        columns |= {f"accuracy/{s}": pa.array(column) for s, column in enumerate(self.accuracy.T)}
        columns |= {
            f"init/{i}": pa.array(list(values), pa.list_(pa.from_numpy_dtype(statistics.dtype)))
            for i, values in enumerate(statistics)
        }
        metadata = {"name": self.name, "proxies": self.proxies, "nodes": self.nodes, "about": dict(self.about)}
        table = pa.table(columns).replace_schema_metadata({"unseen": json.dumps(metadata)})
        with replacing(file) as temporary:
            pq.write_table(
                table, temporary, compression="zstd", compression_level=19, use_dictionary=False, write_statistics=False
            )


def narrowed(x: NDArray[np.floating]) -> NDArray[np.floating]:
    """Statistics in single precision where it holds all of them, else in double.

    What is larger than 3.4e38, such as synflow of a deep network, would be infinite there, what is smaller than 1e-38
    zero.
    """
    single, sizes = np.finfo(np.float32), np.abs(x[x != 0])
    held = not len(sizes) or (sizes.max() <= single.max and sizes.min() >= single.tiny)
    return x.astype(np.float32 if held else np.float64)


def check_proxies(proxies: Sequence[str], known: Sequence[str], name: str) -> None:
    """Whether all are known, none twice, and there is one."""
    wrong = [proxy for proxy in proxies if proxy not in known or list(proxies).count(proxy) > 1]
    if wrong or not proxies:
        got = f"{wrong[0]!r}" if wrong else "none"
        raise ValueError(f"proxies must be different ones of {', '.join(known) or 'none'}, in {name}; got {got}")


@reads("a table of architectures", "write it anew with `unseen nas table`")
def read_table(file: str | os.PathLike[str]) -> ArchitectureTable:
    """Read what `ArchitectureTable.save` wrote; `ValueError` if it is something else."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(file)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ValueError(f"{os.fspath(file)} is no Parquet file: {error}") from error
    metadata = table.schema.metadata or {}
    if b"unseen" not in metadata or "architecture" not in table.column_names:
        raise ValueError(f"{os.fspath(file)} is no table of architectures; `unseen nas table` writes them")
    record = json.loads(metadata[b"unseen"])
    proxies, nodes = tuple(record["proxies"]), tuple(record["nodes"])

    def column(name: str) -> NDArray[Any]:
        return table.column(name).to_numpy()

    seeds = sum(name.startswith("accuracy/") for name in table.column_names)
    inits = [table.column(name).to_pylist() for name in table.column_names if name.startswith("init/")]
    return ArchitectureTable(
        name=record["name"],
        architectures=tuple(table.column("architecture").to_pylist()),
        accuracy=np.stack([column(f"accuracy/{s}") for s in range(seeds)], axis=1),
        parameters=column("parameters"),
        seconds=column("seconds").astype(np.float64),
        proxies=proxies,
        nodes=nodes,
        statistics=np.array(inits, dtype=np.float64) if inits else np.zeros((0, 0, 0)),
        about=record["about"],
    )

"""`Encoder`: samples to features."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unseen.data.domain import Domain
from unseen.data.given import check_domain
from unseen.data.typing import IntArray, Kind
from unseen.encoders import backends
from unseen.encoders.backends import Backend, Precision
from unseen.encoders.cache import FeatureStore, cache_root
from unseen.encoders.reading import FLUSH, id_of, read_ready
from unseen.encoders.regions import Regional
from unseen.encoders.states import alike, digest_state, remember_alike, save_state
from unseen.nn.lite0 import FEATURES
from unseen.runtime import current, runtime, track
from unseen.scale import Engine

FEW = (1, 8)
"""Sizes of a batch that holds few samples, where it gives the bits of a full one."""

LONG = 32
"""A batch whose samples are longer than this (in tokens) has proportionally fewer of them."""

_PREPARING = threading.Lock()

Cache = bool | str | os.PathLike[str]


class Preprocess(Protocol):
    """From samples to the batch that a network takes."""

    @property
    def kind(self) -> Kind:
        """What the samples are."""
        ...

    def __call__(self, samples: Sequence[Any]) -> Tensor:
        """One batch, (b, ...); every sample is treated alone."""
        ...

    def groups(self, samples: Any) -> IntArray:
        """A number per sample, (n,): its length, or 0; equal numbers give batches of equal shape."""
        ...

    def to_json(self) -> dict[str, Any]:
        """Everything that decides the result, as JSON values."""
        ...


class Encoder:
    """A frozen pretrained network that turns samples into features.

    Parameters
    ----------
    name : str
        What `unseen.encoders.get` calls it; never a path.
    module : nn.Module, or callable () -> nn.Module
        The network, from a preprocessed batch to features (b, d). Frozen; methods that train it copy it. A callable is
        asked when somebody wants to train or to carry the network, which `runs` then need not wait for.
    preprocess : Preprocess
        From samples to batches.
    batch_size : int
        Every batch has this many samples, the last one padded: a feature does not depend on its neighbours. Few
        pictures alone run in a smaller one where that gives the same bits, as is seen once per process.
    precision : {"auto", "fp32", "bf16"}
        ``"auto"`` takes the fastest backend of this machine, ``"fp32"`` is the reference.
    local : bool
        The weights are a file of the user; a saved model must carry them.
    identity : str, or callable () -> str, optional
        Stands for the weights in `fingerprint`; the state of `module` if absent.
    save : callable, optional
        Writes what is needed to build the encoder again into a folder; the state of `module` if absent.
    regions : Regional, optional
        `module` with the features of regions behind its own, in one row; `encode` then adds the column `regions`.
    runs : nn.Module, optional
        What encodes in the place of `module`: the same state and the same bits, sooner at hand.
    """

    def __init__(
        self,
        *,
        name: str,
        module: nn.Module | Callable[[], nn.Module],
        preprocess: Preprocess,
        batch_size: int = 32,
        precision: Precision = "auto",
        local: bool = False,
        identity: str | Callable[[], str] | None = None,
        save: Callable[[Path], None] | None = None,
        regions: Regional | None = None,
        runs: nn.Module | None = None,
    ) -> None:
        backends.check_precision(precision)
        self.name = name
        self._module = _frozen(module) if isinstance(module, nn.Module) else module
        self._running = None if runs is None else _frozen(runs)
        self.preprocess = preprocess
        self.batch_size = batch_size
        self.precision: Precision = precision
        self.local = local
        self.regions = None if regions is None else regions.eval().requires_grad_(False)
        self.passing = False  # made for one domain: float32 by onnxruntime, and nothing of it is kept for later
        self.exact = False  # float32, of pictures by onnxruntime
        self._identity = identity
        self._save = save
        self._runs: dict[tuple[Any, ...], backends.Run] = {}
        self._alike: dict[tuple[Any, ...], bool | None] = {}
        self._asked = False

    def __getstate__(self) -> dict[str, Any]:
        """What travels to another process: all but the functions that were made for this one."""
        return self.__dict__ | {"_runs": {}}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {' or '.join(self.kinds)} to {self.dim} features)"

    @property
    def module(self) -> nn.Module:
        """The network, from a preprocessed batch to features, (b, d)."""
        if not isinstance(self._module, nn.Module):
            self._module = _frozen(self._module())
        return self._module

    @property
    def running(self) -> nn.Module:
        """What encodes: `module`, or what stands for it."""
        return self.module if self._running is None else self._running

    def replace_network(self, network: nn.Module) -> None:
        """Put another network in the place of this one, as both `module` and what runs."""
        self._module = self._running = network

    @property
    def kind(self) -> Kind:
        """What it takes: image, text, ...; of two towers the first."""
        return self.kinds[0]

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Everything that it takes."""
        return (self.preprocess.kind,)

    @cached_property
    def dim(self) -> int:
        """Number of features; of a network that does not tell it, what it makes of one sample."""
        if parts := backends.lite0s(self.running):
            return FEATURES * len(parts)
        with torch.inference_mode():
            try:
                return int(self.running(self.example(1)).shape[1])
            except Exception:  # a graph of the user may take a full batch alone, and says so in its own way
                return int(self.running(self.example()).shape[1])

    @property
    def n_regions(self) -> int:
        """Number of regions of a sample, row by row; 0 if it was not asked for any."""
        return 0 if self.regions is None else self.regions.side**2

    @property
    def width(self) -> int:
        """Numbers per sample: its features, then those of its regions."""
        return self.dim * (1 + self.n_regions)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of name, weights and preprocessing: equal fingerprints give equal features."""
        identity = self._identity or partial(digest_state, self.running)
        weights = identity if isinstance(identity, str) else identity()
        spec = {"name": self.name, "weights": weights, "preprocess": self.preprocess.to_json()}
        return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()

    def example(self, rows: int | None = None) -> Tensor:
        """A full batch of one meaningless sample, or one of `rows`, for tracing and export."""
        sample: Any = np.zeros((8, 8, 3), dtype=np.uint8) if self.kind == "image" else "example"
        return self.batch([sample], rows)

    def batch(self, samples: Sequence[Any], rows: int | None = None) -> Tensor:
        """Preprocess samples and pad to a full batch, or to `rows`, with copies of the first."""
        batch = self.preprocess(samples)
        missing = (rows or self.batch_size) - len(batch)
        return torch.cat([batch, batch[:1].expand(missing, *batch.shape[1:])]) if missing > 0 else batch

    def as_read(self, domain: Domain) -> Domain:
        """The samples, read as finely as this encoder looks at them."""
        return domain

    def encode(
        self,
        domain: Domain,
        *,
        precision: Precision | None = None,
        cache: Cache = True,
        engine: Engine | None = None,
    ) -> Domain:
        """Turn every sample into features; labels, classes, ids and columns stay.

        Parameters
        ----------
        domain : Domain
            Samples of a kind that the encoder takes.
        precision : {"auto", "fp32", "bf16"}, optional
            Other than the encoder's own.
        cache : bool or path
            Keep features on disk by content, encoder and backend, so that only new content is computed. False
            keeps nothing; a path keeps them there instead of in the user's cache folder.
        engine : Engine, optional
            Where it runs: this process, or Ray, with the same bits. Only this process writes what is kept.

        Returns
        -------
        Domain
            Of kind ``"features"``; x is float32 (n, d). If regions were asked for by name, the column ``regions`` holds
            theirs, float32 (n, side * side, d), row by row of the picture.

        Raises
        ------
        ValueError
            If the kind does not fit, or a feature is not finite.
        """
        self.check_kind(domain)
        domain = self.as_read(domain)
        precision = self.precision if precision is None else precision
        backend = self.backend(precision)
        if cache is False:
            features = np.empty((len(domain), self.width), dtype=np.float32)
            for rows, piece in self.pieces(domain, np.arange(len(domain)), backend, engine):
                features[rows] = piece
            return self._featured(domain, features)
        root = cache_root() / "features" if cache is True else Path(cache)
        device = current().device.partition(":")[0]
        store = FeatureStore(root / f"{self.fingerprint[:32]}-{device}-{backend}")
        digests, first, inverse = np.unique(domain.digests(), return_index=True, return_inverse=True)
        known, stored = store.find(digests.tolist())
        features = np.empty((len(digests), self.width), dtype=np.float32)
        features[known] = stored if known.any() else 0
        todo = np.flatnonzero(~known)
        todo = todo[np.argsort(first[todo])]
        for rows, piece in self.pieces(domain, first[todo], backend, engine, learn=cache is True):
            features[todo[rows]] = piece
            store.add(digests[todo[rows]].tolist(), piece)
        return self._featured(domain, features[inverse.reshape(-1)])

    def _featured(self, domain: Domain, rows: NDArray[np.float32]) -> Domain:
        """The domain with features, (n, width), for samples; those of regions become a column."""
        if not self.n_regions:
            return domain.replace(x=rows, kind="features")
        x, cells = np.ascontiguousarray(rows[:, : self.dim]), rows[:, self.dim :]
        columns = {**domain.columns, "regions": cells.reshape(len(rows), self.n_regions, self.dim)}
        return domain.replace(x=x, kind="features", columns=columns)

    def reading(self, regions: bool) -> nn.Module:
        """The network before a method: from a batch to features, or to those of all regions, (b, n_regions * d)."""
        if not (regions and self.regions is not None):
            return self.module
        return self.regions.by_themselves()

    def backend(self, precision: Precision) -> Backend:
        """Return the backend that `precision` means here."""
        quick = self.passing or (self.exact and precision == "fp32" and self.kind == "image")
        if (quick or (precision == "auto" and backends.lite0s(self.running))) and current().device == "cpu":
            return "onnxruntime-fp32"
        return backends.choose(precision, convolutional=self.kind == "image")

    def fidelity(self, domain: Domain, precision: Precision | None = None) -> tuple[float, float]:
        """Mean and least cosine between the features of a precision and the float32 reference."""
        fast, reference = (
            self.encode(domain, precision=which, cache=False).x for which in (precision or self.precision, "fp32")
        )
        norms = np.linalg.norm(fast, axis=1) * np.linalg.norm(reference, axis=1)
        cosine = (fast * reference).sum(axis=1) / np.maximum(norms, np.finfo(np.float32).tiny)
        return float(cosine.mean()), float(cosine.min())

    def to_json(self) -> dict[str, Any]:
        """Name, fingerprint and preprocessing, as a saved model keeps them."""
        return {
            "name": self.name,
            "kinds": list(self.kinds),
            "dim": self.dim,
            "fingerprint": self.fingerprint,
            "preprocess": self.preprocess.to_json(),
            "precision": self.precision,
            "local": self.local,
            **({"exact": True} if self.exact else {}),
        }

    def exactly(self) -> Encoder:
        """The same in float32, by what computes it quickest: what is saved with features of it computes the same."""
        other = copy.copy(self)
        other.precision, other.exact = "fp32", True
        return other

    def beside(self) -> Encoder:
        """Another one of the same networks, ready to run, whose size of a batch may be set in a thread of its own."""
        other = copy.copy(self)
        other._runs = self._runs
        return other

    def check(self, record: Mapping[str, Any]) -> None:
        """Raise `ValueError` unless this is the encoder that `to_json` recorded."""
        if record["fingerprint"] == self.fingerprint:
            return
        mine = self.to_json()
        differs = [key for key in ("name", "preprocess", "dim") if record.get(key) != mine[key]] or ["weights"]
        raise ValueError(
            f"encoder {self.name!r} is not the one that was saved ({record['name']!r}): {', '.join(differs)} "
            "differ. Install the versions that saved it, or save again with the encoder inside (`bundle`)"
        )

    def check_kind(self, domain: Domain) -> None:
        """Raise `ValueError`, with the encoders that fit, unless the encoder takes this kind of samples."""
        check_domain(domain, "domain")
        if domain.kind not in self.kinds:
            if domain.kind == "clip" and self.kind == "image":
                raise ValueError(
                    f"domain {domain.name!r} holds clips; encoder {self.name!r} takes pictures, and looks at the "
                    f"frames of clips if it is called 'frames:{self.name}'"
                )
            raise ValueError(
                f"domain {domain.name!r} holds {domain.kind}; encoder {self.name!r} takes "
                f"{' or '.join(self.kinds)}. {_advice(domain.kind)}"
            )

    def save_weights(self, folder: str | os.PathLike[str]) -> None:
        """Write what `unseen.encoders.load` needs to build the encoder without package or network."""
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        save = self._save or partial(save_state, self.running)
        save(target)

    def pieces(
        self,
        domain: Domain,
        positions: IntArray,
        backend: Backend,
        engine: Engine | None = None,
        *,
        learn: bool = False,
    ) -> Iterator[tuple[IntArray, NDArray[np.float32]]]:
        """Rows of `positions`, (k,), and the features of these samples, (k, width), piece by piece."""
        if engine is not None and engine.name == "ray":
            from unseen.encoders.distributed import encoded

            yield from encoded(self, domain, positions, backend, engine)
            return
        step = FLUSH * self.batch_size
        for start in range(0, len(positions), step):
            rows = np.arange(start, min(start + step, len(positions)))
            yield rows, self.compute(domain, positions[rows], backend, learn=learn)

    def compute(
        self, domain: Domain, positions: IntArray, backend: Backend, *, learn: bool = False
    ) -> NDArray[np.float32]:
        """Features of the samples at `positions` in this process, (len(positions), width).

        With `learn`, what is seen of small batches on the way may be kept on disk.
        """
        features = np.empty((len(positions), self.width), dtype=np.float32)
        groups = self.preprocess.groups(domain.x[positions])
        order = np.argsort(groups, kind="stable")
        cuts = np.flatnonzero(np.diff(groups[order])) + 1
        pieces = [
            (group[start : start + rows], rows)
            for group in np.split(order, cuts)
            for rows in (self._rows(int(groups[group[0]])),)
            for start in range(0, len(group), rows)
        ]
        if len(pieces) == 1:
            pieces = [(pieces[0][0], self._fewest(len(positions), pieces[0][1], backend))]
            features[pieces[0][0]] = self._alone(domain, positions, pieces[0], backend)
            return self._checked(domain, positions, features)
        full = pieces[0]
        at_once, threads = backends.streams(len(pieces))
        read = backends.prefetched(partial(self._batch, domain, positions), pieces, threads=1)
        first: list[Tensor] = []
        outputs = backends.prefetched(partial(self._run, backend), _seen(read, first), at_once, threads=threads)
        with contextlib.closing(read), contextlib.closing(outputs):
            for piece, _ in track(pieces, f"encoding {domain.name} by {self.name}"):
                features[piece] = next(outputs)[: len(piece)].numpy()
        self._checked(domain, positions, features)
        if learn and len(full[0]) == full[1]:
            self._learn_fewest(first[0], features[full[0]], backend)
        return features

    def _alone(
        self, domain: Domain, positions: IntArray, piece: tuple[IntArray, int], backend: Backend
    ) -> NDArray[np.float32]:
        """The features of a single batch, on all threads of this one: another would meet fresh memory."""
        before, (_, threads) = torch.get_num_threads(), backends.streams(1)
        torch.set_num_threads(threads)
        try:
            with runtime(threads=threads):
                output = self._run(backend, self._batch(domain, positions, piece))
        finally:
            torch.set_num_threads(before)
        return output[: len(piece[0])].numpy()

    def _checked(self, domain: Domain, positions: IntArray, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """The features, if all of them are finite; a `ValueError` names a sample else."""
        if not np.isfinite(features).all():
            sample = id_of(domain, positions[int(np.argwhere(~np.isfinite(features))[0, 0])])
            raise ValueError(f"encoder {self.name!r} gives a feature of sample {sample!r} that is not finite")
        return features

    def _batch(self, domain: Domain, positions: IntArray, piece: tuple[IntArray, int]) -> Tensor:
        return self.batch(read_ready(domain, positions[piece[0]], self.preprocess), piece[1])

    def _rows(self, group: int) -> int:
        """Samples of a full batch of one group: fewer where each of them is long."""
        return max(1, self.batch_size * LONG // max(group, LONG))

    def _fewest(self, n: int, full: int, backend: Backend) -> int:
        """Rows of a batch for n samples: few, where a small batch is known to give the bits of a full one."""
        rows = next((rows for rows in FEW if n <= rows < full), full)
        if rows == full or not self._may_shrink:
            return full
        if backend == "onnxruntime-fp32" and backends.lite0s(self.running):
            return rows  # which computes picture by picture
        key = self._key_alike(backend, rows, full)
        if key not in self._alike:
            self._alike[key] = alike(self.running, key)
        if self._alike[key] is None and self._asked:  # asked again in one process: worth to know
            noise = torch.randn(self.example().shape, generator=torch.Generator().manual_seed(0))
            noise = noise.contiguous(memory_format=torch.channels_last)
            whole, part = self._together(backend, noise, noise[:rows])
            self._alike[key] = torch.equal(whole[:rows], part)
        self._asked = True
        return rows if self._alike[key] else full

    def _learn_fewest(self, batch: Tensor, known: NDArray[np.float32], backend: Backend) -> None:
        """See once per machine, where a full batch is computed anyway, whether small ones give its bits."""
        if not self._may_shrink or (backend == "onnxruntime-fp32" and backends.lite0s(self.running)):
            return
        keys = {rows: self._key_alike(backend, rows, len(batch)) for rows in FEW if rows < len(batch)}
        unknown = [rows for rows, key in keys.items() if self._alike.get(key) is None]
        unknown = [rows for rows in unknown if alike(self.running, keys[rows]) is None]
        if not unknown:
            return
        for rows, part in zip(unknown, self._together(backend, *(batch[:rows] for rows in unknown))):
            self._alike[keys[rows]] = bool(np.array_equal(known[:rows], part.numpy()))
            remember_alike(self.running, keys[rows], bool(self._alike[keys[rows]]))

    @property
    def _may_shrink(self) -> bool:
        fixed = self.local and not self.passing  # a graph of the user may have a fixed batch
        return type(self) is Encoder and not fixed and self.kind == "image" and self.regions is None

    def _key_alike(self, backend: Backend, rows: int, full: int) -> tuple[Any, ...]:
        return (backend, current().device, backends.threads(), rows, full)

    def _together(self, backend: Backend, *batches: Tensor) -> list[Tensor]:
        """Batches one after the other, each on all threads, as a single one is computed."""
        return list(backends.prefetched(partial(self._run, backend), batches, 1, threads=backends.threads()))

    def _run(self, backend: Backend, batch: Tensor) -> Tensor:
        key: tuple[Any, ...] = (backend, current().device)
        if backend == "onnxruntime-fp32":
            key += (backends.threads(), tuple(batch.shape[1:]))
        with _PREPARING:
            if key not in self._runs:
                self._runs[key] = self._prepare(backend, batch)
        return self._runs[key](batch)

    def _prepare(self, backend: Backend, batch: Tensor) -> backends.Run:
        network = self.running if self.regions is None else self.regions
        return backends.prepare(backend, network, batch, None if self.passing else self.fingerprint)


def _frozen(network: nn.Module) -> nn.Module:
    return network.eval().requires_grad_(False)


def _seen(batches: Iterable[Tensor], first: list[Tensor]) -> Iterator[Tensor]:
    """The batches; the first of them is put into a list."""
    for batch in batches:
        if not first:
            first.append(batch)
        yield batch


def _advice(kind: str) -> str:
    from unseen.encoders.registry import fitting

    fits = fitting(kind)
    return f"For {kind} there are: {', '.join(fits)}" if fits else f"No encoder takes {kind}"

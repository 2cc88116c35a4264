"""Features on disk: what was encoded once is not encoded again.

A store holds the features of one encoder on one backend in a few safetensors files (shards). A shard carries
the digest of each sample's content beside its features, so no index can disagree with it, and a checksum.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from unseen.runtime import cache_folder, replacing

log = logging.getLogger(__name__)

MANY_SHARDS = 32
"""A store with more small shards than this joins them."""

SMALL_SHARD = 4096
"""Rows below which a shard is joined with others."""


def cache_root() -> Path:
    """Where features are kept, and what else encoders make: `unseen.runtime.cache_folder`."""
    return cache_folder()


@contextlib.contextmanager
def written(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; it becomes `path` if the block ends well, else it is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        yield temporary


class FeatureStore:
    """The features of one encoder on one backend, by the content of the samples.

    Parameters
    ----------
    folder : Path
        Where the shards lie; it need not exist. Several processes may read and write it at once.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, digests: Sequence[str]) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        """Which of the n samples are stored, (n,), and the features of those, (found, d), in the order asked.

        Shards that are damaged or vanish meanwhile count as not stored.
        """
        wanted = {digest: row for row, digest in enumerate(digests)}
        rows: list[int] = []
        features: list[NDArray[np.float32]] = []
        for path in sorted(self.folder.glob("*.safetensors")):
            shard = _read_shard(path, set(wanted))
            if shard is None:
                continue
            fresh = [(wanted.pop(digest), k) for k, digest in enumerate(shard[0]) if digest in wanted]
            if fresh:
                rows += [row for row, _ in fresh]
                features.append(shard[1][[k for _, k in fresh]])
        known = np.zeros(len(digests), dtype=bool)
        known[rows] = True
        if not rows:
            return known, np.empty((0, 0), dtype=np.float32)
        return known, np.concatenate(features)[np.argsort(rows)]

    def add(self, digests: Sequence[str], features: NDArray[np.float32]) -> None:
        """Store the features (n, d) of n samples; a full or read-only disk is a warning, not an error."""
        try:
            self._write(list(digests), features)
            small = [path for path in sorted(self.folder.glob("*.safetensors")) if _rows(path) < SMALL_SHARD]
            if len(small) > MANY_SHARDS:
                self._join(small)
        except OSError as error:
            log.warning("features were not kept in %s: %s", self.folder, error)

    def _write(self, digests: list[str], features: NDArray[np.float32]) -> Path:
        features = np.ascontiguousarray(features, dtype=np.float32)
        keys = np.frombuffer(bytes.fromhex("".join(digests)), dtype=np.uint8).reshape(len(digests), -1)
        payload = save({"digests": keys.copy(), "features": features}, metadata={"sha256": _checksum(keys, features)})
        path = self.folder / f"{hashlib.sha256(payload).hexdigest()[:32]}.safetensors"
        with written(path) as temporary:
            temporary.write_bytes(payload)
        return path

    def _join(self, shards: Sequence[Path]) -> None:
        """Write some shards as one, then remove them; a reader that misses one encodes again."""
        parts = [shard for shard in map(_read_shard, shards) if shard is not None]
        if len(parts) < 2:
            return
        joined = self._write([digest for keys, _ in parts for digest in keys], np.concatenate([f for _, f in parts]))
        for path in shards:
            if path != joined:
                path.unlink(missing_ok=True)


def _read_shard(path: Path, wanted: set[str] | None = None) -> tuple[list[str], NDArray[np.float32]] | None:
    """Digests and features of a shard; None if it holds nothing wanted, is gone or damaged (then removed)."""
    try:
        with safe_open(path, framework="numpy") as shard:
            keys = shard.get_tensor("digests")
            digests = [bytes(row).hex() for row in keys]
            if wanted is not None and wanted.isdisjoint(digests):
                return None
            features = shard.get_tensor("features")
            intact = (shard.metadata() or {}).get("sha256") == _checksum(keys, features)
    except FileNotFoundError:
        return None
    except (SafetensorError, OSError, ValueError) as error:
        log.warning("damaged feature file %s: %s", path.name, error)
        intact = False
    if not intact:
        log.warning("%s is damaged; its samples are encoded again", path.name)
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        return None
    return digests, features


def _rows(path: Path) -> int:
    """How many samples a shard holds, from its header; 0 if it is gone or damaged, which `_read_shard` then tells."""
    try:
        with safe_open(path, framework="numpy") as shard:
            return int(shard.get_slice("digests").get_shape()[0])
    except (SafetensorError, OSError, ValueError):
        return 0


def _checksum(keys: NDArray[np.uint8], features: NDArray[np.float32]) -> str:
    return hashlib.sha256(keys.tobytes() + features.tobytes()).hexdigest()

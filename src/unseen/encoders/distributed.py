"""Encoding on Ray: samples that lie in files every machine sees travel as paths, others with their contents."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unseen.data.domain import Domain, Lazy
from unseen.data.images import are_files, with_contents
from unseen.data.typing import IntArray
from unseen.encoders.reading import FLUSH, read_samples
from unseen.scale import Engine, cluster

if TYPE_CHECKING:
    from unseen.encoders.backends import Backend
    from unseen.encoders.base import Encoder

log = logging.getLogger(__name__)

BATCHES = 8
"""Batches that a worker is given at a time."""

CARRIED = 64 * BATCHES
"""Batches whose samples travel with their contents at a time."""


@dataclasses.dataclass(frozen=True)
class Job:
    """What a worker needs: samples without labels, and how to encode them."""

    encoder: Any  # a reference of Ray
    domain: Domain
    backend: Backend


def encoded(
    encoder: Encoder, domain: Domain, positions: IntArray, backend: Backend, engine: Engine
) -> Iterator[tuple[IntArray, NDArray[np.float32]]]:
    """Yield rows of `positions`, (k,), with the features of these samples, (k, d), as workers finish them.

    The features are those of `Encoder.encode` in one process, bit for bit, on processors of one type: every batch is
    full or padded there too. An encoder that cannot travel, such as one that holds a session of onnxruntime, encodes
    here; a warning says so.
    """
    from unseen.scale.actors import everywhere, rows

    if not len(positions):
        return
    size = BATCHES * encoder.batch_size
    with cluster(engine) as ray:
        try:
            kept = ray.put(encoder)
        except Exception as error:  # whatever its parts raise when they are pickled
            log.warning("%r cannot travel to other processes and encodes here (%s)", encoder, str(error).split("\n")[0])
            yield from encoder.pieces(domain, positions, backend)
            return
        first = domain.take(positions[:1])
        paths = are_files(domain.x) and all(everywhere(_reads, (first.x, first.digests()[0]), engine=engine))
        step = len(positions) if paths else CARRIED * encoder.batch_size
        for start in range(0, len(positions), step):
            part = domain.take(positions[start : start + step])
            job = Job(
                kept,
                Domain(x=part.x if paths else _carried(part), kind=part.kind, ids=part.ids, name=part.name),
                backend,
            )
            pieces = rows(_worker, len(part), job, size=size, engine=engine)
            for numbers, features in _gathered(pieces, FLUSH * encoder.batch_size):
                yield start + numbers, features


def _carried(domain: Domain) -> Any:
    """Samples that can be had without the files of this machine."""
    if not isinstance(domain.x, Lazy):
        return domain.x
    if are_files(domain.x):
        return with_contents(domain.x)
    return Lazy(list(read_samples(domain, np.arange(len(domain)))), _itself)


def _itself(sample: Any) -> Any:
    return sample


def _gathered(
    pieces: Iterator[tuple[IntArray, NDArray[np.float32]]], least: int
) -> Iterator[tuple[IntArray, NDArray[np.float32]]]:
    """Pieces joined until they have `least` rows: what is kept on disk comes in few files."""
    held: list[tuple[IntArray, NDArray[np.float32]]] = []
    for piece in pieces:
        held.append(piece)
        if sum(len(numbers) for numbers, _ in held) >= least:
            yield np.concatenate([numbers for numbers, _ in held]), np.concatenate([rows for _, rows in held])
            held = []
    if held:
        yield np.concatenate([numbers for numbers, _ in held]), np.concatenate([rows for _, rows in held])


def _reads(sample: tuple[Any, str]) -> bool:
    """Whether a machine reads the same content of a file."""
    samples, digest = sample
    try:
        return samples.digest(0) == digest
    except OSError:
        return False


def _worker(job: Job) -> Callable[[IntArray], NDArray[np.float32]]:
    import ray

    encoder: Encoder = ray.get(job.encoder)
    return lambda numbers: encoder.compute(job.domain, numbers, job.backend)

"""`choose_index`: which nearest-neighbour index suits so many vectors and so much memory, as autofaiss decides it."""

from __future__ import annotations

import dataclasses
import math
import re

FLAT_BELOW, HNSW15_BELOW, IVF_FLAT_BELOW = 1_000, 10_000, 1_000_000
"""Numbers of vectors below which exact search, a small graph, and uncompressed lists are taken."""

LEAST_LINKS, MOST_LINKS = 8, 32
"""Links of a node in a graph: below the first it is refused, above the second they are not worth their memory."""

QUANTIZER_FROM = 16_384
"""Clusters from which the lists themselves are found through a graph."""

CODES = (256, 192, 128, 96, 64, 56, 48, 40, 32, 24, 16, 8, 4)
"""Bytes of a compressed vector, the best first; those are taken that leave out no more than a tenth of its width."""

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}
_SIZE = re.compile(r"\s*([0-9]*\.?[0-9]+)\s*([KMGT]I?)?B?\s*", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class IndexChoice:
    """An index before it is built.

    Attributes
    ----------
    key : str
        What faiss's `index_factory` makes it from.
    family : {"flat", "hnsw", "ivf", "pq"}
        Exact, a graph, lists of whole vectors, or lists of compressed ones.
    memory : int
        Bytes that it will take, estimated.
    why : str
        The rule that chose it.
    clusters, code : int
        Lists, and bytes of a compressed vector; 0 where there are none.
    """

    key: str
    family: str
    memory: int
    why: str
    clusters: int = 0
    code: int = 0


def parse_memory(memory: int | str) -> int:
    """Bytes of ``"31MB"``, ``"1 GB"`` (powers of ten), ``"2GiB"`` (of two), or of a number; `ValueError` otherwise."""
    match = _SIZE.fullmatch(str(memory))
    size = float(match[1]) * _UNITS[(match[2] or "").upper()] if match else 0.0
    if size < 1:
        raise ValueError(f"memory must be a size such as '1GB' or '300MB'; got {memory!r}")
    return int(size)


def clusters_of(n: int) -> int:
    """Lists of an inverted index over `n` vectors."""
    if n < IVF_FLAT_BELOW:
        return 2 ** round(math.log2(4 * math.sqrt(n)))
    if n < 10_000_000:
        return 16_384
    return 65_536 if n < 300_000_000 else 2**17


def choose_index(n: int, dim: int, memory: int | str = "4GB", *, memory_mapped: bool = False) -> IndexChoice:
    """Choose an index for `n` vectors that shall fit into `memory`, by the rules of autofaiss [1].

    Below 1,000 vectors search is exact, below 10,000 a graph of 15 links is small enough for any memory. Then come the
    graph with as many links as fit (8 to 32), lists of whole vectors below a million, and compressed vectors with the
    longest code that fits.

    Parameters
    ----------
    n : int, >= 1
        Vectors.
    dim : int, >= 1
        Their width.
    memory : int or str
        Bytes, or a size such as ``"300MB"``.
    memory_mapped : bool
        The index shall be read from disk while it is searched: graphs, which jump about, are then left out.

    Raises
    ------
    ValueError
        If nothing fits; the message says how much would be needed.

    References
    ----------
    [1] Schuhmann et al., "LAION-5B", NeurIPS 2022, and criteo/autofaiss, which it uses.
    """
    if n < 1 or dim < 1:
        raise ValueError(f"n and dim must be at least 1; got {n} and {dim}")
    budget = parse_memory(memory)
    vectors = 4 * n * dim
    if n < FLAT_BELOW:
        return IndexChoice("Flat", "flat", vectors, f"fewer than {FLAT_BELOW:,} vectors")
    if n < HNSW15_BELOW:
        return IndexChoice("HNSW15", "hnsw", _graph(n, dim, 15), f"fewer than {HNSW15_BELOW:,} vectors")
    links = math.floor((budget / (4 * n) - dim) / 2)
    if links >= LEAST_LINKS and not memory_mapped:
        links = min(links, MOST_LINKS)
        return IndexChoice(f"HNSW{links}", "hnsw", _graph(n, dim, links), f"a graph of {links} links a node fits")
    clusters = clusters_of(n)
    lists = f"IVF{clusters}" + (f"_HNSW{MOST_LINKS}" if clusters >= QUANTIZER_FROM else "")
    refused = "graphs are not for mapped memory" if memory_mapped else f"a graph of {LEAST_LINKS} links does not fit"
    if n < IVF_FLAT_BELOW and (size := vectors + 8 * n + _quantizer(clusters, dim)) <= budget:
        return IndexChoice(f"{lists},Flat", "ivf", size, f"{refused}, lists of whole vectors do", clusters)
    for code in CODES:
        size = _compressed(n, dim, clusters, code)
        if code <= dim and dim % code <= dim // 10 and size <= budget:
            key = f"OPQ{code}_{dim - dim % code},{lists},PQ{code}x8"
            return IndexChoice(
                key, "pq", size, f"{refused}, nor do whole vectors; {code} bytes each do", clusters, code
            )
    least = _compressed(n, dim, clusters, min((code for code in CODES if code <= dim), default=dim))
    raise ValueError(
        f"memory must be at least {math.ceil(least / 1e6)}MB for {n:,} vectors of width {dim}; got {budget / 1e6:g}MB"
    )


def _graph(n: int, dim: int, links: int) -> int:
    """The vectors and the links of every node in the lowest layer."""
    return 4 * n * (dim + 2 * links)


def _quantizer(clusters: int, dim: int) -> int:
    return _graph(clusters, dim, MOST_LINKS if clusters >= QUANTIZER_FROM else 0)


def _compressed(n: int, dim: int, clusters: int, code: int) -> int:
    """Codes and ids, the centroids, the codebooks and the rotation."""
    return n * (code + 8) + _quantizer(clusters, dim) + 4 * 256 * dim + 4 * dim * dim

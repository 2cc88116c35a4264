"""`Index`: a nearest-neighbour index with the record of what it was built from, and how it is searched."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.curation.collection import Collection, EncoderRecord, Side
from unseen.curation.vectors import ALONE, BoolArray, Vectors
from unseen.data.typing import FloatArray, IntArray
from unseen.files import read_object
from unseen.runtime import current

FORMAT = 2

QUICK = 0.02
"""Seconds that comparing every row that a filter allows may take without a question whether the index is quicker."""

ALONE_COST = 4
"""How many times longer a vector takes that is read by itself than one that is read in a block."""

SURE_UP_TO = 100
"""Results that the effort tuned for ten is trusted with; for more it is raised until they settle."""

SETTLED = 0.98
"""Share of the results that twice the effort has to leave as they are."""


def library() -> Any:
    """Import faiss; a missing one is an `ImportError` that says how to get it."""
    try:
        import faiss
    except ImportError as error:
        raise ImportError(f"an index needs: pip install 'unseen[curate]' ({error})") from error
    return faiss


@contextlib.contextmanager
def limited_faiss() -> Iterator[Any]:
    """Faiss on the runtime's threads inside the block."""
    faiss = library()
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(current().threads)
    try:
        yield faiss
    finally:
        faiss.omp_set_num_threads(before)


@dataclasses.dataclass(frozen=True)
class IndexRecord:
    """What an index was built from and what was measured of it.

    Attributes
    ----------
    side : {"image", "text"}
    key, family : str
        What `choose_index` said.
    encoder, fingerprint : str or None
        Of what made the vectors; None if the collection does not say.
    dim, rows : int
    order : str
        `Collection.order` of these rows.
    parameters : mapping
        How it is searched: `efSearch` of graphs, `nprobe` of lists, `refine`: how many times more than asked for are
        fetched and compared by their exact vectors.
    recall : mapping
        Recall@10 against exact search of held-out queries: `same` by vectors of this side, `other` by those of the
        other side, `alone` by both without the exact comparison.
    target : mapping
        The recall and the seconds that were asked for.
    latency : float
        Median seconds of one query.
    memory, budget : int
        Bytes of the file, and those that were allowed.
    reconstruction_error : float
        Mean distance of a vector from what the index keeps of it.
    seconds : float
        To train, fill and measure.
    why : str
        Why this index was chosen.
    vectors : str
        `Vectors.digest` of the rows.
    scan : float
        Seconds to compare one vector exactly.
    """

    side: Side
    key: str
    family: str
    encoder: str | None
    fingerprint: str | None
    dim: int
    rows: int
    order: str
    parameters: Mapping[str, int]
    recall: Mapping[str, float]
    target: Mapping[str, float | None]
    latency: float
    memory: int
    budget: int
    reconstruction_error: float
    seconds: float
    why: str
    vectors: str = ""
    scan: float = 0.0
    metric: str = "inner product of unit vectors"
    format: int = FORMAT

    def check(self, collection: Collection, vectors: Vectors | None = None) -> None:
        """Raise `ValueError` unless the index was built from what the collection holds now, in its order."""
        again = f"build it again: unseen index DATA --side {self.side}"
        encoder = collection.encoder
        mine = (self.encoder, self.fingerprint)
        theirs = (None, None) if encoder is None else (encoder.name, encoder.fingerprint)
        if mine != theirs:
            raise ValueError(
                f"the index of {self.side}s is of the encoder {_named(*mine)}; the collection is of {_named(*theirs)}; "
                f"{again}"
            )
        if encoder and self.dim != encoder.dim:
            raise ValueError(f"the index is {self.dim} wide, the vectors are {encoder.dim} wide; {again}")
        if self.rows != len(collection):
            more = f"unseen index DATA --side {self.side} --add" if self.rows < len(collection) else again
            raise ValueError(f"the index has {self.rows:,} rows, the collection {len(collection):,}; {more}")
        if self.order != collection.order:
            raise ValueError(f"the rows of the index have another order than those of the collection; {again}")
        if vectors is not None and vectors.digest(self.rows) != self.vectors:
            raise ValueError(
                f"the vectors of {self.side}s are others than those that the index was built from; {again}"
            )


def _named(name: str | None, fingerprint: str | None) -> str:
    return "nobody" if name is None else f"{name} ({(fingerprint or '')[:12]}...)"


def paths(collection: Collection, side: Side) -> tuple[Path, Path]:
    """The files of an index and of its record."""
    if side not in ("image", "text"):
        raise ValueError(f"side must be 'image' or 'text'; got {side!r}")
    return collection.folder / "index" / f"{side}.faiss", collection.folder / "index" / f"{side}.json"


def read_record(collection: Collection, side: Side) -> IndexRecord:
    """The record of an index; `ValueError` if there is none, or it is of another format."""
    file, record = paths(collection, side)
    if not record.is_file() or not file.is_file():
        raise ValueError(f"{collection.folder.name} has no index of {side}s; build it: unseen index DATA --side {side}")
    stored = read_object(record)
    if stored.get("format") != FORMAT:
        raise ValueError(
            f"the index of {side}s is of format {stored.get('format')!r}; this version reads {FORMAT}; build it again: "
            f"unseen index DATA --side {side}"
        )
    return IndexRecord(**stored)


@dataclasses.dataclass(frozen=True)
class Index:
    """An index that is open: rows of a collection by nearness.

    Attributes
    ----------
    faiss : faiss.Index
        As it is on disk.
    record : IndexRecord
    vectors : Vectors
        The exact vectors, for compressed indices and for filters.
    """

    faiss: Any
    record: IndexRecord
    vectors: Vectors

    def __len__(self) -> int:
        return int(self.faiss.ntotal)

    def require(self, encoder: EncoderRecord) -> None:
        """Raise `ValueError` if queries of another encoder are asked."""
        encoder.require(self.record.fingerprint or "", self.record.dim, name=self.record.encoder or "the index's")

    def ranks(self) -> IntArray:
        """Where each row stands if rows are in the order of the index's lists, (n,); `ValueError` without lists."""
        ivf = library().try_extract_index_ivf(self.faiss)
        if ivf is None:
            raise ValueError(f"only an index with lists gives an order; this one is {self.record.key}")
        lists = ivf.invlists
        ids = [library().rev_swig_ptr(lists.get_ids(i), lists.list_size(i)).copy() for i in range(lists.nlist)]
        order = np.concatenate(ids)
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        return rank

    def search(
        self, queries: FloatArray, k: int, *, within: BoolArray | None = None
    ) -> tuple[NDArray[np.float32], IntArray]:
        """The rows nearest to queries.

        Parameters
        ----------
        queries : array (m, d)
            Unit vectors of the index's encoder.
        k : int, >= 1
            How many.
        within : array of n bools, optional
            Rows that may be found. Where comparing each of them is quick, or quicker than what is left to search of
            the index, that is done.

        Returns
        -------
        similarity, rows : array (m, k)
            Cosines and rows, the nearest first; where fewer are found, -inf and -1.

        Raises
        ------
        ValueError
            If the queries are of another width, or not finite.
        """
        asked = np.ascontiguousarray(queries, dtype=np.float32)
        if asked.ndim != 2 or asked.shape[1] != self.record.dim or not np.isfinite(asked).all():
            raise ValueError(f"queries must be finite, of shape (m, {self.record.dim}); got {asked.shape}")
        if k < 1:
            raise ValueError(f"k must be at least 1; got {k}")
        k = min(k, len(self))
        allowed = len(self) if within is None else int(np.count_nonzero(within))
        if within is not None and self._scan(allowed) <= max(QUICK, self.record.latency):
            return self.vectors.exact(asked, k, within=within)
        return self._raised(asked, k, allowed, within)

    def _scan(self, allowed: int) -> float:
        """Seconds to compare one query with so many rows exactly, by what was measured when the index was built."""
        few = ALONE * allowed < len(self)
        return self.record.scan * (ALONE_COST * allowed if few else len(self))

    def _raised(
        self, queries: NDArray[np.float32], k: int, allowed: int, within: BoolArray | None
    ) -> tuple[NDArray[np.float32], IntArray]:
        """Search with effort that doubles until all k are there and settled, and exactly once that is no slower.

        A filter can allow just what lies far from a query: the lists or nodes that are near then hold nothing, and how
        much of the index has to be searched shows only in what is found.
        """
        wanted, wider = min(k, allowed), 1.0 if within is None else max(1.0, min(16.0, len(self) / max(1, allowed)))
        parameters, before = self.record.parameters, None
        effort = max((value for name, value in parameters.items() if name != "refine"), default=0)
        most = self._most()
        while True:
            similarity, rows = searched(self.faiss, self.vectors, queries, k, parameters, within=within, wider=wider)
            full = bool((np.count_nonzero(rows >= 0, axis=1) >= wanted).all())
            if full and (not effort or (within is None and k <= SURE_UP_TO) or _settled(before, rows)):
                return similarity, rows
            if effort * wider >= most and full:
                return similarity, rows
            before, wider = (rows if full else None), 2 * wider
            if effort * wider >= 2 * most or self.record.latency * wider > self._scan(allowed):
                return self.vectors.exact(queries, k, within=within)

    def _most(self) -> int:
        """The effort that searches all of the index."""
        ivf = library().try_extract_index_ivf(self.faiss)
        return len(self) if ivf is None else int(ivf.nlist)


def _settled(before: IntArray | None, rows: IntArray) -> bool:
    """Whether an effort found what half of it had found."""
    if before is None:
        return False
    same = [np.isin(new, old).mean() for new, old in zip(rows, before)]
    return min(same, default=1.0) >= SETTLED


def searched(
    index: Any,
    vectors: Vectors,
    queries: NDArray[np.float32],
    k: int,
    parameters: Mapping[str, int],
    *,
    within: BoolArray | None = None,
    wider: float = 1.0,
) -> tuple[NDArray[np.float32], IntArray]:
    """Search a faiss index with parameters of ours; `refine` > 1 compares more by their exact vectors."""
    refine = parameters.get("refine", 0)
    wanted = min(k * max(1, refine), int(index.ntotal))
    with limited_faiss() as faiss:
        bitmap = None if within is None else np.packbits(within, bitorder="little")
        selector = None if bitmap is None else faiss.IDSelectorBitmap(bitmap)
        options = _options(faiss, index, parameters, selector, wider)
        similarity, rows = index.search(queries, wanted, params=options)
    if refine:
        return _refined(vectors, queries, rows, k)
    return np.where(rows < 0, -np.inf, similarity).astype(np.float32), rows


def _refined(
    vectors: Vectors, queries: NDArray[np.float32], rows: IntArray, k: int
) -> tuple[NDArray[np.float32], IntArray]:
    """The best k of the rows that were found, (m, c), by their exact vectors."""
    unique, at = np.unique(rows, return_inverse=True)
    exact = vectors.take(np.maximum(unique, 0))[at.reshape(rows.shape)]
    similarity = np.einsum("mcd,md->mc", exact, queries)
    similarity[rows < 0] = -np.inf
    order = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(similarity, order, axis=1), np.take_along_axis(rows, order, axis=1)


def _options(faiss: Any, index: Any, parameters: Mapping[str, int], selector: Any, wider: float) -> Any:
    """Faiss's own search parameters for an index of ours."""
    if isinstance(index, faiss.IndexPreTransform):
        inside = _options(faiss, faiss.downcast_index(index.index), parameters, selector, wider)
        return faiss.SearchParametersPreTransform(index_params=inside)
    if "nprobe" in parameters:
        probe = min(int(index.nlist), int(np.ceil(parameters["nprobe"] * wider)))
        lists = faiss.downcast_index(index.quantizer)
        if isinstance(lists, faiss.IndexHNSW):
            graph = faiss.SearchParametersHNSW(efSearch=max(64, 2 * probe))
            return faiss.SearchParametersIVF(nprobe=probe, quantizer_params=graph, sel=selector)
        return faiss.SearchParametersIVF(nprobe=probe, sel=selector)
    if "efSearch" in parameters:
        effort = int(np.ceil(parameters["efSearch"] * wider))
        return faiss.SearchParametersHNSW(efSearch=effort, sel=selector)
    return faiss.SearchParameters(sel=selector)

"""One embedding of each sample, from what people have: arrays, tables, a collection, or pictures and an encoder."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from unseen.compare.inputs import encoder_of
from unseen.curation.uids import is_uid

if TYPE_CHECKING:
    import pyarrow as pa
    from PIL.Image import Image

VECTORS = ("embeddings", "embedding", "image", "l14_img", "b32_img", "features", "x")
"""Names of a column or an array of embeddings, the first that is there."""
SIMILARITIES = ("similarity", "clip_l14_similarity_score", "clip_b32_similarity_score", "clip_similarity")
IDS = ("uid", "id", "key", "ids")
TEXTS = ("text", "caption", "captions")
_BLOCK = 65_536


@dataclasses.dataclass(frozen=True, eq=False)
class Embeddings:
    """Embeddings of n samples with what else is known of them.

    Attributes
    ----------
    x : array (n, d)
        Of any float type; perhaps mapped from disk.
    ids : array (n,)
        Strings, or row numbers where nothing names the samples.
    similarity : array (n,) or None
        Cosine of picture and caption.
    texts : array (n,) of str or None
    picture : callable or None
        From a row to its picture.
    name : str
    encoder : str
        What made the embeddings, empty if that is not known.
    """

    x: NDArray[np.floating]
    ids: NDArray[Any]
    similarity: NDArray[np.float64] | None = None
    texts: NDArray[Any] | None = None
    picture: Callable[[int], Image] | None = None
    name: str = "data"
    encoder: str = ""

    @property
    def has_uids(self) -> bool:
        """Whether every id is a uid of 32 hexadecimal digits."""
        return self.ids.dtype.kind in "UO" and len(self.ids) > 0 and all(is_uid(uid) for uid in self.ids.tolist())


def read_embeddings(
    path: str | os.PathLike[str],
    *,
    encoder: str | None = None,
    column: str | None = None,
    precision: str = "auto",
    trust: bool = False,
    on_error: Literal["skip", "fail"] = "skip",
) -> Embeddings:
    """Read embeddings.

    Parameters
    ----------
    path : path
        An array (n, d) in .npy, which stays on disk, or in .npz; a .parquet table with a column of vectors; a
        collection of `unseen.curation`; or data that an encoder reads, such as a folder of pictures. Beside NAME.npy or
        NAME.npz a table NAME.parquet may say the uid, the similarity and the text of each row, as DataComp's do.
    encoder : str, optional
        For pictures; the default one if absent.
    column : str, optional
        Name of the column of vectors, or of the array in an .npz; in a collection image or text.
    precision, trust, on_error
        Of encoder and loader.

    Raises
    ------
    FileNotFoundError
        If nothing is there.
    ValueError
        If there are no vectors, or they are not finite.
    """
    path = Path(path)
    if path.suffix in (".npy", ".npz", ".parquet") and encoder is not None:
        raise ValueError(f"--encoder is for pictures; {path} holds embeddings")
    if not path.exists() and path.suffix in (".npy", ".npz", ".parquet", ""):
        raise FileNotFoundError(f"there is nothing at {path}")
    if path.suffix == ".npy":
        if column is not None:
            raise ValueError(f"--column names a column or an array; {path} holds one array")
        found = _beside(path, np.load(path, mmap_mode="r", allow_pickle=False), {})
    elif path.suffix == ".npz":
        found = _read_npz(path, column)
    elif path.suffix == ".parquet":
        found = _read_parquet(path, column)
    elif (path / "collection.json").is_file():
        found = _read_collection(path, column)
    else:
        found = _encoded(path, encoder, precision, trust, on_error)
    _check(path, found)
    return found


def _check(path: Path, found: Embeddings) -> None:
    """A finite table; looked at in blocks, so that it stays on disk."""
    x = found.x
    if x.ndim != 2 or x.dtype.kind != "f" or 0 in x.shape:
        raise ValueError(f"{path} must hold float vectors of shape (n, d); got {x.dtype} of shape {x.shape}")
    for start in range(0, len(x), _BLOCK):
        good = np.isfinite(x[start : start + _BLOCK]).all(axis=1)
        if not good.all():
            raise ValueError(f"{path} must be finite; row {start + int(np.argmin(good))} holds NaN or infinity")
    for name in ("ids", "similarity", "texts"):
        values = getattr(found, name)
        if values is not None and len(values) != len(x):
            raise ValueError(f"{path}: {name} has {len(values)} entries, there are {len(x)} vectors")
    if found.similarity is not None and not np.isfinite(found.similarity).all():
        raise ValueError(f"{path}: the similarity of row {int(np.argmin(np.isfinite(found.similarity)))} is missing")
    values, counts = np.unique(found.ids, return_counts=True)
    if len(values) != len(found.ids):
        raise ValueError(f"{path}: ids must be unique; {str(values[counts.argmax()])!r} stands {counts.max()} times")


def _read_npz(path: Path, column: str | None) -> Embeddings:
    with np.load(path, allow_pickle=False) as file:
        tables = [name for name in file.files if file[name].ndim == 2 and file[name].dtype.kind == "f"]
        x = file[_one_of(path, column, tables)]
        said = {name: file[name] for name in file.files if file[name].ndim == 1}
    return _beside(path, x, said)


def _beside(path: Path, x: NDArray[Any], said: dict[str, NDArray[Any]]) -> Embeddings:
    """Vectors with what the same file, or a table beside it, says of each row."""
    table = path.with_suffix(".parquet")
    if table.is_file():
        import pyarrow.parquet as pq

        have = pq.read_schema(table).names
        names = [name for group in (IDS, SIMILARITIES, TEXTS) if (name := _first(have, group))]
        said = {
            **said,
            **{name: _plain(column) for name, column in zip(names, pq.read_table(table, columns=names).columns)},
        }
        if names and len(said[names[0]]) != len(x):
            raise ValueError(
                f"{table} has {len(said[names[0]])} rows, {path.name} has {len(x)}: they must be of one order"
            )
    return _with(x, said, path.stem)


def _read_parquet(path: Path, column: str | None) -> Embeddings:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pq.read_schema(path)
    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    vectors = [f.name for f in schema if any(is_(f.type) for is_ in lists) and pa.types.is_floating(f.type.value_type)]
    own = _one_of(path, column, vectors)
    names = [name for group in (IDS, SIMILARITIES, TEXTS) if (name := _first(schema.names, group))]
    table = pq.read_table(path, columns=[own, *names])
    x = _matrix(path, own, table[own])
    return _with(x, {name: _plain(table[name]) for name in names}, path.stem)


def _matrix(path: Path, name: str, column: pa.ChunkedArray) -> NDArray[Any]:
    """A column of vectors of one length as an array (n, d)."""
    parts = []
    for chunk in column.chunks:
        flat = chunk.flatten().to_numpy(zero_copy_only=False)
        if chunk.null_count or (len(chunk) and len(flat) % len(chunk)):
            raise ValueError(f"{path}: the vectors of {name} must be there for every row and of one length")
        if len(chunk):
            parts.append(flat.reshape(len(chunk), -1))
    if not parts or len({part.shape[1] for part in parts}) != 1:
        raise ValueError(f"{path}: the vectors of {name} must be of one length, at least one of them")
    lengths = {len(value) for value in column.slice(0, 1000).to_pylist()}
    if len(lengths) != 1:
        raise ValueError(f"{path}: the vectors of {name} must be of one length; got {sorted(lengths)}")
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _read_collection(path: Path, column: str | None) -> Embeddings:
    from unseen.curation.collection import Collection
    from unseen.data.images import decode

    if column not in (None, "image", "text"):
        raise ValueError(f"--column must be image or text for a collection; got {column!r}")
    own = Collection.open(path)
    table = own.table(["uid", "similarity", "text"])
    similarity = np.asarray(table["similarity"].to_numpy(zero_copy_only=False), dtype=np.float64)
    return Embeddings(
        x=own.embeddings("text" if column == "text" else "image"),
        ids=np.array(table["uid"].to_pylist(), dtype=np.str_),
        similarity=similarity if np.isfinite(similarity).all() else None,
        texts=np.array(table["text"].to_pylist(), dtype=object),
        picture=lambda row: decode(own.picture(row)),
        name=path.name,
        encoder=own.encoder.name if own.encoder is not None else "",
    )


def _encoded(path: Path, encoder: str | None, precision: str, trust: bool, on_error: Any) -> Embeddings:
    from unseen.data.loaders import load

    domain = load(path, on_error=on_error)
    tower = encoder_of(domain.kind, encoder, precision, trust)
    rows = domain if tower is None else tower.encode(domain)
    assert rows.ids is not None
    where = {str(identity): i for i, identity in enumerate(domain.ids if domain.ids is not None else ())}
    places = [where[str(identity)] for identity in rows.ids]
    similarity = rows.columns.get("similarity")
    scored = similarity is not None and similarity.dtype.kind == "f" and similarity.ndim == 1
    return Embeddings(
        x=np.asarray(rows.x, dtype=np.float32) if rows.x.dtype.kind != "f" else rows.x,
        ids=rows.ids,
        similarity=np.asarray(similarity, dtype=np.float64) if scored else None,
        texts=next((rows.columns[name] for name in TEXTS if name in rows.columns), None),
        picture=(lambda row: _as_image(domain.x[places[row]])) if domain.kind == "image" else None,
        name=domain.name,
        encoder=tower.name if tower is not None else "",
    )


def _as_image(sample: Any) -> Image:
    from PIL import Image as Images

    return Images.fromarray(sample) if isinstance(sample, np.ndarray) else sample


def _with(x: NDArray[Any], said: dict[str, NDArray[Any]], name: str) -> Embeddings:
    ids, similarity, texts = (_first(said, group) for group in (IDS, SIMILARITIES, TEXTS))
    return Embeddings(
        x=x,
        ids=np.arange(len(x)) if ids is None else said[ids].astype(np.str_),
        similarity=None if similarity is None else said[similarity].astype(np.float64),
        texts=None if texts is None else said[texts],
        name=name,
    )


def _first(have: Iterable[str], wanted: Sequence[str]) -> str | None:
    there = set(have)
    return next((name for name in wanted if name in there), None)


def _one_of(path: Path, column: str | None, there: Sequence[str]) -> str:
    """The name of the vectors: what was asked for, the only one, or the first of the usual names."""
    if column is not None:
        if column not in there:
            raise ValueError(
                f"--column must name vectors in {path}: {', '.join(there) or 'it has none'}; got {column!r}"
            )
        return column
    if not there:
        raise ValueError(f"{path} holds no float vectors")
    known = there[0] if len(there) == 1 else _first(there, VECTORS)
    if known is None:
        raise ValueError(f"{path} holds several kinds of vectors; name one with --column: {', '.join(there)}")
    return known


def _plain(column: pa.ChunkedArray) -> NDArray[Any]:
    return column.to_numpy()

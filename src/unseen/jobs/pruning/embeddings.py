"""One embedding of each sample, from what people have: arrays, tables, a collection, or pictures and an encoder."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from unseen.curation.uids import is_uid
from unseen.data.archive import Archive
from unseen.data.reading import check_array
from unseen.encoders.defaults import encoder_of
from unseen.files import reads
from unseen.nn.rows import Part, Stack
from unseen.report.words import SPACE, samples

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
        Strings, or row numbers where nothing names the samples; uids in small letters.
    similarity : array (n,) or None
        Cosine of picture and caption; NaN where it is missing.
    texts : array (n,) of str or None
    picture : callable or None
        From a row to its picture.
    name : str
    encoder : str
        What made the embeddings, empty if that is not known.
    """

    x: NDArray[np.floating] | Stack | Part
    ids: NDArray[Any]
    similarity: NDArray[np.float64] | None = None
    texts: NDArray[Any] | None = None
    picture: Callable[[int], Image] | None = None
    name: str = "data"
    encoder: str = ""

    @property
    def has_uids(self) -> bool:
        """Whether every id is a uid of 32 hexadecimal digits."""
        return self.no_uids == ""

    @cached_property
    def no_uids(self) -> str:
        """Why the ids are no uids; empty if they are."""
        if self.ids.dtype.kind not in "UO":
            return "nothing names the samples (a column uid would)"
        other = next((i for i, uid in enumerate(self.ids.tolist()) if not is_uid(uid)), None)
        return "" if other is None else f"{str(self.ids[other])!r}, row {other + 1}, has not 32 hexadecimal digits"


@reads("a table of embeddings", "write it anew with numpy.save")
def read_embeddings(
    path: str | os.PathLike[str],
    *,
    encoder: str | None = None,
    column: str | None = None,
    precision: str = "auto",
    trust: bool = False,
    on_error: Literal["skip", "fail"] = "skip",
    without_tags: Sequence[str] = (),
    say: Callable[[str], None] = lambda line: None,
) -> Embeddings:
    """Read embeddings.

    Parameters
    ----------
    path : path
        An array (n, d) in .npy, which stays on disk, or in .npz; a .parquet table with a column of vectors; a
        collection of `unseen.curation`; a folder of .npz shards, as one array in the order of their names; or data that
        an encoder reads, such as a folder of pictures. Beside NAME.npy or NAME.npz a table NAME.parquet may say the
        uid, the similarity and the text of each row, as DataComp's do. Arrays of an .npz stay on disk, too; compressed
        ones are unpacked into a temporary file.
    encoder : str, optional
        For pictures; the default one if absent.
    column : str, optional
        Name of the column of vectors, or of the array in an .npz; in a collection image or text.
    precision, trust, on_error
        Of encoder and loader.
    without_tags : sequence of str
        Pairs of a collection with one of these tags (`unseen.curation.tags`) are not read.
    say : callable, optional
        Takes a line of what was read, before it is encoded.

    Raises
    ------
    FileNotFoundError
        If nothing is there.
    ValueError
        If there are no vectors or only one, they are not finite, an id is missing or stands twice, the data are a table
        of numbers that are no embedding, or an option has no effect on such data.
    """
    path = Path(path)
    shards = sorted(path.glob("*.npz")) if path.is_dir() else []
    collection = (path / "collection.json").is_file()
    if path.suffix in (".npy", ".npz", ".parquet") or shards or collection:
        for name, given in (("encoder", encoder is not None), ("precision", precision != "auto"), ("trust", trust)):
            if given:
                raise ValueError(f"{name} is for pictures; {path} holds embeddings")
    elif column is not None:
        raise ValueError(f"column is for embeddings; {path} is encoded here")
    if not path.exists() and path.suffix in (".npy", ".npz", ".parquet", ""):
        raise FileNotFoundError(f"there is nothing at {path}")
    if path.suffix == ".npy":
        if column is not None:
            raise ValueError(f"column names a column or an array; {path} holds one array")
        with path.open("rb") as file:
            check_array(file, path.stat().st_size)
        embeddings = _beside(path, np.load(path, mmap_mode="r", allow_pickle=False), {})
    elif path.suffix == ".npz":
        embeddings = _read_npz(path, column)
    elif path.suffix == ".parquet":
        embeddings = _read_parquet(path, column)
    elif collection:
        embeddings = _read_collection(path, column)
    elif shards:
        embeddings = _read_shards(path, shards, column)
    else:
        embeddings = _encoded(path, encoder, precision, trust, on_error, say)
    _check(path, embeddings)
    if without_tags:
        embeddings = _untagged(path, embeddings, without_tags)
    if not embeddings.encoder or collection:
        say(_told(embeddings))
    return embeddings


def _told(embeddings: Embeddings) -> str:
    """How many there are, and what else is known of them."""
    known = ("ids", embeddings.ids.dtype.kind in "UO"), ("similarities", embeddings.similarity is not None)
    more = [name for name, there in (*known, ("texts", embeddings.texts is not None)) if there]
    n, width = embeddings.x.shape
    return f"data: {n:,} embeddings of {width:,} numbers" + (f", with {' and '.join(more)}" if more else "")


def _untagged(path: Path, embeddings: Embeddings, tags: Sequence[str]) -> Embeddings:
    """Those of a collection that have none of some tags."""
    from unseen.curation.collection import Collection
    from unseen.curation.columns import open_columns
    from unseen.curation.tags import Tags

    if not (path / "collection.json").is_file():
        raise ValueError(f"without_tags is for a collection, whose pairs are tagged in unseen explore; {path} is none")
    collection = Collection.open(path)
    tagged = Tags(collection, open_columns(collection))
    if missing := [tag for tag in tags if tag not in tagged.names]:
        raise ValueError(
            f"without_tags: no pair is tagged {missing[0]!r}; "
            + (f"there are: {', '.join(tagged.names)}" if tagged.names else "no pair has a tag yet")
        )
    rows = np.flatnonzero(~tagged.mask(tags))
    if not len(rows):
        raise ValueError(f"without_tags {' '.join(tags)} leaves no pair")
    picture = embeddings.picture
    return dataclasses.replace(
        embeddings,
        x=Part(embeddings.x, rows),
        ids=embeddings.ids[rows],
        similarity=None if embeddings.similarity is None else embeddings.similarity[rows],
        texts=None if embeddings.texts is None else embeddings.texts[rows],
        picture=None if picture is None else lambda row: picture(int(rows[row])),
    )


def _check(path: Path, embeddings: Embeddings) -> None:
    """A finite table; looked at in blocks, so that it stays on disk."""
    x = embeddings.x
    if x.ndim != 2 or x.dtype.kind != "f" or 0 in x.shape:
        raise ValueError(f"{path} must hold float vectors of shape (n, d); got {x.dtype} of shape {x.shape}")
    for start in range(0, len(x), _BLOCK):
        good = np.isfinite(x[start : start + _BLOCK]).all(axis=1)
        if not good.all():
            row = start + int(np.argmin(good))
            raise ValueError(f"{path} must be finite; row {row}, counted from 0, holds NaN or infinity")
    for name in ("ids", "similarity", "texts"):
        values = getattr(embeddings, name)
        if values is not None and len(values) != len(x):
            raise ValueError(f"{path}: {name} has {len(values)} entries, there are {len(x)} vectors")
    if len(x) == 1:
        raise ValueError(f"there is nothing to prune: {path} holds one sample")
    values, counts = np.unique(embeddings.ids, return_counts=True)
    if len(values) != len(embeddings.ids):
        raise ValueError(f"{path}: ids must be unique; {str(values[counts.argmax()])!r} stands {counts.max()} times")


def _read_npz(path: Path, column: str | None) -> Embeddings:
    arrays = Archive(path)
    x = arrays.mapped(_one_of(path, column, arrays.tables))
    return _beside(path, x, arrays.said((*IDS, *SIMILARITIES, *TEXTS)))


def _read_shards(path: Path, files: Sequence[Path], column: str | None) -> Embeddings:
    """The shards of a folder as one array; what one has of ids, similarities and texts, all must have."""
    parts = [_read_npz(file, column) for file in files]
    widths = {part.x.shape[1]: file for part, file in zip(parts, files)}
    if len(widths) > 1:
        lengths = ", ".join(f"{width} in {file.name}" for width, file in widths.items())
        raise ValueError(f"the vectors of {path} must be of one length; they have {lengths}")
    out: dict[str, Any] = {}
    for name in ("ids", "similarity", "texts"):
        columns = [getattr(part, name) for part in parts]
        have = [values is not None and (name != "ids" or values.dtype.kind == "U") for values in columns]
        if any(have) and not all(have):
            raise ValueError(
                f"{path}: {files[have.index(True)].name} has {name}, {files[have.index(False)].name} has none"
            )
        out[name] = np.concatenate(columns) if all(have) else None
    x = Stack([part.x for part in parts if isinstance(part.x, np.ndarray)])
    ids = np.arange(len(x)) if out["ids"] is None else out["ids"]
    return Embeddings(x=x, ids=ids, similarity=out["similarity"], texts=out["texts"], name=path.name)


def _beside(path: Path, x: NDArray[Any], said: dict[str, NDArray[Any]]) -> Embeddings:
    """Vectors with what the same file, or a table beside it, says of each row."""
    table = path.with_suffix(".parquet")
    if table.is_file():
        import pyarrow.parquet as pq

        have = pq.read_schema(table).names
        names = [name for group in (IDS, SIMILARITIES, TEXTS) if (name := _first(have, group))]
        said = {**said, **_columns(table, pq.read_table(table, columns=names), names)}
        if names and len(said[names[0]]) != len(x):
            raise ValueError(
                f"{table} has {len(said[names[0]])} rows, {path.name} has {len(x)}: they must be of one order"
            )
    return _with(path, x, said)


def _columns(path: Path, table: pa.Table, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Columns as arrays; an id that is missing is refused."""
    for name in names:
        if name in IDS and table[name].null_count:
            row = table[name].is_null().to_numpy().argmax()
            raise ValueError(f"{path}: {name} is missing in {table[name].null_count} rows, first in row {row + 1}")
    return {name: table[name].to_numpy() for name in names}


def _read_parquet(path: Path, column: str | None) -> Embeddings:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pq.read_schema(path)
    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    vectors = [f.name for f in schema if any(is_(f.type) for is_ in lists) and pa.types.is_floating(f.type.value_type)]
    chosen = _one_of(path, column, vectors)
    names = [name for group in (IDS, SIMILARITIES, TEXTS) if (name := _first(schema.names, group))]
    table = pq.read_table(path, columns=[chosen, *names])
    x = _matrix(path, chosen, table[chosen])
    return _with(path, x, _columns(path, table, names))


def _matrix(path: Path, name: str, column: pa.ChunkedArray) -> NDArray[Any]:
    """A column of vectors of one length as an array (n, d)."""
    import pyarrow.compute as pc

    if column.null_count:
        row = column.is_null().to_numpy().argmax()
        raise ValueError(
            f"{path}: the vectors of {name} are missing in {column.null_count} rows, first in row {row + 1}"
        )
    lengths = pc.list_value_length(column).to_numpy()
    if not len(lengths):
        raise ValueError(f"{path} has no rows")
    if (lengths != lengths[0]).any():
        row = int((lengths != lengths[0]).argmax())
        raise ValueError(
            f"{path}: the vectors of {name} must be of one length; row 1 has {lengths[0]}, row {row + 1} has "
            f"{lengths[row]}"
        )
    width = int(lengths[0])
    parts = [chunk.flatten().to_numpy(zero_copy_only=False).reshape(-1, width) for chunk in column.chunks if len(chunk)]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _read_collection(path: Path, column: str | None) -> Embeddings:
    from unseen.curation.collection import Collection
    from unseen.data.images import decode

    if column not in (None, "image", "text"):
        raise ValueError(f"column must be image or text for a collection; got {column!r}")
    collection = Collection.open(path)
    table = collection.table(["uid", "similarity", "text"])
    similarity = np.asarray(table["similarity"].to_numpy(zero_copy_only=False), dtype=np.float64)
    side: Literal["text", "image"] = "text" if column == "text" else "image"
    parts = [shard.embeddings(side) for shard in collection.shards]
    return Embeddings(
        x=collection.embeddings(side) if len(parts) < 2 else Stack(parts),
        ids=_identities(path, _columns(path, table, ["uid"])["uid"]),
        similarity=None if np.isnan(similarity).all() else similarity,
        texts=np.array(table["text"].to_pylist(), dtype=object),
        picture=lambda row: decode(collection.picture(row)),
        name=path.name,
        encoder=collection.encoder.name if collection.encoder is not None else "",
    )


def _encoded(
    path: Path, encoder: str | None, precision: str, trust: bool, on_error: Any, say: Callable[[str], None]
) -> Embeddings:
    from unseen.data.loaders import load

    domain = load(path, on_error=on_error)
    if domain.kind == "features":
        raise ValueError(
            f"{path} is a table of numbers, of which the largest column would decide alone: samples are compared by "
            "the angle of their embeddings. Save what is an embedding by numpy.save, and name the .npy"
        )
    if len(domain) == 1:
        whole = ", as a text file is one text; a table has one in each row" if domain.kind == "text" else ""
        raise ValueError(f"there is nothing to prune: {path} is one sample{whole}")
    say(f"data: {samples(len(domain), domain.kind)}".replace(SPACE, " "))
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


def _with(path: Path, x: NDArray[Any], said: dict[str, NDArray[Any]]) -> Embeddings:
    ids, similarity, texts = (_first(said, group) for group in (IDS, SIMILARITIES, TEXTS))
    scored = similarity is not None and said[similarity].dtype.kind in "fiu"
    return Embeddings(
        x=x,
        ids=np.arange(len(x)) if ids is None else _identities(path, said[ids]),
        similarity=said[similarity].astype(np.float64) if scored and similarity is not None else None,
        texts=None if texts is None else said[texts],
        name=path.stem,
    )


def _identities(path: Path, ids: NDArray[Any]) -> NDArray[np.str_]:
    """Ids as strings, uids in small letters, so that one is not taken for two; `ValueError` where one is missing."""
    missing = np.isnan(ids) if ids.dtype.kind == "f" else np.zeros(len(ids), dtype=bool)
    names = [str(name) for name in ids.tolist()]
    row = next((i for i, name in enumerate(names) if missing[i] or not name), None)
    if row is not None:
        raise ValueError(f"{path}: row {row + 1} has no id")
    return np.array([name.lower() if is_uid(name) else name for name in names], dtype=np.str_)


def _first(have: Iterable[str], wanted: Sequence[str]) -> str | None:
    there = set(have)
    return next((name for name in wanted if name in there), None)


def _one_of(path: Path, column: str | None, there: Sequence[str]) -> str:
    """The name of the vectors: what was asked for, the only one, or the first of the usual names."""
    if column is not None:
        if column not in there:
            raise ValueError(f"column must name vectors in {path}: {', '.join(there) or 'it has none'}; got {column!r}")
        return column
    if not there:
        raise ValueError(f"{path} holds no float vectors")
    known = there[0] if len(there) == 1 else _first(there, VECTORS)
    if known is None:
        raise ValueError(f"{path} holds several kinds of vectors; name one with `column`: {', '.join(there)}")
    return known

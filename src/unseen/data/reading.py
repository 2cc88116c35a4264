"""Where the data layer opens files: plain ones alone, and only as large as they may be."""

from __future__ import annotations

import io
import math
import re
import unicodedata
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unseen.files import check_plain

if TYPE_CHECKING:
    import pyarrow as pa

MAX_BYTES = 512 * 2**20
"""Files of one sample that are larger than this are refused."""

LARGEST_FREE, MOST_TIMES = 256 * 2**20, 200
"""Bytes that may always be unpacked, and how many times its own size a larger packed file may unpack to."""


def is_local(fs: Any) -> bool:
    """Whether an fsspec file system is that of this machine."""
    return type(fs).__name__ == "LocalFileSystem"


def open_file(fs: Any, path: str) -> IO[bytes]:
    """Open a file for reading; `ValueError` if it is a pipe, a socket or a device, or a member that unpacks to much."""
    if is_local(fs):
        check_plain(path)
    elif isinstance(archive := getattr(fs, "zip", None), zipfile.ZipFile):
        check_member(archive.getinfo(path.lstrip("/")))
    return fs.open(path, "rb")


def read_bytes(fs: Any, path: str, max_bytes: int | None = MAX_BYTES) -> bytes:
    """Return the content of a file, refusing one that is larger than `max_bytes`."""
    with open_file(fs, path) as file:
        size = fs.size(path)
        if max_bytes is not None and size is not None and size > max_bytes:
            raise ValueError(f"the file has {size:,} bytes; at most {max_bytes:,} are read")
        return bytes(file.read())


def check_unpacked(unpacked: int, packed: int, name: str = "it") -> None:
    """Raise `ValueError`, before anything is unpacked, if so many bytes come of so few."""
    if unpacked > max(LARGEST_FREE, MOST_TIMES * packed):
        raise ValueError(
            f"{name} unpacks to {unpacked:,} bytes from {packed:,}, more than {MOST_TIMES} times its size; if that is "
            "meant, store it unpacked"
        )


def check_member(info: zipfile.ZipInfo) -> None:
    """Raise `ValueError` if a member of a zip file says that it unpacks to many times its size."""
    check_unpacked(info.file_size, info.compress_size, info.filename)


_WIDTHS = {"BOOLEAN": 0.125, "INT32": 4, "FLOAT": 4, "INT64": 8, "DOUBLE": 8, "INT96": 12}
_AT_ONCE, _CELLS = 2**16, 2**22
"""Rows, and cells, that are unpacked of a Parquet file before the next look at how many bytes there are."""


def read_parquet(file: IO[bytes]) -> pa.Table:
    """The table of a Parquet file; `ValueError` as soon as it unpacks to many times its size.

    How much numbers take is known before; texts and lists are read by batches, and a value that is stored once and
    repeated counts as often as it stands in the table.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    packed = file.seek(0, io.SEEK_END)
    schema = pq.ParquetFile(file).schema_arrow
    if len(set(schema.names)) < len(schema):
        raise ValueError(f"its columns must have different names; got {', '.join(schema.names)}")
    whole = pq.ParquetFile(file, read_dictionary=[field.name for field in schema if _is_text(field.type)])
    check_unpacked(_told(whole), packed)
    loose = [field for field in schema if not _is_fixed(field.type)]
    fixed = whole.read([field.name for field in schema if _is_fixed(field.type)])
    parts: dict[str, list[Any]] = {field.name: [] for field in loose}
    size = fixed.nbytes
    batch_size = min(_AT_ONCE, max(1, _CELLS // max(1, len(loose))))
    for batch in whole.iter_batches(batch_size, columns=list(parts)) if loose else ():
        size += sum(map(_unpacked, batch.columns))
        check_unpacked(size, packed)
        for field in loose:
            parts[field.name].append(batch.column(field.name).cast(field.type))
    columns = [
        pa.chunked_array(parts[field.name], field.type) if field.name in parts else fixed.column(field.name)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _is_fixed(kind: Any) -> bool:
    """Whether values are of one width, which the end of a file tells the number of."""
    from pyarrow import types

    return bool(types.is_primitive(kind))


def _is_text(kind: Any) -> bool:
    from pyarrow import types

    return bool(
        types.is_string(kind) or types.is_large_string(kind) or types.is_binary(kind) or types.is_large_binary(kind)
    )


def _told(file: Any) -> int:
    """Bytes of the values of a Parquet file as its end tells, repeated texts counted once."""
    widths = [
        file.schema.column(i).length or _WIDTHS.get(file.schema.column(i).physical_type, 0)
        for i in range(file.metadata.num_columns)
    ]
    groups = [file.metadata.row_group(i) for i in range(file.num_row_groups)]
    chunks = ((group.column(i), width) for group in groups for i, width in enumerate(widths))
    return sum(max(chunk.total_uncompressed_size, int(chunk.num_values * width)) for chunk, width in chunks)


def _unpacked(column: Any) -> int:
    """Bytes of a column of a batch with its repeated values written out."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_dictionary(column.type) or not _is_text(column.type.value_type):
        return int(column.nbytes)
    return int(pc.sum(pc.binary_length(column.dictionary).take(column.indices)).as_py() or 0) + column.indices.nbytes


MAX_ARRAY_BYTES = 64 * 2**30
"""Arrays of one archive that unpack to more than this are refused."""

Shapes = Mapping[str, tuple[int, ...]]


def read_npz(file: IO[bytes], needed: Callable[[Shapes], Iterable[str]]) -> dict[str, NDArray[Any]]:
    """Those arrays of an .npz that are needed; `ValueError` before one is unpacked, if together they are too much.

    Parameters
    ----------
    file : binary file
        The whole archive.
    needed : function
        Of the names and shapes that the headers tell, the names of the arrays to read; what it raises is raised
        before an array is unpacked.
    """
    size = file.seek(0, io.SEEK_END)
    members: dict[str, zipfile.ZipInfo] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            check_member(member)
            name = member.filename.removesuffix(".npy")
            with archive.open(member) as stream:
                members[name], shapes[name] = member, check_array(stream, member.file_size)
        names = list(needed(shapes))
        unpacked = sum(members[name].file_size for name in names)
        if unpacked > MAX_ARRAY_BYTES:
            raise ValueError(f"it unpacks to {unpacked:,} bytes; at most {MAX_ARRAY_BYTES:,} are read")
        check_unpacked(unpacked, size)
        arrays = {}
        for name in names:
            with archive.open(members[name]) as stream:
                arrays[name] = np.lib.format.read_array(stream, allow_pickle=False)
    return arrays


def check_array(stream: IO[bytes], size: int) -> tuple[int, ...]:
    """The shape of an array in NumPy's format; `ValueError` if its header tells another size than it has.

    Parameters
    ----------
    stream : binary file
        At the beginning of the header; it is read on.
    size : int
        Bytes of the header and the values.
    """
    return checked_header(stream, size)[0]


def checked_header(stream: IO[bytes], size: int) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """What `array_header` gives; `ValueError` as `check_array`."""
    shape, fortran, dtype, offset = array_header(stream)
    need = math.prod(shape) * dtype.itemsize
    if need > size - offset:
        raise ValueError(f"its header tells an array of {need:,} bytes; it holds {max(0, size - offset):,}")
    return shape, fortran, dtype, offset


def array_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Shape, order, type and the place of the first value of an array in NumPy's format."""
    begin = stream.tell()
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(stream)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are not read; save it as numbers or strings, not as objects")
    if any(isinstance(side, bool) or side < 0 for side in shape):
        raise ValueError(f"its header tells the shape {shape}")
    return shape, fortran, dtype, stream.tell() - begin


def check_says(text: str) -> None:
    """`ValueError` where a text is empty or blank: there is nothing to answer."""
    if not text.strip():
        raise ValueError("has no text: it is " + ("blank" if text else "empty"))


def check_all_say(texts: Iterable[str], ids: Sequence[Any] | NDArray[Any] | None = None) -> None:
    """`ValueError` with the id of the first text that is empty or blank."""
    for i, text in enumerate(texts):
        try:
            check_says(text)
        except ValueError as error:
            raise ValueError(f"sample {i if ids is None else ids[i]} {error}") from error


def natural_key(text: str) -> tuple[Any, ...]:
    """Sort key under which ``img2`` comes before ``img10``; equal for no two different names."""
    text = unicodedata.normalize("NFC", text)
    parts = re.split(r"([0-9]+)", text.casefold())
    return (*((int(part), "") if i % 2 else (-1, part) for i, part in enumerate(parts)), (-1, text))

"""Tables: CSV, TSV, JSON lines and Parquet with feature columns, a text column or a path column."""

from __future__ import annotations

import dataclasses
import functools
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unseen.data import clips, video
from unseen.data.classes import ClassSpace
from unseen.data.delimited import Form, form_in, headers_of, read_rows
from unseen.data.domain import Domain, Lazy, Skipped
from unseen.data.feature_names import names_of_features
from unseen.data.images import IMAGE_SUFFIXES, image_files, verify
from unseen.data.labels import counted, encode_labels, measurements
from unseen.data.loaders.cells import (
    EMPTY,
    Column,
    check_single,
    column_of,
    is_called_as_rows,
    names_rows,
    notes_on,
    numbers_in,
    side_by_side,
)
from unseen.data.loaders.common import (
    ABOVE,
    ID_COLUMNS,
    LABEL_COLUMNS,
    PATH_COLUMNS,
    TEXT_COLUMNS,
    OnError,
    find_column,
    inside,
    inspect,
    refuse_edges,
    row_and_id,
    settle,
    unique_ids,
)
from unseen.data.reading import is_local, open_file, read_parquet
from unseen.data.sounds import SOUND_SUFFIXES, check_sound, sound_files
from unseen.data.tasks.base import text_array
from unseen.data.typing import Kind
from unseen.data.video_formats import VIDEO_SUFFIXES
from unseen.files import sentence
from unseen.spreadsheets import restored_table

if TYPE_CHECKING:
    import pandas as pd

START_COLUMNS = ("start", "start_time", "begin", "t_start", "start_seconds")
END_COLUMNS = ("end", "end_time", "stop", "t_end", "end_seconds")
"""Names of the columns that say, in seconds, which part of a video a row is."""
TABLE_SUFFIXES = frozenset({".csv", ".tsv", ".parquet", ".jsonl"})

UNNAMED = "its first line is a row as the others are, so its columns have no names and are taken in their order"
NO_FEATURES = frozenset({"split", "domain", "index", "unnamed: 0"})
"""Columns of numbers that say where a row comes from."""


def load_table(
    fs: Any,
    path: str,
    *,
    name: str,
    labels_column: str | None = None,
    text_column: str | None = None,
    path_column: str | None = None,
    classes: ClassSpace | Sequence[str] | None = None,
    on_error: OnError = "skip",
    check: bool = True,
    allow_outside: bool = False,
    frames: int = clips.FRAMES,
    features: Sequence[str] = (),
    like: Sequence[str] = (),
    rows_of: pd.DataFrame | None = None,
) -> Domain:
    """Load the rows of a table, or of a data frame in the place of one, as samples.

    Columns that are not named are found by their usual names (``label``, ``text``, ``path``, ``id``, …).
    Without a text or path column the numeric columns are the features, under their names; a few of their cells may be
    no numbers. A row with a missing feature counts as unreadable. Empty labels and -1 mean no label. Everything else is
    kept as columns. Paths of videos, or of folders of frames, give clips, those of sounds sounds; of a video the
    columns ``start`` and ``end``, in seconds, say which part a row is. A column of `features` holds no labels, however
    it is called.
    """
    named = [column for column in (labels_column, text_column, path_column) if column]
    frame, form = _read(fs, path, [*named, *like[1:]]) if rows_of is None else (_named_by_texts(rows_of), Form())
    if like and not (text_column or path_column) and like[1] in frame.columns:
        text_column, path_column = (like[1], None) if like[0] == "text" else (None, like[1])
    if not len(frame):
        raise ValueError(f"{name}: the table has no rows")
    frame = _with_vectors(frame, labels_column, text_column or path_column)
    headers = list(frame.columns)
    if not (named or text_column or path_column or features):
        refuse_edges(headers, lambda column: frame[column].tolist())
    roles = _roles(frame, form, labels_column, text_column, path_column, features)
    ids = unique_ids(_called(frame[roles.identity], [])) if roles.identity else None
    if roles.path is not None:
        samples = _samples_in_files(fs, path, frame, roles.path, check, allow_outside, frames)
    elif roles.text is not None:
        samples = _texts(frame[roles.text], ids)
    else:
        samples = _features(name, headers, roles, form, features, ids, of_file=rows_of is None)
    rows = np.flatnonzero(samples.readable)
    if not len(rows):
        raise ValueError(f"{name}: none of the {len(frame)} rows can be read, the first: {samples.skipped[0].why}")
    settled = settle(samples.skipped, on_error, name)

    kept = frame.loc[rows]
    y, space = encode_labels(kept[roles.label] if roles.label else [], classes, of_table=True)
    real = None if y is None or space is None else measurements(counted(y, space))
    named_by = roles.identity or roles.path
    ids = unique_ids(_called(kept[named_by], list(samples.times.values()))) if named_by else None
    taken = {roles.label, roles.path, roles.text, roles.identity, *samples.columns}
    return Domain(
        x=samples.x,
        y=y,
        kind=samples.kind,
        classes=space,
        ids=ids if ids is not None else np.array([f"{i:06d}" for i in rows]),
        columns={c: as_column(kept[c]) for c in headers if c not in taken} | samples.times,
        name=name,
        skipped=settled,
        feature_names=names_of_features(samples.columns) if form.names else (),
        notes=(*samples.notes, *([real] if real else [])),
        sample_column=("text", text_column) if text_column else ("path", path_column) if path_column else (),
    )


@dataclasses.dataclass(frozen=True)
class _Roles:
    """Names of the columns that are label, path, text and id, and what the others hold where no column is named so."""

    label: str | None
    path: str | None
    text: str | None
    identity: str | None
    others: dict[str, Column]


def _roles(
    frame: pd.DataFrame, form: Form, label: str | None, text: str | None, path: str | None, features: Sequence[str]
) -> _Roles:
    """Which columns are what: those that are asked for, else those with usual names, else what their cells tell."""
    headers = list(frame.columns)
    free = headers if label else [column for column in headers if column not in features]
    labels = find_column(free, label, "labels_column", LABEL_COLUMNS)
    where = find_column(headers, path, "path_column", () if text else PATH_COLUMNS)
    texts = find_column(headers, text, "text_column", () if where else TEXT_COLUMNS)
    if texts is not None and text is None and texts.casefold() == "content":
        texts = texts if column_of(frame[texts], form.decimal).values is None else None  # of something, in per cent
    identity = find_column(headers, None, "id", ID_COLUMNS)
    for column, what in ((labels, "labels"), (where, "paths"), (None if where else texts, "texts")):
        if column is not None:
            check_single(frame[column], what)
    if where is not None or texts is not None:
        return _Roles(labels, where, texts, identity, {})
    others = {c: column_of(frame[c], form.decimal) for c in headers if c not in (labels, identity)}
    return _Roles(labels, *_guess_strings(frame, others, features), identity, others)


@dataclasses.dataclass(frozen=True)
class _Samples:
    """What the rows of a table hold: `x` of those that are `readable`, and why others are not; `columns` are in `x`."""

    kind: Kind
    x: Any
    readable: NDArray[np.bool_]
    skipped: list[Skipped]
    times: dict[str, NDArray[np.float64]] = dataclasses.field(default_factory=dict)
    columns: Sequence[str] = ()
    notes: tuple[str, ...] = ()


def _samples_in_files(
    fs: Any, table: str, frame: pd.DataFrame, where: str, check: bool, allow_outside: bool, frames: int
) -> _Samples:
    """Clips, sounds or pictures, as the paths in the column `where` end."""
    if not are_clips(fs, table, frame[where], allow_outside):
        if are_sounds(frame[where]):
            return _Samples("audio", *sound_column(fs, table, frame[where], check, allow_outside))
        return _Samples("image", *picture_column(fs, table, frame[where], check, allow_outside))
    headers = list(frame.columns)
    span = find_column(headers, None, "start", START_COLUMNS), find_column(headers, None, "end", END_COLUMNS)
    starts, ends = (_seconds(frame, column) for column in span)
    x, readable, skipped = clip_column(fs, table, frame[where], starts, ends, check, allow_outside, frames)
    times = {column: values[readable] for column, values in zip(span, (starts, ends)) if column is not None}
    return _Samples("clip", x, readable, skipped, times)


def _texts(column: pd.Series[Any], ids: NDArray[np.str_] | None) -> _Samples:
    """Texts of a column; an empty one counts as unreadable."""
    x = as_texts(column)
    says = np.array([bool(value.strip()) for value in x.tolist()], dtype=bool)
    skipped = [Skipped(row_and_id(i, ids), f"{column.name} is empty") for i in np.flatnonzero(~says)]
    return _Samples("text", x[says], says, skipped)


def _with_vectors(frame: pd.DataFrame, label: str | None, samples: str | None) -> pd.DataFrame:
    """The table with embeddings as columns of numbers, where no column holds the samples by itself."""
    headers = list(frame.columns)
    if samples or find_column(headers, None, "samples", (*PATH_COLUMNS, *TEXT_COLUMNS)):
        return frame
    return side_by_side(frame, but=(find_column(headers, label, "labels_column", LABEL_COLUMNS),))


def _features(
    name: str, headers: list[str], roles: _Roles, form: Form, features: Sequence[str], ids: Any, *, of_file: bool
) -> _Samples:
    """Rows of numbers, of the columns that are left where none holds paths or texts."""
    left = {column: content for column, content in roles.others.items() if column.casefold() not in NO_FEATURES}
    if form.names and names_of_features([column for column, content in left.items() if content.values is not None]):
        left = _without_numbers_of_rows(left, features)
    used = [column for column, content in left.items() if content.values is not None]
    if not used:
        how = (
            "FILE?text=COLUMN or FILE?path=COLUMN" if of_file else "unseen.load(frame, text_column=...) or path_column="
        )
        raise ValueError(
            f"{name}: no numbers, texts or paths are left; {how} names one. The columns are: {', '.join(headers)}"
        )
    notes = notes_on(left) if form.names else (UNNAMED, *notes_on(left))
    notes += tuple(
        f"{column} is taken for a feature, as it is one in the other data"
        for column in used
        if roles.label is None and column in features and column.casefold() in LABEL_COLUMNS
    )
    return _Samples("features", *numbers_in({column: left[column] for column in used}, ids), columns=used, notes=notes)


def _without_numbers_of_rows(columns: dict[str, Column], features: Sequence[str]) -> dict[str, Column]:
    """Columns without numbers that only tell rows apart, unless they are `features`, or all that there are."""
    out = [name for name, column in columns.items() if name not in features and names_rows(name, column)]
    if set(out) == _of_numbers(columns):
        return columns
    return {name: Column(why="a number of each row") if name in out else column for name, column in columns.items()}


def _of_numbers(columns: Mapping[str, Column]) -> set[str]:
    return {name for name, column in columns.items() if column.values is not None}


def _plain(name: str) -> str:
    """What a feature is called that stands under a name of a column."""
    return unicodedata.normalize("NFC", name).strip()


def read_frame(fs: Any, path: str, as_text: Sequence[str] = ()) -> pd.DataFrame:
    """A table file as a data frame with rows numbered from 0; label, id, text and path columns stay text."""
    return _read(fs, path, as_text)[0]


def _read(fs: Any, path: str, as_text: Sequence[str]) -> tuple[pd.DataFrame, Form]:
    """What `read_frame` gives, and how a CSV is written; space around names of columns is left out."""
    frame, form = _as_it_is(fs, path, as_text)
    return _named_by_texts(frame), form


def _named_by_texts(frame: pd.DataFrame) -> pd.DataFrame:
    """A data frame with numbered rows, no space around the names of columns, and None where something is missing."""
    import pandas as pd

    names = [str(name) for name in frame.columns]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"columns must have names of their own; {twice!r} stands {names.count(twice)} times")
    plain = [_plain(name) for name in names]
    frame = frame.set_axis(plain if len(set(plain)) == len(plain) else names, axis=1).reset_index(drop=True)
    unlike = [name for name, kind in frame.dtypes.items() if getattr(kind, "na_value", None) is pd.NA]
    replaced = {name: frame[name].astype(object).where(frame[name].notna(), None) for name in unlike}
    return frame.assign(**replaced) if replaced else frame  # type: ignore[arg-type]


def _as_it_is(fs: Any, path: str, as_text: Sequence[str]) -> tuple[pd.DataFrame, Form]:
    import pandas as pd

    suffix = PurePosixPath(path).suffix.lower()
    try:
        with open_file(fs, path) as file:
            if suffix == ".parquet":
                return read_parquet(file).to_pandas().reset_index(drop=True), Form()
            if suffix == ".jsonl":
                return pd.read_json(file, lines=True, dtype=False), Form()
            form = form_in(file, suffix, called=path)
            return restored_table(_read_csv(file, form, as_text)), form
    except OSError as error:
        if error.errno is not None:  # pyarrow raises its own without one
            raise
        raise ValueError(f"{path} cannot be read as {suffix[1:]}: {sentence(error)}") from error
    except Exception as error:  # whatever pandas and pyarrow die of
        raise ValueError(f"{path} cannot be read as {suffix[1:]}: {sentence(error)}") from error


def _read_csv(file: Any, form: Form, as_text: Sequence[str]) -> pd.DataFrame:
    """A CSV as a data frame, in which label, id, text and path columns, and those of `as_text`, stay text."""
    options: dict[str, Any] = {}
    headers = headers_of(file, form)
    if not form.names:
        headers = [f"column {i}" for i in range(1, len(headers) + 1)]
        options |= {"header": None, "names": headers}
    texts = {*(_plain(name).casefold() for name in as_text), *LABEL_COLUMNS, *TEXT_COLUMNS, *PATH_COLUMNS, *ID_COLUMNS}
    verbatim = {header for header in headers if _plain(header).casefold() in texts}
    options["dtype"] = dict.fromkeys(verbatim, str)
    options["na_values"] = {header: list(EMPTY) for header in headers if header not in verbatim}
    return read_rows(file, form, keep_default_na=False, **options)


def picture_column(
    fs: Any, table: str, column: pd.Series[Any], check: bool, allow_outside: bool = False
) -> tuple[Lazy, NDArray[np.bool_], list[Skipped]]:
    """Pictures that a column names, relative to the table; which rows can be read; why the others cannot."""

    def look(path: str) -> None:
        with open_file(fs, path) as file:
            verify(file)

    paths, readable, skipped = _files_of(fs, table, column, look if check else None, allow_outside)
    return image_files(paths, fs), readable, skipped


def sound_column(
    fs: Any, table: str, column: pd.Series[Any], check: bool, allow_outside: bool = False
) -> tuple[Lazy, NDArray[np.bool_], list[Skipped]]:
    """Sounds that a column names, as in `picture_column`; they are read from this machine alone."""
    if not is_local(fs):
        raise ValueError(f"{column.name} names sounds, which are read from this machine alone: copy them here")
    paths, readable, skipped = _files_of(fs, table, column, check_sound if check else None, allow_outside)
    return sound_files(paths), readable, skipped


def _files_of(
    fs: Any, table: str, column: pd.Series[Any], look: Callable[[str], None] | None, allow_outside: bool
) -> tuple[list[str], NDArray[np.bool_], list[Skipped]]:
    """Where the files lie that a column names; which rows can be read; why the others cannot, as `look` tells."""
    full = functools.partial(_full, fs, table, allow_outside)

    def test(name: str) -> None:
        path = full(name)
        if not fs.exists(path):
            raise ValueError("the file does not exist")
        if look is not None:
            look(path)

    names = [str(value) for value in column]
    called = [name or f"row {i + 1}" for i, name in enumerate(names)]
    skipped = inspect(range(len(names)), lambda i: test(names[i]), called.__getitem__)
    bad = {entry.where for entry in skipped}
    readable = np.array([name not in bad for name in called], dtype=bool)
    return [full(name) for name, fine in zip(names, readable) if fine], readable, skipped


def clip_column(
    fs: Any,
    table: str,
    column: pd.Series[Any],
    starts: NDArray[np.float64],
    ends: NDArray[np.float64],
    check: bool,
    allow_outside: bool,
    frames: int,
) -> tuple[Lazy, NDArray[np.bool_], list[Skipped]]:
    """Clips that rows name, relative to the table; which rows can be read; why the others cannot.

    `starts` and `ends` are seconds, not a number where there is none. A file is opened once for all its parts.
    """
    names = [str(value) for value in column]
    seconds: dict[str, float] = {}

    def test(name: str) -> None:
        path = _full(fs, table, allow_outside, name)
        if fs.isdir(path):
            clips.check_frames(clips.pictures_in(fs, path))
        elif not fs.exists(path):
            raise ValueError("the file does not exist")
        elif check:
            with open_file(fs, path) as file:
                seconds[name] = video.probe(file).seconds

    bad = {entry.where: entry for entry in inspect(list(dict.fromkeys(names)), test, lambda name: name)}
    items: list[Any] = []
    skipped: list[Skipped] = []
    readable = np.zeros(len(names), dtype=bool)
    for i, name in enumerate(names):
        try:
            if name in bad:
                raise ValueError(bad[name].why)
            path = _full(fs, table, allow_outside, name)
            if fs.isdir(path):
                if starts[i] > 0 or not np.isnan(ends[i]):
                    raise ValueError("it is a folder of frames, which has no times: a start and an end are of videos")
                items.append(tuple(clips.pictures_in(fs, path)))
            else:
                end = None if np.isnan(ends[i]) else float(ends[i])
                segment = clips.Segment(path, 0.0 if np.isnan(starts[i]) else float(starts[i]), end)
                if check:
                    clips.bounds(segment, seconds[name])
                items.append(segment)
            readable[i] = True
        except ValueError as error:
            skipped.append(Skipped(f"row {i + 1}: {name}", sentence(error)))
    if len({type(item) for item in items}) > 1:
        raise ValueError(f"{column.name} must name videos, or folders of frames; it names both")
    if items and isinstance(items[0], tuple):
        return clips.frame_folders(items, fs, frames=frames), readable, skipped
    return clips.clip_files(items, fs, frames=frames), readable, skipped


def _seconds(frame: pd.DataFrame, column: str | None) -> NDArray[np.float64]:
    """Times of a column, not a number where there is none; a `ValueError` names what is no number."""
    import pandas as pd

    if column is None:
        return np.full(len(frame), np.nan)
    values = pd.to_numeric(frame[column], errors="coerce").to_numpy(dtype=np.float64)
    filled = np.array([str(value).strip() not in ("", *EMPTY) for value in frame[column]])
    if (filled & np.isnan(values)).any():
        row = int(np.flatnonzero(filled & np.isnan(values))[0])
        raise ValueError(f"{column} must hold seconds; row {row + 1} has {str(frame[column].iloc[row])!r}")
    return values


def _full(fs: Any, table: str, allow_outside: bool, name: str) -> str:
    """Where a file lies that a table names."""
    folder = table.rpartition("/")[0]
    if allow_outside and is_local(fs):
        return str(Path(folder, name.replace("\\", "/")))
    return f"{folder}/{inside(name, ABOVE)}" if folder else inside(name, ABOVE)


def are_clips(fs: Any, table: str, column: pd.Series[Any], allow_outside: bool = False) -> bool:
    """Whether a column names clips: most paths end as videos do, or the first is a folder."""
    suffixes = [PurePosixPath(str(value)).suffix.lower() for value in column]
    if np.mean([suffix in VIDEO_SUFFIXES for suffix in suffixes]) >= 0.5:
        return True
    if suffixes[0] in IMAGE_SUFFIXES:
        return False
    try:
        return bool(fs.isdir(_full(fs, table, allow_outside, str(column.iloc[0]))))
    except ValueError:  # it leads out of its folder, as is said of each row later
        return False


def are_sounds(column: pd.Series[Any]) -> bool:
    """Whether a column names sounds: most paths end as they do."""
    return bool(np.mean([PurePosixPath(str(value)).suffix.lower() in SOUND_SUFFIXES for value in column]) >= 0.5)


def _called(column: pd.Series[Any], times: Sequence[NDArray[np.float64]]) -> list[str]:
    """What samples are called: by one column, and parts of a video by the times that they have, too."""
    names = [str(value) for value in column]
    if len(set(names)) == len(names) or not times:
        return names
    spans = (["" if np.isnan(time) else f"{time:g}" for time in row] for row in zip(*times))
    return [f"{name}#{'-'.join(row)}" if any(row) else name for name, row in zip(names, spans)]


def _guess_strings(
    frame: pd.DataFrame, columns: Mapping[str, Column], features: Sequence[str]
) -> tuple[str | None, str | None]:
    """The one path column or the one text column among those not taken, beside nothing but what is called a number."""
    strings = [column for column, content in columns.items() if content.values is None and content.why != "empty"]
    for column in strings:
        known = IMAGE_SUFFIXES | VIDEO_SUFFIXES | frozenset(SOUND_SUFFIXES)
        suffixes = [PurePosixPath(str(value)).suffix.lower() in known for value in frame[column]]
        if np.mean(suffixes) >= 0.9:
            return column, None
    free = [column for column in strings if column.casefold() not in NO_FEATURES]
    if len(free) != 1:
        return None, None
    numbers = _of_numbers(columns)
    of_rows = columns[free[0]].why == "text" and all(n not in features and is_called_as_rows(n) for n in numbers)
    if numbers and not of_rows:
        return None, None
    check_single(frame[free[0]], "texts")
    return None, free[0]


SHORT = 200
"""Letters up to which the cells of a column stand in an array of one width, which takes as much for each."""


def as_texts(series: pd.Series[Any]) -> np.ndarray[Any, Any]:
    return text_array("" if gone else value for value, gone in zip(series, series.isna()))


def as_column(series: pd.Series[Any]) -> np.ndarray[Any, Any]:
    values = series.to_numpy()
    if np.issubdtype(values.dtype, np.number) or values.dtype == bool:
        return values
    cells = as_texts(series)
    return cells.astype(np.str_) if max(map(len, cells), default=0) <= SHORT else cells

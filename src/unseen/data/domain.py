"""`Domain`: a lazily read table of samples."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from unseen.arguments import is_frame
from unseen.data.classes import ClassSpace, names_in
from unseen.data.feature_names import by_name, names_of_features
from unseen.data.labels import class_labels
from unseen.data.samples import RAGGED, as_samples
from unseen.data.tasks import task_of
from unseen.data.tasks.base import objects
from unseen.data.typing import Kind
from unseen.runtime import track

UNLABELED = -1
"""The value of `y` for a sample without a label, where labels are classes."""


@dataclasses.dataclass(frozen=True)
class Skipped:
    """A sample that could not be read: where it is and why it was left out."""

    where: str
    why: str


class Lazy:
    """Samples that are read when they are asked for.

    Parameters
    ----------
    items : sequence
        What identifies each sample for `read`: a path, a URL, a member of an archive.
    read : callable
        Turns one item into one sample.
    digest : callable, optional
        Hex digest of the *content* behind one item, without decoding it. Without one, the decoded sample is hashed.

    Indexing with an integer reads one sample; with an array or a slice it returns a smaller `Lazy`.
    """

    def __init__(
        self, items: Sequence[Any], read: Callable[[Any], Any], digest: Callable[[Any], str] | None = None
    ) -> None:
        self.items = items
        self.read = read
        self._digest = digest

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, (int, np.integer)):
            return self.read(self.items[int(index)])
        positions = np.arange(len(self))[index]
        return Lazy([self.items[i] for i in positions], self.read, self._digest)

    def __iter__(self) -> Iterator[Any]:
        return (self.read(item) for item in self.items)

    def digest(self, index: int) -> str:
        """Return the hex digest of the content of sample `index`."""
        item = self.items[index]
        return self._digest(item) if self._digest is not None else _digest_of(self.read(item))

    def map(self, function: Callable[[Any], Any]) -> Lazy:
        """Return the same samples with `function` applied to each one after it is read."""
        read = self.read
        return Lazy(self.items, lambda item: function(read(item)), self._digest)

    def anonymous(self) -> Lazy:
        """Return the same samples, identified by their positions only: a path may tell a label."""
        return Lazy(range(len(self)), self.__getitem__, self.digest)

    def __add__(self, other: Lazy) -> Lazy:
        both = (self, other)
        items = [(which, item) for which, lazy in enumerate(both) for item in lazy.items]
        return Lazy(
            items,
            lambda item: both[item[0]].read(item[1]),
            lambda item: both[item[0]]._digest_item(item[1]),
        )

    def _digest_item(self, item: Any) -> str:
        return self._digest(item) if self._digest is not None else _digest_of(self.read(item))


def _digest_of(value: Any) -> str:
    """SHA-256 of one decoded sample: text, array, tensor or picture, or several of them under names or in order.

    Ends of lines in a text are no content: a table that is written, or saved anew by a spreadsheet, has others.
    """
    if isinstance(value, str):
        return hashlib.sha256(value.replace("\r\n", "\n").replace("\r", "\n").encode()).hexdigest()
    if isinstance(value, Mapping):
        return _digest_of_parts([part for key in sorted(value) for part in (key, value[key])])
    if dataclasses.is_dataclass(value):  # such as a sound
        return _digest_of(vars(value))
    try:
        array = np.asarray(value)
    except ValueError:  # parts of unlike shapes
        return _digest_of_parts(value)
    if array.dtype.hasobject:
        if array.ndim == 0:
            raise TypeError(f"a sample must be a text, numbers or a picture; got {type(value).__name__}")
        return _digest_of_parts(array)
    array = np.ascontiguousarray(_as_numbers(array))
    header = f"{array.dtype.str}{array.shape}".encode()
    return hashlib.sha256(header + array.tobytes()).hexdigest()


def _as_numbers(array: NDArray[Any]) -> NDArray[Any]:
    """Numbers with a fraction, and any row of numbers, in the one type that tables are read in: a file is no other data
    because it was written in double precision. What that type cannot hold stays as it is."""
    kinds = "fbiu" if array.ndim == 1 else "f"
    if array.ndim == 0 or array.dtype.kind not in kinds or array.dtype == np.float32:
        return array
    with np.errstate(over="ignore"):
        numbers = array.astype(np.float32)
    return numbers if np.isfinite(numbers).all() else array


def _digest_of_parts(parts: Iterable[Any]) -> str:
    return hashlib.sha256("\n".join(map(_digest_of, parts)).encode()).hexdigest()


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Domain:
    """A lazily read table of samples: `x`, perhaps `y`, and named columns.

    Parameters
    ----------
    x : array of shape (n, ...), n strings, or `Lazy`
        The samples. Texts become an array of n objects, so that a long one costs no more than itself. Pictures are read
        as PIL images in RGB, one at a time, when somebody asks for them. Pictures, clips, series and clouds of unlike
        sizes become an array of n objects, each an array; sounds are `unseen.data.sounds.Sound`, which has a rate. A
        data frame of numbers gives `feature_names`.
    y : array of shape (n, ...), list of n labels, or None
        What is known of each sample, as the task keeps it (`unseen.data.tasks`). For ``task="class"`` integer indices
        into `classes`, with -1 where the label is missing, or names of classes (without `classes` those found, in
        natural order); True and False are such names. What stands for a missing value (None, NaN, NA, "") is a missing
        label, and a column (n, 1) is taken as a row. None where no label was given at all.
    kind : str
        What `x` is: image, text, audio, clip, series, node, points, features or probabilities.
    task : str
        What `y` is: class, value, mask, boxes, keypoints, spans, matches, ranking, text, picture or series.
    classes : ClassSpace, optional
        The classes that `y` indexes; names in a list, a tuple, an array or a column of a table are made one.
    ids : array of n strings, optional
        A stable id of every sample, for people: usually the path inside the folder. Made from positions if absent.
    columns : mapping of name to array of shape (n, ...)
        Everything else that is known of each sample. Several domains are one `Domain` with a `domain` column.
    name : str
        What reports call this domain.
    skipped : tuple of Skipped
        Samples that were left out because they could not be read.
    credits : tuple of str
        Whom to thank for the data, with licences.
    feature_names : tuple of d str
        What the features of a table (n, d) are called; empty where they have no names. They are no content: digests and
        fingerprints are those of the numbers. Samples that are replaced lose them.
    sample_column : ("text" or "path", name), or ()
        The column of a table, as it was named, that texts or the paths of files were read from.
    notes : tuple of str
        What was decided as the data were read, in sentences: which columns are not used, and why.

    Raises
    ------
    ValueError
        If lengths differ, labels are out of range, or ids or the names of features are repeated.
    """

    x: Any
    y: NDArray[Any] | None = None
    kind: Kind = "features"
    task: str = "class"
    classes: ClassSpace | None = None
    ids: NDArray[np.str_] | None = None
    columns: Mapping[str, NDArray[Any]] = dataclasses.field(default_factory=dict)
    name: str = "data"
    skipped: tuple[Skipped, ...] = ()
    credits: tuple[str, ...] = ()
    feature_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    sample_column: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"kind must be one of {', '.join(get_args(Kind))}; got {self.kind!r}")
        labels = task_of(self.task)
        if not isinstance(self.x, Lazy):
            if is_frame(self.x) and not self.feature_names:
                object.__setattr__(self, "feature_names", names_of_features([str(name) for name in self.x.columns]))
            object.__setattr__(self, "x", as_samples(self.x, self.kind, self.ids))
        n = len(self.x)
        if self.ids is None:
            object.__setattr__(self, "ids", np.array([f"{i:06d}" for i in range(n)], dtype=np.str_))
        else:
            object.__setattr__(self, "ids", np.asarray(self.ids, dtype=np.str_))
        if not isinstance(self.columns, Mapping):
            raise TypeError(f"columns must be a mapping of names to arrays; got {type(self.columns).__name__}")
        columns = {key: np.asarray(column) for key, column in self.columns.items()}
        object.__setattr__(self, "columns", columns)
        for label, values in [("y", self.y), ("ids", self.ids), *columns.items()]:
            if values is not None and len(values) != n:
                raise ValueError(f"{label} has {len(values)} entries, x has {n} samples")
        assert self.ids is not None
        if len(np.unique(self.ids)) != n:
            values, counts = np.unique(self.ids, return_counts=True)
            raise ValueError(f"ids must be unique; {str(values[counts.argmax()])!r} stands {counts.max()} times")
        if self.classes is not None and not isinstance(self.classes, ClassSpace):
            if (names := names_in(self.classes)) is None:
                raise TypeError(f"classes must be a ClassSpace or a list of names; got {type(self.classes).__name__}")
            object.__setattr__(self, "classes", ClassSpace(names=names))
        if self.task == "class" and self.y is not None:
            y, classes = class_labels(self.y, self.classes)
            object.__setattr__(self, "y", y)
            object.__setattr__(self, "classes", classes)
        if self.y is not None:
            object.__setattr__(self, "y", labels.check(self.y, self.classes))
        object.__setattr__(self, "feature_names", tuple(self.feature_names))
        if self.feature_names and len(self.feature_names) != self.n_features:
            raise ValueError(f"feature_names has {len(self.feature_names)} names, x has {self.n_features} features")
        if len(set(self.feature_names)) != len(self.feature_names):
            twice = next(name for name in self.feature_names if self.feature_names.count(name) > 1)
            raise ValueError(f"feature_names must be unique; {twice!r} stands {self.feature_names.count(twice)} times")

    def __len__(self) -> int:
        return len(self.x)

    def __repr__(self) -> str:
        labels = "no labels" if self.y is None else f"{int(self.labeled.sum())} labelled"
        return f"Domain({self.name!r}, {len(self)} x {self.kind}, {labels})"

    # -- what is known ---------------------------------------------------------------------------------

    @property
    def labeled(self) -> NDArray[np.bool_]:
        """Which samples carry a label, (n,)."""
        if self.y is None:
            return np.zeros(len(self), dtype=bool)
        return task_of(self.task).labeled(self.y)

    @property
    def labels(self) -> NDArray[Any]:
        """`y` of a domain whose every sample is labelled, (n,)."""
        if self.y is None or not self.labeled.all():
            missing = len(self) - int(self.labeled.sum())
            raise ValueError(f"{self.name}: {missing} of {len(self)} samples have no label; all of them need one")
        return self.y

    @property
    def domains(self) -> tuple[str, ...]:
        """The values of the column ``domain``, sorted; this domain's own name if there is no such column."""
        column = self.columns.get("domain")
        return (self.name,) if column is None else tuple(np.unique(column.astype(np.str_)).tolist())

    @property
    def n_features(self) -> int:
        """Width of a feature table."""
        if isinstance(self.x, Lazy) or self.x.ndim != 2:
            raise TypeError(f"{self.name} holds {self.kind}, not a table of features of shape (n, d)")
        return int(self.x.shape[1])

    # -- other views -----------------------------------------------------------------------------------

    def replace(self, **changes: Any) -> Domain:
        """Return a copy with some fields changed; features of other samples have no names, unless these are given."""
        if "x" in changes:
            changes = {"feature_names": (), **changes}
        return dataclasses.replace(self, **changes)

    def take(self, index: Any) -> Domain:
        """Return the samples at `index` (integers, booleans or a slice), in that order."""
        positions = np.atleast_1d(np.arange(len(self))[index])
        assert self.ids is not None
        return self.replace(
            x=self.x[positions],
            y=None if self.y is None else self.y[positions],
            ids=self.ids[positions],
            columns={key: column[positions] for key, column in self.columns.items()},
            feature_names=self.feature_names,
            skipped=(),
        )

    def unlabeled(self, keep: Sequence[str] = ("domain",)) -> Domain:
        """Return the samples without anything that tells their labels; there is no way back.

        Labels, classes, file names and all columns but those in `keep` are gone; ids become positions. The features of
        regions, (n, regions, d) in the column ``regions``, are samples, too, and stay.
        """
        kept = {key: self.columns[key] for key in keep if key in self.columns}
        cells = self.columns.get("regions")
        if cells is not None and cells.ndim == 3 and cells.dtype.kind == "f":
            kept["regions"] = cells
        x = self.x.anonymous() if isinstance(self.x, Lazy) else self.x
        return Domain(
            x=x, kind=self.kind, task=self.task, columns=kept, name=self.name, feature_names=self.feature_names
        )  # fmt: skip

    def with_labels(self, y: NDArray[Any], classes: ClassSpace | None = None) -> Domain:
        """Return the samples with other labels (and the classes that they index)."""
        return self.replace(y=y, classes=classes if classes is not None else self.classes)

    # -- identity --------------------------------------------------------------------------------------

    def digests(self) -> NDArray[np.str_]:
        """SHA-256 of the content of every sample, (n,); names and order do not enter."""
        if isinstance(self.x, Lazy):
            every: Iterable[int] = range(len(self))
            if self.kind == "clip":  # whose files are large
                every = track(range(len(self)), f"reading the files of {self.name}")
            return np.array([self.x.digest(i) for i in every], dtype=np.str_)
        return np.array([_digest_of(row) for row in self.x], dtype=np.str_)

    def fingerprint(self, *, labels: bool = False) -> str:
        """One hash of all contents, and of their labels if asked for, whatever their order."""
        lines = self.digests().tolist()
        if labels and self.y is not None:
            task = task_of(self.task)
            lines = [f"{digest}:{task.digest(label)}" for digest, label in zip(lines, self.y)]
        return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()

    def canonical_order(self) -> NDArray[np.intp]:
        """The order of the samples by content, then columns, (n,): equal for equal samples in any order."""
        columns = [column for _, column in sorted(self.columns.items()) if column.ndim == 1]
        return np.lexsort((*columns, self.digests()))

    def batches(self, size: int) -> Iterator[Domain]:
        """Yield consecutive pieces of at most `size` samples."""
        for start in range(0, len(self), size):
            yield self.take(slice(start, start + size))


def concatenate(domains: Sequence[Domain], name: str = "data") -> Domain:
    """Join domains of one kind and task into one, with a `domain` column that says where each sample is from.

    All of them must share their class space (or have none). Ids are prefixed with the domain's name. Features are put
    in the order of the first domain by their names, where they have some.
    """
    if not domains:
        raise ValueError("domains must hold at least one Domain")
    whose = next((domain for domain in domains if domain.feature_names), domains[0])
    domains = [by_name(domain, whose.feature_names, domain.name, whose.name) for domain in domains]
    first = domains[0]
    for other in domains[1:]:
        if other.kind != first.kind:
            raise ValueError(f"domains must be of one kind; got {first.kind} and {other.kind}")
        if other.task != first.task:
            raise ValueError(f"domains must be of one task; got {first.task} and {other.task}")
        if (other.classes is None) != (first.classes is None) or (
            other.classes is not None and first.classes is not None and other.classes.names != first.classes.names
        ):
            raise ValueError(f"{first.name} and {other.name} have different classes; align them first")
        if first.kind not in RAGGED and not isinstance(first.x, Lazy) and other.x.shape[1:] != first.x.shape[1:]:
            shapes = f"{first.name} has samples of shape {first.x.shape[1:]}, {other.name} of shape {other.x.shape[1:]}"
            raise ValueError(f"domains must have samples of one shape; {shapes}")
    names = [d.name if [o.name for o in domains].count(d.name) == 1 else f"{d.name}-{i}" for i, d in enumerate(domains)]
    if isinstance(first.x, Lazy):
        x: Any = first.x
        for other in domains[1:]:
            x = x + other.x
    elif len({d.x.shape[1:] for d in domains}) == 1:
        x = np.concatenate([d.x for d in domains])
    else:
        x = objects(sample for d in domains for sample in d.x)
    have_y = any(d.y is not None for d in domains)
    task = task_of(first.task)
    y = [d.y if d.y is not None else task.hidden(len(d)) for d in domains]
    shared = set.intersection(*(set(d.columns) for d in domains)) - {"domain"}
    columns = {key: np.concatenate([d.columns[key] for d in domains]) for key in sorted(shared)}
    columns["domain"] = np.concatenate([d.columns.get("domain", np.repeat(n, len(d))) for d, n in zip(domains, names)])
    ids = [f"{n}/{i}" for d, n in zip(domains, names) for i in (d.ids if d.ids is not None else ())]
    return Domain(
        x=x,
        y=task.join(y) if have_y else None,
        kind=first.kind,
        task=first.task,
        classes=first.classes,
        ids=np.array(ids, dtype=np.str_),
        columns=columns,
        name=name,
        skipped=tuple(s for d in domains for s in d.skipped),
        credits=tuple(dict.fromkeys(c for d in domains for c in d.credits)),
        feature_names=whose.feature_names if all(d.feature_names for d in domains) else (),
        notes=tuple(dict.fromkeys(note for d in domains for note in d.notes)),
    )

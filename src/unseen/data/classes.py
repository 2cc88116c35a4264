"""`ClassSpace`: classes as more than integers."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.data.label_metrics import CompleteMetric, EmbeddingMetric, LabelMetric, MatrixMetric
from unseen.data.ontology import Ontology
from unseen.data.typing import FloatArray, IntArray


def names_in(classes: Any) -> tuple[str, ...] | None:
    """Names in a row of them: a list, a tuple, an array, a column of a table; None if it is no row of names.

    Whole numbers are names, too. A set has no order, and a mapping or a table more than names.
    """
    if not isinstance(classes, (list, tuple)):
        if isinstance(classes, (str, bytes)) or not hasattr(classes, "tolist") or getattr(classes, "ndim", 0) != 1:
            return None
        classes = classes.tolist()
    plain = all(isinstance(name, (str, int, np.integer)) and not isinstance(name, bool) for name in classes)
    return tuple(str(name) for name in classes) if plain else None


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ClassSpace:
    """N classes: their names, what is said about them, how far apart they are, and which have been seen.

    Parameters
    ----------
    names : N strings
        Unique names; a label is an index into them.
    descriptions : N strings, optional
        What each class is, in words.
    attributes : array (N, A), optional
        One row of attributes per class.
    attribute_names : A strings, optional
        What the attributes are called.
    embeddings : array (N, D), optional
        A vector per class, usually of its description.
    metric : LabelMetric or array (N, N), optional
        A distance between the classes: a tree, a graph, a matrix. Without one, `embeddings`, then
        `attributes` give one; else all classes are equally far apart.
    seen : array (K,), optional
        Indices of the classes that the labelled data or the model covers, their names, or True and False for each
        class; all of them unless told otherwise.
    ontology : Ontology, optional
        Concepts and what relates them; its `nodes` are the concepts of the classes. See `unseen.data.ontologies`.
    concepts : N strings, optional
        Identifiers of the classes in a taxonomy, such as ``shark.n.01``; empty where their names say enough. See
        `unseen.data.taxonomies.place`.

    Raises
    ------
    ValueError
        If names repeat, shapes do not fit, or `seen` is out of range.
    """

    names: tuple[str, ...]
    descriptions: tuple[str, ...] | None = None
    attributes: FloatArray | None = None
    attribute_names: tuple[str, ...] | None = None
    embeddings: FloatArray | None = None
    metric: Any = None
    seen: Any = None
    ontology: Ontology | None = None
    concepts: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        set_ = partial(object.__setattr__, self)
        set_("names", tuple(str(name) for name in self.names))
        if not self.names:
            raise ValueError("names must hold at least one class")
        if len(set(self.names)) != len(self.names):
            twice = next(name for name in self.names if self.names.count(name) > 1)
            raise ValueError(f"names must be unique; {twice!r} stands twice")
        n = len(self.names)
        for key in ("descriptions", "concepts"):
            if getattr(self, key) is not None:
                set_(key, tuple(str(text) for text in getattr(self, key)))
        for key in ("attributes", "embeddings"):
            value = getattr(self, key)
            if value is None:
                continue
            value = np.asarray(value, dtype=np.float32)
            if value.ndim != 2:
                raise ValueError(f"{key} must be of shape (n_classes, d); got {value.shape}")
            if not np.isfinite(value).all():
                raise ValueError(
                    f"{key} must be finite; {self.names[int(np.argwhere(~np.isfinite(value))[0, 0])]!r} is not"
                )
            set_(key, value)
        for key in ("descriptions", "concepts", "attributes", "embeddings"):
            value = getattr(self, key)
            if value is not None and len(value) != n:
                raise ValueError(f"{key} has {len(value)} rows, there are {n} classes")
        if self.attribute_names is not None:
            if self.attributes is None or len(self.attribute_names) != self.attributes.shape[1]:
                raise ValueError("attribute_names must name the columns of attributes")
            set_("attribute_names", tuple(str(name) for name in self.attribute_names))
        seen = np.arange(n) if self.seen is None else self._positions_of(self.seen)
        if len(seen) and (seen.min() < 0 or seen.max() >= n):
            raise ValueError(f"seen must lie in [0, {n}); got {seen.min()}..{seen.max()}")
        if len(np.unique(seen)) != len(seen):
            raise ValueError("seen must not repeat a class")
        set_("seen", seen)
        if self.metric is None:
            set_("metric", self._derived_metric())
        elif not isinstance(self.metric, LabelMetric):
            set_("metric", MatrixMetric(np.asarray(self.metric, dtype=np.float64)))
        if len(self.metric) != n:
            raise ValueError(f"metric is over {len(self.metric)} classes, there are {n}")
        if self.ontology is not None and not isinstance(self.ontology, Ontology):
            raise TypeError(f"ontology must be an Ontology; got {type(self.ontology).__name__}")
        if self.ontology is not None and len(self.ontology.nodes) != n:
            raise ValueError(f"ontology has concepts of {len(self.ontology.nodes)} classes, there are {n}")

    def _positions_of(self, seen: Any) -> IntArray:
        """Indices of classes that are given as such, by their names, or by True and False for each class."""
        values = np.asarray(seen).reshape(-1)
        if values.dtype.kind == "b":
            if len(values) != len(self.names):
                raise ValueError(f"seen has {len(values)} truth values, there are {len(self.names)} classes")
            return np.flatnonzero(values)
        if values.dtype.kind in "USO" and len(values) and all(isinstance(value, str) for value in values):
            if unknown := [str(value) for value in values if value not in self._positions]:
                raise ValueError(
                    f"seen names {unknown[0]!r}, which is no class; there are: {', '.join(self.names[:8])}"
                )
            return np.array([self._positions[value] for value in values], dtype=np.int64)
        whole = values.astype(np.int64) if values.dtype.kind in "iuf" else values
        if len(values) and (whole.dtype.kind != "i" or (whole != values).any()):
            raise TypeError(
                f"seen must hold indices or names of classes, or True and False for each; got {values.tolist()[:8]}"
            )
        return whole.astype(np.int64)

    def _derived_metric(self) -> LabelMetric:
        if self.embeddings is not None:
            return EmbeddingMetric(self.embeddings)
        if self.attributes is not None:
            return EmbeddingMetric(self.attributes)
        return CompleteMetric(len(self.names))

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        keys = ("descriptions", "attributes", "embeddings", "ontology")
        has = [key for key in keys if getattr(self, key) is not None]
        return f"ClassSpace({len(self)} classes, {len(self.seen)} seen, {type(self.metric).__name__}, has {has})"

    @cached_property
    def unseen(self) -> IntArray:
        """Indices of the classes that are not seen, ascending, (N - K,)."""
        return np.setdiff1d(np.arange(len(self)), self.seen)

    @cached_property
    def distance(self) -> FloatArray:
        """All distances, (N, N). Large spaces should ask `metric` for rows instead."""
        return self.metric.rows(np.arange(len(self)))

    @property
    def texts(self) -> tuple[str, ...]:
        """The description of each class, or its name where there is none."""
        if self.descriptions is None:
            return self.names
        return tuple(text or name for text, name in zip(self.descriptions, self.names))

    def index(self, name: str) -> int:
        """Index of a class by its name; `ValueError` if there is none."""
        try:
            return self._positions[name]
        except KeyError:
            raise ValueError(f"no class is called {name!r}; there are {len(self)}, such as {self.names[0]!r}") from None

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.names)}

    def replace(self, **changes: Any) -> ClassSpace:
        """Return a copy with some fields changed. Give `metric=None` to derive it anew."""
        if "metric" not in changes and {"embeddings", "attributes", "names"} & set(changes):
            changes["metric"] = None if isinstance(self.metric, (EmbeddingMetric, CompleteMetric)) else self.metric
        return dataclasses.replace(self, **changes)

    def bare(self) -> ClassSpace:
        """Names and descriptions alone."""
        return ClassSpace(names=self.names, descriptions=self.descriptions)

    def take(self, index: Sequence[int] | NDArray[Any]) -> ClassSpace:
        """Return the classes at `index`, in that order; `seen` follows."""
        index = np.asarray(index, dtype=np.int64)
        place = {int(old): new for new, old in enumerate(index)}
        return ClassSpace(
            names=tuple(self.names[i] for i in index),
            descriptions=None if self.descriptions is None else tuple(self.descriptions[i] for i in index),
            attributes=None if self.attributes is None else self.attributes[index],
            attribute_names=self.attribute_names,
            embeddings=None if self.embeddings is None else self.embeddings[index],
            metric=self.metric.take(index),
            seen=[place[int(i)] for i in self.seen if int(i) in place],
            ontology=None if self.ontology is None else self.ontology.take(index),
            concepts=None if self.concepts is None else tuple(self.concepts[i] for i in index),
        )


def join(source: ClassSpace, other: ClassSpace) -> ClassSpace:
    """All classes of `source`, then those that only `other` has; `seen` are those of `source`.

    Descriptions, attributes, embeddings and concepts are kept where both sides have them (or where nothing is added),
    and an ontology where one side's holds all classes.
    """
    extra = [i for i, name in enumerate(other.names) if name not in set(source.names)]
    if not extra:
        return source.replace(seen=np.arange(len(source)))

    def both(key: str) -> Any:
        a, b = getattr(source, key), getattr(other, key)
        if a is None or b is None:
            return None
        texts = key in ("descriptions", "concepts")
        return tuple(a) + tuple(b[i] for i in extra) if texts else np.vstack([a, b[extra]])

    same_attributes = source.attribute_names == other.attribute_names
    return ClassSpace(
        names=source.names + tuple(other.names[i] for i in extra),
        descriptions=both("descriptions"),
        attributes=both("attributes") if same_attributes else None,
        attribute_names=source.attribute_names if same_attributes and both("attributes") is not None else None,
        embeddings=both("embeddings"),
        seen=np.arange(len(source)),
        ontology=_common_ontology(source, other, [other.names[i] for i in extra]),
        concepts=both("concepts"),
    )


def _common_ontology(source: ClassSpace, other: ClassSpace, extra: Sequence[str]) -> Ontology | None:
    """The ontology of one side with the classes of `source` and the `extra` ones, if all of them are concepts of it."""
    for space in (source, other):
        if space.ontology is not None:
            known = {name: space.ontology.nodes[i] for i, name in enumerate(space.names)}
            nodes = [known.get(name, space.ontology.places.get(name)) for name in (*source.names, *extra)]
            if None not in nodes and len(set(nodes)) == len(nodes):
                return dataclasses.replace(space.ontology, nodes=np.array(nodes))
    return None


def realign(y: IntArray, classes: ClassSpace, onto: ClassSpace) -> IntArray:
    """Labels that index `classes`, rewritten to index `onto`; -1 stays. Every used class must be in `onto`."""
    table = np.array([onto._positions.get(name, -2) for name in classes.names], dtype=np.int64)
    out = np.where(y < 0, -1, table[np.maximum(y, 0)])
    if (out == -2).any():
        raise ValueError(f"class {classes.names[int(y[out == -2][0])]!r} is not among the {len(onto)} classes")
    return out


def overlap(source: ClassSpace, target: ClassSpace) -> dict[str, tuple[str, ...]]:
    """Names that both sides have, that only one side has, and that differ in upper and lower case only."""
    a, b = set(source.names), set(target.names)
    folded = {name.casefold(): name for name in target.names}
    variants = tuple(
        f"{name} / {folded[name.casefold()]}" for name in source.names if name not in b and name.casefold() in folded
    )
    return {
        "shared": tuple(n for n in source.names if n in b),
        "source_only": tuple(n for n in source.names if n not in b),
        "target_only": tuple(n for n in target.names if n not in a),
        "case_variants": variants,
    }

"""What a user brings, read and refused, if at all, before a network or a package of networks is imported."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from unseen.compare.asked import parse_labels
from unseen.compare.checks import check_classes, check_kinds, check_labeled
from unseen.compare.names import check_names, with_folders
from unseen.compare.spaces import classes_of, has_labels, spaces, spaces_of_model
from unseen.compare.tables import alike_tables
from unseen.data.class_file import class_space
from unseen.data.classes import ClassSpace, overlap
from unseen.data.domain import Domain

if TYPE_CHECKING:
    import pandas as pd

    from unseen.compare.given_model import GivenModel

Data: TypeAlias = "Domain | str | os.PathLike[str] | pd.DataFrame"
Names = ClassSpace | str | os.PathLike[str] | Sequence[str]


def read_early(
    *,
    source: Data | None = None,
    target: Data | None = None,
    support: Data | None = None,
    classes: Names | None = None,
    ontology: Any = None,
    taxonomy: Any = None,
    model: Any = None,
    teachers: Any = None,
    encoder: str | None = None,
    labels: str = "exam",
    on_error: str = "skip",
    **_: Any,
) -> dict[str, Any]:
    """The samples of `compare` and the like, read, where what is wrong with them or their classes is refused.

    Nothing heavy is imported, so that who is refused waits for the reading alone; `prepare` takes what this gives, and
    looks at it again, and at what this leaves to it. With a `model` or `teachers`, whose files say what they read,
    nothing is read here.

    Raises
    ------
    ValueError, FileNotFoundError
        As `prepare` does.
    """
    given = {"source": source, "target": target, "support": support}
    learned = labels_learnt_from(labels, target)
    if model is not None or teachers is not None:
        return given
    read = read_roles(given, on_error)
    described = any(description is not None for description in (classes, ontology, taxonomy))
    classes_told(
        alike_tables(read), class_space(classes), None, encoder, [], learned=learned > 0,
        described=described, relate=lambda space: space, labeled=_labeled,
    )  # fmt: skip
    return {**given, **read}


def labels_learnt_from(labels: str, target: Data | None) -> float:
    """The share of the target's labels that is learnt from; `ValueError` if there is one, and no target."""
    share = parse_labels(labels)
    if share > 0 and target is None:
        raise ValueError(f"target must be given: labels={labels!r} says what its labels are for")
    return share


def _labeled(name: str, domain: Domain) -> Domain:
    check_labeled(name, domain)
    return domain.take(domain.labeled)


def read_roles(given: Mapping[str, Data | None], on_error: str, taught: GivenModel | None = None) -> dict[str, Domain]:
    """What is given, by roles; what a table with labels or a saved model has for features is one in all tables.

    Where the samples of a saved model stood in a table, they are looked for first (`GivenModel.sample_column`).
    """
    read: dict[str, Domain] = {}
    features: tuple[str, ...] = tuple(getattr(taught and taught.network, "feature_names", ()))
    like: tuple[str, ...] = () if taught is None else taught.sample_column
    for name in sorted(given, key=lambda name: name == "target"):
        if (value := given[name]) is not None:
            read[name] = _role(name, value, features, like, on_error)
            features = features or read[name].feature_names
    return {name: read[name] for name in given if name in read}


def _role(name: str, value: Data, features: Sequence[str], like: Sequence[str], on_error: str) -> Domain:
    if isinstance(value, Domain):
        return value
    from unseen.data.loaders import load

    try:
        return load(value, on_error=on_error, features=features, like=like).replace(name=name)  # type: ignore[arg-type]
    except (ValueError, FileNotFoundError, TypeError) as error:
        if type(error) not in (ValueError, FileNotFoundError, TypeError):
            raise
        raise type(error)(f"{name}: {error}") from error


# -- classes -----------------------------------------------------------------------------------------------


class Told(NamedTuple):
    """Which classes there are.

    Attributes
    ----------
    by : str
        What tells them: "labels", the outputs of a "model", or "names" alone.
    known, everything : ClassSpace
        Those that can be predicted; these with those that only the sealed target has.
    apart : mapping
        How labelled classes and those of the target overlap; empty where the target has no labels.
    """

    by: str
    known: ClassSpace
    everything: ClassSpace
    apart: Mapping[str, tuple[str, ...]]


def classes_told(
    read: dict[str, Domain], listed: ClassSpace | None, taught: GivenModel | None, encoder: str | None,
    notes: list[str], *, learned: bool, described: bool, relate: Callable[[ClassSpace], ClassSpace],
    labeled: Callable[[str, Domain], Domain],
) -> Told:  # fmt: skip
    """What was read, by role, tells of classes; it is refused where no method can learn from it or be graded on it.

    In `read`, what `labeled` makes of source and support takes their place, and of a target with names alone the
    folders that are called like a class are its labels. `notes` are told of that.
    """
    by = _known_by(read, listed, taught, encoder, learned=learned)
    for name in ("source", "support"):
        if name in read:
            read[name] = labeled(name, read[name])
    check_kinds(read)
    known, everything = _spaces(by, read, listed, taught, relate, notes, learned=learned)
    with_labels = known.take(known.seen)
    apart = overlap(with_labels, classes_of(read, "target")) if has_labels(read, "target") else {}
    check_classes(read, with_labels, apart, described=described)
    return Told(by, known, everything, apart)


def _known_by(
    read: Mapping[str, Domain], listed: ClassSpace | None, taught: GivenModel | None, encoder: str | None, learned: bool
) -> str:
    """What tells the classes: "labels", the outputs of a "model", or "names" alone; `ValueError` if nothing does."""
    bare = "source" not in read and "support" not in read and not (learned and has_labels(read, "target"))
    if bare and taught is None:
        check_names(read, listed, encoder)
        return "names"
    if taught is not None and taught.classes is not None and (taught.saved or bare):
        return "model"
    if bare:
        raise ValueError("classes must name the model's outputs, in their order, where no sample has a label")
    return "labels"


def _spaces(
    known_by: str, read: dict[str, Domain], listed: ClassSpace | None, taught: GivenModel | None,
    relate: Callable[[ClassSpace], ClassSpace], notes: list[str], *, learned: bool,
) -> tuple[ClassSpace, ClassSpace]:  # fmt: skip
    """The classes that can be predicted, and these with those that only the sealed target has."""
    if known_by == "labels":
        return spaces(read, listed, relate, learned=learned)
    if known_by == "model":
        assert taught is not None
        space = taught.space(read, ("source", "support", "target") if learned else ("source", "support"))
        return spaces_of_model(space, read, relate)
    assert listed is not None
    known = relate(listed.replace(seen=None))
    read["target"] = with_folders(read["target"], known, notes)
    return known, known

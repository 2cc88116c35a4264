"""What a user brings, made ready: loaded, aligned, sealed, checked for leakage, encoded."""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unseen import methods
from unseen.catalogue import Given
from unseen.compare.checks import check_samples, labeled_samples
from unseen.compare.estimate import is_measured
from unseen.compare.given_model import GivenModel, given_model
from unseen.compare.introduction import what_was_read
from unseen.compare.leaks import leaks
from unseen.compare.names import among_samples
from unseen.compare.reading import Data, Names, classes_told, labels_learnt_from, read_roles
from unseen.compare.spaces import embed_classes, onto, related
from unseen.compare.tables import alike_tables
from unseen.data.class_file import class_space
from unseen.data.classes import ClassSpace
from unseen.data.damage import undamaged
from unseen.data.domain import UNLABELED, Domain, concatenate
from unseen.data.duplicates import Leakage
from unseen.data.labels import counted
from unseen.data.ontology import Ontology
from unseen.data.taxonomies import Taxonomy
from unseen.encoders.defaults import SHARED_ENCODER, encoder_of, why_default
from unseen.encoders.two_tower import class_texts
from unseen.encoders.unread import unread
from unseen.evaluation.exam import Exam
from unseen.scale import Engine, cluster
from unseen.verification.seals import sealed_ids, without_sealed

if TYPE_CHECKING:
    from unseen.encoders import Encoder

log = logging.getLogger(__name__)

SMALLEST_HELD_OUT = 20
"""A target with fewer samples is not split."""

Tower = Callable[[], "Encoder | None"]
"""Gives the encoder, once it is made."""


@dataclasses.dataclass
class Inputs:
    """Everything that `compare` works on.

    Attributes
    ----------
    source, support : Domain or None
        Labelled features; labels index `classes`.
    target, held_out : Domain or None
        Features without labels: what methods adapt to, and what they never see.
    classes : ClassSpace
        The classes that can be predicted: those of the labelled data, then those that the user described.
    exams : mapping of "adapted" and "held out" to Exam
        Empty if the target has no labels.
    encoder : Encoder or None
    raw : mapping
        The target's samples as they were read, for pictures in the report.
    overlap, leakage, records
        What to say before work.
    two_views : Inputs, optional
        The same samples with features of both views (`unseen.compare.views`).
    one_view : Inputs, optional
        Of inputs with both views, or with whole clips, those with plain features: scores of candidates are taken there,
        to be comparable.
    clips : mapping of slug to Inputs
        Of methods that learn from clips themselves: the same clips as networks take them (`unseen.compare.clips`).
    whole : bool
        Whether samples are such clips.
    prompts : tuple of str
        Sentences for names, where some were given.
    crafted : mapping of seed to Domain
        Features of crafted copies of source samples that the fits of a seed do not learn from; a column `family`.
    notes : tuple of str
        What was decided on the way: the encoder where none was named, folders that no class is called like.
    shared_by : tuple, optional
        What `towers_of` makes the two towers of again, in any process, that samples and names were read by.
    """

    source: Domain | None
    support: Domain | None
    target: Domain | None
    held_out: Domain | None
    classes: ClassSpace
    exams: Mapping[str, Exam]
    encoder: Encoder | None
    raw: Mapping[str, Domain]
    overlap: Mapping[str, tuple[str, ...]]
    leakage: tuple[Leakage, ...]
    shared_space: bool
    described: bool
    records: Mapping[str, Any]
    model: Any = None
    teachers: Any = None
    crafted: Mapping[int, Domain] = dataclasses.field(default_factory=dict)
    two_views: Inputs | None = None
    one_view: Inputs | None = None
    clips: Mapping[str, Inputs] = dataclasses.field(default_factory=dict)
    whole: bool = False
    prompts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    shared_by: tuple[str, str, bool] | None = None

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Of the features that methods learn from, where they are columns of tables."""
        parts = (self.source, self.support, self.target)
        return next((part.feature_names for part in parts if part is not None and part.feature_names), ())

    @property
    def sample_column(self) -> tuple[str, ...]:
        """Where texts or paths stood in a table, if that was named (`Domain.sample_column`): in the target's first."""
        parts = [self.raw[name] for name in ("target", "held_out", "support", "source") if name in self.raw]
        return next((part.sample_column for part in parts if part.sample_column), ())

    @functools.cached_property
    def unread(self) -> list[str]:
        """What the encoder does not read of texts and of what is said of classes, in sentences."""
        tower = self.encoder
        if tower is None or "text" not in tower.kinds:
            return []
        lines = []
        for role, part in self.raw.items():
            if part.kind == "text":
                lines += [f"{role.replace('_', ' ')}: {line}" for line in unread(tower, part.x).lines()]
        if self.described or self.shared_space:
            lines += unread(tower, class_texts(self.classes, None)[0]).lines("classes")
        return lines

    @property
    def named(self) -> bool:
        """Whether classes are given by their names alone: no sample has a label to learn from."""
        return self.source is None and self.support is None and self.model is None

    @property
    def kind(self) -> str:
        """Of the samples as they were read."""
        return next((part.kind for part in self.raw.values()), "features")

    def seen_by(self, slug: str, preset: str) -> Inputs:
        """The inputs of a candidate: with both views if its preset reads them, clips if it trains on these."""
        if slug in self.clips:
            return self.clips[slug]
        if preset not in methods.card(slug).two_views:
            return self
        if self.two_views is None:
            raise ValueError(f"{slug}:{preset} reads both views of pictures, which are not at hand here")
        return self.two_views

    def joined(self) -> Inputs:
        """The same, with what is held out of the target joined to it."""
        if self.target is None or self.held_out is None:
            return self
        return dataclasses.replace(self, target=concatenate([self.target, self.held_out]), held_out=None)

    def given(self, source: Domain | None, seed: int) -> Given:
        """The inputs by words of `fit`, with a part of the source, for one seed."""
        words = {"source": source, "target": self.target, "support": self.support, "model": self.model}
        words["teachers"] = self.teachers
        if self.whole and self.prompts:
            words["prompts"] = self.prompts
        if self.described or self.shared_space:
            words["classes"] = self.classes
        inputs = {word: value for word, value in words.items() if value is not None}
        towers = None if self.shared_by is None else functools.partial(towers_of, *self.shared_by)
        return Given(
            inputs, kind="clip" if self.whole else "features", brought=self.kind, shared_space=self.shared_space,
            seed=seed, two_views=self.can_have_two_views, towers=towers,
        )  # fmt: skip

    @property
    def can_have_two_views(self) -> bool:
        """Whether there are pictures on both sides and a network with batch statistics, whose head is not given."""
        from unseen.encoders import views

        if self.whole:
            return False
        if self.one_view is not None or self.two_views is not None:
            return True
        sides = [self.raw[name] for name in ("source", "target") if name in self.raw]
        pictures = len(sides) == 2 and all(side.kind == "image" and len(side) > 1 for side in sides)
        return pictures and self.model is None and self.teachers is None and views.has_second_view(self.encoder)

    def without_truth(self) -> Inputs:
        """What a fit in another process needs: features, or whole clips, without exams, raw samples and the encoder."""
        plain = self._bare(two_views=None, clips={})
        both = None if self.two_views is None else self.two_views._bare(one_view=plain)
        clips = {slug: view._bare(one_view=plain) for slug, view in self.clips.items()}
        return dataclasses.replace(plain, two_views=both, clips=clips)

    def _bare(self, **changes: Any) -> Inputs:
        return dataclasses.replace(self, exams={}, raw={}, encoder=None, **changes)


def prepare(
    *,
    source: Data | None = None,
    target: Data | None = None,
    support: Data | None = None,
    classes: Names | None = None,
    prompts: Sequence[str] | None = None,
    ontology: Ontology | str | os.PathLike[str] | None = None,
    taxonomy: Taxonomy | str | None = None,
    encoder: str | None = None,
    labels: str = "exam",
    on_error: str = "skip",
    precision: str = "auto",
    trust: bool = False,
    cache: bool = True,
    model: Any = None,
    teachers: Any = None,
    engine: Engine | None = None,
    distinct: bool = False,
    before_encoding: Callable[[Mapping[str, Domain], Collection[str], Tower], None] | None = None,
    say: Callable[[str], None] | None = None,
    graded: bool = True,
    encoded: bool = True,
) -> Inputs:
    """Load, align, seal, check and encode, on `engine` where it is Ray.

    With `distinct`, a target whose every sample the source has, too, is refused. Without source and support, the names
    of `classes` are all that is known: an encoder puts them among the samples (zero-shot). `before_encoding` is called
    with the samples that were read, by role, the words of `fit` that are given or may come of them, and what gives the
    encoder; it may refuse. `say` is told what was read, in lines, before it is encoded; `graded` is whether labels of
    the target will grade something. Without `encoded`, samples stay as they were read (`with_whole_clips` makes them
    ready), and what stands on both sides is told by content alone.

    Raises
    ------
    ValueError
        If neither source, support nor names are given, kinds differ, a class is not in the class file, the ontology or
        the taxonomy, or the encoder knows no names where there is nothing else.
    """
    fraction = labels_learnt_from(labels, target)
    listed = class_space(classes)
    taught = given_model(model, listed, encoder, trust=trust)
    model = taught and taught.network
    read = read_roles({"source": source, "target": target, "support": support}, on_error, taught)
    verified = {name: sealed_ids(domain) for name, domain in read.items()}
    read = alike_tables(read, model, teachers)
    notes: list[str] = []
    described = any(description is not None for description in (classes, ontology, taxonomy))
    known_by, known, everything, apart = classes_told(
        read, listed, taught, encoder, notes, learned=fraction > 0, described=described,
        relate=functools.partial(related, ontology=ontology, taxonomy=taxonomy, notes=notes),
        labeled=lambda name, domain: without_sealed(name, labeled_samples(name, domain), verified[name]),
    )  # fmt: skip
    contents = {name: domain.digests().tolist() for name, domain in read.items()}
    check_samples(read, contents, distinct=distinct)
    read = {name: onto(domain, everything) for name, domain in read.items()}

    def parted() -> dict[str, Domain]:
        sealed = _seal(read, labels, fraction)
        if fraction > 0:
            sealed["support"] = without_sealed("support", sealed["support"], verified["target"])
        return sealed

    parts = parted()
    kind, named = next(iter(read.values())).kind, known_by == "names"
    make_tower = functools.cache(
        lambda: taught.encoder if taught and taught.saved else encoder_of(kind, encoder, precision, trust, named=named)
    )
    if before_encoding is not None:
        before_encoding(parts, _words(parts, model, teachers, named=named), make_tower)
    whole = {name: undamaged(domain, on_error) for name, domain in read.items()}  # type: ignore[arg-type]
    if any(whole[name] is not domain for name, domain in read.items()):
        read, contents = whole, {name: domain.digests().tolist() for name, domain in whole.items()}
        parts = parted()
    records = {name: _told(domain, contents[name]) for name, domain in read.items()}
    if say is not None:
        learnt = len(parts["support"]) if fraction > 0 else 0
        sealed = any(parts[name].labeled.any() for name in ("target", "held_out") if name in parts)
        lacks = named and not is_measured(encoder or SHARED_ENCODER.get(kind))
        fate: dict[str, Any] = {"learnt": learnt, "sealed": sealed, "graded": graded, "estimated": not lacks}
        for line in what_was_read(records, known.names, apart, named=named, **fate):
            say(line)
    tower = _tower(make_tower, parts, teachers, as_saved=precision == "auto" and taught is None)
    if taught is not None and (kind == "features" or tower is not None):
        taught.check_outputs(_row_read(parts, tower), known)
    if named and encoder is None and tower is not None:
        notes.append(why_default(kind))
    if named:
        known, shared = among_samples(known, read["target"], tower, prompts), True
    else:
        known, shared = embed_classes(known, tower, described, prompts)
    features = parts if tower is None or not encoded else _encode(parts, tower, cache, engine or Engine())
    leakage = leaks(parts, features)
    return Inputs(
        **_sealed_features(features, known, everything), classes=known, encoder=tower, raw=parts, overlap=apart,
        leakage=leakage, shared_space=shared, described=described, records=records, model=model,
        teachers=teachers, notes=tuple(notes), prompts=tuple(prompts or ()),
        shared_by=(_asked(tower, encoder, taught), precision, trust) if tower and _reads_names(tower) else None,
    )  # fmt: skip


def _asked(tower: Encoder, encoder: str | None, taught: GivenModel | None) -> str:
    """By what name an encoder is had again: that of the user, as its own leaves out the folders of a file."""
    return tower.name if encoder is None or (taught and taught.saved) else encoder


def _reads_names(tower: Encoder) -> bool:
    """Whether an encoder has a text tower that methods can prompt and read sentences by."""
    from unseen.encoders import TwoTowerEncoder
    from unseen.encoders.promptable import takes_prompts

    return isinstance(tower, TwoTowerEncoder) and takes_prompts(tower)


@functools.cache
def towers_of(name: str, precision: str, trust: bool) -> Any:
    """The two towers of an encoder, for features of its space; once in each process."""
    from unseen.encoders.registry import get
    from unseen.encoders.trainable import shared_space

    return shared_space(get(name, precision=precision, trust=trust))  # type: ignore[arg-type]


# -- sealing -----------------------------------------------------------------------------------------------


def _seal(read: Mapping[str, Domain], labels: str, fraction: float) -> dict[str, Domain]:
    """The parts of the target: support (if labels are for learning), target and held out."""
    parts = {name: domain for name, domain in read.items() if name != "target"}
    if "target" not in read:
        return parts
    target = read["target"]
    if fraction > 0:
        if "support" in parts:
            raise ValueError(f"labels={labels!r} makes a support of the target's labels; support is given already")
        chosen = _stratified(target, fraction)
        if not chosen.any():
            raise ValueError(f"labels={labels!r} needs labels in the target; there are none")
        parts["support"] = target.take(chosen).replace(name="support")
        target = target.take(~chosen)
    elif "support" in parts:
        target = target.take(~np.isin(target.digests(), parts["support"].digests()))  # whoever labels some of a folder
    if len(target) == 0:
        return parts
    aside = _held_out(target)
    parts["target"] = target.take(~aside)
    if aside.any():
        parts["held_out"] = target.take(aside)
    return parts


def _sealed_features(features: Mapping[str, Domain], known: ClassSpace, everything: ClassSpace) -> dict[str, Any]:
    """Labelled features with labels that index `known`, those of the target without labels, which are in `exams`."""
    exams = {
        label: Exam(features[name], everything)
        for label, name in (("adapted", "target"), ("held out", "held_out"))
        if name in features and features[name].labeled.any()
    }
    parts = {name: features[name].unlabeled() for name in ("target", "held_out") if name in features}
    parts |= {n: features[n].with_labels(features[n].labels, known) for n in ("source", "support") if n in features}
    return {**dict.fromkeys(("source", "support", "target", "held_out")), **parts, "exams": exams}


def _stratified(target: Domain, fraction: float) -> NDArray[np.bool_]:
    """About `fraction` of the labelled samples of each class, at least one of each, in an order by content."""
    chosen = np.zeros(len(target), dtype=bool)
    order = target.canonical_order()
    for label in np.unique(target.y[target.labeled]) if target.y is not None else ():
        members = order[target.y[order] == label]  # type: ignore[index]
        chosen[members[: max(1, round(fraction * len(members)))]] = True
    return chosen


def _held_out(target: Domain, share: float = 0.2) -> NDArray[np.bool_]:
    """A fifth of the target, chosen by the content of the samples alone."""
    aside = np.zeros(len(target), dtype=bool)
    if len(target) >= SMALLEST_HELD_OUT:
        aside[target.canonical_order()[: round(share * len(target))]] = True
    return aside


# -- encoding ----------------------------------------------------------------------------------------------


def _words(parts: Mapping[str, Domain], model: Any, teachers: Any, *, named: bool) -> set[str]:
    """The words of `fit` that are given, or may come of what is."""
    words = {*parts, *(word for word, value in (("model", model), ("teachers", teachers)) if value is not None)}
    return words | ({"model"} if "source" in words or named else set()) | {"classes"}


def _tower(made: Tower, parts: Mapping[str, Domain], teachers: Any, *, as_saved: bool) -> Encoder | None:
    """The encoder, with the numbers that it was saved with if there are two sides and `as_saved` asks for it."""
    tower = made()
    if as_saved and {"source", "target"} <= parts.keys():
        from unseen.encoders import views

        tower = views.as_it_is_saved(tower)
    _check_teachers(teachers, tower)
    return tower


def _check_teachers(teachers: Any, tower: Encoder | None) -> None:
    """Teachers of saved models read features of the encoder that is used here."""
    used = "" if tower is None else tower.name
    for name, network in (teachers or {}).items():
        reads = getattr(network, "reads", used)
        if reads != used:
            features = f"features of {reads}" if reads else "features that no encoder made"
            raise ValueError(f"teachers: {name!r} reads {features}; here samples are read by {used or 'no encoder'}")


def _row_read(parts: Mapping[str, Domain], tower: Encoder | None) -> Domain:
    """One row as the features will be: of what is given, or of as many noughts as the encoder gives numbers."""
    part = next(iter(parts.values()))
    return part.take(slice(0, 1)) if tower is None else Domain(x=np.zeros((1, tower.dim), dtype=np.float32))


def _encode(parts: Mapping[str, Domain], tower: Encoder, cache: bool, engine: Engine) -> dict[str, Domain]:
    with cluster(engine):
        return {name: tower.encode(part, cache=cache, engine=engine) for name, part in parts.items()}


def _contradictory(domain: Domain, contents: Sequence[str]) -> int:
    """How many different samples stand under more than one label."""
    if domain.y is None:
        return 0
    labelled = {pair for pair in zip(contents, domain.y.tolist()) if pair[1] != UNLABELED}
    return sum(n > 1 for n in Counter(content for content, _ in labelled).values())


def _told(domain: Domain, contents: Sequence[str]) -> dict[str, Any]:
    return {
        "name": domain.name,
        "samples": len(domain),
        "kind": domain.kind,
        "labeled": int(domain.labeled.sum()),
        "classes": {} if domain.y is None or domain.classes is None else counted(domain.y, domain.classes),
        "different": len(set(contents)),
        "contradictory": _contradictory(domain, contents),
        "most_copies": max(Counter(contents).values(), default=0),
        "skipped": [[s.where, s.why] for s in domain.skipped],
        "credits": list(domain.credits),
        "features": list(domain.feature_names),
        "notes": list(domain.notes),
    }

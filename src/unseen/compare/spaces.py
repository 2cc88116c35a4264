"""Which classes there are: those of the labelled data, of a class file, of the sealed target, and their embeddings."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unseen.compare.names import read_as_texts, refuse_prompts, some
from unseen.data.classes import ClassSpace, join, realign
from unseen.data.compositions import composed, primitives, with_vectors
from unseen.data.domain import Domain
from unseen.data.labels import case_variants
from unseen.data.ontology import Ontology
from unseen.data.taxonomies import Taxonomy

if TYPE_CHECKING:
    from unseen.encoders import Encoder


def related(classes: ClassSpace, ontology: Any, taxonomy: Any, notes: list[str]) -> ClassSpace:
    """The classes with their concepts and with a distance, as far as an ontology and a taxonomy are given.

    `notes` are told how many classes are described by a definition of the taxonomy.
    """
    if ontology is not None:
        from unseen.data import ontologies

        known = ontology if isinstance(ontology, Ontology) else ontologies.load(ontology)
        classes = ontologies.with_ontology(classes, known)
    if taxonomy is not None:
        from unseen.data import taxonomies

        known_by = taxonomy if isinstance(taxonomy, Taxonomy) else taxonomies.load(taxonomy)
        placed = taxonomies.place(classes, known_by)
        if glossed := _n_described(placed) - _n_described(classes):
            notes.append(
                f"classes: {glossed} of {len(classes)} {'has' if glossed == 1 else 'have'} a gloss, the definition in "
                f"{known_by.phrases.name}, beside the name; a description in the class file would stand in its place"
            )
        classes = placed
    return classes


def _n_described(classes: ClassSpace) -> int:
    """How many classes have a description."""
    return sum(map(bool, classes.descriptions or ()))


def has_labels(read: Mapping[str, Domain], name: str) -> bool:
    return name in read and bool(read[name].labeled.any())


def classes_of(read: Mapping[str, Domain], *names: str) -> ClassSpace:
    for name in names:
        if name in read and read[name].classes is not None:
            return read[name].classes  # type: ignore[return-value]
    domain = next(read[name] for name in names if name in read)
    return ClassSpace(names=tuple(str(i) for i in range(int(domain.labels.max()) + 1)))


def spaces(
    read: dict[str, Domain],
    described: ClassSpace | None,
    relate: Callable[[ClassSpace], ClassSpace] = lambda classes: classes,
    *,
    learned: bool,
) -> tuple[ClassSpace, ClassSpace]:
    """The classes that can be predicted, and these with the classes that only the sealed target has.

    Seen classes come first: those of the source, then those that only the support has. `learned` tells that labels of
    the target become support.
    """
    for name in ("source", "support", "target"):
        if has_labels(read, name) and read[name].classes is None:
            read[name] = read[name].replace(classes=classes_of(read, name))
    labeled = [name for name in ("source", "support", *(("target",) if learned else ())) if has_labels(read, name)]
    space = functools.reduce(join, [_used(read[name]) for name in labeled])
    known = relate(space.replace(seen=np.arange(len(space))) if described is None else _described(space, described))
    everything = known
    if has_labels(read, "target"):
        everything = join(known, classes_of(read, "target")).replace(seen=known.seen)
    return known, everything


def spaces_of_model(
    space: ClassSpace, read: dict[str, Domain], relate: Callable[[ClassSpace], ClassSpace]
) -> tuple[ClassSpace, ClassSpace]:
    """The classes of a model, in the order of its outputs, and these with those that only the sealed target has."""
    for name in ("source", "support", "target"):
        if has_labels(read, name) and read[name].classes is None:
            read[name] = read[name].replace(classes=classes_of(read, name))
    known = relate(space)
    if not has_labels(read, "target"):
        return known, known
    return known, join(known, classes_of(read, "target")).replace(seen=known.seen)


def _used(domain: Domain) -> ClassSpace:
    """The classes of a domain that have samples."""
    assert domain.classes is not None
    assert domain.y is not None
    return domain.classes.take(np.unique(domain.y[domain.labeled]))


def _described(space: ClassSpace, described: ClassSpace) -> ClassSpace:
    """The class file in the order of the labelled classes, which are the seen ones, and then its others."""
    missing = [name for name in space.names if name not in set(described.names)]
    if missing:
        alike = [" and ".join(map(repr, names)) for names in case_variants([*missing, *described.names])]
        hint = f"; {', '.join(alike)} differ in upper and lower case only" if alike else ""
        raise ValueError(f"classes must hold all of the labelled data, and lacks {some(missing)}{hint}")
    order = [described.index(name) for name in space.names]
    order += sorted(set(range(len(described))) - set(order))
    return described.take(order).replace(seen=np.arange(len(space)), metric=described.metric.take(np.asarray(order)))


def onto(domain: Domain, space: ClassSpace) -> Domain:
    """The domain with labels that index `space`."""
    if domain.y is None or domain.classes is None:
        return domain
    return domain.with_labels(realign(domain.y, domain.classes, space), space)


def embed_classes(
    known: ClassSpace, tower: Encoder | None, described: bool, prompts: Sequence[str] | None = None
) -> tuple[ClassSpace, bool]:
    """Class embeddings, and whether they lie among the samples: if the encoder reads names; else by MiniLM.

    An encoder of texts reads names, too, where classes are described by nothing else than words.
    """
    from unseen.encoders import TwoTowerEncoder

    if isinstance(tower, TwoTowerEncoder):
        return tower.embed(known, prompts=prompts), True
    in_words = described and known.embeddings is None
    in_pairs = in_words and composed(known)
    if in_words and not in_pairs and known.attributes is None and tower is not None and tower.kind == "text":
        return read_as_texts(known, tower, prompts), True
    refuse_prompts(prompts, tower)
    if in_pairs:
        return with_vectors(known, _word_vectors(known)), False
    if in_words and known.attributes is None:
        from unseen import encoders

        texts = Domain(x=np.array(known.texts, dtype=np.str_), kind="text", name="classes")
        return known.replace(embeddings=encoders.get("minilm").encode(texts).x), False
    return known, False


def _word_vectors(classes: ClassSpace) -> dict[str, NDArray[np.float32]]:
    """A vector by MiniLM for each attribute and object of compositions."""
    from unseen import encoders

    known = primitives(classes)
    words = list(dict.fromkeys((*known.attributes, *known.objects)))
    texts = Domain(x=np.array(words, dtype=np.str_), kind="text", name="words of the classes")
    return dict(zip(words, encoders.get("minilm").encode(texts).x))

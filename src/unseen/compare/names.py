"""Classes that are given by their names alone: checked, matched with folders, put among the samples."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from unseen.compare.asked import NOTHING_TO_LEARN
from unseen.data.classes import ClassSpace, realign
from unseen.data.domain import UNLABELED, Domain
from unseen.data.kinds import KINDS
from unseen.encoders.defaults import NAMED_ENCODER, SHARED_ENCODER, knows_names

if TYPE_CHECKING:
    from unseen.encoders import Encoder


def check_names(read: Mapping[str, Domain], classes: ClassSpace | None, encoder: str | None) -> None:
    """`ValueError`, before anything is loaded, where names alone do not do.

    Parameters
    ----------
    read : mapping of words to Domain
        The target, which must be given.
    classes : ClassSpace or None
        The names.
    encoder : str or None
        The name of the encoder, if one was named.
    """
    if classes is None:
        raise ValueError(NOTHING_TO_LEARN)
    if "target" not in read:
        raise ValueError("target must be given: without it there is no sample that the names could be compared with")
    if len(classes) < 2:
        raise ValueError(f"classes must hold at least two names; got {classes.names[0]!r} alone")
    kind = read["target"].kind
    called = KINDS.get(kind, (kind, kind))[1]
    if encoder is not None and not knows_names(encoder, kind):
        along = f"{SHARED_ENCODER[kind]!r} does and comes along, " if kind in SHARED_ENCODER else ""
        does = "is stronger" if along else "does"
        raise ValueError(
            f"encoder {encoder!r} does not put {called} and names into one space, as is needed where no sample has a "
            f"label: {along}{NAMED_ENCODER.get(kind, 'open_clip:ARCHITECTURE/WEIGHTS (pictures)')} {does}"
        )
    if encoder is None and kind == "audio":
        raise ValueError(
            "classes: names are compared with sounds by an encoder of both, and none comes along: name as encoder "
            f"{NAMED_ENCODER[kind]} or give a source or a support"
        )
    if encoder is None and kind not in SHARED_ENCODER and not (kind == "features" and classes.embeddings is not None):
        raise ValueError(
            f"classes: names are compared with pictures, videos, sounds and texts, and the target holds {called}: "
            "give a source or a support, or classes with embeddings in the space of the features "
            "(ClassSpace(embeddings=...))"
        )


def with_folders(target: Domain, classes: ClassSpace, notes: list[str]) -> Domain:
    """The target with labels that index `classes`; a folder that no class is called like has no label.

    Raises
    ------
    ValueError
        If a folder and a class differ in capitals, spaces and signs alone.
    """
    if target.y is None or not target.labeled.any():
        return target
    if target.classes is None:
        if target.labels.max() >= len(classes):
            raise ValueError(
                f"the target's labels have no names; as places in classes they must be below {len(classes)}, got "
                f"{target.labels.max()}"
            )
        notes.append("classes: the target's labels have no names; they are taken as places in the list of classes")
        return target
    used = [target.classes.names[label] for label in np.unique(target.labels[target.labels != UNLABELED])]
    strange = [name for name in used if name not in set(classes.names)]
    alike = {_letters(name): name for name in classes.names}
    for name in strange:
        if (other := alike.get(_letters(name))) is not None and other not in used:
            raise ValueError(f"the target calls {name!r} what classes call {other!r}: write the two alike")
    if len(strange) == len(used):
        reason = "no class is called like a folder or label of the target"
        notes.append(f"classes: {reason} ({some(strange)}): these are not taken for labels, and nothing is graded")
        return target.unlabeled()
    if not strange:
        return target
    space = target.classes.take([target.classes.index(name) for name in used if name not in strange])
    known = np.isin(target.y, [target.classes.index(name) for name in space.names])
    left = int((~known & target.labeled).sum())
    notes.append(f"classes: {left} samples of {some(strange)}, which no class is called, are not graded")
    y = np.where(known, target.y, UNLABELED)
    return target.replace(y=realign(y, target.classes, space), classes=space)


def among_samples(
    classes: ClassSpace, target: Domain, encoder: Encoder | None, prompts: Sequence[str] | None
) -> ClassSpace:
    """The classes with embeddings in the space of the target's features.

    Raises
    ------
    ValueError
        If there is no such space, or the embeddings that were given are not as wide as the features.
    """
    from unseen.encoders import TwoTowerEncoder

    if encoder is None:
        width = None if classes.embeddings is None else classes.embeddings.shape[1]
        if width != target.n_features:
            got = "none" if width is None else f"some of {width}"
            raise ValueError(f"classes must have embeddings of {target.n_features} features, as the target; got {got}")
        refuse_prompts(prompts, encoder)
        return classes
    if isinstance(encoder, TwoTowerEncoder):
        return encoder.embed(classes, prompts=prompts)
    if encoder.kind != "text" or target.kind != "text":
        raise ValueError(f"encoder {encoder.name!r} reads {encoder.kind} and puts no names among its features")
    return read_as_texts(classes, encoder, prompts)


def refuse_prompts(prompts: Sequence[str] | None, encoder: Encoder | None) -> None:
    """`ValueError` for sentences where no encoder reads names; of videos, methods that train its network may."""
    if prompts and (encoder is None or encoder.kind != "clip"):
        reason = "there is none here" if encoder is None else f"{encoder.name} does not"
        raise ValueError(
            f"prompts must go to an encoder that reads the names of classes, and {reason}: leave them out, or choose "
            f"encoder={SHARED_ENCODER['image']} for pictures"
        )


def read_as_texts(classes: ClassSpace, encoder: Encoder, prompts: Sequence[str] | None) -> ClassSpace:
    """The classes with embeddings among texts: what their encoder makes of names and descriptions."""
    from unseen.encoders.two_tower import class_texts, mean_of

    texts = class_texts(classes, prompts)
    encoded = [encoder.encode(Domain(x=np.array(part, dtype=np.str_), kind="text", name="names")).x for part in texts]
    return classes.replace(embeddings=mean_of(encoded))


def _letters(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name).casefold()


def some(names: Sequence[str], most: int = 3) -> str:
    """The first of many names, and how many others there are."""
    most = len(names) if len(names) == most + 1 else most  # a last name is shorter than a word about it
    return ", ".join(map(repr, names[:most])) + (f" and {len(names) - most} others" if len(names) > most else "")

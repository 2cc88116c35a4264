"""What a stream reads: samples as its method takes them, and references that hold a model to what it said before."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from unseen.data.domain import Domain
from unseen.data.kinds import KINDS
from unseen.data.labels import case_variants
from unseen.encoders import Encoder
from unseen.files import read_plain
from unseen.methods.tower_streams import TowerStream

Data = str | os.PathLike[str] | Domain


def model_inputs(domain: Domain, encoder: Encoder, whole: bool) -> Domain:
    """Samples as the method reads them: features, or pictures as batches of them are preprocessed."""
    encoder.check_kind(domain)
    if not whole:
        return encoder.encode(domain)
    x: Any = domain.x
    assert hasattr(x, "map"), "pictures are read lazily"
    return domain.replace(x=x.map(lambda picture: encoder.preprocess([picture])[0]))


def check_reads(domains: Iterable[Domain], encoder: Encoder, model: str) -> None:
    """`ValueError` unless a stream that began with `model` reads the samples of all tasks."""
    for domain in domains:
        if domain.kind not in encoder.kinds:
            holds, reads = (KINDS.get(kind, (kind, kind))[1] for kind in (domain.kind, encoder.kind))
            frames = domain.kind == "clip" and encoder.kind == "image" and not model.startswith("frames:")
            hint = f"; a stream that begins with 'frames:{model}' learns videos" if frames else ""
            raise ValueError(f"tasks: {domain.name!r} holds {holds}; {model!r} reads {reads}{hint}")


def alike(tasks: Sequence[Sequence[str]]) -> list[str]:
    """A sentence, or none, on classes of different tasks whose names differ in upper and lower case only."""
    groups = case_variants(dict.fromkeys(name for names in tasks for name in names))
    apart = [" and ".join(map(repr, group)) for group in groups if not any(set(group) <= set(names) for names in tasks)]
    differing = ", ".join(apart[:5]) + (f" and {len(apart) - 5} more pairs" if len(apart) > 5 else "")
    if not apart:
        return []
    return [f"{differing} differ in upper and lower case only: two classes each; if they are one, name them alike"]


def references(
    learner: TowerStream,
    reference: Data | None,
    texts: Any,
    read: Callable[[Domain], Domain],
    say: Callable[[str], None],
) -> dict[str, Domain]:
    """Pictures and sentences on which a model is held to what it said before, if the method reads such."""
    if not learner.reads_references:
        for name, value in (("reference", reference), ("texts", texts)):
            if value is not None:
                raise ValueError(
                    f"{name}: {learner.card.slug} changes no tower, and reads no references; method=zscl does"
                )
        return {}
    inputs = {"corpus": _sentences(texts)}
    if reference is None:
        say("no reference pictures: each task's own stand in; those of other things hold the model better (reference)")
        return inputs
    return inputs | {"auxiliary": read(_pictures(reference))}


def _pictures(data: Data) -> Domain:
    from unseen.data.loaders import samples_of

    domain = samples_of(data)
    if not len(domain):
        raise ValueError("reference must hold at least one picture; it is empty")
    return domain.unlabeled()


def _sentences(texts: str | os.PathLike[str] | Sequence[str] | None) -> Domain:
    """Reference sentences: of a file, of a list, or ImageNet's names with their definitions."""
    if texts is None:
        from unseen.encoders.lite_clip import imagenet_classes
        from unseen.encoders.two_tower import name_and_description

        classes = imagenet_classes()
        lines = [name_and_description(*pair) for pair in zip(classes.names, classes.descriptions or ())]
    elif isinstance(texts, (str, os.PathLike)):
        lines = [line.strip() for line in read_plain(texts).splitlines() if line.strip()]
    else:
        lines = list(texts)
    if not lines:
        raise ValueError(f"texts must hold at least one sentence; got {texts!r}")
    return Domain(x=np.array(lines, dtype=np.str_), kind="text", name="sentences")

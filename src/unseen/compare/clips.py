"""Clips themselves, for candidates that train the network which looks at frames; others read features of the frames."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from unseen import catalogue, methods
from unseen.catalogue import Given
from unseen.compare.inputs import Inputs
from unseen.data.clips import read_finely
from unseen.data.domain import Domain
from unseen.data.kept_frames import cache
from unseen.files import beside
from unseen.methods.base import Method, signatures
from unseen.scale import Engine

if TYPE_CHECKING:
    from unseen.encoders import Encoder

ROLES = ("source", "target", "held_out", "support")


def slugs_on_clips(wanted: Iterable[str]) -> list[str]:
    """Those of some candidates (`slug` or `slug:preset`) that learn from clips themselves."""
    return [slug for slug in dict.fromkeys(name.partition(":")[0] for name in wanted) if methods.card(slug).reads_clips]


def _begins_with_network(method: Method) -> bool:
    return all("model" in way.required for way in signatures(type(method)))


def _looked_at(method: Method) -> int:
    """Frames of a clip that a method looks at."""
    return max(getattr(method, "frames", 0), getattr(method, "test_frames", 0) or 0)


def check_clips(
    candidates: Iterable[Method],
    read: Mapping[str, Domain],
    encoder: Callable[[], Encoder | None],
    model: object = None,
    argument: str = "methods",
) -> None:
    """`ValueError` for candidates that learn from clips where there are none, or no network that they can train.

    Parameters
    ----------
    candidates : unfitted methods
        Those that do not learn from clips are not looked at.
    read : mapping of roles to Domain
        The samples, as they were read.
    encoder : callable
        What gives the encoder; it is asked where a candidate begins with its network.
    model : object, optional
        A network to begin with in its place.
    argument : str
        What named the candidates.
    """
    from unseen.encoders.whole_clips import network_of_frames

    for method in candidates:
        if not method.card.reads_clips:
            continue
        slug, kind = method.card.slug, next(iter(read.values())).kind
        if kind != "clip":
            raise ValueError(
                f"{argument}: {slug} learns from clips (videos, folders of frames); these are of kind {kind}"
            )
        domains = {word: read[word] for word in ROLES if word in read and word != "held_out"}
        network = model
        if _begins_with_network(method) and model is None:
            tower = encoder()
            assert tower is not None
            try:
                network = network_of_frames(tower)
            except ValueError as error:
                raise ValueError(f"{argument}: {slug} trains the network that looks at frames; {error}") from error
        words = {**domains, "model": network} if network is not None else domains
        if why := Given(words, kind="clip").why_not(type(method)):
            raise ValueError(f"{argument}: {slug} cannot run here: it {why}")
        if network is not None:
            try:
                method.check_network(network)
            except (TypeError, ValueError) as error:
                raise ValueError(f"{argument}: {slug} cannot run here: {error}") from error


def with_whole_clips(inputs: Inputs, candidates: Iterable[Method]) -> Inputs:
    """The inputs with clips as networks take them at hand, where a candidate learns from these.

    Every frame that a clip was read with is there, or as many as a candidate looks at, if these are more: so many does
    a saved model read of a clip, too.
    """
    from unseen.encoders.whole_clips import every_frame, frames_in, network_of_frames, whole_clips

    on_clips = [method for method in candidates if method.card.reads_clips]
    if not on_clips or inputs.encoder is None:
        return inputs
    most = max(map(_looked_at, on_clips))
    tower = every_frame(inputs.encoder, frames_in(read_finely(next(iter(inputs.raw.values())), most)))

    def themselves(role: str) -> Domain | None:
        features = getattr(inputs, role)
        if features is None:
            return None
        clips = whole_clips(inputs.raw[role], tower)
        return features.replace(x=clips.x, kind="clip")

    parts = {role: themselves(role) for role in ROLES}
    plain: Mapping[str, object] = {"crafted": {}, "one_view": inputs, "whole": True, "encoder": tower}
    without = dataclasses.replace(inputs, **parts, **plain)  # type: ignore[arg-type]
    beginning = without
    if inputs.model is None and any(map(_begins_with_network, on_clips)):
        beginning = dataclasses.replace(without, model=network_of_frames(inputs.encoder))
    views = {method.card.slug: beginning if _begins_with_network(method) else without for method in on_clips}
    return dataclasses.replace(inputs, clips=views)


def seconds_on_clips(inputs: Inputs, slug: str, preset: str, method: Method | None = None) -> float | None:
    """About how long one fit of a candidate that learns from clips takes on one core; None for others."""
    if slug not in inputs.clips:
        return None
    view = inputs.clips[slug]
    words = {word: getattr(view, word) for word in ("source", "target", "support", "model")}
    method = catalogue.make(slug, preset) if method is None else method
    return method.expected_seconds({word: value for word, value in words.items() if value is not None})


@contextlib.contextmanager
def for_other_processes(inputs: Inputs, engine: Engine) -> Iterator[Inputs | None]:
    """The inputs with whole clips that processes beside this one, or Ray's, can read while the block runs.

    On this machine all of them read one file, which is gone afterwards; on Ray the clips travel in memory. None where
    they cannot (`encoders.whole_clips.travelling`).
    """
    from unseen.encoders.whole_clips import travelling

    parts = {id(part): part for view in inputs.clips.values() for part in _roles(view).values()}
    with contextlib.ExitStack() as stack:
        folder: Path | None = None
        if engine.name == "process":
            cache().mkdir(parents=True, exist_ok=True)
            folder = stack.enter_context(beside(cache() / "cut"))
        copies: dict[int, Domain] = {}
        for k, (key, part) in enumerate(parts.items()):
            there = travelling(part, None if folder is None else folder / f"{k}.npy")
            if there is None:
                yield None
                return
            copies[key] = there
        views = {
            slug: dataclasses.replace(view, **{role: copies[id(part)] for role, part in _roles(view).items()})  # type: ignore[arg-type]
            for slug, view in inputs.clips.items()
        }
        yield dataclasses.replace(inputs, clips=views)


def _roles(view: Inputs) -> dict[str, Domain]:
    """The samples of a view by their roles, where there are any."""
    parts = {role: getattr(view, role) for role in ROLES}
    return {role: part for role, part in parts.items() if part is not None}

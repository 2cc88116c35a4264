"""`recommend` of data: they are read and looked at as `compare` does before it fits anything."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from unseen import precedents
from unseen.arguments import check_arguments
from unseen.catalogue import Given
from unseen.compare.asked import GIVEN, check_asked
from unseen.compare.clips import slugs_on_clips
from unseen.compare.fits import split
from unseen.compare.inputs import Inputs, prepare
from unseen.compare.results import situation
from unseen.diagnosis import diagnose
from unseen.precedents import Precedent, Profile, Recommendation
from unseen.precedents.nearest import Near


@dataclasses.dataclass(frozen=True, kw_only=True)
class Advice:
    """What to try first with data that were read and looked at, for whoever shows it: a terminal, a page, JSON.

    Attributes
    ----------
    rows : list of Recommendation
        Every method, in the order of `recommend`.
    yours : str
        What the data are, in a line.
    profile : Profile or None
        What they look like; None where names are all that is known.
    names : tuple of str
        The classes.
    near : tuple of Near
        The recorded runs that gains are taken from.
    on_clips : tuple of str
        Of videos, methods that learn from the videos themselves; they run where they are named.
    """

    rows: list[Recommendation]
    yours: str
    profile: Profile | None
    names: tuple[str, ...]
    near: tuple[Near, ...]
    on_clips: tuple[str, ...]

    @property
    def listed(self) -> list[Recommendation]:
        """Those that run without being named, and those that do not fit."""
        return [row for row in self.rows if row.slug not in self.on_clips]

    @property
    def remark(self) -> str:
        """What must be said of methods that are not listed; empty if all are."""
        if not self.on_clips:
            return ""
        return (
            "these learn from the videos themselves, which takes long; they run where you name them: "
            f"{', '.join(self.on_clips)} (`unseen methods NAME` says what each needs; all but cdfsl-v train the "
            "encoder's network, a vision transformer such as frames:open_clip:ViT-B-32)"
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "yours": self.yours,
            "methods": [row.to_json() for row in self.rows],
            "on_clips": list(self.on_clips),
            "remark": self.remark,
            "profile": {"names": list(self.names)} if self.profile is None else self.profile.to_json(),
            "precedents": [{**run.to_json(), "distance": distance} for run, distance in self.near],
            "gains": {name: gain._asdict() for name, gain in precedents.gains(self.near).items()},
        }


def recommend(
    given: Given | None = None,
    *,
    kind: str | None = None,
    profile: Profile | None = None,
    known: Sequence[Precedent] | None = None,
    k: int = 5,
    **data: Any,
) -> list[Recommendation]:
    """Every method, those to try first before the others, those that do not fit at the end. Nothing is trained.

    Parameters
    ----------
    given : Given, optional
        What there is where no data are read, by words of `fit` (`unseen.precedents.recommend`).
    kind, profile, known, k
        As there; what the data look like is found out, where `profile` is absent.
    **data
        What `compare` takes of data: source, target, support, classes, prompts, ontology, taxonomy, model, teachers,
        encoder, labels, and on_error, precision, trust. No label of the target is read but for ``labels="support"``.

    Examples
    --------
    >>> import numpy as np, unseen
    >>> from unseen.catalogue import Given
    >>> unseen.recommend(Given({"source": True, "target": True}), kind="image")[0].fits
    True
    >>> source = unseen.Domain(x=np.random.default_rng(0).normal(size=(40, 4)), y=["cat", "dog"] * 20)
    >>> target = unseen.Domain(x=np.random.default_rng(1).normal(size=(30, 4)))
    >>> unseen.recommend(source=source, target=target)[0].fits
    True
    """
    check_arguments({name: check for name, check in GIVEN.items() if name != "engine"}, data, "recommend")
    if given is not None:
        if data:
            raise TypeError(f"recommend takes given or data, not both; got given and {', '.join(data)}")
        return precedents.recommend(given, kind=kind, profile=profile, known=known, k=k)
    return advise(kind=kind, profile=profile, known=known, k=k, **data).rows


def advise(
    *,
    kind: str | None = None,
    profile: Profile | None = None,
    known: Sequence[Precedent] | None = None,
    k: int = 5,
    say: Callable[[str], None] | None = None,
    **data: Any,
) -> Advice:
    """What to try first with data, as every door says it: `recommend`, the command and the page. Nothing is trained.

    Parameters are those of `recommend`; `say` is told what was read, in lines, before it is encoded.
    """
    paths = ("source", "target", "support", "ontology", "model")
    others = ("classes", "prompts", "encoder", "labels", "on_error", "precision")
    check_asked(data={name: data.get(name) for name in paths}, **{"classes": None} | {
        name: data[name] for name in others if name in data
    })  # fmt: skip
    ready = prepare(**data, distinct=True, say=say, graded=False)
    given, seen = looked_at(ready, data.get("labels", "exam"))
    near_to: dict[str, Any] = {"kind": kind, "profile": profile or seen, "known": known, "k": k}
    rows = precedents.recommend(given, **near_to)
    return Advice(
        rows=rows,
        yours="names alone, without a label" if seen is None else dataclasses.replace(seen, shift={}).sentence(),
        profile=seen,
        names=ready.classes.names,
        near=precedents.near_runs(given, **near_to),
        on_clips=tuple(slugs_on_clips(row.slug for row in rows) if ready.kind == "clip" else ()),
    )


def looked_at(inputs: Inputs, labels: str) -> tuple[Given, Profile | None]:
    """What methods are given, and what the data look like; None where names are all that is known."""
    given = split(inputs, 0)[0]
    if inputs.named:
        return given, None
    diagnosis = diagnose(inputs)
    fields = None if diagnosis is None else diagnosis.to_json()
    return given, precedents.profile(situation(inputs, labels) | {"diagnosis": fields})

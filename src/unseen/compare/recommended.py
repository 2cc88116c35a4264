"""`recommend` of data: they are read and looked at as `compare` does before it fits anything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from unseen import precedents
from unseen.arguments import check_arguments
from unseen.catalogue import Given
from unseen.compare.asked import GIVEN, check_asked
from unseen.compare.fits import split
from unseen.compare.inputs import Inputs, prepare
from unseen.compare.results import situation
from unseen.diagnosis import diagnose
from unseen.precedents import Precedent, Profile, Recommendation


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
    paths = ("source", "target", "support", "ontology", "model")
    others = ("classes", "prompts", "encoder", "labels", "on_error", "precision")
    check_asked(data={name: data.get(name) for name in paths}, **{"classes": None} | {
        name: data[name] for name in others if name in data
    })  # fmt: skip
    given, seen = looked_at(prepare(**data, distinct=True), data.get("labels", "exam"))
    return precedents.recommend(given, kind=kind, profile=profile or seen, known=known, k=k)


def looked_at(inputs: Inputs, labels: str) -> tuple[Given, Profile | None]:
    """What methods are given, and what the data look like; None where names are all that is known."""
    given = split(inputs, 0)[0]
    if inputs.named:
        return given, None
    diagnosis = diagnose(inputs)
    fields = None if diagnosis is None else diagnosis.to_json()
    return given, precedents.profile(situation(inputs, labels) | {"diagnosis": fields})

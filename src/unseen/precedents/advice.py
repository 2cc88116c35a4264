"""`recommend`: what to try first with what a user has, why, and what it gained where that was measured."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

from unseen import catalogue, methods
from unseen.catalogue import Given
from unseen.data.domain import Domain
from unseen.methods.base import Card
from unseen.precedents.nearest import FLOOR, Gain, Near, Precedent, gains, nearest, recorded
from unseen.precedents.profile import MISMATCH, Profile

NEAREST = 5
"""Recorded runs that gains are taken from."""

NAMED = {
    "propagate-names": Gain(0.029, -0.048, 152),
    "consensus": Gain(0.025, -0.088, 152),
    "self-train-names": Gain(0.023, -0.117, 152),
    "describe-centred": Gain(-0.007, -0.375, 152),
}
"""Gains over `describe` where names are all that is known: mean over twelve kinds of data, the worst of 152 pools
(docs/names.json, which a test compares)."""

FEW_LABELS = {
    "consensus": Gain(0.024, -0.221, 266),
    "linear-probe": Gain(0.006, -0.491, 266),
    "prototypes": Gain(-0.022, -0.578, 266),
}
"""Gains over logistic regression with a penalty by cross-validation where a few labels are all that there is: mean over
17 kinds of data, the worst of 266 draws (docs/few-labels.json, which a test compares)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recommendation:
    """A method, whether it fits what is given, and what may be expected of it.

    Attributes
    ----------
    name : str
        The candidate, as `slug` or `slug:preset`.
    slug : str
    fits : bool
        Whether it can run on what is given.
    does : str
        What it does, in a sentence.
    why : str
        Why it stands where it stands: what it gained elsewhere; or why it does not fit.
    gain : Gain or None
        Mean and worst gain over doing nothing, as shares in [-1, 1], and of how many runs; None if none was recorded.
    baseline : bool
        Whether it is a simple rival and no published system of the catalogue.
    """

    name: str
    slug: str
    fits: bool
    does: str
    why: str
    gain: Gain | None = None
    baseline: bool = False

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**dataclasses.asdict(self), "gain": None if self.gain is None else self.gain._asdict()}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Recommendation:
        """What `to_json` gave."""
        return cls(**{**row, "gain": None if row["gain"] is None else Gain(**row["gain"])})


def recommend(
    given: Given,
    *,
    kind: str | None = None,
    profile: Profile | None = None,
    known: Sequence[Precedent] | None = None,
    k: int = NEAREST,
) -> list[Recommendation]:
    """Every method, those to try first before the others, those that do not fit at the end. Nothing is trained.

    First stands the consensus, which learns what unlike methods agree on, where it can run and gained something: no
    rule that picks one method by its recorded gains does better (docs/choosing.md), but for names alone. Then come
    methods by their mean gain over doing nothing in the `k` recorded runs that are most like this one, then those that
    fit and were not recorded. Where names alone, or a few labels alone, are known, gains are those of the studies of
    these.

    Parameters
    ----------
    given : Given
        What there is, by words of `fit`; stand-ins do, as nothing is fitted. Pictures under the default encoder can be
        seen twice (`two_views`), and most recorded runs of pictures were.
    kind : str, optional
        Of the samples as they were brought (image, text, ...), where methods see features of them.
    profile : Profile, optional
        What the data look like, as `unseen.precedents.profile` tells it; made of `given` if absent.
    known : sequence of Precedent, optional
        Runs to compare with; those that come with the library (`recorded`) if absent.
    k : int, >= 1
        How many of them, the nearest first.

    Examples
    --------
    >>> import unseen
    >>> from unseen.catalogue import Given
    >>> pictures = Given({"source": True, "target": True}, two_views=True)
    >>> best = unseen.recommend(pictures, kind="image")[0]
    >>> best.name, best.fits
    ('consensus:views', True)
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    near = near_runs(given, kind=kind, profile=profile, known=known, k=k)
    studied = NAMED if given.named else FEW_LABELS if _labels_alone(given) else None
    by_method = _by_method(gains(near), views=given.two_views) if studied is None else studied
    rows = [_row(row["slug"], row, by_method, given, near) for row in catalogue.recommend(given)]
    if (together := _together(given, by_method, near)) is not None:
        rows.append(together)
    return sorted(rows, key=functools.partial(_order, named=given.named))


FIRST = 3
"""Methods to try first, at most."""
NOTHING_GAINED = (
    "on recorded data like yours nothing gained over doing nothing: compare on labels of your own before you trust it"
)
"""What is said where no method that fits gained anything."""


def first_of(rows: Sequence[Recommendation]) -> tuple[list[Recommendation], list[Recommendation], str]:
    """Of recommendations in their order those to try first, the others that fit, and what must be said of it.

    What was measured below doing nothing is not to be tried first; nor is what was never recorded, where nothing that
    was recorded gained anything, unless there is nothing else.
    """
    fitting = [row for row in rows if row.fits]
    good = [row for row in fitting if row.gain is not None and row.gain.mean >= 0]
    new = [row for row in fitting if row.gain is None]
    gained = any(row.gain is not None and row.gain.mean > 0 for row in good)
    first = (good + new if gained or not good else good)[:FIRST]
    measured = any(row.gain is not None and row.name != FLOOR for row in fitting)
    return first, [row for row in fitting if row not in first], NOTHING_GAINED if measured and not gained else ""


def near_runs(
    given: Given, *, kind: str | None = None, profile: Profile | None = None,
    known: Sequence[Precedent] | None = None, k: int = NEAREST,
) -> tuple[Near, ...]:  # fmt: skip
    """The `k` recorded runs that are most like what is given, with all that are as near as the last of them.

    None where names, or a few labels, are all that is known.
    """
    if given.named or _labels_alone(given):
        return ()
    runs = recorded() if known is None else known
    near = nearest(profile or profile_of(given, kind), runs, len(runs))
    return tuple(pair for pair in near if pair.distance <= near[min(k, len(near)) - 1].distance)


def _labels_alone(given: Given) -> bool:
    """Whether there are labels of the target to learn from, and nothing else that knows its classes."""
    have = {word for word, value in given.inputs.items() if value is not None}
    return "support" in have and not have & {"source", "model", "teachers"}


def profile_of(given: Given, kind: str | None = None) -> Profile:
    """What can be told of inputs before they are looked at; sizes that are not known have no part in a distance."""
    have = {word: value for word, value in given.inputs.items() if value is not None}
    words: list[str] = [word for word in ("source", "target", "support", "classes", "model") if word in have]
    classes, source, target = have.get("classes"), have.get("source"), have.get("target")
    if len(getattr(classes, "unseen", ())):
        words.insert(words.index("classes") + 1, "unseen")
    n = len(source.classes) if isinstance(source, Domain) and source.classes is not None else None
    return Profile(
        words=tuple(words),
        kind=kind or given.brought or given.kind,
        classes=n,
        labels=None if n is None or not isinstance(source, Domain) else float(source.labeled.sum()) / max(n, 1),
        target=len(target) if isinstance(target, Domain) else None,
    )


def _by_method(by_name: Mapping[str, Gain], *, views: bool) -> dict[str, Gain]:
    """The gains of candidates that can run, of each method the best preset."""
    best: dict[str, tuple[str, Gain]] = {}
    for name, gain in by_name.items():
        slug, _, preset = name.partition(":")
        if preset == "views" and not views:
            continue
        if slug not in best or gain.mean > best[slug][1].mean:
            best[slug] = name, gain
    return dict(best.values())


def _named(slug: str, by_method: Mapping[str, Gain]) -> tuple[str, Gain | None]:
    """The candidate of a method whose gain was recorded, with it."""
    return next(((name, gain) for name, gain in by_method.items() if name.partition(":")[0] == slug), (slug, None))


def _row(
    slug: str, row: Mapping[str, Any], by_method: Mapping[str, Gain], given: Given, near: Sequence[Near]
) -> Recommendation:
    card = methods.get(slug).card
    does = _does(card)
    if not row["fits"]:
        return Recommendation(name=slug, slug=slug, fits=False, does=does, why=row["why"], baseline=card.baseline)
    name, gain = _named(slug, by_method)
    why = "no recorded run like yours has it" if gain is None else _told(name, gain, given, near)
    return Recommendation(name=name, slug=slug, fits=True, does=does, why=why, gain=gain, baseline=card.baseline)


def _together(given: Given, by_method: Mapping[str, Gain], near: Sequence[Near]) -> Recommendation | None:
    """The consensus, where it can run: no model of the user's own, no classes without labelled samples, a target."""
    slug = "consensus"
    card = methods.get(slug).card
    classes = given.inputs.get("classes")
    have = {word for word, value in given.inputs.items() if value is not None}
    closed = given.named or not len(getattr(classes, "unseen", ()))
    can_learn = given.named or "source" in have or _labels_alone(given)
    if "target" not in have or "model" in have or not closed or not can_learn or given.task != card.task:
        return None
    name, gain = _named(slug, by_method)
    why = "no recorded run like yours has it" if gain is None else _told(name, gain, given, near)
    return Recommendation(name=name, slug=slug, fits=True, does=_does(card), why=why, gain=gain, baseline=True)


def _does(card: Card) -> str:
    return card.summary


def _told(name: str, gain: Gain, given: Given, near: Sequence[Near]) -> str:
    """What a candidate gained, in words."""
    if name == FLOOR:
        return "doing nothing: what all gains are measured against"
    alone = _labels_alone(given)
    floor = "names alone" if given.named else "tuned logistic regression" if alone else "doing nothing"
    alike = "most like yours" if near and near[0].distance < MISMATCH else "nearest to yours, which are hardly like it"
    runs = f"the {len(near)}" if gain.runs == len(near) else f"{gain.runs} of the {len(near)}"
    where = f"{runs} recorded runs {alike}"
    if given.named or alone:
        where = f"{gain.runs} recorded {'draws of few labels' if alone else 'sets of data'}"
    points = f"{-100 * gain.mean:.0f} points below" if gain.mean < 0 else f"{100 * gain.mean:+.0f} points over"
    return f"{points} {floor} on the mean of {where} (worst {100 * gain.worst:+.0f})"


def _order(row: Recommendation, *, named: bool) -> tuple[Any, ...]:
    """Fitting ones first; the consensus before all if it gained something; gains from large to small; then the rest."""
    first = row.slug == "consensus" and not named and row.gain is not None and row.gain.mean > 0
    mean = -float("inf") if row.gain is None else row.gain.mean
    return not row.fits, not first, -mean, row.baseline

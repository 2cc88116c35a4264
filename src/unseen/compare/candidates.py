"""What a comparison will run: the candidates that fit, how long they take, and why others are left out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from unseen import catalogue
from unseen.compare.asked import method_names, parse_budget
from unseen.compare.clips import seconds_on_clips
from unseen.compare.consensus import (
    BESIDE,
    BESIDE_NAMED,
    FEWEST_LABELS,
    LABELLED,
    MEMBERS,
    NAMED,
    SLUG,
    has_part,
    members,
    of_labels_alone,
    pair_of,
    too_few_labels,
)
from unseen.compare.fits import split
from unseen.compare.inputs import Inputs
from unseen.compare.names import some
from unseen.compare.validators import fits_of, learns_from_support
from unseen.data.domain import Domain
from unseen.evaluation import protocols
from unseen.methods import card, get
from unseen.methods.base import Method
from unseen.report.words import count

ALWAYS = ("source-only", "standardize", "describe")
"""What a budget never leaves out."""

UNCALLED = "not named, but beside so many unlike methods it is a safer choice than any score of a single one"

NO_SAY = "fits, but is none of those whose agreement is learnt; methods='all' runs it, too"

FEW_LABELS = f"learns from labels, and fewer than {FEWEST_LABELS} have no say here; methods='all' runs it, too"

OF_LABELS = "what logistic regression on the labels and the labels of neighbours say together"

BOTH_SIDES = ("gzsl", "base-to-new")
"""Protocols that grade classes with samples as well as those without."""

ALONE = "names only classes without a labelled sample, and {} grades both kinds; {} names both"

OUTLASTS = "too long for what is no part of the consensus (about {:.0f} s): name it, or give a budget that it is within"

TIMES, WAITED_FOR = 2, 120.0
"""How long candidates may take together that are no part of a consensus, which is the choice unless labels say
otherwise: so many times what its longest part takes, but so many seconds always. Without a consensus one of them may be
the best that there is, and all stay."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """What will run: candidates with the seconds expected for all seeds, and why others will not.

    `shares` names for a candidate the one whose fit serves it, too: it takes no seconds of its own. `consensus` is the
    candidate that is made of others, if there is one; `uncalled`, where methods were named and it was not.
    """

    candidates: tuple[tuple[str, str], ...]
    seconds: dict[str, float]
    left_out: dict[str, str]
    shares: dict[str, str] = dataclasses.field(default_factory=dict)
    consensus: tuple[str, str] | None = None
    uncalled: bool = False
    unlearnt: str = ""
    """Why no candidate learns from the support, where there is one."""
    over_budget: dict[str, float] = dataclasses.field(default_factory=dict)
    """Candidates that the budget leaves out, with the seconds that they would take."""
    outlasting: dict[str, float] = dataclasses.field(default_factory=dict)
    """Candidates that are left out without a budget, as they take too long for what the consensus does not hear."""

    def names(self) -> list[str]:
        """All candidates by name."""
        consensus = [] if self.consensus is None else [self.consensus]
        return [name_of(*pair) for pair in (*self.candidates, *consensus)]

    def lines(self) -> list[str]:
        """The plan in words: what runs and how long it takes, and what the consensus is made of."""
        line = ", ".join(f"{key} {self._cost(key)}" for key in (name_of(*pair) for pair in self.candidates))
        over = [f"{key} ({seconds:.0f} s)" for key, seconds in self.over_budget.items()]
        n, whole = len(self.candidates), sum(self.seconds.values())
        time = f"about {whole:.0f} s" if whole >= 1 else "under a second"
        lines = [f"will run {n} {'candidate' if n == 1 else 'candidates'}, {time} on one core: {line}"]
        if over:
            lines.append(f"left out, as the budget is too small: {', '.join(over)}")
        lines += [f"left out: {key}, {OUTLASTS.format(seconds)}" for key, seconds in self.outlasting.items()]
        if self.consensus is not None:
            heard = len({slug for slug, _ in members(self.candidates)})
            learnt = f"what {heard} of these say together" if heard else OF_LABELS
            line = f"then {name_of(*self.consensus)}: one model that learns {learnt}"
            lines.append(line + (f" ({UNCALLED})" if self.uncalled else ""))
        if self.unlearnt:
            lines.append(f"mind: {self.unlearnt}")
        return lines

    def _cost(self, key: str) -> str:
        if key in self.shares:
            return f"(with {self.shares[key]})"
        return f"{self.seconds[key]:.0f} s" if self.seconds[key] >= 1 else "<1 s"


def name_of(slug: str, preset: str) -> str:
    """What tables call a candidate: `slug`, or `slug:preset` for a preset of its own."""
    return slug if preset == "default" else f"{slug}:{preset}"


def plan(
    inputs: Inputs,
    methods: str | Sequence[str] = "auto",
    seeds: int = 3,
    budget: str | float | None = None,
    protocol: str = "auto",
) -> Plan:
    """Say what fits, how long it will take, and what is left out.

    Where `protocol` says that samples may be of no known class, what takes each for one of a known class is left out,
    the consensus with it, unless it was named. Where it grades seen and unseen classes, what names unseen ones alone is
    left out beside its preset that names both.
    """
    wanted = None if methods in ("auto", "all") else method_names(methods)
    named = wanted is not None and SLUG in wanted
    if wanted is not None and named:
        heard = NAMED if inputs.named else LABELLED if of_labels_alone(inputs) else (ALWAYS[0], *MEMBERS)
        wanted = list(dict.fromkeys([*(n for n in wanted if n != SLUG), *heard]))
    pairs, left_out = _fitting(inputs, wanted)
    if not pairs:
        raise ValueError(
            "no method fits what is given: " + "; ".join(f"{slug} {why}" for slug, why in left_out.items())
        )
    together = pair_of(pairs, inputs)
    rejecting = wanted is None and not inputs.named and protocol != "auto" and protocols.get(protocol).rejects
    if of_labels_alone(inputs) and (rejecting or not (wanted is None or named)):
        together = None  # it is made of no candidates, so that naming some does not ask for it
    elif methods == "auto" and together is not None and not of_labels_alone(inputs):
        left_out |= {name_of(*pair): NO_SAY for pair in pairs if not has_part(*pair, named=inputs.named)}
        pairs = [pair for pair in pairs if has_part(*pair, named=inputs.named)]
        if too_few_labels(inputs) and not rejecting:
            voiced = [
                pair for pair in pairs if pair[0] in LABELLED or has_part(*pair, named=inputs.named, labelled=False)
            ]  # what a reader would try first is shown, though it does not choose
            left_out |= {name_of(*pair): FEW_LABELS for pair in pairs if pair not in voiced}
            pairs = voiced
    if rejecting:
        closed = [pair for pair in pairs if protocol not in card(pair[0]).protocols]
        left_out |= {name_of(*pair): f"takes every sample for one of a known class ({protocol})" for pair in closed}
        pairs = [pair for pair in pairs if pair not in closed]
    if wanted is None and protocol in BOTH_SIDES:
        alone = [pair for pair in pairs if _names_unseen_alone(*pair) and (pair[0], "generalized") in pairs]
        left_out |= {name_of(*pair): ALONE.format(protocol, f"{pair[0]}:generalized") for pair in alone}
        pairs = [pair for pair in pairs if pair not in alone]
    groups = list(catalogue.sharing(pairs))
    shares = {name_of(*pair): name_of(*group[0]) for group in groups for pair in group[1:]}
    times = {slug: seeds * fits_of(slug, inputs.support) for slug, _ in pairs}
    seconds = {name_of(*pair): fit_seconds(inputs, *pair) * times[pair[0]] for pair in pairs}
    seconds |= dict.fromkeys(shares, 0.0)
    over: dict[str, float] = {}
    slow: dict[str, float] = {}
    if methods == "auto" and together is not None and budget is None:
        slow = _outlasting(groups, seconds, named=inputs.named)
        left_out |= {key: OUTLASTS.format(cost) for key, cost in slow.items()}
        pairs = [pair for pair in pairs if name_of(*pair) not in slow]
        groups = [group for group in groups if name_of(*group[0]) not in slow]
    if (limit := parse_budget(budget)) is not None:
        kept = _within(limit, groups, seconds, named=wanted is not None)
        over = {name_of(*pair): seconds[name_of(*group[0])] for group in groups if group not in kept for pair in group}
        left_out |= {key: f"over the budget (about {cost:.0f} s)" for key, cost in over.items()}
        pairs = [pair for pair in pairs if name_of(*pair) not in over]
    together = together and pair_of(pairs, inputs)  # of what the budget left
    if named and together is None:
        raise ValueError(
            f"methods: {SLUG} needs a target, a labelled source without classes that have no samples (or labels of a "
            "support or names of classes alone), no model or teachers of your own, and beside a source three of "
            f"{', '.join(NAMED if inputs.named else MEMBERS)}"
        )
    seconds = {key: seconds[key] for key in (name_of(*pair) for pair in pairs)}
    uncalled = bool(together and wanted and not named)
    unlearnt = "" if wanted else _unlearnt(inputs, pairs)
    return Plan(tuple(pairs), seconds, left_out, shares, together, uncalled, unlearnt, over, slow)


def fit_seconds(inputs: Inputs, slug: str, preset: str, method: Method | None = None) -> float:
    """About how long one fit takes on one core: as the method expects, else as its card says."""
    expected = seconds_on_clips(inputs, slug, preset, method)
    if expected is not None:
        return expected
    words = {word: getattr(inputs, word) for word in ("source", "target", "support", "model", "teachers")}
    words = {word: value for word, value in words.items() if value is not None}
    made = catalogue.make(slug, preset) if method is None else method
    if not made.card.reads_clips and (expected := made.expected_seconds(words)) is not None:
        return expected
    domains = [value for word, value in words.items() if word in ("source", "target", "support")]
    usual = getattr(get(slug), "steps", 0)
    longer = getattr(made, "steps", usual) / usual if usual else 1.0  # its card speaks of the usual steps
    return catalogue.cost(slug, preset) * _larger(domains, stepped=bool(usual)) * longer


def in_units(seconds: float) -> str:
    """A forecast in words."""
    if seconds < 1:
        return "under a second"
    for size, unit in ((3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"about {seconds / size:.0f} {unit}"
    return f"about {seconds:.0f} s"


def _larger(domains: Sequence[Domain], *, stepped: bool = False) -> float:
    """How many times the seconds on a card these samples take: those are of 1,000 samples of 1,280 features.

    Seen on tables of 30 and 64 columns, of 200 to 1,800 rows: two thirds as long; what a fit of 200 takes, fewer
    take, too. What is trained for a given number of steps (`stepped`) takes as long for few samples as for many, and by
    its width: seen on 64 features (.25 and .45 of the seconds of 1,280) and on 10,240 (7 times).
    """
    size = sum(len(domain) for domain in domains)
    width = (domains[0].n_features if domains[0].kind == "features" else ON_A_CARD[1]) / ON_A_CARD[1]
    if stepped:
        return width if width > 1 else width**0.4
    return max(size, SHORTEST_FIT) / ON_A_CARD[0] * min(width, 1) ** 0.1


ON_A_CARD = (1000, 1280)
"""Samples and features that `Card.cost` speaks of."""

SHORTEST_FIT = 200
"""Samples below which a fit takes no less time."""

Group = Sequence[tuple[str, str]]
"""Candidates that one fit serves, the one whose fit it is first."""


def _within(limit: float, groups: Sequence[Group], seconds: Mapping[str, float], *, named: bool) -> list[Group]:
    """What a budget leaves: the most expensive goes first.

    Of methods that were `named` other presets go before the default, where that is within the limit by itself.
    """
    kept = list(groups)

    def cost(group: Group) -> float:
        return seconds[name_of(*group[0])]

    while sum(map(cost, kept)) > limit and len(kept) > 1:
        dearest = sorted((group for group in kept if group[0][0] not in ALWAYS), key=cost, reverse=True)
        if not dearest:
            break
        leaves = dearest[0]
        if named and cost(leaves) <= limit:
            defaults = {slug for slug, preset in leaves if preset == "default"}
            leaves = next((group for group in dearest[1:] if group[0][0] in defaults), leaves)
        kept.remove(leaves)
    return kept


def _outlasting(groups: Sequence[Group], seconds: Mapping[str, float], *, named: bool) -> dict[str, float]:
    """What is left out of the candidates beside the consensus, the longest first, with its seconds."""
    cost = {group: seconds[name_of(*group[0])] for group in map(tuple, groups)}
    heard = [taken for group, taken in cost.items() if any(_is_heard(pair, named) for pair in group)]
    beside = {group: taken for group, taken in cost.items() if not any(_is_heard(pair, named) for pair in group)}
    limit = max(WAITED_FOR, TIMES * max(heard, default=0.0))
    slow: dict[str, float] = {}
    while sum(beside.values()) > limit:
        longest = max(beside, key=beside.__getitem__)
        slow |= dict.fromkeys((name_of(*pair) for pair in longest), beside.pop(longest))
    return slow


def _is_heard(pair: tuple[str, str], named: bool) -> bool:
    """Whether a candidate is a part of the consensus, or always shown beside it."""
    return pair[0] in (*ALWAYS, *LABELLED, *((*NAMED, *BESIDE_NAMED) if named else (*MEMBERS, *BESIDE)))


def _names_unseen_alone(slug: str, preset: str) -> bool:
    """Whether a candidate takes every sample for one of a class without labelled samples."""
    return getattr(catalogue.make(slug, preset), "generalized", True) is False


def _unlearnt(inputs: Inputs, pairs: Sequence[tuple[str, str]]) -> str:
    """That labels train nothing, as methods which learn from them cannot name a class without any; else nothing."""
    if inputs.support is None or not len(inputs.classes.unseen):
        return ""
    if any(learns_from_support(slug) for slug, _ in pairs):
        return ""
    lacking = [inputs.classes.names[i] for i in inputs.classes.unseen]
    single, labels = len(lacking) == 1, count(len(inputs.support), "label").replace("\u00a0", " ")
    return (
        f"{some(lacking)} {'has' if single else 'have'} no label, and a method that learns from labels names no class "
        f"without one: none learns from the {labels} of the support. Label a sample of "
        f"{'it' if single else 'each'}, or leave {'it' if single else 'them'} out of the classes"
    )


def _fitting(inputs: Inputs, wanted: Sequence[str] | None) -> tuple[list[tuple[str, str]], dict[str, str]]:
    """What runs, as `catalogue.candidates` tells it, each with the inputs that it learns from."""
    if wanted is not None:
        seen = {key: inputs.seen_by(*pair_called(key)) for key in wanted}
        groups = [catalogue.candidates(split(part, 0)[0], [key])[0] for key, part in seen.items()]
        return [pair for pairs in groups for pair in pairs], {}
    return catalogue.candidates(split(inputs, 0)[0])


def pair_called(key: str) -> tuple[str, str]:
    """The slug and the preset that a name stands for."""
    slug, _, preset = key.partition(":")
    return slug, preset or "default"

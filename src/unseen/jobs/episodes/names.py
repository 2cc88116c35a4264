"""What the figures of episodes are called, and the line about classes that are in none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unseen.evaluation.episodes import Episodes, EpisodeScores

NAMES = {
    "accuracy": "accuracy",
    "auroc": "AUROC known",
    "open_accuracy": "open accuracy",
    "unknown_accuracy": "unknown rejected",
}

BLIND, CROWDED = 0.6, 0.2
"""Of unknown samples: an AUROC below which scores say little, and a share of samples above which a threshold does."""


def few_line(too_few: Mapping[str, int], protocol: Episodes) -> str:
    """Which classes no episode asks to name, and why, in a line."""
    single = len(too_few) == 1
    part = f"{'takes' if single else 'take'} part in none"
    if protocol.unknown and max(too_few.values()) >= protocol.queries:  # they can still be unknown
        part = f"{'is' if single else 'are'} to be named in none"
    return (
        f"{len(too_few)} {'class has' if single else 'classes have'} fewer than the {max(protocol.shots)} + "
        f"{protocol.queries} samples of an episode, and {part}: {_counts(too_few)}"
    )


def never_unknown_line(too_few: Mapping[str, int], protocol: Episodes) -> str:
    """Which classes of the unknown ones no episode asks about, and why, in a line."""
    single = len(too_few) == 1
    return (
        f"{len(too_few)} unknown {'class has' if single else 'classes have'} fewer than {protocol.queries} samples, "
        f"and {'is' if single else 'are'} asked about in no episode: {_counts(too_few)}"
    )


def copies_line(contents: Sequence[str], labels: Sequence[int]) -> str:
    """How many samples are copies of others, and how many stand under several labels, in a line; empty if none is."""
    copies = len(contents) - len(set(contents))
    if not copies:
        return ""
    several = sum(n > 1 for n in Counter(content for content, _ in set(zip(contents, labels))).values())
    torn = f"; {several} {'is' if several == 1 else 'are'} there under more than one label" if several else ""
    return (
        f"{copies} {'sample is a copy' if copies == 1 else 'samples are copies'} of others, so that what is labelled "
        f"can be what is asked about{torn}"
    )


def unsure_lines(scores: Mapping[str, Mapping[int, EpisodeScores]]) -> list[str]:
    """Where how known a sample seems hardly tells which are unknown, or hangs on a hair; a line for each method."""
    lines = []
    for name, by_shot in scores.items():
        blind = {shot: scored.of("auroc").mean for shot, scored in by_shot.items() if "auroc" in scored.open}
        blind = {shot: area for shot, area in blind.items() if area < BLIND}
        if blind:
            areas = ", ".join(f"{area:.2f} with {shot}" for shot, area in blind.items())
            lines.append(
                f"what {name} rejects is little better than chance: its scores hardly tell known samples from unknown "
                f"ones (AUROC {areas} labelled, where .5 is chance)"
            )
        crowded = {shot: scored.near for shot, scored in by_shot.items() if scored.near > CROWDED}
        if crowded:
            shares = ", ".join(f"{share:.0%} with {shot}" for shot, share in crowded.items())
            lines.append(
                f"how much {name} rejects hangs on a hair, as many samples lie within a hundredth of the range of its "
                f"scores from the threshold ({shares} labelled): go by its AUROC, not by the share that it rejects"
            )
    return lines


def _counts(too_few: Mapping[str, int]) -> str:
    return ", ".join(f"{name} ({n})" for name, n in too_few.items())

"""`auto` and networks with LightGlue on the pairs of minima's claim: rows of the table in docs/matching.md.

    python docs/matching_study.py          # five photographs, four pairs of each modality: a quarter of an hour
    python docs/matching_study.py fresh    # 26 photographs that had no part in how `auto` chooses, two pairs of each

XFeat stands beside them, as a check that the pairs are those of the claim, and for the seconds of a pair; with `fresh`,
XFeat in three ways and SIFT alone, which `auto` chooses from.
"""

from __future__ import annotations

import collections
import functools
import sys
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from unseen.claims.minima import SHIPPED, TRAINED, UNSEEN, WARPS, pair_of, untuned
from unseen.claims.photographed import POINTS, scene
from unseen.data.homographies import generator_of
from unseen.data.sources.photographs import photographs
from unseen.data.tasks.base import objects
from unseen.evaluation.tasks import grades_of
from unseen.jobs.matching.job import make
from unseen.methods.matching.matcher import PairMatcher

MODALITIES = ("visible", *TRAINED, *UNSEEN)


def auto() -> PairMatcher:
    """What `unseen match` takes if no matcher is named, with the points of the claim."""
    return make("auto", points=POINTS)


SHOWN: dict[str, Callable[[], PairMatcher]] = {
    "auto": auto,
    **{name: functools.partial(untuned, name) for name in ("xfeat", "xfeat+lighterglue", "aliked+lightglue")},
}
FRESH: dict[str, Callable[[], PairMatcher]] = {
    "auto": auto, "xfeat in three ways": functools.partial(untuned, "xfeat", True),
    "sift": functools.partial(untuned, "sift"),
}  # fmt: skip


def fresh() -> list[str]:
    """Photographs of two packages, which minima and gim learn from and nobody had matched."""
    return [str(name) for package in ("mate", "lomiri") for name in np.asarray(photographs(package).ids)]


def study(arms: Mapping[str, Callable[[], PairMatcher]], cases: Sequence[str], warps: int, seed: int) -> None:
    """Match, grade, print."""
    torch.set_num_threads(1)
    found: dict[str, dict[str, list[float]]] = {name: collections.defaultdict(list) for name in arms}
    seconds = dict.fromkeys(arms, 0.0)
    matchers = {name: make_matcher() for name, make_matcher in arms.items()}
    for case in cases:
        picture = scene(case)
        for modality in MODALITIES:
            rng = generator_of(f"{case}:{modality}", seed)
            others, truths = zip(*(pair_of(picture, modality, rng) for _ in range(warps)))
            for name, matcher in matchers.items():
                started = time.process_time()
                points = [matcher.matches_of(picture, other).points for other in others]
                seconds[name] += time.process_time() - started
                figures = grades_of("matches").grade(objects(truths), objects(points), None)
                found[name][modality].append(figures["auc@10"])
    for name, of in found.items():
        each = " ".join(f"{modality} {np.mean(of[modality]):.3f}" for modality in MODALITIES)
        pairs = len(cases) * len(MODALITIES) * warps
        print(f"{name}: {each}; {1000 * seconds[name] / pairs:.0f} ms of a processor a pair")


if __name__ == "__main__":
    if sys.argv[1:] == ["fresh"]:
        study(FRESH, fresh(), 2, 7)
    else:
        study(SHOWN, SHIPPED, WARPS, 0)

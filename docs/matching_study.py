"""Networks with LightGlue on the pairs of minima's claim: rows of the table in docs/matching.md.

    python docs/matching_study.py      # five photographs, four pairs of each modality: a quarter of an hour

XFeat stands beside them, as a check that the pairs are those of the claim, and for the seconds of a pair.
"""

from __future__ import annotations

import collections
import time

import numpy as np
import torch

from unseen.claims.minima import SHIPPED, TRAINED, UNSEEN, WARPS, pair_of, untuned
from unseen.claims.photographed import scene
from unseen.data.homographies import generator_of
from unseen.data.tasks.base import objects
from unseen.evaluation.tasks import grades_of

MATCHERS = ("xfeat", "xfeat+lighterglue", "aliked+lightglue")
MODALITIES = ("visible", *TRAINED, *UNSEEN)


def main(seed: int = 0) -> None:
    """Match, grade, print."""
    torch.set_num_threads(1)
    found: dict[str, dict[str, list[float]]] = {name: collections.defaultdict(list) for name in MATCHERS}
    seconds = dict.fromkeys(MATCHERS, 0.0)
    for case in SHIPPED:
        picture = scene(case)
        for modality in MODALITIES:
            rng = generator_of(f"{case}:{modality}", seed)
            others, truths = zip(*(pair_of(picture, modality, rng) for _ in range(WARPS)))
            for name in MATCHERS:
                started = time.process_time()
                points = [untuned(name).matches_of(picture, other).points for other in others]
                seconds[name] += time.process_time() - started
                figures = grades_of("matches").grade(objects(truths), objects(points), None)
                found[name][modality].append(figures["auc@10"])
    for name, of in found.items():
        each = " ".join(f"{modality} {np.mean(of[modality]):.3f}" for modality in MODALITIES)
        pairs = len(SHIPPED) * len(MODALITIES) * WARPS
        print(f"{name}: {each}; {1000 * seconds[name] / pairs:.0f} ms of a processor a pair")


if __name__ == "__main__":
    main()

"""Few-shot fine-tuning's claim: its pools differ in one thing each, and none holds a sample of the exam."""

import numpy as np

from unseen.claims.fewshot_sfda import data
from unseen.claims.label_pools import RAREST


def test_pools_differ_from_their_controls_in_one_thing():
    pair = data("digits 20", 0)
    ids = {name: set(pool.ids.tolist()) for name, pool in pair.pools.items()}
    counts = {name: np.bincount(pool.labels) for name, pool in pair.pools.items()}
    other = set(pair.target.ids[pair.target.labels >= pair.known].tolist())
    assert not any(set(pair.exam.ids.tolist()) & pool for pool in ids.values())
    assert ids["vanilla"] == ids["ood"] - other
    assert ids["ood"] & other
    assert len(ids["even"]) == len(ids["shift"])
    assert np.ptp(counts["even"]) <= 1
    assert counts["shift"].min() == RAREST
    assert np.array_equal(np.unique(pair.source.labels), np.unique(pair.exam.labels))

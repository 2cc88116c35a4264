"""ZeroQ's claim: no picture of the confirmation is one of development, or one that an arm is made from."""

from __future__ import annotations

import itertools

from unseen.claims.quantized_lite0 import PACKAGED, SEEN, STAMPS
from unseen.claims.zeroq import claim


def test_photographs_of_the_confirmation_are_of_no_set_that_is_looked_at_or_made_from():
    experiment = claim.experiments["photographs"]
    assert set(SEEN) == set(experiment.development)
    assert not set(SEEN) & set(experiment.confirmation)
    assert set(PACKAGED) | set(STAMPS) | {"photos"} == {*experiment.development, *experiment.confirmation}
    for sets in (PACKAGED, STAMPS):
        assert not any(set(a) & set(b) for a, b in itertools.combinations(sets.values(), 2))


def test_every_source_of_pictures_is_compared_at_every_setting():
    told = {assertion.text for assertion in claim.ledger if assertion.experiment == "photographs"}
    for setting in ("at 6 bits", "at 4 bits", "of the size of 6 bits", "of the size of 4 bits"):
        assert sum(setting in text for text in told) >= 2  # against real pictures and against noise
    assert len(told) == sum(assertion.experiment == "photographs" for assertion in claim.ledger)

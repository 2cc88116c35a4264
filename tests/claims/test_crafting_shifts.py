"""What the claim of Crafting Shifts measures with."""

import numpy as np
import pytest

from unseen.claims import crafting_shifts as claim


def test_the_halves_of_the_source_share_no_picture():
    a, b = (claim.handwritten(half) for half in ("development", "confirmation"))
    assert len(a[1]) + len(b[1]) == 1797
    assert not {x.tobytes() for x in a[0]} & {x.tobytes() for x in b[0]}


def test_targets_of_the_two_splits_share_no_font():
    fonts = [{case.split(":")[0] for case in cases} for cases in (claim.DEVELOPMENT, claim.CONFIRMATION)]
    assert not fonts[0] & fonts[1]
    assert len(claim.CONFIRMATION) >= 5


@pytest.mark.parametrize("change", claim.CHANGES)
def test_a_change_gives_pictures_in_colour_from_black_to_white(change):
    ink = np.zeros((6, 16, 16), dtype=np.float32)
    ink[:, 4:12, 6:9] = 1
    found = claim.CHANGES[change](ink, np.random.default_rng(0))
    assert (found.shape, found.dtype) == ((6, 3, 16, 16), np.float32)
    assert found.min() >= 0
    assert found.max() <= 1
    assert all(np.ptp(one) > 0.1 for one in found)


def test_the_grid_is_methods_times_rates_times_mixes():
    assert len(claim.GRID) == len(set(claim.GRID)) == 5 * (1 + 5 + 1 + 5)


def test_rates_are_tuned_within_each_method_with_views_mixed_evenly():
    truth = np.arange(len(claim.GRID), dtype=float)
    scores = np.array([-abs(c.rate - claim.RATES[1]) for c in claim.GRID])
    mine = [
        i for i, c in enumerate(claim.GRID) if c.rate == claim.RATES[1] and c.mix == (0.5 if "edges" in c.method else 1)
    ]
    assert len(mine) == 4
    assert claim.rate_tuning(scores, truth) == pytest.approx(truth[mine].mean())

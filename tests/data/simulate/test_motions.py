"""Ten motions, each the reverse of another one."""

import numpy as np
import pytest

from unseen.data.simulate.motions import MOTIONS, clips_of, moving, reverse_of

THING = np.full((32, 32, 3), 255, np.uint8)
THING[4:28, 12:20] = (200, 30, 30)
THING[4:10, 12:28] = (30, 30, 200)  # an arm to the right at the top


def clip(motion, seed=0):
    return moving(THING, motion, np.random.default_rng(seed), frames=6, side=40)


def ink(frames):
    return 255 - frames.astype(float).mean(axis=1)


def centre(frames):
    dark = ink(frames)
    rows, columns = np.mgrid[: dark.shape[1], : dark.shape[2]]
    total = dark.sum(axis=(1, 2))
    return (dark * columns).sum(axis=(1, 2)) / total, (dark * rows).sum(axis=(1, 2)) / total


@pytest.mark.parametrize("motion", range(10))
def test_the_reverse_of_a_motion_has_the_same_frames_backwards(motion):
    assert np.array_equal(clip(motion), clip(reverse_of(motion))[::-1])
    assert reverse_of(reverse_of(motion)) == motion


@pytest.mark.parametrize("seed", range(5))
def test_what_is_called_right_down_growing_and_appearing_goes_there(seed):
    assert (np.diff(centre(clip("moving right", seed))[0]) > 0).all()
    assert (np.diff(centre(clip("moving down", seed))[1]) > 0).all()
    for motion in ("growing", "appearing"):
        assert (np.diff(ink(clip(motion, seed)).sum(axis=(1, 2))) > 0).all()


def test_clockwise_turns_what_is_above_to_the_right():
    for seed in range(4):
        frames = ink(moving(THING, "turning clockwise", np.random.default_rng(seed), frames=30, side=40))
        rows, columns = np.mgrid[:40, :40]
        total = frames.sum(axis=(1, 2))
        x, y = ((frames * axis).sum(axis=(1, 2)) / total for axis in (columns, rows))
        angle = np.unwrap(np.arctan2(y - np.mean([y.max(), y.min()]), x - np.mean([x.max(), x.min()])))
        assert angle[-1] - angle[0] > 0.5, "from above to the right: the angle grows where y points down"


def test_starts_and_speeds_are_drawn_anew():
    starts = {round(float(centre(clip("moving right", seed))[0][0]), 1) for seed in range(8)}
    speeds = {round(float(np.ptp(centre(clip("moving right", seed))[0])), 1) for seed in range(8)}
    assert len(starts) > 5
    assert len(speeds) > 5


def test_a_set_of_clips_is_of_things_in_motions():
    things, motions = np.array([0, 1, 0]), np.array([0, 1, 9])
    made = clips_of([THING, THING], things, motions, 5, frames=4, side=16)
    assert made.shape == (3, 4, 3, 16, 16)
    assert made.dtype == np.uint8
    assert np.array_equal(
        made, clips_of([THING, THING], np.array([0, 1, 0]), np.array([0, 1, 9]), 5, frames=4, side=16)
    )


def test_what_is_no_motion_is_named():
    with pytest.raises(ValueError, match="dancing"):
        clip("dancing")
    assert len(MOTIONS) == 10

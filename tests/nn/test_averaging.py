"""Dense, overfit-aware averaging against a naive reading of its algorithm."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from unseen.nn.averaging import DenseAverage
from unseen.nn.state import load_state, save_state


def naive(losses: list[float], n_converge: int, n_tolerance: int, ratio: float) -> tuple[int, int]:
    """First and last segment that are averaged, by algorithm 1; at the end at most n_tolerance - 1 are out."""
    first, last, limit = None, len(losses) - 1, math.nan
    for i in range(len(losses)):
        if first is None:
            window = losses[i - n_converge + 1 : i + 1]
            if i >= n_converge - 1 and window[0] == min(window):
                first, limit = i - n_converge + 1, (1 + ratio) * float(np.mean(window))
        elif min(losses[max(i - n_tolerance + 1, 0) : i + 1]) > limit:
            return first, i - n_tolerance
    if first is None:
        return last, last
    while last > first and losses[last] > limit and len(losses) - last < n_tolerance:
        last -= 1
    return first, last


def averaged(losses: list[float], steps: int = 2, **settings: float) -> tuple[DenseAverage, nn.Module, list[float]]:
    """An average over segments in which the one weight counts the steps, and the weights at all steps."""
    network = nn.Linear(1, 1, bias=False)
    average, weights = DenseAverage(network, **settings), []  # type: ignore[arg-type]
    for loss in losses:
        for _ in range(steps):
            weights.append(float(len(weights)))
            network.weight.data.fill_(weights[-1])
            average.add(network)
        average.close(loss)
    return average, network, weights


@given(st.lists(st.integers(1, 6).map(float), min_size=1, max_size=14), st.integers(1, 4), st.integers(1, 4))
def test_the_average_is_that_of_the_algorithm(losses: list[float], n_converge: int, n_tolerance: int) -> None:
    average, _, weights = averaged(losses, n_converge=n_converge, n_tolerance=n_tolerance, tolerance_ratio=0.3)
    first, last = naive(losses, n_converge, n_tolerance, 0.3)
    chosen = weights[2 * first : 2 * last + 2]
    assert average.steps == len(chosen)
    assert float(average.average()) == pytest.approx(np.mean(chosen), rel=1e-5)


def test_a_valley_begins_at_the_lowest_loss_and_ends_where_the_limit_is_passed_for_good() -> None:
    losses = [9.0, 5, 1, 1.2, 1.1, 1, 9, 1, 9, 9, 9, 9]
    average, network, weights = averaged(losses, n_converge=3, n_tolerance=2)
    assert average.limit == pytest.approx(1.3 * 1.1)
    assert average.ended
    assert average.steps == 12  # segments 2 to 7
    average.copy_to(network)
    assert network.weight.item() == pytest.approx(np.mean(weights[4:16]))


def test_the_first_segments_of_a_valley_count_even_if_the_last_of_them_is_above_the_limit() -> None:
    """As in the authors' code: the first n_converge - n_tolerance + 1 segments are in once the valley begins."""
    average, _, weights = averaged([1.0, 2.0], n_converge=2, n_tolerance=1)
    assert average.limit < 2
    assert float(average.average()) == pytest.approx(np.mean(weights))


def test_a_training_that_never_settles_has_its_last_segment() -> None:
    average, _, weights = averaged([5.0, 4, 3, 2, 1])
    assert not average.converged
    assert float(average.average()) == np.mean(weights[-2:])


def test_frozen_weights_are_left_out_and_a_checkpoint_carries_the_rest(tmp_path) -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    network[0].requires_grad_(False)
    average = DenseAverage(network)
    assert average.segment.shape == (3,)
    average.add(network)
    average.close(1.0)
    save_state(tmp_path / "a", dict(average.state_dict()))
    other = DenseAverage(network)
    other.load_state_dict(load_state(tmp_path / "a"))
    assert torch.equal(other.average(), average.average())


def test_bad_settings_and_losses_are_named() -> None:
    with pytest.raises(ValueError, match="n_converge"):
        DenseAverage(nn.Linear(1, 1), n_converge=0)
    with pytest.raises(ValueError, match="tolerance_ratio"):
        DenseAverage(nn.Linear(1, 1), tolerance_ratio=-0.1)
    average = DenseAverage(nn.Linear(1, 1))
    with pytest.raises(ValueError, match="at least one step"):
        average.close(1.0)
    with pytest.raises(ValueError, match="nothing to average"):
        average.average()
    average.add(nn.Linear(1, 1))
    with pytest.raises(ValueError, match="loss must be a number"):
        average.close(math.nan)

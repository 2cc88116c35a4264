"""Where the shape of a network's inputs comes from, and the noise that can stand for them."""

from __future__ import annotations

import pytest
import timm
from torch import nn

from unseen.nn.network_io import input_shape, is_detector, noise, output_of


@pytest.mark.parametrize(("init", "std"), [("gaussian", 1.0), ("uniform", 1.0), ("reference", 0.01357)])
def test_noise_has_mean_zero_and_the_deviation_it_says(init, std):
    x = noise(64, (3, 16, 16), init)
    assert float(x.std()) == pytest.approx(std, rel=0.02)
    assert abs(float(x.mean())) < 0.02 * std
    if init == "reference":
        assert float(x.abs().max()) <= 0.0236


def test_the_input_shape_comes_from_timm_or_has_to_be_given():
    assert input_shape(timm.create_model("resnet10t", pretrained=False)) == (3, 176, 176)
    assert input_shape(nn.Linear(2, 2), [1, 8, 8]) == (1, 8, 8)
    with pytest.raises(ValueError, match="shape"):
        input_shape(nn.Linear(2, 2))


def test_a_classifier_is_read_as_it_is():
    network = nn.Conv2d(1, 2, 3)
    x = noise(2, (1, 8, 8))
    assert not is_detector(network)
    assert output_of(network)(network, x).shape == (2, 2, 6, 6)

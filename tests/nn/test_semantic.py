"""Ridge regression to class vectors and what is done with its output."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from unseen.nn.semantic import cosines, hub_norms, ridge, self_trained, without_hubs


@pytest.mark.parametrize(("n", "d"), [(30, 5), (6, 20)])
def test_ridge_is_that_of_scikit_learn_in_features_and_in_samples(n, d):
    x, z = torch.randn(n, d), torch.randn(n, 3)
    peer = Ridge(alpha=0.1 * n, fit_intercept=False).fit(x.double().numpy(), z.double().numpy())
    np.testing.assert_allclose(ridge(x, z, 0.1).numpy(), peer.coef_.T, atol=1e-8)


def test_whole_weights_of_mean_one_repeat_samples():
    x, z = torch.randn(4, 3), torch.randn(4, 2)
    count = torch.tensor([2, 0, 1, 1])
    repeated = ridge(x.repeat_interleave(count, 0), z.repeat_interleave(count, 0), 0.3)
    torch.testing.assert_close(ridge(x, z, 0.3, count.float()), repeated)


def test_a_prototype_moves_to_the_mean_of_its_nearest_samples():
    z = torch.tensor([[1.0, 0.1], [1.0, -0.1], [-1.0, 0.0]])
    moved = self_trained(torch.tensor([[1.0, 1.0]]), z, k=2)
    torch.testing.assert_close(moved, torch.tensor([[1.0, 0.0]]))


def test_a_class_that_is_near_to_everything_loses_what_it_wins_only_as_a_hub():
    scores = cosines(torch.tensor([[1.0, 0.2], [0.2, 1.0]]), torch.tensor([[1.0, 1.0], [0.2, 1.0]]))
    assert scores.argmax(dim=1).tolist() == [0, 1]
    hub = torch.tensor([[0.9, 0.2], [0.9, 0.8]])
    assert hub.argmax(dim=1).tolist() == [0, 0]
    assert without_hubs(hub).argmax(dim=1).tolist() == [0, 1]


def test_a_class_that_is_orthogonal_to_everything_keeps_its_zeros():
    scores = torch.tensor([[0.6, 0.0], [0.8, 0.0]])
    assert hub_norms(scores).tolist() == pytest.approx([1.0, 1e-6])
    assert without_hubs(scores).tolist() == [pytest.approx([0.6, 0.0]), pytest.approx([0.8, 0.0])]

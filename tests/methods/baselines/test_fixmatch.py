"""FixMatch: which samples count, what views are, and that unlabeled samples help."""

import numpy as np
import torch
import torch.nn.functional as F

from unseen.data.augment import blurred_features
from unseen.data.domain import Domain
from unseen.methods.baselines.fixmatch import FixMatch, consistency
from unseen.nn.state import digest


def moons(n, seed, noise=0.15):
    """Two arcs in the first two of eight features."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    t = rng.uniform(0, np.pi, n)
    arcs = np.stack([np.cos(t) + y, np.sin(t) * (1 - 2 * y) + 0.5 * y], axis=1)
    x = np.hstack([arcs + noise * rng.normal(size=(n, 2)), 0.1 * rng.normal(size=(n, 6))])
    return Domain(x=x.astype(np.float32), y=y)


def test_only_sure_samples_count_and_the_mean_is_over_all():
    weak = torch.tensor([[9.0, 0.0], [0.1, 0.0], [0.0, 9.0]])
    strong = torch.tensor([[0.3, 0.1], [5.0, 0.0], [0.2, 0.7]], requires_grad=True)
    loss, share = consistency(weak, strong, 0.95)
    expected = (F.cross_entropy(strong[[0, 2]], torch.tensor([0, 1]), reduction="sum") / 3).detach()
    torch.testing.assert_close(loss.detach(), expected)
    assert float(share) == 2 / 3 or abs(float(share) - 2 / 3) < 1e-6
    loss.backward()
    assert float(strong.grad[1].abs().sum()) == 0


def test_nothing_goes_backward_through_the_weak_view():
    weak = torch.tensor([[9.0, 0.0]], requires_grad=True)
    strong = torch.tensor([[0.3, 0.1]], requires_grad=True)
    consistency(weak, strong, 0.5)[0].backward()
    assert weak.grad is None


def test_views_of_features_are_noise_and_features_at_their_mean():
    x, generator = torch.randn(2000, 3), torch.Generator().manual_seed(0)
    std, mean = torch.tensor([1.0, 2.0, 0.0]), torch.tensor([5.0, 6.0, 7.0])
    same = blurred_features(std, 0.0, 0.0, mean)(x, generator)
    torch.testing.assert_close(same, x)
    moved = blurred_features(std, 0.5, 0.0, mean)(x, generator) - x
    torch.testing.assert_close(moved.std(dim=0), 0.5 * std, atol=0.03, rtol=0)
    dropped = blurred_features(std, 0.0, 0.4, mean)(x, generator) == mean
    assert abs(float(dropped.float().mean()) - 0.4) < 0.03


def test_weight_0_is_supervised_training_whatever_the_unlabeled_labels_would_be():
    support = moons(8, 0)
    a, b = (FixMatch(steps=5, batch_size=4, ratio=2, width=8, weight=w, threshold=0.0) for w in (0.0, 1.0))
    first, second = (m.fit(support=support, target=moons(60, 1)) for m in (a, b))
    assert digest(first.network_.state_dict()) != digest(second.network_.state_dict())


def test_pictures_are_cropped_flipped_and_recoloured():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(16, 3, 8, 8)).astype(np.float32), np.arange(16) % 2
    domain = Domain(x=x, y=y, kind="image")
    method = FixMatch(steps=3, batch_size=4, ratio=2, width=8).fit(support=domain, target=domain)
    assert method.decision_function(torch.as_tensor(x)).shape == (16, 2)
    assert set(method.history_) == {"loss", "counted"}

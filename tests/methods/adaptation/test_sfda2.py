"""SF(DA)^2: worked values and identities of its losses, and what the adaptation does."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from unseen.data.domain import Domain
from unseen.methods.adaptation.sfda2 import (
    SFDA2,
    ClassStatistics,
    disentanglement,
    implicit_augmentation,
    overlap,
)
from unseen.nn.attraction import attraction, repulsion
from unseen.nn.classifier import Classifier, feature_classifier
from unseen.nn.neighbours import MemoryBank


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def covariances(n=3, d=4, seed=0):
    a = torch.randn(n, d, d, generator=generator(seed))
    return a @ a.transpose(1, 2)


# -- statistics -----------------------------------------------------------------------------------------------


def test_the_worked_values_of_the_statistics():
    statistics = ClassStatistics(3, 2)
    f = torch.tensor([[1.0, 0], [3, 0], [0, 2], [0, 4], [1, 1]])
    statistics.update(f, torch.tensor([0, 0, 1, 1, 2]))
    sigma = statistics.update(torch.tensor([[2.0, 2], [4, 2], [1, 3]]), torch.tensor([0, 0, 1]))
    torch.testing.assert_close(sigma[0], torch.tensor([[1.25, 0.5], [0.5, 1.0]]))
    torch.testing.assert_close(sigma[1], torch.diag(torch.tensor([2 / 9, 2 / 3])))
    torch.testing.assert_close(sigma[2], torch.zeros(2, 2))
    torch.testing.assert_close(statistics.mean[0], torch.tensor([2.5, 1.0]))
    assert statistics.count.tolist() == [4, 3, 1]


@given(st.integers(0, 50), st.integers(1, 5))
def test_after_several_batches_they_are_those_of_all_samples(seed, parts):
    f = torch.randn(40, 3, generator=generator(seed))
    y = torch.randint(0, 4, (40,), generator=generator(seed + 1))
    statistics = ClassStatistics(4, 3)
    for rows in torch.arange(40).chunk(parts):
        sigma = statistics.update(f[rows], y[rows])
    for c in torch.unique(y).tolist():
        own = f[y == c]
        expected = (own - own.mean(dim=0)).T @ (own - own.mean(dim=0)) / len(own)
        torch.testing.assert_close(sigma[c], expected, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(statistics.mean[c], own.mean(dim=0), atol=1e-5, rtol=1e-4)


def test_only_the_batch_at_hand_has_a_gradient():
    statistics = ClassStatistics(2, 3)
    first = torch.randn(6, 3, generator=generator(), requires_grad=True)
    y = torch.tensor([0, 0, 0, 1, 1, 1])
    statistics.update(first, y)
    second = torch.randn(4, 3, generator=generator(1), requires_grad=True)
    statistics.update(second, torch.tensor([0, 0, 0, 0])).square().sum().backward()
    assert first.grad is None
    assert float(second.grad.abs().sum()) > 0


# -- spectral neighbourhood clustering ------------------------------------------------------------------------


def test_the_gradient_of_the_attraction_is_minus_the_sum_of_the_neighbours():
    p = torch.softmax(torch.randn(5, 3, generator=generator()), dim=1).requires_grad_()
    near = torch.softmax(torch.randn(5, 4, 3, generator=generator(1)), dim=2)
    attraction(p, near.mean(dim=1), 4).backward()
    torch.testing.assert_close(p.grad, -near.sum(dim=1) / 5)


def test_dispersion_of_equal_and_of_disjoint_predictions():
    equal, apart = torch.tensor([[1.0, 0], [1, 0]]), torch.eye(2)
    for squared in (False, True):
        assert float(repulsion(equal, squared=squared)) == 1
        assert float(repulsion(apart, squared=squared)) == 0
    half = torch.tensor([[0.5, 0.5], [1.0, 0]])
    assert float(repulsion(half)) == pytest.approx(0.5)
    assert float(repulsion(half, squared=True)) == pytest.approx(0.25)


def test_without_the_square_and_the_regularizers_it_is_aad():
    from unseen.methods.baselines.aad import AaD

    target, model = domain(60).unlabeled(), classifier()
    settings = dict(epochs=2, batch_size=60, learning_rate=0.01, random_state=3)
    mine = SFDA2(squared=False, augmentation_weight=0.0, disentanglement_weight=0.0, **settings)
    mine.fit(model=model, target=target)
    other = AaD(**settings).fit(model=model, target=target)
    difference = (mine.decision_function(target) - other.decision_function(target)).abs().max()
    assert float(difference) < 1e-3


def test_a_sample_is_not_its_own_neighbour_once_it_is_written():
    bank = MemoryBank(4, 2, 2)
    z, p = torch.eye(2).repeat(2, 1) + 0.1 * torch.arange(8).reshape(4, 2), torch.eye(2).repeat(2, 1)
    bank.write(slice(None), z, p)
    new = torch.tensor([[5.0, 0.2]])
    bank.write(torch.tensor([1]), new, torch.tensor([[0.3, 0.7]]))
    assert not torch.allclose(bank.consensus(new, 1), torch.tensor([[0.3, 0.7]]))


# -- implicit feature augmentation ----------------------------------------------------------------------------


def augmented(strength, seed=0, n=6, c=3, a=4):
    weight = torch.randn(c, a, generator=generator(seed))
    f = torch.randn(n, a, generator=generator(seed + 1))
    logits = f @ weight.T
    y = logits.argmax(dim=1)
    return weight, f, logits, y, covariances(c, a, seed + 2), strength


@pytest.mark.parametrize("nothing", ["strength", "covariance"])
def test_without_augmentation_it_is_the_sum_of_all_log_probabilities(nothing):
    weight, _, logits, y, sigma, _ = augmented(0.0)
    if nothing == "covariance":
        found = implicit_augmentation(weight, logits, y, torch.zeros_like(sigma), 3.0)
    else:
        found = implicit_augmentation(weight, logits, y, sigma, 0.0)
    torch.testing.assert_close(found, -2 * F.log_softmax(logits, dim=1).sum(dim=1).mean())


def test_it_is_least_for_uniform_predictions():
    weight, _, logits, y, sigma, _ = augmented(0.0)
    uniform = implicit_augmentation(weight, torch.zeros_like(logits), y, sigma, 0.0)
    assert float(uniform) == pytest.approx(2 * 3 * math.log(3))
    assert float(implicit_augmentation(weight, logits, y, sigma, 0.0)) > float(uniform)


def test_it_is_the_formula_sample_by_sample():
    weight, _, logits, y, sigma, strength = augmented(0.7)
    expected = 0.0
    for i in range(len(logits)):
        for c in range(3):
            off = weight - weight[c]
            raised = logits[i] + 0.5 * strength * torch.einsum("ka,ab,kb->k", off, sigma[y[i]], off)
            expected += 2 * float(torch.logsumexp(raised, dim=0) - logits[i, c]) / len(logits)
    assert float(implicit_augmentation(weight, logits, y, sigma, strength)) == pytest.approx(expected, rel=1e-5)


@given(st.integers(0, 30))
def test_it_grows_with_the_strength(seed):
    weight, _, logits, y, sigma, _ = augmented(0.0, seed)
    values = [float(implicit_augmentation(weight, logits, y, sigma, s)) for s in (0.0, 0.1, 1.0, 5.0)]
    assert all(b >= a - 1e-4 for a, b in zip(values, values[1:]))


def test_it_bounds_the_mean_loss_of_drawn_samples_and_the_gap_shrinks():
    weight, f, logits, y, sigma, _ = augmented(0.0, n=2)
    root = torch.linalg.cholesky(sigma + 1e-6 * torch.eye(4))
    noise = torch.einsum("nia,iba->nib", torch.randn(100_000, 2, 4, generator=generator(9)), root[y])
    gaps = []
    for strength in (0.1, 0.001):
        samples = f + math.sqrt(strength) * noise
        drawn = -2 * F.log_softmax(samples @ weight.T, dim=2).sum(dim=2).mean()
        gaps.append(float(implicit_augmentation(weight, logits, y, sigma, strength) - drawn))
    assert gaps[0] > 0
    assert -0.05 < gaps[1] < 0.1 * gaps[0]


def test_rescaled_directions_of_a_weight_normalised_head_change_nothing():
    head = nn.utils.parametrizations.weight_norm(nn.Linear(4, 3))
    _, f, _, y, sigma, _ = augmented(1.0)
    before = implicit_augmentation(head.weight, head(f), y, sigma, 1.0)
    with torch.no_grad():
        head.parametrizations.weight.original1.mul_(7.0)
    torch.testing.assert_close(implicit_augmentation(head.weight, head(f), y, sigma, 1.0), before)


# -- feature disentanglement ----------------------------------------------------------------------------------


def test_directions_that_share_nothing_are_apart_by_1_and_equal_ones_by_0():
    ones = torch.ones(2, 2) - torch.eye(2)
    apart = torch.stack([torch.diag(torch.tensor([1.0, 0])), torch.diag(torch.tensor([0.0, 1]))])
    assert float(disentanglement(apart, ones)) == pytest.approx(-1)
    equal = torch.stack([apart[0], 5 * apart[0]])  # their scale does not matter
    assert float(disentanglement(equal, ones)) == pytest.approx(0, abs=1e-6)


def test_classes_without_samples_have_no_say_and_a_finite_gradient():
    sigma = covariances().requires_grad_()
    with torch.no_grad():
        sigma[2] = 0
    value = disentanglement(sigma, torch.ones(3, 3) - torch.eye(3))
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(sigma.grad).all()


def test_overlap_by_hand():
    scores = torch.tensor([[0.8, 0.2, 0], [0.6, 0.4, 0], [0.1, 0.9, 0]])
    found = overlap(scores)
    first, second = torch.tensor([0.7, 0.3, 0]), torch.tensor([0.1, 0.9, 0])
    assert float(found[0, 1]) == pytest.approx(float(first @ second))
    assert torch.equal(torch.diagonal(found), torch.zeros(3))
    assert torch.equal(found[2], torch.zeros(3))  # nothing is predicted to be of the last class


# -- the adaptation -------------------------------------------------------------------------------------------


def domain(n=120, shift=0.0, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    centres = np.random.default_rng(7).normal(size=(3, 6)) * 3
    x = centres[y] + rng.normal(size=(n, 6)) + shift * np.random.default_rng(8).normal(size=6)
    return Domain(x=x.astype(np.float32), y=y)


def classifier(bottleneck=8):
    from unseen.nn.classifier import train_source
    from unseen.runtime import reproducible

    with reproducible(0):
        return train_source(feature_classifier(6, 3, bottleneck), domain(), epochs=30)


def test_it_wins_back_what_a_shift_took():
    model, target = classifier(), domain(shift=1.7, seed=1)
    before = float((model(torch.as_tensor(target.x)).argmax(dim=1).numpy() == target.y).mean())
    method = SFDA2(epochs=10, learning_rate=0.01).fit(model=model, target=target.unlabeled())
    after = float((method.predict(target) == target.y).mean())
    assert after > before + 0.1
    assert set(method.history_) == {"loss", "attraction", "dispersion", "augmentation", "disentanglement"}


def test_all_parts_train_the_head_too():
    model = classifier()
    method = SFDA2(epochs=1).fit(model=model, target=domain(shift=1.0, seed=1).unlabeled())
    assert not torch.equal(method.network_.head.weight, model.head.weight)


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match="at least 2 samples"):
        SFDA2().fit(model=classifier(), target=domain(1).unlabeled())
    odd = Classifier(nn.Identity(), nn.Identity(), nn.Sequential(nn.Linear(6, 3)))
    with pytest.raises(ValueError, match="one linear layer; it ends in Sequential"):
        SFDA2().fit(model=odd, target=domain().unlabeled())
    wide = Classifier(nn.Linear(6, 15_000), nn.Identity(), nn.Linear(15_000, 3))
    with pytest.raises(ValueError, match="put a linear bottleneck before the head"):
        SFDA2().fit(model=wide, target=domain().unlabeled())


def independent(model, x, *, steps, k, alpha, beta, lam, weights, lr=0.01, total=2):
    """A second implementation of some full-batch steps, in the form of the official code: logits at the end."""
    import copy

    net = copy.deepcopy(model).train()
    groups = [{"params": list(net.backbone.parameters()), "lr": 0.1 * lr}, {"params": list(net.head.parameters())}]
    optimizer = torch.optim.SGD(groups, lr=lr, momentum=0.9, weight_decay=1e-3, nesterov=True)
    c, n = net.head.weight.shape[0], len(x)
    with torch.no_grad():
        seen, said = [net.embed(x)], [net(x).argmax(dim=1)]
    for step in range(steps):
        for group, rate in zip(optimizer.param_groups, (0.1 * lr, lr)):
            group["lr"] = rate * (1 + 10 * step / total) ** -0.75
        f = net.embed(x)
        logits = net.head(f)
        p = torch.softmax(logits, dim=1)
        bank, scores = F.normalize(f.detach(), dim=1), p.detach()
        near = (bank @ bank.T).topk(k + 1, dim=1).indices[:, 1:]
        loss = F.kl_div(p[:, None].expand(-1, k, -1), scores[near], reduction="none").sum(-1).sum(1).mean()
        loss = loss - (scores[near] * scores[near].log()).sum(-1).sum(1).mean()  # its constant
        others = 1 - torch.eye(n)
        loss = loss + alpha * (1 + 10 * step / total) ** -beta * ((p @ p.T) ** 2 * others).sum(1).mean()
        y = p.argmax(dim=1)
        everything, labels = torch.cat([*[s.detach() for s in seen], f]), torch.cat([*said, y])
        sigma = []
        for label in range(c):
            own = everything[labels == label]
            off = own - own.mean(dim=0) if len(own) else own
            sigma.append(off.T @ off / max(len(own), 1))
        sigma = torch.stack(sigma)
        seen.append(f)
        said.append(y)
        w, strength = net.head.weight, lam * (step + 1) / total
        augmented = 0.0
        for i in range(n):
            for label in range(c):
                off = w - w[label]
                raised = logits[i] + 0.5 * strength * ((off @ sigma[y[i]]) * off).sum(dim=1)
                augmented = augmented + 2 * F.cross_entropy(raised[None], torch.tensor([label])) / n
        mean = torch.stack(
            [scores[y == label].mean(dim=0) if (y == label).any() else torch.zeros(c) for label in range(c)]
        )
        overlaps = (mean @ mean.T) * (1 - torch.eye(c))
        rows = sigma.flatten(1)
        apart = 1 - (rows @ rows.T) / (rows.norm(dim=1)[:, None] * rows.norm(dim=1)[None] + 1e-12)
        loss = loss + weights[0] * augmented - weights[1] * (overlaps * apart).sum() / 2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return net.eval()(x).detach()


@pytest.mark.parametrize("weights", [(0.0, 0.0), (0.05, 0.0), (0.0, 0.5), (0.05, 0.5)])
def test_the_adaptation_is_that_of_a_second_implementation(weights):
    """Online statistics over full batches are those of all samples so far, of which only the last have a gradient."""
    torch.manual_seed(0)
    model = Classifier(nn.Sequential(nn.Linear(6, 5), nn.Tanh()), nn.Identity(), nn.Linear(5, 3)).eval()
    target = domain(30, seed=1).unlabeled()
    method = SFDA2(
        neighbours=3, decay=2.0, strength=4.0, epochs=2, batch_size=30, learning_rate=0.01,
        augmentation_weight=weights[0], disentanglement_weight=weights[1],
    ).fit(model=model, target=target)  # fmt: skip
    x = torch.as_tensor(target.x)
    found = independent(model, x, steps=2, k=3, alpha=1.0, beta=2.0, lam=4.0, weights=weights)
    torch.testing.assert_close(method.decision_function(target), found, atol=2e-4, rtol=1e-3)
    assert float((found - model(x)).abs().max()) > 1e-3


def test_statistics_start_from_all_samples_or_from_nothing():
    torch.manual_seed(0)
    model = Classifier(nn.Sequential(nn.Linear(6, 5), nn.Tanh()), nn.Identity(), nn.Linear(5, 3)).eval()
    target = domain(30, seed=1).unlabeled()
    settings = dict(epochs=1, batch_size=30, disentanglement_weight=1.0)
    bank, zero = (SFDA2(start=s, **settings).fit(model=model, target=target).history_ for s in ("bank", "zero"))
    # one full batch after a full bank: both hold the same covariance, and the gradient of the second is twice as large
    np.testing.assert_allclose(bank["disentanglement"], zero["disentanglement"], rtol=1e-4)


def test_cached_features_are_standardized_by_the_target():
    model, target = classifier(), domain(shift=3.0, seed=1).unlabeled()
    own = SFDA2(epochs=1, learning_rate=1e-9).fit(model=model, target=target)
    torch.testing.assert_close(own.network_.backbone.mean, torch.as_tensor(target.x).mean(dim=0), atol=1e-4, rtol=1e-4)
    source = SFDA2(epochs=1, learning_rate=1e-9, normalization="source").fit(model=model, target=target)
    assert torch.equal(source.network_.backbone.mean, model.backbone.mean)


def test_clustering_alone_needs_no_covariances():
    wide = Classifier(nn.Linear(6, 15_000), nn.Identity(), nn.Linear(15_000, 3))
    SFDA2(augmentation_weight=0.0, disentanglement_weight=0.0, epochs=1).fit(model=wide, target=domain(20).unlabeled())

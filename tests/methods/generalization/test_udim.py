"""UDIM: the analytic checks of the paper's terms."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from unseen.data.domain import Domain
from unseen.methods.generalization.udim import (
    UDIM,
    Factors,
    craft_inputs,
    craft_styles,
    head_gradients,
    inconsistency,
    worst_case,
)
from unseen.nn.classifier import Classifier, feature_classifier
from unseen.nn.sharpness import SAM

G = torch.Generator().manual_seed(0)
X, Y = torch.randn(24, 6, generator=G), torch.arange(24) % 3


def network(seed=0, hidden=5):
    torch.manual_seed(seed)
    return Classifier(nn.Sequential(nn.Linear(6, hidden), nn.Tanh()), nn.Identity(), nn.Linear(hidden, 3))


def pictures(seed=0):
    torch.manual_seed(seed)
    backbone = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Tanh(), nn.Flatten())
    return Classifier(backbone, nn.Identity(), nn.Linear(4 * 36, 3))


def source(n=60, domains=1, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    x = (np.eye(6)[y] * 3 + rng.normal(size=(n, 6))).astype(np.float32)
    columns = {} if domains == 1 else {"domain": np.array([f"d{i % domains}" for i in range(n)])}
    return Domain(x=x, y=y, columns=columns)


def whole(gradients):
    """Gradients of every sample, (b, c, d), from their factors."""
    return [e[:, :, None] * z[:, None, :] for e, z in gradients]


def weights(module):
    return nn.utils.parameters_to_vector(module.parameters()).detach()


def test_the_worked_values_of_the_inconsistency():
    head = nn.Linear(2, 2)
    head.weight.data = torch.tensor([[0.5, -0.5], [-0.25, 0.75]])
    head.bias.data = torch.tensor([0.1, -0.1])
    net = Classifier(nn.Identity(), nn.Identity(), head)
    z, crafted = torch.tensor([[1.0, 0], [0, 1], [1, 1]]), torch.tensor([[1, 0.5], [0.5, 1], [1.5, 1]])
    y = torch.tensor([0, 1, 0])
    here, there = head_gradients(net, z, y), head_gradients(net, crafted, y)
    found, other = whole(here), whole(there)
    means = [g.mean(dim=0) for g in found]
    found = [(g - m).square().mean(dim=0).flatten() for g, m in zip(found, means)]
    torch.testing.assert_close(found[1], torch.tensor([0.119102] * 2), atol=1e-6, rtol=0)
    torch.testing.assert_close(found[0], torch.tensor([0.055013, 0.121354] * 2), atol=1e-6, rtol=0)
    other = [(g - m).square().mean(dim=0).flatten() for g, m in zip(other, means)]
    torch.testing.assert_close(other[1], torch.tensor([0.138637] * 2), atol=1e-6, rtol=0)
    torch.testing.assert_close(other[0], torch.tensor([0.138305, 0.116077] * 2), atol=1e-6, rtol=0)
    p, n = inconsistency(here, there)
    assert float(p) == pytest.approx(0.00061226, abs=1e-8)
    assert float(n) == pytest.approx(0.35961688, abs=1e-7)
    assert float(p + n) == pytest.approx(0.36022913, abs=1e-7)


@pytest.mark.parametrize("bias", [True, False])
def test_head_gradients_in_closed_form_are_those_of_autograd(bias):
    net = network()
    net.head = nn.Linear(5, 3, bias=bias)
    found = whole(head_gradients(net, X, Y))
    z = net.embed(X)

    def loss(parameters, z, y):
        return F.cross_entropy(torch.func.functional_call(net.head, parameters, (z[None],)), y[None])

    expected = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))(dict(net.head.named_parameters()), z, Y)
    assert len(found) == 1 + bias
    for mine, name in zip(found, ("weight", "bias")):
        torch.testing.assert_close(mine.reshape(expected[name].shape), expected[name], atol=1e-6, rtol=0)


def test_without_crafting_p_is_0_and_n_the_gradients_of_the_source():
    here = head_gradients(network(), X, Y)
    p, n = inconsistency(here, here)
    assert float(p) == 0
    assert float(n) == pytest.approx(sum(float(g.square().mean()) for g in whole(here)))


@given(st.floats(0.1, 5.0))
def test_scaled_gradients_scale_p_by_the_fourth_power_and_n_by_the_second(c):
    net = network().double()
    here, there = head_gradients(net, X.double(), Y), head_gradients(net, X.double() + 1, Y)
    p, n = inconsistency(here, there)
    scaled = inconsistency(*([Factors(c * e, z) for e, z in part] for part in (here, there)))
    assert float(scaled[0]) == pytest.approx(c**4 * float(p), rel=1e-3)
    assert float(scaled[1]) == pytest.approx(c**2 * float(n), rel=1e-3)


def test_around_its_own_mean_a_pure_shift_is_invisible():
    e, ones = torch.randn(8, 3, generator=G), torch.ones(8, 1)
    here, there = [Factors(e, ones)], [Factors(e + 2, ones)]
    assert float(inconsistency(here, there, centre="own")[0]) == pytest.approx(0, abs=1e-9)
    assert float(inconsistency(here, there)[0]) > 1


def test_the_worst_case_adds_rho_times_the_length_of_the_gradient():
    net = network()
    loss = F.cross_entropy(net(X), Y)
    length = torch.stack([g.norm() for g in torch.autograd.grad(loss, net.parameters())]).norm()
    found = worst_case(net, X, Y, 0.3)
    assert float(found) == pytest.approx(float(F.cross_entropy(net(X), Y) + 0.3 * length), rel=1e-5)


def test_a_crafted_sample_is_rho_x_away_and_worse():
    net = network()
    crafted = craft_inputs(net, X, Y, rho=0.05, radius=0.01)
    torch.testing.assert_close((crafted - X).norm(dim=1), torch.full((24,), 0.01), atol=1e-5, rtol=0)
    one = [worst_case(net, x[None], y[None], 0.05) for x, y in zip(X, Y)]
    other = [worst_case(net, x[None], y[None], 0.05) for x, y in zip(crafted, Y)]
    assert np.mean([float(b) > float(a) for a, b in zip(one, other)]) >= 0.95
    assert torch.equal(craft_inputs(net, X, Y, rho=0.05, radius=0.0), X)


def test_normalised_over_the_batch_each_entry_has_the_length():
    crafted = craft_inputs(network(), X, Y, rho=0.05, radius=2.0, normalise="batch")
    torch.testing.assert_close((crafted - X).norm(dim=0), torch.full((6,), 2.0), atol=1e-4, rtol=0)


def test_a_sample_without_a_gradient_stays_where_it_is():
    net = network()
    with torch.no_grad():
        net.backbone[0].weight.zero_()
    crafted = craft_inputs(net, X, Y, rho=0.0, radius=1.0)
    assert torch.equal(crafted, X)


def test_styles_change_mean_and_deviation_of_channels_only():
    net, x, y = pictures(), torch.randn(5, 3, 6, 6, generator=G), torch.tensor([0, 1, 2, 0, 1])
    torch.testing.assert_close(craft_styles(net, x, y, rho=0.05, rate=0.0), x, atol=1e-5, rtol=1e-5)
    crafted = craft_styles(net, x, y, rho=0.05, rate=0.5)
    slope = ((crafted - crafted.mean(dim=(2, 3), keepdim=True)) / (x - x.mean(dim=(2, 3), keepdim=True))).flatten(2)
    torch.testing.assert_close(slope, slope[..., :1].expand_as(slope), atol=1e-3, rtol=1e-3)
    assert float((crafted - x).abs().max()) > 1e-4


def test_the_deviation_of_a_style_is_unbiased_as_computed_by_hand():
    """Logits are 0, so p = 1/2 and dL/dx = -w; of x - 2 = (-2, -1, 0, 3) the variance is 14/3 over three."""
    net = Classifier(nn.Flatten(), nn.Identity(), nn.Linear(4, 2, bias=False)).double()
    w = torch.tensor([1.0, 3.0, -4.0, 1.0]).double()
    with torch.no_grad():
        net.head.weight.copy_(torch.stack([w, -w]))
    x = torch.tensor([0.0, 1.0, 2.0, 5.0]).double().reshape(1, 1, 2, 2)
    crafted = craft_styles(net, x, torch.tensor([0]), rho=0.0, rate=0.5)
    to_mu, variance = -1.0, 14 / 3 + 1e-5  # sum of -w; sigma squared
    per_sigma = 2.0 + 3.0 - 3.0  # sum of -w (x - 2), which over sigma is the slope for sigma
    expected = x + 0.5 * ((x - 2) * per_sigma / variance + to_mu)
    torch.testing.assert_close(crafted, expected, atol=1e-12, rtol=0)


def test_styles_of_a_single_pixel_are_finite():
    net = Classifier(nn.Flatten(), nn.Identity(), nn.Linear(3, 3))
    crafted = craft_styles(net, torch.randn(4, 3, 1, 1, generator=G), torch.tensor([0, 1, 2, 0]), rho=0.05, rate=0.5)
    assert torch.isfinite(crafted).all()


def test_crafting_and_terms_leave_weights_and_gradients_alone():
    net = network()
    before = copy.deepcopy(net.state_dict())
    craft_inputs(net, X, Y, rho=0.05, radius=1.0)
    assert all(p.grad is None for p in net.parameters())
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())


def test_with_weight_0_the_training_is_that_of_sam():
    model = network()
    settings = dict(epochs=4, learning_rate=0.01, batch_size=60, aside=0.0, weight_decay=0.0, warmup=0.0)
    fitted = UDIM(weight=0.0, **settings).fit(source=source(), model=model)
    net = copy.deepcopy(model)
    optimizer = SAM(net.parameters(), torch.optim.AdamW, lr=0.01, weight_decay=0.0, rho=0.05)
    x, y = torch.as_tensor(source().x), torch.as_tensor(source().y)

    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        return loss

    for _ in range(4):
        optimizer.step(closure)
    torch.testing.assert_close(weights(fitted.network_), weights(net), atol=1e-5, rtol=1e-4)
    other = UDIM(weight=50.0, **settings).fit(source=source(), model=model)
    assert not torch.allclose(weights(other.network_), weights(net), atol=1e-4)


def test_one_step_adds_the_gradient_of_the_inconsistency_at_theta():
    """A plain step of SGD would be theta - lr (g_SAM + lambda grad I(theta)); Adam's first step shows its signs."""
    net = network()
    x, y = torch.as_tensor(source().x), torch.as_tensor(source().y)
    optimizer = SAM(net.parameters(), torch.optim.SGD, lr=0.1, rho=0.05)
    start = weights(net)
    crafted = craft_inputs(net, x, y, rho=0.05, radius=1.0)
    value = sum(inconsistency(head_gradients(net, x, y), head_gradients(net, crafted, y)))
    extra = torch.autograd.grad(3.0 * value, list(net.parameters()))

    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        return loss

    alone = copy.deepcopy(net)
    optimizer.further = dict(zip(net.parameters(), extra))
    optimizer.step(closure)
    both = (start - weights(net)) / 0.1
    net, optimizer = alone, SAM(alone.parameters(), torch.optim.SGD, lr=0.1, rho=0.05)
    optimizer.step(closure)
    sam = (start - weights(net)) / 0.1
    torch.testing.assert_close(both - sam, torch.cat([g.flatten() for g in extra]), atol=1e-4, rtol=1e-3)
    assert not optimizer.further


def test_domains_are_compared_each_with_its_own():
    """Two domains with opposite shifts: together the variances agree more than one by one."""
    settings = dict(epochs=2, batch_size=60, aside=0.0, warmup=0.0)
    one = UDIM(domain_wise=False, **settings).fit(source=source(domains=2), model=network())
    two = UDIM(domain_wise=True, **settings).fit(source=source(domains=2), model=network())
    assert two.history_["variance"][0] != one.history_["variance"][0]
    assert two.history_["norm"][0] == pytest.approx(2 * one.history_["norm"][0], rel=0.2)


@pytest.mark.parametrize("around", ["sam", "asam", "fisher", "sagm", "erm"])
def test_every_optimizer_carries_it(around):
    method = UDIM(around=around, epochs=2).fit(source=source(), model=feature_classifier(6, 3, 8))
    assert np.isfinite(method.history_["loss"]).all()
    assert method.history_["crafted"][0] > method.history_["loss"][0] - 0.05


def test_batch_statistics_rest():
    model = feature_classifier(6, 3, 8)
    fitted = UDIM(epochs=2).fit(source=source(), model=model)
    assert torch.equal(fitted.network_.bottleneck[1].running_mean, model.bottleneck[1].running_mean)


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match="one linear layer"):
        UDIM().fit(source=source(), model=Classifier(nn.Identity(), nn.Identity(), nn.Sequential(nn.Linear(6, 3))))
    with pytest.raises(ValueError, match="needs pictures"):
        UDIM(perturb="style").fit(source=source(), model=network())
    with pytest.raises(ValueError, match="outputs for 3 classes"):
        UDIM().fit(source=source().replace(y=source().y + 1), model=network())


def independent(model, *, steps, rho, weight, radius, variance, norm, centre):
    """A second implementation, sample by sample: weights after some full-batch steps."""
    net = copy.deepcopy(model)
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.01, weight_decay=0.0)
    x, y = torch.as_tensor(source().x), torch.as_tensor(source().y)
    parameters = list(net.parameters())

    def per_sample(batch):
        rows = []
        for a, b in zip(batch, y):
            loss = F.cross_entropy(net(a[None]), b[None])
            rows.append(torch.autograd.grad(loss, list(net.head.parameters()), create_graph=True))
        return [torch.stack(part) for part in zip(*rows)]

    for _ in range(steps):
        start = x.clone().requires_grad_()
        loss = F.cross_entropy(net(start), y)
        g = torch.autograd.grad(loss, parameters, create_graph=True)
        worst = loss + rho * torch.sqrt(sum((part**2).sum() for part in g) + 1e-12)
        (up,) = torch.autograd.grad(worst, [start])
        crafted = (x + radius * up / up.norm(dim=1, keepdim=True)).detach()
        here, there = per_sample(x), per_sample(crafted)
        gaps, n = [], 0.0
        for a, b in zip(here, there):
            m = a.mean(dim=0)
            var_t = ((b - (m if centre == "source" else b.mean(dim=0))) ** 2).mean(dim=0)
            v = (((a - m) ** 2).mean(dim=0) + var_t) / 2
            gaps += [((((a - m) ** 2).mean(dim=0) - v) ** 2).flatten(), ((var_t - v) ** 2).flatten()]
            n = n + (b**2).flatten(1).sum(dim=1).mean() / b[0].numel()
        p = torch.cat(gaps).sum() / (len(torch.cat(gaps)))
        extra = torch.autograd.grad(weight * (variance * p + norm * n), parameters, allow_unused=True)
        found = torch.autograd.grad(F.cross_entropy(net(x), y), parameters)
        length = torch.sqrt(sum((part**2).sum() for part in found))
        with torch.no_grad():
            for q, part in zip(parameters, found):
                q.add_(rho * part / length)
        worse = torch.autograd.grad(F.cross_entropy(net(x), y), parameters)
        with torch.no_grad():
            for q, part, own, more in zip(parameters, found, worse, extra):
                q.sub_(rho * part / length)
                q.grad = own if more is None else own + more
        optimizer.step()
    return weights(net)


@pytest.mark.parametrize(
    "changes",
    [{}, {"norm_term": False}, {"variance_term": False}, {"centre": "own"}, {"rho": 0.3, "radius": 2.0}],
    ids=["all", "variance", "norm", "centre", "far"],
)
def test_the_training_is_that_of_a_second_implementation(changes):
    model = network()
    settings = dict(rho=0.05, radius=1.0, weight=5.0, variance_term=True, norm_term=True, centre="source") | changes
    method = UDIM(epochs=3, batch_size=60, aside=0.0, warmup=0.0, learning_rate=0.01, weight_decay=0.0, **settings).fit(
        source=source(), model=model
    )
    s = settings
    expected = independent(
        model, steps=3, rho=s["rho"], weight=s["weight"], radius=s["radius"], variance=float(s["variance_term"]),
        norm=float(s["norm_term"]), centre=s["centre"],
    )  # fmt: skip
    torch.testing.assert_close(weights(method.network_), expected, atol=2e-4, rtol=1e-3)
    assert float((weights(method.network_) - weights(model)).abs().max()) > 0.01


def test_the_ascent_follows_the_gradient_with_respect_to_the_sample():
    net, x, y = network(), X[:1].double(), Y[:1]
    net = net.double()
    step = craft_inputs(net, x, y, rho=0.7, radius=1.0) - x
    slopes = []
    for i in range(6):
        off = torch.zeros_like(x)
        off[0, i] = 1e-5
        rise = worst_case(net, x + off, y, 0.7) - worst_case(net, x - off, y, 0.7)
        slopes.append(float(rise.detach()) / 2e-5)
    slope = torch.tensor(slopes)
    torch.testing.assert_close(step[0].float(), slope / slope.norm(), atol=1e-4, rtol=1e-3)


def test_styles_are_crafted_upwards():
    net, x, y = pictures(), torch.randn(5, 3, 6, 6, generator=G), torch.tensor([0, 1, 2, 0, 1])
    crafted = craft_styles(net, x, y, rho=0.5, rate=0.01)
    assert float(worst_case(net, crafted, y, 0.5)) > float(worst_case(net, x, y, 0.5))


def test_the_warm_up_is_without_inconsistency_and_the_best_epoch_is_kept():
    model = network()
    settings = dict(learning_rate=0.01, batch_size=30, random_state=1)
    method = UDIM(epochs=10, warmup=0.5, **settings).fit(source=source(), model=model)
    assert len(method.history_["variance"]) == 5
    late = UDIM(epochs=4, warmup=0.99, **settings).fit(source=source(), model=model)
    assert len(late.history_["variance"]) == 1


def test_every_batch_has_as_many_samples_of_each_domain():
    method = UDIM(batch_size=40, epochs=2, warmup=0.0).fit(source=source(n=100, domains=20), model=network())
    assert np.isfinite(method.history_["variance"]).all()
    assert method.history_["variance"][0] > 0
    with pytest.raises(ValueError, match="at least twice the number of domains, 20"):
        UDIM(batch_size=32).fit(source=source(domains=20), model=network())


def test_crafted_samples_that_did_not_move_teach_what_their_own_teach():
    torch.manual_seed(0)
    start, settings = feature_classifier(6, 3, 5).eval(), {"weight": 0.0, "epochs": 3, "random_state": 0}
    plain, same, moved = (
        UDIM(**settings, radius=radius, learn_crafted=learn).fit(source=source(), model=start)
        for radius, learn in ((0.0, False), (0.0, True), (1.0, True))
    )
    torch.testing.assert_close(weights(same.network_), weights(plain.network_), atol=1e-5, rtol=1e-4)
    assert (weights(moved.network_) - weights(plain.network_)).abs().max() > 1e-3


def test_where_nothing_crafted_is_learnt_the_radius_without_a_weight_changes_nothing():
    start, settings = feature_classifier(6, 3, 5).eval(), {"weight": 0.0, "epochs": 3, "random_state": 0}
    near, far = (UDIM(**settings, radius=radius).fit(source=source(), model=start) for radius in (0.0, 1.0))
    assert torch.equal(weights(near.network_), weights(far.network_))

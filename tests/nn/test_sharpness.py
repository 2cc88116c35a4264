"""The sharpness-aware family: identities of the papers, to the last digit where they are exact."""

import copy

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from unseen.nn.divergences import divergence, kl
from unseen.nn.sharpness import ASAM, SAGM, SAM, TRAM, FisherSAM, SharpnessAware
from unseen.nn.train import train
from unseen.nn.trust_region import TrustRegion

X = torch.randn(32, 5, generator=torch.Generator().manual_seed(0))
Y = torch.arange(32) % 3


def network(seed=0, norm=False):
    torch.manual_seed(seed)
    layers = [nn.Linear(5, 8), *([nn.BatchNorm1d(8)] if norm else []), nn.Tanh(), nn.Linear(8, 3)]
    return nn.Sequential(*layers)


def closure(optimizer, net, before=None):
    def run():
        optimizer.zero_grad()
        logits = net(X)
        if before is not None and not optimizer.perturbed:
            before(logits)
        loss = F.cross_entropy(logits, Y)
        loss.backward()
        return loss

    return run


def taken(make, steps=3, before=None, **settings):
    """Weights after some steps."""
    net = network()
    optimizer = make(net.parameters(), torch.optim.Adam, lr=0.05, **settings)
    for _ in range(steps):
        optimizer.step(closure(optimizer, net, before and (lambda logits: before(optimizer, net, logits))))
    return nn.utils.parameters_to_vector(net.parameters()).detach()


def adam(steps=3):
    net = network()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.05)
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(net(X), Y).backward()
        optimizer.step()
    return nn.utils.parameters_to_vector(net.parameters()).detach()


def probe(optimizer_type, w=(1.0, 2.0), groups=1, **settings):
    """The loss .5 (w0^2 + 4 w1^2), one step of SGD at rate .1: where the probe was, and the weights after."""
    parts = [nn.Parameter(torch.tensor(w))] if groups == 1 else [nn.Parameter(torch.tensor([v])) for v in w]
    optimizer = optimizer_type([{"params": [p]} for p in parts], torch.optim.SGD, lr=0.1, **settings)
    seen = []

    def run():
        optimizer.zero_grad()
        full = torch.cat(list(parts))
        seen.append(full.detach().clone())
        loss = 0.5 * (full**2 * torch.tensor([1.0, 4.0])).sum()
        loss.backward()
        return loss

    optimizer.step(run)
    return seen[1], torch.cat(list(parts)).detach()


def test_the_worked_step_of_sam():
    worst, after = probe(SAM, rho=0.05)
    torch.testing.assert_close(worst, torch.tensor([1.006202, 2.049614]), atol=1e-6, rtol=0)
    torch.testing.assert_close(after, torch.tensor([0.899380, 1.180154]), atol=1e-6, rtol=0)


def test_the_norm_is_over_all_groups_together():
    for one, two in zip(probe(SAM, rho=0.05), probe(SAM, groups=2, rho=0.05)):
        torch.testing.assert_close(one, two)


def test_the_worked_step_of_tram():
    w = nn.Parameter(torch.tensor([1.0, 2.0, 3.0]))
    optimizer = TRAM([w], torch.optim.SGD, lr=0.1)
    optimizer.radius = 0.3

    def run():
        optimizer.zero_grad()
        loss = 0.5 * (w - torch.tensor([0.0, 0.0, 1.0])).square().sum()
        loss.backward()
        return loss

    optimizer.step(run)
    torch.testing.assert_close(w.detach(), torch.tensor([0.89, 1.78, 2.78]), atol=1e-6, rtol=0)


@pytest.mark.parametrize("make", [SAM, ASAM, FisherSAM])
def test_with_radius_0_a_step_is_that_of_the_base_optimizer(make):
    torch.testing.assert_close(taken(make, rho=0.0), adam(), atol=0, rtol=0)


def test_tram_with_no_distance_is_the_base_optimizer_bit_for_bit():
    torch.testing.assert_close(taken(TRAM), adam(), atol=0, rtol=0)


@pytest.mark.parametrize(("geometry", "other"), [("euclidean", SAM), ("adaptive", ASAM), ("fisher", FisherSAM)])
def test_tram_with_a_constant_distance_is_sam_asam_and_fisher_sam(geometry, other):
    def constant(optimizer, net, logits):
        optimizer.radius = 0.07

    found = taken(TRAM, before=constant, geometry=geometry)
    torch.testing.assert_close(found, taken(other, rho=0.07), atol=0, rtol=0)
    assert not torch.equal(found, adam())


@given(st.floats(1e-3, 2.0), st.integers(0, 100))
def test_eps_has_length_r_and_the_direction_of_the_gradient(radius, seed):
    p = nn.Parameter(torch.randn(7, generator=torch.Generator().manual_seed(seed)))
    p.grad = torch.randn(7, generator=torch.Generator().manual_seed(seed + 1))
    home = p.detach().clone()
    optimizer = SharpnessAware([p], torch.optim.SGD, lr=0.0, radius=radius)
    optimizer.first_step()
    eps = p.detach() - home
    assert float(eps.norm()) == pytest.approx(radius, rel=1e-4)
    assert float(F.cosine_similarity(eps, p.grad, dim=0)) == pytest.approx(1, abs=1e-5)
    optimizer.second_step()
    assert torch.equal(p.detach(), home)  # restored to the bit: the rate is 0


def test_asam_and_fisher_by_their_formulas():
    w, g = torch.tensor([1.0, -2.0, 0.5]), torch.tensor([0.3, 0.1, -0.4])
    for geometry, direction, length in (
        ("adaptive", w**2 * g, (w.abs() * g).norm()),
        ("fisher", g / (1 + g**2), torch.sqrt((g * g / (1 + g**2)).sum())),
    ):
        p = nn.Parameter(w.clone())
        p.grad = g.clone()
        SharpnessAware([p], torch.optim.SGD, lr=0.1, radius=0.2, geometry=geometry).first_step()
        torch.testing.assert_close(p.detach() - w, 0.2 * direction / length)


def test_sagm_probes_nearer_and_steps_with_the_mean_of_both_gradients():
    w, curvature = torch.tensor([1.0, 2.0]), torch.tensor([1.0, 4.0])
    worst, after = probe(SAGM, rho=0.05, alpha=0.01)
    g = curvature * w
    expected = w + (0.05 / g.norm() - 0.01) * g
    torch.testing.assert_close(worst, expected)
    torch.testing.assert_close(after, w - 0.1 * (g + curvature * expected) / 2)
    torch.testing.assert_close(taken(SAGM, rho=0.0, alpha=0.0), adam())


def test_the_released_code_moves_every_entry_by_the_same_constant():
    p = nn.Parameter(torch.tensor([1.0, -2.0]))
    p.grad = torch.tensor([3.0, 4.0])
    optimizer = TRAM([p], torch.optim.SGD, lr=0.1, released=True)
    optimizer.radius = 0.5
    optimizer.first_step()
    torch.testing.assert_close(p.detach(), torch.tensor([1.1, -1.9]))


def test_batch_statistics_are_updated_once_in_a_step():
    plain, sharp = network(norm=True), network(norm=True)
    plain(X)
    optimizer = SAM(sharp.parameters(), torch.optim.SGD, lr=0.0, rho=0.5, module=sharp)
    optimizer.step(closure(optimizer, sharp))
    torch.testing.assert_close(plain[1].running_mean, sharp[1].running_mean, atol=0, rtol=0)
    torch.testing.assert_close(plain[1].running_var, sharp[1].running_var, atol=0, rtol=0)
    assert int(sharp[1].num_batches_tracked) == 1
    assert sharp[1].momentum == 0.1


def test_frozen_and_shared_parameters():
    net = network()
    net[0].requires_grad_(False)
    before = net[0].weight.clone()
    optimizer = SAM(net.parameters(), torch.optim.SGD, lr=0.1, rho=0.5)
    optimizer.step(closure(optimizer, net))
    assert torch.equal(net[0].weight, before)
    assert not optimizer.perturbed


def test_a_closure_that_fails_leaves_the_weights_where_they_were():
    net = network()
    optimizer = SAM(net.parameters(), torch.optim.SGD, lr=0.1)
    before = copy.deepcopy(net.state_dict())

    def run():
        if optimizer.perturbed:
            raise ArithmeticError
        return closure(optimizer, net)()

    with pytest.raises(ArithmeticError):
        optimizer.step(run)
    assert not optimizer.perturbed
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


def test_what_cannot_be_is_named():
    p = nn.Parameter(torch.ones(2))
    optimizer = SAM([p], torch.optim.SGD, lr=0.1)
    with pytest.raises(RuntimeError, match="first_step before"):
        optimizer.second_step()
    with pytest.raises(ValueError, match="backward before first_step"):
        optimizer.first_step()
    with pytest.raises(TypeError, match="closure"):
        optimizer.step()
    p.grad = torch.ones(2)
    optimizer.first_step()
    with pytest.raises(RuntimeError, match="twice"):
        optimizer.first_step()
    with pytest.raises(ValueError, match="radius must be finite"):
        optimizer.radius = float("nan")


def test_it_trains_in_the_loop_and_resumes_to_the_same_bits(tmp_path):
    from unseen.runtime import runtime

    def run(folder, stop=None):
        net = network(3)
        region = TrustRegion(net)
        optimizer = TRAM(net.parameters(), torch.optim.Adam, lr=0.01, module=net)

        def objective(batch, run):
            def loss():
                logits = net(X)
                if not optimizer.perturbed:
                    optimizer.radius = region.distance(net, X, logits.detach())
                return F.cross_entropy(logits, Y)

            run.log(loss=run.descend(loss, "tram"))

        def interrupt(run):
            if stop is not None and run.epoch == stop:
                raise KeyboardInterrupt

        torch.manual_seed(0)
        with runtime(folder=folder):
            train(
                objective, name="s", nets={"net": net, "region": region}, optimizers={"tram": optimizer},
                batches=None, epochs=4, steps_per_epoch=3, before_epoch=interrupt,
            )  # fmt: skip
        return nn.utils.parameters_to_vector(net.parameters()).detach()

    whole = run(None)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, stop=2)
    assert torch.equal(run(tmp_path), whole)


# -- divergences and trust regions ---------------------------------------------------------------------------


def test_divergences_by_hand():
    target = torch.tensor([[1.0, 0, -1], [0.5, 0.5, 0]])
    current = torch.tensor([[0.0, 1, 0], [2, -1, 0.5]])
    torch.testing.assert_close(kl(target, current), torch.tensor([0.474321, 0.666943]), atol=1e-6, rtol=0)
    assert float(divergence(target, current)) == pytest.approx((0.474321 + 0.666943) / 2, abs=1e-6)
    assert float(divergence(target, current, "reverse-kl")) == pytest.approx(float(kl(current, target).mean()))
    both = kl(target, current).mean() + kl(current, target).mean()
    assert float(divergence(target, current, "symmetric-kl")) == pytest.approx(float(both))
    assert float(divergence(target, current, "l2")) == pytest.approx(float((target - current).norm(dim=1).mean()))
    assert float(divergence(target, current, mask=torch.tensor([True, False]))) == pytest.approx(0.474321, abs=1e-6)
    tokens = divergence(target[None], current[None], mask=torch.tensor([[False, True]]))
    assert float(tokens) == pytest.approx(0.666943, abs=1e-6)


@pytest.mark.parametrize("kind", ["kl", "reverse-kl", "symmetric-kl", "l2", "mmd"])
def test_a_divergence_is_0_of_equals_and_above_it_else(kind):
    a, b = torch.randn(6, 4), torch.randn(6, 4)
    assert float(divergence(a, a, kind)) == pytest.approx(0, abs=1e-6)
    assert float(divergence(a, b, kind)) > 0


def test_a_divergence_names_what_is_wrong():
    with pytest.raises(ValueError, match="one shape"):
        divergence(torch.zeros(2, 3), torch.zeros(2, 4))
    with pytest.raises(ValueError, match="no row counts"):
        divergence(torch.zeros(2, 3), torch.zeros(2, 3), mask=torch.zeros(2, dtype=torch.bool))


@pytest.mark.parametrize("reference", ["previous", "pretrained", "average"])
@pytest.mark.parametrize("norm", [False, True])
def test_at_the_start_nothing_has_moved(reference, norm):
    net = network(norm=norm).train()
    region = TrustRegion(net, reference)
    assert region.distance(net, X, net(X)) == pytest.approx(0, abs=1e-9)


def test_previous_is_the_network_before_its_last_step_and_pretrained_the_first():
    first, second, third = network(0), network(1), network(2)
    previous, pretrained = TrustRegion(first), TrustRegion(first, "pretrained")
    for region in (previous, pretrained):
        region.distance(first, X)
        region.distance(second, X)
    with torch.no_grad():
        assert previous.distance(third, X) == pytest.approx(float(divergence(second(X), third(X))), rel=1e-5)
        assert pretrained.distance(third, X) == pytest.approx(float(divergence(first(X), third(X))), rel=1e-5)


def test_an_average_of_decay_0_is_the_previous_and_of_decay_1_the_pretrained():
    nets = [network(i) for i in range(4)]
    for decay, reference in ((0.0, "previous"), (1.0, "pretrained")):
        a, b = TrustRegion(nets[0], "average", decay=decay), TrustRegion(nets[0], reference)
        assert [a.distance(n, X) for n in nets] == [b.distance(n, X) for n in nets]


@pytest.mark.parametrize("uniform", [False, True])
def test_the_distance_by_noise_grows_with_the_noise_and_goes_to_0_with_it(uniform):
    net = network()
    found = [
        TrustRegion(net, "noise", std=std, uniform=uniform).distance(net, X, generator=torch.Generator().manual_seed(0))
        for std in (1e-5, 0.1, 0.5, 2.0)
    ]
    assert found == sorted(found)
    assert found[0] < 1e-8 < found[1]


def test_a_trust_region_names_what_is_wrong():
    for settings, told in (({"decay": 2.0}, "decay"), ({"std": 0.0}, "std"), ({"scale": -1.0}, "scale")):
        with pytest.raises(ValueError, match=told):
            TrustRegion(network(), **settings)
    with pytest.raises(ValueError, match="one shape"):
        TrustRegion(network()).distance(nn.Linear(5, 4), X)


def test_in_bfloat16_the_probe_sees_the_weights_at_theta_plus_eps():
    """Autocast keeps weights that were cast: without care the second pass would read those of the first."""
    net = network()
    optimizer = SAM(net.parameters(), torch.optim.SGD, lr=0.0, rho=2.0)
    losses = []

    def run():
        optimizer.zero_grad()
        loss = F.cross_entropy(net(X).float(), Y)
        losses.append(float(loss.detach()))
        loss.backward()
        return loss

    with torch.autocast("cpu", torch.bfloat16):
        optimizer.step(run)
    assert losses[1] > losses[0] + 0.1


def test_radii_above_the_largest_are_cut_and_counted_and_infinite_ones_refused():
    optimizer = TRAM([nn.Parameter(torch.ones(2))], torch.optim.SGD, lr=0.1, largest=2.0)
    optimizer.radius = 1.5
    assert (optimizer.radius, optimizer.cut) == (1.5, 0)
    optimizer.radius = 7.0
    assert (optimizer.radius, optimizer.cut) == (2.0, 1)
    with pytest.raises(ValueError, match="finite"):
        optimizer.radius = float("inf")


def test_a_failed_step_forgets_further_gradients():
    net = network()
    optimizer = SAM(net.parameters(), torch.optim.SGD, lr=0.1)
    optimizer.further = {p: torch.ones_like(p) for p in net.parameters()}

    def run():
        if optimizer.perturbed:
            raise ArithmeticError
        return closure(optimizer, net)()

    with pytest.raises(ArithmeticError):
        optimizer.step(run)
    assert not optimizer.further


def test_an_average_of_weights_between_the_two():
    nets = [network(i) for i in range(3)]
    region = TrustRegion(nets[0], "average", decay=0.75)
    for net in nets:
        region.distance(net, X)
    a, b, c = (nn.utils.parameters_to_vector(net.parameters()) for net in nets)
    expected = 0.75 * (0.75 * a + 0.25 * b) + 0.25 * c
    torch.testing.assert_close(nn.utils.parameters_to_vector(region.copy.parameters()), expected)


def test_scale_and_mask_have_their_say():
    first, second = network(0), network(1)
    plain = TrustRegion(first).distance(second, X)
    assert TrustRegion(first, scale=3.0).distance(second, X) == pytest.approx(3 * plain, rel=1e-5)
    mask = torch.arange(32) < 4
    some = TrustRegion(first).distance(second, X[:4])
    assert TrustRegion(first).distance(second, X, mask=mask) == pytest.approx(some, rel=1e-4)


class Thinned(nn.Module):
    """A layer of somebody's own that drops out by the function."""

    def forward(self, x):
        return F.dropout(x, 0.5, training=self.training)


@pytest.mark.parametrize("layer", [nn.Dropout(0.5), Thinned()])
def test_what_a_layer_does_in_training_only_is_no_movement(layer):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 8), layer, nn.Linear(8, 3)).train()
    assert TrustRegion(net).distance(net, X, net(X).detach()) == pytest.approx(0, abs=1e-9)


def test_noise_needs_real_numbers():
    net = nn.Sequential(nn.Embedding(4, 5), nn.Flatten(), nn.Linear(10, 3))
    with pytest.raises(ValueError, match="needs inputs of real numbers"):
        TrustRegion(net, "noise").distance(net, torch.zeros(2, 2, dtype=torch.long))


def test_tokens_with_padding_are_compared_without_it():
    net, other = (nn.Sequential(nn.Embedding(9, 6), nn.Linear(6, 4)) for _ in range(2))
    tokens = torch.randint(0, 9, (3, 5), generator=torch.Generator().manual_seed(0))
    mask = torch.arange(5)[None] < torch.tensor([2, 5, 3])[:, None]
    with torch.no_grad():
        expected = kl(net(tokens)[mask], other(tokens)[mask]).mean()
    assert TrustRegion(net).distance(other, tokens, mask=mask) == pytest.approx(float(expected), rel=1e-5)


def test_mmd_of_two_points_by_hand():
    a, b = torch.zeros(1, 2), torch.tensor([[3.0, 4.0]])
    widths = torch.tensor([0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0])
    expected = 2 * (1 / widths).sum() - 2 * (1 / torch.sqrt(widths**2 + 25)).sum()
    assert float(divergence(a, b, "mmd")) == pytest.approx(float(expected), rel=1e-5)

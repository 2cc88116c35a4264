"""DAFOS-Net: every analytic check of its spec, each step that learns, and what it refuses."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.methods import DAFOSNet
from unseen.methods.base import UNKNOWN
from unseen.methods.few_shot.dafosnet.encoder import GAMMA, SOURCE, TARGET, DomainBatchNorm, Encoder, judge, judged_loss
from unseen.methods.few_shot.dafosnet.episodes import EpisodeSampler, episode_batches, gan_labels, largest_way
from unseen.methods.few_shot.dafosnet.gan import (
    HIGH,
    LOW,
    aocmc,
    aol,
    collapse_loss,
    discriminator_loss,
    feature_gan,
    generator_loss,
    reptile,
    weights_of,
)
from unseen.methods.few_shot.dafosnet.losses import (
    WEIGHTS,
    alignment,
    compactness,
    distances,
    diversification,
    outlier_features,
    prototypes,
)
from unseen.methods.few_shot.dafosnet.method import heavier, joint_labels
from unseen.methods.few_shot.dafosnet.needs import of_the_source
from unseen.methods.few_shot.dafosnet.training import Networks, Settings, gan_round, judged, meta_train
from unseen.nn.train import Run

P = torch.tensor([[0.0, 0.0], [2.0, 2.0]])
Q = torch.tensor([[0.0, 1.0], [2.0, 1.0], [1.0, 1.0]])
Y = torch.tensor([0, 1, -1])
Z_LOW, Z_HIGH = torch.tensor([[0.2, 0.0], [0.0, 0.2]]), torch.tensor([[0.0, 1.0], [1.0, 1.0]])
S_LOW, S_HIGH = torch.tensor([[1.0, 0.0], [1.0, 1.0]]), torch.tensor([[3.0, 4.0], [1.0, 0.0]])
QUICK: dict[str, Any] = {"epochs": 2, "fine_tune_epochs": 1, "n_gan_rounds": 1, "warm_up": 5, "width": 16, "dim": 8}


def clouds(n_classes: int, each: int, first: int = 0, shift: float = 0.0, apart: float = 4.0) -> Domain:
    """Clouds of points around a centre for each class; classes are numbered from `first`."""
    centres = np.random.default_rng(0).normal(size=(40, 12)) * apart
    rng = np.random.default_rng(first + 1)
    y = np.repeat(np.arange(n_classes), each)
    x = centres[first + y] + rng.normal(size=(len(y), 12)) + shift
    return Domain(
        x=x.astype(np.float32), y=y, classes=ClassSpace(names=tuple(f"c{first + i}" for i in range(n_classes)))
    )


# -- the losses of the paper, by hand ---------------------------------------------------------------------------


def test_aocmc_and_aol_have_the_values_that_were_worked_out_by_hand() -> None:
    rows = [aocmc(*(part[i : i + 1] for part in (Z_LOW, Z_HIGH, S_LOW, S_HIGH))).item() for i in range(2)]
    assert rows == pytest.approx([1.916291, 1.0], abs=1e-5)
    assert aocmc(Z_LOW, Z_HIGH, S_LOW, S_HIGH).item() == pytest.approx(1.458145, abs=1e-5)
    assert aol(Z_LOW, Z_HIGH, S_LOW, S_HIGH).item() == pytest.approx(0.903553, abs=1e-5)
    one = (Z_LOW[1:], Z_HIGH[1:], S_LOW[1:], S_HIGH[1:])
    assert aol(*one).item() == pytest.approx(1.2071, abs=1e-4)


def test_aocmc_grows_with_parallel_features_and_falls_with_parallel_noise() -> None:
    turned = [torch.tensor([[np.cos(a), np.sin(a)]], dtype=torch.float32) for a in (0.0, 0.4, 0.8, 1.5)]
    by_feature = [aocmc(turned[0], turned[3], turned[0], part).item() for part in turned]
    by_noise = [aocmc(turned[0], part, turned[0], turned[3]).item() for part in turned]
    assert by_feature == sorted(by_feature, reverse=True)
    assert by_noise == sorted(by_noise)
    assert aocmc(turned[0], turned[1], turned[0], turned[1]).item() == pytest.approx(1.0)
    assert np.isfinite([by_feature[0], by_noise[0]]).all()  # what is equal does not become infinite
    assert collapse_loss("none", Z_LOW, Z_HIGH, S_LOW, S_HIGH).item() == 0


def test_a_distance_is_the_mean_over_dimensions_not_the_sum() -> None:
    assert distances(torch.tensor([[0.0, 1.0]]), torch.zeros(1, 2)).item() == 0.5
    naive = [[np.mean((q - p) ** 2) for p in P.numpy()] for q in Q.numpy()]
    np.testing.assert_allclose(distances(Q, P).numpy(), naive, rtol=1e-6)


def test_prototypes_of_identical_samples_equal_them() -> None:
    z = torch.tensor([[1.0, 2.0], [1.0, 2.0], [5.0, -1.0]])
    assert prototypes(z, torch.tensor([0, 0, 1]), 3).tolist() == [[1, 2], [5, -1], [0, 0]]


def test_diversification_has_the_value_that_was_worked_out_by_hand() -> None:
    d = distances(Q, P)
    assert diversification(d, Y, margin=0.5).item() == 0
    assert diversification(d, Y, margin=2.0).item() == pytest.approx(0.75)
    gaps = [0.5 - 1.75, 0.5 - 1.75]
    assert diversification(d, Y, margin=1.25 + 1).item() == pytest.approx(np.mean([g + 2.25 for g in gaps]))


def test_the_hinge_stands_on_each_prototype_in_the_paper_and_on_their_mean_in_the_code() -> None:
    d = torch.tensor([[0.0, 3.0], [1.0, 2.0]])  # gaps of -1 and of -1 in class 0; of 2 - 3 in class 1
    y = torch.tensor([0, 1])
    far = torch.tensor([[4.0, 0.0], [0.0, 2.0]])  # gaps 4 and 2: both above
    assert diversification(d, y, 0.0, "paper").item() == 0
    assert diversification(far, y, 0.0, "paper").item() == pytest.approx(3.0)
    mixed = torch.tensor([[0.0, 0.0], [3.0, 2.0]])  # gaps -3 and 2
    assert diversification(mixed, y, 0.0, "paper").item() == pytest.approx(1.0)
    assert diversification(mixed, y, 0.0, "released").item() == 0


def test_compactness_has_the_values_that_were_worked_out_by_hand() -> None:
    d = distances(Q, P)
    assert compactness(d, Y).item() == pytest.approx(0.126928, abs=1e-5)
    assert compactness(d, Y, "released").item() == pytest.approx(-0.587198, abs=1e-5)


def test_alignment_has_the_values_that_were_worked_out_by_hand() -> None:
    source, target = 1 * P + 0, 2 * (P + 1) + 0.5
    assert alignment(source, target).item() == pytest.approx(4.949747, abs=1e-5)
    assert alignment(source, target, "released").item() == pytest.approx(-3.5)
    assert alignment(source, source).item() == 0


def test_gamma_and_beta_of_each_domain_move_its_prototypes() -> None:
    dsbn = DomainBatchNorm(2)
    torch.nn.init.constant_(dsbn.of(SOURCE).weight, 1.0)
    torch.nn.init.constant_(dsbn.of(TARGET).weight, 2.0)
    torch.nn.init.constant_(dsbn.of(TARGET).bias, 0.5)
    shifted = dsbn.affine(SOURCE, P), dsbn.affine(TARGET, P + 1)
    assert alignment(*shifted).item() == pytest.approx(4.949747, abs=1e-5)
    assert alignment(dsbn.affine(SOURCE, P), dsbn.affine(SOURCE, P)).item() == 0


def test_sorted_distances_and_their_summary_do_not_depend_on_the_order_of_classes() -> None:
    d = torch.tensor([[3.0, 1.0, 2.0]])
    for kind in ("sorted", "summary"):
        assert torch.equal(outlier_features(d, kind), outlier_features(d[:, [1, 2, 0]], kind))  # type: ignore[arg-type]
    assert outlier_features(d, "summary").tolist() == [[1, 2, 2, 1]]
    assert outlier_features(d, "distances") is d


def test_the_weights_are_those_of_the_paper_or_of_the_released_code() -> None:
    assert WEIGHTS["paper"] == (1.0, 0.3, 0.05, 0.075, 0.125, 0.05)
    assert WEIGHTS["released"] == pytest.approx((40, 0.3, 0.05, 0.075, 0.125, 50))


# -- GANs and Reptile ---------------------------------------------------------------------------------------------


def test_the_networks_have_the_published_sizes() -> None:
    gan = feature_gan(64, 10, LOW)
    sizes = lambda network: [layer.weight.shape[::-1] for layer in network if hasattr(layer, "weight")]
    assert sizes(gan.generator) == [(18, 32), (32, 48), (48, 64)]
    assert sizes(gan.discriminator) == [(74, 48), (48, 32), (32, 16), (16, 8), (8, 1)]
    assert sizes(judge(5)) == [(5, 128), (128, 64), (64, 32), (32, 16), (16, 8), (8, 2)]
    assert (LOW, HIGH) == (0.2, 1.0)


def test_the_noise_has_the_deviation_of_its_gan() -> None:
    torch.manual_seed(0)
    assert feature_gan(4, 3, LOW).noise(4000).std().item() == pytest.approx(0.2, rel=0.05)
    assert feature_gan(4, 3, HIGH).noise(4000).std().item() == pytest.approx(1.0, rel=0.05)


def test_the_discriminator_learns_made_as_one_and_the_generator_towards_zero() -> None:
    gan, label = feature_gan(2, 2, LOW), torch.tensor([0, 1])
    for parameter in gan.discriminator[-1].parameters():
        torch.nn.init.constant_(parameter, 0.0)
    half = float(np.log(2))  # a logit of 0 for everything
    assert discriminator_loss(gan, S_LOW, S_HIGH, label).item() == pytest.approx(half)
    assert generator_loss(gan, S_HIGH, label).item() == pytest.approx(half)
    torch.nn.init.constant_(gan.discriminator[-1].bias, 5.0)  # all is taken for made
    assert generator_loss(gan, S_HIGH, label).item() == pytest.approx(np.log1p(np.exp(5.0)), rel=1e-5)


def test_reptile_goes_all_the_way_with_one_and_nowhere_with_zero() -> None:
    for alpha, expected in ((1.0, 3.0), (0.0, 1.0), (0.25, 1.5)):
        layer = torch.nn.Linear(1, 1)
        torch.nn.init.constant_(layer.weight, 1.0)
        before = weights_of(layer)
        torch.nn.init.constant_(layer.weight, 3.0)
        reptile(layer, before, alpha)
        assert layer.weight.item() == expected


SETTINGS = Settings(
    use_low_gan=True, use_high_gan=True, collapse="aocmc", alpha=1.0, rounds=1, gan_rate=1e-3, warm_up=0, align="l2",
    mode="paper", outlier_input="summary", weights=WEIGHTS["paper"], margin=0.5, l1=0.0, activity=0.0,
)  # fmt: skip


def networks_of(n_features: int = 12, dim: int = 8, n_labels: int = 12) -> Networks:
    torch.manual_seed(1)
    encoder = Encoder(n_features, 16, dim, True)
    return Networks(encoder, judge(4), judge(4), feature_gan(dim, n_labels, LOW), feature_gan(dim, n_labels, HIGH))


def a_run(networks: Networks) -> Run:
    parts = {"low": networks.low, "high": networks.high}
    optimizers: dict[str, Any] = {
        f"{name}-{part[0]}": torch.optim.Adam(getattr(gan, part).parameters(), lr=1e-2)
        for name, gan in parts.items()
        for part in ("generator", "discriminator")
    }
    return Run("x", networks.named, optimizers, 1, None)


def states(networks: Networks) -> dict[str, dict[str, Tensor]]:
    return {name: copy.deepcopy(dict(net.state_dict())) for name, net in networks.named.items()}


def moved(before: dict[str, dict[str, Tensor]], after: dict[str, dict[str, Tensor]]) -> set[str]:
    return {name for name in before if any(not torch.equal(before[name][k], after[name][k]) for k in before[name])}


def test_gans_move_by_their_own_losses_and_alpha_zero_leaves_them() -> None:
    label, real = torch.arange(6), torch.randn(6, 8)
    networks = networks_of()
    before = states(networks)
    gan_round(networks, real, label, dataclasses.replace(SETTINGS, alpha=0.0), a_run(networks))
    assert moved(before, states(networks)) == set()
    gan_round(networks, real, label, SETTINGS, a_run(networks))
    assert moved(before, states(networks)) == {"low", "high"}
    networks = networks_of()
    gan_round(networks, real, label, dataclasses.replace(SETTINGS, use_high_gan=False), a_run(networks))
    assert moved(before, states(networks)) == {"low"}


def test_the_loss_of_the_encoder_reaches_no_gan() -> None:
    source, target = clouds(6, 9), clouds(6, 6, first=10)
    labels = joint_labels(source, target)
    sampler = EpisodeSampler(source=labels[0], target=labels[1], way=2, unknown=2)
    networks = networks_of()
    before = states(networks)
    told = dataclasses.replace(SETTINGS, rounds=0)
    meta_train(networks, source, target, sampler, told, name="x", epochs=1, rate=1e-3)
    assert moved(before, states(networks)) == {"encoder", "outlier", "domain"}


# -- the encoder ---------------------------------------------------------------------------------------------------


def test_a_pass_of_one_domain_does_not_change_the_statistics_of_the_other() -> None:
    for domain, other in ((SOURCE, TARGET), (TARGET, SOURCE)):
        dsbn = DomainBatchNorm(3).train()
        before = copy.deepcopy(dsbn.of(other).state_dict())
        own = dsbn.of(domain).running_mean.clone()  # type: ignore[union-attr, operator]
        dsbn(torch.randn(9, 3) + 5, torch.full((9,), domain))
        assert all(torch.equal(value, before[key]) for key, value in dsbn.of(other).state_dict().items())
        assert not torch.equal(own, dsbn.of(domain).running_mean)  # type: ignore[arg-type]


def test_a_mixed_batch_is_normalized_as_each_domain_by_itself() -> None:
    dsbn, x = DomainBatchNorm(3).train(), torch.randn(10, 3)
    domain = torch.tensor([0, 1] * 5)
    mixed = dsbn(x, domain)
    for side in (SOURCE, TARGET):
        own = x[domain == side]
        expected = GAMMA * (own - own.mean(dim=0)) / (own.var(dim=0, unbiased=False) + 1e-5).sqrt()
        np.testing.assert_allclose(mixed[domain == side].detach(), expected, atol=1e-5)
    assert DomainBatchNorm(3, specific=False).of(TARGET) is not None


def test_without_dsbn_both_domains_share_one_normalization() -> None:
    encoder = Encoder(4, 8, 3, specific=False).eval()
    x = torch.randn(5, 4)
    assert torch.equal(encoder.of(x, SOURCE), encoder.of(x, TARGET))


def test_the_judges_penalties_are_those_of_kernels_and_activity() -> None:
    network, x, y = judge(4), torch.randn(6, 4), torch.tensor([0, 0, 0, 0, 0, 1])
    plain = judged_loss(network, x, y, 0.0, 0.0)
    wrong = torch.nn.functional.cross_entropy(network(x), y, reduction="none")
    assert plain.item() == pytest.approx(((wrong[:5].mean() + wrong[5]) / 2).item(), rel=1e-6)
    kernels = sum(layer.weight.abs().sum().item() for layer in network if hasattr(layer, "weight"))
    assert (judged_loss(network, x, y, 0.01, 0.0) - plain).item() == pytest.approx(0.01 * kernels, rel=1e-4)
    value, activity = x, 0.0
    for layer in network:
        value = layer(value)
        activity += value.square().sum(dim=1).mean().item() if hasattr(layer, "weight") else 0.0
    assert (judged_loss(network, x, y, 0.0, 0.001) - plain).item() == pytest.approx(0.001 * activity, rel=1e-3)


# -- episodes -------------------------------------------------------------------------------------------------------


def test_source_and_target_never_know_the_same_class_and_unknown_classes_are_never_in_the_support() -> None:
    source, target = np.repeat(np.arange(9), 8), np.repeat(np.arange(4, 14), 5)
    sampler = EpisodeSampler(source=source, target=target, way=3, unknown=3)
    for i in range(100):
        rows = sampler.draw(np.random.default_rng(i))
        assert not set(rows[0].classes) & set(rows[1].classes)
        for side, labels in zip(rows, (source, target)):
            assert not set(labels[side.unknown].ravel()) & set(side.classes)
            assert not set(side.support.ravel()) & set(side.query.ravel())
            assert (labels[side.support] == side.classes[:, None]).all()
            assert (labels[side.query] == side.classes[:, None]).all()
            assert len(set(side.unknown.ravel())) == side.unknown.size
        assert rows[0].support.shape == (3, 4)
        assert rows[1].support.shape == (3, 1)


def test_disjoint_label_sets_keep_all_four_sets_of_classes_apart() -> None:
    labels = joint_labels(clouds(8, 9), clouds(8, 9, first=20))
    sampler = EpisodeSampler(source=labels[0], target=labels[1], way=3, unknown=3)
    for i in range(50):
        rows = sampler.draw(np.random.default_rng(i))
        sets = [set(rows[0].classes), set(rows[1].classes), *(set(y[r.unknown].ravel()) for y, r in zip(labels, rows))]
        assert sum(map(len, sets)) == len(set.union(*sets)) == 12


@pytest.mark.parametrize(
    ("of_source", "of_target"), [(range(2), range(4)), (range(4), range(2, 4)), (range(4), range(4))]
)
def test_known_classes_are_apart_also_where_label_sets_overlap(of_source: range, of_target: range) -> None:
    source, target = np.repeat([*of_source, 50], 8), np.repeat([*of_target, 60], 8)
    assert largest_way(source, target, (4, 1), (2, 2)) >= 2
    sampler = EpisodeSampler(source=source, target=target, way=2, unknown=1)
    for i in range(60):
        rows = sampler.draw(np.random.default_rng(i))
        assert not set(rows[0].classes) & set(rows[1].classes)
        assert len(rows[0].classes) == len(rows[1].classes) == 2


def test_more_classes_than_there_are_are_named() -> None:
    y = np.repeat(np.arange(6), 8)
    with pytest.raises(ValueError, match="way must be at most 6, the classes of source with 4 shots and 2 queries"):
        EpisodeSampler(source=y, target=y + 10, way=7, unknown=1)
    with pytest.raises(ValueError, match="unknown must be at most 3, the classes of source"):
        EpisodeSampler(source=y, target=y + 10, way=3, unknown=4)
    with pytest.raises(ValueError, match="way must be at most 3, so that source and target have no known class"):
        EpisodeSampler(source=y, target=y, way=4, unknown=1)
    with pytest.raises(ValueError, match="way must be at most 0, the classes of target with 30 shots"):
        EpisodeSampler(source=y, target=y + 10, way=2, unknown=1, shots=(4, 30))
    assert largest_way(y, y, (4, 1), (2, 2)) == 3
    assert largest_way(y, y + 10, (4, 1), (2, 2)) == 5


def test_the_classes_of_the_target_have_numbers_of_their_own_for_the_gans() -> None:
    source, target = gan_labels(np.array([3, 3, 7]), np.array([7, 9, 7]))
    assert source.tolist() == [0, 0, 1]
    assert target.tolist() == [2, 3, 2]


def test_the_second_stage_has_up_to_twice_the_queries_of_the_target() -> None:
    y = np.repeat(np.arange(8), 8)
    first = EpisodeSampler(source=y, target=y + 10, way=3, unknown=3)
    assert heavier(first).queries == (2, 4)
    few = dataclasses.replace(first, target=np.repeat(np.arange(10, 18), 3))
    assert heavier(few).queries == (2, 2)


def test_made_features_join_prototypes_one_to_one_and_the_unknown_set() -> None:
    source, target = clouds(6, 9), clouds(6, 6, first=10)
    labels = joint_labels(source, target)
    sampler = EpisodeSampler(source=labels[0], target=labels[1], way=2, unknown=2)
    networks = networks_of()
    run = a_run(networks)
    side = next(iter(episode_batches(source, target, sampler)(run))).source
    z = networks.encoder.eval().of(side.x, SOURCE).detach()
    plain = judged(networks, z, side, SETTINGS, hallucinate=False)
    support = z[: side.n_support]
    naive = torch.stack([support[side.y[: side.n_support] == k].mean(dim=0) for k in range(2)])
    np.testing.assert_allclose(plain.prototypes, naive, atol=1e-6)
    assert (plain.y == -1).sum() == 4
    made = judged(networks, z, side, SETTINGS, hallucinate=True)
    assert (made.y == -1).sum() == 4 + side.n_support
    torch.manual_seed(3)
    low = networks.low.generate(networks.low.noise(side.n_support), side.label[: side.n_support])
    torch.manual_seed(3)
    again = judged(networks, z, side, dataclasses.replace(SETTINGS, use_high_gan=False), hallucinate=True)
    mean = torch.stack([low[side.y[: side.n_support] == k].mean(dim=0) for k in range(2)])
    np.testing.assert_allclose(again.prototypes.detach(), ((naive + mean) / 2).detach(), atol=1e-5)


# -- the method ------------------------------------------------------------------------------------------------------


def test_a_fit_adapted_to_a_support_is_the_fit_on_that_support() -> None:
    source, target = clouds(7, 10), clouds(6, 6, first=10)
    support = clouds(3, 2, first=20)
    first = DAFOSNet(**QUICK).fit(source=source, auxiliary=target)
    adapted = first.adapt(support=support)
    x = clouds(3, 5, first=20).x
    assert adapted is not first
    assert len(first.present_) == 6
    assert len(adapted.present_) == 3
    again = DAFOSNet(**QUICK).fit(source=source, auxiliary=target).adapt(support=support)
    assert torch.equal(adapted.decision_function(x), again.decision_function(x))
    assert adapted.predict(x).max() < 3


def test_the_support_does_not_reach_meta_training_where_there_is_another_target() -> None:
    source, target = clouds(7, 10), clouds(6, 6, first=10)
    one, other = (source.take(np.arange(10, 10 + n)).replace(y=np.arange(n) % 3) for n in (6, 9))
    fits = [DAFOSNet(**QUICK).fit(source=source, support=part, auxiliary=target) for part in (one, other)]
    assert all(torch.equal(a, b) for a, b in zip(*(fit.encoder_.state_dict().values() for fit in fits)))
    assert not torch.equal(fits[0].prototypes_, fits[1].prototypes_)


def test_known_classes_are_named_and_far_ones_are_rejected_with_few_labels() -> None:
    source, target = clouds(9, 12), clouds(8, 8, first=9, shift=1.0)
    method: Any = DAFOSNet(epochs=20, fine_tune_epochs=2, way=3).fit(source=source, auxiliary=target)
    support, query = clouds(4, 3, first=20, shift=1.0), clouds(4, 12, first=20, shift=1.0)
    outside = clouds(4, 12, first=30, shift=1.0)
    adapted = method.adapt(support=support)
    assert (adapted.decision_function(query.x).argmax(dim=1).numpy() == query.labels).mean() > 0.95
    unsure = adapted.uncertainty(outside.x)
    assert unsure.mean() > adapted.uncertainty(query.x).mean() + 0.3
    assert (adapted.predict(outside.x)[unsure > 0.5] == UNKNOWN).all()
    assert (adapted.set_params(reject=False).predict(outside.x) >= 0).all()


def test_without_gans_and_other_losses_it_is_a_prototypical_network_with_a_judge() -> None:
    bare = DAFOSNet(use_low_gan=False, use_high_gan=False, weights=(1.0, 0.0, 0.0, 0.0, 0.0, 0.0), **QUICK)
    source, target = clouds(7, 10), clouds(6, 6, first=10)
    fitted: Any = bare.fit(source=source, auxiliary=target)
    support = clouds(3, 2, first=20)
    adapted = fitted.adapt(support=support)
    z = adapted.encoder_.of(torch.as_tensor(support.x), TARGET).detach()
    means = torch.stack([z[torch.as_tensor(support.labels) == k].mean(dim=0) for k in range(3)])
    x = torch.as_tensor(clouds(3, 4, first=20).x)
    asked = adapted.encoder_.of(x, TARGET).detach()
    naive = -((asked[:, None] - means) ** 2).mean(dim=2)
    np.testing.assert_allclose(adapted.decision_function(x), naive, rtol=1e-4, atol=1e-5)
    assert not any(key.startswith(("low", "high")) for key in fitted.history_)


def test_the_domain_that_is_asked_about_chooses_the_normalization() -> None:
    source, target = clouds(7, 10), clouds(6, 6, first=10, shift=3.0)
    method: Any = DAFOSNet(**QUICK).fit(source=source, auxiliary=target).adapt(support=clouds(3, 2, first=20))
    x = clouds(3, 4, first=20).x
    here = method.decision_function(x)
    assert not torch.equal(here, method.source_decision_function(x))
    assert torch.equal(method.set_params(branch="source").decision_function(x), method.source_decision_function(x))


def test_a_test_of_another_way_needs_the_summary() -> None:
    source, target = clouds(7, 10), clouds(6, 6, first=10)
    support = clouds(3, 2, first=20)
    fixed: Any = DAFOSNet(outlier_input="sorted", way=2, **QUICK)
    later = fixed.fit(source=source, auxiliary=target)  # of its six classes the network cannot judge
    assert later.decision_function(target.x).shape == (36, 6)
    with pytest.raises(ValueError, match=r"outlier_input='sorted' needs 2 classes; 6 are known: call adapt"):
        later.predict(target.x)
    pair = later.adapt(support=support.take(support.labels < 2).replace(classes=ClassSpace(names=("a", "b"))))
    assert np.isfinite(pair.uncertainty(target.x)).all()
    two = fixed.fit(source=source, auxiliary=target, support=source.take(np.arange(6)).replace(y=np.arange(6) % 2))
    with pytest.raises(ValueError, match="support must have 2 classes"):
        two.adapt(support=support)


def test_a_support_of_other_features_is_refused() -> None:
    method = DAFOSNet(**QUICK).fit(source=clouds(7, 10), auxiliary=clouds(6, 6, first=10))
    support = clouds(3, 2, first=20)
    with pytest.raises(ValueError, match="support must have 12 features, as in fit; got 9"):
        method.adapt(support=support.replace(x=support.x[:, :9]))


def test_what_cannot_be_drawn_is_named_before_work() -> None:
    source, target = clouds(7, 10), clouds(6, 6, first=10)
    with pytest.raises(ValueError, match="way must be at most"):
        DAFOSNet(way=8).fit(source=source, auxiliary=target)
    with pytest.raises(ValueError, match="classes of target with 9 shots"):
        DAFOSNet(way=3, target_shots=9).fit(source=source, auxiliary=target)
    told = r"source and auxiliary must have two known .* there are 2 and 6 classes with so many samples, 8 in all"
    with pytest.raises(ValueError, match=told):
        DAFOSNet().fit(source=clouds(2, 10), auxiliary=target)
    few = clouds(4, 6).take(np.arange(22))
    with pytest.raises(ValueError, match="with 6 samples each to learn from; it has 4 classes, but only 4 of c3; add"):
        DAFOSNet(target_shots=8).fit(source=few, support=clouds(4, 1))
    needed = of_the_source(clouds(7, 2), 3)
    assert needed.endswith("it has 7 classes, but only 2 of c0, 2 of c1, 2 of c2, 2 of c3 and too few of 3 others")
    with pytest.raises(ValueError, match="auxiliary must have labelled samples"):
        DAFOSNet().fit(source=source, auxiliary=target.replace(y=None))

"""ParZC: scales, MABN, losses, scores and what is uncertain, against naive second versions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau

from unseen.data.domain import Domain
from unseen.methods import get
from unseen.methods.architecture_rankers import shuffled
from unseen.methods.compression.parzc import ParZC
from unseen.methods.compression.parzc.method import Loss, decayed, standardized
from unseen.methods.compression.parzc.network import MABN, MixerBlock, scorer
from unseen.methods.compression.parzc.statistics import Scale, Statistics
from unseen.nn.bayesian import BayesianLinear, sampling
from unseen.runtime import reproducible

QUICK = {"epochs": 60, "width": 16, "projected": 16, "patch": 8, "depth": 1}


def architectures(n: int = 60, nodes: int = 6, seed: int = 0) -> Domain:
    """Three proxies of six nodes; only the second node says how good an architecture is."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 1, (n, 3, nodes))
    y = 0.9 - 0.3 * np.exp(-3 * x[:, :, 1].mean(axis=1)) + 0.001 * rng.normal(size=n)
    return Domain(x=x.reshape(n, -1).astype(np.float32), y=y, task="value", name="toy")


# -- step 3 ------------------------------------------------------------------------------------------------


def test_min_max_is_within_each_architecture_and_proxy() -> None:
    x = torch.tensor([[1.0, 3.0, 2.0, 50.0, 50.0, 50.0], [0.0, -4.0, 4.0, 1.0, 2.0, 3.0]])
    found = Statistics(6, 2, "architecture", logarithm=False)(x)
    assert found.tolist() == [[0, 1, 0.5, 0, 0, 0], [0.5, 0, 1, 0, 0.5, 1]]


@pytest.mark.parametrize("scale", ["proxy", "node"])
def test_statistics_beyond_single_precision_keep_their_order(scale: Scale) -> None:
    """Synflow of deep networks: 1e50 to 1e110 where single precision ends at 3.4e38."""
    rng = np.random.default_rng(0)
    y = rng.uniform(size=80)
    x = 10 ** (50 + 60 * y[:, None] * np.array([1.0, 0.5, 0.2]) + rng.uniform(0, 1, (80, 3)))
    source = Domain(x=x, y=y, task="value", name="deep")
    fitted = ParZC(proxies=1, scale=scale, **QUICK).fit(source=source.take(slice(0, 40)))
    for samples in (x[40:], torch.as_tensor(x[40:]), source.take(slice(40, 80))):
        assert kendalltau(fitted.predict(samples), y[40:]).statistic > 0.8
    assert fitted.uncertainty(x[40:]).shape == (40,)
    assert fitted.importance(x, y).importance.max() > 0.1


def test_statistics_that_have_no_deviation_in_doubles_ask_for_logarithms() -> None:
    source = architectures()
    large = source.replace(x=source.x.astype(np.float64) * 1e200)
    with pytest.raises(ValueError, match="the largest is 1e\\+200: take logarithm=True"):
        ParZC(logarithm=False, **QUICK).fit(source=large)


def test_infinite_statistics_are_refused() -> None:
    source = architectures()
    infinite = source.x.astype(np.float64)
    infinite[3, 4] = np.inf
    with pytest.raises(ValueError, match="source must be finite; sample '000003'"):
        ParZC(**QUICK).fit(source=source.replace(x=infinite))
    fitted = ParZC(**{**QUICK, "epochs": 1}).fit(source=source)
    with pytest.raises(ValueError, match="x must be finite; 1 values"):
        fitted.predict(infinite)


def test_logarithms_keep_the_sign() -> None:
    x = torch.tensor([[math.e - 1, 1 - math.e, 0.0]])
    found = Statistics(3, 1, "proxy", logarithm=True)(x)
    np.testing.assert_allclose(found, [[1, -1, 0]], atol=1e-6)


def test_a_proxy_is_standardized_over_the_trained_architectures_all_nodes_together() -> None:
    x = torch.as_tensor(architectures().x) * torch.tensor([1.0] * 6 + [100.0] * 6 + [1e4] * 6)
    measured = Statistics(18, 3, "proxy", logarithm=False).measure(x[:40])
    z = measured(x[:40]).reshape(40, 3, 6)
    np.testing.assert_allclose(z.mean(dim=(0, 2)), np.zeros(3), atol=1e-5)
    np.testing.assert_allclose(z.std(dim=(0, 2), correction=0), np.ones(3), atol=1e-4)
    naive = (x[40:, 6:12] - x[:40, 6:12].mean()) / x[:40, 6:12].std(correction=0)  # nothing of the others enters
    np.testing.assert_allclose(measured(x[40:])[:, 6:12], naive, atol=1e-4)


def test_values_are_standardized() -> None:
    y = standardized(np.array([0.1, 0.2, 0.6]))
    assert y.mean() == pytest.approx(0, abs=1e-12)
    assert y.std() == pytest.approx(1)


# -- MABN --------------------------------------------------------------------------------------------------


def test_mabn_is_what_the_steps_say() -> None:
    net = MABN(9, 32, 8, 12, 1, 0.0, -5.0, bayesian=True, token_mixing=True).eval()
    x = torch.randn(5, 9)
    with sampling(net, False):
        found = net(x)
    z = (x @ net.project.weight.T + net.project.bias).reshape(5, 4, 8) @ net.embed.mean.T  # type: ignore[operator,union-attr]
    block = net.blocks[0]
    normed = F.layer_norm(z, (12,)).transpose(1, 2)
    first, second = block.first, block.second  # type: ignore[union-attr]
    z = z + first[3](F.gelu(first[0](normed))).transpose(1, 2)  # type: ignore[index,operator]
    z = z + second[3](F.gelu(second[0](F.layer_norm(z, (12,)))))  # type: ignore[index,operator]
    z = F.layer_norm(z, (12,)).mean(dim=1) @ net.bayes.mean.T  # type: ignore[operator,union-attr]
    expected = (z @ net.head[0].weight.T @ net.head[2].weight.T).squeeze(1)  # type: ignore[operator,union-attr]
    torch.testing.assert_close(found, expected)
    assert first[0].weight.shape == (16, 4)  # type: ignore[index,union-attr]  # four times the segments
    assert second[0].weight.shape == (6, 12)  # type: ignore[index,union-attr]  # half the channels


@pytest.mark.parametrize("mixing", [True, False])
def test_only_token_mixing_lets_segments_meet(mixing: bool) -> None:
    block = MixerBlock(4, 8, 0.0, mixing).eval()
    x = torch.randn(1, 4, 8)
    changed = x.clone()
    changed[0, 0] += torch.randn(8)
    moved = (block(changed) - block(x)).abs().sum(dim=2)[0]
    assert moved[0] > 0
    assert bool((moved[1:] > 1e-6).all()) is mixing


def test_the_paper_has_sixteen_segments_of_sixteen() -> None:
    net = ParZC(**ParZC.card.presets["paper"])
    assert (net.projected // net.patch, net.patch, net.width, net.depth) == (16, 16, 512, 4)


def test_without_bayes_no_weight_is_drawn() -> None:
    fitted = ParZC(bayesian=False, **QUICK).fit(source=architectures())
    assert not [m for m in fitted.network_.modules() if isinstance(m, BayesianLinear)]
    assert fitted.uncertainty(architectures().x).tolist() == [0.0] * 60


# -- learning ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", Loss.__args__)  # type: ignore[attr-defined]
def test_every_loss_learns_the_order(loss: str) -> None:
    whole = architectures(120)
    fitted = ParZC(loss=loss, **{**QUICK, "epochs": 150}).fit(source=whole.take(slice(0, 60)))  # type: ignore[arg-type]
    found = kendalltau(fitted.predict(whole.x[60:]), whole.labels[60:]).statistic
    assert found > 0.5
    assert fitted.rank(whole.x).tolist() == np.argsort(-fitted.predict(whole.x), kind="stable").tolist()


def test_values_on_another_scale_teach_the_same() -> None:
    """DiffKendall sees scales; standardized values do not have one: accuracies may be shares or percentages."""
    source = architectures()
    one = ParZC(**QUICK).fit(source=source).predict(source.x)
    other = ParZC(**QUICK).fit(source=source.replace(y=100 * source.labels + 3)).predict(source.x)
    np.testing.assert_allclose(one, other, atol=1e-3)


def test_a_held_out_share_chooses_the_epoch() -> None:
    source = architectures()
    fitted = ParZC(validation=0.2, **QUICK).fit(source=source)
    assert kendalltau(fitted.predict(source.x), source.labels).statistic > 0.4
    with pytest.raises(ValueError, match=r"validation must be 0 or hold out three architectures; 0\.2 of 8 are 2"):
        ParZC(validation=0.2, **QUICK).fit(source=source.take(slice(0, 8)))


# -- uncertainty -------------------------------------------------------------------------------------------


def test_a_score_is_the_mean_over_draws_and_uncertainty_their_deviation() -> None:
    source = architectures()
    fitted = ParZC(rho=-2.0, n_samples=7, **QUICK).fit(source=source)
    draws = fitted._draws(torch.as_tensor(source.x), 7).detach().double().numpy()
    assert draws.shape == (7, 60)
    np.testing.assert_allclose(fitted.predict(source.x), draws.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(fitted.uncertainty(source.x), draws.std(axis=0), atol=1e-6)
    assert np.ptp(draws, axis=0).min() > 0
    assert fitted.predict(source.x).tolist() == fitted.predict(source.x).tolist()


def test_more_deviation_of_weights_is_more_doubt() -> None:
    source = architectures()
    sure = ParZC(rho=-9.0, **{**QUICK, "epochs": 1}).fit(source=source).uncertainty(source.x)
    unsure = ParZC(rho=-3.0, **{**QUICK, "epochs": 1}).fit(source=source).uncertainty(source.x)
    assert unsure.mean() > 10 * sure.mean()


def test_the_deviation_of_each_weight_is_learned_and_decay_leaves_it_alone() -> None:
    """Adam's own decay would pull all rho alike: they would differ by 1e-4."""
    fitted = ParZC(weight_decay=1e-3, **QUICK).fit(source=architectures())
    rho = torch.cat([m.rho.flatten() for m in fitted.network_.modules() if isinstance(m, BayesianLinear)])
    assert rho.std() > 3e-3
    groups = decayed(fitted.network_, 0.5)
    assert [group["weight_decay"] for group in groups] == [0.5, 0.0]
    assert sum(len(group["params"]) for group in groups) == len(list(fitted.network_.parameters()))
    assert sum(p.numel() for p in groups[1]["params"]) == len(rho)


def test_no_draws_use_the_mean_weights() -> None:
    source = architectures()
    fitted = ParZC(n_samples=0, **QUICK).fit(source=source)
    with sampling(fitted.network_, False), torch.no_grad():
        expected = fitted.network_(torch.as_tensor(source.x))
    np.testing.assert_allclose(fitted.predict(source.x), expected, atol=1e-6)


def test_the_node_that_matters_is_found() -> None:
    source = architectures(80)
    fitted = ParZC(**QUICK).fit(source=source)
    worth = fitted.importance(source.x, source.labels)
    assert worth.importance.shape == worth.uncertainty.shape == (6,)
    assert worth.importance.argmax() == 1
    assert worth.importance[1] > 3 * np.delete(worth.importance, 1).max()
    assert (worth.uncertainty >= 0).all()
    again = fitted.importance(source.x, source.labels)
    assert worth.importance.tolist() == again.importance.tolist()


def test_doubt_of_a_node_is_the_deviation_of_how_far_scores_move() -> None:
    source, quick = architectures(20), {**QUICK, "epochs": 5}
    x = source.x.copy()
    x[:, 3::6] = 0.5  # a node that is alike in all
    fitted = ParZC(n_samples=5, **quick).fit(source=source.replace(x=x))
    found = fitted.importance(x, source.labels, repeats=2)
    with reproducible(fitted.random_state):
        orders = [torch.randperm(20) for _ in range(2)]
    table, moved = torch.as_tensor(x), np.zeros(5)
    for order in orders:
        other = table.clone()
        other[:, 2::6] = table[order][:, 2::6]
        moved += np.abs(fitted._scores(other) - fitted._scores(table)).mean(axis=1) / 2
    assert found.doubt[2] == pytest.approx(moved.std() / moved.mean(), rel=1e-6)
    assert found.doubt[3] == 0
    assert (np.delete(found.doubt, 3) > 0).all()
    plain = ParZC(bayesian=False, **quick).fit(source=source).importance(source.x, source.labels)
    assert plain.doubt.max() < 1e-12


@pytest.mark.parametrize("loss", ["diffkendall", "pairwise+diffkendall"])
def test_reference_scale_doubles_diff_kendall(loss: Loss) -> None:
    scores, values = torch.randn(9), torch.randn(9)
    one, two, other = (
        ParZC(loss=loss, reference_scale=double)._loss(scores, values) for double in (False, True, False)
    )
    torch.testing.assert_close(two - one, ParZC(loss="diffkendall")._loss(scores, values))
    assert one == other
    assert ParZC.card.presets["reference"]["reference_scale"] is True


def test_the_builder_and_the_method_have_one_scale() -> None:
    assert scorer(6).statistics.scale == ParZC().scale


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 5), st.permutations(range(4)))
def test_shuffling_moves_all_proxies_of_one_node_and_nothing_else(node: int, order: list[int]) -> None:
    x = torch.arange(4 * 18).reshape(4, 18).float()
    found = shuffled(x, node, 6, torch.tensor(order)).reshape(4, 3, 6)
    expected = x.reshape(4, 3, 6).clone()
    expected[:, :, node] = expected[order][:, :, node]
    assert torch.equal(found, expected)


# -- bad input ---------------------------------------------------------------------------------------------


def test_bad_sources_are_named() -> None:
    source = architectures()
    with pytest.raises(ValueError, match="task='value'"):
        ParZC().fit(source=Domain(x=source.x, y=np.arange(60) % 3))
    with pytest.raises(ValueError, match=r"two different values; all are 0\.5"):
        ParZC().fit(source=source.replace(y=np.full(60, 0.5)))
    with pytest.raises(ValueError, match="1 of its 60 samples have no label"):
        ParZC().fit(source=source.replace(y=np.r_[np.nan, source.labels[1:]]))
    with pytest.raises(ValueError, match="NaN or infinite"):
        ParZC().fit(source=source.replace(y=np.r_[np.inf, source.labels[1:]]))
    with pytest.raises(ValueError, match="as many nodes for each of 4 proxies"):
        ParZC(proxies=4).fit(source=source)
    with pytest.raises(ValueError, match="projected must be a multiple of patch, 7; got 64"):
        ParZC(patch=7).fit(source=source)
    with pytest.raises(ValueError, match="three architectures"):
        ParZC(**QUICK).fit(source=source).importance(source.x, source.labels[:5])
    fitted = ParZC(**{**QUICK, "epochs": 1}).fit(source=source)
    with pytest.raises(ValueError, match="y must be finite; 1 of 60"):
        fitted.importance(source.x, np.r_[np.nan, source.labels[1:]])
    with pytest.raises(ValueError, match="repeats must be at least 1; got 0"):
        fitted.importance(source.x, source.labels, repeats=0)
    with pytest.raises(ValueError, match="batch_size must be at least 2 for loss='pairwise"):
        ParZC(batch_size=1, **QUICK).fit(source=source)
    assert ParZC(batch_size=1, loss="mse", **{**QUICK, "epochs": 1}).fit(source=source).fitted


def test_it_is_no_candidate_of_a_comparison_of_classifiers() -> None:
    from unseen import catalogue

    assert get("parzc") is ParZC
    assert not catalogue._compared(ParZC.card)
    assert "unseen nas rank" in (catalogue.Given({}).why_not(ParZC) or "")
    assert "parzc" not in [row["slug"] for row in catalogue.recommend(catalogue.Given({}))]

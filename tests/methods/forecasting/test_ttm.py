"""TTM: every analytic check of its steps, and its behaviour on odd series."""

from __future__ import annotations

import copy
import functools
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unseen.data.domain import Domain
from unseen.data.series import read_series, series_domain
from unseen.methods.base import NotFittedError
from unseen.methods.forecasting.ttm import TTM
from unseen.methods.forecasting.ttm import network as net
from unseen.methods.forecasting.ttm.network import (
    Shape,
    TinyTimeMixer,
    forecast_windows,
    instance_scale,
    patchify,
)
from unseen.methods.forecasting.ttm.windows import (
    RESOLUTIONS,
    downsample,
    factors,
    few_shot_origins,
    pool_of,
    resolution_of,
    standardize,
    windows_of,
)
from unseen.nn.build import n_parameters

TINY = {
    "context": 48, "horizon": 12, "patch": 8, "width": 16, "levels": 2, "layers": 1, "decoder_width": 8,
    "decoder_layers": 1, "shortest": 16, "epochs": 2, "steps": 20, "batch_size": 32, "tune_epochs": 3,
    "tune_learning_rate": 3e-3,
}  # fmt: skip


def waves(n: int = 3, length: int = 400, channels: int = 2, seed: int = 0) -> Domain:
    rng = np.random.default_rng(seed)
    t = np.arange(length)[:, None]
    arrays = [
        np.sin(2 * np.pi * (t / 12 + rng.random(channels))) + 0.1 * rng.normal(size=(length, channels))
        for _ in range(n)
    ]
    return series_domain(arrays, period=3600.0)


@functools.cache
def _fitted() -> TTM:
    return TTM(**TINY).fit(series=waves())


def fitted(**changes: Any) -> TTM:
    return copy.deepcopy(_fitted()).set_params(**changes)


def small(**sizes: Any) -> TinyTimeMixer:
    torch.manual_seed(0)
    return TinyTimeMixer(
        Shape(**{"context": 40, "horizon": 6, "patch": 8, "width": 16, "levels": 3, "decoder_width": 8, **sizes})
    ).eval()


# -- sizes -------------------------------------------------------------------------------------------------


def test_the_paper_size_has_805280_parameters_of_which_289696_are_tuned() -> None:
    network = TinyTimeMixer(Shape())
    assert n_parameters(network) == 805_280
    assert n_parameters(network) - sum(n_parameters(p) for p in network.backbone_parts()) == 289_696


def test_the_paper_size_with_the_prefix_has_855164_parameters() -> None:
    preset = TTM.card.presets["paper"]
    assert (preset["learning_rate"], preset["batch_size"], preset["steps"]) == (1e-3, 4500, 54_000)
    assert n_parameters(TinyTimeMixer(Shape(resolutions=len(RESOLUTIONS)))) == 855_164


def test_parameters_are_counted_again_after_tuning() -> None:
    tuned = fitted(exogenous=("y1",), tune_epochs=1).adapt(series=waves(1, seed=1))
    assert tuned.parameters_ == n_parameters(tuned.network_) > fitted().parameters_


def test_eight_patches_are_nine_with_the_prefix() -> None:
    assert Shape().patches == 8
    assert Shape(resolutions=5).patches == 9


# -- steps 1 to 3 ------------------------------------------------------------------------------------------


def test_the_scaler_of_1_2_3_4_is_2_5_and_the_root_of_the_biased_variance() -> None:
    loc, scale = instance_scale(torch.tensor([1.0, 2, 3, 4])[None, :, None])
    assert loc.item() == 2.5
    assert scale.item() == pytest.approx(1.1180385, abs=1e-6)


def test_masked_points_do_not_affect_the_scaler() -> None:
    x = torch.tensor([1.0, 999, 2, 3, -999, 4])[None, :, None]
    seen = torch.tensor([True, False, True, True, False, True])[None, :, None]
    loc, scale = instance_scale(x, seen)
    assert loc.item() == 2.5
    assert scale.item() == pytest.approx(1.1180385, abs=1e-6)


def test_patches_are_of_the_last_points() -> None:
    x = torch.arange(10.0)[None, :, None]
    assert patchify(x, 4)[0, 0].tolist() == [[2, 3, 4, 5], [6, 7, 8, 9]]


def test_the_prefix_is_one_more_patch_in_front_and_changes_the_forecast() -> None:
    network, x = small(resolutions=4), torch.randn(2, 40, 3)
    hidden = network.backbone(x, torch.tensor([1, 1]))
    assert hidden.shape == (2, 3, 6, 16)
    same, other = (network(x, torch.full((2,), i)) for i in (1, 2))
    assert not torch.allclose(same, other)


# -- steps 4 and 5 -----------------------------------------------------------------------------------------


def test_the_gate_sums_to_one() -> None:
    mixed = net.Mix(6, 2, 0.0)
    h = torch.randn(4, 3, 6)
    assert torch.allclose((mixed.gated(h) / h).sum(dim=-1), torch.ones(4, 3), atol=1e-5)


def test_repatching_cuts_each_patch_in_order() -> None:
    h = torch.arange(8.0).reshape(1, 1, 2, 4)
    assert net.repatch(h, 2)[0, 0].tolist() == [[0, 1], [2, 3], [4, 5], [6, 7]]


def test_levels_go_from_fine_to_plain_and_a_level_too_narrow_keeps_the_patches() -> None:
    assert [level.factor for level in small().mixers] == [1, 2, 1]  # 16 / 4 is not above 4
    assert [level.factor for level in small(width=32).mixers] == [4, 2, 1]


def test_without_levels_the_backbone_is_plain_layers() -> None:
    network = small(levels=0)
    assert [type(layer) for layer in network.mixers] == [net.MixerLayer, net.MixerLayer]


def test_mixers_whose_linear_maps_are_zero_are_the_identity() -> None:
    network = small(mixed_channels=3)
    for module in (*network.mixers.modules(), *network.decoder.modules()):
        if isinstance(module, torch.nn.Linear):
            torch.nn.init.zeros_(module.weight)
            torch.nn.init.zeros_(module.bias)
    x = torch.randn(2, 40, 3)
    assert torch.equal(network.backbone(x), network.patcher(patchify(x, 8)))
    h = torch.randn(2, 3, 5, 8)
    assert torch.equal(network.decoder(h), h)


# -- steps 6 to 8 ------------------------------------------------------------------------------------------


def test_forecast_windows_put_the_last_past_before_and_zero_after() -> None:
    past, forecast = torch.tensor([4.0, 5])[None, :, None], torch.tensor([10.0, 20, 30])[None, :, None]
    assert forecast_windows(past, forecast, 1)[0, :, 0].tolist() == [[5, 10, 20], [10, 20, 30], [20, 30, 0]]


def test_forecast_mixing_with_a_zero_map_is_the_base_forecast() -> None:
    plain, mixing = small(), small(forecast_mixing=True, targets=(0, 2), exogenous=(1,), window=2, window_mixer=True)
    mixing.load_state_dict(plain.state_dict(), strict=False)
    torch.nn.init.zeros_(mixing.forecast_mixer.out.weight)
    torch.nn.init.zeros_(mixing.forecast_mixer.out.bias)
    x = torch.randn(2, 40, 3)
    assert torch.equal(mixing(x, known=torch.randn(2, 6, 1)), plain(x)[..., [0, 2]])


def test_channels_are_independent_unless_they_are_mixed() -> None:
    x = torch.randn(2, 40, 3)
    other = x.clone()
    other[..., 1] = torch.randn(2, 40)
    plain, mixed = small(), small(mixed_channels=3)
    assert torch.equal(plain(x)[..., [0, 2]], plain(other)[..., [0, 2]])
    assert torch.allclose(plain(x[..., [2, 0, 1]]), plain(x)[..., [2, 0, 1]], atol=1e-6)
    assert not torch.allclose(mixed(x)[..., 0], mixed(other)[..., 0])


@settings(max_examples=20, deadline=None)
@given(a=st.floats(0.1, 50), b=st.floats(-100, 100), seed=st.integers(0, 99))
def test_a_forecast_moves_and_scales_with_its_series(a: float, b: float, seed: int) -> None:
    network = small().double()
    x = torch.randn(1, 40, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    with torch.no_grad():
        assert torch.allclose(network(a * x + b), a * network(x) + b, rtol=1e-3, atol=1e-2 * a)  # 1e-5 in the scale


@pytest.mark.parametrize(("a", "b"), [(1e-6, 0.0), (1e-3, 0.0), (1e6, 0.0), (1.0, 1e8), (1e-6, 1.0)])
def test_a_forecast_follows_any_scale_and_offset(a: float, b: float) -> None:
    x = np.random.default_rng(0).normal(size=(2, 48, 2))
    wanted = fitted().forecast(x)
    np.testing.assert_allclose((fitted().forecast(a * x + b) - b) / a, wanted, atol=1e-4)
    domain = series_domain(list(a * x + b))
    np.testing.assert_allclose((fitted().forecast(domain) - b) / a, wanted, atol=1e-3)


@pytest.mark.parametrize("value", [7.0, 0.1, 1e-9, -1e9, 0.0])
def test_a_constant_series_is_forecast_as_constant(value: float) -> None:
    np.testing.assert_allclose(fitted().forecast(np.full((1, 48, 1), value)), value, rtol=1e-9)


@pytest.mark.parametrize(("a", "b"), [(1e-9, 0.0), (1.0, 1e8)])
def test_tuning_follows_any_scale_and_offset(a: float, b: float) -> None:
    values, x = np.asarray(waves(1, seed=1).x[0], dtype=float), np.asarray(waves(1, seed=2).x[0], dtype=float)[None]
    plain = fitted(tune_epochs=1).adapt(series=series_domain([values], channels=("y0", "y1")))
    moved = fitted(tune_epochs=1).adapt(series=series_domain([a * values + b], channels=("y0", "y1")))
    np.testing.assert_allclose((moved.forecast(a * x + b) - b) / a, plain.forecast(x), atol=1e-3)


@settings(max_examples=10, deadline=None)
@given(sizes=st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_forecasts_do_not_depend_on_the_batch(sizes: list[int]) -> None:
    x = np.random.default_rng(0).normal(size=(sum(sizes), 48, 2))
    whole, model = fitted().forecast(x), fitted()
    pieces = np.split(x, np.cumsum(sizes)[:-1])
    np.testing.assert_allclose(np.concatenate([model.forecast(p) for p in pieces]), whole, atol=1e-5)


# -- step 9 ------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(length=st.integers(2, 60), k=st.integers(1, 9))
def test_downsampling_gives_the_floor_of_t_over_k_means(length: int, k: int) -> None:
    x = np.random.default_rng(length).normal(size=(length, 2)).astype(np.float32)
    found = downsample(x, k)
    assert len(found) == length // k
    naive = [[np.mean(x[i * k : (i + 1) * k, c]) for c in range(2)] for i in range(length // k)]
    np.testing.assert_allclose(found, np.array(naive).reshape(-1, 2), rtol=1e-4, atol=1e-5)


def test_a_mean_over_missing_points_is_of_those_that_are_there() -> None:
    x = np.array([1, np.nan, np.nan, np.nan, 5, 7], dtype=np.float32)[:, None]
    assert downsample(x, 2)[:, 0].tolist()[0] == 1
    assert np.isnan(downsample(x, 2)[1, 0])
    assert downsample(x, 2)[2, 0] == 6


def test_a_coarser_copy_has_another_resolution() -> None:
    told = [RESOLUTIONS[resolution_of(3600.0 * k)] for k in (1, 4, 24, 24 * 7, 24 * 30)]
    assert told == ["hour", "several hours", "day", "week", "month"]
    assert resolution_of(float("nan")) == 0
    assert [RESOLUTIONS[resolution_of(60.0 * m)] for m in (1, 10, 15, 30)] == [
        "minute", "ten minutes", "quarter of an hour", "half an hour",
    ]  # fmt: skip


def test_copies_are_as_long_as_three_contexts_and_horizons() -> None:
    assert factors(1000, 48, 12) == (2, 4)
    assert all(1000 // k >= 180 for k in factors(1000, 48, 12))


def test_standardized_channels_have_mean_0_and_deviation_1_and_constant_ones_are_0() -> None:
    x = np.stack([np.arange(50.0), np.full(50, 3.0)], axis=1)
    x[4, 0] = np.nan
    z = standardize(x)
    assert np.nanmean(z[:, 0]) == pytest.approx(0, abs=1e-6)
    assert np.nanstd(z[:, 0]) == pytest.approx(1, abs=1e-6)
    assert (z[:, 1] == 0).all()


def test_windows_of_the_pool_are_stretches_of_the_series() -> None:
    line = np.arange(100, dtype=np.float32)[:, None]
    pool = pool_of([line], [3600.0], context=16, horizon=4, shortest=16, downsampling=False)
    batch = pool.draw(50, torch.Generator().manual_seed(0))
    steps = torch.cat([batch.past, batch.future], dim=1)[..., 0].diff(dim=1)
    assert torch.allclose(steps, steps[0, 0].expand_as(steps), atol=1e-5)
    assert batch.observed.all()
    assert set(batch.resolution.tolist()) <= {0, resolution_of(3600.0)}


def test_all_series_of_a_source_share_its_weight() -> None:
    arrays = [np.random.default_rng(i).normal(size=(300, 1)) for i in range(5)]
    sizes: dict[str, Any] = {"context": 16, "horizon": 4, "shortest": 16, "downsampling": True}
    pool = pool_of(arrays, [3600.0] * 5, sources=["real", *["simulated"] * 4], **sizes)
    assert pool.shares == pytest.approx({"real": 1 / 3, "simulated": 2 / 3})  # the roots of 1 and 4
    each = pool_of(arrays, [3600.0] * 5, **sizes)
    assert list(each.shares.values()) == pytest.approx([0.2] * 5)
    assert sum(pool.shares.values()) == pytest.approx(1)


def test_the_share_of_every_source_is_kept_with_the_model() -> None:
    series = waves()
    series = series.replace(columns={**series.columns, "source": np.array(["a", "b", "b"])})
    model = TTM(**{**TINY, "epochs": 1, "steps": 1}).fit(series=series)
    assert model.shares_["b"] == pytest.approx(2**0.5 / (1 + 2**0.5))


def test_cut_contexts_are_at_least_the_shortest_and_end_at_the_forecast() -> None:
    pool = pool_of(
        [np.random.default_rng(0).normal(size=(300, 1))], [60.0], context=64, horizon=4, shortest=16, downsampling=False
    )
    seen = pool.draw(200, torch.Generator().manual_seed(0)).observed[..., 0]
    lengths = seen.sum(dim=1)
    assert lengths.min() >= 16
    assert lengths.max() == 64
    assert all(bool(row[-int(n) :].all()) for row, n in zip(seen, lengths))


# -- step 10: tuning ---------------------------------------------------------------------------------------


def test_few_shot_windows_are_the_last_and_end_before_validation() -> None:
    train, held = few_shot_origins(200, horizon=10, least=8, validation=0.2, fraction=0.1)
    assert train.tolist() == list(range(train[0], 151))
    assert train[-1] + 10 == 160
    assert held[0] == 160
    assert held[-1] + 10 == 200
    assert len(train) == round(0.1 * 143)


def test_a_frozen_backbone_is_bit_for_bit_as_it_was_and_the_head_is_not() -> None:
    base = fitted()
    tuned = base.adapt(series=waves(1, seed=1))
    for before, after in zip(base.network_.backbone_parts(), tuned.network_.backbone_parts()):
        assert all(torch.equal(a, b) for a, b in zip(before.state_dict().values(), after.state_dict().values()))
    assert not torch.equal(base.network_.head.weight, tuned.network_.head.weight)
    assert all(p.requires_grad for p in tuned.network_.parameters())


def test_full_tuning_changes_the_backbone() -> None:
    tuned = fitted(freeze=False).adapt(series=waves(1, seed=1))
    assert not torch.equal(_fitted().network_.patcher.weight, tuned.network_.patcher.weight)


def test_tuning_starts_at_the_pretrained_forecast() -> None:
    from unseen.methods.forecasting.ttm.tuning import target_network

    model = fitted(exogenous=("y1",), mixing="mix")
    base = model.network_
    settings_ = model._tuning(("y0", "y1"), ("y0",), ("y1",))
    network = target_network(base, settings_).eval()
    x = torch.randn(3, 48, 2)
    assert torch.equal(network(x, known=torch.randn(3, 12, 1)), base(x)[..., :1])


def test_with_a_copy_of_the_target_as_known_future_the_error_is_near_zero() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=(400, 1))
    series = series_domain([np.concatenate([y, y], axis=1)], channels=("y", "copy"))
    tuned = fitted(exogenous=("copy",), tune_epochs=120, patience=120, tune_learning_rate=0.03).adapt(series=series)
    assert tuned.history_[-1] < 0.15 * tuned.history_[0]
    past = np.concatenate([y, y], axis=1)[None, -60:-12]
    found = tuned.forecast(past, future=y[None, -12:])
    assert np.mean((found[0, :, 0] - y[-12:, 0]) ** 2) < 0.2 * np.var(y)


def test_the_range_test_is_used_where_no_rate_is_given() -> None:
    a, b = (fitted(tune_learning_rate=None, tune_epochs=1).adapt(series=waves(1, seed=1)) for _ in range(2))
    assert TTM().tune_learning_rate == 2e-3
    assert np.isfinite(a.history_).all()
    assert a.history_.tolist() == b.history_.tolist()


def test_adapt_leaves_what_it_was_asked_of_as_it_was_and_is_saved(tmp_path: Any) -> None:
    base = fitted(exogenous=("y1",))
    before = copy.deepcopy(base.network_.state_dict())
    tuned = base.adapt(series=waves(1, seed=1))
    assert all(torch.equal(before[k], v) for k, v in base.network_.state_dict().items())
    tuned.save(tmp_path / "m")
    x, future = np.random.default_rng(0).normal(size=(2, 48, 2)), np.zeros((2, 12, 1))
    assert (TTM.load(tmp_path / "m").forecast(x, future=future) == tuned.forecast(x, future=future)).all()


# -- steps 7 and 11: horizons ------------------------------------------------------------------------------


def test_a_shorter_forecast_is_the_beginning_of_the_longer_one() -> None:
    x = waves(2, seed=3)
    assert (fitted().forecast(x, horizon=5) == fitted().forecast(x)[:, :5]).all()


def test_a_longer_forecast_reads_its_own() -> None:
    model, x = fitted(), np.random.default_rng(0).normal(size=(1, 48, 1)).astype(np.float32)
    first = model.forecast(x)
    again = model.forecast(np.concatenate([x, first], axis=1)[:, -48:])
    np.testing.assert_allclose(model.forecast(x, horizon=20), np.concatenate([first, again[:, :8]], axis=1), atol=1e-5)


# -- what users bring --------------------------------------------------------------------------------------


def test_missing_values_are_read_around() -> None:
    x = np.random.default_rng(0).normal(size=(1, 48, 1))
    holes = x.copy()
    holes[0, [3, 20, 21]] = np.nan
    y = fitted().forecast(holes)
    assert np.isfinite(y).all()
    masked = fitted().network_(
        torch.nan_to_num(torch.as_tensor(holes, dtype=torch.float32), nan=123.0),
        None,
        None,
        torch.isfinite(torch.as_tensor(holes)),
    )
    np.testing.assert_allclose(y, masked.detach().numpy(), atol=1e-5)


def test_a_series_shorter_than_the_context_is_read_as_missing_in_front() -> None:
    x = np.random.default_rng(0).normal(size=(1, 20, 1))
    padded = np.concatenate([np.full((1, 28, 1), np.nan), x], axis=1)
    assert (fitted().forecast(x) == fitted().forecast(padded)).all()


@pytest.mark.parametrize(
    ("x", "told"),
    [
        (np.zeros((1, 7, 1)), "at least 8 points"),
        (np.full((1, 48, 1), np.nan), "no value in the last 48 points of channel 0"),
        (np.full((1, 48, 1), np.inf), "infinity"),
        (np.zeros((48, 1)), r"\(n, t, c\)"),
        (np.zeros((0, 48, 1)), "at least one series"),
    ],
)
def test_a_series_that_cannot_be_read_is_named(x: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        fitted().forecast(x)


def test_horizon_and_future_are_checked() -> None:
    x = np.zeros((1, 48, 1))
    for bad in (0, -3, True):
        with pytest.raises(ValueError, match="horizon must be"):
            fitted().forecast(x, horizon=bad)
    with pytest.raises(ValueError, match="future is for exogenous channels"):
        fitted().forecast(x, future=x)
    with pytest.raises(NotFittedError):
        TTM().forecast(x)


def test_the_future_of_exogenous_channels_is_required_and_checked() -> None:
    tuned = fitted(exogenous=("y1",)).adapt(series=waves(1, seed=1))
    x = waves(2, seed=2)
    with pytest.raises(ValueError, match="future must hold y1 at the 12 times to come"):
        tuned.forecast(x)
    with pytest.raises(ValueError, match="future must be of shape"):
        tuned.forecast(x, future=np.zeros((2, 5, 1)))
    with pytest.raises(ValueError, match="future must be finite"):
        tuned.forecast(x, future=np.full((2, 12, 1), np.nan))
    with pytest.raises(ValueError, match="channels y0, y1"):
        tuned.forecast(waves(1, channels=3), future=np.zeros((1, 12, 1)))
    assert tuned.forecast(x, horizon=30, future=np.zeros((2, 30, 1))).shape == (2, 30, 1)


def test_known_future_covariates_of_a_table_are_found_by_their_times() -> None:
    times = pd.date_range("2024-01-01", periods=412, freq="h")
    rng = np.random.default_rng(0)
    known = rng.normal(size=412)
    table = pd.DataFrame({"time": times[:400], "y": known[:400] + 0.1 * rng.normal(size=400), "x": known[:400]})
    ahead = pd.DataFrame({"time": times[::-1], "x": known[::-1]})  # more than is asked for, and in another order
    tuned = fitted(exogenous=("x",)).adapt(series=read_series(table))
    by_time = tuned.forecast(read_series(table), future=read_series(ahead))
    by_place = tuned.forecast(read_series(table), future=known[400:].reshape(1, 12, 1))
    np.testing.assert_allclose(by_time, by_place, atol=1e-5)
    with pytest.raises(ValueError, match="it lacks 2024-01-18"):
        tuned.forecast(read_series(table), future=read_series(ahead[2:]))


def test_roles_of_channels_are_checked() -> None:
    for settings_, told in (
        ({"exogenous": ("z",)}, "exogenous must be channels of the series"),
        ({"exogenous": ("y0", "y1")}, "leave a channel to forecast"),
        ({"exogenous": ("y0",), "targets": ("y0",)}, "not both"),
        ({"exogenous": ("y0",), "forecast_mixing": False}, "forecast_mixing must not be False"),
    ):
        with pytest.raises(ValueError, match=told):
            fitted(**settings_).adapt(series=waves(1))


def test_a_resolution_that_pretraining_has_not_seen_is_taken_as_unknown(caplog: pytest.LogCaptureFixture) -> None:
    x = np.random.default_rng(0).normal(size=(1, 48, 1))
    yearly = fitted().forecast(x, period=366 * 86400.0)
    assert "taken as unknown" in caplog.text
    assert (yearly == fitted().forecast(x)).all()
    assert not np.allclose(yearly, fitted().forecast(x, period=3600.0))


def test_a_pool_without_a_series_that_is_long_enough_says_so() -> None:
    with pytest.raises(ValueError, match=r"at least 16 \+ 12 points .* the longest has 20"):
        TTM(**TINY).fit(series=waves(2, length=20))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"levels": -1}, "levels"),
        ({"width": 18, "levels": 3}, "levels"),
        ({"patch": 64}, "patch"),
        ({"shortest": 4}, "shortest"),
    ],
)
def test_sizes_that_do_not_fit_together_are_named(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        TTM(**{**TINY, **changes}).fit(series=waves())


def test_pretraining_learns_and_is_better_than_the_mean() -> None:
    losses = _fitted().losses_
    assert losses[-1] < losses[0]
    x = waves(4, seed=9)
    past = np.stack([np.asarray(s)[:48] for s in x.x])
    truth = np.stack([np.asarray(s)[48:60] for s in x.x])
    assert np.mean((fitted().forecast(past) - truth) ** 2) < 0.8 * np.mean(truth**2)


def test_windows_of_a_target_may_begin_before_it() -> None:
    values = np.arange(20.0)[:, None]
    found = windows_of(values, np.array([3, 10]), 8, 4, 5)
    assert found.observed[0, :, 0].tolist() == [False] * 5 + [True] * 3
    assert found.future[1, :, 0].tolist() == [10, 11, 12, 13]
    assert found.past[1, :, 0].tolist() == list(range(2, 10))

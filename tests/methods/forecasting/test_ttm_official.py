"""The official module beside ours: equal forecasts when weights are copied across (optional: granite-tsfm)."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from unseen.methods.forecasting.ttm.network import Shape, TinyTimeMixer
from unseen.methods.forecasting.ttm.official import translated
from unseen.nn.build import n_parameters

BASE = {
    "context_length": 520, "patch_length": 64, "patch_stride": 64, "num_input_channels": 5, "prediction_length": 96,
    "d_model": 192, "num_layers": 2, "adaptive_patching_levels": 3, "decoder_num_layers": 2, "decoder_d_model": 128,
}  # fmt: skip
MIXED = {
    "enable_forecast_channel_mixing": True, "exogenous_channel_indices": [1, 3],
    "prediction_channel_indices": [0, 2, 4], "decoder_mode": "mix_channel", "fcm_context_length": 2,
}  # fmt: skip
OURS = {"mixed_channels": 5, "targets": (0, 2, 4), "exogenous": (1, 3), "forecast_mixing": True, "window": 2}


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ({}, {}),
        ({"adaptive_patching_levels": 0}, {"levels": 0}),
        ({"resolution_prefix_tuning": True, "frequency_token_vocab_size": 9}, {"resolutions": 9}),
        ({"decoder_mode": "mix_channel", "decoder_raw_residual": True}, {"mixed_channels": 5, "raw_residual": True}),
        (MIXED, OURS),
        ({**MIXED, "fcm_use_mixer": True}, {**OURS, "window_mixer": True}),
    ],
    ids=["plain", "no levels", "prefix", "mixed channels", "exogenous", "exogenous, mixer"],
)
def test_equal_weights_give_equal_forecasts(theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    configuration = pytest.importorskip("tsfm_public.models.tinytimemixer.configuration_tinytimemixer")
    modeling = pytest.importorskip("tsfm_public.models.tinytimemixer.modeling_tinytimemixer")
    torch.manual_seed(0)
    official = modeling.TinyTimeMixerForPrediction(configuration.TinyTimeMixerConfig(**{**BASE, **theirs})).eval()
    network = TinyTimeMixer(Shape(**{"context": 520, **ours})).eval()
    network.load_state_dict(translated(official.state_dict()))
    assert n_parameters(network) == sum(p.numel() for p in official.parameters())
    x, future = torch.randn(4, 520, 5).cumsum(dim=1), torch.randn(4, 96, 5)
    options = {"freq_token": torch.arange(4)} if "resolution_prefix_tuning" in theirs else {}
    with torch.no_grad():
        expected = official(past_values=x, future_values=future, return_loss=False, **options).prediction_outputs
        known = future[..., [1, 3]] if "exogenous_channel_indices" in theirs else None
        found = network(x, options.get("freq_token"), known)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_a_state_of_something_else_is_refused() -> None:
    with pytest.raises(ValueError, match="TinyTimeMixerForPrediction"):
        translated({"backbone.encoder.banana.weight": torch.zeros(1)})

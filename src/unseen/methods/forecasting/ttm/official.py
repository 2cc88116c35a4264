"""Weights of the official package (`tsfm_public.models.tinytimemixer`) under the names that they have here."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

NAMES = (
    (r"^backbone\.encoder\.patcher\.", "patcher."),
    (r"^backbone\.encoder\.freq_mod\.", "prefix."),
    (r"^backbone\.encoder\.mlp_mixer_encoder\.mixers\.(\d+)\.mixer_layers\.(\d+)\.", r"mixers.\1.layers.\2."),
    (r"^backbone\.encoder\.mlp_mixer_encoder\.mixers\.(\d+)\.", r"mixers.\1."),
    (r"^decoder\.decoder_block\.mixers\.(\d+)\.", r"decoder.\1."),
    (r"^decoder\.adapter\.", "adapter."),
    (r"^decoder\.decoder_raw_embedding\.", "raw."),
    (r"^head\.base_forecast_block\.", "head."),
    (r"^head\.fcm_block\.mlp\.", "forecast_mixer.out."),
    (r"^head\.fcm_block\.fcm_gating_block\.attn_layer\.", "forecast_mixer.gate."),
    (r"^head\.fcm_block\.fcm_embedding\.", "forecast_mixer.embed.0."),
    (r"(^|\.)channel_feature_mixer\.", r"\1channels."),
    (r"(^|\.)patch_mixer\.", r"\1patches."),
    (r"(^|\.)feature_mixer\.", r"\1features."),
    (r"\.norm\.norm\.", ".norm."),
    (r"\.mlp\.fc1\.", ".mixed.wide."),
    (r"\.mlp\.fc2\.", ".mixed.narrow."),
    (r"\.gating_block\.attn_layer\.", ".mixed.gate."),
)


def translated(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state of an official `TinyTimeMixerForPrediction` as the state of a `TinyTimeMixer` of the same sizes.

    Raises
    ------
    ValueError
        If a name is none of the official package's.
    """
    return {_translate(name): value for name, value in state.items()}


def _translate(name: str) -> str:
    renamed = re.sub(
        r"^head\.fcm_block\.exog_mixer\.mixers\.(\d+)\.", lambda m: f"forecast_mixer.embed.{int(m[1]) + 1}.", name
    )
    for pattern, replacement in NAMES:
        renamed = re.sub(pattern, replacement, renamed)
    if renamed.startswith(("backbone.", "head.fcm_block.", "decoder.decoder_block.")):
        raise ValueError(f"state must come from TinyTimeMixerForPrediction; it has {name!r}")
    return renamed

"""VideoMAE of transformers as the encoder of `unseen.nn.video_mae`, which a method may go on training.

Weights come from the caller: a local folder, or the hub.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from unseen.nn.video_mae import VideoEncoder, video_encoder


def of_transformers_videomae(model: Any) -> VideoEncoder:
    """The encoder of a `transformers.VideoMAEModel`, or of one with a head; its tokens are the same.

    Parameters
    ----------
    model : VideoMAEModel, VideoMAEForPreTraining or VideoMAEForVideoClassification
        Such as ``VideoMAEModel.from_pretrained(folder)``. A classifier's norm behind the mean of tokens comes along;
        other models have none, and begin with a fresh one.

    Raises
    ------
    ValueError
        If it is another model, has another activation than GELU, or norms tokens before their mean.
    """
    body = getattr(model, "videomae", model)
    embeddings: Any = getattr(getattr(body, "embeddings", None), "patch_embeddings", None)
    if not isinstance(getattr(embeddings, "projection", None), nn.Conv3d):
        raise ValueError(f"model must be a VideoMAE of transformers; got {type(model).__name__}")
    config = body.config
    if config.hidden_act != "gelu" or int(config.num_channels) != 3:
        raise ValueError(
            f"model must read three colours with GELU; it has {config.num_channels}, {config.hidden_act!r}"
        )
    if getattr(body, "layernorm", None) is not None:
        raise ValueError("model must take the mean of its tokens (use_mean_pooling); it norms them first")
    height, width = embeddings.image_size
    encoder: VideoEncoder = video_encoder(
        int(config.num_frames), (int(height), int(width)), embeddings.tubelet_size, int(embeddings.patch_size[0]),
        int(config.hidden_size), int(config.num_hidden_layers), int(config.num_attention_heads),
        int(config.intermediate_size), float(config.layer_norm_eps),
    )  # fmt: skip
    with torch.no_grad():
        encoder.patches.load_state_dict(embeddings.projection.state_dict())
        for into, of in zip(encoder.blocks, body.encoder.layer):
            part: Any = into
            _norm(part.ln_1, of.layernorm_before)
            _norm(part.ln_2, of.layernorm_after)
            attention = of.attention.attention
            lines = (attention.query, attention.key, attention.value)
            part.qkv.weight.copy_(torch.cat([line.weight for line in lines]))
            part.qkv.bias.copy_(torch.cat([_bias(line) for line in lines]))
            for line, source in (
                (part.out, of.attention.output.dense), (part.fc, of.intermediate.dense), (part.proj, of.output.dense)
            ):  # fmt: skip
                line.load_state_dict(source.state_dict())
        if isinstance(getattr(model, "fc_norm", None), nn.LayerNorm):
            _norm(encoder.norm, model.fc_norm)
    return encoder.eval()


def _bias(line: nn.Linear) -> Tensor:
    """Keys have none."""
    return torch.zeros(line.out_features) if line.bias is None else line.bias


def _norm(into: nn.LayerNorm, of: nn.LayerNorm) -> None:
    into.load_state_dict(of.state_dict())

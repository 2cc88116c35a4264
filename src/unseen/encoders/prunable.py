"""open_clip's models as towers from which parts can be taken (`unseen.nn.towers`)."""

from __future__ import annotations

import copy
import importlib.util
from typing import Any

import torch
from torch import Tensor, nn

from unseen.encoders.base import Encoder
from unseen.encoders.clip import ClipTokens
from unseen.encoders.promptable import open_clip_image, two_towers
from unseen.nn.dual_encoder import BytePairs, DualEncoder, TextReader, dual_encoder
from unseen.nn.towers import Activation, Block, PrunableTower, TextTower, VisionTower, text_tower, vision_tower


def prunable_towers(encoder: Encoder) -> DualEncoder:
    """A copy of the towers of an encoder that can be made small: ``open_clip:...``, or ``towers:FOLDER``.

    Raises
    ------
    TypeError
        If it has no two towers.
    ValueError
        If they are neither CLIP's transformers nor its ResNets, or texts are not written in its byte pairs.
    """
    encoder = two_towers(encoder)
    model = getattr(encoder.image.module, "model", None)
    if isinstance(model, DualEncoder):
        return copy.deepcopy(model)
    tokens = encoder.text.preprocess
    if model is None or not isinstance(tokens, ClipTokens):
        raise ValueError(
            f"encoder {encoder.name!r} has towers from which nothing can be taken: name an open_clip model, or a "
            "folder of towers (towers:FOLDER)"
        )
    if type(tokens.tokenizer).__name__ != "SimpleTokenizer":
        raise ValueError(
            f"encoder {encoder.name!r} writes texts in a way that cannot be saved: it needs CLIP's byte pairs"
        )
    return of_open_clip(model, BytePairs(int(tokens.tokenizer.context_length or 77)))


def towers_by_size(name: str) -> DualEncoder | None:
    """The towers of ``open_clip:ARCH/...`` without a weight, in no time: for their sizes. None of any other name.

    Raises
    ------
    ValueError
        As `prunable_towers`, before weights are read or downloaded.
    """
    scheme, _, argument = name.partition(":")
    arch = argument.partition("?")[0].partition("/")[0]
    if scheme != "open_clip" or importlib.util.find_spec("open_clip") is None:
        return None
    import open_clip

    config = open_clip.get_model_config(arch) if arch in open_clip.list_models() else None
    if config is None or "hf_model_name" in config["text_cfg"] or "timm_model_name" in config["vision_cfg"]:
        return None  # loading it says what is wrong
    kind = open_clip.CustomTextCLIP if config.pop("custom_text", False) else open_clip.CLIP
    if "multimodal_cfg" in config:
        return None
    with torch.device("meta"):
        model = kind(**config)
        model.logit_scale = nn.Parameter(torch.zeros((), device="cpu"))
        return of_open_clip(model, BytePairs(int(config["text_cfg"].get("context_length", 77))))


def of_open_clip(model: Any, reader: TextReader) -> DualEncoder:
    """The towers of an open_clip model, which give what it gives."""
    image, text = _image(model.visual), _text(model)
    towers = dual_encoder(image, text, reader.to_json(), float(model.logit_scale.detach().exp()))
    towers.reader = reader
    return towers.eval()


# -- pictures ----------------------------------------------------------------------------------------------


def _image(visual: Any) -> nn.Module:
    if hasattr(visual, "attnpool"):
        return _resnet(visual)
    if not all(hasattr(visual, name) for name in ("conv1", "class_embedding", "transformer", "proj")):
        raise ValueError(f"the image tower is neither CLIP's transformer nor its ResNet; got {type(visual).__name__}")
    if visual.attn_pool is not None or visual.proj is None:
        raise ValueError("the image tower pools by attention, or has no projection: nothing can be taken from it")
    pools = {"tok": "token", "avg": "mean-first" if visual.final_ln_after_pool else "mean"}
    if visual.pool_type not in pools:
        raise ValueError(f"the image tower must pool by its class token or the mean; got {visual.pool_type!r}")
    blocks = _blocks(visual.transformer, "image")
    width, dim = visual.proj.shape
    tower: VisionTower = vision_tower(
        visual.image_size, visual.patch_size, dim=int(dim), pool=pools[visual.pool_type],  # type: ignore[arg-type]
        norm_first=isinstance(visual.ln_pre, nn.LayerNorm), **_sizes(blocks, int(width)),
    )  # fmt: skip
    with torch.no_grad():
        tower.patches.weight.copy_(visual.conv1.weight)
        tower.class_token.copy_(visual.class_embedding)
        tower.positions.copy_(visual.positional_embedding)
        tower.projection.copy_(visual.proj)
        _norm(tower.last, visual.ln_post)
        if tower.first is not None:
            _norm(tower.first, visual.ln_pre)
        _copied(tower, blocks)
    return tower


def _resnet(visual: Any) -> nn.Module:
    """A copy that can be built again in another width."""
    width = int(visual.conv3.out_channels)
    config = {
        "layers": tuple(len(getattr(visual, f"layer{i}")) for i in range(1, 5)),
        "width": width,
        "image_size": visual.image_size,
        "head_width": width * 32 // visual.attnpool.num_heads,
    }
    network = open_clip_image(int(visual.output_dim), config)
    network.load_state_dict(visual.state_dict())
    return network


# -- texts -------------------------------------------------------------------------------------------------


def _text(model: Any) -> TextTower:
    text = getattr(model, "text", model)
    if getattr(text, "token_embedding", None) is None or getattr(text, "cls_emb", None) is not None:
        raise ValueError("the text tower is not CLIP's transformer: nothing can be taken from it")
    kind = getattr(text, "pool_type", None) or getattr(model, "text_pool_type", "argmax")
    if kind not in ("argmax", "eos") or text.attn_mask is None:
        raise ValueError(f"the text tower must be causal and read where a text ends; this one pools by {kind!r}")
    projection = text.text_projection
    if projection is None:
        raise ValueError("the text tower has no projection: nothing can be taken from it")
    linear = isinstance(projection, nn.Linear)
    end: Any = "largest" if kind == "argmax" else int(getattr(text, "eos_id", getattr(model, "text_eos_id", 2)))
    blocks = _blocks(text.transformer, "text")
    vocabulary, width = text.token_embedding.weight.shape
    dim = projection.out_features if linear else projection.shape[1]
    bias = linear and projection.bias is not None
    tower: TextTower = text_tower(
        vocabulary, len(text.positional_embedding), dim=int(dim), end=end, bias=bias, **_sizes(blocks, width)
    )
    with torch.no_grad():
        tower.tokens.weight.copy_(text.token_embedding.weight)
        tower.positions.copy_(text.positional_embedding)
        tower.projection.copy_(projection.weight.T if linear else projection)
        if tower.projection_bias is not None:
            tower.projection_bias.copy_(projection.bias)
        _norm(tower.last, text.ln_final)
        _copied(tower, blocks)
    return tower


# -- layers ------------------------------------------------------------------------------------------------


def _blocks(transformer: Any, side: str) -> list[Any]:
    """Layers of attention and perceptron, found to be CLIP's own."""
    blocks = list(transformer.resblocks)
    for block in blocks:
        if not isinstance(getattr(block, "attn", None), nn.MultiheadAttention) or not hasattr(block.mlp, "c_fc"):
            raise ValueError(f"the {side} tower has layers of another make ({type(block).__name__})")
    return blocks


def _sizes(blocks: list[Any], width: int) -> dict[str, Any]:
    kind = type(blocks[0].mlp.gelu).__name__
    activation: Activation = "quick-gelu" if kind == "QuickGELU" else "gelu"
    return {
        "width": width,
        "head": width // blocks[0].attn.num_heads,
        "heads": tuple(block.attn.num_heads for block in blocks),
        "mlp": tuple(block.mlp.c_fc.out_features for block in blocks),
        "activation": activation,
        "eps": blocks[0].ln_1.eps,
    }


def _copied(tower: PrunableTower, blocks: list[Any]) -> None:
    """The weights of all layers; a factor behind a layer (LayerScale) goes into its weights."""
    for into, of in zip(tower.blocks, blocks):
        assert isinstance(into, Block)
        _norm(into.ln_1, of.ln_1)
        _norm(into.ln_2, of.ln_2)
        into.qkv.weight.copy_(of.attn.in_proj_weight)
        into.qkv.bias.copy_(of.attn.in_proj_bias)
        into.fc.weight.copy_(of.mlp.c_fc.weight)
        into.fc.bias.copy_(of.mlp.c_fc.bias)
        for layer, source, factor in (
            (into.out, of.attn.out_proj, of.ls_1),
            (into.proj, of.mlp.c_proj, of.ls_2),
        ):
            gamma: Tensor = getattr(factor, "gamma", torch.ones(1))
            layer.weight.copy_(gamma[:, None] * source.weight)
            layer.bias.copy_(gamma * source.bias)


def _norm(into: nn.LayerNorm, of: nn.LayerNorm) -> None:
    """Weights; what is added to the variance is said when the tower is made, which is all that a saved one knows."""
    if of.eps != into.eps:
        raise ValueError(f"all norms of the model must have one eps; got {into.eps:g} and {of.eps:g}")
    into.load_state_dict(of.state_dict())

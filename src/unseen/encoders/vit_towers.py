"""Vision transformers of other libraries as the towers of `unseen.nn.towers`, which can be opened layer by layer.

What open_clip has is turned by `unseen.encoders.prunable.prunable_towers`; here are CLIP as transformers has it, and
timm's plain vision transformers, which have no text tower. Weights come from the caller: a local folder, or the hub.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from unseen.nn.dual_encoder import BytePairs, DualEncoder, TextReader, dual_encoder
from unseen.nn.towers import Activation, TextTower, VisionTower, text_tower, vision_tower


def of_transformers_clip(model: Any, reader: TextReader | None = None) -> DualEncoder:
    """The towers of a `transformers.CLIPModel`, which give what it gives.

    Parameters
    ----------
    model : CLIPModel
        Such as ``CLIPModel.from_pretrained(folder)``.
    reader : TextReader, optional
        How texts are numbered; CLIP's byte pairs if absent.

    Raises
    ------
    ValueError
        If it is another model, or its activation is neither GELU nor QuickGELU.
    """
    vision, text = getattr(model, "vision_model", None), getattr(model, "text_model", None)
    if vision is None or text is None or not hasattr(vision, "pre_layrnorm"):
        raise ValueError(f"model must be a CLIPModel of transformers; got {type(model).__name__}")
    config, dim = model.config, int(model.config.projection_dim)
    seen, read = config.vision_config, config.text_config
    reader = BytePairs(int(read.max_position_embeddings)) if reader is None else reader
    side, patch = (int(seen.image_size),) * 2, (int(seen.patch_size),) * 2
    image: VisionTower = vision_tower(side, patch, dim=dim, **_sizes(seen))
    end: Any = "largest" if read.eos_token_id == 2 else int(read.eos_token_id)
    words: TextTower = text_tower(
        int(read.vocab_size), int(read.max_position_embeddings), dim=dim, end=end, **_sizes(read)
    )
    with torch.no_grad():
        image.patches.weight.copy_(vision.embeddings.patch_embedding.weight)
        image.class_token.copy_(vision.embeddings.class_embedding)
        image.positions.copy_(vision.embeddings.position_embedding.weight)
        assert image.first is not None
        _norm(image.first, vision.pre_layrnorm)
        _norm(image.last, vision.post_layernorm)
        image.projection.copy_(model.visual_projection.weight.T)
        words.tokens.weight.copy_(text.embeddings.token_embedding.weight)
        words.positions.copy_(text.embeddings.position_embedding.weight)
        _norm(words.last, text.final_layer_norm)
        words.projection.copy_(model.text_projection.weight.T)
        for tower, layers in ((image, vision.encoder.layers), (words, text.encoder.layers)):
            for into, of in zip(tower.layers, layers):
                attention = of.self_attn
                _norm(into.ln_1, of.layer_norm1)
                _norm(into.ln_2, of.layer_norm2)
                into.qkv.weight.copy_(_three(attention, "weight"))
                into.qkv.bias.copy_(_three(attention, "bias"))
                for layer, source in ((into.out, attention.out_proj), (into.fc, of.mlp.fc1), (into.proj, of.mlp.fc2)):
                    layer.load_state_dict(source.state_dict())
    towers = dual_encoder(image, words, reader.to_json(), float(model.logit_scale.detach().exp()))
    towers.reader = reader
    return towers.eval()


def of_timm(network: Any) -> VisionTower:
    """A plain vision transformer of timm, which gives its class token before a classifier; a bias of patches goes into
    the positions, and a factor behind a layer into its weights.

    Raises
    ------
    ValueError
        If it has no class token, other tokens beside it, or layers of another make.
    """
    blocks = getattr(network, "blocks", None)
    if blocks is None or getattr(network, "cls_token", None) is None or getattr(network, "num_prefix_tokens", 0) != 1:
        kind = type(network).__name__
        raise ValueError(f"network must be a vision transformer of timm with a class token; got {kind}")
    first = blocks[0]
    plain = all(isinstance(getattr(first.attn, name), nn.Identity) for name in ("q_norm", "k_norm"))
    placed = network.pos_embed.shape[1] == network.patch_embed.num_patches + 1
    if not (plain and placed and isinstance(first.mlp.act, nn.GELU)):
        raise ValueError(f"network has layers or positions of another make ({type(first).__name__})")
    width = int(network.embed_dim)
    tower: VisionTower = vision_tower(
        network.patch_embed.img_size, network.patch_embed.patch_size, width, width // first.attn.num_heads,
        tuple(block.attn.num_heads for block in blocks), tuple(block.mlp.fc1.out_features for block in blocks), width,
        norm_first=isinstance(network.norm_pre, nn.LayerNorm), eps=first.norm1.eps,
    )  # fmt: skip
    with torch.no_grad():
        tower.patches.weight.copy_(network.patch_embed.proj.weight)
        tower.class_token.copy_(network.cls_token[0, 0])
        tower.positions.copy_(network.pos_embed[0])
        if network.patch_embed.proj.bias is not None:
            tower.positions[1:] += network.patch_embed.proj.bias
        tower.projection.copy_(torch.eye(width))
        if tower.first is not None:
            _norm(tower.first, network.norm_pre)
        if isinstance(network.norm, nn.LayerNorm):
            _norm(tower.last, network.norm)
        for into, of in zip(tower.layers, blocks):
            _norm(into.ln_1, of.norm1)
            _norm(into.ln_2, of.norm2)
            into.qkv.weight.copy_(of.attn.qkv.weight)
            into.qkv.bias.zero_()
            if of.attn.qkv.bias is not None:
                into.qkv.bias.copy_(of.attn.qkv.bias)
            into.fc.load_state_dict(of.mlp.fc1.state_dict())
            for layer, source, factor in ((into.out, of.attn.proj, of.ls1), (into.proj, of.mlp.fc2, of.ls2)):
                gamma: Tensor = getattr(factor, "gamma", torch.ones(1))
                layer.weight.copy_(gamma[:, None] * source.weight)
                layer.bias.copy_(gamma * source.bias)
    return tower.eval()


def _three(attention: Any, part: str) -> Tensor:
    return torch.cat([getattr(getattr(attention, name), part) for name in ("q_proj", "k_proj", "v_proj")])


def _sizes(config: Any) -> dict[str, Any]:
    activations: dict[str, Activation] = {"quick_gelu": "quick-gelu", "gelu": "gelu"}
    if config.hidden_act not in activations:
        raise ValueError(f"model must have the activation gelu or quick_gelu; got {config.hidden_act!r}")
    heads, layers = int(config.num_attention_heads), int(config.num_hidden_layers)
    return {
        "width": int(config.hidden_size),
        "head": int(config.hidden_size) // heads,
        "heads": (heads,) * layers,
        "mlp": (int(config.intermediate_size),) * layers,
        "activation": activations[config.hidden_act],
        "eps": float(config.layer_norm_eps),
    }


def _norm(into: nn.LayerNorm, of: nn.LayerNorm) -> None:
    """Weights; what is added to the variance is said when the tower is made, which is all that a saved one knows."""
    if of.eps != into.eps:
        raise ValueError(f"all norms of the model must have one eps; got {into.eps:g} and {of.eps:g}")
    into.load_state_dict(of.state_dict())

"""Two-tower encoders as networks that methods read layer by layer and prompt with vectors."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from torch import nn

from unseen.encoders.base import Encoder
from unseen.encoders.clip import ClipTokens
from unseen.encoders.clip import TextTower as ClipTextTower
from unseen.encoders.lite_clip import ConSE, conse
from unseen.encoders.text import MeanPooled, TextPreprocess
from unseen.encoders.towers import ImageSide, TextSide
from unseen.encoders.two_tower import TwoTowerEncoder
from unseen.nn.build import builder
from unseen.nn.layer_statistics import reader_of
from unseen.nn.prompting import (
    CausalText,
    PromptableText,
    PromptableTowers,
    has_token_vectors,
    pooled_text_of,
    tower_text,
)


def promptable(encoder: Encoder) -> PromptableTowers:
    """A copy of a two-tower encoder (``lite-clip``, ``open_clip:...``) as `PromptableTowers`.

    The image layers are the blocks of a ViT, the four stages of a ResNet, or the stages of a timm network.

    Raises
    ------
    TypeError
        If it has no two towers.
    ValueError
        If its text tower takes no prompts of vectors, or its image tower has no layers that are known.
    """
    encoder = two_towers(encoder)
    network = image_network(encoder)
    image = reader_of(network, layer_names(network), encoder.image.example()[:1])
    return PromptableTowers(image, text_network(encoder), encoder.logit_scale, tokenizer_of(encoder.text))


def takes_prompts(encoder: TwoTowerEncoder) -> bool:
    """Whether its text tower takes prompts of vectors, such as CLIP's and MiniLM do."""
    text, tokens = encoder.text.module, encoder.text.preprocess
    if isinstance(text, TextSide):
        return has_token_vectors(text.model.text)
    pieces = isinstance(text, MeanPooled) and isinstance(tokens, TextPreprocess)
    return pieces or (isinstance(text, ClipTextTower) and isinstance(tokens, ClipTokens))


def tokenizer_of(text: Encoder) -> Callable[[Sequence[str]], list[list[int]]]:
    """From texts to the numbers of their tokens, without padding, as an encoder of texts reads them."""
    tokens = text.preprocess
    if isinstance(tokens, TextPreprocess):
        return partial(_piece_numbers, copy.deepcopy(tokens))
    if isinstance(text.module, TextSide):
        return partial(_tower_numbers, tokens, text.module.model.text)
    return partial(_clip_numbers, tokens.tokenizer)  # type: ignore[attr-defined]


def two_towers(encoder: Encoder) -> TwoTowerEncoder:
    """The encoder, found to have two towers."""
    if not isinstance(encoder, TwoTowerEncoder):
        raise TypeError(f"encoder must have two towers, such as lite-clip; got {encoder!r}")
    return encoder


def image_network(encoder: TwoTowerEncoder) -> nn.Module:
    """A copy of the image tower, from a batch to vectors, that can be built again."""
    tower = encoder.image.module
    if isinstance(tower, ImageSide):
        return copy.deepcopy(tower.model.image)
    return _lite_image(tower) if isinstance(tower, ConSE) else _open_clip_image(encoder)


def text_network(encoder: TwoTowerEncoder) -> PromptableText:
    """A copy of the text tower, from vectors of tokens to unit vectors, that can be built again."""
    text, tokens = encoder.text.module, encoder.text.preprocess
    if isinstance(text, TextSide) and has_token_vectors(text.model.text):
        return tower_text(copy.deepcopy(text.model.text)).eval()
    if isinstance(text, MeanPooled) and isinstance(tokens, TextPreprocess):
        return pooled_text_of(text.transformer)
    if isinstance(text, ClipTextTower) and isinstance(tokens, ClipTokens):
        return _open_clip_text(text.model)
    raise ValueError(f"encoder {encoder.name!r} has a text tower that takes no prompts of vectors")


def reading(towers: PromptableTowers, encoder: TwoTowerEncoder) -> Encoder:
    """An encoder from pictures to rows of the towers' layers, so that they are read once and kept.

    `encode` gives features that methods read in the place of the pictures; they are computed in float32.
    """
    return Encoder(
        name=f"{encoder.name}/layers",
        module=towers.image,
        preprocess=encoder.image.preprocess,
        batch_size=encoder.image.batch_size,
        precision="fp32",
        identity=f"{encoder.fingerprint}/{towers.image.layers}",
    )


def layer_names(network: nn.Module) -> tuple[str, ...]:
    """The modules of an image network that stand for its layers; `ValueError` if there are none that are known."""
    names = {name for name, _ in network.named_modules()}
    for parent in ("transformer.resblocks", "blocks", "stages", "layer"):
        ends = [name for name in names if name == parent or name.endswith(f".{parent}")] if parent != "layer" else []
        if ends:
            top = min(ends, key=len)
            return tuple(f"{top}.{child}" for child, _ in network.get_submodule(top).named_children())
    stages = tuple(f"layer{i}" for i in range(1, 5))
    for prefix in ("", *sorted((f"{name}." for name in names if name), key=len)):
        if all(f"{prefix}{stage}" in names for stage in stages):
            return tuple(f"{prefix}{stage}" for stage in stages)
    known = "transformer.resblocks, blocks, stages or layer1 to layer4"
    raise ValueError(f"the image tower has no layers that are known ({known}); name them with `nn.layer_statistics`")


# -- lite-clip -----------------------------------------------------------------------------------------------


def _lite_image(tower: ConSE) -> nn.Module:
    """A copy of lite-clip's image tower that can be built again."""
    vectors = tower.vectors
    clone = conse(copy.deepcopy(tower.probabilities.network), len(vectors), vectors.shape[1], tower.top)
    clone.vectors.copy_(vectors)
    return clone.eval()


def _piece_numbers(preprocess: TextPreprocess, texts: Sequence[str]) -> list[list[int]]:
    """Word pieces with [CLS] and [SEP]."""
    ids, mask = preprocess(list(texts)).unbind(dim=1)
    return [row[keep.bool()].tolist() for row, keep in zip(ids, mask)]


# -- towers of the house --------------------------------------------------------------------------------------


def _tower_numbers(preprocess: Any, tower: Any, texts: Sequence[str]) -> list[list[int]]:
    """Numbers of tokens up to the one at which the tower reads a text."""
    tokens = preprocess(list(texts))
    return [row[: max(int(end), 0) + 1].tolist() for row, end in zip(tokens, tower.ends_at(tokens))]


# -- open_clip -----------------------------------------------------------------------------------------------


def _clip_numbers(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """Byte pairs with the tokens that begin and end a text: the largest number ends it."""
    return [row[: int(row.argmax()) + 1].tolist() for row in tokenizer(list(texts))]


def _open_clip_image(encoder: TwoTowerEncoder) -> nn.Module:
    """A copy of the visual tower."""
    model: Any = getattr(encoder.image.module, "model", None)
    config = _config(encoder)
    network = open_clip_image(config["embed_dim"], config["vision_cfg"], _quick(model))
    network.load_state_dict(model.visual.state_dict())
    return network.eval()


def _open_clip_text(model: Any) -> CausalText:
    """A copy of the text tower, be it inside the model or a module of its own."""
    text = getattr(model, "text", model)
    if getattr(text, "token_embedding", None) is None or getattr(text, "cls_emb", None) is not None:
        raise ValueError("this open_clip model has a text tower that takes no prompts of vectors")
    kind = getattr(text, "pool_type", getattr(model, "text_pool_type", "argmax"))
    if kind != "argmax":
        raise ValueError(f"the text tower must be read where the text ends; this open_clip model pools by {kind!r}")
    rows, width = text.token_embedding.weight.shape
    blocks = text.transformer.resblocks
    config = {
        "context_length": len(text.positional_embedding),
        "vocab_size": rows,
        "width": width,
        "heads": blocks[0].attn.num_heads,
        "layers": len(blocks),
        "mlp_ratio": blocks[0].mlp.c_fc.out_features / width,
        "no_causal_mask": text.attn_mask is None,
    }
    tower = open_clip_text(int(text.text_projection.shape[1]), config, _quick(model))
    state = tower.network.state_dict()
    tower.network.load_state_dict({key: value for key, value in text.state_dict().items() if key in state})
    return tower.eval()


def _quick(model: Any) -> bool:
    """Whether the model's activation is the quick GELU of OpenAI's weights."""
    return any(type(module).__name__ == "QuickGELU" for module in model.modules())


def _config(encoder: TwoTowerEncoder) -> dict[str, Any]:
    """open_clip's description of the architecture."""
    import open_clip

    tokens = encoder.text.preprocess
    config = open_clip.get_model_config(tokens.arch) if isinstance(tokens, ClipTokens) else None
    if config is None or not hasattr(getattr(encoder.image.module, "model", None), "visual"):
        raise ValueError(f"encoder {encoder.name!r} is neither lite-clip nor an open_clip model")
    return config


@builder("open_clip-image")
def open_clip_image(dim: int, config: Mapping[str, Any], quick: bool = False) -> nn.Module:
    """An image tower of open_clip with fresh weights."""
    from open_clip import model

    known = {field.name for field in dataclasses.fields(model.CLIPVisionCfg)}
    settings = {key: value for key, value in config.items() if key in known}
    settings |= {"timm_model_pretrained": False}
    return model._build_vision_tower(dim, model.CLIPVisionCfg(**settings), quick)


@builder("open_clip-text")
def open_clip_text(dim: int, config: Mapping[str, Any], quick: bool = False) -> CausalText:
    """A text tower of open_clip with fresh weights."""
    from open_clip import model

    return CausalText(model._build_text_tower(dim, model.CLIPTextCfg(**config), quick).eval())

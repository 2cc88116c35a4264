"""Vision transformers of transformers and timm as towers that can be opened: they give what they gave."""

import pytest
import torch

from unseen.encoders.vit_towers import of_timm, of_transformers_clip
from unseen.nn.build import rebuild, recipe_of
from unseen.nn.dual_encoder import Letters


def again(tower):
    """What a saved tower is when it is loaded."""
    made = rebuild(recipe_of(tower))
    made.load_state_dict(tower.state_dict())
    return made.eval()


@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
def test_clip_of_transformers_gives_the_same_vectors(activation):
    from transformers import CLIPConfig, CLIPModel

    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    vision = {**sizes, "image_size": 16, "patch_size": 8, "hidden_act": activation}
    text = {**sizes, "vocab_size": 32, "max_position_embeddings": 12, "eos_token_id": 2, "hidden_act": activation}
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=24)).eval()
    towers = of_transformers_clip(model, Letters(12))
    pictures, tokens = torch.randn(3, 3, 16, 16), towers.tokenize(["a dog", "moving left"])
    padded = torch.where(tokens < 0, 0, tokens)
    with torch.no_grad():
        seen = model.visual_projection(model.vision_model(pixel_values=pictures).pooler_output)
        read = model.text_projection(model.text_model(input_ids=padded).pooler_output)
        assert torch.allclose(towers.image(pictures), seen, atol=1e-5)
        assert torch.allclose(towers.text(tokens), read, atol=1e-5)
    assert float(towers.logit_scale.detach()) == pytest.approx(float(model.logit_scale.detach()), abs=1e-5)


@pytest.mark.parametrize("changes", [{}, {"init_values": 0.1}, {"qkv_bias": False}, {"pre_norm": True}])
def test_a_transformer_of_timm_gives_the_same_class_token(changes):
    import timm

    sizes = {"img_size": 16, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2, "num_classes": 0}
    network = timm.models.vision_transformer.VisionTransformer(**sizes, **changes).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        x = torch.randn(3, 3, 16, 16)
        assert torch.allclose(of_timm(network)(x), network(x), atol=1e-4)


def test_what_is_built_again_has_the_norms_of_the_other_library():
    import timm
    from transformers import CLIPConfig, CLIPModel

    x = 0.01 * torch.randn(3, 3, 16, 16)  # of little variance, beside which what norms add to it counts
    network = timm.models.vision_transformer.VisionTransformer(
        img_size=16, patch_size=8, embed_dim=32, depth=2, num_heads=2, num_classes=0
    ).eval()
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    vision = {**sizes, "image_size": 16, "patch_size": 8, "layer_norm_eps": 1e-3}
    text = {**sizes, "vocab_size": 32, "max_position_embeddings": 12, "eos_token_id": 2, "layer_norm_eps": 1e-3}
    towers = of_transformers_clip(CLIPModel(CLIPConfig(text_config=text, vision_config=vision)).eval(), Letters(12))
    with torch.no_grad():
        for tower, read in ((of_timm(network), x), (towers.image, x), (towers.text, towers.tokenize(["a dog"]))):
            assert torch.equal(again(tower)(read), tower(read))


def test_what_cannot_be_opened_is_named():
    import timm

    with pytest.raises(ValueError, match="CLIPModel of transformers"):
        of_transformers_clip(torch.nn.Linear(2, 2))
    with pytest.raises(ValueError, match="with a class token"):
        of_timm(timm.create_model("resnet18", pretrained=False))

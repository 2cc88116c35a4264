"""X-CLIP: each check of its specification, on towers of a moment."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.samplers import Batch
from unseen.methods.video.needs import small_frame_towers
from unseen.methods.video.x_clip import XCLIP
from unseen.methods.video.x_clip.method import places
from unseen.methods.video.x_clip.network import NEW, CrossFrameBlock, x_clip_network
from unseen.nn.schedules import by_rate
from unseen.nn.small_towers import small_dual_encoder
from unseen.nn.train import Run

NAMES = ("moving left", "moving right", "growing")
QUICK = {"frames": 4, "epochs": 2, "warm_up": 1, "learning_rate": 1e-3, "new_rate": 2.0, "batch_size": 6}


def network(**changes):
    torch.manual_seed(3)
    return x_clip_network(small_frame_towers(), 4, **changes).eval()


def clips(b=2, t=4, seed=0):
    return torch.randn(b, t, 3, 8, 8, generator=torch.Generator().manual_seed(seed))


def domain(n=18, t=4):
    y = np.arange(n) % 3
    x = clips(n, t).numpy() + y[:, None, None, None, None].astype(np.float32)
    return Domain(x=x, y=y, kind="clip", classes=ClassSpace(names=NAMES), name="clips")


def test_shuffled_frames_give_shuffled_outputs_of_the_cross_frame_tower():
    net, x, order = network(), clips(), torch.tensor([2, 0, 3, 1])
    frames, patches = net.visual(x)
    again, patches_again = net.visual(x[:, order])
    assert torch.allclose(again, frames[:, order], atol=1e-5)
    assert torch.allclose(patches_again, patches[:, order], atol=1e-4)


def test_messages_and_the_mean_are_blind_to_order_and_only_the_integration_is_not():
    x = clips()
    for mit, same in ((False, True), (True, False)):
        net = network(mit=mit)
        forth, back = (net.encode_video(y)[0] for y in (x, x.flip(1)))
        assert torch.allclose(forth, back, atol=1e-5) == same


def test_a_cross_frame_block_gives_what_a_block_written_by_hand_gives():
    block: CrossFrameBlock = network().visual.layers[0]
    x = torch.randn(2, 4, 5, 8)
    m = x[:, :, 0] @ block.message_fc.weight.T + block.message_fc.bias
    y = F.layer_norm(m, (8,), block.message_ln.weight, block.message_ln.bias)
    m = m + block.message_attn(y, y, y)[0]
    expected = torch.empty_like(x)
    for b in range(2):
        for t in range(4):
            z = torch.cat([x[b, t], m[b, t][None]])
            own = block.block
            q, k, v = own.qkv(own.ln_1(z)).view(6, 3, own.heads, own.head).permute(1, 2, 0, 3)
            weights = (q @ k.transpose(1, 2) / own.head**0.5).softmax(dim=2)
            z = z + own.out((weights @ v).transpose(0, 1).reshape(6, -1))
            z = z + own.proj(F.gelu(own.fc(own.ln_2(z))))
            expected[b, t] = z[:5]
    assert torch.allclose(block(x), expected, atol=1e-5)


def test_an_empty_message_still_takes_weight_and_is_not_clip():
    net, x = network(mit=False, video_prompt=False), clips()
    for layer in net.visual.layers:
        for part in (layer.message_fc, layer.message_attn.out_proj):
            torch.nn.init.zeros_(part.weight)
            torch.nn.init.zeros_(part.bias)
    plain = network(mit=False, video_prompt=False, cross_frame=False)
    assert not torch.allclose(net.encode_video(x)[0], plain.encode_video(x)[0], atol=1e-4)


def test_without_messages_a_frame_is_what_clip_makes_of_it():
    towers, x = small_frame_towers(), clips()
    expected = towers.image(x.flatten(0, 1)).view(2, 4, -1)
    assert torch.allclose(network(cross_frame=False).visual(x)[0], expected, atol=1e-5)


def test_an_integration_that_adds_nothing_doubles_the_mean_of_equal_frames():
    net = network()
    x = clips(2, 1).expand(-1, 4, -1, -1, -1)
    torch.nn.init.zeros_(net.mit.positions)
    for part in (net.mit.blocks[0].attn.out_proj, net.mit.blocks[0].mlp[2]):
        torch.nn.init.zeros_(part.weight)
        torch.nn.init.zeros_(part.bias)
    c = net.visual(x)[0]
    assert torch.allclose(c, c[:, :1].expand_as(c), atol=1e-5)
    assert torch.allclose(net.encode_video(x)[0], 2 * c[:, 0], atol=1e-5)


def test_a_decoder_that_adds_nothing_leaves_the_direction_of_names():
    net, x = network(), clips()
    for layer in net.prompts_generator.decoder:
        for part in (layer.cross.proj, layer.mlp[2]):
            torch.nn.init.zeros_(part.weight)
            torch.nn.init.zeros_(part.bias)
    text = net.encode_names(list(NAMES))
    v, patches = net.encode_video(x)
    assert torch.allclose(net.seen_by(text, patches), (1.1 * text).expand(2, -1, -1), atol=1e-6)
    plain = net.logit_scale.exp() * F.normalize(v, dim=1) @ F.normalize(text, dim=1).T
    assert torch.allclose(net(x, text), plain, atol=1e-4)


def test_another_class_in_the_list_does_not_change_the_logits_of_the_others():
    net, x = network(), clips()
    few, more = (net(x, net.encode_names(list(names))) for names in (NAMES, (*NAMES, "a dog turning")))
    assert torch.allclose(few, more[:, :3], atol=1e-5)


def test_smoothed_targets_of_four_classes_are_925_and_025():
    logits = torch.randn(1, 4, requires_grad=True)
    target = F.one_hot(torch.tensor([2]), 4).float()
    F.cross_entropy(logits, target, label_smoothing=0.1).backward()
    assert (logits.softmax(dim=1) - logits.grad)[0].tolist() == pytest.approx([0.025, 0.025, 0.925, 0.025], abs=1e-6)


@pytest.mark.parametrize("mix", [{"mixup": 0.8, "cutmix": 0.0}, {"mixup": 0.0, "cutmix": 1.0}])
def test_mixed_targets_are_smoothed_as_their_parts_are(mix):
    method = XCLIP(**QUICK, **mix)
    seen = {}

    def forward(x, text):
        seen["logits"] = torch.zeros(len(x), 3, requires_grad=True)
        return seen["logits"]

    y = torch.tensor([0, 1, 2, 0])
    net = network()
    net.forward = forward
    loss = method._objective(net, torch.zeros(3, 8))(Batch(clips(4), y, torch.arange(4)), Run("t", {}, {}, 1, None))
    loss.backward()
    targets = 1 / 3 - 4 * seen["logits"].grad  # what log-softmax is drawn to
    assert torch.allclose(targets.sum(dim=1), torch.ones(4))
    assert float(targets.min()) == pytest.approx(0.1 / 3, abs=1e-6)
    share = (targets[1, 1] - 0.1 / 3) / 0.9
    assert torch.allclose(targets[1], 0.1 / 3 + 0.9 * torch.tensor([0.0, share, 1 - share]))


def test_what_is_new_learns_ten_times_as_fast_and_no_text_learns():
    net = network()
    made = by_rate(net, 1e-3, 0.1, new=NEW, faster=10.0, rest=("position",))
    rate = {id(p): group["lr"] for group in made for p in group["params"]}
    decay = {id(p): group["weight_decay"] for group in made for p in group["params"]}
    new, old = [], []
    for name, parameter in net.named_parameters():
        if not parameter.requires_grad:
            assert name.startswith("text.") or name == "logit_scale"
            assert id(parameter) not in rate
            continue
        is_new = any(part in name for part in ("message_", "mit", "prompts"))
        (new if is_new else old).append(name)
        assert rate[id(parameter)] == pytest.approx(1e-2 if is_new else 1e-3), name
        if parameter.ndim < 2 or name.endswith("bias") or "position" in name:
            assert decay[id(parameter)] == 0, name
        else:
            assert decay[id(parameter)] == 0.1, name
    assert len(new) + len(old) == len(rate)
    assert "visual.prompts_visual_proj" in new
    assert "mit.positions" in new
    assert all(name.startswith("visual.") for name in old)


def test_clips_of_another_length_are_refused_by_the_network():
    with pytest.raises(ValueError, match="clips must have 4 frames"):
        network()(clips(2, 5), torch.zeros(3, 8))


def test_batch_major_layout_two_videos_do_not_mix():
    net, x = network(), clips(3)
    together = net.encode_video(x)[0]
    alone = torch.cat([net.encode_video(x[i : i + 1])[0] for i in range(3)])
    assert torch.allclose(together, alone, atol=1e-5)


def test_new_names_are_predicted_without_training_and_nothing_old_is_kept():
    method = XCLIP(**QUICK).fit(source=domain(), model=small_frame_towers())
    before = copy.deepcopy(method.network_.state_dict())
    new = ClassSpace(names=("turning", "fading", "growing", "a red hat"))
    scores = method.decision_function(domain().x, new)
    named = method.adapt(classes=new)
    assert torch.equal(named.decision_function(domain().x), scores)
    assert torch.allclose(scores[:, 2], method.decision_function(domain().x)[:, 2], atol=1e-5)
    assert named.vectors_.shape == (4, 8)
    assert all(torch.equal(value, before[key]) for key, value in named.network_.state_dict().items())
    assert method.classes_.names == NAMES


def test_training_lowers_the_loss_and_leaves_the_text_tower_alone():
    towers = small_frame_towers()
    options = {**QUICK, "epochs": 12, "mixup": 0.0, "cutmix": 0.0, "colour": 0.0, "grey": 0.0, "flip": 0.0}
    method = XCLIP(**options, scales=(1.0,)).fit(source=domain(), model=towers)
    assert method.history_["loss"][-1] < method.history_["loss"][0] - 0.1
    text, after = towers.text.state_dict(), method.network_.text.state_dict()
    assert all(torch.equal(after[key], value) for key, value in text.items())
    assert torch.equal(method.network_.logit_scale, towers.logit_scale)


def test_identical_views_rank_as_one_view_and_views_average_probabilities():
    method = XCLIP(**QUICK).fit(source=domain(), model=small_frame_towers())
    with pytest.raises(ValueError, match="crops must be 1 for clips that are cut to the tower's size, 8 x 8"):
        method.set_params(crops=3).predict_proba(domain().x)
    method.set_params(crops=1)
    even = clips(3, 4).mean(dim=4, keepdim=True).expand(-1, -1, -1, -1, 24).numpy()
    one = method.predict_proba(even)
    assert torch.allclose(XCLIP.predict_proba(method.set_params(crops=3), even), one, atol=1e-5)
    long = clips(3, 8, seed=5)
    method.set_params(views=2, crops=1)
    both = method.predict_proba(long.numpy())
    method.set_params(views=1)
    parts = [method.predict_proba(long[:, start::2].numpy()) for start in (0, 1)]
    assert torch.allclose(both, torch.stack(parts).mean(dim=0), atol=1e-5)


def test_three_crops_lie_along_the_longer_side():
    wide = torch.arange(24.0).expand(1, 2, 3, 8, 24)
    left, middle, right = places(wide, (8, 8), 3)
    assert [float(part[..., 0].mean()) for part in (left, middle, right)] == [0, 8, 16]


def test_few_shots_go_on_from_what_was_learnt():
    first = XCLIP(**QUICK).fit(source=domain(), model=small_frame_towers())
    few = XCLIP(**{**QUICK, "epochs": 1, "learning_rate": 1e-9}).fit(source=domain(6), model=first.network_)
    assert torch.allclose(few.decision_function(domain().x), first.decision_function(domain().x), atol=1e-3)
    with pytest.raises(ValueError, match="made for 4 frames; frames is 2"):
        XCLIP(**{**QUICK, "frames": 2}).fit(source=domain(), model=first.network_)


@pytest.mark.parametrize("off", ["cross_frame", "mit", "video_prompt", "text_head"])
def test_each_part_can_be_left_out(off):
    method = XCLIP(**QUICK, **{off: False}).fit(source=domain(), model=small_frame_towers())
    assert method.predict(domain().x).shape == (18,)
    if off == "text_head":
        other = ClassSpace(names=("a", "b"))
        assert method.vectors_.shape == (3, 8)
        assert method.frame_scores(domain().x).shape == (18, 4, 3)
        for asked in (method.decision_function, method.predict, method.predict_proba, method.frame_scores):
            with pytest.raises(ValueError, match="cannot be named"):
                asked(domain().x, classes=other)
        with pytest.raises(ValueError, match="cannot be named"):
            method.adapt(classes=other)


@pytest.mark.parametrize("off", ["cross_frame", "mit", "video_prompt", "text_head"])
def test_a_given_network_must_be_what_is_asked_for(off):
    asked = XCLIP(**QUICK, **{off: False})
    with pytest.raises(ValueError, match=f"model was made with {off}=True; {off} is False"):
        asked.fit(source=domain(), model=x_clip_network(small_frame_towers(), 4))
    lacks = {off: False} if off != "text_head" else {"classes": 3}
    with pytest.raises(ValueError, match=f"model was made with {off}=False; {off} is True"):
        XCLIP(**QUICK).fit(source=domain(), model=x_clip_network(small_frame_towers(), 4, **lacks))


def test_a_network_that_learnt_other_classes_without_names_is_refused():
    model = x_clip_network(small_frame_towers(), 4, video_prompt=False, classes=5)
    with pytest.raises(ValueError, match="learnt vectors of 5 classes; source has labels of 3"):
        XCLIP(**QUICK, text_head=False).fit(source=domain(), model=model)


def test_what_reads_the_integration_starts_as_all_new_lines_do():
    block = x_clip_network(small_frame_towers(dim=64), 4).mit.blocks[0]
    for line in (block.attn.out_proj, block.mlp[0]):
        assert float(line.weight.detach().std()) == pytest.approx(0.02, rel=0.1)
        assert not line.bias.any()


def test_each_frame_says_what_it_sees_by_itself():
    method = XCLIP(**QUICK).fit(source=domain(), model=small_frame_towers())
    scores = method.frame_scores(domain().x)
    assert scores.shape == (18, 4, 3)
    assert torch.isfinite(scores).all()
    other = ClassSpace(names=("turning", "fading", "growing", "a red hat"))
    named = method.frame_scores(domain().x, other)
    assert named.shape == (18, 4, 4)
    assert torch.allclose(named[..., 2], scores[..., 2], atol=1e-4)


def test_longer_and_larger_clips_are_sampled_and_cut():
    method = XCLIP(**QUICK).fit(source=domain(t=9), model=small_frame_towers())
    assert method.predict(torch.randn(5, 16, 3, 20, 12).numpy()).shape == (5,)


def test_towers_without_a_vision_transformer_are_refused():
    with pytest.raises(TypeError, match="vision transformer"):
        XCLIP(**QUICK).fit(source=domain(), model=small_dual_encoder("image"))


def test_a_clip_model_of_open_clip_learns_to_read_clips():
    open_clip = pytest.importorskip("open_clip", reason="no open_clip; pip install 'unseen[hub]'")
    from unseen.encoders.prunable import of_open_clip
    from unseen.nn.dual_encoder import BytePairs

    vision = {"image_size": 32, "layers": 2, "width": 64, "patch_size": 16}
    text = {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
    with torch.random.fork_rng():
        model = open_clip.model.CLIP(embed_dim=32, vision_cfg=vision, text_cfg=text, quick_gelu=True).eval()
    towers = of_open_clip(model, BytePairs(16))
    x = torch.randn(6, 4, 3, 32, 32)
    frames = x_clip_network(towers, 4, cross_frame=False).eval().visual(x)[0]
    with torch.no_grad():
        expected = model.encode_image(x.flatten(0, 1)).view(6, 4, -1)
    assert torch.allclose(frames, expected, atol=1e-4)
    clips = Domain(x=x.numpy(), y=np.arange(6) % 3, kind="clip", classes=ClassSpace(names=NAMES))
    method = XCLIP(**{**QUICK, "epochs": 1}).fit(source=clips, model=towers)
    assert method.predict(clips.x, ClassSpace(names=("dog", "cat"))).shape == (6,)

"""Mug-STAN: each check of its specification, on towers of a moment."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.loaders import load
from unseen.data.pairs import captioned_clips
from unseen.data.segments import ready
from unseen.methods.video.mug_stan import MugSTAN
from unseen.methods.video.mug_stan.network import NEW, mug_stan_network, split
from unseen.methods.video.needs import small_captioned_clips, small_frame_towers
from unseen.nn.dual_encoder import NOTHING, Letters, dual_encoder
from unseen.nn.schedules import by_rate
from unseen.nn.small_towers import small_dual_encoder
from unseen.nn.towers import text_tower, vision_tower
from unseen.validation.recall import both_ways, middle_ranks
from videos import write_video

NAMES = ("moving left", "moving right", "growing")
QUICK = {
    "frames": 4, "epochs": 2, "warm_up": 1, "learning_rate": 1e-3, "new_rate": 2.0, "batch_size": 6, "depth": 2,
    "tau": 10.0, "scale": 20.0,
}  # fmt: skip


def network(**changes):
    torch.manual_seed(3)
    return mug_stan_network(small_frame_towers(), **{"depth": 2, "tau": 10.0, **changes}).eval()


def moved(net):
    """The same network after its modules of time have learnt something."""
    torch.manual_seed(4)
    for name, parameter in net.named_parameters():
        if name.startswith("stan_") and name.endswith(("fc.weight", "fc.bias")):
            torch.nn.init.normal_(parameter, std=0.3)
    return net


def clips(b=2, t=4, seed=0):
    return torch.randn(b, t, 3, 8, 8, generator=torch.Generator().manual_seed(seed))


def domain(n=18, t=4):
    y = np.arange(n) % 3
    x = clips(n, t).numpy() + y[:, None, None, None, None].astype(np.float32)
    return Domain(x=x, y=y, kind="clip", classes=ClassSpace(names=NAMES), name="clips")


def framewise(x):
    return small_frame_towers().image(x.flatten(0, 1)).view(*x.shape[:2], -1)


# -- the branch --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["selfattn", "conv"])
def test_at_first_the_temporal_module_is_the_identity_for_any_input(kind):
    for module in network(time_module=kind).stan_branch.temporal:
        x = 10 * torch.randn(2, 3, 5, 8)
        assert torch.equal(module(x), x)


def test_at_first_the_spatial_modules_are_the_last_layers_of_the_tower():
    net = network(depth=1)
    copied, layer = net.stan_branch.spatial[0].block, net.image.layers[-1]
    assert all(torch.equal(value, layer.state_dict()[key]) for key, value in copied.state_dict().items())
    assert all(a.data_ptr() != b.data_ptr() for a, b in zip(copied.parameters(), layer.parameters()))


def test_a_spatial_module_of_one_frame_is_the_layer_itself():
    net = network()
    x = torch.randn(2, 1, 5, 8)
    cls, patches = net.stan_branch.spatial[0](*split(x))
    expected = net.image.layers[0](x[:, 0], False)
    assert torch.allclose(torch.cat([cls, patches[:, :, 0]], dim=1), expected, atol=1e-5)


def test_the_class_token_of_a_video_is_told_the_mean_of_what_each_frame_tells_it():
    module = network().stan_branch.spatial[0]
    cls, patches = torch.randn(1, 1, 8), torch.randn(1, 4, 3, 8)
    told = [module.block.attended(torch.cat([cls, patches[:, :, t]], dim=1)) for t in range(3)]
    after = cls + torch.stack([each[:, :1] for each in told]).mean(dim=0)
    expected = after + module.block.fed(after)
    found, places = module(cls, patches)
    assert torch.allclose(found, expected, atol=1e-5)
    one = patches[:, :, 2] + told[2][:, 1:]
    assert torch.allclose(places[:, :, 2], one + module.block.fed(one), atol=1e-5)


def test_time_is_read_place_by_place():
    module = moved(network()).stan_branch.temporal[0]
    x = torch.randn(1, 3, 4, 8)
    changed = x.clone()
    changed[:, 1] += torch.randn(4, 8)
    same = torch.isclose(module(x), module(changed), atol=1e-6).all(dim=3)
    assert same[:, [0, 2]].all()
    assert not same[:, 1].any()


def test_the_whole_branch_is_what_is_written_step_by_step():
    net, x = moved(network()), clips(1, 3)
    tower, branch = net.image, net.stan_branch
    h = [tower.placed(x[0])]
    for layer in tower.layers:
        h.append(layer(h[-1], False))
    cls = (h[1][:, 0].mean(dim=0) + tower.class_token + tower.positions[0]) / 2
    patches = h[1][:, 1:] + tower.positions[1:] + branch.times[:3, None]
    for i in range(2):
        if i:
            cls, patches = cls + h[2][:, 0].mean(dim=0), patches + h[2][:, 1:]
        time, space = branch.temporal[i], branch.spatial[i].block
        rows = time.norm(patches.transpose(0, 1))
        patches = patches + time.fc(time.attn(rows, rows, rows)[0]).transpose(0, 1)
        told = space.attended(torch.cat([cls.expand(3, 1, -1), patches], dim=1))
        cls, patches = cls + told[:, 0].mean(dim=0), patches + told[:, 1:]
        cls, patches = cls + space.fed(cls[None, None])[0, 0], patches + space.fed(patches)
    expected = tower.last(h[2][:, 0] + cls) @ tower.projection
    assert torch.allclose(net.encode_frames(x)[0], expected, atol=1e-5)


def test_all_frames_of_a_clip_that_stands_still_are_one_vector_whatever_the_times():
    net = moved(network())
    x = clips(2, 1).expand(-1, 5, -1, -1, -1)
    frames = net.encode_frames(x)
    assert torch.allclose(frames, frames[:, :1].expand_as(frames), atol=1e-5)
    net.stan_branch.times.data.normal_(std=5)
    frames = net.encode_frames(x)
    assert torch.allclose(frames, frames[:, :1].expand_as(frames), atol=1e-5)


def test_without_the_branch_a_frame_is_what_clip_makes_of_it():
    x = clips()
    assert torch.allclose(network(depth=0).encode_frames(x), framewise(x), atol=1e-5)
    silent = moved(network())
    silent.stan_branch.register_forward_hook(lambda module, inputs, output: 0 * output)
    assert torch.allclose(silent.encode_frames(x), framewise(x), atol=1e-5)


@pytest.mark.parametrize("temporal", ["none", "posterior", "intermediate"])
def test_the_rivals_begin_as_frame_wise_clip(temporal):
    x = clips()
    assert torch.allclose(network(temporal=temporal).encode_frames(x), framewise(x), atol=1e-5)


@pytest.mark.parametrize(
    ("temporal", "sees"), [("none", False), ("posterior", True), ("intermediate", True), ("branch", True)]
)
def test_what_has_learnt_time_sees_order_and_what_has_none_does_not(temporal, sees):
    net, x = moved(network(temporal=temporal)), clips()
    forth, back = net.encode_frames(x), net.encode_frames(x.flip(1)).flip(1)
    assert torch.allclose(forth, back, atol=1e-4) != sees


def test_at_first_the_copied_layers_learn_and_of_the_modules_of_time_only_what_is_zero():
    net = network()
    net.encode_frames(clips()).square().sum().backward()
    for spatial in net.stan_branch.spatial:
        assert spatial.block.qkv.weight.grad.abs().sum() > 0
        assert spatial.block.fc.weight.grad.abs().sum() > 0
    for temporal in net.stan_branch.temporal:
        assert temporal.fc.weight.grad.abs().sum() > 0
        assert temporal.attn.in_proj_weight.grad.abs().sum() == 0
        assert temporal.norm.weight.grad.abs().sum() == 0
    assert net.image.layers[0].qkv.weight.grad.abs().sum() > 0


def test_the_tower_itself_is_reached_unchanged():
    net = moved(network())
    expected = framewise(clips())
    assert torch.equal(net.image(clips().flatten(0, 1)).view(2, 4, -1), expected)


def test_two_clips_do_not_mix():
    net, x = moved(network()), clips(3)
    together = net.encode_frames(x)
    assert torch.allclose(together, torch.cat([net.encode_frames(x[i : i + 1]) for i in range(3)]), atol=1e-5)


# -- words -------------------------------------------------------------------------------------------------


def test_words_are_the_states_of_all_tokens_and_the_mask_says_which_there_are():
    net = network()
    words = net.read(["a", "a longer text"])
    tokens = Letters()(["a", "a longer text"])
    assert words.mask.tolist() == (tokens != NOTHING).tolist()
    alone = net.read(["a"])
    assert torch.allclose(words.vectors[:1, :3], alone.vectors, atol=1e-5)
    mean = F.normalize(alone.vectors[0].mean(dim=0), dim=0)
    assert torch.allclose(mean, net.text(Letters()(["a"]))[0], atol=1e-5)


@pytest.mark.parametrize("alignment", ["eos", "mean"])
def test_a_text_may_speak_by_its_one_vector(alignment):
    net = network(alignment=alignment)
    words = net.read(["a", "a longer text"])
    assert words.vectors.shape == (2, 1, 8)
    assert words.mask.all()
    assert torch.allclose(words.vectors[:, 0], net.text(Letters()(["a", "a longer text"])), atol=1e-6)


def test_clips_text_transformer_gives_the_text_at_its_last_token():
    torch.manual_seed(0)
    tower = text_tower(32, 32, 8, 4, (2,), (16,), 8, end="last")
    tokens = Letters()(["a", "longer"])
    states, whole = tower.states(tokens), tower(tokens)
    assert torch.allclose(states[0, 2], whole[0], atol=1e-6)
    assert torch.allclose(states[1, -1], whole[1], atol=1e-6)


@pytest.mark.parametrize("alignment", ["simple", "full"])
def test_with_one_frame_and_one_word_all_ways_are_the_cosine(alignment):
    net, x = moved(network(alignment=alignment)), clips(3, 1)
    words = net.read(["red", "blue"])
    one = type(words)(words.vectors[:, :1], words.mask[:, :1])
    frames = net.encode_frames(x)
    expected = F.normalize(one.vectors[:, 0], dim=1) @ F.normalize(frames[:, 0], dim=1).T
    assert torch.allclose(net.similarity(one, frames), expected, atol=1e-5)


# -- learning ----------------------------------------------------------------------------------------------


def test_what_is_new_learns_ten_times_as_fast_and_norms_and_biases_do_not_decay():
    net = network()
    made = by_rate(net, 1e-3, 0.1, new=NEW, faster=10.0, rest=("position", "times"))
    rate, decay = ({id(p): group[key] for group in made for p in group["params"]} for key in ("lr", "weight_decay"))
    for name, parameter in net.named_parameters():
        assert rate[id(parameter)] == pytest.approx(1e-2 if name.startswith("stan_") else 1e-3), name
        free = parameter.ndim < 2 or "position" in name or name.endswith("times")
        assert decay[id(parameter)] == (0 if free else 0.1), name


def test_a_frozen_backbone_keeps_every_weight_but_those_of_the_branch():
    towers = small_frame_towers()
    method = MugSTAN(**QUICK, frozen=True).fit(pairs=small_captioned_clips(), model=towers)
    before, after = towers.state_dict(), method.network_.state_dict()
    for key, value in before.items():
        if key in after:
            assert torch.equal(after[key], value), key
    assert method.network_.stan_branch.temporal[0].fc.weight.abs().sum() > 0
    with pytest.raises(ValueError, match="frozen=True leaves nothing to learn"):
        MugSTAN(**QUICK, frozen=True, temporal="none").fit(pairs=small_captioned_clips(), model=towers)


@pytest.mark.parametrize("alignment", ["simple", "full", "eos", "mean"])
def test_captions_are_learnt_in_every_mode(alignment):
    options = {**QUICK, "epochs": 8, "scales": (1.0,), "batch_size": 8, "alignment": alignment}
    method = MugSTAN(**options).fit(pairs=small_captioned_clips(), model=small_frame_towers())
    assert method.history_["loss"][-1] < method.history_["loss"][0]


def test_labels_are_learnt_by_the_names_of_classes_and_the_text_tower_rests():
    towers = small_frame_towers()
    options = {**QUICK, "epochs": 12, "scales": (1.0,)}
    method = MugSTAN(**options).fit(source=domain(), model=towers, prompts=("{}", "a clip of {}"))
    assert method.history_["loss"][-1] < method.history_["loss"][0] - 0.1
    text, after = towers.text.state_dict(), method.network_.text.state_dict()
    assert all(torch.equal(after[key], value) for key, value in text.items())


def test_scores_are_the_mean_over_what_is_said_of_a_class():
    said = ("{}", "a clip of {}")
    method = MugSTAN(**QUICK).fit(source=domain(), model=small_frame_towers(), prompts=said)
    parts = [
        method.adapt(classes=ClassSpace(names=NAMES), prompts=(one,)).decision_function(domain().x) for one in said
    ]
    assert torch.allclose(method.decision_function(domain().x), sum(parts) / 2, atol=1e-4)


def test_new_names_are_predicted_without_training():
    method = MugSTAN(**QUICK).fit(source=domain(), model=small_frame_towers())
    before = copy.deepcopy(method.network_.state_dict())
    new = ClassSpace(names=("turning", "fading", "growing", "a red hat"))
    scores = method.decision_function(domain().x, new)
    named = method.adapt(classes=new)
    assert torch.allclose(named.decision_function(domain().x), scores, atol=1e-5)
    assert torch.allclose(scores[:, 2], method.decision_function(domain().x)[:, 2], atol=1e-4)
    assert all(torch.equal(value, before[key]) for key, value in named.network_.state_dict().items())


def test_captions_first_then_labels_is_post_pretraining():
    first = MugSTAN(**QUICK).fit(pairs=small_captioned_clips(), model=small_frame_towers())
    settings = {**QUICK, "epochs": 1, "learning_rate": 1e-9}
    then = MugSTAN(**settings).fit(source=domain(6), model=first.network_)
    named = first.adapt(classes=ClassSpace(names=NAMES))
    assert torch.allclose(then.decision_function(domain().x), named.decision_function(domain().x), atol=1e-3)
    with pytest.raises(ValueError, match="made with depth=2; depth is 1"):
        MugSTAN(**{**QUICK, "depth": 1}).fit(source=domain(), model=first.network_)


def test_what_goes_on_has_the_modules_of_time_that_were_asked_for():
    first = MugSTAN(**QUICK, time_module="conv").fit(pairs=small_captioned_clips(), model=small_frame_towers())
    with pytest.raises(ValueError, match="made with time_module='conv'; time_module is 'selfattn'"):
        MugSTAN(**QUICK).fit(source=domain(), model=first.network_)
    with pytest.raises(ValueError, match="must be at most 64; got 65"):
        MugSTAN(**{**QUICK, "frames": 65}, time_module="conv").fit(source=domain(), model=first.network_)
    bare = MugSTAN(**QUICK, temporal="none").fit(pairs=small_captioned_clips(), model=small_frame_towers())
    again = MugSTAN(**{**QUICK, "depth": 7}, temporal="none").fit(source=domain(), model=bare.network_)
    assert again.network_.stan_branch is None


def test_where_no_time_is_read_clips_may_be_of_any_length():
    options = {**QUICK, "depth": 0, "frames": 65, "epochs": 1, "batch_size": 2}
    method = MugSTAN(**options).fit(source=domain(4, 65), model=small_frame_towers())
    assert method.predict(domain(2, 65).x).shape == (2,)


def test_what_goes_on_in_another_mode_is_saved_in_that_mode(tmp_path):
    first = MugSTAN(**QUICK).fit(pairs=small_captioned_clips(), model=small_frame_towers())
    settings = {**QUICK, "epochs": 1, "alignment": "eos", "tau": 3.0}
    then = MugSTAN(**settings).fit(source=domain(), model=first.network_)
    then.save(tmp_path / "saved")
    back = MugSTAN.load(tmp_path / "saved")
    assert (back.network_.alignment, back.network_.tau) == ("eos", 3.0)
    texts = ["a dog", "a longer text of a dog"]
    assert torch.equal(back.similarity(domain().x, texts), then.similarity(domain().x, texts))


def test_clips_and_captions_find_each_other_by_one_table():
    pairs = small_captioned_clips()
    method = MugSTAN(**QUICK).fit(pairs=pairs, model=small_frame_towers())
    texts = list(pairs.right.x)
    s = method.similarity(pairs.left, texts)
    assert s.shape == (16, 16)
    one = method.network_.similarity(method.network_.read(texts[:1]), method.frame_vectors(pairs.left))
    assert torch.allclose(s[:, 0], one[0], atol=1e-5)
    assert set(both_ways(s.numpy())) == {f"{way}@{k}" for way in ("there", "back") for k in (1, 5, 10)} | {"mean"}
    turned = MugSTAN(**QUICK).fit(pairs=pairs.swap(), model=small_frame_towers())
    assert torch.allclose(turned.similarity(pairs.left, texts), s, atol=1e-5)


def test_a_table_of_parts_of_videos_with_captions_is_learnt_from(tmp_path):
    write_video(tmp_path / "long.mp4", frames=40, rate=10)
    rows = [
        "path,start,end,caption",
        "long.mp4,0,1.5,it is dark",
        "long.mp4,1,3,it grows lighter",
        "long.mp4,2,4,light",
    ]
    (tmp_path / "clips.csv").write_text("\n".join(rows))
    pairs = captioned_clips(ready(load(tmp_path / "clips.csv"), (8, 8)))
    method = MugSTAN(**QUICK).fit(pairs=pairs, model=small_frame_towers())
    assert method.classes_.names == ("it is dark", "it grows lighter", "light")
    assert method.similarity(pairs.left, ["dark", "light"]).shape == (3, 2)


def test_ranks_on_a_perfect_diagonal_are_one_and_ties_are_the_last_of_their_places():
    assert both_ways(np.eye(12), ks=(1,)) == {"there@1": 1, "back@1": 1, "mean": 1}
    assert set(middle_ranks(np.eye(12)).values()) == {1}
    assert both_ways(np.zeros((12, 12)), ks=(1, 11, 12))["there@12"] == 1
    assert both_ways(np.zeros((12, 12)), ks=(1, 11))["mean"] == 0
    assert set(middle_ranks(np.zeros((12, 12))).values()) == {12}


def test_more_frames_may_be_looked_at_in_prediction_than_in_training():
    method = MugSTAN(**QUICK, test_frames=9).fit(source=domain(t=9), model=small_frame_towers())
    assert method.frame_vectors(torch.randn(5, 16, 3, 20, 12).numpy()).shape == (5, 9, 8)


def test_towers_of_one_vector_a_text_and_no_vision_transformer_read_clips_without_a_branch():
    method = MugSTAN(**QUICK, temporal="posterior").fit(source=domain(), model=small_dual_encoder("image"))
    assert method.predict(domain().x).shape == (18,)
    with pytest.raises(TypeError, match="vision transformer that reads its class token where temporal is 'branch'"):
        MugSTAN(**QUICK).fit(source=domain(), model=small_dual_encoder("image"))


@pytest.mark.parametrize("temporal", ["branch", "intermediate"])
def test_without_a_depth_there_are_as_many_levels_as_the_tower_has_layers_and_four_at_most(temporal):
    settings = {key: value for key, value in QUICK.items() if key not in ("depth", "epochs")} | {"epochs": 1}
    method = MugSTAN(**settings, temporal=temporal).fit(source=domain(), model=small_frame_towers())
    assert method.network_.depth == 2
    assert MugSTAN(**settings, temporal=temporal).fit(source=domain(), model=method.network_).network_.depth == 2
    image = vision_tower((8, 8), (4, 4), width=8, head=4, heads=(2,) * 5, mlp=(16,) * 5, dim=8)
    deep = dual_encoder(image, small_frame_towers().text, Letters().to_json(), 20.0)
    assert MugSTAN(**settings, temporal=temporal).fit(source=domain(), model=deep).network_.depth == 4


@pytest.mark.parametrize(
    ("changes", "told"),
    [({"depth": 3}, "depth must be at most the tower's 2 layers"), ({"frames": 65}, "must be at most 64; got 65")],
)
def test_more_than_the_tower_has_is_refused(changes, told):
    with pytest.raises(ValueError, match=told):
        MugSTAN(**{**QUICK, **changes}).fit(source=domain(), model=small_frame_towers())


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda p: p.replace(right=p.left), "of clips and texts; got clip and clip"),
        (lambda p: p.take([0]), "at least two pairs; got 1"),
        (lambda p: p.replace(right=p.right.replace(x=np.array(["a"] * 15 + [" "]))), "caption 15 is empty"),
    ],
)
def test_pairs_that_are_none_are_named(change, told):
    with pytest.raises(ValueError, match=told):
        MugSTAN(**QUICK).fit(pairs=change(small_captioned_clips()), model=small_frame_towers())


def test_texts_that_are_none_are_named():
    method = MugSTAN(**QUICK).fit(source=domain(), model=small_frame_towers())
    for wrong in ("one text", []):
        with pytest.raises(TypeError, match="texts must be a list of strings"):
            method.similarity(domain().x, wrong)
    with pytest.raises(ValueError, match="prompts must be texts with one place"):
        MugSTAN(**QUICK).fit(source=domain(), model=small_frame_towers(), prompts=("a dog",))


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
    net = mug_stan_network(towers, depth=0).eval()
    with torch.no_grad():
        expected = model.encode_image(x.flatten(0, 1)).view(6, 4, -1)
    assert torch.allclose(net.encode_frames(x), expected, atol=1e-4)
    words = net.read(["a dog", "a red hat on a wall"])
    with torch.no_grad():
        whole = model.encode_text(open_clip.SimpleTokenizer(context_length=16)(["a dog"]))
    assert torch.allclose(words.vectors[0, int(words.mask[0].sum()) - 1], whole[0], atol=1e-4)
    clips_ = Domain(x=x.numpy(), y=np.arange(6) % 3, kind="clip", classes=ClassSpace(names=NAMES))
    method = MugSTAN(**{**QUICK, "epochs": 1}).fit(source=clips_, model=towers)
    assert method.predict(clips_.x, ClassSpace(names=("dog", "cat"))).shape == (6,)

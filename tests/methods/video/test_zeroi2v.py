"""ZeroI2V: each check of its specification, on transformers of a moment."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from unseen.data.classes import ClassSpace
from unseen.data.clip_augment import erased, mirror_classes, mirrored
from unseen.data.domain import Domain
from unseen.methods import ZeroI2V
from unseen.methods.base import NotFittedError
from unseen.methods.video.needs import FrameTransformer, small_frame_towers
from unseen.methods.video.zeroi2v import method as method_module
from unseen.methods.video.zeroi2v.network import LinearAdapter, shift_index, shifted, video_transformer
from unseen.nn.towers import vision_tower

NAMES = ("moving left", "moving right", "growing")
QUICK = {
    "frames": 4, "epochs": 2, "warm_up": 1.0, "learning_rate": 1e-2, "batch_size": 6, "operations": 0, "flip": 0.0,
    "smallest": 1.0,
}  # fmt: skip


def tower(layers=2, heads=2, seed=5, **changes):
    torch.manual_seed(seed)
    return vision_tower((8, 8), (4, 4), width=4 * heads, head=4, heads=(heads,) * layers, mlp=(16,) * layers, dim=6,
                        **changes).eval()  # fmt: skip


def network(own=None, **changes):
    """A network in eval mode whose adapters, embedding and head are no longer what they begin with."""
    net = video_transformer(tower() if own is None else own, 3, 4, **changes)
    torch.manual_seed(8)
    learnt = [*net.adapters.parameters(), net.head.weight, net.head.bias, *net.tower.last.parameters()]
    for part in [*learnt, *(part for part in (net.temporal, net.query) if part is not None)]:
        part.data += 0.2 * torch.randn_like(part)
    return net.eval()


def clips(b=2, t=4, seed=0):
    return torch.randn(b, t, 3, 8, 8, generator=torch.Generator().manual_seed(seed))


def domain(n=18, t=4):
    y = np.arange(n) % 3
    x = clips(n, t).numpy() + y[:, None, None, None, None].astype(np.float32)
    return Domain(x=x, y=y, kind="clip", classes=ClassSpace(names=NAMES), name="clips")


def at_zero(net):
    net.temporal.data.zero_()
    return net


# -- attention ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pool", ["token", "mean", "mean-first"])
def test_at_the_start_and_without_offsets_it_is_the_image_transformer_frame_by_frame(pool):
    own, x = tower(pool=pool), clips()
    net = video_transformer(own, 3, 4, offsets=()).eval()
    expected = own(x.flatten(0, 1)).unflatten(0, (2, 4))
    assert torch.allclose(net.embed(x) @ own.projection, expected, atol=1e-5)
    shared = own.pooled(own._transformed(own.placed(x.flatten(0, 1)), False, None)).unflatten(0, (2, 4))
    assert torch.allclose(net(x), net.head(shared.mean(dim=1)), atol=1e-5)


def test_a_clip_of_equal_frames_is_what_plain_attention_makes_of_it():
    x = clips(2, 1).expand(-1, 4, -1, -1, -1)
    plain, moved = (at_zero(network(offsets=offsets)) for offsets in ((), (-1, 2)))
    moved.load_state_dict(plain.state_dict())
    assert torch.equal(plain(x), moved(x))


def test_the_map_of_frames_for_three_frames_and_twelve_channels():
    x = torch.arange(3.0)[None, :, None, None, None].expand(1, 3, 12, 1, 1)  # each head is one channel
    found = shifted(x, shift_index(3, 12, (-1, 1)))[0, :, :, 0, 0]
    expected = torch.tensor([[0, 1], [0, 2], [1, 2]])
    assert found[:, :2].tolist() == expected.tolist()
    assert (found[:, 2:] == torch.arange(3.0)[:, None]).all()


def test_a_reversed_clip_with_exchanged_offsets_gives_reversed_frames_and_else_others():
    x = clips()
    forth, back = (at_zero(network(offsets=offsets)) for offsets in ((-1, 1), (1, -1)))
    back.load_state_dict(forth.state_dict())
    assert torch.allclose(back.embed(x.flip(1)), forth.embed(x).flip(1), atol=1e-5)
    assert torch.allclose(back(x.flip(1)), forth(x), atol=1e-5)
    assert not torch.allclose(forth.embed(x.flip(1)), forth.embed(x).flip(1), atol=1e-2)
    assert not torch.allclose(forth(x.flip(1)), forth(x), atol=1e-3)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_a_frame_sees_as_many_frames_to_each_side_as_there_are_layers(layers):
    net = network(tower(layers, heads=3), offsets=(-1, 1))
    x = clips(1, 9).requires_grad_()
    (gradient,) = torch.autograd.grad(net.embed(x)[0, 4].square().sum(), x)
    seen = gradient[0].abs().flatten(1).sum(dim=1) > 0
    assert seen.tolist() == [abs(t - 4) <= layers for t in range(9)]


def slices(x, fold, long):
    """The shift of the released code: copies of slices of channels, (t, d)."""
    out = x.clone()
    out[1:, :fold] = x[:-1, :fold]
    out[:-1, fold : 2 * fold] = x[1:, fold : 2 * fold]
    if long:
        out[2:, 2 * fold : 3 * fold] = x[:-2, 2 * fold : 3 * fold]
        out[:-2, 3 * fold : 4 * fold] = x[2:, 3 * fold : 4 * fold]
    return out


@pytest.mark.parametrize("frames", [3, 4, 7])
@pytest.mark.parametrize("long", [False, True])
def test_the_gather_is_what_copies_of_slices_give(frames, long):
    x = torch.randn(frames, 24)
    offsets = (-1, 1, -2, 2) if long else (-1, 1)
    by_head = shifted(x.view(1, frames, 6, 1, 4), shift_index(frames, 6, offsets))
    assert torch.equal(by_head.reshape(frames, 24), slices(x, 4, long))


def test_frames_without_a_neighbour_fall_back_to_themselves_and_not_to_the_border():
    assert shift_index(4, 1, (-2,))[:, 0].tolist() == [0, 1, 0, 1]
    assert shift_index(4, 1, (2,))[:, 0].tolist() == [2, 3, 2, 3]


def test_offsets_as_long_as_the_clip_leave_the_image_transformer():
    x = clips()
    far, none = (at_zero(network(offsets=offsets)) for offsets in ((-4, 5), ()))
    far.load_state_dict(none.state_dict())
    assert torch.equal(far(x), none(x))


def test_with_a_head_for_each_part_exactly_the_first_two_heads_are_temporal():
    index = shift_index(5, 12, (-1, 1))
    moved = (index != torch.arange(5)[:, None]).any(dim=0)
    assert moved.tolist() == [True, True, *[False] * 10]


def test_a_layer_gives_what_attention_written_by_hand_gives():
    net = network(offsets=(-1, 1))
    x, (block, adapters) = torch.randn(2, 4, 5, 8), (net.tower.layers[0], net.adapters[0])
    y = adapters.attn_in[0](block.ln_1(x))
    q, k, v = (part.unflatten(3, (2, 4)) for part in block.qkv(y).chunk(3, dim=3))  # b t n m d
    expected = torch.zeros(2, 4, 5, 2, 4)
    for t in range(4):
        for head, offset in enumerate((-1, 1)):
            s = t + offset if 0 <= t + offset < 4 else t
            weights = (q[:, t, :, head] @ k[:, s, :, head].transpose(1, 2) / 2).softmax(dim=2)
            expected[:, t, :, head] = weights @ v[:, s, :, head]
    expected = adapters.attn_out(block.out(expected.flatten(3)))
    assert torch.allclose(net.attended(x, block, adapters), expected, atol=1e-5)


@pytest.mark.parametrize("shift", ["k", "v", "input"])
def test_what_is_shifted_makes_a_difference(shift):
    x, both, other = clips(), at_zero(network()), at_zero(network(shift=shift))
    other.load_state_dict(both.state_dict())
    assert not torch.allclose(both(x), other(x), atol=1e-4)


def test_without_offsets_what_is_shifted_makes_none_in_layers_of_any_heads():
    own = vision_tower((8, 8), (4, 4), width=8, head=4, heads=(3, 1), mlp=(16, 16), dim=6)
    nets = [video_transformer(own, 3, 4, (), shift).eval() for shift in ("kv", "input")]
    nets[1].load_state_dict(nets[0].state_dict())
    assert torch.equal(nets[0](clips()), nets[1](clips()))


# -- adapters and merging -----------------------------------------------------------------------------------

WAYS = [
    {}, {"shared": False}, {"adapters": "attn-in"}, {"adapters": "attn-out"}, {"adapters": "mlp"}, {"scale": 1.0},
    {"shift": "input"}, {"pool": "attention"}, {"temporal": False}, {"adapters": "none"}, {"offsets": ()},
]  # fmt: skip


@pytest.mark.parametrize("changes", WAYS, ids=str)
def test_merged_it_computes_the_same(changes):
    x = clips(3)
    for dtype, within in ((torch.float32, 1e-5), (torch.float64, 1e-10)):
        net = network(**changes).to(dtype)
        merged = net.merged()
        assert not merged.adapted
        assert (net(x.to(dtype)) - merged(x.to(dtype))).abs().max() < within
        assert merged(x.to(dtype)).abs().max() > 0.1


def test_merged_it_has_the_parameters_of_the_image_transformer_an_embedding_and_a_head():
    own = tower()
    merged = network(own).merged()
    count = [sum(p.numel() for p in part.parameters()) for part in (merged, own, merged.head)]
    assert count[0] == count[1] + 4 * 8 + count[2]
    assert merged.cost(4).merged_parameters == count[0] == merged.cost(4).training_parameters


def test_what_was_merged_loads_into_the_plain_image_transformer():
    net, plain = network(offsets=()), tower(seed=9)
    at_zero(net)
    plain.load_state_dict(net.merged().tower.state_dict(), strict=True)
    x = clips()
    expected = net.embed(x) @ net.tower.projection
    assert torch.allclose(plain(x.flatten(0, 1)).unflatten(0, (2, 4)), expected, atol=1e-5)


def test_dropout_is_off_where_it_was_merged_in_training():
    net, x = network(dropout=0.5), clips()
    expected = net(x)
    merged = net.train().merged()
    assert not torch.allclose(net(x), expected, atol=1e-3)
    assert not merged.training
    assert torch.allclose(merged(x), expected, atol=1e-5)


def test_adapters_with_a_gelu_refuse_to_be_merged():
    net = network(linear=False)
    with pytest.raises(ValueError, match=r"must be linear \(linear=True\)"):
        net.merged()
    method = ZeroI2V(**QUICK, linear=False).fit(source=domain(), model=tower())
    with pytest.raises(ValueError, match="linear=True"):
        method.merge()
    assert torch.allclose(method.network()(clips()), method.decision_function(clips()), atol=1e-6)


def test_merging_twice_changes_nothing_more_and_what_goes_on_learning_has_new_adapters():
    once = network().merged()
    twice = once.merged()
    assert all(torch.equal(value, twice.state_dict()[key]) for key, value in once.state_dict().items())
    method = ZeroI2V(**QUICK).fit(source=domain(), model=tower())
    merged = method.merge()
    assert torch.equal(merged.merge().decision_function(clips()), merged.decision_function(clips()))
    further = ZeroI2V(**QUICK).fit(source=domain(6), model=merged.network_)
    assert further.network_.adapted
    assert not merged.network_.adapted
    from_adapted = ZeroI2V(**QUICK).fit(source=domain(6), model=method.network_)
    assert torch.equal(from_adapted.decision_function(clips()), further.decision_function(clips()))


def test_an_adapter_that_adds_nothing_leaves_projections_as_they_are_to_the_bit():
    own = tower()
    merged = video_transformer(own, 3, 4).merged().tower
    assert all(torch.equal(value, own.state_dict()[key]) for key, value in merged.state_dict().items())


def test_an_adapter_is_the_identity_and_merges_before_and_behind_a_projection():
    torch.manual_seed(0)
    adapter, line, x = LinearAdapter(6, 2, 0.5, 0.1, True).eval(), torch.nn.Linear(6, 6), torch.randn(5, 6)
    assert torch.equal(adapter(x), x)
    for part in adapter.parameters():
        torch.nn.init.normal_(part)
    m = torch.eye(6) + 0.5 * adapter.up.weight @ adapter.down.weight
    shift = 0.5 * (adapter.up.weight @ adapter.down.bias + adapter.up.bias)
    assert torch.allclose(adapter(x), x @ m.T + shift, atol=1e-5)
    before, behind = copy.deepcopy(line), copy.deepcopy(line)
    with torch.no_grad():
        adapter.merge_before(before.weight, before.bias)
        adapter.merge_behind(behind.weight, behind.bias)
    assert torch.allclose(before(x), line(adapter(x)), atol=1e-5)
    assert torch.allclose(behind(x), adapter(line(x)), atol=1e-5)


def test_the_scale_of_training_is_the_one_that_is_merged():
    net = network(scale=1.0)
    merged, half = net.merged(), network(scale=0.5)
    half.load_state_dict(net.state_dict())
    assert torch.allclose(merged(clips()), net(clips()), atol=1e-5)
    assert not torch.allclose(half.merged()(clips()), net(clips()), atol=1e-3)


def test_the_norms_before_adapters_are_not_merged():
    net = network()
    merged = net.merged()
    for before, after in zip(net.tower.layers, merged.tower.layers):
        for norm in ("ln_1", "ln_2"):
            assert torch.equal(getattr(before, norm).weight, getattr(after, norm).weight)


# -- learning -----------------------------------------------------------------------------------------------


def test_what_is_frozen_has_no_gradient():
    net = network()
    F.cross_entropy(net(clips()), torch.tensor([0, 1])).backward()
    learns = {name for name, parameter in net.named_parameters() if parameter.grad is not None}
    assert learns == {name for name, parameter in net.named_parameters() if parameter.requires_grad}
    frozen = {name for name in dict(net.named_parameters()) if name.startswith("tower.")} - learns
    assert learns.isdisjoint(frozen)
    assert {name for name in learns if name.startswith("tower.")} == {"tower.last.weight", "tower.last.bias"}
    assert {name.split(".")[0] for name in learns} == {"tower", "adapters", "temporal", "head"}


def test_training_lowers_the_loss_and_leaves_the_image_transformer_alone():
    own = tower()
    method = ZeroI2V(**{**QUICK, "epochs": 15}).fit(source=domain(), model=own)
    assert method.history_["loss"][-1] < method.history_["loss"][0] - 0.1
    after = method.network_.tower.state_dict()
    assert all(torch.equal(after[key], value) for key, value in own.state_dict().items() if "last" not in key)
    assert not torch.equal(after["last.weight"], own.last.weight)


def test_unfrozen_all_of_the_transformer_learns():
    own = tower()
    method = ZeroI2V(**QUICK, frozen=False, adapters="none").fit(source=domain(), model=own)
    after = method.network_.tower.state_dict()
    assert not torch.equal(after["blocks.0.fc.weight"], own.blocks[0].fc.weight)


def test_a_few_clips_of_each_class_are_enough_to_learn_from():
    steady = {"batch_size": 16, "epochs": 30, "dropout": 0.0, "head_dropout": 0.0}
    method = ZeroI2V(**{**QUICK, **steady}).fit(source=domain(6), model=tower())
    assert (method.predict(domain(6)) == domain(6).labels).mean() > 0.8


def test_two_towers_and_a_transformer_of_timm_learn_alike():
    timm = pytest.importorskip("timm")
    from unseen.encoders.vit_towers import of_timm

    towers = small_frame_towers()
    one, other = (ZeroI2V(**QUICK).fit(source=domain(), model=model) for model in (towers, towers.image))
    assert torch.equal(one.decision_function(clips()), other.decision_function(clips()))
    vit = timm.models.VisionTransformer(img_size=8, patch_size=4, embed_dim=8, depth=1, num_heads=2, num_classes=0)
    method = ZeroI2V(**QUICK).fit(source=domain(), model=of_timm(vit))
    assert torch.allclose(method.merge().decision_function(clips()), method.decision_function(clips()), atol=1e-5)


def test_it_is_saved_with_and_without_adapters(tmp_path):
    method = ZeroI2V(**QUICK).fit(source=domain(), model=tower())
    for name, made in (("adapted", method), ("merged", method.merge())):
        made.save(tmp_path / name)
        again = ZeroI2V.load(tmp_path / name)
        assert torch.equal(again.decision_function(clips()), made.decision_function(clips()))
        assert again.network_.adapted == made.network_.adapted


def test_what_began_as_a_transformer_of_timm_is_loaded_to_the_bit(tmp_path):
    timm = pytest.importorskip("timm")
    from unseen.encoders.vit_towers import of_timm

    torch.manual_seed(0)
    vit = timm.models.VisionTransformer(img_size=8, patch_size=4, embed_dim=8, depth=1, num_heads=2, num_classes=0)
    for part in vit.parameters():
        part.data *= 0.2  # a small variance, beside which what norms add to it counts
    method = ZeroI2V(**QUICK).fit(source=domain(), model=of_timm(vit))
    method.save(tmp_path / "saved")
    assert torch.equal(ZeroI2V.load(tmp_path / "saved").decision_function(clips()), method.decision_function(clips()))


def test_another_number_of_frames_adapts_the_shift_and_the_embedding():
    method = ZeroI2V(**QUICK).fit(source=domain(), model=tower())
    method.set_params(frames=7)
    assert method.predict(clips(5, 9).numpy()).shape == (5,)
    net = network()
    assert torch.equal(net.times(4), net.temporal)
    assert torch.allclose(net.times(8).mean(dim=0), net.temporal.mean(dim=0), atol=1e-5)


def test_views_average_probabilities():
    method = ZeroI2V(**QUICK).fit(source=domain(), model=tower())
    long = clips(3, 8, seed=5)
    parts = [method.predict_proba(long[:, start::2].numpy()) for start in (0, 1)]
    method.set_params(views=2)
    assert torch.allclose(method.predict_proba(long.numpy()), torch.stack(parts).mean(dim=0), atol=1e-5)


def test_what_frames_say_is_on_average_what_is_said_of_the_clip():
    method = ZeroI2V(**QUICK).fit(source=domain(), model=tower())
    scores = method.frame_scores(domain().x)
    assert scores.shape == (18, 4, 3)
    assert torch.allclose(scores.mean(dim=1), method.decision_function(domain().x), atol=1e-5)


def test_a_query_that_is_zero_weighs_frames_alike():
    net = video_transformer(tower(), 3, 4, pool="attention").eval()
    assert torch.allclose(net.weights(net.embed(clips())), torch.full((2, 4), 0.25))
    assert not torch.allclose(network(pool="attention").weights(net.embed(clips())), torch.full((2, 4), 0.25))


# -- cost ---------------------------------------------------------------------------------------------------


def counted(net, x):
    """Operations as torch counts them, but for attention, which not every version counts on a processor."""
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        net(x)
    n = net.tower.grid[0] * net.tower.grid[1] + 1
    attention = sum(4 * n * n * block.heads * block.head for block in net.tower.layers)
    told = counter.get_flop_counts()["Global"]
    return sum(n for op, n in told.items() if "attention" not in str(op)) + attention * x.shape[1]


def test_operations_are_those_that_torch_counts_and_merged_those_of_the_image_transformer():
    net, x = network(), clips(1)
    cost = net.cost(4)
    assert cost.training_operations == counted(net, x)
    assert cost.merged_operations == counted(net.merged(), x) == cost.image_operations + 2 * net.head.weight.numel()
    assert cost.training_parameters - cost.merged_parameters == sum(p.numel() for p in net.adapters.parameters())


def test_adapters_of_a_vit_b_are_a_sixth_of_it_in_training_and_nothing_after():
    with torch.device("meta"):
        own = vision_tower((224, 224), (16, 16), 768, 64, (12,) * 12, (3072,) * 12, 512)
        net = video_transformer(own, 400, 8)
    cost = net.cost(8)
    assert cost.training_parameters - cost.merged_parameters == 12 * 4 * (2 * 768 * 192 + 192 + 768)
    assert (cost.training_parameters - cost.merged_parameters) / cost.image_parameters == pytest.approx(
        0.165, abs=0.005
    )
    assert cost.merged_parameters - cost.image_parameters == 8 * 768 + 400 * 769
    assert cost.merged_operations / 8e9 == pytest.approx(35.1, abs=0.3)  # 17.6 billion multiplications and additions


# -- views of clips -----------------------------------------------------------------------------------------


def test_mirrored_clips_change_left_for_right():
    names = ("moving left", "moving right", "growing", "turn Left", "pulling_left-to-right", "pulling right to left")
    classes = mirror_classes(names)
    assert classes.tolist() == [1, 0, 2, -1, 5, 4]
    x, y = clips(6), torch.arange(6)
    flipped, labels = mirrored(x, y, classes, torch.Generator().manual_seed(0), 1.0)
    assert labels.tolist() == [1, 0, 2, 3, 5, 4]
    assert torch.equal(flipped[3], x[3])
    assert torch.equal(flipped[:3], x[:3].flip(4))
    same, kept = mirrored(x, y, classes, torch.Generator().manual_seed(0), 0.0)
    assert torch.equal(same, x)
    assert torch.equal(kept, y)


def test_a_box_is_erased_in_all_frames_alike():
    x = clips(40, 3)
    found = erased(x, torch.Generator().manual_seed(1), 0.5)
    gone = (found != x).any(dim=2)
    assert torch.equal(gone[:, 0], gone[:, 2])
    share = gone[:, 0].flatten(1).float().mean(dim=1)
    assert 0.2 < (share > 0).float().mean() < 0.8
    assert share.max() < 0.5
    assert torch.equal(erased(x, torch.Generator(), 0.0), x)


def test_rand_augment_is_as_strong_as_the_released_codes_library_has_it(monkeypatch):
    # pytorchvideo: magnitude 7 of 10, four operations, each with probability .5; torchvision's magnitudes are of 30
    asked = []
    monkeypatch.setattr(method_module, "rand_augment", lambda x, generator, *settings: asked.append(settings) or x)
    ZeroI2V(**{**QUICK, "epochs": 1, "operations": ZeroI2V.operations}).fit(source=domain(), model=tower())
    assert set(asked) == {(4, 21, 0.5)}


def test_all_views_of_training_at_once():
    options = {**QUICK, "operations": 2, "flip": 0.5, "erase": 0.5, "smallest": 0.3}
    method = ZeroI2V(**options).fit(source=domain(t=9), model=tower())
    assert np.isfinite(method.history_["loss"]).all()


# -- bad input ----------------------------------------------------------------------------------------------


def test_what_does_not_fit_is_named():
    with pytest.raises(TypeError, match=r"model must be a vision transformer.*got Linear"):
        ZeroI2V(**QUICK).fit(source=domain(), model=torch.nn.Linear(3, 2))
    with pytest.raises(ValueError, match="offsets must be at most one for each head; a layer has 2, got 3"):
        ZeroI2V(**QUICK, offsets=(-1, 1, 2)).fit(source=domain(), model=tower())
    for name, value in {"shift": "q", "offsets": (0.5,), "adapters": "both", "dropout": 1.0, "magnitude": 11}.items():
        method = ZeroI2V()
        setattr(method, name, value)
        with pytest.raises((TypeError, ValueError), match=f"^{name} must be"):
            method.fit(source=domain(), model=tower())
    with pytest.raises(ValueError, match="x must"):
        ZeroI2V(**QUICK).fit(source=domain(), model=tower()).predict(clips()[:, :, :2].numpy())
    for asked in (ZeroI2V().merge, ZeroI2V().report, ZeroI2V().network):
        with pytest.raises(NotFittedError):
            asked()
    first = ZeroI2V(**QUICK).fit(source=domain(), model=tower())
    with pytest.raises(ValueError, match="model was made with offsets"):
        ZeroI2V(**QUICK, offsets=(-1,)).fit(source=domain(), model=first.network_)


def test_it_is_offered_for_clips_where_there_is_a_transformer():
    from unseen.catalogue import Given

    for model in (tower(), small_frame_towers()):
        given = Given({"source": domain(), "model": model}, kind="clip")
        assert given.why_not(ZeroI2V) is None
        assert given.fit(ZeroI2V(**QUICK)).predict(domain()).shape == (18,)
    assert "vision transformer" in Given({"source": domain()}, kind="clip").why_not(ZeroI2V)
    assert FrameTransformer().lacks(Given({"model": torch.nn.Linear(2, 2)})) is not None

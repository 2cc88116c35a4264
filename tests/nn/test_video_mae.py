"""VideoMAE: each check of its part of the specification of CDFSL-V."""

import pytest
import torch
import torch.nn.functional as F

from unseen.encoders.video_mae import of_transformers_videomae
from unseen.nn import video_mae
from unseen.nn.build import rebuild, recipe_of
from unseen.nn.video_mae import VideoMAE, normalized_tubes, sine_positions, tube_mask, tubes, video_encoder

SIZES = {"tubelet": 2, "patch": 4, "width": 16, "layers": 2, "heads": 2, "mlp": 24}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def clips(b=3, t=4, side=8, seed=0):
    return torch.randn(b, t, 3, side, side, generator=generator(seed))


def encoder(frames=4, size=(8, 8)):
    torch.manual_seed(2)
    return video_encoder(frames, size, **SIZES)


def mae():
    net = encoder()
    torch.manual_seed(3)
    return VideoMAE(net, 8, 1, 2)


@pytest.mark.parametrize("ratio", [0.5, 0.75, 0.9])
def test_a_mask_hides_the_same_places_at_all_times_and_leaves_the_rounded_share(ratio):
    hidden = tube_mask(50, (4, 4, 5), ratio, generator()).view(50, 4, 20)
    assert (hidden == hidden[:, :1]).all()
    assert ((~hidden).sum(dim=(1, 2)) == 4 * round((1 - ratio) * 20)).all()
    assert len({tuple(row.tolist()) for row in hidden[:, 0]}) > 10


def test_something_is_seen_and_something_hidden_whatever_the_share():
    for ratio in (0.01, 0.99):
        count = tube_mask(9, (2, 2, 2), ratio, generator()).sum(dim=1)
        assert ((count > 0) & (count < 8)).all()


def test_frames_of_one_patch_have_nothing_to_hide():
    with pytest.raises(ValueError, match="two patches"):
        tube_mask(2, (2, 1, 1), 0.75, generator())


def test_tubes_are_cut_in_time_then_row_by_row():
    x = clips(2, 4, 8)
    cut = tubes(x, 2, 4)
    assert cut.shape == (2, 8, 32, 3)
    number = 0
    for t in range(0, 4, 2):
        for i in range(0, 8, 4):
            for j in range(0, 8, 4):
                own = x[1, t : t + 2, :, i : i + 4, j : j + 4].permute(0, 2, 3, 1).reshape(32, 3)
                assert torch.equal(cut[1, number], own)
                number += 1


def test_tubes_and_tokens_stand_in_the_same_order():
    net = encoder()
    x = clips()
    by_hand = torch.stack(
        [
            F.linear(
                row.view(2, 4, 4, 3).permute(3, 0, 1, 2).flatten(), net.patches.weight.flatten(1), net.patches.bias
            )
            for row in tubes(x, 2, 4)[1]
        ]
    )
    assert torch.allclose(net.placed(x)[1], by_hand + net.positions, atol=1e-5)


def test_targets_have_mean_zero_and_deviation_one_in_each_tube_and_colour():
    x = normalized_tubes(5 + 3 * tubes(clips(), 2, 4)).view(3, 8, 32, 3)
    assert torch.allclose(x.mean(dim=2), torch.zeros(3, 8, 3), atol=1e-5)
    assert torch.allclose(x.std(dim=2), torch.ones(3, 8, 3), atol=1e-4)
    assert (normalized_tubes(torch.ones(1, 1, 32, 3)) == 0).all()


def test_the_loss_is_on_hidden_tubes_alone():
    net, x = mae(), clips()
    hidden = tube_mask(3, net.encoder.grid, 0.75, generator())
    loss = net(x, hidden)
    target = normalized_tubes(tubes(x, 2, 4))
    said = net.decoded(x, hidden)
    by_hand = torch.stack([(said[i] - target[i][hidden[i]]).square().mean() for i in range(3)]).mean()
    assert loss.item() == pytest.approx(by_hand.item(), abs=1e-6)


@pytest.mark.parametrize(("which", "same"), [("visible", True), ("hidden", False)])
def test_other_pixels_of_the_target_change_the_loss_where_they_are_hidden_alone(monkeypatch, which, same):
    net, x = mae(), clips()
    hidden = tube_mask(3, net.encoder.grid, 0.75, generator())
    loss = net(x, hidden)

    def other(parts):
        found = normalized_tubes(parts)
        found[hidden if which == "hidden" else ~hidden] += 100
        return found

    monkeypatch.setattr(video_mae, "normalized_tubes", other)
    assert torch.equal(net(x, hidden), loss) == same


def test_the_encoder_sees_nothing_of_what_is_hidden():
    net, x = mae(), clips(1)
    hidden = tube_mask(1, net.encoder.grid, 0.75, generator())
    place = int(hidden[0, :4].nonzero()[0])
    other = x.clone()
    i, j = 4 * (place // 2), 4 * (place % 2)
    other[:, :, :, i : i + 4, j : j + 4] += torch.randn(1, 4, 3, 4, 4)
    assert torch.equal(net.decoded(x, hidden), net.decoded(other, hidden))
    assert not torch.equal(net(x, hidden), net(other, hidden))
    assert net.encoder.tokens(x, hidden).shape == (1, 2, 16)


def test_what_is_hidden_of_no_clip_changes_no_token():
    net, x = encoder(), clips()
    none = torch.zeros(3, 8, dtype=torch.bool)
    assert torch.allclose(net.tokens(x, none), net.tokens(x), atol=1e-6)


def test_features_are_the_normed_mean_of_tokens():
    net, x = encoder(), clips()
    assert torch.allclose(net(x), F.layer_norm(net.tokens(x).mean(dim=1), (16,)), atol=1e-5)


def test_positions_are_sines_and_are_not_learnt():
    table = sine_positions(50, 8)
    for position, column in ((0, 0), (7, 2), (49, 5), (13, 7)):
        angle = torch.tensor(position / 10000 ** (2 * (column // 2) / 8), dtype=torch.float64)
        expected = angle.cos() if column % 2 else angle.sin()
        assert table[position, column].item() == pytest.approx(expected.item(), abs=1e-6)
    assert "positions" not in dict(encoder().named_parameters())


def test_clips_of_another_length_or_size_are_refused_by_their_shape():
    for x in (clips(1, 6), clips(1, 4, 12)):
        with pytest.raises(ValueError, match=r"\(4, 3, 8, 8\)"):
            encoder()(x)


@pytest.mark.parametrize(
    ("changes", "told"), [({"frames": 5}, "multiple of tubelet"), ({"size": (8, 10)}, "multiples of patch")]
)
def test_lengths_and_sizes_that_tubes_do_not_divide_are_named(changes, told):
    with pytest.raises(ValueError, match=told):
        encoder(**changes)


def test_an_encoder_is_built_again_from_its_recipe():
    net = encoder()
    again = rebuild(recipe_of(net))
    again.load_state_dict(net.state_dict())
    assert torch.equal(again(clips()), net(clips()))


def test_training_on_a_few_clips_lowers_the_loss():
    net, x = mae(), clips(6)
    x = F.interpolate(x.flatten(0, 1), scale_factor=0.25).repeat_interleave(4, 2).repeat_interleave(4, 3)
    x = (x + torch.linspace(-2, 2, 8)).view(6, 4, 3, 8, 8)
    adam, draw = torch.optim.AdamW(net.parameters(), lr=3e-3), generator()
    losses = []
    for _ in range(60):
        loss = net(x, tube_mask(6, net.encoder.grid, 0.75, draw))
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])


def test_a_videomae_of_transformers_gives_the_same_tokens():
    from transformers import VideoMAEConfig, VideoMAEForVideoClassification, VideoMAEModel

    torch.manual_seed(0)
    config = VideoMAEConfig(
        image_size=8, patch_size=4, num_frames=4, tubelet_size=2, hidden_size=16, num_hidden_layers=2,
        num_attention_heads=2, intermediate_size=24, num_labels=3,
    )  # fmt: skip
    x = clips()
    for model in (VideoMAEModel(config).eval(), VideoMAEForVideoClassification(config).eval()):
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        body = getattr(model, "videomae", model)
        with torch.no_grad():
            mine = of_transformers_videomae(model)
            assert torch.allclose(mine.tokens(x), body(x).last_hidden_state, atol=1e-5, rtol=1e-5)
            again = rebuild(recipe_of(mine))
            again.load_state_dict(mine.state_dict())
            assert torch.equal(again.tokens(0.001 * x), mine.tokens(0.001 * x))
            assert {block.ln_1.eps for block in again.blocks} == {config.layer_norm_eps}
            if body is not model:
                assert torch.allclose(model.classifier(mine(x)), model(x).logits, atol=1e-3, rtol=1e-3)


def test_what_is_no_videomae_is_named():
    with pytest.raises(ValueError, match="VideoMAE of transformers; got Linear"):
        of_transformers_videomae(torch.nn.Linear(2, 2))

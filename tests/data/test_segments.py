"""Frames by segments, and changes that are the same in all frames of a clip."""

import pytest
import torch

from unseen.data.clip_augment import beta, cutmix, flip, jitter, mixup, multi_scale_crop
from unseen.data.domain import Domain
from unseen.data.segments import as_clip, clip_batches, fitted, ready, segment_index, stacked
from unseen.nn.train import Run


def rng():
    return torch.Generator().manual_seed(3)


def test_without_a_generator_the_middle_of_each_part_is_taken():
    assert segment_index(16, 4).tolist() == [2, 6, 10, 14]
    assert segment_index(8, 8).tolist() == list(range(8))
    assert segment_index(2, 4).tolist() == [0, 0, 1, 1]


def test_with_a_generator_each_frame_lies_in_its_part():
    generator = rng()
    found = torch.stack([segment_index(16, 4, generator) for _ in range(200)])
    assert (found // 4 == torch.arange(4)).all()
    assert [len(set(column.tolist())) for column in found.T] == [4] * 4


def test_each_clip_of_a_batch_draws_its_own_frames():
    x = torch.arange(16.0).view(1, 16, 1, 1, 1).expand(5, 16, 3, 2, 2)
    found = stacked(Domain(x=x, kind="clip"), frames=4, generator=rng())[:, :, 0, 0, 0]
    assert len({tuple(row.tolist()) for row in found}) > 1
    assert (found.long() // 4 == torch.arange(4)).all()


def test_batches_are_those_of_other_samples_and_only_frames_that_are_looked_at_are_read():
    x = torch.arange(16.0).view(1, 16, 1, 1, 1) + 100 * torch.arange(5.0).view(5, 1, 1, 1, 1)
    domain = Domain(x=x.expand(5, 16, 3, 2, 2), y=[4, 3, 2, 1, 0], kind="clip")
    run = Run("t", {}, {}, 1, None)
    made = list(clip_batches(domain, 2, 4, augment=lambda x, generator: -x)(run))
    assert [tuple(batch.x.shape) for batch in made] == [(2, 4, 3, 2, 2)] * 2
    for batch in made:
        assert (batch.y == 4 - batch.index).all()
        shown = -batch.x[:, :, 0, 0, 0] - 100 * batch.index[:, None]
        assert (shown.long() // 4 == torch.arange(4)).all()


def test_frames_that_are_not_taken_are_not_resized(monkeypatch):
    seen = []
    monkeypatch.setattr("unseen.data.segments.fitted", lambda clip, size: seen.append(len(clip)) or fitted(clip, size))
    x = torch.randint(255, (2, 16, 3, 8, 8), dtype=torch.uint8)
    assert stacked(ready(Domain(x=x, kind="clip"), (4, 4), frames=4)).shape == (2, 4, 3, 4, 4)
    assert seen == [4, 4]


@pytest.mark.parametrize("change", [multi_scale_crop, flip, jitter])
def test_all_frames_of_a_clip_change_alike_and_clips_by_themselves(change):
    x = torch.rand(6, 1, 3, 8, 8).expand(6, 5, 3, 8, 8)
    y = change(x, rng())
    assert y.shape == x.shape
    assert torch.allclose(y, y[:, :1].expand_as(y), atol=1e-6)
    same = torch.rand(1, 5, 3, 8, 8).expand(16, 5, 3, 8, 8)
    made = change(same, rng())
    assert any(not torch.allclose(made[0], other) for other in made[1:])


def test_a_crop_of_the_whole_side_changes_nothing():
    x = torch.rand(2, 3, 3, 8, 8)
    assert torch.allclose(multi_scale_crop(x, rng(), (1.0,)), x, atol=1e-5)


def test_a_share_of_clips_changes_its_colours_and_another_loses_them():
    x = torch.rand(1, 2, 3, 8, 8).expand(400, 2, 3, 8, 8)
    y = jitter(x, rng(), 0.4, grey=0.25, share=0.5)
    grey = (y[:, :, 0] - y[:, :, 1]).flatten(1).abs().amax(dim=1) < 1e-6
    changed = (y - x).flatten(1).abs().amax(dim=1) > 1e-6
    assert float(grey.float().mean()) == pytest.approx(0.25, abs=0.06)
    assert float(changed[~grey].float().mean()) == pytest.approx(0.5, abs=0.08)
    assert not jitter(x, rng(), 0.4, grey=0.0, share=0.0).sub(x).abs().amax() > 1e-6


def test_mixup_mixes_clips_and_targets_by_one_share():
    x = torch.zeros(2, 3, 3, 4, 4)
    x[1] = 1
    mixed, targets = mixup(x, torch.eye(2), 0.8, rng())
    share = targets[0, 0]
    assert torch.allclose(mixed[0], 1 - share.expand_as(mixed[0]))
    assert torch.allclose(targets.sum(dim=1), torch.ones(2))


def test_beta_is_symmetric_around_a_half():
    generator = rng()
    found = torch.tensor([beta(0.8, generator) for _ in range(2000)])
    assert float(found.mean()) == pytest.approx(0.5, abs=0.03)
    assert float(found.var()) == pytest.approx(1 / (4 * 2.6), abs=0.01)


def test_cutmix_takes_the_share_from_the_box_that_lies_in_the_picture():
    x = torch.zeros(2, 3, 3, 12, 16)
    x[1] = 1
    for seed in range(30):
        mixed, targets = cutmix(x, torch.eye(2), 1.0, torch.Generator().manual_seed(seed))
        assert (mixed[0] == mixed[0, :1]).all(), "the same box in every frame"
        assert float(1 - mixed[0].mean()) == pytest.approx(float(targets[0, 0]), abs=1e-6)


def test_bytes_become_values_in_the_unit_interval_and_floats_stay():
    assert float(as_clip(torch.full((2, 3, 4, 4), 255, dtype=torch.uint8)).max()) == 1
    assert float(as_clip(torch.full((2, 3, 4, 4), -3.0)).min()) == -3
    with pytest.raises(ValueError, match="must be of shape"):
        as_clip(torch.zeros(3, 4, 4))


def test_clips_of_unlike_sizes_and_with_nan_are_named():
    ragged = Domain(x=[torch.zeros(2, 3, 4, 4).numpy(), torch.zeros(2, 3, 5, 4).numpy()], kind="clip", ids=["a", "b"])
    with pytest.raises(ValueError, match=r"of one size.*'b'"):
        stacked(ragged)
    sick = torch.zeros(2, 2, 3, 4, 4)
    sick[1, 0, 0, 0, 0] = float("nan")
    with pytest.raises(ValueError, match="clip '000001' holds NaN"):
        stacked(Domain(x=sick, kind="clip"))

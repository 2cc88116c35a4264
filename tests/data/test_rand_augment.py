"""RandAugment on tensors: what it leaves, what it draws from, and what it cannot read."""

import pytest
import torch

from unseen.data.rand_augment import rand_augment


def pictures(n=6, channels=3):
    return 3 * torch.randn(n, channels, 16, 16, generator=torch.Generator().manual_seed(1)) - 5


def test_without_operations_pictures_stay_up_to_a_byte():
    x = pictures()
    span = x.flatten(1).max(dim=1).values - x.flatten(1).min(dim=1).values
    found = rand_augment(x, torch.Generator(), n=0)
    assert ((found - x).abs().flatten(1).max(dim=1).values <= span / 255 / 2 + 1e-4).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_change_within_their_own_range_each_in_its_own_way(channels):
    x = pictures(channels=channels)[:1].repeat(12, 1, 1, 1)
    found = rand_augment(x, torch.Generator().manual_seed(0))
    assert (found.shape, found.dtype) == (x.shape, x.dtype)
    assert x.min() - 1e-4 <= found.min() < found.max() <= x.max() + 1e-4
    assert len(torch.unique(found.flatten(1), dim=0)) > 6


def test_each_operation_is_done_by_its_share():
    x = pictures(n=1).repeat(200, 1, 1, 1)
    bytes_ = rand_augment(x, torch.Generator(), n=0)
    for share, low, high in ((0.0, 0, 0), (0.5, 0.3, 0.55), (1.0, 0.7, 1)):  # some operations change nothing
        found = rand_augment(x, torch.Generator().manual_seed(2), n=1, magnitude=21, share=share)
        assert low <= (found != bytes_).flatten(1).any(dim=1).float().mean() <= high


def test_draws_come_from_the_generator_of_the_run_alone():
    x, before = pictures(), torch.random.get_rng_state()
    first = rand_augment(x, torch.Generator().manual_seed(3))
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.rand(5)
    assert torch.equal(rand_augment(x, torch.Generator().manual_seed(3)), first)
    assert not torch.equal(rand_augment(x, torch.Generator().manual_seed(4)), first)


def test_a_picture_of_one_colour_stays():
    x = torch.full((2, 3, 8, 8), 0.4)
    torch.testing.assert_close(rand_augment(x, torch.Generator()), x)


def test_other_channels_are_named():
    with pytest.raises(ValueError, match="one or three channels; these have 2"):
        rand_augment(pictures(channels=2), torch.Generator())

"""Random views: sizes stay, content moves, the generator decides."""

import pytest
import torch

from unseen.data.augment import crop_and_flip, random_crop, random_flip


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("shape", [(3, 3, 32, 32), (2, 1, 16, 20), (1, 3, 224, 224), (2, 1, 2, 2)])
def test_size_and_type_stay(shape: tuple[int, ...]) -> None:
    x = torch.rand(shape)
    assert crop_and_flip(x, seeded()).shape == x.shape
    assert crop_and_flip(x, seeded()).dtype == x.dtype


def test_a_crop_is_a_shift_with_mirrored_borders() -> None:
    x = torch.arange(64.0).reshape(1, 1, 8, 8)
    padded = torch.nn.functional.pad(x, (2, 2, 2, 2), mode="reflect")
    windows = {tuple(padded[0, 0, i : i + 8, j : j + 8].flatten().tolist()) for i in range(5) for j in range(5)}
    seen = {tuple(random_crop(x, seeded(s), scale=1.5)[0, 0].flatten().tolist()) for s in range(60)}
    assert seen <= windows
    assert len(seen) > 15


def test_about_half_of_the_pictures_are_mirrored() -> None:
    x = torch.arange(4.0).expand(1000, 1, 2, 4)
    flipped = random_flip(x, seeded())
    mirrored = (flipped[:, 0, 0, 0] == 3).float().mean()
    assert 0.45 < mirrored < 0.55
    assert torch.equal(flipped.sort(dim=3).values, x)


def test_the_generator_decides() -> None:
    x = torch.rand(8, 3, 28, 28)
    assert torch.equal(crop_and_flip(x, seeded(1)), crop_and_flip(x, seeded(1)))
    assert not torch.equal(crop_and_flip(x, seeded(1)), crop_and_flip(x, seeded(2)))

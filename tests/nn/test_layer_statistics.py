"""Means and deviations of layers, and readers of them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from unseen.nn.build import rebuild, recipe_of
from unseen.nn.layer_statistics import EPS, Reading, layer_reader, moments, pack, reader_of, row_reader, unpack


def convnet() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Conv2d(5, 7, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())


@given(st.integers(1, 9), st.integers(0, 99))
def test_moments_do_not_depend_on_the_order_of_tokens(tokens: int, seed: int) -> None:
    x = torch.randn(2, tokens, 3, generator=torch.Generator().manual_seed(seed))
    order = torch.randperm(tokens, generator=torch.Generator().manual_seed(seed))
    for a, b in zip(moments(x), moments(x[:, order])):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


def test_a_constant_moves_the_mean_alone_and_a_factor_scales_both() -> None:
    x, c = torch.randn(4, 50, 3, dtype=torch.float64), torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)
    mu, sigma = moments(x)
    moved, scaled = moments(x + c), moments(2.5 * x)
    torch.testing.assert_close(moved, (mu + c, sigma))
    torch.testing.assert_close(scaled, (2.5 * mu, 2.5 * sigma), rtol=1e-6, atol=1e-9)  # the epsilon is not scaled


def test_moments_by_hand_with_the_epsilon_divided_by_n() -> None:
    x = torch.tensor([[[1.0], [3.0], [5.0], [7.0]]])
    mu, sigma = moments(x)
    assert mu.item() == 4
    assert sigma.item() == pytest.approx(5**0.5)
    flat = moments(torch.ones(1, 4, 1, dtype=torch.float64))[1]
    assert flat.item() == pytest.approx((EPS / 4) ** 0.5, rel=1e-12)


def test_maps_are_read_like_the_tokens_of_their_positions() -> None:
    maps = torch.randn(2, 3, 4, 5)
    torch.testing.assert_close(moments(maps), moments(maps.flatten(2).transpose(1, 2)))


def test_what_is_neither_tokens_nor_maps_is_refused() -> None:
    with pytest.raises(ValueError, match=r"tokens \(b, t, c\) or maps"):
        moments(torch.zeros(2, 3))


def test_rows_come_apart_again_and_rows_of_other_layers_are_refused() -> None:
    reading = Reading((torch.ones(2, 3), torch.ones(2, 4)), (torch.zeros(2, 3), torch.zeros(2, 4)), torch.ones(2, 5))
    rows = pack(reading)
    assert rows.shape == (2, 19)
    torch.testing.assert_close(unpack(rows, (3, 4), 5), reading)
    with pytest.raises(ValueError, match=r"layers of 3, 5 channels and an embedding of 5 need \(b, 21\)"):
        unpack(rows, (3, 5), 5)


def test_a_reader_gives_what_the_layers_gave_and_no_gradient() -> None:
    network, images = convnet(), torch.randn(2, 3, 8, 8, requires_grad=True)
    reader = reader_of(network, ("0", "2"), images)
    assert (reader.widths, reader.dim, reader.width) == ((5, 7), 7, 31)
    found = reader.read(images)
    first = network[0](images)
    torch.testing.assert_close(found.means[0], first.mean(dim=(2, 3)))
    torch.testing.assert_close(found.stds[1], network[2](network[1](first)).std(dim=(2, 3), unbiased=False))
    torch.testing.assert_close(found.embedding.norm(dim=1), torch.ones(2))
    assert not any(part.requires_grad for part in (*found.means, *found.stds, found.embedding))


def test_rows_that_were_read_before_are_read_alike() -> None:
    reader = reader_of(convnet(), ("0", "2"), torch.zeros(1, 3, 8, 8))
    images = torch.randn(3, 3, 8, 8)
    torch.testing.assert_close(reader.read(reader(images)), reader.read(images))
    torch.testing.assert_close(row_reader(reader.widths, reader.dim).read(reader(images)), reader.read(images))


def test_threads_do_not_read_each_others_layers() -> None:
    reader = reader_of(convnet(), ("0", "2"), torch.zeros(1, 3, 8, 8))
    images = [torch.randn(2, 3, 8, 8) for _ in range(16)]
    alone = [reader(x) for x in images]
    with ThreadPoolExecutor(4) as pool:
        together: list[Tensor] = list(pool.map(reader, images))
    for a, b in zip(alone, together):
        torch.testing.assert_close(a, b)


def test_a_reader_is_built_again_from_its_recipe() -> None:
    import timm

    network = timm.create_model("resnet18", pretrained=False, num_classes=4)
    reader = reader_of(network, ("layer1", "layer4"), torch.zeros(1, 3, 32, 32)).eval()
    again = rebuild(recipe_of(reader))
    again.load_state_dict(reader.state_dict())
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(again.eval()(x), reader(x))


def test_layers_without_widths_are_refused() -> None:
    with pytest.raises(ValueError, match="one module per width"):
        layer_reader(convnet(), ("0",), (5, 7), 7)

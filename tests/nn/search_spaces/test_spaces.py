"""The two spaces: texts, numbers, neighbours, networks, slots."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unseen.nn.build import recipe_of
from unseen.nn.search_spaces import SPACES, get
from unseen.nn.zero_cost import parametric_layers

NAMES = sorted(SPACES)


@pytest.mark.parametrize(("name", "size"), [("cells", 46_875), ("vits", 44_280)])
def test_a_space_has_as_many_architectures_as_it_says(name: str, size: int) -> None:
    space = get(name)
    assert len(space) == size
    assert len({str(one) for one in space}) == size


@settings(deadline=None, max_examples=40)
@given(st.sampled_from(NAMES), st.integers(0, 44_279))
def test_a_text_is_read_back(name: str, index: int) -> None:
    space = get(name)
    assert space.parse(str(space.at(index))) == space.at(index)


@settings(deadline=None, max_examples=15)
@given(st.sampled_from(NAMES), st.integers(0, 44_279))
def test_neighbours_are_others_are_mutual_and_in_the_space(name: str, index: int) -> None:
    space = get(name)
    here = space.at(index)
    near = space.neighbours(here)
    assert here not in near
    assert len(set(near)) == len(near)
    assert all(here in space.neighbours(other) for other in near[:5])
    assert all(space.parse(str(other)) == other for other in near)


@settings(deadline=None, max_examples=12)
@given(st.sampled_from(NAMES), st.integers(0, 44_279), st.sampled_from([(1, 8), (3, 9), (1, 14)]))
def test_every_network_gives_logits_and_its_nodes_are_slots(name: str, index: int, shape: tuple[int, int]) -> None:
    space, (channels, size) = get(name), shape
    network = space.build(space.at(index), n_classes=5, channels=channels, size=size)
    assert network(torch.zeros(2, channels, size, size)).shape == (2, 5)
    layers = list(parametric_layers(network))
    assert [slot for slot in space.slots if slot in layers] == layers  # each once, in the order of the supernet


@pytest.mark.parametrize("name", NAMES)
def test_every_slot_is_a_node_of_some_network(name: str) -> None:
    space = get(name)
    met: set[str] = set()
    for architecture in space.sample(60, seed=0):
        met |= set(parametric_layers(space.build(architecture, n_classes=2)))
    assert met == set(space.slots)


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_is_of_different_architectures_and_the_same_for_one_seed(name: str) -> None:
    space = get(name)
    assert len(set(space.sample(200, 3))) == 200
    assert space.sample(20, 3) == space.sample(20, 3)
    assert space.sample(20, 3) != space.sample(20, 4)
    with pytest.raises(ValueError, match="n must lie in"):
        space.sample(0, 0)
    rng = np.random.default_rng(0)
    one = space.at(7)
    assert space.mutate(one, rng) in space.neighbours(one)


def test_a_cell_without_a_path_gives_the_same_logits_for_everything() -> None:
    network = get("cells").build("w8/none/none/none/none/none/none", n_classes=3).eval()
    x = torch.randn(4, 1, 8, 8)
    assert torch.equal(network(x), network(-x))


def test_a_cell_of_skips_adds_up_paths() -> None:
    from unseen.nn.search_spaces.cells import _Cell

    x = torch.randn(1, 8, 4, 4)
    torch.testing.assert_close(_Cell(("skip",) * 6, 8)(x), 4 * x)  # four paths lead from 0 to 3


def test_networks_can_be_built_again_from_json() -> None:
    assert recipe_of(get("vits").build("g2/w12/h1r1", n_classes=2)).args["vit"] == "g2/w12/h1r1"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("cells", "w9/skip/skip/skip/skip/skip/skip"),
        ("cells", "w8/skip"),
        ("cells", "w8/skip/skip/skip/skip/skip/pool"),
        ("vits", "g2/w12"),
        ("vits", "g2/w12/h3r1"),
        ("vits", "g2/12/h1r1"),
        ("vits", "g2/w12/h1"),
        ("vits", "g2/w12/" + "/".join(["h1r1"] * 5)),
    ],
)
def test_a_text_of_no_architecture_is_shown(name: str, text: str) -> None:
    with pytest.raises(ValueError, match=text.replace("/", "/")):
        get(name).parse(text)


def test_bad_requests_are_named() -> None:
    with pytest.raises(ValueError, match="cells, vits"):
        get("darts")
    with pytest.raises(ValueError, match="size must be at least 4; got 3"):
        get("cells").build("w8/skip/skip/skip/skip/skip/skip", n_classes=2, size=3)
    with pytest.raises(ValueError, match="n_classes must be at least 2; got 1"):
        get("vits").build("g2/w12/h1r1", n_classes=1)
    for name in NAMES:
        with pytest.raises(ValueError, match="index"):
            get(name).at(-1)
        with pytest.raises(ValueError, match="index"):
            get(name).at(len(get(name)))

"""Crafting Shifts: the analytic checks of its specification, and what it promises to users."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unseen.data.augment import random_flip, random_resized_crop
from unseen.data.domain import Domain, Lazy
from unseen.data.shifts import FAMILIES, FOLDS, craft, edge_map
from unseen.methods.generalization import crafting_shifts
from unseen.methods.generalization.crafting_shifts import (
    MIXES,
    CraftingShifts,
    Units,
    edge_view,
    hold_out,
    log_mixed,
    measure,
    mixed,
    move,
    original_or_copy,
    two_view_loss,
    view_logits,
    view_probabilities,
)
from unseen.nn.convnet import small_convnet
from unseen.nn.train import DivergedError
from unseen.runtime import runtime

UNIT = Units(torch.zeros(3), torch.ones(3))


def shapes(n: int = 40, size: int = 16, seed: int = 0) -> Domain:
    """Bars across (0) and down (1), dark on light, in [0, 1]."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    x = np.full((n, 3, size, size), 0.9, dtype=np.float32)
    for i, label in enumerate(y):
        place = int(rng.integers(3, size - 6))
        part = x[i].transpose(0, 2, 1) if label else x[i]
        part[:, place : place + 3, 2:-2] = 0.1
    return Domain(x=x + rng.normal(0, 0.02, x.shape).astype(np.float32).clip(-0.1, 0.1), y=y, kind="image").replace(
        name="shapes"
    )


def quick(**changes: object) -> CraftingShifts:
    return CraftingShifts(**{"epochs": 3, "width": 4, "batch_size": 16, **changes})  # type: ignore[arg-type]


# -- the checks of the specification ----------------------------------------------------------------------


P_RGB, P_EDGE = torch.tensor([[0.6, 0.3, 0.1]]), torch.tensor([[0.2, 0.7, 0.1]])


@pytest.mark.parametrize(
    ("a", "expected"),
    [(0.25, (0.2632, 0.5664, 0.1)), (0.5, (0.3464, 0.4583, 0.1)), (0.75, (0.4559, 0.3708, 0.1))],
)
def test_the_mix_of_two_softmaxes_is_geometric_and_not_normalized(a: float, expected: tuple[float, ...]) -> None:
    torch.testing.assert_close(mixed(P_RGB, P_EDGE, a), torch.tensor([expected]), atol=5e-5, rtol=0)
    torch.testing.assert_close(log_mixed(P_RGB.log(), P_EDGE.log(), a).exp(), mixed(P_RGB, P_EDGE, a))


def test_a_equal_to_one_is_the_picture_and_a_equal_to_zero_the_edge_map() -> None:
    method, source = quick().fit(source=shapes()), shapes(seed=1)
    x = torch.as_tensor(source.x)
    with torch.no_grad():
        rgb = method.network_(x).argmax(dim=1).numpy()
        edge = method.network_(edge_view(x, measure(shapes()))).argmax(dim=1).numpy()
    for a, expected in ((1.0, rgb), (0.0, edge)):
        method.mix_ = a
        np.testing.assert_array_equal(method.predict(x), expected)


def test_without_edge_weight_the_loss_is_half_of_the_pictures_cross_entropy_and_its_gradient_as_in_plain_training() -> (
    None
):
    rgb, edge = (torch.randn(7, 4, requires_grad=True) for _ in range(2))
    y = torch.arange(7) % 4
    loss, plain = two_view_loss((rgb, edge), y, 0.0), two_view_loss((rgb,), y, 0.0)
    torch.testing.assert_close(loss, F.cross_entropy(rgb, y) / 2)
    mine, theirs, unused = (*torch.autograd.grad(loss, (rgb,), retain_graph=True), *torch.autograd.grad(plain, (rgb,)),
                            torch.autograd.grad(loss, (edge,))[0])  # fmt: skip
    torch.testing.assert_close(F.normalize(mine.flatten(), dim=0), F.normalize(theirs.flatten(), dim=0))
    assert not unused.any()


def test_the_loss_is_divided_by_the_number_of_rows_whatever_the_weight() -> None:
    rgb, edge, y = torch.randn(5, 3), torch.randn(5, 3), torch.tensor([0, 1, 2, 0, 1])
    expected = (F.cross_entropy(rgb, y, reduction="sum") + 0.3 * F.cross_entropy(edge, y, reduction="sum")) / 10
    torch.testing.assert_close(two_view_loss((rgb, edge), y, 0.3), expected)


@pytest.mark.parametrize("geometry", ["crop+flip", "crop", "same"])
def test_the_same_random_numbers_crop_and_flip_both_views(geometry: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crafting_shifts, "edge_view", lambda x, units, *args, **kwargs: x.clone())  # identity "edge"
    seen: list[Tensor] = []
    model = small_convnet(2, 3, 4)
    forward = type(model).forward
    monkeypatch.setattr(type(model), "forward", lambda self, x: seen.append(x.clone()) or forward(self, x))
    quick(geometry=geometry, epochs=1).fit(source=shapes(), model=model)
    batches = [x for x in seen if len(x) == 32]
    assert len(batches) == 2
    for x in batches:
        rgb, edge = x.chunk(2)
        assert torch.equal(rgb, edge)


def test_the_views_are_one_batch_for_the_network() -> None:
    sizes: list[int] = []
    model = small_convnet(2, 3, 4)
    forward = type(model).forward

    def counting(self: nn.Module, x: Tensor) -> Tensor:
        sizes.append(len(x))
        return forward(self, x)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(model), "forward", counting)
        quick(epochs=1).fit(source=shapes(), model=model)
        quick(epochs=1, views="rgb").fit(source=shapes(), model=model)
        quick(epochs=1, views="edge").fit(source=shapes(), model=model)
    assert [size for size in sizes if size > 2] == [32, 32, 16, 16, 16, 16]


def test_the_edge_map_is_made_of_the_moved_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[tuple[Tensor, Tensor]] = []

    def noting(x: Tensor, units: Units, *args: object, **kwargs: object) -> Tensor:
        shown.append((x, edge_view(x, units)))
        return shown[-1][1]

    monkeypatch.setattr(crafting_shifts, "edge_view", noting)
    seen: list[Tensor] = []
    model = small_convnet(2, 3, 4)
    forward = type(model).forward
    monkeypatch.setattr(type(model), "forward", lambda self, x: seen.append(x.clone()) or forward(self, x))
    quick(epochs=1).fit(source=shapes(), model=model)
    for x, (rgb, edge) in zip([x for x in seen if len(x) == 32], shown):
        assert torch.equal(x, torch.cat([rgb, edge]))


# -- the views ---------------------------------------------------------------------------------------------


def test_each_picture_is_the_original_or_a_copy_with_equal_chances() -> None:
    x = torch.rand(1, 3, 16, 16).repeat(600, 1, 1, 1)
    families = ("blur", "color", "edges")
    found = original_or_copy(x, families, UNIT, torch.Generator().manual_seed(0))
    options = [x[:1], *(torch.as_tensor(craft(x[:1].numpy(), family)) for family in families)]
    counts = [int((found - option).abs().amax(dim=(1, 2, 3)).lt(1e-6).sum()) for option in options]
    assert sum(counts) == 600
    assert min(counts) > 110  # 150 are meant, with a deviation of 11


def test_without_families_pictures_stay_as_they_are() -> None:
    x = torch.rand(8, 3, 16, 16)
    assert torch.equal(original_or_copy(x, (), UNIT, torch.Generator()), x)


def test_a_crop_shows_eighty_to_a_hundred_percent_and_lies_inside() -> None:
    ramp = torch.linspace(0, 1, 32).repeat(200, 1, 32, 1)
    found = random_resized_crop(ramp, torch.Generator().manual_seed(0))
    across = found.amax(dim=(1, 2, 3)) - found.amin(dim=(1, 2, 3))
    down = random_resized_crop(ramp.transpose(2, 3), torch.Generator().manual_seed(0))
    tall = down.amax(dim=(1, 2, 3)) - down.amin(dim=(1, 2, 3))
    area = across * tall
    assert area.min() > 0.7
    assert area.max() <= 1
    assert across.std() > 0.02
    whole = random_resized_crop(ramp, torch.Generator(), scale=(1, 1), ratio=(1, 1))
    torch.testing.assert_close(whole, ramp, atol=1e-5, rtol=0)


def test_geometry_can_be_left_out() -> None:
    x = torch.rand(4, 3, 16, 16)
    assert torch.equal(move(x, "same", torch.Generator()), x)
    generator = torch.Generator().manual_seed(3)
    cropped = random_resized_crop(x, torch.Generator().manual_seed(3))
    assert torch.equal(move(x, "crop", generator), cropped)
    generator = torch.Generator().manual_seed(3)
    assert torch.equal(random_flip(random_resized_crop(x, generator), generator),
                       move(x, "crop+flip", torch.Generator().manual_seed(3)))  # fmt: skip


@pytest.mark.parametrize(
    ("change", "low", "high"),
    [
        (lambda x: x, (0, 0, 0), (1, 1, 1)),
        (lambda x: (x * 255).round(), (0, 0, 0), (255, 255, 255)),
        (lambda x: (x - torch.tensor([0.4, 0.5, 0.6])[:, None, None]) / 0.25, (-1.6, -2, -2.4), (2.4, 2, 1.6)),
    ],
)
def test_units_are_those_of_the_source(change: object, low: tuple[float, ...], high: tuple[float, ...]) -> None:
    x = torch.rand(20, 3, 16, 16)
    x[0, :, 0, 0], x[0, :, 0, 1] = 0, 1
    units = measure(Domain(x=change(x).numpy(), y=np.arange(20) % 2, kind="image"))  # type: ignore[operator]
    torch.testing.assert_close(units.low, torch.tensor(low).float())
    torch.testing.assert_close(units.high, torch.tensor(high).float())
    np.testing.assert_allclose(units.from_unit(units.to_unit(change(x))), change(x), atol=1e-3)  # type: ignore[operator]


def test_normalized_pictures_have_the_edges_and_copies_of_the_plain_ones() -> None:
    x = torch.as_tensor(shapes().x).clamp(0, 1)
    x[0, :, 0, 0], x[0, :, 0, 1] = 0, 1
    units = measure(Domain(x=(x.numpy() - 0.45) / 0.22, y=np.arange(40) % 2, kind="image"))
    other = edge_view((x - 0.45) / 0.22, units)
    assert ((other * 0.22 + 0.45 - edge_view(x, UNIT)).abs() < 1e-3).float().mean() > 0.999
    found = original_or_copy((x - 0.45) / 0.22, ("color",), units, torch.Generator().manual_seed(0)) * 0.22 + 0.45
    expected = original_or_copy(x, ("color",), UNIT, torch.Generator().manual_seed(0))
    assert ((found - expected).abs() < 1e-2).float().mean() > 0.99  # a level that is rounded otherwise is other content


def test_an_edge_view_is_lines_in_black_on_white_in_all_channels() -> None:
    x = torch.as_tensor(shapes(4).x)
    found = edge_view(x, UNIT)
    assert found.unique().tolist() == [0, 1]
    assert torch.equal(found[:, 0], found[:, 2])
    grey = np.tensordot(x.numpy(), np.array([0.2989, 0.587, 0.114], dtype=np.float32), axes=(1, 0))
    np.testing.assert_array_equal(found[:, 0].numpy(), edge_map(grey))


# -- the method --------------------------------------------------------------------------------------------


def test_bars_are_told_apart_in_other_colours() -> None:
    source, test = shapes(120), shapes(40, seed=5)
    method = quick(epochs=15, width=8, geometry="crop").fit(source=source)
    x = torch.as_tensor(1 - test.x)  # light on dark
    assert (method.predict(x) == test.y).mean() > 0.85
    assert method.loss_[-1] < method.loss_[0]


def test_the_mix_is_chosen_by_families_that_each_fold_has_not_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, tuple[str, ...], int]] = []
    learn = CraftingShifts._learn

    def noting(self, source, units, start, families, name):
        asked.append((name, families, len(source)))
        return learn(self, source, units, start, families, name)

    monkeypatch.setattr(CraftingShifts, "_learn", noting)
    method = quick(mix=None).fit(source=shapes(60))
    assert [families for _, families, _ in asked] == [FOLDS[1], FOLDS[0], tuple(FAMILIES)]
    assert [n for _, _, n in asked] == [48, 48, 60]
    assert list(method.mix_scores_) == list(MIXES)
    best = max(method.mix_scores_.values())
    assert method.mix_scores_[method.mix_] == best


def test_without_families_one_more_training_chooses_the_mix(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []
    learn = CraftingShifts._learn
    monkeypatch.setattr(CraftingShifts, "_learn", lambda self, *args: asked.append(args[3]) or learn(self, *args))
    quick(mix=None, families=()).fit(source=shapes())
    assert asked == [(), ()]


@pytest.mark.parametrize(("views", "mix"), [("rgb", 1.0), ("edge", 0.0)])
def test_one_view_is_predicted_from_alone(views: str, mix: float) -> None:
    method = quick(views=views, mix=None, epochs=1).fit(source=shapes())
    assert method.mix_ == mix


def test_only_pictures_alone_can_be_written_as_a_network(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="edge maps"):
        quick(epochs=1).fit(source=shapes()).network()
    method = quick(epochs=1, views="rgb").fit(source=shapes())
    x = torch.as_tensor(shapes(4).x)
    torch.testing.assert_close(torch.log_softmax(method.network()(x), dim=1), method.decision_function(x))


def test_the_probabilities_of_both_views_are_those_of_the_network() -> None:
    network, x = small_convnet(3, 3, 4).eval(), torch.rand(300, 3, 16, 16)
    rgb, edge = view_probabilities(network, x, UNIT)
    with torch.no_grad():
        torch.testing.assert_close(rgb, torch.softmax(network(x), dim=1))
        torch.testing.assert_close(edge, torch.softmax(network(edge_view(x, UNIT)), dim=1))
        assert view_logits(network, x[:2], UNIT, 1.0)[1] is not None


@pytest.mark.parametrize("change", [{"edge_mode": "reference"}, {"geometry": "same"}, {"strength": 0.3}])
def test_options_change_what_is_learnt(change: dict[str, object]) -> None:
    plain, other = (quick(epochs=1, **c).fit(source=shapes()).network_ for c in ({}, change))
    assert not all(torch.equal(a, b) for a, b in zip(plain.parameters(), other.parameters()))


def test_grey_pictures_and_lazy_ones_are_read() -> None:
    source = shapes()
    grey = source.replace(x=source.x[:, :1])
    assert quick(epochs=1).fit(source=grey).predict(grey).shape == (40,)
    lazy = source.replace(x=Lazy(range(40), lambda i: torch.as_tensor(source.x[i])))
    a, b = (quick(epochs=1).fit(source=one).decision_function(source) for one in (lazy, source))
    assert torch.equal(a, b)


def test_a_killed_training_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    whole = quick().fit(source=shapes())
    with runtime(folder=tmp_path):
        first = quick().fit(source=shapes())
        again = quick().fit(source=shapes())
    for other in (first, again):
        assert all(torch.equal(a, b) for a, b in zip(whole.network_.parameters(), other.network_.parameters()))


def test_a_learning_rate_that_is_too_large_is_an_arithmetic_error_that_a_grid_can_record() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 256, 2))
    with pytest.raises(DivergedError):
        quick(learning_rate=1e38).fit(source=shapes(), model=model)


def test_samples_are_held_out_of_each_class_that_has_two() -> None:
    labels = np.array([0] * 10 + [1] * 3 + [2])
    kept, held = hold_out(labels, 0)
    assert sorted(np.concatenate([kept, held])) == list(range(14))
    assert np.bincount(labels[held]).tolist() == [2, 1]
    with pytest.raises(ValueError, match="two samples"):
        hold_out(np.arange(3), 0)


def test_bad_input_is_named_before_work() -> None:
    source = shapes()
    with pytest.raises(ValueError, match=r"families.*'banana'"):
        CraftingShifts(families=("banana",))
    with pytest.raises(ValueError, match=r"source.*sides of at least 8"):
        quick().fit(source=source.replace(x=source.x[:, :, :6]))
    with pytest.raises(ValueError, match="model must have an output"):
        quick().fit(source=source, model=nn.Sequential(nn.Flatten(), nn.Linear(3 * 256, 1)))
    with pytest.raises(ValueError, match="source does not fit the model: it has pictures of 3 channels"):
        quick().fit(source=source, model=nn.Sequential(nn.Flatten(), nn.Linear(5, 2)))
    ragged = source.replace(x=Lazy(range(40), lambda i: torch.rand(3, 16, 16 + i % 2)))
    with pytest.raises(ValueError, match="source must hold pictures of one shape"):
        quick().fit(source=ragged)
    broken = source.replace(x=Lazy(range(40), lambda i: torch.full((3, 16, 16), float("nan"))))
    with pytest.raises(ValueError, match="source must be finite"):
        quick().fit(source=broken)

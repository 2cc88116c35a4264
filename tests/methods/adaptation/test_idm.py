"""IDM: each analytic check of its spec, by hand or by a naive second way."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain, Lazy
from unseen.data.pixels import UNKNOWN
from unseen.data.tasks.base import objects
from unseen.methods.adaptation.idm import IDM, _cells, _Parts, _Waiting
from unseen.nn.averaging import follow, rising_momentum
from unseen.nn.bn_statistics import batch_norms
from unseen.nn.informative import InformativeSelector, pixel_uncertainty, uncertainty
from unseen.nn.pixel_mix import class_mix, patch_mix, pseudo_labels, random_crops
from unseen.nn.pixel_prototypes import PrototypeBank, labels_at, prototype_im
from unseen.nn.segmenters import SegmentationNetwork, head_of, pixel_loss, small_unet
from unseen.nn.style import channel_moments, lab_to_rgb, layer_moments, match_statistics, mixed_statistics, rgb_to_lab
from unseen.runtime import reproducible

CLASSES = ClassSpace(names=("ground", "disk", "bar"))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def scenes(n: int, seed: int, dark: float = 0.0) -> Domain:
    """Disks and bars of two colours on a ground, darker perhaps, (n, 3, 16, 16)."""
    rng = np.random.default_rng(seed)
    x, y = np.empty((n, 3, 16, 16), dtype=np.float32), []
    rows, columns = np.indices((16, 16))
    for i in range(n):
        mask = np.zeros((16, 16), dtype=np.int8)
        top, left = rng.integers(3, 12, 2)
        mask[np.hypot(rows - top, columns - left) < 4] = 1
        mask[:, int(rng.integers(0, 13)) :][:, :3] = 2
        colours = np.array([[0.5, 0.5, 0.5], [0.9, 0.3, 0.2], [0.2, 0.4, 0.9]])
        picture = colours[mask].transpose(2, 0, 1) + rng.normal(0, 0.05, (3, 16, 16))
        x[i] = np.clip((1 - dark) * picture, 0, 1)
        y.append(mask)
    return Domain(x=x, y=objects(y), kind="image", task="mask", classes=CLASSES, name=f"scenes {seed}")


def network(seed: int = 0) -> SegmentationNetwork:
    with reproducible(seed):
        return small_unet(3, width=6, depth=2).eval()


def small(**changes: Any) -> IDM:
    return IDM(**({"candidates": 32, "batch_size": 4, "grid": 2} | changes))


# -- uncertainty and selection -----------------------------------------------------------------------------


def test_a_uniform_prediction_has_entropy_one_and_a_one_hot_one_zero() -> None:
    y = torch.zeros(1, 4, 4, dtype=torch.long)
    assert float(uncertainty(torch.zeros(1, 5, 4, 4), y)) == pytest.approx(1, abs=1e-6)
    sure = torch.zeros(1, 5, 4, 4)
    sure[:, 2] = 1e4
    assert float(uncertainty(sure, y)) == 0
    assert float(uncertainty(sure, y, "margin")) == 0
    assert float(uncertainty(torch.zeros(1, 5, 4, 4), y, "margin")) == pytest.approx(1)


def test_the_score_ignores_pixels_whose_class_is_not_known() -> None:
    logits = torch.zeros(1, 3, 2, 2)
    logits[:, 0, 0] = 1e4  # the upper row is sure
    y = torch.tensor([[[0, 0], [UNKNOWN, UNKNOWN]]])
    assert float(uncertainty(logits, y)) == 0
    assert float(uncertainty(logits, torch.zeros_like(y))) == pytest.approx(0.5)
    assert float(uncertainty(logits, torch.full_like(y, UNKNOWN))) == 0  # nothing known: nothing to learn


def test_disagreement_is_the_divergence_from_the_other_view() -> None:
    torch.manual_seed(0)
    a, b = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    p, q = torch.softmax(b, 1), torch.softmax(a, 1)
    expected = (p * (p / q).log()).sum(1)
    torch.testing.assert_close(pixel_uncertainty(a, "disagreement", b), expected)
    assert float(pixel_uncertainty(a, "disagreement", a).abs().max()) < 1e-6
    with pytest.raises(ValueError, match="another view"):
        pixel_uncertainty(a, "disagreement")


def test_selection_with_q_0_accepts_everything_and_with_q_1_nothing_after_warm_up() -> None:
    scores = torch.rand(300, generator=generator())
    assert bool(InformativeSelector(0.0)(scores).all())
    kept = InformativeSelector(1.0, warm=16)(scores)
    assert kept[:16].all()
    assert not kept[16:].any()


@pytest.mark.parametrize("q", [0.25, 0.5, 0.8])
def test_the_accepted_fraction_of_exchangeable_scores_is_1_minus_q(q: float) -> None:
    selector = InformativeSelector(q)
    kept = selector(torch.rand(4000, generator=generator(3)))
    # a binomial error of .008 at most, and a window of 64 whose quantile is off by up to 1 / 65
    assert float(kept[200:].double().mean()) == pytest.approx(1 - q, abs=0.04)
    assert (selector.seen, selector.kept) == (4000, int(kept.sum()))


def test_the_running_mean_is_the_cheaper_threshold() -> None:
    kept = InformativeSelector(by="mean", momentum=0.9, warm=1)(torch.tensor([1.0, 2.0, 0.5, 1.05]))
    # means before each: -, 1, 1.1, 1.04
    assert kept.tolist() == [True, True, False, True]


def test_adaptation_ends_where_hardly_anything_is_accepted() -> None:
    source = scenes(24, 0)
    method = small(quantile=1.0, candidates=4000).fit(source=source, target=scenes(1, 1), model=network())
    # 16 warm ones are accepted; of the last 50 less than a tenth first at 62 candidates, seen in batches of 4
    assert method.log_["selected"] == 16
    assert method.log_["seen"] <= 64
    whole = small(quantile=1.0, candidates=120, stop_below=0.0).fit(source=source, target=scenes(1, 1), model=network())
    assert whole.log_["seen"] == 120


def test_a_rejected_candidate_costs_no_step() -> None:
    source, target = scenes(24, 0), scenes(1, 1)
    fit = lambda q: small(candidates=160, quantile=q, stop_below=0.0).fit(source=source, target=target, model=network())
    every, half = fit(0.0).log_, fit(0.5).log_
    assert (every["seen"], every["selected"], every["steps"]) == (160, 160, 40)
    assert half["seen"] == 160
    assert half["steps"] == half["selected"] // 4 < 32


def test_patches_are_selected_by_the_score_of_their_own_pixels() -> None:
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert _cells(x, 2)[:, 0].tolist() == [
        [[0, 1], [4, 5]],
        [[2, 3], [6, 7]],
        [[8, 9], [12, 13]],
        [[10, 11], [14, 15]],
    ]
    method = small(unit="patch", candidates=64, stop_below=0.0)
    method.fit(source=scenes(24, 0), target=scenes(1, 1), model=network())
    assert method.log_["seen"] == 64 * 4


# -- style -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("space", ["rgb", "lab"])
def test_stylised_channel_means_and_deviations_equal_the_targets_before_clipping(space: Any) -> None:
    x = torch.rand(3, 3, 20, 20, generator=generator(1))
    ref = 0.3 + 0.3 * torch.rand(3, 12, 9, generator=generator(2))
    out = match_statistics(x, ref, space, clip=False)
    seen, wanted = (out, ref) if space == "rgb" else (rgb_to_lab(out), rgb_to_lab(ref))
    if space == "lab":  # where no colour had to leave [0, 1], which rgb_to_lab cuts off
        inside = ((out >= 0) & (out <= 1)).all(dim=(1, 2, 3)) if out.ndim == 4 else None
        x = 0.45 + 0.1 * x
        out = match_statistics(x, 0.45 + 0.1 * ref, space, clip=False)
        assert inside is not None
        assert ((out > 0) & (out < 1)).all()
        seen, wanted = rgb_to_lab(out), rgb_to_lab(0.45 + 0.1 * ref)
    for got, asked in zip(channel_moments(seen), channel_moments(wanted)):
        scale = 1.0 if space == "rgb" else 100.0  # Lab's units
        torch.testing.assert_close(got / scale, asked.expand_as(got) / scale, atol=1e-4, rtol=0)


@pytest.mark.parametrize("space", ["rgb", "lab", "fourier", "none"])
def test_stylising_the_target_by_itself_is_the_identity(space: Any) -> None:
    x = torch.rand(1, 3, 16, 16, generator=generator())
    torch.testing.assert_close(match_statistics(x, x[0], space, window=0.1), x, atol=2e-4, rtol=0)


def test_lab_is_that_of_scikit_image() -> None:
    color = pytest.importorskip("skimage.color", reason="needs scikit-image")
    x = torch.rand(3, 8, 8, generator=generator())
    expected = color.rgb2lab(x.permute(1, 2, 0).double().numpy())
    np.testing.assert_allclose(rgb_to_lab(x).permute(1, 2, 0).numpy(), expected, atol=0.02)  # of 100
    torch.testing.assert_close(lab_to_rgb(rgb_to_lab(x)), x, atol=1e-4, rtol=0)


def test_amplitudes_of_slow_waves_are_the_targets_and_phases_stay() -> None:
    x, ref = torch.rand(1, 3, 20, 20, generator=generator(1)), torch.rand(3, 20, 20, generator=generator(2))
    out = torch.fft.fft2(match_statistics(x, ref, "fourier", window=0.05, clip=False))
    before, others = torch.fft.fft2(x), torch.fft.fft2(ref)
    for i in range(20):
        for j in range(20):
            near = i in (0, 1, 19) and j in (0, 1, 19)  # 20 * .05 = 1 wave
            wanted = others[:, i, j].abs() if near else before[0, :, i, j].abs()
            torch.testing.assert_close(out[0, :, i, j].abs(), wanted, atol=1e-3, rtol=1e-3)


def test_mixed_features_have_the_mixed_statistics() -> None:
    layer = torch.nn.Identity()
    z = torch.randn(2, 4, 6, 6, generator=generator())
    mean, std = torch.ones(4, 1, 1), torch.full((4, 1, 1), 2.0)
    keep = torch.tensor([0.0, 0.25])[:, None, None, None]
    with mixed_statistics(layer, mean, std, keep):
        out = layer(z)
    own_mean, own_std = channel_moments(z)
    got_mean, got_std = channel_moments(out)
    torch.testing.assert_close(got_mean, keep * own_mean + (1 - keep) * mean, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(got_std, keep * own_std + (1 - keep) * std, atol=1e-4, rtol=1e-4)
    assert torch.equal(layer(z), z)  # the hook is gone
    found = layer_moments(layer, layer, z)
    torch.testing.assert_close(found[0], own_mean.mean(0))


# -- mixing ------------------------------------------------------------------------------------------------


def pair(b: int = 3, side: int = 16) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Pictures whose every pixel value is its label: 0 to 4 of the source, 10 to 14 of the others."""
    y_s = torch.randint(0, 5, (b, side, side), generator=generator(1))
    y_t = torch.randint(10, 15, (b, side, side), generator=generator(2))
    return y_s[:, None].float(), y_s, y_t[:, None].float(), y_t, y_t.float() / 100


@pytest.mark.parametrize(("grid", "share", "replaced"), [(4, 0.5, 8), (4, 0.25, 4), (2, 1.0, 4), (5, 0.5, 12)])
def test_the_share_of_target_pixels_is_that_of_replaced_patches(grid: int, share: float, replaced: int) -> None:
    x_s, y_s, x_t, y_t, w_t = pair(side=20)
    _, _, _, taken = patch_mix(x_s, y_s, x_t, y_t, w_t, grid, generator(), share=share)
    assert taken.double().mean(dim=(1, 2)).tolist() == pytest.approx([replaced / grid**2] * 3)


def test_labels_in_source_patches_are_the_source_labels_and_pictures_and_labels_stay_aligned() -> None:
    x_s, y_s, x_t, y_t, w_t = pair()
    x, y, weight, taken = patch_mix(x_s, y_s, x_t, y_t, w_t, 4, generator())
    assert torch.equal(y[~taken], y_s[~taken])
    assert torch.equal(x[:, 0], y.float())  # the label is the pixel value, in all patches
    assert (y[taken] >= 10).all()
    assert torch.equal(weight[taken], y[taken].float() / 100)
    assert (weight[~taken] == 1).all()
    assert not torch.equal(y[taken], y_t[taken])  # crops come from elsewhere in the picture


def test_with_no_replaced_patch_the_mixed_loss_is_the_source_loss() -> None:
    x_s, y_s, x_t, y_t, w_t = pair()
    x, y, weight, taken = patch_mix(x_s, y_s, x_t, y_t, w_t, 4, generator(), share=0.0)
    logits = torch.randn(3, 15, 16, 16, generator=generator())
    assert not taken.any()
    assert torch.equal(x, x_s)
    assert float(pixel_loss(logits, y, weight)) == float(pixel_loss(logits, y_s))


def test_pixel_loss_ignores_unknown_pixels_and_weighs_the_others() -> None:
    logits, y = torch.randn(2, 3, 4, 4, generator=generator()), torch.randint(0, 3, (2, 4, 4), generator=generator())
    y[0, 0] = UNKNOWN
    torch.testing.assert_close(pixel_loss(logits, y), F.cross_entropy(logits, y, ignore_index=UNKNOWN))
    weight = torch.full((2, 4, 4), 0.5)
    torch.testing.assert_close(pixel_loss(logits, y, weight), 0.5 * pixel_loss(logits, y))
    assert float(pixel_loss(logits, torch.full_like(y, UNKNOWN))) == 0


def test_class_mix_pastes_whole_classes() -> None:
    x_s, y_s, x_t, y_t, w_t = pair()
    x, y, _, taken = class_mix(x_s, y_s, x_t, y_t, w_t, generator())
    assert torch.equal(x[:, 0], y.float())
    for i in range(3):
        pasted = set(y_s[i][~taken[i]].tolist())
        assert len(pasted) == 3  # of five classes, rounded up
        assert not pasted & set(y_s[i][taken[i]].tolist())


def test_the_single_picture_gives_many_crops() -> None:
    crops = random_crops([torch.rand(3, 40, 30, generator=generator())], 6, (16, 16), generator())
    assert crops.shape == (6, 3, 16, 16)
    assert len({crop.numpy().tobytes() for crop in crops}) == 6


def test_pseudo_labels_weigh_by_pixel_or_by_the_share_of_a_picture() -> None:
    logits = torch.zeros(1, 2, 2, 2)
    logits[0, 1, 0] = 10.0  # the upper row is sure of class 1
    y, weight = pseudo_labels(logits, 0.9)
    assert y[0, 0].tolist() == [1, 1]
    assert weight[0].tolist() == [[1, 1], [0, 0]]
    assert pseudo_labels(logits, 0.9, per_picture=True)[1].tolist() == [[[0.5, 0.5], [0.5, 0.5]]]


# -- prototypes and information ----------------------------------------------------------------------------


def test_information_of_uniform_and_of_sure_and_balanced_and_of_one_class() -> None:
    c = 4
    prototypes = torch.eye(c)
    uniform = torch.ones(8, c)  # as near to all
    assert float(prototype_im(uniform, prototypes)) == pytest.approx(math.log(c) - math.log(c), abs=1e-5)
    balanced = torch.eye(c).repeat(3, 1)
    assert float(prototype_im(balanced, prototypes, tau=0.01)) == pytest.approx(-math.log(c), abs=1e-5)
    one = torch.eye(c)[:1].repeat(8, 1)
    assert float(prototype_im(one, prototypes, tau=0.01)) == pytest.approx(0, abs=1e-5)
    assert math.isfinite(float(prototype_im(one, prototypes, tau=1e-4)))  # no NaN where tau is too small


def test_with_a_prior_the_marginal_is_compared_with_it() -> None:
    features = torch.eye(2)[torch.tensor([0, 0, 0, 1])]
    prior = torch.tensor([0.75, 0.25])
    assert float(prototype_im(features, torch.eye(2), 0.01, 1.0, prior)) == pytest.approx(0, abs=1e-4)
    assert float(prototype_im(features, torch.eye(2), 0.01, 1.0, prior.flip(0))) > 0.4


def test_the_gradient_of_the_information_with_respect_to_the_classifier_is_exactly_zero() -> None:
    net = network().train()
    z = net.embed(torch.rand(2, 3, 16, 16, generator=generator()))
    bank = PrototypeBank(3, z.shape[1])
    bank.update(z.detach(), torch.randint(0, 3, (2, 16, 16), generator=generator()))
    prototype_im(z.permute(0, 2, 3, 1).flatten(0, 2), bank.prototypes).backward()
    assert all(p.grad is None for p in net.head.parameters())
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in net.body.parameters())


def test_prototypes_of_absent_classes_stay_and_all_have_unit_norm() -> None:
    bank = PrototypeBank(4, 2, momentum=0.5)
    z = torch.zeros(1, 2, 2, 2)
    z[0, 0], z[0, 1, 1] = 1.0, 1.0  # upper row (1, 0), lower row (1, 1)
    bank.update(z, torch.tensor([[[0, 0], [2, UNKNOWN]]]))
    assert bank.known.tolist() == [True, False, True, False]
    torch.testing.assert_close(bank.means[0], torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(bank.means[2], torch.tensor([1.0, 1.0]) / math.sqrt(2))
    before = bank.means[0].clone()
    bank.update(z, torch.full((1, 2, 2), 2))
    assert torch.equal(bank.means[0], before)
    new = (torch.tensor([2.0, 0.0]) + torch.tensor([2.0, 2.0]) / math.sqrt(2)) / 4
    torch.testing.assert_close(bank.means[2], 0.5 * torch.tensor([1.0, 1.0]) / math.sqrt(2) + 0.5 * new)
    torch.testing.assert_close(bank.prototypes.norm(dim=1), torch.ones(2))


def test_prototypes_with_no_momentum_are_the_means_of_the_batch() -> None:
    bank = PrototypeBank(2, 3, momentum=0.0)
    for seed in (1, 2):
        z = torch.randn(2, 3, 4, 4, generator=generator(seed))
        y = torch.randint(0, 2, (2, 4, 4), generator=generator(seed))
        bank.update(z, y)
    units = F.normalize(z, dim=1).permute(0, 2, 3, 1)
    torch.testing.assert_close(bank.means, torch.stack([units[y == c].mean(dim=0) for c in range(2)]))


def test_prototypes_may_be_of_correct_pixels_alone() -> None:
    source, target, model = scenes(12, 0), scenes(1, 1), network()
    every, right = (
        small(prototypes_of=which, lambda_im=1.0, warm_up=0.0).fit(source=source, target=target, model=model).network_
        for which in ("labelled", "correct")
    )
    assert any(not torch.equal(a, b) for a, b in zip(every.parameters(), right.parameters()))


def test_labels_on_a_coarser_grid_are_those_of_pixels_in_the_middle() -> None:
    y = torch.arange(16).reshape(1, 4, 4)
    assert labels_at(y, (2, 2)).tolist() == [[[5, 7], [13, 15]]]


# -- the whole ---------------------------------------------------------------------------------------------


def test_the_teacher_follows_the_student() -> None:
    student, teacher = network(1), network(2)
    old = {key: value.clone() for key, value in teacher.state_dict().items()}
    follow(teacher, student, 0.9)
    for key, value in teacher.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value, 0.9 * old[key] + 0.1 * student.state_dict()[key])


def test_only_the_pictures_of_the_target_are_read_once_each() -> None:
    picture, reads = scenes(1, 1).x[0], []
    target = Domain(x=Lazy([0], lambda i: reads.append(i) or picture), kind="image", task="mask")
    method = small().fit(source=scenes(24, 0), target=target, model=network())
    learning = len(reads)
    method.predict(scenes(3, 2))
    assert len(reads) == learning  # nothing is read again
    # checks of the input, the digest for its order, and the one time that it is learnt from
    assert learning <= 4


def test_pictures_that_are_predicted_never_change_batch_norm() -> None:
    method = small().fit(source=scenes(24, 0), target=scenes(1, 1), model=network())
    before = [layer.running_mean.clone() for layer in batch_norms(method.network_).values()]
    method.predict(scenes(5, 3, dark=0.8))
    after = [layer.running_mean for layer in batch_norms(method.network_).values()]
    assert all(torch.equal(a, b) for a, b in zip(before, after))


def test_resting_batch_norm_keeps_what_the_source_taught() -> None:
    model = network()
    method = small(batch_norm="rest", measure_first=False).fit(source=scenes(24, 0), target=scenes(1, 1), model=model)
    for mine, theirs in zip(batch_norms(method.network_).values(), batch_norms(model).values()):
        torch.testing.assert_close(mine.running_mean, theirs.running_mean, atol=1e-6, rtol=1e-5)


def test_without_style_mixing_and_information_it_is_training_on_the_source() -> None:
    """lambda 0, q 0 and no style: a naive second loop over the same batches gives the same weights."""
    source, model = scenes(16, 0), network()
    plain = {
        "space": "none",
        "measure_first": False,
        "mix_features": False,
        "quantile": 0.0,
        "lambda_mix": 0.0,
        "lambda_im": 0.0,
    }
    seen: list[Tensor] = []
    original = _Waiting.take

    def take(self: _Waiting) -> tuple[Tensor, Tensor]:
        batch = original(self)
        seen.append(batch[0])
        return batch

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_Waiting, "take", take)
        small(predict_by="student", **plain).fit(source=source, target=scenes(1, 1), model=model)
    known = {row.tobytes() for row in source.x} | {row[..., ::-1].copy().tobytes() for row in source.x}
    assert len(seen) == 8
    assert all(picture.numpy().tobytes() in known for batch in seen for picture in batch)


def test_adaptation_helps_where_the_light_is_gone() -> None:
    from unseen.evaluation.tasks import grades_of
    from unseen.nn.segmenters import train_segmenter

    source, test = scenes(48, 0), scenes(24, 5, dark=0.75)
    with reproducible(0):
        model = train_segmenter(small_unet(3, width=6, depth=2), source, steps=120, batch_size=8)
    method = small(candidates=240, learning_rate=2e-3, teacher_momentum=0.9)
    adapted = method.fit(source=source, target=scenes(1, 4, dark=0.75), model=model)
    grade = grades_of("mask").grade
    before = objects(model(torch.as_tensor(test.x)).argmax(dim=1).numpy())
    figures = [grade(test.labels, masks, CLASSES)["mIoU"] for masks in (before, adapted.predict(test))]
    assert figures[1] > figures[0] + 0.1


def test_pictures_of_unlike_sizes_are_predicted_and_trained_on_by_crops() -> None:
    rng = np.random.default_rng(0)
    sizes = [(16, 20), (24, 16), (9, 30), (16, 16)]
    x = objects(rng.random((3, *size)).astype(np.float32) for size in sizes)
    y = objects(rng.integers(0, 3, size) for size in sizes)
    source = Domain(x=x, y=y, kind="image", task="mask", classes=CLASSES)
    with pytest.raises(ValueError, match="source holds pictures of unlike sizes; tell a crop"):
        small().fit(source=source, target=scenes(1, 1), model=network())
    method = small(crop=16).fit(source=source, target=scenes(1, 1), model=network())
    assert [mask.shape for mask in method.predict(x)] == sizes


def test_batch_norm_may_measure_the_picture_before_the_first_step() -> None:
    model, dark = network(), scenes(1, 1, dark=0.9)
    settings = {"batch_norm": "rest", "lambda_mix": 0.0, "lambda_im": 0.0, "learning_rate": 1e-9}
    found = small(**settings).fit(source=scenes(24, 0), target=dark, model=model).network_
    first = next(iter(batch_norms(found).values()))
    with torch.no_grad():
        z = model.body.stem[0](torch.as_tensor(dark.x))
    assert (first.running_mean - z.mean(dim=(0, 2, 3))).abs().max() < 0.05  # of crops of it


def test_the_teacher_is_a_plain_mean_at_first() -> None:
    assert [rising_momentum(0.9, steps) for steps in (0, 1, 3, 1000)] == [0, 0.5, 0.75, 0.9]


def test_bad_input_is_named() -> None:
    source, target, model = scenes(12, 0), scenes(1, 1), network()
    fits = small().fit
    with pytest.raises(ValueError, match=r"source must hold masks as large as their pictures; picture 0 is 16x16"):
        fits(source=source.replace(y=objects(m[:8] for m in source.labels)), target=target, model=model)
    with pytest.raises(ValueError, match="source must hold at least two classes; all known pixels are of class 0"):
        fits(source=source.replace(y=source.labels * 0), target=target, model=model)
    with pytest.raises(ValueError, match=r"target must hold pictures with values in \[0, 1\]; sample 0 has"):
        fits(source=source, target=target.replace(x=target.x * 255), model=model)
    with pytest.raises(ValueError, match="source has label 2; the model has outputs for 2 classes"):
        fits(source=source, target=target, model=small_unet(2, width=4, depth=2))
    with pytest.raises(ValueError, match="model must have `embed`"):
        fits(source=source, target=target, model=torch.nn.Conv2d(3, 3, 1))
    with pytest.raises(ValueError, match="source must carry labels of task='mask'; its task is 'class'"):
        fits(source=source.replace(y=np.arange(12) % 3, task="class"), target=target, model=model)
    bare = SegmentationNetwork(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1)), torch.nn.Conv2d(4, 3, 1), None)
    with pytest.raises(ValueError, match="must have a layer `shallow`"):
        fits(source=source, target=target, model=bare)


def test_waiting_pictures_leave_in_their_order() -> None:
    waiting = _Waiting(2, 1, (1, 1))
    for value in (1.0, 2.0, 3.0):
        waiting.add(torch.full((1, 1, 1, 1), value), torch.zeros(1, 1, 1, dtype=torch.long), torch.tensor([True]))
    assert waiting.ready
    assert waiting.take()[0].flatten().tolist() == [1, 2]
    assert not waiting.ready
    waiting.add(torch.full((1, 1, 1, 1), 4.0), torch.zeros(1, 1, 1, dtype=torch.long), torch.tensor([True]))
    assert waiting.take()[0].flatten().tolist() == [3, 4]


def test_the_prior_is_the_share_of_labelled_pixels() -> None:
    source = scenes(12, 0)
    prior = _Parts(small(), network(), source).get_buffer("prior")
    every = np.concatenate([mask.ravel() for mask in source.labels])
    assert prior.tolist() == pytest.approx([(every == c).mean() for c in range(3)])


def test_scores_are_those_of_the_features() -> None:
    net, x = network(), torch.rand(1, 3, 17, 18, generator=generator())
    torch.testing.assert_close(net(x), head_of(net, net.embed(x), (17, 18)))

"""Checks of TinyCLIP's spec: what must hold exactly of affinities, inheritance and gates."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.methods.compression.tinyclip import (
    AffinityDistillation,
    Features,
    MaskedDualEncoder,
    TinyCLIP,
    inherit_weights,
)
from unseen.methods.compression.tinyclip.gates import Masks, counted, expected_blocks, folded, prunable
from unseen.methods.compression.tinyclip.inheritance import even, interval_front
from unseen.methods.compression.tinyclip.shapes import Plan, fitting, made
from unseen.methods.tower_shrinkers import pairs_of_a_moment, towers_of_a_moment
from unseen.nn.build import n_parameters
from unseen.nn.dual_encoder import DualEncoder, Letters, dual_encoder
from unseen.nn.hard_concrete import deterministic, open_probability, sampled
from unseen.nn.pruning import Kept, rows_of_heads, taken
from unseen.nn.towers import Gates, Shape, reshaped, text_tower, vision_tower

I = torch.tensor([(1, 0, 0), (0.6, 0.8, 0), (0, 1, 0), (0, 0.6, 0.8)])
T = torch.tensor([(0.8, 0.6, 0), (0, 1, 0), (0, 0.8, 0.6), (0, 0, 1)])
LARGE_I = torch.tensor([(1, 0, 0), (0, 1, 0), (0, 0, 1), (0.6, 0, 0.8)])
LARGE_T = torch.tensor([(0.8, 0, 0.6), (0.6, 0.8, 0), (0, 0.6, 0.8), (0, 0, 1)])


def units(n: int, d: int, seed: int) -> Tensor:
    return F.normalize(torch.randn(n, d, generator=torch.Generator().manual_seed(seed)), dim=1)


# -- affinities --------------------------------------------------------------------------------------------


def test_a_teacher_that_is_sure_gives_the_loss_of_clip() -> None:
    student = Features(units(6, 5, 1), units(6, 5, 2), 10.0)
    sure = Features(torch.eye(6), torch.eye(6), 1e4)
    found = AffinityDistillation(logit_scale=None)(student, sure)
    logits = 10 * student.image @ student.text.T
    own = torch.arange(6)
    expected = (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
    assert float(found.total) == pytest.approx(float(expected), rel=1e-6)
    hard = AffinityDistillation(alpha=0.0, logit_scale=None)(student, Features(units(6, 3, 3), units(6, 3, 4), 10.0))
    assert float(hard.total) == pytest.approx(float(expected), rel=1e-6)


def test_a_student_that_is_its_teacher_has_the_entropy_of_its_affinities_and_no_gradient() -> None:
    image = units(7, 4, 1).requires_grad_(True)
    text = units(7, 4, 2)
    teacher = Features(image.detach(), text, 50.0)
    found = AffinityDistillation(logit_scale=20.0)(Features(image, text, 50.0), teacher)
    sides = (image.detach(), text), (text, image.detach())
    entropies = [-(p * p.log()).sum(dim=1).mean() for p in ((20 * a @ b.T).softmax(dim=1) for a, b in sides)]
    assert float(found.total) == pytest.approx(float(sum(entropies) / 2), rel=1e-5)
    assert float(found.total) > 0
    found.total.backward()
    assert image.grad is not None
    assert float(image.grad.abs().max()) < 1e-5


def test_the_loss_stays_under_a_rotation_and_between_spaces_of_unlike_widths() -> None:
    image, text = units(6, 5, 1), units(6, 5, 2)
    teacher = Features(units(6, 9, 3), units(6, 9, 4), 50.0)
    turn = torch.linalg.qr(torch.randn(5, 5, generator=torch.Generator().manual_seed(5))).Q
    loss = AffinityDistillation()
    plain, turned = (loss(Features(a, b, 50.0), teacher).total for a, b in ((image, text), (image @ turn, text @ turn)))
    wide = loss(Features(F.pad(image, (0, 3)), F.pad(text, (0, 3)), 50.0), teacher).total
    assert float(plain) == pytest.approx(float(turned), rel=1e-4)
    assert float(plain) == pytest.approx(float(wide), rel=1e-6)


def test_the_fixed_example_of_the_spec() -> None:
    def naive(s: float, t: float) -> tuple[float, float]:
        def ce(p: Tensor, q: Tensor, a: Tensor, b: Tensor) -> float:
            total = 0.0
            for i in range(4):
                own = [s * float(p[i] @ q[j]) for j in range(4)]
                large = [t * float(a[i] @ b[j]) for j in range(4)]
                norm, norm_large = (math.log(sum(math.exp(x - max(row)) for x in row)) + max(row)
                                    for row in (own, large))  # fmt: skip
                total -= sum(math.exp(large[j] - norm_large) * (own[j] - norm) for j in range(4))
            return total / 4

        return ce(I, T, LARGE_I, LARGE_T), ce(T, I, LARGE_T, LARGE_I)

    loss = AffinityDistillation(logit_scale=None)
    found = loss(Features(I, T, 1 / 0.07), Features(LARGE_I, LARGE_T, 50.0))
    assert (float(found.i2t), float(found.t2i)) == pytest.approx(naive(1 / 0.07, 50.0), abs=1e-4)
    assert (float(found.i2t), float(found.t2i)) == pytest.approx((6.352090, 6.351898), abs=1e-4)
    assert float(found.total) == pytest.approx(6.351994, abs=1e-4)
    both = AffinityDistillation(logit_scale=50.0)(Features(I, T, 1.0), Features(LARGE_I, LARGE_T, 1.0))
    assert float(both.total) == pytest.approx(21.998089, abs=1e-4)


def test_affinities_in_parts_are_those_of_all_rows_and_nothing_flows_into_the_teacher() -> None:
    values = [units(11, 4, k).requires_grad_(True) for k in range(4)]
    for rows in (4096, 3):
        for value in values:
            value.grad = None
        found = AffinityDistillation(alpha=0.5, rows=rows)(Features(*values[:2], 1.0), Features(*values[2:], 1.0))
        found.total.backward()
        assert values[2].grad is None
        assert values[3].grad is None
        gradient = values[0].grad
        assert gradient is not None
        if rows == 4096:
            expected = float(found.total), gradient.clone()
    assert float(found.total) == pytest.approx(expected[0], rel=1e-5)
    torch.testing.assert_close(gradient, expected[1], rtol=1e-4, atol=1e-6)


# -- inheritance by hand -----------------------------------------------------------------------------------


def test_depth_takes_the_layers_that_the_released_code_takes_or_evenly_spaced_ones() -> None:
    assert interval_front(12, 6) == (0, 2, 4, 6, 8, 10)
    assert interval_front(12, 3) == (0, 4, 8)
    assert interval_front(12, 5) == (0, 2, 4, 6, 8)
    assert interval_front(12, 9) == tuple(range(9))
    assert even(12, 3) == (0, 6, 11)
    assert even(12, 12) == tuple(range(12))
    assert even(5, 1) == (0,)


@pytest.mark.parametrize("mode", ["leading", "uniform", "importance"])
@pytest.mark.parametrize("depth", ["interval_front", "even"])
def test_inheriting_into_the_same_shape_gives_the_teacher_to_the_bit(mode: Any, depth: Any) -> None:
    teacher = towers_of_a_moment()
    student = copy.deepcopy(teacher)
    for p in student.parameters():
        nn.init.normal_(p)
    inherit_weights(student, teacher, mode, depth)
    pairs = pairs_of_a_moment()
    x, texts = torch.as_tensor(pairs.left.x), teacher.tokenize(pairs.right.x.tolist())
    assert torch.equal(student.encode_image(x), teacher.encode_image(x))
    assert torch.equal(student.encode_text(texts), teacher.encode_text(texts))


@torch.no_grad()
def test_taking_only_heads_whose_output_is_zero_changes_nothing() -> None:
    tower = towers_of_a_moment().image
    tower.blocks[1].out.weight[:, 4:8] = 0  # of head 1
    small = taken(
        tower, Kept((0, 1), torch.arange(16), [torch.arange(4), torch.tensor([0, 2, 3])], [torch.arange(32)] * 2)
    )
    x = torch.as_tensor(pairs_of_a_moment().left.x)
    torch.testing.assert_close(small(x), tower(x), rtol=1e-5, atol=1e-6)


def test_heads_are_cut_within_each_of_q_k_and_v_and_not_across_them() -> None:
    rows = rows_of_heads(torch.tensor([0, 1]), 2, 4)
    assert rows.tolist() == [0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19]
    teacher = towers_of_a_moment().image
    student = reshaped(teacher, Shape(8, 4, (2, 2), (16, 16)))
    inherit_weights(student, teacher)
    q, k, v = teacher.blocks[0].qkv.weight.view(3, 4, 4, 16)[:, :2, :, :8].reshape(3, 8, 8)
    assert torch.equal(student.blocks[0].qkv.weight, torch.cat([q, k, v]))
    assert not torch.equal(student.blocks[0].qkv.weight, teacher.blocks[0].qkv.weight[:24, :8])  # the naive slice


def test_important_channels_are_those_with_the_largest_weights_and_stay_in_order() -> None:
    teacher = towers_of_a_moment().image
    with torch.no_grad():
        for module in (teacher.patches.weight, teacher.positions.T, teacher.class_token):
            module[[3, 9]] += 100.0
    student = reshaped(teacher, Shape(2, 4, (1,), (4,)))
    inherit_weights(student, teacher, "importance")
    assert torch.equal(student.class_token, teacher.class_token[[3, 9]])
    uniform = inherit_weights(reshaped(teacher, Shape(4, 4, (1,), (4,))), teacher, "uniform")
    assert torch.equal(uniform.class_token, teacher.class_token[[0, 4, 8, 12]])


def test_larger_students_and_other_kinds_of_towers_are_refused() -> None:
    teacher = towers_of_a_moment()
    for shape in (Shape(20, 4, (4, 4), (32, 32)), Shape(16, 4, (4,) * 3, (32,) * 3), Shape(16, 4, (5, 4), (32, 32)),
                  Shape(16, 2, (4, 4), (32, 32))):  # fmt: skip
        with pytest.raises(ValueError, match="teacher"):
            inherit_weights(reshaped(teacher.image, shape), teacher.image)
    with pytest.raises(TypeError, match="towers must be"):
        inherit_weights(teacher.text, teacher.image)


# -- gates -------------------------------------------------------------------------------------------------


def test_probabilities_of_open_gates_are_those_of_the_spec() -> None:
    found = open_probability(torch.tensor([0.0, 2.0, -2.0]))
    assert found.tolist() == pytest.approx([0.831822, 0.973367, 0.400975], abs=1e-5)
    draws = sampled(torch.zeros(200_000), torch.Generator().manual_seed(0))
    assert float((draws > 0).float().mean()) == pytest.approx(0.831822, abs=0.005)
    assert float(draws.min()) == 0
    assert float(draws.max()) == 1


def test_as_many_gates_close_as_are_expected_and_the_others_stay_soft() -> None:
    log_alpha = torch.tensor([4.0, -4.0, 1.0, -3.0, 3.0])  # open with .996, .083, .931, .198, .990
    z = deterministic(log_alpha)
    assert round(5 - float(open_probability(log_alpha).sum())) == 2
    assert (z == 0).tolist() == [False, True, False, True, False]
    assert float(z[0]) == pytest.approx(1 / (1 + math.exp(-4.0 * 1.5 * 0.8)), rel=1e-6)
    assert int((deterministic(torch.full((4,), -20.0), least=1) > 0).sum()) == 1


def test_expected_sparsity_of_the_example() -> None:
    shape = Shape(8, 4, (2, 2), (32, 32))
    assert prunable(shape) == 1680
    for value, expected in ((0.0, 0.341021), (2.0, 0.097674), (10.0, 0.047636)):
        masks = Masks(shape)
        for p in masks.parameters():
            p.data.fill_(value)
        p_ = 1 - float(expected_blocks(masks.open(), shape)) / 1680
        assert p_ == pytest.approx(expected, abs=1e-5)


def _gates(shape: Shape, seed: int) -> Gates:
    """Any deterministic gates: some closed, the others soft; all heads of the last layer are closed."""
    rng = torch.Generator().manual_seed(seed)

    def some(n: int) -> Tensor:
        z = 0.2 + 0.8 * torch.rand(n, generator=rng)
        z[torch.rand(n, generator=rng) < 0.4] = 0
        z[0] = 0.7
        return z

    heads = [some(n) for n in shape.heads]
    heads[-1] = torch.zeros_like(heads[-1])
    return Gates(some(shape.width), heads, [some(n) for n in shape.mlp])


@pytest.mark.parametrize("seed", range(3))
@torch.no_grad()
def test_a_masked_tower_is_the_pruned_one(seed: int) -> None:
    torch.manual_seed(seed)
    pairs = pairs_of_a_moment()
    x = torch.as_tensor(pairs.left.x)
    towers = towers_of_a_moment()
    sizes: dict[str, Any] = {"width": 16, "head": 4, "heads": (4, 4), "mlp": (32, 32), "dim": 8}
    for pool, first in (("token", True), ("mean", False), ("mean-first", True)):
        tower = vision_tower((8, 8), (4, 4), **sizes, pool=pool, norm_first=first)  # type: ignore[arg-type]
        _shaken(tower)
        gates = _gates(tower.shape, seed)
        small = folded(tower, gates)
        assert n_parameters(small) < n_parameters(tower)
        assert small.blocks[-1].heads == 0
        torch.testing.assert_close(small(x), tower(x, gates), rtol=1e-4, atol=1e-5)
    text = text_tower(32, 30, **sizes, bias=True)
    _shaken(text)
    tokens, gates = towers.tokenize(pairs.right.x.tolist()), _gates(text.shape, seed)
    torch.testing.assert_close(folded(text, gates)(tokens), text(tokens, gates), rtol=1e-4, atol=1e-5)


def _shaken(tower: nn.Module) -> None:
    """Norms and biases that are not 1 and 0, so that forgetting one is seen."""
    for p in tower.parameters():
        if p.ndim < 2:
            p.add_(0.3 * torch.randn(p.shape))


def test_open_gates_change_nothing() -> None:
    towers = towers_of_a_moment()
    masked = MaskedDualEncoder(towers, 0.5)
    shapes = {side: getattr(towers, side).shape for side in ("image", "text")}
    ones = {side: Gates(torch.ones(s.width), [torch.ones(n) for n in s.heads], [torch.ones(n) for n in s.mlp])
            for side, s in shapes.items()}  # fmt: skip
    pairs = pairs_of_a_moment()
    x, texts = torch.as_tensor(pairs.left.x), towers.tokenize(pairs.right.x.tolist())
    torch.testing.assert_close(masked.encode_image(x, ones), towers.encode_image(x), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(masked.encode_text(texts, ones), towers.encode_text(texts), rtol=1e-4, atol=1e-5)


def test_the_target_rises_from_what_was_reached_to_what_is_asked() -> None:
    masked = MaskedDualEncoder(towers_of_a_moment(), 0.75, 100, start=0.5)
    assert [masked.target_at(t) for t in (0, 50, 100, 1000)] == [0.5, 0.625, 0.75, 0.75]


@pytest.mark.parametrize("maximize", [True, False])
def test_multipliers_grow_while_sparsity_is_below_its_target_and_the_other_sign_never_gets_there(
    maximize: bool,
) -> None:
    masked = MaskedDualEncoder(towers_of_a_moment(), 0.6, 1)
    gates = torch.optim.AdamW(masked.masks.parameters(), lr=0.1, weight_decay=0.0)
    multipliers = torch.optim.AdamW([masked.multipliers], lr=0.5, weight_decay=0.0, maximize=maximize)
    for step in range(1, 150):
        before, short = masked.multipliers.detach().clone(), float(masked.sparsity()) < 0.6
        loss = masked.sparsity_loss(step)
        gates.zero_grad(), multipliers.zero_grad()
        loss.backward()
        if not short:
            assert not masked.multipliers.grad.any()  # type: ignore[union-attr]
        multipliers.step()
        gates.step()
        masked.clamp()
        if short and maximize and step < 5:
            assert (masked.multipliers > before).all()
        if not maximize and float(masked.multipliers.max()) < -20:
            break
    assert (float(masked.sparsity()) >= 0.59) is maximize


@pytest.mark.parametrize("budget", ["blocks", "all"])
def test_towers_trade_in_a_joint_budget_and_counts_are_those_of_the_folded_towers(budget: Any) -> None:
    towers = towers_of_a_moment()
    both = MaskedDualEncoder(towers, 0.5, joint=True, budget=budget)
    apart = MaskedDualEncoder(towers, 0.5, joint=False, budget=budget)
    assert both.sparsity().shape == (1,)
    assert apart.sparsity().shape == (2,)
    for masked in (both, apart):
        for p in masked.masks["image"].parameters():
            p.data.fill_(-1.0)
    total = sum(counted(getattr(towers, side), budget) for side in ("image", "text"))
    left = sum(float(c.expected.detach()) for c in both.counts())
    assert float(both.sparsity()) == pytest.approx(1 - left / total, abs=1e-6)
    assert float(apart.sparsity()[0]) > float(both.sparsity()) > float(apart.sparsity()[1])
    both.settle(0.5)
    small = both.fold()
    found = 1 - sum(counted(getattr(small, side), budget) for side in ("image", "text")) / total
    assert found == pytest.approx(both.reached(), abs=1e-9)
    assert found >= 0.5


# -- the method --------------------------------------------------------------------------------------------

QUICK: dict[str, Any] = {"steps": 3, "prune_steps": 4, "sparsity_warm_up": 2, "warm_up": 1, "batch_size": 12}


@pytest.mark.parametrize("inheritance", ["manual", "auto", "none"])
def test_a_student_has_at_most_the_size_that_is_asked_for_in_every_stage(inheritance: Any) -> None:
    teacher = towers_of_a_moment()
    method = TinyCLIP(size=0.5, stages=2, inheritance=inheritance, **QUICK).fit(
        pairs=pairs_of_a_moment(), model=teacher
    )
    assert [stage["asked"] for stage in method.stages_] == pytest.approx([0.75, 0.5])
    assert all(stage["size"] <= stage["asked"] for stage in method.stages_)
    assert method.size_ == n_parameters(method.student_) / n_parameters(teacher)
    for row, side in zip(method.report_, ("image", "text")):
        shape = getattr(method.student_, side).shape
        assert row["hidden"][0] == shape.width
        assert [layer["heads"] for layer in row["layers"]] == list(shape.heads)


def test_the_teacher_rests_and_stays_the_large_model_in_every_stage() -> None:
    teacher = towers_of_a_moment().train()
    before = {key: value.clone() for key, value in teacher.state_dict().items()}
    TinyCLIP(size=0.5, stages=2, **QUICK).fit(pairs=pairs_of_a_moment(), model=teacher)
    assert all(torch.equal(value, before[key]) for key, value in teacher.state_dict().items())
    assert teacher.training


def test_a_distilled_student_comes_nearer_to_its_teacher() -> None:
    pairs = pairs_of_a_moment()
    many = TinyCLIP(size=0.6, **{**QUICK, "steps": 60, "batch_size": 24}, learning_rate=3e-3, logit_scale=10.0)
    many.fit(pairs=pairs, model=towers_of_a_moment())
    (history,) = many.history_
    assert history["distillation"][-1] < history["distillation"][0]
    assert float(many.student_.logit_scale.exp()) == pytest.approx(10.0, rel=1e-5)


def test_the_scale_learns_where_none_is_set_up_to_that_of_clip() -> None:
    method = TinyCLIP(size=0.6, logit_scale=0.0, learning_rate=0.5, weight_decay=0.0, **QUICK)
    method.fit(pairs=pairs_of_a_moment(), model=towers_of_a_moment())
    assert float(method.student_.logit_scale) != pytest.approx(math.log(20.0))
    assert float(method.student_.logit_scale.exp()) <= 100.001


def test_classes_with_names_are_predicted_and_others_when_they_are_named() -> None:
    pairs = pairs_of_a_moment()
    classes = ClassSpace(names=("dark", "light"))
    method = TinyCLIP(size=0.6, **QUICK).fit(pairs=pairs, model=towers_of_a_moment(), classes=classes)
    x = torch.as_tensor(pairs.left.x)
    assert method.decision_function(x).shape == (24, 2)
    assert method.decision_function(x, ClassSpace(names=("a", "b", "c"))).shape == (24, 3)
    named = method.decision_function(x, classes, prompts=("a photo of a {}.",))
    torch.testing.assert_close(named, method.decision_function(x))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"size": 0.01}, "smallest student"),
        ({"size": 1.0}, "size must lie"),
        ({"image_width": 32, "image_layers": 1, "text_width": 8, "text_layers": 1}, "no larger than its teacher"),
        ({"image_width": 8, "inheritance": "auto"}, "gates decide by size"),
        ({"image_width": 8, "image_layers": 1, "text_width": 8, "text_layers": 1, "stages": 2}, "stages must be 1"),
        ({"budget": "blocks"}, "by hand size counts all parameters"),
    ],
)
def test_a_size_that_cannot_be_is_refused_before_work(change: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        TinyCLIP(**{**QUICK, **change}).fit(pairs=pairs_of_a_moment(), model=towers_of_a_moment())


@pytest.mark.parametrize("size", [0.12, 0.2, 0.35])
def test_each_stage_by_hand_can_be_cut_from_the_one_before(size: float) -> None:
    sizes: dict[str, Any] = {"width": 64, "head": 16, "dim": 64}
    deep, flat = (dict[str, Any]({"heads": (4,) * n, "mlp": (256,) * n}) for n in (4, 3))
    image, text = vision_tower((8, 8), (4, 4), **sizes, **deep), text_tower(800, 30, **sizes, **flat)
    teacher = dual_encoder(image, text, Letters().to_json(), 20.0)
    method = TinyCLIP(size=size, stages=3, **QUICK).fit(pairs=pairs_of_a_moment(), model=teacher)
    assert len(method.stages_) == 3
    assert all(stage["size"] <= stage["asked"] for stage in method.stages_)
    alone = TinyCLIP(size=size, **QUICK).fit(pairs=pairs_of_a_moment(), model=teacher)
    assert method.size_ == alone.size_


def test_pairs_of_one_text_are_all_right_to_the_loss_of_clip() -> None:
    student, teacher = Features(units(6, 5, 1), units(6, 5, 2), 10.0), Features(units(6, 3, 3), units(6, 3, 4), 10.0)
    loss = AffinityDistillation(alpha=0.0, logit_scale=None)
    labels = torch.tensor([0, 1, 0, 2, 3, 3])
    same = (labels[:, None] == labels).float()
    logits = 10 * student.image @ student.text.T
    expected = (F.cross_entropy(logits, same / same.sum(1, keepdim=True))
                + F.cross_entropy(logits.T, same / same.sum(1, keepdim=True))) / 2  # fmt: skip
    assert float(loss(student, teacher, labels).total) == pytest.approx(float(expected), rel=1e-5)
    alone = loss(student, teacher, torch.arange(6)).total
    assert float(alone) == pytest.approx(float(loss(student, teacher).total), rel=1e-6)


def test_a_student_knows_which_pairs_have_one_text(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []
    call = AffinityDistillation.forward

    def noted(self: Any, student: Any, teacher: Any, labels: Any = None) -> Any:
        seen.append(labels)
        return call(self, student, teacher, labels)

    monkeypatch.setattr(AffinityDistillation, "forward", noted)
    texts = np.array(["dark", "grey", "light"] * 8)
    pairs = pairs_of_a_moment().replace(right=Domain(x=texts, kind="text"))
    TinyCLIP(size=0.6, alpha=0.0, **QUICK).fit(pairs=pairs, model=towers_of_a_moment())
    assert {len(set(labels.tolist())) for labels in seen} <= {2, 3}


def test_pairs_that_lack_a_side_or_say_one_thing_are_refused() -> None:
    pairs, teacher = pairs_of_a_moment(), towers_of_a_moment()
    texts = np.array(["a cat"] * 24)
    with pytest.raises(ValueError, match="at least two unlike texts"):
        TinyCLIP(**QUICK).fit(pairs=pairs.replace(right=Domain(x=texts, kind="text")), model=teacher)
    texts = np.array(["a cat", ""] * 12)
    with pytest.raises(ValueError, match="12 have none"):
        TinyCLIP(**QUICK).fit(pairs=pairs.replace(right=Domain(x=texts, kind="text")), model=teacher)
    with pytest.raises(ValueError, match="pictures and texts"):
        TinyCLIP(**QUICK).fit(pairs=pairs.swap(), model=teacher)
    with pytest.raises(TypeError, match="two towers that can be pruned"):
        TinyCLIP(**QUICK).fit(pairs=pairs, model=nn.Linear(2, 2))


# -- open_clip ---------------------------------------------------------------------------------------------

TEXT = {"context_length": 16, "vocab_size": 200, "width": 32, "heads": 4, "layers": 2}
VIT = {"image_size": 32, "patch_size": 8, "width": 64, "layers": 3, "head_width": 16}
RESNET = {"image_size": 32, "layers": [2, 1, 3, 1], "width": 16, "head_width": 64}


def of_open_clip(vision: Any, text: Any = TEXT, quick: bool = False) -> tuple[Any, DualEncoder]:
    model = pytest.importorskip("open_clip.model")
    from unseen.encoders.prunable import of_open_clip as convert

    torch.manual_seed(0)
    made_ = model.CLIP(16, vision, text, quick_gelu=quick).eval()
    return made_, convert(made_, Letters(16))


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize(
    "change",
    [
        {},
        {"ls_init_value": 0.5},
        {"pool_type": "avg"},
        {"pool_type": "avg", "final_ln_after_pool": True},
        {"no_ln_pre": True},
    ],
)
@torch.no_grad()
def test_towers_of_open_clip_give_what_open_clip_gives(change: Any, quick: bool) -> None:
    model, towers = of_open_clip({**VIT, **change}, quick=quick)
    x = torch.randn(3, 3, 32, 32)
    torch.testing.assert_close(towers.encode_image(x), model.encode_image(x, normalize=True), rtol=1e-4, atol=1e-5)
    tokens = torch.tensor([[5, 7, 199] + [0] * 13, [9, 199] + [0] * 14])
    torch.testing.assert_close(
        towers.encode_text(tokens), model.encode_text(tokens, normalize=True), rtol=1e-4, atol=1e-5
    )
    cut = torch.tensor([[5, 7, 199], [9, 199, -1]])  # what stands behind the end is not read
    torch.testing.assert_close(towers.encode_text(cut), towers.encode_text(tokens))


@pytest.mark.parametrize("mode", ["leading", "uniform", "importance"])
@torch.no_grad()
def test_a_resnet_inherits_blocks_channels_and_statistics(mode: Any) -> None:
    model, _towers = of_open_clip(RESNET)
    for module in model.visual.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.weight.normal_()
    from unseen.encoders.prunable import of_open_clip as convert

    teacher = convert(model, Letters(16)).image
    same = made(teacher, Plan(16, (2, 1, 3, 1)))
    inherit_weights(same, teacher, mode)
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(same.eval()(x), model.visual(x), rtol=1e-5, atol=1e-5)
    small = inherit_weights(made(teacher, Plan(8, (1, 1, 2, 1))), teacher, mode).eval()
    assert small(x).shape == (2, 16)
    assert torch.isfinite(small(x)).all()
    if mode == "leading":
        assert torch.equal(small.bn3.running_mean, teacher.bn3.running_mean[:8])
        assert torch.equal(small.layer3[1].conv2.weight, teacher.layer3[1].conv2.weight[:32, :32])
        assert torch.equal(small.attnpool.v_proj.weight, teacher.attnpool.v_proj.weight[:256, :256])
    with pytest.raises(ValueError, match="no larger than its teacher"):
        inherit_weights(teacher, small)


def test_a_model_with_a_resnet_is_made_small_by_hand_and_gates_refuse_it() -> None:
    _, towers = of_open_clip(RESNET)
    pairs = pairs_of_a_moment(24, 32)
    towers = dual_encoder(towers.image, towers.text, Letters(16).to_json(), 20.0)
    method = TinyCLIP(size=0.4, **QUICK).fit(pairs=pairs, model=towers)
    assert method.size_ <= 0.4
    assert method.decision_function(torch.as_tensor(pairs.left.x)).isfinite().all()
    with pytest.raises(ValueError, match="gates transformers"):
        TinyCLIP(inheritance="auto", **QUICK).fit(pairs=pairs, model=towers)
    with pytest.raises(TypeError, match="must be transformers"):
        MaskedDualEncoder(towers, 0.5)


@pytest.mark.parametrize(
    ("vision", "text", "told"),
    [
        ({**VIT, "attentional_pool": True}, TEXT, "pools by attention"),
        (VIT, {**TEXT, "no_causal_mask": True}, "causal"),
        (VIT, {**TEXT, "pool_type": "last"}, "pools by"),
        ({**VIT, "qk_norm": True}, TEXT, "layers of another make"),
    ],
)
def test_towers_of_other_makes_are_refused_by_name(vision: Any, text: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        of_open_clip(vision, text)


def test_the_largest_student_below_a_size_is_found_and_shrinks_alike() -> None:
    towers = towers_of_a_moment()
    most = n_parameters(towers) // 2
    plans = fitting(towers.image, towers.text, most)
    sizes = [n_parameters(made(tower, plan)) for tower, plan in zip((towers.image, towers.text), plans)]
    assert 0.6 * most < sum(sizes) <= most

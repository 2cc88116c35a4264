"""Meta-DMoE: the analytic checks of its specification, and what it promises to users."""

import copy
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from unseen.catalogue import Given
from unseen.data.domain import Domain, Lazy, concatenate
from unseen.data.samplers import domain_batches, domain_steps
from unseen.methods.adaptation.meta_dmoe import MetaDMoE
from unseen.methods.adaptation.meta_dmoe.aggregator import Aggregator, aggregator, tokens
from unseen.methods.adaptation.meta_dmoe.distillation import distillation_loss, distilled, features, inner_step
from unseen.methods.adaptation.meta_dmoe.training import (
    Meta,
    Sources,
    hold_out,
    meta_train,
    outer_loss,
    split_domains,
    train_experts,
)
from unseen.nn.classifier import Classifier, mlp_classifier
from unseen.nn.schedules import epoch_decay
from unseen.nn.train import train
from unseen.runtime import reproducible, runtime
from unseen.testing.inputs import convnet

META = Meta(
    alpha=2.0,
    support=6,
    query=4,
    student_rate=1e-2,
    aggregator_rate=1e-2,
    epochs=2,
    mask=True,
    first_order=False,
    fresh_adam=True,
)
QUICK = dict(
    expert_epochs=2,
    aggregator_epochs=2,
    student_epochs=2,
    epochs=2,
    support_size=6,
    query_size=4,
    width=8,
    n_experts=3,
    alpha=0.5,
    student_rate=1e-3,
)


def world(n: int = 30, styles: tuple[float, ...] = (-1.0, -0.4, 0.3, 0.9), seed: int = 0) -> Domain:
    """Three classes of five features; in every domain they are moved and stretched in another way."""
    rng = np.random.default_rng(seed)
    centres = 2 * np.random.default_rng(1).normal(size=(3, 5))
    parts = []
    for i, style in enumerate(styles):
        y = np.arange(n) % 3
        x = centres[y] * (1 + 0.3 * style) + style + 0.5 * rng.normal(size=(n, 5))
        parts.append(Domain(x=x.astype(np.float32), y=y, name=f"style {i}"))
    return concatenate(parts)


def networks(kind: Any = "transformer", n: int = 3, d: int = 8) -> tuple[Classifier, Aggregator, list[Classifier]]:
    """A student, an aggregator and frozen experts, all untrained."""
    with reproducible(0):
        student, *experts = (mlp_classifier(5, 3, d).eval() for _ in range(n + 1))
        for expert in experts:
            expert.requires_grad_(False)
        return student, aggregator(kind, d, [d] * n).eval(), experts


def samples(n: int = 10, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 5, generator=generator), torch.arange(n) % 3


def linear_student() -> Classifier:
    """Features W x with W = I, and the features as logits."""
    bottleneck = nn.Linear(2, 2, bias=False)
    bottleneck.weight.data = torch.eye(2)
    return Classifier(nn.Identity(), bottleneck, nn.Identity())


# -- the checks of the specification -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["transformer", "average", "max", "weighted"])
def test_the_aggregator_is_invariant_to_the_order_of_experts_and_takes_fewer_tokens(kind: Any) -> None:
    _, mixed, _ = networks(kind)
    z = torch.randn(7, 3, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(mixed(z), mixed(z[:, [2, 0, 1]]), atol=1e-6, rtol=0)
        assert mixed(z[:, :2]).shape == (7, 8)


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(5)))
def test_any_order_of_five_experts_gives_the_same_target(order: list[int]) -> None:
    _, mixed, _ = networks(n=5)
    z = torch.randn(4, 5, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(mixed(z), mixed(z[:, order]), atol=1e-6, rtol=0)


def test_the_block_is_that_of_a_second_implementation() -> None:
    _, mixed, _ = networks()
    (block,) = mixed.rule.blocks  # type: ignore[union-attr]
    z = torch.randn(4, 3, 8, generator=torch.Generator().manual_seed(0))

    def norm(v: Tensor, layer: nn.LayerNorm) -> Tensor:
        return (v - v.mean(-1, keepdim=True)) / (v.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt() * layer.weight

    with torch.no_grad():
        layer = block.attention
        h = norm(z, block.before_attention)
        q, k, v = (h @ layer.in_proj_weight.T + layer.in_proj_bias).chunk(3, dim=-1)
        q, k, v = (m.reshape(4, 3, 4, 2).transpose(1, 2) for m in (q, k, v))
        read = torch.softmax(q @ k.transpose(2, 3) / 2**0.5, dim=-1) @ v
        out = z + read.transpose(1, 2).reshape(4, 3, 8) @ layer.out_proj.weight.T + layer.out_proj.bias
        up, down = block.mlp[0], block.mlp[3]
        assert up.weight.shape == (16, 8)
        hidden = F.gelu(norm(out, block.before_mlp) @ up.weight.T + up.bias)
        expected = (out + hidden @ down.weight.T + down.bias).mean(dim=1)
        torch.testing.assert_close(mixed(z), expected, atol=1e-5, rtol=0)


def test_alpha_zero_gives_the_erm_loss_on_the_query_and_no_gradient_to_the_aggregator() -> None:
    student, mixed, experts = networks()
    x, y = samples()
    loss, _ = outer_loss(student, mixed, experts, x, y, META._replace(alpha=0.0), without=None)
    plain = F.cross_entropy(student(x[6:]), y[6:])
    torch.testing.assert_close(loss, plain)
    slopes = torch.autograd.grad(loss, list(mixed.parameters()), retain_graph=True)
    assert all(torch.equal(slope, torch.zeros_like(slope)) for slope in slopes)
    own = list(student.parameters())
    for a, b in zip(torch.autograd.grad(loss, own), torch.autograd.grad(plain, own)):
        torch.testing.assert_close(a, b)


def test_the_worked_linear_case() -> None:
    student = linear_student()
    x = torch.tensor([[1.0, 2.0], [3.0, -1.0]])
    t = torch.tensor([[0.0, 1.0], [1.0, 1.0]], requires_grad=True)
    moved, inner = inner_step(student, x, t, 0.1)
    assert inner.item() == pytest.approx(2.5)
    (w,) = moved.values()
    torch.testing.assert_close(w, torch.tensor([[0.65, 0.0], [0.25, 0.8]]))
    query = torch.ones(1, 2)
    loss = F.cross_entropy(features(student, moved, query), torch.tensor([0]))
    assert loss.item() == pytest.approx(0.913015, abs=1e-6)
    to_t, to_w = torch.autograd.grad(loss, [t, student.bottleneck.weight])
    torch.testing.assert_close(to_t, torch.tensor([[-0.089803, 0.089803], [-0.059869, 0.059869]]), atol=1e-6, rtol=0)
    torch.testing.assert_close(to_w, torch.tensor([[-0.329278, -0.478950], [0.329278, 0.478950]]), atol=1e-6, rtol=0)


def test_the_first_order_step_is_the_same_but_nothing_reaches_the_target() -> None:
    student, t = linear_student(), torch.tensor([[0.0, 1.0], [1.0, 1.0]], requires_grad=True)
    x = torch.tensor([[1.0, 2.0], [3.0, -1.0]])
    moved, _ = inner_step(student, x, t, 0.1, first_order=True)
    torch.testing.assert_close(moved["bottleneck.weight"], inner_step(student, x, t, 0.1)[0]["bottleneck.weight"])
    loss = F.cross_entropy(features(student, moved, torch.ones(1, 2)), torch.tensor([0]))
    assert torch.autograd.grad(loss, t, allow_unused=True, retain_graph=True) == (None,)
    (to_w,) = torch.autograd.grad(loss, student.bottleneck.weight)
    p = torch.softmax(torch.tensor([0.65, 1.05]), dim=0) - torch.tensor([1.0, 0.0])
    torch.testing.assert_close(to_w, p[:, None] * torch.ones(1, 2), atol=1e-6, rtol=0)


def test_the_gradient_of_the_outer_loss_is_that_of_finite_differences() -> None:
    student, mixed, experts = (m.double() if isinstance(m, nn.Module) else [e.double() for e in m] for m in networks())
    x, y = samples()
    x = x.double()

    def loss() -> Tensor:
        return outer_loss(student, mixed, experts, x, y, META, without=1)[0]

    weights = [student.bottleneck[0].weight, mixed.rule.blocks[0].mlp[0].weight, student.head.weight]  # type: ignore
    slopes = torch.autograd.grad(loss(), weights)
    for weight, slope in zip(weights, slopes):
        place = np.unravel_index(int(slope.abs().argmax()), slope.shape)
        ends = []
        for step in (1e-5, -1e-5):
            with torch.no_grad():
                weight[place] += step
            ends.append(loss().item())
            with torch.no_grad():
                weight[place] -= step
        assert slope[place].item() == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-4)
        assert slope.abs().max() > 1e-6


def test_the_masked_expert_is_never_asked_and_does_not_change_the_target(monkeypatch: pytest.MonkeyPatch) -> None:
    _, mixed, experts = networks()
    x, _ = samples()
    before = mixed(tokens(experts, mixed, x, without=1))
    experts[1].bottleneck[0].weight.fill_(float("nan"))  # type: ignore[index,operator]
    assert torch.equal(before, mixed(tokens(experts, mixed, x, without=1)))
    assert tokens(experts, mixed, x, without=1).shape == (10, 2, 8)
    monkeypatch.setattr(experts[1], "embed", lambda x: pytest.fail("the masked expert was asked"))
    tokens(experts, mixed, x, without=1)


def test_labels_of_the_support_are_not_read() -> None:
    student, mixed, experts = networks()
    x, y = samples()
    other = torch.cat([(y[:6] + 1) % 3, y[6:]])
    losses = [outer_loss(student, mixed, experts, x, labels, META, without=0)[0] for labels in (y, other)]
    assert torch.equal(*losses)


def test_a_target_that_equals_the_features_moves_nothing() -> None:
    student, _, _ = networks()
    x, _ = samples()
    after = distilled(student, [(x, student.embed(x))], len(x), 5.0)
    for key, value in student.state_dict().items():
        torch.testing.assert_close(after.state_dict()[key], value)


def test_the_classifier_and_the_statistics_are_not_adapted_and_the_student_stays() -> None:
    student, mixed, experts = networks()
    x, _ = samples()
    before = copy.deepcopy(student.state_dict())
    after = distilled(student, [(x, mixed(tokens(experts, mixed, x)))], len(x), 5.0).state_dict()
    moved = {key for key, value in before.items() if not torch.equal(after[key], value)}
    assert moved == {"bottleneck.0.weight", "bottleneck.0.bias", "bottleneck.1.weight", "bottleneck.1.bias"}
    assert all(torch.equal(student.state_dict()[key], value) for key, value in before.items())


def test_the_step_in_pieces_is_the_step_at_once_and_that_of_meta_training() -> None:
    student, mixed, experts = networks()
    x, _ = samples()
    t = mixed(tokens(experts, mixed, x))
    whole = distilled(student, [(x, t)], 10, 3.0)
    pieces = distilled(student, [(x[:7], t[:7]), (x[7:], t[7:])], 10, 3.0)
    moved, _ = inner_step(student, x, t, 3.0)
    for key, value in moved.items():
        torch.testing.assert_close(whole.get_parameter(key), value)
        torch.testing.assert_close(pieces.get_parameter(key), value)


def test_meta_training_leaves_experts_and_statistics_and_moves_student_and_aggregator() -> None:
    student, mixed, experts = networks()
    source = world()
    sources = Sources(source, source.take([]), {f"style {i}": min(i, 2) for i in range(4)})
    kept = [copy.deepcopy(expert.state_dict()) for expert in experts]
    before = {**copy.deepcopy(student.state_dict()), **copy.deepcopy(mixed.state_dict())}
    meta_train(student, mixed, experts, sources, META)
    for expert, state in zip(experts, kept):
        assert all(torch.equal(expert.state_dict()[key], value) for key, value in state.items())
    after = {**student.state_dict(), **mixed.state_dict()}
    moved = {key for key, value in before.items() if not torch.equal(after[key], value)}
    assert moved >= {"head.weight", "bottleneck.0.weight", "rule.blocks.0.mlp.0.weight"}
    assert not any("running" in key or key.startswith("backbone") for key in moved)


def test_first_order_meta_training_moves_the_student_alone() -> None:
    student, mixed, experts = networks()
    source = world()
    sources = Sources(source, source.take([]), {f"style {i}": min(i, 2) for i in range(4)})
    before, own = copy.deepcopy(mixed.state_dict()), copy.deepcopy(student.state_dict())
    meta_train(student, mixed, experts, sources, META._replace(first_order=True))
    assert all(torch.equal(mixed.state_dict()[key], value) for key, value in before.items())
    assert not torch.equal(student.head.weight, own["head.weight"])  # type: ignore[arg-type]


def test_both_adams_forget_at_the_start_of_an_epoch_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    from unseen.methods.adaptation.meta_dmoe import training

    counts: dict[bool, list[float]] = {True: [], False: []}
    for fresh, found in counts.items():

        def watching(*args: Any, found: list[float] = found, **kwargs: Any) -> Any:
            adam = kwargs["optimizers"]["student"]
            kwargs["after_step"] = lambda run: found.append(float(next(iter(adam.state.values()))["step"]))
            return train(*args, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(training, "train", watching)
            student, mixed, experts = networks()
            sources = Sources(world(), world().take([]), {f"style {i}": min(i, 2) for i in range(4)})
            meta_train(student, mixed, experts, sources, META._replace(fresh_adam=fresh))
    assert counts[True] == [*range(1, 13), *range(1, 13)]
    assert counts[False] == list(range(1, 25))


def test_rates_fall_by_four_percent_an_epoch() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule, rates = epoch_decay(optimizer, 3), []
    for _ in range(7):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    np.testing.assert_allclose(rates, [1, 1, 1, 0.96, 0.96, 0.96, 0.96**2])


# -- what each network learns from -------------------------------------------------------------------------------


def parts(source: Domain) -> Sources:
    """Samples to learn from and held-out ones; the last two of four domains share an expert."""
    return Sources(*hold_out(source, 0.25, np.random.default_rng(0)), {f"style {i}": min(i, 2) for i in range(4)})


def test_an_expert_depends_on_samples_of_its_own_domains_alone() -> None:
    source = world()
    moved = source.replace(x=np.where((source.columns["domain"] == "style 1")[:, None], source.x[::-1], source.x))
    found = []
    for one in (source, moved):
        with reproducible(0):
            found.append(train_experts(mlp_classifier(5, 3, 8), parts(one), epochs=2, rate=1e-2, size=8))
    same = [
        all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values()))
        for first, second in zip(*found)
    ]
    assert same == [True, False, True]


@pytest.mark.parametrize("mask", [True, False])
def test_in_meta_training_the_mask_hides_every_domain_from_its_own_expert(
    mask: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    student, mixed, experts = networks()
    source = world()
    sources = parts(source)
    domain_of = {row.tobytes(): name for row, name in zip(source.x, source.columns["domain"].tolist())}
    asked: list[set[str]] = [set() for _ in experts]
    for expert, seen in zip(experts, asked):

        def watching(x: Tensor, seen: set[str] = seen, embed: Any = expert.embed) -> Tensor:
            seen.update(domain_of[row.tobytes()] for row in x.numpy())
            return embed(x)

        monkeypatch.setattr(expert, "embed", watching)
    meta_train(student, mixed, experts, sources, META._replace(mask=mask))
    for i, seen in enumerate(asked):
        assert seen == {name for name, group in sources.groups.items() if group != i or not mask}


def test_in_meta_training_every_layer_is_in_eval_mode() -> None:
    student, mixed, experts = networks()
    modes: list[bool] = []
    for network in (student, mixed, *experts):
        network.train()
        for module in network.modules():
            module.register_forward_pre_hook(lambda module, inputs: modes.append(module.training))
    meta_train(student, mixed, experts, parts(world()), META)
    assert modes
    assert not any(modes)


def test_the_aggregator_is_trained_by_itself_before_meta_training() -> None:
    settings: dict[str, Any] = QUICK | {"meta": False}
    short, long = (MetaDMoE(**settings | {"aggregator_epochs": n}).fit(source=world(60)) for n in (1, 8))
    key = "rule.blocks.0.mlp.0.weight"
    assert not torch.equal(short.aggregator_.state_dict()[key], long.aggregator_.state_dict()[key])
    assert len(long.history_["aggregator_loss"]) == 8
    assert long.history_["aggregator_loss"][-1] < long.history_["aggregator_loss"][0]


# -- domains, groups and batches ---------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 12), st.integers(0, 1000))
def test_domains_are_cut_into_groups_of_equal_size_up_to_one(n: int, seed: int) -> None:
    names = [f"d{i}" for i in range(12)]
    groups = split_domains(names, n, np.random.default_rng(seed))
    counts = np.bincount(list(groups.values()), minlength=n)
    assert set(groups) == set(names)
    assert counts.max() - counts.min() <= 1
    assert groups != split_domains(names, n, np.random.default_rng(seed + 1)) or n == 1


def test_a_batch_is_of_one_domain_and_small_remainders_are_skipped() -> None:
    source = world(n=23)
    names = source.columns["domain"]
    run = dataclasses.make_dataclass("R", ["generator"])(torch.Generator().manual_seed(0))
    for smallest, sizes in ((3, [10, 10, 3]), (4, [10, 10])):
        found = list(domain_batches(source, names, 10, smallest)(run))
        assert sorted(len(batch.x) for batch in found) == sorted(4 * sizes)
        assert len(found) == domain_steps(names, 10, smallest)
        for batch in found:
            assert len(np.unique(names[batch.index.numpy()])) == 1
            assert batch.y is not None
            assert batch.y.tolist() == source.labels[batch.index.numpy()].tolist()
    order = [str(names[batch.index[0]]) for batch in found]
    assert order != sorted(order)


def test_a_share_of_every_domain_is_held_out() -> None:
    source = world(n=20)
    learn, check = hold_out(source, 0.25, np.random.default_rng(0))
    assert np.unique(check.columns["domain"], return_counts=True)[1].tolist() == [5, 5, 5, 5]
    assert not set(learn.ids.tolist()) & set(check.ids.tolist())  # type: ignore[union-attr]
    assert len(learn) == 60


# -- the method --------------------------------------------------------------------------------------------------


def unseen_style(style: float = 1.6) -> Domain:
    return world(n=60, styles=(style,), seed=5)


def test_adapt_starts_from_the_learnt_student_whatever_came_before() -> None:
    method = MetaDMoE(**QUICK).fit(source=world())
    first, second = unseen_style(1.5), unseen_style(-1.5)
    before = copy.deepcopy(method.student_.state_dict())
    alone = method.adapt(target=second)
    after_another = method.adapt(target=first).adapt(target=second)
    assert torch.equal(alone.decision_function(second), after_another.decision_function(second))
    assert not torch.equal(method.decision_function(second), alone.decision_function(second))
    for same in (method, alone, after_another):
        assert all(torch.equal(same.student_.state_dict()[key], value) for key, value in before.items())
    assert torch.equal(method.decision_function(second), method.source_decision_function(second))


def test_experts_are_asked_to_adapt_but_not_to_predict(monkeypatch: pytest.MonkeyPatch) -> None:
    target = unseen_style()
    method = MetaDMoE(**QUICK).fit(source=world(), target=target)
    for expert in method.experts_:
        monkeypatch.setattr(expert, "embed", lambda x: pytest.fail("an expert was asked"))
    method.predict(target)
    with pytest.raises(pytest.fail.Exception, match="an expert was asked"):
        method.adapt(target=target)


def test_fit_with_a_target_is_fit_and_adapt() -> None:
    target = unseen_style()
    at_once = MetaDMoE(**QUICK).fit(source=world(), target=target)
    later = MetaDMoE(**QUICK).fit(source=world()).adapt(target=target)
    assert torch.equal(at_once.decision_function(target), later.decision_function(target))


def test_a_few_samples_may_be_drawn_for_the_step() -> None:
    target = unseen_style()
    fitted = MetaDMoE(**QUICK, adapt_size=24).fit(source=world())
    chosen = target.take(target.canonical_order()).take(
        np.sort(np.random.default_rng(0).choice(len(target), 24, replace=False))
    )
    expected = copy.copy(fitted).set_params(adapt_size=None).adapt(target=chosen)
    torch.testing.assert_close(
        fitted.adapt(target=target).decision_function(target), expected.decision_function(target)
    )


def test_alpha_zero_adapts_nothing() -> None:
    method = MetaDMoE(**QUICK | {"alpha": 0.0}).fit(source=world(), target=unseen_style())
    assert torch.equal(method.decision_function(unseen_style()), method.source_decision_function(unseen_style()))


@pytest.mark.parametrize("kind", ["transformer", "average", "max", "weighted"])
@pytest.mark.parametrize("mask", [True, False])
def test_all_aggregators_learn_with_and_without_mask(kind: Any, mask: bool) -> None:
    target = unseen_style(0.0)
    method = MetaDMoE(**QUICK | {"width": 16, "epochs": 6}, aggregator=kind, mask=mask).fit(source=world(60))
    assert (method.adapt(target=target).predict(target) == target.labels).mean() > 0.7  # chance is 1/3
    assert "aggregator_loss" in method.history_
    assert method.history_["loss"].shape == (6,)


def test_plain_distillation_has_no_meta_training() -> None:
    method = MetaDMoE(**QUICK, meta=False).fit(source=world(), target=unseen_style())
    assert "loss" not in method.history_
    assert method.history_["student_loss"].shape == (2,)


def test_the_kept_epoch_is_the_best_one() -> None:
    method = MetaDMoE(**QUICK | {"epochs": 4}).fit(source=world())
    assert method.history_["score"].shape == (4,)
    assert "score" not in MetaDMoE(**QUICK, held_out=0.0).fit(source=world()).history_


def test_experts_of_another_width_get_a_linear_map() -> None:
    method = MetaDMoE(**QUICK, expert_width=12).fit(source=world(), target=unseen_style())
    assert [tuple(m.weight.shape) for m in method.aggregator_.maps] == [(8, 12)] * 3
    assert method.experts_[0].embed(torch.zeros(1, 5)).shape == (1, 12)


def test_there_are_at_most_as_many_experts_as_domains() -> None:
    method = MetaDMoE(**QUICK | {"n_experts": 9}).fit(source=world())
    assert sorted(method.groups_.values()) == [0, 1, 2, 3]
    assert len(method.experts_) == 4


def pictures(n: int = 16, styles: int = 3) -> Domain:
    rng = np.random.default_rng(0)
    parts = []
    for i in range(styles):
        y = np.arange(n) % 4
        x = (rng.normal(size=(n, 3, 8, 8)) + i + y[:, None, None, None]).astype(np.float32)
        parts.append(Domain(x=x, y=y, kind="image", name=f"style {i}"))
    return concatenate(parts)


def test_a_whole_network_is_student_and_expert_is_saved_and_loaded(tmp_path: Path) -> None:
    with reproducible(0):
        model = convnet()
    before = copy.deepcopy(model.state_dict())
    source = pictures()
    lazy = source.replace(x=Lazy(range(len(source)), lambda i: source.x[i]))
    small = {key: value for key, value in QUICK.items() if key != "width"}
    method = MetaDMoE(**small, aggregator="average").fit(source=lazy, target=pictures(styles=1), model=model)
    assert all(torch.equal(model.state_dict()[key], value) for key, value in before.items())
    method.save(tmp_path / "m")
    loaded = MetaDMoE.load(tmp_path / "m")
    assert torch.equal(method.decision_function(source), loaded.decision_function(source))
    again = loaded.adapt(target=pictures(styles=1))
    assert torch.equal(again.decision_function(source), method.decision_function(source))


def test_a_run_that_is_cut_off_goes_on_to_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from unseen.methods.adaptation.meta_dmoe import training

    whole = MetaDMoE(**QUICK, fresh_adam=False).fit(source=world())
    calls = iter(range(100))

    def failing(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == 15:  # in the second epoch
            raise KeyboardInterrupt
        return outer_loss(*args, **kwargs)

    with runtime(folder=tmp_path):
        with monkeypatch.context() as patch:
            patch.setattr(training, "outer_loss", failing)
            with pytest.raises(KeyboardInterrupt):
                MetaDMoE(**QUICK, fresh_adam=False).fit(source=world())
        resumed = MetaDMoE(**QUICK, fresh_adam=False).fit(source=world())
    x = unseen_style()
    assert torch.equal(whole.decision_function(x), resumed.decision_function(x))
    np.testing.assert_array_equal(whole.history_["loss"], resumed.history_["loss"])


def test_what_does_not_fit_is_refused_before_work() -> None:
    source = world()
    bare = source.replace(columns={})
    with pytest.raises(ValueError, match=r"source must be of at least 3 domains.*`domain`.*no such column"):
        MetaDMoE().fit(source=bare)
    two = source.take(np.isin(source.columns["domain"], ["style 0", "style 1"]))
    with pytest.raises(ValueError, match=r"source must be of at least 3 domains.*'style 0', 'style 1'"):
        MetaDMoE().fit(source=two)
    with pytest.raises(ValueError, match=r"support_size \+ 2 = 42 samples.*the largest has 24"):
        MetaDMoE(support_size=40).fit(source=source)
    with pytest.raises(ValueError, match="heads must divide the 9 features"):
        MetaDMoE(**QUICK | {"width": 9}).fit(source=source)
    with pytest.raises(ValueError, match="give a model that reads it"):
        MetaDMoE(**QUICK).fit(source=pictures())
    with pytest.raises(ValueError, match="expert_width must be None"):
        MetaDMoE(**QUICK, expert_width=3).fit(source=source, model=mlp_classifier(5, 3, 8))
    with pytest.raises(ValueError, match="source has label 2; model has outputs for 2 classes"):
        MetaDMoE(**QUICK).fit(source=source, model=mlp_classifier(5, 2, 8))
    fitted = MetaDMoE(**QUICK).fit(source=source)
    with pytest.raises(ValueError, match="target does not fit"):
        fitted.adapt(target=Domain(x=np.zeros((4, 9), dtype=np.float32)))


def test_the_catalogue_offers_it_where_the_source_has_domains() -> None:
    source = world()
    assert Given({"source": source, "target": source}).why_not(MetaDMoE) is None
    told = Given({"source": source.replace(columns={}), "target": source}).why_not(MetaDMoE)
    assert told == "needs a source of at least 3 domains, told apart by a column domain"


def test_the_loss_is_a_mean_over_samples_and_features() -> None:
    z = torch.zeros(4, 3)
    assert distillation_loss(z, torch.full((4, 3), 2.0)).item() == 4.0

"""ZSCL: the analytic checks of its two spaces, of its stream, and of the methods that it becomes."""

from __future__ import annotations

import copy
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.methods.multimodal.zscl import VARIANTS, ZSCL
from unseen.methods.multimodal.zscl.exemplars import herded
from unseen.methods.multimodal.zscl.losses import among_pictures, distill
from unseen.methods.multimodal.zscl.objective import Objective
from unseen.nn import train as loop
from unseen.nn.small_towers import small_dual_encoder
from unseen.nn.state import digest
from unseen.nn.weight_space import Anchor, weights_of
from unseen.runtime import runtime

SHORT: dict[str, Any] = {
    "iterations": 6, "warm_up": 2, "average_every": 2, "learning_rate": 1e-2, "batch_size": 8,
}  # fmt: skip
NAMES = (("red cat", "dog"), ("car", "bus", "van"), ("one", "two"))


def task(i: int, n: int = 24, kind: str = "features") -> Domain:
    names = NAMES[i]
    rng = np.random.default_rng(i)
    y = np.arange(n) % len(names)
    shape = (16,) if kind == "features" else (3, 8, 8)
    centres = np.random.default_rng(i + 10).normal(size=(len(names), *shape))
    x = (2 * centres[y] + rng.normal(size=(n, *shape))).astype(np.float32)
    return Domain(x=x, y=y, kind=kind, classes=ClassSpace(names=names), name=f"task {i}")  # type: ignore[arg-type]


def references() -> dict[str, Domain]:
    pictures = np.random.default_rng(5).normal(size=(40, 16)).astype(np.float32)
    texts = np.array(
        [f"a {a} {b}" for a, b in itertools.product(("big", "old", "sad"), ("tree", "lake", "hat", "sea"))]
    )
    return {"auxiliary": Domain(x=pictures), "corpus": Domain(x=texts, kind="text")}


def begun(**params: Any) -> ZSCL:
    return ZSCL(**{**SHORT, **params}).fit(source=task(0), model=small_dual_encoder(), **references())


def objective_of(method: ZSCL, network: Any, **changes: Any) -> Objective:
    """The objective at the start of a first task."""
    its = ZSCL(**{**method.get_params(), **changes})
    teacher = copy.deepcopy(network).requires_grad_(False)
    told = {"classes": NAMES[0], "templates": ("a {}.",)}
    tied = its._references(network, teacher, references()["corpus"], told)
    return Objective(its, network, teacher, Anchor(network, [n for n, _ in network.named_parameters()]), tied)


# -- feature space -----------------------------------------------------------------------------------------


def test_a_student_equal_to_its_teacher_has_no_gradient() -> None:
    t = torch.randn(6, 9)
    s = t.clone().requires_grad_(True)
    distill(t, s, 2.0).backward()
    assert s.grad is not None
    assert s.grad.abs().max() < 1e-6


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.5, 4.0))
def test_distillation_beyond_its_floor_is_tau_squared_times_the_mean_divergence(seed: int, tau: float) -> None:
    t, s = torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    p, q = torch.log_softmax(t / tau, dim=1), torch.log_softmax(s / tau, dim=1)
    by_hand = tau**2 * (p.exp() * (p - q)).sum(dim=1).mean()
    torch.testing.assert_close(distill(t, s, tau) - distill(t, t, tau), by_hand)


def test_the_text_term_is_a_softmax_over_the_pictures_of_the_batch() -> None:
    network = small_dual_encoder()
    teacher = small_dual_encoder()
    with torch.no_grad():
        network.image[0].weight += 0.1
    objective = objective_of(ZSCL(**SHORT), network)
    objective.teacher = teacher
    x = torch.randn(5, 16)
    z0, z, w0 = teacher.encode_image(x), network.encode_image(x), objective.tied.vectors
    a, b = 20 * z0 @ w0.T, 20 * z @ w0.T
    found = objective.distilled(x)

    def plain(t: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
        rows = [-(F.softmax(tr / 2, 0) * F.log_softmax(sr / 2, 0)).sum() for tr, sr in zip(t, s)]
        return 4 * torch.stack(rows).mean()

    torch.testing.assert_close(found.image, plain(a, b))
    torch.testing.assert_close(found.text, plain(a.T, b.T))


def test_in_the_first_step_of_the_first_task_only_the_cross_entropy_has_a_gradient() -> None:
    network = small_dual_encoder()
    objective = objective_of(ZSCL(**SHORT), network)
    x = torch.randn(8, 16)
    terms = objective.distilled(x)
    tied = terms.image + terms.text + objective.anchor(network)
    tied.backward()
    assert all(p.grad is None or p.grad.abs().max() < 1e-5 for p in network.parameters())


def test_the_texts_enter_the_distillation_by_the_student_only_if_asked_for() -> None:
    network = small_dual_encoder()
    x = torch.randn(6, 16)
    for side, reached in (("teacher", False), ("student", True)):
        objective = objective_of(ZSCL(**SHORT), network, text_side=side)
        with torch.no_grad():  # away from the teacher, where gradients are not zero
            for p in objective.teacher.image.parameters():
                p += 0.1
        found = objective.distilled(x)
        gradients = torch.autograd.grad(found.image + found.text, [*network.text.parameters()], allow_unused=True)
        assert any(g is not None for g in gradients) == reached


def test_a_picture_is_not_compared_with_itself() -> None:
    z = F.normalize(torch.randn(5, 4), dim=1)
    z0 = F.normalize(torch.randn(5, 4), dim=1)
    t, s = (20 * a @ a.T for a in (z0, z))
    off = [[j for j in range(5) if j != i] for i in range(5)]
    by_hand = distill(*(torch.stack([a[i, off[i]] for i in range(5)]) for a in (t, s)), 2.0)  # type: ignore[arg-type]
    torch.testing.assert_close(among_pictures(z0, z, torch.tensor(20.0), 2.0), by_hand)


# -- weight space ------------------------------------------------------------------------------------------


def test_the_mean_has_the_start_and_the_weights_after_every_merge_and_training_does_not_see_it() -> None:
    seen: list[Any] = []
    step = loop.Run.descend

    def record(run: Any, *args: Any) -> Any:
        out = step(run, *args)
        seen.append(weights_of(run.nets["towers"]))
        return out

    model = small_dual_encoder()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.Run, "descend", record)
        averaged = begun()
        trained, seen = seen, []
        plain = begun(average_every=0)
        assert len(trained) == len(seen) == SHORT["iterations"] + 1  # 0 to the last, inclusive
    members = [weights_of(model), *(trained[i] for i in (0, 2, 4, 6))]
    for name, value in weights_of(averaged.network_).items():
        torch.testing.assert_close(value, torch.stack([m[name] for m in members]).mean(dim=0))
    # the optimized weights take their own way, whatever is averaged beside them
    assert digest(weights_of(plain.network_)) == digest(seen[-1])


def test_nothing_trains_the_scale_and_the_teacher_stays_to_the_bit() -> None:
    model = small_dual_encoder()
    before = digest(weights_of(model))
    method = begun(consolidation=0.0)
    assert torch.equal(method.network_.logit_scale, model.logit_scale)
    assert digest(weights_of(model)) == before == digest(method.initial_)
    method.partial_fit(source=task(1), **references())
    assert digest(method.initial_) == before


def test_wise_ft_ends_bit_for_bit_in_the_initial_and_in_the_fine_tuned_weights() -> None:
    tuned = begun(**VARIANTS["fine-tuning"])
    none = begun(**{**VARIANTS["fine-tuning"], "wise": 0.0})
    assert digest(weights_of(none.network_)) == digest(none.initial_)
    half = begun(**{**VARIANTS["fine-tuning"], "wise": 0.8})
    for name, value in weights_of(half.network_).items():
        torch.testing.assert_close(value, 0.2 * tuned.initial_[name] + 0.8 * weights_of(tuned.network_)[name])


def test_consolidation_holds_the_weights_where_they_were_at_the_start_of_the_task() -> None:
    def moved(method: ZSCL) -> float:
        now = weights_of(method.network_)
        return float(sum((now[n] - v).square().sum() for n, v in method.initial_.items()))

    assert moved(begun(consolidation=100.0)) < moved(begun(consolidation=0.0)) / 2


# -- other methods by the same code ------------------------------------------------------------------------


def test_with_one_task_lwf_is_zscl_whose_references_are_the_task() -> None:
    lwf = begun(**VARIANTS["lwf"])
    same = begun(pictures="task", texts="task", consolidation=0.0, average_every=0)
    assert digest(weights_of(lwf.network_)) == digest(weights_of(same.network_))
    later = [m.partial_fit(source=task(1), **references()) for m in (lwf, same)]
    assert digest(weights_of(later[0].network_)) != digest(weights_of(later[1].network_))


def test_without_references_the_task_takes_their_place() -> None:
    without = ZSCL(**SHORT).fit(source=task(0), model=small_dual_encoder())
    own = ZSCL(**SHORT, pictures="task", texts="task").fit(source=task(0), model=small_dual_encoder())
    assert digest(weights_of(without.network_)) == digest(weights_of(own.network_))


def test_zero_shot_learns_nothing_and_every_class_may_be_asked_about() -> None:
    model, x = small_dual_encoder(), torch.randn(7, 16)
    method = ZSCL(iterations=0).fit(source=task(0), model=model, prompts=["a {}.", "the {}"])
    assert digest(weights_of(method.network_)) == digest(weights_of(model))
    with torch.no_grad():
        texts = [[f"a {n}.", f"the {n}"] for n in ("owl", "red fox")]
        w = torch.stack([F.normalize(model.encode_text(model.tokenize(t)).mean(dim=0), dim=0) for t in texts])
        expected = 20 * model.encode_image(x) @ w.T
    torch.testing.assert_close(method.decision_function(x, ClassSpace(names=("owl", "red_fox"))), expected)


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_runs_a_stream_and_answers_by_task_and_at_large(name: str) -> None:
    method = ZSCL(**{**SHORT, **VARIANTS[name]})
    for i in range(3):
        method.partial_fit(source=task(i), **references(), **({"model": small_dual_encoder()} if i == 0 else {}))
    assert method.classes_.names == tuple(n for names in NAMES for n in names)
    x = torch.randn(9, 16)
    assert method.decision_function(x).shape == (9, 7)
    assert set(method.predict(x, classes=ClassSpace(names=NAMES[1]))) <= {0, 1, 2}
    torch.testing.assert_close(method.predict_proba(x).sum(dim=1), torch.ones(9))


def test_the_three_teachers_are_who_they_should_be() -> None:
    method = begun(average_every=0)
    now, start = weights_of(method.network_), method.initial_
    for teacher, share in (("initial", 0.0), ("previous", 1.0), ("wise", 0.8)):
        found = weights_of(method.set_params(teacher=teacher)._teacher(method.network_, start))
        for name, value in found.items():
            torch.testing.assert_close(value, torch.lerp(start[name], now[name], share))


def test_exemplars_are_kept_by_herding_and_rehearsed() -> None:
    method = begun(**{**VARIANTS["icarl"], "exemplars": 3})
    ((x, y, number),) = method.exemplars_
    assert number == 0
    assert x.shape == (6, 16)
    assert torch.bincount(y).tolist() == [3, 3]
    losses: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        rehearsed = Objective.rehearsed
        patch.setattr(Objective, "rehearsed", lambda self, run: losses.append(self.tied.n_old) or rehearsed(self, run))
        method.partial_fit(source=task(1), **references())
    assert losses == [1] * 7


def test_exemplars_that_are_kept_from_a_later_task_on_are_rehearsed_as_that_task() -> None:
    method = begun(exemplars=0).set_params(exemplars=2)
    method.partial_fit(source=task(1), **references())
    assert [number for *_, number in method.exemplars_] == [1]
    told = {"classes": NAMES[0], "templates": ("a {}.",)}
    tied = method._references(method.network_, method.network_, None, told)
    assert tied.n_old == 1
    assert len(tied.old(0)[2]) == len(NAMES[1])
    method.partial_fit(source=task(2), **references())
    assert method.set_params(exemplars=0)._references(method.network_, method.network_, None, told).n_old == 0


def test_sentences_as_negatives_want_sentences() -> None:
    with pytest.raises(ValueError, match="needs a corpus"):
        ZSCL(**SHORT, negatives="sentences").fit(source=task(0), model=small_dual_encoder())


def test_the_teacher_of_every_task_is_the_initial_model_after_training_too() -> None:
    teachers: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        made = ZSCL._teacher
        patch.setattr(ZSCL, "_teacher", lambda *told: teachers.append(made(*told)) or teachers[-1])
        method = begun()
        method.partial_fit(source=task(1), **references())
    assert [digest(weights_of(one)) for one in teachers] == [digest(method.initial_)] * 2


def test_herding_takes_first_what_is_nearest_to_the_mean_and_then_what_mends_it() -> None:
    z = torch.tensor([[0.0], [1.0], [5.0], [2.1], [10.0], [30.0]])
    y = torch.tensor([0, 0, 0, 0, 1, 1])
    # mean of class 0 is 2.025: 2.1 is nearest; then (2.1 + 1) / 2 = 1.55 beats 1.05 and 3.55
    assert herded(z, y, 2).tolist() == [3, 1, 4, 5]
    assert herded(z, y, 9).tolist()[:1] == [3]


def test_negatives_stand_beside_the_classes_of_the_task() -> None:
    method = begun(negatives="previous")
    told = {"classes": NAMES[1], "templates": ("a {}.",)}
    tied = method._references(method.network_, method.network_, references()["corpus"], told)
    assert len(tied.beside) == 2
    tied = method.set_params(negatives="sentences")._references(
        method.network_, method.network_, references()["corpus"], told
    )
    assert len(tied.beside) == 12
    method.partial_fit(source=task(1), **references())
    first = ZSCL(**SHORT, negatives="previous")
    assert first._references(method.network_, method.network_, None, told).beside is None


def test_of_many_classes_a_step_encodes_those_of_its_batch_and_some_others() -> None:
    network = small_dual_encoder()
    objective = objective_of(ZSCL(**SHORT), network, classes_per_step=3)
    texts = torch.arange(10)[:, None]
    kept, y = objective._fewer(texts, torch.tensor([7, 2, 7]), loop.Run("few", {}, {}, 1, None))
    assert len(kept) == 3
    assert kept[y].flatten().tolist() == [7, 2, 7]


# -- the stream --------------------------------------------------------------------------------------------


def test_a_stream_goes_on_from_a_saved_model_to_the_same_bits(tmp_path: Path) -> None:
    method = begun()
    method.save(tmp_path / "m")
    again = ZSCL.load(tmp_path / "m")
    for m in (method, again):
        m.partial_fit(source=task(1), **references())
    assert digest(method.fitted) == digest(again.fitted)


def test_one_seed_gives_one_stream_whatever_is_asked_in_between() -> None:
    one, other = begun(), begun()
    other.predict(torch.randn(5, 16))
    torch.manual_seed(3)
    for m in (one, other):
        m.partial_fit(source=task(1), **references())
    assert digest(one.fitted) == digest(other.fitted)
    assert digest(begun(random_state=1).fitted) != digest(begun().fitted)


def test_a_frozen_tower_stays_in_every_task_also_after_loading(tmp_path: Path) -> None:
    model = small_dual_encoder()
    model.text.requires_grad_(False)
    method = ZSCL(**SHORT).fit(source=task(0), model=model, **references())
    method.save(tmp_path / "m")
    for m in (method, ZSCL.load(tmp_path / "m")):
        m.partial_fit(source=task(1), **references())
        now = weights_of(m.network_)
        assert all(torch.equal(now[n], v) for n, v in m.initial_.items() if n.startswith("text"))
        assert not all(torch.equal(now[n], v) for n, v in m.initial_.items() if n.startswith("image"))


def test_pictures_are_learnt_as_features_are() -> None:
    method = ZSCL(**SHORT).fit(source=task(0, kind="image"), model=small_dual_encoder("image"))
    assert method.predict(task(0, kind="image")).shape == (24,)


def test_a_class_of_two_tasks_is_read_with_the_templates_of_the_last() -> None:
    method = begun()
    other = task(1).replace(classes=ClassSpace(names=("dog", "bus", "van")))
    method.partial_fit(source=other, prompts=["one {} here"], **references())
    assert method.classes_.names == ("red cat", "dog", "bus", "van")
    assert method._template_of("dog") == ("one {} here",)
    assert method._template_of("red cat") == ("a photo of a {}.",)


def test_a_killed_stream_is_not_taken_up_by_another_task(tmp_path: Path) -> None:
    with runtime(folder=tmp_path / "work"):
        method = begun()
        method.partial_fit(source=task(1), **references())
    assert digest(method.fitted) == digest(begun().partial_fit(source=task(1), **references()).fitted)
    assert sorted(p.name for p in (tmp_path / "work").iterdir()) == ["zscl-0", "zscl-1"]


@pytest.mark.parametrize(
    ("words", "error", "told"),
    [
        ({"source": task(0)}, ValueError, "model is needed for the first task"),
        ({"source": task(0), "model": torch.nn.Linear(16, 4)}, TypeError, "two towers with encode_image"),
        ({"source": task(0), "model": small_dual_encoder(), "prompts": "a {}"}, TypeError, "prompts must be a list"),
        ({"source": task(0), "model": small_dual_encoder(), "prompts": ["a cat"]}, ValueError, "got 'a cat'"),
        ({"source": task(0), "model": small_dual_encoder(), "prompts": []}, ValueError, "at least one template"),
        ({"source": task(0).replace(classes=None), "model": small_dual_encoder()}, ValueError, "named classes"),
        ({"source": task(0), "model": small_dual_encoder(), "corpus": Domain(x=np.ones((3, 16)))}, ValueError,
         "corpus must be of kind text"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_named_and_nothing_is_learnt(words: Any, error: type[Exception], told: str) -> None:
    method = ZSCL(**SHORT)
    with pytest.raises(error, match=told.replace("{", r"\{")):
        method.partial_fit(**words)
    assert method.fitted == {}


def test_a_second_model_is_refused() -> None:
    method = begun()
    with pytest.raises(ValueError, match="model is for the first task of a stream; this one goes on with what 1 made"):
        method.partial_fit(source=task(1), model=small_dual_encoder())

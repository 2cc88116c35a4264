"""OGEN: the analytic checks of its generator, losses, schedule and teacher; and the learners of prompts it wraps."""

from __future__ import annotations

import copy
import logging
import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.evaluation.metrics.zero_shot import base_to_new_scores, harmonic_mean
from unseen.methods.adaptation.ad_clip import ADCLIP
from unseen.methods.baselines.coop import CoOp
from unseen.methods.multimodal.ogen import OGEN
from unseen.methods.multimodal.ogen.generator import ClassStats, FeatureGenerator, class_knn
from unseen.methods.multimodal.ogen.objective import Objective, Outputs, Weights
from unseen.methods.multimodal.ogen.teacher import LocalMeanTeacher, mean_state, window
from unseen.methods.prompted import predicting
from unseen.nn.layer_statistics import row_reader
from unseen.nn.prompt_learners import LEARNERS, ContextLearner, RegulatedLearner, make_learner
from unseen.nn.prompting import PromptableText, PromptableTowers
from unseen.nn.small_towers import small_towers

NAMES = ("red cat", "dog", "car", "bus", "van", "one", "two", "boat")
SEEN = 5


def towers() -> PromptableTowers:
    """Small towers for unit vectors of width 4."""
    small = small_towers()
    return PromptableTowers(row_reader((), 4), small.text, 20.0, small.tokenize)


def pictures(n: int = 60, seen: int = SEEN, seed: int = 0) -> tuple[Domain, ClassSpace]:
    rng = np.random.default_rng(seed)
    y = np.arange(n) % seen
    centres = np.random.default_rng(10).normal(size=(seen, 4))
    x = 2 * centres[y] + rng.normal(size=(n, 4))
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    classes = ClassSpace(names=NAMES, seen=np.arange(seen))
    return Domain(x=x, y=y, classes=classes), classes


def parts(
    new: bool = True, learner: ContextLearner | None = None, **weights: float
) -> tuple[Objective, ContextLearner, FeatureGenerator, torch.Tensor, torch.Tensor]:
    """An objective with a learner, a generator without dropout, features and labels."""
    source, _ = pictures(20)
    torch.manual_seed(0)
    learner = learner or ContextLearner(towers())
    generator = FeatureGenerator(4, 2, dropout=0.0)
    z, y = torch.as_tensor(source.x), torch.as_tensor(source.labels)
    stats = ClassStats.fit(z, y, SEEN)
    named = learner.named(NAMES if new else NAMES[:SEEN])
    objective = Objective(named, SEEN, stats, class_knn(stats.mean, 3), Weights(**weights), "one-sided")
    return objective, learner, generator, z, y


def step(
    objective: Objective, learner: Any, generator: Any, z: Any, y: Any, *, warm: bool = False, teacher: Any = None
) -> Any:
    return objective(learner, generator, teacher, z, y, torch.Generator().manual_seed(3), warm=warm)


# -- the two phases ------------------------------------------------------------------------------------------


def test_in_the_first_phase_the_context_has_no_gradient() -> None:
    objective, learner, generator, z, y = parts()
    total, _ = step(objective, learner, generator, z, y, warm=True)
    total.backward()
    assert learner.context.grad is None
    assert all(p.grad is not None and bool(p.grad.any()) for p in generator.feed.parameters())


def test_in_the_second_phase_it_has_one_also_through_new_names_alone() -> None:
    objective, learner, generator, z, y = parts(real=0.0, as_unknown=0.0, known=0.0, distillation=0.0)
    step(objective, learner, generator, z, y)[0].backward()
    assert learner.context.grad is not None
    assert bool(learner.context.grad.any())


def test_queries_of_known_classes_carry_no_gradient() -> None:
    """Without new names and with no weight on classification, the made features leave the prompt alone."""
    objective, learner, generator, z, y = parts(new=False, real=0.0, as_unknown=0.0, known=0.0)
    step(objective, learner, generator, z, y)[0].backward()
    assert learner.context.grad is None or not bool(learner.context.grad.any())


def test_the_first_fifth_of_the_epochs_trains_the_generator_alone() -> None:
    source, classes = pictures()
    method = OGEN(epochs=10, learning_rate=0.1).fit(source=source, classes=classes, encoder=towers())
    assert not method.history_["classification"][:2].any()
    assert method.history_["classification"][2:].all()
    only = OGEN(epochs=10, warm_share=1.0, learning_rate=0.1).fit(source=source, classes=classes, encoder=towers())
    assert torch.equal(only.learnt_["context"], ContextLearner(towers()).context.detach())


# -- the generator -------------------------------------------------------------------------------------------


def test_made_features_have_unit_length() -> None:
    objective, learner, generator, z, y = parts()
    said = objective.outputs(learner, generator, z, y, objective.values(y, torch.Generator()))
    assert torch.allclose(said.made.norm(dim=1), torch.ones(len(z)), atol=1e-5)
    assert torch.allclose(said.nearest.norm(dim=2), torch.ones(len(z), 3), atol=1e-5)


def test_a_generator_of_identities_copies_the_neighbours_feature() -> None:
    generator = FeatureGenerator(4, 2, dropout=0.0)
    with torch.no_grad():
        generator.attention.in_proj_weight[8:] = torch.eye(4)
        generator.attention.in_proj_bias.zero_()
        generator.attention.out_proj.weight.copy_(torch.eye(4))
        generator.attention.out_proj.bias.zero_()
        for p in generator.feed.parameters():
            p.zero_()
    q, k, v = (torch.randn(6, 1, 4, generator=torch.Generator().manual_seed(i)) for i in range(3))
    assert torch.allclose(generator(q, k, v), F.normalize(v, dim=2), atol=1e-6)


def test_one_source_is_attended_with_weight_one_whatever_its_text() -> None:
    generator = FeatureGenerator(4, 2, dropout=0.0)
    q, k, v = (torch.randn(3, 1, 4, generator=torch.Generator().manual_seed(i)) for i in range(3))
    assert torch.allclose(generator(q, k, v), generator(q, -7 * k, v), atol=1e-6)
    assert not torch.allclose(generator(q, k, v), generator(q, k, -v), atol=1e-3)


def test_without_deviation_the_source_features_are_class_means() -> None:
    stats = ClassStats(torch.randn(4, 3), torch.zeros(4, 3))
    which = torch.tensor([[1, 2], [3, 0]])
    assert torch.equal(stats.values(which, torch.Generator()), stats.mean[which])


def test_noise_is_one_sided_unless_asked_for_and_one_draw_for_all() -> None:
    stats = ClassStats(torch.zeros(3, 200), torch.ones(3, 200))
    one = stats.values(torch.arange(3)[:, None], torch.Generator().manual_seed(0))
    assert float(one.min()) >= 0
    assert torch.equal(one[0], one[2])
    both = stats.values(torch.arange(3)[:, None], torch.Generator().manual_seed(0), "symmetric")
    assert float(both.min()) < 0 < float(both.max())


def test_statistics_are_of_unit_features_and_their_mean_is_no_unit_vector() -> None:
    z = torch.tensor([[3.0, 0.0], [0.0, 5.0], [1.0, 0.0]])
    stats = ClassStats.fit(z, torch.tensor([0, 0, 1]), 2)
    assert torch.allclose(stats.mean, torch.tensor([[0.5, 0.5], [1.0, 0.0]]))
    assert torch.allclose(stats.deviation, torch.tensor([[0.5, 0.5], [0.0, 0.0]]))


def test_neighbours_never_hold_the_class_itself_and_need_not_be_mutual() -> None:
    means = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.6, 0.6]])
    found = class_knn(means, 2)
    assert all(i not in row for i, row in enumerate(found.tolist()))
    nearest = class_knn(means, 1).flatten().tolist()
    assert nearest == [1, 0, 3, 1]  # 3 is nearest to 2, and 1 to 3: similarity is mutual, being nearest is not


# -- the losses ----------------------------------------------------------------------------------------------


def test_a_perfect_generator_rebuilds_at_no_loss_and_is_classified_as_the_picture() -> None:
    objective, learner, _, z, y = parts()
    v = objective.values(y, torch.Generator())
    w = learner.text_features(objective.base)
    real = learner.logits(z, w)
    said = Outputs(w, real, learner.logits(z, w), real.repeat_interleave(3, 0), None, z, v, None)
    assert float(objective.reconstruction(said, z, v)) == 0
    assert torch.equal(F.cross_entropy(said.as_unknown, y), F.cross_entropy(said.real, y))


def test_equal_losses_sum_to_three_quarters() -> None:
    objective, learner, _, z, y = parts()
    c = math.log(7)
    flat = torch.zeros(len(z), 7)
    many = torch.zeros(3 * len(z), 7)
    said = Outputs(torch.zeros(5, 4), flat, flat, many, many, z, z[:, None], torch.zeros(len(z), 3, dtype=torch.int64))
    object.__setattr__(learner, "loss", lambda *_: torch.tensor(c))
    assert float(objective.classification(learner, said, z, y)) == pytest.approx(0.75 * c, rel=1e-6)


def test_reconstruction_is_a_sum_over_coordinates_and_a_mean_over_samples() -> None:
    objective, _, _, z, _y = parts()
    v = torch.zeros(len(z), 3, 4)
    blank = torch.zeros(1)
    said = Outputs(blank, blank, blank, blank, None, z + 1, v + 2, None)
    assert float(objective.reconstruction(said, z, v)) == pytest.approx(4 * 1 + 4 * 4)


def test_new_features_are_classified_among_new_names_alone() -> None:
    objective, learner, generator, z, y = parts()
    said = objective.outputs(learner, generator, z, y, objective.values(y, torch.Generator()))
    assert said.new is not None
    assert said.new.shape == (3 * len(z), len(NAMES) - SEEN)
    assert said.known.shape == (3 * len(z), SEEN)


def test_other_unknown_names_change_the_third_loss_alone() -> None:
    objective, learner, generator, z, y = parts()
    v = objective.values(y, torch.Generator())
    named = learner.named((*NAMES[:SEEN], "fish", "tree", "lamp", "river"))
    stats = ClassStats(objective.mean, objective.deviation)
    other = Objective(named, SEEN, stats, objective.neighbours, objective.weights, objective.noise)
    one, two = (o.outputs(learner, generator, z, y, v) for o in (objective, other))
    for key in ("real", "as_unknown", "known", "made", "nearest"):
        assert torch.allclose(getattr(one, key), getattr(two, key), atol=1e-5)
    assert one.new is not None
    assert two.new is not None
    assert one.new.shape != two.new.shape


def test_the_wrapped_learner_at_a_quarter_of_the_rate() -> None:
    """With l_1 to l_3 at 0 and nothing distilled, the context goes CoOp's way at lr / 4."""
    objective, learner, generator, z, y = parts(as_unknown=0.0, known=0.0, new=0.0, distillation=0.0)
    total, _ = step(objective, learner, generator, z, y)
    total.backward()
    plain = ContextLearner(towers())
    base = plain.named(NAMES[:SEEN])
    F.cross_entropy(plain.logits(z, plain.text_features(base)), y).backward()
    assert learner.context.grad is not None
    assert plain.context.grad is not None
    assert torch.allclose(learner.context.grad, plain.context.grad / 4, atol=1e-6)


# -- the teacher ---------------------------------------------------------------------------------------------


def test_the_window_grows_as_a_cosine() -> None:
    assert [window(t, 10) for t in range(11)] == [1, 1, 1, 2, 3, 5, 6, 7, 8, 8, 9]
    assert {window(t, 10, 4, 4) for t in range(11)} == {4}


def test_means_over_windows() -> None:
    states = [torch.tensor([float(i)]) for i in range(4)]
    assert float(mean_state(states, 0.0)) == 3.0  # the latest
    assert float(mean_state(states[-1:], 0.9)) == 3.0  # window 0
    assert float(mean_state(states[-2:], 0.9)) == pytest.approx(0.9 * 2 + 0.1 * 3)  # window 1: the two latest
    whole = 0.0
    for i in range(1, 4):
        whole = 0.9 * whole + 0.1 * i
    assert float(mean_state(states, 0.9)) == pytest.approx(whole)  # ordinary mean teacher


@settings(deadline=None, max_examples=10)
@given(st.integers(1, 12), st.floats(0, 1), st.integers(1, 9))
def test_the_teacher_is_the_mean_of_the_states_in_its_window(epochs: int, alpha: float, most: int) -> None:
    net = torch.nn.Linear(2, 1)
    teacher, states = LocalMeanTeacher([net], epochs, 1, most, alpha), []
    for t in range(1, epochs + 1):
        with torch.no_grad():
            net.weight.fill_(float(t))
        teacher.push([net], t)
        states.append(net.weight.detach().clone())
        several = min(window(t, epochs, 1, most) + 1, t)
        found = teacher.networks[0].weight
        assert torch.allclose(found, mean_state(states[-several:], alpha), atol=1e-4)


def test_a_mean_over_all_epochs_keeps_one_state() -> None:
    """Not a copy of each epoch, in memory and in every checkpoint."""
    net = torch.nn.Linear(2, 1)
    teacher, states = LocalMeanTeacher([net], 50, 50, 50, 0.9), []
    assert teacher.states.shape == (1, 3)
    for t in range(1, 51):
        with torch.no_grad():
            net.weight.fill_(math.sin(t))
        teacher.push([net], t)
        states.append(net.weight.detach().clone())
        assert torch.allclose(teacher.networks[0].weight, mean_state(states, 0.9), atol=1e-6)
    assert len(LocalMeanTeacher([net], 5, 1, 9).states) == 6


def test_equal_states_teach_nothing() -> None:
    objective, learner, generator, z, y = parts()
    teacher = LocalMeanTeacher((learner, generator), 10)
    assert not teacher.ready
    for t in range(3):
        teacher.push((learner, generator), t)
    _, told = step(objective, learner, generator, z, y, teacher=teacher)
    assert float(told["distillation"].detach()) == pytest.approx(0, abs=1e-6)
    with torch.no_grad():
        learner.context += torch.randn(learner.context.shape, generator=torch.Generator().manual_seed(4))
    _, told = step(objective, learner, generator, z, y, teacher=teacher)
    assert float(told["distillation"].detach()) > 1e-4
    assert not any(p.requires_grad for p in teacher.parameters())


@pytest.mark.parametrize("teacher", ["adaptive", "local", "mean", "none"])
def test_every_teacher_trains(teacher: Any) -> None:
    source, classes = pictures()
    method = OGEN(epochs=6, learning_rate=0.1, teacher=teacher).fit(source=source, classes=classes, encoder=towers())
    assert bool(method.history_["distillation"].any()) == (teacher != "none")


# -- inference -----------------------------------------------------------------------------------------------


def test_predictions_need_no_generator() -> None:
    source, classes = pictures()
    method = OGEN(epochs=3, generalized=True).fit(source=source, classes=classes, encoder=towers())
    assert set(method.learnt_) == {"context"}
    assert not any("attention" in name for name, _ in method.network_.named_modules())
    learner = ContextLearner(towers())
    learner.load_state_dict(method.learnt_)
    z = torch.as_tensor(source.x)
    expected = learner.logits(z, learner.text_features(learner.named(classes.names)))
    assert torch.allclose(method.decision_function(source), expected, atol=1e-4)


@pytest.mark.parametrize("kind", sorted(LEARNERS))
def test_every_learner_is_wrapped_and_predicts_new_names(kind: Any) -> None:
    source, classes = layered(60) if kind == "ad-clip" else pictures()
    made = small_towers if kind == "ad-clip" else towers
    for cls in (CoOp, OGEN):
        method = cls(epochs=3, learner=kind, learning_rate=0.05, generalized=True)
        method.fit(source=source, classes=classes, encoder=made())
        assert method.predict_proba(source).shape == (len(source), len(NAMES))
        before = method.decision_function(source)
        other = method.with_classes(ClassSpace(names=("dog", "fish")), made())
        assert other.decision_function(source).shape == (len(source), 2)
        assert torch.allclose(other.decision_function(source)[:, 0], before[:, 1], atol=1e-4)
        assert torch.equal(method.decision_function(source), before)
        with torch.no_grad():
            assert torch.allclose(method.network()(torch.as_tensor(source.x)), before, atol=1e-4)


# -- where networks are --------------------------------------------------------------------------------------


class MeanText(PromptableText):
    """Word vectors, averaged and projected: a text tower that computes on any device, one without values as well."""

    context = 77

    def __init__(self, table: torch.Tensor) -> None:
        super().__init__()
        self.words = torch.nn.Parameter(table.detach().clone())
        self.projection = torch.nn.Linear(table.shape[1], 4)

    @property
    def table(self) -> torch.Tensor:
        return self.words

    def forward(self, vectors: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        return F.normalize(self.projection(vectors).sum(dim=1) / lengths[:, None], dim=1)


@pytest.fixture
def movable(monkeypatch: pytest.MonkeyPatch) -> PromptableTowers:
    """Towers that may go to the device without values; the scale, a number, is not read there."""
    monkeypatch.setattr(ContextLearner, "scale", 20.0)
    small = small_towers()
    return PromptableTowers(row_reader((), 4), MeanText(small.text.table), 20.0, small.tokenize)


@pytest.mark.parametrize("kind", sorted(set(LEARNERS) - {"ad-clip"}))
def test_towers_and_names_go_where_the_learner_goes(kind: Any, movable: PromptableTowers) -> None:
    """The towers are no module of the learner, so that a training loop that moves it does not move them."""
    there = torch.device("meta")
    objective, learner, generator, z, y = parts(learner=make_learner(kind, movable))
    for net in (learner, generator, objective):
        net.to(there)
    z, y = z.to(there), y.to(there)
    assert objective.classes.written.device == there
    named = objective.base
    w = learner.text_features(named, z)
    assert w.device == there
    assert learner.image_features(z).device == there
    assert learner.loss(z, y, w, named).device == there


def test_what_ad_clips_prompts_read_goes_where_the_learner_goes(movable: PromptableTowers) -> None:
    layers = PromptableTowers(row_reader((2, 4), 4), movable.text, 20.0, movable.tokenize)
    learner = make_learner("ad-clip", layers)
    named = learner.named(NAMES)
    rows = torch.as_tensor(layered()[0].x).to("meta")
    assert learner.to("meta").text_features(named, rows).device == torch.device("meta")


def test_classes_named_before_a_move_are_read_after_it(movable: PromptableTowers) -> None:
    learner = ContextLearner(movable)
    named = learner.named(NAMES)
    learner.to("meta")
    assert learner.text_features(named).device == torch.device("meta")


def test_towers_come_home_after_a_fit() -> None:
    """They are the caller's: found on a device, they are on it again."""
    held = towers()
    learner = ContextLearner(held)
    learner.frozen.home = torch.device("meta")
    predicting(learner, learner.named(NAMES))
    assert held.logit_scale.device == torch.device("meta")


# -- what is made of unknown names ---------------------------------------------------------------------------


def test_what_was_made_and_of_what_is_kept(caplog: Any) -> None:
    source, classes = pictures(seen=3)
    method = OGEN(epochs=3).fit(source=source, classes=classes, encoder=towers())
    assert method.made_.shape == method.misnamed_.shape == (len(NAMES) - 3, 4)
    assert method.made_from_.shape == (len(NAMES) - 3, 2)  # K was lowered
    assert int(method.made_from_.max()) < 3
    assert not torch.allclose(method.made_, method.misnamed_, atol=1e-3)


# -- the learners --------------------------------------------------------------------------------------------


def test_a_context_of_the_words_says_what_the_words_say() -> None:
    learner = ContextLearner(towers(), n_context=3, words="abc")
    named = learner.named(("dog", "red_cat"), ("{}.",))
    said = learner.towers.encode_texts(["abcdog.", "abcred cat."])
    assert torch.allclose(learner.text_features(named), said, atol=1e-5)


def test_kgcoop_costs_nothing_at_hand_written_prompts() -> None:
    learner: Any = make_learner("kgcoop", towers())
    named = learner.named(("dog", "cat"))
    z = torch.randn(3, 4)
    assert float(learner.penalty(z, named.written, named)) == pytest.approx(0, abs=1e-5)
    assert float(learner.penalty(z, -named.written, named)) == pytest.approx(16, abs=1e-4)


def test_promptsrc_costs_nothing_at_hand_written_prompts_and_means_contexts_around_its_peak() -> None:
    learner: Any = make_learner("promptsrc", towers())
    assert isinstance(learner, RegulatedLearner)
    named = learner.named(("dog", "cat"))
    z = F.normalize(torch.randn(3, 4), dim=1)
    assert float(learner.penalty(z, named.written, named)) == pytest.approx(0, abs=1e-5)
    assert float(learner.penalty(z, named.written.roll(1, 0), named)) > 0.1
    for share in (0.25, 0.75, 1.0):
        with torch.no_grad():
            learner.context.fill_(share)
        learner.remember(share)
    learner.settle()
    assert torch.allclose(learner.context, torch.full_like(learner.context, 0.75), atol=1e-4)


def test_cocoop_reads_each_picture() -> None:
    learner: Any = make_learner("cocoop", towers())
    named = learner.named(("dog", "cat", "van"))
    z = F.normalize(torch.randn(2, 4, generator=torch.Generator().manual_seed(0)), dim=1)
    w = learner.text_features(named, z)
    assert w.shape == (2, 3, 4)
    assert not torch.allclose(w[0], w[1], atol=1e-6)
    assert torch.allclose(learner.text_features(named, z[1:])[0], w[1], atol=1e-5)
    with pytest.raises(ValueError, match="rows"):
        learner.text_features(named)


def layered(n: int = 40) -> tuple[Domain, ClassSpace]:
    """Rows as the image tower of `small_towers` gives them: moments of two layers, and a unit embedding of 4."""
    source, classes = pictures(n)
    moments = np.random.default_rng(3).gamma(2.0, size=(n, 12)).astype(np.float32)
    return source.replace(x=np.hstack([moments, source.x])), classes


def test_ad_clips_prompts_are_those_of_the_system_without_a_sources_style() -> None:
    source, classes = layered()
    learner: Any = make_learner("ad-clip", small_towers(), 4)
    rows = torch.as_tensor(source.x)
    learner.standardize(rows)
    system = ADCLIP(source_style=False, content_tokens=4)._network(small_towers(), classes, "features")
    system.domain_projector.load_state_dict(learner.meta.style.state_dict())
    system.content_projector.load_state_dict(learner.meta.content.state_dict())
    system.standardize(rows)
    with torch.no_grad():
        w = learner.text_features(learner.named(classes.names), rows[:3])
        assert torch.allclose(w, system.features(system.context_of(system.read(rows[:3]))), atol=1e-5)
    assert not torch.allclose(w[0], w[1], atol=1e-6)


def test_only_projectors_learn_in_ad_clips_prompts() -> None:
    source, classes = layered()
    method = OGEN(learner="ad-clip", epochs=4, shots=4, learning_rate=0.1)
    method.fit(source=source, classes=classes, encoder=small_towers())
    begun = make_learner("ad-clip", small_towers(), 4)
    assert torch.equal(method.learnt_["context"], begun.context)
    assert float(method.learnt_["meta.style.layers.0.1.bias"].abs().max()) > 0
    x = torch.as_tensor(source.x)
    again = method.with_classes(classes, small_towers())
    assert torch.allclose(again.decision_function(x), method.decision_function(x), atol=1e-5)


def test_ad_clips_prompts_need_layers_to_read() -> None:
    source, classes = pictures()
    with pytest.raises(ValueError, match=r"learner 'ad-clip' reads the layers.*promptable"):
        CoOp(learner="ad-clip").fit(source=source, classes=classes, encoder=towers())


def test_frozen_towers_are_neither_trained_nor_saved_nor_copied() -> None:
    learner = ContextLearner(towers())
    assert [name for name, _ in learner.named_parameters()] == ["context"]
    assert copy.deepcopy(learner).towers is learner.towers
    source, classes = pictures()
    encoder = towers()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    OGEN(epochs=3).fit(source=source, classes=classes, encoder=encoder)
    assert all(torch.equal(before[name], value) for name, value in encoder.state_dict().items())


def test_nothing_learnt_is_zero_shot() -> None:
    source, classes = pictures()
    method = CoOp(epochs=0, n_context=12, words="a photo of a", generalized=True)
    method.fit(source=source, classes=classes, encoder=towers())
    small = towers()
    w = small.encode_texts([f"a photo of a{name}." for name in classes.names])  # letters: there is no space between
    assert torch.allclose(method.decision_function(source), 20 * torch.as_tensor(source.x) @ w.T, atol=1e-3)


# -- figures -------------------------------------------------------------------------------------------------


def test_harmonic_mean_of_eighty_and_sixty() -> None:
    assert harmonic_mean(80, 60) == pytest.approx(68.571, abs=1e-3)


def test_base_and_new_are_told_among_themselves() -> None:
    truth = np.array([0, 1, 2, 3])
    scores = np.array([[5.0, 1, 9, 0], [4, 3, 0, 0], [9, 9, 2, 1], [9, 9, 1, 2]])
    found = base_to_new_scores(truth, scores, np.array([0, 1]))
    assert found == {"base": 0.5, "new": 1.0, "h": pytest.approx(2 / 3)}
    silent = np.where(np.arange(4) < 2, -1e4, scores)  # it has one score for both base classes: a guess
    assert base_to_new_scores(truth[::-1].copy(), silent[::-1], np.array([0, 1]))["base"] == 0.5
    three = np.array([[-np.inf, -np.inf, -np.inf, 1.0]] * 4)
    assert base_to_new_scores(np.array([0, 0, 1, 3]), three, np.arange(3))["base"] == pytest.approx(1 / 3)
    with pytest.raises(ValueError, match="truth"):
        base_to_new_scores(np.array([0, 1]), scores[:2], np.array([0, 1]))
    with pytest.raises(ValueError, match="shape"):
        base_to_new_scores(truth, scores[:2], np.array([0, 1]))


# -- bad input -----------------------------------------------------------------------------------------------


def test_fewer_base_classes_lower_the_number_of_neighbours(caplog: Any) -> None:
    source, classes = pictures(seen=3)
    with caplog.at_level(logging.WARNING):
        OGEN(epochs=2).fit(source=source, classes=classes, encoder=towers())
    assert "3 base classes have 2 others" in caplog.text


def test_names_of_base_classes_are_no_unknown_ones(caplog: Any) -> None:
    source, classes = pictures()
    words = Domain(x=np.array(["Red_Cat", "fish", "Fish", "tree", " "]), kind="text")
    with caplog.at_level(logging.WARNING):
        method = OGEN(epochs=2).fit(source=source, classes=classes, encoder=towers(), corpus=words)
    assert method.unknown_ == ("fish", "tree")
    assert "3 of 5" in caplog.text
    assert OGEN(epochs=2).fit(source=source, classes=classes, encoder=towers()).unknown_ == NAMES[SEEN:]
    simulated = OGEN(epochs=2, unknown="simulated").fit(source=source, classes=classes, encoder=towers())
    assert simulated.unknown_ == ()


def test_bad_input_is_named() -> None:
    source, classes = pictures()
    with pytest.raises(TypeError, match="encoder"):
        CoOp().fit(source=source, classes=classes, encoder=torch.nn.Linear(4, 4))
    with pytest.raises(ValueError, match="source"):
        OGEN().fit(source=source.replace(x=np.zeros((60, 7), dtype=np.float32)), classes=classes, encoder=towers())
    with pytest.raises(ValueError, match="window_least"):
        OGEN(window_least=5, window_most=2).fit(source=source, classes=classes, encoder=towers())
    long = ClassSpace(names=(*NAMES[:-1], "very " * 9 + "long"), seen=np.arange(SEEN))
    with pytest.raises(ValueError, match="too long"):
        OGEN().fit(source=source.replace(classes=long.take(range(SEEN))), classes=long, encoder=towers())

"""Distilling from similar tasks: the analytic checks of its specification, and what it promises to users."""

import copy
import functools
import logging

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from unseen.data.domain import Domain
from unseen.methods.adaptation import distill_similar
from unseen.methods.adaptation.distill_similar import DistillSimilar, evenly, source_heads
from unseen.nn.bn_statistics import batch_norms
from unseen.nn.build import n_parameters
from unseen.nn.classifier import Classifier, feature_classifier, mlp_classifier, train_source
from unseen.nn.convnet import small_convnet
from unseen.nn.distillation import multi_source_loss
from unseen.nn.state import digest
from unseen.nn.transferability import similarity
from unseen.nn.zoo import rank_teachers, zoo_outputs
from unseen.runtime import reproducible

SHORT = dict(steps=12, batch_size=8, ratio=2, width=8)
CENTRES = [np.random.default_rng(7).normal(size=(c, d)) for c, d in ((3, 3), (4, 7))]


def domain(n=60, task="same", seed=0, noise=0.7):
    """Samples with a class of three in three features, and one of four in the seven others."""
    rng = np.random.default_rng(seed)
    classes = np.arange(n) % 3, rng.integers(0, 4, n)
    x = np.hstack([2 * centres[y] for centres, y in zip(CENTRES, classes)]) + noise * rng.normal(size=(n, 10))
    y = {"same": classes[0], "other": classes[1], "random": rng.integers(0, 4, n)}[task]
    return Domain(x=x.astype(np.float32), y=y)


def network(source, n_classes=3, width=8, seed=0):
    with reproducible(seed):
        net = train_source(mlp_classifier(10, n_classes, width), source, epochs=60, learning_rate=0.1, batch_size=32)
    return net


@functools.cache
def trained():
    sizes = {"same": 3, "other": 4, "random": 4}
    return {task: network(domain(200, task, seed=1), c) for task, c in sizes.items()}


def zoo():
    """The task itself, one of other classes, and one of random labels."""
    return copy.deepcopy(trained())


def few(n=12):
    return domain(n, seed=11)


def unlabeled(n=90):
    return domain(n, seed=12)


def fit(teachers=None, support=None, target=None, model=None, **settings):
    inputs = dict(support=support or few(), target=target or unlabeled(), teachers=teachers or zoo())
    return DistillSimilar(**(SHORT | settings)).fit(**inputs, model=model)


def learnt(method):
    return digest(method.network_.state_dict())


# -- which sources --------------------------------------------------------------------------------------------


def test_the_network_of_the_same_task_is_the_most_similar():
    table = rank_teachers(zoo(), few(), ("parc", "leep", "h-score", "knn", "cka"), n_dims=4)
    assert table.name[0] == "same"
    assert list(table.columns) == [
        "name", "parc", "leep", "h-score", "knn", "cka", "features", "classes", "parameters", "licence",
    ]  # fmt: skip
    assert table.classes.tolist().count(4) == 2
    assert set(table.features) == {8}
    for metric in ("parc", "leep", "cka"):
        assert table.name[table[metric].argmax()] == "same"


def test_similarities_are_those_of_the_labelled_samples():
    teachers, support = zoo(), few()
    method = fit(teachers, support)
    for name, (z, _) in zoo_outputs(teachers, support).items():
        assert method.similarities_[name] == pytest.approx(similarity(z.numpy(), support.labels))


def test_similarities_are_of_the_principal_components_that_are_wanted():
    teachers, support = zoo(), few()
    method = fit(teachers, support, n_dims=2)
    for name, (z, _) in zoo_outputs(teachers, support).items():
        assert method.similarities_[name] == pytest.approx(similarity(z.numpy(), support.labels, n_dims=2))
        assert method.similarities_[name] != pytest.approx(similarity(z.numpy(), support.labels), abs=1e-3)


@pytest.mark.parametrize("metric", ["parc", "leep", "nce", "h-score", "logme", "knn", "cka"])
def test_every_metric_gives_weights(metric):
    weights = fit(metric=metric, n_dims=4).weights_
    assert sum(weights.values()) == pytest.approx(1)
    assert max(weights, key=weights.get) == "same"


def test_power_0_weighs_all_alike_and_nearest_takes_one():
    assert list(fit(power=0.0).weights_.values()) == pytest.approx([1 / 3] * 3)
    assert fit(sources="nearest").weights_ == {"same": 1.0, "other": 0.0, "random": 0.0}


def test_sources_below_the_cut_off_are_dropped_and_the_rest_sums_to_1():
    free, cut = (fit(metric="cka", power=2.0, cut_off=c).weights_ for c in (0.0, 0.2))
    assert 0 < min(free.values()) < 0.2
    assert all(value == 0 or value >= 0.2 for value in cut.values())
    assert sum(cut.values()) == pytest.approx(1)
    assert sum(fit(power=0.0, cut_off=0.9).weights_.values()) == pytest.approx(1)  # all alike, none is left out


def test_one_weight_is_the_nearest_bit_for_bit():
    nearest, weighted = fit(sources="nearest"), fit(power=400.0)
    assert weighted.weights_ == nearest.weights_
    assert learnt(weighted) == learnt(nearest)
    alone = fit({"same": zoo()["same"]})
    assert learnt(alone) == learnt(nearest)


def test_samples_for_the_similarity_are_of_all_classes_alike():
    labels = np.repeat([0, 1, 2], [40, 5, 2])
    chosen = evenly(labels, 8, 0)
    assert np.bincount(labels[chosen]).tolist() == [3, 3, 2]
    assert evenly(labels, 100, 0).tolist() == list(range(47))


# -- the loss -------------------------------------------------------------------------------------------------


def test_lambda_1_is_supervised_training_whatever_sources_and_unlabeled_samples_are():
    first = fit(labels=1.0)
    assert set(first.weights_.values()) == {0.0}
    other = fit({"random": zoo()["random"]}, labels=1.0)
    assert learnt(first) == learnt(other)


def test_without_a_similar_source_it_learns_from_labels_alone_and_says_so(monkeypatch, caplog):
    supervised = fit(labels=1.0)
    scores = {"same": -3.0, "other": -1.0, "random": 0.0}
    monkeypatch.setattr(distill_similar, "similarities", lambda *_: scores)
    with caplog.at_level(logging.WARNING):
        method = fit()
    assert "no source is similar" in caplog.text
    assert set(method.weights_.values()) == {0.0}
    assert learnt(method) == learnt(supervised)


def test_the_distillation_gives_the_target_head_no_gradient_and_each_source_head_by_its_weight():
    support, teachers = few(), zoo()
    found = zoo_outputs(teachers, support)
    torch.manual_seed(0)
    learner = mlp_classifier(10, 3, 8)
    heads = source_heads(learner, [logits.shape[1] for _, logits in found.values()], support).train()
    z = learner.train().embed(torch.as_tensor(support.x))
    weights = [0.7, 0.3, 0.0]
    loss = multi_source_loss([logits for _, logits in found.values()], [head(z) for head in heads], weights)
    loss.backward()
    assert learner.head.weight.grad is None
    assert float(heads[2].weight.grad.abs().sum()) == 0
    for head, weight, (_, logits) in zip(heads, weights, found.values()):
        own = (torch.softmax(head(z), 1) - torch.softmax(logits, 1)).T @ z / len(z)
        torch.testing.assert_close(head.weight.grad, weight * own, atol=1e-6, rtol=1e-4)


def test_unlabeled_samples_never_enter_the_loss_on_labels(monkeypatch):
    seen = []
    plain = F.cross_entropy
    monkeypatch.setattr(distill_similar.F, "cross_entropy", lambda a, y, **k: seen.append(len(a)) or plain(a, y, **k))
    teachers = zoo()
    seen.clear()
    fit(teachers, steps=3, batch_size=4, ratio=5)
    assert seen == [4, 4, 4]


def test_the_loss_is_the_weighted_sum_of_both():
    history = fit(labels=0.6, temperature=2.0, scaled=True).history_
    both = 0.6 * history["label_loss"] + 0.4 * 4 * history["distillation_loss"]
    np.testing.assert_allclose(history["loss"], both, rtol=1e-5)


def recorded_losses(monkeypatch):
    """The arguments of every call of the distillation's loss."""
    calls = []

    def loss(teachers, heads, weights, temperature):
        calls.append(([t.clone() for t in teachers], temperature))
        return multi_source_loss(teachers, heads, weights, temperature)

    monkeypatch.setattr(distill_similar, "multi_source_loss", loss)
    return calls


def test_the_temperature_softens_teacher_and_student(monkeypatch):
    calls = recorded_losses(monkeypatch)
    plain, soft = fit(steps=1), fit(steps=1, temperature=3.0)
    assert [temperature for _, temperature in calls] == [1.0, 3.0]
    assert soft.history_["distillation_loss"][0] != pytest.approx(plain.history_["distillation_loss"][0], abs=1e-3)


def rates(monkeypatch, **settings):
    """The rate of every step of SGD."""
    found, step = [], torch.optim.SGD.step

    def noted(self, *args, **kwargs):
        found.append(self.param_groups[0]["lr"])
        return step(self, *args, **kwargs)

    teachers = zoo()
    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.SGD, "step", noted)
        fit(teachers, **settings)
    return found


def test_the_rate_falls_as_a_cosine_and_is_a_tenth_on_labels_alone(monkeypatch):
    found = rates(monkeypatch, steps=12, finetune_steps=4, learning_rate=0.2)
    cosine = [0.2 * (1 + np.cos(np.pi * k / 12)) / 2 for k in range(12)]
    last = [0.02 * (1 + np.cos(np.pi * k / 4)) / 2 for k in range(4)]
    np.testing.assert_allclose(found, cosine + last, rtol=1e-6)


def test_teachers_are_left_as_they_are_and_heads_of_sources_are_dropped():
    teachers = zoo()
    before = {name: digest(net.state_dict()) for name, net in teachers.items()}
    method = fit(teachers)
    assert before == {name: digest(net.state_dict()) for name, net in teachers.items()}
    assert method.decision_function(torch.as_tensor(few().x)).shape == (12, 3)
    assert n_parameters(method.network_) == n_parameters(mlp_classifier(10, 3, 8))


def test_steps_on_labels_alone_come_last_and_leave_the_statistics_of_both():
    plain, tuned = fit(), fit(finetune_steps=5)
    assert learnt(plain) != learnt(tuned)
    assert len(tuned.history_["finetune_loss"]) == 1
    assert {k: len(v) for k, v in tuned.history_.items() if k != "finetune_loss"} == {
        k: len(v) for k, v in plain.history_.items()
    }
    for name, layer in batch_norms(plain.network_).items():
        other = batch_norms(tuned.network_)[name]
        torch.testing.assert_close(other.running_mean, layer.running_mean, rtol=0, atol=0)
        torch.testing.assert_close(other.running_var, layer.running_var, rtol=0, atol=0)


# -- what it is for -------------------------------------------------------------------------------------------


def accuracy(method, seed=20):
    test = domain(300, seed=seed)
    return float((method.predict(test) == test.y).mean())


def test_the_right_source_helps_and_more_than_a_random_one():
    rough = dict(support=domain(6, seed=31), target=domain(300, seed=32))
    teachers = zoo()
    settings = dict(steps=150, batch_size=12, ratio=4, width=16)
    supervised = accuracy(fit(teachers, **rough, **settings, labels=1.0))
    same = accuracy(fit({"same": teachers["same"]}, **rough, **settings))
    random = accuracy(fit({"random": teachers["random"]}, **rough, **settings))
    assert same > supervised + 0.05
    assert same > random + 0.05


def test_a_given_body_gets_a_new_head_and_can_be_saved(tmp_path):
    body = network(domain(100, "other"), 4)
    method = fit(model=body)
    assert method.network_.head.weight.shape == (3, 8)
    method.save(tmp_path / "m")
    x = torch.as_tensor(few().x)
    back = DistillSimilar.load(tmp_path / "m")
    torch.testing.assert_close(back.decision_function(x), method.decision_function(x), rtol=0, atol=0)


def pictures(n=24, classes=2, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    x = rng.normal(size=(n, 3, 8, 8)) + 2 * (y[:, None, None, None] - 0.5)
    return Domain(x=x.astype(np.float32), y=y, kind="image")


def picture_teacher():
    torch.manual_seed(0)
    return Classifier(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten()), nn.Identity(), nn.Linear(144, 5)
    ).eval()


class Watched(Classifier):
    """A teacher that keeps what it is asked."""

    def forward(self, x):
        self.asked.append(x.clone())
        return super().forward(x)

    def __deepcopy__(self, memo):
        twin = Watched(*(copy.deepcopy(part, memo) for part in (self.backbone, self.bottleneck, self.head)))
        twin.asked = self.asked
        return twin


def taught(monkeypatch, views, online, steps=3):
    """What the student saw, what an online teacher was asked, and what the teacher said, for every step."""
    plain = picture_teacher()
    teacher = Watched(plain.backbone, plain.bottleneck, plain.head).eval()
    teacher.asked = []
    calls, seen = recorded_losses(monkeypatch), []
    make = distill_similar.student

    def made(*args):
        learner = make(*args)
        learner.backbone.register_forward_pre_hook(
            lambda module, x: seen.append(x[0].clone()) if module.training else None
        )
        return learner

    monkeypatch.setattr(distill_similar, "student", made)
    method = DistillSimilar(steps=steps, batch_size=6, ratio=2, width=16, views=views, online=online)
    before = len(teacher.asked)
    method.fit(support=pictures(), target=pictures(30, seed=1), teachers={"conv": teacher})
    assert method.decision_function(torch.as_tensor(pictures().x)).shape == (24, 2)
    return seen, teacher.asked[before:], [said[0] for said, _ in calls], teacher


def known(x):
    """Whether each picture is one of the data or the mirror image of one."""
    rows = np.concatenate([pictures().x, pictures(30, seed=1).x])
    own = {row.tobytes() for row in rows} | {np.ascontiguousarray(row[..., ::-1]).tobytes() for row in rows}
    return np.array([row.tobytes() in own for row in x.numpy()])


@pytest.mark.parametrize("views", ["crop", "crop+flip"])
def test_online_teachers_see_the_views_that_the_student_sees(monkeypatch, views):
    seen, asked, said, teacher = taught(monkeypatch, views, online=True)
    assert [len(x) for x in seen] == [18] * 3
    assert all(not known(x).all() for x in seen)
    asked = [x for x in asked if len(x) == 18]
    for student_sees, teacher_sees, told in zip(seen, asked, said, strict=True):
        torch.testing.assert_close(teacher_sees, student_sees, rtol=0, atol=0)
        with torch.no_grad():
            torch.testing.assert_close(told, Classifier.forward(teacher, student_sees), atol=1e-5, rtol=1e-5)


def test_kept_outputs_are_of_the_samples_as_they_are_and_views_differ(monkeypatch):
    found = {}
    for views in ("same", "crop", "crop+flip"):
        with monkeypatch.context() as patch:
            found[views] = taught(patch, views, online=False)
    (same, _, said, teacher), (crop, _, _, _), (flip, _, _, _) = found.values()
    with torch.no_grad():
        for x, told in zip(same, said):
            torch.testing.assert_close(told, Classifier.forward(teacher, x), atol=1e-5, rtol=1e-5)
    assert all(known(x).all() for x in same)
    assert not torch.equal(crop[0], same[0])
    assert not torch.equal(flip[0], crop[0])


def test_a_source_that_cannot_read_the_samples_is_named():
    wrong = {"fine": zoo()["same"], "wide": feature_classifier(13, 3, 8)}
    with pytest.raises(ValueError, match="teachers: 'wide'"):
        fit(wrong)
    with pytest.raises(ValueError, match="teachers: 'small'"):
        DistillSimilar(**SHORT).fit(
            support=pictures(), target=pictures(), teachers={"small": small_convnet(2, channels=1)}
        )
    with pytest.raises(ValueError, match="teachers: 'mean' does not fit"):
        fit({"mean": nn.Sequential(nn.Linear(10, 3), nn.ReLU())})
    with pytest.raises(ValueError, match="teachers must hold at least one network"):
        DistillSimilar(**SHORT).fit(support=few(), target=unlabeled(), teachers={})

"""CDFSL-V: each check of its specification, on clips of a moment."""

import copy
import logging
import types

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from unseen.data.classes import ClassSpace
from unseen.data.clip_augment import jitter, resized_crop, turned
from unseen.data.domain import Domain, Lazy
from unseen.data.segments import in_a_row, window_index
from unseen.evaluation.episodes import Episodes
from unseen.methods.video.cdfsl_v import CDFSLV
from unseen.methods.video.cdfsl_v import method as module
from unseen.methods.video.cdfsl_v.curriculum import (
    Student,
    both_windows,
    consistency,
    entropy_share,
    head_decay,
    head_share,
    lam,
    nearest_mean,
    rates,
    regression,
    soft_labels,
    together,
    view,
)
from unseen.nn.averaging import follow
from unseen.nn.video_mae import video_encoder

QUICK = {
    "frames": 4, "patch": 4, "width": 16, "layers": 1, "heads": 2, "mlp": 16, "decoder_width": 8,
    "decoder_layers": 1, "decoder_heads": 2, "pretrain_epochs": 1, "epochs": 2, "batch_size": 6,
    "pretrain_batch_size": 12,
}  # fmt: skip
NAMES = ("left", "right", "up", "spin", "shake", "jump")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def clips(n, labels, t=4, seed=0):
    y = np.array(labels)[np.arange(n) % len(labels)]
    x = torch.randn(n, t, 3, 8, 8, generator=generator(seed)).numpy() + y[:, None, None, None, None].astype(np.float32)
    return Domain(x=x, y=y, kind="clip", classes=ClassSpace(names=NAMES), name="clips")


def inputs(**changes):
    given = {"source": clips(18, (0, 1, 2)), "target": clips(12, (3, 4, 5), seed=1)}
    given["support"] = clips(9, (3, 4, 5), seed=2)
    return {**given, **changes}


def fitted(**changes):
    return CDFSLV(**{**QUICK, **changes}).fit(**inputs())


def weights(method):
    return torch.cat([value.flatten() for value in method.encoder_.state_dict().values()])


def same(one, other):
    return torch.equal(weights(one), weights(other))


# -- schedules and losses ----------------------------------------------------------------------------------


def test_the_schedules_have_the_values_of_the_specification():
    for progress, value in ((0, 0.00937167), (0.05, 0.005), (0.1, 0.00062833), (0.5, 0.00007072)):
        assert 0.01 * head_share(progress) == pytest.approx(value, abs=5e-9)
    assert lam(0, "arctan") == pytest.approx(0.03524164, abs=5e-9)
    assert lam(1, "arctan") == pytest.approx(0.09666166, abs=5e-9)
    assert (lam(0.3, "constant"), lam(0.3, "zero")) == (1, 0)


def test_the_consistency_has_the_value_of_the_specification():
    student, teacher = torch.tensor([[1.0, 2, 0], [0, 0, 1]]), torch.tensor([[0.3, 0.1, 0.2], [0, 0.2, 0.5]])
    q = soft_labels(teacher, 0.1)
    expected = torch.tensor([[0.665241, 0.090031, 0.244728], [0.006377, 0.047123, 0.946499]])
    assert torch.allclose(q, expected, atol=1e-6)
    assert consistency(student, q).item() == pytest.approx(1.083625, abs=1e-6)


def test_the_group_of_the_head_holds_the_classifier_alone_and_the_encoder_keeps_its_rate():
    student = Student(video_encoder(4, (8, 8), 2, 4, 16, 1, 2, 16), 3)
    optimizer = torch.optim.SGD(rates(student, 0.02, 0.01))
    encoder, head = ({id(p) for p in group["params"]} for group in optimizer.param_groups)
    assert head == {id(p) for p in student.classifier.parameters()}
    assert encoder == {id(p) for p in student.encoder.parameters()}
    schedule = head_decay(optimizer, 20, 2, True)
    seen = []
    for _ in range(40):
        seen.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        schedule.step()
    assert {row[0] for row in seen} == {0.02}
    assert [row[1] for row in seen] == pytest.approx([0.01 * head_share(step // 2 / 20) for step in range(40)])
    still = head_decay(torch.optim.SGD(rates(student, 0.02, 0.01)), 20, 2, False)
    assert still.get_last_lr() == [0.02, 0.01]


def test_no_gradient_flows_into_the_teacher():
    logits = torch.randn(2, 3, requires_grad=True)
    assert not soft_labels(logits, 0.1).requires_grad


# -- the teacher -------------------------------------------------------------------------------------------


def followed(monkeypatch, **changes):
    """Weights of teacher and student before the first and behind each move of the teacher."""
    states = []

    def vector(net):
        return torch.cat([p.detach().flatten() for p in net.parameters()]).clone()

    def noted(teacher, student, momentum):
        before = vector(teacher)
        follow(teacher, student, momentum)
        states.append((before, vector(student), vector(teacher), momentum))

    monkeypatch.setattr(module, "follow", noted)
    fitted(**{"pretrain_on": "none", **changes})
    return states


def test_a_teacher_follows_once_an_epoch_by_its_momentum(monkeypatch):
    states = followed(monkeypatch, epochs=3, momentum=0.99)
    assert len(states) == 3
    for before, student, after, momentum in states:
        assert momentum == 0.99
        assert torch.allclose(after, 0.99 * before + 0.01 * student, atol=1e-6)
        assert not torch.equal(before, after)


def test_a_teacher_may_follow_at_every_step(monkeypatch):
    assert len(followed(monkeypatch, epochs=2, ema_every="step")) == 2 * 3


def test_a_teacher_begins_as_the_student_and_stays_with_momentum_one(monkeypatch):
    states = followed(monkeypatch, momentum=1.0, learning_rate=1e-12, head_rate=1e-12)
    before, student, after, _ = states[0]
    assert torch.allclose(before, student, atol=1e-9)
    assert torch.equal(before, states[-1][2])
    assert torch.equal(before, after)


# -- labels and losses of a fit ----------------------------------------------------------------------------


def test_shuffled_target_labels_give_the_identical_encoder():
    target = inputs()["target"]
    other = target.replace(y=np.random.default_rng(0).permutation(target.y))
    bare = target.replace(y=None, classes=None)
    first = fitted()
    for changed in (other, bare):
        assert same(first, CDFSLV(**QUICK).fit(**inputs(target=changed)))


def test_with_lam_zero_the_target_enters_no_supervised_training():
    first = fitted(lam_schedule="zero", pretrain_on="source")
    again = CDFSLV(**QUICK, lam_schedule="zero", pretrain_on="source").fit(**inputs(target=clips(15, (3, 4), seed=8)))
    assert same(first, again)
    assert set(first.history_) == {"mae", "supervised"}
    assert not same(first, fitted(pretrain_on="source"))


def test_with_lam_zero_an_epoch_is_supervised_training_written_by_hand():
    start = video_encoder(4, (8, 8), 2, 4, 16, 1, 2, 16)
    settings = {**QUICK, "views": "none", "epochs": 1, "pretrain_on": "none", "lam_schedule": "zero"}
    method = CDFSLV(**settings, head_lr_schedule=False)
    seen = []
    original = method._objective

    def noting(student, teacher, said):
        seen.append(copy.deepcopy(student))
        objective = original(student, teacher, said)

        def noted(batch, run):
            seen.append((batch.source.x, batch.source.y))
            return objective(batch, run)

        return noted

    object.__setattr__(method, "_objective", noting)
    method.fit(**inputs(), model=start)
    student, batches = seen[0], seen[1:]
    sgd = torch.optim.SGD(student.parameters(), lr=0.01, momentum=0.9, nesterov=True)
    for x, y in batches:
        sgd.zero_grad()
        F.cross_entropy(student(x), y).backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), 5.0)
        sgd.step()
    expected = torch.cat([value.flatten() for value in student.encoder.state_dict().values()])
    assert torch.allclose(weights(method), expected, atol=1e-6)


def test_stages_can_be_left_out():
    start = video_encoder(4, (8, 8), 2, 4, 16, 1, 2, 16)
    method = CDFSLV(**{**QUICK, "epochs": 0, "pretrain_on": "none"}).fit(**inputs(), model=start)
    assert torch.equal(weights(method), torch.cat([value.flatten() for value in start.state_dict().values()]))
    assert method.history_ == {}
    assert set(fitted(epochs=0).history_) == {"mae"}


@pytest.mark.parametrize("which", ["source", "target"])
def test_pre_training_reads_the_clips_that_it_is_told_to(which):
    other = "target" if which == "source" else "source"
    changed = {other: clips(18, (0, 1, 2), seed=9)}
    settings = {**QUICK, "epochs": 0, "pretrain_on": which}
    assert same(CDFSLV(**settings).fit(**inputs()), CDFSLV(**settings).fit(**inputs(**changed)))
    settings["pretrain_on"] = "both"
    assert not same(CDFSLV(**settings).fit(**inputs()), CDFSLV(**settings).fit(**inputs(**changed)))


def test_the_decoder_and_the_classifier_are_dropped():
    names = {key.split(".")[0] for key in fitted().encoder_.state_dict()}
    assert names == {"patches", "blocks", "norm", "positions"}


def test_each_option_makes_another_encoder():
    first = fitted()
    for changes in (
        {"lam_schedule": "arctan"}, {"head_lr_schedule": False}, {"ema_every": "step", "momentum": 0.5}, {"tau": 1.0},
        {"views": "weak-weak"}, {"views": "none"}, {"mask_ratio": 0.5}, {"optimizer": "adamw"}, {"crop": 0.9},
    ):  # fmt: skip
        assert not same(first, fitted(**changes)), changes


# -- views and clips ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("strong", [False, True])
def test_a_view_changes_all_frames_of_a_clip_alike(strong):
    still = torch.randn(5, 1, 3, 8, 8, generator=generator()).expand(-1, 4, -1, -1, -1)
    seen = view(still, generator(1), strong=strong, mirrored=0.5, scale=(0.5, 1.0))
    assert torch.allclose(seen, seen[:, :1].expand_as(seen), atol=1e-5)
    assert not torch.allclose(seen, still, atol=1e-2)


def test_a_crop_shows_the_share_of_the_area_that_is_drawn():
    ramp = torch.stack(torch.meshgrid(torch.linspace(0, 1, 32), torch.linspace(0, 1, 32), indexing="ij"))
    x = torch.cat([ramp, ramp[:1]])[None, None].expand(200, 2, -1, -1, -1)
    cut = resized_crop(x, generator())
    tall, wide = (cut[:, 0, i].flatten(1).amax(1) - cut[:, 0, i].flatten(1).amin(1) for i in (0, 1))
    area, form = tall * wide, wide / tall
    assert 0.4 < area.min() < 0.55
    assert 0.9 < area.max() <= 1.0001
    assert 0.7 < form.min() < 0.85
    assert 1.2 < form.max() < 1.4


def test_colours_turn_about_grey_which_stays_and_a_third_of_the_circle_exchanges_them():
    x = torch.rand(2, 3, 3, 4, 4, generator=generator())
    assert torch.allclose(turned(x, torch.zeros(2)), x, atol=1e-6)
    assert torch.allclose(turned(x, torch.full((2,), 1 / 3)), x.roll(1, dims=2), atol=1e-5)
    grey = x.mean(dim=2, keepdim=True).expand_as(x)
    assert torch.allclose(turned(grey, torch.tensor([0.1, 0.4])), grey, atol=1e-5)


def test_without_a_turn_of_hues_colours_change_as_before():
    x = torch.rand(3, 2, 3, 4, 4, generator=generator())
    assert torch.equal(jitter(x, generator(5), hue=0.0), jitter(x, generator(5)))
    assert not torch.allclose(jitter(x, generator(5), hue=0.1), jitter(x, generator(5)))


def test_a_clip_is_frames_in_a_row_and_a_short_one_goes_on_with_its_last():
    assert window_index(10, 4).tolist() == [3, 4, 5, 6]
    assert window_index(3, 5).tolist() == [0, 1, 2, 2, 2]
    starts = {tuple(window_index(7, 4, generator(seed)).tolist()) for seed in range(40)}
    assert starts == {tuple(range(s, s + 4)) for s in range(4)}


def test_clips_of_unlike_lengths_learn_side_by_side():
    lengths = [2, 9, 4]
    shift = torch.randn(12, generator=generator())
    x = Lazy(range(12), lambda i: torch.full((lengths[i % 3], 3, 8, 8), i % 3 + float(shift[i])))
    source = Domain(x=x, y=np.arange(12) % 3, kind="clip", classes=ClassSpace(names=NAMES))
    assert [len(clip) for clip in in_a_row(source, 4).x] == [4] * 12
    assert CDFSLV(**QUICK).fit(**inputs(source=source)).predict(source.take([0, 1])).shape == (2,)


def test_an_epoch_is_a_pass_over_the_source_and_the_target_goes_round():
    source, target = clips(18, (0, 1, 2)), clips(7, (3, 4), seed=1)
    batches = list(both_windows(source, target, 6, 4)(types.SimpleNamespace(generator=generator())))
    assert len(batches) == 3
    assert sorted(torch.cat([batch.source.index for batch in batches]).tolist()) == list(range(18))
    assert [len(batch.target) for batch in batches] == [6, 6, 6]


def test_clips_of_both_domains_stand_together_without_labels():
    both = together(clips(3, (0, 1)), clips(2, (3, 4), seed=1))
    assert both.y is None
    assert len(both) == 5
    assert np.array_equal(both.x[3], clips(2, (3, 4), seed=1).x[0])


# -- what names classes ------------------------------------------------------------------------------------


def test_the_regression_is_that_of_scikit_learn_with_newton_cg():
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    y = np.repeat([1, 3, 4], 5)
    x = rng.normal(size=(15, 8)) + y[:, None] * rng.normal(size=8)
    new = rng.normal(size=(40, 8))
    theirs = LogisticRegression(solver="newton-cg", C=1.0, max_iter=1000).fit(np.float64(np.float32(x)), y)
    found = torch.softmax(regression(torch.tensor(x).float(), y, 6, 1.0)(torch.tensor(new).float()), dim=1)
    assert np.allclose(found[:, [1, 3, 4]].detach(), theirs.predict_proba(new), atol=1e-4)
    assert found[:, [0, 2, 5]].max() == 0


def test_the_nearest_mean_names_the_nearest_mean():
    rng = np.random.default_rng(0)
    y = np.repeat([1, 3, 4], 5)
    x, new = (torch.tensor(rng.normal(size=(n, 8))).float() for n in (15, 60))
    means = torch.stack([x[y == k].mean(dim=0) for k in (1, 3, 4)])
    expected = np.array([1, 3, 4])[torch.cdist(new, means).argmin(dim=1)]
    assert nearest_mean(x, y, 6)(new).argmax(dim=1).tolist() == expected.tolist()


def test_the_nearest_mean_names_no_class_without_a_clip_however_long_features_are():
    rng = np.random.default_rng(0)
    x, y = torch.tensor(1000 * rng.normal(size=(15, 8))).float(), np.repeat([1, 3, 4], 5)
    assert set(nearest_mean(x, y, 6)(-x).argmax(dim=1).tolist()) <= {1, 3, 4}
    assert torch.isfinite(torch.softmax(nearest_mean(x, y, 6)(-x), dim=1)).all()


def test_another_handful_names_other_classes_by_the_same_encoder():
    first = fitted()
    assert set(first.predict(clips(20, (3, 4, 5), seed=5)).tolist()) <= {3, 4, 5}
    other = first.adapt(support=clips(6, (0, 2), seed=6))
    assert same(first, other)
    assert set(other.predict(clips(20, (3, 4, 5), seed=5)).tolist()) <= {0, 2}
    near = CDFSLV(**QUICK, head="nearest-mean").fit(**inputs())
    assert same(first, near)
    assert not torch.equal(near.head_.head.weight, first.head_.head.weight)


def test_episodes_have_distinct_classes_and_queries_that_are_no_support():
    novel = clips(60, (3, 4, 5))
    protocol = Episodes(way=2, shots=(1, 5), queries=10, episodes=20)
    for episode in protocol.draw(novel.labels):
        assert len(set(episode.classes.tolist())) == 2
        assert not set(episode.support.ravel().tolist()) & set(episode.query.ravel().tolist())
    method = fitted()
    scores = Episodes(way=2, shots=(5,), queries=3, episodes=3)(lambda support: method.adapt(support=support), novel)
    assert scores[5].accuracies.shape == (3,)
    assert np.isfinite(scores[5].half_width)


def test_a_support_of_one_class_is_named():
    with pytest.raises(ValueError, match="support must hold at least two classes"):
        CDFSLV(**QUICK).fit(**inputs(support=clips(4, (3,))))
    with pytest.raises(ValueError, match="support must hold at least two classes"):
        fitted().adapt(support=clips(4, (3,)))


# -- collapse, bad input -----------------------------------------------------------------------------------


def test_a_teacher_that_calls_all_clips_alike_is_told(caplog):
    q = torch.eye(4)
    assert entropy_share([q[:2], q[2:]]) == pytest.approx(1.0)
    assert entropy_share([q[:1].expand(5, -1)]) == 0
    with caplog.at_level(logging.WARNING):
        module._tell_collapse(np.array([0.1, 0.3]), 4)
        assert not caplog.records
        module._tell_collapse(np.array([0.9, 0.19]), 4)
    assert "collapsed" in caplog.text
    assert "0.19 of the entropy of 4 classes" in caplog.text


def test_the_entropy_of_the_teacher_is_noted_each_epoch():
    found = fitted(epochs=3).history_["entropy"]
    assert found.shape == (3,)
    assert ((found >= 0) & (found <= 1)).all()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"frames": 3}, "frames must be a multiple of tubelet"),
        ({"patch": 3}, "multiples of patch"),
        ({"heads": 3}, "width must be a multiple of heads"),
        ({"decoder_heads": 3}, "decoder's width must be a multiple"),
    ],
)
def test_sizes_that_do_not_go_together_are_named(settings, told):
    with pytest.raises(ValueError, match=told):
        CDFSLV(**{**QUICK, **settings}).fit(**inputs())


def test_clips_of_another_size_are_named_by_their_word():
    x = np.zeros((5, 4, 3, 12, 12), dtype=np.float32)
    with pytest.raises(ValueError, match=r"target does not fit.*\(4, 3, 8, 8\)"):
        CDFSLV(**QUICK).fit(**inputs(target=Domain(x=x, kind="clip")))


def test_clips_that_are_no_numbers_are_refused_not_filled():
    source = inputs()["source"]
    x = source.x.copy()
    x[5, 1, 0, 2, 2] = np.nan
    with pytest.raises(ValueError, match="source must be finite; sample '000005'"):
        CDFSLV(**QUICK).fit(**inputs(source=source.replace(x=x)))


def test_another_model_is_named():
    with pytest.raises(TypeError, match="model must be a VideoEncoder"):
        CDFSLV(**QUICK).fit(**inputs(), model=torch.nn.Linear(2, 2))
    with pytest.raises(ValueError, match="made for 2 frames; frames is 4"):
        CDFSLV(**QUICK).fit(**inputs(), model=video_encoder(2, (8, 8), 2, 4, 16, 1, 2, 16))

"""RS-M-CLIP: the analytic checks of its sampler, its crops, its self-distillation and its ensemble of languages."""

from __future__ import annotations

import copy
import logging
import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from unseen.data.augment import MultiCrop, random_turn
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain, Lazy
from unseen.data.pairs import Pairs
from unseen.data.translations import LANGUAGE
from unseen.methods.base import NotFittedError
from unseen.methods.multimodal.rs_m_clip import RSMCLIP
from unseen.methods.multimodal.rs_m_clip.asking import ensembled, given_sentences, prototypes
from unseen.methods.multimodal.rs_m_clip.objective import Objective, SelfDistillation, Temperatures
from unseen.methods.multimodal.rs_m_clip.sampler import Drawn, LanguageSampler, pictures_of
from unseen.methods.multimodal.rs_m_clip.seen import Seen, taught
from unseen.nn.contrastive import LogitScale
from unseen.nn.convnet import small_convnet
from unseen.nn.dual_encoder import DualEncoder, dual_encoder, perceptron
from unseen.nn.multilingual_text import Grams, gram_text, grams, learnt_pieces, unit_bag
from unseen.nn.schedules import by_decay, warm_cosine
from unseen.nn.self_distillation import (
    Projector,
    certainty,
    distillation_loss,
    moved_centre,
    output_entropy,
    view_pairs,
    warmed,
)
from unseen.nn.towers import vision_tower
from unseen.nn.train import Run
from unseen.runtime import reproducible, runtime
from unseen.validation.recall import both_ways, by_language

WORDS = {
    "en": ("hat", "sea", "tree", "star"),
    "de": ("Hut", "Meer", "Baum", "Stern"),
    "ko": ("모자", "바다", "나무", "별"),
}
QUICK: dict[str, Any] = {
    "epochs": 3, "batch_size": 8, "n_local": 2, "local_size": 6, "hidden": 8, "bottleneck": 4, "out_dim": 16,
    "learning_rate": 1e-2, "validation": 0.0,
}  # fmt: skip


def corpus(n: int = 32, pictures: bool = False, languages: tuple[str, ...] = ("en", "de", "ko")) -> Pairs:
    """Things that look alike by what they are called, with a caption in each language."""
    rng = np.random.default_rng(0)
    shape = (3, 12, 12) if pictures else (10,)
    of = np.arange(n) % 4
    x = (2 * rng.normal(size=(4, *shape))[of] + 0.5 * rng.normal(size=(n, *shape))).astype(np.float32)
    each = len(languages)
    said = [f"{WORDS[code][of[i]]} {'abc'[i % 3]}" for i in range(n) for code in languages]
    left = Domain(x=np.repeat(x, each, axis=0), kind="image" if pictures else "features", name="pictures")
    columns = {LANGUAGE: np.array([code for _ in range(n) for code in languages])}
    return Pairs(left, Domain(x=np.array(said), kind="text", name="captions"), columns=columns)


def towers(pictures: bool = False, dim: int = 6) -> DualEncoder:
    """Small towers for any language."""
    with reproducible(1):
        image = small_convnet(dim, width=4) if pictures else perceptron((10, 8, dim))
        return dual_encoder(image, gram_text(64, 8, 8, dim), Grams(64).to_json(), 10.0)


# -- the loss of crops ---------------------------------------------------------------------------------------


TEACHER = torch.tensor([(1.0, 1, 0), (0, 2, 2)])
STUDENT = torch.tensor([(1.0, 2, 0), (0, 1, 3)])
CENTRE = torch.full((3,), 0.5)


def test_the_loss_of_two_views_by_hand() -> None:
    views = [
        torch.zeros(2, 3),
        STUDENT,
    ]  # the teacher's view is the first of the student, with which it is not compared
    loss = distillation_loss([TEACHER], views, CENTRE, 0.04, 0.1)
    assert float(loss) == pytest.approx(7.500023, abs=1e-5)
    naive = 0.0
    for t, s in zip(TEACHER.double(), STUDENT.double()):
        p = torch.exp((t - 0.5) / 0.04) / torch.exp((t - 0.5) / 0.04).sum()
        naive -= float((p * torch.log(torch.exp(s / 0.1) / torch.exp(s / 0.1).sum())).sum()) / 2
    assert float(loss) == pytest.approx(naive, abs=1e-5)
    torch.testing.assert_close(moved_centre(CENTRE, [TEACHER], 0.9), torch.tensor([0.5, 0.6, 0.55]))


def test_a_constant_centre_changes_no_target() -> None:
    views = [torch.zeros(2, 3), STUDENT]
    losses = [distillation_loss([TEACHER], views, torch.full((3,), c), 0.04, 0.1) for c in (0.0, 0.5, -3.0)]
    torch.testing.assert_close(losses[0], losses[1])
    torch.testing.assert_close(losses[0], losses[2], rtol=1e-4, atol=1e-4)


def test_no_view_is_compared_with_itself_and_their_number_is_right() -> None:
    for n_local in (0, 1, 4, 8):
        found = view_pairs(2, 2 + n_local)
        assert len(found) == 2 * (2 + n_local) - 2 == len(set(found))
        assert all(t != s for t, s in found)
    with pytest.raises(ValueError, match="a view beside that of the teacher"):
        view_pairs(1, 1)


def test_the_loss_of_equal_towers_on_one_view_is_the_entropy() -> None:
    logits = torch.randn(5, 7, generator=torch.Generator().manual_seed(0))
    loss = distillation_loss([logits, logits], [logits, logits], torch.zeros(7), 0.1, 0.1)
    entropy = torch.special.entr((logits / 0.1).softmax(dim=1)).sum(dim=1).mean()
    torch.testing.assert_close(loss, entropy)


def test_the_temperature_of_the_teacher_warms_in_a_line() -> None:
    assert [warmed(0.04, 0.07, p, 0.3) for p in (0.0, 0.15, 0.3, 1.0)] == pytest.approx([0.04, 0.055, 0.07, 0.07])
    assert warmed(0.04, 0.07, 0.0, 0.0) == 0.07


def test_the_projector_ends_in_cosines_with_directions_of_unit_length() -> None:
    head = Projector(6, 8, 4, 16)
    z = F.normalize(torch.randn(9, 6), dim=1)
    out = head(z)
    assert out.shape == (9, 16)
    assert float(out.detach().abs().max()) <= 1 + 1e-6
    with torch.no_grad():
        head.last *= 7
    torch.testing.assert_close(head(z), out)


def test_the_entropy_of_the_mean_output_tells_a_collapse() -> None:
    one = torch.zeros(64, 8)
    one[:, 3] = 1
    assert output_entropy(one, torch.zeros(8), 0.04) < 1e-3
    assert output_entropy(torch.eye(8).repeat(8, 1), torch.zeros(8), 0.04) == pytest.approx(1.0)
    assert output_entropy(torch.eye(8)[:4], torch.zeros(8), 0.01) == pytest.approx(2 / 3)  # ln 4 / ln 8
    assert output_entropy(torch.ones(64, 8), torch.zeros(8), 0.04) == pytest.approx(1.0)  # the other collapse, which
    assert certainty(torch.ones(64, 8), torch.zeros(8), 0.04) == pytest.approx(0.0, abs=1e-6)  # this one tells
    assert certainty(torch.eye(8), torch.zeros(8), 0.01) == pytest.approx(1.0)


class Told(logging.Handler):
    """What is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self.lines.append(record.getMessage())


def looked_at(collapse: str) -> tuple[dict[str, float], list[str]]:
    """The monitors of a teacher, and what it is warned of: as it is, with all outputs alike, or with one."""
    pairs, student = corpus(32, pictures=True), towers(True)
    with reproducible(0):
        distillation = SelfDistillation(student, Projector(6, 8, 4, 16), temperatures=Temperatures(0.1, 0.04, 0.04))
    assert distillation.teacher_projector is not None
    with torch.no_grad():
        last = distillation.teacher_projector.last
        if collapse == "uniform":
            last.copy_(last[:1].expand_as(last))
        elif collapse == "one":
            distillation.centre[3] = -10.0
    number, first = pictures_of(pairs, pairs.left.digests())
    seen = Seen(pairs.left.take(first), pairs.right.x, number, pairs.columns[LANGUAGE])
    heard, logger = Told(), logging.getLogger("unseen.methods.multimodal.rs_m_clip.seen")
    logger.addHandler(heard)
    try:
        return taught(distillation, seen, np.arange(32), MultiCrop(2, 3, local_size=6), 8), heard.lines
    finally:
        logger.removeHandler(heard)


def test_a_teacher_that_says_everything_of_each_picture_or_one_thing_of_all_is_told() -> None:
    figures, warnings = looked_at("uniform")
    assert figures["teacher_entropy"] == pytest.approx(1.0)  # which alone looks like the best of teachers
    assert figures["teacher_certainty"] == pytest.approx(0.0, abs=1e-5)
    assert len(warnings) == 1
    assert "nearly nothing of any picture" in warnings[0]
    figures, warnings = looked_at("one")
    assert figures["teacher_entropy"] < 1e-3
    assert figures["teacher_certainty"] > 0.99
    assert len(warnings) == 1
    assert "nearly one thing of all pictures" in warnings[0]
    figures, warnings = looked_at("")
    assert figures["teacher_certainty"] > 0.05
    assert not warnings


def test_the_teacher_is_looked_at_as_it_teaches_by_the_batch() -> None:
    """What its BatchNorm remembers, which lags behind its weights, moves nothing."""
    original = SelfDistillation.teach

    def lagging(self: SelfDistillation, views: tuple[torch.Tensor, ...]) -> list[torch.Tensor]:
        for name, buffer in self.teacher.named_buffers():
            if name.endswith("running_mean"):
                buffer.fill_(1e3)
        return original(self, views)

    before, _ = looked_at("")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SelfDistillation, "teach", lagging)
        assert looked_at("")[0] == before


# -- teacher and crops ---------------------------------------------------------------------------------------


def step(ema_decay: float, batches: int = 1) -> tuple[RSMCLIP, Any, Any]:
    """A training of a few steps, with the student and the teacher as they are in the end."""
    caught: dict[str, Any] = {}
    original = SelfDistillation.follow

    def spy(self: SelfDistillation, student: Any) -> None:
        caught.setdefault("before", copy.deepcopy(self.teacher.state_dict()))
        grads = [p.grad for p in [*self.teacher.parameters(), *self.teacher_projector.parameters()]]  # type: ignore[union-attr]
        assert all(grad is None for grad in grads)
        original(self, student)
        caught["student"] = copy.deepcopy(student.state_dict())
        caught["teacher"] = copy.deepcopy(self.teacher.state_dict())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SelfDistillation, "follow", spy)
        method = RSMCLIP(**{**QUICK, "ema_decay": ema_decay, "epochs": batches}).fit(
            pairs=corpus(8, pictures=True), model=towers(True)
        )
    return method, caught["student" if ema_decay == 0 else "before"], caught["teacher"]


@pytest.mark.parametrize("ema_decay", [0.0, 1.0])
def test_the_teacher_gets_no_gradient_stays_with_m_1_and_is_the_student_with_m_0(ema_decay: float) -> None:
    method, expected, teacher = step(ema_decay, 3)
    assert method.distilled_
    floats = [key for key, value in teacher.items() if value.is_floating_point() and key != "logit_scale"]
    assert any("running_mean" in key for key in floats)  # what BatchNorm remembers moves, too
    for key in floats:
        torch.testing.assert_close(teacher[key], expected[key], rtol=0, atol=0)


def test_both_wide_crops_are_the_same_tensors_for_student_teacher_and_contrastive_loss() -> None:
    pairs = corpus(8, pictures=True)
    student, projector = towers(True), Projector(6, 8, 4, 16)
    distillation = SelfDistillation(student, projector)
    seen: list[tuple[str, torch.Tensor]] = []
    for name, net in (("student", student), ("teacher", distillation.teacher)):
        net.image.register_forward_pre_hook(lambda _, x, name=name: seen.append((name, x[0].clone())))
    _, first = pictures_of(pairs, pairs.left.digests())
    crops = MultiCrop(2, 3, local_size=6)
    tokens = student.tokenize(pairs.right.x.tolist())
    objective = Objective(student, LogitScale(10.0), distillation, pairs.left.take(first), tokens, crops, 1.0)
    batch = Drawn(torch.arange(8), torch.arange(8) * 3)

    def views() -> list[tuple[str, torch.Tensor]]:
        seen.clear()
        run = Run("t", {}, {}, 1, None)
        run.generator.manual_seed(3)
        objective(batch, run)
        return [*seen]

    (a, wide), (b, local), (c, taught) = views()
    assert [a, b, c] == ["student", "student", "teacher"]
    assert torch.equal(wide, taught)  # one forward pass serves both losses
    assert (wide.shape, local.shape) == ((16, 3, 12, 12), (24, 3, 6, 6))
    assert not torch.equal(wide[:8], wide[8:])
    again = views()
    assert torch.equal(again[0][1], wide)
    assert torch.equal(again[1][1], local)


def test_the_number_of_small_crops_moves_no_large_one() -> None:
    x = torch.randn(4, 3, 12, 12, generator=torch.Generator().manual_seed(1))
    drawn = []
    for n_local in (0, 5):
        generator = torch.Generator().manual_seed(0)
        crops = MultiCrop(2, n_local, local_size=6)
        drawn.append([view for _ in range(3) for view in crops(x, generator).wide])
    assert all(torch.equal(a, b) for a, b in zip(*drawn))


def test_batch_norm_of_the_student_remembers_no_small_crop() -> None:
    def remembered(local_scale: tuple[float, float], n_local: int) -> list[torch.Tensor]:
        pairs, student = corpus(8, pictures=True), towers(True).train()
        distillation = SelfDistillation(student, Projector(6, 8, 4, 16))
        _, first = pictures_of(pairs, pairs.left.digests())
        crops = MultiCrop(2, n_local, local_scale=local_scale, local_size=6)
        tokens = student.tokenize(pairs.right.x.tolist())
        objective = Objective(student, LogitScale(10.0), distillation, pairs.left.take(first), tokens, crops, 1.0)
        run = Run("t", {}, {}, 1, None)
        run.generator.manual_seed(3)
        objective(Drawn(torch.arange(8), torch.arange(8) * 3), run).backward()
        assert all(p.grad is not None for p in student.image.parameters())
        return [buffer.clone() for _, buffer in student.named_buffers()]

    without = remembered((0.05, 0.4), 0)
    for a, b in zip(without, remembered((0.05, 0.4), 3)):
        assert torch.equal(a, b)


def test_pictures_from_above_are_turned_by_quarters() -> None:
    x = torch.arange(16.0).view(1, 1, 4, 4).expand(200, 1, 4, 4)
    turned = random_turn(x, torch.Generator().manual_seed(0))
    kinds = {tuple(one.flatten().tolist()) for one in turned}
    assert kinds == {tuple(torch.rot90(x[0], k, dims=(1, 2)).flatten().tolist()) for k in range(4)}
    any_way = MultiCrop(1, 0, turns="any", wide_scale=(1.0, 1.0))(x, torch.Generator().manual_seed(0))
    assert len(any_way.wide) == 1
    assert any_way.local == ()


def test_a_transformer_reads_small_crops_by_positions_between_those_it_learnt() -> None:
    with reproducible(0):
        tower = vision_tower((16, 16), (4, 4), 8, 4, (2,), (16,), 5)
    assert tower(torch.zeros(2, 3, 8, 8)).shape == (2, 5)
    assert torch.equal(tower.positions_of((4, 4)), tower.positions)
    half = tower.positions_of((2, 2))
    assert half.shape == (5, 8)
    assert torch.equal(half[0], tower.positions[0])
    by_hand = F.interpolate(
        tower.positions[1:].view(4, 4, 8).permute(2, 0, 1)[None], (2, 2), mode="bicubic", align_corners=False
    )
    torch.testing.assert_close(half[1:], by_hand[0].permute(1, 2, 0).reshape(4, 8))


# -- the sampler ---------------------------------------------------------------------------------------------


def test_languages_are_drawn_alike_and_a_picture_once_in_a_batch() -> None:
    pairs = corpus(24)
    number, _ = pictures_of(pairs, pairs.left.digests())
    sampler = LanguageSampler(number, pairs.columns[LANGUAGE], "en")
    run = Run("t", {}, {}, 1, None)
    counts = dict.fromkeys(sampler.languages, 0)
    for _ in range(100):
        for batch in sampler.batches(8)(run):
            assert len(set(batch.picture.tolist())) == 8
            assert number[batch.pair.numpy()].tolist() == batch.picture.tolist()
            for row in batch.pair.tolist():
                counts[pairs.columns[LANGUAGE][row]] += 1
    n = sum(counts.values())
    assert n == 2400
    for count in counts.values():
        assert abs(count - n / 3) < 3 * math.sqrt(n * (1 / 3) * (2 / 3))


def test_the_source_language_has_its_probability_where_there_are_others() -> None:
    language = np.array(["en", "de", "ko", "en", "de", "en", "ko", "ko"])
    number = np.array([0, 0, 0, 1, 1, 2, 3, 3])
    sampler = LanguageSampler(number, language, "en", p_source=0.1)
    share = sampler.up_to.diff(dim=1, prepend=torch.zeros(4, 1, dtype=torch.float64))
    assert sampler.languages == ("de", "en", "ko")
    expected = torch.tensor([(0.45, 0.1, 0.45), (0.9, 0.1, 0), (0, 1, 0), (0, 0, 1)], dtype=torch.float64)
    torch.testing.assert_close(share, expected)
    rows = sampler.draw(torch.arange(4).repeat(200), torch.Generator().manual_seed(0))
    assert np.array_equal(number[rows.numpy()], np.tile(np.arange(4), 200))
    first = LanguageSampler(number, language, "en", every=False)
    drawn = first.draw(torch.full((50,), 3), torch.Generator().manual_seed(0))
    assert set(drawn.tolist()) == {6}  # of two captions in Korean the first


# -- the arms ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("languages", [("en",), ("en", "de", "ko")])
def test_without_self_distillation_it_is_clip_in_one_language_or_in_all(languages: tuple[str, ...]) -> None:
    pairs, settings = corpus(16), {"languages": languages, "distillation": 0.0, "batch_size": 8, "validation": 0.0}
    method = RSMCLIP(epochs=3, learning_rate=1e-2, keep="student", **settings).fit(pairs=pairs, model=towers())
    kept = np.flatnonzero(np.isin(pairs.columns[LANGUAGE], languages))
    own = pairs.take(kept)
    number, first = pictures_of(own, own.left.digests())
    sampler = LanguageSampler(number, own.columns[LANGUAGE], "en")
    with reproducible(0):  # plain CLIP fine-tuning, written again
        net, scale = towers(), LogitScale(10.0)
        net.logit_scale.requires_grad_(False)
        net.train()
        adam = torch.optim.AdamW(
            by_decay(torch.nn.ModuleDict({"student": net, "scale": scale})), 1e-2, weight_decay=0.1
        )
        rate = warm_cosine(adam, 6, 1)
        x, tokens = torch.as_tensor(own.left.x[first]), net.tokenize(own.right.x.tolist())
        run = Run("rs-m-clip", {}, {}, 6, None)
        for _ in range(3):
            for batch in sampler.batches(8)(run):
                p, q = net.encode_image(x[batch.picture]), net.encode_text(tokens[batch.pair])
                logits = scale() * p @ q.T
                loss = (F.cross_entropy(logits, torch.arange(8)) + F.cross_entropy(logits.T, torch.arange(8))) / 2
                adam.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_([*net.parameters(), *scale.parameters()], 3.0)
                adam.step()
                rate.step()
    expected = net.state_dict()
    for key, value in method.network_.state_dict().items():
        if key != "logit_scale":
            torch.testing.assert_close(value, expected[key], rtol=1e-5, atol=1e-6)
    assert method.languages_ == tuple(sorted(languages))
    assert not method.distilled_


def test_every_part_learns_and_the_last_layer_rests_in_the_first_epoch() -> None:
    seen: list[bool] = []
    original = SelfDistillation.recentre

    def spy(self: SelfDistillation, taught: Any) -> None:
        seen.append(self.projector.last.requires_grad)  # type: ignore[union-attr]
        original(self, taught)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SelfDistillation, "recentre", spy)
        method = RSMCLIP(**QUICK).fit(pairs=corpus(16, pictures=True), model=towers(True))
    assert seen == [False, False, True, True, True, True]
    assert {"loss", "contrastive", "distillation", "teacher_entropy", "scale"} <= set(method.history_)
    np.testing.assert_allclose(
        method.history_["loss"], method.history_["contrastive"] + method.history_["distillation"], rtol=1e-5
    )
    told = method.monitors_
    assert told["std_image"] > 0
    assert told["std_text"] > 0
    assert 0 <= told["teacher_entropy"] <= 1
    assert 0 <= told["teacher_certainty"] <= 1
    assert method.steps_ == 6 == QUICK["epochs"] * method.steps_of(corpus(16, pictures=True))


def test_it_learns_to_find_captions_in_every_language() -> None:
    pairs = corpus(64)
    method = RSMCLIP(epochs=60, batch_size=16, learning_rate=1e-2, distillation=0.0).fit(pairs=pairs, model=towers())
    assert set(method.validation_) == {"student", "teacher"}
    for code, words in WORDS.items():
        found = method.adapt(classes=ClassSpace(names=words), prompts={code: ("{}",)}).predict(pairs.left)
        assert (found == np.arange(192) // 3 % 4).mean() > 0.6, code


def test_the_better_of_student_and_teacher_is_kept_and_held_out_pictures_are_not_learnt() -> None:
    pairs = corpus(40)
    method = RSMCLIP(**{**QUICK, "validation": 0.25, "distillation": 0.0}).fit(pairs=pairs, model=towers())
    means = {name: np.mean([*of.values()]) for name, of in method.validation_.items()}
    assert method.kept_ == ("teacher" if means["teacher"] > means["student"] else "student")
    other = RSMCLIP(**{**QUICK, "keep": "teacher", "ema_decay": 1.0, "distillation": 0.0}).fit(
        pairs=pairs, model=towers()
    )
    assert other.kept_ == "teacher"
    for key, value in towers().image.state_dict().items():
        torch.testing.assert_close(other.network_.image.state_dict()[key], value)  # type: ignore[union-attr]


def test_a_killed_training_goes_on_to_the_same_bits(tmp_path: Any) -> None:
    pairs = corpus(16, pictures=True)
    whole = RSMCLIP(**QUICK).fit(pairs=pairs, model=towers(True))
    calls = {"n": 0}
    original = SelfDistillation.follow

    def dies(self: SelfDistillation, student: Any) -> None:
        original(self, student)
        calls["n"] += 1
        if calls["n"] == 5:
            raise KeyboardInterrupt

    with runtime(folder=tmp_path), pytest.MonkeyPatch.context() as patch:
        patch.setattr(SelfDistillation, "follow", dies)
        with pytest.raises(KeyboardInterrupt):
            RSMCLIP(**QUICK).fit(pairs=pairs, model=towers(True))
        patch.undo()
        again = RSMCLIP(**QUICK).fit(pairs=pairs, model=towers(True))
    for key, value in whole.network_.state_dict().items():
        assert torch.equal(value, again.network_.state_dict()[key]), key


# -- languages together --------------------------------------------------------------------------------------


def test_the_ensemble_is_the_mean_of_languages_prototypes_of_unit_length_again() -> None:
    net = towers().eval()
    classes = ClassSpace(names=WORDS["en"])
    of = {"en": ("a {}.", "the {}"), "de": ("ein Hut", "ein Meer", "ein Baum", "ein Stern")}
    sentences = given_sentences(classes, of, "en")
    each = prototypes(net, sentences)
    assert each.shape == (2, 4, 6)
    with torch.no_grad():
        a, b = (net.encode_text(net.tokenize([t.replace("{}", w) for w in WORDS["en"]])) for t in of["en"])
        de = net.encode_text(net.tokenize(list(of["de"])))
    en = F.normalize((a + b) / 2, dim=1)
    torch.testing.assert_close(each[0], en)
    torch.testing.assert_close(ensembled(each), F.normalize((en + de) / 2, dim=1))
    same = prototypes(net, given_sentences(classes, {"en": ("a {}.",), "xx": ("a {}.",)}, "en"))
    torch.testing.assert_close(ensembled(same), same[0])


def test_classes_are_asked_about_in_one_language_or_in_all() -> None:
    pairs = corpus(16)
    classes = ClassSpace(names=WORDS["en"])
    method = RSMCLIP(**QUICK).fit(
        pairs=pairs, model=towers(), classes=classes, prompts={"en": ("{}",), "ko": WORDS["ko"]}
    )
    x = torch.as_tensor(pairs.left.x)
    scores = [method.decision_function(x, language=code) for code in (None, "en", "ko")]
    assert not torch.equal(scores[1], scores[2])
    torch.testing.assert_close(
        scores[0], method.network_.logit_scale.detach().exp() * method.encode_pictures(x) @ method.vectors_.T
    )
    with pytest.raises(ValueError, match="language must be one of en, ko"):
        method.predict(x, language="de")


@pytest.mark.parametrize(
    ("prompts", "match"),
    [
        ({}, "at least one language"), ({"en": 3}, "prompts must be templates"), ({"en": ("a {} {}",)}, "one place"),
        ({"de": ("ein Hut", "ein Meer")}, "a sentence for each of 4 classes; got 2"), ({"de": ("",) * 4}, "empty"),
        (("a hat",), "a sentence for each of 4"),
    ],
)  # fmt: skip
def test_prompts_that_say_nothing_of_classes_are_named(prompts: Any, match: str) -> None:
    with pytest.raises((ValueError, TypeError), match=match):
        given_sentences(ClassSpace(names=WORDS["en"]), prompts, "en")


# -- recall --------------------------------------------------------------------------------------------------


def test_recall_of_two_captions_each_counts_any_right_one_and_its_mean_is_that_of_six() -> None:
    """Pictures 0 and 1, captions 0, 1 of the first and 2, 3 of the second, in a table that is made by hand."""
    scores = np.array([(0.1, 0.9, 0.8, 0.2), (0.7, 0.6, 0.5, 0.1)])
    pictures, captions = np.eye(2), scores.T  # <e_i, caption> is the table
    found = by_language(pictures, {"en": (captions, np.array([0, 0, 1, 1]))}, ks=(1, 2))["en"]
    # the first finds one of its own at once; the second has two others before: .7 and .6
    assert found["there@1"] == 0.5
    assert found["there@2"] == 0.5
    # captions ask pictures: 0 -> second, 1 -> first (right), 2 -> first, 3 -> first
    assert found["back@1"] == 0.25
    assert found["back@2"] == 1.0
    six = by_language(np.eye(4), {"en": (np.eye(4)[[0, 0, 1, 1, 2, 3]] * 2, np.array([0, 0, 1, 1, 2, 3]))})["en"]
    assert len(six) == 7
    assert six["mean"] == np.mean([value for key, value in six.items() if key != "mean"]) == 1.0


def test_only_pictures_with_a_caption_in_a_language_are_asked_in_it() -> None:
    pictures = np.eye(3)
    told = by_language(pictures, {"de": (np.eye(3)[[2, 1]], np.array([2, 1]))}, ks=(1,))["de"]
    assert told == {"there@1": 1.0, "back@1": 1.0, "mean": 1.0}
    assert told == both_ways(np.eye(2), ks=(1,))


# -- texts in any language -----------------------------------------------------------------------------------


def test_texts_of_all_scripts_have_numbers_of_their_own() -> None:
    read = Grams(20_000)
    said = ["강아지 얼굴", "狗脸", "морда собаки", "Hundegesicht", "cara de perro", "犬"]
    rows = read(said)
    assert len({tuple(row.tolist()) for row in rows}) == len(said)
    assert "강아" in grams("강아지 얼굴")
    assert "狗" in grams("狗脸")
    assert grams("Hund!") == grams("hund")
    assert read([""]).tolist() == [[0]]
    bags = unit_bag(said, 4096)
    torch.testing.assert_close(bags.norm(dim=1), torch.ones(len(said)))
    assert float(bags[0] @ bags[3]) < 0.05


def test_one_vocabulary_of_pieces_is_learnt_for_all_languages() -> None:
    from unseen.nn.dual_encoder import WordPieces

    said = [f"{word} {i}" for i in range(30) for words in WORDS.values() for word in words]
    read = WordPieces(learnt_pieces(said, 120), 16)
    assert learnt_pieces(said, 120) == learnt_pieces(said, 120)
    rows = read(["모자", "Baum", "tree"])
    assert len({tuple(row.tolist()) for row in rows}) == 3
    assert 0 not in rows.flatten().tolist()  # nothing is unknown


# -- what is refused -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "pictures", "match"),
    [
        ({"languages": ("en", "xx")}, False, "no caption in 'xx'; they are in de, en, ko"),
        ({"local_scale": (0.5, 0.1)}, True, "local_scale must be a share and a larger one"),
        ({"local_size": 1}, True, "local_size: model cannot read pictures of 1 pixels"),
    ],
)
def test_what_cannot_be_is_named_before_training(settings: Any, pictures: bool, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        RSMCLIP(**{**QUICK, **settings}).fit(pairs=corpus(12, pictures), model=towers(pictures))


def test_quarters_of_pictures_that_are_not_square_are_named_before_training() -> None:
    pairs = corpus(12, pictures=True)
    oblong = pairs.replace(left=pairs.left.replace(x=pairs.left.x[:, :, :10]))
    with pytest.raises(ValueError, match="turns: quarters need square pictures; these have 10 x 12 pixels"):
        RSMCLIP(**{**QUICK, "turns": "any"}).fit(pairs=oblong, model=towers(True))
    assert RSMCLIP(**{**QUICK, "turns": "flips", "epochs": 1}).fit(pairs=oblong, model=towers(True)).distilled_


def test_pictures_of_one_channel_are_learnt_from_crops() -> None:
    pairs = corpus(12, pictures=True)
    grey = pairs.replace(left=pairs.left.replace(x=pairs.left.x[:, :1]))
    with reproducible(1):
        image = small_convnet(6, channels=1, width=4)
        model = dual_encoder(image, gram_text(64, 8, 8, 6), Grams(64).to_json(), 10.0)
    assert RSMCLIP(**{**QUICK, "epochs": 1}).fit(pairs=grey, model=model).distilled_


def test_one_picture_or_a_model_without_towers_is_named() -> None:
    with pytest.raises(ValueError, match="at least two pictures"):
        RSMCLIP(**QUICK).fit(pairs=corpus(1), model=towers())
    with pytest.raises(TypeError, match="model must be two towers"):
        RSMCLIP(**QUICK).fit(pairs=corpus(8), model=perceptron((10, 4)))
    with pytest.raises(ValueError, match="model cannot read the pairs"):
        RSMCLIP(**QUICK).fit(pairs=corpus(8), model=towers(True))
    with pytest.raises(NotFittedError, match="RSMCLIP has not been fitted"):
        RSMCLIP().encode_text(["a hat"])
    for texts in ([], "a hat"):
        with pytest.raises(ValueError, match="texts must be at least one text"):
            RSMCLIP(**QUICK).fit(pairs=corpus(8), model=towers()).encode_text(texts)


def test_a_frozen_part_of_the_model_stays_and_pictures_may_be_read_one_by_one() -> None:
    pairs = corpus(12, pictures=True)
    model = towers(True)
    model.text.requires_grad_(False)
    lazy = pairs.replace(
        left=pairs.left.replace(x=Lazy(range(36), lambda i: torch.as_tensor(pairs.left.x[i]), lambda i: str(i // 3)))
    )
    method = RSMCLIP(**QUICK).fit(pairs=lazy, model=model)
    for key, value in model.text.state_dict().items():
        assert torch.equal(method.network_.text.state_dict()[key], value)  # type: ignore[union-attr]
    assert Temperatures().of_teacher(1.0) == 0.07

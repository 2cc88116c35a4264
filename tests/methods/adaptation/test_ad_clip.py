"""AD-CLIP: the analytic checks of its specification, and what it promises to users."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.samplers import Batch, Pair
from unseen.methods.adaptation.ad_clip import ADCLIP
from unseen.methods.adaptation.ad_clip import method as ad_clip
from unseen.methods.adaptation.ad_clip.losses import alignment, uncertainty
from unseen.methods.adaptation.ad_clip.network import PromptedTowers
from unseen.nn.layer_statistics import Reading
from unseen.nn.small_towers import small_towers as towers
from unseen.nn.state import digest
from unseen.nn.style_projectors import ContentProjector, DomainProjector, StyleMapper
from unseen.nn.train import Run
from unseen.testing.inputs import NAMES, domain_of

SMOKE = {"epochs": 2, "hidden": 8, "mapper_hidden": 8}
SOURCE, TARGET = domain_of("source", "features"), domain_of("target", "features")


def fitted(source: Domain = SOURCE, target: Domain = TARGET, **settings: Any) -> ADCLIP:
    return ADCLIP(**{**SMOKE, **settings}).fit(source=source, target=target, encoder=towers())


def network(**settings: Any) -> PromptedTowers:
    made = fitted(**settings).network_
    assert isinstance(made, PromptedTowers)
    return made


def reading(domain: Domain = TARGET, n: int = 5) -> Reading:
    return towers().image.read(torch.as_tensor(domain.x[:n]))


def features(k: int = 6, seed: int = 0) -> Tensor:
    return F.normalize(torch.randn(3, k, 4, generator=torch.Generator().manual_seed(seed)), dim=2)


# -- the losses ------------------------------------------------------------------------------------------------


def test_alignment_is_zero_for_equal_text_features_and_else_positive() -> None:
    assert alignment(features(), features()) == 0
    assert alignment(features(), features(seed=1)) > 0


def test_alignment_is_a_divergence_over_classes_for_each_coordinate_and_not_over_coordinates() -> None:
    source, target = features(), features(seed=1)
    expected = 0.0
    for b in range(3):
        for d in range(4):
            p = np.exp(source[b, :, d].numpy()) / np.exp(source[b, :, d].numpy()).sum()
            q = np.exp(target[b, :, d].numpy()) / np.exp(target[b, :, d].numpy()).sum()
            expected += float((q * np.log(q / p)).sum())
    assert float(alignment(source, target)) == pytest.approx(expected / 3, rel=1e-5)
    for d in range(4):
        one = alignment(source[:, :, d : d + 1], target[:, :, d : d + 1])
        torch.testing.assert_close(one, F.kl_div(
            source[:, :, d : d + 1].log_softmax(1), target[:, :, d : d + 1].softmax(1), reduction="batchmean"
        ))  # fmt: skip


def test_alignment_of_a_single_class_is_zero_whatever_the_features() -> None:
    assert alignment(features(k=1), features(k=1, seed=1)) == 0


@pytest.mark.parametrize("k", [2, 5, 65])
def test_entropy_of_a_uniform_prediction_is_log_k_and_of_a_certain_one_zero(k: int) -> None:
    assert float(uncertainty(torch.full((4, k), 1 / k))) == pytest.approx(math.log(k), abs=1e-5)
    assert float(uncertainty(F.one_hot(torch.arange(4) % k, k).float())) == pytest.approx(0, abs=1e-6)


def test_the_released_entropy_is_zero_for_a_batch_of_one() -> None:
    p = torch.softmax(torch.randn(1, 5), dim=1)
    assert float(uncertainty(p, "code")) == pytest.approx(0, abs=1e-6)
    assert float(uncertainty(p)) > 0.1


def test_at_the_uniform_classifier_cross_entropy_and_entropy_are_log_k() -> None:
    scores, k = torch.zeros(7, 4), 4
    assert float(F.cross_entropy(scores, torch.arange(7) % 4)) == pytest.approx(math.log(k))
    assert float(uncertainty(scores.softmax(dim=1))) == pytest.approx(math.log(k), abs=1e-5)


# -- the projectors --------------------------------------------------------------------------------------------


def test_the_domain_projector_has_no_non_linearity_and_averages_mean_and_deviation() -> None:
    x = reading()
    projector = DomainProjector((2, 4), 8, 5)
    found = projector(x.means, x.stds)
    assert found.shape == (5, 2, 8)
    for i in range(2):
        a, b = projector.layers[i][0], projector.layers[i][1]  # type: ignore[index]
        style = (x.means[i] + x.stds[i]) / 2
        torch.testing.assert_close(found[:, i], (style @ a.weight.T + a.bias) @ b.weight.T + b.bias)


def test_style_may_be_both_side_by_side() -> None:
    x = reading()
    projector = DomainProjector((2, 4), 8, 5, "concat")
    assert projector.layers[0][0].in_features == 4  # type: ignore[index]
    swapped = projector(x.stds, x.means)
    assert not torch.allclose(projector(x.means, x.stds), swapped)
    averaged = DomainProjector((2, 4), 8, 5)
    torch.testing.assert_close(averaged(x.means, x.stds), averaged(x.stds, x.means))


def test_content_tokens_are_equal_with_one_decoder_and_differ_with_their_own() -> None:
    x = reading()
    one, own = ContentProjector((2, 4), 8, 3, shared_decoder=True), ContentProjector((2, 4), 8, 3)
    found = one(x.means)
    assert found.shape == own(x.means).shape == (5, 3, 8)
    torch.testing.assert_close(found[:, 0], found[:, 1])
    torch.testing.assert_close(found[:, 0], found[:, 2])
    assert not torch.allclose(own(x.means)[:, 0], own(x.means)[:, 1])


def test_a_content_token_is_a_mixture_of_the_layers_projections() -> None:
    x, projector = reading(), ContentProjector((2, 4), 8, 3)
    each = [layer(mu) for layer, mu in zip(projector.layers, x.means)]
    w, b = projector.decoder.weight, projector.decoder.bias
    expected = w[1, 0] * each[0] + w[1, 1] * each[1] + b[1]
    torch.testing.assert_close(projector(x.means)[:, 1], expected)


def test_the_mapper_averages_adjacent_entries_of_mean_and_deviation_side_by_side() -> None:
    x, mapper = reading(), StyleMapper((2, 4), 8, 5)
    both = torch.cat([x.means[1], x.stds[1]], dim=1)
    pooled = (both[:, 0::2] + both[:, 1::2]) / 2
    torch.testing.assert_close(mapper(x.means, x.stds)[:, 1], mapper.layers[1](pooled))


# -- the prompts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "tokens"),
    [
        ({}, 2 * 2 + 4),
        ({"content_tokens": 2}, 2 * 2 + 2),
        ({"source_style": False}, 2 + 4),
        ({"target_style": False}, 2 + 4),
        ({"source_style": False, "target_style": False}, 4),
        ({"content": False}, 2 * 2),
        ({"layers": "last"}, 2 + 4),
        ({"context": "static", "static_tokens": 3}, 3),
        ({"context": "words", "words": "abc"}, 3),
    ],
)
def test_a_prompt_has_twice_as_many_style_tokens_as_layers_and_m_of_content(settings: Any, tokens: int) -> None:
    net = network(**settings)
    context = net.context_of(net.read(torch.as_tensor(TARGET.x[:5])))
    assert context.shape[1:] == (tokens, 8)
    assert len(context) == (5 if net.design.context == "image" else 1)


def test_the_layout_is_begin_context_name_full_stop_end() -> None:
    net = network()
    ids = [[30, *(ord(letter) % 30 for letter in f"{name}."), 31] for name in NAMES[:4]]
    assert net.lengths.tolist() == [len(row) - 1 for row in ids]
    for k, row in enumerate(ids):
        torch.testing.assert_close(net.rest[k, : len(row) - 1], net.text.table[row[1:]])
    torch.testing.assert_close(net.start, net.text.table[30])


def test_underscores_of_class_names_are_read_as_spaces() -> None:
    named = SOURCE.replace(classes=ClassSpace(names=("ice_cream", *NAMES[1:4])))
    net: Any = fitted(named).network_
    ids = [30, *(ord(letter) % 30 for letter in "ice cream."), 31]
    torch.testing.assert_close(net.rest[0, : len(ids) - 1], net.text.table[ids[1:]])


def test_a_context_starts_from_the_words_right_before_the_name() -> None:
    net, long, pair_of = network(words="abc"), network(words="abcdefghij", context="static", static_tokens=4), towers()
    assert net.initial.shape == (8, 8)
    assert not net.initial[:5].any()
    torch.testing.assert_close(net.initial[5:], pair_of.text.table[[ord(letter) % 30 for letter in "abc"]])
    fresh = network(words="abcdefghij", content_tokens=2, source_style=False)
    torch.testing.assert_close(fresh.initial, pair_of.text.table[[ord(letter) % 30 for letter in "ghij"]])
    assert long.initial.shape == (4, 8)


def test_layers_are_standardized_over_the_source_and_embeddings_are_not() -> None:
    net, x = network(), torch.as_tensor(SOURCE.x)
    rows = net.read(x)
    for value in (*rows.means, *rows.stds):
        torch.testing.assert_close(value.mean(dim=0), torch.zeros(value.shape[1]), atol=1e-5, rtol=0)
        torch.testing.assert_close(value.std(dim=0, correction=0), torch.ones(value.shape[1]), atol=1e-4, rtol=0)
    torch.testing.assert_close(rows.embedding, towers().image.read(x).embedding)


def test_a_channel_that_never_varies_is_only_centred() -> None:
    flat = SOURCE.x.copy()
    flat[:, 0] = 3.0
    x = torch.as_tensor(flat)
    assert not fitted(SOURCE.replace(x=flat)).network_.read(x).means[0][:, 0].any()  # type: ignore[operator]


@pytest.mark.parametrize("factor", [1.0, 1000.0])
def test_tokens_are_about_as_large_as_words_whatever_the_size_of_activations(factor: float) -> None:
    domains = [domain.replace(x=domain.x * ([factor] * 12 + [1.0] * 4)) for domain in (SOURCE, TARGET)]
    domains = [domain.replace(x=domain.x.astype(np.float32)) for domain in domains]
    net: Any = fitted(*domains, epochs=1).network_
    context = net.context_of(net.read(torch.as_tensor(domains[0].x))) - net.initial
    assert 0.05 < float(context.square().mean().sqrt() / net.text.table.square().mean().sqrt()) < 1.5


def test_swapping_the_domains_swaps_the_style_blocks() -> None:
    net = network()
    s, t = net.tokens(reading(SOURCE)), net.tokens(reading(TARGET))
    a, b = (net.joined(*x, s.content) - net.initial for x in ((s.style, t.style), (t.style, s.style)))
    torch.testing.assert_close(a[:, :2], b[:, 2:4])
    torch.testing.assert_close(a[:, 2:4], b[:, :2])
    torch.testing.assert_close(a[:, 4:], b[:, 4:])


def test_images_of_a_pair_share_both_style_blocks_and_differ_in_content() -> None:
    method = fitted()
    net: Any = method.network_
    x_s, x_t = reading(SOURCE), reading(TARGET)
    context_s, context_t, _ = method._contexts(net, x_s, x_t)
    torch.testing.assert_close(context_s[:, :4], context_t[:, :4])
    said_s, said_t = ((context - net.initial) / net.unit for context in (context_s, context_t))
    torch.testing.assert_close(said_s[:, :2], net.tokens(x_s).style)
    torch.testing.assert_close(said_s[:, 2:4], net.tokens(x_t).style)
    torch.testing.assert_close(said_s[:, 4:], net.tokens(x_s).content)
    torch.testing.assert_close(said_t[:, 4:], net.tokens(x_t).content)
    assert not torch.allclose(context_s[:, 4:], context_t[:, 4:])


def test_a_pair_of_equal_images_has_equal_text_features_and_no_misalignment() -> None:
    method = fitted()
    net: Any = method.network_
    a, b, _ = method._contexts(net, reading(SOURCE), reading(SOURCE))
    assert alignment(net.features(a), net.features(b)) == 0


def test_text_features_are_of_each_image_unless_the_weights_are_zero() -> None:
    net = network()
    x = net.read(torch.as_tensor(TARGET.x[:5]))
    found = net.features(net.context_of(x))
    assert found.shape == (5, 4, 4)
    assert not torch.allclose(found[0], found[1])
    torch.testing.assert_close(found.norm(dim=2), torch.ones(5, 4))
    for name, parameter in net.named_parameters():
        if name.endswith("weight") and not name.startswith(("text", "image")):
            parameter.data.zero_()
    still = net.features(net.context_of(x))
    torch.testing.assert_close(still[0], still[4])  # a static prompt, of the biases


def test_scores_are_the_scaled_cosines_with_the_images_own_text_features() -> None:
    method = fitted()
    net: Any = method.network_
    x = net.read(torch.as_tensor(TARGET.x[:5]))
    text = net.features(net.context_of(x))
    expected = [[20 * float(x.embedding[b] @ text[b, k]) for k in range(4)] for b in range(5)]
    np.testing.assert_allclose(method.decision_function(TARGET.x[:5]), expected, rtol=1e-5, atol=1e-5)


@settings(max_examples=10, deadline=None)
@given(st.permutations(range(4)))
def test_the_order_of_the_classes_does_not_matter_to_a_zero_shot_prompt(order: list[int]) -> None:
    zero = fitted(context="words", words="ab").decision_function(TARGET.x)
    assert SOURCE.classes is not None
    space = SOURCE.classes.take(order)
    y = np.argsort(order)[SOURCE.labels]
    other = fitted(SOURCE.replace(y=y, classes=space), context="words", words="ab").decision_function(TARGET.x)
    torch.testing.assert_close(other, zero[:, order])


def test_a_zero_shot_prompt_is_that_of_the_towers_and_learns_nothing() -> None:
    method, pair = fitted(context="words", words="ab"), towers()
    text = pair.encode_texts([f"ab{name}." for name in NAMES[:4]])  # these towers read letters, and no space between
    expected = 20 * pair.encode_image(torch.as_tensor(TARGET.x)) @ text.T
    torch.testing.assert_close(method.decision_function(TARGET.x), expected)
    assert method.history_ == {}


# -- training --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("settings", "learns"), [({}, "projector|mapper"), ({"context": "static"}, "initial")])
def test_only_what_stands_in_prompts_learns(settings: Any, learns: str) -> None:
    short, longer = network(**settings, epochs=1).state_dict(), network(**settings, epochs=3).state_dict()
    changed = {key for key in short if not torch.equal(short[key], longer[key])}
    words = (*learns.split("|"), "stored")
    assert changed
    assert all(any(word in key for word in words) for key in changed)


def test_the_towers_of_the_user_do_not_change_and_nothing_keeps_a_gradient() -> None:
    pair = towers()
    before = digest(dict(pair.state_dict()))
    method = ADCLIP(**SMOKE).fit(source=SOURCE, target=TARGET, encoder=pair)
    assert digest(dict(pair.state_dict())) == before
    assert not any(p.requires_grad for p in (*pair.parameters(), *method.network_.parameters()))
    assert all(p.grad is None for p in pair.parameters())


def test_pictures_that_the_image_tower_cannot_read_are_told() -> None:
    source, target = (
        Domain(x=np.zeros((6, 1, 8, 8), np.float32), y=np.arange(6) % 2, kind="image", classes=ClassSpace(names="ab"))
        for _ in range(2)
    )
    with pytest.raises(ValueError, match="source does not fit the encoder: it has pictures of 1 channels, 8 x 8"):
        fitted(source, target)


def test_labels_of_the_target_are_never_read() -> None:
    assert TARGET.y is not None
    other = TARGET.replace(y=np.random.default_rng(0).permutation(TARGET.y))
    assert digest(fitted().fitted) == digest(fitted(target=other).fitted)


WEIGHTS = {"kl_weight": 2.0, "mapper_weight": 0.5, "entropy_weight": 0.25}


def pair() -> Pair:
    x_s, x_t = torch.as_tensor(SOURCE.x[:5]), torch.as_tensor(TARGET.x[7:12])
    return Pair(Batch(x_s, torch.as_tensor(SOURCE.labels[:5]), torch.arange(5)), Batch(x_t, None, torch.arange(7, 12)))


@pytest.mark.parametrize("mapper_input", ["target", "source"])
def test_loss_and_its_gradient_are_those_of_a_second_computation(mapper_input: Any) -> None:
    method = fitted(**WEIGHTS, mapper_input=mapper_input, inference="mapped")
    net: Any = method.network_.double()  # a gradient near zero is a difference of large numbers
    net.unit.mul_(50)  # text features then differ so much that the direction of the divergence tells
    for parameter in net.learnable():
        parameter.requires_grad_(True)
    batch, logged = pair(), mock.Mock(spec=Run)
    batch = Pair(*(part._replace(x=part.x.double()) for part in batch))
    found = method._loss(net, batch, torch.arange(4), logged)

    s, t = net.read(batch.source.x), net.read(batch.target.x)
    style_s, style_t = net.domain_projector(s.means, s.stds), net.domain_projector(t.means, t.stds)
    text_s, text_t = [], []
    for content, texts in ((net.content_projector(s.means), text_s), (net.content_projector(t.means), text_t)):
        for b in range(5):
            context = net.initial + net.unit * torch.cat([style_s[b], style_t[b], content[b]])
            rows = [torch.cat([net.start[None], context, net.rest[k, : net.lengths[k]]]) for k in range(4)]
            texts.append(torch.cat([net.text(row[None], torch.tensor([len(row)])) for row in rows]))
    t_s, t_t = torch.stack(text_s), torch.stack(text_t)
    ce = F.cross_entropy(20 * torch.einsum("bd,bkd->bk", s.embedding, t_s), batch.source.y)
    p = (20 * torch.einsum("bd,bkd->bk", t.embedding, t_t)).softmax(dim=1)
    ent = -(p * p.log()).sum(dim=1).mean()
    kl = F.kl_div(t_s.log_softmax(dim=1), t_t.softmax(dim=1), reduction="batchmean")
    x = t if mapper_input == "target" else s
    smn = (net.style_mapper(x.means, x.stds) - style_s).square().mean()
    expected = ce + 2 * kl + 0.5 * smn + 0.25 * ent

    torch.testing.assert_close(found, expected)
    for name, value in {"ce": ce, "kl": kl, "smn": smn, "entropy": ent}.items():
        torch.testing.assert_close(logged.log.call_args.kwargs[name], value)
    gradients = [torch.autograd.grad(loss, net.learnable()) for loss in (found, expected)]
    for a, b in zip(*gradients):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_the_mappers_loss_reaches_both_the_mapper_and_the_projector_of_styles() -> None:
    method = fitted()
    net: Any = method.network_
    parts = (net.domain_projector, net.style_mapper)
    for parameter in net.learnable():
        parameter.requires_grad_(True)
    _, _, smn = method._contexts(net, reading(SOURCE), reading(TARGET))
    smn.backward()
    for part in parts:
        assert all(parameter.grad.abs().sum() > 0 for parameter in part.parameters())


def test_the_mapper_learns_the_style_of_the_source() -> None:
    settings = {"epochs": 60, "learning_rate": 1e-2, "mapper_weight": 1.0}
    h = fitted(**settings, mapper_input="source").history_
    assert h["smn"][-1] < 0.1 * h["smn"][0]


def test_where_the_mapper_is_right_the_target_alone_is_as_good_as_with_the_source() -> None:
    method = fitted()
    net: Any = method.network_
    x_s, x_t = reading(SOURCE), reading(TARGET)
    own = net.tokens(x_t)
    net.mapped = lambda _: net.tokens(x_s).style  # L_smn = 0
    torch.testing.assert_close(net.context_of(x_t), net.joined(net.tokens(x_s).style, own.style, own.content))


def test_the_mean_style_of_the_source_can_stand_for_it_and_the_choice_may_change_after_fit() -> None:
    method = fitted()
    net: Any = method.network_
    style = net.tokens(net.read(torch.as_tensor(SOURCE.x))).style.mean(dim=0)
    torch.testing.assert_close(net.stored, style)
    mapped = method.decision_function(TARGET.x)
    stored = method.set_params(inference="stored").decision_function(TARGET.x)
    assert not torch.allclose(mapped, stored)
    own = net.tokens(net.read(torch.as_tensor(TARGET.x)))
    context = net.joined(style.expand_as(own.style), own.style, own.content)
    expected = net.scores(net.read(torch.as_tensor(TARGET.x)).embedding, net.features(context))
    torch.testing.assert_close(stored, expected)


def test_the_style_of_several_sources_is_the_mean_over_domains_not_over_images() -> None:
    names = np.array(["a"] * 50 + ["b"] * 10)
    method = fitted(SOURCE.replace(columns={"domain": names}))
    net: Any = method.network_
    style = net.tokens(net.read(torch.as_tensor(SOURCE.x))).style
    torch.testing.assert_close(net.stored, (style[:50].mean(dim=0) + style[50:].mean(dim=0)) / 2)


@pytest.mark.parametrize(("length", "epochs"), [("source", 10), ("target", 3), ("smaller", 3)])
def test_the_length_of_an_epoch_is_that_of_the_domain_it_is_told(length: str, epochs: int) -> None:
    with mock.patch.object(ad_clip, "train", wraps=ad_clip.train) as spied:
        fitted(target=TARGET.take(np.arange(18)), batch_size=6, epoch_length=length, epochs=1)
    assert spied.call_args.kwargs["steps_per_epoch"] == epochs


def test_classes_without_labels_are_predicted_too_and_take_no_part_in_training() -> None:
    assert SOURCE.classes is not None
    more = ClassSpace(names=(*SOURCE.classes.names, "gong", "harp"), seen=range(4))
    method = ADCLIP(**SMOKE).fit(source=SOURCE, target=TARGET, encoder=towers(), classes=more)
    scores = method.decision_function(TARGET.x)
    assert scores.shape == (57, 6)
    torch.testing.assert_close(scores[:, :4], fitted().decision_function(TARGET.x))


def test_pictures_are_cropped_and_flipped_in_training_and_rows_are_not() -> None:
    images = [domain.replace(kind="image", x=np.random.default_rng(i).normal(size=(len(domain), 3, 12, 12)).astype("f"))
              for i, domain in enumerate((SOURCE, TARGET))]  # fmt: skip
    with mock.patch.object(ad_clip, "crop_and_flip", wraps=ad_clip.crop_and_flip) as spied:
        fitted(*images, epochs=1)
        assert {tuple(call.args[0].shape[1:]) for call in spied.call_args_list} == {(3, 12, 12)}
        assert len(spied.call_args_list) >= 2  # of both domains
        spied.reset_mock()
        fitted()
        spied.assert_not_called()


def test_the_rate_rises_over_epochs_and_not_over_steps() -> None:
    with mock.patch.object(ad_clip, "warm_cosine", wraps=ad_clip.warm_cosine) as spied:
        fitted(batch_size=6, epochs=3, warm_epochs=2)
    per_epoch = len(SOURCE) // 6
    assert spied.call_args.args[1:] == (3 * per_epoch, 2 * per_epoch)


def test_pictures_are_read_by_the_towers_and_the_method_comes_back_with_them(tmp_path: Path) -> None:
    images = [domain.replace(kind="image", x=np.random.default_rng(i).normal(size=(len(domain), 3, 12, 12)).astype("f"))
              for i, domain in enumerate((SOURCE, TARGET))]  # fmt: skip
    method = fitted(*images)
    method.save(tmp_path / "m")
    back = ADCLIP.load(tmp_path / "m")
    torch.testing.assert_close(back.decision_function(images[1].x), method.decision_function(images[1].x))
    rows = towers().image(torch.as_tensor(images[1].x))
    torch.testing.assert_close(method.network_(rows), method.decision_function(images[1].x))


@pytest.mark.parametrize("settings", [
    {"entropy": "code"}, {"style_pool": "concat"}, {"shared_decoder": True}, {"mapper_input": "source"},
    {"warm_epochs": 0}, {"layers": "last", "source_style": False}, {"kl_weight": 0.0, "entropy_weight": 0.0},
])  # fmt: skip
def test_every_switch_trains_and_changes_the_result(settings: Any) -> None:
    assert digest(fitted(**settings).fitted) != digest(fitted().fitted)


# -- what is refused -------------------------------------------------------------------------------------------


def test_a_prompt_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="source_style, target_style and content are all False"):
        fitted(source_style=False, target_style=False, content=False)


def test_a_name_that_is_too_long_is_named() -> None:
    assert SOURCE.classes is not None
    long = SOURCE.replace(classes=ClassSpace(names=("a" * 40, "b", "c", "d")))
    with pytest.raises(ValueError, match="classes has a name that is too long: 'aaaa"):
        fitted(long)


def test_rows_of_other_layers_are_refused() -> None:
    wide = [domain.replace(x=np.pad(domain.x, ((0, 0), (0, 2)))) for domain in (SOURCE, TARGET)]
    with pytest.raises(ValueError, match="source must hold rows of the encoder's layers, of 16 features; it has 18"):
        fitted(*wide)
    with pytest.raises(ValueError, match=r"x must be of shape \(n, 16\)"):
        fitted().predict(wide[1].x)


def test_an_empty_target_and_unnamed_classes_are_refused() -> None:
    with pytest.raises(ValueError, match="target must hold at least one sample"):
        fitted(target=TARGET.take([]))
    with pytest.raises(ValueError, match="source must have named classes"):
        fitted(SOURCE.replace(classes=None))


def test_an_encoder_that_cannot_be_prompted_is_refused() -> None:
    with pytest.raises(TypeError, match="encoder must be PromptableTowers"):
        ADCLIP().fit(source=SOURCE, target=TARGET, encoder=torch.nn.Linear(16, 4))

"""AdaptCLIPZS: the analytic checks of its loss, its rule, its groups, and what its bags are."""

from __future__ import annotations

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
from unseen.data.descriptions import DescriptionBank, Sentence
from unseen.data.domain import Domain
from unseen.methods.multimodal.adaptclipzs import AdaptCLIPZS
from unseen.methods.multimodal.adaptclipzs.groups import parameter_groups
from unseen.methods.multimodal.adaptclipzs.losses import Temperature, bag_loss, pair_loss
from unseen.methods.multimodal.adaptclipzs.method import Bags
from unseen.methods.multimodal.adaptclipzs.rule import pooled
from unseen.nn.small_towers import small_dual_encoder
from unseen.nn.train import train

NAMES = ("red cat", "dog", "car", "bus", "van", "one")
BAGS = {"red cat": ["it purrs", "it is red"], "dog": ["it barks"], "bus": ["it is long", "it is red", "it stops"]}
SHORT: dict[str, Any] = {"epochs": 2, "batch_size": 16, "learning_rate": 1e-2}


def pictures(n: int = 48, kind: str = "features", seen: int = 4) -> tuple[Domain, ClassSpace]:
    rng = np.random.default_rng(0)
    y = np.arange(n) % seen
    shape = (16,) if kind == "features" else (3, 8, 8)
    centres = np.random.default_rng(10).normal(size=(seen, *shape))
    x = (2 * centres[y] + rng.normal(size=(n, *shape))).astype(np.float32)
    classes = ClassSpace(names=NAMES, seen=np.arange(seen))
    return Domain(x=x, y=y, kind=kind, classes=classes), classes  # type: ignore[arg-type]


def fitted(kind: str = "features", prompts: Any = None, **params: Any) -> AdaptCLIPZS:
    source, classes = pictures(kind=kind)
    method = AdaptCLIPZS(**{**SHORT, **params})
    bank = BAGS if prompts is None else prompts
    return method.fit(source=source, classes=classes, encoder=small_dual_encoder(kind), prompts=bank)


def naive(logits: torch.Tensor, y: torch.Tensor) -> float:
    """The loss once more, with loops."""
    total = 0.0
    for s in (logits, logits.T):
        for i in range(len(y)):
            row = torch.log_softmax(s[i], 0)
            right = [j for j in range(len(y)) if y[j] == y[i]]
            total -= float(sum(row[j] for j in right)) / len(right) / len(y)
    return total


# -- the loss ------------------------------------------------------------------------------------------------


def test_all_classes_distinct_is_infonce_summed_over_both_directions() -> None:
    s = torch.randn(6, 6, generator=torch.Generator().manual_seed(0))
    own = torch.arange(6)
    assert torch.allclose(bag_loss(s, own), F.cross_entropy(s, own) + F.cross_entropy(s.T, own))
    assert torch.equal(pair_loss(s), F.cross_entropy(s, own) + F.cross_entropy(s.T, own))


def test_one_class_has_its_least_loss_at_uniform_rows() -> None:
    y = torch.zeros(5, dtype=torch.int64)
    assert bag_loss(torch.full((5, 5), 3.0), y).item() == pytest.approx(2 * math.log(5), abs=1e-6)
    s = torch.randn(5, 5, generator=torch.Generator().manual_seed(1))
    expected = -(torch.log_softmax(s, 1).mean() + torch.log_softmax(s.T, 1).mean())
    assert torch.allclose(bag_loss(s, y), expected)
    assert bag_loss(s, y) > 2 * math.log(5)


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(0, 3), min_size=2, max_size=8), st.integers(0, 99))
def test_the_loss_is_that_of_loops_and_does_not_change_with_the_order(labels: list[int], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    s, y = torch.randn(len(labels), len(labels), generator=generator), torch.tensor(labels)
    order = torch.randperm(len(y), generator=generator)
    assert bag_loss(s, y).item() == pytest.approx(naive(s, y), abs=1e-5)
    assert bag_loss(s[order][:, order], y[order]).item() == pytest.approx(bag_loss(s, y).item(), abs=1e-5)


def test_equal_similarities_push_all_sentences_of_a_class_equally() -> None:
    s, y = torch.zeros(4, 4, requires_grad=True), torch.tensor([0, 0, 0, 1])
    bag_loss(s, y).backward()
    assert s.grad is not None
    assert torch.allclose(s.grad[:3, :3], s.grad[0, 0].expand(3, 3))
    assert float(s.grad[0, 0]) < 0 < float(s.grad[0, 3])


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(0, 2), min_size=3, max_size=7), st.integers(0, 99))
def test_the_log_of_the_mean_probability_is_a_lower_bound(labels: list[int], seed: int) -> None:
    y = torch.tensor(labels)
    s = torch.randn(len(y), len(y), generator=torch.Generator().manual_seed(seed))
    right = (y[:, None] == y).float()

    def alternative(logits: torch.Tensor) -> torch.Tensor:
        return -((logits.softmax(1) * right).sum(1) / right.sum(1)).log().mean()

    other = alternative(s) + alternative(s.T)
    assert bag_loss(s, y) >= other - 1e-5
    tied = torch.where(right > 0, 2.0, -1.0)
    assert bag_loss(tied, y).item() == pytest.approx((alternative(tied) + alternative(tied.T)).item(), abs=1e-5)


def test_a_temperature_without_end_gives_twice_the_log_of_the_batch() -> None:
    s = torch.randn(7, 7, generator=torch.Generator().manual_seed(2))
    found = bag_loss(Temperature(1e9)(s), torch.tensor([0, 0, 1, 1, 2, 3, 3]))
    assert found.item() == pytest.approx(2 * math.log(7), abs=1e-5)


def test_a_temperature_does_not_fall_to_nothing() -> None:
    temperature = Temperature(2.0)
    with torch.no_grad():
        temperature.value -= 5
    temperature.hold()
    assert temperature.value.item() == pytest.approx(0.02)
    method = fitted(temperature_rate=5.0, tau=0.5, epochs=6)
    assert method.history_["temperature"].min() > 0
    assert np.isfinite(method.history_["loss"]).all()


def test_right_matches_sharpen_and_wrong_ones_soften() -> None:
    y = torch.arange(5)
    for matched, sign in ((torch.eye(5), 1), (torch.eye(5).roll(1, 0), -1)):
        temperature = Temperature(2.0)
        bag_loss(temperature(3 * matched), y).backward()
        assert temperature.value.grad is not None
        assert sign * float(temperature.value.grad) > 0  # a step against it: T shrinks, or grows


def test_one_picture_of_each_class_behaves_like_infonce() -> None:
    """Whichever sentences are drawn: the bag matters through what is drawn alone."""
    source, classes = pictures(n=4)
    one, other = (
        AdaptCLIPZS(**{**SHORT, "loss": loss, "batch_size": 4}).fit(
            source=source, classes=classes, encoder=small_dual_encoder(), prompts=BAGS
        )
        for loss in ("bag", "pair")
    )
    assert torch.allclose(one.vectors_, other.vectors_, atol=1e-6)


# -- the test rule -------------------------------------------------------------------------------------------


def entries(*counts: int) -> tuple[torch.Tensor, torch.Tensor]:
    rows = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    return rows, torch.arange(len(rows))


def by_cosines(cosines: list[float], *counts: int, scale: float = 1.0, pool: Any = "mean_prob") -> torch.Tensor:
    """Scores of one picture whose cosines with the sentences are given."""
    z = torch.tensor([[1.0, 0.0]])
    c = torch.tensor(cosines)
    vectors = torch.stack([c, (1 - c**2).clamp_min(0).sqrt()], dim=1)
    rows, columns = entries(*counts)
    return pooled(z, vectors, rows, columns, len(counts), scale, pool)[0]


def test_three_rules_give_three_answers_on_one_picture() -> None:
    """Worked by hand: the best single sentence, the best mean, and the nearest mean direction."""
    vectors = F.normalize(
        torch.tensor(
            [
                [0.95, 0.3122, 0],
                [-0.2, 0.9798, 0],
                [0.5, 0.866, 0],
                [0.5, 0.866, 0],
                [0.45, 0, 0.893],
                [0.45, 0, -0.893],
            ]
        ),
        dim=1,
    )
    z, (rows, columns) = torch.tensor([[1.0, 0, 0]]), entries(2, 2, 2)
    picked = {
        pool: int(pooled(z, vectors, rows, columns, 3, 20.0, pool).argmax())  # type: ignore[arg-type]
        for pool in ("mean_prob", "mean_logit", "mean_embedding")
    }
    assert picked == {"mean_prob": 0, "mean_logit": 1, "mean_embedding": 2}


def test_a_sentence_said_twice_halves_what_others_get_by_the_denominator_alone() -> None:
    one = by_cosines([0.6, 0.5, 0.2], 1, 1, 1, scale=5.0).exp()
    two = by_cosines([0.6, 0.6, 0.5, 0.2], 2, 1, 1, scale=5.0).exp()
    e = torch.tensor([0.6, 0.5, 0.2]).mul(5).exp()
    assert torch.allclose(one, e / e.sum(), atol=1e-5)
    assert torch.allclose(two, e / (e.sum() + e[0]), atol=1e-5)
    assert int(one.argmax()) == int(two.argmax()) == 0


def test_one_good_sentence_of_ten_scores_a_tenth() -> None:
    found = by_cosines([0.9, *[-0.9] * 9, 0.0], 10, 1, scale=50.0).exp()
    total = math.exp(45) + 9 * math.exp(-45) + 1
    assert float(found[0]) == pytest.approx(math.exp(45) / total / 10, rel=1e-4)


def test_scores_are_the_logarithm_of_mean_probabilities() -> None:
    method = fitted()
    x = torch.as_tensor(pictures()[0].x[:5])
    network: Any = method.network_
    z = network.encode_image(x)
    said = DescriptionBank(BAGS).sentences(NAMES[4:], "a photo of a {}.")
    w = network.encode_text(network.tokenize(said.texts))
    p = torch.softmax(network.logit_scale.exp() * z @ w.T, dim=1)
    assert torch.allclose(method.decision_function(x)[:, 4:].exp(), p, atol=1e-5)  # no sentence: a name each
    assert set(method.predict(x)) <= {4, 5}


def test_prediction_at_a_scale_of_a_hundred_stays_finite() -> None:
    found = by_cosines([1.0, -1.0, -1.0], 1, 2, scale=100.0)
    assert torch.isfinite(found).all()
    assert float(found[1]) == pytest.approx(-200.0, abs=1e-3)


# -- groups ----------------------------------------------------------------------------------------------------


def clip_names() -> list[tuple[str, torch.nn.Parameter]]:
    import open_clip

    model = open_clip.CLIP(
        embed_dim=8,
        vision_cfg={"layers": 1, "width": 64, "patch_size": 8, "image_size": 16},  # type: ignore[arg-type]
        text_cfg={"context_length": 8, "vocab_size": 32, "width": 8, "heads": 1, "layers": 1},  # type: ignore[arg-type]
    )
    return list(model.named_parameters())


def test_groups_are_disjoint_and_the_reference_holds_no_attention() -> None:
    named = clip_names()
    name_of = {id(p): name for name, p in named}
    groups = parameter_groups(named, "reference", rates=(1e-7, 5e-7), weight_decay=1e-2)
    main, projections = ([name_of[id(p)] for p in group["params"]] for group in groups)
    assert not set(main) & set(projections)
    assert sorted(projections) == ["text_projection", "visual.proj"]
    assert not any("proj" in name for name in main)
    assert any("c_fc" in name for name in main)
    assert any("ln_" in name for name in main)
    assert "logit_scale" in main
    assert [group["lr"] for group in groups] == [1e-7, 5e-7]
    whole = parameter_groups(named, "all", rates=(1e-7, 5e-7), weight_decay=1e-2)
    assert sum(len(group["params"]) for group in whole) == len(named)
    assert len({id(p) for group in whole for p in group["params"]}) == len(named)


def test_what_the_reference_leaves_out_stays_to_the_bit() -> None:
    before = small_dual_encoder("image").state_dict()
    for scope, rests in (("reference", True), ("all", False)):
        after = fitted("image", train_scope=scope).network_.state_dict()
        moved = {name for name, value in before.items() if not torch.equal(value, after[name])}
        assert moved
        assert not rests or not any("proj" in name and not name.endswith("projection.weight") for name in moved)


# -- bags ----------------------------------------------------------------------------------------------------


def test_sentences_are_drawn_anew_and_each_of_a_bag_as_often() -> None:
    said = DescriptionBank(BAGS).sentences(NAMES, "{}")
    bags = Bags(said, len(NAMES), torch.arange(len(said.texts)).float()[:, None])
    generator = torch.Generator().manual_seed(0)
    drawn = bags.draw(torch.full((6000,), 3), generator)[:, 0]
    counts = torch.bincount(drawn.long(), minlength=len(said.texts))
    own = said.columns[said.rows == 3]
    assert counts.sum() == counts[own].sum()
    assert (counts[own] - 2000).abs().max() < 200  # three sentences, 6,000 draws: some four deviations


def test_a_class_without_a_sentence_has_its_name() -> None:
    said = DescriptionBank(BAGS).sentences(NAMES, "a photo of a {}.")
    assert [said.texts[i] for i in said.columns[said.rows == 4]] == ["a photo of a van."]
    assert said.texts[0] == "a photo of a red cat, it purrs"


def test_a_text_of_two_classes_is_one_column() -> None:
    bank = DescriptionBank({"a": ["it is red", "x"], "b": ["it is red"]})
    said = bank.sentences(("a", "b"), "{}", named=False)
    assert said.texts == ("it is red", "x")
    assert said.rows.tolist() == [0, 0, 1]
    assert said.columns.tolist() == [0, 1, 0]


def test_cleaning_rules() -> None:
    bank = DescriptionBank(
        {
            "owl": {
                "visual": ['1. "A bird with large eyes."', "The scientific name is Strix."],
                "location": ["A bird of woods."],
            }
        }
    )
    assert [s.text for s in bank.clean("two-words")["owl"]] == ["with large eyes", "name is Strix", "of woods"]
    assert [s.text for s in bank.clean("inaturalist")["owl"]] == ["bird with large eyes", "bird of woods"]
    assert bank.clean("two-words").sentences(("owl",), "a photo of a {} bird").texts[0] == (
        "a photo of a owl bird with large eyes"
    )
    assert bank.only("location").sources == ("location",)
    with pytest.raises(ValueError, match="sources"):
        bank.only("taxonomy")
    with pytest.raises(ValueError, match="rule"):
        bank.clean("none")  # type: ignore[arg-type]


def test_ranks_and_a_writer_make_sentences() -> None:
    ranks = DescriptionBank.of_ranks(
        {"robin": {"scientific name": "Erithacus rubecula", "family": "Muscicapidae", "order": "Passeriformes"}}
    )
    assert ranks.clean("two-words").sentences(("robin",), "a photo of a {} bird").texts == (
        "a photo of a robin bird, with scientific name Erithacus rubecula",
        "a photo of a robin bird, with family name Muscicapidae",
        "a photo of a robin bird, of the order Passeriformes",
    )
    asked = DescriptionBank.asked(["owl"], lambda question: f"- A bird with {len(question)} letters.\n\n", kind="bird")
    assert asked.sources == ("visual", "location")
    assert len(asked["owl"]) == 2
    with pytest.raises(ValueError, match="genus"):
        DescriptionBank.of_ranks({"robin": {"genus": "Erithacus"}})


def test_tables_are_read(tmp_path: Any) -> None:
    table = tmp_path / "said.csv"
    table.write_text(
        "name,sentence,source\nowl,It has large eyes. It is quiet.,visual\nowl,Woods,location\ncat,,visual\n"
    )
    bank = DescriptionBank.read(table)
    assert bank["owl"] == (
        Sentence("It has large eyes.", "visual"),
        Sentence("It is quiet.", "visual"),
        Sentence("Woods", "location"),
    )
    assert bank["cat"] == ()
    assert bank.lacking(("owl", "cat")) == ["cat"]
    (tmp_path / "said.json").write_text('{"owl": ["a", "b"]}')
    assert len(DescriptionBank.read(tmp_path / "said.json")["owl"]) == 2
    with pytest.raises(ValueError, match="no column 'text'"):
        DescriptionBank.read(table, sentence="text")
    with pytest.raises(ValueError, match="ends in"):
        DescriptionBank.read(tmp_path / "said.xlsx")
    with pytest.raises(TypeError, match="owl"):
        DescriptionBank({"owl": [3]})


def test_shuffling_gives_every_class_another_bag() -> None:
    bank = DescriptionBank({name: [f"it is number {i}"] for i, name in enumerate(NAMES)})
    for seed in range(5):
        dealt = bank.shuffled(seed)
        assert all(dealt[name] != bank[name] for name in NAMES)
        assert {s.text for name in NAMES for s in dealt[name]} == {s.text for name in NAMES for s in bank[name]}


def test_names_outlast_the_shuffling() -> None:
    bank = DescriptionBank({"red_owl": ["A Red Owl has large eyes", "owlish"], "c++": ["c++ compiles"]})
    dealt = bank.shuffled()
    assert [s.text for s in dealt["c++"]] == ["A c++ has large eyes", "owlish"]
    assert [s.text for s in dealt["red_owl"]] == ["red owl compiles"]


def test_names_can_be_taken_out() -> None:
    bank = DescriptionBank({"owl": ["An owl has large eyes", "owl"], "cat": ["it purrs"]})
    assert [s.text for s in bank.without_names()["owl"]] == ["An has large eyes"]
    said = bank.without_names().sentences(("owl", "cat"), "a photo of a {}.", named=False)
    assert said.texts == ("An has large eyes", "it purrs")


# -- classes that come later, and bad input ------------------------------------------------------------------


def test_a_class_may_be_added_when_asked() -> None:
    method, x = fitted(), torch.as_tensor(pictures()[0].x[:7])
    before = {name: value.clone() for name, value in method.network_.state_dict().items()}
    more = ClassSpace(names=("dog", "boat", "red cat"))
    p = method.predict_proba(x, more, {"boat": ["it floats", "it is wet"]})
    assert p.shape == (7, 3)
    known = method.decision_function(x, more)  # sentences that `fit` was given are remembered
    assert not torch.allclose(known, method.decision_function(x, more, {"dog": ["it meows"]}))
    assert all(torch.equal(before[name], value) for name, value in method.network_.state_dict().items())


def test_other_classes_may_be_asked_about_where_one_source_counts() -> None:
    bank = DescriptionBank({"dog": {"visual": ["it barks"]}, "bus": {"visual": ["it is long"], "location": ["roads"]}})
    method, x = fitted(prompts=bank, sources="visual"), torch.as_tensor(pictures()[0].x[:7])
    other = ClassSpace(names=("fox", "cat"))
    assert method.predict_proba(x, other).shape == (7, 2)
    assert torch.equal(method.decision_function(x, other, {}), method.decision_function(x, other))
    told = method.decision_function(x, other, {"fox": {"location": ["woods"]}})
    assert torch.equal(told, method.decision_function(x, other))  # no such sentence: its name stands for it
    seen = {"fox": {"visual": ["it is red"], "location": ["woods"]}}
    assert not torch.allclose(told, method.decision_function(x, other, seen))
    assert method._asked(method.classes_, None).bags == {
        name: method._asked(method.classes_, bank)[name] for name in NAMES
    }
    with pytest.raises(ValueError, match="sources"):
        fitted(prompts=bank, sources="taxonomy")


def test_bags_that_no_class_has_are_told(caplog: Any) -> None:
    with caplog.at_level(logging.WARNING):
        method = fitted(prompts={"Dog": ["it barks"], "bus": ["it is long"]})
    assert "1 of 2 bags of prompts are of names that no class has, such as 'Dog'" in caplog.text
    caplog.clear()
    x, other = torch.as_tensor(pictures()[0].x[:2]), ClassSpace(names=("fox", "dog"))
    with caplog.at_level(logging.WARNING):
        method.predict(x, other, {"fox": ["it is red"], "bus": ["it is long"]})  # of a class of `fit`: no mistake
        assert not caplog.text
        method.predict(x, other, {"foxes": ["they are red"]})
    assert "'foxes'" in caplog.text


def test_seen_classes_are_candidates_only_where_they_are_asked_for() -> None:
    method, x = fitted(), torch.as_tensor(pictures()[0].x)
    assert set(method.predict(x)) <= {4, 5}
    method.generalized = True
    assert set(method.predict(x)) & {0, 1, 2, 3}
    method.handicap = 1e3
    assert set(method.predict(x)) <= {4, 5}


def test_layers_beside_frozen_towers_change_nothing_before_they_learn() -> None:
    from unseen.nn.dual_encoder import Letters
    from unseen.nn.layer_statistics import row_reader
    from unseen.nn.prompting import PromptableTowers
    from unseen.nn.small_towers import _numbered, small_towers

    text = small_towers().text
    towers = PromptableTowers(row_reader((), 4), text, 20.0, _numbered)
    source = Domain(
        x=F.normalize(torch.randn(24, 4, generator=torch.Generator().manual_seed(0))).numpy(), y=np.arange(24) % 2
    )
    classes = ClassSpace(names=("a", "b", "c"), seen=[0, 1])
    with pytest.raises(ValueError, match="encoder"):
        AdaptCLIPZS().fit(source=source, classes=classes, encoder=towers)
    towers.reader = Letters()
    method = AdaptCLIPZS(epochs=0, generalized=True).fit(source=source, classes=classes, encoder=towers)
    w = towers.encode_texts([f"a photo of a {name}." for name in classes.names])
    p = torch.softmax(20 * torch.as_tensor(source.x) @ w.T, dim=1)
    assert torch.allclose(method.predict_proba(source), p, atol=1e-5)
    learnt = AdaptCLIPZS(**SHORT, generalized=True).fit(source=source, classes=classes, encoder=towers)
    assert not torch.allclose(learnt.predict_proba(source), p, atol=1e-3)
    with pytest.raises(ValueError, match="source"):
        method.fit(source=source.replace(x=np.zeros((24, 5), dtype=np.float32)), classes=classes, encoder=towers)


def test_bad_input_is_named(caplog: Any) -> None:
    source, classes = pictures()
    with pytest.raises(TypeError, match="prompts"):
        fitted(prompts=["a sentence"])
    with pytest.raises(ValueError, match="template"):
        fitted(template="a photo")
    with pytest.raises(TypeError, match="encoder"):
        AdaptCLIPZS().fit(source=source, classes=classes, encoder=torch.nn.Linear(2, 2))
    with pytest.raises(ValueError, match="source"):
        AdaptCLIPZS().fit(source=source, classes=classes.replace(seen=[0]), encoder=small_dual_encoder())
    wide = source.replace(x=np.zeros((len(source), 5), dtype=np.float32))
    with pytest.raises(ValueError, match="source"):
        AdaptCLIPZS().fit(source=wide, classes=classes, encoder=small_dual_encoder())
    with caplog.at_level(logging.WARNING):
        fitted(prompts={"dog": ["it is " + "very " * 30 + "old"]})
    assert "1 of 6 sentences are longer than the text tower reads" in caplog.text


def test_few_shots_and_orders_take_what_they_say() -> None:
    source, _classes = pictures(n=40)
    few = AdaptCLIPZS(shots=3)._few(source)
    assert np.bincount(few.labels).tolist() == [3, 3, 3, 3]
    for order in ("balanced", "classes", "shuffled"):
        assert len(fitted(order=order).history_["loss"]) == 2


def test_balanced_batches_hold_several_of_a_class() -> None:
    from unseen.data.samplers import class_batches

    source, _ = pictures(n=40)
    seen: list[torch.Tensor] = []

    def objective(batch: Any, run: Any) -> torch.Tensor:
        seen.append(batch.y)
        return weight.sum()

    weight = torch.nn.Parameter(torch.zeros(1))
    net = torch.nn.ParameterList([weight])
    train(objective, name="t", nets={"n": net}, optimizers={"a": torch.optim.SGD([weight], 0.1)},
          batches=class_batches(source, 8, 4), epochs=1, steps_per_epoch=9)  # fmt: skip
    assert all(sorted(torch.bincount(y).tolist())[-1] >= 4 and len(y) == 8 for y in seen)


def test_batches_of_small_classes_are_filled_and_nothing_is_left_out() -> None:
    from unseen.data.samplers import class_batches, class_steps

    y = np.repeat(np.arange(64), 2)
    source = Domain(x=np.zeros((128, 3), dtype=np.float32), y=y)
    for size, each in ((128, 4), (32, 4), (30, 4)):
        run = type("Run", (), {"generator": torch.Generator().manual_seed(0)})()
        seen = [batch.index for batch in class_batches(source, size, each)(run)]
        assert len(seen) == class_steps(y, size, each) == 128 // size
        assert all(len(index) == size for index in seen)
        assert len(torch.cat(seen).unique()) == 128 // size * size
    assert class_steps(np.repeat(np.arange(3), 5), 4, 4) == 3  # one of five rests in each pass
    assert class_steps(np.arange(3), 8, 4) == 1


def test_the_rate_starts_anew_after_ten_epochs_and_twenty_more() -> None:
    from unseen.nn.schedules import warm_restarts

    weight = torch.nn.Parameter(torch.zeros(1))
    adam = torch.optim.SGD([weight], lr=1.0)
    schedule, theirs = warm_restarts(adam, 2), []
    other = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    reference = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(other, 10, 2)
    for _ in range(35):
        theirs.append(reference.get_last_lr()[0])
        reference.step()
    assert np.allclose([schedule.lr_lambdas[0](2 * e + 1) for e in range(35)], theirs, atol=1e-6)

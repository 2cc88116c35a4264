"""Checks of GeneCIS's spec: mining, the combiner, its loss, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from unseen.data.domain import Domain
from unseen.data.pairs import Pairs
from unseen.methods.multimodal.genecis import Combiner, GeneCIS, PatternParser, Relation, TripletMiner
from unseen.methods.multimodal.genecis.method import Reading, scoped, unlike_targets
from unseen.methods.multimodal.genecis.needs import ComposedTowers, scenes_of_a_moment
from unseen.methods.multimodal.genecis.parser import relations_of, rows_of
from unseen.methods.query_composers import plain_query
from unseen.nn.contrastive import contrastive
from unseen.nn.small_towers import small_dual_encoder

QUICK: dict[str, Any] = dict(GeneCIS.card.smoke)


def given() -> dict[str, Any]:
    made = ComposedTowers().example({"model": 1})
    return {key: made[key] for key in ("pairs", "model")}


# -- parsing and mining ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("caption", "edges"),
    [
        ("A dog on the red sofa next to a cat, and a bird", [("dog", "on", "sofa"), ("dog", "next to", "cat")]),
        (
            "two men riding a horse in front of the old house",
            [("men", "riding", "horse"), ("men", "in front of", "house")],
        ),
        ("a cat is sitting on a mat. A bird in a tree", [("cat", "on", "mat"), ("bird", "in", "tree")]),
        ("a photo of a dog on grass", [("dog", "on", "grass")]),
        ("an image of the cat", []),
        ("a cup of tea", [("cup", "of", "tea")]),
        ("a dog", []),
        ("", []),
        ("on", []),
    ],
)
def test_captions_give_subject_relation_and_object(caption: str, edges: list[tuple[str, str, str]]) -> None:
    assert PatternParser()(caption) == edges


def rows() -> list[Relation]:
    places = ("grass", "sofa", "box")
    own = [Relation(i, "dog" if i % 2 else "cat", "on", places[i // 2 % 3]) for i in range(24)]
    return [*own, *(Relation(30 + i, "cow", "in", "barn") for i in range(5)), Relation(40, "owl", "in", "box")]


def test_a_target_shares_the_subject_and_neither_object_nor_image_and_its_condition_is_relation_and_object() -> None:
    miner = TripletMiner(rows())
    for seed in range(200):
        triplet = miner.sample(seed)
        assert triplet.target.subject == triplet.reference.subject
        assert triplet.target.object != triplet.reference.object
        assert triplet.target.sample != triplet.reference.sample
        assert triplet.condition == f"{triplet.target.relation} {triplet.target.object}"
        assert triplet.distractor.object == triplet.target.object


def test_one_seed_gives_one_triplet_whatever_else_is_mined() -> None:
    first = [TripletMiner(rows()).sample(seed) for seed in (3, 7)]
    miner = TripletMiner(rows())
    assert [miner.sample(seed) for seed in range(10)][3] == first[0]
    assert miner.sample(7) == first[1]


def test_subjects_with_one_object_or_few_images_are_no_candidates_and_probabilities_are_theirs() -> None:
    miner = TripletMiner(rows())
    assert miner.subjects == ["cat", "dog"]  # the cow stands in five images with one object, the owl in one
    assert miner.probabilities.tolist() == pytest.approx([0.5, 0.5])
    more = TripletMiner([*rows(), *(Relation(50 + i, "cat", "on", "mat") for i in range(12))])
    assert dict(zip(more.subjects, more.probabilities)) == pytest.approx({"cat": 2 / 3, "dog": 1 / 3})
    with pytest.raises(ValueError, match="none has"):
        TripletMiner(rows(), min_images=100)


def test_one_abstract_noun_rejects_a_triplet_and_plurals_count_as_their_singular() -> None:
    ratings = {"dog": 5.0, "cat": 5.0, "grass": 5.0, "sofa": 5.0, "box": 5.0, "idea": 1.5, "berry": 4.9}
    miner = TripletMiner(rows(), concreteness=ratings)
    triplet = miner.sample(0)
    assert miner.is_concrete(triplet)
    assert not miner.is_concrete(triplet._replace(target=triplet.target._replace(object="idea")))
    assert not miner.is_concrete(triplet._replace(target=triplet.target._replace(object="unheard")))  # counts as -1
    assert miner.concreteness is not None
    assert miner.concreteness["boxes"] == 5.0
    assert miner.concreteness["berries"] == 4.9
    abstract = [*rows(), *(Relation(60 + i, "dog", "with", "idea") for i in range(40))]
    filtered, all_of = TripletMiner(abstract, concreteness=ratings), TripletMiner(abstract)
    assert not any("idea" in filtered.sample(seed).condition for seed in range(60))
    assert any("idea" in all_of.sample(seed).condition for seed in range(60))
    with pytest.raises(ValueError, match="concreteness must exceed"):
        TripletMiner(rows(), concreteness={"dog": 1.0}).sample(0)


# -- the combiner ------------------------------------------------------------------------------------------


def forced(value: float) -> Combiner:
    """A combiner without W_o whose lambda is what it is told to be."""
    torch.manual_seed(0)
    made = Combiner(6, 8, 8, 0.5).eval()
    with torch.no_grad():
        made.output.weight.zero_()
        made.output.bias.zero_()
        made.scalar.weight.zero_()
        made.scalar.bias.fill_(value)
    return made


@pytest.mark.parametrize(("bias", "mode"), [(40.0, "text"), (-40.0, "image"), (0.0, "sum")])
def test_forced_shares_give_text_image_and_their_sum(bias: float, mode: Any) -> None:
    x, t = torch.randn(5, 6), 3 * torch.randn(5, 6)
    torch.testing.assert_close(forced(bias)(x, t), plain_query(x, t, mode))


def test_a_plain_query_has_no_combiner() -> None:
    with pytest.raises(ValueError, match="mode must be image, text or sum where nothing is learnt; got 'combiner'"):
        plain_query(torch.randn(2, 6), torch.randn(2, 6), "combiner")


def test_the_combiner_is_deterministic_at_rest_and_lengths_of_its_inputs_matter() -> None:
    torch.manual_seed(1)
    made = Combiner(6, 8, 8, 0.5).eval()
    x, t = torch.randn(5, 6), torch.randn(5, 6)
    assert torch.equal(made(x, t), made(x, t))
    assert not torch.allclose(made(x, t), made(x, 5 * t), atol=1e-3)
    torch.testing.assert_close(made(x, t).norm(dim=1), torch.ones(5))
    torch.testing.assert_close(made(x[:1], t[:1]), made(x, t)[:1])  # a batch of one is not squeezed
    assert not torch.equal(made.train()(x, t), made(x, t))


def test_the_loss_is_near_zero_where_queries_are_orthonormal_targets_and_log_b_where_all_are_alike() -> None:
    g = torch.eye(7)
    assert float(contrastive(100 * g @ g.T)) == pytest.approx(math.log(1 + 6 * math.exp(-100)), abs=1e-6)
    same = torch.ones(7, 7) / 7**0.5
    assert float(contrastive(100 * same @ same.T)) == pytest.approx(math.log(7), rel=1e-5)


def test_an_order_of_the_batch_changes_the_terms_alone_and_a_target_that_stands_twice_costs_log_2() -> None:
    q, g = F.normalize(torch.randn(6, 4), dim=1), F.normalize(torch.randn(6, 4), dim=1)
    order = torch.randperm(6)
    assert float(contrastive(q @ g.T)) == pytest.approx(float(contrastive(q[order] @ g[order].T)), rel=1e-5)
    g[1] = g[0]
    rows_ = F.cross_entropy(100 * q @ g.T, torch.arange(6), reduction="none")
    assert float(rows_[:2].min()) >= math.log(2) - 1e-5
    table = torch.tensor([(0, 5, 1, 0), (2, 5, 1, 0), (3, 6, 1, 0)])
    assert unlike_targets(table).tolist() == [[0, 5, 1, 0], [3, 6, 1, 0]]
    assert len(unlike_targets(table[:2])) == 2  # one row alone would be no question


# -- the method --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", ["head", "text", "image-pool", "image-plus-text", "whole"])
def test_what_learns_is_what_the_scope_says(scope: Any) -> None:
    inputs = given()
    method = GeneCIS(**{**QUICK, "learning_rate": 0.05}, scope=scope).fit(**inputs)
    before = inputs["model"].state_dict()
    moved = {name for name, value in method.towers_.state_dict().items() if not torch.equal(value, before[name])}
    sides = {name.partition(".")[0] for name in moved}
    expected = {"head": set(), "text": {"text"}, "image-pool": {"image"}}.get(scope, {"image", "text"})
    assert sides == expected
    chosen = {id(p) for p in scoped(inputs["model"], scope)}
    assert moved <= {name for name, p in inputs["model"].named_parameters() if id(p) in chosen}


def test_the_combiner_learns_from_captions_alone_to_find_targets() -> None:
    inputs = given()
    more: dict[str, Any] = {"epochs": 12, "triplets": 300, "learning_rate": 2e-2, "project": 32, "hidden": 32}
    found = GeneCIS(**{**QUICK, **more, "dropout": 0.0, "scale": 20.0}).fit(**inputs)
    assert max(found.history_) > 0.5  # of six kinds of scenes
    assert found.subjects_ == 2
    assert found.relations_ == 24
    for mode in ("image", "text", "sum"):
        plain = GeneCIS(**QUICK, mode=mode).fit(**inputs)
        assert plain.history_ == ()
        assert torch.isfinite(plain.decision_function(torch.as_tensor(inputs["pairs"].left.x))).all()


def test_distractors_are_further_wrong_answers() -> None:
    inputs = given()
    plain = GeneCIS(**QUICK, scope="head").fit(**inputs)
    beside = GeneCIS(**QUICK, scope="head", text_distractors=True).fit(**inputs)
    assert not torch.equal(plain.combiner_.output.weight, beside.combiner_.output.weight)


class Recorded:
    """Vectors of pictures and texts that are their number alone, as `Reading` gives them."""

    def pictures(self, index: torch.Tensor) -> torch.Tensor:
        return torch.eye(16)[index]

    texts = pictures


class Added(Combiner):
    """The sum."""

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return F.normalize(x + t, dim=1)


def test_distractors_that_are_right_are_not_counted_as_wrong() -> None:
    method = GeneCIS(**QUICK, text_distractors=True)
    head = Added(16, 2, 2)
    # reference, target, distractor, condition, kind of the target's relation, of the distractor's
    right_picture = torch.tensor([(0, 1, 1, 2, 0, 1), (3, 4, 5, 6, 2, 3)])
    right_relation = torch.tensor([(0, 1, 7, 2, 0, 0), (3, 4, 5, 6, 2, 3)])
    wrong = torch.tensor([(0, 1, 7, 2, 0, 1), (3, 4, 5, 6, 2, 3)])
    losses = [float(method._loss(head, Recorded(), rows)) for rows in (right_picture, right_relation, wrong)]  # type: ignore[arg-type]
    # all cosines are 0: of four columns one is left out in the first row, none in the second
    assert losses[0] == pytest.approx((math.log(3) + math.log(4)) / 2)
    assert losses[1] == pytest.approx((math.log(3) + math.log(4)) / 2)
    assert losses[2] == pytest.approx(math.log(4))


@pytest.mark.parametrize(
    "change", [{"batch_size": 1}, {"dropout": 1.0}, {"held_out": 1.0}], ids=["batch_size", "dropout", "held_out"]
)
def test_settings_that_teach_nothing_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(change))} must be in"):
        GeneCIS(**change)


def test_without_held_out_triplets_there_is_no_history_and_the_last_epoch_stays() -> None:
    method = GeneCIS(**QUICK, scope="head", held_out=0.0).fit(**given())
    assert method.history_ == ()


def test_ready_rows_that_lack_something_are_passed_over() -> None:
    inputs = given()
    n = len(inputs["pairs"].left)
    columns = {
        "subject": np.array(["dog", "cat"] * (n // 2)),
        "relation": np.array(["on"] * n),
        "object": np.array(["", "nan", "sofa", "box"] * (n // 4)),
    }
    rows_ = rows_of(inputs["pairs"].replace(columns=columns), [])
    capitals = {name.capitalize(): column for name, column in columns.items()}
    assert rows_of(inputs["pairs"].replace(columns=capitals), []) == rows_
    assert {row.object for row in rows_} == {"sofa", "box"}
    assert [row.sample for row in rows_[:2]] == [2, 3]
    empty = {**columns, "object": np.array([""] * n)}
    with pytest.raises(ValueError, match="no row has all of"):
        rows_of(inputs["pairs"].replace(columns=empty), [])


def test_rows_that_stand_ready_take_the_place_of_the_parser() -> None:
    inputs = given()
    edges = relations_of(inputs["pairs"].right.x.tolist())
    columns = {name: np.array([getattr(edge, name) for edge in edges]) for name in ("subject", "relation", "object")}
    silent = Domain(x=np.array(["?"] * len(edges)), kind="text")
    ready = GeneCIS(**QUICK, scope="head").fit(
        pairs=inputs["pairs"].replace(right=silent, columns=columns), model=inputs["model"]
    )
    parsed = GeneCIS(**QUICK, scope="head").fit(**inputs)
    assert torch.equal(ready.combiner_.output.weight, parsed.combiner_.output.weight)


def test_an_empty_condition_is_the_empty_text_and_changes_the_query() -> None:
    inputs = given()
    method = GeneCIS(**QUICK, scope="head").fit(**inputs)
    x = torch.as_tensor(inputs["pairs"].left.x)[:3]
    empty = method.embed_query(x, ["", "", ""])
    torch.testing.assert_close(empty @ method.gallery_.T, method.decision_function(x))
    assert not torch.allclose(empty, method.embed_query(x, ["on sofa"] * 3))
    with pytest.raises(ValueError, match="a text for each picture, 3; got 2"):
        method.embed_query(x, ["", ""])


def test_pictures_of_a_frozen_tower_are_read_once_and_give_what_they_give_anew() -> None:
    x, _ = scenes_of_a_moment()
    towers = small_dual_encoder("features", 16)
    tokens = towers.tokenize(["on sofa", "in box"])
    kept, anew = (Reading(towers, Domain(x=x), tokens, frozen=frozen) for frozen in (True, False))
    index = torch.tensor([3, 1, 3])
    torch.testing.assert_close(kept.pictures(index), anew.pictures(index))
    torch.testing.assert_close(kept.texts(index % 2), anew.texts(index % 2))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"right": Domain(x=np.array(["a dog"] * 24), kind="text")}, "no caption has two nouns"),
        ({"right": Domain(x=np.array([f"a x{i} on y{i}" for i in range(24)]), kind="text")}, "none has"),
        ({"left": Domain(x=np.array(["a"] * 24), kind="text")}, "pictures and texts"),
    ],
)
def test_captions_that_teach_nothing_are_refused(change: Any, told: str) -> None:
    inputs = given()
    with pytest.raises(ValueError, match=told):
        GeneCIS(**QUICK).fit(pairs=inputs["pairs"].replace(**change), model=inputs["model"])


def test_ratings_need_a_column_of_numbers_and_a_model_two_towers() -> None:
    inputs = given()
    words = Domain(x=np.array(["dog"]), kind="text")
    with pytest.raises(ValueError, match="column concreteness"):
        GeneCIS(**QUICK).fit(**inputs, auxiliary=words)
    with pytest.raises(TypeError, match="two towers"):
        GeneCIS(**QUICK).fit(pairs=inputs["pairs"], model=torch.nn.Linear(2, 2))
    few = Pairs(inputs["pairs"].left.take([0]), inputs["pairs"].right.take([0]))
    with pytest.raises(ValueError, match="at least two"):
        GeneCIS(**QUICK).fit(pairs=few, model=inputs["model"])

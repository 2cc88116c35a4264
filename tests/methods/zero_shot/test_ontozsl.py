"""OntoZSL: the analytic checks of its description, and what must hold of its encoder and of classes never seen."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.label_metrics import taxonomy
from unseen.data.ontologies import build, with_ontology
from unseen.data.ontology import Ontology
from unseen.data.words import WordVectors
from unseen.methods.base import NotFittedError
from unseen.methods.zero_shot.ontozsl import OntologyEncoder, OntoZSL
from unseen.methods.zero_shot.ontozsl.encoder import (
    Ends,
    _Batch,
    _both_sides,
    _Frozen,
    energy,
    joint_loss,
    margin_loss,
    settings_of,
    text_aware,
)
from unseen.nn.kge import Corruption
from unseen.nn.state import digest
from unseen.nn.text_vectors import text_vectors
from unseen.nn.train import Run
from unseen.testing.inputs import ontology, word_vectors

SMOKE = dict(OntoZSL.card.smoke)
QUICK: dict[str, Any] = {"dim": 8, "negatives": 4, "structure_steps": 4, "text_epochs": 1}
COLOURS = ("red", "green", "blue", "black", "white", "pink")
SHAPES = ("round", "square", "long", "flat", "bent")
N = len(COLOURS) * len(SHAPES)


def toys() -> Ontology:
    """Thirty things of a colour and a shape each, below their shapes."""
    names = [f"{colour} {shape}" for colour in COLOURS for shape in SHAPES]
    rows = [(name, "hasColour", name.split()[0]) for name in names]
    rows += [(name, "subClassOf", name.split()[1]) for name in names]
    return build(rows, classes=names)


def words() -> WordVectors:
    known = (*COLOURS, *SHAPES)
    return WordVectors(known, np.random.default_rng(0).normal(size=(len(known), 6)).astype(np.float32))


def problem(n: int = 8, seed: int = 0) -> tuple[Domain, Domain, ClassSpace]:
    """Features that show colour and shape: samples of 25 seen toys, of five unseen ones, and all classes."""
    rng = np.random.default_rng(seed)
    o = toys()
    names = [o.concepts[i] for i in o.nodes]
    marks = np.array([[word in name.split() for word in (*COLOURS, *SHAPES)] for name in names], dtype=float)
    y = np.repeat(np.arange(N), n)
    x = np.maximum(marks[y] @ rng.normal(size=(11, 12)) + 0.2 * rng.normal(size=(len(y), 12)), 0)
    unseen = [0, 6, 12, 18, 24]
    classes = ClassSpace(names=names, ontology=o, seen=np.setdiff1d(np.arange(N), unseen))
    whole = Domain(x=x.astype(np.float32), y=y, classes=classes)
    return whole.take(~np.isin(y, unseen)), whole.take(np.isin(y, unseen)), classes


# -- the checks of the specification -----------------------------------------------------------------------


def test_without_text_the_energy_is_twice_that_of_structure_and_terms_of_one_end_each() -> None:
    net = text_aware(5, 3, 4)
    s_h, s_t, r = torch.randn(3, 7, 5)
    nothing = torch.zeros(7, 3)
    h, t, p = net.concepts(s_h, nothing), net.concepts(s_t, nothing), net.properties(r)
    assert not h.t.any()
    length = lambda v: v.abs().sum(dim=1)
    expected = 2 * length(h.s + p - t.s) + length(h.s + p) + length(p - t.s) + length(p)
    torch.testing.assert_close(energy(h, p, t), expected)


def test_the_energy_is_the_sum_of_five_terms_by_hand() -> None:
    h, t = Ends(torch.tensor([[1.0]]), torch.tensor([[2.0]])), Ends(torch.tensor([[0.5]]), torch.tensor([[-1.0]]))
    r = torch.tensor([[0.25]])
    assert float(energy(h, r, t)) == 0.75 + 2.25 + 1.75 + 3.25 + 3.75


def test_if_all_corrupted_energies_are_larger_by_the_margin_the_loss_is_exactly_zero() -> None:
    positive = torch.tensor([1.0, 4.0])
    assert float(margin_loss(positive, [positive + 10, positive + 11])) == 0
    assert float(margin_loss(positive, [positive + 9, positive + 10])) == pytest.approx(1)


def test_relations_and_concepts_share_their_projection_so_that_its_gradient_flows_from_relations() -> None:
    net = text_aware(5, 3, 4)
    net.properties(torch.randn(2, 5)).sum().backward()
    assert net.structure.weight.grad is not None
    assert net.structure.weight.grad.abs().sum() > 0
    assert net.text.weight.grad is None
    assert sorted(name for name, _ in net.named_parameters()) == [
        "structure.bias", "structure.weight", "text.bias", "text.weight",
    ]  # fmt: skip


def test_the_projections_learn_from_both_corruptions_and_from_the_relation() -> None:
    net, s, r, t = text_aware(5, 3, 4), torch.randn(6, 5), torch.randn(2, 5), torch.randn(6, 3)
    frozen = _Frozen(s, r, t)
    frozen.register_buffer("told", torch.arange(6))
    batch = _Batch(torch.tensor([[0, 0, 1], [2, 1, 3]]), torch.tensor([4, 5]), torch.tensor([5, 4]))
    ends = lambda *i: net.concepts(s[list(i)], t[list(i)])
    p = net.properties(r)
    positive = energy(ends(0, 2), p, ends(1, 3))
    negatives = [energy(ends(0, 2), p, ends(5, 4)), energy(ends(4, 5), p, ends(1, 3))]
    got = joint_loss(net, frozen, batch, 50.0, energy)
    torch.testing.assert_close(got, margin_loss(positive, negatives, 50.0))

    def gradient(loss: torch.Tensor) -> torch.Tensor:
        return torch.autograd.grad(loss, net.structure.weight)[0]

    still = p.detach()
    alone = [energy(ends(0, 2), still, ends(5, 4)), energy(ends(4, 5), still, ends(1, 3))]
    detached = gradient(margin_loss(energy(ends(0, 2), still, ends(1, 3)), alone, 50.0))
    assert not torch.allclose(gradient(got), detached)


def test_word_vectors_are_a_baseline_by_a_swap_of_one_matrix() -> None:
    source, pool, classes = problem()
    settings = {**SMOKE, "epochs": 2}
    vectors = text_vectors(classes.names, words()).vectors.numpy()
    other = classes.replace(attributes=vectors, ontology=None)
    swapped = OntoZSL(**settings, condition="attributes").fit(source=source.replace(classes=other), classes=other)
    baseline = OntoZSL(**settings, condition="words").fit(source=source, classes=classes, encoder=words())
    assert torch.equal(swapped.decision_function(pool), baseline.decision_function(pool))
    o = OntologyEncoder(**QUICK).fit(toys(), words()).transform(classes.names)
    given = classes.replace(attributes=o.numpy(), ontology=None)
    swapped = OntoZSL(**settings, condition="attributes").fit(source=source.replace(classes=given), classes=given)
    whole = OntoZSL(**settings).fit(source=source, classes=classes, encoder=words())
    assert torch.equal(swapped.decision_function(pool), whole.decision_function(pool))


def test_corrupted_triples_of_the_ontology_are_never_used_as_negatives_of_the_projections() -> None:
    triples = toys().triples
    known = {tuple(row) for row in triples.tolist()}
    stream = _both_sides(triples, Corruption(triples, len(toys().concepts)), 10)
    seen = 0
    for batch in stream(Run("s", {}, {}, 1, None)):
        for (h, r, t), head, tail in zip(batch.triples.tolist(), batch.heads.tolist(), batch.tails.tolist()):
            assert (head, r, t) not in known
            assert (h, r, tail) not in known
            seen += 1
    assert seen == len(triples)


def test_unseen_classes_take_part_in_the_ontology_and_samples_do_not() -> None:
    source, _, classes = problem()
    fitted = OntoZSL(**SMOKE).fit(source=source, classes=classes, encoder=words())
    noisy = source.replace(x=source.x + np.random.default_rng(0).normal(size=source.x.shape).astype(np.float32))
    again = OntoZSL(**SMOKE).fit(source=noisy, classes=classes, encoder=words())
    assert torch.equal(fitted.vectors_, again.vectors_)
    assert set(classes.names) <= set(fitted.concepts_)
    long = {**QUICK, "structure_steps": 300}
    plain = OntologyEncoder(**long, text_aware=False).fit(toys())
    poor = toys()
    unseen = int(poor.nodes[0])
    poor = dataclasses.replace(poor, triples=poor.triples[poor.triples[:, 0] != unseen])
    without = OntologyEncoder(**long, text_aware=False).fit(poor)

    def near(encoder: OntologyEncoder) -> float:
        a, b = encoder.transform(["red round", "red long"], "structure")
        return float((a - b).abs().sum())

    assert near(plain) < near(without)  # its triples brought it near to what shares its colour


# -- texts -------------------------------------------------------------------------------------------------


def test_texts_are_means_of_their_words_at_unit_length() -> None:
    table = WordVectors(("red", "round"), np.array([[3.0, 0.0], [0.0, 1.0]], dtype=np.float32))
    found = text_vectors(["red round", "red red unknown", "", "unknown"], table)
    torch.testing.assert_close(found.vectors[0], torch.tensor([3.0, 1.0]) / 10**0.5)
    assert found.vectors[1].tolist() == [1, 0]
    assert found.known.tolist() == [True, True, False, False]
    assert found.skipped == 2


def test_classes_that_come_later_are_told_with_the_rarities_of_the_fit() -> None:
    source, _, classes = problem()
    fitted = OntoZSL(**SMOKE, condition="words", weighting="tfidf").fit(source=source, classes=classes, encoder=words())
    kept = np.r_[classes.seen, classes.unseen[:1]]
    some = classes.take(kept)
    torch.testing.assert_close(fitted._conditions(some, words()), fitted.conditions_[kept])


def test_the_centre_is_that_of_the_seen_classes() -> None:
    source, _, classes = problem()
    fitted = OntoZSL(**SMOKE).fit(source=source, classes=classes, encoder=words())
    seen = (
        OntologyEncoder(**settings_of(fitted)).fit(toys(), words()).transform([classes.names[c] for c in classes.seen])
    )
    torch.testing.assert_close(fitted.centre_, seen.mean(dim=0), atol=1e-5, rtol=1e-4)
    same = classes.replace(attributes=np.ones((len(classes), 3)), ontology=None)
    with pytest.raises(ValueError, match="told apart"):
        OntoZSL(**SMOKE, condition="attributes").fit(source=source.replace(classes=same), classes=same)


def test_rare_words_weigh_more_by_tf_idf() -> None:
    table = WordVectors(("red", "round"), np.eye(2, dtype=np.float32))
    found = text_vectors(["red round", "red", "red red"], table, "tfidf")
    idf = np.log((1 + 3) / (1 + np.array([3, 1]))) + 1
    np.testing.assert_allclose(found.vectors[0], idf / np.linalg.norm(idf), rtol=1e-5)


def test_a_concept_without_a_known_word_is_left_out_of_the_projections_and_keeps_its_structural_half() -> None:
    o = build([*toys().named, ("red round", "hasName", "xyzzy"), ("blue flat", "hasName", "xyzzy")])
    encoder = OntologyEncoder(**QUICK).fit(o, words())
    assert encoder.without_text_ == 1
    assert encoder.skipped_ == 1
    s, t = encoder.transform(["xyzzy"]).split(8, dim=1)
    assert torch.equal(s, t)
    s, t = encoder.transform(["red round"]).split(8, dim=1)
    assert not torch.equal(s, t)
    alien = WordVectors(("xyzzy",), np.ones((1, 6), dtype=np.float32))
    with pytest.raises(ValueError, match="encoder must know a word of both ends"):
        OntologyEncoder(**QUICK).fit(o, alien)


# -- the encoder by itself ---------------------------------------------------------------------------------


def test_rows_are_named_and_halves_are_parts() -> None:
    encoder = OntologyEncoder(**QUICK).fit(ontology(), word_vectors())
    both = encoder.transform(["eagle", "tool"])
    assert both.shape == (2, 16)
    assert (both.abs() < 1).all()
    assert torch.equal(encoder.transform(["tool", "eagle"]), both.flip(0))
    assert torch.equal(encoder.transform(["eagle"], "text"), both[:1, 8:])
    assert encoder.transform(["eagle"], "structure").shape == (1, 8)
    with pytest.raises(ValueError, match="'cow' is none of the"):
        encoder.transform(["cow"])
    alone = OntologyEncoder(**QUICK, text_aware=False).fit(ontology())
    assert torch.equal(alone.transform(["fan"], "structure"), encoder.transform(["fan"], "structure"))
    with pytest.raises(ValueError, match="part must be 'structure'"):
        alone.transform(["fan"])


def test_the_order_of_triples_and_concepts_changes_no_bit() -> None:
    o = toys()
    shuffled = build(reversed(o.named))
    a, b = (OntologyEncoder(**QUICK).fit(one, words()) for one in (o, shuffled))
    assert torch.equal(a.transform(COLOURS), b.transform(COLOURS))


def test_a_saved_encoder_gives_the_same_vectors(tmp_path: Path) -> None:
    encoder = OntologyEncoder(**QUICK, random_state=3).fit(toys(), words())
    encoder.save(tmp_path / "e")
    back = OntologyEncoder.load(tmp_path / "e")
    assert torch.equal(back.transform(COLOURS), encoder.transform(COLOURS))
    assert back.random_state == 3
    assert sorted(file.suffix for file in (tmp_path / "e").iterdir()) == [".json", ".safetensors"]
    source, _, classes = problem()
    OntoZSL(**SMOKE).fit(source=source, classes=classes, encoder=words()).save(tmp_path / "m")
    with pytest.raises(ValueError, match="holds no encoder of an ontology"):
        OntologyEncoder.load(tmp_path / "m")


def test_bad_settings_and_empty_ontologies_are_named() -> None:
    with pytest.raises(ValueError, match="dim must be"):
        OntologyEncoder(dim=0)
    with pytest.raises(ValueError, match="ontology must hold at least one triple"):
        OntologyEncoder(**QUICK).fit(build([], concepts=["a", "b"]))
    source, _, classes = problem()
    with pytest.raises(TypeError, match="encoder must be a WordVectors"):
        OntoZSL(**SMOKE).fit(source=source, classes=classes, encoder={"red": [1.0]})


def test_what_is_learnt_places_things_of_one_colour_and_shape_near_each_other() -> None:
    settings = {"dim": 16, "negatives": 16, "structure_steps": 400, "text_epochs": 60}
    encoder = OntologyEncoder(**settings).fit(toys(), words())
    names = [toys().concepts[i] for i in toys().nodes]
    o = encoder.transform(names)
    distance = torch.cdist(o, o).numpy()
    shared = np.array([[len(set(a.split()) & set(b.split())) for b in names] for a in names])
    assert distance[shared == 1].mean() < 0.9 * distance[shared == 0].mean()


# -- conditions --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("condition", ["structure+text", "structure", "text", "words", "attributes", "random"])
def test_every_condition_runs_through_and_has_the_length_of_as_much_noise(condition: Any) -> None:
    source, pool, classes = problem()
    classes = classes.replace(attributes=np.eye(N) + 0.1)
    fitted = OntoZSL(**SMOKE, condition=condition).fit(source=source, classes=classes, encoder=words())
    width = {"structure+text": 16, "structure": 8, "text": 8, "words": 6, "attributes": N, "random": 16}[condition]
    assert fitted.conditions_.shape == (N, width)
    torch.testing.assert_close(fitted.conditions_.norm(dim=1), torch.full((N,), width**0.5))
    assert fitted.centre_.shape == (width,)
    assert set(fitted.predict(pool).tolist()) <= set(classes.unseen.tolist())


def test_random_conditions_belong_to_the_names_and_unbalanced_ones_stay_as_they_are() -> None:
    source, _, classes = problem()
    a = OntoZSL(**SMOKE, condition="random").fit(source=source, classes=classes)
    wider = with_ontology(ClassSpace(names=(*classes.names, "red"), seen=classes.seen), toys())
    b = a.adapt(source=source.replace(classes=None), classes=wider)
    assert torch.equal(b.conditions_[:N], a.conditions_)
    c = classes.replace(attributes=7 * np.eye(N))
    plain = OntoZSL(**SMOKE, condition="attributes", balanced=False).fit(source=source, classes=c)
    assert torch.equal(plain.conditions_, 7 * torch.eye(N))


def test_the_projection_of_a_text_is_the_second_half_of_the_whole() -> None:
    source, _, classes = problem()
    whole, text = (
        OntoZSL(**SMOKE, condition=c, balanced=False).fit(source=source, classes=classes, encoder=words())
        for c in ("structure+text", "text")
    )
    assert torch.equal(whole.conditions_[:, 8:], text.conditions_)  # type: ignore[attr-defined]


def test_without_an_ontology_tree_and_attributes_make_one() -> None:
    source, pool, classes = problem()
    names = classes.names
    marks = np.array([[word in name.split() for word in COLOURS] for name in names], dtype=float)
    plain = ClassSpace(
        names=names, seen=classes.seen, attributes=marks, attribute_names=COLOURS,
        metric=taxonomy([name.split()[::-1] for name in names]),
    )  # fmt: skip
    fitted = OntoZSL(**SMOKE).fit(source=source, classes=plain, encoder=words())
    assert set(names) | set(COLOURS) < set(fitted.concepts_)
    assert sum(name.startswith("inner node") for name in fitted.concepts_) == 6
    assert set(fitted.predict(pool).tolist()) <= set(classes.unseen.tolist())
    bare = ClassSpace(names=names, seen=classes.seen, embeddings=np.eye(N))
    with pytest.raises(ValueError, match="classes must say how they are related"):
        OntoZSL(**SMOKE).fit(source=source, classes=bare)


# -- the whole ---------------------------------------------------------------------------------------------

LEARNS: dict[str, Any] = {
    "dim": 16, "negatives": 16, "structure_steps": 300, "text_epochs": 40, "epochs": 20, "hidden": 64, "noise": 8,
    "seen_epochs": 30,
}  # fmt: skip


def test_it_recognizes_classes_that_it_never_saw_by_their_ontology() -> None:
    source, pool, classes = problem()
    fitted = OntoZSL(**LEARNS).fit(source=source, classes=classes, encoder=words())
    assert np.mean(fitted.predict(pool) == pool.y) > 0.6  # chance is 1/5
    blind = OntoZSL(**LEARNS, condition="random").fit(source=source, classes=classes)
    assert np.mean(blind.predict(pool) == pool.y) < np.mean(fitted.predict(pool) == pool.y)


def test_renumbering_the_classes_renumbers_predictions() -> None:
    source, pool, classes = problem()
    ids = np.random.default_rng(1).permutation(N)
    moved = classes.take(np.argsort(ids))
    plain = OntoZSL(**SMOKE).fit(source=source, classes=classes, encoder=words())
    other = OntoZSL(**SMOKE).fit(source=source.replace(y=ids[source.y], classes=None), classes=moved, encoder=words())
    np.testing.assert_array_equal(ids[plain.predict(pool)], other.predict(pool))


def test_generalized_prediction_covers_all_classes_and_a_seen_class_without_samples_is_generated() -> None:
    source, pool, classes = problem()
    fitted = OntoZSL(**{**SMOKE, "classifier_epochs": 30}, generalized=True)
    fitted.fit(source=source.take(source.y != 1), classes=classes, encoder=words())
    assert (fitted.decision_function(pool) > -1e3).all()
    assert set(fitted.predict(source).tolist()) & set(classes.seen.tolist())


def test_a_class_of_the_ontology_is_recognized_later_with_vectors_and_generator_as_they_are() -> None:
    source, pool, classes = problem()
    early = classes.take(range(24))
    fitted = OntoZSL(**SMOKE).fit(
        source=source.take(source.y < 24).replace(classes=early), classes=early, encoder=words()
    )
    adapted = fitted.adapt(source=source.replace(classes=None), classes=classes)
    assert (adapted.decision_function(pool)[:, classes.unseen] > -1e3).all()
    assert torch.equal(adapted.conditions_[:24], fitted.conditions_)
    for mine, theirs in zip(adapted.generator_.parameters(), fitted.generator_.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    wide = (
        copy.copy(fitted)
        .set_params(generalized=True)
        .adapt(source=source.take(source.y < 24).replace(classes=early), classes=early)
    )
    assert (wide.decision_function(pool) > -1e3).all()
    names = ("cow", *classes.names)
    alien = with_ontology(ClassSpace(names=names, seen=range(1, N + 1)), build([("cow", "p", n) for n in names[1:]]))
    with pytest.raises(ValueError, match="'cow' is none of its 41"):
        fitted.adapt(source=source.replace(classes=None, y=source.y + 1), classes=alien)


def test_pivot_and_souls_are_options_that_change_the_generator() -> None:
    source, _, classes = problem()
    fits = {
        name: OntoZSL(**{**SMOKE, **options}).fit(source=source, classes=classes, encoder=words())
        for name, options in {
            "none": {"pivot_weight": 0.0},
            "pivot": {"pivot_weight": 1.0},
            "souls": {"pivot_weight": 0.0, "sample_souls": 0.1, "class_souls": 1.0},
        }.items()
    }
    assert len({digest(dict(fit.generator_.state_dict())) for fit in fits.values()}) == 3
    far = OntoZSL(**{**LEARNS, "epochs": 5, "pivot_weight": 0.0}).fit(source=source, classes=classes, encoder=words())
    near = OntoZSL(**{**LEARNS, "epochs": 5, "pivot_weight": 30.0}).fit(source=source, classes=classes, encoder=words())

    def gap(method: OntoZSL) -> float:
        made = method.synthesize(classes.seen, 30)
        means = lambda d: np.stack([d.x[d.y == c].mean(axis=0) for c in classes.seen])
        return float(np.square(means(made) - means(source)).sum(axis=1).mean())

    assert gap(near) < gap(far)


def test_synthesized_features_are_labelled_and_in_the_units_of_the_source() -> None:
    source, _, classes = problem()
    fitted = OntoZSL(**SMOKE).fit(source=source.replace(x=100 * source.x), classes=classes, encoder=words())
    made = fitted.synthesize([3, 0], 5)
    assert made.labels.tolist() == [3] * 5 + [0] * 5
    np.testing.assert_array_equal(made.x, fitted.synthesize([3, 0], 5).x)
    with pytest.raises(ValueError, match="classes must be in"):
        fitted.synthesize([N], 5)
    with pytest.raises(NotFittedError):
        OntoZSL().synthesize([0], 1)


def test_bad_inputs_are_named_before_work() -> None:
    source, _, classes = problem()
    with pytest.raises(ValueError, match=r"is not in classes\.seen"):
        OntoZSL(**SMOKE).fit(source=source, classes=classes.replace(seen=[1, 2]))
    with pytest.raises(ValueError, match="must have unseen classes"):
        OntoZSL(**SMOKE).fit(source=source, classes=classes.replace(seen=range(N)))
    with pytest.raises(ValueError, match="nothing is known of 'red round'"):
        OntoZSL(**SMOKE, condition="attributes").fit(
            source=source, classes=classes.replace(attributes=np.diag(np.r_[0.0, np.ones(N - 1)]))
        )
    with pytest.raises(ValueError, match="attributes or embeddings"):
        OntoZSL(**SMOKE, condition="attributes").fit(source=source, classes=classes)
    fitted = OntoZSL(**SMOKE).fit(source=source, classes=classes, encoder=words())
    with pytest.raises(ValueError, match="must have 12 features, as in fit; got 3"):
        fitted.adapt(source=source.replace(x=source.x[:, :3]), classes=classes)

"""CREST: the analytic checks of its description, and what must hold of any fit, with regions and without."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import loadmat

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.samplers import Batch
from unseen.data.words import WordVectors
from unseen.methods.chain import chain
from unseen.methods.explanation import Explanation, as_grid, explaining, explains
from unseen.methods.zero_shot.crest import CREST
from unseen.methods.zero_shot.crest import method as method_module
from unseen.methods.zero_shot.crest.bank import PatternBank, discrimination
from unseen.methods.zero_shot.crest.choice import Grade, best_bias, rehearsal
from unseen.methods.zero_shot.crest.inputs import Known, attribute_words, measure, paired_batches, rows, tell_constant
from unseen.methods.zero_shot.crest.losses import regression, self_calibration, visual_contrast, weights_of_others
from unseen.methods.zero_shot.crest.network import Resonance, resonance
from unseen.nn.classifier import Standardizer
from unseen.nn.evidence import dempster, evidence_behind, evidence_of, evidential_loss, opinion
from unseen.nn.state import digest
from unseen.nn.train import Run
from unseen.nn.unseen_classes import mean_of_classes

SHARED = Path(__file__).parents[3] / "../shared/data/zsl-attributes"
SMOKE = dict(CREST.card.smoke)
WORDS = ("red", "big", "old", "wet", "soft")
SIZES: dict[str, Any] = {
    "n_features": 6, "n_words": 7, "n_attributes": 5, "n_classes": 4, "n_asked": 4, "width": 8, "dropout": 0.0,
    "sharpness": 2.0, "pathways": "both", "mapping": "softmax", "evidential": True, "evidence": "exp",
    "fusion": "dempster", "patterns": 4, "nearest": 2, "bank_temperature": 1.0, "queries": "regions",
}  # fmt: skip


def network(**changes: Any) -> Resonance:
    """Random weights, words, classes and patterns."""
    made = resonance(**{**SIZES, **changes})
    made.words = F.normalize(torch.randn(made.words.shape), dim=1)
    made.classes = F.normalize(torch.rand(made.classes.shape), dim=1)
    if made.bank is not None:
        torch.nn.init.normal_(made.bank.patterns)
    return made.eval()


def problem(
    seen: int = 6, unseen: int = 3, n: int = 8, r: int = 4, seed: int = 0, named: bool = True
) -> tuple[Domain, Domain, ClassSpace]:
    """Samples whose regions show one attribute of their class each: source, samples of unseen classes, all classes."""
    rng = np.random.default_rng(seed)
    a, d = len(WORDS), 12
    table = np.array([[(i >> k) & 1 for k in range(a)] for i in range(1, 32) if bin(i).count("1") == 2][:10])
    attributes = table[: seen + unseen].astype(np.float32)
    looks = 2 * rng.normal(size=(a, d))
    y = np.repeat(np.arange(seen + unseen), n)
    shown = np.stack([rng.choice(np.flatnonzero(attributes[c]), r) for c in y])
    cells = (looks[shown] + 0.5 * rng.normal(size=(len(y), r, d))).astype(np.float32)
    names = [f"class {i}" for i in range(seen + unseen)]
    told = {"attribute_names": WORDS} if named else {}
    classes = ClassSpace(names=names, attributes=attributes, seen=np.arange(seen), **told)  # type: ignore[arg-type]
    whole = Domain(x=cells.mean(axis=1), y=y, classes=classes, columns={"regions": cells, "shown": shown})
    return whole.take(y < seen), whole.take(y >= seen), classes


def words() -> WordVectors:
    return WordVectors(WORDS, np.random.default_rng(1).normal(size=(len(WORDS), 6)).astype(np.float32))


# -- attention and scores ----------------------------------------------------------------------------------


@pytest.mark.parametrize("mapping", ["softmax", "bilinear"])
def test_attention_rows_sum_to_1(mapping: str) -> None:
    seen = network(mapping=mapping).see(torch.randn(3, 9, 6))
    assert seen.visual is not None
    assert seen.attribute is not None
    for maps in (seen.visual.maps, seen.attribute.maps):
        assert maps.shape == (3, 5, 9)
        torch.testing.assert_close(maps.sum(dim=2), torch.ones(3, 5))


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31 - 1))
def test_permuting_regions_permutes_maps_and_leaves_scores_unchanged(seed: int) -> None:
    torch.manual_seed(seed)
    net, x, order = network(mapping="bilinear"), torch.randn(2, 9, 6), torch.randperm(9)
    a, b = net.see(x), net.see(x[:, order])
    for mine, theirs in zip(a, b):
        torch.testing.assert_close(mine.maps[:, :, order], theirs.maps)
        torch.testing.assert_close(mine.scores, theirs.scores, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(net(x), net(x[:, order]), atol=1e-5, rtol=1e-5)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31 - 1))
def test_permuting_attributes_with_the_columns_of_z_leaves_class_scores_unchanged(seed: int) -> None:
    torch.manual_seed(seed)
    net, x, order = network(), torch.randn(2, 9, 6), torch.randperm(5)
    before = net(x)
    net.words, net.classes = net.words[order], net.classes[:, order]
    torch.testing.assert_close(net(x), before, atol=1e-5, rtol=1e-5)


def test_the_pathways_are_those_of_the_description() -> None:
    net, x = network(patterns=0), torch.randn(1, 4, 6)
    v, a, e = net.visual, net.attribute, net.words
    assert v is not None
    assert a is not None
    with torch.no_grad():
        f = net.to_visual(net.scale(x[0]))  # (r, d)
        q = v.query(e)
        maps = torch.stack([torch.softmax(2 * (q[i] * v.key(f)).sum(dim=1) / 8**0.5, dim=0) for i in range(5)])
        h = v.first(q + maps @ v.value(f))
        h = v.second(h + v.feed(h))
        expected = torch.stack([v.score(e[i]) @ h[i] for i in range(5)])
        found = net.see(x)
        assert found.visual is not None
        torch.testing.assert_close(found.visual.scores[0], expected)
        f = net.to_attribute(net.scale(x[0]))
        h = torch.stack([torch.softmax(a.query(f[r]) @ a.key(e).T / 8**0.5, dim=0) @ a.value(e) for r in range(4)])
        s = torch.stack([a.score(f[r]) @ h[r] for r in range(4)]) / 8**0.5 + a.alike
        expected = torch.softmax(f @ a.map(e).T, dim=0).T @ s
        assert found.attribute is not None
        torch.testing.assert_close(found.attribute.scores[0], expected)


def test_logits_are_attribute_scores_times_class_attributes_and_scores_their_log_probabilities() -> None:
    net, x = network(), torch.randn(3, 4, 6)
    with torch.no_grad():
        seen = net.see(x)
        judged = net.judge(seen, torch.arange(4))
        assert seen.visual is not None
        assert seen.attribute is not None
        logits = [part.scores @ net.classes.T for part in (seen.visual, seen.attribute)]
        both = dempster(*(opinion(evidence_of(value, "exp")) for value in logits))
        alpha = evidence_behind(both) + 1
        torch.testing.assert_close(judged.logits["visual"], logits[0])
        torch.testing.assert_close(net(x), (alpha / alpha.sum(dim=1, keepdim=True)).log())
        torch.testing.assert_close(net(x).exp().sum(dim=1), torch.ones(3))


def test_with_one_region_the_softmax_of_the_attribute_pathway_says_the_same_of_all_attributes() -> None:
    found = network().see(torch.randn(3, 1, 6)).attribute
    assert found is not None
    assert float(found.scores.detach().std(dim=1).max()) < 1e-5


# -- the bank ----------------------------------------------------------------------------------------------


def bank(nearest: int = 2, patterns: int = 5, temperature: float = 0.7) -> PatternBank:
    made = PatternBank(patterns, 4, nearest, temperature, "regions")
    torch.nn.init.normal_(made.patterns)
    return made


def test_all_patterns_are_dense_attention() -> None:
    memory, q = bank(nearest=5), torch.randn(2, 3, 4)
    expected = torch.softmax(q @ memory.patterns.T / 0.7, dim=2) @ memory.patterns
    torch.testing.assert_close(memory(q), expected)


def test_one_pattern_is_the_best_match() -> None:
    memory, q = bank(nearest=1), torch.randn(2, 3, 4)
    torch.testing.assert_close(memory(q), memory.patterns[(q @ memory.patterns.T).argmax(dim=2)])


def test_sparse_matches_sum_to_1_over_the_best() -> None:
    memory, q = bank(nearest=2), torch.randn(2, 3, 4)
    w = memory.weights(q)
    torch.testing.assert_close(w.sum(dim=2), torch.ones(2, 3))
    assert ((w > 0).sum(dim=2) == 2).all()
    match = q @ memory.patterns.T
    chosen = match.masked_fill(w == 0, -np.inf).sort(dim=2, descending=True).values[:, :, :2]
    torch.testing.assert_close(chosen, match.topk(2, dim=2).values)


def test_a_bank_of_zeros_is_the_attribute_pathway_alone() -> None:
    with_bank = network(pathways="attribute")
    without = network(pathways="attribute", patterns=0)
    without.load_state_dict({k: v for k, v in with_bank.state_dict().items() if not k.startswith("bank.")})
    x = torch.randn(2, 4, 6)
    assert not torch.allclose(with_bank(x), without(x))
    torch.nn.init.zeros_(with_bank.bank.patterns)  # type: ignore[union-attr]
    torch.testing.assert_close(with_bank(x), without(x))


def test_discrimination_by_hand() -> None:
    memory = bank(patterns=3)
    memory.patterns.data = torch.tensor([[2.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]])
    q = torch.tensor([[[1.0, 0.5, 0, 0]]])  # matches: 2, 0.5, 0; squared distances: 1.25, 1.25, 2.25
    assert discrimination(memory, q, margin=1.0).item() == pytest.approx(1.25 + 1)
    assert discrimination(memory, torch.tensor([[[2.0, 0, 0, 0]]]), margin=1.0).item() == 0


def test_patterns_start_at_centres_of_queries_and_their_use_is_told() -> None:
    memory = bank(patterns=3, nearest=1)
    centres = 10 * torch.eye(4)[:3]
    queries = centres.repeat(20, 1) + 0.1 * torch.randn(60, 4)
    memory.start(queries, 0)
    assert float(torch.cdist(centres, memory.patterns).min(dim=1).values.max()) < 0.2
    assert float(memory.usage(queries[None])) == pytest.approx(1)
    assert float(memory.usage(queries[None, :1])) == pytest.approx(0)


# -- losses ------------------------------------------------------------------------------------------------


def test_contrast_is_the_naive_sum_over_pairs() -> None:
    h, y = torch.randn(6, 3), torch.tensor([0, 0, 1, 1, 1, 2])
    weights = torch.rand(6, 6)
    cosine = F.cosine_similarity(h[:, None], h[None], dim=2)
    terms = []
    for i in range(5):  # the last one has no other of its class
        positive = sum(torch.exp(cosine[i, j] / 0.3) for j in range(6) if j != i and y[j] == y[i])
        every = sum(weights[i, j] * torch.exp(cosine[i, j] / 0.3) for j in range(6) if j != i)
        terms.append(-torch.log(positive / every))  # type: ignore[arg-type]
    torch.testing.assert_close(visual_contrast(h, y, weights, 0.3), torch.stack(terms).mean())
    assert float(visual_contrast(h[:1], y[:1], weights[:1, :1], 0.3)) == 0


def test_negatives_count_by_certainty_or_confusion_and_positives_count_1() -> None:
    y, u = torch.tensor([0, 1, 1]), torch.tensor([0.2, 0.5, 0.9])
    p = torch.tensor([[0.7, 0.3], [0.4, 0.6], [0.1, 0.9]])
    sure = weights_of_others("confident", y, u, p)
    torch.testing.assert_close(sure, torch.tensor([[1, 0.5, 0.1], [0.8, 1, 1], [0.8, 1, 1]]))
    confused = weights_of_others("confused", y, u, p)
    torch.testing.assert_close(confused, torch.tensor([[1, 1.4, 1.1], [1.3, 1, 1], [1.3, 1, 1]]))
    assert weights_of_others("uniform", y, u, p).unique().tolist() == [1]


def test_semantic_losses_by_hand() -> None:
    assert float(regression(torch.eye(2), torch.tensor([[1.0, 0], [1, 0]]))) == 1
    logits = torch.tensor([[0.0, 0.0]])
    assert float(self_calibration(logits, 1)) == pytest.approx(-np.log(np.e / (1 + np.e)))


def test_without_more_and_with_one_pathway_it_is_a_plain_evidential_attribute_classifier() -> None:
    source, _, classes = problem()
    plain = {"contrast": 0.0, "discrimination": 0.0, "semantics": 0.0, "held_out": 0.0, "patterns": 0, "dropout": 0.0}
    method = CREST(**{**SMOKE, **plain, "pathways": "visual", "epochs": 3}, random_state=4)
    method.fit(source=source, classes=classes, encoder=words())

    from unseen.runtime import reproducible

    with reproducible(4):  # written down plainly
        net = resonance(
            **{**SIZES, "n_features": 12, "n_words": 6, "n_classes": 9, "n_asked": 3, "pathways": "visual",
               "patterns": 0, "sharpness": method.sharpness, "mapping": method.mapping, "nearest": method.nearest}
        )  # fmt: skip
        net.words = attribute_words(classes, 5, words())[0]
        net.classes = F.normalize(torch.as_tensor(classes.attributes), dim=1)
        x, y = torch.as_tensor(source.columns["regions"]), torch.as_tensor(source.labels)
        measure(net.scale, source.columns["regions"], np.arange(len(x)))
        adam = torch.optim.Adam(net.parameters(), lr=method.learning_rate, weight_decay=method.weight_decay)
        draw = Run("crest", {}, {}, 1, None).generator
        for epoch in range(3):
            for part in torch.split(torch.randperm(len(x), generator=draw), 16):
                seen = net.see(x[part]).visual
                assert seen is not None
                evidence = evidence_of(seen.scores @ net.classes[:6].T, "exp")
                loss = evidential_loss(evidence, y[part], penalty=min(1, epoch / method.annealing) / 6)
                adam.zero_grad()
                loss.backward()
                adam.step()
    for key, tensor in net.state_dict().items():
        if key.startswith(("visual", "to_visual")):
            torch.testing.assert_close(tensor, method.network_.state_dict()[key], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("negatives", ["confident", "confused", "uniform"])
def test_the_objective_is_the_weighted_sum_of_its_terms(negatives: Any) -> None:
    source, _, classes = problem()
    weights = {
        "contrast": 0.7,
        "discrimination": 0.3,
        "semantics": 0.4,
        "attribute_regression": 1.5,
        "calibration": 0.6,
    }
    settings_ = {**SMOKE, **weights, "negatives": negatives, "penalty": 2.0, "annealing": 0, "dropout": 0.0}
    method = CREST(**settings_, generalized=True).fit(source=source, classes=classes, encoder=words())
    net, x, y = method.network_, torch.as_tensor(source.columns["regions"]), torch.as_tensor(source.labels)
    run = Run("crest", {}, {}, 1, None)
    got = method._objective(net, Known(classes.seen, classes.unseen), Batch(x, y, y), run)

    seen = net.see(x)
    assert seen.visual is not None
    assert seen.attribute is not None
    assert seen.attribute.queries is not None
    assert net.bank is not None
    logits = [part.scores @ net.classes[:6].T for part in (seen.visual, seen.attribute)]
    evidence = [evidence_of(some, "exp") for some in logits]
    own = [opinion(some) for some in evidence]
    both = evidence_behind(dempster(*own))
    edl = [evidential_loss(some, y, penalty=2 / 6) for some in (*evidence, both)]
    alpha = both.detach() + 1
    omega = weights_of_others(negatives, y, opinion(both).uncertainty.detach(), alpha / alpha.sum(dim=1, keepdim=True))
    contrast = visual_contrast(net.project(seen.visual.features.mean(dim=1)), y, omega, method.temperature)
    digs = discrimination(net.bank, seen.attribute.queries, method.margin)
    p = sum((1 - u.uncertainty)[:, None] * part.scores for u, part in zip(own, (seen.visual, seen.attribute)))
    assert isinstance(p, torch.Tensor)
    distance = regression(F.normalize(p, dim=1), net.classes[y])
    every = (seen.visual.scores + seen.attribute.scores) / 2 @ net.classes.T
    arise = edl[2] + 1.5 * distance + 0.6 * self_calibration(every, 3)
    torch.testing.assert_close(got, edl[0] + edl[1] + 0.7 * contrast + 0.3 * digs + 0.4 * arise)


def test_fusions_by_hand() -> None:
    logits = {"visual": torch.tensor([[4.0, 1, 0]]).log(), "attribute": torch.tensor([[0.0, 2, 1]]).log()}
    evidence = {name: evidence_of(some, "exp") for name, some in logits.items()}
    opinions = {name: opinion(some) for name, some in evidence.items()}
    fused = {f: network(fusion=f).fuse(logits, evidence, opinions) for f in ("dempster", "evidence")}
    torch.testing.assert_close(fused["dempster"], torch.tensor([[4, 3 + 2 / 3, 1]]), atol=1e-4, rtol=1e-4)
    expected = (0.625 * torch.tensor([[4.0, 1, 0]]) + 0.5 * torch.tensor([[0.0, 2, 1]])) / 1.125
    torch.testing.assert_close(fused["evidence"], expected)
    plain = {"visual": torch.tensor([[1.0, 3.0]]), "attribute": torch.tensor([[3.0, -1.0]])}
    of = {name: evidence_of(some, "exp") for name, some in plain.items()}
    mean = network(fusion="logits").fuse(plain, of, {name: opinion(some) for name, some in of.items()})
    torch.testing.assert_close(mean, torch.tensor([[2.0, 1.0]]).exp())


def test_without_evidence_uncertainty_is_the_entropy_of_the_softmax() -> None:
    net = network(evidential=False)
    judged = net.judge(net.see(torch.randn(3, 4, 6)), net.asked)
    p = torch.softmax((judged.logits["visual"] + judged.logits["attribute"]) / 2, dim=1)
    held = judged.opinions["fused"]
    torch.testing.assert_close(held.uncertainty, -(p * p.log()).sum(dim=1) / np.log(4))
    torch.testing.assert_close(held.belief.sum(dim=1) + held.uncertainty, torch.ones(3))
    torch.testing.assert_close(net.scored(judged), p.log())


# -- what it is given --------------------------------------------------------------------------------------


def test_words_of_an_attribute_are_averaged_and_names_without_vectors_are_named() -> None:
    table = WordVectors(("red", "big"), np.array([[1.0, 0], [0, 2]], dtype=np.float32))
    classes = ClassSpace(names=("a", "b"), attributes=np.eye(2), attribute_names=("big red", "red, unknown"))
    vectors, names = attribute_words(classes, 2, table)
    torch.testing.assert_close(vectors, torch.tensor([[0.4472136, 0.8944272], [1, 0]]))
    assert names == ("big red", "red, unknown")
    with pytest.raises(ValueError, match="no word of attribute 'soft' has a vector"):
        attribute_words(ClassSpace(names=("a",), attributes=np.ones((1, 1)), attribute_names=("soft",)), 1, table)
    with pytest.raises(TypeError, match="must be a WordVectors"):
        attribute_words(classes, 2, {"red": [1, 0]})
    plain = ClassSpace(names=("a", "b"), attributes=np.eye(2))
    assert torch.equal(attribute_words(plain, 2, table)[0], torch.eye(2))


def test_constant_attributes_are_counted_and_told(caplog: pytest.LogCaptureFixture) -> None:
    classes = ClassSpace(names=("a", "b"), attributes=np.array([[1.0, 0, 3], [1, 2, 3]]))
    with caplog.at_level("INFO"):
        assert tell_constant(classes) == 2
    assert "2 of 3 attributes are the same" in caplog.text


def test_a_class_of_which_nothing_is_said_is_named() -> None:
    source, _, classes = problem()
    attributes = np.array(classes.attributes)
    attributes[7] = 0
    with pytest.raises(ValueError, match="such as that of 'class 7'"):
        CREST(**SMOKE).fit(source=source.replace(classes=None), classes=classes.replace(attributes=attributes))


def test_regions_are_measured_in_chunks_as_at_once() -> None:
    cells = np.random.default_rng(0).normal(3, 2, size=(300, 4, 5)).astype(np.float16)
    cells[:, :, 2] = 1.5
    scale, index = Standardizer(5), np.arange(10, 300)
    measure(scale, cells, index)
    flat = rows(cells, index).flatten(0, 1)
    torch.testing.assert_close(scale.mean, flat.mean(dim=0))
    torch.testing.assert_close(scale.std[[0, 1, 3, 4]], flat.std(dim=0, unbiased=False)[[0, 1, 3, 4]])
    assert float(scale.std[2]) == pytest.approx(0.05 * float(flat.std(dim=0, unbiased=False).median()), rel=1e-3)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31 - 1), st.booleans())
def test_a_pass_shows_every_sample_once_and_pairs_come_together(seed: int, paired: bool) -> None:
    rng = np.random.default_rng(seed)
    y, index = torch.as_tensor(rng.integers(0, 5, 40)), np.sort(rng.permutation(40)[:31])
    run = Run("x", {}, {}, 1, None)
    run.generator.manual_seed(seed)
    shown = list(paired_batches(rng.normal(size=(40, 2, 3)), y, index, 8, paired=paired)(run))
    assert sorted(torch.cat([batch.index for batch in shown]).tolist()) == index.tolist()
    assert all(torch.equal(batch.y, y[batch.index]) for batch in shown)  # type: ignore[arg-type]
    if paired:
        order = y[torch.cat([batch.index for batch in shown])]
        alone = np.unique(y[index].numpy(), return_counts=True)[1] % 2
        in_order = sum(int(order[i] == order[i + 1]) for i in range(30))
        assert in_order >= (31 - alone.sum()) // 2


# -- the choice --------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31 - 1))
def test_the_bias_is_the_best_of_all(seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    scores, truth = torch.randn(30, 6, generator=rng), torch.arange(30) % 6
    new = torch.tensor([False, False, True, True, False, True])
    bias, h = best_bias(scores, truth, new)

    def harmonic(b: float) -> float:
        found = (scores + b * new).argmax(dim=1)
        s, u = (mean_of_classes(truth[of], found[of]) for of in (~new[truth], new[truth]))
        return 2 * s * u / (s + u) if s + u else 0.0

    assert harmonic(bias) == pytest.approx(h)
    assert h >= max(harmonic(float(b)) for b in torch.linspace(-4, 4, 400)) - 1e-9
    assert best_bias(scores[new[truth]], truth[new[truth]], new) == (0.0, 0.0)


@pytest.mark.parametrize("generalized", [False, True])
def test_the_rehearsal_holds_classes_out_and_never_looks_at_the_test(generalized: bool) -> None:
    y = np.repeat(np.arange(10), 6)
    parts = rehearsal(y, 0.2, generalized, 0)
    assert parts is not None
    assert len(parts.held) == 2
    assert not np.isin(y[parts.learned], parts.held).any()
    assert set(parts.learned) | set(parts.judged) == set(range(60))
    judged = set(y[parts.judged].tolist())
    assert judged == (set(range(10)) if generalized else set(parts.held.tolist()))
    assert rehearsal(np.repeat(np.arange(3), 4), 0.2, generalized, 0) is None
    assert (rehearsal(np.arange(10), 0.2, generalized, 0) is None) == generalized  # no sample to spare


def test_the_best_of_the_epochs_is_learnt_and_the_likelier_of_equal_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    source, _, classes = problem()
    for grades, best in (
        ([Grade(0.5, 0.1, 0), Grade(0.7, 0.3, 0), Grade(0.9, 0.2, 0)], 2),
        ([Grade(0.5, 0.3, 0.2), Grade(0.7, 0.3, 0.1), Grade(0.9, 0.3, 0.4)], 3),
    ):
        given = iter([*grades, grades[best - 1]])
        monkeypatch.setattr(method_module, "graded", lambda *a, given=given, **k: next(given))
        method = CREST(**{**SMOKE, "epochs": 3}, generalized=True).fit(source=source, classes=classes, encoder=words())
        assert method.epochs_ == best
        assert method.bias_ == grades[best - 1].bias


def test_minus_infinity_predicts_seen_classes_only_and_plus_infinity_unseen_ones_only() -> None:
    source, test, classes = problem()
    x = np.concatenate([source.columns["regions"], test.columns["regions"]])
    for bias, those in ((-1e3, classes.seen), (1e3, classes.unseen)):
        method = CREST(**SMOKE, generalized=True, bias=bias).fit(source=source, classes=classes, encoder=words())
        assert method.bias_ == bias
        assert set(method.predict(x).tolist()) <= set(those.tolist())


def test_gamma_and_epochs_are_chosen_on_seen_classes() -> None:
    source, _, classes = problem()
    method = CREST(**{**SMOKE, "epochs": 4}, generalized=True).fit(source=source, classes=classes, encoder=words())
    assert 1 <= method.epochs_ <= 4
    assert method.bias_ != 0
    fixed = CREST(**{**SMOKE, "held_out": 0.0}, generalized=True).fit(source=source, classes=classes, encoder=words())
    assert (fixed.epochs_, fixed.bias_) == (2, 0.0)


# -- the whole ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def learnt() -> tuple[CREST, Domain, Domain, ClassSpace]:
    """A fit that takes its time."""
    source, test, classes = problem(n=12)
    settings_ = {"epochs": 40, "width": 16, "patterns": 6, "batch_size": 16, "learning_rate": 5e-3}
    method = CREST(**settings_, generalized=True).fit(source=source, classes=classes, encoder=words())
    return method, source, test, classes


def test_it_recognizes_classes_that_it_never_saw(learnt: tuple[CREST, Domain, Domain, ClassSpace]) -> None:
    method, _, test, classes = learnt
    among = method.decision_function(test)[:, classes.unseen].argmax(dim=1).numpy()
    assert np.mean(classes.unseen[among] == test.y) > 0.6  # a third by chance


def test_uncertainty_is_larger_where_there_is_nothing_known(learnt: tuple[CREST, Domain, Domain, ClassSpace]) -> None:
    from sklearn.metrics import roc_auc_score

    method, source, _, _ = learnt
    fresh, _, _ = problem(n=24)  # the same looks; its first samples are others than those of `source`
    told = source.columns["regions"]
    fresh = fresh.take(~(fresh.columns["regions"][:, None] == told).all(axis=(2, 3)).any(axis=1))
    assert len(fresh) > 60
    alien = 2 * torch.randn(60, 4, 12)
    known, new = (method.opinions(x)["fused"].uncertainty.numpy() for x in (fresh, alien))
    assert roc_auc_score(np.r_[np.zeros(len(known)), np.ones(60)], np.r_[known, new]) > 0.5


def test_attributes_are_looked_for_where_they_are_shown(learnt: tuple[CREST, Domain, Domain, ClassSpace]) -> None:
    method, _, test, _ = learnt
    maps, shown = method.attention_maps(test).reshape(len(test), 5, 4), test.columns["shown"]
    own = [maps[i, a, shown[i] == a].sum() / np.mean(shown[i] == a) for i in range(len(test)) for a in set(shown[i])]
    assert np.mean(own) > 1.2  # 1 is an even share


def test_an_explanation_says_which_attributes_spoke_and_where(
    learnt: tuple[CREST, Domain, Domain, ClassSpace],
) -> None:
    method, _, test, classes = learnt
    told = method.explain(test, k=3)
    assert isinstance(told, Explanation)
    assert explains(method)
    assert "crest" in explaining()
    assert told.names == WORDS
    assert told.maps.shape == (len(test), 5, 2, 2)
    np.testing.assert_allclose(told.maps.sum(axis=(2, 3)), 1, atol=1e-5)
    np.testing.assert_array_equal(told.classes, method.predict(test))
    assert set(told.uncertainty) == {"visual", "attribute", "fused"}
    assert all(((u > 0) & (u <= 1)).all() for u in told.uncertainty.values())
    z = classes.attributes[told.classes] / np.linalg.norm(classes.attributes[told.classes], axis=1, keepdims=True)  # type: ignore[index]
    np.testing.assert_allclose(told.expected, np.take_along_axis(z, told.top, axis=1), atol=1e-6)
    product = told.found * told.expected
    assert (np.diff(product, axis=1) <= 1e-6).all()
    ranked = method.top_attributes(test, 2)
    np.testing.assert_array_equal(ranked.attributes, told.top[:, :2])
    with pytest.raises(ValueError, match="k must be at least 1"):
        method.top_attributes(test, 0)
    assert method.top_attributes(test, 99).attributes.shape == (len(test), 5)


def test_the_bank_is_used_and_says_something_of_each_picture(
    learnt: tuple[CREST, Domain, Domain, ClassSpace], monkeypatch: pytest.MonkeyPatch
) -> None:
    method, _, test, _ = learnt
    net, x = method.network_, torch.as_tensor(test.columns["regions"])
    assert net.bank is not None
    asked = net.queries(x)
    assert int((net.bank.weights(asked) > 0).any(dim=1).any(dim=0).sum()) > len(net.bank.patterns) / 2
    assert 0.1 < method.bank_usage_ <= 1
    told = method.opinions(x)["attribute"].uncertainty
    mean = net.bank(asked).mean(dim=(0, 1))
    monkeypatch.setattr(net.bank, "forward", lambda queries: mean.expand_as(queries))
    assert float((method.opinions(x)["attribute"].uncertainty - told).abs().mean()) > 1e-3


def test_maps_of_regions_that_are_no_square_are_one_row() -> None:
    assert as_grid(np.zeros((2, 3, 9))).shape == (2, 3, 3, 3)
    assert as_grid(np.zeros((2, 3, 6))).shape == (2, 3, 1, 6)


@pytest.mark.parametrize("pathways", ["visual", "attribute"])
def test_one_pathway_has_its_own_opinion_as_the_fused_one(pathways: str) -> None:
    source, test, classes = problem()
    method = CREST(**SMOKE, pathways=pathways).fit(source=source, classes=classes, encoder=words())
    held = method.opinions(test)
    assert set(held) == {pathways, "fused"}
    torch.testing.assert_close(held[pathways].belief, held["fused"].belief)
    assert method.attention_maps(test).shape == (len(test), 5, 2, 2)


@pytest.mark.parametrize(
    "changes",
    [
        {"loss": "softmax"}, {"loss": "mse"}, {"evidence": "softplus"}, {"evidence": "relu"}, {"fusion": "logits"},
        {"fusion": "evidence"}, {"negatives": "confused"}, {"negatives": "uniform"}, {"queries": "pooled"},
        {"patterns": 0}, {"patterns": 1}, {"mapping": "softmax"}, {"optimizer": "rmsprop"}, {"annealing": 0},
        {"penalty": 5.0}, {"generalized": True, "calibration": 1.0}, {"dropout": 0.5, "contrast": 0.0},
    ],
    ids=str,
)  # fmt: skip
def test_every_choice_runs(changes: dict[str, Any]) -> None:
    source, test, classes = problem(n=4)
    method = CREST(**{**SMOKE, **changes}).fit(source=source, classes=classes, encoder=words())
    scores = method.decision_function(test)
    assert torch.isfinite(scores).all()
    kept = classes.unseen if not method.generalized else np.arange(len(classes))
    assert set(method.predict(test).tolist()) <= set(kept.tolist())


def test_settings_of_the_presets_are_valid_hyperparameters() -> None:
    for setting in CREST.card.presets.values():
        CREST(**setting)
    paper = CREST(**CREST.card.presets["paper"])
    assert (paper.batch_size, paper.learning_rate, paper.weight_decay) == (50, 1e-4, 1e-4)


# -- regions through the contract --------------------------------------------------------------------------


def test_with_regions_a_fit_is_deterministic_saved_and_judges_each_sample_alone(tmp_path: Path) -> None:
    source, test, classes = problem()
    fit = lambda domain: CREST(**SMOKE).fit(source=domain, classes=classes, encoder=words())
    before = source.columns["regions"].copy()
    method = fit(source)
    assert digest(method.fitted) == digest(fit(source).fitted)
    assert np.array_equal(source.columns["regions"], before)
    other = source.columns["regions"].astype(">f4").copy(order="F")
    other.flags.writeable = False
    swapped = source.replace(columns={"regions": other})
    assert digest(method.fitted) == digest(fit(swapped).fitted)
    half = source.replace(columns={"regions": source.columns["regions"].astype(np.float16)})
    assert digest(method.fitted) != digest(fit(half).fitted)
    method.save(tmp_path / "m")
    back = CREST.load(tmp_path / "m")
    expected = method.decision_function(test)
    assert torch.equal(back.decision_function(test), expected)
    assert back.attribute_names_ == WORDS
    alone = torch.cat([method.decision_function(test.take([i])) for i in range(len(test))])
    torch.testing.assert_close(alone, expected, atol=1e-5, rtol=1e-5)
    array = test.columns["regions"]
    for same in (array, torch.as_tensor(array), array.tolist(), test.unlabeled()):
        torch.testing.assert_close(method.decision_function(same), expected)
    torch.testing.assert_close(method.network()(torch.as_tensor(array).flatten(1)), expected)
    torch.testing.assert_close(method.network()(torch.as_tensor(array)), expected)


def test_without_the_column_a_sample_is_one_region() -> None:
    source, test, classes = problem()
    plain = source.replace(columns={})
    one = CREST(**SMOKE).fit(source=plain, classes=classes, encoder=words())
    same = plain.replace(columns={"regions": plain.x[:, None]})
    other = CREST(**SMOKE).fit(source=same, classes=classes, encoder=words())
    assert digest(one.fitted) == digest(other.fitted)
    assert torch.equal(one.decision_function(test.x), other.decision_function(test.x[:, None]))
    assert one.attention_maps(test.x).shape == (len(test), 5, 1, 1)


def test_bad_regions_are_named() -> None:
    source, test, classes = problem()
    cells = source.columns["regions"]
    nan = cells.copy()
    nan[3, 1, 2] = np.nan
    for wrong, told in (
        (cells[:, :, :7], r"must be of shape \(n, regions, 12\)"),
        (cells.reshape(len(cells), -1), r"must be of shape \(n, regions, 12\)"),
        (cells[:, :0], r"must be of shape \(n, regions, 12\)"),
        (nan, "sample '000003' holds NaN"),
    ):
        with pytest.raises(ValueError, match=f"the column regions of source .*{told}"):
            CREST(**SMOKE).fit(source=source.replace(columns={"regions": wrong}), classes=classes, encoder=words())
    method = CREST(**SMOKE).fit(source=source, classes=classes, encoder=words())
    for x in (test.columns["regions"][:, :, :7], test.x[:, :7], test.columns["regions"][:, None], test.x[0]):
        with pytest.raises(ValueError, match="x must"):
            method.predict(x)
    named = source.replace(columns={"regions": np.repeat("north", len(source))})  # words with that name are no regions
    assert CREST(**SMOKE).fit(source=named, classes=classes, encoder=words()).predict(test.x).shape == (len(test),)


def test_a_rule_on_top_hands_regions_on(learnt: tuple[CREST, Domain, Domain, ClassSpace]) -> None:
    from unseen.methods.zero_shot.loki import Loki

    method, _, test, classes = learnt
    rule = Loki().fit(classes=classes.replace(seen=np.arange(len(classes))))
    both = chain(method, rule)
    np.testing.assert_array_equal(both.predict(test), rule.predict(method.predict_proba(test)))


def test_other_methods_do_not_see_regions() -> None:
    from unseen.methods.baselines.ridge import Ridge

    source, test, classes = problem()
    one = Ridge(penalty=1e-2).fit(source=source, classes=classes)
    other = Ridge(penalty=1e-2).fit(source=source.replace(columns={}), classes=classes)
    assert digest(one.fitted) == digest(other.fitted)
    assert torch.equal(one.decision_function(test), one.decision_function(test.x))


def test_labels_in_other_columns_change_nothing() -> None:
    source, _, classes = problem()
    told = source.replace(columns={**source.columns, "label": source.labels})
    a, b = (CREST(**SMOKE).fit(source=s, classes=classes, encoder=words()) for s in (source, told))
    assert digest(a.fitted) == digest(b.fitted)


# -- the usual tables --------------------------------------------------------------------------------------


@pytest.mark.skipif(not SHARED.exists(), reason="the public attribute tables are not beside this checkout")
def test_the_public_attribute_tables_are_read_and_regions_of_their_size_run_through() -> None:
    info = loadmat(SHARED / "AWA1" / "att_splits.mat")
    att = info["att"].T.astype(np.float32)
    names = [str(cell[0]) for cell in info["allclasses_names"].reshape(-1)]
    y = np.repeat(np.arange(50), 2)
    cells = np.random.default_rng(0).normal(size=(100, 196, 16)).astype(np.float16)
    classes = ClassSpace(names=names, attributes=att, seen=np.arange(40))
    source = Domain(x=cells.mean(axis=1).astype(np.float32)[:80], y=y[:80], columns={"regions": cells[:80]})
    method = CREST(**{**SMOKE, "epochs": 1, "held_out": 0.0}).fit(source=source, classes=classes)
    assert set(method.predict(cells[80:]).tolist()) <= set(range(40, 50))
    assert method.attention_maps(cells[80:82]).shape == (2, 85, 14, 14)

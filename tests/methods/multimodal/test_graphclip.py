"""GraphCLIP: the analytic checks of its specification, its summaries, prompts and links, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.graph_summaries import prompts_for, read_summaries, summarize, write_summaries
from unseen.data.pairs import Pairs
from unseen.data.text_graphs import TextAttributedGraph, batch_of, random_walks
from unseen.methods.multimodal.graphclip import GraphCLIP
from unseen.methods.multimodal.graphclip.method import _Pretraining
from unseen.methods.multimodal.graphclip.steps import (
    SubgraphPairs,
    alignment,
    as_nodes,
    drop_edges,
    drop_features,
    hide_roots,
    parts_of,
    prompted,
)
from unseen.nn.contrastive import LogitScale, supervised_contrast
from unseen.nn.gps import graph_encoder
from unseen.nn.train import Run

SMOKE = GraphCLIP.card.smoke
NAMES = tuple("abcdefgh")


def pairs() -> Pairs:
    return SubgraphPairs().example({})["pairs"]


def classes(k: int = 8, d: int = 16) -> ClassSpace:
    return ClassSpace(names=NAMES[:k], embeddings=np.random.default_rng(3).normal(size=(8, d))[:k])


def support() -> Domain:
    return pairs().left.replace(y=np.arange(40) % 8, classes=ClassSpace(names=NAMES))


@pytest.fixture(scope="module")
def fitted() -> GraphCLIP:
    return GraphCLIP(**{**SMOKE, "epochs": 20, "learning_rate": 5e-3}).fit(pairs=pairs())


# -- the objective -----------------------------------------------------------------------------------------


def step_gradient(**settings: Any) -> list[torch.Tensor]:
    """Gradients of one step without augmentation."""
    method = GraphCLIP(**{**SMOKE, "p_feature": 0.0, "p_edge": 0.0, "hide_root": 0.0, **settings})
    torch.manual_seed(0)
    nets = torch.nn.ModuleDict({
        "network": graph_encoder(16, 16, hidden=16, layers=1, heads=2, positions=4, position_width=4),
        "scale": LogitScale(1 / 0.07),
    }).train()  # fmt: skip
    given = pairs()
    summaries = F.normalize(torch.as_tensor(given.right.x), dim=1)
    nodes = as_nodes(batch_of(given.left.x[:12]), 4)
    value = _Pretraining(method, nets, summaries)((nodes, torch.arange(12)), Run("step", {}, {}, 1, None))
    expected = alignment(nets["network"](*nodes), summaries[:12], nets["scale"]())
    assert value.item() == pytest.approx(expected.item(), rel=1e-5) or settings["step_size"] > 0
    return list(torch.autograd.grad(value, list(nets.parameters()))) + list(
        torch.autograd.grad(expected, list(nets.parameters()))
    )


@pytest.mark.parametrize("steps", [1, 3])
def test_without_a_perturbation_a_step_is_plain_infonce_however_many_inner_steps(steps: int) -> None:
    both = step_gradient(adversarial_steps=steps, step_size=0.0)
    half = len(both) // 2
    for found, expected in zip(both[:half], both[half:]):
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-4)


def test_a_perturbation_changes_the_gradient() -> None:
    both = step_gradient(adversarial_steps=3, step_size=0.05)
    half = len(both) // 2
    assert any(not torch.allclose(a, b, rtol=1e-3) for a, b in zip(both[:half], both[half:]))


def test_the_loss_is_symmetric_and_the_mean_of_both_directions() -> None:
    generator = torch.Generator().manual_seed(0)
    p, q = (F.normalize(torch.randn(6, 4, generator=generator), dim=1) for _ in range(2))
    own = torch.arange(6)
    by_hand = (F.cross_entropy(7 * p @ q.T, own) + F.cross_entropy(7 * q @ p.T, own)) / 2
    torch.testing.assert_close(alignment(p, q, 7.0), by_hand)
    torch.testing.assert_close(alignment(q, p, 7.0), by_hand)
    torch.testing.assert_close(alignment(3 * p, 0.1 * q, 7.0), by_hand)


def test_supervised_contrast_with_one_positive_is_infonce_without_oneself() -> None:
    z = F.normalize(torch.randn(6, 4, generator=torch.Generator().manual_seed(0)), dim=1)
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    total = 0.0
    for i in range(6):
        others = [a for a in range(6) if a != i]
        logs = torch.log_softmax(z[i] @ z[others].T / 0.2, dim=0)
        total -= float(logs[others.index((i + 3) % 6)])
    assert supervised_contrast(z, labels, 0.2).item() == pytest.approx(total / 6, rel=1e-5)


def test_supervised_contrast_is_its_formula_by_loops() -> None:
    z = F.normalize(torch.randn(7, 4, generator=torch.Generator().manual_seed(1)), dim=1)
    labels = torch.tensor([0, 0, 0, 1, 1, 2, 0])  # the 2 stands alone: no anchor
    losses = []
    for i in range(7):
        positives = [p for p in range(7) if p != i and labels[p] == labels[i]]
        if positives:
            down = sum(float((z[i] @ z[a] / 0.5).exp()) for a in range(7) if a != i)
            losses.append(-np.mean([float(z[i] @ z[p] / 0.5) - np.log(down) for p in positives]))
    assert supervised_contrast(z, labels, 0.5).item() == pytest.approx(np.mean(losses), rel=1e-5)
    with pytest.raises(ValueError, match="stands twice"):
        supervised_contrast(z[:2], torch.tensor([0, 1]))


# -- augmentation ------------------------------------------------------------------------------------------


def test_the_mask_zeroes_whole_columns_alike_in_a_subgraph_and_unlike_across() -> None:
    nodes = as_nodes(batch_of(np.concatenate([np.ones((8, 4, 4)), np.ones((8, 4, 30))], axis=2)), 0)
    dropped = drop_features(nodes, 0.3, torch.Generator().manual_seed(0)).x.view(8, 4, 30)
    assert (dropped == dropped[:, :1]).all()
    assert len({tuple(row.tolist()) for row in dropped[:, 0]}) == 8
    assert abs(float((dropped == 0).float().mean()) - 0.3) < 0.1
    assert (nodes.x == 1).all()  # on a copy


def test_edges_are_dropped_in_both_directions_and_features_stay() -> None:
    nodes = as_nodes(batch_of(pairs().left.x), 4)
    less = drop_edges(nodes, 0.2, torch.Generator().manual_seed(0))
    assert 0.6 < less.edges.shape[1] / nodes.edges.shape[1] < 0.95
    assert less.x is nodes.x
    assert less.places is nodes.places


def test_hidden_roots_say_nothing_and_others_stay() -> None:
    nodes = as_nodes(batch_of(pairs().left.x), 4)
    before = nodes.x.clone()
    less = hide_roots(nodes, 1.0)
    assert (less.x[nodes.roots] == 0).all()
    other = torch.ones(len(less.x), dtype=torch.bool).index_fill(0, nodes.roots, False)
    assert torch.equal(less.x[other], before[other])
    assert torch.equal(nodes.x, before)
    assert torch.equal(hide_roots(nodes, 0.0).x, before)


def test_samples_stay_as_they_are_across_epochs() -> None:
    given = pairs()
    before = np.array(given.left.x)
    GraphCLIP(**SMOKE).fit(pairs=given)
    assert np.array_equal(given.left.x, before)


# -- what it gives -----------------------------------------------------------------------------------------


def test_pretraining_brings_subgraphs_to_their_summaries(fitted: GraphCLIP) -> None:
    given = pairs()
    z, t = fitted.transform(given.left), F.normalize(torch.as_tensor(given.right.x), dim=1)
    own = (z * t).sum(dim=1).mean()
    assert own > (z @ t.T).mean() + 0.1
    assert fitted.history_["loss"][-1] < fitted.history_["loss"][0]


def test_the_temperature_changes_probabilities_and_no_class(fitted: GraphCLIP) -> None:
    asked = fitted.adapt(classes=classes())
    x = pairs().left
    before, labels = asked.predict_proba(x), asked.predict(x)
    asked.scale_ = 100.0
    assert not torch.allclose(asked.predict_proba(x), before)
    assert asked.predict(x).tolist() == labels.tolist()


def test_asking_changes_no_weight_and_no_statistic(fitted: GraphCLIP) -> None:
    before = {key: value.clone() for key, value in fitted.network_.state_dict().items()}
    fitted.adapt(classes=classes()).predict(pairs().left)
    fitted.adapt(classes=classes(), support=support()).predict(pairs().left)
    assert all(torch.equal(value, before[key]) for key, value in fitted.network_.state_dict().items())


def test_classes_may_be_others_than_the_summaries_and_in_any_number(fitted: GraphCLIP) -> None:
    assert fitted.decision_function(pairs().left).shape == (40, 40)
    assert fitted.adapt(classes=classes(3)).decision_function(pairs().left).shape == (40, 3)


def test_a_batch_in_parts_is_the_batch() -> None:
    whole = batch_of(pairs().left.x)
    parts = list(parts_of(whole, 7))
    assert [len(part.roots) for part in parts] == [7] * 5 + [5]
    assert np.concatenate([part.x for part in parts]).tolist() == whole.x.tolist()
    assert sum(part.edges.shape[1] for part in parts) == whole.edges.shape[1]
    assert all(part.edges.max() < len(part.x) for part in parts)


def test_links_are_scored_by_the_cosine_of_both_ends(fitted: GraphCLIP) -> None:
    x = pairs().left
    score = fitted.link_scores(x.take(slice(0, 10)), x.take(slice(10, 20)))
    z = fitted.transform(x)
    torch.testing.assert_close(score, (z[:10] * z[10:20]).sum(dim=1), atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match="others must hold 10"):
        fitted.link_scores(x.take(slice(0, 10)), x.take(slice(0, 3)))


def test_a_saved_method_comes_back_with_its_prompt(fitted: GraphCLIP, tmp_path: Path) -> None:
    tuned = GraphCLIP(**{**SMOKE, "validation": 0.0}).fit(pairs=pairs()).adapt(classes=classes(), support=support())
    assert tuned.prompt_.shape == (1, 16)
    tuned.save(tmp_path / "m")
    back = GraphCLIP.load(tmp_path / "m")
    assert torch.equal(back.decision_function(pairs().left), tuned.decision_function(pairs().left))


# -- prompts -----------------------------------------------------------------------------------------------


def test_a_prompt_of_zeros_is_the_zero_shot_model_to_the_bit(fitted: GraphCLIP) -> None:
    asked = fitted.adapt(classes=classes())
    expected = asked.decision_function(pairs().left)
    for tokens in (0, 1, 4):
        asked.prompt_ = torch.zeros(tokens, 16)
        assert torch.equal(asked.decision_function(pairs().left), expected)


def test_prompts_are_added_and_mixed_by_attention() -> None:
    x, p = torch.tensor([[1.0, 0.0]]), torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    assert prompted(x, p[:1]).tolist() == [[3.0, 0.0]]
    share = torch.softmax(torch.tensor([2.0, 0.0]), dim=0)
    torch.testing.assert_close(prompted(x, p), x + share[None] @ p)


@pytest.mark.parametrize(("prompt", "tokens"), [("node", 1), ("graph", 4)])
def test_a_prompt_draws_labelled_subgraphs_to_their_sentences(prompt: str, tokens: int) -> None:
    method = GraphCLIP(
        **{**SMOKE, "prompt": prompt, "validation": 0.0, "prompt_epochs": 40, "prompt_learning_rate": 0.02}
    ).fit(pairs=pairs())
    given = support()
    plain = method.adapt(classes=classes())
    tuned = method.adapt(classes=classes(), support=given)
    assert tuned.prompt_.shape == (tokens, 16)

    def near(asked: GraphCLIP) -> float:
        return float((asked.transform(given) * asked.answers_[given.labels]).sum(dim=1).mean())

    def loss(asked: GraphCLIP) -> float:
        z = torch.cat([asked.transform(given), asked.answers_])
        return float(supervised_contrast(z, torch.cat([torch.as_tensor(given.labels), torch.arange(8)]), 0.07))

    assert loss(tuned) < loss(plain)
    assert near(tuned) != near(plain)


def test_without_a_gain_on_held_out_labels_no_prompt_is_taken(fitted: GraphCLIP) -> None:
    wrong = support().replace(y=np.random.default_rng(0).permutation(np.arange(40) % 8))
    method = fitted.adapt(classes=classes(), support=wrong)
    before, best = method.prompt_scores_
    assert len(method.prompt_) == (1 if best > before else 0)


# -- summaries ---------------------------------------------------------------------------------------------

TEXTS = (
    "chess: a strong chess engine", "board: draws a chess board", "clock: a clock for chess games",
    "disk: formats a disk",
)  # fmt: skip


def small_graph() -> TextAttributedGraph:
    names = [text.partition(":")[0] for text in TEXTS]
    return TextAttributedGraph(texts=np.array(TEXTS), names=np.array(names), edges=np.array([[0, 1], [0, 2], [1, 2]]))


def test_an_extracted_summary_names_centre_terms_and_neighbours() -> None:
    places = random_walks(small_graph(), [0, 3], steps=30, restart=0.3)
    first, alone = summarize(small_graph(), places).tolist()
    assert first.startswith("This group is centred on chess, a strong chess engine. It deals with ")
    assert "Related items: board, draws a chess board; clock, a clock for chess games." in first
    assert "Related" not in alone


def test_labels_and_their_inflections_stand_in_no_summary() -> None:
    places = random_walks(small_graph(), [0, 1, 2], steps=30)
    told = " ".join(summarize(small_graph(), places, banned=["game", "draw"]).tolist())
    assert "chess" in told
    assert "game" not in told.lower()
    assert "draws" not in told.lower()
    spoken = summarize(small_graph(), places, lambda asked: ["A Game of drawing things"] * 3, banned=["games", "draw"])
    assert spoken.tolist() == ["A of things"] * 3


def test_a_language_model_is_told_the_subgraph_and_gives_the_summary() -> None:
    graph, seen = small_graph(), []
    places = random_walks(graph, [1], steps=20, restart=0.2)

    def model(asked: Any) -> list[str]:
        seen.extend(asked)
        return ["about chess"]

    assert summarize(graph, places, model).tolist() == ["about chess"]
    assert '<node id="0" name="board">board: draws a chess board</node>' in seen[0]
    assert "<edge source=" in seen[0]
    assert seen == prompts_for(graph, places)
    for wrong, told in ((lambda asked: [], "one for each prompt"), (lambda asked: [" "], "1 are empty")):
        with pytest.raises(ValueError, match=told):
            summarize(graph, places, wrong)


def test_what_stands_in_a_text_cannot_close_its_node() -> None:
    graph = TextAttributedGraph(
        texts=np.array(["a </node> & b", "c"]), names=np.array(['x"y', "z"]), edges=np.array([[0, 1]])
    )
    told = prompts_for(graph, random_walks(graph, [0], steps=5))[0]
    assert '<node id="0" name="x&quot;y">a &lt;/node&gt; &amp; b</node>' in told


def test_summaries_are_kept_and_come_back(tmp_path: Path) -> None:
    graph = small_graph()
    places = random_walks(graph, [0, 3], steps=10)
    write_summaries(tmp_path / "s.jsonl", graph, places, ["one", "two"])
    rows = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text().splitlines()]
    assert [set(row) for row in rows] == [{"id", "graph", "summary"}] * 2
    back, texts = read_summaries(tmp_path / "s.jsonl", graph)
    assert texts.tolist() == ["one", "two"]
    assert back.nodes.tolist() == places.nodes.tolist()
    assert back.edges.tolist() == places.edges.tolist()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("nothing", "line 1 is no object"),
        ('{"id": "chess", "graph": {"nodes": [9], "edges": []}, "summary": "a"}', "line 1: nodes must be"),
        ('{"id": "disk", "graph": {"nodes": [0], "edges": []}, "summary": "a"}', "it is of another graph"),
        ('{"id": "chess", "graph": {"nodes": [0], "edges": [[0, 3]]}, "summary": "a"}', "edges must name positions"),
        ('{"id": "chess", "graph": {"nodes": [0], "edges": []}, "summary": " "}', "its summary is empty"),
        ("", "no summary in it"),
    ],
)
def test_wrong_summaries_are_told_with_their_line(tmp_path: Path, line: str, told: str) -> None:
    (tmp_path / "s.jsonl").write_text(line + "\n")
    with pytest.raises(ValueError, match=told):
        read_summaries(tmp_path / "s.jsonl", small_graph())


# -- what is refused ---------------------------------------------------------------------------------------


def test_pairs_of_which_nothing_can_be_learnt_are_refused() -> None:
    given = pairs()
    wrong: dict[str, Pairs] = {
        "at least two": given.take(slice(0, 1)),
        "finite vectors": given.replace(right=given.right.replace(x=given.right.x * np.nan)),
        "length 0 in row 0": given.replace(right=given.right.replace(x=given.right.x * (np.arange(40) > 0)[:, None])),
        "all summaries are the same": given.replace(right=given.right.replace(x=np.ones((40, 16), dtype=np.float32))),
    }
    for told, value in wrong.items():
        with pytest.raises(ValueError, match=told):
            GraphCLIP(**SMOKE).fit(pairs=value)


def test_classes_without_vectors_of_that_space_are_refused(fitted: GraphCLIP) -> None:
    with pytest.raises(ValueError, match="embeddings of 16 dimensions, of a sentence about each; got none"):
        fitted.adapt(classes=ClassSpace(names=("a", "b")))
    with pytest.raises(ValueError, match="got 5"):
        fitted.adapt(classes=classes(3, 5))
    empty = classes(3, 16)
    with pytest.raises(ValueError, match=f"embeddings that are not 0; that of '{NAMES[1]}' is"):
        fitted.adapt(classes=empty.replace(embeddings=empty.embeddings * np.array([[1], [0], [1]])))
    with pytest.raises(ValueError, match="nodes of 16 features"):
        fitted.transform(np.ones((2, 9)))

"""Prefix conditioning: the analytic checks of its prefix, its batches, its modes, and what is refused."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.pairs import Pairs
from unseen.methods.base import NotFittedError
from unseen.methods.multimodal.prefix_conditioning import SOURCES, TEMPLATES, PrefixConditioning
from unseen.methods.multimodal.prefix_conditioning.batches import Seen, caption_labels, drawn
from unseen.nn.contrastive import contrastive, same_label
from unseen.nn.dual_encoder import NOTHING, Letters, dual_encoder, feature_head, perceptron, side_head, token_text
from unseen.nn.prefix_tokens import prefix_text, shortened
from unseen.nn.prompting import CausalText, PromptableText, pooled_text
from unseen.nn.schedules import by_decay
from unseen.nn.small_towers import small_dual_encoder
from unseen.nn.train import Run
from unseen.runtime import reproducible

QUICK: dict[str, Any] = {"iterations": 20, "batch_size": 16, "warm_up": 2}
WORDS = ("hat", "sea", "tree", "drum", "star")


def tower() -> Any:
    """A small text tower that means over tokens."""
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    with reproducible(3):
        return pooled_text(
            {"model_type": "bert", **sizes, "vocab_size": 32, "max_position_embeddings": 12}, dim=4
        ).eval()


def causal() -> CausalText:
    """CLIP's text tower of a moment, read where the text ends."""
    open_clip = pytest.importorskip("open_clip")
    config = open_clip.CLIPTextCfg(context_length=12, vocab_size=32, width=16, heads=2, layers=2)
    with reproducible(3):
        return CausalText(open_clip.model._build_text_tower(8, config)).eval()


def tokens() -> torch.Tensor:
    """Begin, some letters, end, nothing."""
    return torch.tensor([[30, 4, 5, 6, 31], [30, 7, 31, NOTHING, NOTHING]])


def sets(n: int = 48, width: int = 16) -> dict[str, Any]:
    """Labels of three of five things in one look, captions of all of them in another."""
    rng = np.random.default_rng(0)
    centres = 2 * np.random.default_rng(5).normal(size=(5, width))
    y = np.arange(n) % 3
    source = Domain(
        x=(centres[y] + 1 + rng.normal(size=(n, width))).astype(np.float32), y=y,
        classes=ClassSpace(names=WORDS[:3]), name="labels",
    )  # fmt: skip
    of = np.arange(n) % 5
    drawings = Domain(x=(centres[of] + rng.normal(size=(n, width))).astype(np.float32), name="drawings")
    said = np.array([f"{WORDS[i]} {'of' if k % 2 else 'by'} me" for k, i in enumerate(of)])
    pairs = Pairs(drawings, Domain(x=said, kind="text", name="captions"))
    return {"source": source, "pairs": pairs, "model": small_dual_encoder("features", width)}


# -- the spec's checks -------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [tower, causal])
def test_equal_prefixes_condition_nothing(make: Any) -> None:
    text = prefix_text(make(), 2)
    with torch.no_grad():
        text.prefix[1] = text.prefix[0]
    torch.testing.assert_close(text(tokens(), 0), text(tokens(), 1))


@pytest.mark.parametrize("make", [tower, causal])
@pytest.mark.parametrize("n_tokens", [1, 2, 4])
@pytest.mark.parametrize("place", ["behind start", "front"])
def test_an_untrained_prefix_has_an_effect_as_it_comes_before_the_end(make: Any, n_tokens: int, place: Any) -> None:
    with reproducible(4):
        text = prefix_text(make(), 2, n_tokens, place)
    assert (text(tokens(), 0) - text(tokens(), 1)).abs().max() > 1e-4


def test_modes_differ_after_training_by_one_row_of_the_state() -> None:
    method = PrefixConditioning(**{**QUICK, "iterations": 400, "learning_rate": 1e-2}).fit(**sets())
    assert method.mode_cosine_ < 0.99
    network: Any = method.network_
    caption = method.encode_text(["a hat"], "caption")
    state = {key: value.clone() for key, value in network.state_dict().items()}
    with torch.no_grad():
        network.text.prefix[0] = network.text.prefix[1]
    changed = [key for key, value in network.state_dict().items() if not torch.equal(value, state[key])]
    assert changed == ["text.prefix"]
    torch.testing.assert_close(
        method.encode_text(["a hat"], "caption"), method.encode_text(["a hat"], "classification")
    )
    assert not torch.equal(method.encode_text(["a hat"]), caption)


def test_unicl_of_distinct_labels_is_clip_and_of_equal_ones_is_level() -> None:
    p = torch.tensor([(1.0, 0, 0), (0.6, 0.8, 0), (0, 1, 0), (0, 0.6, 0.8)])
    q = torch.tensor([(0.8, 0.6, 0), (0, 1, 0), (0, 0.8, 0.6), (0, 0, 1.0)])
    labels = torch.tensor([0, 0, 1, 2])
    for logits in (10 * p @ q.T, 10 * q @ p.T):
        assert float(contrastive(logits, same_label(labels))) == pytest.approx(2.242420, abs=2e-6)
        assert float(contrastive(logits, same_label(torch.arange(4)))) == pytest.approx(float(contrastive(logits)))
    assert float(contrastive(10 * p @ q.T)) == pytest.approx(1.442420, abs=2e-6)
    level = contrastive(10 * p @ q.T, same_label(torch.zeros(4, dtype=torch.int64)))
    torch.testing.assert_close(level, -torch.log_softmax(10 * p @ q.T, dim=1).mean())


def test_the_prefix_of_labels_gets_no_gradient_from_captions_and_vice_versa() -> None:
    for source in (0, 1):
        text = prefix_text(tower(), 2)
        text(tokens(), torch.full((2,), source)).square().sum().backward()
        (text(tokens(), torch.full((2,), source))[:, 0]).sum().backward()
        assert float(text.prefix.grad[1 - source].abs().max()) == 0  # type: ignore[index]
        assert float(text.prefix.grad[source].abs().max()) > 0  # type: ignore[index]


class Recorded(PromptableText):
    """Keeps what a tower is given."""

    context = 6

    @property
    def table(self) -> torch.Tensor:
        """Each token as its own number."""
        return torch.arange(32.0)[:, None].expand(32, 2) / 100

    def forward(self, vectors: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """The vector at the end of each text."""
        self.got = (vectors, lengths)
        return vectors[torch.arange(len(vectors)), lengths - 1]


def test_the_place_of_the_end_moves_by_the_prefix_and_the_mask_covers_it() -> None:
    recorded: Any = Recorded()
    text = prefix_text.__wrapped__(recorded, 2)  # type: ignore[attr-defined]
    out = text(tokens(), 1)
    vectors, lengths = recorded.got
    assert lengths.tolist() == [6, 4]
    torch.testing.assert_close(out, torch.full((2, 2), 0.31))  # read at the token that ends the text
    torch.testing.assert_close(
        vectors[0, :, 0], torch.tensor([0.30, float(text.prefix[1, 0, 0].detach()), 0.04, 0.05, 0.06, 0.31])
    )
    front = prefix_text.__wrapped__(recorded, 2, 1, "front")  # type: ignore[attr-defined]
    front(tokens(), 0)
    torch.testing.assert_close(
        recorded.got[0][1, :3, 0], torch.tensor([float(front.prefix[0, 0, 0].detach()), 0.30, 0.07])
    )


def test_a_text_that_is_too_long_loses_words_and_never_its_end() -> None:
    long = torch.tensor([[30, 1, 2, 3, 4, 5, 31], [30, 1, 31, NOTHING, NOTHING, NOTHING, NOTHING]])
    assert shortened(long, 5).tolist() == [[30, 1, 2, 3, 31], [30, 1, 31, NOTHING, NOTHING]]
    assert torch.equal(shortened(long, 9), long)
    recorded: Any = Recorded()
    text = prefix_text.__wrapped__(recorded, 2)  # type: ignore[attr-defined]
    torch.testing.assert_close(text(long, 0), torch.full((2, 2), 0.31))


def test_templates_are_normalized_each_and_their_mean_again() -> None:
    method = PrefixConditioning(**QUICK).fit(**sets(), prompts=("a {}.", "the old {} of it"))
    texts = [[t.replace("{}", name) for name in WORDS[:3]] for t in ("a {}.", "the old {} of it")]
    each = torch.stack([method.encode_text(part) for part in texts])
    torch.testing.assert_close(each.norm(dim=2), torch.ones(2, 3))
    torch.testing.assert_close(method.vectors_, F.normalize(each.mean(dim=0), dim=1))
    assert method.vectors_.shape == (3, 4)
    torch.testing.assert_close(method.vectors_.norm(dim=1), torch.ones(3))


def batches(sampler: str, mix: float = 0.5, n: int = 30) -> list[list[bool]]:
    """Which samples of each batch are captions."""
    given = sets()
    seen = Seen.of(given["source"], given["pairs"].left, 3)
    run = Run("t", {}, {}, n, None)
    made = list(drawn(seen, 4, 16, sampler, mix, n, n)(run))
    assert all(int(batch.template.min()) >= 0 and int(batch.template.max()) < 4 for batch in made)
    return [(batch.index >= 48).tolist() for batch in made]


def test_batches_of_one_source_hold_one_and_mixed_ones_the_share_that_was_asked_for() -> None:
    single = batches("single_source")
    assert all(len(set(batch)) == 1 for batch in single)
    assert 5 < sum(batch[0] for batch in single) < 25
    assert all(sum(batch) == 12 for batch in batches("mixed", 0.75))
    assert all(all(batch) for sampler in ("mixed", "single_source") for batch in batches(sampler, 1.0))


def test_captions_that_read_alike_have_one_label_and_never_that_of_a_class() -> None:
    assert caption_labels(["a", "b", "a ", "c"], 3).tolist() == [3, 4, 3, 5]


def test_the_prefix_of_each_sample_is_that_of_its_source(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    from unseen.nn.prefix_tokens import PrefixText

    forward = PrefixText.forward

    def spy(self: Any, ids: torch.Tensor, source: Any = 0) -> torch.Tensor:
        if isinstance(source, torch.Tensor):
            seen.append((ids, source))
        return forward(self, ids, source)

    monkeypatch.setattr(PrefixText, "forward", spy)
    given = sets()
    PrefixConditioning(**{**QUICK, "iterations": 5}).fit(**given)
    read = Letters()
    captions = {tuple(row) for row in read(list(given["pairs"].right.x)).tolist()}
    prompts = {tuple(row[row != NOTHING].tolist()) for row in
               read([t.replace("{}", name) for t in TEMPLATES for name in WORDS[:3]])}  # fmt: skip
    assert len(seen) == 5
    for ids, source in seen:
        for row, which in zip(ids, source.tolist()):
            plain = tuple(row[row != NOTHING].tolist())
            known = {tuple(i for i in text if i != NOTHING) for text in captions} if which == 0 else prompts
            assert plain in known


def test_captions_are_the_default_and_an_unknown_source_is_refused() -> None:
    given = sets()
    method = PrefixConditioning(**QUICK).fit(**given)
    x = torch.as_tensor(given["source"].x)
    assert SOURCES[0] == "caption"
    assert torch.equal(method.decision_function(x), method.decision_function(x, source="caption"))
    assert not torch.equal(method.decision_function(x), method.decision_function(x, source="classification"))
    mean = F.normalize(method.modes_.mean(dim=0), dim=1)
    torch.testing.assert_close(method.set_params(mode="mean").vectors_, mean)
    for ask in (lambda: method.predict(x, source="book"), lambda: method.encode_text(["a"], "book")):
        with pytest.raises(ValueError, match="source must be one of caption, classification"):
            ask()


def test_the_prefix_does_not_decay() -> None:
    network = dual_encoder(perceptron((4, 4)), prefix_text(tower(), 2), Letters().to_json(), 1.0)
    decayed, free = by_decay(network, rest=("prefix", "shift", "embed"))
    assert any(p is network.text.prefix for p in free["params"])
    assert not any(p is network.text.prefix for p in decayed["params"])
    assert free["weight_decay"] == 0


# -- learning, ablations, other classes ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {}, {"condition": "none"}, {"condition": "word"}, {"condition": "output"}, {"condition": "image"},
        {"tokens": 4, "place": "front"}, {"objective": "unicl", "sampler": "single_source"}, {"train_text": False},
    ],
)  # fmt: skip
def test_every_arm_learns_and_names_classes_that_no_label_had(settings: Any) -> None:
    given = sets()
    method = PrefixConditioning(**{**QUICK, "iterations": 200, "learning_rate": 1e-2}, **settings).fit(**given)
    assert method.history_["loss"][-1] < method.history_["loss"][0]
    everything = ClassSpace(names=WORDS)
    found = method.adapt(classes=everything).predict(given["pairs"].left)
    assert found.shape == (48,)
    if settings == {}:
        assert (found == np.arange(48) % 5).mean() > 0.5
    if settings.get("condition") == "none":
        assert method.mode_cosine_ == pytest.approx(1, abs=1e-5)


def test_words_and_projection_rest_where_only_the_prefix_trains() -> None:
    given = sets()
    method = PrefixConditioning(train_text=False, **QUICK).fit(**given)
    before, after = given["model"].text.text, method.network_.text.text  # type: ignore[union-attr]
    assert torch.equal(before.table, after.table)  # type: ignore[union-attr, arg-type]
    assert not torch.equal(before.projection.weight, after.projection.weight)  # type: ignore[union-attr]


# -- what is refused ---------------------------------------------------------------------------------------


def text_pairs(captions: list[str]) -> Pairs:
    """As many pictures with these captions."""
    given = sets()["pairs"].take(slice(0, len(captions)))
    return given.replace(right=Domain(x=np.array(captions), kind="text"))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"pairs": text_pairs(["a", " "])}, "caption of row 1 is empty"),
        ({"pairs": text_pairs(["same"] * 5)}, "all captions are the same"),
        ({"pairs": Pairs(Domain(x=np.eye(4)), Domain(x=np.eye(4)))}, "texts on one side"),
        ({"prompts": ("no place",)}, "prompts must be texts with one place"),
        ({"pairs": sets(48, 9)["pairs"]}, "pictures of one shape"),
    ],
)
def test_what_nothing_can_be_learnt_from_is_named(change: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        PrefixConditioning(**QUICK).fit(**{**sets(), **change})


def test_texts_are_read_by_a_model_that_was_fitted_and_not_none_of_them() -> None:
    with pytest.raises(NotFittedError, match="PrefixConditioning has not been fitted"):
        PrefixConditioning().encode_text(["a hat"])
    method = PrefixConditioning(**QUICK).fit(**sets())
    for texts in ([], "a hat"):
        with pytest.raises(ValueError, match="texts must be at least one text"):
            method.encode_text(texts)
    with pytest.raises(ValueError, match="batch_size must be in"):
        PrefixConditioning(batch_size=1)


def test_towers_that_take_no_prefix_are_named() -> None:
    heads = dual_encoder(perceptron((16, 4)), side_head(None, 4, 4, 4), Letters().to_json(), 1.0)
    with pytest.raises(TypeError, match="text tower that reads tokens"):
        PrefixConditioning(**QUICK).fit(**{**sets(), "model": heads})
    with pytest.raises(TypeError, match="model must be two towers"):
        PrefixConditioning(**QUICK).fit(**{**sets(), "model": perceptron((16, 4))})
    with pytest.raises(ValueError, match=r"mix must be in \(0, 1\]"):
        PrefixConditioning(mix=0.0)
    with pytest.raises(ValueError, match="tokens must leave room"):
        prefix_text(tower(), 2, 10)


# -- several processes -------------------------------------------------------------------------------------


WORKER = """
import json, sys
import torch
from torch import distributed

sys.path.insert(0, sys.argv[3])
from tests.methods.multimodal.test_prefix_conditioning import dropping, sets
from unseen.methods.multimodal.prefix_conditioning import PrefixConditioning

rank, size = int(sys.argv[1]), int(sys.argv[2])
torch.set_num_threads(1)
if size > 1:
    distributed.init_process_group("gloo", rank=rank, world_size=size)
told = {}
for objective in ("clip", "unicl"):
    settings = {"iterations": 20, "batch_size": 15, "warm_up": 2, "dropout": 0.0}
    method = PrefixConditioning(objective=objective, **settings).fit(**sets())
    told[objective] = method.history_["loss"].tolist()
settings = {"iterations": 20, "batch_size": 15, "warm_up": 2, "learning_rate": 1e-2}
method = PrefixConditioning(**settings).fit(**{**sets(), "model": dropping()})
told["dropout"] = method.history_["loss"].tolist()
if rank == 0:
    print(json.dumps(told))
if size > 1:
    distributed.destroy_process_group()
"""


def dropping() -> Any:
    """Towers that drop: a perceptron, and a transformer after its words, in its attention and behind its layers."""
    with reproducible(3):
        return dual_encoder(feature_head(16, 4, 8, 0.3), token_text(tower()), Letters(10).to_json(), 1 / 0.07)


def curves(size: int) -> Any:
    """The losses of so many processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    root = str(Path(__file__).resolve().parents[3])
    env = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    jobs = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(rank), str(size), root],
            env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for rank in range(size)
    ]  # fmt: skip
    done = [job.communicate(timeout=200) for job in jobs]
    assert all(job.returncode == 0 for job in jobs), done
    return json.loads(done[0][0])


@pytest.mark.slow
def test_two_processes_have_the_loss_of_one() -> None:
    one, two = curves(1), curves(2)
    for objective, losses in one.items():
        assert len(losses) == 10
        assert two[objective] == pytest.approx(losses, abs=1e-4), objective

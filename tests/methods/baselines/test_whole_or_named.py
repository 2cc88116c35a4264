"""`whole-or-named`: kinds of sentences by a regression that is computed anew, and names by where they stood."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.pairs import Pairs
from unseen.data.tasks.base import objects
from unseen.methods.baselines.whole_or_named import WholeOrNamed, features_of, folded
from unseen.methods.span_taggers import Backwards

CLASSES = ClassSpace(names=("Claim", "Place"))


def marked(*sentences: tuple[str, Sequence[tuple[str, int]]]) -> Domain:
    """Sentences with the spans that are written out."""
    rows = [
        np.array([[t.index(s), t.index(s) + len(s), k] for s, k in spans] or np.zeros((0, 3))) for t, spans in sentences
    ]
    return Domain(
        x=np.array([text for text, _ in sentences]), kind="text",
        y=objects(np.array(own, dtype=np.int64).reshape(-1, 3) for own in rows),
        task="spans", classes=CLASSES,
    )  # fmt: skip


def claims(n: int = 12) -> Domain:
    """Sentences with "proves" are a claim from end to end, others hold none."""
    nouns = ("dose", "drug", "group")
    texts = [f"the {nouns[i % 3]} {'proves' if i % 2 else 'lists'} item {i} ." for i in range(n)]
    return marked(*((text, [(text, 0)] if "proves" in text else []) for text in texts))


def spans(method: WholeOrNamed, text: str) -> list[tuple[str, int]]:
    return [(text[a:b], int(k)) for a, b, k in method.predict([text])[0]]


def test_a_sentence_is_one_span_as_a_whole_or_none() -> None:
    method = WholeOrNamed(least_count=1).fit(source=claims())
    assert spans(method, "  a tumour proves it . ") == [("a tumour proves it .", 0)]
    assert spans(method, "a tumour lists it .") == []
    assert method.kinds_.tolist() == [-1, 0]
    assert method.counts_ == {}


def test_probabilities_are_those_of_the_regression_of_scikit_learn() -> None:
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import Normalizer

    more = marked(*((f"we met in Rome {i} times", [(f"we met in Rome {i} times", 1)]) for i in range(4)))
    for source in (claims(), Domain(
        x=np.concatenate([claims().x, more.x]), y=objects([*claims().labels, *more.labels]), kind="text", task="spans",
        classes=CLASSES,
    )):  # fmt: skip
        kinds = [int(rows[0, 2]) if len(rows) else -1 for rows in source.labels]
        told = CountVectorizer(analyzer=lambda text: features_of(text, translated=False), binary=True, min_df=2)
        expected = make_pipeline(told, Normalizer(), LogisticRegression(C=10, max_iter=500)).fit(source.x, kinds)
        method = WholeOrNamed().fit(source=source)
        asked = ["the drug proves nothing", "we met 3 times", "zzz"]
        np.testing.assert_allclose(method._shares(asked), expected.predict_proba(asked), atol=1e-3)
        sure = [one[0].confidence for one in method.mark(source.x) if one]
        np.testing.assert_allclose(
            sure, [max(p) for p, k in zip(expected.predict_proba(source.x), expected.predict(source.x)) if k >= 0],
            atol=1e-3,
        )  # fmt: skip


TRIPS = marked(
    ("Anna drove all the way to New Köln and back .", [("New Köln", 1)]),
    ("they never saw new Köln in the rain that year .", [("new Köln", 1)]),
    ("a new car was all that they had that year .", []),
    ("in May there was rain in all the towns , may be .", [("May", 1)]),
    ("it may rain and it may not rain there .", []),
)


def test_names_are_marked_where_they_stand_alike() -> None:
    method = WholeOrNamed(least_part=0.9).fit(source=TRIPS)
    assert method.known_.tolist() == ["new koln"]  # may is a name in one place of four
    text = "ayer Ana vio NEW KOLN, new y Köln."
    assert spans(method, text) == [("NEW KOLN", 1)]
    assert method.mark([text])[0][0].confidence == 1.0
    assert spans(method, "") == []


def test_the_share_of_places_that_were_marked_decides() -> None:
    method = WholeOrNamed(least_part=0.9, least_share=0.25).fit(source=TRIPS)
    assert dict(zip(method.known_.tolist(), method.known_shares_.tolist())) == {"new koln": 1.0, "may": 0.25}
    assert [one.confidence for one in method.mark(["May y new Köln"])[0]] == [0.25, 1.0]


def test_the_longest_name_is_taken_and_longer_spans_are_no_names() -> None:
    source = marked(
        ("she lives in New York City these days .", [("New York City", 1)]),
        ("the York road is closed for repairs .", [("York", 1)]),
        ("we saw that a b c d e f g are letters .", [("a b c d e f g", 0)]),
    )
    method = WholeOrNamed(least_part=0.9).fit(source=source)
    assert method.known_.tolist() == ["new york city", "york"]
    assert spans(method, "York y New York City") == [("York", 1), ("New York City", 1)]
    assert "new york city" not in WholeOrNamed(least_part=0.9, longest_name=2).fit(source=source).known_


def test_a_translation_has_the_kind_of_its_sentence_and_names_that_stand_in_it() -> None:
    source = claims()
    foreign = Domain(x=np.array(Backwards().translate(source.x.tolist())), kind="text")
    method = WholeOrNamed(least_count=1).fit(source=source, pairs=Pairs(source.replace(y=None), foreign))
    assert spans(method, "seno sevorp ti .") == [("seno sevorp ti .", 0)]
    assert spans(method, "seno stsil ti .") == []
    assert method.counts_ == {"sentences": 12, "untranslated": 0}
    same = WholeOrNamed(least_count=1).fit(source=source, translator=Backwards())
    assert np.array_equal(same.weights_, method.weights_)
    assert "word=sevorp" in method.features_
    assert not any(name.startswith("word=") for name in WholeOrNamed().fit(source=source).features_)
    right = Domain(x=np.array(["Ana fue a New Köln .", "", "un auto .", "en mayo .", "may"]), kind="text")
    names = WholeOrNamed(least_part=0.9).fit(source=TRIPS, pairs=Pairs(TRIPS.replace(y=None), right))
    assert names.known_.tolist() == ["new koln"]
    assert names.counts_ == {"sentences": 4, "untranslated": 1}


def test_sentences_without_a_translation_are_not_learnt_from() -> None:
    source = claims(4)
    at = [0, 2]  # those without a span
    pairs = Pairs(source.replace(y=None).take(at), Domain(x=np.array(["uno", "dos"]), kind="text"))
    with pytest.raises(ValueError, match="source: no sentence that is learnt from has a span"):
        WholeOrNamed().fit(source=source, pairs=pairs)


@pytest.mark.parametrize(("given", "told"), [({"translator": object()}, "translator must have translate")])
def test_what_does_not_translate_is_named(given: Any, told: str) -> None:
    with pytest.raises(TypeError, match=told):
        WholeOrNamed().fit(source=claims(), **given)


def test_words_lose_case_and_accents_and_numbers_are_one() -> None:
    assert folded("Élevé") == folded("ELEVE") == "eleve"
    told = features_of("Über 3,5 % 12", translated=False)
    assert {"stem=uber", "stem=#", "stem=%", "numbers=2", "%=1", "first=uber", "last=#"} <= set(told)
    assert len(told) == len(set(told))
    assert features_of(" ", translated=True) == []


def test_it_comes_back_with_its_bits(tmp_path: Path) -> None:
    method = WholeOrNamed(least_part=0.9).fit(source=TRIPS)
    method.save(tmp_path / "m")
    back = WholeOrNamed.load(tmp_path / "m")
    text = "ayer Ana vio new Köln ."
    assert back.mark([text]) == method.mark([text]) != [[]]

"""Templates of conditional similarity and their recall."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from unseen.evaluation.composed import evaluate_global, evaluate_templates
from unseen.evaluation.composed_templates import KINDS, Template, build_templates


def table(n: int = 600, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {
        "animal": rng.choice(["dog", "cat", "cow", "owl", "ant"], n),
        "colour": rng.choice(["red", "blue", "green", "pink"], n),
        "size": rng.choice(["big", "small", "tiny"], n),
        "beside": rng.choice(["apple", "car", "hat", ""], n),
    }


def made(**change: Any) -> list[Template]:
    settings: dict[str, Any] = {"subject": "animal", "attributes": ("colour", "size"), "objects": ("beside",), "n": 40}
    return build_templates(table(), **{**settings, "words": {"beside": "beside a", "colour": "in"}, **change})


def test_a_target_is_neither_the_reference_nor_a_distractor() -> None:
    with pytest.raises(ValueError, match="another picture than the reference"):
        Template("change-object", 3, "on red", 3, (1, 2))
    for wrong in ((4, 2), (3, 2)):
        with pytest.raises(ValueError, match="neither the target nor the reference"):
            Template("change-object", 3, "on red", 4, wrong)
    with pytest.raises(ValueError, match="at least one"):
        Template("change-object", 3, "on red", 4, ())


def test_every_kind_has_the_right_answer_and_distractors_for_both_shortcuts() -> None:
    columns = table()
    templates = made()
    assert {t.kind for t in templates} == set(KINDS)
    for t in templates:
        r, right = ({key: str(columns[key][i]) for key in columns} for i in (t.reference, t.target))
        wrong = [{key: str(columns[key][i]) for key in columns} for i in t.distractors]
        assert len(t.gallery) == 10
        if t.kind == "focus-attribute":
            assert right[t.condition] == r[t.condition]
            assert right["animal"] != r["animal"]
            assert all(w[t.condition] != r[t.condition] for w in wrong)
            assert sum(w["animal"] == r["animal"] for w in wrong) == 4
            other = {"colour": "size", "size": "colour"}[t.condition]
            assert right[other] != r[other]
            assert sum(w[other] == r[other] and w["animal"] != r["animal"] for w in wrong) == 5
        else:
            name = "beside" if t.kind.endswith("object") else "colour" if t.condition.startswith("in ") else "size"
            value = t.condition.split()[-1]
            same = "colour" if t.kind.endswith("object") else "animal"
            assert right[name] == value
            assert right[same] == r[same]
            assert (r[name] == value) == t.kind.startswith("focus")
            assert not any(w[name] == value and w[same] == r[same] for w in wrong)
            assert sum(w[same] == r[same] for w in wrong) == 4
            assert sum(w[name] == value for w in wrong) == 5


def solved(templates: list[Template], table_: Any, asked: Any) -> float:
    """Share of templates whose target shares most with the reference in the columns that `asked` names."""
    hits = []
    for t in templates:
        names = asked(t)
        shared = [sum(str(table_[n][i]) == str(table_[n][t.reference]) for n in names) for i in t.gallery]
        hits.append(all(one < shared[0] for one in shared[1:]))
    return float(np.mean(hits))


def test_a_focus_is_found_by_nobody_who_ignores_the_text() -> None:
    columns = table()
    columns["above"] = np.random.default_rng(9).choice(["sun", "moon", "star"], 600)
    columns["beside"] = np.random.default_rng(8).choice(["apple", "car", "hat"], 600)
    two: dict[str, Any] = {"attributes": ("colour", "size"), "objects": ("beside", "above"), "n": 100}
    attribute, thing = (
        build_templates(columns, subject="animal", kinds=(kind,), **two) for kind in ("focus-attribute", "focus-object")
    )
    assert len({t.condition for t in attribute}) == 2
    # the same place, and the same of one of two columns: right only where it is the one that the text names
    for name in ("colour", "size"):
        assert solved(attribute, columns, lambda t, name=name: (name,)) <= 0.6
    for name in ("beside", "above"):
        assert solved(thing, columns, lambda t, name=name: ("colour", name)) <= 0.6
    assert solved(thing, columns, lambda t: ("colour", "beside", "above", "animal", "size")) == 0.0
    assert solved(attribute, columns, lambda t: (t.condition,)) == 1.0


def test_which_attribute_counts_cannot_be_asked_where_there_is_one() -> None:
    with pytest.raises(ValueError, match="focus-attribute needs two attributes"):
        made(attributes=("colour",), kinds=("focus-attribute",))


def test_queries_that_are_no_numbers_find_nothing() -> None:
    templates, x = made(n=5), np.ones((600, 4))
    with pytest.raises(ValueError, match="finite scores"):
        evaluate_templates(lambda at, said: np.full((len(at), 4), np.nan), x, templates)


def test_templates_are_those_of_their_seed_and_more_than_there_are_cannot_be() -> None:
    assert made() == made()
    assert made(seed=1) != made()
    with pytest.raises(ValueError, match="no column 'shape'"):
        made(attributes=("shape",))
    with pytest.raises(ValueError, match="no template of change-attribute"):
        build_templates({"a": ["x"] * 9, "b": ["y"] * 9}, subject="a", attributes=("b",), kinds=("change-attribute",))
    with pytest.raises(ValueError, match="needs columns of objects"):
        made(objects=(), kinds=("focus-object",))
    with pytest.raises(ValueError, match="kinds must be of"):
        made(kinds=("focus",))


def onehot(columns: Any, names: tuple[str, ...]) -> Any:
    values = [np.unique(columns[name], return_inverse=True)[1] for name in names]
    parts = [np.eye(int(v.max()) + 1)[v] for v in values]
    x = np.concatenate(parts, axis=1) + 1e-3 * np.random.default_rng(1).normal(size=(len(values[0]), 1))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_neither_the_picture_nor_the_text_alone_solves_a_template_and_both_together_do() -> None:
    columns = table()
    names = ("animal", "colour", "size", "beside")
    x = onehot(columns, names)
    templates = made(kinds=("change-attribute", "change-object"), n=200)
    starts = dict(zip(names, np.cumsum([0, *(len(np.unique(columns[n])) for n in names[:-1])])))
    order = {n: np.unique(columns[n]).tolist() for n in names}

    def text(condition: str) -> Any:
        value = condition.split()[-1]
        name = next(n for n in names if value in order[n])
        v = np.zeros(x.shape[1])
        v[starts[name] + order[name].index(value)] = 1
        return v

    def both(at: Any, said: Any) -> Any:
        made_ = []
        for i, condition in zip(at, said):
            value = condition.split()[-1]
            name = next(n for n in names if value in order[n])
            q = x[i].copy()
            q[starts[name] : starts[name] + len(order[name])] = 0
            keep = "colour" if name == "beside" else "animal"
            q[starts[keep] : starts[keep] + len(order[keep])] *= 2
            made_.append(q / np.linalg.norm(q) + 1.5 * text(condition))
        return np.stack(made_)

    image = evaluate_templates(lambda at, said: x[list(at)], x, templates)
    words = evaluate_templates(lambda at, said: np.stack([text(c) for c in said]), x, templates)
    solved = evaluate_templates(both, x, templates)
    chance = 0.1
    assert image["recall"] < 2.5 * chance
    assert words["recall"] < 2.5 * chance
    assert solved["recall"] > 0.9


def test_random_vectors_find_by_chance_recall_does_not_fall_with_k_and_ties_do_not_favour_the_target() -> None:
    templates = made(n=300)
    rng = np.random.default_rng(2)
    x = rng.normal(size=(600, 16))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    found = evaluate_templates(lambda at, said: rng.normal(size=(len(at), 16)), x, templates, ks=(1, 2, 3))
    for row in found["kinds"].values():
        assert row["recall@1"] <= row["recall@2"] <= row["recall@3"]
        assert row["chance"] == pytest.approx(0.1)
        assert row["recall@3"] == pytest.approx(0.3, abs=0.09)
    assert found["chance"] == pytest.approx(0.1)
    low, high = found["interval"]
    assert low <= found["recall"] <= high
    flat = evaluate_templates(lambda at, said: np.ones((len(at), 16)), np.ones((600, 16)), templates)
    assert flat["recall"] == 0.0
    with pytest.raises(ValueError, match="at least one"):
        evaluate_templates(lambda at, said: x, x, [])


def test_in_a_whole_collection_the_reference_does_not_count_and_any_right_answer_does() -> None:
    gallery = np.eye(5)
    queries = np.array([[1.0, 0.9, 0.1, 0.0, 0.0], [0.0, 1.0, 0.5, 0.4, 0.0]])
    found = evaluate_global(queries, [0, 1], [[1], [3, 4]], gallery, ks=(1, 2))
    assert found == {1: 0.5, 2: 1.0}  # the first finds its own at once, the second behind picture 2
    with pytest.raises(ValueError, match="must not hold the reference"):
        evaluate_global(queries, [0, 1], [[0], [3]], gallery)

"""What the report says of classes that were never seen."""

import numpy as np
import pytest

import unseen
from unseen.compare.candidates import plan
from unseen.compare.inputs import prepare
from unseen.data import taxonomies
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.report.words import summary

NAMES = tuple("abcdefgh")


def whole(n=160, seed=0):
    """Eight classes by three attributes; features are the attributes with noise."""
    a = np.array([[i & 1, i >> 1 & 1, i >> 2 & 1] for i in range(8)], dtype=np.float32)
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 8
    x = (np.repeat(a, 4, axis=1)[y] * 3 + 0.3 * rng.normal(size=(n, 12))).astype(np.float32)
    classes = ClassSpace(names=NAMES, attributes=a, attribute_names=("striped", "furry", "large"))
    return Domain(x=x, y=y, classes=classes, ids=np.array([f"s{seed}-{i}" for i in range(n)]), name=f"d{seed}")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("new") / "run"
    source = whole()
    given = dict(source=source.take(source.labels < 6), target=whole(seed=1), classes=source.classes)
    return unseen.compare(**given, methods="dap", seeds=1, out=folder)


def test_each_unseen_class_has_its_neighbours_its_attributes_and_what_was_taken_for_it(run):
    g, h = run.results["new_classes"]
    assert (g["name"], h["name"]) == ("g", "h")
    assert {near["name"] for near in g["nearest"]} <= set("abcdef")
    assert [near["distance"] for near in g["nearest"]] == sorted(near["distance"] for near in g["nearest"])
    assert {part["name"] for part in h["apart"]} == {"striped", "furry", "large"}
    assert all(part["deviations"] > 0 for part in h["apart"])
    assert g["predicted"] + h["predicted"] > 0
    for row in (g, h):
        assert len(row["surest"]) == min(3, row["predicted"])
        assert all(id_.startswith("s1-") for id_ in row["surest"])


def test_the_report_shows_them(run):
    page = (run.folder / "report.html").read_text()
    assert "Classes never seen" in page
    assert "nearest seen" in page
    assert "striped" in page


def test_a_taxonomy_gives_the_classes_their_distance_and_an_ontology_their_concepts(tmp_path):
    tree = tmp_path / "tree.csv"
    tree.write_text("name,parent\n" + "".join(f"{c},{'low' if c < 'e' else 'high'}\n" for c in NAMES))
    triples = tmp_path / "triples.tsv"
    triples.write_text(
        "head\tproperty\ttail\n" + "".join(f"{c}\thas\t{'fur' if c in 'aceg' else 'fins'}\n" for c in NAMES)
    )
    source = whole()
    ready = prepare(
        source=source.take(source.labels < 6), target=whole(seed=1), classes=source.classes, ontology=triples,
        taxonomy=f"csv:{tree}",
    )  # fmt: skip
    assert ready.classes.distance[0].tolist() == [0, 2, 2, 2, 4, 4, 4, 4]
    assert ready.classes.ontology.named[0] == ("a", "has", "fur")
    assert next(iter(ready.exams.values())).classes.distance[0, 4] == 4
    assert ready.described
    found = unseen.compare(
        source=source.take(source.labels < 6), target=whole(seed=1), classes=source.classes, taxonomy=f"csv:{tree}",
        methods="dap", seeds=1,
    ).results["candidates"][0]["metrics"]["adapted"]  # fmt: skip
    assert found["distance"]["mean"] <= 4
    assert 0 < found["hp@5"]["mean"] <= 1
    tree.write_text("name,parent\nx,y\n")
    with pytest.raises(ValueError, match=r"8 of 8 are not in 'tree\.csv'"):
        prepare(source=source, classes=source.classes, taxonomy=f"csv:{tree}")


def test_classes_that_a_definition_of_the_taxonomy_describes_are_counted_and_told():
    source = whole()
    nodes, said = (*NAMES, "thing"), ("", *["what it is"] * len(NAMES))
    tree = taxonomies.build(nodes, [["thing"]] * len(NAMES) + [[]], nodes, (), definitions=said, name="tree")
    described = source.classes.replace(descriptions=("", "", "seen before", *[""] * (len(NAMES) - 3)))
    ready = prepare(source=source.take(source.labels < 6), target=whole(seed=1), classes=described, taxonomy=tree)
    told = [line for line in ready.notes if "gloss" in line]
    assert len(told) == 1
    assert told[0].startswith("classes: 6 of 8 have a gloss, the definition in tree, beside")
    everything = source.classes.replace(descriptions=("what it is",) * len(NAMES))
    ready = prepare(source=source.take(source.labels < 6), target=whole(seed=1), classes=everything, taxonomy=tree)
    assert not any("gloss" in line for line in ready.notes)


def test_where_each_side_is_told_among_its_own_classes_the_choice_asks_so_too():
    source, target = whole(), whole(seed=1)
    classes = source.classes.replace(attributes=source.classes.attributes + 1)  # no class is described by zeros
    few = source.take(source.labels < 6).replace(classes=classes)
    run = unseen.compare(
        source=few, target=target.replace(classes=classes), classes=classes, protocol="base-to-new",
        methods="sae,sae:generalized", seeds=1,
    )  # fmt: skip
    rows = {row["name"]: row["validators"] for row in run.results["candidates"]}
    assert run.results["chosen"]["by"] == ["class-wise validation on each side"]
    sides = {name: scores["class-wise validation on each side"]["mean"] for name, scores in rows.items()}
    assert rows["sae"]["class-wise validation"]["mean"] == 0 < sides["sae"]  # it names no seen class among all
    assert run.results["references"]["chance"]["adapted"] == pytest.approx(2 / (6 + 2))  # 1/6 of 6 and 1/2 of 2 classes
    assert "guessing" in summary(run.results)[0]
    base = {row["name"]: row["metrics"]["adapted"]["base"]["mean"] for row in run.results["candidates"]}
    assert base["sae"] > 0.9  # seen classes are told apart, however improbable all of them are


@pytest.mark.parametrize("protocol", ["auto", "zsl", "gzsl", "base-to-new"])
def test_what_names_unseen_classes_alone_is_left_out_where_both_kinds_are_graded(protocol):
    source, target = whole(), whole(seed=1)
    few = prepare(source=source.take(source.labels < 6), target=target, classes=source.classes)
    todo = plan(few, protocol=protocol)
    both = protocol in ("gzsl", "base-to-new")
    assert "dap:generalized" in todo.names()
    assert ("dap" in todo.names()) != both
    assert ("dap" in todo.left_out) == both
    assert "dap" in plan(few, "dap", protocol=protocol).names()  # what is named runs


def test_with_one_sample_of_each_class_candidates_are_asked_about_those_too():
    source = whole()
    classes = source.classes.replace(attributes=source.classes.attributes + 1)  # no class is described by zeros
    one = source.take(np.array([np.flatnonzero(source.labels == label)[0] for label in range(6)]))
    run = unseen.compare(
        source=one.replace(classes=classes), target=whole(seed=1).replace(classes=classes), classes=classes,
        methods="source-only,sae,sae:generalized", seeds=1,
    )  # fmt: skip
    rows = {row["name"]: row["validators"] for row in run.results["candidates"]}
    h = {name: scores["class-wise validation"]["mean"] for name, scores in rows.items()}
    assert h["source-only"] == 0  # it knows no class by its description
    assert h["sae"] == 0  # it never names a seen class
    assert h["sae:generalized"] > 0
    assert rows["sae"]["accuracy of held-out classes"]["mean"] > 0
    assert run.chosen == "sae:generalized"

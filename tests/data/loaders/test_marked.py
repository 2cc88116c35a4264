"""Texts with marked spans: what each format says, what is odd is counted, and what is written is read again."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest

from unseen.data.loaders.marked import conll_lines, json_lines, read_marked, sentence_ends
from unseen.data.tagged import covered, crossing, cut, pieces, runs_of, snapped, tags_of, words


def marked(domain: object) -> list[list[tuple[str, str]]]:
    """The words of each span with its class."""
    names = domain.classes.names
    return [[(text[a:b], names[k]) for a, b, k in rows.tolist()] for text, rows in zip(domain.x.tolist(), domain.y)]


CONLL = "Dose O\nhelps B-Claim\n. I-Claim\n\nRisk B-Premise\nfalls I-Premise\nhere. I-Premise\n"


def test_conll_is_read_and_spans_are_of_characters(tmp_path: Path) -> None:
    (tmp_path / "a.conll").write_text(CONLL)
    found = read_marked(tmp_path / "a.conll")
    assert found.domain.x.tolist() == ["Dose helps .", "Risk falls here."]
    assert marked(found.domain) == [[("helps .", "Claim")], [("Risk falls here.", "Premise")]]
    assert (found.format, found.counts["sentences"], found.counts["spans"]) == ("conll", 2, 2)
    assert found.domain.skipped == ()


@pytest.mark.parametrize(
    "text",
    [
        CONLL.replace(" ", "\t"),
        CONLL.replace(" ", "\t").replace("\n", "\t-\n").replace("\t-\n\t-\n", "\t-\n\n"),
        "-DOCSTART- O\n\n" + CONLL,
        CONLL.replace("\n", "\r\n"),
    ],
)
def test_separators_columns_and_marks_of_documents_may_differ(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.tsv").write_bytes(text.encode())
    assert marked(read_marked(tmp_path / "a.tsv").domain) == [[("helps .", "Claim")], [("Risk falls here.", "Premise")]]


def test_other_schemes_than_bio_are_understood(tmp_path: Path) -> None:
    (tmp_path / "a.conll").write_text("a S-X\nb B-X\nc I-X\nd E-X\ne U-Y\nf I-Y\n")
    assert marked(read_marked(tmp_path / "a.conll").domain) == [[("a", "X"), ("b c d", "X"), ("e f", "Y")]]


def test_lines_that_are_no_utf8_or_have_no_label_are_counted_and_numbers_stay(tmp_path: Path) -> None:
    """As in a development file of the corpus, which has ten and six of them."""
    bad = b"Mot\xe9 O\n" * 10 + b"\n" + b"".join(b"seul\n" for _ in range(6)) + b"\n"
    (tmp_path / "a.tsv").write_bytes(b"Un O\nmot B-X\n\n" + bad + b"Fin O\nbon B-X\n" * 20)
    found = read_marked(tmp_path / "a.tsv")
    assert found.counts["lines that are no UTF-8"] == 10
    assert found.counts["lines without a label"] == 6
    assert found.counts["left out"] == 2
    assert found.domain.ids.tolist() == ["000000", "000003"]
    assert [(one.where, one.why[:14]) for one in found.domain.skipped][9:11] == [
        ("line 13", "it is no UTF-8"),
        ("line 15", "it has no labe"),
    ]


def test_a_label_of_an_unknown_scheme_is_not_told_to_be_missing(tmp_path: Path) -> None:
    (tmp_path / "a.conll").write_text("Lisbon X-LOC\nis O\n\n" + "Fin O\nbon B-X\n" * 20)
    found = read_marked(tmp_path / "a.conll")
    assert found.counts["lines without a label"] == 0
    assert found.counts["lines with a label of no known scheme"] == 1
    assert found.domain.skipped[0].where == "line 1"
    assert found.domain.skipped[0].why.startswith("its label must be O, or one of B-")


def test_a_wrong_label_of_a_small_file_is_named_and_its_column_read(tmp_path: Path) -> None:
    """One of nine is more than a tenth: the file was one without any label."""
    rows = "Ana B-Person\nvisits O\nRome B-Place\n. O\n\nBob B-Person\nsees O\nParis X-Place\ntoo O\n. O\n"
    (tmp_path / "a.conll").write_text(rows)
    found = read_marked(tmp_path / "a.conll")
    assert marked(found.domain) == [[("Ana", "Person"), ("Rome", "Place")]]
    assert found.counts["lines with a label of no known scheme"] == 1
    assert [one.where for one in found.domain.skipped] == ["line 8"]


def test_a_column_of_labels_of_another_scheme_is_named_and_the_texts_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.conll").write_text("Ana PER\nvisits O\nRome LOC\n. O\n")
    found = read_marked(tmp_path / "a.conll")
    assert (found.domain.x.tolist(), found.domain.y) == (["Ana visits Rome ."], None)
    assert [one.where for one in found.domain.skipped] == ["column 2"]
    assert found.domain.skipped[0].why.endswith("U- and a class: 'PER'")


def test_conll_without_tags_is_texts_of_which_nothing_is_known(tmp_path: Path) -> None:
    (tmp_path / "a.conll").write_text("Dose\nhelps\n\nRisk\n")
    found = read_marked(tmp_path / "a.conll")
    assert found.domain.y is None
    assert found.domain.x.tolist() == ["Dose helps", "Risk"]


def test_brat_is_read_by_sentences_never_cut_inside_a_span(tmp_path: Path) -> None:
    text = "The dose helps. It is safe.\nRisk falls. Yes."
    (tmp_path / "a.txt").write_text(text)
    at = text.index("Risk")
    notes = [
        "T1\tClaim 0 14\tThe dose helps",
        f"T2\tPremise {at} {len(text)}\tRisk falls. Yes.",
        "T3\tClaim 16 18;22 26\tIt safe",
        "T4\tClaim 0 14\tThe drug helps",
        "T5\tClaim 30 9000\tx",
        "R1\tSupport Arg1:T2 Arg2:T1",
    ]
    (tmp_path / "a.ann").write_text("\n".join(notes))
    (tmp_path / "b.txt").write_text("No notes here.")
    found = read_marked(tmp_path)
    assert found.domain.x.tolist() == ["The dose helps.", "It is safe.", "Risk falls. Yes.", "No notes here."]
    assert [None if rows is None else rows.tolist() for rows in found.domain.y] == [
        [[0, 14, 0]],
        [[0, 10, 0]],
        [[0, 16, 1]],
        None,
    ]
    assert found.counts["spans in parts, made one"] == 1
    assert found.counts["annotations that are no span"] == 1
    assert found.counts["invalid spans"] == 2
    assert found.domain.columns["begin"].tolist() == [0, 16, at, 0]
    assert read_marked(tmp_path / "a.txt").format == "brat"


def test_brat_in_folders_of_a_folder_is_read_with_them(tmp_path: Path) -> None:
    for name, text in (("anna/1", "The dose helps."), ("anna/10", "It is safe."), ("anna/2", "Yes."), ("ben/1", "No.")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.txt").write_text(text)
    (tmp_path / "ben" / "1.ann").write_text("T1\tClaim 0 2\tNo")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "1.txt").write_text("Not this.")
    found = read_marked(tmp_path)
    assert found.domain.x.tolist() == ["The dose helps.", "Yes.", "It is safe.", "No."]
    assert found.domain.columns["document"].tolist() == ["anna/1.txt", "anna/2.txt", "anna/10.txt", "ben/1.txt"]
    assert found.counts["spans"] == 1
    (tmp_path / "anna" / "1.ann").write_text("T1\tClaim 0 99\tThe")
    (tmp_path / "anna" / "2.txt").write_bytes(b"\xff")
    assert [line.where for line in read_marked(tmp_path).domain.skipped] == ["anna/1.ann, line 1", "anna/2.txt"]


def test_json_lines_of_spans_entities_and_tokens_are_read(tmp_path: Path) -> None:
    rows = [
        {"text": "the dose helps", "spans": [{"start": 4, "end": 8, "label": "Drug"}]},
        {"text": "the risk", "entities": [[4, 8, "Risk"]]},
        {"tokens": ["a", "dose"], "tags": ["O", "B-Drug"]},
        {"text": "nothing", "spans": []},
        {"text": "broken", "spans": [{"start": 4, "end": 90, "label": "Drug"}]},
    ]
    content = "\n".join(json.dumps(row) for row in rows).encode() + b"\n\xff\xfe\n{no json\n"
    (tmp_path / "a.jsonl").write_bytes(content)
    found = read_marked(tmp_path / "a.jsonl")
    assert marked(found.domain) == [[("dose", "Drug")], [("risk", "Risk")], [("dose", "Drug")], []]
    assert found.counts["left out"] == 3
    assert "a span must lie in its text of 6 characters; got 4 to 90" in found.domain.skipped[0].why


def test_spans_that_cross_words_and_overlap_are_counted(tmp_path: Path) -> None:
    row = {
        "text": "the dose helps",
        "spans": [{"start": 5, "end": 8, "label": "a"}, {"start": 7, "end": 14, "label": "b"}],
    }
    (tmp_path / "a.jsonl").write_text(json.dumps(row))
    found = read_marked(tmp_path / "a.jsonl")
    assert (found.counts["spans that cross words"], found.counts["overlapping spans"]) == (2, 1)
    tags = tags_of(pieces("the dose helps"), found.domain.y[0], ("a", "b"))
    assert tags == ["O", "B-b", "I-b"]  # the longer one has the word on which they meet


def test_every_span_in_a_longer_one_is_counted_as_overlapping(tmp_path: Path) -> None:
    row = {"text": "one two three four five six", "spans": [[0, 27, "a"], [4, 7, "b"], [14, 18, "b"]]}
    (tmp_path / "a.jsonl").write_text(json.dumps(row))
    assert read_marked(tmp_path / "a.jsonl").counts["overlapping spans"] == 2


@pytest.mark.parametrize(
    ("span", "why"),
    [
        ('[0.5, 3.9, "a"]', "must be whole numbers; got 0.5"),
        ('[0, Infinity, "a"]', "must be whole numbers; got inf"),
        ('[true, 3, "a"]', "must be whole numbers; got True"),
        ("[0, 3, null]", "the class of a span must be a word; got None"),
        ('[0, 3, " "]', "the class of a span must be a word; got ' '"),
    ],
)
def test_a_span_that_is_none_costs_its_line_alone(tmp_path: Path, span: str, why: str) -> None:
    (tmp_path / "a.jsonl").write_text(
        f'{{"text": "the dose", "spans": [{span}]}}\n{{"text": "the dose", "spans": [[4.0, 8, "a"]]}}\n'
    )
    found = read_marked(tmp_path / "a.jsonl")
    assert marked(found.domain) == [[("dose", "a")]]
    assert [skipped.where for skipped in found.domain.skipped] == ["line 1"]
    assert why in found.domain.skipped[0].why


def test_plain_texts_are_cut_into_sentences(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes('Uno. Dos ("tres.") Cuatro 0.5 mg.\n\n¿Cinco? Seis\n'.encode() + b"\xff\n")
    found = read_marked(tmp_path / "a.txt")
    assert found.domain.x.tolist() == ["Uno.", 'Dos ("tres.")', "Cuatro 0.5 mg.", "¿Cinco?", "Seis"]
    assert found.counts["left out"] == 1
    assert len(read_marked(tmp_path / "a.txt", split=False).domain) == 3  # the empty line is one


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    (tmp_path / "a.conll").write_text(CONLL)
    first = read_marked(tmp_path / "a.conll").domain
    (tmp_path / "b.conll").write_text("\n".join(conll_lines(first, words_alone=True)))
    (tmp_path / "c.jsonl").write_text("\n".join(json_lines(first)))
    for name in ("b.conll", "c.jsonl"):
        again = read_marked(tmp_path / name).domain
        assert again.x.tolist() == first.x.tolist()
        assert [rows.tolist() for rows in again.y] == [rows.tolist() for rows in first.y]
    assert [*conll_lines(first)][-3:] == ["here\tI-Premise", ".\tI-Premise", ""]


def test_docbin_is_read_by_spacy(tmp_path: Path) -> None:
    spacy = pytest.importorskip("spacy", reason='no spaCy; pip install "unseen[docbin]"')
    from spacy.tokens import DocBin

    doc = spacy.blank("en")("The dose helps. Risk falls.")
    doc.ents = [doc.char_span(4, 8, label="Drug")]
    doc.spans["sc"] = [doc.char_span(16, 26, label="Claim")]
    DocBin(docs=[doc]).to_disk(tmp_path / "a.spacy")
    found = read_marked(tmp_path / "a.spacy")
    assert found.domain.x.tolist() == ["The dose helps.", "Risk falls."]
    assert marked(found.domain) == [[("dose", "Drug")], [("Risk falls", "Claim")]]
    DocBin(docs=[spacy.blank("en")("Nobody looked for spans here."), doc]).to_disk(tmp_path / "b.spacy")
    assert [rows is None for rows in read_marked(tmp_path / "b.spacy").domain.y] == [True, False, False]
    (tmp_path / "b.spacy").write_bytes(b"no such thing")
    with pytest.raises(ValueError, match="it is no DocBin"):
        read_marked(tmp_path / "b.spacy")


def test_spacy_is_named_where_it_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "spacy", None)
    (tmp_path / "a.spacy").write_bytes(b"x")
    with pytest.raises(ImportError, match=r'pip install "unseen\[docbin\]"'):
        read_marked(tmp_path / "a.spacy")


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.xyz").write_text("x")
    (tmp_path / "b.conll").write_text("\n\n")
    (tmp_path / "c.conll").write_text(CONLL)
    with pytest.raises(ValueError, match="ends in none of"):
        read_marked(tmp_path / "a.xyz")
    with pytest.raises(ValueError, match="holds no sentence"):
        read_marked(tmp_path / "b.conll")
    with pytest.raises(ValueError, match="marks spans of 'Premise', which is none of Claim"):
        read_marked(tmp_path / "c.conll", classes=["Claim"])


# -- pieces ------------------------------------------------------------------------------------------------


def test_signs_stand_alone_and_numbers_stay_whole() -> None:
    text = "p<0,05 (IC 95%): l'aire d’un B12, COVID-19."
    assert cut(text, pieces(text)) == [
        "p",
        "<",
        "0,05",
        "(",
        "IC",
        "95",
        "%",
        ")",
        ":",
        "l'aire",
        "d’un",
        "B12",
        ",",
        "COVID",
        "-",
        "19",
        ".",
    ]
    assert cut("a  b.", words("a  b.")) == ["a", "b."]


def test_spans_snap_to_words_and_tokens_cover_them() -> None:
    text = "ello cae, si"
    assert snapped(np.array([[5, 8, 0]]), text).tolist() == [[5, 9, 0]]
    assert covered(pieces(text), 0, 6) == (0, 2)
    assert covered(pieces(text), 4, 5) == (0, 0)
    assert crossing(pieces(text), np.array([[0, 8, 0], [1, 8, 0]])) == 1
    assert [tuple(run) for run in runs_of(["I-a", "I-a", "B-a", "O", "I-b"])] == [(0, 2, "a"), (2, 3, "a"), (4, 5, "b")]


# -- numbers of sentences ----------------------------------------------------------------------------------


def test_an_empty_line_is_an_empty_text_where_nothing_is_cut(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("\ufeffUno.\n\nTres. Aquí.\r\n".encode())
    found = read_marked(tmp_path / "a.txt", split=False)
    assert found.domain.x.tolist() == ["Uno.", "", "Tres. Aquí."]
    assert found.domain.ids.tolist() == ["000000", "000001", "000002"]
    assert (found.counts["sentences"], found.counts["empty sentences"]) == (3, 1)
    assert read_marked(tmp_path / "a.txt").domain.ids.tolist() == ["000000", "000001", "000002"]


def test_numbers_stay_beside_an_invalid_line_in_every_format(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "One."}\n{no json\n{"text": ""}\n{"text": "Four."}\n')
    found = read_marked(tmp_path / "a.jsonl")
    assert found.domain.x.tolist() == ["One.", "", "Four."]
    assert found.domain.ids.tolist() == ["000000", "000002", "000003"]
    assert (found.counts["left out"], found.counts["empty sentences"]) == (1, 1)
    (tmp_path / "b.txt").write_bytes(b"One.\n\xff\nThree.\n")
    assert read_marked(tmp_path / "b.txt").domain.ids.tolist() == ["000000", "000002"]
    (tmp_path / "notes").mkdir()
    for name, raw in (("a", b"One."), ("b", b"\xff"), ("c", b"Three.")):
        (tmp_path / "notes" / f"{name}.txt").write_bytes(raw)
    assert read_marked(tmp_path / "notes").domain.ids.tolist() == ["000000", "000002"]


def test_where_a_text_is_cut_the_numbers_behind_it_move_and_holes_stay(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "One. Two."}\n{no json\n{"text": "Four."}\n')
    assert read_marked(tmp_path / "a.jsonl").domain.ids.tolist() == ["000000", "000001", "000003"]


def test_every_sentence_tells_its_document_its_line_and_where_it_begins(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("\ufeff  Uno. Dos.\r\n\n Tres.\n".encode())
    (tmp_path / "b.conll").write_text("\n-DOCSTART- O\n\na O\nb B-X\n\nc O\n")
    (tmp_path / "c.jsonl").write_text('{"text": "One.", "id": "x7"}\n\n{"text": " Two. Three."}\n')
    (tmp_path / "d.json").write_text('[{"text": "One."}, {"text": "Two. Three."}]')
    told = {}
    for file in sorted(tmp_path.iterdir()):
        columns = read_marked(file).domain.columns
        told[file.name] = [*zip(*(columns[name].tolist() for name in ("document", "line", "begin")))]
    assert told == {
        "a.txt": [("a.txt", 1, 2), ("a.txt", 1, 7), ("a.txt", 3, 1)],
        "b.conll": [("b.conll", 4, 0), ("b.conll", 7, 0)],
        "c.jsonl": [("x7", 1, 0), ("c.jsonl", 3, 1), ("c.jsonl", 3, 6)],
        "d.json": [("d.json:1", 0, 0), ("d.json:2", 0, 0), ("d.json:2", 0, 5)],
    }
    (tmp_path / "a.ann").write_text("")
    assert set(read_marked(tmp_path / "a.txt").domain.columns["document"].tolist()) == {"a.txt"}


# -- what people have ----------------------------------------------------------------------------------------


def test_words_are_the_second_column_where_the_first_numbers_them(tmp_path: Path) -> None:
    """As in GermEval and in CoNLL-U with names; the column behind, in which nothing is marked, gives way."""
    path = tmp_path / "a.tsv"
    path.write_text(
        "# sent_id = 1\n# text = Ana ging heim\n1\tAna\tB-PER\tO\n2\tging\tO\tO\n3\theim\tO\tO\n\n"
        "#\tsource\n1\tIn\tO\tO\n2\tBonn\tB-LOC\tO\n"
    )
    domain = read_marked(path).domain
    assert domain.x.tolist() == ["Ana ging heim", "In Bonn"]
    assert [rows.tolist() for rows in domain.labels] == [[[0, 3, 1]], [[3, 7, 0]]]


def test_numbers_that_are_words_stay_words(tmp_path: Path) -> None:
    path = tmp_path / "a.conll"
    path.write_text("12 CD O\nmen NN B-X\n\n7 CD O\ndogs NN O\n")
    assert read_marked(path).domain.x.tolist() == ["12 men", "7 dogs"]


def test_comments_do_not_hide_the_tags(tmp_path: Path) -> None:
    path = tmp_path / "a.conll"
    path.write_text("".join(f"# sent_id = {i}\n# text = Ana left\nAna\tB-PER\nleft\tO\n\n" for i in range(9)))
    marks = read_marked(path)
    assert marks.counts["spans"] == marks.counts["sentences"] == 9


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("अमित त्रिवेदी उज्जैन में", ["अमित", "त्रिवेदी", "उज्जैन", "में"]),
        ("Z\u030ciga C\u030crnc\u030cec!", ["Z\u030ciga", "C\u030crnc\u030cec", "!"]),
        ("مُحَمَّد می\u200cخواهم", ["مُحَمَّد", "می\u200cخواهم"]),
        ("👩\u200d🔬 ok 👍🏽", ["👩\u200d🔬", "ok", "👍🏽"]),
        ("don't l’été 0,05 mg/day x2 a_b", ["don't", "l’été", "0,05", "mg", "/", "day", "x2", "a", "_b"]),
    ],
)
def test_marks_that_combine_stay_with_their_letters(text: str, expected: list[str]) -> None:
    assert cut(text, pieces(text)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Dr. Novak left. He went.", ["Dr. Novak left.", "He went."]),
        ("J. R. Tolkien wrote. He (cf. Fig. A) did.", ["J. R. Tolkien wrote.", "He (cf. Fig. A) did."]),
        ("They took vitamin C. Patients slept.", ["They took vitamin C.", "Patients slept."]),
        ("Dr.\nNovak", ["Dr.", "Novak"]),
        ("We took Plan B. Then in the U.S. The war.", ["We took Plan B.", "Then in the U.S.", "The war."]),
        ("prof. dr. Ana and George W. Bush met. So.", ["prof. dr. Ana and George W. Bush met.", "So."]),
        ("我来。你去！他好吗？", ["我来。", "你去！", "他好吗？"]),
        ("यह है। वह है।", ["यह है।", "वह है।"]),
        ("هل؟ نعم.", ["هل؟", "نعم."]),
    ],
)
def test_no_sentence_ends_behind_a_title(text: str, expected: list[str]) -> None:
    assert [text[a:b] for a, b in sentence_ends(text)] == expected


def test_words_written_as_one_and_remarks_that_look_tagged_are_no_tokens(tmp_path: Path) -> None:
    path = tmp_path / "a.conll"
    path.write_text("# text = O Zupan mesta\n1 Ana _ B-PER\n2-3 zum _ _\n2 zu _ O\n3 dem _ O\n3.1 x _ _\n\n")
    assert read_marked(path).domain.x.tolist() == ["Ana zu dem"]


def test_spans_over_what_looks_like_the_end_of_a_sentence_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"text": "In St. Who. Ana left.", "spans": [[3, 15, "X"]]}))
    marks = read_marked(path)
    assert marks.domain.x.tolist() == ["In St. Who. Ana left."]
    assert marks.counts["spans over what looks like the end of a sentence"] == 1


@pytest.mark.parametrize("text", ["Ana left. " * 40_000, "Hello" + " " * 200_000 + "x", "a. " * 100_000])
def test_long_texts_are_cut_in_a_moment(text: str) -> None:
    started = time.process_time()
    assert list(sentence_ends(text))
    assert time.process_time() - started < 5  # minutes where the work grows with the square

"""CSV, TSV, JSON lines and Parquet with features, texts or paths; full, partial and missing labels."""

from pathlib import Path

import fsspec
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from unseen.data.loaders import load


def write(tmp_path, text, name="t.csv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_feature_columns_with_partly_filled_labels(tmp_path):
    domain = load(write(tmp_path, "a,b,label,split\n1,2.5,x,train\n3,4,,test\n5,6,y,test\n"))
    assert domain.kind == "features"
    assert domain.x.tolist() == [[1, 2.5], [3, 4], [5, 6]]
    assert domain.y.tolist() == [0, -1, 1]
    assert domain.columns["split"].tolist() == ["train", "test", "test"]


def test_no_label_column_means_no_labels(tmp_path):
    assert load(write(tmp_path, "a,b\n1,2\n3,4\n")).y is None


def test_an_empty_label_column_means_no_labels(tmp_path):
    assert load(write(tmp_path, "a,label\n1,\n3,\n")).y is None


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet", ".jsonl"])
def test_all_formats_agree(tmp_path, suffix):
    frame = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [4, 5, 6], "kind": ["u", "v", "u"]})
    path = tmp_path / f"t{suffix}"
    if suffix == ".parquet":
        frame.to_parquet(path)
    elif suffix == ".jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_csv(path, index=False, sep="\t" if suffix == ".tsv" else ",")
    domain = load(path, labels_column="kind")
    assert domain.x.tolist() == [[1, 4], [2, 5], [3, 6]]
    assert domain.classes.names == ("u", "v")
    assert domain.y.tolist() == [0, 1, 0]


def test_names_that_look_like_missing_values_or_numbers_stay_names(tmp_path):
    domain = load(write(tmp_path, "text,label\nhello,NA\nNone,None\nnull,007\n12,-1\n"))
    assert domain.x.tolist() == ["hello", "None", "null", "12"]
    assert domain.classes.names == ("007", "NA", "None")
    assert domain.y.tolist() == [1, 2, 0, -1]


def test_numeric_labels_sort_by_value_and_minus_one_is_missing(tmp_path):
    frame = pd.DataFrame({"a": np.arange(4.0), "y": [10.0, 9.0, np.nan, -1.0]})
    frame.to_parquet(tmp_path / "t.parquet")
    domain = load(tmp_path / "t.parquet")
    assert domain.classes.names == ("9", "10")
    assert domain.y.tolist() == [1, 0, -1, -1]


def test_real_numbers_are_no_classes(tmp_path):
    pd.DataFrame({"a": [1.0, 2.0], "y": [0.5, 1.25]}).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(ValueError, match=r"real number 0\.5"):
        load(tmp_path / "t.parquet")


def test_text_columns_by_usual_name_by_argument_and_alone(tmp_path):
    path = write(tmp_path, "review,stars,label\ngood,5,p\nbad,1,n\n")
    assert load(path, text_column="review").x.tolist() == ["good", "bad"]
    assert load(path, text_column="review").columns["stars"].tolist() == [5, 1]
    assert load(write(tmp_path, "sentence\nhello\nworld\n", "u.csv")).kind == "text"
    assert load(write(tmp_path, "remark,label\nhello,a\nworld,b\n", "v.csv")).x.tolist() == ["hello", "world"]


def test_rows_with_missing_features_are_counted(tmp_path):
    path = write(tmp_path, "a,b,label\n1,2,x\n,4,y\n5,inf,x\n")
    domain = load(path)
    assert len(domain) == 1
    assert [entry.where for entry in domain.skipped] == ["row 2 (id 000001)", "row 3 (id 000002)"]
    assert "a is missing" in domain.skipped[0].why
    with pytest.raises(ValueError, match="2 unreadable"):
        load(path, on_error="fail")


@pytest.fixture
def shots(tmp_path):
    folder = tmp_path / "shots"
    (folder / "img").mkdir(parents=True)
    for name in ("1.png", "2.png"):
        Image.new("RGB", (3, 3), "red").save(folder / "img" / name)
    Image.new("RGB", (3, 3), "red").save(tmp_path / "outside.png")
    (folder / "img" / "bad.png").write_bytes(b"bad")
    (folder / "img" / "link.png").symlink_to(tmp_path / "outside.png")
    return folder


def test_paths_are_relative_to_the_table_and_may_not_leave_its_folder(shots, tmp_path):
    rows = ["img/1.png", "img\\2.png", "img/bad.png", "img/gone.png", "../outside.png", "img/link.png"]
    rows += [str(tmp_path / "outside.png"), "http://example.com/a.png"]
    path = write(shots, "path,label\n" + "".join(f"{row},c{i % 2}\n" for i, row in enumerate(rows)))
    domain = load(path)
    assert domain.kind == "image"
    assert domain.ids.tolist() == ["img/1.png", "img\\2.png", "img/link.png"]
    assert domain.y.tolist() == [0, 1, 1]
    assert domain.x[1].size == (3, 3)
    reasons = {entry.where: entry.why for entry in domain.skipped}
    assert "not a picture" in reasons["img/bad.png"]
    assert "does not exist" in reasons["img/gone.png"]
    fix = "put the table into a folder above its files, and write their paths from there"
    assert reasons[rows[4]] == f"{rows[4]!r} leads out of its folder: {fix}"
    for row in rows[6:]:
        assert reasons[row] == f"{row!r} is absolute, and must be relative: {fix}"
    allowed = load(path, allow_outside=True)
    assert len(allowed) == 5


def test_an_absolute_path_inside_the_folder_and_an_empty_one_are_called_that(shots):
    own = str(shots / "img" / "1.png")
    path = write(shots, f"path,label\nimg/1.png,a\n{own},a\n,b\n.,b\nimg/2.png,b\n")
    skipped = load(path).skipped
    why = [entry.why for entry in skipped]
    assert why[0].startswith(f"{own!r} is absolute, and must be relative: ")
    assert why[1:] == ["the path is empty", "'.' names no file"]
    assert [entry.where for entry in skipped] == [own, "row 3", "."]


def test_a_path_column_is_found_by_its_content(shots):
    path = write(shots, "picture,who,label\nimg/1.png,me,a\nimg/2.png,you,b\n")
    domain = load(path)
    assert domain.kind == "image"
    assert domain.columns["who"].tolist() == ["me", "you"]


def test_tables_on_other_file_systems_find_their_pictures(shots):
    memory = fsspec.filesystem("memory")
    for name in ("img/1.png", "img/2.png"):
        memory.pipe(f"/shots/{name}", (shots / name).read_bytes())
    memory.pipe("/shots/t.csv", b"path,label\nimg/1.png,a\nimg/2.png,b\n")
    domain = load("memory://shots/t.csv")
    assert domain.x[0].size == (3, 3)
    assert domain.skipped == ()


def test_ids_come_from_their_column_if_they_differ(tmp_path):
    assert load(write(tmp_path, "id,a\nx1,1\nx2,2\n")).ids.tolist() == ["x1", "x2"]
    assert load(write(tmp_path, "id,a\nx1,1\nx1,2\n")).ids.tolist() == ["000000", "000001"]


def test_errors_list_the_columns(tmp_path):
    path = write(tmp_path, "species,width\nrose,1\n")
    with pytest.raises(
        ValueError, match=r"labels_column 'specie' is not there; did you mean 'species'\? The columns are"
    ):
        load(path, labels_column="specie")
    with pytest.raises(ValueError, match="the table has no rows"):
        load(write(tmp_path, "a,b\n", "u.csv"))
    with pytest.raises(ValueError, match=r"FILE\?path=COLUMN names one\. The columns are: a, b"):
        load(write(tmp_path, "a,b\nu,v\nw,x\n", "v.csv"))
    with pytest.raises(ValueError, match="cannot be read as parquet"):
        load(write(tmp_path, "nonsense", "w.parquet"))


def test_features_have_the_names_of_their_columns(tmp_path):
    domain = load(write(tmp_path, "Breite, Höhe,label,name,day,gap\n1,2,x,u,2024-01-02,\n3,4,y,v,2024-01-03,\n"))
    assert domain.feature_names == ("Breite", "Höhe")
    assert domain.notes == ("not used: name (text), day (date), gap (empty)",)


def test_the_first_row_of_a_table_without_names_gives_none(tmp_path):
    assert load(write(tmp_path, "5.1,3.5,5.1\n1,2,3\n")).feature_names == ()
    assert load(write(tmp_path, "0,1,2\n1,2,3\n", "u.csv")).feature_names == ("0", "1", "2")


def test_a_cell_that_is_no_number_does_not_cost_its_column(tmp_path):
    rows = "".join(f"{i},{i / 2},x\n" for i in range(20))
    domain = load(write(tmp_path, f"a,Breite,label\n{rows}7,?,x\n"))
    assert domain.feature_names == ("a", "Breite")
    assert domain.x[1].tolist() == [1, 0.5]
    assert domain.notes == ("Breite: 1 of 21 cells is no number: '?'",)
    assert [(entry.where, entry.why) for entry in domain.skipped] == [
        ("row 21 (id 000020)", "Breite is '?', which is no number")
    ]


def test_many_columns_with_odd_cells_are_not_all_listed(tmp_path):
    header, rows = ",".join(f"f{i}" for i in range(10)), ("1," * 9 + "1\n") * 10
    notes = load(write(tmp_path, f"{header}\n{rows}{'?,' * 9}?\n")).notes
    assert len(notes) == 9
    assert notes[-1] == "2 more columns have cells that are no numbers"


@pytest.mark.parametrize("bom", ["", "\ufeff"])
@pytest.mark.parametrize(("one", "two"), [("1,5", "2,25"), ("1.5", "2.25")])
def test_semicolons_and_decimal_commas_are_read(tmp_path, bom, one, two):
    domain = load(write(tmp_path, f"{bom}Länge;Breite;label\n{one};{two};x\n3;4;y\n"))
    assert domain.feature_names == ("Länge", "Breite")
    assert domain.x.tolist() == [[1.5, 2.25], [3, 4]]
    assert domain.classes.names == ("x", "y")


def test_odd_cells_beside_decimal_commas_are_told_apart(tmp_path):
    rows = "".join(f"1.{i:03d},5;{i},25\n" for i in range(100, 120))
    domain = load(write(tmp_path, f"a;b\n{rows}?;1,0\n"))
    assert domain.x[0].tolist() == [1100.5, 100.25]
    assert len(domain.skipped) == 1


def test_a_separator_at_the_end_of_lines_adds_nothing(tmp_path):
    domain = load(write(tmp_path, "a;b;\n1;2;\n3;4;\n"))
    assert domain.feature_names == ("a", "b")
    assert load(write(tmp_path, "a,b\n1,2,\n3,4,\n", "u.csv")).x.tolist() == [[1, 2], [3, 4]]


def test_texts_beside_numbers_that_only_tell_rows_apart_are_texts(tmp_path):
    rows = "".join(f"{i};hello world {i};{'ab'[i % 2]}\n" for i in range(40))
    domain = load(write(tmp_path, f"Nr;Satz;label\n{rows}"))
    assert domain.kind == "text"
    assert domain.x[3] == "hello world 3"
    known = load(write(tmp_path, f"Nr;Satz;label\n{rows}"), features=("Nr",))
    assert known.feature_names == ("Nr",)
    assert (
        load(write(tmp_path, "Nr;Satz;label\n7;good day;a\n21;good night;b\n")).kind == "text"
    )  # whatever stands in it
    assert load(write(tmp_path, "year;city;label\n2001;Rome;a\n2002;Oslo;b\n")).feature_names == ("year",)


def test_rows_with_more_cells_than_names_are_refused(tmp_path):
    with pytest.raises(ValueError, match="rows have more cells than its first line has names; give each column a name"):
        load(write(tmp_path, "a,b,label\nr1,1,2,x\nr2,3,4,y\n"))


def test_other_encodings_are_refused_with_a_remedy(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes("Länge,label\n1,x\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"cannot be read as csv: it is not UTF-8 text: .*; save it as UTF-8"):
        load(path)


def test_a_row_whose_text_is_empty_is_left_out_and_named(tmp_path):
    (tmp_path / "t.csv").write_text('text,label\n"a match",sport\n"",sport\n"  ",news\n"a vote",news\n')
    domain = load(tmp_path / "t.csv", on_error="skip")
    assert domain.x.tolist() == ["a match", "a vote"]
    assert domain.labels.tolist() == [domain.classes.index("sport"), domain.classes.index("news")]
    assert [(entry.where, entry.why) for entry in domain.skipped] == [
        ("row 2 (id 000001)", "text is empty"),
        ("row 3 (id 000002)", "text is empty"),
    ]


@pytest.mark.parametrize("odd", [False, True])
def test_thousands_points_and_decimal_commas_are_numbers_with_and_without_odd_cells(tmp_path, odd):
    rows = ["1.234;2,5;x", "2.234;3,5;y", "1.000,5;1,0;x"] + ["3.000;1,5;y"] * 17 + (["?;9,5;x"] if odd else [])
    (tmp_path / "t.csv").write_text("a;b;label\n" + "\n".join(rows) + "\n")
    domain = load(tmp_path / "t.csv", on_error="skip")
    assert domain.x[:3].tolist() == [[1234, 2.5], [2234, 3.5], [1000.5, 1]]
    assert len(domain.skipped) == odd


@pytest.mark.parametrize("blank", [" ", "NA", ""])
def test_a_blank_cell_is_a_missing_number_in_every_format(tmp_path, blank):
    cells = ["1", blank, "3", "4"]
    (tmp_path / "t.csv").write_text("a,b,label\n" + "".join(f"{cell},{i},x\n" for i, cell in enumerate(cells)))
    frame = pd.DataFrame({"a": cells, "b": [0, 1, 2, 3], "label": list("xxyy")})
    frame.to_json(tmp_path / "t.jsonl", orient="records", lines=True)
    frame.to_parquet(tmp_path / "t.parquet")
    for name in ("t.csv", "t.jsonl", "t.parquet"):
        domain = load(tmp_path / name, on_error="skip")
        assert domain.x.tolist() == [[1, 0], [3, 2], [4, 3]], name
        assert [entry.where for entry in domain.skipped] == ["row 2 (id 000001)"]


def test_a_column_that_is_mostly_missing_costs_no_row(tmp_path):
    (tmp_path / "t.csv").write_text(
        "a,remark,label\n" + "".join(f"{i},{'3' if i == 5 else '-'},x\n" for i in range(20))
    )
    domain = load(tmp_path / "t.csv")
    assert len(domain) == 20
    assert domain.feature_names == ("a",)
    assert domain.notes == ("not used: remark (mostly missing)",)


def test_columns_may_be_named_behind_the_path(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("species,width,note\nsetosa,1.5,small\nvirginica,2.5,large\n")
    named = load(f"{tmp_path / 'a.csv'}?label=species")
    assert named.classes is not None
    assert (named.classes.names, named.name, named.n_features) == (("setosa", "virginica"), "a", 1)
    texts = load(f"{tmp_path / 'a.csv'}?label=species&text=note")
    assert (texts.kind, texts.x.tolist()) == ("text", ["small", "large"])
    for wrong, told in (("lable=species", "'?lable'|got 'lable'"), ("", "got ''"), ("label=", "got 'label='")):
        with pytest.raises(ValueError, match=f"behind \\? stand label=COLUMN, text=COLUMN, path=COLUMN.*{told}"):
            load(f"{tmp_path / 'a.csv'}?{wrong}")
    with pytest.raises(ValueError, match="kind"):
        load(f"{tmp_path / 'a.csv'}?label=kind")
    (tmp_path / "odd?label=x.csv").write_text("label,width\na,1\nb,2\n")  # a file that is called so
    assert len(load(tmp_path / "odd?label=x.csv")) == 2


BELOW = "".join(f"{4 + i / 10:.1f},{3 + i % 3},{'cat' if i % 2 else 'dog'}\n" for i in range(12))
PLAIN = "".join(f"{4 + i / 10:.1f},{3 + i % 3}\n" for i in range(12))


@pytest.mark.parametrize("content", ["4.5,3\n" + PLAIN, "4.9,3,cat\n" + BELOW, "5.1,3.5\nNA,4\n" + PLAIN])
def test_a_first_line_that_is_a_row_is_read_as_one(tmp_path, content):
    (tmp_path / "t.csv").write_text(content)
    read = load(tmp_path / "t.csv")
    assert len(read) == 13
    assert read.feature_names == ()
    assert "its first line is a row" in read.notes[0]


@pytest.mark.parametrize(
    "header",
    ["1,2,3", "400,410,420", "2003,2002,2001", "400.5,410.5,420.5", "100,250,400", "name,0.1,0.5", "a,b,c", "7,9,12"],
)
def test_a_first_line_of_names_is_no_row(tmp_path, header):
    rows = "".join(f"{i / 10},{i % 4},{i % 3}\n" for i in range(20))
    (tmp_path / "t.csv").write_text(f"{header}\n{rows}")
    read = load(tmp_path / "t.csv")
    assert len(read) == 20
    assert not any("its first line" in note for note in read.notes)
    (tmp_path / "one.csv").write_text(f"{header}\n0.1,1,2\n")
    assert len(load(tmp_path / "one.csv")) == 1


def test_labels_of_a_table_without_names_are_found_by_their_place(tmp_path):
    (tmp_path / "t.csv").write_text("4.9,3,cat\n" + BELOW)
    read = load(f"{tmp_path}/t.csv?label=column 3")
    assert read.classes.names == ("cat", "dog")
    assert read.y.tolist() == [0, *([1, 0] * 6)]
    assert read.x.shape == (13, 2)


def test_a_number_of_each_row_stays_where_columns_have_no_names(tmp_path):
    rows = [f"{i + 1},{4 + i / 10:.1f},{3 + i % 3}\n" for i in range(20)]
    for name, lines in (("s", rows), ("t", [*rows[10:], *rows[:9]])):
        (tmp_path / f"{name}.csv").write_text("".join(lines))
    assert [load(tmp_path / f"{name}.csv").n_features for name in "st"] == [3, 3]


def test_space_around_names_of_columns_is_left_out(tmp_path):
    (tmp_path / "t.csv").write_text("id, a, b, label\nx1, 1, 2, cat\nx2, 3, 4, dog\n")
    read = load(tmp_path / "t.csv")
    assert read.feature_names == ("a", "b")
    assert read.classes.names == ("cat", "dog")
    assert load(f"{tmp_path}/t.csv?label= label").classes.names == ("cat", "dog")


def test_numbers_that_only_tell_rows_apart_are_no_feature(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "customerNo": rng.permutation(20) + 1000,
            "seen": range(7, 27),
            "count": rng.permutation(20),
            "gridId": rng.integers(0, 5, 20),
            "atomic number": 3 * rng.permutation(20),
            "size": rng.normal(size=20),
        }
    )
    frame.to_csv(tmp_path / "t.csv", index=False)
    read = load(tmp_path / "t.csv")
    assert read.feature_names == ("count", "gridId", "atomic number", "size")
    assert read.notes == ("not used: customerNo (a number of each row), seen (a number of each row)",)
    assert load(tmp_path / "t.csv", features=("customerNo", "size")).feature_names[0] == "customerNo"


def test_whole_labels_have_no_fraction(tmp_path):
    (tmp_path / "t.csv").write_text("a,label\n1,1.0\n2,\n3,2.0\n4,-1.0\n")
    read = load(tmp_path / "t.csv")
    assert read.classes.names == ("1", "2")
    assert read.y.tolist() == [0, -1, 1, -1]
    assert load(tmp_path / "t.csv", classes=("2.0", "1.0", "-1.0")).y.tolist() == [1, -1, 0, 2]
    (tmp_path / "u.csv").write_text("a,label\n1,1.0\n2,1.5\n3,2.0\n")
    assert load(tmp_path / "u.csv").classes.names == ("1.0", "1.5", "2.0")
    with pytest.raises(ValueError, match="labels must name classes; got the real number inf"):
        load(pd.DataFrame({"a": [1.0, 2.0], "label": [1.0, np.inf]}))


def test_what_pandas_lacks_is_missing(tmp_path):
    frame = pd.DataFrame({"a": range(6), "b": [0.5] * 6, "label": ["x", None] * 3}).convert_dtypes()
    frame.to_parquet(tmp_path / "t.parquet")
    for read in (load(frame), load(tmp_path / "t.parquet"), load(frame.astype({"label": "category"}))):
        assert read.classes.names == ("x",)
        assert read.y.tolist() == [0, -1] * 3
        assert read.x.shape == (6, 2)
    said = pd.DataFrame({"text": pd.array(["a b", pd.NA, "c"], dtype="string"), "label": pd.array([1, pd.NA, 2])})
    assert load(said).x.tolist() == ["a b", "c"]


def test_a_data_frame_is_refused_or_read_by_its_names():
    frame = pd.DataFrame({0: [1.0, 2.0], 1: ["x", "y"]}, index=["p", "q"])
    read = load(frame, labels_column=1)
    assert (read.ids.tolist(), read.classes.names) == (["p", "q"], ("x", "y"))
    assert load(frame.rename(columns={0: 1, 1: 0}), labels_column=0).classes.names == ("x", "y")
    with pytest.raises(TypeError, match="labels_column must be the name of a column, or None; got True"):
        load(frame, labels_column=True)
    with pytest.raises(ValueError, match="columns must have names of their own; '0' stands 2 times"):
        load(pd.concat([frame, frame], axis=1))


def test_numbers_in_a_column_of_texts_are_texts(tmp_path):
    (tmp_path / "t.csv").write_text("text,n\n12,1\n42,2\n")
    assert load(tmp_path / "t.csv").x.tolist() == ["12", "42"]
    (tmp_path / "u.csv").write_text("content,n\n12,1\n42,2\n")
    assert load(tmp_path / "u.csv").feature_names == ("content", "n")


def test_a_data_frame_names_pictures_anywhere(tmp_path, monkeypatch):
    for name in ("a.png", "b.png"):
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    frame = pd.DataFrame({"image": [str(tmp_path / "a.png"), "b.png"], "label": ["cat", "dog"]}, index=[7, 7])
    read = load(frame, name="mine")
    assert (read.kind, len(read), read.name, read.classes.names) == ("image", 2, "mine", ("cat", "dog"))
    assert read.x[1].size == (4, 4)
    assert len(load(pd.DataFrame({"text": ["a b", "c"], "y": [1, 0]}))) == 2


def test_a_column_of_embeddings_is_features():
    frame = pd.DataFrame({"emb": [np.zeros(3), np.ones(3)], "label": ["a", "b"]})
    read = load(frame)
    assert (read.kind, read.feature_names, read.x.tolist()) == (
        "features",
        ("emb[0]", "emb[1]", "emb[2]"),
        [[0] * 3, [1] * 3],
    )
    assert list(read.columns) == []


@pytest.mark.parametrize(
    ("column", "cells", "match"),
    [
        ("tags", [["x"], ["y", "z"]], "column 'tags' holds cells of list, and no texts"),
        ("text", [["x"], ["y", "z"]], "column 'text' holds cells of list, and no texts"),
        ("label", [[1], [2]], "column 'label' holds cells of list, and no labels"),
        ("image", [Image.new("RGB", (2, 2))] * 2, "column 'image' holds cells of Image, and no paths: Domain"),
        ("image", [{"bytes": b""}] * 2, "column 'image' holds cells of dict, and no paths: dataset.save_to_disk"),
    ],
)
def test_cells_of_several_things_are_refused_by_their_column(column, cells, match):
    with pytest.raises(ValueError, match=match):
        load(pd.DataFrame({column: cells}))


def test_lists_beside_numbers_are_not_used_and_said():
    assert load(pd.DataFrame({"tags": [["x"], ["y", "z"]], "a": [1.5, 2]})).notes == (
        "not used: tags (no single numbers)",
    )


def test_true_and_false_are_features():
    read = load(pd.DataFrame({"smoker": [True, False], "age": [40, 50], "label": ["a", "b"]}))
    assert (read.feature_names, read.x.tolist()) == (("smoker", "age"), [[1, 40], [0, 50]])


def test_a_data_frame_is_told_of_arguments_and_a_file_of_what_stands_behind_it(tmp_path):
    frame = pd.DataFrame({"q": ["how", "who"], "r": ["fine", "me"], "label": ["a", "b"]})
    with pytest.raises(ValueError, match=r"are left; unseen.load\(frame, text_column=...\) or path_column= names one"):
        load(frame)
    frame.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(ValueError, match=r"are left; FILE\?text=COLUMN or FILE\?path=COLUMN names one"):
        load(tmp_path / "t.csv")


def test_a_number_that_is_too_large_is_told_as_one(recwarn):
    with pytest.raises(ValueError, match=r"q is 1e\+39, beyond 3e\+38, the largest number that is read"):
        load(pd.DataFrame({"q": [1e39, 1.0]}), on_error="fail")
    assert not recwarn.list


def test_labels_that_look_like_measurements_and_columns_of_few_digits_are_said():
    n = 40
    frame = pd.DataFrame({"time": 1.7e9 + 30 * (np.arange(n) * 7 % n), "label": 20.0 + np.arange(n) * 3})
    few, real = load(frame).notes
    assert few.startswith("time: its values are as large as 1.7e+09")
    assert real.startswith("its labels are 40 different numbers, of which 40 stand once or twice: they look like")
    for label in (np.arange(n), np.arange(n) % 10, [f"c{i}" for i in range(n)], np.arange(n) // 3 * 3 % 36):
        assert not any("measurements" in note for note in load(frame.assign(label=label)).notes)


def test_samples_stand_where_those_of_other_data_stood_if_there_is_such_a_column(tmp_path):
    pd.DataFrame({"title": ["first", "second"], "body": ["some words", "1"], "n": [1, 2]}).to_csv(
        tmp_path / "a.csv", index=False
    )
    named = load(f"{tmp_path / 'a.csv'}?text=body")
    assert named.sample_column == named.take([0]).sample_column == ("text", "body")
    like = load(tmp_path / "a.csv", like=named.sample_column)
    assert (like.kind, like.x.tolist()) == ("text", ["some words", "1"])
    assert load(f"{tmp_path / 'a.csv'}?text=title", like=named.sample_column).x.tolist() == ["first", "second"]
    pd.DataFrame({"text": ["other words"]}).to_csv(tmp_path / "b.csv", index=False)
    other = load(tmp_path / "b.csv", like=named.sample_column)  # which has no such column
    assert (other.x.tolist(), other.sample_column) == (["other words"], ())
    with pytest.raises(TypeError, match="like must be"):
        load(tmp_path / "b.csv", like=("body",))

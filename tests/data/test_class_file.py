"""Class files: names, descriptions, attributes, parents."""

import json

import numpy as np
import pytest

from unseen.data.class_file import read_classes

TREE = "name,parent\ndog,mammal\ncat,mammal\neagle,bird\nmammal,animal\nstone,\n"


def write(tmp_path, text, name="c.csv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_names_descriptions_and_attributes(tmp_path):
    space = read_classes(
        write(tmp_path, "name,description,legs,wings\ndog,it barks,4,0\nкошка,,4,0\nbee,it hums,6,2\n")
    )
    assert space.names == ("dog", "кошка", "bee")
    assert space.descriptions == ("it barks", "", "it hums")
    assert space.texts[1] == "кошка"
    assert space.attribute_names == ("legs", "wings")
    np.testing.assert_array_equal(space.attributes, [[4, 0], [4, 0], [6, 2]])


def test_a_separator_at_the_end_of_rows_moves_nothing(tmp_path):
    space = read_classes(write(tmp_path, "name,description\nsport,a game,\nweather,rain or sun,\n"))
    assert space.names == ("sport", "weather")
    assert space.descriptions == ("a game", "rain or sun")


def test_a_row_of_more_cells_than_names_is_refused(tmp_path):
    for rows in ("sport,a game, with a ball\ncooking,food", "cooking,food\nsport,a game, with a ball"):
        with pytest.raises(ValueError, match=r"c\.csv cannot be read as a table: .*(more cells|Expected 2 fields)"):
            read_classes(write(tmp_path, f"name,description\n{rows}\n"))


def test_semicolons_and_decimal_commas_are_read(tmp_path):
    space = read_classes(write(tmp_path, "name;description;size\nfly;small, with wings;0,5\ndog;it barks;1.200,5\n"))
    assert space.descriptions == ("small, with wings", "it barks")
    assert space.attributes.tolist() == [[0.5], [1200.5]]
    words = read_classes(write(tmp_path, "name;attribute;object;label\nm;red, dark;cup;1,5\nn;blue;cup;2,5\n"))
    assert any("red, dark" in name for name in words.attribute_names)


def test_a_line_of_blanks_and_a_separator_at_the_end_of_the_first_line_hide_nothing(tmp_path):
    with pytest.raises(ValueError, match="more cells than its first line has names"):
        read_classes(write(tmp_path, "name,description\n   \na,one,x\nb,two,y\n"))
    assert read_classes(write(tmp_path, "name,description,\na,one,\nb,two,\n")).descriptions == ("one", "two")


def test_names_alone(tmp_path):
    space = read_classes(write(tmp_path, "name\nNA\n007\n"))
    assert space.names == ("NA", "007")
    assert space.descriptions is None
    assert space.attributes is None


@pytest.mark.parametrize(
    "content",
    [
        [{"name": "dog", "description": "barks"}, {"name": "cat", "description": "purrs"}],
        {"classes": [{"name": "dog", "description": "barks"}, {"name": "cat", "description": "purrs"}]},
        {"dog": {"description": "barks"}, "cat": {"description": "purrs"}},
        {"dog": "barks", "cat": "purrs"},
    ],
)
def test_all_forms_of_json_agree(tmp_path, content):
    space = read_classes(write(tmp_path, json.dumps(content), "c.json"))
    assert space.names == ("dog", "cat")
    assert space.descriptions == ("barks", "purrs")


def test_a_json_list_of_names(tmp_path):
    assert read_classes(write(tmp_path, '["dog", "cat"]', "c.json")).names == ("dog", "cat")


def test_parents_give_the_number_of_edges_in_the_tree(tmp_path):
    """By hand: animal is an inner node above mammal; bird, animal and stone hang on one added root."""
    space = read_classes(write(tmp_path, TREE))
    distance = space.metric.rows(np.arange(5))
    dog, cat, eagle, mammal, stone = range(5)
    expected = np.zeros((5, 5))
    for a, b, edges in (
        (dog, cat, 2),
        (dog, eagle, 5),
        (dog, mammal, 1),
        (dog, stone, 4),
        (cat, eagle, 5),
        (cat, mammal, 1),
        (cat, stone, 4),
        (eagle, mammal, 4),
        (eagle, stone, 3),
        (mammal, stone, 3),
    ):
        expected[a, b] = expected[b, a] = edges
    np.testing.assert_array_equal(distance, expected)


@pytest.mark.parametrize("rows", ["a,b\nb,a\nc,\n", "a,a\nb,\n", "a,b\nb,c\nc,b\n"])
def test_circles_are_refused(tmp_path, rows):
    with pytest.raises(ValueError, match="go round in a circle"):
        read_classes(write(tmp_path, f"name,parent\n{rows}"))


def test_deep_trees_are_read(tmp_path):
    rows = "n0,\n" + "".join(f"n{i},n{i - 1}\n" for i in range(1, 3000))
    space = read_classes(write(tmp_path, f"name,parent\n{rows}"))
    assert space.metric.rows(np.array([0]))[0, 2999] == 2999


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,legs\ndog,4\ncat,four\n", r"row 2 \('cat'\), column 'legs' holds 'four'"),
        ("name,legs\ndog,\n", r"row 1 \('dog'\), column 'legs' holds ''"),
        ("name,legs\ndog,inf\n", "must be finite numbers"),
        ("name\ndog\n\ndog\n", "unique"),
        ("name,legs\n,4\n", "row 1 has no name"),
        ("title,legs\nx,4\n", r"no column 'name'\. The columns are: title, legs"),
        ("name\n", "no classes"),
    ],
)
def test_bad_files_are_named(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read_classes(write(tmp_path, text))


def test_other_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"ends in \.csv"):
        read_classes(write(tmp_path, "x", "c.doc"))
    with pytest.raises(ValueError, match="cannot be read as JSON"):
        read_classes(write(tmp_path, "{", "c.json"))
    with pytest.raises(ValueError, match="expected a list of records"):
        read_classes(write(tmp_path, "[1, 2]", "c.json"))


def test_several_sentences_of_a_class(tmp_path):
    table = tmp_path / "names.csv"
    table.write_text("name,description,legs\nowl,It has large eyes,2\nowl,It is quiet,2\ncat,purrs,4\n")
    found = read_classes(table)
    assert found.names == ("owl", "cat")
    assert found.descriptions == ("It has large eyes\nIt is quiet", "purrs")
    table.write_text("name,description,legs\nowl,It has large eyes,2\nowl,It is quiet,4\n")
    with pytest.raises(ValueError, match="owl"):
        read_classes(table)
    table.write_text("name,description\nowl,It is quiet\nowl,It is quiet\n")
    with pytest.raises(ValueError, match="owl"):
        read_classes(table)
    told = tmp_path / "names.json"
    told.write_text('{"owl": ["It has large eyes", "It is quiet"], "cat": "purrs"}')
    assert read_classes(told).descriptions == ("It has large eyes\nIt is quiet", "purrs")

"""Which sign stands between cells and in numbers."""

import pytest

from unseen.data.delimited import SAMPLE, Form, form_of, plain_number


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("a,b\n1,2\n", Form()),
        ("a;b\n1;2\n", Form(";")),
        ("a;b\n1,5;2,5\n", Form(";", ",")),
        ("a;b\n1.5;2,5\n", Form(";")),
        ("a\tb\n1.5\t2\n", Form("\t")),
        ("a\n1\n", Form()),
        ("", Form()),
        ("a;b\n", Form(";")),
        ("\ufeffa;b\r\n1,5;x\r\n", Form(";", ",")),
        ('"a;x",b\n1,2\n', Form()),
        ('text,label\n"one; two; three",u\n"four\nfive;",v\n', Form()),
        ('text;label\n"one, two";u\nthree, four;v\n', Form(";")),
        ("size (cm, about),b\n1,2,3\n4,5,6\n", Form()),
        ("a,b\n1,2,\n", Form(beyond=1)),
        ("a;b\nr;1;2\n", Form(";", beyond=1)),
        ("size (cm, about);b;c\n1,5;2;3\n4,5;5;6\n", Form(";", ",")),
        ("a;b\n1.234;0,5\n", Form(";", ",")),
        ("a;b\n1.234,5;x\n", Form(";", ",")),
        ("a;b\n0.234;x\n", Form(";")),
        ("a;b\n-1,5e-3;x\n", Form(";", ",")),
    ],
)
def test_a_csv_is_read_as_its_header_and_first_rows_are_written(text, form):
    assert form_of(text.encode(), ".csv") == form


def test_a_tsv_has_tabs():
    assert form_of(b"a;b\n1;2\n", ".tsv") == Form("\t")


def test_a_row_that_is_cut_off_is_not_looked_at():
    rows = "a;b\n" + "1,5;2\n" * SAMPLE
    assert form_of(rows.encode()[:SAMPLE], ".csv") == Form(";", ",")


@pytest.mark.parametrize(
    ("cell", "number"), [("1,5", "1.5"), ("1.234,5", "1234.5"), ("1.234", "1234"), ("7", "7"), ("-0,5", "-0.5")]
)
def test_numbers_with_a_decimal_comma(cell, number):
    assert plain_number(cell) == number


def test_a_point_that_parts_nothing_makes_no_number_beside_decimal_commas():
    assert plain_number("0.5") == "?"

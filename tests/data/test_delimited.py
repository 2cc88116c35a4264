"""Which sign stands between cells and in numbers."""

import csv
import io
import time
from pathlib import Path

import pytest

import unseen
from unseen.data.class_file import read_classes
from unseen.data.delimited import MOST_COLUMNS, SAMPLE, Form, form_in, form_of, plain_number, read_delimited
from unseen.data.loaders import load
from unseen.data.rankings import read_corpus
from unseen.data.series import read_series, table_of_text


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


OPEN = b'id\ttext\n1\t"unbalanced quote cats\n2\tdogs "bark" loud\n3\tbirds\n'


@pytest.mark.parametrize(
    ("content", "quoted"),
    [
        (OPEN, False),
        (b'id\ttext\n1\t"cats\n2\t"dogs\n3\tbirds\n', False),  # one opens, the next closes
        (b'id\ttext\r\n1\tbirds\r\n2\t"cats\r\n', False),  # never closed
        (b"id\ttext\n" + b"1\ta\n" * SAMPLE + b'2\t"b\n3\tc "d"\n', False),  # far down
        (b'"id"\t"text"\n"1"\t"cats ""purr"", dogs"\n2\t"two\nlines"\n3\t"a\tb"\n', True),
        (b'id\ttext\n1\t"lines\nwith\ttabs\tin\none cell"\n2\tx\n', True),  # fewer than half of them are rows
        (b'id\ttext\n1\tcats "purr\n2\tdogs" bark\n', True),  # within a cell a quote is a letter anyway
        (b'id,text\n1,"two\nlines\t"\n', True),
        (b"id\ttext\n1\tcats\n", True),
        (b"", True),
    ],
)
def test_a_quote_that_would_make_rows_run_together_is_a_letter(content: bytes, quoted: bool, caplog) -> None:
    form = form_in(io.BytesIO(content), ".csv", called="c.csv")
    assert form.quoting == (csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE)
    assert ("c.csv: " in caplog.text) != quoted
    if content:
        frame = read_delimited(io.BytesIO(content), ".csv")
        assert len(frame) == len(content.splitlines()) - 1 - (frame.text.str.count("\n").sum() if quoted else 0)


def test_whoever_reads_such_a_file_has_all_its_rows_and_is_told(tmp_path: Path, caplog) -> None:
    file = tmp_path / "uq.tsv"
    file.write_bytes(OPEN)
    assert read_corpus(file).x.tolist() == ['"unbalanced quote cats', 'dogs "bark" loud', "birds"]
    assert "uq.tsv: the quote that opens a cell in line 2 closes in another row" in caplog.text
    assert len(load(f"{file}?text=text")) == 3
    file.write_bytes(b'name\tdescription\ncat\t"purrs\ndog\tsays "wow"\n')
    assert read_classes(file).names == ("cat", "dog")
    days = b"".join(b"2024-01-%02d\t%d\t%s\n" % (d, d, b'"x' if d == 3 else b'a "b"') for d in range(1, 13))
    file.write_bytes(b"time\tvalue\tnote\n" + days)
    assert len(read_series(file, columns=["value"]).x[0]) == 12


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        (b'id\tcode\n1\t"def f(x):\n\treturn x"\n2\t"print(""hi"")"\n', ["def f(x):\n\treturn x", 'print("hi")']),
        (b'id\tcode\r\n1\t"if a:\r\n\t\tx"\r\n2\tb\r\n', ["if a:\r\n\t\tx", "b"]),
        (b'id\tcode\n1\t"cats\n2\t"dogs\n3\tbirds\n', ['"cats', '"dogs', "birds"]),
        (b'id\ttext\r1\t"a\r2\tb"\r3\tc\r', ["a\r2\tb", "c"]),
        (b'id\ttext\n1\t"a\n2\tb\n3\tc"\n', ['"a', "b", 'c"']),
    ],
)
def test_quotes_of_a_tab_separated_file_are_signs_where_they_close_a_cell(content: bytes, rows: list[str]) -> None:
    frame = read_delimited(io.BytesIO(content), ".tsv")
    assert frame.iloc[:, 1].tolist() == rows


def test_a_line_of_commas_is_not_read_for_hours(tmp_path: Path) -> None:
    wide = tmp_path / "wide.csv"
    wide.write_text("," * MOST_COLUMNS + "\n" + "," * MOST_COLUMNS)
    for read in (unseen.load, read_series):
        began = time.process_time()
        with pytest.raises(ValueError, match=r"wide\.csv.* has 250,001 columns; at most 250,000 are read"):
            read(wide)
        assert time.process_time() - began < 3
    with pytest.raises(ValueError, match="has 11 columns; at most 10 are read"):
        table_of_text("\n" + ";" * 10 + "\n", 10)
    with pytest.raises(ValueError, match="has 11 columns; at most 10 are read"):
        table_of_text("a;b\n" + ";" * 10 + "\n", 10)
    assert table_of_text("\r".join(["time;load", *["1;2"] * 30]), 10).shape == (30, 2)


def test_a_cell_that_is_no_number_is_told_by_its_beginning() -> None:
    rows = "".join(f"2024-01-{day:02d},{'x' * 100_000}\n" for day in range(1, 28))
    with pytest.raises(ValueError, match="must hold numbers; it holds text such as 'xxx") as found:
        read_series(table_of_text("time,load\n" + rows), columns=["load"])
    assert len(str(found.value)) < 300

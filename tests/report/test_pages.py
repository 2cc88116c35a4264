"""The one shell of all pages: escaped values, a policy that allows no script, templates beside their code."""

from __future__ import annotations

import ast
import base64
import hashlib
import html
import re
from pathlib import Path

import pytest
from jinja2 import Environment, UndefinedError, nodes

from unseen.report.pages import HERE, image_source, render_page, stylesheet, whole_flags

TEMPLATE = """{% extends "frame.html" %}
{% block title %}{{ name }}{% endblock %}
{% block main %}
<h1>{{ name | loud }}</h1>
{% endblock %}
"""


def test_values_are_text_and_the_policy_allows_the_style_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.html").write_text(TEMPLATE)
    page = render_page(
        tmp_path / "mine.html", style="b { color: red }", filters={"loud": str.upper}, name="<script>\ud800"
    ).decode()
    assert "<title>&lt;script&gt;?</title>" in page
    assert "<h1>&lt;SCRIPT&gt;?</h1>" in page
    style = page.partition("<style>")[2].partition("</style>")[0]
    assert style == stylesheet(HERE / "style.css") + "b { color: red }"
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; form-action 'none'"
    assert f'<meta http-equiv="Content-Security-Policy" content="{policy.replace(chr(39), "&#39;")}">' in page
    with pytest.raises(UndefinedError, match="name"):
        render_page(tmp_path / "mine.html", filters={"loud": str.upper})


def names_of(file: Path) -> tuple[set[str], set[str]]:
    """The names that a template and what it extends or includes read, and those that they make themselves."""
    tree = Environment(autoescape=True).parse(file.read_text(encoding="utf-8"))
    read = {name.name for name in tree.find_all(nodes.Name) if name.ctx == "load"}
    made = {name.name for name in tree.find_all(nodes.Name) if name.ctx != "load"} | {"loop", "caller"}
    made |= {macro.name for macro in tree.find_all(nodes.Macro)}
    made |= {part.target for part in tree.find_all(nodes.Import)}
    for part in tree.find_all((nodes.Extends, nodes.Include)):
        assert isinstance(part.template, nodes.Const)
        beside, shared = file.parent / part.template.value, HERE / part.template.value
        more = names_of(beside if beside.exists() else shared)
        read, made = read | more[0], made | more[1]
    return read, made


def test_each_template_is_given_what_it_names_and_nothing_else() -> None:
    """By the words of the calls; those of two pages, which come as one mapping, are looked at when they are filled."""
    given: dict[Path, set[str]] = {}
    loose = set()
    texts = {code: code.read_text(encoding="utf-8") for code in HERE.parent.rglob("*.py")}
    for code in [code for code, text in texts.items() if "render_page(" in text]:
        for call in ast.walk(ast.parse(texts[code])):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "render_page":
                (name,) = [part.value for part in ast.walk(call.args[0]) if isinstance(part, ast.Constant)]
                template = code.parent / str(name)
                words = {word.arg for word in call.keywords if word.arg} - {"filters", "plays", "style"}
                assert words <= names_of(template)[0], f"{code} gives what {template.name} does not name"
                given[template] = given.get(template, set()) | words
                loose |= {template for word in call.keywords if word.arg is None}
    assert len(given) > 15
    assert len(loose) == 2
    for template in given.keys() - loose:
        read, made = names_of(template)
        assert read - made - {"policy", "style", "range", "namespace"} <= given[template], template


def test_variables_of_templates_say_what_they_hold() -> None:
    templates = sorted(HERE.parent.rglob("*.html"))
    assert len(templates) > 20
    vague = {
        f"{file.relative_to(HERE.parent)}: {name.name}"
        for file in templates
        for name in Environment(autoescape=True).parse(file.read_text(encoding="utf-8")).find_all(nodes.Name)
        if name.name in ("one", "told", "own", "found")
    }
    assert not vague


def test_a_phone_gets_the_narrow_drawing_where_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "mine.html").write_text(
        '{% extends "frame.html" %}{% import "drawn.html" as drawn %}{% block title %}{% endblock %}'
        '{% block main %}{{ drawn.chart(picture, "a <curve>") }}{% endblock %}'
    )
    page = render_page(tmp_path / "mine.html", picture=("data:wide", "data:narrow")).decode()
    assert '<source media="screen and (max-width: 46rem)" srcset="data:narrow"><img src="data:wide"' in page
    assert 'alt="a &lt;curve&gt;"' in page
    assert "<source" not in render_page(tmp_path / "mine.html", picture=("data:wide", "")).decode()


def test_pictures_stand_in_the_page() -> None:
    assert image_source(b"abc") == "data:image/png;base64,YWJj"
    assert image_source(b"abc", "jpeg") == "data:image/jpeg;base64,YWJj"


PAGES_OF_THEIR_OWN = ("web/style.css", "serving/style.css", "verification/page.css", "report/style.css")


@pytest.mark.parametrize("file", PAGES_OF_THEIR_OWN)
def test_colours_stand_in_one_place(file: str) -> None:
    """But for white paper below drawings, and paper to print on."""
    text = (HERE.parent / file).read_text(encoding="utf-8").partition("@media print")[0]
    assert set(re.findall(r"#[0-9a-fA-F]{3,8}\b", text)) <= {"#fff"}
    assert "--page:" not in text
    tokens = (HERE / "tokens.css").read_text(encoding="utf-8")
    for name in set(re.findall(r"var\((--[\w-]+)\)", text)):
        assert f"{name}:" in tokens, name


def test_no_flag_of_a_command_breaks_and_its_text_stays_the_command() -> None:
    command = "unseen prune a-b/<c> --keep 0.3 -o x --no-pictures"
    marked = str(whole_flags(command))
    assert re.findall(r'<span class="flag">([^<]*)</span>', marked) == ["--keep", "-o", "--no-pictures"]
    assert html.unescape(re.sub(r"</?span[^>]*>", "", marked)) == command


def test_commands_between_backticks_are_set_as_commands_and_nothing_else_is_markup(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(
        '{% extends "frame.html" %}{% block title %}t{% endblock %}{% block main %}<p>{{ line }}</p>{% endblock %}'
    )
    page = render_page(tmp_path / "page.html", line="look at it with `unseen verify <run>`, <b> or ` alone").decode()
    assert "look at it with <code>unseen verify &lt;run&gt;</code>, &lt;b&gt; or ` alone</p>" in page

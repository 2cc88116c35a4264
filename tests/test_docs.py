"""What the documentation says is so: links lead somewhere, commands exist, every method has its page."""

from __future__ import annotations

import functools
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

import unseen
from unseen import catalogue, claims, cli, encoders, methods
from unseen.claims.base import Claim, Experiment
from unseen.claims.conditions import better
from unseen.claims.ledger import effect, paper_scale
from unseen.data.domain import Domain
from unseen.evaluation import protocols
from unseen.methods.base import signatures

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
sys.path.insert(0, str(DOCS))

import examples
import generate
import run_readme

WRITTEN = sorted([*ROOT.glob("*.md"), *(f for f in DOCS.glob("*.md") if f.name not in ("catalogue.md", "ledger.md"))])
SLUGS = generate.slugs()
FITTED = [slug for slug in SLUGS if slug not in methods.SYSTEMS]


def name(file: Path) -> str:
    return file.name


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs")
    generate.write(folder)
    return folder


def links(text: str) -> list[str]:
    """Targets of relative links and pictures."""
    found = re.findall(r"\]\(([^)\s]+)\)", text)
    return [target.partition("#")[0] for target in found if "://" not in target and not target.startswith("#")]


def commands(text: str) -> list[str]:
    """Every `unseen ...` in blocks of code."""
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [line for line in lines if line.startswith("unseen ")]


def mentions(text: str) -> list[str]:
    """Every `unseen ...` in a sentence, complete or not."""
    return re.findall(r"(?<!`)`(unseen [^`\n]+)`", text)


@functools.cache
def program() -> Any:
    """All commands, made once: that takes half a second."""
    return typer.main.get_command(cli.app)


def command_of(line: str) -> tuple[Any, str, list[str]]:
    """The command that a line calls, its name, and its arguments; an assertion fails if there is none."""
    args = shlex.split(line, comments=True)[1:]
    found = program()
    verb = "unseen"
    while hasattr(found, "commands") and (args or verb == "unseen"):  # a group may be mentioned by its name alone
        if hasattr(found, "usual") and args[0] not in found.commands:
            args = [found.usual, *args]
        assert set(args[:1]) & set(found.commands), f"there is no command {args[:1]}: {line}"
        verb, args = args[0], args[1:]
        found = found.commands[verb]
    return found, verb, args


def parse(line: str) -> None:
    """Parse a command as the command line would, without running it."""
    command, verb, args = command_of(line)
    command.make_context(verb, args)


# -- pages -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", WRITTEN, ids=name)
def test_links_lead_to_files(file: Path, generated: Path) -> None:
    for target in links(file.read_text()):
        place = file.parent / target
        made = generated / place.resolve().relative_to(DOCS) if place.resolve().is_relative_to(DOCS) else place
        assert place.exists() or made.exists(), target


def test_links_of_generated_pages_lead_to_files(generated: Path) -> None:
    for file in generated.rglob("*.md"):
        for target in links(file.read_text()):
            made = (file.parent / target).resolve()
            assert made.exists() or (DOCS / made.relative_to(generated)).exists(), f"{file.name}: {target}"


def test_every_page_is_in_the_navigation() -> None:
    text = (ROOT / "mkdocs.yml").read_text()
    pages = {file.name for file in WRITTEN if file.parent == DOCS}
    assert [page for page in pages if f": {page}\n" not in text] == []


@pytest.mark.parametrize("file", WRITTEN, ids=name)
def test_commands_exist_with_these_options(file: Path) -> None:
    text = file.read_text()
    for line in commands(text):
        parse(line)
    for line in mentions(text):
        command, _, args = command_of(line)
        known = {option for parameter in command.params for option in parameter.opts}
        assert {arg for arg in args if arg.startswith("--")} <= {*known, "--help"}, line


def test_a_command_that_does_not_exist_is_found() -> None:
    with pytest.raises(AssertionError, match="no command"):
        parse("unseen arrange --source photos")
    with pytest.raises(Exception, match="--sauce"):
        parse("unseen compare --sauce photos")


def test_marked_blocks_are_found_and_others_are_not() -> None:
    text = "<!-- ci -->\n```sh\nunseen a\n```\n\n```sh\nunseen b\n```\n\n<!-- ci -->\n```python\nc\n```\n"
    assert run_readme.blocks(text) == [("sh", "unseen a\n"), ("python", "c\n")]
    assert run_readme.blocks((ROOT / "README.md").read_text())


def test_readme_names_every_method() -> None:
    text = (ROOT / "README.md").read_text()
    assert [slug for slug in SLUGS if f"`{slug}`" not in text] == []


def test_whoever_is_told_to_install_is_told_how_without_cuda() -> None:
    texts = {file.name: file.read_text(encoding="utf-8") for file in WRITTEN}
    telling = {name: text for name, text in texts.items() if re.search(r"^make install\b", text, re.MULTILINE)}
    assert {"README.md", "CONTRIBUTING.md", "start.md"} <= set(telling)
    assert [name for name, text in telling.items() if "make install TORCH_INDEX=" not in text] == []


def test_changelog_has_the_current_version() -> None:
    assert f"## {unseen.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_tables_by_hand_are_those_of_the_registries() -> None:
    page = (DOCS / "encoders.md").read_text()
    assert [form for form in encoders.names() if f"`{form}`" not in page] == []
    page = (DOCS / "choosing.md").read_text()
    assert [protocol for protocol in protocols.names() if f"| `{protocol}` |" not in page] == []


def test_documentation_names_no_place_of_this_machine() -> None:
    for file in [*WRITTEN, *DOCS.glob("*.py"), ROOT / "mkdocs.yml"]:
        assert not [word for word in ("/work/", "../shared", "/root/", "/home/") if word in file.read_text()], file


def test_no_flag_in_a_sentence_or_a_table_breaks_behind_its_hyphens() -> None:
    page = "<td><code>unseen compare --source photos -n 3</code></td><pre><code class='x'>unseen --help</code></pre>"
    whole = '<span style="white-space: nowrap">{}</span>'
    expected = page.replace("--source", whole.format("--source")).replace("-n", whole.format("-n"))
    assert generate.on_page_content(page) == expected
    assert generate.on_page_content("<code>--k</code>") == f"<code>{whole.format('--k')}</code>"


# -- generated ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slug", SLUGS)
def test_every_method_has_a_page_that_says_what_its_card_says(slug: str, generated: Path) -> None:
    text = (generated / "methods" / f"{slug}.md").read_text()
    about = catalogue.describe(slug)
    assert about["summary"] in text
    for word in about["parameters"]:
        assert f"| `{word}` |" in text
    for note in (*about["notes"], *about["left_out"], *about["words"].values()):
        assert note in text
    for preset in about["presets"] if about["kind"] == "method" else ():
        assert f"| {preset} |" in text
    for line in commands(text):
        parse(line)


def test_every_hyperparameter_is_explained(generated: Path) -> None:
    """A learnt count or the size of a batch may speak for itself; a weight may not."""
    plain = {"epochs", "batch_size", "learning_rate", "weight_bits", "activation_bits", "hidden", "critic_steps"}
    for slug in SLUGS:
        text = (generated / "methods" / f"{slug}.md").read_text()
        silent = re.findall(r"^\| `(\w+)` \| [^|]* \| [^|]* \|  \|$", text, re.MULTILINE)
        assert not set(silent) - plain, slug


def test_catalogue_has_61_systems_built_or_planned(generated: Path) -> None:
    text = (generated / "catalogue.md").read_text()
    table = text[: text.index("## Baselines")]
    rows = [
        line for line in table.splitlines() if re.match(r"\| \[?[a-z0-9]", line) and not line.startswith("| system")
    ]
    assert len(rows) == len(generate.systems()) == 61
    assert sum("| built |" in row for row in rows) == len([s for s in SLUGS if not methods.card(s).baseline])
    assert "http" not in text


def test_the_page_of_a_system_has_every_assertion_of_its_claim(generated: Path) -> None:
    ledger = (generated / "ledger.md").read_text()
    for slug in claims.CLAIMS:
        assert f"[{slug}](methods/{slug}.md#evidence)" in ledger
        text = (generated / "methods" / f"{slug}.md").read_text()
        for assertion in claims.get(slug).ledger:
            assert generate.cell(assertion.text) in text


def test_what_did_not_hold_stands_where_what_held_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [["e", "c", 100, "a", "accuracy", 0.7], ["e", "c", 100, "b", "accuracy", 0.6]]
    good, bad = better("a", "b", "accuracy"), better("b", "a", "accuracy")
    ledger = (
        effect("e", good, "good"), effect("e", bad, "bad"), effect("e", better("a", "c", "accuracy"), "new"),
        paper_scale("large", "needs ImageNet"),
    )  # fmt: skip
    line = {"reason": "", "experiment": "e", "numbers": [0.1, 0.1, 0.1]}
    record = {
        "date": "2026-01-01", "split": "confirmation", "seeds": [100], "seconds": 3.0, "machine": "x86_64",
        "versions": {"torch": "2"}, "command": "unseen reproduce loki --check", "cases": {"e": ["c"]}, "rows": rows,
        "ledger": [
            {**line, "text": "good", "asked": good.asked, "verdict": "not held", "told": "-1"},
            {**line, "text": "bad", "asked": bad.asked, "verdict": "not held", "told": "-1"},
        ],
    }  # fmt: skip
    (tmp_path / "evidence").mkdir()
    (tmp_path / "evidence" / "loki.json").write_text(json.dumps(record))
    monkeypatch.setattr(generate, "DOCS", tmp_path)
    claim = Claim(slug="loki", ledger=ledger, experiments={"e": Experiment(run=dict, development=(), confirmation=())})
    monkeypatch.setattr(claims, "get", lambda slug: claim)
    text = generate.evidence("loki")
    assert "| good | effect | **held**<br>since 2026-01-01 | accuracy: a better than b by +0.1" in text
    assert "*First, blind, 2026-01-01:* **not held**; accuracy: a better than b by +0.1 (one case: c)" in text
    assert "| bad | effect | **not held**<br>since 2026-01-01 |" in text
    assert "| new | effect | no evidence |" in text
    assert "| large | paper scale | not run | needs ImageNet |" in text
    assert "`unseen reproduce loki --check`" in text
    assert "**Stale**" in text


def test_a_method_of_regions_is_shown_with_the_encoder_that_its_error_names() -> None:
    method = methods.get("ugt")
    vectors = Domain(x=np.eye(4, dtype=np.float32), y=np.arange(4) % 2)
    why = catalogue.Given({"source": vectors, "target": vectors.unlabeled()}).why_not(method)
    assert examples.REGIONS in (why or "")
    assert f'--encoder "{examples.REGIONS}"' in examples.shell(catalogue.describe("ugt"))
    assert examples.REGIONS in examples.python(catalogue.describe("ugt"))


def test_a_method_that_adapts_later_is_shown_so() -> None:
    about = catalogue.describe("meta-dmoe")
    assert "method.adapt(target=" in examples.python(about)
    assert "unseen adapt --model models/meta-dmoe --target" in examples.shell(about)


def needs_a_network(slug: str) -> bool:
    """Whether the example trains, loads or distils a network, which takes a while."""
    return any("model" in way.required for way in signatures(methods.get(slug))) or examples.of_names(
        catalogue.describe(slug)
    )


@pytest.mark.parametrize("slug", [pytest.param(s, marks=pytest.mark.slow) if needs_a_network(s) else s for s in FITTED])
def test_the_python_example_of_every_method_runs(slug: str, capsys: pytest.CaptureFixture[str]) -> None:
    smoke = ", ".join(f"{key}={value!r}" for key, value in methods.get(slug).card.smoke.items())
    program = examples.python(catalogue.describe(slug), smoke)
    exec(compile(program, slug, "exec"), {})
    assert "quantization" in methods.get(slug).card.protocols or 0 <= float(capsys.readouterr().out) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("slug", FITTED)
def test_the_command_line_example_of_every_method_runs(slug: str, tmp_path: Path) -> None:
    program = examples.shell(catalogue.describe(slug))
    own = next((word for word in ("open_clip:", "timm:", "gym", "labelled", "reproduce") if word in program), "")
    if not program or own:
        pytest.skip(f"it is of data or weights of one's own, or takes minutes: {own or 'nothing is shown'}")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    run = subprocess.run(
        ["bash", "-e", "-c", program], cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr


@pytest.mark.slow
def test_the_site_builds_strictly_and_asks_nobody_for_anything(tmp_path: Path) -> None:
    generate.write()
    order = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(order, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for page in (tmp_path / "site").rglob("*.html"):
        loaded = re.findall(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=\"?(https?:[^\"> ]+)", page.read_text())
        assert loaded == [], page.name


def test_twenty_lines_stand_between_what_it_gives_and_the_detail_and_the_search_has_a_server() -> None:
    text = (ROOT / "README.md").read_text()
    between = text.partition("(docs/images/report.png)\n")[2].partition("## In detail\n")[0]
    assert 10 < sum(bool(line.strip()) for line in between.splitlines()) <= 20
    first, second, *_ = re.findall(r"```sh\n(.*?)```", between, re.DOTALL)
    assert "make demo" in first
    assert "--classes" in second
    assert "--source" not in second
    assert "make docs-serve" in text
    assert "docs-serve: docs " in (ROOT / "Makefile").read_text()

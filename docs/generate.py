"""Write the pages that come from cards, claims and evidence: methods/*.md, catalogue.md, ledger.md.

mkdocs loads this file too, as a hook that puts the written method pages into the navigation.
"""

from __future__ import annotations

import functools
import inspect
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS))
NONE_YET = "no evidence recorded yet"


# -- words -------------------------------------------------------------------------------------------------


def cell(text: str) -> str:
    """`text` as it may stand in a cell of a table."""
    return " ".join(str(text).replace("|", "\\|").split())


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell(value) for value in line) + " |" for line in lines)


def fenced(language: str, code: str) -> str:
    """A block of code."""
    return f"```{language}\n{code}\n```"


def listed(items: list[str]) -> str:
    """A list, an item a line; single backticks are code in Markdown too."""
    return "\n".join(f"- {item}" for item in items)


def allowed(hint: Any) -> str:
    """The values that a hyperparameter may have, from its annotation."""
    origin, inside = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return " ".join([allowed(inside[0]), *map(between, inside[1:])])
    if origin is Literal:
        return ", ".join(f"`{option!r}`" for option in inside)
    if origin is tuple:
        return "tuple of " + " and ".join(dict.fromkeys(allowed(one) for one in inside if one is not Ellipsis))
    if inside:
        return " or ".join(allowed(one) for one in inside)
    return "`None`" if hint in (None, type(None)) else hint.__name__


def between(range_: Any) -> str:
    """A range in short: ≥ 1, > 0, in [0, 1]."""
    low, high = range_.low, range_.high
    if low == float("-inf") and high == float("inf"):
        return ""
    if high == float("inf"):
        return f"{'>' if range_.open_low else '≥'} {low:g}"
    ends = f"{low:.12g}, {high:.12g}"
    return f"in {'(' if range_.open_low else '['}{ends}{')' if range_.open_high else ']'}"


# -- docstrings --------------------------------------------------------------------------------------------


def sections(documentation: str) -> dict[str, str]:
    """A numpydoc docstring by section; what stands before the first is under ""."""
    parts = re.split(r"^(\w[\w ]*)\n-{3,}$", documentation, flags=re.MULTILINE)
    return {"": parts[0].strip(), **{key: body.strip("\n") for key, body in zip(parts[1::2], parts[2::2])}}


def meanings(parameters: str) -> dict[str, str]:
    """What each parameter of a numpydoc section is; several names may share an entry."""
    told: dict[str, str] = {}
    names: list[str] = []
    for line in parameters.splitlines():
        if line.strip() and not line.startswith(" "):
            names = [name.strip() for name in line.partition(" : ")[0].split(",")]
        elif line.strip():
            told |= {name: f"{told.get(name, '')} {line.strip()}".strip() for name in names}
    return told


# -- method pages ------------------------------------------------------------------------------------------


def slugs() -> list[str]:
    """The methods that have a page: all that a user calls by name."""
    from unseen import catalogue

    return [entry.slug for entry in catalogue.entries(planned=False)]


def method_page(slug: str) -> str:
    """Everything that card, class and evidence say of a method."""
    import examples

    from unseen import catalogue

    about = catalogue.describe(slug)
    fitted = about["kind"] == "method"
    told = sections(about["documentation"])
    head, _, rest = told[""].partition("\n\n")
    paper = " ".join(filter(None, [f"*{about['title']}*", f"({about['venue']})." if about["venue"] else ""]))
    code = about["official_code"]
    parts = [
        f"# {slug}",
        about["summary"],
        paper + (f" Official code: [{code}](https://github.com/{code})." if code else ""),
        re.sub(r"\s*\[\d+\]", "", head),
        rest,
    ]
    if fitted:
        parts += [
            "## What it needs",
            needs(about),
            "## Use it",
            "In Python:",
            fenced("python", examples.python(about)),
            "On the command line:",
            fenced("sh", "\n".join(filter(None, [examples.shell(about), *about["commands"]]))),
            "Paths may be anything that [Your data](../data.md) names.",
            "## Hyperparameters",
            hyperparameters(slug),
            "## Presets",
            "What `unseen compare` tries; nothing else is tuned.",
            table(["preset", "settings"], [[name, settings(values)] for name, values in about["presets"].items()]),
        ]
    else:
        parts += ["## Use it", fenced("sh", "\n".join(about["commands"])), "## In Python", functions(slug)]
    if about["notes"]:
        parts += [f"## Where it differs from the {'official code' if code else 'paper'}", listed(about["notes"])]
    parts += ["## What is left out", listed(about["left_out"]) or "Nothing that the card knows of."]
    parts += ["## Evidence", evidence(slug, baseline=_baseline(slug)), *arms(slug)]
    if "References" in told:
        parts += ["## Reference", "\n".join(line.strip() for line in told["References"].splitlines())]
    return "\n\n".join(part for part in parts if part) + "\n"


def _baseline(slug: str) -> bool:
    from unseen import methods

    return methods.card(slug).baseline


def functions(slug: str) -> str:
    """What the module of a pipeline or study offers, each with the first sentence of its docstring."""
    from unseen import methods

    home = methods.home(slug)
    names = [name for name in home.__all__ if name != "card"]
    rows = [[f"`{name}`", (inspect.getdoc(getattr(home, name)) or "").partition("\n\n")[0]] for name in names]
    return f"From `{home.__name__}`:\n\n" + table(["name", "what it does"], rows)


def needs(about: dict[str, Any]) -> str:
    """The ways to call `fit`, its words, and what samples may be."""
    ways = [
        " and ".join(f"`{word}`" for word in way["required"])
        + (f"; it can use {', '.join(f'`{word}`' for word in way['optional'])}" if way["optional"] else "")
        for way in about["needs"]
    ]
    facts = [f"`{word}`: {sentence}" for word, sentence in about["words"].items()] + [
        f"Reads {' or '.join(about['modalities'])}. Graded by the protocols {', '.join(about['protocols'])}."
    ]
    return "\n\n".join(["`fit` needs " + ", or ".join(ways) + ".", listed(facts)])


def settings(values: dict[str, Any]) -> str:
    """Hyperparameters of a preset."""
    return ", ".join(f"`{key}={value!r}`" for key, value in values.items()) or "the defaults"


def hyperparameters(slug: str) -> str:
    """Every hyperparameter with its default, its range and its meaning."""
    from unseen import methods

    cls = methods.get(slug)
    hints = get_type_hints(cls, include_extras=True)
    told: dict[str, str] = {}
    for base in reversed(cls.__mro__):  # what a base says of them holds, unless the class says it otherwise
        told |= meanings(sections(inspect.cleandoc(vars(base).get("__doc__") or "")).get("Parameters", ""))
    rows = [
        [f"`{key}`", f"`{value!r}`", allowed(hints[key]), told.get(key, "")]
        for key, value in cls().get_params().items()
    ]
    return table(["name", "default", "allowed", "meaning"], rows)


# -- the ledger --------------------------------------------------------------------------------------------


@functools.cache
def judged(slug: str, folder: Path) -> tuple[Any, ...]:
    """The records of a system, today's verdicts on their newest figures, and what stands: judged once for all pages."""
    from unseen import claims
    from unseen.claims.evidence import read_log, read_records
    from unseen.claims.standing import newest, standings

    claim, records = claims.get(slug), read_records(folder, slug)
    verdicts = newest(claim, records)
    return records, verdicts, standings(claim, records, verdicts, read_log(folder, slug))


def evidence(slug: str, *, baseline: bool = False) -> str:
    """The ledger of a system: every assertion, what its records say, and the first, blind verdict where it differs."""
    from unseen import claims
    from unseen.claims.evidence import evidence_files, freshness, read_log

    if slug not in claims.CLAIMS:
        return "A baseline: systems are compared with it, and it has no claims of its own." if baseline else NONE_YET
    folder = DOCS / "evidence"
    (records, verdicts, standings), files = judged(slug, folder), evidence_files(folder, slug)
    rows = [assertion_row(standing) for standing in standings]
    parts = [table(["assertion", "level", "verdict", "number"], rows), LEVELS]
    if not records:
        return "\n\n".join([*parts, f"There is {NONE_YET}. To run it: `unseen reproduce {slug}`."])
    versions = ", ".join(f"{name} {version}" for name, version in records[-1]["versions"].items())
    told = (
        f"{record['date']}: {', '.join(record['cases'])}; seeds {', '.join(map(str, record['seeds']))}; "
        f"{record['seconds']:.0f} s ([{file.name}](EVIDENCE/{file.name}))"
        for record, file in zip(records, files)
    )
    parts += [f"Records, the newest with {versions}. To run them again: `unseen reproduce {slug} --check`."]
    parts += [listed(list(told))]
    looks = [look_at(line) for line in read_log(folder, slug)]
    parts += ["Later looks:\n\n" + listed(looks)] if looks else []
    found = freshness(slug, folder=folder, verdicts=verdicts)
    if found.word == "stale":
        parts += ["**Stale**, another verdict than the recorded one: " + "; ".join(found.parts)]
    return "\n\n".join(parts)


def look_at(line: dict[str, Any]) -> str:
    """A line of a log in words."""
    flipped = "; ".join(line["flipped"])
    if line["look"] == "accept":
        verdicts = "; ".join(f"{one['text']} (was {one['was']}, is {one['now']})" for one in line["verdicts"])
        verdicts = f"judged anew, {line['why']}: {verdicts}" if verdicts else line["why"]
        n, stamped = len(line.get("worded", ())), len(line.get("stamped", ()))
        since = f" ({n} in these words since then)" if n else ""
        since += f"; on {line['processor']} otherwise: {'; '.join(other)}" if (other := line.get("otherwise")) else ""
        return f"{line['date']}: {verdicts}{since}" + (f" ({stamped} more parts in the stamp)" if stamped else "")
    seen = {
        "replay": lambda: f"a cell of each experiment again, largest difference {line['difference']:g}",
        "check": lambda: "all cells again",
    }[line["look"]]()
    where = f" ({line['where']})" if line.get("where") else ""
    edge = "; ".join(line.get("edge", ()))
    tossed = f"; recorded on the edge, a case without any gain, and other now: {edge}" if edge else ""
    tossed += (
        f"; otherwise, as known of {line['processor']}: {'; '.join(known)}" if (known := line.get("otherwise")) else ""
    )
    return f"{line['date']}: {seen}{where}" + (f"; flipped: {flipped}" if flipped else ", no verdict flipped") + tossed


def arms(slug: str) -> list[str]:
    """Every arm of the newest record, ablations included, on the metrics that assertions name."""
    from unseen import claims
    from unseen.claims.base import COLUMNS
    from unseen.claims.evidence import read_records

    records = read_records(DOCS / "evidence", slug) if slug in claims.CLAIMS else []
    if not records:
        return []
    newest = {name: record for record in records for name in record["cases"]}
    rows = [dict(zip(COLUMNS, row)) for name, record in newest.items() for row in record["rows"] if row[0] == name]
    claim = claims.get(slug)
    parts = ["## All arms", "Mean over cases and seeds of the newest figures, and the worst and best case behind it."]
    for name, experiment in claim.experiments.items():
        named = (getattr(one.holds, "metric", None) for one in claim.ledger if one.experiment == name)
        metrics = [metric for metric in dict.fromkeys(named) if metric]
        own = [row for row in rows if row["experiment"] == name and row["metric"] in metrics]
        if own:
            lines = [arm_row(arm, metrics, own) for arm in dict.fromkeys(row["arm"] for row in own)]
            cases = ", ".join(dict.fromkeys(row["case"] for row in own))
            parts += [f"**{name}**: {cases} ({experiment.unit}).", table(["arm", *metrics], lines)]
    return parts


def arm_row(arm: str, metrics: list[str], rows: list[dict[str, Any]]) -> list[str]:
    """An arm: mean and range over cases of each metric; nothing where it has none."""
    cells = [arm]
    for metric in metrics:
        cases: dict[str, list[float]] = {}
        for row in rows:
            if row["arm"] == arm and row["metric"] == metric:
                cases.setdefault(row["case"], []).append(row["value"])
        means = [sum(values) / len(values) for values in cases.values()]
        span = f" ({min(means):.3g} to {max(means):.3g})" if len(means) > 1 else ""
        cells.append(f"{sum(means) / len(means):.3g}{span}" if means else "")
    return cells


def assertion_row(standing: Any) -> list[str]:
    """One assertion: text, level, verdict, figures or reason; what was said first and later, if other."""
    assertion = standing.assertion
    level = assertion.level + (", promised" if assertion.level == "effect" and assertion.promised else "")
    verdict = f"**{standing.verdict}**" if standing.numbers is not None else standing.verdict
    verdict += ", explored" if standing.state == "explored" else ""
    verdict += f"<br>since {standing.since}" if standing.since else ""
    told = standing.told
    for when, said in (("First, blind", standing.first), ("Later, on opened cases", standing.later)):
        if said is not None:
            words = f"“{said.text}” " if said.text else ""
            told += f"<br>*{when}, {said.date}:* {words}**{said.verdict}**; {said.told}"
    if standing.elsewhere:
        other = "not held" if standing.verdict == "held" else "held"
        told += f"<br>*On processors of type {', '.join(standing.elsewhere)}:* **{other}**"
    return [assertion.text, level, verdict, told]


LEVELS = (
    "*mechanism*: the part does what it is for, and must hold. *effect*: better than the alternatives, held or not "
    "held at this scale; one that is *promised* must hold for `unseen reproduce` to exit with 0. *paper scale*: needs "
    "the paper's data. A verdict is confirmed, judged once in these words on cases that nobody had opened, unless it "
    "says *explored*: then the assertion is younger than the first look at its cases. *Since* is the day of the "
    "record, or of the later look, that first had it in these words; figures that came later, on cases that were "
    "opened, stand beside it, and so does the other verdict where the same cases give it on another type of processor. "
    "Brackets are 95 % intervals over cases; of up to three cases each is told. Seconds are of the processor; those "
    "that are on record for ttm, genie, zeroq, distill-similar and meta-dmoe are older than that rule: they are of the "
    "clock, on one thread."
)


def withdrawn(claim: Any, records: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Rows that a record promised and the ledger does not: day, text, verdict then, and what became of them."""
    now = {one.text: one.must_hold for one in claim.ledger}
    last = {line["text"]: (record["date"], line["verdict"]) for record in records for line in record["ledger"]
            if line["promised"]}  # fmt: skip
    return [
        [date, text, verdict, "shown, not promised" if text in now else "not in these words"]
        for text, (date, verdict) in last.items()
        if not now.get(text)
    ]


def ledger_page() -> str:
    """What became of every claim, a line for each system."""
    from unseen import claims

    rows, fell, gone = [], [], []
    for slug in claims.slugs():
        claim, (records, _, found) = claims.get(slug), judged(slug, DOCS / "evidence")
        gone += [[f"[{slug}](methods/{slug}.md#evidence)", *line] for line in withdrawn(claim, records)]
        count = {
            (state, verdict): sum((one.state, one.verdict) == (state, verdict) for one in found)
            for state in ("confirmed", "explored")
            for verdict in ("held", "not held")
        }
        rest = sum(one.numbers is None for one in found)
        rows.append([f"[{slug}](methods/{slug}.md#evidence)", *map(str, count.values()), str(rest)])
        fell += [
            [f"[{slug}](methods/{slug}.md#evidence)", one.assertion.level, one.assertion.text, one.told]
            for one in found
            if one.assertion.must_hold and one.verdict == "not held"
        ]
    header = ["system", "confirmed: held", "not held", "explored: held", "not held", "not run here"]
    parts = [
        "# Ledger",
        "What each paper's abstract asserts, and what became of it here; the page of each system has every assertion "
        "with its figures.",
        table(header, rows),
        LEVELS,
        "## Promises that fell",
        table(["system", "level", "assertion", "figures"], fell) if fell else "None.",
        "## Promises withdrawn",
        "What a record promised in these words and the ledger does not promise any more: it is worded otherwise, is an "
        "effect that need not hold, or its experiment made place for a fairer one.",
        table(["system", "promised", "assertion", "verdict then", "now"], gone) if gone else "None.",
    ]
    return "\n\n".join(parts) + "\n"


# -- the catalogue -----------------------------------------------------------------------------------------

FILTER = """\
<input id="filter" type="search" placeholder="filter: words such as zero_shot, video, quantize, built" \
style="width: 100%; padding: .4em; border: 1px solid; border-radius: .2em" aria-label="filter the systems">
<p><span id="count"></span></p>"""
SCRIPT = """\
<script>
const rows = [...document.querySelectorAll("table tbody tr")];
const show = () => {
  const words = document.getElementById("filter").value.toLowerCase().split(/\\s+/);
  let n = 0;
  for (const row of rows) {
    const text = row.textContent.toLowerCase();
    row.hidden = !words.every(word => text.includes(word));
    n += !row.hidden;
  }
  document.getElementById("count").textContent = n + " of " + rows.length + " shown";
};
document.getElementById("filter").addEventListener("input", show);
show();
</script>"""


def systems() -> list[Any]:
    """The systems of the catalogue, baselines left out, by slug."""
    from unseen import catalogue

    return sorted((entry for entry in catalogue.entries() if not entry.baseline), key=lambda entry: entry.slug)


def catalogue_page() -> str:
    """All systems, built and planned, then the baselines; the box filters both."""
    from unseen import catalogue

    every = systems()
    built = sum(entry.built for entry in every)
    plain = [entry for entry in catalogue.entries() if entry.slug in slugs() and entry.baseline]
    header = ["system", "room", "state", "what it does", "paper"]
    parts = [
        "# Catalogue",
        f"{len(every)} published systems: {built} built, {len(every) - built} planned. A built one has a page.",
        FILTER,
        table(header, [system_row(entry) for entry in every]),
        "## Baselines",
        "What every comparison needs beside the systems.",
        table(header, [system_row(entry) for entry in plain]),
        SCRIPT,
    ]
    return "\n\n".join(parts) + "\n"


def system_row(entry: Any) -> list[str]:
    """A line of the catalogue."""
    name = f"[{entry.slug}](methods/{entry.slug}.md)" if entry.built else entry.slug
    paper = f"{entry.title}, {entry.venue}" if entry.venue else entry.title
    return [name, f"`{entry.room}`", "built" if entry.built else "planned", entry.summary, paper]


def methods_page() -> str:
    """The methods that can be run, with what they need."""
    from unseen import catalogue

    rows = []
    for entry in catalogue.entries(planned=False):
        if entry.slug in slugs():
            ways = " or ".join("`" + " + ".join(way.required) + "`" for way in entry.needs)
            rows.append([f"[{entry.slug}]({entry.slug}.md)", ways, entry.summary, "baseline" if entry.baseline else ""])
    return (
        "\n\n".join(
            [
                "# Methods",
                "`unseen recommend --source photos --target sketches` says which of these fit what you have; "
                "`unseen compare` runs them.",
                table(["method", "needs", "what it does", ""], rows),
                "What is planned is in the [catalogue](../catalogue.md).",
            ]
        )
        + "\n"
    )


# -- writing -----------------------------------------------------------------------------------------------


def pages() -> dict[str, str]:
    """The text of every generated page, by its path in docs/."""
    return {
        **{f"methods/{slug}.md": method_page(slug).replace("EVIDENCE", "../evidence") for slug in slugs()},
        "methods/index.md": methods_page(),
        "catalogue.md": catalogue_page(),
        "ledger.md": ledger_page(),
    }


def write(folder: Path = DOCS) -> list[Path]:
    """Write the pages; those of methods that are gone are removed."""
    written = []
    for name, text in pages().items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_name(f".{file.name}.tmp")
        temporary.write_text(text, encoding="utf-8")
        written.append(temporary.replace(file))
    for old in set((folder / "methods").glob("*.md")) - set(written):
        old.unlink()
    if folder == DOCS:
        from unseen.web import evidence

        evidence.ship(DOCS / "evidence")
    return written


def on_config(config: Any) -> Any:
    """Put the method pages into the navigation of mkdocs."""
    found = sorted(file.name for file in (DOCS / "methods").glob("*.md") if file.name != "index.md")
    if not found:
        raise SystemExit("docs/methods is empty: run docs/generate.py first")
    pages = ["methods/index.md", *({name[:-3]: f"methods/{name}"} for name in found)]
    groups = [items for group in config["nav"] for items in group.values() if isinstance(items, list)]
    for item in (item for items in groups for item in items if "Methods" in item):
        item["Methods"] = pages
    return config


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Put measured figures into the pages that ask for them."""
    marks = {"costs": costs, "curation": curation, "benchmarks": benchmarks}
    for name, figures in marks.items():
        if f"<!-- {name} -->" in markdown:
            markdown = markdown.replace(f"<!-- {name} -->", figures())
    return markdown


def on_page_content(html: str, **_: Any) -> str:
    """No flag of a command in a sentence or a table breaks behind its hyphens, as "--" and "support" would."""
    whole = r'\1<span style="white-space: nowrap">\2</span>'
    return re.sub(r"<code>[^<]*</code>", lambda code: re.sub(r"([\s>])(--?[a-z][a-z-]*)", whole, code[0]), html)


def measured() -> dict[str, Any]:
    """What `make bench` found last; empty if it has not been run."""
    file = DOCS.parent / "benchmarks" / "results.json"
    return json.loads(file.read_text()) if file.exists() else {}


def costs(machines: tuple[int, ...] = (1, 8, 100)) -> str:
    """Time to encode 10^4 to 10^9 pictures on so many machines, from the measured pictures per second."""
    found = measured().get("embed")
    if found is None:
        return "`make bench` has not been run."
    rate = max(row["ours"] for row in found["rows"])
    rows = [[f"10^{power}", *(duration(10**power / rate / count) for count in machines)] for power in range(4, 10)]
    header = ["pictures", *(f"{count} machine{'s' * (count > 1)}" for count in machines)]
    where = found["machine"]
    told = f"{rate:.0f} pictures/s, measured {found['date']} on {where['processor']}, {where['cores']} cores."
    return f"{table(header, rows)}\n\n{told}"


def curation(keep: float = 0.1, machines: tuple[int, ...] = (1, 10, 100)) -> str:
    """Hours and storage to curate 10^6 to 10^9 candidates, from the measured cost of a shard."""
    found = measured().get("curation")
    if found is None:
        return "`make bench` has not been run."
    last = [row for row in found["rows"] if row["peer"] == "bare encoder"][-1]
    where, rate = found["machine"], last["ours"]
    rows = [
        [
            f"10^{power}",
            *(duration(10**power / rate / count) for count in machines),
            storage(10**power * keep * last["bytes per pair"]),
            storage(10**power * last["bytes per pair of work"]),
        ]
        for power in (6, 8, 9)
    ]
    named = (f"{count} process{'es' * (count > 1)}" for count in machines)
    header = ["candidates", *named, f"kept, at {keep:.0%}", "work, until it is deleted"]
    told = f"{rate:g} pairs/s in one process, measured {found['date']} on {where['processor']}, {where['cores']} cores."
    return f"{table(header, rows)}\n\n{told}"


def storage(size: float) -> str:
    """Bytes as people say them."""
    for unit, one in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if size >= one:
            return f"{size / one:.3g} {unit}"
    return f"{size:.0f} bytes"


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def benchmarks() -> str:
    """Every benchmark with its peer, from the last run."""
    parts = []
    for name, found in measured().items():
        rows = [
            [
                row["job"],
                f"{row['ours']:g} {row['unit']}",
                row["peer"],
                f"{row['peers']:g}",
                f"{row['ratio']:g}",
                row["asked"],
            ]
            for row in found["rows"]
        ]
        where = found["machine"]
        parts += [
            f"## {name}",
            table(["job", "here", "peer", "its figure", "ratio", "asked"], rows),
            f"{found['date']}, {where['processor']}, {where['cores']} cores, load before {where['load before'][0]}.",
        ]
    return "\n\n".join(parts) or "`make bench` has not been run."


def write_listing(file: Path | None = None) -> Path:
    """What `unseen methods` prints without importing any: ``methods/built.json``, a line a system."""
    from unseen import catalogue
    from unseen.methods import listing

    file = file or Path(listing.__file__).with_name(listing.FILE)
    lines = [json.dumps(row, ensure_ascii=False) for row in catalogue.listing()]
    file.write_text("[\n " + ",\n ".join(lines) + "\n]\n", encoding="utf-8")
    return file


if __name__ == "__main__":
    write_listing()
    print(f"{len(write())} pages written to {DOCS}")

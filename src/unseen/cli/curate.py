"""Web-scale image-text pairs: curate, and the heads that score them."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unseen import options
from unseen.console import app, check_ending, check_outside, dump, resumes, say, write_csv

if TYPE_CHECKING:
    from unseen.curation.fetch import Politeness
    from unseen.methods.curation.laion.accept import Acceptance

head_app = typer.Typer(no_args_is_help=True, help="Scores of pairs, learnt from a few labels over frozen embeddings.")
app.add_typer(head_app, name="head")

INDEX = "index"
"""The stage after those of `unseen.curation.pipeline`: nearest-neighbour indices and the map of groups."""

KEEP = 0.5
"""Share that is kept where nothing is said and no threshold is known."""

TwoTowers = Annotated[str, typer.Option(help="Two-tower encoder; `unseen encoders` lists them.")]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Choice:
    """Which pairs are kept, and what is said of them."""

    threshold: Annotated[
        str | None, typer.Option(help="Least similarity: laion-5b, laion-400m (both for CLIP ViT-B/32) or a number.")
    ] = None
    target_keep: Annotated[
        float | None,
        typer.Option(
            help="Share of the pairs to keep, those whose picture and caption are most alike; 1 keeps all.",
            show_default="0.5; for CLIP ViT-B/32 the threshold laion-5b",
        ),
    ] = None
    languages: Annotated[str | None, typer.Option(help="Languages to keep, such as en,de,none; all if absent.")] = None
    heads: Annotated[
        list[str] | None, typer.Option("--head", help="Score to add, as name=FOLDER of `unseen head train`.")
    ] = None
    rules: Annotated[Path | None, typer.Option(help="JSON file of safety rules.")] = None
    near: Annotated[
        float | None,
        typer.Option(
            help="Cosine from which pixels of two pictures are compared; 0 for equal files only.",
            show_default="0.5 for lite-clip, else 0.9",
        ),
    ] = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pictures:
    """Which pictures are accepted, and how they are kept."""

    resize: Annotated[
        str, typer.Option(help="How pictures are kept: no, keep_ratio, center_crop, border, keep_ratio_largest.")
    ] = "no"
    size: Annotated[int, typer.Option(help="Pixels to resize to.", min=1)] = 256
    min_bytes: Annotated[
        int | None, typer.Option(help="Least bytes of a picture; 5000 for the web, 0 for a folder of pictures.", min=0)
    ] = None
    min_size: Annotated[int, typer.Option(help="Least pixels of its shorter side.", min=0)] = 0
    max_aspect_ratio: Annotated[float | None, typer.Option(help="Of the longer to the shorter side.")] = None

    def acceptance(self) -> Acceptance:
        """As the library has it; without a largest ratio, its own."""
        from unseen.methods.curation.laion.accept import Acceptance

        named = {name: value for name, value in vars(self).items() if name != "max_aspect_ratio" or value is not None}
        return Acceptance(**named)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Downloads:
    """How pictures are fetched."""

    timeout: Annotated[float, typer.Option(help="Seconds for a picture.")] = 10.0
    max_bytes: Annotated[int, typer.Option(help="Most bytes that are downloaded of a picture.", min=1)] = 32 * 2**20
    per_host: Annotated[int, typer.Option(help="Downloads from one host at once.", min=1)] = 8
    delay: Annotated[float, typer.Option(help="Seconds between downloads from one host.", min=0)] = 0.0
    ignore_opt_out: Annotated[
        bool, typer.Option("--ignore-opt-out", help="Take pictures although X-Robots-Tag says noai or noindex.")
    ] = False
    allow_host: Annotated[
        list[str] | None, typer.Option(help="HOST or HOST:PORT that may be private: an intranet, a test.")
    ] = None
    block_host: Annotated[list[str] | None, typer.Option(help="Host that is never asked, or a file of hosts.")] = None
    base_url: Annotated[str, typer.Option(help="Where a folder of HTML pages was.", show_default=False)] = ""

    def politeness(self) -> Politeness:
        """As the library has it."""
        from unseen.curation.fetch import Politeness

        return Politeness(
            timeout=self.timeout,
            max_bytes=self.max_bytes,
            per_host=self.per_host,
            delay=self.delay,
            respect_opt_out=not self.ignore_opt_out,
            allowed_hosts=tuple(self.allow_host or ()),
            blocked_hosts=tuple(_hosts(self.block_host or [])),
        )


@app.command()
@resumes
@options.spread
def curate(
    *,
    source: Annotated[
        Path,
        typer.Argument(
            metavar="INPUT",
            help="Crawl (.warc, .wat), HTML pages, table of URLs and captions, .tar shards or pictures.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the collection; one that was begun is continued.")] = Path(
        "pairs"
    ),
    encoder: TwoTowers = "lite-clip",
    multilingual_encoder: Annotated[
        str | None, typer.Option(help="Text encoder of the same space for captions that are not English.")
    ] = None,
    choice: Choice,
    shard_size: Annotated[int, typer.Option(help="Candidates of a shard.", min=1)] = 1000,
    stages: Annotated[str, typer.Option(help="What to run now.")] = "parse,fetch,embed,select,index",
    memory: options.Memory = "4GB",
    pictures: Pictures,
    downloads: Downloads,
    engine: Annotated[str, typer.Option(help="process, or ray: all cores, or a cluster.")] = "process",
    address: options.Address = None,
    cache: Annotated[bool, typer.Option("--cache", help="Keep features by content, for a later run.")] = False,
    seed: Annotated[int, typer.Option(help="Of the order of downloads.", min=0)] = 0,
    as_json: options.AsJson = False,
) -> None:
    """Make a filtered, scored, indexed collection of image-text pairs.

    Of a folder of pictures with captions (NAME.txt beside each, captions.csv or captions.jsonl), a crawl, a link table
    or shards. A killed run goes on where it stopped when it is started again.

    Example:  unseen curate photos --out pairs
    """
    from unseen.cli.explore import build_indices
    from unseen.curation.attempts import told_if_full
    from unseen.curation.index_choice import parse_memory
    from unseen.curation.index_file import library
    from unseen.curation.pipeline import check_out
    from unseen.curation.pipeline import curate as run
    from unseen.curation.settings import STAGES, Settings
    from unseen.curation.sources import open_source
    from unseen.encoders import get
    from unseen.methods.curation.laion.safety import read_rules
    from unseen.report.curate import write_report
    from unseen.scale import Engine

    every = [part.strip() for part in stages.split(",")]
    if unknown := [part for part in every if part not in (*STAGES, INDEX)]:
        raise ValueError(f"--stages must be some of {', '.join((*STAGES, INDEX))}; got {unknown[0]!r}")
    parts = tuple(part for part in every if part != INDEX)
    if INDEX in every:
        parse_memory(memory)
        library()  # a missing package is told before the long work
    threshold, target_keep = choice.threshold, choice.target_keep
    if threshold is None and target_keep is None and "select" in parts:
        if encoder.startswith(("open_clip:ViT-B-32/openai", "open_clip:ViT-B-32-quickgelu/openai")):
            threshold = "laion-5b"
        else:  # cosines of other encoders lie on another scale than LAION's thresholds
            target_keep = KEEP
    settings = Settings(
        shard_size=shard_size,
        languages=tuple(choice.languages.split(",")) if choice.languages else (),
        seed=seed,
        polite=downloads.politeness(),
        acceptance=pictures.acceptance(),
        near="usual" if choice.near is None else choice.near or None,
        threshold=None if threshold is None else _number(threshold),
        target_keep=target_keep,
        rules=read_rules(choice.rules) if choice.rules is not None else (),
    )
    if not parts:
        build_indices(out, memory)
        return
    check_out(out)
    opened = open_source(source, base_url=downloads.base_url)
    say(f"input: {opened.contents}")
    if target_keep is not None and target_keep < 1 and "select" in parts:
        say(f"of the pairs, {target_keep:.0%} are kept, the most alike ones (--target-keep 1 keeps all)")
    towers: Any = get(encoder) if {"embed", "select"} & set(parts) else None
    result = run(
        opened,
        out,
        encoder=towers,
        multilingual=get(multilingual_encoder) if multilingual_encoder and towers is not None else None,
        heads=[_head(head) for head in choice.heads or []],
        settings=settings,
        stages=parts,
        engine=Engine(name=engine, address=address),  # type: ignore[arg-type]
        cache=cache,
    )
    with told_if_full("the report"):
        write_report(out, seconds=result.seconds, failures=result.failures)
    if as_json:
        dump(
            {
                **result.accounting.to_json(),
                "failures": [f._asdict() for f in result.failures],
                "seconds": result.seconds,
            }
        )
    else:
        for line in result.accounting.lines():
            typer.echo(line)
        if "select" in parts and (sentence := _filtered(result.accounting, target_keep)):
            typer.echo(sentence)
        say(f"{out} holds the pairs in shards/, every drop in dropped.parquet, and report.html")
    if result.failures:
        say(f"{len(result.failures)} shards failed: {result.failures[0].error}; run the same command again")
        raise typer.Exit(3)
    if INDEX in every and result.accounting.kept:
        build_indices(out, memory, brief=result.accounting.what == "pictures")
        say(f"look at it: unseen explore {shlex.quote(str(out))}")


def _filtered(accounting: Any, share: float | None) -> str:
    """What the share to keep was of, in a sentence; nothing without one."""
    lost = sum(accounting.of("filter").values())
    reached = accounting.kept + lost + sum(accounting.of("safety").values())
    if share is None or share == 1 or not reached:
        return ""
    return (
        f"{reached - lost:,} of {reached:,} pairs are those whose picture and caption are most alike "
        f"(--target-keep {share:g}; 1 keeps all)"
    )


def _number(text: str) -> str | float:
    try:
        return float(text)
    except ValueError:
        return text


def _hosts(entries: list[str]) -> list[str]:
    """Host names, from the command line and from files."""
    from unseen.files import read_plain

    hosts: list[str] = []
    for entry in entries:
        lines = read_plain(entry).splitlines() if Path(entry).is_file() else [entry]
        hosts += [line.strip().lower() for line in lines if line.strip() and not line.startswith("#")]
    return hosts


def _head(entry: str) -> Any:
    import dataclasses

    from unseen.methods.curation.laion.heads import Head

    name, sign, folder = entry.partition("=")
    if not sign or not name:
        raise ValueError(f"--head takes name=FOLDER; got {entry!r}")
    return dataclasses.replace(Head.load(folder), name=name)


@head_app.command("train")
def train(
    labels: Annotated[
        str, typer.Argument(help="Two class folders of pictures, a table of files or captions with labels, or shards.")
    ],
    out: options.OutFolder,
    name: Annotated[str, typer.Option(help="unsafe, watermark, toxicity, aesthetic, or a name of your own.")],
    encoder: TwoTowers = "lite-clip",
    flagged: Annotated[str | None, typer.Option(help="Class that is flagged; the second of the two if absent.")] = None,
    kind: Annotated[str, typer.Option(help="linear, mlp, or value for ratings.")] = "linear",
    threshold: Annotated[float | None, typer.Option(help="Score above which a pair is flagged; the paper's.")] = None,
    labels_column: Annotated[str | None, typer.Option(help="Column of the labels.")] = None,
    seed: options.Seed = 0,
    as_json: options.AsJson = False,
) -> None:
    """Learn a score over an encoder's embeddings from a few labels, and say what it is worth.

    Example:  unseen head train watermarks/ --out watermark --name watermark --encoder lite-clip
    """
    import numpy as np

    from unseen.data.loaders import load
    from unseen.encoders import get
    from unseen.methods.curation.laion.heads import train_head

    towers: Any = get(encoder)
    domain = load(labels, labels_column=labels_column)
    if domain.y is None or domain.classes is None:
        raise ValueError(f"{labels} has no labels; name class folders, or a table with a column of labels")
    if domain.kind not in ("image", "text"):
        raise ValueError(f"{labels} holds {domain.kind}; a head reads pictures or captions")
    names = list(domain.classes.names)
    if kind == "value":
        values = np.array([float(names[i]) for i in domain.y])
    else:
        if len(names) != 2:
            raise ValueError(f"a head tells two classes apart; {labels} has {len(names)}: {', '.join(names[:5])}")
        if flagged is not None and flagged not in names:
            raise ValueError(f"flagged must be one of {', '.join(names)}; got {flagged!r}")
        values = (domain.y == names.index(flagged if flagged is not None else names[1])).astype(np.int64)
    known = np.asarray(domain.y) >= 0
    head = train_head(
        towers.encode(domain).x[known],
        values[known],
        name=name,
        encoder={"name": towers.name, "fingerprint": towers.fingerprint, "dim": towers.dim},
        side="text" if domain.kind == "text" else "image",
        kind=kind,  # type: ignore[arg-type]
        threshold=threshold,
        seed=seed,
    )
    head.save(out)
    if as_json:
        dump({"name": head.name, "kind": head.kind, "threshold": head.threshold, **head.told})
        return
    words = {"auc": "AUC (0.5 is chance)"}
    figures = [f"{words.get(key, key.replace('_', ' '))} {value:.3f}" for key, value in head.told.items() if key != "n"]
    typer.echo(f"{name}: a {head.kind} score, learnt from {head.told['n']} labels")
    typer.echo("on labels held out in turn: " + (", ".join(figures) or "too few to say"))
    if kind != "value":
        typer.echo(f"flagged: {flagged or names[1]}, from a score of {head.threshold:g}")
    say(f"{out} holds the head; use it with: unseen curate INPUT --out pairs --head {name}={out}")


@head_app.command("propose")
def propose_rows(
    collection: Annotated[Path, typer.Argument(help="Collection of `unseen curate`.")],
    prompts: Annotated[list[str], typer.Option("--prompt", help="What to look for; may be repeated.")],
    out: Annotated[Path, typer.Option(help="CSV file to write, and to fill in the column label.")],
    encoder: TwoTowers = "lite-clip",
    each: Annotated[int, typer.Option(help="Pairs per prompt.", min=1)] = 50,
    others: Annotated[int, typer.Option(help="Pairs at random beside them.", min=0)] = 50,
    seed: Annotated[int, typer.Option(help="Of those at random.", min=0)] = 0,
) -> None:
    """Find pairs to label for a head: those nearest to prompts, and some at random; their pictures lie beside the CSV.

    Example:  unseen head propose pairs --prompt "a picture with a watermark" --out label.csv
    """
    check_outside(collection, out=out)
    check_ending("out", out, ".csv")
    import pandas as pd

    from unseen.curation.collection import Collection, suffix_of
    from unseen.encoders import get
    from unseen.methods.curation.laion.heads import propose
    from unseen.runtime import replacing

    opened, towers = Collection.open(collection), get(encoder)
    if opened.encoder is None:
        raise ValueError(f"{collection} holds no embeddings")
    opened.encoder.require(towers.fingerprint, towers.dim, name=encoder)
    queries = towers.encode_text(list(prompts))  # type: ignore[attr-defined]
    proposed = propose(opened.embeddings("image"), queries, each=each, others=others, seed=seed)
    table = opened.table(["uid", "text", "url"])
    folder = out.with_name(f"{out.stem}-pictures")
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for row, query in proposed:
        content = opened.picture(row)
        columns = {key: table[key][row].as_py() for key in ("uid", "text", "url")}
        file = folder / f"{columns['uid']}.{suffix_of(content)}"
        with replacing(file) as temporary:
            temporary.write_bytes(content)
        prompt = prompts[query] if query >= 0 else ""
        record = {"file": f"{folder.name}/{file.name}", "label": "", "prompt": prompt, **columns}
        rows.append(record)
    write_csv(out, pd.DataFrame(rows))
    say(f"{out} has {len(rows)} pairs to label; fill in label, then: unseen head train {out} --out head --name NAME")

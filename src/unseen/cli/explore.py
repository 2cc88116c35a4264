"""Collections of image-text pairs: index, explore."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unseen import options
from unseen.console import app, check_apart, check_outside, dump, say

if TYPE_CHECKING:
    from unseen.curation.collection import Collection
    from unseen.curation.index import IndexRecord
    from unseen.curation.results import Filters
    from unseen.curation.retrieval import Query, RetrievalService

Data = Annotated[Path, typer.Argument(help="Folder of a collection.")]
EncoderName = Annotated[
    str | None, typer.Option("--encoder", help="The encoder of the embeddings, if not by the name they tell.")
]


@app.command()
def index(
    data: Data,
    side: Annotated[str, typer.Option(help="What is searched: image or text.")] = "image",
    memory: options.Memory = "4GB",
    recall: Annotated[float, typer.Option(help="Recall@10 that is aimed at; 0: as much as --latency allows.")] = 0.95,
    latency: Annotated[float, typer.Option(help="Milliseconds that one query may take.")] = 10.0,
    memory_mapped: Annotated[
        bool, typer.Option("--memory-mapped", help="Search it from disk: lists instead of a graph.")
    ] = False,
    add: Annotated[bool, typer.Option("--add", help="Add the shards that came since; keep what was learnt.")] = False,
    reorder: Annotated[
        bool, typer.Option("--reorder", help="Put what is said of pairs into the order of the index's lists.")
    ] = False,
    encoder: EncoderName = None,
    seed: options.Seed = 0,
    as_json: options.AsJson = False,
) -> None:
    """Build a nearest-neighbour index over a collection.

    Its kind is chosen by memory, its effort by recall, measured and stored.

    Example:  unseen index DATA --side image --memory 1GB
    """
    from unseen.curation.collection import Collection
    from unseen.curation.columns import is_reordered, write_columns
    from unseen.curation.index import add_to_index, build_index, open_index

    collection = Collection.open(data)
    which: Any = side
    if encoder is not None:
        _check_encoder(collection, encoder)
    if reorder:
        _check_lists(collection, which, memory, memory_mapped, add)
    if add:
        reorder = reorder or is_reordered(collection)
        record = add_to_index(collection, which, seed=seed)
    else:
        record = build_index(
            collection, which, memory=memory, recall=recall or None, latency=latency / 1000,
            memory_mapped=memory_mapped, seed=seed,
        )  # fmt: skip
    if reorder and record.family in ("ivf", "pq"):
        write_columns(collection, open_index(collection, which).ranks())
    _tell(record, as_json)


def _check_encoder(collection: Collection, name: str) -> None:
    """Raise `ValueError` unless an encoder is the one of a collection."""
    from unseen import encoders

    if collection.encoder is None:
        raise ValueError("--encoder: the collection does not say which encoder made its embeddings")
    encoder = encoders.get(name)
    collection.encoder.require(encoder.fingerprint, encoder.dim, name=encoder.name)


def _check_lists(collection: Collection, side: Any, memory: str, memory_mapped: bool, add: bool) -> None:
    """Raise `ValueError`, before anything is built, if the index would have no lists to reorder by."""
    from unseen.curation.index_choice import choose_index
    from unseen.curation.index_file import read_record
    from unseen.curation.vectors import Vectors

    if add:
        key, family = read_record(collection, side).key, read_record(collection, side).family
    else:
        vectors = Vectors.of(collection, side)
        choice = choose_index(len(vectors), vectors.dim, memory, memory_mapped=memory_mapped)
        key, family = choice.key, choice.family
    if family not in ("ivf", "pq"):
        raise ValueError(
            f"--reorder needs an index with lists; for {len(collection):,} pairs it is {key}. Leave it out, or, from "
            "10,000 pairs on, add --memory-mapped"
        )


@app.command()
def explore(
    data: Data,
    build: Annotated[
        bool, typer.Option("--build", help="Build the indices and the map that are missing or old.")
    ] = False,
    memory: options.Memory = "4GB",
    query: Annotated[
        list[str] | None,
        typer.Option(help="Words to look for, here instead of in a browser; WORDS::WEIGHT weighs them."),
    ] = None,
    image: Annotated[list[str] | None, typer.Option(help="A picture to look for; FILE::WEIGHT weighs it.")] = None,
    row: Annotated[list[int] | None, typer.Option(help="A row whose like is looked for.")] = None,
    change: Annotated[
        str, typer.Option(help="What is different, or counts, of what is looked for: 'on grass'.", show_default=False)
    ] = "",
    model: Annotated[
        Path | None,
        typer.Option(
            help="What `unseen compose` wrote, which reads --change and the page's second box; without it both are "
            "added."
        ),
    ] = None,
    side: Annotated[str, typer.Option(help="What is searched: image or text.")] = "image",
    k: Annotated[int, typer.Option("--k", help="Results before any is left out.", min=1)] = 20,
    where: Annotated[
        list[str] | None, typer.Option(help="Filter: language=en,de or width=256: or punsafe=:0.2.")
    ] = None,
    tag: Annotated[
        list[str] | None, typer.Option(help="Only pairs with one of these tags, which are put on in the browser.")
    ] = None,
    encoder: EncoderName = None,
    duplicates: Annotated[bool, typer.Option("--duplicates", help="Keep near duplicates.")] = False,
    above: Annotated[
        float | None, typer.Option(help="Everything from this similarity on instead of --k results.")
    ] = None,
    export: Annotated[
        Path | None, typer.Option(help="Write what is found: .parquet, .csv, .tar (WebDataset) or .npy (uids).")
    ] = None,
    host: options.Host = "127.0.0.1",
    port: options.Port = 8500,
    token: Annotated[str | None, options.token("The password for a browser")] = None,
    as_json: options.AsJson = False,
) -> None:
    """Search a collection in a browser, over HTTP or from here.

    From here with --query, --where or --tag; --export writes what is found.

    Example:  unseen explore DATA --build   (builds what is missing, then serves until Ctrl+C)

    or:       unseen explore DATA --query "a car" --above 0.3 --export cars.parquet
    """
    if build:
        build_indices(data, memory)
    has_query = bool(query or image or row)
    if not has_query and (above is not None or (export is not None and not (where or tag))):
        raise ValueError(
            "name what to look for: --query WORDS, --image FILE or --row NUMBER, or filter: --where, --tag"
        )
    if change and not has_query:
        raise ValueError(
            "--change says what is different of what --image, --row or --query show: name one of these, too"
        )
    check_apart([data, *(image or [])], export=export)
    check_outside(model, export=export)
    service = _opened(data, encoder, model)
    for sentence in service.stale.values():
        say(sentence)
    filters = _filters(where or [], tag or [])
    if missing := [name for name in filters.tags if name and name not in service.tags.names]:
        raise ValueError(
            f"no pair is tagged {missing[0]!r}; "
            + (f"there are: {', '.join(service.tags.names)}" if service.tags.names else "no pair has a tag yet")
        )
    if has_query:
        wanted = _query(query or [], image or [], row or [], side, k, filters, duplicates)
        wanted = dataclasses.replace(wanted, change=change)
        _answer(service, wanted, above, export, as_json)
        return
    if where or tag:
        _passing(service, filters, k, export, as_json)
        return
    try:
        from unseen.explorer.server import serve
    except ImportError as error:
        raise ImportError(f"exploring needs: pip install 'unseen[curate]' ({error})") from error
    serve(
        service, host=host, port=port, token=token, warn=say,
        ready=lambda url: say(f"listening on {url}; stop with Ctrl+C"),
    )  # fmt: skip


def _opened(data: Path, encoder: str | None, model: Path | None) -> RetrievalService:
    """The service of a collection, with the combiner that reads what is to be different."""
    from unseen.curation.retrieval import RetrievalService

    if model is None:
        return RetrievalService.open(data, encoder=encoder)
    if encoder is not None:
        raise ValueError(f"--encoder: the model has its own encoder; name one of the two, got also {encoder!r}")
    from unseen.jobs.composed_retrieval.composer import Composer

    composer = Composer.load(model)
    return RetrievalService.open(data, encoder=composer.encoder, compose=composer.of_one)


def build_indices(data: Path, memory: str, *, brief: bool = False) -> None:
    """Build the indices, the columns and the map that are missing, or not of the collection as it is now.

    Their figures are told, unless `brief`.
    """
    from unseen.curation.attempts import told_if_full
    from unseen.curation.collection import Collection
    from unseen.curation.columns import open_columns
    from unseen.curation.concept_map import build_map, read_map
    from unseen.curation.index import build_index, open_index

    collection = Collection.open(data)
    sides = (
        [side for side in ("image", "text") if (collection.shards[0].folder / f"{side}.npy").exists()]
        if collection.shards
        else []
    )
    if not sides:
        raise ValueError(f"{data} holds no embeddings; embed it first (unseen curate)")
    for side in sides:
        which: Any = side
        try:
            open_index(collection, which)
        except ValueError as error:
            if not brief:
                say(f"building the index of {side}s ({error})")
            with told_if_full(f"the index of {side}s"):
                record = build_index(collection, which, memory=memory)
            if not brief:
                _tell(record, False)
    with told_if_full("the columns"):
        open_columns(collection)
    try:
        read_map(collection)
    except ValueError:
        first: Any = sides[0]
        with told_if_full("the map"):
            say(f"drawing the map of {len(collection):,} pairs")
            drawn = build_map(collection, first)
        if not brief:
            say(f"the map has {len(drawn.concepts)} groups")


def _tell(record: IndexRecord, as_json: bool) -> None:
    import dataclasses

    if as_json:
        dump(dataclasses.asdict(record))
        return
    effort = ", ".join(f"{name} {value}" for name, value in record.parameters.items()) or "exact"
    across = {"image": "words", "text": "pictures"}[record.side]
    recall = {"same": f"{record.side}s", "other": across, "alone": "both, by the index alone"}
    say(f"index of {record.side}s: {record.rows:,} vectors of {record.dim} numbers as {record.key}, {record.why}")
    say(
        f"  it takes {record.memory / 1e6:.1f} MB and {record.latency * 1000:.2f} ms a query ({effort}), and was "
        f"built in {record.seconds:.1f} s"
    )
    recalls = ", ".join(f"{100 * value:.1f} % asked by {recall[name]}" for name, value in record.recall.items())
    say(f"  of the ten nearest it finds {recalls}; stored vectors are off by {record.reconstruction_error:.3f}")
    wanted = record.target.get("recall")
    if wanted is not None and min(record.recall["same"], record.recall.get("other", 1.0)) < wanted - 0.02:
        say(f"  less than the {100 * wanted:g} % that were aimed at: more memory or --latency find more")


def _query(
    words: list[str], images: list[str], rows: list[int], side: str, k: int, filters: Filters, duplicates: bool
) -> Query:
    from unseen.curation.retrieval import Query, Term

    terms = [Term("text", *_weighed(text)) for text in words]
    if not all(str(term.value).strip() for term in terms):
        raise ValueError("--query must hold words to look for; got none")
    for text in images:
        file, weight = _weighed(text)
        try:
            terms.append(Term("image", Path(file).read_bytes(), weight))
        except OSError as error:
            raise ValueError(f"--image names a picture that cannot be read: {file} ({error.strerror})") from error
    terms += [Term("row", row) for row in rows]
    which: Any = side
    return Query(terms=terms, side=which, k=k, filters=filters, deduplicate=not duplicates)


def _weighed(text: str) -> tuple[str, float]:
    """A term and its weight from TERM::WEIGHT."""
    term, sign, weight = text.rpartition("::")
    if not sign:
        return text, 1.0
    try:
        return term, float(weight)
    except ValueError as error:
        raise ValueError(f"a weight must be a number: TERM::WEIGHT; got {text!r}") from error


def _filters(where: list[str], tags: list[str]) -> Filters:
    from unseen.curation.results import Filters

    values: dict[str, list[str]] = {}
    ranges: dict[str, tuple[float | None, float | None]] = {}
    for text in where:
        name, sign, value = text.partition("=")
        if not sign or not name:
            raise ValueError(f"--where takes language=en,de or width=256: (from) or punsafe=:0.2 (up to); got {text!r}")
        if ":" in value:
            low, _, high = value.partition(":")
            try:
                ranges[name] = (float(low) if low else None, float(high) if high else None)
            except ValueError as error:
                raise ValueError(f"--where {name}: a range is LEAST:GREATEST, in numbers; got {value!r}") from error
        else:
            values[name] = value.split(",")
    return Filters(values, ranges, tags)


def _answer(service: RetrievalService, query: Query, above: float | None, export: Path | None, as_json: bool) -> None:
    """Print, or write, what a query finds."""
    from unseen.curation.export import export_subset, format_of

    if export is not None:
        format_of(export)
    if above is None:
        results = service.search(query)
        rows, similarity = results.rows, [hit.similarity for hit in results.hits]
        _left_out(results.removed, results.allowed, bool(rows), service.by_file and query.side == "image")
        more = {
            "removed": dict(results.removed), "allowed": results.allowed, "seconds": round(results.seconds, 4),
            "weak": results.weak, "unread": list(results.unread),
        }  # fmt: skip
        for line in [*results.unread, *([WEAK] if results.weak else [])]:
            say(line)
    else:
        similarities, at = service.above(query, above)
        rows, similarity, more = at.tolist(), similarities.tolist(), {"above": above}
        if not rows and export is None:
            say(f"nothing is as near as {above:g}; lower --above or loosen --where")
    if export is not None:
        if not rows:
            raise ValueError("nothing was found, so nothing is written; lower --above or loosen --where")
        export_subset(service, rows, export, similarity=similarity)  # type: ignore[arg-type]
        say(f"{export} holds {len(rows):,} pairs")
        return
    metadata = service.metadata(rows)
    if as_json:
        hits = [  # a pair has a similarity of its own: that of its picture and its caption
            {"row": row, "query_similarity": round(value, 6), **columns}
            for row, value, columns in zip(rows, similarity, metadata)
        ]
        dump({"hits": hits, **more})
        return
    for row, value, columns in zip(rows, similarity, metadata):
        typer.echo(f"{value:7.4f}  {row:>9}  {_named(columns)}")


def _passing(service: RetrievalService, filters: Filters, k: int, export: Path | None, as_json: bool) -> None:
    """Print the first rows that pass filters, or write all of them."""
    from unseen.curation.export import export_subset

    rows, allowed = service.browse(filters, most=k if export is None else len(service))
    if export is not None:
        if not len(rows):
            raise ValueError("no pair passes, so nothing is written; loosen --where or --tag")
        export_subset(service, rows, export)
        say(f"{export} holds {len(rows):,} pairs")
        return
    metadata = service.metadata(rows)
    if as_json:
        dump({"rows": [{"row": row, **columns} for row, columns in zip(rows.tolist(), metadata)], "allowed": allowed})
        return
    for row, columns in zip(rows.tolist(), metadata):
        typer.echo(f"{row:>9}  {_named(columns)}")
    say(
        f"{allowed:,} pairs pass"
        + (f"; the first {len(rows)} are shown, --k shows more" if allowed > len(rows) else "")
    )


def _left_out(removed: Mapping[str, int], allowed: int, has_rows: bool, by_file: bool) -> None:
    """Say what a query did not give, and why."""
    alike = "near duplicates of what is shown (--duplicates keeps them)"
    if by_file:
        alike = (
            "of the same file as one shown (by cosines of this encoder no other copy is told; --duplicates keeps them)"
        )
    names = {"duplicates": alike, "unsafe": "unsafe ones"}
    reasons = [f"{count:,} {names.get(why, why)}" for why, count in removed.items() if count]
    if reasons:
        say(f"left out: {', '.join(reasons)}")
    if not has_rows:
        say("nothing was found" + ("" if allowed else ": no pair passes --where"))


WEAK = (
    "weak: none of these is nearer than the nearest of so many is by chance, and no caption of them has these words; "
    "what was asked for may not be here"
)


def _named(columns: Mapping[str, Any]) -> str:
    """The file of a pair, the last part of an address, and its caption."""
    file = _one_line(columns.get("url")).rstrip("/").rpartition("/")[2]
    caption = _one_line(columns.get("text"))
    return f"{file}  {caption}" if file and file != caption else caption


def _one_line(text: Any) -> str:
    """A caption in one line without what would steer a terminal."""
    return "".join(character if character.isprintable() else " " for character in str(text or ""))[:120]

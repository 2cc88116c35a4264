"""What pictures of never-seen classes show, in words: annotate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unseen import options
from unseen.console import app, check_apart, check_written, say, settings_of, write_csv
from unseen.files import read_plain

SHOWN = 5
"""Samples that are shown with what was found."""
APART = 0.001
"""Cosines of words that differ by less say nothing of which is nearer."""
FEW = 5
"""Seen classes below which an embedding has hardly a direction to tell words by."""

if TYPE_CHECKING:
    import pandas as pd

    from unseen.data.classes import ClassSpace
    from unseen.methods.zero_shot.tmv_hlp import TMVHLP


@app.command()
def annotate(
    target: Annotated[str, typer.Argument(help="Samples to describe: folder, table, shards. They are seen together.")],
    source: Annotated[str, typer.Option(help="Labelled data of other classes: folder of class folders, table.")],
    classes: Annotated[
        str, typer.Option(help="Class file (CSV or JSON) with all classes: name, description, attributes.")
    ],
    out: options.OutTable,
    top: Annotated[int, typer.Option(help="Words and attributes of each sample.", min=1)] = 5,
    words: Annotated[
        Path | None, typer.Option(help="Text file, a word or phrase a line, in place of the classes.")
    ] = None,
    settings: Annotated[list[str] | None, options.hyperparameter("tmv-hlp")] = None,
    encoder: options.Encoder = None,
    precision: options.Precision = "auto",
    on_error: options.OnError = "skip",
    trust: options.Trust = False,
) -> None:
    """Describe samples of classes never seen by words and attributes.

    By the nearest ones in an embedding of both (tmv-hlp). A row per sample: the class that the pool as a whole makes
    likely, the nearest class words (or --words) with their cosine, and the attributes above the pool's mean that stand
    out most, in deviations of the pool. A pool should hold eight or more samples of each unseen class: of fewer, labels
    are often wrong, and a line says so.

    Example:  unseen annotate new-animals --source known-animals --classes animals.csv --out annotations.csv
    """
    from unseen.compare.asked import check_asked

    check_apart([target, source, classes, words], out=out)
    check_written("out", out, ".csv")
    check_asked(
        data=dict(target=target, source=source, words=words), encoder=encoder, on_error=on_error, precision=precision
    )
    from unseen.compare.inputs import prepare
    from unseen.data.damage import undamaged
    from unseen.data.feature_names import by_name
    from unseen.data.loaders import load
    from unseen.methods.zero_shot.tmv_hlp import TMVHLP

    phrases = [line.strip() for line in read_plain(words).splitlines()] if words else []
    phrases = [line for line in dict.fromkeys(phrases) if line]
    if words and not phrases:
        raise ValueError(f"--words {words} holds no word")
    ready = prepare(
        source=source, classes=classes, encoder=encoder, precision=precision, on_error=on_error, trust=trust
    )
    pool = load(target, on_error=on_error, features=ready.feature_names)  # type: ignore[arg-type]
    pool = by_name(pool, ready.feature_names, "target", "the source")
    if ready.encoder is not None:
        ready.encoder.check_kind(pool)
        pool = ready.encoder.encode(undamaged(pool, on_error))  # type: ignore[arg-type]
    known = ready.classes
    if known.embeddings is None:
        known = known.replace(embeddings=embedded(known.texts))
    vectors: Any = embedded(phrases, ready.encoder) if phrases else known.embeddings
    assert ready.source is not None
    assert known.embeddings is not None
    if vectors.shape[1] != known.embeddings.shape[1]:
        raise ValueError("--words needs classes that are no pairs of an attribute and an object")
    if len(pool) < 8 * len(known.unseen):
        say(f"{len(pool)} samples are few for {len(known.unseen)} unseen classes; eight of each or more are better")
    small = {**TMVHLP.card.presets["small"], "regularization": 0.1}
    method = TMVHLP(**(small if len(pool) < 30 * len(known.unseen) else {}) | settings_of(settings, random_state=""))
    method.fit(source=ready.source, classes=known, target=pool)
    if (n_seen := len(known) - len(known.unseen)) < FEW:
        say(f"{n_seen} seen classes are few to learn from where words lie: do not rely on the words; {FEW} are better")
    table = described(method, pool.x, known, phrases or list(known.names), vectors, top)
    alike = alike_in(method, pool.x, vectors)
    table.insert(0, "sample", pool.ids)
    table.insert(1, "class", [known.names[c] for c in method.transduction_])
    write_csv(out, table)
    for row in table.head(SHOWN).to_dict("records"):
        stands_out = ", ".join(str(row[f"attribute_{k}"]) for k in range(1, top + 1) if row.get(f"attribute_{k}"))
        typer.echo(f"{row['sample']}: {row['class']}" + (f"  ({stands_out})" if stands_out else ""))
    if alike:
        say(
            f"in {alike} of {len(table)} samples the first words cannot be told apart: their cosines differ by less "
            f"than {APART}, do not rely on them; more seen classes (there are {n_seen}) or words less alike may help"
        )
    say(f"{len(table)} samples are described in {out}")


def alike_in(method: TMVHLP, x: Any, vectors: Any) -> int:
    """In how many samples the cosines of the first two words are the same but for less than `APART`."""
    from unseen.nn.semantic import cosines

    if len(vectors) < 2:
        return 0
    best = cosines(method.embed(x), method.embed(vectors, "embeddings")).topk(2, dim=1).values
    return int((best[:, 0] - best[:, 1] < APART).sum())


def embedded(texts: Any, tower: Any = None) -> Any:
    """A vector for each text as for classes: by a tower of pictures and texts if it is one, else a sentence encoder."""
    import numpy as np

    from unseen import encoders
    from unseen.data.classes import ClassSpace
    from unseen.data.domain import Domain

    if isinstance(tower, encoders.TwoTowerEncoder):
        return tower.embed(ClassSpace(names=tuple(texts))).embeddings
    return encoders.get("minilm").encode(Domain(x=np.array(texts, dtype=np.str_), kind="text")).x


def described(method: TMVHLP, x: Any, classes: ClassSpace, words: list[str], vectors: Any, top: int) -> pd.DataFrame:
    """The nearest words of each sample with their cosine, and the attributes above the pool's mean, else blank."""
    import numpy as np
    import pandas as pd
    import torch

    from unseen.nn.semantic import cosines

    similar = {"word": (words, cosines(method.embed(x), method.embed(vectors, "embeddings")))}
    if "attributes" in method.views_ and classes.attribute_names is not None:
        values = method.views_["attributes"].vectors(torch.as_tensor(x))
        spread = values.std(dim=0).clamp_min(torch.finfo(values.dtype).tiny)
        names = np.array(classes.attribute_names)[method.columns_["attributes"]].tolist()
        similar["attribute"] = names, (values - values.mean(dim=0)) / spread
    columns: dict[str, Any] = {}
    for kind, (names, scores) in similar.items():
        best, index = (tensor.numpy() for tensor in scores.topk(min(top, len(names)), dim=1))
        shown = (best > 0) | (kind == "word")
        for rank in range(best.shape[1]):
            columns[f"{kind}_{rank + 1}"] = np.where(shown[:, rank], np.array(names)[index[:, rank]], "")
            columns[f"{kind}_{rank + 1}_score"] = np.where(shown[:, rank], best[:, rank].round(4), np.nan)
    return pd.DataFrame(columns)

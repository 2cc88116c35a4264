"""What the newer rooms write, for kills.py: two results of each are made once, and the children write one or the other.

A room that writes one folder must leave it whole; one that writes files beside each other (a page, a table, a model)
must leave each of them whole, of the one result or of the other.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

Room = tuple[str, Callable[[Path, int], object], Callable[[Path], dict[str, Any]]]
"""The place's name, what writes result 0 or 1 there, and what of each part must be equal."""


def page(file: Path) -> int:
    """The bytes of a whole page."""
    text = file.read_text()
    assert text.rstrip().endswith("</html>"), file
    return len(text)


def pictures(folder: Path, n: int, size: int = 16) -> list[Path]:
    """Noisy pictures of a few colours."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for i in range(n):
        colour = np.array([(220, 30, 30), (30, 40, 220), (20, 160, 60)][i % 3])
        noisy = np.clip(colour + rng.normal(0, 20, (size, size, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(folder / f"{i:02d}.png")
    return sorted(folder.iterdir())


def rooms() -> dict[str, Callable[[Path], Room]]:
    """Name of a command, and what makes its room in a folder."""
    return {make.__name__: make for make in (align, caption, compose, episodes, match, nodes, rank, segment, shrink)}


def align(home: Path) -> Room:
    from unseen.bundle import Bundle
    from unseen.data.classes import ClassSpace
    from unseen.data.domain import Domain
    from unseen.jobs.alignment.report import PAGE, Report, told_by, written
    from unseen.methods import get

    x, y = np.eye(6, dtype=np.float32)[np.arange(24) % 3], np.arange(24) % 3
    source = Domain(x=x, y=y, classes=ClassSpace(names=("a", "b", "c")))
    models = [
        Bundle(method=get("source-only")(random_state=i).fit(source=source), classes=source.classes) for i in (0, 1)
    ]
    told = [
        Report("cwcl", {"left": "lite-clip", "right": None}, "left", 40 + i, 10, 0, 0, 1.0, ("a photo of {}",))
        for i in (0, 1)
    ]

    def write(place: Path, which: int) -> None:
        models[which].save(place, more=lambda part: written(told[which], part))

    def read(place: Path) -> dict[str, Any]:
        Bundle.load(place)
        return {"all": [told_by(place).pairs, page(place / PAGE)]}

    return "model", write, read


def caption(home: Path) -> Room:
    from scipy.io import wavfile

    from unseen.jobs.captioning import job
    from unseen.jobs.captioning.captioner import Captioner
    from unseen.jobs.captioning.page import write_page, write_table

    rows = ["sound,caption"]
    (home / "sounds").mkdir()
    for i in range(12):
        tone = (np.sin(np.arange(16_000) / (3 + 40 * (i % 2) + i)) * 0.5).astype(np.float32)
        wavfile.write(home / "sounds" / f"{i}.wav", 16_000, tone)
        rows.append(f"{i}.wav,{('a low hum goes on', 'a shrill whistle blows')[i % 2]}")
    (home / "sounds" / "sounds.csv").write_text("\n".join(rows))
    texts = ["a low hum goes on", "a shrill whistle blows", "steam hisses"] * 6
    captioners, found = [], []
    for i in (0, 1):
        (home / f"texts{i}.txt").write_text("\n".join([*texts, *["a clock ticks"] * i]))
        quick = {"epochs": 2 + i, "pretrain": 1, "width": 16, "layers": 1, "heads": 2, "length": 2, "least_count": 1}
        pairs = home / "sounds" / "sounds.csv"
        captioners.append(job.learn(home / f"texts{i}.txt", pairs=pairs, settings=quick))
        found.append(job.caption(home / "sounds", captioners[i]))

    def write(place: Path, which: int) -> None:
        place.mkdir(exist_ok=True)
        captioners[which].save(place / "model")
        write_page(found[which], place / "page.html", f"unseen caption {which}")
        write_table(place / "table.csv", found[which])

    def read(place: Path) -> dict[str, Any]:
        return {
            "model": Captioner.load(place / "model").facts["captions"],
            "page": page(place / "page.html"),
            "table": pd.read_csv(place / "table.csv").to_csv(),
        }

    return "captions", write, read


def compose(home: Path) -> Room:
    from unseen.encoders.towers import save_towers
    from unseen.jobs.composed_retrieval.composer import ABOUT, Composer
    from unseen.jobs.composed_retrieval.job import PAGE, _saved
    from unseen.jobs.composed_retrieval.job import compose as learn
    from unseen.methods.tower_shrinkers import towers_of_a_moment
    from unseen.nn.state import write_folder

    reading = {"size": [16, 16], "crop": 1.0, "mode": "squash", "mean": [0.5] * 3, "std": [0.25] * 3}
    save_towers(home / "towers", towers_of_a_moment(16), reading, "name")
    files = pictures(home, 36)
    rows = [f"{f.name},a {('square', 'bar', 'dot')[i // 3 % 3]} on {('red', 'blue', 'green')[i % 3]}"
            for i, f in enumerate(files) if f.suffix == ".png"]  # fmt: skip
    (home / "captions.csv").write_text("\n".join(["image,caption", *rows]))

    made = []
    for i in (0, 1):
        quick = {"triplets": 20 + i, "epochs": 1, "batch_size": 8, "project": 8, "hidden": 8}
        about = learn(home / "captions.csv", out=home / f"{i}", encoder=f"towers:{home / 'towers'}", settings=quick)
        made.append((Composer.load(home / f"{i}"), {key: value for key, value in about.items() if key != "folder"}))

    def write(place: Path, which: int) -> None:
        write_folder(place, lambda folder: _saved(folder, *made[which]))

    def read(place: Path) -> dict[str, Any]:
        Composer.load(place)
        assert page(place / PAGE) > 0
        return {"all": json.loads((place / ABOUT).read_text())["method"]}

    return "composer", write, read


def episodes(home: Path) -> Room:
    from unseen.evaluation.episodes import Episodes
    from unseen.jobs.episodes.job import grade
    from unseen.jobs.episodes.job import write as write_graded

    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(6), 8)
    table = pd.DataFrame(rng.normal(size=(48, 5)) + 2 * rng.normal(size=(6, 5))[y], columns=list("uvwxy"))
    table["label"] = [f"class {i}" for i in y]
    table.to_csv(home / "data.csv", index=False)
    found = [
        grade(
            home / "data.csv", protocol=Episodes(way=3, shots=(1,), queries=3, episodes=4 + i), methods=("prototypes",)
        )
        for i in (0, 1)
    ]

    def write(place: Path, which: int) -> None:
        write_graded(found[which], place, f"unseen episodes {which}")

    def read(place: Path) -> dict[str, Any]:
        assert page(place / "report.html") > 0
        json.loads((place / "episodes.json").read_text())
        return {"all": len(pd.read_csv(place / "episodes.csv"))}

    return "episodes", write, read


def match(home: Path) -> Room:
    from PIL import Image
    from sklearn.datasets import load_sample_image

    from unseen.console import write_csv
    from unseen.jobs.matching import job
    from unseen.jobs.matching.page import page as page_of
    from unseen.runtime import replacing

    photograph = load_sample_image("china.jpg")[:300:2, :400:2]
    for name, picture in (("a", photograph), ("b", photograph[5:, 8:]), ("c", photograph[10:, 3:])):
        Image.fromarray(np.ascontiguousarray(picture)).save(home / f"{name}.png")
    method: Any = job.make("sift")
    found = [list(job.match(job.read(home / "a.png", home / f"{other}.png"), method)) for other in "bc"]
    pages = [page_of(one, method, "sift", "matches.csv") for one in found]

    def write(place: Path, which: int) -> None:
        place.mkdir(exist_ok=True)
        write_csv(place / "matches.csv", job.table(found[which]))
        with replacing(place / "matches.html") as part:
            part.write_bytes(pages[which])
        method.save(place / "matcher")

    def read(place: Path) -> dict[str, Any]:
        job.make(str(place / "matcher"))
        return {"page": page(place / "matches.html"), "table": pd.read_csv(place / "matches.csv").to_csv()}

    return "matches", write, read


def nodes(home: Path) -> Room:
    from unseen.data.classes import ClassSpace
    from unseen.data.graph_summaries import read_summaries
    from unseen.data.text_graphs import TextAttributedGraph
    from unseen.jobs.nodes.job import Sampling, _write, classify_nodes
    from unseen.methods.multimodal.graphclip import GraphCLIP

    names = ("music", "sea")
    texts = np.array([f"{('a song of a concert', 'a ship in a harbour')[i % 2]} number {i}" for i in range(24)])
    edges = np.array([(i, (i + 2) % 24) for i in range(24)] + [(i, (i + 4) % 24) for i in range(24)])
    graph = TextAttributedGraph(
        texts=texts, edges=edges, names=np.array([f"n{i}" for i in range(24)]), labels=np.arange(24) % 2,
        classes=ClassSpace(names=names), name="world",
    )  # fmt: skip
    quick = {"hidden": 16, "layers": 1, "heads": 2, "positions": 4, "position_width": 4, "batch_size": 16}
    for i in (0, 1):
        asked = {**quick, "epochs": 1 + i}
        classify_nodes(graph, list(names), settings=asked, sampling=Sampling(steps=8), out=home / f"{i}")
    from unseen.jobs.nodes.job import NodesRun

    kept = []
    for i in (0, 1):
        told = json.loads((home / f"{i}" / "results.json").read_text())
        told["mark"] = i
        method = GraphCLIP.load(home / f"{i}" / "model")
        table = pd.read_csv(home / f"{i}" / "nodes.csv")
        places, said = read_summaries(home / f"{i}" / "summaries.jsonl", graph)
        shown = (home / f"{i}" / "report.html").read_bytes()
        kept.append((NodesRun(table, None, told, method), (graph, places, said), shown))

    def write(place: Path, which: int) -> None:
        run, taught, shown = kept[which]
        _write(place, run, taught, None, shown)

    def read(place: Path) -> dict[str, Any]:
        GraphCLIP.load(place / "model")
        read_summaries(place / "summaries.jsonl", graph)
        assert page(place / "report.html") > 0
        assert len(pd.read_csv(place / "nodes.csv")) == 24
        json.loads((place / "reading.json").read_text())
        return {"all": json.loads((place / "results.json").read_text())["mark"]}

    return "run", write, read


def rank(home: Path) -> Room:
    from unseen.data.domain import Domain
    from unseen.data.rankings import write_run
    from unseen.jobs.retrieval.job import Parts, Searcher
    from unseen.jobs.retrieval.job import rank as rank_
    from unseen.jobs.retrieval.page import write_page
    from unseen.nn.small_rankers import HashedWords, LastWords, hashed_ranker

    found = []
    for i in (0, 1):
        texts = np.array([f"the {animal} of house {k}" for k in range(12 + i) for animal in ("cat", "dog")])
        corpus = Domain(x=texts, kind="text", ids=np.array([f"d{k}" for k in range(len(texts))]), name="c")
        asked = Domain(x=np.array(["cat 1", "dog 2"]), kind="text", name="q")
        parts = Parts(encoder=HashedWords(), writer=LastWords(), ranker=hashed_ranker())
        found.append((rank_(corpus, asked, systems=("bm25", "minilm"), parts=parts, k=5 + i), asked, corpus))

    def write(place: Path, which: int) -> None:
        result, asked, corpus = found[which]
        place.mkdir(exist_ok=True)
        write_page(result, place / "page.html", f"unseen rank {which}")
        write_run(place / "run.csv", result.rankings["minilm"], asked, corpus)
        result.searchers["minilm"].save(place / "model")

    def read(place: Path) -> dict[str, Any]:
        return {
            "model": len(Searcher.load(place / "model").names),
            "page": page(place / "page.html"),
            "run": pd.read_csv(place / "run.csv").to_csv(),
        }

    return "ranking", write, read


def segment(home: Path) -> Room:
    from PIL import Image

    from unseen.jobs.segmentation.job import Training
    from unseen.jobs.segmentation.job import segment as segment_
    from unseen.jobs.segmentation.job import write as write_segmented
    from unseen.jobs.segmentation.model import SegmentModel

    for part in ("source", "target"):
        for i, file in enumerate(pictures(home / part / "images", 8, 32)):
            mask = np.zeros((32, 32), dtype=np.uint8)
            mask[:, 4 + i :] = 1
            (home / part / "masks").mkdir(exist_ok=True)
            Image.fromarray(mask).save(home / part / "masks" / file.name)
        (home / part / "classes.txt").write_text("ground\nbar\n")
    found = [
        segment_(home / "source", home / "target", training=Training(steps=2 + i, batch_size=4), steps=1, size=32)
        for i in (0, 1)
    ]
    found[1].settings["asked"] = found[0].settings["asked"]  # a folder of what was asked otherwise is refused

    def write(place: Path, which: int) -> None:
        write_segmented(found[which], place, f"unseen segment {which}")

    def read(place: Path) -> dict[str, Any]:
        SegmentModel.load(place)
        masks = sorted((place / "masks").rglob("*.png"))
        assert len(masks) == 8
        for file in masks:
            with Image.open(file) as mask:
                mask.load()
        json.loads((place / "segmentation.json").read_text())
        return {"all": page(place / "report.html")}

    return "segmented", write, read


def shrink(home: Path) -> Room:
    from unseen import encoders
    from unseen.encoders.towers import save_towers
    from unseen.jobs.shrinking import job
    from unseen.jobs.shrinking.job import ABOUT, PAGE
    from unseen.methods.tower_shrinkers import towers_of_a_moment

    reading = {"size": [16, 16], "crop": 1.0, "mode": "squash", "mean": [0.5] * 3, "std": [0.25] * 3}
    save_towers(home / "large", towers_of_a_moment(16), reading)
    files = pictures(home, 30)
    names = [file.name for file in files if file.suffix == ".png"]
    rows = [f"{name},a {('red', 'blue', 'green')[i % 3]} thing {i // 3}" for i, name in enumerate(names)]
    (home / "pairs.csv").write_text("\n".join(["image,caption", *rows]))

    kept: list[tuple[Any, ...]] = []
    save = job._save
    job._save = lambda *given: kept.append(given)  # type: ignore[assignment]
    for size in (0.5, 0.6):
        quick = {"steps": 2, "prune_steps": 2, "sparsity_warm_up": 1, "warm_up": 1, "batch_size": 16}
        job.shrink(
            f"towers:{home / 'large'}", home / "pairs.csv", out=home / "x", size=size, settings=quick, onnx=False
        )
    job._save = save

    def write(place: Path, which: int) -> None:
        save(place, *kept[which][1:])

    def read(place: Path) -> dict[str, Any]:
        encoders.get(f"towers:{place}", precision="fp32")
        assert page(place / PAGE) > 0
        return {"all": json.loads((place / ABOUT).read_text())["asked"]}

    return "small", write, read

"""Take the pictures of pages that stand in the documentation, from real runs on data that packages ship.

    python docs/pictures.py                       all of docs/images that are made here
    python docs/pictures.py few-shot retrieval    some of them

Each scene is a few commands and the page that they write, or a server and its front page. Commands run in one folder
(`--keep FOLDER`; a new one if absent) with emoji in two styles, a series of weather, definitions of nouns, a graph of
packages and one of locales; a folder that is kept is used again.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

OUT = Path(__file__).parent / "images"
WIDTH, HEIGHT, COLOURS = 1000, 760, 96


@dataclasses.dataclass(frozen=True)
class Scene:
    """Commands, then a page or a picture that they write, or the address that a server prints."""

    commands: tuple[str, ...]
    page: str = ""
    server: str = ""


SCENES = {
    "few-shot": Scene(
        ("unseen episodes sketches --methods prototypes,linear-probe --out episodes",), "episodes/report.html"
    ),
    "forecasting": Scene(("unseen forecast weather.csv --horizon 90 --out forecast",), "forecast/forecast.png"),
    "retrieval": Scene(
        ("unseen rank nouns.csv queries.txt --with bm25,minilm,fusion --out ranking.html",), "ranking.html"
    ),
    "curate": Scene(("unseen curate photos --out pairs",), "pairs/report.html"),
    "serve": Scene(("unseen compare --source photos --target sketches --out run",), server="unseen serve run --port 0"),
    "zero-shot": Scene(("unseen compare --target things --classes things.csv --out named",), "named/report.html"),
    "concepts": Scene(("unseen concepts nouns.csv --concepts kinds.txt --out concepts",), "concepts/report.html"),
    "prune": Scene(("unseen prune photos --encoder efficientnet-lite0 --keep 0.3 --out pruned",), "pruned/report.html"),
    "shift": Scene(("unseen shift photos sketches --out shift.html",), "shift.html"),
    "nodes": Scene(
        ("unseen nodes packages.csv --edges links.csv --classes topics.csv --starts 500 --out packages",),
        "packages/report.html",
    ),
    "mapping": Scene(
        ("unseen map findings.txt --taxonomy icd10cm:9 --out mapped.csv --page mapped.html",), "mapped.html"
    ),
    "completion": Scene(
        (
            "unseen complete locales.tsv --ontology schema.tsv --queries asked.tsv --methods nearest-relation "
            "--out completed.csv --page completed.html",
        ),
        "completed.html",
    ),
    "web": Scene(("unseen compare --source photos --target sketches --out runs/first",), server="unseen web --port 0"),
}

MAKE = """
import shutil, sys
from pathlib import Path
import pandas as pd
from unseen.compare.demo import demo_data
from unseen.data.sources.series import packaged_series
from unseen.claims.completions import graph_of
from unseen.claims.schemas import schema_of
from unseen.data.sources.graphs import graph
from unseen.data.sources.packages import package_graph
from unseen.data.taxonomies import wordnet
folder = Path(sys.argv[1])
for name, domain in zip(("photos", "sketches"), demo_data("emoji", None, None, print, each=20)):
    for i, label in enumerate(domain.labels.tolist()):
        file = folder / name / domain.classes.names[label] / f"{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        domain.x[i].convert("RGB").save(file)
        if name == "photos":
            file.with_suffix(".txt").write_text(str(domain.columns["name"][i]))
weather = packaged_series("weather/seattle-days")
frame = pd.DataFrame(weather.x[0], columns=weather.columns["channels"][0])
frame.insert(0, "date", pd.date_range(str(weather.columns["start"][0]), periods=len(frame)))
frame[["date", "temp_max", "wind"]].to_csv(folder / "weather.csv", index=False)
tree = wordnet()
mammals = [int(i) for i in tree.subtree(tree.classes.names.index("mammal.n.01"))]
table = {"id": [tree.classes.names[i] for i in mammals], "text": [tree.definitions[i] for i in mammals]}
pd.DataFrame(table).to_csv(folder / "nouns.csv", index=False)
queries = ("large cat of Asia with stripes", "small animal that stores nuts for winter", "whale with a long tusk")
kinds = ("rodent", "bat", "whale", "monkey", "dog", "bear", "horse", "sheep", "cat", "seal")
(folder / "kinds.txt").write_text("\\n".join(kinds))
things = {"animal-mammal": "mammal", "animal-bird": "bird", "food-fruit": "fruit", "drink": "drink",
          "clothing": "clothes", "place-building": "building", "transport-ground": "vehicle", "tool": "tool"}
(folder / "things.csv").write_text("name\\n" + "\\n".join(things.values()))
for kind, name in things.items():
    shutil.copytree(folder / "photos" / kind, folder / "things" / name, ignore=shutil.ignore_patterns("*.txt"))
topics = {"games": "games and puzzles to play", "sound": "music, audio and sound processing",
          "mail": "email, mail servers and mailing lists"}
pd.DataFrame(topics.items(), columns=["name", "description"]).to_csv(folder / "topics.csv", index=False)
packages = package_graph(list(topics))
packages = packages.take(packages.labels >= 0)
labels = [packages.classes.names[i] for i in packages.labels]
table = {"id": packages.names, "text": packages.texts, "label": labels}
pd.DataFrame(table).to_csv(folder / "packages.csv", index=False)
pd.DataFrame(packages.names[packages.edges], columns=["source", "target"]).to_csv(folder / "links.csv", index=False)
findings = ("hole in the heart", "leaky mitral valve", "enlarged heart muscle", "irregular heartbeat", "blue lips",
            "high blood pressure in the lungs", "narrow aorta", "fainting during sport", "varicose veins")
(folder / "findings.txt").write_text("\\n".join(findings))
new = {"de_facto_official_language": "CH LU MO", "former_currency": "FR HR SD PS"}
locales = graph_of("cldr")
rows = [tuple(str(locales.entities[e]) for e in (h, t)) + (locales.relations.names[r],)
        for h, r, t in locales.triples.tolist()]
rows = [(head, relation, tail) for head, tail, relation in rows if relation not in new]
pd.DataFrame(rows, columns=["head", "relation", "tail"]).to_csv(folder / "locales.tsv", sep="\\t", index=False)
asked = [(f"territory:{code}", relation) for relation, codes in new.items() for code in codes.split()]
pd.DataFrame(asked, columns=["head", "relation"]).to_csv(folder / "asked.tsv", sep="\\t", index=False)
schema = schema_of(graph(rows, "cldr"))
triples = [(schema.concepts[a], schema.properties[p], schema.concepts[b]) for a, p, b in schema.triples.tolist()]
triples += [(name, "label", text) for name, text in zip(schema.concepts, schema.texts)]
pd.DataFrame(triples, columns=["head", "relation", "tail"]).to_csv(folder / "schema.tsv", sep="\\t", index=False)
(folder / "queries.txt").write_text("\\n".join(queries))
"""


def main() -> int:
    """Run the scenes and take their pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", nargs="*", choices=[[], *SCENES], default=[])
    parser.add_argument("--keep", type=Path, default=None)
    asked = parser.parse_args()
    folder = (asked.keep or Path(tempfile.mkdtemp())).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "queries.txt").exists():
        subprocess.run([sys.executable, "-c", MAKE, str(folder)], check=True)
    for name in asked.scenes or SCENES:
        scene = SCENES[name]
        for command in scene.commands:
            if not (folder / "done" / _key(command)).exists():
                _run(command, folder)
                (folder / "done").mkdir(exist_ok=True)
                (folder / "done" / _key(command)).touch()
        _take(name, scene, folder)
        print(f"{OUT / name}.png", flush=True)
    return 0


def _key(command: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in command)[:200]


def _environment() -> dict[str, str]:
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def _run(command: str, folder: Path) -> None:
    subprocess.run(["bash", "-c", command], cwd=folder, env=_environment(), check=True)


def _take(name: str, scene: Scene, folder: Path) -> None:
    if scene.page.endswith(".png"):
        _save(name, Image.open(folder / scene.page))
    elif not scene.server:
        _shoot(name, (folder / scene.page).as_uri())
    else:
        _shoot_server(name, scene, folder)


def _shoot_server(name: str, scene: Scene, folder: Path) -> None:
    process = subprocess.Popen(
        scene.server.split(), cwd=folder, env=_environment(), text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if "listening on " in line:
                _shoot(name, line.split("listening on ")[1].split()[0].strip(",;"))
                return
        raise RuntimeError(f"{scene.server} ended before it listened")
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(20)


def _shoot(name: str, address: str) -> None:
    """A picture of a page, in few colours."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page: Any = browser.new_page(viewport={"width": WIDTH, "height": 800}, color_scheme="light")
        page.goto(address)
        page.wait_for_timeout(1500)
        shot = page.screenshot(full_page=True, clip={"x": 0, "y": 0, "width": WIDTH, "height": HEIGHT})
        browser.close()
    _save(name, Image.open(io.BytesIO(shot)))


def _save(name: str, picture: Image.Image) -> None:
    picture = picture.convert("RGB")
    picture.thumbnail((WIDTH, picture.height))
    picture.quantize(COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(
        OUT / f"{name}.png", optimize=True
    )


if __name__ == "__main__":
    sys.exit(main())

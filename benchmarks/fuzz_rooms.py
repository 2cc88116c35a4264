"""What the rooms read beside samples: graphs with texts, pairs, masks, documents, sounds, marked texts, videos, tables.

`corpus` and `readers` add to those of fuzz.py. A kind whose name has a folder lies among the files of that folder.
"""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

Corpus = dict[str, list[bytes]]
FOLDERS = ("m", "graph", "pairs", "masks", "voc", "coco", "beir", "corpus", "sounds", "brat", "clips")
"""Folders in which files of one kind lie together."""


def png(mode: str = "RGB", side: int = 12) -> bytes:
    rng, file = np.random.default_rng(0), io.BytesIO()
    if mode == "P":
        image = Image.fromarray((np.arange(side * side).reshape(side, side) // 50).astype(np.uint8))
        image = image.convert("P")
    else:
        image = Image.fromarray(rng.integers(0, 255, (side, side, 3), dtype=np.uint8))
    image.save(file, "PNG")
    return file.getvalue()


def csv(frame: pd.DataFrame) -> bytes:
    return frame.to_csv(index=False).encode()


def parquet(frame: pd.DataFrame) -> bytes:
    file = io.BytesIO()
    frame.to_parquet(file)
    return file.getvalue()


def jsonl(*rows: Any) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


# -- what is right -----------------------------------------------------------------------------------------


def text_graphs() -> Corpus:
    import torch

    nodes = pd.DataFrame(
        {"id": ["a", "b", "c"], "title": ["x", "y", "z"], "text": ["one", "", "3"], "label": ["u", "v", ""]}
    )
    edges = pd.DataFrame({"source": ["a", "b"], "target": ["b", "c"]})
    arrays, tensors = io.BytesIO(), io.BytesIO()
    index = np.array([[0, 1], [1, 2]])
    np.savez(arrays, x_text=np.array(["one", "two", "three"]), edge_index=index, y=np.array([0, 1, -1]))
    told = {"x_text": ["one", "two", "three"], "edge_index": torch.from_numpy(index), "y": torch.tensor([0, 1, 1])}
    torch.save(told, tensors)
    summaries = jsonl({"id": "a", "graph": {"nodes": [0, 1], "edges": [[0, 1]]}, "summary": "a says one"})
    return {
        "graph|graph/nodes.csv": [csv(nodes)],
        "graph|graph/edges.csv": [csv(edges)],
        "graph|g.npz": [arrays.getvalue()],
        "graph|g.pt": [tensors.getvalue()],
        "summaries|s.jsonl": [summaries],
    }


def pairs() -> Corpus:
    texts = pd.DataFrame({"source": ["a cat", "a dog"], "target": ["uma gata", "um cão"], "language": ["pt", "pt"]})
    pictures = pd.DataFrame({"image": ["1.png", "2.png"], "caption": ["a cat", "a dog"]})
    places = pd.DataFrame({"first": ["1.png"], "second": ["2.png"]})
    line = {"key": "0" * 32, "from": "en", "to": "pt", "by": "me", "text": "a cat", "is": "uma gata"}
    bank = pd.DataFrame(
        {"name": ["cat", "cat", "dog"], "sentence": ["A cat purrs.", "Small", "Barks"], "source": ["v", "", "l"]}
    )
    return {
        "pairs|p.csv": [csv(texts)],
        "pairs|p.jsonl": [jsonl(*texts.to_dict("records"))],
        "pairs|p.parquet": [parquet(texts)],
        "captioned|pairs/p.csv": [csv(pictures)],
        "captioned|pairs/1.png": [png()],
        "captioned|pairs/2.png": [png(side=9)],
        "matches|pairs/m.csv": [csv(places)],
        "matches|pairs/1.png": [png()],
        "matches|pairs/2.png": [png(side=9)],
        "translations|translations.jsonl": [jsonl(line, {**line, "key": "1" * 32})],
        "sentences|d.csv": [csv(bank)],
        "sentences|d.jsonl": [jsonl(*bank.to_dict("records"))],
        "sentences|d.parquet": [parquet(bank)],
        "sentences|d.json": [json.dumps({"cat": ["A cat purrs."], "dog": {"visual": ["Barks"]}}).encode()],
        "captions|c.txt": [b"a dog barks\nrain falls\n"],
        "captions|c.csv": [b"clip,caption\nx,a dog barks\ny,rain falls\n"],
        "labels|l.txt": [b"dog\nrain\n"],
    }


def masks() -> Corpus:
    shapes = [[1.5, 1.5, 9, 1.5, 9, 9, 1.5, 9]]
    runs = {"size": [12, 12], "counts": [10, 5, 129]}
    packed = {"size": [12, 12], "counts": "05h3"}
    coco = {
        "images": [{"id": i, "file_name": f"{i}.png", "height": 12, "width": 12} for i in (1, 2)],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 7, "area": 50, "segmentation": shapes},
            {"id": 2, "image_id": 2, "category_id": 8, "area": 5, "segmentation": runs},
        ],
        "categories": [{"id": 7, "name": "cat"}, {"id": 8, "name": "dog"}],
    }
    second = {**coco, "annotations": [{**coco["annotations"][1], "segmentation": packed}]}  # type: ignore[dict-item]
    return {
        "masks|masks/images/1.png": [png()],
        "masks|masks/masks/1.png": [png("P")],
        "masks|masks/classes.csv": [b"name,r,g,b\nback,0,0,0\ncat,0,0,1\ndog,0,0,2\n"],
        "masks|coco/c.json": [json.dumps(coco).encode(), json.dumps(second).encode()],
        "masks|coco/1.png": [png()],
        "masks|coco/2.png": [png()],
        "masks|voc/JPEGImages/1.png": [png()],
        "masks|voc/SegmentationClass/1.png": [png("P")],
        "masks|voc/labelmap.txt": [b"# label:color_rgb:parts:actions\nback:0,0,0::\ncat:0,0,1::\ndog:0,0,2::\n"],
    }


def documents() -> Corpus:
    rows = [{"_id": "1", "title": "Cats", "text": "They purr."}, {"_id": "2", "title": "", "text": "Dogs bark."}]
    return {
        "corpus|c.csv": [csv(pd.DataFrame(rows))],
        "corpus|beir/corpus.jsonl": [jsonl(*rows)],
        "corpus|corpus/a.txt": [b"They purr."],
        "queries|q.txt": [b"who purrs\nwho barks\n"],
        "queries|q.csv": [b"id,query\n1,who purrs\n"],
        "queries|beir/queries.jsonl": [jsonl({"_id": "1", "text": "who purrs"})],
        "judgements|j.tsv": [b"query-id\tcorpus-id\tscore\n1\t1\t1\n", b"1 0 2 1\n1 0 1 0\n"],
    }


def sounds() -> Corpus:
    from unseen.data.sounds import wav_bytes

    wave = np.sin(np.arange(4000) / 5).astype(np.float32)
    made: Corpus = {
        "sound|s.wav": [wav_bytes(wave, 8000)],
        "heard|sounds/t.csv": [b"file,caption\ns.wav,a tone\n"],
        "heard|sounds/s.wav": [wav_bytes(wave, 8000)],
    }
    try:
        import soundfile
    except (ImportError, OSError):
        return made
    for format, subtype in (
        ("FLAC", "PCM_16"),
        ("OGG", "VORBIS"),
        ("MP3", None),
        ("AIFF", None),
        ("AU", None),
        ("CAF", None),
    ):
        file = io.BytesIO()
        soundfile.write(file, wave, 8000, format=format, subtype=subtype)
        made[f"sound|s.{format.lower()}"] = [file.getvalue()]
    return made


def marked() -> Corpus:
    line: dict[str, Any] = {"text": "Ann met Bob.", "spans": [{"start": 0, "end": 3, "label": "PER"}, [8, 11, "PER"]]}
    made: Corpus = {
        "marked|s.conll": [b"Ann B-PER\nmet O\nBob B-PER\n\nIt O\nrains O\n"],
        "marked|s.tsv": [b"Ann\tNN\tB-PER\nmet\tV\tO\n"],
        "marked|s.jsonl": [jsonl(line, {"text": "It rains.", "spans": []})],
        "marked|s.txt": [b"Ann met Bob. It rains.\n"],
        "marked|brat/a.txt": [b"Ann met Bob.\n"],
        "marked|brat/a.ann": [b"T1\tPER 0 3\tAnn\nT2\tPER 8 11\tBob\n", b"T1\tPER 0 3;8 11\tAnn Bob\n#1\tNote T1\tx\n"],
    }
    try:
        import spacy
        from spacy.tokens import DocBin
    except ImportError:
        return made
    document = spacy.blank("en")("Ann met Bob.")
    document.ents = [document.char_span(0, 3, label="PER")]
    made["marked|s.spacy"] = [DocBin(docs=[document]).to_bytes()]
    return made


def videos() -> Corpus:
    try:
        import av
    except ImportError:
        return {}
    made: Corpus = {}
    for suffix, codec in (("mp4", "mpeg4"), ("mkv", "mpeg4"), ("avi", "mpeg4"), ("webm", "libvpx")):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / f"v.{suffix}"
            with av.open(str(file), "w") as out:
                track = out.add_stream(codec, rate=10)
                track.width, track.height, track.pix_fmt = 32, 32, "yuv420p"
                for i in range(12):
                    shade = np.full((32, 32, 3), 20 * i, np.uint8)
                    for packet in track.encode(av.VideoFrame.from_ndarray(shade)):
                        out.mux(packet)
                for packet in track.encode():
                    out.mux(packet)
            content = file.read_bytes()
        made |= {f"clip|v.{suffix}": [content], f"video|v.{suffix}": [content]}
    table = b"path,label,start,end\nv.mp4,a,0,0.5\nv.mp4,b,0.5,\n"
    frames = {f"clip|clips/run/{i}.png": [png()] for i in range(3)}
    return made | {"clips|clips/t.csv": [table], "clips|clips/v.mp4": made["clip|v.mp4"]} | frames


def others() -> Corpus:
    return {
        "ratings|r.csv": [b"word,concreteness\ncat,4.9\nidea,1.2\n"],
        "phrases|p.txt": [b"heart attack\nflu\n"],
        "phrases|p.csv": [b"phrase\nheart attack\n"],
        "nodes|n.csv": [b"phrase,node\na cat,cat\n"],
        "triples|t.tsv": [b"cat\tis\tanimal\ndog\tis\tanimal\n"],
        "asked|q.tsv": [b"cat\tis\ndog\thas\n"],
        "tags|t.csv": [b"sample,concept,probability\n0,cat,0.5\n1,dog,1\n"],
        "links|l.csv": [b"url,caption\nhttp://e.example/a.png,a cat\n"],
    }


def corpus() -> Corpus:
    """Every kind, and what is right of it."""
    return text_graphs() | pairs() | masks() | documents() | sounds() | marked() | videos() | others()


# -- readers -----------------------------------------------------------------------------------------------


def whole(domain: Any) -> None:
    """A few samples, decoded."""
    for i in range(min(len(domain), 3)):
        domain.x[i]


def readers() -> dict[str, Callable[[Path], object]]:
    """What reads each kind."""
    from unseen.curation.sources import open_source, read_unit
    from unseen.data import rankings
    from unseen.data.clips import sliding
    from unseen.data.descriptions import DescriptionBank
    from unseen.data.domain import Domain
    from unseen.data.frames import frames_of
    from unseen.data.graph_summaries import read_summaries
    from unseen.data.loaders import load
    from unseen.data.loaders.marked import read_marked
    from unseen.data.loaders.masks import load_masks
    from unseen.data.loaders.text_graph import read_graph
    from unseen.data.pairs import read_captioned
    from unseen.data.sounds import read_sound, read_sounds
    from unseen.data.text_graphs import TextAttributedGraph
    from unseen.data.translations import kept_in
    from unseen.jobs.alignment.reading import language_of
    from unseen.jobs.alignment.reading import read as read_sides
    from unseen.jobs.captioning import job as captioning
    from unseen.jobs.completion import job as completion
    from unseen.jobs.composed_retrieval.job import read_ratings
    from unseen.jobs.concepts.captions import read_tags
    from unseen.jobs.mapping import job as mapping
    from unseen.jobs.matching.job import read as read_views

    texts = np.array(["They purr.", "Dogs bark."])
    asked = Domain(x=texts, kind="text", ids=np.array(["1", "2"]), name="asked")
    drawn = TextAttributedGraph(texts=texts, edges=np.array([[0, 1]]), names=np.array(["a", "b"]))

    def graph(file: Path) -> None:
        beside = file.with_name("edges.csv")
        read_graph(file.with_name("nodes.csv"), beside) if beside.exists() else read_graph(file)

    def pairs_of(file: Path) -> None:
        read = read_sides([file])
        language_of(read.pairs, None)

    def captioned(file: Path) -> None:
        found = read_captioned(file.with_name("p.csv"))
        whole(found.left)

    def views(file: Path) -> None:
        found = read_views(file.with_name("m.csv"))
        whole(found.left)
        whole(found.right)

    def masked(file: Path) -> None:
        top = next(parent for parent in file.parents if parent.name in FOLDERS)
        domain, findings = load_masks(top, size=64)
        findings.lines()
        whole(domain)

    def folder_or(read: Callable[[Path], object]) -> Callable[[Path], object]:
        return lambda file: read(file.parent if file.parent.name in FOLDERS else file)

    def heard(file: Path) -> None:
        paths, _, _, _ = captioning.sounds_of(file.with_name("t.csv"))
        for _ in read_sounds(paths, 16_000):  # what cannot be read is left out by its name
            pass

    def clip(file: Path) -> None:
        if file.parent.name == "run":
            whole(load(file.parents[1]))
        else:
            whole(load(file))
            whole(sliding(file, 0.5))

    def curated(file: Path) -> None:
        source = open_source(file)
        for unit in source.units:
            for _ in read_unit(source, unit, lambda line: None):
                pass

    def nodes(file: Path) -> None:
        from unseen.data import taxonomies

        with tempfile.TemporaryDirectory() as folder:
            known = Path(folder) / "known.csv"
            known.write_text("name,parent\nanimal,\ncat,animal\n")
            mapping.read_pairs(file, taxonomies.load(f"csv:{known}"))

    return {
        "graph": graph,
        "summaries": lambda file: read_summaries(file, drawn),
        "pairs": pairs_of,
        "captioned": captioned,
        "matches": views,
        "translations": kept_in,
        "sentences": DescriptionBank.read,
        "captions": captioning.corpus_of,
        "labels": captioning.labels_of,
        "masks": masked,
        "corpus": folder_or(rankings.read_corpus),
        "queries": folder_or(rankings.read_queries),
        "judgements": lambda file: rankings.read_judgements(file, asked, asked),
        "sound": lambda file: read_sound(file, 16_000),
        "heard": heard,
        "marked": folder_or(read_marked),
        "clip": clip,
        "clips": lambda file: whole(load(file.with_name("t.csv"))),
        "video": lambda file: whole(frames_of(file)),
        "ratings": read_ratings,
        "phrases": mapping.read_phrases,
        "nodes": nodes,
        "triples": completion.read_graph,
        "asked": completion.read_queries,
        "tags": lambda file: read_tags(file, ["cat", "dog"], None, 2),
        "links": curated,
    }

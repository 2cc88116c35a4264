"""Damaged files by the thousand: does every reader answer with one sentence that names the file?

    python benchmarks/fuzz.py --seconds 600 --seed 1 --keep benchmarks/fuzz_seeds

makes a small corpus of every format, changes it at random (seeded), reads it in a process of its own, and counts what
is raised: *named* is a `ValueError` or an error of the system that names the file, *unnamed* one that does not, *raw*
any other type, *hung* what takes more than 5 s of a processor (or a minute of the clock: a busy machine makes no input
hang), *died* what ends the process. What is not named is kept, as seeds of the tests. No coverage is looked at.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import hashlib
import io
import json
import os
import random
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent))
import fuzz_rooms

SECONDS, WAITING, ROOM = 5, 60, 6 * 2**30
"""Of a processor, of the clock, and bytes of address space beyond what is used when the work begins: of one input."""
PROMISED = (ValueError, OSError, ImportError)
Corpus = dict[str, list[bytes]]


class Hung(BaseException):
    """One input took too long."""


# -- the corpus: what is right, small, and of every format ------------------------------------------------


def pictures() -> Corpus:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (24, 20, 3), dtype=np.uint8))
    out: Corpus = {}
    for ending, format in (
        *(("png", "PNG"), ("jpg", "JPEG"), ("gif", "GIF"), ("bmp", "BMP"), ("webp", "WEBP"), ("tif", "TIFF")),
        *(("ppm", "PPM"), ("tga", "TGA"), ("ico", "ICO"), ("jp2", "JPEG2000")),
    ):
        file = io.BytesIO()
        image.save(file, format)
        out[f"{ending}|picture.{ending}"] = [file.getvalue()]
    file = io.BytesIO()
    image.convert("P").save(file, "TIFF", compression="tiff_lzw")
    out["tif|picture.tif"].append(file.getvalue())
    return out


def arrays() -> Corpus:
    x = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    y = np.arange(6) % 2
    kept: Corpus = {}

    def saved(write: Callable[[Any], object]) -> bytes:
        file = io.BytesIO()
        write(file)
        return file.getvalue()

    from scipy.io import savemat
    from scipy.sparse import csr_matrix

    kept["npy|x.npy"] = [saved(lambda file: np.save(file, x)), saved(lambda file: np.save(file, np.array(["a", "b"])))]
    kept["npz|x.npz"] = [
        saved(lambda file: np.savez(file, x=x, y=y, classes=np.array(["a", "b"]))),
        saved(lambda file: np.savez_compressed(file, x=x, y=y)),
    ]
    kept["mat|x.mat"] = [
        saved(lambda file: savemat(file, {"x": x, "y": y})),
        saved(lambda file: savemat(file, {"x": x, "y": y}, do_compression=True)),
        saved(lambda file: savemat(file, {"x": x, "y": y}, format="4")),
        saved(lambda file: savemat(file, {"x": csr_matrix(x), "y": np.array(["a", "b"] * 3, dtype=object)})),
    ]
    kept["embeddings|e.npz"] = kept["npz|x.npz"]
    kept["embeddings|e.npy"] = kept["npy|x.npy"][:1]
    return kept


def tables() -> Corpus:
    import pandas as pd

    frame = pd.DataFrame({"f0": [1.5, 2, 3, 4], "f1": [0, 1, 0, 1], "label": list("abab")})
    texts = pd.DataFrame({"text": ["one", "two"], "label": ["a", "b"]})
    parquet = io.BytesIO()
    frame.to_parquet(parquet)
    times = pd.DataFrame({"time": pd.date_range("2024-01-01", periods=40, freq="h"), "load": np.arange(40) % 24})
    return {
        "csv|t.csv": [frame.to_csv(index=False).encode(), texts.to_csv(index=False).encode()],
        "tsv|t.tsv": [frame.to_csv(index=False, sep="\t").encode()],
        "jsonl|t.jsonl": [frame.to_json(orient="records", lines=True).encode()],
        "parquet|t.parquet": [parquet.getvalue()],
        "series|s.csv": [times.to_csv(index=False).encode(), times.to_csv(index=False, sep=";").encode()],
        "classes|c.csv": [b"name,description,parent\ncat,a cat,animal\ndog,a dog,animal\n"],
        "classes|c.json": [json.dumps([{"name": "cat", "fur": 1}, {"name": "dog", "fur": 0}]).encode()],
        "vectors|v.txt": [b"2 3\ncat 0.1 0.2 0.3\ndog 1 2 3\n"],
        "vectors|v.txt.gz": [gzip.compress(b"cat 0.1 0.2 0.3\ndog 1 2 3\n", mtime=0)],
        "concepts|c.tsv": [b"concept\tscore\ncat\t0.5\ndog\t0.1\n"],
        "architectures|n.json": [json.dumps({"cifar10": {"(0, 1)": {"val_accuracy": 90.0}}}).encode()],
        "architectures|n.csv": [b"architecture,accuracy\n|a|,0.5\n|b|,0.7\n"],
    }


def ontologies() -> Corpus:
    head = (
        b'<?xml version="1.0"?><!DOCTYPE rdf:RDF [ <!ENTITY e "http://e/" > ]>'
        b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" '
        b'xmlns:rdfs="http://www.w3.org/2000/01/rdf-schema#" xmlns:owl="http://www.w3.org/2002/07/owl#">'
    )
    owl = head + (
        b'<owl:Class rdf:about="&e;cat"><rdfs:subClassOf rdf:resource="&e;animal"/><rdfs:label>cat</rdfs:label>'
        b"</owl:Class></rdf:RDF>"
    )
    turtle = (
        b"@prefix e: <http://e/> .\n@prefix r: <http://www.w3.org/2000/01/rdf-schema#> .\n"
        b'e:cat r:label "x" ; e:is e:b .\n'
    )
    obo = b"format-version: 1.2\n\n[Term]\nid: A:1\nname: animal\n\n[Term]\nid: A:2\nname: cat\nis_a: A:1 ! animal\n"
    return {
        "ontology|o.owl": [owl],
        "ontology|o.ttl": [turtle],
        "ontology|o.tsv": [b"cat\tis\tanimal\ncat\tlabel\ta cat\n"],
        "taxonomy|t.owl": [owl],
        "taxonomy|t.obo": [obo],
        "taxonomy|t.csv": [b"name,parent\nanimal,\ncat,animal\n"],
    }


def archives() -> Corpus:
    import tarfile

    png = pictures()["png|picture.png"][0]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/1.png", png)
        archive.writestr("b/2.png", png)
    shard = io.BytesIO()
    with tarfile.open(fileobj=shard, mode="w") as tar:
        for name, content in (("1.png", png), ("1.cls", b"0"), ("1.json", b'{"text": "x"}'), ("2.png", png)):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    page = b"<html><body><img src='a.png' alt='a cat on a mat'></body></html>"
    http = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + page
    record = (
        b"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: http://e.example/\r\n"
        b"WARC-Record-ID: <urn:uuid:0>\r\nWARC-Date: 2024-01-01T00:00:00Z\r\n"
        b"Content-Type: application/http; msgtype=response\r\nContent-Length: %d\r\n\r\n" % len(http)
    )
    warc = record + http + b"\r\n\r\n"
    return {
        "zip|p.zip": [packed.getvalue()],
        "tar|s.tar": [shard.getvalue()],
        "crawl|c.warc": [warc * 2],
        "crawl|c.warc.gz": [gzip.compress(warc, mtime=0) * 2],
        "crawl|t.jsonl": [b'{"url": "http://e.example/a.png", "caption": "a cat"}\n' * 3],
        "crawl|s.tar": [shard.getvalue()],
    }


def graphs() -> Corpus:
    from onnx import TensorProto, helper, numpy_helper

    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 8, 8])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3, 1, 1])
    weights = numpy_helper.from_array(np.ones((3, 3, 1, 1), dtype=np.float32), "w")
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"]), helper.make_node("GlobalAveragePool", ["c"], ["y"])]
    graph = helper.make_graph(nodes, "g", [x], [y], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return {"onnx|g.onnx": [model.SerializeToString()]}


def models() -> Corpus:
    """The files of one saved model; the others are put beside the one that is changed."""
    folder = Path(tempfile.mkdtemp()) / "m"
    import unseen
    from unseen.data.classes import ClassSpace
    from unseen.data.domain import Domain

    rng = np.random.default_rng(0)
    y = np.arange(40) % 2
    x = (np.eye(4)[y] * 5 + rng.normal(size=(40, 4))).astype("float32")
    domain = Domain(x=x, y=y, classes=ClassSpace(names=("ant", "bee")), name="d")
    unseen.adapt(method="linear-probe", source=domain, support=domain, out=folder)
    out = {}
    for name in ("bundle.json", "method/state.json", "method/state.safetensors"):
        out[f"bundle|m/{name}"] = [(folder / name).read_bytes()]
    shutil.rmtree(folder.parent)
    return out


def corpus(only: str = "") -> Corpus:
    """Every format, or those that begin so: `reader|name of the file`, and what is right of it."""
    everything = _everything()
    return {key: right for key, right in everything.items() if key.startswith(only)}


def _everything() -> Corpus:
    return pictures() | arrays() | tables() | ontologies() | archives() | graphs() | models() | fuzz_rooms.corpus()


# -- changes -----------------------------------------------------------------------------------------------

NUMBERS = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 0x80000000, 2**31 - 8, 10**9)
WORDS = (
    b"",
    b"\0",
    b"nan",
    b"1e999",
    b"-1",
    b"null",
    b"[" * 2000,
    b"{",
    b"<",
    b'"',
    b"\xff\xfe",
    b"99999999999999999999",
)


def mutate(content: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """A few changes at random places."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 3, 8, 30))):
        n = len(data)
        at = rng.randrange(n + 1)
        kind = rng.randrange(10)
        if kind == 0 and n:
            data[at % n] ^= 1 << rng.randrange(8)
        elif kind == 1 and n:
            data[at % n] = rng.randrange(256)
        elif kind == 2:
            del data[at:]
        elif kind == 3:
            del data[at : at + rng.choice((1, 2, 4, 8, 64))]
        elif kind == 4:
            data[at:at] = rng.randbytes(rng.choice((1, 2, 4, 16, 200)))
        elif kind == 5:
            part = data[at : at + rng.randrange(1, 65)]
            data[at:at] = part * rng.choice((1, 2, 20))
        elif kind == 6:
            form = rng.choice(("<H", ">H", "<I", ">I", "<Q", ">Q"))
            number = rng.choice(NUMBERS) & (2 ** (8 * struct.calcsize(form)) - 1)
            data[at : at + struct.calcsize(form)] = struct.pack(form, number)
        elif kind == 7:
            data[at : at + rng.choice((0, 1, 4))] = rng.choice(WORDS)
        elif kind == 8:
            other = rng.choice(others)
            begin = rng.randrange(len(other) + 1)
            data[at : at + rng.randrange(65)] = other[begin : begin + rng.randrange(1, 129)]
        else:
            digits = [i for i, byte in enumerate(data[:4000]) if 48 <= byte <= 57]
            if digits:
                place = rng.choice(digits)
                data[place : place + 1] = rng.choice((b"0", b"-1", b"9" * 12, b"1e308", b"x"))
    return bytes(data[: 2**20])


# -- readers -----------------------------------------------------------------------------------------------


def readers() -> dict[str, Callable[[Path], object]]:
    """What reads each kind of file; all of it, not its header alone."""
    import unseen
    from unseen import encoders
    from unseen.bundle import Bundle
    from unseen.curation.sources import open_source, read_unit
    from unseen.data import ontologies as graphs_
    from unseen.data import taxonomies
    from unseen.data.class_file import read_classes
    from unseen.data.domain import Domain
    from unseen.data.loaders.nas_benchmarks import read_architectures
    from unseen.data.series import read_series
    from unseen.data.words import read_vectors
    from unseen.jobs.concepts.captions import read_concepts
    from unseen.jobs.pruning.embeddings import read_embeddings

    def loaded(file: Path) -> None:
        domain = unseen.load(file)
        for i in range(min(len(domain), 4)):
            domain.x[i]

    def crawled(file: Path) -> None:
        source = open_source(file)
        for unit in source.units:
            for _ in read_unit(source, unit, lambda line: None):
                pass

    def ran(file: Path) -> None:
        encoder = encoders.get(f"onnx:{file}")
        encoder.encode(Domain(x=np.zeros((2, 9, 9, 3), dtype=np.uint8), kind="image"), cache=False)

    def opened(file: Path) -> None:
        folder = next(parent for parent in file.parents if parent.name == "m")
        bundle = Bundle.load(folder)
        assert len(bundle.classes) > 0

    named: dict[str, Callable[[Path], object]] = {
        "bundle": opened,
        "onnx": ran,
        "crawl": crawled,
        "series": read_series,
        "classes": read_classes,
        "vectors": read_vectors,
        "concepts": read_concepts,
        "embeddings": read_embeddings,
        "architectures": read_architectures,
        "ontology": graphs_.load,
        "taxonomy": lambda file: taxonomies.load(f"{file.suffix[1:]}:{file}"),
    }
    named |= fuzz_rooms.readers()
    return {kind: named.get(kind, loaded) for kind in {key.partition("|")[0] for key in corpus()}}


def _hung(*_: object) -> None:
    raise Hung


def verdict(read: Callable[[Path], object], file: Path) -> tuple[str, str]:
    """How reading a file ends, and what was raised."""
    for number in (signal.SIGALRM, signal.SIGPROF):
        signal.signal(number, _hung)
    _timed(SECONDS, WAITING)
    try:
        read(file)
    except Hung:
        return "hung", ""
    except PROMISED as error:
        _timed(0, 0)
        beside = next((parent for parent in file.parents if parent.name in fuzz_rooms.FOLDERS), None)
        names = (str(file), file.name, file.stem) if beside is None else (str(beside), file.name)
        return ("named" if any(name in str(error) for name in names) else "unnamed"), f"{type(error).__name__}: {error}"
    except Exception as error:
        _timed(0, 0)
        return "raw", f"{type(error).__name__}: {error}"
    finally:
        _timed(0, 0)
    return "read", ""


def _timed(processor: float, clock: float) -> None:
    signal.setitimer(signal.ITIMER_PROF, processor)
    signal.setitimer(signal.ITIMER_REAL, clock)


# -- the work ----------------------------------------------------------------------------------------------


def place(folder: Path, key: str, content: bytes, right: Corpus) -> Path:
    """Write an input where its reader looks for it, with what belongs beside it."""
    name = key.partition("|")[2]
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    top = key.partition("/")[0] + "/"
    for other, whole in right.items() if "/" in key else ():
        if other.startswith(top):
            beside = folder / other.partition("|")[2]
            beside.parent.mkdir(parents=True, exist_ok=True)
            beside.write_bytes(whole[0])
    file.write_bytes(content)
    if key.startswith("bundle|m/method"):
        _sign(folder / "m" / "method")
    return file


def _sign(folder: Path) -> None:
    """Make the digest of a changed state right again, where it is JSON still."""
    from unseen.nn.state import _chunks, _sha256

    with contextlib.suppress(Exception):
        state = json.loads((folder / "state.json").read_text())
        state["sha256"] = _sha256(state["value"], _chunks(folder / "state.safetensors"))
        (folder / "state.json").write_text(json.dumps(state))


def inputs(right: Corpus, seed: int) -> Iterator[tuple[int, str, bytes]]:
    """Changed files without end: a number, the kind, the content. Each depends on seed and number alone."""
    keys, number = sorted(right), 0
    while True:
        rng = random.Random(f"{seed}-{number}")
        key = keys[number % len(keys)]
        yield number, key, mutate(rng.choice(right[key]), right[key], rng)
        number += 1


def warm(read: dict[str, Callable[[Path], object]], everything: Corpus, right: Corpus, folder: Path) -> None:
    """Read what is right of every kind once: what is imported with the first file is the fault of no input."""
    for key, contents in right.items():
        with contextlib.suppress(*PROMISED):
            read[key.partition("|")[0]](place(folder, key, contents[0], everything))
        shutil.rmtree(folder, ignore_errors=True)


def work(seed: int, begin: int, seconds: float, most: int, folder: Path, only: str = "") -> None:
    """Read inputs from number `begin` on, a line of JSON for each on standard output."""
    warnings.simplefilter("ignore")
    import logging

    logging.disable(logging.CRITICAL)
    read, everything = readers(), corpus()
    right = {key: contents for key, contents in everything.items() if key.startswith(only)}
    warm(read, everything, right, folder / "scratch")
    import torch

    torch.set_num_threads(1)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, used + ROOM))

    end = time.monotonic() + seconds
    done = 0
    for number, key, content in inputs(right, seed):
        if number < begin:
            continue
        if done >= most or time.monotonic() > end:
            return
        done += 1
        sys.stdout.write(json.dumps({"begin": number, "key": key}) + "\n")
        sys.stdout.flush()
        scratch = folder / "scratch"
        file = place(scratch, key, content, everything)
        how, said = verdict(read[key.partition("|")[0]], file)
        sys.stdout.write(json.dumps({"number": number, "key": key, "how": how, "said": said[:500]}) + "\n")
        sys.stdout.flush()
        shutil.rmtree(scratch, ignore_errors=True)


def content_of(seed: int, wanted: int, right: Corpus) -> tuple[str, bytes]:
    """One input again."""
    keys = sorted(right)
    rng = random.Random(f"{seed}-{wanted}")
    key = keys[wanted % len(keys)]
    return key, mutate(rng.choice(right[key]), right[key], rng)


def run(seed: int, seconds: float, most: int, keep: Path | None, only: str = "") -> dict[str, Any]:
    """All inputs, in processes that may die; the counts, and each different failure once."""
    counts: Counter[str] = Counter()
    kinds: dict[str, Counter[str]] = {}
    failures: dict[str, dict[str, Any]] = {}
    begin, end = 0, time.monotonic() + seconds
    with tempfile.TemporaryDirectory(prefix="unseen-fuzz-") as folder:
        while time.monotonic() < end and sum(counts.values()) < most:
            left = most - sum(counts.values())
            order = [sys.executable, __file__, "--work", folder, "--seed", str(seed), "--begin", str(begin)]
            order += ["--seconds", str(end - time.monotonic()), "--most", str(left), "--only", only]
            open_: dict[str, Any] | None = None
            with subprocess.Popen(order, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
                assert process.stdout is not None
                for line in process.stdout:
                    if not line.startswith('{"'):
                        continue
                    told = json.loads(line)
                    if "begin" in told:
                        open_ = told
                        continue
                    open_ = None
                    begin = told["number"] + 1
                    _count(told, counts, kinds, failures)
            if open_ is not None:
                begin = open_["begin"] + 1
                died = {"number": open_["begin"], "key": open_["key"], "how": "died", "said": f"{process.returncode}"}
                _count(died, counts, kinds, failures)
            elif process.returncode == 0:
                break
    right = corpus(only)
    for failure in failures.values():
        key, content = content_of(seed, failure["number"], right)
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
            name = key.replace("|", "@").replace("/", "+")
            (keep / f"{hashlib.sha256(content).hexdigest()[:10]}@{name}").write_bytes(content)
    return {
        "seed": seed,
        "inputs": sum(counts.values()),
        "counts": dict(counts),
        "kinds": {key: dict(found) for key, found in sorted(kinds.items())},
        "failures": list(failures.values()),
    }


def _count(
    told: dict[str, Any], counts: Counter[str], kinds: dict[str, Counter[str]], failures: dict[str, Any]
) -> None:
    counts[told["how"]] += 1
    kinds.setdefault(told["key"], Counter())[told["how"]] += 1
    if told["how"] not in ("named", "read"):
        said = "".join(letter for letter in told["said"] if not letter.isdigit())[:60]
        failures.setdefault(f"{told['key']} {told['how']} {said}", told)


def main() -> None:
    """Read the arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--most", type=int, default=10**9)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--begin", type=int, default=0)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--only", default="", help="kinds that begin so")
    parser.add_argument("--work", type=Path)
    given = parser.parse_args()
    if given.work is not None:
        work(given.seed, given.begin, given.seconds, given.most, given.work, given.only)
        return
    told = run(given.seed, given.seconds, given.most, given.keep, given.only)
    print(json.dumps(told, indent=1))
    raise SystemExit(1 if told["failures"] else 0)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()

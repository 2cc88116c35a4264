"""What would be waited for for ever, or expanded without end, is refused in a moment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import unseen
from unseen.data import ontologies, taxonomies
from unseen.data.xml import check_entities

READERS = {
    "x.png": "unseen.load(place)",
    "x.csv": "unseen.load(place)",
    "x.jsonl": "unseen.load(place)",
    "x.parquet": "unseen.load(place)",
    "x.npy": "unseen.load(place)",
    "x.npz": "unseen.load(place)",
    "x.mat": "unseen.load(place)",
    "x.tar": "unseen.load(place)",
    "x.zip": "unseen.load(place)",
    "classes.csv": "read_classes(place)",
    "classes.json": "read_classes(place)",
    "x.owl": "ontologies.load(place)",
    "x.tsv": "ontologies.load(place)",
    "t.owl": "taxonomies.load(f'owl:{place}')",
    "t.obo": "taxonomies.load(f'obo:{place}')",
    "t.csv": "taxonomies.load(f'csv:{place}')",
    "series.csv": "read_series(place)",
    "vectors.txt": "read_vectors(place)",
    "array.npy": "read_embeddings(place)",
    "array.npz": "read_embeddings(place)",
    "concepts.txt": "read_concepts(place)",
    "captions.txt": "list(Captions(Path(place)))",
    "graph.onnx": "encoders.get(f'onnx:{place}')",
    "video.mp4": "frames_of(place)",
    "video.webm": "sliding(place, 1.0)",
    "marks/a.ann": "read_marked(os.path.dirname(place))",
    "saved/bundle.json": "Bundle.load(os.path.dirname(place))",
    "saved/state.json": "load_state(os.path.dirname(place))",
}
CODE = """
import os, signal, sys, unseen
from pathlib import Path
from unseen import encoders
from unseen.bundle import Bundle
from unseen.jobs.concepts.captions import Captions, read_concepts
from unseen.jobs.pruning.embeddings import read_embeddings
from unseen.data import ontologies, taxonomies
from unseen.data.class_file import read_classes
from unseen.data.clips import sliding
from unseen.data.frames import frames_of
from unseen.data.loaders.marked import read_marked
from unseen.data.series import read_series
from unseen.data.words import read_vectors
from unseen.nn.state import load_state

class Hung(BaseException):
    pass

def hung(*_):
    raise Hung

signal.signal(signal.SIGALRM, hung)
for line in sys.stdin.read().splitlines():
    place, code = line.split("\\t")
    signal.alarm(3)
    try:
        eval(code)
        print(place, "READ", flush=True)
    except Hung:
        print(place, "HUNG", flush=True)
    except (ValueError, FileNotFoundError) as error:
        print(place, "named" if os.path.basename(place) in str(error) else f"UNNAMED {error}", flush=True)
    except Exception as error:
        print(place, type(error).__name__, error, flush=True)
    signal.alarm(0)
"""


def test_a_pipe_is_waited_for_by_no_reader(tmp_path: Path) -> None:
    lines = []
    (tmp_path / "marks").mkdir()
    (tmp_path / "marks" / "a.txt").write_text("Ann met Bob.")
    for name, code in READERS.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        os.mkfifo(tmp_path / name)
        lines.append(f"{tmp_path / name}\t{code}")
    run = [sys.executable, "-c", CODE]
    found = subprocess.run(run, input="\n".join(lines), capture_output=True, text=True, timeout=240)
    assert found.returncode == 0, found.stderr[-2000:]
    told = dict(line.split(" ", 1) for line in found.stdout.splitlines())
    assert {place: what for place, what in told.items() if what != "named"} == {}
    assert len(told) == len(READERS)


def test_a_pipe_in_a_folder_is_left_out_and_told(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "fine.png")
    os.mkfifo(tmp_path / "x.png")
    (tmp_path / "linked.png").symlink_to(tmp_path / "x.png")
    found = unseen.load(tmp_path)
    assert list(found.ids) == ["fine.png"]
    assert {skipped.where: "pipe" in skipped.why for skipped in found.skipped} == {"x.png": True, "linked.png": True}
    (tmp_path / "table.csv").write_text("path,label\nfine.png,a\nx.png,b\n")
    found = unseen.load(tmp_path / "table.csv")
    assert [(skipped.where, "pipe" in skipped.why) for skipped in found.skipped] == [("x.png", True)]


def owl(declared: str, used: str = "x") -> str:
    return (
        f'<?xml version="1.0"?>\n<!DOCTYPE rdf:RDF [ {declared} ]>\n'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" '
        'xmlns:rdfs="http://www.w3.org/2000/01/rdf-schema#" xmlns:owl="http://www.w3.org/2002/07/owl#">\n'
        '<owl:Class rdf:about="http://e/cat"><rdfs:subClassOf rdf:resource="http://e/animal"/>'
        f"<rdfs:label>{used}</rdfs:label></owl:Class>\n</rdf:RDF>\n"
    )


LAUGHS = '<!ENTITY a0 "' + "ha" * 50 + '">' + "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 10))
HOSTILE = {
    "laughs": owl(LAUGHS, "&a9;"),
    "long": owl(f'<!ENTITY a "{"ha" * 5000}">', "&a;" * 5000),
    "outside": owl('<!ENTITY a SYSTEM "file:///etc/passwd">', "&a;"),
    "parameter": owl('<!ENTITY % a SYSTEM "http://127.0.0.1:1/x.dtd"> %a;'),
    "flat": owl(f'<!ENTITY a "{"x" * 500}">', "&a;" * 600),
    "wide": "\ufeff" + owl(f'<!ENTITY a "{"x" * 500}">', "&a;" * 600),
    "many": owl("".join(f'<!ENTITY a{i} "x">' for i in range(2000))),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("read", [ontologies.load, lambda place: taxonomies.load(f"owl:{place}")])
def test_entities_that_grow_or_read_files_are_refused(name: str, read: object, tmp_path: Path) -> None:
    pytest.importorskip("rdflib")
    (tmp_path / f"{name}.owl").write_text(HOSTILE[name], encoding="utf-16-le" if name == "wide" else "utf-8")
    with pytest.raises(ValueError, match=rf"{name}\.owl.*entity.*write it out"):
        read(tmp_path / f"{name}.owl")


@pytest.mark.parametrize("read", [ontologies.load, lambda place: taxonomies.load(f"owl:{place}")])
def test_a_line_without_end_is_refused(read: object, tmp_path: Path) -> None:
    pytest.importorskip("rdflib")
    escapes = "\\u0041" * 50_000
    (tmp_path / "x.nt").write_text(f'<http://e/a> <http://www.w3.org/2000/01/rdf-schema#label> "{escapes}" .\n')
    with pytest.raises(ValueError, match=r"x\.nt.*line 1 has more than"):
        read(tmp_path / "x.nt")


def test_entities_that_abbreviate_addresses_are_read(tmp_path: Path) -> None:
    """As Protégé writes them."""
    pytest.importorskip("rdflib")
    many = '<owl:Class rdf:about="&e;a"/>' * 700
    text = owl(f'<!ENTITY e "http://e/0123456789{"x" * 400}" ><!ENTITY amp2 "&#38;#38;">', "of &e;")
    (tmp_path / "fine.owl").write_text(text.replace("</rdf:RDF>", f"{many}</rdf:RDF>"))
    found = taxonomies.load(f"owl:{tmp_path / 'fine.owl'}")
    assert any("of http://e/0123456789" in text for text in found.classes.descriptions)


def test_no_xml_and_no_packed_file_is_read_as_obo(tmp_path: Path) -> None:
    pytest.importorskip("pronto")
    (tmp_path / "laughs.obo").write_text(HOSTILE["laughs"])
    (tmp_path / "wide.obo").write_bytes(HOSTILE["laughs"].encode("utf-16"))
    (tmp_path / "packed.obo").write_bytes(b"\x1f\x8b" + bytes(20))
    for name, why in (("laughs", "XML"), ("wide", "XML"), ("packed", "unpack")):
        with pytest.raises(ValueError, match=f"{name}.*{why}"):
            taxonomies.load(f"obo:{tmp_path / name}.obo")


def test_what_is_no_xml_is_told_by_its_reader(tmp_path: Path) -> None:
    (tmp_path / "x.owl").write_text("no xml")
    check_entities(tmp_path / "x.owl")

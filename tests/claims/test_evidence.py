"""Records of claims: written once, compared, found stale when the files of a system change."""

import importlib.util
import json
import subprocess
import sys

import pytest

from unseen import claims, methods
from unseen.claims import evidence
from unseen.claims.base import Assertion, Claim, Experiment, at_least


def claim(value=1.0, promised=True, text="it works"):
    def run(case, seed):
        return {"a": {"accuracy": value}}

    return Claim(
        slug="loki",
        experiments={"e": Experiment(run=run, development=("x",), confirmation=("y",), seeds=(0, 1))},
        ledger=(
            Assertion(text=text, level="effect", experiment="e", promised=promised,
                      holds=at_least("a", metric="accuracy", value=0.5)),
            Assertion(text="elsewhere", level="paper scale", reason="needs ImageNet"),
        ),
    )  # fmt: skip


@pytest.fixture
def use(monkeypatch):
    def set_(value):
        monkeypatch.setattr(claims, "get", lambda slug: value)
        monkeypatch.setattr(evidence, "file_hash", lambda slug: "0" * 64)

    return set_


def test_what_is_promised_and_does_not_hold_is_not_good(use, tmp_path):
    use(claim(0.2))
    assert not evidence.reproduce("loki", folder=tmp_path)["good"]
    use(claim(0.2, promised=False))
    assert evidence.reproduce("loki", folder=tmp_path)["good"]


def test_a_second_confirmation_stands_beside_the_first(use, tmp_path):
    use(claim())
    evidence.reproduce("loki", confirm=True, folder=tmp_path)
    evidence.reproduce("loki", confirm=True, folder=tmp_path)
    assert [file.name for file in evidence.evidence_files(tmp_path, "loki")] == ["loki.json", "loki.2.json"]
    record = json.loads((tmp_path / "loki.json").read_text())
    assert record["split"] == "confirmation"
    assert [row["verdict"] for row in record["ledger"]] == ["held", "not run"]
    assert record["cases"] == {"e": ["y"]}
    assert record["licences"] == []


def test_check_compares_verdicts_with_the_newest_record(use, tmp_path):
    use(claim())
    with pytest.raises(ValueError, match="no evidence for loki"):
        evidence.reproduce("loki", check=True, folder=tmp_path)
    evidence.reproduce("loki", confirm=True, folder=tmp_path)
    assert evidence.reproduce("loki", check=True, folder=tmp_path)["good"]
    use(claim(0.2))
    changed = evidence.reproduce("loki", check=True, folder=tmp_path)
    assert not changed["good"]
    assert changed["changed"] == ["it works"]


def test_development_writes_nothing(use, tmp_path):
    use(claim())
    assert evidence.reproduce("loki", quick=True, folder=tmp_path)["seeds"] == [0]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("flags", [{"check": True, "confirm": True}, {"quick": True, "confirm": True}])
def test_flags_that_exclude_each_other(flags, tmp_path):
    with pytest.raises(ValueError, match="exclude each other"):
        evidence.reproduce("loki", folder=tmp_path, **flags)


def test_evidence_of_other_files_is_stale(tmp_path, monkeypatch):
    (tmp_path / "loki.json").write_text(json.dumps({"files": evidence.file_hash("loki")}))
    assert evidence.stale(tmp_path) == []
    (tmp_path / "loki.2.json").write_text(json.dumps({"files": "other"}))
    assert evidence.stale(tmp_path) == ["loki"]


def test_the_hash_covers_method_claim_and_parts():
    slugs = ("loki", "glc", "lisgan", "zeroq")
    assert len({evidence.file_hash(slug) for slug in slugs}) == len(slugs)


def test_assertions_that_say_the_same_keep_their_own_verdicts(use, tmp_path):
    def two(values):
        asked = [at_least(arm, metric="accuracy", value=0.5) for arm in values]
        return Claim(
            slug="loki",
            experiments={
                "e": Experiment(
                    run=lambda case, seed: {arm: {"accuracy": value} for arm, value in values.items()},
                    development=("x",), confirmation=("y",), seeds=(0, 1),
                )
            },
            ledger=tuple(Assertion(text="the same", level="effect", experiment="e", holds=one) for one in asked),
        )  # fmt: skip

    use(two({"a": 0.2, "b": 1.0}))
    evidence.reproduce("loki", confirm=True, folder=tmp_path)
    record = json.loads((tmp_path / "loki.json").read_text())
    lines = evidence.lines_of(["the same", "another", "the same"], record)
    assert [line and line["verdict"] for line in lines] == ["not held", None, "held"]
    use(two({"a": 1.0, "b": 1.0}))
    assert evidence.reproduce("loki", check=True, folder=tmp_path)["changed"] == ["the same"]


def test_the_parts_of_laion_are_files_and_hold_what_its_claim_runs_through():
    """Of a package the hash takes `__init__` alone, so one would stand for nothing."""
    parts = {*methods.card("laion").parts, *claims.get("laion").parts}
    assert not [part for part in parts if importlib.util.find_spec(part).submodule_search_locations]
    run = {name for name in _imported("unseen.claims.laion") if name.startswith("unseen.curation.")}
    assert run
    assert run <= parts


def _imported(module: str) -> list[str]:
    """What a fresh process has imported once a module, and all that it asks for, is there."""
    code = f"import sys, {module}; print(*sys.modules)"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

"""A saved model, or a network, in the place of labelled data."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import processes
import unseen
from unseen.bundle import Bundle
from unseen.compare.consensus import forget_consensus_of_others
from unseen.compare.inputs import prepare
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.loaders import load
from unseen.encoders import backends
from unseen.methods.baselines.shot import SHOT
from unseen.nn.classifier import as_adaptable, linear
from unseen.nn.state import digest, load_state, save_state
from unseen.report import summary
from unseen.scale import Engine
from unseen.verification import seal

NAMES = ("c", "a", "b")
"""Not in the order of the alphabet, as a model may have them."""


@pytest.fixture(autouse=True)
def own_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNSEEN_DATA", str(tmp_path / "data"))


def domain(names: tuple[str, ...] = NAMES, n: int = 90, shift: float = 0.0, seed: int = 0, name: str = "d") -> Domain:
    rng = np.random.default_rng(seed)
    centres = {c: np.random.default_rng(ord(c)).normal(size=8) * 3 for c in "abcd"}
    y = np.arange(n) % len(names)
    x = np.stack([centres[names[i]] for i in y]) + rng.normal(size=(n, 8)) + shift
    return Domain(x=x.astype("float32"), y=y, classes=ClassSpace(names=tuple(names)), name=name)


@pytest.fixture
def saved(tmp_path: Path) -> Bundle:
    unseen.adapt(method="source-only", source=domain(), out=tmp_path / "saved")  # type: ignore[attr-defined]
    return Bundle.load(tmp_path / "saved")


def compared(saved: Any, tmp_path: Path, **given: Any) -> Any:
    asked = dict(model=saved, target=domain(shift=1.5, seed=1), methods="source-only,shot", seeds=1)
    return unseen.compare(**{**asked, "out": tmp_path / "run", **given})  # type: ignore[attr-defined]


def test_a_saved_model_is_adapted_without_a_label_and_what_comes_out_is_saved(saved: Bundle, tmp_path: Path) -> None:
    found = compared(saved, tmp_path)
    assert found.results["classes"] == list(NAMES)
    assert {row["name"] for row in found.results["candidates"]} == {"source-only", "shot"}
    target = domain(shift=1.5, seed=1)
    right = np.array(NAMES)[target.labels]
    assert (Bundle.load(tmp_path / "run/model").predict(target)["class"] == right).mean() > 0.9
    alone = next(row for row in found.results["candidates"] if row["name"] == "source-only")
    assert alone["metrics"]["adapted"]["accuracy"]["mean"] == pytest.approx(
        (saved.predict(target.take(_adapted(tmp_path, target)))["class"] == right[_adapted(tmp_path, target)]).mean()
    )
    assert "without adaptation" in " ".join(summary(found.results)) or found.results["chosen"]["name"] == "source-only"


def _adapted(tmp_path: Path, target: Domain) -> np.ndarray:
    import pandas as pd

    table = pd.read_parquet(tmp_path / "run/predictions.parquet")
    assert target.ids is not None
    return np.flatnonzero(np.isin(target.ids, table.id[table.part == "adapted"].astype(target.ids.dtype)))


def test_labels_of_a_support_are_those_of_the_model_whatever_their_order(saved: Bundle, tmp_path: Path) -> None:
    few = domain(("a", "b"), n=12, shift=1.5, seed=3)  # places 0 and 1 there, 1 and 2 in the model
    found = compared(saved, tmp_path, support=few, methods="linear-probe,prototypes")
    target = domain(shift=1.5, seed=1)
    told = found.bundle.predict(target)["class"].to_numpy()
    known = target.labels > 0
    assert (told[known] == np.array(NAMES)[target.labels][known]).mean() > 0.9
    with pytest.raises(ValueError, match="support has classes that the model does not know: 'd'"):
        compared(saved, tmp_path / "other", support=domain(("a", "d"), n=8))


def test_classes_that_the_model_lacks_are_graded_as_unknown(saved: Bundle, tmp_path: Path) -> None:
    target = domain(("a", "b", "d"), shift=1.5, seed=1)
    found = compared(saved, tmp_path, target=target, methods="source-only,glc", protocol="open-partial")
    assert sum(exam["samples"] for exam in found.results["exam"].values()) == 90
    row = next(row for row in found.results["candidates"] if row["name"] == "glc")
    assert np.isfinite(row["metrics"]["adapted"]["h_score"]["mean"])


def test_doing_nothing_is_the_model_where_there_is_one_beside_a_source(saved: Bundle, tmp_path: Path) -> None:
    other = domain(seed=5)
    found = compared(saved, tmp_path, source=other.replace(x=-other.x), methods="source-only")
    x = torch.as_tensor(domain(seed=1).x)
    assert torch.equal(found.bundle.method.decision_function(x), saved.method.decision_function(x))


def test_a_model_may_be_named_by_its_folder_and_descriptions_stay(saved: Bundle, tmp_path: Path) -> None:
    told = ClassSpace(names=tuple(sorted(NAMES)), descriptions=("first", "second", "third"))
    inputs = prepare(model=tmp_path / "saved", target=domain(seed=1), classes=told)
    assert inputs.classes.names == NAMES
    assert inputs.classes.descriptions == ("third", "first", "second")
    with pytest.raises(ValueError, match="classes must name each of the model's 3 outputs; got 2 names"):
        prepare(model=saved.method.network(), target=domain(seed=1), classes="a,b")


def test_a_consensus_of_other_members_is_made_again(tmp_path: Path) -> None:
    for heard in ({("a", "default"): 1}, {("a", "default"): 2}, {("a", "default"): 1, ("b", "default"): 1}):
        forget_consensus_of_others(tmp_path, heard)
        there = (tmp_path / "consensus-default-seed0").exists()
        assert there == (heard == {("a", "default"): 2})
        (tmp_path / "consensus-default-seed0").mkdir(exist_ok=True)


def test_what_cannot_stand_beside_a_saved_model_is_told(saved: Bundle, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="encoder must be left out beside a saved model, which reads features as"):
        compared(saved, tmp_path, encoder="efficientnet-lite0")
    with pytest.raises(ValueError, match="classes must be those of the model, 'c', 'a', 'b', or left out"):
        compared(saved, tmp_path, classes="x,y,z")
    with pytest.raises(ValueError, match="classes must name the model's outputs, in their order"):
        compared(saved.method.network(), tmp_path)
    bare = compared(saved.method.network(), tmp_path, classes=ClassSpace(names=NAMES))
    assert bare.results["classes"] == list(NAMES)


def test_a_linear_model_is_adapted_by_a_map_that_begins_as_the_identity(tmp_path: Path) -> None:
    torch.manual_seed(0)
    plain = linear(6, 3)
    network, x = as_adaptable(plain), torch.randn(5, 6)
    assert torch.equal(network(x), plain(x))
    assert sum(p.numel() for p in network.bottleneck.parameters()) == 6 * 6 + 6
    target = Domain(x=np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32))
    method = SHOT(epochs=1).fit(model=plain, target=target)
    save_state(tmp_path / "m", {"network": method.network_})
    again = load_state(tmp_path / "m")["network"]
    assert torch.equal(again.eval()(x), method.network_.eval()(x))
    assert not torch.equal(method.network_.eval()(x), plain(x))


def fails(*_: Any, **__: Any) -> Any:
    raise ValueError("the model cannot be had")


def few() -> dict[str, Any]:
    """A source and a target for one seed, in this process."""
    return {
        "source": domain(), "target": domain(shift=1.5, seed=1), "seeds": 1, "engine": Engine(workers=1),
    }  # fmt: skip


def test_a_candidate_that_cannot_be_fitted_is_left_out_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unseen.methods.baselines.prototypes.cosine_head", fails)
    given = few()
    found = unseen.compare(**given, out=tmp_path / "run")  # type: ignore[attr-defined]
    assert found.results["left_out"]["prototypes"] == "could not be fitted: the model cannot be had"
    assert "prototypes" not in {row["name"] for row in found.results["candidates"]}
    with pytest.raises(ValueError, match="the model cannot be had"):
        unseen.compare(**given, methods="prototypes,source-only", out=tmp_path / "o")  # type: ignore[attr-defined]
    monkeypatch.setattr("unseen.methods.baselines.source_only.fit_logistic", fails)
    with pytest.raises(ValueError, match="the model cannot be had"):  # without doing nothing there is no comparison
        unseen.compare(**given, out=tmp_path / "n")  # type: ignore[attr-defined]


def test_of_methods_that_were_named_the_others_go_on_and_what_was_fitted_serves_another_choice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unseen.methods.baselines.prototypes.cosine_head", fails)
    given = few()
    names = ["source-only", "prototypes", "coral"]
    found = unseen.compare(**given, methods=names, out=tmp_path / "run")  # type: ignore[attr-defined]
    assert found.results["left_out"]["prototypes"] == "could not be fitted: the model cannot be had"
    assert {row["name"] for row in found.results["candidates"]} == {"source-only", "coral"}
    with pytest.raises(ValueError, match="holds another run"):  # it has ended
        unseen.compare(**given, methods=["source-only", "coral"], out=tmp_path / "run")  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="the model cannot be had"):
        unseen.compare(**given, methods=names[:2], out=tmp_path / "o")  # type: ignore[attr-defined]
    (cell,) = (tmp_path / "o" / "cells").glob("source-only*")
    fitted = cell.stat().st_ino
    with pytest.raises(ValueError, match="holds another run"):
        unseen.compare(**{**given, "seeds": 2}, methods=["source-only"], out=tmp_path / "o")  # type: ignore[attr-defined]
    there = unseen.compare(**given, methods=["source-only"], out=tmp_path / "o")  # type: ignore[attr-defined]
    assert there.chosen == "source-only"
    assert cell.stat().st_ino == fitted


def test_sealed_labels_change_neither_choice_nor_what_is_saved(saved: Bundle, tmp_path: Path) -> None:
    target = domain(("a", "b", "d"), shift=1.5, seed=1)
    mixed = target.with_labels(np.random.default_rng(0).permutation(target.labels))
    runs = [compared(saved, tmp_path / name, target=one, methods="auto", out=tmp_path / name)
            for name, one in (("labels", target), ("others", mixed), ("none", target.unlabeled()))]  # fmt: skip
    assert len({run.results["chosen"]["name"] for run in runs}) == 1
    assert len({digest(run.bundle.method) for run in runs}) == 1


def test_labels_of_the_target_that_are_learnt_from_must_be_classes_of_the_model(saved: Bundle) -> None:
    with pytest.raises(ValueError, match="target has classes that the model does not know: 'd'"):
        prepare(model=saved, target=domain(("a", "d"), n=30, seed=1), labels="split:0.3")


def test_samples_without_a_label_do_not_count_as_graded(tmp_path: Path) -> None:
    target = domain(shift=1.5, seed=1)
    target = target.replace(y=np.where(np.arange(90) < 12, target.labels, -1))
    found = unseen.compare(  # type: ignore[attr-defined]
        source=domain(), target=target, methods="source-only,standardize", seeds=1, out=tmp_path / "run"
    )
    graded = {part: exam["samples"] for part, exam in found.results["exam"].items()}
    assert sum(graded.values()) == 12
    assert f"{graded['adapted']} samples of it were graded" in " ".join(summary(found.results)).replace("\u00a0", " ")


@pytest.mark.parametrize("protocol", ["zsl", "gzsl", "base-to-new"])
def test_protocols_of_classes_without_samples_ask_for_their_names_first(tmp_path: Path, protocol: str) -> None:
    with pytest.raises(ValueError, match=f"protocol {protocol} is for classes that are told without"):
        unseen.compare(source=domain(), target=domain(seed=1), protocol=protocol)  # type: ignore[attr-defined]


# -- pictures ----------------------------------------------------------------------------------------------


def folder(place: Path, noise: int, n: int = 8) -> Path:
    """Squares and discs of three colours, with noise."""
    rng = np.random.default_rng(noise)
    for k, colour in enumerate(("red", "green", "blue")):
        (place / colour).mkdir(parents=True)
        for i in range(n):
            x = rng.integers(0, noise + 1, (40, 40, 3))
            x[8:32, 8:32, k] += 200 - noise
            Image.fromarray(x.astype(np.uint8)).save(place / colour / f"{i}.png")
    return place


@pytest.fixture(scope="module")
def of_pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a source, a target and the run that compared them, on a machine where bfloat16 is quicker."""
    place = tmp_path_factory.mktemp("pictures")
    source, target = folder(place / "source", 10), folder(place / "target", 90)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNSEEN_DATA", str(place / "data"))
        patch.setattr(backends, "has_bfloat16", lambda: True)
        found = unseen.compare(source=source, target=target, seeds=1, out=place / "run")  # type: ignore[attr-defined]
    assert found.results["chosen"]["name"] == "consensus:views"
    return place


def test_a_saved_model_of_both_views_answers_as_it_was_graded_where_bfloat16_is_quicker(
    of_pictures: Path, tmp_path: Path
) -> None:
    import pandas as pd

    told = pd.read_parquet(of_pictures / "run/predictions.parquet").set_index("id")
    done = processes.run(
        [sys.executable, "-m", "unseen.cli", "predict", of_pictures / "run", of_pictures / "target", "--csv", "p.csv"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    said = pd.read_csv(tmp_path / "p.csv").set_index("id").loc[told.index]
    assert done.returncode == 0
    assert (said["class"] == told["prediction"]).all()
    assert np.abs(said["probability"] - told["probability"]).max() < 1e-4


def test_a_model_saved_from_pictures_reads_others_by_its_own_encoder(of_pictures: Path, tmp_path: Path) -> None:
    other = folder(tmp_path / "other", 60)
    done = processes.run(
        [sys.executable, "-m", "unseen.cli", "compare", "--model", of_pictures / "run", "--target", "other",
         "--seeds", "1", "--methods", "source-only,shot", "--out", "again"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (Bundle.load(tmp_path / "again/model").predict(other)["class"].nunique()) == 3


def test_verified_rows_of_a_table_are_not_learnt_from_whatever_the_order_of_its_columns(tmp_path: Path) -> None:
    def table(names: str, n: int, seed: int) -> Path:
        rng, file = np.random.default_rng(seed), tmp_path / f"{names}{seed}.csv"
        rows = (",".join([*map(str, rng.normal(size=len(names)).round(4)), "xy"[i % 2]]) for i in range(n))
        file.write_text("\n".join([",".join([*names, "label"]), *rows]) + "\n")
        return file

    source, few, target = table("ab", 40, 0), table("zba", 30, 1), table("ba", 20, 2)
    seal(dict.fromkeys(load(few).digests().tolist()[:10], "x"))
    inputs = prepare(source=source, support=few, target=target)
    assert inputs.support is not None
    assert len(inputs.support) == 20
    assert inputs.support.feature_names == ("a", "b")


def network(outputs: int = 3) -> torch.nn.Module:
    """One that knows by no attribute how many outputs it has, and that nobody can build again."""
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, outputs))


@pytest.mark.parametrize("outputs", [2, 5])
def test_a_network_with_other_outputs_than_classes_is_refused_before_any_work(outputs: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"classes must name each of the model's {outputs} outputs; got 3 names"):
        compared(network(outputs), tmp_path, target=domain().unlabeled(), classes=list(NAMES))
    with pytest.raises(ValueError, match=f"model has {outputs} outputs, and the labelled data 3 classes"):
        compared(network(outputs), tmp_path, support=domain(seed=3, n=12))
    assert not (tmp_path / "run").exists()


def test_a_network_that_cannot_read_the_samples_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="model cannot read a row of 8 features"):
        compared(torch.nn.Linear(5, 3), tmp_path, classes=list(NAMES))
    with pytest.raises(ValueError, match=r"model must give scores of shape \(n, classes\); .* gives \(8,\)"):
        compared(torch.nn.Flatten(0), tmp_path, classes=list(NAMES))


def test_a_network_that_cannot_be_saved_leaves_a_report_that_says_so(tmp_path: Path) -> None:
    said: list[str] = []
    found = compared(network(), tmp_path, classes=list(NAMES), methods="source-only", say=said.append)
    (caution,) = (line for line in found.results["cautions"] if "not saved" in line)
    assert "a Sequential cannot be built again from JSON" in caution
    assert "is not saved" in (tmp_path / "run/report.html").read_text()
    assert any("no model that holds the given network: a Sequential cannot" in line for line in said)
    assert any("not saved" in line for line in summary(found.results))
    assert (tmp_path / "run/results.json").exists()
    assert not (tmp_path / "run/model").exists()
    assert len(found.bundle.predict(domain())) == 90
    assert len(repr(found)) < 400
    assert repr(found).startswith("Comparison(chosen='source-only' of 1, folder='")


def test_adapt_refuses_a_network_that_it_could_not_save_before_the_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = dict(method="source-only", target=domain(), model=network(), classes=list(NAMES))
    with monkeypatch.context() as patch:
        patch.setattr("unseen.compare.job.prepare", None)
        with pytest.raises(ValueError, match=r"model: a Sequential cannot be built again from JSON.* leave out `out`"):
            unseen.adapt(**given, out=tmp_path / "m")  # type: ignore[attr-defined]
    assert len(unseen.adapt(**given).predict(domain())) == 90  # type: ignore[attr-defined]

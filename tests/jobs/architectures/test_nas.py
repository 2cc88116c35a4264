"""`unseen nas`, through a real process."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import processes
from unseen.cli import main
from unseen.data.architectures import read_table
from unseen.data.domain import Domain
from unseen.data.loaders import nas_benchmarks
from unseen.data.sources import architectures as shipped
from unseen.data.sources import digits, save
from unseen.jobs.architectures import job as nas
from unseen.methods.architecture_rankers import ArchitectureRanker
from unseen.methods.base import Card
from unseen.nn.search_spaces import get

FAST = ("--method", "parzc", "--set", "epochs=5", "--set", "width=8", "--set", "projected=16", "--set", "n_samples=3")
SMALL = {"trees": 10}


@dataclasses.dataclass
class Done:
    stdout: str
    stderr: str


@pytest.fixture
def process(tmp_path: Path) -> Any:
    """The command line in a process of its own."""

    def run(*args: Any) -> Done:
        env = {**os.environ, "OMP_NUM_THREADS": "1", "UNSEEN_CACHE": str(tmp_path / "cache"), "NO_COLOR": "1"}
        command = [sys.executable, "-m", "unseen.cli", "nas", *map(str, args)]
        done = processes.run(command, capture_output=True, text=True, cwd=tmp_path, env=env)
        assert done.returncode == 0, done.stderr[-2000:]
        return Done(done.stdout, done.stderr)

    return run


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """The command line in this process, which is quicker."""

    def run(*args: Any, code: int = 0) -> Done:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["unseen", "nas", *map(str, args)])
        monkeypatch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit) as left:
            main()
        done = Done(*capsys.readouterr())
        assert (left.value.code or 0) == code, done.stderr
        return done

    return run


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of class folders with pictures of three digits."""
    domain = digits("handwritten", size=16)
    some = domain.take(np.flatnonzero(np.isin(domain.y, [0, 1, 7]))[:90])  # type: ignore[arg-type]
    return save(some, tmp_path_factory.mktemp("data") / "photos")


def test_rank_of_a_space_on_a_users_folder(process: Any, call: Any, photos: Path, tmp_path: Path) -> None:
    order = ("rank", "cells", "--data", photos, "--trained", 8, "--candidates", 6, "--top", 2, "--epochs", 2, *FAST)
    done = process(*order, "--out", "out")
    out = tmp_path / "out"
    assert sorted(file.name for file in out.iterdir()) == [
        "nas.png", "nodes.csv", "ranked.csv", "result.json", "trainings.jsonl"
    ]  # fmt: skip
    assert len(done.stdout.splitlines()) == 2
    table = pd.read_csv(out / "ranked.csv")
    assert (np.diff(table.score) <= 0).all()
    new = table[table.role != "trained"]
    assert new.role.fillna("").tolist() == ["top", "top", *[""] * (len(new) - 2)]
    assert new.accuracy[:2].notna().all()
    known = table[table.accuracy.notna()].architecture
    assert set(get("cells").sample(8, 0)) <= {get("cells").parse(text) for text in known}
    nodes = pd.read_csv(out / "nodes.csv")
    assert set(nodes.node) == set(get("cells").slots)
    assert (np.diff(nodes.importance) <= 0).all()
    result = json.loads((out / "result.json").read_text())
    assert result["method"] == "parzc"
    assert result["how"] == "a random part"
    assert -1 <= result["agreement"]["tau"] <= 1
    assert Image.open(out / "nas.png").size[0] > 1000
    before = (out / "trainings.jsonl").read_text()
    call(*order, "--out", "out")  # trainings that are done are not done again
    assert (out / "trainings.jsonl").read_text() == before
    assert pd.read_csv(out / "ranked.csv").equals(table)
    refused = call(*order, "--size", 9, "--out", "out", code=1).stderr
    assert "another space or recipe; begin in another place (--out), or remove it" in refused


def test_rank_of_a_benchmarks_file(call: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    scores = rng.uniform(size=(30, 2))
    entries = {
        f"({i}, 0)": {"snip": {"score": a}, "synflow": {"score": b}, "val_accuracy": 50 + 40 * a}
        for i, (a, b) in enumerate(scores.tolist())
    }
    (tmp_path / "zc.json").write_text(json.dumps({"cifar10": entries}))
    done = call("rank", "zc.json", "--data", "cifar10", "--trained", 15, "--out", "out", "--set", "trees=60", "--json")
    assert json.loads(done.stdout)["agreement"]["tau"] > 0.5
    assert json.loads(done.stdout)["method"] == "forest-ranker"
    assert pd.read_csv(tmp_path / "out" / "nodes.csv").node.tolist() == ["network"]
    call("rank", "zc.json", "--trained", 15, "--proxies", "synflow", "--out", "one", *FAST)
    done = call("rank", "zc.json", "--trained", 15, "--top", 500, "--out", "all", *FAST)
    assert len(done.stdout.splitlines()) == 15
    roles = pd.read_csv(tmp_path / "all" / "ranked.csv", keep_default_na=False).role
    assert (roles == "trained").sum() == 15
    assert "these are the best 15 of 15 that were scored and not learned from" in done.stderr
    assert "± tells how unsure a score is" in done.stderr
    assert "got 'jacov'" in call("rank", "zc.json", "--trained", 15, "--proxies", "jacov", code=1).stderr


def test_table_is_made_and_ranked(call: Any, photos: Path, tmp_path: Path) -> None:
    call("table", "vits", "--data", photos, "--n", 10, "--seeds", 1, "--inits", 1, "--out", "t.parquet")
    table = read_table(tmp_path / "t.parquet")
    assert table.architectures == tuple(map(str, get("vits").sample(10, 2026)))
    assert table.about["recipe"]["epochs"] == 8
    assert np.isfinite(table.accuracy).all()
    call("rank", "t.parquet", "--trained", 6, "--out", "ranked", *FAST)


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("rank", "cells"), "--data is needed"),
        (("rank", "darts.json"), "there is no file 'darts.json'"),
        (("rank", "cells-digits", "--epochs", 3), "--epochs: for a space"),
        (("rank", "cells-digits", "--size", 16, "--limit", 9), "--limit, --size: for a space"),
        (("rank", "cells-digits", "--evaluations", 50, "--channels", 1), "--evaluations, --channels: for a space"),
        (("rank", "cells-digits", "--data", "x"), "data names a data set in a file of several; cells-digits is of one"),
        (("rank", "cels"), "space must be cells, vits, cells-digits, vits-digits"),
        (("rank", "cells-digits", "--proxies", "snip,jacov"), "grad_norm, snip, synflow, in cells-digits"),
        (("rank", "cells", "--data", "digits:handwritten", "--proxies", "snip"), "--proxies is for a table"),
        (("rank", "cells-digits", "--trained", 199), "trained must lie in [4, 198]"),
        (("rank", "cells-digits", "--set", "proxies=2"), "--set does not take proxies"),
        (
            ("rank", "cells-digits", "--set", "banana=2"),
            "forest-ranker has no parameter 'banana'; it has random_state, proxies, trees, smallest_leaf; "
            "--method parzc has others",
        ),
        (("rank", "cells-digits", "--method", "ridge"), "--method must be one of forest-ranker, parzc; got 'ridge'"),
        (("rank", "nasbench_only108.tfrecord"), "zc_nasbench101.json"),
        (("rank", "cells", "--data", "digits:printd"), "did you mean 'digits:printed'?"),
        (("rank", "cells", "--data", "digits:handwritten", "--trained", 7), "trained must lie in [8,"),
        (("rank", "cells", "--data", "digits:handwritten", "--channels", 3), "channels must be 1"),
        (("table", "cells", "--data", "letters", "--out", "t.csv"), "ends in .parquet"),
        (("table", "nets", "--data", "letters", "--out", "t.parquet"), "space must be cells or vits; got 'nets'"),
    ],
)
def test_mistakes_are_one_line(call: Any, args: tuple[Any, ...], told: str, tmp_path: Path) -> None:
    (tmp_path / "nasbench_only108.tfrecord").write_bytes(b"")
    done = call(*args, code=1)
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_with_other_files_is_left_alone(call: Any, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    assert "holds other files" in call("rank", "cells-digits", "--out", "mine", code=1).stderr


def test_help_has_an_example(call: Any) -> None:
    for command in ("rank", "table"):
        assert f"unseen nas {command} cells --data digits:handwritten" in call(command, "--help").stdout


# -- the library behind it ----------------------------------------------------------------------------------


def test_accuracies_of_the_user_replace_trainings(photos: Path, tmp_path: Path) -> None:
    space = get("cells")
    texts = [str(one) for one in space.sample(12, 3)]
    lines = [f"{text},{0.5 + 0.05 * text.count('conv')}" for text in texts]
    (tmp_path / "mine.csv").write_text("\n".join(["architecture,accuracy", *lines]))
    found = nas.rank_space(
        "cells", photos, accuracies=tmp_path / "mine.csv", candidates=5, top=1, epochs=1, settings=SMALL,
        journal=tmp_path / "j.jsonl",
    )  # fmt: skip
    assert found.facts["trained"] == 12
    assert len((tmp_path / "j.jsonl").read_text().splitlines()) <= 2  # its head, and the top unless it was known
    (tmp_path / "mine.csv").write_text("architecture,accuracy\nresnet,0.5\n")
    with pytest.raises(ValueError, match="resnet"):
        nas.rank_space("cells", photos, accuracies=tmp_path / "mine.csv", candidates=5, top=1, settings=SMALL)


class First(ArchitectureRanker):
    """Another package's method: more of the first statistic is better."""

    card = Card(
        slug="first", title="First", venue="", summary="More is better.", unseen={"data"}, modalities={"features"},
        task="value", protocols={"nas"},
    )  # fmt: skip

    def fit(self, *, source: Domain) -> First:
        self.learnt_ = len(source)
        return self

    def draws(self, x: torch.Tensor) -> torch.Tensor:
        return x[None, :, 0].double()


def test_a_method_of_another_package_ranks_by_its_card_alone(install: Callable[..., None]) -> None:
    install("methods", first=First)
    assert nas.rankers() == ("forest-ranker", "parzc", "first")
    found = nas.rank_table("cells-digits", method="first")
    x = shipped.architectures("cells-digits").domain().x[:, 0]
    assert found.table.score.tolist() == sorted(x.tolist(), reverse=True)
    assert (found.facts["method"], set(found.table.uncertainty)) == ("first", {0.0})
    assert found.nodes.node[found.nodes.importance != 0].tolist() == [shipped.architectures("cells-digits").nodes[0]]


def test_a_space_above_the_limit_is_searched_by_evolution(photos: Path) -> None:
    found = nas.rank_space("vits", photos, trained=8, top=1, limit=10, evaluations=60, epochs=1, settings=SMALL)
    assert found.facts["how"] == "evolution"
    assert len(found.table) == 60


@pytest.mark.parametrize("name", shipped.names())
def test_shipped_tables_are_what_the_page_says(name: str) -> None:
    table = shipped.architectures(name)
    space = get(name.partition("-")[0])
    sizes = {"cells-digits": 200, "vits-digits": 100, "cells-letters": 100, "vits-letters": 60}
    assert len(table) == sizes[name]
    drawn = list(map(str, space.sample(table.about["drawn"], table.about["sample_seed"])))
    assert list(table.architectures) == drawn[: len(table)]
    assert table.nodes == space.slots
    assert table.accuracy.shape[1] == 2
    assert np.isfinite(table.accuracy).all()
    assert np.isfinite(table.statistics).all()
    assert table.accuracy.mean(axis=1).std() > 0.05
    for text, parameters in list(zip(table.architectures, table.parameters))[:5]:
        network = space.build(text, n_classes=table.about["classes"])
        assert sum(p.numel() for p in network.parameters()) == parameters
    with pytest.raises(ValueError, match="name must be one of"):
        shipped.architectures("darts")


def test_a_shipped_table_is_what_is_measured_here() -> None:
    """Statistics of the first networks, made again (other processors round otherwise)."""
    from unseen.nn.search_spaces.measure import measure
    from unseen.nn.search_spaces.pictures import halves

    table = shipped.architectures("cells-digits")
    learn, held_out = halves(nas.read_data("digits:handwritten", 8, 1))
    assert (len(learn), len(held_out)) == (table.about["learn"], table.about["held_out"])
    found = measure(get("cells"), table.architectures[:3], learn, n_classes=10, seed=1)
    np.testing.assert_allclose(found, table.statistics[1, :3], rtol=1e-2)


def test_a_table_without_statistics_cannot_be_ranked() -> None:
    bare = nas_benchmarks.plain_table("nds", ["a", "b"], np.array([0.5, 0.6]))
    with pytest.raises(ValueError, match="no statistics of untrained networks"):
        nas.rank_table(bare, trained=1)

"""Tables of architectures: saved, read back, turned into samples."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from unseen.data.architectures import ArchitectureTable, read_table


def table(n: int = 4) -> ArchitectureTable:
    rng = np.random.default_rng(0)
    accuracy = rng.uniform(0.5, 1, (n, 2))
    accuracy[1, 0] = np.nan
    return ArchitectureTable(
        name="toy",
        architectures=tuple(f"net{i}" for i in range(n)),
        accuracy=accuracy,
        parameters=np.arange(n) + 10,
        seconds=np.array([1.0, 2.0, np.nan, 4.0])[:n],
        proxies=("snip", "synflow"),
        nodes=("stem", "cell.a/b", "head"),
        statistics=rng.uniform(size=(3, n, 6)).astype(np.float32).astype(float),
        about={"recipe": {"epochs": 2}, "seeds": [0, 1]},
    )


def test_a_saved_table_comes_back(tmp_path: Path) -> None:
    made = table()
    made.save(tmp_path / "t.parquet")
    back = read_table(tmp_path / "t.parquet")
    assert [file.name for file in tmp_path.iterdir()] == ["t.parquet"]
    for key in ("name", "architectures", "proxies", "nodes", "about"):
        assert getattr(back, key) == getattr(made, key)
    for key in ("accuracy", "parameters", "seconds", "statistics"):
        np.testing.assert_array_equal(getattr(back, key), getattr(made, key))


@pytest.mark.parametrize("factor", [1e60, 1e-60])
def test_statistics_beyond_single_precision_are_saved_and_learned_from_as_they_are(
    tmp_path: Path, factor: float
) -> None:
    made = table()
    assert made.domain().x.dtype == np.float32
    made = dataclasses.replace(made, statistics=made.statistics * np.where(np.arange(6) < 3, 1.0, factor))
    made.save(tmp_path / "t.parquet")
    np.testing.assert_array_equal(read_table(tmp_path / "t.parquet").statistics, made.statistics)
    np.testing.assert_array_equal(made.domain().x, made.features()[[0, 1, 2, 3]])


def test_a_table_without_statistics_comes_back_and_says_what_it_lacks(tmp_path: Path) -> None:
    made = ArchitectureTable(
        name="bare", architectures=("a",), accuracy=np.ones((1, 1)), parameters=np.ones(1, int), seconds=np.ones(1)
    )
    made.save(tmp_path / "t.parquet")
    with pytest.raises(ValueError, match="bare has no statistics"):
        read_table(tmp_path / "t.parquet").features()


def test_samples_are_means_and_what_was_never_trained_is_left_out() -> None:
    made = table()
    made.accuracy[2] = np.nan
    domain = made.domain()
    assert domain.task == "value"
    assert domain.ids is not None
    assert domain.ids.tolist() == ["net0", "net1", "net3"]
    np.testing.assert_allclose(domain.labels, [made.accuracy[0].mean(), made.accuracy[1, 1], made.accuracy[3].mean()])
    np.testing.assert_allclose(domain.x, made.statistics.mean(axis=0)[[0, 1, 3]], rtol=1e-6)
    np.testing.assert_allclose(made.domain(2).x, made.statistics[2][[0, 1, 3]], rtol=1e-6)
    with pytest.raises(ValueError, match="init"):
        made.domain(3)


def test_totals_are_sums_over_nodes() -> None:
    made = table()
    np.testing.assert_allclose(made.totals(0)["synflow"], made.statistics[0][:, 3:].sum(axis=1))


def test_rows_can_be_taken() -> None:
    part = table().take([2, 0])
    assert part.architectures == ("net2", "net0")
    np.testing.assert_array_equal(part.statistics, table().statistics[:, [2, 0]])


def test_tables_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    fields = dict(name="t", accuracy=np.ones((2, 1)), parameters=np.ones(2, int), seconds=np.ones(2))
    with pytest.raises(ValueError, match="1 repeat"):
        ArchitectureTable(architectures=("a", "a"), **fields)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="accuracy has 2 rows, there are 3"):
        ArchitectureTable(architectures=("a", "b", "c"), **fields)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="statistics must be of shape"):
        ArchitectureTable(architectures=("a", "b"), statistics=np.ones((1, 2, 3)), **fields)  # type: ignore[arg-type]
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    with pytest.raises(ValueError, match="no Parquet file"):
        read_table(tmp_path / "x.parquet")
    import pandas as pd

    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "y.parquet")
    with pytest.raises(ValueError, match="no table of architectures"):
        read_table(tmp_path / "y.parquet")

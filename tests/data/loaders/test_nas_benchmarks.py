"""The usual files of architecture benchmarks, written here in their form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from unseen.data.loaders.nas_benchmarks import read_architectures


def suite(layers: bool = False) -> dict[str, Any]:
    def score(a: float, b: float) -> Any:
        return {"score": [a, b] if layers else a, "time": 0.1}

    return {
        "cifar10": {
            "(0, 1)": {"id": 3, "snip": score(1.5, 2.5), "synflow": score(9, 1), "val_accuracy": 91.0},
            "(2, 1)": {"id": 4, "snip": score(0.5, 0.25), "val_accuracy": 55.0},
        },
        "cifar100": {"(0, 1)": {"snip": score(3, 4), "val_accuracy": 71.0}},
    }


def write(file: Path, value: Any) -> Path:
    file.write_text(json.dumps(value))
    return file


def test_suite_zero_scores_of_networks(tmp_path: Path) -> None:
    table = read_architectures(write(tmp_path / "zc_nasbench201.json", suite()))
    assert table.architectures == ("(0, 1)", "(2, 1)")
    assert (table.proxies, table.nodes) == (("snip", "synflow"), ("network",))
    assert table.statistics.tolist() == [[[1.5, 9.0], [0.5, 0.0]]]
    assert table.accuracy.tolist() == [[0.91], [0.55]]
    other = read_architectures(tmp_path / "zc_nasbench201.json", data="cifar100")
    assert other.accuracy.tolist() == [[0.71]]
    with pytest.raises(ValueError, match="data must be one of cifar10, cifar100"):
        read_architectures(tmp_path / "zc_nasbench201.json", data="svhn")


def test_suite_zero_scores_of_layers_stand_proxy_after_proxy_and_are_padded(tmp_path: Path) -> None:
    table = read_architectures(write(tmp_path / "zc_layerwise.json", suite(layers=True)))
    assert table.nodes == ("layer0", "layer1")
    assert table.statistics.tolist() == [[[1.5, 2.5, 9.0, 1.0], [0.5, 0.25, 0.0, 0.0]]]


def test_suite_zero_architectures_with_what_is_not_finite_are_left_out_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    value = suite(layers=True)
    value["cifar10"]["(0, 1)"]["synflow"]["score"] = [1.0, 1e80]
    value["cifar10"]["(1, 1)"] = value["cifar10"]["(0, 1)"] | {"synflow": {"score": [float("inf"), float("nan")]}}
    table = read_architectures(write(tmp_path / "zc.json", value))
    assert "zc: 1 of 3 architectures are left out, statistics that are not finite: 2 of synflow" in caplog.text
    assert table.about["not finite"] == {"snip": 0, "synflow": 2}
    assert table.architectures == ("(0, 1)", "(2, 1)")
    assert table.statistics[0, 0].tolist() == [1.5, 2.5, 1, 1e80]
    assert len(table.accuracy) == len(table.parameters) == 2
    caplog.clear()
    table = read_architectures(write(tmp_path / "zc.json", suite()))
    assert table.about == {}
    assert not caplog.text
    for entry in value["cifar10"].values():
        entry["snip"] = {"score": [float("nan"), 1.0]}
    with pytest.raises(ValueError, match=r"zc: every architecture has a statistic that is not finite \(3 of snip"):
        read_architectures(write(tmp_path / "zc.json", value))


@pytest.mark.parametrize("layers", [False, True])
def test_suite_zero_reads_the_papers_proxies_unless_others_are_named(tmp_path: Path, layers: bool) -> None:
    value = suite(layers)
    for entry in value["cifar10"].values():
        entry |= {"params": {"score": [100, 23] if layers else 123}, "jacov": {"score": [7, 8, 9] if layers else 7}}
    file = write(tmp_path / "zc.json", value)
    table = read_architectures(file)
    assert table.proxies == ("snip", "synflow")
    assert table.parameters.tolist() == [123, 123]
    assert len(table.nodes) == (2 if layers else 1)  # what is not read does not widen
    other = read_architectures(file, proxies=("jacov", "snip"))
    assert other.proxies == ("jacov", "snip")
    assert other.statistics[0, 0].tolist() == ([7, 8, 9, 1.5, 2.5, 0] if layers else [7, 1.5])
    assert other.parameters.tolist() == [123, 123]
    for wrong, told in ((("fisher",), "'fisher'"), (("snip", "snip"), "'snip'"), ((), "none")):
        with pytest.raises(ValueError, match=f"proxies must be different ones of jacov.*got {told}"):
            read_architectures(file, proxies=wrong)
    for entry in value["cifar10"].values():
        for name in ("snip", "synflow"):
            entry.pop(name, None)
    assert read_architectures(write(file, value)).proxies == ("jacov", "params")  # none of the paper's


def test_a_number_of_parameters_that_is_not_known_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    value = suite()
    for entry in value["cifar10"].values():
        entry["params"] = {"score": float("nan")}
    table = read_architectures(write(tmp_path / "zc.json", value))
    assert set(table.parameters.tolist()) == {0}
    assert "no number of parameters is known of 2 architectures" in caplog.text


@pytest.mark.parametrize("halves", [False, True])
def test_nds_gives_the_accuracy_of_the_last_epoch(tmp_path: Path, halves: bool) -> None:
    entries = [
        {"net": {"genotype": {"normal": [["skip", 0]]}, "depth": 5}, "test_ep_top1": [60.0, 8.5], "params": 123},
        {"net": {"depth": 6}, "test_ep_top1": [50.0, 20.0], "params": 45},
    ]
    value = {"top": entries[:1], "mid": entries[1:]} if halves else entries
    table = read_architectures(write(tmp_path / "DARTS.json", value))
    np.testing.assert_allclose(table.accuracy[:, 0], [0.915, 0.8])
    assert table.parameters.tolist() == [123, 45]
    assert len(table.statistics) == 0
    assert '"depth": 5' in table.architectures[0]


def test_nas_bench_201_without_pickle(tmp_path: Path) -> None:
    result = {"eval_acc1es": {"x-valid@11": 50.0, "x-valid@199": 84.0}}
    other = {"eval_acc1es": {"x-valid@199": 86.0}}
    infos = {0: {"full": {"all_results": {("cifar10-valid", 777): result, ("cifar10-valid", 888): other}}}}
    torch.save({"meta_archs": ["|skip~0|"], "arch2infos": infos}, tmp_path / "nb201.pth")
    table = read_architectures(tmp_path / "nb201.pth")
    assert table.architectures == ("|skip~0|",)
    assert table.accuracy.tolist() == [[0.85]]
    with pytest.raises(ValueError, match="has no 'svhn'"):
        read_architectures(tmp_path / "nb201.pth", data="svhn")


class Anything:
    """What pickle would have to import."""


def test_a_file_that_only_pickle_reads_is_refused_with_a_way_out(tmp_path: Path) -> None:
    torch.save({"meta_archs": Anything()}, tmp_path / "old.pth")
    with pytest.raises(ValueError, match="without running what is in it; write its accuracies as CSV"):
        read_architectures(tmp_path / "old.pth")


def test_accuracies_of_the_user(tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text("architecture,accuracy\na,0.5\nb,0.75\n")
    table = read_architectures(file)
    assert table.architectures == ("a", "b")
    assert table.accuracy.tolist() == [[0.5], [0.75]]
    with pytest.raises(ValueError, match="is of one; got 'cifar10'"):
        read_architectures(file, "cifar10")
    with pytest.raises(ValueError, match="proxies must be different ones of none, in mine; got 'snip'"):
        read_architectures(file, proxies=["snip"])
    file.write_text("architecture,accuracy\na,0.5\nb,good\n")
    with pytest.raises(ValueError, match="that of 'b' is none"):
        read_architectures(file)
    file.write_text("net,accuracy\na,0.5\n")
    with pytest.raises(ValueError, match="lacks architecture"):
        read_architectures(file)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.json", "{", "not JSON"),
        ("b.json", "[1, 2]", "neither a file of NDS"),
        ("c.json", "{}", "data must be one of none"),
        ("d.json", '{"x": {"a": {"snip": {"score": 1}}}}', "val_accuracy"),
        ("e.json", '[{"test_ep_top1": [3]}]', "entry 0 must have net"),
        ("f.txt", "", "must end in"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, name: str, content: str, told: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=told):
        read_architectures(tmp_path / name)
    with pytest.raises(ValueError, match="no file"):
        read_architectures(tmp_path / "nothing.json")

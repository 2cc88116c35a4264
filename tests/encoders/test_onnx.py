"""ONNX graphs as encoders, and which are refused."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import unseen
from unseen import encoders
from unseen.data.domain import Domain
from unseen.encoders.onnx import METADATA, custom_domains

from .conftest import pictures

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
from onnx import TensorProto, helper, numpy_helper


def graph(folder: Path, shape: tuple[Any, ...] = ("n", 3, 8, 8), nodes: list[Any] | None = None, **extra: Any) -> Path:
    """Write a graph that averages pictures over their positions, or the given nodes, to a file."""
    average = helper.make_node("GlobalAveragePool", ["x"], ["y"])
    body = helper.make_graph(
        nodes or [average],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        initializer=extra.pop("initializer", []),
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
    model = helper.make_model(body, opset_imports=opsets, ir_version=9, **extra)
    path = folder / "net.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_sizes_come_from_the_graph_and_maps_are_averaged(tmp_path, own_cache):
    encoder = encoders.get(f"onnx:{graph(tmp_path)}?mean=0&std=1&crop=1")
    features = encoder.encode(pictures()).x
    assert encoder.preprocess.size == (8, 8)
    expected = encoder.preprocess(list(pictures().x)).mean(dim=(2, 3))
    np.testing.assert_allclose(features, expected, atol=1e-6)


def test_a_fixed_batch_is_kept(tmp_path, own_cache):
    encoder = encoders.get(f"onnx:{graph(tmp_path, (3, 3, 8, 8))}")
    assert encoder.batch_size == 3
    assert encoder.encode(pictures()).x.shape == (10, 3)


def test_channels_may_stand_last(tmp_path, own_cache):
    mean = helper.make_node("ReduceMean", ["x"], ["y"], axes=[1, 2], keepdims=0)
    last = encoders.get(f"onnx:{graph(tmp_path, ('n', 8, 8, 3), [mean])}").encode(pictures()).x
    first = encoders.get(f"onnx:{graph(tmp_path)}").encode(pictures()).x
    np.testing.assert_allclose(last, first, atol=1e-6)


def test_a_free_size_is_said_in_the_name(tmp_path):
    path = graph(tmp_path, ("n", 3, "h", "w"))
    assert encoders.get(f"onnx:{path}?size=16x20").preprocess.size == (16, 20)


def test_preprocessing_may_be_written_in_the_graph(tmp_path):
    path = graph(tmp_path)
    model = onnx.load(path)
    helper.set_model_props(model, {METADATA: json.dumps({"mean": [0, 0, 0], "std": [1, 1, 1], "crop": 0.5})})
    onnx.save(model, path)
    preprocess = encoders.get(f"onnx:{path}").preprocess
    assert (preprocess.mean, preprocess.crop, preprocess.size) == ((0, 0, 0), 0.5, (8, 8))


def test_custom_operators_need_trust(tmp_path):
    path = graph(tmp_path, nodes=[helper.make_node("Run", ["x"], ["y"], domain="mine")])
    with pytest.raises(PermissionError, match=r"custom operators \(mine\).*trust=True"):
        encoders.get(f"onnx:{path}")


def test_a_library_of_operators_needs_trust(tmp_path):
    with pytest.raises(PermissionError, match="a library"):
        encoders.get(f"onnx:{graph(tmp_path)}?library={tmp_path}/ops.so")


def test_custom_operators_are_found_inside_branches(tmp_path):
    branch = helper.make_graph([helper.make_node("Run", ["x"], ["b"], domain="mine")], "branch", [], [])
    node = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    assert custom_domains(onnx.load(graph(tmp_path, nodes=[node]))) == {"mine"}


def test_functions_of_the_graph_itself_are_no_custom_operators(tmp_path):
    inner = helper.make_node("GlobalAveragePool", ["a"], ["b"])
    function = helper.make_function("mine", "Run", ["a"], ["b"], [inner], [helper.make_opsetid("", 17)])
    path = graph(tmp_path, nodes=[helper.make_node("Run", ["x"], ["y"], domain="mine")], functions=[function])
    assert encoders.get(f"onnx:{path}").dim == 3


def test_weights_outside_the_graphs_folder_are_refused(tmp_path):
    tensor = numpy_helper.from_array(np.ones(3, dtype=np.float32), "w")
    onnx.external_data_helper.set_external_data(tensor, location="../secret.bin", offset=0, length=12)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    nodes = [helper.make_node("Add", ["x", "w"], ["y"])]
    with pytest.raises(ValueError, match="outside its own folder"):
        encoders.get(f"onnx:{graph(tmp_path, nodes=nodes, initializer=[tensor])}")


def outside(where: str = "../secret.bin") -> TensorProto:
    tensor = numpy_helper.from_array(np.ones(3, dtype=np.float32), "w")
    onnx.external_data_helper.set_external_data(tensor, location=where, offset=0, length=12)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    return tensor


def attribute(tensor: TensorProto) -> dict:
    return {
        "nodes": [helper.make_node("Constant", [], ["w"], value=tensor), helper.make_node("Add", ["x", "w"], ["y"])]
    }


def in_a_branch(tensor: TensorProto) -> dict:
    inner = helper.make_node("Constant", [], ["w"], value=tensor)
    branch = helper.make_graph([inner], "branch", [], [])
    return {"nodes": [helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)]}


def in_a_function(tensor: TensorProto) -> dict:
    inner = [helper.make_node("Constant", [], ["w"], value=tensor), helper.make_node("Add", ["a", "w"], ["b"])]
    function = helper.make_function("mine", "Run", ["a"], ["b"], inner, [helper.make_opsetid("", 17)])
    return {"nodes": [helper.make_node("Run", ["x"], ["y"], domain="mine")], "functions": [function]}


def sparse(tensor: TensorProto) -> dict:
    index = numpy_helper.from_array(np.arange(3), "i")
    node = helper.make_node("Constant", [], ["w"], sparse_value=helper.make_sparse_tensor(tensor, index, [3]))
    return {"nodes": [node, helper.make_node("Add", ["x", "w"], ["y"])]}


@pytest.mark.parametrize("where", ["../secret.bin", "/etc/passwd", "linked.bin"])
@pytest.mark.parametrize("place", [attribute, in_a_branch, in_a_function, sparse])
def test_no_tensor_of_a_graph_reads_a_file_outside_its_folder(tmp_path, place, where):
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.bin").write_bytes(np.ones(3, dtype=np.float32).tobytes())
    (tmp_path / "in" / "linked.bin").symlink_to(tmp_path / "secret.bin")
    path = graph(tmp_path / "in", **place(outside(where)))
    with pytest.raises(ValueError, match="outside its own folder"):
        encoders.get(f"onnx:{path}")


def test_what_is_no_graph_of_pictures_is_refused(tmp_path):
    with pytest.raises(ValueError, match="must take one batch of float pictures; it takes x"):
        encoders.get(f"onnx:{graph(tmp_path, ('n', 5))}")
    (tmp_path / "text.onnx").write_text("not a graph at all, but words")
    with pytest.raises(ValueError, match="is no ONNX file"):
        encoders.get(f"onnx:{tmp_path / 'text.onnx'}")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        encoders.get(f"onnx:{tmp_path / 'none.onnx'}")


def test_a_graph_that_makes_no_row_of_each_picture_is_named(tmp_path, own_cache):
    """Found by coverage-guided fuzzing: a mean over the batch, too."""
    mean = helper.make_node("ReduceMean", ["x"], ["y"], axes=[0, 2], keepdims=0)
    encoder = encoders.get(f"onnx:{graph(tmp_path, nodes=[mean])}")
    with pytest.raises(ValueError, match=r"must give a row for each picture; of \(\d+, 3, \d+, \d+\) it made \(3, "):
        encoder.encode(Domain(x=np.zeros((2, 9, 9, 3), dtype=np.uint8), kind="image"), cache=False)


def test_a_name_that_is_no_text_is_named(tmp_path):
    """That of a free size: onnxruntime finds out only when it is asked for the shape of the input."""
    path = graph(tmp_path)
    content = path.read_bytes()
    assert content.count(b"\x12\x01n") == 1
    path.write_bytes(content.replace(b"\x12\x01n", b"\x12\x01\xcf"))
    with pytest.raises(ValueError, match="is not an encoder that can be read") as caught:
        encoders.get(f"onnx:{path}")
    assert type(caught.value) is ValueError


def test_it_comes_back_from_its_folder(tmp_path, own_cache):
    encoder = encoders.get(f"onnx:{graph(tmp_path)}")
    encoder.save_weights(tmp_path / "saved")
    again = encoders.load(encoder.to_json(), tmp_path / "saved")
    assert np.array_equal(again.encode(pictures(), cache=False).x, encoder.encode(pictures()).x)
    assert str(tmp_path) not in json.dumps(encoder.to_json())


def test_a_damaged_graph_is_named_in_a_folder_with_an_at_sign_too(tmp_path):
    (tmp_path / "a@b").mkdir()
    file = graph(tmp_path / "a@b")
    content = file.read_bytes()
    file.write_bytes(content.replace(b"\x12\x01n", b"\x12\x01\xcf"))
    with pytest.raises(ValueError, match=f"a@b/{file.name} is not an encoder that can be read"):
        encoders.get(f"onnx:{file}")
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(ValueError, match="is a pipe"):
        encoders.get(f"onnx:{file}")


def test_links_in_a_circle_and_the_home_of_nobody_are_told(tmp_path):
    (tmp_path / "g.onnx").symlink_to("g.onnx")
    with pytest.raises((ValueError, OSError), match=r"g\.onnx"):
        encoders.get(f"onnx:{tmp_path / 'g.onnx'}")
    with pytest.raises(ValueError, match="~nobody-here is the home of nobody here"):
        encoders.get("onnx:~nobody-here/g.onnx")
    with pytest.raises(FileNotFoundError, match=r"'~nobody-here/x\.csv' does not exist"):
        unseen.load("~nobody-here/x.csv")

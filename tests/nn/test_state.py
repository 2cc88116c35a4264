"""Saving: every value comes back as it was, and nothing damaged or foreign is loaded."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import nn

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.nn.classifier import feature_classifier
from unseen.nn.state import digest, load_state, pack, save_state, unpack, write_folder


def round_trip(value: Any) -> Any:
    tensors: dict[str, torch.Tensor] = {}
    data = json.loads(json.dumps(pack(value, tensors)))
    return unpack(data, tensors)


def same(a: Any, b: Any) -> bool:
    """Equality of types and bits, written anew."""
    if isinstance(a, float) and isinstance(b, float):
        return a == b or (math.isnan(a) and math.isnan(b))
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and (a.dtype, a.shape, a.tobytes()) == (
            b.dtype,
            b.shape,
            b.tobytes(),
        )
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    return type(a) is type(b) and a == b


plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4)
keys = st.text(max_size=3) | st.integers(-5, 5)
values = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=8
)


@given(values | st.tuples(values, values))
def test_plain_values_come_back_as_they_were(value: Any) -> None:
    assert same(value, round_trip(value))


dtypes = hnp.integer_dtypes(endianness="=") | hnp.unsigned_integer_dtypes() | hnp.boolean_dtypes()


@given(hnp.arrays(dtypes | hnp.floating_dtypes(sizes=(16, 32, 64)), hnp.array_shapes(min_dims=0, min_side=0)))
def test_arrays_come_back_bit_for_bit(array: np.ndarray) -> None:
    assert same(array, round_trip({"a": array})["a"])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64, torch.int32, torch.bool, torch.uint8])
def test_tensors_come_back_bit_for_bit(dtype: torch.dtype) -> None:
    for value in (
        torch.arange(6).reshape(2, 3).to(dtype),
        torch.ones((), dtype=dtype),
        torch.empty(0, dtype=dtype),
    ):
        assert same(
            value,
            round_trip([value.T if value.ndim == 2 else value])[0].T if value.ndim == 2 else round_trip(value),
        )


def test_tensors_that_share_memory_come_back_apart(tmp_path: Path) -> None:
    base = torch.arange(4.0)
    save_state(tmp_path / "s", {"all": base, "part": base[1:3], "wide": base[:1].expand(5)})
    back = load_state(tmp_path / "s")
    assert back["part"].tolist() == [1, 2]
    assert back["wide"].tolist() == [0] * 5


def test_strings_of_an_array_come_back() -> None:
    array = np.array([["a", "ü漢"], ["", "long one"]])
    assert (round_trip(array) == array).all()


def test_a_network_comes_back_in_eval_mode_with_its_bits() -> None:
    network = feature_classifier(5, 3, 4).train()
    network(torch.randn(8, 5))
    back = round_trip(network)
    assert not back.training
    x = torch.randn(6, 5)
    assert torch.equal(network.eval()(x), back(x))


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"embeddings": np.random.default_rng(0).normal(size=(3, 7))},
        {"attributes": np.eye(3), "attribute_names": ("x", "y", "z")},
        {"metric": np.array([[0, 1, 2], [1, 0, 3], [2, 3, 0.0]]), "seen": [2, 0]},
        {"descriptions": ("", "b", "c")},
    ],
    ids=lambda more: "+".join(more) or "names",
)
def test_a_class_space_comes_back_with_the_bits_of_its_distance(more: dict[str, Any]) -> None:
    space = ClassSpace(names=("a", "b", "c"), **more)
    back = round_trip(space)
    assert back.names == space.names
    assert back.descriptions == space.descriptions
    assert back.seen.tolist() == space.seen.tolist()
    assert same(back.distance, space.distance)
    assert same(back.embeddings, space.embeddings)


@pytest.mark.parametrize("value", [object(), {1, 2}, lambda: 0, np.array([object()]), np.array([1j]), Path("x")])
def test_what_has_no_safe_form_is_refused_with_its_path(value: Any) -> None:
    with pytest.raises(TypeError, match=r"\.0\.1: .* cannot be saved"):
        pack({"outer": [1, value]}, {}, "")


def test_a_network_that_nobody_can_build_is_refused() -> None:
    with pytest.raises(TypeError, match="Linear cannot be built again"):
        pack(nn.Linear(2, 2), {})


@given(values, values)
def test_digests_are_equal_for_equal_values_only(a: Any, b: Any) -> None:
    assert (digest(a) == digest(b)) == (json.dumps(pack(a, {})) == json.dumps(pack(b, {})))


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
def test_an_empty_array_has_a_digest(dtype: Any) -> None:
    assert digest(np.array([], dtype)) == digest(np.zeros(0, dtype))
    assert digest(np.array([], dtype)) != digest(np.zeros((0, 2), dtype))


def test_a_digest_sees_bits_types_and_shapes_of_tensors() -> None:
    a = torch.zeros(4)
    others = [torch.zeros(4).double(), torch.zeros(2, 2), torch.tensor([0.0, 0, 0, -0.0])]
    assert digest([a]) == digest([torch.zeros(4)])
    assert len({digest([x]) for x in [a, *others]}) == 4


# -- folders -----------------------------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return save_state(tmp_path / "saved", {"x": torch.arange(5.0), "rate": 0.25, "names": np.array(["a", "b"])})


def test_a_saved_folder_holds_json_and_safetensors_only(saved: Path) -> None:
    assert sorted(f.name for f in saved.iterdir()) == ["state.json", "state.safetensors"]
    assert [f.name for f in saved.parent.iterdir()] == ["saved"]


def _edit(folder: Path, change: Any) -> None:
    data = json.loads((folder / "state.json").read_text())
    change(data)
    (folder / "state.json").write_text(json.dumps(data))


def _set_rate(data: Any) -> None:
    data["value"]["items"][1] = 0.5


def _strange_tag(data: Any) -> None:
    data["value"]["items"][1] = {"$": "pickle", "value": "cos\nsystem"}


@pytest.mark.parametrize(
    "tamper",
    [
        lambda f: _edit(f, _set_rate),
        lambda f: _edit(f, _strange_tag),
        lambda f: _edit(f, lambda d: d.pop("sha256")),
        lambda f: _edit(f, lambda d: d.update(format=99)),
        lambda f: (f / "state.json").write_text("[" * 100_000),
        lambda f: (f / "state.json").write_text("null"),
        lambda f: (f / "state.json").write_bytes(b"\xff\xfe\x00"),
        lambda f: (f / "state.json").unlink(),
        lambda f: (f / "state.safetensors").unlink(),
        lambda f: (f / "state.safetensors").write_bytes((f / "state.safetensors").read_bytes()[:-1]),
        lambda f: (f / "state.safetensors").write_bytes((f / "state.safetensors").read_bytes()[:-1] + b"\x01"),
        lambda f: (f / "state.safetensors").write_bytes(b""),
    ],
)
def test_a_damaged_or_changed_folder_is_refused_by_name(saved: Path, tamper: Any) -> None:
    tamper(saved)
    with pytest.raises(ValueError, match="saved"):
        load_state(saved)


def test_unpack_knows_no_code() -> None:
    with pytest.raises(ValueError, match="unknown kind of value"):
        unpack({"$": "os.system", "value": "true"}, {})
    with pytest.raises(ValueError, match="no builder of networks"):
        unpack({"$": "network", "recipe": {"builder": "os.system", "module": "os", "args": {}}, "state": {}}, {})


def test_a_folder_written_before_is_replaced(saved: Path) -> None:
    save_state(saved, 1)
    assert load_state(saved) == 1
    assert [f.name for f in saved.parent.iterdir()] == ["saved"]


def test_a_folder_with_other_things_in_it_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("mine")
    with pytest.raises(FileExistsError, match=r"thesis\.tex"):
        save_state(tmp_path / "home", 1)
    assert (tmp_path / "home" / "thesis.tex").read_text() == "mine"
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FileExistsError, match="is a file"):
        save_state(tmp_path / "file", 1)
    assert sorted(f.name for f in tmp_path.iterdir()) == ["file", "home"]


def test_an_error_while_writing_leaves_nothing_and_keeps_the_old(saved: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "state.json").write_text("half")
        raise RuntimeError("interrupted")

    for place in (saved, saved.parent / "new"):
        with pytest.raises(RuntimeError, match="interrupted"):
            write_folder(place, fail)
    assert load_state(saved)["rate"] == 0.25
    assert [f.name for f in saved.parent.iterdir()] == ["saved"]


def test_a_failed_rename_puts_the_old_folder_back(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.rename

    def refuse(self: Path, target: Any) -> Path:
        if ".partial-" in self.name:
            raise OSError(28, "No space left on device")
        return real(self, target)

    monkeypatch.setattr("unseen.files.exchange", lambda one, other: False)
    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OSError, match="saved could not be written"):
        save_state(saved, 1)
    assert load_state(saved)["rate"] == 0.25
    assert [f.name for f in saved.parent.iterdir()] == ["saved"]


def test_others_may_read_a_state_as_they_may_any_file(tmp_path):
    save_state(tmp_path / "s", {"x": torch.ones(2)})
    modes = {(tmp_path / "s" / name).stat().st_mode for name in ("state.json", "state.safetensors")}
    assert len(modes) == 1


@pytest.mark.parametrize(
    ("there", "refused"),
    [
        ({"state.json": "old", "state.safetensors": "old"}, None),
        ({"state.json": "old", ".DS_Store": ""}, None),
        ({"state.json": "old", "report.html": "of an earlier one"}, None),
        ({"state.json": "old", "thesis.txt": "mine"}, "thesis.txt"),
        ({"thesis.txt": "mine"}, "thesis.txt"),
        ({"masks/1.png": "mine", "images/1.png": "mine"}, "images"),
        ({"masks/1.png": "mine"}, "masks"),
        ({"masks": "mine", "notes/a.txt": "mine"}, "notes"),
    ],
)
def test_nothing_that_was_not_written_here_is_replaced(
    tmp_path: Path, there: dict[str, str], refused: str | None
) -> None:
    def write(folder: Path) -> None:
        (folder / "state.json").write_text("new")
        (folder / "masks").mkdir()

    place = tmp_path / "place"
    for name, content in there.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(content)
    also = ("state.safetensors", "report.html")
    if refused is None:
        write_folder(place, write, also=also)
        assert (place / "state.json").read_text() == "new"
        return
    with pytest.raises(FileExistsError, match=rf"holds other files, such as '{refused}'"):
        write_folder(place, write, also=also)
    assert {str(p.relative_to(place)): p.read_text() for p in place.rglob("*") if p.is_file()} == there


@pytest.mark.parametrize("dtype", ["V1000000000", "<U200000000", "O", "M8[s]"])
def test_an_array_asks_for_no_memory_by_the_name_of_its_type(dtype: str) -> None:
    with pytest.raises(ValueError, match="an array must be of numbers; its type is"):
        unpack({"$": "array", "key": "x", "dtype": dtype}, {"x": torch.zeros(3)})


def test_one_long_text_does_not_make_all_of_them_as_long() -> None:
    items = ["a"] * 2000 + ["b" * 100_000]
    with pytest.raises(ValueError, match=r"one of 2,001 texts has 100,000 letters"):
        unpack({"$": "strings", "items": items, "shape": [len(items)]}, {})


def test_texts_of_unlike_lengths_come_back(tmp_path):
    said = Domain(x=["word"] * 2000 + ["w" * 100_000], kind="text").x
    save_state(tmp_path / "s", {"texts": said})
    assert load_state(tmp_path / "s")["texts"].tolist() == said.tolist()
    assert digest(np.array(["a", "bc"], dtype=object)) == digest(np.array(["a", "bc"]))  # stamps go by it
    with pytest.raises(TypeError, match="cannot be saved"):
        save_state(tmp_path / "t", {"texts": np.array(["a", 1], dtype=object)})

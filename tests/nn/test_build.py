"""Networks from JSON."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path

import pytest
import timm
import torch
from torch import nn

import processes
import unseen
from unseen.nn.build import Recipe, builder, rebuild, recipe_of
from unseen.nn.classifier import as_classifier, feature_classifier, split

SRC = Path(unseen.__file__).parent


@builder("test-mlp")
def mlp(widths: tuple[int, ...], bias: bool = True) -> nn.Sequential:
    layers = [nn.Linear(a, b, bias=bias) for a, b in zip(widths, widths[1:])]
    return nn.Sequential(*layers)


@builder("test-frozen")
def frozen(inner: nn.Module, name: str = "x") -> nn.Sequential:
    return nn.Sequential(inner, nn.ReLU())


def through_json(network: nn.Module) -> nn.Module:
    recipe = Recipe.from_json(json.loads(json.dumps(recipe_of(network).to_json())))
    back = rebuild(recipe)
    back.load_state_dict(network.state_dict())
    return back.eval()


@pytest.mark.parametrize(
    "network",
    [
        mlp((4, 3, 2)),
        mlp((4, 2), bias=False),
        frozen(mlp((4, 2))),
        frozen(frozen(mlp((4, 2)), name="y")),
        feature_classifier(4, 3, 5),
        split(mlp((4, 3, 2))),
        as_classifier(mlp((4, 3, 2))),
    ],
    ids=lambda network: recipe_of(network).builder,
)
def test_a_built_network_can_be_built_again(network: nn.Module) -> None:
    x = torch.randn(5, 4)
    assert torch.equal(network.eval()(x), through_json(network)(x))


def test_defaults_are_part_of_the_recipe() -> None:
    assert recipe_of(mlp((2, 2))) == Recipe("test-mlp", {"widths": (2, 2), "bias": True})


def test_a_timm_network_knows_itself_and_so_does_a_split_one() -> None:
    network = timm.create_model("resnet10t", num_classes=7, in_chans=1).eval()
    assert recipe_of(network) == Recipe("timm", {"name": "resnet10t", "num_classes": 7, "in_chans": 1})
    x = torch.randn(2, 1, 32, 32)
    parts = as_classifier(network).eval()
    assert torch.equal(through_json(parts)(x), parts(x))
    assert torch.allclose(parts(x), network(x), atol=1e-5)


def test_a_network_inside_that_nobody_can_build_is_told_when_it_is_saved() -> None:
    network = frozen(nn.Linear(2, 2))
    with pytest.raises(TypeError, match="Linear cannot be built again"):
        recipe_of(network).to_json()


@pytest.mark.parametrize("name", ["hf-hub:someone/model", "local-dir:/tmp", "no-such-net", "../x"])
def test_a_recipe_can_not_make_timm_fetch_anything(name: str) -> None:
    with pytest.raises(ValueError, match="timm has no network called"):
        rebuild(Recipe("timm", {"name": name, "num_classes": 2}))


@pytest.mark.parametrize(
    "data", [None, [], {"builder": "x"}, {"builder": "x", "args": 1}, {"builder": "x", "args": {}, "y": 1}]
)
def test_what_is_no_recipe_is_refused(data: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        Recipe.from_json(data)  # type: ignore[arg-type]


def test_an_unknown_builder_is_named() -> None:
    with pytest.raises(ValueError, match="'nobody'"):
        rebuild(Recipe("nobody", {}))


def test_a_detector_of_torchvision_is_built_again_with_frozen_batch_norm(tmp_path):
    from torchvision.ops import FrozenBatchNorm2d

    from unseen.nn.build import torchvision_network

    network = torchvision_network("retinanet_resnet50_fpn", 5, frozen=True)
    again = rebuild(Recipe.from_json(recipe_of(network).to_json()))
    again.load_state_dict(network.state_dict())
    layers = [type(module) for module in again.modules()]
    assert FrozenBatchNorm2d in layers
    assert nn.BatchNorm2d not in layers
    assert again.head.classification_head.num_classes == 5


def test_a_name_that_torchvision_lacks_is_refused():
    from unseen.nn.build import torchvision_network

    with pytest.raises(ValueError, match="no network called 'resnet19'"):
        torchvision_network("resnet19")


def test_a_file_that_names_a_module_has_nothing_imported() -> None:
    """The command line's module ran the arguments of whoever opened the model, and ended the process."""
    code = (
        "import sys; from unseen.nn.build import Recipe, rebuild\n"
        "for module in ('unseen.cli.__main__', 'unseen.web.app', 'unseen.claims.zeroq'):\n"
        "    recipe = Recipe.from_json({'builder': 'nobody', 'module': module, 'args': {}})\n"
        "    try: rebuild(recipe)\n"
        "    except ValueError as error: assert \"'nobody'\" in str(error)\n"
        "    assert module not in sys.modules, module\n"
        "print('went on')"
    )
    found = processes.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True)
    assert (found.returncode, found.stdout) == (0, "went on\n"), found.stderr


def test_importing_the_module_of_the_command_line_runs_nothing() -> None:
    found = processes.run([sys.executable, "-c", "import unseen.cli.__main__"], capture_output=True, text=True)
    assert (found.returncode, found.stdout) == (0, ""), found.stderr


def test_the_list_of_builders_is_that_of_the_package() -> None:
    from unseen.nn.builders import HOMES

    found = {}
    for file in SRC.rglob("*.py"):
        text = file.read_text()
        for node in ast.walk(ast.parse(text)) if "@builder(" in text else ():
            calls = node.decorator_list if isinstance(node, ast.FunctionDef) else []
            for call in calls:
                if isinstance(call, ast.Call) and ast.unparse(call.func) == "builder":
                    found[call.args[0].value] = ".".join(file.relative_to(SRC).with_suffix("").parts)
    assert found == HOMES


@pytest.mark.parametrize("name", ["linear", "cosine", "ad-clip", "quantized"])
def test_a_builder_of_the_list_is_met_in_a_process_that_never_saw_it(name: str) -> None:
    code = (
        "from unseen.nn import build\n"
        f"build.Recipe.from_json({{'builder': {name!r}, 'module': 'anything', 'args': {{}}}})\n"
        f"assert {name!r} in build._BUILDERS"
    )
    found = processes.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr

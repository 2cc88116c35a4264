"""Regions of pictures: cells of the last map beside the features, of any network, kept, saved and carried with them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

import processes
from unseen import encoders
from unseen.bundle import Bundle
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.encoders.regions import Map, Regional, cell_means
from unseen.methods.baselines.ridge import Ridge
from unseen.methods.zero_shot.crest import CREST

from .conftest import pictures

timm = pytest.importorskip("timm")

SMALL = "timm:test_resnet?pretrained=0&size=64&mode=squash"


class Passing(nn.Module):
    """A network whose map is the picture."""

    def forward_features(self, x: Tensor) -> Tensor:
        return x

    def forward_head(self, x: Tensor) -> Tensor:
        return x.mean(dim=(2, 3))


@pytest.mark.parametrize("n", [3, 7, 8, 14])
@pytest.mark.parametrize("side", [1, 2, 3])
def test_cells_are_the_bins_of_adaptive_pooling(n: int, side: int) -> None:
    x = torch.randn(4, n)
    torch.testing.assert_close(x @ cell_means(n, side).T, F.adaptive_avg_pool1d(x[None], side)[0])


def test_cells_go_row_by_row_and_stand_behind_the_features() -> None:
    picture = torch.zeros(1, 3, 6, 6)
    picture[0, :, :3, 3:] = 4.0  # the upper right quarter
    network = Regional(Passing(), 2, Map("channels first", (6, 6), 0, True), classifier=False)
    packed = network(picture).unflatten(1, (5, 3))
    assert packed[0, :, 0].tolist() == [1, 0, 4, 0, 0]
    assert torch.equal(network.cells(picture)[0, :, 0], packed[0, 1:, 0])


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "swin_tiny_patch4_window7_224", "mobilenetv3_small_050"])
def test_features_are_those_without_regions_and_cells_those_of_the_last_map(name: str) -> None:
    size = timm.models.get_pretrained_cfg(name).input_size[1]
    torch.manual_seed(0)
    encoder = encoders.get(f"timm:{name}?pretrained=0&regions=2", precision="fp32")
    encoder.batch_size = 3
    found = encoder.encode(pictures(3), cache=False)
    with torch.inference_mode():
        batch = encoder.preprocess(list(pictures(3).x))
        assert torch.equal(torch.from_numpy(found.x), encoder.module(batch))
        whole = encoder.module.forward_features(batch)
    assert batch.shape[2] == size
    if whole.ndim == 3:
        tokens = whole[:, encoder.module.num_prefix_tokens :]
        whole = tokens.unflatten(1, encoder.module.patch_embed.grid_size).permute(0, 3, 1, 2)
    elif name.startswith("swin"):
        whole = whole.permute(0, 3, 1, 2)
    expected = F.adaptive_avg_pool2d(whole, 2)
    if expected.shape[1] != encoder.dim:  # the head makes features of it, here of each cell
        each = expected.permute(0, 2, 3, 1).reshape(-1, expected.shape[1], 1, 1)
        with torch.inference_mode():
            expected = encoder.module.forward_head(each).reshape(3, 2, 2, -1).permute(0, 3, 1, 2)
    cells = found.columns["regions"]
    assert cells.shape == (3, 4, encoder.dim)
    assert cells.dtype == np.float32
    np.testing.assert_allclose(cells, expected.flatten(2).transpose(1, 2), atol=1e-5)


@pytest.mark.parametrize("name", ["efficientnet-lite0?size=64", "timm:test_resnet?pretrained=0&size=64"])
def test_an_earlier_map_gives_features_and_regions(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    encoder = encoders.get(f"{name}&layer=3&regions=8", precision="fp32")
    found = encoder.encode(pictures(3), cache=False)
    network = encoder.module.network
    with torch.inference_mode():
        maps = network.forward_intermediates(encoder.preprocess(list(pictures(3).x)), intermediates_only=True)
    np.testing.assert_allclose(found.columns["regions"], maps[2].flatten(2).transpose(1, 2), atol=1e-4)
    np.testing.assert_allclose(found.x, maps[2].mean(dim=(2, 3)), atol=1e-4)


@pytest.mark.parametrize("layer", ["0", "6", "x"])
def test_a_layer_that_is_none_is_named(layer: str) -> None:
    with pytest.raises(ValueError, match="from 1 to 5"):
        encoders.get(f"efficientnet-lite0?layer={layer}")


def test_one_region_is_the_picture(own_cache: Path) -> None:
    found = encoders.get("efficientnet-lite0?size=64&regions=1").encode(pictures(2), precision="fp32", cache=False)
    np.testing.assert_allclose(found.columns["regions"][:, 0], found.x, atol=1e-5)


def test_every_method_reads_the_same_features_as_without_regions(own_cache: Path) -> None:
    plain, regional = (
        encoders.get(f"efficientnet-lite0?size=64{more}", precision="fp32") for more in ("", "&regions=2")
    )
    a, b = plain.encode(pictures(8)), regional.encode(pictures(8))
    assert np.array_equal(a.x, b.x)
    assert plain.fingerprint != regional.fingerprint
    classes = ClassSpace(names=("a", "b", "c", "d"), attributes=np.eye(4)[:, :3] + 1, seen=range(3))
    one, other = (Ridge(penalty=1e-2).fit(source=d.replace(classes=None), classes=classes) for d in (a, b))
    assert torch.equal(one.decision_function(a), other.decision_function(b))


def test_regions_are_kept_with_the_features(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "efficientnet-lite0?size=64&regions=2"
    first = encoders.get(name, precision="fp32").encode(pictures(6))
    again = encoders.get(name, precision="fp32")
    monkeypatch.setattr(again, "compute", lambda *_: pytest.fail("it was encoded once more"))
    domain = pictures(6).take([3, 0])
    second = again.encode(domain)
    assert np.array_equal(second.columns["regions"], first.columns["regions"][[3, 0]])
    assert np.array_equal(second.columns["domain"], domain.columns["domain"])


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("efficientnet-lite0?size=64&regions=0", "regions cannot be '0'"),
        ("efficientnet-lite0?size=64&regions=two", "regions cannot be 'two'"),
        ("efficientnet-lite0?size=64&regions=3", "has 2 x 2 positions"),
        ("lite-clip?regions=2", "there is no option 'regions'"),
        ("onnx:none.onnx?regions=2", "there is no option 'regions'"),
        ("torchscript:none.pt?regions=2", "there is no option 'regions'"),
        ("minilm?regions=2", "there is no option 'regions'"),
    ],
)
def test_what_has_no_regions_says_so(name: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        encoders.get(name)


# -- a model that reads regions ----------------------------------------------------------------------------


@pytest.fixture
def bundle(own_cache: Path) -> Bundle:
    torch.manual_seed(0)
    encoder = encoders.get(f"{SMALL}&regions=2", precision="fp32")
    classes = ClassSpace(names=tuple("abcdef"), attributes=np.eye(6)[:, :4] + np.eye(6)[::-1, :4], seen=range(4))
    source = encoder.encode(pictures(40)).replace(y=np.arange(40) % 4, classes=classes.take(range(4)))
    return Bundle(
        method=CREST(**CREST.card.smoke).fit(source=source, classes=classes), classes=classes, encoder=encoder
    )


def test_a_saved_model_with_regions_predicts_files_in_a_fresh_process(bundle: Bundle, tmp_path: Path) -> None:
    new = pictures(5, seed=3)
    (tmp_path / "new").mkdir()
    for i, picture in enumerate(new.x):
        Image.fromarray(picture).save(tmp_path / "new" / f"{i}.png")
    bundle.save(tmp_path / "model")
    code = (
        "from unseen.bundle import Bundle; t = Bundle.load('model').predict('new');"
        "print(*t['class'], *t['probability'])"
    )
    env = os.environ | {"UNSEEN_CACHE": str(tmp_path / "other"), "OMP_NUM_THREADS": "1"}
    done = processes.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    table = bundle.predict(new)
    told = done.stdout.split()
    assert told[:5] == table["class"].tolist()
    np.testing.assert_allclose(np.array(told[5:], dtype=float), table["probability"], atol=1e-5)


def test_a_model_with_regions_is_carried_as_one_onnx_file(bundle: Bundle, tmp_path: Path) -> None:
    import onnxruntime

    assert bundle.export(tmp_path / "model.onnx") < 1e-3
    batch = bundle.encoder.preprocess(list(pictures(3).x))  # type: ignore[union-attr]
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    found = session.run(None, {"x": batch.contiguous().numpy()})[0]
    np.testing.assert_allclose(found, bundle.predict_proba(pictures(3)), atol=1e-3)


def test_the_recipe_of_a_network_with_regions_builds_it_again(bundle: Bundle) -> None:
    from unseen.nn.build import Recipe, rebuild, recipe_of

    network = bundle.logits().eval()
    again = rebuild(Recipe.from_json(recipe_of(network).to_json()))
    again.load_state_dict(network.state_dict())
    batch = bundle.encoder.example()[:2]  # type: ignore[union-attr]
    with torch.no_grad():
        assert torch.equal(again.eval()(batch), network(batch))


def test_regions_are_samples_and_stay_where_labels_are_removed() -> None:
    cells = np.zeros((4, 2, 3), dtype=np.float32)
    domain = Domain(x=np.zeros((4, 3)), y=np.arange(4), columns={"regions": cells, "label": np.arange(4)})
    assert set(domain.unlabeled().columns) == {"regions"}
    named = domain.replace(columns={"regions": np.array(["north", "south", "east", "west"])})
    assert set(named.unlabeled().columns) == set()

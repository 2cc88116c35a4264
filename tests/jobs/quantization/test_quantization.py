"""`quantize`: models by name and by folder, other sizes afterwards, pictures to compare on, the page, and bad input."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import sys
import warnings
from typing import Self

import numpy as np
import onnx
import pytest
import torch
import torchvision
from PIL import Image
from torch import nn

import processes
from small_towers import saved_towers
from unseen import methods
from unseen.bundle import Bundle
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain, Lazy
from unseen.encoders import Encoder, get
from unseen.encoders.frames import FramesEncoder
from unseen.jobs.quantization import job as quantization
from unseen.jobs.quantization.integers import export_model
from unseen.jobs.quantization.job import quantize, quantizers
from unseen.jobs.quantization.networks import classifier
from unseen.jobs.quantization.page import facts
from unseen.methods.base import Card
from unseen.methods.compression.zeroq import ZeroQ
from unseen.methods.compression.zeroq.precision import sensitivity
from unseen.methods.fixed import fixed
from unseen.methods.network import NetworkMethod
from unseen.nn.build import builder, rebuild, recipe_of, timm_network, torchvision_network
from unseen.nn.classifier import pooled, without_classifier
from unseen.nn.divergences import exact_kl
from unseen.nn.integer import run_onnx
from unseen.nn.quantizers import frozen_copy, quantizable, quantized, quantized_weight

SHORT = {"iterations": 3, "batch_size": 4, "learning_rate": 0.1}
NAMES = ("cat", "dog", "fox", "owl")


@builder("test-quantize-net")
def small_net(width: int = 8) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, width, 3, 2, 1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, width, 3, 1, 1, groups=width, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU6(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(width, len(NAMES)),
    )


def bundle_of(network: nn.Module) -> Bundle:
    return Bundle(
        method=fixed(network.eval()), classes=ClassSpace(names=NAMES), encoder=get("pixels?size=16&crop=1"), whole=True
    )


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    torch.manual_seed(0)
    network = small_net()
    for _ in range(10):
        network.train()(torch.randn(16, 3, 16, 16))
    return bundle_of(network)


class Rounded(NetworkMethod):
    """Weights in eight bits, activations as they are."""

    card = Card(slug="rounded", title="Rounded", venue="", modalities={"image"}, protocols={"quantization"})

    def fit(self, *, model: nn.Module, target: Domain | None = None) -> Self:
        network = frozen_copy(model)
        self.network_ = quantized(network, dict.fromkeys(quantizable(network), 8))
        return self


class Unrounded(Rounded):
    card = dataclasses.replace(Rounded.card, slug="unrounded")

    def fit(self, *, model: nn.Module) -> Self:
        self.network_ = frozen_copy(model)
        return self


def test_a_method_of_another_package_quantizes_by_its_card_alone(install, bundle, tmp_path):
    install("methods", rounded=Rounded, unrounded=Unrounded)
    assert quantizers()[-2:] == ("rounded", "unrounded")
    _, about = quantize(bundle, method="rounded", out=tmp_path / "small")
    assert about["bits"] == {"least": 8, "most": 8}
    assert "rounded" in (tmp_path / "small" / "report.html").read_text()
    assert Bundle.load(tmp_path / "small").method.card.slug == "rounded"
    with pytest.raises(
        TypeError, match=r"unrounded must give as `network\(\)` .*quantized makes; it gave a Sequential"
    ):
        quantize(bundle, method="unrounded")


def test_pictures_that_are_read_one_by_one_reach_the_whole_network_in_batches(bundle):
    shown = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)
    lazy = Domain(x=Lazy(range(5), shown.__getitem__), kind="image")
    batch = bundle.features(lazy).x
    assert isinstance(batch, np.ndarray)
    assert np.array_equal(batch, bundle.features(Domain(x=shown, kind="image")).x)
    assert len(bundle.predict(lazy)) == 5


@pytest.fixture(scope="module")
def model(bundle, tmp_path_factory):
    return bundle.save(tmp_path_factory.mktemp("models") / "float")


@pytest.fixture(scope="module")
def mixed(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "mixed"
    small, about = quantize(model, out=folder, size="0.0002MB", settings=SHORT)
    return folder, small, about


def pictures(n: int = 9, labels: bool = True) -> Domain:
    rng = np.random.default_rng(0)
    x = [Image.fromarray(rng.integers(0, 255, (20, 20, 3), dtype=np.uint8)) for _ in range(n)]
    array = np.empty(n, dtype=object)
    array[:] = x
    y = np.arange(n) % 3 if labels else None
    return Domain(x=array, y=y, kind="image", classes=ClassSpace(names=("dog", "owl", "yak")) if labels else None)


# -- what it gives -----------------------------------------------------------------------------------------


def test_all_methods_of_the_protocol_are_asked_none_by_name():
    assert set(quantizers()) == {s for s in methods.slugs() if "quantization" in methods.get(s).card.protocols}
    assert {"zeroq", "dfq"} <= set(quantizers())


@pytest.mark.parametrize("slug", ["zeroq", "dfq"])
def test_a_saved_model_is_quantized_saved_and_predicts(model, tmp_path, slug):
    settings = SHORT if slug == "zeroq" else {}
    small, about = quantize(model, out=tmp_path / "q", method=slug, bits="6/8", settings=settings)
    again = Bundle.load(tmp_path / "q")
    assert set(again.method.network().weight_bits.values()) == {6}
    table = again.predict(pictures())
    assert set(table["class"]) <= set(NAMES)
    assert table["probability"].tolist() == small.predict(pictures())["probability"].tolist()
    told = json.loads((tmp_path / "q" / "quantization.json").read_text())
    assert told == about
    weights, rest = 3 * 8 * 9 + 8 * 9 + 8 * 4, 4 * 8 + 4
    if slug == "dfq":
        rest = 2 * 8 + 4  # BatchNorm became biases
    assert told["megabytes"]["before"] == pytest.approx(4 * (weights + 4 * 8 + 4) / 2**20)
    assert told["megabytes"]["quantized"] == pytest.approx(6 / 8 * weights / 2**20)
    assert told["megabytes"]["after"] == pytest.approx((6 / 8 * weights + 4 * rest) / 2**20)
    assert told["megabytes"]["float"] == {"biases and norms": pytest.approx(4 * rest / 2**20)}
    files = [file for file in (tmp_path / "q").rglob("*") if file.is_file() and file.parent != tmp_path / "q"]
    assert told["megabytes"]["folder"] * 2**20 >= sum(file.stat().st_size for file in files) > weights
    assert (tmp_path / "q" / "report.html").exists()


def test_pictures_tell_agreement_and_with_labels_accuracy(bundle):
    _, about = quantize(bundle, data=pictures(), settings=SHORT)
    truth = [i for i, y in enumerate(pictures().y) if y < 2]  # there is no yak among the model's classes
    with torch.no_grad():
        guessed = bundle.logits()(torch.as_tensor(bundle.features(pictures()).x)).argmax(dim=1).numpy()
    right = np.mean([NAMES[guessed[i]] == ("dog", "owl")[pictures().y[i]] for i in truth])
    assert about["data"]["accuracy"]["float"] == pytest.approx(right)
    assert about["data"]["labelled"] == len(truth)
    assert about["data"]["pictures"] == 9
    assert facts(about)["accuracy on data"].startswith(f"float {100 * right:.1f} %, quantized ")
    assert facts(about)["same class as before on data"].endswith("of 9")
    _, about = quantize(bundle, data=pictures(labels=False), settings=SHORT)
    assert "accuracy on data" not in facts(about)
    foreign = pictures().replace(classes=ClassSpace(names=("yak", "gnu", "elk")))
    _, about = quantize(bundle, data=foreign, settings=SHORT)
    assert facts(about)["accuracy on data"].startswith("not known")


def test_pictures_are_read_some_at_a_time_and_by_models_that_were_adapted(bundle, monkeypatch):
    monkeypatch.setattr(quantization, "BATCH", 8)
    sizes: list[int] = []
    preprocess = bundle.encoder.preprocess
    adapted = Bundle(method=fixed(nn.Linear(16 * 16 * 3, len(NAMES))), classes=bundle.classes, encoder=bundle.encoder)
    _, whole = quantize(bundle, data=pictures(20), settings=SHORT)
    read = type(preprocess).__call__
    monkeypatch.setattr(type(preprocess), "__call__", lambda self, x: sizes.append(len(x)) or read(self, x))
    _, about = quantize(bundle, data=pictures(20), settings=SHORT)
    assert sizes[-3:] == [8, 8, 4]
    assert about["data"] == whole["data"]
    assert not adapted.whole
    assert torch.equal(torch.cat(list(quantization._batches(adapted, pictures(4)))), preprocess(list(pictures(4).x)))


def test_seconds_are_told_stage_by_stage(mixed):
    assert list(mixed[2]["seconds"]) == ["pictures", "sensitivity", "frontier", "ranges", "comparison"]


def test_another_point_of_the_frontier_needs_no_distillation(mixed, model, tmp_path):
    folder, first, _ = mixed
    small, about = quantize(again=folder, size="0.0003MB", out=tmp_path / "b")
    assert "pictures" not in about["seconds"]
    assert "sensitivity" not in about["seconds"]
    assert torch.equal(small.method.distilled_, first.method.distilled_)
    assert small.method.bits_ == first.method.choose(budget_mb=0.0003)
    assert first.method.megabytes_ < small.method.megabytes_ <= 0.0003
    anew, _ = quantize(model, size="0.0003MB", settings=SHORT)
    x = torch.randn(5, 3, 16, 16)
    assert torch.equal(anew.method.decision_function(x), small.method.decision_function(x))
    third, _ = quantize(again=tmp_path / "b", bits="4/6")  # and from there to equal bits
    assert set(third.method.bits_.values()) == {4}
    assert {a.bits for a in third.method.network().activations} == {6}


def test_a_uniform_model_gets_its_frontier_when_a_size_is_asked_for(bundle, model, tmp_path):
    quantize(model, out=tmp_path / "a", settings=SHORT)
    _, about = quantize(model, again=tmp_path / "a", size="0.0002MB")
    assert "sensitivity" in about["seconds"]
    assert "pictures" not in about["seconds"]


def test_the_page_needs_nothing_else_and_escapes_names(bundle, tmp_path):
    evil = Bundle(method=bundle.method, classes=bundle.classes, encoder=bundle.encoder, whole=True).save(
        tmp_path / "<script>alert(1)<"
    )
    quantize(evil, out=tmp_path / "q", size="0.0002MB", settings=SHORT)
    page = (tmp_path / "q" / "report.html").read_text()
    assert "<script" not in page
    assert not re.findall(r"(?:src|href)=\"(?!data:)", page)
    assert page.count("data:image/png;base64,") == 3  # the sheet, the curve, and the curve for a phone
    for word in ("Distilled pictures", "Sensitivity and bits of each layer", "sensitivity", "8 bits", "chosen"):
        assert word in page


def test_onnx_in_integers_comes_from_the_float_network_or_from_the_folder(mixed, tmp_path):
    folder, _, _ = mixed
    small, about = quantize(again=folder, bits="8/8", onnx=tmp_path / "a.onnx", out=tmp_path / "w8")
    assert "cosine" in facts(about)["ONNX against float"]
    told = export_model(Bundle.load(tmp_path / "w8"), tmp_path / "b.onnx")
    assert told.cosine > 0.98
    x = torch.randn(16, 3, 16, 16).clamp(-2, 2)
    with torch.no_grad():
        simulated = small.network()(x)
    for file in ("a.onnx", "b.onnx"):
        graph = onnx.load(tmp_path / file)
        ends = [
            value.type.tensor_type.shape.dim[0].dim_param for value in (graph.graph.input[0], graph.graph.output[0])
        ]
        assert ends == ["batch", "batch"]
        told = {prop.key: prop.value for prop in graph.metadata_props}
        assert json.loads(told["preprocess"])["mean"] == list(small.encoder.preprocess.mean)
        assert json.loads(told["threshold"]) == small.threshold
        got = run_onnx(tmp_path / file, x)
        assert torch.allclose(got.sum(dim=1), torch.ones(16), atol=1e-4)  # probabilities, not rounded themselves
        assert float((got - simulated).abs().mean()) < 0.02


def test_the_file_in_integers_is_graded_on_data_and_a_bad_one_says_so(bundle, tmp_path):
    torch.manual_seed(1)
    x = (torch.rand(12, 16, 16, 3) * 255).to(torch.uint8).numpy()
    shown = Domain(x=x, y=np.arange(12) % 4, classes=ClassSpace(names=NAMES), kind="image", name="shown")
    _, about = quantize(bundle, bits="8/8", settings=SHORT, onnx=tmp_path / "a.onnx", data=shown)
    seen = about["onnx"]["data"]
    assert seen["pictures"] == 12
    assert 0 <= seen["accuracy"]["quantized"] <= 1
    assert "same class as in floats on" in facts(about)["ONNX on data"]
    about["onnx"]["data"]["agreement"] = 0.5
    assert "Do not use the file" in facts(about)["ONNX on data"]


def test_a_classifier_that_is_never_asked_is_not_quantized():
    torch.manual_seed(0)
    network = timm_network("test_efficientnet.r160_in1k", 10).eval()
    lean = without_classifier(pooled(network))
    x = torch.randn(2, 3, 64, 64)
    assert torch.equal(lean(x), pooled(network)(x))
    assert not any(isinstance(layer, nn.Linear) for layer in lean.modules())
    assert isinstance(network.classifier, nn.Linear)
    again = rebuild(recipe_of(lean))
    again.load_state_dict(lean.state_dict())
    assert torch.equal(again.eval()(x), lean(x))


def test_attention_that_stays_float_is_counted_and_named():
    bundle = classifier("torchvision:vit_b_16?pretrained=0")
    network = bundle.logits()
    layers = dict.fromkeys(quantizable(network), 8)

    class Quantized:
        @staticmethod
        def network() -> nn.Module:
            return quantized(frozen_copy(network), layers)

    size = quantization._sizes(network, Quantized)["megabytes"]
    assert size["before"] == pytest.approx(sum(p.numel() for p in network.parameters()) * 4 / 2**20)
    assert size["quantized"] == pytest.approx(size["before"] / 4, rel=0.4)
    assert size["float"]["in_proj_weight of MultiheadAttention"] == pytest.approx(12 * 3 * 768 * 768 * 4 / 2**20)
    assert size["after"] == pytest.approx(size["quantized"] + sum(size["float"].values()))
    assert size["after"] == pytest.approx(144.4, abs=0.5)  # what it takes on disk, but for steps


def test_a_distillation_that_diverged_is_told_as_such(bundle, tmp_path):
    small, about = quantize(bundle, settings={**SHORT, "learning_rate": 1e6}, out=tmp_path / "q")
    first, last = small.method.losses_[[0, -1]]
    told = f"went from {first:.4g} to {last:.4g} in 3 steps: distillation diverged, a smaller learning rate may help"
    assert facts(about)["mismatch of statistics"] == told
    page = (tmp_path / "q" / "report.html").read_text()
    assert f"The mismatch of statistics {told}." in page
    assert "fell" not in page


def test_a_divergence_is_not_below_zero():
    x = torch.randn(64, 10)
    assert float(exact_kl(x, x + 1e-4 * torch.randn(64, 10)).mean()) < 1e-6
    assert str(quantization._apart(x, x)["divergence"]) == "0.0"
    assert all(quantization._apart(x, x + c)["divergence"] >= 0 for c in torch.linspace(-9, 9, 50))


def test_the_file_is_compared_with_the_float_network_and_from_the_folder_with_the_simulated_one(
    bundle, model, tmp_path
):
    small, about = quantize(model, bits="2/8", onnx=tmp_path / "a.onnx", out=tmp_path / "q", settings=SHORT)
    x = nn.functional.interpolate(small.method.distilled_, (16, 16), mode="bilinear", antialias=True)
    got = run_onnx(tmp_path / "a.onnx", x)
    with torch.no_grad():
        exact, simulated = (b.network().eval()(x) for b in (Bundle.load(model), small))

    def cosine(other: torch.Tensor, one: torch.Tensor = got) -> float:
        other, one = (p.log() - p.log().mean(dim=1, keepdim=True) for p in (other, one))
        return float(nn.functional.cosine_similarity(other, one).mean())

    assert about["onnx"]["cosine"] == pytest.approx(cosine(exact), abs=1e-5)
    logits = bundle.logits()(x)
    centred = logits - logits.mean(dim=1, keepdim=True)
    assert cosine(exact) == pytest.approx(cosine(logits.softmax(dim=1)), abs=1e-5)
    assert float(nn.functional.cosine_similarity(exact.log() - exact.log().mean(1, True), centred).mean()) > 0.9999
    assert re.fullmatch(r"cosine of logits 0\.\d{4}, agreement .*", facts(about)["ONNX against float"])
    assert about["onnx"]["milliseconds"] > 0
    assert about["onnx"]["float_milliseconds"] > 0
    assert re.fullmatch(
        r"\d+\.\d ms a picture in integers, \d+\.\d in floats: \d+\.\d\d times as fast, here on one thread",
        facts(about)["ONNX speed"],
    )
    assert cosine(exact) != pytest.approx(cosine(simulated), abs=1e-4)
    told = export_model(Bundle.load(tmp_path / "q"), tmp_path / "b.onnx")
    assert told.cosine == pytest.approx(cosine(simulated, run_onnx(tmp_path / "b.onnx", x)), abs=1e-5)


def test_excluded_layers_count_as_float_and_stay_float_in_onnx(bundle, tmp_path):
    settings = {**SHORT, "exclude": ("8",)}
    _, about = quantize(bundle, bits="4/8", onnx=tmp_path / "m.onnx", settings=settings)
    conv, head = 3 * 8 * 9 + 8 * 9, 8 * 4
    assert about["megabytes"]["quantized"] == pytest.approx(conv * 4 / 8 / 2**20)
    assert about["megabytes"]["float"]["weight of Linear"] == pytest.approx(head * 4 / 2**20)
    assert about["megabytes"]["after"] == pytest.approx((conv * 4 + (head + 36) * 32) / 8 / 2**20)
    assert facts(about)["stays float"] == "biases and norms 0.00 MB, weight of Linear 0.00 MB"
    assert about["bits"] == {"least": 4, "most": 32}
    stored = {i.name: onnx.numpy_helper.to_array(i) for i in onnx.load(tmp_path / "m.onnx").graph.initializer}
    assert np.allclose(stored["scores.8.weight"], bundle.logits()[8].weight.detach().numpy())
    assert sum(array.dtype == np.int8 and array.ndim == 4 for array in stored.values()) == 2
    with pytest.raises(ValueError, match="all weights of this model are float"):
        quantize(bundle, bits="32/8", onnx=tmp_path / "n.onnx", settings=SHORT)


def test_a_point_that_was_not_chosen_is_not_marked(mixed, model, tmp_path):
    folder, _, _ = mixed
    quantize(again=folder, bits="8/8", out=tmp_path / "a")
    quantize(again=folder, bits="5/8", out=tmp_path / "b")
    quantize(model, size="0.0002MB", settings={**SHORT, "allocation": "reverse"}, out=tmp_path / "c")
    marked = [
        (place / "report.html").read_text().count('class="chosen"')
        for place in (folder, *map(tmp_path.joinpath, "abc"))
    ]
    assert marked == [1, 1, 0, 0]  # 8 bits for all are the last point


def test_another_size_is_allocated_as_the_first_was(model, tmp_path):
    quantize(model, size="0.0002MB", settings={**SHORT, "allocation": "reverse"}, out=tmp_path / "a")
    small, _ = quantize(again=tmp_path / "a", size="0.0003MB")
    anew, _ = quantize(model, size="0.0003MB", settings={**SHORT, "allocation": "reverse"})
    assert small.method.bits_ == anew.method.bits_ != anew.method.choose(budget_mb=0.0003)
    quantize(model, size="0.0002MB", settings={**SHORT, "allocation": "random"}, out=tmp_path / "b")
    with pytest.raises(ValueError, match="random"):
        quantize(again=tmp_path / "b", size="0.0003MB")


def test_a_model_is_found_again_from_elsewhere_or_asked_for(bundle, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bundle.save("float")
    quantize("float", out="q", settings=SHORT)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    quantize(again="../q", bits="6/8")
    (tmp_path / "float").rename(tmp_path / "moved")
    with pytest.raises(ValueError, match="name the model first"):
        quantize(again="../q", bits="6/8")
    quantize("../moved", again="../q", bits="6/8")
    quantize(bundle, out="of-a-bundle", settings=SHORT)
    with pytest.raises(ValueError, match="name the model first"):
        quantize(again="of-a-bundle", bits="6/8")


def test_what_cannot_be_written_is_refused_before_the_long_work_and_a_failed_export_leaves_the_model(
    bundle, tmp_path, monkeypatch
):
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "diary.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    with monkeypatch.context() as patch:
        patch.setattr(quantization, "_fit", lambda *_: pytest.fail("it was fitted"))
        for out in ("foreign", "file"):
            with pytest.raises(FileExistsError, match=out):
                quantize(bundle, out=tmp_path / out, settings=SHORT)
        for told in ({"method": "dfq"}, {"settings": {"data": "gaussian"}}, {"pictures": pictures()}):
            with pytest.raises(ValueError, match="onnx needs distilled pictures"):
                quantize(bundle, onnx=tmp_path / "m.onnx", **told)
        with pytest.raises(ValueError, match="can be written"):
            quantize(bundle, onnx=tmp_path / "file" / "m.onnx", settings=SHORT)
        patch.setattr(quantization.importlib.util, "find_spec", lambda name: None)
        with pytest.raises(ImportError, match="pip install onnx"):
            quantize(bundle, onnx=tmp_path / "m.onnx", settings=SHORT)

    def fails(*_, **__):
        raise ValueError("no such graph")

    monkeypatch.setattr(quantization, "export_model", fails)
    with pytest.raises(ValueError, match="no such graph"):
        quantize(bundle, onnx=tmp_path / "m.onnx", out=tmp_path / "q", settings=SHORT)
    assert Bundle.load(tmp_path / "q").method.bits_
    assert (tmp_path / "q" / "report.html").exists()


def test_an_earlier_model_is_not_overwritten_by_another(bundle, tmp_path, monkeypatch):
    quantize(bundle, out=tmp_path / "q", settings=SHORT)
    quantize(bundle, out=tmp_path / "q", settings=SHORT)  # the same once more
    with monkeypatch.context() as patch:
        patch.setattr(quantization, "_fit", lambda *_: pytest.fail("it was fitted"))
        with pytest.raises(ValueError, match=r"^out must be another folder than `again`, which would be lost"):
            quantize(again=tmp_path / "q", bits="6/8", out=tmp_path / "new" / ".." / "q")
        with pytest.raises(ValueError, match=r"^out: .*q holds another quantized model \(of other method, bits\);"):
            quantize(bundle, out=tmp_path / "q", bits="6/8", settings=SHORT)
        with pytest.raises(ValueError, match=r"\(of other network\)"):
            quantize(bundle_of(small_net(6)), out=tmp_path / "q", settings=SHORT)
        saved = bundle.save(tmp_path / "float")
        with pytest.raises(FileExistsError, match="holds a model that was not quantized"):
            quantize(saved, out=saved, settings=SHORT)


def test_a_network_in_doubles_is_quantized_in_single_precision(bundle):
    double = bundle_of(frozen_copy(bundle.logits()).double())
    got, _ = quantize(double, settings=SHORT)
    expected, _ = quantize(bundle, settings=SHORT)
    x = torch.randn(3, 3, 16, 16)
    assert torch.equal(got.method.decision_function(x), expected.method.decision_function(x))


# -- networks by name --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["timm:resnet10t?pretrained=0&size=32", "torchvision:resnet18?pretrained=0&size=32"])
def test_random_networks_by_name_are_the_same_each_time_and_can_be_saved(name, tmp_path):
    first, second = classifier(name), classifier(name)
    assert len(first.classes) == 1000
    first.save(tmp_path / "m")
    x = torch.randn(2, 3, 32, 32)
    loaded = Bundle.load(tmp_path / "m")
    with torch.no_grad():
        expected = first.logits()(x)
        assert torch.equal(second.logits()(x), expected)
        assert torch.equal(loaded.logits()(x), expected)
    assert loaded.example().shape == (2, 3, 32, 32)


def test_checkpoints_are_read_and_those_that_do_not_fit_are_named(tmp_path):
    network = torchvision.models.resnet18(weights=None)
    torch.save(network.state_dict(), tmp_path / "w.pth")
    read = classifier(f"torchvision:resnet18@{tmp_path / 'w.pth'}?size=32").logits()
    assert torch.equal(read.fc.weight, network.fc.weight)
    with pytest.raises(ValueError, match="does not fit"):
        classifier(f"torchvision:resnet34@{tmp_path / 'w.pth'}")
    with pytest.raises(FileNotFoundError, match="checkpoint"):
        classifier("timm:resnet18@nowhere.safetensors")


@pytest.mark.parametrize("name", ["torchvision:resnet18", "torchvision:squeezenet1_1", "timm:resnet10t"])
def test_a_fine_tuned_checkpoint_says_how_many_classes_there_are(name, tmp_path):
    kind, _, architecture = name.partition(":")
    build = timm_network if kind == "timm" else torchvision_network
    network = build(architecture, num_classes=6).eval()
    torch.save(network.state_dict(), tmp_path / "w.pt")
    read = classifier(f"{name}@{tmp_path / 'w.pt'}?size=64")
    assert read.classes.names == tuple(f"class {i}" for i in range(6))
    read.save(tmp_path / "m")
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        for own in (read.logits(), Bundle.load(tmp_path / "m").logits()):
            assert torch.equal(own(x), network(x))


def test_why_a_checkpoint_does_not_fit_is_one_sentence(tmp_path):
    state = torchvision.models.resnet18(weights=None, num_classes=6).state_dict()
    torch.save({**state, "fc.bias": torch.zeros(7)}, tmp_path / "two.pt")
    torch.save({key: value for key, value in state.items() if not key.startswith("fc")}, tmp_path / "headless.pt")
    torch.save({"epoch": 3, "weights": list(state.values())}, tmp_path / "other.pt")
    whole = (tmp_path / "headless.pt").read_bytes()
    (tmp_path / "broken.pt").write_bytes(b"\x80\x02" + whole[: len(whole) // 2])
    for name, told in (
        ("two", r"does not fit the network: 'fc.weight' has the shape \(6, 512\), not \(1000, 512\)$"),
        ("headless", r"does not fit the network: it lacks 'fc.weight' and 1 more$"),
        ("other", r"other.pt holds no state_dict: tensors by their names$"),
        ("broken", "it is damaged, or holds more than tensors and plain values"),
    ):
        with pytest.raises(ValueError, match=told):
            classifier(f"torchvision:resnet18@{tmp_path / name}.pt")


def test_checkpoints_of_trainings_are_unwrapped(tmp_path):
    network = torchvision.models.resnet18(weights=None, num_classes=6)
    state = {f"module.{key}": value for key, value in network.state_dict().items()}
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / "wrapped.pt")
    read = classifier(f"torchvision:resnet18@{tmp_path / 'wrapped.pt'}?size=32").logits()
    assert torch.equal(read.fc.weight, network.fc.weight)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("torchvision:resnet", "no classifier"),
        ("timm:resnet999", "no network"),
        ("nowhere", "saved model"),
        ("minilm", "no classifier"),
        ("timm:resnet18?colour=red", "colour"),
    ],
)
def test_names_that_are_no_classifier_are_refused(name, told):
    with pytest.raises(ValueError, match=told):
        quantize(name)


def test_googlenet_reads_imagenets_normalization_and_has_no_heads_for_training(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that it is initialized slowly
        whole = torchvision.models.googlenet(weights=None, transform_input=True).eval()
    torch.save(whole.state_dict(), tmp_path / "w.pth")
    read = classifier(f"torchvision:googlenet@{tmp_path / 'w.pth'}?size=64")
    read.save(tmp_path / "m")
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        for network in (read.logits(), Bundle.load(tmp_path / "m").logits()):
            assert torch.equal(network(x), whole(x))
            assert not [name for name, _ in network.named_parameters() if name.startswith("aux")]
    assert not classifier("torchvision:googlenet?pretrained=0&size=64").logits().transform_input


# -- networks of all kinds ---------------------------------------------------------------------------------


class Turning(nn.Module):
    """Its course depends on its input, and one of its layers is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(3)
        self.head = nn.Linear(3, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(2):
            x = torch.relu(self.norm(self.conv(x)))
        x = x.mean((2, 3))
        return self.head(x if float(x.sum()) >= 0 else -x)


def test_dynamic_control_flow_and_shared_layers_are_quantized_by_zeroq_and_refused_by_dfq():
    torch.manual_seed(0)
    network = Turning().eval()
    method = ZeroQ(**{**SHORT, "shape": (3, 8, 8), "precision": "mixed"}).fit(model=network)
    assert set(method.bits_) == {"conv", "head"}  # a shared layer counts once
    assert len(method.network().activations) == 2  # each of its calls has a range of its own
    with pytest.raises(ValueError, match=r"traceable by torch\.fx"):
        quantize(bundle_of(network), method="dfq")


@pytest.mark.parametrize("slug", ["zeroq", "dfq"])
def test_a_network_without_batch_norm_is_a_clear_error(slug):
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4))
    with pytest.raises(ValueError, match=r"must have BatchNorm layers.*`pictures`"):
        quantize(bundle_of(plain), method=slug)


def test_a_network_of_no_pictures_and_one_that_is_quantized_are_refused(mixed):
    with pytest.raises(ValueError, match="convolutions"):
        quantize(Bundle(method=fixed(nn.Linear(3, 4)), classes=ClassSpace(names=NAMES)))
    with pytest.raises(ValueError, match="quantized already"):
        quantize(mixed[0], settings=SHORT)


def test_two_towers_are_refused_before_any_work_and_the_sentence_says_what_to_do(tmp_path, monkeypatch):
    towers = saved_towers(tmp_path / "towers").removeprefix("frames:")
    encoder = get(towers, precision="fp32")
    saved = Bundle(method=fixed(nn.Linear(8, len(NAMES))), classes=ClassSpace(names=NAMES), encoder=encoder)
    shown = Domain(x=np.zeros((4, 8, 8, 3), dtype=np.uint8), kind="image")
    monkeypatch.setattr(quantization, "_fit", lambda *_: pytest.fail("the long work began"))
    with pytest.raises(ValueError, match=r"one of the two towers of 'towers:towers', .* such as efficientnet-lite0"):
        quantize(saved, out=tmp_path / "small", pictures=shown)
    monkeypatch.setattr(quantization, "_open", lambda *_: pytest.fail("a model was loaded"))
    for name in (towers, str(tmp_path / "towers")):
        with pytest.raises(ValueError, match=rf"is two towers, .*: `unseen shrink {towers} PAIRS --size"):
            quantize(name, out=tmp_path / "small")
    with pytest.raises(ValueError, match=r"'lite-clip' is two towers, .*: quantize efficientnet-lite0"):
        quantize("lite-clip", out=tmp_path / "small")


def test_a_folder_that_is_called_like_an_encoder_of_two_towers_is_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("towers", "lite-clip"):
        (tmp_path / name).mkdir()
        with pytest.raises(ValueError, match=r"^(?!.*is two towers)"):
            quantize(name, out=tmp_path / "small")


def test_a_network_that_cannot_be_built_again_is_refused_before_the_long_work(tmp_path, monkeypatch):
    monkeypatch.setattr(quantization, "_fit", lambda *_: pytest.fail("the long work began"))
    with pytest.raises(ValueError, match="cannot be saved in fewer bits: a Sequential cannot be built again"):
        quantize(bundle_of(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))), out=tmp_path / "small")


def test_a_model_of_clips_is_named_as_such_though_a_network_of_pictures_looks_at_their_frames(bundle):
    reads = bundle.encoder.preprocess
    frame = Encoder(name="small", module=small_net()[:8], preprocess=reads, precision="fp32")
    clips = Bundle(
        method=fixed(nn.Linear(16, len(NAMES))),
        classes=bundle.classes,
        encoder=FramesEncoder(name="frames:small", frame=frame, frames=2),
    )
    with pytest.raises(ValueError, match=r"convolutions that reads pictures; a bundle reads videos$"):
        quantize(clips)


def test_a_wrong_shape_is_named_before_the_long_work(bundle):
    with pytest.raises(ValueError, match=r"shape must be what the model reads.*\(1, 16, 16\)"):
        quantize(bundle, settings={**SHORT, "shape": (1, 16, 16)})
    two_channels = Domain(x=np.zeros((4, 2, 8, 8), dtype=np.float32), kind="image")
    with pytest.raises(ValueError, match="target does not fit the model: it has pictures of 2 channels, 8 x 8"):
        ZeroQ(shape=(3, 8, 8)).fit(model=small_net(), target=two_channels)


@pytest.mark.parametrize("bits", ["1/8", "8/1", "9/8", "8/16", "8", "eight/8", "0/0", "8/8/8"])
def test_bits_outside_2_to_8_are_refused(bundle, bits):
    with pytest.raises(ValueError, match="from 2 to 8"):
        quantize(bundle, bits=bits)


@pytest.mark.parametrize("size", ["small", "-3MB", "0MB", "3GB"])
def test_a_size_that_is_none_is_refused(bundle, size):
    with pytest.raises(ValueError, match="megabytes"):
        quantize(bundle, size=size)


def test_a_budget_below_the_smallest_configuration_names_it(bundle):
    weights = 3 * 8 * 9 + 8 * 9 + 8 * 4
    with pytest.raises(ValueError, match=f"too small: 2 bits for all layers are {2 * weights / 8 / 2**20:.4g} MB"):
        quantize(bundle, size="0.00001MB", settings=SHORT)


def test_arguments_that_contradict_each_other_are_refused(bundle, mixed, model, tmp_path):
    folder, _, _ = mixed
    with pytest.raises(ValueError, match="must quantize"):
        quantize(bundle, method="loki")
    with pytest.raises(ValueError, match="layer by layer"):
        quantize(bundle, method="dfq", size="3MB")
    with pytest.raises(ValueError, match="no parameter 'epochs'"):
        quantize(bundle, settings={"epochs": 3})
    with pytest.raises(ValueError, match="8/ACTIVATIONS"):
        quantize(bundle, bits="4/8", size="3MB")
    with pytest.raises(ValueError, match=r"again goes on with the settings of"):
        quantize(again=folder, size="3MB", settings=SHORT)
    with pytest.raises(ValueError, match="which other bits"):
        quantize(again=folder)
    with pytest.raises(ValueError, match="name a model"):
        quantize()
    with pytest.raises(ValueError, match="not written by"):
        quantize(again=model, size="3MB")
    with pytest.raises(ValueError, match="other weights"):
        quantize(bundle_of(small_net()), again=folder, size="0.0003MB")
    with pytest.raises(ValueError, match=r"settings of.*seed 7"):
        quantize(again=folder, size="3MB", seed=7)
    with pytest.raises(ValueError, match="goes on with zeroq"):
        quantize(again=folder, size="3MB", method="dfq")
    for key in ("budget_mb", "average_bits"):
        with pytest.raises(ValueError, match=f"size says it already.*{key}"):
            quantize(bundle, size="3MB", settings={key: 3})
    with pytest.raises(ValueError, match="size is for"):
        quantize(bundle, size="3MB", settings={"precision": "uniform"})
    with pytest.raises(ValueError, match="8/ACTIVATIONS"):
        quantize(bundle, bits="4/8", settings={"precision": "mixed"})
    with pytest.raises(ValueError, match=r"bits says it already.*weight_bits"):
        quantize(bundle, bits="4/8", settings={"weight_bits": 2})
    with pytest.raises(ValueError, match=r"average_bits.*for precision='mixed'"):
        quantize(bundle, settings={"average_bits": 3})
    quantize(bundle, method="dfq", out=tmp_path / "dfq")
    with pytest.raises(ValueError, match="fitted anew"):
        quantize(bundle, again=tmp_path / "dfq", bits="6/8")
    with pytest.raises(ValueError, match="distilled pictures"):
        export_model(Bundle.load(tmp_path / "dfq"), tmp_path / "m.onnx")
    with pytest.raises(ValueError, match="quantized model"):
        export_model(bundle, tmp_path / "m.onnx")


# -- sensitivity -------------------------------------------------------------------------------------------


@torch.no_grad()
def naive_sensitivity(network: nn.Module, x: torch.Tensor, bits: tuple[int, ...], size: int) -> np.ndarray:
    """One whole pass for each layer and number of bits."""
    network = frozen_copy(network)
    layers, parts = quantizable(network), torch.split(x, size)
    reference = [network(part) for part in parts]
    omega = np.zeros((len(layers), len(bits)))
    for i, layer in enumerate(layers.values()):
        weight = layer.weight.data
        for j, k in enumerate(bits):
            layer.weight.data = weight
            layer.weight.data = quantized_weight(layer, k)
            omega[i, j] = float(sum(exact_kl(p, network(part)).sum() for p, part in zip(reference, parts))) / len(x)
        layer.weight.data = weight
    return np.maximum(omega, 0)


@pytest.mark.parametrize("name", ["resnet18", pytest.param("shufflenet_v2_x0_5", marks=pytest.mark.slow)])
def test_what_is_not_computed_again_changes_no_bit_of_the_sensitivity(name):
    torch.manual_seed(0)
    network = torchvision.models.get_model(name, weights=None, num_classes=5).eval()
    x = torch.randn(3, 3, 32, 32)
    assert (sensitivity(network, x, (2, 8), size=2) == naive_sensitivity(network, x, (2, 8), 2)).all()


# -- the command line --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_command_quantizes_moves_on_and_exports(tmp_path):
    torch.manual_seed(0)
    pixels = get("pixels?size=32&crop=1")
    whole = Bundle(
        method=fixed(timm_network("resnet10t", 4).eval()), classes=ClassSpace(names=NAMES), encoder=pixels, whole=True
    )
    model = whole.save(tmp_path / "model")
    env = {**os.environ, "UNSEEN_DATA": str(tmp_path / "data"), "COLUMNS": "120", "NO_COLOR": "1"}

    def call(*args, code=0):
        order = [sys.executable, "-m", "unseen.cli", *map(str, args)]
        done = processes.run(order, capture_output=True, text=True, cwd=tmp_path, env=env)
        assert done.returncode == code, done.stderr[-2000:]
        return done

    for label in ("cat", "owl"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for i, picture in enumerate(pictures(3).x):
            picture.save(tmp_path / "photos" / label / f"{i}.png")
    short = [part for key, value in SHORT.items() for part in ("--set", f"{key}={value}")]
    done = call("quantize", model, "--size", "2MB", "--out", "a", "--data", "photos", "--verbose", *short)
    assert "accuracy on data: float" in done.stdout
    assert "sensitivity" in done.stdout
    assert "report.html" in done.stderr
    real = call("quantize", model, "--pictures", "photos", "--preset", "w6a8", "--out", "real", "--verbose").stdout
    assert "distilled" not in real
    assert "weight_bits=6" in real
    assert "zeroq has the presets" in call("quantize", model, "--preset", "w1", "--out", "d", code=1).stderr
    assert (
        "pictures: dfq takes none"
        in call("quantize", model, "--method", "dfq", "--pictures", "photos", "--out", "d", code=1).stderr
    )
    call("quantize", "--from", "a", "--size", "3MB", "--out", "b")
    done = call("export", "b", "--out", "b.onnx", "--integers")
    assert "cosine of logits with the simulated network" in done.stderr
    assert "times as fast, here on one thread" in done.stderr
    assert (tmp_path / "b.onnx").stat().st_size > 0
    told = call("quantize", model, code=1).stderr
    assert told.strip() == "unseen: name --out FOLDER, --onnx FILE or both"
    assert "too small" in call("quantize", model, "--size", "0.01MB", "--out", "c", code=1).stderr
    assert not (tmp_path / "c").exists()


# -- a sweep -----------------------------------------------------------------------------------------------

SWEEP = (
    "alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "googlenet", "mnasnet0_5", "mobilenet_v2",
    "mobilenet_v3_small", "regnet_x_400mf", "resnet18", "resnet50", "resnext50_32x4d", "shufflenet_v2_x0_5",
    "squeezenet1_0", "vgg11_bn", "vit_b_16", "wide_resnet50_2",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", SWEEP)
def test_a_classifier_of_torchvision_is_quantized_or_has_no_batch_norm(name):
    bundle = (
        classifier(f"torchvision:{name}?pretrained=0&size=64")
        if name != "vit_b_16"
        else classifier(f"torchvision:{name}?pretrained=0")
    )
    settings = {**SHORT, "iterations": 2, "batch_size": 2}
    if name in ("alexnet", "convnext_tiny", "squeezenet1_0", "vit_b_16"):
        with pytest.raises(ValueError, match="must have BatchNorm"):
            quantize(bundle, settings=settings)
        return
    small, about = quantize(bundle, settings=settings)
    layers = quantizable(bundle.logits())
    assert small.method.megabytes_ == pytest.approx(sum(m.weight.numel() for m in layers.values()) / 2**20)
    assert about["distilled"]["divergence"] < 0.1

"""What is saved is what is loaded, carried and refused."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import unseen
from unseen.bundle import Bundle, read_zoo
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain, Lazy
from unseen.methods.zero_shot.loki import Loki
from unseen.runtime import watched


def features(n=60, seed=0, shift=0.0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    x = np.eye(6)[y] * 5 + rng.normal(size=(n, 6)) + shift
    return Domain(x=x.astype("float32"), y=y, classes=ClassSpace(names=("ant", "bee", "猫")), name="f")


@pytest.fixture
def saved(tmp_path):
    bundle = unseen.adapt(method="standardize", source=features(), target=features(seed=1, shift=2), out=tmp_path / "m")
    return tmp_path / "m", bundle


def test_nothing_is_pickled_and_people_can_read_it(saved):
    folder, _ = saved
    assert {p.suffix for p in folder.rglob("*") if p.is_file()} <= {".json", ".safetensors"}
    about = json.loads((folder / "bundle.json").read_text())
    assert about["classes"] == ["ant", "bee", "猫"]
    assert about["method"] == "standardize"


def test_predict_names_classes_with_probabilities_and_doubts(saved):
    _, bundle = saved
    table = bundle.predict(features(seed=2, shift=2), top=2)
    assert list(table.columns) == [
        "id",
        "class",
        "probability",
        "unknown",
        "class_1",
        "probability_1",
        "class_2",
        "probability_2",
    ]
    assert table.probability.between(0, 1).all()
    assert (table["class"] == table["class_1"]).all()
    far = Domain(x=np.zeros((1, 6), dtype="float32"))
    assert bundle.predict(far, abstain=True)["class"].isna().item() == bundle.predict(far).unknown.item()


def test_probabilities_are_calibrated_on_samples_that_were_held_out(saved):
    assert saved[1].temperature > 0
    assert 0 < saved[1].threshold <= 1


def test_a_rule_on_top_reads_calibrated_probabilities(saved):
    bundle = dataclasses.replace(saved[1], temperature=2.5)
    wider = bundle.decide_by(
        Loki(), ClassSpace(names=(*bundle.classes.names, "owl"), embeddings=np.eye(4)[[0, 1, 2, 1]])
    )
    expected = wider.method.rule_.decision_function(bundle.predict_proba(features(seed=2, shift=2)))
    torch.testing.assert_close(wider.scores(features(seed=2, shift=2)), expected)


@pytest.mark.parametrize("change", ["format", "classes", "temperature", "method", "truncate", "missing"])
def test_tampered_folders_are_refused(saved, change):
    folder, _ = saved
    about = json.loads((folder / "bundle.json").read_text())
    if change == "format":
        about["format"] = 99
    elif change == "classes":
        about["classes"] = ["bee", "ant", "猫"]
    elif change == "temperature":
        about["temperature"] = -1
    elif change == "method":
        state = json.loads((folder / "method" / "state.json").read_text())
        text = json.dumps(state).replace('"standardize"', '"os.system"')
        (folder / "method" / "state.json").write_text(text)
    elif change == "truncate":
        file = folder / "method" / "state.safetensors"
        file.write_bytes(file.read_bytes()[:-10])
    elif change == "missing":
        shutil.rmtree(folder / "method")
    (folder / "bundle.json").write_text(json.dumps(about))
    with pytest.raises(ValueError, match=r"."):
        Bundle.load(folder)


def test_a_temperature_that_leaves_no_probabilities_is_refused(saved):
    folder, _ = saved
    about = json.loads((folder / "bundle.json").read_text())
    for temperature, taken in ((1e-320, False), (9e-7, False), (1e-6, True)):
        (folder / "bundle.json").write_text(json.dumps({**about, "temperature": temperature}))
        if taken:
            assert Bundle.load(folder).temperature == temperature
        else:
            with pytest.raises(ValueError, match=r"temperature must be a number of at least 1e-06 .* got"):
                Bundle.load(folder)


def sizes(value: Any) -> list[int | str]:
    """The sizes of an input or output of a graph: numbers, and names of those that vary."""
    return [one.dim_param or one.dim_value for one in value.type.tensor_type.shape.dim]


def test_onnx_gives_the_same_probabilities(saved, tmp_path):
    import onnxruntime

    _, bundle = saved
    difference = bundle.export(tmp_path / "m.onnx")
    x = features(seed=3).x
    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"))
    got = session.run(None, {"x": x})[0]
    assert difference < 1e-4
    np.testing.assert_allclose(got, bundle.predict_proba(Domain(x=x)).numpy(), atol=1e-5)
    assert not list(tmp_path.glob(".*"))


def program(behind: str) -> str:
    """The first program in Python behind some words of the page about carrying a model away."""
    page = (Path(__file__).parents[1] / "docs" / "carry.md").read_text().partition(behind)[2]
    return page.split("```python\n")[1].split("```")[0]


def test_onnx_of_texts_reads_tokens_of_any_length(tmp_path, monkeypatch, capsys):
    import onnxruntime

    texts = np.array(["a cat", "a dog in the garden", "stocks fell", "bonds rose on monday"] * 3, dtype=np.str_)
    source = Domain(x=texts, kind="text", y=np.array([0, 0, 1, 1] * 3), classes=ClassSpace(names=("pets", "money")))
    bundle = unseen.adapt(method="source-only", source=source)
    assert bundle.export(tmp_path / "m.onnx") < 1e-3
    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"))
    assert session.get_inputs()[0].shape == ["batch", 2, "length"]
    for text in ("a cat", "a very long sentence about dogs and cats and all the other pets that live in a garden"):
        tokens = bundle.encoder.preprocess([text])
        expected = bundle.predict_proba(Domain(x=np.array([text]), kind="text")).numpy()
        np.testing.assert_allclose(session.run(None, {"x": tokens.numpy()})[0], expected, atol=0.02)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.onnx").rename("texts.onnx")
    asked = np.array(["a cat", "stocks fell, and bonds rose on monday"])
    rows = bundle.predict(Domain(x=asked, kind="text"))
    exec(compile(program("(batch, 2, length)"), "carry.md", "exec"), {})
    said = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [name for name, _ in said] == rows["class"].tolist() == ["pets", "money"]
    np.testing.assert_allclose([float(p) for _, p in said], rows["probability"], atol=0.02)


def test_pictures_go_through_the_named_encoder_and_another_one_is_refused(tmp_path):
    from unseen.data.sources import digits

    source, target = digits("printed", copies=1), digits("handwritten").take(slice(0, 40))
    bundle = unseen.adapt(method="source-only", source=source, target=target, out=tmp_path / "m")
    target.x[0].save(tmp_path / "seven.png")
    again = Bundle.load(tmp_path / "m")
    assert again.predict(tmp_path / "seven.png")["class"].item() == bundle.predict(target.take([0]))["class"].item()
    about = json.loads((tmp_path / "m" / "bundle.json").read_text())
    about["encoder"]["fingerprint"] = "0" * 64
    (tmp_path / "m" / "bundle.json").write_text(json.dumps(about))
    with pytest.raises(ValueError, match="not the one"):
        Bundle.load(tmp_path / "m")


def test_a_transparent_sketch_is_predicted_as_on_white(tmp_path):
    from unseen.data.sources import digits

    bundle = unseen.adapt(method="source-only", source=digits("printed", copies=1))
    strokes = np.zeros((64, 64, 4), dtype=np.uint8)
    strokes[10:54, 28:36, 3] = 255
    Image.fromarray(strokes).save(tmp_path / "one.png")
    white = np.full((64, 64, 3), 255, dtype=np.uint8)
    white[10:54, 28:36] = 0
    Image.fromarray(white).save(tmp_path / "white.png")
    a, b = bundle.predict(tmp_path / "one.png"), bundle.predict(tmp_path / "white.png")
    assert a["class"].item() == b["class"].item()
    assert a.probability.item() == pytest.approx(b.probability.item(), abs=1e-4)


def test_the_network_of_a_bundle_is_one_module(saved):
    _, bundle = saved
    x = torch.as_tensor(features(seed=4).x)
    with torch.no_grad():
        torch.testing.assert_close(bundle.network()(x), bundle.predict_proba(Domain(x=x.numpy())))


def test_a_model_of_numbers_says_so_to_texts(saved):
    texts = Domain(x=np.array(["red", "blue"], dtype=np.str_), kind="text", name="n")
    with pytest.raises(ValueError, match="n holds text; the model reads tables of numbers"):
        saved[1].predict(texts)


def test_a_folder_of_saved_models_is_a_zoo_that_teaches_another_task(tmp_path):
    for seed in (0, 1):
        classes = ClassSpace(names=("low", "high"))
        of_two = features(seed=seed).replace(y=(features(seed=seed).y > seed).astype(int), classes=classes)
        unseen.adapt(method="source-only", source=of_two, out=tmp_path / "zoo" / f"m{seed}")
    (tmp_path / "zoo" / "notes").mkdir()
    teachers = read_zoo(tmp_path / "zoo")
    assert list(teachers) == ["m0", "m1"]
    given = dict(support=features(12, seed=3), target=features(60, seed=4).unlabeled(), teachers=teachers)
    bundle = unseen.adapt(
        method="distill-similar", settings={"steps": 5, "metric": "leep"}, **given, out=tmp_path / "s"
    )
    assert bundle.classes.names == ("ant", "bee", "猫")
    assert set(bundle.method.weights_) == {"m0", "m1"}
    assert Bundle.load(tmp_path / "s").predict(features(9)).shape[0] == 9


def test_a_zoo_that_cannot_teach_is_named(tmp_path, saved):
    with pytest.raises(ValueError, match="holds no folder of a saved model"):
        read_zoo(tmp_path / "nothing")
    zoo = read_zoo(tmp_path)
    assert list(zoo) == ["m"]
    zoo["m"].reads = "clip"
    given = dict(support=features(12, seed=3), target=features(60, seed=4), teachers=zoo)
    with pytest.raises(ValueError, match="'m' reads features of clip; here samples are read by no encoder"):
        unseen.adapt(method="distill-similar", **given)


def test_whole_clips_are_asked_about_some_at_a_time_and_it_is_told_how_far_it_is(monkeypatch):
    model = Bundle.load(Path(__file__).parent / "data" / "saved" / "x-clip")
    values = np.random.default_rng(0).integers(0, 256, (5, 6, 3, 8, 8), dtype=np.uint8)
    clips = Domain(x=Lazy(range(5), values.__getitem__), kind="clip", name="windows")
    at_once = model.predict(clips, top=2)
    monkeypatch.setattr("unseen.bundle.CLIPS", 2)
    told = []
    with watched(lambda label, done, of: told.append((label, done, of))):
        some = model.predict(clips, top=2)
    assert some["class"].tolist() == at_once["class"].tolist()
    assert np.allclose(some.probability, at_once.probability, atol=1e-5)  # a batch of another size may round otherwise
    assert told == [("predicting windows", done, 3) for done in range(4)]


def test_a_network_that_writes_itself_is_exported_without_torchs_exporter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnx
    import onnxruntime

    from unseen.encoders import get
    from unseen.methods import get as method
    from unseen.nn import export

    encoder = get("efficientnet-lite0?size=64")
    x = np.random.default_rng(0).normal(size=(20, encoder.dim)).astype(np.float32)
    classes = ClassSpace(names=("a", "b"))
    fitted = method("source-only")().fit(source=Domain(x=x, y=np.arange(20) % 2, classes=classes))
    bundle = Bundle(method=fitted, classes=classes, encoder=encoder, temperature=2.0)
    seen: list[tuple[int, ...]] = []
    inner = export._export

    def told(network: torch.nn.Module, example: torch.Tensor, *rest: Any, **settings: Any) -> None:
        seen.append(tuple(example.shape))
        inner(network, example, *rest, **settings)

    monkeypatch.setattr(export, "_export", told)
    assert bundle.export(tmp_path / "m.onnx") < 1e-5
    assert seen == [(2, encoder.dim)]  # what follows the features alone
    graph = onnx.load(tmp_path / "m.onnx")
    assert [one.name for one in graph.graph.output] == ["probabilities"]
    assert sizes(graph.graph.input[0]) == ["batch", 3, 64, 64]
    assert sizes(graph.graph.output[0]) == ["batch", 2]
    told = {prop.key: prop.value for prop in graph.metadata_props}
    assert json.loads(told["preprocess"]) == encoder.preprocess.to_json() | {"colours": "RGB"}
    assert json.loads(told["preprocess"])["size"] == [64, 64]
    assert json.loads(told["threshold"]) == bundle.threshold
    assert (told["method"], json.loads(told["classes"])) == ("source-only", ["a", "b"])
    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"), providers=["CPUExecutionProvider"])
    assert session.run(None, {"x": np.zeros((5, 3, 64, 64), dtype=np.float32)})[0].shape == (5, 2)


@pytest.mark.parametrize("name", ["efficientnet-lite0?size=64", "pixels?size=20x30&mode=squash&interpolation=bilinear"])
def test_the_program_of_the_docs_prepares_pictures_by_what_the_file_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    from PIL import Image

    from unseen.encoders import get
    from unseen.methods import get as method

    encoder, rng = get(name, precision="fp32"), np.random.default_rng(0)
    x = rng.normal(size=(20, encoder.dim)).astype(np.float32)
    classes = ClassSpace(names=("a", "b", "c"))
    fitted = method("source-only")().fit(source=Domain(x=x, y=np.arange(20) % 3, classes=classes))
    bundle = Bundle(method=fitted, classes=classes, encoder=encoder, temperature=2.0, threshold=0.5)
    monkeypatch.chdir(tmp_path)
    bundle.export("sketches.onnx")
    turned = Image.Exif()
    turned[0x0112] = 6  # to be looked at on its side
    drawn = [(rng.integers(0, 256, (40, 90, 3), dtype=np.uint8), {})]
    drawn += [(rng.integers(0, 256, (130, 70, 3), dtype=np.uint8), {"exif": turned})]
    drawn += [(rng.integers(0, 256, (60, 50, 4), dtype=np.uint8), {})]
    drawn += [(rng.integers(0, 65536, (60, 50), dtype=np.uint16), {}), (rng.random((60, 50), np.float32), {})]
    drawn += [(rng.normal(0, 300, (60, 50)).astype(np.float32), {})]
    for pixels, saved_as in drawn:
        Image.fromarray(pixels).save("new.png", "PNG" if pixels.dtype != np.float32 else "TIFF", **saved_as)
        row = bundle.predict("new.png").iloc[0]
        exec(compile(program("Without torch:"), "carry.md", "exec"), {})
        said = capsys.readouterr().out.split(maxsplit=2)
        assert said[0] == row["class"]
        assert float(said[1]) == pytest.approx(row["probability"], abs=1e-2)
        assert said[2:] == (["not sure\n"] if row["unknown"] else [])


def test_names_of_features_are_saved_and_older_models_have_none(saved, tmp_path):
    folder, bundle = saved
    assert "feature_names" not in json.loads((folder / "bundle.json").read_text())
    named = dataclasses.replace(bundle, feature_names=tuple("abcdef"))
    place = named.save(tmp_path / "named")
    assert Bundle.load(place).feature_names == tuple("abcdef")
    about = json.loads((place / "bundle.json").read_text())
    (place / "bundle.json").write_text(json.dumps({**about, "feature_names": "abc"}))
    with pytest.raises(ValueError, match="feature_names must be a list of texts; got 'abc'"):
        Bundle.load(place)


def test_onnx_carries_the_names_of_features(saved, tmp_path):
    import onnx

    dataclasses.replace(saved[1], feature_names=tuple("abcdef")).export(tmp_path / "m.onnx")
    told = {entry.key: entry.value for entry in onnx.load(tmp_path / "m.onnx").metadata_props}
    assert json.loads(told["features"]) == list("abcdef")


def test_the_folder_of_a_run_is_that_of_its_model(saved, tmp_path):
    _, bundle = saved
    bundle.save(tmp_path / "run" / "model")
    assert Bundle.load(tmp_path / "run").classes.names == bundle.classes.names
    with pytest.raises(ValueError, match="is not a saved model: there is no such folder"):
        Bundle.load(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"is not a saved model: it holds no bundle\.json"):
        Bundle.load(tmp_path / "empty")


def table(n=60, seed=0, shift=0.0):

    samples = features(n, seed, shift)
    frame = pd.DataFrame(samples.x, columns=[f"f{i}" for i in range(6)])
    return frame.assign(label=np.array(samples.classes.names)[samples.labels])


def test_predictions_of_a_data_frame_have_the_index_of_the_rows_that_were_read():
    bundle = unseen.adapt(method="source-only", source=table())
    new = table(seed=1).sample(frac=1, random_state=3)
    new["said"] = bundle.predict(new)["class"]
    assert (new.said == new.label).mean() > 0.9
    new.loc[5, "f2"] = np.nan
    new["said"] = bundle.predict(new)["class"]
    assert new.index[new.said.isna()].tolist() == [5]
    assert (new.said == new.label).mean() > 0.9
    named = new.drop(columns=["said"]).set_index("p" + new.index.astype(str).to_series(index=new.index)).assign(index=1)
    answers = bundle.predict(named.assign(INDEX=2))  # such columns are no features, and are kept apart from the rows'
    assert answers.index.tolist() == [name for name in named.index if name != "p5"]
    assert answers.id.tolist() == answers.index.tolist()
    assert bundle.predict(features()).index.tolist() == list(range(60))


def test_every_verb_of_a_bundle_takes_what_predict_takes(tmp_path):
    bundle = unseen.adapt(method="source-only", source=table())
    new = table(seed=1)
    new.to_csv(tmp_path / "new.csv", index=False)
    x = np.array(new[list(bundle.feature_names)])
    expected = bundle.predict_proba(unseen.load(new))
    for samples in (new, tmp_path / "new.csv", x, x.tolist(), torch.as_tensor(x), Domain(x=x)):
        torch.testing.assert_close(bundle.predict_proba(samples), expected, atol=1e-6, rtol=1e-5)
        assert bundle.scores(samples).shape == bundle.features(samples).x[:, :3].shape
        assert len(bundle.predict(samples)) == len(bundle.predictions(samples)["class"]) == 60


def test_samples_that_are_nothing_of_the_kind_are_refused_by_name(saved):
    _, bundle = saved
    for verb in (bundle.predict, bundle.predictions, bundle.predict_proba, bundle.scores, bundle.features):
        with pytest.raises(TypeError, match=r"samples must be a Domain, a path, a pandas.DataFrame or an array; got 3"):
            verb(3)
    with pytest.raises(ValueError, match="samples holds text; the model reads tables of numbers"):
        bundle.predict(["a", "b"])


def test_a_folder_that_is_no_path_is_refused_by_name():
    with pytest.raises(TypeError, match="folder must be a path; got 3"):
        Bundle.load(3)


def test_files_in_a_list_are_read_and_called_by_their_paths(saved, tmp_path):
    _, bundle = saved
    whole = features(6)
    for name, part in (("a", slice(0, 1)), ("b", slice(1, 6))):
        pd.DataFrame(whole.x[part]).assign(label="x").to_csv(tmp_path / f"{name}.csv", index=False)
    files = [tmp_path / "a.csv", tmp_path / "b.csv"]
    answers = bundle.predict(files)
    assert answers["class"].tolist() == bundle.predict(whole.x)["class"].tolist()
    assert answers.id.tolist() == [str(files[0]), *(f"{files[1]}/{i:06d}" for i in range(5))]
    assert len(bundle.predict([files[0], files[0]])) == 2
    with pytest.raises(FileNotFoundError, match=r"c[.]csv' does not exist"):
        bundle.predict([files[0], tmp_path / "c.csv"])
    for names in (list(map(str, files)), ["no/such.png"]):
        with pytest.raises(
            TypeError, match=r"texts in a list are no paths; got .*: give \[pathlib.Path\(path\) for path"
        ):
            bundle.predict(names)


def test_pictures_are_asked_about_in_any_form_and_one_is_not_taken_for_many(tmp_path):
    from unseen.data.sources import digits

    bundle = unseen.adapt(method="source-only", source=digits("printed", copies=1), refit=False)
    files = [tmp_path / "a.gif", tmp_path / "b.jpg"]
    values = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    picture = Image.fromarray(values).resize((64, 48))
    picture.save(files[0])
    picture.convert("CMYK").save(files[1])
    expected = torch.cat([bundle.predict_proba(file) for file in files])
    for samples in (files, [Image.open(file) for file in files]):
        torch.testing.assert_close(bundle.predict_proba(samples), expected, atol=1e-5, rtol=0)
    (tmp_path / "c.csv").write_text("p,q\n1,2\n")
    with pytest.raises(ValueError, match="samples must be of one kind; these files hold features and image"):
        bundle.predict([files[0], tmp_path / "c.csv"])
    with pytest.raises(ValueError, match=r"samples must hold pictures.*: give \[samples\] or samples\[None\]"):
        bundle.predict(np.asarray(picture))
    with pytest.raises(TypeError, match=r"samples must be .*: \[image\] is a list of one picture"):
        bundle.predict(picture)

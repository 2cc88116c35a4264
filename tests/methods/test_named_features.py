"""Methods by hand: features are matched by their names, predictions are of classes that are told, threads are alike."""

from __future__ import annotations

import copy
import json
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import unseen
from unseen.compare.validators import learner_of
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.labels import names_of
from unseen.encoders.vision import as_image
from unseen.methods import CORAL, SHOT, FewShotSFDA, Loki, SourceOnly, StreamRidge
from unseen.methods.base import Method
from unseen.methods.chain import chain
from unseen.nn.classifier import feature_classifier
from unseen.nn.convnet import small_convnet
from unseen.nn.state import digest

NAMES = ("length", "weight", "age", "height")


def table(n: int = 40, seed: int = 0, names: tuple[str, ...] = NAMES, **more: Any) -> Domain:
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    x = (rng.normal(size=(n, 4)) + 3 * np.eye(4)[y]).astype(np.float32)
    return Domain(**{"x": x, "y": np.array(["cat", "dog", "owl"])[y], "feature_names": names} | more)


def turned(domain: Domain, order: tuple[int, ...] = (3, 1, 0, 2)) -> Domain:
    place = list(order)
    return domain.replace(x=domain.x[:, place], feature_names=tuple(NAMES[i] for i in place))


# -- names of features -------------------------------------------------------------------------------------


def test_columns_of_the_target_are_matched_by_name_in_fit() -> None:
    source, target = table(), table(seed=1)
    plain, other = CORAL().fit(source=source, target=target), CORAL().fit(source=source, target=turned(target))
    assert torch.allclose(plain.decision_function(target), other.decision_function(target), atol=1e-5)
    assert other.feature_names_in_ == NAMES


def test_domains_and_frames_are_matched_by_name_in_predict() -> None:
    source, target = table(), table(seed=1)
    method = SourceOnly().fit(source=source)
    scores = method.decision_function(target)
    frame = pd.DataFrame(turned(target).x, columns=list(turned(target).feature_names))
    frame.insert(0, "label", "cat")
    assert torch.equal(method.decision_function(turned(target)), scores)
    assert torch.equal(method.decision_function(frame), scores)
    assert (method.predict(frame) == method.predict(target)).all()


def test_what_has_no_names_goes_by_position() -> None:
    source, target = table(), table(seed=1)
    method = SourceOnly().fit(source=source)
    scores = method.decision_function(target)
    for unnamed in (target.x, torch.as_tensor(target.x), pd.DataFrame(target.x), table(seed=1, names=())):
        assert torch.equal(method.decision_function(unnamed), scores)
    assert CORAL().fit(source=source, target=table(seed=1, names=())).feature_names_in_ == NAMES


def test_a_column_that_is_missing_is_named() -> None:
    source = table()
    method = SourceOnly().fit(source=source)
    lacking = table(seed=1, names=("length", "weight", "age", "colour"))
    with pytest.raises(ValueError, match="target lacks the column 'height' of the source"):
        CORAL().fit(source=source, target=lacking)
    with pytest.raises(ValueError, match="lacks the column 'height' of the data of fit"):
        method.predict(lacking)
    with pytest.raises(ValueError, match="x lacks the column 'height' of the data of fit; it has: length, weight"):
        method.predict(pd.DataFrame(lacking.x, columns=list(lacking.feature_names)))


def test_what_else_a_table_has_is_left_out_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    target = table(seed=1)
    more = target.replace(x=np.column_stack([np.ones(len(target)), target.x]), feature_names=("extra", *NAMES))
    method = SourceOnly().fit(source=table())
    assert (method.predict(more) == method.predict(target)).all()
    assert "not used, as the data of fit lacks it: extra" in caplog.text


def test_names_are_saved_with_the_method(tmp_path: Path) -> None:
    source, target = table(), table(seed=1)
    method = CORAL().fit(source=source, target=target)
    method.save(tmp_path / "coral")
    again = CORAL.load(tmp_path / "coral")
    assert again.feature_names_in_ == NAMES
    assert torch.equal(again.decision_function(turned(target)), method.decision_function(target))


def test_a_method_without_names_is_saved_as_before(tmp_path: Path) -> None:
    source = Domain(x=table().x, y=np.arange(40) % 3)
    method = SourceOnly().fit(source=source)
    assert not {"feature_names_in_", "classes_"} & set(method.fitted)
    method.save(tmp_path / "plain")
    fields = json.loads((tmp_path / "plain" / "state.json").read_text())
    assert "feature_names_in_" not in json.dumps(fields)
    assert digest(SourceOnly.load(tmp_path / "plain").fitted) == digest(method.fitted)


def test_features_of_a_saved_model_are_matched_by_its_names() -> None:
    torch.manual_seed(4)
    model, target = feature_classifier(4, 3), table(seed=1)
    model.feature_names = NAMES  # type: ignore[assignment]
    adapt = SHOT(epochs=1, batch_size=8)
    plain = adapt.fit(model=model, target=target).predict_proba(target)
    assert torch.allclose(adapt.fit(model=model, target=turned(target)).predict_proba(target), plain, atol=1e-5)


def test_names_of_an_earlier_fit_are_forgotten() -> None:
    method = SourceOnly().fit(source=table())
    assert "feature_names_in_" not in method.fit(source=table(names=())).fitted


def test_a_rule_on_top_of_a_method_reads_by_its_names() -> None:
    source, target = table(), table(seed=1)
    base = SourceOnly().fit(source=source)
    rule = Loki().fit(classes=ClassSpace(names=("cat", "dog", "owl")))
    both = chain(base, rule)
    assert (both.predict(turned(target)) == both.predict(target)).all()
    assert both.classes_.names == ("cat", "dog", "owl")


def test_the_next_task_of_a_stream_follows_the_names_of_the_first() -> None:
    class Counting(Method):
        card = StreamRidge.card

        def partial_fit(self, *, source: Domain) -> Counting:
            """Keep the sum."""
            self.sum_ = vars(self).get("sum_", 0) + source.x.sum(axis=0)
            return self

    method = Counting().partial_fit(source=table(kind="features"))
    first = method.sum_.copy()
    method.partial_fit(source=turned(table(kind="features")))
    np.testing.assert_allclose(method.sum_, 2 * first, rtol=1e-5)


# -- classes -----------------------------------------------------------------------------------------------


def test_predictions_are_of_the_classes_that_the_method_tells(tmp_path: Path) -> None:
    source = table()
    few = table(seed=1).take(np.arange(40) % 3 > 0)
    target = Domain(x=few.x, y=[("cat", "dog", "owl")[i] for i in few.labels])
    assert target.classes is not None
    assert target.classes.names == ("dog", "owl")
    method = SourceOnly().fit(source=source)
    assert method.classes_.names == ("cat", "dog", "owl")
    method.save(tmp_path / "method")
    again = SourceOnly.load(tmp_path / "method")
    assert target.y is not None
    right = names_of(again.predict(target), again.classes_) == names_of(target.y, target.classes)
    assert right.mean() > 0.7
    assert (method.predict(target) == target.y).mean() < 0.3  # by indices: of other classes


def test_names_of_says_what_is_no_index() -> None:
    classes = ClassSpace(names=("cat", "dog"))
    assert names_of(np.array([1, -1, 0]), classes).tolist() == ["dog", "", "cat"]
    assert names_of(np.zeros(0, dtype=np.int64), classes).tolist() == []
    for wrong in (np.array([2]), np.array([-2]), np.array([0.0])):
        with pytest.raises(ValueError, match="y must hold indices of the 2 classes, or -1"):
            names_of(wrong, classes)


def test_a_saved_method_of_any_class_is_read(tmp_path: Path) -> None:
    SourceOnly().fit(source=table()).save(tmp_path / "saved")
    assert isinstance(Method.load(tmp_path / "saved"), SourceOnly)
    with pytest.raises(ValueError, match="this is a saved 'source-only', not 'coral'"):
        CORAL.load(tmp_path / "saved")


def test_star_brings_the_methods() -> None:
    brought: dict[str, Any] = {}
    exec("from unseen.methods import *", brought)
    assert brought["CORAL"] is CORAL
    assert "get" not in brought


# -- threads and orders ------------------------------------------------------------------------------------


def in_threads(work: list[Any]) -> None:
    threads = [threading.Thread(target=task) for task in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_fits_in_threads_are_those_of_one_after_the_other_and_leave_the_generators_alone() -> None:
    torch.manual_seed(3)
    target, model = table(24, seed=1), feature_classifier(4, 3)

    def fit(seed: int) -> torch.Tensor:
        method = SHOT(epochs=2, batch_size=8, random_state=seed)
        return method.fit(model=copy.deepcopy(model), target=target).predict_proba(target)

    alone = [fit(seed) for seed in range(4)]
    found: dict[int, torch.Tensor] = {}
    before = torch.get_rng_state()
    in_threads([lambda seed=seed: found.update({seed: fit(seed)}) for seed in range(4)])
    assert torch.equal(torch.get_rng_state(), before)
    for seed in range(4):
        assert torch.equal(found[seed], alone[seed])


@pytest.mark.parametrize("seed", range(2))
def test_the_order_of_the_handful_changes_nothing(seed: int) -> None:
    torch.manual_seed(5)
    support, model = table(12, seed=2), feature_classifier(4, 3)
    order = np.random.default_rng(seed).permutation(len(support))

    def fit(few: Domain) -> torch.Tensor:
        method = FewShotSFDA(steps=5, probe_steps=5, random_state=seed)
        return method.fit(model=model, support=few).predict_proba(table(seed=1))

    assert torch.equal(fit(support), fit(support.take(order)))


def test_recommend_takes_what_compare_takes() -> None:
    rows = unseen.recommend(source=table(), target=table(seed=1))
    assert rows[0].fits
    assert {row.slug for row in rows if row.fits} >= {"coral", "source-only"}
    with pytest.raises(TypeError, match="recommend has no argument sources"):
        unseen.recommend(sources=table())
    with pytest.raises(TypeError, match="takes given or data, not both"):
        unseen.recommend(unseen.catalogue.Given({}), source=table())


def test_pictures_with_channels_at_the_end_are_refused_with_the_way_out() -> None:
    model = small_convnet(3)
    pictures = Domain(x=np.zeros((6, 16, 20, 3), dtype=np.float32), kind="image")
    with pytest.raises(ValueError, match=r"target does not fit the model.*x\.transpose\(0, 3, 1, 2\) brings"):
        SHOT().fit(model=model, target=pictures)


def test_pictures_that_an_encoder_cannot_read_are_refused_with_the_way_out() -> None:
    with pytest.raises(ValueError, match=r"got \(3, 8, 9\): transpose\(1, 2, 0\) brings the channels"):
        as_image(np.zeros((3, 8, 9)))
    with pytest.raises(ValueError, match=r"got int64 from 0 to 255: divide by 255, or .*astype\(np\.uint8\)"):
        as_image(np.arange(256).reshape(16, 16))
    with pytest.raises(ValueError, match=r"got float64 from -1 to 2$"):
        as_image(np.array([[-1.0, 2.0]]))
    with pytest.raises(ValueError, match=r"got bool$"):
        as_image(np.ones((2, 2), dtype=bool))


def test_reverse_validation_of_what_cannot_be_written_is_silent() -> None:
    x = table().x.copy()
    x.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        learner_of(table(x=x))

"""What `Method` does around `fit` and the verbs, on methods made for it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Self, overload

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from unseen import methods
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain, Lazy
from unseen.data.samplers import batches, steps
from unseen.methods import DistillSimilar, FixMatch
from unseen.methods.base import Card, Method, NotFittedError, Signature, as_input, clone, signatures
from unseen.methods.parameters import Count, Positive
from unseen.nn.classifier import feature_classifier, linear
from unseen.nn.convnet import small_convnet
from unseen.nn.train import Run, train
from unseen.runtime import runtime


def card(slug: str = "test", **more: Any) -> Card:
    return Card(slug=slug, title="Test", venue="", **more)


class Mean(Method):
    """Remember what was seen."""

    card = card("mean", modalities={"features", "image"})

    power: Positive = 1.0
    steps: Count = 3

    seen_: Any = dataclasses.field(init=False)

    @overload
    def fit(self, *, source: Domain, classes: ClassSpace | None = None) -> Self: ...
    @overload
    def fit(self, *, target: Domain) -> Self: ...
    def fit(
        self, *, source: Domain | None = None, target: Domain | None = None, classes: ClassSpace | None = None
    ) -> Self:
        """Remember the inputs."""
        domain = source if source is not None else target
        if domain.x[0, 0] == 99:
            self.half_ = 1
            raise RuntimeError("in the middle")
        self.noise_ = torch.rand(3)
        self.weight_ = torch.as_tensor(domain.x).float().mean(dim=0)
        object.__setattr__(self, "_given", domain)
        if target is not None:
            self.transduction_ = np.arange(len(target))
        return self

    def adapt(self, *, support: Domain) -> Self:
        """Move the mean to the support."""
        self.weight_ = torch.as_tensor(support.x).float().mean(dim=0)
        return self

    def partial_fit(self, *, source: Domain) -> Self:
        """Count the tasks."""
        self.tasks_ = vars(self).get("tasks_", 0) + 1
        return self

    def decision_function(self, x: Tensor) -> Tensor:
        """Distance and nearness."""
        distance = (x - self.weight_).abs().pow(self.power).sum(dim=1)
        return torch.stack([distance, -distance], dim=1)


class Deeper(Mean):
    """Calls the fit of its base class."""

    card = card("deeper", modalities={"features"})

    def fit(self, *, source: Domain) -> Self:
        """Fit twice as much."""
        super().fit(source=source)
        self.double_ = 2 * self.weight_
        return self


class Descent(Method):
    """Train a network with checkpoints."""

    card = card("descent")

    rate: Positive = 0.1

    def fit(self, *, source: Domain) -> Self:
        """Two stages."""
        network = nn.Linear(3, 2)

        def objective(batch: Any, run: Run) -> Tensor:
            return nn.functional.cross_entropy(network(batch.x), batch.y)

        for name in ("first", "second"):
            optimizer = torch.optim.SGD(network.parameters(), lr=self.rate)
            train(
                objective,
                name=name,
                nets={"network": network},
                optimizers={"sgd": optimizer},
                batches=batches(source, 4),
                epochs=2,
                steps_per_epoch=steps(len(source), 4),
            )
        self.weight_ = network.weight.detach()
        self.network_ = network
        return self


def domain(n: int = 8, seed: int = 0, **more: Any) -> Domain:
    x = np.random.default_rng(seed).normal(size=(n, 3)).astype(np.float32)
    return Domain(**{"x": x, "y": np.arange(n) % 2} | more)


# -- parameters --------------------------------------------------------------------------------------------


def test_a_method_shows_what_differs_from_its_defaults() -> None:
    assert repr(Mean()) == "Mean()"
    assert repr(Mean(power=2.0, random_state=3)) == "Mean(random_state=3, power=2.0)"
    assert Mean().get_params() == {"random_state": 0, "power": 1.0, "steps": 3}


def test_setting_parameters_is_all_or_nothing() -> None:
    method = Mean()
    with pytest.raises(ValueError, match="steps"):
        method.set_params(power=2.0, steps=0)
    assert method.get_params() == Mean().get_params()


def test_positional_and_unknown_arguments_are_refused() -> None:
    with pytest.raises(TypeError):
        Mean(1.0)  # type: ignore[misc]
    with pytest.raises(TypeError, match="banana"):
        Mean(banana=1)  # type: ignore[call-arg]


def test_a_parameter_that_was_set_by_hand_is_checked_by_fit() -> None:
    method = Mean()
    method.steps = 0
    with pytest.raises(ValueError, match="steps"):
        method.fit(source=domain())


def test_checks_between_parameters_hold_in_the_constructor_and_in_set_params() -> None:
    class Between(Mean):
        card = card("between")
        low: Positive = 1.0
        high: Positive = 2.0

        def _check_params(self) -> None:
            super()._check_params()
            if self.low >= self.high:
                raise ValueError(f"low must be below high; got {self.low} and {self.high}")

    with pytest.raises(ValueError, match="low must be below high"):
        Between(low=3.0)
    with pytest.raises(ValueError, match="low must be below high"):
        Between().set_params(low=3.0)
    assert Between().set_params(low=3.0, high=4.0).low == 3.0


def test_a_card_has_at_most_four_presets() -> None:
    with pytest.raises(ValueError, match="presets must be one to four; x has 5"):
        card("x", presets={str(i): {} for i in range(5)})


# -- fit ---------------------------------------------------------------------------------------------------


def test_signatures_are_read_from_overloads() -> None:
    assert signatures(Mean) == (Signature(("source",), ("classes",)), Signature(("target",)))
    assert signatures(Deeper) == (Signature(("source",)),)


def test_what_is_missing_or_unknown_is_told_with_a_sentence() -> None:
    with pytest.raises(TypeError, match=r"Mean.fit needs (source|target) \((source|target): .*\)"):
        Mean().fit()
    with pytest.raises(TypeError, match="it does not take 'pairs'"):
        Mean().fit(source=domain(), pairs=1)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match=r"source must be a Domain; got ndarray\. Samples with labels"):
        Mean().fit(source=domain().x)  # type: ignore[call-overload]
    assert Mean().fit(source=domain(), classes=None).fitted


def test_a_target_comes_without_labels_and_in_the_order_of_its_content() -> None:
    target = domain(classes=ClassSpace(names=("a", "b")), ids=list("abcdefgh"), columns={"class": np.arange(8)})
    method = Mean().fit(target=target)
    seen = method._given
    assert (seen.y, seen.classes, dict(seen.columns)) == (None, None, {})
    assert seen.ids.tolist() == [f"{i:06d}" for i in range(8)]
    assert seen.x.tolist() == target.x[target.canonical_order()].tolist()
    inverse = np.argsort(target.canonical_order())
    assert method.transduction_.tolist() == inverse.tolist()  # `fit` numbered the samples in its own order


def test_a_failed_fit_leaves_a_method_unfitted_but_bad_input_leaves_it_alone() -> None:
    method = Mean().fit(source=domain())
    before = method.weight_
    with pytest.raises(ValueError, match="source must hold at least one sample"):
        method.fit(source=domain().take([]))
    assert method.weight_ is before
    x = domain().x.copy()
    x[0, 0] = 99
    with pytest.raises(RuntimeError, match="in the middle"):
        method.fit(source=domain(x=x))
    assert method.fitted == {}
    assert "_learns" not in vars(method)
    with pytest.raises(NotFittedError, match="this Mean has not been fitted"):
        method.predict(domain())


def test_the_seed_is_the_only_source_of_randomness() -> None:
    torch.manual_seed(1)
    first = Mean().fit(source=domain()).noise_
    torch.manual_seed(2)
    assert torch.equal(Mean().fit(source=domain()).noise_, first)
    assert not torch.equal(Mean(random_state=1).fit(source=domain()).noise_, first)


def test_a_subclass_may_call_the_fit_of_its_base() -> None:
    method = Deeper().fit(source=domain())
    assert set(method.fitted) == {"n_features_in_", "noise_", "weight_", "double_"}


def test_adapt_gives_a_fitted_copy_and_needs_a_fit() -> None:
    method = Mean().fit(source=domain())
    before = method.weight_.clone()
    moved = method.adapt(support=domain(seed=3))
    assert moved is not method
    assert torch.equal(method.weight_, before)
    assert not torch.equal(moved.weight_, before)
    with pytest.raises(NotFittedError):
        Mean().adapt(support=domain())


def test_partial_fit_adds_to_what_was_learnt() -> None:
    method = Mean().partial_fit(source=domain()).partial_fit(source=domain())
    assert method.tasks_ == 2


def test_what_was_learnt_is_in_eval_mode() -> None:
    assert not Descent().fit(source=domain()).network_.training


def test_labelled_inputs_need_two_classes_together() -> None:
    with pytest.raises(ValueError, match="source must hold at least two classes; all samples are of class 1"):
        Mean().fit(source=domain(y=np.ones(8, int)))


def test_a_method_without_fit_scores_or_network_says_so() -> None:
    class Nothing(Method):
        card = card("nothing")

    with pytest.raises(TypeError, match="Nothing has no fit"):
        Nothing().fit()
    with pytest.raises(TypeError, match="Nothing gives no scores"):
        Nothing().predict(domain().x)
    with pytest.raises(TypeError, match="cannot be written as one network"):
        Nothing().network()


def test_clone_forgets_what_was_learnt() -> None:
    method = Mean(power=2.0).fit(source=domain())
    assert clone(method).fitted == {}
    assert clone(method).power == 2.0


# -- what is asked -----------------------------------------------------------------------------------------


def test_samples_may_be_of_any_form() -> None:
    x = domain().x
    for value in (x, x.tolist(), torch.as_tensor(x), torch.as_tensor(x).double(), domain(), np.asfortranarray(x)):
        found = as_input(value)
        assert found.dtype == torch.float32
        assert torch.equal(found, torch.as_tensor(x))
    assert as_input(np.ones((2, 2), int)).dtype == torch.float32
    assert as_input(torch.ones(2, 2, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_outputs_carry_no_gradient() -> None:
    method = Mean().fit(source=domain())
    assert not method.decision_function(torch.ones(2, 3, requires_grad=True)).requires_grad


def test_a_model_that_reads_another_width_is_told() -> None:
    class Model(Method):
        card = card("model", modalities={"features", "image"})

        def fit(self, *, model: nn.Module, target: Domain) -> Self:
            """Nothing."""
            return self

    assert Model().fit(model=linear(3, 2), target=domain()).fitted
    model = feature_classifier(5, 2, 4)
    with pytest.raises(ValueError, match="target does not fit the model: it has 3 features"):
        Model().fit(model=model, target=domain())
    assert model.training
    pictures = Domain(x=np.zeros((4, 3, 8, 6), np.float32), kind="image")
    reader = nn.Sequential(nn.Conv2d(1, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(ValueError, match="it has pictures of 3 channels, 8 x 6"):
        Model().fit(model=reader, target=pictures)


@pytest.mark.parametrize("method", [FixMatch(steps=1), DistillSimilar(steps=1)])
def test_support_and_target_of_other_shapes_are_told(method: Any) -> None:
    small, large = (Domain(x=np.zeros((4, 1, side, side), np.float32), y=[0, 1] * 2, kind="image") for side in (16, 20))
    lazy = large.replace(x=Lazy(range(4), lambda i: torch.zeros(1, 20, 20)))
    given = {"teachers": {"any": small_convnet(2, 1, 2)}} if isinstance(method, DistillSimilar) else {}
    for target in (large, lazy):
        with pytest.raises(ValueError, match=r"support has \(1, 16, 16\), target \(1, 20, 20\)"):
            method.fit(support=small, target=target, **given)
    assert method.fit(support=large, target=lazy, **given).fitted


# -- checkpoints belong to one piece of work ---------------------------------------------------------------


def test_checkpoints_are_used_by_the_same_work_only(tmp_path: Path) -> None:
    expected = Descent().fit(source=domain())
    with runtime(folder=tmp_path):
        first = Descent().fit(source=domain())
        again = Descent().fit(source=domain())
        assert torch.equal(first.weight_, expected.weight_)
        assert torch.equal(again.weight_, expected.weight_)
        others = [
            (Descent(rate=0.2), domain()),
            (Descent(random_state=1), domain()),
            (Descent(), domain(seed=1)),
            (Descent(), domain(y=np.array([1, 0, 0, 1] * 2))),
        ]
        for method, source in others:
            with pytest.raises(ValueError, match="checkpoint of another start"):
                method.fit(source=source)


def test_an_unknown_hyperparameter_is_refused_with_those_that_there_are() -> None:
    from unseen.methods.base import UnknownParameterError
    from unseen.methods.baselines.prototypes import Prototypes

    known = ", ".join(Prototypes().get_params())
    for kind in (TypeError, ValueError, UnknownParameterError):
        with pytest.raises(kind, match=rf"^prototypes has no parameter 'epoch'; it has {known}$"):
            Prototypes(epoch=3)  # type: ignore[call-arg]


def test_what_is_learnt_is_not_there_before_a_fit_and_the_error_says_so() -> None:
    method = methods.get("bm25")()
    with pytest.raises(NotFittedError, match="this BM25Search has not been fitted; call fit first"):
        method.search(["a question"], 3)
    assert not hasattr(method, "index_")
    with pytest.raises(AttributeError, match="object has no attribute 'nothing'"):
        _ = method.nothing


def test_what_a_property_of_an_unfitted_method_says_is_not_hidden() -> None:
    class Shown(Mean):
        card = card("shown", modalities={"features", "image"})

        @property
        def twice(self) -> Any:
            return 2 * self.seen_

    with pytest.raises(NotFittedError, match="this Shown has not been fitted"):
        _ = Shown().twice


def test_numbers_of_numpy_are_hyperparameters_as_those_of_python_are(tmp_path: Path) -> None:
    method = Mean(power=np.float32(0.5), steps=np.int64(4), random_state=np.uint8(7))
    method.set_params(steps=np.int32(5))
    assert [type(value) for value in method.get_params().values()] == [int, float, int]
    assert method.get_params() == {"random_state": 7, "power": 0.5, "steps": 5}
    for changed in (
        {"steps": np.float64(3)},
        {"steps": np.True_},
        {"power": np.str_("1")},
        {"random_state": np.int8(-1)},
    ):
        with pytest.raises((TypeError, ValueError), match=r"must be .*; got"):
            method.set_params(**changed)
    assert method.steps == 5

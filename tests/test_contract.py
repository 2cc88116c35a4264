"""Every method keeps the contract of `Method`: one set of checks for all."""

from __future__ import annotations

import json
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.base
import torch

from contract import (
    Case,
    bad_inputs,
    bad_values,
    cases,
    class_space,
    domain_of,
    learnt,
    missing,
    outputs,
    random_states,
    snapshot,
    widened,
    without,
)
from unseen.data.domain import Domain, Lazy
from unseen.methods import METHODS, get
from unseen.methods.base import UNKNOWN, VOCABULARY, Method, NotFittedError, _hints, clone, signatures
from unseen.methods.chain import chain
from unseen.nn import train
from unseen.nn.state import digest, pack

BUDGET = 3.0
"""Seconds of one fit: 0.5 are meant (conftest prints the slowest), this much is allowed on a busy machine."""

ABSENT = missing()
CASES = list(cases())
_fitted: dict[Case, Method] = {}

every_method = pytest.mark.parametrize(
    "slug",
    [pytest.param(s, marks=pytest.mark.skip(reason=ABSENT[s]) if s in ABSENT else ()) for s in METHODS],
)
every_case = pytest.mark.parametrize("case", CASES, ids=str)
every_target = pytest.mark.parametrize("case", [case for case in CASES if "target" in case.words], ids=str)


def fitted(case: Case) -> Method:
    """The method fitted on its standard inputs, once per process."""
    if case not in _fitted:
        _fitted[case] = case.make().fit(**case.inputs())
    return _fitted[case]


def fails_before_work(case: Case, inputs: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> str:
    """Fit on bad inputs; the message of the error. No training may have begun, nothing may be learnt."""
    begun = []
    monkeypatch.setattr(train.Run, "__init__", lambda self, *args, **kwargs: begun.append(args))
    method = case.make()
    with pytest.raises((ValueError, TypeError)) as caught:
        method.fit(**inputs)
    assert not isinstance(caught.value, NotFittedError)
    assert not begun, "training had begun"
    assert method.fitted == {}
    return str(caught.value)


# -- parameters --------------------------------------------------------------------------------------------


@every_method
def test_parameters_are_plain_values_that_can_be_read_set_and_cloned(slug: str) -> None:
    cls = get(slug)
    for params in ({}, cls.card.smoke, *cls.card.presets.values()):
        method = cls(**params)
        assert method.get_params() == {**cls().get_params(), **params}
        assert pack(method.get_params(), {}) == json.loads(json.dumps(pack(method.get_params(), {})))
        for copy in (clone(method), sklearn.base.clone(method), cls().set_params(**method.get_params())):
            assert copy is not method
            assert copy.get_params() == method.get_params()
            assert repr(copy) == repr(method)
            assert copy.fitted == {}
        assert eval(repr(method), {cls.__name__: cls}).get_params() == method.get_params()
    assert "random_state" in cls().get_params()


@every_method
def test_unknown_parameters_and_values_out_of_range_are_named_and_change_nothing(slug: str) -> None:
    cls = get(slug)
    with pytest.raises(TypeError, match="banana"):
        cls(banana=1)
    method = cls()
    with pytest.raises(ValueError, match="banana"):
        method.set_params(banana=1)
    for name, hint in _hints(cls).items():
        for value in bad_values(hint):
            with pytest.raises((ValueError, TypeError), match=name):
                cls(**{name: value})
            with pytest.raises((ValueError, TypeError), match=name):
                method.set_params(random_state=5, **{name: value}) if name != "random_state" else method.set_params(
                    random_state=value
                )
    assert method.get_params() == cls().get_params()


@every_method
def test_the_card_is_complete_and_fit_speaks_the_vocabulary(slug: str) -> None:
    cls = get(slug)
    assert cls.card.slug == slug
    assert cls.card.title
    assert cls.card.summary.endswith(".")
    assert cls.__doc__
    for signature in signatures(cls) if "fit" in vars(cls) else ():
        assert set(signature.required + signature.optional) <= set(VOCABULARY)
        assert signature.required


# -- fitting -----------------------------------------------------------------------------------------------


@every_case
def test_a_fit_is_quick_silent_and_deterministic_and_leaves_all_else_as_it_was(
    case: Case, capfd: pytest.CaptureFixture[str], record_property: Any
) -> None:
    inputs = case.inputs()
    before = {word: snapshot(value) for word, value in inputs.items()}
    methods, seconds = [], []
    capfd.readouterr()
    for seed in (1, 2):
        torch.manual_seed(seed)  # what is random outside must not matter
        np.random.seed(seed)
        states, method = random_states(), case.make()
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            warnings.simplefilter("ignore", DeprecationWarning)
            started = time.perf_counter()
            assert method.fit(**inputs) is method
            seconds.append(time.perf_counter() - started)
            outputs(method, case.samples())
        assert [str(warning.message) for warning in told] == []
        assert random_states() == states
        methods.append(method)
    assert tuple(capfd.readouterr()) == ("", "")
    assert {word: snapshot(value) for word, value in inputs.items()} == before
    assert digest(methods[0].fitted) == digest(methods[1].fitted)
    assert methods[0].get_params() == case.make().get_params()
    record_property("fit", (str(case), min(seconds)))
    assert min(seconds) < BUDGET
    _fitted[case] = methods[0]


@every_case
def test_fitting_again_forgets_the_fit_before(case: Case) -> None:
    method = case.make().fit(**case.inputs())
    method.left_over_ = 1
    assert digest(method.fit(**case.inputs()).fitted) == digest(fitted(case).fitted)


@every_case
def test_arrays_of_any_layout_give_the_same_fit(case: Case) -> None:
    changed = {}
    for word, value in case.inputs().items():
        if isinstance(value, Domain) and isinstance(value.x, np.ndarray):
            x = value.x.astype(">f4").copy(order="F")
            x.flags.writeable = False
            value = value.replace(x=x, y=value.y.astype(np.int16))
        changed[word] = value
    assert digest(case.make().fit(**changed).fitted) == digest(fitted(case).fitted)


# -- labels stay sealed ------------------------------------------------------------------------------------


def _elsewhere(x: Lazy) -> Lazy:
    """The same samples under other paths."""
    return Lazy([f"/elsewhere/{i}" for i in range(len(x))], lambda path: x[int(path.rpartition("/")[2])])


@every_target
@pytest.mark.parametrize("change", ["labels deleted", "labels permuted", "names changed", "order changed"])
def test_sealed_labels_names_and_order_of_the_target_change_no_bit(case: Case, change: str) -> None:
    target = domain_of("target", case.kind)
    rng = np.random.default_rng(0)
    order = np.arange(len(target))
    if change == "labels deleted":
        target = target.replace(y=None, classes=None)
    elif change == "labels permuted":
        target = target.replace(y=rng.permutation(target.y), columns={"label": target.y})
    elif change == "names changed":
        ids = np.array([f"x{i}" for i in rng.permutation(len(target))])
        x = _elsewhere(target.x) if isinstance(target.x, Lazy) else target.x
        columns = {"file": ids, "domain": target.columns["domain"]}
        target = target.replace(x=x, ids=ids, name="other", columns=columns)
    else:
        order = rng.permutation(len(target))
        target = target.take(order)
    expected, method = fitted(case), case.make().fit(**case.inputs(target=target))
    assert learnt(method) == learnt(expected)
    if "transduction_" in method.fitted:
        assert method.transduction_.tolist() == expected.transduction_[order].tolist()


# -- predicting --------------------------------------------------------------------------------------------


@every_case
def test_outputs_have_their_shapes_and_ranges(case: Case) -> None:
    method, x = fitted(case), case.samples()
    before = x.clone()
    out = outputs(method, x)
    assert torch.equal(x, before)
    assert out["predict"].dtype == np.int64
    assert out["predict"].shape == (20,)
    assert out["predict"].min() >= UNKNOWN
    if "decision_function" in out:
        scores, p = out["decision_function"], out["predict_proba"]
        assert scores.ndim == 2
        assert len(scores) == 20
        assert p.shape == scores.shape
        assert np.isfinite(scores).all()
        assert out["predict"].max() < scores.shape[1]
        np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-5)
    if "transduction_" in method.fitted:
        assert method.transduction_.shape == (len(domain_of("target", case.kind)),)
        assert method.transduction_.dtype == np.int64


@every_case
@pytest.mark.parametrize("size", [1, 7])
def test_each_sample_is_predicted_by_itself_whatever_the_batch(case: Case, size: int) -> None:
    method, x = fitted(case), case.samples()
    whole = outputs(method, x)
    pieces = [outputs(method, part) for part in torch.split(x, size)]
    for key, value in whole.items():
        joined = np.concatenate([piece[key] for piece in pieces])
        if key == "predict":
            assert joined.tolist() == value.tolist()
        else:
            np.testing.assert_allclose(joined, value, rtol=1e-5, atol=1e-5)  # products of other shapes round anew


@every_case
def test_tensors_arrays_and_domains_are_predicted_alike(case: Case) -> None:
    method, x = fitted(case), case.samples()
    expected = method.predict(x).tolist()
    domain = Domain(x=x.numpy(), kind=case.kind)
    lazy = domain.replace(x=Lazy(range(len(x)), lambda i: x[i]))
    for same in (x.numpy(), x.double(), x.numpy().astype(">f8"), x.tolist(), domain, lazy):
        assert method.predict(same).tolist() == expected


@every_case
def test_bad_samples_are_told_as_x(case: Case) -> None:
    method, x = fitted(case), case.samples().numpy()
    nan, infinite = x.copy(), x.copy()
    nan[2].flat[1], infinite[2].flat[1] = np.nan, np.inf
    bad = [nan, infinite, x[:0], x[0].ravel(), x.astype(str), x.astype(complex), "picture", None, x[:, :-1]]
    if case.kind != "image":
        bad += [np.pad(x, ((0, 0), (0, 1)))]
    for value in bad:
        with pytest.raises((ValueError, TypeError), match=r"\bx\b"):
            method.predict(value)


@every_method
def test_a_method_that_is_not_fitted_says_so(slug: str) -> None:
    method = get(slug)()
    x = torch.zeros(2, 16)
    for verb in ("predict", "predict_proba", "decision_function"):
        if type(method).decision_function is not Method.decision_function or verb == "predict":
            with pytest.raises(NotFittedError, match="has not been fitted"):
                getattr(method, verb)(x)
    if "network" in {name for base in type(method).__mro__[:-2] for name in vars(base)}:
        with pytest.raises(NotFittedError, match="has not been fitted"):
            method.network()


# -- saving ------------------------------------------------------------------------------------------------


@every_case
def test_a_saved_method_comes_back_with_the_same_bits(case: Case, tmp_path: Path) -> None:
    method, x = fitted(case), case.samples()
    method.save(tmp_path / "m")
    back = case.method.load(tmp_path / "m")
    assert type(back) is case.method
    assert back.get_params() == method.get_params()
    assert digest(back.fitted) == digest(method.fitted)
    expected, found = outputs(method, x), outputs(back, x)
    assert all(expected[key].tobytes() == found[key].tobytes() for key in expected)
    assert not any(f.suffix not in (".json", ".safetensors") for f in (tmp_path / "m").iterdir())


@every_case
def test_a_saved_method_that_was_changed_or_is_another_is_refused(case: Case, tmp_path: Path) -> None:
    fitted(case).save(tmp_path / "m")
    other = get("source-only" if case.slug != "source-only" else "coral")
    with pytest.raises(ValueError, match=case.slug):
        other.load(tmp_path / "m")
    tensors, data = tmp_path / "m" / "state.safetensors", tmp_path / "m" / "state.json"
    content = data.read_text()
    data.write_text(content.replace(f'"{case.slug}"', '"other"'))
    with pytest.raises(ValueError, match="not a complete saved state"):
        case.method.load(tmp_path / "m")
    data.write_text(content)
    tensors.write_bytes(tensors.read_bytes()[:-1])
    with pytest.raises(ValueError, match="not a complete saved state"):
        case.method.load(tmp_path / "m")


@every_case
def test_what_is_exported_is_what_predicts(case: Case) -> None:
    method, x = fitted(case), case.samples()
    try:
        network = method.network()
    except TypeError as error:
        pytest.skip(str(error))
    assert not network.training
    with torch.no_grad():
        found = network(x)
    np.testing.assert_allclose(found.numpy(), method.decision_function(x).numpy(), rtol=1e-4, atol=1e-5)


# -- bad input ---------------------------------------------------------------------------------------------


@every_case
def test_bad_inputs_are_named_before_work_starts(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    for word, what, value in bad_inputs(case):
        inputs = case.inputs(**{word: value})
        if what == "of one class" and {"source", "support"} <= set(case.words):
            continue  # the other one may hold more classes
        assert word in fails_before_work(case, inputs, monkeypatch), f"{word} {what}"


@every_case
def test_missing_and_unknown_words_are_named(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "banana" in fails_before_work(case, case.inputs(banana=1), monkeypatch)
    required = {word for signature in signatures(case.method) for word in signature.required}
    told = fails_before_work(case, {}, monkeypatch)
    assert any(word in told for word in required)


@every_case
def test_inputs_that_do_not_fit_together_are_named(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    domains = [w for w in case.words if isinstance(case.inputs()[w], Domain)]
    if case.kind == "features" and (len(domains) > 1 or (domains and "model" in case.words)):
        for word in domains:
            told = fails_before_work(case, case.inputs(**{word: widened(domain_of(word, case.kind))}), monkeypatch)
            assert word in told
    labeled = [w for w in domains if VOCABULARY[w].labeled]
    if labeled and "classes" in case.words:
        other = class_space().replace(names=("x", "y", "z", "u", "v", "w"))
        assert "classes" in fails_before_work(case, case.inputs(classes=other), monkeypatch)
        beyond = domain_of(labeled[0], case.kind).replace(classes=None)
        beyond = beyond.replace(y=np.where(beyond.y == 0, 17, beyond.y))
        told = fails_before_work(case, case.inputs(**{labeled[0]: beyond}), monkeypatch)
        assert labeled[0] in told
        assert "17" in told
    if len(labeled) > 1:
        other = domain_of(labeled[0], case.kind)
        other = other.replace(classes=other.classes.replace(names=("x", "y", "z", "u")))
        assert labeled[0] in fails_before_work(case, case.inputs(**{labeled[0]: other}), monkeypatch)


@pytest.mark.parametrize("case", [case for case in CASES if "classes" in case.words], ids=str)
@pytest.mark.parametrize("keys", [("descriptions",), ("embeddings",), ("descriptions", "embeddings")], ids="+".join)
def test_what_must_be_known_of_classes_is_told(
    case: Case, keys: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    poor = without(class_space(), *keys)
    method = case.make()
    try:
        method.fit(**case.inputs(classes=poor))
    except ValueError:
        assert "classes" in fails_before_work(case, case.inputs(classes=poor), monkeypatch)
    else:
        assert method.fitted


# -- a chain, which is made of fitted methods ---------------------------------------------------------------


def test_a_chain_is_deterministic_saved_and_predicts_each_sample_by_itself(tmp_path: Path) -> None:
    if {"source-only", "loki"} & set(ABSENT):
        pytest.skip("needs source-only and loki")
    base = get("source-only")().fit(source=domain_of("source", "features"))
    both = chain(base, get("loki")().fit(classes=class_space()))
    x = Case("source-only", ("source",), "features").samples()
    both.save(tmp_path / "m")
    back = type(both).load(tmp_path / "m")
    expected = outputs(both, x)
    assert all(value.tobytes() == expected[key].tobytes() for key, value in outputs(back, x).items())
    assert np.concatenate([both.predict(part) for part in torch.split(x, 1)]).tolist() == expected["predict"].tolist()
    np.testing.assert_allclose(both.network()(x).detach(), expected["decision_function"], rtol=1e-4, atol=1e-5)

"""The contract of `Method`, one function per line of it; `unseen.testing` runs them all."""

from __future__ import annotations

import contextlib
import copy
import functools
import io
import json
import tempfile
import time
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

from unseen.data.domain import Domain, Lazy
from unseen.data.tasks import task_of
from unseen.methods import get
from unseen.methods.base import VOCABULARY, Method, NotFittedError, _hints, clone, signatures
from unseen.nn import train
from unseen.nn.state import digest, pack
from unseen.testing.answers import answer_of, outputs
from unseen.testing.compared import learnt, random_states, snapshot
from unseen.testing.contract import ContractError, need, refused
from unseen.testing.inputs import Case, class_space, domain_of
from unseen.testing.wrong import bad_inputs, bad_values, widened, without


@functools.lru_cache(maxsize=64)
def _fits(case: Case) -> list[Method]:
    """The fit that the checks of a case share, once one of them has made it."""
    return []


def fitted(case: Case) -> Method:
    """The method fitted on its standard inputs."""
    kept = _fits(case)
    if not kept:
        kept.append(case.make().fit(**case.inputs()))
    return kept[0]


# -- of a class: parameters and card -----------------------------------------------------------------------


def parameters_can_be_read_set_and_cloned(method: type[Method]) -> None:
    """Hyperparameters are plain values, kept by clone, set_params, repr and JSON."""
    import sklearn.base

    for params in ({}, method.card.smoke, *method.card.presets.values()):
        original = method(**params)
        need(
            original.get_params() == {**method().get_params(), **params},
            "get_params must give what the constructor got",
        )
        packed = pack(original.get_params(), {})
        need(packed == json.loads(json.dumps(packed)), "hyperparameters must be JSON")
        copies = (clone(original), sklearn.base.clone(original), method().set_params(**original.get_params()))
        for other in copies:
            need(other is not original, "a clone must be another object")
            need(other.get_params() == original.get_params(), "a clone must have the same hyperparameters")
            need(repr(other) == repr(original), "a clone must look the same")
            need(other.fitted == {}, "a clone must not be fitted")
    need("random_state" in method().get_params(), "random_state must be a hyperparameter; it is inherited from Method")


def wrong_parameters_are_named_and_change_nothing(method: type[Method]) -> None:
    """A name that is none, or a value out of range, is refused and leaves the method as it was."""
    unfitted = method()
    with refused("an unknown hyperparameter", "banana", by=(TypeError,)):
        method(**{"banana": 1})
    with refused("an unknown hyperparameter", "banana", by=(ValueError,)):
        unfitted.set_params(banana=1)
    for name, hint in _hints(method).items():  # type: ignore[arg-type]
        for value in bad_values(hint):
            with refused(f"{name}={value!r}", name):
                method(**{name: value})
            first = {} if name == "random_state" else {"random_state": 5}
            with refused(f"{name}={value!r} in set_params", name):
                unfitted.set_params(**first, **{name: value})
    need(unfitted.get_params() == method().get_params(), "a refused set_params must change nothing")


def the_card_is_complete(method: type[Method]) -> None:
    """The card says what it is, and `fit` speaks the vocabulary."""
    need(method.card.title, "card.title must not be empty")
    need(method.card.summary.endswith("."), "card.summary must be a sentence that ends with a full stop")
    need(method.__doc__, "the class must have a docstring")
    for name in method.card.at_prediction:
        need(name in method().get_params(), f"card.at_prediction must name hyperparameters; {name!r} is none")
    for signature in signatures(method) if method.fit is not Method.fit else ():
        for word in signature.required + signature.optional:
            need(word in VOCABULARY, f"arguments of fit must be of {', '.join(VOCABULARY)}; {word!r} is none")
        need(signature.required, "fit must need something")


def an_unfitted_method_says_so(method: type[Method]) -> None:
    """Every output verb of an unfitted method raises `NotFittedError`."""
    unfitted, x = method(), torch.zeros(2, 16)
    for verb in answer_of(method).verbs(method):
        with refused(f"{verb} before fit", "has not been fitted", by=(NotFittedError,)):
            getattr(unfitted, verb)(x)
    if "network" in {name for base in method.__mro__[:-2] for name in vars(base)}:
        with refused("network before fit", "has not been fitted", by=(NotFittedError,)):
            unfitted.network()


# -- of a fit ----------------------------------------------------------------------------------------------


def a_fit_is_quick_silent_deterministic_and_leaves_all_else_as_it_was(case: Case, budget: float = 3.0) -> float:
    """Two fits under other random states agree to the bit; inputs and random states stay; returns seconds."""
    inputs = case.inputs()
    before = {word: snapshot(value) for word, value in inputs.items()}
    methods, seconds = [], []
    output = io.StringIO()
    for seed in (1, 2):
        torch.manual_seed(seed)  # what is random outside must not matter
        np.random.seed(seed)
        states, method = random_states(), case.make()
        with warnings.catch_warnings(record=True) as caught, _written_to(output):
            warnings.simplefilter("always")
            warnings.simplefilter("ignore", DeprecationWarning)
            clock, processor = time.perf_counter(), time.process_time()
            need(method.fit(**inputs) is method, "fit must return self")
            # of the processor where a machine is busy elsewhere, of the clock where several cores fit
            seconds.append(min(time.perf_counter() - clock, time.process_time() - processor))
            outputs(method, answer_of(case.method).samples(case))
        need(not caught, f"a fit must not warn; it said: {[str(warning.message) for warning in caught]}")
        need(random_states() == states, "a fit must leave the global random states as they were")
        methods.append(method)
    need(not output.getvalue(), f"a fit must be silent; it wrote {output.getvalue()[:200]!r}")
    after = {word: snapshot(value) for word, value in inputs.items()}
    changed = [word for word in before if before[word] != after[word]]
    need(not changed, f"a fit must not change its inputs; it changed {', '.join(changed)}")
    need(digest(methods[0].fitted) == digest(methods[1].fitted), "two fits with one random_state must be equal bits")
    need(methods[0].get_params() == case.make().get_params(), "a fit must not change hyperparameters")
    _fits(case)[:] = methods[:1]
    need(min(seconds) < budget, f"a fit with card.smoke must take less than {budget} s; it took {min(seconds):.2f} s")
    return min(seconds)


@contextlib.contextmanager
def _written_to(buffer: io.StringIO) -> Iterator[None]:
    with contextlib.redirect_stdout(buffer), contextlib.redirect_stderr(buffer):
        yield


def a_second_fit_forgets_the_first(case: Case) -> None:
    """What an earlier fit left is cleared."""
    method = copy.deepcopy(fitted(case))
    method.left_over_ = 1  # type: ignore[attr-defined]
    need(
        digest(method.fit(**case.inputs()).fitted) == digest(fitted(case).fitted), "a second fit must be as a first one"
    )


def what_only_predictions_read_changes_no_bit_of_a_fit(case: Case) -> None:
    """Hyperparameters of `card.at_prediction` may differ between candidates that share one fit."""
    params, card = case.make().get_params(), case.method.card
    for name in sorted(card.at_prediction):
        value = params[name]
        others = [preset[name] for preset in card.presets.values() if name in preset]
        others += [not value] if isinstance(value, bool) else [value / 2] if isinstance(value, float) else []
        for other in (setting for setting in others if setting != value):
            again = case.make().set_params(**{name: other}).fit(**case.inputs())
            same = digest(again.fitted) == digest(fitted(case).fitted)
            need(same, f"card.at_prediction holds {name!r}, but {name}={other!r} changes what is learnt")


def arrays_of_any_layout_give_the_same_fit(case: Case) -> None:
    """Byte order, memory order and a read-only flag do not matter."""
    changed = {}
    for word, value in case.inputs().items():
        if isinstance(value, Domain) and isinstance(value.x, np.ndarray):
            assert value.y is not None
            x = value.x.astype(">U99" if value.kind == "text" else ">f4").copy(order="F")
            x.flags.writeable = False
            y = value.y if value.y.dtype.hasobject else value.y.astype(np.int16 if value.task == "class" else ">f8")
            value = value.replace(x=x, y=y)
        changed[word] = value
    learnt_digest = digest(case.make().fit(**changed).fitted)
    need(learnt_digest == digest(fitted(case).fitted), "the same numbers in another layout must give the same fit")


# -- the next task of a stream --------------------------------------------------------------------------------


def a_next_task_adds_to_what_was_learnt(case: Case) -> None:
    """A first task is a fit; the next one goes on, alike also from a saved method; one that fails changes nothing."""
    first = case.make()
    with mock.patch.object(train.Run, "descend", autospec=True, side_effect=train.Run.descend) as descend:
        need(first.partial_fit(**case.inputs()) is first, "partial_fit must return self")  # type: ignore[attr-defined]
    need(digest(first.fitted) == digest(fitted(case).fitted), "the first partial_fit must be as fit, to the bit")
    begun = {word for word in ("model",) if word in case.words}
    later = {word: value for word, value in case.inputs().items() if word not in begun}
    before = {word: snapshot(value) for word, value in later.items()}
    with tempfile.TemporaryDirectory() as folder:
        first.save(Path(folder) / "m")
        loaded: Any = case.method.load(Path(folder) / "m")
    known = digest(first.fitted)
    for word in (word for word in later if isinstance(later[word], Domain)):
        with refused(f"a next task whose {word} is empty", word):
            first.partial_fit(**{**later, word: later[word].take([])})  # type: ignore[attr-defined]
        need(digest(first.fitted) == known, "a next task that is refused must leave what was learnt")
    where = (train.Run, "descend") if descend.called else (torch.linalg, "solve")  # of a loop, or of a closed form
    with mock.patch.object(*where, side_effect=ArithmeticError("diverged")), refused(
        "a task that breaks off", by=(ArithmeticError,)
    ):  # fmt: skip
        first.partial_fit(**later)  # type: ignore[attr-defined]
    need(digest(first.fitted) == known, "a next task that breaks off must leave what was learnt")
    first.partial_fit(**later)  # type: ignore[attr-defined]
    need(digest(first.fitted) != known, "a next task must change what was learnt")
    loaded.partial_fit(**later)
    need(digest(loaded.fitted) == digest(first.fitted), "a saved method must go on as one that was not saved")
    after = {word: snapshot(value) for word, value in later.items()}
    need(after == before, "a next task must not change its inputs")


# -- labels stay sealed ------------------------------------------------------------------------------------


def sealed_labels_change_no_bit(case: Case) -> None:
    """The leak test: labels of the target deleted or permuted, and its names and columns changed."""
    target, rng = case.inputs()["target"], np.random.default_rng(0)
    ids = np.array([f"x{i}" for i in rng.permutation(len(target))])
    x = _elsewhere(target.x) if isinstance(target.x, Lazy) else target.x
    read = {name: target.columns[name] for name in case.method.card.target_columns if name in target.columns}
    columns = {"file": ids, "domain": target.columns["domain"], **read}
    for change, other in {
        "labels deleted": target.replace(y=None, classes=None),
        "labels permuted": target.replace(y=rng.permutation(target.y), columns={**_telling(case, target), **read}),
        "names changed": target.replace(x=x, ids=ids, name="other", columns=columns),
    }.items():
        _same_fit(case, other, np.arange(len(target)), f"the target's {change}")


def _telling(case: Case, target: Domain) -> dict[str, np.ndarray]:
    """Columns that tell the labels under names that some method may read; those that this one reads are left out."""
    assert target.y is not None
    y = target.y
    if y.dtype.hasobject:  # labels of any size: a number that stands for each
        y = np.array([zlib.crc32(task_of(target.task).digest(label).encode()) for label in y])
    names = {"label", "similarity", "score"} - set(case.method.card.target_columns)
    return {name: y if name == "label" else y.astype(np.float64) for name in sorted(names)}


def order_of_the_target_changes_no_bit(case: Case) -> None:
    """Samples in another order give the same fit."""
    target = case.inputs()["target"]
    order = np.random.default_rng(0).permutation(len(target))
    _same_fit(case, target.take(order), order, "the target's order changed")


def _same_fit(case: Case, target: Domain, order: np.ndarray, occasion: str) -> None:
    expected, method = fitted(case), case.make().fit(**case.inputs(target=target))
    need(learnt(method) == learnt(expected), f"{occasion}: what is learnt must not differ by a bit")
    for name in set(method.of_target) & set(method.fitted):
        mine, theirs = vars(method)[name], vars(expected)[name]
        need(mine.tolist() == theirs[order].tolist(), f"{occasion}: {name} must follow the samples")


def _elsewhere(x: Lazy) -> Lazy:
    """The same samples under other paths."""
    return Lazy([f"/elsewhere/{i}" for i in range(len(x))], lambda path: x[int(path.rpartition("/")[2])])


# -- predicting --------------------------------------------------------------------------------------------


def outputs_have_their_shapes_and_ranges(case: Case) -> None:
    """Labels are int64 in range, scores finite, probabilities sum to 1, samples stay as they were."""
    answer, method = answer_of(case.method), fitted(case)
    x = answer.samples(case)
    before = snapshot(x)
    out = answer.outputs(method, x)
    need(snapshot(x) == before, f"{answer.verb} must not change its samples")
    answer.check(case, method, x, out)


def each_sample_is_predicted_by_itself(case: Case) -> None:
    """Batches of 1 and of 7 give what one batch gives."""
    answer, method = answer_of(case.method), fitted(case)
    x = answer.samples(case)
    whole = answer.outputs(method, x)
    for size in (1, 7):
        parts = [slice(start, start + size) for start in range(0, len(x), size)]
        pieces = [answer.outputs(method, answer.part(x, part)) for part in parts]
        for key, value in whole.items():
            joined = np.concatenate([piece[key] for piece in pieces])
            exact = answer.to_the_bit(case, key)
            close = np.array_equal(joined, value) if exact else np.allclose(joined, value, 1e-5, 1e-5)
            need(close, f"{key} of a sample must not depend on the batch; batches of {size} differ")


def tensors_arrays_and_domains_are_predicted_alike(case: Case) -> None:
    """Whatever holds the samples, the answer is the same."""
    answer, method = answer_of(case.method), fitted(case)
    x = answer.samples(case)
    expected = answer.outputs(method, x)[answer.verb].tolist()
    for holder, same in answer.alike(case, x):
        answered = answer.outputs(method, same)[answer.verb].tolist()
        need(answered == expected, f"{answer.verb} must read {holder} as it reads its usual samples")


def bad_samples_are_named(case: Case) -> None:
    """NaN, infinity, no sample, wrong width or type are refused as x."""
    answer, method = answer_of(case.method), fitted(case)
    for problem, value in answer.wrong(case):
        with refused(f"{answer.verb} of {problem}", *answer.named):
            answer.ask(method, value)


# -- saving ------------------------------------------------------------------------------------------------


def a_saved_method_comes_back_with_the_same_bits(case: Case) -> None:
    """JSON and safetensors, and nothing else, carry all of it."""
    method, x = fitted(case), answer_of(case.method).samples(case)
    with tempfile.TemporaryDirectory() as folder:
        method.save(Path(folder) / "m")
        back = case.method.load(Path(folder) / "m")
        strange = [file.name for file in (Path(folder) / "m").iterdir() if file.suffix not in (".json", ".safetensors")]
    need(type(back) is case.method, "load must give the same class")
    need(back.get_params() == method.get_params(), "hyperparameters must survive")
    need(digest(back.fitted) == digest(method.fitted), "what is learnt must survive to the bit")
    expected, loaded = outputs(method, x), outputs(back, x)
    for key in expected:
        need(expected[key].tobytes() == loaded[key].tobytes(), f"{key} must be the same bits after load")
    need(not strange, f"only .json and .safetensors may be written; found {strange}")


def a_changed_or_foreign_state_is_refused(case: Case) -> None:
    """Another method's folder, an edited one and a truncated one do not load."""
    slug = case.method.card.slug
    other = get("source-only" if slug != "source-only" else "coral")
    with tempfile.TemporaryDirectory() as folder:
        where = Path(folder) / "m"
        fitted(case).save(where)
        with refused("the folder of another method", slug, by=(ValueError,)):
            other.load(where)
        tensors, data = where / "state.safetensors", where / "state.json"
        content = data.read_text()
        data.write_text(content.replace(f'"{slug}"', '"other"'))
        with refused("an edited state", "not a complete saved state", by=(ValueError,)):
            case.method.load(where)
        data.write_text(content)
        tensors.write_bytes(tensors.read_bytes()[:-1])
        with refused("a truncated state", "not a complete saved state", by=(ValueError,)):
            case.method.load(where)


def what_is_exported_is_what_predicts(case: Case) -> None:
    """`network()`, where there is one, gives the scores."""
    method, x = fitted(case), answer_of(case.method).samples(case)
    try:
        network = method.network()
    except TypeError:
        return  # a method without a network says so
    need(not network.training, "network() must be in eval mode")
    with torch.no_grad():
        scores = network(x)
    close = np.allclose(scores.numpy(), method.decision_function(x).numpy(), rtol=1e-4, atol=1e-5)
    need(close, "network() must give what decision_function gives")


# -- bad input ---------------------------------------------------------------------------------------------


def bad_inputs_are_named_before_work_starts(case: Case) -> None:
    """NaN, infinity, empty, one class, wrong width or type, labels out of range: named, and nothing is learnt."""
    for word, problem, value in bad_inputs(case):
        if problem == "of one class" and {"source", "support"} <= set(case.words):
            continue  # the other one may hold more classes
        _fails_before_work(case, case.inputs(**{word: value}), f"{word} {problem}", word)


def missing_and_unknown_words_are_named(case: Case) -> None:
    """`fit` says what it lacks and what it does not take."""
    _fails_before_work(case, case.inputs(banana=1), "an unknown word", "banana")
    required = {word for signature in signatures(case.method) for word in signature.required}
    _fails_before_work(case, {}, "fit of nothing", *required)


def inputs_that_do_not_fit_together_are_named(case: Case) -> None:
    """Other widths, other classes, labels that no class has."""
    inputs = case.inputs()
    domains = [word for word in case.words if isinstance(inputs[word], Domain)]
    if case.kind == "features" and (len(domains) > 1 or (domains and "model" in case.words)):
        for word in domains:
            wide = case.inputs(**{word: widened(domain_of(word, case.kind))})
            _fails_before_work(case, wide, f"{word} of another width", word)
    labeled = [word for word in domains if VOCABULARY[word].labeled]
    if labeled and "classes" in case.words:
        other = class_space().replace(names=("x", "y", "z", "u", "v", "w"))
        _fails_before_work(case, case.inputs(classes=other), "classes of other names", "classes")
        beyond = domain_of(labeled[0], case.kind).replace(classes=None)
        assert beyond.y is not None
        beyond = beyond.replace(y=np.where(beyond.y == 0, 17, beyond.y))
        wrong = case.inputs(**{labeled[0]: beyond})
        _fails_before_work(case, wrong, "a label that no class has", f"{labeled[0]}")
        _fails_before_work(case, wrong, "a label that no class has", "17")
    if len(labeled) > 1:
        renamed = domain_of(labeled[0], case.kind)
        assert renamed.classes is not None
        renamed = renamed.replace(classes=renamed.classes.replace(names=("x", "y", "z", "u")))
        _fails_before_work(case, case.inputs(**{labeled[0]: renamed}), f"{labeled[0]} of other classes", labeled[0])


def what_must_be_known_of_classes_is_told(case: Case) -> None:
    """Without descriptions or embeddings a method works, or says that `classes` lacks them."""
    if "classes" not in case.words:
        return
    for keys in (("descriptions",), ("embeddings",), ("descriptions", "embeddings")):
        poor = without(class_space(), *keys)
        try:
            need(case.make().fit(**case.inputs(classes=poor)).fitted, "fit must learn something")
        except ValueError:
            _fails_before_work(case, case.inputs(classes=poor), f"classes without {' and '.join(keys)}", "classes")


def _fails_before_work(case: Case, inputs: dict[str, Any], what: str, *names: str) -> None:
    """Fit must refuse the inputs; no training may have begun, nothing may be learnt."""
    begun: list[Any] = []
    method = case.make()
    record = lambda self, *args, **kwargs: begun.append(args)
    with mock.patch.object(train.Run, "__init__", record), refused(what, *names):
        try:
            method.fit(**inputs)
        except NotFittedError as error:
            raise ContractError(f"{what}: fit says that the method is not fitted: {error}") from error
    need(not begun, f"{what} must be refused before training begins")
    need(method.fitted == {}, f"{what}: a refused fit must leave nothing learnt")


CLASS_CHECKS: tuple[Callable[[type[Method]], None], ...] = (
    parameters_can_be_read_set_and_cloned,
    wrong_parameters_are_named_and_change_nothing,
    the_card_is_complete,
    an_unfitted_method_says_so,
)
CASE_CHECKS: tuple[Callable[[Case], Any], ...] = (
    a_fit_is_quick_silent_deterministic_and_leaves_all_else_as_it_was,
    a_second_fit_forgets_the_first,
    what_only_predictions_read_changes_no_bit_of_a_fit,
    a_next_task_adds_to_what_was_learnt,
    arrays_of_any_layout_give_the_same_fit,
    sealed_labels_change_no_bit,
    order_of_the_target_changes_no_bit,
    outputs_have_their_shapes_and_ranges,
    each_sample_is_predicted_by_itself,
    tensors_arrays_and_domains_are_predicted_alike,
    bad_samples_are_named,
    a_saved_method_comes_back_with_the_same_bits,
    a_changed_or_foreign_state_is_refused,
    what_is_exported_is_what_predicts,
    bad_inputs_are_named_before_work_starts,
    missing_and_unknown_words_are_named,
    inputs_that_do_not_fit_together_are_named,
    what_must_be_known_of_classes_is_told,
)
NEED_TARGET = (sealed_labels_change_no_bit, order_of_the_target_changes_no_bit)


def applies(check: Callable[..., Any], case: Case) -> bool:
    """Whether a check has anything to look at in a case."""
    if check is what_only_predictions_read_changes_no_bit_of_a_fit:
        return bool(case.method.card.at_prediction)
    if check is a_next_task_adds_to_what_was_learnt:
        return hasattr(case.method, "partial_fit")
    return check not in NEED_TARGET or "target" in case.words

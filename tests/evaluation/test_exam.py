"""The exam: sealed, counted, and out of the reach of methods."""

import json
from pathlib import Path

import numpy as np
import pytest

import unseen
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.label_metrics import TreeMetric
from unseen.evaluation import drive, protocols
from unseen.evaluation.drive import Across, HeldOut, Once, Together, by_accuracy
from unseen.evaluation.exam import Exam
from unseen.methods.baselines.source_only import SourceOnly


def labelled(n=12, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    x = np.eye(3)[y] * 4 + rng.normal(size=(n, 3))
    return Domain(x=x.astype("float32"), y=y, classes=ClassSpace(names=("a", "b", "c")), name="t")


def test_samples_of_an_exam_carry_nothing_of_the_truth(tmp_path):
    domain = labelled().replace(columns={"attribute": np.arange(12)})
    exam = Exam(domain, domain.classes, ledger=tmp_path / "l.json")
    assert exam.samples.y is None
    assert exam.samples.classes is None
    assert not exam.samples.columns


def test_openings_are_counted_by_the_hash_of_data_and_labels_across_objects(tmp_path):
    ledger = tmp_path / "l.json"
    domain = labelled()
    Exam(domain, domain.classes, ledger=ledger).open()
    again = Exam(domain.take(np.random.default_rng(1).permutation(12)), domain.classes, ledger=ledger)
    assert again.openings == 1
    again.open()
    assert Exam(domain, domain.classes, ledger=ledger).openings == 2
    other = domain.with_labels((domain.y + 1) % 3)
    assert Exam(other, domain.classes, ledger=ledger).openings == 0


def test_a_damaged_count_is_named(tmp_path):
    (tmp_path / "l.json").write_text("{")
    with pytest.raises(ValueError, match="damaged"):
        Exam(labelled(), labelled().classes, ledger=tmp_path / "l.json").open()


def test_a_domain_without_labels_is_no_exam(tmp_path):
    with pytest.raises(ValueError, match="no labels"):
        Exam(labelled().unlabeled(), ClassSpace(names=("a",)))


def test_once_fits_asks_and_opens_once(tmp_path):
    source, target = labelled(60), labelled(30, seed=1)
    exam = Exam(target, target.classes, ledger=tmp_path / "l.json")
    closed = protocols.get("closed")
    once = Once(lambda truth, prediction: closed.grade(truth, prediction, target.classes))
    outcome = once(SourceOnly(), {"source": source}, exam)
    assert outcome.metrics["accuracy"] == pytest.approx(np.mean(outcome.prediction == target.y))
    assert json.loads((tmp_path / "l.json").read_text()) == {exam.hash: 1}
    again = once.ask(SourceOnly().fit(source=source), exam)
    assert again.metrics == outcome.metrics
    assert exam.openings == 2


def test_together_opens_once_when_all_have_said_what_they_say(tmp_path):
    target = labelled(30, seed=1)
    exam = Exam(target, target.classes, ledger=tmp_path / "l.json")

    def asked(samples):
        assert samples.y is None
        assert exam.openings == 0
        return np.zeros(len(samples), dtype=int)

    figures = Together(by_accuracy)(exam, {"asked": asked, "said": target.labels})
    assert figures == {"asked": {"accuracy": np.mean(target.labels == 0)}, "said": {"accuracy": 1.0}}
    assert exam.openings == 1


def test_what_is_kept_back_is_asked_about_like_an_exam_and_not_counted(tmp_path, monkeypatch):
    monkeypatch.setenv("UNSEEN_DATA", str(tmp_path))
    source, kept = labelled(60), labelled(30, seed=1)
    held_out = HeldOut(kept.x, kept.labels)
    outcome = Once(by_accuracy)(SourceOnly(), {"source": source}, held_out)
    said = {"said": outcome.prediction, "asked": lambda samples: np.zeros(len(samples), dtype=int)}
    figures = Together(by_accuracy)(held_out, said)
    assert figures == {"said": outcome.metrics, "asked": {"accuracy": np.mean(kept.labels == 0)}}
    assert list(tmp_path.rglob("*")) == []
    assert "truth" not in repr(held_out)


def test_across_opens_each_exam_once_and_all_settle_how_is_graded(tmp_path):
    parts = {"near": labelled(30, seed=1), "far": labelled(12, seed=2)}
    exams = {name: Exam(part, part.classes, ledger=tmp_path / "l.json") for name, part in parts.items()}

    def settle(truths):
        assert {name: len(truth) for name, truth in truths.items()} == {"near": 30, "far": 12}
        n = sum(map(len, truths.values()))
        return lambda part, truth, answer: {"right": int((answer[part] == truth).sum()), "of": n}

    said = {"all": {name: part.labels for name, part in parts.items()}, "none": dict.fromkeys(parts, -1)}
    grade, figures = Across(settle)(exams, said)
    assert figures["near"] == {"all": {"right": 30, "of": 42}, "none": {"right": 0, "of": 42}}
    assert figures["far"]["all"] == {"right": 12, "of": 42}
    assert grade("far", parts["far"].labels, said["none"]) == {"right": 0, "of": 42}
    assert [exam.openings for exam in exams.values()] == [1, 1]


def test_every_driver_has_a_user():
    root = Path(unseen.__file__).parent
    texts = [p.read_text() for room in ("jobs", "compare", "claims") for p in (root / room).rglob("*.py")]
    classes = {name: vars(drive)[name] for name in drive.__all__ if isinstance(vars(drive)[name], type)}
    drivers = [name for name, item in classes.items() if "__call__" in vars(item)]
    assert set(drivers) == {"Once", "Together", "Across", "Episodes", "Stream", "Rolling", "Pairs"}
    for name in drivers:
        assert any(f"{name}(" in text and "evaluation.drive import" in text for text in texts), name


@pytest.mark.parametrize(
    ("present", "described", "name"),
    [
        ([0, 1, 2], False, "closed"),
        ([0, 1], False, "partial"),
        ([0, 1, 2, 3], False, "open"),
        ([0, 3, 4], False, "open-partial"),
        ([0, 3], True, "gzsl"),
        ([3, 4], True, "zsl"),
    ],
)
def test_auto_never_assumes_equal_classes(present, described, name):
    space = ClassSpace(names=tuple("abcde"), seen=[0, 1, 2])
    assert protocols.auto(np.array(present), space, described).name == name


def test_open_protocols_count_unknown_samples():
    space = ClassSpace(names=tuple("abcd"), seen=[0, 1])
    grades = protocols.get("open").grade(np.array([0, 0, 1, 2, 3]), np.array([0, 1, 1, -1, 0]), space)
    assert grades["known_accuracy"] == pytest.approx(0.75)
    assert grades["unknown_accuracy"] == pytest.approx(0.5)
    assert grades["h_score"] == pytest.approx(2 * 0.75 * 0.5 / 1.25, abs=1e-4)


def test_with_scores_zero_shot_protocols_grade_ranks_distances_and_the_bias_between_seen_and_unseen():
    space = ClassSpace(names=tuple("abcd"), metric=TreeMetric(np.array([-1, 0, 0, 1])), seen=[0, 1])
    truth, scores = np.array([0, 1, 2, 3, -1]), np.eye(4)[[0, 3, 2, 1, 0]]
    found = protocols.get("gzsl").grade(truth, scores.argmax(axis=1), space, scores)
    assert (found["s"], found["u"], found["h"]) == (0.5, 0.5, 0.5)
    assert found["distance"] == 0.5  # two of four samples are one hop off
    assert found["hit@4"] == 1.0
    assert set(found) == {"s", "u", "h", "auc", "hit@4", "hp@4", "distance"}
    new = protocols.get("zsl").grade(truth, scores.argmax(axis=1), space, scores)
    assert new == {"class_accuracy": 0.5, "hit@2": 1.0, "hp@2": pytest.approx(0.5), "distance": 0.5}
    with pytest.raises(ValueError, match=r"scores must be of shape \(5, 4\)"):
        protocols.get("gzsl").grade(truth, truth, space, scores[:, :3])


def test_an_unknown_protocol_names_those_there_are():
    with pytest.raises(ValueError, match="open-partial"):
        protocols.get("semi-closed")

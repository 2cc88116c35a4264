"""Evidence: confirmed once, explored when it is younger than the look at its cases, stamped by what a system gives."""

import dataclasses
import importlib.util
import inspect
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import threadpoolctl
import torch
from typer.testing import CliRunner

from unseen import claims, cli, methods
from unseen.claims import evidence, stamps, standing
from unseen.claims.base import Claim, Experiment
from unseen.claims.conditions import at_least, better, not_worse
from unseen.claims.ledger import Assertion, effect, paper_scale, promised
from unseen.data.domain import Domain
from unseen.runtime import runtime

LOKI = methods.get("loki")


def claim(value=1.0, *, cases=("y",), ledger=None, name="e", noise=0.0):
    """One experiment with arms a (`value`) and b (.5)."""

    def run(case, seed):
        return {"a": {"accuracy": value + noise}, "b": {"accuracy": 0.5}}

    rows = ledger or (promised(name, at_least("a", "accuracy", 0.5), "it works"), paper_scale("elsewhere", "ImageNet"))
    experiment = Experiment(run=run, development=("x",), confirmation=cases, seeds=(0, 1), fresh_seeds=(100, 101))
    return Claim(slug="loki", experiments={name: experiment}, ledger=rows)


@pytest.fixture
def use(monkeypatch):
    def set_(value):
        monkeypatch.setattr(claims, "get", lambda slug: value)
        return value

    return set_


def states(made, folder):
    return [(one.verdict, one.state) for one in standing.standings(made, evidence.read_records(folder, "loki"))]


# -- confirmed once ----------------------------------------------------------------------------------------


def test_what_is_promised_and_does_not_hold_is_not_good(use, tmp_path):
    use(claim(0.2))
    assert not evidence.reproduce("loki", folder=tmp_path)["good"]
    use(claim(0.2, ledger=(effect("e", at_least("a", "accuracy", 0.5), "it works"),)))
    assert evidence.reproduce("loki", folder=tmp_path)["good"]


def test_development_writes_nothing(use, tmp_path):
    use(claim())
    assert evidence.reproduce("loki", quick=True, folder=tmp_path)["seeds"] == [0]
    assert not list(tmp_path.iterdir())


def on_data(cases, *, development=("x",), **more):
    """A claim whose cases read data of the name that stands before their first blank."""

    def read(case):
        return [Domain(x=np.full((3, 2), float(case.split()[0])))]

    experiment = dataclasses.replace(claim().experiments["e"], development=development, confirmation=cases, data=read)
    return dataclasses.replace(claim(), experiments={"e": dataclasses.replace(experiment, **more)})


def test_an_opened_case_under_another_name_confirms_nothing(use, tmp_path):
    use(on_data(("1 before",), development=("0",)))
    evidence.confirm("loki", folder=tmp_path)
    for cases, development in ((("1 renamed", "2"), ("0",)), (("0 turned",), ("0",))):
        use(on_data(cases, development=development))
        with pytest.raises(ValueError, match=rf"cases {cases[0]} of 'e' read samples of an opened case or of dev"):
            evidence.confirm("loki", folder=tmp_path)
    use(on_data(("1 other half",), development=("0",), halves=True))
    evidence.confirm("loki", folder=tmp_path)
    use(on_data(("0 turned", "2"), development=("0",), reused=("0 turned",)))
    evidence.confirm("loki", folder=tmp_path)
    assert len(evidence.evidence_files(tmp_path, "loki")) == 3


def test_data_that_a_record_opened_stay_opened_when_the_claim_has_other_cases(use, tmp_path):
    for case in ("1 first", "2 instead"):
        use(on_data((case,), development=("0",)))
        evidence.confirm("loki", folder=tmp_path)
    assert json.loads((tmp_path / "loki.json").read_text())["data"].keys() == {"data e: 1 first"}
    use(on_data(("1 by another name",), development=("0",)))
    with pytest.raises(ValueError, match="cases 1 by another name of 'e' read samples of an opened case"):
        evidence.confirm("loki", folder=tmp_path)


def test_what_holds_must_hold_without_cases_whose_samples_were_read_before():
    rows = [
        ("e", case, seed, arm, "accuracy", value)
        for seed in (100, 101)
        for case, gain in (("y", -0.1), ("x", 0.9))
        for arm, value in (("a", 0.5 + gain), ("b", 0.5))
    ]
    table = standing.table_of({"rows": [[*row] for row in rows]})
    made = claim(cases=("y", "x"), ledger=(promised("e", at_least("a", "accuracy", 0.5), "it works"),))
    for reused, held in (((), True), (("x",), False), (("y",), True)):
        experiments = {"e": dataclasses.replace(made.experiments["e"], reused=reused)}
        ((_, verdict),) = dataclasses.replace(made, experiments=experiments).judge(table)
        assert verdict.held == held


def test_cases_that_were_opened_confirm_nothing(use, tmp_path):
    use(claim())
    evidence.confirm("loki", folder=tmp_path)
    with pytest.raises(ValueError, match="have been opened"):
        evidence.confirm("loki", folder=tmp_path)
    assert [file.name for file in evidence.evidence_files(tmp_path, "loki")] == ["loki.json"]


def test_fresh_cases_are_recorded_beside_the_first(use, tmp_path):
    use(claim())
    evidence.confirm("loki", folder=tmp_path)
    first = (tmp_path / "loki.json").read_text()
    old = claim()
    fresh = claim(cases=("z",), name="again").experiments["again"]
    rows = (*old.ledger, effect("again", better("a", "b", "accuracy"), "it wins"))
    made = use(dataclasses.replace(old, experiments={**old.experiments, "again": fresh}, ledger=rows))
    record = evidence.confirm("loki", folder=tmp_path)
    assert record["cases"] == {"again": ["z"]}, "only what nobody had opened is run"
    assert (tmp_path / "loki.json").read_text() == first
    assert states(made, tmp_path) == [("held", "confirmed"), ("not run", "open"), ("held", "confirmed")]


def test_a_case_of_development_confirms_nothing(use, tmp_path):
    use(claim(cases=("x",)))
    with pytest.raises(ValueError, match="have been opened"):
        evidence.confirm("loki", folder=tmp_path)


def test_a_record_has_a_line_for_each_row_and_reads_back(use, tmp_path):
    use(claim())
    evidence.confirm("loki", folder=tmp_path)
    lines = (tmp_path / "loki.json").read_text().splitlines()
    record = json.loads("\n".join(lines))
    assert sum(line.startswith('["e", ') for line in lines) == len(record["rows"]) == 4
    assert record["split"] == "confirmation"
    assert record["cases"] == {"e": ["y"]}


# -- confirmed or explored ---------------------------------------------------------------------------------


def test_an_assertion_added_after_its_cases_were_opened_is_explored(use, tmp_path):
    old = use(claim())
    evidence.confirm("loki", folder=tmp_path)
    made = dataclasses.replace(old, ledger=(*old.ledger, effect("e", better("a", "b", "accuracy"), "it wins")))
    assert states(made, tmp_path)[0] == ("held", "confirmed")
    assert states(made, tmp_path)[2] == ("held", "explored")


@pytest.mark.parametrize(
    "row",
    [
        promised("e", at_least("a", "accuracy", 0.5), "it works well"),
        promised("e", at_least("a", "accuracy", 0.4), "it works"),
        promised("e", at_least("b", "accuracy", 0.5), "it works"),
    ],
    ids=["other words", "another threshold", "another arm"],
)
def test_an_assertion_that_was_changed_after_its_cases_were_opened_is_explored(use, tmp_path, row):
    old = use(claim())
    evidence.confirm("loki", folder=tmp_path)
    assert states(dataclasses.replace(old, ledger=(row,)), tmp_path) == [("held", "explored")]


def test_an_assertion_that_no_record_has_is_since_it_was_written_down(use, tmp_path):
    use(claim())
    evidence.confirm("loki", folder=tmp_path)
    made = use(claim(ledger=(effect("e", at_least("a", "accuracy", 0.5), "in other words"), *claim().ledger[1:])))
    assert [one["text"] for one in evidence.undated("loki", folder=tmp_path)] == ["in other words"]
    assert evidence.accept("loki", "worded anew", folder=tmp_path) == []
    log = evidence.read_log(tmp_path, "loki")
    found = standing.standings(made, evidence.read_records(tmp_path, "loki"), log=log)
    assert [(one.state, one.since) for one in found] == [("explored", log[0]["date"]), ("open", log[0]["date"])]
    assert not evidence.undated("loki", folder=tmp_path)
    evidence.accept("loki", "nothing is new", folder=tmp_path)
    assert len(evidence.read_log(tmp_path, "loki")) == 1


def test_every_assertion_here_is_since_a_day():
    """Of one that is worded anew `unseen reproduce SLUG --accept WHY` writes the day down."""
    assert {slug: found for slug in claims.slugs() if (found := evidence.undated(slug))} == {}


def test_later_figures_on_opened_cases_stand_beside_the_confirmed_ones_and_replace_nothing(use, tmp_path):
    use(claim(0.2))
    evidence.confirm("loki", folder=tmp_path)
    later = json.loads((tmp_path / "loki.json").read_text())
    later["rows"] = [[*row[:5], 0.9] for row in later["rows"]]
    (tmp_path / "loki.2.json").write_text(evidence.to_text(later))
    found = standing.standings(claim(), evidence.read_records(tmp_path, "loki"))[0]
    assert (found.state, found.verdict, found.later.verdict) == ("confirmed", "not held", "held")
    assert "0.2" in found.told
    assert "0.9" in found.later.told
    assert found.first is None


def test_the_first_blind_verdict_stands_beside_that_on_fresh_cases(use, tmp_path):
    made = use(claim(0.2))
    evidence.confirm("loki", folder=tmp_path)
    fresh = dataclasses.replace(claim(0.9).experiments["e"], confirmation=("fresh",))
    use(dataclasses.replace(made, experiments={"e": fresh}))
    evidence.confirm("loki", folder=tmp_path)
    found = standing.standings(claims.get("loki"), evidence.read_records(tmp_path, "loki"))[0]
    assert (found.state, found.verdict, found.first.verdict, found.later) == ("confirmed", "held", "not held", None)
    assert "0.2" in found.first.told


def test_an_assertion_in_other_words_stands_beside_the_first_of_its_own_experiment(use, tmp_path):
    old = claim(0.2)
    row = old.ledger[0]
    both = {"e": old.experiments["e"], "f": dataclasses.replace(claim(0.9).experiments["e"], confirmation=("g",))}
    use(dataclasses.replace(old, experiments=both, ledger=(row, dataclasses.replace(row, experiment="f"))))
    evidence.confirm("loki", folder=tmp_path)
    words = dataclasses.replace(row, experiment="f", text="in other words")
    [found] = standing.standings(
        dataclasses.replace(old, experiments=both, ledger=(words,)), evidence.read_records(tmp_path, "loki")
    )
    assert (found.state, found.first.verdict, found.first.text) == ("explored", "held", row.text)


def test_assertions_that_say_the_same_keep_their_own_verdicts(use, tmp_path):
    made = use(claim(ledger=tuple(effect("e", at_least(arm, "accuracy", 0.8), "the same") for arm in ("b", "a"))))
    evidence.confirm("loki", folder=tmp_path)
    assert states(made, tmp_path) == [("not held", "confirmed"), ("held", "confirmed")]


def test_figures_that_a_record_lacks_are_no_evidence(use, tmp_path):
    old = use(claim())
    evidence.confirm("loki", folder=tmp_path)
    row = effect("e", better("a", "an arm that came later", "accuracy"), "new")
    assert states(dataclasses.replace(old, ledger=(row,)), tmp_path) == [("no evidence", "open")]


def test_records_here_say_what_every_assertion_asked():
    for slug in claims.CLAIMS:
        for record in evidence.read_records(evidence.FOLDER, slug):
            assert all(line["asked"] for line in record["ledger"] if line["numbers"]), slug


# -- stale -------------------------------------------------------------------------------------------------


def test_check_compares_verdicts_with_those_that_stand(use, tmp_path):
    use(claim())
    with pytest.raises(ValueError, match="no evidence for loki"):
        evidence.reproduce("loki", check=True, folder=tmp_path)
    evidence.confirm("loki", folder=tmp_path)
    (tmp_path / "loki.stamp.json").unlink()
    assert evidence.reproduce("loki", check=True, folder=tmp_path)["good"]
    assert evidence.freshness("loki", folder=tmp_path).word == "fresh"
    use(claim(0.2))
    changed = evidence.reproduce("loki", check=True, folder=tmp_path)
    assert changed["changed"] == ["it works"]
    assert not changed["good"]
    assert evidence.freshness("loki", folder=tmp_path).word == "stale"


def test_a_promise_that_failed_before_fails_a_check_too(use, tmp_path):
    use(claim(0.2))
    evidence.confirm("loki", folder=tmp_path)
    record = evidence.reproduce("loki", check=True, folder=tmp_path)
    assert record["changed"] == []
    assert not record["good"]


def test_a_promise_without_the_figures_that_it_asks_for_is_not_good(use, tmp_path):
    use(claim())
    evidence.confirm("loki", folder=tmp_path)
    use(claim(ledger=(promised("e", at_least("no such arm", "accuracy", 0.5), "it works"),)))
    assert not evidence.reproduce("loki", check=True, folder=tmp_path)["good"]
    use(claim(ledger=(effect("e", at_least("no such arm", "accuracy", 0.5), "it works"),)))
    assert evidence.reproduce("loki", check=True, folder=tmp_path)["good"]


def test_a_replay_tells_the_largest_difference_and_stamps(use, tmp_path):
    use(claim())
    evidence.confirm("loki", folder=tmp_path)
    (tmp_path / "loki.stamp.json").unlink()
    assert evidence.freshness("loki", folder=tmp_path).word == "unstamped"
    use(claim(noise=0.01))
    line = evidence.replay("loki", folder=tmp_path)
    assert line["difference"] == pytest.approx(0.01)
    assert line["where"] == "accuracy of a, e: y, seed 100"
    assert line["flipped"] == []
    assert evidence.freshness("loki", folder=tmp_path).word == "fresh"
    assert [look["look"] for look in evidence.read_log(tmp_path, "loki")] == ["replay"]


def test_a_replay_that_flips_a_verdict_makes_evidence_stale(use, tmp_path):
    use(claim(0.51))
    evidence.confirm("loki", folder=tmp_path)
    use(claim(0.3))
    assert evidence.replay("loki", folder=tmp_path)["flipped"] == ["it works"]
    found = evidence.freshness("loki", folder=tmp_path)
    assert (found.word, found.parts) == ("stale", ("it works",))


def test_a_confirmation_on_other_cases_ends_a_flip(use, tmp_path):
    use(claim(0.51))
    evidence.confirm("loki", folder=tmp_path)
    made = use(claim(0.3))
    evidence.replay("loki", folder=tmp_path)
    fresh = dataclasses.replace(made.experiments["e"], confirmation=("fresh",))
    use(dataclasses.replace(made, experiments={"e": fresh}))
    evidence.confirm("loki", folder=tmp_path)
    assert evidence.freshness("loki", folder=tmp_path).word == "fresh"
    told = standing.standings(claims.get("loki"), evidence.read_records(tmp_path, "loki"))
    assert [one.verdict for one in told if one.numbers] == ["not held"]


def test_figures_on_other_data_flip_nothing(use, tmp_path):
    def reading(value, at):
        made = claim(at)
        domain = Domain(x=np.full((3, 2), value, dtype=np.float32), name="index")
        data = dataclasses.replace(made.experiments["e"], data=lambda case: [domain], halves=True)
        return use(dataclasses.replace(made, experiments={"e": data}))

    reading(1.0, 0.51)
    evidence.confirm("loki", folder=tmp_path)
    reading(2.0, 0.3)
    line = evidence.replay("loki", folder=tmp_path)
    assert (line["flipped"], line["other data"]) == ([], ["e"])
    assert evidence.freshness("loki", folder=tmp_path, stamp=stamps.stamp_of("loki")).parts == ("data e: y",)
    reading(1.0, 0.3)
    line = evidence.replay("loki", folder=tmp_path)
    assert line["flipped"] == ["it works"]
    assert "other data" not in line


@pytest.mark.parametrize(
    ("gain", "word", "flipped", "edge"), [(3e-17, "fresh", [], ["it gains"]), (-0.05, "stale", ["it gains"], [])]
)
def test_a_verdict_that_rounding_decided_is_no_flip(use, tmp_path, gain, word, flipped, edge):
    row = effect("e", better("a", "b", "accuracy"), "it gains")
    use(claim(0.5 + gain, ledger=(row,)))
    evidence.confirm("loki", folder=tmp_path)
    use(claim(0.6, ledger=(row,)))
    line = evidence.replay("loki", folder=tmp_path)
    assert (line["flipped"], line["edge"]) == (flipped, edge)
    assert evidence.freshness("loki", folder=tmp_path).word == word


def test_clocks_are_no_difference(use, tmp_path):
    made = claim()
    evidence_ = {"e": dataclasses.replace(made.experiments["e"], clocks=("accuracy",))}
    use(made)
    evidence.confirm("loki", folder=tmp_path)
    use(dataclasses.replace(claim(noise=3.0), experiments={"e": dataclasses.replace(
        claim(noise=3.0).experiments["e"], clocks=evidence_["e"].clocks)}))  # fmt: skip
    assert evidence.replay("loki", folder=tmp_path)["difference"] == 0


def test_a_condition_that_judges_recorded_figures_otherwise_is_stale_until_accepted(use, tmp_path):
    row = effect("e", not_worse("a", "b", "accuracy", within=0.0), "no loss")
    made = use(claim(ledger=(row,)))
    evidence.confirm("loki", folder=tmp_path)
    stricter = dataclasses.replace(row.holds, rule=lambda table: dataclasses.replace(row.holds.rule(table), held=False))
    use(dataclasses.replace(made, ledger=(dataclasses.replace(row, holds=stricter),)))
    assert evidence.freshness("loki", folder=tmp_path).word == "stale"
    assert [flip["now"] for flip in evidence.accept("loki", "asks its interval", folder=tmp_path)] == ["not held"]
    assert evidence.freshness("loki", folder=tmp_path).word == "fresh"
    assert evidence.flips("loki", folder=tmp_path) == []


def test_only_what_a_stamp_can_tell_of_is_stamped(use, tmp_path, monkeypatch):
    use(claim())
    evidence.confirm("loki", folder=tmp_path)
    stamped = []
    monkeypatch.setattr(evidence, "stamp_of", lambda slug: stamped.append(slug) or {"settings": "other"})
    assert [found.word for found in evidence.summary(["loki", "udim"], folder=tmp_path)] == ["moved", "none"]
    (tmp_path / "loki.stamp.json").unlink()
    assert [found.word for found in evidence.summary(["loki"], folder=tmp_path)] == ["unstamped"]
    assert stamped == ["loki"]


@pytest.mark.parametrize(("given", "word"), [("the same", "fresh"), ("another", "unstamped")])
def test_an_equal_stamp_of_another_type_of_processor_is_as_good(use, tmp_path, monkeypatch, given, word):
    use(claim())
    monkeypatch.setattr(evidence, "stamp_of", lambda slug: {"settings": "the same", "data e: y": "far"})
    evidence.confirm("loki", folder=tmp_path)
    file = tmp_path / "loki.stamp.json"
    file.write_text(file.read_text().replace(stamps.processor(), "another type"))
    monkeypatch.setattr(evidence, "stamp_of", lambda slug: {"settings": given})
    assert [found.word for found in evidence.summary(["loki"], folder=tmp_path)] == [word]
    assert evidence.freshness("loki", folder=tmp_path).word == "unstamped"  # nothing was looked at


@pytest.mark.parametrize("row", [effect, promised])
@pytest.mark.parametrize("machine", ["another processor", stamps.processor()])
def test_a_verdict_that_falls_otherwise_on_another_type_of_processor_is_told_beside_the_row_once_accepted(
    row, machine, use, tmp_path
):
    rows = (row("e", at_least("a", "accuracy", 0.5), "it works"), paper_scale("elsewhere", "ImageNet"))
    use(claim(0.51, ledger=rows))
    evidence.confirm("loki", folder=tmp_path)
    file = tmp_path / "loki.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"machine": machine}))
    made = use(claim(0.3, ledger=rows))
    assert evidence.reproduce("loki", check=True, folder=tmp_path)["changed"] == ["it works"]
    assert evidence.freshness("loki", folder=tmp_path).word == "stale"
    told = evidence.accept("loki", "another network", folder=tmp_path)
    log = evidence.read_log(tmp_path, "loki")
    [stands, _] = standing.standings(made, evidence.read_records(tmp_path, "loki"), log=log)
    if row is promised or machine == stamps.processor():  # what must hold, and what the code changed
        assert (told, stands.elsewhere) == ([], ())
        assert evidence.freshness("loki", folder=tmp_path).word == "stale"
        return
    assert [(flip["was"], flip["now"]) for flip in told] == [("held", "not held")]
    assert (stands.verdict, stands.elsewhere) == ("held", (stamps.processor(),))
    assert evidence.freshness("loki", folder=tmp_path, stamp=stamps.stamp_of("loki")).word == "fresh"
    again = evidence.replay("loki", folder=tmp_path)
    assert (again["flipped"], again["otherwise"]) == ([], ["it works"])
    assert evidence.reproduce("loki", check=True, folder=tmp_path)["changed"] == []


@pytest.mark.parametrize(("flipped", "code"), [((), 0), (("it works",), 3)])
def test_the_command_ends_with_3_where_a_verdict_flipped_and_with_0_where_none_did(use, tmp_path, flipped, code):
    use(claim())
    evidence.confirm("loki", folder=tmp_path)
    evidence._append(tmp_path, "loki", {"look": "replay", "records": 1, "flipped": list(flipped)})
    done = CliRunner().invoke(cli.app, ["reproduce", "loki", "--status", "--evidence", str(tmp_path)])
    assert (done.exit_code, "stale" in done.output) == (code, bool(flipped))


@pytest.mark.parametrize("mode", ["--status", "--check", "--replay", "--accept=because"])
def test_systems_and_folders_that_are_not_there_are_refused(tmp_path, mode):
    for arguments, why in (
        (("nope", "--evidence", str(tmp_path)), "no system with a claim is called 'nope'; there are loki, "),
        (("lokki", "--evidence", str(tmp_path)), "no system with a claim is called 'lokki'; did you mean 'loki'?"),
        (("loki", "--evidence", str(tmp_path / "nope")), "records lie in docs/evidence of the repository"),
    ):
        done = CliRunner().invoke(cli.app, ["reproduce", *arguments, mode])
        assert done.exit_code == 1
        assert why in str(done.exception)


def test_no_verdict_of_the_evidence_here_has_flipped():
    assert {slug: found.parts for slug in claims.CLAIMS
            if (found := evidence.freshness(slug, folder=evidence.FOLDER)).word == "stale"} == {}  # fmt: skip


# -- stamps ------------------------------------------------------------------------------------------------


def rewritten(folder, **words):
    """The method in a file of its own, elsewhere, with a comment in front and words changed."""
    source = "# A comment.\n" + Path(inspect.getfile(LOKI)).read_text(encoding="utf-8")
    for word, other in words.items():
        assert len(re.findall(rf"\b{word}\b", source)) > 0
        source = re.sub(rf"\b{word}\b", other, source)
    file = folder / "moved.py"
    file.write_text(source, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("moved", file)
    module = importlib.util.module_from_spec(spec)
    sys.modules["moved"] = module
    spec.loader.exec_module(module)
    return module.Loki


def test_a_renamed_variable_a_moved_file_or_a_comment_moves_no_stamp(monkeypatch, tmp_path):
    before = stamps.stamp_of("loki")
    monkeypatch.setitem(sys.modules, "moved", None)
    moved = rewritten(tmp_path, centred="put_in_the_middle", dense="table")
    monkeypatch.setattr(methods, "get", lambda slug: moved)
    assert stamps.stamp_of("loki") == before
    changed = rewritten(tmp_path, power="temperature")
    monkeypatch.setattr(methods, "get", lambda slug: changed)
    assert stamps.stamp_of("loki") != before


def test_a_changed_rival_moves_the_stamp(monkeypatch):
    assert stamps.rivals("crlnet") == ["linear-probe", "prototypes"]
    monkeypatch.setattr(stamps, "rivals", lambda slug: ["linear-probe"])
    before = stamps.stamp_of("loki")
    get, probe = methods.get, methods.get("linear-probe")
    changed = type("Probe", (probe,), {"__annotations__": {"C": float}, "C": 1e-4})
    monkeypatch.setattr(methods, "get", lambda slug: changed if slug == "linear-probe" else get(slug))
    stamps._given_by.cache_clear()
    try:
        assert stamps.moved_parts(before, stamps.stamp_of("loki")) == ("rival linear-probe",)
    finally:
        stamps._given_by.cache_clear()
    oldest = {what: digest for what, digest in before.items() if not what.startswith("rival ")}
    assert stamps.moved_parts(oldest, before) == ()


@pytest.mark.parametrize("temperature", [1.5, 1.0002])
def test_a_changed_default_moves_the_stamp(monkeypatch, temperature):
    before = stamps.stamp_of("loki")
    changed = type("Loki", (LOKI,), {"__annotations__": {"temperature": float}, "temperature": temperature})
    monkeypatch.setattr(methods, "get", lambda slug: changed)
    assert "settings" in stamps.moved_parts(before, stamps.stamp_of("loki"))


def test_a_changed_rule_moves_the_stamp(monkeypatch):
    before = stamps.stamp_of("loki")
    rule = LOKI.decision_function
    monkeypatch.setattr(LOKI, "decision_function", lambda self, probs: -rule(self, probs))
    assert any(part.startswith("fit loki") for part in stamps.moved_parts(before, stamps.stamp_of("loki")))


def test_other_data_move_the_stamp(use):
    def of(x):
        made = claim()
        data = lambda case: [Domain(x=np.full((3, 2), x))]
        return dataclasses.replace(made, experiments={"e": dataclasses.replace(made.experiments["e"], data=data)})

    use(of(0.0))
    before = stamps.stamp_of("loki")
    use(of(1.0))
    assert stamps.moved_parts(before, stamps.stamp_of("loki")) == ("data e: y",)


def test_parts_that_a_stamp_never_looked_at_are_added_where_nothing_moved(use, tmp_path, monkeypatch):
    use(claim())
    evidence.confirm("loki", folder=tmp_path)
    stamps.write_stamp(tmp_path, "loki", {"settings": "a", "data e: y": "b"})
    today = {"settings": "a", "drawn e: y": "c"}
    monkeypatch.setattr(evidence, "stamp_of", lambda slug: today | {"settings": "moved"})
    assert evidence.accept("loki", "more is looked at", folder=tmp_path) == []
    assert stamps.read_stamp(tmp_path, "loki") == {"settings": "a", "data e: y": "b"}
    assert evidence.read_log(tmp_path, "loki") == []
    monkeypatch.setattr(evidence, "stamp_of", lambda slug: today)
    evidence.accept("loki", "more is looked at", folder=tmp_path)
    assert stamps.read_stamp(tmp_path, "loki") == {"settings": "a", "data e: y": "b", "drawn e: y": "c"}
    assert [(line["why"], line["stamped"]) for line in evidence.read_log(tmp_path, "loki")] == [
        ("more is looked at", ["drawn e: y"])
    ]
    evidence.accept("loki", "nothing is new", folder=tmp_path)
    assert len(evidence.read_log(tmp_path, "loki")) == 1


@pytest.mark.parametrize(("settings", "stamped"), [("a", True), ("b", False)])
def test_a_type_of_processor_without_a_stamp_gets_one_where_it_equals_anothers(
    use, tmp_path, monkeypatch, settings, stamped
):
    use(claim())
    evidence.confirm("loki", folder=tmp_path)
    (tmp_path / "loki.stamp.json").write_text(json.dumps({"another": {"settings": "a"}}))
    today = {"settings": settings, "drawn e: y": "c"}
    monkeypatch.setattr(evidence, "stamp_of", lambda slug: today)
    evidence.accept("loki", "more is looked at", folder=tmp_path)
    assert stamps.read_stamp(tmp_path, "loki") == (today if stamped else None)
    assert stamps.read_stamps(tmp_path, "loki")["another"] == {"settings": "a"}


def test_what_was_never_looked_at_is_no_difference():
    assert stamps.moved_parts({"settings": "a"}, {"settings": "a", "drawn e: y": "b"}) == ()
    assert stamps.moved_parts({"drawn e: y": "a"}, {"drawn e: y": "b"}) == ("drawn e: y",)


def test_data_that_cannot_be_had_here_are_no_difference():
    assert stamps.moved_parts({"settings": "a", "data e: y": "b"}, {"settings": "a"}) == ()
    assert stamps.moved_parts({"settings": "a", "fit x": "b"}, {"settings": "a"}) == ("fit x",)


def test_bits_that_differ_between_builds_move_no_stamp():
    x = np.linspace(-5.0, 5.0, 8)
    assert stamps.digest_of({"p": x}) == stamps.digest_of({"p": x * (1 + 1e-9)})
    assert stamps.digest_of({"p": x}) != stamps.digest_of({"p": x * 1.02})


def test_a_stamp_of_another_processor_stays(tmp_path, monkeypatch):
    stamps.write_stamp(tmp_path, "loki", {"settings": "a"})
    monkeypatch.setattr(stamps, "processor", lambda: "another")
    assert stamps.read_stamp(tmp_path, "loki") is None
    stamps.write_stamp(tmp_path, "loki", {"settings": "b"})
    assert len(json.loads((tmp_path / "loki.stamp.json").read_text())) == 2


def test_an_assertion_of_no_condition_is_no_figure():
    assert Assertion(text="t", level="not testable", reason="background").holds is None


def running(of):
    """A claim whose figures are how many threads torch, and any pool of a linear algebra library, has in a cell."""

    def run(case, seed):
        pools = [pool["num_threads"] for pool in threadpoolctl.threadpool_info()]
        return {"a": {"torch": torch.get_num_threads(), "pools": max(pools)}, "b": {"torch": of, "pools": of}}

    experiment = Experiment(run=run, development=("x",), confirmation=("y",), seeds=(0,), fresh_seeds=(100,))
    row = effect("e", not_worse("a", "b", "torch", within=0.0), "as many threads")
    return Claim(slug="loki", experiments={"e": experiment}, ledger=(row,))


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    with threadpoolctl.threadpool_limits(2):
        yield
    torch.set_num_threads(before)


def figures_of(rows):
    return {(row["arm"], row["metric"]): row["value"] for row in rows}


def test_a_cell_runs_on_one_thread_whatever_its_surroundings_have(two_threads):
    found = figures_of(running(1).cell("e", "x", 0))
    assert found["a", "torch"] == found["a", "pools"] == 1
    assert torch.get_num_threads() == 2


def test_a_replay_takes_as_many_threads_as_its_record(use, tmp_path, two_threads):
    use(running(3))
    with runtime(threads=3):
        evidence.confirm("loki", folder=tmp_path)
    [record] = evidence.read_records(tmp_path, "loki")
    assert record["threads"] == 3
    assert evidence.replay("loki", folder=tmp_path)["difference"] == 0
    del record["threads"]
    (tmp_path / "loki.json").write_text(evidence.to_text(record))
    assert evidence.replay("loki", folder=tmp_path)["difference"] == 2  # the oldest records do not say: one thread
    assert torch.get_num_threads() == 2

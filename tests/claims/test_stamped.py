"""Stamps of the claims here: every experiment says what it reads, clocks are named, two stamps are alike."""

import dataclasses
import json
import re

import numpy as np
import pytest

from unseen import claims
from unseen.claims import cwcl, evidence, loki, sign_mosaics, stamps
from unseen.data.domain import Domain, Lazy

SIMULATED = {
    "loki": ("samples", "locus", "active", "scale"),
    "mte-zsar": ("tasks", "gaussians"),
    "cwcl": ("simulated",),
    "tmv-hlp": ("simulation",),
}
"""Experiments that draw everything from the seed."""
WHOLE = {
    "meta-dmoe": ("emoji",),
    "idm": ("lights", "style"),
    "crosslingual-am": ("tagging", "english"),
}
"""Experiments whose `data` tell all that a cell draws; why stands there."""
CLOCK = re.compile(r"\b(seconds|minutes|time|cost|speed)\b")
COUNTED = {("x-clip", "cost")}
"""Metrics that sound like time and are counted: operations, here."""
NOTHING = ("nothing", "source", "source only", "untouched", "given", "start")
"""Arms that learn nothing, wherever they are."""


@pytest.mark.parametrize("slug", claims.CLAIMS)
def test_every_experiment_says_what_it_reads_or_is_simulated(slug):
    without = [name for name, experiment in claims.get(slug).experiments.items() if experiment.data is None]
    assert tuple(without) == SIMULATED.get(slug, ())


@pytest.mark.parametrize("slug", claims.CLAIMS)
def test_metrics_that_sound_like_time_are_clocks(slug):
    experiments = claims.get(slug).experiments
    for record in evidence.read_records(evidence.FOLDER, slug):
        for name, _, _, _, metric, _ in record["rows"]:
            if name in experiments and CLOCK.search(metric) and (slug, metric) not in COUNTED:
                assert metric in experiments[name].clocks, (name, metric)


@pytest.mark.parametrize("slug", claims.CLAIMS)
def test_an_arm_that_learns_nothing_is_named(slug):
    experiments = claims.get(slug).experiments
    for record in evidence.read_records(evidence.FOLDER, slug):
        for name, _, _, arm, _, _ in record["rows"]:
            if name in experiments and arm in NOTHING:
                assert experiments[name].nothing == arm, name


@pytest.mark.slow
@pytest.mark.parametrize("slug", claims.CLAIMS)
def test_two_stamps_are_alike(slug):
    assert stamps.stamp_of(slug) == stamps.stamp_of(slug)


def test_a_system_that_fits_nothing_has_a_behaviour():
    assert all(claims.get(slug).behaviour is not None for slug in ("laion", "concept-frequency"))


def test_stamps_here_name_no_data_that_a_claim_has_not():
    for file in evidence.FOLDER.glob("*.stamp.json"):
        slug = file.name.removesuffix(".stamp.json")
        cases = {
            f"{part} {name}: {case}"
            for name, experiment in claims.get(slug).experiments.items()
            for case in experiment.confirmation
            for part in ("data", "drawn")
        }
        for stamp in json.loads(file.read_text()).values():
            assert {what for what in stamp if what.startswith(("data ", "drawn "))} <= cases, slug


@pytest.mark.parametrize("slug", claims.CLAIMS)
def test_every_experiment_says_what_a_cell_draws_or_why_nothing_is(slug):
    experiments = claims.get(slug).experiments
    without = {name: experiment.drawn for name, experiment in experiments.items() if not callable(experiment.drawn)}
    assert tuple(without) == WHOLE.get(slug, ())
    assert all(len(why) > 20 and experiments[name].data is not None for name, why in without.items())


@pytest.mark.parametrize("slug", claims.CLAIMS)
def test_stamps_here_have_what_cells_draw(slug):
    """Of one type of processor at least: `unseen reproduce SLUG --accept WHY` adds what was never looked at."""
    drawn = [name for name, experiment in claims.get(slug).experiments.items() if callable(experiment.drawn)]
    named = {f"drawn {name}: {claims.get(slug).experiments[name].confirmation[0]}" for name in drawn}
    assert any(named <= stamp.keys() for stamp in stamps.read_stamps(evidence.FOLDER, slug).values())


def drawn_by(slug, name):
    """What a stamp says of what the first cell of an experiment draws."""
    experiment = claims.get(slug).experiments[name]
    drawn = experiment.drawn(experiment.confirmation[0], experiment.fresh_seeds[0])
    return stamps.digest_of(stamps.handful(drawn))


def only(monkeypatch, slug, name):
    """A claim with one of its experiments, which reads nothing."""
    claim = claims.get(slug)
    experiment = dataclasses.replace(claim.experiments[name], data=None)
    assertions = tuple(one for one in claim.ledger if one.experiment in ("", name))
    one = dataclasses.replace(claim, experiments={name: experiment}, ledger=assertions)
    monkeypatch.setattr(claims, "get", lambda slug: one)
    monkeypatch.setattr(stamps, "rivals", lambda slug: [])
    monkeypatch.setattr(stamps, "cases", lambda method: ())


def test_a_changed_layout_of_mosaics_moves_crests_stamp(monkeypatch):
    only(monkeypatch, "crest", "mosaics")
    before = stamps.stamp_of("crest")
    monkeypatch.setattr(sign_mosaics, "CELLS", 8)
    assert stamps.moved_parts(before, stamps.stamp_of("crest")) == ("drawn mosaics: printed 100",)


def test_a_changed_simulation_moves_the_stamp_of_an_experiment_without_data(monkeypatch):
    only(monkeypatch, "cwcl", "simulated")
    before = stamps.stamp_of("cwcl")
    monkeypatch.setattr(cwcl, "PAIRS", 301)
    assert stamps.moved_parts(before, stamps.stamp_of("cwcl")) == ("drawn simulated: world 11",)


def test_a_split_of_other_classes_moves_what_is_drawn(monkeypatch):
    before = drawn_by("loki", "active")
    monkeypatch.setattr(loki, "uniform_classes", lambda metric, k, rng: rng.permutation(len(metric))[:k])
    assert drawn_by("loki", "active") != before


def test_what_is_drawn_is_told_by_numbers_labels_and_few_pictures():
    pictures = Lazy(range(50), lambda i: np.full((2, 2), read.append(i) or i, dtype=np.uint8))
    read: list[int] = []
    given = Domain(x=pictures, y=np.arange(50) % 3, kind="image")
    first = stamps.digest_of(stamps.handful(given))
    assert len(read) == stamps.FEW
    assert stamps.digest_of(stamps.handful(given.replace(y=(np.arange(50) + 1) % 3))) != first
    with pytest.raises(TypeError, match="must be domains, arrays, texts or numbers; got object"):
        stamps.handful([object()])


@pytest.mark.parametrize("n", [10, stamps.LONG + 1])
def test_bits_of_what_is_drawn_that_differ_between_builds_move_nothing(n):
    x = np.r_[np.linspace(-5.0, 5.0, n), np.nan]
    assert stamps.digest_of(stamps.handful(x)) == stamps.digest_of(stamps.handful(x * (1 + 1e-9)))
    assert stamps.digest_of(stamps.handful(x)) != stamps.digest_of(stamps.handful(np.r_[x[1:], 0.0]))

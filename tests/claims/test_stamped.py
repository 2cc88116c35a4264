"""Stamps of the claims here: every experiment says what it reads, clocks are named, two stamps are alike."""

import json
import re

import pytest

from unseen import claims
from unseen.claims import evidence, stamps

SIMULATED = {
    "loki": ("samples", "locus", "active", "scale"),
    "mte-zsar": ("tasks", "gaussians"),
    "cwcl": ("simulated",),
    "tmv-hlp": ("simulation",),
}
"""Experiments that draw everything from the seed."""
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
            f"data {name}: {case}"
            for name, experiment in claims.get(slug).experiments.items()
            for case in experiment.confirmation
        }
        for stamp in json.loads(file.read_text()).values():
            assert {what for what in stamp if what.startswith("data ")} <= cases, slug

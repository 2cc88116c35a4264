"""What the claim of CREST compares with: scorers of single cells, and signs that were not shown before."""

from typing import Literal

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from unseen.claims import crest, sign_mosaics
from unseen.claims.pooled_scorers import PooledScorers, Scorers
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain


def of_cells(n: int = 120) -> tuple[Domain, ClassSpace]:
    """Three attributes, of which a sample shows those of its class in one of four cells each; the rest is noise."""
    rng = np.random.default_rng(0)
    has = np.array([[1, 1, 0], [1, 0, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 1, 1]])
    classes = ClassSpace(names=tuple("abcdef"), attributes=has.astype(np.float32), seen=np.arange(4))
    y = np.arange(n) % 6
    cells, place = 0.1 * rng.normal(size=(n, 4, 3)).astype(np.float32), np.full((n, 3), -1)
    for i, label in enumerate(y):
        for cell, attribute in zip(rng.permutation(4), np.flatnonzero(has[label])):
            cells[i, cell, attribute] += 1
            place[i, attribute] = cell
    return Domain(x=cells.mean(axis=1), y=y, classes=classes, columns={"regions": cells, "place": place}), classes


def test_a_pooled_score_is_that_of_one_region_near_the_largest_of_many_and_blind_to_their_order() -> None:
    network = Scorers(3, 2, 0, 0.0, 50.0).eval()
    x = torch.randn(5, 4, 3)
    each = network.of_regions(x) / 50
    torch.testing.assert_close(network(x[:, :1]), each[:, 0])
    assert (network(x) - each.amax(dim=1)).abs().max() < np.log(4) / 50 + 1e-6
    torch.testing.assert_close(network(x), network(x[:, [2, 0, 3, 1]]))


@pytest.mark.parametrize("width", [0, 8])
@pytest.mark.parametrize("objective", ["attributes", "classes"])
def test_pooled_scorers_find_unseen_sets_of_attributes_and_where_each_is(
    width: int, objective: Literal["attributes", "classes"]
) -> None:
    whole, classes = of_cells()
    new = whole.take(whole.labels >= 4)
    method = PooledScorers(width=width, objective=objective, dropout=0.0, epochs=60, temperature=3.0)
    method.fit(source=whole.take(whole.labels < 4), classes=classes)
    assert (method.predict(new) == new.labels).mean() > 0.9
    i, attribute = np.nonzero(new.columns["place"] >= 0)
    maps = method.attention_maps(torch.as_tensor(new.columns["regions"]))
    np.testing.assert_allclose(maps.sum(axis=2), 1, rtol=1e-5)
    assert (maps[i, attribute].argmax(axis=1) == new.columns["place"][i, attribute]).mean() > 0.9


def test_doubt_is_minus_the_log_likelihood_of_the_likeliest_unseen_class() -> None:
    whole, classes = of_cells()
    method = PooledScorers(epochs=2).fit(source=whole.take(whole.labels < 4), classes=classes)
    x = torch.as_tensor(whole.columns["regions"][:4])
    s = method.network(x).detach()
    shared = F.logsigmoid(-s[:, 0]) + F.logsigmoid(s[:, 2])
    by_hand = -(shared + torch.maximum(F.logsigmoid(s[:, 1]), F.logsigmoid(-s[:, 1])))
    np.testing.assert_allclose(method.doubt(x), by_hand.numpy(), rtol=1e-5)


def test_the_rivals_have_the_budget_of_crest_and_the_same_seed_gives_the_same() -> None:
    given = sign_mosaics.mosaics("printed 0", "alike", 1)
    one, other = crest.rivals(given, 3), crest.rivals(given, 3)
    for arm, rival in one.items():
        assert (rival.epochs, rival.dropout) == (crest.SETTINGS["epochs"], crest.SETTINGS["dropout"])
        assert rival.width in (0, crest.SETTINGS["width"])
        np.testing.assert_array_equal(rival.predict(given.unseen), other[arm].predict(given.unseen))


def test_mosaics_of_letters_show_their_signs_where_they_say() -> None:
    given = sign_mosaics.mosaics("capitals 7", "plain", 1)
    assert given.classes.attribute_names == tuple("ABCDEFGHJK")
    shown = sign_mosaics.signs("capitals")
    pixels, labels = shown.x, shown.labels
    cells, place = given.unseen.columns["regions"], given.unseen.columns["place"]
    assert given.classes.attributes is not None
    assert ((place[0] >= 0) == given.classes.attributes[given.unseen.labels[0]]).all()
    for sign in np.flatnonzero(place[0] >= 0):
        assert (pixels[labels == sign] == cells[0, place[0, sign]]).all(axis=1).any()


def test_the_fair_arms_are_confirmed_on_signs_that_no_other_experiment_shows() -> None:
    experiments = crest.claim.experiments
    opened = {case.split()[0] for name, e in experiments.items() for case in (*e.development, *e.confirmation)
              if "fair" not in name}  # fmt: skip
    for name in ("mosaics, fair arms", "worlds, fair arms"):
        styles = {case.split()[0] for case in experiments[name].confirmation}
        assert not styles & (opened | {case.split()[0] for case in experiments[name].development})

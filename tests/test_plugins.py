"""Entry points of other packages: good ones are used, broken ones are told and take nothing else down."""

import sys

import numpy as np
import pytest

from unseen import catalogue, claims, encoders, methods
from unseen.data.domain import Domain
from unseen.data.loaders import load
from unseen.encoders.registry import Scheme
from unseen.methods import CORAL


def own(slug):
    class Own(CORAL):
        """As CORAL."""

        card = type(CORAL.card)(slug=slug, title="Own", venue="", summary="As CORAL.", unseen={"domains"})

    return Own


def test_a_method_of_another_package_is_listed_and_made(install):
    install("methods", mine=own("mine"))
    assert "mine" in methods.slugs()
    assert "mine" in [entry.slug for entry in catalogue.entries(planned=False)]
    assert catalogue.make("mine").card.slug == "mine"


def test_what_is_no_method_is_told_and_left_out(install, caplog):
    install("methods", odd=dict, wrong=own("other"))
    assert not {"odd", "wrong"} & set(methods.slugs())
    assert "must name a subclass of Method" in caplog.text
    assert "whose card says 'other'" in caplog.text
    with pytest.raises(TypeError, match="subclass of Method"):
        methods.get("odd")


def test_a_package_that_does_not_import_takes_nothing_down(install, monkeypatch, caplog):
    install("methods", gone=None)
    monkeypatch.delitem(sys.modules, "other_package")
    assert "coral" in methods.slugs()
    assert "does not load" in caplog.text
    with pytest.raises(ImportError, match="does not load"):
        methods.get("gone")


def test_own_methods_cannot_be_replaced(install):
    install("methods", coral=own("coral"))
    assert methods.get("coral") is CORAL


def test_a_claim_must_be_a_claim(install):
    install("claims", mine=3)
    assert "mine" in claims.slugs()
    with pytest.raises(TypeError, match="must name a Claim"):
        claims.get("mine")


def test_an_encoder_of_another_package_is_found_by_name(install):
    install("encoders", mine=Scheme("mine", ("image",), "mine", "other_package.made:build"))
    assert "mine" in encoders.names()
    assert encoders.describe("mine")["what"] == "mine"


def test_a_loader_is_found_by_suffix(install, tmp_path):
    def read(fs, path, *, classes, name):
        return Domain(x=np.frombuffer(fs.cat_file(path), dtype=np.uint8).reshape(-1, 2).astype("float32"), name=name)

    install("loaders", pairs=read)
    (tmp_path / "x.pairs").write_bytes(bytes(range(6)))
    assert load(tmp_path / "x.pairs").x.tolist() == [[0, 1], [2, 3], [4, 5]]
    with pytest.raises(ValueError, match=r"\.pairs"):
        load(__file__)


def test_a_validator_is_shown_and_does_not_vote(install, tmp_path, monkeypatch):
    import unseen

    monkeypatch.setenv("UNSEEN_DATA", str(tmp_path))
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    x = (np.eye(4)[y] * 4 + rng.normal(size=(60, 4))).astype("float32")
    inputs = dict(source=Domain(x=x, y=y), target=Domain(x=x + 1), methods="source-only,coral", seeds=1)
    before = unseen.compare(**inputs)
    install("validators", mine=lambda p: -p.max())
    after = unseen.compare(**inputs)
    assert after.chosen == before.chosen
    assert all("mine" in row["validators"] for row in after.results["candidates"])
    assert [row["vote"] for row in after.results["candidates"]] == [row["vote"] for row in before.results["candidates"]]

"""Features that are written are read again, under their names."""

import numpy as np
import pytest

from unseen.data.domain import Domain
from unseen.data.loaders import load
from unseen.data.loaders.save import save_features


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_features_keep_their_names(tmp_path, suffix):
    named = Domain(x=np.eye(2, dtype=np.float32), feature_names=("Länge", "b"))
    save_features(named, tmp_path / f"t{suffix}")
    assert load(tmp_path / f"t{suffix}").feature_names == ("Länge", "b")
    save_features(named.replace(feature_names=()), tmp_path / f"u{suffix}")
    assert load(tmp_path / f"u{suffix}").feature_names == ("f0", "f1")

"""What every encoder promises."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from unseen.data.decoded import forget, keeping
from unseen.data.domain import Domain, Lazy
from unseen.data.duplicates import perceptual
from unseen.encoders.base import Encoder
from unseen.encoders.states import digest_state, load_state, save_state

from .conftest import TINY, pictures, tiny, tiny_network


def test_everything_but_the_samples_stays(own_cache):
    domain = pictures()
    features = tiny().encode(domain)
    assert features.kind == "features"
    assert features.x.shape == (10, 6)
    assert features.x.dtype == np.float32
    assert features.ids.tolist() == domain.ids.tolist()
    assert features.y.tolist() == domain.y.tolist()
    assert features.columns["domain"].tolist() == domain.columns["domain"].tolist()
    assert (features.classes, features.credits, features.name) == (domain.classes, domain.credits, domain.name)


def test_features_are_those_of_the_module_on_the_preprocessed_batch(own_cache):
    encoder, domain = tiny(), pictures(4)
    with torch.inference_mode():
        expected = encoder.module(encoder.preprocess(list(domain.x)))
    np.testing.assert_allclose(encoder.encode(domain).x, expected, atol=1e-6)  # float32, other memory format


@settings(max_examples=15, deadline=None)
@given(st.permutations(range(10)), st.integers(1, 10))
def test_a_feature_depends_neither_on_order_nor_on_shard(order, size):
    encoder, domain = tiny(), pictures()
    whole = encoder.encode(domain, cache=False).x
    part = np.array(order[:size])
    assert np.array_equal(encoder.encode(domain.take(part), cache=False).x, whole[part])


def test_a_wrong_kind_names_the_encoders_that_fit():
    texts = Domain(x=["one", "two"], kind="text", name="titles")
    with pytest.raises(ValueError, match=r"'titles' holds text.*takes image.*minilm"):
        tiny().encode(texts)
    with pytest.raises(ValueError, match="No encoder takes node"):
        tiny().encode(Domain(x=np.zeros((2, 1)), kind="node"))


def test_nothing_to_encode_gives_a_table_without_rows(own_cache):
    assert tiny().encode(pictures().take(slice(0, 0))).x.shape == (0, 6)
    assert tiny().encode(pictures().take(slice(0, 0)), cache=False).x.shape == (0, 6)


def test_a_feature_that_is_not_finite_names_its_sample():
    encoder = tiny()
    encoder.module[0].bias.data[0] = float("inf")
    with pytest.raises(ValueError, match="sample 'p0' that is not finite"):
        encoder.encode(pictures(), cache=False)


def test_a_sample_that_cannot_be_read_is_named():
    def read(item: int) -> np.ndarray:
        raise OSError("broken")

    domain = Domain(x=Lazy(range(2), read), kind="image", ids=np.array(["a.jpg", "b.jpg"]))
    with pytest.raises(OSError, match="broken") as caught:
        tiny().encode(domain, cache=False)
    assert any("a.jpg" in note for note in caught.value.__notes__)


def test_precision_must_exist():
    with pytest.raises(ValueError, match="precision must be one of auto, fp32, bf16; got 'fp8'"):
        tiny().encode(pictures(), precision="fp8")
    with pytest.raises(ValueError, match="precision"):
        tiny(precision="half")


def test_the_fingerprint_covers_name_weights_and_preprocessing():
    prints = {
        tiny().fingerprint,
        tiny(seed=1).fingerprint,
        tiny(name="other").fingerprint,
        tiny(preprocess=dataclasses.replace(TINY, crop=0.9)).fingerprint,
    }
    assert len(prints) == 4
    assert tiny().fingerprint == tiny(batch_size=8, precision="auto").fingerprint


def test_another_encoder_than_the_recorded_one_is_refused():
    record = tiny().to_json()
    tiny().check(record)
    with pytest.raises(ValueError, match="weights differ"):
        tiny(seed=1).check(record)
    with pytest.raises(ValueError, match="preprocess differ"):
        tiny(preprocess=dataclasses.replace(TINY, crop=0.9)).check(record)


def test_encoding_leaves_the_module_as_it_was():
    encoder = tiny()
    before = copy.deepcopy(encoder.module.state_dict())
    for precision in ("fp32", "bf16"):
        encoder.encode(pictures(), precision=precision, cache=False)
    for name, tensor in encoder.module.state_dict().items():
        assert torch.equal(tensor, before[name])
        assert tensor.stride() == before[name].stride()


def test_the_module_is_frozen():
    module = tiny().module
    assert not module.training
    assert not any(parameter.requires_grad for parameter in module.parameters())


def test_fidelity_of_the_reference_is_one_and_of_bfloat16_nearly():
    mean, least = tiny().fidelity(pictures(), "fp32")
    assert mean == pytest.approx(1, abs=1e-6)
    mean, least = tiny().fidelity(pictures(), "bf16")
    assert 0.99 < least <= mean < 1.0001  # eight bits of mantissa


def test_weights_come_back_from_disk_and_others_are_refused(tmp_path):
    save_state(tiny_network(), tmp_path)
    other = tiny_network(seed=1)
    load_state(other, tmp_path)
    assert digest_state(other) == digest_state(tiny_network())
    with pytest.raises(ValueError, match="does not fit"):
        load_state(nn.Linear(2, 2), tmp_path)
    with pytest.raises(FileNotFoundError, match=r"weights\.safetensors"):
        load_state(other, tmp_path / "nowhere")


def test_a_batch_is_padded_with_copies_of_its_first_sample():
    encoder = tiny()
    batch = encoder.batch(list(pictures(3).x))
    assert len(batch) == 4
    assert torch.equal(batch[3], batch[0])


@pytest.mark.parametrize(("alike", "rows"), [(True, {1: 1, 3: 8, 8: 8, 9: 16}), (False, dict.fromkeys((1, 3, 9), 16))])
def test_few_pictures_run_in_a_small_batch_only_where_it_gives_the_bits_of_a_full_one(
    own_cache, monkeypatch, alike, rows
):
    encoder, seen = counting(monkeypatch, alike)
    encoder.encode(pictures(1), cache=False)
    assert seen == [16]  # nobody knows yet, and to find out takes a full batch, too
    for n, expected in rows.items():
        encoder.encode(pictures(n), cache=False)
        assert seen[-1] == expected
    assert not own_cache.exists()


@pytest.mark.parametrize("alike", [True, False])
def test_where_full_batches_run_anyway_it_is_seen_whether_small_ones_are_alike(own_cache, monkeypatch, alike):
    encoder, seen = counting(monkeypatch, alike)
    encoder.encode(pictures(40))
    assert seen == [16, 16, 16, 1, 8]
    encoder.encode(pictures(40, seed=1))
    assert seen[5:] == [16, 16, 16]
    other, seen = counting(monkeypatch, alike)
    other.encode(pictures(2), cache=False)
    assert seen == [8 if alike else 16]


def counting(monkeypatch, alike):
    """An encoder whose small batches are like full ones or not, and the sizes of what it runs."""
    encoder, seen = tiny(batch_size=16), []

    def run(batch):
        seen.append(len(batch))
        return batch.flatten(1)[:, :6] + (0 if alike else len(batch))

    monkeypatch.setattr(encoder, "_prepare", lambda backend, batch: run)
    return encoder, seen


def test_pictures_that_are_kept_are_decoded_once_and_give_the_same_features(own_cache):
    domain, read = pictures(12), []
    lazy = Lazy(range(12), lambda i: read.append(i) or domain.x[i], lambda i: f"{i:064x}")
    encoder, seen = tiny(), domain.replace(x=lazy)
    plain = encoder.encode(domain, cache=False).x
    with keeping():
        kept = [encoder.encode(seen, cache=False).x for _ in range(2)]
        perceptual(seen, seen)
        assert len(read) == 12
        forget()
        encoder.encode(seen, cache=False)
        assert len(read) == 24
    assert all(np.array_equal(x, plain) for x in kept)


def test_a_network_is_built_when_somebody_wants_to_train_it():
    asked = []
    encoder = tiny()
    build = lambda: asked.append(1) or tiny_network()
    lazy = Encoder(name="lazy", module=build, runs=tiny_network(), preprocess=TINY, batch_size=4, precision="fp32")
    assert np.array_equal(lazy.encode(pictures(), cache=False).x, encoder.encode(pictures(), cache=False).x)
    assert lazy.dim == 6
    assert not asked
    assert lazy.module is lazy.module
    assert asked == [1]
    assert not any(parameter.requires_grad for parameter in lazy.module.parameters())


def test_what_is_no_domain_is_told_what_makes_one():
    for samples in (["a"], np.zeros((2, 8, 8, 3))):
        with pytest.raises(TypeError, match=r"domain must be a Domain \(unseen\.load makes one .* arrays\); got "):
            tiny().encode(samples)

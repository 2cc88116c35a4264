"""A second view: the same network with the batch statistics of a domain, alone and beside the plain one."""

import numpy as np
import pytest
import torch
from torch import nn

from unseen import encoders
from unseen.data.domain import Domain
from unseen.encoders.base import Encoder
from unseen.encoders.views import both_views, has_second_view, with_statistics_of, with_statistics_of_each
from unseen.encoders.vision import ImagePreprocess

NAME = "timm:test_efficientnet?pretrained=0&size=32"


def pictures(n=40, seed=0, shift=0.0):
    """Noise, darker or lighter."""
    rng = np.random.default_rng(seed)
    return Domain(x=np.clip(rng.random((n, 32, 32, 3)) + shift, 0, 1).astype(np.float32), kind="image", name="noise")


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return encoders.get(NAME, precision="fp32")


def first_norm(network):
    return next(module for module in network.modules() if isinstance(module, nn.BatchNorm2d))


def test_statistics_are_those_of_the_domain(encoder):
    domain = pictures(shift=0.3)
    seen = []
    hook = first_norm(encoder.module).register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    encoder.module(encoder.preprocess(list(domain.x)))
    hook.remove()
    layer = first_norm(with_statistics_of(domain, encoder).module)
    mean, var = seen[0].mean(dim=(0, 2, 3)), seen[0].var(dim=(0, 2, 3))
    torch.testing.assert_close(layer.running_mean, mean, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(layer.running_var, var, atol=1e-4, rtol=1e-3)


def test_the_encoder_stays_as_it_was_and_the_order_of_the_pictures_does_not_matter(encoder):
    domain, before = pictures(), encoder.fingerprint
    state = {key: value.clone() for key, value in encoder.module.state_dict().items()}
    one = with_statistics_of(domain, encoder)
    other = with_statistics_of(domain.take(np.random.default_rng(1).permutation(len(domain))), encoder)
    assert all(torch.equal(value, encoder.module.state_dict()[key]) for key, value in state.items())
    assert one.fingerprint == other.fingerprint != before
    assert not any(module.training for module in one.module.modules())


def test_statistics_do_not_depend_on_threads_nor_on_the_domain_beside(encoder):
    domains, before = [pictures(), pictures(seed=1, shift=0.2)], torch.get_num_threads()
    alone = [with_statistics_of(domain, encoder).fingerprint for domain in domains]
    torch.set_num_threads(before + 1)
    try:
        beside = [one.fingerprint for one in with_statistics_of_each(domains, encoder)]
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)
    assert alone == beside


def test_both_views_stand_beside_each_other_and_come_back_from_disk(encoder, tmp_path):
    domain = pictures(12)
    adapted = with_statistics_of(domain, encoder)
    both = both_views(encoder, adapted)
    x = both.encode(domain, cache=False).x
    plain, own = (one.encode(domain, cache=False).x for one in (encoder, adapted))
    np.testing.assert_allclose(x, np.hstack([plain, own]), atol=5e-5)
    assert not np.allclose(plain, own)
    both.save_weights(tmp_path)
    back = encoders.load(both.to_json(), tmp_path)
    assert back.name == f"views:{NAME}"
    np.testing.assert_array_equal(back.encode(domain, cache=False).x, x)


def test_what_has_no_batch_statistics_has_no_second_view(encoder):
    assert has_second_view(encoder)
    plain = Encoder(name="flat", module=nn.Flatten(), preprocess=ImagePreprocess(size=(8, 8)))
    assert not has_second_view(plain)
    assert not has_second_view(None)
    with pytest.raises(ValueError, match="encoder 'flat' must read pictures by a network with BatchNorm"):
        with_statistics_of(pictures(4), plain)
    with pytest.raises(ValueError, match="at least two pictures; it has 1"):
        with_statistics_of(pictures(1), encoder)


def test_views_live_in_saved_models(encoder, tmp_path):
    with pytest.raises(ValueError, match="comes out of `unseen compare`"):
        encoders.get(f"views:{NAME}")
    both = both_views(encoder, with_statistics_of(pictures(4), encoder))
    both.save_weights(tmp_path)
    (tmp_path / "statistics.safetensors").unlink()
    with pytest.raises(FileNotFoundError):
        encoders.load(both.to_json(), tmp_path)

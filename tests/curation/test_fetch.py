"""Downloads: nothing private, nothing without end, nobody who said no; every refusal has a reason."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from unseen.curation import fetch as room
from unseen.curation.fetch import Politeness, fetch, opted_out
from unseen.curation.hosts import is_public


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.0.0.1", "192.168.1.1", "172.16.0.1", "169.254.169.254", "0.0.0.0", "100.64.0.1", "224.0.0.1",
     "255.255.255.255", "::1", "::", "fe80::1%eth0", "fc00::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::",
     "ff02::1", "nonsense"],
)  # fmt: skip
def test_addresses_that_are_not_on_the_open_internet_are_known(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "::ffff:1.1.1.1"])
def test_addresses_of_the_open_internet_are_known(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    ("headers", "refused"),
    [
        ([], False), (["noai"], True), (["all, NoImageAI"], True), (["noindex"], True), (["none"], True),
        (["max-snippet: 20, noai"], True), (["googlebot: noai"], False), (["unseen-curate: noai"], True),
        (["*: noimageindex"], True), (["all", "noai"], True), (["nofollow"], False),
    ],
)  # fmt: skip
def test_the_header_that_says_no_is_understood(headers: list[str], refused: bool) -> None:
    assert opted_out(headers, "unseen-curate") is refused


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen: list[str] = []
    running, most = 0, 0
    lock = threading.Lock()

    def do_GET(self) -> None:
        with self.lock:
            Handler.seen.append(self.path)
        with contextlib.suppress(ConnectionError):
            self.answer()

    def answer(self) -> None:
        path, headers, status, body = self.path, {}, 200, b"picture"
        if path.startswith("/slow"):
            time.sleep(1.0)
        elif path == "/busy" or (path == "/later" and Handler.seen.count("/later") == 1):
            status = 503
        elif path == "/bomb":
            headers, body = {"Content-Encoding": "gzip"}, gzip.compress(bytes(10_000_000))
        elif path == "/endless":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for _ in range(2000):
                self.wfile.write(b"2710\r\n" + bytes(10_000) + b"\r\n")
            return
        elif path.startswith("/to/"):
            status, headers = 302, {"Location": path.removeprefix("/to/")}
        elif path == "/nowhere":
            status = 302
        elif path == "/turn":
            with self.lock:
                Handler.running += 1
                Handler.most = max(Handler.most, Handler.running)
            time.sleep(0.05)
            with self.lock:
                Handler.running -= 1
        elif path == "/host":
            body = self.headers["Host"].encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *args: Any) -> None:
        """A client that hangs up is no news."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def _forget() -> None:
    Handler.seen.clear()
    Handler.most = 0


def reasons(address: str, *paths: str, **more: Any) -> list[str]:
    polite = Politeness(**{"allowed_hosts": (address,), "retries": 0, "timeout": 5.0, "max_bytes": 100_000, **more})
    return [found.reason or found.content.decode() for found in fetch([f"http://{address}{p}" for p in paths], polite)]


def test_pictures_come_in_the_order_of_their_urls_with_reasons_for_the_others(address: str) -> None:
    found = reasons(address, "/a.jpg", "/busy", "/endless", "/bomb", "/nowhere", "/to//a.jpg")
    assert found == ["picture", "HTTP 503", room.TOO_LARGE, room.COMPRESSED, "HTTP 302", "picture"]


def test_a_private_address_is_refused_before_it_is_asked_and_so_is_a_redirect_to_one(address: str) -> None:
    port = address.partition(":")[2]
    urls = [f"http://{host}:{port}/a.jpg" for host in ("127.0.0.1", "localhost", "[::1]", "0.0.0.0", "2130706433")]
    assert {one.reason for one in fetch(urls, Politeness(retries=0))} <= {room.PRIVATE, room.UNKNOWN_HOST}
    assert Handler.seen == []
    assert reasons(address, f"/to/http://localhost:{port}/secret", "/to/http://169.254.169.254/") == [room.PRIVATE] * 2
    assert "/secret" not in Handler.seen


def test_a_name_that_answers_differently_the_second_time_gains_nothing(address: str) -> None:
    """DNS rebinding: the address that was checked is the one that is asked."""
    answers = iter([["93.184.216.34"], ["127.0.0.1"]])

    async def resolve(host: str, port: int) -> Sequence[str]:
        return next(answers)

    port = address.partition(":")[2]
    (found,) = fetch([f"http://evil.example:{port}/a.jpg"], Politeness(retries=0, timeout=0.5), resolve=resolve)
    assert found.reason in (room.TIMEOUT, room.REFUSED)
    assert Handler.seen == []

    async def mixed(host: str, port: int) -> Sequence[str]:
        return ["93.184.216.34", "127.0.0.1"]

    (found,) = fetch([f"http://evil.example:{port}/a.jpg"], Politeness(retries=0), resolve=mixed)
    assert found.reason == room.PRIVATE


def test_the_server_is_told_the_name_it_was_asked_by(address: str) -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    port = address.partition(":")[2]
    polite = Politeness(allowed_hosts=("pictures.example",))
    (found,) = fetch([f"http://pictures.example:{port}/host"], polite, resolve=resolve)
    assert found.content.decode() == f"pictures.example:{port}"


def test_blocked_hosts_and_all_below_them_are_not_even_looked_up() -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        raise AssertionError(host)

    urls = ["http://bad.example/a.jpg", "http://www.bad.example/a.jpg"]
    found = fetch(urls, Politeness(blocked_hosts=("bad.example",)), resolve=resolve)
    assert [one.reason for one in found] == [room.BLOCKED] * 2


def test_slow_answers_end_and_busy_ones_are_asked_again(address: str) -> None:
    assert reasons(address, "/slow", timeout=0.2) == [room.TIMEOUT]
    assert reasons(address, "/later", retries=1) == ["picture"]
    assert Handler.seen.count("/later") == 2


def test_redirects_end(address: str) -> None:
    path = "/a.jpg"
    for _ in range(4):
        path = f"/to/{path}"
    assert reasons(address, path, redirects=3) == [room.REDIRECTS]
    assert reasons(address, path, redirects=4) == ["picture"]


def test_a_host_is_asked_for_few_at_once(address: str) -> None:
    assert reasons(address, *["/turn"] * 12, per_host=3) == ["picture"] * 12
    assert Handler.most <= 3


def test_a_delay_between_starts_is_kept(address: str) -> None:
    began = time.monotonic()
    reasons(address, *["/a.jpg"] * 4, delay=0.1)
    assert time.monotonic() - began >= 0.3


def test_nonsense_is_refused() -> None:
    found = fetch(["nonsense", "http://[1/", "file:///etc/passwd", "http:///a.jpg"], Politeness(retries=0))
    assert {one.reason for one in found} == {room.BAD_URL}
    for wrong in ({"timeout": 0}, {"retries": -1}, {"max_bytes": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Politeness(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "address",
    ["192.0.0.192", "192.0.0.9", "192.88.99.1", "3fff::1", "5f00::1", "64:ff9b:1::7f00:1", "100::1", "2001:db8::1",
     "2001:2::1", "2620:4f:8000::1", "::ffff:192.0.0.192", "64:ff9b::c000:c0", "2002:c058:6301::1", "::7f00:1",
     "192.175.48.1", "198.18.0.1", "240.0.0.1"],
)  # fmt: skip
def test_addresses_of_the_registries_of_special_ones_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["fec0::1", "168.63.129.16"])
def test_addresses_of_a_site_and_of_a_clouds_own_services_are_not_public(address: str) -> None:
    assert not is_public(address)


def test_a_redirect_to_nonsense_costs_its_own_picture_only(address: str) -> None:
    assert reasons(address, "/a.jpg", "/to/http://[oops/", "/b.jpg") == ["picture", room.BAD_URL, "picture"]


def test_whatever_goes_wrong_with_one_picture_is_its_own_reason(address: str) -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        if host == "odd.example":
            raise RuntimeError("a resolver that broke")
        return ["127.0.0.1"]

    port = address.partition(":")[2]
    polite = Politeness(retries=0, allowed_hosts=("good.example",))
    found = fetch([f"http://{h}.example:{port}/a.jpg" for h in ("odd", "good")], polite, resolve=resolve)
    assert [one.reason for one in found] == [room.BROKEN, ""]


def test_names_in_other_letters_are_asked_in_ascii_allowed_and_blocked(address: str) -> None:
    asked = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"]

    port = address.partition(":")[2]
    urls = [
        f"http://{host}:{port}/host" for host in ("bücher.test", "XN--BCHER-KVA.test.", "ｂlocked.example", "müll.de")
    ]
    for allowed in ("bücher.test", f"xn--bcher-kva.test:{port}"):
        polite = Politeness(allowed_hosts=(allowed,), blocked_hosts=("Blocked.example", "MÜLL.de"), retries=0)
        found = fetch(urls, polite, resolve=resolve)
        assert [one.reason for one in found] == ["", "", room.BLOCKED, room.BLOCKED]
        assert found[0].content.decode() == f"xn--bcher-kva.test:{port}"
    assert set(asked) == {"xn--bcher-kva.test"}


def test_allowed_hosts_are_understood_in_any_spelling(address: str) -> None:
    port = address.partition(":")[2]

    async def resolve(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    for told, host in ((f"[::1]:{port}", "[::1]"), ("::1", "[::1]"), (f"LocalHost:{port}", "LocalHost")):
        (found,) = fetch([f"http://{host}:{port}/x"], Politeness(allowed_hosts=(told,), retries=0), resolve=resolve)
        assert found.reason == "", told
    with pytest.raises(ValueError, match="allowed_hosts"):
        Politeness(allowed_hosts=("host:port",))


def test_ports_of_other_services_are_not_asked() -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return ["93.184.216.34"]

    (found,) = fetch(["http://x.org:25/a.jpg"], Politeness(retries=0), resolve=resolve)
    assert found.reason == room.BAD_PORT


def test_all_addresses_are_tried_and_a_lookup_that_failed_for_the_moment_is_made_again(address: str) -> None:
    calls = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        calls.append(host)
        if len(calls) == 1:
            raise socket.gaierror(socket.EAI_AGAIN, "for the moment")
        return ["127.0.0.2" if sys.platform == "linux" else "127.0.0.1", "127.0.0.1"]

    port = address.partition(":")[2]
    polite = Politeness(allowed_hosts=("x.example",), retries=1)
    (found,) = fetch([f"http://x.example:{port}/a.jpg"], polite, resolve=resolve)
    assert (found.content, len(calls)) == (b"picture", 2)


def in_a_thread(work: Any) -> Any:
    """What a coroutine gives in a loop of its own: tests in a browser leave one running in this thread."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


def test_a_loop_that_runs_already_is_no_trouble(address: str) -> None:
    async def notebook() -> list[str]:
        return reasons(address, "/a.jpg")

    assert in_a_thread(notebook()) == ["picture"]


def test_bytes_that_nobody_has_looked_at_are_few(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "IN_FLIGHT", 20)
    seen: list[int] = []
    real, most = room._Share.take, [0]

    async def take(self: Any, size: int) -> None:
        await real(self, size)
        most[0] = max(most[0], self.budget.total - self.budget.left)

    monkeypatch.setattr(room._Share, "take", take)
    polite = Politeness(allowed_hosts=(address,), retries=0)
    urls = [f"http://{address}/{i}" for i in range(30)]
    assert room.fetch_each(urls, lambda i, one: (seen.append(i), one.content)[1], polite) == [b"picture"] * 30
    assert sorted(seen) == list(range(30))
    assert most[0] <= 20


def test_every_host_shows_a_certificate_of_its_own(tmp_path: Path) -> None:
    """Two hosts at one address: the second does not ride on the connection of the first."""
    command = [
        *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=a.test"),
        *("-addext", "subjectAltName=DNS:a.test", "-keyout", str(tmp_path / "k.pem"), "-out", str(tmp_path / "c.pem")),
    ]
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    subprocess.run(command, check=True, capture_output=True)
    server = Server(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "c.pem", tmp_path / "k.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    port = server.server_address[1]

    async def resolve(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    async def ask() -> list[str]:
        polite = Politeness(allowed_hosts=("a.test", "b.test"), retries=0)
        trust = ssl.create_default_context(cafile=str(tmp_path / "c.pem"))
        async with room._Fetcher(polite, resolve, trust) as fetcher:
            return [(await fetcher.get(f"https://{host}:{port}/x")).reason for host in ("a.test", "b.test", "a.test")]

    assert in_a_thread(ask()) == ["", room.REFUSED, ""]
    server.shutdown()
    server.server_close()

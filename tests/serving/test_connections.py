"""Who opens connections and asks nothing does not keep others out; on real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from starlette.responses import PlainTextResponse, StreamingResponse

from unseen.bundle import Bundle
from unseen.serving.app import create_app
from unseen.serving.connections import Patience, Watch, address_of
from unseen.serving.limits import Limits
from unseen.serving.model import Served
from unseen.serving.server import Server, listen

Running = Callable[..., int]


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    if scope["path"] == "/much":
        await StreamingResponse(iter([bytes(2**20)] * 64))(scope, receive, send)
        return
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body, more = body + message.get("body", b""), message.get("more_body", False)
    await PlainTextResponse(f"{len(body)} bytes")(scope, receive, send)


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    servers: list[Server] = []
    made = Server.__init__

    def kept(self: Server, *arguments: Any) -> None:
        made(self, *arguments)
        servers.append(self)

    monkeypatch.setattr(Server, "__init__", kept)
    threads = []

    def start(serves: Any = app, **patience: Any) -> int:
        there: list[str] = []
        known = threading.Event()

        def ready(url: str) -> None:
            there.append(url)
            known.set()

        asked = (serves, "127.0.0.1", 0, ready, 1) + ((Patience(**patience),) if patience else ())
        threads.append(threading.Thread(target=listen, args=asked))
        threads[-1].start()
        assert known.wait(20)
        return int(there[0].rpartition(":")[2])

    yield start
    for server in servers:
        server.should_exit = True
    for thread in threads:
        thread.join(10)


BODILESS = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n{"


def half_open(port: int, n: int, sent: bytes = b"GET / HTTP/1.1\r\nHost: a\r\n") -> list[socket.socket]:
    found = []
    for _ in range(n):
        connection = socket.create_connection(("127.0.0.1", port), timeout=10)
        connection.sendall(sent)
        found.append(connection)
    return found


def ask(port: int) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("POST", "/", b"abc")
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def is_closed(connection: socket.socket, seconds: float) -> bool:
    connection.settimeout(seconds)
    try:
        while connection.recv(4096):  # the end of an answer
            pass
        return True
    except TimeoutError:
        return False
    except OSError:
        return True


@pytest.mark.parametrize("sent", [b"", b"G", b"GET / HTTP/1.1\r\nHost: a\r\n", BODILESS])
def test_1100_half_open_connections_keep_nobody_out(running: Running, sent: bytes) -> None:
    port = running()
    there = half_open(port, 1100, sent)
    try:
        assert [ask(port) for _ in range(5)] == [(200, b"3 bytes")] * 5
    finally:
        for connection in there:
            connection.close()


def test_bodies_that_never_come_of_one_address_keep_nobody_out(running: Running, vectors: Bundle) -> None:
    port = running(create_app(Served(vectors, max_pixels=1000)))
    for path in ("POST /predict", "GET /model"):
        sent = f"{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n"
        there = half_open(port, 1100, sent.encode())
        begun = time.monotonic()
        assert predicted(port) == 200
        assert time.monotonic() - begun < 4
        for connection in there:
            connection.close()


def test_a_body_that_has_come_makes_room_for_nobody(running: Running) -> None:
    port = running(address=2, reading=60.0)
    (slow,) = half_open(port, 1, BODILESS)
    time.sleep(0.2)
    slow.sendall(b"x" * 999)
    assert slow.recv(12) == b"HTTP/1.1 200"
    there = half_open(port, 3, BODILESS)
    assert not is_closed(slow, 0.5)
    assert [is_closed(connection, 1) for connection in there] == [True, True, False]


def test_headers_that_come_byte_by_byte_are_waited_for_once(running: Running) -> None:
    port = running(headers=0.6)
    (slow,) = half_open(port, 1)
    began = time.monotonic()
    for _ in range(4):
        time.sleep(0.2)
        try:
            slow.sendall(b"x")
        except OSError:
            break
    assert is_closed(slow, 2)
    assert time.monotonic() - began < 2


def test_a_second_request_is_waited_for_as_the_first(running: Running) -> None:
    port = running(headers=0.5)
    connection = socket.create_connection(("127.0.0.1", port), timeout=5)
    connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert connection.recv(4096).startswith(b"HTTP/1.1 200")
    connection.sendall(b"G")
    assert is_closed(connection, 3)


def test_a_body_that_does_not_come_ends_the_connection(running: Running) -> None:
    port = running(body=0.5)
    (slow,) = half_open(port, 1, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nab")
    assert is_closed(slow, 3)
    assert ask(port) == (200, b"3 bytes")


def test_a_client_that_does_not_read_is_not_waited_for(running: Running) -> None:
    port = running(reading=0.5)
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.connect(("127.0.0.1", port))
    deaf.sendall(b"GET /much HTTP/1.1\r\nHost: a\r\n\r\n")
    time.sleep(1.5)
    deaf.settimeout(5)
    seen = 0
    with contextlib.suppress(OSError):  # reset, or at its end before all has come
        while part := deaf.recv(2**16):
            seen += len(part)
    assert seen < 64 * 2**20


def test_a_burst_of_a_thousand_requests_of_one_address_is_let_in(running: Running) -> None:
    port = running(headers=120.0)  # a machine that is busy elsewhere keeps headers waiting, too

    async def one() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc")
        answer = await reader.read()
        writer.close()
        return answer.partition(b"\r\n")[0]

    async def all_of_them() -> list[bytes]:
        return await asyncio.gather(*(one() for _ in range(1000)))

    assert set(asyncio.run(all_of_them())) == {b"HTTP/1.1 200 OK"}


class Fake:
    def __init__(self) -> None:
        self.aborted = False
        self.transport = self

    def abort(self) -> None:
        self.aborted = True


def test_an_address_has_so_many_connections_and_others_have_theirs() -> None:
    watch = Watch(Patience(address=3))
    first = [Fake() for _ in range(3)]
    assert [watch.admit(one, "a") for one in first] == [True] * 3
    for one in first[1:]:
        watch.asked(one)
    fourth = Fake()
    assert watch.admit(fourth, "a")  # in the place of the one that asked nothing
    assert [one.aborted for one in first] == [True, False, False]
    watch.asked(fourth)
    assert not watch.admit(Fake(), "a")
    assert watch.admit(Fake(), "b")
    watch.forget(fourth, "a")
    assert watch.admit(Fake(), "a")


def test_half_open_connections_of_many_addresses_make_room_for_others() -> None:
    watch = Watch(Patience(connections=5))
    made = [Fake() for _ in range(4)]
    for i, one in enumerate(made):
        watch.admit(one, str(i))
    watch.asked(made[0])
    assert watch.admit(Fake(), "b")
    assert [one.aborted for one in made] == [False, True, False, False]


def test_nothing_is_kept_of_closed_connections() -> None:
    watch = Watch(Patience())
    one = Fake()
    watch.admit(one, "a")
    watch.forget(one, "a")
    assert not watch.open
    assert not watch.half


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        (("10.0.0.1", 5), "10.0.0.1"),
        (("::ffff:10.0.0.1", 5, 0, 0), "10.0.0.1"),
        (("2001:db8:0:1:2:3:4:5", 5, 0, 0), "2001:db8:0:1::/64"),
        (None, ""),
        ("", ""),
    ],
)
def test_whose_connection_it_is(peer: Any, address: str) -> None:
    assert address_of(peer) == address


def predicted(port: int) -> int:
    """The status of an honest request to `/predict`."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    with contextlib.closing(connection):
        body = json.dumps({"samples": [[4, 0, 0, 0]]})
        connection.request("POST", "/predict", body, {"content-type": "application/json"})
        return connection.getresponse().status


def half_sent(length: int, sent: bytes) -> bytes:
    told = f"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {length}"
    return told.encode() + b"\r\n\r\n" + sent


def test_bodies_that_never_come_take_no_turn(running: Running, vectors: Bundle) -> None:
    port = running(create_app(Served(vectors, max_pixels=1000)))
    held = half_open(port, 70, half_sent(200_000, b"{"))
    time.sleep(0.3)
    begun = time.monotonic()
    assert predicted(port) == 200
    assert time.monotonic() - begun < 2
    for connection in held:
        connection.close()


def test_bodies_together_have_so_many_bytes_only(running: Running, vectors: Bundle) -> None:
    limits = Limits(bytes=40_000, requests=2, seconds=60)
    port = running(create_app(Served(vectors, max_pixels=1000), limits=limits))
    held = half_open(port, 3, half_sent(40_000, b" " * 30_000))  # 90,000 of 80,000 bytes
    answers = []
    for connection in held:
        connection.settimeout(1)
        with contextlib.suppress(TimeoutError):
            answers.append(connection.recv(12))
    assert answers == [b"HTTP/1.1 503"]
    assert predicted(port) == 200
    for connection in held:
        connection.close()
    time.sleep(0.3)
    (again,) = half_open(port, 1, half_sent(40_000, b" " * 39_000 + json.dumps({"samples": [[1] * 4]}).encode()))
    again.sendall(b" " * (1000 - len(json.dumps({"samples": [[1] * 4]}))))
    assert again.recv(12) == b"HTTP/1.1 200"
    again.close()


def test_who_closes_the_connection_of_a_long_request_is_not_predicted_to_its_end(
    running: Running, vectors: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = Served(vectors, max_pixels=1000)
    predict, sizes, begun = served.predict, list[int](), threading.Event()

    def slow(samples: Any, top: int) -> list[Any]:
        begun.set()
        time.sleep(0.1)
        sizes.append(len(samples))
        return predict(samples, top)

    monkeypatch.setattr(served, "predict", slow)
    monkeypatch.setattr(served, "rows", 2)
    port = running(create_app(served))
    body = json.dumps({"samples": [[4, 0, 0, 0]] * 64}).encode()
    (gone,) = half_open(port, 1, half_sent(len(body), body))
    assert begun.wait(10)
    gone.close()
    assert predicted(port) == 200
    time.sleep(0.2)
    done = len(sizes)
    time.sleep(0.5)
    assert len(sizes) == done < 32

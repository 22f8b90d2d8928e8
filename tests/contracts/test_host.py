"""What every Host promises (tasks/host.py), asked of the local one, the fake and SSH alike.

The SSH host talks to a real sshd that the test starts on loopback with its own keys. Each test
gives the exchanges that the fake is to play; the others answer for themselves.
"""

from __future__ import annotations

import http.server
import os
import shlex
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tasks.fake import Deviation, Exchange, FakeHost
from tasks.host import Host, HostFault, HttpReply, LocalHost, NobodyListens, Ran
from tests.contracts.sshd import Sshd, running_sshd
from tests.integration.rig import free_port

Ask = Callable[..., Host]


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with running_sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture(params=["local", "fake", "ssh"])
def ask(request: pytest.FixtureRequest) -> Iterator[Ask]:
    """A function from the fake's script to the host."""
    if request.param == "local":
        yield lambda *_: LocalHost()
    elif request.param == "fake":
        hosts: list[FakeHost] = []

        def scripted(*script: Exchange) -> Host:
            hosts.append(FakeHost(script))
            return hosts[-1]

        yield scripted
        for each in hosts:
            each.finish()
    else:
        server: Sshd = request.getfixturevalue("sshd")
        host = server.connect()
        yield lambda *_: host
        host.close()


def test_a_command_answers_with_its_code_and_both_outputs(ask: Ask) -> None:
    host = ask(Exchange("sh -c 'echo out; echo err >&2; exit 3'", Ran(3, "out\n", "err\n")))
    assert host.run(("sh", "-c", "echo out; echo err >&2; exit 3"), seconds=10) == Ran(
        3, "out\n", "err\n"
    )


def test_a_word_stays_one_word_whatever_is_in_it(ask: Ask) -> None:
    word = "a 'b' \"c\" $(id) ; `id` \\ * ä\n!"
    host = ask(Exchange(f"printf %s {shlex.quote(word)}", Ran(0, word, "")))
    assert host.run(("printf", "%s", word), seconds=10).out == word


def test_input_is_given(ask: Ask) -> None:
    host = ask(Exchange("wc -c < 300000 bytes", Ran(0, "300000\n", "")))
    assert host.run(("wc", "-c"), seconds=10, stdin=b"x" * 300_000).out.strip() == "300000"


def test_a_command_that_reads_none_of_its_input_still_answers(ask: Ask) -> None:
    host = ask(Exchange("true < 3000000 bytes", Ran(0, "", "")))
    assert host.run(("true",), seconds=10, stdin=b"x" * 3_000_000).ok


def test_a_command_that_is_not_there_answers_127(ask: Ask) -> None:
    host = ask(Exchange("no-such-command --x", Ran(127, "", "not found")))
    ran = host.run(("no-such-command", "--x"), seconds=10)
    assert ran.exit_code == 127
    assert ran.complaint


def test_of_a_long_output_the_end_is_kept(ask: Ask) -> None:
    argv = ("sh", "-c", "seq 1 100000; seq 1 100000 >&2")
    end = "99999\n100000\n"
    host = ask(Exchange("sh -c 'seq 1 100000; seq 1 100000 >&2'", Ran(0, end, end)))
    ran = host.run(argv, seconds=30)
    assert ran.out.endswith(end)
    assert ran.err.endswith(end)
    assert len(ran.out) <= 256 * 1024


def test_at_the_deadline_the_command_and_its_children_are_ended(ask: Ask, tmp_path: Path) -> None:
    script = f"echo begun; (sleep 2; touch {tmp_path}/late) & sleep 2; touch {tmp_path}/late"
    host = ask(Exchange(f"sh -c '{script}'", Ran(None, "begun\n", "")))
    ran = host.run(("sh", "-c", script), seconds=0.5)
    assert ran.exit_code is None
    assert ran.out == "begun\n"
    assert ran.complaint == "was stopped at its deadline"
    time.sleep(2)
    assert not (tmp_path / "late").exists()


def test_what_a_command_says_is_heard_line_by_line(ask: Ask) -> None:
    script = "printf 'one\\rtwo\\n\\nthree'"
    host = ask(Exchange(f"sh -c {shlex.quote(script)}", Ran(0, "one\rtwo\n\nthree", "")))
    heard: list[bytes] = []
    ran = host.run(("sh", "-c", script), seconds=10, on_line=heard.append)
    assert ran.out == "one\rtwo\n\nthree"
    assert [each for each in heard if each] == [b"one", b"two", b"three"]


def test_a_command_that_is_not_to_go_on_puts_away_what_it_began(tmp_path: Path) -> None:
    script = f"trap 'echo put away; exit 1' TERM; touch {tmp_path}/begun; sleep 30 & wait"
    begun = time.monotonic()
    ran = LocalHost().run(
        ("sh", "-c", script), seconds=20, goes_on=lambda: not (tmp_path / "begun").exists()
    )
    assert ran == Ran(None, "put away\n", "")
    assert time.monotonic() - begun < 10


def test_one_that_does_not_end_when_asked_is_killed(tmp_path: Path) -> None:
    script = f"trap '' TERM; touch {tmp_path}/begun; while :; do sleep 0.1; done"
    ran = LocalHost().run(
        ("sh", "-c", script), seconds=60, goes_on=lambda: not (tmp_path / "begun").exists()
    )
    assert ran.exit_code is None


def test_who_is_told_to_stop_waiting_leaves_no_command_behind(tmp_path: Path) -> None:
    class Stop(Exception): ...

    def stop(*_: object) -> None:
        raise Stop

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        with pytest.raises(Stop):
            LocalHost().run(("sh", "-c", f"(sleep 1; touch {tmp_path}/late) & sleep 9"), seconds=9)
    finally:
        signal.signal(signal.SIGALRM, before)
    time.sleep(1)
    assert not (tmp_path / "late").exists()


def test_a_command_killed_before_its_deadline_is_no_deadline(ask: Ask) -> None:
    host = ask(Exchange("sh -c 'kill -9 $$'", Ran(137, "", "")))
    assert host.run(("sh", "-c", "kill -9 $$"), seconds=10).exit_code in (137, -9)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may run commands as another user")
def test_a_command_runs_as_the_user_that_is_named() -> None:
    ran = LocalHost().run(("id", "-un"), seconds=10, user="nobody")
    assert ran.out == "nobody\n"
    with pytest.raises(HostFault, match="no user 'nobody-of-that-name'"):
        LocalHost().run(("id",), seconds=10, user="nobody-of-that-name")


def test_a_file_is_read_from_its_end(ask: Ask, tmp_path: Path) -> None:
    path = tmp_path / "a log"
    path.write_text("first\nlast\n")
    host = ask(Exchange(f"read {path}", "first\nlast\n"), Exchange(f"read {path}", "last\n"))
    assert host.read(str(path)) == "first\nlast\n"
    assert host.read(str(path), last=5) == "last\n"


def test_a_file_that_is_not_there_is_none(ask: Ask, tmp_path: Path) -> None:
    assert ask(Exchange(f"read {tmp_path}/no", None)).read(f"{tmp_path}/no") is None


def test_a_file_that_cannot_be_read_is_a_fault(ask: Ask, tmp_path: Path) -> None:
    with pytest.raises(HostFault):
        ask(Exchange(f"read {tmp_path}", HostFault("a folder"))).read(str(tmp_path))


def test_files_of_the_kernel_can_be_read(ask: Ask) -> None:
    text = ask(Exchange("read /proc/uptime", "12.5 3.0\n")).read("/proc/uptime")
    assert text
    assert float(text.split()[0]) > 0


def test_a_file_is_replaced_whole_with_its_mode(ask: Ask, tmp_path: Path) -> None:
    path = tmp_path / "it's a file"
    path.write_text("old")
    host = ask(Exchange(f"write {path} (3 bytes)", None), Exchange(f"read {path}", "new"))
    held = path.open()
    host.write(str(path), b"new", mode=0o640)
    assert host.read(str(path)) == "new"
    assert held.read() == "old", "whoever had the old file open still has all of it"
    held.close()
    if not isinstance(host, FakeHost):
        assert path.stat().st_mode & 0o777 == 0o640
        assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_a_file_that_cannot_be_written_is_a_fault(ask: Ask, tmp_path: Path) -> None:
    path = f"{tmp_path}/no/file"
    with pytest.raises(HostFault):
        ask(Exchange(f"write {path} (1 bytes)", HostFault("no folder"))).write(path, b"x")


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(404 if self.path == "/no" else 200)
        self.end_headers()
        self.wfile.write(b"one\ntwo\n")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body.upper())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        pass


@pytest.fixture
def page() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_any_http_answer_is_a_value(ask: Ask, page: str) -> None:
    host = ask(
        Exchange(f"GET {page}/a?b=c", HttpReply(200, b"one\ntwo\n")),
        Exchange(f"GET {page}/no", HttpReply(404, b"one\ntwo\n")),
        Exchange(f"POST {page}/ abc", HttpReply(200, b"ABC")),
    )
    assert host.http("GET", f"{page}/a?b=c", seconds=10) == HttpReply(200, b"one\ntwo\n")
    assert host.http("GET", f"{page}/no", seconds=10).status == 404
    assert host.http("POST", f"{page}/", seconds=10, body=b"abc").body == b"ABC"


def test_an_http_answer_comes_line_by_line(ask: Ask, page: str) -> None:
    host = ask(Exchange(f"GET {page}/", HttpReply(200, b"one\ntwo\n")))
    lines: list[bytes] = []
    host.http("GET", f"{page}/", seconds=10, on_line=lines.append)
    assert lines == [b"one\n", b"two\n"]


def test_no_http_answer_is_a_fault(ask: Ask) -> None:
    url = f"http://127.0.0.1:{free_port()}/"
    with pytest.raises(HostFault):
        ask(Exchange(f"GET {url}", NobodyListens("refused"))).http("GET", url, seconds=5)


@pytest.mark.parametrize("url", ["http://127.0.0.1:none/", "http://", "no url"])
def test_a_url_that_is_none_is_a_fault(ask: Ask, url: str) -> None:
    with pytest.raises(HostFault):
        ask(Exchange(f"GET {url}", HostFault("no url"))).http("GET", url, seconds=5)


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that accepts connections and says nothing, as a hung service does."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


def test_silence_is_a_fault_at_the_deadline(ask: Ask, silent: int) -> None:
    url = f"http://127.0.0.1:{silent}/"
    late = HostFault("no complete answer in time")
    host = ask(Exchange(f"GET {url}", late), Exchange(f"tcp 127.0.0.1:{silent} PING", late))
    with pytest.raises(HostFault):
        host.http("GET", url, seconds=0.3)
    with pytest.raises(HostFault):
        host.tcp("127.0.0.1", silent, seconds=0.3, send=b"PING", complete=lambda _: False)


def test_a_connection_is_enough_when_nothing_is_asked(ask: Ask, silent: int) -> None:
    host = ask(Exchange(f"tcp 127.0.0.1:{silent}", b""))
    assert host.tcp("127.0.0.1", silent, seconds=5) == b""


def test_a_closed_port_is_a_fault(ask: Ask) -> None:
    port = free_port()
    with pytest.raises(HostFault):
        ask(Exchange(f"tcp 127.0.0.1:{port}", NobodyListens("refused"))).tcp(
            "127.0.0.1", port, seconds=5
        )


def test_an_answer_is_read_until_it_is_complete(ask: Ask, page: str) -> None:
    port = int(page.rpartition(":")[2])
    send = b"GET / HTTP/1.0\r\n\r\n"
    host = ask(Exchange(f"tcp 127.0.0.1:{port} GET / HTTP/1.0", b"... two\n"))
    received = host.tcp(
        "127.0.0.1", port, seconds=5, send=send, complete=lambda so_far: b"two\n" in so_far
    )
    assert received.endswith(b"two\n")


def test_the_clock_goes_on_in_sleep(ask: Ask) -> None:
    host = ask()
    before = host.now()
    host.sleep(0.01)
    assert host.now() >= before + 0.01


def test_a_fake_complains_of_any_deviation_from_its_script() -> None:
    with pytest.raises(Deviation, match="asked 'false', and the script has 'true'"):
        FakeHost([Exchange("true", Ran(0, "", ""))]).run(("false",), seconds=1)
    with pytest.raises(Deviation, match="asked 'true', and the script has ended"):
        FakeHost([]).run(("true",), seconds=1)
    with pytest.raises(Deviation, match="never asked: 'true'"):
        FakeHost([Exchange("true", Ran(0, "", ""))]).finish()
    with pytest.raises(Deviation, match="cannot be answered with"):
        FakeHost([Exchange("true", None)]).run(("true",), seconds=1)

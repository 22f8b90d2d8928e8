"""redis: PING and INFO, with the server's ways of saying "not now" told apart.

The password is read on the machine from a file that only its path names, and appears nowhere.
`state` in the answer is one word, because not all of them mean that the server is down:
ready, loading, auth (it lives, the password is wrong), misconf (it lives and refuses writes),
error, closed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tasks.contract import Json
from tasks.host import Host, HostFault
from tasks.operation import Probe
from tasks.resp import ErrorReply, NotRedis, command, replies

_NUMBERS = ("loading", "connected_clients", "used_memory", "maxmemory", "uptime_in_seconds")
_TEXTS = (
    "role",
    "run_id",
    "redis_version",
    "rdb_last_bgsave_status",
    "aof_last_write_status",
)
_STATES = {
    "LOADING": "loading",
    "NOAUTH": "auth",
    "WRONGPASS": "auth",
    "NOPERM": "auth",
    "DENIED": "auth",
    "MISCONF": "misconf",
}
_MEANINGS = {
    "loading": "still loads its data",
    "auth": "does not let this probe in",
    "misconf": "refuses writes because it cannot save",
    "error": "answers with an error",
    "closed": "closed the connection without an answer",
}


@dataclass(frozen=True, slots=True)
class Arguments:
    address: str
    port: int = 6379
    password_file: str = ""  #: on the machine that asks; empty for a server without password
    seconds: float = 3.0


def ask(host: Host, wanted: Arguments) -> Mapping[str, Json]:
    commands = [command("PING"), command("INFO")]
    if wanted.password_file:
        commands.insert(0, command("AUTH", _password(host, wanted.password_file)))
    try:
        received = host.tcp(
            wanted.address,
            wanted.port,
            seconds=wanted.seconds,
            send=b"".join(commands),
            complete=lambda so_far: len(replies(so_far)) >= len(commands),
        )
        got = replies(received)
    except NotRedis as strange:
        return {"state": "error", "said": str(strange)}
    if wanted.password_file and got:
        auth = got.pop(0)
        if isinstance(auth, ErrorReply) and auth.kind in _STATES:
            return {"state": _STATES[auth.kind], "said": auth.text}
    return _answer(got)


def _password(host: Host, path: str) -> str:
    password = (host.read(path) or "").strip()
    if not password:
        raise HostFault(f"the password file {path} is missing or empty")
    return password


def _answer(got: list[object]) -> dict[str, Json]:
    if not got:
        return {"state": "closed", "said": ""}
    ping, info = got[0], got[1] if len(got) > 1 else None
    answer = _info(info) if isinstance(info, bytes) else {}
    if isinstance(ping, ErrorReply):
        return {"state": _STATES.get(ping.kind, "error"), "said": ping.text, **answer}
    if ping != "PONG":
        return {"state": "error", "said": f"PING is answered with {ping!r}", **answer}
    if isinstance(info, ErrorReply):
        return {"state": _STATES.get(info.kind, "error"), "said": info.text}
    if not answer:
        return {"state": "closed", "said": "closed before INFO was answered"}
    return {"state": "loading" if answer.get("loading") else "ready", "said": "PONG", **answer}


def _info(text: bytes) -> dict[str, Json]:
    lines = text.decode(errors="replace").splitlines()
    said = dict(line.partition(":")[::2] for line in lines if not line.startswith("#"))
    answer: dict[str, Json] = {name: said[name] for name in _TEXTS if name in said}
    answer |= {name: int(said[name]) for name in _NUMBERS if said.get(name, "").isdigit()}
    answer["keys"] = {
        name: int(value.partition("keys=")[2].partition(",")[0])
        for name, value in said.items()
        if name[:2] == "db" and name[2:].isdigit() and value.startswith("keys=")
    }
    return answer


def judge(wanted: Arguments, answer: Mapping[str, Json]) -> tuple[str, ...]:
    state = answer["state"]
    if state == "ready":
        return ()
    said = f": {answer['said']}" if answer["said"] not in ("", "PONG") else ""
    return (f"Redis at {wanted.address}:{wanted.port} {_MEANINGS[state]}{said}",)


redis = Probe("redis", "Redis answers PING and has its data loaded", Arguments, ask, judge)

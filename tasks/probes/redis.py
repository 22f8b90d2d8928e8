"""redis: PING and INFO, with the server's ways of saying "not now" told apart.

The password is read on the machine from a file that only its path names, and appears nowhere.
`state` in the answer is one word, because not all of them mean that the server is down:
ready, loading, auth (it lives, the password is wrong), misconf (it lives and refuses writes),
error, closed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tasks.arguments import BadArguments
from tasks.asking import network_probe
from tasks.contract import Json, Kind
from tasks.questions import Read, TcpQuestion, read_secret, read_trust, trust_faults
from tasks.resp import ErrorReply, NotRedis, command, replies

_NUMBERS = (
    "loading",
    "connected_clients",
    "used_memory",
    "maxmemory",
    "total_system_memory",
    "uptime_in_seconds",
)
_TEXTS = (
    "role",
    "master_link_status",
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
    "auth": "lives, but does not let this probe in",
    "misconf": "refuses writes because it cannot save",
    "error": "answers with an error",
    "closed": "closed the connection without an answer",
}


#: A replica calls itself by the older word.
_ROLES = {"master": "master", "replica": "slave", "slave": "slave"}


@dataclass(frozen=True, slots=True)
class Arguments:
    address: str
    port: int = 6379
    password_file: str = ""  #: on the machine that asks; empty for a server without password
    expect_role: str = ""  #: master or replica; another one is told as `replication_broken`
    tls: bool = False
    ca_file: str = ""  #: on the machine that asks; where the system's CAs do not do
    pin_sha256: str = ""  #: of the one certificate that counts
    seconds: float = 3.0

    def __post_init__(self) -> None:
        faults = trust_faults(self.ca_file, self.pin_sha256, tls=self.tls)
        if self.expect_role and self.expect_role not in _ROLES:
            faults += (f"'expect_role' must be master or replica, not {self.expect_role!r}",)
        if faults:
            raise BadArguments(faults)


def pose(read: Read, wanted: Arguments) -> TcpQuestion:
    commands = [command("PING"), command("INFO")]
    if wanted.password_file:
        commands.insert(0, command("AUTH", read_secret(read, wanted.password_file)))
    count = len(commands)
    return TcpQuestion(
        wanted.address,
        wanted.port,
        b"".join(commands),
        lambda so_far: _whole(so_far, count),
        wanted.seconds,
        read_trust(read, wanted.ca_file, wanted.pin_sha256) if wanted.tls else None,
    )


def _whole(so_far: bytes, count: int) -> bool:
    try:
        return len(replies(so_far)) >= count
    except (NotRedis, RecursionError):
        return True


def answered(wanted: Arguments, received: bytes) -> Mapping[str, Json]:
    try:
        got = replies(received)
    except (NotRedis, RecursionError) as strange:
        return {"state": "error", "said": str(strange)}
    if wanted.password_file and got:
        auth = got.pop(0)
        if isinstance(auth, ErrorReply) and auth.kind in _STATES:
            return {"state": _STATES[auth.kind], "said": auth.text}
    return _answer(got)


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
    answer |= {name: int(said[name]) for name in _NUMBERS if said.get(name, "").isdecimal()}
    answer["keys"] = {
        name: int(keys)
        for name, value in said.items()
        if name[:2] == "db" and (keys := value.removeprefix("keys=").partition(",")[0]).isdecimal()
    }
    return answer


def judge(wanted: Arguments, answer: Mapping[str, Json]) -> tuple[str, ...]:
    state = answer["state"]
    if state == "ready":
        return ()
    said = f": {answer['said']}" if answer["said"] not in ("", "PONG") else ""
    return (f"Redis at {wanted.address}:{wanted.port} {_MEANINGS[state]}{said}",)


def sort(_wanted: Arguments, answer: Mapping[str, Json]) -> Kind | None:
    return {"loading": Kind.BUSY, "auth": Kind.BARRED}.get(answer["state"])


def measure(wanted: Arguments, answer: Mapping[str, Json]) -> Mapping[str, float]:
    """What INFO tells; nothing where it was not answered.

    A failed save or a broken replication is no reason to restart: as numbers, thresholds decide.
    """
    if "role" not in answer:
        return {}
    found = {"connected_clients": float(answer.get("connected_clients", 0))}
    # Without a limit of its own it may take all of the machine's memory.
    limit = answer.get("maxmemory") or answer.get("total_system_memory")
    if limit and "used_memory" in answer:
        found["memory_percent"] = 100 * answer["used_memory"] / limit
    for metric, said in (
        ("last_save_failed", "rdb_last_bgsave_status"),
        ("last_aof_write_failed", "aof_last_write_status"),
    ):
        if said in answer:
            found[metric] = float(answer[said] != "ok")
    wanted_role = _ROLES.get(wanted.expect_role, answer["role"])
    broken = answer.get("master_link_status", "up") != "up" or answer["role"] != wanted_role
    # That it refuses writes, say, is no part of its start any more.
    started = answer["state"] in ("ready", "misconf")
    return {**found, "replication_broken": float(broken), "started": float(started)}


redis = network_probe(
    "redis",
    "Redis answers PING and has its data loaded",
    Arguments,
    pose,
    answered,
    judge,
    sort=sort,
    measure=measure,
)

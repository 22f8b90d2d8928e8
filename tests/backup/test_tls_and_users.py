"""A Redis with TLS and an ACL user: dumped, received from, restored, undone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tasks.backup import dump, proving
from tasks.backup.dump import NotTaken, Settings
from tasks.backup.link import Link, LinkFault, Server
from tasks.backup.receiving import Full, open_stream, receive
from tasks.backup.scratch import Programs
from tasks.catalog import operations
from tasks.contract import Outcome
from tasks.host import LocalHost
from tasks.operation import carry_out
from tests.backup.orders import holds_backup
from tests.backup.rig import redis
from tests.backup.systemd import UNIT, fake_systemd
from tests.contracts.certificates import Authority, authority
from tests.integration.rig import free_port


def options(place: Path, ours: Authority) -> dict[str, str]:
    """Both ports: the rig itself asks without TLS, as the default user."""
    mine = ours.sign("redis")
    (place / "acl").write_text(
        "user default on nopass ~* &* +@all\nuser dr on >secret ~* &* +@all\n"
    )
    (place / "password").write_text("secret\n")
    return {
        "tls_port": str(free_port()),
        "tls_cert_file": str(mine.file),
        "tls_key_file": str(mine.key),
        "tls_ca_cert_file": str(ours.ca.file),
        "tls_auth_clients": "no",
        "aclfile": str(place / "acl"),
    }


def test_all_of_it_over_tls_as_a_user(tmp_path: Path) -> None:
    ours, host = authority(tmp_path), LocalHost()
    given = options(tmp_path, ours)
    told = {
        "address": "127.0.0.1",
        "port": int(given["tls_port"]),
        "user": "dr",
        "password_file": f"{tmp_path}/password",
        "tls": True,
        "ca_file": str(ours.ca.file),
    }
    with redis(tmp_path / "production", appendonly="yes", **given) as server:
        server.fill(50)
        folder, _ = dump.take(Settings(into=f"{tmp_path}/backups", **told))  # type: ignore[arg-type]
        proved, _ = proving.prove(host, str(folder), Programs(), ("doc:*",))
        assert proved.state == "verified", proved.reason
        server.ask("FLUSHALL")
        server.ask("SET", "precious", "live")
        with fake_systemd(tmp_path, server):
            for name, more in (
                ("redis.restore", {"backup": str(folder)}),
                ("redis.restore_undo", {}),
            ):
                order = {"unit": UNIT, **told, **more}
                result = carry_out(host, operations()[name], order, ends=host.now() + 30)
                assert result.outcome is Outcome.DONE, result.reason
                assert holds_backup(server) == (name == "redis.restore")


def test_a_stranger_is_sent_nothing(tmp_path: Path) -> None:
    ours = authority(tmp_path)
    given = options(tmp_path, ours)
    server = Server(
        "127.0.0.1",
        int(given["tls_port"]),
        f"{tmp_path}/password",
        "dr",
        tls=True,
        pin_sha256="0" * 64,
    )
    with redis(tmp_path / "source", **given) as source:
        source.fill(2000)
        with pytest.raises(LinkFault, match="certificate is not trusted"):
            Link(server)
        with pytest.raises(NotTaken, match=r"CA file .* is missing"):
            dump.take(
                Settings(f"{tmp_path}/b", "127.0.0.1", server.port, tls=True, ca_file="/none")
            )
        right = replace(server, pin_sha256="", ca_file=str(ours.ca.file))
        with Link(right) as link:
            assert isinstance(open_stream(link), Full)
            received: list[bytes] = []
            receive(link, received.append)
            assert b"".join(received).startswith(b"REDIS")

"""What is found to be a secret, and hidden in what is kept in clear."""

from __future__ import annotations

import pytest

from tasks.kit.secrets import all_secret, found_in, hidden, tells

SECRET = "Sesame-4711"


@pytest.mark.parametrize(
    "line",
    [
        f"requirepass {SECRET}",
        f'  masterauth "{SECRET}"',
        f"user ada on >{SECRET} ~* +@all",
        f"DB_PASSWORD={SECRET}",
        f'export API_KEY="{SECRET}"',
        f"Environment=OPENAI_API_KEY={SECRET}",
        f'  "client_secret": "{SECRET}",',
        f"auth_token: {SECRET}",
        f"url: redis://:{SECRET}@10.0.0.1:6379/1",
        f"postgresql://ada:{SECRET}@db/x",
        f"ExecStart=/usr/bin/redis-server --requirepass {SECRET} --port 1",
        f"ExecStart=/usr/bin/x --db-password={SECRET}",
    ],
)
def test_a_secret_is_found_and_hidden_where_it_stands(line: str) -> None:
    assert found_in(f"a: b\n{line}\nc: d\n") == {SECRET}
    kept = hidden(f"a: b\n{line}\nc: d\n")
    assert SECRET not in kept
    assert "(sealed)" in kept
    assert kept.startswith("a: b\n")
    assert kept.endswith("c: d\n")
    assert hidden(kept) == kept


@pytest.mark.parametrize(
    "line",
    [
        "# requirepass foobared",
        "password_file: /etc/autobot-dr/redis-password",
        "requirepass_file=/etc/x",
        "tokens: 4096",
        "max_tokens = true",
        "EnvironmentFile=-/etc/default/redis",
        "user default on nopass ~* &* +@all",
        "key: ~/.ssh/autobot_key",
        "API_TOKEN=${TOKEN}",
    ],
)
def test_what_is_none_is_left_as_it_is(line: str) -> None:
    assert found_in(line) == frozenset()
    assert hidden(line) == line


def test_a_secret_is_hidden_in_other_files_too() -> None:
    assert hidden(f"backup uses {SECRET} for it", [SECRET]) == "backup uses (sealed) for it"


def test_a_password_that_is_a_mere_word_is_hidden_only_where_it_stands_as_one() -> None:
    """Else the whole fleet file would be full of holes."""
    assert not tells("autobot")
    assert not tells("redis-stack")
    assert tells(SECRET)
    assert hidden("requirepass autobot\nfleet: autobot", ["autobot"]) == (
        "requirepass (sealed)\nfleet: autobot"
    )


def test_a_private_key_has_nothing_in_clear() -> None:
    assert all_secret("-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n")
    assert all_secret("# created: today\nAGE-SECRET-KEY-1QQQ\n")
    assert not all_secret("-----BEGIN CERTIFICATE-----\n")

"""Beats and watch lists through a real broker, between a real agent and the coordinator's ears."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping

import pytest
import redis

from orchestrator.core.health import Use, Watch
from tasks.contract import Kind, Reading
from tasks.signing import new_keys, private_key, public_key, sign
from tasks.watching import Beat
from tests.bench.footprint import children
from tests.integration import rig
from tests.integration.site import Site
from workers.broker import COORDINATOR_QUEUE, make_app
from workers.ears import Ears
from workers.voice import BEAT_EVENT, Voice


class Listener:
    """A coordinator's ears, and what they brought."""

    def __init__(self, site: Site) -> None:
        self.heard: list[tuple[str, float, Mapping[str, Reading]]] = []
        app = make_app(site.broker.url, consumer=COORDINATOR_QUEUE)
        agents = {name: public_key(site.keys[name][1]) for name in ("one", "two")}
        key = private_key(site.keys["coordinator"][0])
        self.ears = Ears(app, key, agents, lambda *beat: self.heard.append(beat))
        self.ears.set_lists({"one": [_watch(site, "tcp"), _watch(site, "seen", "two")]})
        self.ears.start()
        rig.wait_for("hearing", self.hears, seconds=60)

    def hears(self) -> bool:
        return self.ears.listening_since() is not None

    def of(self, machine: str) -> int:
        return sum(who == machine for who, _, _ in self.heard)

    def readings(self) -> list[Reading]:
        return [each for _, _, readings in self.heard for each in readings.values()]


def _watch(site: Site, name: str, vantage: str = "one") -> Watch:
    arguments = {"address": "127.0.0.1", "port": site.broker.port}
    return Watch(f"broker/{name}", Use.LOCAL, "broker", "one", "tcp", arguments, vantage)


@pytest.fixture
def listener(site: Site) -> Iterator[Listener]:
    made = Listener(site)
    yield made
    made.ears.stop()
    assert not made.ears.is_alive()


def test_an_agent_is_given_its_list_and_what_it_sees_is_heard(
    site: Site, listener: Listener
) -> None:
    agent = site.start_agent("one")
    rig.wait_for("a reading", lambda: listener.readings() != [])
    (taken,) = listener.heard[-1][2].items()
    assert (taken[0], taken[1].kind, taken[1].vantage) == ("broker/tcp", Kind.GOOD, "one")
    assert listener.of("two") == 0
    # Lost by the machine, and its pool process dead at that: it gets the list all the same.
    for child in children(agent.child.pid):
        os.kill(child, signal.SIGKILL)
    held = site.directory / "one" / "watch.json"
    held.unlink()
    rig.wait_for("the list to come again", held.exists)
    before = len(listener.readings())
    rig.wait_for("readings again", lambda: len(listener.readings()) > before)
    assert not listener.ears.refused


def test_beats_come_again_soon_after_the_broker_does(site: Site, listener: Listener) -> None:
    site.start_agent("one")
    rig.wait_for("a beat", lambda: listener.of("one") > 0)
    site.broker.kill()
    rig.wait_for("deafness", lambda: not listener.hears())
    site.broker.start()
    before = listener.of("one")
    rig.wait_for("beats", lambda: listener.of("one") > before, seconds=20)
    # A beat may come in before our own echo, by which we know that we hear.
    rig.wait_for("hearing", listener.hears, seconds=5)


def test_what_is_not_an_agents_own_fresh_word_is_refused(site: Site, listener: Listener) -> None:
    voice = Voice(make_app(site.broker.url), "agent@one")

    def beat(number: int, key: str, at: float) -> None:
        said = sign(Beat("one", "boot", number, at, "", 0.0, {}), private_key(key))
        voice.say(BEAT_EVENT, beat=said.to_wire())

    own, now = site.keys["one"][0], time.time()
    beat(1, new_keys()[0], now)
    beat(2, site.keys["two"][0], now)
    beat(3, own, now - 100)
    voice.say(BEAT_EVENT, beat={"agent": "one"})
    voice.say(BEAT_EVENT)
    voice.say("autobot-other", beat=7)
    beat(4, own, now)
    beat(4, own, now)
    beat(5, own, now)
    voice.close()
    rig.wait_for("the last one", lambda: listener.of("one") == 2)
    refused = {"forged": 2, "stale": 1, "malformed": 3, "replayed": 1}
    assert dict(listener.ears.refused) == refused


def test_nothing_waits_in_the_broker_while_no_coordinator_listens(site: Site) -> None:
    listener = Listener(site)
    site.start_agent("one")
    rig.wait_for("a reading", lambda: listener.readings() != [])
    listener.ears.stop()
    time.sleep(6)
    assert waiting(site.broker) == 0
    again = Listener(site)
    rig.wait_for("a beat", lambda: again.heard != [])
    again.ears.stop()


def waiting(broker: rig.Broker) -> int:
    """Messages in all queues together."""
    if broker.url.startswith("redis"):
        with redis.Redis.from_url(broker.url) as client:
            lists = [key for key in client.scan_iter() if client.type(key) == b"list"]
            return sum(client.llen(key) for key in lists)
    said = subprocess.run(
        ["/usr/lib/rabbitmq/bin/rabbitmqctl", "-q", "list_queues", "name", "messages"],
        env={**os.environ, **broker.process.environment},
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    queues = [each.split("\t") for each in said.splitlines()[1:]]
    assert ["host.one", "0"] in queues
    return sum(int(messages) for _, messages in queues)

"""The place that a capture has reached: taking what comes, acknowledging it, and its lag.

What lives here: one connection's reading loop, and the second connection that asks the source how
far it is. What must not: when to begin anew or to seal; capture.py decides that.
"""

from __future__ import annotations

import time

from tasks.backup import rolling
from tasks.backup.link import CHUNK, Link, LinkFault, LinkRefused, Server
from tasks.backup.receiving import SILENCE_SECONDS
from tasks.backup.rolling import Offer
from tasks.backup.segment import Segment

#: Reading waits this long for more to come, so that thousands of small commands are one write.
_GATHER_SECONDS = 0.005
#: A longer unfinished command is not moved to a new segment.
_LONGEST_TAIL = 1024 * 1024
#: For a second connection that could not be made, until the next try.
_WATCH_PAUSE = 10.0


class Place:
    """Where a capture is in the stream."""

    def __init__(self, link: Link, segment: Segment, rest: bytes) -> None:
        self.link, self.segment = link, segment
        self.acknowledged = segment.log.offset
        self.heard_at = self.begun_at = time.monotonic()
        if rest:
            segment.add_received(rest, int(time.time()))

    @property
    def age(self) -> float:
        """Of the open segment, in seconds, in this process."""
        return time.monotonic() - self.begun_at

    def take(self, *, until: float) -> None:
        """Write down what comes until then."""
        while (left := until - time.monotonic()) > 0:
            if not self.link.readable(left):
                if time.monotonic() - self.heard_at > SILENCE_SECONDS:
                    raise LinkFault(f"{self.link.server.name} has been silent for too long")
                continue
            try:
                data = self.link.socket.recv(CHUNK)
            except OSError as error:
                raise LinkFault(f"{self.link.server.name}: {error.strerror or error}") from error
            if not data:
                raise LinkFault(f"{self.link.server.name} closed the connection")
            self.heard_at = time.monotonic()
            self.segment.add_received(data, int(time.time()))
            if self.segment.log.asked_for_ack:
                self.segment.log.asked_for_ack = False
                self.acknowledge()
            if len(data) < CHUNK:
                time.sleep(_GATHER_SECONDS)

    def acknowledge(self) -> None:
        """Tell the source how much is on the disk, and nothing that is not."""
        self.segment.sync()
        self.acknowledged = self.segment.log.offset
        self.link.send("REPLCONF", "ACK", str(self.acknowledged))

    def seal(self) -> None:
        """Close the open segment for ever and go on in the next one."""
        if self.segment.tail_size > _LONGEST_TAIL:
            return
        tail = self.segment.take_off_tail()
        self.segment.seal()
        self.segment = self.segment.next(int(time.time()))
        self.segment.add(tail)
        self.begun_at = time.monotonic()

    def roll(self, offer: Offer) -> None:
        """Go on in a new history that has the offered dump as its base."""
        if offer.history != self.segment.folder.name:
            # Another one was begun since; that is where the log goes on.
            rolling.withdraw(self.segment.folder.parent)
        elif self.segment.tail_size <= _LONGEST_TAIL:
            self.segment = rolling.roll(self.segment, offer, int(time.time()))
            self.begun_at = time.monotonic()

    def told(self) -> dict[str, object]:
        segment = self.segment
        return {
            "history": segment.folder.name,
            "segment": segment.number,
            "segment_bytes": segment.size,
            "replid": segment.log.replid,
            "offset": self.acknowledged,
        }


class Watch:
    """Asks the source how far it is, over a connection of its own; a replica's cannot ask."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._link: Link | None = None
        self._again_at = 0.0
        self._asked: tuple[float, int] | None = None
        self.source_offset: int | None = None
        self.lag_bytes: int | None = None
        self.covers_until: float | None = None

    def close(self) -> None:
        if self._link:
            self._link.close()

    def look(self, offset: int) -> None:
        """`offset` is what is on the disk."""
        if self._asked and offset >= self._asked[1]:
            self.covers_until = self._asked[0]
            self._asked = None
        now = time.time()
        self.source_offset = self._ask()
        if self.source_offset is None:
            self.lag_bytes = None
            return
        self.lag_bytes = max(0, self.source_offset - offset)
        if not self.lag_bytes:
            self.covers_until = now
        elif self._asked is None:
            self._asked = (now, self.source_offset)

    def _ask(self) -> int | None:
        if self._link is None and time.monotonic() < self._again_at:
            return None
        try:
            self._link = self._link or Link(self.server, seconds=2.0)
            said = self._link.ask("INFO", "replication")
        except (LinkFault, LinkRefused):
            said = None
        if isinstance(said, bytes):
            for line in said.split(b"\r\n"):
                name, _, value = line.partition(b":")
                if name == b"master_repl_offset":
                    return int(value)
        self.close()
        self._link, self._again_at = None, time.monotonic() + _WATCH_PAUSE
        return None

    def told(self) -> dict[str, object]:
        return {
            "source_offset": self.source_offset,
            "lag_bytes": self.lag_bytes,
            "lag_seconds": None
            if self.covers_until is None
            else max(0.0, time.time() - self.covers_until),
        }

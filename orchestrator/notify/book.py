"""The port of the call book: who is to be called when, and what became of it.

What lives here: the protocol with its contract, which tests/contracts/test_call_book.py checks.
What must not: implementations (store/) and who is called (core/escalation.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from orchestrator.core.escalation import Call, NewCall
from orchestrator.core.events import Entry

#: Who claimed a call and was not heard of for so long has died. Longer than any attempt lasts.
CLAIM_SECONDS = 30.0


class CallBook(Protocol):
    """Calls, for good. Each method is one transaction.

    Contract, for every implementation:
    - `plan` writes calls of runs that the store knows; one whose key is known changes nothing;
    - a waiting call is claimed by one caller only, whoever else tries. `sent` and `failed` take
      the call as `claim` gave it, and change nothing if somebody claimed it since;
    - `stop` takes calls out for good that wait. One that is being sent is not sent again if it
      fails, and counts as sent if it does not;
    - what a dead process left claimed waits again after CLAIM_SECONDS (`recover`), so a call
      may in rare cases be made twice, and never not at all;
    - any implementation may be called from several threads and processes at once.
    """

    def plan(self, calls: Sequence[NewCall]) -> None: ...

    def due(self, now: float) -> Sequence[Call]:
        """Those that wait and are due, the longest due first."""
        ...

    def claim(self, call: int, now: float) -> Call | None:
        """The call, one attempt further and in our hands; None if it does not wait."""
        ...

    def sent(self, call: Call, told: Entry) -> None:
        """It went out at `told.at`; the timeline's line is written with the mark, or neither."""
        ...

    def failed(
        self,
        call: Call,
        error: str,
        now: float,
        *,
        retry_at: float | None = None,
        sooner: Sequence[int] = (),
    ) -> None:
        """Not sent: it waits again until `retry_at`, or is given up and `sooner` are due now."""
        ...

    def drop(self, call: int, reason: str, now: float) -> None:
        """A waiting call that is not needed any more."""
        ...

    def stop(self, calls: Sequence[int], reason: str, now: float) -> None: ...

    def recover(self, now: float) -> int:
        """How many claims of the dead wait again."""
        ...

    def of_run(self, run: str) -> Sequence[Call]:
        """In the order in which they were planned."""
        ...

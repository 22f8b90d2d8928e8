"""Shells of the test's Hyper-V host: runspace pools and pipelines on psrpcore.

What lives here: one shell with its pipelines, each in a thread of its own, and what waits to
be fetched by the client. What must not: SOAP and HTTP (wsman.py, server.py).
"""

from __future__ import annotations

import threading
import time
import uuid
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from psrpcore import (
    CreatePipelineEvent,
    PSRPPayload,
    ServerPipeline,
    ServerRunspacePool,
    StreamType,
)
from psrpcore.types import (
    ErrorCategory,
    ErrorCategoryInfo,
    ErrorRecord,
    NETException,
    PSInvocationState,
)

from tests.hyperv.cmdlets import Cmdlets
from tests.hyperv.machines import CannotDo

#: Hyper-V's identities, as PowerShell files them.
CATEGORIES = {
    "InvalidParameter": ErrorCategory.InvalidArgument,
    "InvalidState": ErrorCategory.InvalidOperation,
    "AccessDenied": ErrorCategory.PermissionDenied,
}


@dataclass(frozen=True)
class Command:
    name: str
    given: dict[str, Any]


class Terminated(Exception):
    """The pipeline has failed with this record."""

    def __init__(self, record: ErrorRecord) -> None:
        super().__init__()
        self.record = record


class Shell:
    """One runspace pool. Everything of psrpcore is done under its lock."""

    def __init__(self, cmdlets: Cmdlets, asked: list[Any]) -> None:
        self._cmdlets = cmdlets
        self._asked = asked
        self._pool = ServerRunspacePool()
        self._changed = threading.Condition()
        self._waiting: dict[uuid.UUID | None, bytearray] = defaultdict(bytearray)
        self._stops: dict[uuid.UUID, threading.Event] = {}
        self.ended: set[uuid.UUID] = set()
        self.closed = False

    def take(self, data: bytes, pipeline: uuid.UUID | None = None) -> None:
        """Data of the client, for the pool or one of its pipelines."""
        with self._changed:
            if pipeline is not None and pipeline not in self._stops:
                ServerPipeline(self._pool, pipeline)
                self._stops[pipeline] = threading.Event()
            self._pool.receive_data(PSRPPayload(data, StreamType.default, pipeline))
            while (event := self._pool.next_event()) is not None:
                if isinstance(event, CreatePipelineEvent):
                    self._begin(event.pipeline_id, event.pipeline)
            self._flush()

    def give(self, pipeline: uuid.UUID | None, seconds: float) -> tuple[bytes, bool] | None:
        """What waits for the client and whether that was all; None if nothing came in time."""
        ends = time.monotonic() + seconds
        with self._changed:
            while not self._waiting[pipeline] and not self.closed:
                if not self._changed.wait(ends - time.monotonic()):
                    return None
            data = bytes(self._waiting.pop(pipeline, b""))
            return data, pipeline in self.ended

    def stop(self, pipeline: uuid.UUID) -> None:
        if pipeline in self._stops:
            self._stops[pipeline].set()

    def close(self) -> None:
        with self._changed:
            self.closed = True
            for each in self._stops.values():
                each.set()
            self._changed.notify_all()

    def _begin(self, pipeline: uuid.UUID, wanted: Any) -> None:
        running = self._pool.pipeline_table[pipeline]
        running.start()
        statements: list[list[Command]] = [[]]
        for each in wanted.commands:
            statements[-1].append(Command(each.command_text, dict(each.parameters)))
            if each.end_of_statement:
                statements.append([])
        work = threading.Thread(target=self._work, args=(running, statements), daemon=True)
        work.start()

    def _work(self, pipeline: ServerPipeline, statements: list[list[Command]]) -> None:
        stopped = self._stops[pipeline.pipeline_id]
        try:
            for statement in statements:
                output: list[Any] = []
                for each in statement:
                    output = self._command(pipeline, each, output, stopped)
                with self._changed:
                    for value in output:
                        pipeline.write_output(value)
        except Terminated as error:
            with self._changed:
                pipeline._change_state(PSInvocationState.Failed, error=error.record)
        with self._changed:
            if stopped.is_set():
                pipeline.stop()
            elif pipeline.state is PSInvocationState.Running:
                pipeline.complete()
            pipeline.close()
            self.ended.add(pipeline.pipeline_id)
            self._flush()

    def _command(
        self,
        pipeline: ServerPipeline,
        command: Command,
        piped: list[Any],
        stopped: threading.Event,
    ) -> list[Any]:
        name, given = command.name, command.given
        self._asked.append((time.time(), name, given))
        try:
            return self._cmdlets.run(name, given, piped, stopped)
        except CannotDo as error:
            said = record(error, name)
            stop = str(given.get("ErrorAction", "")).lower() == "stop"
            if stop and self._cmdlets.behaviour.errors == "asked":
                raise Terminated(said) from error
            with self._changed:
                pipeline.write_error(
                    said.Exception,
                    category_info=said.CategoryInfo,
                    fully_qualified_error_id=said.FullyQualifiedErrorId,
                )
            return []

    def _flush(self) -> None:
        while (payload := self._pool.data_to_send()) is not None:
            self._waiting[payload.pipeline_id] += payload.data
        self._changed.notify_all()


def record(error: CannotDo, cmdlet: str) -> ErrorRecord:
    kind = cmdlet.replace("-", "")
    return ErrorRecord(
        Exception=NETException(Message=str(error)),
        CategoryInfo=ErrorCategoryInfo(
            Category=CATEGORIES.get(error.identity, ErrorCategory.NotSpecified),
            Activity=cmdlet,
            Reason="VirtualizationException",
        ),
        FullyQualifiedErrorId=f"{error.identity},Microsoft.HyperV.PowerShell.Commands.{kind}",
    )

"""WS-Management as PowerShell remoting uses it: SOAP in, SOAP out, for the tests' Hyper-V host.

What lives here: Create, Command, Send, Receive, Signal and Delete of shells, the quota, and
the faults with Windows's own codes. What must not: HTTP and who may ask (server.py).
"""

from __future__ import annotations

import base64
import re
import threading
import time
import uuid
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from typing import Any

from pypsrp.wsman import NAMESPACES

from tests.hyperv.cmdlets import Cmdlets
from tests.hyperv.shells import Shell

SHELLS = "http://schemas.microsoft.com/powershell/Microsoft.PowerShell"
ACTION_END = re.compile(r"/(\w+)$")

NOTHING_YET = 2150858793  #: the operation's time passed without output: ask again
NO_SHELL = 2150858843
TOO_MANY_SHELLS = 2150859173
TOO_MANY_COMMANDS = "w:InternalError"


class Fault(Exception):
    """The answer is a SOAP fault with this code, Windows's number or a name of the standard."""

    def __init__(self, code: int | str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


def tag(name: str) -> str:
    prefix, _, local = name.partition(":")
    return f"{{{NAMESPACES[prefix]}}}{local}"


@dataclass(frozen=True)
class Request:
    """What every request says in its header, and its body."""

    message: str
    action: str
    shell: str
    seconds: float
    body: ET.Element

    @classmethod
    def read(cls, text: bytes) -> Request:
        root = ET.fromstring(text)  # noqa: S314 (our own client on loopback)
        selector = root.find("s:Header/wsman:SelectorSet/wsman:Selector", NAMESPACES)
        timeout = root.findtext("s:Header/wsman:OperationTimeout", "PT20S", NAMESPACES)
        body = root.find("s:Body", NAMESPACES)
        ended = ACTION_END.search(root.findtext("s:Header/wsa:Action", "", NAMESPACES))
        assert body is not None
        assert ended is not None
        return cls(
            message=root.findtext("s:Header/wsa:MessageID", "", NAMESPACES),
            action=ended[1],
            shell=(selector.text or "" if selector is not None else "").upper(),
            seconds=float(timeout.removeprefix("PT").removesuffix("S")),
            body=body,
        )


class WSMan:
    """The shells of one host. `asked` is the log: when, which cmdlet, with what."""

    def __init__(self, cmdlets: Cmdlets, quota: int) -> None:
        self.cmdlets = cmdlets
        self.quota = quota
        self.asked: list[tuple[float, str, dict[str, Any]]] = []
        self.opened = 0
        self.create_seconds = 0.0  #: how long a new shell takes
        self.commands_per_shell = 1000
        self.shells: dict[str, Shell] = {}
        self._lock = threading.Lock()

    def answer(self, text: bytes) -> tuple[int, bytes]:
        """HTTP status and envelope."""
        request = Request.read(text)
        try:
            body = getattr(self, f"_{request.action.lower()}")(request)
            return 200, envelope(request, body)
        except Fault as fault:
            return 500, envelope(request, _fault(fault))

    def forget(self) -> None:
        """What a restart of the host does to everybody's shells."""
        with self._lock:
            gone, self.shells = self.shells, {}
        for each in gone.values():
            each.close()

    def _create(self, request: Request) -> list[ET.Element]:
        wanted = request.body.find("rsp:Shell", NAMESPACES)
        assert wanted is not None
        shell_id = wanted.attrib["ShellId"].upper()
        time.sleep(self.create_seconds)
        with self._lock:
            if len(self.shells) >= self.quota:
                raise Fault(
                    TOO_MANY_SHELLS,
                    f"This user is allowed a maximum number of {self.quota} concurrent shells, "
                    "which has been exceeded.",
                )
            shell = self.shells[shell_id] = Shell(self.cmdlets, self.asked)
            self.opened += 1
        shell.take(base64.b64decode(wanted.findtext("pwsh:creationXml", "", NAMESPACES)))
        made = ET.Element(tag("wst:ResourceCreated"))
        parameters = ET.SubElement(made, tag("wsa:ReferenceParameters"))
        selectors = ET.SubElement(parameters, tag("wsman:SelectorSet"))
        ET.SubElement(selectors, tag("wsman:Selector"), Name="ShellId").text = shell_id
        told = ET.Element(tag("rsp:Shell"))
        ET.SubElement(told, tag("rsp:ShellId")).text = shell_id
        ET.SubElement(told, tag("rsp:ResourceUri")).text = SHELLS
        return [made, told]

    def _command(self, request: Request) -> list[ET.Element]:
        line = request.body.find("rsp:CommandLine", NAMESPACES)
        assert line is not None
        pipeline = uuid.UUID(line.attrib["CommandId"])
        data = base64.b64decode(line.findtext("rsp:Arguments", "", NAMESPACES))
        shell = self._shell(request)
        if len(shell.ended) >= self.commands_per_shell:
            # Ended ones count, as Windows has it.
            raise Fault(
                TOO_MANY_COMMANDS,
                "The maximum number of concurrent commands per shell has been exceeded.",
            )
        shell.take(data, pipeline)
        answer = ET.Element(tag("rsp:CommandResponse"))
        ET.SubElement(answer, tag("rsp:CommandId")).text = str(pipeline).upper()
        return [answer]

    def _send(self, request: Request) -> list[ET.Element]:
        stream = request.body.find("rsp:Send/rsp:Stream", NAMESPACES)
        assert stream is not None
        command = stream.attrib.get("CommandId")
        data = base64.b64decode(stream.text or "")
        self._shell(request).take(data, uuid.UUID(command) if command else None)
        return [ET.Element(tag("rsp:SendResponse"))]

    def _receive(self, request: Request) -> list[ET.Element]:
        wanted = request.body.find("rsp:Receive/rsp:DesiredStream", NAMESPACES)
        assert wanted is not None
        command = wanted.attrib.get("CommandId")
        target = uuid.UUID(command) if command else None
        shell = self._shell(request)
        given = shell.give(target, request.seconds)
        if given is None:
            raise Fault(NOTHING_YET, "The WS-Management service cannot complete the operation.")
        if shell.closed:
            raise self._no_shell(request)
        data, ended = given
        answer = ET.Element(tag("rsp:ReceiveResponse"))
        named = {"Name": "stdout"} | ({"CommandId": command} if command else {})
        ET.SubElement(answer, tag("rsp:Stream"), named).text = base64.b64encode(data).decode()
        if command and ended:
            done = f"{NAMESPACES['rsp']}/CommandState/Done"
            ET.SubElement(answer, tag("rsp:CommandState"), CommandId=command, State=done)
        return [answer]

    def _signal(self, request: Request) -> list[ET.Element]:
        signal = request.body.find("rsp:Signal", NAMESPACES)
        assert signal is not None
        self._shell(request).stop(uuid.UUID(signal.attrib["CommandId"]))
        return [ET.Element(tag("rsp:SignalResponse"))]

    def _delete(self, request: Request) -> list[ET.Element]:
        self._shell(request).close()
        with self._lock:
            self.shells.pop(request.shell, None)
        return []

    def _shell(self, request: Request) -> Shell:
        with self._lock:
            if request.shell in self.shells:
                return self.shells[request.shell]
        raise self._no_shell(request)

    def _no_shell(self, request: Request) -> Fault:
        return Fault(
            NO_SHELL,
            f"The request for the Windows Remote Shell with ShellId {request.shell} failed because "
            "the shell was not found on the server.",
        )


def envelope(request: Request, body: list[ET.Element]) -> bytes:
    root = ET.Element(tag("s:Envelope"))
    header = ET.SubElement(root, tag("s:Header"))
    ET.SubElement(header, tag("wsa:MessageID")).text = f"uuid:{uuid.uuid4()}"
    ET.SubElement(header, tag("wsa:RelatesTo")).text = request.message
    ET.SubElement(root, tag("s:Body")).extend(body)
    text: bytes = ET.tostring(root, encoding="utf-8")
    return text


def _fault(fault: Fault) -> list[ET.Element]:
    told = ET.Element(tag("s:Fault"))
    code = ET.SubElement(told, tag("s:Code"))
    ET.SubElement(code, tag("s:Value")).text = "s:Receiver"
    detail = ET.SubElement(told, tag("s:Detail"))
    inside = ET.SubElement(detail, tag("wsmanfault:WSManFault"), Code=str(fault.code), Machine="hv")
    ET.SubElement(inside, tag("wsmanfault:Message")).text = str(fault)
    return [told]

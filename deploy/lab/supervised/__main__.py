"""The supervisor: one machine of the process lab, from power to power.

What lives here: booting, the control socket, and the orderly shutdown. What must not: what a
unit does (unit.py) and what is answered (answers.py).
Run as `python -m deploy.lab.supervised --machine=LABEL HOME NAME`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from pathlib import Path

from deploy.lab.machines import AGENT
from deploy.lab.process import DOOR_PORT, pids_of
from deploy.lab.supervised import answers
from deploy.lab.supervised.unit import Unit


class Supervisor:
    """Holds the machine's units and answers for them."""

    def __init__(self, home: Path, name: str, label: str) -> None:
        laid = home / "laid" / name
        journals = home / "machines" / f"{name}.journal"
        journals.mkdir(exist_ok=True)
        for old in journals.iterdir():
            old.unlink()
        base = {
            "PATH": f"{laid / 'bin'}:{os.environ['PATH']}",
            "HOME": str(home / "kept" / name),
            "HOSTNAME": name,
            "LANG": "C.UTF-8",
            "AUTOBOT_DR_LAB_MACHINE": label,
        }
        self.label = label
        plan = json.loads((home / "lab.json").read_text())
        self.address = plan["machines"][name]["address"]
        self.booted_at = 0.0
        self.units = {
            path.stem: Unit(path.stem, path, base, journals / path.stem)
            for path in sorted((laid / "units").glob("*.service"))
        }

    def pids(self) -> list[int]:
        return pids_of(os.getpid(), self.label)

    async def run(self) -> None:
        off = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, off.set)
        # By its bare name from its own folder: a path in a deep home is too long for a socket.
        control = Path(f"{self.units[AGENT].base['HOSTNAME']}.sock")
        control.unlink(missing_ok=True)
        server = await asyncio.start_unix_server(self.serve, path=str(control))
        # In place of an sshd: its port answers while the machine is up.
        door = await asyncio.start_server(_close, host=self.address, port=DOOR_PORT)
        await self.units[AGENT].start()
        self.booted_at = time.monotonic()
        await off.wait()
        server.close()
        door.close()
        await asyncio.gather(*(unit.stop() for unit in self.units.values()))
        control.unlink(missing_ok=True)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reply = await answers.answer(self, json.loads(await reader.readline()))
        answered = {"code": reply.code, "out": reply.out, "err": reply.err}
        # Who asked may have been killed at its deadline; the order was carried out all the same.
        with contextlib.suppress(ConnectionError):
            writer.write(json.dumps(answered).encode())
            await writer.drain()
        writer.close()


async def _close(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


def main(arguments: list[str]) -> None:
    mark, home, name = arguments
    os.chdir(Path(home) / "machines")
    asyncio.run(Supervisor(Path(home), name, mark.partition("=")[2]).run())


if __name__ == "__main__":
    main(sys.argv[1:])

"""A way to a broker whose connections can die in silence, as when a machine or a cable is lost."""

from __future__ import annotations

import socket
import threading

from tests.integration import rig


class DeadEnds(threading.Thread):
    """`cut` leaves all connections there are open, and brings nothing over them any more."""

    def __init__(self, port: int) -> None:
        super().__init__(name="dead-ends", daemon=True)
        self.port, self._far = rig.free_port(), port
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
        self._cuts = 0

    def cut(self) -> None:
        self._cuts += 1

    def close(self) -> None:
        self._listener.close()

    def run(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._far))
            except OSError:
                return
            for ends in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(*ends, self._cuts), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, made: int) -> None:
        try:
            while data := source.recv(65536):
                if made == self._cuts:
                    target.sendall(data)
        except OSError:
            pass
        if made == self._cuts:
            for end in (source, target):
                end.close()

"""A server that keeps its connections, and tells which request came on which."""

import socket
import threading
from typing import List, Tuple

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class Keeper:
    """A server that keeps connections. `asked` has the number of the connection and the method of each
    request, `answers` what is sent instead of `ANSWER`; nothing at all ends the connection. A context
    manager."""

    def __init__(self) -> None:
        self.asked: List[Tuple[int, str]] = []
        self.heads: List[str] = []
        self.answers: List[bytes] = []
        self._connections: List[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = "http://127.0.0.1:%d" % self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def _accept(self) -> None:
        served = []
        while True:
            try:
                connection = self._listener.accept()[0]
            except OSError:
                break
            self._connections.append(connection)
            served.append(threading.Thread(target=self._serve, args=(connection, len(self._connections))))
            served[-1].start()
        for thread in served:
            thread.join(60)

    def _serve(self, connection: socket.socket, number: int) -> None:
        with connection, connection.makefile("rb") as coming:
            while True:
                head = ""
                for line in coming:
                    head += line.decode("latin-1")
                    if line == b"\r\n":
                        break
                if not head.endswith("\r\n\r\n"):
                    return
                sizes = [line for line in head.split("\r\n") if line.lower().startswith("content-length")]
                coming.read(int(sizes[0].split(":")[1]) if sizes else 0)
                self.asked.append((number, head.split(" ")[0]))
                self.heads.append(head)
                answer = self.answers.pop(0) if self.answers else ANSWER
                connection.sendall(answer)
                if not answer:
                    return

    def __enter__(self) -> "Keeper":
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self._thread.join(60)

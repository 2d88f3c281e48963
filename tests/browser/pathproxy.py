"""A proxy that shows a service below a path, as portals do: it takes the path away, or leaves it there."""

from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Set, Tuple
from urllib.parse import urlsplit

_OWN = ("connection", "keep-alive", "transfer-encoding", "te", "upgrade")  # of a connection


class PathProxy:
    """Everything below `path` of `url`, with a slash at its end, comes from `service`."""

    def __init__(self, service: str, path: str, strips: bool) -> None:
        self.path = path
        self.outside: Set[str] = set()  # what was asked for that is not below the path
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            """Passes one request on, and the answer as it comes."""

            def do_GET(self) -> None:
                if not self.path.startswith(path):
                    proxy.outside.add(self.path)
                    return self.send_error(404)
                target = self.path[len(path) - 1:] if strips else self.path
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                upstream = HTTPConnection(str(urlsplit(service).hostname), urlsplit(service).port, timeout=60)
                try:
                    headers = {name: value for name, value in self.headers.items()
                               if name.lower() not in _OWN}
                    upstream.request(self.command, target, body or None, dict(headers, Connection="close"))
                    answer = upstream.getresponse()
                    self.send_response_only(answer.status)
                    for name, value in answer.getheaders():
                        if name.lower() not in _OWN:
                            self.send_header(name, value)
                    self.send_header("Connection", "close")
                    self.end_headers()
                    while True:
                        data = answer.read1(65536)
                        if not data:
                            break
                        self.wfile.write(data)
                        self.wfile.flush()
                except (OSError, HTTPException):
                    pass  # one of the two has gone
                finally:
                    self.close_connection = True
                    upstream.close()

            do_POST = do_GET

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self.url = "http://127.0.0.1:%d%s" % (self._server.server_address[1], path)

    def __enter__(self) -> "PathProxy":
        self._thread.start()
        return self

    def __exit__(self, *_: Tuple[Any, ...]) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

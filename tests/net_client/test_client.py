import gzip
import io
import socket
import ssl
import tempfile
import threading
from pathlib import Path
from typing import Any, BinaryIO, Callable, Iterator, Optional, cast

import pytest

from jd import __version__
from jd.errors import LimitError, ServerRefused, ServerUnreachable, StorageError, UsageError
from jd.net import answers
from jd.net import client as client_module
from jd.net.client import Client, Refusal, UnusableAnswer
from tests.script.stub_server import Answer, StubServer

TOKEN = "a-token-nobody-may-see"


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def raw() -> Iterator[Callable[[bytes], int]]:
    """A listener that answers each connection with given bytes, and then closes it."""
    listeners = []

    def start(answer: bytes) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        return int(listener.getsockname()[1])

    yield start
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


# ---- calls

def test_call_sends_and_returns_json(stub: StubServer) -> None:
    stub.will_answer(Answer(200, {"desired_state": "run", "ä": [1, None]}))
    client = Client(stub.url, lambda: TOKEN)
    assert client.call("POST", "/worker/heartbeat", {"worker_id": "höst_egg_0", "n": 1}) == {
        "desired_state": "run", "ä": [1, None]}
    asked = stub.asked[0]
    assert (asked.method, asked.target) == ("POST", "/worker/heartbeat")
    assert asked.json() == {"worker_id": "höst_egg_0", "n": 1}
    assert asked.headers["Content-Type"] == "application/json"
    assert asked.headers["Authorization"] == "Bearer " + TOKEN
    assert asked.headers["User-Agent"] == "jd-worker/" + __version__
    assert asked.headers["Host"] == "127.0.0.1:%d" % stub.port


def test_query_is_encoded_and_leaves_out_none(stub: StubServer) -> None:
    Client(stub.url + "/jd/").call("GET", "/api/jobs", query={"search": "a b&c", "ids": None, "page": 2})
    assert stub.asked[0].target == "/jd/api/jobs?search=a+b%26c&page=2"
    assert stub.asked[0].headers["Content-Type"] is None
    assert stub.asked[0].headers["Authorization"] is None


def test_token_is_asked_before_every_call(stub: StubServer) -> None:
    tokens = iter(["first-token", "second-token"])
    client = Client(stub.url, lambda: next(tokens))
    client.call("GET", "/job_counts")
    client.call("GET", "/job_counts")
    assert [a.headers["Authorization"] for a in stub.asked] == ["Bearer first-token", "Bearer second-token"]


def test_credentials_in_the_url_are_sent_as_basic_and_never_shown(stub: StubServer) -> None:
    stub.will_answer(Answer(403, {"error": "s3cret is not the password"}))
    client = Client("http://alice:s3cret@127.0.0.1:%d" % stub.port)
    with pytest.raises(ServerRefused) as raised:
        client.call("GET", "/job_counts")
    assert stub.asked[0].headers["Authorization"] == "Basic YWxpY2U6czNjcmV0"
    assert "s3cret" not in str(raised.value) and "alice" not in str(raised.value)


def test_no_content_is_none(stub: StubServer) -> None:
    stub.will_answer(Answer(204, b""))
    assert Client(stub.url).call("DELETE", "/api/experiments/x") is None


def test_what_is_no_json_is_refused_before_anything_is_sent(stub: StubServer) -> None:
    with pytest.raises(UsageError, match="/worker/heartbeat"):
        Client(stub.url).call("POST", "/worker/heartbeat", {"cpu_util": float("nan")})
    assert stub.asked == []


# ---- refusals

def test_refusal_has_status_and_the_servers_words(stub: StubServer) -> None:
    stub.will_answer(Answer(409, {"success": False, "error": "attempt 1 of job 7 is lost"}))
    with pytest.raises(ServerRefused) as raised:
        Client(stub.url).call("POST", "/update_job_status", {})
    assert raised.value.status == 409
    assert str(raised.value) == stub.url + "/update_job_status answered 409: attempt 1 of job 7 is lost"


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b'{"error": 7}', b'{"error": ""}',
                                  b"\xff", b"[" * 50000])
def test_refusal_without_envelope_has_the_status_phrase(stub: StubServer, body: bytes) -> None:
    stub.will_answer(Answer(502, body))
    with pytest.raises(ServerRefused, match="answered 502: Bad Gateway$"):
        Client(stub.url).call("GET", "/job_counts")


def test_token_is_not_repeated_even_if_the_server_does(stub: StubServer) -> None:
    # At the place where long words are cut: half a token is one too many as well.
    stub.will_answer(Answer(401, {"error": "x" * 995 + "%s is no token" % TOKEN}))
    with pytest.raises(ServerRefused) as raised:
        Client(stub.url, lambda: TOKEN).call("GET", "/job_counts")
    assert raised.value.status == 401
    assert TOKEN[:5] not in str(raised.value)


def test_servers_words_cannot_drive_a_terminal(stub: StubServer) -> None:
    stub.will_answer(Answer(400, {"error": "\x1b[2Jbad\nnews" + "x" * 5000}))
    with pytest.raises(ServerRefused) as raised:
        Client(stub.url).call("GET", "/job_counts")
    assert str(raised.value).isprintable() and len(str(raised.value)) < 1200


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_not_followed(stub: StubServer, status: int) -> None:
    where = "http://elsewhere.example:8080/take?session=private"
    stub.will_answer(Answer(status, {}, {"Location": where}))
    with pytest.raises(ServerRefused) as raised:
        Client(stub.url, lambda: TOKEN).call("POST", "/worker/heartbeat", {})
    assert raised.value.status == status
    assert "http://elsewhere.example:8080" in str(raised.value)
    assert "private" not in str(raised.value)
    assert len(stub.asked) == 1


@pytest.mark.parametrize("value, expected", [
    ("7", 7.0), ("3600", 60.0), ("soon", None), ("-1", None), ("\xb2", None), ("9" * 500, 60.0),
    ("Thu, 01 Jan 1970 00:00:30 GMT", 21.0), ("Thu, 01 Jan 1970 00:00:01 GMT", 0.0),
    ("Fri, 31 Dec 9999 23:59:59 GMT", 60.0), (None, None),
])
def test_retry_after(value: Optional[str], expected: Optional[float]) -> None:
    assert answers.retry_after(value, now=9.0) == expected


def test_refusal_carries_retry_after(stub: StubServer) -> None:
    stub.will_answer(Answer(503, {}, {"Retry-After": "12"}))
    with pytest.raises(Refusal) as raised:
        Client(stub.url).call("GET", "/job_counts")
    assert raised.value.retry_after == 12.0


# ---- no answer

def unreachable(port_or_url: Any, **options: Any) -> str:
    url = port_or_url if isinstance(port_or_url, str) else "http://127.0.0.1:%d" % port_or_url
    with pytest.raises(ServerUnreachable) as raised:
        Client(url, lambda: TOKEN).call("GET", "/job_counts", **options)
    assert TOKEN not in str(raised.value)
    return str(raised.value)


def test_refused_connection_says_where_and_what_to_do() -> None:
    port = closed_port()
    told = unreachable(port)
    assert told.startswith("no answer from http://127.0.0.1:%d/job_counts: the connection was refused" % port)
    assert "check that the server runs" in told


def test_silence_ends_at_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert "timed out after 0.05 s" in unreachable(listener.getsockname()[1], timeout=0.05)


def test_unknown_host_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "create_connection", unknown)
    assert "the host name is unknown" in unreachable("http://no-such-host.invalid:5000")


def test_connection_closed_without_an_answer(raw: Callable[[bytes], int]) -> None:
    assert "closed before the answer was complete" in unreachable(raw(b""))


def test_what_does_not_speak_http(raw: Callable[[bytes], int]) -> None:
    assert "does not speak HTTP" in unreachable(raw(b"SSH-2.0-OpenSSH_9.2\r\n"))


@pytest.mark.parametrize("size", [b"-9223372036854775809", b"-5", b"-1", b"", b"g", b"0x5", b"1" * 17])
def test_a_chunk_without_a_size(raw: Callable[[bytes], int], size: bytes) -> None:
    chunk = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%b\r\n{}\r\n0\r\n\r\n" % size
    assert "does not speak HTTP (a chunk of its answer has no size)" in unreachable(raw(chunk))


def test_plain_port_behind_https(raw: Callable[[bytes], int]) -> None:
    assert "TLS" in unreachable("https://127.0.0.1:%d" % raw(b"HTTP/1.1 400 Bad Request\r\n\r\n"))


def test_answer_cut_short_is_no_answer(stub: StubServer) -> None:
    stub.will_answer(Answer(200, {"a": 1}, cut=5))
    assert "closed before the answer was complete" in unreachable(stub.port)


def test_captive_portal_is_told_from_a_server(stub: StubServer) -> None:
    stub.will_answer(Answer(200, b"<html>Log in</html>", {"Content-Type": "text/html"}))
    with pytest.raises(UnusableAnswer, match="text/html that is not JSON.*login page.*check the URL"):
        Client(stub.url).call("GET", "/job_counts")


def test_endless_answer_is_not_read_to_its_end(stub: StubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "MAX_ANSWER_BYTES", 1000)
    stub.will_answer(Answer(200, b"[" + b" " * 2000, cut=10 ** 9))
    with pytest.raises(UnusableAnswer, match="more than 1000 bytes"):
        Client(stub.url).call("GET", "/api/jobs")


# ---- what cannot be used

@pytest.mark.parametrize("token", ["two words", "line\nbreak", "", "ünicode"])
def test_token_that_cannot_be_a_header_is_refused_unseen(stub: StubServer, token: str) -> None:
    with pytest.raises(UsageError) as raised:
        Client(stub.url, lambda: token).call("GET", "/job_counts")
    assert not token or token not in str(raised.value)
    assert stub.asked == []


@pytest.mark.parametrize("url", ["ftp://h", "", "http://h:port", "http://h/?q=1", "http://a b",
                                 "http://h\r\nX: y", "http://u:s3cret@h:99999", "http://h..x\u2024y/"])
def test_url_that_cannot_be_used(url: str) -> None:
    with pytest.raises(UsageError) as raised:
        Client(url)
    assert "s3cret" not in str(raised.value) and "cannot be used; give" in str(raised.value)


def test_ca_bundle_is_the_one_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JD_CA_BUNDLE", str(tmp_path / "missing.pem"))
    with pytest.raises(UsageError, match="JD_CA_BUNDLE: .*missing.pem cannot be used: No such file"):
        Client("https://127.0.0.1:%d" % closed_port()).call("GET", "/job_counts")
    (tmp_path / "empty.pem").write_text("nothing")
    monkeypatch.setenv("JD_CA_BUNDLE", str(tmp_path / "empty.pem"))
    with pytest.raises(UsageError, match="PEM"):
        Client("https://127.0.0.1:%d" % closed_port()).call("GET", "/job_counts")


def test_certificates_are_checked() -> None:
    from jd.net.clienttls import tls_context
    from jd.net.outbound import plain_words
    context = tls_context()
    assert context.verify_mode == ssl.CERT_REQUIRED and context.check_hostname
    error = ssl.SSLCertVerificationError(1, "CERTIFICATE_VERIFY_FAILED")
    error.verify_message = "self signed certificate"
    what, advice = plain_words(error, 1)
    assert "not trusted (self signed certificate)" in what and advice.startswith("set JD_CA_BUNDLE")


# ---- files

def test_upload_streams_a_form(stub: StubServer, tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_bytes(b"\0\r\n--{}")
    Client(stub.url).upload("/upload", {"job_id": "7"}, "file", path, "result.json", 7)
    asked = stub.asked[0]
    assert asked.field("job_id") == "7"
    assert asked.parts()["file"].get_filename() == "result.json"
    assert b"\r\n\r\n\0\r\n--{}\r\n--" in asked.body
    assert int(asked.headers["Content-Length"]) == asked.length


def test_upload_of_a_file_object_starts_at_its_start(stub: StubServer) -> None:
    file = io.BytesIO(b"content")
    file.read()
    Client(stub.url).upload("/upload", {}, "file", file, "x", 7)
    assert b"content" in stub.asked[0].body


def test_upload_of_a_file_that_is_still_being_buffered_sends_what_was_written(stub: StubServer) -> None:
    """The system sends files by itself, and sees only what has left the buffer."""
    with tempfile.TemporaryFile() as file:
        file.write(bytes(100_000))
        file.flush()
        file.seek(0)
        file.write(b"corrected")
        Client(stub.url).upload("/upload", {}, "file", file, "x", 100_000)
    assert b"corrected" in stub.asked[0].body


def test_upload_of_a_file_that_unpacks_another_sends_what_it_reads(stub: StubServer, tmp_path: Path) -> None:
    """Its descriptor is that of the packed one, which the system would send."""
    with gzip.open(str(tmp_path / "packed"), "wb") as made:
        made.write(b"content " * 1000)
    with gzip.open(str(tmp_path / "packed"), "rb") as file:
        Client(stub.url).upload("/upload", {}, "file", cast(BinaryIO, file), "x", 8000)
    assert b"content " * 1000 in stub.asked[0].body


def test_refusal_in_the_middle_of_an_upload_is_heard(stub: StubServer, tmp_path: Path) -> None:
    path = tmp_path / "large"
    with open(path, "wb") as file:
        file.truncate(60 * 1024 * 1024)
    stub.will_answer(Answer(413, {"error": "too large"}, early=True))
    with pytest.raises(ServerRefused) as raised:
        Client(stub.url).upload("/upload", {}, "file", path, "large", 60 * 1024 * 1024)
    assert raised.value.status == 413
    assert not stub.gave_up


def test_server_that_reads_no_more_and_says_nothing_times_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = Client("http://127.0.0.1:%d" % listener.getsockname()[1], timeout=0.05)
        with pytest.raises(ServerUnreachable, match="timed out after 0.05 s"):
            client.upload("/upload", {}, "file", io.BytesIO(bytes(30_000_000)), "x", 30_000_000)


def test_answer_left_by_a_server_that_stopped_reading(raw: Callable[[bytes], int]) -> None:
    answer = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 20\r\n\r\n" + b'{"error":"no token"}'
    with pytest.raises(ServerRefused, match="no token"):
        Client("http://127.0.0.1:%d" % raw(answer)).upload(
            "/upload", {}, "file", io.BytesIO(bytes(30_000_000)), "x", 30_000_000)


def test_unreadable_upload_names_its_file(stub: StubServer, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="missing.txt"):
        Client(stub.url).upload("/upload", {}, "file", tmp_path / "missing.txt", "missing.txt", 1)
    with pytest.raises(StorageError, match="result.bin cannot be read"):
        Client(stub.url).upload("/upload", {}, "file", _Broken(), "result.bin", 10)


class _Broken(io.BytesIO):
    def read(self, *_: Any) -> bytes:
        raise OSError(5, "Input/output error")

    def write(self, *_: Any) -> int:
        raise OSError(28, "No space left on device")


def test_download_streams_into_a_file(stub: StubServer) -> None:
    stub.will_answer(Answer(200, b"x" * 1_000_000))
    to = io.BytesIO()
    assert Client(stub.url).download("/checkpoint/latest", {"job_id": 3}, to, 1_000_000) == 1_000_000
    assert to.getvalue() == b"x" * 1_000_000
    assert stub.asked[0].target == "/checkpoint/latest?job_id=3"


def test_download_over_the_limit_writes_nothing(stub: StubServer) -> None:
    stub.will_answer(Answer(200, b"x" * 1_000_001))
    to = io.BytesIO()
    with pytest.raises(LimitError, match="larger than 1000000 bytes"):
        Client(stub.url).download("/f", None, to, 1_000_000)
    assert to.getvalue() == b""


def test_download_cut_short_is_an_error(stub: StubServer) -> None:
    stub.will_answer(Answer(200, b"half", cut=4))
    with pytest.raises(ServerUnreachable):
        Client(stub.url).download("/f", None, io.BytesIO(), 100)


def test_full_disk_is_not_taken_for_the_network(stub: StubServer) -> None:
    stub.will_answer(Answer(200, b"data"))
    with pytest.raises(StorageError, match="No space left"):
        Client(stub.url).download("/f", None, _Broken(), 100)

"""Downloads, against a server on the loopback that truncates, corrupts, stalls and lies."""

import contextlib
import dataclasses
import hashlib
import io
import tarfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from splitward.cli.data import fetch_command
from splitward.core.errors import DataError, RegistryError
from splitward.core.registry import discover
from splitward.data import fetch as fetch_module
from splitward.data.fetch import Remote, fetch, fetch_all, matches, unpack

CONTENT = np.random.default_rng(0).bytes(300_000)
STALL = 0.4


class Server(ThreadingHTTPServer):
    """Answers ``/BEHAVIOUR...``; keeps what it was asked."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked = []  # (path, Range)
        self.content = CONTENT
        self.over = threading.Event()

    def url(self, behaviour):
        return f"http://127.0.0.1:{self.server_port}/{behaviour}"


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        asked = self.headers.get("Range")
        behaviour = self.path.lstrip("/")
        self.server.asked.append((behaviour, asked))
        content, start = self.server.content, 0
        if behaviour == "missing":
            return self.send_error(404)
        if behaviour == "broken":
            return self.send_error(500)
        if asked and behaviour != "no-ranges":
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(content):
                return self.send_error(416)
        self.send_response(206 if start else 200)
        if start:
            at = 0 if behaviour == "wrong-place" else start
            self.send_header("Content-Range", f"bytes {at}-{len(content) - 1}/{len(content)}")
        if behaviour != "no-length":
            self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.send_body(behaviour, content[start:])

    def send_body(self, behaviour, body):
        first = sum(b == behaviour for b, _ in self.server.asked) == 1
        if behaviour == "corrupt":
            body = body[:1000] + bytes([body[1000] ^ 1]) + body[1001:]
        if behaviour == "truncate" or (behaviour in ("truncate-once", "wrong-place", "no-ranges") and first):
            body = body[: len(body) // 3]
        if behaviour == "stall" or (behaviour == "stall-once" and first):
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            self.server.over.wait(20)
            return
        if behaviour == "too-long":
            body = body * 3
        with contextlib.suppress(OSError):  # the client hung up
            self.wfile.write(body)


@pytest.fixture
def server():
    with Server() as found:
        thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield found
        found.over.set()
        found.shutdown()
        thread.join()


def remote(server, *behaviours, **changes):
    digest = hashlib.sha256(CONTENT).hexdigest()
    made = Remote("set/file.bin", tuple(map(server.url, behaviours)), f"sha256:{digest}", len(CONTENT))
    return dataclasses.replace(made, **changes)


class Watch:
    """A progress that remembers."""

    def __init__(self):
        self.totals, self.done, self.open = [], 0, 0

    def start(self, description, total):
        self.totals.append(total)
        self.done = 0
        self.open += 1

    def advance(self, steps=1, note=""):
        self.done += steps

    def finish(self):
        self.open -= 1


def leftovers(folder):
    return sorted(p.name for p in folder.rglob("*") if p.is_file())


def test_a_download_with_progress_and_no_second_one(server, tmp_path):
    watch = Watch()
    path = fetch(remote(server, "good"), tmp_path, progress=watch, stall=STALL)
    assert path == tmp_path / "set" / "file.bin"
    assert path.read_bytes() == CONTENT
    assert watch.totals == [len(CONTENT)]
    assert watch.done == len(CONTENT)
    assert watch.open == 0
    fetch(remote(server, "good"), tmp_path, stall=STALL)
    assert len(server.asked) == 1
    path.write_bytes(b"damaged later")
    fetch(remote(server, "good"), tmp_path, stall=STALL)
    assert path.read_bytes() == CONTENT


def test_a_truncated_download_is_resumed_where_it_stood(server, tmp_path):
    assert fetch(remote(server, "truncate-once"), tmp_path, stall=STALL).read_bytes() == CONTENT
    assert server.asked == [("truncate-once", None), ("truncate-once", f"bytes={len(CONTENT) // 3}-")]
    assert leftovers(tmp_path) == ["file.bin"]


def test_a_later_call_resumes_what_an_earlier_one_left(server, tmp_path):
    with pytest.raises(DataError, match=r"could not be fetched.*the connection ended after [\d,]+ of 300,000 bytes"):
        fetch(remote(server, "truncate"), tmp_path, stall=STALL)
    assert leftovers(tmp_path) == ["file.bin.part"]
    have = (tmp_path / "set" / "file.bin.part").stat().st_size
    assert 0 < have < len(CONTENT)
    assert fetch(remote(server, "good"), tmp_path, stall=STALL).read_bytes() == CONTENT
    assert server.asked[-1] == ("good", f"bytes={have}-")


def test_a_stalled_connection_is_given_up_and_resumed(server, tmp_path):
    start = time.perf_counter()
    assert fetch(remote(server, "stall-once"), tmp_path, stall=STALL).read_bytes() == CONTENT
    assert time.perf_counter() - start < 10
    assert server.asked[-1] == ("stall-once", f"bytes={len(CONTENT) // 2}-")


def test_a_server_that_always_stalls(server, tmp_path):
    with pytest.raises(DataError, match=r"sent nothing for 0\.4 s"):
        fetch(remote(server, "stall"), tmp_path, stall=STALL)
    assert not (tmp_path / "set" / "file.bin").exists()


def test_corrupted_content_never_gets_its_name(server, tmp_path):
    with pytest.raises(DataError, match="its checksum is wrong"):
        fetch(remote(server, "corrupt"), tmp_path, stall=STALL)
    assert leftovers(tmp_path) == []
    assert len(server.asked) == 1, "the same mirror would send the same again"


def test_mirrors_in_turn(server, tmp_path):
    wanted = remote(server, "missing", "broken", "corrupt", "truncate-once")
    assert fetch(wanted, tmp_path, stall=STALL).read_bytes() == CONTENT
    names = [b for b, _ in server.asked]
    assert names.count("missing") == 1, "404 will stay 404"
    assert names.index("missing") < names.index("broken") < names.index("corrupt") < names.index("truncate-once")


def test_what_a_bad_mirror_left_does_not_spoil_the_next(server, tmp_path):
    part = tmp_path / "set" / "file.bin.part"
    part.parent.mkdir()
    part.write_bytes(b"x" * 1000)
    assert fetch(remote(server, "good"), tmp_path, stall=STALL).read_bytes() == CONTENT
    assert server.asked == [("good", "bytes=1000-"), ("good", None)]


def test_a_finished_part_is_only_renamed(server, tmp_path):
    part = tmp_path / "set" / "file.bin.part"
    part.parent.mkdir()
    part.write_bytes(CONTENT)
    assert fetch(remote(server, "good"), tmp_path, stall=STALL).read_bytes() == CONTENT
    assert leftovers(tmp_path) == ["file.bin"]


@pytest.mark.parametrize("behaviour", ["no-ranges", "no-length"])
def test_servers_that_know_less(server, tmp_path, behaviour):
    assert fetch(remote(server, behaviour), tmp_path, stall=STALL).read_bytes() == CONTENT


def test_a_server_that_continues_elsewhere_is_not_believed(server, tmp_path):
    with pytest.raises(DataError, match="another place"):
        fetch(remote(server, "wrong-place"), tmp_path, stall=STALL)


def test_more_than_announced_is_refused(server, tmp_path):
    server.content = CONTENT + b"more"
    with pytest.raises(DataError, match="offers 300,004 bytes instead of 300,000"):
        fetch(remote(server, "good"), tmp_path, stall=STALL)
    server.content = CONTENT * 2
    with pytest.raises(DataError, match="more than 300,000"):
        fetch(remote(server, "no-length"), tmp_path, stall=STALL)
    assert leftovers(tmp_path) == []


def test_nobody_listens(tmp_path):
    wanted = Remote("file.bin", ("http://127.0.0.1:9/file.bin",), "md5:0")
    with pytest.raises(DataError, match=r"file.bin could not be fetched .*copy it to"):
        fetch(wanted, tmp_path, stall=STALL)


def archive(names, link=None):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = len(name)
            tar.addfile(info, io.BytesIO(name.encode()))
        if link:
            info = tarfile.TarInfo(link)
            info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            tar.addfile(info)
    return buffer.getvalue()


def test_an_archive_is_unpacked_and_not_fetched_again(server, tmp_path):
    server.content = archive(["set/a.bin", "set/b.bin", "../evil", "set/extra"])
    digest = hashlib.md5(server.content).hexdigest()
    wanted = Remote("set.tar.gz", (server.url("good"),), f"md5:{digest}", members=("set/a.bin", "set/b.bin"))
    fetch_all([wanted], tmp_path / "data", stall=STALL)
    assert leftovers(tmp_path) == ["a.bin", "b.bin"]
    assert (tmp_path / "data" / "set" / "a.bin").read_text() == "set/a.bin"
    fetch_all([wanted], tmp_path / "data", stall=STALL)
    assert len(server.asked) == 1


def test_archives_that_do_not_hold_what_they_should(tmp_path):
    path = tmp_path / "set.tar.gz"
    path.write_bytes(archive(["set/a.bin"], link="set/b.bin"))
    with pytest.raises(DataError, match="no regular file"):
        unpack(path, ["set/b.bin"], tmp_path)
    with pytest.raises(DataError, match="cannot be unpacked"):
        unpack(path, ["set/c.bin"], tmp_path)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match="cannot be unpacked"):
        unpack(path, ["set/c.bin"], tmp_path)


def test_the_catalogue_is_well_formed():
    for source in discover("dataset").values():
        for file in getattr(source, "files", ()):
            algorithm, _, digest = file.checksum.partition(":")
            assert len(digest) == hashlib.new(algorithm).digest_size * 2
            assert file.urls
            assert all(url.startswith(("https://", "http://fashion-mnist.s3-website")) for url in file.urls)


def test_the_command_fetches_into_the_data_directory(server, tmp_path, monkeypatch, capsys):
    source = discover("dataset")["mnist"]
    monkeypatch.setattr(source, "files", (remote(server, "good"),))
    monkeypatch.setattr(fetch_module, "STALL_SECONDS", STALL)
    fetch_command(["mnist", "digits"], tmp_path)
    said = capsys.readouterr().out
    assert "mnist: complete and verified" in said
    assert "digits: comes with the installed packages" in said
    assert matches(tmp_path / "set" / "file.bin", remote(server).checksum)
    with pytest.raises(RegistryError, match="no dataset named 'mnits'"):
        fetch_command(["mnits"], tmp_path)

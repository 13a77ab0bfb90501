"""Files that are whole or absent, and what identifies their content."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from roftmol.core.errors import UserError

#: What a place to write to can say, and what helps.
_REFUSALS = {
    errno.ENOSPC: "make room",
    errno.EDQUOT: "make room within your quota",
    errno.EFBIG: "raise the limit for the size of a file (ulimit -f)",
    errno.EROFS: "choose a folder that can be written to",
    errno.EACCES: "choose a folder that you may write to",
    errno.EPERM: "choose a folder that you may write to",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENOTDIR: "choose a folder that is one",
    errno.EEXIST: "choose a folder that is one",
    errno.ELOOP: "name a file whose link does not lead to itself",
    errno.ENXIO: "name a file or a pipe",
}
#: Where a process finds its open files by their numbers, or by what they stand for.
_DESCRIPTORS = (Path("/dev/fd"), Path("/proc/self/fd"))
_STANDARD = (Path("/dev/stdout"), Path("/dev/stderr"), Path("/dev/stdin"))
CHUNK_BYTES = 1 << 16  # what is read or written at a time
#: The longest name of a file that file systems take, in bytes.
LONGEST_NAME = 255
_UMASK = os.umask(0o022)
os.umask(_UMASK)


@contextmanager
def atomic(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it is renamed to `path` when the block ends without an error.

    A reader sees the old file or the new one, never a part, also after a power cut; an error leaves no trace. A link
    stays, and what it leads to is written. What is no regular file, such as a pipe or a device, is written to as it is.
    Raises `UserError` if the place cannot be written to, is full, or is a folder.
    """
    if not os.fspath(path):
        raise UserError("the file to write has no name. Name one.")
    given = Path(path)
    if stream := is_stream(given):
        path = temporary = given
    else:
        path, temporary = _places(given)
    try:
        if not stream:
            path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if not stream:
            with open(temporary, "r+b") as written:  # Windows syncs only what is open for writing
                os.fsync(written.fileno())
            # Some writers make files that only their owner can read; results are shared.
            temporary.chmod(0o666 & ~_UMASK)
            os.replace(temporary, path)
    except Exception as error:
        if (code := _refusal(error, temporary)) is None:
            raise
        raise UserError(
            f"{given}: cannot be written ({os.strerror(code)}). Nothing that was finished is lost; {_REFUSALS[code]} "
            "and run again."
        ) from error
    finally:
        if not stream:
            with suppress(OSError):  # where nothing could be written, nothing has to be removed
                temporary.unlink(missing_ok=True)


def _places(given: Path) -> tuple[Path, Path]:
    """Return the file that a path or its link leads to, and its temporary name.

    Raises `UserError` for a folder, a link that leads to itself, and a name that is too long.
    """
    if len(os.fsencode(given.name)) > LONGEST_NAME:
        raise UserError(f"{given}: its name is longer than {LONGEST_NAME} bytes. Choose a shorter one.")
    try:
        folder = given.is_dir()
        path = given.resolve()
    except (OSError, RuntimeError) as error:
        raise UserError(f"{given}: cannot be written ({error}). Name another file.") from error
    if folder:
        raise UserError(f"{given}: it is a folder. Name a file in it.")
    # The name of the temporary file is longer, and a name that is as long as can be is still a name.
    return path, path.with_name(f".{path.name[:40]}.{os.getpid()}.tmp")


def is_stream(path: Path | str) -> bool:
    """Return whether a path is of a pipe, a device or an open file descriptor, which no other file can replace."""
    path = Path(path)
    if path.parent in _DESCRIPTORS or path in _STANDARD:
        return True
    try:
        mode = path.stat().st_mode
    except OSError:  # what is not there yet is made as a regular file
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def _refusal(error: Exception, temporary: Path) -> int | None:
    """Return the error number of a path that cannot be written to; None for any other error, such as one of reading."""
    if isinstance(error, OSError) and error.errno is not None:
        written_to = (str(temporary), *map(str, temporary.parents))
        code = error.errno if error.filename is None or str(error.filename) in written_to else None
    else:  # writers in Rust and C++ only say it
        said = re.search(r"(?:os error|errno) (\d+)", str(error), re.IGNORECASE)
        code = int(said[1]) if said else None
    return code if code in _REFUSALS else None


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside `path`; it is renamed to `path` when the block ends without an error.

    `path` must not be there. An error leaves no trace.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.mkdir(parents=True)
    try:
        yield temporary
        os.rename(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def sha256(path: Path | str) -> str:
    """Return a file's SHA-256 in hexadecimal."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def git_blob(path: Path) -> str:
    """Return the object id that git gives a file's content: SHA-1 of "blob", its size and itself."""
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with open(path, "rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def canonical_json(value: Any) -> str:
    """Return JSON with sorted keys and no spaces: equal values have equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any) -> str:
    """Return a short name for a JSON value: 16 hexadecimal digits of the SHA-256 of its canonical text."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:16]

"""Files that are whole or absent, and what identifies their content."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
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
}
_UMASK = os.umask(0o022)
os.umask(_UMASK)


@contextmanager
def atomic(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it is renamed to `path` when the block ends without an error.

    A reader sees the old file or the new one, never a part, also after a power cut; an error leaves no trace. Raises
    `UserError` if the place cannot be written to, or is full.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with open(temporary, "rb") as stream:
            os.fsync(stream.fileno())
        # Some writers make files that only their owner can read; results are shared.
        temporary.chmod(0o666 & ~_UMASK)
        os.replace(temporary, path)
    except Exception as error:
        if (code := _refusal(error, temporary)) is None:
            raise
        raise UserError(
            f"{path}: cannot be written ({os.strerror(code)}). Nothing that was finished is lost; {_REFUSALS[code]} "
            "and run again."
        ) from error
    finally:
        with suppress(OSError):  # where nothing could be written, nothing has to be removed
            temporary.unlink(missing_ok=True)


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


def canonical_json(value: Any) -> str:
    """Return JSON with sorted keys and no spaces: equal values have equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any) -> str:
    """Return a short name for a JSON value: 16 hexadecimal digits of the SHA-256 of its canonical text."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:16]

"""A checksum of a Parquet file's footer, which the format lacks; its own are of the pages.

The footer says which columns there are, where their pages lie, how many rows these hold, and what made the file. Where
it is damaged, a table may have fewer rows, or name another program or configuration that made it. Readers find it from
the end of the file and pass over what stands before it, so its SHA-256 can stand there:

    PAR1 | pages | MARK, SHA-256 | footer, its length, PAR1

A file without MARK was written before there was any, or by another program, and is read as it is.
"""

from __future__ import annotations

import hashlib
import mmap
import os
from pathlib import Path

MARK = b"SHA-256 of what follows:"
#: Bytes of a SHA-256, and of the footer's length and the format's name, with which a file ends.
_DIGEST, _END = 32, 8


def seal(path: Path | str) -> None:
    """Write the footer's checksum into a Parquet file that is whole and has none yet."""
    with open(path, "r+b") as file:
        end = file.seek(-_END, os.SEEK_END)
        file.seek(end - int.from_bytes(file.read(4), "little"))
        footer = file.read()
        file.seek(-len(footer), os.SEEK_END)
        file.write(MARK + hashlib.sha256(footer).digest() + footer)


def fault(path: Path | str) -> str:
    """Return why a file's footer is not what was written; "" if it is, or if the file has no checksum."""
    with open(path, "rb") as file:
        if not os.fstat(file.fileno()).st_size:
            return "it is empty"
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
            # It is looked for from the end, and not where the footer is said to begin: that may be damaged too.
            at = whole.rfind(MARK)
            if at < 0:
                return ""
            start = at + len(MARK) + _DIGEST
            same = hashlib.sha256(whole[start:]).digest() == whole[at + len(MARK) : start]
    return "" if same else "its footer is not what was written"

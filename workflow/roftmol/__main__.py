"""`python -m roftmol`, and the command `roftmol`."""

import gc
import os
import signal
from types import FrameType


def main() -> None:
    """Run one command, as `cli.main` says; Ctrl-C ends it in one line from the beginning on."""
    # What a command needs takes a second to import. An interrupt in there would be told with all that was on its way.
    heard = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if heard:
        signal.signal(signal.SIGINT, _end)
    from roftmol.cli.main import main as run

    if heard:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        run()
    finally:
        # When Python ends, it looks through all that was imported for what nobody refers to: a second where torch was.
        gc.freeze()


def _end(number: int, _frame: FrameType | None) -> None:
    """End the process at once: nothing was begun that has to be ended."""
    try:
        os.write(2, b"interrupted: nothing was begun.\n")
    finally:
        os._exit(128 + number)


if __name__ == "__main__":
    main()

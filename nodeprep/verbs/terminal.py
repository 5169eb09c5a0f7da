"""The terminal: what a person at one gets that a file or a program does not: colour, and a screen that follows.

Colour is shown on a terminal only, and never where NO_COLOR is set (https://no-color.org) or TERM is dumb.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

AGAIN_S = 1.0
CODES = {"good": "32", "doubtful": "33", "bad": "31"}
OF_STATE = {"ready": "good", "starting": "doubtful", "degraded": "doubtful", "held": "bad"}


def is_coloured() -> bool:
    """Whether standard output may have colour."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"


def paint(text: str, kind: str) -> str:
    """Return a text in the colour of its kind: good, doubtful or bad; as it is where there is no colour."""
    return f"\x1b[{CODES[kind]}m{text}\x1b[0m" if kind in CODES and is_coloured() else text


def follow(show: Callable[[], tuple[str, int]], *, as_json: bool) -> int:
    """Print what `show` returns whenever it has changed, until interrupted; return the last exit code.

    On a terminal each takes the place of the one before; a program gets one line after the other.
    """
    import time  # noqa: PLC0415 (of no use to who asks once)

    shown, code = "", 0
    while True:
        text, code = show()
        if text != shown:
            clear = "\x1b[H\x1b[2J" if sys.stdout.isatty() and not as_json else ""
            print(clear + text, end="", flush=True)
            shown = text
        try:
            time.sleep(AGAIN_S)
        except KeyboardInterrupt:
            return code


def say_again(text: str) -> None:
    """Show on a terminal how far something is that takes longer than a second, in place of what was said before."""
    if sys.stderr.isatty():
        width = os.get_terminal_size(sys.stderr.fileno()).columns or 80  # a line that wraps is not taken back
        print(f"\r\x1b[K{text[: width - 1]}", end="", file=sys.stderr, flush=True)


def progress(done: int, total: int) -> None:
    """Show how many ports were tried; nothing any more once all are."""
    say_again(f"{done} of {total} ports tried" if done < total else "")

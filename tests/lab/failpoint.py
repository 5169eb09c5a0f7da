"""A failpoint for nodeprep: stops it before its n-th effect on the disk or on the running system, for a power cut.

Runs inside a machine in place of a service's own command; nodeprep itself has no such hook. Arguments: the run
("early", "main" or "seal") and n; 0 never stops. The number of effects so far stands in /run/failpoint; it ends with
"!" when stopped.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any

MARK = "/run/failpoint"


def main() -> int:
    """Run one of the two runs with the failpoint in place."""
    which, stop = sys.argv[1], int(sys.argv[2])
    sys.path.append("/usr/lib/python3/dist-packages")
    install(stop)
    if which == "early":
        from nodeprep import early

        return early.main()
    if which == "seal":
        from nodeprep.verbs import seal

        return seal.carry_out(seal.Request())
    from nodeprep import daemon
    from nodeprep.host import foreman

    here = os.path.dirname(os.path.abspath(__file__))
    hook = f"sys.path.append({here!r}); import failpoint; failpoint.install({stop}); "
    foreman.PROGRAM = foreman.PROGRAM.replace("from nodeprep", f"{hook}from nodeprep")
    return daemon.main(foreman.Foreman())


def install(stop: int) -> None:
    """Count the effects of this process after those of the ones before it, and stop it before that one."""
    from nodeprep import apply

    def counted(effect: Callable[..., Any]) -> Callable[..., Any]:
        def before(*arguments: Any, **named: Any) -> Any:
            if not any(str(argument).startswith("/run/") for argument in arguments):
                count = so_far() + 1
                with open(MARK, "w", encoding="ascii") as mark:
                    mark.write(f"{count}{'!' if count == stop else ''}")
                while count == stop:
                    time.sleep(60)
            return effect(*arguments, **named)

        return before

    apply.perform = counted(apply.perform)
    os.rename = counted(os.rename)


def so_far() -> int:
    """Return the number of effects."""
    try:
        with open(MARK, encoding="ascii") as mark:
            return int(mark.read().rstrip("!"))
    except FileNotFoundError:
        return 0


if __name__ == "__main__":
    sys.exit(main())

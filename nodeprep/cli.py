"""The command line: finds the verb that was typed, in nodeprep/verbs, and runs it. Decides nothing.

`nodeprep status` is typed often and by machines, so arguments are not read by argparse, which takes longer to import
than the rest of that verb to run (tests/bench). Exit codes: 0 done, or ready; 1 failed, or held; 2 degraded; 3 the wait
timed out; 4 not running or disabled; 64 usage (sysexits(3)).
"""

from __future__ import annotations

import os
import sys

from nodeprep.errors import NodeprepError
from nodeprep.verbs import VERBS, UsageError, Verb, overview, usage

EXIT_FAILED, EXIT_USAGE = 1, 64


def main() -> int:
    """Run the verb that was typed and return the exit code."""
    try:
        code = run(sys.argv[1:])
        sys.stdout.flush()  # here, where a reader that is gone is no fault, and not when the interpreter ends
        return code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # `nodeprep status | head` is no fault
        return 0


def run(words: list[str]) -> int:
    """Run a verb and return the exit code."""
    if not words or words[0] in ("--help", "-h", "help"):
        named = VERBS.get(words[1]) if len(words) > 1 else None
        print(usage(named) if named else overview(), end="")
        return 0 if words else EXIT_USAGE
    if words[0] == "--version":
        from nodeprep import __version__  # noqa: PLC0415 (what no verb needs)

        print(__version__)
        return 0
    verb = VERBS.get(words[0])
    if verb is None:
        return _misused(f"there is no verb {words[0]!r}", overview())
    if "--help" in words or "-h" in words:
        print(usage(verb), end="")
        return 0
    try:
        return _carry_out(verb, words[1:])
    except UsageError as error:
        return _misused(str(error), usage(verb))
    except NodeprepError as error:
        print(f"nodeprep: {error}", file=sys.stderr)
        return EXIT_FAILED


def _carry_out(verb: Verb, words: list[str]) -> int:
    typed = verb.parse(words)
    module = __import__(f"nodeprep.verbs.{verb.name}", fromlist=["main"])  # what the other verbs need costs nothing
    if verb.only_root and os.geteuid() != 0:
        raise NodeprepError(f"{verb.name}: {verb.only_root}: run it as root")
    code: int = module.main(typed)
    return code


def _misused(problem: str, help_text: str) -> int:
    print(f"nodeprep: {problem}\n\n{help_text}", end="", file=sys.stderr)
    return EXIT_USAGE


if __name__ == "__main__":
    sys.exit(main())

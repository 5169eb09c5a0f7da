"""The verbs an operator types. Renders, decides nothing.

`nodeprep status` is typed often and by machines: it imports `json` and nothing heavier, so arguments are read by hand.
Exit codes: 0 ready, 1 failed, 2 degraded, 3 the wait timed out, 4 not running or disabled, 64 usage (sysexits(3)).
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # `typing` itself costs a third of what `nodeprep status` does
if TYPE_CHECKING:
    from typing import Any

STATUS_FILE = "/run/nodeprep/status.json"
DISABLED_FILE = "/etc/nodeprep/disabled"
SEALED_FILE = "/run/nodeprep/sealed"
EXIT = {"ready": 0, "held": 1, "starting": 1, "degraded": 2}
EXIT_TIMEOUT, EXIT_NOT_RUNNING, EXIT_USAGE = 3, 4, 64

USAGE = """\
nodeprep gives a cloned machine an identity of its own.

  nodeprep status [--json] [--long] [--wait [--timeout SECONDS]]   is this node ready, and what is it
  nodeprep peers [--json] [--watch]          which machines of the fleet are there, and what they contest
  nodeprep doctor [--all] [--peer ADDRESS]... [--json]
                                             is this node reachable as its roles need it; a peer tries it
  nodeprep plan [--json]                     what would be done at the next boot, and why; does nothing
  nodeprep decide renew|keep                 what this machine is, where it cannot tell: a copy, or the machine itself
  nodeprep ports [--role ROLE]... [--format table|json|nft|iptables|ufw|firewalld|aws|gcp|azure|terraform]
                                             what roles need open, and from whom, also for those who apply it elsewhere
  nodeprep explain CODE                      what a code in status or journal means, and the remedy
  nodeprep seal [--root DIR] [--dry-run] [--keep-fleet-key] [--reset-joined] [--poweroff]
                                             take this machine's identity out of the image that is to be cloned
  nodeprep seal --check [--root DIR] [--json]   what is still baked in
  nodeprep key show-id                       which fleet keys this node accepts; never shows a key
  nodeprep key rotate [--add [--from FILE] | --switch ID | --finish ID [--force]]
                                             change the fleet key of nodes that run, and what is next
  nodeprep history [--json]                  what renewals replaced on this machine, and where it lies
  nodeprep restore RUN [ARTEFACT...]         bring it back, of one run, all or some artefacts
  nodeprep release [--json] [NAME]           give up this machine's claims in the registry, or free those to the name
                                             or address of a machine that is gone
  nodeprep adopt                             take this machine's identity as its own, as it is
  nodeprep daemon                            the service; systemd starts it
  nodeprep --version
"""


def main() -> int:
    """Run the verb that was typed and return the exit code."""
    try:
        code = run_verb(sys.argv[1:])
        sys.stdout.flush()  # here, where a reader that is gone is no fault, and not when the interpreter ends
        return code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # `nodeprep status | head` is no fault
        return 0


def run_verb(arguments: list[str]) -> int:
    """Run a verb and return the exit code."""
    verb = arguments[0] if arguments else "--help"
    match verb:
        case "status":
            return status(arguments[1:])
        case "peers":
            return peers(arguments[1:])
        case "doctor":
            return doctor(arguments[1:])
        case "plan":
            return plan(arguments[1:])
        case "decide":
            return decide(arguments[1:])
        case "explain":
            return explain(arguments[1:])
        case "ports":
            return ports(arguments[1:])
        case "seal":
            return seal(arguments[1:])
        case "key":
            return key(arguments[1:])
        case "history":
            return history(arguments[1:])
        case "restore":
            return restore(arguments[1:])
        case "release":
            from nodeprep import release  # noqa: PLC0415 (what no other verb needs)

            return release.main(arguments[1:], usage)
        case "adopt":
            from nodeprep import preview  # noqa: PLC0415

            return preview.adopt()
        case "daemon":
            from nodeprep import daemon  # noqa: PLC0415 (250 ms that no other verb pays)

            return daemon.main()
        case "--version":
            from nodeprep import __version__  # noqa: PLC0415

            print(__version__)
            return 0
        case "--help" | "-h" | "help":
            print(USAGE, end="")
            return 0 if arguments else EXIT_USAGE
        case _:
            return usage(f"there is no verb {verb!r}")


def usage(problem: str) -> int:
    """Say what is wrong with the arguments."""
    print(f"nodeprep: {problem}\n\n{USAGE}", end="", file=sys.stderr)
    return EXIT_USAGE


def status(arguments: list[str]) -> int:
    """Show the status file, for any user."""
    flags = {"--json": False, "--long": False, "--wait": False}
    timeout_s = float("inf")
    rest = iter(arguments)
    for argument in rest:
        if argument in flags:
            flags[argument] = True
        elif argument == "--timeout" or argument.startswith("--timeout="):
            text = argument.partition("=")[2] or next(rest, "")
            try:
                timeout_s = float(text)
            except ValueError:
                timeout_s = float("nan")
            if timeout_s != timeout_s:  # not a number
                return usage(f"--timeout takes seconds, not {text!r}")
        else:
            return usage(f"status: there is no option {argument!r}")
    document = read()
    if flags["--wait"]:
        document, timed_out = wait(document, timeout_s)
        if timed_out:
            print(f"nodeprep: not ready within {timeout_s:g} s", file=sys.stderr)
            return EXIT_TIMEOUT
    if document is None or os.path.exists(SEALED_FILE):
        return not_running(as_json=flags["--json"])
    if flags["--json"]:
        import json  # noqa: PLC0415

        print(json.dumps(document, indent=2))
    else:
        from nodeprep.screen import render  # noqa: PLC0415 (of no use to --json)

        print(render(document, long=flags["--long"]), end="")
    return EXIT.get(document["state"], 1)


def read() -> dict[str, Any] | None:
    """Return the status document, or None where there is none or it cannot be read."""
    import json  # noqa: PLC0415 (13 ms that `--version` and `daemon` need not pay first)

    try:
        with open(STATUS_FILE, encoding="utf-8") as file:
            document = json.load(file)
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) else None


def wait(document: dict[str, Any] | None, timeout_s: float) -> tuple[dict[str, Any] | None, bool]:
    """Wait until the node is ready; return the last document and whether the time ran out."""
    import time  # noqa: PLC0415

    until_s = time.monotonic() + timeout_s
    while not disabled() and (document is None or document["state"] not in ("ready", "degraded")):
        if time.monotonic() >= until_s:
            return document, True
        time.sleep(0.2)
        document = read()
    return document, False


def disabled() -> str | None:
    """Return which off-switch is set, or None."""
    if os.path.exists(DISABLED_FILE):
        return DISABLED_FILE
    for path in ("/proc/cmdline", "/proc/1/cmdline"):  # in a container systemd looks at PID 1's own arguments
        try:
            with open(path, encoding="ascii", errors="replace") as file:
                if "nodeprep=off" in file.read().replace("\0", " ").split():
                    return "nodeprep=off on the kernel command line"
        except OSError:
            continue
    return None


def not_running(*, as_json: bool) -> int:
    """Say why there is no status."""
    state, summary = "not-running", "not running; see `systemctl status nodeprep.service`"
    if os.path.exists(SEALED_FILE):
        state, summary = "sealed", "sealed: this template only waits to be powered off"
    elif switch := disabled():
        state, summary = "disabled", f"disabled by {switch}"
    if as_json:
        import json  # noqa: PLC0415

        print(json.dumps({"schema": 1, "state": state, "summary": summary}))
    else:
        print(f"nodeprep: {summary}")
    return EXIT_NOT_RUNNING


def explain(arguments: list[str]) -> int:
    """Explain a code."""
    from nodeprep.messages import BY_CODE, explain  # noqa: PLC0415

    text = explain(arguments[0]) if len(arguments) == 1 else None
    if text is None:
        return usage(f"explain takes one of the codes {', '.join(BY_CODE)}")
    print(text, end="")
    return 0


def peers(arguments: list[str]) -> int:
    """Show who is there, for any user."""
    from nodeprep import roster  # noqa: PLC0415 (of no use to `status`)

    wrong = set(arguments) - {"--json", "--watch"}
    return usage("peers takes --json and --watch only") if wrong else roster.main(arguments, read, not_running)


def doctor(arguments: list[str]) -> int:
    """Have a peer try this node's openings."""
    from nodeprep import doctor  # noqa: PLC0415 (what no other verb needs)

    request = doctor.parse(arguments)
    return usage(request) if isinstance(request, str) else doctor.main(request)


def plan(arguments: list[str]) -> int:
    """Show what the next boot would do; does nothing."""
    if arguments not in ([], ["--json"]):
        return usage("plan takes no argument but --json")
    from nodeprep import preview  # noqa: PLC0415 (what no other verb needs)

    return preview.main(as_json=bool(arguments))


def ports(arguments: list[str]) -> int:
    """Show what the roles need open."""
    from nodeprep import ports  # noqa: PLC0415 (what no other verb needs)

    request = ports.parse(arguments)
    return usage(request) if isinstance(request, str) else ports.main(request)


def seal(arguments: list[str]) -> int:
    """Take the identity out of an image, or say what is still in it."""
    from nodeprep import template  # noqa: PLC0415 (what no other verb needs)

    request = template.parse(arguments)
    return usage(request) if isinstance(request, str) else template.main(request)


def key(arguments: list[str]) -> int:
    """Show or change the fleet key."""
    from nodeprep import key  # noqa: PLC0415 (what no other verb needs)

    request = key.parse(arguments)
    return usage(request) if isinstance(request, str) else key.main(request)


def history(arguments: list[str]) -> int:
    """Show what the attic holds."""
    if arguments not in ([], ["--json"]):
        return usage("history takes no argument but --json")
    from nodeprep import history  # noqa: PLC0415 (what no other verb needs)

    return history.history(as_json=bool(arguments))


def restore(arguments: list[str]) -> int:
    """Bring back what a run replaced."""
    if not arguments or any(argument.startswith("-") for argument in arguments):
        return usage("restore takes a run, as `nodeprep history` names it, and artefacts of it")
    from nodeprep import history  # noqa: PLC0415

    return history.restore(arguments[0], arguments[1:])


def decide(arguments: list[str]) -> int:
    """Follow an operator's word on what this machine is."""
    if arguments not in (["renew"], ["keep"]):
        return usage("decide takes renew or keep")
    if disabled():
        return not_running(as_json=False)
    from nodeprep import decide  # noqa: PLC0415 (what no other verb needs)

    return decide.main(arguments[0])


if __name__ == "__main__":
    sys.exit(main())

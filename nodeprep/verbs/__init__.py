"""The verbs an operator types: what each takes, as data; what each does is in the module of its name beside this one.

The command line, its help, the completions and the manual page are made from this table, so that they cannot part. It
is read whenever anybody types `nodeprep status`, and therefore imports nothing (facts on that: tests/bench).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class UsageError(Exception):
    """What is wrong with what was typed."""


class Option:
    """An option of a verb: a flag, or with `value` one that takes a value of that name.

    `many`: it may be repeated. `choices`: what the value may be. `path`: it is a file or a folder.
    """

    __slots__ = ("choices", "many", "name", "path", "value", "what")

    def __init__(
        self, name: str, what: str, value: str = "", *, many: bool = False, choices: Sequence[str] = (),
        path: bool = False,
    ) -> None:  # fmt: skip
        self.name, self.what, self.value = name, what, value
        self.many, self.choices, self.path = many, choices, path


class Verb:
    """A verb: its one-line summary, options, and operands as the usage writes them (`RUN [ARTEFACT...]`, `renew|keep`).

    `only_root` says what for, if it is for root only. Which options go together the verb itself checks.
    """

    __slots__ = ("name", "only_root", "operands", "options", "what")

    def __init__(
        self, name: str, what: str, options: Iterable[Option] = (), operands: str = "", only_root: str = "",
    ) -> None:  # fmt: skip
        self.name, self.what, self.operands, self.only_root = name, what, operands, only_root
        self.options = {option.name: option for option in options}

    @property
    def choices(self) -> tuple[str, ...]:
        """Return what the first operand may be, if that is fixed."""
        first = self.operands.partition(" ")[0].strip("[]")
        return tuple(first.split("|")) if "|" in first else ()

    def parse(self, words: Iterable[str]) -> Typed:
        """Return what was typed after the verb. Raises UsageError."""
        typed, rest = Typed(), iter(words)
        for word in rest:
            if word == "--":
                typed.operands += rest
            elif word.startswith("-") and word != "-":
                self._take(word, rest, typed)
            else:
                typed.operands.append(word)
        self._check(typed.operands)
        return typed

    def _take(self, word: str, rest: Iterable[str], typed: Typed) -> None:
        name, equals, value = word.partition("=")
        option = self.options.get(name)
        if option is None or (equals and not option.value):
            raise UsageError(f"{self.name}: there is no option {word!r}")
        if not option.value:
            typed.options[name] = [""]
            return
        if not equals:
            value = next(iter(rest), "")
        if not value:
            raise UsageError(f"{self.name}: {name} takes {option.value}")
        if option.choices and value not in option.choices:
            raise UsageError(f"{self.name}: {name} takes one of {', '.join(option.choices)}, not {value!r}")
        typed.options[name] = [*typed.options.get(name, ()), value] if option.many else [value]

    def _check(self, operands: Sequence[str]) -> None:
        named = self.operands.split()
        least = sum(not each.startswith("[") for each in named)
        most = len(operands) if self.operands.endswith("...]") else len(named)
        if self.choices and operands and operands[0] not in self.choices:
            raise UsageError(f"{self.name}: takes {' or '.join(self.choices)}, not {operands[0]!r}")
        if not least <= len(operands) <= most:
            raise UsageError(f"{self.name}: takes {self.operands or 'no operand'}")


class Typed:
    """What was typed after a verb: `name in typed` for a flag, its values, and what is no option."""

    __slots__ = ("operands", "options")

    def __init__(self) -> None:
        self.options: dict[str, list[str]] = {}
        self.operands: list[str] = []

    def __contains__(self, name: str) -> bool:
        return name in self.options

    @property
    def as_json(self) -> bool:
        """Whether a program asks."""
        return "--json" in self.options

    def value(self, name: str, default: str = "") -> str:
        """Return the (last) value of an option."""
        return self.options.get(name, [default])[-1]

    def values(self, name: str) -> tuple[str, ...]:
        """Return all the values of an option."""
        return tuple(self.options.get(name, ()))


JSON = Option("--json", "for programs: one document of JSON, with the version of its schema")
FORMATS = (
    "table", "json", "nft", "iptables", "ufw", "firewalld", "aws", "gcp", "azure", "terraform",
    "terraform-aws", "terraform-gcp", "terraform-azure",
)  # fmt: skip

VERBS = {
    verb.name: verb
    for verb in (
        Verb(
            "status",
            "is this node ready, and what is it",
            (
                JSON,
                Option("--long", "everything that is known, of each artefact"),
                Option("--wait", "until the node is ready, or was and is degraded"),
                Option("--timeout", "how long to wait; exit code 3 after that", "SECONDS"),
                Option("--watch", "again whenever it changes, until interrupted"),
            ),
        ),
        Verb(
            "peers",
            "which machines of the fleet are there, and what they contest",
            (JSON, Option("--watch", "again whenever it changes, until interrupted")),
        ),
        Verb(
            "doctor",
            "is this node reachable as its roles need it; a peer tries it",
            (
                Option("--all", "every port of the wide ranges, not samples"),
                Option("--peer", "this peer is asked, by its MAC or ADDRESS:PORT", "ADDRESS", many=True),
                JSON,
            ),
            only_root="it opens ports and listens on links",
        ),
        Verb(
            "plan",
            "what would be done at the next boot, and why; does nothing",
            (JSON,),
            only_root="it reads host keys and the stamp",
        ),
        Verb(
            "apply",
            "judge again and do now what `plan` shows; of a node that is ready nothing is renewed before its next boot",
            (JSON, Option("--long", "everything that is known, of each artefact")),
            only_root="it starts the service anew",
        ),
        Verb(
            "decide",
            "what this machine is, where it cannot tell: a copy, or the machine itself",
            (JSON,),
            "renew|keep",
            only_root="it may change what this machine is",
        ),
        Verb(
            "ports",
            "what roles need open, and from whom, also for those who apply it elsewhere",
            (
                Option("--role", "of these roles instead of the node's own", "ROLE", many=True),
                Option("--format", "how it is written", "FORMAT", choices=FORMATS),
                JSON,
            ),
        ),
        Verb(
            "explain",
            "what a code in status or journal means, and the remedy; without one, which there are",
            (JSON,),
            "[CODE]",
        ),
        Verb(
            "seal",
            "take this machine's identity out of the image that is to be cloned",
            (
                Option("--check", "only say what is still baked in; exit code 1 if anything is"),
                Option("--root", "the image that is mounted there, not the running template", "DIR", path=True),
                Option("--dry-run", "show the steps; do nothing"),
                Option("--keep-fleet-key", "leave the fleet key as it is, for images of one fleet"),
                Option("--reset-joined", "take a membership of a cluster out of the image as well"),
                Option("--poweroff", "power the running template off afterwards"),
                Option("--mark", "only make the next boot a first boot (what `cloud-init clean` asks for)"),
                JSON,
            ),
            only_root="it reads and removes what is root's",
        ),
        Verb(
            "key",
            "which fleet keys this node accepts, or the change of the key on nodes that run; never shows a key",
            (
                Option("--add", "accept one more key: of a file, or a new one"),
                Option("--from", "the file that has it; - is standard input", "FILE", path=True),
                Option("--switch", "speak the key of this ID, accept both", "ID"),
                Option("--finish", "drop all keys but the one of this ID", "ID"),
                Option("--force", "drop them although a peer still speaks one"),
                JSON,
            ),
            "show-id|rotate",
        ),
        Verb(
            "history",
            "what renewals replaced on this machine, and where it lies",
            (JSON,),
            only_root="only root may look into the attic",
        ),
        Verb(
            "restore",
            "bring back what one run replaced, all or some artefacts",
            (JSON,),
            "RUN [ARTEFACT...]",
            only_root="only root may look into the attic",
        ),
        Verb(
            "release",
            "give up this machine's claims in the registry, or free those to the name or address of one that is gone",
            (JSON,),
            "[NAME]",
            only_root="it speaks to the registry with the node's credentials",
        ),
        Verb(
            "config",
            "is the configuration usable, or what is in force and from which file; an image's with --root",
            (Option("--root", "the system that is mounted there", "DIR", path=True), JSON),
            "check|show",
        ),
        Verb(
            "report",
            "what a bug report needs, with no secret in it",
            (JSON,),
            only_root="it reads the journal and the attic",
        ),
        Verb("adopt", "take this machine's identity as its own, as it is", (JSON,), only_root="it writes the stamp"),
        Verb("daemon", "the service; systemd starts it"),
    )
}


def overview() -> str:
    """Return what `nodeprep --help` says."""
    lines = [
        "nodeprep gives a cloned machine an identity of its own.",
        "",
        *(f"  nodeprep {verb.name:<9} {verb.what}" for verb in VERBS.values()),
        "",
        "`nodeprep VERB --help` tells what a verb takes, nodeprep(8) everything; `nodeprep --version` the release.",
    ]
    return "\n".join(lines) + "\n"


def synopsis(verb: Verb) -> str:
    """Return how a verb is typed, on one line."""
    words = [
        f"[{option.name}{f' {option.value}' if option.value else ''}]{'...' if option.many else ''}"
        for option in verb.options.values()
    ]
    return " ".join(["nodeprep", verb.name, *words, *([verb.operands] if verb.operands else [])])


def usage(verb: Verb) -> str:
    """Return what `nodeprep VERB --help` says."""
    rows = [(f"{option.name} {option.value}".rstrip(), option) for option in verb.options.values()]
    width = max((len(left) for left, _ in rows), default=0)
    lines = [synopsis(verb), "", f"  {verb.what}", *(["  For root: " + verb.only_root] if verb.only_root else [])]
    if rows:
        lines += ["", *(f"  {left:<{width}}  {option.what}" for left, option in rows)]
    return "\n".join(lines) + "\n"

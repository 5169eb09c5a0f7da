"""What is made from the records that run, so that it cannot part from them: completions, manual pages, the catalog.

    python -m packaging.generate [DIR]     # writes below DIR, the repository's own root unless told otherwise

Completions and the synopsis of nodeprep(8) are the table of the verbs; nodeprep-artefacts(7) the artefacts' records;
nodeprep-roles(7) the roles' files; the journal's catalog the messages. `make generated` runs it; tests/repo compares.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import tomllib

from nodeprep import messages, roles
from nodeprep.artefacts import catalogue
from nodeprep.model import Artefact, Kind
from nodeprep.roles import Role
from nodeprep.verbs import VERBS, Option, Verb

ROOT = Path(__file__).parents[1]
BEGIN, END = '.\\" The verbs, from nodeprep/verbs/__init__.py, by `make generated`.\n', '.\\" End of the verbs.\n'
HEAD = '.\\" Made by `make generated` from {source}.\n.TH {name} 7 2026-11-26 "nodeprep 0.1.0" "Miscellanea"\n'
HANDLING = {
    Kind.A: "Renewed on a clone, a first boot and a twin; removed by `nodeprep seal`.",
    Kind.B: "Renewed as long as its owner has not used it on this machine; what is in use is kept and told.",
    Kind.C: "Set aside only if the policy or an operator says so; until then what would use it is held, or it is told.",
    Kind.R: "Cannot be mended inside the machine; it is told, with the remedy.",
}


def outputs() -> dict[str, str]:
    """Return path below the repository's root → text."""
    table = catalogue()
    page = (ROOT / "packaging/man/nodeprep.8").read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return {
        "packaging/completions/bash/nodeprep": bash(VERBS.values(), table),
        "packaging/completions/zsh/_nodeprep": zsh(VERBS.values(), table),
        "packaging/completions/fish/nodeprep.fish": fish(VERBS.values(), table),
        "packaging/man/nodeprep.8": f"{before}{BEGIN}{synopses(VERBS.values())}{END}{after}",
        "packaging/man/nodeprep-artefacts.7": artefacts(table),
        "packaging/man/nodeprep-roles.7": roles_page(all_roles()),
        "units/nodeprep.catalog": messages.catalog(),
    }


def all_roles() -> list[Role]:
    """Return the roles of the package, by name."""
    files = sorted((ROOT / "config/roles.d").iterdir())
    return [roles.parse(path.stem, tomllib.loads(path.read_text(encoding="utf-8")), path.name) for path in files]


def words(verb: Verb, option: Option | None, artefact_names: Iterable[str]) -> tuple[str, ...]:
    """Return what may follow an option, or stand as an operand, as far as it is fixed."""
    if option is not None:
        return tuple(role.name for role in all_roles()) if option.value == "ROLE" else tuple(option.choices)
    if verb.name == "explain":
        return tuple(messages.BY_CODE)
    return tuple(artefact_names) if verb.name == "restore" else verb.choices


# Completions


def bash(verbs: Iterable[Verb], table: Iterable[Artefact]) -> str:
    """Return the completion for bash, as bash-completion finds it by the command's name."""
    names = [artefact.name for artefact in table]
    arms = []
    for verb in verbs:
        values = []
        for option in verb.options.values():
            if option.path:
                values.append(f'                {option.name}) COMPREPLY=($(compgen -f -- "$word")); return ;;')
            elif option.value:
                known = " ".join(words(verb, option, names))
                values.append(
                    f"                {option.name}) COMPREPLY=($(compgen -W '{known}' -- \"$word\")); return ;;"
                )
        choices = " ".join((*words(verb, None, names), *verb.options, "--help"))
        inner = "\n".join(["            case $before in", *values, "            esac"]) + "\n" if values else ""
        arms.append(f"        {verb.name})\n{inner}            known='{choices}' ;;")
    first = " ".join((*(verb.name for verb in verbs), "help", "--help", "--version"))
    return (
        "# Made by `make generated` from nodeprep/verbs/__init__.py.\n\n"
        "_nodeprep() {\n"
        "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} known=\n"
        "    case $COMP_CWORD in\n"
        f"        1) known='{first}' ;;\n"
        "        *) case ${COMP_WORDS[1]} in\n" + "\n".join(arms) + "\n"
        f"        help) known='{' '.join(verb.name for verb in verbs)}' ;;\n"
        "        esac ;;\n"
        "    esac\n"
        '    COMPREPLY=($(compgen -W "$known" -- "$word"))\n'
        "}\n"
        "complete -F _nodeprep nodeprep\n"
    )


def zsh(verbs: Iterable[Verb], table: Iterable[Artefact]) -> str:
    """Return the completion for zsh (zshcompsys(1), _arguments)."""
    names = [artefact.name for artefact in table]
    arms = []
    for verb in verbs:
        specs = []
        for option in verb.options.values():
            star = "*" if option.many else ""
            value = ""
            if option.path:
                value = f":{option.value}:_files"
            elif option.value:
                value = f":{option.value}:({' '.join(words(verb, option, names))})"
            specs.append(f"'{star}{option.name}{'=' if option.value else ''}[{_zsh(option.what)}]{value}'")
        if known := words(verb, None, names):
            specs.append(f"'*:{verb.operands.split()[0].strip('[]')}:({' '.join(known)})'")
        specs.append("'--help[what it takes]'")
        arms.append(f"        {verb.name}) _arguments " + " \\\n            ".join(specs) + " ;;")
    described = "\n".join(f"        '{verb.name}:{_zsh(verb.what)}'" for verb in verbs)
    return (
        "#compdef nodeprep\n# Made by `make generated` from nodeprep/verbs/__init__.py.\n\n"
        f"_nodeprep() {{\n    local -a verbs=(\n{described}\n    )\n"
        "    if (( CURRENT == 2 )); then\n        _describe verb verbs\n        return\n    fi\n"
        "    local verb=$words[2]\n    shift words\n    (( CURRENT-- ))\n"
        "    case $verb in\n" + "\n".join(arms) + '\n    esac\n}\n\n_nodeprep "$@"\n'
    )


def _zsh(text: str) -> str:
    return text.replace("'", "'\\''").replace("[", "(").replace("]", ")").replace(":", "\\:")


def fish(verbs: Iterable[Verb], table: Iterable[Artefact]) -> str:
    """Return the completion for fish (complete(1))."""
    names = [artefact.name for artefact in table]
    lines = ["# Made by `make generated` from nodeprep/verbs/__init__.py.", "complete -c nodeprep -f"]
    first = "complete -c nodeprep -n __fish_use_subcommand -a"
    lines += [f"{first} {verb.name} -d {_fish(verb.what)}" for verb in verbs]
    for verb in verbs:
        seen = f"complete -c nodeprep -n '__fish_seen_subcommand_from {verb.name}'"
        for option in verb.options.values():
            known = words(verb, option, names)
            value = " -r -F" if option.path else " -x" if option.value else ""
            value += f" -a {_fish(' '.join(known))}" if known else ""
            lines.append(f"{seen} -l {option.name[2:]}{value} -d {_fish(option.what)}")
        if known := words(verb, None, names):
            lines.append(f"{seen} -a {_fish(' '.join(known))}")
    return "\n".join(lines) + "\n"


def _fish(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


# Manual pages (man(7), groff_char(7))


def roff(text: str) -> str:
    """Return a text as groff shall set it: hyphens that can be typed, and no line taken for a request."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    text = "\n".join(("\\&" + line if line.startswith((".", "\\(aq")) else line) for line in text.splitlines())
    bold = text.split("`")
    return "".join(f"\\fB{part}\\fP" if number % 2 else part for number, part in enumerate(bold))


def synopses(verbs: Iterable[Verb]) -> str:
    """Return a line of the synopsis for each verb."""
    lines = []
    for verb in verbs:
        parts = [f"\\fBnodeprep {verb.name}\\fP"]
        for option in verb.options.values():
            value = f" \\fI{option.value.lower()}\\fP" if option.value else ""
            parts.append(f"[\\fB{roff(option.name)}\\fP{value}]{'...' if option.many else ''}")
        if verb.operands:
            style = "B" if verb.choices else "I"
            parts.append(f"\\f{style}{roff(verb.operands if verb.choices else verb.operands.lower())}\\fP")
        lines.append(" ".join(parts) + "\n")
    lines.append("\\fBnodeprep\\fP [\\fB\\-\\-help\\fP] [\\fB\\-\\-version\\fP]\n")
    return ".br\n".join(lines)


def artefacts(table: Iterable[Artefact]) -> str:
    """Return nodeprep-artefacts(7)."""
    table = list(table)
    text = HEAD.format(source="nodeprep/artefacts", name="NODEPREP\\-ARTEFACTS")
    text += (
        ".SH NAME\nnodeprep\\-artefacts \\- what a clone shares with its template, and what becomes of it\n"
        f".SH DESCRIPTION\n.BR nodeprep (8)\nknows {len(table)} identity artefacts. Each is a record of the program;"
        "\nthis page is made from them. Their names are those of `nodeprep status \\-\\-json` and of\n".replace("`", "")
        + '.BR "nodeprep restore" .\n'
    )
    for kind in Kind:
        of_kind = sorted((each for each in table if each.kind is kind), key=lambda each: each.name)
        text += f'.SH "CLASS {kind.value}"\n{roff(HANDLING[kind])}\n'
        for each in of_kind:
            text += (
                f".TP\n.B {roff(each.name)}\n{roff(each.title[:1].upper() + each.title[1:])}.\n{roff(each.reason)}\n"
            )
            text += "".join(f"{line}\n" for line in _details(each))
    return text + '.SH "SEE ALSO"\n.BR nodeprep (8),\n.BR nodeprep.toml (5)\n'


def _details(artefact: Artefact) -> list[str]:
    lines = []
    if artefact.claim:
        lines.append("It is presented to the peers, as a keyed hash, and compared by them.")
    if artefact.confidential:
        lines.append("It never leaves the machine; it is shown as a fingerprint.")
    if artefact.restart:
        lines.append(f"Restarted afterwards, if they run: {roff(', '.join(artefact.restart))}.")
    if artefact.holds:
        lines.append(f"Held: {roff(', '.join(artefact.holds))}.")
    if artefact.joins:
        lines.append("Who has it is a member of a cluster, and is not renewed.")
    if artefact.remedy:
        lines.append(f"Remedy: {roff(artefact.remedy)}.")
    return [f".br\n{line}" for line in lines]


def roles_page(known: Iterable[Role]) -> str:
    """Return nodeprep-roles(7)."""
    text = HEAD.format(source="config/roles.d", name="NODEPREP\\-ROLES")
    text += (
        ".SH NAME\nnodeprep\\-roles \\- which ports a node needs open, by what it is\n.SH DESCRIPTION\n"
        "A role is a file of\n.I /usr/share/nodeprep/roles.d\nor, for one of your own, of\n"
        ".IR /etc/nodeprep/roles.d ;\n"
        "this page is made from the first. Who may reach an opening is narrowed by\n.B [cluster]\nof\n"
        ".BR nodeprep.toml (5),\nand what has a key in\n.B [ports]\nis moved by it.\n"
        ".B nodeprep ports\nshows what of this a node has.\n"
    )
    for role in known:
        text += f'.SH "{roff(role.name).upper()}"\n{roff(role.title)}.\n'
        if role.cni_plugins:
            text += f"Added by itself where a conflist names {roff(', '.join(role.cni_plugins))}.\n"
        for need in role.needs:
            ports = str(need.first_port or "")
            ports += f"-{need.last_port}" if need.last_port != need.first_port else ""
            opening = f"{ports}/{need.protocol}" if ports else need.protocol
            text += f".TP\n.B {roff(opening)}\n{roff(need.purpose[:1].upper() + need.purpose[1:])}.\n"
            text += f"Reached from {roff(', '.join(need.reached_from) or 'anywhere')}.\n"
            text += f"Moved by\n.BR ports.{need.setting} .\n" if need.setting else ""
    return text + '.SH "SEE ALSO"\n.BR nodeprep (8),\n.BR nodeprep.toml (5)\n'


def main(root: Path) -> None:
    """Write all of it below a folder."""
    for path, text in outputs().items():
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT)

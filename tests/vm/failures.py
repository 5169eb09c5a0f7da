"""Failures: what a machine has to say when something went wrong, kept in files that outlive the test run.

NAME-console.log has all of its boots, the journal included, whatever became of the disk. NAME-journal.txt is the
journal as it is on the disk, and NAME.txt what it answers to the questions one would ask at its console; both need a
machine that is on and whose guest agent answers.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

from tests.lab.traces import LabError
from tests.vm.machine import Machine

FOLDER = Path(tempfile.gettempdir()) / "nodeprep-vm-failures"
ANSWER_TIMEOUT_S = 60.0
QUESTIONS = (
    ("nodeprep", "status", "--long"),
    ("systemctl", "--failed", "--no-legend"),
    ("systemctl", "list-jobs"),
    ("ip", "address"),
    ("nmcli", "connection", "show", "lan"),
    ("ls", "-lA", "/var/lib/nodeprep", "/run/nodeprep", "/etc/ssh"),
)
JOURNAL = ("journalctl", "--no-pager", "-o", "short-monotonic", "--merge")


def folder_of(title: str) -> Path:
    """Return the folder of a failure, empty."""
    folder = FOLDER / re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def keep(machine: Machine, folder: Path) -> None:
    """Write down what a machine has to say."""
    if machine.console.exists():
        shutil.copyfile(machine.console, folder / f"{machine.name}-console.log")
    answers = "\n".join(f"$ {' '.join(question)}\n{_answer(machine, *question)}" for question in QUESTIONS)
    (folder / f"{machine.name}.txt").write_text(answers)
    (folder / f"{machine.name}-journal.txt").write_text(_answer(machine, *JOURNAL))


def _answer(machine: Machine, *question: str) -> str:
    try:
        done = machine.run(*question, check=False, timeout=ANSWER_TIMEOUT_S)
    except LabError as error:
        return f"{error}\n"
    return f"{done.stdout}{done.stderr}"

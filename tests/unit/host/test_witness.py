"""The witness: who holds an ID in memory is found, whoever looks for it is not, and a doubt is told."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeprep.host import witness

REPOSITORY = Path(__file__).parents[3]
KEEP = "import os, sys; kept = (sys.stdin.buffer.readline().strip(), bytearray(16)); print(flush=True); os.read(0, 1)"
KEEP_BYTES = "import os, sys; kept = bytes.fromhex(sys.stdin.readline()); print(flush=True); os.read(0, 1)"


@pytest.fixture
def machine_id() -> str:
    """Return an ID that no other process has."""
    return os.urandom(16).hex()


@pytest.fixture(params=[KEEP, KEEP_BYTES], ids=["text", "bytes"])
def keeper(
    request: pytest.FixtureRequest, machine_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process that was told the ID and keeps it in its memory; it is all that there is to look at."""
    with subprocess.Popen(
        (sys.executable, "-c", request.param), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(machine_id.encode() + b"\n")
        process.stdin.flush()
        process.stdout.readline()
        (tmp_path / str(process.pid)).symlink_to(f"/proc/{process.pid}")
        monkeypatch.setattr(witness, "PROC", str(tmp_path))
        yield process
        process.stdin.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="others' memory needs root")
def test_who_holds_the_id_in_memory_is_found(keeper: subprocess.Popen[bytes], machine_id: str) -> None:
    found, looked_at = witness.holders(machine_id)
    assert [one.split()[0] for one in found] == [str(keeper.pid)]
    assert looked_at == 1
    assert witness.holders(os.urandom(16).hex()) == ((), 1)


@pytest.mark.skipif(os.geteuid() != 0, reason="others' memory needs root")
def test_where_the_kernel_does_not_tell_of_pages_everything_is_read(
    keeper: subprocess.Popen[bytes], machine_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(witness, "PAGEMAP", "no such file")
    found, _ = witness.holders(machine_id)
    assert [one.split()[0] for one in found] == [str(keeper.pid)]


@pytest.mark.skipif(os.geteuid() != 0, reason="others' memory needs root")
def test_the_search_touches_no_page_that_its_owner_has_not_touched(
    machine_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    untouched = "import mmap, os; big = mmap.mmap(-1, 64 << 20, mmap.MAP_PRIVATE); print(flush=True); os.read(0, 1)"
    with subprocess.Popen((sys.executable, "-c", untouched), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        process.stdout.readline()
        (tmp_path / str(process.pid)).symlink_to(f"/proc/{process.pid}")
        monkeypatch.setattr(witness, "PROC", str(tmp_path))

        def touched() -> list[tuple[int, int]]:
            return list(witness._touched(process.pid, witness._regions(process.pid)))

        before = touched()
        assert 0 < sum(end - start for start, end in before) < 32 << 20
        assert witness.holders(machine_id) == ((), 1)
        assert touched() == before
        process.stdin.close()


@pytest.mark.parametrize("offset", [-8, 0, 8])
def test_an_id_across_two_chunks_is_found(offset: int, machine_id: str, tmp_path: Path) -> None:
    needles = (machine_id.encode(), bytes.fromhex(machine_id))
    size = 2 * witness.CHUNK_BYTES + witness.PAGE_BYTES
    for needle in needles:
        memory = bytearray(size)
        memory[witness.CHUNK_BYTES + offset : witness.CHUNK_BYTES + offset + len(needle)] = needle
        (tmp_path / "mem").write_bytes(memory)
        with open(tmp_path / "mem", "rb", buffering=0) as file:
            assert witness._found(file.fileno(), 0, size, needles)
            assert not witness._found(file.fileno(), 0, size, (os.urandom(32), os.urandom(16)))


@pytest.mark.skipif(os.geteuid() != 0, reason="others' memory needs root")
def test_whoever_asks_for_it_is_not(
    keeper: subprocess.Popen[bytes], machine_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(witness, "_is_askers", lambda pid: pid == keeper.pid)
    assert witness.holders(machine_id) == ((), 0)


def test_the_askers_processes_are_those_in_its_cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    groups = {
        "1": "0::/init.scope",
        "2": "0::/system.slice/nodeprep.service",
        "3": "0::/system.slice/nodeprep.service/child",
        "4": "3:cpu:/\n1:name=systemd:/system.slice/nodeprep.service\n0::/",
        "5": "0::/system.slice/my-nodeprep.service",
        "6": "0::/system.slice/nodeprep-witness.service",
    }
    for pid, group in groups.items():
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "cgroup").write_text(f"{group}\n")
    monkeypatch.setattr(witness, "PROC", str(tmp_path))
    assert {pid for pid in groups if witness._is_askers(int(pid))} == {"2", "3", "4"}
    assert not witness._is_askers(7)


def test_who_may_not_be_read_is_named_and_who_has_ended_is_not(
    machine_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for pid in ("10", "11", "12", "self"):
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "comm").write_bytes(b"caf\xe9\n")

    def holds(pid: int, needles: tuple[bytes, ...]) -> bool:
        if pid == 12:
            return False
        raise PermissionError if pid == 10 else ProcessLookupError

    monkeypatch.setattr(witness, "PROC", str(tmp_path))
    monkeypatch.setattr(witness, "_holds", holds)
    assert witness.holders(machine_id) == ((r"10 caf\xe9 (cannot be read)",), 2)


@pytest.mark.parametrize(
    ("answer", "found"),
    [("7\n", ()), ("12 agent\n13 sh\n7\n", ("12 agent", "13 sh")), ("", None), ("0\n", None), ("12 agent\n", None)],
)
def test_an_answer_counts_when_it_is_whole(answer: str, found: tuple[str, ...] | None) -> None:
    assert witness.answered(answer) == found


def test_the_program_answers_what_is_read_from_it(
    machine_id: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []

    def holders(wanted: str) -> tuple[tuple[str, ...], int]:
        asked.append(wanted)
        return ("12 agent",), 7

    monkeypatch.setattr(witness, "holders", holders)
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{machine_id}\n"))
    assert witness.main() == 0
    assert witness.answered(capsys.readouterr().out) == ("12 agent",)
    assert asked == [machine_id]


@pytest.mark.parametrize("question", ["", "abc", "00" * 15, "not hexadecimal"])
def test_what_is_no_id_is_not_looked_for(question: str) -> None:
    with pytest.raises(ValueError, match=r"hexadecimal|bytes"):
        witness.holders(question)


def test_the_unit_starts_it_on_the_files_that_the_daemon_makes() -> None:
    unit = (REPOSITORY / "units" / witness.UNIT).read_text().splitlines()
    assert f"StandardInput=file:{witness.QUESTION}" in unit
    assert f"StandardOutput=truncate:{witness.ANSWER}" in unit
    assert any("from nodeprep.host.witness import main" in line for line in unit)


def test_it_needs_the_standard_library_only() -> None:
    program = "import sys; sys.path.append(sys.argv[1]); import nodeprep.host.witness; print(*sys.modules)"
    done = subprocess.run(
        (sys.executable, "-I", "-S", "-c", program, REPOSITORY), capture_output=True, text=True, check=True
    )
    tops = {module.partition(".")[0] for module in done.stdout.split()}
    assert tops - {"nodeprep", "__main__"} <= set(sys.stdlib_module_names)

"""What the shape of the tree promises to a reader."""

import subprocess

from tests.repo.sources import ROOT, run, tracked

LONGEST = 300
# What has no noun belongs to its only caller.
NOT_A_NOUN = {"base", "common", "core", "helpers", "manager", "misc", "utils"}
TOP = {
    *("nodeprep", "units", "config", "packaging", "tests", "debian", "docs", ".ci", "pyproject.toml", "Makefile"),
    *("README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", ".gitignore"),
}


def test_no_module_hides_something() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in (ROOT / "nodeprep").rglob("*.py")
        if (lines := len(path.read_text().splitlines())) > LONGEST
    }
    assert not long


def test_every_module_is_named_by_a_noun() -> None:
    modules = (path.relative_to(ROOT).with_suffix("") for path in (ROOT / "nodeprep").rglob("*.py"))
    parts = {part for module in modules for part in module.parts}
    assert not parts & NOT_A_NOUN


def test_nothing_strays_into_the_top_level() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in tracked()} <= TOP


def test_no_file_knows_where_it_was_checked_out() -> None:
    checkout = str(ROOT).encode()
    # Below the root of the file system a path like "/src" would be found everywhere.
    if len(ROOT.parts) > 2:
        assert not [path for path in tracked() if checkout in path.read_bytes()]


def test_shell_scripts_parse() -> None:
    maintainer = ("postinst", "prerm", "postrm", "preinst")
    scripts = [ROOT / ".ci/run", *(path for path in (ROOT / "debian").iterdir() if path.suffix[1:] in maintainer)]
    for script in scripts:
        assert run(script.read_text().splitlines()[0].removeprefix("#!"), "-n", script).stdout == ""


def test_the_versions_agree() -> None:
    changelog = (ROOT / "debian/changelog").read_text()
    released = changelog[changelog.index("(") + 1 : changelog.index("-")]
    project = (ROOT / "pyproject.toml").read_text()
    assert f'\nversion = "{released}"\n' in project


def test_ci_runs_what_a_developer_runs() -> None:
    script = ROOT / ".ci/run"
    assert subprocess.run(["test", "-x", script], check=False).returncode == 0
    assert "make test" in script.read_text()

"""Exceptions mean "could not"; what "is not" is a verdict (see model.Verdict)."""

from __future__ import annotations


class NodeprepError(Exception):
    """Anything that nodeprep itself says went wrong."""


class ConfigError(NodeprepError):
    """A configuration that cannot be used: names file, key and remedy."""

    def __init__(self, file: str, key: str, problem: str, remedy: str) -> None:
        super().__init__(f"{file}: {key}: {problem}; {remedy}")
        self.file = file
        self.key = key
        self.problem = problem
        self.remedy = remedy


class StampError(NodeprepError):
    """A stamp that is torn, of another version, or not ours."""


class HostError(NodeprepError):
    """The machine refused or did not answer: a file, a program, the bus, netlink or a packet socket."""


class RegistryError(NodeprepError):
    """A registry that does not answer (code "registry-away"), or refuses ("registry-refused")."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


def away(detail: str) -> RegistryError:
    """Return the error of a registry that may answer later by itself."""
    return RegistryError("registry-away", detail)


def refused(detail: str) -> RegistryError:
    """Return the error of a registry that somebody has to mend first, or its configuration."""
    return RegistryError("registry-refused", detail)

"""What the rules for clouds are tried with is there: a test that is skipped for ever tries nothing."""

from __future__ import annotations

from importlib import import_module

import pytest


@pytest.mark.parametrize("library", ["botocore", "hcl2"])
def test_this_environment_has_what_reads_rules_of_clouds(library: str) -> None:
    assert import_module(library).__name__ == library

"""Redaction: a text that may leave the machine, without what would let another one pass for it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import blake2s

PRIVATE_KEY = re.compile(r"-----BEGIN ([A-Z ]*PRIVATE KEY)-----.*?(-----END \1-----|\Z)", re.DOTALL)
KEY_DIGITS = re.compile(r"[0-9A-Fa-f]{64,}")
"""A fleet key, or anything as long in hexadecimal digits."""
ID_DIGITS = re.compile(r"(?<![0-9A-Fa-f])[0-9A-Fa-f]{32}(?![0-9A-Fa-f])")
"""A machine ID of another time, as the template's in the journal: the same stand-in wherever it is."""
SHORTEST = 6
"""Shorter values would take words of the text with them."""


def redact(text: str, secrets: Mapping[str, str]) -> str:
    """Return a text with each secret's stand-in in place of it. secrets: value → stand-in, as in "[machine-id 1a2b]".

    Long ones go first, so that none is left behind that another one was a part of. A machine ID is found as a UUID too.
    """
    for value in sorted(secrets, key=len, reverse=True):
        if len(value) < SHORTEST:
            continue
        forms = [re.escape(value)]
        if re.fullmatch("[0-9a-f]{32}", value):
            forms.append("-".join((value[:8], value[8:12], value[12:16], value[16:20], value[20:])))
        text = re.sub("|".join(forms), lambda _, name=secrets[value]: name, text, flags=re.IGNORECASE)  # type: ignore[misc]
    text = PRIVATE_KEY.sub(r"[\1]", text)
    text = KEY_DIGITS.sub("[a key's digits]", text)
    return ID_DIGITS.sub(lambda found: f"[ID {blake2s(found[0].lower().encode()).hexdigest()[:8]}]", text)

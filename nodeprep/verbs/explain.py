"""`nodeprep explain`: what a code in status or journal means, and the remedy."""

from __future__ import annotations

from nodeprep.messages import BY_CODE, explain
from nodeprep.verbs import Typed, UsageError


def main(typed: Typed) -> int:
    """Explain a code, or say which there are. Raises UsageError."""
    code = typed.operands[0] if typed.operands else None
    if code is not None and code not in BY_CODE:
        raise UsageError(f"explain: there is no code {code!r}; there are {', '.join(BY_CODE)}")
    if typed.as_json:
        import json  # noqa: PLC0415 (of no use to a person)

        rows = [message._asdict() for message in BY_CODE.values() if code in (None, message.code)]
        print(json.dumps({"schema": 1, "codes": rows}, indent=2))
    elif code is None:
        width = max(map(len, BY_CODE))
        print("".join(f"{message.code:<{width}}  {message.title}\n" for message in BY_CODE.values()), end="")
    else:
        print(explain(code), end="")
    return 0

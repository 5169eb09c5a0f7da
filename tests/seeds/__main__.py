"""Replay seeds: `python -m tests.seeds 12345 …`."""

import sys

from tests.seeds.scenario import play

for word in sys.argv[1:]:
    print(play(int(word)))

"""The long campaign of kills: see `kills`."""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

from harness.killing import campaign
from harness.postgres import Postgres


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    wanted = parser.parse_args()
    started = time.monotonic()
    server = Postgres("kills").start()
    try:
        outcome = campaign(server, "killed", wanted.kills, wanted.rows, wanted.seed, lambda line: print(line, flush=True))
    finally:
        server.stop()
    print(f"{outcome.kills} kills, {outcome.finished} runs came to their end, {outcome.written} writes of others, {outcome.refused} of "
          f"them refused, {time.monotonic() - started:.0f} s: nothing lost, doubled or damaged")


if __name__ == "__main__":
    main()

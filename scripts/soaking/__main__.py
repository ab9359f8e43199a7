"""Soak: kill what works, and feed the decoders, until the time is up; then say how sure that makes us."""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from scripts.benchmarks.table import hardware
from scripts.soaking.forked import Tally
from scripts.soaking.fuzz import fuzz
from scripts.soaking.kills import loops
from tests.promises import PAGE, SOAK, page

FUZZ = "mutated pictures"


def bound(tries: int, failures: int) -> str:
    """The rule of three: what the chance of a failure is below, with 95 % confidence."""
    if failures or not tries:
        return "none" if not tries else f"seen {failures} times"
    return f"1 in {tries / 3:,.0f}" if tries > 3 else "nothing can be said"


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20, help="how long, shared among all loops")
    parser.add_argument("--files", type=int, default=0, help="mutated pictures at least, however long they take")
    parser.add_argument("--kills", type=int, default=0, help="kills of each loop at least, however long they take")
    parser.add_argument("--odd", type=int, default=0, help="first import so many odd files among sound ones, as 1000")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32), help="of moments and mutations; printed")
    parser.add_argument("--only", default="", help="only loops whose name holds this word: importing, pictures, ...")
    parser.add_argument("--keep", action="store_true", help="write the result into docs/promises.md")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    if options.odd:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "tests/faults/test_odd_files.py"]
        subprocess.run(command, env={**os.environ, "ODD_FILES": str(options.odd)}, check=True)
    chance = random.Random(options.seed)
    notes: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        chosen = {name: loop for name, loop in loops(Path(folder)).items() if options.only in name}
        fuzzing = options.only in FUZZ
        share = options.minutes * 60 / (len(chosen) + fuzzing)
        tallies = []
        if fuzzing:  # first: its processes must not be forks of one that holds torch
            tallies.append(Tally(FUZZ, time.monotonic() + share, options.files))
            notes += fuzz(options.seed, tallies[-1])
            _say(tallies[-1])
        for name, loop in chosen.items():
            tallies.append(Tally(name, time.monotonic() + share, options.kills))
            loop(Path(folder), chance, tallies[-1])
            _say(tallies[-1])
    said = {
        "date": datetime.now(UTC).date().isoformat(), "minutes": options.minutes, "hardware": hardware(),
        "seed": options.seed, "notes": notes,
        "rows": [
            {"what": each.what, "tries": each.tries, "failures": len(each.failures),
             "bound": bound(each.tries, len(each.failures))}
            for each in tallies
        ],
    }  # fmt: skip
    print(*notes, sep="\n")
    if options.keep:
        SOAK.write_text(json.dumps(said, indent=1) + "\n")
        PAGE.write_text(page())
    raise SystemExit(any(each.failures for each in tallies))


def _say(tally: Tally) -> None:
    failures = len(tally.failures)
    print(
        f"{tally.what}: {tally.tries:,} tries, {failures} failures, chance at most {bound(tally.tries, failures)}",
        flush=True,
    )


if __name__ == "__main__":
    main()

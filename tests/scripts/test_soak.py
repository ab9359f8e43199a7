"""The soak finds what is broken, and says how sure it is of the rest."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

from scripts.soaking.__main__ import bound
from scripts.soaking.forked import killed_after
from scripts.soaking.fuzz import mutated, try_batch

ROOT = Path(__file__).parents[2]


def test_a_killed_child_is_heard_to_the_last_line_it_finished():
    def work(say):
        say("one")
        say("two")
        time.sleep(60)

    ended = killed_after(0.5, work)

    assert (ended.said, ended.killed, ended.failed) == (["one", "two"], True, "")


def test_a_child_that_fails_or_dies_by_itself_is_a_failure():
    def fails(say):
        say("one")
        raise ValueError("broken")

    def dies(say):
        os.kill(os.getpid(), signal.SIGSEGV)

    assert "ValueError: broken" in killed_after(30, fails).failed
    assert killed_after(30, fails).said == ["one"]
    assert "ended with status" in killed_after(30, dies).failed


def test_the_rule_of_three():
    assert bound(3000, 0) == "1 in 1,000"
    assert bound(3000, 2) == "seen 2 times"
    assert bound(2, 0) == "nothing can be said"


def test_a_mutated_file_is_the_same_every_time_and_costs_only_itself():
    files = [mutated(1, number) for number in range(300)]

    found = try_batch(1, 0, 300)

    assert files == [mutated(1, number) for number in range(300)]
    assert len(set(files)) > 250
    assert found.wrong == []
    assert 30 < found.accepted < 270


def test_soak_kills_for_as_long_as_it_is_told_and_prints_the_bound():
    command = [ROOT / "scripts" / "soak", "--minutes", "0.02", "--kills", "5", "--only", "labelling", "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)

    assert done.returncode == 0, done.stderr
    assert "seed 1" in done.stdout
    tries = re.search(r"kill -9 while labelling: (\d+) tries", done.stdout)
    assert int(tries[1]) >= 5
    assert " 0 failures, chance at most" in done.stdout

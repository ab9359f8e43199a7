import os

import pytest

from indexer.errors import Busy
from indexer.home import Home
from tests.faults.kill import Child


def test_the_second_to_want_a_lock_is_told_who_has_it_and_after_its_death_the_lock_is_free(home):
    holder = Child("hold", home.root, "import")
    pid = holder.wait_for_lines(1)[0]

    with pytest.raises(Busy, match=f"pid {pid}.*doing import work on 'photos'"), home.lock(1, "photos", "import"):
        pass
    holder.kill()

    with home.lock(1, "photos", "import"):
        pass


def test_each_kind_of_work_has_a_lock_and_a_holder_of_its_own(home):
    holder = Child("hold", home.root, "training")
    pid = holder.wait_for_lines(1)[0]

    with home.lock(1, "photos", "import"), home.lock(2, "other", "training"):
        pass

    with pytest.raises(Busy, match=f"pid {pid}"), home.lock(1, "photos", "training"):
        pass
    holder.kill()


def test_a_lock_is_freed_when_the_work_fails(home):
    with pytest.raises(ZeroDivisionError), home.lock(1, "photos", "import"):
        raise ZeroDivisionError

    with home.lock(1, "photos", "import"):
        assert (home.root / "locks" / "1.import.pid").read_text() == str(os.getpid())
    assert not (home.root / "locks" / "1.import.pid").exists()


def test_the_same_process_cannot_do_the_same_work_twice_at_once(home):
    again = Home(home.root)

    with (
        home.lock(1, "photos", "index"),
        pytest.raises(Busy, match=f"pid {os.getpid()}"),
        again.lock(1, "photos", "index"),
    ):
        pass

"""Every promise is kept by tests, and docs/promises.md says by which."""

import pytest

from tests import promises


@pytest.mark.parametrize("number", promises.PROMISES)
def test_every_promise_is_kept_by_a_test(number):
    assert promises.kept_by()[number]


def test_the_page_of_promises_is_what_the_tests_say():
    assert promises.PAGE.read_text() == promises.page(), "run scripts/promises"


def test_there_are_34_and_every_row_has_figures():
    rows = [line for line in promises.PAGE.read_text().splitlines() if line.startswith("| ") and " passed" in line]

    assert len(rows) == len(promises.PROMISES) == 34

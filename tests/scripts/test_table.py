import json

import pytest

from scripts.benchmarks.table import aim, missing, quick, report, row


@pytest.mark.parametrize(
    ("bounds", "target", "met"),
    [
        ({"at_least": 90}, "≥ 90", True),
        ({"at_least": 91}, "≥ 91", False),
        ({"at_most": 20}, "≤ 20", False),
        ({"ratio_at_least": 0.9}, "ratio ≥ 0.9", True),
        ({"at_least": 40_000, "ratio_at_least": 0.9}, "≥ 40,000 and ratio ≥ 0.9", False),
        ({}, "", None),
    ],
)
def test_a_target_says_its_bounds_and_is_met_when_all_of_them_hold(bounds, target, met):
    judged = aim(row("speed", 90, "views/s", baseline=100), **bounds)

    assert (judged.target, judged.met) == (target, met)


def test_a_ratio_is_judged_before_it_is_rounded():
    almost = aim(row("speed", 89.6, "views/s", baseline=100), ratio_at_least=0.9)

    assert almost.ratio == 0.9
    assert almost.met is False


def test_what_was_not_measured_meets_nothing_and_says_so():
    judged = aim(missing("speed", "views/s", "no lightly"), at_least=1, ratio_at_least=0.9)

    assert (judged.value, judged.met, judged.status) == (None, None, "not measured: no lightly")
    assert aim(row("speed", 90, "views/s"), ratio_at_least=0.9).met is None


def test_a_quick_run_is_not_judged():
    rows = [aim(row("speed", 90, "views/s"), at_least=1), missing("other", "views/s")]

    measured, other = quick(rows)

    assert (measured.target, measured.met, measured.status) == ("≥ 1", None, "quick")
    assert other == rows[1]


def test_the_table_shows_target_and_status_only_when_there_are_any(capsys):
    plain = row("speed", 90, "views/s", baseline=100)

    report("one", "what others do", [plain], as_json=False)
    first = capsys.readouterr().out
    report("two", "what others do", [aim(plain, at_least=91), missing("other", "ms")], as_json=False, notes=["seen"])
    second = capsys.readouterr().out

    assert "target" not in first
    assert cells(first)[-1] == ["speed", "90", "views/s", "100", "0.9"]
    assert "seen" in second.splitlines()
    assert cells(second)[-2:] == [
        ["speed", "90", "views/s", "100", "0.9", "≥ 91", "no", "measured"],
        ["other", "", "ms", "", "", "", "", "not measured"],
    ]


def test_json_is_one_document_with_every_row(capsys):
    report("one", "what others do", [aim(row("speed", 90, "views/s"), at_least=91)], as_json=True)

    said = json.loads(capsys.readouterr().out)

    assert said.keys() == {"name", "hardware", "date", "rows"}
    assert said["rows"][0]["met"] is False


def cells(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line[:1] == "|"]

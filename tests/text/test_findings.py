"""Verdicts as values, and the page that lists all findings."""

import copy
import json
import pickle
import re
from importlib import import_module

import pytest

from rtdetr_nb.cli import findings_page
from rtdetr_nb.text.findings import Check, Finding, Verdict, Words, check
from tests.paths import ROOT

PAGE = ROOT / "docs" / "findings.md"
# Every file of the package with a check in it.
MODULES = [
    import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    for path in sorted((ROOT / "rtdetr_nb").rglob("*.py"))
    if re.search(r"^@check\(", path.read_text(), re.MULTILINE)
]
LEVELS = ("failure", "warning", "note")
CHECKS = [each for _, checks in findings_page.SECTIONS for each in checks]


def verdict() -> Verdict:
    return Verdict([Finding("note", "a"), Finding("failure", "b"), Finding("warning", "c")])


def test_a_verdict_is_its_word():
    assert verdict() == "failed" and verdict() != "ok"
    assert f"{verdict()}" == "failed" and verdict() in ("failed", "ok")
    assert hash(verdict()) == hash("failed")
    assert json.dumps(str(verdict())) == '"failed"'


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda v: pickle.loads(pickle.dumps(v))])
def test_copies_keep_their_findings(copied):
    again = copied(verdict())
    assert again == verdict() and again.findings == verdict().findings
    assert again.failures == (Finding("failure", "b"),)


def test_verdicts_with_other_findings_differ():
    assert Verdict([Finding("note", "a")]) != Verdict([])
    assert Verdict([Finding("note", "a")]) == "ok" == Verdict([])


def test_a_verdict_does_not_change():
    with pytest.raises(AttributeError):
        verdict().word = "ok"  # pyright: ignore[reportAttributeAccessIssue]


def test_a_check_gives_its_level_to_what_it_says():
    @check("warning")
    def too_many(case: int):
        """There are too many."""
        if case > 2:
            yield Words(f"{case} are too many.", action="Take two.")

    assert too_many(2) == []
    assert too_many(3) == [Finding("warning", "3 are too many.", action="Take two.")]
    assert (too_many.name, too_many.meaning) == ("too many", "There are too many.")


def test_a_check_may_give_another_level_to_what_it_counts():
    @check("note")
    def many(case: int):
        """There are many."""
        yield Words(f"{case} are there.", count=case, level="warning" if case > 9 else "")

    assert [found.level for case in (3, 30) for found in many(case)] == ["note", "warning"]


def test_the_page_is_what_the_code_says():
    assert PAGE.read_text() == findings_page.findings_page(), "run `make findings`"


def test_the_page_lists_every_check_of_the_code():
    defined = {
        id(value) for module in MODULES for value in vars(module).values() if type(value) is Check
    }
    assert defined == {id(each) for each in CHECKS} and len(CHECKS) == len(defined) > 60
    lines = re.findall(r"^\| ([a-z ]+) \| (\w+) \| (.+) \|$", PAGE.read_text(), re.M)
    listed = [(name, level) for name, level, _ in lines if level in LEVELS]
    assert listed == [(each.name, each.level) for each in CHECKS]


@pytest.mark.parametrize("each", CHECKS, ids=lambda each: each.name)
def test_every_check_says_what_it_means(each):
    assert each.level in LEVELS
    assert each.meaning.endswith(".") and len(each.meaning) > 30

"""Every kind of file that users have: the right tensors bit for bit, or a sentence."""

import pytest
import torch

from rtdetr_nb import errors
from rtdetr_nb.checkpoint.checkpoint import open_checkpoint
from rtdetr_nb.checkpoint.comparison.diff import compare
from rtdetr_nb.checkpoint.official_loader.every_door import predict_doors
from tests.checkpoint.official_loader.golden_doors import check_doors, check_listed
from tests.checkpoint.wild import CONFIG, backbone
from tests.checkpoint.wild_cases import (
    CASES,
    READS_SAFETENSORS,
    Case,
    Judged,
    Loads,
    Refused,
)


@pytest.fixture(params=CASES, ids=lambda case: f"{case.number} {case.what}")
def case(request):
    return request.param


def test_a_file_as_users_have_it(case: Case, tmp_path):
    path = case.build(tmp_path)
    _check_prediction(case, path)
    if isinstance(case.ours, Refused):
        with pytest.raises(getattr(errors, case.ours.error), match=case.ours.words):
            compare(open_checkpoint(path), CONFIG)
        return
    diff = compare(open_checkpoint(path), CONFIG)
    check_listed(diff.doors, predict_doors(path, CONFIG))
    if isinstance(case.ours, Judged):
        assert case.ours.words in diff.verdict.text()
        assert diff.verdict == case.ours.verdict
        assert diff.counts["matched"] == case.ours.matched
        return
    _check_loading(case.ours, diff)


def _check_prediction(case: Case, path):
    doors = predict_doors(path, CONFIG)
    prediction = doors["-t"]
    first, second = case.official
    if isinstance(first, str):
        assert prediction.exception == first
        assert str(second) in prediction.message
    else:
        assert prediction.match is not None, prediction
        assert (len(prediction.match.missed), len(prediction.match.unmatched)) == case.official
    if READS_SAFETENSORS or case.number != "31":
        check_doors(case.number, doors)


def _check_loading(expected: Loads, diff):
    candidate = diff.candidate
    found = (candidate.name, candidate.role.split(",")[0], candidate.dialect, candidate.variant)
    assert found == (expected.candidate, expected.role, expected.dialect, "L")
    tensors = diff.select("backbone.*").read()
    official = backbone(salt=expected.salt)
    assert tensors.keys() == {f"backbone.{name}" for name in official}
    for name, value in official.items():
        assert torch.equal(tensors[f"backbone.{name}"], expected.expect(name, value)), name
    assert not diff.verdict.failures


def test_all_rows_of_the_table_are_here():
    numbers = {int(case.number.rstrip("b")) for case in CASES}
    assert numbers == set(range(1, 67))

"""Tuning files are written whole or not at all, and read back bit for bit."""

import pytest
import torch

from rtdetr_nb.checkpoint.checkpoint import Checkpoint
from rtdetr_nb.checkpoint.tuning import proof
from rtdetr_nb.checkpoint.tuning.proof import bit_equal, write_proved
from rtdetr_nb.checkpoint.tuning.write import write_tuning_file
from rtdetr_nb.errors import TuningError


@pytest.mark.parametrize("reason", [OSError(28, "No space left on device"), RuntimeError("write")])
def test_a_full_disk_leaves_nothing_behind(backbone_diff, tmp_path, monkeypatch, reason):
    def fail(path, *_):
        path.write_bytes(b"half")
        raise reason

    monkeypatch.setattr(proof, "_write_torch", fail)
    (tmp_path / "t.pth").write_text("mine")
    with pytest.raises(TuningError, match="cannot be written"):
        write_tuning_file(backbone_diff.select("stem"), tmp_path / "t.pth", overwrite=True)
    assert [entry.name for entry in tmp_path.iterdir()] == ["t.pth"]
    assert (tmp_path / "t.pth").read_text() == "mine"


def test_a_write_that_does_not_come_back_is_caught(backbone_diff, tmp_path, monkeypatch):
    write = proof._write_torch

    def flip_a_bit(path, tensors, provenance):
        key = next(iter(tensors))
        changed = tensors[key].clone()
        changed.view(torch.int32).view(-1)[0] ^= 1
        write(path, {**tensors, key: changed}, provenance)

    monkeypatch.setattr(proof, "_write_torch", flip_a_bit)
    with pytest.raises(TuningError, match="did not come back: 1 of 25"):
        write_tuning_file(backbone_diff.select("stem"), tmp_path / "t.pth")
    assert not list(tmp_path.iterdir())


def test_the_written_file_is_read_back_in_one_pass(tmp_path, monkeypatch):
    """Each tensor once, in the order of the file, by one call."""
    asked = []
    iterate = Checkpoint.iterate_numpy

    def count(self, keys):
        keys = list(keys)
        asked.append(keys)
        return iterate(self, keys)

    monkeypatch.setattr(Checkpoint, "iterate_numpy", count)
    monkeypatch.setattr(Checkpoint, "read", None)
    tensors = {f"layer{i}.weight": torch.full((3, i + 1), float(i)) for i in range(20)}
    proved = write_proved(tmp_path / "t.pth", tensors, {})
    assert proved.equal == dict.fromkeys(tensors, True)
    assert asked == [[f"model.{name}" for name in tensors]]


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize(
    "value",
    [
        torch.tensor([0.1, float("nan"), -0.0]),
        torch.tensor([1.5, 2.5]).bfloat16(),
        torch.tensor([1.5, 2.5]).half(),
        torch.tensor([1.5, 2.5]).to(torch.float8_e4m3fn),
        torch.tensor(7),
        torch.tensor([True, False]),
        torch.zeros(0, 3),
    ],
    ids=lambda value: str(value.dtype),
)
def test_every_type_comes_back(tmp_path, suffix, value):
    proved = write_proved(tmp_path / f"t{suffix}", {"a": value}, {"from": "a test"})
    assert proved.equal == {"a": True}
    assert proved.state_dict["a"].shape == value.shape


def test_a_tensor_that_is_left_out_or_added_is_noticed(tmp_path, monkeypatch):
    write = proof._write_torch
    tensors = {"a": torch.ones(2), "b": torch.ones(3)}
    for changed in ({"a": tensors["a"]}, {**tensors, "c": torch.ones(1)}):
        monkeypatch.setattr(
            proof, "_write_torch", lambda path, _, provenance, c=changed: write(path, c, provenance)
        )
        with pytest.raises(TuningError, match="did not come back"):
            write_proved(tmp_path / "t.pth", tensors, {})
    assert not list(tmp_path.iterdir())


def test_bits_are_compared_not_numbers():
    nan = torch.tensor([float("nan"), 1.0])
    assert bit_equal(nan, nan.clone())
    assert not bit_equal(torch.tensor([0.0]), torch.tensor([-0.0]))
    assert not bit_equal(torch.ones(2), torch.ones(2).double())
    assert not bit_equal(torch.ones(2), torch.ones(1, 2))

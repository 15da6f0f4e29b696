"""Candidates: what is found, what each is, and which one is meant."""

from pathlib import Path

import pytest

from rtdetr_nb.architecture.key_info import KeyInfo
from rtdetr_nb.architecture.state_dict_table import backbone_keys
from rtdetr_nb.checkpoint.checkpoint import Checkpoint, choose_candidate, open_checkpoint
from rtdetr_nb.checkpoint.reading.tensor_info import ModuleInfo, TensorInfo
from rtdetr_nb.errors import AmbiguousCheckpointError, CheckpointError


def checkpoint(
    *prefixes: str, extra: tuple[str, ...] = (), modules=None, variant: str = "L"
) -> Checkpoint:
    """A checkpoint with a backbone below each prefix, without values."""
    table = backbone_keys(variant, freeze_norm=True)
    keys: dict[str, KeyInfo] = {
        prefix + key: info for prefix in prefixes for key, info in table.items()
    }
    keys.update((key, KeyInfo((3,))) for key in extra)
    tensors = {key: TensorInfo(key, info.shape, info.dtype) for key, info in keys.items()}
    return Checkpoint(Path("file.pth"), "torch zip", tensors, modules or {}, {}, ())


@pytest.mark.parametrize(
    ("prefixes", "names", "roles"),
    [
        (["model.", "ema.module."], ["ema.module", "model"], ["ema", "raw"]),
        (["state_dict.", "state_dict_ema."], ["state_dict_ema", "state_dict"], ["ema", "raw"]),
        (["teacher.", "student."], ["student", "teacher"], ["student", "teacher"]),
        (
            ["state_dict.student.backbone.", "state_dict.teacher.backbone."],
            ["state_dict.student", "state_dict.teacher"],
            ["student", "teacher"],
        ),
        (
            ["ema_state_dict.module.backbone.", "state_dict.backbone."],
            ["ema_state_dict.module", "state_dict"],
            ["ema", "raw"],
        ),
        (
            ["model.student.", "model.teacher.", "ema.student.", "ema.teacher."],
            ["ema.student", "model.student", "ema.teacher", "model.teacher"],
            ["student, ema", "student, raw", "teacher, ema", "teacher, raw"],
        ),
        (["backbone."], ["top level"], ["model"]),
        (["a.backbone.", "a."], ["a.backbone", "a"], ["model", "model"]),
    ],
)
def test_names_and_roles_in_order_of_preference(prefixes, names, roles):
    found = checkpoint(*prefixes).candidates
    assert [candidate.name for candidate in found] == names
    assert [candidate.role for candidate in found] == roles


def test_the_first_is_chosen_and_others_by_name_prefix_or_role():
    file = checkpoint("model.backbone.", "ema.module.backbone.")
    assert choose_candidate(file).name == "ema.module"
    for name in ("model", "model.backbone.", "model.backbone", "raw"):
        assert choose_candidate(file, name).name == "model"


def test_two_that_nothing_tells_apart_are_a_question():
    file = checkpoint("net_a.", "net_b.")
    with pytest.raises(AmbiguousCheckpointError, match=r"net_a .*net_b .*--candidate"):
        choose_candidate(file)
    assert choose_candidate(file, "net_b").name == "net_b"


def test_the_configured_size_decides_between_equals():
    small, large = checkpoint("a."), checkpoint("b.", variant="X")
    both = Checkpoint(small.path, "torch zip", {**small.tensors, **large.tensors}, {}, {}, ())
    with pytest.raises(AmbiguousCheckpointError):
        choose_candidate(both)
    assert choose_candidate(both, variant="L").name == "a"
    assert choose_candidate(both, variant="X").name == "b"


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(CheckpointError, match="It holds: ema.module, model"):
        choose_candidate(checkpoint("model.", "ema.module."), "teacher")


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (("backbone.res_layers.0.blocks.0.conv1.weight",), "PResNet"),
        (("model.layer1.0.conv1.weight",), "ResNet"),
        (
            ("stem.stem.0.conv.weight", "stages.0.blocks.0.layers.0.conv.weight"),
            "HGNet, the predecessor",
        ),
        (
            ("stages.0.blocks.0.layers.0.conv.weight", "stages.0.blocks.0.att.conv.weight"),
            "HGNet, the predecessor",
        ),
        (("head.weight",), "another architecture"),
        ((), "no tensors"),
    ],
)
def test_no_backbone_says_what_is_there(keys, words):
    with pytest.raises(CheckpointError, match=words):
        choose_candidate(checkpoint(extra=keys))


def test_another_stem_beside_it_does_not_hide_a_backbone():
    names = ("stem.stem.0.conv.weight", "stages.0.blocks.0.att.conv.weight")
    assert choose_candidate(checkpoint("", extra=names)).variant == "L"


@pytest.mark.parametrize("part", ["stages.3.", "stages.2.blocks.1.", "stem.stem4."])
def test_a_part_of_a_backbone_is_found_without_its_stem(part):
    whole = checkpoint("model.backbone.")
    some = {key: t for key, t in whole.tensors.items() if key.startswith(f"model.backbone.{part}")}
    (found,) = Checkpoint(whole.path, "torch zip", some, {}, {}, ()).candidates
    assert (found.prefix, found.tensors, found.variant) == ("model.backbone.", len(some), "L")


def test_another_size_of_hgnetv2_has_no_variant():
    file = checkpoint("")
    small = {
        key: TensorInfo(key, tuple(size // 2 for size in t.shape), t.dtype)
        for key, t in file.tensors.items()
    }
    (found,) = Checkpoint(file.path, "torch zip", small, {}, {}, ()).candidates
    assert found.variant is None


def test_the_epsilon_of_a_pickled_norm_becomes_a_value_fix():
    norm = ModuleInfo("stem.stem1.bn", "BatchNorm2d", {"eps": 1e-3})
    (found,) = checkpoint("", modules={"stem.stem1.bn": norm}).candidates
    fixed = {origin.name: origin.fix for origin in found.origins if origin.fix}
    assert list(fixed) == ["stem.stem1.bn.running_var"]
    assert fixed["stem.stem1.bn.running_var"].offset == pytest.approx(1e-3 - 1e-5)


def test_subkey_narrows_the_search(detector_file):
    found = open_checkpoint(detector_file, subkey="model").candidates
    assert [candidate.name for candidate in found] == ["model"]

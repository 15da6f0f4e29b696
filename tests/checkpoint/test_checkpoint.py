"""Opening, listing and reading, against what torch itself loads."""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from rtdetr_nb.checkpoint.checkpoint import Checkpoint, open_checkpoint
from rtdetr_nb.checkpoint.reading import arrays
from rtdetr_nb.checkpoint.reading.pickle.torch_objects import STORAGE_DTYPES
from rtdetr_nb.checkpoint.reading.tensor_info import ITEM_SIZES, Opaque, TensorInfo
from rtdetr_nb.errors import CheckpointError
from tests.checkpoint.reading._build_archives import write_torch_zip, write_zip, zip_records
from tests.checkpoint.reading._build_objects import foreign_objects, missing_module
from tests.checkpoint.reading._build_pickles import dict_of, program
from tests.checkpoint.reading._build_pickles import tensor as pickled_tensor

DTYPES = [getattr(torch, name) for name in ITEM_SIZES if hasattr(torch, name)]
LEGACY_DTYPES = [getattr(torch, name) for name in STORAGE_DTYPES.values()]
"""Those that torch can load again from a legacy file."""


def save(tmp_path: Path, value: object, **options: Any) -> Path:
    path = tmp_path / "file.pth"
    torch.save(value, path, **options)
    return path


def random_tensor(shape: tuple[int, ...], dtype: torch.dtype, seed: int) -> Tensor:
    """A tensor of random bits, so that every byte of it has to be right."""
    size = ITEM_SIZES[str(dtype).removeprefix("torch.")] * torch.Size(shape).numel()
    bits = torch.randint(0, 256, (size,), generator=torch.Generator().manual_seed(seed))
    if dtype is torch.bool:
        return (bits % 2 == 0).view(shape)
    return bits.to(torch.uint8).view(dtype).view(shape)


def assert_same(found: Tensor, expected: Tensor) -> None:
    """The same shape, dtype and bits."""
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    assert found.is_contiguous()
    bits = [torch.empty(part.shape, dtype=part.dtype).copy_(part) for part in (found, expected)]
    assert torch.equal(*(tensor.reshape(-1).view(torch.uint8) for tensor in bits))


def flatten(value: object, path: str = "") -> dict[str, Tensor]:
    """The tensors of what torch loaded, under their dotted paths."""
    if isinstance(value, Tensor):
        return {path: value}
    if isinstance(value, dict):
        parts = list(value.items())
    elif isinstance(value, (list, tuple)):
        parts = named_pairs(value) or list(enumerate(value))
    else:
        parts = []
    found: dict[str, Tensor] = {}
    for key, part in parts:
        found |= flatten(part, f"{path}.{key}" if path else str(key))
    return found


def named_pairs(value: Sequence[object]) -> list[tuple[str, Tensor]]:
    """The list itself if it is what `list(model.named_parameters())` gives, else []."""
    pairs = [
        (each[0], each[1])
        for each in value
        if isinstance(each, (list, tuple)) and len(each) == 2 and isinstance(each[0], str)
        if each[0] and isinstance(each[1], Tensor)
    ]
    return pairs if len({name for name, _ in pairs}) == len(value) else []


def assert_reads_as_torch_loads(path: Path) -> Checkpoint:
    return assert_reads_as(path, torch.load(path, weights_only=False))


def assert_reads_as(path: Path, value: object) -> Checkpoint:
    expected = flatten(value)
    checkpoint = open_checkpoint(path)
    assert list(checkpoint.tensors) == list(expected)
    for key, tensor in checkpoint.read(expected).items():
        assert_same(tensor, expected[key])
    return checkpoint


# Random nests of tensors, of every dtype and every kind of view.


@st.composite
def views(draw: st.DrawFn, bases: list[Tensor], dtypes: list[torch.dtype]) -> Tensor:
    """A new tensor, or a view of one of `bases`."""
    shape = tuple(draw(st.lists(st.integers(0, 4), max_size=4)))
    if not bases or draw(st.booleans()):
        dtype = draw(st.sampled_from(dtypes))
        bases.append(random_tensor(shape, dtype, draw(st.integers(0, 1000))))
    tensor = draw(st.sampled_from(bases))
    for _ in range(draw(st.integers(0, 3))):
        operation = draw(
            st.sampled_from(["transpose", "slice", "step", "expand", "flat", "select"])
        )
        if operation == "transpose":
            tensor = tensor.permute(draw(st.permutations(range(tensor.dim()))))
        elif operation == "flat":
            tensor = tensor.reshape(-1)
        elif operation == "expand":
            tensor = tensor.expand(draw(st.integers(1, 3)), *tensor.shape)
        elif tensor.dim() and tensor.shape[0] > 1:
            start = draw(st.integers(0, tensor.shape[0] - 1))
            if operation == "slice":
                tensor = tensor[start:]
            elif operation == "step":
                tensor = tensor[::2]
            elif operation == "select":
                tensor = tensor[start]
    return nn.Parameter(tensor, False) if draw(st.integers(0, 9)) == 0 else tensor


@st.composite
def nests(draw: st.DrawFn, dtypes: list[torch.dtype]) -> dict[str, object]:
    """A nested dict as trainers save it, with shared storages and shared parts."""
    bases: list[Tensor] = []
    leaves = views(bases, dtypes) | st.integers() | st.text(max_size=5) | st.none() | st.floats()
    keys = st.text("abcwxyz_0123", min_size=1, max_size=6)
    inner = st.recursive(
        leaves,
        lambda part: (
            st.lists(part, max_size=3)
            | st.dictionaries(keys, part, max_size=4)
            | st.dictionaries(keys, part, max_size=4).map(OrderedDict)
            | st.tuples(part, part)
        ),
        max_leaves=10,
    )
    nest: dict[str, object] = draw(st.dictionaries(keys, inner, min_size=1, max_size=4))
    if draw(st.booleans()):
        nest["again!"] = nest[draw(st.sampled_from(sorted(nest)))]
    return nest


QUICK = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@QUICK
@given(nests(DTYPES), st.sampled_from([1, 2, 3, 4, 5]))
def test_reads_what_torch_loads(tmp_path: Path, nest: dict[str, object], protocol: int) -> None:
    checkpoint = assert_reads_as_torch_loads(save(tmp_path, nest, pickle_protocol=protocol))
    assert checkpoint.container == "torch zip"


@QUICK
@given(nests(LEGACY_DTYPES), st.sampled_from([1, 2, 3, 4, 5]))
def test_reads_what_torch_loads_from_legacy_files(
    tmp_path: Path, nest: dict[str, object], protocol: int
) -> None:
    path = save(tmp_path, nest, _use_new_zipfile_serialization=False, pickle_protocol=protocol)
    assert assert_reads_as_torch_loads(path).container == "torch legacy"


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("is_zip", [True, False])
def test_every_dtype(tmp_path: Path, dtype: torch.dtype, is_zip: bool) -> None:
    tensors = {"a": random_tensor((3, 4), dtype, 1), "b": random_tensor((3, 4), dtype, 2).t()}
    path = save(tmp_path, tensors, _use_new_zipfile_serialization=is_zip)
    checkpoint = assert_reads_as(path, tensors)
    info = checkpoint.tensors["b"]
    assert (info.shape, info.dtype) == ((4, 3), str(dtype).removeprefix("torch."))
    assert (info.numel, info.nbytes) == (12, 12 * dtype.itemsize)


@pytest.mark.parametrize("protocol", [1, 2, 3, 4, 5])
def test_channels_last_and_shared_storages(tmp_path: Path, protocol: int) -> None:
    image = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    shared = torch.arange(100.0)
    tensors = {"image": image, "all": shared, "part": shared[10:20], "same": shared}
    path = save(tmp_path, tensors, pickle_protocol=protocol)
    checkpoint = assert_reads_as_torch_loads(path)
    read = checkpoint.read(["all", "part", "same"])
    read["all"].zero_()
    assert read["part"].tolist() == list(range(10, 20)) and read["same"][5] == 5


def test_only_the_bytes_of_a_view_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path, {"part": torch.arange(1_000_000.0)[500_000:500_004]})
    assert path.stat().st_size > 4_000_000
    sizes: list[int] = []
    read = arrays.OpenFiles.read

    def recording(files: Any, source: Any, start: int, stop: int) -> bytearray:
        sizes.append(stop - start)
        return read(files, source, start, stop)

    monkeypatch.setattr(arrays.OpenFiles, "read", recording)
    part = open_checkpoint(path).read(["part"])["part"]
    assert part.tolist() == [500_000.0, 500_001.0, 500_002.0, 500_003.0]
    assert sum(sizes) < 200


def test_big_endian_files(tmp_path: Path) -> None:
    values = np.array([1.5, -2.0, 3e5, 7.0], ">f4").tobytes()
    records = dict_of({"x": pickled_tensor(), "t": pickled_tensor((2, 2), (1, 2))})
    path = write_torch_zip(tmp_path / "big.pth", program(records), {"0": values})
    data = path.read_bytes()
    little = open_checkpoint(path).read_numpy(["x"])["x"]
    assert little.tolist() != [1.5, -2.0, 3e5, 7.0]
    named = zip_records(program(records), {"0": values}) | {"archive/byteorder": b"big"}
    write_zip(path, named)
    assert path.read_bytes() != data
    read = open_checkpoint(path).read(["x", "t"])
    assert read["x"].tolist() == [1.5, -2.0, 3e5, 7.0]
    assert read["t"].tolist() == [[1.5, 3e5], [-2.0, 7.0]]


def test_bits_of_types_that_numpy_lacks(tmp_path: Path) -> None:
    tensor = torch.tensor([1.0, -2.5])
    path = save(tmp_path, {"b": tensor.bfloat16(), "e": tensor.to(torch.float8_e5m2)})
    read = open_checkpoint(path).read_numpy(["b", "e"])
    assert read["b"].dtype == np.uint16 and read["b"].tolist() == [0x3F80, 0xC020]
    assert read["e"].dtype == np.uint8 and read["e"].tolist() == [0x3C, 0xC1]


# What is beside the tensors.


@pytest.mark.parametrize("name", foreign_objects())
@pytest.mark.parametrize("is_zip", [True, False])
@pytest.mark.filterwarnings("ignore")
def test_a_foreign_object_hides_no_tensor(tmp_path: Path, name: str, is_zip: bool) -> None:
    value = {"before": torch.ones(2), "foreign": foreign_objects()[name], "after": torch.ones(3)}
    path = save(tmp_path, value, _use_new_zipfile_serialization=is_zip)
    checkpoint = open_checkpoint(path)
    keys = list(checkpoint.tensors)
    assert (keys[0], keys[-1]) == ("before", "after")
    assert checkpoint.read(["after"])["after"].tolist() == [1.0, 1.0, 1.0]
    assert isinstance(checkpoint.tree, dict) and list(checkpoint.tree) == list(value)
    assert "object at 0x" not in repr(checkpoint.tree)  # everything in it describes itself


@pytest.mark.filterwarnings("ignore")
def test_what_foreign_objects_become(tmp_path: Path) -> None:
    tree: Any = open_checkpoint(save(tmp_path, foreign_objects())).tree
    assert tree["namespace"].class_name == "argparse.Namespace"
    assert tree["namespace"].attributes["lr"] == 0.1
    assert tree["path"] == Opaque("pathlib.PosixPath", ("/", "a", "b"))
    assert tree["numpy scalar"] == 0.25
    assert isinstance(tree["numpy array"], TensorInfo)
    assert tree["defaultdict"] == {"a": [1]} and tree["counter"] == {"a": 2, "b": 1}
    assert tree["deque"] == [1, 2] and tree["set"] == [1, 2]
    assert tree["complex"] == 1 + 2j and tree["bytes"] == b"\x00\xff"
    assert tree["bytearray"] == b"ab" and tree["size"] == (2, 3)
    assert tree["dtype"] == Opaque("torch.bfloat16")
    assert tree["class"] == Opaque("torch.nn.modules.linear.Linear")
    # The first releases of Python 3.11 pickle a member of an enum by `getattr`.
    by_name = tree["enum"].class_name == "builtins.getattr"
    color = tree["enum"].arguments[0] if by_name else tree["enum"]
    assert color.class_name == "tests.checkpoint.reading._build_objects.Color"
    assert tree["simple"].attributes == {"value": 3}
    assert isinstance(tree["meta"], TensorInfo) and "no values" in tree["meta"].lacking


@pytest.mark.parametrize("value", [0, 0.0, False, -1.5, 2**40])
@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", "i8", "u1", "?", ">f8"])
def test_numpy_scalars_of_every_type(tmp_path: Path, value: float, dtype: str) -> None:
    scalar = np.array(value).astype(dtype)[()]
    tree: Any = open_checkpoint(save(tmp_path, {"scalar": scalar})).tree
    assert tree["scalar"] == scalar.item() and not isinstance(tree["scalar"], Opaque)


def test_an_object_of_a_missing_module(tmp_path: Path) -> None:
    with missing_module() as config:
        instance = config()
        instance.depth = 5
        instance.weights = {"w": torch.ones(2)}
        path = save(tmp_path, {"model": {"x": torch.zeros(1)}, "config": instance})
    checkpoint = open_checkpoint(path)
    assert list(checkpoint.tensors) == ["model.x", "config.weights.w"]
    assert isinstance(checkpoint.tree, dict)
    config = checkpoint.tree["config"]
    assert (config.class_name, config.attributes["depth"]) == ("cvperception_core.Config", 5)


# Pickled modules.


class Net(nn.Module):
    """A module with everything that a state dict leaves out or puts in."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, eps=1e-3))
        self.scale = nn.Parameter(torch.ones(3))
        self.register_buffer("kept", torch.zeros(2))
        self.register_buffer("passing", torch.zeros(2), persistent=False)
        self.register_parameter("nothing", None)
        self.names = ["a", "b"]
        self.not_registered = [nn.Linear(2, 2)]


@pytest.mark.parametrize("is_zip", [True, False])
def test_a_module_is_listed_as_its_state_dict(tmp_path: Path, is_zip: bool) -> None:
    net = Net()
    path = save(tmp_path, {"ema": net, "n": 1}, _use_new_zipfile_serialization=is_zip)
    checkpoint = open_checkpoint(path)
    state = net.state_dict()
    assert set(checkpoint.tensors) == {f"ema.{key}" for key in state}
    for key, tensor in checkpoint.read(checkpoint.tensors).items():
        assert_same(tensor, state[key.removeprefix("ema.")])
    parameters = {f"ema.{key}" for key, _ in net.named_parameters()} & set(checkpoint.tensors)
    kinds = {key: info.kind for key, info in checkpoint.tensors.items()}
    assert {key for key, kind in kinds.items() if kind == "parameter"} == parameters
    assert {key for key, kind in kinds.items() if kind == "buffer"} == set(kinds) - parameters
    assert list(checkpoint.modules)[-1] == "ema"
    norm = checkpoint.modules["ema.stem.1"]
    assert norm.class_name == "torch.nn.modules.batchnorm.BatchNorm2d"
    assert norm.attributes["eps"] == 1e-3
    assert checkpoint.modules["ema"].attributes["names"] == ["a", "b"]


def test_a_shared_module_is_known_in_every_place(tmp_path: Path) -> None:
    net = Net()
    state = {"net": net}
    checkpoint = open_checkpoint(save(tmp_path, {"ema": net, "model": {"student": state}}))
    assert checkpoint.modules["ema.stem.1"].attributes["eps"] == 1e-3
    assert checkpoint.modules["model.student.net.stem.1"].attributes["eps"] == 1e-3
    assert checkpoint.modules["model.student.net"].key == "model.student.net"
    assert "model.student.net.stem.0.weight" in checkpoint.tensors


def test_a_file_that_is_a_module(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(save(tmp_path, nn.Linear(2, 3)))
    assert list(checkpoint.tensors) == ["weight", "bias"]
    assert checkpoint.modules[""].attributes["out_features"] == 3


def test_a_file_that_is_a_tensor(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(save(tmp_path, torch.ones(2)))
    assert checkpoint.read([""])[""].tolist() == [1.0, 1.0]


# Keys.


def test_equal_paths_are_told_apart(tmp_path: Path) -> None:
    value = {"a.b": torch.ones(1), "a": {"b": torch.zeros(1)}, 1: torch.ones(2), "1": torch.ones(3)}
    checkpoint = open_checkpoint(save(tmp_path, value))
    assert list(checkpoint.tensors) == ["a.b", "a.b~2", "1", "1~2"]
    assert checkpoint.read(["a.b~2"])["a.b~2"].tolist() == [0.0]


def test_subkey_narrows_and_keeps_full_keys(tmp_path: Path) -> None:
    state = {"w": torch.ones(1)}
    path = save(tmp_path, {"ema": {"module": state, "modules": state}, "model": state})
    assert list(open_checkpoint(path, subkey="ema.module").tensors) == ["ema.module.w"]
    with pytest.raises(CheckpointError, match=r"below 'nope'.*ema, model"):
        open_checkpoint(path, subkey="nope")


def test_an_unknown_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no tensor 'b' in it. Its 1 tensors"):
        open_checkpoint(save(tmp_path, {"a": torch.ones(1)})).read(["b"])


# The checkpoint as an object.


def test_representations_are_short_and_escaped(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(save(tmp_path, {"<b>": {"w": torch.ones(1000)}, "x": {}}))
    assert repr(checkpoint).endswith("file.pth', torch zip, 1 tensors, 0.0 MB)")
    assert ">&lt;b&gt;</td>" in checkpoint._repr_html_()
    assert "<b></td>" not in checkpoint._repr_html_()


def test_sha256_is_that_of_the_file(tmp_path: Path) -> None:
    path = save(tmp_path, {"a": torch.ones(1)})
    assert open_checkpoint(path).sha256() == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_file_that_was_replaced_is_not_read(tmp_path: Path) -> None:
    path = save(tmp_path, {"a": torch.ones(1)})
    checkpoint = open_checkpoint(path)
    save(tmp_path, {"a": torch.zeros(100)})
    with pytest.raises(CheckpointError, match="written to after it was opened"):
        checkpoint.read(["a"])
    path.unlink()
    with pytest.raises(CheckpointError, match="No such file"):
        checkpoint.read(["a"])


def test_repeated_numbers_are_read_only_within_reason(tmp_path: Path) -> None:
    one = torch.ones(1)
    path = save(tmp_path, {"small": one.expand(1000), "large": one.expand(1 << 15, 1 << 15)})
    checkpoint = open_checkpoint(path)
    assert checkpoint.tensors["large"].nbytes == 1 << 32
    assert checkpoint.read(["small"])["small"].sum() == 1000
    with pytest.raises(CheckpointError, match="'large' of shape .* takes 4,294,967,296 bytes"):
        checkpoint.read(["large"])


def test_numbers_that_are_spread_widely_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "wide.pth"
    body = dict_of({"x": pickled_tensor((2,), (3,))})
    write_torch_zip(path, program(body))
    assert open_checkpoint(path).read(["x"])["x"].tolist() == [1.0, 4.0]
    info = TensorInfo("x", (2,), "float32", "tensor", None, 0, (1 << 31,))
    with pytest.raises(CheckpointError, match="repeated or spread"):
        arrays.check_expansion([info], 100)
    honest = TensorInfo("x", (1 << 30, 2), "float32", "tensor", None)
    with pytest.raises(CheckpointError, match="at most 4,294,967,296 are read for one tensor"):
        arrays.check_expansion([honest], 9 << 30)

"""Every container, as the real programs write it, and what people mistake for one."""

import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict_saver import save as save_distributed
from torch.multiprocessing.spawn import spawn

from rtdetr_nb.checkpoint.checkpoint import Checkpoint, open_checkpoint
from rtdetr_nb.checkpoint.reading.pickle.machine import INLINE_LIMIT
from rtdetr_nb.errors import CheckpointError
from tests.checkpoint.reading._build_archives import VALUES, write_torch_zip, write_zip, zip_records
from tests.checkpoint.reading._build_pickles import dict_of, global_of, program, tuple_of
from tests.checkpoint.reading._build_pickles import tensor as pickled_tensor
from tests.free_port import free_port


def state_dict() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "stem.weight": torch.randn(4, 3, 2, 2, generator=generator),
        "stem.half": torch.randn(5, generator=generator).half(),
        "stem.brain": torch.randn(2, 3, generator=generator).bfloat16(),
        "stem.count": torch.tensor(3),
    }


def assert_holds(checkpoint: Checkpoint, expected: dict[str, Tensor]) -> None:
    assert set(expected) <= set(checkpoint.tensors)
    for key, tensor in checkpoint.read(expected).items():
        assert tensor.dtype == expected[key].dtype and torch.equal(tensor, expected[key]), key


# Safetensors and sharded checkpoints.


def test_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"  # it is told by its contents, not by its name
    save_file(state_dict(), path, metadata={"format": "pt"})
    checkpoint = open_checkpoint(path)
    assert checkpoint.container == "safetensors"
    assert_holds(checkpoint, state_dict())
    assert isinstance(checkpoint.tree, dict)
    assert checkpoint.tree["__metadata__"] == {"format": "pt"}


def write_shards(folder: Path, save: Callable[[dict[str, Tensor], Path], None], end: str) -> Path:
    """Two files with half of the state dict each, and their index."""
    weight_map: dict[str, str] = {}
    for number, keys in enumerate((["stem.weight", "stem.half"], ["stem.brain", "stem.count"])):
        name = f"model-{number}{end}"
        save({key: state_dict()[key] for key in keys}, folder / name)
        weight_map |= dict.fromkeys(keys, name)
    index = folder / f"model{end}.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 5}, "weight_map": weight_map}))
    return index


@pytest.mark.parametrize(
    ("save", "end", "container"),
    [
        (save_file, ".safetensors", "safetensors index"),
        (torch.save, ".bin", "torch bin index"),
    ],
)
def test_sharded(tmp_path: Path, save: Any, end: str, container: str) -> None:
    index = write_shards(tmp_path, save, end)
    checkpoint = open_checkpoint(index)
    assert checkpoint.container == container
    assert list(checkpoint.tensors) == list(state_dict())
    assert_holds(checkpoint, state_dict())
    assert [file.name for file in checkpoint.files] == [
        index.name, f"model-0{end}", f"model-1{end}"
    ]  # fmt: skip
    before = checkpoint.sha256()
    (tmp_path / f"model-1{end}").touch()
    assert checkpoint.sha256() == before
    with (tmp_path / f"model-1{end}").open("ab") as file:
        file.write(b"x")
    assert checkpoint.sha256() != before
    with pytest.raises(CheckpointError, match="written to after it was opened"):
        checkpoint.read(["stem.brain"])


def test_a_shard_that_is_missing_or_differs_is_named(tmp_path: Path) -> None:
    index = write_shards(tmp_path, save_file, ".safetensors")
    save_file({"other": torch.ones(1)}, tmp_path / "model-1.safetensors")
    with pytest.raises(CheckpointError, match="'stem.brain' is not in 'model-1.safetensors'"):
        open_checkpoint(index)
    (tmp_path / "model-1.safetensors").unlink()
    with pytest.raises(CheckpointError, match="'model-1.safetensors' is missing"):
        open_checkpoint(index)


# Pickles of Paddle.


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_paddle(tmp_path: Path, protocol: int) -> None:
    long = np.arange(INLINE_LIMIT, dtype="f4").reshape(4, -1)
    arrays = {"conv.weight": long, "bn._mean": np.ones(3, "f4"), "f": np.asfortranarray(long)}
    nested = {"name": ("conv_0.w", long)}
    data = {**arrays, "StructuredToParameterName@@": {"conv.weight": "conv_0.w"}, "ema": nested}
    path = tmp_path / "model.pkl"
    path.write_bytes(_reduced_tuples(data, protocol))
    checkpoint = open_checkpoint(path)
    assert checkpoint.container == "pdparams"
    expected = {key: torch.from_numpy(np.ascontiguousarray(value)) for key, value in arrays.items()}
    assert_holds(checkpoint, {**expected, "ema.name": torch.from_numpy(long)})
    assert list(checkpoint.tensors) == [*arrays, "ema.name"]


def _reduced_tuples(value: object, protocol: int) -> bytes:
    """Pickle with tuples spelt as paddle.save spells those of tensors: `tuple((name, array))`."""
    import io

    class Reduced:
        def __init__(self, parts: tuple[object, ...]) -> None:
            self.parts = parts

        def __reduce__(self) -> tuple[object, ...]:
            return tuple, (self.parts,)

    def replace(part: Any) -> Any:
        if isinstance(part, dict):
            return {key: replace(entry) for key, entry in part.items()}
        return Reduced(part) if isinstance(part, tuple) else part

    target = io.BytesIO()
    pickle.dump(replace(value), target, protocol)
    return target.getvalue()


def test_a_pickle_without_arrays_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "results.pkl"
    path.write_bytes(pickle.dumps({"AP": 0.5}))
    with pytest.raises(CheckpointError, match="a pickle without any array"):
        open_checkpoint(path)


# TorchScript.


class Small(nn.Module):
    """A module that can be scripted."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))

    def forward(self, images: Tensor) -> Tensor:
        return self.stem(images)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("traced", [True, False])
def test_torchscript(tmp_path: Path, traced: bool) -> None:
    module = Small().eval()
    path = tmp_path / "model.pt"
    scripted = (
        torch.jit.trace(module, torch.ones(1, 1, 8, 8)) if traced else torch.jit.script(module)
    )
    torch.jit.save(scripted, path)
    checkpoint = open_checkpoint(path)
    assert checkpoint.container == "TorchScript"
    assert_holds(checkpoint, module.state_dict())


# Distributed checkpoints.


@pytest.mark.filterwarnings("ignore")
def test_distributed(tmp_path: Path) -> None:
    folder = tmp_path / "step_5"
    save_distributed({"model": state_dict(), "epoch": 3}, checkpoint_id=folder)
    checkpoint = open_checkpoint(folder)
    assert checkpoint.container == "distributed checkpoint"
    assert_holds(checkpoint, {f"model.{key}": value for key, value in state_dict().items()})
    with pytest.raises(CheckpointError, match="Open the folder"):
        open_checkpoint(folder / ".metadata")
    data = next(folder.glob("*.distcp"))
    data.write_bytes(data.read_bytes()[:2000])
    with pytest.raises(CheckpointError, match="truncated"):
        open_checkpoint(folder)
    data.unlink()
    with pytest.raises(CheckpointError, match="is missing"):
        open_checkpoint(folder)


@pytest.mark.parametrize(
    "storage_data",
    [
        dict_of({"a": b"K\x01"}),
        b"}" + tuple_of(b"K\x01", b"K\x02") + global_of("a", "B") + b"s",
        b"}" + tuple_of(b"K\x01", b"K\x02") + tuple_of(b"K\x01", b"K\x02") + b"s",
    ],
)
def test_a_distributed_table_of_another_layout_is_refused(
    tmp_path: Path, storage_data: bytes
) -> None:
    state = dict_of({"state_dict_metadata": b"}", "storage_data": storage_data})
    table = global_of("torch.distributed.checkpoint.metadata", "Metadata") + b")\x81" + state + b"b"
    (tmp_path / ".metadata").write_bytes(program(table))
    with pytest.raises(CheckpointError, match="unknown layout.*dcp_to_torch"):
        open_checkpoint(tmp_path)


def _shard_in_a_process(rank: int, port: int, folder: str) -> None:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Shard, distribute_tensor

    address = f"tcp://127.0.0.1:{port}"
    torch.distributed.init_process_group("gloo", address, rank=rank, world_size=2)
    mesh = init_device_mesh("cpu", (2,))
    whole = torch.arange(35.0).reshape(7, 5)
    parts = {
        "rows": distribute_tensor(whole, mesh, [Shard(0)]),
        "columns": distribute_tensor(whole.bfloat16(), mesh, [Shard(1)]),
    }
    save_distributed(parts, checkpoint_id=folder)
    torch.distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_distributed_in_pieces(tmp_path: Path) -> None:
    spawn(_shard_in_a_process, (free_port(), str(tmp_path / "pieces")), nprocs=2)
    checkpoint = open_checkpoint(tmp_path / "pieces")
    assert len(list((tmp_path / "pieces").glob("*.distcp"))) == 2
    whole = torch.arange(35.0).reshape(7, 5)
    assert_holds(checkpoint, {"rows": whole, "columns": whole.bfloat16()})


# Zip files of torch that are unusual but sound.


def test_compressed_archives_are_read(tmp_path: Path) -> None:
    body = program(dict_of({"x": pickled_tensor()}))
    path = write_zip(tmp_path / "packed.pth", zip_records(body), zipfile.ZIP_DEFLATED)
    assert open_checkpoint(path).read(["x"])["x"].tolist() == [1.0, 2.0, 3.0, 4.0]


def test_archives_without_checksums_are_read(tmp_path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(state_dict(), tmp_path / "fast.pth")
    finally:
        torch.serialization.set_crc32_options(True)
    assert_holds(open_checkpoint(tmp_path / "fast.pth"), state_dict())


def test_archives_with_64_bit_sizes_are_read(tmp_path: Path) -> None:
    path = tmp_path / "wide.pth"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in zip_records(program(dict_of({"x": pickled_tensor()}))).items():
            with archive.open(zipfile.ZipInfo(name), "w", force_zip64=True) as record:
                record.write(data)
    assert open_checkpoint(path).read(["x"])["x"].tolist() == [1.0, 2.0, 3.0, 4.0]


def test_torch_refuses_what_we_build_by_hand_no_more_than_we_do(tmp_path: Path) -> None:
    # The hand-made archives of the hostile tests begin from one that torch itself can load.
    path = write_torch_zip(tmp_path / "made.pth", program(dict_of({"x": pickled_tensor()})))
    assert torch.load(path)["x"].tolist() == list(struct.unpack("<4f", VALUES))


# What people mistake for checkpoints.


def _tar(path: Path) -> bytes:
    import io
    import tarfile

    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        archive.addfile(tarfile.TarInfo(path.name))
    return target.getvalue()


def _compressed(name: str) -> bytes:
    module = __import__(name)
    return module.compress(pickle.dumps({"a": 1}))


MISTAKEN: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "It is empty"),
    "git-lfs": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 54213123\n",
        "Git LFS pointer.* of 54,213,123 bytes.*git lfs pull",
    ),
    "html": (b"\n<!DOCTYPE html>\n<html><body>Sign in</body></html>", "a web page.*in a browser"),
    "html with a mark": (b"\xef\xbb\xbf<html>", "a web page"),
    "xml": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "XML answer"),
    "json": (b'{"message": "Not Found"}', "JSON file.*no weight_map"),
    "text": (b"Repository not found", "text file.*'Repository not found'"),
    "gzip": (_compressed("gzip"), "compressed with gzip.*gunzip"),
    "bzip2": (_compressed("bz2"), "compressed with bzip2"),
    "xz": (_compressed("lzma"), "compressed with xz"),
    "tar": (_tar(Path("model.pth")), "tar archive.*tar xf"),
    "tar of old torch": (_tar(Path("sys_info")), "before torch 0.1.10"),
    "7z": (b"7z\xbc\xaf\x27\x1c" + bytes(30), "7-Zip"),
    "png": (b"\x89PNG\r\n\x1a\n" + bytes(30), "PNG picture"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(30), "HDF5"),
    "npy": (b"\x93NUMPY\x01\x00" + bytes(30), "single array of numpy"),
    "gguf": (b"GGUF" + bytes(30), "GGUF"),
    "onnx": (b"\x08\x08\x12\x07pytorch\x1a\x05" + bytes(range(128, 190)), "ONNX"),
    "zeros": (bytes(5000), "nothing but zeros"),
    "unknown": (bytes(range(200, 250)), "begins with the bytes c8 c9 ca"),
}


@pytest.mark.parametrize("name", MISTAKEN)
def test_each_mistake_has_its_own_sentence(tmp_path: Path, name: str) -> None:
    path = tmp_path / "best.pth"
    path.write_bytes(MISTAKEN[name][0])
    with pytest.raises(CheckpointError, match=f"best.pth: .*{MISTAKEN[name][1]}"):
        open_checkpoint(path)


def test_the_sentences_differ(tmp_path: Path) -> None:
    sentences = set()
    for data, _ in MISTAKEN.values():
        path = tmp_path / "best.pth"
        path.write_bytes(data)
        with pytest.raises(CheckpointError) as caught:
            open_checkpoint(path)
        sentences.add(str(caught.value))
    assert len(sentences) >= len(MISTAKEN) - 1  # two of them are web pages


ZIPS: dict[str, tuple[dict[str, bytes], str]] = {
    "npz": ({"a.npy": b"", "b.npy": b""}, "numpy.savez"),
    "zipped checkpoint": ({"run/best.pth": b""}, "other files in it: run/best.pth.*Unzip"),
    "interrupted": ({"best/data/0": b"", "best/version": b"3"}, "saving was interrupted"),
    "keras": ({"config.json": b"", "model.weights.h5": b""}, "Keras"),
    "export": ({"m/archive_format": b"pt2", "m/models/model.json": b""}, "torch.export"),
    "document": ({"word/document.xml": b""}, "it holds word/document.xml"),
}


@pytest.mark.parametrize("name", ZIPS)
def test_other_zip_files(tmp_path: Path, name: str) -> None:
    path = write_zip(tmp_path / "best.pth", ZIPS[name][0])
    with pytest.raises(CheckpointError, match=ZIPS[name][1]):
        open_checkpoint(path)


def test_truncated_files_say_so(tmp_path: Path) -> None:
    files = {
        "zip.pth": "its end is missing",
        "legacy.pth": "truncated: it has",
        "model.safetensors": "truncated: it has",
        "model.pdparams": "the file is truncated",
    }
    torch.save(state_dict(), tmp_path / "zip.pth")
    torch.save(state_dict(), tmp_path / "legacy.pth", _use_new_zipfile_serialization=False)
    save_file(state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "model.pdparams").write_bytes(pickle.dumps({"a": np.ones(100_000)}, 4))
    for name, sentence in files.items():
        path = tmp_path / name
        path.write_bytes(path.read_bytes()[:-50])
        with pytest.raises(CheckpointError, match=sentence):
            open_checkpoint(path)


def test_a_configuration_is_told_from_a_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "rtdetrv2.yml"
    path.write_text("num_classes: 80\n")
    with pytest.raises(CheckpointError, match=r"configuration \(YAML\).*-c"):
        open_checkpoint(path)


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    torch.save({}, tmp_path / "there.pth")
    with pytest.raises(CheckpointError, match=r"no such file. Its folder has: there.pth"):
        open_checkpoint(tmp_path / "missing.pth")
    with pytest.raises(CheckpointError, match="does not exist either"):
        open_checkpoint(tmp_path / "nowhere" / "missing.pth")
    (tmp_path / "link.pth").symlink_to("gone.pth")
    with pytest.raises(CheckpointError, match="link to 'gone.pth'"):
        open_checkpoint(tmp_path / "link.pth")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CheckpointError, match="a device or a pipe"):
        open_checkpoint(tmp_path / "pipe")
    with pytest.raises(CheckpointError, match="cannot be used"):
        open_checkpoint("nul\0.pth")


FOLDERS: dict[str, tuple[list[str], str]] = {
    "empty": ([], "an empty folder"),
    "hub": (["config.json", "model.safetensors"], "file in it: model.safetensors"),
    "sharded": (["a.safetensors", "a.safetensors.index.json"], "it: a.safetensors.index.json"),
    "unpacked": (["data.pkl", "version"], "unpacked into a folder.*zip -0"),
    "deepspeed": (["zero_to_fp32.py", "latest"], "DeepSpeed"),
    "tensorflow": (["saved_model.pb"], "TensorFlow"),
    "pictures": (["a.png"], "without checkpoint files"),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_folders(tmp_path: Path, name: str) -> None:
    for file in FOLDERS[name][0]:
        (tmp_path / file).touch()
    with pytest.raises(CheckpointError, match=FOLDERS[name][1]):
        open_checkpoint(tmp_path)

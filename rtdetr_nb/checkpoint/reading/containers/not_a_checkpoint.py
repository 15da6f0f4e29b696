"""What people mistake for checkpoints: what it is, and what to do, in one sentence each."""

from __future__ import annotations

import re
import stat
from pathlib import Path

from rtdetr_nb.errors import CheckpointError

HEAD_SIZE = 4096
"""Bytes from the start of a file that tell what it is."""

_UNPACK = "Unpack it ({}) and open the checkpoint that is inside."
_NO_CHECKPOINT = "Choose the file that holds the weights."

_SIGNATURES: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"\x1f\x8b", "is compressed with gzip", _UNPACK.format("gunzip, or tar xzf")),
    (0, b"BZh", "is compressed with bzip2", _UNPACK.format("bunzip2, or tar xjf")),
    (0, b"\xfd7zXZ\0", "is compressed with xz", _UNPACK.format("unxz, or tar xJf")),
    (0, b"\x28\xb5\x2f\xfd", "is compressed with zstandard", _UNPACK.format("unzstd")),
    (0, b"\x04\x22\x4d\x18", "is compressed with lz4", _UNPACK.format("unlz4")),
    (0, b"7z\xbc\xaf\x27\x1c", "is a 7-Zip archive", _UNPACK.format("7z x")),
    (0, b"Rar!", "is a RAR archive", _UNPACK.format("unrar x")),
    (257, b"ustar", "is a tar archive", _UNPACK.format("tar xf")),
    (0, b"\x93NUMPY", "is a single array of numpy", _NO_CHECKPOINT),
    (0, b"\x89HDF\r\n\x1a\n", "is an HDF5 file (Keras, MATLAB)",
     "Export the weights with the program that wrote it, as safetensors or with torch.save."),
    (0, b"GGUF", "is a GGUF file of llama.cpp", _NO_CHECKPOINT),
    (4, b"TFL3", "is a TensorFlow Lite model",
     "Export the weights from the model it was made of, as safetensors or with torch.save."),
    (0, b"ftrt", "is a TensorRT engine",
     "Its weights are fused; choose the checkpoint that it was built from."),
    (0, b"\x89PNG", "is a PNG picture", _NO_CHECKPOINT),
    (0, b"\xff\xd8\xff", "is a JPEG picture", _NO_CHECKPOINT),
    (0, b"GIF8", "is a GIF picture", _NO_CHECKPOINT),
    (0, b"RIFF", "is a WebP, WAV or AVI file", _NO_CHECKPOINT),
    (4, b"ftyp", "is a video", _NO_CHECKPOINT),
    (0, b"%PDF", "is a PDF document", _NO_CHECKPOINT),
    (0, b"\x7fELF", "is a program or library", _NO_CHECKPOINT),
    (0, b"MZ", "is a Windows program", _NO_CHECKPOINT),
    (0, b"SQLite format 3", "is an SQLite database", _NO_CHECKPOINT),
    (0, b"PAR1", "is a Parquet table", _NO_CHECKPOINT),
)  # fmt: skip


_PADDLE_SUFFIXES = frozenset({".pdiparams", ".pdmodel"})
_TAR_MEMBERS = frozenset({b"sys_info", b"pickle", b"tensors", b"storages"})
_WEIGHT_SUFFIXES = frozenset({
    ".pth", ".pt", ".ckpt", ".bin", ".safetensors", ".pdparams", ".pkl", ".tar",
})  # fmt: skip


def refuse_path(path: Path) -> None:
    """Refuse anything but a regular file or folder, before it is read.

    Raises:
        CheckpointError: There is nothing at `path`, or a device or pipe.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        if path.is_symlink():
            raise CheckpointError(
                f"It is a link to {str(path.readlink())!r}, which does not exist. Download the "
                "file that it stands for."
            ) from None
        raise CheckpointError(f"There is no such file. {_nearby(path)}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise CheckpointError(f"The path cannot be used ({reason}). Check it.") from error
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise CheckpointError("It is a device or a pipe, not a file. Save it to a file first.")


def _nearby(path: Path) -> str:
    """What to try instead of a missing file."""
    if not path.parent.is_dir():
        return f"Its folder {str(path.parent)!r} does not exist either; check the path."
    names = sorted(
        entry.name for entry in path.parent.iterdir() if entry.suffix in _WEIGHT_SUFFIXES
    )
    if not names:
        return "Check the path."
    return f"Its folder has: {_shortened(names)}."


def refuse_folder(path: Path) -> CheckpointError:
    """The error for a folder that is not a distributed checkpoint."""
    names = sorted(entry.name for entry in path.iterdir())
    if not names:
        return CheckpointError("It is an empty folder. Choose the checkpoint file.")
    if "data.pkl" in names:
        return CheckpointError(
            "It is a file of torch.save that was unpacked into a folder (some systems do that "
            "after a download). Pack it again without compression: "
            f"zip -0 -r {path.name}.pth {path.name} from the folder above it."
        )
    if "zero_to_fp32.py" in names:
        return CheckpointError(
            "It is a folder of DeepSpeed. Run the zero_to_fp32.py in it and open its result."
        )
    if "saved_model.pb" in names:
        return CheckpointError("It is a folder of TensorFlow. Choose a checkpoint of torch.")
    indexes = [name for name in names if name.endswith(".index.json")]
    weights = indexes or [name for name in names if Path(name).suffix in _WEIGHT_SUFFIXES]
    if weights:
        return CheckpointError(f"It is a folder. Choose the file in it: {_shortened(weights)}.")
    return CheckpointError("It is a folder without checkpoint files. Choose the checkpoint file.")


def _shortened(names: list[str], limit: int = 8) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def refuse_contents(path: Path, head: bytes, size: int) -> CheckpointError:
    """The error for a file of no known container.

    Args:
        path: The file.
        head: Its first `HEAD_SIZE` bytes.
        size: How many bytes it has.
    """
    if size == 0:
        return CheckpointError(
            "It is empty: the download or the saving never finished. Copy, download or save it "
            "again."
        )
    if head.startswith(b"version https://git-lfs"):
        return _lfs_pointer(head)
    if head[257:262] == b"ustar" and head[:100].rstrip(b"\0") in _TAR_MEMBERS:
        return CheckpointError(
            "It is a file of torch.save from before torch 0.1.10. Load it with torch 1.x and save "
            "it again."
        )
    for offset, signature, what, remedy in _SIGNATURES:
        if head[offset : offset + len(signature)] == signature:
            return CheckpointError(f"It {what}, not a checkpoint. {remedy}")
    if path.suffix in _PADDLE_SUFFIXES or _is_paddle_tensor(head):
        return _paddle_inference()
    if not head.strip(b"\0"):
        return CheckpointError(
            "It begins with nothing but zeros: a download that reserved its space and never "
            "finished. Download it again."
        )
    if path.suffix == ".onnx" or b"onnx" in head[:64] or head[2:11] == b"\x12\x07pytorch":
        return CheckpointError(
            "It is an ONNX model, not a checkpoint. Choose the checkpoint that it was exported "
            "from."
        )
    return _text_file(path, head) or CheckpointError(
        f"It is not a checkpoint of a known kind: it begins with the bytes {head[:8].hex(' ')}. "
        "Known are files of torch.save, safetensors, TorchScript and Paddle, indexes of sharded "
        "checkpoints, and folders of torch.distributed.checkpoint."
    )


def _is_paddle_tensor(head: bytes) -> bool:
    """Recognise the file of a program's parameters by its first tensor.

    It begins with a version and a number of levels, both zero, another version, and a description
    of the type of its elements.
    """
    size = int.from_bytes(head[16:20], "little")
    return head[:16] == bytes(16) and 0 < size < 64 and head[20:21] == b"\x08"


def _paddle_inference() -> CheckpointError:
    return CheckpointError(
        "It belongs to an inference model of PaddlePaddle, which does not have the tensors under "
        "the names of the training. Choose the .pdparams that it was exported from."
    )


def refuse_json(index: object) -> CheckpointError:
    """The error for a JSON file that is no index of a checkpoint.

    Args:
        index: What is in it.
    """
    base = index.get("base_code") if isinstance(index, dict) else None
    if isinstance(base, dict) and base.get("magic") == "pir":
        return _paddle_inference()
    return CheckpointError(
        "It is a JSON file, but not the index of a checkpoint: it has no weight_map. Choose "
        "the file with the weights, or its *.index.json."
    )


def refuse_zip(names: list[str]) -> CheckpointError:
    """The error for a zip file that torch did not write.

    Args:
        names: The names of its records.
    """
    inner = [name.partition("/")[2] for name in names]
    weights = [name for name in names if Path(name).suffix in _WEIGHT_SUFFIXES]
    if all(name.endswith(".npy") for name in names):
        return CheckpointError(
            "It is a file of numpy.savez, not a checkpoint. Save its arrays as safetensors "
            "(safetensors.numpy.save_file) and open that."
        )
    if "archive_format" in inner or "models/model.json" in inner:
        return CheckpointError(
            "It is a program of torch.export, not a checkpoint. Choose the checkpoint that it was "
            "exported from."
        )
    if "model.weights.h5" in names:
        return CheckpointError(
            "It is a model of Keras. Export its weights as safetensors or with torch.save."
        )
    if "model.json" in inner and any(name.startswith("tensors/") for name in inner):
        return CheckpointError(
            "It is a TorchScript archive from before torch 1.4. Load it with torch.jit.load and "
            "save its state_dict() with torch.save."
        )
    if weights:
        return CheckpointError(
            f"It is a zip archive with other files in it: {_shortened(weights)}. Unzip it and open "
            "the checkpoint that is inside."
        )
    if any(name in ("version", "byteorder") or name.startswith("data/") for name in inner):
        return CheckpointError(
            "It is a file of torch.save without its description (data.pkl), because saving was "
            "interrupted. Use an earlier checkpoint, or save it again."
        )
    return CheckpointError(
        f"It is a zip file, but not one of torch.save: it holds {_shortened(names, 4)}. Choose the "
        "file that holds the weights."
    )


def _lfs_pointer(head: bytes) -> CheckpointError:
    size = re.search(rb"^size (\d{1,18})$", head, re.MULTILINE)
    real = f" of {int(size[1]):,} bytes" if size else ""
    return CheckpointError(
        f"It is a Git LFS pointer, a note that stands for the file{real}, and not the file. Run "
        "git lfs pull in its repository, or download the file itself."
    )


def _text_file(path: Path, head: bytes) -> CheckpointError | None:
    try:
        text = (
            head.decode("utf-8") if len(head) < HEAD_SIZE else head[:-4].decode("utf-8", "ignore")
        )
    except UnicodeDecodeError:
        return None
    if not all(character.isprintable() or character in "\r\n\t\f\ufeff" for character in text):
        return None
    start = text.lstrip("\ufeff \r\n\t").lower()
    if start.startswith(("<!doctype html", "<html", "<head")):
        return CheckpointError(
            "It is a web page that was saved under the name of the checkpoint: as a rule the page "
            "of a login, a confirmation or an error. Open the link in a browser and download the "
            "file itself."
        )
    if start.startswith(("<?xml", "<error")):
        return CheckpointError(
            "It is an XML answer of a server, as a rule an error, that was saved under the name of "
            "the checkpoint. Check the link and download the file again."
        )
    if path.suffix in (".yml", ".yaml"):
        return CheckpointError(
            "It is a configuration (YAML), not a checkpoint. Give it as the configuration (-c), "
            "and choose the file with the weights."
        )
    first = text.strip().splitlines()[0][:60] if text.strip() else ""
    return CheckpointError(
        f"It is a text file, not a checkpoint; it begins with {first!r}. {_NO_CHECKPOINT}"
    )

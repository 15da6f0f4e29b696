"""Files of torch, packed by hand so that any part of them can be wrong."""

import pickle
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

from rtdetr_nb.checkpoint.reading.containers.torch_legacy import MAGIC_NUMBER, PROTOCOL_VERSION

VALUES = struct.pack("<4f", 1.0, 2.0, 3.0, 4.0)
"""The bytes of the one storage that the files have."""


def zip_records(data_pkl: bytes, storages: Mapping[str, bytes] | None = None) -> dict[str, bytes]:
    """The records of a zip file of torch.save."""
    named = {"0": VALUES} if storages is None else storages
    return {
        "archive/data.pkl": data_pkl,
        "archive/byteorder": b"little",
        **{f"archive/data/{key}": data for key, data in named.items()},
        "archive/version": b"3\n",
    }


def write_zip(
    path: Path, records: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED
) -> Path:
    """Write records into a zip file."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in records.items():
            archive.writestr(zipfile.ZipInfo(name), data, compression)
    return path


def write_torch_zip(
    path: Path, data_pkl: bytes, storages: Mapping[str, bytes] | None = None
) -> Path:
    """Write a zip file of torch.save whose description is `data_pkl`."""
    return write_zip(path, zip_records(data_pkl, storages))


def write_legacy(
    path: Path, body: bytes, keys: tuple[str, ...] = ("0",), tail: bytes = b""
) -> Path:
    """Write a legacy file of torch.save whose third pickle is `body`, with one storage."""
    parts = [
        pickle.dumps(MAGIC_NUMBER, 2),
        pickle.dumps(PROTOCOL_VERSION, 2),
        pickle.dumps({"little_endian": True}, 2),
        body,
        pickle.dumps(list(keys), 2),
        *(struct.pack("<q", 4) + VALUES for _ in keys),
        tail,
    ]
    path.write_bytes(b"".join(parts))
    return path


def replace_once(path: Path, old: bytes, new: bytes, start: int = 0) -> Path:
    """Change the first occurrence of `old` from byte `start` on; sizes stay as they are."""
    data = path.read_bytes()
    at = data.index(old, start)
    assert len(old) == len(new)
    path.write_bytes(data[:at] + new + data[at + len(old) :])
    return path

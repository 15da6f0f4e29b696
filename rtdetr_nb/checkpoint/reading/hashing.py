"""The SHA-256 of a checkpoint, of one file or of several."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

_CHUNK = 1 << 20


def sha256_of_files(files: Sequence[Path]) -> str:
    """Return the SHA-256 of a file, in hexadecimal.

    Of several files: of the lines `<sha256> <file name>`, in their order, as the `sha256sum`
    program would hash and list them.
    """
    from hashlib import sha256  # loads OpenSSL, which few who open a file need

    if len(files) == 1:
        return _hash_file(files[0])
    lines = "".join(f"{_hash_file(file)}  {file.name}\n" for file in files)
    return sha256(lines.encode()).hexdigest()


def _hash_file(path: Path) -> str:
    from hashlib import sha256

    digest = sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()

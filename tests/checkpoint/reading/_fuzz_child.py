"""Opens mutated files, many of them, and prints what came of it as one JSON object.

Arguments: a folder of sound files, the number of mutated files to try, and a seed. Everything but
`CheckpointError` counts as a crash, and so does a file that takes longer than `SECONDS`.
"""

import json
import os
import random
import struct
import sys
import time
import traceback
import zipfile
from collections import Counter
from io import BytesIO
from pathlib import Path
from zlib import crc32

from rtdetr_nb.checkpoint.checkpoint import open_checkpoint
from rtdetr_nb.errors import CheckpointError

SECONDS = 10.0
_LARGEST = 200_000
_NUMBERS = [b"\0", b"\x01", b"\x7f", b"\x80", b"\xff", b"\xff\xff\xff\xff", b"\0" * 8, b"\x7f\xff"]
_OPCODES = bytes(range(0x80, 0x99)) + b"(.012NIJKLMFGSTUBCVX]lae)t}dsughjpqrcRiobPQ"


def mutate(data: bytes, other: bytes, generator: random.Random) -> bytes:
    """Change `data` in a few places; some of what comes in may be taken from `other`."""
    changed = bytearray(data)
    for _ in range(generator.choice((1, 1, 1, 1, 2, 3, 6))):
        at = generator.randrange(len(changed) + 1)
        length = min(generator.choice((1, 1, 1, 2, 4, 8, 30, 200)), len(changed) - at)
        changed[at : at + length] = _replacement(bytes(changed[at : at + length]), other, generator)
    if generator.random() < 0.03:
        del changed[generator.randrange(len(changed) + 1) :]
    return bytes(changed[:_LARGEST])


def _replacement(old: bytes, other: bytes, generator: random.Random) -> bytes:
    kind = generator.randrange(6)
    if kind == 0:
        return bytes([generator.randrange(256)])
    if kind == 1:
        return bytes([generator.choice(_OPCODES)])
    if kind == 2:
        return generator.choice(_NUMBERS)
    if kind == 3:
        return b""
    if kind == 4:
        return old * generator.choice((2, 3, 50))
    start = generator.randrange(len(other) + 1)
    return other[start : start + len(old)]


def pack(records: dict[str, bytes]) -> bytes:
    """A zip file of these records, like `zipfile` makes it but in a tenth of the time."""
    body, table = bytearray(), bytearray()
    for name, data in records.items():
        encoded = name.encode()
        common = struct.pack(
            "<5H3L2H", 20, 0, 0, 0, 0, crc32(data), *(len(data),) * 2, len(name), 0
        )
        table += b"PK\x01\x02\x14\x00" + common + struct.pack("<3H2L", 0, 0, 0, 0, len(body))
        table += encoded
        body += b"PK\x03\x04" + common + encoded + data
    count = len(records)
    end = struct.pack("<4H2LH", 0, 0, count, count, len(table), len(body), 0)
    return bytes(body + table + b"PK\x05\x06" + end)


def unpack(data: bytes) -> dict[str, bytes]:
    """The records of a zip file."""
    with zipfile.ZipFile(BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


class Fuzzer:
    """Mutates the files of a folder and opens the results."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._seed = seed
        self._names = sorted(path.name for path in folder.iterdir() if path.is_file())
        self._files = [(folder / name).read_bytes() for name in self._names]
        self._records = [unpack(data) if data.startswith(b"PK") else {} for data in self._files]
        self._path = folder / "mutated"
        self.outcomes: Counter[str] = Counter()
        self.crashes: list[str] = []
        self.slowest = 0.0

    def try_one(self, number: int) -> None:
        """Make and open the mutated file of that number; the same one for the same seed."""
        generator = random.Random(f"{self._seed}:{number}")
        index = generator.randrange(len(self._files))
        data, other = self._files[index], generator.choice(self._files)
        records = self._records[index]
        if records and generator.random() < 0.8:
            # What is wrong is then the description, and not already its checksum.
            name = next(name for name in records if name.endswith("data.pkl"))
            mutated = pack({**records, name: mutate(records[name], other, generator)})
        else:
            mutated = mutate(data, other, generator)
        path = self._path
        if self._names[index] == ".metadata":
            path = self._path.parent / "distributed" / ".metadata"
        path.write_bytes(mutated)
        start = time.perf_counter()
        try:
            self.outcomes[self._open(path)] += 1
        except Exception:  # noqa: BLE001 (whatever escapes is what is looked for)
            self.crashes.append(f"{number} ({self._names[index]}): {traceback.format_exc()}")
        seconds = time.perf_counter() - start
        self.slowest = max(self.slowest, seconds)
        if seconds > SECONDS:
            self.crashes.append(f"{number} ({self._names[index]}): took {seconds:.1f} s")

    @staticmethod
    def _open(path: Path) -> str:
        try:
            target = path.parent if path.name == ".metadata" else path
            checkpoint = open_checkpoint(target)
            repr(checkpoint.tree)
            checkpoint.read_numpy(list(checkpoint.tensors)[:20])
        except CheckpointError:
            return "refused"
        return "opened"


def resident() -> int:
    """Bytes of memory in use."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    folder, count, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    fuzzer = Fuzzer(folder, seed)
    warm = min(count // 10, 2_000)
    start = time.perf_counter()
    before = 0
    for number in range(count):
        if number == warm:
            before = resident()
        fuzzer.try_one(number)
        if len(fuzzer.crashes) >= 20:
            break
    result = {
        "streams": sum(fuzzer.outcomes.values()) + len(fuzzer.crashes),
        "seconds": time.perf_counter() - start,
        "grown": resident() - before,
        "slowest": fuzzer.slowest,
        "outcomes": fuzzer.outcomes,
        "crashes": fuzzer.crashes,
    }
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()

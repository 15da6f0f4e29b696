"""The bytes of a JSON file, in UTF-8 and without a mark; or the encoding that they seem to have."""

import codecs
import os
import re
from pathlib import Path

from rtdetr_nb.datasets.annotations.notes import NOTE, DataNote
from rtdetr_nb.errors import DatasetError

_MARKS = (  # the longer ones first: UTF-32 begins like UTF-16
    (codecs.BOM_UTF8, "UTF-8"),
    (codecs.BOM_UTF32_LE, "UTF-32-LE"),
    (codecs.BOM_UTF32_BE, "UTF-32-BE"),
    (codecs.BOM_UTF16_LE, "UTF-16-LE"),
    (codecs.BOM_UTF16_BE, "UTF-16-BE"),
)
# JSON begins with a brace: with zeros beside it, it is in two or four bytes a letter.
_STARTS = (
    (b"{\0\0\0", "UTF-32-LE"),
    (b"\0\0\0{", "UTF-32-BE"),
    (b"{\0", "UTF-16-LE"),
    (b"\0{", "UTF-16-BE"),
)
_CJK = re.compile("[\u3040-\u30ff\u4e00-\u9fff\u3000-\u303f\uff00-\uffef\uac00-\ud7af]")
_LAST_HANGUL = 0xC8  # no Korean syllable has a later first byte
_LOOKED_AT = 65_536  # bytes


def read_json_bytes(path: Path) -> tuple[bytes, list[DataNote]]:
    """The content in UTF-8, and what was taken away to get it.

    Raises:
        DatasetError: the file cannot be read.
    """
    try:
        # Larger than the file: a single read, without a copy.
        with open(path, "rb", buffering=0) as file:
            content = file.read(os.fstat(file.fileno()).st_size + 1) or b""
    except OSError as error:
        raise DatasetError(
            f"The annotation file {path} cannot be read ({error.strerror}). Set dataset.ann_file "
            "to a COCO-format JSON file."
        ) from error
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return _without_mark(path, content, mark, encoding), [_told(path, encoding)]
    for start, encoding in _STARTS:
        if content.startswith(start):
            return _without_mark(path, content, b"", encoding), [_told(path, encoding)]
    return content, []


def _without_mark(path: Path, content: bytes, mark: bytes, encoding: str) -> bytes:
    if encoding == "UTF-8":
        return content[len(mark) :]
    try:
        return content[len(mark) :].decode(encoding).encode("utf-8")
    except UnicodeDecodeError as error:
        raise DatasetError(
            f"The annotation file {path} begins as {encoding}, but is not in it ({error}). Save it "
            "as UTF-8."
        ) from error


def _told(path: Path, encoding: str) -> DataNote:
    return DataNote(
        kind="encoding",
        level=NOTE,
        what=f"The file is in {encoding}, or begins with its byte order mark; so it is read.",
        where=str(path),
        count=1,
        official=False,
    )


def not_utf8(path: Path, content: bytes) -> DatasetError | None:
    """The error for text that is not in UTF-8, naming what it seems to be; None for UTF-8."""
    try:
        content.decode("utf-8")
        return None
    except UnicodeDecodeError as error:
        seems = guess_encoding(content[max(error.start - _LOOKED_AT // 2, 0) :][:_LOOKED_AT])
        return DatasetError(
            f"The annotation file {path} is not in UTF-8 (byte {error.start:,}); it seems to be "
            f"{seems}. Convert it: iconv -f {seems} -t UTF-8 {path.name} > utf8.json."
        )


def guess_encoding(content: bytes) -> str:
    """The name of the encoding that a piece of JSON seems to be in, which is not UTF-8."""
    high = [byte for byte in content if byte >= 0x80]
    if sum(byte < 0xA0 for byte in high) > 0.3 * len(high):
        return "SHIFT_JIS" if _is_cjk(content, "SHIFT_JIS") else "WINDOWS-1252"
    # Western letters stand among ASCII's; those of other scripts come in whole words.
    in_words = sum(len(run) for run in re.findall(rb"[\x80-\xff]{2,}", content))
    if in_words < 0.6 * len(high):
        return "WINDOWS-1252"
    # Small Cyrillic letters are the last 32 bytes; of Chinese and Korean ones few are.
    if sum(byte >= 0xE0 for byte in high) > 0.5 * len(high):
        return "WINDOWS-1251"
    leads = [run[0] for run in re.findall(rb"[\x80-\xff]{2}", content)]
    if max(leads, default=0) <= _LAST_HANGUL and _is_cjk(content, "EUC-KR"):
        return "EUC-KR"
    return "GB18030"


def _is_cjk(content: bytes, encoding: str) -> bool:
    """Whether nearly all letters, but for those of ASCII, are Chinese, Japanese or Korean."""
    letters = [c for c in content.decode(encoding, errors="ignore") if not c.isascii()]
    return sum(bool(_CJK.match(c)) for c in letters) > 0.9 * len(letters) > 0

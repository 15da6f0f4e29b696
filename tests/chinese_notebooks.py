"""Keeps `notebooks/zh-CN/` in step with the English notebooks (`make chinese`).

A Chinese notebook has the cells of the English one under the same ids. Code cells are the same, and
each Markdown cell holds a mark of the English text that it translates.

    make chinese                           # copy code, list the texts that have fallen behind
    make chinese ARGS="--translated 02"    # the texts of 02 are translated: mark them so
"""

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

from tests.paths import ROOT

ENGLISH = ROOT / "notebooks"
CHINESE = ENGLISH / "zh-CN"
_MARK = "translates"


def english_notebooks() -> list[Path]:
    """The English notebooks, in reading order."""
    return sorted(ENGLISH.glob("*.ipynb"))


def chinese_of(english: Path) -> Path:
    """Where the Chinese notebook of an English one is."""
    return CHINESE / english.name


def read_notebook(path: Path) -> dict[str, Any]:
    """The JSON of a notebook."""
    return json.loads(path.read_text(encoding="utf-8"))


def text_of(cell: dict[str, Any]) -> str:
    """The source of a cell."""
    return "".join(cell["source"])


def fallen_behind(english: Path) -> list[str]:
    """The Markdown cells whose Chinese text does not translate today's English one.

    Returns:
        A line a cell: file, id of the cell, and how its English text begins.
    """
    marks = {cell["id"]: _mark_in(cell) for cell in _cells_of(chinese_of(english))}
    return [
        f"{english.name}, cell {cell['id']}: {text_of(cell).strip().splitlines()[0][:60]}"
        for cell in _cells_of(english)
        if cell["cell_type"] == "markdown" and marks.get(cell["id"]) != _mark(text_of(cell))
    ]


def in_step(english: Path) -> dict[str, Any]:
    """The Chinese notebook with today's cells and code; a new text is the English one, unmarked."""
    content, earlier = read_notebook(english), _cells_of(chinese_of(english))
    both = [*content["cells"], *earlier]  # a Chinese text goes before the English one
    texts = {cell["id"]: cell for cell in both if cell["cell_type"] == "markdown"}
    for cell in content["cells"]:
        if cell["cell_type"] == "markdown":
            translated = texts[cell["id"]]
            cell["source"] = translated["source"]
            cell["metadata"] = {**cell["metadata"], _MARK: _mark_in(translated)}
    return content


def mark_as_translated(english: Path, chinese: dict[str, Any]) -> None:
    """Mark each Markdown cell of a Chinese notebook as a translation of today's English text."""
    texts = {cell["id"]: text_of(cell) for cell in _cells_of(english)}
    for cell in chinese["cells"]:
        if cell["cell_type"] == "markdown":
            cell["metadata"][_MARK] = _mark(texts[cell["id"]])


def _cells_of(path: Path) -> list[dict[str, Any]]:
    return read_notebook(path)["cells"] if path.exists() else []


def _mark(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _mark_in(cell: dict[str, Any]) -> str:
    return cell["metadata"].get(_MARK, "")


def _main() -> None:
    parser = argparse.ArgumentParser(description="Keep the Chinese notebooks in step.")
    parser.add_argument("--translated", action="store_true", help="mark all texts as translated")
    parser.add_argument("notebooks", nargs="*", help="numbers, such as 02; all if not given")
    options = parser.parse_args()
    CHINESE.mkdir(exist_ok=True)
    for english in english_notebooks():
        if options.notebooks and english.name[:2] not in options.notebooks:
            continue
        chinese = in_step(english)
        if options.translated:
            mark_as_translated(english, chinese)
        text = json.dumps(chinese, indent=1, ensure_ascii=False) + "\n"
        chinese_of(english).write_text(text, encoding="utf-8")
        for line in fallen_behind(english):
            print(line)


if __name__ == "__main__":
    _main()

"""The pages: links lead somewhere, commands are ones that exist, both READMEs say the same."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from rtdetr_nb.cli import main as cli
from tests.paths import REFERENCE, ROOT

PAGES = sorted(
    page
    for page in ROOT.rglob("*.md")
    if not any(part.startswith(".") and part != ".github" for part in page.relative_to(ROOT).parts)
    and page.relative_to(ROOT).parts[0] not in ("runs", "build")
)
READMES = [ROOT / "README.md", ROOT / "README.zh-CN.md"]
_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)|(?:src|srcset)=\"([^\"]+)\"")


def _ids(page: Path) -> str:
    return str(page.relative_to(ROOT))


def _blocks(page: Path) -> list[tuple[str, str]]:
    """Language and text of each fenced block."""
    return _FENCED.findall(page.read_text(encoding="utf-8"))


def _headings(text: str) -> list[tuple[int, str]]:
    """Level and text of each heading outside code."""
    lines = _FENCED.sub("", text).splitlines()
    found = [re.match(r"(#+) (.*)", line) for line in lines]
    return [(len(match[1]), match[2]) for match in found if match]


def _anchors(page: Path) -> set[str]:
    """What `#...` may follow a link to the page, as GitHub makes it of headings."""
    texts = [text.lower() for _, text in _headings(page.read_text(encoding="utf-8"))]
    return {re.sub(r"[^\w\- ]", "", text).replace(" ", "-") for text in texts}


@pytest.mark.parametrize("page", PAGES, ids=_ids)
def test_relative_links_lead_to_files_and_headings_that_exist(page: Path) -> None:
    text = _FENCED.sub("", page.read_text(encoding="utf-8"))
    targets = [first or second for first, second in _LINK.findall(text)]
    for target in targets:
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{target} leads nowhere"
        assert not anchor or anchor in _anchors(file), f"{target}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=_ids)
def test_files_of_the_project_that_pages_name_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for name in re.findall(r"`((?:rtdetr_nb|tests|bench)/[\w/.]*)`", text):
        assert (ROOT / name).exists(), f"there is no {name}"


def _command_lines() -> list[tuple[str, str]]:
    lines = [
        (_ids(page), line.strip())
        for page in PAGES
        for language, block in _blocks(page)
        if language in ("", "sh", "bash")
        for line in block.splitlines()
    ]
    return [(page, line) for page, line in lines if re.match(r"(make|rtdetr-nb|torchrun) ", line)]


@pytest.mark.parametrize(("page", "line"), _command_lines())
def test_commands_in_pages_are_ones_that_exist(page: str, line: str) -> None:
    words = shlex.split(line, comments=True)
    if words[0] == "make":
        targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert words[1] in targets
        return
    # What the program is told, be it started by its name or as a module.
    own = words[words.index("rtdetr_nb") + 1 :] if words[0] == "torchrun" else words[1:]
    cli._build_parser().parse_args(own)


def test_the_readme_is_one_page() -> None:
    for readme in READMES:
        assert len(readme.read_text(encoding="utf-8").splitlines()) <= 100


def test_both_readmes_have_the_same_structure() -> None:
    english, chinese = (readme.read_text(encoding="utf-8") for readme in READMES)
    levels = [[level for level, _ in _headings(text)] for text in (english, chinese)]
    assert levels[0] == levels[1] and len(levels[0]) > 4
    code = [
        [(language, re.sub(r"\s*#.*", "", text)) for language, text in _blocks(readme)]
        for readme in READMES
    ]
    assert code[0] == code[1], "code differs in more than its comments"
    tables = [text.count("\n|") for text in (english, chinese)]
    assert tables[0] == tables[1]


def test_each_golden_file_says_where_it_comes_from() -> None:
    page = (REFERENCE / "README.md").read_text(encoding="utf-8")
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| `")]
    told = [name for row in rows for name in re.findall(r"`([\w./]+)`", row[0])]
    files = [path for path in REFERENCE.rglob("*") if path.is_file() and path.name != "README.md"]
    assert sorted(told) == sorted(str(path.relative_to(REFERENCE)) for path in files)
    for row in rows:
        is_official = re.search(r"config/|keys/|numerics/|official_", row[0])
        assert bool(is_official) == ("068dfde" in row[2]), row[0]


@pytest.mark.slow
@pytest.mark.parametrize("readme", READMES, ids=_ids)
def test_the_python_example_of_the_readme_runs(readme: Path, tmp_path: Path) -> None:
    (example,) = (text for language, text in _blocks(readme) if language == "python")
    (tmp_path / "data").symlink_to(ROOT / "data")
    done = subprocess.run(
        [sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"(ok|warnings) 400 tensors loaded\n", done.stdout)
    assert (tmp_path / "tuning.pth").is_file()

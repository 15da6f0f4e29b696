"""A bar says how far something is where somebody looks, and nothing elsewhere."""

import io
import sys
import time

import pytest

from rtdetr_nb import progress_bar
from rtdetr_nb.progress_bar import ProgressBar, progress


class Seen:
    """Remembers what a bar has shown."""

    def __init__(self) -> None:
        self.drawn: list[str] = []
        self.closed: list[str] = []

    def draw(self, bar: ProgressBar) -> None:
        self.drawn.append(bar.line())

    def close(self, bar: ProgressBar) -> None:
        self.closed.append(bar.last_line())


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    face = Seen()
    monkeypatch.setattr(progress_bar, "_face", lambda: face)
    return face


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the time is: one number that a test sets."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_it_says_how_far_it_is_and_ends_as_one_line(seen: Seen, clock: list[float]) -> None:
    with progress("Probe", 4, "backbone") as bar:
        clock[0] += 6
        bar.advance()
        clock[0] += 17
        bar.advance(3)
    assert seen.drawn == [
        "Probe: 0 of 4 backbones · 0 s",
        "Probe: 1 of 4 backbones · 18 s left",
        "Probe: 4 of 4 backbones · 0 s left",
    ]
    assert seen.closed == ["Probe: 4 backbones in 23 s"]


def test_parts_of_a_unit_move_the_bar_but_are_not_counted(seen: Seen, clock: list[float]) -> None:
    with progress("Probe", 2, "backbone") as bar:
        clock[0] += 10
        bar.advance(0.5)
        assert bar.share == 0.25
    assert seen.drawn[-1] == "Probe: 0 of 2 backbones · 30 s left"


def test_it_is_not_drawn_more_often_than_one_can_read(seen: Seen, clock: list[float]) -> None:
    with progress("Decoding", 1000, "picture") as bar:
        for _ in range(1000):
            clock[0] += 0.001
            bar.advance()
    assert 2 <= len(seen.drawn) <= 7
    assert seen.closed == ["Decoding: 1,000 pictures in 1 s"]


def test_an_unknown_length_and_another_plural(seen: Seen, clock: list[float]) -> None:
    with progress("Reading", unit="batch", units="batches") as bar:
        clock[0] += 2
        bar.advance(7, note="a.pth")
    assert seen.drawn[-1] == "Reading: 7 batches · 2 s · a.pth"
    assert seen.closed == ["Reading: 7 batches in 2 s"]


def test_an_error_is_told_and_passed_on(seen: Seen, clock: list[float]) -> None:
    with pytest.raises(KeyError), progress("Probe", 4, "backbone") as bar:
        bar.advance(1)
        clock[0] += 3
        raise KeyError
    assert seen.closed == ["Probe: ended after 1 of 4 backbones, 3 s"]


def test_the_outer_bar_speaks_for_the_inner_ones(seen: Seen) -> None:
    with progress("Ranking", 2, "file") as outer, progress("Probe", 3, "backbone") as inner:
        inner.advance()
        outer.advance()
    assert [line.partition(":")[0] for line in seen.closed] == ["Ranking"]
    with progress("Probe", 1, "backbone"):
        pass
    assert len(seen.closed) == 2


class Terminal(io.StringIO):
    """Standard error that somebody looks at."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_it_and_keeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress("Probe", 4, "backbone") as bar:
        bar.advance(2, note="a.pth")
        bar.say("b.pth")
    written = terminal.getvalue()
    assert "Probe: 2 of 4 backbones" in written and "b.pth" in written
    assert written.rpartition("\r")[2].strip() == ""


def test_a_pipe_gets_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("Probe", 4, "backbone") as bar:
        bar.advance(4)
    assert capsys.readouterr() == ("", "")

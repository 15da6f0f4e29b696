"""The sentence claims what the groups allow, and no more."""

from pathlib import Path

import numpy as np
import pytest

from rtdetr_nb.diagnostics.ranking.comparison import Outcome
from rtdetr_nb.diagnostics.ranking.conclusion import conclude, ranking_findings
from rtdetr_nb.diagnostics.ranking.result import RankedFile, Ranking
from rtdetr_nb.text.findings import WARNING, Finding, Verdict


def ranked(name: str, right: int, group: int, **more: object) -> RankedFile:
    """Names `right` of 200 boxes in 100 pictures."""
    outcome = Outcome(np.array([2.0] * (right // 2) + [right % 2 * 1.0] + [0.0] * 99)[:100],
                      np.full(100, 2))  # fmt: skip
    return RankedFile(Path(name), name, outcome=outcome, group=group, **more)  # pyright: ignore[reportArgumentType]


BROKEN = RankedFile(Path("bad.pth"), "bad.pth", reason="It is a text file.")
RANDOM = Outcome(np.array([0.0, 1.0] * 50), np.full(100, 2))


def test_one_leader() -> None:
    said = conclude([ranked("a", 180, 1), ranked("b", 120, 2), ranked("c", 100, 2)], 200)
    assert said == (
        "a is the best of 3 files: it names 90% of 200 held-out boxes, and each other one fewer by "
        "more than chance (b: 60%)."
    )


def test_several_lead() -> None:
    said = conclude([ranked("a", 180, 1), ranked("b", 174, 1), ranked("c", 100, 2)], 200)
    assert said.startswith("The first 2 of 3 files are not told apart by the share that they name ")
    assert "a (90%), b (87%)" in said and "best" not in said
    assert "The other one names fewer than a by more than chance." in said
    assert "If a is better than b by as much as it seems, about " in said
    assert said.endswith("boxes more would decide.")


def test_none_is_told_from_another() -> None:
    said = conclude([ranked("a", 180, 1), ranked("b", 180, 1)], 200)
    assert said.startswith("The 2 files are not told apart") and "better" not in said
    assert said.endswith("They name equally many, so more boxes need not tell them apart.")


def test_one_and_none() -> None:
    assert "one file alone is not ranked" in conclude([ranked("a", 180, 1)], 200)
    assert "None of the files could be probed" in conclude([], 200)


def test_a_broken_file_is_a_note_and_alone_a_failure() -> None:
    sound = ranked("a", 180, 1)
    assert Verdict(ranking_findings([sound, BROKEN], RANDOM)) == Verdict(
        [Finding("note", "bad.pth was not ranked.", "bad.pth", "It is a text file.")]
    )
    assert Verdict(ranking_findings([BROKEN], RANDOM)) == "failed"
    assert Verdict(ranking_findings([sound], RANDOM)) == "ok"


def test_what_knows_no_more_than_random_weights_is_said() -> None:
    (finding,) = ranking_findings([ranked("a", 54, 1)], RANDOM)
    assert (
        finding.level == WARNING and "no more than random weights do (27% and 25%)" in finding.what
    )


def test_warnings_on_the_first_file_are_told() -> None:
    warned = ranked("a", 180, 1, verdict=Verdict([Finding(WARNING, "It expects another format.")]))
    found = ranking_findings([warned, ranked("b", 100, 2)], RANDOM)
    assert [f.what for f in found] == ["It expects another format."]
    assert ranking_findings([ranked("b", 180, 1), warned], RANDOM) == []


def test_the_ranking_as_data_text_and_html() -> None:
    files = (ranked("a<1>.pth", 180, 1, epoch=3), ranked("b.pth", 100, 2), BROKEN)
    ranking = Ranking(files, "Said.", RANDOM, {}, 200, 100)
    assert ranking.best == Path("a<1>.pth") and len(ranking.ranked) == 2
    assert list(ranking.table.columns) == [
        "file", "epoch", "accuracy", "low", "high", "group", "effective_rank", "verdict", "notes",
    ]  # fmt: skip
    assert ranking.table.group.tolist()[:2] == [1, 2] and ranking.table.group.isna()[2]
    assert ranking.table.notes[2] == "It is a text file."
    assert ranking.to_dict()["files"][2]["accuracy"] is None
    assert "a&lt;1&gt;.pth" in ranking._repr_html_() and "a<1>.pth" in str(ranking)
    assert repr(ranking) == "Ranking(3 files, best=a<1>.pth, sizes of groups=[1, 1])"
    assert "AP" not in str(ranking)


@pytest.mark.parametrize("with_epochs", [True, False])
def test_the_figure_has_a_dot_a_file_in_the_colour_of_its_group(with_epochs: bool) -> None:
    files = [ranked(f"f{i}$x$", 180 - 30 * i, 1 + i // 2, epoch=i if with_epochs else None)
             for i in range(4)]  # fmt: skip
    figure = Ranking((*files, BROKEN), "Said.", RANDOM, {}, 200, 100).figure()
    (ax,) = figure.axes
    assert len(ax.containers) == 4
    colors = [container.lines[0].get_color() for container in ax.containers]
    assert colors[0] == colors[1] != colors[2] == colors[3]
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["random weights", "group 1", "group 2"]
    assert ax.get_xlabel() == ("epoch" if with_epochs else "held-out boxes named")
    assert len(figure._repr_png_()) > 5000

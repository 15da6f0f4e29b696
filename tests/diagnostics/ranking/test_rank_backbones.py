"""Files of known order, a broken one, copies, and one that expects other pictures."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from rtdetr_nb.checkpoint.tuning.input_format import FORMATS
from rtdetr_nb.cli.main import main
from rtdetr_nb.config.config import Config
from rtdetr_nb.config.load import load_config
from rtdetr_nb.diagnostics.ranking.made_stages import make_stages
from rtdetr_nb.diagnostics.ranking.rank_backbones import rank_backbones
from rtdetr_nb.diagnostics.ranking.result import Ranking
from rtdetr_nb.errors import CheckpointError, DatasetError
from tests.diagnostics.input_format.corpus import DEMO, demo_state, expecting
from tests.paths import DATA

pytestmark = pytest.mark.slow

NORMALISED = {"normalize_args": {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}}


@pytest.fixture(scope="module")
def config() -> Config:
    return load_config("rtdetrv2_hgnetv2_l", ["HGNetv2.pretrained=False"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five stages, a copy of the last, files that cannot be used, and two of another format."""
    root = tmp_path_factory.mktemp("stages")
    last = make_stages(DEMO, root, DATA / "shapes")[-1]
    shutil.copy(last, root / "twin.pth")
    (root / "text.pth").write_text("no checkpoint")
    other = expecting(demo_state(), FORMATS["imagenet"])
    torch.save({"model": other}, root / "silent.pth")
    torch.save({"model": other, **NORMALISED}, root / "stated.pth")
    shallow = {k: v for k, v in demo_state().items() if not k.startswith("stages.3")}
    torch.save(shallow, root / "shallow.pth")
    return root


@pytest.fixture(scope="module")
def ranking(config: Config, folder: Path) -> Ranking:
    return rank_backbones(folder, config, DATA / "shapes", device="cpu")


def test_the_order_is_known_and_groups_say_what_is_told_apart(ranking: Ranking) -> None:
    """Measured: 85 %, 77 %, 57 %, 27 %, 24 % of 124 boxes; random weights 24 %."""
    table = ranking.table.set_index("file")
    stages = [f"epoch_{n}.pth" for n in (5, 4, 3, 2, 1)]
    accuracies = table.loc[stages, "accuracy"].tolist()
    assert accuracies == sorted(accuracies, reverse=True)
    assert 0.80 < accuracies[0] < 0.90 and accuracies[-1] < 0.35
    groups = table.loc[stages, "group"].tolist()
    assert groups[0] == 1 and groups == sorted(groups)
    assert groups[1] < groups[2] < groups[3] == groups[4]
    assert table.loc[stages, "epoch"].tolist() == [5, 4, 3, 2, 1]
    assert (table.low[stages] < table.accuracy[stages]).all()
    assert (table.accuracy[stages] < table.high[stages]).all()


def test_equal_files_are_told_and_lie_in_one_group(ranking: Ranking) -> None:
    table = ranking.table.set_index("file")
    assert table.group["twin.pth"] == table.group["epoch_5.pth"] == 1
    assert table.accuracy["twin.pth"] == table.accuracy["epoch_5.pth"]
    assert "the same values as epoch_5.pth" in table.notes["twin.pth"]
    assert ranking.chances["epoch_5.pth", "twin.pth"] == 1.0


def test_a_file_that_cannot_be_used_is_a_row_with_its_reason(ranking: Ranking) -> None:
    (row,) = [file for file in ranking.files if file.name == "text.pth"]
    assert row.outcome is None and row.group is None and "text" in row.reason
    assert ranking.files[-1].outcome is None
    assert any("text.pth was not ranked" in f.what for f in ranking.findings)


def test_a_part_of_a_backbone_is_not_ranked_as_a_whole(ranking: Ranking) -> None:
    (row,) = [file for file in ranking.files if file.name == "shallow.pth"]
    assert row.outcome is None or row.verdict != "ok"


def test_another_input_format_is_mended_and_told(ranking: Ranking) -> None:
    """As sure as the sound file: the rewritten stem computes the same but at the border."""
    table = ranking.table.set_index("file")
    for name in ("stated.pth", "silent.pth"):
        assert "stem rewritten for RGB, ImageNet" in table.notes[name]
        assert table.group[name] == 1 and table.verdict[name] == "warnings"
        assert abs(table.accuracy[name] - table.accuracy["epoch_5.pth"]) < 0.04
    assert "as it is" in table.notes["silent.pth"] and "as it is" not in table.notes["stated.pth"]
    assert "the same values as silent.pth" in table.notes["stated.pth"]
    assert "rewritten" not in table.notes["epoch_5.pth"]


def test_the_conclusion_claims_no_more_than_the_groups(ranking: Ranking) -> None:
    assert "not told apart" in ranking.conclusion and "is the best" not in ranking.conclusion
    assert "by more than chance" in ranking.conclusion


def test_the_order_in_which_files_are_given_does_not_matter(config: Config, folder: Path) -> None:
    files = [folder / f"{name}.pth" for name in ("epoch_1", "epoch_3", "epoch_5")]
    options = {"device": "cpu", "image_size": 128, "max_pictures": 24}
    first, second = (rank_backbones(given, config, DATA / "shapes", **options)  # pyright: ignore[reportArgumentType]
                     for given in (files, files[::-1]))  # fmt: skip
    assert first.table.equals(second.table) and first.conclusion == second.conclusion
    assert first.chances == second.chances


def test_a_detector_can_be_asked_too(config: Config, folder: Path) -> None:
    files = [folder / "epoch_5.pth", folder / "epoch_1.pth"]
    ranking = rank_backbones(files, config, DATA / "shapes", detection=True, device="cpu",
                             image_size=128, max_pictures=32)  # fmt: skip
    table = ranking.table
    assert table.ap[0] > table.ap[1] and (table.ap_low < table.ap).all()
    assert "AP" in str(ranking)


def test_the_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["rank", str(folder / "epoch_5.pth"), str(folder / "text.pth"), "--data",
               str(DATA / "shapes"), "--pictures", "16", "--device", "cpu"]  # fmt: skip
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert "one file alone is not ranked" in shown and "text.pth" in shown
    assert f"rtdetr-nb convert --input {folder / 'epoch_5.pth'}" in shown
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["best"] == str(folder / "epoch_5.pth")
    assert main(["rank", str(folder / "text.pth"), "--data", str(DATA / "shapes"), "--pictures",
                 "16"]) == 2  # fmt: skip


def test_what_cannot_be_ranked_at_all_is_a_sentence(config: Config, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint directly in"):
        rank_backbones(tmp_path, config, DATA / "shapes")
    with pytest.raises(DatasetError, match="nowhere"):
        rank_backbones([DEMO], config, tmp_path / "nowhere")

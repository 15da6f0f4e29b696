"""Which of several backbones is best, on the same boxes of the same pictures.

The "best" file of a distillation is the best by the distillation's loss. Here every file names the
same held-out boxes, so that two of them are compared pair by pair, and what chance could have done
is not claimed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rtdetr_nb.config.config import Config
from rtdetr_nb.datasets.configured import configured_data
from rtdetr_nb.datasets.source import DataSource
from rtdetr_nb.diagnostics.detection.job import DetectionJob, prepare_job
from rtdetr_nb.diagnostics.detection.result import DetectionScore
from rtdetr_nb.diagnostics.probing.named_boxes import ProbeData, read_probe_data
from rtdetr_nb.diagnostics.probing.naming import Naming, name_boxes, name_boxes_at_random
from rtdetr_nb.diagnostics.ranking.comparison import (
    LEVEL,
    Outcome,
    chance_of_difference,
    group_ranked,
    outcome_of,
)
from rtdetr_nb.diagnostics.ranking.conclusion import conclude, ranking_findings
from rtdetr_nb.diagnostics.ranking.contestant import Contestant, open_contestant
from rtdetr_nb.diagnostics.ranking.epoch import epoch_in_name
from rtdetr_nb.diagnostics.ranking.files import Files, files_to_rank, names_of
from rtdetr_nb.diagnostics.ranking.fine_tune import FineTuned, ShortRuns
from rtdetr_nb.diagnostics.ranking.fine_tune import fine_tune as run_short
from rtdetr_nb.diagnostics.ranking.result import RankedFile, Ranking
from rtdetr_nb.errors import UserError
from rtdetr_nb.progress_bar import ProgressBar, progress

_INPUT_PICTURES = 16  # that the input format is judged by
_BINS = 2  # rows and columns that a box is pooled to
_PROBE_SHARE = 0.25  # of the time of a file, where a detector is trained too


def rank_backbones(
    files: Files,
    config: Config,
    data: DataSource | str | os.PathLike[str] | None = None,
    *,
    detection: bool = False,
    fine_tune: Mapping[str, Any] | None = None,
    device: str | torch.device | None = None,
    image_size: int = 256,
    max_pictures: int = 256,
    seed: int = 0,
) -> Ranking:
    """Rank checkpoints by how many held-out boxes a linear classifier names by their features.

    Each file is opened, judged, and its input format is looked at: where the file states another
    one and its norms agree, or where the boxes decide it, the stem is rewritten for the ranking,
    and that is told. A file that cannot be used is a row with its reason.

    Args:
        files: a folder with checkpoints, or several files.
        config: names the backbone and, unless `data` is given, the data.
        data: a data set of any layout, or its folder.
        detection: train a detector on each one's frozen features too (see `probe_detection`).
        fine_tune: add short runs of several seeds for the best few files, such as
            `dict(steps=60, seeds=3)`; `ShortRuns` lists what it takes. They go on one after the
            other, or one on each GPU. Runs that are there are found again. Where their spread
            allows, they decide between the files.
        device: where the backbones run; by default a GPU if there is one.
        image_size: height and width that pictures are resized to, a multiple of 32.
        max_pictures: of each split; a larger split is thinned out evenly.
        seed: of the random weights and of the detectors.

    Raises:
        CheckpointError: there are no files.
        DatasetError: data that cannot be read, or without enough boxes of two classes.
        UserError: `fine_tune` asks for something that there is not, or a run cannot be started.
    """
    runs = None if fine_tune is None else ShortRuns.asked(fine_tune)
    started = time.monotonic()
    paths = files_to_rank(files)
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    with progress("Ranking", len(paths) + 1, "backbone") as bar:
        bar.say("decoding pictures")
        boxes = read_probe_data(config, data, image_size, max_pictures)
        job = None
        if detection:
            job = prepare_job(
                config, data, bar, steps=200, image_size=image_size, max_pictures=max_pictures,
                channels=64, seed=seed, device=place,
            )  # fmt: skip
        judge = _Judge(config, boxes, job, place, bar)
        rows = [judge.rank(*each) for each in zip(paths, names_of(paths), strict=True)]
        bar.say("random weights")
        random = name_boxes_at_random(config, seed, boxes, _BINS, place, bar)
    at_random = outcome_of(random.is_right, boxes.val.picture_of_box)
    ordered, chances = _in_order(rows)
    ranked = [file for file in ordered if file.outcome is not None]
    tuned = FineTuned({}, "")
    if runs is not None and len(ranked) > 1:
        source = configured_data(config) if data is None else data
        tuned = run_short(ranked, judge.contestants, config, source, runs, _devices(place))
    return Ranking(
        files=tuple(replace(f, losses=tuned.losses.get(f.name, ())) for f in ordered),
        conclusion=conclude(ranked, len(random.is_right)),
        random=at_random,
        chances=chances,
        boxes=len(random.is_right),
        pictures=len(boxes.val.images),
        findings=tuple(ranking_findings(ordered, at_random)),
        fine_tuned=tuned.conclusion,
        decided=tuned.best,
        notes=(*boxes.notes, *tuned.failures),
        seconds=round(time.monotonic() - started, 2),
    )


@dataclass(frozen=True)
class _Probed:
    """What a backbone has done, to be found again for a file with the same values."""

    contestant: Contestant
    naming: Naming
    detection: DetectionScore | None
    notes: tuple[str, ...]


class _Judge:
    """Ranks one file after the other, and knows those with the same values again."""

    def __init__(
        self,
        config: Config,
        boxes: ProbeData,
        job: DetectionJob | None,
        place: torch.device,
        bar: ProgressBar,
    ):
        self._config, self._boxes, self._job = config, boxes, job
        self._place, self._bar = place, bar
        self._pictures = _some_pictures(boxes)
        self._first_with: dict[str, str] = {}  # digest of values -> name of the first such file
        self._probed: dict[tuple[str, str], _Probed] = {}
        self.contestants: dict[str, Contestant] = {}
        """What was probed, by the names of the files."""

    def rank(self, path: Path, name: str) -> RankedFile:
        """Open, judge and probe one file; a failure is a row with its reason."""
        self._bar.say(name)
        begun = self._bar.done
        try:
            contestant = open_contestant(path, self._config, self._pictures)
            probed = self._probe(contestant, name)
        except (UserError, OSError) as error:
            return RankedFile(path, name, epoch_in_name(path.name), reason=str(error))
        finally:
            self._bar.to(begun + 1)
        self.contestants[name] = probed.contestant
        first = self._first_with.setdefault(contestant.digest, name)
        twin = [] if first == name else [f"the same values as {first}"]
        by_boxes = probed.contestant.mended is not contestant.mended
        return RankedFile(
            path=path,
            name=name,
            epoch=contestant.epoch,
            verdict=(probed.contestant if by_boxes else contestant).verdict,
            outcome=outcome_of(probed.naming.is_right, self._boxes.val.picture_of_box),
            effective_rank=probed.naming.effective_rank,
            detection=probed.detection,
            notes=(*twin, *probed.notes),
        )

    def _probe(self, contestant: Contestant, name: str) -> _Probed:
        key = (contestant.digest, f"{contestant.mended} {contestant.suspect}")
        if key in self._probed:
            return self._probed[key]
        part = self._bar.part(_PROBE_SHARE if self._job else 1.0)
        named, naming, notes = self._name(contestant)
        part.to(1.0)
        score = None
        if self._job is not None:
            job = replace(self._job, bar=self._bar.part(1 - _PROBE_SHARE))
            score = job.score(job.run(named.backbone(self._config), name))
        self._probed[key] = _Probed(named, naming, score, notes)
        return self._probed[key]

    def _name(self, contestant: Contestant) -> tuple[Contestant, Naming, tuple[str, ...]]:
        """Name the boxes, with the stem rewritten where that is sure or the boxes decide it."""
        naming = self._named(contestant, _PROBE_SHARE if self._job else 1.0)
        if contestant.mended is not None:
            return contestant, naming, (f"stem rewritten for {contestant.mended}",)
        if contestant.suspect is None:
            return contestant, naming, ()
        mended = contestant.with_stem_for(contestant.suspect, "the boxes decide it")
        other = self._named(mended, 0.0)
        told = f"as it is {naming.accuracy:.0%}, with the stem rewritten {other.accuracy:.0%}"
        if other.accuracy > naming.accuracy and self._chance(naming, other) < LEVEL:
            return mended, other, (f"stem rewritten for {contestant.suspect} ({told})",)
        return contestant, naming, (f"may expect {contestant.suspect}; left as it is ({told})",)

    def _named(self, contestant: Contestant, share: float) -> Naming:
        backbone = contestant.backbone(self._config)
        return name_boxes(backbone, self._boxes, _BINS, self._place, self._bar.part(share))

    def _chance(self, *namings: Naming) -> float:
        of_box = self._boxes.val.picture_of_box
        return chance_of_difference(*(outcome_of(n.is_right, of_box) for n in namings))


def _devices(place: torch.device) -> list[str]:
    """Where short runs go on at once: on each GPU one, or one where the backbones run."""
    if place.type == "cuda" and place.index is None:
        return [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    return [str(place)]


def _some_pictures(boxes: ProbeData) -> Tensor:
    """Some of the training pictures, (N, 3, S, S) of values 0 to 1."""
    images = boxes.train.images
    chosen = images[:: max(1, len(images) // _INPUT_PICTURES)][:_INPUT_PICTURES]
    return torch.stack(chosen).float() / 255.0


def _in_order(
    rows: list[RankedFile],
) -> tuple[list[RankedFile], dict[tuple[str, str], float]]:
    """The best first, those of equal accuracy in the order of their names, in groups."""
    outcomes: list[tuple[RankedFile, Outcome]] = [
        (row, row.outcome) for row in rows if row.outcome is not None
    ]
    outcomes.sort(key=lambda pair: -pair[1].accuracy)  # files came in natural order
    groups, chances = group_ranked([outcome for _, outcome in outcomes])
    ranked = [replace(row, group=g) for (row, _), g in zip(outcomes, groups, strict=True)]
    named = {(ranked[a].name, ranked[b].name): chance for (a, b), chance in chances.items()}
    return [*ranked, *(row for row in rows if row.outcome is None)], named

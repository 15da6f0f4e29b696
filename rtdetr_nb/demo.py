"""The whole job on the shipped data: `make demo`.

Opens the demo checkpoint, compares it with HGNetv2-L, writes the tuning file, proves that it loads,
probes it against random weights, trains a short run from it and one from random weights, and puts
all of it into a report.
"""

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

import rtdetr_nb as rt
from rtdetr_nb.datasets.loader import build_dataset
from rtdetr_nb.errors import RunError, TrainingError
from rtdetr_nb.training.history import events
from rtdetr_nb.training.predictions import predict_pictures
from rtdetr_nb.training.run import Run
from rtdetr_nb.ui.figures import (
    Boxes,
    accuracy_figure,
    loss_figure,
    pictures_figure,
    to_data_uri,
)
from rtdetr_nb.ui.report import ReportTable, Section, write_report

LABELS = {"tuned": "from the tuning file", "random": "from random weights"}
_NUM_PICTURES = 4
_LAST_STEPS = 10  # over which the final losses of two runs are compared


@dataclass(frozen=True)
class DemoSettings:
    """What the demo works on.

    Attributes:
        checkpoint: a file with a distilled backbone.
        data: a folder in the layout of `data/shapes`.
        output: folder for the tuning file, the runs and the report; replaced if it is there.
        steps: optimizer updates of each of the two runs.
        seed: of both runs, so that they see the same pictures in the same order.
    """

    checkpoint: Path
    data: Path
    output: Path
    steps: int = 60
    seed: int = 0


def run_demo(settings: DemoSettings, console: Console) -> Path:
    """Do the whole job, telling what happens; return the path of the report.

    Raises:
        UserError: the checkpoint or the data cannot be used, or a run failed.
    """
    output = settings.output
    if output.exists():
        shutil.rmtree(output)
    output.mkdir(parents=True)
    config = rt.quick_run_config(
        settings.data, steps=settings.steps, overrides=[f"seed={settings.seed}"]
    )
    story = _Story(console)
    tuning = output / "tuning.pth"
    _compare_and_write(story, config, settings.checkpoint, tuning)
    probe = _probe(story, config, tuning)
    runs = {
        "tuned": _train(story, config, "tuned", settings, tuning),
        "random": _train(story, config, "random", settings, None),
    }
    _compare_runs(story, runs)
    _show_predictions(story, config, runs)
    story.add(_next_steps(settings, tuning))
    report = output / "report.html"
    write_report(
        report,
        title="Does this backbone load, and does it help?",
        subtitle=f"{settings.checkpoint.name}, {settings.steps} steps on {settings.data}",
        conclusion=_conclusion(probe, runs),
        sections=story.sections,
    )
    console.print(f"\n[bold]{_conclusion(probe, runs)}[/bold]")
    console.print(f"\nOpen [bold]{report}[/bold] in a browser. Took {story.elapsed()}.")
    return report


class _Story:
    """Collects the sections of the report and tells the terminal about each."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.sections: list[Section] = []
        self._began = time.monotonic()

    def add(self, section: Section) -> None:
        self.sections.append(section)

    def elapsed(self) -> str:
        minutes, seconds = divmod(round(time.monotonic() - self._began), 60)
        return f"{minutes} min {seconds:02} s"

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        self.console.rule(f"[bold]{title}", align="left")
        yield

    def say(self, text: str) -> None:
        self.console.print(text, highlight=False)

    def show(self, table: ReportTable) -> None:
        drawn = Table(box=None, pad_edge=False, header_style="dim")
        for index, name in enumerate(table.columns):
            drawn.add_column(name, justify="left" if index == 0 else "right")
        for row in table.rows:
            drawn.add_row(*map(str, row))
        self.console.print(drawn)


def _compare_and_write(story: _Story, config: Any, path: Path, tuning: Path) -> None:
    with story.step("1. Open, compare, select"):
        checkpoint = rt.open_checkpoint(path)
        diff = rt.compare(checkpoint, config)
        candidate = diff.candidate
        found = (
            f"{path.name} ({checkpoint.container}) holds {candidate.name}: HGNetv2-"
            f"{candidate.variant}, names in the {candidate.dialect} dialect, {candidate.dtype}."
        )
        table = ReportTable(
            ["part", "tensors", "matched", "mismatched", "missing", "share loaded"],
            [
                [p.part, p.tensors, p.matched, p.mismatched, p.missing, f"{p.share:.0%}"]
                for p in diff.parts
                if p.part != "unused"
            ],
        )
        story.say(found)
        story.show(table)
        story.say(f"Verdict: {diff.verdict}.")
        rows = [
            [r.model_key or "", r.checkpoint_key or "", r.status, str(r.model_shape or "")]
            for r in diff.rows
        ]
        story.add(
            Section(
                "What the file holds, against the model",
                texts=[found],
                verdict=str(diff.verdict),
                table=table,
                findings=[str(finding) for finding in diff.verdict.findings],
                details=ReportTable(["model", "file", "status", "shape"], rows),
                details_title=f"all {len(rows)} names",
            )
        )
    with story.step("2. Write the tuning file and prove it"):
        selection = diff.select(include=["*"])
        written = rt.write_tuning_file(selection, tuning)
        model = rt.build_model(config)
        report = rt.load_tuning_file(model, tuning)
        proof = rt.prove_loaded(model, selection)
        equal = sum(proof.values())
        texts = [
            f"{written}.",
            f"Loaded into a fresh model by the official rules: {len(report.loaded)} loaded, "
            f"{len(report.missed)} missed (encoder and decoder, which start at random), "
            f"{len(report.unmatched)} unmatched, {len(report.unused)} unused.",
            f"{equal} of {len(proof)} selected tensors are bit-equal in the model.",
        ]
        for text in texts:
            story.say(text)
        story.add(Section("The tuning file, written and proved", texts=texts))
        if equal != len(proof):
            raise RunError(f"{len(proof) - equal} tensors differ in the model after loading.")


def _probe(story: _Story, config: Any, tuning: Path) -> Any:
    with story.step("3. Probe: does the backbone carry information?"):
        probe = rt.probe_backbone(config, tuning=tuning)
        text = (
            f"A linear classifier on the backbone's features names {probe.accuracy:.0%} of the "
            f"objects in held-out pictures; on random weights {probe.random_mean:.0%} "
            f"({probe.random_low:.0%} to {probe.random_high:.0%} over {len(probe.random)} seeds). "
            f"Always guessing the most frequent class gets {probe.chance:.0%}."
        )
        story.say(text)
        figure = accuracy_figure(*probe.bars(), chance=probe.chance)
        story.add(
            Section(
                "Probe: does the backbone carry information?",
                texts=[
                    text,
                    "Features of each stage are pooled over the ground-truth boxes, and a ridge "
                    "classifier is fitted in closed form on the training pictures. No training of "
                    "the detector is involved, so this shows what a short loss curve cannot.",
                ],
                figure=to_data_uri(figure),
            )
        )
    return probe


def _train(
    story: _Story, config: Any, name: str, settings: DemoSettings, tuning: Path | None
) -> Run:
    from tqdm import tqdm

    with story.step(f"4. Short fine-tune {LABELS[name]}, {settings.steps} steps"):
        run = rt.start_run(
            config,
            output_dir=settings.output / name,
            tuning=tuning,
            max_steps=settings.steps,
        )
        try:
            with tqdm(total=settings.steps, unit="step", dynamic_ncols=True) as bar:
                while not run.is_over:
                    _advance(bar, run)
                    time.sleep(0.5)
                _advance(bar, run)
        except BaseException:
            run.stop()
            raise
        if run.status != "finished":
            raise TrainingError(f"The run in {run.folder} {run.status}. {run.error}")
        story.say(f"AP on the validation pictures: {_ap(run):.3f}")
    return run


def _advance(bar: Any, run: Run) -> None:
    history = run.history
    if len(history):
        bar.set_postfix(loss=f"{history['loss'].iloc[-1]:.2f}", refresh=False)
        bar.update(int(history.index[-1]) - bar.n)


def _compare_runs(story: _Story, runs: dict[str, Run]) -> None:
    histories = {LABELS[name]: run.history for name, run in runs.items()}
    rows = [
        [
            LABELS[name],
            f"{run.history['loss'].iloc[0]:.2f}",
            f"{final_loss(run):.2f}",
            f"{_ap(run):.3f}",
            f"{events(run.records, 'evaluation')[-1]['statistics']['AP50']:.3f}",
        ]
        for name, run in runs.items()
    ]
    table = ReportTable(
        ["run", "loss at step 1", f"mean loss of the last {_LAST_STEPS} steps", "AP", "AP50"], rows
    )
    story.show(table)
    story.add(
        Section(
            "Two short fine-tunes",
            texts=[
                "Same pictures in the same order, same seed; only the backbone's weights differ. "
                "Encoder and decoder start at random in both. A curve this short shows whether the "
                "weights are of use to the detector at once; it says little about the accuracy "
                "after a full training, and one pair of runs says nothing of the spread between "
                "seeds.",
            ],
            table=table,
            figure=to_data_uri(loss_figure(histories)),
        )
    )


def final_loss(run: Run) -> float:
    """Mean total loss over the last steps of a run."""
    return float(run.history["loss"].iloc[-_LAST_STEPS:].mean())


def _ap(run: Run) -> float:
    return run.evaluations[-1]["statistics"]["AP"] or 0.0


def _show_predictions(story: _Story, config: Any, runs: dict[str, Run]) -> None:
    dataset = build_dataset(config, "val")
    indices = [i for i in range(len(dataset)) if len(dataset[i][1]["labels"]) > 1][:_NUM_PICTURES]
    rows: dict[str, list[Boxes]] = {}
    images = []
    for name, run in runs.items():
        pictures = predict_pictures(config, run.checkpoint, dataset, indices)
        best = [picture.best(len(picture.true_names)) for picture in pictures]
        images = [picture.image for picture in best]
        rows["ground truth"] = [Boxes(p.true_boxes_xyxy, p.true_names) for p in best]
        rows[LABELS[name]] = [Boxes(p.boxes_xyxy, p.names, p.scores) for p in best]
    figure = pictures_figure(images, rows)
    story.add(
        Section(
            "Predictions on validation pictures",
            texts=["Of each run the detections it is surest of, as many as there are objects."],
            figure=to_data_uri(figure),
        )
    )


def _conclusion(probe: Any, runs: dict[str, Run]) -> str:
    tuned, random = runs["tuned"], runs["random"]
    return (
        f"The backbone's features name {probe.accuracy:.0%} of the objects in held-out pictures "
        f"(random weights: {probe.random_mean:.0%}). After {len(tuned.history)} steps the loss is "
        f"{final_loss(tuned):.1f} from the tuning file and {final_loss(random):.1f} from random "
        f"weights, AP {_ap(tuned):.3f} and {_ap(random):.3f}."
    )


def _next_steps(settings: DemoSettings, tuning: Path) -> Section:
    commands: Sequence[str] = [
        "# your own file",
        "rtdetr-nb diff FILE",
        "rtdetr-nb convert --input FILE --output rtdetrv2_backbone_weights.pth",
        "# the full training on COCO, here or with the official tools/train.py",
        f"rtdetr-nb train -c rtdetrv2_hgnetv2_l -t {tuning} --use-amp --seed=0",
    ]
    return Section("What next", commands=commands)

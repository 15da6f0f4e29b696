"""The whole job on the shipped data: `make demo`.

Opens the demo checkpoint, compares it with HGNetv2-L, writes the tuning file, proves that it loads,
probes it against random weights, trains a short run from it and one from random weights, and puts
all of it into a report.
"""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from tqdm import tqdm

import rtdetr_nb as rt
from rtdetr_nb.conversion.input_look import findings_on_pictures
from rtdetr_nb.demo.report import ReportTable, Section, write_page
from rtdetr_nb.demo.sections import detection_section, file_section, probe_section
from rtdetr_nb.demo.story import Story
from rtdetr_nb.errors import RunError, TrainingError
from rtdetr_nb.runs.progress import LOSS, RunProgress
from rtdetr_nb.runs.records import events
from rtdetr_nb.text.findings import Verdict
from rtdetr_nb.text.listing import first_of
from rtdetr_nb.ui.figures.base import COLORS, loss_figure, to_data_uri
from rtdetr_nb.ui.figures.predictions import predictions_figure

LABELS = {"tuned": "from the tuning file", "random": "from random weights"}
_WRITTEN = (*LABELS, "tuning.pth", "report.html")
_POLL_SECONDS = 0.5


@dataclass(frozen=True)
class DemoSettings:
    """What the demo works on.

    Attributes:
        checkpoint: a file with a distilled backbone.
        data: a folder in the layout of `data/shapes`.
        output: folder for the tuning file, the runs and the report; those of an earlier demo are
            replaced, and a folder with anything else in it is refused.
        steps: optimizer updates of each of the two runs.
        image_size: height and width of the pictures in training and evaluation.
        seed: of both runs, so that they see the same pictures in the same order.
    """

    checkpoint: Path
    data: Path
    output: Path
    steps: int = 60
    image_size: int = 160
    seed: int = 0

    def config(self, image_size: int | None = None) -> rt.Config:
        """The configuration of both runs; the probe takes larger pictures."""
        return rt.quick_run_config(
            self.data,
            steps=self.steps,
            image_size=image_size or self.image_size,
            # Predictions at the end alone are shown.
            overrides=[f"seed={self.seed}", f"preview_freq={self.steps}"],
        )

    @property
    def tuning(self) -> Path:
        """Where the tuning file goes."""
        return self.output / "tuning.pth"


def run_demo(settings: DemoSettings, console: Console) -> Path:
    """Do the whole job, report each step on the terminal, and return the path of the report.

    Raises:
        UserError: the checkpoint or the data cannot be used, or a run failed.
    """
    _clear(settings.output)
    config = settings.config()
    story = Story(console)
    diff = _compare(story, config, settings)
    _write_and_prove(story, config, diff, settings.tuning)
    probe = _probe(story, settings)
    _detect(story, settings)
    runs = {
        "tuned": _train(story, config, "tuned", settings, settings.tuning),
        "random": _train(story, config, "random", settings, None),
    }
    _compare_runs(story, runs)
    _show_predictions(story, runs)
    story.add(_next_steps(settings.tuning))
    conclusion = f"{_in_short(probe)} {rt.conclude(runs['tuned'], runs['random'])}"
    report = settings.output / "report.html"
    write_page(
        report,
        title="Does this backbone load, and does it help?",
        subtitle=f"{settings.checkpoint.name}, {settings.steps} steps on {settings.data}",
        conclusion=conclusion,
        sections=story.sections,
    )
    console.print(f"\n[bold]{conclusion}[/bold]")
    console.print(f"\nOpen [bold]{report}[/bold] in a browser. Took {story.elapsed}.")
    return report


def _clear(output: Path) -> None:
    """Make the folder, or remove from it what an earlier demo has written."""
    if output.exists() and not output.is_dir():
        raise RunError(f"{output} is a file. Give a folder with --output.")
    output.mkdir(parents=True, exist_ok=True)
    foreign = sorted(path.name for path in output.iterdir() if path.name not in _WRITTEN)
    if foreign:
        raise RunError(
            f"The folder {output} has files that no demo has written ({first_of(foreign)}), so it "
            "is not replaced. Give an empty or new folder with --output."
        )
    for name in LABELS:
        run = rt.Run(output / name)
        seen = run.describe()
        if seen.description and not seen.is_over:
            raise RunError(
                f"A run is still going on in {run.folder}. Stop it, or give another --output."
            )
    for name in _WRITTEN:
        path = output / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _compare(story: Story, config: rt.Config, settings: DemoSettings) -> rt.Diff:
    story.start_step("1. Open and compare")
    checkpoint = rt.open_checkpoint(settings.checkpoint)
    diff = rt.compare(checkpoint, config)
    _, found = findings_on_pictures(diff.candidate, settings.data, config)
    verdict = Verdict([*diff.verdict.findings, *found])
    section = file_section(diff, verdict)
    reasons = [str(f) for f in verdict.findings if f.level != "note"]
    story.print_and_add(section, reasons=reasons)
    return diff


def _write_and_prove(story: Story, config: rt.Config, diff: rt.Diff, tuning: Path) -> None:
    story.start_step("2. Write the tuning file and prove it")
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
    story.print_and_add(Section("The tuning file, written and proved", texts=texts))
    if equal != len(proof):
        raise RunError(f"{len(proof) - equal} tensors differ in the model after loading.")


def _probe(story: Story, settings: DemoSettings) -> rt.ProbeResult:
    story.start_step("3. Probe: does the backbone carry information?")
    probe = rt.probe_backbone(settings.config(image_size=256), tuning=settings.tuning)
    section = probe_section(probe)
    story.print_and_add(section, printed=section.texts[:1])
    return probe


def _detect(story: Story, settings: DemoSettings) -> None:
    story.start_step("4. A detector on frozen features")
    probe = rt.probe_detection(settings.config(image_size=256), tuning=settings.tuning)
    section = detection_section(probe)
    story.print_and_add(section, printed=section.texts[:1])


def _train(
    story: Story, config: rt.Config, name: str, settings: DemoSettings, tuning: Path | None
) -> rt.Run:
    number = 5 + list(LABELS).index(name)
    story.start_step(f"{number}. Short fine-tune {LABELS[name]}, {settings.steps} steps")
    folder = settings.output / name
    run = rt.start_run(config, output_dir=folder, tuning=tuning, max_steps=settings.steps)
    try:
        _follow(run, settings.steps)
    except BaseException:
        run.stop()
        raise
    status = run.status
    if status != "finished":
        raise TrainingError(f"The run in {run.folder} is not finished but {status}. {run.error}")
    story.print(f"AP on the validation pictures: {_statistic(run, 'AP')}")
    return run


def _follow(run: rt.Run, steps: int) -> None:
    """Show a bar with the loss until the run is over."""
    progress = RunProgress(run, parts=())
    with tqdm(total=steps, unit="step", dynamic_ncols=True) as bar:
        while True:
            progress.update()
            if progress.steps:
                bar.set_postfix(loss=f"{progress.losses[LOSS][-1]:.2f}", refresh=False)
                bar.update(progress.steps[-1] - bar.n)
            if progress.is_over:
                return
            time.sleep(_POLL_SECONDS)


def _compare_runs(story: Story, runs: dict[str, rt.Run]) -> None:
    histories = {LABELS[name]: run.history for name, run in runs.items()}
    compared = rt.conclude(runs["tuned"], runs["random"])
    losses = {"tuned": compared.tuned_losses[0], "random": compared.random_losses[0]}
    rows = [
        [
            LABELS[name],
            f"{run.history['loss'].iloc[0]:.2f}",
            f"{losses[name]:.2f}",
            _statistic(run, "AP"),
            _statistic(run, "AP50"),
        ]
        for name, run in runs.items()
    ]
    columns = ["run", "loss at step 1", "loss at the end", "AP", "AP50"]
    section = Section(
        "Two short fine-tunes",
        texts=[
            "Same pictures in the same order, same seed; only the backbone's weights differ. "
            "Encoder and decoder start at random in both. A curve this short shows whether the "
            "weights are of use to the detector at once; it says little about the accuracy "
            "after a full training. The loss at the end is the mean of the last steps.",
            str(compared),
        ],
        table=ReportTable(columns, rows),
        figure=to_data_uri(loss_figure(histories)),
    )
    story.print_and_add(section, printed=[])


def _statistic(run: rt.Run, name: str) -> str:
    """A COCO statistic of the last evaluation."""
    value = run.evaluations[-1]["statistics"][name]
    return "no boxes" if value is None else f"{value:.3f}"


def _show_predictions(story: Story, runs: dict[str, rt.Run]) -> None:
    last = {LABELS[name]: events(run.records, "predictions")[-1] for name, run in runs.items()}
    if not all(record["pictures"] for record in last.values()):
        return  # no validation picture has an object
    figure = predictions_figure(last, COLORS[: len(last)])
    section = Section(
        "Predictions on validation pictures",
        texts=["The highest-scoring detections of each run, as many as there are objects."],
        figure=to_data_uri(figure),
    )
    story.add(section)


def _in_short(probe: rt.ProbeResult) -> str:
    return (
        f"The backbone's features name {probe.accuracy:.0%} of the objects in held-out pictures "
        f"(random weights: {probe.random_mean:.0%})."
    )


def _next_steps(tuning: Path) -> Section:
    commands = [
        "# your own file",
        "rtdetr-nb diff FILE",
        "rtdetr-nb convert --input FILE --output rtdetrv2_backbone_weights.pth",
        "# the full training on COCO, here or with the official tools/train.py",
        f"rtdetr-nb train -c rtdetrv2_hgnetv2_l -t {tuning} --use-amp --seed=0",
    ]
    return Section("What next", commands=commands)

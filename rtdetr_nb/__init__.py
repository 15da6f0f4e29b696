"""A kit to see how a distilled HGNetv2 checkpoint loads into RT-DETRv2.

The way of the data, one function an arrow:

    file --open_checkpoint--> Checkpoint --candidates--> state dict with official names
         --compare(config)--> Diff --select--> Selection --write_tuning_file--> tuning file
         --load_tuning_file--> model --train--> records --Run.history--> live plot

Where things are: `checkpoint` reads files, compares and writes, without torch where it can; `model`
owns the weights; `datasets` and `training` make runs; `ui` holds the widgets and plots. Everything
that notebooks use stands here, imported when it is first used: `import rtdetr_nb` loads no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rtdetr_nb.checkpoint.contents import Candidate
    from rtdetr_nb.checkpoint.diff import Diff, compare
    from rtdetr_nb.checkpoint.findings import Verdict
    from rtdetr_nb.checkpoint.official_prediction import predict_official
    from rtdetr_nb.checkpoint.other_spellings import write_as
    from rtdetr_nb.checkpoint.parameter_groups import explain_config
    from rtdetr_nb.checkpoint.read import Checkpoint, open_checkpoint
    from rtdetr_nb.checkpoint.select import Selection
    from rtdetr_nb.checkpoint.tuning import (
        TuningReport,
        load_tuning_file,
        prove_loaded,
        write_tuning_file,
    )
    from rtdetr_nb.config import Config, load_config
    from rtdetr_nb.errors import UserError
    from rtdetr_nb.model.build import build_model, build_postprocessor
    from rtdetr_nb.official import (
        import_official_log,
        official_verdict,
        open_official,
        start_official_run,
    )
    from rtdetr_nb.official_command import OfficialCheckout, OfficialCommand
    from rtdetr_nb.presets import quick_run_config
    from rtdetr_nb.training.conclusion import conclude
    from rtdetr_nb.training.criterion import build_criterion
    from rtdetr_nb.training.ensure import ensure_run, find_runs
    from rtdetr_nb.training.optimizer import build_optimizer
    from rtdetr_nb.training.probe import ProbeResult, probe_backbone
    from rtdetr_nb.training.run import Run, attach_run, start_run
    from rtdetr_nb.ui.backbone_figure import show_backbone
    from rtdetr_nb.ui.commands import training_commands
    from rtdetr_nb.ui.file_chooser import choose_checkpoint
    from rtdetr_nb.ui.gallery import show_predictions
    from rtdetr_nb.ui.guess import guess
    from rtdetr_nb.ui.live_plot import live_plot
    from rtdetr_nb.ui.picker import pick_layers
    from rtdetr_nb.ui.run_panel import run_panel
    from rtdetr_nb.ui.run_settings import RunSettings
    from rtdetr_nb.ui.tables import show_table

__version__ = "0.1.0"

_HOME = {
    "Candidate": "checkpoint.contents",
    "Checkpoint": "checkpoint.read",
    "Config": "config",
    "Diff": "checkpoint.diff",
    "OfficialCheckout": "official_command",
    "OfficialCommand": "official_command",
    "ProbeResult": "training.probe",
    "Run": "training.run",
    "RunSettings": "ui.run_settings",
    "Selection": "checkpoint.select",
    "TuningReport": "checkpoint.tuning",
    "UserError": "errors",
    "Verdict": "checkpoint.findings",
    "attach_run": "training.run",
    "build_criterion": "training.criterion",
    "build_model": "model.build",
    "build_optimizer": "training.optimizer",
    "build_postprocessor": "model.build",
    "choose_checkpoint": "ui.file_chooser",
    "compare": "checkpoint.diff",
    "conclude": "training.conclusion",
    "ensure_run": "training.ensure",
    "explain_config": "checkpoint.parameter_groups",
    "find_runs": "training.ensure",
    "guess": "ui.guess",
    "import_official_log": "official",
    "live_plot": "ui.live_plot",
    "load_config": "config",
    "load_tuning_file": "checkpoint.tuning",
    "official_verdict": "official",
    "open_checkpoint": "checkpoint.read",
    "open_official": "official_command",
    "pick_layers": "ui.picker",
    "predict_official": "checkpoint.official_prediction",
    "probe_backbone": "training.probe",
    "prove_loaded": "checkpoint.tuning",
    "quick_run_config": "presets",
    "run_panel": "ui.run_panel",
    "show_backbone": "ui.backbone_figure",
    "show_predictions": "ui.gallery",
    "show_table": "ui.tables",
    "start_official_run": "official",
    "start_run": "training.run",
    "training_commands": "ui.commands",
    "write_as": "checkpoint.other_spellings",
    "write_tuning_file": "checkpoint.tuning",
}

__all__ = [
    "Candidate",
    "Checkpoint",
    "Config",
    "Diff",
    "OfficialCheckout",
    "OfficialCommand",
    "ProbeResult",
    "Run",
    "RunSettings",
    "Selection",
    "TuningReport",
    "UserError",
    "Verdict",
    "attach_run",
    "build_criterion",
    "build_model",
    "build_optimizer",
    "build_postprocessor",
    "choose_checkpoint",
    "compare",
    "conclude",
    "ensure_run",
    "explain_config",
    "find_runs",
    "guess",
    "import_official_log",
    "live_plot",
    "load_config",
    "load_tuning_file",
    "official_verdict",
    "open_checkpoint",
    "open_official",
    "pick_layers",
    "predict_official",
    "probe_backbone",
    "prove_loaded",
    "quick_run_config",
    "run_panel",
    "show_backbone",
    "show_predictions",
    "show_table",
    "start_official_run",
    "start_run",
    "training_commands",
    "write_as",
    "write_tuning_file",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)

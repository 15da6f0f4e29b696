"""The public names, once: read here by type checkers, and imported when they are first used."""

from .checkpoint.checkpoint import Checkpoint, open_checkpoint
from .checkpoint.comparison.diff import Diff, compare
from .checkpoint.comparison.selection import Selection
from .checkpoint.naming.candidates import Candidate
from .checkpoint.official_loader.every_door import predict_doors
from .checkpoint.official_loader.prediction import predict_official
from .checkpoint.tuning.input_format import InputFormat
from .checkpoint.tuning.load import load_tuning_file, prove_loaded
from .checkpoint.tuning.report import TuningReport
from .checkpoint.tuning.write import write_tuning_file
from .checkpoint.tuning.write_as import write_as
from .checkpoint.tuning.write_as_trained_on import write_as_trained_on
from .config.config import Config
from .config.explain import explain_config
from .config.load import load_config
from .conversion.conversion import Conversion
from .conversion.convert import convert
from .datasets.batches.show_batch import show_batch
from .datasets.batches.shown_batch import ShownBatch
from .datasets.checks.check_data import check_data
from .datasets.checks.report import DataReport
from .datasets.open_data import open_data
from .datasets.quick_run import quick_run_config
from .datasets.source import DataSource
from .datasets.split import Split
from .demo.file_report import write_report
from .diagnostics.detection.probe_detection import probe_detection
from .diagnostics.detection.result import DetectionProbe
from .diagnostics.features import show_features
from .diagnostics.input_format.check_input import check_input
from .diagnostics.measuring.tensor_values import tensor_values
from .diagnostics.movement.compare_values import compare_values
from .diagnostics.movement.result import WhatMoved
from .diagnostics.movement.values_report import ValuesReport
from .diagnostics.movement.what_moved import what_moved
from .diagnostics.overfit.overfit import overfit, start_overfit
from .diagnostics.overfit.report import OverfitReport
from .diagnostics.preflight.preflight import preflight
from .diagnostics.preflight.report import PreflightReport
from .diagnostics.probing.probe_backbone import probe_backbone
from .diagnostics.probing.result import ProbeResult
from .diagnostics.ranking.rank_backbones import rank_backbones
from .diagnostics.ranking.result import Ranking
from .errors import UserError
from .launchers.slurm import Slurm
from .model.build import build_model, build_postprocessor
from .official.command import OfficialCheckout, OfficialCommand
from .official.runs import import_official_log, official_verdict, open_official, start_official_run
from .runs.conclusion import conclude
from .runs.find_or_start import ensure_run, find_runs
from .runs.run import Run, attach_run, start_run
from .text.findings import Verdict
from .training.losses.criterion import build_criterion
from .training.optimizer import build_optimizer
from .ui.commands import training_commands
from .ui.figures.backbone import show_backbone
from .ui.file_chooser import choose_checkpoint
from .ui.guess import guess
from .ui.live_plot import live_plot
from .ui.panel.run_panel import run_panel
from .ui.panel.run_settings import RunSettings
from .ui.picking.picker import pick_layers
from .ui.predictions.viewer import show_predictions
from .ui.tables import show_table

__version__: str

__all__ = [
    "Candidate",
    "Checkpoint",
    "Config",
    "Conversion",
    "DataReport",
    "DataSource",
    "DetectionProbe",
    "Diff",
    "InputFormat",
    "OfficialCheckout",
    "OfficialCommand",
    "OverfitReport",
    "PreflightReport",
    "ProbeResult",
    "Ranking",
    "Run",
    "RunSettings",
    "Selection",
    "ShownBatch",
    "Slurm",
    "Split",
    "TuningReport",
    "UserError",
    "ValuesReport",
    "Verdict",
    "WhatMoved",
    "attach_run",
    "build_criterion",
    "build_model",
    "build_optimizer",
    "build_postprocessor",
    "check_data",
    "check_input",
    "choose_checkpoint",
    "compare",
    "compare_values",
    "conclude",
    "convert",
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
    "open_data",
    "open_official",
    "overfit",
    "pick_layers",
    "predict_doors",
    "predict_official",
    "preflight",
    "probe_backbone",
    "probe_detection",
    "prove_loaded",
    "quick_run_config",
    "rank_backbones",
    "run_panel",
    "show_backbone",
    "show_batch",
    "show_features",
    "show_predictions",
    "show_table",
    "start_official_run",
    "start_overfit",
    "start_run",
    "training_commands",
    "tensor_values",
    "what_moved",
    "write_as",
    "write_as_trained_on",
    "write_report",
    "write_tuning_file",
]

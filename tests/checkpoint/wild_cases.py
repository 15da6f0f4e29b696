"""The files of the table "what the official loader does", each with what it and we make of it.

The numbers are those of the table. `official` is what the official loader does with torch 2.14:
the name of an exception and a part of its message, or the number of missed and unmatched names.
`ours` is what comes of the file here.
"""

import argparse
import datetime
import gzip
import inspect
import json
import pickle
import zipfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PosixPath
from typing import Any

import numpy as np
import torch
from omegaconf import OmegaConf
from torch import nn

from tests.checkpoint.wild import (
    as_dfine,
    as_hugging_face,
    as_module,
    as_paddle,
    as_ultralytics,
    backbone,
    detector,
    foreign_class,
    nest,
    prefixed,
    save,
    tensor,
)

WEIGHTS_ONLY = "UnpicklingError"


@dataclass(frozen=True)
class Loads:
    """All 400 backbone tensors come out bit for bit, from this copy."""

    candidate: str
    role: str = "model"
    dialect: str = "official"
    salt: str = ""
    expect: Callable[[str, torch.Tensor], torch.Tensor] = lambda name, value: value


@dataclass(frozen=True)
class Refused:
    """Opening or choosing raises this error with these words."""

    error: str
    words: str


@dataclass(frozen=True)
class Judged:
    """It opens, and the verdict has a finding with these words."""

    verdict: str
    words: str
    matched: int


@dataclass(frozen=True)
class Case:
    number: str
    what: str
    build: Callable[[Path], Path]
    official: tuple[str, str] | tuple[int, int]
    ours: Loads | Refused | Judged


def _file(name: str, make: Callable[[], Any], **options: Any) -> Callable[[Path], Path]:
    return lambda folder: save(make(), folder / name, **options)


def _bytes(name: str, content: bytes) -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return build


def _with_foreign(path: str, make: Callable[[type], Any]) -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        with foreign_class(path) as cls:
            return save(make(cls), folder / "foreign.pth")

    return build


def _module_file(
    path: str, wrap: Callable[[nn.Module], Any], state: Callable[[], dict], norm_eps: float = 1e-5
) -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        with foreign_class(path, nn.Module) as cls:
            return save(wrap(as_module(state(), cls, norm_eps)), folder / "module.pth")

    return build


def _safetensors(name: str, make: Callable[[], dict]) -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        from safetensors.torch import save_file

        save_file({key: value.clone() for key, value in make().items()}, folder / name)
        return folder / name

    return build


def _index(folder: Path) -> Path:
    from safetensors.torch import save_file

    state = {key: value.clone() for key, value in backbone().items()}
    names = list(state)
    shards = {"model-00001-of-00002.safetensors": names[:200]}
    shards["model-00002-of-00002.safetensors"] = names[200:]
    for shard, keys in shards.items():
        save_file({key: state[key] for key in keys}, folder / shard, {"format": "pt"})
    weight_map = {key: shard for shard, keys in shards.items() for key in keys}
    index = json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map})
    (folder / "model.safetensors.index.json").write_text(index)
    return folder / "model.safetensors.index.json"


def _pdparams(folder: Path) -> Path:
    content = {**as_paddle(backbone()), "StructuredToParameterName@@": {"a": "conv2d_0.w_0"}}
    (folder / "backbone.pdparams").write_bytes(pickle.dumps(content, protocol=4))
    return folder / "backbone.pdparams"


def _without_pickle(folder: Path) -> Path:
    path = folder / "crashed.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/data/0", b"\0" * 64)
    return path


def _truncated(folder: Path) -> Path:
    whole = save({"model": prefixed("backbone.", backbone())}, folder / "whole.pth").read_bytes()
    return _bytes("truncated.pth", whole[: len(whole) // 2])(folder)


def _gzipped(folder: Path) -> Path:
    return _bytes("best.pth.gz", gzip.compress(b"\x80\x02}q\x00."))(folder)


def _distributed(folder: Path) -> Path:
    import torch.distributed.checkpoint as distributed

    state = {key: value.clone() for key, value in prefixed("model.backbone.", backbone()).items()}
    distributed.save(  # pyright: ignore[reportPrivateImportUsage]
        state, checkpoint_id=str(folder / "step_10")
    )
    return folder / "step_10"


def _torchscript(folder: Path) -> Path:
    from rtdetr_nb.model.build import build_backbone
    from tests.checkpoint.wild import CONFIG

    model = build_backbone(CONFIG).eval()
    model.load_state_dict(backbone())
    traced = torch.jit.trace(model, torch.zeros(1, 3, 32, 32), check_trace=False)
    torch.jit.save(traced, folder / "scripted.pt")
    return folder / "scripted.pt"


def _history(cls: type) -> Any:
    history = cls()
    history.__dict__["_log_history"] = np.arange(3.0)
    return history


def _kd() -> dict:
    return {
        **prefixed("student.backbone.", backbone()),
        **prefixed("teacher.backbone.", backbone(salt="teacher")),
        "adapter.weight": tensor("adapter", (8, 2048, 1, 1)),
    }


def _ultralytics_fix(name: str, value: torch.Tensor) -> torch.Tensor:
    if name.endswith("running_var"):
        return (value.double() + (1e-3 - 1e-5)).float()
    return value


def _fused_fix(name: str, value: torch.Tensor) -> torch.Tensor:
    constants = {"bn.weight": 1.0, "running_mean": 0.0, "running_var": 1 - 1e-5}
    for leaf, constant in constants.items():
        if name.endswith(leaf):
            return torch.full_like(value, constant)
    return value


def _half(dtype: torch.dtype) -> dict:
    return {
        key: value.to(dtype) if value.is_floating_point() else value
        for key, value in prefixed("backbone.", backbone()).items()
    }


def _fused_official() -> dict:
    fused = {}
    for key, value in backbone().items():
        if key.endswith("bn.bias"):
            conv = "conv.1.bias" if "stem2" in key else "conv.bias"
            fused[key.replace("bn.bias", conv)] = value
        elif ".bn." not in key:
            fused[key] = value
    return fused


def _four_channels() -> dict:
    state = detector()
    state["backbone.stem.stem1.conv.weight"] = tensor("four", (32, 4, 3, 3))
    return state


def _not_a_number() -> dict:
    state = detector()
    key = "backbone.stages.2.blocks.1.layers.0.conv1.conv.weight"
    state[key] = torch.full_like(state[key], float("nan"))
    return state


def _lightning() -> dict:
    return {
        "epoch": 3,
        "global_step": 100,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": _kd(),
        "loops": {},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(3)}}}],
        "hyper_parameters": argparse.Namespace(lr=1e-3, out=PosixPath("runs")),
    }


def _mm(cls: type) -> dict:
    hub = {"log_scalars": {"train/loss": _history(cls)}}
    state = prefixed("backbone.", backbone())
    return {"meta": {"epoch": 3}, "state_dict": state, "message_hub": hub}


def _mm_ema(cls: type) -> dict:
    raw = {"steps": torch.tensor(3), **prefixed("module.backbone.", backbone(salt="raw"))}
    return {**_mm(cls), "ema_state_dict": raw}


def _timm_train() -> dict:
    return {
        "arch": "hgnetv2_b4",
        "state_dict": as_dfine(backbone(salt="raw")),
        "state_dict_ema": as_dfine(backbone()),
        "args": argparse.Namespace(model="hgnetv2_b4"),
    }


def _lightly() -> dict:
    names = as_dfine(backbone(live=True))
    key = "student_embedding_model.wrapped_model._backbone."
    return {
        "state_dict": prefixed(key, {k.replace("stages.", "stages_"): v for k, v in names.items()}),
        "hyper_parameters": argparse.Namespace(),
    }


_DICT_ERROR = ("KeyError", "'model'")
# Newer versions of torch.load read safetensors, so that the official code fails only at the keys.
READS_SAFETENSORS = "safetensors" in inspect.getsource(torch.serialization)
_MISSED_ALL = (869, 0)
_HISTORY = "mmengine.logging.history_buffer.HistoryBuffer"
_RTDETR = "src.zoo.rtdetr.rtdetr.RTDETR"
_ULTRALYTICS = "ultralytics.nn.tasks.RTDETRDetectionModel"


def _wrapped(number: str, what: str, prefix: str, candidate: str) -> Case:
    """A state dict below `model` with a wrapper's prefix: officially, silently nothing."""
    build = _file("wrapped.pth", lambda: {"model": prefixed(prefix, detector())})
    return Case(number, what, build, _MISSED_ALL, Loads(candidate))


def _beside(number: str, what: str, value: Callable[[], Any], refused: str) -> Case:
    """An official state dict with one foreign object beside it."""
    build = _file("beside.pth", lambda: {"model": detector(), "extra": value()})
    return Case(number, what, build, (WEIGHTS_ONLY, refused), Loads("model"))


CASES = [
    Case("01", "released", _file("a.pth", lambda: {"ema": {"module": detector()}}), (0, 0),
         Loads("ema.module", "ema")),
    Case("02", "last.pth",
         _file("last.pth", lambda: {"model": detector(salt="raw"), "ema": {"module": detector()},
                                    "optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}}}),
         (0, 0), Loads("ema.module", "ema")),
    Case("03", "no ema", _file("a.pth", lambda: {"model": detector()}), (0, 0), Loads("model")),
    Case("04", "live norms",
         _file("a.pth", lambda: {"model": detector(overrides=("HGNetv2.freeze_norm=False",))}),
         (0, 0), Loads("model")),
    Case("05", "bare detector", _file("a.pth", detector), _DICT_ERROR, Loads("top level")),
    Case("06", "bare backbone", _file("a.pth", backbone), _DICT_ERROR, Loads("top level")),
    Case("07", "model: bare backbone", _file("a.pth", lambda: {"model": backbone()}),
         _MISSED_ALL, Loads("model")),
    Case("08", "model: backbone only",
         _file("a.pth", lambda: {"model": prefixed("backbone.", backbone())}), (469, 0),
         Loads("model")),
    Case("09", "flat ema", _file("a.pth", lambda: {"ema": detector()}), ("KeyError", "'module'"),
         Loads("ema", "ema")),
    Case("10", "ema: None", _file("a.pth", lambda: {"model": detector(), "ema": None}),
         ("TypeError", "'NoneType' object is not subscriptable"), Loads("model")),
    Case("11", "model_ema",
         _file("a.pth", lambda: {"model": detector(salt="raw"), "model_ema": detector()}),
         (0, 0), Loads("model_ema", "ema")),
    _wrapped("12", "DataParallel", "module.", "model.module"),
    Case("13", "ema of DataParallel",
         _file("a.pth", lambda: {"ema": {"module": prefixed("module.", detector())}}), _MISSED_ALL,
         Loads("ema.module.module", "ema")),
    _wrapped("14", "torch.compile", "_orig_mod.", "model._orig_mod"),
    Case("15", "averaged model",
         _file("a.pth", lambda: {"model": {"n_averaged": torch.tensor(3),
                                           **prefixed("module.", detector())}}),
         _MISSED_ALL, Loads("model.module")),
    _wrapped("16", "DETR's joiner", "backbone.0.body.", "model.backbone.0.body"),
    Case("17", "state_dict", _file("a.pth", lambda: {"state_dict": detector()}), _DICT_ERROR,
         Loads("state_dict")),
    Case("18", "Lightning", _file("a.ckpt", _lightning), (WEIGHTS_ONLY, "argparse.Namespace"),
         Loads("state_dict.student", "student")),
    Case("19", "mmengine", _with_foreign(_HISTORY, _mm), (WEIGHTS_ONLY, _HISTORY),
         Loads("state_dict")),
    Case("20", "mmengine EMAHook", _with_foreign(_HISTORY, _mm_ema), (WEIGHTS_ONLY, _HISTORY),
         Loads("state_dict", "ema")),
    Case("21", "mmdet distillation", _file("a.pth", lambda: {"meta": {}, "state_dict": _kd()}),
         _DICT_ERROR, Loads("state_dict.student", "student")),
    Case("22", "mmrazor",
         _file("a.pth",
               lambda: {"state_dict": prefixed("architecture.backbone.", backbone())}),
         _DICT_ERROR, Loads("state_dict.architecture")),
    Case("23", "model: student and teacher", _file("a.pth", lambda: {"model": _kd()}),
         _MISSED_ALL, Loads("model.student", "student")),
    Case("24", "student, teacher",
         _file("a.pth", lambda: {"student": detector(), "teacher": detector(salt="t"),
                                 "optimizer": {}}),
         _DICT_ERROR, Loads("student", "student")),
    Case("25", "model: model.student.",
         _file("a.pth", lambda: {"model": prefixed("model.student.", detector())}), _MISSED_ALL,
         Loads("model.model.student", "student")),
    Case("26", "nested dicts",
         _file("a.pth", lambda: {"model": {"backbone": nest(backbone())}}), _MISSED_ALL,
         Loads("model")),
    Case("27", "D-FINE",
         _file("a.pth", lambda: {"model": {k: v for k, v in detector().items()
                                           if "backbone" not in k}
                                 | prefixed("backbone.", as_dfine(backbone()))}),
         (62, 0), Loads("model", dialect="dfine")),
    Case("28", "D-FINE backbone", _file("a.pth", lambda: as_dfine(backbone(live=True))),
         _DICT_ERROR, Loads("top level", dialect="dfine")),
    Case("29", "timm's train.py", _file("a.pth", _timm_train),
         (WEIGHTS_ONLY, "argparse.Namespace"), Loads("state_dict_ema", "ema", "dfine")),
    Case("30", "Hugging Face .bin",
         _file("pytorch_model.bin",
               lambda: prefixed("model.backbone.model.", as_hugging_face(backbone()))),
         _DICT_ERROR, Loads("model.backbone.model", dialect="huggingface")),
    Case("31", "Hugging Face safetensors",
         _safetensors("model.safetensors", lambda: as_hugging_face(backbone(live=True))),
         _DICT_ERROR if READS_SAFETENSORS else (WEIGHTS_ONLY, ""),
         Loads("top level", dialect="huggingface")),
    Case("31b", "safetensors named .pth", _safetensors("model.pth", backbone),
         (WEIGHTS_ONLY, "Unsupported operand"), Loads("top level")),
    Case("32", "sharded safetensors", _index, (WEIGHTS_ONLY, "Unsupported operand 123"),
         Loads("top level")),
    Case("33", "Ultralytics best.pt",
         _module_file(_ULTRALYTICS, lambda m: {"model": None, "ema": m, "best_fitness": 0.5},
                      lambda: as_ultralytics(backbone(live=True)), 1e-3),
         (WEIGHTS_ONLY, _ULTRALYTICS),
         Loads("ema.model", "ema", "ultralytics", expect=_ultralytics_fix)),
    Case("34", "Ultralytics stripped",
         _module_file(_ULTRALYTICS, lambda m: {"model": m, "ema": None},
                      lambda: as_ultralytics(backbone(live=True)), 1e-3),
         (WEIGHTS_ONLY, _ULTRALYTICS),
         Loads("model.model", dialect="ultralytics", expect=_ultralytics_fix)),
    Case("35", "model: Ultralytics state dict",
         _file("a.pth", lambda: {"model": as_ultralytics(backbone(live=True))}), _MISSED_ALL,
         Loads("model.model", dialect="ultralytics", expect=_ultralytics_fix)),
    Case("35b", "Ultralytics fused",
         _file("a.pth", lambda: {"model": as_ultralytics(backbone(), fused=True)}), _MISSED_ALL,
         Loads("model.model", dialect="ultralytics", expect=_fused_fix)),
    Case("36", "whole model", _module_file(_RTDETR, lambda m: m, detector),
         (WEIGHTS_ONLY, _RTDETR), Loads("top level")),
    Case("37", "model: module", _module_file(_RTDETR, lambda m: {"model": m}, detector),
         (WEIGHTS_ONLY, _RTDETR), Loads("model")),
    Case("38", "ema: module",
         _module_file(_RTDETR, lambda m: {"ema": m, "model": None}, detector),
         (WEIGHTS_ONLY, _RTDETR), Loads("ema", "ema")),
    Case("38b", "crash while saving", _without_pickle, ("RuntimeError", "data.pkl"),
         Refused("CheckpointError", "data.pkl")),
    Case("39", "float16", _file("a.pth", lambda: {"model": _half(torch.float16)}), (469, 0),
         Loads("model", expect=lambda _, value: value.half().float())),
    Case("40", "bfloat16", _file("a.pth", lambda: {"model": _half(torch.bfloat16)}), (469, 0),
         Loads("model", expect=lambda _, value: value.bfloat16().float())),
    Case("41", "numpy values",
         _file("a.pth", lambda: {"model": {k: v.numpy() for k, v in
                                           prefixed("backbone.", backbone()).items()}}),
         (WEIGHTS_ONLY, "numpy"), Loads("model")),
    Case("42", "Parameters",
         _file("a.pth", lambda: {"model": {k: nn.Parameter(v) for k, v in
                                           prefixed("backbone.", backbone()).items()}}),
         (469, 0), Loads("model")),
    Case("43", "legacy file",
         _file("a.pth", lambda: {"model": detector()}, _use_new_zipfile_serialization=False),
         (0, 0), Loads("model")),
    Case("44", ".pdparams", _pdparams, (WEIGHTS_ONLY, "Unsupported operand 149"),
         Loads("top level", dialect="paddle")),
    Case("45", "truncated", _truncated, ("RuntimeError", "failed finding central directory"),
         Refused("CheckpointError", "truncated")),
    Case("46", "git-lfs pointer",
         _bytes("a.pth", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"),
         (WEIGHTS_ONLY, "Unsupported operand 118"), Refused("CheckpointError", "Git LFS")),
    Case("47", "HTML page", _bytes("a.pth", b"<!DOCTYPE html><html></html>"),
         (WEIGHTS_ONLY, "Unsupported operand 60"), Refused("CheckpointError", "web page")),
    Case("48", "empty", _bytes("a.pth", b""), ("EOFError", ""),
         Refused("CheckpointError", "empty")),
    Case("49", "gzip", _gzipped, (WEIGHTS_ONLY, "Unsupported operand 31"),
         Refused("CheckpointError", "gzip")),
    Case("50", "distributed checkpoint", _distributed, ("IsADirectoryError", ""), Loads("model")),
    Case("51", "TorchScript", _torchscript, ("RuntimeError", "TorchScript"), Loads("top level")),
    Case("52", "DeepSpeed", _file("mp_rank_00.pt", lambda: {"module": detector()}), _DICT_ERROR,
         Loads("module")),
    Case("53", "X into L", _file("a.pth", lambda: {"model": detector(variant="x")}), (0, 521),
         Judged("failed", "HGNetv2-X", 298)),
    Case("54", "affine blocks",
         _file("a.pth", lambda: {"model": detector(overrides=("HGNetv2.use_lab=True",))}),
         (0, 0), Judged("failed", "use_lab", 819)),
    Case("55", "other classes",
         _file("a.pth", lambda: {"model": detector(overrides=("num_classes=3",))}), (0, 15),
         Loads("model")),
    Case("56", "4-channel stem", _file("a.pth", lambda: {"model": _four_channels()}), (0, 1),
         Judged("warnings", "another shape", 818)),
    Case("57", "not a number", _file("a.pth", lambda: {"model": _not_a_number()}), (0, 0),
         Judged("failed", "not a number", 819)),
    Case("58", "fused",
         _file("a.pth", lambda: {"model": prefixed("backbone.", _fused_official())}),
         (789, 0), Loads("model", expect=_fused_fix)),
    Case("59", "missing module",
         _with_foreign("cvperception.core.Config", lambda cls: {"model": detector(), "c": cls()}),
         (WEIGHTS_ONLY, "cvperception.core.Config"), Loads("model")),
    _beside("60", "PosixPath", lambda: PosixPath("runs/a"), "pathlib"),
    _beside("61", "numpy scalar", lambda: np.float64(0.5), "numpy"),
    _beside("62", "omegaconf", lambda: OmegaConf.create({"lr": 1}), "omegaconf"),
    _beside("63", "defaultdict", lambda: defaultdict(list, a=[1]), "collections.defaultdict"),
    _beside("64", "datetime", lambda: datetime.datetime(2025, 1, 1), "datetime"),
    Case("65", "evaluation result",
         _file("latest.pth", lambda: {"params": argparse.Namespace(areaRng=[1]),
                                      "precision": np.zeros((10, 101))}),
         (WEIGHTS_ONLY, ""), Refused("CheckpointError", "no HGNetv2")),
    Case("66", "LightlyTrain", _file("a.ckpt", _lightly), (WEIGHTS_ONLY, "argparse.Namespace"),
         Loads("state_dict.student_embedding_model.wrapped_model._backbone", "student",
               "timm_features")),
]  # fmt: skip

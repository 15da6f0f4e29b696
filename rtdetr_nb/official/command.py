"""A checkout of the official repository, and the exact commands that it understands."""

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from rtdetr_nb.checkpoint.official_loader.known_commit import OFFICIAL_COMMIT
from rtdetr_nb.config.load import load_config
from rtdetr_nb.errors import ConfigError, RunError
from rtdetr_nb.official.loading_rules import changed_rules, compared_rules
from rtdetr_nb.text.html_pieces import shown
from rtdetr_nb.text.plain_text import show_as_text

REPOSITORY = "lyuwenyu/RT-DETR"
_INNER = "rtdetrv2_pytorch"
# Every version of the official PyTorch code of RT-DETRv2 has these, and no other code has all.
_SIGNATURE = (
    "tools/train.py",
    "src/solver/det_solver.py",
    "src/zoo/rtdetr/rtdetrv2_decoder.py",
    "configs/rtdetrv2",
)
_NO_DOWNLOAD = "HGNetv2.pretrained"
_EXPONENT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")


@dataclass(frozen=True)
class OfficialCommand:
    """A command line of the official code.

    Attributes:
        words: program and arguments.
        folder: where it must be run: relative paths in official configurations start there.
    """

    words: tuple[str, ...]
    folder: Path

    def __str__(self) -> str:
        """The line to paste into a shell."""
        return f"cd {shlex.quote(str(self.folder))} && {shlex.join(self.words)}"


@dataclass(frozen=True)
class OfficialOptions:
    """What the official `tools/train.py` is told beside its configuration.

    Attributes:
        tuning: tuning file to start from.
        resume: checkpoint to go on from.
        output_dir: where checkpoints and `log.txt` go.
        summary_dir: where TensorBoard events go; the official default is in the output folder.
        device: such as "cpu"; the official default is a GPU if there is one.
        seed: of weights and data.
        use_amp: train in mixed precision.
        test_only: evaluate, no training.
        processes: above 1, `torchrun` starts so many, one for each GPU.
        master_port: of torchrun; two runs on one machine need different ones.
        overrides: `section.key=value` assignments. `HGNetv2.pretrained=False` is added unless one
            sets it: the official configurations download backbone weights otherwise, to throw them
            away when a tuning file is given.
        python: interpreter to use; by default `python` and `torchrun` of the shell.
    """

    tuning: str | os.PathLike[str] | None = None
    resume: str | os.PathLike[str] | None = None
    output_dir: str | os.PathLike[str] | None = None
    summary_dir: str | os.PathLike[str] | None = None
    device: str | None = None
    seed: int | None = None
    use_amp: bool = False
    test_only: bool = False
    processes: int = 1
    master_port: int | None = None
    overrides: Sequence[str] = ()
    python: str | None = None

    def changed(self, changes: Mapping[str, Any]) -> "OfficialOptions":
        """Return the options with some of them changed.

        Args:
            changes: name of an option -> value.

        Raises:
            RunError: an option has no such name.
        """
        unknown = sorted(set(changes) - {field.name for field in fields(self)})
        if unknown:
            raise RunError(
                f"There is no option {', '.join(unknown)}. Options are: "
                f"{', '.join(field.name for field in fields(self))}."
            )
        return replace(self, **changes)

    def check(self) -> None:
        """Refuse options that contradict each other.

        Raises:
            RunError: says which ones.
        """
        if self.tuning and self.resume:
            raise RunError("Give a tuning file or a checkpoint to resume from, not both.")
        if self.test_only and not (self.tuning or self.resume):
            raise RunError("To evaluate, give weights: a tuning file or a checkpoint.")
        if self.processes < 1:
            raise RunError(f"The number of processes is {self.processes}; expected at least 1.")

    def words(self, config: Path) -> tuple[str, ...]:
        """Return program and arguments, all paths absolute; see `check`.

        Raises:
            RunError: a file is missing, or an override cannot be given to the official code.
        """
        words = [*_program(self.processes, self.master_port, self.python), "tools/train.py"]
        words += ["-c", str(config)]
        weights = (("-t", self.tuning, "tuning file"), ("-r", self.resume, "checkpoint"))
        for flag, path, kind in weights:
            words += [flag, str(_existing(path, kind))] if path else []
        folders = (("--output-dir", self.output_dir), ("--summary-dir", self.summary_dir))
        for flag, value in folders:
            words += [flag, str(_absolute(value))] if value else []
        words += ["-d", self.device] if self.device else []
        words += [f"--seed={self.seed}"] if self.seed is not None else []
        words += ["--use-amp"] if self.use_amp else []
        words += ["--test-only"] if self.test_only else []
        assignments = [official_override(override) for override in self.overrides]
        if not any(a.split("=")[0] == _NO_DOWNLOAD for a in assignments):
            assignments.insert(0, f"{_NO_DOWNLOAD}=False")
        # One -u for all: of several the official code reads the last.
        return (*words, "-u", *assignments)


@dataclass(frozen=True)
class OfficialCheckout:
    """The folder `rtdetrv2_pytorch` of a checkout; see `open_official`."""

    folder: Path

    @property
    def known_commit(self) -> str:
        """The commit of the official code that the predictions are of."""
        return OFFICIAL_COMMIT

    @cached_property
    def changed_rules(self) -> tuple[str, ...]:
        """The files of this checkout that load weights and differ from those at that commit."""
        return changed_rules(self.folder)

    _repr_pretty_ = show_as_text

    def __str__(self) -> str:
        return f"{REPOSITORY} in {self.folder}. {compared_rules(self.folder)}"

    def _repr_html_(self) -> str:
        return f"<p>{shown(str(self))}</p>"

    @cached_property
    def configs(self) -> tuple[str, ...]:
        """Paths of its HGNetv2 configurations within the folder."""
        found = []
        for path in sorted((self.folder / "configs").rglob("*.yml")):
            if "include" in path.parts or "hgnetv2" not in path.stem:
                continue
            try:
                load_config(path)
            except ConfigError:
                continue  # of another generation
            found.append(str(path.relative_to(self.folder)))
        return tuple(found)

    def command(
        self,
        config: str | os.PathLike[str],
        options: OfficialOptions | None = None,
        **changes: Any,
    ) -> OfficialCommand:
        """Return the command that trains or evaluates; all paths in it are absolute.

        Args:
            config: a name as `load_config` takes it, one of `configs`, or the path of a YAML file.
            options: see `OfficialOptions`.
            changes: single options by name, such as `seed=0`.

        Raises:
            RunError: a file is missing, or the options contradict each other or cannot be given to
                the official code.
        """
        options = (options or OfficialOptions()).changed(changes)
        return self.command_for(self.find_config(config), options)

    def command_for(self, config: Path, options: OfficialOptions) -> OfficialCommand:
        """Return the same for a configuration file that may still have to be written.

        Args:
            config: an absolute path.
            options: everything else.

        Raises:
            RunError: as `command`.
        """
        options.check()
        return OfficialCommand(options.words(config), self.folder)

    def find_config(self, config: str | os.PathLike[str]) -> Path:
        """Return the absolute path of a configuration file.

        Args:
            config: one of `configs`; its name or an unambiguous beginning of it, such as
                "rtdetrv2_hgnetv2_l"; or the path of any YAML file.

        Raises:
            RunError: there is no such file.
        """
        given = Path(config).expanduser()
        for path in (given, self.folder / given, *self._named(os.fspath(config))):
            if path.is_file():
                return path.absolute()
        raise RunError(
            f"There is no configuration {str(config)!r}, neither here nor in {self.folder}. "
            f"The checkout has {', '.join(self.configs) or 'no configuration with HGNetv2'}."
        )

    def _named(self, name: str) -> list[Path]:
        """Return the configuration with that name, or the only one whose name begins with it."""
        paths = [Path(known) for known in self.configs]
        found = [path for path in paths if path.stem == name]
        found = found or [path for path in paths if path.stem.startswith(name)]
        return [self.folder / found[0]] if len(found) == 1 else []


def open_official(path: str | os.PathLike[str]) -> OfficialCheckout:
    """Return the official code in a checkout of lyuwenyu/RT-DETR or in its `rtdetrv2_pytorch`.

    Raises:
        RunError: the path is not such a folder.
    """
    given = _absolute(path)
    for folder in (given, given / _INNER):
        if all((folder / name).exists() for name in _SIGNATURE):
            return OfficialCheckout(folder)
    if not given.is_dir():
        found = "there is no such folder"
    elif (given / "tools/train.py").is_file():
        found = "it is other training code, perhaps that of the first RT-DETR"
    else:
        found = f"it has neither {_SIGNATURE[0]} nor {_INNER}/{_SIGNATURE[0]}"
    raise RunError(
        f"{given} is not a checkout of {REPOSITORY} with RT-DETRv2: {found}. Clone "
        f"https://github.com/{REPOSITORY} and give its folder, or the {_INNER} in it."
    )


def official_override(assignment: str) -> str:
    """Return an assignment as the official `-u` understands it.

    It reads `1e-5` as text, since YAML 1.1 wants `1.0e-05`, and it cannot reach into lists.

    Raises:
        RunError: the text is not an assignment, or is for an element of a list.
    """
    key, equals, value = (part.strip() for part in assignment.partition("="))
    if not equals or not key:
        raise RunError(
            f"The override {assignment!r} is not an assignment; expected section.key=value."
        )
    if any(part.isdigit() for part in key.split(".")):
        raise RunError(
            f"The override {assignment!r} is for an element of a list. The official -u replaces "
            "the whole list by it; change a copy of the configuration file instead."
        )
    if _EXPONENT.fullmatch(value):
        mantissa, exponent = re.split("[eE]", value)
        whole, _, fraction = mantissa.partition(".")
        value = f"{whole}.{fraction or 0}e{int(exponent):+03d}"
    return f"{key}={value}"


def _program(processes: int, master_port: int | None, python: str | None) -> list[str]:
    if processes == 1:
        return [python or "python"]
    torchrun = [python, "-m", "torch.distributed.run"] if python else ["torchrun"]
    port = [f"--master_port={master_port}"] if master_port else []
    return [*torchrun, *port, f"--nproc_per_node={processes}"]


def _absolute(path: str | os.PathLike[str]) -> Path:
    return Path(path).expanduser().absolute()


def _existing(path: str | os.PathLike[str], kind: str) -> Path:
    absolute = _absolute(path)
    if not absolute.is_file():
        raise RunError(f"There is no {kind} {absolute}.")
    return absolute

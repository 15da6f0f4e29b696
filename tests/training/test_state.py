from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.optim import AdamW

from rtdetr_nb.config.config import Config
from rtdetr_nb.errors import RunError
from rtdetr_nb.model.build import build_model
from rtdetr_nb.training.optimizer import build_lr_scheduler, build_optimizer
from rtdetr_nb.training.state import (
    TrainingState,
    load_evaluated_weights,
    read_resume_file,
    seed_of,
)
from tests.small_runs import narrow_backbone, narrow_config
from tests.training.one_step import do_step, make_state


@pytest.fixture
def tiny_config(shapes_folder: Path) -> Iterator[Config]:
    """Of a model that is built in no time."""
    with narrow_backbone():
        yield narrow_config(shapes_folder)


@pytest.mark.slow
def resume(state: TrainingState, path: Path, steps_per_epoch: int) -> None:
    """As a run does it: the file is read and its seed taken before there is a state."""
    saved = read_resume_file(path)
    seed_of(saved)
    state.resume(saved, path, steps_per_epoch)


@pytest.mark.slow
def test_a_loaded_state_goes_on_to_the_same_figures(small_config: Config, tmp_path: Path) -> None:
    state = make_state(small_config)
    do_step(state, small_config)
    state.save(tmp_path / "last.pth")
    expected = [do_step(state, small_config) for _ in range(2)]
    fresh = make_state(small_config, seed=11)
    resume(fresh, tmp_path / "last.pth", 4)
    assert (fresh.step, fresh.epoch, fresh.batch, fresh.seed) == (1, 0, 1, 3)
    assert [do_step(fresh, small_config) for _ in range(2)] == expected
    assert fresh.ema is not None and state.ema is not None
    for name, value in state.ema.module.state_dict().items():
        torch.testing.assert_close(fresh.ema.module.state_dict()[name], value, rtol=0, atol=0)


def state_in(config: Config, memory_format: torch.memory_format) -> TrainingState:
    model = build_model(config).to(memory_format=memory_format)  # type: ignore[call-overload]
    optimizer = build_optimizer(config, model)
    scheduler = build_lr_scheduler(config, optimizer)
    return TrainingState(model, optimizer, scheduler, None, None, None, seed=0)


def update(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """With gradients that only the same place of the same parameter has."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            values = torch.linspace(-1, 1, parameter.numel()).view(parameter.shape)
            parameter.grad = torch.empty_like(parameter).copy_(values)
    optimizer.step()


@pytest.mark.parametrize("saved_as", [torch.channels_last, torch.contiguous_format])
def test_moments_in_another_memory_format_mean_the_same(tiny_config, tmp_path, saved_as):
    state = state_in(tiny_config, saved_as)
    update(state.model, state.optimizer)
    state.save(tmp_path / "last.pth")
    found = []
    for memory_format in (torch.contiguous_format, torch.channels_last):
        fresh = state_in(tiny_config, memory_format)
        resume(fresh, tmp_path / "last.pth", 4)
        update(fresh.model, fresh.optimizer)
        found.append(fresh.model.state_dict())
    update(state.model, state.optimizer)
    for name, value in state.model.state_dict().items():
        for other in found:  # in another order of memory, the last digit may round otherwise
            torch.testing.assert_close(other[name], value, rtol=1e-6, atol=1e-9)


@pytest.mark.slow
def test_any_program_goes_on_from_the_moments_that_are_saved(tiny_config, tmp_path):
    state = state_in(tiny_config, torch.channels_last)
    update(state.model, state.optimizer)
    state.save(tmp_path / "last.pth")
    saved = torch.load(tmp_path / "last.pth")["optimizer"]
    model = build_model(tiny_config)  # contiguous, as the official code has it
    model.load_state_dict(state.model.state_dict())
    optimizer = build_optimizer(tiny_config, model)
    AdamW.load_state_dict(optimizer, saved)  # torch's own, which takes everything from the file
    assert not any(group["fused"] for group in optimizer.param_groups)
    update(model, optimizer)
    update(state.model, state.optimizer)
    for name, value in state.model.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], value, rtol=1e-5, atol=1e-7)


def test_updates_are_fused_again_behind_a_file_that_knows_nothing_of_it(tiny_config, tmp_path):
    state = state_in(tiny_config, torch.channels_last)
    update(state.model, state.optimizer)
    state.save(tmp_path / "last.pth")
    resume(state, tmp_path / "last.pth", 4)
    assert all(group["fused"] for group in state.optimizer.param_groups)


def test_moments_of_another_shape_are_refused(tiny_config, tmp_path):
    state = state_in(tiny_config, torch.channels_last)
    update(state.model, state.optimizer)
    content = state.state_dict()
    content["optimizer"]["state"][0]["exp_avg"] = torch.zeros(1)
    torch.save(content, tmp_path / "last.pth")
    with pytest.raises(RunError, match="exp_avg of a parameter of shape"):
        resume(state, tmp_path / "last.pth", 4)


def test_an_official_checkpoint_resumes_after_its_last_epoch(
    small_config: Config, tmp_path: Path
) -> None:
    state = make_state(small_config)
    do_step(state, small_config)
    content = state.state_dict() | {"last_epoch": 4}
    del content["rtdetr_nb"]  # what only this package writes
    torch.save(content, tmp_path / "official.pth")
    fresh = make_state(small_config)
    resume(fresh, tmp_path / "official.pth", 7)
    assert (fresh.epoch, fresh.batch, fresh.step) == (5, 0, 35)


def test_evaluated_weights_are_the_averaged_ones(small_config: Config, tmp_path: Path) -> None:
    state = make_state(small_config)
    do_step(state, small_config)
    do_step(state, small_config)
    state.save(tmp_path / "last.pth")
    model = build_model(small_config)
    load_evaluated_weights(model, tmp_path / "last.pth")
    assert state.ema is not None
    key = "decoder.enc_output.proj.weight"
    loaded, raw = model.state_dict()[key], state.model.state_dict()[key]
    assert torch.equal(loaded, state.ema.module.state_dict()[key])
    assert not torch.equal(loaded, raw)


def test_without_a_saved_average_it_begins_with_the_weights(
    tiny_config: Config, tmp_path: Path
) -> None:
    state = make_state(tiny_config)
    do_step(state, tiny_config)
    content = state.state_dict()
    del content["ema"]
    torch.save(content, tmp_path / "last.pth")
    fresh = make_state(tiny_config, seed=11)
    resume(fresh, tmp_path / "last.pth", 4)
    assert fresh.ema is not None and fresh.evaluated_model is fresh.ema.module
    for name, value in state.model.state_dict().items():
        assert torch.equal(fresh.ema.module.state_dict()[name], value), name


@pytest.mark.parametrize(
    ("saved", "total", "batch"),
    [
        (4, 4, 5),
        (4, 2, 10),
        (4, 10, 2),  # 20 pictures
        (4, 16, 1),  # 16 of 20: no picture is missed
        (4, 32, 0),
        (None, 2, 5),  # a file of before: as it was
    ],
)
def test_another_batch_size_goes_on_at_the_picture_where_the_run_stood(
    tiny_config: Config,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    saved: int | None,
    total: int,
    batch: int,
) -> None:
    state = make_state(tiny_config)
    state.batch, state.total_batch_size = 5, saved
    state.save(tmp_path / "last.pth")
    fresh = make_state(tiny_config)
    resume(fresh, tmp_path / "last.pth", 4)
    with caplog.at_level("INFO"):
        fresh.use_batch_size(total)
    assert (fresh.batch, fresh.total_batch_size) == (batch, total)
    assert ("20 were seen" in caplog.text) == (saved not in (None, total))


@pytest.mark.parametrize(
    "content", [None, "text", {"model": {}}, {"state_dict": {}}, torch.zeros(2), 3, [1]]
)
def test_what_cannot_be_resumed_is_explained(
    tiny_config: Config, tmp_path: Path, content: object
) -> None:
    path = tmp_path / "file.pth"
    if isinstance(content, str):
        path.write_text(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(RunError, match=r"file\.pth .*(last\.pth|resume)"):
        resume(make_state(tiny_config), path, 1)


@pytest.mark.parametrize(
    ("part", "content", "named"),
    [
        ("model", None, "model"),
        ("model", {"a": 1}, "model"),
        ("optimizer", 3, "optimizer"),
        ("optimizer", {}, "no 'param_groups'"),
        ("lr_scheduler", 3, "lr_scheduler"),
        ("lr_warmup_scheduler", {"last_step": 3}, "no 'warmup_end_values'"),
        ("ema", {"updates": 3}, "no 'module'"),
        ("ema", [1], "ema"),
        ("rtdetr_nb", 3, "step, epoch, batch, seed"),
        ("rtdetr_nb", {"step": 3}, "epoch, batch, seed"),
        ("rtdetr_nb", {"step": 3, "epoch": 0, "batch": "x", "seed": 1}, "number for batch"),
        (("rtdetr_nb", "last_epoch"), (None, "x"), "last_epoch"),
    ],
)
def test_a_part_that_cannot_be_used_is_a_sentence(
    tiny_config: Config, tmp_path: Path, part: str | tuple, content: object, named: str
) -> None:
    state, path = make_state(tiny_config), tmp_path / "last.pth"
    parts, contents = (part, content) if isinstance(part, tuple) else ([part], [content])
    torch.save(state.state_dict() | dict(zip(parts, contents, strict=True)), path)  # type: ignore[arg-type]
    with pytest.raises(RunError, match=rf"last\.pth .*{named}"):
        resume(state, path, 4)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"model": {"a": torch.zeros(2)}}, "'model' cannot be used"),
        ({"model": [1]}, "'model' cannot be used"),
        ({"ema": [1]}, "'ema' cannot be used"),
        ({"ema": {"updates": 3}}, "no 'module'"),
        ({"model": None, "ema": None}, "neither an average"),
        ({"stem.stem1.conv.weight": torch.zeros(2)}, "neither .* but stem.stem1.conv.weight:"),
        ({}, "neither .* but nothing:"),
    ],
)
def test_evaluated_weights_that_cannot_be_used_are_a_sentence(
    tiny_config: Config, tmp_path: Path, content: dict, words: str
) -> None:
    torch.save(content, tmp_path / "last.pth")
    with pytest.raises(RunError, match=rf"last\.pth .*{words}"):
        load_evaluated_weights(build_model(tiny_config), tmp_path / "last.pth")


@pytest.mark.parametrize(
    ("parts", "use_ema", "taken", "said"),
    [
        (("ema",), True, "ema", ""),  # a released model
        (("model", "ema"), True, "ema", ""),
        (("model", "ema"), False, "model", ""),
        (("model",), True, "model", "no average"),
        (("model",), False, "model", ""),
        (("ema",), False, "ema", "no raw weights"),
    ],
)
def test_a_file_of_weights_alone_is_evaluated(
    tiny_config: Config,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    parts: tuple[str, ...],
    use_ema: bool,
    taken: str,
    said: str,
) -> None:
    weights = {part: build_model(tiny_config).state_dict() for part in parts}
    content = {
        part: {"module": state} if part == "ema" else state for part, state in weights.items()
    }
    torch.save(content, tmp_path / "released.pth")
    model = build_model(tiny_config)
    load_evaluated_weights(model, tmp_path / "released.pth", use_ema)
    for name, value in model.state_dict().items():
        assert torch.equal(value, weights[taken][name]), name
    assert (said in caplog.text) if said else not caplog.text


def test_a_checkpoint_of_another_model_names_the_difference(
    small_config: Config, tmp_path: Path
) -> None:
    state = make_state(small_config)
    state.save(tmp_path / "last.pth")
    other = make_state(small_config.override(["num_classes=12"]))
    with pytest.raises(RunError, match=r"another model .*(denoising_class_embed|score_head)"):
        resume(other, tmp_path / "last.pth", 1)

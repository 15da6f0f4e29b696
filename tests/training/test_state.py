from pathlib import Path

import pytest
import torch

from rtdetr_nb.config import Config
from rtdetr_nb.errors import RunError
from rtdetr_nb.model.build import build_model
from rtdetr_nb.training.state import load_evaluated_weights
from tests.training.test_step import do_step, make_state


def test_a_loaded_state_goes_on_to_the_same_figures(small_config: Config, tmp_path: Path) -> None:
    state = make_state(small_config)
    do_step(state, small_config)
    state.save(tmp_path / "last.pth")
    expected = [do_step(state, small_config) for _ in range(2)]
    fresh = make_state(small_config, seed=11)
    fresh.load(tmp_path / "last.pth", steps_per_epoch=4)
    assert (fresh.step, fresh.epoch, fresh.batch, fresh.seed) == (1, 0, 1, 3)
    assert [do_step(fresh, small_config) for _ in range(2)] == expected
    assert fresh.ema is not None and state.ema is not None
    for name, value in state.ema.module.state_dict().items():
        torch.testing.assert_close(fresh.ema.module.state_dict()[name], value, rtol=0, atol=0)


def test_an_official_checkpoint_resumes_after_its_last_epoch(
    small_config: Config, tmp_path: Path
) -> None:
    state = make_state(small_config)
    do_step(state, small_config)
    content = state.state_dict() | {"last_epoch": 4}
    del content["rtdetr_nb"]  # what only this package writes
    torch.save(content, tmp_path / "official.pth")
    fresh = make_state(small_config)
    fresh.load(tmp_path / "official.pth", steps_per_epoch=7)
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


@pytest.mark.parametrize("content", [None, "text", {"model": {}}, {"state_dict": {}}])
def test_what_cannot_be_resumed_is_explained(
    small_config: Config, tmp_path: Path, content: object
) -> None:
    path = tmp_path / "file.pth"
    if isinstance(content, str):
        path.write_text(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(RunError, match=r"file\.pth .*(last\.pth|resume)"):
        make_state(small_config).load(path, steps_per_epoch=1)


def test_a_checkpoint_of_another_model_names_the_difference(
    small_config: Config, tmp_path: Path
) -> None:
    state = make_state(small_config)
    state.save(tmp_path / "last.pth")
    other = make_state(small_config.override(["num_classes=12"]))
    with pytest.raises(RunError, match=r"another model .*denoising_class_embed|score_head"):
        other.load(tmp_path / "last.pth", steps_per_epoch=1)

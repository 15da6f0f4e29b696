"""`compile: True`: the same figures, the same names, and no compiling without end."""

from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

from bench.straightforward import attention_by_maps
from rtdetr_nb.model.build import build_model
from rtdetr_nb.model.rtdetr import RTDETR
from rtdetr_nb.runs.records import is_step
from rtdetr_nb.training.assembly import TrainingOptions, compile_parts
from rtdetr_nb.training.loop import train
from tests.small_runs import narrow_backbone, narrow_config

# As pictures come with multi-scale: sizes in any order, each with targets of its own.
SIZES = (64, 96, 128, 160, 192, 64, 128)


class Counter:
    """A compiler that changes nothing and counts what it is given."""

    def __init__(self) -> None:
        self.graphs = 0

    def __call__(self, graph: torch.fx.GraphModule, _inputs: object) -> object:
        self.graphs += 1
        return graph.forward


@pytest.fixture
def model(shapes_folder: Path) -> RTDETR:
    torch.compiler.reset()
    torch.manual_seed(0)
    with narrow_backbone():
        return build_model(narrow_config(shapes_folder)).train()


def _batch(size: int, seed: int) -> tuple[Tensor, list[dict[str, Tensor]]]:
    generator = torch.Generator().manual_seed(seed)
    targets = [
        {
            "labels": torch.randint(0, 10, (count,), generator=generator),
            "boxes": torch.rand(count, 4, generator=generator) * 0.4 + 0.2,
        }
        for count in (1 + seed % 3, 2 + seed)
    ]
    return torch.rand(2, 3, size, size, generator=generator), targets


def _train_through(model: RTDETR, counter: Counter, sizes: tuple[int, ...] = SIZES) -> list[int]:
    """Graphs that had been compiled after each size."""
    counts = []
    for seed, size in enumerate(sizes):
        outputs = model(*_batch(size, seed))
        (outputs["pred_logits"].sum() + outputs["pred_boxes"].sum()).backward()
        counts.append(counter.graphs)
    return counts


@pytest.mark.slow
def test_sizes_and_targets_do_not_compile_without_end(model: RTDETR) -> None:
    compile_parts(model, backend=(counter := Counter()))
    counts = _train_through(model, counter)
    assert 3 <= counts[0] <= 4
    assert counts[2] == counts[-1] <= 8


@pytest.mark.slow
def test_the_whole_model_would(model: RTDETR) -> None:
    model.compile(backend=(counter := Counter()))
    counts = _train_through(model, counter, SIZES[:4])
    assert counts[3] > counts[2]


@pytest.mark.slow
def test_the_figures_and_the_names_stay(model: RTDETR) -> None:
    names = list(model.state_dict())
    images, targets = _batch(64, 1)
    found = []
    counter = Counter()
    for _ in range(2):
        torch.manual_seed(5)
        with attention_by_maps():  # as the compiler has it
            outputs = model(images, targets)
        model.zero_grad()
        (outputs["pred_logits"].square().sum() + outputs["pred_boxes"].sum()).backward()
        gradients = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
        found.append((outputs["pred_boxes"].detach(), gradients))
        if counter.graphs == 0:
            compile_parts(model, backend=counter)
    assert counter.graphs > 0
    (boxes, gradients), (compiled_boxes, compiled_gradients) = found
    torch.testing.assert_close(compiled_boxes, boxes, rtol=0, atol=1e-6)
    torch.testing.assert_close(compiled_gradients, gradients, rtol=1e-4, atol=1e-5)
    assert list(model.state_dict()) == names


@pytest.mark.slow
def test_a_compiled_run_has_the_losses_of_a_plain_one(
    shapes_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With all of the compiler but its last stage, which on a CPU takes minutes."""
    staged = partial(compile_parts, backend="aot_eager")
    monkeypatch.setattr("rtdetr_nb.training.assembly.compile_parts", staged)
    found = []
    for compiled in (False, True):
        torch.compiler.reset()
        config = narrow_config(shapes_folder, f"compile={compiled}")
        folder = tmp_path / str(compiled)
        folder.mkdir()
        options = TrainingOptions(output_dir=folder, max_steps=3)
        with narrow_backbone():
            found.append(list(train(config, options)))
    plain, compiled = found
    for ours, theirs in zip(filter(is_step, plain), filter(is_step, compiled), strict=True):
        assert theirs["loss"] == pytest.approx(ours["loss"], rel=1e-4)
        assert theirs.get("grad_norm") == pytest.approx(ours.get("grad_norm"), rel=1e-3)
    ends = [next(r for r in records if r.get("event") == "evaluation") for records in found]
    assert ends[1]["statistics"]["AP"] == pytest.approx(ends[0]["statistics"]["AP"], abs=1e-3)


def test_an_encoder_with_synchronised_norms_is_left_as_it_is(model: RTDETR) -> None:
    torch.nn.SyncBatchNorm.convert_sync_batchnorm(model)
    compile_parts(model, backend=Counter())
    assert "fuse" not in vars(model.encoder) and "decode" in vars(model.decoder)

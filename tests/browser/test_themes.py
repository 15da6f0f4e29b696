"""Table, tree, plot and predictions on a real page, readable in both themes; and their pictures."""

import os
import re
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Browser, Locator

import rtdetr_nb as rt
from tests.paths import ROOT

from .lab import LabPage, serve_lab

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CELLS = {
    "open": "import rtdetr_nb as rt\nckpt = rt.open_checkpoint({checkpoint!r})\n"
    "diff = rt.compare(ckpt, rt.load_config('rtdetrv2_hgnetv2_l'))",
    "table": "rt.show_table(diff)",
    "tree": "picker = rt.pick_layers(diff)\npicker",
    "backbone": "rt.show_backbone(diff)",
    "live_plot": "rt.live_plot(rt.attach_run({tuned!r}), rt.attach_run({random!r}), "
    "labels=['from the tuning file', 'from random weights'])",
    "predictions": "rt.show_predictions([rt.attach_run({tuned!r}), rt.attach_run({random!r})], "
    "labels=['from the tuning file', 'from random weights'])",
}
# Text to look at: what has to contrast with the ground that it stands on.
TEXTS = {
    "table": (".rtnb-table td .k", ".rtnb-table .dt-info", ".rtnb-table td .s"),
    "tree": (".rtnb-name", ".rtnb-count", ".rtnb-counts"),
}
LEAST_CONTRAST = 4.5  # WCAG 2.2, level AA

# The first ground behind an element that is not transparent, and the colour of its text.
COLORS_OF = """element => {
    const text = getComputedStyle(element).color;
    let ground = "rgb(255, 255, 255)";
    for (let at = element; at; at = at.parentElement) {
        const color = getComputedStyle(at).backgroundColor;
        if (!/, 0\\)$|transparent/.test(color)) { ground = color; break; }
    }
    return [text, ground, getComputedStyle(element).opacity];
}"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Folders of two runs: those of a demo if RTDETR_NB_RUNS names it, else two short ones."""
    demo = os.environ.get("RTDETR_NB_RUNS")
    if demo:
        return {name: str(Path(demo, name).resolve()) for name in ("tuned", "random")}
    folder = tmp_path_factory.mktemp("runs")
    config = rt.quick_run_config(ROOT / "data" / "shapes", image_size=96, batch_size=2)
    for seed, name in enumerate(("tuned", "random")):
        run = rt.start_run(
            config, output_dir=folder / name, max_steps=3, overrides=[f"seed={seed}"]
        )
        assert run.wait() == "finished", run.error
    return {name: str(folder / name) for name in ("tuned", "random")}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_everything_is_readable(
    browser: Browser, tmp_path: Path, pictures: Path, runs: dict[str, str], theme: str
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    checkpoint = str(ROOT / "data" / "demo_backbone_mmdet.pth")
    sources = {name: cell.format(checkpoint=checkpoint, **runs) for name, cell in CELLS.items()}
    cells = [nbformat.v4.new_code_cell(source) for source in sources.values()]
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)"}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbformat.write(notebook, root / "themes.ipynb")
    with serve_lab(root, tmp_path / "scratch", theme=theme) as server:
        lab = LabPage(browser, server, "themes.ipynb", height=2400)
        for name, source in sources.items():
            output = lab.run_cell(source.splitlines()[0])
            for selector in TEXTS.get(name, ()):
                assert _contrast(output.locator(selector).first) >= LEAST_CONTRAST, selector
            if name != "open":
                output.screenshot(path=pictures / f"{name}_{theme}.png")
        lab.check()


def _contrast(element: Locator) -> float:
    """Contrast ratio of a text to its ground, as WCAG defines it: 1 to 21."""
    text, ground, opacity = element.evaluate(COLORS_OF)
    back = _channels(ground)
    share = float(opacity)
    front = [share * f + (1 - share) * b for f, b in zip(_channels(text), back, strict=True)]
    light, dark = sorted((_luminance(front), _luminance(back)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _channels(color: str) -> list[float]:
    return [float(number) for number in re.findall(r"[\d.]+", color)[:3]]


def _luminance(channels: list[float]) -> float:
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in (value / 255 for value in channels)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

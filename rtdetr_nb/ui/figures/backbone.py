"""A picture of the backbone: stem, stages and blocks as boxes, filled by how much of each loads.

On a page a click on a box opens its tensors. That needs no script and no kernel, so it goes on in a
saved notebook: each box is the label of a hidden radio button, which shows the table of its place.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from IPython.display import display
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from rtdetr_nb.checkpoint.comparison.block_coverage import BlockCoverage, block_coverage
from rtdetr_nb.checkpoint.comparison.diff import Diff
from rtdetr_nb.checkpoint.comparison.row import Row
from rtdetr_nb.checkpoint.comparison.selection import Selection
from rtdetr_nb.text.html_pieces import AMBER, GREEN, GREY, RED, badge, shown
from rtdetr_nb.text.plain_text import show_as_text
from rtdetr_nb.text.table import shape_text
from rtdetr_nb.ui.figures.base import GREY as LINE_GREY
from rtdetr_nb.ui.figures.base import new_figure, to_png

_WIDTH, _HEIGHT, _GAP, _PITCH = 2.3, 0.5, 0.1, 2.75  # of boxes and columns, in units of the axes


@dataclass(frozen=True)
class BackbonePicture:
    """The picture of a comparison or a selection, and its text for a terminal."""

    blocks: tuple[BlockCoverage, ...]
    title: str
    picks: bool = field(default=False, repr=False)

    @cached_property
    def figure(self) -> Figure:
        """The drawing; it belongs to no window and to no global list."""
        return _draw(self.blocks, self.title, self.picks)

    _repr_pretty_ = show_as_text

    def __str__(self) -> str:
        lines = [self.title]
        lines += [
            f"  {b.part:9} {b.block:12} {b.tensors:3} tensors  {b.words}" for b in self.blocks
        ]
        return "\n".join(lines)

    def _repr_png_(self) -> bytes:
        return to_png(self.figure)

    def _repr_html_(self) -> str:
        return _page(self.blocks, self.title, self.picks)


def show_backbone(diff: Diff, selection: Selection | None = None) -> None:
    """Show the backbone's blocks, filled by the share of their values that loads.

    Args:
        diff: the comparison.
        selection: fill only what is picked; everything that fits if None.
    """
    display(backbone_picture(diff, selection))


def backbone_picture(diff: Diff, selection: Selection | None = None) -> BackbonePicture:
    """Return what `show_backbone` shows, without showing it."""
    what = "what fits" if selection is None else "what is picked"
    title = f"HGNetv2-{diff.config.backbone.name}: {what} of {diff.checkpoint.path.name}"
    return BackbonePicture(block_coverage(diff, selection), title, selection is not None)


def _draw(blocks: Sequence[BlockCoverage], title: str, picks: bool) -> Figure:
    columns: dict[str, list[BlockCoverage]] = {}
    for block in blocks:
        columns.setdefault(block.part, []).append(block)
    rows = max(map(len, columns.values()))
    height = (rows + 1) * (_HEIGHT + _GAP) + 0.6
    width = len(columns) * _PITCH
    figure, axes = new_figure(0.85 * width, 0.85 * height)
    ax: Axes = axes[0, 0]
    ax.set_axis_off()
    ax.set_xlim(-0.1, width - (_PITCH - _WIDTH) + 0.1)
    ax.set_ylim(-height, 0.2)
    ax.set_aspect("equal")
    ax.set_title(title, color=LINE_GREY, fontsize=10, loc="left", parse_math=False)
    for index, (part, own) in enumerate(columns.items()):
        left = index * _PITCH
        _draw_column(ax, left, part, own)
        if index:
            ax.annotate(
                "",
                (left - 0.04, -0.32),
                (left - (_PITCH - _WIDTH) + 0.04, -0.32),
                arrowprops={"arrowstyle": "->", "color": LINE_GREY},
            )
    _draw_legend(ax, -height + 0.2, picks)
    return figure


def _draw_column(ax: Axes, left: float, part: str, blocks: Iterable[BlockCoverage]) -> None:
    ax.text(left, -0.32, part, color=LINE_GREY, fontsize=10,
            weight="bold", va="center",
            bbox={"facecolor": "none", "edgecolor": "none", "pad": 1})  # fmt: skip
    for row, block in enumerate(blocks, start=1):
        _draw_block(ax, left, -row * (_HEIGHT + _GAP), block)


def _draw_block(ax: Axes, left: float, top: float, block: BlockCoverage) -> None:
    bottom = top - _HEIGHT
    ax.add_patch(Rectangle((left, bottom), _WIDTH, _HEIGHT, facecolor=GREY, edgecolor="none"))
    start = left
    shares = ((GREEN, block.loaded), (RED, block.mismatched), (AMBER, block.missing))
    for color, share in shares:
        width = _WIDTH * share
        ax.add_patch(Rectangle((start, bottom), width, _HEIGHT, facecolor=color, edgecolor="none"))
        start += width
    ax.text(left + 0.07, top - 0.15, block.block, color="white", fontsize=8, va="center")
    ax.text(left + 0.07, top - 0.36, block.words, color="white", fontsize=6.5, va="center")


def _draw_legend(ax: Axes, bottom: float, picks: bool) -> None:
    for index, (color, word) in enumerate(_legend(picks)):
        left = index * 1.6
        ax.add_patch(Rectangle((left, bottom), 0.2, 0.2, facecolor=color, edgecolor="none"))
        ax.text(left + 0.28, bottom + 0.1, word, color=LINE_GREY, fontsize=8, va="center")


def _page(blocks: Sequence[BlockCoverage], title: str, picks: bool) -> str:
    """The picture as HTML, with the tensors of the box that was clicked last below it."""
    group = f"rtnb-{uuid.uuid4().hex[:8]}"  # a page may show several pictures
    columns: dict[str, list[str]] = {}
    for place, block in enumerate(blocks):
        columns.setdefault(block.part, []).append(_box(f"{group}-{place}", block))
    drawn = "".join(
        f"<div><b>{shown(part)}</b>{''.join(boxes)}</div>" for part, boxes in columns.items()
    )
    # Before the columns, whose borders and whose tables the chosen one changes.
    radios = "".join(
        f'<input type="radio" name="{group}" id="{group}-{place}" '
        f'aria-label="Tensors of {shown(block.part)} {shown(block.block)}">'
        for place, block in enumerate(blocks)
    )
    tables = "".join(f'<div class="at">{_tensors(block)}</div>' for block in blocks)
    legend = "".join(f'<i style="background:{color}"></i>{word} ' for color, word in _legend(picks))
    return (
        f'{_style(group, len(blocks))}<div class="{group}"><div>{shown(title)}</div>{radios}'
        f'<div class="columns">{drawn}</div><div class="legend">{legend}'
        f"<span>Click a box to see its tensors.</span></div>{tables}</div>"
    )


def _style(group: str, count: int) -> str:
    """Rules for one picture: everything but the chosen table is hidden."""
    chosen = ",".join(
        f"#{group}-{place}:checked~.at:nth-of-type({place + 4})" for place in range(count)
    )
    ringed = ",".join(
        f'#{group}-{place}:checked~.columns label[for="{group}-{place}"]' for place in range(count)
    )
    own = f".{group}"
    return (
        f"<style>{own} input{{position:absolute;opacity:0}}"
        f"{own} .columns{{display:flex;flex-wrap:wrap;gap:14px;margin:.4em 0}}"
        f"{own} label{{display:block;width:150px;margin-top:5px;padding:3px 6px;color:#fff;"
        "font-size:12px;cursor:pointer;border-radius:3px;box-sizing:border-box}"
        f"{own} label small{{display:block}}"
        f"{own} label:hover,{ringed}{{outline:3px solid #56b4e9}}"
        f"{own} input:focus-visible~.legend{{outline:2px solid #56b4e9}}"
        f"{own} .legend i{{display:inline-block;width:.8em;height:.8em;margin:0 .3em 0 .8em}}"
        f"{own} .at{{display:none;overflow-x:auto;margin-top:.5em}}{chosen}{{display:block}}"
        # JupyterLab puts numbers and words of tables to the right.
        f"{own} td,{own} th{{padding:1px 10px 1px 0;text-align:left!important;white-space:nowrap}}"
        f"{own} td:last-child{{min-width:20em;white-space:normal}}"
        f"{own} .legend span{{margin-left:1em;opacity:.75}}</style>"
    )


def _box(name: str, block: BlockCoverage) -> str:
    stops, at = [], 0.0
    shares = ((GREEN, block.loaded), (RED, block.mismatched), (AMBER, block.missing), (GREY, 1.0))
    for color, share in shares:
        end = min(1.0, at + share)
        stops.append(f"{color} {at:.1%} {end:.1%}")
        at = end
    ground = f"linear-gradient(to right,{','.join(stops)})"
    words = f"{shown(block.block)}<small>{shown(block.words)}</small>"
    return f'<label for="{name}" style="background:{ground}">{words}</label>'


def _tensors(block: BlockCoverage) -> str:
    rows = "".join(map(_tensor, block.rows))
    return (
        f"<b>{shown(block.part)} {shown(block.block)}</b>: {shown(block.words)}"
        "<table><tr><th>status<th>in the model<th>shape<th>in the file<th>shape<th>note</tr>"
        f"{rows}</table>"
    )


def _tensor(row: Row) -> str:
    cells = (
        badge(row.status),
        f"<code>{shown(row.model_key or '-')}</code>",
        shape_text(row.model_shape),
        f"<code>{shown(row.checkpoint_key or '-')}</code>",
        shape_text(row.checkpoint_shape),
        shown(row.note),
    )
    return f"<tr>{''.join(f'<td>{cell}' for cell in cells)}</tr>"


def _legend(picks: bool) -> list[tuple[str, str]]:
    own = [(GREY, "not picked")] if picks else []
    return [(GREEN, "loads"), (RED, "mismatched"), (AMBER, "missing"), *own]

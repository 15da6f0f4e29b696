"""Copies of the notebooks with their parameters filled in, as papermill does it.

The first cell of a notebook that is tagged `parameters` holds its defaults; a copy gets a cell
tagged `injected-parameters` after it, which overrides them.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from rtdetr_nb.errors import UserError
from rtdetr_nb.files.atomic_file import write_atomically
from rtdetr_nb.lab.excerpt import keep_living_links, leave_out_cells
from rtdetr_nb.lab.own_changes import INJECTED_TAG, is_changed, is_of, remember

PARAMETERS_TAG = "parameters"


def copy_notebooks(
    notebooks: Iterable[Path],
    folder: Path,
    parameters: Mapping[str, object],
    *,
    code: str = "",
    output: Path | None = None,
    keep: bool = True,
    leave_out: str | None = None,
) -> list[Path]:
    """Copy notebooks into `folder`, each with those of the parameters that it has.

    Args:
        notebooks: `.ipynb` files.
        folder: made if needed.
        parameters: name -> value; values are written by `repr`. Each has to be one of at least one
            notebook.
        code: Python source that each copy runs after these values.
        output: each notebook gets a folder below it, named after the notebook, as its parameter
            `output`: two notebooks never write the same files.
        keep: a copy that a user has changed is updated in its injected cell only, and so is one
            that already comes from the same notebook, with its outputs; else it is replaced.
        leave_out: cells with this tag are not copied.

    Returns:
        The copies, in the order of `notebooks`.

    Raises:
        UserError: a notebook cannot be read, no notebook has a parameter of that name, or a copy
            cannot be written.
    """
    sources = list(notebooks)
    _check_names(sources, parameters)
    copies = []
    for source in sources:
        copy = folder / source.name
        content = _fresh_copy(source, leave_out, {path.name for path in sources})
        if keep and copy.exists():
            earlier = _read(copy)
            if is_changed(earlier) or is_of(earlier, _read(source)):
                content = earlier
        own = {} if output is None else {"output": str(output / source.stem)}
        _inject(content, {**parameters, **own}, code)
        text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(copy, lambda path, text=text: path.write_text(text, encoding="utf-8"))
        except OSError as error:
            raise UserError(
                f"The notebook cannot be copied to {copy} ({error.strerror}). Run this in a folder "
                "that you can write to."
            ) from error
        copies.append(copy)
    return copies


def outdated_copies(copies: Iterable[Path], notebooks: Iterable[Path]) -> list[Path]:
    """Of copies, in the order of their notebooks, those made from another version of them.

    `copy_notebooks` keeps them where a user has changed them.
    """
    pairs = zip(copies, notebooks, strict=True)
    return [copy for copy, source in pairs if not is_of(_read(copy), _read(source))]


def _fresh_copy(source: Path, leave_out: str | None, names: Collection[str]) -> dict[str, Any]:
    """The content of a notebook for a copy beside copies of the notebooks called `names`."""
    content, original = _read(source), _read(source)
    leave_out_cells(content["cells"], leave_out)
    keep_living_links(content["cells"], names)
    remember(content, original)
    return content


def _check_names(sources: Iterable[Path], parameters: Mapping[str, object]) -> None:
    """Refuse a parameter that would change nothing."""
    defaults = [_defaults(_read(source)["cells"]) for source in sources]
    for name in parameters:
        if not any(_assigns(text, name) for text in defaults):
            raise UserError(
                f"No notebook has a parameter {name!r}. The parameters of a notebook are what its "
                f"cell tagged {PARAMETERS_TAG!r} assigns."
            )


def _defaults(cells: Iterable[Mapping[str, Any]]) -> str:
    """The source of the cell with the defaults; empty without one."""
    return next((_source(cell) for cell in cells if PARAMETERS_TAG in _tags(cell)), "")


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(content["cells"], list):
            return content
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise UserError(f"{path} is not a notebook, or is damaged. Move it away and try again.")


def _inject(content: dict[str, Any], parameters: Mapping[str, object], code: str) -> None:
    cells = [c for c in content["cells"] if INJECTED_TAG not in _tags(c)]
    index = next((i for i, cell in enumerate(cells) if PARAMETERS_TAG in _tags(cell)), None)
    if index is not None:
        defaults = _source(cells[index])
        lines = [f"{k} = {v!r}" for k, v in parameters.items() if _assigns(defaults, k)]
        note = "# The values of this copy; they replace those above."
        lines = [note, *lines, *([code] if code else [])]
        cells.insert(index + 1, _code_cell("\n".join(lines)))
    content["cells"] = cells


def _tags(cell: Mapping[str, Any]) -> list[str]:
    return cell.get("metadata", {}).get("tags", [])


def _source(cell: Mapping[str, Any]) -> str:
    source = cell.get("source", "")
    return source if isinstance(source, str) else "".join(source)


def _assigns(source: str, name: str) -> bool:
    return any(line.split("=")[0].strip() == name for line in source.splitlines() if "=" in line)


def _code_cell(source: str) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": INJECTED_TAG,
        "metadata": {"tags": [INJECTED_TAG]},
        "outputs": [],
        "source": source.splitlines(keepends=True),
    }

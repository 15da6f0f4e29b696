"""Explains a difference of shapes: on which axis, and which HGNetv2 has the file's shape."""

from __future__ import annotations

from rtdetr_nb.architecture.state_dict_table import BACKBONE, variant_tables

_AXES = {
    1: ("channels",),
    2: ("outputs", "inputs"),
    4: ("output channels", "input channels", "rows of the kernel", "columns of the kernel"),
}


def explain_shapes(
    model_key: str, model_shape: tuple[int, ...], file_shape: tuple[int, ...]
) -> str:
    """Explain how two shapes of one tensor differ, and which HGNetv2 has the file's shape.

    "64 output channels in the file, 48 in the model: this is the stem of an HGNetv2-X".
    """
    origin = _whose_shape(model_key, file_shape)
    return _differences(model_shape, file_shape) + (f": {origin}" if origin else "")


def variants_with_shape(model_key: str, shape: tuple[int, ...]) -> tuple[str, ...]:
    """Return the HGNetv2 variants ("L", "X", "H") whose tensor of that name has that shape."""
    name = model_key.removeprefix(BACKBONE)
    return tuple(
        variant
        for variant, table in variant_tables().items()
        if name in table and table[name].shape == tuple(shape)
    )


def _differences(model_shape: tuple[int, ...], file_shape: tuple[int, ...]) -> str:
    if len(model_shape) != len(file_shape):
        return f"{len(file_shape)} axes in the file, {len(model_shape)} in the model"
    names = _AXES.get(len(model_shape), tuple(f"on axis {i}" for i in range(len(model_shape))))
    return "; ".join(
        f"{in_file} {name} in the file, {in_model} in the model"
        for name, in_file, in_model in zip(names, file_shape, model_shape, strict=True)
        if in_file != in_model
    )


def _whose_shape(model_key: str, file_shape: tuple[int, ...]) -> str:
    if not model_key.startswith(BACKBONE):
        return ""
    words = model_key.removeprefix(BACKBONE).split(".")
    variants = variants_with_shape(model_key, file_shape)
    if len(variants) == 1:
        place = "the stem" if words[0] == "stem" else f"stages.{words[1]}"
        return f"this is {place} of an HGNetv2-{variants[0]}"
    if variants:
        return f"as in HGNetv2-{' and -'.join(variants)}"
    return "no HGNetv2-L, -X or -H has this shape"

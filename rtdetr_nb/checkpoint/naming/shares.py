"""Files of one process of a distributed training, which hold a share of the weights."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

_ZERO = (
    "It is one process's file of DeepSpeed ZeRO-3: the weights are spread over the processes, and "
    "it holds empty places for them. Run zero_to_fp32.py, which lies in the folder of the "
    "checkpoint, and open its result."
)
_ZERO_STATES = (
    "It is the optimizer's file of DeepSpeed ZeRO, with one process's share of the weights, laid "
    "end to end. Run zero_to_fp32.py, which lies in the folder of the checkpoint, and open its "
    "result."
)
_FLAT = (
    "It holds flat parameters of FullyShardedDataParallel: one process's share of the weights, "
    "laid end to end. Save with StateDictType.FULL_STATE_DICT, or gather with "
    "torch.distributed.checkpoint.state_dict.get_model_state_dict and full_state_dict=True."
)
_SHARDED = (
    "It holds one process's share of the weights (ShardedTensor). Save with "
    "StateDictType.FULL_STATE_DICT, or save all shares with torch.distributed.checkpoint and open "
    "its folder."
)
_EMPTY = (
    "Its weights are empty places: the values were elsewhere when it was saved. Gather the weights "
    "before saving, with the tool of the library that spread them."
)
_FLAT_NAMES = re.compile(r"(^|\.)_?flat_param(_\d+)?(\.|$)")
_ZERO_GROUPS = re.compile(r"(fp32_flat_groups|single_partition_of_fp32_groups)")


def explain_share(shapes: Mapping[str, tuple[int, ...]], beside: Collection[str]) -> str:
    """Say which share of which library a file holds, and the tool that gathers it; "" if none.

    Args:
        shapes: the shapes of all tensors, or of those that matter, by name.
        beside: what lies at the top of the file; see `copy_roles.names_at_top`.
    """
    if any(_ZERO_GROUPS.search(name) for name in shapes):
        return _ZERO_STATES
    if any(_FLAT_NAMES.search(name) and len(shape) == 1 for name, shape in shapes.items()):
        return _FLAT
    if any("._local_shards." in name or "ShardedTensor" in name for name in shapes):
        return _SHARDED
    weights = [shape for name, shape in shapes.items() if name.endswith("weight")]
    if not weights or 2 * sum(0 in shape for shape in weights) < len(weights):
        return ""
    signs = {"ds_config", "ds_version", "param_shapes", "buffer_names"}
    return _ZERO if not signs.isdisjoint(beside) else _EMPTY

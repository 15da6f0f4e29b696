"""Files that are one pickle: `.pdparams` of Paddle, and what `pickle.dump` wrote."""

from __future__ import annotations

from rtdetr_nb.checkpoint.reading.paths import list_tensors
from rtdetr_nb.checkpoint.reading.pickle.tree_builder import TreeBuilder
from rtdetr_nb.checkpoint.reading.storage import SourceFile, payload_storage
from rtdetr_nb.checkpoint.reading.tensor_info import Listing
from rtdetr_nb.errors import CheckpointError

_PADDLE_SUFFIXES = frozenset({".pdparams", ".pdopt", ".pdstates", ".pdema"})
_PADDLE_TABLE = "StructuredToParameterName@@"


def list_bare_pickle(source: SourceFile, node: object, refusal: str) -> Listing:
    """List a file that is one pickle.

    Args:
        source: The file.
        node: The pickle, as the pickle reader wrote it down.
        refusal: What torch refuses in it.

    Raises:
        CheckpointError: It holds no array.
    """
    builder = TreeBuilder(
        None, lambda span, nbytes: payload_storage(source, span.start, span, nbytes)
    )
    tree = builder.build(node)
    tensors = list_tensors(tree)
    is_paddle = source.path.suffix in _PADDLE_SUFFIXES or (
        isinstance(tree, dict) and _PADDLE_TABLE in tree
    )
    if not tensors:
        raise CheckpointError(
            "It is a pickle without any array, so it is not a checkpoint. Choose the file that "
            "torch.save or paddle.save wrote."
        )
    container = "pdparams" if is_paddle else "pickle"
    return Listing(container, tree, tensors, builder.modules, (source.path,), refusal)

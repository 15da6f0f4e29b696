"""Words that wrappers put into the names of tensors, wherever they wrap a module."""

from __future__ import annotations

from collections.abc import Iterable

WRAPPER_WORDS: dict[str, str] = {
    "_orig_mod": "torch.compile",
    "module": "DataParallel or DistributedDataParallel",
    "_fsdp_wrapped_module": "FullyShardedDataParallel",
    "_fpw_module": "FullyShardedDataParallel, before torch 2",
    "_checkpoint_wrapped_module": "activation checkpointing",
    "_forward_module": "Lightning Fabric",
    "_original_module": "Lightning Fabric",
    "_module": "Opacus",
    "_wrapped_module": "a wrapper of offloading or profiling",
    "_dp_wrapped_module": "data parallelism",
    "_model_wrapped": "a wrapper",
}
"""Each word, and what writes it. It stands behind the name of what is wrapped: `stem._orig_mod`."""


def without_wrappers(name: str) -> tuple[str, tuple[str, ...]]:
    """Return a dotted name without wrappers' words, and the words that were in it."""
    words = name.split(".")
    found = tuple(dict.fromkeys(word for word in words if word in WRAPPER_WORDS))
    if not found:
        return name, ()
    return ".".join(word for word in words if word not in WRAPPER_WORDS), found


def wrapped_prefix(name: str, plain_prefix: str) -> str:
    """Return the beginning of a name that is `plain_prefix` once wrappers' words are taken out.

    Words directly behind it belong to it: `model.` is `model._orig_mod.` in
    `model._orig_mod.stem.stem1`.
    """
    words = name.split(".")
    wanted = plain_prefix.count(".")
    index = 0
    while index < len(words) - 1 and (wanted or words[index] in WRAPPER_WORDS):
        wanted -= words[index] not in WRAPPER_WORDS
        index += 1
    return "".join(f"{word}." for word in words[:index])


def taken_out(words: Iterable[str]) -> tuple[str, ...]:
    """Return the names of the renaming rules that take these words out."""
    return tuple(f"{word} taken out" for word in words)

"""The names under which the tensors of a file are searched for a backbone.

They are the keys of the file, but for what a user renames and for files that join the words of a
name by something else than dots. What was changed is kept with each name.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from rtdetr_nb.checkpoint.naming.user_renames import Rename, apply_renames
from rtdetr_nb.checkpoint.naming.wrapper_words import taken_out, without_wrappers

SEPARATORS = ("/", "__", ":", "|", "\\", "->")
"""What some exporters write between the words of a name; a name of torch has none of them."""


@dataclass(frozen=True)
class SearchedName:
    """One name: what is searched, the key in the file, and the rules between the two."""

    name: str
    key: str
    rules: tuple[str, ...] = ()


def searched_names(
    keys: Collection[str],
    renames: Collection[Rename],
    has_backbone: Callable[[Collection[str]], bool],
) -> tuple[SearchedName, ...]:
    """Return a name for each key, in the order of the file.

    Args:
        keys: all keys of the file.
        renames: what the user renames; applied first.
        has_backbone: whether a backbone is found among names. Where it is not, names are divided at
            the one other separator that makes it found.

    Raises:
        CheckpointError: a renaming changes nothing, or gives two keys one name.
    """
    named = apply_renames(keys, renames)
    found = tuple(SearchedName(name, key, rules) for key, (name, rules) in named.items())
    if has_backbone([each.name for each in found]):
        return found
    divided = [_divide(found, separator) for separator in SEPARATORS]
    fitting = [names for names in divided if names and has_backbone([n.name for n in names])]
    return fitting[0] if len(fitting) == 1 else found


def plain_names_behind(
    names: Collection[SearchedName], prefix: str
) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return the names behind a prefix without the words of wrappers: name -> (key, rules).

    Where two keys differ in such words only, the one without them has the name, and the other keeps
    its own.
    """
    behind = [each for each in names if each.name.startswith(prefix)]
    own = {each.name[len(prefix) :] for each in behind}
    plain: dict[str, tuple[str, tuple[str, ...]]] = {}
    for each in behind:
        rest = each.name[len(prefix) :]
        short, words = without_wrappers(rest)
        if words and (short in own or short in plain):
            short, words = rest, ()
        plain[short] = each.key, (*each.rules, *taken_out(words))
    return plain


def names_by_key(names: Collection[SearchedName]) -> Mapping[str, str]:
    """Return the searched name of each key."""
    return {each.key: each.name for each in names}


def _divide(names: Collection[SearchedName], separator: str) -> tuple[SearchedName, ...]:
    """Divide names at a separator; () if none has it or two would become one."""
    changed = tuple(
        SearchedName(
            each.name.replace(separator, "."),
            each.key,
            (*each.rules, f'"{separator}" read as a dot') if separator in each.name else each.rules,
        )
        for each in names
    )
    distinct = len({each.name for each in changed}) == len(changed)
    return changed if distinct and any(separator in each.name for each in names) else ()


def is_told_rule(rule: str) -> bool:
    """Whether a rule changes how names are read, and so is told beside the tables."""
    return rule.startswith("--rename ") or rule.endswith((" taken out", " read as a dot"))

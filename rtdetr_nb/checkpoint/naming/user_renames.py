"""Renamings that a user asks for: a regular expression and what replaces it, for every name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rtdetr_nb.errors import CheckpointError
from rtdetr_nb.text.listing import first_of
from rtdetr_nb.text.printable import printable


@dataclass(frozen=True)
class Rename:
    """One renaming, as in `re.sub(pattern, replacement, key)`; applied to whole keys of the file.

    `text` is how the command line spells it.
    """

    pattern: str
    replacement: str

    @property
    def text(self) -> str:
        """The renaming as `PATTERN=REPLACEMENT`."""
        return f"{self.pattern}={self.replacement}"

    @property
    def rule(self) -> str:
        """What the renaming is called among the rules of a comparison."""
        return f"--rename {self.text}"

    def apply(self, name: str) -> str:
        """Return the name with every match replaced.

        Raises:
            CheckpointError: the replacement refers to a group that the pattern does not have.
        """
        try:
            return re.sub(self.pattern, self.replacement, name)
        except (re.error, IndexError) as error:
            raise CheckpointError(
                f"The replacement in --rename {self.text!r} does not fit its pattern ({error}). "
                r"Groups are counted from \1, as in re.sub."
            ) from error


def read_renames(rename: Mapping[str, str] | Iterable[str] | str | None) -> tuple[Rename, ...]:
    """Read renamings as people give them.

    Args:
        rename: `{pattern: replacement}`, or texts `PATTERN=REPLACEMENT`, divided at their last "=".

    Raises:
        CheckpointError: a text has no "=", or a pattern is no regular expression.
    """
    if rename is None:
        return ()
    if isinstance(rename, Mapping):
        pairs = list(rename.items())
    else:
        pairs = [_divided(text) for text in ([rename] if isinstance(rename, str) else rename)]
    for pattern, replacement in pairs:
        _check_pattern(pattern, replacement)
    return tuple(Rename(pattern, replacement) for pattern, replacement in pairs)


def apply_renames(
    keys: Iterable[str], renames: Iterable[Rename]
) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Apply renamings to all keys of a file, one after the other.

    Returns:
        For each key its new name, and the rules that made it.

    Raises:
        CheckpointError: a renaming changes nothing, or gives two keys one name.
    """
    named: dict[str, tuple[str, tuple[str, ...]]] = {key: (key, ()) for key in keys}
    for rename in renames:
        changed = {key: rename.apply(name) for key, (name, _) in named.items()}
        moved = [key for key, name in changed.items() if name != named[key][0]]
        if not moved:
            names = [printable(name) for name, _ in named.values()]
            raise CheckpointError(
                f"--rename {rename.text!r} changes none of the {len(names):,} names. It is a "
                f"regular expression for whole keys, which begin with {first_of(names, more='')}."
            )
        _check_distinct(rename, changed)
        for key in moved:
            named[key] = changed[key], (*named[key][1], rename.rule)
    return named


def _divided(text: str) -> tuple[str, str]:
    pattern, divider, replacement = text.rpartition("=")
    if not divider:
        raise CheckpointError(
            f"--rename {text!r} has no =. Give PATTERN=REPLACEMENT, such as "
            r"--rename '\.wrapped\.=.'; an empty replacement takes the match out."
        )
    return pattern, replacement


def _check_pattern(pattern: str, replacement: str) -> None:
    try:
        if not pattern:
            raise re.error("it is empty")
        re.compile(pattern)
    except re.error as error:
        raise CheckpointError(
            f"The pattern in --rename '{pattern}={replacement}' is no regular expression "
            rf"({error}). Write \. for a dot and see re.sub."
        ) from error


def _check_distinct(rename: Rename, changed: Mapping[str, str]) -> None:
    seen: dict[str, str] = {}
    for key, name in changed.items():
        if not name or name in seen:
            clash = f"{seen[name]} and {key} the one name {name}" if name else f"{key} no name"
            raise CheckpointError(
                f"--rename {rename.text!r} would give {printable(clash)}. Make the pattern match "
                "less, or look at one part of the file with --subkey."
            )
        seen[name] = key

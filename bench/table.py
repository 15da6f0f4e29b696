"""The table that `make bench` writes into bench/README.md."""

from collections.abc import Iterable

BEGIN, END = "<!-- make bench writes from here -->", "<!-- to here -->"

Result = tuple[str, float, str]
"""What was measured, its ratio (or seconds, where the name says so), and how."""


def as_markdown(machine: str, results: Iterable[Result]) -> str:
    """Return results as a Markdown table under a line that names the machine."""
    rows = [f"| {name} | {ratio:.3g} | {how} |" for name, ratio, how in results]
    return "\n".join(
        [f"Measured on {machine}.", "", "| what | ratio | how |", "|---|---|---|", *rows]
    )


def with_table(page: str, table: str) -> str:
    """Return the page with `table` between the marks, in place of what stands there.

    Raises:
        ValueError: the page lacks a mark.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"The page needs the lines {BEGIN!r} and {END!r}, in this order.")
    return f"{before}{BEGIN}\n\n{table}\n\n{END}{after}"

"""What every command's help ends with."""

from __future__ import annotations


def example(line: str) -> str:
    r"""Return the epilog that shows `line` as typed; click leaves a paragraph alone that begins with \b."""
    return f"\b\nExample:\n  {line}"

"""Files that are replaced as a whole."""

import os
from pathlib import Path


def replace_text(path: Path, text: str) -> None:
    """Write a file so that readers find the old or the new text, never a part of it; raise OSError."""
    # Of each process its own, so that two that write the same file never take each other's.
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text)
    temporary.replace(path)

"""What is said of a file that would run something known to do harm, whoever noticed it: rule, reader or scan."""

from __future__ import annotations

from collections.abc import Sequence

from intact.core.finding import Finding
from intact.core.wording import count, some

CODE = "safety/code-execution"


def code_execution(rows: Sequence[tuple[str, int, str]], *, whole: bool = True) -> Finding:
    """Returns the finding for dangerous names.

    Args:
        rows: Name, byte position within its pickle, and the pickle ("" for the checkpoint's own).
        whole: Whether the file could be read to its end.
    """
    _, position, place = rows[0]
    names = some([row[0] for row in rows])
    where = f", in {place}" if place else ""
    return Finding(
        CODE,
        "error",
        f"unpickling this file would run {count(len(rows), 'function')} known to do harm: {names} (byte {position:,}{where})",
        (),
        {"names": {name: {"position": position, "place": place} for name, position, place in rows}, "read_to_the_end": whole},
        (),
        "the file was made to run something when it is loaded, or holds an object that no checkpoint needs",
        "do not load it with weights_only=False or pickle; intact read it and called nothing",
    )

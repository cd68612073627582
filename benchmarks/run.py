"""`python -m benchmarks.run [NAME …]`: runs the benchmarks at full size, keeps their records and writes README.md from them."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks import (
    bench_align,
    bench_check_prefix,
    bench_convert,
    bench_crc,
    bench_diff,
    bench_inspect,
    bench_load,
    bench_read,
    bench_save,
    bench_scan,
    bench_survey,
    make_readme,
)

MODULES = (
    bench_inspect,
    bench_check_prefix,
    bench_read,
    bench_save,
    bench_load,
    bench_crc,
    bench_convert,
    bench_diff,
    bench_survey,
    bench_scan,
    bench_align,
)
BENCHMARKS: dict[str, Callable[[Path], Path]] = {module.NAME: module.main for module in MODULES}


def main(wanted: list[str]) -> int:
    """Runs the named benchmarks, all where none is named."""
    for name in wanted or BENCHMARKS:
        with tempfile.TemporaryDirectory() as folder:
            print(f"{name} …", flush=True)
            print(f"  {BENCHMARKS[name](Path(folder))}", flush=True)
    return make_readme.main([])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

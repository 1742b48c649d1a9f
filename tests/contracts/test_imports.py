"""What a flow's process loads, and what it does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_a_gate_loads_no_statistics_and_arrow_gives_memory_back() -> None:
    program = """
import sys
import expectations.phrases
import pyarrow
assert "great_expectations" in sys.modules
assert "scipy.stats._continuous_distns" not in sys.modules, "statistics are loaded"
assert pyarrow.default_memory_pool().backend_name == "system"
assert sys.modules["scipy.stats"].norm.cdf(0) == 0.5
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], cwd=ROOT, check=True, timeout=120)

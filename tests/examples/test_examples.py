"""Every script in examples/ runs, and says what it should."""

import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"
ARGUMENTS = {"own_cell.py": []}
SAYS = {"own_cell.py": ["gradients agree", "same answers: True"]}


def test_every_example_is_run():
    assert {p.name for p in EXAMPLES.glob("*.py")} == set(ARGUMENTS)


def test_own_cell(tmp_path):
    script = EXAMPLES / "own_cell.py"
    command = [sys.executable, "-W", "error", str(script), *ARGUMENTS["own_cell.py"]]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    for words in SAYS["own_cell.py"]:
        assert words in done.stdout
    error = float(done.stdout.split("error on new sequences ")[1].split(";")[0])
    assert error < 0.01  # always answering 1 gives 0.1667; with four seeds it was below 0.001

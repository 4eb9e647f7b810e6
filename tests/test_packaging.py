"""Imports stay light, versions agree, and missing extras are named."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import gatewise
from gatewise import errors

ROOT = Path(__file__).parents[1]
HEAVY = (
    "torch",
    "llvmlite",
    "click",
    "rich",
    "lightning_fabric",
    "sklearn",
    "matplotlib",
    "polars",
    "narwhals",
    "soundfile",
)


def loaded_after(code: str, *arguments: str) -> set[str]:
    """The heavy packages that are loaded after running some code in a fresh interpreter."""
    tail = f"\nimport sys; print(*(name for name in {HEAVY!r} if name in sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", code + tail, *arguments], capture_output=True, text=True, check=True, timeout=60
    )
    return set(result.stdout.splitlines()[-1].split())


def test_import_is_light():
    assert loaded_after("import gatewise") == set()
    assert loaded_after("import gatewise; gatewise.LanguageModel; gatewise.SequenceTagger; gatewise.load") == set()


def test_help_needs_click_alone():
    code = "from gatewise.cli.application import run; assert run(['--help']) == 0"
    assert loaded_after(code) == {"click"}


@pytest.mark.parametrize(
    "arguments", [["show"], ["generate", "--prompt", "the", "--length", "5"], ["score", "--file"], ["score"]]
)
def test_a_model_runs_without_torch(model_file, tmp_path, arguments):
    (tmp_path / "text").write_text("the cat")
    name, *rest = arguments
    if name == "score":
        rest += [str(tmp_path / "text")] if rest else ["the cat"]
    code = "import sys; from gatewise.cli.application import run; assert run(sys.argv[1:]) == 0"
    found = loaded_after(code, name, str(model_file), *rest)
    assert "click" in found
    assert found <= {"click", "llvmlite"}


def test_the_estimator_runs_without_torch(model_file):
    code = (
        "import sys, gatewise; model = gatewise.load(sys.argv[1]); ''.join(model.generate('the', 5));"
        "model.log_likelihood(['the cat']); model.perplexity('a dog'); model.summary(); model.save(sys.argv[1])"
    )
    assert loaded_after(code, str(model_file)) <= {"llvmlite"}


def test_a_missing_extra_is_named():
    with pytest.raises(errors.MissingExtra, match=r"training needs absent-thing: pip install 'gatewise\[train\]'"):
        errors.require("absent_thing.part", "train", "training")


def test_nothing_is_pickled():
    sources = {path: path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py")}
    for word in ("pickle", "torch.save", "torch.load", "joblib", "marshal", "shelve"):
        assert [path for path, text in sources.items() if f"import {word}" in text or f"{word}(" in text] == []


def test_every_constraint_is_a_pin_and_every_dependency_has_one():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    wanted = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    names = {one.partition(">")[0] for one in wanted if not one.startswith("gatewise[")}
    assert names <= set(pins)
    assert all("+" not in version for version in pins.values())


def test_the_version_has_one_home():
    assert gatewise.__version__ == errors.importlib.import_module("gatewise._version").__version__
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["tool"]["hatch"]["version"]["path"] == "src/gatewise/_version.py"

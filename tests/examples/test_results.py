"""docs/results.md shows benchmarks/quality.json, whose figures are of the settings in benchmarks/quality.py."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from gatewise import Forecaster

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def beside_the_script(monkeypatch):
    """A script imports what lies beside it."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))


def quality():
    spec = importlib.util.spec_from_file_location("quality", ROOT / "benchmarks" / "quality.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["quality"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_the_page_is_the_results(tmp_path):
    page = ROOT / "docs" / "results.md"
    again = tmp_path / "results.md"
    again.write_text(page.read_text(encoding="utf-8"), encoding="utf-8")
    quality().write_page(again, json.loads((ROOT / "benchmarks" / "quality.json").read_text()))
    assert again.read_text(encoding="utf-8") == page.read_text(encoding="utf-8")


def test_every_result_is_of_the_settings_that_stand():
    for name, result in json.loads((ROOT / "benchmarks" / "quality.json").read_text()).items():
        rows = quality()
        expected = (
            rows.FORECASTS[name].settings if name in rows.FORECASTS else {**rows.ROWS[name].settings, "verbose": False}
        )
        assert result["settings"] == expected, name


def test_every_setting_is_one_that_its_estimator_takes():
    for row in quality().ROWS.values():
        row.estimator(**row.settings).check_parameters()
    for row in quality().FORECASTS.values():
        Forecaster(**row.settings).check_parameters()

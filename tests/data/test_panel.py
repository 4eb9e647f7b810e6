"""Stamps, the step between them, and series from columns: what is read, reported and refused."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from gatewise.data.clock import Step, calendar, find_step, read_stamps
from gatewise.data.panel import Columns, Policy, read_panel
from gatewise.errors import GatewiseError

DAYS = [datetime(2024, 1, 1) + timedelta(days=k) for k in range(12)]


def stamps(*texts):
    return np.array(texts, "datetime64[s]")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["2024-01-31", "2024-02-01"], stamps("2024-01-31", "2024-02-01")),
        (["2024-01-31 06:30", "2024-02-01 07:00"], stamps("2024-01-31T06:30", "2024-02-01T07:00")),
        (["1949-01", "1949-02"], stamps("1949-01-01", "1949-02-01")),
        (["1/3/2012", "12/30/2012"], stamps("2012-01-03", "2012-12-30")),
        (["31.12.2012", "01.01.2013"], stamps("2012-12-31", "2013-01-01")),
        ([date(2020, 2, 29), date(2020, 3, 1)], stamps("2020-02-29", "2020-03-01")),
        ([3, 4.5], np.array([3, 4.5])),
    ],
)
def test_stamps_are_read(values, expected):
    assert np.array_equal(read_stamps(values, "t"), expected)


def test_stamps_that_cannot_be_read_are_named():
    assert read_stamps(["31/12/2012"], "t", "%d/%m/%Y") == stamps("2012-12-31")
    for values, pattern, message in [
        (["2024-01-31", "31.1.2024"], None, "column 't', row 2: '31.1.2024' is not a time in ISO 8601, as the first is"),
        (["yesterday"], None, "row 1: 'yesterday' is not a time that is known; say with time_format"),
        (["2024-01-31"], "%d", "row 1"),
        ([datetime(2024, 1, 1), None], None, "row 2: the time is missing"),
        ([None, "2024-01-01"], None, "row 1: the time is missing"),
        ([" ", "2024-01-01"], None, "row 1: the time is missing"),
        (["2024-01-01", "2024-01-02", ""], None, "row 3: the time is missing"),
        ([None, 3.0], None, "row 1: the time is missing"),
        ([1.0, float("nan")], None, "row 2: the time is missing"),
    ]:
        with pytest.raises(GatewiseError, match=message):
            read_stamps(values, "t", pattern)


@pytest.mark.parametrize(
    ("first", "step", "third", "season", "text"),
    [
        ("2024-01-31T05:00", Step("seconds", 3600), "2024-01-31T08:00", 24, "1 hour"),
        ("2024-01-01", Step("seconds", 86400), "2024-01-04", 7, "1 day"),
        ("2023-11-15", Step("months", 1), "2024-02-15", 12, "1 month"),
        ("2023-11-30", Step("months", 1, at_end=True), "2024-02-29", 12, "1 month"),
        ("2024-01-01", Step("months", 3), "2024-10-01", 4, "3 months"),
        ("2024-01-03", Step("business days", 1), "2024-01-08", 5, "1 business day"),
        ("2024-01-01", Step("seconds", 900), "2024-01-01T00:45", 96, "15 minutes"),
    ],
)
def test_steps(first, step, third, season, text):
    after = step.after(stamps(first)[0], 40)
    assert after[2] == stamps(third)[0]
    assert (step.season, str(step)) == (season, text)
    assert find_step([np.append(stamps(first), after)]) == (step, 0)


def test_irregular_steps_are_counted():
    days = np.delete(stamps("2024-01-01")[0] + np.arange(50) * np.timedelta64(86400, "s"), [10, 11, 30])
    assert find_step([days]) == (Step("seconds", 86400), 2)
    assert find_step([np.array([0.0, 5, 10, 16])]) == (Step("rows", 5), 1)


def test_zones_and_fractions_of_a_second():
    zone = ZoneInfo("Europe/Berlin")
    hours = [datetime(2024, 10, 27, tzinfo=zone).astimezone(UTC) + timedelta(hours=k) for k in range(5)]
    local = read_stamps([h.astimezone(zone) for h in hours], "t")  # two o'clock comes twice there
    assert find_step([local]) == (Step("seconds", 3600), 0)
    with pytest.raises(GatewiseError, match="row 2: .* has a fraction of a second; give stamps as numbers"):
        read_stamps([datetime(2024, 1, 1), datetime(2024, 1, 1, 0, 0, 0, 100_000)], "t")
    assert find_step([np.arange(100) * 0.1])[1] == 0
    assert read_stamps(["0", "1", "2"], "t").tolist() == [0, 1, 2]


def test_the_calendar():
    waves = calendar(stamps("2024-01-01T06:00", "2024-01-01T18:00"), Step("seconds", 3600))
    assert waves.shape == (2, 6)
    np.testing.assert_allclose(waves[:, :2], [[1, 0], [-1, 0]], atol=1e-6)  # a quarter and three quarters of a day
    monday = calendar(stamps("2024-01-01"), Step("seconds", 86400))
    sunday = calendar(stamps("2023-12-31"), Step("seconds", 86400))
    np.testing.assert_allclose(monday[0, :2], [np.sin(2 * np.pi / 7), np.cos(2 * np.pi / 7)], atol=1e-6)
    np.testing.assert_allclose(sunday[0, :2], [0, 1], atol=1e-6)
    assert calendar(stamps("2024-01-01"), Step("months", 1)).shape == (1, 2)
    assert calendar(np.array([1.0]), Step("rows", 1)).shape == (1, 0)


def test_series_are_told_apart_sorted_and_reported():
    data = {
        "t": [*DAYS[:6][::-1], *DAYS[:5]],
        "y": [6, 5, 4, 3, 2, 1, 1, None, "3", "4,000", 5],
        "id": ["a"] * 6 + ["b"] * 5,
    }
    panel = read_panel(data, Columns("t", ("y",), "id"), Policy())
    a, b = panel.series
    assert a.targets[:, 0].tolist() == [1, 2, 3, 4, 5, 6] and b.targets[3, 0] == 4000 and np.isnan(b.targets[1, 0])
    assert panel.step == Step("seconds", 86400)
    assert panel.report == [
        "rows of series 'a' are not in the order of time: they were sorted",
        "1 target values are missing: they are left out of the loss, and read as the value before",
    ]


@pytest.mark.parametrize(("policy", "value"), [("first", 2.0), ("last", 30.0), ("mean", 16.0)])
def test_a_stamp_that_stands_twice(policy, value):
    data = {"t": [*DAYS[:2], DAYS[1], *DAYS[2:5]], "y": [1, 2, 30, 4, 5, 6]}
    with pytest.raises(
        GatewiseError, match=r"2024-01-02T00:00:00 stands in rows 2 and 3, 1 such rows in all; duplicates='last'"
    ):
        read_panel(data, Columns("t", ("y",)), Policy())
    panel = read_panel(data, Columns("t", ("y",)), Policy(duplicates=policy))
    assert panel.series[0].targets[1, 0] == value and len(panel.series[0]) == 5
    assert f"the {policy} was kept" in panel.report[0]


def test_gaps():
    data = {"t": [d for k, d in enumerate(DAYS) if k not in (4, 5)], "y": list(range(10)), "k": list(range(10))}
    columns = Columns("t", ("y",), known=("k",))
    rows = read_panel(data, columns, Policy())
    assert len(rows.series[0]) == 10 and "1 of 9 are not; each row is taken as a step" in rows.report[0]
    whole = read_panel(data, columns, Policy(gaps="insert")).series[0]
    assert len(whole) == 12 and np.isnan(whole.targets[4:6]).all() and whole.known[5, 0] == 3
    with pytest.raises(GatewiseError, match="stamps are irregular"):
        read_panel(data, columns, Policy(gaps="error"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": [1, 2, "1,5", 4, 5]}, "column 'y', row 3: '1,5' is not a number"),
        ({"y": [1, 2, "x", 4, 5]}, "column 'y', row 3: 'x' is not a number"),
        ({"y": [1, 2, float("inf"), 4, 5]}, "column 'y', row 3: infinite"),
        ({"k": [1, 2, None, 4, 5]}, "column 'k', row 3: missing; only targets may miss values"),
        ({"s": ["u", "u", "v", "u", "u"]}, "column 's', row 3: a static value changes within series 1"),
        ({"y": [None] * 5}, "too few values to learn from"),
        ({"y": []}, "no rows"),
    ],
)
def test_columns_that_cannot_be_used(change, message):
    data = {"t": DAYS[:5], "y": [1, 2, 3, 4, 5], "k": [0] * 5, "s": ["u"] * 5, "id": [1] * 5, **change}
    with pytest.raises(GatewiseError, match=message):
        read_panel(data, Columns("t", ("y",), "id", known=("k",), static=("s",)), Policy())
    with pytest.raises(GatewiseError, match="no column 'z'; they have: t, y"):
        read_panel(data, Columns("z", ("y",)), Policy())


class NotAvailable:
    """As pandas.NA: what it is compared with is neither equal nor not."""

    def __ne__(self, other):
        return self

    def __bool__(self):
        raise TypeError("boolean value of NA is ambiguous")


def test_values_that_are_not_available_are_missing():
    columns = Columns("t", ("y",))
    series = read_panel({"t": [1, 2, 3, 4], "y": [1, NotAvailable(), 3, 4]}, columns, Policy()).series[0]
    assert np.isnan(series.targets[:, 0]).tolist() == [False, True, False, False]


def test_columns_of_other_lengths_are_named():
    with pytest.raises(GatewiseError, match="column 't' has 4 rows, column 'y' has 3"):
        read_panel({"t": [1, 2, 3, 4], "y": [1, 2, 3]}, Columns("t", ("y",)), Policy())
    with pytest.raises(GatewiseError, match="column 'y' has 3 rows, column 'k' has 2"):
        read_panel({"y": [1, 2, 3], "k": [1, 2]}, Columns(None, ("y",), known=("k",)), Policy())

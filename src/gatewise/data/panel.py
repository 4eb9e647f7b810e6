"""Series over time from a dataframe: one or many, each with targets, covariates and stamps, and a report of what is odd."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from ..errors import GatewiseError, ParameterError, require
from .clock import Step, find_step, read_stamps
from .tables import as_number, is_missing


@dataclass(frozen=True)
class Columns:
    """Which columns of a frame are what.

    Attributes:
        time: the stamps; None takes the rows as they come.
        targets: what is forecast.
        id: tells the series apart; None for a single one.
        known: numbers that are known ahead, such as a price that is set or a holiday.
        past: numbers that are known only when their time has come.
        static: what belongs to a series as a whole: numbers or words.
    """

    time: str | None
    targets: tuple[str, ...]
    id: str | None = None
    known: tuple[str, ...] = ()
    past: tuple[str, ...] = ()
    static: tuple[str, ...] = ()


@dataclass(frozen=True)
class Policy:
    """What is done with stamps that are not as they should be; `Forecaster` says what each means."""

    duplicates: Literal["error", "first", "last", "mean"] = "error"
    gaps: Literal["rows", "insert", "error"] = "rows"
    missing: Literal["mask", "error"] = "mask"
    time_format: str | None = None


@dataclass
class Series:
    """One series, in the order of time.

    Attributes:
        id: its name; None where there is only one.
        stamps: datetime64[s] or float64 [n].
        targets: float64 [n, D], NaN where missing.
        known, past: float64 [n, K] and [n, P].
        static: the values of its static columns.
    """

    id: Any
    stamps: np.ndarray
    targets: np.ndarray
    known: np.ndarray
    past: np.ndarray
    static: tuple[Any, ...] = ()

    def __len__(self) -> int:
        return len(self.stamps)

    @property
    def key(self) -> str:
        """Its name as it stands in a file."""
        return str(self.id)

    @property
    def described(self) -> str:
        """How a message calls it."""
        return "the series" if self.id is None else f"series {self.id!r}"

    def upto(self, end: int) -> Series:
        """Its first rows."""
        return Series(self.id, self.stamps[:end], self.targets[:end], self.known[:end], self.past[:end], self.static)


@dataclass
class Panel:
    """All series of a frame.

    Attributes:
        series: in the order in which they first appear.
        step: the time between rows.
        report: what was odd, and what was done about it, a line each.
    """

    series: list[Series]
    step: Step
    report: list[str] = field(default_factory=list)


def columns_of(frame: Any) -> tuple[dict[str, Any], str | None]:
    """The columns of any dataframe, or of a mapping of names to lists, and the name of its library, None for a mapping."""
    if isinstance(frame, Mapping):
        return {str(name): _plain(values) for name, values in frame.items()}, None
    narwhals = require("narwhals", "train", "reading a dataframe")
    try:
        found = narwhals.from_native(frame, eager_only=True)
    except TypeError:
        raise GatewiseError(f"{type(frame).__name__} is not a dataframe, and not a mapping of names to columns") from None
    columns = {str(name): column.to_list() for name, column in zip(found.columns, found.iter_columns(), strict=True)}
    return columns, narwhals.get_native_namespace(found).__name__


def _plain(values: Any) -> Any:
    """Values as Python's own; stamps of NumPy stay as they are."""
    if not isinstance(values, np.ndarray):
        return list(values)
    return values if values.dtype.kind == "M" else values.tolist()


def make_frame(columns: Mapping[str, Sequence[Any]], library: str | None) -> Any:
    """A frame of columns, of a library that `columns_of` named; a dict for None."""
    if library is None:
        return dict(columns)
    return require("narwhals", "train", "making a dataframe").from_dict(columns, backend=library).to_native()


def read_panel(data: Mapping[str, Sequence[Any]], columns: Columns, policy: Policy, step: Step | None = None) -> Panel:
    """Read, order and check the series of a frame's columns.

    Raises:
        GatewiseError: a column or a value is missing or not a number; stamps are there twice, or too few; what the policy
            forbids. The message has the column and the row, counted from 1 as the frame has them.
    """
    wanted = [*columns.targets, *columns.known, *columns.past, *columns.static]
    for name in [n for n in (columns.time, columns.id) if n is not None] + wanted:
        if name not in data:
            raise GatewiseError(f"the data have no column {name!r}; they have: {', '.join(map(str, data))}")
    if not columns.targets:
        raise ParameterError("no target was named")
    twice = [n for k, n in enumerate(wanted) if n in wanted[:k]]
    if twice:
        raise ParameterError(f"column {twice[0]!r} is named twice; it can be a target, known, past or static")
    count = len(data[columns.targets[0]])
    if not count:
        raise GatewiseError("the data have no rows")
    check_lengths(data, [n for n in (columns.time, columns.id) if n is not None] + wanted)
    stamps = np.arange(count, dtype=np.float64)
    if columns.time is not None:
        stamps = read_stamps(data[columns.time], columns.time, policy.time_format)
    parts = [read_numbers(data, names, count) for names in (columns.targets, columns.known, columns.past)]
    for part, names in zip(parts[1:], (columns.known, columns.past), strict=True):
        if np.isnan(part).any():
            row, at = np.argwhere(np.isnan(part))[0]
            raise GatewiseError(f"column {names[at]!r}, row {row + 1}: missing; only targets may miss values")
    labels = [None] * count if columns.id is None else list(data[columns.id])
    places: dict[Any, list[int]] = {}
    for row, label in enumerate(labels):
        places.setdefault(label, []).append(row)
    report: list[str] = []
    series = []
    for label, where in places.items():
        rows = np.array(where)
        static = tuple(data[name][rows[0]] for name in columns.static)
        for name, value in zip(columns.static, static, strict=True):
            other = next((r for r in where if data[name][r] != value), None)
            if other is not None:
                raise GatewiseError(f"column {name!r}, row {other + 1}: a static value changes within series {label!r}")
        targets, known, past = (part[rows] for part in parts)
        whole = Series(label, stamps[rows], targets, known, past, static)
        series.append(_ordered(whole, rows, columns, policy, report))
    step, odd = find_step([s.stamps for s in series], step)
    if odd:
        report.append(_about_gaps(series, step, odd, policy))
        if policy.gaps == "insert":
            series = [_inserted(s, step) for s in series]
    missing = sum(int(np.isnan(s.targets).sum()) for s in series)
    if missing:
        if policy.missing == "error":
            raise GatewiseError(f"{missing:,} target values are missing; missing='mask' leaves them out of the loss")
        report.append(f"{missing:,} target values are missing: they are left out of the loss, and read as the value before")
    for s in series:
        if len(s) < 3 or np.isnan(s.targets).all(0).any():
            raise GatewiseError(f"{s.described} has {len(s)} rows, and too few values to learn from")
    return Panel(series, step, report)


def check_lengths(data: Mapping[str, Sequence[Any]], names: Sequence[str]) -> None:
    """Raise unless columns are of equal length."""
    for name in names[1:]:
        if len(data[name]) != len(data[names[0]]):
            raise GatewiseError(
                f"column {names[0]!r} has {len(data[names[0]])} rows, column {name!r} has {len(data[name])}: "
                "they must have the same"
            )


def read_numbers(data: Mapping[str, Sequence[Any]], names: Sequence[str], count: int) -> np.ndarray:
    out = np.empty((count, len(names)))
    for at, name in enumerate(names):
        values = data[name]
        try:
            out[:, at] = np.asarray(values, np.float64)  # None becomes NaN
        except (TypeError, ValueError):
            for row, value in enumerate(values):
                out[row, at] = _number(value, name, row)
        if np.isinf(out[:, at]).any():
            raise GatewiseError(f"column {name!r}, row {int(np.isinf(out[:, at]).argmax()) + 1}: infinite")
    return out


def read_known_ahead(
    data: Mapping[str, Sequence[Any]],
    columns: Columns,
    series: Sequence[Series],
    step: Step,
    steps: int,
    time_format: str | None,
) -> dict[str, np.ndarray]:
    """The known covariates of the steps that follow each series: [steps, K] by its key.

    Args:
        data: columns of the future. Where stamps are read, rows of other times are left alone, and any order will do.

    Raises:
        GatewiseError: a column, a row or a value is missing.
    """
    for name in (*columns.known, *(n for n in (columns.id, columns.time) if n is not None)):
        if name not in data:
            raise GatewiseError(f"future has no column {name!r}; it has: {', '.join(map(str, data))}")
    check_lengths(data, [*columns.known, *(n for n in (columns.id, columns.time) if n is not None)])
    values = read_numbers(data, columns.known, len(data[columns.known[0]]))
    keys = ["None"] * len(values) if columns.id is None else [str(v) for v in data[columns.id]]
    stamps = None if columns.time is None else read_stamps(data[columns.time], columns.time, time_format)
    where: dict[str, list[int]] = {}
    for row, key in enumerate(keys):
        where.setdefault(key, []).append(row)
    found = {}
    for s in series:
        named, rows = "" if s.id is None else f" of {s.id!r}", where.get(s.key, [])
        if stamps is not None:
            at = {stamps[row]: row for row in rows}
            wanted = step.after(s.stamps[-1], steps)
            missing = [stamp for stamp in wanted if stamp not in at]
            if missing:
                raise GatewiseError(f"future has no row{named} for {missing[0]}, the first of {len(missing)} it lacks")
            rows = [at[stamp] for stamp in wanted]
        if len(rows) < steps:
            raise GatewiseError(f"future has {len(rows)} rows{named}; {steps} are needed")
        found[s.key] = values[rows[:steps]]
        if not np.isfinite(found[s.key]).all():
            raise GatewiseError("future has values that are missing or infinite")
    return found


def carried_forward(y: np.ndarray) -> np.ndarray:
    """Values [n, D] with the one before in the place of missing ones; before the first that there is 0."""
    if not np.isnan(y).any():
        return y
    out = y.copy()
    for column in out.T:
        there = np.flatnonzero(np.isfinite(column))
        before = np.searchsorted(there, np.arange(len(column)), side="right") - 1
        column[:] = np.where(before < 0, 0.0, column[there[np.maximum(before, 0)]])
    return out


def _number(value: Any, name: str, row: int) -> float:
    if is_missing(value):
        return np.nan
    try:
        return as_number(value)
    except (TypeError, ValueError):
        raise GatewiseError(f"column {name!r}, row {row + 1}: {value!r} is not a number") from None


def _ordered(s: Series, rows: np.ndarray, columns: Columns, policy: Policy, report: list[str]) -> Series:
    """A series by time, with one row a stamp."""
    named = "" if s.id is None else f" of series {s.id!r}"
    if (s.stamps[1:] < s.stamps[:-1]).any():
        report.append(f"rows{named} are not in the order of time: they were sorted")
        order = np.argsort(s.stamps, kind="stable")
        rows = rows[order]
        s = Series(s.id, s.stamps[order], s.targets[order], s.known[order], s.past[order], s.static)
    new = np.append(True, s.stamps[1:] != s.stamps[:-1])
    if new.all():
        return s
    twice = int((~new).sum())
    first = int((~new).argmax())
    if policy.duplicates == "error":
        raise GatewiseError(
            f"column {columns.time!r}: {s.stamps[first]} stands in rows {rows[first - 1] + 1} and {rows[first] + 1}{named}, "
            f"{twice} such rows in all; duplicates='last' ('first', 'mean') keeps one, and id= tells several series apart"
        )
    starts = np.flatnonzero(new)
    report.append(f"{twice} rows{named} have the stamp of another: the {policy.duplicates} was kept")
    if policy.duplicates == "mean":
        sizes = np.diff(np.append(starts, len(new)))[:, None]

        def mean(part: np.ndarray) -> np.ndarray:
            return np.add.reduceat(part, starts) / sizes if part.size else part[starts]

        return Series(s.id, s.stamps[starts], mean(s.targets), mean(s.known), mean(s.past), s.static)
    at = starts if policy.duplicates == "first" else np.append(starts[1:], len(new)) - 1
    return Series(s.id, s.stamps[at], s.targets[at], s.known[at], s.past[at], s.static)


def _about_gaps(series: Sequence[Series], step: Step, odd: int, policy: Policy) -> str:
    total = sum(len(s) - 1 for s in series)
    text = f"stamps are irregular: most are {step} apart, {odd:,} of {total:,} are not"
    if policy.gaps == "error":
        raise GatewiseError(f"{text}; gaps='rows' takes rows as steps, gaps='insert' puts missing rows in between")
    if policy.gaps == "rows":
        return f"{text}; each row is taken as a step"
    return f"{text}; rows with missing targets were put in between"


def _inserted(s: Series, step: Step) -> Series:
    """A series with a row for every step from its first stamp to its last."""
    if len(s) < 2:
        return s
    span = float((s.stamps[-1] - s.stamps[0]) / (s.stamps[1:] - s.stamps[:-1]).min())
    stamps = np.append(s.stamps[:1], step.after(s.stamps[0], int(np.ceil(span)) + 1))
    stamps = stamps[stamps <= s.stamps[-1]]
    at = np.searchsorted(stamps, s.stamps)
    fits = (at < len(stamps)) & (stamps[np.minimum(at, len(stamps) - 1)] == s.stamps)
    if not fits.all():
        wrong = s.stamps[int((~fits).argmax())]
        raise GatewiseError(
            f"{wrong} is no whole number of steps of {step} after the first stamp: gaps='rows' takes it as it is"
        )
    targets = np.full((len(stamps), s.targets.shape[1]), np.nan)
    targets[at] = s.targets
    before = np.searchsorted(at, np.arange(len(stamps)), side="right") - 1  # covariates stay as they were
    return Series(s.id, stamps, targets, s.known[before], s.past[before], s.static)

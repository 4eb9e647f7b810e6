"""Time stamps: reading them, the step between them, stamps of the future, and where in the day, week and year they lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

import numpy as np

from ..errors import GatewiseError
from .tables import is_missing

FORMATS = ("%Y-%m-%d %H:%M", "%Y-%m", "%m/%d/%Y", "%d.%m.%Y", "%Y/%m/%d")  # beside those of ISO 8601
DAY = 86_400
RARELY = 0.02  # the share of days at a weekend below which stamps are of business days


@dataclass(frozen=True)
class Step:
    """The time from one row to the next.

    Attributes:
        unit: ``"seconds"``, ``"months"``, ``"business days"`` (Monday to Friday), or ``"rows"`` for stamps that are numbers.
        count: how many.
        at_end: whether months are told by their last day.
    """

    unit: str
    count: float
    at_end: bool = False

    def after(self, last: np.ndarray, steps: int) -> np.ndarray:
        """The stamps of the steps that follow ``last``."""
        k = np.arange(1, steps + 1)
        if self.unit == "rows":
            return last + k * self.count
        if self.unit == "months":
            month = last.astype("datetime64[M]")
            rest = last - month.astype("datetime64[s]")
            if self.at_end:
                rest = last - last.astype("datetime64[D]").astype("datetime64[s]")
                return ((month + k * int(self.count) + 1).astype("datetime64[D]") - 1).astype("datetime64[s]") + rest
            return (month + k * int(self.count)).astype("datetime64[s]") + rest
        if self.unit == "business days":
            day = last.astype("datetime64[D]")
            return np.busday_offset(day, k, roll="backward").astype("datetime64[s]") + (last - day.astype("datetime64[s]"))
        return last + (k * self.count).astype("timedelta64[s]")

    @property
    def season(self) -> int:
        """Steps of the season that stamps of this kind usually have: a day, a week or a year; 1 where there is none."""
        if self.unit == "months":
            return max(1, round(12 / self.count)) if 12 % self.count == 0 else 1
        if self.unit == "business days":
            return 5
        if self.unit == "seconds":
            for period in (DAY, 7 * DAY):
                if self.count < period and period % self.count == 0:
                    return round(period / self.count)
        return 1

    def __str__(self) -> str:
        if self.unit == "seconds":
            for size, name in ((DAY, "day"), (3600, "hour"), (60, "minute"), (1, "second")):
                if self.count % size == 0:
                    n = int(self.count // size)
                    return f"1 {name}" if n == 1 else f"{n:,} {name}s"
        n = f"{self.count:g}"
        return f"{n} {self.unit.removesuffix('s') if n == '1' else self.unit}"


def read_stamps(values: Sequence[Any], name: str, pattern: str | None = None) -> np.ndarray:
    """Stamps as datetime64[s], or as float64 where they are numbers.

    Args:
        pattern: how a text is to be read, as in `datetime.strptime`; None tries ISO 8601 and `FORMATS`.

    Raises:
        GatewiseError: one is missing or cannot be read; the message has its row, counted from 1.
    """
    if isinstance(values, np.ndarray) and values.dtype.kind == "M":
        stamps = values
    else:
        for row, value in enumerate(values, 1):
            if is_missing(value):
                raise GatewiseError(f"column {name!r}, row {row}: the time is missing")
        first = values[0]
        if isinstance(first, datetime | date):
            stamps = np.array(_without_zone(list(values)), "datetime64[us]")
        elif isinstance(first, str):
            stamps = _parse(values, name, pattern)
        else:
            stamps = np.asarray(values, np.float64)
    if stamps.dtype.kind == "M" and (stamps.astype("datetime64[s]") != stamps).any():
        row = int((stamps.astype("datetime64[s]") != stamps).argmax())
        raise GatewiseError(
            f"column {name!r}, row {row + 1}: {stamps[row]} has a fraction of a second; give stamps as numbers instead"
        )
    stamps = stamps.astype("datetime64[s]") if stamps.dtype.kind == "M" else stamps
    missing = np.isnat(stamps) if stamps.dtype.kind == "M" else ~np.isfinite(stamps)
    if missing.any():
        raise GatewiseError(f"column {name!r}, row {int(missing.argmax()) + 1}: the time is missing")
    return stamps


def _without_zone(stamps: list[Any]) -> list[Any]:
    """Local times where the distance to UTC never changes, or only days are told; else UTC, where no hour stands twice."""
    offsets = {v.utcoffset() if isinstance(v, datetime) else None for v in stamps}
    days = all(not isinstance(v, datetime) or v.time() == time() for v in stamps)
    if len(offsets) > 1 and not days:
        if None in offsets:
            raise GatewiseError("some stamps have a time zone and some have none: give all of them one")
        stamps = [v.astimezone(UTC) for v in stamps]
    return [v.replace(tzinfo=None) if isinstance(v, datetime) else v for v in stamps]


def _parse(values: Sequence[str], name: str, pattern: str | None) -> np.ndarray:
    def parser(form: str | None):
        return datetime.fromisoformat if form is None else lambda text: datetime.strptime(text, form)

    patterns = [pattern] if pattern is not None else [None, *FORMATS]
    for form in patterns:
        try:
            parser(form)(values[0])
        except ValueError:
            continue
        found = []
        for row, value in enumerate(values, 1):
            try:
                found.append(parser(form)(value))
            except (ValueError, TypeError):
                wanted = "in ISO 8601" if form is None else f"of the form {form}"
                raise GatewiseError(
                    f"column {name!r}, row {row}: {value!r} is not a time {wanted}, as the first is"
                ) from None
        return np.array(_without_zone(found), "datetime64[us]")
    if pattern is None:
        try:
            return np.array(values, np.float64)
        except ValueError:
            pass
    raise GatewiseError(
        f"column {name!r}, row 1: {values[0]!r} is not a time that is known; say with time_format how to read it, "
        "such as %d/%m/%Y"
    )


def find_step(stamps: Sequence[np.ndarray], likely: Step | None = None) -> tuple[Step, int]:
    """The most usual step between the stamps of some series, each in order, and how many steps are of another length."""
    differences = np.concatenate([np.diff(s) for s in stamps])
    if stamps[0].dtype.kind != "M":
        size = float(np.median(differences)) if len(differences) else 1.0
        return Step("rows", size), int((~np.isclose(differences, size, rtol=1e-6, atol=0)).sum())
    if not len(differences):
        return Step("seconds", DAY), 0
    months = np.concatenate([np.diff(s.astype("datetime64[M]").astype(int)) for s in stamps])
    rests = np.concatenate([s - s.astype("datetime64[M]").astype("datetime64[s]") for s in stamps])
    days = np.concatenate([s.astype("datetime64[D]") for s in stamps])
    at_end = bool(((days + 1).astype("datetime64[M]") > days.astype("datetime64[M]")).all())
    if (months > 0).all() and (at_end or (rests == rests[0]).all()):
        size = int(np.median(months))
        return Step("months", size, at_end), int((months != size).sum())
    seconds = differences.astype(np.int64)
    size = int(np.median(seconds))
    if size == DAY:
        days = np.concatenate([s.astype("datetime64[D]") for s in stamps])
        if (len(days) > 10 or likely == Step("business days", 1)) and (~np.is_busday(days)).mean() < RARELY:
            gaps = np.concatenate([_business_days(s) for s in stamps])
            return Step("business days", 1), int((gaps != 1).sum())
    return Step("seconds", size), int((seconds != size).sum())


def _business_days(stamps: np.ndarray) -> np.ndarray:
    days = stamps.astype("datetime64[D]")
    return np.busday_count(days[:-1], days[1:])


def calendar(stamps: np.ndarray, step: Step) -> np.ndarray:
    """Where stamps [n] lie in the day, the week and the year, as sine and cosine: [n, 0 to 6], float32.

    A period is left out where a step is as long as it, and all are where stamps are numbers.
    """
    if stamps.dtype.kind != "M":
        return np.zeros((len(stamps), 0), np.float32)
    seconds = stamps.astype(np.int64)
    year = stamps.astype("datetime64[Y]")
    since = (stamps - year.astype("datetime64[s]")).astype(np.int64)
    length = ((year + 1).astype("datetime64[s]") - year.astype("datetime64[s]")).astype(np.int64)
    size = {"months": 30.4 * DAY * step.count, "business days": DAY}.get(step.unit, step.count)
    phases = []
    if size < DAY:
        phases.append(seconds % DAY / DAY)
    if size < 7 * DAY:
        phases.append((seconds // DAY + 4) % 7 / 7)  # the epoch began on a Thursday
    if size < 365 * DAY:
        phases.append(since / length)
    waves = [f(2 * np.pi * p) for p in phases for f in (np.sin, np.cos)]
    return np.stack(waves, 1).astype(np.float32) if waves else np.zeros((len(stamps), 0), np.float32)

"""The budget and the learning rate that follows it."""

import pytest

from gatewise.training.schedule import DEFAULT_EPOCHS, DEFAULT_STEPS, FINAL_SHARE, Budget, learning_rate_share


def test_the_first_limit_counts():
    assert Budget.of(100, epochs=3, max_steps=250, max_seconds=None) == Budget(250, None)
    assert Budget.of(100, epochs=2, max_steps=250, max_seconds=9) == Budget(200, 9)
    assert Budget.of(100, None, None, None) == Budget(100 * DEFAULT_EPOCHS, None)
    assert Budget.of(7, None, None, None) == Budget(7 * 72, None)  # the first whole epochs with DEFAULT_STEPS
    assert 7 * 71 < DEFAULT_STEPS <= 7 * 72
    budget = Budget(200, 10)
    assert budget.used(50, 1) == 0.25
    assert budget.used(50, 9) == 0.9
    assert budget.used(400, 1) == 1


def test_time_left():
    assert Budget(100, None).seconds_left(25, 5.0) == pytest.approx(15)
    assert Budget(None, 60).seconds_left(25, 15.0) == pytest.approx(45)
    assert Budget(100, None).seconds_left(0, 1.0) is None


@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.5])
def test_the_rate_rises_then_falls(warmup):
    shares = [learning_rate_share(i / 1000, warmup) for i in range(1001)]
    peak = round(1000 * warmup)
    assert shares[peak] == pytest.approx(1)
    assert shares[:peak] == sorted(shares[:peak])
    assert shares[peak:] == sorted(shares[peak:], reverse=True)
    assert shares[-1] == pytest.approx(FINAL_SHARE)
    assert min(shares) > 0

"""The progress line, on a terminal and elsewhere."""

import io

from gatewise.training import progress as progress_module
from gatewise.training.progress import Facts, Progress

FACTS = Facts(step=1200, epoch=2, used=0.4, loss=1.72345, validation_loss=1.8, rate=215_000, seconds_left=42,
              unit="characters")  # fmt: skip


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_the_line_has_loss_rate_and_time_left():
    line = "epoch 3  step 1,200  loss 1.723  validation 1.800  215k characters/s  0:42 left"
    assert str(FACTS) == line


def test_plain_lines_come_now_and_then(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now[0])
    stream = io.StringIO()
    with Progress(stream=stream) as progress:
        assert not progress.due()
        now[0] += 11
        assert progress.due()
        progress.show(FACTS)
        assert not progress.due()
    assert stream.getvalue() == f"{FACTS}\n"


def test_a_terminal_gets_one_line_that_is_rewritten():
    stream = Terminal()
    with Progress(stream=stream) as progress:
        for _ in range(5):
            progress.show(FACTS)
    text = stream.getvalue()
    assert "215k characters/s" in text
    assert text.count("\n") == 1
    assert "\x1b[?25h" in text  # the cursor is shown again


def test_nothing_is_shown_when_disabled():
    stream = Terminal()
    with Progress(enabled=False, stream=stream) as progress:
        assert not progress.due()
        progress.show(FACTS)
    assert stream.getvalue() == ""

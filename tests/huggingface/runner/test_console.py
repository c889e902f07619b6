"""The progress bar of a training, on terminals of different widths."""

import contextlib
import fcntl
import math
import os
import pty
import struct
import sys
import termios

import pytest

from model_hub.huggingface.runner.console import Console


@pytest.mark.parametrize(
    ("columns", "shown"),
    [
        (160, "loss 1.2345, 678.9 samples/s, epoch 0.50, lr 3.00e-05]"),
        (80, "loss 1.2345, 678.9 samples/s]"),
        (60, "loss 1.2345]"),
    ],
)
def test_the_bar_fits_the_terminal(
    columns: int, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pieces that do not fit are left out whole, and the last state is that of the training."""
    reader, writer = pty.openpty()
    fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    console = Console(enabled=True)
    with open(writer, "w", encoding="utf-8") as stderr:
        # Not in a fixture: pytest replaces standard error for each phase of a test.
        monkeypatch.setattr(sys, "stderr", stderr)
        console.start(total=100, done=0)
        console.advance(batches=50, epoch=0.5, loss=1.2345, learning_rate=3e-5, speed=678.9)
        console.status("checkpointing")
        console.close()
    text = b""
    # Once the writer is closed, reading returns what is left and then raises an error.
    with contextlib.suppress(OSError):
        while block := os.read(reader, 65536):
            text += block
    os.close(reader)
    last = text.decode().rstrip().split("\r")[-1]
    assert last.startswith("training:  50%|█") and last.endswith(shown)


@pytest.mark.parametrize("better", ["smaller", "larger"])
def test_the_best_so_far_is_a_number(better: str, capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(enabled=True, searcher_metric="score", smaller_is_better=better == "smaller")
    said = []
    for value, before in ((math.nan, None), (math.nan, 1.0), (2.0, None), (2.0, 1.0)):
        console.validation(1, 1.0, {"score": value}, before)
        said.append(capsys.readouterr().out.splitlines()[-1].split(maxsplit=2))
    last = "(best: 1.00)" if better == "smaller" else "best so far"
    assert [remark for _, _, *remark in said] == [[], [], ["best so far"], [last]]
    assert [value for _, value, *_ in said[:2]] == ["nan", "nan"]

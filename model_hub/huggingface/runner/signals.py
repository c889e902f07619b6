"""Stopping a run on this machine by a signal, on all slots at the same batch."""

import collections.abc
import contextlib
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any

from determined import core


class StoppedImmediately(KeyboardInterrupt):
    """Raised when a signal (``signum``) stops the run without a checkpoint."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


class PreemptOnSignal(core.DummyPreemptContext):
    """Requests a stop of the training loop on SIGINT or SIGTERM, on all slots at the same batch.

    Attributes:
        received: number of the signal; None if there was none.
        training: whether the loop runs. Before that there is nothing to save, and a signal stops
            the run at once.
    """

    received: int | None = None
    training: bool = False
    _received_at: float = 0.0

    def should_preempt(self, auto_ack: bool = True) -> bool:
        """Return whether any process has received a signal."""
        if self._dist.size == 1:
            return self.received is not None
        return any(self._dist.allgather(self.received is not None))

    def handle(self, signum: int, _frame: Any) -> None:
        """Handle a signal: request a stop the first time, stop at once the second time."""
        now = time.monotonic()
        if self._dist.size > 1 and self.received is not None and now - self._received_at < 1:
            return  # Ctrl-C reaches every process twice: from the terminal and from torchrun.
        if self.received is not None or not self.training:
            raise StoppedImmediately(signum)
        self._received_at = now
        self.received = signum
        if self._dist.rank == 0:
            print("\nstopping after this batch; a second signal stops at once", file=sys.stderr)


class ReportingBatches(collections.abc.Container):  # type: ignore[type-arg]
    """The batches after which the loop reports and checks for a request to stop.

    These are all multiples of ``period`` and, if this process trains alone, every batch after a
    signal.
    """

    def __init__(self, period: int, preempt: PreemptOnSignal) -> None:
        self._period = period
        self._preempt = preempt

    def __contains__(self, batch: object) -> bool:
        if isinstance(batch, int) and batch % self._period == 0:
            return True
        # A single process can stop at any batch; several have to stop at the same one.
        return self._preempt._dist.size == 1 and self._preempt.received is not None


@contextlib.contextmanager
def preempt_on_signals(distributed: core.DistributedContext) -> Iterator[PreemptOnSignal]:
    """Let SIGINT and SIGTERM request a stop of the loop within this block."""
    preempt = PreemptOnSignal(distributed)
    handled = (signal.SIGINT, signal.SIGTERM)
    before: dict[int, Any] = {}
    with contextlib.suppress(ValueError):  # Not in the main thread, as in some notebooks.
        before = {number: signal.signal(number, preempt.handle) for number in handled}
    try:
        yield preempt
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

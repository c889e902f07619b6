"""How a run on this machine is stopped: at a batch, with a checkpoint, on all slots together."""

import collections.abc
import contextlib
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any

from determined import core


class StoppedImmediately(KeyboardInterrupt):
    """The run was stopped by a signal, without a checkpoint.

    Args:
        signum: number of the signal.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


class PreemptOnSignal(core.DummyPreemptContext):
    """Asks the loop to stop on SIGINT or SIGTERM, on all slots at the same batch.

    Attributes:
        received: number of the signal.
        training: whether the loop runs; before, while data is prepared, there is nothing to save.
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
        """Signal handler: the first time a request, the second time the end."""
        now = time.monotonic()
        if self._dist.size > 1 and self.received is not None and now - self._received_at < 1:
            return  # Of Ctrl-C every process hears twice: from the terminal and from torchrun.
        if self.received is not None or not self.training:
            raise StoppedImmediately(signum)
        self._received_at = now
        self.received = signum
        if self._dist.rank == 0:
            print("\nstopping after this batch; once more stops at once", file=sys.stderr)


class ReportingBatches(collections.abc.Container):  # type: ignore[type-arg]
    """The batches after which the loop reports, and looks whether it should stop."""

    def __init__(self, period: int, stop: PreemptOnSignal) -> None:
        self._period = period
        self._stop = stop

    def __contains__(self, batch: object) -> bool:
        if isinstance(batch, int) and batch % self._period == 0:
            return True
        # Alone it can stop at any batch; several processes have to agree on one.
        return self._stop._dist.size == 1 and self._stop.received is not None


@contextlib.contextmanager
def stop_on_signals(distributed: core.DistributedContext) -> Iterator[PreemptOnSignal]:
    """Lets SIGINT and SIGTERM ask the loop to stop, for what stands below."""
    stop = PreemptOnSignal(distributed)
    handled = (signal.SIGINT, signal.SIGTERM)
    before: dict[int, Any] = {}
    with contextlib.suppress(ValueError):  # Only the main thread may; a notebook can be another.
        before = {number: signal.signal(number, stop.handle) for number in handled}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

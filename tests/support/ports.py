"""Ports for the processes of a test, that nothing else takes before they are used."""

import collections.abc
import os
import socket

# Below where Linux (from 32768), macOS and Windows (from 49152) take the ports that any outgoing
# connection gets: one of those may be gone between the moment that it was found free and its use,
# which on a cluster's start is many seconds later.
_FIRST = 10000
_OF_EACH_WORKER = 1400
_WORKERS = 15


def _in_turn() -> collections.abc.Iterator[int]:
    # Tests that run beside each other (pytest-xdist names its workers gw0, gw1, ...) take from
    # different ranges; whole processes beside each other start at different places of theirs.
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _WORKERS
    start = os.getpid()
    while True:
        yield _FIRST + worker * _OF_EACH_WORKER + start % _OF_EACH_WORKER
        start += 1


_ports = _in_turn()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


def free_ports(count: int) -> list[int]:
    """Ports that nobody uses at the moment, and that no other call in these tests returns."""
    found: list[int] = []
    for _ in range(_OF_EACH_WORKER):
        if len(found) == count:
            return found
        port = next(_ports)
        if _is_free(port):
            found.append(port)
    raise RuntimeError(f"{count} free ports were asked for, and only {found} are")

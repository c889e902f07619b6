"""Kills all containers of a cluster when the tests that started them are no more.

    python reaper.py CLUSTER_ID DIRECTORY

An agent starts this and holds the other end of its standard input. That closes with the agent's
process in any case, also when it is killed, and no fixture gets to clean up. Then every process
of the cluster is killed, and `DIRECTORY` is removed.
"""

import contextlib
import shutil
import signal
import sys
import time

import psutil

# Every process of a container has this in its environment.
MARK = "DET_CLUSTER_ID"


def container_processes(mark: str, value: str) -> list[psutil.Process]:
    """The living processes that have this in their environment.

    Not the process group: torch starts each worker in a session of its own.
    """
    found = []
    for process in psutil.process_iter():
        # Some end meanwhile, are zombies, or somebody else's.
        with contextlib.suppress(psutil.Error):
            if process.environ().get(mark) == value:
                found.append(process)
    return found


def main(cluster_id: str, directory: str) -> None:
    # What ends the tests, like Ctrl-C in a terminal, is not to end this before its work.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.read()
    while processes := container_processes(MARK, cluster_id):
        for process in processes:
            with contextlib.suppress(psutil.Error):
                process.kill()
        time.sleep(0.05)
    shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

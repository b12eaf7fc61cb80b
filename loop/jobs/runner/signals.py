"""What wakes the runner from its waiting: signals, which say that a child died or that it is asked to end.

Standard library only: the runner's interpreter knows no package.
"""

import contextlib
import signal
import socket


class Signals:
    """A file descriptor that can be read after each signal, and whether one of them asked for the end."""

    def __init__(self) -> None:
        self.cancelled = False
        self._receiver, self._sender = socket.socketpair()
        self._receiver.setblocking(False)
        self._sender.setblocking(False)
        signal.set_wakeup_fd(self._sender.fileno(), warn_on_full_buffer=False)
        # Handlers rather than SIG_IGN, which the script would inherit.
        for number in (signal.SIGCHLD, signal.SIGHUP):
            signal.signal(number, self._on_nothing)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_cancel)

    def fileno(self) -> int:
        return self._receiver.fileno()

    def drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._receiver.recv(4096)

    def _on_nothing(self, *_: object) -> None:
        """The waking is all that is wanted."""

    def _on_cancel(self, *_: object) -> None:
        self.cancelled = True

"""Stopping between two steps when the user or the machine asks for it: shared by everything that takes long."""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

logger = logging.getLogger(__name__)

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """The work was asked to stop. What it had is saved; the same call with the same settings goes on.

    Attributes:
        signal: what asked: signal.SIGINT (Ctrl-C) or signal.SIGTERM.
    """

    def __init__(self, number: int) -> None:
        super().__init__("the work was interrupted")
        self.signal = number


class Stopped(BaseException):
    """Carries the wish to stop through code that would take a KeyboardInterrupt as the end of the program."""


class StopRequest:
    """Whether somebody wants the work to stop.

    Args:
        patience: what is still finished first, in words.
    """

    def __init__(self, patience: str = "this step") -> None:
        self.signal: int | None = None
        self.patience = patience

    def listen(self) -> None:
        """Take Ctrl-C and SIGTERM as requests; only the main thread can."""
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                signal.signal(number, self.receive)

    @property
    def requested(self) -> bool:
        """Yes or no."""
        return self.signal is not None

    def obey(self) -> None:
        """Stop if somebody wants it.

        Raises:
            Stopped: to end the work.
        """
        if self.requested:
            raise Stopped

    def receive(self, number: int, _frame: FrameType | None = None) -> None:
        """A signal has come. The second Ctrl-C does not wait for the step to end.

        Raises:
            Stopped: the second time.
        """
        if self.requested and number == signal.SIGINT:
            raise Stopped
        self.signal = number
        logger.warning("stopping after %s; Ctrl-C again: at once", self.patience)


@contextmanager
def stop_requests(patience: str = "this step") -> Iterator[StopRequest]:
    """Turn Ctrl-C and SIGTERM into requests while this lasts.

    Args:
        patience: what is still finished before stopping, for the message.

    Raises:
        Interrupted: at the end, if a request was obeyed.
    """
    request = StopRequest(patience)
    before = {number: signal.getsignal(number) for number in SIGNALS}
    request.listen()
    try:
        yield request
    except Stopped:
        raise Interrupted(request.signal or signal.SIGINT) from None
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)

"""Stopping between two steps when the user or the machine asks for it."""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

logger = logging.getLogger(__name__)

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class TrainingInterrupted(KeyboardInterrupt):
    """The training was asked to stop. Everything is saved; training again with the same settings goes on.

    Attributes:
        signal: what asked: signal.SIGINT (Ctrl-C) or signal.SIGTERM.
    """

    def __init__(self, number: int) -> None:
        super().__init__("the training was interrupted")
        self.signal = number


class TrainingStopped(BaseException):
    """Carries the wish to stop through Lightning, which would end the program on a KeyboardInterrupt."""


class StopRequest:
    """Whether somebody wants the training to stop."""

    def __init__(self) -> None:
        self.signal: int | None = None

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
            TrainingStopped: to end the training.
        """
        if self.requested:
            raise TrainingStopped

    def receive(self, number: int, _frame: FrameType | None = None) -> None:
        """A signal has come. The second Ctrl-C does not wait for the step to end.

        Raises:
            TrainingStopped: the second time.
        """
        if self.requested and number == signal.SIGINT:
            raise TrainingStopped
        self.signal = number
        logger.warning("stopping after this step, or after the validation if one is running; Ctrl-C again: at once")


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Turn Ctrl-C and SIGTERM into requests while this lasts.

    Raises:
        TrainingInterrupted: at the end, if a request was obeyed.
    """
    request = StopRequest()
    before = {number: signal.getsignal(number) for number in SIGNALS}
    request.listen()
    try:
        yield request
    except TrainingStopped:
        raise TrainingInterrupted(request.signal or signal.SIGINT) from None
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)

"""What the command line shows: results on stdout, progress on stderr, Ctrl-C as a wish to stop."""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from typing import Any

EVERY = 5.0  # seconds between lines of progress when nobody watches a terminal


class Terminal:
    """Output of one command."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.stopping = threading.Event()
        self._told, self._said = 0.0, ""
        self._width = 0

    def watch_signals(self) -> None:
        """The first Ctrl-C (or SIGTERM) lets the work stop at its next batch; a second one ends it at once."""

        def on_signal(number: int, frame: Any) -> None:
            if self.stopping.is_set():
                raise KeyboardInterrupt
            self.stopping.set()

        signal.signal(signal.SIGINT, on_signal)
        signal.signal(signal.SIGTERM, on_signal)

    def progress(self, share: float, message: str) -> None:
        now = time.monotonic()
        if sys.stderr.isatty():
            text = f"{share:4.0%}  {message}"[:118]
            sys.stderr.write("\r" + text.ljust(self._width))
            self._width = len(text)
            if share >= 1:
                self.end_progress()
        elif now - self._told > EVERY:
            self._told = now
            print(f"{share:4.0%}  {message}", file=sys.stderr, flush=True)

    def end_progress(self) -> None:
        if self._width:
            sys.stderr.write("\r" + " " * self._width + "\r")
            self._width = 0

    def stop(self) -> bool:
        return self.stopping.is_set()

    def say(self, text: str) -> None:
        """A remark for the person, never part of the result."""
        self._said = text
        self.end_progress()
        print(text, file=sys.stderr if self.as_json else sys.stdout, flush=True)

    def say_once(self, text: str) -> None:
        """The same, unless it was the last remark."""
        if text != self._said:
            self.say(text)

    def result(self, value: dict[str, Any], text: str) -> None:
        """The command's result: one JSON document, or the same in words."""
        self.end_progress()
        print(json.dumps(value, ensure_ascii=False, default=str) if self.as_json else text, flush=True)

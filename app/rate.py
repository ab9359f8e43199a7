"""How often another machine may ask, and how many keys it may try.

Requests are counted by the address they come from; those of this machine are not (the page's own, and programs here).
Behind a proxy on this machine uvicorn takes the address from `X-Forwarded-For`.
"""

from __future__ import annotations

import math
import time

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from starlette.types import Scope

HERE = frozenset({"127.0.0.1", "::1", ""})
WRONG_KEYS = 20  # in a minute, by one address


class Rates:
    """Counts in this process's memory. Every method returns the seconds to wait, 0 where there is no need to."""

    def __init__(self, requests: int, wrong_keys: int = WRONG_KEYS) -> None:
        """`requests` and `wrong_keys` are by address and minute."""
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._requests = RateLimitItemPerMinute(requests, namespace="requests")
        self._wrong_keys = RateLimitItemPerMinute(wrong_keys, namespace="wrong keys")

    def asks(self, scope: Scope) -> int:
        """A request has come."""
        address = address_of(scope)
        return (
            0 if address in HERE or self._limiter.hit(self._requests, address) else self._wait(self._requests, address)
        )

    def tries_key(self, scope: Scope) -> int:
        """A request has brought a key; whoever must wait is answered without looking at it."""
        address = address_of(scope)
        free = address in HERE or self._limiter.test(self._wrong_keys, address)
        return 0 if free else self._wait(self._wrong_keys, address)

    def was_wrong(self, scope: Scope) -> None:
        """The key it has brought was not the one."""
        self._limiter.hit(self._wrong_keys, address_of(scope))

    def _wait(self, item: RateLimitItem, address: str) -> int:
        return max(1, math.ceil(self._limiter.get_window_stats(item, address).reset_time - time.time()))


def address_of(scope: Scope) -> str:
    """The other side's address; empty for a socket that has none."""
    return scope["client"][0] if scope.get("client") else ""

"""Where the debug mode joins in, so that nothing is paid for it when it is off."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

#: Called with each new hub, in its thread.
new_hub: Callable[[Any], None] | None = None

#: The same, with each object that begins its life without a call of __init__, before it does.
adopted: Callable[[Any], None] | None = None

#: The same, with the class `netpoll.socket.socket` when it has been made.
new_socket_class: Callable[[type], None] | None = None

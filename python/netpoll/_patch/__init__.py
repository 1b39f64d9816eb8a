"""How `netpoll.patch` finds what it replaces, and restores it."""

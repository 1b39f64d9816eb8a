"""What the programs with SQLAlchemy have in common: an engine, and sessions of greenlets."""

from __future__ import annotations

from typing import Any

import sqlalchemy
from sqlalchemy.orm import scoped_session, sessionmaker


class Users:
    """On a pool of so many connections."""

    def __init__(self, servers: Any, driver: str, limit: int, **arguments: Any) -> None:
        port = servers["postgres"]["port"]
        self.engine = sqlalchemy.create_engine(
            f"postgresql+{driver}://test@127.0.0.1:{port}/postgres",
            pool_size=limit,
            max_overflow=0,
            pool_timeout=10,
            connect_args=arguments,
        )
        self._session = scoped_session(sessionmaker(bind=self.engine))

    def sessions(self) -> None:
        """Each greenlet has a session of its own, and they share the pool."""
        from trial import at_once

        at_once(5, self._use)

    def _use(self) -> int:
        self._session.execute(sqlalchemy.text("SELECT pg_sleep(0.1)"))
        mine = id(self._session())
        self._session.remove()
        return mine

"""A bad version of Tickwire: `python faulty_edge.py serve ...` fails every hundredth stream."""

from __future__ import annotations

import itertools
from typing import Any

from tickwire.__main__ import main
from tickwire.server.routes.stream import StreamEndpoint
from tickwire.testing.server import ServerProcess

_FAILS_EVERY = 100


class FaultyProcess(ServerProcess):
    """A process that runs this file instead of `tickwire`."""

    def _command(self) -> tuple[str, ...]:
        command = super()._command()
        position = command.index("-m")
        return (*command[:position], __file__, *command[position + 2 :])


def _fail_sometimes() -> None:
    admit, numbers = StreamEndpoint.admit, itertools.count(1)

    async def admit_or_fail(self: StreamEndpoint, *arguments: Any, **options: Any) -> Any:
        if next(numbers) % _FAILS_EVERY == 0:
            raise RuntimeError("this version is faulty")
        return await admit(self, *arguments, **options)

    StreamEndpoint.admit = admit_or_fail  # type: ignore[method-assign]


if __name__ == "__main__":
    _fail_sometimes()
    main()

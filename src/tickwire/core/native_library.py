"""Loads the compiled C sources of Tickwire. An installation without a C compiler has none of these libraries."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

Signatures: TypeAlias = Mapping[str, tuple[Sequence[Any], Any]]
"""The ctypes types of the arguments and of the result of each function in a library."""


class NativeLibraryUnavailable(Exception):
    """This process cannot use a compiled library. The message contains the reason."""


def load_library(library: Path, functions: Signatures) -> ctypes.CDLL:
    """Load a library, and declare the argument and result types of `functions`, which the library must contain.

    Raise NativeLibraryUnavailable if the library does not exist, does not fit the machine or lacks a function.
    """
    try:
        loaded = ctypes.CDLL(str(library))
        for name, (argument_types, result_type) in functions.items():
            function = getattr(loaded, name)
            function.argtypes, function.restype = argument_types, result_type
    except (OSError, AttributeError) as error:
        reason = f"cannot load {library.name} ({error})" if library.exists() else f"{library.name} was not compiled"
        raise NativeLibraryUnavailable(
            f"{reason}: install a C compiler, and then install Tickwire from its sources again"
        ) from error
    return loaded

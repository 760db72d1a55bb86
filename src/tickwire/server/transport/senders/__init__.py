"""Senders that write the bytes of many readers with one call.

`opening.py` chooses the sender of a server. `BatchSender` collects the bytes of one flush, and a *send call* passes
them to the kernel: `UringCall` with one io_uring submission, `NativeCall` with one call of a C function.
"""

"""Checks of recorded streams: rejections, buffering, delays, cut-offs and compression."""

from __future__ import annotations

from math import inf

from tickwire.client.doctor.finding import Diagnosis
from tickwire.client.doctor.stream_record import MAX_HEARTBEAT_LATENESS_S, StreamRecord, decode_problem
from tickwire.core.received_request import ReceivedRequest

_GATEWAY_STATUSES = (502, 503, 504)
# A heartbeat with a longer delay is a finding. HAProxy without `option http-no-delay` adds about 0.21 s.
_MAX_DELAY_S = 0.15


def check_answer(record: StreamRecord, diagnosis: Diagnosis) -> bool:
    """Check that the answer is a stream of a Tickwire server. Return False if it is not."""
    if record.is_event_stream:
        return _check_first_event(record, diagnosis)
    problem = decode_problem(record.body)
    if problem is not None:
        diagnosis.add("rejected", f"the server answered {record.status}: {problem['detail']}", change=_advice(record))
    elif record.status in _GATEWAY_STATUSES:
        diagnosis.add("unavailable", f"the proxy answered {record.status}, so it cannot reach a server")
    elif record.status:
        kind = record.header("content-type") or "no content type"
        diagnosis.add("not-tickwire", f"the answer to /v1/stream is not a stream: status {record.status}, {kind}")
    elif record.ended_after_s is not None:
        diagnosis.add("unreachable", f"the connection failed after {record.ended_after_s:.1f} s: {record.failure}")
    else:
        diagnosis.add(
            "buffering",
            f"no part of the answer arrived within {record.watched_s:.0f} s, although the server answers at once",
        )
    return False


def _advice(record: StreamRecord) -> str:
    return {
        401: "set TICKWIRE_TOKEN to a token of this server; `tickwire token mint` creates a token",
        403: "use a token that allows this stream, or correct --hosts of the server",
        421: "add the host to `tickwire serve --hosts`",
        429: "raise --max-per-address or --max-per-user, and set --trusted-proxies if a proxy is in front",
        503: "raise --max-readers, or wait until the server is ready",
    }.get(record.status, "")


def _check_first_event(record: StreamRecord, diagnosis: Diagnosis) -> bool:
    if record.welcome is not None:
        diagnosis.measurements["heartbeat_s"] = record.heartbeat_s
        return True
    if record.is_undecodable:
        diagnosis.add("undecodable", f"the compressed stream cannot be decoded: {record.failure}")
    elif record.last_byte_after_s is not None:
        diagnosis.add("not-tickwire", "the stream does not begin with the event `welcome` of Tickwire")
    elif record.ended_after_s is not None:
        diagnosis.add("idle-cut-off", f"the stream ended after {record.ended_after_s:.1f} s, before its first event")
    else:
        diagnosis.add(
            "buffering",
            f"the head of the stream arrived after {record.head_after_s:.1f} s, but no event arrived within "
            f"{record.watched_s:.0f} s, although the server sends the first event at once",
        )
    return False


def check_stream_limit(records: list[StreamRecord], diagnosis: Diagnosis) -> bool:
    """Check that streams on the same HTTP/2 connection do not wait for each other. Return False if a stream waits.

    A proxy limits the number of streams on a connection, and does not answer the requests beyond this limit.
    """
    first_end_s = min((each.watched_s for each in records if each.head_after_s is not None), default=inf)
    waiting = [each for each in records if _first_response_s(each) >= first_end_s]
    if not waiting or len(waiting) == len(records):
        return True
    waited_s = min(first_end_s, waiting[0].watched_s)
    diagnosis.add(
        "stream-limit",
        f"{len(waiting)} of {len(records)} streams on one connection had no answer within {waited_s:.0f} s, while "
        "another stream was open",
    )
    return False


def _first_response_s(record: StreamRecord) -> float:
    """Return the seconds from the request to its answer or failure. The result is infinite if there was neither."""
    times = [time_s for time_s in (record.head_after_s, record.ended_after_s) if time_s is not None]
    return min(times, default=inf)


def check_end(record: StreamRecord, diagnosis: Diagnosis) -> None:
    """Check that the stream did not end before the end of the watch."""
    if record.is_undecodable:
        diagnosis.add("undecodable", f"the compressed stream cannot be decoded: {record.failure}")
    elif record.bye is not None:
        diagnosis.notes.append(f"the server ended the stream (reason {record.bye.get('reason')!r}): run again")
    elif record.ended_after_s is not None and record.last_byte_after_s is not None:
        silence_s = record.ended_after_s - record.last_byte_after_s
        if record.heartbeats:
            diagnosis.add(
                "lifetime-cut-off",
                f"the stream ended after {record.ended_after_s:.1f} s without the event `bye`, although heartbeats "
                "arrived",
            )
        else:
            diagnosis.add(
                "idle-cut-off",
                f"the stream ended after {silence_s:.1f} s of silence, before the first heartbeat (the server sends a "
                f"heartbeat after {record.heartbeat_s:g} s)",
            )


def check_heartbeats(records: list[StreamRecord], clock_skew_s: float, diagnosis: Diagnosis) -> None:
    """Check that heartbeats arrive, and that they arrive without a delay."""
    for record in records:
        silence_s = record.watched_s if record.ended_after_s is None else 0.0
        limit_s = record.heartbeat_s + MAX_HEARTBEAT_LATENESS_S
        if not record.heartbeats and record.heartbeat_s and silence_s > limit_s:
            diagnosis.add(
                "buffering",
                f"the first event arrived, but no heartbeat within {silence_s:.1f} s (the server sends a heartbeat "
                f"after {record.heartbeat_s:g} s)",
            )
    delays = [(beat.arrived_at - beat.sent_at) / 1e6 + clock_skew_s for each in records for beat in each.heartbeats]
    if not delays:
        return
    # Use the shortest delay, because a busy machine delays single heartbeats, but a proxy delays all heartbeats.
    diagnosis.measurements["heartbeat_delay_ms"] = round(min(delays) * 1000, 1)
    if min(delays) > _MAX_DELAY_S:
        diagnosis.add("delayed", f"each heartbeat arrives at least {min(delays) * 1000:.0f} ms after it was sent")


def check_compression(
    plain: StreamRecord, compressed: StreamRecord, received: ReceivedRequest | None, diagnosis: Diagnosis
) -> None:
    """Check whether the server or a proxy compresses the stream.

    `plain` is a stream whose request asked for no compression, and `compressed` is a stream whose request asked for
    gzip. `received` is the second request, in the form in which it reached the server.
    """
    coding = compressed.header("content-encoding")
    diagnosis.measurements["content_encoding"] = coding or "identity"
    if plain.header("content-encoding"):
        coding = plain.header("content-encoding")
        diagnosis.add("compressed-by-proxy", f"a request for an uncompressed stream was answered with {coding}")
    if received is None:
        return
    reaches_server = "gzip" in (received.accept_encoding or "")
    if coding and not reaches_server:
        diagnosis.add("compressed-by-proxy", "the proxy compresses the stream by itself")
    elif not coding and not received.compresses:
        diagnosis.notes.append("the server does not compress streams (--compress off)")
    elif not coding and reaches_server:
        diagnosis.add("decompressed-by-proxy", "the server compresses the stream, but it arrives uncompressed")

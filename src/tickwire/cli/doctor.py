"""`tickwire doctor`: find the changes that a proxy between this machine and a server makes to streams."""

from __future__ import annotations

import asyncio
import contextlib
import sys

import click

from tickwire.cli.client_options import token_from_environment
from tickwire.client.doctor.diagnosis import Doctor
from tickwire.client.doctor.finding import Diagnosis
from tickwire.core.codec import encode_json

_HAS_FINDINGS = 1
# The exit code of a command that Ctrl-C has stopped.
_INTERRUPTED = 130


@click.command()
@click.argument("url")
@click.option("--origin", help="Also check that web pages of this origin may read the stream (CORS).")
@click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    help="Watch the streams for this time.  [default: two heartbeat intervals and 3 s]",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def doctor(*, url: str, origin: str | None, wait_s: float | None, as_json: bool) -> None:
    """Open a stream of the server at URL, and find the settings of proxies that harm streams.

    The command finds buffering, idle cut-offs, compression, lost headers, HTTP/1.0, wrong addresses, wrong CORS
    settings, TLS problems and wrong clocks. The output names the program that causes each problem, and the line of its
    configuration to change, and says whether browsers use HTTP/2. With the extra `doctor`, the command also reads
    streams over HTTP/2. The exit code is 1 if there is a finding. If the server requires a token, set TICKWIRE_TOKEN.

    Example: tickwire doctor https://stream.example.org --origin https://app.example.org
    """
    examination = Doctor(
        url,
        token=token_from_environment(),
        origin=origin,
        watch_s=wait_s,
        on_progress=lambda text: print(text, file=sys.stderr),
    )
    diagnosis = None
    with contextlib.suppress(KeyboardInterrupt):
        diagnosis = asyncio.run(examination.run())
    if diagnosis is None:
        sys.exit(_INTERRUPTED)
    print(encode_json(diagnosis).decode() if as_json else "\n".join(describe_diagnosis(diagnosis)))
    if diagnosis.findings:
        sys.exit(_HAS_FINDINGS)


def describe_diagnosis(diagnosis: Diagnosis) -> list[str]:
    """Return the lines that describe a diagnosis."""
    lines = []
    for finding in diagnosis.findings:
        lines += [
            f"{finding.problem}: {finding.evidence}",
            f"    culprit  {finding.culprit}",
            f"    change   {finding.change}",
        ]
    lines += [f"note: {note}" for note in diagnosis.notes]
    facts = [f"{name} {value}" for name, value in diagnosis.measurements.items()]
    if diagnosis.product is not None:
        facts.insert(0, f"proxy {diagnosis.product}")
    if facts:
        lines.append(f"measured: {', '.join(facts)}")
    count = len(diagnosis.findings)
    lines.append("no finding" if not count else f"{count} finding{'s' if count > 1 else ''}")
    return lines

"""Check a release: `make release-check`.

The script builds the wheel, the sdist and the npm package twice, in two folders and with different file times, and
compares the bytes. A TypeScript program compiles with the npm package, and Node runs it. The script installs the wheel
with the locked dependencies in a clean environment without Node and compiler, for each Python that it finds. It reads a
stream of the installed server, and runs the conformance suite with it. It writes the distributions, the SBOMs
(CycloneDX) and the list of licences to dist/. If the commit has a version tag, the tag, the version and the changelog
must agree.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from deploy.release_npm import CLIENT, NPM_FOLDERS, npm_sbom, pack_twice

ROOT = Path(__file__).parent.parent
DIST = ROOT / "dist"
_PYTHONS = ("python3.11", "python3.12", "python3.13", "python3.14")
# Licences that would bind programs that contain Tickwire.
REFUSED_LICENCES = re.compile(r"\b(A?GPL|SSPL|BUSL)", re.IGNORECASE)
_ANY_PORT = "0"
_TIMEOUT_S = 120


def main() -> int:
    """Run all checks, and return 0. A failed check raises an error."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--python", action="append", help="check this Python  [default: each of 3.11 to 3.14 on the PATH]"
    )
    arguments = parser.parse_args()
    pythons = arguments.python or [found for each in _PYTHONS if (found := _find_python(each))]
    version = check_version()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checkouts = copy_twice(folder)
        wheel = build_twice(folder, checkouts)
        shutil.copy(pack_twice(checkouts, version, folder), DIST)
        for python in pythons:
            environment = install(python, wheel, folder / Path(python).name)
            read_stream(environment, folder, version)
            run_conformance_suite(environment, folder)
        lines = [*write_sbom(environment, folder, version), *write_npm_sboms(version)]
        (DIST / "licences.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"checked: {', '.join(sorted(path.name for path in DIST.iterdir()))}")
    return 0


def check_version() -> str:
    """Return the version. On a commit with a tag, the tag and the newest section of the changelog must agree."""
    version: str = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    sections = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    tags = _output("git", "tag", "--points-at", "HEAD", "v*").split()
    if tags:
        assert tags == [f"v{version}"], f"the commit has the tags {tags}, and the version is {version}"
        assert sections[0] == version, (
            f"the newest section of CHANGELOG.md is {sections[0]}, and the version is {version}"
        )
    print(f"version {version}, {f'tag {tags[0]}' if tags else 'no tag'}, changelog {sections[0]}")
    return version


def copy_twice(folder: Path) -> list[Path]:
    """Copy the checkout twice, with different file times. Return both folders."""
    checkouts = []
    for number, moment in enumerate((1_000_000_000, 1_500_000_000)):
        checkouts.append(folder / f"checkout-{number}")
        _copy_checkout(checkouts[-1], moment)
    return checkouts


def build_twice(folder: Path, checkouts: Sequence[Path]) -> Path:
    """Build the distributions in each checkout. Return the wheel, if all builds gave the same bytes."""
    results = []
    for number, checkout in enumerate(checkouts):
        output = folder / f"dist-{number}"
        _run(sys.executable, "-m", "hatchling", "build", "-d", str(output), cwd=checkout, env=_build_environment())
        results.append({path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(output.iterdir())})
    assert results[0] == results[1], f"two builds differ: {results}"
    shutil.rmtree(DIST, ignore_errors=True)
    shutil.copytree(folder / "dist-0", DIST)
    for name, digest in results[0].items():
        print(f"{digest}  {name}")
    return next(DIST.glob("*.whl"))


def install(python: str, wheel: Path, folder: Path) -> Path:
    """Install the wheel and its locked dependencies. Return the folder of the environment."""
    _run(python, "-m", "venv", str(folder))
    pip = (str(folder / "bin" / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input")
    _run(
        *pip,
        "install",
        "--only-binary",
        ":all:",
        "--no-deps",
        "--require-hashes",
        "-r",
        str(ROOT / "locks" / "run.txt"),
    )
    _run(*pip, "install", "--no-deps", str(wheel), env={**os.environ, "PATH": str(folder / "bin")})
    return folder


def read_stream(environment: Path, folder: Path, version: str) -> None:
    """Run the installed server on a PATH without other programs. Read its version, its page and an event."""
    program = environment / "bin" / "tickwire"
    shown = _output(str(program), "--version", env=_isolated(environment, folder))
    assert version in shown, shown
    with _serving(environment, folder) as url:
        with urllib.request.urlopen(f"{url}/", timeout=_TIMEOUT_S) as page:  # noqa: S310  # the server's own URL
            assert b"<html" in page.read().lower()
        stream_url = f"{url}/v1/stream?symbols=AAPL"
        with urllib.request.urlopen(stream_url, timeout=_TIMEOUT_S) as stream:  # noqa: S310  # the server's own URL
            event = next(line for line in stream if line.startswith(b'data: {"symbol":"AAPL"'))
    print(f"{environment.name}: {event[:60].decode()}...")


def run_conformance_suite(environment: Path, folder: Path) -> None:
    """Run tests/wire/conformance with the installed server."""
    with _serving(environment, folder, "--feed", "http") as url:
        suite = ("-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", "tests/wire/conformance", "--base-url", url)
        result = _output(sys.executable, *suite).splitlines()[-1]
    print(f"{environment.name}: conformance suite: {result}")


@contextlib.contextmanager
def _serving(environment: Path, folder: Path, *options: str) -> Iterator[str]:
    """Run the installed server. Yield its URL."""
    command = [environment / "bin" / "tickwire", "serve", "--port", _ANY_PORT, *options]
    isolated = _isolated(environment, folder)
    server = subprocess.Popen(command, env=isolated, cwd=folder, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        found = re.search(r"page (\S+)/ ", server.stdout.readline())
        assert found, "the server printed no address"
        yield found[1]
    finally:
        server.terminate()
    assert server.wait(_TIMEOUT_S) == 0


def _isolated(environment: Path, folder: Path) -> dict[str, str]:
    """Return environment variables with a PATH that contains only the installed programs."""
    path = str(environment / "bin")
    return {"PATH": path, "HOME": str(folder), "TICKWIRE_JOURNAL": "memory", "TICKWIRE_LOG_LEVEL": "error"}


def write_sbom(environment: Path, folder: Path, version: str) -> list[str]:
    """Write the SBOM of the installed packages. Return one line with the licences of each package."""
    tools = folder / "tools"
    _run(sys.executable, "-m", "venv", str(tools))
    pip = (str(tools / "bin" / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check")
    _run(*pip, "install", "--no-deps", "--require-hashes", "-r", str(ROOT / "locks" / "release.txt"))
    sbom = DIST / f"tickwire-{version}.cdx.json"
    _run(
        str(tools / "bin" / "cyclonedx-py"), "environment", "--output-reproducible", "--of", "JSON", "-o", str(sbom),
        "--pyproject", str(ROOT / "pyproject.toml"), str(environment / "bin" / "python"),
    )  # fmt: skip
    document = json.loads(sbom.read_text(encoding="utf-8"))
    return licence_lines(document)


def write_npm_sboms(version: str) -> list[str]:
    """Write an SBOM for the npm package, and one for the dashboard, whose bundle contains its dependencies.

    Return one line with the licences of each package.
    """
    lines = []
    for project in NPM_FOLDERS:
        document = npm_sbom(project, version)
        name = "tickwire-client" if project == CLIENT else "tickwire-dashboard"
        text = json.dumps(document, indent=2) + "\n"
        (DIST / f"{name}-{version}.cdx.json").write_text(text, encoding="utf-8")
        lines += licence_lines(document)
    # Both projects use some of the packages.
    return sorted(set(lines))


def licence_lines(document: dict[str, Any]) -> list[str]:
    """Return one line with the licences of each package of an SBOM. Reject REFUSED_LICENCES."""
    lines = []
    for component in sorted(document["components"], key=lambda each: each["name"].lower()):
        licences = sorted(set(component_licences(component)))
        assert licences, f"{component['name']} names no licence"
        assert not any(map(REFUSED_LICENCES.search, licences)), f"{component['name']} has the licence {licences}"
        lines.append(f"{component['name']} {component['version']}: {', '.join(licences)}")
    print(f"SBOM: {len(lines)} packages")
    return lines


def component_licences(component: dict[str, Any]) -> Iterator[str]:
    """Yield the licences that a component of the SBOM names."""
    for entry in component.get("licenses", []):
        licence = entry.get("license", {})
        name = entry.get("expression") or licence.get("id") or licence.get("name", "")
        # Some packages put the whole text of the licence into the field.
        yield name.partition("\n")[0][:80].removeprefix("License :: OSI Approved :: ")


def _copy_checkout(target: Path, moment: int) -> None:
    """Copy the files that Git knows, with the same modification time, and share the npm packages of this checkout."""
    for name in _output("git", "ls-files").splitlines():
        source, copy = ROOT / name, target / name
        if source.is_file():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, copy)
            os.utime(copy, (moment, moment))
    (target / "dashboard" / "node_modules").symlink_to((ROOT / "dashboard" / "node_modules").resolve())


def _build_environment() -> dict[str, str]:
    """Return the environment of a build. The time of the commit is the time of all files in the distributions."""
    return {**os.environ, "SOURCE_DATE_EPOCH": _output("git", "log", "-1", "--format=%ct").strip(), "PYTHONPATH": ""}


def _find_python(name: str) -> str | None:
    """Return the path of the Python `name`; None if it is not on the PATH or does not start."""
    found = shutil.which(name)
    works = found and subprocess.run([found, "-c", "import venv"], capture_output=True, check=False).returncode == 0
    return found if works else None


def _output(*command: str, env: dict[str, str] | None = None) -> str:
    """Run a command, and return its output. Raise RuntimeError with the output if it fails."""
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}:\n{done.stdout}{done.stderr}")
    return done.stdout


def _run(*command: str, cwd: Path | None = None, env: dict[str, str] | None = None) -> None:
    """Run a command. Print its output only if it fails."""
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}:\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    sys.exit(main())

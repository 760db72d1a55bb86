"""The npm package of a release: built twice, used by a program, and listed in the SBOM.

`make release-check` calls this module.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dashboard.build import Node, find_node, install_node, install_packages

ROOT = Path(__file__).parent.parent
CLIENT = Path("clients", "js")
# The dependencies of the dashboard are in its bundle, which is part of the wheel.
NPM_FOLDERS = (CLIENT, Path("dashboard"))
_ENTRY_POINTS = (".", "./elements")
_USE_TYPES = """
import { type Quote, TickwireClient } from "@tickwire/client";
import { ChartElement } from "@tickwire/client/elements";

const client = new TickwireClient({ server: "http://127.0.0.1:8000", symbols: ["A"] });
client.on("quote", (quote) => {
  const known: Quote = quote;
  const price: number | null = quote.last;
  console.log(known.symbol, price, ChartElement.name);
});
// @ts-expect-error: the option is a list.
new TickwireClient({ symbols: 1 });
"""
_USE_CLIENT = """
import { TickwireClient } from "@tickwire/client";
new TickwireClient({ server: "http://127.0.0.1:8000" }).close();
"""


def pack_twice(checkouts: Sequence[Path], version: str, folder: Path) -> Path:
    """Build the package in each checkout. Return the package, if all builds gave the same bytes."""
    node = find_node() or install_node()
    install_packages(node, ROOT / CLIENT)
    packages = []
    for number, checkout in enumerate(checkouts):
        source, target = checkout / CLIENT, folder / f"npm-{number}"
        target.mkdir()
        (source / "node_modules").symlink_to((ROOT / CLIENT / "node_modules").resolve())
        _npm(node, source, "run", "--silent", "build")
        _npm(node, source, "pack", "--silent", "--pack-destination", str(target))
        packages.append(next(target.glob("*.tgz")))
    digests = {hashlib.sha256(package.read_bytes()).hexdigest() for package in packages}
    assert len(digests) == 1, f"the builds of the npm package differ: {digests}"
    check_contents(packages[0], version)
    use_package(node, packages[0], folder / "program")
    print(f"{digests.pop()}  {packages[0].name}")
    return packages[0]


def check_contents(package: Path, version: str) -> None:
    """Check the version, and that the package contains its entry points, a licence, and neither sources nor tests."""
    with tarfile.open(package) as archive:
        names = {name.removeprefix("package/") for name in archive.getnames()}
        member = archive.extractfile("package/package.json")
        assert member is not None
        document = json.load(member)
    assert document["version"] == version, f"the npm package has the version {document['version']}, not {version}"
    foreign = {name for name in names if not name.startswith("dist/")} - {"package.json", "README.md", "LICENSE"}
    assert not foreign, f"the npm package contains {sorted(foreign)}"
    wanted = {"README.md", "LICENSE"}
    for name in _ENTRY_POINTS:
        wanted |= {path.removeprefix("./") for path in document["exports"][name].values()}
    assert wanted <= names, f"the npm package lacks {sorted(wanted - names)}"


def use_package(node: Node, package: Path, folder: Path) -> None:
    """Install the package in a new program. Check the program's types, and run it."""
    installed = folder / "node_modules" / "@tickwire" / "client"
    installed.parent.mkdir(parents=True)
    with tarfile.open(package) as archive:
        archive.extractall(folder, filter="data")
    (folder / "package").rename(installed)
    modules = (ROOT / CLIENT / "node_modules").resolve()
    dependencies = json.loads((installed / "package.json").read_text(encoding="utf-8"))["dependencies"]
    for name in dependencies:
        (folder / "node_modules" / name).symlink_to(modules / name)
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "types.ts").write_text(_USE_TYPES)
    (folder / "program.js").write_text(_USE_CLIENT)
    compiler = str(modules / ".bin" / "tsc")
    for resolution in ("bundler", "nodenext"):
        module = "esnext" if resolution == "bundler" else "nodenext"
        options = ("--noEmit", "--strict", "--target", "es2023", "--module", module, "--moduleResolution", resolution)
        _run(node, folder, compiler, *options, "--lib", "es2023,dom,dom.iterable", "--types", "", "types.ts")
    _run(node, folder, "node", "program.js")


def npm_sbom(project: Path, version: str) -> dict[str, Any]:
    """Return the SBOM (CycloneDX) of the packages that an npm project needs at run time."""
    node = find_node() or install_node()
    command = ("sbom", "--sbom-format", "cyclonedx", "--omit", "dev", "--package-lock-only")
    with TemporaryDirectory() as name:
        shutil.copy(ROOT / project / "package-lock.json", name)
        package = json.loads((ROOT / project / "package.json").read_text(encoding="utf-8"))
        # npm requires a version, and the dashboard has the version of the release.
        (Path(name) / "package.json").write_text(json.dumps({**package, "version": version}))
        document: dict[str, Any] = json.loads(_npm(node, Path(name), *command))
    # Two builds of one version write the same file.
    del document["serialNumber"], document["metadata"]["timestamp"]
    return document


def _npm(node: Node, folder: Path, *arguments: str) -> str:
    return _run(node, folder, *node.npm, *arguments)


def _run(node: Node, folder: Path, *command: str) -> str:
    """Run a command with Node on the PATH, and return its output. Raise RuntimeError with the output if it fails."""
    environment = {"PATH": node.path, "HOME": str(Path.home())}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}:\n{done.stdout}{done.stderr}")
    return done.stdout

"""The checks of a release: its version, its licences, and the contents of the npm package."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from pathlib import Path

import pytest
from deploy import release_check
from deploy.release_npm import check_contents


@pytest.mark.parametrize(
    ("tag", "section", "problem"),
    [
        (None, "Unreleased", None),
        ("v1.2.3", "1.2.3", None),
        ("v1.2.4", "1.2.3", "has the tags"),
        ("v1.2.3", "Unreleased", "is Unreleased, and the version"),
    ],
)
def test_tag_version_and_changelog_agree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tag: str | None, section: str, problem: str | None
) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.3"\n')
    (tmp_path / "CHANGELOG.md").write_text(f"# Changelog\n\n## {section}\n\n## 1.2.2\n")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "a"], *([["tag", tag]] if tag else [])):
        subprocess.run([*git, *command], cwd=tmp_path, check=True)
    monkeypatch.setattr(release_check, "ROOT", tmp_path)
    if problem is None:
        assert release_check.check_version() == "1.2.3"
    else:
        with pytest.raises(AssertionError, match=problem):
            release_check.check_version()


@pytest.mark.parametrize(
    ("licence", "is_refused"), [("MIT", False), ("AGPL-3.0-only", True), ("GPL-3.0", True), ("PSF-2.0", False)]
)
def test_licences_that_bind_other_programs_are_refused(licence: str, *, is_refused: bool) -> None:
    component = {"name": "a", "licenses": [{"license": {"id": licence}}]}
    assert bool(release_check.REFUSED_LICENCES.search(*release_check.component_licences(component))) is is_refused


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({}, None),
        ({"src/client.ts": ""}, "contains .*src/client.ts"),
        ({"dist/elements.js": None}, "lacks .*dist/elements.js"),
        ({"LICENSE": None}, "lacks .*LICENSE"),
        ({"package.json": "1.2.4"}, "has the version 1.2.4"),
    ],
)
def test_npm_package_contains_what_its_users_need(
    tmp_path: Path, change: dict[str, str | None], problem: str | None
) -> None:
    files = {"package.json": "1.2.3", "README.md": "", "LICENSE": "", "dist/index.js": "", "dist/elements.js": ""}
    package = tmp_path / "package.tgz"
    with tarfile.open(package, "w:gz") as archive:
        for name, content in {**files, **change}.items():
            if content is None:
                continue
            exports = {".": {"default": "./dist/index.js"}, "./elements": {"default": "./dist/elements.js"}}
            is_manifest = name == "package.json"
            text = json.dumps({"version": content, "exports": exports}) if is_manifest else content
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    if problem is None:
        check_contents(package, "1.2.3")
    else:
        with pytest.raises(AssertionError, match=problem):
            check_contents(package, "1.2.3")

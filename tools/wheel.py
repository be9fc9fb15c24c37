# SPDX-License-Identifier: Apache-2.0
"""Builds wheel and sdist into ``dist`` and checks them: the same bytes each time, and only what belongs there.

The build tool gives every file in an archive the same fixed time, or the one in ``SOURCE_DATE_EPOCH``.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZipFile

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"
PACKAGE = "airflow_provider_bkitsm"
# One file of each kind that is not Python; the check below compares all of them with the sources.
NEEDED = (
    "py.typed",
    "plugins/assets/approvals.js",
    "sandbox/web/templates/base.html",
    "translation_zh.json",
    "get_provider_info.py",
)


def build(source: Path, into: Path, *targets: str) -> dict[str, bytes]:
    """Build these targets from a source tree; return name and content of each file."""
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(into)]
    subprocess.run([*command, *(f"-t{one}" for one in targets)], cwd=source, check=True, capture_output=True)
    return {path.name: path.read_bytes() for path in sorted(into.iterdir())}


def build_again(sdist: Path) -> dict[str, bytes]:
    """Build the wheel from an unpacked sdist."""
    with TemporaryDirectory() as home, tarfile.open(sdist) as packed:
        packed.extractall(home, filter="data")
        (source,) = Path(home).iterdir()
        return build(source, Path(home) / "dist", "wheel")


def wheel_problems(names: set[str]) -> list[str]:
    """Return what is wrong with a wheel that holds these files."""
    sources = {
        str(path.relative_to(ROOT))
        for path in (ROOT / PACKAGE).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    wanted = sources | {f"{PACKAGE}/{one}" for one in NEEDED}
    packaged = {one for one in names if ".dist-info/" not in one}
    problems = [f"the wheel lacks {one}" for one in sorted(wanted - names)]
    problems += [f"the wheel holds {one}, which is not in {PACKAGE}" for one in sorted(packaged - sources)]
    if not any(one.endswith(".dist-info/licenses/LICENSE") for one in names):
        problems.append("the wheel lacks LICENSE")
    return problems


def main() -> int:
    """Build, build again, compare; return how the process ends."""
    shutil.rmtree(DIST, ignore_errors=True)
    built = build(ROOT, DIST, "sdist", "wheel")
    with TemporaryDirectory() as other:
        repeated = build(ROOT, Path(other), "sdist", "wheel")
    (sdist,), (wheel,) = DIST.glob("*.tar.gz"), DIST.glob("*.whl")
    problems = [f"{one} is another each time it is built" for one in built if built[one] != repeated[one]]
    if build_again(sdist) != {wheel.name: built[wheel.name]}:
        problems.append("the wheel built from the sdist is another one")
    problems += wheel_problems(set(ZipFile(wheel).namelist()))
    print(*(problems or (f"dist/{one}" for one in built)), sep="\n")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())

"""The wheel in an environment of its own, as a user has it: ``make check-wheel PYTHON=python3.12``.

Looks that it holds `hwsim` alone, that it is the program of this tree (by `hwsim.provenance.program_sha256`), and that a
network is profiled in a folder full of modules of others with such names as our rooms have.
"""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
NAMES = ("arch_specs", "workloads", "reports", "trainers")


def main() -> None:
    """Build, install, look."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, str(ROOT))
        (wheel,) = place.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            tops = {name.split("/")[0] for name in archive.namelist()}
        assert {top for top in tops if not top.endswith(".dist-info")} == {"hwsim"}, tops
        run(sys.executable, "-m", "venv", str(place / "venv"))
        python = str(place / "venv" / "bin" / "python")
        run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(wheel))
        strangers = place / "strangers"
        strangers.mkdir()
        for name in NAMES:
            refused = subprocess.run([python, "-c", f"import {name}"], cwd=place, capture_output=True, check=False)
            assert b"ModuleNotFoundError" in refused.stderr, name
            (strangers / f"{name}.py").write_text("raise RuntimeError('a stranger was imported')\n")
        code = "from hwsim.provenance import program_sha256; print(program_sha256())"
        installed, here = (run(p, "-c", code, cwd=strangers) for p in (python, sys.executable))
        assert installed == here, "the wheel holds another program than this tree"
        said = run(str(Path(python).with_name("hwsim")), "profile", "zoo:lenet5", "--html", "page.html", cwd=strangers)
        print(said)
        print(
            f"{wheel.name}: {wheel.stat().st_size:,} bytes; hwsim alone; {run(python, '--version').strip()}; same program."
        )


def run(*command: str, cwd: Path | None = None) -> str:
    """Standard output of a command that has to succeed."""
    return subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, text=True, check=True).stdout


if __name__ == "__main__":
    main()

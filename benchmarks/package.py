"""The import package in one folder, made of links: `hwsim` as it is installed, for tools that read folders.

The rooms stand beside each other in the repository, and the installer maps them to `hwsim.ROOM`. mypy, editors and
copies of the tree in which something is changed want them where Python looks without an installer. Run by `make package`.
"""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent


def rooms(root: Path = ROOT) -> dict[str, str]:
    """Room inside the package → its folder in the repository."""
    given = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["package-dir"]
    return {name.partition(".")[2]: folder for name, folder in given.items() if "." in name}


def link(target: Path, source: Path) -> None:
    """A link at ``target``, put there anew where it leads elsewhere."""
    if target.is_symlink():
        target.unlink()
    target.symlink_to(source.resolve())


def link_rooms(root: Path, package: Path) -> None:
    """Links to a tree's rooms in a folder that holds the rest of its package."""
    for room, folder in rooms(root).items():
        link(package / room, root / folder)


def main() -> None:
    """``build/package/hwsim``, a link per entry."""
    package = ROOT / "build" / "package" / "hwsim"
    package.mkdir(parents=True, exist_ok=True)
    for old in package.iterdir():
        old.unlink()
    for entry in sorted((ROOT / "hwsim").iterdir()):
        if entry.name != "__pycache__":
            link(package / entry.name, entry)
    link_rooms(ROOT, package)


if __name__ == "__main__":
    main()

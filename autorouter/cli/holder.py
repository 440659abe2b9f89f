"""Who holds a port: `process 4711 (autorouter)`, as far as this system tells. Only Linux does, in /proc, and only of one's own
processes; elsewhere nothing is said.

    /proc/net/tcp            "0: 0100007F:2253 00000000:0000 0A ... 123456"     local address, state 0A is LISTEN, inode
    /proc/4711/fd/7          -> socket:[123456]
"""

from __future__ import annotations

from pathlib import Path

PROC = Path("/proc")
LISTEN = "0A"


def who_listens(port: int, proc: Path = PROC) -> str | None:
    """The process that listens on a port of this machine, or None."""
    links = {f"socket:[{inode}]" for inode in _inodes(port, proc)}
    if not links:
        return None
    for process in proc.glob("[0-9]*"):
        if _has_one_of(process / "fd", links):
            return f"process {process.name} ({_name(process)})"
    return None


def _inodes(port: int, proc: Path) -> list[str]:
    found = []
    for table in ("tcp", "tcp6"):
        try:
            lines = (proc / "net" / table).read_text("ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            parts = line.split()
            if parts[3] == LISTEN and int(parts[1].rpartition(":")[2], 16) == port:
                found.append(parts[9])
    return found


def _has_one_of(descriptors: Path, links: set[str]) -> bool:
    try:
        return any(str(one.readlink()) in links for one in descriptors.iterdir())
    except OSError:
        return False


def _name(process: Path) -> str:
    """The program's name without its path; of a Python program the script's."""
    try:
        words = (process / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    except OSError:
        return "unknown"
    names = [Path(word).name for word in words if word and not word.startswith("-")]
    return names[1] if len(names) > 1 and names[0].startswith("python") else (names or ["unknown"])[0]

"""Runs in a process of its own, before a program that isn't trusted: isolates the process, then runs the program.

    python -I -S sandbox_child.py LIMITS_JSON < SPEC_JSON        prints the spec's token only where every line of the tests ran,
                                                           and what guards the files: kernel | python

It imports nothing of ours: it is started as a file, by any Python. Inside bubblewrap it only becomes another user where it is
root, and sets limits of the kernel (CPU, memory, file size, processes): namespaces do the rest. Without bubblewrap it puts up
Landlock as well where Linux has it (write below the work folder only), and an audit hook of Python that refuses what is left:
processes, sockets, foreign code, files written elsewhere. That stops accidents and the usual tricks of a generated program, not
an attacker who looks for a way out.
"""

from __future__ import annotations

import ctypes
import json
import os
import struct
import sys

EXIT_FAILED = 1
EXIT_NO_ISOLATION = 97
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
"""System calls of Landlock; the same numbers on every architecture of Linux (since 5.13)."""
READS, EVERYTHING = 0b1100, 0b1_1111_1111_1111
"""Landlock's rights of ABI 1: read file and read directory; all of them, but to carry a file elsewhere (ABI 2)."""
TCP, TCP_SINCE, VERSION = 0b11, 4, 1
"""Rights to bind and to connect, of ABI 4 (Linux 6.7); nothing is allowed of them. The flag that asks for the ABI."""
PR_SET_KEEPCAPS, PR_SET_NO_NEW_PRIVS = 8, 38
CAP_DAC_READ_SEARCH = 2
CAPABILITY_VERSION_3 = 0x20080522
READABLE = ("/usr", "/lib", "/lib64", "/bin", "/dev/null", "/dev/urandom", "/etc/localtime", "/etc/ld.so.cache")
"""Beside Python's own folders: what an interpreter loads."""
FORBIDDEN = (
    "subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.kill", "os.startfile", "pty.",
    "socket.", "ctypes.", "urllib.", "ftplib.", "smtplib.", "webbrowser.", "sys.addaudithook", "signal.pthread_kill",
)  # fmt: skip
CHANGES = frozenset(
    {
        "os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.chown",
        "os.utime", "os.chflags", "shutil.rmtree", "shutil.move", "shutil.copyfile", "sqlite3.connect", "os.chdir",
    }
)  # fmt: skip
"""Events of changes to the file system; their texts must be paths below the work folder."""


def become_user(uid: int) -> None:
    """Another user, where we are root: the limit of processes doesn't hold for root."""
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)


def become_reader(uid: int, libc: ctypes.CDLL) -> None:
    """Another user that keeps the right to read: Python may lie where only root can go. What may be read is Landlock's."""
    libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
    become_user(uid)
    kept = 1 << CAP_DAC_READ_SEARCH
    libc.capset(struct.pack("=Ii", CAPABILITY_VERSION_3, 0), struct.pack("=6I", kept, kept, 0, 0, 0, 0))


def limit(limits: dict[str, int]) -> None:
    """The kernel's limits. No process and no thread may be begun at all."""
    import resource

    for name, value in (
        (resource.RLIMIT_CPU, limits["cpu_s"]),
        (resource.RLIMIT_AS, limits["memory_bytes"]),
        (resource.RLIMIT_FSIZE, limits["file_bytes"]),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_CORE, 0),
    ):
        try:
            resource.setrlimit(name, (value, value))
        except ValueError:
            if sys.platform == "linux" or name != resource.RLIMIT_AS:
                raise  # macOS knows no limit of address space


def landlock(libc: ctypes.CDLL) -> bool:
    """Read what Python needs, write below the work folder (where we stand), and nothing else; and no TCP, where the kernel
    knows of it. False where it doesn't know how."""
    knows_tcp = libc.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), VERSION) >= TCP_SINCE
    attributes = struct.pack("=QQ", EVERYTHING, TCP) if knows_tcp else struct.pack("=Q", EVERYTHING)
    ruleset = libc.syscall(CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)
    if ruleset < 0:
        return False
    python = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix, *sys.path}
    places = {".": EVERYTHING, **dict.fromkeys((*READABLE, *python), READS)}
    done = True
    for path, rights in places.items():
        if os.path.exists(path):
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)
            rights &= EVERYTHING if os.path.isdir(path) else ~(1 << 3)  # a file can't be listed
            done = libc.syscall(ADD_RULE, ruleset, 1, struct.pack("=Qi", rights, place), 0) == 0 and done
            os.close(place)
    done = done and libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    done = done and libc.syscall(RESTRICT_SELF, ruleset, 0) == 0
    os.close(ruleset)
    return done


def watch(folder: str) -> None:
    """Python's own refusals: they name what was tried, and hold where the kernel has no such fence."""

    def below(path: object) -> bool:
        if not isinstance(path, str | bytes | os.PathLike):
            return True
        target = os.path.realpath(os.fsdecode(path))
        return target == folder or target.startswith(folder + os.sep) or target == os.devnull

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event.startswith(FORBIDDEN):
            raise PermissionError(f"{event} is not allowed here")
        if event == "open":
            path, mode, flags = (*arguments, None, None, None)[:3]
            writes = any(c in "wax+" for c in mode) if isinstance(mode, str) else False
            writes = writes or (isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)))
            if writes and not below(path):
                raise PermissionError("writing outside the work folder is not allowed")
        elif event in CHANGES and not all(below(a) for a in arguments if isinstance(a, str | bytes)):
            raise PermissionError(f"{event} outside the work folder is not allowed")

    sys.addaudithook(hook)


def main() -> None:
    """Isolate the process, run the program and its tests, and print the token at the end."""
    limits = json.loads(sys.argv[1])
    spec = json.loads(sys.stdin.read())
    folder = os.path.realpath(os.getcwd())
    out = os.dup(1)
    os.dup2(2, 1)  # what the program prints is no verdict
    locked = False
    try:
        if limits["bubblewrap"]:
            if os.getuid() == 0:
                become_user(limits["uid"])
            locked = True
        elif sys.platform == "linux":
            libc = ctypes.CDLL(None, use_errno=True)
            if os.getuid() == 0:
                become_reader(limits["uid"], libc)
            locked = landlock(libc)
        limit(limits)
    except (ImportError, OSError, ValueError) as exc:
        print(f"no isolation: {exc}", file=sys.stderr)
        os._exit(EXIT_NO_ISOLATION)
    token = spec.pop("token")
    for name in ("random", "math", "re", "collections", "itertools", "functools", "typing", "heapq", "unittest"):
        __import__(name)
    if not limits["bubblewrap"]:
        watch(folder)
    scope: dict[str, object] = {"__name__": "answer"}
    exec(compile(spec["program"], "answer.py", "exec"), scope)  # noqa: S102  (what this process is for)
    exec(compile(spec["tests"], "tests.py", "exec"), scope)  # noqa: S102
    os.write(out, f"{token} {'kernel' if locked else 'python'}".encode())


if __name__ == "__main__":
    main()

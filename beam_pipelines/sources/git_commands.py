# SPDX-License-Identifier: Apache-2.0
"""Git as a reader of repositories that nobody vouches for.

The environment is empty but for what makes git a pure reader: no settings of the user or the
machine, no replaced objects, no fetching of missing ones (and no protocol to do it by), nothing
that asks. The repository is named outright, so git looks for none, and runs none of its hooks and
filters: those belong to checkouts. A process that falls silent is ended, and the size of a single
allocation is limited.
"""

import os
import re
import secrets
import select
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, NamedTuple

from beam_pipelines.sources.source import SourceError

TIMEOUT = 120.0
"""Seconds of silence until a process is ended."""

INDEX_TIMEOUT = 3600.0
"""Seconds of silence while a bundle is indexed, which git does not talk about."""

MAX_PRINTED = 16 << 20
"""Bytes of what a command may print that is read as a whole, such as a bundle's heads."""

MAX_ENTRIES = 1_000_000
"""Entries of a tree; a few hostile objects can stand for billions."""

MAX_RECORD = 1 << 20
"""Bytes of one entry's line, the path in it."""

_ENVIRONMENT = {
    "PATH": os.defpath,
    "LC_ALL": "C",
    "HOME": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_ALLOC_LIMIT": "512m",
}

# Above this size git streams an object that is stored whole; settings here outrank a repository's.
_SETTINGS = ("core.bigFileThreshold=8m", "core.hooksPath=/dev/null", "core.fsmonitor=false")


class GitError(ValueError):
    """Git cannot do it; the message is its own."""


class RevisionError(GitError):
    """The repository has no such commit."""


class Entry(NamedTuple):
    """A line of a tree, folders left out."""

    mode: str
    kind: str
    id: str
    size: int | None
    path: bytes


class Process:
    """A process of git that is asked and answers; silence ends it.

    All methods raise EOFError when it has ended before it was through.
    """

    def __init__(self, popen: subprocess.Popen[bytes], timeout: float) -> None:
        self.popen, self.timeout = popen, timeout
        self._buffer = bytearray()

    def write(self, data: bytes) -> None:
        """Sends `data`, which is short enough for the pipe if git awaits it."""
        assert self.popen.stdin is not None
        try:
            self.popen.stdin.write(data)
            self.popen.stdin.flush()
        except BrokenPipeError as error:
            raise EOFError from error

    def receive(self) -> bytes:
        """What comes next, of any length; empty at the end."""
        if self._buffer:
            data, self._buffer = bytes(self._buffer), bytearray()
            return data
        assert self.popen.stdout is not None
        descriptor = self.popen.stdout.fileno()
        waiting = select.poll()
        waiting.register(descriptor, select.POLLIN)
        if not waiting.poll(self.timeout * 1000):
            self.popen.kill()
            raise EOFError
        return os.read(descriptor, 1 << 16)

    def read(self, size: int, end: bytes) -> bytes:
        """`size` bytes, or fewer if `end` comes before, which is taken off."""
        data = bytearray()
        while len(data) < size and not data.endswith(end):
            received = self.receive()
            if not received:
                raise EOFError
            data += received
        if len(data) < size:
            return bytes(data[: -len(end)])
        self._buffer += data[size:]
        return bytes(data[:size])

    def read_line(self) -> bytes:
        """A line without its end, up to `MAX_RECORD` bytes."""
        line = b""
        while b"\n" not in line and len(line) < MAX_RECORD:
            data = self.receive()
            if not data:
                raise EOFError
            line += data
        line, _, rest = line.partition(b"\n")
        self._buffer[:0] = rest
        return line

    def close(self) -> None:
        """Closes the pipes; what cannot be written any more nobody would read."""
        for pipe in (self.popen.stdin, self.popen.stdout):
            try:
                if pipe:
                    pipe.close()
            except OSError:
                pass


@contextmanager
def running(
    git_dir: str, arguments: Sequence[str], timeout: float | None = None
) -> Iterator[Process]:
    """A process of git, ended with the block; `timeout`: seconds of silence, not `TIMEOUT`.

    Raises:
        GitError: on leaving the block, if it has failed by itself.
    """
    environment = _ENVIRONMENT | {"PATH": os.environ.get("PATH", os.defpath)}
    command = ["git", "--no-pager", "--no-replace-objects", "--literal-pathspecs"]
    command += [word for setting in _SETTINGS for word in ("-c", setting)]
    command += [f"--git-dir={git_dir}", *arguments]
    pipe = subprocess.PIPE
    with tempfile.TemporaryFile() as errors:
        try:
            popen = subprocess.Popen(
                command, stdin=pipe, stdout=pipe, stderr=errors, env=environment
            )
        except FileNotFoundError as error:
            raise SourceError("git: no such program on this machine; install git") from error
        process = Process(popen, timeout or TIMEOUT)
        ended = False
        try:
            yield process
            process.close()
            failed = popen.wait(process.timeout)
        except (EOFError, subprocess.TimeoutExpired):
            popen.kill()
            ended, failed = True, popen.wait()  # git's own words about it are better
        finally:
            process.close()
            popen.kill()
            popen.wait()
        if failed or ended:
            raise GitError(_complaint(errors, failed))


def run(git_dir: str, *arguments: str, timeout: float | None = None) -> str:
    """What git prints.

    Raises:
        GitError: it fails, or prints more than `MAX_PRINTED` bytes.
    """
    printed = b""
    with running(git_dir, arguments, timeout) as process:
        while data := process.receive():
            printed += data
            if len(printed) > MAX_PRINTED:
                raise GitError(f"git {arguments[0]} prints more than {MAX_PRINTED} bytes")
    return printed.decode("utf-8", "surrogateescape")


def commit_of(git_dir: str, revision: str) -> str:
    """The full id of the commit that a revision names.

    Raises:
        RevisionError: there is none; the message names the revision.
    """
    arguments = ("rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}")
    try:
        commit = run(git_dir, *arguments).strip()
    except GitError as error:
        raise RevisionError(f"no commit is called {revision!r}: {error}") from error
    if not re.fullmatch(r"[0-9a-f]{40,64}", commit):
        raise RevisionError(f"no commit is called {revision!r}")
    return commit


def tree(git_dir: str, commit: str) -> Iterator[Entry]:
    """What lies in a commit's tree and all folders below, in git's order.

    Raises:
        GitError: the tree is damaged, or too large.
    """
    number = 0
    with running(git_dir, ["ls-tree", "-r", "-l", "-z", "--full-tree", commit]) as process:
        rest = b""
        while data := process.receive():
            *lines, rest = (rest + data).split(b"\0")
            for line in lines:
                if number == MAX_ENTRIES:
                    raise GitError(f"what follows entry {MAX_ENTRIES} is not read")
                number += 1
                yield _entry(line)
            if len(rest) > MAX_RECORD:
                raise GitError(f"a path of more than {MAX_RECORD} bytes")


def _entry(line: bytes) -> Entry:
    described, _, path = line.partition(b"\t")
    mode, kind, id_, size = described.decode("ascii").split()
    return Entry(mode, kind, id_, int(size) if size.isdigit() else None, path)


def blobs(git_dir: str, names: Sequence[str], limit: int) -> Iterator[tuple[str, bytes | str]]:
    """At most `limit` bytes of each blob, or why it cannot be had.

    A process goes through the names until one is too large to be read whole, or ends it: the next
    process goes on behind that.

    Args:
        git_dir: The repository.
        names: As git understands them, one line each.
        limit: Bytes of a blob.
    """
    done = 0
    while done < len(names):
        cut = False
        try:
            with running(git_dir, ["cat-file", "--batch"]) as process:
                while done < len(names) and not cut:
                    content, cut = _blob(process, names[done], limit)
                    done += 1
                    yield names[done - 1], content
                if cut:
                    process.popen.kill()
        except GitError as error:
            if not cut and done < len(names):
                done += 1
                yield names[done - 1], str(error)


def _blob(process: Process, name: str, limit: int) -> tuple[bytes | str, bool]:
    """A blob or a complaint, and whether it goes on, so that the process is of no more use.

    Of damaged objects git may print fewer bytes than it has announced. So that nobody waits for the
    others, each question is followed by one that nobody knows an answer to.
    """
    mark = secrets.token_hex(16).encode()
    end = mark + b" missing\n"
    process.write(name.encode("utf-8", "surrogateescape") + b"\n" + mark + b"\n")
    *_, kind, size = [b"", *process.read_line().split()]
    if not size.isdigit():
        process.read_line()
        return "the object is missing", False
    wanted = min(int(size), limit)
    content = process.read(wanted, end)
    if len(content) < wanted:
        return "the object is damaged", False
    if int(size) > limit:
        return content, True
    process.read(1 + len(end), end)
    return content if kind == b"blob" else f"a {kind.decode()}, no blob", False


def unbundle(bundle: str, git_dir: str) -> None:
    """Makes a bare repository of a bundle: its objects, and its heads under their names.

    Raises:
        GitError: it is damaged, or the continuation of another.
    """
    run(git_dir, "init", "--quiet", "--bare", "--template=")
    printed = run(git_dir, "bundle", "unbundle", bundle, timeout=INDEX_TIMEOUT)
    with running(git_dir, ["update-ref", "--no-deref", "--stdin"]) as process:
        for line in printed.split("\n"):
            id_, space, name = line.partition(" ")
            if space:
                process.write(f"update {name} {id_}\n".encode("utf-8", "surrogateescape"))


def _complaint(errors: IO[bytes], status: int) -> str:
    """The last line that git wrote about a failure, or else how it ended."""
    errors.seek(max(0, errors.seek(0, 2) - 4096))
    lines = errors.read().decode("utf-8", "replace").strip().splitlines()
    if status < 0:
        return f"git was ended by signal {-status}, or after too long a silence"
    return lines[-1][:200] if lines else f"git: exit status {status}"

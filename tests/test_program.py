# SPDX-License-Identifier: Apache-2.0
"""`python -m coder` as a program: how Ctrl-C ends it, and an output that cannot be written."""

import os
import signal
import subprocess
import sys

import pytest

PROGRAM = f"{sys.executable} -m coder"


def shell(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, env=os.environ | environment
    )


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("options", ["--help", "presets --help"])
def test_an_output_that_nobody_reads_ends_it_in_silence(options, unbuffered):
    command = f"{PROGRAM} {options} | true; echo ${{PIPESTATUS[0]}}"
    # The reader is gone before anything is written: Python takes longer to start than `true`.
    done = shell(command, PYTHONUNBUFFERED=unbuffered)
    assert (done.stdout, done.stderr) == ("141\n", "")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_an_output_that_cannot_be_written_is_told(unbuffered):
    done = shell(f"{PROGRAM} --help > /dev/full", PYTHONUNBUFFERED=unbuffered)
    assert done.returncode == 1
    assert done.stderr == "error: standard output cannot be written: No space left on device\n"
    done = shell(f"{PROGRAM} --help >&-")
    assert done.returncode == 1 and done.stderr.startswith("error: standard output is closed")


# A job that a shell put in the background, perhaps these tests, ignores interrupts.
INTERRUPTED = (
    "import os, signal\n"
    "from coder import interrupts\n"
    "signal.signal(signal.SIGINT, signal.{before})\n"
    "interrupts.end_at_once()\n"
    "{then}\n"
    "try:\n"
    "    os.kill(os.getpid(), signal.SIGINT)\n"
    "except KeyboardInterrupt:\n"
    "    print('tidied up')\n"
)


@pytest.mark.parametrize(
    ("before", "then", "status", "written"),
    [
        ("default_int_handler", "", -signal.SIGINT, ""),
        ("default_int_handler", "interrupts.raise_again()", 0, "tidied up\n"),
        ("SIG_IGN", "interrupts.raise_again()", 0, ""),
    ],
)
def test_an_interrupt_ends_it_unless_a_command_tidies_up(before, then, status, written):
    code = INTERRUPTED.format(before=before, then=then)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (status, written, "")

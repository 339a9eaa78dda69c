# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C: it ends a command at once, until the command has something of its own to do then.

Python raises KeyboardInterrupt wherever the program happens to be. Within an import it comes out as
another error, and within a callback of jax's it is lost. A handler that somebody else chose stays:
a job in the background ignores interrupts.
"""

import signal


def end_at_once() -> None:
    """From here on an interrupt ends the process, in silence; a shell calls that status 130."""
    if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def raise_again() -> None:
    """From here on an interrupt is a KeyboardInterrupt, for those who tidy up or go on."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)

# SPDX-License-Identifier: Apache-2.0
"""`python -m coder COMMAND`: the commands of a model's life, imported when they are asked for."""

import difflib
import importlib
import os
import sys

from coder import interrupts

HELP = """\
python -m coder COMMAND

    presets     list the model shapes that have a name, with their sizes
    tokenizer   learn a byte-level BPE vocabulary from the training documents
    train       train a model on finished examples, or resume
    eval        measure a trained model on held-out documents
    complete    go on with a text, or fill in the middle of a file, as a model writes it
    chat        talk with an instruct model
    import-hf   import a model from Hugging Face's layout
    export-hf   export a trained run or an imported model to it

python -m coder COMMAND --help tells the options of one."""

COMMANDS = {
    "presets": "coder.model.presets_cli",
    "tokenizer": "coder.data.tokenizer_cli",
    "train": "coder.train.command",
    "eval": "coder.eval.command",
    "complete": "coder.infer.complete",
    "chat": "coder.infer.chat",
    "import-hf": "coder.huggingface.import_command",
    "export-hf": "coder.huggingface.export_command",
}
"""Command to the module whose `main(argv)` it is."""


def main(argv: list[str]) -> None:
    """Runs a command; exits with status 2 for one that does not exist."""
    if not argv or argv[0] in ("-h", "--help"):
        print(HELP)
        return
    name, *options = argv
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1, cutoff=0.4)
        hint = f"; did you mean {near[0]}?" if near else ""
        print(f"no command {name!r} among {', '.join(COMMANDS)}{hint}", file=sys.stderr)
        sys.exit(2)
    importlib.import_module(COMMANDS[name]).main(options)


def _run() -> None:
    """Runs a command as a program: ended by Ctrl-C, or by an output that cannot be written."""
    interrupts.end_at_once()
    if sys.stdout is None:
        sys.exit("error: standard output is closed: to throw it away, use > /dev/null")
    try:
        try:
            main(sys.argv[1:])
        finally:
            sys.stdout.flush()
    except OSError:
        _check_output()
        raise


def _check_output() -> None:
    """Ends the program where standard output is at fault; in silence where nobody reads it."""
    try:
        print(flush=True)  # Whose error it was is told nowhere else.
    except OSError as error:
        # Python flushes standard output once more as it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            sys.exit(141)
        sys.exit(f"error: standard output cannot be written: {error.strerror}")


if __name__ == "__main__":
    _run()

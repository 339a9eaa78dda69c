# SPDX-License-Identifier: Apache-2.0
"""The worker of `benchmarks.load` that imports, loads or exports a model once."""

import json
import sys
import threading
import time
from pathlib import Path

from benchmarks._load_models import SHARD_BYTES
from coder.huggingface.export_model import export_model
from coder.huggingface.exportable import read_exportable
from coder.huggingface.import_model import import_model, load
from coder.huggingface.names import parameters
from coder.huggingface.source import read_source

_SAMPLING_SECONDS = 0.005


class PeakMemory:
    """The most memory that the process had of its own since it was asked to look."""

    def __init__(self):
        """Begins to look, in a thread."""
        self._before = self.peak = _status("RssAnon")
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while True:
            self.peak = max(self.peak, _status("RssAnon"))
            time.sleep(_SAMPLING_SECONDS)

    @property
    def added(self) -> int:
        """Bytes above those at the beginning."""
        return self.peak - self._before


def _status(field: str) -> int:
    """A size of the process, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def main(task: str, source: str, output: str = "") -> None:
    """Makes `output` of `source`, or loads `source`; prints seconds and memory as JSON."""
    memory, started = PeakMemory(), time.perf_counter()
    size = 0
    if task == "import":
        import_model(read_source(Path(source)), Path(output))
    elif task == "export":
        export_model(read_exportable(Path(source)), Path(output), "stored", SHARD_BYTES, {})
    else:
        decoder, _ = load(source)
        size = sum(leaf.nbytes for leaf in parameters(decoder).values())
    seconds = time.perf_counter() - started
    told = {"seconds": seconds, "bytes": size, "anonymous": memory.peak, "added": memory.added}
    print(json.dumps(told | {"resident": _status("VmHWM")}))


if __name__ == "__main__":
    main(*sys.argv[1:])

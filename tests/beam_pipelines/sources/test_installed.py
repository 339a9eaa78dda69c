# SPDX-License-Identifier: Apache-2.0
"""The distributions of a lock file, as they are installed."""

from pathlib import Path

import pytest

from beam_pipelines.sources.installed import InstalledSource
from beam_pipelines.sources.source import FileBatch, FileContent, SourceError, Unit
from coder.data.records import Reject


def test_installed_reads_the_lock(tmp_path: Path):
    lock = tmp_path / "requirements.txt"
    lock.write_text(
        "# made by hand\npackaging>=20 \\\n    --hash=sha256:00\n    # via nothing\n"
        "pytest\nnot-there==1 ; sys_platform == 'plan9'\n"
    )
    source = InstalledSource(lock)
    first, second = source.units()
    assert isinstance(first, Unit) and isinstance(second, Unit)
    assert (first.name, second.name) == ("packaging", "pytest")
    (batch,) = source.batches(first)
    assert isinstance(batch, FileBatch)
    assert batch.info.licence
    paths = [file.path for file in batch.files or ()]
    assert "packaging/version.py" in paths
    assert not [path for path in paths if "__pycache__" in path or "dist-info" in path]
    contents = {read.path: read for read in source.read(batch, 1 << 20)}
    version = contents["packaging/version.py"]
    assert isinstance(version, FileContent)
    assert b"class Version" in version.content


def test_nothing_outside_a_distribution_is_read(tmp_path: Path, monkeypatch):
    site = tmp_path / "lib/site-packages"
    (site / "evil-1.dist-info").mkdir(parents=True)
    (site / "evil/inner").mkdir(parents=True)
    (site / "evil/inner/a.py").write_text("a = 1\n")
    (tmp_path / "secret.py").write_text("secret = 1\n")
    (site / "evil/link").symlink_to(tmp_path)
    (site / "evil/again").symlink_to("inner")
    (site / "evil-1.dist-info/METADATA").write_text("Name: evil\nVersion: 1\n")
    names = ["evil/inner/a.py", "evil/link/secret.py", "evil/again/a.py"]
    names += [f"{tmp_path}/secret.py", "../../secret.py", "evil/../../../secret.py", "..", ""]
    record = "".join(f"{name},,\n" for name in names)
    (site / "evil-1.dist-info/RECORD").write_text(record)
    (tmp_path / "requirements.txt").write_text("evil==1\n")
    monkeypatch.syspath_prepend(str(site))
    source = InstalledSource(tmp_path / "requirements.txt")
    (unit,) = source.units()
    assert isinstance(unit, Unit)
    found = list(source.batches(unit))
    (batch,) = [batch for batch in found if isinstance(batch, FileBatch)]
    assert [file.path for file in batch.files or ()] == ["evil/inner/a.py"]
    assert {reject.path: reject.reason for reject in found if isinstance(reject, Reject)} == {
        "evil/link/secret.py": "symlink_outside",
        "evil/again/a.py": "symlink",
    }
    states = {state.path for state in source.state(unit)}
    assert str(tmp_path / "secret.py") not in states


def test_installed_names_all_that_is_missing(tmp_path: Path):
    lock = tmp_path / "requirements.txt"
    lock.write_text("not-there==1\npackaging==0.1\n")
    with pytest.raises(
        SourceError, match=r"not-there==1 \(missing\), packaging==0.1 \(installed: "
    ):
        list(InstalledSource(lock).units())

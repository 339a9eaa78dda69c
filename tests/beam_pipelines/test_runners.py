# SPDX-License-Identifier: Apache-2.0
"""Other runners: the same bytes where one can be had here, and a job that Dataflow would take.

The commands are run as people type them, so that what the pipelines define is in `__main__`.
"""

import base64
import bz2
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability import common_urns
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.portability.local_job_service import LocalJobServicer

from beam_pipelines import corpus, worker_package
from beam_pipelines.corpus import CorpusOptions
from beam_pipelines.split_held_out import HeldOut
from beam_pipelines.stages import Stages
from beam_pipelines.write_tfrecords import WriteSummary

ROOT = Path(__file__).parents[2]
LONG = "".join(f"def function_{n}(argument):\n    return argument * {n}\n" for n in range(50))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Repositories of both splits with imports, equal files, near copies and rejects."""
    folder = tmp_path_factory.mktemp("source")
    for number in range(30):
        package = folder / f"repository{number}" / "pkg"
        package.mkdir(parents=True)
        (package / "base.py").write_text(f"def function_{number}():\n    return {number}\n")
        (package / "above.py").write_text(f"from pkg.base import function_{number}\n")
        (package / "near.py").write_text(LONG + f"name = 'repository {number}'\n")
        (package / "same.py").write_text("print('in every repository the same')\n")
        (package / "empty.py").write_text("")
    return folder


@pytest.fixture(scope="module")
def pipelines() -> dict[str, beam.Pipeline]:
    """The graphs of the stages, by name, filled by `in_memory`."""
    return {}


@pytest.fixture(scope="module")
def in_memory(
    source: Path, pipelines: dict[str, beam.Pipeline], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, bytes]:
    """The files of a corpus that was built in this process."""
    original = Stages.run

    def run(stages: Stages, name: str, work: int, build: Callable[..., Any]) -> Any:
        pipelines[name] = beam.Pipeline(options=PipelineOptions([]))
        _ = build(pipelines[name], "") | f"finish {name}" >> WriteSummary(stages.output, "done")
        return original(stages, name, work, build)

    output = tmp_path_factory.mktemp("corpus") / "in memory"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stages, "run", run)
        chosen = CorpusOptions(output=str(output), source=f"folder:{source}", shards=2)
        assert corpus.run(chosen) == 0
    assert any(HeldOut(0).__contains__(path.name) for path in source.iterdir())
    assert b"near_training" in (output / "manifest.json").read_bytes()
    return contents(output)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def build(source: Path, output: Path, *beam_flags: str, workers: int = 1) -> dict[str, bytes]:
    """The files of a corpus that the command has built."""
    command = [sys.executable, "-m", "beam_pipelines.corpus", "--source", f"folder:{source}"]
    command += ["--output", output, "--shards", "2", "--workers", str(workers), "--", *beam_flags]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return contents(output)


@pytest.fixture
def job_endpoint(tmp_path: Path) -> Iterator[str]:
    """Beam's own job server."""
    server = LocalJobServicer(str(tmp_path / "staging"))
    port = server.start_grpc_server()
    yield f"localhost:{port}"
    server.stop()


def test_a_portable_job_server_with_loopback_workers_gives_the_same_bytes(
    source: Path, in_memory: dict[str, bytes], job_endpoint: str, tmp_path: Path
) -> None:
    flags = [
        "--runner=PortableRunner",
        f"--job_endpoint={job_endpoint}",
        "--environment_type=LOOPBACK",
    ]
    assert build(source, tmp_path / "out", *flags) == in_memory


@pytest.mark.slow
def test_two_processes_give_the_same_bytes(
    source: Path, in_memory: dict[str, bytes], tmp_path: Path
) -> None:
    assert build(source, tmp_path / "out", workers=2) == in_memory


@pytest.mark.slow
@pytest.mark.parametrize("partitions", [(), ("--dask_partition_size=1",)])
def test_two_worker_processes_of_dask_give_the_same_bytes(
    partitions: tuple[str, ...], source: Path, in_memory: dict[str, bytes], tmp_path: Path
) -> None:
    from distributed import LocalCluster

    start: Any = LocalCluster  # annotated for asynchronous use
    with start(
        2, threads_per_worker=1, dashboard_address=None, local_directory=tmp_path
    ) as cluster:
        address = f"--dask_client_address={cluster.scheduler_address}"
        built = build(source, tmp_path / "out", "--runner=DaskRunner", address, *partitions)
    assert built == in_memory


@pytest.mark.usefixtures("in_memory")
@pytest.mark.parametrize("stage", ["filter", "order", "held_out"])
def test_the_graph_of_a_stage_is_small_and_holds_nothing_of_this_machine(
    stage: str, pipelines: dict[str, beam.Pipeline]
) -> None:
    graph = pipelines[stage].to_runner_api()
    assert len(graph.SerializeToString()) < 1 << 20
    local = re.compile(rf"(?:{ROOT}|{sys.prefix}|{Path.home()})/[\w./-]*".encode())
    for transform in graph.components.transforms.values():
        if transform.spec.urn == common_urns.primitives.PAR_DO.urn:
            payload = beam_runner_api_pb2.ParDoPayload.FromString(transform.spec.payload)
            pickled = bz2.decompress(base64.b64decode(payload.do_fn.payload))
            assert len(pickled) < 1 << 16, transform.unique_name
            # Where a function was defined goes along, for tracebacks; nothing opens that.
            paths = [path for path in local.findall(pickled) if not path.endswith(b".py")]
            assert not paths, transform.unique_name


@pytest.mark.usefixtures("in_memory")
@pytest.mark.parametrize("stage", ["filter", "order", "held_out"])
def test_the_steps_of_a_stage_have_names_that_stay(
    stage: str, pipelines: dict[str, beam.Pipeline]
) -> None:
    names = [t.unique_name for t in pipelines[stage].to_runner_api().components.transforms.values()]
    assert len(names) == len(set(names))
    # Beam names what has no name after its function, a lambda after its line; its own may.
    assert not [
        name for name in names if "<lambda at " in name and "<lambda at core.py" not in name
    ]


@pytest.mark.usefixtures("in_memory")
@pytest.mark.parametrize("stage", ["filter", "order", "held_out"])
def test_what_is_grouped_has_deterministic_keys(
    stage: str, pipelines: dict[str, beam.Pipeline]
) -> None:
    graph = pipelines[stage].to_runner_api().components
    grouped = [
        transform
        for transform in graph.transforms.values()
        if transform.spec.urn == common_urns.primitives.GROUP_BY_KEY.urn
    ]
    assert grouped
    for transform in grouped:
        (collection,) = transform.inputs.values()
        pairs = graph.coders[graph.pcollections[collection].coder_id]
        key = graph.coders[pairs.component_coder_ids[0]].spec
        assert key.urn in _DETERMINISTIC or b"Deterministic" in key.payload, transform.unique_name


_DETERMINISTIC = {
    common_urns.coders.BYTES.urn,
    common_urns.coders.STRING_UTF8.urn,
    common_urns.coders.VARINT.urn,
}


@pytest.mark.usefixtures("in_memory")
def test_dataflow_gets_a_job_with_the_package_and_the_machines_that_were_asked_for(
    pipelines: dict[str, beam.Pipeline], tmp_path: Path
) -> None:
    pytest.importorskip("google.cloud.dataflow", reason="needs requirements-gcp.txt")
    from apache_beam.runners.dataflow.dataflow_runner import DataflowRunner

    from beam_pipelines.options import beam_options

    wheel = worker_package.write_wheel(tmp_path / "dist")
    for name, pipeline in pipelines.items():
        staged, template = tmp_path / name / "staging", tmp_path / name / "template.json"
        staged.mkdir(parents=True)
        flags = [
            "--runner=DataflowRunner",
            "--project=project",
            "--region=europe-west4",
            f"--temp_location={tmp_path / name / 'temp'}",
            f"--staging_location={staged}",
            f"--template_location={template}",
            "--no_auth",
            "--machine_type=n2-highmem-4",
            "--max_num_workers=200",
            f"--extra_package={wheel}",
        ]
        # Not through `Pipeline.run`, which asks Cloud Storage whether the buckets exist.
        DataflowRunner().run_pipeline(pipeline, beam_options(flags))
        (pool,) = json.loads(template.read_text())["environment"]["workerPools"]
        assert pool["machineType"] == "n2-highmem-4"
        assert pool["autoscalingSettings"]["maxNumWorkers"] == 200
        assert {"extra_packages.txt", wheel.name} <= {
            package["name"] for package in pool["packages"]
        }
        assert (staged / wheel.name).read_bytes() == wheel.read_bytes()
        staged_graph = (staged / "pipeline.pb").read_bytes()
        steps = beam_runner_api_pb2.Pipeline.FromString(staged_graph).components.transforms
        assert f"finish {name}" in {step.unique_name for step in steps.values()}

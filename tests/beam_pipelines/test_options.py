# SPDX-License-Identifier: Apache-2.0
"""Options for Beam: of every runner they are known, and what a runner lacks is said beforehand."""

import importlib.util
from collections.abc import Sequence

import pytest

from beam_pipelines import options
from beam_pipelines.options import OptionError, beam_options, has_local_workers

PORTABLE = ["--runner=PortableRunner", "--job_endpoint=localhost:8099"]
DATAFLOW = ["--project=p", "--region=europe-west4", "--temp_location=gs://bucket/temp"]


@pytest.mark.parametrize(
    "flags",
    [
        [*PORTABLE, "--environment_type=DOCKER", "--environment_config=image"],
        [*PORTABLE, "--environment_type=EXTERNAL", "--environment_config=localhost:50000"],
        [*PORTABLE, "--artifact_endpoint=localhost:8098", "--sdk_worker_parallelism=2"],
        ["--runner=FlinkRunner", "--flink_job_server_jar=a.jar", "--flink_master=host:8081"],
        ["--runner=flink", "--flink_job_server_jar=a.jar", "--parallelism=8"],
        [
            "--runner=SparkRunner",
            "--spark_job_server_jar=a.jar",
            "--spark_master_url=spark://a:7077",
        ],
        ["--runner=DaskRunner", "--dask_client_address=tcp://host:8786", "--dask_partition_size=1"],
        ["--runner=dask", "--dask_npartitions=8"],
        ["--s3_region_name=eu-west-1", "--hdfs_host=h", "--hdfs_port=1", "--hdfs_user=u"],
    ],
)
def test_the_options_of_every_runner_are_known(flags: list[str]) -> None:
    assert beam_options(flags)


def test_the_options_of_dataflow_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "_is_installed", lambda _: True)
    chosen = beam_options(
        [
            "--runner=DataflowRunner",
            *DATAFLOW,
            "--staging_location=gs://bucket/staging",
            "--machine_type=n2-highmem-4",
            "--disk_size_gb=100",
            "--max_num_workers=200",
            "--autoscaling_algorithm=THROUGHPUT_BASED",
            "--service_account_email=me@p.iam.gserviceaccount.com",
            "--extra_package=dist/pipelines.whl",
            "--no_use_public_ips",
            "--subnetwork=regions/europe-west4/subnetworks/a",
            "--sdk_container_image=image",
        ]
    )
    assert chosen.get_all_options()["machine_type"] == "n2-highmem-4"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--flink_mastr=host"], "unknown Beam option --flink_mastr=host; nearest: --flink_master"),
        (["--runner=FlinkRuner"], "unknown runner --runner=FlinkRuner; nearest: FlinkRunner"),
        (["--runner=PortableRunner"], "needs --job_endpoint"),
        (["--runner=FlinkRunner"], "needs --flink_job_server_jar"),
        (["--runner=SparkRunner", "--spark_master_url=local"], "needs --spark_job_server_jar"),
        (["--runner=DataflowRunner", *DATAFLOW[:2]], "needs --temp_location"),
        (["--runner=direct"], "depends on what it can download"),
        (["--runner=BundleBasedDirectRunner"], "depends on what it can download"),
        (["--spark_version=9"], "invalid choice: '9'"),
    ],
)
def test_what_a_runner_lacks_is_said(
    flags: Sequence[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(options, "_is_installed", lambda _: True)
    with pytest.raises(OptionError, match=message):
        beam_options(flags)


@pytest.mark.parametrize(
    ("runner", "advice"),
    [("DaskRunner", "apache-beam.dask"), ("DataflowRunner", "-r requirements-gcp.txt")],
)
def test_a_runner_without_its_library_says_what_to_install(
    runner: str, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib.util, "find_spec", missing)
    with pytest.raises(OptionError, match=f"pip install .*{advice}"):
        beam_options([f"--runner={runner}", *DATAFLOW])


def test_only_workers_on_this_machine_reach_the_launchers_files() -> None:
    assert has_local_workers(beam_options([]))
    assert has_local_workers(beam_options(["--runner=FnApiRunner"], workers=2))
    assert has_local_workers(beam_options([*PORTABLE, "--environment_type=LOOPBACK"]))
    assert not has_local_workers(beam_options([*PORTABLE, "--environment_type=DOCKER"]))
    assert not has_local_workers(beam_options(["--runner=DaskRunner"]))

# SPDX-License-Identifier: Apache-2.0
"""The GPUs that `make aot` compiles for, as XLA's compiler wants them described.

On a GPU, `jax._src.lib.xla_client.get_topology_for_devices(jax.devices()).target_config` is what
this description stands in for. What is compiled depends on the architecture and on what a core
holds; speed and size of the memory only feed XLA's estimates of what is worth fusing.
"""

import dataclasses

SHARED_MEMORY_OF_THE_SYSTEM = 1024
"""Bytes of shared memory that CUDA takes of each block (CUDA C++ Programming Guide, "Compute
Capability 8.x", the same in 9.0)."""

# "Technical specifications per compute capability" of the guide, equal for 8.0 and 9.0.
THREADS_PER_WARP = 32
MOST_THREADS = 2048
MOST_BLOCKS = 32
REGISTERS = 65536
REGISTERS_PER_ALLOCATION = 256
"""Of a warp; they are handed out in such units."""


@dataclasses.dataclass(frozen=True)
class Target:
    """A GPU; "core" is NVIDIA's streaming multiprocessor."""

    architecture: str
    name: str
    """As the driver gives it; jax knows the GPU by it."""
    capability: tuple[int, int]
    cores: int
    float32_units: int
    """Of a core."""
    shared_memory: int
    """Bytes of a core."""
    shared_memory_of_block: int
    """Bytes that a block can ask for."""
    l2_cache: int
    memory: int
    bandwidth: int
    """Bytes a second."""
    clock_ghz: float

    def config(self) -> str:
        """XLA's GpuTargetConfigProto, as text."""
        major, minor = self.capability
        return f"""
            gpu_device_info {{
              threads_per_block_limit: 1024
              threads_per_warp: {THREADS_PER_WARP}
              threads_per_core_limit: {MOST_THREADS}
              block_dim_limit_x: 2147483647
              block_dim_limit_y: 65535
              block_dim_limit_z: 65535
              registers_per_core_limit: {REGISTERS}
              registers_per_block_limit: {REGISTERS}
              shared_memory_per_block: 49152
              shared_memory_per_block_optin: {self.shared_memory_of_block}
              shared_memory_per_core: {self.shared_memory}
              core_count: {self.cores}
              fpus_per_core: {self.float32_units}
              l2_cache_size: {self.l2_cache}
              device_memory_size: {self.memory}
              memory_bandwidth: {self.bandwidth}
              clock_rate_ghz: {self.clock_ghz}
              cuda_compute_capability {{ major: {major} minor: {minor} }}
            }}
            platform_name: "CUDA"
            dnn_version_info {{ major: 9 minor: 10 }}
            device_description_str: "{self.name}"
        """


# Cores, units, L2 and clock: NVIDIA's white papers on the A100 (2020, tables 1 and 4) and the H100
# (2022, table 1), whose chip the H200 has. Memory: data sheets "A100 80GB SXM" and "H200 SXM".
# Shared memory: the guide's specifications per compute capability.
TARGETS = {
    "sm80": Target(
        architecture="sm80",
        name="NVIDIA A100-SXM4-80GB",
        capability=(8, 0),
        cores=108,
        float32_units=64,
        shared_memory=164 * 1024,
        shared_memory_of_block=163 * 1024,
        l2_cache=40 * 1024**2,
        memory=80 * 10**9,
        bandwidth=2039 * 10**9,
        clock_ghz=1.41,
    ),
    "sm90": Target(
        architecture="sm90",
        name="NVIDIA H200",
        capability=(9, 0),
        cores=132,
        float32_units=128,
        shared_memory=228 * 1024,
        shared_memory_of_block=227 * 1024,
        l2_cache=50 * 1024**2,
        memory=141 * 10**9,
        bandwidth=4800 * 10**9,
        clock_ghz=1.98,
    ),
}

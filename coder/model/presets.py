# SPDX-License-Identifier: Apache-2.0
"""Model shapes by name: those of the experiments, and the published ones."""

from coder.config import ModelConfig

PRESETS: dict[str, ModelConfig] = {
    # 1.06 M parameters without the token tables: what CPU cores train in minutes.
    "tiny": ModelConfig(
        d_model=128, num_layers=5, num_heads=2, num_kv_heads=2, head_dim=64, d_ff=384
    ),
    # 50 M without the token tables: one GPU, minutes.
    "gpu": ModelConfig(
        vocab_size=16384,
        d_model=640,
        num_layers=10,
        num_heads=10,
        num_kv_heads=10,
        head_dim=64,
        d_ff=1728,
    ),
    # DeepSeek-Coder v1 1.3B (paper, table 2).
    "deepseek_coder_1_3b": ModelConfig(
        vocab_size=32256,
        d_model=2048,
        num_layers=24,
        num_heads=16,
        num_kv_heads=16,
        head_dim=128,
        d_ff=5504,
        init_std=0.006,
    ),
}

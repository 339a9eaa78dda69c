# SPDX-License-Identifier: Apache-2.0
"""Model shapes by name: those of the experiments, and the published ones.

    python -m coder presets

Where a paper and the released config.json differ, the latter decides. What config.json does not say
(initial weights, balance, capacity) is the papers'.
"""

import dataclasses

from coder.config import MlaConfig, ModelConfig, MoeConfig, RopeScaling

_TINY = ModelConfig(d_model=128, num_layers=5, num_heads=2, num_kv_heads=2, head_dim=64, d_ff=384)

# v1 was trained on 4K tokens, then on 16K with positions divided by 4 (section 3.3).
_V1 = ModelConfig(
    vocab_size=32256,
    head_dim=128,
    rope_scaling=RopeScaling(kind="linear", factor=4.0),
    max_positions=16384,
    init_std=0.006,
)

# head_dim is that of the rotated key, as transformers writes it, and num_kv_heads is num_heads.
_TINY_LITE = dataclasses.replace(
    _TINY,
    num_heads=4,
    num_kv_heads=4,
    head_dim=16,
    rope_theta=10_000.0,
    mla=MlaConfig(kv_lora_rank=64, qk_nope_head_dim=32, qk_rope_head_dim=16, v_head_dim=32),
    moe=MoeConfig(num_experts=8, num_shared_experts=2, experts_per_token=2, d_expert=96),
)

# Both V2: 4K tokens extended to 160K, of which 128K are used. The temperature of mscale is in the
# scale of the softmax (mscale_all_dim), and in the rotation it cancels out.
_V2 = ModelConfig(
    vocab_size=102400,
    rope_theta=10_000.0,
    rope_scaling=RopeScaling(kind="yarn", factor=40.0, mscale=0.707, mscale_all_dim=0.707),
    max_positions=163840,
    init_std=0.006,
    head_dim=64,
    mla=MlaConfig(kv_lora_rank=512),
)

PRESETS: dict[str, ModelConfig] = {
    # 1.06 M parameters without the token tables: what CPU cores train in minutes.
    "tiny": _TINY,
    # The same with fewer keys and values than queries: the kinds of v1 33B and 5.7B.
    "tiny_gqa": dataclasses.replace(_TINY, num_heads=4, head_dim=32),
    "tiny_mqa": dataclasses.replace(_TINY, num_kv_heads=1),
    # With latents and experts, of whose parameters 1.1 M see a token: the kinds of both V2.
    "tiny_v2_lite": _TINY_LITE,
    "tiny_v2": dataclasses.replace(
        _TINY_LITE,
        mla=dataclasses.replace(_TINY_LITE.mla, q_lora_rank=96),
        moe=dataclasses.replace(
            _TINY_LITE.moe,
            num_experts=16,
            routing="group_limited_greedy",
            num_groups=8,
            groups_per_token=3,
            device_balance=0.05,
            communication_balance=0.02,
            capacity_factor=1.0,
        ),
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
    # DeepSeek-Coder v1 (paper, table 2).
    "deepseek_coder_1_3b": dataclasses.replace(
        _V1, d_model=2048, num_layers=24, num_heads=16, num_kv_heads=16, d_ff=5504
    ),
    "deepseek_coder_5_7b_mqa": dataclasses.replace(
        _V1, d_model=4096, num_layers=32, num_heads=32, num_kv_heads=1, d_ff=11008
    ),
    "deepseek_coder_6_7b": dataclasses.replace(
        _V1, d_model=4096, num_layers=32, num_heads=32, num_kv_heads=32, d_ff=11008
    ),
    "deepseek_coder_33b": dataclasses.replace(
        _V1, d_model=7168, num_layers=62, num_heads=56, num_kv_heads=8, d_ff=19200
    ),
    # v1.5 goes on from DeepSeek-LLM 7B (section 5): its tokenizer, its RoPE, 4K tokens.
    "deepseek_coder_7b_v1_5": ModelConfig(
        vocab_size=102400,
        d_model=4096,
        num_layers=30,
        num_heads=32,
        num_kv_heads=32,
        head_dim=128,
        d_ff=11008,
        rope_theta=10_000.0,
        max_positions=4096,
        init_std=0.006,
    ),
    # Coder-V2-Lite has the shape of V2-Lite (V2, appendix B): no queries' latent, and all experts
    # on one device, so that there is nothing to balance between devices and nothing to drop.
    "deepseek_coder_v2_lite": dataclasses.replace(
        _V2,
        d_model=2048,
        num_layers=27,
        num_heads=16,
        num_kv_heads=16,
        d_ff=10944,
        moe=MoeConfig(num_experts=64, num_shared_experts=2, experts_per_token=6, d_expert=1408),
    ),
    # Coder-V2 has the shape of V2 (V2, section 3.1.2). Its paper has an expert_balance of 0.003 and
    # V2's temperature of 0.707 where config.json has 0.001 and 1. The devices' balance and capacity
    # are those that V2 was trained with: training from this preset drops tokens as V2's did, which
    # concerns nothing but training. A model that is imported for another use has neither.
    "deepseek_coder_v2": dataclasses.replace(
        _V2,
        d_model=5120,
        num_layers=60,
        num_heads=128,
        num_kv_heads=128,
        d_ff=12288,
        rope_scaling=dataclasses.replace(_V2.rope_scaling, mscale=1.0, mscale_all_dim=1.0),
        mla=dataclasses.replace(_V2.mla, q_lora_rank=1536),
        moe=MoeConfig(
            num_experts=160,
            num_shared_experts=2,
            experts_per_token=6,
            d_expert=1536,
            routing="group_limited_greedy",
            num_groups=8,
            groups_per_token=3,
            routed_scaling_factor=16.0,
            device_balance=0.05,
            communication_balance=0.02,
            capacity_factor=1.0,
        ),
    ),
}

# SPDX-License-Identifier: Apache-2.0
"""The cases of the benchmark, those with a bar first."""

from kernels._bench import attention_cases, decode_cases, grouped_cases
from kernels._bench.cases import Case

_GQA, _MHA, _LITE = (32, 8), (32, 32), (16, 16)

ATTENTION = {
    "attention_d128_gqa_t4096": attention_cases.Shape(4, *_GQA, 4096),
    "packed_d128_gqa_t16384": attention_cases.Shape(2, *_GQA, 16384, documents=2000),
    "mla_t4096": attention_cases.Shape(4, *_LITE, 4096, (128, 64, 128)),
}
# Without XLA, whose eight blocks of queries take long to compile.
FURTHER_ATTENTION = {
    "attention_d128_gqa_t8192": attention_cases.Shape(2, *_GQA, 8192),
    "attention_d128_mha_t4096": attention_cases.Shape(4, *_MHA, 4096),
    "attention_d128_mha_t8192": attention_cases.Shape(2, *_MHA, 8192),
    "attention_d64_gqa_t4096": attention_cases.Shape(4, *_GQA, 4096, (64, 0, 64)),
    "attention_d256_mha_t4096": attention_cases.Shape(4, 16, 16, 4096, (256, 0, 256)),
}

_MLA, _D128 = (512, 64, 512), (128, 0, 128)
DECODE = {
    f"decode_{name}_b{batch}_s{places}": decode_cases.Shape(batch, *heads, places, widths)
    for name, heads, widths in (("mla", (16, 1), _MLA), ("gqa", _GQA, _D128))
    for batch, places in ((64, 4096), (8, 32768), (32, 16384), (8, 4096))
}

# Six experts a token: 16384 tokens of V2-Lite, 8192 of V2.
GROUPED = {
    "grouped_64_2048x1408": grouped_cases.Shape(98304, 64, 2048, 1408),
    "grouped_64_1408x2048": grouped_cases.Shape(98304, 64, 1408, 2048),
    "grouped_160_5120x1536": grouped_cases.Shape(49152, 160, 5120, 1536),
    "grouped_160_1536x5120": grouped_cases.Shape(49152, 160, 1536, 5120),
}
# With XLA, whose ragged product multiplies every row by every matrix.
GROUPED_SMALL = {"grouped_small_64_2048x1408": grouped_cases.Shape(8192, 64, 2048, 1408)}


def cases() -> tuple[Case, ...]:
    """All of them."""
    passes = (False, True)
    attention, grouped = attention_cases.case, grouped_cases.case
    return (
        *(attention(*item, passed) for item in ATTENTION.items() for passed in passes),
        *(decode_cases.case(*item) for item in DECODE.items()),
        *(grouped(*item, passed, with_xla=False) for item in GROUPED.items() for passed in passes),
        *(
            attention(*item, passed, with_xla=False)
            for item in FURTHER_ATTENTION.items()
            for passed in passes
        ),
        *(grouped(*item, passed) for item in GROUPED_SMALL.items() for passed in passes),
    )

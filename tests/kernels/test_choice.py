# SPDX-License-Identifier: Apache-2.0
"""Which implementation serves where none is named, by the tile table as it is."""

import jax.numpy as jnp
import pytest

from kernels._attention import choice as attention_choice
from kernels._attention.operands import Operands
from kernels._decode import choice as decode_choice
from kernels._decode.operands import Operands as DecodeOperands
from kernels._grouped_matmul import choice as grouped_choice
from tests.kernels.test_target import compiling_for

A100, H200, B200 = "NVIDIA A100-SXM4-80GB", "NVIDIA H200", "NVIDIA B200"
TRITON, MOSAIC = "pallas_triton", "pallas_mosaic"
LATENT = (128, 64, 128)


def attention_operands(widths: tuple[int, int, int], dtype: str) -> Operands:
    head_dim, rope, value_dim = widths
    heads = [jnp.zeros((1, 2, 4, width), dtype) for width in (head_dim, head_dim, value_dim)]
    rotated = [jnp.zeros(shape, dtype) for shape in ((1, 2, 4, rope), (1, 4, rope))]
    return Operands(*heads, *(rotated if rope else []))


@pytest.mark.parametrize(
    ("kind", "widths", "dtype", "name"),
    [
        *((A100, (width, 0, width), "bfloat16", TRITON) for width in (64, 128, 256)),
        *((A100, (width, 0, width), "float32", TRITON) for width in (64, 128, 256)),
        (A100, LATENT, "bfloat16", TRITON),
        (A100, LATENT, "float32", TRITON),
        (A100, (80, 0, 80), "bfloat16", "xla"),
        (A100, (128, 0, 128), "float16", "xla"),
        *((H200, (width, 0, width), "bfloat16", MOSAIC) for width in (64, 128)),
        (H200, (256, 0, 256), "bfloat16", TRITON),
        *((H200, (width, 0, width), "float32", TRITON) for width in (64, 128, 256)),
        (H200, LATENT, "bfloat16", MOSAIC),
        (H200, LATENT, "float32", TRITON),
        (H200, (128, 0, 64), "bfloat16", "xla"),
        (B200, (128, 0, 128), "bfloat16", "xla"),
        ("Tesla T4", (128, 0, 128), "bfloat16", "xla"),
    ],
)
def test_attention(kind: str, widths: tuple[int, int, int], dtype: str, name: str):
    operands = attention_operands(widths, dtype)
    with compiling_for(kind):
        assert attention_choice.pick(operands) == name


@pytest.mark.parametrize("kind", [A100, H200])
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize("widths", [(64, 0, 64), (128, 0, 128), (256, 0, 256), (512, 64, 512)])
def test_decoding(kind: str, dtype: str, widths: tuple[int, int, int]):
    width, rope, _ = widths
    rotated = (jnp.zeros((1, 2, rope), dtype), jnp.zeros((1, 4, rope), dtype)) if rope else ()
    keys = jnp.zeros((1, 1, 4, width), dtype)
    values = None if rope else keys
    operands = DecodeOperands(jnp.zeros((1, 2, width), dtype), keys, values, *rotated)
    with compiling_for(kind):
        assert decode_choice.pick(operands) == TRITON


@pytest.mark.parametrize(
    ("kind", "dtype", "name"),
    [
        (A100, "bfloat16", TRITON),
        (A100, "float32", TRITON),
        (H200, "bfloat16", MOSAIC),
        (H200, "float32", TRITON),
        (H200, "float16", "xla"),
        (B200, "bfloat16", "xla"),
    ],
)
def test_grouped_products(kind: str, dtype: str, name: str):
    x_TI = jnp.zeros((4, 8), dtype)
    with compiling_for(kind):
        assert grouped_choice.pick(x_TI) == name


def test_a_cpu_takes_no_kernel_of_a_gpu():
    assert attention_choice.pick(attention_operands(LATENT, "bfloat16")) == "xla"
    assert grouped_choice.pick(jnp.zeros((4, 8), "bfloat16")) == "blocks"

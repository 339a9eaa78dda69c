# SPDX-License-Identifier: Apache-2.0
"""What cuDNN is asked to do, and what it is not: without a GPU, with the reference in its place."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernels._attention import cudnn, reference
from kernels._attention.operands import Operands
from kernels.attention import attention_and_logsumexp
from tests.kernels.test_attention import draw

QUERY, KEY, VALUE, SEGMENTS, TOWARDS = draw(0, batch=2, heads=4, kv_heads=2, length=24, width=16)


@pytest.fixture
def on_hopper(monkeypatch: pytest.MonkeyPatch) -> None:
    def stand_in(*arrays_BTNH, scale: float, **settings):
        asked = {"is_causal": True, "implementation": "cudnn", "return_residual": True}
        assert settings == asked
        operands = Operands(*(x_BTNH.swapaxes(1, 2) for x_BTNH in arrays_BTNH))
        out_BNTH, logsumexp_BNT = reference.attention(operands, None, scale)
        return out_BNTH.swapaxes(1, 2), logsumexp_BNT.swapaxes(1, 2).astype(out_BNTH.dtype)

    monkeypatch.setattr(jax.nn, "dot_product_attention", stand_in)
    monkeypatch.setattr(cudnn, "architecture", lambda: "sm90")


def gradients(implementation: str, with_logarithms: bool = False):
    """A loss of the output, or of both results, and its slopes; operands are bfloat16."""

    def loss(*arrays: jax.Array) -> jax.Array:
        out, logsumexp = attention_and_logsumexp(*arrays, scale=0.3, implementation=implementation)
        assert out.dtype == jnp.bfloat16 and logsumexp.dtype == jnp.float32
        return jnp.sum(out * TOWARDS) + (jnp.sum(logsumexp) if with_logarithms else 0)

    halves = (x.astype(jnp.bfloat16) for x in (QUERY, KEY, VALUE))
    return jax.jit(jax.value_and_grad(loss, (0, 1, 2)))(*halves)


@pytest.mark.usefixtures("on_hopper")
def test_arrays_come_as_it_wants_them():
    found, expected = gradients("cudnn"), gradients("reference")
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        difference = np.float32(one) - np.float32(other)
        assert np.linalg.norm(difference) < 0.02 * np.linalg.norm(np.float32(other))


@pytest.mark.usefixtures("on_hopper")
def test_logarithms_are_right_and_their_gradient_is_refused():
    halves = [x.astype(jnp.bfloat16) for x in (QUERY, KEY, VALUE)]
    found, expected = (
        attention_and_logsumexp(*halves, implementation=name)[1] for name in ("cudnn", "reference")
    )
    np.testing.assert_allclose(found, expected, rtol=2**-8)
    with pytest.raises(ValueError, match="'cudnn' gives no gradient of the logarithms"):
        gradients("cudnn", with_logarithms=True)


def drawn(dtype: str = "bfloat16", widths: tuple[int, int] = (64, 64), rope: int = 0) -> Operands:
    zeros = partial(jnp.zeros, dtype=dtype)
    width, value_width = widths
    operands = zeros((2, 4, 8, width)), zeros((2, 2, 8, width)), zeros((2, 2, 8, value_width))
    return Operands(*operands, *([zeros((2, 4, 8, rope)), zeros((2, 8, rope))] if rope else []))


@pytest.mark.parametrize(
    ("architecture", "operands", "message"),
    [
        ("cpu", drawn(), "needs an NVIDIA GPU, A100 or later; this is compiled for cpu"),
        ("sm75", drawn(), "needs an NVIDIA GPU, A100 or later; this is compiled for sm75"),
        ("sm90", drawn("float32"), "has no attention of float32, only of bfloat16 and float16"),
        ("sm90", drawn(rope=16), "has no further columns q_rope_BNTP and k_rope_BTP"),
        ("sm90", drawn(widths=(64, 32)), "values as wide as keys; v_BKTW has 32 and k_BKTH 64"),
        ("sm80", drawn(widths=(256, 256)), "that 8 divides, at most 128; q_BNTH has 256"),
        ("sm90", drawn(widths=(60, 60)), "that 8 divides, at most 256; q_BNTH has 60"),
    ],
)
def test_what_it_cannot_do_is_refused(monkeypatch, architecture, operands, message):
    monkeypatch.setattr(cudnn, "architecture", lambda: architecture)
    with pytest.raises(ValueError, match=f"implementation='cudnn' .*{message}"):
        cudnn.attention(operands, None, 1.0)


@pytest.mark.usefixtures("on_hopper")
def test_documents_are_refused():
    with pytest.raises(ValueError, match="knows no documents: leave segment_ids away"):
        attention_and_logsumexp(QUERY, KEY, VALUE, segment_ids=SEGMENTS, implementation="cudnn")

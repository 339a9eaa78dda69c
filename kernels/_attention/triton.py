# SPDX-License-Identifier: Apache-2.0
"""Attention in Triton, for Ampere and later."""

from kernels._attention import triton_backward, triton_forward


class _Triton:
    name = "pallas_triton"
    forward = staticmethod(triton_forward.forward)
    backward_q = staticmethod(triton_backward.backward_q)
    backward_kv = staticmethod(triton_backward.backward_kv)


BACKEND = _Triton()

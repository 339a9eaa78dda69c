# SPDX-License-Identifier: Apache-2.0
"""The decoders: Flax NNX modules as plain pytrees, to which only jax's own transforms are applied.

Letters of array names: B batch, T position (S where a second one is needed), D model width, N query
heads, K key and value heads, H head width, Q = N * H (K also for K * H), F inner width of the MLP,
V vocabulary, L layers, I and O what goes into a matrix and what comes out.
"""

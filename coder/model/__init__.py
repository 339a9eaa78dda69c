# SPDX-License-Identifier: Apache-2.0
"""The decoders, as Flax NNX modules that are plain pytrees: only jax's own transforms are applied to them.

Letters of array names: B batch, T position (S where a second one is needed), D model width, N query heads, K key
and value heads, H head width, F inner width of the MLP, V vocabulary, L layers.
"""

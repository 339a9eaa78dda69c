# SPDX-License-Identifier: Apache-2.0
"""DeepSeek-Coder in JAX: data functions, model, training, evaluation."""

# SPDX-License-Identifier: Apache-2.0
"""Implementations of `kernels.decode`; private."""

# SPDX-License-Identifier: Apache-2.0
"""Beam pipelines: `corpus`, repositories to documents; `examples`, documents to packed examples."""

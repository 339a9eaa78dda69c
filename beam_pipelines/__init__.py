# SPDX-License-Identifier: Apache-2.0
"""Beam pipelines: repositories to documents (`corpus`), documents to packed examples (`examples`)."""

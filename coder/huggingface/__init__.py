# SPDX-License-Identifier: Apache-2.0
"""Models in Hugging Face's layout, in and out."""

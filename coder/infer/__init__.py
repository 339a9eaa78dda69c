# SPDX-License-Identifier: Apache-2.0
"""Using a trained model: reading a run, decoding, filling in a middle."""

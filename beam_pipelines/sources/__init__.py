# SPDX-License-Identifier: Apache-2.0
"""Where repositories come from: one module for each kind of place."""

# SPDX-License-Identifier: Apache-2.0
"""The paper's ablations, one module each, and the runner that trains, measures and judges them."""

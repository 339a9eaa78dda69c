# SPDX-License-Identifier: Apache-2.0
"""Training: a step as a pure function, the loop around it, and the folder of a run."""

# SPDX-License-Identifier: Apache-2.0
"""Behind `experiments.run`: which jobs there are, running them, showing how far they are."""

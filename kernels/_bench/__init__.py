# SPDX-License-Identifier: Apache-2.0
"""What `kernels.bench` measures, and how; private."""

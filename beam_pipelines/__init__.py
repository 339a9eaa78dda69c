# SPDX-License-Identifier: Apache-2.0
"""Beam pipelines: `corpus`, repositories to documents; `examples`, documents to packed examples."""

import logging

# Importing Beam logs a warning about BigQuery clients that nothing here uses.
logging.getLogger().addFilter(lambda record: "apitools not found" not in str(record.msg))

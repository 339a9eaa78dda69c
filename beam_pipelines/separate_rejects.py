# SPDX-License-Identifier: Apache-2.0
"""Stages yield results and rejects together, as plain functions do; this tells them apart."""

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import PCollection, TaggedOutput

from coder.data.records import Reject

KEPT, REJECTS = "kept", "rejects"


class SeparateRejects(beam.PTransform):
    """A collection that holds results and `Reject`s, as `.kept` and `.rejects`."""

    def expand(self, mixed: PCollection):
        """Adds the step to the graph."""
        # Any: Beam would infer that the results may be rejects.
        tagged = beam.FlatMap(tag).with_output_types(Any)
        return mixed | tagged.with_outputs(REJECTS, main=KEPT)


def tag(element: Any) -> Iterator[Any]:
    """The element, addressed to the rejects if it is one."""
    yield TaggedOutput(REJECTS, element) if isinstance(element, Reject) else element

# SPDX-License-Identifier: Apache-2.0
"""Stages yield results, rejects and counts together, as plain functions do; this tells them apart.

By filters, not by Beam's tagged outputs: `DaskRunner` of Beam 2.77 gives each of these the elements
of all. Runners fuse the three filters with the step before them, which runs once.

Counts travel as data, not as Beam's metrics, which a runner that repeats a bundle may add twice.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.pvalue import PCollection

from coder.data.records import Reject


@dataclass(frozen=True)
class Count:
    """Something a stage has counted, for the manifest."""

    name: str
    number: int


class Outputs(NamedTuple):
    """What a stage yields, by kind: `PCollection`s, which to Beam's annotations may be anything."""

    kept: Any
    rejects: Any
    counts: Any


class SeparateOutputs(beam.PTransform):
    """A collection that holds results, `Reject`s and `Count`s, as `Outputs`."""

    def expand(self, mixed: PCollection):
        """Adds the step to the graph."""
        # Any: Beam would infer that the results may be rejects.
        kept = beam.Filter(lambda element: not isinstance(element, Reject | Count))
        return Outputs(
            mixed | "kept" >> kept.with_output_types(Any),
            mixed | "rejects" >> of_kind(Reject),
            mixed | "counts" >> of_kind(Count),
        )


def of_kind(kind: type) -> beam.PTransform:
    """Keeps the elements of a class."""
    return beam.Filter(lambda element: isinstance(element, kind)).with_output_types(kind)

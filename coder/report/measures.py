# SPDX-License-Identifier: Apache-2.0
"""What a report is made of, as data.

    Metric     one number of one run, from its eval.json: bits per byte of all span holes
    Contrast   a signed sum of metrics: prefix-only of `no_fim` minus infilling of `psm_50`
    Claim      contrasts that are all above zero if the paper's finding holds here too
    Layout     which of these a report prints, and in which order

An experiment declares a `Layout`; `coder.report.statistics` estimates it; nothing here computes.
"""

from dataclasses import dataclass, replace
from typing import Literal

OWN = ""
"""Variant of a term that stands for the row's own variant."""


@dataclass(frozen=True)
class Metric:
    """A sum over the items of one task, divided by their bytes or their number."""

    task: str
    """Key under `items` of eval.json."""
    column: str
    """Its numerator: nats or a 0/1 mark of every item."""
    unit: Literal["bits_per_byte", "nats_per_item", "share"] = "bits_per_byte"
    """bits_per_byte: sum of nats / ln 2 / sum of bytes; the others: sum / number of items."""
    tokens: tuple[int, int] | None = None
    """Only items whose hole has at least the first and at most the second number of tokens."""


@dataclass(frozen=True)
class Term:
    """One metric of one variant, with its weight in a contrast."""

    weight: float
    metric: Metric
    variant: str = OWN


@dataclass(frozen=True)
class Contrast:
    """A signed sum of metrics; all its terms are paired by seed and by item."""

    label: str
    terms: tuple[Term, ...]

    def of(self, variant: str) -> "Contrast":
        """The same contrast with `variant` in the place of `OWN`."""
        terms = tuple(replace(t, variant=t.variant or variant) for t in self.terms)
        return Contrast(self.label, terms)

    def within(self, tokens: tuple[int, int]) -> "Contrast":
        """The same contrast over the items whose hole has so many tokens."""
        terms = tuple(replace(t, metric=replace(t.metric, tokens=tokens)) for t in self.terms)
        return Contrast(self.label, terms)

    @property
    def variants(self) -> tuple[str, ...]:
        """The variants that take part, each once."""
        return tuple(dict.fromkeys(term.variant for term in self.terms))


@dataclass(frozen=True)
class Measure:
    """A row of the report's table: one contrast for every variant."""

    contrast: Contrast
    better: Literal["lower", "higher"]
    paper: str = "–"
    """What the paper prints for it."""

    @property
    def unit(self) -> str:
        """Unit of the number."""
        return self.contrast.terms[0].metric.unit.replace("_", " ")


@dataclass(frozen=True)
class Breakdown:
    """A second table: rows are contrasts of named variants, columns are hole lengths in tokens."""

    title: str
    rows: tuple[Contrast, ...]
    buckets: tuple[tuple[int, int], ...]
    """First and last number of tokens of each column."""


@dataclass(frozen=True)
class TradeOff:
    """A plot of what variants gain against what it costs, compared with one of them."""

    reference: str
    """The variant at the origin."""
    across: Contrast
    across_label: str
    up: tuple[Contrast, ...]
    """One panel each, titled by its label."""
    up_label: str


@dataclass(frozen=True)
class Claim:
    """A finding of the paper that this experiment can confirm or refute."""

    id: str
    statement: str
    paper: str
    """What the paper says, with section or figure."""
    components: tuple[Contrast, ...]
    """All above zero if the finding holds."""
    premises: tuple[Contrast, ...] = ()
    """Must be above zero for the claim to mean anything; else it is inconclusive."""
    caveat: str = ""
    """How the figure can mislead; printed with the verdict."""
    beside: tuple[Contrast, ...] = ()
    """Contrasts printed for comparison; they do not enter the verdict."""


@dataclass(frozen=True)
class Layout:
    """What a report shows."""

    measures: tuple[Measure, ...]
    claims: tuple[Claim, ...]
    breakdowns: tuple[Breakdown, ...] = ()
    trade_off: TradeOff | None = None
    notes: tuple[str, ...] = ()

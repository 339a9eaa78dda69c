# SPDX-License-Identifier: Apache-2.0
"""What the FIM ablation measures and claims: the rows of its report.

Bits per byte throughout, less is better. Infilling is compared with what the `no_fim` model makes
of the hole from its prefix alone: a variant's own prefix-only score flatters one that was never
trained left to right. Figure 3 of the paper is a plot without a table, so only directions can be
compared.
"""

from coder.report.measures import (
    OWN,
    Breakdown,
    Claim,
    Contrast,
    Layout,
    Measure,
    Metric,
    Term,
    TradeOff,
)

DIRECTION_ONLY = "figure 3, direction only"
HOLE_LENGTHS = ((1, 3), (4, 8), (9, 16), (17, 10_000))
"""Tokens of a hole; the T5 spans of `msp_50` have three on average."""

LEFT_TO_RIGHT = Metric("left_to_right", "nats")
IN_EMPTY_PSM = Metric("left_to_right", "nats_empty_psm")
LINE_INFILL = Metric("single_line", "nats_infill")
LINE_PREFIX = Metric("single_line", "nats_prefix")
LINE_EXACT = Metric("single_line", "exact", unit="share")
LINE_FIRST_TOKEN = Metric("single_line", "first_token_nats", unit="nats_per_item")
SPAN_INFILL = Metric("span", "nats_infill")
SPAN_PREFIX = Metric("span", "nats_prefix")
SPAN_FIRST_TOKEN = Metric("span", "first_token_nats", unit="nats_per_item")


def _own(label: str, metric: Metric) -> Contrast:
    """A metric of the row's own variant."""
    return Contrast(label, (Term(1, metric),))


def _gain(label: str, infill: Metric, prefix: Metric, reader: str, filler: str = OWN) -> Contrast:
    """Bits per byte that `filler` saves by infilling over `reader` given the prefix alone."""
    return Contrast(label, (Term(1, prefix, reader), Term(-1, infill, filler)))


def _excess(label: str, metric: Metric, worse: str, better: str) -> Contrast:
    """By how much `worse` exceeds `better` in a metric where less is better."""
    return Contrast(label, (Term(1, metric, worse), Term(-1, metric, better)))


def _minus_half(label: str, of_50: Contrast, of_100: Contrast, sign: int) -> Contrast:
    """`sign` times (the contrast of 50 % minus half of that of 100 %)."""
    terms = [Term(sign * t.weight, t.metric, t.variant) for t in of_50.terms]
    terms += [Term(-sign * t.weight / 2, t.metric, t.variant) for t in of_100.terms]
    return Contrast(label, tuple(terms))


def _by_length(title: str, infill: Metric, prefix: Metric) -> Breakdown:
    """Holes of each length, and the difference between the formats."""
    rows = [Contrast("no_fim, prefix only", (Term(1, prefix, "no_fim"),))]
    rows += [_own(f"{name}, infill", infill).of(name) for name in ("psm_50", "psm_100", "msp_50")]
    rows += [_excess("msp_50 minus psm_50", infill, "msp_50", "psm_50")]
    return Breakdown(title, tuple(rows), HOLE_LENGTHS)


SPAN_GAIN_50, SPAN_GAIN_100, LINE_GAIN_50 = (
    _gain(f"{filler} fills {holes} better than no_fim goes on", infill, prefix, "no_fim", filler)
    for filler, holes, infill, prefix in (
        ("psm_50", "spans", SPAN_INFILL, SPAN_PREFIX),
        ("psm_100", "spans", SPAN_INFILL, SPAN_PREFIX),
        ("psm_50", "lines", LINE_INFILL, LINE_PREFIX),
    )
)
COST_50, COST_100 = (
    _excess(f"{name} reads left to right worse than no_fim", LEFT_TO_RIGHT, name, "no_fim")
    for name in ("psm_50", "psm_100")
)

CLAIMS = (
    Claim(
        id="a_more_fim_infills_better",
        statement="More FIM gives better infilling, and 100 % PSM the best",
        paper="section 3.1.2: peak performance on HumanEval-FIM with a 100 % FIM rate",
        components=(
            SPAN_GAIN_50,
            LINE_GAIN_50,
            _excess("psm_100 fills spans better than psm_50", SPAN_INFILL, "psm_50", "psm_100"),
            _excess("psm_100 fills lines better than psm_50", LINE_INFILL, "psm_50", "psm_100"),
        ),
        caveat="A small model first has to learn where the prefix stopped: see the first token of "
        "the middle.",
    ),
    Claim(
        id="b_full_fim_costs_left_to_right",
        statement="100 % PSM costs left-to-right quality",
        paper="section 3.1.2: a 100 % FIM rate has the weakest code completion capability",
        components=(COST_100,),
        beside=(
            Contrast(
                "the same, psm_100 reading in an empty PSM frame",
                (Term(1, IN_EMPTY_PSM, "psm_100"), Term(-1, LEFT_TO_RIGHT, "no_fim")),
            ),
        ),
        caveat="psm_100 has never seen a plain document. In the frame it was trained in, with "
        "empty prefix and suffix, most of this cost can vanish: read both lines.",
    ),
    Claim(
        id="c_half_fim_is_the_better_trade",
        statement="50 % PSM keeps at least half of 100 %'s infilling gain at no more than half of "
        "its left-to-right cost",
        paper="section 3.1.2: 50 % PSM is chosen as the balance of infilling and completion",
        components=(
            _minus_half(
                "span gain of psm_50 over half of psm_100's", SPAN_GAIN_50, SPAN_GAIN_100, 1
            ),
            _minus_half("cost of psm_50 under half of psm_100's", COST_50, COST_100, -1),
        ),
        premises=(SPAN_GAIN_100, COST_100),
        caveat="It means something only where 100 % PSM has both a gain and a cost.",
    ),
    Claim(
        id="d_psm_beats_msp",
        statement="50 % PSM infills better than 50 % MSP",
        paper="section 3.1.2: with a 50 % PSM rate, the model outperforms the MSP strategy",
        components=(
            _excess("psm_50 fills spans better than msp_50", SPAN_INFILL, "msp_50", "psm_50"),
            _excess("psm_50 fills lines better than msp_50", LINE_INFILL, "msp_50", "psm_50"),
        ),
        caveat="msp_50 was trained on spans of three tokens and is asked for longer holes: compare "
        "the shortest ones.",
    ),
)

LAYOUT = Layout(
    measures=(
        Measure(_own("left to right", LEFT_TO_RIGHT), "lower", DIRECTION_ONLY),
        Measure(_own("… in empty PSM frame", IN_EMPTY_PSM), "lower"),
        Measure(_own("line infill", LINE_INFILL), "lower", DIRECTION_ONLY),
        Measure(_own("line, prefix only", LINE_PREFIX), "lower"),
        Measure(_gain("line gain on itself", LINE_INFILL, LINE_PREFIX, OWN), "higher"),
        Measure(_gain("line gain on no_fim", LINE_INFILL, LINE_PREFIX, "no_fim"), "higher"),
        Measure(_own("line exact match", LINE_EXACT), "higher", DIRECTION_ONLY),
        Measure(_own("line, first token", LINE_FIRST_TOKEN), "lower"),
        Measure(_own("span infill", SPAN_INFILL), "lower"),
        Measure(_own("span, prefix only", SPAN_PREFIX), "lower"),
        Measure(_gain("span gain on itself", SPAN_INFILL, SPAN_PREFIX, OWN), "higher"),
        Measure(_gain("span gain on no_fim", SPAN_INFILL, SPAN_PREFIX, "no_fim"), "higher"),
        Measure(_own("span, first token", SPAN_FIRST_TOKEN), "lower"),
    ),
    claims=CLAIMS,
    breakdowns=(
        _by_length("Spans by length", SPAN_INFILL, SPAN_PREFIX),
        _by_length("Lines by length", LINE_INFILL, LINE_PREFIX),
    ),
    trade_off=TradeOff(
        reference="no_fim",
        across=_excess("cost", LEFT_TO_RIGHT, OWN, "no_fim"),
        across_label="left-to-right cost (bits per byte over no_fim)",
        up=(
            _gain("Spans", SPAN_INFILL, SPAN_PREFIX, "no_fim"),
            _gain("Lines", LINE_INFILL, LINE_PREFIX, "no_fim"),
        ),
        up_label="infilling gain\n(bits per byte under no_fim given the prefix alone)",
    ),
    notes=(
        "A gain is what infilling saves over the prefix alone, read by the variant itself or by "
        "no_fim. The paper measures pass rates of a 1.3B model on HumanEval and HumanEval-FIM; "
        "models of this size pass no test, so the same directions are read from bits per byte.",
    ),
)

# SPDX-License-Identifier: Apache-2.0
"""How fast is fast enough, on an H200."""

import dataclasses
import re

DEVICE = "H200"
"""Part of the name of the device that the bars are for."""


@dataclasses.dataclass(frozen=True)
class Bar:
    """What is asked of the cases whose whole name matches; each pair: to pass, to be ahead."""

    title: str
    cases: str
    share: tuple[float, float] | None = None
    """Of the measured peak of products or of copies."""
    ratios: dict[str, tuple[float, float]] = dataclasses.field(default_factory=dict)
    """Times as fast as an alternative, where that one runs."""


BARS = (
    Bar(
        "attention forward, D128, causal",
        r"attention_d128_.*_forward",
        (0.70, 0.80),
        {"cudnn": (0.9, 1.0), "tokamax": (1.0, 1.0)},
    ),
    Bar(
        "attention backward, D128, causal",
        r"attention_d128_.*_backward",
        (0.50, 0.65),
        {"cudnn": (0.9, 1.0), "tokamax": (1.0, 1.0)},
    ),
    Bar("packed documents, T 16k, mean 2k", r"packed_.*", ratios={"dense": (2.0, 3.0)}),
    Bar("MLA 192/128 forward", r"mla_.*_forward", (0.62, 0.72)),
    Bar("MLA 192/128 backward", r"mla_.*_backward", (0.45, 0.58)),
    Bar("MLA decode, V2-Lite", r"decode_mla_.*", (0.75, 0.85)),
    Bar("grouped matmul, 64 experts, forward", r"grouped_64_.*_forward", (0.55, 0.70)),
    Bar("grouped matmul, 64 experts, both gradients", r"grouped_64_.*_backward", (0.50, 0.65)),
)


def bar_of(case: str) -> Bar | None:
    """What is asked of a case, if anything is."""
    return next((bar for bar in BARS if re.fullmatch(bar.cases, case)), None)


def verdict(case: str, share: float, ratios: dict[str, float]) -> str:
    """`ahead`, `pass`, or `missed` with what is missing; empty where nothing is asked."""
    bar = bar_of(case)
    if bar is None:
        return ""
    asked: list[tuple[str, float, tuple[float, float]]] = []
    if bar.share is not None:
        asked.append(("of peak", share, bar.share))
    asked += [
        (f"x {name}", ratios[name], pair) for name, pair in bar.ratios.items() if name in ratios
    ]
    missing = [
        f"{found:.2f} {what} < {least}" for what, found, (least, _) in asked if found < least
    ]
    if missing or not asked:
        return "missed: " + (", ".join(missing) or "nothing to compare with")
    return "ahead" if all(found >= ahead for _, found, (_, ahead) in asked) else "pass"


def is_judged(device: str) -> bool:
    """Whether the bars are for this device."""
    return DEVICE in device

# SPDX-License-Identifier: Apache-2.0
"""Figures and file names as reports and cards write them, in Markdown."""


def size(number: float) -> str:
    """Bytes as `12.3 MB`."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if number < 999.5 or unit == "TB":
            break
        number /= 1000
    return f"{number:.0f} B" if unit == "B" else f"{number:.3g} {unit}"


def power(value: int, unit: str = "") -> str:
    """A power of two, or 0, as `4`, `16 Ki` or `1 MiB`."""
    scale = max(0, (value.bit_length() - 1) // 10)
    return f"{value >> 10 * scale} {('', 'Ki', 'Mi', 'Gi', 'Ti')[scale]}{unit}".strip()


def percent(part: float, whole: float, digits: int = 1) -> str:
    """A share as `12.3 %`; one too small for its digits as `< 0.1 %`."""
    share = 100 * part / max(whole, 1)
    if 0 < share < 0.5 * 10**-digits:
        return f"< {10**-digits:.{digits}f} %"
    return f"{share:.{digits}f} %"


def code(text: str) -> str:
    """Text as Markdown code, whatever it holds."""
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def plain(text: str) -> str:
    """Text as it is, where Markdown would see marks in it."""
    return "".join(f"\\{letter}" if letter in "\\`*_[]<>#|" else letter for letter in text)

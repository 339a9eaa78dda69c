# SPDX-License-Identifier: Apache-2.0
"""The measurements of a run on held-out windows and holes: the columns of eval.json.

Of each item:

* `nats`: a window, left to right, in the plain frame `<bos>text`.
* `nats_empty_psm`: the same window after an empty prefix and suffix, `<bos><begin><hole><end>text`:
  the frame of a model that was trained on nothing but infilling and has never seen the plain one.
* `nats_infill`: the middle of a hole given its prefix and suffix in the format the run was trained
  on.
* `nats_prefix`: the same middle given the prefix alone, in the plain frame `<bos>prefix middle`.
  The model without infilling gives the baseline: the others may be bad at the plain frame, which
  would flatter their infilling.
* `exact`: whether greedy decoding gives the middle and then ends. The argmax at every token of the
  true middle and at the end token says the same without decoding, since greedy decoding that agrees
  so far has the same context.
* `first_token_nats`: the part of `nats_infill` for the first token, where the model has to find out
  in which context it continues.

Nats are sums over the tokens of the text in question alone, neither sentinels nor the end token;
bytes are those of that text in UTF-8. Bits per byte = sum of nats / ln 2 / sum of bytes.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from coder.config import RunConfig
from coder.data import fim
from coder.data.tokenizer import Tokenizer
from coder.eval.holes import Hole, Items, Window
from coder.eval.score import Answer, Query, score
from coder.infer.prompt import Format, infill_prompt, trained_format
from coder.model.transformer import Decoder

Columns = dict[str, Any]
Ask = Callable[[list[Query]], list[Answer]]


def evaluate(
    model: Decoder, tokenizer: Tokenizer, run: RunConfig, items: Items
) -> dict[str, Columns]:
    """Scores every item; the columns of eval.json, a row per item.

    Columns that need a format the run was not trained on hold null.
    """
    form = trained_format(run.data)

    def ask(queries: list[Query]) -> list[Answer]:
        return score(model, queries, run.eval.batch_size, run.data.sequence_length)

    return {
        "left_to_right": _left_to_right(ask, tokenizer, items.left_to_right, form),
        "single_line": _infilling(ask, tokenizer, items.single_line, form),
        "span": _infilling(ask, tokenizer, items.span, form),
    }


def _left_to_right(
    ask: Ask, tokenizer: Tokenizer, windows: Sequence[Window], form: Format | None
) -> Columns:
    """Columns of the windows; `psm` and `spm` share their empty frame, and `msp` has none."""
    plain = ask([Query((tokenizer.bos,), window.ids) for window in windows])
    empty_psm = None
    if form in ("psm", "spm"):
        frame = tuple(fim.prompt_ids(tokenizer, [], [], "psm"))
        empty_psm = [
            _sum(answer.nats) for answer in ask([Query(frame, window.ids) for window in windows])
        ]
    return {
        "repository": [window.source.repository for window in windows],
        "id": [window.id for window in windows],
        "bytes": [len(window.text.encode()) for window in windows],
        "nats": [_sum(answer.nats) for answer in plain],
        "nats_empty_psm": empty_psm,
    }


def _infilling(
    ask: Ask, tokenizer: Tokenizer, holes: Sequence[Hole], form: Format | None
) -> Columns:
    """Columns of the holes."""
    prefix_only = ask([Query((tokenizer.bos, *hole.prefix_ids), hole.middle_ids) for hole in holes])
    columns: Columns = {
        "repository": [hole.repository for hole in holes],
        "id": [hole.id for hole in holes],
        "bytes": [len(hole.middle.encode()) for hole in holes],
        "tokens": [len(hole.middle_ids) for hole in holes],
        "nats_prefix": [_sum(answer.nats) for answer in prefix_only],
        "nats_infill": None,
        "exact": None,
        "first_token_nats": None,
    }
    if form:
        queries = []
        for hole in holes:
            prompt = infill_prompt(tokenizer, hole.prefix_ids, hole.suffix_ids, form)
            queries.append(Query(tuple(prompt), (*hole.middle_ids, tokenizer.eos)))
        filled = ask(queries)
        columns["nats_infill"] = [_sum(answer.nats[:-1]) for answer in filled]
        columns["exact"] = [int(answer.likeliest.all()) for answer in filled]
        columns["first_token_nats"] = [_sum(answer.nats[:1]) for answer in filled]
    return columns


def _sum(nats: np.ndarray) -> float:
    """Their sum, rounded so that eval.json stays readable; float32 is no better."""
    return round(float(nats.sum(dtype=np.float64)), 5)


def bits_per_byte(nats: Sequence[float], num_bytes: Sequence[int]) -> float:
    """Over all items together, so that long ones weigh more."""
    return sum(nats) / math.log(2) / sum(num_bytes)


def summary(items: dict[str, Columns]) -> str:
    """A table of the means, a line per measurement; `-` where the run has none."""
    lines = [f"{'held-out measurement':<34}{'items':>7}{'value':>9}  unit"]
    for kind, columns in items.items():
        for name, values in columns.items():
            if name.startswith("nats"):
                value = bits_per_byte(values, columns["bytes"]) if values else None
                unit = "bits per byte"
            elif name == "exact":
                value = sum(values) / len(values) if values else None
                unit = "share of the items"
            else:
                continue
            shown = "-" if value is None else f"{value:.4f}"
            lines.append(f"{kind + ' ' + name:<34}{len(columns['id']):>7}{shown:>9}  {unit}")
    return "\n".join(lines)

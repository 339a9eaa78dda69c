# SPDX-License-Identifier: Apache-2.0
"""What is drawn from held-out documents."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coder.config import EvalConfig
from coder.data import tokenizer
from coder.data.records import Document, DocumentFile
from coder.eval.holes import _trim, draw_items, line_cut, select_sources, span_cut

CONFIG = EvalConfig(documents=40, lines=40, spans=40, context_tokens=64)


BYTES = tokenizer.train([], 256 + len(tokenizer.CONTROL_TOKENS))
"""A token a byte: windows end inside of characters."""


def make_document(repository: str, files: dict[str, str], language: str = "Python") -> Document:
    made = tuple(DocumentFile(path, language, "", text, 0) for path, text in files.items())
    return Document(f"{repository}#{min(files)}", repository, "1", "held_out", "dependency", made)


def make_source(seed: int, num_lines: int) -> str:
    rng = random.Random(seed)
    words = ["value", "return", "größe", "数据", "self.x", "    ", "if", "(", ")", "😀", "", "def"]
    return "".join(
        " ".join(rng.choices(words, k=rng.randrange(8))) + "\n" for _ in range(num_lines)
    )


MERGES = tokenizer.train([make_source(7, 2000)], BYTES.vocab_size + 60)
"""Tokens of several bytes: a cut changes their number."""


@pytest.fixture(scope="module")
def documents() -> list[Document]:
    small = make_document("small", {"one.py": make_source(1, 12)})
    large = [
        make_document(
            "large",
            {f"{part}/{number}.py": make_source(100 * part + number, 300) for number in range(9)},
        )
        for part in range(9)
    ]
    middle = make_document(
        "middle", {f"{number}.py": make_source(5000 + number, 80) for number in range(9)}
    )
    return [*large, small, middle]


@pytest.mark.parametrize("encoder", [BYTES, MERGES])
def test_items_fit_the_context_and_reproduce_the_file(documents, encoder):
    items = draw_items(documents, encoder, CONFIG)
    texts = {
        (document.repository, file.path): file.text
        for document in documents
        for file in document.files
    }
    for window in items.left_to_right:
        text = texts[window.source.repository, window.source.path]
        assert text[window.start :].startswith(window.text)
        assert window.start == 0 or text[window.start - 1] == "\n"
        assert len(window.ids) <= CONFIG.context_tokens
        assert encoder.decode_bytes(window.ids).decode() == window.text
    for hole in items.single_line + items.span:
        path, at = hole.id.rsplit("@")
        text = texts[hole.repository, path]
        prefix, middle, suffix = (
            encoder.decode_bytes(ids) for ids in (hole.prefix_ids, hole.middle_ids, hole.suffix_ids)
        )
        assert middle.decode() == hole.middle
        assert text[int(at) :].startswith(hole.middle)
        assert text[: int(at)].encode().endswith(prefix)
        assert text[int(at) + len(hole.middle) :].encode().startswith(suffix)
        total = len(hole.prefix_ids) + len(hole.middle_ids) + len(hole.suffix_ids)
        assert total <= CONFIG.context_tokens
        assert 0 < len(hole.middle_ids) <= CONFIG.context_tokens // 2


def test_a_single_line_is_one_whole_line(documents):
    items = draw_items(documents, MERGES, CONFIG)
    assert len(items.single_line) == CONFIG.lines
    for hole in items.single_line:
        assert hole.middle.count("\n") == 1 and hole.middle.endswith("\n")
        assert 4 <= len(hole.middle.strip()) <= 80
        assert MERGES.decode(hole.prefix_ids).endswith("\n")
        assert hole.suffix_ids


def test_repositories_give_equally_as_long_as_they_can(documents):
    items = draw_items(documents, BYTES, CONFIG)
    counts = Counter(window.source.repository for window in items.left_to_right)
    assert counts.total() == CONFIG.documents
    assert counts["small"] < 10
    assert abs(counts["large"] - counts["middle"]) <= 1


def test_windows_do_not_overlap_and_ids_are_unique(documents):
    items = draw_items(documents, BYTES, EvalConfig(documents=500, context_tokens=64))
    places = [
        (
            window.source.repository,
            window.source.path,
            window.start,
            window.start + len(window.text),
        )
        for window in items.left_to_right
    ]
    places.sort()
    for (*file, _, end), (*next_file, start, _) in zip(places, places[1:], strict=False):
        assert file != next_file or end <= start
    for holes in (items.single_line, items.span):
        assert len({(hole.repository, hole.id) for hole in holes}) == len(holes)


def test_items_depend_on_the_seed_but_not_on_the_order_of_documents(documents):
    items = draw_items(documents, BYTES, CONFIG)
    assert draw_items(documents[::-1], BYTES, CONFIG) == items
    other = draw_items(documents, BYTES, EvalConfig(40, 40, 40, 64, seed=5))
    assert {hole.id for hole in other.span} != {hole.id for hole in items.span}


def test_fewer_items_are_the_first_of_more(documents):
    many = draw_items(documents, BYTES, CONFIG)
    few = draw_items(documents, BYTES, EvalConfig(7, 7, 7, 64))
    assert few.left_to_right == many.left_to_right[:7]
    assert few.single_line == many.single_line[:7]
    assert few.span == many.span[:7]


def test_python_files_come_first_and_others_serve_where_there_are_none():
    python = {f"{number}.py": make_source(number, 50) for number in range(3)}
    mixed = [
        make_document("a", python),
        make_document("a", {"doc.md": make_source(9, 50)}, "Markdown"),
    ]
    other = make_document("b", {"data.yaml": make_source(8, 50)}, "YAML")
    sources = select_sources([*mixed, other], seed=0)
    assert {source.path for source in sources["a"]} == set(python)
    assert [source.path for source in sources["b"]] == ["data.yaml"]


@pytest.mark.parametrize("text", ["", "\n\n\n", "x = 1", "a\n", " " * 5000])
def test_a_file_with_nothing_to_measure_gives_nothing(text):
    items = draw_items([make_document("a", {"a.py": text})], BYTES, CONFIG)
    assert items.single_line == [] and items.span == [] and items.left_to_right == []


def test_no_documents_give_no_items():
    assert draw_items([], BYTES, CONFIG).left_to_right == []


@pytest.mark.parametrize(
    "text",
    [
        "first line\n",
        "first\nlast line",
        "first\n  ab\nlast",
        "first\n# ====\nlast",
        "1\n" + "x" * 81 + "\n2",
    ],
)
def test_no_line_to_take_out(text):
    assert line_cut(text, random.Random(0)) is None


@given(st.text(), st.integers(0, 2**32))
def test_cuts_leave_the_text_whole(text, seed):
    for cut in (line_cut, span_cut):
        bounds = cut(text, random.Random(seed))
        if bounds:
            start, end = bounds
            assert 0 <= start < end <= len(text) and text[start:end].strip()


@given(st.integers(0, 20), st.integers(0, 20), st.integers(0, 50))
def test_trimming_keeps_what_is_next_to_the_hole(num_prefix, num_suffix, room):
    prefix, suffix = list(range(num_prefix)), list(range(num_suffix))
    kept_prefix, kept_suffix = _trim(prefix, suffix, room)
    assert len(kept_prefix) + len(kept_suffix) == min(room, num_prefix + num_suffix)
    assert prefix[len(prefix) - len(kept_prefix) :] == kept_prefix
    assert suffix[: len(kept_suffix)] == kept_suffix
    if kept_prefix != prefix and kept_suffix != suffix:
        assert abs(len(kept_prefix) - len(kept_suffix)) <= 1

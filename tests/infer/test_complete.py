# SPDX-License-Identifier: Apache-2.0
"""`python -m coder complete`: what the model is shown, what is printed, what is refused."""

import dataclasses
import io
import sys
from pathlib import Path

import pytest

from coder.data import fim
from coder.infer.answer import Settings, Writer
from coder.infer.complete import infill_format, main, prompt_ids
from coder.infer.engine import Engine, Request
from coder.infer.load import Loaded, load
from coder.infer.place import Place, read_place
from coder.infer.prompt import PromptError
from coder.infer.repository import neighbourhood
from coder.infer.sampling import Sampling
from tests.infer.small_models import LLAMA, TOKENIZER, write_imported, write_run

PREFIX, SUFFIX = "def add(a, b):\n    return ", "\n# end\n"
PLACE = Place(Path(), PREFIX, SUFFIX)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_imported(tmp_path_factory.mktemp("imported") / "v1", LLAMA)


@pytest.fixture(scope="module")
def loaded(run: Path) -> Loaded:
    return load(run)


def expected(model: Path, prompt: list[int], count: int, sampling: Sampling) -> str:
    """What the engine writes, all of it at once."""
    engine = Engine(load(model).model, slots=1, capacity=64)
    stop_ids = TOKENIZER.control_ids
    [[sample]] = engine.complete([Request(prompt, count, sampling, stop_ids)])
    return TOKENIZER.decode(sample.tokens)


def printed(capsys: pytest.CaptureFixture[str], model: Path, *options: str) -> str:
    main(["--model", str(model), "--max-new-tokens", "24", *options])
    return capsys.readouterr().out


@pytest.mark.parametrize("kind", ["run", "imported"])
def test_what_the_model_writes_is_printed_and_nothing_else(kind, request, capsys):
    model = request.getfixturevalue(kind)
    prompt = [TOKENIZER.bos, *TOKENIZER.encode(PREFIX)]
    assert printed(capsys, model, "--prompt", PREFIX) == expected(model, prompt, 24, Sampling())
    drawn = Sampling(temperature=1.5, top_p=0.9, seed=7)
    options = ["--temperature", "1.5", "--top-p", "0.9", "--seed", "7"]
    assert printed(capsys, model, "--prompt", PREFIX, *options) == (
        expected(model, prompt, 24, drawn)
    )


@pytest.mark.parametrize("kind", ["run", "imported"])
def test_a_middle_is_filled_in_at_a_place(kind, request, tmp_path, capsys):
    model = request.getfixturevalue(kind)
    (tmp_path / "a.py").write_text(PREFIX + SUFFIX)
    ids = TOKENIZER.encode_batch([PREFIX, SUFFIX])
    middle = expected(model, fim.prompt_ids(TOKENIZER, ids[0], ids[1], "psm"), 24, Sampling())
    assert printed(capsys, model, "--at", f"{tmp_path}/a.py:2") == middle
    assert printed(capsys, model, "--prompt", PREFIX, "--suffix", SUFFIX) == middle


def test_an_answer_ends_at_a_token_that_ends_answers_wherever_it_comes(loaded):
    prompt = [TOKENIZER.bos, *TOKENIZER.encode(PREFIX)]
    settings = Settings(max_new_tokens=24, temperature=2.0)
    engine = Engine(loaded.model, slots=1, capacity=64)
    request = Request(prompt, 24, settings.sampling())
    [[whole]] = engine.complete([request])
    shorter = dataclasses.replace(loaded, end_ids=frozenset(whole.tokens[3:]))
    count = next(at for at, id_ in enumerate(whole.tokens) if id_ in shorter.end_ids)
    written = "".join(Writer(shorter, settings).write(prompt))
    assert written == TOKENIZER.decode(whole.tokens[:count]) != ""


def test_text_ends_before_the_first_stop_string(run, capsys):
    options = ["--prompt", PREFIX, "--temperature", "2"]
    whole = printed(capsys, run, *options)
    stops = [whole[9:12], whole[6:8]]
    cut = printed(capsys, run, *options, "--stop", stops[0], "--stop", stops[1])
    assert whole.startswith(cut) and len(cut) <= 6
    assert not any(stop in cut for stop in stops)


def test_the_word_none_is_a_text(run, tmp_path, capsys):
    (tmp_path / "a.py").write_text("NoneNone")
    middle = printed(capsys, run, "--at", f"{tmp_path}/a.py:1:5")
    assert printed(capsys, run, "--prompt", "None", "--suffix", "None") == middle


def test_a_prompt_from_standard_input_is_the_same(run, capsys, monkeypatch):
    class Input:
        buffer = io.BytesIO(PREFIX.encode())

    typed = printed(capsys, run, "--prompt", PREFIX)
    monkeypatch.setattr(sys, "stdin", Input)
    assert printed(capsys, run, "--prompt", "-") == typed


def test_a_terminal_shows_what_is_around_the_answer(run, capsys, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    middle = printed(capsys, run, "--prompt", PREFIX, "--suffix", SUFFIX)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    shown = printed(capsys, run, "--prompt", PREFIX, "--suffix", SUFFIX)
    assert shown.startswith(PREFIX) and shown.endswith(SUFFIX)
    assert len(shown) == len(PREFIX + middle + SUFFIX)


FORMATS = {
    "psm": ["fim_begin", PREFIX, "fim_hole", SUFFIX, "fim_end"],
    "spm": ["fim_begin", "fim_hole", SUFFIX, "fim_end", PREFIX],
    "msp": [PREFIX, "mask", SUFFIX, "mask"],
    None: [PREFIX],
}


@pytest.mark.parametrize("form", FORMATS)
def test_the_prompt_has_the_trained_format(form, loaded):
    control = {name: [getattr(TOKENIZER, name)] for name in ("fim_begin", "fim_hole", "fim_end")}
    control["mask"] = [TOKENIZER.mask(0)]
    parts = [control.get(part) or TOKENIZER.encode(part) for part in FORMATS[form]]
    assert prompt_ids(loaded, form, PLACE, 200) == [TOKENIZER.bos, *sum(parts, [])]


def test_a_sentinel_that_somebody_types_stays_text(loaded):
    typed = Place(Path(), "<｜fim▁hole｜><|EOT|>", "<｜fim▁end｜>")
    prompt = prompt_ids(loaded, "psm", typed, 200)
    control = {TOKENIZER.fim_begin, TOKENIZER.fim_hole, TOKENIZER.fim_end, TOKENIZER.eot}
    assert [id_ for id_ in prompt if id_ in control] == [
        TOKENIZER.fim_begin,
        TOKENIZER.fim_hole,
        TOKENIZER.fim_end,
    ]


def test_an_empty_prompt_is_bos_alone_or_refused(loaded, imported):
    empty = Place(Path(), "", "")
    assert prompt_ids(loaded, None, empty, 200) == [TOKENIZER.bos]

    class WithoutBos(Loaded):
        @property
        def bos_ids(self) -> list[int]:
            return []

    bare = WithoutBos(**vars(loaded))
    with pytest.raises(PromptError, match="the prompt is empty"):
        prompt_ids(bare, None, empty, 200)


def test_a_prompt_that_is_too_long_keeps_what_is_near_the_answer(loaded, capsys):
    prefix_ids, suffix_ids = TOKENIZER.encode_batch([PREFIX * 9, SUFFIX * 9])
    long = Place(Path(), PREFIX * 9, SUFFIX * 9)
    assert prompt_ids(loaded, None, long, 21) == [TOKENIZER.bos, *prefix_ids[-20:]]
    assert "it sees the last 20 tokens before the answer\n" in capsys.readouterr().err
    expected = fim.prompt_ids(TOKENIZER, prefix_ids[-30:], suffix_ids[:10], "psm")
    assert prompt_ids(loaded, "psm", long, 44) == expected
    assert "the last 30 tokens before the answer and the first 10 after" in capsys.readouterr().err
    short = Place(Path(), "def", SUFFIX * 9)
    kept = fim.prompt_ids(TOKENIZER, TOKENIZER.encode("def"), suffix_ids, "psm")[:43]
    assert prompt_ids(loaded, "psm", short, 44) == [*kept, TOKENIZER.fim_end]
    with pytest.raises(PromptError, match="4 tokens are too few for a prompt, of which 4 are"):
        prompt_ids(loaded, "psm", long, 4)


def test_of_a_long_text_the_neighbourhood_alone_is_encoded(loaded, monkeypatch):
    prefix, suffix = (f"{mark} = add(a, b)\n" * 9_000 for mark in "pq")
    whole_prefix, whole_suffix = TOKENIZER.encode_batch([prefix, suffix])
    encoded: list[int] = []
    encode = type(TOKENIZER).encode
    monkeypatch.setattr(
        type(TOKENIZER),
        "encode",
        lambda self, text: encoded.append(len(text)) or encode(self, text),
    )
    prompt = prompt_ids(loaded, "psm", Place(Path(), prefix, suffix), 804)
    expected = fim.prompt_ids(TOKENIZER, whole_prefix[-600:], whole_suffix[:200], "psm")
    assert prompt == expected
    assert sum(encoded) < 30_000
    whole = len(whole_prefix) + len(whole_suffix) + 4
    assert len(prompt_ids(loaded, "psm", Place(Path(), prefix, suffix), whole)) == whole


def test_a_model_without_infilling_takes_no_suffix_but_a_blank_one(loaded):
    plain = dataclasses.replace(loaded, infill=None)
    assert infill_format(plain, "\n") is None
    with pytest.raises(PromptError, match="trained without infilling"):
        infill_format(plain, SUFFIX)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "lib.py").write_text("def add(a, b):\n    return a + b")
    (tmp_path / "far.py").write_text("add = 1\n" * 40)
    (tmp_path / "main.py").write_text("import lib, far\nlib.\nprint()\n")
    return tmp_path


def test_a_repositorys_files_come_before_the_one_at_hand(repository, loaded, capsys):
    place = read_place(f"{repository}/main.py:2")
    found = neighbourhood(repository, place)
    lead = "# lib.py\ndef add(a, b):\n    return a + b\n# main.py\n"
    expected = fim.prompt_ids(
        TOKENIZER,
        TOKENIZER.encode(lead + "import lib, far\nlib."),
        TOKENIZER.encode("\nprint()\n"),
        "psm",
    )
    assert prompt_ids(loaded, "psm", place, len(expected) + 5, found) == expected
    assert capsys.readouterr().err == "before main.py: lib.py; left out for lack of room: 1\n"
    whole = TOKENIZER.decode(prompt_ids(loaded, "psm", place, 10_000, found))
    assert whole.index("# far.py\nadd") < whole.index("# lib.py\ndef") < whole.index("# main.py")
    assert capsys.readouterr().err == "before main.py: far.py, lib.py\n"


def test_a_file_that_alone_is_too_long_keeps_its_path(repository, loaded, capsys):
    place = read_place(f"{repository}/far.py:30:4")
    (repository / "far.py").write_text("import lib\n")
    prompt = prompt_ids(loaded, "psm", place, 60, neighbourhood(repository, place))
    assert len(prompt) == 60
    assert TOKENIZER.decode(prompt).split("\n")[0].endswith("# far.py")
    assert "it sees the last" in capsys.readouterr().err


def test_the_whole_command_reads_a_repository(tmp_path, run, capsys):
    (tmp_path / "lib.py").write_text("a = b\n")
    (tmp_path / "main.py").write_text("import lib\n")
    at = ["--at", f"{tmp_path}/main.py:2", "--repository", str(tmp_path)]
    main(["--model", str(run), "--max-new-tokens", "24", *at])
    assert capsys.readouterr().err == "before main.py: lib.py\n"


REFUSED = {
    "temperature": (["--prompt", "a", "--temperature", "-1"], "temperature=-1.0: must be 0"),
    "top_p": (["--prompt", "a", "--top-p", "0"], "top_p=0.0: must be above 0"),
    "seed": (["--prompt", "a", "--seed", "-1"], "seed=-1"),
    "a byte": (["--prompt", "x\udcff"], "--prompt: byte 0xff after 1 characters is not utf-8"),
    "a byte of a suffix": (["--prompt", "x", "--suffix", "\udcff"], "--suffix: byte 0xff after 0"),
    "a byte of a stop": (["--prompt", "x", "--stop", "\udcff"], "--stop: byte 0xff after 0"),
    "too few": (["--prompt", "a", "--max-new-tokens", "255"], "1 tokens are too few .* of which 1"),
    "stop": (["--prompt", "a", "--stop", ""], "--stop '': an empty text"),
    "no tokens": (["--prompt", "a", "--max-new-tokens", "0"], "--max-new-tokens 0"),
    "many tokens": (["--prompt", "a", "--max-new-tokens", "256"], "less than the 256 tokens"),
    "nothing": ([], "give either --prompt or --at"),
    "both": (["--prompt", "a", "--at", "a:1"], "give either --prompt or --at"),
    "a suffix": (["--at", "a:1", "--suffix", "b"], "--suffix goes with --prompt"),
    "a repository": (["--prompt", "a", "--repository", "."], "--repository goes with --at"),
    "no place": (["--at", "nowhere.py:1"], "nowhere.py: No such file"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_answered_is_said_in_a_sentence(case, run):
    options, message = REFUSED[case]
    with pytest.raises(SystemExit, match=f"^error: .*{message}"):
        main(["--model", str(run), *options])


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(SystemExit, match="error: .*is no run"):
        main(["--model", str(tmp_path), "--prompt", "a"])


def test_a_model_that_computes_no_numbers_is_told(tmp_path):
    damaged = write_run(tmp_path / "run", init_std=float("nan"))
    with pytest.raises(SystemExit, match="error: .*the model's logits are not finite"):
        main(["--model", str(damaged), "--prompt", "a"])


def test_standard_input_that_is_no_text_is_refused(run, monkeypatch):
    class Input:
        buffer = io.BytesIO(b"a\xff")

    monkeypatch.setattr(sys, "stdin", Input)
    with pytest.raises(SystemExit, match="standard input is not UTF-8"):
        main(["--model", str(run), "--prompt", "-"])


def test_a_closed_standard_input_is_told(run, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(SystemExit, match="error: --prompt -: standard input is closed"):
        main(["--model", str(run), "--prompt", "-"])

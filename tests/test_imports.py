# SPDX-License-Identifier: Apache-2.0
"""Who may import whom: read from the sources, and tried in a fresh process."""

import ast
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FIRST_PARTY = ("beam_pipelines", "benchmarks", "coder", "experiments", "kernels", "tests")
ACCELERATOR = ("jax", "jaxlib", "flax", "optax", "orbax", "grain")
BEAM = ("apache_beam",)

# Of the rules whose name is a prefix of a module's, the longest decides. Each says which parts of
# the project the module may import, and what it may not import at all.
RULES: dict[str, tuple[str, tuple[str, ...]]] = {
    "kernels": ("kernels", ("flax", "optax", "orbax", "grain", *BEAM)),
    "coder.config": ("", (*ACCELERATOR, *BEAM)),
    "coder.cores": ("", (*ACCELERATOR, *BEAM)),
    "coder.interrupts": ("", (*ACCELERATOR, *BEAM)),
    "coder.sharding": ("coder.config", BEAM),
    "coder.checkpoint": ("coder.model coder.sharding coder.config", BEAM),
    "coder.data": ("coder.data coder.config", (*ACCELERATOR, *BEAM)),
    "coder.data.loader": ("coder.data coder.config", BEAM),
    "coder.model": ("coder.model coder.sharding coder.config kernels", BEAM),
    "coder.train": (
        "coder.train coder.model coder.data coder.checkpoint coder.sharding coder.config "
        "coder.cores coder.interrupts kernels",
        BEAM,
    ),
    "coder.huggingface": (
        "coder.huggingface coder.model coder.data.tokenizer coder.checkpoint coder.config "
        "coder.interrupts",
        BEAM,
    ),
    "coder.infer": (
        "coder.infer coder.model coder.data coder.huggingface coder.checkpoint coder.sharding "
        "coder.config coder.interrupts",
        BEAM,
    ),
    "coder.eval": (
        "coder.eval coder.infer coder.model coder.data coder.checkpoint coder.config",
        BEAM,
    ),
    "coder.report": ("coder.report coder.config", (*ACCELERATOR, *BEAM)),
    "coder.__main__": ("coder.interrupts", (*ACCELERATOR, *BEAM)),
    "beam_pipelines": ("beam_pipelines coder.data coder.config coder.report", ACCELERATOR),
    "experiments": (
        "experiments coder.config coder.cores coder.report coder.model.presets",
        (*ACCELERATOR, *BEAM),
    ),
    "benchmarks": ("benchmarks beam_pipelines coder experiments kernels", ()),
}
# Exceptions to "may import": grain imports jax, which the pipelines' workers have no use for.
NEVER = {"beam_pipelines": ("coder.data.loader",)}


def modules() -> list[Path]:
    return sorted(
        path
        for package in FIRST_PARTY
        if package != "tests"
        for path in (ROOT / package).rglob("*.py")
    )


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, at any depth; `from a import b` counts as `a.b`."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) + 1 - node.level] if node.level else ()
            base = ".".join((*start, *([node.module] if node.module else [])))
            yield from (f"{base}.{alias.name}" for alias in node.names)


def below(name: str, prefixes: Sequence[str]) -> bool:
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_a_module_imports_only_what_its_layer_may(path: Path) -> None:
    name = name_of(path)
    layer = max((rule for rule in RULES if below(name, (rule,))), key=len, default=None)
    if layer is None:
        assert name == "coder", f"{name} belongs to no layer: add it to RULES"
        return
    allowed, forbidden = RULES[layer]
    never = next((modules for rule, modules in NEVER.items() if below(name, (rule,))), ())
    for imported in imports(path):
        if below(imported, FIRST_PARTY):
            assert below(imported, allowed.split()), f"{name} imports {imported}, not: {allowed}"
            assert not below(imported, never), f"{name} imports {imported}"
        assert not below(imported, forbidden), f"{name} imports {imported}"


@pytest.mark.parametrize("module", ["experiments.run", "coder.__main__", "beam_pipelines.corpus"])
def test_what_a_person_waits_for_starts_without_jax(module: str) -> None:
    unwanted = {
        "experiments.run": ("jax", "apache_beam"),
        "coder.__main__": ("jax", "apache_beam"),
        "beam_pipelines.corpus": ("jax",),
    }[module]
    code = f"import sys, {module}; print(*sorted(set({unwanted!r}) & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []

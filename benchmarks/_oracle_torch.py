# SPDX-License-Identifier: Apache-2.0
"""The side of transformers in `benchmarks.oracle_transformers`: what its models make of each case.

Run by the interpreter of .venv-oracle, which has none of this project's dependencies:

    -m benchmarks._oracle_torch write DIR   makes DIR/<case>/arrays.npz, with the weights under the
                                            names that checkpoints have, and DIR/<case>/model, as
                                            `save_pretrained` leaves it, for each of DIR/cases.json
    -m benchmarks._oracle_torch read DIR    reads DIR/<case>/exported* into DIR/<case>/read.npz
"""

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors.torch import load_file
from torch import Tensor, nn

from benchmarks._oracle_balance import balance_losses
from benchmarks._oracle_cases import LENGTH, Case

PROMPTS = (100, 71)
"""Tokens of the two prompts, longer than the positions before an extension."""
STEPS = 12
"""Tokens read with the cache."""
GREEDY = 24
"""Tokens generated after 40 of the first row."""


def main(what: str, directory: Path) -> None:
    """Does one half for every case of DIR/cases.json."""
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    for values in json.loads((directory / "cases.json").read_text()):
        case = Case(**values)
        if what == "write":
            write(case, directory / case.name)
        else:
            read(directory / case.name)


def write(case: Case, folder: Path) -> None:
    """Saves the random model of a case, and all that it computes."""
    model = build(case)
    model.save_pretrained(folder / "model", max_shard_size="16KB")
    tokens = torch.randint(0, case.settings["vocab_size"], (len(PROMPTS), LENGTH))
    arrays = {"tokens": tokens, "prompts": torch.tensor(PROMPTS)}
    arrays |= {**of_training(model, tokens), **of_parts(model, tokens), **of_cache(model, tokens)}
    arrays |= {**of_generation(model, tokens), **of_rope(model)}
    arrays["bfloat16/rms"] = rounding_error(model, tokens)
    np.savez(
        folder / "arrays.npz",
        settings=(folder / "model" / "config.json").read_text(),
        version=f"transformers {transformers.__version__}, torch {torch.__version__}",
        **{name: array.detach().numpy() for name, array in arrays.items()},
    )


@torch.no_grad()
def read(folder: Path) -> None:
    """Logits of the models that we exported."""
    tokens = torch.from_numpy(np.load(folder / "arrays.npz")["tokens"])
    found = {}
    for path in sorted(folder.glob("exported*")):
        values = json.loads((path / "config.json").read_text())
        model = transformers.AutoModelForCausalLM.from_pretrained(
            path, dtype=torch.float32, **eager(values["model_type"])
        )
        found[path.name] = model.eval()(input_ids=tokens).logits.numpy()
    np.savez(folder / "read.npz", **found)


def build(case: Case) -> transformers.PreTrainedModel:
    """The random model of a case."""
    torch.manual_seed(case.seed)
    config_class, model_class = {
        "llama": (transformers.LlamaConfig, transformers.LlamaForCausalLM),
        "deepseek_v2": (transformers.DeepseekV2Config, transformers.DeepseekV2ForCausalLM),
    }[case.model_type]
    config = config_class(**case.settings, bos_token_id=0, eos_token_id=None)
    model = model_class._from_config(config, **eager(case.model_type)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:  # norms begin at 1, which would hide a missing scale
                parameter.normal_(1.0, 0.2)
            elif name.endswith("mlp.gate.weight"):  # begins at 0 in some versions
                parameter.normal_(0.0, 3 * case.settings["initializer_range"])
        if case.unused_expert:
            avoid_an_expert(model)
    return model


def eager(model_type: str) -> dict[str, str]:
    """The plain formulas: another kernel of attention or experts is another order of sums."""
    formulas = {"attn_implementation": "eager"}
    return formulas | ({"experts_implementation": "eager"} if model_type != "llama" else {})


def avoid_an_expert(model: transformers.PreTrainedModel) -> None:
    """Makes a channel positive for every token, and the last layer's first expert dislike it."""
    model.model.embed_tokens.weight[:, 0] = 1.5
    block = model.model.layers[-1]
    block.post_attention_layernorm.weight[0] = 1.0
    block.mlp.gate.weight[0] = 0.0
    block.mlp.gate.weight[:, 0] = 0.0
    block.mlp.gate.weight[0, 0] = -10.0


def of_training(model: transformers.PreTrainedModel, tokens: Tensor) -> dict[str, Tensor]:
    """Weights, logits, the loss of the next tokens and the gradient of every weight."""
    arrays = {f"weight/{name}": x for name, x in stored(model).items()}
    logits = model(input_ids=tokens).logits
    targets = torch.roll(tokens, -1, 1)
    loss = nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
    loss.backward()
    arrays |= {"logits": logits.detach(), "loss": loss.detach()}
    with torch.no_grad():
        kept = {name: parameter.clone() for name, parameter in model.named_parameters()}
        for parameter in model.parameters():
            parameter.copy_(parameter.grad)
        arrays |= {f"gradient/{name}": x for name, x in stored(model).items()}
        for name, parameter in model.named_parameters():
            parameter.copy_(kept[name])
    model.zero_grad(set_to_none=True)
    return arrays


def stored(model: transformers.PreTrainedModel) -> dict[str, Tensor]:
    """The parameters as a checkpoint has them: an expert's matrices apart, tied ones once."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        return load_file(Path(folder) / "model.safetensors")


@contextmanager
def watched(modules: dict[str, nn.Module]) -> Iterator[dict[str, list]]:
    """What goes into the modules and comes out while the block runs, by name."""
    seen: dict[str, list] = {}

    def hook(name: str):
        def keep(module, args, kwargs, output):
            seen[name] = [args[0] if args else kwargs["hidden_states"], output]

        return keep

    handles = [
        module.register_forward_hook(hook(name), with_kwargs=True)
        for name, module in modules.items()
    ]
    yield seen
    for handle in handles:
        handle.remove()


@torch.no_grad()
def of_parts(model: transformers.PreTrainedModel, tokens: Tensor) -> dict[str, Tensor]:
    """The last layer's attention on the first row; its experts, their router and its balance."""
    block = model.model.layers[-1]
    sparse = hasattr(block.mlp, "gate")
    modules = {"attention": block.self_attn, "mlp": block.mlp}
    if sparse:
        modules["router"] = block.mlp.gate
    with watched(modules) as seen:
        model(input_ids=tokens)
    arrays = {
        "attention/input": seen["attention"][0][:1],
        "attention/output": seen["attention"][1][0][:1],
    }
    if not sparse:
        return arrays
    _, weights, chosen = seen["router"][1]
    inputs = seen["mlp"][0]
    arrays |= {"mlp/input": inputs[:1], "mlp/output": seen["mlp"][1][:1]}
    arrays |= {
        "router/experts": chosen[:LENGTH].to(torch.int16),
        "router/weights": weights[:LENGTH],
    }
    return arrays | of_balance(block.mlp, inputs, chosen.unflatten(0, inputs.shape[:2]))


@torch.enable_grad()
def of_balance(mlp: nn.Module, inputs: Tensor, chosen: Tensor) -> dict[str, Tensor]:
    """The balance losses of a layer, and their gradients by its router and by its input."""
    router = mlp.gate.weight.detach().clone().requires_grad_()
    inputs = inputs.detach().clone().requires_grad_()
    scores = torch.softmax(inputs @ router.T, -1)
    config = mlp.config
    losses = balance_losses(scores, chosen, config.n_group, config.topk_group)
    gradients = [torch.autograd.grad(x, (router, inputs), retain_graph=True) for x in losses]
    return {
        "balance/activations": inputs,
        "balance/losses": losses,
        "balance/router": torch.stack([by_router for by_router, _ in gradients]),
        "balance_input/gradients": torch.stack([by_input[:1] for _, by_input in gradients]),
    }


@torch.no_grad()
def of_cache(model: transformers.PreTrainedModel, tokens: Tensor) -> dict[str, Tensor]:
    """Prompts of two lengths, padded on the left, then a token of each at a time.

    Logits are those after the prompts and after each token that follows.
    """
    longest = max(PROMPTS)
    padded = torch.zeros((len(PROMPTS), longest), dtype=tokens.dtype)
    mask = torch.zeros((len(PROMPTS), longest + STEPS), dtype=torch.long)
    for row, length in enumerate(PROMPTS):
        padded[row, longest - length :] = tokens[row, :length]
        mask[row, longest - length :] = 1
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    cache = transformers.DynamicCache(config=model.config)
    found = []
    for step in range(STEPS + 1):
        end = longest + step
        new = (
            padded
            if step == 0
            else torch.stack(
                [tokens[row, length + step - 1] for row, length in enumerate(PROMPTS)]
            )[:, None]
        )
        output = model(
            input_ids=new,
            attention_mask=mask[:, :end],
            position_ids=positions[:, end - new.shape[1] : end],
            past_key_values=cache,
            use_cache=True,
        )
        found.append(output.logits[:, -1])
    kept = cache.layers[-1]
    return {
        "cache/logits": torch.stack(found, 1),
        "cache/0": kept.keys[:1],
        "cache/1": kept.values[:1],
    }


@torch.no_grad()
def of_generation(model: transformers.PreTrainedModel, tokens: Tensor) -> dict[str, Tensor]:
    """What `generate` adds greedily to the beginning of each row."""
    prompts = tokens[:, :40]
    settings = {"do_sample": False, "max_new_tokens": GREEDY}
    settings["attention_mask"] = torch.ones_like(prompts)
    return {"greedy/tokens": model.generate(prompts, **settings)[:, prompts.shape[1] :]}


@torch.no_grad()
def of_rope(model: transformers.PreTrainedModel) -> dict[str, Tensor]:
    """Frequencies, the scale of the scores, and a random query and key before and after."""
    embedding = model.model.rotary_emb
    attention = model.model.layers[0].self_attn
    width = 2 * len(embedding.inv_freq)
    query, key = torch.randn(2, 1, 1, LENGTH, width)
    rotation = embedding(query, torch.arange(LENGTH)[None])
    if isinstance(rotation, tuple):
        turned = transformers.models.llama.modeling_llama.apply_rotary_pos_emb(
            query, key, *rotation
        )
    else:
        turned = transformers.models.deepseek_v2.modeling_deepseek_v2.apply_rotary_emb(
            query, key, rotation
        )
    return {
        "rope/frequencies": embedding.inv_freq,
        "rope/factor": torch.tensor(embedding.attention_scaling),
        "rope/softmax_scale": torch.tensor(attention.scaling, dtype=torch.float64),
        "rope/query": query,
        "rope/key": key,
        "rope/turned_query": turned[0],
        "rope/turned_key": turned[1],
    }


@torch.no_grad()
def rounding_error(model: transformers.PreTrainedModel, tokens: Tensor) -> Tensor:
    """Root mean square of what bfloat16 changes in the logits."""
    expected = model(input_ids=tokens).logits
    kept = {name: parameter.clone() for name, parameter in model.named_parameters()}
    found = model.to(torch.bfloat16)(input_ids=tokens).logits.float()
    model.to(torch.float32)
    for name, parameter in model.named_parameters():
        parameter.copy_(kept[name])
    return (found - expected).square().mean().sqrt()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))

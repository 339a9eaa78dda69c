# SPDX-License-Identifier: Apache-2.0
"""DeepSeek-V2's balance losses in torch, read from the paper (section 2.2.3) and from nothing else.

transformers has none. Run by the interpreter of .venv-oracle.
"""

import torch
from torch import Tensor


def balance_losses(scores: Tensor, chosen: Tensor, num_groups: int, group_limit: int) -> Tensor:
    """The three losses without their factors, each the mean over the sequences.

    Args:
        scores: [sequences, tokens, experts] affinities after the softmax.
        chosen: [sequences, tokens, K] the experts of each token.
        num_groups: D, groups of experts that lie side by side.
        group_limit: M, groups that a token may be sent to.

    Returns:
        Expert-level (equation 23), device-level (26) and communication (29).
    """
    pairs = zip(scores, chosen, strict=True)
    rows = [_of_sequence(*pair, num_groups, group_limit) for pair in pairs]
    return torch.stack(rows).mean(0)


def _of_sequence(scores: Tensor, chosen: Tensor, num_groups: int, group_limit: int) -> Tensor:
    num_tokens, num_experts = scores.shape
    num_chosen = chosen.shape[1]
    # Equations 24 and 25.
    loads = [
        (chosen == expert).any(1).sum() * num_experts / (num_chosen * num_tokens)
        for expert in range(num_experts)
    ]
    means = [scores[:, expert].sum() / num_tokens for expert in range(num_experts)]
    expert_loss = sum(load * mean for load, mean in zip(loads, means, strict=True))
    size = num_experts // num_groups
    device_loss = torch.zeros(())
    communication_loss = torch.zeros(())
    for group in range(num_groups):
        members = range(group * size, (group + 1) * size)
        # Equations 27, 28 and 30, 31: P'' is P'.
        mean = sum(means[expert] for expert in members)
        device_loss = device_loss + sum(loads[expert] for expert in members) / size * mean
        sent = (torch.div(chosen, size, rounding_mode="floor") == group).any(1).sum()
        load = num_groups / (group_limit * num_tokens) * sent
        communication_loss = communication_loss + load * mean
    return torch.stack([torch.as_tensor(expert_loss), device_loss, communication_loss])

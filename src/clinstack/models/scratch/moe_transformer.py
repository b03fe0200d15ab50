"""A compact Transformer whose last block has several feed-forward layers, of which each token is sent to one or two.

Fedus et al. 2021, "Switch Transformers" (arXiv 2101.03961): a router chooses the expert, whose answer is weighted with the
router's probability; a loss of its own keeps the experts evenly busy; in training an expert takes a limited number of tokens,
and what is beyond passes by on the residual. In use there is no limit, so that a note's logits do not depend on its neighbours.
Padding is never sent anywhere. Preset `keras` has the sizes of the Keras tutorial on a Switch Transformer, with its additive
noise and its weight 1 of the balance loss; its defects (padding that is routed, a slot lost in every expert) are left out.
Preset `top-2` sends each token to two experts, `unlimited` lets an expert take all tokens in training too.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from clinstack.models.activations import Activation
from clinstack.models.from_scratch import Architecture
from clinstack.models.scratch.transformer import FeedForward, Transformer, TransformerConfig, TransformerModel


class MoeTransformerConfig(TransformerConfig):  # type: ignore[no-untyped-call]
    """A compact Transformer's sizes, and

    experts: feed-forward layers of the last block.   experts_per_token: 1 or more, whose weights are made to sum to one.
    capacity_factor: in training an expert takes so many times its even share of tokens.
    balance: weight of the balance loss.   noise: half-width of the uniform noise on the router.
    noise_adds: it is added to the router's logits, around 1, or multiplies what the router reads.
    """

    model_type = "clinstack-moe-transformer"

    def __init__(
        self,
        experts: int = 4,
        experts_per_token: int = 1,
        capacity_factor: float = 1.25,
        balance: float = 0.01,
        noise: float = 0.01,
        noise_adds: bool = False,
        **others: Any,
    ):
        self.experts, self.experts_per_token, self.capacity_factor = experts, experts_per_token, capacity_factor
        self.balance, self.noise, self.noise_adds = balance, noise, noise_adds
        super().__init__(**others)


@dataclass
class _Seen:
    """Sums over tokens."""

    tokens: int = 0
    load: Tensor | float = 0.0
    entropy: float = 0.0
    dropped: float = 0.0

    def add(self, load: Tensor, entropy: float, dropped: float, tokens: int) -> None:
        """A pass's means."""
        self.tokens += tokens
        self.load = self.load + load * tokens
        self.entropy += entropy * tokens
        self.dropped += dropped * tokens

    def shares(self) -> dict[str, Any]:
        """Their means; nothing if there was no token."""
        if not isinstance(self.load, Tensor):
            return {}
        return {
            "expert_load": [round(float(one) / self.tokens, 4) for one in self.load],
            "router_entropy": self.entropy / self.tokens,
            "dropped_share": self.dropped / self.tokens,
        }


class Experts(nn.Module):
    """y_t = sum over the chosen experts e of g_t,e * Expert_e(x_t); 0 where the expert is full.

    Keeps, of the last pass in training, the balance loss and what is to be told of it.
    """

    def __init__(self, config: MoeTransformerConfig):
        super().__init__()
        sizes: tuple[int, int, Activation] = (
            config.hidden_size,
            config.intermediate_size,
            config.activation,
        )
        self.config = config
        self.router = nn.Linear(config.hidden_size, config.experts)
        self.experts = nn.ModuleList(FeedForward(*sizes) for _ in range(config.experts))
        self.balance_loss: Tensor | None = None
        self._seen = _Seen()

    def told(self) -> dict[str, Any]:
        """See `MoeTransformerModel.told`."""
        seen, self._seen = self._seen, _Seen()
        return seen.shares()

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """states: (B, T, H).   mask: (B, T) of 0/1."""
        if (
            states.device.type == "meta"
        ):  # a plan: which token goes where is not known, and each goes to one dense layer
            return self.experts[0](states, mask)  # type: ignore[no-any-return]
        real = mask.bool()
        tokens = states[real]
        likely = self._route(tokens)
        gates, chosen = likely.topk(self.config.experts_per_token, dim=-1)
        if self.config.experts_per_token > 1:
            gates = gates / gates.sum(dim=-1, keepdim=True)
        taken = self._taken(chosen)
        answers = torch.zeros_like(tokens)
        for number, expert in enumerate(self.experts):
            rows, place = torch.nonzero((chosen == number) & taken, as_tuple=True)
            answer = expert(tokens[rows], mask) * gates[rows, place, None].to(tokens.dtype)
            answers = answers.index_add(0, rows, answer.to(answers.dtype))
        if self.training:
            self._note(likely, chosen, taken)
        return torch.zeros_like(states).masked_scatter(real.unsqueeze(-1), answers)

    def _route(self, tokens: Tensor) -> Tensor:
        """Probabilities (N, E) of the experts for each real token, in float32."""
        with torch.autocast(tokens.device.type, enabled=False):
            read, width = tokens.float(), self.config.noise
            if self.training and not self.config.noise_adds:
                read = read * torch.empty_like(read).uniform_(1 - width, 1 + width)
            logits = self.router(read)
            if self.training and self.config.noise_adds:
                logits = logits + torch.empty_like(logits).uniform_(1 - width, 1 + width)
            return torch.softmax(logits, dim=-1)

    def _taken(self, chosen: Tensor) -> Tensor:
        """Where (N, k) a token is among the first that its expert takes; everywhere when not training."""
        if not self.training or math.isinf(self.config.capacity_factor):
            return torch.ones_like(chosen, dtype=torch.bool)
        slots = math.ceil(self.config.capacity_factor * chosen.numel() / self.config.experts)
        sent = nn.functional.one_hot(chosen.flatten(), self.config.experts)
        number = (sent.cumsum(dim=0) * sent).sum(dim=-1)  # the how many-eth of its expert each one is, from 1
        return (number <= slots).view_as(chosen)

    def _note(self, likely: Tensor, chosen: Tensor, taken: Tensor) -> None:
        """Fedus et al. 2021: E * sum over experts of the share of tokens sent there times the mean probability; 1 if even."""
        experts = self.config.experts
        load = nn.functional.one_hot(chosen, experts).float().mean(dim=(0, 1))
        self.balance_loss = self.config.balance * experts * (load * likely.mean(dim=0)).sum()
        entropy = -(likely * likely.clamp_min(1e-9).log()).sum(dim=-1)
        self._seen.add(load.detach(), float(entropy.detach().mean()), float((~taken).float().mean()), len(likely))


class MoeTransformerModel(TransformerModel):  # type: ignore[no-untyped-call]
    """Like `TransformerModel`, the last block's feed-forward layer replaced by experts."""

    config_class: type[TransformerConfig] = MoeTransformerConfig

    def _feed_forwards(self, config: TransformerConfig) -> list[nn.Module]:
        assert isinstance(config, MoeTransformerConfig)
        return [*super()._feed_forwards(config)[:-1], Experts(config)]

    def take_auxiliary_loss(self) -> Tensor | None:
        """What the last pass in training adds to the loss; None after a pass that was none."""
        experts = self.blocks[-1].feed_forward
        assert isinstance(experts, Experts)
        loss, experts.balance_loss = experts.balance_loss, None
        return loss

    def told(self) -> dict[str, Any]:
        """Of all passes in training since it was last asked: each expert's share of the tokens, the router's entropy in nats,
        and the share of tokens that no expert took.
        """
        experts = self.blocks[-1].feed_forward
        assert isinstance(experts, Experts)
        return experts.told()


class MoeTransformer(Architecture):
    """The compact Transformer with experts."""

    config: ClassVar[type[Any]] = MoeTransformerConfig
    model: ClassVar[type[Any]] = MoeTransformerModel
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "": {},
        "top-2": {"experts_per_token": 2},
        "unlimited": {"capacity_factor": math.inf},
        "keras": {
            **Transformer.presets["keras"],
            "experts": 10,
            "capacity_factor": 1.0,
            "balance": 1.0,
            "noise": 0.1,
            "noise_adds": True,
        },
    }

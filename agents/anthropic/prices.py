"""What Claude models cost, and which one is asked by default."""

from dataclasses import dataclass

from ..model import budget
from ..model.budget import Price

# What the SDK's own examples use. A version takes few replies, and each decides what hours of training are spent on.
DEFAULT_MODEL = "claude-opus-5-5"

# Anthropic's list prices as published on 2026-10-24. Other models need --price.
PRICES: dict[str, Price] = {
    "claude-fable-5-1": Price(10, 50, 12.5, 0.25),
    "claude-fable-5": Price(10, 50, 12.5, 1),
    "claude-opus-5-5": Price(4, 20, 5, 0.2),
    **dict.fromkeys(
        ("claude-opus-5", "claude-opus-4-8", "claude-opus-4-7", "claude-opus-4-6", "claude-opus-4-5"),
        Price(5, 25, 6.25, 0.5),
    ),
    "claude-sonnet-5-5": Price(2, 10, 2.5, 0.1),
    "claude-sonnet-5": Price(2, 10, 2.5, 0.2),
    **dict.fromkeys(("claude-sonnet-4-6", "claude-sonnet-4-5"), Price(3, 15, 3.75, 0.3)),
    "claude-haiku-5-5": Price(0.1, 0.5, 0.125, 0.01),
    "claude-haiku-4-5": Price(1, 5, 1.25, 0.1),
}
# A request whose whole prompt is longer costs this, all of it.
_LONG_PROMPT_TOKENS = 100_000
_LONG_PROMPTS: dict[str, Price] = {"claude-haiku-5-5": Price(0.5, 2.5, 0.625, 0.05)}


@dataclass(frozen=True)
class Options(budget.Options):
    """Those of a Claude model: `price` is that of input and output, and the cache then costs what it usually does."""

    model: str = DEFAULT_MODEL

    def price_of(self, prompt_tokens: int) -> Price | None:
        """As listed, where no price is given."""
        if self.price is not None:
            uncached, output = self.price
            return Price(uncached, output, uncached * 1.25, uncached * 0.1)
        if prompt_tokens > _LONG_PROMPT_TOKENS and self.model in _LONG_PROMPTS:
            return _LONG_PROMPTS[self.model]
        return PRICES.get(self.model)

"""What a run may cost: options, list prices, and what was spent so far."""

from dataclasses import dataclass, replace
from typing import Literal, Protocol

from ...loop.errors import LoopError

Effort = Literal["low", "medium", "high", "xhigh", "max"]

# What the SDK's own examples use. A version takes few replies, and each decides what hours of training are spent on.
DEFAULT_MODEL = "claude-opus-5-5"
_MILLION = 1_000_000


class Usage(Protocol):
    """The part of the SDK's usage that is paid for."""

    @property
    def input_tokens(self) -> int: ...
    @property
    def output_tokens(self) -> int: ...
    @property
    def cache_creation_input_tokens(self) -> int | None: ...
    @property
    def cache_read_input_tokens(self) -> int | None: ...


@dataclass(frozen=True)
class Price:
    """USD a million tokens; `cache_write` is that of a cache that is kept for five minutes."""

    input: float
    output: float
    cache_write: float
    cache_read: float


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
class Options:
    """How the model is asked, and how much may be spent; None means the model's own default, or no limit.

    `price` is that of input and output, in USD a million tokens; the cache then costs what it usually does.
    """

    model: str = DEFAULT_MODEL
    effort: Effort | None = None
    max_tokens_total: int | None = None
    max_usd: float | None = None
    price: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        """Raises `LoopError` for a budget in USD where the price isn't known."""
        if self.max_usd is not None and self.price_of(0) is None:
            raise LoopError(
                f"the price of {self.model} is not known, so --max-usd can't be kept",
                hint="add --price INPUT/OUTPUT (USD a million tokens), or use --max-tokens-total instead",
            )

    def price_of(self, prompt_tokens: int) -> Price | None:
        """What a request with such a prompt costs; None where that isn't known."""
        if self.price is not None:
            uncached, output = self.price
            return Price(uncached, output, uncached * 1.25, uncached * 0.1)
        if prompt_tokens > _LONG_PROMPT_TOKENS and self.model in _LONG_PROMPTS:
            return _LONG_PROMPTS[self.model]
        return PRICES.get(self.model)

    def over(self, spent: "Spent") -> str | None:
        """Says which budget is used up; None while there is some left."""
        if self.max_tokens_total is not None and spent.tokens >= self.max_tokens_total:
            return f"{spent.tokens:,} of {self.max_tokens_total:,} tokens are used"
        if self.max_usd is not None and spent.usd is not None and spent.usd >= self.max_usd:
            return f"${spent.usd:.4f} of ${self.max_usd:g} is spent"
        return None


@dataclass(frozen=True)
class Spent:
    """Tokens and USD so far; `usd` is None where the price isn't known. Input is counted apart from the cache."""

    requests: int = 0
    input: int = 0
    output: int = 0
    cache_write: int = 0
    cache_read: int = 0
    usd: float | None = 0.0

    @property
    def prompt(self) -> int:
        return self.input + self.cache_write + self.cache_read

    @property
    def tokens(self) -> int:
        """Everything, read from the cache or not."""
        return self.prompt + self.output

    def plus(self, usage: Usage, options: Options) -> "Spent":
        """With one more reply."""
        written, read = usage.cache_creation_input_tokens or 0, usage.cache_read_input_tokens or 0
        price = options.price_of(usage.input_tokens + written + read)
        usd = None
        if price is not None and self.usd is not None:
            cost = usage.input_tokens * price.input + usage.output_tokens * price.output
            usd = self.usd + (cost + written * price.cache_write + read * price.cache_read) / _MILLION
        return replace(
            self,
            requests=self.requests + 1,
            input=self.input + usage.input_tokens,
            output=self.output + usage.output_tokens,
            cache_write=self.cache_write + written,
            cache_read=self.cache_read + read,
            usd=usd,
        )

    def __str__(self) -> str:
        """For a person: `12 requests, 51,204 tokens (81 % of the input from the cache), $0.0713`."""
        cached = f" ({100 * self.cache_read / self.prompt:.0f} % of the input from the cache)" if self.prompt else ""
        usd = "price unknown" if self.usd is None else f"${self.usd:.4f}"
        return f"{self.requests} requests, {self.tokens:,} tokens{cached}, {usd}"

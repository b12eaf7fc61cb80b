"""What a run may cost, and what was spent so far."""

from dataclasses import dataclass, replace
from typing import Literal, Protocol

from ...loop.errors import LoopError

Effort = Literal["low", "medium", "high", "xhigh", "max"]

_MILLION = 1_000_000


class Usage(Protocol):
    """What of a reply is paid for, in tokens; input is counted apart from the cache."""

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


@dataclass(frozen=True)
class Options:
    """How the model is asked, and how much may be spent; None means the model's own default, or no limit.

    `price` is that of input and output, in USD a million tokens.
    """

    model: str
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
        """What a request with such a prompt costs; None where that isn't known.

        What the cache saves differs from one API to the next, so that nothing is taken off for it here.
        """
        return None if self.price is None else Price(*self.price, self.price[0], self.price[0])

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

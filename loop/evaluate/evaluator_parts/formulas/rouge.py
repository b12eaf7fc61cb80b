"""ROUGE. Its words are those of any script, where rouge-score knows a-z and 0-9 alone (`words_ascii`)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from .kinds import Formula, times
from .texts import mean_list

Words = Sequence[str]
Tokens = Callable[[str], Words]
References = Sequence[Any]  # a text, or several, for each sample


def references(target: Any) -> list[str]:
    return [target] if isinstance(target, str) else target


def grams(words: Words, size: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[index : index + size]) for index in range(len(words) - size + 1))


def words_of_any_script(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.lower())


def words_ascii(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


def f_of(hits: float, predicted: int, target: int) -> float:
    return 2 * hits / (predicted + target) if hits else 0.0


def rouge_n(size: int, tokens: Tokens) -> Callable[[str, str], float]:
    def score(predicted: str, target: str) -> float:
        said, there = grams(tokens(predicted), size), grams(tokens(target), size)
        return f_of(sum((said & there).values()), sum(said.values()), sum(there.values()))

    return score


def longest_common(first: Words, second: Words) -> int:
    """The length of the longest common subsequence; a bit a word, as in Levenshtein's distance (Hyyrö 2004)."""
    places: dict[str, int] = {}
    for index, one in enumerate(first):
        places[one] = places.get(one, 0) | 1 << index
    every = (1 << len(first)) - 1
    row = every
    for other in second:
        same = row & places.get(other, 0)
        row = (row + same | row - same) & every
    return len(first) - bin(row).count("1")


def rouge_l(tokens: Tokens) -> Callable[[str, str], float]:
    def score(predicted: str, target: str) -> float:
        said, there = tokens(predicted), tokens(target)
        return f_of(longest_common(said, there), len(said), len(there))

    return score


def common_places(there: Words, said: Words) -> set[int]:
    """Where in `there` one longest common subsequence lies: that which rouge-score finds, walking back."""
    table = [[0] * (len(said) + 1) for _ in range(len(there) + 1)]
    for row, one in enumerate(there, 1):
        for column, other in enumerate(said, 1):
            longer = max(table[row - 1][column], table[row][column - 1])
            table[row][column] = table[row - 1][column - 1] + 1 if one == other else longer
    row, column, found = len(there), len(said), set[int]()
    while row and column:
        if there[row - 1] == said[column - 1]:
            row, column = row - 1, column - 1
            found.add(row)
        elif table[row][column - 1] > table[row - 1][column]:
            column -= 1
        else:
            row -= 1
    return found


def rouge_l_of_lines(tokens: Tokens) -> Callable[[str, str], float]:
    """ROUGE-Lsum: the target's lines, each against all of the prediction's."""

    def score(predicted: str, target: str) -> float:
        said = [tokens(line) for line in predicted.split("\n") if line]
        there = [tokens(line) for line in target.split("\n") if line]
        left = [Counter(word for line in lines for word in line) for lines in (said, there)]
        hits = 0
        for line in there:
            places = set[int]().union(*(common_places(line, other) for other in said))
            for place in places:
                if all(counter[line[place]] > 0 for counter in left):
                    hits += 1
                    for counter in left:
                        counter[line[place]] -= 1
        return f_of(hits, sum(map(len, said)), sum(map(len, there)))

    return score


def rouge(name: str, score: Callable[[str, str], float]) -> Iterator[Formula]:
    """The mean of each sample's F1; of several references the best one counts."""

    def each(predicted: Sequence[str], target: References) -> list[float]:
        return [max(score(text, one) for one in references(right)) for text, right in zip(predicted, target)]

    plain = mean_list(name, each, True)
    yield plain
    yield times(100, f"{name}_percent", plain)

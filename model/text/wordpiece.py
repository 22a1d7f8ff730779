"""Tokens of a text as BERT's uncased models take them: words are cut into the longest pieces of a vocabulary.

Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding", NAACL 2019. What
counts as a mark or as punctuation is told by the Unicode of Python's version. Ours, 60 lines: `tokenizers`, a compiled
package, would have to be on every machine that is asked in words. `vocabulary.txt` is that of BERT uncased (Google,
Apache-2.0).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

UNKNOWN, BEGIN, END = "[UNK]", "[CLS]", "[SEP]"
MOST_TOKENS = 256
"""Of a text, begin and end among them: what the network was trained with."""
_LONGEST_WORD = 100
"""Characters; a longer word is unknown."""
_CHINESE = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)
"""Code points whose characters are words of their own, as in the network's own tokenizer."""


class WordPiece:
    """Cuts texts into tokens.

    Args:
        vocabulary: the pieces, in the order of their numbers; a piece within a word begins with `##`.
    """

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self._numbers = {piece: number for number, piece in enumerate(vocabulary)}
        self.unknown, self._begin, self._end = (self._numbers[one] for one in (UNKNOWN, BEGIN, END))

    def tokens(self, text: str) -> list[int]:
        """The numbers of a text's pieces between those of begin and end, however many they are."""
        pieces = [number for word in words(text) for number in self._pieces(word)]
        return [self._begin, *pieces, self._end]

    def _pieces(self, word: str) -> list[int]:
        if len(word) > _LONGEST_WORD:
            return [self.unknown]
        found, start = [], 0
        while start < len(word):
            for end in range(len(word), start, -1):
                piece = ("##" if start else "") + word[start:end]
                if piece in self._numbers:
                    break
            else:
                return [self.unknown]
            found.append(self._numbers[piece])
            start = end
        return found


def shortened(tokens: list[int]) -> list[int]:
    """Tokens that a network can take: of more than `MOST_TOKENS` the first ones, and the end."""
    return tokens if len(tokens) <= MOST_TOKENS else [*tokens[: MOST_TOKENS - 1], tokens[-1]]


def words(text: str) -> list[str]:
    """The words of a text in small letters without accents, and each sign of punctuation by itself."""
    text = "".join(map(_clean, text))
    text = "".join(f" {one} " if _is_chinese(one) else one for one in text)
    text = "".join(one for one in unicodedata.normalize("NFD", text) if unicodedata.category(one) != "Mn")
    # Letter by letter: a whole text's `lower` would know the sigma at the end of a word.
    text = "".join(one.lower() for one in text)
    return "".join(f" {one} " if _is_punctuation(one) else one for one in text).split()


def _clean(one: str) -> str:
    """A space for any white space, and nothing for what has no place in a text."""
    if one in "\t\n\r":
        return " "
    if one in "\0\ufffd" or unicodedata.category(one) in ("Cc", "Cf", "Cs", "Co"):
        return ""
    return " " if one.isspace() else one


def _is_chinese(one: str) -> bool:
    return any(first <= ord(one) <= last for first, last in _CHINESE)


def _is_punctuation(one: str) -> bool:
    if "!" <= one <= "~" and one.isascii():
        return not one.isalnum()
    return unicodedata.category(one).startswith("P")

"""Tokens are those of the network's own tokenizer, whatever Unicode a text is made of."""

from __future__ import annotations

import pytest

from lookalike.model.text.bundle import vocabulary
from lookalike.model.text.encoder import word_piece
from lookalike.model.text.wordpiece import MOST_TOKENS, WordPiece, shortened, words

AWKWARD = {
    "naïve café": [101, 15743, 7668, 102],
    "CAFE\u0301": [101, 7668, 102],
    "東京の赤いdress": None,
    "👗 red dress 👠": [101, 100, 2417, 4377, 100, 102],
    "\0a\x07b\u200bc\u00ad d": None,
    "a\tb\nc\r\nd\x0be\x0cf\u2028g\x85h\xa0i\u3000j": None,
    "ΣΑΣ ΟΔΟΣ İstanbul \u1e9e Straße ŉ ǅ": None,
    "ﬁne ＡＢＣ ｱｲｳ 𝒜𝓑 12½ ² e\u0301\u0327 \u0345": None,
    "한국어 옷 красное हिन्दी ไทย عربي": None,
    "don't stop—now… $9.99+tax~`|<=>^ T-shirt/tee": None,
    "x" * 101: [101, 100, 102],
    "x" * 100: None,
    "a\ufffdb\U0002a6d6\U0002f800\ue000": None,
    "🏳️‍🌈 👩‍👧": None,
    " \t\n": [101, 102],
    "": [101, 102],
}


@pytest.fixture(scope="module")
def pieces() -> WordPiece:
    return word_piece(vocabulary())


@pytest.mark.parametrize("text", AWKWARD)
def test_awkward_texts_have_the_tokens_of_the_reference(pieces, text, tmp_path):
    if expected := AWKWARD[text]:
        assert pieces.tokens(text) == expected
    reference = pytest.importorskip("tokenizers", reason="the reference, tokenizers, is not installed")
    (tmp_path / "vocabulary.txt").write_bytes(vocabulary())
    theirs = reference.BertWordPieceTokenizer(str(tmp_path / "vocabulary.txt"), lowercase=True)
    assert pieces.tokens(text) == theirs.encode(text).ids


def test_small_letters_without_accents_and_punctuation_apart():
    assert words("A  Né-w\u0301 T'shirt") == ["a", "ne", "-", "w", "t", "'", "shirt"]


def test_the_longest_piece_wins_and_a_word_without_pieces_is_unknown():
    pieces = WordPiece(["[UNK]", "[CLS]", "[SEP]", "a", "ab", "##c", "##cd", "b"])
    assert pieces.tokens("abcd ac abx b") == [1, 4, 6, 3, 5, 0, 7, 2]


def test_a_long_text_keeps_its_end():
    tokens = [101, *range(1000, 1300), 102]
    assert shortened(tokens) == [*tokens[: MOST_TOKENS - 1], 102]
    assert shortened(tokens[:MOST_TOKENS]) == tokens[:MOST_TOKENS]

"""Tokens as the embedded embedder counts them: BERT's word pieces, without capitals.

The size of a chunk is measured in these. They are somewhat shorter than those of large models: English prose
has about 4.3 characters for each.
"""

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# The vocabulary of bert-base-uncased (Apache-2.0), one word piece a line; its line is its number.
_VOCABULARY = "wordpieces.txt"
_LONGEST_WORD = 100
"""Characters of a word; what is longer is one unknown token."""
CHARACTERS = 8
"""A token stands for no more of them: blank space and endless words have hardly any tokens."""


@cache
def word_pieces() -> "Tokenizer":
    """The tokenizer, loaded at its first use (about 0.1 s). It neither pads nor shortens."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    lines = files("antiphon.retrieval").joinpath(_VOCABULARY).read_text(encoding="utf-8").split("\n")
    vocabulary = {piece: number for number, piece in enumerate(lines) if piece}
    model = models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=_LONGEST_WORD)
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ends = [(name, vocabulary[name]) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    return tokenizer


def count(texts: Sequence[str]) -> list[int]:
    """How many tokens each text has."""
    counted = word_pieces().encode_batch_fast(list(texts), add_special_tokens=False)
    return [_tokens(len(one), len(text)) for one, text in zip(counted, texts, strict=True)]


def _tokens(pieces: int, characters: int) -> int:
    return max(pieces, -(-characters // CHARACTERS))

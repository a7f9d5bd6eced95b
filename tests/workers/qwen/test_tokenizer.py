import json
from pathlib import Path

import pytest
from tests.tiny_models import tiny_tokenizer
from tokenizers import Tokenizer, models

from scopebook.errors import CheckpointError
from scopebook_workers.qwen.tokenizer import cut_texts, fingerprint, load_tokenizer, token_pieces

TEXT = "the cat 中文\n🎉 naïve  end<|endoftext|>"


def saved(folder: Path, tokenizer: Tokenizer) -> Path:
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def test_the_pieces_of_a_text_make_its_bytes(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(saved(tmp_path, tiny_tokenizer()))
    pieces = token_pieces(tokenizer)

    [(token_ids, _)] = cut_texts(tokenizer, [TEXT])

    assert b"".join(pieces[token_id] for token_id in token_ids) == TEXT.encode()


def test_spans_are_characters_of_the_text_even_inside_an_emoji() -> None:
    tokenizer = tiny_tokenizer()

    [(token_ids, spans)] = cut_texts(tokenizer, ["a🎉b"])

    assert len(token_ids) == 6
    assert spans.tolist() == [[0, 1], [1, 2], [1, 2], [1, 2], [1, 2], [2, 3]]


def test_an_empty_text_has_no_tokens() -> None:
    [(token_ids, spans)] = cut_texts(tiny_tokenizer(), [""])

    assert (token_ids.shape, spans.shape) == ((0,), (0, 2))


def test_truncation_and_padding_of_the_file_do_not_count(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.enable_truncation(3)
    tokenizer.enable_padding(length=50)
    loaded = load_tokenizer(saved(tmp_path, tokenizer))

    [(token_ids, _)] = cut_texts(loaded, ["the cat sat on the mat"])

    assert 3 < len(token_ids) < 50


def test_the_fingerprint_knows_content_not_layout(tmp_path: Path) -> None:
    path = saved(tmp_path, tiny_tokenizer())
    first = fingerprint(load_tokenizer(path))
    content = json.loads((path / "tokenizer.json").read_text())
    reordered = dict(reversed(content.items()))
    (path / "tokenizer.json").write_text(json.dumps(reordered, indent=7))

    again = fingerprint(load_tokenizer(path))
    other = fingerprint(Tokenizer(models.BPE()))

    assert first == again
    assert first != other


def test_marks_of_other_tokenizers_become_spaces_and_bytes() -> None:
    vocabulary = {"▁the": 0, "<0xE4>": 1, "é": 3}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="é"))

    pieces = token_pieces(tokenizer)

    assert pieces == [b" the", b"\xe4", b"", "é".encode()]


def test_a_folder_without_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds no tokenizer that can be loaded"):
        load_tokenizer(tmp_path)

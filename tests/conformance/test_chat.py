"""What was recorded of transformers' chat templates is what it renders today."""

import json

import pytest

from . import chat

pytest.importorskip("transformers")


def test_the_record_is_theirs():
    assert chat.rendered() == json.loads(chat.RECORDED.read_text())["cases"]

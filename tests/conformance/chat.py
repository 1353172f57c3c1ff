"""Chat templates as published models have them, and what transformers makes of messages by them.

`python -m tests.conformance.chat` records it in tests/data/chat.json, which the normal test run
compares with. Invariant: nothing of the project computes anything here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RECORDED = Path(__file__).resolve().parent.parent / "data" / "chat.json"
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
# The forms that ChatML, Llama 2 and 3, Zephyr and Mistral use, and what templates do besides.
TEMPLATES = {
    "chatml": (
        "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + "
        "message['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    ),
    "headers": (
        "{% set loop_messages = messages %}{% for message in loop_messages %}"
        "{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + "
        "message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}"
        "{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}"
        "{% if add_generation_prompt %}"
        "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
    ),
    "brackets": (
        "{% if messages[0]['role'] == 'system' %}{% set rest = messages[1:] %}"
        "{% set system = '<<SYS>>\n' + messages[0]['content'] + '\n<</SYS>>\n\n' %}{% else %}"
        "{% set rest = messages %}{% set system = '' %}{% endif %}{% for message in rest %}"
        "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('Conversation roles must alternate user/assistant') }}{% endif %}"
        "{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + "
        "(system if loop.first else '') + message['content'] + ' [/INST]' }}"
        "{% else %}{{ ' ' + message['content'] + ' ' + eos_token }}{% endif %}{% endfor %}"
    ),
    "lines": """\
{%- for message in messages %}
    {%- if message.role == 'system' %}
        {{- '<|system|>\\n' ~ message.content ~ eos_token ~ '\\n' }}
    {%- else %}
        {{- '<|' ~ message.role ~ '|>\\n' ~ message.content ~ eos_token ~ '\\n' }}
    {%- endif %}
{%- endfor %}
{% if add_generation_prompt %}
    {{- '<|assistant|>\\n' }}
{% endif %}
""",
    "everything": """\
{%- set seen = namespace(count=0) -%}
{%- for message in messages -%}
    {%- if message.role == 'system' %}{% continue %}{% endif -%}
    {%- set seen.count = seen.count + 1 -%}
    {%- if message.role == 'assistant' -%}
        {% generation %}{{ message.content | upper }}{% endgeneration %}
    {%- else -%}
        {{ message | tojson }}{{ message.content | length }}
    {%- endif -%}
    {{ '<|im_end|>' }}
    {%- if seen.count > 3 %}{% break %}{% endif -%}
{%- endfor -%}
{{ tools is none }}{{ strftime_now('%%') }}{{ pad_token }}
""",
}
ASK = {"role": "user", "content": "  Is 1 < 2 & “so”? "}
TOLD = {"role": "assistant", "content": "Yes."}
CONVERSATIONS = {
    "question": [ASK],
    "system": [{"role": "system", "content": "Be brief."}, ASK],
    "turns": [ASK, TOLD, {"role": "user", "content": "And\nnow?"}],
    "long": [ASK, TOLD, ASK, TOLD, ASK],
}


def tokenizer(template: str) -> Any:
    """Byte pairs without merges, with the special tokens that the templates spell."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    marks = ("<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    names = [*SPECIAL.values(), *marks]
    words = {word: at for at, word in enumerate([*names, *letters])}
    inner = Tokenizer(models.BPE(words, []))
    inner.add_special_tokens([AddedToken(name, special=True) for name in names])
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    start = ("<s>", words["<s>"])
    inner.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[start])
    return PreTrainedTokenizerFast(tokenizer_object=inner, chat_template=template, **SPECIAL)


def rendered() -> dict[str, Any]:
    """By template, conversation and whether an answer is begun: the text, and its tokens."""
    found: dict[str, Any] = {}
    for name, template in TEMPLATES.items():
        theirs = tokenizer(template)
        for said, messages in CONVERSATIONS.items():
            for begun in (True, False):
                options = {"add_generation_prompt": begun}
                text = theirs.apply_chat_template(messages, tokenize=False, **options)
                ids = theirs.apply_chat_template(messages, return_dict=False, **options)
                found[f"{name}/{said}/{begun}"] = {"text": text, "ids": ids}
    found["prompt"] = {"text": "hi there", "ids": theirs("hi there")["input_ids"]}
    return found


if __name__ == "__main__":
    made = {"tokenizer": json.loads(tokenizer("").backend_tokenizer.to_str()), "cases": rendered()}
    RECORDED.write_text(json.dumps(made, ensure_ascii=False, separators=(",", ":")) + "\n")

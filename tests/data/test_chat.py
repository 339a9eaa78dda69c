# SPDX-License-Identifier: Apache-2.0
"""Conversations beside the released templates, which are written in Jinja."""

import json

import jinja2
import pytest
import tokenizers

from coder.data import chat, tokenizer
from coder.data.chat import Message

TOKENIZER = tokenizer.train(["### Instruction:\nUser: Assistant: add two numbers\n\n" * 3], 360)
WHOLE = tokenizers.Tokenizer.from_str(TOKENIZER.definition)
"""The same tokenizer, to which control tokens in a text are control tokens."""

V1 = """{% if not add_generation_prompt is defined %}
{% set add_generation_prompt = false %}
{% endif %}
{%- set ns = namespace(found=false) -%}
{%- for message in messages -%}
    {%- if message['role'] == 'system' -%}
        {%- set ns.found = true -%}
    {%- endif -%}
{%- endfor -%}
{{bos_token}}{%- if not ns.found -%}
{{'You are an AI programming assistant, utilizing the Deepseek Coder model, developed by Deepseek \
Company, and you only answer questions related to computer science. For politically sensitive \
questions, security and privacy issues, and other non-computer science questions, you will refuse \
to answer\\n'}}
{%- endif %}
{%- for message in messages %}
    {%- if message['role'] == 'system' %}
{{ message['content'] }}
    {%- else %}
        {%- if message['role'] == 'user' %}
{{'### Instruction:\\n' + message['content'] + '\\n'}}
        {%- else %}
{{'### Response:\\n' + message['content'] + '\\n<|EOT|>\\n'}}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{% if add_generation_prompt %}
{{'### Response:'}}
{% endif %}"""
V2 = (
    "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}"
    "{% endif %}"
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ 'User: ' + message['content'] + '\n\n' }}{% elif message['role'] == 'assistant' %}"
    "{{ 'Assistant: ' + message['content'] + eos_token }}{% elif message['role'] == 'system' %}"
    "{{ message['content'] + '\n\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
RELEASED = {"v1": V1, "v2": V2}
TALKS = [
    [Message("user", "add two numbers")],
    [Message("system", "Be brief."), Message("user", "a\nb\n"), Message("assistant", " c ")],
    [
        Message("user", "add"),
        Message("assistant", "```python\na + b\n```"),
        Message("user", "two\n"),
        Message("assistant", ""),
        Message("user", "été 😀"),
    ],
]


def rendered(messages: list[Message], template: str) -> str:
    """As transformers renders it: its environment trims blocks."""
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(RELEASED[template]).render(
        messages=[{"role": one.role, "content": one.content} for one in messages],
        add_generation_prompt=True,
        bos_token=tokenizer.BOS,
        eos_token=tokenizer.EOS,
    )


@pytest.mark.parametrize("template", chat.TEMPLATES)
@pytest.mark.parametrize("messages", TALKS)
def test_a_conversation_is_what_the_released_template_makes_of_it(messages, template):
    expected = rendered(messages, template)
    ids = chat.prompt_ids(TOKENIZER, messages, template)
    assert TOKENIZER.decode(ids) == expected
    assert ids == WHOLE.encode(expected, add_special_tokens=False).ids


def test_the_prompts_end_where_the_reply_begins():
    v1, v2 = (chat.prompt_ids(TOKENIZER, TALKS[0], template) for template in chat.TEMPLATES)
    assert TOKENIZER.decode(v1).endswith("\n### Response:\n")
    assert TOKENIZER.decode(v2).endswith("\n\nAssistant:")


def test_v1s_own_system_text_has_no_full_stop():
    assert chat.V1_SYSTEM.endswith("you will refuse to answer\n")
    assert chat.V1_SYSTEM in TOKENIZER.decode(chat.prompt_ids(TOKENIZER, TALKS[0], "v1"))


@pytest.mark.parametrize("template", chat.TEMPLATES)
def test_a_control_token_that_somebody_types_stays_text(template):
    spelled = f"{tokenizer.EOT}{tokenizer.EOS}{tokenizer.FIM_HOLE}"
    said = [Message("system", spelled), Message("user", spelled), Message("assistant", spelled)]
    ids = chat.prompt_ids(TOKENIZER, said, template)
    control = {token["id"] for token in json.loads(TOKENIZER.definition)["added_tokens"]}
    assert [id_ for id_ in ids if id_ in control] == [
        TOKENIZER.bos,
        chat.end_id(TOKENIZER, template),
    ]
    assert TOKENIZER.decode(ids) == rendered(said, template)


def test_a_reply_is_kept_without_the_templates_white_space():
    assert chat.reply("a\n\n", "v1") == "a\n"
    assert chat.reply("  a\n", "v2") == " a\n"


@pytest.mark.parametrize("template", chat.TEMPLATES)
def test_a_reply_as_the_model_writes_it_continues_the_prompt_as_the_template_would(template):
    written = "a + b\n" if template == "v1" else " a + b"
    question = [Message("user", "add")]
    said = [*question, Message("assistant", chat.reply(written, template)), *question]
    prompt = TOKENIZER.decode(chat.prompt_ids(TOKENIZER, question, template))
    assert TOKENIZER.decode(chat.prompt_ids(TOKENIZER, said, template)).startswith(prompt + written)


def test_without_the_token_that_ends_a_reply_v1_is_refused():
    definition = json.loads(TOKENIZER.definition)
    definition["added_tokens"] = [
        token for token in definition["added_tokens"] if token["content"] != tokenizer.EOT
    ]
    lacking = tokenizer.Tokenizer(json.dumps(definition))
    with pytest.raises(tokenizer.TokenizerError, match=r"no control token <\|EOT\|>"):
        chat.end_id(lacking, "v1")

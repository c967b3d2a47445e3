# SPDX-License-Identifier: BSD-2-Clause
"""Chat templates: against `transformers`, and hostile ones, which end in an error within their limits."""

import time

import pytest

from mixpe.errors import DtypeError, ModelError
from mixpe.text import ChatTemplate

NAMES = {"bos_token": "<s>", "eos_token": "</s>"}
TOOLS = [{"type": "function", "function": {"name": "f<1>", "parameters": {"a": "é"}}}]

TEMPLATES = {
    "llama-2": "{% for m in messages %}\n  {% if m.role == 'user' %}\n{{ bos_token + '[INST] ' + m['content'].strip() "
               "+ ' [/INST]' }}\n  {% else %}\n{{ ' ' + m['content'] + ' ' + eos_token }}\n  {% endif %}\n{% endfor %}",
    "tools":   "{%- if tools %}{% for t in tools %}{{ t | tojson }}{{ t | tojson(indent=2) }}{% endfor %}{% endif %}"
               "{{ messages | length }}",
    "loops":   "{% for m in messages %}{% if loop.index0 == 1 %}{% continue %}{% endif %}{{ m.content }}"
               "{% if loop.last %}{% break %}{% endif %}{% endfor %}",
    "marked":  "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}",
    "spaces":  "   {% set ns = namespace(n=0) %}\n\t{% for m in messages %}\n{% set ns.n = ns.n + 1 %}\n"
               "{{ ns.n }}|{{- m.content -}}|\n{% endfor %}\n",
    "macros":  "{% macro show(m) %}{{ m.role | upper }}: {{ m.content | trim }}{% endmacro %}"
               "{% for m in messages %}{{ show(m) }}{% endfor %}",
    "extra":   "{{ documents is none }} {{ tools is none }} {{ enable_thinking | default(true) }} "
               "{{ unknown }}|{{ add_generation_prompt }}",
}


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("tools", [None, TOOLS])
def test_text_is_the_references(messages, name, tools):
    from transformers.utils.chat_template_utils import render_jinja_template
    wanted, _ = render_jinja_template([messages], tools=tools, chat_template=TEMPLATES[name],
                                      add_generation_prompt=True, enable_thinking=False, **NAMES)
    template = ChatTemplate({"default": TEMPLATES[name]}, NAMES)
    assert template.render(messages, tools=tools, enable_thinking=False) == wanted[0]


def test_date_and_refusal(messages):
    assert ChatTemplate({"default": "{{ strftime_now('%Y') }}"}).render(messages) == time.strftime("%Y")
    with pytest.raises(ModelError, match="refuses this conversation: roles must alternate"):
        ChatTemplate({"default": "{{ raise_exception('roles must alternate') }}"}).render(messages)


def test_characters_of_all_kinds_pass():
    text = "é世🙂\x00\u2028<&>'\""
    assert ChatTemplate({"default": text + "{{ messages[0].content }}"}).render([{"content": text}]) == text * 2


SLOW = "did not end within 2 s|stopped"


@pytest.mark.parametrize("source, message", [
    ("{% for %}", "wrong at its line 1"),
    ("\n\n{{ a b }}", "wrong at its line 3"),
    ("{{ messages.nowhere.deeper }}", "UndefinedError"),
    ("{{ messages[0].content.__class__.__mro__ }}", "SecurityError.*unsafe"),
    ("{{ ''.__class__.__subclasses__() }}", "SecurityError.*unsafe"),
    ("{{ cycler.__init__.__globals__.os.system('true') }}", "SecurityError.*unsafe"),
    ("{{ messages.append(1) }}", "SecurityError"),
    ("{% include '/etc/passwd' %}", "no loader|TypeError"),
    ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "nested too deep"),
    ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "nested too deep|memory"),
    ("{% for i in range(100000) %}{% for i in range(100000) %}{% endfor %}{% endfor %}", SLOW),
    ("{{ 10 ** (10 ** 9) }}", SLOW),
    ("{{ 'a' * 10 ** 10 }}", "memory"),
    ("{% set ns = namespace(x='aa') %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}", "memory"),
    ("{{ 'a'.ljust(10 ** 10) }}", "memory"),
    ("{{ '%10000000000d' % 1 }}", "memory|failed"),
    ("{{ 'a' * 20000000 }}", "writes more than 16777216 characters"),
    ("{% for i in range(99999) %}{{ 'a' * 1000 }}{% endfor %}", "writes more than 16777216"),
    ("{{ range(10 ** 9) | list }}", "OverflowError|memory"),
])
def test_hostile_templates_end_in_an_error(messages, source, message):
    with pytest.raises(ModelError, match=message):
        ChatTemplate({"default": source}).render(messages, limit_s=2 if message is SLOW else 60)


def test_the_process_takes_nothing_from_here(messages, tmp_path, monkeypatch):
    (tmp_path/"jinja2.py").write_text("raise SystemExit")
    (tmp_path/"json.py").write_text("raise SystemExit")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert ChatTemplate({"default": "{{ messages | length }}"}).render(messages) == "3"


def test_wrong_requests_are_refused(messages):
    with pytest.raises(ModelError, match="no chat template; give it a plain text"):
        ChatTemplate({}).render(messages)
    with pytest.raises(ModelError, match="no chat template named default, only 'rag'"):
        ChatTemplate({"rag": ""}).render(messages)
    loop = []
    loop.append(loop)
    for wrong in ([{"content": b"a"}], [{"content": object()}], loop):
        with pytest.raises(DtypeError, match="must be JSON"):
            ChatTemplate({"default": ""}).render(wrong)

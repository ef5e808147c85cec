"""Templates that are not ours may neither reach out nor take the machine with them."""

import os
import time
from pathlib import Path

import pytest

from datakit.core.errors import TemplateError
from datakit.templates import Template
from datakit.templates.sandbox import Limits, Request, Sandbox, shared_sandbox


def make(jinja, answer_choices=None):
    body = {"jinja": jinja, "answer_choices": answer_choices}
    return Template(name="hostile", format="promptsource", body=body, origin="bad.yaml:3")


LOOP = "{% for a in range(99999) %}"
ENDLESS = LOOP * 3 + "{% endfor %}" * 3

HOSTILE = {
    "attribute": "{{ ''.__class__.__mro__[1].__subclasses__() }} ||| x",
    "attribute by filter": "{{ (text | attr('__class__')).__mro__ }} ||| x",
    "attribute by format": "{{ '{0.__class__.__mro__}'.format(text) }} ||| x",
    "globals of a function": "{{ zip.__self__ }}{{ namespace.__init__.__globals__ }} ||| x",
    "file by include": "{% include '/etc/passwd' %} ||| x",
    "file by import": "{% import '/etc/passwd' as x %}{{ x }} ||| x",
    "endless loop": ENDLESS + " ||| x",
    "endless loop in choices": "a ||| x",
    "1 GB by product": "{{ 'a' * 1000000000 }} ||| x",
    "300 MB by product": "{{ text * 300000000 }} ||| x",
    "1 GB by format": "{{ '%1000000000d' % 1 }} ||| x",
    "1 GB by format method": "{{ '{:>1000000000}'.format(text) }} ||| x",
    "1 GB by ljust": "{{ text.ljust(1000000000) }} ||| x",
    "1 GB by center": "{{ text | center(1000000000) }} ||| x",
    "1 GB by doubling": "{% set n = namespace(x='a') %}"
    + LOOP
    + "{% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x }} ||| x",
    "many pieces": "{% for a in range(99999) %}{% for b in range(9999) %}xxxxxxxxxx{% endfor %}{% endfor %} ||| x",
    "deep recursion": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }} ||| x",
    "endless draws": "{% for a in range(99999) %}{% for b in range(99999) %}{% set x = [text] | choice %}{% endfor %}"
    "{% endfor %} ||| x",
    "code of a generator": "{{ (text for text in [1]) }} ||| x",
    "frame of a cycler": "{{ cycler.__init__.__globals__.os.popen('id').read() }} ||| x",
    "attribute of self": "{{ self._TemplateReference__context.environment }}{{ self.__init__ }} ||| x",
    "attribute by map": "{{ [text] | map(attribute='__class__') | list | first | attr('mro') }} ||| x",
    "attribute by format_map": "{{ '{t.__class__.__mro__}'.format_map({'t': text}) }} ||| x",
    "big power": "{{ (7 ** (7 ** (7 ** 7))) | string | length }} ||| x",
}


@pytest.fixture(scope="module")
def quick():
    sandbox = Sandbox(Limits(seconds=0.4))
    yield sandbox
    sandbox.close()


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_template_is_stopped_with_an_error(kind, quick):
    template = make(HOSTILE[kind], ENDLESS if "choices" in kind else None)
    try:
        error = template.render([{"text": "a"}], sandbox=quick)[0].error
    except TemplateError as stopped:  # while it was compiled: Jinja computes constants there
        error = str(stopped)
    assert error
    assert "\n" not in error
    assert len(error) < 700
    fine = make("{{ text }} ||| fine").render([{"text": "a"}], sandbox=quick)
    assert fine[0].parts == ("a", "fine")


def test_apply_stops_an_endless_loop_within_seconds():
    start = time.monotonic()
    with pytest.raises(TemplateError, match=r"bad.yaml:3: template 'hostile' failed: .*3 seconds of CPU time"):
        make(ENDLESS + " ||| x").apply({"text": "a"})
    assert time.monotonic() - start < 60


def test_apply_and_choices_are_stopped_too(quick, monkeypatch):
    monkeypatch.setattr("datakit.templates.template.shared_sandbox", lambda: quick)
    template = make("{% if n %}" + ENDLESS + "{% endif %}{{ text * n }} ||| x", "{{ 'a' * (10 ** n) }} ||| b")
    assert template.apply({"text": "a", "n": 0}) == ["", "x"]
    with pytest.raises(TemplateError, match=r"more than 0\.4 seconds of CPU time"):
        template.apply({"text": "a", "n": 1})
    with pytest.raises(TemplateError, match=r"memory|status"):
        template.get_answer_choices_list({"text": "a", "n": 10})
    assert template.get_answer_choices_list({"text": "a", "n": 0}) == ["a", "b"]


def test_only_the_row_that_does_it_is_lost():
    template = make("{{ text * n }} ||| x")
    made = template.render([{"text": "ab", "n": n} for n in (1, 2, 10**9, 3)])
    assert [one.parts for one in made if one.error is None] == [("ab", "x"), ("abab", "x"), ("ababab", "x")]
    assert made[2].misfit == "error"


def test_the_worker_sees_no_environment_and_no_module_of_the_folder(tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text("raise SystemExit(9)")
    (tmp_path / "jinja2.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    sandbox = Sandbox()
    try:
        assert make("a ||| b").render([{}], sandbox=sandbox)[0].parts == ("a", "b")
        environment = Path(f"/proc/{sandbox._process.pid}/environ").read_text()
        assert "secret" not in environment
    except FileNotFoundError:
        pytest.skip("no /proc here")
    finally:
        sandbox.close()


def test_a_killed_worker_is_started_again():
    sandbox = Sandbox()
    try:
        template = make("{{ text }} ||| b")
        assert template.render([{"text": "1"}], sandbox=sandbox)[0].parts == ("1", "b")
        os.kill(sandbox._process.pid, 9)
        sandbox._process.wait()
        assert template.render([{"text": "2"}], sandbox=sandbox)[0].parts == ("2", "b")
    finally:
        sandbox.close()


def test_apply_starts_a_killed_worker_again():
    template = make("{{ text }} ||| b")
    for k in range(3):
        assert template.apply({"text": str(k)}) == [str(k), "b"]
        process = shared_sandbox()._process
        os.kill(process.pid, 9)
        process.wait()
    shared_sandbox().close()
    assert template.apply({"text": "c"}) == ["c", "b"]
    assert make("{{ text }}{{ text * (10 ** 9) }}").render([{"text": "a"}])[0].error
    assert template.apply({"text": "d"}) == ["d", "b"]


def test_a_row_that_is_nested_too_deeply_is_an_error():
    template, deep = make("{{ text }} ||| b"), []
    for _ in range(5000):
        deep = [deep]
    for _ in range(2):
        with pytest.raises(TemplateError, match="nested too deeply"):
            template.apply({"text": deep})
        assert template.apply({"text": "c"}) == ["c", "b"]


def test_a_worker_that_does_not_answer_is_killed():
    sandbox = Sandbox(Limits(seconds=600, deadline=0.5))
    try:
        made = make(ENDLESS + " ||| x").render([{}], sandbox=sandbox)
        assert "no answer in 0.5 s" in made[0].error
    finally:
        sandbox.close()


def test_long_batches_are_answered_in_parts():
    rows = [{"text": "x" * 3_000_000} for _ in range(12)]
    made = make("{{ text }}{{ text }} ||| b").render(rows)
    assert [len(one.parts[0]) for one in made] == [6_000_000] * 12


def test_a_request_that_cannot_be_said_leaves_the_sandbox_usable():
    sandbox = Sandbox()
    request = Request("d", "promptsource", {"jinja": "a ||| {{ x }}", "answer_choices": None}, "t")
    try:
        with pytest.raises(ValueError, match="unmarshallable"):
            sandbox.render(request, [{"x": 1}], seeds=[object()], share_random=False)
        assert sandbox.render(request, [{"x": 1}], seeds=None, share_random=False)[0][0] == ["a", "1"]
    finally:
        sandbox.close()


def test_worker_imports_nothing_heavy():
    import subprocess
    import sys

    heavy = {"pyarrow", "numpy", "pydantic", "torch", "ruamel"}
    code = f"import sys, datakit.templates.worker; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"

# SPDX-License-Identifier: BSD-2-Clause
"""A program: render one Jinja template in a sandbox and within limits.

Arguments are two files. The first is a JSON object: source, variables, limits (seconds, memory in bytes, characters)
and folders, where the libraries are. The second becomes {"text": …} or {"error": …}. `chat.py` runs this file's text in
a Python process of its own, so it imports nothing of the package.

The environment is that of `transformers`: trimmed blocks, loop controls, a tojson that leaves HTML alone,
raise_exception, strftime_now, and generation blocks, which only mark a part of the text.
"""

import json
import sys
from datetime import datetime


class Exceeded(Exception):
    """The text is longer than allowed."""


def limit(seconds, memory):
    """Bound this process; where the system has no such limits, the parent's limit on time remains."""
    try:
        import resource
    except ImportError:
        return
    limits = {resource.RLIMIT_AS: memory, resource.RLIMIT_CPU: int(seconds) + 1, resource.RLIMIT_CORE: 0}
    for kind, value in limits.items():
        try:
            resource.setrlimit(kind, (value, value))
        except (ValueError, OSError):
            pass


def environment():
    """The sandboxed environment."""
    import jinja2
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """{% generation %} … {% endgeneration %} is its contents."""

        tags = {"generation"}

        def parse(self, parser):
            line = next(parser.stream).lineno
            body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
            return jinja2.nodes.CallBlock(self.call_method("contents"), [], [], body).set_lineno(line)

        def contents(self, caller):
            return caller()

    def raise_exception(message):
        raise jinja2.TemplateError(message)

    def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    made = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    made.filters["tojson"] = tojson
    made.globals |= {"raise_exception": raise_exception,
                     "strftime_now": lambda format: datetime.now().strftime(format)}
    return made


def render(request):
    """Text of the template."""
    made, parts, length = environment(), [], 0
    most = request["limits"]["characters"]
    for part in made.from_string(request["source"]).generate(request["variables"]):
        length += len(part)
        if length > most:
            raise Exceeded(f"writes more than {most} characters")
        parts.append(part)
    return "".join(parts)


def main():
    question, target = sys.argv[1:]
    with open(question, "rb") as file:
        request = json.load(file)
    sys.path += request["folders"]
    limit(request["limits"]["seconds"], request["limits"]["memory"])
    try:
        answer = {"text": render(request)}
    except MemoryError:
        answer = {"error": f"needs more than {request['limits']['memory']} bytes of memory"}
    except Exceeded as error:
        answer = {"error": str(error)}
    except RecursionError:
        answer = {"error": "is nested too deep"}
    except Exception as error:
        import jinja2
        if isinstance(error, jinja2.TemplateSyntaxError):
            lead = f"is wrong at its line {error.lineno}"
        elif type(error) is jinja2.TemplateError:  # raise_exception
            lead = "refuses this conversation"
        else:
            lead = f"failed ({type(error).__name__})"
        answer = {"error": f"{lead}: {error}"[:1000]}
    with open(target, "w", encoding="ascii") as file:
        json.dump(answer, file)


if __name__ == "__main__":
    main()

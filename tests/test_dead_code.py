# SPDX-License-Identifier: BSD-2-Clause
"""Every name in the packages is used somewhere in packages or tests, or by a framework, as is said here."""

from pathlib import Path

from vulture import Vulture

ROOT     = Path(__file__).parents[1]
PACKAGES = ("host", "gateware", "sim", "boards")
USED = {  # by whom, though no line of ours says so
    "Migen collects what is added to it":                 {"comb", "specials"},
    "Migen and LiteX call it":                            {"do_finalize", "get_memories"},
    "a submodule, whose name is its place in the design": {"idelayctrl", "por"},
    "Migen names a signal or instance by it":             {"name_override"},
    "LiteDRAM reads it of a memory's settings":           {"rtt_nom"},
    "enum's value of a member":                           {"_value_"},
    "a column of a table that is written field by field": {"beats_out"},
    "argparse's text of an option, and layout of help":   {"help", "formatter_class"},
    "warnings calls it":                                  {"showwarning"},
    "reprlib's limits":                                   {"maxlevel", "maxlong", "maxother", "maxstring"},
    "pyserial's limit of a write":                        {"write_timeout"},
    "Jinja's names in a template":                        {"globals"},
    "a part of a tokenizer":                              {"pre_tokenizer", "encode_special_tokens"},
    "PyTorch shows a layer by it":                        {"extra_repr"},
    "Python's own: what kind an object is":               {"__class__"},
    "Python asks a module for what it has not":           {"__getattr__", "__dir__"},
    "uvicorn calls it":                                    {"send_400_response"},
    "ast calls it":                                       {"visit_NamedExpr"},
}


def unused(*folders):
    """Names that nothing uses, and where: list of (path, line, name)."""
    vulture = Vulture()
    vulture.scavenge([str(folder) for folder in folders])
    return [(Path(item.filename), item.first_lineno, item.name) for item in vulture.get_unused_code()]


def test_every_name_is_used():
    known = set().union(*USED.values())
    found = [item for item in unused(*(ROOT/folder for folder in (*PACKAGES, "tests")))
        if not item[0].is_relative_to(ROOT/"tests")]
    assert not [item for item in found if item[2] not in known], "remove it, or say in USED who uses it"
    stale = known - {name for _, _, name in found}
    assert not stale, "this is used, or is there no more"


def test_the_check_sees_what_is_unused(tmp_path):
    (tmp_path/"planted.py").write_text("def used():\n    pass\n\n\ndef dead():\n    used()\n")
    assert unused(tmp_path) == [(tmp_path/"planted.py", 5, "dead")]

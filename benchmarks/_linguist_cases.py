# SPDX-License-Identifier: Apache-2.0
"""Files for the comparison with Ruby's Linguist: made up from its tables, and the machine's own."""

import hashlib
import random
import string
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from coder.data.linguist.ruby_regex import FLAGS, parse, sre, translate
from coder.data.linguist.tables import tables, upstream

File = tuple[str, str]
"""Path and text."""

SAMPLES = 3
"""Texts for every heuristic pattern."""
PER_EXTENSION = 25
"""Real files of one extension."""
_OF_CATEGORY = {
    sre.CATEGORY_SPACE: " \n\t",
    sre.CATEGORY_NOT_SPACE: "a;=",
    sre.CATEGORY_WORD: "aZ_1",
    sre.CATEGORY_NOT_WORD: " ;-",
    sre.CATEGORY_DIGIT: "17",
    sre.CATEGORY_NOT_DIGIT: "a ",
}


def made_up() -> list[File]:
    """A file for every branch of Linguist's tables and rules, and some near misses."""
    known = tables()
    rng = random.Random(0)
    files = [(f"src/x{extension}", "x\n") for extension in known.by_extension]
    files += [(f"src/X{extension.upper()}", "") for extension in known.by_extension][::5]
    files += [(f"lib/{name}", "x\n") for name in known.by_filename]
    for name in known.by_interpreter:
        files += [
            ("bin/run", f"#!/usr/bin/{name}\n"),
            ("bin/go", f"#!/usr/bin/env -S A=1 {name} -x\n"),
        ]
    files += [("notes", f"a\n# vim: set ts=4 ft={alias}:\n") for alias in known.by_alias]
    files += [("notes.txt", f"-*- mode: {alias}; x: 1 -*-\n") for alias in known.by_alias]
    files += list(_of_heuristics(rng))
    files += [(path.lstrip("/"), "x\n") for path in _vendored(rng)]
    return files + HAND_WRITTEN


def real(folders: list[Path]) -> list[tuple[str, bytes]]:
    """Files below the folders, at most `PER_EXTENSION` of each extension, chosen by their names."""
    paths = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    paths.sort(key=lambda path: hashlib.blake2b(bytes(path)).digest())
    taken: Counter[str] = Counter()
    files = []
    for path in paths:
        if taken[path.suffix] < PER_EXTENSION and 0 < path.stat().st_size <= 1 << 20:
            taken[path.suffix] += 1
            files.append((str(path).lstrip("/"), path.read_bytes()))
    return files


def sample(pattern: str, rng: random.Random) -> str:
    """A text that a pattern of Linguist probably matches (conditions are not looked at)."""
    return _sample(parse(translate(pattern), FLAGS), rng, {})


def _of_heuristics(rng: random.Random) -> Iterator[File]:
    heuristics = upstream("heuristics")
    for entry in heuristics["disambiguations"]:
        for extension in entry["extensions"]:
            for rule in entry["rules"]:
                for _ in range(SAMPLES):
                    text = _of_rule(rule, heuristics["named_patterns"], rng)
                    yield f"src/x{extension}", f"a\n{text}\n"


def _of_rule(rule: dict[str, Any], named: dict[str, Any], rng: random.Random) -> str:
    if "and" in rule:
        return "\n".join(_of_rule(part, named, rng) for part in rule["and"])
    given = rule.get("pattern") or named.get(rule.get("named_pattern", "")) or "-"
    return sample(rng.choice(given) if isinstance(given, list) else given, rng)


def _vendored(rng: random.Random) -> Iterator[str]:
    for pattern in upstream("vendor"):
        path = sample(pattern, rng)
        yield from (path, f"a/{path}", f"a/x{path}y", f"{path}/b.c")


def _sample(items: Any, rng: random.Random, groups: dict[int, str]) -> str:
    text = ""
    for operation, argument in items:
        if operation is sre.LITERAL:
            text += chr(argument)
        elif operation is sre.NOT_LITERAL:
            text += rng.choice([letter for letter in "ab;" if ord(letter) != argument])
        elif operation is sre.ANY:
            text += rng.choice("a;(")
        elif operation is sre.IN:
            text += rng.choice(_members(argument))
        elif operation is sre.BRANCH:
            text += _sample(rng.choice(argument[1]), rng, groups)
        elif operation is sre.SUBPATTERN:
            groups[argument[0]] = _sample(argument[3], rng, groups)
            text += groups[argument[0]]
        elif operation is sre.GROUPREF:
            text += groups[argument]
        elif operation is sre.ATOMIC_GROUP:
            text += _sample(argument, rng, groups)
        elif operation in (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT):
            least, most, repeated = argument
            times = min(most, max(least, rng.randint(0, 2)))
            text += "".join(_sample(repeated, rng, groups) for _ in range(times))
    return text


def _members(items: Any) -> list[str]:
    """Some characters of a class."""
    found: list[str] = []
    for kind, value in items:
        if kind is sre.LITERAL:
            found.append(chr(value))
        elif kind is sre.RANGE:
            found += [chr(value[0]), chr(value[1])]
        elif kind is sre.CATEGORY:
            found += _OF_CATEGORY[value]
    if items[0][0] is not sre.NEGATE:
        return found
    return [letter for letter in string.printable[:-2] if letter not in found]


MODELINES: list[File] = [
    ("a.txt", text)
    for text in (
        "-*- ruby -*-\n",
        "-*-ruby-*-\n",
        "-*- ruby--*-\n",
        "x -*- foo:bar; mode: Ruby -*- y\n",
        "-*-mode:ruby-*-\n",
        "-*- foo: -*- bar -*-\n",
        "/* -*- tab-width: 4; mode:c++ -*- */\n1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n",
        "1\n2\n3\n4\n5\n# -*- ruby -*-\n7\n8\n9\n10\n11\n12\n13\n",
        "-*- ruby -*-",
        "\n\n# vim: ft=ruby",
        "\r\n\r\n# vim: ft=ruby\r\n1\r\n2\r\n3\r\n4\r\n5\r\n6\r\n7\r\n8\r\n",
        "1\r2\r3\r4\r5\r6\r7\r8\r9\r# vim: ft=ruby\r1\r2\r3\r4\r",
        "1\r\n2\r\n3\r\n4\r\n5\r\n6\r\n7\r\n8\r\n# vim: ft=ruby\r\n1\r\n2\r\n",
        "1\r\n2\r\n3\r\n4\r\n5\r\n6\r\n7\r\n8\r\n# vim: ft=ruby\r\n1\r\n",
        "# vim: noai:ft=ruby:ts=2\n",
        "# vim: noai ft = ruby\n",
        "# vim: noai ft =ruby\n",
        "# vim:ft=c:ft=ruby\n",
        "# vim: ft=c ft=ruby\n",
        "# vim600: set ft=ruby :\n",
        "# vim<600: ft=ruby\n",
        "# Vim: ft=ruby\n",
        "# Vi: ft=ruby\n",
        "# ex: syntax=ruby\n",
        "lex: syntax=ruby\n",
        "# vim: set ft=ruby\n",
        "# vim: se ft=ruby:\n",
        "# vim: titlestring=\\ ft=c ft=ruby\n",
        "# vim: filetype=ruby-x\n",
        "# vim: a=b : : c : ft=nothing\n",
        "UseVimball\n# vim: ft=ruby\n",
        "# vim: ft=help\n",
        "a\n" * 9 + "# vim: tw=78 ft=help\n" + "a\n" * 9,
    )
]
SHEBANGS: list[File] = [
    ("run", text)
    for text in (
        "#!/usr/bin/env",
        "#!\n",
        "#! perl",
        '#!/bin/sh\nexec wish "$0" ${1+"$@"}\n',
        "#!/bin/sh\nexec a$0 $@\nexec ruby $0 $@ $0\n",
        "#!/usr/bin/env -i FOO=1 --x BAR=a=b python3.11 -u\n",
        "#!/usr/bin/env =x python\n",
        "#!/usr/bin/env -vSu python\n",
        "#!/usr/bin/osascript -l JavaScript\n",
        "#!/usr/bin/osascript\n",
        "#!/usr/bin/python2.7\r\n",
        "#!/opt/x y/python\n",
        "\n#!/usr/bin/python\n",
        "#!/bin/bash/\n",
        "#!///\n",
        '<?xml version="1.0"?>\n<a/>\n',
        '\n<?xml version="1.0"?>\n<a/>\n',
        '\n\n<?xml version="1.0"?>\n<a/>\n',
    )
]
_META = "<html>\n<meta {}>\n"
GENERATED: list[File] = [
    ("A.nib", "x"),
    ("a/.idea/b.xml", "x"),
    ("Pods/a.c", "x"),
    ("x/Pods/a.c", "x"),
    ("xPods/a.c", "x"),
    ("Carthage/Build/a.c", "x"),
    ("a/__generated__/b.ts", "x"),
    ("a.Designer.cs", "x"),
    ("a.feature.cs", "x"),
    ("composer.lock", "x"),
    ("node_modules/a.c", "x"),
    ("vendor/github.com/a.go", "x"),
    ("vendor/-github.com/a.go", "x"),
    ("vendor/github-.com/a.go", "x"),
    ("a.esy.lock", "x"),
    ("package-lock.json", "{}"),
    (".terraform.lock.hcl", "x"),
    (".pnp.cjs", "x"),
    ("a.zep.c", "x"),
    (".zep.c", "x"),
    ("a_TLB.pas", "x"),
    ("a.js", "x" * 111),
    ("a.js", "x" * 110),
    ("a.js", "x" * 222 + "\n"),
    ("a.js", "x" * 221 + "\n"),
    ("a.CSS", "é" * 60),
    ("a.js", "x\n//# sourceMappingURL=a\n"),
    ("a.js", "x\n//# sourceMappingURL=a\n\n"),
    ("a.js", "x\n  sourceURL=a"),
    ("a.css.map", "x"),
    ("a.map", '{"version":3,"a":1}'),
    ("a.map", "/** Begin line maps. **/{ "),
    ("a.map", "x"),
    ("a.js", "// Generated by CoffeeScript 1.2\n"),
    ("a.js", "(function() {\n  var _i, _len, x;\n  var a, _ref;\n}).call(this);\n"),
    ("a.js", "(function() {\n  var _i, _len, x;\n}).call(this);\n"),
    ("a.js", "(function() {\n  var __bind;\n}).call(this);\n"),
    ("a.js", "/*\n * Generated by PEG.js 0.8\n */\n"),
    ("a.js", "x //* y */ /* Generated by PEG.js\n"),
    ("a.js", "/* a */ Generated by PEG.js\n"),
    ("a.js", "a/b /* *Generated by PEG.js\n"),
    ("a.xml", "<?xml?>\n<doc>\n<assembly>\n</doc>\n"),
    ("a.xml", "<?xml?>\n<doc>\n<assembly>\n</doc>"),
    ("a.ps", "%!PS\n%%Creator: foo 1.2\n"),
    ("a.ps", "%!PS\n%%Creator: foo\n"),
    ("a.eps", "%!PS\n%%Creator: EAGLE\n%%Title: EAGLE Drawing x\n"),
    ("a.ps", "x\n  currentfile eexec\n0123456789abcdef\n"),
    ("a.ps", "x\r\n\ncurrentfile eexec\n0123456789abcdef\r\n"),
    ("a.ps", "x\ncurrentfile eexec 0123456789abcdef\r\n"),
    ("a.ps", "x\n/sfnts [\n<0123456789\n"),
    ("a.ps", "x\n/sfnts [\r<0123456789\r"),
    ("a.ps", "x\n\r/sfnts [\r<01234567\r"),
    ("a.go", "a\n" * 39 + "// Code generated by x\n"),
    ("a.go", "a\n" * 40 + "// Code generated by x\n"),
    ("a.go", "// Code generated by x"),
    ("a.proto", "a\n// This file was autogenerated by go-to-protobuf\n"),
    ("a.py", "# Generated by the protocol buffer compiler.  DO NOT EDIT!\n"),
    ("a.py", "\n\n\n# Generated by the protocol buffer compiler.  DO NOT EDIT!\n"),
    ("a.PY", "# Generated by the protocol buffer compiler.  DO NOT EDIT!\n"),
    ("a.js", "1\n2\n3\n4\n5\n// GENERATED CODE -- DO NOT EDIT!\n"),
    ("a.js", "1\n2\n3\n4\n5\n// GENERATED CODE -- DO NOT EDIT!"),
    ("a.rb", "# Autogenerated by Thrift Compiler (1)"),
    ("a.h", "/* DO NOT EDIT THIS FILE - it is machine generated */\n#include <jni.h>\n"),
    ("a.h", "/* DO NOT EDIT THIS FILE - it is machine generated */\n#include <jni.h>"),
    ("a.yml", "a\nb\nrecorded_with: VCR 2\n"),
    ("a.yml", "a\nrecorded_with: VCR 2\nb"),
    ("a.yml", "recorded_with: VCR 2\n"),
    ("a.g", "a\n// generated by Xtest\n"),
    ("a.c", "/* Generated by Cython 3 */\n"),
    ("a.c", "/* Generated by Cython 3 */"),
    ("a.mod", "PCBNEW-LibModule-V1\n"),
    ("a.mod", "GFORTRAN module version '4' created\n"),
    ("a.meta", "fileFormatVersion: 2\nguid: 1\n"),
    ("a.rb", "a\n#\n# This file is automatically generated by Racc 1\n"),
    ("a.rb", "a\n#\n # This file is automatically generated by Racc 1\n"),
    ("A.java", "/* The following code was generated by JFlex 1 */\n"),
    ("A.java", "// This is a generated file. Not intended for manual editing.\n"),
    ("A.JAVA", "// This file is generated by jOOQ."),
    ("a.Rd", "% Generated by roxygen2: do not edit by hand\n"),
    ("a.rd", "% Generated by roxygen2: do not edit by hand\n"),
    ("a.html", "<!-- Generated by pkgdown: do not edit by hand -->\n"),
    ("a.html", "1\n2\n<!-- This is an automatically generated file.\n"),
    ("a.html", "<!--  generated by doxygen 1.8 -->\n"),
    ("a.htm", _META.format('name="generator" content="groff 1.2"')),
    ("a.htm", _META.format("name=GENERATOR value='Org  mode'/")),
    ("a.htm", _META.format("name=generator content=orgmode")),
    ("a.htm", _META.format("content=ronn name=x name=generator")),
    (
        "a.htm",
        _META.format("name='generator' content='x'") + _META.format("name=generator value=ronn"),
    ),
    ("a.htm", "<meta\n<meta name=generator\ncontent=makeinfo\n>\n"),
    ("a.htm", "<metaname=generator content=makeinfo>\n"),
    ("a.js", "/* parser generated by jison 0.4 */\n"),
    ("a.js", "/* generated by jison-lex 0.3 */\n"),
    ("a.cc", "// Generated by the gRPC C++ plugin.\n"),
    ("a.dart", "// GENERATED CODE - DO NOT MODIFY\n"),
    ("a.dart", "// GENERATED CODE—DO NOT MODIFY\n"),
    ("a.dart", "// GENERATED CODE – DO NOT MODIFY\n"),
    ("ppport.h", "a\n" * 8 + "Automatically created by Devel::PPPort\n\n\n"),
    ("ppport.h", "a\n" * 8 + "Automatically created by Devel::PPPort\n"),
    ("a.yy", '1\n2\n"modelName": "GMx"\n3\n'),
    ("a.yyp", "1.0.0x|{\n2\n3\n4\n"),
    ("a.c", "/* GIMP RGB C-Source image dump (a.c) */"),
    ("a.c", "/* GIMP RGB C-Source image dump (.c) */"),
    ("a.h", "/*  GIMP header image file format (RGB): a.h  */\n"),
    ("a.DSP", "\n\n# Microsoft Developer Studio Generated Build File"),
    ("a.lua", "-- Generated by Haxe"),
    (".rb", "# Autogenerated by Thrift Compiler (1)"),
    ("a.b/c", "Code generated by\n"),
]
HAND_WRITTEN = MODELINES + SHEBANGS + GENERATED

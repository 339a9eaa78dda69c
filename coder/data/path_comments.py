# SPDX-License-Identifier: Apache-2.0
"""The comment that names a file's path, in the syntax of its language.

A line comment where the language has one, else a block comment on one line. Languages without any
(JSON, notebooks), and those that are not named here, get `// `. Some choices:

- PHP: `<?php // path ?>`, since outside of its tags all is output; this prints nothing, and a
  `namespace` or `declare` that must come first still may follow;
- pages (JSP, ERB, Twig, ...): the template's own comment, which does not reach the reader;
- GNU assembly: `/* */`, for its line comment differs from processor to processor;
- literate programs: the comment of the text around the code;
- COBOL: in column 7, where the fixed form has its mark, too;
- Brainfuck: a loop at the start, which never runs.

Whatever the path holds, the comment is one and ends where it should: unprintable characters (line
breaks among them) become U+FFFD, what would end or nest a comment is opened up by a space, and what
carries a line comment on into the next line (a last backslash, `^` in batch files, ` _` in Basic)
becomes U+FFFD.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Comment:
    """How a language writes a comment on one line."""

    before: str
    after: str = ""
    opened: tuple[str, ...] = ()
    """What must not stand in the comment; a space goes before its last character."""
    replaced: str = ""
    """Characters that must not stand in the comment; they become U+FFFD."""

    def of(self, path: str) -> str:
        """The comment with `path` in it, and its line break."""
        if not path.isprintable():
            path = "".join(letter if letter.isprintable() else "\ufffd" for letter in path)
        for letter in self.replaced:
            path = path.replace(letter, "\ufffd")
        for text in self.opened:
            path = _opened_up(path, text)
        if not self.after.strip():
            path = _CARRIED_ON.sub("\ufffd", path)
        return f"{self.before}{path}{self.after}\n"


_CARRIED_ON = re.compile(r"(?:[\\^]|(?<= )_|(?<=\?\?)/) *\Z")


def _opened_up(path: str, text: str) -> str:
    """The path with a space in each `text`, which may overlap itself (`--` in `---`)."""
    while text in path:
        path = path.replace(text, f"{text[:-1]} {text[-1]}")
    return path


_SLASHES = Comment("// ")
_MARKUP = Comment("<!-- ", " -->", opened=("-->", "--!>"))

_COMMENTS: dict[Comment, str] = {
    Comment("# "): """
        ApacheConf; Awk; Berry; BitBake; Boo; CMake; CoffeeScript; Crystal; Cython; Darcs Patch;
        Debian Package Control File; Diff; Dockerfile; Elixir; EmberScript; Execline; Fancy; fish;
        GAP; GDScript; Gentoo Ebuild; Gentoo Eclass; Gettext Catalog; Glyph; Gnuplot; GraphQL; HCL;
        HTTP; JAGS; Julia; Kconfig; Lighttpd Configuration File; Limbo; Makefile; Maple; Meson;
        Mirah; Nginx; Nim; Ninja; Nit; Nix; NSIS; ObjDump; PEG; Parrot Internal Representation;
        Perl; PkgConfig; PowerShell; Praat; Puppet; Python; R; RAML; Ragel; Raku; RConsole; Ren'Py;
        RobotFramework; Ruby; Sage; Shell; ShExC; Sieve; Singularity; Smali; SPARQL; Tcl; Tcsh;
        Terminfo; Thrift; Treetop; TypoScript; Unity3D Asset; USD; YAML; Zeek; Zimpl; AMPL; Ride;
        Starlark; TOML; INI; MiniYAML""",
    _SLASHES: """
        ActionScript; AGS Script; Alloy; AmbientTalk; AMD GPU; ANTLR; AspectJ; Asymptote;
        Bluespec; Boogie; C; C#; C++; Ceylon; Chapel; ChucK; Click; Cuda; Cypher; Dart;
        DeviceTree; DM; Dylan; eC; F#; F*; Fantom; Felix; FLUX; FreeFem; GLSL; Go; Gosu; Grace;
        Gradle; Groovy; GSQL; Haxe; HLSL; IGOR Pro; Io; Java; JavaScript; JavaScript MozPreproc;
        JFlex; JSON; Jupyter Notebook; Koka; Kotlin; KRL; Lasso; Less; LSL; Metal; MiniScript;
        Modelica; MQL4; MQL5; mupad; NetLinx; Objective-C; Objective-C++; Odin; OMG Interface
        Definition Language; ooc; Opa; OpenCL; OpenSCAD; Ox; Pawn; Pike; Pony; POV-Ray SDL;
        Processing; Protocol Buffer; QML; QVTO; Reason; RenderScript; Rust; SARL; Sass; Scala;
        Scilab; SCSS; Silver; Smithy; Solidity; SourcePawn; SQF; Squirrel; Stan; Stata; Stylus;
        SuperCollider; Swift; SWIG; SystemVerilog; Tea; TSX; TypeScript; Uno; UnrealScript; Vala;
        VCL; Verilog; WebIDL; Whiley; X10; xBase; XC; Xtend; YANG; Zephir; Zig; D; JSON with
        Comments; Graphviz (DOT)""",
    Comment("-- "): """
        Ada; Agda; AppleScript; C2hs Haskell; CADL; CapDL; Eiffel; Elm; Futhark;
        Grammatical Framework; Haskell; Idris; Lean; Lua; MoonScript; NuSMV; PLpgSQL; PLSQL;
        PureScript; SQL; SQLPL; TSQL; VHDL""",
    Comment("; "): """
        Arc; Assembly; AutoHotkey; AutoIt; BlitzBasic; BNF; Cirru; Clojure; Common Lisp; Csound;
        Csound Score; DASM16; Emacs Lisp; Fennel; G-code; Hy; Inno Setup; Jasmin; LFE; LLVM;
        Motorola 68K Assembly; NCL; Nu; Papyrus; PureBasic; Racket; Red; Rouge; Scheme; SMT;
        Xtlang""",
    Comment("% "): """
        BST; ELPi; Erlang; LilyPond; Literate Agda; Literate Haskell; Logtalk; MATLAB; Oz; Prolog;
        TeX; Turing""",
    Comment("' "): """
        BlitzMax; Brightscript; Monkey; Propeller Spin; REALbasic; VBA; VBScript;
        Visual Basic .NET""",
    Comment("! "): """
        ANSYS Parametric Design Language; Factor; Fortran; Fortran Free Form; Inform 6 Template;
        Mosel""",
    Comment("## "): "Mako; Velocity Template Language",
    Comment("/ "): "K; q; Slim",
    Comment(";; "): "WebAssembly",
    Comment("%# "): "Mason",
    Comment("//- "): "Pug",
    Comment("//* "): "JCL",
    Comment('" '): "ABAP; Vim Script",
    Comment('.\\" '): "Roff; Roff Manpage",
    Comment(":: "): "Mizar",
    Comment("      *> "): "COBOL",
    Comment("dnl "): "M4",
    Comment("NB. "): "J",
    Comment("REM "): "Batchfile",
    Comment("⍝ "): "APL",
    Comment(".. file: "): "reStructuredText",
    Comment("=for comment ", "\n"): "Pod",
    Comment("/* ", " */", opened=("*/", "/*")): """
        BC; CSS; Lex; Linker Script; Maxima; Moocode; OpenEdge ABL; REXX; SAS; Unix Assembly; XS;
        Yacc""",
    # strings and quotations count within these, too
    Comment("(* ", " *)", opened=("*)", "(*"), replaced='"|'): """
        Augeas; EBNF; Isabelle; Mathematica; Modula-2; OCaml; Standard ML; UrWeb""",
    Comment("{ ", " }", replaced="{}"): "Pascal",
    Comment("(: ", " :)", opened=(":)", "(:")): "JSONiq; XQuery",
    Comment("( ", " )", replaced="()"): "MUF",
    Comment('" ', ' "', replaced='"'): "Self; Smalltalk",
    Comment("[ ", " ]", replaced="[]"): "Brainfuck",
    _MARKUP: """
        Classic ASP; Genshi; HTML; HTML+PHP; Literate CoffeeScript; Markdown; RMarkdown; Vue""",
    Comment("<!-- ", " -->", opened=("--",)): "XML; XSLT",
    Comment("<!--- ", " --->", opened=("--->", "<!---")): "ColdFusion CFC",
    Comment("<?php // ", " ?>", opened=("?>",)): "PHP",
    Comment("<%-- ", " --%>", opened=("--%>",)): "Groovy Server Pages; Java Server Pages",
    Comment("<%# ", " %>", opened=("%>",)): "HTML+ERB",
    Comment("<#-- ", " -->", opened=("-->",)): "FreeMarker",
    Comment("{# ", " #}", opened=("#}",)): "Jinja; Twig",
    Comment("{* ", " *}", opened=("*}",)): "Smarty",
    Comment("{{!-- ", " --}}", opened=("--}}",)): "Handlebars",
    Comment("{% comment %} ", " {% endcomment %}", opened=("{%",)): "Liquid",
}

COMMENTS: dict[str, Comment] = {
    " ".join(name.split()): comment
    for comment, names in _COMMENTS.items()
    for name in names.split(";")
}
"""Language to its comment."""


def path_header(path: str, language: str) -> str:
    """The path as a comment of `language`, with its line break."""
    return COMMENTS.get(language, _SLASHES).of(path)

# SPDX-License-Identifier: Apache-2.0
"""DeepSeek-Coder's lists of languages in Linguist's names.

`v1` follows the README of DeepSeek-Coder, which names 89 languages (the paper counts 87): 88 are
Linguist's, Maple is not. `v2` follows the 338 names of DeepSeek-Coder-V2's `supported_langs.txt`.
Of those, 267 are Linguist's names or aliases, 25 are languages that Linguist calls
otherwise or counts to another language (`OTHER_NAMES`), and 46 are not in Linguist: they go by
the extensions and file names that their definitions give (`OWN`). Names for one language, as
`Docker` and `Dockerfile` or `Jade` and `Pug`, fall together. Where Linguist has since divided a
language that the lists name, `FAMILIES` has all its parts. `core` is the small corpus's seven.
"""

from dataclasses import dataclass

V1_NAMES = tuple(
    """
    ada agda alloy antlr applescript assembly augeas awk batchfile bluespec c c-sharp clojure
    cmake coffeescript common-lisp cpp css cuda dart dockerfile elixir elm emacs-lisp erlang
    f-sharp fortran glsl go groovy haskell html idris isabelle java java-server-pages javascript
    json julia jupyter-notebook kotlin lean literate-agda literate-coffeescript literate-haskell
    lua makefile maple markdown mathematica matlab ocaml pascal perl php powershell prolog
    protocol-buffer python r racket restructuredtext rmarkdown ruby rust sas scala scheme shell
    smalltalk solidity sparql sql stan standard-ml stata systemverilog tcl tcsh tex thrift
    typescript verilog vhdl visual-basic xslt yacc yaml zig
    """.split()
)
V2_NAMES = tuple(
    " ".join(name.split())
    for name in """
    ABAP; AGS Script; AMD GPU; AMPL; ANSYS Parametric Design Language; ANTLR; APL; ASP; AWK;
    ActionScript; Ada; Agda; Alloy; AmbientTalk; Apache Configuration; AppleScript; Arc;
    Arduino; AspectJ; Assembly; Asymptote; Augeas; AutoHotkey; AutoIt; BC; BNF; BST; Berry;
    BitBake; BlitzBasic; BlitzMax; Bluespec; Boo; Boogie; Brainfuck; BrightScript; Bro; C; C#;
    C++; C2HS Haskell; CADL; CMake; COBOL; COBOLFree; CSS; CUDA; CapDL; Ceylon; Chapel; ChucK;
    Cirru; Click; Clojure; CoffeeScript; ColdFusion CFC; Common Lisp; Crystal; Csound; Csound
    Score; Cypher; Cython; DASM16; DM; Darcs Patch; Dart; Debian Control File; DeviceTree; Diff;
    Docker; Dockerfile; Dylan; EBNF; ELPi; Eiffel; Elixir; Elm; Emacs Lisp; EmberScript; Erlang;
    Execline; F#; F*; Factor; Fancy; Fantom; Felix; Fennel; Fish; Flux; Fortran; Fortran Fixed
    Form; FoxPro; FreeFem; FreeMarker; Futhark; G-Code; GAP; GAS; GDScript; GLSL; GSQL; Genshi;
    Gentoo Ebuild; Gentoo Eclass; Gettext Catalog; Glyph; Gnuplot; Go; Gosu; Grace; Gradle;
    Grammatical Framework; GraphQL; Graphviz DOT; Groff; Groovy; Groovy Server Pages; HCL; HLSL;
    HTML; HTML Django; HTML ERB; HTML PHP; HTTP; Handlebars; Haskell; Haxe; Hy; IGOR Pro; Idris;
    Inform 6 Template; Inno Setup; Io; Isabelle; J; JAGS; JCL; JFlex; JSON; JSONiq; JSX; Jade;
    Jasmin; Java; Java Server Pages; JavaScript; JavaScript MozPreproc; Julia; Jupyter Notebook;
    K; KRL; Kconfig; Koka; Kotlin; LFE; LLVM; LSL; Lean; Less; Lex; Lighttpd Configuration File;
    LilyPond; Limbo; Linker Script; Liquid; Literate Agda; Literate CoffeeScript; Logtalk; Lua;
    M4; MATLAB; MQL; MUF; Makefile; Mako; Mason; Maxima; Meson; Metal; MiniScript; Mirah; Mizar;
    Modelica; Modula-2; Monkey; MooCode; MoonScript; Mosel; MuPAD; NASM; NCL; NSIS; NetLinx;
    Nginx Configuration File; Nimrod; Ninja; Nit; Nix; Nu; NuSMV; OCaml; OMG Interface
    Definition Language; Objdump; Objective-C; Objective-C++; Octave; Odin; Opa; OpenCL;
    OpenEdge ABL; OpenSCAD; Ox; Oz; PAWN; PEG; PHP; POD; POV-Ray; Papyrus; Parrot Internal
    Representation; Pascal; Perl; Perl 6; Pike; PkgConfig; Pony; PowerShell; Praat; Processing;
    Propeller Spin; Protocol Buffer; Pug; Puppet; PureBasic; PureScript; Python; Q; QML; QVTO;
    R; RAML; RConsole; REALbasic; REXX; RHTML; Racket; Ragel in Ruby Host; Rd; ReasonML; Red;
    Ren'Py; RenderScript; Ride; Robot Framework; Rouge; Ruby; Rust; S; SARL; SAS; SCSS; SMT;
    SPARQL; SQF; SQL; SWIG; Sage; Sass; Scala; Scheme; Scilab; Self; ShExC; Shell; Sieve;
    Silver; Singularity; Slim; Smali; Smarty; Smithy; Solidity; SourcePawn; Squirrel; Stan;
    Standard ML; Stata; Stylus; SuperCollider; Swift; SystemVerilog; Tcl; Tcsh; TeX; Tea;
    Terminfo; Thrift; Transact-SQL; Treetop; Turing; Twig; TypeScript; TypoScript; USD; Unity3D
    Asset; Uno; UnrealScript; UrWeb; VBScript; VCL; VHDL; Vala; Velocity; Verilog; VimL; Visual
    Basic; Vue; Web IDL; WebAssembly; Whiley; X10; XBase; XC; XML; XML Lasso; XQuery; XS; XSLT;
    Xtend; Xtlang; YANG; Zeek; Zephir; Zig; Zimpl; eC; ooc
    """.split(";")
)
CORE_NAMES = ("Python", "C", "C++", "JSON", "YAML", "HTML", "Markdown")

FAMILIES: dict[str, tuple[str, ...]] = {
    "assembly": ("Assembly", "Motorola 68K Assembly", "Unix Assembly"),
    "fortran": ("Fortran", "Fortran Free Form"),
    "sql": ("SQL", "PLSQL", "PLpgSQL", "SQLPL", "TSQL"),
    "typescript": ("TypeScript", "TSX"),
    "visual-basic": ("Visual Basic .NET", "VBA"),
}
"""A list's name (lower case, `-` for spaces) to the languages that Linguist has for it today."""

OTHER_NAMES: dict[str, tuple[str, ...]] = {
    "apache-configuration": ("ApacheConf",),
    "arduino": ("C++",),
    "c-sharp": ("C#",),
    "cobolfree": ("COBOL",),
    "debian-control-file": ("Debian Package Control File",),
    "docker": ("Dockerfile",),
    "f-sharp": ("F#",),
    "fortran-fixed-form": ("Fortran",),
    "graphviz-dot": ("Graphviz (DOT)",),
    "html-django": ("Jinja",),
    "html-erb": ("HTML+ERB",),
    "html-php": ("HTML+PHP",),
    "jade": ("Pug",),
    "jsx": ("JavaScript",),
    "mql": ("MQL4", "MQL5"),
    "nginx-configuration-file": ("Nginx",),
    "nimrod": ("Nim",),
    "perl-6": ("Raku",),
    "ragel-in-ruby-host": ("Ragel",),
    "rd": ("R",),
    "reasonml": ("Reason",),
    "robot-framework": ("RobotFramework",),
    "s": ("R",),
    "transact-sql": ("TSQL",),
    "visual-basic": ("Visual Basic .NET", "VBA"),
    "web-idl": ("WebIDL",),
    "xml-lasso": ("Lasso",),
}
"""Names (lower case, `-` for spaces) that are no alias to Linguist, and what it calls them."""


@dataclass(frozen=True)
class Own:
    """How files of a language are recognised that Linguist does not recognise."""

    extensions: tuple[str, ...] = ()
    """Lower case, with the dot; the longest that fits counts (`.js.in` before `.in`)."""
    file_names: tuple[str, ...] = ()
    instead_of: tuple[str, ...] = ()
    """Languages that Linguist gives the extension to; this one goes before, if it is asked for."""


OWN: dict[str, Own] = {
    "AMD GPU": Own((".isa",)),
    "ANSYS Parametric Design Language": Own((".ans",)),
    "AmbientTalk": Own((".at",)),
    "BC": Own((".bc",)),
    "BNF": Own((".bnf",)),
    "BST": Own((".bst",)),
    "CADL": Own((".cadl",)),
    "CapDL": Own((".cdl",)),
    "Cypher": Own((".cyp", ".cypher")),
    "DASM16": Own((".dasm", ".dasm16")),
    "Debian Package Control File": Own((), ("control",)),
    "DeviceTree": Own((".dts", ".dtsi")),
    "ELPi": Own((".elpi",)),
    "Execline": Own((".exec",)),
    "Felix": Own((".flx", ".flxh")),
    "FreeFem": Own((".edp",)),
    "GSQL": Own((".gsql",)),
    "Inform 6 Template": Own((".i6t",)),
    "JAGS": Own((".bug", ".jag", ".jags")),
    "JCL": Own((".jcl",)),
    "JavaScript MozPreproc": Own((".js.in",)),
    "Jinja": Own((".html.j2", ".htm.j2", ".xhtml.j2")),
    "K": Own((".k",)),
    "Kconfig": Own((), ("Kconfig", "Kconfig.debug", "Config.in", "external.in")),
    "Koka": Own((".kk", ".kki")),
    "Lighttpd Configuration File": Own((), ("lighttpd.conf",)),
    "Maple": Own((".mpl", ".maple"), (), ("JetBrains MPS",)),
    "Mason": Own((".mhtml",), ("autohandler", "dhandler")),
    "Maxima": Own((".mac", ".max")),
    "MiniScript": Own((".ms",), (), ("MAXScript",)),
    "Mizar": Own((".miz",)),
    "Mosel": Own((".mos",)),
    "NuSMV": Own((".smv",)),
    "OMG Interface Definition Language": Own((".idl", ".pidl")),
    "PEG": Own((".peg",)),
    "PkgConfig": Own((".pc",)),
    "Praat": Own((".praat", ".proc")),
    "QVTO": Own((".qvto",)),
    "RConsole": Own((".rout",)),
    "Ride": Own((".ride",)),
    "SARL": Own((".sarl",)),
    "ShExC": Own((".shex",)),
    "Silver": Own((".sil", ".vpr")),
    "Smithy": Own((".smithy",)),
    "Terminfo": Own((".terminfo", ".ti"), ("terminfo.src",)),
    "Treetop": Own((".treetop", ".tt")),
    "TypoScript": Own((".typoscript",)),
    "USD": Own((".usd", ".usda")),
    "Velocity Template Language": Own((".vm",)),
    "Xtlang": Own((".xtm",)),
}
"""Extensions are those of Pygments' lexers, of Vim's file types or of the language's manual."""

# SPDX-License-Identifier: Apache-2.0
"""Which files a Ruby file requires, checked by hand against what ruby itself loads."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coder.data.dependencies import ruby
from coder.data.dependencies.ruby.masking import masked
from coder.data.dependencies.ruby.source import read
from tests.data.dependencies.repository import needs


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("require 'x'", {"x"}),
        ('require "x/y.rb" if a', {"x/y.rb"}),
        ("require('x'); Kernel.require 'y'; a && require(\n 'z' )", {"x", "y", "z"}),
        ("begin; require 'x'; rescue LoadError; require 'y'; end", {"x", "y"}),
        ("autoload :A, 'x'; Foo.autoload(:B, \"y\"); autoload 'C', 'z'", {"x", "y", "z"}),
        ("%w[a b].each { |a| require a }; require 'x' + a; require 'x'.y; require x", set()),
        ('require "#{x}/y"; require "x#{y}"; require \'a\\b\'', set()),
        ("a.require 'x'; def require(x); end; @require = 'x'; YAML.load 'x'; :require", set()),
        ("autoload A, 'x'; require: 'x'; require? 'x'; prerequire 'x'", set()),
        ("# require 'x'\n'require \"y\"'; \"require 'z'\"; require 'w' # 'v'", {"w"}),
        ("=begin\nrequire 'x'\n=end\nrequire 'y'", {"y"}),
        ("a\n=begin x\n=endless\n'\n=end\nrequire 'y'\n__END__\nrequire 'x'", {"y"}),
        ("a = '__END__\n__END__ \nx'; require 'y'", {"y"}),
        ("a = <<~A\n  require 'x'\n  it's\n  A\nrequire 'y'", {"y"}),
        ("f(<<-A, <<'B', 'c')\nit's\n  A\nit's\nB\nrequire 'y'", {"y"}),
        ("a = <<A\n A\n'\nA\nrequire 'y'", {"y"}),
        ("a <<-'end;', 1\n  require 'x'\n  end;\nrequire 'y'", {"y"}),
        ("a << B; c <<D; class << self; end; e <<-1; require 'y'", {"y"}),
        (
            "a = %q(it's (a) 'b'); b = %w[' \\] ']; %i<'>; c = %(#{require 'x'} '); require 'y'",
            {"x", "y"},
        ),
        ("a = b % c; d = 5 %(e); f %= 'g'; require 'y'", {"y"}),
        ("puts %w('); a.each %r{'}; require 'y'", {"y"}),
        ("a = /'/; b =~ /[\\/\"]/; c.split /'/; if /'/ then end; require 'y'", {"y"}),
        ("a = b / c; d = (e) / f; g /h; i = 1 /2; '/'; require 'y'", {"y"}),
        ("a = /#{b =~ /'/ ? '}' : \"}\"} '/x; require 'y'", {"y"}),
        ('a = "#{b("\'") { |c| "#{c}\'" }}\'"; require \'y\'', {"y"}),
        ("a = `echo '`; b = :\"'\"; c = :'\"'; d = [?', ?\"]; $' + $\"; require 'y'", {"y"}),
        ("def /(a) = b; def `(c) = d; e.nil? ? 'f' : \"g\"; require 'y'", {"y"}),
        ("a = 'unterminated; require 'x'", set()),
    ],
)
def test_what_is_required(code: str, found: set[str]):
    assert {name for verb, name in read("a.rb", code).required if verb == "require"} == found


FILES = dict.fromkeys(
    [
        "lib/gem.rb",
        "lib/gem/a.rb",
        "lib/gem/b.rb",
        "lib/gem/data.rb.txt",
        "lib/set.rb",
        "test/helper.rb",
        "spec/helper.rb",
        "spec/spec_helper.rb",
        "tasks/t.rb",
        "top.rb",
    ],
    "",
)


@pytest.mark.parametrize(
    ("path", "statement", "needed"),
    [
        ("lib/gem/x.rb", "require_relative 'a'", "lib/gem/a.rb"),
        ("lib/gem/x.rb", "require_relative './a.rb'", "lib/gem/a.rb"),
        ("lib/gem/x.rb", "require_relative '../set'", "lib/set.rb"),
        ("lib/gem/x.rb", "require_relative '../../../a'", None),
        ("lib/gem/x.rb", "require_relative 'gem/a'", None),
        ("lib/gem/x.rb", "require 'gem/a'", "lib/gem/a.rb"),
        ("lib/gem/x.rb", "require 'gem/a.rb'", "lib/gem/a.rb"),
        ("lib/gem/x.rb", "require 'set'", "lib/set.rb"),
        ("lib/gem/x.rb", "require 'a'", None),
        ("lib/gem/x.rb", "require '/lib/gem/a'", None),
        ("lib/gem/x.rb", "require 'json'", None),
        ("lib/gem/x.rb", "autoload :A, 'gem/a'", "lib/gem/a.rb"),
        ("lib/gem/x.rb", "autoload :A, File.expand_path('a', __dir__)", "lib/gem/a.rb"),
        ("bin/x.rb", "require 'gem'", "lib/gem.rb"),
        ("bin/x.rb", "require './top'", "top.rb"),
        ("bin/x.rb", "load 'tasks/t.rb'", "tasks/t.rb"),
        ("bin/x.rb", "load './tasks/t.rb', true", "tasks/t.rb"),
        ("bin/x.rb", "load 'gem/a.rb'", "lib/gem/a.rb"),
        ("bin/x.rb", "require File.expand_path('../../top', __FILE__)", "top.rb"),
        ("bin/x.rb", "require File.expand_path '../top', __dir__", "top.rb"),
        ("bin/x.rb", "require __dir__ + '/../top'", "top.rb"),
        ("bin/x.rb", "require File.dirname(__FILE__) + '/../top.rb'", "top.rb"),
        ("bin/x.rb", "require File.join(File.dirname(__FILE__), '..', 'top')", "top.rb"),
        ("bin/x.rb", "require File.expand_path(File.join(__dir__, '../top'))", "top.rb"),
        ("bin/x.rb", "require File.expand_path(File.dirname(__FILE__) + '/../top')", "top.rb"),
        ("bin/x.rb", 'require "#{__dir__}/../top"', "top.rb"),
        ("bin/x.rb", "load File.join(__dir__, '..', 'tasks', 't.rb')", "tasks/t.rb"),
        ("bin/x.rb", "require File.join(x, 'top')", None),
        ("bin/x.rb", "require File.expand_path('../../../top', __FILE__)", None),
        ("bin/x.rb", "require File.expand_path('top')", None),
        ("test/x.rb", "require 'helper'", "test/helper.rb"),
        ("spec/deep/x.rb", "require 'helper'", "spec/helper.rb"),
        ("spec/deep/x.rb", "require 'spec_helper'; require 'rspec'", "spec/spec_helper.rb"),
    ],
)
def test_required_files(path: str, statement: str, needed: str | None):
    assert needs(FILES | {path: statement}, path) == ({needed} if needed else set())


GEMS = {
    "one/one.gemspec": "Gem::Specification.new { |s| s.name = 'one' }",
    "one/lib/one.rb": "",
    "one/lib/version.rb": "",
    "two/two.gemspec": "s.require_paths = ['lib', \"src\"]",
    "two/src/deep.rb": "",
    "two/lib/version.rb": "",
    "three/three.gemspec": "s.require_paths = %w[code ext/x]",
    "three/code/three.rb": "",
    "four/lib/four.rb": "",
}


def test_gems_of_a_repository_see_each_other_and_first_themselves():
    new = {"two/lib/new.rb": "require 'one'; require 'version'; require 'deep'; require 'three'"}
    assert needs(GEMS | new, "two/lib/new.rb") == {
        "one/lib/one.rb",
        "two/lib/version.rb",
        "two/src/deep.rb",
        "three/code/three.rb",
    }
    assert needs(GEMS | {"two/lib/new.rb": "require 'four'"}, "two/lib/new.rb") == set()


@pytest.mark.parametrize(
    "statement",
    [
        "$LOAD_PATH.unshift File.expand_path('../more', __FILE__)",
        "$:.unshift(File.join(__dir__, 'more'))",
        "$: << __dir__ + '/more'",
    ],
)
def test_folders_that_are_put_on_the_load_path_are_seen(statement: str):
    files = {"setup.rb": statement, "more/x.rb": "", "test/t.rb": "require 'x'"}
    assert needs(files, "test/t.rb") == {"more/x.rb"}
    assert needs(files | {"setup.rb": ""}, "test/t.rb") == set()


PIECES = [
    *"'\"`/%?$#{}()[]<>|\\=:.,+ \n\0aqw1",
    "#{",
    "<<~A",
    "<<A",
    "A\n",
    "=begin",
    "=end",
    "\udc80",
]
PIECES += [
    "__END__",
    "require ",
    "require_relative ",
    "autoload :A, ",
    "File.join(",
    "__dir__",
    "$:",
]
PIECES += ["File.expand_path(", "__FILE__", "load ", " << ", "'x'", "%w[", "def ", "if "]


@settings(deadline=None)  # time is another test's business
@given(st.lists(st.sampled_from(PIECES), max_size=40))
def test_any_text_is_read_and_masked_in_place(pieces: list[str]):
    text = "".join(pieces)
    files = {"a.rb": text, "lib/x.rb": "", "x.rb": ""}
    index = ruby.build_index(files, {"a.gemspec": text})
    assert ruby.targets("a.rb", text, index) <= files.keys()
    assert len(masked(text)) == len(text)
    assert masked(text).count("\n") == text.count("\n")


HOSTILE = [
    "'\\",
    '"',
    '"#{',
    "/",
    "a /",
    "%",
    "%(",
    "<<A",
    "<<~A\n",
    "A\n",
    "=begin\n",
    "{",
    "}",
    "?'",
]
HOSTILE += [
    "require ",
    "File.join(",
    "require File.join(",
    "require 'a' + ",
    "$: << ",
    "a /b",
    "\n",
]
HOSTILE += ["require File.join('a', ", "autoload :A, "]


@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_text_takes_linear_time(piece: str):
    source = "require 'x'\n" + piece * (250_000 // len(piece))
    began = time.process_time()
    ruby.targets("a.rb", source, ruby.build_index({"a.rb": source}, {"a.gemspec": source}))
    assert time.process_time() - began < 5

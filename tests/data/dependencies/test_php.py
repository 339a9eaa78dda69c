# SPDX-License-Identifier: Apache-2.0
"""Which files a PHP file needs: classes by name, functions, and what it requires."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coder.data.dependencies import php
from coder.data.dependencies.php.source import blanked
from tests.data.dependencies.repository import needs

LIBRARY = {
    "lib/User.php": "<?php namespace App\\Model; final class User { const A = 1; function b() {} }",
    "lib/Order.php": "<?php\nnamespace App\\Model;\nabstract class Order {}",
    "lib/Color.php": "<?php namespace App\\Model; enum Color: string { case Red = 'r'; }",
    "lib/Saves.php": "<?php namespace App\\Model; interface Saves {}",
    "lib/Logs.php": "<?php namespace App\\Util; trait Logs {}",
    "lib/functions.php": "<?php namespace App\\Util; function &slug(string $a) {} const LIMIT = 3;",
    "lib/Plain.php": "<?php class Plain {}",
    "lib/both.php": "<?php namespace X { class One {} } namespace { class Two {} }",
}


@pytest.mark.parametrize(
    ("code", "needed"),
    [
        ("use App\\Model\\User;", ["User"]),
        ("use \\App\\Model\\User as U, App\\Model\\Order;", ["User", "Order"]),
        ("use App\\Model\\{User, Order as O,};", ["User", "Order"]),
        ("use App\\{Model\\User, Util\\Logs, function Util\\slug};", ["User", "Logs", "functions"]),
        ("use App\\Model; new Model\\User;", ["User"]),
        ("use function App\\Util\\slug;", ["functions"]),
        ("use const App\\Util\\LIMIT;", ["functions"]),
        ("use function App\\Util\\{slug as s};", ["functions"]),
        ("\\App\\Util\\slug(1); echo \\App\\Model\\User::A;", ["functions", "User"]),
        ("new \\app\\model\\USER();", ["User"]),
        ("new Plain; new X\\One; new Two;", ["Plain", "both"]),
        ("namespace App\\Model; new User();", ["User"]),
        ("namespace App\\Model; User::b(); $a = Order::class;", ["User", "Order"]),
        ("namespace App\\Model; class A extends Order implements Saves {}", ["Order", "Saves"]),
        (
            "namespace App\\Model; function f(User $a, ?Order $b): Color {}",
            ["User", "Order", "Color"],
        ),
        ("namespace App\\Model; fn(User|Order $a): Saves => $a;", ["User", "Order", "Saves"]),
        (
            "namespace App\\Model; class A { private ?User $a; use \\App\\Util\\Logs; }",
            ["User", "Logs"],
        ),
        ("namespace App\\Util; class A { use Logs { a as b; } }", ["Logs"]),
        ("namespace App\\Model; try {} catch (User | Order $e) {}", ["User", "Order"]),
        (
            "namespace App\\Model; $a instanceof User ? new Order : new Color;",
            ["User", "Order", "Color"],
        ),
        (
            "namespace App\\Model; #[User(1), Order([2]), Saves] class A {}",
            ["User", "Order", "Saves"],
        ),
        (
            "namespace App\\Model; match($a) { Color::Red => new class extends User {} };",
            ["Color", "User"],
        ),
        ("namespace App\\Model; switch ($a) { case Color::Red: case User::A: }", ["Color", "User"]),
        ("namespace App; new namespace\\Model\\User; new Model\\Order;", ["User", "Order"]),
        ("namespace App\\Util; slug(1); namespace\\slug(2);", ["functions"]),
        ("namespace A { new \\Plain; } namespace App\\Model { new User; }", ["Plain", "User"]),
        ("use App\\Model\\User; $f = function() use ($a) { return new User; };", ["User"]),
        ("$a->User(); User::$b; $a?->Plain; $Plain; f(Plain: 1); User();", []),
        ("namespace App\\Model; class A { const User = 1; function Order() {} }", []),
        ("namespace App\\Model; enum B { case User; case Order = 1; }", []),
        ("namespace App\\Model; goto User; User: function Order() {}", []),
        ("namespace App\\Model; $a = User(1) + Order\\f();", []),
        ("new Plain2; new One; use Nothing\\Plain;", []),
        ("// new Plain\n# new Plain\n/* new Plain */ /** @var Plain */ $a = 'new Plain';", []),
        ('$a = "new Plain {$b} \\" new Plain"; $c = `new Plain`;', []),
        ("$a = <<<EOT\nnew Plain;\n  EOTX new Plain\n  EOT . 'x';", []),
        ("$a = <<<'A'\nA; new Plain; $b = <<<\"B\"\n' new Two\nB;", ["Plain"]),
        ("?> new Plain; <p>it's</p> <?= new Two ?> new Plain", ["both"]),
        ("// line ends here ?> new Plain <?php new Two;", ["both"]),
        ("#[Plain]\nfunction f() {}", ["Plain"]),
    ],
)
def test_names_of_classes_and_functions(code: str, needed: list[str]):
    files = LIBRARY | {"new.php": f"<?php {code}"}
    assert needs(files, "new.php") == {f"lib/{name}.php" for name in needed}


def test_outside_of_php_nothing_is_code():
    assert needs(LIBRARY | {"a.php": "new Plain; 'it's' <?xml new Plain ?>"}, "a.php") == set()


@pytest.mark.parametrize(
    ("statement", "needed"),
    [
        ("require 'b.php';", "a/b.php"),
        ("require_once('b.php');", "a/b.php"),
        ('include "./b.php";', "a/b.php"),
        ("$x = include_once ( '../c.php' ) ;", "c.php"),
        ("require 'c.php';", "c.php"),
        ("require 'a/b.php';", "a/b.php"),
        ("require __DIR__ . '/b.php';", "a/b.php"),
        ("return require __DIR__.'/../c.php';", "c.php"),
        ("require dirname(__FILE__) . '/b.php';", "a/b.php"),
        ("require(dirname(dirname(__FILE__)) . '/c.php');", "c.php"),
        ("require dirname(__DIR__) . DIRECTORY_SEPARATOR . 'c.php';", "c.php"),
        ("require \\dirname(__DIR__, 1) . '/c.php'", "c.php"),
        ("if (true) REQUIRE 'b.php';", "a/b.php"),
        ("require dirname(__DIR__, 2) . '/c.php';", None),
        ("require __DIR__ . '/c.php';", None),
        ("require __FILE__ . '/b.php';", None),
        ("require $x . 'b.php'; require 'b' . '.php'; require \"$b.php\";", None),
        ("require '/a/b.php'; require 'missing.php'; require '../../c.php';", None),
        ("$x->require('b.php'); 'require \"b.php\"'; // require 'b.php'", None),
    ],
)
def test_required_files(statement: str, needed: str | None):
    files = {"a/x.php": f"<?php {statement}", "a/b.php": "<?php", "c.php": "<?php"}
    assert needs(files, "a/x.php") == ({needed} if needed else set())


def composer(**autoload: object) -> dict[str, str]:
    """A composer.json with these rules."""
    return {"composer.json": json.dumps({"autoload": autoload})}


@pytest.mark.parametrize(
    ("rules", "needed"),
    [
        ({"psr-4": {"A\\": "src/"}}, "src/B/C.php"),
        ({"psr-4": {"": "src", "A\\B\\": ["none", "old/"]}}, "old/C.php"),
        ({"psr-0": {"A\\": "lib"}}, "lib/A/B/C.php"),
        ({}, "a/C.php"),
    ],
)
def test_of_several_files_with_a_class_the_autoloader_takes_one(
    rules: dict[str, object], needed: str
):
    places = ["src/B/C.php", "old/C.php", "lib/A/B/C.php", "a/C.php", "z.php"]
    files = dict.fromkeys(places, "<?php namespace A\\B; class C {}")
    files |= {"a/new.php": "<?php use A\\B\\C;"} | composer(**rules)
    assert needs(files, "a/new.php") == {needed}


def test_rules_of_composer_find_what_no_file_declares_by_its_name():
    alias = {"src/Old_Name.php": "<?php class_alias('x', 'y');"}
    new = {"new.php": "<?php new A\\Old_Name;"}
    assert needs(alias | new | composer(**{"psr-4": {"A\\": "src"}}), "new.php") == set(alias)
    old = {"lib/A/Old/Name.php": "<?php"}
    assert needs(old | new | composer(**{"psr-0": {"A": "lib/"}}), "new.php") == set(old)
    development = {"composer.json": '{"autoload-dev": {"psr-4": {"A\\\\": "src"}}}'}
    assert needs(alias | new | development, "new.php") == set(alias)


def test_functions_of_files_that_are_always_loaded_count_by_their_bare_name():
    files = {
        "helpers.php": "<?php if (!function_exists('env')) { function env() {} }",
        "other.php": "<?php function other() {} class A { function own() {} }",
        "new.php": "<?php namespace N; env(); other(); own();",
    }
    assert needs(files, "new.php") == set()
    assert needs(files | composer(files=["helpers.php"]), "new.php") == {"helpers.php"}


def test_a_class_of_the_same_file_comes_before_others():
    files = {"a.php": "<?php class A {} new A;", "b.php": "<?php class A {} class B {}"}
    assert needs(files, "a.php") == set()


PIECES = ["<?php ", "?>", "'", '"', "`", "\\", "/*", "*/", "//", "#", "#[", "]", "{", "}", "(", ")"]
PIECES += [
    "<<<A\n",
    "A",
    "\n",
    "use ",
    "namespace ",
    "class ",
    "function ",
    ",",
    ";",
    "const ",
    "=",
]
PIECES += ["require ", "__DIR__", ".", "dirname(", "A\\B", "$a", "->", "::", "\0", "\udc80", "new "]


@settings(deadline=None)  # time is another test's business
@given(st.lists(st.sampled_from(PIECES), max_size=40))
def test_any_text_is_read_and_blanked_in_place(pieces: list[str]):
    text = "".join(pieces)
    files = {"a.php": text, "b.php": "<?php namespace A; class B {}"}
    index = php.build_index(files, {"composer.json": text})
    assert php.targets("a.php", text, index) <= files.keys()
    assert len(blanked(text)) == len(text)


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["autoload", "autoload-dev"]),
        st.dictionaries(
            st.sampled_from(["psr-4", "psr-0", "files", "classmap"]),
            st.none()
            | st.lists(st.sampled_from(["", "a", "../..", "/"]))
            | st.dictionaries(st.sampled_from(["", "\\", "A", "A\\"]), st.text(max_size=3)),
        ),
    )
)
def test_strange_rules_raise_nothing(manifest: dict[str, object]):
    files = {"a.php": "<?php new A\\B; f();", "b/B.php": "<?php"}
    index = php.build_index(files, {"composer.json": json.dumps(manifest)})
    assert php.targets("a.php", files["a.php"], index) <= files.keys()


HOSTILE = ["'\\", '"\\', "<<<A\n", "<<<B", "/*", "?><?php ", "{", "use ", "class ", "namespace a{"]
HOSTILE += ["#[", "require ((", "dirname(", "A\\", "use a,{", "<", "require __DIR__ ", "$ ", "\\"]


@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_text_takes_linear_time(piece: str):
    source = "<?php " + piece * (250_000 // len(piece))
    began = time.process_time()
    php.targets("a.php", source, php.build_index({"a.php": source}, {}))
    assert time.process_time() - began < 5

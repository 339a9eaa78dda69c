# SPDX-License-Identifier: Apache-2.0
"""GitHub Linguist's rules in Python: a file's language, and whether somebody wrote it by hand.

`detect.language` names the language; `exclusions` has vendored, generated and minified files, each
a function of its own. The data are Linguist's (`upstream/`), and the decisions are compared with
Ruby's (`make oracle NAME=languages`), down to quirks: text is matched as bytes, as Ruby does.
"""

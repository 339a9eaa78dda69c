# SPDX-License-Identifier: Apache-2.0
# What Ruby's Linguist says of files: JSON lines {"path", "text" in base64} in, JSON lines out.
require "base64"
require "json"
require "linguist"

# Remembers which strategy decided.
class Instrumenter
  attr_accessor :strategy

  def instrument(name, payload = {})
    @strategy = payload[:strategy].name if name == "linguist.detected"
    yield if block_given?
  end
end

Linguist.instrumenter = Instrumenter.new
STDIN.each_line do |line|
  given = JSON.parse(line)
  blob = Linguist::Blob.new(given["path"], Base64.decode64(given["text"]))
  Linguist.instrumenter.strategy = nil
  language = Linguist.detect(blob)
  puts JSON.generate(
    language: language && language.name,
    strategy: Linguist.instrumenter.strategy.to_s.split("::").last,
    binary: blob.binary?,
    vendored: blob.vendored?,
    generated: !!blob.generated?
  )
end

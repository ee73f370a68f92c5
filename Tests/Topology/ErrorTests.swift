// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Recording
import Testing
import Topology

/// Every error of a topology file, at its exact line and column.
@Suite struct ErrorTests {
  static let good = """
    format: 1
    name: t
    summary: A test
    hooks:
      txg1:
        side: guest
        watch: guest-device
        candidates:
          - {tracepoint: net_dev_queue}
      txg2:
        side: guest
        watch: guest-device
        candidates: [{tracepoint: net_dev_start_xmit, with: [net_dev_queue]}]
    paths:
      tx: [txg1, txg2]
    segments: [txg1-txg2]
    """

  /// One change to the good file, and the error it must give.
  struct Case: Sendable, CustomTestStringConvertible {
    var old: String
    var new: String
    var expected: String
    var testDescription: String { expected }
    init(_ old: String, _ new: String, _ expected: String) {
      self.old = old
      self.new = new
      self.expected = expected
    }
  }

  private func message(_ yaml: String) -> String? {
    do throws(TopologyError) {
      _ = try Topology(yaml: yaml, file: "t.yaml")
      return nil
    } catch { return error.description }
  }

  @Test func theGoodFileIsGood() throws {
    let topology = try Topology(yaml: ErrorTests.good, file: "t.yaml")
    #expect(topology.hooks.map(\.point) == [.txg1, .txg2])
    #expect(topology.hooks[1].parts[0].candidates[0].with == ["net_dev_queue"])
    #expect(topology.hooks[1].parts[0].candidates[0].location == .init(line: 13, column: 18))
    #expect(topology.segments.map(\.name) == ["txg1-txg2"])
  }

  static let points =
    "there are txg0, txg1, txg2, txh0, txh1, txh2, rxh0, rxh1, rxg0, rxgq, rxg1, txgk, txhk, rxhc, rxgi"
  static let cases: [Case] = [
    // Keys and types
    Case(
      "summary:", "sumary:",
      "3:1: unknown key `sumary` in a topology; did you mean `summary`?"),
    Case(
      "    watch: guest-device\n    candidates:\n", "    wach: guest-device\n    candidates:\n",
      "7:5: unknown key `wach` in hook `txg1`; did you mean `watch`?"),
    Case(
      "{tracepoint: net_dev_queue}", "{tracepiont: net_dev_queue}",
      "9:10: unknown key `tracepiont` in a candidate of hook `txg1`; did you mean `tracepoint`?"
    ),
    Case(
      "{tracepoint: net_dev_queue}", "{tracepoint: net_dev_queue, rungs: [fentry]}",
      "9:45: a rung of a candidate of hook `txg1` is the text `fentry`; it must be one of tp_btf, raw_tp, each once, for a tracepoint"
    ),
    Case(
      "{tracepoint: net_dev_queue}", "{tracepoint: net_dev_queue, rungs: [raw_tp, raw_tp]}",
      "9:53: a rung of a candidate of hook `txg1` is the text `raw_tp`; it must be one of tp_btf, raw_tp, each once, for a tracepoint"
    ),
    Case(
      "{tracepoint: net_dev_queue}", "{tracepoint: net_dev_queue, rungs: []}",
      "9:44: `rungs` of a candidate of hook `txg1` is empty; name those of tp_btf, raw_tp that are allowed, or leave it out"
    ),
    Case(
      "{tracepoint: net_dev_queue}", "{tracepoint: net_dev_queue, rungs: raw_tp}",
      "9:44: `rungs` of a candidate of hook `txg1` is the text `raw_tp`; it must be a list (`[a, b]` or `- a` lines)"),
    Case(
      "name: t", "nothing: t",
      "2:1: unknown key `nothing` in a topology; the keys here are format, name, summary, hooks, paths, segments, names"
    ),
    Case("name: t\n", "", "1:1: a topology has no `name`; add a line `name: …`"),
    Case(
      "name: t", "name: 7",
      "2:7: `name` of a topology is `7`; it must be text, not empty; put quotes around a number or yes/no"),
    Case("name: t", "name: a/b", "2:7: `name` of a topology is `a/b`; use up to 63 letters, digits, - and _"),
    Case(
      "summary: A test", "summary:",
      "3:9: `summary` of a topology is nothing; it must be text, not empty; put quotes around a number or yes/no"),
    Case(
      "summary: A test", "summary: [x]",
      "3:10: `summary` of a topology is a list; it must be text, not empty; put quotes around a number or yes/no"),
    Case(
      "side: guest\n    watch: guest-device\n    candidates:\n",
      "side: middle\n    watch: guest-device\n    candidates:\n",
      "6:11: `side` of hook `txg1` is the text `middle`; it must be one of guest, host"),
    Case(
      "watch: guest-device\n    candidates:\n", "watch: device\n    candidates:\n",
      "7:12: `watch` of hook `txg1` is the text `device`; it must be one of guest-device, host-device, guest-tap, guest-socket"
    ),
    Case(
      "    watch: guest-device\n    candidates:\n", "    candidates:\n",
      "6:5: hook `txg1` has no `watch`; add a line `watch: …`"),
    Case(
      "    candidates:\n", "    optional: maybe\n    candidates:\n",
      "8:15: `optional` of hook `txg1` is the text `maybe`; it must be true or false"),
    Case(
      "hooks:\n  txg1:\n    side", "hooks:\n  1:\n    side",
      "5:3: a key of `hooks` of a topology is `1`; it must be text"),
    Case(
      "  tx: [txg1, txg2]", "  tx: txg1",
      "15:7: path `tx` is the text `txg1`; it must be a list (`[a, b]` or `- a` lines)"),
    Case(
      "paths:\n  tx: [txg1, txg2]", "paths: [txg1, txg2]",
      "14:8: `paths` of a topology is a list; it must be a mapping (`key: value` lines)"),
    Case(
      "paths:\n  tx: [txg1, txg2]", "paths: {}",
      "14:8: `paths` of a topology is empty; a topology needs at least one of them"),
    Case("paths:\n  tx: [txg1, txg2]\n", "", "1:1: a topology has no `paths`; add a line `paths: …`"),
    // Format
    Case("format: 1", "format: 2", "1:9: the file is of format 2, this latprobe reads up to 1; update latprobe"),
    Case(
      "format: 1\n", "format: 9\nnewkey: 1\n",
      "1:9: the file is of format 9, this latprobe reads up to 1; update latprobe"),
    Case("format: 1\n", "", "1:1: a topology has no `format`; start the file with `format: 1`"),
    Case("format: 1", "format: 0", "1:9: `format` of a topology is `0`; it must be a whole number from 1 to 1"),
    Case(
      "format: 1", "format: one", "1:9: `format` of a topology is the text `one`; it must be a whole number from 1 to 1"
    ),
    // Hooks and candidates
    Case("  txg2:\n", "  txg7:\n", "10:3: unknown hook point `txg7`; \(points)"),
    Case("  txg2:\n", "  wire-in:\n", "10:3: unknown hook point `wire-in`; \(points)"),
    Case(
      "    candidates:\n      - {tracepoint: net_dev_queue}\n", "",
      "5:3: hook `txg1` has no candidates; name at least one, such as `candidates: [{tracepoint: net_dev_queue}]`"),
    Case(
      "    candidates:\n      - {tracepoint: net_dev_queue}\n", "    candidates: []\n",
      "8:17: hook `txg1` has no candidates; name at least one, such as `{tracepoint: net_dev_queue}`"),
    Case(
      "    candidates:\n      - {tracepoint: net_dev_queue}\n", "    candidates:\n",
      "8:16: hook `txg1` has no candidates; name at least one, such as `{tracepoint: net_dev_queue}`"),
    Case(
      "    candidates:\n      - {tracepoint: net_dev_queue}\n", "    parts: {}\n",
      "5:3: hook `txg1` has no candidates; name at least one, such as `candidates: [{tracepoint: net_dev_queue}]`"),
    Case(
      "    candidates:\n      - {tracepoint: net_dev_queue}\n", "    parts: {udp: []}\n",
      "8:18: part `udp` of hook `txg1` has no candidates; name at least one, such as `{tracepoint: net_dev_queue}`"),
    Case(
      "      - {tracepoint: net_dev_queue}\n",
      "      - {tracepoint: net_dev_queue}\n    parts: {udp: [{function: f}]}\n",
      "10:12: hook `txg1` has both `candidates` and `parts`; keep one of them"),
    Case(
      "{tracepoint: net_dev_queue}", "{with: [a]}",
      "9:9: a candidate of hook `txg1` names neither a tracepoint nor a function; write `{tracepoint: NAME}` or `{function: NAME}`, a line each"
    ),
    Case(
      "{tracepoint: net_dev_queue}", "{tracepoint: a, function: b}",
      "9:9: a candidate of hook `txg1` names both tracepoint and function; write `{tracepoint: NAME}` or `{function: NAME}`, a line each"
    ),
    Case(
      "{tracepoint: net_dev_queue}", "net_dev_queue",
      "9:9: a candidate of hook `txg1` is the text `net_dev_queue`; it must be a mapping (`key: value` lines)"),
    Case(
      "{tracepoint: net_dev_queue}", "{tracepoint: \"a;b\"}",
      "9:22: `tracepoint` of a candidate of hook `txg1` is `a;b`, which is no kernel symbol; use letters, digits, _ and . only"
    ),
    Case(
      "with: [net_dev_queue]", "with: net_dev_queue",
      "13:57: `with` of a candidate of hook `txg2` is the text `net_dev_queue`; it must be a list (`[a, b]` or `- a` lines)"
    ),
    Case(
      "with: [net_dev_queue]", "with: [a, a]", "13:61: `a` is named twice in a candidate of hook `txg2`; name it once"),
    // Paths and segments
    Case("[txg1, txg2]\n", "[txg1, nosuch]\n", "15:14: unknown hook point `nosuch`; \(points)"),
    Case(
      "[txg1, txg2]\n", "[txg1, rxg0]\n",
      "15:14: path `tx` names `rxg0`, which is not among the hooks of this file; add it under `hooks`, or leave it out here"
    ),
    Case(
      "[txg1, txg2]\n", "[txg1, txg2, txg1]\n",
      "15:20: path `tx` passes `txg1` twice; a packet passes each hook point of a path once"),
    Case(
      "[txg1, txg2]\n", "[]\n", "15:7: path `tx` has no hooks; name those that its packets pass, in order"),
    Case("  tx: [", "  t x: [", "15:3: the name of a path is `t x`; use up to 63 letters, digits, - and _"),
    Case("[txg1-txg2]", "[txg2-txg1]", "16:12: no path passes `txg2` and later `txg1`; the paths are tx (txg1 txg2)"),
    Case("[txg1-txg2]", "[txg1]", "16:12: `txg1` is no segment; write it as `txg1-rxg0`"),
    Case("[txg1-txg2]", "[txg1-foo]", "16:12: unknown hook point `foo`; \(points)"),
    Case(
      "[txg1-txg2]", "[txg1-txg2, txg1-rxg1]",
      "16:23: segment `txg1-rxg1` names `rxg1`, which is not among the hooks of this file; add it under `hooks`, or leave it out here"
    ),
    // YAML itself
    Case(
      "name: t\n", "name: t\nname: u\n",
      "2:1: key `name` occurs more than once, here for the first time; keep one of them"),
    Case("  txg2:\n", "  txg1:\n", "5:3: key `txg1` occurs more than once, here for the first time; keep one of them"),
    Case(
      "summary: A test", "summary: &a A test",
      "3:10: anchors and aliases (&name, *name) are not supported; write the value out, or put a space behind the & or * if this is text"
    ),
    Case(
      "summary: A test", "summary: *a",
      "3:10: anchors and aliases (&name, *name) are not supported; write the value out, or put a space behind the & or * if this is text"
    ),
    Case(
      "segments: [txg1-txg2]", "---\nx: 1", "16:1: but found another document; a topology file is one YAML document"),
    Case(
      "summary: A test", "summary: A: test",
      "3:11: mapping values are not allowed in this context; correct the YAML syntax here or just above"),
    Case(
      "summary: A test", "summary: 'A test",
      "16:22: found unexpected end of stream (while scanning a quoted scalar); correct the YAML syntax here or just above"
    ),
    Case(
      "    side: guest\n    watch: guest-device\n    candidates:\n", "\tside: guest\n",
      "6:1: found character that cannot start any token (while scanning for the next token); correct the YAML syntax here or just above"
    ),
    Case(
      "summary: A test", "summary: A \u{1}test",
      "3:12: control characters are not allowed; a topology file is plain UTF-8 text; remove the character"),
  ]

  @Test(arguments: cases) func names(_ broken: Case) {
    let yaml = ErrorTests.good.replacingOccurrences(of: broken.old, with: broken.new)
    #expect(yaml != ErrorTests.good)
    #expect(message(yaml) == "t.yaml:" + broken.expected)
  }

  @Test func filesThatAreNoTopology() {
    #expect(message("") == "t.yaml:1:1: the file is empty; start with `format: 1`, see docs/topologies.md")
    #expect(message("# only this\n") == "t.yaml:1:1: the file is empty; start with `format: 1`, see docs/topologies.md")
    #expect(message("- 1") == "t.yaml:1:1: a topology is a list; it must be a mapping (`key: value` lines)")
    #expect(
      message("just text")
        == "t.yaml:1:1: a topology is the text `just text`; it must be a mapping (`key: value` lines)")
    #expect(
      message(String(repeating: "# comment\n", count: 110_000))
        == "t.yaml: the file is larger than 1048576 bytes; this is hardly a topology; check the file's name")
  }

  @Test func bombsAreRefusedAtOnce() {
    var bomb = "a0: &a0 [x, x]\n"
    for level in 1...40 { bomb += "a\(level): &a\(level) [*a\(level - 1), *a\(level - 1)]\n" }
    #expect(message(bomb)?.hasPrefix("t.yaml:1:5: anchors and aliases") == true)
    #expect(message("? [&a0 x, *a0]\n: 1\n")?.hasPrefix("t.yaml:1:4: anchors and aliases") == true)
    let deep = String(repeating: "[", count: 900_000)
    #expect(message(deep)?.contains("nesting level") == true)
    #expect(message("k: " + String(repeating: "{a: ", count: 200_000))?.contains("nesting level") == true)
    #expect(message(String(repeating: "- ", count: 400_000))?.hasPrefix("t.yaml:1:") == true)
  }

  @Test func ampersandsInTextAndCommentsAreFine() {
    let changed = ErrorTests.good.replacingOccurrences(of: "A test", with: "R&D, 2*3 & more # see *this* &that")
    #expect(message(changed) == nil)
    #expect(message("# *emphasis* and &x\n" + ErrorTests.good) == nil)
    // Behind a quoted # it may be an anchor all the same.
    let hidden = ErrorTests.good.replacingOccurrences(of: "summary: A test", with: "\"summary\": \"x # \" &a b")
    #expect(message(hidden)?.hasPrefix("t.yaml:3:19: anchors") == true)
  }

  /// Cut and mangled files give an error or a topology, never a crash; seeded, so that a failure comes back.
  @Test func mangledFilesNeverCrash() {
    var seed: UInt64 = 0x9E37_79B9_7F4A_7C15
    func random(_ bound: Int) -> Int {
      seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int(seed >> 33) % bound
    }
    let bytes = Array(ErrorTests.good.utf8)
    var errors = 0
    for length in 0..<bytes.count {
      if message(String(decoding: bytes[..<length], as: UTF8.self)) != nil { errors += 1 }
    }
    #expect(errors > bytes.count / 2)
    let alphabet = Array("{}[]:,-?&*#|>'\"%@`!\n \t\u{0}\u{FEFF}aé1".utf8)
    errors = 0
    for _ in 0..<2_003 {
      var mangled = bytes
      for _ in 0...random(3) { mangled[random(mangled.count)] = alphabet[random(alphabet.count)] }
      if let text = message(String(decoding: mangled, as: UTF8.self)) {
        errors += 1
        #expect(text.hasPrefix("t.yaml:") && !text.contains("\n"))
      }
    }
    #expect(errors > 1_000)
  }
}

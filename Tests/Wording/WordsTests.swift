// SPDX-License-Identifier: GPL-2.0-or-later
import Testing
import Wording

@Suite struct WordsTests {
  @Test(arguments: [
    ("recrod", "record"), ("REPORT", "report"), ("reprot", "report"), ("gat", "gate"), ("rec", "record"),
    ("hoks", "hooks"),
  ])
  func whatWasMeant(_ typed: String, _ name: String) {
    #expect(Words.nearest(to: typed, among: ["record", "report", "gate", "hooks"]) == name)
    #expect(Words.choice(of: typed, among: ["record", "report", "gate", "hooks"]) == "did you mean '\(name)'?")
  }

  @Test func nothingIsNear() {
    #expect(Words.nearest(to: "run1", among: ["record", "report"]) == nil)
    #expect(Words.nearest(to: "", among: ["record"]) == nil)
    #expect(Words.nearest(to: String(repeating: "record", count: 1000), among: ["record"]) == nil)
    #expect(Words.choice(of: "run1", among: ["record", "report"]) == "there are record, report")
    #expect(Words.choice(of: "x", among: ["record"]) == "there is record")
  }

  @Test func wholeNumbersAndOthers() {
    #expect(Words.duration(71_100_000) == "71.1 ms" && Words.duration(71_100_000.0) == "71.1 ms")
    #expect(Words.duration(Int64(-300)) == "-300 ns" && Words.duration(12_345_678_900) == "12.3 s")
  }
}

// SPDX-License-Identifier: GPL-2.0-or-later
internal import CPcap

/// Why a filter cannot be used.
package struct FilterError: Error, CustomStringConvertible, Sendable {
  package var description: String

  package init(description: String) { self.description = description }
}

/// A filter in pcap syntax, compiled by libpcap.
package struct Filter: Sendable {
  /// Bytes of a frame that a program in the kernel looks at.
  package static let visibleBytes = 128
  /// CPU time that libpcap has for an expression.
  package static let compileSeconds = Int(LP_PCAP_SECONDS)
  /// That a compiled one may have.
  package static let mostSteps = 4096

  package struct Step: Sendable {
    package var code: UInt16
    package var jumpTrue: UInt8
    package var jumpFalse: UInt8
    package var k: UInt32
  }

  package private(set) var expression: String
  package let steps: [Step]

  /// - Parameter isRawIP: packets begin with the IP header, not with Ethernet's.
  package init(_ expression: String, isRawIP: Bool = false) throws(FilterError) {
    var program = [lp_cbpf_instruction](repeating: lp_cbpf_instruction(), count: Filter.mostSteps)
    var message = [CChar](repeating: 0, count: 256)
    let count = unsafe lp_pcap_compile(expression, isRawIP ? 1 : 0, &program, program.count, &message)
    guard count >= 0 else {
      let text = String(decoding: message.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
      throw FilterError(
        description: "filter '\(expression)': \(text); see the pcap-filter manual page for its syntax")
    }
    self.expression = expression
    steps = program.prefix(Int(count)).map { Step(code: $0.code, jumpTrue: $0.jt, jumpFalse: $0.jf, k: $0.k) }
  }

  /// Layers of VLAN tags in band that ``throughTags()`` looks behind.
  package static let tagsSeenThrough = 4

  /// The same filter for frames that may carry VLAN tags in band: it is asked behind them, too. One that speaks of tags
  /// itself stays as it is; libpcap may not manage one that it has managed without tags.
  package func throughTags() throws(FilterError) -> Filter {
    let words = expression.split { !$0.isLetter }
    // Each of these moves what the rest of an expression looks at.
    guard words.allSatisfy({ !["vlan", "mpls", "pppoed", "pppoes", "geneve", "vxlan"].contains($0) }), !words.isEmpty
    else {
      return self
    }
    let layers = Array(repeating: "(vlan and (\(expression)))", count: Filter.tagsSeenThrough)
    var filter = try Filter((["(\(expression))"] + layers).joined(separator: " or "))
    filter.expression = expression
    return filter
  }

  /// Whether it asks for VLAN tags.
  package var namesTags: Bool { expression.split { !$0.isLetter }.contains("vlan") }

  /// libpcap's own interpreter, to check the translation against.
  package func matches(_ frame: [UInt8]) -> Bool {
    let program = steps.map { lp_cbpf_instruction(code: $0.code, jt: $0.jumpTrue, jf: $0.jumpFalse, k: $0.k) }
    return unsafe lp_pcap_run(program, program.count, frame, UInt32(frame.count), UInt32(frame.count)) != 0
  }
}

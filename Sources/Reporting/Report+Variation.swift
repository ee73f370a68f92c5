// SPDX-License-Identifier: GPL-2.0-or-later
import Analysis

/// Delay variation (RFC 5481) in every output.
extension Report {
  /// PDV: the figures of the delays above the least one. Null without samples.
  static func pdv(_ segment: SegmentResult) -> JSONValue {
    guard let pdv = segment.packetVariation else { return .null }
    return .fields([("error_ns", .integer(segment.variationError))] + figures(pdv))
  }

  /// IPDV: signed, of packets sent in succession. Null where none are known to be.
  static func ipdv(_ segment: SegmentResult) -> JSONValue {
    guard let ipdv = segment.successiveVariation else { return .null }
    return .fields([
      ("error_ns", .integer(segment.variationError)),
      ("count", .count(ipdv.count)),
      ("min_ns", .integer(ipdv.min)),
      ("p50_ns", .integer(ipdv.median)),
      ("p99_ns", .integer(ipdv.p99)),
      ("max_ns", .integer(ipdv.max)),
      ("abs_p99_ns", .integer(ipdv.absoluteP99)),
    ])
  }

  /// Columns of `segments.csv`.
  static let variationColumns =
    Summary.probabilities.map { "pdv_\(Text.quantileKey($0))_ns" } + ["pdv_max_ns"]
    + ["count", "min_ns", "p50_ns", "p99_ns", "max_ns", "abs_p99_ns"].map { "ipdv_\($0)" }

  /// One for each of ``variationColumns``; nil where there is none.
  static func variationCells(_ segment: SegmentResult) -> [Int64?] {
    let pdv = segment.packetVariation
    let ipdv = segment.successiveVariation
    return Summary.probabilities.map { pdv?.quantile($0)?.value } + [pdv?.max]
      + [
        ipdv.map { Int64($0.count) }, ipdv?.min, ipdv?.median, ipdv?.p99, ipdv?.max, ipdv?.absoluteP99,
      ]
  }

  /// A block below the table of a sender's path; empty for others.
  static func variationLines(_ segments: [SegmentResult], _ width: Int) -> [String] {
    let shown = segments.filter { $0.isNumbered && $0.summary != nil }
    guard !shown.isEmpty else { return [] }
    var table = TextTable(
      columns: [.init(title: "variation", isLeft: true)]
        + ["PDV p50", "PDV p99", "PDV p99.9", "IPDV min", "p50", "p99", "max"].map { .init(title: $0) })
    for segment in shown {
      let pdv = [0.5, 0.99, 0.999].map { marked(segment.packetVariation?.quantile($0)) }
      let ipdv = segment.successiveVariation
      let signed = [ipdv?.min, ipdv?.median, ipdv?.p99, ipdv?.max].map { $0.map { Text.duration(Double($0)) } ?? "–" }
      table.rows.append(.cells([Text.plain(segment.name)] + pdv + signed))
    }
    return [""] + table.rendered(width: width).lines
  }
}

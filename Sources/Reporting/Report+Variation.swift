// SPDX-License-Identifier: GPL-2.0-or-later
import Analysis
import Wording

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
    var table = TextTable(columns: [
      .init(title: "variation", isLeft: true), .init(title: "PDV p50"), .init(title: "PDV p99"),
      .init(title: "PDV p99.9", drop: 2), .init(title: "IPDV min", drop: 4), .init(title: "IPDV p50", drop: 3),
      .init(title: "IPDV p99"), .init(title: "IPDV max", drop: 1),
    ])
    for segment in shown {
      let pdv = [0.5, 0.99, 0.999].map { marked(segment.packetVariation?.quantile($0)) }
      let ipdv = segment.successiveVariation
      let signed = [ipdv?.min, ipdv?.median, ipdv?.p99, ipdv?.max].map { $0.map { Words.duration($0) } ?? "–" }
      table.rows.append(.cells([Text.plain(segment.name)] + pdv + signed))
    }
    let rendered = table.rendered(width: width)
    return [""] + rendered.lines + leftOut(rendered.leftOut, width, file: "segments.csv")
  }
}

// SPDX-License-Identifier: GPL-2.0-or-later
import Analysis
import Recording

/// The CSV files: a header line, raw nanoseconds, nothing between the commas where a figure cannot be given.
extension Report {
  static func writeTables(of result: SessionResult, to folder: borrowing Folder, delays: Bool) throws(FileError) {
    try writeSegments(result.segments, to: folder, "segments.csv")
    if result.groups.isEmpty {
      try folder.removeOutput("groups.csv")
    } else {
      try writeSegments(result.groups, to: folder, "groups.csv")
    }
    try writeCCDF(result, to: folder, "ccdf.csv")
    try writePIT(result, to: folder, "pit.csv")
    if delays {
      try writeDelays(result, to: folder, "delays.csv")
    } else {
      // An earlier report's, which may be of another recording.
      try folder.removeOutput("delays.csv")
    }
  }

  /// One row a segment. Columns have the names of `report.json`; each interval takes two of them and each
  /// `resolved` one.
  private static func writeSegments(_ segments: [SegmentResult], to folder: borrowing Folder, _ name: String)
    throws(FileError)
  {
    var columns = [
      "segment", "direction", "from_machine", "to_machine", "neighbour", "count", "lost", "unmatched", "ambiguous",
      "duplicate", "late", "cut_off", "share", "error_ns", "n_eff", "min_ns", "mean_ns", "sd_ns", "mad_ns",
      "half_iqr_ns",
    ]
    let keys = Summary.probabilities.map(Text.quantileKey)
    columns += keys.map { $0 + "_ns" } + ["max_ns"]
    columns += keys.flatMap { ["\($0)_low_ns", "\($0)_high_ns", "\($0)_resolved"] } + variationColumns
    // `name` is `segment` again, for those who read it before there was `segment`.
    columns += ["share_slowest", "probe_ns", "group", "meaning", "invalid", "name"]
    var file = try OutputFile(in: folder, name)
    file.append(columns.joined(separator: ","))
    try file.endRow()
    for segment in segments {
      let summary = segment.summary
      var row = [
        Text.csv(segment.name), Text.csv(segment.direction), Text.csv(segment.from.machine),
        Text.csv(segment.to.machine),
        segment.isNeighbour ? "true" : "false",
      ]
      row += [
        segment.count, segment.lost, segment.unmatched, segment.ambiguous, segment.duplicate, segment.late,
        segment.cutOff,
      ].map { String($0) }
      row += [
        cell(segment.share), String(segment.errorBound), cell(summary?.effectiveCount), cell(summary?.min),
        cell(summary?.mean), cell(summary?.standardDeviation), cell(summary?.medianAbsoluteDeviation),
        cell(summary?.halfInterquartileRange),
      ]
      let quantiles = Summary.probabilities.map { summary?.quantile($0) }
      row += quantiles.map { cell($0?.value) } + [cell(summary?.max)]
      row += quantiles.flatMap { quantile in
        [
          cell(quantile?.interval?.lowerBound), cell(quantile?.interval?.upperBound),
          quantile?.isResolved == true ? "true" : "false",
        ]
      }
      row += variationCells(segment).map { cell($0) }
      row += [cell(segment.slowShare), cell(segment.probeTime)]
      row += [segment.group, segment.meaning, segment.invalid, segment.name].map { $0.map(Text.csv) ?? "" }
      file.append(row.joined(separator: ","))
      try file.endRow()
    }
    try file.finish()
  }

  /// All distinct delays of each segment with the fraction of packets that took longer.
  private static func writeCCDF(_ result: SessionResult, to folder: borrowing Folder, _ name: String) throws(FileError)
  {
    var file = try OutputFile(in: folder, name)
    file.append("segment,direction,delay_ns,ccdf")
    try file.endRow()
    for segment in result.segments {
      guard let sorted = segment.summary?.sorted, !sorted.isEmpty else { continue }
      let head = "\(Text.csv(segment.name)),\(Text.csv(segment.direction)),"
      try forEachCCDFPoint(sorted) { (point) throws(FileError) in
        file.append(head)
        file.append(point.value)
        file.append(UInt8(ascii: ","))
        file.append("\(point.fraction)")
        try file.endRow()
      }
    }
    try file.finish()
  }

  private static func writePIT(_ result: SessionResult, to folder: borrowing Folder, _ name: String) throws(FileError) {
    var file = try OutputFile(in: folder, name)
    file.append("hook,machine,direction,bin_ns,count")
    try file.endRow()
    for histogram in result.intervals {
      let head = "\(histogram.point.hook.name),\(Text.csv(histogram.point.machine)),\(Text.csv(histogram.direction)),"
      for bin in histogram.bins {
        file.append(head)
        file.append(bin.index * histogram.binWidth)
        file.append(UInt8(ascii: ","))
        file.append(Int64(bin.count))
        try file.endRow()
      }
    }
    try file.finish()
  }

  /// One row a packet and segment, segments in the result's order, packets by `start_ns`.
  private static func writeDelays(_ result: SessionResult, to folder: borrowing Folder, _ name: String)
    throws(FileError)
  {
    var file = try OutputFile(in: folder, name)
    file.append("packet,segment,direction,start_ns,delay_ns,error_ns")
    try file.endRow()
    let comma = UInt8(ascii: ",")
    for segment in result.segments {
      let middle = Array(",\(Text.csv(segment.name)),\(Text.csv(segment.direction)),".utf8)
      let tail = Array(",\(segment.errorBound)".utf8)
      for ((packet, start), delay) in zip(zip(segment.packets, segment.starts), segment.delays) {
        file.append(UInt64(packet))
        file.append(middle)
        file.append(start)
        file.append(comma)
        file.append(delay)
        file.append(tail)
        try file.endRow()
      }
    }
    try file.finish()
  }

  private static func cell(_ value: Int64?) -> String { value.map { String($0) } ?? "" }
  private static func cell(_ value: Double?) -> String { value.flatMap { $0.isFinite ? "\($0)" : nil } ?? "" }
}

// SPDX-License-Identifier: GPL-2.0-or-later
package import Stamping

/// Reads the packets of a capture file one after the other, in the file's order; docs/captures.md says what it takes.
///
/// Trade: nothing but a window of the file is in memory, and the file is never sought in, so that a pipe of any length
/// will do; a damaged file is read up to the damage.
package final class CaptureReader {
  package let path: String
  package let format: CaptureFormat
  package var statistics: CaptureStatistics { log.statistics }
  /// As far as the file has told them.
  package var interfaces: [CaptureInterface] { log.interfaces }

  /// `pcap` and the like, for people.
  package var formatName: String { format.rawValue + (compression.map { " in \($0.rawValue)" } ?? "") }

  /// Times that the file told of losses, or that a packet of it could not be read: packets are missing there.
  package var gaps: Int { log.gaps }

  private let input: InputFile
  private let compression: Compression?
  private var parser: any CaptureParser
  private var log: CaptureLog
  private var failure: CaptureError?

  /// - Parameter path: a file or a pipe; `-` for standard input.
  package init(path: String, expansion: Expansion = .usual) throws(CaptureError) {
    self.path = path == "-" ? "standard input" : path
    input = try InputFile(path)
    var stream = ByteStream(path: self.path, source: input)
    compression = try Compression.recognise(&stream)
    if let compression {
      stream = ByteStream(path: self.path, source: try Decompressor(compression, stream, expansion))
    }
    log = CaptureLog()
    format = try CaptureFormat.recognise(&stream)
    parser =
      switch format {
      case .pcap: try PcapParser(stream, &log)
      case .pcapng: PcapngParser(stream)
      case .erf: ERFParser(stream)
      }
  }

  /// - Parameter isStopRequested: true ends the reading, also while a pipe is silent: ``next()`` then gives what is in memory,
  ///   and nil. Asked before each read, and every 100 ms while nothing comes.
  package func stop(when isStopRequested: @escaping () -> Bool) { input.isStopRequested = isStopRequested }

  /// The next packet; nil at the end. An error ends the file: what came before it stands.
  package func next() throws(CaptureError) -> CapturedPacket? {
    if let failure { throw failure }
    do throws(CaptureError) {
      guard let packet = try parser.next(&log) else { return nil }
      log.count(packet)
      return packet
    } catch {
      // Within a record, as likely as not: that is no damage.
      if input.isStopped { return nil }
      failure = error
      throw error
    }
  }
}

/// One file format: knows where the next record begins.
protocol CaptureParser {
  mutating func next(_ log: inout CaptureLog) throws(CaptureError) -> CapturedPacket?
}

package enum CaptureFormat: String, Sendable {
  case pcap
  case pcapng
  case erf

  /// Largest record that is read.
  static let recordLimit = 16 << 20

  /// By the first bytes; a name says nothing.
  static func recognise(_ stream: inout ByteStream) throws(CaptureError) -> CaptureFormat {
    let count = try stream.fill(4)
    guard count > 0 else { throw stream.error("is empty: give a capture file") }
    if count >= 4, PcapParser.knows(stream.number32(0, big: true)) { return .pcap }
    if count >= 4, stream.number32(0, big: true) == PcapngParser.sectionType { return .pcapng }
    if try ERFParser.knows(&stream) { return .erf }
    throw stream.error("is no capture that latprobe reads (pcap, pcapng, ERF): convert it with editcap -F pcapng")
  }
}

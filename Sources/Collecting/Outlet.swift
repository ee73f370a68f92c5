// SPDX-License-Identifier: GPL-2.0-or-later
package import Recording

/// Somebody who looks at records as they are made.
package protocol RecordSink {
  /// Takes a batch of whole records of one CPU; they are there as long as the call.
  func take(cpu: Int, _ records: UnsafeRawBufferPointer)
}

/// Where a producer's records go: to disk, and to whoever else looks at them.
///
/// Where nothing can be written any more it still takes records, and the writer counts them as unwritten: a producer goes on
/// handing over, and the ``Collector`` sees ``failure`` and ends.
package final class Outlet {
  private let writer: MachineWriter
  private let sinks: [any RecordSink]
  /// The first one.
  package private(set) var failure: RecordingError?

  init(_ writer: MachineWriter, _ sinks: [any RecordSink]) { (self.writer, self.sinks) = (writer, sinks) }

  /// Takes a batch of records of one CPU, concatenated as drained.
  package func append(cpu: Int, bytes: UnsafeRawBufferPointer) {
    guard bytes.count > 0 else { return }
    do throws(RecordingError) { try unsafe writer.append(cpu: cpu, bytes: bytes) } catch {
      failure = failure ?? error
    }
    for sink in sinks { unsafe sink.take(cpu: cpu, bytes) }
  }

  package func append(cpu: Int, _ records: [UInt8]) {
    unsafe records.withUnsafeBytes { unsafe append(cpu: cpu, bytes: $0) }
  }

  /// - Throws: why nothing more is written.
  func check() throws(RecordingError) {
    if let failure { throw failure }
  }
}

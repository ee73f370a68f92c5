// SPDX-License-Identifier: GPL-2.0-or-later

/// The CTF `metadata` file: TSDL text that describes the streams for any CTF reader.
///
/// latprobe's own reader does not parse TSDL: the format number fixes the layout, so it reads the
/// byte order, the trace's UUID and the number alone.
struct Metadata: Equatable {
  var uuid: TraceID
  var machine: String
  var hostname: String
  var bootID: String
  var session: String
  /// CLOCK_REALTIME − CLOCK_MONOTONIC in nanoseconds when the recording began.
  var utcOffset: Int64

  var text: String {
    // Floor division: the part below one second must not be negative.
    let below = ((utcOffset % 1_000_000_000) + 1_000_000_000) % 1_000_000_000
    let seconds = (utcOffset - below) / 1_000_000_000
    let hooks = HookPoint.allCases.map { "\"\($0.name)\" = \($0.rawValue)" }.joined(separator: ", ")
    return """
      /* CTF 1.8 */
      typealias integer { size = 8; align = 8; signed = false; } := uint8_t;
      typealias integer { size = 16; align = 8; signed = false; } := uint16_t;
      typealias integer { size = 32; align = 8; signed = false; } := uint32_t;
      typealias integer { size = 64; align = 8; signed = false; } := uint64_t;
      typealias integer { size = 64; align = 8; signed = true; } := int64_t;
      typealias integer { size = 8; align = 8; signed = false; base = hex; } := hex8_t;
      typealias integer { size = 32; align = 8; signed = false; base = hex; } := hex32_t;
      typealias integer { size = 64; align = 8; signed = false; base = hex; } := hex64_t;

      trace {
        major = 1;
        minor = 8;
        uuid = "\(uuid)";
        byte_order = le;
        packet.header := struct {
          uint32_t magic;
          uint8_t uuid[16];
          uint32_t stream_id;
        };
      };

      env {
        hostname = "\(Metadata.quote(hostname))";
        tracer_name = "latprobe";
        tracer_major = 1;
        tracer_minor = 0;
        latprobe_format = \(Format.current);
        session_id = "\(Metadata.quote(session))";
        machine = "\(Metadata.quote(machine))";
        boot_id = "\(Metadata.quote(bootID))";
      };

      clock {
        name = monotonic;
        description = "CLOCK_MONOTONIC, shown as UTC";
        freq = 1000000000;
        offset_s = \(seconds);
        offset = \(below);
        absolute = TRUE;
      };

      typealias integer {
        size = 64; align = 8; signed = false; map = clock.monotonic.value;
      } := monotonic_t;

      stream {
        id = 0;
        packet.context := struct {
          monotonic_t timestamp_begin;
          monotonic_t timestamp_end;
          uint64_t content_size;
          uint64_t packet_size;
          uint64_t events_discarded;
          uint32_t cpu_id;
          uint32_t packet_seq_num;
        };
        event.header := struct {
          monotonic_t timestamp;
          uint8_t id;
        };
      };

      enum hook_point : uint8_t { \(hooks) };
      typealias integer { size = 20; align = 1; signed = false; } := bits20_t;
      typealias integer { size = 8; align = 1; signed = false; } := bits8_t;
      typealias integer { size = 4; align = 1; signed = false; } := bits4_t;
      enum stamp_kind : bits4_t {
        "other" = 0, "udp" = 1, "tcp" = 2, "icmp" = 3, "fragment" = 4, "tcp-range" = 5
      };


      """ + EventType.all.map(\.tsdl).joined(separator: "\n")
  }

  /// A TSDL string's content: escapes as in C.
  static func quote(_ text: String) -> String {
    var out = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": out += "\\\""
      case "\\": out += "\\\\"
      case _ where scalar.value < 0x20 || scalar.value == 0x7F: out += "?"
      default: out.unicodeScalars.append(scalar)
      }
    }
    return out
  }

  /// The trace's UUID, once byte order and format are known to be readable.
  static func identify(_ path: String) throws(RecordingError) -> TraceID {
    guard try Files.target(path) != nil else {
      throw RecordingError(
        .notARecording, path: path,
        "is missing: without it the streams cannot be read; restore it from a copy or record again")
    }
    let values = try values(path, of: ["latprobe_format", "byte_order", "uuid"])
    guard let number = values["latprobe_format"], let format = Int(number), format >= 1 else {
      throw RecordingError(
        .damaged, path: path,
        "is not metadata that latprobe wrote (no latprobe_format): restore it from a copy or record again")
    }
    if format > Format.current { throw .newer(path, format: format, reads: Format.current) }
    guard values["byte_order"] == "le" else {
      throw RecordingError(.damaged, path: path, "byte_order is not le; latprobe writes little-endian only")
    }
    guard let quoted = values["uuid"], quoted.count == 38, let uuid = TraceID(quoted.dropFirst().dropLast()) else {
      throw RecordingError(.damaged, path: path, "has no uuid: restore it from a copy or record again")
    }
    return uuid
  }

  /// A text of `env`, without its quotes; nil where there is none.
  static func value(_ name: String, _ path: String) throws(RecordingError) -> String? {
    try values(path, of: [name])[name[...]].map { String($0.dropFirst().dropLast()) }
  }

  /// The first `NAME = VALUE;` of each name.
  private static func values(_ path: String, of names: Set<String>) throws(RecordingError) -> [Substring: Substring] {
    let text = String(decoding: try Files.read(path, limit: Format.metadataLimit), as: UTF8.self)
    var values: [Substring: Substring] = [:]
    for line in text.split(whereSeparator: \.isNewline) {
      let parts = line.split(separator: "=", maxSplits: 1).map { trim($0) }
      guard parts.count == 2, parts[1].hasSuffix(";") else { continue }
      if names.contains(String(parts[0])) && values[parts[0]] == nil { values[parts[0]] = trim(parts[1].dropLast()) }
    }
    return values
  }

  private static func trim(_ text: Substring) -> Substring {
    var text = text
    while let first = text.first, first.isWhitespace { text.removeFirst() }
    while let last = text.last, last.isWhitespace { text.removeLast() }
    return text
  }
}

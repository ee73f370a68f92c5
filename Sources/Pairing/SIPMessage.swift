// SPDX-License-Identifier: GPL-2.0-or-later

/// A SIP message as far as pairing looks at it.
struct SIPMessage {
  enum Failure: Error {
    case malformed
    /// The end of the bytes came before all that is needed.
    case short
  }
  /// nil: a request.
  var status: Int?
  /// Of the CSeq: the method that an answer answers to.
  var method: String
  var callID: [UInt8]
  /// Of From, in requests and answers alike; empty where From has none, nil where it was not seen.
  var fromTag: [UInt8]?
  var number: Int
  /// What the header says of the body.
  var contentLength: Int?

  /// Of a datagram.
  init(_ bytes: ByteView) throws(Failure) {
    var reader = SIPReader()
    var at = 0
    while let (line, next) = bytes.line(from: at) {
      at = next
      guard reader.read(line) else { throw .malformed }
      if reader.isWhole { break }
    }
    self = try reader.message()
  }

  fileprivate init(
    status: Int?, method: String, callID: [UInt8], fromTag: [UInt8]?, number: Int, contentLength: Int?
  ) {
    self.status = status
    self.method = method
    self.callID = callID
    self.fromTag = fromTag
    self.number = number
    self.contentLength = contentLength
  }

  /// `INVITE`, `180-INVITE`: the method, or status and the method answered to.
  var name: String { status.map { "\($0)-\(method)" } ?? method }

  var label: String { "\(ByteView(callID).text ?? "?") \(number) \(method)" }

  /// What all copies of it, and all answers to it, have in common.
  var match: [UInt8] { callID + [0] + Array("\(number) \(method)".utf8) }
}

/// Reads the header of a SIP message line by line (RFC 3261, 7.3 and 25.1): names whatever their case, short forms, blanks
/// around the colon, folded lines.
struct SIPReader {
  private enum Field {
    case callID
    case from
    case sequence
    case length
    case other
  }
  private(set) var isWhole = false
  private(set) var hasStarted = false
  private var status: Int?
  private var verb: [UInt8] = []
  private var field = Field.other
  private var value: [UInt8] = []
  private var callID: [UInt8]?
  private var fromTag: [UInt8]?
  private var sequence: (number: Int, method: String)?
  private var contentLength: Int?
  private var isMalformed = false

  /// Longer values are none.
  private static let longest = 4_096

  /// Takes the next line; false if it can be none of a SIP message.
  mutating func read(_ line: ByteView) -> Bool {
    guard hasStarted else {
      // Empty lines before a message are passed over (RFC 3261, 7.5).
      hasStarted = !line.isEmpty
      return line.isEmpty || start(line)
    }
    if !line.isEmpty, line[0] == 0x20 || line[0] == 0x09 {
      if field != .other { take([0x20] + line.trimmed.bytes) }
      return !isMalformed
    }
    endField()
    if line.isEmpty {
      isWhole = true
      if fromTag == nil { fromTag = [] }
    } else if let colon = line.firstIndex(of: UInt8(ascii: ":")) {
      let name = line[0..<colon].trimmed
      if name.isWord("call-id") || name.isWord("i") {
        field = .callID
      } else if name.isWord("from") || name.isWord("f") {
        field = .from
      } else if name.isWord("cseq") {
        field = .sequence
      } else if name.isWord("content-length") || name.isWord("l") {
        field = .length
      }
      if field != .other { take(line.dropFirst(colon + 1).trimmed.bytes) }
    }
    return !isMalformed
  }

  private mutating func start(_ line: ByteView) -> Bool {
    let words = line.words(2)
    guard words.count == 2 else { return false }
    if words[0].isWord("sip/2.0") {
      guard let number = words[1].number, (100..<700).contains(number) else { return false }
      status = number
      return true
    }
    guard words[0].isToken, words[0].count <= 32, let version = line.lastWord, version.isWord("sip/2.0") else {
      return false
    }
    verb = words[0].bytes
    return true
  }

  private mutating func take(_ bytes: [UInt8]) {
    if value.count + bytes.count > SIPReader.longest { isMalformed = true } else { value += bytes }
  }

  private mutating func endField() {
    defer { (field, value) = (.other, []) }
    let text = ByteView(value).trimmed
    switch field {
    case .callID:
      if text.isEmpty || text.count > 256 { isMalformed = true }
      callID = text.bytes
    case .from: fromTag = SIPReader.tag(of: text)
    case .sequence:
      let words = ByteView(text.bytes.map { $0 == 0x09 ? 0x20 : $0 }).words(3)
      guard words.count == 2, let number = words[0].number, words[1].isToken, words[1].count <= 32,
        let method = words[1].text
      else { return isMalformed = true }
      sequence = (number, method)
    case .length:
      guard let length = text.number else { return isMalformed = true }
      contentLength = length
    case .other: break
    }
  }

  /// What was read; of a header that was cut off, what came before.
  func message() throws(SIPMessage.Failure) -> SIPMessage {
    var reader = self
    reader.endField()
    // The rest of a folded line may have been cut off.
    if !isWhole && field == .from && reader.fromTag == [] { reader.fromTag = nil }
    guard !reader.isMalformed else { throw .malformed }
    guard let callID = reader.callID, let sequence = reader.sequence else { throw isWhole ? .malformed : .short }
    guard status != nil || verb == Array(sequence.method.utf8) else { throw .malformed }
    return SIPMessage(
      status: status, method: sequence.method, callID: callID, fromTag: reader.fromTag, number: sequence.number,
      contentLength: contentLength)
  }

  /// The tag behind an address, `"A" <sip:a@x>;tag=7` or `sip:a@x;tag=7`.
  private static func tag(of value: ByteView) -> [UInt8] {
    var parameter: Int?
    var (isQuoted, isBracketed) = (false, false)
    var index = 0
    while index <= value.count {
      let byte = index < value.count ? value[index] : UInt8(ascii: ";")
      if isQuoted && index < value.count {
        if byte == UInt8(ascii: "\\") { index += 1 } else if byte == UInt8(ascii: "\"") { isQuoted = false }
      } else if byte == UInt8(ascii: "\"") && index < value.count {
        isQuoted = true
      } else if byte == UInt8(ascii: "<") {
        isBracketed = true
      } else if byte == UInt8(ascii: ">") {
        isBracketed = false
      } else if byte == UInt8(ascii: ";"), !isBracketed || index == value.count {
        if let parameter, let tag = value[parameter..<index].tagValue { return tag }
        parameter = index + 1
      }
      index += 1
    }
    return []
  }
}

extension ByteView {
  /// Of a parameter that is `tag`.
  fileprivate var tagValue: [UInt8]? {
    guard let equals = firstIndex(of: UInt8(ascii: "=")), self[0..<equals].trimmed.isWord("tag") else { return nil }
    return dropFirst(equals + 1).trimmed.prefix(256).bytes
  }
}

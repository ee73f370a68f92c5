// SPDX-License-Identifier: GPL-2.0-or-later
import Glibc
import Host
import Reporting
import Synchronization

/// Messages go to standard error, so that standard output stays a program's.
enum Console {
  static var isTerminal: Bool { isatty(2) == 1 }

  /// A line; its first word in colour if it says how bad it is. A line break of others makes no line of its own.
  static func error(_ line: String) {
    let terminal = Terminal.errors
    var text = Text.plain(line)
    for (word, color) in [("Error:", Terminal.Color.red), ("warning:", .yellow)] where text.hasPrefix(word) {
      text = terminal.colored(word, color) + text.dropFirst(word.count)
    }
    _ = put(2, terminal.shown(text) + "\n")
  }

  /// Lines of this program's own making, each as ``error(_:)``.
  static func error(lines: String) {
    for line in lines.split(separator: "\n", omittingEmptySubsequences: false) { error(String(line)) }
  }

  /// The program's result for people, in what the terminal's locale can show.
  ///
  /// - Throws: ``FileError`` where it cannot be written: who reads it by a program must not take half of it for all.
  static func output(_ text: String) throws(FileError) { try result(Terminal.output.shown(text)) }

  /// The same for programs: UTF-8 whatever the locale, as JSON has it.
  static func output(json text: String) throws(FileError) { try result(Text.plain(json: text)) }

  private static func result(_ text: String) throws(FileError) {
    let number = put(1, text)
    guard number == 0 else {
      throw FileError("standard output cannot be written: \(unsafe String(cString: strerror(number)))")
    }
  }

  /// Before anything is read that may be anybody's: from then on whoever took this process over could do little with it.
  static func confine() {
    if let complaint = Privileges.confineReader() { error("warning: \(complaint)") }
  }

  /// Replaces the line before it on a terminal; nothing elsewhere.
  static func live(_ line: String) {
    if isTerminal { _ = put(2, "\r\u{1b}[K" + Terminal.errors.shown(line)) }
  }

  static func endLive() {
    if isTerminal { _ = put(2, "\n") }
  }

  /// 0, or the error's number.
  private static func put(_ file: Int32, _ text: String) -> Int32 {
    var bytes = Array(text.utf8)[...]
    while !bytes.isEmpty {
      let count = unsafe bytes.withUnsafeBytes { unsafe write(file, $0.baseAddress, $0.count) }
      if count < 0 {
        if errno == EINTR { continue }
        return errno
      }
      bytes = bytes.dropFirst(count)
    }
    return 0
  }
}

/// SIGINT, SIGTERM, SIGHUP (the terminal is gone) and SIGQUIT ask for an orderly end.
enum StopSignal {
  private static let names = [SIGINT: "SIGINT", SIGTERM: "SIGTERM", SIGHUP: "SIGHUP", SIGQUIT: "SIGQUIT"]
  private static let received = Atomic<Int32>(0)
  private static let times = Atomic<Int>(0)

  /// To be called before anything is changed that has to be put back.
  static func watch() {
    for number in names.keys where number != SIGHUP || !isIgnored(SIGHUP) {
      signal(number) { number in
        StopSignal.received.store(number, ordering: .relaxed)
        StopSignal.times.add(1, ordering: .relaxed)
      }
    }
    // A limit on file sizes then fails a write, which is handled, instead of ending the process.
    signal(SIGXFSZ, SIG_IGN)
    // Nobody reads what is said any more: that is no reason to lose the recording.
    signal(SIGPIPE, SIG_IGN)
  }

  /// As `nohup` leaves it.
  private static func isIgnored(_ number: Int32) -> Bool {
    var action = sigaction()
    guard unsafe sigaction(number, nil, &action) == 0 else { return false }
    return unsafe unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self)
      == unsafeBitCast(SIG_IGN, to: Int.self)
  }

  /// How many there were.
  static var count: Int { times.load(ordering: .relaxed) }

  /// `SIGINT`, say, or nil while there was none.
  static var name: String? { names[received.load(ordering: .relaxed)] }
}

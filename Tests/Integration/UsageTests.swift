// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Testing
import VirtualLab

extension IntegrationSuites {
  /// What people type wrongly, and what a terminal is told of it: one line with what, where, and what to do.
  @Suite struct UsageTests {
    private func run(_ words: String, environment: [String: String] = [:]) throws -> Output {
      let arguments = words.split(separator: " ").map(String.init)
      let folder = FileManager.default.temporaryDirectory
      return try Command([Testbed.latprobe] + arguments, in: folder, environment: environment).wait(limit: 20)
    }

    @Test(arguments: [
      ("recrod -o x", "there is no command 'recrod'; did you mean 'record'?"),
      ("REPORT x", "there is no command 'REPORT'; did you mean 'report'?"),
      ("run1", "there is no command 'run1'; there are record, tap, "),
      ("help repotr", "there is no command 'repotr'; did you mean 'report'?"),
      ("--verison", "unknown option '--verison'; did you mean --version?"),
      ("record --duration 10 -o x", "--duration '10' needs a unit (ns, us, ms, s, m, h): 10s, say"),
      ("record --duration -5s -o x", "--duration '-5s' must be positive"),
      ("record --duration=-5s -o x", "--duration '-5s' must be positive"),
      ("record --duration 0s -o x", "--duration '0s' must be positive"),
      ("record --duration 10sec -o x", "--duration '10sec' has no such unit; there are ns, us, ms, s, m, h"),
      ("record --duration soon -o x", "--duration 'soon' is no time, such as 10s, 500ms or 2m"),
      ("record --out x", "unknown option '--out'; did you mean -o (--output)?"),
      ("record --netsn a -o x", "unknown option '--netsn'; did you mean --netns?"),
      ("record --blue -o x", "unknown option '--blue'; see 'latprobe record --help'"),
      ("record -z -o x", "unknown option '-z'; see 'latprobe record --help'"),
      ("record", "--output <dir> is missing: Directory for the recording; see 'latprobe record --help'"),
      ("record -o", "-o needs a value: Directory for the recording"),
      ("record a b -o x", "2 unexpected arguments: 'a', 'b'; see 'latprobe record --help'"),
      ("record --side gast -o x", "--side takes guest, host, not 'gast'"),
      ("record --count many -o x", "--count does not take 'many': Stop once"),
      ("record --sample 0.5 -o x", "--sample '0.5' is no share of the packets: 1/16 is one in sixteen"),
      ("record --label foo -o x", "--label 'foo' is no label: key=value"),
      ("record --rotate 60 -o x", "--rotate '60' is neither a size nor a time with its unit: 100M, 60s"),
      ("record --max-size lots -o x", "--max-size 'lots' is no size, such as 100M or 1G"),
      ("record --force=3 -o x", "The option '--force' does not take any value, but '3' was specified.; see"),
      (
        "record --session a/b -o x",
        "--session 'a/b' is no name of a session: up to 64 letters, digits, '.', '_' and '-'"
      ),
      ("report a --window 1", "--window '1' needs a unit (ns, us, ms, s, m, h): 1s, say"),
      ("report", "<dir> ... is missing: Recordings of one session; see 'latprobe report --help'"),
      ("gate x --reqire y", "unknown option '--reqire'; did you mean --require?"),
      ("hooks --sid host", "unknown option '--sid'; did you mean --side?"),
      ("send 10.0.0.2:0 -o x", "<host[:port]> '10.0.0.2:0' has no port: it is from 1 to 65535"),
      ("send 10.0.0.2 --rate -5 -o x", "--rate '-5' is no rate: 1000 is packets a second, 10M bits a second"),
      ("send 10.0.0.2 --txtime 5 -o x", "'5' needs a unit (ns, us, ms, s, m, h): 5s, say"),
      ("reflect --allow foo", "--allow 'foo' is no range of addresses: 10.0.0.0/8, fd00::/8 or one address"),
      ("reflect --listen :99999", "--listen ':99999' is no address: HOST, HOST:PORT or [IPV6-ADDRESS]:PORT"),
      ("rfc2544 x --trial 5 -o x", "--trial '5' needs a unit (ns, us, ms, s, m, h): 5s, say"),
      ("agent", "<listen-url> is missing: vsock:[:PORT], serial:PATH"),
    ])
    func oneLineForWhatIsTypedWrongly(_ words: String, _ message: String) throws {
      let output = try run(words)
      #expect(output.status == 64, "\(output)")
      #expect(output.text.isEmpty)
      let lines = output.errors.split(separator: "\n")
      #expect(lines.count == 1 && output.errors.hasPrefix("Error: \(message)"), "\(output.errors)")
    }

    /// Every command's own help, at two widths: nothing is wider, so nothing is wrapped by the terminal again.
    @Test(arguments: [
      "", "record", "tap", "pair", "send", "reflect", "rfc2544", "timer", "agent", "report", "gate", "hooks", "doctor",
      "repair",
    ])
    func helpFitsTheTerminal(_ command: String) throws {
      for columns in [80, 200] {
        let help = try run("\(command) --help", environment: ["COLUMNS": "\(columns)"])
        #expect(help.status == 0 && help.errors.isEmpty)
        let lines = help.text.split(separator: "\n")
        #expect(lines.allSatisfy { $0.count <= columns }, "\(lines.filter { $0.count > columns })")
        // A paragraph is one at any width.
        if columns == 200 { #expect(lines.contains { $0.count > 80 } || ["hooks", "repair"].contains(command)) }
      }
    }

    @Test func asciiUnderLangC() throws {
      for words in ["doctor", "hooks veth --verbose", "gate --help", "pair --help", "--help"] {
        let plain = try run(words, environment: ["LANG": "C", "LC_ALL": ""])
        let own = Set("–µ→≥≤±…αε½×·")
        #expect(!plain.text.contains { own.contains($0) } && !plain.errors.contains { own.contains($0) })
      }
      let json = try run("hooks veth --json", environment: ["LANG": "C"])
      #expect(json.text == (try run("hooks veth --json", environment: ["LANG": "C.UTF-8"])).text)
    }
  }
}

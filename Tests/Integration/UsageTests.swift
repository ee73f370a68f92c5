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
      ("record --duration 1e3s -o x", "--duration '1e3s' is no time, such as 10s, 500ms or 2m"),
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
      ("record --force=3 -o x", "The option '--force' does not take any value, but '3' was specified; see"),
      (
        "record --session a/b -o x",
        "--session 'a/b' is no name of a session: up to 64 letters, digits, '.', '_' and '-'"
      ),
      ("report a --window 1", "--window '1' needs a unit (ns, us, ms, s, m, h): 1s, say"),
      ("report a --by label", "--by 'label' tells no packets apart: a label is of a whole session"),
      ("report a --by ports", "--by 'ports' has no key 'ports'; did you mean 'port'?"),
      ("report a --by label", "--by 'label' tells no packets apart: a label is of a whole session"),
      ("report", "<dir> ... is missing: Recordings of one session; see 'latprobe report --help'"),
      ("gate x --reqire y", "unknown option '--reqire'; did you mean --require?"),
      ("hooks --sid host", "unknown option '--sid'; did you mean --side?"),
      ("send 10.0.0.2:0 -o x", "<host[:port]> '10.0.0.2:0' has no port: it is from 1 to 65535"),
      ("send 10.0.0.2 --rate -5 -o x", "--rate '-5' is no rate: 1000 is packets a second, 10M bits a second"),
      ("send 10.0.0.2 --txtime 5 -o x", "'5' needs a unit (ns, us, ms, s, m, h): 5s, say"),
      ("reflect --allow foo", "--allow 'foo' is no range of addresses: 10.0.0.0/8, fd00::/8 or one address"),
      ("reflect --listen :99999", "--listen ':99999' is no address: HOST, HOST:PORT or [IPV6-ADDRESS]:PORT"),
      ("rfc2544 x --trial 5 -o x", "--trial '5' needs a unit (ns, us, ms, s, m, h): 5s, say"),
      ("rfc2544 x --measure troughput -o x", "there is no measurement 'troughput'; did you mean 'throughput'?"),
      ("rfc2544 x --resolution 5x -o x", "--resolution '5x' is no percentage, such as 0.5 or 0.5%"),
      ("rfc2544 x --sizes 64, -o x", "--sizes takes frames of 64 to 65553 bytes, not ''"),
      ("agent vsok:", "'vsok:' is no address of an agent: give vsock:CID[:PORT], serial:PATH, "),
      ("agent tcp:127.0.0.1", "tcp needs --key-file: whoever reaches the port"),
      ("record --topology kvm-vhost --guest vsok:3 -o x", "'vsok:3' is no address of an agent"),
      ("pair --proto dnss x", "there is no protocol 'dnss'; did you mean 'dns'?"),
      ("pair --proto quic x", "there is no protocol 'quic'; there are dns, icmp, memcached, "),
      ("pair --proto dns, x", "there is no protocol ''; there are dns, icmp, "),
      ("pair --proto dns --port dsn=53 x", "there is no protocol 'dsn'; did you mean 'dns'?"),
      ("pair --proto dns --port http=80 x", "--port http=80: http is not paired here; add --proto http"),
      ("pair --proto dns --port dns=0 x", "--port takes NAME=PORT, as in dns=5353, with a port from 1 to 65535, not"),
      ("pair --proto dns --station 10.0.0.1 x", "--station goes with --proto sip-forward"),
      ("pair --proto dns lo --count -3", "--count '-3' must not be negative"),
      ("send 127.0.0.1 --cpu 9999 -o x", "--cpu takes the number of a CPU that is online: "),
      (
        "send 127.0.0.1 --rate 100G -o x",
        "--rate takes 0.001 to 1000000 packets a second: 100G in packets of this size"
      ),
      ("agent", "<listen-url> is missing: vsock:[:PORT], serial:PATH"),
    ])
    func oneLineForWhatIsTypedWrongly(_ words: String, _ message: String) throws {
      let output = try run(words)
      #expect(output.status == 64, "\(output)")
      #expect(output.text.isEmpty)
      let lines = output.errors.split(separator: "\n")
      #expect(lines.count == 1 && output.errors.hasPrefix("Error: \(message)"), "\(output.errors)")
    }

    /// What is only found out when the command runs: one line, exit code 1, and nothing is left.
    @Test(arguments: [
      ("hooks vteh", "vteh: there is no topology of this name in "), ("hooks VETH", "did you mean 'veth'?"),
      ("record --topology vteh -o LEFT", "did you mean 'veth'?"),
      ("tap wire-on=lo -o LEFT", "'wire-on=lo' is no device and no file; did you mean wire-in=lo?"),
      ("tap --read wire-on=a.pcap -o LEFT", "did you mean wire-in=a.pcap?"),
      ("pair --proto dns wire-uot=lo", "did you mean wire-out=lo?"),
      ("report NOTHING", "NOTHING: does not exist: give the directory that `latprobe record -o` wrote"),
      ("repair NOTHING", "NOTHING: does not exist: give the directory that `latprobe record -o` wrote"),
      ("agent unix:/tmp/NOTHING-agent --state NOTHING", "--state NOTHING: there is no such directory"),
    ])
    func oneLineForWhatIsNotThere(_ words: String, _ message: String) throws {
      let output = try run(words)
      #expect(output.status == 1 && output.text.isEmpty, "\(output)")
      let lines = output.errors.split(separator: "\n").filter { !$0.hasPrefix("note: ") }
      #expect(lines.count == 1 && output.errors.contains(message), "\(output.errors)")
      let left = FileManager.default.temporaryDirectory.appendingPathComponent("LEFT").path
      #expect(!FileManager.default.fileExists(atPath: left))
    }

    /// With no -o it is the file that is said, not the option.
    @Test func aCaptureIsNoDevice() throws {
      let file = FileManager.default.temporaryDirectory.appendingPathComponent("capture-\(UUID().uuidString).pcap")
      try Data().write(to: file)
      defer { try? FileManager.default.removeItem(at: file) }
      let output = try run("tap \(file.path)")
      #expect(output.status == 64 && output.errors.hasSuffix("-o DIR'?\n"), "\(output.errors)")
      #expect(output.errors.contains("did you mean 'latprobe tap --read \(file.path)"))
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

    /// On a terminal of 80 columns: colours that it obeys, and no line that it has to break.
    @Test(arguments: ["doctor", "hooks veth --verbose", "recrod", "timer --samples 20 --load idle"])
    func aTerminal(_ words: String) throws {
      let command = "stty cols 80; exec env -u NO_COLOR LANG=C.UTF-8 TERM=xterm '\(Testbed.latprobe)' \(words)"
      let folder = FileManager.default.temporaryDirectory
      let output = try Command(["script", "-qec", command, "/dev/null"], in: folder).wait(limit: 30)
      #expect(!output.text.contains("?["), "\(output.text)")
      if !["hooks", "timer"].contains(where: words.hasPrefix) { #expect(output.text.contains("\u{1b}[3")) }
      // A line that shows progress is written anew in its place.
      let text = output.text.replacing(#/\u{1b}\[[0-9]*[mK]/#, with: "").replacing("\r\n", with: "\n")
      for line in text.split(separator: "\n").flatMap({ $0.split(separator: "\r") }) {
        // A path that is longer cannot be broken.
        let isOneWord = !line.drop { $0 == " " || $0 == "→" }.contains(" ")
        #expect(line.count <= 80 || isOneWord, "\(line)")
      }
      let dumb = try Command(["script", "-qec", command.replacing("xterm", with: "dumb"), "/dev/null"], in: folder)
        .wait(limit: 30)
      #expect(!dumb.text.contains("\u{1b}[3"), "\(dumb.text)")
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

// SPDX-License-Identifier: GPL-2.0-or-later
import ArgumentParser
import Foundation
import Testing
import VirtualLab

@testable import latprobe

extension IntegrationSuites {
  /// README and docs, from their text: what they say to type does what they say it does, or is known not to run here.
  @Suite struct DocumentedCommandsTests {
    /// What no test machine has, and why. These commands are parsed alone, as all are.
    private static let needsMore: [(words: String, reason: String)] = [
      ("--guest ", "needs a KVM guest with an agent"), ("--guest-name ", "needs a KVM guest"),
      ("--side guest", "is for the inside of a guest"), ("--side host", "needs a KVM guest"),
      ("agent vsock:", "needs a vsock device"), ("report run4", "is of a KVM guest's recording"),
      ("report host.lat", "is of a KVM guest's recording"),
    ]

    private static func reason(_ command: DocumentedPage.Command) -> String? {
      needsMore.first { command.words.contains($0.words) }?.reason
    }

    @Test func everyCommandParses() throws {
      let commands = try DocumentedPage.all().flatMap(\.commands)
      #expect(commands.count > 40)
      for command in commands {
        let name = command.arguments.first ?? ""
        let type = Latprobe.configuration.subcommands.first { $0._commandName == name }
        let help = type.map { Latprobe.helpMessage(for: $0, columns: 200) } ?? ""
        #expect(type != nil, "\(command.place): \(command.shell)")
        for option in command.shell.matches(of: #/[ \[|](--[a-z][a-z0-9-]+)/#).map({ String($0.1) }) {
          #expect(help.contains(option), "\(command.place): \(option) is no option of \(name)")
        }
        guard !command.isSynopsis else { continue }
        #expect(throws: Never.self, "\(command.place): \(command.shell)") {
          do { _ = try Latprobe.parseAsRoot(command.arguments) } catch {
            throw TestbedError(description: Latprobe.message(for: error))
          }
        }
      }
    }

    /// The examples of `--help` and of the manual pages.
    @Test func everyExampleOfHelpParses() throws {
      var count = 0
      for type in Latprobe.configuration.subcommands {
        let text = type.configuration.discussion.replacing(#/\\\n +/#, with: "")
        for line in text.split(separator: "\n") where line.contains(#/^ +(sudo )?latprobe |\| latprobe /#) {
          let arguments = DocumentedPage.arguments(String(line))
          count += 1
          #expect(throws: Never.self, "\(line)") {
            do { _ = try Latprobe.parseAsRoot(arguments) } catch {
              throw TestbedError(description: Latprobe.message(for: error))
            }
          }
        }
      }
      #expect(count > 25)
    }

    @Test func everyCommandRuns() throws {
      var script = "latprobe tap --calibrate eth1 eth2 --count 50 -o run >/dev/null 2>&1\n"
      var count = 0
      for page in try DocumentedPage.all() {
        let commands = page.commands.filter { !$0.isSynopsis && Self.reason($0) == nil }
        let folder = page.name.replacing("/", with: "-")
        script += "mkdir \(folder); cd \(folder); ln -s ../*.pcap* .; cp -r ../run .\n"
        for command in commands {
          script += "echo '\(command.place)'; { \(Self.quick(command)); } >log 2>&1; status=$?\n"
          let fine = command.arguments[0] == "gate" ? "0|2|3" : command.arguments[0] == "doctor" ? "0|1" : "0"
          script += "case $status in \(fine)) ;; *) echo \"failed with $status: $(cat log)\"; esac\n"
        }
        script += "cd ..\n"
        count += commands.count
      }
      let output = try run(script)
      let lines = output.text.split(separator: "\n")
      #expect(output.status == 0 && lines.count == count, "\(output.text)\(output.errors)")
      #expect(count > 20)
    }

    /// Blocks of shell, as a whole, in the order of the page.
    @Test(arguments: try DocumentedPage.all().filter { $0.blocks.contains { $0.language == "sh" } }.map(\.name))
    func everyShellBlockRuns(_ page: String) throws {
      var script = "set -ex\n"
      // A kernel that was built without it cannot delay packets so: the rest of the page holds as well.
      script += "tc qdisc add dev lo root netem delay 1ms && delay='netem delay 2ms' || delay=pfifo\n"
      script += "tc qdisc del dev lo root || true\n"
      for line in try DocumentedPage(page).blocks.filter({ $0.language == "sh" }).flatMap(\.lines) {
        var line = Self.shorter(line).replacing("netem delay 2ms", with: "$delay")
        // A verdict is an answer, whichever it is.
        if line.hasPrefix("latprobe gate"), !line.contains("||") { line += " || case $? in 2|3) ;; *) exit 1 ;; esac" }
        script += line + "\n"
      }
      let output = try run(script)
      #expect(output.status == 0, "\(output.text)\(output.errors)")
    }

    /// Topologies, policies and rules that stand in the pages are accepted.
    @Test func everyExampleOfAFileIsAccepted() throws {
      let bed = try Testbed()
      var kinds: Set<String> = []
      for page in try DocumentedPage.all() {
        for block in page.blocks where block.language == "yaml" || block.text.hasPrefix("format: 1") {
          let path = bed.path("example\(kinds.count).yaml")
          try block.text.write(toFile: path, atomically: true, encoding: .utf8)
          let output: Output
          if block.text.contains("hooks:") {
            kinds.insert("topology")
            output = try bed.latprobe("hooks", path)
          } else if block.text.contains("require:") {
            kinds.insert("policy")
            let recording = try bed.record("r", "--duration", "200ms", "--force")
            _ = try recording.wait(limit: 10)
            output = try bed.latprobe("gate", bed.path("r"), "--policy", path)
          } else {
            kinds.insert("rule")
            try bed.run("python3", Testbed.fixture("documented.py"), "captures", bed.path("c.pcap"))
            output = try bed.latprobe("pair", "--rule", path, "--proto", "dns", bed.path("c.pcap"))
          }
          #expect([0, 2, 3].contains(output.status), "\(page.name):\(block.number): \(output.errors)")
          #expect(!output.errors.contains("Error"), "\(page.name):\(block.number): \(output.errors)")
        }
      }
      #expect(kinds == ["topology", "policy", "rule"])
    }

    private func run(_ script: String) throws -> Output {
      let folder = FileManager.default.temporaryDirectory.appendingPathComponent("lpdoc-\(UUID().uuidString)")
      try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
      defer { try? FileManager.default.removeItem(at: folder) }
      let path = folder.appendingPathComponent("script").path
      try script.write(toFile: path, atomically: true, encoding: .utf8)
      let program = URL(fileURLWithPath: Testbed.latprobe).standardizedFileURL.path
      return try Command(
        [Testbed.fixture("documented.sh"), folder.path, program, path], in: folder
      ).wait(limit: 120)
    }

    // MARK: - The same, in less time

    /// 60 ms where a page says a second. What runs beside a recording goes on while that begins.
    private static func shorter(_ line: String) -> String {
      line.replacing(/--duration ([0-9]+)s/) { match in
        "--duration \((Int(match.1) ?? 1) * 60 + (line.hasSuffix("&") ? 3000 : 0))ms"
      }
    }

    /// With an end where the page leaves it to Ctrl-C, and short trials.
    private static func quick(_ command: DocumentedPage.Command) -> String {
      var shell = shorter(command.shell).replacing(#/ +#.*$/#, with: "")
      let name = command.arguments[0]
      let isLive = name == "record" || name == "send" || name == "tap" && !command.words.contains("--read")
      if isLive, !command.words.contains("--duration"), !command.words.contains("--calibrate") {
        shell = shell.replacing(" -o ", with: " --duration 300ms -o ")
      }
      switch name {
      case "reflect", "agent": shell = "timeout --preserve-status -s INT 0.7 \(shell) --listen :8620"
      case "timer": shell += " --samples 23 --load idle"
      case "rfc2544":
        // A rate that a busy machine sends, too.
        shell = shell.replacing("--line-rate 1G", with: "--line-rate 1M")
        shell +=
          " --sizes 512 --trial 200ms --search-trial 100ms --repeat 1 --wait 200ms --pause 0s --measure throughput"
      default: break
      }
      return shell
    }
  }
}

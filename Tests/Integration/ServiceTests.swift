// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Glibc
import Recording
import Testing
import VirtualLab

extension IntegrationSuites {
  /// Services under load: each request must be paired, as it passes and from the capture, and be as many as were made.
  @Suite struct ServiceTests {
    private let bed: Testbed

    init() throws { bed = try Testbed() }

    /// Runs a client in `a` to its end; what it printed.
    private func load(_ arguments: String..., limit: Double = 60) throws -> String {
      let output = try bed.start(["ip", "netns", "exec", bed.a] + arguments).wait(limit: limit)
      guard output.status == 0 else {
        throw TestbedError(description: "\(arguments) exited with \(output.status): \(output.errors)\(output.text)")
      }
      return output.text
    }

    private func number(_ regex: Regex<(Substring, Substring)>, in text: String) throws -> Int {
      let match = try #require(text.firstMatch(of: regex), "\(text)")
      return try #require(Int(match.1))
    }

    @Test func kamailioForwardsEachMessageOfACall() throws {
      let calls = 300
      try bed.run("ip", "-n", bed.a, "addr", "add", "10.77.0.3/24", "dev", "eth0")
      let modules = try #require(
        (Testbed.libraries + ["/usr/lib/\(machineName)-linux-gnu"]).map { "\($0)/kamailio/modules" }
          .first { FileManager.default.fileExists(atPath: $0) }, "kamailio is missing: run `make deps`")
      try bed.serve(
        try bed.service("kamailio") + [
          "-DD", "-E", "-f", Testbed.fixture("kamailio.cfg"), "-L", modules, "-Y", bed.folder.path, "-P",
          bed.path("kamailio.pid"), "-m", "16", "-M", "4",
        ], port: 5_060, udp: true)
      _ = try bed.start(
        in: bed.a, "env", "TERM=xterm", "sipp", "-sn", "uas", "-i", "10.77.0.3", "-p", "5060", "-nostdin")
      let recording = try bed.pairLive("sip-forward") {
        // Its exit code tells whether each call succeeded.
        _ = try load(
          "env", "TERM=xterm", "sipp", "-sn", "uac", "-i", "10.77.0.1", "-p", "5060", "-nostdin", "-r", "100", "-m",
          "\(calls)", "10.77.0.2:5060")
      }
      let pairs = Dictionary(grouping: recording.foundPairs, by: \.name)
      for name in ["INVITE", "180-INVITE", "200-INVITE", "ACK", "BYE", "200-BYE"] {
        #expect(pairs["sip-forward-\(name)"]?.count == calls, "\(name): \(pairs.mapValues(\.count))")
      }
      #expect(recording.pairs.count == 6 * calls && recording.pairs.allSatisfy { $0.end > $0.start })
      #expect(recording.tally("unanswered") == 0 && recording.tally("malformed") == 0)
    }

    /// The client's clock is the one that stamps the packets: each of its requests encloses its pair, and what lies
    /// between the two is the client's own overhead.
    @Test func memcachedTimesLieWithinTheClients() throws {
      try bed.serveMemcached()
      var text = ""
      let recording = try bed.pairLive("memcached", isTCP: true) {
        text = try load("python3", Testbed.fixture("memcached_load.py"), "10.77.0.2", "1500")
      }
      let log = text.split(separator: "\n").map { line in
        let words = line.split(separator: " ")
        return (name: String(words[0]), begin: Int64(words[1]) ?? 0, end: Int64(words[2]) ?? 0)
      }
      let pairs = recording.foundPairs.sorted { $0.start < $1.start }
      try #require(pairs.count == log.count)
      #expect(recording.tally("requests") == log.count && recording.tally("gaps") == 0)
      let gets = log.count { $0.name == "get" }
      #expect(Double(gets) / Double(log.count) > 0.8)
      var delays: [Int64] = []
      var overheads: [Int64] = []
      for (pair, request) in zip(pairs, log) {
        let last = try #require(pair.last)
        #expect(pair.name == "memcached-\(request.name)")
        #expect(request.begin < pair.start && pair.start < pair.end && pair.end <= last && last < request.end)
        delays.append(last - pair.start)
        overheads.append(pair.start - request.begin + request.end - last)
      }
      func median(_ values: [Int64]) -> Int64 { values.sorted()[values.count / 2] }
      let client = median(log.map { $0.end - $0.begin })
      // Medians do not add up to the nanosecond.
      let left = client - median(overheads)
      print("memcached: client \(client) ns, overhead \(median(overheads)) ns, pairs \(median(delays)) ns (medians)")
      #expect(abs(left - median(delays)) <= client / 10)
    }

    @Test func dnsmasqAnswersAllThatDnsperfCompletes() throws {
      try bed.serveNames()
      let names = (0..<97).map { "host\($0).test A\n" }.joined()
      try names.write(toFile: bed.path("names"), atomically: true, encoding: .utf8)
      var completed = 0
      let recording = try bed.pairLive("dns") {
        let text = try load(
          "dnsperf", "-s", "10.77.0.2", "-d", bed.path("names"), "-Q", "1000", "-l", "2", "-c", "4", "-T", "1")
        completed = try number(/Queries completed: +(\d+)/, in: text)
      }
      #expect(completed > 500 && recording.pairs.count == completed && recording.tally("requests") == completed)
    }

    @Test func redisAnswersAllThatItsBenchmarkAsks() throws {
      try bed.serveRedis()
      let recording = try bed.pairLive("redis", isTCP: true) {
        _ = try load(
          "redis-benchmark", "-h", "10.77.0.2", "-t", "get,set", "-n", "3000", "-c", "7", "-P", "5", "-q")
      }
      let pairs = Dictionary(grouping: recording.foundPairs, by: \.name).mapValues(\.count)
      #expect(pairs["redis-GET"] == 3000 && pairs["redis-SET"] == 3000, "\(pairs)")
      #expect(recording.tally("gaps") == 0 && recording.tally("malformed") == 0)
    }

    @Test func nginxAnswersAllThatAbAsks() throws {
      let configuration = """
        daemon off; master_process off; pid \(bed.path("nginx.pid")); error_log stderr; events {}
        http {
          access_log off; client_body_temp_path \(bed.path("body")); proxy_temp_path \(bed.path("proxy"));
          fastcgi_temp_path \(bed.path("fastcgi")); uwsgi_temp_path \(bed.path("uwsgi")); scgi_temp_path \(bed.path("scgi"));
          server { listen 10.77.0.2:80; location / { return 200 "\(String(repeating: "x", count: 3000))"; } }
        }
        """
      try configuration.write(toFile: bed.path("nginx.conf"), atomically: true, encoding: .utf8)
      try bed.serve(try bed.service("nginx") + ["-p", bed.folder.path, "-c", bed.path("nginx.conf")], port: 80)
      let recording = try bed.pairLive("http", isTCP: true) {
        let text = try load("ab", "-q", "-n", "1000", "-c", "7", "-k", "http://10.77.0.2/")
        #expect(try number(/Complete requests: +(\d+)/, in: text) == 1000)
        #expect(try number(/Failed requests: +(\d+)/, in: text) == 0)
      }
      #expect(recording.pairs.count == 1000 && recording.foundPairs.allSatisfy { $0.name == "http-GET" })
      #expect(recording.tally("requests") == 1000 && recording.tally("gaps") == 0)
    }
  }
}

/// `x86_64` and the like.
private var machineName: String {
  var name = utsname()
  unsafe uname(&name)
  return unsafe withUnsafeBytes(of: name.machine) { bytes in
    unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
  }
}

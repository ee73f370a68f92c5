// SPDX-License-Identifier: GPL-2.0-or-later
import Remote
import Testing

@Suite struct EndpointTests {
  @Test(arguments: [
    ("vsock:3", Endpoint.vsock(cid: 3, port: 5211)), ("vsock:3:80", .vsock(cid: 3, port: 80)),
    ("vsock:", .vsock(cid: nil, port: 5211)), ("vsock::7000", .vsock(cid: nil, port: 7000)),
    ("serial:/dev/vport1p1", .serial(path: "/dev/vport1p1")), ("unix:/run/a:b", .unix(path: "/run/a:b")),
    ("tcp:10.0.0.2:99", .tcp(host: "10.0.0.2", port: 99)), ("tcp:guest", .tcp(host: "guest", port: 5211)),
    ("tcp:[fd77::1]:99", .tcp(host: "fd77::1", port: 99)), ("tcp:[::]", .tcp(host: "::", port: 5211)),
  ]) func grammar(_ text: String, _ endpoint: Endpoint) throws {
    #expect(try Endpoint(text) == endpoint)
    #expect(try Endpoint(endpoint.description) == endpoint)
  }

  @Test(arguments: [
    "", "vsock", "3", "vsock:x", "vsock:-1", "vsock:3:", "vsock:3:x", "vsock:1:2:3", "vsock:4294967295", "vsock:3:+5",
    "tcp:", "tcp:h:0", "tcp:h:65536", "tcp:fd77::1", "tcp:[fd77::1", "tcp:[::1]x", "serial:", "unix:", "http://h",
    "ssh:h",
  ]) func refused(_ text: String) {
    let error = #expect(throws: RemoteError.self) { try Endpoint(text) }
    #expect(error?.description.contains("'\(text)' is no address") == true)
  }

  @Test func onlyTheNetworkNeedsAKey() throws {
    #expect(try Endpoint("tcp:h").needsKey)
    for local in ["vsock:3", "serial:/a", "unix:/a"] { #expect(try !Endpoint(local).needsKey) }
  }
}

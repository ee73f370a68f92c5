// SPDX-License-Identifier: GPL-2.0-or-later
import Recording

extension SessionAnalysis {
  /// Notes the flows between addresses of which no packet passed both points of taps at devices.
  ///
  /// By addresses and not by flow: of requests that have a port each, a lost one is a flow of its own.
  mutating func noteWhoCameThrough(_ flows: [UInt32: Flow]) {
    var seen: [[UInt8]: UInt32] = [:]
    var pairs: [(id: UInt32, addresses: [UInt8])] = []
    // Capture files have what they were made for; devices have all that there is.
    for (survey, domain) in zip(surveys, domains) where domain.machines.allSatisfy({ $0.captures == nil }) {
      for (number, id) in survey.flows.ids.enumerated() {
        let bits = survey.flows.seen[number] & HookPoint.wireBits
        guard bits != 0, let flow = flows[id] else { continue }
        let addresses = flow.source + flow.destination
        seen[addresses, default: 0] |= bits
        pairs.append((id, addresses))
      }
    }
    strangers = Set(pairs.lazy.filter { seen[$0.addresses] != HookPoint.wireBits }.map(\.id))
  }
}

// SPDX-License-Identifier: GPL-2.0-or-later
internal import Host

/// Frames that a device says it has dropped since it was made: received ones that found no room, and sent ones.
func deviceDrops(_ device: String) -> UInt64 {
  // Of the thread's network namespace. Behind the name: received bytes packets errs drop fifo frame compressed
  // multicast, sent bytes packets errs drop fifo …
  let line = System.read("/proc/thread-self/net/dev")?.split(separator: "\n")
    .map { $0.drop { $0 == " " } }.first { $0.hasPrefix("\(device):") }
  guard let fields = line?.split(separator: ":").last?.split(separator: " "), fields.count >= 13 else { return 0 }
  return [3, 4, 11, 12].reduce(0) { $0 + (UInt64(fields[$1]) ?? 0) }
}

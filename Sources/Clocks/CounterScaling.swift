// SPDX-License-Identifier: GPL-2.0-or-later

/// How KVM makes a guest's time stamp counter from the host's.
///
/// `guest = ((host · ratio) >> fractionBits) + offset`: the product has 128 bits, the sum wraps at 64 (Linux,
/// arch/x86/kvm/x86.c, `kvm_scale_tsc` and `kvm_read_l1_tsc`). VMX has 48 bits of fraction, SVM 32.
package struct CounterScaling: Sendable, Hashable {
  /// Ticks.
  package var offset: Int64
  /// 0: not scaled.
  package var ratio: UInt64
  package var fractionBits: UInt8

  /// - Parameter fractionBits: 1 … 63 where there is a ratio.
  package init(offset: Int64, ratio: UInt64 = 0, fractionBits: UInt8 = 0) {
    self.offset = offset
    self.ratio = ratio
    self.fractionBits = fractionBits
  }

  package var isScaled: Bool { ratio != 0 }
  /// False if the hardware cannot have meant it.
  package var isValid: Bool { !isScaled || (1...63).contains(fractionBits) }

  /// What the guest reads when the host reads `host`.
  package func guest(_ host: UInt64) -> UInt64 {
    var ticks = host
    if isScaled {
      let product = host.multipliedFullWidth(by: ratio)
      ticks = product.high << (64 - UInt64(fractionBits)) | product.low >> UInt64(fractionBits)
    }
    return ticks &+ UInt64(bitPattern: offset)
  }

  /// The smallest host reading at which the guest reads at least `guest`; nil if it has more than 64 bits.
  ///
  /// A guest's tick may have several host ticks or, where the guest counts faster, none: off by ``inverseError``.
  package func host(_ guest: UInt64) -> UInt64? {
    let ticks = guest &- UInt64(bitPattern: offset)
    guard isScaled else { return ticks }
    let high = ticks >> (64 - UInt64(fractionBits))
    let low = ticks << UInt64(fractionBits)
    guard high < ratio else { return nil }
    let (quotient, remainder) = ratio.dividingFullWidth((high, low))
    return remainder == 0 || quotient == .max ? quotient : quotient + 1
  }

  /// How far the host's counter may be from ``host(_:)`` when the guest reads that, in host ticks.
  package var inverseError: Double {
    isScaled ? max(1, Double(sign: .plus, exponent: Int(fractionBits), significand: 1) / Double(ratio)) : 0
  }
}

/// What KVM's debugfs says about a vCPU's time stamp counter at one time.
package struct CounterReading: Sendable, Hashable {
  /// Of the host.
  package var at: Instant<Monotonic>
  package var vcpu: Int
  package var scaling: CounterScaling

  /// They are read every second and at the end; half a second more for a busy machine.
  static let longestGap: Int64 = 1_500_000_000

  package init(at: Instant<Monotonic>, vcpu: Int, scaling: CounterScaling) {
    self.at = at
    self.vcpu = vcpu
    self.scaling = scaling
  }
}

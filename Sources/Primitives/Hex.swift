extension FixedWidthInteger {
    /// Upper-case hexadecimal, zero-padded to the type's width: `UInt16(10).hex` is `000A`.
    public var hex: String {
        let digits = String(UInt64(truncatingIfNeeded: self) & (Self.bitWidth == 64 ? .max : (1 << Self.bitWidth) &- 1), radix: 16, uppercase: true)
        return String(repeating: "0", count: Swift.max(0, Self.bitWidth / 4 - digits.count)) + digits
    }
}

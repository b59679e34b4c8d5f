import Primitives

/// Which characters the terminal may be given.
public enum GlyphSet: String, CaseIterable, Sendable {
    /// All of code page 437 in its Unicode forms.
    case full
    /// The pictographs of 0x01–0x1F and 0x7F that some fonts draw two columns wide, replaced by narrow relatives.
    case safe
    /// 7 bits: no byte above 0x7E leaves.
    case ascii
}

/// Characters of the guest's screen on the host's terminal.
public enum Glyphs {
    /// The Unicode scalar for a byte of the guest's text memory.
    @inline(__always)
    public static func scalar(_ byte: UInt8) -> UInt32 { table[Int(byte)] }

    /// A byte's glyph cut down to a set.
    public static func scalar(_ byte: UInt8, in set: GlyphSet) -> UInt32 { reduce(table[Int(byte)], to: set) }

    /// Any scalar cut down to a set. ASCII stays as it is in all of them.
    public static func reduce(_ scalar: UInt32, to set: GlyphSet) -> UInt32 {
        if scalar < 0x7F { return scalar }
        switch set {
        case .full: return scalar
        case .safe: return safe[scalar] ?? scalar
        case .ascii: return ascii[scalar] ?? 0x3F
        }
    }

    /// The code page 437 byte that shows a scalar.
    public static func byte(for scalar: UInt32) -> UInt8? { bytes[scalar] }

    private static let table: [UInt32] = CP437.codePoints.map { UInt32($0) }
    private static let bytes: [UInt32: UInt8] = Dictionary(
        table.enumerated().map { ($1, UInt8(truncatingIfNeeded: $0)) }, uniquingKeysWith: { first, second in first == 0 ? second : first })

    private static let safe: [UInt32: UInt32] = Dictionary(
        zip(table, CP437.safeCodePoints.map { UInt32($0) }), uniquingKeysWith: { first, _ in first })

    private static let ascii: [UInt32: UInt32] = {
        var result = Dictionary(zip(table, CP437.ascii.map { UInt32($0) }), uniquingKeysWith: { first, _ in first })
        // What the console itself draws beyond the code page, in pairs.
        let own = Array("…~╭+╮+╯+╰+●*‖=–-—-’'▸>▾v“\"”\"".unicodeScalars)
        for i in stride(from: 0, to: own.count - 1, by: 2) { result[own[i].value] = own[i + 1].value }
        let others = Array(CodePage.standIns.unicodeScalars)
        for i in stride(from: 0, to: others.count - 1, by: 2) where result[others[i].value] == nil { result[others[i].value] = others[i + 1].value }
        return result
    }()
}

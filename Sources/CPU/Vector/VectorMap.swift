/// An encoding that may be a SIMD instruction, as the decoder found it.
struct VectorEncoding {
    /// 1: 0F, 2: 0F 38, 3: 0F 3A.
    var map: UInt8
    /// 0 none, 1: 66, 2: F3, 3: F2.
    var prefix: UInt8
    var opcode: UInt8
    var modrm: UInt8
    /// VEX prefix; then `long` is VEX.L and `wide` VEX.W. Without VEX `wide` is REX.W.
    var isVEX = false
    var long = false
    var wide = false
    /// 64-bit mode.
    var is64 = false
    /// VEX.vvvv, inverted already: 0 when the instruction has no such operand.
    var vvvv: UInt8 = 0
}

/// The SIMD part of the opcode map: what the decoder asks before it looks into `OpcodeMap`.
///
/// A form is the number of a row of `VectorRows`. Rows of one map, prefix and opcode are chained in the order of the text.
enum VectorMap {
    enum Answer: Equatable {
        /// No SIMD instruction: the row of the opcode map rules.
        case none
        /// #UD: the encoding is SIMD's, but not defined, or the model lacks it.
        case undefined
        case form(UInt16)
    }

    /// Every row; a form is an index.
    static let rows: [VectorRow] = {
        let text = [VectorRows.map0F, VectorRows.map38, VectorRows.map3A].flatMap { $0.split(separator: "\n").map(String.init) }
        return (text + VectorRows.fma).map { VectorRow($0) }
    }()

    /// What `lookUp` reads of a row, without the texts.
    private struct Selector {
        var next: UInt16 = 0
        var form: UInt16 = 0
        var digit: Int8 = -1
        var exactModRM: Int16 = -1
        var memoryOnly = false
        var registerOnly = false
        var wide: Int8 = -1
        var usesVVVV = false
        var fallsBack = false
        var hasLegacy = false
        var hasVEX128 = false
        var hasVEX256 = false
        var legacy: CPUFeatures = []
        var vex128: CPUFeatures = []
        var vex256: CPUFeatures = []
    }

    /// First selector by map, prefix and opcode (0: none), and the selectors.
    private struct Index: @unchecked Sendable {
        let heads: UnsafeMutablePointer<UInt16>
        let selectors: UnsafeMutablePointer<Selector>

        init(_ rows: [VectorRow]) {
            heads = .allocate(capacity: 4 * 4 * 256)
            heads.initialize(repeating: 0, count: 4 * 4 * 256)
            selectors = .allocate(capacity: rows.count * 2 + 1)
            selectors.initialize(repeating: Selector(), count: rows.count * 2 + 1)
            var tails = [UInt16](repeating: 0, count: 4 * 4 * 256)
            var count: UInt16 = 1
            for (form, row) in rows.enumerated() {
                for prefix in 0..<4 where row.prefixes & (1 << UInt8(prefix)) != 0 {
                    var s = Selector()
                    s.form = UInt16(form)
                    s.digit = Int8(row.digit)
                    s.exactModRM = Int16(row.exactModRM)
                    (s.memoryOnly, s.registerOnly, s.wide) = (row.memoryOnly, row.registerOnly, Int8(row.wide))
                    (s.usesVVVV, s.fallsBack) = (row.usesVVVV, row.fallsBack)
                    (s.hasLegacy, s.hasVEX128, s.hasVEX256) = (row.legacy != nil, row.vex128 != nil, row.vex256 != nil)
                    (s.legacy, s.vex128, s.vex256) = (row.legacy ?? [], row.vex128 ?? [], row.vex256 ?? [])
                    selectors[Int(count)] = s
                    let place = Int(row.map) << 10 | prefix << 8 | Int(row.opcode)
                    if heads[place] == 0 { heads[place] = count } else { selectors[Int(tails[place])].next = count }
                    tails[place] = count
                    count += 1
                }
            }
        }
    }

    private static let index = Index(rows)

    static func lookUp(_ encoding: VectorEncoding, _ features: CPUFeatures) -> Answer {
        let place = Int(encoding.map & 3) &<< 10 | Int(encoding.prefix & 3) &<< 8 | Int(encoding.opcode)
        var at = Int(index.heads[place])
        if encoding.isVEX {
            while at != 0 {
                let s = index.selectors + at
                if matches(s, encoding), encoding.long ? s.pointee.hasVEX256 : s.pointee.hasVEX128 {
                    let needed = encoding.long ? s.pointee.vex256 : s.pointee.vex128
                    guard features.contains(needed), s.pointee.usesVVVV || encoding.vvvv == 0 else { return .undefined }
                    return .form(s.pointee.form)
                }
                at = Int(s.pointee.next)
            }
            return .undefined
        }
        while at != 0 {
            let s = index.selectors + at
            if s.pointee.hasLegacy && matches(s, encoding) {
                if features.contains(s.pointee.legacy) { return .form(s.pointee.form) }
                return s.pointee.fallsBack ? .none : .undefined
            }
            at = Int(s.pointee.next)
        }
        // MMX instructions take no F3 and F2, and 66 only where there is a row for it, once there are prefixes that mean something.
        if encoding.map == 1 && encoding.prefix != 0 && features.contains(.sse) && isMMX(encoding.opcode) { return .undefined }
        return .none
    }

    /// Some ModR/M byte makes it a SIMD instruction: it lies beyond the page.
    static func isPossible(_ encoding: VectorEncoding, _ features: CPUFeatures) -> Bool {
        var other = encoding
        for digit: UInt8 in 0..<8 {
            for mod: UInt8 in [0, 0xC0] {
                other.modrm = mod | digit << 3
                if case .form = lookUp(other, features) { return true }
            }
        }
        return false
    }

    @inline(__always)
    private static func matches(_ s: UnsafeMutablePointer<Selector>, _ encoding: VectorEncoding) -> Bool {
        let register = encoding.modrm >= 0xC0
        if register ? s.pointee.memoryOnly : s.pointee.registerOnly { return false }
        if s.pointee.digit >= 0 && Int8(encoding.modrm &>> 3 & 7) != s.pointee.digit { return false }
        if s.pointee.exactModRM >= 0 && Int16(encoding.modrm) != s.pointee.exactModRM { return false }
        if s.pointee.wide >= 0 && encoding.isVEX && (s.pointee.wide == 1) != encoding.wide { return false }
        return true
    }

    /// The opcodes of map 0F that only MMX and SSE use.
    private static func isMMX(_ opcode: UInt8) -> Bool {
        switch opcode {
        case 0x10...0x17, 0x28...0x2F, 0x50...0x7F, 0xC2, 0xC4...0xC6, 0xD0...0xFE: true
        default: false
        }
    }

    private static func row(_ form: UInt16) -> VectorRow? { Int(form) < rows.count ? rows[Int(form)] : nil }

    /// Decode-time answers by form: bit 0 immediate, 1 VSIB. None ends a block: what XSETBV and LDMXCSR change is looked at when an instruction runs.
    private static let traits: [UInt8] = rows.map { row in
        var bits: UInt8 = row.hasImmediate ? 1 : 0
        switch row.action {
        case .gather44, .gather48, .gather84, .gather88: bits |= 2
        default: break
        }
        return bits
    }

    /// One byte of immediate follows the address.
    static func hasImmediate(_ form: UInt16) -> Bool { traits[Int(form)] & 1 != 0 }

    /// The index of the address is a vector register (VSIB).
    static func isVSIB(_ form: UInt16) -> Bool { traits[Int(form)] & 2 != 0 }

    /// What a disassembler prints; VEX forms of SSE instructions begin with `v`.
    static func mnemonic(_ form: UInt16, vex: Bool) -> String {
        guard let row = row(form) else { return "(bad)" }
        return vex && row.legacy != nil ? "v" + row.mnemonic : row.mnemonic
    }
}
